/* An event in JSON, the same in streams and webhooks: {id, type, action, at, clusterId, deviceId,
 * data}, where data looks as the resource that changed does. */
#ifndef DERD_API_PRESENT_EVENT_H
#define DERD_API_PRESENT_EVENT_H

#include "api/json.h"
#include "events/events.h"

void present_event(struct json *json, const struct event *event);
/* EVENT_RESET, which no one publishes: at `id`, since `why` ("restart", "gap", "dropped"). */
void present_reset(struct json *json, struct event_id id, const char *why, struct wall at);

#endif
