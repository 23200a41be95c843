#include "book.h"

#include <stdlib.h>
#include <string.h>

#define STEP_MS 2000
#define HOLD_MS (25LL * 3600 * 1000) /* longest that a bound stays for want of a clock */

void book_init(struct book *book) {
    *book = (struct book){.trusted = true, .next_wall = {INT64_MAX}, .next_mono = {INT64_MAX}};
}

void book_free(struct book *book) {
    for (size_t i = 0; i < book->count; i++)
        constraint_release(book->entries[i].constraint);
    free(book->entries);
    book_init(book);
}

bool book_keeps(const struct constraint *constraint) {
    return !constraint->policy_key[0] && !constraint->by_host;
}

void book_move(struct book *to, struct book *from) {
    size_t kept = 0;
    for (size_t i = 0; i < from->count; i++)
        if (!book_keeps(from->entries[i].constraint))
            constraint_release(from->entries[i].constraint);
        else
            from->entries[kept++] = from->entries[i];
    from->count = kept;
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
        struct book_entry *entry = &book->entries[i];
        if (!entry->guessed)
            continue;
        entry->guessed = false;
        entry->steps_ms = book->steps_ms;
        entry->by_mono = entry->constraint->valid_for_ms > 0;
        book->ends_moved = book->ends_moved || entry->by_mono;
        entry->mono_end.ms = now.mono.ms + (entry->constraint->invalid_at.ms - now.wall.ms);
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

static bool is_due(const struct constraint *constraint, struct now now) {
    return constraint->valid_at.ms <= now.wall.ms && now.wall.ms < constraint->invalid_at.ms;
}

/* `loaded`: from the store, so that a validFor's time is known by the wall clock only. */
static void entry_start(struct book *book, struct book_entry *entry, struct now now, bool loaded) {
    const struct constraint *constraint = entry->constraint;
    bool valid_for = constraint->valid_for_ms > 0;
    entry->running = true;
    entry->guessed = !now.trusted && (!valid_for || loaded);
    entry->by_mono = valid_for && !entry->guessed;
    entry->mono_end.ms = now.mono.ms + (constraint->invalid_at.ms - now.wall.ms);
    entry->steps_ms = book->steps_ms;
    if (entry->by_mono && book_keeps(constraint))
        book->ends_moved = true;
}

static int64_t steps_since(const struct book *book, const struct book_entry *entry) {
    return book->steps_ms - entry->steps_ms;
}

static int64_t wall_bounds_end(const struct book *book, const struct book_entry *entry) {
    return entry->constraint->invalid_at.ms + later(0, steps_since(book, entry));
}

static int64_t wall_set_end(const struct book *book, const struct book_entry *entry) {
    return entry->constraint->invalid_at.ms + earlier(0, steps_since(book, entry));
}

static bool set_is_over(const struct book *book, const struct book_entry *entry, struct now now) {
    if (entry->by_mono)
        return now.mono.ms >= entry->mono_end.ms;
    return now.wall.ms >= wall_set_end(book, entry);
}

/* The wall clock stepped back, so what was to follow without a gap has yet to start. */
static bool awaits_successor(const struct book *book, const struct book_entry *entry) {
    int64_t end = entry->constraint->invalid_at.ms;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *other = &book->entries[i];
        if (!other->running && !other->over && other->constraint->valid_at.ms <= end &&
            other->constraint->invalid_at.ms > end)
            return true;
    }
    return false;
}

static bool bounds_are_over(const struct book *book, const struct book_entry *entry,
                            struct now now) {
    if (entry->by_mono)
        return now.mono.ms >= entry->mono_end.ms &&
               (now.mono.ms - entry->mono_end.ms >= HOLD_MS || !awaits_successor(book, entry));
    return now.wall.ms >= wall_bounds_end(book, entry) &&
           (book->trusted || now.mono.ms - book->untrusted_since.ms >= HOLD_MS);
}

/* Nothing would be left of it without its set point. */
static bool is_only_set(const struct wish *wish) {
    return wish->has_set && !wish->has_min && !wish->has_max && !wish->has_min_soc &&
           !wish->has_max_soc;
}

static bool entry_end(const struct book *book, struct book_entry *entry, struct now now) {
    const struct wish *wish = &entry->wish;
    bool set_over = set_is_over(book, entry, now);
    if (is_only_set(wish) ? set_over : bounds_are_over(book, entry, now)) {
        entry->over = true;
        return true;
    }
    if (!set_over || !wish->has_set || entry->set_dropped)
        return false;
    entry->set_dropped = true;
    return true;
}

/* --- advancing -------------------------------------------------------------------------------- */

static void due_wall(struct book *book, int64_t at_ms) {
    book->next_wall.ms = earlier(book->next_wall.ms, at_ms);
}

static void due_mono(struct book *book, int64_t at_ms) {
    book->next_mono.ms = earlier(book->next_mono.ms, at_ms);
}

static void entry_due(struct book *book, const struct book_entry *entry, struct now now) {
    if (!entry->running) {
        due_wall(book, entry->constraint->valid_at.ms);
        return;
    }
    if (entry->by_mono) {
        bool held = now.mono.ms >= entry->mono_end.ms;
        due_mono(book, entry->mono_end.ms + (held ? HOLD_MS : 0));
        return;
    }
    int64_t set_end = wall_set_end(book, entry);
    int64_t bounds_end = wall_bounds_end(book, entry);
    if (now.wall.ms < set_end)
        due_wall(book, set_end);
    if (now.wall.ms < bounds_end)
        due_wall(book, bounds_end);
    else
        due_mono(book, book->untrusted_since.ms + HOLD_MS);
}

/* Starts before ends, so that a predecessor sees its successor running. */
static bool book_turn(struct book *book, struct now now, bool loaded) {
    bool changed = false;
    for (size_t i = 0; i < book->count; i++) {
        struct book_entry *entry = &book->entries[i];
        if (entry->running)
            continue;
        if (is_due(entry->constraint, now)) {
            entry_start(book, entry, now, loaded);
            changed = true;
        } else if (entry->constraint->invalid_at.ms <= now.wall.ms) {
            entry->over = true;
            changed = true;
        }
    }
    for (size_t i = 0; i < book->count; i++)
        if (book->entries[i].running && entry_end(book, &book->entries[i], now))
            changed = true;
    return changed;
}

static void book_sweep(struct book *book, struct now now, book_ended *ended, void *context) {
    size_t kept = 0;
    book->next_wall.ms = INT64_MAX;
    book->next_mono.ms = INT64_MAX;
    for (size_t i = 0; i < book->count; i++) {
        struct book_entry *entry = &book->entries[i];
        if (entry->over) {
            if (ended)
                ended(context, entry->constraint);
            constraint_release(entry->constraint);
            continue;
        }
        entry_due(book, entry, now);
        book->entries[kept++] = *entry;
    }
    book->count = kept;
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
    if (!clock_changed && !book->touched && now.wall.ms < book->next_wall.ms &&
        now.mono.ms < book->next_mono.ms)
        return false;
    bool changed = book->touched;
    book->touched = false;
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

struct book_entry *book_find(const struct book *book, const char *id) {
    for (size_t i = 0; i < book->count; i++)
        if (strcmp(book->entries[i].constraint->id, id) == 0)
            return &book->entries[i];
    return NULL;
}

enum err book_make_room(struct book *book, size_t count) {
    size_t capacity = book->capacity ? book->capacity : 8;
    if (count > BOOK_MAXIMUM - book->count)
        return ERR_FULL;
    while (capacity < book->count + count)
        capacity *= 2;
    if (capacity == book->capacity)
        return ERR_OK;
    struct book_entry *entries = realloc(book->entries, capacity * sizeof *entries);
    if (!entries)
        return ERR_MEMORY;
    book->entries = entries;
    book->capacity = capacity;
    return ERR_OK;
}

/* Takes an entry out without releasing its constraint. */
static struct book_entry book_take(struct book *book, struct book_entry *entry) {
    struct book_entry taken = *entry;
    size_t at = (size_t)(entry - book->entries);
    memmove(entry, entry + 1, (book->count - at - 1) * sizeof *entry);
    book->count--;
    book->touched = true;
    return taken;
}

static void book_insert(struct book *book, const struct book_entry *entry) {
    size_t at = book->count;
    while (at > 0 && arbiter_order(&entry->wish, &book->entries[at - 1].wish) < 0)
        at--;
    memmove(&book->entries[at + 1], &book->entries[at],
            (book->count - at) * sizeof book->entries[0]);
    book->entries[at] = *entry;
    book->count++;
    book->touched = true;
}

enum err book_put(struct book *book, struct constraint *constraint, struct now now) {
    struct book_entry entry = {.constraint = constraint};
    struct book_entry *before = book_find(book, constraint->id);
    if (!before) {
        enum err err = book_make_room(book, 1);
        if (err)
            return err;
    }
    constraint_hold(constraint);
    if (before) {
        uint64_t rank = before->constraint->wish.rank;
        if (constraint->wish.rank != rank)
            constraint->wish.rank = rank;
        entry.min_gate_closed = before->min_gate_closed && constraint->wish.has_min_soc;
        entry.max_gate_closed = before->max_gate_closed && constraint->wish.has_max_soc;
        constraint_release(book_take(book, before).constraint);
    }
    entry.wish = constraint->wish;
    if (book->started) {
        /* A step that is first seen here concerns the others: the next advance turns to them. */
        (void)book_see_clock(book, now);
        if (is_due(constraint, now))
            entry_start(book, &entry, now, false);
    }
    book_insert(book, &entry);
    return ERR_OK;
}

enum err book_remove(struct book *book, const char *id) {
    struct book_entry *entry = book_find(book, id);
    if (!entry)
        return ERR_NOT_FOUND;
    constraint_release(book_take(book, entry).constraint);
    return ERR_OK;
}

void book_resume(struct book *book, const char *id, struct mono end) {
    struct book_entry *entry = book_find(book, id);
    if (!entry || book->started || !entry->constraint->valid_for_ms)
        return;
    entry->running = entry->by_mono = true;
    entry->mono_end = end;
}

static bool is_leaving(const struct book_admission *admission, const char *id) {
    for (size_t i = 0; i < admission->leaving_count; i++)
        if (strcmp(admission->leaving[i], id) == 0)
            return true;
    for (size_t i = 0; i < admission->makes_way_count; i++)
        if (strcmp(admission->makes_way[i], id) == 0)
            return true;
    return false;
}

static bool is_replaced(const struct book_admission *admission, const char *id) {
    for (size_t i = 0; i < admission->count; i++)
        if (strcmp(admission->items[i]->id, id) == 0)
            return true;
    return false;
}

/* The lowest scheduled one of the same creator that may make way; NULL: none. */
static const struct constraint *lowest_scheduled(const struct book *book,
                                                 const struct book_admission *admission) {
    for (size_t i = book->count; i-- > 0;) {
        const struct constraint *other = book->entries[i].constraint;
        if (!book->entries[i].running && !other->policy_key[0] && !other->by_host &&
            strcmp(other->created_by, admission->created_by) == 0 &&
            other->wish.priority <= admission->max_priority && !is_leaving(admission, other->id) &&
            !is_replaced(admission, other->id))
            return other;
    }
    return NULL;
}

enum err book_admit(const struct book *book, struct book_admission *admission) {
    size_t on_device = admission->coming;
    size_t of_creator = admission->coming_own;
    admission->makes_way_count = 0;
    for (size_t i = 0; i < book->count; i++) {
        const struct constraint *other = book->entries[i].constraint;
        if (other->policy_key[0] || other->by_host || is_leaving(admission, other->id))
            continue;
        on_device++;
        of_creator += strcmp(other->created_by, admission->created_by) == 0;
    }
    for (size_t i = 0; i < admission->count; i++) {
        if (book_find(book, admission->items[i]->id))
            continue;
        const struct constraint *way =
            on_device >= CONSTRAINTS_PER_DEVICE ? lowest_scheduled(book, admission) : NULL;
        if (way) {
            memcpy(admission->makes_way[admission->makes_way_count++], way->id, ID_SIZE);
            continue; /* one comes, one goes */
        }
        if (of_creator >= CONSTRAINTS_PER_CREATOR)
            return ERR_LIMIT;
        if (on_device >= CONSTRAINTS_PER_DEVICE)
            return ERR_FULL;
        on_device++;
        of_creator++;
    }
    return ERR_OK;
}

bool book_drop_sets(struct book *book, const char *created_by) {
    bool changed = false;
    for (size_t i = 0; i < book->count; i++) {
        struct book_entry *entry = &book->entries[i];
        if (!entry->wish.has_set || entry->set_dropped ||
            strcmp(entry->constraint->created_by, created_by) != 0)
            continue;
        entry->set_dropped = true;
        changed = changed || entry->running;
    }
    return changed;
}

size_t book_wishes(const struct book *book, struct wish *wishes, size_t *index) {
    size_t count = 0;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (!entry->running || (entry->set_dropped && is_only_set(&entry->wish)))
            continue;
        struct wish *wish = &wishes[count];
        *wish = entry->wish;
        wish->has_set = wish->has_set && !entry->set_dropped;
        wish->min_gate_closed = entry->min_gate_closed;
        wish->max_gate_closed = entry->max_gate_closed;
        index[count++] = i;
    }
    return count;
}

void book_keep_gates(struct book *book, const struct wish *wishes, const size_t *index,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        book->entries[index[i]].min_gate_closed = wishes[i].min_gate_closed;
        book->entries[index[i]].max_gate_closed = wishes[i].max_gate_closed;
    }
}
