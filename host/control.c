/* From a decision to registers (when it may be sent: control_pace.c), in three steps: which case
 * holds and what it aims at (`struct aim`), what each write of that case is worth, what the
 * registers will then mean in watts.
 *
 * Everything is rounded toward 0. Where the aim cannot be represented at all (a charging station
 * below its least current, a limit below a register's least value), the device is told to hold:
 * less than decided, never more. */
#include "control.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define VOLTAGE_UNKNOWN 253.0 /* V: 230 V + 10 %, the most that EN 50160 allows */
#define VOLTAGE_NOMINAL 230.0 /* V: what ratings in amperes mean in watts */
#define VOLTAGE_PRESENT 100.0 /* V: below it a phase is not connected */
#define CURRENT_FLOWS   1.0   /* A: above it a vehicle charges on that phase */
#define LEAST_CURRENT   6.0   /* A: IEC 61851-1 */
#define PHASES_DEFAULT  3

struct aim {
    enum control_case control_case;
    bool has_target; /* a power to take, not only bounds */
    double target;   /* W */
    double lo, hi;   /* W, +-INFINITY: open */
    int phases;      /* that it may use once it does this: limits count them */
};

/* ---- quantities ---- */

static bool known_positive(double value) {
    return isfinite(value) && value > 0;
}

static int phases_allowed(const double *quantities) {
    double phases = quantities[POINT_PHASES];
    return phases >= 1 && phases <= 3 ? (int)phases : PHASES_DEFAULT;
}

/* Phases in use now, 0 when unknown: as the device says, else those on which a current flows. */
static int phases_in_use(const double *quantities) {
    int allowed = phases_allowed(quantities);
    int used = 0;
    double told = quantities[POINT_ACTIVE_PHASES];
    if (told >= 1 && told <= 3) {
        used = (int)told;
    } else {
        for (int i = POINT_CURRENT_L1; i <= POINT_CURRENT_L3; i++)
            if (isfinite(quantities[i]) && fabs(quantities[i]) >= CURRENT_FLOWS)
                used++;
    }
    return used < allowed ? used : allowed;
}

static double voltage(const double *quantities) {
    double sum = 0;
    int count = 0;
    for (int i = POINT_VOLTAGE_L1; i <= POINT_VOLTAGE_L3; i++) {
        if (isfinite(quantities[i]) && quantities[i] > VOLTAGE_PRESENT) {
            sum += quantities[i];
            count++;
        }
    }
    return count ? sum / count : VOLTAGE_UNKNOWN;
}

static double least_current(const double *quantities) {
    double least = quantities[POINT_MIN_CURRENT];
    return known_positive(least) ? least : LEAST_CURRENT;
}

/* A per phase that the station and its site permit, INFINITY when unknown. */
static double most_current(const double *quantities, const struct site_limits *site) {
    double most = quantities[POINT_MAX_CURRENT];
    if (!isfinite(most))
        most = INFINITY;
    return site && isfinite(site->max_current) ? fmin(most, site->max_current) : most;
}

/* Whole watts toward 0; unknown: open. */
static int32_t rating(double watts) {
    if (!isfinite(watts) || watts < 0 || watts >= POWER_UNBOUNDED)
        return POWER_UNBOUNDED;
    return (int32_t)(watts + 1e-6);
}

/* Least and most W that a station charges with on so many phases, at nominal voltage. */
static int32_t least_charging(const double *quantities, int phases) {
    return (int32_t)ceil(least_current(quantities) * VOLTAGE_NOMINAL * phases - 1e-6);
}

static int32_t most_charging(const double *quantities, const struct site_limits *site, int phases) {
    double most = most_current(quantities, site);
    if (isfinite(most))
        return rating(most * VOLTAGE_NOMINAL * phases);
    return rating(quantities[POINT_RATED_POWER] / phases_allowed(quantities) * phases);
}

/* ---- which case ---- */

static double bound_of(int32_t watts) {
    if (watts >= POWER_UNBOUNDED)
        return INFINITY;
    return watts <= -POWER_UNBOUNDED ? -INFINITY : (double)watts;
}

static void aim_bounds(struct aim *aim, enum control_case control_case, int32_t lo, int32_t hi) {
    *aim = (struct aim){.control_case = control_case, .lo = bound_of(lo), .hi = bound_of(hi)};
}

static void aim_target(struct aim *aim, double target, int32_t lo, int32_t hi) {
    enum control_case which = CONTROL_HOLD;
    if (target > 0)
        which = CONTROL_CHARGE;
    else if (target < 0)
        which = CONTROL_DISCHARGE;
    aim_bounds(aim, which, lo, hi);
    aim->has_target = true;
    aim->target = target;
}

static bool can(const struct control *control, enum control_case which) {
    return control->write_count[which] > 0;
}

/* A set point as such, or for an inverter as the limit of what it may feed in. */
static void aim_set_point(const struct control *control, enum device_type type,
                          const struct decision *decision, struct aim *aim) {
    aim_target(aim, decision->set, decision->min, decision->max);
    if (type != DEVICE_INVERTER || decision->set > 0 || can(control, aim->control_case) ||
        !can(control, CONTROL_LIMIT))
        return;
    aim->control_case = CONTROL_LIMIT;
    aim->lo = decision->set;
}

static void aim_own_control(const struct control *control, const struct decision *decision,
                            int32_t lowest, int32_t highest, struct aim *aim) {
    bool bounded = decision->min > lowest || decision->max < highest;
    if (!bounded) {
        /* A device that can be limited and not released is given its whole range. */
        bool release = can(control, CONTROL_RELEASE) || !can(control, CONTROL_LIMIT);
        aim_bounds(aim, release ? CONTROL_RELEASE : CONTROL_LIMIT, lowest, highest);
        return;
    }
    if (decision->min > 0 || decision->max < 0) {
        /* No limit keeps a device from 0: it is told the edge. */
        aim_target(aim, decision->min > 0 ? decision->min : decision->max, decision->min,
                   decision->max);
        if (can(control, aim->control_case))
            return;
    }
    if (decision->min == 0 && decision->max == 0 && can(control, CONTROL_HOLD)) {
        aim_target(aim, 0, 0, 0);
        return;
    }
    aim_bounds(aim, CONTROL_LIMIT, decision->min, decision->max);
}

static void aim_choose(const struct control_context *context, const struct decision *decision,
                       struct aim *aim) {
    const struct driver_part *part = &context->driver->parts[context->part];
    const struct control *control = &part->control;
    int32_t lowest = -POWER_UNBOUNDED;
    int32_t highest = POWER_UNBOUNDED;
    (void)ranges_hull(context->own ? context->own : context->allowed, &lowest, &highest);
    if (decision->has_set) {
        aim_set_point(control, part->type, decision, aim);
        return;
    }
    if (!context->anything_in_force && can(control, CONTROL_RELEASE)) {
        aim_bounds(aim, CONTROL_RELEASE, lowest, highest);
        return;
    }
    switch (control->no_set_point) {
    case NO_SET_FOLLOWS_MAX:
        if (decision->max <= 0)
            aim_target(aim, 0, decision->min, decision->max);
        else
            aim_target(aim, bound_of(decision->max), decision->min, decision->max);
        break;
    case NO_SET_OFF: /* or as near to it as the bounds allow */
        aim_target(aim, fmin(fmax(0, decision->min), decision->max), decision->min, decision->max);
        break;
    case NO_SET_OWN_CONTROL:
        aim_own_control(control, decision, lowest, highest, aim);
        break;
    }
}

static bool switches_phases(const struct control_context *context) {
    return context->driver->parts[context->part].control.phase_switching;
}

/* All phases that the device may use; of a station that can choose, one while that is enough. */
static int phases_chosen(const struct control_context *context, const struct aim *aim) {
    const double *quantities = context->quantities;
    int all = phases_allowed(quantities);
    if (!switches_phases(context))
        return all;
    double wanted = aim->has_target ? fmin(aim->target, aim->hi) : aim->hi;
    int32_t enough = most_charging(quantities, context->site, 1);
    if (enough == POWER_UNBOUNDED) /* unknown: one phase for what all cannot do */
        enough = least_charging(quantities, all) - 1;
    return wanted <= enough ? 1 : all;
}

/* ---- what is written ---- */

struct writing { /* one case being turned into a plan */
    const struct control_context *context;
    const struct aim *aim;
    struct plan *plan;
    bool unrepresentable; /* hold instead */
};

static void unsupported(struct plan *plan, const char *format, const char *detail)
    __attribute__((format(printf, 2, 0)));

/* `format` has one %s, for `detail`. */
static void unsupported(struct plan *plan, const char *format, const char *detail) {
    if (plan->unsupported)
        return;
    plan->unsupported = true;
    (void)snprintf(plan->reason, sizeof plan->reason, format, detail);
}

/* Phases that a set power is drawn on. What flows before a station switches tells nothing about
 * after: there it counts those that it is switched to, which is never too few. */
static int phases_drawn(const struct writing *writing) {
    int used = switches_phases(writing->context) ? 0 : phases_in_use(writing->context->quantities);
    return used ? used : writing->aim->phases;
}

/* A per phase, IEC 61851: the set point counts the phases in use, bounds all that may be used. */
static double current_wanted(const struct writing *writing) {
    const double *quantities = writing->context->quantities;
    int all = writing->aim->phases;
    double volts = voltage(quantities);
    double amperes = writing->aim->hi / (all * volts);
    if (writing->aim->has_target)
        amperes = fmin(amperes, writing->aim->target / (phases_drawn(writing) * volts));
    amperes = fmin(amperes, most_current(quantities, writing->context->site));
    int32_t lowest;
    int32_t highest;
    /* At low voltage too no more amperes than the allowed ranges mean at nominal voltage; their
     * upper end is that of all phases. */
    if (all == phases_allowed(quantities) &&
        ranges_hull(writing->context->allowed, &lowest, &highest) && highest < POWER_UNBOUNDED)
        amperes = fmin(amperes, highest / (all * VOLTAGE_NOMINAL));
    return amperes;
}

bool site_limits_any(const struct site_limits *limits) {
    return isfinite(limits->min_active_power) || isfinite(limits->max_active_power) ||
           isfinite(limits->max_current);
}

/* What a device goes to by itself lies within the permanent limits too: a current does, and where
 * it would be its own control, it is never to go there (SunSpec: a time of 0 is none). */
static double parameter_value(const struct writing *writing, const struct control_write *write) {
    const struct control_context *context = writing->context;
    const struct control *control = &context->driver->parts[context->part].control;
    double value = context->parameters[write->parameter];
    if (!control->has_watchdog || !context->site)
        return value;
    if (write->parameter == control->revert_parameter && site_limits_any(context->site))
        return 0;
    if (write->parameter != control->failsafe_parameter)
        return value;
    double most = most_current(context->quantities, context->site);
    if (isfinite(context->site->max_active_power))
        most = fmin(most, context->site->max_active_power / VOLTAGE_NOMINAL /
                              phases_allowed(context->quantities));
    value = fmin(value, most);
    return value < least_current(context->quantities) ? 0 : value;
}

/* The magnitude that a source stands for, INFINITY when open, before scale and percentage. */
static double source_value(const struct writing *writing, const struct control_write *write) {
    switch (write->source) {
    case SOURCE_POWER:
        return fabs(writing->aim->target);
    case SOURCE_CURRENT:
        return current_wanted(writing);
    case SOURCE_MAX_CHARGE_POWER:
        return fmax(writing->aim->hi, 0);
    case SOURCE_MAX_DISCHARGE_POWER:
        return fmax(-writing->aim->lo, 0);
    case SOURCE_PHASES:
        return writing->aim->phases == 1 ? 1 : 3;
    case SOURCE_PARAMETER:
        return parameter_value(writing, write);
    case SOURCE_VALUE:
        break;
    }
    return write->value;
}

/* NAN with a reason when something that it needs is unknown. */
static double write_value(struct writing *writing, const struct control_write *write) {
    double value = source_value(writing, write);
    if (write->source == SOURCE_VALUE)
        return value;
    if (isnan(value)) {
        const char *name = writing->context->driver->parameters[write->parameter].name;
        unsupported(writing->plan, "the parameter %s is not set in the site file", name);
        return NAN;
    }
    if (write->percent_of != POINT_NONE) {
        double whole = writing->context->quantities[write->percent_of];
        if (!isinf(value) && !known_positive(whole)) {
            unsupported(writing->plan, "%s of the device is unknown; set it as a parameter",
                        point_word((enum point_id)write->percent_of)->name);
            return NAN;
        }
        value = isinf(value) ? 100 : fmin(value / whole * 100, 100);
    }
    return value * write->scale;
}

/* Into what the register takes, toward 0; false when that is not possible. */
static bool write_clamp(const struct point *point, double *value) {
    if (*value > point->write_maximum && point->write_maximum >= 0)
        *value = point->write_maximum;
    else if (*value < point->write_minimum && point->write_minimum <= 0)
        *value = point->write_minimum;
    return *value >= point->write_minimum && *value <= point->write_maximum;
}

/* The watts or amperes that the written value stands for. */
static double write_magnitude(const struct writing *writing, const struct control_write *write,
                              double written) {
    double magnitude = written / write->scale;
    if (write->percent_of != POINT_NONE)
        magnitude = magnitude / 100 * writing->context->quantities[write->percent_of];
    return magnitude;
}

/* Watts that the written registers stand for, NAN for a source that is no power. */
static double write_power(const struct writing *writing, const struct control_write *write,
                          double written) {
    const double *quantities = writing->context->quantities;
    double magnitude = write_magnitude(writing, write, written);
    if (write->source == SOURCE_CURRENT)
        return magnitude * voltage(quantities) * phases_drawn(writing);
    if (write->source == SOURCE_POWER)
        return writing->aim->target < 0 ? -magnitude : magnitude;
    if (write->source == SOURCE_MAX_DISCHARGE_POWER)
        return -magnitude;
    return NAN;
}

/* The first write that carries the power says what the device was told. */
static void target_take(struct writing *writing, const struct control_write *write,
                        double written) {
    struct plan *plan = writing->plan;
    if (plan->has_target || !writing->aim->has_target || write->source == SOURCE_VALUE)
        return;
    if (write->source == SOURCE_MAX_DISCHARGE_POWER && writing->aim->control_case != CONTROL_LIMIT)
        return;
    double power = write_power(writing, write, written);
    if (!isfinite(power))
        return;
    /* 4139.9999999 is 4140 in arithmetic that is not exact. */
    plan->has_target = true;
    plan->target_w = (int32_t)trunc(power + copysign(1e-6, power));
}

static void write_plan(struct writing *writing, const struct control_write *write) {
    const struct control_context *context = writing->context;
    const struct point *point = &context->driver->points[write->point];
    struct plan_write *planned = &writing->plan->writes[writing->plan->write_count];
    double factor = point->scale_point == POINT_NONE ? NAN : context->values[point->scale_point];
    double value = write_value(writing, write);
    if (writing->plan->unsupported)
        return;
    if (!write_clamp(point, &value)) {
        writing->unrepresentable = true;
        return;
    }
    const enum err err = point_encode(point, value, factor, ROUND_TOWARD_ZERO, planned->words);
    if (err == ERR_FORMAT) {
        unsupported(writing->plan, "the scale factor of %s has not been read", point->name);
        return;
    }
    if (err != ERR_OK) {
        writing->unrepresentable = true;
        return;
    }
    double written = value;
    if (point_decode(point, planned->words, factor, &written) != POINT_OK)
        written = value;
    if (write->source == SOURCE_CURRENT &&
        write_magnitude(writing, write, written) < least_current(context->quantities) - 1e-9) {
        writing->unrepresentable = true;
        return;
    }
    planned->point = write->point;
    planned->value = written;
    planned->count = point->words;
    writing->plan->write_count++;
    target_take(writing, write, written);
}

static const char *const case_names[CONTROL_CASE_COUNT] = {
    [CONTROL_CHARGE] = "take a set power",
    [CONTROL_DISCHARGE] = "feed in a set power",
    [CONTROL_HOLD] = "be held at 0 W",
    [CONTROL_LIMIT] = "be limited",
    [CONTROL_RELEASE] = "be given back to its own control",
};

/* False when the case cannot be represented and the device is to hold. */
static bool case_plan(const struct control_context *context, const struct aim *aim,
                      struct plan *plan) {
    const struct control *control = &context->driver->parts[context->part].control;
    *plan = (struct plan){.control_case = aim->control_case};
    if (!can(control, aim->control_case)) {
        unsupported(plan, "the device cannot %s: its driver has no way to do that",
                    case_names[aim->control_case]);
        return true;
    }
    if (aim->control_case == CONTROL_HOLD)
        plan->has_target = true;
    struct writing writing = {.context = context, .aim = aim, .plan = plan};
    for (int i = 0; i < control->write_count[aim->control_case]; i++) {
        write_plan(&writing, &control->writes[aim->control_case][i]);
        if (plan->unsupported || writing.unrepresentable)
            break;
    }
    if (plan->unsupported)
        plan->write_count = 0;
    return !writing.unrepresentable;
}

void control_plan(const struct control_context *context, const struct decision *decision,
                  struct plan *plan) {
    const struct driver_part *part = &context->driver->parts[context->part];
    struct aim aim;
    *plan = (struct plan){.control_case = CONTROL_RELEASE};
    if (!part->control.present) {
        unsupported(plan, "the driver %s cannot control this device", context->driver->name);
        return;
    }
    aim_choose(context, decision, &aim);
    aim.phases = phases_chosen(context, &aim);
    if (case_plan(context, &aim, plan))
        return;
    if (switches_phases(context) && aim.phases > 1) { /* too little for all is some for one */
        aim.phases = 1;
        if (case_plan(context, &aim, plan))
            return;
    }
    aim_target(&aim, 0, decision->min, decision->max);
    aim.phases = phases_allowed(context->quantities);
    if (case_plan(context, &aim, plan))
        return;
    *plan = (struct plan){.control_case = CONTROL_HOLD};
    unsupported(plan, "no register of %s can take a value that small", context->driver->name);
}

bool plan_equal(const struct plan *a, const struct plan *b) {
    if (a->control_case != b->control_case || a->unsupported != b->unsupported ||
        a->write_count != b->write_count)
        return false;
    for (int i = 0; i < a->write_count; i++) {
        const struct plan_write *one = &a->writes[i];
        const struct plan_write *other = &b->writes[i];
        if (one->point != other->point || one->count != other->count ||
            memcmp(one->words, other->words, (size_t)one->count * sizeof one->words[0]) != 0)
            return false;
    }
    return true;
}

/* ---- allowed ranges ---- */

static double first_known(double one, double other) {
    return isfinite(one) ? one : other;
}

/* With phase switching two ranges, joined where they overlap. A vehicle that draws on fewer phases
 * than it is given narrows neither: on one phase every vehicle looks alike, so that a range that
 * went with what is seen on three would come back with the switch to one, and the switch would
 * wear. The number of phases that are wired is certain. */
static struct ranges allowed_charging(const struct control_context *context) {
    const double *quantities = context->quantities;
    const struct site_limits *site = context->site;
    struct ranges ranges = ranges_of(0, 0);
    int all = phases_allowed(quantities);
    int used = phases_in_use(quantities);
    if (most_current(quantities, site) < least_current(quantities))
        return ranges;
    if (switches_phases(context)) {
        (void)ranges_add(&ranges, least_charging(quantities, 1),
                         most_charging(quantities, site, 1));
        used = all;
    }
    (void)ranges_add(&ranges, least_charging(quantities, used ? used : all),
                     most_charging(quantities, site, all));
    return ranges;
}

/* W below which the device cannot be, 0 when it can rest or that is unknown. */
static int32_t must_run(const struct control_context *context) {
    const struct must_run *run = &context->driver->parts[context->part].must_run;
    double watts = run->watts;
    if (run->quantity != POINT_NONE)
        watts = context->quantities[run->quantity];
    else if (run->parameter != POINT_NONE)
        watts = context->parameters[run->parameter];
    bool known = run->present && known_positive(watts) && watts < POWER_UNBOUNDED;
    return known ? (int32_t)ceil(watts - 1e-6) : 0;
}

static struct ranges allowed_heating(const struct control_context *context) {
    int32_t least = must_run(context);
    int32_t most = rating(context->quantities[POINT_RATED_POWER]);
    return ranges_of(least, most > least ? most : least);
}

struct ranges control_allowed(const struct control_context *context) {
    static const struct site_limits none = {NAN, NAN, NAN};
    const double *quantities = context->quantities;
    const struct site_limits *site = context->site ? context->site : &none;
    struct ranges ranges = {0};
    double rated = quantities[POINT_RATED_POWER];
    switch (context->driver->parts[context->part].type) {
    case DEVICE_INVERTER:
        ranges = ranges_of(-rating(rated), 0);
        break;
    case DEVICE_BATTERY:
        ranges = ranges_of(-rating(first_known(quantities[POINT_MAX_DISCHARGE_POWER], rated)),
                           rating(first_known(quantities[POINT_MAX_CHARGE_POWER], rated)));
        break;
    case DEVICE_CHARGING_STATION:
        ranges = allowed_charging(context);
        break;
    case DEVICE_HEAT_PUMP:
        ranges = allowed_heating(context);
        break;
    case DEVICE_METER:
    case DEVICE_GRID_OPERATOR_BOX:
    case DEVICE_TYPE_COUNT:
        return ranges;
    }
    double most = site->max_current * VOLTAGE_NOMINAL * phases_allowed(quantities);
    double lo = isfinite(most) ? -most : -INFINITY;
    double hi = isfinite(most) ? most : INFINITY;
    if (isfinite(site->min_active_power))
        lo = fmax(lo, site->min_active_power);
    if (isfinite(site->max_active_power))
        hi = fmin(hi, site->max_active_power);
    int32_t lowest = isfinite(lo) ? (int32_t)ceil(fmax(lo, -POWER_UNBOUNDED)) : -POWER_UNBOUNDED;
    int32_t highest = isfinite(hi) ? (int32_t)floor(fmin(hi, POWER_UNBOUNDED)) : POWER_UNBOUNDED;
    struct ranges narrowed =
        lowest <= highest ? ranges_clip(&ranges, lowest, highest) : (struct ranges){0};
    if (narrowed.count)
        return narrowed;
    /* Limits that leave nothing leave the device at rest, or at what it cannot go below. */
    int32_t least = ranges_least(&ranges);
    return ranges_of(least, least);
}

int32_t control_least(const struct control_context *context) {
    const double *quantities = context->quantities;
    if (context->driver->parts[context->part].type != DEVICE_CHARGING_STATION)
        return 0;
    int phases = switches_phases(context) ? 1 : phases_allowed(quantities);
    double volts = fmax(voltage(quantities), VOLTAGE_NOMINAL);
    return (int32_t)ceil(least_current(quantities) * volts * phases - 1e-6);
}
