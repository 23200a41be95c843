/* What the tests of history share: a folder of its own, a clock that is set, samples given, rows
 * read back. */
#ifndef DERD_TESTS_TELEMETRY_KIT_H
#define DERD_TESTS_TELEMETRY_KIT_H

#include <math.h>
#include <stdint.h>

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

static inline struct telemetry *opened_with(const struct folder *folder,
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

static inline struct telemetry *opened(const struct folder *folder) {
    const struct retention retention = retention_default();
    return opened_with(folder, &retention);
}

static inline int64_t now_ms(void) {
    return clock_now(&test_clock).wall.ms;
}

/* Only while telemetry's thread sleeps: after telemetry_settle(), or before it is opened. */
static inline void set_now(int64_t wall_ms) {
    test_clock.shift_ms += wall_ms - now_ms();
}

static inline int clock_set(void **state) {
    clock_init(&test_clock, (struct wall){0}, 0);
    set_now(NOON);
    return folder_make(state);
}

/* The begin of a minute, `minutes` ago. */
static inline int64_t minutes_ago(int minutes) {
    int64_t now = now_ms() - minutes * MINUTE;
    return now - now % MINUTE;
}

static inline void give_as(struct telemetry *telemetry, const struct origin *origin, int64_t at_ms,
                           double power_w, double counter_wh, struct now now) {
    struct sample sample = {.at_ms = at_ms, .hold_ms = 4000};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample.values[i] = NAN;
    sample.values[POINT_ACTIVE_POWER] = power_w;
    sample.values[POINT_ENERGY_IMPORT] = counter_wh;
    telemetry_sample(telemetry, origin, now, &sample, 10000);
}

static inline void give(struct telemetry *telemetry, int64_t at_ms, double power_w,
                        double counter_wh) {
    give_as(telemetry, &wallbox, at_ms, power_w, counter_wh, clock_now(&test_clock));
}

static inline struct ruling limited_to(int32_t max_w, const char *creator) {
    struct ruling ruling = {
        .controllable = true, .in_force = true, .min = 0, .max = max_w, .command = COMMAND_PENDING};
    struct cause *cause = &ruling.causes[RULED_MAX];
    snprintf(cause->id, sizeof cause->id, "4d36e96e-e325-11ce-bfc1-08002be10318");
    snprintf(cause->created_by, sizeof cause->created_by, "%s", creator);
    snprintf(cause->reason, sizeof cause->reason, "the grid is full");
    cause->priority = 3000;
    return ruling;
}

/* --- reading ---------------------------------------------------------------------------------- */

#define ROWS 4000

struct rows {
    size_t count;
    int64_t at_ms[ROWS];
    struct aggregate buckets[ROWS];
    struct sample samples[ROWS];
};

static inline bool take_bucket(void *context, int64_t at_ms, const void *data, size_t length) {
    struct rows *rows = context;
    assert_true(rows->count < ROWS);
    assert_true(aggregate_unpack(data, length, SHOW_ALL, &rows->buckets[rows->count]));
    rows->at_ms[rows->count++] = at_ms;
    return true;
}

static inline bool take_sample(void *context, int64_t at_ms, const void *data, size_t length) {
    struct rows *rows = context;
    assert_true(rows->count < ROWS);
    assert_true(sample_unpack(data, length, &rows->samples[rows->count]));
    rows->at_ms[rows->count++] = at_ms;
    return true;
}

static inline struct rows *rows_of(struct telemetry *telemetry, enum level level) {
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

static inline size_t count_of(struct telemetry *telemetry, enum level level) {
    struct rows *rows = rows_of(telemetry, level);
    size_t count = rows->count;
    free(rows);
    return count;
}

struct rulings {
    size_t count;
    struct ruling items[100];
};

static inline void take_ruling(void *context, const struct ruling *ruling) {
    struct rulings *rulings = context;
    assert_true(rulings->count < 100);
    rulings->items[rulings->count++] = *ruling;
}

static inline struct rulings rulings_of(struct telemetry *telemetry) {
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

static inline struct telemetry_status status_of(struct telemetry *telemetry) {
    struct telemetry_status status;
    telemetry_status(telemetry, &status);
    return status;
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, clock_set, folder_remove)

#endif
