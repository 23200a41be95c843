/* A list of mistakes: all of them at once, each with its place and a sentence that says what was
 * expected, what was got and what to do. Checks of drivers, policies, site files and API bodies
 * fill one; `derd check`, the log, GET /v1/drivers/{name} and problem documents show it. */
#ifndef DERD_BASE_REPORT_H
#define DERD_BASE_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define REPORT_MAXIMUM 100 /* further mistakes are counted, not kept */

struct mistake {
    char *where; /* "points[2].encoding", "/priority", or "eastron_sdm.lua:12"; "" = the whole */
    char *text;
};

struct report {
    struct mistake *items;
    size_t count; /* kept */
    size_t total; /* found */
};

void report_init(struct report *report);
void report_free(struct report *report);
void report_add(struct report *report, const char *where, const char *format, ...)
    printf_like(3, 4);
static inline bool report_empty(const struct report *report) {
    return report->total == 0;
}
/* Moves everything of `from` to the end of `to`, with `prefix` before each place. */
void report_move(struct report *to, struct report *from, const char *prefix);

#endif
