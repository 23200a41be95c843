/* Ids that belong to a place in the site file for good. */
#include <stdio.h>
#include <string.h>

#include "store/store_internal.h"

struct id_job {
    struct store_job job;
    const char *kind, *path; /* the waiting caller's */
    char id[ID_SIZE];
};

static enum err id_find(struct store *store, struct id_job *job) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_ID_GET,
                                              "SELECT id FROM ids WHERE kind = ?1 AND path = ?2");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_text(statement, 1, job->kind, -1, SQLITE_STATIC) |
                sqlite3_bind_text(statement, 2, job->path, -1, SQLITE_STATIC);
    int code = bound == SQLITE_OK ? sqlite3_step(statement) : SQLITE_ERROR;
    enum err result = ERR_NOT_FOUND;
    if (code == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        snprintf(job->id, sizeof job->id, "%s", id ? id : "");
        result = id ? ERR_OK : store_fault(store);
    } else if (code != SQLITE_DONE) {
        result = store_fault(store);
    }
    sqlite3_reset(statement);
    return result;
}

static enum err id_run(struct store *store, struct store_job *base) {
    struct id_job *job = (struct id_job *)base;
    enum err result = id_find(store, job);
    if (result != ERR_NOT_FOUND)
        return result;
    uuid_make(job->id);
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_ID_PUT, "INSERT INTO ids (kind, path, id) VALUES (?1, ?2, ?3)");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_text(statement, 1, job->kind, -1, SQLITE_STATIC) |
                sqlite3_bind_text(statement, 2, job->path, -1, SQLITE_STATIC) |
                sqlite3_bind_text(statement, 3, job->id, -1, SQLITE_STATIC);
    return store_statement_run(store, statement, bound);
}

static enum err id_look(struct store *store, struct store_job *base) {
    return id_find(store, (struct id_job *)base);
}

enum err store_id(struct store *store, const char *kind, const char *path, char id[ID_SIZE]) {
    static const struct store_job_type look = {.run = id_look, .reads = true};
    static const struct store_job_type make = {.run = id_run, .needed = true};
    if (strlen(kind) > STORE_KEY_MAXIMUM || strlen(path) > STORE_KEY_MAXIMUM)
        return ERR_LIMIT;
    struct id_job job = {.job = {.type = &look, .bytes = sizeof job}, .kind = kind, .path = path};
    enum err result = store_run(store, &job.job);
    if (result == ERR_NOT_FOUND) { /* one that is known needs no writing */
        job.job = (struct store_job){.type = &make, .bytes = sizeof job};
        result = store_run(store, &job.job);
    }
    if (result == ERR_OK)
        memcpy(id, job.id, ID_SIZE);
    return result;
}

/* --- clusters by what people call them ---------------------------------------------------------
 */

static enum err find_run(struct store *store, struct store_job *base) {
    struct id_job *job = (struct id_job *)base;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_CLUSTER_FIND,
        "SELECT min(id), count(DISTINCT id) FROM ("
        "SELECT id FROM ids WHERE kind = 'cluster' AND (path = ?1 OR id = lower(?1))"
        " UNION ALL SELECT id FROM clusters WHERE key = ?1 OR id = lower(?1))");
    if (!statement)
        return ERR_IO;
    int code = sqlite3_bind_text(statement, 1, job->path, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    enum err result = ERR_NOT_FOUND;
    if (code != SQLITE_ROW) {
        result = store_fault(store);
    } else if (sqlite3_column_int(statement, 1) > 1) {
        result = ERR_CONFLICT;
    } else if (sqlite3_column_int(statement, 1) == 1) {
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        snprintf(job->id, sizeof job->id, "%s", id ? id : "");
        result = ERR_OK;
    }
    sqlite3_reset(statement);
    return result;
}

enum err store_cluster_find(struct store *store, const char *which, char id[ID_SIZE]) {
    static const struct store_job_type type = {.run = find_run, .reads = true};
    struct id_job job = {.job = {.type = &type, .bytes = sizeof job}, .path = which};
    enum err result = store_run(store, &job.job);
    if (result == ERR_OK)
        memcpy(id, job.id, ID_SIZE);
    return result;
}
