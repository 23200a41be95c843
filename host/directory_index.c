#include "directory_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAMES_EACH   2           /* an id and a key */
#define PLACES_EACH  ((size_t)2) /* for each name: half of the table stays empty */
#define PLACES_LEAST 16
#define NOWHERE      0

struct directory_index {
    size_t mask;       /* places - 1; their number is a power of two */
    uint32_t places[]; /* number of the cluster, or of clusters + the device; + 1; NOWHERE */
};

/* --- names ------------------------------------------------------------------------------------ */

struct name name_of(const char *text) {
    return (struct name){text, uuid_valid(text)};
}

bool name_is(const struct name *name, const char *id, const char *key) {
    return name->by_id ? strcasecmp(name->text, id) == 0 : strcmp(name->text, key) == 0;
}

/* FNV-1a; ids without their case. `within`: names of one cluster's devices, or of clusters. */
static uint64_t hash_of(const struct name *name, size_t within) {
    uint64_t hash = UINT64_C(14695981039346656037) ^ within;
    for (const char *at = name->text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (name->by_id && c >= 'A' && c <= 'F')
            c = (unsigned char)(c + 'a' - 'A');
        hash = (hash ^ c) * UINT64_C(1099511628211);
    }
    return hash ^ hash >> 32;
}

/* --- places ----------------------------------------------------------------------------------- */

static void put(struct directory_index *index, const char *text, size_t within, size_t number) {
    struct name name = name_of(text);
    size_t at = hash_of(&name, within) & index->mask;
    while (index->places[at] != NOWHERE)
        at = (at + 1) & index->mask;
    index->places[at] = (uint32_t)number + 1;
}

/* The first of a name is found: they are put in in their order. */
struct directory_index *directory_index_new(const struct directory *directory) {
    size_t count = directory->cluster_count + directory->device_count;
    size_t places = PLACES_LEAST;
    while (places < NAMES_EACH * PLACES_EACH * count)
        places *= 2;
    struct directory_index *index = calloc(1, sizeof *index + places * sizeof index->places[0]);
    if (!index)
        return NULL;
    index->mask = places - 1;
    for (size_t i = 0; i < directory->cluster_count; i++) {
        const struct cluster_card *cluster = &directory->clusters[i];
        put(index, cluster->id, SIZE_MAX, i);
        put(index, cluster->key, SIZE_MAX, i);
        for (size_t j = 0; j < cluster->device_count; j++) {
            size_t number = cluster->first_device + j;
            const struct device_card *card = directory->devices[number];
            put(index, card->id, i, directory->cluster_count + number);
            put(index, card->key, i, directory->cluster_count + number);
        }
    }
    return index;
}

void directory_index_free(struct directory_index *index) {
    free(index);
}

const struct cluster_card *directory_index_cluster(const struct directory_index *index,
                                                   const struct directory *directory,
                                                   const struct name *name) {
    for (size_t at = hash_of(name, SIZE_MAX) & index->mask; index->places[at] != NOWHERE;
         at = (at + 1) & index->mask) {
        size_t number = index->places[at] - 1;
        const struct cluster_card *cluster = &directory->clusters[number];
        if (number < directory->cluster_count && name_is(name, cluster->id, cluster->key))
            return cluster;
    }
    return NULL;
}

struct device_card *directory_index_device(const struct directory_index *index,
                                           const struct directory *directory,
                                           const struct cluster_card *cluster,
                                           const struct name *name) {
    size_t within = (size_t)(cluster - directory->clusters);
    for (size_t at = hash_of(name, within) & index->mask; index->places[at] != NOWHERE;
         at = (at + 1) & index->mask) {
        size_t number = index->places[at] - 1;
        if (number < directory->cluster_count)
            continue;
        number -= directory->cluster_count;
        if (number < cluster->first_device ||
            number - cluster->first_device >= cluster->device_count)
            continue;
        struct device_card *card = directory->devices[number];
        if (name_is(name, card->id, card->key))
            return card;
    }
    return NULL;
}
