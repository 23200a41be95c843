/* Constraints whose device or cluster is not (or not yet) in the site: they wait here, by its id,
 * and go into its book when it comes. Engine thread. */
#ifndef DERD_STASH_H
#define DERD_STASH_H

#include "book.h"

struct engine;

struct stashed {
    struct stashed *next;    /* in its bucket */
    char target_id[ID_SIZE]; /* of the device or cluster */
    /* While all are loaded: how many come, and where they are put together. */
    size_t coming;
    struct sheet *sheet;
    struct book book; /* with what its clocks have seen, when it was in use before */
};

struct stash { /* by target_id; all zero: empty */
    struct stashed **buckets;
    size_t bucket_count, count;
    int64_t
        made_ms; /* the latest moment at which one that was loaded was made, or began if earlier */
};

/* A copy of what the store holds. */
void stash_row(struct engine *engine, const char *target_id, const struct constraint *constraint);
/* All that the store holds, at the start. The host's time is not known yet. Blocking. */
must_check enum err stash_load(struct engine *engine);
/* What waits for it becomes its book, which is empty until then, and goes on as it was. */
void stash_take(struct engine *engine, const char *target_id, struct book *book);
/* The opposite, of all that is not a policy's: its owner leaves. `book` is empty afterwards. */
void stash_keep(struct engine *engine, const char *target_id, struct book *book);
/* Whether one waits under this id. */
bool stash_has(const struct engine *engine, const char *constraint_id);
/* To be called after each advance of the book: the store keeps when what runs on the monotonic
 * clock ends, so that neither a restart of the host nor a while without its owner leaves it to the
 * wall clock. As good as that clock: until the system starts anew. */
void stash_keep_ends(struct engine *engine, const char *target_id, struct book *book);
/* Takes one out that was removed meanwhile. */
void stash_remove(struct engine *engine, const char *constraint_id);
/* All of a device or cluster that will never be back, from the store too. */
void stash_forget(struct engine *engine, const char *target_id);
void stash_free(struct engine *engine);

#endif
