#include "telemetry/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "telemetry/telemetry_internal.h"

#define READER_BUSY_MS 1000

struct reader {
    struct telemetry *telemetry;
    sqlite3 *db;
    sqlite3_stmt *rows; /* of `level` */
    enum level level;
    sqlite3_stmt *rulings;
};

enum err reader_open(struct reader **out, struct telemetry *telemetry) {
    struct telemetry_status status;
    *out = NULL;
    telemetry_status(telemetry, &status);
    if (!status.ready)
        return ERR_CLOSED;
    if (atomic_fetch_add(&telemetry->readers, 1) >= TELEMETRY_READERS) {
        atomic_fetch_sub(&telemetry->readers, 1);
        return ERR_LIMIT;
    }
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        atomic_fetch_sub(&telemetry->readers, 1);
        return ERR_MEMORY;
    }
    reader->telemetry = telemetry;
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(telemetry->path, &reader->db, flags, NULL) != SQLITE_OK) {
        reader_close(reader);
        return ERR_CLOSED;
    }
    sqlite3_extended_result_codes(reader->db, 1);
    sqlite3_busy_timeout(reader->db, READER_BUSY_MS);
    (void)sqlite3_exec(reader->db,
                       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                       "PRAGMA cache_size = -256;",
                       NULL, NULL, NULL);
    *out = reader;
    return ERR_OK;
}

void reader_close(struct reader *reader) {
    if (!reader)
        return;
    sqlite3_finalize(reader->rows);
    sqlite3_finalize(reader->rulings);
    sqlite3_close(reader->db);
    atomic_fetch_sub(&reader->telemetry->readers, 1);
    free(reader);
}

static enum err fault(struct reader *reader) {
    int code = sqlite3_errcode(reader->db);
    log_warning("history", "reading fails: %s", sqlite3_errmsg(reader->db));
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        atomic_store(&reader->telemetry->doubted, true);
    return ERR_IO;
}

enum err reader_device(struct reader *reader, const char *device_id, const char *cluster_id,
                       struct recorded *recorded) {
    sqlite3_stmt *ask = NULL;
    enum err result = ERR_NOT_FOUND;
    memset(recorded, 0, sizeof *recorded);
    if (sqlite3_prepare_v2(reader->db,
                           "SELECT number, seen, minutes_until, quarters_until, days_until"
                           " FROM devices WHERE id = ? AND cluster_id = ?",
                           -1, &ask, NULL) != SQLITE_OK)
        return fault(reader);
    sqlite3_bind_text(ask, 1, device_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(ask, 2, cluster_id, -1, SQLITE_STATIC);
    int code = sqlite3_step(ask);
    if (code == SQLITE_ROW) {
        recorded->number = sqlite3_column_int64(ask, 0);
        recorded->seen = (uint64_t)sqlite3_column_int64(ask, 1);
        for (int level = LEVEL_MINUTES; level < LEVEL_COUNT; level++)
            recorded->marks_ms[level] = sqlite3_column_int64(ask, 1 + level);
        result = ERR_OK;
    } else if (code != SQLITE_DONE) {
        result = fault(reader);
    }
    sqlite3_finalize(ask);
    return result;
}

static sqlite3_stmt *level_rows(struct reader *reader, enum level level) {
    static const char *const texts[] = {
        "SELECT at, data FROM raw WHERE device = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?",
        "SELECT at, data FROM minutes WHERE device = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?",
        "SELECT at, data FROM quarters WHERE device = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?",
        "SELECT at, data FROM days WHERE device = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?"};
    if (reader->rows && reader->level == level)
        return reader->rows;
    sqlite3_finalize(reader->rows);
    reader->rows = NULL;
    reader->level = level;
    (void)sqlite3_prepare_v2(reader->db, texts[level], -1, &reader->rows, NULL);
    return reader->rows;
}

static void bind_page(sqlite3_stmt *ask, int64_t device, int64_t from_ms, int64_t until_ms,
                      int most) {
    sqlite3_bind_int64(ask, 1, device);
    sqlite3_bind_int64(ask, 2, from_ms);
    sqlite3_bind_int64(ask, 3, until_ms);
    sqlite3_bind_int(ask, 4, most);
}

enum err reader_rows(struct reader *reader, enum level level, int64_t device, int64_t from_ms,
                     int64_t until_ms, int most, reader_row *row, void *context, int *count) {
    sqlite3_stmt *ask = level_rows(reader, level);
    *count = 0;
    if (!ask)
        return fault(reader);
    bind_page(ask, device, from_ms, until_ms, most);
    int code;
    bool go_on = true;
    while (go_on && (code = sqlite3_step(ask)) == SQLITE_ROW) {
        go_on = row(context, sqlite3_column_int64(ask, 0), sqlite3_column_blob(ask, 1),
                    (size_t)sqlite3_column_bytes(ask, 1));
        ++*count;
    }
    enum err result = !go_on || code == SQLITE_DONE ? ERR_OK : fault(reader);
    sqlite3_reset(ask);
    return result;
}

/* --- rulings --------------------------------------------------------------------------------- */

static void read_text(sqlite3_stmt *row, int column, char *to, size_t size) {
    const unsigned char *text = sqlite3_column_text(row, column);
    size_t length = text ? (size_t)sqlite3_column_bytes(row, column) : 0;
    if (length >= size)
        length = size - 1;
    if (length)
        memcpy(to, text, length);
    to[length] = '\0';
}

static int32_t read_power(sqlite3_stmt *row, int column, int32_t open) {
    return sqlite3_column_type(row, column) == SQLITE_NULL ? open : sqlite3_column_int(row, column);
}

static void read_ruling(sqlite3_stmt *row, struct ruling *ruling) {
    memset(ruling, 0, sizeof *ruling);
    int flags = sqlite3_column_int(row, 5);
    int end = sqlite3_column_int(row, 4);
    ruling->at_ms = sqlite3_column_int64(row, 1);
    ruling->until_ms = sqlite3_column_int64(row, 2);
    ruling->duration_ms = sqlite3_column_int64(row, 3);
    ruling->end = end >= 0 && end < RULING_END_COUNT ? (enum ruling_end)end : RULING_OPEN;
    ruling->trusted = flags & FLAG_TRUSTED;
    ruling->controllable = flags & FLAG_CONTROLLABLE;
    ruling->in_force = flags & FLAG_IN_FORCE;
    ruling->unmet = flags & FLAG_UNMET;
    ruling->has_set = sqlite3_column_type(row, 6) != SQLITE_NULL;
    ruling->set = sqlite3_column_int(row, 6);
    ruling->min = read_power(row, 7, -POWER_UNBOUNDED);
    ruling->max = read_power(row, 8, POWER_UNBOUNDED);
    for (int i = 0; i < RULED_COUNT; i++) {
        struct cause *cause = &ruling->causes[i];
        int column = 9 + 4 * i;
        read_text(row, column, cause->id, sizeof cause->id);
        cause->priority = sqlite3_column_int(row, column + 1);
        read_text(row, column + 2, cause->created_by, sizeof cause->created_by);
        read_text(row, column + 3, cause->reason, sizeof cause->reason);
    }
    int command = sqlite3_column_int(row, 21);
    ruling->command =
        command >= 0 && command <= COMMAND_DIVERGING ? (enum command_state)command : COMMAND_NONE;
    ruling->command_ms = sqlite3_column_int64(row, 22);
    ruling->sent_ms = sqlite3_column_int64(row, 23);
    ruling->confirmed_ms = sqlite3_column_int64(row, 24);
    ruling->measured_ms = sqlite3_column_int64(row, 25);
    ruling->at_min_ms = sqlite3_column_int64(row, 26);
    ruling->at_max_ms = sqlite3_column_int64(row, 27);
    ruling->outside_ms = sqlite3_column_int64(row, 28);
}

enum err reader_rulings(struct reader *reader, int64_t device, int64_t from_ms, int64_t until_ms,
                        int most, reader_ruling *row, void *context, int *count) {
    *count = 0;
    if (!reader->rulings &&
        sqlite3_prepare_v2(reader->db,
                           "SELECT * FROM decisions WHERE device = ? AND at >= ? AND at < ?"
                           " ORDER BY at LIMIT ?",
                           -1, &reader->rulings, NULL) != SQLITE_OK)
        return fault(reader);
    bind_page(reader->rulings, device, from_ms, until_ms, most);
    int code;
    while ((code = sqlite3_step(reader->rulings)) == SQLITE_ROW) {
        struct ruling ruling;
        read_ruling(reader->rulings, &ruling);
        row(context, &ruling);
        ++*count;
    }
    enum err result = code == SQLITE_DONE ? ERR_OK : fault(reader);
    sqlite3_reset(reader->rulings);
    return result;
}

enum err reader_ruling_at(struct reader *reader, int64_t device, int64_t at_ms, int64_t *begin_ms) {
    sqlite3_stmt *ask = NULL;
    *begin_ms = at_ms;
    if (sqlite3_prepare_v2(reader->db,
                           "SELECT at, until FROM decisions WHERE device = ? AND at < ?"
                           " ORDER BY at DESC LIMIT 1",
                           -1, &ask, NULL) != SQLITE_OK)
        return fault(reader);
    sqlite3_bind_int64(ask, 1, device);
    sqlite3_bind_int64(ask, 2, at_ms);
    int code = sqlite3_step(ask);
    bool open = code == SQLITE_ROW && sqlite3_column_type(ask, 1) == SQLITE_NULL;
    if (code == SQLITE_ROW && (open || sqlite3_column_int64(ask, 1) > at_ms))
        *begin_ms = sqlite3_column_int64(ask, 0);
    enum err result = code == SQLITE_ROW || code == SQLITE_DONE ? ERR_OK : fault(reader);
    sqlite3_finalize(ask);
    return result;
}
