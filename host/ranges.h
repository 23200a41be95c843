/* Sets of whole watts as ordered, separate, inclusive intervals: what a device can do. A car on one
 * or three phases is {[0,0], [1380,3680], [4140,11040]}. Pure. */
#ifndef DERD_RANGES_H
#define DERD_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES_MAXIMUM  8
#define POWER_UNBOUNDED INT32_MAX /* as hi; as lo: -POWER_UNBOUNDED. No device draws 2 GW */

struct range {
    int32_t lo, hi; /* W, inclusive, lo <= hi */
};

struct ranges {
    size_t count; /* 0: the empty set */
    struct range items[RANGES_MAXIMUM];
};

/* lo > hi: the empty set. */
struct ranges ranges_of(int32_t lo, int32_t hi);
/* Adds an interval and keeps the order; touching or overlapping ones are joined (0..5 and 6..9
 * touch: whole watts). With no room the two nearest neighbours are not joined over a gap (that
 * would allow what is not): false. lo > hi adds nothing. */
bool ranges_add(struct ranges *ranges, int32_t lo, int32_t hi);
struct ranges ranges_clip(const struct ranges *ranges, int32_t lo, int32_t hi);
bool ranges_contain(const struct ranges *ranges, int32_t value);
/* Least and greatest value; false when empty. */
bool ranges_hull(const struct ranges *ranges, int32_t *lo, int32_t *hi);
/* The value of least magnitude (the positive one of two equals). Not for the empty set. */
int32_t ranges_least(const struct ranges *ranges);
/* ARBITRATION section 5: same sign and the greatest magnitude that does not exceed it, else 0 if
 * contained, else the nearest (of two equally near: the one of less magnitude, of those the
 * positive one). Not for the empty set. */
int32_t ranges_settle(const struct ranges *ranges, int32_t value);

#endif
