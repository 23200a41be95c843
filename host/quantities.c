#include "quantities.h"

#include <math.h>
#include <stdlib.h>

#include "base/warm.h"

const struct quantity quantity_unknown = {.value = (double)NAN};

struct quantities *quantities_new(uint64_t which, const struct quantities *before) {
    size_t count = 0;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        count += which >> id & 1;
    struct quantities *made = malloc(sizeof *made + count * sizeof *made->items);
    int8_t place = 0;
    if (made)
        made->count = (uint8_t)count;
    for (int id = 0; made && id < POINT_NUMBER_COUNT; id++) {
        made->places[id] = -1;
        if (!(which >> id & 1))
            continue;
        made->items[place] = *quantities_get(before, (enum point_id)id);
        made->places[id] = place++;
    }
    return made;
}

void quantities_warm(const struct quantities *quantities) {
    if (quantities)
        warm(quantities, sizeof *quantities + quantities->count * sizeof *quantities->items);
}

void quantities_free(struct quantities *quantities) {
    free(quantities);
}
