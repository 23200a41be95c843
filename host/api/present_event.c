#include "api/present_event.h"

#include "api/present.h"

static void put_head(struct json *json, struct event_id id, enum event_type type,
                     const char *action, struct wall at) {
    char text[EVENT_ID_SIZE];
    event_id_format(id, text);
    json_put_string(json, "id", text);
    json_put_string(json, "type", event_type_name(type));
    json_put_string(json, "action", action);
    json_put_time(json, "at", at);
}

void present_event(struct json *json, const struct event *event) {
    json_object_open(json);
    put_head(json, event->id, event->type, event->action, event->at);
    json_put_known(json, "clusterId", event->cluster_id);
    json_put_known(json, "deviceId", event->device_id);
    json_key(json, "data");
    if (event->card)
        present_flexibility(json, event->card);
    else
        json_write_raw(json, event->data);
    json_object_close(json);
}

void present_reset(struct json *json, struct event_id id, const char *why, struct wall at) {
    json_object_open(json);
    put_head(json, id, EVENT_RESET, why, at);
    json_put_null(json, "clusterId");
    json_put_null(json, "deviceId");
    json_key(json, "data");
    json_object_open(json);
    json_put_string(json, "detail",
                    "Events may have been missed: read the resources that matter again.");
    json_object_close(json);
    json_object_close(json);
}
