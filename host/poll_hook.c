/* Polling by hooks.read: one round calls it for each part of the machine, one after the other, each
 * call a task (task.h). A round is due at the deadlines of its group, on arrival, and when a
 * command wants to see what it has set; while one is under way, or a write is, it waits for its
 * turn.
 *
 * What read does not give although it was due is unknown; what was not due stays as it is. A round
 * that the device does not answer is a missed poll. One in which the hook itself fails is none: the
 * device is there, can be written to, and its values grow old. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "device.h"
#include "machine.h"
#include "script/hooks.h"

#define HEARD_LEAST_MS 250 /* between two rounds that a device brings about */

static void next_part(struct machine *machine);

static bool part_used(const struct machine *machine, int part) {
    const struct driver *driver = machine_driver(machine);
    if (!machine->parts[part])
        return false;
    for (int i = 0; i < driver->point_count; i++)
        if (reading_has(&driver->points[i], part))
            return true;
    return false;
}

bool poll_hook_used(const struct machine *machine, int64_t *period_ms) {
    const struct driver *driver = machine_driver(machine);
    bool used = false;
    *period_ms = 0;
    for (int i = 0; i < driver->point_count && driver->hook_read; i++) {
        const struct point *point = &driver->points[i];
        for (int part = 0; part < driver->part_count; part++) {
            if (!machine->parts[part] || !reading_has(point, part))
                continue;
            used = true;
            if (point->period_ms > 0 && (*period_ms == 0 || point->period_ms < *period_ms))
                *period_ms = point->period_ms;
        }
    }
    return used;
}

bool poll_hook_dispensable(const struct machine *machine) {
    const struct driver *driver = machine_driver(machine);
    bool registers = false;
    if (!machine->wire->link || !guard_stopped(machine->engine, machine->generation))
        return false;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        registers = registers || point->kind != REGISTER_VALUE;
        if (point->id < POINT_TEXT_FIRST || point->id == POINT_FIRMWARE_VERSION)
            continue;
        for (int part = 0; part < driver->part_count; part++)
            if (machine->parts[part] && reading_has(point, part))
                return false;
    }
    return registers;
}

/* --- one part ------------------------------------------------------------------------------------
 */

/* A period is over when its half tick is: deadlines come a little early or late. */
static bool is_due(const struct machine *machine, int index, struct mono now, int64_t shortest_ms) {
    const struct point *point = &machine_driver(machine)->points[index];
    const struct moment *at = &machine->value_at[index];
    if (at->mono.ms == 0)
        return true;
    if (point->period_ms == 0)
        return false;
    return machine->round.all || now.ms - at->mono.ms >= point->period_ms - shortest_ms / 2;
}

static bool ask_for(struct machine *machine, int part) {
    struct reading *reading = machine->reading;
    const struct driver *driver = machine_driver(machine);
    int64_t shortest_ms;
    if (!reading || reading_begin(reading, driver) != ERR_OK)
        return false;
    (void)poll_hook_used(machine, &shortest_ms);
    for (int i = 0; i < driver->point_count; i++)
        reading->due[i] =
            reading_has(&driver->points[i], part) && is_due(machine, i, clock_mono(), shortest_ms);
    return true;
}

static void take_text(struct machine *machine, const struct reading *reading,
                      const struct point *point) {
    const char *text = reading->texts[point->id - POINT_TEXT_FIRST];
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i] && point_is_of(point, i))
            text_set(&machine->parts[i]->identity[point->id - POINT_TEXT_FIRST], text);
}

static void take(struct machine *machine, struct device *device) {
    struct reading *reading = machine->reading;
    struct now at = reading_at(reading, clock_now(&machine->engine->clock));
    for (int i = 0; i < reading->driver->point_count; i++) {
        const struct point *point = &reading->driver->points[i];
        if (!reading->given[i] && !reading->due[i])
            continue;
        machine->values[i] = reading->values[i];
        machine->value_at[i] = (struct moment){at.wall, at.mono};
        if (point->id >= POINT_TEXT_FIRST)
            take_text(machine, reading, point);
    }
    if (!reading->problem[0]) {
        text_set(&device->read_problem, "");
        return;
    }
    machine_fault(machine, reading->impossible ? FAULT_IMPOSSIBLE : FAULT_HOOK, reading->problem);
    if (strcmp(text_of(device->read_problem), reading->problem) != 0)
        log_warning(device->site->path, "%s", reading->problem);
    text_set(&device->read_problem, reading->problem);
}

/* --- a round -------------------------------------------------------------------------------------
 */

static void round_over(struct machine *machine) {
    struct poll_group *group = machine->round.group;
    bool arriving = machine->round.arriving;
    machine->round.active = false;
    if (arriving) {
        if (group)
            group->fresh = true;
        machine_arrived(machine);
        return;
    }
    if (group && (group->busy || machine->runner.looks)) {
        command_looked(machine, ERR_OK, "");
        poll_group_done(group);
    }
}

static void round_failed(struct machine *machine, const char *why) {
    bool arriving = machine->round.arriving;
    machine->round.active = false;
    if (machine->round.group)
        machine->round.group->busy = false;
    if (arriving)
        machine_arrival_failed(machine, ERR_TIMEOUT, why);
    else if (machine->runner.looks)
        command_looked(machine, ERR_TIMEOUT, why); /* which counts it */
    else
        machine_failed(machine, ERR_TIMEOUT, why);
}

/* The hook is at fault, not the device. */
static void round_spoiled(struct machine *machine, struct device *device, const char *error) {
    struct poll_group *group = machine->round.group;
    if (strcmp(text_of(device->read_problem), error) != 0)
        log_warning(device->site->path, "hooks.read of %s: %s", machine->generation->name, error);
    text_set(&device->read_problem, error);
    machine_fault(machine, FAULT_HOOK, error);
    if (machine->round.arriving && poll_hook_dispensable(machine)) {
        machine->round.active = false;
        machine_arrived(machine);
        return;
    }
    if (machine->round.arriving) {
        round_failed(machine, error);
        return;
    }
    machine->round.active = false;
    command_looked(machine, ERR_REFUSED, error);
    if (group && group->busy) {
        group->busy = false;
        group->polls++;
        machine_polled(machine, 1U << FAULT_HOOK);
    }
}

static void part_read(struct task *task, enum task_end end, const char *text) {
    struct machine *machine = task->machine;
    struct device *device = task->whom;
    switch (end) {
    case TASK_DONE:
        machine_answered(machine);
        take(machine, device);
        machine->round.part = machine->round.again ? 0 : machine->round.part + 1;
        machine->round.again = false;
        break;
    case TASK_REFUSED:
    case TASK_SILENT:
        round_failed(machine, text);
        break;
    case TASK_FAILED:
        round_spoiled(machine, device, text);
        break;
    case TASK_DROPPED:
        break; /* called again */
    }
    poll_hook_turn(machine);
}

static void next_part(struct machine *machine) {
    while (machine->round.part < DRIVER_MAX_PARTS && !part_used(machine, machine->round.part))
        machine->round.part++;
    if (machine->round.part >= DRIVER_MAX_PARTS)
        round_over(machine);
    else if (ask_for(machine, machine->round.part))
        hooks_read(machine->parts[machine->round.part], part_read);
    else
        round_failed(machine, "out of memory");
}

void poll_hook_turn(struct machine *machine) {
    if (task_busy(machine->task))
        return;
    if (machine->carry_due) { /* whose task was given up */
        machine_moved_on(machine);
        return;
    }
    command_run(machine);
    if (machine->round.active && !task_busy(machine->task))
        next_part(machine);
}

void poll_hook_begin(struct machine *machine, bool arriving, bool all) {
    if (!machine->task) {
        machine_arrival_failed(machine, ERR_TIMEOUT, "no memory for a task");
        return;
    }
    if (machine->round.active && !arriving && !all)
        return; /* the round under way is as good */
    machine->round.all = all;
    machine->round.arriving = arriving;
    machine->round.active = true;
    machine->round.part = 0;
    /* What is being read now may be older than what is asked for. */
    machine->round.again = task_busy(machine->task) && machine->task->over == part_read;
    if (!task_busy(machine->task))
        next_part(machine);
}

void poll_hook_now(struct machine *machine) {
    struct poll_group *group = machine->round.group;
    int64_t now_ms = (int64_t)uv_now(&machine->engine->loop);
    if (!group || group->busy || now_ms - machine->round.heard_ms < HEARD_LEAST_MS)
        return;
    machine->round.heard_ms = now_ms;
    group->busy = true;
    poll_hook_begin(machine, false, true);
}

void poll_hook_stop(struct machine *machine) {
    machine->round.active = false;
    if (machine->task && !machine->task->orphan)
        task_cancel(machine->task);
}
