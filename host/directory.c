#include "directory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "directory_index.h"
#include "operator/operator_view.h"
#include "script/script_figures.h"

void directory_slot_init(struct directory_slot *slot) {
    pthread_mutex_init(&slot->lock, NULL);
    slot->newest = NULL;
}

void directory_slot_free(struct directory_slot *slot) {
    directory_release(slot->newest);
    slot->newest = NULL;
    pthread_mutex_destroy(&slot->lock);
}

void directory_publish(struct directory_slot *slot, struct directory *directory) {
    if (directory && !directory->index)
        directory->index = directory_index_new(directory);
    pthread_mutex_lock(&slot->lock);
    struct directory *before = slot->newest;
    slot->newest = directory;
    pthread_mutex_unlock(&slot->lock);
    directory_release(before); /* outside the lock: it may be the last and free much */
}

struct directory *directory_hold(struct directory_slot *slot) {
    pthread_mutex_lock(&slot->lock);
    struct directory *directory = slot->newest;
    if (directory)
        atomic_fetch_add_explicit(&directory->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&slot->lock);
    return directory;
}

/* True for the one who gave back the last reference, with everything others did before visible. */
static bool drop_reference(atomic_uint *references) {
    return atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel) == 1;
}

void directory_release(struct directory *directory) {
    if (!directory || !drop_reference(&directory->references))
        return;
    for (size_t i = 0; i < directory->device_count; i++)
        device_card_release(directory->devices[i]);
    for (size_t i = 0; i < directory->script_count; i++) {
        free(directory->scripts[i].json);
        script_figures_release(directory->scripts[i].figures);
    }
    for (size_t i = 0; i < directory->cluster_count; i++) {
        decided_slot_release(directory->clusters[i].slot);
        operator_slot_release(directory->clusters[i].box);
        free(directory->clusters[i].limits);
    }
    directory_index_free(directory->index);
    free(directory->clusters);
    free(directory->devices);
    free(directory->scripts);
    free(directory->scripts_off);
    free(directory->site_file);
    free(directory->site_problems);
    free(directory);
}

/* All words of a card behind one another, in one piece of memory. */
static bool keep_words(struct device_card *card, const struct card_words *words) {
    const char **places[] = {&card->key,  &card->name, &card->driver, &card->link,
                             &card->part, &card->role, &card->maker,  &card->entry};
    const char *given[] = {words->key,  words->name, words->driver, words->link,
                           words->part, words->role, words->maker,  words->entry};
    size_t size = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        *places[i] = "";
        size += given[i] ? strlen(given[i]) + 1 : 0;
    }
    card->entry = NULL;
    char *at = card->words = malloc(size + 1);
    for (size_t i = 0; at && i < sizeof places / sizeof *places; i++)
        if (given[i]) {
            *places[i] = at;
            at = stpcpy(at, given[i]) + 1;
        }
    return at != NULL;
}

struct device_card *device_card_new(const struct card_words *words, uint64_t quantities) {
    static const struct card_words nothing;
    struct device_card *card = calloc(1, sizeof *card);
    if (!card)
        return NULL;
    atomic_init(&card->references, 1);
    pthread_mutex_init(&card->lock, NULL);
    card->live = live_new(quantities);
    card->decided = decided_new(0);
    if (keep_words(card, words ? words : &nothing) && card->live && card->decided)
        return card;
    device_card_release(card);
    return NULL;
}

struct device_card *device_card_hold(struct device_card *card) {
    atomic_fetch_add_explicit(&card->references, 1, memory_order_relaxed);
    return card;
}

void device_card_release(struct device_card *card) {
    if (!card || !drop_reference(&card->references))
        return;
    decided_release(card->decided);
    pthread_mutex_destroy(&card->lock);
    live_free(card->live);
    for (size_t i = 0; i < sizeof card->identity / sizeof *card->identity; i++)
        free(card->identity[i]);
    for (size_t i = 0; i < CARD_TEXTS; i++)
        free(card->texts[i]);
    free(card->words);
    free(card);
}

void device_card_tell(struct device_card *card, enum card_text which, const char *text) {
    pthread_mutex_lock(&card->lock);
    text_set(&card->texts[which], text);
    atomic_store_explicit(&card->told[which], card->texts[which] != NULL, memory_order_relaxed);
    pthread_mutex_unlock(&card->lock);
}

void device_card_text(struct device_card *card, enum card_text which, char text[CARD_TEXT_SIZE]) {
    text[0] = '\0';
    if (!atomic_load_explicit(&card->told[which], memory_order_relaxed))
        return;
    pthread_mutex_lock(&card->lock);
    text_copy(text, CARD_TEXT_SIZE, text_of(card->texts[which]));
    pthread_mutex_unlock(&card->lock);
}

struct decided *device_card_swap(struct device_card *card, struct decided *decided) {
    pthread_mutex_lock(&card->lock);
    struct decided *before = card->decided;
    card->decided = decided;
    pthread_mutex_unlock(&card->lock);
    return before;
}

void device_card_decide(struct device_card *card, struct decided *decided) {
    decided_release(device_card_swap(card, decided));
}

struct decided *device_card_snapshot(struct device_card *card) {
    pthread_mutex_lock(&card->lock);
    struct decided *decided = decided_hold(card->decided);
    pthread_mutex_unlock(&card->lock);
    return decided;
}

struct decided *device_card_decided(struct device_card *card) {
    struct decided *published = device_card_snapshot(card);
    struct decided *decided = decided_read(published);
    decided_release(published);
    return decided;
}

struct decided_slot *decided_slot_new(void) {
    struct decided_slot *slot = calloc(1, sizeof *slot);
    struct decided *decided = decided_new_cluster(0, 0);
    if (!slot || !decided) {
        free(slot);
        decided_release(decided);
        return NULL;
    }
    atomic_init(&slot->references, 1);
    pthread_mutex_init(&slot->lock, NULL);
    slot->decided = decided;
    return slot;
}

struct decided_slot *decided_slot_hold(struct decided_slot *slot) {
    atomic_fetch_add_explicit(&slot->references, 1, memory_order_relaxed);
    return slot;
}

void decided_slot_release(struct decided_slot *slot) {
    if (!slot || !drop_reference(&slot->references))
        return;
    decided_release(slot->decided);
    pthread_mutex_destroy(&slot->lock);
    free(slot);
}

void decided_slot_put(struct decided_slot *slot, struct decided *decided) {
    pthread_mutex_lock(&slot->lock);
    struct decided *before = slot->decided;
    slot->decided = decided;
    pthread_mutex_unlock(&slot->lock);
    decided_release(before);
}

struct decided *decided_slot_get(struct decided_slot *slot) {
    pthread_mutex_lock(&slot->lock);
    struct decided *decided = slot->decided;
    atomic_fetch_add_explicit(&decided->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&slot->lock);
    return decided;
}

const struct cluster_card *directory_cluster(const struct directory *directory, const char *which) {
    struct name name = name_of(which);
    if (directory->index)
        return directory_index_cluster(directory->index, directory, &name);
    for (size_t i = 0; i < directory->cluster_count; i++)
        if (name_is(&name, directory->clusters[i].id, directory->clusters[i].key))
            return &directory->clusters[i];
    return NULL;
}

bool directory_within(const struct directory *directory, const struct cluster_card *cluster,
                      const char ids[][ID_SIZE], size_t count) {
    if (count == 0)
        return true;
    /* Clusters have no cycle; the count of steps is bounded all the same. */
    for (size_t steps = 0; cluster && steps <= directory->cluster_count; steps++) {
        for (size_t i = 0; i < count; i++)
            if (strcmp(cluster->id, ids[i]) == 0)
                return true;
        cluster = cluster->parent_id[0] ? directory_cluster(directory, cluster->parent_id) : NULL;
    }
    return false;
}

struct device_card *directory_device(const struct directory *directory,
                                     const struct cluster_card *cluster, const char *which) {
    struct name name = name_of(which);
    if (directory->index)
        return directory_index_device(directory->index, directory, cluster, &name);
    for (size_t i = 0; i < cluster->device_count; i++) {
        struct device_card *card = directory->devices[cluster->first_device + i];
        if (name_is(&name, card->id, card->key))
            return card;
    }
    return NULL;
}

const struct script_card *directory_script(const struct directory *directory, enum script_kind kind,
                                           const char *name) {
    for (size_t i = 0; i < directory->script_count; i++) {
        const struct script_card *script = &directory->scripts[i];
        if (script->kind == kind && strcmp(script->name, name) == 0)
            return script;
    }
    return NULL;
}
