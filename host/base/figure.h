/* A counter that one or more threads add to and others read, without a lock and without an order:
 * for /metrics. Zeroed memory is 0. */
#ifndef DERD_BASE_FIGURE_H
#define DERD_BASE_FIGURE_H

#include <stdatomic.h>
#include <stdint.h>

typedef atomic_uint_fast64_t figure_t;

static inline void figure_add(figure_t *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static inline void figure_set(figure_t *counter, uint64_t value) {
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* Keeps the largest. One writer. */
static inline void figure_raise(figure_t *counter, uint64_t value) {
    if (value > atomic_load_explicit(counter, memory_order_relaxed))
        atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline uint64_t figure_get(const figure_t *counter) {
    return atomic_load_explicit((figure_t *)counter, memory_order_relaxed);
}

#endif
