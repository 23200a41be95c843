/* The devices of a cluster as a list, with the filters type=, connection= and state=. */
#ifndef DERD_API_DEVICE_LIST_H
#define DERD_API_DEVICE_LIST_H

#include "api/list.h"

struct device_list { /* the context that `write` gets */
    struct device_card *const *devices;
    bool by_type, by_connection, by_state;
    enum device_type type;
    enum connection connection;
    enum device_state state;
};

typedef void device_list_write(const void *device_list, size_t index, struct json *json);

/* Answers with the cluster's devices, or 400 or 404. */
void device_list_answer(struct exchange *x, device_list_write *write, size_t limit);

#endif
