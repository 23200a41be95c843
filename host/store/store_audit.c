/* The table of the audit log: adding rows inside the transactions of others, letting the oldest go,
 * reading a page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/store_internal.h"

#define CATCH_UP 64 /* rows beyond those added that one write lets go, when bounds have shrunk */

static int bind_text(sqlite3_stmt *statement, int column, const char *text) {
    return sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

/* --- writing --------------------------------------------------------------------------------- */

static size_t length_of(const char *text) {
    return text ? strlen(text) : 0;
}

static enum err insert(struct store *store, const struct audit_record *record) {
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_AUDIT_PUT,
        "INSERT INTO audit (class, at_ms, who, who_id, who_name, account, origin, request_id,"
        " action, status, target_kind, target_id, target_name, cluster_id, device_id, owner,"
        " durable, bytes, value_before, value_after, number) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,"
        " ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"
        " (SELECT max(last_number) + 1 FROM audit_state))");
    const struct audit_origin *origin = &record->origin;
    if (!statement)
        return ERR_IO;
    const char *const texts[] = {audit_by_name(origin->by),
                                 origin->id,
                                 origin->name,
                                 origin->account,
                                 origin->from,
                                 origin->request_id,
                                 origin->action,
                                 record->target_kind,
                                 record->target_id,
                                 record->target_name,
                                 record->cluster_id,
                                 record->device_id,
                                 record->owner};
    static const int columns[] = {3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16};
    size_t bytes = length_of(record->before) + length_of(record->after);
    int bound = sqlite3_bind_int(statement, 1, (int)record->class) |
                sqlite3_bind_int64(statement, 2, record->at.ms) |
                sqlite3_bind_int(statement, 10, origin->status) |
                sqlite3_bind_int(statement, 17, record->durable);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        bound |= bind_text(statement, columns[i], texts[i]);
        bytes += strlen(texts[i]);
    }
    bound |= sqlite3_bind_int64(statement, 18, (sqlite3_int64)bytes);
    if (record->before)
        bound |= bind_text(statement, 19, record->before);
    if (record->after)
        bound |= bind_text(statement, 20, record->after);
    return store_statement_run(store, statement, bound);
}

/* The oldest of a class goes while there are too many; the trigger lets no other one go. */
static enum err let_go(struct store *store, enum audit_class class, int most) {
    for (int i = 0; i < most; i++) {
        sqlite3_stmt *statement =
            store_statement(store, STATEMENT_AUDIT_PRUNE,
                            "DELETE FROM audit WHERE number = (SELECT first_number FROM audit_state"
                            " WHERE class = ?1 AND (rows > max_rows OR bytes > max_bytes))");
        if (!statement)
            return ERR_IO;
        enum err result =
            store_statement_run(store, statement, sqlite3_bind_int(statement, 1, (int)class));
        if (result != ERR_OK || sqlite3_changes(store->db) == 0)
            return result;
    }
    return ERR_OK;
}

enum err store_audit_write(struct store *store, const struct audit_record *list) {
    int added[AUDIT_CLASSES] = {0};
    for (; list; list = list->next) {
        if (insert(store, list) != ERR_OK)
            return ERR_IO;
        added[list->class]++;
    }
    for (int class = 0; class < AUDIT_CLASSES; class ++)
        if (added[class] && let_go(store, (enum audit_class) class, added[class] + CATCH_UP))
            return ERR_IO;
    return ERR_OK;
}

static enum err put_run(struct store *store, struct store_job *job) {
    (void)store; /* its records are written behind it, as those of any job */
    (void)job;
    return ERR_OK;
}

void store_put_audit(struct store *store, struct audit_record *records) {
    static const struct store_job_type type = {.run = put_run, .owes = true};
    if (!records)
        return;
    struct store_job *job = store_job_new(&type, sizeof *job, NULL, NULL);
    store_job_record(job, records);
    if (!job || store_submit(store, job) != ERR_OK)
        log_error("store", "a row of the audit log is lost: too much waits for the disk");
}

/* --- what the disk has refused -----------------------------------------------------------------
 */

void store_audit_owe(struct store *store, struct audit_record *list) {
    while (list) {
        struct audit_record *record = list;
        list = record->next;
        record->next = NULL;
        bool kept = store->owed_count < AUDIT_OWED;
        log_error("store", "the audit log cannot be written%s: %s of %s %s (%s), %s %s",
                  kept ? " yet" : " and has no room to wait", record->origin.action,
                  audit_by_name(record->origin.by), record->origin.name, record->origin.from,
                  record->target_kind, record->target_id);
        if (!kept) {
            audit_records_free(record);
            continue;
        }
        audit_record_add(&store->owed, record);
        store->owed_count++;
    }
}

void store_audit_forget_owed(struct store *store) {
    audit_records_free(store->owed);
    store->owed = NULL;
    store->owed_count = 0;
}

/* --- reading -----------------------------------------------------------------------------------
 */

struct read_job {
    struct store_job job;
    const struct audit_query *query; /* the waiting caller's */
    struct audit_page *page;
};

static const char *column(sqlite3_stmt *statement, int index) {
    const char *text = (const char *)sqlite3_column_text(statement, index);
    return text ? text : "";
}

static bool shown(struct store *store, sqlite3_stmt *statement, const struct audit_query *query) {
    if (query->account && strcmp(column(statement, 5), query->account) != 0)
        return false;
    bool named = !query->target;
    for (int i = 11; i <= 14 && !named; i++) /* id, name, cluster, device */
        named = strcmp(column(statement, i), query->target) == 0;
    return named &&
           (!query->viewer || store_account_controls(store, query->viewer, column(statement, 15)));
}

static enum audit_by by_of(const char *name) {
    for (int by = AUDIT_BY_TOKEN; by <= AUDIT_BY_SITE_FILE; by++)
        if (strcmp(audit_by_name((enum audit_by)by), name) == 0)
            return (enum audit_by)by;
    return AUDIT_BY_NOBODY;
}

static bool copy_text(char **to, sqlite3_stmt *statement, int index) {
    if (sqlite3_column_type(statement, index) == SQLITE_NULL)
        return true;
    *to = strdup(column(statement, index));
    return *to != NULL;
}

static bool take_row(sqlite3_stmt *statement, struct audit_row *row) {
    struct audit_origin *origin = &row->origin;
    row->number = sqlite3_column_int64(statement, 0);
    row->at.ms = sqlite3_column_int64(statement, 1);
    origin->by = by_of(column(statement, 2));
    snprintf(origin->id, sizeof origin->id, "%s", column(statement, 3));
    snprintf(origin->name, sizeof origin->name, "%s", column(statement, 4));
    snprintf(origin->account, sizeof origin->account, "%s", column(statement, 5));
    snprintf(origin->from, sizeof origin->from, "%s", column(statement, 6));
    snprintf(origin->request_id, sizeof origin->request_id, "%s", column(statement, 7));
    snprintf(origin->action, sizeof origin->action, "%s", column(statement, 8));
    origin->status = sqlite3_column_int(statement, 9);
    row->durable = sqlite3_column_int(statement, 16) != 0;
    return copy_text(&row->target_kind, statement, 10) &&
           copy_text(&row->target_id, statement, 11) &&
           copy_text(&row->target_name, statement, 12) &&
           copy_text(&row->cluster_id, statement, 13) &&
           copy_text(&row->device_id, statement, 14) && copy_text(&row->owner, statement, 15) &&
           copy_text(&row->before, statement, 17) && copy_text(&row->after, statement, 18);
}

static enum err read_state(struct store *store, struct audit_page *page) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_AUDIT_STATE,
                                              "SELECT class, complete_from_ms FROM audit_state");
    if (!statement)
        return ERR_IO;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        int class = sqlite3_column_int(statement, 0);
        if (class >= 0 && class < AUDIT_CLASSES)
            page->complete_from[class].ms = sqlite3_column_int64(statement, 1);
    }
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}

/* Steps through rows, newest first. Where it stops early the page says behind which row to go on.
 */
static enum err read_rows(struct store *store, sqlite3_stmt *statement,
                          const struct audit_query *query, struct audit_page *page) {
    int code = SQLITE_ROW;
    for (int scanned = 0; (code = sqlite3_step(statement)) == SQLITE_ROW; scanned++) {
        bool wanted = shown(store, statement, query);
        page->more = wanted && page->count == query->limit;
        if (page->more)
            return ERR_OK;
        if (wanted && !take_row(statement, &page->rows[page->count++]))
            return ERR_MEMORY;
        if (wanted || scanned == AUDIT_SCAN) {
            page->last_at.ms = sqlite3_column_int64(statement, 1);
            page->last_number = sqlite3_column_int64(statement, 0);
        }
        if (scanned == AUDIT_SCAN) {
            page->more = true;
            return ERR_OK;
        }
    }
    return code == SQLITE_DONE ? ERR_OK : store_fault(store);
}

static enum err read_run(struct store *store, struct store_job *job) {
    const struct audit_query *query = ((const struct read_job *)job)->query;
    struct audit_page *page = ((const struct read_job *)job)->page;
    enum err result = read_state(store, page);
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_AUDIT_LIST,
        "SELECT number, at_ms, who, who_id, who_name, account, origin, request_id, action, status,"
        " target_kind, target_id, target_name, cluster_id, device_id, owner, durable,"
        " value_before, value_after FROM audit"
        " WHERE at_ms >= ?1 AND at_ms < ?2 AND (at_ms, number) < (?3, ?4)"
        " ORDER BY at_ms DESC, number DESC");
    if (result != ERR_OK || !statement)
        return ERR_IO;
    bool first = query->before_number == 0;
    int bound = sqlite3_bind_int64(statement, 1, query->from.ms) |
                sqlite3_bind_int64(statement, 2, query->to.ms) |
                sqlite3_bind_int64(statement, 3, first ? INT64_MAX : query->before_at.ms) |
                sqlite3_bind_int64(statement, 4, first ? INT64_MAX : query->before_number);
    result = bound == SQLITE_OK ? read_rows(store, statement, query, page) : store_fault(store);
    sqlite3_reset(statement);
    if (result == ERR_IO)
        log_error("store", "the audit log could not be read: %s", store->fault_text);
    return result;
}

enum err store_read_audit(struct store *store, const struct audit_query *query,
                          struct audit_page *page) {
    static const struct store_job_type type = {.run = read_run, .reads = true};
    *page = (struct audit_page){0};
    if (query->limit < 1 || query->limit > AUDIT_PAGE)
        return ERR_RANGE;
    if (store->damaged) /* it is in the file only */
        return ERR_IO;
    page->rows = calloc(query->limit, sizeof *page->rows);
    if (!page->rows)
        return ERR_MEMORY;
    struct read_job read = {
        .job = {.type = &type, .bytes = sizeof read}, .query = query, .page = page};
    return store_run(store, &read.job);
}

void audit_page_free(struct audit_page *page) {
    for (size_t i = 0; i < page->count; i++) {
        struct audit_row *row = &page->rows[i];
        char *const texts[] = {row->target_kind, row->target_id, row->target_name, row->cluster_id,
                               row->device_id,   row->owner,     row->before,      row->after};
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++)
            free(texts[j]);
    }
    free(page->rows);
    *page = (struct audit_page){0};
}

/* --- bounds ------------------------------------------------------------------------------------
 */

enum err store_audit_bound(struct store *store, int64_t rows, int64_t bytes) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_AUDIT_BOUND,
                                              "UPDATE audit_state SET max_rows = ?1, max_bytes = ?2"
                                              " WHERE max_rows <> ?1 OR max_bytes <> ?2");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement,
                               sqlite3_bind_int64(statement, 1, rows) |
                                   sqlite3_bind_int64(statement, 2, bytes));
}

struct bound_job {
    struct store_job job;
    int64_t rows, bytes;
};

static enum err bound_run(struct store *store, struct store_job *job) {
    const struct bound_job *bound = (const struct bound_job *)job;
    return store_audit_bound(store, bound->rows, bound->bytes);
}

enum err store_bound_audit(struct store *store, int64_t rows, int64_t bytes) {
    static const struct store_job_type type = {.run = bound_run};
    struct bound_job bound = {
        .job = {.type = &type, .bytes = sizeof bound}, .rows = rows, .bytes = bytes};
    return store_run(store, &bound.job);
}
