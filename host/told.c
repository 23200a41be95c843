/* How far a device has been told what was decided: the plan that is wanted, whether now is the time
 * for it, whether it was sent and confirmed, and whether the device follows. The writing itself is
 * command.c's. ARBITRATION section 7. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "device.h"
#include "journal.h"
#include "machine.h"
#include "script/hooks.h"
#include "script/instance.h"

#define VERIFY_MS 60000 /* a control register that nobody refreshes is read back this often */
#define LOOK_MS   500   /* until a point shows what was set, while the device's lag lasts */

static const struct mono never = {INT64_MAX};

void device_told(struct device *device, enum command_state state, const char *text) {
    struct command *command = &device->command;
    if (command->state == state && strcmp(text_of(command->text), text) == 0)
        return;
    bool bad =
        state == COMMAND_REJECTED || state == COMMAND_UNSUPPORTED || state == COMMAND_DIVERGING;
    if (bad)
        log_warning(device->site->path, "command %s: %s", command_state_name(state), text);
    else
        log_debug(device->site->path, "command %s", command_state_name(state));
    command->state = state;
    command->since = clock_now(&device->engine->clock).wall;
    text_set(&command->text, text);
    journal_told(device);
    device_card_tell(device->card, CARD_COMMAND, text);
    announce_command(device);
}

void device_forget_told(struct device *device) {
    struct command *command = &device->command;
    command->has_wanted = command->due = command->verify = command->refused = false;
    command->has_sent = command->confirmed = command->touched = false;
    command->rewrite = command->reread = command->diverged = false;
    command->version++;
    command->outside_since.ms = 0;
    command->following = FOLLOWING_UNKNOWN;
    command->pace.sent_before = false;
    command->raise_at = command->renew_at = command->retry_at = command->look_at = never;
}

enum watchdog_state device_watchdog(const struct device *device) {
    const struct driver_part *part = device_part(device);
    if (!part || !part->control.present)
        return WATCHDOG_UNKNOWN;
    const struct control *control = &part->control;
    if (!control->has_watchdog ||
        (control->revert_parameter != POINT_NONE && site_limits_any(&device->site->limits)))
        return WATCHDOG_NONE;
    return device->command.armed ? WATCHDOG_ARMED : WATCHDOG_UNARMED;
}

struct mono device_tell_next(const struct device *device) {
    const struct command *command = &device->command;
    if (command->due)
        return never; /* the runner's end comes back here */
    struct mono next = command->raise_at;
    if (command->renew_at.ms < next.ms)
        next = command->renew_at;
    if (command->retry_at.ms < next.ms)
        next = command->retry_at;
    if (command->look_at.ms < next.ms)
        next = command->look_at;
    return next;
}

/* All that the device may do once it has this plan. */
static struct range span_of(const struct device *device, const struct decision *decision,
                            const struct plan *plan) {
    struct range span = {decision->min, decision->max};
    if (plan->has_target)
        span = (struct range){plan->target_w, plan->target_w};
    else if (plan->control_case == CONTROL_RELEASE)
        (void)ranges_hull(&device->physical, &span.lo, &span.hi);
    return (struct range){span.lo < 0 ? span.lo : 0, span.hi > 0 ? span.hi : 0};
}

static void make_plan(struct device *device, const struct decision *decision, struct plan *plan) {
    double quantities[POINT_NUMBER_COUNT];
    device_quantities(device, quantities);
    const struct control_context context = {
        .driver = machine_driver(device->machine),
        .part = device->part,
        .values = device->machine->values,
        .parameters = device->parameters,
        .quantities = quantities,
        .allowed = &device->allowed,
        .own = &device->physical,
        .site = &device->site->limits,
        .anything_in_force = device->anything_in_force,
    };
    control_plan(&context, decision, plan);
    if (!plan->unsupported)
        hooks_command(device, plan);
    plan->span = span_of(device, decision, plan);
}

/* A fallback alone is not sent before the policies that may want something else have had their say,
 * and a device that was never told anything is not told to go on as it does. */
static bool too_early(struct device *device, struct mono now) {
    struct command *command = &device->command;
    if (!device->only_fallback || command->touched)
        return false;
    command->due = false; /* what was wanted before has ended and nothing of it was written */
    if (!device->anything_in_force && !device->told_before)
        return true;
    struct mono end = {device->engine->started.ms + ENGINE_GRACE_MS};
    if (now.ms >= end.ms || !instance_awaited(device))
        return false;
    command->raise_at = end;
    device_told(device, COMMAND_PENDING, "waits for the first word of its policies");
    return true;
}

/* True when the device has this plan, whole. */
static bool is_on_device(const struct command *command, const struct plan *plan) {
    return command->has_sent && plan_equal(&command->plans->sent, plan);
}

/* Hands a plan to the runner; `verify`: only read it back. */
static void want(struct device *device, const struct plan *plan, bool verify) {
    struct command *command = &device->command;
    if (!command->has_wanted || !plan_equal(&command->plans->wanted, plan)) {
        command->version++;
        command->differed = false;
    }
    command->plans->wanted = *plan;
    command->has_wanted = command->due = true;
    command->verify = verify;
    command->refused = false;
    command->retry_at = never;
    if (!is_on_device(command, plan)) {
        command->look_at = never; /* a refresh does not begin the wait anew */
        device_told(device, COMMAND_PENDING, "");
    }
    command_run(device->machine);
}

static bool same_wish(const struct decision *a, const struct decision *b) {
    return a->has_set == b->has_set && (!a->has_set || a->set == b->set) && a->min == b->min &&
           a->max == b->max;
}

/* True when the plan on the device still serves. It is made anew for another decision, other phases
 * in use, or when the power is outside the bounds (the voltage has moved); not for every volt,
 * which would wear registers out. A refresh plans anew in any case. */
static bool still_serves(const struct device *device, struct mono now) {
    const struct command *command = &device->command;
    double phases = device_phases(device);
    double power_w = device_quantity(device, POINT_ACTIVE_POWER);
    return command->has_sent && !command->due && !command->rewrite && !command->reread &&
           device_tell_next(device).ms > now.ms &&
           same_wish(&command->plans->planned_for, &device->decision) &&
           (phases == command->planned_phases ||
            (isnan(phases) && isnan(command->planned_phases))) &&
           !(command->planned_blind && !isnan(device_quantity(device, POINT_VOLTAGE_L1))) &&
           !(power_w > device->decision.max || power_w < device->decision.min);
}

/* The device keeps what it has: nothing else is wanted any more. Its watchdog is refreshed when it
 * is time, or it is read back whether it still has it. What was begun of that and overtaken by
 * another plan, which was taken back, is begun anew. */
static void stay(struct device *device, bool look, struct mono now) {
    struct command *command = &device->command;
    const struct plan sent = command->plans->sent;
    bool renew = command->renew_at.ms <= now.ms;
    bool refreshes = device_part(device)->control.refresh_ms > 0;
    if (command->retry_at.ms <= now.ms || (renew && refreshes))
        command->rewrite = true;
    if (look || renew)
        command->reread = true;
    if (renew)
        command->renew_at = never;
    if (command->due && plan_equal(&command->plans->wanted, &sent))
        return; /* being refreshed or read back */
    command->due = command->refused = false;
    if (command->rewrite || command->reread)
        want(device, &sent, !command->rewrite);
}

/* What it has is not what is wanted, so it is not refreshed either; the next sample tries again. */
static void cannot(struct device *device, const struct plan *plan) {
    struct command *command = &device->command;
    command->due = command->refused = command->has_sent = command->confirmed = false;
    command->rewrite = command->reread = false;
    command->raise_at = command->renew_at = command->retry_at = command->look_at = never;
    device_told(device, COMMAND_UNSUPPORTED, plan->reason);
}

/* It may do what was sent; no more than that only when nothing speaks for the opposite: it was read
 * back, or cannot be. */
static void hold_sent(struct device *device, bool confirmed) {
    struct command *command = &device->command;
    const struct range *span = &command->plans->sent.span;
    if (confirmed || !command_any_read_back(device->machine, &command->plans->sent)) {
        command->held = *span;
        command->has_held = true;
        return;
    }
    if (span->lo < command->held.lo)
        command->held.lo = span->lo;
    if (span->hi > command->held.hi)
        command->held.hi = span->hi;
}

/* From one side of 0 to the other, or from what nobody knows, a device goes by way of rest: between
 * two writes of one plan it would do the old with the new power, or the new with the old. */
static bool rests_first(const struct device *device, const struct plan *plan) {
    const struct control *control = &device_part(device)->control;
    const struct command *command = &device->command;
    if (!control->write_count[CONTROL_CHARGE] || !control->write_count[CONTROL_DISCHARGE] ||
        !control->write_count[CONTROL_HOLD] || !plan->has_target || plan->target_w == 0)
        return false;
    if (!command->has_sent)
        return true;
    const struct plan *sent = &command->plans->sent;
    return sent->has_target && sent->target_w != 0 && (sent->target_w > 0) != (plan->target_w > 0);
}

/* `pace` knows an earlier plan only while `sent` holds it. */
static void want_at_its_pace(struct device *device, struct plan *plan, bool look, struct mono now) {
    struct command *command = &device->command;
    int32_t allowed_w;
    struct mono again;
    switch (pace_ask(&command->pace, &device_part(device)->control, &device->decision, plan, now,
                     &allowed_w, &again)) {
    case PACE_LATER:
        command->raise_at = again;
        if (command->has_sent) {
            device_told(device, COMMAND_PENDING, "a raise waits for its pace");
            stay(device, look, now);
        } else {
            /* Something was begun that is not wanted any more: put back what may stay. */
            const struct plan before = command->plans->sent;
            want(device, &before, false);
        }
        return;
    case PACE_PARTLY: {
        struct decision step = device->decision;
        step.has_set = true;
        step.set = allowed_w;
        make_plan(device, &step, plan);
        command->raise_at = again;
        break;
    }
    case PACE_NOW:
        break;
    }
    if (rests_first(device, plan)) {
        struct decision rest = device->decision;
        rest.has_set = true;
        rest.set = 0;
        make_plan(device, &rest, plan);
        command->raise_at = now;
    }
    if (is_on_device(command, plan))
        stay(device, look, now); /* a step of the ramp that is too small for its registers */
    else if (plan->unsupported)
        cannot(device, plan);
    else
        want(device, plan, false);
}

void device_tell(struct device *device) {
    struct command *command = &device->command;
    struct mono now = clock_mono();
    bool look = command->look_at.ms <= now.ms;
    if (look)
        command->look_at.ms = now.ms + LOOK_MS;
    if (!device->has_decision) {
        device_told(device, COMMAND_NONE, "");
        return;
    }
    if (!device->machine || !device_reachable(device)) {
        device_told(device, device->anything_in_force ? COMMAND_UNREACHABLE : COMMAND_NONE,
                    text_of(device->connection_text));
        return;
    }
    if (device->machine->state != MACHINE_UP)
        return; /* arriving: device_connect() comes back here */
    if (!command->plans && !(command->plans = calloc(1, sizeof *command->plans))) {
        device_told(device, COMMAND_PENDING,
                    "no memory for its plans; the next sample tries again");
        return;
    }
    if (still_serves(device, now)) {
        if (look)
            stay(device, true, now);
        return;
    }
    command->raise_at = never;
    if (too_early(device, now))
        return;
    if (device->site->observe) {
        device_told(device, COMMAND_OBSERVED, "mode is observe: decided, never sent");
        return;
    }
    struct plan plan;
    make_plan(device, &device->decision, &plan);
    if (plan.unsupported) {
        cannot(device, &plan);
        return;
    }
    command->plans->planned_for = device->decision;
    command->planned_phases = device_phases(device);
    command->planned_blind = isnan(device_quantity(device, POINT_VOLTAGE_L1));
    if (command->due && plan_equal(&plan, &command->plans->wanted))
        return;
    if (command->refused && plan_equal(&plan, &command->plans->wanted)) {
        if (command->retry_at.ms <= now.ms)
            want(device, &plan, false);
        return;
    }
    if (!is_on_device(command, &plan)) {
        want_at_its_pace(device, &plan, look, now);
        return;
    }
    if (!command->due) { /* what was rounded away before may be what is asked for now */
        command->plans->sent.span = plan.span;
        hold_sent(device, command->confirmed);
    }
    stay(device, look, now);
    if (command->state == COMMAND_PENDING)
        device_told(device, command->confirmed ? COMMAND_CONFIRMED : COMMAND_SENT, "");
}

static void remember_told(struct device *device) {
    if (device->told_before)
        return;
    device->told_before = true;
    if (store_put_text(device->engine->store, "told", device->id, "1", NULL, NULL))
        log_warning(device->site->path, "that it was told something could not be stored");
}

void device_written(struct device *device, bool confirmed) {
    struct command *command = &device->command;
    struct mono now = clock_mono();
    bool again = command->has_sent; /* refreshed or read back: nothing new for the pace */
    if (!again) {
        command->plans->sent = command->plans->wanted;
        command->has_sent = true;
        command->sent_at = now;
        pace_sent(&command->pace, &command->plans->sent, now);
        remember_told(device);
    }
    bool rewritten = !command->verify;
    command->due = command->verify = command->reread = false;
    command->rewrite = command->rewrite && !rewritten;
    command->confirmed = confirmed;
    hold_sent(device, confirmed);
    const struct control *control = &device_part(device)->control;
    bool holds = command->plans->sent.control_case != CONTROL_RELEASE;
    command->armed = holds;
    if (confirmed) {
        command->look_at = never;
        command->differed = false;
    }
    if (!holds)
        command->renew_at = never;
    else if (!control->refresh_ms)
        command->renew_at.ms = now.ms + VERIFY_MS;
    else if (rewritten) /* a read-back alone keeps no watchdog quiet */
        command->renew_at.ms = now.ms + control->refresh_ms;
    if (!again || (command->state != COMMAND_DIVERGING && command->state != COMMAND_PENDING))
        device_told(device, confirmed ? COMMAND_CONFIRMED : COMMAND_SENT, "");
    device_decide(device); /* the world may have moved on meanwhile */
    device_publish(device);
}

bool device_awaits(const struct device *device) {
    return device->command.look_at.ms != never.ms;
}

bool device_look_again(struct device *device) {
    struct command *command = &device->command;
    int64_t now_ms = clock_mono().ms;
    if (!device_awaits(device)) /* written just now */
        command->look_end.ms = now_ms + device_part(device)->control.lag_ms;
    if (now_ms >= command->look_end.ms)
        return false;
    command->look_at.ms = now_ms + LOOK_MS;
    return true;
}

static enum following follow(const struct device *device, double power_w, int32_t tolerance_w) {
    if (!device->decision.has_set || !device->anything_in_force)
        return FOLLOWING_UNKNOWN;
    double off = power_w - device->decision.set;
    if (fabs(off) <= tolerance_w)
        return FOLLOWING_WITHIN;
    return off < 0 ? FOLLOWING_BELOW : FOLLOWING_ABOVE;
}

void device_watch(struct device *device) {
    struct command *command = &device->command;
    double power_w = device_quantity(device, POINT_ACTIVE_POWER);
    if (!device->has_decision || !device_part(device) || isnan(power_w)) {
        command->following = FOLLOWING_UNKNOWN;
        return;
    }
    const struct control *control = &device_part(device)->control;
    command->following = follow(device, power_w, control->tolerance_w);
    bool told = command->state == COMMAND_SENT || command->state == COMMAND_CONFIRMED ||
                command->state == COMMAND_DIVERGING;
    bool outside = device->anything_in_force &&
                   (power_w > (double)device->decision.max + control->tolerance_w ||
                    power_w < (double)device->decision.min - control->tolerance_w);
    struct mono now = clock_mono();
    if (!outside)
        command->diverged = false;
    if (!told || !outside) {
        command->outside_since.ms = 0;
        if (command->state == COMMAND_DIVERGING && !command->due)
            device_told(device, command->confirmed ? COMMAND_CONFIRMED : COMMAND_SENT, "");
        return;
    }
    if (command->outside_since.ms == 0 || command->outside_since.ms < command->sent_at.ms)
        command->outside_since = now;
    if (now.ms - command->outside_since.ms <= control->lag_ms ||
        command->state == COMMAND_DIVERGING)
        return;
    char text[160];
    snprintf(text, sizeof text, "measures %.0f W, allowed is %d..%d W, for longer than its lag",
             power_w, device->decision.min, device->decision.max);
    command->diverged = true;
    device_told(device, COMMAND_DIVERGING, text);
    command->retry_at.ms = now.ms;
}
