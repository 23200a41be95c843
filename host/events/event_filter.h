/* Which events someone wants: by type, cluster, device. Pure. */
#ifndef DERD_EVENT_FILTER_H
#define DERD_EVENT_FILTER_H

#include "events/events.h"

#define EVENT_FILTER_IDS 16
#define EVENT_TYPES_ALL  ((1U << EVENT_TYPE_COUNT) - 1)

struct event_filter {
    unsigned types;                     /* bit 1 << enum event_type */
    size_t cluster_count, device_count; /* 0: all, also what belongs to none */
    char clusters[EVENT_FILTER_IDS][ID_SIZE];
    char devices[EVENT_FILTER_IDS][ID_SIZE];
};

/* What the host says of itself, the site file and its disk: for the root account alone. */
bool event_of_host(const struct event *event);
/* EVENT_RESET passes each. */
bool event_filter_passes(const struct event_filter *filter, const struct event *event);

#endif
