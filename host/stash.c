#include "stash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/json_read.h"
#include "base/log.h"
#include "engine.h"

static struct stashed *stashed_of(struct engine *engine, const char *target_id) {
    for (struct stashed *stashed = engine->stash; stashed; stashed = stashed->next)
        if (strcmp(stashed->target_id, target_id) == 0)
            return stashed;
    struct stashed *stashed = calloc(1, sizeof *stashed);
    if (!stashed)
        return NULL;
    snprintf(stashed->target_id, sizeof stashed->target_id, "%s", target_id);
    book_init(&stashed->book);
    stashed->next = engine->stash;
    engine->stash = stashed;
    return stashed;
}

void stash_row(void *context, const char *target_id, const struct constraint *constraint) {
    struct engine *engine = context;
    struct stashed *stashed = stashed_of(engine, target_id);
    struct constraint *copy = constraint_new(constraint);
    if (!stashed || !copy || book_put(&stashed->book, copy, clock_now(&engine->clock)) != ERR_OK)
        log_error("store", "no memory for constraint %s of %s: it is NOT in force", constraint->id,
                  target_id);
    constraint_release(copy);
}

static void stash_drop(struct stashed **at) {
    struct stashed *stashed = *at;
    *at = stashed->next;
    book_free(&stashed->book);
    free(stashed);
}

/* {"boot": "...", "ends": {"<id>": [ms of the monotonic clock, invalidAt of what it is the end of,
 * two that the store may have by then]}} */
void stash_keep_ends(struct engine *engine, const char *target_id, struct book *book) {
    if (!book->ends_moved || !engine->clock.boot[0])
        return;
    book->ends_moved = false;
    json_t *ends = json_object();
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (entry->running && entry->by_mono && book_keeps(entry->constraint))
            json_object_set_new(ends, entry->constraint->id,
                                json_pack("[I, I, I, I]", (json_int_t)entry->mono_end.ms,
                                          (json_int_t)entry->constraint->invalid_at.ms,
                                          (json_int_t)entry->storing_ms[0],
                                          (json_int_t)entry->storing_ms[1]));
    }
    json_t *tree = json_pack("{s:s, s:o}", "boot", engine->clock.boot, "ends", ends);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    if (!text || store_put_text(engine->store, "ends", target_id, text, NULL, NULL))
        log_warning("store", "the ends of constraints of %s could not be stored", target_id);
    free(text);
    json_decref(tree);
}

/* Of another one with this id that was there before, the end says nothing. */
static void take_end(struct book *book, const char *id, const json_t *end) {
    const struct book_entry *entry = book_find(book, id);
    bool same = false;
    for (size_t i = 1; entry && i < json_array_size(end); i++)
        same =
            same || json_integer_value(json_array_get(end, i)) == entry->constraint->invalid_at.ms;
    if (same)
        book_resume(book, id, (struct mono){json_integer_value(json_array_get(end, 0))});
}

static void take_ends(struct engine *engine, const char *target_id, struct book *book) {
    char *text = book->count ? store_get_text(engine->store, "ends", target_id) : NULL;
    json_t *tree = text ? json_read_text(text, 0, NULL) : NULL;
    const char *boot = json_string_value(json_object_get(tree, "boot"));
    const char *id;
    json_t *end;
    if (boot && strcmp(boot, engine->clock.boot) == 0)
        json_object_foreach(json_object_get(tree, "ends"), id, end) take_end(book, id, end);
    json_decref(tree);
    free(text);
}

void stash_take(struct engine *engine, const char *target_id, struct book *book) {
    for (struct stashed **at = &engine->stash; *at; at = &(*at)->next)
        if (strcmp((*at)->target_id, target_id) == 0) {
            book_move(book, &(*at)->book);
            stash_drop(at);
            break;
        }
    take_ends(engine, target_id, book);
}

void stash_keep(struct engine *engine, const char *target_id, struct book *book) {
    struct stashed *stashed = book->count ? stashed_of(engine, target_id) : NULL;
    if (stashed)
        book_move(&stashed->book, book);
    else if (book->count)
        log_error("store", "no memory for the constraints of %s: they are NOT in force", target_id);
}

const struct constraint *stash_find(const struct engine *engine, const char *constraint_id) {
    for (const struct stashed *stashed = engine->stash; stashed; stashed = stashed->next) {
        const struct book_entry *entry = book_find(&stashed->book, constraint_id);
        if (entry)
            return entry->constraint;
    }
    return NULL;
}

void stash_remove(struct engine *engine, const char *constraint_id) {
    for (struct stashed *stashed = engine->stash; stashed; stashed = stashed->next)
        if (book_remove(&stashed->book, constraint_id) == ERR_OK)
            return;
}

void stash_forget(struct engine *engine, const char *target_id) {
    for (struct stashed **at = &engine->stash; *at; at = &(*at)->next) {
        if (strcmp((*at)->target_id, target_id) != 0)
            continue;
        const struct book *book = &(*at)->book;
        for (size_t i = 0; i < book->count; i++)
            if (store_remove_constraint(engine->store, book->entries[i].constraint->id, NULL,
                                        NULL) != ERR_OK)
                log_warning("store", "constraint %s of what was deleted stays for now",
                            book->entries[i].constraint->id);
        stash_drop(at);
        return;
    }
}

void stash_free(struct engine *engine) {
    while (engine->stash)
        stash_drop(&engine->stash);
}
