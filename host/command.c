/* Commands on their way: one at a time per machine, in the order of its parts, before any read. A
 * plan is written write by write and then read back; when what is wanted changes in the middle, the
 * new plan starts from its beginning after the transaction in flight, so that a device always ends
 * with one whole plan. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "device.h"
#include "machine.h"
#include "script/task.h"

#define BUSY_RETRY_MS    2000
#define REFUSED_RETRY_MS 30000

static void runner_next(struct machine *machine);
static bool next_read_back(struct machine *machine, const struct plan *plan);

static void runner_idle(struct machine *machine) {
    machine->runner.device = NULL;
    machine->runner.busy = machine->runner.looks = false;
}

static void runner_refused(struct machine *machine, const char *text, int64_t retry_ms) {
    struct device *device = machine->runner.device;
    runner_idle(machine);
    device->command.due = device->command.verify = false;
    device->command.look_at.ms = INT64_MAX;
    device->command.refused = true;
    device->command.has_sent = device->command.confirmed = false;
    device->command.rewrite = device->command.reread = false;
    device->command.renew_at.ms = INT64_MAX;
    device->command.retry_at.ms = clock_mono().ms + retry_ms;
    device_told(device, COMMAND_REJECTED, text);
    device_decide(device);
    device_publish(device);
    command_run(machine);
}

static const char *point_name(const struct machine *machine, int point) {
    return machine_driver(machine)->points[point].name;
}

/* The point that shows whether a write was taken: its own, or another one. */
static int shown_by(const struct machine *machine, int point) {
    int other = machine_driver(machine)->points[point].read_back_point;
    return other == POINT_NONE ? point : other;
}

static double scale_factor(const struct machine *machine, const struct point *point) {
    return point->scale_point == POINT_NONE ? NAN : machine->values[point->scale_point];
}

static bool is_value(const struct machine *machine, const struct plan_write *write) {
    return machine_driver(machine)->points[write->point].kind == REGISTER_VALUE;
}

/* `words` NULL: of points that hooks.read gives. */
static bool is_confirmed(const struct machine *machine, const struct plan_write *write,
                         const uint16_t *words) {
    const struct point *written = &machine_driver(machine)->points[write->point];
    const struct point *shown = &machine_driver(machine)->points[shown_by(machine, write->point)];
    if (!words)
        return point_values_agree(written, write->value, shown,
                                  machine->values[shown_by(machine, write->point)]);
    if (shown == written)
        return memcmp(words, write->words, (size_t)write->count * sizeof *write->words) == 0;
    return point_agrees(written, write->words, scale_factor(machine, written), shown, words,
                        scale_factor(machine, shown));
}

static void say_difference(const struct machine *machine, const struct plan_write *write,
                           const uint16_t *words, char *text, size_t size) {
    int shown = shown_by(machine, write->point);
    if (!words) {
        double value = machine->values[shown];
        if (isnan(value))
            snprintf(text, size, "%s was set to %g, %s shows no value",
                     point_name(machine, write->point), write->value, point_name(machine, shown));
        else
            snprintf(text, size, "%s was set to %g, %s shows %g", point_name(machine, write->point),
                     write->value, point_name(machine, shown), value);
        return;
    }
    if (shown == write->point) {
        snprintf(text, size, "%s was set to %u (register value), reads back %u",
                 point_name(machine, write->point), write->words[write->count - 1],
                 words[write->count - 1]);
        return;
    }
    const struct point *point = &machine_driver(machine)->points[shown];
    double value;
    if (point_decode(point, words, scale_factor(machine, point), &value) == POINT_OK)
        snprintf(text, size, "%s was set to %g, %s shows %g", point_name(machine, write->point),
                 write->value, point->name, value);
    else
        snprintf(text, size, "%s was set to %g, %s shows no value",
                 point_name(machine, write->point), write->value, point->name);
}

/* The shown value is older than the write: it says nothing of it, whatever it is. */
static bool is_stale(const struct machine *machine, const struct plan_write *write) {
    return machine->value_at[shown_by(machine, write->point)].mono.ms <
           machine->runner.device->command.wrote_at.ms;
}

/* It was sent; when nothing is seen of it until its lag is over, it stays so. */
static void not_seen_yet(struct machine *machine) {
    struct device *device = machine->runner.device;
    if (!device_look_again(device))
        device->command.look_at.ms = INT64_MAX;
    runner_idle(machine);
    device_written(device, false);
    command_run(machine);
}

/* What was read back is not what was written. */
static void differs(struct machine *machine, const struct plan_write *write,
                    const uint16_t *words) {
    struct device *device = machine->runner.device;
    char text[160];
    say_difference(machine, write, words, text, sizeof text);
    if (device->command.verify && !device_awaits(device)) {
        log_warning(device->site->path, "%s: it is sent again", text);
        device->command.verify = device->command.has_sent = false;
        machine->runner.step = 0;
        machine->runner.reading_back = false;
        runner_next(machine);
    } else if ((!words || shown_by(machine, write->point) != write->point) &&
               device_look_again(device)) {
        runner_idle(machine);
        device_written(device, false);
        command_run(machine);
    } else { /* once it may have been restarted in between; then it means it */
        bool again = device->command.differed;
        device->command.differed = true;
        runner_refused(machine, text, again ? REFUSED_RETRY_MS : BUSY_RETRY_MS);
    }
}

static void step_done(struct transaction *transaction, enum err result,
                      const struct modbus_answer *answer) {
    struct machine *machine = transaction->owner;
    struct device *device = machine->runner.device;
    machine_transact_end(&machine->runner.transaction);
    machine->runner.busy = false;
    if (result != ERR_OK || modbus_unit_absent(answer->exception)) {
        runner_idle(machine);
        device_told(device, COMMAND_UNREACHABLE, "no answer to the command; it is kept");
        machine_failed(machine, result,
                       NULL); /* still due: the next sample or arrival tries again */
        return;
    }
    machine_answered(machine);
    if (machine->runner.version != device->command.version) {
        runner_next(machine);
        return;
    }
    const struct plan_write *write = &device->command.plans->wanted.writes[machine->runner.step];
    char text[160];
    if (answer->exception) {
        snprintf(text, sizeof text, "%s of %s: the device says %s",
                 machine->runner.reading_back ? "reading back" : "writing",
                 point_name(machine, write->point), modbus_exception_name(answer->exception));
        bool busy = answer->exception == 5 || answer->exception == 6;
        runner_refused(machine, text, busy ? BUSY_RETRY_MS : REFUSED_RETRY_MS);
        return;
    }
    if (machine->runner.reading_back && !is_confirmed(machine, write, answer->words)) {
        differs(machine, write, answer->words);
        return;
    }
    machine->runner.step++;
    runner_next(machine);
}

static bool submit(struct machine *machine, const struct plan_write *write, bool read) {
    int index = read ? shown_by(machine, write->point) : write->point;
    const struct point *point = &machine_driver(machine)->points[index];
    uint16_t address;
    if (!poll_address(machine, index, &address))
        return false;
    struct transaction what = {
        .request = {.unit = (uint8_t)machine->unit,
                    .function = read ? (uint8_t)poll_function(point->kind) : point->write_function,
                    .address = address,
                    .count = point->words},
        .timeout_ms = machine_driver(machine)->timeout_ms,
        .done = step_done,
        .owner = machine,
    };
    memcpy(what.request.words, write->words, (size_t)write->count * sizeof *write->words);
    machine->runner.busy =
        machine_transact(machine, &machine->runner.transaction, &what, LINK_COMMAND);
    return true;
}

/* --- by hooks ------------------------------------------------------------------------------------
 */

static void silent(struct machine *machine, const char *why) {
    struct device *device = machine->runner.device;
    char text[160];
    snprintf(text, sizeof text, "%.120s; the command is kept", why);
    runner_idle(machine);
    device_told(device, COMMAND_UNREACHABLE, text);
    machine_failed(machine, ERR_TIMEOUT,
                   why); /* still due: the next sample or arrival tries again */
}

/* A refusal is the answer to the plan that was tried: another one that is wanted by now goes on. */
static void hook_refused(struct machine *machine, const char *text, int64_t retry_ms) {
    const struct command *command = &machine->runner.device->command;
    if (command->due && machine->runner.version != command->version)
        runner_next(machine);
    else
        runner_refused(machine, text, retry_ms);
}

static void hook_wrote(struct task *task, enum task_end end, const char *text) {
    struct machine *machine = task->machine;
    struct command *command = &machine->runner.device->command;
    machine->runner.busy = false;
    switch (end) {
    case TASK_DONE:
        machine_answered(machine);
        if (!command->has_sent) /* a refresh changes nothing that could be seen */
            command->wrote_at = clock_mono();
        if (machine->runner.version == command->version)
            machine->runner.step += machine->runner.count;
        runner_next(machine);
        break;
    case TASK_DROPPED:
        runner_next(machine);
        break;
    case TASK_SILENT:
        silent(machine, text);
        break;
    case TASK_REFUSED:
        machine_answered(machine);
        hook_refused(machine, text, REFUSED_RETRY_MS);
        break;
    case TASK_FAILED: /* what it has sent before, nobody knows */
        machine_fault(machine, FAULT_HOOK, text);
        hook_refused(machine, text, BUSY_RETRY_MS);
        break;
    }
    poll_hook_turn(machine);
}

/* Hands the writes from `step` on that are for the hook over to it, as far as they follow each
 * other; or has its values read anew. False: when the task is free. */
static bool begin_hook(struct machine *machine, const struct plan *plan, bool read) {
    int count = 0, first = machine->runner.step;
    if (read) {
        machine->runner.looks = machine->runner.busy = true;
        poll_hook_begin(machine, false, true);
        return true;
    }
    if (task_busy(machine->task))
        return false;
    while (first + count < plan->write_count && is_value(machine, &plan->writes[first + count]))
        count++;
    machine->runner.count = count;
    machine->runner.busy = true;
    hooks_write(machine->runner.device, first, count, hook_wrote);
    return true;
}

void command_looked(struct machine *machine, enum err result, const char *why) {
    struct device *device = machine->runner.device;
    if (!machine->runner.looks)
        return;
    machine->runner.looks = machine->runner.busy = false;
    if (result != ERR_OK) { /* it was sent, and nobody can see it */
        bool whole = machine->runner.version == device->command.version;
        runner_idle(machine);
        if (whole)
            device_written(device, false);
        if (result == ERR_TIMEOUT)
            machine_failed(machine, result, why);
        return;
    }
    const struct plan *plan = &device->command.plans->wanted;
    while (machine->runner.version == device->command.version && next_read_back(machine, plan) &&
           is_value(machine, &plan->writes[machine->runner.step])) {
        const struct plan_write *write = &plan->writes[machine->runner.step];
        if (is_stale(machine, write)) {
            not_seen_yet(machine);
            return;
        }
        if (!is_confirmed(machine, write, NULL)) {
            differs(machine, write, NULL);
            return;
        }
        machine->runner.step++;
    }
    runner_next(machine);
}

/* --- steps ---------------------------------------------------------------------------------------
 */

/* Moves `step` to the next write that can be read back. */
static bool next_read_back(struct machine *machine, const struct plan *plan) {
    const struct point *points = machine_driver(machine)->points;
    while (machine->runner.step < plan->write_count &&
           !points[plan->writes[machine->runner.step].point].read_back)
        machine->runner.step++;
    return machine->runner.step < plan->write_count;
}

bool command_any_read_back(const struct machine *machine, const struct plan *plan) {
    const struct point *points = machine_driver(machine)->points;
    for (int i = 0; i < plan->write_count; i++)
        if (points[plan->writes[i].point].read_back)
            return true;
    return false;
}

/* From here on the device may have a part of `wanted`. */
static void begin_write(struct command *command) {
    const struct range *span = &command->plans->wanted.span;
    command->touched = true;
    if (span->lo < command->held.lo)
        command->held.lo = span->lo;
    if (span->hi > command->held.hi)
        command->held.hi = span->hi;
    if (!command->has_sent || plan_equal(&command->plans->sent, &command->plans->wanted))
        return;
    command->has_sent = command->confirmed = false;
    command->rewrite = command->reread = false;
}

static void runner_next(struct machine *machine) {
    struct device *device = machine->runner.device;
    struct command *command = &device->command;
    const struct plan *plan = &command->plans->wanted;
    if (!command->due) { /* taken back meanwhile */
        runner_idle(machine);
        command_run(machine);
        return;
    }
    if (machine->runner.version != command->version) {
        machine->runner.version = command->version;
        machine->runner.step = 0;
        machine->runner.reading_back = command->verify;
        if (!command->verify)
            begin_write(command);
    }
    if (!machine->runner.reading_back && machine->runner.step >= plan->write_count) {
        if (!command->has_sent)
            device_told(device, COMMAND_SENT, "");
        machine->runner.reading_back = true;
        machine->runner.step = 0;
    }
    bool done = machine->runner.reading_back && !next_read_back(machine, plan);
    if (done) {
        bool confirmed = command_any_read_back(machine, plan);
        runner_idle(machine);
        device_written(device, confirmed);
        command_run(machine);
        return;
    }
    const struct plan_write *write = &plan->writes[machine->runner.step];
    if (is_value(machine, write)) {
        if (!begin_hook(machine, plan, machine->runner.reading_back))
            runner_idle(machine); /* a read is under way: still due */
    } else if (!submit(machine, write, machine->runner.reading_back)) {
        char text[160];
        snprintf(text, sizeof text, "the device has no %s",
                 point_name(machine, plan->writes[machine->runner.step].point));
        runner_refused(machine, text, REFUSED_RETRY_MS);
    } else if (!machine->runner.busy) {
        runner_idle(machine); /* the link went: still due */
    }
}

void command_run(struct machine *machine) {
    if (machine->runner.device || machine->state != MACHINE_UP)
        return;
    for (int i = 0; i < DRIVER_MAX_PARTS; i++) {
        struct device *device = machine->parts[i];
        if (!device || !device->command.due)
            continue;
        machine->runner.device = device;
        machine->runner.version = device->command.version - 1; /* begins anew */
        runner_next(machine);
        return;
    }
}

void command_stop(struct machine *machine) {
    machine_transact_end(&machine->runner.transaction);
    runner_idle(machine);
}
