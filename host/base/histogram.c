#include "base/histogram.h"

static const int64_t bounds_us[HISTOGRAM_BUCKETS] = {1000,   5000,    25000,   100000,
                                                     250000, 1000000, 2500000, 10000000};

int64_t histogram_bound_us(int bucket) {
    return bounds_us[bucket];
}

void histogram_add(struct histogram *histogram, int64_t took_us) {
    int bucket = 0;
    if (took_us < 0)
        took_us = 0;
    while (bucket < HISTOGRAM_BUCKETS && took_us > bounds_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)took_us, memory_order_relaxed);
}
