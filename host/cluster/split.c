#include "cluster/split_internal.h"

#include <math.h>
#include <string.h>

#define TRIFLE_LEAST_W 20
#define TRIFLE_PART    0.01 /* of what it could do */
#define ROUNDED_W      2    /* what a register may round away of a share */
#define HEADROOM_PART  0.1  /* of its rating: what PV gets beyond what it is seen to do */

double split_positive(double value) {
    return value > 0 ? value : 0;
}

double split_edge(const struct range *range, int side) {
    if (side == IMPORT)
        return range->hi >= POWER_UNBOUNDED ? INFINITY : split_positive(range->hi);
    return range->lo <= -POWER_UNBOUNDED ? INFINITY : split_positive(-(double)range->lo);
}

double split_weight(const struct split_device *device, int quantity) {
    return quantity == 0 ? 1 : device->weight[quantity - 1];
}

bool split_takes_part(const struct split_device *device) {
    return !device_type_only_tells(device->type);
}

bool split_below(const struct split_work *work, const struct split_device *device, int level) {
    for (int at = device->level; at >= 0; at = work->levels[at].parent)
        if (at == level)
            return true;
    return false;
}

void split_look_again(struct split_work *work, int64_t at_ms) {
    if (at_ms > work->now_ms && at_ms < work->again_ms)
        work->again_ms = at_ms;
}

/* --- what each counts with, and wants -----------------------------------------------------------
 */

static double counted_silent(const struct split_device *device, int side) {
    double most = 0;
    if (device->has_held)
        most = split_edge(&device->held, side);
    if (device->has_failsafe)
        most = fmax(most, split_edge(&device->failsafe, side));
    return device->has_held || device->has_failsafe ? most : split_edge(&device->nameplate, side);
}

static double counted_stubborn(const struct split_device *device, int side) {
    double nameplate = split_edge(&device->nameplate, side);
    if (isnan(device->power))
        return nameplate;
    double power = split_positive(side == IMPORT ? device->power : -device->power);
    return device->untold ? fmax(power, nameplate) : power;
}

/* PV wants what it is seen to be able to do and some more: its rating would keep the batteries from
 * discharging all night. */
static double wanted(const struct split_device *device, int side) {
    double want = split_edge(&device->wants, side);
    double rated = split_edge(&device->nameplate, side);
    if (side == IMPORT || device->type != DEVICE_INVERTER || isnan(device->power) || isinf(rated))
        return want;
    return fmin(want, device->state.potential + HEADROOM_PART * rated);
}

static void side_begin(const struct split_work *work, struct split_device *device) {
    struct split_side *side = &device->sides[work->side];
    struct range hull = {0, 0};
    *side = (struct split_side){.by = -1, .why = SPLIT_ALL};
    if (!split_takes_part(device))
        return;
    double minimum = 0;
    if (ranges_hull(&device->own, &hull.lo, &hull.hi)) {
        minimum = split_positive(work->side == IMPORT ? hull.lo : -(double)hull.hi);
        side->cap = fmax(minimum, split_edge(&hull, work->side));
    }
    if (isinf(side->cap)) /* without a known maximum it takes no share */
        side->cap = minimum;
    side->want = fmin(side->cap, fmax(minimum, wanted(device, work->side)));
    if (work->side == IMPORT)
        side->want = fmax(side->want, fmin(device->rise, side->cap));
    if (work->side == IMPORT && side->want < device->least)
        side->want = minimum;
    side->held = split_edge(device->has_held ? &device->held : &device->nameplate, work->side);
    if (!isnan(device->power) &&
        device->reach != SPLIT_SILENT) /* it may still be on its way down */
        side->held = fmax(side->held, work->side == IMPORT ? device->power : -device->power);
    double told = device->state.given[work->side];
    if (told > side->held && told - side->held <= ROUNDED_W)
        side->held = told; /* a share is not taken back because its register rounds */
    if (device->reach == SPLIT_SILENT)
        side->counted = counted_silent(device, work->side);
    else if (device->reach == SPLIT_STUBBORN)
        side->counted = counted_stubborn(device, work->side);
    side->minimum = minimum;
}

/* --- who has what -------------------------------------------------------------------------------
 */

static struct split_side *side_of(struct split_work *work, size_t i) {
    return &work->devices[i].sides[work->side];
}

static bool is_apart(const struct split_work *work, size_t i) {
    return work->devices[i].reach != SPLIT_REACHED;
}

/* What is missing when all that can yield has. */
static void note_over(struct split_work *work) {
    split_rooms(work);
    for (size_t i = 0; i < work->device_count; i++) {
        const struct split_side *side = side_of(work, i);
        split_charge(work, &work->devices[i], fmax(side->minimum, side->counted));
    }
    for (size_t i = 0; i < work->level_count; i++)
        for (int scope = 0; scope < SCOPE_COUNT; scope++)
            for (int q = 0; q < SPLIT_QUANTITIES; q++) {
                double room = work->levels[i].room[work->side][scope][q];
                work->levels[i].over[work->side][scope][q] = room < -SPLIT_EXACT ? -room : 0;
            }
}

/* What they want, then what is left to those who have that. `apart`: silent and stubborn devices
 * count with what they count; else as if they did as they are told, which is what they are told. */
static void distribute(struct split_work *work, bool apart) {
    split_rooms(work);
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_side *side = side_of(work, i);
        bool counts = apart && is_apart(work, i);
        side->base = counts ? fmax(side->ideal, fmax(side->minimum, side->counted)) : side->minimum;
        side->goal = counts ? side->base : side->want;
        side->why = counts ? side->why : SPLIT_ALL;
        side->by = counts ? side->by : -1;
        split_charge(work, &work->devices[i], side->base);
    }
    split_fill(work);
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_side *side = side_of(work, i);
        bool served = side->base >= side->want - SPLIT_EXACT;
        side->goal = served && !is_apart(work, i) ? side->cap : side->base;
        if (!(apart && is_apart(work, i)))
            side->ideal_want = side->base;
    }
    work->quiet = true;
    split_fill(work);
    work->quiet = false;
    for (size_t i = 0; i < work->device_count; i++)
        if (!(apart && is_apart(work, i)))
            side_of(work, i)->ideal = side_of(work, i)->base;
}

static void find_ideal(struct split_work *work) {
    bool any_apart = false;
    distribute(work, false);
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_side *side = side_of(work, i);
        any_apart = any_apart || is_apart(work, i);
        if (work->devices[i].reach != SPLIT_SILENT)
            continue;
        /* It is told this when it comes back: no more than it counts with until then. */
        side->ideal = fmin(side->ideal, side->counted);
        side->ideal_want = fmin(side->ideal_want, side->counted);
        side->why = SPLIT_COUNTED;
    }
    if (any_apart)
        distribute(work, true);
}

/* Reductions at once; of the raises what is left when everyone counts with what it still holds:
 * first what is wanted, then what is offered. */
static void go_there(struct split_work *work) {
    split_rooms(work);
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_side *side = side_of(work, i);
        const struct split_device *device = &work->devices[i];
        double counts = fmax(side->minimum, side->held);
        if (is_apart(work, i)) {
            counts = fmax(side->ideal, fmax(side->minimum, side->counted));
            if (device->reach == SPLIT_STUBBORN)
                counts = fmax(counts, side->held);
        }
        split_charge(work, device, counts);
        side->base = is_apart(work, i) ? side->ideal : fmin(side->ideal, counts);
        side->goal = is_apart(work, i) ? side->base : fmax(side->base, side->ideal_want);
    }
    work->quiet = true;
    split_fill(work);
    for (size_t i = 0; i < work->device_count; i++)
        side_of(work, i)->goal = side_of(work, i)->ideal;
    split_fill(work);
    work->quiet = false;
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_side *side = side_of(work, i);
        side->given = side->base;
        if (!is_apart(work, i) && side->given < side->ideal_want - SPLIT_EXACT)
            side->why = SPLIT_WAITS;
    }
}

/* Where the room moves with every sample, a raise that is hardly one is not worth a write. */
static bool is_trifle(const struct split_work *work, const struct split_device *device) {
    const struct split_side *side = &device->sides[work->side];
    double more = side->given - device->state.given[work->side];
    if (device->reach != SPLIT_REACHED || device->state.given[work->side] <= 0 || more <= 0 ||
        more >= fmax(TRIFLE_LEAST_W, TRIFLE_PART * side->cap))
        return false;
    if (work->side == EXPORT && device->type == DEVICE_INVERTER)
        return true;
    int scope = side->by / SPLIT_QUANTITIES % SCOPE_COUNT;
    return side->by >= 0 && scope == SCOPE_CONNECTION;
}

static void drop_trifles(struct split_work *work) {
    for (size_t i = 0; i < work->device_count; i++)
        if (is_trifle(work, &work->devices[i]))
            side_of(work, i)->given = work->devices[i].state.given[work->side];
}

static void split_side_of(struct split_work *work, int side) {
    work->side = side;
    for (size_t i = 0; i < work->device_count; i++)
        side_begin(work, &work->devices[i]);
    note_over(work);
    find_ideal(work);
    go_there(work);
    drop_trifles(work);
    for (size_t i = 0; i < work->device_count; i++)
        work->devices[i].state.given[side] = side_of(work, i)->given;
}

/* --- what is remembered, and the result ---------------------------------------------------------
 */

static bool same_limit(const struct limit *a, const struct limit *b) {
    return a->min == b->min && a->max == b->max && a->current[0] == b->current[0] &&
           a->current[1] == b->current[1] && a->current[2] == b->current[2];
}

/* A limit that was changed on purpose is no flapping: nobody rests because of what was before. */
static void see_limits(struct split_work *work) {
    for (size_t i = 0; i < work->level_count; i++) {
        struct split_level *level = &work->levels[i];
        bool same = level->started;
        for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT && same; scope++)
            same = same_limit(&level->limits[scope], &level->limits_before[scope]);
        memcpy(level->limits_before, level->limits, sizeof level->limits);
        level->started = true;
        for (size_t k = 0; k < work->device_count && !same; k++)
            if (split_below(work, &work->devices[k], (int)i))
                work->devices[k].state.shed_ms = 0;
    }
}

static void remember_step(const struct split_work *work, struct split_device *device) {
    struct split_state *state = &device->state;
    const struct split_side *side = &device->sides[IMPORT];
    if (device->reach == SPLIT_SILENT || !split_takes_part(device) || device->least <= 0)
        return;
    if (side->want < device->least) {
        state->on = false;
        state->waiting_ms = 0;
    } else if (side->given >= (double)device->least - SPLIT_EXACT) {
        state->on = true;
        state->waiting_ms = state->shed_ms = 0;
    } else {
        if (state->on && side->ideal_want < (double)device->least - SPLIT_EXACT)
            state->shed_ms = work->now_ms;
        if (!state->waiting_ms)
            state->waiting_ms = work->now_ms;
        state->on = false;
    }
}

static int32_t whole(double watts) {
    return watts >= POWER_UNBOUNDED ? POWER_UNBOUNDED : (int32_t)floor(watts + SPLIT_EXACT);
}

static void conclude(struct split_work *work, struct split_device *device) {
    bool limited[2];
    for (work->side = IMPORT; work->side <= EXPORT; work->side++) {
        limited[work->side] = split_takes_part(device) && split_is_limited(work, device);
        if (!limited[work->side])
            device->sides[work->side].why = SPLIT_FREE;
    }
    device->limited = limited[IMPORT] || limited[EXPORT];
    device->share.hi = limited[IMPORT] ? whole(device->sides[IMPORT].given) : POWER_UNBOUNDED;
    device->share.lo = limited[EXPORT] ? -whole(device->sides[EXPORT].given) : -POWER_UNBOUNDED;
    device->rise = floor(fmin(device->rise, device->sides[IMPORT].given) + SPLIT_EXACT);
    if (device->rise < device->least || device->rise <= 0)
        device->rise = 0;
    if (device->rise > 0) {
        device->share.lo = (int32_t)device->rise;
        device->sides[EXPORT].why = SPLIT_RAISED;
    }
}

void split(struct split_level *levels, size_t level_count, struct split_device *devices,
           size_t device_count, int64_t now_ms, int64_t *again_ms) {
    struct split_work work = {.levels = levels,
                              .level_count = level_count,
                              .devices = devices,
                              .device_count = device_count,
                              .now_ms = now_ms,
                              .again_ms = INT64_MAX};
    see_limits(&work);
    for (size_t i = 0; i < level_count; i++)
        split_sample(&work, (int)i);
    for (work.side = IMPORT; work.side <= EXPORT; work.side++)
        for (size_t i = 0; i < device_count; i++)
            side_begin(&work, &devices[i]);
    split_rises(&work);
    split_side_of(&work, IMPORT);
    split_side_of(&work, EXPORT);
    for (size_t i = 0; i < device_count; i++) {
        remember_step(&work, &devices[i]);
        conclude(&work, &devices[i]);
    }
    *again_ms = work.again_ms;
}
