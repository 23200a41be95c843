/* A ruling: one decision on a device from its begin to its end, as the log of decisions keeps it.
 * What was decided, who set each field, how far the device was told, and where the measured power
 * lay meanwhile. Pure. */
#ifndef DERD_TELEMETRY_RULING_H
#define DERD_TELEMETRY_RULING_H

#include <stdbool.h>
#include <stdint.h>

#include "constraint.h"
#include "flexibility.h"
#include "telemetry/sample.h"

enum ruled_field { RULED_SET, RULED_MIN, RULED_MAX, RULED_COUNT };

enum ruling_end {
    RULING_OPEN,
    RULING_REPLACED,     /* another decision follows */
    RULING_SITE_CHANGED, /* the device left the site, or its entry changed */
    RULING_HOST_STOPPED, /* nothing is known of what follows until the next one */
    RULING_HOST_LOST,    /* the host was killed: the end is when it was last seen alive */
    RULING_END_COUNT
};

struct cause {              /* who set a field */
    char id[ID_SIZE];       /* of the constraint, "fallback" or "device"; "": nobody */
    int32_t priority;       /* of a constraint */
    char key[CREATOR_SIZE]; /* of a policy's proposal, which has a new id each time; not kept */
    char created_by[CREATOR_SIZE];
    char reason[REASON_SIZE];
};

struct ruling {
    int64_t at_ms, until_ms; /* wall; until 0: open */
    int64_t duration_ms;     /* by the monotonic clock, so far */
    enum ruling_end end;
    bool trusted; /* the clock was, when it began */
    bool controllable;
    bool in_force; /* a constraint, a proposal or a fallback */
    bool unmet;
    bool has_set;
    int32_t set, min, max; /* W; +-POWER_UNBOUNDED: open */
    struct cause causes[RULED_COUNT];
    enum command_state command;
    int64_t command_ms;            /* wall: since when */
    int64_t sent_ms, confirmed_ms; /* 0: not */
    /* How long the power was measured, and of that: */
    int64_t measured_ms, at_min_ms, at_max_ms, outside_ms;
};

/* The same decision for the same reasons: nothing to write down. A policy that renews its proposal
 * with other words has decided nothing new. */
bool ruling_same(const struct ruling *a, const struct ruling *b);
void ruling_told(struct ruling *ruling, enum command_state state, int64_t since_ms);
void ruling_measure(struct ruling *ruling, enum reach reach, int64_t ms);
const char *ruling_end_name(enum ruling_end end);

#endif
