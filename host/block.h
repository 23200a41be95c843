/* Blocks: points of one period merged into as few reads as the device allows. Pure.
 *
 * A plan is made per machine from the points in use; a block that a device refuses is split in two
 * and the split is remembered, down to single points; a single point that is refused is left out
 * until the next connection. */
#ifndef DERD_BLOCK_H
#define DERD_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "point.h"

struct block_limits {
    int max_words; /* largest read: 1..125 registers (Modbus Application Protocol V1.1b3, 6.3) */
    int max_gap;   /* most registers read only to join two points: 0..124 */
    const struct block_hole {
        enum register_kind kind;
        uint16_t first, last; /* registers that must never be read, inclusive */
    } * holes;
    size_t hole_count;
};

struct block_item {
    int point;        /* index into the driver's points */
    uint16_t address; /* wire address, models resolved */
};

struct block {
    enum register_kind kind;
    uint16_t address;
    uint16_t words;
    int64_t period_ms;
    bool refused; /* a single point that the device does not have */
    size_t first; /* items[first .. first + count) belong to this block, by address */
    size_t count;
};

struct block_plan {
    struct block *blocks; /* ordered by period, kind, address */
    size_t block_count;
    struct block_item *items;
    size_t item_count;
};

/* `items`: the points in use with their wire addresses, any order; copied. ERR_RANGE: a point is
 * larger than max_words or ends beyond register 65535; ERR_CONFLICT: one lies in a hole. The plan
 * is empty then. */
must_check enum err block_plan_make(struct block_plan *plan, const struct point *points,
                                    const struct block_item *items, size_t item_count,
                                    const struct block_limits *limits);
void block_plan_free(struct block_plan *plan);
/* Block `index` was refused: split it between two items, or mark it refused when it has one.
 * Blocks after it move up by one; `items` keeps its order. ERR_RANGE: no such block; ERR_MEMORY:
 * nothing has changed. */
must_check enum err block_plan_split(struct block_plan *plan, size_t index,
                                     const struct point *points);

#endif
