/* Rooms: what is left of each limit, once the load is known that nobody here controls. */
#include <math.h>
#include <string.h>

#include "cluster/split_internal.h"

/* --- uncontrolled load --------------------------------------------------------------------------
 */

static double measured(const struct split_device *device, int quantity) {
    double power = quantity == 0 ? device->power : device->phases[quantity - 1];
    if (isnan(power) && quantity > 0)
        power = device->power * device->weight[quantity - 1];
    return isnan(power) ? 0 : power;
}

static struct split_moment moment_of(const struct split_work *work, int index) {
    const struct split_level *level = &work->levels[index];
    struct split_moment moment = {.at_ms = level->sampled_ms};
    for (int q = 0; q < SPLIT_QUANTITIES; q++)
        moment.import[q] = moment.export[q] = moment.rest[q] = level->metered[q];
    for (size_t i = 0; i < work->device_count; i++) {
        const struct split_device *device = &work->devices[i];
        if (!split_takes_part(device) || device->reach == SPLIT_SILENT ||
            !split_below(work, device, index))
            continue;
        for (int q = 0; q < SPLIT_QUANTITIES; q++) {
            double power = measured(device, q);
            moment.import[q] -= power > 0 ? power : 0;
            moment.export[q] -= power < 0 ? power : 0;
            moment.rest[q] -= power;
        }
    }
    return moment;
}

/* The worse of two moments; what is unknown in one of them (NAN) is unknown. */
static void moment_join(struct split_moment *into, const struct split_moment *other) {
    for (int q = 0; q < SPLIT_QUANTITIES; q++) {
        if (!(into->import[q] >= other->import[q]))
            into->import[q] = other->import[q];
        if (!(into->export[q] <= other->export[q]))
            into->export[q] = other->export[q];
        if (!(into->rest[q] <= other->rest[q]))
            into->rest[q] = other->rest[q];
    }
}

/* A sample is joined to the newest moment until that one is long enough: so the moments that are
 * kept reach over the window however often the meter is read. */
void split_sample(struct split_work *work, int index) {
    struct split_level *level = &work->levels[index];
    struct split_moment *moments = level->moments;
    if (level->meter != SPLIT_METER_FRESH) {
        memset(level->moments, 0, sizeof level->moments);
        return;
    }
    if (moments[0].at_ms == level->sampled_ms)
        return;
    struct split_moment sample = moment_of(work, index);
    int64_t apart = level->window_ms / (SPLIT_MOMENTS - 1);
    if (moments[1].at_ms && moments[0].at_ms - moments[1].at_ms < apart) {
        moment_join(&sample, &moments[0]);
        moments[0] = sample;
        return;
    }
    memmove(moments + 1, moments, sizeof *moments * (SPLIT_MOMENTS - 1));
    moments[0] = sample;
}

struct split_moment split_window(const struct split_level *level) {
    struct split_moment whole = level->moments[0];
    for (int i = 1; i < SPLIT_MOMENTS; i++) {
        const struct split_moment *moment = &level->moments[i];
        if (moment->at_ms && level->moments[0].at_ms - moment->at_ms <= level->window_ms)
            moment_join(&whole, moment);
    }
    return whole;
}

/* What silent devices count with stands in the meter's reading as well. It is taken out of the load
 * as far as there is load: never so far that a device which is off would make room. */
static double without_silent(const struct split_work *work, int index, int quantity, double load) {
    double silent = 0;
    for (size_t i = 0; i < work->device_count; i++) {
        const struct split_device *device = &work->devices[i];
        if (split_takes_part(device) && device->reach == SPLIT_SILENT &&
            split_below(work, device, index) && split_weight(device, quantity) > 0)
            silent += device->sides[work->side].counted * split_weight(device, quantity);
    }
    if (work->side == IMPORT)
        return load > 0 ? split_positive(load - silent) : load;
    return load < 0 ? -split_positive(-load - silent) : load;
}

/* W, signed; INFINITY when nothing is known of an import. */
static double uncontrolled(struct split_work *work, int index, int quantity) {
    struct split_level *level = &work->levels[index];
    const struct split_moment window = split_window(level);
    double load = work->side == IMPORT ? window.import[quantity] : window.export[quantity];
    level->by_meter[quantity] = level->meter == SPLIT_METER_FRESH && !isnan(load);
    level->blind[quantity] = !level->by_meter[quantity] && isnan(level->declared);
    if (level->by_meter[quantity])
        return without_silent(work, index, quantity, load);
    if (work->side == EXPORT)
        return 0; /* no load that could be counted on */
    return level->blind[quantity] ? INFINITY : level->declared;
}

/* --- budgets ------------------------------------------------------------------------------------
 */

/* W that may go this way; below 0: so much must go the other way. */
static double limit_room(const struct limit *limit, int side, int quantity) {
    if (quantity > 0)
        return limit->current[quantity - 1] * SPLIT_VOLTAGE;
    if (side == IMPORT)
        return limit->max >= POWER_UNBOUNDED ? INFINITY : (double)limit->max;
    return limit->min <= -POWER_UNBOUNDED ? INFINITY : -(double)limit->min;
}

void split_rooms(struct split_work *work) {
    for (size_t i = 0; i < work->level_count; i++) {
        struct split_level *level = &work->levels[i];
        for (int q = 0; q < SPLIT_QUANTITIES; q++) {
            double load = uncontrolled(work, (int)i, q);
            level->uncontrolled[work->side][q] = load;
            for (int scope = 0; scope < SCOPE_COUNT; scope++) {
                double *room = &level->room[work->side][scope][q];
                *room = limit_room(&level->limits[scope], work->side, q);
                if (scope == SCOPE_CONNECTION && isfinite(*room))
                    *room -= work->side == IMPORT ? load : -load;
            }
        }
    }
}

struct budgets { /* a walk over the limited budgets that a device draws on */
    const struct split_work *work;
    const struct split_device *device;
    int level, scope, quantity;
    double *room;
    double weight;
};

static struct budgets budgets_of(const struct split_work *work, const struct split_device *device) {
    return (struct budgets){.work = work, .device = device, .level = device->level, .quantity = -1};
}

static bool budgets_next(struct budgets *at) {
    while (at->level >= 0) {
        if (++at->quantity == SPLIT_QUANTITIES) {
            at->quantity = 0;
            at->scope++;
        }
        if (at->scope == SCOPE_COUNT) {
            at->level = at->work->levels[at->level].parent;
            at->scope = 0;
            at->quantity = -1;
            continue;
        }
        at->room = &at->work->levels[at->level].room[at->work->side][at->scope][at->quantity];
        at->weight = split_weight(at->device, at->quantity);
        if (at->weight > 0 && *at->room < (double)INFINITY)
            return true;
    }
    return false;
}

static int budget_number(const struct budgets *at) {
    return (at->level * SCOPE_COUNT + at->scope) * SPLIT_QUANTITIES + at->quantity;
}

void split_charge(struct split_work *work, const struct split_device *device, double watts) {
    if (watts == 0)
        return;
    for (struct budgets at = budgets_of(work, device); budgets_next(&at);)
        *at.room -= at.weight * watts;
}

int split_lacks(struct split_work *work, const struct split_device *device, double more) {
    for (struct budgets at = budgets_of(work, device); budgets_next(&at);)
        if (at.weight * more > *at.room + SPLIT_EXACT)
            return budget_number(&at);
    return -1;
}

bool split_draws_on(const struct split_work *work, const struct split_device *device, int budget) {
    for (struct budgets at = budgets_of(work, device); budgets_next(&at);)
        if (budget_number(&at) == budget)
            return true;
    return false;
}

bool split_is_limited(struct split_work *work, const struct split_device *device) {
    struct budgets at = budgets_of(work, device);
    return budgets_next(&at);
}
