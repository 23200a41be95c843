/* A damaged file at start. The limits of the site file, the failsafe of the grid operator and what
 * can be read are to be in force all the same: the rows are copied into a database in memory
 * (store_salvage.c), the file is closed, and the store stands by for good. Nothing writes to the
 * file; a person decides what becomes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "store/store_internal.h"

#define SEARCH_MAXIMUM ((int64_t)256 << 20)
#define SCHEMA_TEXT    "CREATE TABLE constraints (" /* as the first step writes it */

/* Whether the text stands anywhere in a file of the folder. */
static bool file_holds(const struct store *store, const char *name, const char *text) {
    const size_t length = strlen(text);
    char *path = store_path(store->directory, name);
    FILE *file = path ? fopen(path, "rbe") : NULL;
    char *data = malloc(65536);
    size_t kept = 0;
    bool found = false;
    for (int64_t all = 0; file && data && !found && all < SEARCH_MAXIMUM;) {
        size_t more = fread(data + kept, 1, 65536 - kept, file);
        if (!more)
            break;
        all += (int64_t)more;
        found = memmem(data, kept + more, text, length) != NULL;
        size_t rest = kept + more < length - 1 ? kept + more : length - 1;
        memmove(data, data + kept + more - rest, rest);
        kept = rest;
    }
    free(data);
    if (file)
        fclose(file);
    free(path);
    return found;
}

/* A wrong path is not damage: there must be something in it that is ours. No connection is open. */
bool store_salvage_ours(const struct store *store) {
    unsigned char head[100] = {0};
    struct stat status;
    if (stat(store->path, &status) == 0 && status.st_size == 0)
        return true; /* its journal is not empty, else nothing was found */
    FILE *file = fopen(store->path, "rbe");
    if (!file)
        return false;
    bool whole = fread(head, sizeof head, 1, file) == 1;
    fclose(file);
    if (whole && memcmp(head, "SQLite format 3", 16) == 0) {
        uint32_t application = (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 |
                               (uint32_t)head[70] << 8 | head[71];
        if (application)
            return application == STORE_APPLICATION_ID;
    }
    return file_holds(store, "derd.db", SCHEMA_TEXT) ||
           file_holds(store, "derd.db-wal", SCHEMA_TEXT);
}

/* The file as it is, also where its list of tables is wrong; NULL: nothing can be read. */
static sqlite3 *damaged_open(const struct store *store) {
    sqlite3 *db = NULL;
    if (!store_has_file(store, "derd.db"))
        return NULL;
    int flags = 0;
    char *name = store_reading_name(store, &flags);
    int code =
        name ? sqlite3_open_v2(name, &db, flags | SQLITE_OPEN_NOMUTEX, "unix-none") : SQLITE_NOMEM;
    free(name);
    if (code == SQLITE_OK) {
        sqlite3_limit(db, SQLITE_LIMIT_LENGTH, STORE_ROW_MAXIMUM);
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL); /* reads over mistakes */
        code = sqlite3_exec(db,
                            "PRAGMA locking_mode = EXCLUSIVE;"
                            "PRAGMA trusted_schema = OFF;"
                            "PRAGMA cell_size_check = ON;",
                            NULL, NULL, NULL);
    }
    if (code == SQLITE_OK)
        return db;
    sqlite3_close(db);
    return NULL;
}

/* Of the file's layout; 0: it cannot be told. */
static int64_t damaged_version(sqlite3 *db) {
    sqlite3_stmt *statement = NULL;
    int64_t version = 0;
    if (db && sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

/* A limit may be in a row of these, or be on something that is. */
static bool holds_limits(const char *table) {
    static const char *const tables[] = {"constraints", "clusters", "devices", "ids", "texts"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(table, tables[i]) == 0)
            return true;
    return false;
}

static void describe_damage(struct store *store, const struct salvaged *salvaged,
                            bool journal_wrong) {
    struct buf lost;
    bool limits = journal_wrong;
    buf_init(&lost, 600);
    for (size_t i = 0; i < SALVAGE_TABLES; i++) {
        const struct salvaged *one = &salvaged[i];
        if (!one->lost && !one->unknown)
            continue;
        limits = limits || holds_limits(one->table);
        const char *comma = lost.length ? ", " : "";
        if (!one->unknown)
            buf_format(&lost, "%s%lld of %lld rows of %s", comma, (long long)one->lost,
                       (long long)one->lost + (long long)one->read, one->table);
        else if (one->lost)
            buf_format(&lost, "%sat least %lld rows of %s (%lld were read)", comma,
                       (long long)one->lost, one->table, (long long)one->read);
        else
            buf_format(&lost, "%san unknown number of rows of %s (%lld were read)", comma,
                       one->table, (long long)one->read);
    }
    snprintf(store->fault_text, sizeof store->fault_text,
             "derd.db is damaged (%s). It is only read, nothing is kept. %s%s%s. What to do: %s",
             store->found,
             limits ? "LIMITS THAT WERE ACCEPTED MAY BE MISSING; those of the site file hold. "
                    : "",
             lost.length ? "Could not be read: " : "Every row of what counts could be read",
             lost.failed ? "more than can be listed" : buf_string(&lost), STORE_DAMAGED_ADVICE);
    buf_free(&lost);
}

/* `trouble`: what was said of the file so far. */
enum err store_salvage_open(struct store *store, struct report *trouble) {
    struct salvaged salvaged[SALVAGE_TABLES];
    struct report report;
    report_init(&report);
    bool journal_wrong = strstr(store->found, "derd.db-wal") != NULL;
    store_database_close(store);
    sqlite3 *from = damaged_open(store);
    int64_t version = damaged_version(from);
    enum err result = version > STORE_SCHEMA ? ERR_REFUSED : ERR_OK;
    if (version <= 0) { /* then no table can be found either */
        sqlite3_close(from);
        from = NULL;
        version = STORE_SCHEMA;
    }
    if (result == ERR_OK)
        result = store_database_open(store, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                     NULL, &report);
    if (result == ERR_OK) {
        store->damaged = store->standby = true;
        result = store_database_migrate(store, 0, version, &report);
    }
    if (result == ERR_OK && !store_salvage(from, store->db, salvaged))
        result = ERR_MEMORY;
    sqlite3_close(from);
    if (result == ERR_OK)
        result = store_database_migrate(store, version, STORE_SCHEMA, &report);
    if (result == ERR_OK)
        describe_damage(store, salvaged, journal_wrong);
    report_move(trouble, &report, "");
    report_free(&report);
    return result;
}
