/* Entries into rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/likeness.h"
#include "base/log.h"
#include "telemetry/telemetry_internal.h"

#define ALIVE_MS 60000 /* that the host lives is written this often when nothing else is */
#define TWINS_MS 1000
#define FLUSH_MS 15000 /* the measures of a ruling that goes on */

/* --- tracks ---------------------------------------------------------------------------------- */

static struct track **bucket_of(struct telemetry *telemetry, const char *device_id) {
    return &telemetry->tracks[likeness_of(device_id, '\0') % TRACK_BUCKETS];
}

struct track *track_find(struct telemetry *telemetry, const struct origin *origin) {
    struct track **bucket = bucket_of(telemetry, origin->device_id);
    for (struct track *track = *bucket; track; track = track->next)
        if (strcmp(track->origin.device_id, origin->device_id) == 0) {
            track->origin = *origin;
            return track;
        }
    struct track *track = calloc(1, sizeof *track);
    if (!track)
        return NULL;
    track->origin = *origin;
    track->rated_w = NAN;
    track->next = *bucket;
    *bucket = track;
    atomic_fetch_add(&telemetry->track_count, 1);
    return track;
}

void tracks_free(struct telemetry *telemetry) {
    for (size_t i = 0; i < TRACK_BUCKETS; i++)
        while (telemetry->tracks[i]) {
            struct track *track = telemetry->tracks[i];
            telemetry->tracks[i] = track->next;
            free(track->ruling);
            free(track);
        }
}

static void read_track(struct telemetry *telemetry, sqlite3_stmt *row) {
    struct origin origin = {{0}, {0}};
    memccpy(origin.device_id, sqlite3_column_text(row, 1), '\0', ID_SIZE - 1);
    memccpy(origin.cluster_id, sqlite3_column_text(row, 2), '\0', ID_SIZE - 1);
    struct track *track = track_find(telemetry, &origin);
    if (!track)
        return;
    track->number = sqlite3_column_int64(row, 0);
    track->seen = (uint64_t)sqlite3_column_int64(row, 3);
    track->rated_w =
        sqlite3_column_type(row, 4) == SQLITE_NULL ? NAN : sqlite3_column_double(row, 4);
    for (int level = LEVEL_MINUTES; level < LEVEL_COUNT; level++)
        track->marks_ms[level] = sqlite3_column_int64(row, 4 + level);
    const void *meter = sqlite3_column_blob(row, 8);
    meter_unpack(meter, (size_t)sqlite3_column_bytes(row, 8), &track->meter);
}

static int number_order(const void *a, const void *b) {
    const struct track *const *one = a;
    const struct track *const *other = b;
    return ((*one)->number > (*other)->number) - ((*one)->number < (*other)->number);
}

/* All tracks by number, *count of them; to be freed. */
static struct track **tracks_by_number(struct telemetry *telemetry, size_t *count) {
    size_t room = (size_t)atomic_load(&telemetry->track_count);
    struct track **tracks = calloc(room + 1, sizeof(struct track *));
    *count = 0;
    for (size_t i = 0; tracks && i < TRACK_BUCKETS; i++)
        for (struct track *track = telemetry->tracks[i]; track && *count < room;
             track = track->next)
            tracks[(*count)++] = track;
    if (tracks)
        qsort(tracks, *count, sizeof(struct track *), number_order);
    return tracks;
}

static bool count_rulings(struct telemetry *telemetry) {
    size_t count;
    struct track **tracks = tracks_by_number(telemetry, &count);
    sqlite3_stmt *ask =
        telemetry_statement(telemetry, TELEMETRY_RULING_COUNTS,
                            "SELECT device, count(*) FROM decisions GROUP BY device");
    int code = SQLITE_ERROR;
    while (tracks && ask && (code = sqlite3_step(ask)) == SQLITE_ROW) {
        struct track wanted = {.number = sqlite3_column_int64(ask, 0)};
        const struct track *key = &wanted;
        struct track **found = bsearch(&key, tracks, count, sizeof(struct track *), number_order);
        if (found)
            (*found)->ruling_count = sqlite3_column_int64(ask, 1);
    }
    free(tracks);
    sqlite3_reset(ask);
    return code == SQLITE_DONE;
}

bool tracks_load(struct telemetry *telemetry) {
    for (size_t i = 0; i < TRACK_BUCKETS; i++)
        for (struct track *track = telemetry->tracks[i]; track; track = track->next) {
            track->number = 0;
            track->seen = 0;
            track->rated_w = NAN;
            memset(track->marks_ms, 0, sizeof track->marks_ms);
            memset(&track->meter, 0, sizeof track->meter);
            track->ruling_dirty = track->ruling != NULL;
            track->ruling_count = 0;
        }
    sqlite3_stmt *statement = telemetry_statement(
        telemetry, TELEMETRY_TRACK_ALL,
        "SELECT number, id, cluster_id, seen, rated, minutes_until, quarters_until, days_until,"
        " meter FROM devices");
    int code = SQLITE_ERROR;
    while (statement && (code = sqlite3_step(statement)) == SQLITE_ROW)
        read_track(telemetry, statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE && count_rulings(telemetry);
}

bool track_put(struct telemetry *telemetry, struct track *track) {
    unsigned char meter[METER_BYTES];
    size_t length = meter_pack(&track->meter, meter);
    sqlite3_stmt *put = telemetry_statement(
        telemetry, TELEMETRY_TRACK_PUT,
        "INSERT INTO devices VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        " ON CONFLICT (id) DO UPDATE SET cluster_id = ?3, seen = ?4, rated = ?5,"
        " minutes_until = ?6, quarters_until = ?7, days_until = ?8, meter = ?9");
    if (!put)
        return false;
    sqlite3_bind_int64(put, 1, track->number);
    sqlite3_bind_text(put, 2, track->origin.device_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 3, track->origin.cluster_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(put, 4, (int64_t)track->seen);
    sqlite3_bind_double(put, 5, track->rated_w); /* NAN is stored as NULL */
    for (int level = LEVEL_MINUTES; level < LEVEL_COUNT; level++)
        sqlite3_bind_int64(put, 5 + level, track->marks_ms[level]);
    sqlite3_bind_blob(put, 9, meter, (int)length, SQLITE_STATIC);
    bool ok = telemetry_run(telemetry, put);
    sqlite3_reset(put);
    if (ok && !track->number)
        track->number = sqlite3_last_insert_rowid(telemetry->db);
    return ok;
}

/* --- rulings --------------------------------------------------------------------------------- */

static void bind_power(sqlite3_stmt *put, int column, bool has, int32_t power) {
    if (has && power < POWER_UNBOUNDED && power > -POWER_UNBOUNDED)
        sqlite3_bind_int(put, column, power);
}

static void bind_time(sqlite3_stmt *put, int column, int64_t ms) {
    if (ms)
        sqlite3_bind_int64(put, column, ms);
}

static void bind_cause(sqlite3_stmt *put, int column, const struct cause *cause) {
    if (!cause->id[0])
        return;
    sqlite3_bind_text(put, column, cause->id, -1, SQLITE_STATIC);
    if (cause->created_by[0]) {
        sqlite3_bind_int(put, column + 1, cause->priority);
        sqlite3_bind_text(put, column + 2, cause->created_by, -1, SQLITE_STATIC);
    }
    if (cause->reason[0])
        sqlite3_bind_text(put, column + 3, cause->reason, -1, SQLITE_STATIC);
}

static bool put_ruling(struct telemetry *telemetry, struct track *track) {
    const struct ruling *ruling = track->ruling;
    if (!track->number && !track_put(telemetry, track))
        return false;
    sqlite3_stmt *put = telemetry_statement(
        telemetry, TELEMETRY_RULING_PUT,
        "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    if (!put)
        return false;
    sqlite3_bind_int64(put, 1, track->number);
    sqlite3_bind_int64(put, 2, ruling->at_ms);
    bind_time(put, 3, ruling->until_ms);
    sqlite3_bind_int64(put, 4, ruling->duration_ms);
    sqlite3_bind_int(put, 5, (int)ruling->end);
    sqlite3_bind_int(put, 6,
                     (ruling->trusted ? FLAG_TRUSTED : 0) |
                         (ruling->controllable ? FLAG_CONTROLLABLE : 0) |
                         (ruling->in_force ? FLAG_IN_FORCE : 0) | (ruling->unmet ? FLAG_UNMET : 0));
    bind_power(put, 7, ruling->has_set, ruling->set);
    bind_power(put, 8, ruling->controllable, ruling->min);
    bind_power(put, 9, ruling->controllable, ruling->max);
    for (int i = 0; i < RULED_COUNT; i++)
        bind_cause(put, 10 + 4 * i, &ruling->causes[i]);
    sqlite3_bind_int(put, 22, (int)ruling->command);
    bind_time(put, 23, ruling->command_ms);
    bind_time(put, 24, ruling->sent_ms);
    bind_time(put, 25, ruling->confirmed_ms);
    sqlite3_bind_int64(put, 26, ruling->measured_ms);
    sqlite3_bind_int64(put, 27, ruling->at_min_ms);
    sqlite3_bind_int64(put, 28, ruling->at_max_ms);
    sqlite3_bind_int64(put, 29, ruling->outside_ms);
    bool ok = telemetry_run(telemetry, put);
    sqlite3_reset(put);
    if (ok)
        track->ruling_dirty = false;
    return ok;
}

/* Where the power lay since the last sample, up to now. */
static void measure(struct track *track, int64_t mono_ms) {
    int64_t ms = mono_ms - track->reach_mono_ms;
    if (ms > track->reach_hold_ms)
        ms = track->reach_hold_ms;
    if (track->ruling && track->reach != REACH_UNKNOWN) {
        /* That it is at its limit, or outside, is shown at once; for how long, now and then. */
        const struct ruling before = *track->ruling;
        ruling_measure(track->ruling, track->reach, ms);
        track->ruling_dirty = track->ruling_dirty ||
                              (!before.at_min_ms && track->ruling->at_min_ms) ||
                              (!before.at_max_ms && track->ruling->at_max_ms) ||
                              (!before.outside_ms && track->ruling->outside_ms);
    }
    track->reach = REACH_UNKNOWN;
}

static bool end_ruling(struct telemetry *telemetry, struct track *track, struct now now,
                       enum ruling_end end) {
    if (!track->ruling)
        return true;
    measure(track, now.mono.ms);
    track->ruling->end = end;
    track->ruling->until_ms =
        now.wall.ms > track->ruling->at_ms ? now.wall.ms : track->ruling->at_ms + 1;
    track->ruling->duration_ms = now.mono.ms - track->ruling_mono_ms;
    bool ok = put_ruling(telemetry, track);
    free(track->ruling);
    track->ruling = NULL;
    track->ruling_dirty = false;
    return ok;
}

static struct now now_of(const struct entry *entry) {
    return (struct now){{entry->wall_ms}, {entry->mono_ms}, entry->trusted};
}

static bool begin_ruling(struct telemetry *telemetry, struct track *track, struct entry *entry) {
    bool ok = end_ruling(telemetry, track, now_of(entry), RULING_REPLACED);
    track->ruling = entry->ruling; /* the track's from here on */
    entry->ruling = NULL;
    track->ruling->at_ms = entry->wall_ms;
    if (track->ruling->at_ms <= track->last_ruling_ms &&
        track->ruling->at_ms > track->last_ruling_ms - TWINS_MS)
        track->ruling->at_ms = track->last_ruling_ms + 1; /* several within a millisecond */
    track->ruling->trusted = entry->trusted;
    track->last_ruling_ms = track->ruling->at_ms;
    track->ruling_mono_ms = track->flushed_mono_ms = entry->mono_ms;
    track->ruling_dirty = true;
    track->ruling_count++;
    return ok;
}

/* --- samples --------------------------------------------------------------------------------- */

static bool put_sample(struct telemetry *telemetry, struct track *track,
                       const struct entry *entry) {
    uint64_t seen = track->seen | sample_packed_mask(entry->data);
    bool rated = isfinite(entry->rated_w) && entry->rated_w != track->rated_w;
    measure(track, entry->mono_ms);
    track->reach = (enum reach)entry->reach;
    track->reach_mono_ms = entry->mono_ms;
    track->reach_hold_ms = sample_packed_hold_ms(entry->data);
    if (!track->number || seen != track->seen || rated) {
        track->seen = seen;
        track->rated_w = rated ? entry->rated_w : track->rated_w;
        if (!track_put(telemetry, track))
            return false;
    }
    sqlite3_stmt *put = telemetry_statement(telemetry, TELEMETRY_RAW_PUT,
                                            "INSERT OR IGNORE INTO raw VALUES (?, ?, ?)");
    if (!put)
        return false;
    sqlite3_bind_int64(put, 1, track->number);
    sqlite3_bind_int64(put, 2, entry->wall_ms);
    sqlite3_bind_blob(put, 3, entry->data, entry->length, SQLITE_STATIC);
    bool ok = telemetry_run(telemetry, put);
    sqlite3_reset(put);
    return ok;
}

/* --- a round --------------------------------------------------------------------------------- */

static bool take_entry(struct telemetry *telemetry, struct track *track, struct entry *entry) {
    switch ((enum entry_kind)entry->kind) {
    case ENTRY_SAMPLE:
        return put_sample(telemetry, track, entry);
    case ENTRY_RULING:
        return begin_ruling(telemetry, track, entry);
    case ENTRY_TOLD:
        if (track->ruling) {
            ruling_told(track->ruling, (enum command_state)entry->state, entry->since_ms);
            track->ruling_dirty = true;
        }
        return true;
    case ENTRY_LEAVE:
        return end_ruling(telemetry, track, now_of(entry), RULING_SITE_CHANGED);
    }
    return true;
}

static bool flush_rulings(struct telemetry *telemetry, struct now now) {
    for (size_t i = 0; i < TRACK_BUCKETS; i++)
        for (struct track *track = telemetry->tracks[i]; track; track = track->next) {
            if (!track->ruling)
                continue;
            bool due = track->ruling->in_force && now.mono.ms - track->flushed_mono_ms >= FLUSH_MS;
            if (!track->ruling_dirty && !due)
                continue;
            track->ruling->duration_ms = now.mono.ms - track->ruling_mono_ms;
            track->flushed_mono_ms = now.mono.ms;
            if (!put_ruling(telemetry, track))
                return false;
        }
    return true;
}

static bool put_alive(struct telemetry *telemetry, struct now now) {
    sqlite3_stmt *put = telemetry_statement(telemetry, TELEMETRY_ALIVE_PUT,
                                            "INSERT OR REPLACE INTO meta VALUES ('alive', ?)");
    if (!put)
        return false;
    sqlite3_bind_int64(put, 1, now.wall.ms);
    bool ok = telemetry_run(telemetry, put);
    sqlite3_reset(put);
    telemetry->alive_mono_ms = now.mono.ms;
    return ok;
}

bool telemetry_finish(struct telemetry *telemetry, bool ok) {
    ok = ok && telemetry_run_simple(telemetry, TELEMETRY_COMMIT);
    if (ok)
        return true;
    telemetry_file_fault(telemetry);
    if (telemetry->db) {
        if (!sqlite3_get_autocommit(telemetry->db))
            (void)telemetry_run_simple(telemetry, TELEMETRY_ROLLBACK);
        (void)tracks_load(telemetry);
    }
    return false;
}

struct placed {
    struct track *track;
    size_t order;
    struct entry *entry;
};

static int compare_placed(const void *left, const void *right) {
    const struct placed *a = left, *b = right;
    if (a->track->number != b->track->number)
        return a->track->number < b->track->number ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Device by device, those of each in order: rows of a device stand together in the file, so that
 * each of its pages is touched once. False: no memory, nothing is done. */
static bool take_sorted(struct telemetry *telemetry, const struct entry_queue *entries, bool *ok) {
    struct placed *placed = calloc(entries->count + 1, sizeof *placed);
    struct entry_chunk *chunk = NULL;
    size_t count = 0;
    if (!placed)
        return false;
    for (struct entry *entry = NULL; (entry = entry_queue_next(entries, &chunk, entry));) {
        struct track *track = track_find(telemetry, &entry->origin);
        if (!track) /* no memory: as if it had been dropped */
            continue;
        placed[count] = (struct placed){track, count, entry};
        count++;
    }
    qsort(placed, count, sizeof *placed, compare_placed);
    for (size_t i = 0; i < count && *ok; i++)
        *ok = take_entry(telemetry, placed[i].track, placed[i].entry);
    free(placed);
    return true;
}

bool telemetry_write(struct telemetry *telemetry, const struct entry_queue *entries) {
    struct now now = clock_now(telemetry->clock);
    if (entries->count == 0 && telemetry->alive_mono_ms &&
        now.mono.ms - telemetry->alive_mono_ms < ALIVE_MS)
        return true;
    bool ok = telemetry_run_simple(telemetry, TELEMETRY_BEGIN);
    struct entry_chunk *chunk = NULL;
    struct entry *entry = NULL;
    if (ok && !take_sorted(telemetry, entries, &ok))
        while (ok && (entry = entry_queue_next(entries, &chunk, entry))) {
            struct track *track = track_find(telemetry, &entry->origin);
            ok = !track || take_entry(telemetry, track, entry);
        }
    ok = ok && flush_rulings(telemetry, now) && put_alive(telemetry, now);
    return telemetry_finish(telemetry, ok);
}

bool telemetry_write_end(struct telemetry *telemetry) {
    struct now now = clock_now(telemetry->clock);
    bool ok = telemetry_run_simple(telemetry, TELEMETRY_BEGIN);
    for (size_t i = 0; i < TRACK_BUCKETS; i++)
        for (struct track *track = telemetry->tracks[i]; track && ok; track = track->next)
            ok = end_ruling(telemetry, track, now, RULING_HOST_STOPPED);
    return telemetry_finish(telemetry, ok && put_alive(telemetry, now));
}
