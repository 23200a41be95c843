#include "base/recent.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES crypto_shorthash_siphashx24_BYTES /* 128 bits: no two names are alike */

struct entry {
    unsigned char name[NAME_BYTES];
    size_t next;         /* of the same head */
    size_t newer, older; /* by when they were seen */
};

/* The entries from 0 to count - 1 are in use, each on the chain of its head and in the order of
 * age. */
struct recent {
    size_t size, count;
    size_t newest, oldest;
    unsigned char secret[crypto_shorthash_siphashx24_KEYBYTES];
    size_t *heads; /* as many as entries */
    struct entry entries[];
};

struct recent *recent_new(size_t size) {
    struct recent *recent = calloc(1, sizeof *recent + size * sizeof recent->entries[0]);
    if (!recent)
        return NULL;
    recent->heads = malloc(size * sizeof *recent->heads);
    if (!recent->heads) {
        free(recent);
        return NULL;
    }
    recent->size = size;
    recent->newest = recent->oldest = RECENT_NONE;
    for (size_t i = 0; i < size; i++)
        recent->heads[i] = RECENT_NONE;
    randombytes_buf(recent->secret, sizeof recent->secret);
    return recent;
}

void recent_free(struct recent *recent) {
    if (!recent)
        return;
    free(recent->heads);
    free(recent);
}

static void name_make(const struct recent *recent, const void *name, size_t length,
                      unsigned char made[NAME_BYTES]) {
    crypto_shorthash_siphashx24(made, name, length, recent->secret);
}

static size_t *head_of(const struct recent *recent, const unsigned char name[NAME_BYTES]) {
    uint64_t number;
    memcpy(&number, name, sizeof number);
    return &recent->heads[number % recent->size];
}

static size_t find(const struct recent *recent, const unsigned char name[NAME_BYTES]) {
    size_t at = *head_of(recent, name);
    while (at != RECENT_NONE && memcmp(recent->entries[at].name, name, NAME_BYTES) != 0)
        at = recent->entries[at].next;
    return at;
}

static void age_remove(struct recent *recent, size_t at) {
    const struct entry *entry = &recent->entries[at];
    if (entry->newer == RECENT_NONE)
        recent->newest = entry->older;
    else
        recent->entries[entry->newer].older = entry->older;
    if (entry->older == RECENT_NONE)
        recent->oldest = entry->newer;
    else
        recent->entries[entry->older].newer = entry->newer;
}

static void age_put_newest(struct recent *recent, size_t at) {
    struct entry *entry = &recent->entries[at];
    entry->newer = RECENT_NONE;
    entry->older = recent->newest;
    if (recent->newest == RECENT_NONE)
        recent->oldest = at;
    else
        recent->entries[recent->newest].newer = at;
    recent->newest = at;
}

static void chain_remove(struct recent *recent, size_t at) {
    size_t *from = head_of(recent, recent->entries[at].name);
    while (*from != at)
        from = &recent->entries[*from].next;
    *from = recent->entries[at].next;
}

size_t recent_see(struct recent *recent, const void *name, size_t length, bool *fresh) {
    unsigned char made[NAME_BYTES];
    name_make(recent, name, length, made);
    size_t at = find(recent, made);
    *fresh = at == RECENT_NONE;
    if (!*fresh && at == recent->newest)
        return at;
    if (*fresh && recent->count < recent->size) {
        at = recent->count++;
    } else {
        at = *fresh ? recent->oldest : at;
        age_remove(recent, at);
        if (*fresh)
            chain_remove(recent, at);
    }
    if (*fresh) {
        size_t *head = head_of(recent, made);
        memcpy(recent->entries[at].name, made, NAME_BYTES);
        recent->entries[at].next = *head;
        *head = at;
    }
    age_put_newest(recent, at);
    return at;
}

size_t recent_find(const struct recent *recent, const void *name, size_t length) {
    unsigned char made[NAME_BYTES];
    name_make(recent, name, length, made);
    return find(recent, made);
}
