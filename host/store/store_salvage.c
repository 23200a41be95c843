/* What can be read of a damaged file, row by row, into an empty database in memory.
 *
 * SQLite stops at the first page that it cannot read, so each table is read from its beginning and
 * from its end, and what lies between is asked for one row at a time. An index that is whole tells
 * which rows there were; where there is none, how many are missing is unknown. A row counts when
 * the tables in memory take it: their types and checks are those of the file.
 *
 * The audit log, and what waits to be delivered to webhooks, is not read: it may be much, nothing
 * that is in force hangs on it, and what was delivered could not be noted. It stays in the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "store/store_internal.h"

#define GAP_MOST      200000 /* rows that are asked for one by one, in each gap */
#define DISK_PATIENCE 50     /* of those that fail as I/O */

struct kind {
    const char *table;
    const char *columns; /* that are its key, in order; "rowid" where there are row numbers */
    const char *by_index;
};

/* What is in force first. */
static const struct kind kinds[SALVAGE_TABLES] = {
    {"constraints", "rowid", "id"},   {"tokens", "rowid", "id"},
    {"accounts", "rowid", "id"},      {"passwords", "rowid", "account"},
    {"clusters", "rowid", "id"},      {"devices", "rowid", "id"},
    {"ids", "kind, path", "id"},      {"texts", "kind, key", NULL},
    {"counters", "name", NULL},       {"webhooks", "rowid", "id"},
    {"receipts", "owner, key", NULL},
};

struct table {
    sqlite3 *from, *to;
    const struct kind *kind;
    struct salvaged *result;
    char columns[600]; /* all, the row number first where there is one */
    int count;
    sqlite3_stmt *insert;
    int64_t last; /* row number of the row that was taken last */
    bool no_memory;
};

static bool has_numbers(const struct table *table) {
    return strcmp(table->kind->columns, "rowid") == 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Of UTF-8, and without NUL: SQLite does not look. */
static bool text_is_valid(const unsigned char *text, int length) {
    for (int i = 0, bytes; i < length; i += bytes) {
        bytes = (int)utf8_length(text + i, (size_t)(length - i));
        if (bytes == 0 || text[i] == '\0')
            return false;
    }
    return true;
}

/* The row that `statement` stands at. */
static void take(struct table *table, sqlite3_stmt *statement) {
    sqlite3_reset(table->insert);
    bool valid = true;
    for (int i = 0; i < table->count; i++) {
        if (sqlite3_column_type(statement, i) == SQLITE_TEXT) {
            const unsigned char *text = sqlite3_column_text(statement, i);
            valid = valid && text && text_is_valid(text, sqlite3_column_bytes(statement, i));
        }
        if (sqlite3_bind_value(table->insert, i + 1, sqlite3_column_value(statement, i)) !=
            SQLITE_OK)
            valid = false;
    }
    if (has_numbers(table))
        table->last = sqlite3_column_int64(statement, 0);
    if (valid) /* one that is there already was read before */
        table->no_memory |= (sqlite3_step(table->insert) & 0xff) == SQLITE_NOMEM;
}

static sqlite3_stmt *prepare(struct table *table, sqlite3 *db, const char *format, ...) {
    struct buf sql;
    sqlite3_stmt *statement = NULL;
    va_list arguments;
    buf_init(&sql, 4096);
    va_start(arguments, format);
    buf_vformat(&sql, format, arguments);
    va_end(arguments);
    int code =
        sql.failed ? SQLITE_NOMEM : sqlite3_prepare_v2(db, buf_string(&sql), -1, &statement, NULL);
    table->no_memory |= (code & 0xff) == SQLITE_NOMEM;
    buf_free(&sql);
    return statement;
}

/* Rows in some order until one cannot be read. True: there were no more. */
static bool take_all(struct table *table, bool indexed, const char *order) {
    sqlite3_stmt *statement =
        prepare(table, table->from, "SELECT %s FROM %s %s ORDER BY %s", table->columns,
                table->kind->table, indexed ? "" : "NOT INDEXED", order);
    int code = SQLITE_ERROR;
    while (statement && (code = sqlite3_step(statement)) == SQLITE_ROW)
        take(table, statement);
    sqlite3_finalize(statement);
    return code == SQLITE_DONE;
}

static int64_t ask(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

/* --- between what can be read from the beginning and from the end ------------------------------
 */

static void take_numbered(struct table *table, int64_t after, int64_t before) {
    sqlite3_stmt *statement = prepare(table, table->from, "SELECT %s FROM %s WHERE rowid = ?1",
                                      table->columns, table->kind->table);
    int refused = 0; /* by the disk itself, which may take its time each time */
    for (int64_t i = 1; statement && i <= GAP_MOST && before - after > i && refused < DISK_PATIENCE;
         i++) {
        sqlite3_bind_int64(statement, 1, after + i);
        int code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            take(table, statement);
        refused += (code & 0xff) == SQLITE_IOERR;
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
}

/* Texts are found by what they are of. */
static void take_texts(struct table *table) {
    static const char keys[] =
        "SELECT kind, key FROM (SELECT column1 AS kind FROM (VALUES ('gridOperator'), ('ends'),"
        " ('gates'), ('told'), ('identity'), ('nameplate'))),"
        " (SELECT id AS key FROM ids UNION SELECT id FROM clusters UNION SELECT id FROM devices)"
        " UNION ALL VALUES ('clock', 'floor'), ('events', 'boot'), ('site', 'taken')"
        " UNION ALL SELECT 'policyState', path FROM ids";
    sqlite3_stmt *statement = prepare(
        table, table->from, "SELECT %s FROM texts WHERE kind = ?1 AND key = ?2", table->columns);
    sqlite3_stmt *key = prepare(table, table->to, "%s", keys);
    while (statement && key && sqlite3_step(key) == SQLITE_ROW) {
        sqlite3_bind_value(statement, 1, sqlite3_column_value(key, 0));
        sqlite3_bind_value(statement, 2, sqlite3_column_value(key, 1));
        if (sqlite3_step(statement) == SQLITE_ROW)
            take(table, statement);
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    sqlite3_finalize(key);
}

/* False: something of it could not be read. */
static bool take_table(struct table *table) {
    char order[80] = "";
    const char *first = table->kind->columns;
    const char *second = strchr(first, ',');
    table->last = 0;
    if (take_all(table, false, first))
        return true;
    int64_t after = table->last;
    if (second)
        snprintf(order, sizeof order, "%.*s DESC%s DESC", (int)(second - first), first, second);
    else
        snprintf(order, sizeof order, "%s DESC", first);
    table->last = INT64_MAX;
    if (take_all(table, false, order))
        return false; /* it could after all; the disk is to be blamed */
    if (has_numbers(table))
        take_numbered(table, after, table->last);
    else if (strcmp(table->kind->table, "texts") == 0)
        take_texts(table);
    else if (strcmp(table->kind->table, "ids") == 0)
        (void)take_all(table, true, "id"); /* the index has all of it */
    return false;
}

/* --- what there should be ----------------------------------------------------------------------
 */

/* Rows that an index has and `to` has not. False: the index cannot be read to its end. */
static bool count_by_index(struct table *table, const char *direction, int64_t *missing) {
    sqlite3_stmt *all =
        prepare(table, table->from, "SELECT %s FROM %s ORDER BY %s %s", table->kind->columns,
                table->kind->table, table->kind->by_index, direction);
    sqlite3_stmt *one =
        has_numbers(table)
            ? prepare(table, table->to, "SELECT 1 FROM %s WHERE rowid = ?1", table->kind->table)
            : prepare(table, table->to, "SELECT 1 FROM ids WHERE kind = ?1 AND path = ?2");
    int code = SQLITE_ERROR;
    *missing = 0;
    while (all && one && (code = sqlite3_step(all)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(all); i++)
            sqlite3_bind_value(one, i + 1, sqlite3_column_value(all, i));
        *missing += sqlite3_step(one) != SQLITE_ROW;
        sqlite3_reset(one);
    }
    sqlite3_finalize(all);
    sqlite3_finalize(one);
    return code == SQLITE_DONE;
}

/* `whole`: the table was read to its end; `met`: rows that it has then. */
static void count(struct table *table, bool whole, int64_t met) {
    struct salvaged *result = table->result;
    struct buf sql;
    int64_t missing = 0, from_the_end = 0;
    buf_init(&sql, 200);
    buf_format(&sql, "SELECT count(*) FROM %s", table->kind->table);
    result->read = sql.failed ? 0 : ask(table->to, buf_string(&sql));
    buf_free(&sql);
    if (table->kind->by_index && count_by_index(table, "", &missing)) {
        result->lost = missing;
        return;
    }
    if (whole) {
        result->lost = met - result->read;
        return;
    }
    if (table->kind->by_index)
        (void)count_by_index(table, "DESC", &from_the_end);
    result->lost = missing > from_the_end ? missing : from_the_end;
    result->unknown = true;
}

/* --- a table -----------------------------------------------------------------------------------
 */

/* The columns that it has in this layout, and the statement that takes a row. */
static bool look_at_columns(struct table *table) {
    char marks[200] = "?1";
    sqlite3_stmt *names =
        prepare(table, table->to, "SELECT name FROM pragma_table_info('%s')", table->kind->table);
    struct buf columns;
    buf_init(&columns, sizeof table->columns - 1);
    if (has_numbers(table)) {
        buf_text(&columns, "rowid");
        table->count = 1;
    }
    bool any = false;
    while (names && sqlite3_step(names) == SQLITE_ROW) {
        buf_format(&columns, "%s%s", table->count ? ", " : "",
                   (const char *)sqlite3_column_text(names, 0));
        table->count++;
        any = true;
        if (table->count > 1) {
            size_t length = strlen(marks);
            snprintf(marks + length, sizeof marks - length, ", ?%d", table->count);
        }
    }
    sqlite3_finalize(names);
    snprintf(table->columns, sizeof table->columns, "%s",
             columns.failed ? "" : buf_string(&columns));
    any = any && !columns.failed;
    buf_free(&columns);
    if (any)
        table->insert = prepare(table, table->to, "INSERT OR IGNORE INTO %s (%s) VALUES (%s)",
                                table->kind->table, table->columns, marks);
    return table->insert != NULL;
}

static bool salvage_table(sqlite3 *from, sqlite3 *to, const struct kind *kind,
                          struct salvaged *result) {
    struct table table = {.from = from, .to = to, .kind = kind, .result = result};
    *result = (struct salvaged){.table = kind->table};
    if (look_at_columns(&table)) { /* else there is none in this layout */
        char sql[100];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s NOT INDEXED", kind->table);
        bool whole = from && take_table(&table);
        sqlite3_reset(table.insert);
        if (from)
            count(&table, whole, whole ? ask(from, sql) : 0);
        else
            result->unknown = true;
    }
    sqlite3_finalize(table.insert);
    return !table.no_memory;
}

bool store_salvage(sqlite3 *from, sqlite3 *to, struct salvaged salvaged[SALVAGE_TABLES]) {
    bool ok = true;
    for (size_t i = 0; i < SALVAGE_TABLES; i++)
        ok = salvage_table(from, to, &kinds[i], &salvaged[i]) && ok;
    return ok;
}
