/* Filling: who is served first, who gets a step, and equal parts of what is left. */
#include <math.h>
#include <string.h>

#include "cluster/split_internal.h"

#define MARGIN_LEAST_W 200 /* beyond its step, for one that lost it a while ago */
#define MARGIN_PART    0.1 /* of its step */

/* --- order --------------------------------------------------------------------------------------
 */

/* The lesser is served first. */
static int class_of(const struct split_device *device, int side) {
    if (side == IMPORT)
        return device->type == DEVICE_BATTERY ? 1 : 0;
    return device->type == DEVICE_INVERTER ? 0 : 1;
}

static int order_groups(const struct split_device *a, const struct split_device *b, int side) {
    int class_a = class_of(a, side);
    int class_b = class_of(b, side);
    if (class_a != class_b)
        return class_a < class_b ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return 0;
}

/* One of the group that comes after that of `last` (NULL: the first); NULL: none. */
static const struct split_device *next_group(const struct split_work *work,
                                             const struct split_device *last) {
    const struct split_device *best = NULL;
    for (size_t i = 0; i < work->device_count; i++) {
        const struct split_device *device = &work->devices[i];
        if (!device->sides[work->side].active ||
            (last && order_groups(device, last, work->side) <= 0))
            continue;
        if (!best || order_groups(device, best, work->side) < 0)
            best = device;
    }
    return best;
}

static bool in_group(const struct split_work *work, const struct split_device *device,
                     const struct split_device *group) {
    return device->sides[work->side].active && order_groups(device, group, work->side) == 0;
}

/* --- steps --------------------------------------------------------------------------------------
 */

/* Who runs may stay; then the longest waiting; then by id. */
static bool steps_before(const struct split_device *a, const struct split_device *b) {
    if (a->state.on != b->state.on)
        return a->state.on;
    int64_t since_a = a->state.waiting_ms ? a->state.waiting_ms : INT64_MAX;
    int64_t since_b = b->state.waiting_ms ? b->state.waiting_ms : INT64_MAX;
    if (since_a != since_b)
        return since_a < since_b;
    return strcmp(a->id, b->id) < 0;
}

/* W beyond its step that must be free for one that lost it; INFINITY: it rests. */
static double margin_of(struct split_work *work, const struct split_device *device) {
    const struct split_state *state = &device->state;
    int64_t since_ms = work->now_ms - state->shed_ms;
    if (work->quiet || state->on || !state->shed_ms || since_ms >= SPLIT_WARY_MS)
        return 0;
    split_look_again(work, state->shed_ms + SPLIT_REST_MS);
    split_look_again(work, state->shed_ms + SPLIT_WARY_MS);
    if (since_ms < SPLIT_REST_MS)
        return INFINITY;
    return fmax(MARGIN_LEAST_W, MARGIN_PART * device->least);
}

static void say_why(const struct split_work *work, struct split_side *side, enum split_reason why,
                    int by) {
    if (work->quiet)
        return;
    side->why = why;
    side->by = by;
}

static void step_up(struct split_work *work, struct split_device *device) {
    struct split_side *side = &device->sides[work->side];
    double needed = device->least - side->base;
    int lacks = split_lacks(work, device, needed);
    enum split_reason why = SPLIT_NO_STEP;
    double margin = lacks < 0 ? margin_of(work, device) : 0;
    side->may_step = false;
    if (margin > 0) {
        lacks = split_lacks(work, device, needed + margin);
        why = SPLIT_RESTS;
    }
    if (lacks >= 0) {
        side->active = false;
        say_why(work, side, why, lacks);
        return;
    }
    split_charge(work, device, needed);
    side->base = device->least;
}

static void fill_steps(struct split_work *work, const struct split_device *group) {
    for (;;) {
        struct split_device *best = NULL;
        for (size_t i = 0; i < work->device_count; i++) {
            struct split_device *device = &work->devices[i];
            if (device->sides[work->side].may_step && in_group(work, device, group) &&
                (!best || steps_before(device, best)))
                best = device;
        }
        if (!best)
            return;
        step_up(work, best);
    }
}

/* --- parts --------------------------------------------------------------------------------------
 */

/* The part that one budget bears of the goals of those that rise; above 1: it does not bind. */
static double part_borne(const struct split_work *work, const struct split_device *group, int level,
                         int quantity, double room) {
    double goals = 0;
    for (size_t i = 0; i < work->device_count; i++) {
        const struct split_device *device = &work->devices[i];
        const struct split_side *side = &device->sides[work->side];
        double weight = split_weight(device, quantity);
        if (!side->rises || weight <= 0 || !in_group(work, device, group) ||
            !split_below(work, device, level))
            continue;
        goals += weight * side->goal;
        room += weight * side->base;
    }
    if (goals <= 0)
        return INFINITY;
    return split_positive(room) / goals;
}

/* The greatest part that all budgets bear, and which one binds; 1 and -1: all reach their goal. */
static double part_of(const struct split_work *work, const struct split_device *group,
                      int *binding) {
    double part = 1;
    *binding = -1;
    for (size_t level = 0; level < work->level_count; level++)
        for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++)
            for (int q = 0; q < SPLIT_QUANTITIES; q++) {
                double room = work->levels[level].room[work->side][scope][q];
                if (room == (double)INFINITY)
                    continue;
                double borne = part_borne(work, group, (int)level, q, room);
                if (borne >= part)
                    continue;
                part = borne;
                *binding = ((int)level * SCOPE_COUNT + scope) * SPLIT_QUANTITIES + q;
            }
    return part;
}

static void settle(struct split_work *work, struct split_device *device, double watts,
                   int binding) {
    struct split_side *side = &device->sides[work->side];
    split_charge(work, device, watts - side->base);
    side->base = watts;
    side->active = false;
    if (watts < side->goal - SPLIT_EXACT)
        say_why(work, side, SPLIT_PART, binding);
}

/* Each is to have max(base, part * goal). Those whose base is more already do not rise in this
 * round, and not at all when it is a budget of theirs that binds. */
static double common_part(struct split_work *work, const struct split_device *group, int *binding) {
    for (size_t i = 0; i < work->device_count; i++)
        work->devices[i].sides[work->side].rises = true;
    for (;;) {
        double part = part_of(work, group, binding);
        bool fewer = false;
        for (size_t i = 0; i < work->device_count; i++) {
            struct split_device *device = &work->devices[i];
            struct split_side *side = &device->sides[work->side];
            if (!side->rises || !in_group(work, device, group) ||
                part * side->goal >= side->base - SPLIT_EXACT)
                continue;
            side->rises = false;
            fewer = true;
            if (split_draws_on(work, device, *binding))
                settle(work, device, side->base, *binding);
        }
        if (!fewer)
            return part;
    }
}

/* All rise together; when a budget is used up, those that draw on it stay and the rest goes on.
 * Each round settles at least one: of those that draw on the budget that binds, or all that rise.
 */
static void fill_parts(struct split_work *work, const struct split_device *group) {
    for (bool any = true; any;) {
        int binding;
        double part = common_part(work, group, &binding);
        any = false;
        for (size_t i = 0; i < work->device_count; i++) {
            struct split_device *device = &work->devices[i];
            struct split_side *side = &device->sides[work->side];
            if (!in_group(work, device, group))
                continue;
            any = true;
            if (side->rises && (binding < 0 || split_draws_on(work, device, binding)))
                settle(work, device, fmin(side->goal, fmax(side->base, part * side->goal)),
                       binding);
        }
    }
}

void split_fill(struct split_work *work) {
    for (size_t i = 0; i < work->device_count; i++) {
        struct split_device *device = &work->devices[i];
        struct split_side *side = &device->sides[work->side];
        side->active = split_takes_part(device) && side->goal > side->base + SPLIT_EXACT;
        side->may_step = work->side == IMPORT && side->active &&
                         side->base < (double)device->least - SPLIT_EXACT;
        if (side->may_step && side->goal < (double)device->least - SPLIT_EXACT)
            side->active = side->may_step = false; /* too little to run on */
    }
    /* A group that is done is not active any more: the next one is found among those that are. */
    for (const struct split_device *group = NULL; (group = next_group(work, group)) != NULL;) {
        const struct split_device served = *group;
        fill_steps(work, &served);
        fill_parts(work, &served);
    }
}
