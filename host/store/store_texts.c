/* One text by one key of one kind: gates, identities, policy state, the last wall time. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/store_internal.h"

struct text_job {
    struct store_job job;
    char *kind, *key, *value; /* into `texts`; value NULL: remove, or nothing found */
    char texts[];
};

static struct text_job *text_job_new(const struct store_job_type *type, const char *kind,
                                     const char *key, const char *value, store_done *done,
                                     void *context) {
    size_t kind_size = strlen(kind) + 1;
    size_t key_size = strlen(key) + 1;
    size_t value_size = value ? strlen(value) + 1 : 0;
    struct text_job *text =
        store_job_new(type, sizeof *text + kind_size + key_size + value_size, done, context);
    if (!text)
        return NULL;
    text->kind = memcpy(text->texts, kind, kind_size);
    text->key = memcpy(text->texts + kind_size, key, key_size);
    if (value)
        text->value = memcpy(text->texts + kind_size + key_size, value, value_size);
    return text;
}

static int text_bind(sqlite3_stmt *statement, const struct text_job *text) {
    return sqlite3_bind_text(statement, 1, text->kind, -1, SQLITE_STATIC) |
           sqlite3_bind_text(statement, 2, text->key, -1, SQLITE_STATIC);
}

static enum err put_run(struct store *store, struct store_job *job) {
    const struct text_job *text = (const struct text_job *)job;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_TEXT_PUT,
                        "INSERT OR REPLACE INTO texts (kind, key, value) VALUES (?1, ?2, ?3)");
    if (!statement)
        return ERR_IO;
    int bound = text_bind(statement, text) |
                sqlite3_bind_text(statement, 3, text->value, -1, SQLITE_STATIC);
    return store_statement_run(store, statement, bound);
}

static enum err remove_run(struct store *store, struct store_job *job) {
    sqlite3_stmt *statement = store_statement(store, STATEMENT_TEXT_REMOVE,
                                              "DELETE FROM texts WHERE kind = ?1 AND key = ?2");
    if (!statement)
        return ERR_IO;
    return store_statement_run(store, statement,
                               text_bind(statement, (const struct text_job *)job));
}

enum err store_put_text(struct store *store, const char *kind, const char *key, const char *value,
                        store_done *done, void *context) {
    static const struct store_job_type put = {.run = put_run};
    static const struct store_job_type removal = {.run = remove_run};
    if (strlen(kind) > STORE_KEY_MAXIMUM || strlen(key) > STORE_KEY_MAXIMUM ||
        (value && strlen(value) > STORE_TEXT_MAXIMUM))
        return ERR_LIMIT;
    struct text_job *text = text_job_new(value ? &put : &removal, kind, key, value, done, context);
    return text ? store_submit(store, &text->job) : ERR_MEMORY;
}

struct get_job {
    struct store_job job;
    const char *kind, *key; /* the waiting caller's */
    char *value;
};

static enum err get_run(struct store *store, struct store_job *job) {
    struct get_job *get = (struct get_job *)job;
    sqlite3_stmt *statement = store_statement(
        store, STATEMENT_TEXT_GET, "SELECT value FROM texts WHERE kind = ?1 AND key = ?2");
    if (!statement)
        return ERR_IO;
    int bound = sqlite3_bind_text(statement, 1, get->kind, -1, SQLITE_STATIC) |
                sqlite3_bind_text(statement, 2, get->key, -1, SQLITE_STATIC);
    int code = bound == SQLITE_OK ? sqlite3_step(statement) : SQLITE_ERROR;
    enum err result = ERR_OK;
    if (code == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(statement, 0);
        get->value = value ? strdup(value) : NULL;
        result = get->value ? ERR_OK : ERR_MEMORY;
    } else if (code != SQLITE_DONE) {
        result = store_fault(store);
        log_error("store", "the text %s of %s could not be read: %s", get->key, get->kind,
                  store->fault_text);
    }
    sqlite3_reset(statement);
    return result;
}

char *store_get_text(struct store *store, const char *kind, const char *key) {
    static const struct store_job_type type = {.run = get_run, .reads = true};
    struct get_job get = {.job = {.type = &type, .bytes = sizeof get}, .kind = kind, .key = key};
    return store_run(store, &get.job) == ERR_OK ? get.value : NULL;
}

struct texts_job {
    struct store_job job;
    const char *kind; /* the waiting caller's */
    store_text_row *row;
    void *context;
};

static enum err texts_run(struct store *store, struct store_job *job) {
    const struct texts_job *texts = (const struct texts_job *)job;
    sqlite3_stmt *statement =
        store_statement(store, STATEMENT_TEXT_LOAD, "SELECT key, value FROM texts WHERE kind = ?1");
    if (!statement)
        return ERR_IO;
    int code = sqlite3_bind_text(statement, 1, texts->kind, -1, SQLITE_STATIC) == SQLITE_OK
                   ? sqlite3_step(statement)
                   : SQLITE_ERROR;
    for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        const char *value = (const char *)sqlite3_column_text(statement, 1);
        if (key && value)
            texts->row(texts->context, key, value);
    }
    enum err result = code == SQLITE_DONE ? ERR_OK : store_fault(store);
    if (result != ERR_OK)
        log_error("store", "the texts of %s could not be read at once: %s", texts->kind,
                  store->fault_text);
    sqlite3_reset(statement);
    return result;
}

enum err store_load_texts(struct store *store, const char *kind, store_text_row *row,
                          void *context) {
    static const struct store_job_type type = {.run = texts_run, .reads = true};
    struct texts_job texts = {.job = {.type = &type, .bytes = sizeof texts},
                              .kind = kind,
                              .row = row,
                              .context = context};
    return store_run(store, &texts.job);
}
