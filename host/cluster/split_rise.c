/* Against export: how much is to be taken, by whom, before PV is curtailed. What PV could produce
 * while it is held back is not measured: it is believed to be what it did before, for a while, and
 * a little more than its limit otherwise, so that those who rise go up step by step until PV is not
 * held back any more. */
#include <math.h>

#include "cluster/split_internal.h"

#define AT_LIMIT_W    50 /* PV within this of its limit is taken to be held by it */
#define AT_LIMIT_PART 0.02
#define PROBE_LEAST_W 100 /* PV at its limit could do this more */
#define PROBE_PART    0.05
#define FREE_MS       20000  /* PV that does less than before, and may do more, cannot */
#define BELIEVED_MS   600000 /* how long what PV was seen to do is believed while it is held */
#define IDLE_W        50     /* below it a load takes nothing */

/* Updates what a producer could do. What it does less than before is believed when it was free to
 * do more for a while: after a release it needs its lag. */
static void see_potential(struct split_work *work, struct split_device *device) {
    struct split_state *state = &device->state;
    double rated = split_edge(&device->nameplate, EXPORT);
    double limit = device->has_held ? split_edge(&device->held, EXPORT) : INFINITY;
    if (isnan(device->power))
        return;
    double power = split_positive(-device->power);
    bool held = limit < rated && power >= limit - fmax(AT_LIMIT_W, AT_LIMIT_PART * limit);
    if (held)
        state->free_ms = 0;
    else if (!state->free_ms)
        state->free_ms = work->now_ms;
    bool told_less = state->free_ms && work->now_ms - state->free_ms >= FREE_MS;
    if (power >= state->potential || told_less ||
        work->now_ms - state->potential_ms > BELIEVED_MS) {
        state->potential = power;
        state->potential_ms = work->now_ms;
    }
    double probe = fmax(PROBE_LEAST_W, isfinite(rated) ? PROBE_PART * rated : 0);
    if (held && limit + probe > state->potential) {
        state->potential = limit + probe;
        state->potential_ms = work->now_ms;
    }
}

/* W that must be taken below this level so that nothing is curtailed; 0 or less: nothing. */
static double needed(const struct split_work *work, int index) {
    const struct split_level *level = &work->levels[index];
    const struct split_moment window = split_window(level);
    double most = -INFINITY;
    for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++) {
        const struct limit *limit = &level->limits[scope];
        if (limit->min <= -POWER_UNBOUNDED)
            continue;
        double export = (double)limit->min; /* of the limit: what may go out is taken off */
        if (scope == SCOPE_CONNECTION && level->meter == SPLIT_METER_FRESH &&
            !isnan(window.rest[0]))
            export -= window.rest[0];
        for (size_t i = 0; i < work->device_count; i++) {
            const struct split_device *device = &work->devices[i];
            if (!split_below(work, device, index) || !split_takes_part(device))
                continue;
            if (device->reach == SPLIT_SILENT)
                export += scope == SCOPE_CONTROLLABLE ? device->sides[EXPORT].counted : 0;
            else if (device->type == DEVICE_INVERTER)
                export += fmin(device->state.potential, split_edge(&device->wants, EXPORT));
        }
        most = fmax(most, export);
    }
    return most;
}

static bool may_rise(const struct split_work *work, const struct split_device *device, int level) {
    return device->reach != SPLIT_SILENT && split_takes_part(device) && device->may.hi > 0 &&
           split_below(work, device, level);
}

/* Batteries first, then loads by rank, then by id as they stand. */
static bool rises_before(const struct split_device *a, const struct split_device *b) {
    bool battery_a = a->type == DEVICE_BATTERY;
    bool battery_b = b->type == DEVICE_BATTERY;
    return battery_a != battery_b ? battery_a : a->rank < b->rank;
}

/* What one takes of `need`. A step is begun for no less than a step, and kept for anything. */
static double rise_of(const struct split_device *device, double need) {
    double most = fmin(device->may.hi, device->sides[IMPORT].cap);
    double least = device->least;
    if (least > most || need <= SPLIT_EXACT)
        return 0;
    if (need < least)
        return device->state.risen ? least : 0;
    return fmin(need, most);
}

static void rise_level(struct split_work *work, int level) {
    double need = needed(work, level);
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_device *device = &work->devices[i];
        device->sides[EXPORT].rises = false; /* until it has had its turn */
        if (!split_below(work, device, level) || !split_takes_part(device))
            continue;
        if (device->rise > 0)
            need -= device->rise; /* for another level */
        else if (device->type != DEVICE_BATTERY && device->reach != SPLIT_SILENT &&
                 !device->state.risen && device->power > IDLE_W)
            need -= device->power; /* by its own wish */
    }
    for (;;) {
        struct split_device *best = NULL;
        for (size_t i = 0; i < work->device_count; i++) {
            struct split_device *device = &work->devices[i];
            bool own_wish =
                device->type != DEVICE_BATTERY && !device->state.risen && device->power > IDLE_W;
            if (!device->sides[EXPORT].rises && device->rise <= 0 && !own_wish &&
                may_rise(work, device, level) && (!best || rises_before(device, best)))
                best = device;
        }
        if (!best)
            return;
        best->sides[EXPORT].rises = true;
        best->rise = rise_of(best, need);
        need -= best->rise;
    }
}

void split_rises(struct split_work *work) {
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_device *device = &work->devices[i];
        device->rise = 0;
        if (device->type == DEVICE_INVERTER && device->reach != SPLIT_SILENT)
            see_potential(work, device);
    }
    for (size_t i = 0; i < work->level_count; i++)
        rise_level(work, (int)i);
    for (size_t i = 0; i < work->device_count; i++)
        work->devices[i].state.risen = work->devices[i].rise > 0;
}
