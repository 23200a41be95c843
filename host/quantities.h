/* What is known of one device: of each quantity that it may have its value, when that was read and
 * how long it can be trusted. There is room for these alone; most devices have a third of all. */
#ifndef DERD_QUANTITIES_H
#define DERD_QUANTITIES_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "vocabulary.h"

struct quantity {
    double value;     /* NAN: unknown */
    struct mono mono; /* ms 0: never read */
    struct wall wall;
    int64_t valid_ms; /* how long it can be trusted; INT64_MAX: always */
};

struct quantities {
    uint8_t count;                     /* of `items` */
    int8_t places[POINT_NUMBER_COUNT]; /* in `items`; -1: none */
    struct quantity items[];
};

extern const struct quantity quantity_unknown;

/* `which`: bits by enum point_id. What `before` (NULL: nothing) knows of them goes on. NULL: no
 * memory. */
struct quantities *quantities_new(uint64_t which, const struct quantities *before);
void quantities_free(struct quantities *quantities); /* NULL is fine */

/* Never NULL: what the device cannot have is unknown. */
static inline const struct quantity *quantities_get(const struct quantities *quantities,
                                                    enum point_id id) {
    int8_t place = quantities ? quantities->places[id] : -1;
    return place < 0 ? &quantity_unknown : &quantities->items[place];
}

/* To be changed; NULL: the device cannot have it. */
static inline struct quantity *quantities_at(struct quantities *quantities, enum point_id id) {
    int8_t place = quantities ? quantities->places[id] : -1;
    return place < 0 ? NULL : &quantities->items[place];
}

void quantities_warm(const struct quantities *quantities); /* see base/warm.h */

/* Whether its value can still be trusted. */
static inline bool quantity_fresh(const struct quantity *quantity, struct mono now) {
    return !isnan(quantity->value) &&
           (quantity->valid_ms == INT64_MAX || now.ms - quantity->mono.ms < quantity->valid_ms);
}

#endif
