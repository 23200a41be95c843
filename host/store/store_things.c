/* Clusters and devices that the API made: one row each, keyed by id. What they are is the JSON of
 * their entry, in the words of the site file; the columns beside it are what joins them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

struct thing_job {
    struct store_job job;
    bool is_device;
    int64_t revision, created_at_ms;
    char *id, *key, *owner, *parent_id, *entry; /* into `texts` */
    char texts[];
};

static int bind_text(sqlite3_stmt *statement, int column, const char *text) {
    return sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

static enum err put_run(struct store *store, struct store_job *job) {
    const struct thing_job *put = (const struct thing_job *)job;
    enum err known = put->is_device ? ERR_OK : store_account_known(store, put->owner);
    if (known != ERR_OK)
        return known;
    sqlite3_stmt *statement =
        put->is_device
            ? store_statement(store, STATEMENT_DEVICE_PUT,
                              "INSERT INTO devices (id, key, cluster_id, entry, revision,"
                              " created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                              " ON CONFLICT (id) DO UPDATE SET entry = excluded.entry,"
                              " revision = excluded.revision")
            : store_statement(store, STATEMENT_CLUSTER_PUT,
                              "INSERT INTO clusters (id, key, account, entry, revision,"
                              " created_at_ms, parent_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                              " ON CONFLICT (id) DO UPDATE SET account = excluded.account,"
                              " parent_id = excluded.parent_id, entry = excluded.entry,"
                              " revision = excluded.revision");
    if (!statement)
        return ERR_IO;
    int bound = bind_text(statement, 1, put->id) | bind_text(statement, 2, put->key) |
                bind_text(statement, 3, put->owner) | bind_text(statement, 4, put->entry) |
                sqlite3_bind_int64(statement, 5, put->revision) |
                sqlite3_bind_int64(statement, 6, put->created_at_ms);
    if (!put->is_device)
        bound |= bind_text(statement, 7, put->parent_id);
    return store_statement_run(store, statement, bound);
}

static enum err remove_run(struct store *store, struct store_job *job) {
    const struct thing_job *removal = (const struct thing_job *)job;
    sqlite3_stmt *statement =
        removal->is_device
            ? store_statement(store, STATEMENT_DEVICE_REMOVE, "DELETE FROM devices WHERE id = ?1")
            : store_statement(store, STATEMENT_CLUSTER_REMOVE,
                              "DELETE FROM clusters WHERE id = ?1");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement, bind_text(statement, 1, removal->id));
}

static char *take_text(char **at, const char *text) {
    size_t size = strlen(text) + 1;
    char *taken = memcpy(*at, text, size);
    *at += size;
    return taken;
}

static enum err submit(struct store *store, const struct store_job_type *type,
                       const struct stored_thing *thing, store_done *done, void *context) {
    size_t size = strlen(thing->id) + strlen(thing->key) + strlen(thing->owner) +
                  strlen(thing->parent_id) + strlen(thing->entry) + 5;
    struct thing_job *job =
        size > STORE_TEXT_MAXIMUM ? NULL : store_job_new(type, sizeof *job + size, done, context);
    store_job_record(job ? &job->job : NULL, thing->record);
    if (!job)
        return size > STORE_TEXT_MAXIMUM ? ERR_LIMIT : ERR_MEMORY;
    char *at = job->texts;
    job->is_device = thing->is_device;
    job->revision = thing->revision;
    job->created_at_ms = thing->created_at.ms;
    job->id = take_text(&at, thing->id);
    job->key = take_text(&at, thing->key);
    job->owner = take_text(&at, thing->owner);
    job->parent_id = take_text(&at, thing->parent_id);
    job->entry = take_text(&at, thing->entry);
    return store_submit(store, &job->job);
}

enum err store_put_thing(struct store *store, const struct stored_thing *thing, store_done *done,
                         void *context) {
    static const struct store_job_type type = {.run = put_run};
    return submit(store, &type, thing, done, context);
}

enum err store_remove_thing(struct store *store, bool is_device, const char *id,
                            struct audit_record *record, store_done *done, void *context) {
    static const struct store_job_type type = {.run = remove_run};
    const struct stored_thing thing = {.is_device = is_device,
                                       .id = id,
                                       .key = "",
                                       .owner = "",
                                       .parent_id = "",
                                       .entry = "",
                                       .record = record};
    return submit(store, &type, &thing, done, context);
}

/* --- at start --------------------------------------------------------------------------------- */

struct load_job {
    struct store_job job;
    store_thing_row *row;
    void *context;
};

static const char *text_at(sqlite3_stmt *statement, int column) {
    return (const char *)sqlite3_column_text(statement, column);
}

static enum err load_kind(struct store *store, const struct load_job *load, bool is_device) {
    sqlite3_stmt *statement =
        is_device ? store_statement(store, STATEMENT_DEVICE_LOAD,
                                    "SELECT id, key, cluster_id, '', entry, revision,"
                                    " created_at_ms FROM devices ORDER BY created_at_ms, id")
                  : store_statement(store, STATEMENT_CLUSTER_LOAD,
                                    "SELECT id, key, account, parent_id, entry, revision,"
                                    " created_at_ms FROM clusters ORDER BY created_at_ms, id");
    if (!statement)
        return ERR_IO;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct stored_thing thing = {.is_device = is_device,
                                           .id = text_at(statement, 0),
                                           .key = text_at(statement, 1),
                                           .owner = text_at(statement, 2),
                                           .parent_id = text_at(statement, 3),
                                           .entry = text_at(statement, 4),
                                           .revision = sqlite3_column_int64(statement, 5),
                                           .created_at = {sqlite3_column_int64(statement, 6)}};
        if (thing.id && thing.key && thing.owner && thing.parent_id && thing.entry)
            load->row(load->context, &thing); /* else no memory, which the next step says */
    }
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    sqlite3_reset(statement);
    return result;
}

static enum err load_run(struct store *store, struct store_job *job) {
    const struct load_job *load = (const struct load_job *)job;
    enum err result = load_kind(store, load, false);
    return result == ERR_OK ? load_kind(store, load, true) : result;
}

enum err store_load_things(struct store *store, store_thing_row *row, void *context) {
    static const struct store_job_type type = {.run = load_run, .reads = true};
    struct load_job load = {
        .job = {.type = &type, .bytes = sizeof load}, .row = row, .context = context};
    return store_run(store, &load.job);
}
