/* What an energy counter really says, reading by reading. Pure.
 *
 * A counter only rises, at most as fast as the device's power allows. A reading that does not fit
 * is not believed at once: it is held as a candidate. When the next readings are on the old line
 * again, it was a glitch and is forgotten; when COUNTER_CONFIRM readings in a row go on from the
 * candidate, the counter stands there now: it was reset (or set), the sum goes on from there, and
 * the jump itself, which no power explains, is never counted. */
#ifndef DERD_TELEMETRY_COUNTER_H
#define DERD_TELEMETRY_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

#define COUNTER_CONFIRM  3
#define COUNTER_SLACK_WH 2000.0 /* coarse counters step by a whole kWh */
#define COUNTER_BACK_WH  10.0   /* a last digit that flickers is no reset */

struct counter {
    bool known;
    double last;     /* Wh, the last reading that was believed */
    int64_t read_ms; /* wall time of the newest reading, believed or not */
    int64_t last_ms; /* of `last` */
    int candidates;  /* readings in a row on the candidate's line; 0: none */
    double first_candidate, candidate;
    int64_t candidate_ms; /* of `candidate` */
};

enum counter_mark {
    COUNTER_GLITCH = 1, /* a reading was refused, and the counter came back */
    COUNTER_RESET = 2,  /* it stands lower now, and counts from there */
    COUNTER_LEAP = 4,   /* it stands impossibly higher now; the leap is not counted */
    COUNTER_GAP = 8     /* what it counted while it was not read is in it */
};

/* Takes one reading; one that is not newer than the last is ignored. `most_w`: more power than the
 * device can have. Adds to *delta_wh what was counted since the last believed reading, and to
 * *marks what was noticed. False when nothing was believed: *delta_wh is as it was. */
bool counter_take(struct counter *counter, double value_wh, int64_t read_ms, double most_w,
                  double *delta_wh, unsigned *marks);

#endif
