/* The walk over what is in force (ARBITRATION section 3), straight over the entries of the sheet:
 * with each change on a device up to some hundred of them. Most change nothing, since they ask for
 * no less than what holds already; they are told by a look at their 32 bytes, and only the others
 * take the step of arbiter.h. */
#include "book.h"

#include <assert.h>

size_t book_wishes(const struct book *book, struct wish *wishes, size_t *index) {
    size_t count = 0;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entry = &book->entries[i];
        if (!entry_in_force(entry))
            continue;
        entry_wish(entry, &wishes[count]);
        wishes[count].has_set = entry_holds_set(entry);
        index[count++] = i;
    }
    return count;
}

/* A step of the walk by one entry that may change it. */
static void walk_entry(struct book *book, size_t index, double soc, bool without_sets,
                       struct book_walk *walked) {
    const struct book_entry *entry = &book->entries[index];
    struct wish wish;
    struct verdict verdict;
    entry_wish(entry, &wish);
    wish.has_set = entry_holds_set(entry) && !without_sets;
    walk_step(&walked->walk, &wish, (int)index, soc, &verdict);
    if (entry->has_soc && book_set_gates(book, index, wish.min_gate_closed, wish.max_gate_closed))
        walked->gates_moved = true;
}

/* What leaves the walk as it is, at one look: who asks for no less than [lo, hi], and for no set
 * point, or for the one that is taken, or, once one is, is discarded with another. */
struct rest {
    int32_t lo, hi, set;
    bool taken;
};

static struct rest rest_of(const struct walk *walk) {
    return (struct rest){walk->lo, walk->hi, walk->has_set ? walk->set : ENTRY_NO_POWER,
                         walk->has_set};
}

/* Without branches: which of them have a set point no processor can guess. */
static inline bool rests(const struct rest *rest, const struct book_entry *entry) {
    static_assert(ENTRY_NO_POWER < -POWER_UNBOUNDED, "no lower bound is below any");
    int32_t max = entry->max == ENTRY_NO_POWER ? POWER_UNBOUNDED : entry->max;
    bool holds = (entry->min <= rest->lo) & (max >= rest->hi);
    bool same = (entry->set == ENTRY_NO_POWER) | (entry->set == rest->set);
    bool loses = (!entry->clamp) & rest->taken;
    return holds & (same | loses);
}

/* The first entry from `at` on that does more than rest, or `end`; those before it that are in
 * force are counted. What it needs stands in registers: it is where the time goes. */
static const struct book_entry *skip_resting(const struct book_entry *at,
                                             const struct book_entry *end, struct rest rest,
                                             size_t *in_force) {
    size_t resting = 0;
    for (; at < end; at++) {
        if (!at->running)
            continue;
        if (at->set_dropped || at->has_soc || at->exclusive || !rests(&rest, at))
            break;
        resting++;
    }
    *in_force += resting;
    return at;
}

static bool entry_is_idle(const struct walk *walk, const struct book_entry *entry,
                          bool without_sets) {
    int32_t max = entry->max == ENTRY_NO_POWER ? POWER_UNBOUNDED : entry->max;
    return !entry->has_soc && !entry->exclusive &&
           walk_is_idle(walk, entry->min, max, entry_holds_set(entry) && !without_sets, entry->set,
                        !entry->clamp);
}

void book_walk(struct book *book, double soc, bool without_sets, struct book_walk *walked) {
    *walked = (struct book_walk){0};
    walk_begin(&walked->walk);
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *entries = book->entries; /* others when a gate moves */
        const struct book_entry *entry = skip_resting(entries + i, entries + book->count,
                                                      rest_of(&walked->walk), &walked->in_force);
        i = (size_t)(entry - entries);
        if (i == book->count)
            break;
        if (!entry_in_force(entry))
            continue;
        walked->in_force++;
        if (!entry_is_idle(&walked->walk, entry, without_sets))
            walk_entry(book, i, soc, without_sets, walked);
    }
}
