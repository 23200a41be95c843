/* History on disk: samples, buckets, rulings, retention; damage, a full disk, kills, clocks. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store_kit.h"
#include "telemetry/reader.h"
#include "telemetry/telemetry.h"

#define MINUTE  INT64_C(60000)
#define HOUR    (60 * MINUTE)
#define DAY     (24 * HOUR)
#define LAG     (3 * MINUTE)
#define NOON    INT64_C(1780315200000) /* 2026-06-01T12:00:00Z */
#define CLUSTER "0f8fad5b-d9cb-469f-a165-70867728950e"

static const struct origin wallbox = {"7c9e6679-7425-40de-944b-e07fc1f90ae7", CLUSTER};
static const struct origin meter = {"9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa", CLUSTER};

static struct clock test_clock;

static struct telemetry *opened_with(const struct folder *folder,
                                     const struct retention *retention) {
    struct telemetry *telemetry;
    struct telemetry_settings settings = {.directory = folder->path,
                                          .clock = &test_clock,
                                          .retention = *retention,
                                          .commit_ms = 3600000};
    assert_int_equal(telemetry_open(&telemetry, &settings), ERR_OK);
    telemetry_settle(telemetry);
    return telemetry;
}

static struct telemetry *opened(const struct folder *folder) {
    const struct retention retention = retention_default();
    return opened_with(folder, &retention);
}

static int64_t now_ms(void) {
    return clock_now(&test_clock).wall.ms;
}

/* Only while telemetry's thread sleeps: after telemetry_settle(), or before it is opened. */
static void set_now(int64_t wall_ms) {
    test_clock.shift_ms += wall_ms - now_ms();
}

static int clock_set(void **state) {
    clock_init(&test_clock, (struct wall){0}, 0);
    set_now(NOON);
    return folder_make(state);
}

/* The begin of a minute, `minutes` ago. */
static int64_t minutes_ago(int minutes) {
    int64_t now = now_ms() - minutes * MINUTE;
    return now - now % MINUTE;
}

static void give_as(struct telemetry *telemetry, const struct origin *origin, int64_t at_ms,
                    double power_w, double counter_wh, struct now now) {
    struct sample sample = {.at_ms = at_ms, .hold_ms = 4000};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample.values[i] = NAN;
    sample.values[POINT_ACTIVE_POWER] = power_w;
    sample.values[POINT_ENERGY_IMPORT] = counter_wh;
    telemetry_sample(telemetry, origin, now, &sample, 10000);
}

static void give(struct telemetry *telemetry, int64_t at_ms, double power_w, double counter_wh) {
    give_as(telemetry, &wallbox, at_ms, power_w, counter_wh, clock_now(&test_clock));
}

/* --- reading ---------------------------------------------------------------------------------- */

#define ROWS 4000

struct rows {
    size_t count;
    int64_t at_ms[ROWS];
    struct aggregate buckets[ROWS];
    struct sample samples[ROWS];
};

static bool take_bucket(void *context, int64_t at_ms, const void *data, size_t length) {
    struct rows *rows = context;
    assert_true(rows->count < ROWS);
    assert_true(aggregate_unpack(data, length, &rows->buckets[rows->count]));
    rows->at_ms[rows->count++] = at_ms;
    return true;
}

static bool take_sample(void *context, int64_t at_ms, const void *data, size_t length) {
    struct rows *rows = context;
    assert_true(rows->count < ROWS);
    assert_true(sample_unpack(data, length, &rows->samples[rows->count]));
    rows->at_ms[rows->count++] = at_ms;
    return true;
}

static struct rows *rows_of(struct telemetry *telemetry, enum level level) {
    struct rows *rows = calloc(1, sizeof *rows);
    struct reader *reader;
    struct recorded recorded;
    int count;
    assert_non_null(rows);
    assert_int_equal(reader_open(&reader, telemetry), ERR_OK);
    assert_int_equal(reader_device(reader, wallbox.device_id, CLUSTER, &recorded), ERR_OK);
    assert_int_equal(reader_rows(reader, level, recorded.number, 0, INT64_MAX, ROWS,
                                 level == LEVEL_RAW ? take_sample : take_bucket, rows, &count),
                     ERR_OK);
    reader_close(reader);
    return rows;
}

static size_t count_of(struct telemetry *telemetry, enum level level) {
    struct rows *rows = rows_of(telemetry, level);
    size_t count = rows->count;
    free(rows);
    return count;
}

struct rulings {
    size_t count;
    struct ruling items[100];
};

static void take_ruling(void *context, const struct ruling *ruling) {
    struct rulings *rulings = context;
    assert_true(rulings->count < 100);
    rulings->items[rulings->count++] = *ruling;
}

static struct rulings rulings_of(struct telemetry *telemetry) {
    struct rulings rulings = {0};
    struct reader *reader;
    struct recorded recorded;
    int count;
    assert_int_equal(reader_open(&reader, telemetry), ERR_OK);
    assert_int_equal(reader_device(reader, wallbox.device_id, CLUSTER, &recorded), ERR_OK);
    assert_int_equal(
        reader_rulings(reader, recorded.number, 0, INT64_MAX, 100, take_ruling, &rulings, &count),
        ERR_OK);
    reader_close(reader);
    return rulings;
}

static struct telemetry_status status_of(struct telemetry *telemetry) {
    struct telemetry_status status;
    telemetry_status(telemetry, &status);
    return status;
}

/* --- buckets ---------------------------------------------------------------------------------- */

static void samples_become_minutes_quarters_and_days(void **state) {
    struct telemetry *telemetry = opened(*state);
    int64_t midnight = now_ms() - now_ms() % DAY - DAY;
    /* From 23:58 to 00:02 of the night before the last one, a sample each 2 s, 1 Wh between them.
     */
    for (int i = -60; i < 60; i++)
        give(telemetry, midnight + i * INT64_C(2000), 1800, 5000 + i);
    telemetry_settle(telemetry);
    struct rows *rows = rows_of(telemetry, LEVEL_MINUTES);
    assert_int_equal(rows->count, 5); /* the last value holds into the fifth */
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rows->at_ms[i], midnight + ((int64_t)i - 2) * MINUTE);
        assert_int_equal(rows->buckets[i].spreads[POINT_ACTIVE_POWER].count, 30);
        assert_int_equal(rows->buckets[i].spreads[POINT_ACTIVE_POWER].ms, MINUTE);
    }
    assert_int_equal(rows->buckets[4].spreads[POINT_ACTIVE_POWER].ms, 2000);
    free(rows);
    rows = rows_of(telemetry, LEVEL_QUARTERS);
    assert_int_equal(rows->count, 2);
    assert_int_equal(rows->at_ms[0], midnight - 15 * MINUTE);
    free(rows);
    rows = rows_of(telemetry, LEVEL_DAYS);
    assert_int_equal(rows->count, 2);
    assert_int_equal(rows->at_ms[0], midnight - DAY);
    assert_int_equal(rows->at_ms[1], midnight);
    /* The reading at midnight is of the new day: 59 Wh between 60 readings, then 60. */
    assert_true(rows->buckets[0].energies[ENERGY_IMPORT].delta_wh == 59);
    assert_true(rows->buckets[1].energies[ENERGY_IMPORT].delta_wh == 60);
    assert_true(rows->buckets[1].energies[ENERGY_IMPORT].last_wh == 5059);
    assert_int_equal(rows->buckets[1].energies[ENERGY_IMPORT].source, SOURCE_COUNTER);
    free(rows);
    telemetry_close(telemetry);
}

static void a_restart_in_the_middle_of_a_minute_changes_nothing(void **state) {
    struct aggregate whole = {0};
    for (int restarts = 0; restarts < 2; restarts++) {
        int64_t start = NOON + restarts * (10 * MINUTE);
        struct telemetry *telemetry = opened(*state);
        for (int i = 0; i < 90; i++) {
            if (restarts && i % 20 == 7) {
                telemetry_close(telemetry);
                set_now(start + i * INT64_C(1000) - LAG);
                telemetry = opened(*state);
            }
            give(telemetry, start + i * INT64_C(1000), 100 + i, 7000 + 90 * restarts + i);
        }
        telemetry_settle(telemetry);
        set_now(start + 5 * MINUTE);
        telemetry_settle(telemetry);
        struct rows *rows = rows_of(telemetry, LEVEL_MINUTES);
        assert_int_equal(rows->count, 2 + 2 * restarts);
        if (!restarts)
            whole = rows->buckets[0];
        else
            assert_memory_equal(&rows->buckets[2].spreads, &whole.spreads, sizeof whole.spreads);
        assert_true(rows->buckets[1 + 2 * restarts].energies[ENERGY_IMPORT].delta_wh == 30);
        free(rows);
        telemetry_close(telemetry);
    }
}

static void a_minute_that_has_not_ended_is_not_made(void **state) {
    struct telemetry *telemetry = opened(*state);
    int64_t now = now_ms();
    give(telemetry, now + 10 * MINUTE, 100, 7000); /* and nothing that is ahead of the clock */
    give(telemetry, minutes_ago(3), 100, 7000);
    telemetry_settle(telemetry);
    assert_int_equal(count_of(telemetry, LEVEL_MINUTES), 1);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 2);
    telemetry_close(telemetry);
}

static void a_late_sample_is_kept_and_counted_nowhere(void **state) {
    struct telemetry *telemetry = opened(*state);
    int64_t minute = minutes_ago(10);
    give(telemetry, minute, 100, 7000);
    telemetry_settle(telemetry);
    give(telemetry, minute + 10000, 9000, 9000);
    give(telemetry, minute, 5, 5); /* an instant that is taken stays as it was */
    telemetry_settle(telemetry);
    struct rows *rows = rows_of(telemetry, LEVEL_MINUTES);
    assert_int_equal(rows->count, 1);
    assert_int_equal(rows->buckets[0].spreads[POINT_ACTIVE_POWER].count, 1);
    free(rows);
    rows = rows_of(telemetry, LEVEL_RAW);
    assert_int_equal(rows->count, 2);
    assert_true(rows->samples[0].values[POINT_ACTIVE_POWER] == 100);
    free(rows);
    telemetry_close(telemetry);
}

static void a_step_back_of_the_clock_loses_no_energy(void **state) {
    struct telemetry *telemetry = opened(*state);
    static const struct {
        int64_t from;
        int count;
    } runs[] = {{NOON, 60}, {NOON - 30 * MINUTE, 30}, {NOON + 40 * MINUTE, 60}};
    int counter = 7000;
    for (size_t run = 0; run < 3; run++) {
        set_now(runs[run].from);
        for (int i = 0; i < runs[run].count; i++)
            give(telemetry, runs[run].from + i * INT64_C(1000), 3600, counter++);
        telemetry_settle(telemetry);
        set_now(runs[run].from + 3 * MINUTE);
        telemetry_settle(telemetry);
    }
    struct rows *rows = rows_of(telemetry, LEVEL_MINUTES);
    double sum = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (isfinite(rows->buckets[i].energies[ENERGY_IMPORT].delta_wh))
            sum += rows->buckets[i].energies[ENERGY_IMPORT].delta_wh;
    assert_true(sum == 149);
    free(rows);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 150);
    telemetry_close(telemetry);
}

static void buckets_go_on_when_the_clock_was_years_ahead(void **state) {
    set_now(NOON + 1000 * DAY);
    struct telemetry *telemetry = opened(*state);
    give(telemetry, now_ms(), 100, 7000);
    telemetry_settle(telemetry);
    set_now(now_ms() + 3 * MINUTE);
    telemetry_settle(telemetry);
    set_now(NOON);
    telemetry_settle(telemetry);
    set_now(NOON + MINUTE);
    give(telemetry, now_ms(), 100, 7001);
    telemetry_settle(telemetry);
    set_now(NOON + 5 * MINUTE);
    telemetry_settle(telemetry);
    struct rows *rows = rows_of(telemetry, LEVEL_MINUTES);
    assert_int_equal(rows->count, 2);
    assert_int_equal(rows->at_ms[0], NOON + MINUTE);
    assert_true(rows->buckets[0].energies[ENERGY_IMPORT].delta_wh == 1);
    free(rows);
    telemetry_close(telemetry);
}

static void nothing_is_measured_by_a_clock_that_cannot_be_trusted(void **state) {
    struct telemetry *telemetry = opened(*state);
    struct now now = clock_now(&test_clock);
    now.trusted = false;
    give_as(telemetry, &meter, now.wall.ms, 1, 1, now);
    give(telemetry, minutes_ago(10), 100, 7000);
    telemetry_settle(telemetry);
    assert_int_equal(status_of(telemetry).dropped_untimed, 1);
    assert_int_equal(status_of(telemetry).dropped, 0);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 1);
    telemetry_close(telemetry);
}

static void levels_are_kept_as_long_as_they_should(void **state) {
    struct retention retention = {.levels_ms = {HOUR, 3 * HOUR, DAY, 0}, .decisions_ms = DAY};
    const struct retention forever = {0};
    struct telemetry *telemetry = opened_with(*state, &forever);
    int64_t start = now_ms() - 3 * DAY;
    start -= start % DAY;
    for (int h = 0; h < 72; h++) /* a sample each hour, up to midnight */
        give(telemetry, start + h * HOUR, 100, 7000 + h);
    telemetry_settle(telemetry);
    assert_int_equal(count_of(telemetry, LEVEL_RAW), 72);
    assert_int_equal(count_of(telemetry, LEVEL_MINUTES), 72);
    telemetry_retain(telemetry, &retention);
    for (int i = 0; i < 3; i++)
        telemetry_settle(telemetry);
    struct rows *rows = rows_of(telemetry, LEVEL_RAW);
    for (size_t i = 0; i < rows->count; i++)
        assert_true(rows->at_ms[i] >= now_ms() - HOUR - MINUTE);
    free(rows);
    rows = rows_of(telemetry, LEVEL_QUARTERS);
    assert_int_equal(rows->count, 11); /* of yesterday after noon */
    assert_int_equal(rows->at_ms[0], NOON - DAY + HOUR);
    free(rows);
    assert_int_equal(count_of(telemetry, LEVEL_DAYS), 3);
    telemetry_close(telemetry);
}

/* --- rulings ---------------------------------------------------------------------------------- */

static struct ruling limited_to(int32_t max_w, const char *creator) {
    struct ruling ruling = {
        .controllable = true, .in_force = true, .min = 0, .max = max_w, .command = COMMAND_PENDING};
    struct cause *cause = &ruling.causes[RULED_MAX];
    snprintf(cause->id, sizeof cause->id, "4d36e96e-e325-11ce-bfc1-08002be10318");
    snprintf(cause->created_by, sizeof cause->created_by, "%s", creator);
    snprintf(cause->reason, sizeof cause->reason, "the grid is full");
    cause->priority = 3000;
    return ruling;
}

static struct now after(struct now now, int64_t ms) {
    now.wall.ms += ms;
    now.mono.ms += ms;
    return now;
}

static void give_reach(struct telemetry *telemetry, struct now now, enum reach reach) {
    struct sample sample = {.at_ms = now.wall.ms, .hold_ms = 4000, .reach = reach};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample.values[i] = NAN;
    sample.values[POINT_ACTIVE_POWER] = 4000;
    telemetry_sample(telemetry, &wallbox, now, &sample, NAN);
}

static void a_ruling_says_who_how_long_and_where_the_power_was(void **state) {
    struct telemetry *telemetry = opened(*state);
    struct now start = after(clock_now(&test_clock), -120000);
    struct ruling limit = limited_to(4200, "token:grid operator");
    struct ruling free_again = {.controllable = true, .min = 0, .max = 11000};
    telemetry_ruling(telemetry, &wallbox, start, &limit);
    telemetry_told(telemetry, &wallbox, after(start, 5), COMMAND_PENDING, after(start, 5).wall);
    telemetry_told(telemetry, &wallbox, after(start, 20), COMMAND_SENT, after(start, 20).wall);
    telemetry_told(telemetry, &wallbox, after(start, 90), COMMAND_CONFIRMED, after(start, 90).wall);
    give_reach(telemetry, after(start, 1000), REACH_ABOVE);
    give_reach(telemetry, after(start, 3000), REACH_AT_MAX);
    give_reach(telemetry, after(start, 5000), REACH_AT_MAX);
    /* 20 s of silence: 4 s of them are known. */
    give_reach(telemetry, after(start, 25000), REACH_INSIDE);
    /* The wall clock steps an hour ahead before the end: the duration does not. */
    struct now end = after(start, 28000);
    end.wall.ms += HOUR;
    telemetry_ruling(telemetry, &wallbox, end, &free_again);
    telemetry_settle(telemetry);
    struct rulings rulings = rulings_of(telemetry);
    assert_int_equal(rulings.count, 2);
    const struct ruling *one = &rulings.items[0];
    assert_int_equal(one->at_ms, start.wall.ms);
    assert_int_equal(one->until_ms, end.wall.ms);
    assert_int_equal(one->duration_ms, 28000);
    assert_int_equal(one->end, RULING_REPLACED);
    assert_true(one->trusted && one->in_force && one->controllable && !one->has_set);
    assert_int_equal(one->max, 4200);
    assert_string_equal(one->causes[RULED_MAX].created_by, "token:grid operator");
    assert_string_equal(one->causes[RULED_MAX].reason, "the grid is full");
    assert_int_equal(one->causes[RULED_MAX].priority, 3000);
    assert_string_equal(one->causes[RULED_SET].id, "");
    assert_int_equal(one->command, COMMAND_CONFIRMED);
    assert_int_equal(one->sent_ms, start.wall.ms + 20);
    assert_int_equal(one->confirmed_ms, start.wall.ms + 90);
    assert_int_equal(one->measured_ms, 2000 + 2000 + 4000 + 3000);
    assert_int_equal(one->outside_ms, 2000);
    assert_int_equal(one->at_max_ms, 2000 + 4000);
    assert_int_equal(one->at_min_ms, 0);
    assert_int_equal(rulings.items[1].end, RULING_OPEN);
    assert_int_equal(rulings.items[1].until_ms, 0);
    telemetry_close(telemetry);
    /* The end of the host is the end of what is known. */
    telemetry = opened(*state);
    rulings = rulings_of(telemetry);
    assert_int_equal(rulings.count, 2);
    assert_int_equal(rulings.items[1].end, RULING_HOST_STOPPED);
    assert_true(rulings.items[1].until_ms >= end.wall.ms);
    telemetry_close(telemetry);
}

static void a_device_that_leaves_ends_its_ruling(void **state) {
    struct telemetry *telemetry = opened(*state);
    struct now now = clock_now(&test_clock);
    struct ruling limit = limited_to(4200, "token:a");
    telemetry_ruling(telemetry, &wallbox, now, &limit);
    telemetry_leave(telemetry, &wallbox, after(now, 500));
    telemetry_leave(telemetry, &wallbox, after(now, 900)); /* twice is once */
    telemetry_settle(telemetry);
    struct rulings rulings = rulings_of(telemetry);
    assert_int_equal(rulings.count, 1);
    assert_int_equal(rulings.items[0].end, RULING_SITE_CHANGED);
    assert_int_equal(rulings.items[0].duration_ms, 500);
    telemetry_close(telemetry);
}

static void two_rulings_within_a_millisecond_are_two(void **state) {
    struct telemetry *telemetry = opened(*state);
    struct now now = clock_now(&test_clock);
    for (int i = 0; i < 3; i++) {
        struct ruling limit = limited_to(4200 + i, "token:a");
        telemetry_ruling(telemetry, &wallbox, now, &limit);
    }
    telemetry_settle(telemetry);
    struct rulings rulings = rulings_of(telemetry);
    assert_int_equal(rulings.count, 3);
    assert_int_equal(rulings.items[2].max, 4202);
    telemetry_close(telemetry);
}

static void what_was_in_force_at_a_time_is_found(void **state) {
    struct telemetry *telemetry = opened(*state);
    struct now now = after(clock_now(&test_clock), -100000);
    struct ruling limit = limited_to(4200, "token:a");
    struct reader *reader;
    struct recorded recorded;
    int64_t begin;
    telemetry_ruling(telemetry, &wallbox, now, &limit);
    telemetry_leave(telemetry, &wallbox, after(now, 1000));
    telemetry_ruling(telemetry, &wallbox, after(now, 5000), &limit);
    telemetry_settle(telemetry);
    assert_int_equal(reader_open(&reader, telemetry), ERR_OK);
    assert_int_equal(reader_device(reader, wallbox.device_id, CLUSTER, &recorded), ERR_OK);
    static const struct {
        int64_t at, found;
    } cases[] = {{-1, -1}, {500, 0}, {1000, 1000}, {3000, 3000}, {5001, 5000}, {90000, 5000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            reader_ruling_at(reader, recorded.number, now.wall.ms + cases[i].at, &begin), ERR_OK);
        assert_int_equal(begin - now.wall.ms, cases[i].found);
    }
    reader_close(reader);
    telemetry_close(telemetry);
}

static void the_same_decision_is_no_new_ruling(void **state) {
    (void)state;
    struct ruling a = limited_to(4200, "token:a"), b = a;
    assert_true(ruling_same(&a, &b));
    b.causes[RULED_MAX].reason[0] = 'T';
    assert_false(ruling_same(&a, &b));
    /* A policy's words change with every tick. */
    snprintf(a.causes[RULED_MAX].key, CREATOR_SIZE, "car");
    snprintf(b.causes[RULED_MAX].key, CREATOR_SIZE, "car");
    b.causes[RULED_MAX].id[0] = 'f';
    assert_true(ruling_same(&a, &b));
    b.max = 4300;
    assert_false(ruling_same(&a, &b));
    b = a;
    b.set = 1; /* without has_set it says nothing */
    assert_true(ruling_same(&a, &b));
    b.in_force = false;
    assert_false(ruling_same(&a, &b));
}

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
    for (int i = 0; i < 2 * TELEMETRY_QUEUE_MAXIMUM; i++)
        give(telemetry, minutes_ago(10) + i, 100, 7000);
    telemetry_settle(telemetry);
    struct telemetry_status status = status_of(telemetry);
    assert_false(status.ready);
    assert_true(status.failing);
    assert_int_equal(status.dropped, 2 * TELEMETRY_QUEUE_MAXIMUM);
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

#define KILLS 12

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
    for (int64_t at = from_ms;;) {
        for (int i = 0; i < 25; i++, at += 1000)
            give(telemetry, at, 3600, floor((double)at / 1000));
        set_now(at - LAG);
        telemetry_settle(telemetry);
    }
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
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, clock_set, folder_remove)
    const struct CMUnitTest tests[] = {
        ON_DISK(samples_become_minutes_quarters_and_days),
        ON_DISK(a_restart_in_the_middle_of_a_minute_changes_nothing),
        ON_DISK(a_minute_that_has_not_ended_is_not_made),
        ON_DISK(a_late_sample_is_kept_and_counted_nowhere),
        ON_DISK(a_step_back_of_the_clock_loses_no_energy),
        ON_DISK(buckets_go_on_when_the_clock_was_years_ahead),
        ON_DISK(nothing_is_measured_by_a_clock_that_cannot_be_trusted),
        ON_DISK(levels_are_kept_as_long_as_they_should),
        ON_DISK(a_ruling_says_who_how_long_and_where_the_power_was),
        ON_DISK(a_device_that_leaves_ends_its_ruling),
        ON_DISK(two_rulings_within_a_millisecond_are_two),
        ON_DISK(what_was_in_force_at_a_time_is_found),
        cmocka_unit_test(the_same_decision_is_no_new_ruling),
        ON_DISK(a_damaged_file_is_set_aside),
        ON_DISK(files_of_others_are_set_aside_too),
        ON_DISK(damage_that_a_reader_meets_is_set_aside),
        ON_DISK(a_full_disk_drops_samples_and_goes_on),
        ON_DISK(a_full_queue_drops_and_never_waits),
        ON_DISK(so_many_read_and_no_more),
        ON_DISK(a_reader_holds_no_snapshot_between_pages),
        ON_DISK(a_kill_counts_nothing_twice_and_leaves_no_hole),
    };
#undef ON_DISK
    return cmocka_run_group_tests(tests, NULL, NULL);
}
