#include "arbiter.h"

#include "base/buf.h"

/* A wish as it is walked: missing sides open, the set point held back by its own closed gates. */
struct ask {
    int32_t a, b;
    bool has_s;
    int32_t s;
};

static int32_t least_of(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t most_of(int32_t a, int32_t b) {
    return a > b ? a : b;
}

int arbiter_order(const struct wish *a, const struct wish *b) {
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank > b->rank ? -1 : 1;
    return 0;
}

/* Who asks for less than what holds already sets nothing: the owner stays. */
static void walk_narrow(struct walk *walk, int32_t a, int32_t b, int by) {
    if (a > walk->lo) {
        walk->lo = a;
        walk->lo_by = by;
    }
    if (b < walk->hi) {
        walk->hi = b;
        walk->hi_by = by;
    }
}

/* [a, b] moved to the nearest edge of the interval: never empties it, never excludes what is taken.
 */
static void walk_clamped(struct walk *walk, int32_t a, int32_t b, int by) {
    a = least_of(most_of(a, walk->lo), walk->hi);
    b = most_of(least_of(b, walk->hi), walk->lo);
    if (walk->has_set) {
        a = least_of(a, walk->set);
        b = most_of(b, walk->set);
    }
    walk_narrow(walk, a, b, by);
}

/* Closes at the bound, opens 1 percentage point away. The comparisons are such that NAN closes. */
static bool min_gate(const struct wish *wish, double soc) {
    if (!(soc > wish->min_soc))
        return true;
    return wish->min_gate_closed && soc < wish->min_soc + 1;
}

static bool max_gate(const struct wish *wish, double soc) {
    if (!(soc < wish->max_soc))
        return true;
    return wish->max_gate_closed && soc > wish->max_soc - 1;
}

static void walk_gates(struct walk *walk, struct wish *wish, int index, double soc,
                       struct verdict *verdict) {
    if (wish->has_min_soc) {
        wish->min_gate_closed = verdict->gate_min = min_gate(wish, soc);
        if (verdict->gate_min)
            walk_clamped(walk, 0, POWER_UNBOUNDED, index);
    }
    if (wish->has_max_soc) {
        wish->max_gate_closed = verdict->gate_max = max_gate(wish, soc);
        if (verdict->gate_max)
            walk_clamped(walk, -POWER_UNBOUNDED, 0, index);
    }
}

static inline struct ask ask_of(const struct wish *wish, const struct verdict *verdict) {
    struct ask ask = {.a = wish->has_min ? wish->min : -POWER_UNBOUNDED,
                      .b = wish->has_max ? wish->max : POWER_UNBOUNDED,
                      .has_s = wish->has_set,
                      .s = wish->set};
    if ((verdict->gate_min && ask.s < 0) || (verdict->gate_max && ask.s > 0))
        ask.s = 0;
    return ask;
}

static bool conflicts_with_taken(const struct ask *ask, int32_t taken) {
    return (ask->has_s && ask->s != taken) || taken < ask->a || taken > ask->b;
}

enum edge { EDGE_NONE, EDGE_UPPER, EDGE_LOWER, EDGE_OWN };

/* Which bound of [lo, hi] it hits: the range before the set point. EDGE_OWN: its own range, out of
 * which its gate moved its set point. */
static inline enum edge edge_hit(const struct ask *ask, int32_t lo, int32_t hi) {
    if (ask->a > hi)
        return EDGE_UPPER;
    if (ask->b < lo)
        return EDGE_LOWER;
    if (ask->has_s && ask->s > hi)
        return EDGE_UPPER;
    if (ask->has_s && ask->s < lo)
        return EDGE_LOWER;
    if (ask->a > ask->b || (ask->has_s && (ask->s < ask->a || ask->s > ask->b)))
        return EDGE_OWN;
    return EDGE_NONE;
}

/* True when it conflicts, and with whom. */
static bool walk_conflict(const struct walk *walk, const struct ask *ask, int index, int *against) {
    if (walk->has_set && conflicts_with_taken(ask, walk->set)) {
        *against = walk->set_by;
        return true;
    }
    switch (edge_hit(ask, walk->lo, walk->hi)) {
    case EDGE_UPPER:
        *against = walk->hi_by;
        return true;
    case EDGE_LOWER:
        *against = walk->lo_by;
        return true;
    case EDGE_OWN:
        *against = index;
        return true;
    case EDGE_NONE:
        break;
    }
    return false;
}

static void walk_take(struct walk *walk, const struct ask *ask, int32_t value, int index,
                      struct verdict *verdict) {
    if (!ask->has_s)
        return;
    if (!walk->has_set) {
        walk->has_set = true;
        walk->set = value;
        walk->set_by = index;
    }
    verdict->has_set = walk->set == value;
    verdict->set = verdict->has_set ? value : 0;
}

static void walk_considered(struct walk *walk, struct wish *wish, int index, double soc,
                            struct verdict *verdict) {
    walk_gates(walk, wish, index, soc, verdict);
    struct ask ask = ask_of(wish, verdict);
    if (!walk_conflict(walk, &ask, index, &verdict->against)) {
        walk_narrow(walk, ask.a, ask.b, index);
        walk_take(walk, &ask, ask.s, index, verdict);
    } else if (wish->on_conflict == ON_CONFLICT_DISCARD || ask.a > ask.b) {
        verdict->outcome = OUTCOME_DISCARDED;
    } else {
        bool gives_way = walk->has_set && ask.has_s && ask.s != walk->set;
        verdict->outcome = gives_way ? OUTCOME_OVERRIDDEN : OUTCOME_CLAMPED;
        walk_clamped(walk, ask.a, ask.b, index);
        int32_t inside = least_of(most_of(ask.s, walk->lo), walk->hi);
        walk_take(walk, &ask, gives_way ? ask.s : inside, index, verdict);
    }
    if (wish->exclusive && verdict->outcome != OUTCOME_DISCARDED)
        walk->exclusive_by = index;
}

void walk_begin(struct walk *walk) {
    *walk = (struct walk){.lo = -POWER_UNBOUNDED,
                          .hi = POWER_UNBOUNDED,
                          .lo_by = BY_NOBODY,
                          .hi_by = BY_NOBODY,
                          .set_by = BY_NOBODY,
                          .exclusive_by = BY_NOBODY};
}

void walk_step(struct walk *walk, struct wish *wish, int index, double soc,
               struct verdict *verdict) {
    *verdict = (struct verdict){.outcome = OUTCOME_APPLIED, .against = BY_NOBODY};
    if (walk->exclusive_by == BY_NOBODY || wish->priority < 0) {
        walk_considered(walk, wish, index, soc, verdict);
    } else {
        verdict->outcome = OUTCOME_EXCLUDED;
        verdict->against = walk->exclusive_by;
    }
    verdict->lo = walk->lo;
    verdict->hi = walk->hi;
}

void walk_end(const struct walk *walk, const struct ranges *allowed, struct decision *decision) {
    int32_t can_lo = 0;
    int32_t can_hi = 0;
    (void)ranges_hull(allowed, &can_lo, &can_hi);
    *decision = (struct decision){.within = ranges_clip(allowed, walk->lo, walk->hi),
                                  .set_by = walk->set_by,
                                  .min_by = walk->lo_by,
                                  .max_by = walk->hi_by,
                                  .walked_set = walk->set,
                                  .walked_min = walk->lo,
                                  .walked_max = walk->hi,
                                  .walked_min_by = walk->lo_by,
                                  .walked_max_by = walk->hi_by};
    if (!ranges_hull(&decision->within, &decision->min, &decision->max)) {
        int32_t least = ranges_least(allowed);
        decision->unmet = true;
        decision->within = ranges_of(least, least);
        decision->has_set = true;
        decision->set = decision->min = decision->max = least;
        decision->set_by = decision->min_by = decision->max_by = BY_DEVICE;
        return;
    }
    if (walk->lo < can_lo || walk->lo_by == BY_NOBODY)
        decision->min_by = BY_DEVICE;
    if (walk->hi > can_hi || walk->hi_by == BY_NOBODY)
        decision->max_by = BY_DEVICE;
    if (walk->has_set) {
        decision->has_set = true;
        decision->set = ranges_settle(&decision->within, walk->set);
        decision->limited = decision->set != walk->set;
    }
}

void decide(const struct decide_input *input, struct decision *decision, struct verdict *verdicts) {
    struct walk walk;
    walk_begin(&walk);
    for (size_t i = 0; i < input->wish_count; i++)
        walk_step(&walk, &input->wishes[i], (int)i, input->soc, &verdicts[i]);
    walk_end(&walk, input->allowed, decision);
}

/* --- in plain words --------------------------------------------------------------------------- */

static void say_range(int32_t lo, int32_t hi, struct buf *text) {
    if (lo > -POWER_UNBOUNDED && hi < POWER_UNBOUNDED && lo != hi)
        buf_format(text, "%d W to %d W", lo, hi);
    else if (lo == hi)
        buf_format(text, "exactly %d W", lo);
    else if (hi < POWER_UNBOUNDED)
        buf_format(text, "at most %d W", hi);
    else if (lo > -POWER_UNBOUNDED)
        buf_format(text, "at least %d W", lo);
    else
        buf_text(text, "any power");
}

static void say_wish(const struct wish *wish, struct buf *text) {
    if (wish->has_set)
        buf_format(text, "%d W", wish->set);
    if (wish->has_min || wish->has_max) {
        buf_text(text, wish->has_set ? " within " : "");
        say_range(wish->has_min ? wish->min : -POWER_UNBOUNDED,
                  wish->has_max ? wish->max : POWER_UNBOUNDED, text);
    } else if (!wish->has_set) {
        buf_text(text, wish->has_min_soc || wish->has_max_soc ? "a state of charge to keep"
                                                              : "no wish of its own");
    }
}

/* What stood against it: the tests of walk_conflict() again. They may use the interval after the
 * wish, since neither discarding nor clamping moves the edge that was hit. */
static void say_against(const struct wish *wish, const struct verdict *verdict,
                        const struct verdict *winner, const char *winner_name, struct buf *text) {
    struct ask ask = ask_of(wish, verdict);
    if (verdict->against == BY_NOBODY)
        return;
    buf_text(text, " against ");
    if (!winner) {
        buf_text(text, verdict->gate_min || verdict->gate_max ? "its own state-of-charge limit"
                                                              : "its own range");
        return;
    }
    if (winner->has_set && conflicts_with_taken(&ask, winner->set))
        buf_format(text, "%d W", winner->set);
    else if (edge_hit(&ask, verdict->lo, verdict->hi) == EDGE_UPPER)
        buf_format(text, "at most %d W", verdict->hi);
    else
        buf_format(text, "at least %d W", verdict->lo);
    buf_format(text, " by %s", winner_name);
}

static void say_outcome(const struct wish *wish, const struct verdict *verdict, struct buf *text) {
    switch (verdict->outcome) {
    case OUTCOME_APPLIED:
        buf_text(text, "applied: ");
        if (verdict->has_set && verdict->set != wish->set)
            buf_format(text, "%d W instead of ", verdict->set);
        break;
    case OUTCOME_DISCARDED:
        buf_text(text, "discarded: ");
        break;
    case OUTCOME_CLAMPED:
        buf_text(text, "clamped to ");
        if (verdict->has_set)
            buf_format(text, "%d W", verdict->set);
        else
            say_range(verdict->lo, verdict->hi, text);
        buf_text(text, ": ");
        break;
    case OUTCOME_OVERRIDDEN:
    case OUTCOME_EXCLUDED:
        buf_text(text, "overridden: ");
        break;
    }
    say_wish(wish, text);
}

void verdict_explain(const struct wish *wish, const struct verdict *verdict,
                     const struct verdict *winner, const char *winner_name, struct buf *text) {
    if (verdict->outcome == OUTCOME_EXCLUDED) {
        buf_format(text, "not considered: exclusive is %s", winner_name);
        return;
    }
    say_outcome(wish, verdict, text);
    say_against(wish, verdict, winner, winner_name, text);
    if (verdict->outcome == OUTCOME_OVERRIDDEN && (wish->has_min || wish->has_max))
        buf_text(text, "; its range was applied");
    if (verdict->gate_min)
        buf_format(text, "; no discharging: minStateOfCharge is %g %%", wish->min_soc);
    if (verdict->gate_max)
        buf_format(text, "; no charging: maxStateOfCharge is %g %%", wish->max_soc);
}

const char *outcome_name(enum outcome outcome) {
    static const char *const names[] = {[OUTCOME_APPLIED] = "applied",
                                        [OUTCOME_DISCARDED] = "discarded",
                                        [OUTCOME_CLAMPED] = "clamped",
                                        [OUTCOME_OVERRIDDEN] = "overridden",
                                        [OUTCOME_EXCLUDED] = "excluded"};
    return names[outcome];
}

const char *on_conflict_name(enum on_conflict on_conflict) {
    return on_conflict == ON_CONFLICT_CLAMP ? "clamp" : "discard";
}
