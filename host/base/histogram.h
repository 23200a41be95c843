/* How long something took, in buckets that are fixed: a count of each and the sum, for /metrics.
 * Zeroed memory is an empty one. Counting is two relaxed additions without a lock, from any thread;
 * who reads sees each count as it is, and the total as the sum of the counts that he read. */
#ifndef DERD_BASE_HISTOGRAM_H
#define DERD_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 8 /* and one for all that took longer */

struct histogram {
    atomic_uint_fast64_t counts[HISTOGRAM_BUCKETS + 1];
    atomic_uint_fast64_t sum_us;
};

/* Upper bound of a bucket, itself in it: 1 ms to 10 s. */
int64_t histogram_bound_us(int bucket);
void histogram_add(struct histogram *histogram, int64_t took_us); /* a negative one counts as 0 */

#endif
