/* Clusters and devices: what there is, as the site file and the devices themselves say. */
#include "api/device_list.h"
#include "api/handlers.h"
#include "api/present.h"

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

static void device_write(const void *context, size_t index, struct json *json) {
    const struct device_list *list = context;
    present_device(json, list->devices[index]);
}

void api_device_list(struct exchange *x) {
    device_list_answer(x, device_write, LIST_LIMIT_DEFAULT);
}

void api_device_get(struct exchange *x) {
    const struct cluster_card *cluster;
    struct device_card *card = exchange_device(x, &cluster);
    if (card)
        present_device(exchange_json(x, 200), card);
}
