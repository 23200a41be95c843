#include "store/store_webhooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

#define LIST_MAXIMUM 1200

static int bind_text(sqlite3_stmt *statement, int column, const char *text) {
    return sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

static void take_text(sqlite3_stmt *statement, int column, char *field, size_t size) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(field, size, "%s", text ? text : "");
}

/* Runs a statement that gives no rows and knows one webhook, ?1. */
static enum err run_for(struct store *store, enum store_statement which, const char *sql,
                        const char *webhook_id) {
    sqlite3_stmt *statement = store_statement(store, which, sql);
    return statement ? store_statement_run(store, statement, bind_text(statement, 1, webhook_id))
                     : ERR_IO;
}

/* --- webhooks -------------------------------------------------------------------------------- */

struct webhook_job {
    struct store_job job;
    const char *id, *account, *document; /* the waiting caller's */
    int64_t created_at_ms;
};

static enum err put_run(struct store *store, struct store_job *job) {
    const struct webhook_job *put = (const struct webhook_job *)job;
    enum err known = store_account_known(store, put->account);
    if (known != ERR_OK)
        return known;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_WEBHOOK_PUT,
        "INSERT INTO webhooks (id, account, document, created_at_ms) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (id) DO UPDATE SET document = excluded.document");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, put->id) | bind_text(statement, 2, put->account) |
                bind_text(statement, 3, put->document) |
                sqlite3_bind_int64(statement, 4, put->created_at_ms);
    return store_statement_run(store, statement, bound);
}

enum err store_put_webhook(struct store *store, const char *id, const char *account,
                           const char *document, struct wall created_at,
                           struct audit_record *record) {
    static const struct store_job_type type = {.run = put_run};
    struct webhook_job put = {.job = {.type = &type, .bytes = sizeof put},
                              .id = id,
                              .account = account,
                              .document = document,
                              .created_at_ms = created_at.ms};
    store_job_record(&put.job, record);
    return store_run(store, &put.job);
}

static enum err remove_run(struct store *store, struct store_job *job) {
    return run_for(store, STATEMENT_WEBHOOK_REMOVE, "DELETE FROM webhooks WHERE id = ?1",
                   ((const struct webhook_job *)job)->id);
}

enum err store_remove_webhook(struct store *store, const char *id, struct audit_record *record) {
    static const struct store_job_type type = {.run = remove_run};
    struct webhook_job removal = {.job = {.type = &type, .bytes = sizeof removal}, .id = id};
    store_job_record(&removal.job, record);
    return store_run(store, &removal.job);
}

struct load_job {
    struct store_job job;
    store_webhook_row *row;
    void *context;
};

static enum err load_run(struct store *store, struct store_job *job) {
    const struct load_job *load = (const struct load_job *)job;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_WEBHOOK_LOAD,
                        "SELECT id, account, document FROM webhooks ORDER BY created_at_ms, id");
    if (!statement)
        return ERR_IO;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        const char *account = (const char *)sqlite3_column_text(statement, 1);
        const char *document = (const char *)sqlite3_column_text(statement, 2);
        if (id && account && document) /* else no memory, which the next step says */
            load->row(load->context, id, account, document);
    }
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}

enum err store_load_webhooks(struct store *store, store_webhook_row *row, void *context) {
    static const struct store_job_type type = {.run = load_run, .reads = true};
    struct load_job load = {
        .job = {.type = &type, .bytes = sizeof load}, .row = row, .context = context};
    return store_run(store, &load.job);
}

/* --- queueing -------------------------------------------------------------------------------- */

struct queue_job {
    struct store_job job;
    const struct delivery *deliveries; /* the waiting caller's */
    size_t count;
    const struct delivery *notice; /* or NULL */
};

static enum err insert(struct store *store, const char *webhook_id,
                       const struct delivery *delivery) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_DELIVERY_PUT,
                        "INSERT INTO deliveries (webhook_id, message_id, type, body, state,"
                        " queued_at_ms, next_at_ms, attempts)"
                        " SELECT ?1, ?2, ?3, ?4, 0, ?5, 0, 0"
                        " WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = ?1)");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, webhook_id) |
                bind_text(statement, 2, delivery->message_id) |
                bind_text(statement, 3, delivery->type) | bind_text(statement, 4, delivery->body) |
                sqlite3_bind_int64(statement, 5, delivery->queued_at.ms);
    return store_statement_run(store, statement, bound);
}

/* The oldest make way. *dropped: how many. */
static enum err make_room(struct store *store, const char *webhook_id, int64_t *dropped) {
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_DELIVERY_DROP,
        "DELETE FROM deliveries WHERE number IN (SELECT number FROM deliveries WHERE"
        " webhook_id = ?1 AND state = 0 ORDER BY number DESC LIMIT -1 OFFSET ?2)");
    if (!statement)
        return ERR_IO;
    int bound =
        bind_text(statement, 1, webhook_id) | sqlite3_bind_int64(statement, 2, WEBHOOK_WAITING);
    enum err result = store_statement_run(store, statement, bound);
    *dropped = result == ERR_OK ? sqlite3_changes(store->db) : 0;
    return result;
}

static enum err note_dropped(struct store *store, const char *webhook_id, int64_t dropped) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_WEBHOOK_DROPPED,
                        "UPDATE webhooks SET dropped = dropped + ?2 WHERE id = ?1");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, webhook_id) | sqlite3_bind_int64(statement, 2, dropped);
    return store_statement_run(store, statement, bound);
}

/* One notice at a time: it says all that further ones would. */
static enum err put_notice(struct store *store, const char *webhook_id,
                           const struct delivery *notice) {
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_DELIVERY_NOTICED,
        "SELECT count(*) FROM deliveries WHERE webhook_id = ?1 AND state = 0 AND type = ?2");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, webhook_id) | bind_text(statement, 2, notice->type);
    if (bound != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
        enum err result = store_fault(store);
        sqlite3_reset(statement);
        return result;
    }
    bool noticed = sqlite3_column_int64(statement, 0) > 0;
    sqlite3_reset(statement);
    return noticed ? ERR_OK : insert(store, webhook_id, notice);
}

static enum err bound_queue(struct store *store, const char *webhook_id,
                            const struct delivery *notice) {
    int64_t dropped;
    enum err result = make_room(store, webhook_id, &dropped);
    if (result == ERR_OK && dropped > 0)
        result = note_dropped(store, webhook_id, dropped);
    if (result == ERR_OK && dropped > 0 && notice)
        result = put_notice(store, webhook_id, notice);
    return result;
}

static enum err queue_run(struct store *store, struct store_job *job) {
    const struct queue_job *queue = (const struct queue_job *)job;
    enum err result = ERR_OK;
    for (size_t i = 0; i < queue->count && result == ERR_OK; i++)
        result = insert(store, queue->deliveries[i].webhook_id, &queue->deliveries[i]);
    for (size_t i = 0; i < queue->count && result == ERR_OK; i++) {
        const char *id = queue->deliveries[i].webhook_id;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(queue->deliveries[j].webhook_id, id) == 0;
        if (!seen)
            result = bound_queue(store, id, queue->notice);
    }
    return result;
}

enum err store_queue_deliveries(struct store *store, const struct delivery *deliveries,
                                size_t count, const struct delivery *notice) {
    static const struct store_job_type type = {.run = queue_run};
    struct queue_job queue = {.job = {.type = &type, .bytes = sizeof queue},
                              .deliveries = deliveries,
                              .count = count,
                              .notice = notice};
    return store_run(store, &queue.job);
}

/* --- delivering ------------------------------------------------------------------------------ */

#define DELIVERY_COLUMNS                                                                           \
    "number, webhook_id, message_id, type, state, queued_at_ms, next_at_ms, last_at_ms,"           \
    " attempts, status, duration_ms, error"

static void row_read(sqlite3_stmt *statement, struct delivery *delivery) {
    *delivery = (struct delivery){.number = sqlite3_column_int64(statement, 0),
                                  .state = (enum delivery_state)sqlite3_column_int(statement, 4),
                                  .queued_at = {sqlite3_column_int64(statement, 5)},
                                  .next_at = {sqlite3_column_int64(statement, 6)},
                                  .last_at = {sqlite3_column_int64(statement, 7)},
                                  .attempts = sqlite3_column_int(statement, 8),
                                  .status = sqlite3_column_int(statement, 9),
                                  .duration_ms = sqlite3_column_int64(statement, 10)};
    take_text(statement, 1, delivery->webhook_id, sizeof delivery->webhook_id);
    take_text(statement, 2, delivery->message_id, sizeof delivery->message_id);
    take_text(statement, 3, delivery->type, sizeof delivery->type);
    take_text(statement, 11, delivery->error, sizeof delivery->error);
}

struct next_job {
    struct store_job job;
    const char *webhook_id; /* the waiting caller's */
    int64_t now_ms, next_at_ms;
    struct delivery *delivery;
};

static enum err when_next(struct store *store, struct next_job *next) {
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_DELIVERY_WHEN,
                        "SELECT min(next_at_ms) FROM deliveries WHERE webhook_id = ?1"
                        " AND state = 0");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, next->webhook_id);
    enum err result = ERR_NOT_FOUND;
    if (bound != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        result = store_fault(store);
    else if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
        next->next_at_ms = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return result;
}

static enum err next_run(struct store *store, struct store_job *job) {
    struct next_job *next = (struct next_job *)job;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_DELIVERY_NEXT,
        "SELECT " DELIVERY_COLUMNS ", body FROM deliveries WHERE webhook_id = ?1 AND state = 0"
        " AND next_at_ms <= ?2 ORDER BY number LIMIT 1");
    if (!statement)
        return ERR_IO;
    int bound =
        bind_text(statement, 1, next->webhook_id) | sqlite3_bind_int64(statement, 2, next->now_ms);
    int code = bound == SQLITE_OK ? sqlite3_step(statement) : SQLITE_ERROR;
    enum err result = ERR_OK;
    if (code == SQLITE_ROW) {
        const char *body = (const char *)sqlite3_column_text(statement, 12);
        row_read(statement, next->delivery);
        next->delivery->body = body ? strdup(body) : NULL;
        result = next->delivery->body ? ERR_OK : ERR_MEMORY;
    }
    sqlite3_reset(statement);
    if (code == SQLITE_DONE)
        return when_next(store, next);
    return code == SQLITE_ROW ? result : store_fault(store);
}

enum err store_next_delivery(struct store *store, const char *webhook_id, struct wall now,
                             struct delivery *delivery, struct wall *next_at) {
    static const struct store_job_type type = {.run = next_run, .reads = true};
    struct next_job next = {.job = {.type = &type, .bytes = sizeof next},
                            .webhook_id = webhook_id,
                            .now_ms = now.ms,
                            .next_at_ms = INT64_MAX,
                            .delivery = delivery};
    enum err result = store_run(store, &next.job);
    next_at->ms = next.next_at_ms;
    return result;
}

struct end_job {
    struct store_job job;
    const struct delivery *delivery; /* the waiting caller's */
};

static enum err end_run(struct store *store, struct store_job *job) {
    const struct delivery *delivery = ((const struct end_job *)job)->delivery;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_DELIVERY_END,
        "UPDATE deliveries SET state = ?2, attempts = ?3, next_at_ms = ?4, last_at_ms = ?5,"
        " status = ?6, duration_ms = ?7, error = ?8,"
        " body = CASE WHEN ?2 = 0 THEN body ELSE '' END WHERE number = ?1");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_int64(statement, 1, delivery->number) |
                sqlite3_bind_int(statement, 2, (int)delivery->state) |
                sqlite3_bind_int(statement, 3, delivery->attempts) |
                sqlite3_bind_int64(statement, 4, delivery->next_at.ms) |
                sqlite3_bind_int64(statement, 5, delivery->last_at.ms) |
                sqlite3_bind_int(statement, 6, delivery->status) |
                sqlite3_bind_int64(statement, 7, delivery->duration_ms) |
                bind_text(statement, 8, delivery->error);
    enum err result = store_statement_run(store, statement, bound);
    if (result != ERR_OK || delivery->state == DELIVERY_WAITING)
        return result;
    statement = store_statement(
        store, STATEMENT_DELIVERY_TRIM,
        "DELETE FROM deliveries WHERE number IN (SELECT number FROM deliveries WHERE"
        " webhook_id = ?1 AND state <> 0 ORDER BY number DESC LIMIT -1 OFFSET ?2)");
    if (!statement)
        return ERR_IO;
    bound = bind_text(statement, 1, delivery->webhook_id) |
            sqlite3_bind_int64(statement, 2, WEBHOOK_FINISHED);
    return store_statement_run(store, statement, bound);
}

enum err store_end_attempt(struct store *store, const struct delivery *delivery) {
    static const struct store_job_type type = {.run = end_run};
    struct end_job end = {.job = {.type = &type, .bytes = sizeof end}, .delivery = delivery};
    return store_run(store, &end.job);
}

static enum err hasten_run(struct store *store, struct store_job *job) {
    return run_for(store, STATEMENT_DELIVERY_HASTEN,
                   "UPDATE deliveries SET next_at_ms = 0 WHERE webhook_id = ?1 AND state = 0",
                   ((const struct webhook_job *)job)->id);
}

enum err store_hasten_deliveries(struct store *store, const char *webhook_id) {
    static const struct store_job_type type = {.run = hasten_run};
    struct webhook_job hasten = {.job = {.type = &type, .bytes = sizeof hasten}, .id = webhook_id};
    return store_run(store, &hasten.job);
}

/* --- looking --------------------------------------------------------------------------------- */

struct look_job {
    struct store_job job;
    const char *webhook_id; /* the waiting caller's */
    struct delivery_counts counts;
    struct delivery *deliveries; /* room for `most` */
    size_t most, count;
};

static enum err count_run(struct store *store, struct store_job *job) {
    struct look_job *look = (struct look_job *)job;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_DELIVERY_COUNT,
                        "SELECT (SELECT count(*) FROM deliveries WHERE webhook_id = ?1"
                        " AND state = 0), ifnull((SELECT dropped FROM webhooks WHERE id = ?1), 0)");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, look->webhook_id);
    enum err result = ERR_OK;
    if (bound != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        result = store_fault(store);
    else
        look->counts = (struct delivery_counts){sqlite3_column_int64(statement, 0),
                                                sqlite3_column_int64(statement, 1)};
    sqlite3_reset(statement);
    return result;
}

enum err store_count_deliveries(struct store *store, const char *webhook_id,
                                struct delivery_counts *counts) {
    static const struct store_job_type type = {.run = count_run, .reads = true};
    struct look_job look = {.job = {.type = &type, .bytes = sizeof look}, .webhook_id = webhook_id};
    enum err result = store_run(store, &look.job);
    *counts = look.counts;
    return result;
}

static enum err list_run(struct store *store, struct store_job *job) {
    struct look_job *look = (struct look_job *)job;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_DELIVERY_LIST,
                        "SELECT " DELIVERY_COLUMNS " FROM deliveries WHERE webhook_id = ?1"
                        " ORDER BY number DESC LIMIT ?2");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, look->webhook_id) |
                sqlite3_bind_int64(statement, 2, (sqlite3_int64)look->most);
    int code = bound == SQLITE_OK ? SQLITE_ROW : SQLITE_ERROR;
    while (code == SQLITE_ROW && (code = sqlite3_step(statement)) == SQLITE_ROW)
        if (look->count < look->most)
            row_read(statement, &look->deliveries[look->count++]);
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}

enum err store_list_deliveries(struct store *store, const char *webhook_id, size_t most,
                               struct delivery **deliveries, size_t *count) {
    static const struct store_job_type type = {.run = list_run, .reads = true};
    struct look_job look = {.job = {.type = &type, .bytes = sizeof look},
                            .webhook_id = webhook_id,
                            .most = most < LIST_MAXIMUM ? most : LIST_MAXIMUM};
    *deliveries = NULL;
    *count = 0;
    if (store->damaged) /* they are in the file only */
        return ERR_IO;
    look.deliveries = calloc(look.most + 1, sizeof *look.deliveries);
    if (!look.deliveries)
        return ERR_MEMORY;
    enum err result = store_run(store, &look.job);
    if (result != ERR_OK) {
        free(look.deliveries);
        return result;
    }
    *deliveries = look.deliveries;
    *count = look.count;
    return ERR_OK;
}
