#include "telemetry/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)
#define YEAR_MS (365 * DAY_MS)

int64_t level_ms(enum level level) {
    static const int64_t lengths[] = {
        [LEVEL_RAW] = 1, [LEVEL_MINUTES] = 60000, [LEVEL_QUARTERS] = 900000, [LEVEL_DAYS] = DAY_MS};
    return lengths[level];
}

const char *level_name(enum level level) {
    static const char *const names[] = {"raw", "1m", "15m", "1d"};
    return names[level];
}

struct retention retention_default(void) {
    return (struct retention){.levels_ms = {48 * HOUR_MS, 30 * DAY_MS, 2 * YEAR_MS, 0},
                              .decisions_ms = 90 * DAY_MS};
}

/* "48h", "30d", "2y", "forever". */
static bool duration_parse(const char *text, int64_t *ms) {
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'h', HOUR_MS}, {'d', DAY_MS}, {'y', YEAR_MS}};
    char *end;
    if (strcmp(text, "forever") == 0) {
        *ms = 0;
        return true;
    }
    if (text[0] < '1' || text[0] > '9' || strlen(text) > 6)
        return false;
    long number = strtol(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end[0] == units[i].unit && end[1] == '\0') {
            *ms = number * units[i].ms;
            return true;
        }
    return false;
}

void retention_read(const json_t *history, const char *where, struct retention *retention,
                    struct report *report) {
    *retention = retention_default();
    /* Least: a level is kept until the one above it has been made of it. */
    const struct {
        const char *key, *least;
        int64_t least_ms;
        int64_t *to;
    } rows[] = {{"raw", "1h", HOUR_MS, &retention->levels_ms[LEVEL_RAW]},
                {"minutes", "1d", DAY_MS, &retention->levels_ms[LEVEL_MINUTES]},
                {"quarters", "2d", 2 * DAY_MS, &retention->levels_ms[LEVEL_QUARTERS]},
                {"days", "30d", 30 * DAY_MS, &retention->levels_ms[LEVEL_DAYS]},
                {"decisions", "1d", DAY_MS, &retention->decisions_ms}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = json_string_value(json_object_get(history, rows[i].key));
        int64_t ms = 0;
        char place[96];
        snprintf(place, sizeof place, "%s.%s", where, rows[i].key);
        if (!text)
            continue; /* left out, or told as a mistake of form */
        if (!duration_parse(text, &ms))
            report_add(report, place,
                       "a number and h, d or y like \"48h\", or \"forever\" was expected, got "
                       "\"%.40s\"",
                       text);
        else if (ms && ms < rows[i].least_ms)
            report_add(report, place, "\"%.40s\" is too short: at least \"%s\"", text,
                       rows[i].least);
        else
            *rows[i].to = ms;
    }
}
