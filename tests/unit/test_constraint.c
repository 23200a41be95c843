#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/report.h"
#include "constraint.h"
#include "vocabulary.h"

#define SECOND 1000LL
#define HOUR   (3600 * SECOND)
#define NOON   1767268800000LL /* 2026-01-01T12:00Z */

#define SET(w)     .has_set = true, .set = (w)
#define MIN(w)     .has_min = true, .min = (w)
#define MAX(w)     .has_max = true, .max = (w)
#define MIN_SOC(p) .has_min_soc = true, .min_soc = (p)
#define MAX_SOC(p) .has_max_soc = true, .max_soc = (p)
#define WISH(...)  ((struct wish){__VA_ARGS__})

struct desk {
    struct door door;
    struct now now;
    struct constraint constraint;
    struct report report;
};

static int setup(void **state) {
    static struct desk desk;
    desk = (struct desk){
        .door = {.device_type = DEVICE_BATTERY,
                 .has_soc = true,
                 .controllable = true,
                 .horizon_ms = 25 * HOUR},
        .now = {.wall = {NOON}, .mono = {SECOND}, .trusted = true},
        .constraint = {.valid_at = {NOON}, .invalid_at = {NOON + HOUR}},
    };
    report_init(&desk.report);
    *state = &desk;
    return 0;
}

static int teardown(void **state) {
    struct desk *desk = *state;
    report_free(&desk->report);
    return 0;
}

static size_t check(struct desk *desk) {
    report_free(&desk->report);
    bool fine = constraint_check(&desk->constraint, &desk->door, desk->now, &desk->report);
    assert_int_equal(fine, report_empty(&desk->report));
    return desk->report.count;
}

static size_t check_wish(struct desk *desk, struct wish wish) {
    desk->constraint.wish = wish;
    return check(desk);
}

static void assert_mistake(const struct desk *desk, size_t index, const char *where,
                           const char *part) {
    assert_true(index < desk->report.count);
    assert_string_equal(desk->report.items[index].where, where);
    if (!strstr(desk->report.items[index].text, part))
        fail_msg("\"%s\" does not say \"%s\"", desk->report.items[index].text, part);
}

static void assert_refused(struct desk *desk, struct wish wish, const char *where,
                           const char *part) {
    assert_int_equal(check_wish(desk, wish), 1);
    assert_mistake(desk, 0, where, part);
}

static void assert_accepted(struct desk *desk, struct wish wish) {
    assert_int_equal(check_wish(desk, wish), 0);
}

/* --- the object ------------------------------------------------------------------------------- */

static void a_copy_lives_as_long_as_its_last_reference(void **state) {
    struct desk *desk = *state;
    snprintf(desk->constraint.id, sizeof desk->constraint.id, "x");
    struct constraint *constraint = constraint_new(&desk->constraint);
    assert_non_null(constraint);
    assert_ptr_equal(constraint_hold(constraint), constraint);
    constraint_release(constraint);
    assert_string_equal(constraint->id, "x");
    assert_int_equal(constraint->references, 1);
    constraint_release(constraint);
    constraint_release(NULL);
}

/* --- powers ----------------------------------------------------------------------------------- */

static void a_sound_constraint_passes(void **state) {
    assert_accepted(*state, WISH(.priority = 5, SET(-1000), MIN(-2000), MAX(0), MIN_SOC(10)));
}

static void one_that_says_nothing_is_refused(void **state) {
    assert_refused(*state, WISH(.priority = 5), "", "says nothing");
    assert_refused(*state, WISH(.exclusive = true), "", "says nothing");
}

static void each_field_alone_says_something(void **state) {
    assert_accepted(*state, WISH(SET(0)));
    assert_accepted(*state, WISH(MIN(0)));
    assert_accepted(*state, WISH(MAX(0)));
    assert_accepted(*state, WISH(MIN_SOC(0)));
    assert_accepted(*state, WISH(MAX_SOC(100)));
}

static void a_range_the_wrong_way_round_is_refused(void **state) {
    assert_refused(*state, WISH(MIN(500), MAX(200)), "/minActivePower",
                   "minActivePower 500 W is above maxActivePower 200 W");
    assert_accepted(*state, WISH(MIN(200), MAX(200)));
}

static void a_range_the_wrong_way_round_is_one_mistake_not_two(void **state) {
    assert_refused(*state, WISH(SET(300), MIN(500), MAX(200)), "/minActivePower", "above");
}

static void a_set_point_outside_its_own_range_is_refused(void **state) {
    assert_refused(*state, WISH(SET(-1), MIN(0)), "/activePower", "below its own minActivePower 0");
    assert_refused(*state, WISH(SET(11), MAX(10)), "/activePower",
                   "above its own maxActivePower 10");
    assert_accepted(*state, WISH(SET(10), MIN(10), MAX(10)));
}

static void a_power_beyond_any_device_is_refused(void **state) {
    assert_refused(*state, WISH(SET(INT32_MAX)), "/activePower", "null");
    assert_refused(*state, WISH(MIN(INT32_MIN)), "/minActivePower", "null");
    assert_accepted(*state, WISH(MAX(INT32_MAX - 1)));
}

/* --- sign ------------------------------------------------------------------------------------- */

static void production_is_negative(void **state) {
    struct desk *desk = *state;
    desk->door.device_type = DEVICE_INVERTER;
    assert_refused(desk, WISH(SET(3000)), "/activePower", "production is negative");
    assert_refused(desk, WISH(MIN(1)), "/minActivePower", "production is negative");
    assert_accepted(desk, WISH(SET(0)));
    assert_accepted(desk, WISH(SET(-3000)));
    assert_accepted(desk, WISH(MIN(0)));
    assert_accepted(desk, WISH(MIN(-7000), MAX(5000)));
}

static void a_charging_station_and_a_heat_pump_only_consume(void **state) {
    struct desk *desk = *state;
    const int types[] = {DEVICE_CHARGING_STATION, DEVICE_HEAT_PUMP};
    for (size_t i = 0; i < 2; i++) {
        desk->door.device_type = types[i];
        assert_refused(desk, WISH(SET(-1)), "/activePower", "consumption is positive");
        assert_refused(desk, WISH(MAX(-1)), "/maxActivePower", "consumption is positive");
        assert_accepted(desk, WISH(MAX(0)));
        assert_accepted(desk, WISH(MIN(-100), MAX(4200), SET(4200)));
    }
}

static void a_battery_does_both(void **state) {
    assert_accepted(*state, WISH(SET(-3000)));
    assert_accepted(*state, WISH(SET(3000), MIN(1000)));
    assert_accepted(*state, WISH(MAX(-500)));
}

/* --- the device ------------------------------------------------------------------------------- */

static void a_device_that_cannot_be_controlled_points_to_its_cluster(void **state) {
    struct desk *desk = *state;
    desk->door.controllable = false;
    assert_refused(desk, WISH(MAX(100)), "", "put the constraint on its cluster");
}

static void a_device_without_state_of_charge_refuses_its_bounds(void **state) {
    struct desk *desk = *state;
    desk->door.has_soc = false;
    assert_refused(desk, WISH(MIN_SOC(20)), "/minStateOfCharge", "no state of charge");
    assert_refused(desk, WISH(MAX_SOC(20)), "/maxStateOfCharge", "no state of charge");
}

static void a_state_of_charge_is_0_to_100(void **state) {
    assert_refused(*state, WISH(MIN_SOC(-0.1)), "/minStateOfCharge", "expected 0 to 100 %");
    assert_refused(*state, WISH(MAX_SOC(100.5)), "/maxStateOfCharge", "got 100.5");
    assert_refused(*state, WISH(MAX_SOC(NAN)), "/maxStateOfCharge", "expected 0 to 100 %");
    assert_refused(*state, WISH(MIN_SOC(80), MAX_SOC(20)), "/minStateOfCharge", "above");
    assert_accepted(*state, WISH(MIN_SOC(20), MAX_SOC(20)));
}

static void priority_is_not_negative(void **state) {
    assert_refused(*state, WISH(.priority = -1, SET(0)), "/priority", "0 to 2147483647");
    assert_accepted(*state, WISH(.priority = INT32_MAX, SET(0)));
}

/* --- times ------------------------------------------------------------------------------------ */

static void assert_times(struct desk *desk, int64_t from, int64_t to, const char *where,
                         const char *part) {
    desk->constraint.wish = WISH(MAX(100));
    desk->constraint.valid_at.ms = NOON + from;
    desk->constraint.invalid_at.ms = NOON + to;
    if (!where) {
        assert_int_equal(check(desk), 0);
        return;
    }
    assert_int_equal(check(desk), 1);
    assert_mistake(desk, 0, where, part);
}

static void one_that_ends_in_the_past_is_refused(void **state) {
    assert_times(*state, -HOUR, -1, "/invalidAt", "2026-01-01T11:59:59.999Z, which is past");
    assert_times(*state, -HOUR, 0, "/invalidAt", "past");
    assert_times(*state, -HOUR, 1, NULL, NULL);
}

static void one_that_starts_when_or_after_it_ends_is_refused(void **state) {
    assert_times(*state, HOUR, HOUR, "/validAt", "is not before invalidAt");
    assert_times(*state, 2 * HOUR, HOUR, "/validAt", "2026-01-01T14:00:00.000Z");
}

static void one_further_ahead_than_the_horizon_is_refused(void **state) {
    struct desk *desk = *state;
    assert_times(desk, 0, 25 * HOUR + 1, "/invalidAt", "at most 25 h ahead");
    assert_times(desk, 24 * HOUR, 25 * HOUR, NULL, NULL);
    desk->door.horizon_ms = HOUR * 3 / 2;
    assert_times(desk, 0, 2 * HOUR, "/invalidAt", "at most 1.5 h ahead");
}

static void a_duration_is_named_where_it_was_given(void **state) {
    struct desk *desk = *state;
    desk->constraint.valid_for_ms = 26 * HOUR;
    assert_times(desk, 0, 26 * HOUR, "/validFor", "at most 25 h ahead");
    desk->constraint.valid_for_ms = HOUR;
    assert_times(desk, -2 * HOUR, -HOUR, "/validFor", "past");
    desk->constraint.valid_for_ms = -SECOND;
    assert_times(desk, 0, -SECOND, "/validFor", "got -1 s");
}

static void without_trust_in_the_clock_only_the_past_and_durations_are_judged(void **state) {
    struct desk *desk = *state;
    desk->now.trusted = false;
    assert_times(desk, 90 * HOUR, 100 * HOUR, NULL, NULL);
    assert_times(desk, -2 * HOUR, -HOUR, "/invalidAt", "past");
    desk->constraint.valid_for_ms = 26 * HOUR;
    assert_times(desk, 0, 26 * HOUR, "/validFor", "at most 25 h");
}

static void all_mistakes_are_found_at_once(void **state) {
    struct desk *desk = *state;
    desk->door =
        (struct door){.device_type = DEVICE_INVERTER, .controllable = false, .horizon_ms = HOUR};
    desk->constraint.valid_at.ms = NOON + 3 * HOUR;
    desk->constraint.invalid_at.ms = NOON + 2 * HOUR;
    assert_int_equal(check_wish(desk, WISH(.priority = -5, SET(100), MAX(50), MIN_SOC(120))), 8);
    assert_mistake(desk, 0, "", "cannot be controlled");
    assert_mistake(desk, 1, "/priority", "got -5");
    assert_mistake(desk, 2, "/activePower", "above its own");
    assert_mistake(desk, 3, "/activePower", "production is negative");
    assert_mistake(desk, 4, "/minStateOfCharge", "no state of charge");
    assert_mistake(desk, 5, "/minStateOfCharge", "got 120");
    assert_mistake(desk, 6, "/validAt", "is not before");
    assert_mistake(desk, 7, "/invalidAt", "at most 1 h ahead");
}

static void what_the_report_held_before_is_not_held_against_it(void **state) {
    struct desk *desk = *state;
    report_add(&desk->report, "/other", "something else");
    desk->constraint.wish = WISH(SET(1));
    assert_true(constraint_check(&desk->constraint, &desk->door, desk->now, &desk->report));
    assert_int_equal(desk->report.count, 1);
}

/* --- on a cluster ----------------------------------------------------------------------------- */

static void a_cluster_takes_limits_and_nothing_else(void **state) {
    struct desk *desk = *state;
    desk->door = (struct door){.cluster = true, .sees_grid = true, .horizon_ms = 25 * 3600000LL};
    desk->constraint.scope = SCOPE_CONNECTION;
    assert_accepted(desk, WISH(MIN(-3000), MAX(4200)));
    assert_accepted(desk, WISH(MAX(-3000))); /* it has no sign of its own: at least 3 kW fed in */
    assert_refused(desk, WISH(SET(2000)), "/activePower", "minActivePower or maxActivePower");
    assert_refused(desk, WISH(MIN(0), MIN_SOC(20)), "/minStateOfCharge", "on its batteries");
    assert_refused(desk, WISH(MIN(1), MAX(0)), "/minActivePower", "above");
    assert_refused(desk, WISH(.priority = 5), "", "maxCurrentPhases");
    desk->constraint.has_current = true;
    assert_accepted(desk, WISH(.priority = 5));
}

static void a_connection_that_nothing_measures_takes_no_limit(void **state) {
    struct desk *desk = *state;
    desk->door = (struct door){.cluster = true, .horizon_ms = 25 * 3600000LL};
    desk->constraint.scope = SCOPE_CONNECTION;
    assert_refused(desk, WISH(MAX(4200)), "/scope", "controllable");
    desk->constraint.scope = SCOPE_CONTROLLABLE;
    assert_accepted(desk, WISH(MAX(4200)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_lives_as_long_as_its_last_reference, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_sound_constraint_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_says_nothing_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(each_field_alone_says_something, setup, teardown),
        cmocka_unit_test_setup_teardown(a_range_the_wrong_way_round_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_range_the_wrong_way_round_is_one_mistake_not_two, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_set_point_outside_its_own_range_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_power_beyond_any_device_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(production_is_negative, setup, teardown),
        cmocka_unit_test_setup_teardown(a_charging_station_and_a_heat_pump_only_consume, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_battery_does_both, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_that_cannot_be_controlled_points_to_its_cluster,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_without_state_of_charge_refuses_its_bounds, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_state_of_charge_is_0_to_100, setup, teardown),
        cmocka_unit_test_setup_teardown(priority_is_not_negative, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_ends_in_the_past_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_starts_when_or_after_it_ends_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_further_ahead_than_the_horizon_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_duration_is_named_where_it_was_given, setup, teardown),
        cmocka_unit_test_setup_teardown(
            without_trust_in_the_clock_only_the_past_and_durations_are_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(all_mistakes_are_found_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_report_held_before_is_not_held_against_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cluster_takes_limits_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_that_nothing_measures_takes_no_limit, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
