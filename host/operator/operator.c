#include "operator/operator.h"

#include <stddef.h>

const char *operator_state_name(enum operator_state state) {
    static const char *const names[OPERATOR_STATE_COUNT] = {
        [OPERATOR_INIT] = "init",
        [OPERATOR_UNLIMITED_CONTROLLED] = "unlimitedControlled",
        [OPERATOR_LIMITED] = "limited",
        [OPERATOR_FAILSAFE] = "failsafe",
        [OPERATOR_UNLIMITED_AUTONOMOUS] = "unlimitedAutonomous"};
    return names[state];
}

/* --- limits ------------------------------------------------------------------------------------
 */

struct operator_limit operator_stricter(struct operator_limit a, struct operator_limit b) {
    struct operator_limit both = a;
    if (b.has_max && (!a.has_max || b.max < a.max)) {
        both.has_max = true;
        both.max = b.max;
    }
    if (b.has_min && (!a.has_min || b.min > a.min)) {
        both.has_min = true;
        both.min = b.min;
    }
    return both;
}

bool operator_limits_nothing(struct operator_limit limit) {
    return !limit.has_min && !limit.has_max;
}

bool operator_same_limit(struct operator_limit a, struct operator_limit b) {
    return a.has_min == b.has_min && a.has_max == b.has_max && (!a.has_min || a.min == b.min) &&
           (!a.has_max || a.max == b.max);
}

bool operator_controlled(enum operator_state state) {
    return state == OPERATOR_LIMITED || state == OPERATOR_UNLIMITED_CONTROLLED;
}

static const struct operator_limit none;

/* --- time --------------------------------------------------------------------------------------
 */

static void enter(struct operator* operator, enum operator_state state, int64_t at_ms) {
    operator->state = state;
    operator->since_ms = at_ms;
    operator->back = false;
    operator->limit = none;
    operator->limit_end_ms = OPERATOR_NEVER;
    if (state != OPERATOR_FAILSAFE) {
        operator->kept = none;
        operator->kept_end_ms = OPERATOR_NEVER;
    }
}

void operator_start(struct operator* operator, struct mono now, const struct operator_limit *kept,
                    int64_t kept_end_ms) {
    *operator=(struct operator){.seen_ms = now.ms};
    enter(operator, OPERATOR_INIT, now.ms);
    if (kept && kept_end_ms > now.ms) {
        operator->kept = * kept;
        operator->kept_end_ms = kept_end_ms;
    }
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t operator_missing_at(const struct operator* operator, const struct operator_terms * terms) {
    bool there = operator->heard &&(operator_controlled(operator->state) || operator->back);
    return there ? operator->heartbeat_ms + terms->heartbeat_ms : 0;
}

/* Of init and failsafe: the box is awaited, or has spoken and is to state its limit. */
static int64_t awaiting_next(const struct operator* operator, const struct operator_terms * terms) {
    int64_t kept_ms = operator->kept_end_ms;
    if (operator->back)
        return earlier(
            kept_ms,
            earlier(operator_missing_at(operator, terms), operator->back_ms + terms->heartbeat_ms));
    return earlier(kept_ms, operator->since_ms +(operator->state == OPERATOR_INIT
                                                     ? terms->heartbeat_ms
                                                     : terms->duration_ms));
}

int64_t operator_next(const struct operator* operator, const struct operator_terms * terms) {
    switch (operator->state) {
    case OPERATOR_INIT:
    case OPERATOR_FAILSAFE:
        return awaiting_next(operator, terms);
    case OPERATOR_LIMITED:
    case OPERATOR_UNLIMITED_CONTROLLED:
        return earlier(operator->limit_end_ms, operator_missing_at(operator, terms));
    case OPERATOR_UNLIMITED_AUTONOMOUS:
    case OPERATOR_STATE_COUNT:
        break;
    }
    return OPERATOR_NEVER;
}

static void step_awaiting(struct operator* operator, const struct operator_terms * terms,
                          int64_t at_ms) {
    if (at_ms >= operator->kept_end_ms) {
        operator->kept = none;
        operator->kept_end_ms = OPERATOR_NEVER;
        return;
    }
    bool missing = operator->back && at_ms >= operator_missing_at(operator, terms);
    if (missing && operator->state == OPERATOR_FAILSAFE)
        operator->back = false; /* as before; its duration has gone on */
    else if (operator->state == OPERATOR_INIT &&(missing || !operator->back))
        enter(operator, OPERATOR_FAILSAFE, at_ms); /* LPC-911 */
    else
        enter(operator, OPERATOR_UNLIMITED_AUTONOMOUS, at_ms); /* LPC-921, LPC-TS-012 */
}

/* What is due at this moment, one thing. */
static void step(struct operator* operator, const struct operator_terms * terms, int64_t at_ms) {
    if (!operator_controlled(operator->state))
        step_awaiting(operator, terms, at_ms);
    else if (at_ms >= operator_missing_at(operator, terms))
        enter(operator, OPERATOR_FAILSAFE, at_ms); /* LPC-031, LPC-911 */
    else
        enter(operator, OPERATOR_UNLIMITED_CONTROLLED, at_ms);
}

bool operator_advance(struct operator* operator, const struct operator_terms * terms,
                      struct mono now) {
    bool changed = false;
    int64_t at_ms = operator_next(operator, terms);
    for (; at_ms <= now.ms; at_ms = operator_next(operator, terms)) {
        if (at_ms > operator->seen_ms) /* else terms were shortened, or it waited for another */
            operator->seen_ms = at_ms;
        step(operator, terms, operator->seen_ms);
        changed = true;
    }
    operator->seen_ms = now.ms;
    return changed;
}

/* --- the box speaks ----------------------------------------------------------------------------
 */

bool operator_heartbeat(struct operator* operator, const struct operator_terms * terms,
                        struct mono now) {
    bool changed = operator_advance(operator, terms, now);
    bool awaited = operator->state == OPERATOR_INIT || operator->state == OPERATOR_FAILSAFE;
    operator->heard = true;
    operator->heartbeat_ms = now.ms;
    if (awaited && !operator->back) {
        operator->back = true;
        operator->back_ms = now.ms;
    }
    return changed;
}

bool operator_state_limit(struct operator* operator, const struct operator_terms * terms,
                          const struct operator_limit *limit, int64_t end_ms, struct mono now) {
    (void)operator_advance(operator, terms, now);
    if (!operator->heard || now.ms - operator->heartbeat_ms >= terms->heartbeat_ms)
        return false; /* LPC-916: a heartbeat, and then a limit */
    bool limits = !operator_limits_nothing(*limit) && end_ms > now.ms;
    enum operator_state state = limits ? OPERATOR_LIMITED : OPERATOR_UNLIMITED_CONTROLLED;
    if (state != operator->state)
        enter(operator, state, now.ms);
    operator->limit = limits ? *limit : none;
    operator->limit_end_ms = limits ? end_ms : OPERATOR_NEVER;
    return true;
}

struct operator_limit operator_in_force(const struct operator* operator,
                                        const struct operator_terms * terms) {
    switch (operator->state) {
    case OPERATOR_LIMITED:
        return operator->limit;
    case OPERATOR_INIT:
    case OPERATOR_FAILSAFE:
        return operator_stricter(terms->failsafe, operator->kept);
    case OPERATOR_UNLIMITED_AUTONOMOUS:
        return terms->failsafe;
    case OPERATOR_UNLIMITED_CONTROLLED:
    case OPERATOR_STATE_COUNT:
        break;
    }
    return none;
}
