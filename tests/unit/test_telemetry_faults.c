/* History through damage, a full disk, a full queue, many readers, and kills. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "telemetry_kit.h"

/* --- what goes wrong -------------------------------------------------------------------------- */

static void write_file(const struct folder *folder, const char *name, const char *text) {
    char path[128];
    folder_path(folder, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static bool is_there(const struct folder *folder, const char *name) {
    char path[128];
    folder_path(folder, name, path);
    return access(path, F_OK) == 0;
}

static void a_damaged_file_is_set_aside(void **state) {
    write_file(*state, "telemetry.db", "this is no database, but it is long enough to look at it");
    struct telemetry *telemetry = opened(*state);
    give(telemetry, minutes_ago(10), 100, 7000);
    telemetry_settle(telemetry);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 1);
    assert_true(status_of(telemetry).ready);
    assert_false(status_of(telemetry).failing);
    assert_int_equal(status_of(telemetry).set_aside, 1);
    assert_true(is_there(*state, "telemetry.db.damaged"));
    telemetry_close(telemetry);
}

static void execute_on(const struct folder *folder, const char *sql) {
    char path[128];
    sqlite3 *db;
    folder_path(folder, "telemetry.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void files_of_others_are_set_aside_too(void **state) {
    execute_on(*state, "CREATE TABLE mine (x)");
    struct telemetry *telemetry = opened(*state);
    assert_true(is_there(*state, "telemetry.db.foreign"));
    telemetry_close(telemetry);
    execute_on(*state, "PRAGMA user_version = 99");
    telemetry = opened(*state);
    assert_true(is_there(*state, "telemetry.db.newer"));
    assert_true(status_of(telemetry).ready);
    telemetry_close(telemetry);
}

/* Pages in the middle are overwritten; the head stays sound. */
static void damage_the_middle(const struct folder *folder) {
    char path[128], waste[4096];
    struct stat status;
    folder_path(folder, "telemetry.db", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    memset(waste, 0x5a, sizeof waste);
    for (off_t at = 12 * (off_t)4096; at < status.st_size; at += 4096)
        assert_int_equal(pwrite(fd, waste, sizeof waste, at), sizeof waste);
    close(fd);
}

static bool ignore_row(void *context, int64_t at_ms, const void *data, size_t length) {
    (void)context;
    (void)at_ms;
    (void)data;
    (void)length;
    return true;
}

static void damage_that_a_reader_meets_is_set_aside(void **state) {
    struct telemetry *telemetry = opened(*state);
    for (int i = 0; i < 3000; i++)
        give(telemetry, minutes_ago(100) + i * INT64_C(1000), 100, 7000);
    telemetry_settle(telemetry);
    telemetry_close(telemetry);
    damage_the_middle(*state);
    telemetry = opened(*state);
    struct reader *reader;
    int count;
    if (reader_open(&reader, telemetry) == ERR_OK) {
        for (int level = 0; level < LEVEL_COUNT; level++)
            if (reader_rows(reader, (enum level)level, 1, 0, INT64_MAX, 100000, ignore_row, NULL,
                            &count) != ERR_OK)
                break;
        reader_close(reader);
    }
    telemetry_settle(telemetry);
    telemetry_settle(telemetry);
    assert_int_equal(status_of(telemetry).set_aside, 1);
    give(telemetry, minutes_ago(10), 100, 7000);
    telemetry_settle(telemetry);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 1);
    telemetry_close(telemetry);
}

static void a_full_disk_drops_samples_and_goes_on(void **state) {
    struct rlimit before;
    struct telemetry *telemetry = opened(*state);
    give(telemetry, minutes_ago(10), 100, 7000);
    telemetry_settle(telemetry);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit tiny = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    struct ruling limit = limited_to(4200, "token:a");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    for (int i = 0; i < 100; i++)
        give(telemetry, minutes_ago(9) + i, 100, 7000);
    telemetry_ruling(telemetry, &wallbox, clock_now(&test_clock), &limit);
    telemetry_settle(telemetry);
    struct telemetry_status status = status_of(telemetry);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_true(status.failing);
    assert_true(status.why[0] != '\0');
    assert_int_equal(status.dropped, 101);
    /* There is room again: what is in force is written all the same. */
    give(telemetry, now_ms(), 100, 7001);
    telemetry_settle(telemetry);
    set_now(NOON + 5 * MINUTE);
    telemetry_settle(telemetry);
    assert_false(status_of(telemetry).failing);
    assert_int_equal(status_of(telemetry).dropped, 101);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 2);
    assert_int_equal(count_of(telemetry, LEVEL_MINUTES), 2);
    struct rulings rulings = rulings_of(telemetry);
    assert_int_equal(rulings.count, 1);
    assert_int_equal(rulings.items[0].max, 4200);
    telemetry_close(telemetry);
}

static void a_full_queue_drops_and_never_waits(void **state) {
    struct folder *folder = *state;
    /* A folder that is not there yet: the thread cannot empty the queue into a file. */
    struct folder missing;
    snprintf(missing.path, sizeof missing.path, "%.80s/later", folder->path);
    struct telemetry *telemetry = opened(&missing);
    for (int i = 0; i < 2 * TELEMETRY_QUEUE_LEAST; i++)
        give(telemetry, minutes_ago(10) + i, 100, 7000);
    telemetry_settle(telemetry);
    struct telemetry_status status = status_of(telemetry);
    assert_false(status.ready);
    assert_true(status.failing);
    assert_int_equal(status.dropped, 2 * TELEMETRY_QUEUE_LEAST);
    struct reader *reader;
    assert_int_equal(reader_open(&reader, telemetry), ERR_CLOSED);
    telemetry_close(telemetry);
}

static void so_many_read_and_no_more(void **state) {
    struct telemetry *telemetry = opened(*state);
    struct reader *readers[17];
    size_t count = 0;
    while (count < 17 && reader_open(&readers[count], telemetry) == ERR_OK)
        count++;
    assert_int_equal(count, 16);
    reader_close(readers[--count]);
    assert_int_equal(reader_open(&readers[count], telemetry), ERR_OK);
    for (count++; count > 0; count--)
        reader_close(readers[count - 1]);
    telemetry_close(telemetry);
}

static void a_reader_holds_no_snapshot_between_pages(void **state) {
    struct telemetry *telemetry = opened(*state);
    for (int i = 0; i < 100; i++)
        give(telemetry, minutes_ago(10) + i, 100, 7000);
    telemetry_settle(telemetry);
    struct reader *reader;
    int count;
    assert_int_equal(reader_open(&reader, telemetry), ERR_OK);
    assert_int_equal(reader_rows(reader, LEVEL_RAW, 1, 0, INT64_MAX, 10, ignore_row, NULL, &count),
                     ERR_OK);
    assert_int_equal(count, 10);
    /* A page was read, the next one was not asked for: the whole WAL can be taken in. */
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *checkpoint;
    folder_path(*state, "telemetry.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "PRAGMA wal_checkpoint(TRUNCATE)", -1, &checkpoint, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(checkpoint), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(checkpoint, 0), 0);
    sqlite3_finalize(checkpoint);
    sqlite3_close(db);
    reader_close(reader);
    telemetry_close(telemetry);
}

/* --- kills ------------------------------------------------------------------------------------ */

#define KILLS     12
#define LIFE_MOST (10 * MINUTE) /* rows_of() holds so many lives */

/* Gives samples one after the other until it is killed; its clock goes with them, some minutes
 * behind, so that no stall of the machine makes a sample late. */
static void live_until_killed(const struct folder *folder, int64_t from_ms, int ready) {
    struct ruling limit = limited_to(4200, "token:a");
    set_now(from_ms - LAG);
    struct telemetry *telemetry = opened(folder);
    telemetry_ruling(telemetry, &wallbox, clock_now(&test_clock), &limit);
    telemetry_settle(telemetry);
    if (write(ready, "1", 1) != 1)
        _exit(1);
    for (int64_t at = from_ms; at < from_ms + LIFE_MOST;) {
        for (int i = 0; i < 25; i++, at += 1000)
            give(telemetry, at, 3600, floor((double)at / 1000));
        set_now(at - LAG);
        telemetry_settle(telemetry);
    }
    for (;;)
        pause();
}

static int64_t last_sample(struct telemetry *telemetry) {
    struct rows *samples = rows_of(telemetry, LEVEL_RAW);
    int64_t last = samples->count ? samples->at_ms[samples->count - 1] : 0;
    free(samples);
    return last;
}

static void check_all(struct telemetry *telemetry) {
    struct rows *samples = rows_of(telemetry, LEVEL_RAW);
    struct rows *minutes = rows_of(telemetry, LEVEL_MINUTES);
    double sum = 0;
    size_t counted = 0, holes = 0;
    for (size_t m = 0; m < minutes->count; m++) {
        int in_minute = 0;
        for (size_t i = 0; i < samples->count; i++)
            in_minute += samples->at_ms[i] >= minutes->at_ms[m] &&
                         samples->at_ms[i] < minutes->at_ms[m] + MINUTE;
        assert_int_equal(minutes->buckets[m].spreads[POINT_ACTIVE_POWER].count, in_minute);
        assert_true(m == 0 || minutes->at_ms[m] > minutes->at_ms[m - 1]);
        counted += (size_t)in_minute;
        if (isfinite(minutes->buckets[m].energies[ENERGY_IMPORT].delta_wh))
            sum += minutes->buckets[m].energies[ENERGY_IMPORT].delta_wh;
    }
    assert_int_equal(counted, samples->count); /* all of them have ended */
    for (size_t i = 1; i < samples->count; i++)
        holes += samples->at_ms[i] - samples->at_ms[i - 1] != 1000;
    assert_true(holes < KILLS); /* between two lives, and nowhere else */
    if (samples->count) {
        double moved = (double)(samples->at_ms[samples->count - 1] - samples->at_ms[0]) / 1000;
        assert_true(fabs(sum - moved) < 1e-6);
    }
    free(samples);
    free(minutes);
}

static void a_kill_counts_nothing_twice_and_leaves_no_hole(void **state) {
    int64_t from_ms = NOON + LAG;
    for (size_t rounds = 0; rounds < KILLS; rounds++) {
        int ready[2];
        char byte;
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            live_until_killed(*state, from_ms, ready[1]);
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1300000L * (long)(1 + rounds % 7)}, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        set_now(from_ms - LAG);
        struct telemetry *telemetry = opened(*state);
        int64_t last_ms = last_sample(telemetry);
        from_ms = (last_ms > from_ms ? last_ms : from_ms) + 5 * MINUTE;
        set_now(from_ms);
        telemetry_settle(telemetry);
        check_all(telemetry);
        struct rulings rulings = rulings_of(telemetry);
        assert_int_equal(rulings.count, rounds + 1);
        for (size_t i = 0; i < rulings.count; i++) {
            assert_int_equal(rulings.items[i].end, RULING_HOST_LOST);
            assert_true(rulings.items[i].until_ms >= rulings.items[i].at_ms);
            assert_true(rulings.items[i].until_ms <= now_ms());
        }
        telemetry_close(telemetry);
        if (last_ms > NOON + 50 * MINUTE)
            break; /* rows_of() holds no more */
        from_ms += LAG;
    }
    assert_true(from_ms > NOON + 5 * MINUTE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DISK(a_damaged_file_is_set_aside),
        ON_DISK(files_of_others_are_set_aside_too),
        ON_DISK(damage_that_a_reader_meets_is_set_aside),
        ON_DISK(a_full_disk_drops_samples_and_goes_on),
        ON_DISK(a_full_queue_drops_and_never_waits),
        ON_DISK(so_many_read_and_no_more),
        ON_DISK(a_reader_holds_no_snapshot_between_pages),
        ON_DISK(a_kill_counts_nothing_twice_and_leaves_no_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
