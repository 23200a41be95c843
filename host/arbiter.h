/* decide(): what is allowed on one device, from constraints that are in force. ARBITRATION.md
 * sections 2 to 6 in code. Pure: no clock, no memory, no I/O; the same input gives the same
 * decision live, in a preview, in a replay and in a test. Powers are whole watts, import positive.
 */
#ifndef DERD_ARBITER_H
#define DERD_ARBITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ranges.h"

#define PRIORITY_MAXIMUM  INT32_MAX
#define PRIORITY_FALLBACK (-1)

enum on_conflict { ON_CONFLICT_DISCARD, ON_CONFLICT_CLAMP };

/* What one constraint asks. The has_* flags say which fields have an opinion. min <= max and set
 * between them is the door's work; a range the wrong way round can only be discarded here. */
struct wish {
    uint64_t rank;           /* order of first acceptance; among equals the greater goes first */
    double min_soc, max_soc; /* % */
    int32_t priority;        /* 0..PRIORITY_MAXIMUM; the fallback: PRIORITY_FALLBACK */
    int32_t set, min, max;   /* activePower, minActivePower, maxActivePower, W */
    enum on_conflict on_conflict;
    bool has_set, has_min, has_max, has_min_soc, has_max_soc;
    bool exclusive;
    bool min_gate_closed, max_gate_closed; /* in: as last decided; out: as decided now */
};

enum outcome {
    OUTCOME_APPLIED,
    OUTCOME_DISCARDED,  /* no effect: conflicts with `against` */
    OUTCOME_CLAMPED,    /* took effect at the edge that `against` left */
    OUTCOME_OVERRIDDEN, /* its set point gave way to that of `against`; its range was applied */
    OUTCOME_EXCLUDED    /* stands below the exclusive `against` */
};

/* "applied"; the words of JSON and of the vocabulary. */
const char *outcome_name(enum outcome outcome);
const char *on_conflict_name(enum on_conflict on_conflict);

#define BY_NOBODY (-1)
#define BY_DEVICE (-2) /* the allowed ranges */

struct verdict { /* of one wish, same index */
    enum outcome outcome;
    int against;    /* index of the wish it gave way to, or BY_NOBODY; its own: its closed gate */
    int32_t lo, hi; /* interval after it was walked */
    int32_t set;    /* its set point as taken */
    bool has_set;   /* it holds (it may repeat that of another) */
    bool gate_min, gate_max; /* its state-of-charge gates are closed and were walked */
};

struct decision {
    bool has_set;
    int32_t set;          /* W */
    int32_t min, max;     /* hull of what is allowed and walked: what the device stays within */
    struct ranges within; /* allowed ∩ [lo, hi]; the one least value when unmet */
    int set_by, min_by, max_by; /* wish index, BY_DEVICE or BY_NOBODY (no set point) */
    bool limited; /* the device could not take the set point as walked: see `walked_set` */
    int32_t walked_set;
    bool unmet;                       /* the walk left nothing of what the device can do */
    int32_t walked_min, walked_max;   /* interval after the walk; +-POWER_UNBOUNDED: open */
    int walked_min_by, walked_max_by; /* wish index or BY_NOBODY: the other side of an `unmet` */
};

struct decide_input {
    const struct ranges *allowed; /* never empty */
    /* In force, sorted by arbiter_order(), the fallback last. At most ARBITER_WISHES. */
    struct wish *wishes; /* gate states are updated */
    size_t wish_count;
    double soc; /* %, NAN: unknown and never known or past its trust: gates that protect close */
};

#define ARBITER_WISHES 512

/* <0: a goes before b. Priority down, then rank down. */
int arbiter_order(const struct wish *a, const struct wish *b);

/* `verdicts`: wish_count of them, out. What the text leaves open, as read here:
 * - The fallback (priority below 0) is walked below an exclusive wish too. An exclusive wish that
 *   was itself discarded excludes nobody. Gates of excluded wishes are not considered and keep
 *   their state.
 * - A gate is walked just before its carrier, min before max. Unknown state of charge closes it.
 * - A set point that repeats the taken one is no conflict.
 * - `against` is the owner of the taken set point if it conflicts with that, else the owner of the
 *   bound it hits. Who asks for the bound that holds already does not become its owner.
 * - min_by and max_by: the wish whose bound is at or inside the device's own, else BY_DEVICE.
 * - Unmet: set = min = max = the allowed value of least magnitude, by BY_DEVICE; not `limited`. */
void decide(const struct decide_input *input, struct decision *decision, struct verdict *verdicts);

/* The same step by step, for who has the wishes in another form and needs no verdicts of most. One
 * walk in the order of priorities narrows [lo, hi] and takes at most one set point. Two things hold
 * after each step: lo <= hi, and a taken set point lies inside. */
struct walk {
    int32_t lo, hi;
    bool has_set;
    int32_t set;
    int lo_by, hi_by, set_by; /* wish index or BY_NOBODY */
    int exclusive_by;
};

void walk_begin(struct walk *walk);
void walk_step(struct walk *walk, struct wish *wish, int index, double soc,
               struct verdict *verdict);
/* What the device makes of the walk. */
void walk_end(const struct walk *walk, const struct ranges *allowed, struct decision *decision);
/* True when a step of this wish would leave the walk as it is: it asks for no less than what holds,
 * or is discarded. Of one without bounds of the state of charge that is not exclusive, nor a
 * fallback; missing sides of [a, b] open. False says nothing. */
static inline bool walk_is_idle(const struct walk *walk, int32_t a, int32_t b, bool has_set,
                                int32_t set, bool discards) {
    if (walk->exclusive_by != BY_NOBODY)
        return true;
    if (has_set && !walk->has_set)
        return false;
    if (has_set && set != walk->set)
        return discards;
    if (a <= walk->lo && b >= walk->hi)
        return true;
    return discards &&
           (a > walk->hi || b < walk->lo || (walk->has_set && (walk->set < a || walk->set > b)));
}

/* Plain words for the verdict of one wish, e.g. "discarded: 11000 W against at most 4200 W by grid
 * operator, priority 3000, until 18:00". `winner`: the verdict of the one that it gave way to, and
 * its name for such texts ("grid operator, priority 3000, until 18:00"); NULL when that is itself
 * or nobody. */
struct buf;
void verdict_explain(const struct wish *wish, const struct verdict *verdict,
                     const struct verdict *winner, const char *winner_name, struct buf *text);

#endif
