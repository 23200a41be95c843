#include "events/event_filter.h"

#include <string.h>

static bool among(const char ids[][ID_SIZE], size_t count, const char *id) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return count == 0;
}

bool event_of_host(const struct event *event) {
    return !event->cluster_id[0] && (event->type == EVENT_SITE || event->type == EVENT_ALARM);
}

bool event_filter_passes(const struct event_filter *filter, const struct event *event) {
    if (event->type == EVENT_RESET)
        return true;
    return (filter->types >> event->type & 1) &&
           among(filter->clusters, filter->cluster_count, event->cluster_id) &&
           among(filter->devices, filter->device_count, event->device_id);
}
