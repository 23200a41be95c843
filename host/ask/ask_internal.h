/* What the parts of ask.h share: ask.c (the life of a request, between threads), ask_constraints.c
 * (what becomes of it on the loop) and ask_keep.c (what the engine asks of itself). Nobody else
 * includes this. */
#ifndef DERD_ASK_INTERNAL_H
#define DERD_ASK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "ask/ask.h"
#include "ask/inbox.h"
#include "store/store.h"

enum ask_kind { ASK_PUT, ASK_REMOVE, ASK_KEEP };

struct ask {
    struct inbox_item item; /* first: the inbox gives it back, with the request, then its end */
    atomic_int owners;
    struct engine *engine;
    enum ask_kind kind;
    char target_id[ID_SIZE];     /* of the device or cluster */
    char constraint_id[ID_SIZE]; /* of a removal */
    struct asker asker;
    struct ask_terms terms;
    struct receipt receipt; /* terms.receipt points here, or nowhere */
    size_t count;
    struct constraint *items[ASK_ITEMS_MAXIMUM]; /* the drafts, then what was stored */
    bool replaces[ASK_ITEMS_MAXIMUM];
    size_t makes_way_count;
    char makes_way[ASK_ITEMS_MAXIMUM][ID_SIZE];
    /* While it is on its way to the disk it stands in the engine's list; who touches the same
     * constraints waits behind it, in order. */
    struct ask *next;
    struct ask *behind_first, *behind_last;
    bool in_flight;
    enum err stored;    /* what the store said */
    bool stored_before; /* once, with the receipt; it is stored again */
    struct ask_answer answer;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
};

#define ASKS_MAXIMUM 1024 /* on their way to the disk, and behind these */

/* The answer is whole. Whoever waited behind goes on. Loop's thread, or the store's once the host
 * is stopping. */
void ask_finish(struct ask *ask, enum ask_result result, const char *detail);

/* One that nobody waits for; NULL without memory. */
struct ask *ask_new_own(struct engine *engine, enum ask_kind kind, const char *target_id);

/* ask_constraints.c, as items of the inbox. */
void ask_put_run(struct inbox_item *item);
void ask_remove_run(struct inbox_item *item);

/* What the constraint is on, found anew each time: it may have left meanwhile. */
struct target {
    struct device *device;   /* or */
    struct cluster *cluster; /* or neither: it is not there */
    struct book *book;       /* NULL then */
    const char *path;        /* its name in the log */
};

struct target ask_target(const struct ask *ask);
void target_decide(const struct target *target);
/* True when it waits behind another, or was refused since too many do. */
bool ask_parked(struct ask *ask);
/* Its change goes to the store; stored_run() or, of ASK_KEEP, ask_kept() comes after. */
void ask_to_store(struct ask *ask);

/* ask_keep.c */
void ask_kept(struct ask *ask);

#endif
