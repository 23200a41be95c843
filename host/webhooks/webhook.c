#include "webhooks/webhook.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json_read.h"
#include "base/schema.h"

static json_t *ids_json(const char ids[][ID_SIZE], size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(ids[i]));
    return list;
}

static size_t ids_read(const json_t *list, char ids[][ID_SIZE], size_t maximum) {
    size_t count = 0;
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) {
        if (count < maximum && json_is_string(item))
            snprintf(ids[count++], ID_SIZE, "%s", json_string_value(item));
    }
    return count;
}

char *webhook_write(const struct webhook *webhook) {
    json_t *types = json_array();
    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        if (webhook->filter.types >> i & 1)
            json_array_append_new(types, json_string(event_type_name((enum event_type)i)));
    json_t *tree = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:I, s:b, s:s, s:I, s:I, s:I, s:I}", "url",
        webhook->url, "description", webhook->description, "types", types, "clusterIds",
        ids_json(webhook->filter.clusters, webhook->filter.cluster_count), "deviceIds",
        ids_json(webhook->filter.devices, webhook->filter.device_count), "clusters",
        ids_json(webhook->clusters, webhook->cluster_count), "secret", webhook->secret, "oldSecret",
        webhook->old_secret, "oldUntil", (json_int_t)webhook->old_until.ms, "enabled",
        (int)webhook->enabled, "reason", webhook->reason, "disabledAt",
        (json_int_t)webhook->disabled_at.ms, "failingSince", (json_int_t)webhook->failing_since.ms,
        "createdAt", (json_int_t)webhook->created_at.ms, "revision", (json_int_t)webhook->revision);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    return text;
}

bool webhook_read(const char *id, const char *account, const char *text, struct webhook *webhook) {
    json_t *tree = json_read_text(text, 0, NULL);
    size_t index;
    json_t *item;
    if (!json_is_object(tree)) {
        json_decref(tree);
        return false;
    }
    *webhook = (struct webhook){.enabled = tree_boolean(tree, "enabled", false),
                                .old_until = {tree_integer(tree, "oldUntil", 0)},
                                .disabled_at = {tree_integer(tree, "disabledAt", 0)},
                                .failing_since = {tree_integer(tree, "failingSince", 0)},
                                .created_at = {tree_integer(tree, "createdAt", 0)},
                                .revision = tree_integer(tree, "revision", 1)};
    snprintf(webhook->id, sizeof webhook->id, "%s", id);
    snprintf(webhook->account, sizeof webhook->account, "%s", account);
    snprintf(webhook->url, sizeof webhook->url, "%s", tree_string(tree, "url", ""));
    snprintf(webhook->description, sizeof webhook->description, "%s",
             tree_string(tree, "description", ""));
    snprintf(webhook->secret, sizeof webhook->secret, "%s", tree_string(tree, "secret", ""));
    snprintf(webhook->old_secret, sizeof webhook->old_secret, "%s",
             tree_string(tree, "oldSecret", ""));
    snprintf(webhook->reason, sizeof webhook->reason, "%s", tree_string(tree, "reason", ""));
    json_array_foreach(json_object_get(tree, "types"), index, item) {
        enum event_type type;
        const char *name = json_string_value(item);
        if (name && event_type_parse(name, strlen(name), &type))
            webhook->filter.types |= 1U << type;
    }
    webhook->filter.cluster_count =
        ids_read(json_object_get(tree, "clusterIds"), webhook->filter.clusters, EVENT_FILTER_IDS);
    webhook->filter.device_count =
        ids_read(json_object_get(tree, "deviceIds"), webhook->filter.devices, EVENT_FILTER_IDS);
    webhook->cluster_count =
        ids_read(json_object_get(tree, "clusters"), webhook->clusters, TOKEN_CLUSTERS_MAXIMUM);
    json_decref(tree);
    return true;
}

const char *webhook_old_secret(const struct webhook *webhook, struct wall now) {
    return now.ms < webhook->old_until.ms ? webhook->old_secret : "";
}
