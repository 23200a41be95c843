/* What must survive: ids, constraints, tokens, the identity seen first, gates, policy state, the
 * last trusted wall time. One SQLite file, `derd.db` (WAL, synchronous FULL), written by one thread
 * that owns the only connection that writes; what waits together is committed together.
 *
 * Operations are submitted from any thread; `done` runs on the store's thread after fsync (or after
 * failure) and must only hand the result on. Reading happens at start, before the thread runs. */
#ifndef DERD_STORE_H
#define DERD_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/report.h"
#include "constraint.h"

#define STORE_SCHEMA        1
#define STORE_QUEUE_MAXIMUM 4096

struct store;

/* Opens or makes `directory`/derd.db, takes the lock file (ERR_CONFLICT: another host runs on it),
 * migrates, checks integrity. Mistakes are texts for people. */
must_check enum err store_open(struct store **store, const char *directory, struct report *report);
/* Finishes what is queued, closes. */
void store_close(struct store *store);

typedef void store_done(void *context, enum err result);

/* Each is copied at once; ERR_FULL when STORE_QUEUE_MAXIMUM wait (then `done` is not called).
 * `done` may be NULL. */
must_check enum err store_put_constraint(struct store *store, const char *device_id,
                                         const struct constraint *constraint, store_done *done,
                                         void *context);
must_check enum err store_remove_constraint(struct store *store, const char *constraint_id,
                                            store_done *done, void *context);
/* Anything else that is one text by one key: gates, identities, policy state, the last wall time.
 * value NULL removes. */
must_check enum err store_put_text(struct store *store, const char *kind, const char *key,
                                   const char *value, store_done *done, void *context);

/* Before the first submit only. */
typedef void store_constraint_row(void *context, const char *device_id,
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
 * a store of its own by the command, or by the host for the local socket. */
must_check enum err store_token_create(struct store *store, const char *name, const char *account,
                                       int32_t max_priority, char text[TOKEN_TEXT_SIZE]);
must_check enum err store_token_revoke(struct store *store, const char *id);
/* All tokens, to be freed. Any thread (a lock inside; read-mostly). */
must_check enum err store_token_list(struct store *store, struct token **tokens, size_t *count);
/* Looks a presented token up, constant time in the hash. Any thread. */
bool store_token_check(struct store *store, const char *text, struct token *token);

#endif
