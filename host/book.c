#include "book.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 2000
#define HOLD_MS (25LL * 3600 * 1000) /* longest that a bound stays for want of a clock */

void book_init(struct book *book) {
    *book = (struct book){.trusted = true, .next_wall = {INT64_MAX}, .next_mono = {INT64_MAX}};
}

/* --- sheets --------------------------------------------------------------------------------------
 */

/* Readers may be looking at it: it goes with the sheet that has it. */
static void book_drop(struct book *book, struct packed *packed) {
    struct sheet *holder = book->before ? book->before : book->shared ? book->sheet : NULL;
    if (!holder) {
        packed_free(packed);
        return;
    }
    packed->next = holder->dropped;
    holder->dropped = packed;
}

/* A sheet of the book's own with room for `more`, which takes the place of one that is shared or
 * too small. */
static enum err book_own(struct book *book, size_t more) {
    struct sheet *old = book->sheet;
    size_t wanted = book->count + more;
    if (old && !book->shared && old->capacity >= wanted)
        return ERR_OK;
    size_t capacity = book->shared || !old ? wanted : wanted + wanted / 4;
    if (!old && capacity < 8)
        capacity = 8;
    struct sheet *sheet = sheet_new(capacity < BOOK_MAXIMUM ? capacity : BOOK_MAXIMUM);
    if (!sheet)
        return ERR_MEMORY;
    if (old) {
        memcpy(sheet->entries, old->entries, old->count * sizeof old->entries[0]);
        sheet->count = old->count;
    }
    if (old && book->shared) {
        book->before = old; /* with the book's reference */
        old->next = sheet_hold(sheet);
    } else if (old) {
        if (book->before) {
            book->before->next = sheet_hold(sheet);
            sheet_release(old);
        }
        sheet_release(old);
    }
    book->shared = false;
    book->sheet = sheet;
    book->entries = sheet->entries;
    return ERR_OK;
}

/* To change an entry. Without memory it is changed where readers see it: better that one of them
 * sees half of a change than that a limit does not begin. */
static struct book_entry *book_entry_own(struct book *book, size_t index) {
    (void)!book_own(book, 0);
    return &book->sheet->entries[index];
}

struct sheet *book_share(struct book *book) {
    sheet_release(book->before);
    book->before = NULL;
    if (!book->count) {
        sheet_release(book->sheet);
        book->sheet = NULL;
        book->entries = NULL;
    }
    book->shared = book->sheet != NULL;
    return sheet_hold(book->sheet);
}

static struct storing *find_foretold(const struct book *book, const struct book_entry *entry) {
    for (size_t i = 0; i < book->storing_count; i++)
        if (memcmp(book->storing[i].id, entry->packed->id, sizeof book->storing[i].id) == 0)
            return &book->storing[i];
    return NULL;
}

static void forget_foretold(struct book *book, const struct book_entry *entry) {
    struct storing *storing = find_foretold(book, entry);
    if (storing)
        *storing = book->storing[--book->storing_count];
}

/* It stands in the book no more, and is freed when no reader can be looking at it. */
static void entry_drop(struct book *book, const struct book_entry *entry) {
    forget_foretold(book, entry);
    book_drop(book, entry->packed);
}

void book_free(struct book *book) {
    for (size_t i = 0; i < book->count; i++)
        book_drop(book, book->entries[i].packed);
    sheet_release(book->before);
    sheet_release(book->sheet);
    free(book->storing);
    book_init(book);
}

/* What stands at `index` leaves. */
static void book_take_out(struct book *book, size_t index) {
    struct book_entry *entry = book_entry_own(book, index);
    entry_drop(book, entry);
    memmove(entry, entry + 1, (book->count - index - 1) * sizeof *entry);
    book->sheet->count = --book->count;
}

void book_move(struct book *to, struct book *from) {
    for (size_t i = from->count; i-- > 0;)
        if (!entry_keeps(&from->entries[i]))
            book_take_out(from, i);
    *to = *from;
    to->touched = true;
    book_init(from);
}

/* --- the clocks ------------------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Puts what started on a guess on the clock that is trusted now. */
static void book_trust(struct book *book, struct now now) {
    for (size_t i = 0; i < book->count; i++) {
        if (!book->entries[i].guessed)
            continue;
        struct book_entry *entry = book_entry_own(book, i);
        const struct packed *packed = entry->packed;
        entry->guessed = false;
        entry->by_mono = packed->valid_for;
        book->ends_moved = book->ends_moved || entry->by_mono;
        entry_set_clock(entry, entry->by_mono ? now.mono.ms + (packed->invalid_at.ms - now.wall.ms)
                                              : book->steps_ms);
    }
}

/* Notices a step or a change of trust since the last call; true when there was one. */
static bool book_see_clock(struct book *book, struct now now) {
    bool changed = false;
    int64_t offset_ms = now.wall.ms - now.mono.ms;
    int64_t moved_ms = offset_ms - book->offset_ms;
    book->offset_ms = offset_ms;
    if (moved_ms > STEP_MS || moved_ms < -STEP_MS) {
        book->steps_ms += moved_ms;
        changed = true;
    }
    if (now.trusted != book->trusted) {
        book->trusted = now.trusted;
        book->untrusted_since = now.mono;
        if (now.trusted)
            book_trust(book, now);
        changed = true;
    }
    return changed;
}

static bool is_due(const struct packed *packed, struct now now) {
    return packed->valid_at.ms <= now.wall.ms && now.wall.ms < packed->invalid_at.ms;
}

/* `loaded`: from the store, so that a validFor's time is known by the wall clock only. */
static void entry_start(struct book *book, struct book_entry *entry, struct now now, bool loaded) {
    const struct packed *packed = entry->packed;
    entry->running = true;
    entry->guessed = !now.trusted && (!packed->valid_for || loaded);
    entry->by_mono = packed->valid_for && !entry->guessed;
    entry_set_clock(entry, entry->by_mono ? now.mono.ms + (packed->invalid_at.ms - now.wall.ms)
                                          : book->steps_ms);
    if (entry->by_mono && entry_keeps(entry))
        book->ends_moved = true;
}

static int64_t steps_since(const struct book *book, const struct book_entry *entry) {
    return book->steps_ms - entry_clock(entry);
}

static int64_t wall_bounds_end(const struct book *book, const struct book_entry *entry) {
    return entry->packed->invalid_at.ms + later(0, steps_since(book, entry));
}

static int64_t wall_set_end(const struct book *book, const struct book_entry *entry) {
    return entry->packed->invalid_at.ms + earlier(0, steps_since(book, entry));
}

static bool set_is_over(const struct book *book, const struct book_entry *entry, struct now now) {
    if (entry->by_mono)
        return now.mono.ms >= entry_clock(entry);
    return now.wall.ms >= wall_set_end(book, entry);
}

/* The wall clock stepped back, so what was to follow without a gap has yet to start. */
static bool awaits_successor(const struct book *book, const struct book_entry *entry) {
    int64_t end = entry->packed->invalid_at.ms;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *other = &book->entries[i];
        if (!other->running && !other->over && other->packed->valid_at.ms <= end &&
            other->packed->invalid_at.ms > end)
            return true;
    }
    return false;
}

static bool bounds_are_over(const struct book *book, const struct book_entry *entry,
                            struct now now) {
    if (entry->by_mono)
        return now.mono.ms >= entry_clock(entry) &&
               (now.mono.ms - entry_clock(entry) >= HOLD_MS || !awaits_successor(book, entry));
    return now.wall.ms >= wall_bounds_end(book, entry) &&
           (book->trusted || now.mono.ms - book->untrusted_since.ms >= HOLD_MS);
}

/* True when it changed. */
static bool entry_end(struct book *book, size_t index, struct now now) {
    const struct book_entry *entry = &book->entries[index];
    bool set_over = set_is_over(book, entry, now);
    if (entry_is_only_set(entry) ? set_over : bounds_are_over(book, entry, now)) {
        book_entry_own(book, index)->over = true;
        return true;
    }
    if (!set_over || entry->set == ENTRY_NO_POWER || entry->set_dropped)
        return false;
    book_entry_own(book, index)->set_dropped = true;
    return true;
}

/* --- advancing -------------------------------------------------------------------------------- */

/* When an entry asks to be looked at next, by either clock; INT64_MAX: never by that. */
struct due {
    int64_t wall_ms, mono_ms;
    bool held;
};

static struct due due_of(const struct book *book, const struct book_entry *entry, struct now now) {
    struct due due = {INT64_MAX, INT64_MAX, false};
    if (!entry->running) {
        due.wall_ms = entry->packed->valid_at.ms;
        return due;
    }
    if (entry->by_mono) {
        due.held = now.mono.ms >= entry_clock(entry);
        due.mono_ms = entry_clock(entry) + (due.held ? HOLD_MS : 0);
        return due;
    }
    int64_t set_end = wall_set_end(book, entry);
    int64_t bounds_end = wall_bounds_end(book, entry);
    due.held = now.wall.ms >= bounds_end;
    if (due.held)
        due.mono_ms = book->untrusted_since.ms + HOLD_MS;
    else
        due.wall_ms = bounds_end;
    if (now.wall.ms < set_end)
        due.wall_ms = earlier(due.wall_ms, set_end);
    return due;
}

static void entry_due(struct book *book, const struct book_entry *entry, struct now now) {
    struct due due = due_of(book, entry, now);
    book->next_wall.ms = earlier(book->next_wall.ms, due.wall_ms);
    book->next_mono.ms = earlier(book->next_mono.ms, due.mono_ms);
    book->any_held = book->any_held || due.held;
    book->unsettled = book->unsettled || !entry->packed->durable || entry->by_mono;
}

/* All are to be looked at in the next advance. */
static void look_at_all(struct book *book) {
    book->next_mono.ms = INT64_MIN;
}

/* It leaves: what was to happen next may have been its. */
static void forget_due(struct book *book, const struct book_entry *entry, struct now now) {
    struct due due = due_of(book, entry, now);
    if (due.held || (due.wall_ms != INT64_MAX && due.wall_ms <= book->next_wall.ms) ||
        (due.mono_ms != INT64_MAX && due.mono_ms <= book->next_mono.ms))
        look_at_all(book);
}

/* Starts before ends, so that a predecessor sees its successor running. */
static bool book_turn(struct book *book, struct now now, bool loaded) {
    bool changed = false;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (entry->running)
            continue;
        if (is_due(entry->packed, now)) {
            entry_start(book, book_entry_own(book, i), now, loaded);
            changed = true;
        } else if (entry->packed->invalid_at.ms <= now.wall.ms) {
            book_entry_own(book, i)->over = true;
            changed = true;
        }
    }
    for (size_t i = 0; i < book->count; i++)
        if (book->entries[i].running && entry_end(book, i, now))
            changed = true;
    return changed;
}

static void entry_leaves(struct book *book, const struct book_entry *entry, book_ended *ended,
                         void *context) {
    if (ended) {
        struct constraint constraint;
        entry_read(entry, &constraint);
        ended(context, &constraint);
    }
    entry_drop(book, entry);
}

/* What is over leaves (the sheet is the book's own then), and when something is due next. */
static void book_sweep(struct book *book, struct now now, book_ended *ended, void *context) {
    size_t kept = 0;
    book->next_wall.ms = INT64_MAX;
    book->next_mono.ms = INT64_MAX;
    book->any_held = book->unsettled = false;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (entry->over) {
            entry_leaves(book, entry, ended, context);
            continue;
        }
        entry_due(book, entry, now);
        if (kept != i)
            book->sheet->entries[kept] = *entry;
        kept++;
    }
    if (book->sheet && kept != book->count)
        book->sheet->count = kept;
    book->count = kept;
}

/* Whether there is anything to look for among all of them. What was put or removed since knows of
 * itself when it is due; but what waits for a successor has to see it. */
static bool book_has_due(const struct book *book, struct now now) {
    return now.wall.ms >= book->next_wall.ms || now.mono.ms >= book->next_mono.ms ||
           (book->touched && book->any_held);
}

bool book_advance(struct book *book, struct now now, book_ended *ended, void *context) {
    bool loaded = !book->started;
    if (loaded) {
        book->started = true;
        book->offset_ms = now.wall.ms - now.mono.ms;
        book->trusted = now.trusted;
        book->untrusted_since = now.mono;
    }
    bool clock_changed = book_see_clock(book, now);
    bool changed = book->touched;
    bool due = clock_changed || loaded || book_has_due(book, now);
    book->touched = false;
    if (!due)
        return changed;
    changed = book_turn(book, now, loaded) || changed;
    book_sweep(book, now, ended, context);
    return changed;
}

struct mono book_next(const struct book *book, struct now now) {
    if (book->touched)
        return now.mono;
    int64_t next_ms = book->next_mono.ms;
    if (book->next_wall.ms != INT64_MAX)
        next_ms = earlier(next_ms, now.mono.ms + (book->next_wall.ms - now.wall.ms));
    return (struct mono){later(next_ms, now.mono.ms)};
}

/* --- what is in it ---------------------------------------------------------------------------- */

const struct book_entry *book_find_key(const struct book *book, const struct id_key *key) {
    return sheet_find(book->sheet, key);
}

const struct book_entry *book_find(const struct book *book, const char *id) {
    struct id_key key;
    id_key_of(&key, id);
    return book_find_key(book, &key);
}

const struct constraint *book_read(const struct book *book, const char *id,
                                   struct constraint *room) {
    const struct book_entry *entry = book ? book_find(book, id) : NULL;
    if (!entry)
        return NULL;
    entry_read(entry, room);
    return room;
}

enum err book_make_room(struct book *book, size_t count) {
    if (count > BOOK_MAXIMUM - book->count)
        return ERR_FULL;
    return book_own(book, count);
}

static size_t index_of(const struct book *book, const struct book_entry *entry) {
    return (size_t)(entry - book->entries);
}

/* There is room. */
static void book_insert(struct book *book, const struct book_entry *entry) {
    size_t low = 0;
    for (size_t high = book->count; low < high;) {
        size_t middle = (low + high) / 2;
        if (entry_order(entry, &book->entries[middle]) < 0)
            high = middle;
        else
            low = middle + 1;
    }
    struct book_entry *at = &book->sheet->entries[low];
    memmove(at + 1, at, (book->count - low) * sizeof *at);
    *at = *entry;
    book->sheet->count = ++book->count;
}

/* In place of what stands at `index`. */
static void book_replace(struct book *book, size_t index, const struct book_entry *entry) {
    bool stays = entry_order(&book->entries[index], entry) == 0;
    if (!stays) {
        book_take_out(book, index);
        book_insert(book, entry);
        return;
    }
    struct book_entry *at = book_entry_own(book, index);
    entry_drop(book, at);
    *at = *entry;
}

enum err book_ready(struct book *book, struct constraint *const *constraints, size_t count,
                    struct book_entry *ready) {
    enum err err = book_make_room(book, count);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        if (!entry_fill(&ready[i], constraints[i])) {
            while (i-- > 0)
                packed_free(ready[i].packed);
            err = ERR_MEMORY;
            break;
        }
    return err;
}

/* Before anything is looked for: what is put on the clock that is trusted now may move to another
 * sheet. A step that is first seen here concerns the others: the next advance turns to them. */
static void see_clock_first(struct book *book, struct now now) {
    if (book->started && book_see_clock(book, now))
        look_at_all(book);
}

/* In place of `before`, or, when that is NULL, beside the others: there is room. */
static void put_entry(struct book *book, struct book_entry *entry, const struct book_entry *before,
                      struct now now) {
    if (before) {
        entry->packed->rank = before->packed->rank;
        entry->min_gate_closed = before->min_gate_closed && entry_has_min_soc(entry);
        entry->max_gate_closed = before->max_gate_closed && entry_has_max_soc(entry);
    }
    if (book->started) {
        if (before)
            forget_due(book, before, now);
        if (is_due(entry->packed, now))
            entry_start(book, entry, now, false);
        entry_due(book, entry, now);
    }
    if (before)
        book_replace(book, index_of(book, before), entry);
    else
        book_insert(book, entry);
    book->touched = true;
}

void book_put_ready(struct book *book, const struct book_entry *ready, struct now now) {
    struct book_entry entry = *ready;
    struct id_key key;
    see_clock_first(book, now);
    entry_key(&entry, &key);
    put_entry(book, &entry, book_find_key(book, &key), now);
}

enum err book_put(struct book *book, const struct constraint *constraint, struct now now) {
    struct book_entry entry;
    if (!entry_fill(&entry, constraint))
        return ERR_MEMORY;
    struct id_key key;
    see_clock_first(book, now);
    entry_key(&entry, &key);
    const struct book_entry *before = book_find_key(book, &key);
    enum err err = before ? ERR_OK : book_make_room(book, 1);
    if (err) {
        packed_free(entry.packed);
        return err;
    }
    put_entry(book, &entry, before, now);
    return ERR_OK;
}

void book_load(struct book *book, struct sheet *sheet) {
    sheet_sort(sheet);
    book->sheet = sheet;
    book->entries = sheet->entries;
    book->count = sheet->count;
    book->touched = true;
}

enum err book_remove(struct book *book, const char *id) {
    const struct book_entry *entry = book_find(book, id);
    if (!entry)
        return ERR_NOT_FOUND;
    look_at_all(book); /* what was to happen next may have been its */
    book_take_out(book, index_of(book, entry));
    book->touched = true;
    return ERR_OK;
}

void book_resume(struct book *book, const char *id, struct mono end) {
    const struct book_entry *found = book_find(book, id);
    if (!found || book->started || !found->packed->valid_for)
        return;
    struct book_entry *entry = book_entry_own(book, index_of(book, found));
    entry->running = entry->by_mono = true;
    entry_set_clock(entry, end.ms);
}

bool book_restate(struct book *book, const char *id, const struct constraint *constraint) {
    const struct book_entry *found = book_find(book, id);
    struct book_entry made;
    if (!found || !entry_fill(&made, constraint))
        return false;
    struct book_entry *entry = book_entry_own(book, index_of(book, found));
    book_drop(book, entry->packed);
    entry->packed = made.packed;
    return true;
}

bool book_set_gates(struct book *book, size_t index, bool min_closed, bool max_closed) {
    const struct book_entry *found = &book->entries[index];
    if (found->min_gate_closed == min_closed && found->max_gate_closed == max_closed)
        return false;
    struct book_entry *entry = book_entry_own(book, index);
    entry->min_gate_closed = min_closed;
    entry->max_gate_closed = max_closed;
    return true;
}

bool book_foretell(struct book *book, const struct book_entry *entry, int64_t invalid_at_ms) {
    struct storing *storing = find_foretold(book, entry);
    if (storing && storing->invalid_at_ms[0] == invalid_at_ms)
        return false;
    if (!storing) {
        struct storing *grown =
            realloc(book->storing, (book->storing_count + 1) * sizeof *book->storing);
        if (!grown)
            return false;
        book->storing = grown;
        storing = &grown[book->storing_count++];
        *storing = (struct storing){0};
        memcpy(storing->id, entry->packed->id, sizeof storing->id);
    }
    storing->invalid_at_ms[1] = storing->invalid_at_ms[0];
    storing->invalid_at_ms[0] = invalid_at_ms;
    book->ends_moved = true;
    return true;
}

void book_foretold(const struct book *book, const struct book_entry *entry,
                   int64_t invalid_at_ms[2]) {
    const struct storing *storing = find_foretold(book, entry);
    invalid_at_ms[0] = storing ? storing->invalid_at_ms[0] : 0;
    invalid_at_ms[1] = storing ? storing->invalid_at_ms[1] : 0;
}

bool book_drop_sets(struct book *book, const char *created_by) {
    bool changed = false;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (entry->set == ENTRY_NO_POWER || entry->set_dropped || !entry_is_of(entry, created_by))
            continue;
        changed = changed || entry->running;
        book_entry_own(book, i)->set_dropped = true;
    }
    return changed;
}
