/* Constraints as a book holds them: packed, since there may be 250 on each of 10,000 devices, and
 * on sheets that readers share with the book, so that publishing a decision copies and counts
 * nothing.
 *
 * A sheet that was shared does not change any more, but for want of memory: the book goes on with a
 * copy. The older sheet has a reference to the one that came after it, so that they go in their
 * order, and whatever left the book after a sheet was shared is freed with that sheet: no reader
 * can be looking at it then. Single constraints are thus never counted.
 *
 * What `struct constraint` says is kept whole: entry_read() gives back what entry_fill() was given,
 * but for values of fields that have no opinion. The book changes sheets on the engine's thread;
 * any thread reads and releases them. */
#ifndef DERD_SHEET_H
#define DERD_SHEET_H

#include "constraint.h"

struct words;

struct packed {
    unsigned char id[16]; /* the UUID's; else the hash of the text in `rare` */
    uint64_t rank;
    struct wall valid_at, invalid_at, created_at;
    struct words *words; /* created_by, policy_key, reason; one reference */
    struct packed *next; /* that goes with the same sheet; the book's alone */
    int32_t priority;
    bool valid_for : 1; /* invalid_at is valid_at plus what validFor was, unless `rare` has it */
    bool durable : 1, by_host : 1, has_current : 1, has_rare : 1, text_id : 1;
    enum scope scope : 3;
    struct rare {
        double min_soc, max_soc, max_current[3];
        bool has_min_soc, has_max_soc;
        int64_t valid_for_ms;
        char id[ID_SIZE];
    } rare[]; /* one when has_rare */
};

#define ENTRY_NO_POWER INT32_MIN /* no opinion */

struct book_entry {
    struct packed *packed;
    int32_t clock_high; /* see entry_clock() */
    uint16_t clock_low;
    bool running : 1;
    bool set_dropped : 1; /* its set point ended before its bounds (a step, a stale measurement) */
    bool min_gate_closed : 1, max_gate_closed : 1;
    /* The book's: */
    bool over : 1;    /* to be removed in this advance */
    bool by_mono : 1; /* ends on the monotonic clock, else by the wall clock and the steps since */
    bool guessed : 1; /* started by a clock that was not trusted, which has not come back */
    /* What it asks; walking the book touches no other memory: */
    bool exclusive : 1, clamp : 1, has_soc : 1;
    uint32_t mark; /* of the id: others mostly have another */
    int32_t set, min, max;
};

struct sheet {
    atomic_uint references;
    struct sheet *next;     /* the one that came after it; one reference */
    struct packed *dropped; /* what left since; freed with it */
    size_t count, capacity;
    struct book_entry entries[]; /* in the order of arbiter_order() */
};

/* A new entry, not running. False without memory. */
bool entry_fill(struct book_entry *entry, const struct constraint *constraint);
/* The constraint again, with one reference (it may be freed only when it is on the heap). */
void entry_read(const struct book_entry *entry, struct constraint *constraint);
/* The same on the heap; NULL without memory. */
struct constraint *entry_constraint(const struct book_entry *entry);
void packed_free(struct packed *packed);

/* What the arbiter walks; `rank` and `priority` are in the order of the sheet and left out. */
static inline void entry_wish(const struct book_entry *entry, struct wish *wish) {
    *wish = (struct wish){.on_conflict = entry->clamp ? ON_CONFLICT_CLAMP : ON_CONFLICT_DISCARD,
                          .has_set = entry->set != ENTRY_NO_POWER,
                          .has_min = entry->min != ENTRY_NO_POWER,
                          .has_max = entry->max != ENTRY_NO_POWER,
                          .exclusive = entry->exclusive,
                          .min_gate_closed = entry->min_gate_closed,
                          .max_gate_closed = entry->max_gate_closed};
    wish->set = wish->has_set ? entry->set : 0;
    wish->min = wish->has_min ? entry->min : 0;
    wish->max = wish->has_max ? entry->max : 0;
    if (!entry->has_soc)
        return;
    const struct rare *rare = entry->packed->rare;
    wish->has_min_soc = rare->has_min_soc;
    wish->has_max_soc = rare->has_max_soc;
    wish->min_soc = rare->min_soc;
    wish->max_soc = rare->max_soc;
}

/* It has a set point, which has not ended before its bounds. */
static inline bool entry_holds_set(const struct book_entry *entry) {
    return (entry->set != ENTRY_NO_POWER) & !entry->set_dropped;
}

/* Nothing would be left of it without its set point. */
static inline bool entry_is_only_set(const struct book_entry *entry) {
    return entry->set != ENTRY_NO_POWER && entry->min == ENTRY_NO_POWER &&
           entry->max == ENTRY_NO_POWER && !entry->has_soc;
}

/* What outlives its book: neither a policy's nor the host's own, which make theirs anew. */
bool entry_keeps(const struct book_entry *entry);
bool entry_is_of(const struct book_entry *entry, const char *created_by);
bool entry_has_min_soc(const struct book_entry *entry);
bool entry_has_max_soc(const struct book_entry *entry);
/* It is walked. */
static inline bool entry_in_force(const struct book_entry *entry) {
    return entry->running && !(entry->set_dropped && entry_is_only_set(entry));
}
/* by_mono: its end on the monotonic clock; else the sum of the wall clock's steps when it started.
 * Milliseconds, as far as 48 bits reach (4,000 years either way). */
static inline int64_t entry_clock(const struct book_entry *entry) {
    return (int64_t)entry->clock_high * 65536 + entry->clock_low;
}
void entry_set_clock(struct book_entry *entry, int64_t ms);
/* The id as text, and whether it is this one. */
void entry_id(const struct book_entry *entry, char id[ID_SIZE]);
/* <0: a goes before b. */
int entry_order(const struct book_entry *a, const struct book_entry *b);

struct id_key { /* an id that is looked for */
    unsigned char bytes[16];
    uint32_t mark;
    const char *text; /* NULL: a UUID */
};
void id_key_of(struct id_key *key, const char *id);
void entry_key(const struct book_entry *entry, struct id_key *key); /* lives as long */
bool entry_has_id(const struct book_entry *entry, const struct id_key *key);

/* Empty, with room; one reference. NULL without memory. */
struct sheet *sheet_new(size_t capacity);
struct sheet *sheet_hold(struct sheet *sheet); /* NULL is fine */
/* NULL: it is not there, or there is no sheet. */
const struct book_entry *sheet_find(const struct sheet *sheet, const struct id_key *key);
/* Into the order of arbiter_order(), those of one rank as they stand; at most ARBITER_WISHES. */
void sheet_sort(struct sheet *sheet);
/* Any thread. Frees with the last reference what was dropped since; not its entries. */
void sheet_release(struct sheet *sheet);

#endif
