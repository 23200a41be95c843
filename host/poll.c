/* Polling: the blocks of a machine are read group by group. A group is the blocks of one period;
 * its deadlines are absolute (start of the engine + phase + n x period), so that no delay adds up,
 * and its phase spreads machines over the period. Deadlines are met in slots of 5 ms: what falls
 * into one slot starts in one turn of the loop, which halves the CPU at thousands of devices. A
 * group that is still busy at its next deadline leaves that one out and counts it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/warm.h"
#include "device.h"
#include "machine.h"

#define SLOT_MS 5

static void group_read(struct poll_group *group);
static void warm_published(const struct machine *machine);
static void group_schedule(struct poll_group *group);

enum modbus_function poll_function(enum register_kind kind) {
    static const enum modbus_function functions[] = {
        [REGISTER_COIL] = MODBUS_READ_COILS,
        [REGISTER_DISCRETE] = MODBUS_READ_DISCRETE,
        [REGISTER_HOLDING] = MODBUS_READ_HOLDING,
        [REGISTER_INPUT] = MODBUS_READ_INPUT,
    };
    return functions[kind];
}

/* --- the plan ------------------------------------------------------------------------------------
 */

bool poll_address(const struct machine *machine, int index, uint16_t *address) {
    const struct point *point = &machine_driver(machine)->points[index];
    *address = point->address;
    if (point->model_count == 0)
        return true;
    for (int i = 0; i < point->model_count; i++) {
        uint16_t base;
        if (sunspec_find(machine->walk, point->models[i], &base)) {
            *address = (uint16_t)(base + point->address);
            return true;
        }
    }
    return false;
}

/* A point is read when its part is taken, it can be read, and, on a SunSpec device, one of its
 * models exists. Of several points of one name and part the first that is read counts. */
static bool point_used(const struct machine *machine, const struct block_item *items, size_t count,
                       int index, uint16_t *address) {
    const struct driver *driver = machine_driver(machine);
    const struct point *point = &driver->points[index];
    if (point->part != POINT_NONE && !machine->parts[point->part])
        return false;
    if (point->period_ms == POINT_NEVER || point->kind == REGISTER_VALUE)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct point *other = &driver->points[items[i].point];
        if (other->part == point->part && strcmp(other->name, point->name) == 0)
            return false;
    }
    return poll_address(machine, index, address);
}

static struct poll_group *group_new(struct machine *machine, int64_t period_ms) {
    struct poll_group *group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->machine = machine;
    group->period_ms = period_ms;
    /* A golden-ratio step spreads any number of machines evenly over the period. */
    double turn = fmod(machine->number * 0.6180339887498949, 1.0);
    group->phase_ms = (int64_t)(turn * (double)period_ms) / SLOT_MS * SLOT_MS;
    group->wheel = wheel_hold(&machine->engine->loop);
    group->timer.owner = group;
    if (group->wheel)
        return group;
    free(group);
    return NULL;
}

static enum err add_group(struct machine *machine, int64_t period_ms) {
    size_t size = (machine->group_count + 1) * sizeof(void *);
    struct poll_group **groups = realloc(machine->groups, size);
    if (!groups)
        return ERR_MEMORY;
    machine->groups = groups;
    groups[machine->group_count] = group_new(machine, period_ms);
    if (!groups[machine->group_count])
        return ERR_MEMORY;
    machine->group_count++;
    return ERR_OK;
}

/* One for each period of its blocks, and one for hooks.read. */
static enum err make_groups(struct machine *machine) {
    int64_t hook_ms;
    for (size_t i = 0; i < machine->plan.block_count; i++) {
        int64_t period_ms = machine->plan.blocks[i].period_ms;
        if (period_ms <= 0 || (i > 0 && machine->plan.blocks[i - 1].period_ms == period_ms))
            continue;
        if (add_group(machine, period_ms) != ERR_OK)
            return ERR_MEMORY;
    }
    if (!poll_hook_used(machine, &hook_ms) || hook_ms <= 0)
        return ERR_OK;
    if (add_group(machine, hook_ms) != ERR_OK)
        return ERR_MEMORY;
    machine->round.group = machine->groups[machine->group_count - 1];
    machine->round.group->hook = true;
    return ERR_OK;
}

enum err poll_plan(struct machine *machine) {
    const struct driver *driver = machine_driver(machine);
    struct block_item *items = calloc((size_t)driver->point_count + 1, sizeof *items);
    if (!items)
        return ERR_MEMORY;
    size_t count = 0;
    for (int i = 0; i < driver->point_count; i++) {
        uint16_t address;
        if (point_used(machine, items, count, i, &address))
            items[count++] = (struct block_item){.point = i, .address = address};
    }
    enum err err = block_plan_make(&machine->plan, driver->points, items, count, &driver->limits);
    free(items);
    machine->planned = err == ERR_OK;
    return err == ERR_OK ? make_groups(machine) : err;
}

static void group_free(struct wheel_timer *timer) {
    struct poll_group *group = timer->owner;
    wheel_release(group->wheel);
    free(group);
}

void poll_forget(struct machine *machine) {
    poll_stop(machine);
    for (size_t i = 0; i < machine->group_count; i++) /* at a later turn: this may be its own */
        wheel_start(machine->groups[i]->wheel, &machine->groups[i]->timer, 0, group_free);
    free(machine->groups);
    machine->groups = NULL;
    machine->group_count = 0;
    machine->round.group = NULL;
    if (machine->planned)
        block_plan_free(&machine->plan);
    machine->planned = false;
}

/* --- decoding ------------------------------------------------------------------------------------
 */

static void take_text(struct machine *machine, const struct point *point, const uint16_t *words) {
    char text[IDENTITY_SIZE];
    if (point_decode_text(point, words, text, sizeof text) != POINT_OK)
        text[0] = '\0';
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i] && point_is_of(point, i))
            text_set(&machine->parts[i]->identity[point->id - POINT_TEXT_FIRST], text);
}

static void take_number(struct machine *machine, int index, const uint16_t *words, struct now now) {
    const struct point *point = &machine_driver(machine)->points[index];
    double factor = point->scale_point == POINT_NONE ? 0 : machine->values[point->scale_point];
    double value;
    enum point_quality quality = point_decode(point, words, factor, &value);
    if (quality == POINT_IMPOSSIBLE) {
        char text[160];
        snprintf(text, sizeof text, "%s is impossible: its scale or its map is wrong", point->name);
        log_debug(machine->wire->url, "unit %d: %s", machine->unit, text);
        machine_fault(machine, FAULT_IMPOSSIBLE, text);
    }
    machine->values[index] = value;
    machine->value_at[index] = (struct moment){now.wall, now.mono};
}

/* The block's points that have a scale factor, or those that have none; how many are left out. */
static size_t take_points(struct machine *machine, const struct block *block, const uint16_t *words,
                          bool scaled, struct now now) {
    const struct point *points = machine_driver(machine)->points;
    size_t left_out = 0;
    for (size_t i = block->first; i < block->first + block->count; i++) {
        const struct block_item *item = &machine->plan.items[i];
        const struct point *point = &points[item->point];
        const uint16_t *at = words + (item->address - block->address);
        if ((point->scale_point != POINT_NONE) != scaled)
            left_out++;
        else if (point->id >= POINT_TEXT_FIRST)
            take_text(machine, point, at);
        else
            take_number(machine, item->point, at, now);
    }
    return left_out;
}

void poll_take(struct machine *machine, const struct block *block, const uint16_t *words) {
    struct now now = clock_now(&machine->engine->clock);
    /* Scale factors first: they may stand behind what they scale. */
    if (take_points(machine, block, words, false, now))
        (void)take_points(machine, block, words, true, now);
}

/* --- reading -------------------------------------------------------------------------------------
 */

/* What went wrong in a slow group's last poll still does while faster ones are read. */
static void judge_poll(struct poll_group *group) {
    struct machine *machine = group->machine;
    unsigned faults = machine->faults_once;
    group->faults = machine->faults;
    machine->faults = 0;
    for (size_t i = 0; i < machine->group_count; i++)
        faults |= machine->groups[i]->faults;
    for (size_t i = 0; i < machine->plan.block_count; i++)
        if (machine->plan.blocks[i].refused)
            faults |= 1U << FAULT_REFUSED;
    machine_polled(machine, faults);
}

void poll_group_done(struct poll_group *group) {
    struct machine *machine = group->machine;
    group->busy = false;
    group->polls++;
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i]) {
            figure_add(&machine->parts[i]->card->polls, 1);
            device_take(machine->parts[i]);
        }
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            device_sampled(machine->parts[i]);
    judge_poll(group);
    command_run(machine);
}

/* The device refuses a block: smaller ones from now on. Blocks behind it may have moved up, and
 * other groups may be reading one of them. */
static bool split_block(struct machine *machine, size_t index) {
    size_t before = machine->plan.block_count;
    if (block_plan_split(&machine->plan, index, machine_driver(machine)->points) != ERR_OK)
        return false;
    for (size_t i = 0; i < machine->group_count; i++)
        if (machine->groups[i]->busy && machine->groups[i]->block > index)
            machine->groups[i]->block += machine->plan.block_count - before;
    return true;
}

static void read_done(struct transaction *transaction, enum err result,
                      const struct modbus_answer *answer) {
    struct poll_group *group = transaction->owner;
    struct machine *machine = group->machine;
    machine_transact_end(&group->transaction);
    if (result != ERR_OK || modbus_unit_absent(answer->exception)) {
        group->busy = false;
        machine_failed(machine, result, NULL);
        return; /* the next deadline tries again, unless the machine is away now */
    }
    machine_answered(machine);
    warm_published(machine);
    struct block *block = &machine->plan.blocks[group->block];
    if (!answer->exception) {
        poll_take(machine, block, answer->words);
        group->block++;
    } else if (answer->exception <= 3) {
        log_info(machine->wire->url, "unit %d refuses registers %u..%u (%s): the block is split",
                 machine->unit, block->address, block->address + block->words - 1U,
                 modbus_exception_name(answer->exception));
        char text[160];
        snprintf(text, sizeof text, "the device refuses registers %u..%u: %s", block->address,
                 block->address + block->words - 1U, modbus_exception_name(answer->exception));
        machine_fault(machine, FAULT_REFUSED, text);
        if (!split_block(machine, group->block)) {
            group->busy = false;
            return;
        }
    } else {
        group->block++; /* busy or failing: its values grow old, which shows */
    }
    group_read(group);
}

/* What an answer is put into was last touched a poll ago. Of thousands of devices no cache holds it
 * any more: it is fetched while the request is on its way, first what the rest is found by. */
static void warm_values(const struct machine *machine) {
    size_t points = (size_t)machine_driver(machine)->point_count;
    warm(machine->values, points * sizeof *machine->values);
    warm(machine->value_at, points * sizeof *machine->value_at);
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            warm(machine->parts[i], offsetof(struct device, parameters));
}

static void warm_devices(const struct machine *machine) {
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            device_warm(machine->parts[i]);
}

static void warm_published(const struct machine *machine) {
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            live_warm(machine->parts[i]->card->live);
}

/* Reads the group's next block, or ends the poll. */
static void group_read(struct poll_group *group) {
    struct machine *machine = group->machine;
    const struct block_plan *plan = &machine->plan;
    if (group->hook) {
        group->busy = true;
        poll_hook_begin(machine, false, false);
        return;
    }
    while (group->block < plan->block_count &&
           (plan->blocks[group->block].period_ms != group->period_ms ||
            plan->blocks[group->block].refused))
        group->block++;
    if (group->block >= plan->block_count) {
        poll_group_done(group);
        return;
    }
    const struct block *block = &plan->blocks[group->block];
    group->busy = true;
    const struct transaction what = {
        .request = {.unit = (uint8_t)machine->unit,
                    .function = (uint8_t)poll_function(block->kind),
                    .address = block->address,
                    .count = block->words},
        .timeout_ms = machine_driver(machine)->timeout_ms,
        .done = read_done,
        .owner = group,
    };
    warm_values(machine);
    if (machine_transact(machine, &group->transaction, &what, LINK_READ))
        warm_devices(machine);
    else
        group->busy = false;
}

static void group_due(struct wheel_timer *timer) {
    struct poll_group *group = timer->owner;
    group_schedule(group);
    if (group->busy) {
        group->late++;
        figure_add(&group->machine->engine->figures.polls_late, 1);
        return;
    }
    group->block = 0;
    group_read(group);
}

static void group_schedule(struct poll_group *group) {
    const struct engine *engine = group->machine->engine;
    int64_t now = (int64_t)uv_now(&engine->loop);
    int64_t since = now - engine->started.ms - group->phase_ms;
    int64_t turns = since < 0 ? 0 : since / group->period_ms + 1;
    int64_t next = engine->started.ms + group->phase_ms + turns * group->period_ms;
    wheel_start(group->wheel, &group->timer, (uint64_t)next, group_due);
}

void poll_start(struct machine *machine) {
    for (size_t i = 0; i < machine->group_count; i++) {
        struct poll_group *group = machine->groups[i];
        group_schedule(group);
        group->block = 0;
        if (group->hook && group->fresh) /* read on arrival */
            poll_group_done(group);
        else
            group_read(group);
        group->fresh = false;
    }
}

void poll_stop(struct machine *machine) {
    for (size_t i = 0; i < machine->group_count; i++) {
        struct poll_group *group = machine->groups[i];
        wheel_stop(group->wheel, &group->timer);
        machine_transact_end(&group->transaction);
        group->busy = false;
    }
}
