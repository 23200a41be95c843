#include "api/device_list.h"

#include <string.h>

static const char *device_id(const void *context, size_t index) {
    return ((const struct device_list *)context)->devices[index]->id;
}

static bool device_shown(const void *context, size_t index) {
    const struct device_list *list = context;
    const struct device_card *card = list->devices[index];
    if (list->by_type && card->type != list->type)
        return false;
    if (!list->by_connection && !list->by_state)
        return true;
    struct flexibility flexibility;
    live_read(card->live, &flexibility);
    if (list->by_state && flexibility.values[POINT_STATE] != (double)list->state)
        return false;
    return !list->by_connection || flexibility.connection == list->connection;
}

static bool read_state(struct exchange *x, struct device_list *list) {
    const char *state = request_query(&x->request, "state");
    list->by_state = state != NULL;
    if (!state)
        return true;
    for (int i = STATE_UNKNOWN + 1; i < STATE_COUNT; i++)
        if (strcmp(device_state_name((enum device_state)i), state) == 0) {
            list->state = (enum device_state)i;
            return true;
        }
    exchange_problem(x, 400, "state=%.40s is none of states in GET /v1/vocabulary.", state);
    return false;
}

static bool read_filters(struct exchange *x, struct device_list *list) {
    const char *type = request_query(&x->request, "type");
    const char *connection = request_query(&x->request, "connection");
    list->by_type = type != NULL;
    list->by_connection = connection != NULL;
    if (type && !device_type_parse(type, &list->type)) {
        exchange_problem(x, 400, "type=%.40s is none of deviceTypes in GET /v1/vocabulary.", type);
        return false;
    }
    if (!connection)
        return true;
    for (int i = 0; i < CONNECTION_COUNT; i++)
        if (strcmp(connection_name((enum connection)i), connection) == 0) {
            list->connection = (enum connection)i;
            return true;
        }
    exchange_problem(x, 400, "connection=%.40s is none of connections in GET /v1/vocabulary.",
                     connection);
    return false;
}

void device_list_answer(struct exchange *x, device_list_write *write, size_t limit) {
    const struct cluster_card *cluster = exchange_cluster(x);
    struct device_list list = {0};
    if (!cluster || !read_filters(x, &list) || !read_state(x, &list))
        return;
    list.devices = x->directory->devices + cluster->first_device;
    list_answer(x,
                &(struct list_source){.context = &list,
                                      .count = cluster->device_count,
                                      .id = device_id,
                                      .shown = device_shown,
                                      .write = write},
                limit);
}
