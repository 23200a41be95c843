/* How long each level of history is kept, as the site file says it. Pure. */
#ifndef DERD_TELEMETRY_RETENTION_H
#define DERD_TELEMETRY_RETENTION_H

#include <jansson.h>
#include <stdint.h>

#include "base/report.h"

enum level { LEVEL_RAW, LEVEL_MINUTES, LEVEL_QUARTERS, LEVEL_DAYS, LEVEL_COUNT };

int64_t level_ms(enum level level);       /* length of a bucket; 1 of LEVEL_RAW */
const char *level_name(enum level level); /* "raw", "1m", "15m", "1d" */

struct retention { /* 0: for ever */
    int64_t levels_ms[LEVEL_COUNT];
    int64_t decisions_ms;
};

/* 48 h, 30 d, 2 years, for ever; 90 d: some 70 MB for a meter of 18 quantities that is read every
 * second. */
struct retention retention_default(void);
/* `history`: { raw = "48h", minutes = "30d", quarters = "2y", days = "forever", decisions = "90d" }
 * or NULL; what is left out is the default. Mistakes begin with `where`. */
void retention_read(const json_t *history, const char *where, struct retention *retention,
                    struct report *report);

#endif
