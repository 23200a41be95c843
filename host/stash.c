#include "stash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/decimal.h"
#include "base/json_read.h"
#include "base/likeness.h"
#include "base/log.h"
#include "engine.h"
#include "recall.h"

#define BUCKETS_FIRST 64

static struct stashed **bucket_of(const struct stash *stash, const char *target_id) {
    uint64_t hash = hash_bytes(1, target_id, strlen(target_id));
    return &stash->buckets[hash & (stash->bucket_count - 1)];
}

/* Where it hangs; NULL: it is not there. */
static struct stashed **stashed_find(const struct stash *stash, const char *target_id) {
    if (!stash->count)
        return NULL;
    struct stashed **at = bucket_of(stash, target_id);
    while (*at && strcmp((*at)->target_id, target_id) != 0)
        at = &(*at)->next;
    return *at ? at : NULL;
}

/* More buckets; without memory the lists become longer. */
static bool stash_grow(struct stash *stash) {
    struct stash grown = *stash;
    grown.bucket_count = stash->bucket_count ? stash->bucket_count * 2 : BUCKETS_FIRST;
    grown.buckets = calloc(grown.bucket_count, sizeof(struct stashed *));
    if (!grown.buckets)
        return stash->bucket_count > 0;
    for (size_t i = 0; i < stash->bucket_count; i++)
        for (struct stashed *stashed = stash->buckets[i], *next; stashed; stashed = next) {
            struct stashed **bucket = bucket_of(&grown, stashed->target_id);
            next = stashed->next;
            stashed->next = *bucket;
            *bucket = stashed;
        }
    free(stash->buckets);
    *stash = grown;
    return true;
}

static struct stashed *stashed_of(struct stash *stash, const char *target_id) {
    struct stashed **found = stashed_find(stash, target_id);
    if (found)
        return *found;
    if (stash->count >= stash->bucket_count && !stash_grow(stash))
        return NULL;
    struct stashed *stashed = calloc(1, sizeof *stashed);
    if (!stashed)
        return NULL;
    snprintf(stashed->target_id, sizeof stashed->target_id, "%s", target_id);
    book_init(&stashed->book);
    struct stashed **bucket = bucket_of(stash, target_id);
    stashed->next = *bucket;
    *bucket = stashed;
    stash->count++;
    return stashed;
}

/* --- all at the start ----------------------------------------------------------------------------
 * The rows of one device lie scattered among those of all. They are put down one behind the other,
 * then dealt out to sheets that are as large as they need to be, and each is sorted once. */

#define PAGE_ROWS 16384

struct row {
    struct stashed *stashed;
    struct book_entry entry;
};

struct page {
    struct page *next;
    size_t count;
    struct row rows[PAGE_ROWS];
};

struct intake {
    struct engine *engine;
    struct page *first, *last;
};

static struct row *row_new(struct intake *intake) {
    struct page *page = intake->last;
    if (!page || page->count == PAGE_ROWS) {
        page = malloc(sizeof *page);
        if (!page)
            return NULL;
        page->next = NULL;
        page->count = 0;
        if (intake->last)
            intake->last->next = page;
        else
            intake->first = page;
        intake->last = page;
    }
    return &page->rows[page->count];
}

static void say_lost(const char *constraint_id, const char *target_id) {
    log_error("store", "no memory for constraint %s of %s: it is NOT in force", constraint_id,
              target_id);
}

static void see_made(struct stash *stash, const struct constraint *constraint) {
    int64_t made_ms = constraint->created_at.ms;
    if (constraint->valid_at.ms < made_ms)
        made_ms = constraint->valid_at.ms;
    if (made_ms > stash->made_ms)
        stash->made_ms = made_ms;
}

static void take_row(void *context, const char *target_id, const struct constraint *constraint) {
    struct intake *intake = context;
    struct stash *stash = &intake->engine->stash;
    struct stashed *stashed = stashed_of(stash, target_id);
    struct row *row = row_new(intake);
    see_made(stash, constraint);
    if (!stashed || !row || stashed->coming == BOOK_MAXIMUM ||
        !entry_fill(&row->entry, constraint)) {
        say_lost(constraint->id, target_id);
        return;
    }
    row->stashed = stashed;
    stashed->coming++;
    intake->last->count++;
}

static void deal_row(struct row *row) {
    struct stashed *stashed = row->stashed;
    if (!stashed->sheet)
        stashed->sheet = sheet_new(stashed->coming);
    if (stashed->sheet) {
        stashed->sheet->entries[stashed->sheet->count++] = row->entry;
        return;
    }
    char id[ID_SIZE];
    entry_id(&row->entry, id);
    say_lost(id, stashed->target_id);
    packed_free(row->entry.packed);
}

enum err stash_load(struct engine *engine) {
    struct intake intake = {.engine = engine};
    struct stash *stash = &engine->stash;
    enum err err = store_load_constraints(engine->store, take_row, &intake);
    for (struct page *page = intake.first, *next; page; page = next) {
        for (size_t i = 0; i < page->count; i++)
            deal_row(&page->rows[i]);
        next = page->next;
        free(page);
    }
    for (size_t i = 0; i < stash->bucket_count; i++)
        for (struct stashed *stashed = stash->buckets[i]; stashed; stashed = stashed->next)
            if (stashed->sheet) {
                book_load(&stashed->book, stashed->sheet);
                stashed->sheet = NULL;
            }
    return err;
}

/* --- one by one ------------------------------------------------------------------------------- */

void stash_row(struct engine *engine, const char *target_id, const struct constraint *constraint) {
    struct stashed *stashed = stashed_of(&engine->stash, target_id);
    if (!stashed || book_put(&stashed->book, constraint, clock_now(&engine->clock)) != ERR_OK)
        say_lost(constraint->id, target_id);
}

static void stash_drop(struct stash *stash, struct stashed **at) {
    struct stashed *stashed = *at;
    *at = stashed->next;
    book_free(&stashed->book);
    free(stashed);
    stash->count--;
}

static void put_integer(struct buf *text, int64_t value, const char *after) {
    char digits[DECIMAL_SIZE];
    buf_append(text, digits, decimal_integer(value, digits));
    buf_text(text, after);
}

static void put_end(struct buf *text, const struct book *book, const struct book_entry *entry) {
    int64_t foretold_ms[2];
    char id[ID_SIZE];
    entry_id(entry, id);
    book_foretold(book, entry, foretold_ms);
    buf_text(text, "\"");
    buf_text(text, id);
    buf_text(text, "\":[");
    put_integer(text, entry_clock(entry), ",");
    put_integer(text, entry->packed->invalid_at.ms, ",");
    put_integer(text, foretold_ms[0], ",");
    put_integer(text, foretold_ms[1], "]");
}

/* {"boot": "...", "ends": {"<id>": [ms of the monotonic clock, invalidAt of what it is the end of,
 * two that the store may have by then]}}. By hand: a device may have 250 of them, and each change
 * of one writes them all. */
void stash_keep_ends(struct engine *engine, const char *target_id, struct book *book) {
    if (!book->ends_moved || !engine->clock.boot[0])
        return;
    book->ends_moved = false;
    struct buf text;
    const char *between = "";
    buf_init(&text, STORE_TEXT_MAXIMUM);
    buf_format(&text, "{\"boot\":\"%s\",\"ends\":{", engine->clock.boot);
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (!entry->running || !entry->by_mono || !entry_keeps(entry))
            continue;
        buf_text(&text, between);
        put_end(&text, book, entry);
        between = ",";
    }
    buf_text(&text, "}}");
    if (text.failed ||
        store_put_text(engine->store, "ends", target_id, buf_string(&text), NULL, NULL))
        log_warning("store", "the ends of constraints of %s could not be stored", target_id);
    buf_free(&text);
}

/* Of another one with this id that was there before, the end says nothing. */
static void take_end(struct book *book, const char *id, const json_t *end) {
    const struct book_entry *entry = book_find(book, id);
    bool same = false;
    for (size_t i = 1; entry && i < json_array_size(end); i++)
        same = same || json_integer_value(json_array_get(end, i)) == entry->packed->invalid_at.ms;
    if (same)
        book_resume(book, id, (struct mono){json_integer_value(json_array_get(end, 0))});
}

static void take_ends(struct engine *engine, const char *target_id, struct book *book) {
    char *text = book->count ? recall_text(engine, "ends", target_id) : NULL;
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
    struct stashed **at = stashed_find(&engine->stash, target_id);
    if (at) {
        book_move(book, &(*at)->book);
        stash_drop(&engine->stash, at);
    }
    take_ends(engine, target_id, book);
}

void stash_keep(struct engine *engine, const char *target_id, struct book *book) {
    struct stashed *stashed = book->count ? stashed_of(&engine->stash, target_id) : NULL;
    if (stashed)
        book_move(&stashed->book, book);
    else if (book->count)
        log_error("store", "no memory for the constraints of %s: they are NOT in force", target_id);
}

/* The one that holds this constraint; NULL: none does. */
static struct stashed *stashed_holding(const struct stash *stash, const char *constraint_id) {
    struct id_key key;
    id_key_of(&key, constraint_id);
    for (size_t i = 0; i < stash->bucket_count; i++)
        for (struct stashed *stashed = stash->buckets[i]; stashed; stashed = stashed->next)
            if (book_find_key(&stashed->book, &key))
                return stashed;
    return NULL;
}

bool stash_has(const struct engine *engine, const char *constraint_id) {
    return stashed_holding(&engine->stash, constraint_id) != NULL;
}

void stash_remove(struct engine *engine, const char *constraint_id) {
    struct stashed *stashed = stashed_holding(&engine->stash, constraint_id);
    if (stashed && book_remove(&stashed->book, constraint_id) != ERR_OK)
        log_debug("store", "constraint %s is gone already", constraint_id);
}

void stash_forget(struct engine *engine, const char *target_id) {
    struct stashed **at = stashed_find(&engine->stash, target_id);
    if (!at)
        return;
    const struct book *book = &(*at)->book;
    for (size_t i = 0; i < book->count; i++) {
        char id[ID_SIZE];
        entry_id(&book->entries[i], id);
        if (store_remove_constraint(engine->store, id, NULL, NULL) != ERR_OK)
            log_warning("store", "constraint %s of what was deleted stays for now", id);
    }
    stash_drop(&engine->stash, at);
}

void stash_free(struct engine *engine) {
    struct stash *stash = &engine->stash;
    for (size_t i = 0; i < stash->bucket_count; i++)
        while (stash->buckets[i])
            stash_drop(stash, &stash->buckets[i]);
    free(stash->buckets);
    *stash = (struct stash){.made_ms = stash->made_ms};
}
