/* What becomes of a request to change constraints, on the loop.
 *
 * New ones take this way: checked against the door and the book, put to the store in one
 * transaction with what makes way for them and with the request's receipt, and only when that is on
 * disk (or the store has failed and they are bounds) put into the book and decided, all in one
 * turn. On its way to the disk a request counts towards the maximum, and whoever touches one of its
 * constraints waits behind it: so what a request was told to expect still holds when it is done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask_audit.h"
#include "ask/ask_internal.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "device.h"
#include "engine.h"
#include "events/announce.h"
#include "stash.h"

struct target ask_target(const struct ask *ask) {
    struct target target = {.device = engine_device_by_id(ask->engine, ask->target_id)};
    if (target.device) {
        target.book = &target.device->book;
        target.path = target.device->site->path;
        return target;
    }
    target.cluster = engine_cluster_by_id(ask->engine, ask->target_id);
    if (target.cluster) {
        target.book = &target.cluster->book;
        target.path = target.cluster->key;
    }
    return target;
}

static struct door target_door(const struct ask *ask, const struct target *target) {
    struct door door = {.horizon_ms = ask->engine->site->horizon_ms};
    if (target->cluster) {
        door.cluster = true;
        door.sees_grid = target->cluster->sees_grid;
        return door;
    }
    door.device_type = (int)target->device->type;
    door.has_soc = device_has_soc(target->device);
    door.controllable = device_controllable(target->device);
    return door;
}

void target_decide(const struct target *target) {
    if (target->device) {
        device_decide_changed(target->device);
        cluster_settle(target->device); /* the answer shows what it gets, not what it had */
    } else {
        cluster_decide_changed(target->cluster);
    }
}

/* --- one behind the other ------------------------------------------------------------------------
 */

static bool touches(const struct ask *ask, const char *id) {
    if (strcmp(ask->constraint_id, id) == 0)
        return true;
    for (size_t i = 0; i < ask->count; i++)
        if (strcmp(ask->items[i]->id, id) == 0)
            return true;
    for (size_t i = 0; i < ask->makes_way_count; i++)
        if (strcmp(ask->makes_way[i], id) == 0)
            return true;
    return false;
}

/* The request on its way to the disk that touches a constraint of this one; NULL: none. */
static struct ask *blocker_of(const struct ask *ask) {
    for (struct ask *other = ask->engine->asks; other; other = other->next) {
        if (ask->constraint_id[0] && touches(other, ask->constraint_id))
            return other;
        for (size_t i = 0; i < ask->count; i++)
            if (ask->items[i]->id[0] && touches(other, ask->items[i]->id))
                return other;
    }
    return NULL;
}

bool ask_parked(struct ask *ask) {
    struct ask *blocker = blocker_of(ask);
    if (!blocker && ask->engine->ask_count < ASKS_MAXIMUM)
        return false;
    if (ask->engine->stopping || ask->engine->ask_count >= ASKS_MAXIMUM) {
        ask_finish(ask, ASK_BUSY,
                   ask->engine->stopping ? "the host is stopping"
                                         : "the host is too busy; nothing was changed");
        return true;
    }
    ask->next = NULL;
    if (blocker->behind_last)
        blocker->behind_last->next = ask;
    else
        blocker->behind_first = ask;
    blocker->behind_last = ask;
    ask->engine->ask_count++;
    return true;
}

static void enter_flight(struct ask *ask) {
    if (ask->in_flight)
        return;
    ask->next = ask->engine->asks;
    ask->engine->asks = ask;
    ask->in_flight = true;
    ask->engine->ask_count++;
}

/* --- checks --------------------------------------------------------------------------------------
 */

/* "constraints[3]: " in a batch. */
static void finish_item(struct ask *ask, enum ask_result result, size_t index, const char *what) {
    char detail[sizeof ask->answer.detail];
    if (ask->terms.batch)
        snprintf(detail, sizeof detail, "constraints[%zu]: %s", index, what);
    else
        snprintf(detail, sizeof detail, "%s", what);
    ask_finish(ask, result, detail);
}

static bool pass_door(struct ask *ask, const struct target *target, struct now now) {
    const struct door door = target_door(ask, target);
    bool ok = true;
    for (size_t i = 0; i < ask->count; i++) {
        struct report report;
        char prefix[32] = "";
        report_init(&report);
        if (ask->terms.batch)
            snprintf(prefix, sizeof prefix, "/constraints/%zu", i);
        ok = constraint_check(ask->items[i], &door, now, &report) && ok;
        report_move(&ask->answer.mistakes, &report, prefix);
        report_free(&report);
    }
    if (!ok)
        ask_finish(ask, ASK_INVALID, "the constraint cannot be accepted");
    return ok;
}

/* Whether the asker may touch what is already there under this id. */
static bool may_touch(struct ask *ask, size_t index, const struct constraint *there) {
    char detail[200];
    if (there->policy_key[0]) {
        snprintf(detail, sizeof detail,
                 "it is a proposal of %s and lives by that policy; change the policy instead",
                 there->created_by);
        finish_item(ask, ASK_CONFLICT, index, detail);
        return false;
    }
    if (there->by_host) {
        finish_item(ask, ASK_CONFLICT, index,
                    "it is the limit of the grid operator's box, which alone changes it: see "
                    "gridOperator of this cluster");
        return false;
    }
    if (there->wish.priority > ask->asker.max_priority) {
        snprintf(detail, sizeof detail,
                 "its priority %d is above %d, the highest that this token may set or change",
                 there->wish.priority, ask->asker.max_priority);
        finish_item(ask, ASK_FORBIDDEN, index, detail);
        return false;
    }
    return true;
}

/* An id is one constraint's on all devices and clusters, as it is in the store. */
static bool used_elsewhere(const struct ask *ask, const char *id) {
    struct id_key key;
    id_key_of(&key, id);
    for (struct device *device = ask->engine->devices; device; device = device->next)
        if (book_find_key(&device->book, &key) && strcmp(device->id, ask->target_id) != 0)
            return true;
    for (struct cluster *cluster = ask->engine->clusters; cluster; cluster = cluster->next)
        if (book_find_key(&cluster->book, &key) && strcmp(cluster->id, ask->target_id) != 0)
            return true;
    return stash_has(ask->engine, id);
}

static bool expected(struct ask *ask, const struct constraint *there) {
    char version[CONSTRAINT_VERSION_SIZE] = "";
    if (there)
        constraint_version(there, version);
    bool ok = true;
    switch (ask->terms.expect) {
    case EXPECT_ANY:
        break;
    case EXPECT_ABSENT:
        ok = !there;
        break;
    case EXPECT_PRESENT:
        ok = there != NULL;
        break;
    case EXPECT_VERSION:
        ok = there && strcmp(version, ask->terms.version) == 0;
        break;
    }
    if (ok)
        return true;
    memcpy(ask->answer.version, version, sizeof version);
    ask_finish(ask, ASK_CHANGED, "it is not as the request expects it");
    return false;
}

/* Permission and state of each, and what the engine fills in. */
static bool pass_items(struct ask *ask, const struct target *target, struct now now) {
    for (size_t i = 0; i < ask->count; i++) {
        struct constraint *constraint = ask->items[i];
        if (constraint->wish.priority > ask->asker.max_priority) {
            finish_item(ask, ASK_FORBIDDEN, i, "its priority is above what this token may set");
            return false;
        }
    }
    for (size_t i = 0; i < ask->count; i++) {
        struct constraint *constraint = ask->items[i];
        struct constraint room;
        const struct constraint *there =
            constraint->id[0] ? book_read(target->book, constraint->id, &room) : NULL;
        ask->replaces[i] = there != NULL;
        constraint->created_at = there ? there->created_at : now.wall;
        constraint->wish.rank = there ? there->wish.rank : 0;
        snprintf(constraint->created_by, sizeof constraint->created_by, "%s",
                 ask->asker.created_by);
        if (!expected(ask, there) || (there && !may_touch(ask, i, there)))
            return false;
        if (!there && constraint->id[0] && used_elsewhere(ask, constraint->id)) {
            finish_item(ask, ASK_CONFLICT, i,
                        "this id is that of a constraint on another device or cluster; take a new "
                        "one");
            return false;
        }
    }
    return true;
}

/* Room in the book, if need be that of scheduled ones of the same creator (ARBITRATION 9). What is
 * on its way to the disk counts. */
static bool find_room(struct ask *ask, const struct target *target) {
    struct book_admission admission = {.items = ask->items,
                                       .count = ask->count,
                                       .created_by = ask->asker.created_by,
                                       .max_priority = ask->asker.max_priority,
                                       .makes_way = ask->makes_way};
    struct ask *other;
    for (other = ask->engine->asks; other; other = other->next) {
        if (strcmp(other->target_id, ask->target_id) != 0)
            continue;
        bool own = strcmp(other->asker.created_by, ask->asker.created_by) == 0;
        for (size_t i = 0; i < other->count; i++) {
            admission.coming += !other->replaces[i];
            admission.coming_own += !other->replaces[i] && own;
        }
        for (size_t i = 0; i < other->makes_way_count; i++)
            if (admission.leaving_count < BOOK_LEAVING_MAXIMUM)
                admission.leaving[admission.leaving_count++] = other->makes_way[i];
    }
    if (book_admit(target->book, &admission) != ERR_OK) {
        char detail[200];
        snprintf(detail, sizeof detail,
                 "at most %d unexpired constraints on a device or cluster and %d of one creator; "
                 "delete one first",
                 CONSTRAINTS_PER_DEVICE, CONSTRAINTS_PER_CREATOR);
        ask_finish(ask, ASK_CONFLICT, detail);
        return false;
    }
    ask->makes_way_count = admission.makes_way_count;
    return true;
}

/* --- putting -------------------------------------------------------------------------------------
 */

static enum ask_result result_of_put(const struct ask *ask) {
    for (size_t i = 0; i < ask->count; i++)
        if (!ask->replaces[i])
            return ASK_CREATED;
    return ASK_REPLACED;
}

static void fill_answer(struct ask *ask) {
    struct ask_answer *answer = &ask->answer;
    for (size_t i = 0; i < ask->count; i++) {
        answer->items[i] = constraint_hold(ask->items[i]);
        answer->created[i] = !ask->replaces[i];
    }
    answer->count = ask->count;
    answer->makes_way_count = ask->makes_way_count;
    memcpy(answer->makes_way, ask->makes_way, sizeof answer->makes_way);
}

/* What it put into the store is not to be applied after all: in one transaction the new ones go,
 * and with them the receipt that told of them; what they replaced, or what made way for them, is
 * stored as the book has it. */
static void unstore(struct ask *ask, const struct book *book) {
    char removals[ASK_ITEMS_MAXIMUM][ID_SIZE];
    /* Those that make way are no more than are new. */
    struct constraint before[ASK_ITEMS_MAXIMUM], *puts[ASK_ITEMS_MAXIMUM];
    struct store_change back = {.target_id = ask->target_id,
                                .puts = puts,
                                .removals = (const char(*)[ID_SIZE])removals,
                                .forget = ask->receipt.owner[0] ? &ask->receipt : NULL};
    bool told = true;
    for (size_t i = 0; i < ask->count; i++) {
        struct constraint *room = &before[back.put_count];
        const struct constraint *there = book_read(book, ask->items[i]->id, room);
        if (there)
            puts[back.put_count++] = room;
        else if (!ask->replaces[i])
            memcpy(removals[back.removal_count++], ask->items[i]->id, ID_SIZE);
        told = ask_audit_change(ask, ask->items[i], there, &back.records) && told;
    }
    for (size_t i = 0; book && i < ask->makes_way_count; i++) {
        struct constraint *there = &before[back.put_count];
        if (back.put_count == ASK_ITEMS_MAXIMUM || !book_read(book, ask->makes_way[i], there))
            continue;
        puts[back.put_count++] = there;
        told = ask_audit_change(ask, NULL, there, &back.records) && told;
    }
    if (!told)
        log_error("store", "the audit log lacks that a change of %s was taken back",
                  ask->asker.created_by);
    if (store_change_constraints(ask->engine->store, &back, NULL, NULL) != ERR_OK)
        log_error("store",
                  "what was refused to %s (constraint %s and %zu more) stays stored: it "
                  "will be in force after a restart",
                  ask->asker.created_by, ask->items[0]->id, ask->count - 1);
}

/* The target is gone: what it replaces waits elsewhere for its return, and is what the store has.
 */
static void left_behind(struct ask *ask) {
    unstore(ask, NULL);
    for (size_t i = 0; i < ask->makes_way_count; i++)
        stash_remove(ask->engine, ask->makes_way[i]);
    for (size_t i = 0; i < ask->count; i++)
        if (ask->replaces[i]) {
            stash_remove(ask->engine, ask->items[i]->id);
            stash_row(ask->engine, ask->target_id, ask->items[i]);
        }
}

/* True when something that it replaces ended meanwhile, and so was removed from the store behind
 * it: then it is stored once more. The receipt is there already. */
static bool store_again(struct ask *ask, const struct target *target) {
    bool ended = false;
    for (size_t i = 0; i < ask->count; i++)
        if (ask->replaces[i] && !book_find(target->book, ask->items[i]->id)) {
            ask->replaces[i] = false;
            ended = true;
        }
    if (!ended)
        return false;
    ask->terms.receipt = NULL;
    ask->stored_before = true;
    ask_to_store(ask);
    return true;
}

/* It is applied, but not as its receipt says. */
static void forget_receipt(struct ask *ask) {
    const struct store_change forget = {.target_id = ask->target_id, .forget = &ask->receipt};
    if (ask->receipt.owner[0] &&
        store_change_constraints(ask->engine->store, &forget, NULL, NULL) != ERR_OK)
        log_error("store", "the receipt of %s stays: a repetition will be told that it is durable",
                  ask->asker.created_by);
}

static bool all_bounds(const struct ask *ask) {
    for (size_t i = 0; i < ask->count; i++)
        if (!constraint_bounds(ask->items[i]))
            return false;
    return true;
}

/* Out of the book. False: it is not there any more. */
static bool take_out(const struct target *target, const char *id) {
    struct constraint constraint;
    if (!book_read(target->book, id, &constraint))
        return false;
    bool was = book_remove(target->book, id) == ERR_OK;
    if (was && target->device)
        announce_gone(device_subject(target->device), "removed", &constraint);
    else if (was)
        announce_gone(cluster_subject(target->cluster), "removed", &constraint);
    return was;
}

static void make_way(struct ask *ask, const struct target *target) {
    for (size_t i = 0; i < ask->makes_way_count; i++) {
        log_info(target->path, "constraint %s makes way for a new one of %s", ask->makes_way[i],
                 ask->asker.created_by);
        if (!take_out(target, ask->makes_way[i]))
            log_debug(target->path, "constraint %s had ended already", ask->makes_way[i]);
    }
}

/* Into the book, whole: there is room and memory for all of them. */
static void apply(struct ask *ask, const struct target *target, const struct book_entry *ready) {
    const struct now now = clock_now(&ask->engine->clock);
    make_way(ask, target);
    for (size_t i = 0; i < ask->count; i++) {
        if (!ask->items[i]->durable)
            log_error(target->path,
                      "constraint %s is applied but NOT stored: a restart before the store can "
                      "write again loses it",
                      ask->items[i]->id);
        book_put_ready(target->book, &ready[i], now);
    }
    target_decide(target);
}

static void put_stored(struct ask *ask, enum err result) {
    const struct target target = ask_target(ask);
    if (ask->engine->stopping) {
        ask_finish(ask, ASK_BUSY, "the host is stopping; what is stored is applied at its start");
        return;
    }
    if (result == ERR_CONFLICT) {
        ask_finish(ask, ASK_REPEATED, "a request with this key was done before");
        return;
    }
    bool stored = result == ERR_OK || ask->stored_before;
    if (result != ERR_OK && !all_bounds(ask)) {
        if (stored)
            unstore(ask, target.book);
        ask_finish(ask, ASK_STORE_FAILED, "it could not be stored and is not applied");
        return;
    }
    if (!target.book) {
        if (stored)
            left_behind(ask);
        ask_finish(ask, ASK_NOT_FOUND, "it left the site meanwhile");
        return;
    }
    if (result == ERR_OK && store_again(ask, &target))
        return;
    struct book_entry ready[ASK_ITEMS_MAXIMUM];
    for (size_t i = 0; i < ask->count; i++)
        ask->items[i]->durable = result == ERR_OK;
    if (book_ready(target.book, ask->items, ask->count, ready) != ERR_OK) {
        if (stored)
            unstore(ask, target.book);
        ask_finish(ask, ASK_STORE_FAILED, "no memory: it is not applied");
        return;
    }
    if (result != ERR_OK && stored)
        forget_receipt(ask);
    struct audit_record *records = NULL;
    if (result != ERR_OK && ask_audit_changes(ask, target.book, &records)) {
        audit_records_not_durable(records);
        store_put_audit(ask->engine->store, records);
    }
    apply(ask, &target, ready);
    fill_answer(ask);
    ask_finish(ask, result == ERR_OK ? result_of_put(ask) : ASK_NOT_DURABLE, "");
}

void ask_put_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    if (ask->engine->stopping) {
        ask_finish(ask, ASK_BUSY, "the host is stopping");
        return;
    }
    const struct target target = ask_target(ask);
    struct now now = clock_now(&ask->engine->clock);
    if (!target.book) {
        ask_finish(ask, ASK_NOT_FOUND, "there is no such device or cluster");
        return;
    }
    if (ask_parked(ask) || !pass_door(ask, &target, now) || !pass_items(ask, &target, now) ||
        !find_room(ask, &target))
        return;
    uint64_t rank = ask->engine->last_rank;
    for (size_t i = 0; i < ask->count; i++) {
        if (!ask->items[i]->id[0])
            uuid_make(ask->items[i]->id);
        if (!ask->replaces[i])
            ask->items[i]->wish.rank = ++rank;
    }
    if (ask->terms.dry_run) {
        fill_answer(ask);
        ask_finish(ask, result_of_put(ask), "");
        return;
    }
    ask->engine->last_rank = rank;
    if (ask->terms.receipt && ask->terms.describe) {
        for (size_t i = 0; i < ask->count; i++)
            ask->items[i]->durable = true; /* when this is read, it is */
        ask->receipt.body = ask->terms.describe(ask->target_id, ask->items, ask->count, now.wall);
    }
    ask_to_store(ask);
}

/* --- removing ------------------------------------------------------------------------------------
 */

static void remove_stored(struct ask *ask, enum err result) {
    const struct target target = ask_target(ask);
    if (result != ERR_OK) {
        ask_finish(ask, ASK_STORE_FAILED,
                   "it could not be removed from the store and is still in force");
        return;
    }
    if (!target.book)
        stash_remove(ask->engine, ask->constraint_id);
    else if (take_out(&target, ask->constraint_id))
        target_decide(&target);
    ask_finish(ask, ASK_REMOVED, "");
}

void ask_remove_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    if (ask->engine->stopping) {
        ask_finish(ask, ASK_BUSY, "the host is stopping");
        return;
    }
    const struct target target = ask_target(ask);
    if (ask_parked(ask))
        return;
    struct constraint room;
    const struct constraint *there = book_read(target.book, ask->constraint_id, &room);
    if (!expected(ask, there))
        return;
    if (!there) {
        ask_finish(ask, ASK_NOT_FOUND, "there is no such constraint here");
        return;
    }
    if (!may_touch(ask, 0, there))
        return;
    if (ask->terms.dry_run) {
        ask_finish(ask, ASK_REMOVED, "");
        return;
    }
    log_debug(target.path, "constraint %s is to be removed", ask->constraint_id);
    ask_to_store(ask);
}

/* --- to the store and back -----------------------------------------------------------------------
 */

static void stored_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    switch (ask->kind) {
    case ASK_PUT:
        put_stored(ask, ask->stored);
        break;
    case ASK_REMOVE:
        remove_stored(ask, ask->stored);
        break;
    case ASK_KEEP:
        ask_kept(ask);
        break;
    }
}

/* On the store's thread. */
static void stored_done(void *context, enum err result) {
    struct ask *ask = context;
    ask->stored = result;
    if (inbox_post_end(&ask->engine->inbox, &ask->item) != ERR_OK)
        ask_finish(ask, ASK_BUSY, "the host is stopping; what is stored is applied at its start");
}

void ask_to_store(struct ask *ask) {
    const struct target target = ask_target(ask);
    struct audit_record *records = NULL;
    bool recorded = ask_audit_changes(ask, target.book, &records);
    bool removes = ask->kind == ASK_REMOVE;
    const struct store_change change = {
        .target_id = ask->target_id,
        .puts = ask->items,
        .put_count = ask->count,
        .removals = (const char(*)[ID_SIZE])(removes ? &ask->constraint_id : ask->makes_way),
        .removal_count = removes ? 1 : ask->makes_way_count,
        .receipt = ask->terms.receipt,
        .records = records};
    enter_flight(ask);
    ask->item.run = stored_run;
    enum err err = ERR_MEMORY;
    if (recorded)
        err = store_change_constraints(ask->engine->store, &change, stored_done, ask);
    if (err == ERR_OK)
        return;
    ask->stored = err;
    stored_run(&ask->item);
}
