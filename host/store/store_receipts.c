/* Receipts: of requests that carried an Idempotency-Key, what was asked and what was answered. One
 * that belongs to constraints is written in their transaction, with them alone as its body; the
 * whole answer follows when what they decided is known. So there is never a constraint whose
 * repetition would not be noticed, whenever the host dies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/store_internal.h"

static int bind_text(sqlite3_stmt *statement, int column, const char *text) {
    return sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

/* Those of this owner that are over, and the oldest beyond the number and size that are kept. */
static enum err receipts_prune(struct store *store, const struct receipt *receipt) {
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_RECEIPT_PRUNE,
        "DELETE FROM receipts WHERE owner = ?1 AND key IN (SELECT key FROM"
        " (SELECT key, created_at_ms, row_number() OVER newest AS place, sum(bytes) OVER newest"
        "  AS total FROM receipts WHERE owner = ?1"
        "  WINDOW newest AS (ORDER BY created_at_ms DESC, key ROWS UNBOUNDED PRECEDING))"
        " WHERE created_at_ms < ?2 OR place >= ?3 OR total > ?4)");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, receipt->owner);
    bound |= sqlite3_bind_int64(statement, 2, receipt->created_at.ms - RECEIPT_KEPT_MS);
    bound |= sqlite3_bind_int(statement, 3, RECEIPTS_MAXIMUM);
    bound |= sqlite3_bind_int(statement, 4, RECEIPTS_BYTES);
    return store_statement_run(store, statement, bound);
}

static enum err receipt_write(struct store *store, const struct receipt *receipt) {
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_RECEIPT_PUT,
        "INSERT INTO receipts (owner, key, fingerprint, created_at_ms, bytes, status, location,"
        " body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        " ON CONFLICT (owner, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
        " created_at_ms = excluded.created_at_ms, status = excluded.status,"
        " location = excluded.location, body = ifnull(excluded.body, body),"
        " bytes = iif(excluded.body IS NULL, bytes, excluded.bytes)");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, receipt->owner);
    bound |= bind_text(statement, 2, receipt->key);
    bound |= sqlite3_bind_blob(statement, 3, receipt->fingerprint, sizeof receipt->fingerprint,
                               SQLITE_STATIC);
    bound |= sqlite3_bind_int64(statement, 4, receipt->created_at.ms);
    bound |=
        sqlite3_bind_int64(statement, 5, receipt->body ? (sqlite3_int64)strlen(receipt->body) : 0);
    bound |= sqlite3_bind_int(statement, 6, receipt->status);
    bound |= bind_text(statement, 7, receipt->location);
    if (receipt->body)
        bound |= bind_text(statement, 8, receipt->body);
    return store_statement_run(store, statement, bound);
}

/* ERR_MEMORY: SQLite's or ours. */
static enum err receipt_read(sqlite3_stmt *statement, struct receipt *receipt) {
    const void *fingerprint = sqlite3_column_blob(statement, 0);
    const char *location = (const char *)sqlite3_column_text(statement, 3);
    const char *body = (const char *)sqlite3_column_text(statement, 4);
    bool has_body = sqlite3_column_type(statement, 4) != SQLITE_NULL;
    if (!fingerprint || !location || (has_body && !body))
        return ERR_MEMORY;
    *receipt = (struct receipt){.created_at = {sqlite3_column_int64(statement, 1)},
                                .status = sqlite3_column_int(statement, 2),
                                .body = body ? strdup(body) : NULL};
    memcpy(receipt->fingerprint, fingerprint, sizeof receipt->fingerprint);
    snprintf(receipt->location, sizeof receipt->location, "%s", location);
    return has_body && !receipt->body ? ERR_MEMORY : ERR_OK;
}

static enum err receipt_find(struct store *store, const char *owner, const char *key,
                             struct wall now, struct receipt *receipt) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_RECEIPT_FIND,
                        "SELECT fingerprint, created_at_ms, status, location, body FROM receipts"
                        " WHERE owner = ?1 AND key = ?2 AND created_at_ms >= ?3");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, owner) | bind_text(statement, 2, key) |
                sqlite3_bind_int64(statement, 3, now.ms - RECEIPT_KEPT_MS);
    int code = bound == SQLITE_OK ? sqlite3_step(statement) : SQLITE_ERROR;
    enum err result = code == SQLITE_DONE ? ERR_NOT_FOUND : ERR_OK;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = store_fault(store);
    else if (code == SQLITE_ROW && receipt)
        result = receipt_read(statement, receipt);
    sqlite3_reset(statement);
    if (result == ERR_OK && receipt) {
        snprintf(receipt->owner, sizeof receipt->owner, "%s", owner);
        snprintf(receipt->key, sizeof receipt->key, "%s", key);
    }
    return result;
}

enum err store_receipt_add(struct store *store, const struct receipt *receipt) {
    enum err found = receipt_find(store, receipt->owner, receipt->key, receipt->created_at, NULL);
    if (found == ERR_OK)
        return ERR_CONFLICT;
    if (found != ERR_NOT_FOUND)
        return found;
    enum err result = receipts_prune(store, receipt);
    return result == ERR_OK ? receipt_write(store, receipt) : result;
}

enum err store_receipt_forget(struct store *store, const char *owner, const char *key) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_RECEIPT_REMOVE,
                                              "DELETE FROM receipts WHERE owner = ?1 AND key = ?2");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement,
                               bind_text(statement, 1, owner) | bind_text(statement, 2, key));
}

/* --- put and get ----------------------------------------------------------------------------- */

struct put_job {
    struct store_job job;
    struct receipt receipt; /* its body: into `text`, or NULL */
    char text[];
};

static enum err put_run(struct store *store, struct store_job *job) {
    const struct put_job *put = (const struct put_job *)job;
    enum err result = receipts_prune(store, &put->receipt);
    return result == ERR_OK ? receipt_write(store, &put->receipt) : result;
}

enum err store_put_receipt(struct store *store, const struct receipt *receipt, store_done *done,
                           void *context) {
    static const struct store_job_type type = {.run = put_run};
    size_t length = receipt->body ? strlen(receipt->body) : 0;
    bool kept = receipt->body && length <= RECEIPT_BODY_MAXIMUM;
    struct put_job *put =
        store_job_new(&type, sizeof *put + (kept ? length + 1 : 0), done, context);
    if (!put)
        return ERR_MEMORY;
    put->receipt = *receipt;
    put->receipt.body = kept ? memcpy(put->text, receipt->body, length + 1) : NULL;
    return store_submit(store, &put->job);
}

struct get_job {
    struct store_job job;
    const char *owner, *key; /* the waiting caller's */
    struct wall now;
    struct receipt *receipt;
};

static enum err get_run(struct store *store, struct store_job *job) {
    const struct get_job *get = (const struct get_job *)job;
    enum err result = receipt_find(store, get->owner, get->key, get->now, get->receipt);
    if (result == ERR_IO)
        log_error("store", "a receipt could not be read: %s", store->fault_text);
    return result;
}

enum err store_get_receipt(struct store *store, const char *owner, const char *key, struct wall now,
                           struct receipt *receipt) {
    static const struct store_job_type type = {.run = get_run, .reads = true};
    struct get_job get = {.job = {.type = &type, .bytes = sizeof get},
                          .owner = owner,
                          .key = key,
                          .now = now,
                          .receipt = receipt};
    *receipt = (struct receipt){0};
    return store_run(store, &get.job);
}
