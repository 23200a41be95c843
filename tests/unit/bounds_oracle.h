/* What must hold on a device, worked out from ARBITRATION.md alone (sections 1 to 5) and from what
 * was asked: no line of the host's book or arbiter is used. Slow and plain on purpose. */
#ifndef DERD_TESTS_BOUNDS_ORACLE_H
#define DERD_TESTS_BOUNDS_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "constraint.h"

#define OPEN     1000000000
#define PROMISES 64 /* on one device */

struct promise { /* a constraint as it was accepted */
    char id[ID_SIZE];
    struct wish wish;
    enum scope scope;
    uint64_t rank;
    int64_t valid_at, invalid_at; /* ms of the wall clock */
    int64_t valid_for;            /* ms, 0: given with invalidAt */
    bool running, over;
    bool set_over;    /* its set point has ended, before its bounds */
    int64_t mono_end; /* ms: what the monotonic clock says of its end */
    bool min_closed, max_closed;
};

struct promises {
    struct promise items[PROMISES];
    int count;
};

struct bounds { /* W, +-OPEN */
    int32_t lo, hi;
    bool has_set;
    int32_t set;
};

static inline struct promise *promise_find(struct promises *all, const char *id) {
    for (int i = 0; i < all->count; i++)
        if (strcmp(all->items[i].id, id) == 0)
            return &all->items[i];
    return NULL;
}

/* Section 1: adjacent windows leave no gap, also when the wall clock has stepped back. */
static inline bool promise_is_followed(const struct promises *all, const struct promise *promise) {
    for (int i = 0; i < all->count; i++) {
        const struct promise *other = &all->items[i];
        if (!other->running && !other->over && other->valid_at <= promise->invalid_at &&
            other->invalid_at > promise->invalid_at)
            return true;
    }
    return false;
}

/* Starts and ends what is due. */
static inline void promises_advance(struct promises *all, int64_t wall, int64_t mono) {
    for (int i = 0; i < all->count; i++) {
        struct promise *at = &all->items[i];
        if (at->running || at->over)
            continue;
        if (at->valid_at <= wall && wall < at->invalid_at) {
            at->running = true;
            at->mono_end = mono + (at->invalid_at - wall);
        } else if (wall >= at->invalid_at) {
            at->over = true;
        }
    }
    for (int i = 0; i < all->count; i++) {
        struct promise *at = &all->items[i];
        if (!at->running)
            continue;
        bool by_mono = mono >= at->mono_end, by_wall = wall >= at->invalid_at;
        at->set_over = at->set_over || by_mono || (by_wall && !at->valid_for);
        const struct wish *wish = &at->wish;
        bool bare = wish->has_set && !wish->has_min && !wish->has_max && !wish->has_min_soc &&
                    !wish->has_max_soc;
        if (bare            ? at->set_over
            : at->valid_for ? by_mono && !promise_is_followed(all, at)
                            : by_mono && by_wall)
            at->over = true;
    }
    int kept = 0;
    for (int i = 0; i < all->count; i++)
        if (!all->items[i].over)
            all->items[kept++] = all->items[i];
    all->count = kept;
}

/* The host was started again: of the steps of the wall clock before that nothing is known. A time
 * given with validFor goes on. `left`: what they are of is not in the site, so none starts. */
static inline void promises_restart(struct promises *all, bool left, int64_t wall, int64_t mono) {
    for (int i = 0; i < all->count; i++) {
        struct promise *at = &all->items[i];
        if (!at->running || at->valid_for)
            continue;
        at->mono_end = mono + (at->invalid_at - wall);
        at->running = !left;
    }
}

static inline bool promise_goes_before(const struct promise *a, const struct promise *b) {
    if (a->wish.priority != b->wish.priority)
        return a->wish.priority > b->wish.priority;
    return a->rank > b->rank;
}

static inline int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t greater(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline void bounds_clamp(struct bounds *bounds, int32_t a, int32_t b) {
    a = smaller(greater(a, bounds->lo), bounds->hi);
    b = greater(smaller(b, bounds->hi), bounds->lo);
    if (bounds->has_set) {
        a = smaller(a, bounds->set);
        b = greater(b, bounds->set);
    }
    bounds->lo = greater(bounds->lo, a);
    bounds->hi = smaller(bounds->hi, b);
}

/* One constraint of the walk (section 3); false: it was discarded. */
static inline bool bounds_walk(struct bounds *bounds, const struct wish *wish, bool has_set,
                               int32_t set) {
    int32_t a = wish->has_min ? wish->min : -OPEN, b = wish->has_max ? wish->max : OPEN;
    bool conflict = greater(bounds->lo, a) > smaller(bounds->hi, b) ||
                    (bounds->has_set && (bounds->set < a || bounds->set > b));
    if (has_set)
        conflict = conflict || (bounds->has_set && bounds->set != set) ||
                   set < greater(bounds->lo, a) || set > smaller(bounds->hi, b);
    if (conflict && wish->on_conflict == ON_CONFLICT_DISCARD)
        return false;
    if (conflict && a > b) /* its gate has left nothing of it */
        return false;
    bounds_clamp(bounds, a, b);
    if (has_set && !bounds->has_set) {
        bounds->has_set = true;
        bounds->set = smaller(greater(set, bounds->lo), bounds->hi);
    }
    return true;
}

/* Sections 2 to 4: what remains of [-OPEN, OPEN]. `soc` is kept away from every gate's edge by
 * whoever asks. `sets`: set points count (not in quarantine). `fallback`: NULL: something may stand
 * before it that is not known here. */
static inline struct bounds bounds_of(struct promises *all, double soc, bool sets,
                                      const struct wish *fallback) {
    struct bounds bounds = {.lo = -OPEN, .hi = OPEN};
    struct promise *order[PROMISES];
    int count = 0;
    for (int i = 0; i < all->count; i++) {
        if (!all->items[i].running)
            continue;
        int at = count++;
        for (; at > 0 && promise_goes_before(&all->items[i], order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = &all->items[i];
    }
    bool excluded = false;
    for (int i = 0; i < count && !excluded; i++) {
        struct promise *at = order[i];
        const struct wish *wish = &at->wish;
        bool has_set = wish->has_set && sets && !at->set_over;
        int32_t set = wish->set;
        bool bare = !wish->has_min && !wish->has_max && !wish->has_min_soc && !wish->has_max_soc;
        if (wish->has_set && !has_set && bare)
            continue; /* nothing is left of it */
        if (wish->has_min_soc) {
            at->min_closed = soc <= wish->min_soc || (at->min_closed && soc < wish->min_soc + 1);
            if (at->min_closed)
                bounds_clamp(&bounds, 0, OPEN);
            if (at->min_closed && set < 0)
                set = 0;
        }
        if (wish->has_max_soc) {
            at->max_closed = soc >= wish->max_soc || (at->max_closed && soc > wish->max_soc - 1);
            if (at->max_closed)
                bounds_clamp(&bounds, -OPEN, 0);
            if (at->max_closed && set > 0)
                set = 0;
        }
        bool taken = bounds_walk(&bounds, wish, has_set, set);
        excluded = wish->exclusive && taken;
    }
    if (fallback)
        (void)bounds_walk(&bounds, fallback, fallback->has_set, fallback->set);
    return bounds;
}

/* The permanent limits, and the end of section 5: what is left of the device's abilities, else 0.
 * A set point becomes one that does not exceed it. So the most and the least that it may do, with
 * or without regard to the set point. */
static inline struct bounds bounds_settle(struct bounds bounds, bool sets, int32_t least,
                                          int32_t most) {
    if (bounds.has_set && sets)
        bounds.lo = bounds.hi = bounds.set;
    bounds.lo = smaller(greater(bounds.lo, least), 0);
    bounds.hi = greater(smaller(bounds.hi, most), 0);
    return bounds;
}

#endif
