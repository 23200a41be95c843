/* Telemetry: what devices measured and what was decided on them, over time. One SQLite file,
 * `telemetry.db`, beside the store's (WAL, synchronous NORMAL: a kill costs the last seconds, a
 * power cut what the system had not written yet, never the file), written by one thread that owns
 * the only connection that writes. Readers have connections of their own, read only
 * (telemetry/reader.h).
 *
 *   engine -> queue (bounded) -> raw samples -> minutes -> quarters -> days
 *                             -> decisions
 *
 * The engine copies into the queue and goes on; when the queue or the disk is full, samples are
 * dropped, counted and told, and control goes on. Nothing here ever stops the host: a file that is
 * damaged or of another program is set aside, and a new one begun. Buckets are made from what is on
 * disk by marks that are kept with them, so a kill at any moment counts nothing twice and loses no
 * more than the last seconds.
 *
 * Time: everything is UTC, a day is a UTC day. While the clock is not trusted nothing is measured
 * into history; decisions are kept and say so. After a step back, samples go to the time that the
 * clock says; buckets that were made already stay, and what the counters counted meanwhile is in
 * the first bucket after them. */
#ifndef DERD_TELEMETRY_TELEMETRY_H
#define DERD_TELEMETRY_TELEMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "telemetry/retention.h"
#include "telemetry/ruling.h"
#include "telemetry/sample.h"

#define TELEMETRY_SCHEMA      1    /* layout of the file */
#define TELEMETRY_QUEUE_LEAST 4096 /* entries that may wait; more where many devices bring them */
#define TELEMETRY_COMMIT_MS   5000

struct telemetry;

struct telemetry_settings {
    const char *directory;
    const struct clock *clock;
    struct retention retention;
    int64_t commit_ms; /* 0: TELEMETRY_COMMIT_MS */
};

struct origin { /* whose */
    char device_id[ID_SIZE];
    char cluster_id[ID_SIZE];
};

struct telemetry_status {
    bool ready;   /* the file is open */
    bool failing; /* the last writes failed */
    char why[240];
    uint64_t dropped;         /* samples: the queue or the disk was full */
    uint64_t dropped_untimed; /* samples: the clock was not trusted */
    uint64_t set_aside;       /* files, since the start */
};

/* Starts the thread, which opens the file. ERR_MEMORY only. */
must_check enum err telemetry_open(struct telemetry **telemetry,
                                   const struct telemetry_settings *settings);
/* Writes what is queued, ends the open rulings, closes. NULL is fine. No reader may be open. */
void telemetry_close(struct telemetry *telemetry);

/* --- the engine's; each copies and returns. NULL is fine: nothing is kept. -----------------------
 */

/* `rated_w`: NAN unknown. */
void telemetry_sample(struct telemetry *telemetry, const struct origin *origin, struct now now,
                      const struct sample *sample, double rated_w);
/* Begins a ruling: what the caller knows of it; times and measures are filled in here. */
void telemetry_ruling(struct telemetry *telemetry, const struct origin *origin, struct now now,
                      const struct ruling *ruling);
void telemetry_told(struct telemetry *telemetry, const struct origin *origin, struct now now,
                    enum command_state state, struct wall since);
/* The device leaves the site, or is built anew. */
void telemetry_leave(struct telemetry *telemetry, const struct origin *origin, struct now now);
void telemetry_retain(struct telemetry *telemetry, const struct retention *retention);

/* --- any thread ------------------------------------------------------------------------------- */

void telemetry_status(struct telemetry *telemetry, struct telemetry_status *status);
/* Waits until what was given before is on its way to disk (or dropped), and all buckets that have
 * ended are made. For tests and benches. */
void telemetry_settle(struct telemetry *telemetry);

#endif
