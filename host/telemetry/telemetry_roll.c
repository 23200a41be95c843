/* Buckets and retention. A bucket is made when it has ended, from the rows of the level below, and
 * the mark up to which that is done goes to disk in the same transaction: making it again gives the
 * same row, so a kill at any moment neither counts twice nor leaves a hole. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "telemetry/telemetry_internal.h"

#define GRACE_MS      2000 /* after the end of a minute, for what is on its way */
#define ROUND_BUCKETS 1000
#define ROUND_MS      500
#define ROUND_ROWS    4000 /* removed in a round, or twice as many as were written */
#define ROUND_TRACKS  64   /* looked at in a round for what is too old, */
#define ROUND_SHARE   64   /* or one for so many rows written */
#define PRUNE_ROWS    500  /* at a time */
#define REWIND_MS     INT64_C(86400000)

struct round {
    struct telemetry *telemetry;
    struct track *track;
    struct now now;
    int budget;
    bool more;
    bool changed; /* the track's marks or meter */
};

static int64_t floor_to(int64_t ms, enum level level) {
    int64_t length = level_ms(level);
    return ms - ((ms % length) + length) % length;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* Time of the first row at or after `from`; *found false when there is none. */
static bool first_row(struct round *round, enum level level, int64_t from, int64_t *at,
                      bool *found) {
    sqlite3_stmt *ask = telemetry_level_statement(
        round->telemetry, TELEMETRY_ROWS_NEXT, level,
        "SELECT at FROM %s WHERE device = ? AND at >= ? ORDER BY at LIMIT 1");
    if (!ask)
        return false;
    sqlite3_bind_int64(ask, 1, round->track->number);
    sqlite3_bind_int64(ask, 2, from);
    int code = sqlite3_step(ask);
    *found = code == SQLITE_ROW;
    if (*found)
        *at = sqlite3_column_int64(ask, 0);
    sqlite3_reset(ask);
    return code == SQLITE_ROW || code == SQLITE_DONE;
}

static sqlite3_stmt *rows_between(struct round *round, enum level level, int64_t from,
                                  int64_t until) {
    sqlite3_stmt *ask = telemetry_level_statement(
        round->telemetry, TELEMETRY_ROWS_FIRST, level,
        "SELECT at, data FROM %s WHERE device = ? AND at >= ? AND at < ? ORDER BY at");
    if (ask) {
        sqlite3_bind_int64(ask, 1, round->track->number);
        sqlite3_bind_int64(ask, 2, from);
        sqlite3_bind_int64(ask, 3, until);
    }
    return ask;
}

static bool sample_before(struct round *round, int64_t at_ms, struct sample *sample, bool *found) {
    sqlite3_stmt *ask = telemetry_statement(
        round->telemetry, TELEMETRY_RAW_BEFORE,
        "SELECT at, data FROM raw WHERE device = ? AND at < ? ORDER BY at DESC LIMIT 1");
    if (!ask)
        return false;
    sqlite3_bind_int64(ask, 1, round->track->number);
    sqlite3_bind_int64(ask, 2, at_ms);
    int code = sqlite3_step(ask);
    *found = code == SQLITE_ROW && sample_unpack(sqlite3_column_blob(ask, 1),
                                                 (size_t)sqlite3_column_bytes(ask, 1), sample);
    if (*found)
        sample->at_ms = sqlite3_column_int64(ask, 0);
    sqlite3_reset(ask);
    return code == SQLITE_ROW || code == SQLITE_DONE;
}

static bool put_bucket(struct round *round, enum level level, int64_t at_ms,
                       const struct aggregate *aggregate) {
    unsigned char data[AGGREGATE_BYTES_MAXIMUM];
    if (aggregate_empty(aggregate))
        return true;
    size_t length = aggregate_pack(aggregate, data);
    sqlite3_stmt *put = telemetry_level_statement(round->telemetry, TELEMETRY_BUCKET_PUT, level,
                                                  "INSERT OR REPLACE INTO %s VALUES (?, ?, ?)");
    if (!put)
        return false;
    sqlite3_bind_int64(put, 1, round->track->number);
    sqlite3_bind_int64(put, 2, at_ms);
    sqlite3_bind_blob(put, 3, data, (int)length, SQLITE_STATIC);
    bool ok = telemetry_run(round->telemetry, put);
    sqlite3_reset(put);
    return ok;
}

/* --- buckets --------------------------------------------------------------------------------- */

static bool make_minute(struct round *round, int64_t at_ms, const struct sample *before) {
    struct aggregator aggregator;
    struct aggregate made;
    int64_t end_ms = at_ms + level_ms(LEVEL_MINUTES);
    aggregator_start(&aggregator, at_ms, end_ms, &round->track->meter, round->track->rated_w,
                     before);
    sqlite3_stmt *rows = rows_between(round, LEVEL_RAW, at_ms, end_ms);
    int code = SQLITE_ERROR;
    while (rows && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        struct sample sample;
        sample.at_ms = sqlite3_column_int64(rows, 0);
        if (sample_unpack(sqlite3_column_blob(rows, 1), (size_t)sqlite3_column_bytes(rows, 1),
                          &sample))
            aggregator_add(&aggregator, &sample);
    }
    sqlite3_reset(rows);
    aggregator_finish(&aggregator, &made);
    return code == SQLITE_DONE && put_bucket(round, LEVEL_MINUTES, at_ms, &made);
}

static bool make_bucket(struct round *round, enum level level, int64_t at_ms) {
    enum level below = level - 1;
    struct aggregate made;
    aggregate_init(&made);
    sqlite3_stmt *rows = rows_between(round, below, at_ms, at_ms + level_ms(level));
    int code = SQLITE_ERROR;
    while (rows && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        struct aggregate part;
        if (aggregate_unpack(sqlite3_column_blob(rows, 1), (size_t)sqlite3_column_bytes(rows, 1),
                             SHOW_ALL, &part))
            aggregate_merge(&made, &part);
    }
    sqlite3_reset(rows);
    return code == SQLITE_DONE && put_bucket(round, level, at_ms, &made);
}

/* The next bucket at or after the mark of which anything is known; `end` when there is none that
 * has ended. */
static bool next_bucket(struct round *round, enum level level, int64_t end, int64_t *at,
                        struct sample *before, bool *has_before) {
    int64_t mark = round->track->marks_ms[level];
    int64_t row = 0;
    bool found = false;
    *has_before = false;
    if (level == LEVEL_MINUTES && mark) {
        if (!sample_before(round, mark, before, has_before))
            return false;
        if (*has_before && before->at_ms + before->hold_ms > mark) {
            *at = mark;
            return true;
        }
    }
    if (!first_row(round, level - 1, mark, &row, &found))
        return false;
    *at = found ? floor_to(row, level) : end;
    return true;
}

static bool roll_level(struct round *round, enum level level) {
    struct track *track = round->track;
    int64_t ended =
        level == LEVEL_MINUTES ? round->now.wall.ms - GRACE_MS : track->marks_ms[level - 1];
    int64_t end = floor_to(ended, level);
    while (track->marks_ms[level] < end) {
        int64_t at = 0;
        struct sample before;
        bool has_before;
        if (!next_bucket(round, level, end, &at, &before, &has_before))
            return false;
        if (at >= end) {
            /* A device that never was sampled has no mark yet. */
            bool known = track->marks_ms[level] != 0;
            round->changed = round->changed || known;
            track->marks_ms[level] = known ? end : 0;
            return true;
        }
        if (round->budget-- <= 0) {
            round->more = true;
            return true;
        }
        bool ok = level == LEVEL_MINUTES ? make_minute(round, at, has_before ? &before : NULL)
                                         : make_bucket(round, level, at);
        if (!ok)
            return false;
        track->marks_ms[level] = at + level_ms(level);
        round->changed = true;
    }
    return true;
}

/* The clock was far ahead and came back: buckets go on from now, not years later. */
static void rewind_marks(struct round *round) {
    struct track *track = round->track;
    if (!round->now.trusted || track->marks_ms[LEVEL_MINUTES] <= round->now.wall.ms + REWIND_MS)
        return;
    log_warning("history", "the clock came back from the future: buckets go on from now");
    for (int level = LEVEL_MINUTES; level < LEVEL_COUNT; level++)
        track->marks_ms[level] = floor_to(round->now.wall.ms, (enum level)level);
    for (int i = 0; i < ENERGY_COUNT; i++) {
        struct counter *counter = &track->meter.counters[i];
        counter->candidates = 0;
        if (counter->read_ms > round->now.wall.ms)
            counter->read_ms = round->now.wall.ms;
        if (counter->last_ms > round->now.wall.ms)
            counter->last_ms = round->now.wall.ms;
    }
    round->changed = true;
}

static bool roll_track(struct round *round) {
    rewind_marks(round);
    for (int level = LEVEL_MINUTES; level < LEVEL_COUNT && !round->more; level++)
        if (!roll_level(round, (enum level)level))
            return false;
    return !round->changed || track_put(round->telemetry, round->track);
}

/* Whether a minute has ended since the last look: nothing is read from the file else. */
static bool is_due(const struct track *track, struct now now) {
    return track->number &&
           track->marks_ms[LEVEL_MINUTES] < floor_to(now.wall.ms - GRACE_MS, LEVEL_MINUTES);
}

bool telemetry_roll(struct telemetry *telemetry, struct now now, bool *more) {
    struct round round = {.telemetry = telemetry, .now = now, .budget = ROUND_BUCKETS};
    int64_t start_ms = clock_mono().ms;
    bool begun = false;
    bool ok = true;
    for (size_t i = 0; i < TRACK_BUCKETS && ok && !round.more; i++)
        for (struct track *track = telemetry->tracks[i]; track && ok && !round.more;
             track = track->next) {
            bool far = track->marks_ms[LEVEL_MINUTES] > now.wall.ms + REWIND_MS;
            if (!is_due(track, now) && !(far && now.trusted))
                continue;
            ok = begun || telemetry_run_simple(telemetry, TELEMETRY_BEGIN);
            begun = true;
            round.track = track;
            round.changed = false;
            ok = ok && roll_track(&round);
            round.more = round.more || clock_mono().ms - start_ms > ROUND_MS;
        }
    *more = ok && round.more;
    return !begun || telemetry_finish(telemetry, ok);
}

/* --- retention ------------------------------------------------------------------------------- */

static bool prune_rows(struct telemetry *telemetry, const struct track *track, sqlite3_stmt *prune,
                       int64_t before_ms, int *removed) {
    if (!prune)
        return false;
    sqlite3_bind_int64(prune, 1, track->number);
    sqlite3_bind_int64(prune, 2, before_ms);
    sqlite3_bind_int(prune, 3, PRUNE_ROWS);
    bool ok = telemetry_run(telemetry, prune);
    sqlite3_reset(prune);
    *removed += sqlite3_changes(telemetry->db);
    return ok;
}

/* Nothing goes before the level above was made of it. The statements say up to where, not which: a
 * list would be a table of its own for each look, which mostly finds nothing. */
static bool prune_track(struct telemetry *telemetry, struct track *track, struct now now,
                        const struct retention *retention, int *removed) {
    bool ok = track->number != 0;
    for (int level = LEVEL_RAW; level < LEVEL_COUNT && ok; level++) {
        int64_t before_ms = now.wall.ms - retention->levels_ms[level];
        if (level < LEVEL_DAYS && track->marks_ms[level + 1] < before_ms)
            before_ms = track->marks_ms[level + 1];
        if (retention->levels_ms[level])
            ok = prune_rows(telemetry, track,
                            telemetry_level_statement(
                                telemetry, TELEMETRY_PRUNE, (enum level)level,
                                "DELETE FROM %s WHERE device = ?1 AND at <= (SELECT max(at) FROM"
                                " (SELECT at FROM %s WHERE device = ?1 AND at < ?2"
                                " ORDER BY at LIMIT ?3))"),
                            before_ms, removed);
    }
    bool many = track->ruling_count > RULINGS_MAXIMUM;
    int before = *removed;
    if (ok && (retention->decisions_ms || many))
        ok = prune_rows(
            telemetry, track,
            telemetry_statement(telemetry, TELEMETRY_PRUNE_DECISIONS,
                                "DELETE FROM decisions WHERE device = ?1 AND until < ?2 AND at <="
                                " (SELECT max(at) FROM (SELECT at FROM decisions WHERE device = ?1"
                                " AND at < ?2 AND until < ?2 ORDER BY at LIMIT ?3))"),
            many ? INT64_MAX : now.wall.ms - retention->decisions_ms, removed);
    if (ok)
        track->ruling_count -= *removed - before;
    return ok || !track->number;
}

bool telemetry_prune(struct telemetry *telemetry, struct now now, const struct retention *retention,
                     size_t written) {
    /* Looking costs as much as three rows of each device: all come by about once a minute. */
    size_t looks = written / ROUND_SHARE > ROUND_TRACKS ? written / ROUND_SHARE : ROUND_TRACKS;
    int most = written > ROUND_ROWS / 2 ? 2 * (int)written : ROUND_ROWS, removed = 0;
    bool ok = telemetry_run_simple(telemetry, TELEMETRY_BEGIN);
    size_t looked = 0;
    for (size_t turns = 0; turns < TRACK_BUCKETS && ok && removed < most && looked < looks;
         turns++) {
        telemetry->prune_turn = (telemetry->prune_turn + 1) % TRACK_BUCKETS;
        for (struct track *track = telemetry->tracks[telemetry->prune_turn]; track && ok;
             track = track->next, looked++)
            ok = prune_track(telemetry, track, now, retention, &removed);
    }
    return telemetry_finish(telemetry, ok);
}
