#include "operator/operator_view.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct operator_slot {
    atomic_uint references;
    pthread_mutex_t lock; /* of the copy */
    struct operator_view view;
};

struct operator_slot *operator_slot_new(void) {
    struct operator_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    atomic_init(&slot->references, 1);
    pthread_mutex_init(&slot->lock, NULL);
    return slot;
}

struct operator_slot *operator_slot_hold(struct operator_slot *slot) {
    atomic_fetch_add_explicit(&slot->references, 1, memory_order_relaxed);
    return slot;
}

void operator_slot_release(struct operator_slot *slot) {
    if (!slot || atomic_fetch_sub_explicit(&slot->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&slot->lock);
    free(slot);
}

void operator_slot_put(struct operator_slot *slot, const struct operator_view *view) {
    pthread_mutex_lock(&slot->lock);
    slot->view = *view;
    pthread_mutex_unlock(&slot->lock);
}

void operator_slot_get(struct operator_slot *slot, struct operator_view *view) {
    pthread_mutex_lock(&slot->lock);
    *view = slot->view;
    pthread_mutex_unlock(&slot->lock);
}
