#include "recall.h"

#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "store/store.h"

static const char *const kinds[] = {"ends", "gates", "identity", "nameplate", "told"};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

struct reading {
    struct recall *recall;
    const char *kind;
    bool failed;
};

static void take_row(void *context, const char *key, const char *value) {
    struct reading *reading = context;
    struct recall *recall = reading->recall;
    if (recall->count == recall->capacity) {
        size_t capacity = recall->capacity ? recall->capacity * 2 : 64;
        struct recalled *texts = realloc(recall->texts, capacity * sizeof *texts);
        if (!texts) {
            reading->failed = true;
            return;
        }
        recall->texts = texts;
        recall->capacity = capacity;
    }
    struct recalled *text = &recall->texts[recall->count];
    *text = (struct recalled){reading->kind, strdup(key), strdup(value)};
    recall->count++;
    reading->failed = reading->failed || !text->key || !text->value;
}

static int order(const void *a, const void *b) {
    const struct recalled *one = a;
    const struct recalled *other = b;
    int kind = strcmp(one->kind, other->kind);
    return kind ? kind : strcmp(one->key, other->key);
}

static unsigned bit_of(const char *kind) {
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i], kind) == 0)
            return 1U << i;
    return 0;
}

static void forget(struct recall *recall) {
    for (size_t i = 0; i < recall->count; i++) {
        free(recall->texts[i].key);
        free(recall->texts[i].value);
    }
    free(recall->texts);
    *recall = (struct recall){0};
}

/* Whatever cannot be read whole is asked for one by one. */
void recall_begin(struct engine *engine) {
    struct recall *recall = &engine->recall;
    bool failed = false;
    for (size_t i = 0; i < KIND_COUNT && !failed; i++) {
        struct reading reading = {.recall = recall, .kind = kinds[i]};
        failed = store_load_texts(engine->store, kinds[i], take_row, &reading) != ERR_OK ||
                 reading.failed;
    }
    if (failed) {
        forget(recall);
        return;
    }
    recall->kinds = (1U << KIND_COUNT) - 1;
    if (recall->count)
        qsort(recall->texts, recall->count, sizeof recall->texts[0], order);
}

void recall_end(struct engine *engine) {
    forget(&engine->recall);
}

char *recall_text(struct engine *engine, const char *kind, const char *key) {
    const struct recall *recall = &engine->recall;
    if (!(recall->kinds & bit_of(kind)))
        return store_get_text(engine->store, kind, key);
    const struct recalled wanted = {.kind = kind, .key = (char *)key};
    const struct recalled *found = recall->count ? bsearch(&wanted, recall->texts, recall->count,
                                                           sizeof recall->texts[0], order)
                                                 : NULL;
    return found ? strdup(found->value) : NULL;
}
