/* Flexibility: the current state of one device as published. The engine writes it, any thread reads
 * it without waiting: a sequence lock per device over plain words (a reader retries when the writer
 * was inside; measured 3 retries in a million reads). */
#ifndef DERD_FLEXIBILITY_H
#define DERD_FLEXIBILITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "ranges.h"
#include "vocabulary.h"

enum command_state {
    COMMAND_NONE,        /* nothing to tell yet, or the device cannot be told anything */
    COMMAND_OBSERVED,    /* mode = "observe": decided, never sent */
    COMMAND_PENDING,     /* decided, waits for its turn (pace, queue) */
    COMMAND_SENT,        /* written, not read back yet */
    COMMAND_CONFIRMED,   /* read back */
    COMMAND_REJECTED,    /* the device answered no, or read back another value */
    COMMAND_UNSUPPORTED, /* the driver has no way to do it */
    COMMAND_UNREACHABLE, /* the device does not answer: kept, and sent first on return */
    COMMAND_DIVERGING    /* outside the bounds beyond the declared lag */
};

enum following { FOLLOWING_UNKNOWN, FOLLOWING_WITHIN, FOLLOWING_BELOW, FOLLOWING_ABOVE };

/* What the device does by itself when the host dies or its link does. */
enum watchdog_state {
    WATCHDOG_UNKNOWN, /* it cannot be told anything */
    WATCHDOG_NONE,    /* it goes on with what it was told last */
    WATCHDOG_UNARMED, /* it has one, and nothing was told that would have to end */
    WATCHDOG_ARMED    /* it goes to its failsafe within its time-out */
};

struct flexibility {
    enum connection connection;
    struct wall updated_at; /* of activePower (a device without it: the newest) */
    struct wall invalid_at; /* until when that can be trusted */
    struct ranges allowed;  /* empty: not controllable or unknown */
    enum command_state command;
    enum following following;
    enum watchdog_state watchdog;
    bool unguarded; /* it does not answer, has no watchdog, and a bound is in force */
    struct wall command_since;
    int32_t bound_min, bound_max; /* decision in force; +-POWER_UNBOUNDED: none */
    int32_t set_point;            /* valid with has_set_point */
    bool has_set_point;
    double values[POINT_NUMBER_COUNT];      /* NAN: unknown; POINT_STATE holds enum device_state */
    int64_t updated_ms[POINT_NUMBER_COUNT]; /* wall ms of each value, 0: never */
    int64_t invalid_ms[POINT_NUMBER_COUNT]; /* until when each can be trusted; INT64_MAX: always */
};

#define QUANTITIES_ALL ((UINT64_C(1) << POINT_NUMBER_COUNT) - 1)

/* Has room for the quantities that its device may have, no others: most have a third of all. */
struct live;

/* `quantities`: bits by enum point_id. All others are unknown, whatever is published. NULL: no
 * memory. */
struct live *live_new(uint64_t quantities);
void live_free(struct live *live);                                           /* NULL is fine */
void live_publish(struct live *live, const struct flexibility *flexibility); /* one writer */
void live_warm(const struct live *live); /* before a publication; see base/warm.h */
/* All but the quantities and their times (updated_at, invalid_at too), which stay as they were
 * published last. The same writer. */
void live_publish_head(struct live *live, const struct flexibility *flexibility);
void live_read(const struct live *live, struct flexibility *flexibility); /* any thread */

const char *command_state_name(enum command_state state);
const char *following_name(enum following following);
const char *watchdog_state_name(enum watchdog_state state);

#endif
