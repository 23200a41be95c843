/* History on disk: samples, buckets, clocks, retention. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "telemetry_kit.h"

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

static int64_t first_kept(struct telemetry *telemetry) {
    struct rows *rows = rows_of(telemetry, LEVEL_RAW);
    int64_t at_ms = rows->count ? rows->at_ms[0] : 0;
    free(rows);
    return at_ms;
}

/* A sample a minute; what is kept of them at each time. */
static void minute_by_minute(struct telemetry *telemetry, int64_t start_ms, int minutes) {
    for (int i = 0; i < minutes; i++) {
        int64_t at_ms = start_ms + i * MINUTE;
        set_now(at_ms);
        give(telemetry, at_ms, 100, 7000 + i);
        telemetry_settle(telemetry);
        telemetry_settle(telemetry);
        int64_t least_ms = at_ms - HOUR - MINUTE > start_ms ? at_ms - HOUR - MINUTE : start_ms;
        assert_in_range(first_kept(telemetry), least_ms, least_ms + 2 * MINUTE);
    }
}

/* A device is looked at when a minute's rows may have become too old, not each time. */
static void what_becomes_too_old_goes_within_a_minute(void **state) {
    const struct retention hour = {.levels_ms = {HOUR, 0, 0, 0}};
    struct telemetry *telemetry = opened_with(*state, &hour);
    minute_by_minute(telemetry, NOON, 100);
    size_t ahead = count_of(telemetry, LEVEL_RAW);
    assert_in_range(ahead, 60, 62);
    /* The clock was two days ahead all the while: what comes now is kept, and goes in its time. */
    minute_by_minute(telemetry, NOON - 2 * DAY, 100);
    assert_in_range(count_of(telemetry, LEVEL_RAW), ahead + 60, ahead + 62);
    set_now(NOON + 100 * MINUTE);
    telemetry_settle(telemetry);
    telemetry_settle(telemetry);
    assert_in_range(count_of(telemetry, LEVEL_RAW), ahead - 2, ahead);
    telemetry_close(telemetry);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DISK(samples_become_minutes_quarters_and_days),
        ON_DISK(a_restart_in_the_middle_of_a_minute_changes_nothing),
        ON_DISK(a_minute_that_has_not_ended_is_not_made),
        ON_DISK(a_late_sample_is_kept_and_counted_nowhere),
        ON_DISK(a_step_back_of_the_clock_loses_no_energy),
        ON_DISK(buckets_go_on_when_the_clock_was_years_ahead),
        ON_DISK(nothing_is_measured_by_a_clock_that_cannot_be_trusted),
        ON_DISK(levels_are_kept_as_long_as_they_should),
        ON_DISK(what_becomes_too_old_goes_within_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
