#include "api/webhook_draft.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/schema.h"
#include "io/url.h"
#include "webhooks/webhooks.h"

/* Everything but "reset", which every webhook gets. */
static const char *const type_words[] = {
    "flexibility", "constraint", "decision", "command", "device", "script", "site", "alarm", NULL};
static const struct schema type_item = {.kind = SCHEMA_ENUM, .one_of = type_words};
static const struct schema id_item = {
    .kind = SCHEMA_STRING, .minimum = 1, .maximum = KEY_SIZE - 1, .help = "an id or a key"};

/* clang-format off */
#define COMMON_FIELDS                                                                              \
    {.key = "description", .kind = SCHEMA_STRING, .nullable = true, .minimum = 0,                  \
     .maximum = WEBHOOK_TEXT_SIZE - 1, .help = "a word for people"},                               \
    {.key = "types", .kind = SCHEMA_ARRAY, .nullable = true, .item = &type_item, .minimum = 1,     \
     .maximum = EVENT_TYPE_COUNT, .help = "all but flexibility when left out"},                    \
    {.key = "clusterIds", .kind = SCHEMA_ARRAY, .nullable = true, .item = &id_item, .minimum = 0,  \
     .maximum = EVENT_FILTER_IDS, .help = "only events of these; all when empty"},                 \
    {.key = "deviceIds", .kind = SCHEMA_ARRAY, .nullable = true, .item = &id_item, .minimum = 0,   \
     .maximum = EVENT_FILTER_IDS, .help = "only events of these; all when empty"},                 \
    {.key = "enabled", .kind = SCHEMA_BOOLEAN}
#define URL_HELP "where to POST to: \"https://example.com/hook\""
/* clang-format on */

static const struct schema post_fields[] = {
    {.key = "url",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = POST_URL_SIZE - 1,
     .help = URL_HELP},
    COMMON_FIELDS,
    {0},
};
static const struct schema patch_fields[] = {
    {.key = "url",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = POST_URL_SIZE - 1,
     .help = URL_HELP},
    {.key = "rotateSecret", .kind = SCHEMA_BOOLEAN},
    COMMON_FIELDS,
    {0},
};
static const struct schema post_body = {.kind = SCHEMA_OBJECT, .fields = post_fields};
static const struct schema patch_body = {.kind = SCHEMA_OBJECT, .fields = patch_fields};

/* --- the URL --------------------------------------------------------------------------------- */

static void check_address(const struct exchange *x, const struct url *url, const char *text,
                          struct report *report) {
    struct sockaddr_storage address = {0};
    char why[320];
    if (url->kind == URL_IPV4) {
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)url->port)};
        memcpy(&four.sin_addr, url->address, 4);
        memcpy(&address, &four, sizeof four);
    } else {
        struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)url->port)};
        memcpy(&six.sin6_addr, url->address, 16);
        memcpy(&address, &six, sizeof six);
    }
    if (!address_reachable((const struct sockaddr *)&address, text,
                           webhooks_reachable(x->settings->webhooks), why, sizeof why))
        report_add(report, "/url", "%s", why);
}

static void read_url(const struct exchange *x, struct webhook *webhook, struct report *report) {
    const char *text = tree_string(x->tree, "url", webhook->url);
    struct url url;
    const char *mistake = url_parse(text, &url);
    if (mistake) {
        report_add(report, "/url", "it must be a URL like \"https://example.com/hook\": %s",
                   mistake);
        return;
    }
    if (strcmp(url.scheme, "https") != 0 && strcmp(url.scheme, "http") != 0)
        report_add(report, "/url", "its scheme must be https or http, got \"%s\"", url.scheme);
    else if (url.user[0])
        report_add(report, "/url", "a user does not belong into it: requests are signed instead");
    else if (strchr(url.rest, '#'))
        report_add(report, "/url", "a fragment (#...) is not sent; leave it out");
    else if (url.kind != URL_NAME)
        check_address(x, &url, text, report);
    snprintf(webhook->url, sizeof webhook->url, "%s", text);
}

/* --- the filter ------------------------------------------------------------------------------ */

static void read_types(const json_t *list, struct event_filter *filter) {
    size_t index;
    json_t *item;
    filter->types = json_array_size(list) ? 0 : WEBHOOK_DEFAULT;
    json_array_foreach(list, index, item) {
        enum event_type type;
        const char *name = json_string_value(item);
        if (name && event_type_parse(name, strlen(name), &type))
            filter->types |= 1U << type;
    }
}

static void not_there(struct report *report, const char *member, size_t index, const char *what,
                      const char *which) {
    char where[48];
    snprintf(where, sizeof where, "/%s/%zu", member, index);
    report_add(report, where, "there is no %s \"%s\"", what, which);
}

static void read_clusters(const struct exchange *x, const json_t *list, struct event_filter *filter,
                          struct report *report) {
    size_t index;
    json_t *item;
    filter->cluster_count = 0;
    json_array_foreach(list, index, item) {
        const char *which = json_string_value(item);
        const struct cluster_card *cluster = which ? directory_cluster(x->directory, which) : NULL;
        if (which && (!cluster || !exchange_sees(x, cluster)))
            not_there(report, "clusterIds", index, "cluster", which);
        else if (which && filter->cluster_count < EVENT_FILTER_IDS)
            memcpy(filter->clusters[filter->cluster_count++], cluster->id, ID_SIZE);
    }
}

/* A key is that of each cluster's device of this name, as far as there is room. */
static bool add_devices(const struct exchange *x, const char *which, struct event_filter *filter) {
    bool found = false;
    for (size_t i = 0; i < x->directory->cluster_count; i++) {
        const struct cluster_card *cluster = &x->directory->clusters[i];
        const struct device_card *device =
            exchange_sees(x, cluster) ? directory_device(x->directory, cluster, which) : NULL;
        if (device && filter->device_count == EVENT_FILTER_IDS)
            return false;
        if (device)
            memcpy(filter->devices[filter->device_count++], device->id, ID_SIZE);
        found = found || device;
    }
    return found;
}

static void read_devices(const struct exchange *x, const json_t *list, struct event_filter *filter,
                         struct report *report) {
    size_t index;
    json_t *item;
    filter->device_count = 0;
    json_array_foreach(list, index, item) {
        const char *which = json_string_value(item);
        if (which && !add_devices(x, which, filter))
            not_there(report, "deviceIds", index, "device (or there are too many)", which);
    }
}

bool webhook_draft_read(const struct exchange *x, bool patch, struct webhook *webhook, bool *rotate,
                        struct report *report) {
    const json_t *tree = x->tree;
    const struct schema *schema = patch ? &patch_body : &post_body;
    if (!schema_check(schema, tree, "", PATH_POINTER, report))
        return false;
    *rotate = tree_boolean(tree, "rotateSecret", false);
    webhook->enabled = tree_boolean(tree, "enabled", patch ? webhook->enabled : true);
    if (json_object_get(tree, "url"))
        read_url(x, webhook, report);
    if (json_object_get(tree, "description"))
        snprintf(webhook->description, sizeof webhook->description, "%s",
                 tree_string(tree, "description", ""));
    if (json_object_get(tree, "types") || !patch)
        read_types(json_object_get(tree, "types"), &webhook->filter);
    if (json_object_get(tree, "clusterIds"))
        read_clusters(x, json_object_get(tree, "clusterIds"), &webhook->filter, report);
    if (json_object_get(tree, "deviceIds"))
        read_devices(x, json_object_get(tree, "deviceIds"), &webhook->filter, report);
    return report_empty(report);
}
