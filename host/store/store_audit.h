/* The audit log: one row for each change that took effect. Who, from where, what, before and after;
 * what policies and drivers decide is no change and is not in it (telemetry.h keeps decisions).
 *
 * A record goes with the operation of the store that makes the change, and its row is written in
 * that operation's transaction: when the change is on disk the row is, when the row cannot be
 * written the change is not made, and neither costs an fsync of its own. What is changed elsewhere
 * (a script's file, the site file) is recorded by store_put_audit(), which queues. A record that
 * the disk refuses then, and that of a bound which is applied although the store fails, waits in
 * memory, AUDIT_OWED at most, until the store writes again; it says so by `durable` false.
 *
 * The table is append-only: triggers refuse to change rows and to delete any but the oldest, and
 * that one only when there are too many. Constraints, which programs renew all day, and the rest
 * are bounded apart, so that nobody can push out who made a token by setting limits.
 *
 * No secret is in a record: who makes its texts leaves out token texts, passwords and secrets. */
#ifndef DERD_STORE_AUDIT_H
#define DERD_STORE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

struct store;
struct token;

#define AUDIT_ROWS      50000      /* of each class */
#define AUDIT_BYTES     (32 << 20) /* of each class */
#define AUDIT_VALUE_MAX 4096       /* bytes of `before` and of `after`; a longer one is left out */
#define AUDIT_OWED      256
#define AUDIT_SCAN      20000 /* rows that one look goes through at most */
#define AUDIT_PAGE      200

#define AUDIT_CONSOLE "console"

enum audit_class { AUDIT_REST, AUDIT_CONSTRAINT, AUDIT_CLASSES };

enum audit_by {
    AUDIT_BY_NOBODY, /* what is asked for on behalf of nobody is not recorded */
    AUDIT_BY_TOKEN,
    AUDIT_BY_SESSION, /* of somebody who logged in */
    AUDIT_BY_CONSOLE, /* `derd token` and its like, on the machine */
    AUDIT_BY_SITE_FILE
};
const char *audit_by_name(enum audit_by by); /* "token", "session", "console", "siteFile" */

/* On whose behalf a change is made, and by which request. Plain data, copied as it is. */
struct audit_origin {
    enum audit_by by;
    char id[40];         /* of the token or session; "": none */
    char name[65];       /* of it, for people; "": none */
    char account[65];    /* key */
    char from[46];       /* address, or AUDIT_CONSOLE; "": not known */
    char request_id[65]; /* "": none */
    char action[200];    /* "PUT /v1/clusters/...", "token create"; cut when longer */
    int status;          /* HTTP; 0: none */
};

/* Of a command on the machine: "derd token create". */
void audit_origin_console(struct audit_origin *origin, const char *command);

/* What was changed. Texts that are NULL are "". */
struct audit_target {
    const char *kind; /* "constraint", "device", "cluster", "account", "token", "webhook", ... */
    const char *id;
    const char *name;       /* for people, "home/wallbox" */
    const char *cluster_id; /* that it is in or on */
    const char *device_id;  /* that it is on */
    const char *owner;      /* key of the account that it belongs to, who may read of it */
};

struct audit_record;

/* `before`, `after`: JSON, NULL where there is nothing. All is copied. A value that is too long is
 * replaced by its length and hash. NULL without memory, and when `origin` is of nobody: see
 * audit_wanted(). */
must_check struct audit_record *audit_record_new(const struct audit_origin *origin,
                                                 enum audit_class class,
                                                 const struct audit_target *target,
                                                 const char *before, const char *after);
bool audit_wanted(const struct audit_origin *origin);
/* The same for a token, made (`before` NULL) or revoked (`after` NULL); a new one is given its id
 * by the store. `name`: of a new one, NULL when it is named by its id. */
must_check struct audit_record *audit_record_token(const struct audit_origin *origin,
                                                   const struct token *before,
                                                   const struct token *after, const char *name);
/* Adds it behind the others of a list; takes it over. */
void audit_record_add(struct audit_record **list, struct audit_record *record);
/* Of a target whose id is given by the store. */
void audit_record_name(struct audit_record *record, const char *target_id);
void audit_records_free(struct audit_record *list); /* NULL is fine */
/* All of them say that what they record is not on disk, and was answered so (202). */
void audit_records_not_durable(struct audit_record *list);

/* Queues records of what was changed elsewhere, or (not durable) could not be stored; takes them
 * over. Does not wait. Any thread. */
void store_put_audit(struct store *store, struct audit_record *records);

/* --- reading --------------------------------------------------------------------------------- */

struct audit_row {
    int64_t number;
    struct wall at;
    struct audit_origin origin;
    char *target_kind, *target_id, *target_name, *cluster_id, *device_id, *owner; /* "": none */
    char *before, *after; /* JSON, NULL: nothing */
    bool durable;
};

struct audit_query {      /* texts NULL: any */
    const char *viewer;   /* key of the account that looks: rows of what it controls */
    const char *target;   /* id or name of the target, of the cluster or device that it is on */
    const char *account;  /* key of the account on whose behalf */
    struct wall from, to; /* from <= at < to */
    /* Rows behind this place, in the order of the answer; before_number 0: from the newest on. */
    struct wall before_at;
    int64_t before_number;
    size_t limit; /* 1 to AUDIT_PAGE */
};

struct audit_page {
    struct audit_row *rows; /* newest first */
    size_t count;
    bool more; /* perhaps: go on behind the place below */
    struct wall last_at;
    int64_t last_number;
    struct wall complete_from[AUDIT_CLASSES]; /* every change since then is in the log */
};

/* Blocking. The page is for audit_page_free() in any case. */
must_check enum err store_read_audit(struct store *store, const struct audit_query *query,
                                     struct audit_page *page);
void audit_page_free(struct audit_page *page);

/* For tests, before anything is written: other bounds. Blocking. */
must_check enum err store_bound_audit(struct store *store, int64_t rows, int64_t bytes);

#endif
