/* What the files of the store share; nobody else includes this (its tests do).
 *
 *   store.c              queue, thread, group commit
 *   store_file.c         directory, lock file, opening, checks, statements
 *   store_layouts.c      the layout of the file, step by step
 *   store_wal.c          whether the journal that a kill left is whole
 *   store_damaged.c      a damaged file at start; store_salvage.c: what can be read of it
 *   store_constraints.c  constraints, and what changes with them in one transaction
 *   store_load.c         constraints, all at the start
 *   store_receipts.c     answers to requests with a key of their own
 *   store_texts.c        texts by kind and key
 *   store_ids.c          UUIDs
 *   store_tokens.c       tokens
 *   store_accounts.c     accounts
 *   store_passwords.c    passwords
 *   store_things.c       clusters and devices
 *   store_audit.c        the audit log; audit_record.c: its rows on their way
 *
 * Each operation is a job: a heap object that starts with struct store_job and carries copies of
 * what it needs. Jobs run on the store's thread only, so `db` and all that hangs on it have one
 * user: the opening thread until store_open() returns, the store's thread after. Reads are jobs
 * too; one connection does everything, and what was submitted before is seen. */
#ifndef DERD_STORE_INTERNAL_H
#define DERD_STORE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "store/store.h"
#include "store/store_audit.h"

struct store_job;

struct store_job_type {
    /* Inside a transaction (unless `reads`). ERR_IO: SQLite failed, store_fault() was called, the
     * transaction is given up and the job may run a second time: it touches the file and itself
     * only. Any other result is the job's own; when it is not ERR_OK, nothing was written. */
    enum err (*run)(struct store *store, struct store_job *job);
    void (*committed)(struct store *store, struct store_job *job); /* after ERR_OK; may be NULL */
    bool reads;  /* runs alone, outside of a transaction, once */
    bool owes;   /* its records are kept until they can be written, also when it fails */
    bool needed; /* done in memory, on a store that is damaged: the host cannot do without */
};

struct store_job {
    const struct store_job_type *type;
    struct store_job *next;
    store_done *done; /* may be NULL */
    void *context;
    size_t bytes;                 /* of the whole object */
    bool borrowed;                /* belongs to a caller who waits; `done` ends its life */
    struct audit_record *records; /* written in its transaction; freed with it */
    enum err result;
};

enum store_statement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_CONSTRAINT_PUT,
    STATEMENT_CONSTRAINT_REMOVE,
    STATEMENT_CONSTRAINT_PRUNE,
    STATEMENT_RECEIPT_FIND,
    STATEMENT_RECEIPT_PUT,
    STATEMENT_RECEIPT_PRUNE,
    STATEMENT_RECEIPT_REMOVE,
    STATEMENT_RANK_GET,
    STATEMENT_TEXT_PUT,
    STATEMENT_TEXT_REMOVE,
    STATEMENT_TEXT_GET,
    STATEMENT_TEXT_LOAD,
    STATEMENT_ID_GET,
    STATEMENT_ID_PUT,
    STATEMENT_TOKEN_CREATE,
    STATEMENT_TOKEN_TAKEN,
    STATEMENT_TOKEN_REVOKE,
    STATEMENT_TOKEN_LOAD,
    STATEMENT_TOKEN_USED,
    STATEMENT_ACCOUNT_TAKEN,
    STATEMENT_ACCOUNT_CREATE,
    STATEMENT_ACCOUNT_CHANGE,
    STATEMENT_ACCOUNT_BUSY,
    STATEMENT_ACCOUNT_TOKENS,
    STATEMENT_ACCOUNT_REMOVE,
    STATEMENT_ACCOUNT_LOAD,
    STATEMENT_PASSWORD_SET,
    STATEMENT_PASSWORD_REMOVE,
    STATEMENT_PASSWORD_LOAD,
    STATEMENT_CLUSTER_PUT,
    STATEMENT_CLUSTER_REMOVE,
    STATEMENT_CLUSTER_LOAD,
    STATEMENT_CLUSTER_FIND,
    STATEMENT_DEVICE_PUT,
    STATEMENT_DEVICE_REMOVE,
    STATEMENT_DEVICE_LOAD,
    STATEMENT_WEBHOOK_PUT,
    STATEMENT_WEBHOOK_REMOVE,
    STATEMENT_WEBHOOK_LOAD,
    STATEMENT_WEBHOOK_DROPPED,
    STATEMENT_DELIVERY_PUT,
    STATEMENT_DELIVERY_DROP,
    STATEMENT_DELIVERY_NOTICED,
    STATEMENT_DELIVERY_NEXT,
    STATEMENT_DELIVERY_WHEN,
    STATEMENT_DELIVERY_END,
    STATEMENT_DELIVERY_TRIM,
    STATEMENT_DELIVERY_HASTEN,
    STATEMENT_DELIVERY_COUNT,
    STATEMENT_DELIVERY_LIST,
    STATEMENT_AUDIT_PUT,
    STATEMENT_AUDIT_PRUNE,
    STATEMENT_AUDIT_STATE,
    STATEMENT_AUDIT_LIST,
    STATEMENT_AUDIT_BOUND,
    STATEMENT_COUNT
};

/* "derd", at offset 68 of the file (SQLite file format, 1.3) */
#define STORE_APPLICATION_ID 0x64657264
extern const char *const store_layouts[STORE_SCHEMA];
#define STORE_ROW_MAXIMUM 2097152 /* bytes of one row; a text has at most half of it */

#define STORE_BUSY_MS        2000 /* for a lock that some other program holds on the file */
#define STORE_TOKENS_MAXIMUM 1024

struct token_use {                  /* ms since 1970 UTC */
    atomic_int_fast64_t used, kept; /* last use; the one that is on disk or on its way there */
};

struct store {
    char *directory;
    char *path; /* of derd.db */
    int lock_fd;

    /* The store's thread only, once it runs. */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int fault; /* extended result code of the last failure; its text: */
    char fault_text[STORE_DETAIL_SIZE];
    int64_t first_end_ms;      /* no constraint in the file ends before; INT64_MIN: not known */
    struct audit_record *owed; /* that the disk has refused so far */
    size_t owed_count;
    bool standby; /* the disk can only be read: each write fails until it can be written */
    struct mono standby_since; /* the last attempt to leave it */
    /* Since it was opened. `db` is in memory then and holds what could be read; derd.db is closed.
     * It stands by for good. */
    bool damaged;
    char found[160]; /* what is wrong with the file, "" until something is */

    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock; /* of the fields from here to `why` */
    pthread_cond_t wake;
    struct store_job *first, **last;
    size_t waiting, waiting_bytes;
    bool closing;
    bool failing;
    char why[STORE_DETAIL_SIZE];

    atomic_uint_fast64_t last_rank;
    struct store_figures figures;

    pthread_rwlock_t tokens_lock; /* of the seven below; only the store's thread writes */
    struct token *tokens;   /* room for STORE_TOKENS_MAXIMUM, so that a commit needs no memory */
    struct token_use *uses; /* of each; readers of the lock write into it */
    atomic_size_t token_count;
    struct account *accounts; /* room for ACCOUNTS_MAXIMUM, by age */
    size_t account_count;
    struct password *passwords; /* room for PASSWORDS_MAXIMUM */
    atomic_size_t password_count;
};

/* --- store.c */

/* Queues a job made with store_job_new(). Takes it over in any case; after an error `done` is not
 * called. */
must_check enum err store_submit(struct store *store, struct store_job *job);
/* Queues a job that stays the caller's, waits for it and gives its result. Not on the store's
 * thread. There is no time-out: a job is bounded by SQLite's busy timeout and the disk, and the
 * caller's memory is in use until then. */
must_check enum err store_run(struct store *store, struct store_job *job);
/* A zeroed job of `bytes`, or NULL. */
void *store_job_new(const struct store_job_type *type, size_t bytes, store_done *done,
                    void *context);

/* Gives the job records of the audit log, which it takes over; frees them when `job` is NULL. */
void store_job_record(struct store_job *job, struct audit_record *records);

/* --- store_audit.c */

struct audit_record {
    struct audit_record *next;
    size_t size; /* of the whole object */
    enum audit_class class;
    struct wall at;
    struct audit_origin origin;
    bool durable;
    char target_id[65];
    char *target_kind, *target_name, *cluster_id, *device_id, *owner; /* into `texts`, as these: */
    char *before, *after;                                             /* NULL: nothing */
    char texts[];
};

/* Inside a transaction. ERR_IO as of a job. */
must_check enum err store_audit_write(struct store *store, const struct audit_record *list);
/* Keeps what could not be written, and says so in the log; takes it over. */
void store_audit_owe(struct store *store, struct audit_record *list);
void store_audit_forget_owed(struct store *store);
must_check enum err store_audit_bound(struct store *store, int64_t rows, int64_t bytes);

/* --- store_constraints.c */

/* store->last_rank is at least `rank` now. Any thread. */
void store_rank_raise(struct store *store, uint64_t rank);

/* --- store_receipts.c */

/* Inside a transaction. ERR_CONFLICT: one that is young enough is there. */
must_check enum err store_receipt_add(struct store *store, const struct receipt *receipt);
/* Inside a transaction. ERR_OK also when there was none. */
must_check enum err store_receipt_forget(struct store *store, const char *owner, const char *key);

/* --- store_file.c */

/* `damaged_too`: as store_open_damaged_too() says. */
must_check enum err store_file_open(struct store *store, const char *directory, bool damaged_too,
                                    struct report *report);
void store_file_close(struct store *store);
char *store_path(const char *directory, const char *name);        /* on the heap, or NULL */
bool store_has_file(const struct store *store, const char *name); /* that is not empty */
/* What to open, with which flags, to read the file as it is: where it is whole, a URI that says
 * that nobody changes it; else its path, for its journal is read too. On the heap, or NULL. */
char *store_reading_name(const struct store *store, int *flags);
/* `name`: a path, or a URI as `flags` say. `vfs`: to stand by; NULL else. */
must_check enum err store_database_open(struct store *store, const char *name, int flags,
                                        const char *vfs, struct report *report);
must_check enum err store_database_migrate(struct store *store, int64_t version, int64_t to,
                                           struct report *report);
void store_database_close(struct store *store);
/* While it stands by: opens the file for writing if that is possible now. */
void store_file_resume(struct store *store);
/* The kept statement, ready to bind; NULL with the fault noted. */
sqlite3_stmt *store_statement(struct store *store, enum store_statement which, const char *sql);
/* Runs a statement that gives no rows. `bound`: the result codes of its binds, or-ed together. */
must_check enum err store_statement_run(struct store *store, sqlite3_stmt *statement, int bound);
/* Notes what went wrong last, for the log and store_failing(). Always ERR_IO. */
enum err store_fault(struct store *store);

/* --- store_wal.c */

struct store_journal {
    int64_t bytes;   /* 0: there is none */
    bool alone;      /* the database is empty, or is not there */
    bool of_nothing; /* it is empty, and the journal is not */
    bool damaged;    /* what was acknowledged is in it and cannot be read */
    bool spent;      /* it cannot be read, and the database has all that is in it */
    bool unknown;    /* how many */
    size_t lost;     /* transactions, at most */
};
/* Of the journal at `path`, while this process has no connection open to `database`. */
void store_journal_look(const char *database, const char *path, struct store_journal *journal);
/* Of a journal that is spent, before SQLite opens it. SQLite would go on with salts that it finds
 * in the header, also when that is torn; what is left of the round before would then seem to be of
 * the next one, and missing. Where the disk does not let it, it stays as it is. */
void store_journal_empty(const char *path);

/* --- store_damaged.c */

/* A wrong path is not damage: there must be something in the file that is ours. No connection is
 * open. */
bool store_salvage_ours(const struct store *store);
/* The store serves what can be read, from memory. `trouble`: gets what stands against it. */
must_check enum err store_salvage_open(struct store *store, struct report *trouble);

/* --- store_salvage.c */

#define SALVAGE_TABLES 11

struct salvaged {
    const char *table;
    int64_t read, lost; /* rows */
    bool unknown;       /* there may be more lost ones: how many cannot be told */
};
/* Row by row, what of `from` can be read and is valid there, into the tables of the same layout
 * that are empty. `from` NULL: nothing can. False: there is no memory for it. */
must_check bool store_salvage(sqlite3 *from, sqlite3 *to, struct salvaged salvaged[SALVAGE_TABLES]);

/* --- loaders: on the opening thread, before the store's thread runs */

must_check enum err store_rank_open(struct store *store);
must_check enum err store_tokens_open(struct store *store);
must_check enum err store_accounts_open(struct store *store); /* after the tokens */
must_check enum err store_passwords_open(struct store *store);

/* --- store_tokens.c */

/* Under the lock for writing: takes token `index` out of the table. */
void store_token_forget(struct store *store, size_t index);
/* Queues what of the tokens' last use is not on disk. */
void store_tokens_flush(struct store *store);

/* --- store_accounts.c, inside jobs of others */

/* Makes the account of this key below the root unless it is there; `account` is filled in when it
 * was made, its id "" when not. */
must_check enum err store_account_provide(struct store *store, const char *key,
                                          struct account *account);
/* After the commit. */
void store_account_remember(struct store *store, const struct account *account);
/* Whether the key is an account's, in the file. ERR_NOT_FOUND when not. */
must_check enum err store_account_known(struct store *store, const char *key);

/* --- store_passwords.c, inside jobs of others */

/* That of an account that goes, if there is one. */
must_check enum err store_password_drop(struct store *store, const char *account);
/* After the commit, under the lock of the tokens. */
void store_password_forget(struct store *store, const char *account);

#endif
