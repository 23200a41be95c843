/* Limits that were accepted while the store could not write (202, durable: false) come to the disk
 * as soon as it can. Each takes the way of a change that replaces it by itself: who changes it
 * meanwhile waits behind, and what was changed before is not stored over. */
#include <stdio.h>
#include <string.h>

#include "ask/ask_internal.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "device.h"
#include "engine.h"

#define KEEP_TOGETHER 16 /* at a time */

/* The one that is still in force without being on disk, as it was when it was asked for. */
static struct book_entry *find_undurable(const struct ask *ask, const struct target *target) {
    char now[CONSTRAINT_VERSION_SIZE], then[CONSTRAINT_VERSION_SIZE];
    struct book_entry *entry = target->book ? book_find(target->book, ask->items[0]->id) : NULL;
    if (!entry || entry->constraint->durable)
        return NULL;
    constraint_version(entry->constraint, now);
    constraint_version(ask->items[0], then);
    return strcmp(now, then) == 0 ? entry : NULL;
}

void ask_kept(struct ask *ask) {
    const struct target target = ask_target(ask);
    struct book_entry *entry =
        ask->stored == ERR_OK && !ask->engine->stopping ? find_undurable(ask, &target) : NULL;
    if (entry) {
        log_info(target.path, "constraint %s is stored now", ask->items[0]->id);
        constraint_release(entry->constraint);
        entry->constraint = constraint_hold(ask->items[0]);
        target_decide(&target);
    }
    ask_finish(ask, ask->stored == ERR_OK ? ASK_REPLACED : ASK_STORE_FAILED, "");
}

/* At once, or when what it waited behind is done. */
static void keep_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    const struct target target = ask_target(ask);
    if (ask->engine->stopping || !find_undurable(ask, &target))
        ask_finish(ask, ASK_NOT_FOUND, "");
    else if (!ask_parked(ask))
        ask_to_store(ask);
}

static void keep(struct engine *engine, const char *target_id,
                 const struct constraint *constraint) {
    struct ask *ask = ask_new_own(engine, ASK_KEEP, target_id);
    if (!ask)
        return; /* the next time */
    ask->items[0] = constraint_new(constraint);
    ask->count = ask->items[0] != NULL;
    ask->replaces[0] = true;
    if (!ask->count) {
        ask_finish(ask, ASK_BUSY, "");
        return;
    }
    ask->items[0]->durable = true;
    ask->item.run = keep_run;
    keep_run(&ask->item);
}

static size_t keep_in(struct engine *engine, const char *target_id, const struct book *book,
                      size_t room) {
    const struct constraint *found[KEEP_TOGETHER]; /* the book may change on the way */
    size_t count = 0;
    for (size_t i = 0; i < book->count && count < room; i++) {
        const struct constraint *constraint = book->entries[i].constraint;
        if (!constraint->durable && !constraint->policy_key[0])
            found[count++] = constraint_hold((struct constraint *)constraint);
    }
    for (size_t i = 0; i < count; i++) {
        keep(engine, target_id, found[i]);
        constraint_release((struct constraint *)found[i]);
    }
    return count;
}

void ask_keep_all(struct engine *engine) {
    size_t room = KEEP_TOGETHER;
    for (struct device *device = engine->devices; device && room; device = device->next)
        room -= keep_in(engine, device->id, &device->book, room);
    for (struct cluster *cluster = engine->clusters; cluster && room; cluster = cluster->next)
        room -= keep_in(engine, cluster->id, &cluster->book, room);
}
