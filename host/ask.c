/* Requests to the engine. One is counted by two owners, the asking thread and the engine, so that
 * either may leave first: the asker when his patience ends, the engine when the host stops.
 *
 * A new constraint takes this way: checked against the door and the book on the loop, put to the
 * store, and only when it is on disk (or the store has failed and it is a bound) put into the book
 * and decided. While it waits for the disk it counts towards the maximum. */
#include "ask.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster.h"
#include "device.h"
#include "engine.h"
#include "stash.h"

enum ask_kind { ASK_PUT, ASK_REMOVE };

struct ask {
    struct inbox_item item; /* first: the inbox gives it back, with the request, then its end */
    atomic_int owners;
    struct engine *engine;
    enum ask_kind kind;
    char target_id[ID_SIZE]; /* of the device or cluster */
    char constraint_id[ID_SIZE];
    struct asker asker;
    struct constraint *constraint; /* the draft, then what was stored */
    bool replaces;
    enum err stored; /* what the store said */
    struct ask_answer answer;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
};

void ask_answer_free(struct ask_answer *answer) {
    report_free(&answer->mistakes);
    constraint_release(answer->constraint);
    answer->constraint = NULL;
}

static void ask_release(struct ask *ask) {
    if (atomic_fetch_sub(&ask->owners, 1) != 1)
        return;
    ask_answer_free(&ask->answer);
    constraint_release(ask->constraint);
    pthread_mutex_destroy(&ask->lock);
    pthread_cond_destroy(&ask->done);
    free(ask);
}

static void finish(struct ask *ask, enum ask_result result, const char *detail) {
    pthread_mutex_lock(&ask->lock);
    ask->answer.result = result;
    snprintf(ask->answer.detail, sizeof ask->answer.detail, "%s", detail);
    ask->is_done = true;
    pthread_cond_signal(&ask->done);
    pthread_mutex_unlock(&ask->lock);
    ask_release(ask);
}

/* --- on the loop ---------------------------------------------------------------------------------
 */

/* What the constraint is on, found anew each time: it may have left meanwhile. */
struct target {
    struct device *device;   /* or */
    struct cluster *cluster; /* or neither: it is not there */
    struct book *book;       /* NULL then */
    size_t *waiting_puts;
    const char *path; /* its name in the log */
};

static struct target ask_target(struct ask *ask) {
    struct target target = {.device = engine_device_by_id(ask->engine, ask->target_id)};
    if (target.device) {
        target.book = &target.device->book;
        target.waiting_puts = &target.device->waiting_puts;
        target.path = target.device->site.path;
        return target;
    }
    target.cluster = engine_cluster_by_id(ask->engine, ask->target_id);
    if (target.cluster) {
        target.book = &target.cluster->book;
        target.waiting_puts = &target.cluster->waiting_puts;
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

static void target_decide(const struct target *target) {
    if (target->device)
        device_decide_changed(target->device);
    else
        cluster_decide_changed(target->cluster);
}

static void remove_now(struct ask *ask, const struct target *target, const char *id) {
    if (store_remove_constraint(ask->engine->store, id, NULL, NULL))
        log_warning(target->path, "constraint %s stays in the store for now", id);
    if (book_remove(target->book, id) != ERR_OK)
        log_warning(target->path, "constraint %s had ended already", id);
}

/* Room in the book, if need be that of a scheduled one of the same creator (ARBITRATION 9). What
 * still waits for the disk counts. */
static bool room_for(struct ask *ask, const struct target *target) {
    const struct constraint *victim = NULL;
    enum err err = book_admit(target->book, ask->constraint, &victim);
    if (err == ERR_OK && target->book->count + *target->waiting_puts >= CONSTRAINTS_PER_DEVICE)
        err = victim ? ERR_OK : ERR_FULL;
    if (err != ERR_OK) {
        char detail[200];
        snprintf(detail, sizeof detail,
                 "at most %d unexpired constraints on a device or cluster and %d of one creator; "
                 "delete one first",
                 CONSTRAINTS_PER_DEVICE, CONSTRAINTS_PER_CREATOR);
        finish(ask, ASK_CONFLICT, detail);
        return false;
    }
    if (victim) {
        char id[ID_SIZE];
        snprintf(id, sizeof id, "%s", victim->id);
        log_info(target->path, "constraint %s makes way for a new one of %s", id,
                 ask->asker.created_by);
        remove_now(ask, target, id);
    }
    return true;
}

/* Whether the asker may touch what is already there under this id. */
static bool may_touch(struct ask *ask, const struct constraint *there) {
    char detail[200];
    if (there->policy_key[0]) {
        snprintf(detail, sizeof detail,
                 "it is a proposal of %s and lives by that policy; change the policy instead",
                 there->created_by);
        finish(ask, ASK_CONFLICT, detail);
        return false;
    }
    if (there->wish.priority > ask->asker.max_priority) {
        snprintf(detail, sizeof detail,
                 "its priority %d is above %d, the highest that this token may set or change",
                 there->wish.priority, ask->asker.max_priority);
        finish(ask, ASK_FORBIDDEN, detail);
        return false;
    }
    return true;
}

static void to_store(struct ask *ask);

static void put_stored(struct ask *ask, enum err result) {
    const struct target target = ask_target(ask);
    struct constraint *constraint = ask->constraint;
    if (ask->engine->stopping) {
        finish(ask, ASK_BUSY, "the host is stopping; what is stored is applied at its start");
        return;
    }
    if (target.book && *target.waiting_puts) /* not if it was built anew meanwhile */
        --*target.waiting_puts;
    if (result != ERR_OK && !constraint_bounds(constraint)) {
        finish(ask, ASK_STORE_FAILED, "it could not be stored and is not applied");
        return;
    }
    if (!target.book) {
        if (result == ERR_OK &&
            store_remove_constraint(ask->engine->store, constraint->id, NULL, NULL))
            log_warning("store", "constraint %s of what is gone stays for now", constraint->id);
        finish(ask, ASK_NOT_FOUND, "it left the site meanwhile");
        return;
    }
    if (result == ERR_OK && ask->replaces && !book_find(target.book, constraint->id)) {
        /* What it replaces ended meanwhile, and so was removed from the store behind it. */
        ask->replaces = false;
        ++*target.waiting_puts;
        to_store(ask);
        return;
    }
    constraint->durable = result == ERR_OK;
    if (!constraint->durable)
        log_error(target.path,
                  "constraint %s is applied but NOT stored: it will be lost at a "
                  "restart",
                  constraint->id);
    if (book_put(target.book, constraint, clock_now(&ask->engine->clock)) != ERR_OK) {
        finish(ask, ASK_STORE_FAILED, "no memory: it is stored, but not applied before a restart");
        return;
    }
    target_decide(&target);
    ask->answer.constraint = constraint_hold(constraint);
    finish(ask,
           !constraint->durable ? ASK_NOT_DURABLE
           : ask->replaces      ? ASK_REPLACED
                                : ASK_CREATED,
           "");
}

static void remove_stored(struct ask *ask, enum err result) {
    const struct target target = ask_target(ask);
    if (result != ERR_OK) {
        finish(ask, ASK_STORE_FAILED,
               "it could not be removed from the store and is still in force");
        return;
    }
    if (!target.book)
        stash_remove(ask->engine, ask->constraint_id);
    else if (book_remove(target.book, ask->constraint_id) == ERR_OK)
        target_decide(&target);
    finish(ask, ASK_REMOVED, "");
}

static void stored_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    if (ask->kind == ASK_PUT)
        put_stored(ask, ask->stored);
    else
        remove_stored(ask, ask->stored);
}

/* On the store's thread. */
static void stored_done(void *context, enum err result) {
    struct ask *ask = context;
    ask->stored = result;
    if (inbox_post_end(&ask->engine->inbox, &ask->item) != ERR_OK)
        finish(ask, ASK_BUSY, "the host is stopping; what is stored is applied at its start");
}

static void to_store(struct ask *ask) {
    ask->item.run = stored_run;
    enum err err =
        ask->kind == ASK_PUT
            ? store_put_constraint(ask->engine->store, ask->target_id, ask->constraint, stored_done,
                                   ask)
            : store_remove_constraint(ask->engine->store, ask->constraint_id, stored_done, ask);
    if (err == ERR_OK)
        return;
    ask->stored = err;
    stored_run(&ask->item);
}

static void put_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    const struct target target = ask_target(ask);
    struct constraint *constraint = ask->constraint;
    struct now now = clock_now(&ask->engine->clock);
    if (!target.book) {
        finish(ask, ASK_NOT_FOUND, "there is no such device or cluster");
        return;
    }
    const struct door door = target_door(ask, &target);
    if (!constraint_check(constraint, &door, now, &ask->answer.mistakes)) {
        finish(ask, ASK_INVALID, "the constraint cannot be accepted");
        return;
    }
    if (constraint->wish.priority > ask->asker.max_priority) {
        finish(ask, ASK_FORBIDDEN, "its priority is above what this token may set");
        return;
    }
    const struct book_entry *there =
        constraint->id[0] ? book_find(target.book, constraint->id) : NULL;
    ask->replaces = there != NULL;
    constraint->created_at = there ? there->constraint->created_at : now.wall;
    snprintf(constraint->created_by, sizeof constraint->created_by, "%s", ask->asker.created_by);
    if (there && !may_touch(ask, there->constraint))
        return;
    if (!there && !room_for(ask, &target))
        return;
    if (!constraint->id[0])
        uuid_make(constraint->id);
    constraint->wish.rank = there ? there->constraint->wish.rank : ++ask->engine->last_rank;
    ++*target.waiting_puts;
    to_store(ask);
}

static void remove_run(struct inbox_item *item) {
    struct ask *ask = (struct ask *)item;
    const struct target target = ask_target(ask);
    const struct book_entry *there =
        target.book ? book_find(target.book, ask->constraint_id) : NULL;
    if (!there) {
        finish(ask, ASK_NOT_FOUND, "there is no such constraint here");
        return;
    }
    if (!may_touch(ask, there->constraint))
        return;
    log_debug(target.path, "constraint %s is to be removed", ask->constraint_id);
    to_store(ask);
}

/* --- on the asking thread ------------------------------------------------------------------------
 */

static struct ask *ask_new(struct engine *engine, enum ask_kind kind, const char *target_id,
                           const struct asker *asker) {
    struct ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return NULL;
    atomic_init(&ask->owners, 2);
    ask->engine = engine;
    ask->kind = kind;
    ask->asker = *asker;
    snprintf(ask->target_id, sizeof ask->target_id, "%s", target_id);
    report_init(&ask->answer.mistakes);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ask->done, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&ask->lock, NULL);
    return ask;
}

/* Sleeps until done or out of patience, and moves the answer to the caller. */
static void ask_wait(struct ask *ask, int64_t patience_ms, struct ask_answer *answer) {
    int64_t until_ms = clock_mono().ms + patience_ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&ask->lock);
    int late = 0;
    while (!ask->is_done && !late)
        late = pthread_cond_timedwait(&ask->done, &ask->lock, &until);
    if (ask->is_done) {
        *answer = ask->answer;
        ask->answer = (struct ask_answer){0};
    } else {
        *answer = (struct ask_answer){.result = ASK_BUSY};
        snprintf(
            answer->detail, sizeof answer->detail,
            "the host did not answer in time; it may still be applied: look before you repeat");
    }
    pthread_mutex_unlock(&ask->lock);
}

static void ask_go(struct ask *ask, int64_t patience_ms, struct ask_answer *answer) {
    enum err err = ask ? inbox_post(&ask->engine->inbox, &ask->item) : ERR_MEMORY;
    if (err == ERR_OK) {
        ask_wait(ask, patience_ms, answer);
        ask_release(ask);
        return;
    }
    *answer = (struct ask_answer){.result = ASK_BUSY};
    snprintf(answer->detail, sizeof answer->detail, "the host is %s",
             err == ERR_CLOSED ? "stopping" : "too busy; nothing was changed");
    if (ask) {
        atomic_store(&ask->owners, 1);
        ask_release(ask);
    }
}

void ask_put_constraint(struct engine *engine, const char *target_id,
                        const struct constraint *draft, const struct asker *asker,
                        int64_t patience_ms, struct ask_answer *answer) {
    struct ask *ask = ask_new(engine, ASK_PUT, target_id, asker);
    if (ask) {
        ask->item.run = put_run;
        ask->constraint = constraint_new(draft);
        if (!ask->constraint) {
            atomic_store(&ask->owners, 1);
            ask_release(ask);
            ask = NULL;
        }
    }
    ask_go(ask, patience_ms, answer);
}

void ask_remove_constraint(struct engine *engine, const char *target_id, const char *constraint_id,
                           const struct asker *asker, int64_t patience_ms,
                           struct ask_answer *answer) {
    struct ask *ask = ask_new(engine, ASK_REMOVE, target_id, asker);
    if (ask) {
        ask->item.run = remove_run;
        snprintf(ask->constraint_id, sizeof ask->constraint_id, "%s", constraint_id);
    }
    ask_go(ask, patience_ms, answer);
}
