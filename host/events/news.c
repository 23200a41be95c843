#include "events/news.h"

#include <math.h>
#include <string.h>

/* Unknown equals unknown. */
static bool same_values(const struct flexibility *a, const struct flexibility *b) {
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        if (a->values[i] != b->values[i] && !(isnan(a->values[i]) && isnan(b->values[i])))
            return false;
    return true;
}

/* Everything but the times. */
static bool same(const struct flexibility *a, const struct flexibility *b) {
    return a->connection == b->connection && same_values(a, b) &&
           memcmp(&a->allowed, &b->allowed, sizeof a->allowed) == 0 && a->command == b->command &&
           a->following == b->following && a->watchdog == b->watchdog &&
           a->command_since.ms == b->command_since.ms && a->bound_min == b->bound_min &&
           a->bound_max == b->bound_max && a->has_set_point == b->has_set_point &&
           (!a->has_set_point || a->set_point == b->set_point);
}

/* Half of the time for which the last word can be trusted is over, and there is a newer one. */
static bool ages(const struct news *news, const struct flexibility *now_is, struct now now) {
    int64_t trust_ms = news->told.invalid_at.ms - news->told.updated_at.ms;
    return trust_ms > 0 && now_is->updated_at.ms > news->told.updated_at.ms &&
           now.wall.ms - news->told.updated_at.ms >= trust_ms / 2;
}

bool news_look(struct news *news, const struct flexibility *now_is, struct now now) {
    if (news->told_once && same(&news->told, now_is) && !ages(news, now_is, now)) {
        news->waits = false; /* it went back to what was told */
        return false;
    }
    news->waits = news->told_once && now.mono.ms - news->told_at.ms < NEWS_PAUSE_MS;
    return !news->waits;
}

bool news_due(const struct news *news, struct mono now) {
    return news->waits && now.ms - news->told_at.ms >= NEWS_PAUSE_MS;
}

void news_told(struct news *news, const struct flexibility *what, struct mono now) {
    news->told_once = true;
    news->waits = false;
    news->told_at = now;
    news->told = *what;
}
