/* What the store does not have as it is in force comes to the disk as soon as it can:
 *
 *   limits that were accepted while the store could not write (202, durable: false)
 *   what was given with validFor and runs on the monotonic clock, when the wall clock was set or
 * has stepped since: by its old end, which the store has, a restart would end it too early or too
 * late
 *
 * Each takes the way of a change that replaces it by itself: who changes it meanwhile waits behind,
 * and what was changed before is not stored over. */
#include <stdio.h>
#include <string.h>

#include "ask/ask_internal.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "device.h"
#include "engine.h"
#include "stash.h"

#define KEEP_TOGETHER 16   /* at a time */
#define CLOCK_OFF_MS  2000 /* less is the drift of clocks */

/* The one that is still as it was when this was asked for; NULL: it is not. */
static const struct book_entry *find_same(const struct ask *ask, const struct target *target) {
    char version[CONSTRAINT_VERSION_SIZE];
    const struct book_entry *entry =
        target->book ? book_find(target->book, ask->items[0]->id) : NULL;
    struct constraint constraint;
    if (!entry)
        return NULL;
    entry_read(entry, &constraint);
    constraint_version(&constraint, version);
    return strcmp(version, ask->terms.version) == 0 ? entry : NULL;
}

void ask_kept(struct ask *ask) {
    const struct target target = ask_target(ask);
    const struct book_entry *entry =
        ask->stored == ERR_OK && !ask->engine->stopping ? find_same(ask, &target) : NULL;
    bool by_mono = entry && entry->by_mono;
    if (entry && book_restate(target.book, ask->items[0]->id, ask->items[0])) {
        log_info(target.path, "constraint %s is stored now", ask->items[0]->id);
        target.book->ends_moved = target.book->ends_moved || by_mono;
        target_decide(&target);
    }
    ask_finish(ask, ask->stored == ERR_OK ? ASK_REPLACED : ASK_STORE_FAILED, "");
}

/* At once, or when what it waited behind is done. */
static void keep_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    const struct target target = ask_target(ask);
    if (ask->engine->stopping || !find_same(ask, &target))
        ask_finish(ask, ASK_NOT_FOUND, "");
    else if (!ask_parked(ask))
        ask_to_store(ask);
}

/* Its start and end as the store should have them, by the wall clock as it is. */
struct times {
    int64_t valid_at_ms, invalid_at_ms;
};

static bool differ(int64_t a_ms, int64_t b_ms) {
    return a_ms - b_ms > CLOCK_OFF_MS || b_ms - a_ms > CLOCK_OFF_MS;
}

/* True when the store has others. */
static bool times_off(const struct book_entry *entry, struct now now, struct times *times) {
    int64_t left_ms = entry_clock(entry) - now.mono.ms;
    *times = (struct times){entry->packed->valid_at.ms, entry->packed->invalid_at.ms};
    if (!entry->running || !now.trusted)
        return false;
    if (entry->by_mono && left_ms > 0 && differ(now.wall.ms + left_ms, times->invalid_at_ms)) {
        times->valid_at_ms += now.wall.ms + left_ms - times->invalid_at_ms;
        times->invalid_at_ms = now.wall.ms + left_ms;
        return true;
    }
    /* The clock has stepped back before its start; what runs is not taken back. */
    if (times->valid_at_ms - now.wall.ms <= CLOCK_OFF_MS)
        return false;
    times->valid_at_ms = now.wall.ms;
    return true;
}

/* Takes the constraint, which nobody else has. */
static void keep(struct engine *engine, const char *target_id, struct constraint *constraint,
                 const struct times *times) {
    struct ask *ask = ask_new_own(engine, ASK_KEEP, target_id);
    if (!ask) { /* the next time */
        constraint_release(constraint);
        return;
    }
    constraint_version(constraint, ask->terms.version);
    constraint->durable = true;
    constraint->valid_at.ms = times->valid_at_ms;
    constraint->invalid_at.ms = times->invalid_at_ms;
    ask->items[0] = constraint;
    ask->replaces[0] = true;
    ask->count = 1;
    ask->item.run = keep_run;
    keep_run(&ask->item);
}

/* True when the store is to be told before the times themselves. */
static bool foretell(struct book *book, const struct book_entry *entry, const struct times *times) {
    return entry->by_mono && times->invalid_at_ms != entry->packed->invalid_at.ms &&
           book_foretell(book, entry, times->invalid_at_ms);
}

static size_t keep_in(struct engine *engine, const char *target_id, struct book *book, size_t room,
                      struct now now) {
    struct constraint *found[KEEP_TOGETHER]; /* the book may change on the way */
    struct times times[KEEP_TOGETHER];
    size_t count = 0;
    bool foretold = false;
    if (!book->unsettled && !book->steps_ms)
        return 0;
    for (size_t i = 0; i < book->count && count < room; i++) {
        const struct book_entry *entry = &book->entries[i];
        bool off = times_off(entry, now, &times[count]);
        if ((!off && entry->packed->durable) || !entry_keeps(entry))
            continue;
        found[count] = entry_constraint(entry);
        if (!found[count])
            break; /* the next time */
        foretold = foretell(book, entry, &times[count]) || foretold;
        count++;
    }
    /* Whenever the host ends, the store has the end on the monotonic clock of what it has. */
    if (foretold)
        stash_keep_ends(engine, target_id, book);
    for (size_t i = 0; i < count; i++)
        keep(engine, target_id, found[i], &times[i]);
    return count;
}

void ask_keep_all(struct engine *engine) {
    const struct now now = clock_now(&engine->clock);
    size_t room = KEEP_TOGETHER;
    for (struct device *device = engine->devices; device && room; device = device->next)
        room -= keep_in(engine, device->id, &device->book, room, now);
    for (struct cluster *cluster = engine->clusters; cluster && room; cluster = cluster->next)
        room -= keep_in(engine, cluster->id, &cluster->book, room, now);
    for (struct cluster *cluster = engine->clusters; cluster; cluster = cluster->next)
        if (cluster->box)
            box_keep(cluster->box);
}
