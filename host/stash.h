/* Constraints whose device or cluster is not (or not yet) in the site: they wait here, by its id,
 * and go into its book when it comes. Engine thread. */
#ifndef DERD_STASH_H
#define DERD_STASH_H

#include "book.h"

struct engine;

struct stashed {
    struct stashed *next;
    char target_id[ID_SIZE]; /* of the device or cluster */
    struct constraint *constraint;
};

/* A copy of what the store holds. */
void stash_row(void *context, const char *target_id, const struct constraint *constraint);
/* What waits for it goes into its book. `path`: its name in the log. */
void stash_take(struct engine *engine, const char *target_id, struct book *book, const char *path);
/* The opposite, of all that is not a policy's: its owner leaves. */
void stash_keep(struct engine *engine, const char *target_id, const struct book *book);
/* Takes one out that was removed meanwhile. */
void stash_remove(struct engine *engine, const char *constraint_id);
/* All of a device or cluster that will never be back, from the store too. */
void stash_forget(struct engine *engine, const char *target_id);
void stash_free(struct engine *engine);

#endif
