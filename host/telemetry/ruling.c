#include "telemetry/ruling.h"

#include <string.h>

static bool cause_same(const struct cause *a, const struct cause *b) {
    if (a->priority != b->priority || strcmp(a->created_by, b->created_by) != 0 ||
        strcmp(a->key, b->key) != 0)
        return false;
    return a->key[0] || (strcmp(a->id, b->id) == 0 && strcmp(a->reason, b->reason) == 0);
}

bool ruling_same(const struct ruling *a, const struct ruling *b) {
    if (a->controllable != b->controllable || a->in_force != b->in_force || a->unmet != b->unmet ||
        a->has_set != b->has_set || (a->has_set && a->set != b->set) || a->min != b->min ||
        a->max != b->max)
        return false;
    for (int i = 0; i < RULED_COUNT; i++)
        if (!cause_same(&a->causes[i], &b->causes[i]))
            return false;
    return true;
}

void ruling_told(struct ruling *ruling, enum command_state state, int64_t since_ms) {
    ruling->command = state;
    ruling->command_ms = since_ms;
    if (state == COMMAND_SENT && !ruling->sent_ms)
        ruling->sent_ms = since_ms;
    if (state == COMMAND_CONFIRMED && !ruling->confirmed_ms) {
        ruling->confirmed_ms = since_ms;
        if (!ruling->sent_ms)
            ruling->sent_ms = since_ms;
    }
}

void ruling_measure(struct ruling *ruling, enum reach reach, int64_t ms) {
    if (reach == REACH_UNKNOWN || ms <= 0)
        return;
    ruling->measured_ms += ms;
    if (reach == REACH_AT_MIN)
        ruling->at_min_ms += ms;
    if (reach == REACH_AT_MAX)
        ruling->at_max_ms += ms;
    if (reach == REACH_BELOW || reach == REACH_ABOVE)
        ruling->outside_ms += ms;
}

const char *ruling_end_name(enum ruling_end end) {
    static const char *const names[] = {[RULING_OPEN] = "open",
                                        [RULING_REPLACED] = "replaced",
                                        [RULING_SITE_CHANGED] = "siteChanged",
                                        [RULING_HOST_STOPPED] = "hostStopped",
                                        [RULING_HOST_LOST] = "hostLost"};
    return end < RULING_END_COUNT ? names[end] : names[RULING_OPEN];
}
