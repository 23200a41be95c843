#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/clock.h"

static void assert_reads(const char *text, int64_t ms) {
    struct wall wall = {-1};
    if (!wall_parse(text, strlen(text), &wall))
        fail_msg("%s was not read", text);
    if (wall.ms != ms)
        fail_msg("%s is %lld", text, (long long)wall.ms);
}

static void assert_refuses(const char *text) {
    struct wall wall;
    if (wall_parse(text, strlen(text), &wall))
        fail_msg("%s was read", text);
}

static void a_moment_is_written_in_utc_with_milliseconds(void **state) {
    (void)state;
    char text[WALL_TEXT_SIZE];
    wall_format((struct wall){0}, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    wall_format((struct wall){1795435200123}, text);
    assert_string_equal(text, "2026-11-23T12:00:00.123Z");
    wall_format((struct wall){-1}, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

static void a_moment_out_of_reach_is_the_last_that_can_be_written(void **state) {
    (void)state;
    char text[WALL_TEXT_SIZE];
    wall_format((struct wall){INT64_MAX}, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    for (int64_t ms = -62167219200000; ms < 253402300799999; ms += 86399999977 / 7) {
        char text[WALL_TEXT_SIZE];
        wall_format((struct wall){ms}, text);
        assert_reads(text, ms);
    }
}

static void offsets_are_taken_off(void **state) {
    (void)state;
    assert_reads("2026-11-23T12:00:00Z", 1795435200000);
    assert_reads("2026-11-23T13:00:00+01:00", 1795435200000);
    assert_reads("2026-11-23T06:30:00-05:30", 1795435200000);
    assert_reads("2026-11-23t12:00:00z", 1795435200000);
}

static void fractions_are_cut_to_milliseconds(void **state) {
    (void)state;
    assert_reads("1970-01-01T00:00:00.5Z", 500);
    assert_reads("1970-01-01T00:00:00.12Z", 120);
    assert_reads("1970-01-01T00:00:00.123999999Z", 123);
    assert_refuses("1970-01-01T00:00:00.Z");
    assert_refuses("1970-01-01T00:00:00.1234567890Z");
}

static void what_an_offset_moves_out_of_the_calendar_is_refused(void **state) {
    (void)state;
    assert_refuses("9999-12-31T12:00:00-21:01");
    assert_refuses("0000-01-01T00:00:00+00:01");
    assert_reads("9999-12-31T23:59:59.999Z", 253402300799999);
    assert_reads("0000-01-01T00:01:00+00:01", -62167219200000);
}

static void moments_that_do_not_exist_are_refused(void **state) {
    (void)state;
    assert_refuses("2026-02-30T00:00:00Z");
    assert_refuses("2026-02-29T00:00:00Z");
    assert_refuses("2100-02-29T00:00:00Z");
    assert_refuses("2026-13-01T00:00:00Z");
    assert_refuses("2026-00-01T00:00:00Z");
    assert_refuses("2026-01-00T00:00:00Z");
    assert_refuses("2026-01-01T24:00:00Z");
    assert_refuses("2026-01-01T00:60:00Z");
    assert_refuses("2026-01-01T00:00:61Z");
    assert_refuses("2026-01-01T00:00:00+24:00");
    assert_refuses("2026-01-01T00:00:00+00:60");
}

static void leap_days_and_leap_seconds_exist(void **state) {
    (void)state;
    assert_reads("2024-02-29T00:00:00Z", 1709164800000);
    assert_reads("2000-02-29T00:00:00Z", 951782400000);
    assert_reads("2016-12-31T23:59:60Z", 1483228799999);
}

static void what_is_not_a_moment_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "2026-11-23",
                                        "2026-11-23T12:00:00",
                                        "2026-11-23T12:00:00ZZ",
                                        "2026-11-23T12:00Z",
                                        "2026-11-23T12:00:00 Z",
                                        "26-11-23T12:00:00Z",
                                        "+026-11-23T12:00:00Z",
                                        "2026-11-23T12:00:00+0100",
                                        "2026/11/23T12:00:00Z",
                                        "now"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refuses(texts[i]);
}

static void no_prefix_of_a_moment_is_one(void **state) {
    (void)state;
    const char *text = "2026-11-23T12:00:00.123+01:00";
    struct wall wall;
    for (size_t length = 0; length < strlen(text); length++)
        assert_false(wall_parse(text, length, &wall));
    assert_true(wall_parse(text, strlen(text), &wall));
}

static void bytes_behind_the_length_are_not_looked_at(void **state) {
    (void)state;
    struct wall wall;
    assert_true(wall_parse("2026-11-23T12:00:00Zjunk", 20, &wall));
    assert_int_equal(wall.ms, 1795435200000);
    assert_false(wall_parse("2026-11-23T12:00:00\0", 20, &wall));
}

static void a_clock_behind_its_floor_is_not_trusted_and_runs_from_the_floor(void **state) {
    (void)state;
    struct wall floor = {clock_wall().ms + 3600000};
    struct clock clock;
    clock_init(&clock, floor, 0);
    struct now first = clock_now(&clock);
    assert_false(first.trusted);
    assert_true(first.wall.ms >= floor.ms);
    struct now second = clock_now(&clock);
    assert_true(second.wall.ms - first.wall.ms == second.mono.ms - first.mono.ms);
}

static void a_clock_ahead_of_its_floor_is_trusted(void **state) {
    (void)state;
    struct clock clock;
    clock_init(&clock, (struct wall){1}, 0);
    assert_true(clock_now(&clock).trusted);
}

static void a_shift_moves_the_wall_clock_alone(void **state) {
    (void)state;
    struct clock clock;
    clock_init(&clock, (struct wall){0}, 86400000);
    int64_t wall_before = clock_wall().ms;
    int64_t mono_before = clock_mono().ms;
    struct now now = clock_now(&clock);
    int64_t wall_after = clock_wall().ms;
    int64_t mono_after = clock_mono().ms;
    assert_true(now.wall.ms >= wall_before + 86400000 && now.wall.ms <= wall_after + 86400000);
    assert_true(now.mono.ms >= mono_before && now.mono.ms <= mono_after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_is_written_in_utc_with_milliseconds),
        cmocka_unit_test(a_moment_out_of_reach_is_the_last_that_can_be_written),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(offsets_are_taken_off),
        cmocka_unit_test(fractions_are_cut_to_milliseconds),
        cmocka_unit_test(what_an_offset_moves_out_of_the_calendar_is_refused),
        cmocka_unit_test(moments_that_do_not_exist_are_refused),
        cmocka_unit_test(leap_days_and_leap_seconds_exist),
        cmocka_unit_test(what_is_not_a_moment_is_refused),
        cmocka_unit_test(no_prefix_of_a_moment_is_one),
        cmocka_unit_test(bytes_behind_the_length_are_not_looked_at),
        cmocka_unit_test(a_clock_behind_its_floor_is_not_trusted_and_runs_from_the_floor),
        cmocka_unit_test(a_clock_ahead_of_its_floor_is_trusted),
        cmocka_unit_test(a_shift_moves_the_wall_clock_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
