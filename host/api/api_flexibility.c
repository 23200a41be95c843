/* Flexibility: the current state of devices, as last published. Stale data is no error: it comes
 * with an invalidAt in the past. */
#include "api/device_list.h"
#include "api/handlers.h"
#include "api/present.h"

static void flexibility_write(const void *context, size_t index, struct json *json) {
    const struct device_list *list = context;
    present_flexibility(json, list->devices[index]);
}

/* All at once: one page holds as many as a page can. */
void api_flexibility_list(struct exchange *x) {
    device_list_answer(x, flexibility_write, LIST_LIMIT_MAXIMUM);
}

void api_flexibility_get(struct exchange *x) {
    const struct cluster_card *cluster;
    struct device_card *card = exchange_device(x, &cluster);
    if (card)
        present_flexibility(exchange_json(x, 200), card);
}
