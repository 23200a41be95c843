#include "roster.h"

#include <stdlib.h>
#include <string.h>

static uint64_t key_of(const char *id) {
    uint64_t key = UINT64_C(0xCBF29CE484222325);
    for (; *id; id++)
        key = (key ^ (unsigned char)*id) * UINT64_C(0x100000001B3);
    return key;
}

void roster_forget(struct roster *roster) {
    free(roster->places);
    *roster = (struct roster){0};
}

bool roster_add(struct roster *roster, const char *id, void *it) {
    if (roster->count == roster->capacity) {
        size_t capacity = roster->capacity ? roster->capacity * 2 : 64;
        struct roster_place *places = realloc(roster->places, capacity * sizeof *places);
        if (!places) {
            roster_forget(roster);
            return false;
        }
        roster->places = places;
        roster->capacity = capacity;
    }
    roster->places[roster->count++] = (struct roster_place){key_of(id), it};
    return true;
}

static int by_key(const void *a, const void *b) {
    const struct roster_place *one = a;
    const struct roster_place *other = b;
    return (one->key > other->key) - (one->key < other->key);
}

void roster_close(struct roster *roster) {
    if (roster->count)
        qsort(roster->places, roster->count, sizeof *roster->places, by_key);
    roster->made = true;
}

void *roster_find(struct roster *roster, const char *id, roster_id *id_of) {
    if (roster->found && strcmp(id_of(roster->found), id) == 0)
        return roster->found;
    uint64_t key = key_of(id);
    size_t low = 0;
    for (size_t high = roster->count; low < high;) {
        size_t middle = (low + high) / 2;
        if (roster->places[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < roster->count && roster->places[low].key == key; low++)
        if (strcmp(id_of(roster->places[low].it), id) == 0)
            return roster->found = roster->places[low].it;
    return NULL;
}
