/* What the grid operator's box makes of heartbeats and limits: the states of EEBus LPC and LPP
 * (limitation of power consumption and production), in their words. Pure: no clock, no memory, no
 * I/O; watts, import positive. Rules carry the numbers of the specification ("UC Limitation of
 * Power Consumption", as eebus-go and evcc name them).
 *
 *   init                 since start; the failsafe limit holds until the box speaks (LPC-TS-017)
 *   limited              the box has stated a limit
 *   unlimitedControlled  the box has stated that there is none, or its limit has ended
 *   failsafe             no heartbeat for 120 s (LPC-031): the failsafe limit (LPC-911)
 *   unlimitedAutonomous  the box is not there, or does not say what it wants
 *
 * A controlled state is entered by one thing only: a limit that is written while the heartbeat is
 * there (LPC-012, LPC-916). A heartbeat alone leaves nothing: it begins the 120 s in which the box
 * is to state its limit (LPC-921). When it has not, or when the failsafe state has lasted for its
 * least duration without a heartbeat (2 h to 24 h, LPC-TS-012), the state is unlimitedAutonomous,
 * in which LPC leaves the limit to us. Ours is the failsafe limit: a lost box never makes the site
 * unlimited. A limit without a duration does not end by time; one with a duration ends into
 * unlimitedControlled, if the heartbeat is still there.
 *
 * What was in force before a restart is kept beside the failsafe limit, the stricter of both
 * counts, in init and in the failsafe state that follows it: a restart of the host in the middle of
 * a limit releases nothing. It goes with the first limit that is taken, with its own duration, and
 * with unlimitedAutonomous at the latest.
 *
 * Time may come late: whatever was due is done as of the moment at which it was due, in order. */
#ifndef DERD_OPERATOR_H
#define DERD_OPERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define OPERATOR_HEARTBEAT_MS   120000               /* LPC-031: longest without one */
#define OPERATOR_DURATION_LEAST (2LL * 3600 * 1000)  /* ms, of the failsafe state (LPC-TS-012) */
#define OPERATOR_DURATION_MOST  (24LL * 3600 * 1000) /* ms */
#define OPERATOR_NEVER          INT64_MAX            /* ms */

enum operator_state {
    OPERATOR_INIT,
    OPERATOR_UNLIMITED_CONTROLLED,
    OPERATOR_LIMITED,
    OPERATOR_FAILSAFE,
    OPERATOR_UNLIMITED_AUTONOMOUS,
    OPERATOR_STATE_COUNT
};
const char *operator_state_name(enum operator_state state); /* "unlimitedControlled" */

struct operator_limit { /* neither: no limit */
    bool has_min, has_max;
    int32_t min; /* W, 0 or less: production (LPP) */
    int32_t max; /* W, 0 or more: consumption (LPC) */
};

struct operator_terms {   /* as the site file has them */
    int64_t heartbeat_ms; /* longest without one, and for a limit after it is back */
    int64_t duration_ms;  /* least of the failsafe state */
    struct operator_limit failsafe;
};

struct operator{ /* all times monotonic */
    enum operator_state state;
    int64_t since_ms;            /* when that was entered */
    bool heard;                  /* a heartbeat has come since start */
    int64_t heartbeat_ms;        /* the last one, when heard */
    bool back;                   /* in init and failsafe: it is there again, and has 120 s */
    int64_t back_ms;             /* since then */
    struct operator_limit limit; /* of limited */
    int64_t limit_end_ms;        /* OPERATOR_NEVER: it does not end by time */
    struct operator_limit kept;  /* from before the restart */
    int64_t kept_end_ms;
    int64_t seen_ms; /* nothing is due before */
};

/* `kept`: in force before the restart, with its end; NULL: nothing. */
void operator_start(struct operator* operator, struct mono now, const struct operator_limit *kept,
                    int64_t kept_end_ms);
/* Time passes. True when state or limit is another one. */
bool operator_advance(struct operator* operator, const struct operator_terms * terms,
                      struct mono now);
/* The box is there. True as above. */
bool operator_heartbeat(struct operator* operator, const struct operator_terms * terms,
                        struct mono now);
/* The box states its limit, or that there is none, from now until `end_ms` (OPERATOR_NEVER: until
 * it says otherwise). False: not taken, since its heartbeat is not there. */
bool operator_state_limit(struct operator* operator, const struct operator_terms * terms,
                          const struct operator_limit *limit, int64_t end_ms, struct mono now);
/* What holds now. */
struct operator_limit operator_in_force(const struct operator* operator,
                                        const struct operator_terms * terms);
/* When time alone changes something next; OPERATOR_NEVER: it does not. */
int64_t operator_next(const struct operator* operator, const struct operator_terms * terms);
/* When the heartbeat is missing if none comes; 0: none has come, or it is missing. */
int64_t operator_missing_at(const struct operator* operator, const struct operator_terms * terms);

/* The stricter of both in each direction. */
struct operator_limit operator_stricter(struct operator_limit a, struct operator_limit b);
bool operator_limits_nothing(struct operator_limit limit);
bool operator_same_limit(struct operator_limit a, struct operator_limit b);
/* The box's word is in force, not ours. */
bool operator_controlled(enum operator_state state);

#endif
