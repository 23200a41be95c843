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
#include "base/figure.h"
#include "base/histogram.h"
#include "base/report.h"
#include "constraint.h"
#include "token.h"

#define STORE_SCHEMA         9
#define STORE_QUEUE_MAXIMUM  4096
#define STORE_KEY_MAXIMUM    512     /* bytes of a kind, key or path */
#define STORE_TEXT_MAXIMUM   1048576 /* bytes of a value */
#define STORE_CHANGE_MAXIMUM 64      /* constraints put, and removed, in one change */

#define STORE_DETAIL_SIZE 1000 /* bytes that hold any text of store_failing() */

#define STORE_RESTORE_MARK "restoring" /* a file in the folder: a restore did not end */

struct store;
struct audit_record; /* store_audit.h: goes with a change, taken over in any case; NULL: none */

/* Opens or makes `directory`/derd.db, takes the lock file (ERR_CONFLICT: another host runs on it),
 * checks integrity (ERR_FORMAT: damaged, or not ours), migrates (ERR_REFUSED: written by a newer
 * program). A file that can be read but not written is read: store_failing() says why, what is to
 * be written fails, until it can be. Mistakes are texts for people. A process that forks must do so
 * before: a child that lives on keeps the lock. */
must_check enum err store_open(struct store **store, const char *directory, struct report *report);
/* The same for the host that serves: a file of ours that is damaged is read, row by row, as far as
 * it can be, and never written, renamed or replaced. What was read is served from memory; what is
 * to be written fails (ERR_IO), for as long as the store is open. Ids and accounts that the site
 * file needs and that could not be read are made in memory. A file that is no database, another
 * program's or a newer one's is refused all the same. */
must_check enum err store_open_damaged_too(struct store **store, const char *directory,
                                           struct report *report);
/* Whether it was found damaged when it was opened. Any thread. */
bool store_damaged(const struct store *store);
#define STORE_DAMAGED_ADVICE                                                                       \
    "keep a copy of the whole folder, stop derd and run `derd restore BACKUP`; without a backup, " \
    "move derd.db and derd.db-wal away: then all constraints, tokens, passwords, accounts and "    \
    "what the API made are gone"
/* Looks, without changing anything, whether what is in `directory` is damaged: ERR_FORMAT, with
 * words. */
must_check enum err store_examine(const char *directory, struct report *report);
/* Finishes what is queued, closes. */
void store_close(struct store *store);
/* Takes the lock that an open store holds on its folder, which is made when it is missing: while
 * *lock_fd is open no host runs on it. ERR_CONFLICT: one does. */
must_check enum err store_folder_lock(const char *directory, int *lock_fd, struct report *report);

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
/* Several at once, in one transaction: all of it or nothing is kept. */
struct store_change {
    const char *target_id; /* of the device, or of the cluster when the constraints have a scope */
    struct constraint *const *puts;
    size_t put_count; /* 0..STORE_CHANGE_MAXIMUM */
    const char (*removals)[ID_SIZE];
    size_t removal_count;
    /* ERR_CONFLICT, and nothing is kept, when there is one with its owner and key that is younger
     * than RECEIPT_KEPT_MS. NULL: none. */
    const struct receipt *receipt;
    /* The one of this owner and key goes: what it told of is taken back. NULL: none. */
    const struct receipt *forget;
    struct audit_record *records; /* of the change; taken over. NULL: none */
};
must_check enum err store_change_constraints(struct store *store, const struct store_change *change,
                                             store_done *done, void *context);
/* ERR_OK also when there was none. */
must_check enum err store_remove_constraint(struct store *store, const char *constraint_id,
                                            store_done *done, void *context);
/* Removes those that ended more than 25 h ago, whoever made them, but for what runs on the
 * monotonic clock of `boot` (clock.h; the text "ends" of its target, stash.h): the wall clock may
 * have stepped. ERR_REFUSED: it cannot be trusted, so nothing can be said about their end. */
must_check enum err store_prune_constraints(struct store *store, struct now now, const char *boot,
                                            store_done *done, void *context);
/* Anything else that is one text by one key: gates, identities, policy state, the last wall time.
 * value NULL removes. ERR_LIMIT: longer than STORE_KEY_MAXIMUM, STORE_TEXT_MAXIMUM. */
must_check enum err store_put_text(struct store *store, const char *kind, const char *key,
                                   const char *value, store_done *done, void *context);

/* Calls `row` for each, ended ones too, as they come, on the store's thread while the caller waits.
 * The constraint is lent for the call (constraint_new() copies it); `durable` is set. */
typedef void store_constraint_row(void *context, const char *target_id,
                                  const struct constraint *constraint);
must_check enum err store_load_constraints(struct store *store, store_constraint_row *row,
                                           void *context);
/* The value, to be freed; NULL when there is none. */
char *store_get_text(struct store *store, const char *kind, const char *key);
/* All of one kind, lent for the call, on the store's thread while the caller waits. */
typedef void store_text_row(void *context, const char *key, const char *value);
must_check enum err store_load_texts(struct store *store, const char *kind, store_text_row *row,
                                     void *context);
/* The UUID that belongs to a cluster or device of the site file, by its path ("home",
 * "home/wallbox"): found, or made and kept. Blocking; at start and at site changes. */
must_check enum err store_id(struct store *store, const char *kind, const char *path,
                             char id[ID_SIZE]);
/* The id of the cluster that `which` (an id or a key) names, of the site file or of the API.
 * Blocking. ERR_NOT_FOUND: none is known. ERR_CONFLICT: two had this key; name one by its id. */
must_check enum err store_cluster_find(struct store *store, const char *which, char id[ID_SIZE]);
/* The largest wish.rank ever given, once the constraints were loaded: the file counts those of
 * constraints that are gone. */
uint64_t store_last_rank(struct store *store);

struct store_figures {
    figure_t commits,
        failures;            /* of transactions; one that is tried again row by row is a failure */
    struct histogram commit; /* how long each COMMIT took: the disk */
    figure_t waiting;        /* operations in the queue when it was taken last */
};
/* Any thread. */
const struct store_figures *store_figures(const struct store *store);
/* True while the last commits fail; the text says why. Any thread. */
bool store_failing(struct store *store, char *why, size_t why_size);

/* --- accounts ----------------------------------------------------------------------------------
 * A tree: an account controls its own clusters and those of the accounts below it. All of them are
 * in memory; what asks takes a read lock for a moment, what changes blocks until it is on disk. */

#define ACCOUNT_NAME_SIZE 129
#define ACCOUNT_ROOT      "owner" /* key of the account above all others */
#define ACCOUNTS_MAXIMUM  1000

struct account {
    char id[ID_SIZE];
    char key[ACCOUNT_KEY_SIZE]; /* for good; the same as the id when nobody chose one */
    char name[ACCOUNT_NAME_SIZE];
    char parent[ACCOUNT_KEY_SIZE]; /* key of the one above; "" for the root */
    int64_t revision;              /* 1, and one more with each change */
    struct wall created_at;
};

/* By id or key. Any thread. */
bool store_account_find(struct store *store, const char *which, struct account *account);
/* Whether `above` is the account `key` or one above it. False when there is no such account, but
 * for the root, which controls everything. Any thread. */
bool store_account_controls(struct store *store, const char *above, const char *key);
/* All, by age, to be freed. Any thread. */
must_check enum err store_account_list(struct store *store, struct account **accounts,
                                       size_t *count);
/* `account` with key ("": its id), name and parent; the rest is filled in. ERR_CONFLICT: the key is
 * taken. ERR_NOT_FOUND: no such parent. ERR_LIMIT: there are ACCOUNTS_MAXIMUM. */
must_check enum err store_account_create(struct store *store, struct account *account,
                                         struct audit_record *record);
/* New name and parent of the one with this id; `account->revision`: the one that it must still
 * have, 0 for any, and the new one afterwards. ERR_CONFLICT: another revision. ERR_NOT_FOUND: it or
 * the parent is not there. ERR_REFUSED: the parent is itself or below it, or it is the root. */
must_check enum err store_account_change(struct store *store, struct account *account,
                                         struct audit_record *record);
/* With its tokens and its password. ERR_REFUSED: it has clusters, webhooks or accounts below it, or
 * is the root. */
must_check enum err store_account_remove(struct store *store, const char *id, int64_t revision,
                                         struct audit_record *record);
/* Makes an account below the root unless there is one of this key. For those that the site file
 * names. */
must_check enum err store_account_ensure(struct store *store, const char *key);

/* --- what the API made of the site -------------------------------------------------------------
 */

struct stored_thing { /* a cluster or a device */
    bool is_device;
    const char *id, *key;
    const char *owner;     /* a cluster's account (key), a device's cluster (id) */
    const char *parent_id; /* of a cluster; "": none */
    const char *entry;     /* JSON, with the fields of the site file's entry */
    int64_t revision;
    struct wall created_at;
    struct audit_record *record;
};

/* Creates or replaces, by id; copied at once. `done` gets ERR_NOT_FOUND when a cluster's account is
 * not there. ERR_FULL, ERR_LIMIT as above. */
must_check enum err store_put_thing(struct store *store, const struct stored_thing *thing,
                                    store_done *done, void *context);
/* ERR_OK also when there was none. */
must_check enum err store_remove_thing(struct store *store, bool is_device, const char *id,
                                       struct audit_record *record, store_done *done,
                                       void *context);
/* Clusters, then devices, each by age; lent for the call, on the store's thread. */
typedef void store_thing_row(void *context, const struct stored_thing *thing);
must_check enum err store_load_things(struct store *store, store_thing_row *row, void *context);
/* --- receipts -----------------------------------------------------------------------------------
 * Of requests that carried an Idempotency-Key: what was asked and what was answered, so that a
 * repetition is answered alike and done once. Kept a day, at most RECEIPTS_MAXIMUM and
 * RECEIPTS_BYTES of bodies of one owner (the oldest go first). */

#define RECEIPT_OWNER_SIZE   16
#define RECEIPT_KEY_SIZE     201
#define RECEIPT_KEPT_MS      (INT64_C(24) * 3600 * 1000)
#define RECEIPT_BODY_MAXIMUM 131072 /* a longer body is not kept, the rest is */
#define RECEIPTS_MAXIMUM     2000
#define RECEIPTS_BYTES       (8 << 20)

struct receipt {
    char owner[RECEIPT_OWNER_SIZE]; /* id of the token */
    char key[RECEIPT_KEY_SIZE];     /* as the client chose it */
    unsigned char fingerprint[32];  /* of method, path and body */
    struct wall created_at;
    int status;
    char location[201]; /* "": none */
    char *body;         /* JSON; NULL: not kept (yet) */
};

/* Keeps one, or completes what came with constraints; `body` and the rest are copied. A body that
 * is too long leaves the one before. */
must_check enum err store_put_receipt(struct store *store, const struct receipt *receipt,
                                      store_done *done, void *context);
/* ERR_NOT_FOUND: none, or it is older than a day at `now`. `body` is the caller's to free.
 * Blocking. */
must_check enum err store_get_receipt(struct store *store, const char *owner, const char *key,
                                      struct wall now, struct receipt *receipt);

/* --- tokens ------------------------------------------------------------------------------------
 */

#define TOKEN_TEXT_SIZE    80 /* "derd_" + 12 characters of id + "_" + 43 of secret, NUL */
#define TOKENS_PER_ACCOUNT 256
#define TOKEN_USE_MS       60000 /* between two writes of when a token was last used */

/* Makes a token, durable before it returns; `text` is shown once and forgotten. Blocking: called on
 * a store of its own by the command, or by the host's workers for the local socket. `name` NULL:
 * named by its id; `account` NULL: the root; one that is not there is made below the root. `token`
 * says what it may do, and is whole afterwards. ERR_CONFLICT: the account has a token of that name.
 * ERR_FORMAT: a name or account that is empty, too long or has control characters. ERR_RANGE: a
 * negative priority, no scope, too many clusters. ERR_LIMIT: it has TOKENS_PER_ACCOUNT, or all
 * accounts together 1024. */
must_check enum err store_token_create(struct store *store, const char *name, const char *account,
                                       struct token *token, char text[TOKEN_TEXT_SIZE],
                                       struct audit_record *record);
/* The same for an account that was found before. ERR_NOT_FOUND: it is gone since. */
must_check enum err store_token_create_for(struct store *store, const char *name,
                                           const struct account *account, struct token *token,
                                           char text[TOKEN_TEXT_SIZE], struct audit_record *record);
/* Durable before it returns, no longer accepted from then on. Blocking. */
must_check enum err store_token_revoke(struct store *store, const char *id,
                                       struct audit_record *record);
/* All tokens, to be freed. Any thread (a lock inside; read-mostly). */
must_check enum err store_token_list(struct store *store, struct token **tokens, size_t *count);
/* Looks a presented token up, constant time in the hash; whether its end has passed is the
 * caller's question (token_end_at()). Any thread. */
bool store_token_check(struct store *store, const char *text, struct token *token);
/* The account of the token whose id stands in the text, whatever secret follows: of whom a wrong
 * token was guessed at. False: there is none. Any thread. */
bool store_token_named(struct store *store, const char *text, char account[ACCOUNT_KEY_SIZE]);
/* Notes that a token was used at `at`: seen at once, on disk at most once in TOKEN_USE_MS for each
 * token and at store_close(), without waiting. Any thread. */
void store_token_used(struct store *store, const char *id, struct wall at);
/* Whether anybody could be let in: there is a token, or a password. Any thread, no lock. */
bool store_has_tokens(struct store *store);

#endif
