#include "base/log_limit.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_over(const struct log_place *place, struct mono now) {
    return now.ms - place->since.ms >= LOG_LIMIT_WINDOW_MS;
}

/* The place, or a free one; NULL: all are taken. */
static struct log_place *find(struct log_limit *limit, const char *format, const char *subject,
                              struct mono now) {
    struct log_place *unused = NULL;
    size_t start = ((uintptr_t)format >> 3 ^ strlen(subject) * 31) % LOG_LIMIT_PLACES;
    for (size_t i = 0; i < LOG_LIMIT_PLACES; i++) {
        struct log_place *place = &limit->places[(start + i) % LOG_LIMIT_PLACES];
        if (place->format == format &&
            strncmp(place->subject, subject, sizeof place->subject - 1) == 0)
            return place;
        bool idle = !place->format || (is_over(place, now) && place->left_out == 0);
        if (idle && !unused)
            unused = place;
    }
    if (unused) {
        *unused = (struct log_place){.format = format, .since = now};
        snprintf(unused->subject, sizeof unused->subject, "%s", subject);
    }
    return unused;
}

bool log_limit_take(struct log_limit *limit, const char *format, const char *subject,
                    enum log_level level, const char *text, struct mono now) {
    struct log_place *place = find(limit, format, subject, now);
    if (!place)
        return true;
    if (is_over(place, now) && place->left_out == 0) {
        place->since = now;
        place->shown = 0;
    }
    if (place->shown < LOG_LIMIT_BURST) {
        place->shown++;
        return true;
    }
    place->left_out++;
    place->level = level;
    snprintf(place->text, sizeof place->text, "%s", text);
    return false;
}

bool log_limit_over(struct log_limit *limit, struct mono now, bool all, struct log_place *place) {
    for (size_t i = 0; i < LOG_LIMIT_PLACES; i++) {
        struct log_place *at = &limit->places[i];
        if (!at->format || at->left_out == 0 || (!all && !is_over(at, now)))
            continue;
        *place = *at;
        at->since = now;
        at->shown = at->left_out = 0;
        return true;
    }
    return false;
}
