#include "ranges.h"

#include <string.h>

static int32_t least_of(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t most_of(int32_t a, int32_t b) {
    return a > b ? a : b;
}

struct ranges ranges_of(int32_t lo, int32_t hi) {
    struct ranges ranges = {0};
    if (lo <= hi) {
        ranges.count = 1;
        ranges.items[0] = (struct range){lo, hi};
    }
    return ranges;
}

bool ranges_add(struct ranges *ranges, int32_t lo, int32_t hi) {
    if (lo > hi)
        return true;
    /* [first, last) are those that the new one joins; 64 bits, since hi + 1 may not fit in 32. */
    size_t first = 0;
    while (first < ranges->count && (int64_t)ranges->items[first].hi + 1 < lo)
        first++;
    size_t last = first;
    while (last < ranges->count && ranges->items[last].lo <= (int64_t)hi + 1) {
        lo = least_of(lo, ranges->items[last].lo);
        hi = most_of(hi, ranges->items[last].hi);
        last++;
    }
    if (first == last && ranges->count == RANGES_MAXIMUM)
        return false;
    memmove(&ranges->items[first + 1], &ranges->items[last],
            (ranges->count - last) * sizeof ranges->items[0]);
    ranges->items[first] = (struct range){lo, hi};
    ranges->count = ranges->count - (last - first) + 1;
    return true;
}

struct ranges ranges_clip(const struct ranges *ranges, int32_t lo, int32_t hi) {
    struct ranges clipped;
    clipped.count = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        struct range range = {most_of(ranges->items[i].lo, lo), least_of(ranges->items[i].hi, hi)};
        if (range.lo <= range.hi)
            clipped.items[clipped.count++] = range;
    }
    memset(&clipped.items[clipped.count], 0,
           (RANGES_MAXIMUM - clipped.count) * sizeof clipped.items[0]);
    return clipped;
}

bool ranges_contain(const struct ranges *ranges, int32_t value) {
    for (size_t i = 0; i < ranges->count; i++)
        if (ranges->items[i].lo <= value && value <= ranges->items[i].hi)
            return true;
    return false;
}

bool ranges_hull(const struct ranges *ranges, int32_t *lo, int32_t *hi) {
    if (ranges->count == 0)
        return false;
    *lo = ranges->items[0].lo;
    *hi = ranges->items[ranges->count - 1].hi;
    return true;
}

static int64_t magnitude(int64_t value) {
    return value < 0 ? -value : value;
}

/* Of two equally near: the one of less magnitude, then the positive one. */
static int32_t ranges_nearest(const struct ranges *ranges, int32_t value) {
    int32_t nearest = 0;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < ranges->count; i++) {
        int32_t candidate = most_of(ranges->items[i].lo, least_of(ranges->items[i].hi, value));
        int64_t distance = magnitude((int64_t)candidate - value);
        bool smaller = magnitude(candidate) < magnitude(nearest) ||
                       (magnitude(candidate) == magnitude(nearest) && candidate > nearest);
        if (distance < least || (distance == least && smaller)) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

int32_t ranges_least(const struct ranges *ranges) {
    return ranges_nearest(ranges, 0);
}

int32_t ranges_settle(const struct ranges *ranges, int32_t value) {
    for (size_t i = ranges->count; value > 0 && i-- > 0;) {
        int32_t candidate = least_of(ranges->items[i].hi, value);
        if (candidate > 0 && candidate >= ranges->items[i].lo)
            return candidate;
    }
    for (size_t i = 0; value < 0 && i < ranges->count; i++) {
        int32_t candidate = most_of(ranges->items[i].lo, value);
        if (candidate < 0 && candidate <= ranges->items[i].hi)
            return candidate;
    }
    return ranges_contain(ranges, 0) ? 0 : ranges_nearest(ranges, value);
}
