/* The log of decisions on disk: who, how long, where the power was, and how it ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "telemetry_kit.h"

/* --- rulings ---------------------------------------------------------------------------------- */

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

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DISK(a_ruling_says_who_how_long_and_where_the_power_was),
        ON_DISK(a_device_that_leaves_ends_its_ruling),
        ON_DISK(two_rulings_within_a_millisecond_are_two),
        ON_DISK(what_was_in_force_at_a_time_is_found),
        cmocka_unit_test(the_same_decision_is_no_new_ruling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
