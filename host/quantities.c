#include "quantities.h"

#include <math.h>
#include <stdlib.h>

struct quantities {
    int8_t places[POINT_NUMBER_COUNT]; /* in `items`; -1: none */
    struct quantity items[];
};

static const struct quantity unknown = {.value = (double)NAN};

struct quantities *quantities_new(uint64_t which, const struct quantities *before) {
    size_t count = 0;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        count += which >> id & 1;
    struct quantities *made = malloc(sizeof *made + count * sizeof *made->items);
    int8_t place = 0;
    for (int id = 0; made && id < POINT_NUMBER_COUNT; id++) {
        made->places[id] = -1;
        if (!(which >> id & 1))
            continue;
        made->items[place] = *quantities_get(before, (enum point_id)id);
        made->places[id] = place++;
    }
    return made;
}

void quantities_free(struct quantities *quantities) {
    free(quantities);
}

const struct quantity *quantities_get(const struct quantities *quantities, enum point_id id) {
    int8_t place = quantities ? quantities->places[id] : -1;
    return place < 0 ? &unknown : &quantities->items[place];
}

struct quantity *quantities_at(struct quantities *quantities, enum point_id id) {
    int8_t place = quantities ? quantities->places[id] : -1;
    return place < 0 ? NULL : &quantities->items[place];
}
