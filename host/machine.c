#include "machine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/log.h"
#include "base/text.h"
#include "device.h"
#include "script/task.h"
#include "script/trial.h"

static void arrival_next(struct machine *machine);
static void machine_arrive(struct machine *machine);

/* Over other links than Modbus there is nothing to wait for: whoever is asked answers or not. */
static bool link_is_there(const struct machine *machine) {
    return !machine->wire->link || link_is_up(machine->wire->link);
}

const struct driver *machine_driver(const struct machine *machine) {
    return machine->generation->driver;
}

bool modbus_unit_absent(uint8_t exception) {
    return exception == 10 || exception == 11; /* Modbus Application Protocol V1.1b3, section 7 */
}

/* The path of its first device: what log lines call the machine. */
static const char *machine_name(const struct machine *machine) {
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            return machine->parts[i]->site->path;
    return machine->wire->url;
}

static void connect_devices(struct machine *machine, enum connection connection, const char *text) {
    enum machine_state state = machine->state; /* what a device does then may end it */
    for (int i = 0; i < DRIVER_MAX_PARTS && machine->state == state; i++)
        if (machine->parts[i])
            device_connect(machine->parts[i], connection, text);
}

/* Stops all that is under way. What the devices were told is not known from here on. */
static void machine_leave(struct machine *machine) {
    machine_transact_end(&machine->arrival);
    wheel_stop(machine->wheel, &machine->retry);
    poll_hook_stop(machine);
    poll_stop(machine);
    command_stop(machine);
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            device_forget_told(machine->parts[i]);
}

/* True when this was not the last thing said of it: what lasts is logged once. */
static bool machine_news(struct machine *machine, const char *why) {
    bool news = strcmp(text_of(machine->why), why) != 0;
    text_set(&machine->why, why);
    return news;
}

/* --- faults -------------------------------------------------------------------------------------
 */

void machine_fault(struct machine *machine, enum fault fault, const char *text) {
    machine->faults |= 1U << fault;
    trial_note(machine->engine, machine->generation, text);
}

void machine_polled(struct machine *machine, unsigned faults) {
    history_add(&machine->history, faults);
    if (machine->engine->guard.trials)
        guard_turn_soon(machine->engine);
}

/* Not one poll, but as good as one: nothing was read. */
static void machine_missed(struct machine *machine, const char *text) {
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            figure_add(&machine->parts[i]->card->polls_failed, 1);
    trial_note(machine->engine, machine->generation, text);
    machine_polled(machine, 1U << FAULT_OFFLINE);
}

/* --- arriving ------------------------------------------------------------------------------------
 */

static void retry_due(struct wheel_timer *timer);

static void retry_in(struct machine *machine, int64_t wait_ms) {
    uint64_t due_ms = uv_now(&machine->engine->loop) + (uint64_t)wait_ms;
    wheel_start(machine->wheel, &machine->retry, due_ms, retry_due);
}

static void retry_later(struct machine *machine) {
    int64_t wait = machine->backoff_ms;
    wait += wait * ((int64_t)randombytes_uniform(50) - 25) / 100;
    machine->backoff_ms = machine->backoff_ms * 2 > MACHINE_BACKOFF_MAX_MS
                              ? MACHINE_BACKOFF_MAX_MS
                              : machine->backoff_ms * 2;
    retry_in(machine, wait);
}

static void machine_away(struct machine *machine, const char *why) {
    if (machine_news(machine, why))
        log_warning(machine_name(machine), "offline: %s (%s unit %d)", why, machine->wire->url,
                    machine->unit);
    machine_leave(machine);
    machine->state = MACHINE_AWAY;
    connect_devices(machine, CONNECTION_OFFLINE, why);
    retry_later(machine);
}

static void machine_wrong(struct machine *machine, const char *why) {
    machine_missed(machine, why);
    if (machine_news(machine, why))
        log_error(machine_name(machine), "wrong device: %s; nothing is written to it", why);
    machine_leave(machine);
    machine->state = MACHINE_WRONG;
    connect_devices(machine, CONNECTION_WRONG_DEVICE, why);
    retry_later(machine);
}

/* A driver with nothing to read on arrival is up before its device has said a word, so that its
 * command goes first: that alone is no good news. */
static void settle(struct machine *machine) {
    if (!machine->heard || machine->settled)
        return;
    log_info(machine_name(machine), "online at %s unit %d", machine->wire->url, machine->unit);
    machine->settled = true;
    text_set(&machine->why, "");
    machine->backoff_ms = MACHINE_BACKOFF_MIN_MS;
}

void machine_answered(struct machine *machine) {
    machine->failures = 0;
    machine->heard = true;
    if (machine->state == MACHINE_UP)
        settle(machine);
}

static const char *reason_of(enum err result, const char *why) {
    if (why)
        return why;
    if (result == ERR_CLOSED)
        return "the connection went";
    return result == ERR_TIMEOUT ? "no answer in time" : "the gateway cannot reach it";
}

/* A closed Modbus link tells its listeners itself. */
static bool link_will_tell(const struct machine *machine, enum err result) {
    return result == ERR_CLOSED && machine->wire->link;
}

void machine_failed(struct machine *machine, enum err result, const char *why) {
    if (machine->state != MACHINE_UP && machine->state != MACHINE_ARRIVING)
        return;
    machine->failures++;
    machine_missed(machine, why                    ? why
                            : result == ERR_CLOSED ? "the connection went"
                                                   : "no answer in time");
    if (link_will_tell(machine, result) || machine->failures < MACHINE_AWAY_AFTER)
        return;
    machine_away(machine, reason_of(result, why));
}

void machine_arrival_failed(struct machine *machine, enum err result, const char *why) {
    machine->failures++;
    machine_missed(machine, why                    ? why
                            : result == ERR_CLOSED ? "the connection went"
                                                   : "no answer in time");
    if (link_will_tell(machine, result))
        return;
    /* One that was away is asked once: a dead unit costs its line one time-out a probe. */
    bool probe = machine->backoff_ms > MACHINE_BACKOFF_MIN_MS;
    if (probe || machine->failures >= MACHINE_AWAY_AFTER)
        machine_away(machine, reason_of(result, why));
    else
        arrival_next(machine);
}

bool machine_transact(struct machine *machine, struct transaction **transaction,
                      const struct transaction *what, enum link_class class) {
    if (*transaction)
        return false;
    *transaction = malloc(sizeof **transaction);
    if (!*transaction)
        return false;
    **transaction = *what;
    if (link_submit(machine->wire->link, *transaction, class) == ERR_OK)
        return true;
    machine_transact_end(transaction);
    return false;
}

void machine_transact_end(struct transaction **transaction) {
    if (*transaction)
        link_cancel(*transaction);
    free(*transaction);
    *transaction = NULL;
}

static bool arrival_submit(struct machine *machine, transaction_done *done, uint8_t function,
                           uint16_t address, uint16_t count) {
    const struct transaction what = {
        .request = {.unit = (uint8_t)machine->unit,
                    .function = function,
                    .address = address,
                    .count = count},
        .timeout_ms = machine_driver(machine)->timeout_ms,
        .done = done,
        .owner = machine,
    };
    return machine_transact(machine, &machine->arrival, &what, LINK_COMMAND);
}

static void walk_done(struct transaction *transaction, enum err result,
                      const struct modbus_answer *answer) {
    struct machine *machine = transaction->owner;
    machine_transact_end(&machine->arrival);
    if (result != ERR_OK || modbus_unit_absent(answer->exception)) {
        machine_arrival_failed(machine, result, NULL);
        return;
    }
    machine_answered(machine);
    sunspec_take(machine->walk, answer->exception ? NULL : answer->words);
    arrival_next(machine);
}

static void once_done(struct transaction *transaction, enum err result,
                      const struct modbus_answer *answer) {
    struct machine *machine = transaction->owner;
    machine_transact_end(&machine->arrival);
    if (result != ERR_OK || modbus_unit_absent(answer->exception)) {
        machine_arrival_failed(machine, result, NULL);
        return;
    }
    machine_answered(machine);
    const struct block *block = &machine->plan.blocks[machine->arrival_block];
    if (!answer->exception) {
        poll_take(machine, block, answer->words);
        machine->arrival_block++;
    } else if (answer->exception <= 3) {
        machine_fault(machine, FAULT_REFUSED, "the device refuses what is read once");
        if (block_plan_split(&machine->plan, machine->arrival_block,
                             machine_driver(machine)->points) != ERR_OK) {
            machine_away(machine, "out of memory");
            return;
        }
    } else {
        machine->arrival_block++; /* it cannot now; what depends on it stays unknown */
    }
    arrival_next(machine);
}

/* Remembers what is seen first at this place. */
static void identity_keep(struct device *device) {
    json_t *seen = json_object();
    for (int i = POINT_TEXT_FIRST; i < POINT_COUNT; i++)
        if (i != POINT_FIRMWARE_VERSION && device->identity[i - POINT_TEXT_FIRST])
            json_object_set_new(seen, point_word((enum point_id)i)->name,
                                json_string(device->identity[i - POINT_TEXT_FIRST]));
    bool same = device->identity_seen ? json_equal(seen, device->identity_seen)
                                      : json_object_size(seen) == 0;
    if (same) {
        json_decref(seen);
        return;
    }
    char *text = json_dumps(seen, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text || store_put_text(device->engine->store, "identity", device->id, text, NULL, NULL))
        log_warning(device->site->path, "its identity could not be stored");
    free(text);
    json_decref(device->identity_seen);
    device->identity_seen = seen;
}

/* True when the device is the one seen first (or the first); else `why` says what differs. */
static bool identity_right(struct device *device, char *why, size_t why_size) {
    const char *serial = text_of(device->identity[POINT_SERIAL_NUMBER - POINT_TEXT_FIRST]);
    const char *due = device->site->serial_number;
    if (due[0] && strcmp(due, serial) != 0) {
        snprintf(why, why_size, "serialNumber is \"%.60s\", the site file expects \"%.60s\"",
                 serial, due);
        return false;
    }
    for (int i = POINT_TEXT_FIRST; i < POINT_COUNT && !due[0]; i++) {
        const char *name = point_word((enum point_id)i)->name;
        const char *before = json_string_value(json_object_get(device->identity_seen, name));
        const char *now = text_of(device->identity[i - POINT_TEXT_FIRST]);
        if (before && !now[0]) {
            snprintf(why, why_size, "%s cannot be read, first seen was \"%.40s\"", name, before);
            return false;
        }
        if (before && strcmp(before, now) != 0) {
            snprintf(
                why, why_size,
                "%s is \"%.40s\", first seen was \"%.40s\"; if it was replaced on purpose, set "
                "serialNumber in the site file",
                name, now, before);
            return false;
        }
    }
    identity_keep(device); /* the first time, and what could not be read then */
    return true;
}

/* Its devices answer; whether they do more than that depends on their driver's script. */
static void connect_up(struct machine *machine) {
    const char *stopped = guard_stopped(machine->engine, machine->generation);
    char text[160];
    snprintf(text, sizeof text, "%s", stopped ? stopped : "");
    connect_devices(machine, stopped ? CONNECTION_QUARANTINED : CONNECTION_ONLINE, text);
}

void machine_reconsider(struct machine *machine) {
    poll_hook_turn(machine);
    bool stopped = guard_stopped(machine->engine, machine->generation) != NULL;
    for (int i = 0; i < DRIVER_MAX_PARTS && machine->state == MACHINE_UP; i++)
        if (machine->parts[i] &&
            (machine->parts[i]->connection == CONNECTION_QUARANTINED) != stopped) {
            connect_up(machine);
            return;
        }
}

void machine_arrived(struct machine *machine) {
    char why[240];
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i] && !identity_right(machine->parts[i], why, sizeof why)) {
            machine_wrong(machine, why);
            return;
        }
    machine->state = MACHINE_UP;
    machine->failures = 0;
    settle(machine);
    machine->faults_once = machine->faults;
    machine->faults = 0;
    connect_up(machine);
    if (machine->state != MACHINE_UP)
        return;
    poll_start(machine); /* commands of device_connect() stand before these reads */
}

static void arrival_next(struct machine *machine) {
    const struct driver *driver = machine_driver(machine);
    struct sunspec_read read;
    if (driver->sunspec && sunspec_next(machine->walk, &read)) {
        if (!arrival_submit(machine, walk_done, MODBUS_READ_HOLDING, read.address, read.count))
            machine_away(machine, "the link's queue is full");
        return;
    }
    if (driver->sunspec && machine->walk->model_count == 0) {
        machine_away(machine, "it answers, but has no SunSpec models");
        return;
    }
    if (!machine->planned) {
        enum err err = poll_plan(machine);
        if (err != ERR_OK) {
            machine_away(machine, err == ERR_MEMORY
                                      ? "out of memory"
                                      : "its registers are not where its driver can read them");
            return;
        }
    }
    while (machine->arrival_block < machine->plan.block_count) {
        const struct block *block = &machine->plan.blocks[machine->arrival_block];
        if (block->period_ms > 0 || block->refused) {
            machine->arrival_block++;
            continue;
        }
        if (!arrival_submit(machine, once_done, poll_function(block->kind), block->address,
                            block->words))
            machine_away(machine, "the link's queue is full");
        return;
    }
    int64_t period_ms;
    if (poll_hook_used(machine, &period_ms) && !poll_hook_dispensable(machine))
        poll_hook_begin(machine, true, true);
    else
        machine_arrived(machine);
}

/* Nothing that was read before says anything about who answers now. */
static void forget_read(struct machine *machine) {
    for (int i = 0; i < machine_driver(machine)->point_count; i++) {
        machine->values[i] = NAN;
        machine->value_at[i] = (struct moment){0};
    }
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            device_forget_identity(machine->parts[i]);
}

static void machine_arrive(struct machine *machine) {
    machine_leave(machine);
    machine->state = MACHINE_ARRIVING;
    machine->tried_ms = (int64_t)uv_now(&machine->engine->loop);
    machine->failures = 0;
    machine->heard = machine->settled = false;
    machine->faults = machine->faults_once = 0;
    poll_forget(machine); /* what a device refuses may be different on the next connection */
    forget_read(machine);
    machine->arrival_block = 0;
    if (task_busy(machine->task))
        return; /* of the generation before: machine_moved_on() comes back here */
    const struct driver *driver = machine_driver(machine);
    if (driver->sunspec)
        sunspec_start(machine->walk, driver->sunspec_bases, (size_t)driver->sunspec_base_count);
    arrival_next(machine);
}

static void retry_due(struct wheel_timer *timer) {
    struct machine *machine = timer->owner;
    if (link_is_there(machine))
        machine_arrive(machine);
}

/* One that talks and does not answer must not be asked at every word of it. */
static void retry_soon(struct machine *machine) {
    int64_t now_ms = (int64_t)uv_now(&machine->engine->loop);
    int64_t wait_ms = machine->tried_ms + MACHINE_BACKOFF_MIN_MS - now_ms;
    if (wait_ms < 0)
        wait_ms = 0;
    if (!wheel_set_by(&machine->retry, (uint64_t)(now_ms + wait_ms)))
        retry_in(machine, wait_ms);
}

void machine_heard(struct machine *machine) {
    if (machine->state == MACHINE_AWAY)
        retry_soon(machine);
    else if (machine->state == MACHINE_UP)
        poll_hook_now(machine);
}

/* --- the link ------------------------------------------------------------------------------------
 */

static void link_came(struct link_listener *listener) {
    machine_arrive(listener->owner);
}

static void link_went(struct link_listener *listener, const char *reason) {
    struct machine *machine = listener->owner;
    if (machine_news(machine, reason))
        log_warning(machine_name(machine), "offline: %s (%s)", reason, machine->wire->url);
    machine_leave(machine);
    machine->state = MACHINE_WAITING;
    machine->backoff_ms = MACHINE_BACKOFF_MIN_MS;
    connect_devices(machine, CONNECTION_OFFLINE, reason);
}

/* --- life ----------------------------------------------------------------------------------------
 */

static enum err machine_size(struct machine *machine) {
    size_t count = (size_t)machine_driver(machine)->point_count;
    double *values = calloc(count + 1, sizeof *values);
    struct moment *value_at = calloc(count + 1, sizeof *value_at);
    if (machine_driver(machine)->sunspec && !machine->walk)
        machine->walk = calloc(1, sizeof *machine->walk);
    if (!values || !value_at || (machine_driver(machine)->sunspec && !machine->walk)) {
        free(values);
        free(value_at);
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = NAN;
    free(machine->values);
    free(machine->value_at);
    machine->values = values;
    machine->value_at = value_at;
    return ERR_OK;
}

static void machine_free(struct machine *machine) {
    if (machine->reading)
        reading_free(machine->reading);
    free(machine->reading);
    if (machine->wheel)
        wheel_release(machine->wheel);
    free(machine->walk);
    free(machine->why);
    free(machine->values);
    free(machine->value_at);
    free(machine);
}

static void settle_link(struct machine *machine) {
    const struct driver *driver = machine_driver(machine);
    struct link_settings settings = {.pause_ms = driver->pause_ms, .in_flight = driver->in_flight};
    if (machine->wire->link)
        link_settle(machine->wire->link, &settings);
}

/* The slot for hooks that wait, kept once it is there. */
static bool give_task(struct machine *machine) {
    const struct driver *driver = machine_driver(machine);
    if (driver->hook_read && !machine->reading)
        machine->reading = calloc(1, sizeof *machine->reading);
    if (driver->hook_read && !machine->reading)
        return false;
    if (!machine->task && (driver->hook_read || driver->hook_write))
        machine->task = task_new(&machine->engine->loop, machine);
    return machine->task || !(driver->hook_read || driver->hook_write);
}

struct machine *machine_find(struct engine *engine, const char *url, int unit) {
    const struct wire *wire = engine_wire_find(engine, url);
    for (struct machine *machine = wire ? wire->machines : NULL; machine; machine = machine->beside)
        if (machine->unit == unit)
            return machine;
    return NULL;
}

struct machine *machine_open(struct engine *engine, const char *url, int unit,
                             struct generation *generation) {
    struct machine *machine = calloc(1, sizeof *machine);
    struct wire *wire = machine ? engine_wire(engine, url) : NULL;
    if (!wire) {
        free(machine);
        return NULL;
    }
    machine->engine = engine;
    machine->wire = wire;
    machine->unit = unit;
    machine->generation = generation_hold(generation);
    machine->backoff_ms = MACHINE_BACKOFF_MIN_MS;
    machine->number = engine->machines ? engine->machines->number + 1 : 0;
    machine->listener =
        (struct link_listener){.up = link_came, .down = link_went, .owner = machine};
    machine->wheel = wheel_hold(&engine->loop);
    if (!machine->wheel || machine_size(machine) != ERR_OK || !give_task(machine)) {
        generation_release(machine->generation);
        engine_wire_release(engine, wire);
        machine_free(machine);
        return NULL;
    }
    machine->retry.owner = machine;
    settle_link(machine);
    machine->next = engine->machines;
    engine->machines = machine;
    machine->beside = wire->machines;
    wire->machines = machine;
    return machine;
}

void machine_attach(struct machine *machine, struct device *device) {
    bool first = true;
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        first = first && !machine->parts[i];
    machine->parts[device->part] = device;
    device->machine = machine;
    caller_forget(&device->caller);
    caller_forget(&device->write_caller);
    carry_start(device, machine->generation);
    device_renew_card(device);
    device_connect(device, CONNECTION_CONNECTING, "");
    if (first)
        clients_begin(machine);
    if (first && !machine->wire->link)
        retry_in(machine, 0);
    else if (first) /* tells when it is up, also if it is */
        link_listen(machine->wire->link, &machine->listener);
    else if (link_is_there(machine))
        machine_arrive(machine); /* again: this part's points belong to the plan now */
}

static void machine_closed(struct wheel_timer *timer) {
    struct machine *machine = timer->owner;
    generation_release(machine->generation);
    machine_free(machine);
}

void machine_detach(struct machine *machine, struct device *device) {
    machine->parts[device->part] = NULL;
    device->machine = NULL;
    bool held = machine->task && machine->task->device == device;
    if (held)
        task_cancel(machine->task);
    if (machine->runner.device == device)
        command_stop(machine);
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i]) {
            if (held)
                guard_turn_soon(machine->engine); /* its neighbours go on, in a turn of their own */
            return;
        }
    machine_leave(machine);
    poll_forget(machine);
    task_close(machine->task);
    machine->task = NULL;
    clients_close(machine);
    if (machine->wire->link)
        link_unlisten(machine->wire->link, &machine->listener);
    struct machine **at = &machine->wire->machines;
    while (*at != machine)
        at = &(*at)->beside;
    *at = machine->beside;
    engine_wire_release(machine->engine, machine->wire);
    at = &machine->engine->machines;
    while (*at != machine)
        at = &(*at)->next;
    *at = machine->next;
    wheel_start(machine->wheel, &machine->retry, 0, machine_closed);
}

static void carry_all(struct machine *machine, struct generation *generation) {
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            carry_over(machine->parts[i], generation);
}

static void place_parts(struct machine *machine, const int places[DRIVER_MAX_PARTS]) {
    struct device *placed[DRIVER_MAX_PARTS] = {NULL};
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i]) {
            machine->parts[i]->part = places[i];
            placed[places[i]] = machine->parts[i];
        }
    memcpy(machine->parts, placed, sizeof placed);
}

void machine_renew(struct machine *machine, struct generation *generation,
                   const int places[DRIVER_MAX_PARTS]) {
    if (task_busy(machine->task))
        task_orphan(machine->task);
    machine_leave(machine);
    poll_forget(machine);
    struct generation *old = machine->generation;
    /* What a call is working on goes over when that call has ended; until then nothing of the new
     * generation is called for these devices. */
    machine->carry_due = task_busy(machine->task);
    if (!machine->carry_due) {
        carry_all(machine, generation);
        clients_close(machine);
    }
    machine->history = (struct history){0};
    machine->generation = generation_hold(generation);
    if (machine_size(machine) != ERR_OK) {
        log_error(machine_name(machine), "no memory for the new generation of its driver");
        generation_release(machine->generation);
        machine->generation = old;
    } else {
        generation_release(old);
        place_parts(machine, places);
    }
    settle_link(machine);
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            device_renewed(machine->parts[i]);
    if (!give_task(machine))
        log_error(machine_name(machine), "no memory for a task: its hooks are not called");
    if (!machine->carry_due)
        clients_begin(machine);
    if (link_is_there(machine))
        machine_arrive(machine);
}

/* The values of a call of the generation before are true for the new one where both publish the
 * quantity and no hook corrects it. */
void machine_take_late(struct machine *machine, struct device *device) {
    const struct reading *reading = machine->reading;
    if (!reading || strcmp(machine->task->path, "hooks.read") != 0)
        return;
    struct now at = reading_at(reading, clock_now(&machine->engine->clock));
    if (reading->driver->hook_values || machine_driver(machine)->hook_values)
        return;
    for (int i = 0; i < reading->driver->point_count; i++) {
        const struct point *point = &reading->driver->points[i];
        if (!reading->given[i] || point->id == POINT_NONE || point->id >= POINT_NUMBER_COUNT ||
            point->period_ms <= 0)
            continue;
        struct quantity *known = quantities_at(device->known, (enum point_id)point->id);
        if (!known || known->mono.ms == 0 || known->mono.ms > at.mono.ms)
            continue;
        *known = (struct quantity){
            .value = reading->values[i],
            .mono = at.mono,
            .wall = at.wall,
            .valid_ms = device_trust_ms(point->period_ms, reading->driver->timeout_ms)};
    }
    device_publish(device);
}

void machine_moved_on(struct machine *machine) {
    if (machine->carry_due) {
        carry_all(machine, machine->generation);
        clients_close(machine); /* the new one may open them otherwise */
        clients_begin(machine);
    }
    machine->carry_due = false;
    if (machine->state == MACHINE_ARRIVING && link_is_there(machine))
        machine_arrive(machine);
}
