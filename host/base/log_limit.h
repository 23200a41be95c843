/* What says the same again and again, in the log: of one place in the program and one subject the
 * first LOG_LIMIT_BURST lines of a minute are shown; how many more there were is told in one line
 * when that minute is over. Pure; the caller has a lock and the clock. */
#ifndef DERD_BASE_LOG_LIMIT_H
#define DERD_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"

#define LOG_LIMIT_BURST     20
#define LOG_LIMIT_WINDOW_MS 60000
#define LOG_LIMIT_PLACES    256 /* known at a time; what is beyond is shown always */

struct log_place {
    const char *format; /* of the place in the program; NULL: free */
    char subject[80];
    char text[200]; /* of the last that was left out */
    enum log_level level;
    struct mono since;
    unsigned shown, left_out;
};

struct log_limit {
    struct log_place places[LOG_LIMIT_PLACES];
};

/* Whether a line of this place and subject may be shown now; else it is counted, with its `text`.
 */
bool log_limit_take(struct log_limit *limit, const char *format, const char *subject,
                    enum log_level level, const char *text, struct mono now);
/* A place whose minute is over (or any, when `all`) and that left something out: a copy, and it
 * begins anew. False: there is none. Places that left nothing out are forgotten. */
bool log_limit_over(struct log_limit *limit, struct mono now, bool all, struct log_place *place);

#endif
