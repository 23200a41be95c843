/* Clusters and devices: what there is, as the site file and the devices themselves say. */
#include <string.h>

#include "api/device_list.h"
#include "api/handlers.h"
#include "api/inventory.h"
#include "api/present.h"

/* --- clusters -------------------------------------------------------------------------------- */

static const struct cluster_card *cluster_at(const void *exchange, size_t index) {
    return &((const struct exchange *)exchange)->directory->clusters[index];
}

static const char *cluster_id(const void *exchange, size_t index) {
    return cluster_at(exchange, index)->id;
}

/* With accountId= and parentId= only those of them; the names were looked at before. */
static bool cluster_shown(const void *exchange, size_t index) {
    const struct exchange *x = exchange;
    const struct cluster_card *cluster = cluster_at(exchange, index);
    const char *account = request_query(&x->request, "accountId");
    const char *parent = request_query(&x->request, "parentId");
    struct account filter;
    if (!exchange_sees(x, cluster))
        return false;
    if (account &&
        (!inventory_account(x, account, &filter) || strcmp(filter.key, cluster->account) != 0))
        return false;
    if (!parent)
        return true;
    const struct cluster_card *above = directory_cluster(x->directory, parent);
    return above && strcmp(above->id, cluster->parent_id) == 0;
}

/* A filter that names what is not there is a mistake, not an empty list. */
static bool filters_right(struct exchange *x) {
    const char *account = request_query(&x->request, "accountId");
    const char *parent = request_query(&x->request, "parentId");
    struct account filter;
    if (account && !inventory_account(x, account, &filter)) {
        exchange_problem(x, 400, "accountId=%.60s is no account that this token sees.", account);
        return false;
    }
    const struct cluster_card *above = parent ? directory_cluster(x->directory, parent) : NULL;
    if (parent && (!above || !exchange_sees(x, above))) {
        exchange_problem(x, 400, "parentId=%.60s is no cluster that this token sees.", parent);
        return false;
    }
    return true;
}

static void cluster_write(const void *exchange, size_t index, struct json *json) {
    inventory_write_cluster(exchange, cluster_at(exchange, index), json);
}

void api_cluster_list(struct exchange *x) {
    if (!x->directory) {
        exchange_unavailable(x, 2, "The host is starting and has not read its site file yet.");
        return;
    }
    if (!filters_right(x))
        return;
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
    if (!cluster)
        return;
    inventory_version(x, cluster->revision);
    inventory_write_cluster(x, cluster, exchange_json(x, 200));
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
    if (!card)
        return;
    inventory_version(x, card->revision);
    present_device(exchange_json(x, 200), card);
}
