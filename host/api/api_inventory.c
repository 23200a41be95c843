/* Clusters and devices: what there is, as the site file and the devices themselves say. */
#include <string.h>

#include "api/device_list.h"
#include "api/handlers.h"

/* --- clusters -------------------------------------------------------------------------------- */

static void write_cluster(const struct cluster_card *cluster, struct json *json) {
    json_object_open(json);
    json_put_string(json, "id", cluster->id);
    json_put_string(json, "key", cluster->key);
    json_put_known(json, "name", cluster->name);
    json_put_known(json, "account", cluster->account);
    json_put_known(json, "parentId", cluster->parent_id);
    json_put_string(json, "mode", cluster->observe ? "observe" : "control");
    json_put_integer(json, "deviceCount", (int64_t)cluster->device_count);
    json_object_close(json);
}

static const struct cluster_card *cluster_at(const void *exchange, size_t index) {
    return &((const struct exchange *)exchange)->directory->clusters[index];
}

static const char *cluster_id(const void *exchange, size_t index) {
    return cluster_at(exchange, index)->id;
}

static bool cluster_shown(const void *exchange, size_t index) {
    return exchange_sees(exchange, cluster_at(exchange, index));
}

static void cluster_write(const void *exchange, size_t index, struct json *json) {
    write_cluster(cluster_at(exchange, index), json);
}

void api_cluster_list(struct exchange *x) {
    if (!x->directory) {
        exchange_unavailable(x, 2, "The host is starting and has not read its site file yet.");
        return;
    }
    list_answer(x,
                &(struct list_source){.context = x,
                                      .count = x->directory->cluster_count,
                                      .id = cluster_id,
                                      .shown = cluster_shown,
                                      .write = cluster_write},
                LIST_LIMIT_DEFAULT);
}

void api_cluster_get(struct exchange *x) {
    const struct cluster_card *cluster = exchange_cluster(x);
    if (cluster)
        write_cluster(cluster, exchange_json(x, 200));
}

/* --- devices --------------------------------------------------------------------------------- */

struct identity { /* a copy of what stands under the card's lock */
    char words[POINT_COUNT - POINT_TEXT_FIRST][IDENTITY_SIZE];
    char connection_text[160];
};

static void copy_identity(struct device_card *card, struct identity *identity) {
    pthread_mutex_lock(&card->lock);
    memcpy(identity->words, card->identity, sizeof identity->words);
    memcpy(identity->connection_text, card->connection_text, sizeof identity->connection_text);
    pthread_mutex_unlock(&card->lock);
}

static void write_device(struct device_card *card, struct json *json) {
    struct identity identity;
    struct flexibility flexibility;
    copy_identity(card, &identity);
    live_read(&card->live, &flexibility);
    json_object_open(json);
    json_put_string(json, "id", card->id);
    json_put_string(json, "key", card->key);
    json_put_known(json, "name", card->name);
    json_put_string(json, "clusterId", card->cluster_id);
    json_put_string(json, "type", device_type_name(card->type));
    for (int id = POINT_TEXT_FIRST; id < POINT_COUNT; id++)
        json_put_known(json, point_word((enum point_id)id)->name,
                       identity.words[id - POINT_TEXT_FIRST]);
    json_put_known(json, "driver", card->driver);
    json_put_known(json, "link", card->link);
    json_put_integer(json, "unit", card->unit);
    json_put_known(json, "part", card->part);
    json_put_known(json, "role", card->role);
    json_put_string(json, "mode", card->observe ? "observe" : "control");
    json_put_boolean(json, "controllable", card->controllable);
    json_put_boolean(json, "hasStateOfCharge", card->has_soc);
    json_put_string(json, "connection", connection_name(flexibility.connection));
    json_put_known(json, "connectionDetail", identity.connection_text);
    json_object_close(json);
}

static void device_write(const void *context, size_t index, struct json *json) {
    const struct device_list *list = context;
    write_device(list->devices[index], json);
}

void api_device_list(struct exchange *x) {
    device_list_answer(x, device_write, LIST_LIMIT_DEFAULT);
}

void api_device_get(struct exchange *x) {
    const struct cluster_card *cluster;
    struct device_card *card = exchange_device(x, &cluster);
    if (card)
        write_device(card, exchange_json(x, 200));
}
