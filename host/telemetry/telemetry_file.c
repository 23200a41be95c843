/* The file: opening, its layout, its faults. What cannot be used is renamed, together with its WAL,
 * so that a person can look at it; one of each kind is kept, the newest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "telemetry/telemetry_internal.h"

#define APPLICATION_ID 1684370024 /* "deth" */
#define BUSY_MS        2000
#define AGAIN_MS       30000
#define PATH_SIZE      600

static const char layout[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE devices ("
    "  number INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  cluster_id TEXT NOT NULL,"
    "  seen INTEGER NOT NULL,"          /* quantities, by number */
    "  rated REAL,"                     /* W */
    "  minutes_until INTEGER NOT NULL," /* buckets before it are made */
    "  quarters_until INTEGER NOT NULL,"
    "  days_until INTEGER NOT NULL,"
    "  meter BLOB"
    ") STRICT;"
    "CREATE TABLE raw (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,"
    "  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE minutes (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,"
    "  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE quarters (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,"
    "  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE days (device INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL,"
    "  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE decisions ("
    "  device INTEGER NOT NULL, at INTEGER NOT NULL, until INTEGER, duration INTEGER NOT NULL,"
    "  ended INTEGER NOT NULL, flags INTEGER NOT NULL,"
    "  active_power INTEGER, min_active_power INTEGER, max_active_power INTEGER,"
    "  set_id TEXT, set_priority INTEGER, set_created_by TEXT, set_reason TEXT,"
    "  min_id TEXT, min_priority INTEGER, min_created_by TEXT, min_reason TEXT,"
    "  max_id TEXT, max_priority INTEGER, max_created_by TEXT, max_reason TEXT,"
    "  command INTEGER NOT NULL, command_since INTEGER, sent_at INTEGER, confirmed_at INTEGER,"
    "  measured INTEGER NOT NULL, at_min INTEGER NOT NULL, at_max INTEGER NOT NULL,"
    "  outside INTEGER NOT NULL,"
    "  PRIMARY KEY (device, at)) STRICT, WITHOUT ROWID;";

const char *level_table(enum level level) {
    static const char *const names[] = {"raw", "minutes", "quarters", "days"};
    return names[level];
}

/* --- faults ---------------------------------------------------------------------------------- */

static void note(struct telemetry *telemetry, const char *text) {
    pthread_mutex_lock(&telemetry->lock);
    bool news = !telemetry->status.failing || strcmp(telemetry->status.why, text) != 0;
    telemetry->status.failing = true;
    snprintf(telemetry->status.why, sizeof telemetry->status.why, "%s", text);
    pthread_mutex_unlock(&telemetry->lock);
    if (news)
        log_error("history", "%s: writing fails: %s; samples are dropped, control goes on",
                  telemetry->path, text);
}

static bool is_damage(int code) {
    return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

static void move_aside(struct telemetry *telemetry, const char *suffix, const char *why) {
    static const char *const companions[] = {"", "-wal", "-shm"};
    char from[PATH_SIZE], to[PATH_SIZE];
    telemetry_file_close(telemetry);
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++) {
        snprintf(from, sizeof from, "%s%s", telemetry->path, companions[i]);
        snprintf(to, sizeof to, "%s.%s%s", telemetry->path, suffix, companions[i]);
        (void)unlink(to);
        if (rename(from, to) != 0 && errno != ENOENT)
            log_error("history", "%s cannot be renamed: %s", from, strerror(errno));
    }
    pthread_mutex_lock(&telemetry->lock);
    telemetry->status.set_aside++;
    pthread_mutex_unlock(&telemetry->lock);
    telemetry->open_again_ms = 0;
    log_error("history",
              "%s cannot be used (%s): it was set aside as %s.%s and a new history is begun; "
              "control is not concerned",
              telemetry->path, why, telemetry->path, suffix);
}

void telemetry_file_fault(struct telemetry *telemetry) {
    char text[240];
    int code = telemetry->db ? sqlite3_extended_errcode(telemetry->db) : SQLITE_NOMEM;
    const char *advice = (code & 0xff) == SQLITE_FULL ? ": make room on the disk" : "";
    snprintf(text, sizeof text, "%s (SQLite result %d)%s",
             telemetry->db ? sqlite3_errmsg(telemetry->db) : "no memory", code, advice);
    note(telemetry, text);
    if (is_damage(code))
        move_aside(telemetry, "damaged", text);
}

/* --- statements ------------------------------------------------------------------------------ */

sqlite3_stmt *telemetry_statement(struct telemetry *telemetry, int which, const char *sql) {
    sqlite3_stmt **kept = &telemetry->statements[which];
    if (!*kept && sqlite3_prepare_v3(telemetry->db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept,
                                     NULL) != SQLITE_OK)
        return NULL;
    sqlite3_reset(*kept);
    sqlite3_clear_bindings(*kept);
    return *kept;
}

sqlite3_stmt *telemetry_level_statement(struct telemetry *telemetry, int which, enum level level,
                                        const char *sql) {
    char text[400];
    size_t used = 0;
    const char *table = level_table(level);
    if (telemetry->statements[which + (int)level])
        return telemetry_statement(telemetry, which + (int)level, "");
    while (*sql && used + strlen(table) + 1 < sizeof text) {
        if (sql[0] == '%' && sql[1] == 's') {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s", table);
            sql += 2;
        } else {
            text[used++] = *sql++;
        }
    }
    text[used] = '\0';
    return telemetry_statement(telemetry, which + (int)level, text);
}

bool telemetry_run(struct telemetry *telemetry, sqlite3_stmt *statement) {
    (void)telemetry;
    if (!statement)
        return false;
    int code = sqlite3_step(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW;
}

bool telemetry_run_simple(struct telemetry *telemetry, enum telemetry_statement which) {
    static const char *const texts[] = {[TELEMETRY_BEGIN] = "BEGIN IMMEDIATE",
                                        [TELEMETRY_COMMIT] = "COMMIT",
                                        [TELEMETRY_ROLLBACK] = "ROLLBACK"};
    sqlite3_stmt *statement = telemetry_statement(telemetry, (int)which, texts[which]);
    bool ok = telemetry_run(telemetry, statement);
    sqlite3_reset(statement);
    return ok;
}

/* --- opening --------------------------------------------------------------------------------- */

void telemetry_file_close(struct telemetry *telemetry) {
    for (size_t i = 0; i < TELEMETRY_STATEMENT_COUNT; i++) {
        sqlite3_finalize(telemetry->statements[i]);
        telemetry->statements[i] = NULL;
    }
    if (telemetry->db && sqlite3_close(telemetry->db) != SQLITE_OK)
        log_error("history", "%s was not closed cleanly: %s", telemetry->path,
                  sqlite3_errmsg(telemetry->db));
    telemetry->db = NULL;
    pthread_mutex_lock(&telemetry->lock);
    telemetry->status.ready = false;
    pthread_mutex_unlock(&telemetry->lock);
}

/* First column of the first row, or false. */
static bool ask_number(struct telemetry *telemetry, const char *sql, int64_t *number) {
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(telemetry->db, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        *number = sqlite3_column_int64(statement, 0);
    return sqlite3_finalize(statement) == SQLITE_OK && ok;
}

static bool execute(struct telemetry *telemetry, const char *sql) {
    return sqlite3_exec(telemetry->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool connect_file(struct telemetry *telemetry) {
    /* Made before SQLite opens it, so that it never has another mode. */
    int fd = open(telemetry->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        note(telemetry, strerror(errno));
        return false;
    }
    close(fd);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(telemetry->path, &telemetry->db, flags, NULL) != SQLITE_OK)
        return false;
    sqlite3_extended_result_codes(telemetry->db, 1);
    sqlite3_busy_timeout(telemetry->db, BUSY_MS);
    sqlite3_db_config(telemetry->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return execute(telemetry, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                              "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;"
                              /* A page of each device is written in each round, one after the
                               * other: they go into the file once for several rounds, and until
                               * then the system keeps them as well as a large cache here would. */
                              "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -2000;");
}

enum fitness { FIT, FIT_EMPTY, FIT_NEWER, FIT_FOREIGN, FIT_NOT };

/* What is in there: only the head and the tables are looked at, since a file of a gigabyte takes an
 * SD card minutes to read. Damage further in shows when it is met. */
static enum fitness look(struct telemetry *telemetry) {
    int64_t application, version, tables, ours;
    if (!ask_number(telemetry, "PRAGMA application_id", &application) ||
        !ask_number(telemetry, "PRAGMA user_version", &version) ||
        !ask_number(telemetry, "SELECT count(*) FROM sqlite_schema", &tables))
        return FIT_NOT;
    if (application == 0 && version == 0 && tables == 0)
        return FIT_EMPTY;
    if (application != APPLICATION_ID)
        return FIT_FOREIGN;
    if (version > TELEMETRY_SCHEMA)
        return FIT_NEWER;
    return ask_number(telemetry,
                      "SELECT (SELECT count(*) FROM devices) + (SELECT count(*) FROM meta)"
                      " + (SELECT count(*) FROM (SELECT 1 FROM raw LIMIT 1))"
                      " + (SELECT count(*) FROM (SELECT 1 FROM minutes LIMIT 1))"
                      " + (SELECT count(*) FROM (SELECT 1 FROM quarters LIMIT 1))"
                      " + (SELECT count(*) FROM (SELECT 1 FROM days LIMIT 1))"
                      " + (SELECT count(*) FROM (SELECT 1 FROM decisions LIMIT 1))",
                      &ours)
               ? FIT
               : FIT_NOT;
}

static bool make_layout(struct telemetry *telemetry) {
    char head[120];
    snprintf(head, sizeof head, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
             APPLICATION_ID, TELEMETRY_SCHEMA);
    return execute(telemetry, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;") &&
           execute(telemetry, layout) && execute(telemetry, head);
}

/* Rulings that the host did not live to end: they are known until it was last seen alive. */
static bool end_lost(struct telemetry *telemetry) {
    char sql[400];
    snprintf(sql, sizeof sql,
             "UPDATE decisions SET ended = %d,"
             " until = max(at, (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'alive')),"
             " duration = max(duration, max(0,"
             "  (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'alive') - at))"
             " WHERE until IS NULL",
             RULING_HOST_LOST);
    return execute(telemetry, sql);
}

/* One try. True: open. False with `db` NULL: set aside, try again; else not now. */
static bool try_open(struct telemetry *telemetry, bool *again) {
    *again = false;
    enum fitness fitness = connect_file(telemetry) ? look(telemetry) : FIT_NOT;
    if (fitness == FIT_EMPTY)
        fitness = make_layout(telemetry) ? FIT : FIT_NOT;
    if (fitness == FIT && end_lost(telemetry) && tracks_load(telemetry))
        return true;
    if (fitness == FIT_FOREIGN || fitness == FIT_NEWER) {
        bool newer = fitness == FIT_NEWER;
        move_aside(telemetry, newer ? "newer" : "foreign",
                   newer ? "it was written by a newer derd" : "it is of another program");
        *again = true;
        return false;
    }
    if (telemetry->db) {
        *again = is_damage(sqlite3_errcode(telemetry->db));
        telemetry_file_fault(telemetry);
        telemetry_file_close(telemetry);
    }
    return false;
}

bool telemetry_file_open(struct telemetry *telemetry) {
    int64_t now_ms = clock_mono().ms;
    bool again = true;
    if (now_ms < telemetry->open_again_ms)
        return false;
    bool open = false;
    for (int tries = 0; again && tries < 3 && !open; tries++)
        open = try_open(telemetry, &again);
    telemetry->open_again_ms = now_ms + AGAIN_MS;
    pthread_mutex_lock(&telemetry->lock);
    telemetry->status.ready = open;
    if (open)
        telemetry->status.failing = false;
    pthread_mutex_unlock(&telemetry->lock);
    return open;
}

void telemetry_file_examine(struct telemetry *telemetry) {
    sqlite3_stmt *statement = NULL;
    bool sound = sqlite3_prepare_v2(telemetry->db, "PRAGMA quick_check(1)", -1, &statement, NULL) ==
                     SQLITE_OK &&
                 sqlite3_step(statement) == SQLITE_ROW &&
                 strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    sqlite3_finalize(statement);
    if (!sound) {
        move_aside(telemetry, "damaged", "a part of it cannot be read");
        telemetry->open_again_ms = 0;
        (void)telemetry_file_open(telemetry);
    }
}
