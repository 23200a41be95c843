/* The ladder that a failing script climbs. Each who calls it (a device, a policy's instance) stands
 * on a rung of his own: after a failure only he waits, his neighbours go on. Three failures in a
 * row mean that the script's state may be at fault: it is built anew from the same text (at once
 * when it ran out of memory). When the third rebuild within ten minutes is called for, rebuilding
 * does not help: the script is quarantined until its file changes.
 *
 * Pure: what to do is told here, doing it is guard.c's. Waits double and start small again only
 * after a call that went well, so that a device that sends nonsense for a while does not quarantine
 * a good driver. */
#ifndef DERD_LADDER_H
#define DERD_LADDER_H

#include <stdbool.h>

#include "base/clock.h"

#define LADDER_FAILURES      3 /* in a row, until the script is built anew */
#define LADDER_REBUILDS      3 /* the third within the window quarantines instead */
#define LADDER_WINDOW_MS     600000
#define LADDER_WAIT_FIRST_MS 500
#define LADDER_WAIT_LAST_MS  30000

struct ladder {                           /* of one script; zeroed at first */
    unsigned builds;                      /* how often it was built anew */
    struct mono rebuilt[LADDER_REBUILDS]; /* the last of them, newest first; ms 0: none */
};

struct rung {       /* of one who calls it; zeroed at first and with each other script */
    unsigned build; /* of the script that `failures` are counted on */
    int failures;   /* in a row */
    int64_t wait_ms;
    struct mono until; /* not called before; ms 0: may be called */
};

enum ladder_step { LADDER_WAIT, LADDER_REBUILD, LADDER_QUARANTINE };

bool ladder_may_call(const struct rung *rung, struct mono now);
void ladder_passed(struct rung *rung);
/* A call failed: what to do beyond waiting. `spoiled`: the script cannot be called again. */
enum ladder_step ladder_failed(struct ladder *ladder, struct rung *rung, bool spoiled,
                               struct mono now);

#endif
