/* What must survive: ids, constraints, tokens, the identity seen first, gates, policy state, the
 * last trusted wall time. One SQLite file, `derd.db` (WAL, synchronous FULL), written by one thread
 * that owns the only connection that writes; what waits together is committed together.
 *
 * Operations are submitted from any thread; `done` runs on the store's thread after fsync (or after
 * failure) and must only hand the result on. What reads, and what is said to block, waits for that
 * thread: any thread but the store's may call it (so never from `done`), in any order with the
 * rest; it sees what was submitted before. */
#ifndef DERD_STORE_H
#define DERD_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/report.h"
#include "constraint.h"

#define STORE_SCHEMA        2
#define STORE_QUEUE_MAXIMUM 4096
#define STORE_KEY_MAXIMUM   512     /* bytes of a kind, key or path */
#define STORE_TEXT_MAXIMUM  1048576 /* bytes of a value */

struct store;

/* Opens or makes `directory`/derd.db, takes the lock file (ERR_CONFLICT: another host runs on it),
 * checks integrity (ERR_FORMAT: damaged, or not ours), migrates (ERR_REFUSED: written by a newer
 * program). Mistakes are texts for people. A process that forks must do so before: a child that
 * lives on keeps the lock. */
must_check enum err store_open(struct store **store, const char *directory, struct report *report);
/* Finishes what is queued, closes. */
void store_close(struct store *store);

typedef void store_done(void *context, enum err result);

/* `target_id`: of the device, or of the cluster when the constraint has a scope.
 * Each is copied at once; ERR_FULL when STORE_QUEUE_MAXIMUM wait, or 32 MiB. After any error
 * `done` is not called. `done` may be NULL. It gets ERR_IO when the row could not be written.
 *
 * ERR_REFUSED: a policy's proposal, which is never kept. ERR_RANGE: a state of charge that is not
 * a number, a rank above INT64_MAX. The gates' states in the wish are not kept here. */
must_check enum err store_put_constraint(struct store *store, const char *target_id,
                                         const struct constraint *constraint, store_done *done,
                                         void *context);
/* ERR_OK also when there was none. */
must_check enum err store_remove_constraint(struct store *store, const char *constraint_id,
                                            store_done *done, void *context);
/* Removes those that ended more than 25 h ago, whoever made them. ERR_REFUSED: the clock cannot be
 * trusted, so nothing can be said about their end. */
must_check enum err store_prune_constraints(struct store *store, struct now now, store_done *done,
                                            void *context);
/* Anything else that is one text by one key: gates, identities, policy state, the last wall time.
 * value NULL removes. ERR_LIMIT: longer than STORE_KEY_MAXIMUM, STORE_TEXT_MAXIMUM. */
must_check enum err store_put_text(struct store *store, const char *kind, const char *key,
                                   const char *value, store_done *done, void *context);

/* Calls `row` for each, ended ones too, by rank, on the store's thread while the caller waits. The
 * constraint is lent for the call (constraint_new() copies it); `durable` is set. */
typedef void store_constraint_row(void *context, const char *target_id,
                                  const struct constraint *constraint);
must_check enum err store_load_constraints(struct store *store, store_constraint_row *row,
                                           void *context);
/* The value, to be freed; NULL when there is none. */
char *store_get_text(struct store *store, const char *kind, const char *key);
/* The UUID that belongs to a cluster or device of the site file, by its path ("home",
 * "home/wallbox"): found, or made and kept. Blocking; at start and at site changes. */
must_check enum err store_id(struct store *store, const char *kind, const char *path,
                             char id[ID_SIZE]);
/* The largest wish.rank ever given. */
uint64_t store_last_rank(struct store *store);

/* True while the last commits fail; the text says why. Any thread. */
bool store_failing(struct store *store, char *why, size_t why_size);

void uuid_make(char id[ID_SIZE]);  /* random, version 4 */
bool uuid_valid(const char *text); /* 8-4-4-4-12 hexadecimal, any case */

/* --- tokens ------------------------------------------------------------------------------------
 */

#define TOKEN_TEXT_SIZE 80 /* "derd_" + 12 characters of id + "_" + 43 of secret, NUL */
#define TOKEN_NAME_SIZE 65

struct token { /* what is known of one; the secret is not kept */
    char id[16];
    char name[TOKEN_NAME_SIZE];
    char account[65];
    int32_t max_priority;
    struct wall created_at;
    unsigned char hash[32]; /* BLAKE2b-256 of the whole token text (libsodium crypto_generichash) */
};

/* Makes a token, durable before it returns; `text` is shown once and forgotten. Blocking: called on
 * a store of its own by the command, or by the host's workers for the local socket. `name` NULL:
 * named by its id; `account` NULL: "owner". ERR_CONFLICT: the name is taken. ERR_FORMAT: a name or
 * account that is empty, too long or has control characters. ERR_RANGE: a negative priority.
 * ERR_LIMIT: there are 256. */
must_check enum err store_token_create(struct store *store, const char *name, const char *account,
                                       int32_t max_priority, char text[TOKEN_TEXT_SIZE]);
/* Durable before it returns, no longer accepted from then on. Blocking. */
must_check enum err store_token_revoke(struct store *store, const char *id);
/* All tokens, to be freed. Any thread (a lock inside; read-mostly). */
must_check enum err store_token_list(struct store *store, struct token **tokens, size_t *count);
/* Looks a presented token up, constant time in the hash. Any thread. */
bool store_token_check(struct store *store, const char *text, struct token *token);

#endif
