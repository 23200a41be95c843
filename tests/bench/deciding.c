/* What deciding costs: the engine itself with a store full of constraints, and the floors beside
 * it.
 *
 *   build/deciding fill FOLDER DEVICES EACH [distinct]   a site and its store, all at once by SQL;
 *                                                        distinct: each constraint has a reason of
 *                                                        its own, else they share 5,000 texts
 *   build/deciding host FOLDER [CHANGES]                 starts the engine on it and measures
 *   build/deciding load FOLDER                           floor: a bare SELECT over the same rows
 *   build/deciding fold COUNT                            floor: folds over records of 32 bytes
 *   build/deciding heap COUNT                            floor: such records on the heap
 *
 * Each prints one line of JSON. The devices are batteries at an address that nobody answers; what
 * is measured is all that the host does on its loop when a constraint changes, begins or ends: the
 * book, the walk, the published snapshot, the timer. */
#include <malloc.h>
#include <sqlite3.h>

#include "base/log.h"
#include "bench.h"
#include "device.h"
#include "engine.h"
#include "store/store.h"

#define PER_CLUSTER 100
#define PER_LINK    200
#define CREATORS    5
#define REASONS     1000 /* of each creator */
#define HOUR_MS     INT64_C(3600000)
#define SOON_MS     400

static double cpu_s(void) {
    return clock_s(CLOCK_THREAD_CPUTIME_ID);
}

static double wall_s(void) {
    return clock_s(CLOCK_MONOTONIC);
}

static int number_of(const char *text) {
    return (int)strtol(text, NULL, 10);
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* --- a site and its store ------------------------------------------------------------------------
 */

static void write_site(const char *folder) {
    char path[600];
    snprintf(path, sizeof path, "%s/site.lua", folder);
    FILE *file = fopen(path, "we");
    if (!file ||
        fputs("return { http = { listen = \"127.0.0.1:0\" }, store = { directory = \"state\" }, "
              "clusters = {} }\n",
              file) < 0 ||
        fclose(file))
        fail("the site file cannot be written");
}

static void sql(sqlite3 *db, const char *text) {
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *text) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
    return statement;
}

static void run(sqlite3 *db, sqlite3_stmt *statement) {
    if (sqlite3_step(statement) != SQLITE_DONE)
        fail(sqlite3_errmsg(db));
    sqlite3_reset(statement);
}

static void put_cluster(sqlite3 *db, sqlite3_stmt *statement, int number, char id[ID_SIZE]) {
    char key[40];
    uuid_make(id);
    snprintf(key, sizeof key, "c%d", number);
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
    run(db, statement);
}

static void put_device(sqlite3 *db, sqlite3_stmt *statement, int number, const char *cluster_id,
                       char id[ID_SIZE]) {
    char key[40];
    char entry[300];
    uuid_make(id);
    snprintf(key, sizeof key, "b%d", number);
    snprintf(entry, sizeof entry,
             "{\"driver\":\"sungrow_hybrid\",\"as\":\"battery\",\"unit\":%d,"
             "\"link\":\"tcp://127.0.0.1:%d\",\"parameters\":{\"maxChargePower\":5000,"
             "\"maxDischargePower\":5000}}",
             number % PER_LINK + 1, 1 + number / PER_LINK);
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, cluster_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, entry, -1, SQLITE_STATIC);
    run(db, statement);
}

/* Ranges that narrow step by step, and now and then a set point inside: most are applied, some are
 * discarded or clamped, as on a site where several programs send what they want. */
static void put_constraint(sqlite3 *db, sqlite3_stmt *statement, const char *device_id, int number,
                           int64_t rank, int64_t now_ms, bool distinct, uint32_t *random) {
    char id[ID_SIZE];
    char creator[40];
    char reason[100];
    int by = number % CREATORS;
    int32_t room = 5000 - number * 10 - (int32_t)(next_random(random) % 10);
    uuid_make(id);
    snprintf(creator, sizeof creator, "token:program-%d", by);
    snprintf(reason, sizeof reason, "slot %lld of what program %d has planned",
             (long long)(distinct ? rank : rank % REASONS), by);
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, device_id, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 3, 2000 + (int)(next_random(random) % 900));
    sqlite3_bind_int64(statement, 4, rank);
    if (next_random(random) % 4 == 0)
        sqlite3_bind_int(statement, 5, (int)(next_random(random) % 1000));
    else
        sqlite3_bind_null(statement, 5);
    sqlite3_bind_int(statement, 6, -room);
    sqlite3_bind_int(statement, 7, room > 1000 ? room : 1000);
    sqlite3_bind_text(statement, 8, next_random(random) % 4 ? "discard" : "clamp", -1,
                      SQLITE_STATIC);
    sqlite3_bind_int64(statement, 9, now_ms - 1000);
    sqlite3_bind_int64(statement, 10,
                       now_ms + 12 * HOUR_MS + (int64_t)(next_random(random) % 1000000) * 36);
    sqlite3_bind_int64(statement, 11, now_ms - 1000);
    sqlite3_bind_text(statement, 12, creator, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 13, reason, -1, SQLITE_STATIC);
    run(db, statement);
}

/* As they come in over time: each device's constraints lie scattered among those of the others. */
static void fill_store(const char *folder, int devices, int each, bool distinct) {
    char path[600];
    struct store *store;
    struct report report;
    report_init(&report);
    snprintf(path, sizeof path, "%s/state", folder);
    if (store_open(&store, path, &report) != ERR_OK)
        fail("the store cannot be made");
    store_close(store);
    report_free(&report);
    snprintf(path, sizeof path, "%s/state/derd.db", folder);
    sqlite3 *db;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail("the store cannot be opened");
    int64_t now_ms = clock_ns(CLOCK_REALTIME) / 1000000000 * 1000;
    sql(db, "PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN");
    sqlite3_stmt *clusters =
        prepared(db, "INSERT INTO clusters (id, key, account, parent_id, entry, revision,"
                     " created_at_ms) VALUES (?1, ?2, 'owner', '', '{}', 1, 0)");
    sqlite3_stmt *things =
        prepared(db, "INSERT INTO devices (id, key, cluster_id, entry, revision, created_at_ms)"
                     " VALUES (?1, ?2, ?3, ?4, 1, 0)");
    sqlite3_stmt *statement = prepared(
        db,
        "INSERT INTO constraints (id, device_id, priority, rank, active_power, min_active_power,"
        " max_active_power, on_conflict, exclusive, valid_at_ms, invalid_at_ms, valid_for_ms,"
        " created_at_ms, created_by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, 0,"
        " ?11, ?12, ?13)");
    char(*device_ids)[ID_SIZE] = calloc((size_t)devices, sizeof *device_ids);
    if (!device_ids)
        fail("no memory");
    char cluster_id[ID_SIZE] = "";
    for (int i = 0; i < devices; i++) {
        if (i % PER_CLUSTER == 0)
            put_cluster(db, clusters, i / PER_CLUSTER, cluster_id);
        put_device(db, things, i, cluster_id, device_ids[i]);
    }
    int64_t rank = 0;
    uint32_t random = 1;
    for (int number = 0; number < each; number++)
        for (int i = 0; i < devices; i++)
            put_constraint(db, statement, device_ids[i], number, ++rank, now_ms, distinct, &random);
    sql(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
    free(device_ids);
    sqlite3_finalize(clusters);
    sqlite3_finalize(things);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    printf("{}\n");
}

/* --- floors --------------------------------------------------------------------------------------
 */

static void floor_load(const char *folder) {
    char path[600];
    sqlite3 *db;
    int64_t sum = 0;
    snprintf(path, sizeof path, "%s/state/derd.db", folder);
    double cpu = cpu_s();
    double wall = wall_s();
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        fail("the store cannot be opened");
    sqlite3_stmt *statement = prepared(
        db, "SELECT id, device_id, priority, rank, active_power, min_active_power,"
            " max_active_power, on_conflict, exclusive, valid_at_ms, invalid_at_ms, valid_for_ms,"
            " created_at_ms, created_by, reason FROM constraints");
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < 15; i++)
            sum += i < 2 || i == 7 || i > 12 ? *sqlite3_column_text(statement, i)
                                             : sqlite3_column_int64(statement, i);
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    printf("{\"cpuS\": %.4f, \"wallS\": %.4f, \"sum\": %lld}\n", cpu_s() - cpu, wall_s() - wall,
           (long long)sum);
}

struct record {
    int64_t until_ms;
    int32_t priority, min, max, set;
    uint32_t flags, id;
};

static struct record *records_new(size_t count) {
    struct record *records = malloc(count * sizeof *records);
    uint32_t random = 1;
    if (!records)
        fail("no memory");
    for (size_t i = 0; i < count; i++) {
        int32_t room = 5000 - (int32_t)(i % 250) * 10;
        records[i] = (struct record){.until_ms = HOUR_MS,
                                     .min = -room - (int32_t)(next_random(&random) % 10),
                                     .max = room + (int32_t)(next_random(&random) % 10),
                                     .id = (uint32_t)i};
    }
    return records;
}

static void floor_fold(size_t count) {
    struct record *records = records_new(count);
    int64_t sum = 0;
    double cpu = cpu_s();
    for (size_t first = 0; first < count; first += 250) {
        int32_t lo = INT32_MIN;
        int32_t hi = INT32_MAX;
        for (size_t i = first; i < first + 250 && i < count; i++) {
            const struct record *at = &records[i];
            if (at->until_ms <= 0 || at->min > hi || at->max < lo)
                continue;
            lo = at->min > lo ? at->min : lo;
            hi = at->max < hi ? at->max : hi;
        }
        sum += hi - lo;
    }
    printf("{\"cpuMs\": %.3f, \"sum\": %lld}\n", (cpu_s() - cpu) * 1e3, (long long)sum);
    free(records);
}

static size_t heap_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void floor_heap(size_t count) {
    size_t before = heap_bytes();
    struct record *records = records_new(count);
    printf("{\"heapBytes\": %zu}\n", heap_bytes() - before);
    free(records);
}

/* --- the engine ----------------------------------------------------------------------------------
 */

struct world {
    struct engine *engine;
    struct device **devices;
    size_t count;
    uv_timer_t timer; /* stops the loop */
};

static void open_engine(struct world *world, const char *folder) {
    char site[600];
    struct report report;
    report_init(&report);
    snprintf(site, sizeof site, "%s/site.lua", folder);
    const struct engine_settings settings = {.site_path = site, .shared_folder = "."};
    world->engine = engine_open(&settings, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "%s: %s\n", report.items[i].where, report.items[i].text);
    report_free(&report);
    if (!world->engine)
        fail("the engine did not start");
    for (struct device *device = world->engine->devices; device; device = device->next)
        world->count++;
    world->devices = calloc(world->count + 1, sizeof(struct device *));
    if (!world->devices)
        fail("no memory");
    size_t at = 0;
    for (struct device *device = world->engine->devices; device; device = device->next)
        world->devices[at++] = device;
    uv_timer_init(&world->engine->loop, &world->timer);
}

/* One constraint like that at `index`, with another value. */
static struct constraint *changed(const struct device *device, size_t index, int32_t by_w) {
    struct constraint *constraint = entry_constraint(&device->book.entries[index]);
    if (!constraint)
        fail("no memory");
    constraint->wish.max += by_w;
    constraint->wish.min -= by_w;
    return constraint;
}

static void put(struct device *device, struct constraint *constraint) {
    if (book_put(&device->book, constraint, clock_now(&device->engine->clock)) != ERR_OK)
        fail("it found no room in the book");
    device_decide_changed(device);
}

/* CPU seconds of one change: put into the book, decided, published. Devices and constraints by
 * chance, so that on many devices nothing of them is in the processor's caches. */
static double change_s(struct world *world, size_t count) {
    struct constraint **constraints = calloc(count, sizeof(struct constraint *));
    struct device **devices = calloc(count, sizeof(struct device *));
    uint32_t random = 7;
    if (!constraints || !devices)
        fail("no memory");
    for (size_t i = 0; i < count; i++) {
        devices[i] = world->devices[next_random(&random) % world->count];
        constraints[i] = changed(devices[i], next_random(&random) % devices[i]->book.count,
                                 (int32_t)(i % 7) - 3);
    }
    double cpu = cpu_s();
    for (size_t i = 0; i < count; i++)
        put(devices[i], constraints[i]);
    cpu = cpu_s() - cpu;
    for (size_t i = 0; i < count; i++)
        constraint_release(constraints[i]);
    free(constraints);
    free(devices);
    return cpu / (double)count;
}

/* CPU seconds in which everything is decided anew and published, as after a step of the clock. */
static double all_s(struct world *world) {
    double cpu = cpu_s();
    for (size_t i = 0; i < world->count; i++)
        device_decide_changed(world->devices[i]);
    return cpu_s() - cpu;
}

/* The walk alone: what is in force, in order, decided. */
static double walk_s(struct world *world) {
    int64_t sum = 0;
    double cpu = cpu_s();
    for (size_t i = 0; i < world->count; i++) {
        struct device *device = world->devices[i];
        struct decision decision;
        struct book_walk walked;
        book_walk(&device->book, 50, false, &walked);
        walk_end(&walked.walk, &device->allowed, &decision);
        sum += decision.max;
    }
    cpu = cpu_s() - cpu;
    if (sum == 42)
        printf(" ");
    return cpu;
}

static int64_t wall_ms(const struct world *world) {
    return clock_now(&world->engine->clock).wall.ms;
}

static void on_timer(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

/* One constraint of each of the first `count` devices begins at the same instant: CPU seconds of
 * the one turn of the loop in which its timers find them and all are decided. */
static double boundary_s(struct world *world, size_t count) {
    uv_loop_t *loop = &world->engine->loop;
    int64_t begin_ms = wall_ms(world) + SOON_MS + (int64_t)count / 4;
    for (size_t i = 0; i < count; i++) {
        struct constraint *constraint = changed(world->devices[i], 3, 1);
        constraint->valid_at.ms = begin_ms;
        put(world->devices[i], constraint);
        constraint_release(constraint);
    }
    int64_t quiet_ms = begin_ms - 50 - wall_ms(world);
    uv_update_time(loop);
    uv_timer_start(&world->timer, on_timer, quiet_ms > 0 ? (uint64_t)quiet_ms : 0, 0);
    uv_run(loop, UV_RUN_DEFAULT);
    if (wall_ms(world) >= begin_ms)
        fail("the machine is too slow: it has begun already");
    for (int64_t now_ms; (now_ms = wall_ms(world)) <= begin_ms + 1;)
        clock_nanosleep(CLOCK_MONOTONIC, 0,
                        &(struct timespec){.tv_nsec = (begin_ms + 2 - now_ms) * 1000000}, NULL);
    uv_update_time(loop);
    double cpu = cpu_s();
    uv_run(loop, UV_RUN_NOWAIT);
    cpu = cpu_s() - cpu;
    for (size_t i = 0; i < count; i++)
        if (!world->devices[i]->book.entries[3].running)
            fail("a constraint has not begun");
    return cpu;
}

static void measure(const char *folder, size_t changes) {
    struct world world = {0};
    double wall = wall_s();
    double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    open_engine(&world, folder);
    cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = wall_s() - wall;
    size_t constraints = 0;
    for (size_t i = 0; i < world.count; i++)
        constraints += world.devices[i]->book.count;
    printf("{\"startWallS\": %.4f, \"startCpuS\": %.4f, \"heapBytes\": %zu, \"rssKib\": %ld", wall,
           cpu, heap_bytes(), resident_kib());
    if (constraints && changes) {
        (void)all_s(&world); /* what the first time alone costs is the start's */
        double walk = walk_s(&world);
        double all = all_s(&world);
        double change = change_s(&world, changes);
        double begin = boundary_s(&world, 1);
        double begin_all = boundary_s(&world, world.count);
        printf(", \"walkMs\": %.3f, \"allMs\": %.3f, \"changeUs\": %.3f, \"boundaryUs\": %.3f, "
               "\"boundaryAllMs\": %.3f",
               walk * 1e3, all * 1e3, change * 1e6, begin * 1e6, begin_all * 1e3);
    }
    printf("}\n");
    free(world.devices);
    uv_close((uv_handle_t *)&world.timer, NULL);
    engine_close(world.engine);
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    log_set_level(LOG_LEVEL_ERROR);
    if (strcmp(what, "fill") == 0 && argc >= 5) {
        write_site(argv[2]);
        fill_store(argv[2], number_of(argv[3]), number_of(argv[4]), argc > 5);
    } else if (strcmp(what, "host") == 0) {
        measure(argv[2], argc > 3 ? (size_t)number_of(argv[3]) : 0);
    } else if (strcmp(what, "load") == 0) {
        floor_load(argv[2]);
    } else if (strcmp(what, "fold") == 0) {
        floor_fold((size_t)number_of(argv[2]));
    } else if (strcmp(what, "heap") == 0) {
        floor_heap((size_t)number_of(argv[2]));
    } else {
        fprintf(stderr,
                "usage: deciding fill|host|load|fold|heap ...: see the head of its source\n");
        return 2;
    }
    return 0;
}
