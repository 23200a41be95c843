/* Memory that will be needed soon, fetched into the cache while something else goes on. It changes
 * nothing but time: without it each line of it is waited for when it is touched. */
#ifndef DERD_BASE_WARM_H
#define DERD_BASE_WARM_H

#include <stddef.h>

#define WARM_LINE 64 /* bytes that come at once, of most processors */

/* `size` bytes that are to be written. */
static inline void warm(const void *from, size_t size) {
    for (size_t at = 0; at < size; at += WARM_LINE)
        __builtin_prefetch((const char *)from + at, 1);
}

#endif
