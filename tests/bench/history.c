/* What history costs, beside the same rows in a bare SQLite table. The times of the samples are
 * made up; nothing waits for a clock. Each prints one line of JSON.
 *
 *   history record FOLDER DEVICES FROM SECONDS EVERY [DEVICE_ID CLUSTER_ID]
 *   history floor FOLDER DEVICES FROM SECONDS EVERY
 *   history read FOLDER LEVEL FROM SECONDS TIMES DEVICE_ID CLUSTER_ID
 *   history select FOLDER LEVEL FROM SECONDS TIMES
 *
 * FROM: seconds after the begin of 2025. `record` takes a sample of each device every EVERY seconds
 * with the telemetry of the host, its default retention, queue, buckets and thread; `floor` inserts
 * the same packed rows, nothing else, as many in a transaction. The others take all rows of LEVEL
 * (raw, 1m, 15m, 1d) of a device within SECONDS, so many times: `read` as the API does it (a
 * connection for each, pages, unpacked), `select` by stepping through one statement.
 *
 * CPU is that of the whole process without making up the samples. Memory is resident, after a tenth
 * and at the end. */
#include <math.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "bench.h"
#include "telemetry/reader.h"
#include "telemetry/telemetry.h"

#define CLUSTER "0f8fad5b-d9cb-469f-a165-70867728950e"
#define START   INT64_C(1735689600000) /* 2025-01-01T00:00:00Z */
#define COMMIT  5     /* instants in a commit, as the host has them when each is a second */
#define ALONE   500   /* of one device alone, whose rows are only there to be read */
#define BATCH   20000 /* samples in a commit, at most */
#define PAGE    50    /* buckets that the API reads at a time */

struct plan {
    const char *folder;
    int devices;
    int64_t from_s, seconds, every_s;
    const char *device_id, *cluster_id; /* NULL: made up */
};

struct work { /* one batch */
    struct sample samples[BATCH];
    int device[BATCH];
    int count;
    int64_t last_ms;
};

struct figures {
    double made_up_s; /* CPU of the load, which is not history's */
    int64_t samples;
    long early_kib;
};

/* A three-phase meter: 18 quantities that move. */
static void fill(struct sample *sample, int64_t at_ms, int device) {
    double t = (double)(at_ms - START) / 1000 + device;
    *sample = (struct sample){.at_ms = at_ms, .hold_ms = 4000};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample->values[i] = NAN;
    for (int i = POINT_ACTIVE_POWER; i <= POINT_POWER_FACTOR; i++)
        sample->values[i] = 1000 * sin(t / 60 + i);
    sample->values[POINT_ENERGY_IMPORT] = t;
    sample->values[POINT_ENERGY_EXPORT] = t / 2;
    sample->values[POINT_TEMPERATURE] = 20;
    sample->values[POINT_STATE] = STATE_RUNNING;
}

/* The next batch of the plan, device by device; false when it is done. */
static bool next_batch(const struct plan *plan, struct figures *figures, struct work *work) {
    double start = clock_s(CLOCK_THREAD_CPUTIME_ID);
    int64_t all = plan->seconds / plan->every_s, done = figures->samples / plan->devices;
    bool many = plan->devices > 1; /* the first commit tells it how many */
    int64_t instants = done == 0 ? 1 : many ? COMMIT : ALONE;
    if (instants > BATCH / plan->devices)
        instants = BATCH / plan->devices;
    if (instants > all - done)
        instants = all - done;
    work->count = 0;
    for (int device = 0; device < plan->devices; device++)
        for (int64_t i = 0; i < instants; i++) {
            work->device[work->count] = device;
            work->last_ms = START + (plan->from_s + (done + i) * plan->every_s) * 1000;
            fill(&work->samples[work->count++], work->last_ms, device);
        }
    figures->samples += work->count;
    if (!figures->early_kib && done + instants >= all / 10)
        figures->early_kib = resident_kib();
    figures->made_up_s += clock_s(CLOCK_THREAD_CPUTIME_ID) - start;
    return work->count > 0;
}

static void tell(const struct plan *plan, const struct figures *figures, double spent_s, long kib,
                 unsigned long long dropped, const char *file) {
    char path[600];
    struct stat on_disk = {0};
    snprintf(path, sizeof path, "%s/%s", plan->folder, file);
    (void)stat(path, &on_disk);
    printf("{\"samples\":%lld,\"cpuUs\":%.3f,\"bytes\":%.1f,\"earlyKiB\":%ld,\"endKiB\":%ld,"
           "\"dropped\":%llu}\n",
           (long long)figures->samples, 1e6 * spent_s / (double)figures->samples,
           (double)on_disk.st_size / (double)figures->samples, figures->early_kib, kib, dropped);
}

/* --- taking in ------------------------------------------------------------------------------- */

static int record(const struct plan *plan) {
    static struct work work;
    struct figures figures = {0};
    struct clock clock;
    clock_init(&clock, (struct wall){0}, 0);
    struct telemetry *telemetry;
    struct telemetry_settings settings = {.directory = plan->folder,
                                          .clock = &clock,
                                          .retention = retention_default(),
                                          .commit_ms = 3600000};
    /* What is made up is long ago: nothing of it is too old. */
    for (int level = 0; level < LEVEL_COUNT; level++)
        settings.retention.levels_ms[level] += 40LL * 365 * 86400 * 1000;
    struct origin origin = {{0}, {0}};
    snprintf(origin.cluster_id, sizeof origin.cluster_id, "%s",
             plan->cluster_id ? plan->cluster_id : CLUSTER);
    double start = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    if (telemetry_open(&telemetry, &settings) != ERR_OK)
        return 1;
    while (next_batch(plan, &figures, &work)) {
        clock.shift_ms += work.last_ms - clock_now(&clock).wall.ms;
        struct now now = clock_now(&clock);
        for (int i = 0; i < work.count; i++) {
            if (plan->device_id)
                snprintf(origin.device_id, sizeof origin.device_id, "%s", plan->device_id);
            else
                snprintf(origin.device_id, sizeof origin.device_id, "7c9e6679-7425-40de-944b-%012d",
                         work.device[i]);
            telemetry_sample(telemetry, &origin, now, &work.samples[i], 10000);
        }
        telemetry_settle(telemetry);
    }
    clock.shift_ms += 86400000; /* the last buckets end */
    telemetry_settle(telemetry);
    double spent = clock_s(CLOCK_PROCESS_CPUTIME_ID) - start - figures.made_up_s;
    long kib = resident_kib();
    struct telemetry_status status;
    telemetry_status(telemetry, &status);
    telemetry_close(telemetry);
    tell(plan, &figures, spent, kib, (unsigned long long)status.dropped, "telemetry.db");
    return 0;
}

static bool execute(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool insert(sqlite3_stmt *put, int device, int64_t at_ms, const void *data, size_t length) {
    sqlite3_bind_int64(put, 1, device + 1);
    sqlite3_bind_int64(put, 2, at_ms);
    sqlite3_bind_blob(put, 3, data, (int)length, SQLITE_STATIC);
    bool ok = sqlite3_step(put) == SQLITE_DONE;
    sqlite3_reset(put);
    return ok;
}

static int floor_of(const struct plan *plan) {
    static struct work work;
    static unsigned char packed[BATCH][SAMPLE_BYTES_MAXIMUM];
    static size_t lengths[BATCH];
    struct figures figures = {0};
    char path[600];
    sqlite3 *db;
    sqlite3_stmt *put;
    snprintf(path, sizeof path, "%s/floor.db", plan->folder);
    double start = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        !execute(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                     "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -2000;"
                     "CREATE TABLE raw (device INTEGER NOT NULL, at INTEGER NOT NULL,"
                     " data BLOB NOT NULL, PRIMARY KEY (device, at)) WITHOUT ROWID;") ||
        sqlite3_prepare_v2(db, "INSERT INTO raw VALUES (?, ?, ?)", -1, &put, NULL) != SQLITE_OK)
        return 1;
    bool ok = true;
    while (ok && next_batch(plan, &figures, &work)) {
        double packing = clock_s(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < work.count; i++)
            lengths[i] = sample_pack(&work.samples[i], packed[i]);
        figures.made_up_s += clock_s(CLOCK_THREAD_CPUTIME_ID) - packing;
        ok = execute(db, "BEGIN");
        for (int i = 0; ok && i < work.count; i++)
            ok = insert(put, work.device[i], work.samples[i].at_ms, packed[i], lengths[i]);
        ok = ok && execute(db, "COMMIT");
    }
    double spent = clock_s(CLOCK_PROCESS_CPUTIME_ID) - start - figures.made_up_s;
    long kib = resident_kib();
    sqlite3_finalize(put);
    sqlite3_close(db);
    tell(plan, &figures, spent, kib, 0, "floor.db");
    return ok ? 0 : 1;
}

/* --- reading --------------------------------------------------------------------------------- */

struct seen {
    int64_t from_ms, until_ms, next_ms, rows;
    double sum; /* so that nothing is left out */
    bool raw;
};

static bool see_row(void *context, int64_t at_ms, const void *data, size_t length) {
    struct seen *seen = context;
    struct aggregate aggregate;
    struct sample sample;
    seen->next_ms = at_ms + 1;
    seen->rows++;
    if (seen->raw && sample_unpack(data, length, &sample))
        seen->sum += sample.values[POINT_ACTIVE_POWER];
    else if (!seen->raw && aggregate_unpack(data, length, SHOW_ALL, &aggregate))
        seen->sum += aggregate.spreads[POINT_ACTIVE_POWER].mean;
    return true;
}

static bool read_once(struct telemetry *telemetry, enum level level, char **ids,
                      struct seen *seen) {
    struct reader *reader;
    struct recorded recorded;
    int count = PAGE;
    seen->next_ms = seen->from_ms;
    if (reader_open(&reader, telemetry) != ERR_OK)
        return false;
    bool ok = reader_device(reader, ids[0], ids[1], &recorded) == ERR_OK;
    while (ok && count == PAGE)
        ok = reader_rows(reader, level, recorded.number, seen->next_ms, seen->until_ms, PAGE,
                         see_row, seen, &count) == ERR_OK;
    reader_close(reader);
    return ok;
}

static bool select_once(sqlite3 *db, const char *table, struct seen *seen) {
    char sql[120];
    sqlite3_stmt *ask;
    snprintf(sql, sizeof sql,
             "SELECT at, data FROM %s WHERE device = 1 AND at >= ? AND at < ? ORDER BY at", table);
    if (sqlite3_prepare_v2(db, sql, -1, &ask, NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_int64(ask, 1, seen->from_ms);
    sqlite3_bind_int64(ask, 2, seen->until_ms);
    while (sqlite3_step(ask) == SQLITE_ROW) {
        const unsigned char *data = sqlite3_column_blob(ask, 1);
        int length = sqlite3_column_bytes(ask, 1);
        seen->sum += data && length > 9 ? data[9] : 0;
        seen->rows++;
    }
    return sqlite3_finalize(ask) == SQLITE_OK;
}

/* `words`: FOLDER LEVEL FROM SECONDS TIMES, and of `read` DEVICE_ID CLUSTER_ID */
static int read_level(bool bare, char **words) {
    static const char *const tables[] = {"raw", "minutes", "quarters", "days"};
    const char *folder = words[0];
    int level = 0, times = (int)strtol(words[4], NULL, 10);
    char path[600];
    struct clock clock;
    struct telemetry *telemetry = NULL;
    sqlite3 *db = NULL;
    while (level < LEVEL_COUNT && strcmp(level_name((enum level)level), words[1]) != 0)
        level++;
    if (level == LEVEL_COUNT || times < 1)
        return 2;
    struct seen seen = {.raw = level == LEVEL_RAW,
                        .from_ms = START + 1000 * strtoll(words[2], NULL, 10)};
    seen.until_ms = seen.from_ms + 1000 * strtoll(words[3], NULL, 10);
    clock_init(&clock, (struct wall){0}, 0);
    struct telemetry_settings settings = {.directory = folder, .clock = &clock};
    snprintf(path, sizeof path, "%s/telemetry.db", folder);
    bool ok = bare ? sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK
                   : telemetry_open(&telemetry, &settings) == ERR_OK;
    if (telemetry)
        telemetry_settle(telemetry);
    double start = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < times && ok; i++)
        ok = bare ? select_once(db, tables[level], &seen)
                  : read_once(telemetry, (enum level)level, words + 5, &seen);
    double spent = clock_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    printf("{\"rows\":%lld,\"cpuUs\":%.3f,\"sum\":%.0f}\n", (long long)(seen.rows / times),
           1e6 * spent / times, seen.sum);
    telemetry_close(telemetry);
    sqlite3_close(db);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    bool records = argc > 1 && (!strcmp(argv[1], "record") || !strcmp(argv[1], "floor"));
    bool reads = argc > 1 && (!strcmp(argv[1], "read") || !strcmp(argv[1], "select"));
    bool bare = argc > 1 && (argv[1][0] == 'f' || argv[1][0] == 's');
    if (records && argc >= 7) {
        const struct plan plan = {.folder = argv[2],
                                  .devices = (int)strtol(argv[3], NULL, 10),
                                  .from_s = strtoll(argv[4], NULL, 10),
                                  .seconds = strtoll(argv[5], NULL, 10),
                                  .every_s = strtoll(argv[6], NULL, 10),
                                  .device_id = argc > 8 ? argv[7] : NULL,
                                  .cluster_id = argc > 8 ? argv[8] : NULL};
        if (plan.devices > 0 && plan.devices <= 4000 && plan.every_s > 0 &&
            plan.seconds >= plan.every_s)
            return bare ? floor_of(&plan) : record(&plan);
    }
    if (reads && argc >= (bare ? 7 : 9))
        return read_level(bare, argv + 2);
    fprintf(stderr, "usage: history record FOLDER DEVICES FROM SECONDS EVERY"
                    " [DEVICE_ID CLUSTER_ID]\n"
                    "       history floor FOLDER DEVICES FROM SECONDS EVERY\n"
                    "       history read FOLDER LEVEL FROM SECONDS TIMES DEVICE_ID CLUSTER_ID\n"
                    "       history select FOLDER LEVEL FROM SECONDS TIMES\n");
    return 2;
}
