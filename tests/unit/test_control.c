/* From decisions to registers, and when they may be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "control.h"
#include "driver_text.h"

/* A charging station with amperes in mA, a battery with a signed order in W and limits, an inverter
 * that is limited in percent with a scale factor. */
#define STATION                                                                                    \
    "type = 'chargingStation', parameters = { _time = { min = 1, max = 99 } }, points = { "        \
    "{ name = '_limit', address = 1, encoding = 'uint32', scale = 0.001, unit = 'A', "             \
    "writable = { min = 0, max = 32 } }, "                                                         \
    "{ name = '_watch', address = 3, encoding = 'uint16', writable = { min = 0, max = 99 } } }, "  \
    "controls = { charge = { { point = '_watch', parameter = '_time' }, "                          \
    "{ point = '_limit', from = 'current' } }, hold = { { point = '_limit', value = 0 } } }"
#define SWITCHING                                                                                  \
    "type = 'chargingStation', points = { "                                                        \
    "{ name = '_limit', address = 1, encoding = 'uint32', scale = 0.001, unit = 'A', "             \
    "writable = { min = 0, max = 32 } }, "                                                         \
    "{ name = '_phases', address = 4, encoding = 'uint16', writable = { min = 1, max = 3 } } }, "  \
    "controls = { phaseSwitching = true, charge = { { point = '_phases', from = 'phases' }, "      \
    "{ point = '_limit', from = 'current' } }, hold = { { point = '_limit', value = 0 } } }"
#define BATTERY_POINTS                                                                             \
    "type = 'battery', points = { "                                                                \
    "{ name = '_set', address = 1, encoding = 'int16', scale = 100, unit = 'W', "                  \
    "writable = { min = -20000, max = 20000 } }, "                                                 \
    "{ name = '_in', address = 2, encoding = 'uint16', scale = 10, unit = 'W', "                   \
    "writable = { min = 10, max = 50000 } }, "                                                     \
    "{ name = '_out', address = 3, encoding = 'uint16', scale = 10, unit = 'W', "                  \
    "writable = { min = 0, max = 50000 } }, "                                                      \
    "{ name = '_mode', address = 4, encoding = 'uint16', writable = { min = 0, max = 2 } } }, "
#define BATTERY                                                                                    \
    BATTERY_POINTS                                                                                 \
    "controls = { charge = { { point = '_set', from = 'power' }, { point = '_mode', value = 2 } "  \
    "}, discharge = { { point = '_set', from = 'power', scale = -1 } }, "                          \
    "hold = { { point = '_set', value = 0 } }, "                                                   \
    "limit = { { point = '_in', from = 'maxChargePower' }, "                                       \
    "{ point = '_out', from = 'maxDischargePower' }, { point = '_mode', value = 1 } }, "           \
    "release = { { point = '_mode', value = 0 } } }"
#define INVERTER                                                                                   \
    "type = 'inverter', points = { "                                                               \
    "{ name = '_pct', address = 1, encoding = 'uint16', unit = '%', scaleFactor = '_sf', "         \
    "writable = { min = 0, max = 100 } }, "                                                        \
    "{ name = '_ena', address = 2, encoding = 'uint16', writable = { min = 0, max = 1 } }, "       \
    "{ name = '_sf', address = 3, encoding = 'int16' } }, "                                        \
    "controls = { limit = { { point = '_pct', from = 'maxDischargePower', "                        \
    "percentOf = 'ratedPower' }, { point = '_ena', value = 1 } }, "                                \
    "release = { { point = '_ena', value = 0 } } }"

struct bench {
    lua_State *L;
    struct driver *driver;
    struct ranges allowed;
    struct decision decision;
    struct control_context context;
    double values[8];
    double parameters[2];
    double quantities[POINT_NUMBER_COUNT];
    struct plan plan;
};

static void setup(struct bench *bench, const char *fields, int32_t lo, int32_t hi) {
    char text[4000];
    struct report report;
    snprintf(text, sizeof text,
             "return { api = 1, name = 'thing', version = '1', manufacturer = 'M', "
             "models = {'M'}, link = { kinds = {'tcp'} }, %s }",
             fields);
    *bench = (struct bench){.L = driver_text_state()};
    report_init(&report);
    bench->driver = driver_text_compile(bench->L, "thing", text, &report);
    driver_text_print(&report);
    assert_non_null(bench->driver);
    report_free(&report);
    for (size_t i = 0; i < 8; i++)
        bench->values[i] = NAN;
    for (size_t i = 0; i < POINT_NUMBER_COUNT; i++)
        bench->quantities[i] = NAN;
    bench->parameters[0] = 60;
    bench->allowed = ranges_of(lo, hi);
    bench->decision = (struct decision){.min = lo, .max = hi, .within = bench->allowed};
    bench->context = (struct control_context){.driver = bench->driver,
                                              .values = bench->values,
                                              .parameters = bench->parameters,
                                              .quantities = bench->quantities,
                                              .allowed = &bench->allowed,
                                              .anything_in_force = true};
}

static void teardown(struct bench *bench) {
    driver_release(bench->driver);
    lua_close(bench->L);
}

static void decide_set(struct bench *bench, int32_t set) {
    bench->decision.has_set = true;
    bench->decision.set = set;
    control_plan(&bench->context, &bench->decision, &bench->plan);
}

static void decide_bounds(struct bench *bench, int32_t min, int32_t max) {
    bench->decision.has_set = false;
    bench->decision.min = min;
    bench->decision.max = max;
    control_plan(&bench->context, &bench->decision, &bench->plan);
}

static const struct plan_write *written(const struct bench *bench, const char *name) {
    for (int i = 0; i < bench->plan.write_count; i++)
        if (strcmp(bench->driver->points[bench->plan.writes[i].point].name, name) == 0)
            return &bench->plan.writes[i];
    return NULL;
}

static uint32_t milliamperes(const struct bench *bench) {
    const struct plan_write *write = written(bench, "_limit");
    assert_non_null(write);
    assert_int_equal(write->count, 2);
    return (uint32_t)write->words[0] << 16 | write->words[1];
}

static void assert_plan(const struct bench *bench, enum control_case which, int32_t target) {
    if (bench->plan.unsupported)
        fail_msg("unsupported: %s", bench->plan.reason);
    assert_int_equal(bench->plan.control_case, which);
    assert_true(bench->plan.has_target);
    assert_int_equal(bench->plan.target_w, target);
}

static void volts(struct bench *bench, double l1, double l2, double l3) {
    bench->quantities[POINT_VOLTAGE_L1] = l1;
    bench->quantities[POINT_VOLTAGE_L2] = l2;
    bench->quantities[POINT_VOLTAGE_L3] = l3;
}

/* ---- charging stations ---- */

static void a_set_power_becomes_amperes_of_three_phases(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    decide_set(&bench, 6900);
    assert_plan(&bench, CONTROL_CHARGE, 6900);
    assert_int_equal(milliamperes(&bench), 10000);
    assert_int_equal(bench.plan.write_count, 2);
    assert_int_equal(written(&bench, "_watch")->words[0], 60);
    teardown(&bench);
}

static void amperes_are_rounded_toward_0(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    decide_set(&bench, 5000); /* 7.2463768 A */
    assert_int_equal(milliamperes(&bench), 7246);
    assert_plan(&bench, CONTROL_CHARGE, 4999);
    teardown(&bench);
}

static void an_unknown_voltage_counts_as_253_volts(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    decide_set(&bench, 7590);
    assert_int_equal(milliamperes(&bench), 10000);
    teardown(&bench);
}

static void a_phase_without_voltage_does_not_lower_the_mean(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 240, 3, NAN);
    decide_set(&bench, 7200);
    assert_int_equal(milliamperes(&bench), 10000);
    teardown(&bench);
}

static void a_set_power_counts_the_phases_in_use(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    bench.quantities[POINT_ACTIVE_PHASES] = 1;
    decide_set(&bench, 2300);
    assert_int_equal(milliamperes(&bench), 10000);
    assert_plan(&bench, CONTROL_CHARGE, 2300);
    teardown(&bench);
}

static void phases_in_use_are_those_with_current_when_nothing_else_tells(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    bench.quantities[POINT_CURRENT_L1] = 9.8;
    bench.quantities[POINT_CURRENT_L2] = 0.1;
    bench.quantities[POINT_CURRENT_L3] = 0;
    decide_set(&bench, 2300);
    assert_int_equal(milliamperes(&bench), 10000);
    teardown(&bench);
}

static void an_upper_bound_counts_every_phase_that_may_be_used(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    bench.quantities[POINT_ACTIVE_PHASES] = 1;
    bench.decision.max = 4830; /* 7 A on three phases */
    decide_set(&bench, 2300);  /* 10 A on one */
    assert_int_equal(milliamperes(&bench), 7000);
    assert_plan(&bench, CONTROL_CHARGE, 1610);
    teardown(&bench);
}

static void below_6_amperes_a_station_is_told_to_hold(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    decide_set(&bench, 4140); /* 6 A exactly */
    assert_plan(&bench, CONTROL_CHARGE, 4140);
    assert_int_equal(milliamperes(&bench), 6000);
    decide_set(&bench, 4139);
    assert_plan(&bench, CONTROL_HOLD, 0);
    assert_int_equal(milliamperes(&bench), 0);
    bench.quantities[POINT_MIN_CURRENT] = 8;
    decide_set(&bench, 4140);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void a_set_point_of_0_is_a_hold(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    decide_set(&bench, 0);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void a_station_follows_its_limit_without_a_set_point(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    decide_bounds(&bench, 0, 4200);
    assert_int_equal(bench.plan.control_case, CONTROL_CHARGE);
    assert_int_equal(milliamperes(&bench), 6086); /* 4200 / 690, toward 0 */
    decide_bounds(&bench, 0, 0);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void a_station_with_nothing_in_force_charges_with_all_it_may(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    volts(&bench, 230, 230, 230);
    bench.context.anything_in_force = false;
    decide_bounds(&bench, 0, 11040);
    assert_plan(&bench, CONTROL_CHARGE, 11040);
    assert_int_equal(milliamperes(&bench), 16000);
    bench.allowed = ranges_of(0, POWER_UNBOUNDED);
    decide_bounds(&bench, 0, POWER_UNBOUNDED);
    assert_int_equal(milliamperes(&bench), 32000); /* what the register takes */
    bench.quantities[POINT_MAX_CURRENT] = 20;
    decide_bounds(&bench, 0, POWER_UNBOUNDED);
    assert_int_equal(milliamperes(&bench), 20000);
    teardown(&bench);
}

static void the_sites_amperes_hold_when_the_voltage_is_low(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 9660); /* 14 A on three phases of 230 V */
    volts(&bench, 210, 210, 210);
    decide_set(&bench, 9660);
    assert_int_equal(milliamperes(&bench), 14000);
    teardown(&bench);
}

static void the_least_current_holds_in_any_unit_of_the_register(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench,
          "type = 'chargingStation', points = { { name = '_limit', address = 1, "
          "encoding = 'uint32', unit = 'mA', writable = { min = 0, max = 32000 } } }, "
          "controls = { charge = { { point = '_limit', from = 'current' } }, "
          "hold = { { point = '_limit', value = 0 } } }",
          0, 11040);
    volts(&bench, 230, 230, 230);
    decide_set(&bench, 4140);
    assert_plan(&bench, CONTROL_CHARGE, 4140);
    assert_int_equal(milliamperes(&bench), 6000);
    decide_set(&bench, 4100);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void a_missing_parameter_is_told(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, STATION, 0, 11040);
    bench.parameters[0] = NAN;
    decide_set(&bench, 8000);
    assert_true(bench.plan.unsupported);
    assert_int_equal(bench.plan.write_count, 0);
    assert_non_null(strstr(bench.plan.reason, "_time"));
    teardown(&bench);
}

/* ---- charging stations that switch phases ---- */

static void setup_switching(struct bench *bench) {
    setup(bench, SWITCHING, 0, 11040);
    volts(bench, 230, 230, 230);
    bench->quantities[POINT_MAX_CURRENT] = 16;
}

static void assert_phases(const struct bench *bench, int phases, uint32_t expected_ma) {
    assert_false(bench->plan.unsupported);
    assert_int_equal(bench->plan.control_case, CONTROL_CHARGE);
    assert_non_null(written(bench, "_phases"));
    assert_int_equal(written(bench, "_phases")->words[0], phases);
    assert_int_equal(milliamperes(bench), expected_ma);
}

static void one_phase_is_chosen_while_it_is_enough(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    decide_set(&bench, 3680);
    assert_phases(&bench, 1, 16000);
    assert_plan(&bench, CONTROL_CHARGE, 3680);
    decide_set(&bench, 1380);
    assert_phases(&bench, 1, 6000);
    decide_set(&bench, 4140);
    assert_phases(&bench, 3, 6000);
    assert_plan(&bench, CONTROL_CHARGE, 4140);
    decide_set(&bench, 11040);
    assert_phases(&bench, 3, 16000);
    teardown(&bench);
}

static void phases_are_written_in_the_drivers_order(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    decide_set(&bench, 3680);
    assert_int_equal(bench.plan.write_count, 2);
    assert_ptr_equal(written(&bench, "_phases"), &bench.plan.writes[0]);
    teardown(&bench);
}

static void phases_in_use_before_the_switch_do_not_count(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    bench.quantities[POINT_ACTIVE_PHASES] = 1;
    decide_set(&bench, 6900);
    assert_phases(&bench, 3, 10000);
    bench.quantities[POINT_ACTIVE_PHASES] = 3;
    decide_set(&bench, 2300);
    assert_phases(&bench, 1, 10000);
    teardown(&bench);
}

static void a_bound_alone_chooses_the_phases_too(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    decide_bounds(&bench, 0, 3680);
    assert_phases(&bench, 1, 16000);
    decide_bounds(&bench, 0, 4200);
    assert_phases(&bench, 3, 6086);
    decide_bounds(&bench, 0, POWER_UNBOUNDED);
    assert_phases(&bench, 3, 16000);
    decide_bounds(&bench, 0, 1000);
    assert_plan(&bench, CONTROL_HOLD, 0);
    assert_null(written(&bench, "_phases"));
    teardown(&bench);
}

static void a_set_power_below_its_bound_counts_the_bound_on_the_chosen_phases(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    bench.decision.max = 3680;
    decide_set(&bench, 2300);
    assert_phases(&bench, 1, 10000);
    teardown(&bench);
}

static void too_little_for_three_phases_is_charged_on_one(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    volts(&bench, 240, 240, 240); /* 4140 W are 5.75 A on three phases */
    decide_set(&bench, 4140);
    assert_phases(&bench, 1, 16000);
    assert_plan(&bench, CONTROL_CHARGE, 3840);
    teardown(&bench);
}

static void the_sites_amperes_hold_on_one_phase(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    volts(&bench, 210, 210, 210);
    const struct site_limits site = {NAN, NAN, 10};
    bench.context.site = &site;
    bench.allowed = ranges_of(0, 6900);
    decide_set(&bench, 2300);
    assert_phases(&bench, 1, 10000);
    decide_set(&bench, 6900);
    assert_phases(&bench, 3, 10000);
    teardown(&bench);
}

static void a_station_on_one_wire_is_never_switched_to_three(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    bench.quantities[POINT_PHASES] = 1;
    bench.allowed = ranges_of(0, 3680);
    decide_bounds(&bench, 0, POWER_UNBOUNDED);
    assert_phases(&bench, 1, 16000);
    teardown(&bench);
}

static void an_unknown_largest_current_leaves_one_phase_what_three_cannot_do(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    bench.quantities[POINT_MAX_CURRENT] = NAN;
    bench.allowed = ranges_of(0, POWER_UNBOUNDED);
    bench.decision.max = POWER_UNBOUNDED;
    decide_set(&bench, 4139);
    assert_phases(&bench, 1, 17995);
    decide_set(&bench, 4140);
    assert_phases(&bench, 3, 6000);
    teardown(&bench);
}

/* ---- batteries ---- */

static void a_battery_is_told_magnitudes_and_signs_as_its_driver_says(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY, -5000, 5000);
    decide_set(&bench, 2550);
    assert_plan(&bench, CONTROL_CHARGE, 2500);
    assert_int_equal(written(&bench, "_set")->words[0], 25);
    assert_int_equal(written(&bench, "_mode")->words[0], 2);
    decide_set(&bench, -2550);
    assert_plan(&bench, CONTROL_DISCHARGE, -2500);
    assert_int_equal(written(&bench, "_set")->words[0], 0xFFE7); /* -25 */
    assert_true(written(&bench, "_set")->value == -2500);
    teardown(&bench);
}

static void bounds_alone_leave_a_battery_its_own_control_within_them(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY, -5000, 5000);
    decide_bounds(&bench, -1234, 2500);
    assert_int_equal(bench.plan.control_case, CONTROL_LIMIT);
    assert_false(bench.plan.has_target);
    assert_int_equal(written(&bench, "_in")->words[0], 250);
    assert_int_equal(written(&bench, "_out")->words[0], 123);
    teardown(&bench);
}

static void bounds_as_wide_as_the_battery_release_it(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY, -5000, 5000);
    decide_bounds(&bench, -5000, 5000);
    assert_int_equal(bench.plan.control_case, CONTROL_RELEASE);
    assert_int_equal(written(&bench, "_mode")->words[0], 0);
    bench.context.anything_in_force = false;
    decide_bounds(&bench, -5000, 5000);
    assert_int_equal(bench.plan.control_case, CONTROL_RELEASE);
    teardown(&bench);
}

static void what_the_site_or_a_cluster_leaves_to_a_battery_is_written(void **state) {
    (void)state;
    struct bench bench;
    struct ranges own = ranges_of(-5000, 5000);
    setup(&bench, BATTERY, -5000, 2000); /* allowed; by itself it could charge with more */
    bench.context.own = &own;
    decide_bounds(&bench, -5000, 2000);
    assert_int_equal(bench.plan.control_case, CONTROL_LIMIT);
    assert_int_equal(written(&bench, "_in")->words[0], 200);
    assert_int_equal(written(&bench, "_out")->words[0], 500);
    teardown(&bench);
}

static void a_limit_below_the_registers_least_value_is_a_hold(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY, -5000, 5000);
    decide_bounds(&bench, -5000, 0); /* _in takes no 0 */
    assert_plan(&bench, CONTROL_HOLD, 0);
    decide_bounds(&bench, 0, 5000); /* _out does */
    assert_int_equal(bench.plan.control_case, CONTROL_LIMIT);
    assert_int_equal(written(&bench, "_out")->words[0], 0);
    teardown(&bench);
}

static void bounds_without_0_are_followed_at_their_edge(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY, -5000, 5000);
    decide_bounds(&bench, 1000, 5000);
    assert_plan(&bench, CONTROL_CHARGE, 1000);
    decide_bounds(&bench, -4000, -2000);
    assert_plan(&bench, CONTROL_DISCHARGE, -2000);
    teardown(&bench);
}

static void a_driver_without_the_case_says_so(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY_POINTS "controls = { hold = { { point = '_set', value = 0 } } }", -5000,
          5000);
    decide_set(&bench, 1000);
    assert_true(bench.plan.unsupported);
    assert_int_equal(bench.plan.write_count, 0);
    assert_non_null(strstr(bench.plan.reason, "take a set power"));
    decide_bounds(&bench, 0, 0);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void off_without_a_set_point_is_a_hold(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench,
          BATTERY_POINTS "controls = { withoutSetPoint = 'off', "
                         "hold = { { point = '_set', value = 0 } } }",
          -5000, 5000);
    decide_bounds(&bench, -1000, 1000);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void a_device_without_controls_cannot_be_told_anything(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench,
          "type = 'battery', points = { { name = 'stateOfCharge', address = 1, "
          "encoding = 'uint16' } }",
          -5000, 5000);
    decide_set(&bench, 100);
    assert_true(bench.plan.unsupported);
    assert_non_null(strstr(bench.plan.reason, "thing"));
    teardown(&bench);
}

/* ---- inverters ---- */

static void a_limit_in_percent_of_the_rating_is_rounded_toward_0(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, INVERTER, -8000, 0);
    bench.quantities[POINT_RATED_POWER] = 8000;
    bench.values[2] = -1; /* _sf: tenths of a percent */
    decide_bounds(&bench, -5999, 0);
    assert_int_equal(bench.plan.control_case, CONTROL_LIMIT);
    assert_int_equal(written(&bench, "_pct")->words[0], 749); /* 74.9875 % */
    assert_int_equal(written(&bench, "_ena")->words[0], 1);
    decide_bounds(&bench, 0, 0);
    assert_int_equal(written(&bench, "_pct")->words[0], 0);
    assert_false(bench.plan.unsupported);
    teardown(&bench);
}

static void a_set_point_of_an_inverter_is_a_limit(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, INVERTER, -8000, 0);
    bench.quantities[POINT_RATED_POWER] = 8000;
    bench.values[2] = 0;
    decide_set(&bench, -3000); /* 37.5 %: the register takes whole percent */
    assert_plan(&bench, CONTROL_LIMIT, -2960);
    assert_int_equal(written(&bench, "_pct")->words[0], 37);
    decide_set(&bench, 0);
    assert_plan(&bench, CONTROL_LIMIT, 0);
    assert_int_equal(written(&bench, "_pct")->words[0], 0);
    teardown(&bench);
}

static void a_percentage_of_an_unknown_rating_is_told(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, INVERTER, -POWER_UNBOUNDED, 0);
    bench.values[2] = 0;
    decide_bounds(&bench, -3000, 0);
    assert_true(bench.plan.unsupported);
    assert_non_null(strstr(bench.plan.reason, "ratedPower"));
    decide_bounds(&bench, -POWER_UNBOUNDED, 0);
    assert_int_equal(bench.plan.control_case, CONTROL_RELEASE);
    teardown(&bench);
}

static void an_unknown_scale_factor_writes_nothing(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, INVERTER, -8000, 0);
    bench.quantities[POINT_RATED_POWER] = 8000;
    decide_bounds(&bench, -3000, 0);
    assert_true(bench.plan.unsupported);
    assert_int_equal(bench.plan.write_count, 0);
    assert_non_null(strstr(bench.plan.reason, "scale factor"));
    teardown(&bench);
}

static void plans_are_equal_when_they_write_the_same(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, BATTERY, -5000, 5000);
    decide_set(&bench, 2500);
    struct plan first = bench.plan;
    decide_set(&bench, 2550);
    assert_true(plan_equal(&first, &bench.plan));
    decide_set(&bench, 2600);
    assert_false(plan_equal(&first, &bench.plan));
    decide_bounds(&bench, -5000, 5000);
    assert_false(plan_equal(&first, &bench.plan));
    teardown(&bench);
}

/* ---- no bound is ever passed ---- */

/* Random decisions: what the registers mean lies within what was decided. */
static void what_is_written_never_leaves_the_decision(void **state) {
    (void)state;
    struct bench bench;
    uint32_t seed = 12345;
    setup(&bench, STATION, 0, 22080);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        int32_t max = (int32_t)(seed >> 8) % 22081;
        seed = seed * 1664525 + 1013904223;
        int32_t set = max ? (int32_t)(seed >> 8) % (max + 1) : 0;
        seed = seed * 1664525 + 1013904223;
        double volt = 207 + (seed >> 8) % 4600 / 100.0;
        volts(&bench, volt, volt, volt);
        bench.quantities[POINT_ACTIVE_PHASES] = seed % 4;
        bench.decision.max = max;
        decide_set(&bench, set);
        assert_false(bench.plan.unsupported);
        double amperes = milliamperes(&bench) / 1000.0;
        assert_true(amperes == 0 || amperes >= 6);
        assert_true(amperes * volt * 3 <= max + 1e-6);
        int used = seed % 4 ? (int)(seed % 4) : 3;
        assert_true(amperes * volt * used <= set + 1e-6);
        assert_true(bench.plan.target_w <= set);
    }
    teardown(&bench);
}

static void what_a_battery_is_told_never_leaves_the_decision(void **state) {
    (void)state;
    struct bench bench;
    uint32_t seed = 999;
    setup(&bench, BATTERY, -5000, 5000);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        int32_t min = -(int32_t)((seed >> 8) % 5001);
        seed = seed * 1664525 + 1013904223;
        int32_t max = (int32_t)((seed >> 8) % 5001);
        seed = seed * 1664525 + 1013904223;
        int32_t set = min + (int32_t)((seed >> 8) % (uint32_t)(max - min + 1));
        bench.decision.min = min;
        bench.decision.max = max;
        decide_set(&bench, set);
        assert_false(bench.plan.unsupported);
        assert_true(set >= 0 ? bench.plan.target_w >= 0 && bench.plan.target_w <= set
                             : bench.plan.target_w <= 0 && bench.plan.target_w >= set);
        decide_bounds(&bench, min, max);
        assert_false(bench.plan.unsupported);
        if (bench.plan.control_case != CONTROL_LIMIT)
            continue;
        assert_true(written(&bench, "_in")->words[0] * 10 <= max);
        assert_true(written(&bench, "_out")->words[0] * 10 <= -min);
    }
    teardown(&bench);
}

static void what_a_switching_station_is_told_never_leaves_the_decision(void **state) {
    (void)state;
    struct bench bench;
    uint32_t seed = 4711;
    setup_switching(&bench);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        int32_t max = (int32_t)(seed >> 8) % 11041;
        seed = seed * 1664525 + 1013904223;
        int32_t set = max ? (int32_t)(seed >> 8) % (max + 1) : 0;
        seed = seed * 1664525 + 1013904223;
        double volt = 207 + (seed >> 8) % 4600 / 100.0;
        volts(&bench, volt, volt, volt);
        bench.quantities[POINT_ACTIVE_PHASES] = seed % 4;
        bench.decision.max = max;
        decide_set(&bench, set);
        assert_false(bench.plan.unsupported);
        double amperes = milliamperes(&bench) / 1000.0;
        const struct plan_write *phases = written(&bench, "_phases");
        assert_true(phases ? amperes >= 6 && amperes <= 16 : amperes == 0);
        assert_true(!phases || amperes * volt * phases->words[0] <= set + 1e-6);
        assert_true(bench.plan.target_w <= set);
    }
    teardown(&bench);
}

/* ---- allowed ranges ---- */

static const struct site_limits no_limits = {NAN, NAN, NAN};

static struct ranges allowed_for(enum device_type type, const double *quantities,
                                 const struct site_limits *site) {
    const struct driver driver = {.parts = {{.type = type}}, .part_count = 1};
    const struct control_context context = {
        .driver = &driver, .quantities = quantities, .site = site};
    return control_allowed(&context);
}

static void unknown(double *quantities) {
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        quantities[i] = NAN;
}

static void assert_range(const struct ranges *ranges, size_t index, int32_t lo, int32_t hi) {
    assert_true(index < ranges->count);
    assert_int_equal(ranges->items[index].lo, lo);
    assert_int_equal(ranges->items[index].hi, hi);
}

static void allowed_ranges_follow_the_type_and_the_rating(void **state) {
    (void)state;
    double quantities[POINT_NUMBER_COUNT];
    unknown(quantities);
    struct ranges ranges = allowed_for(DEVICE_METER, quantities, &no_limits);
    assert_int_equal(ranges.count, 0);
    ranges = allowed_for(DEVICE_INVERTER, quantities, &no_limits);
    assert_range(&ranges, 0, -POWER_UNBOUNDED, 0);
    ranges = allowed_for(DEVICE_BATTERY, quantities, &no_limits);
    assert_range(&ranges, 0, -POWER_UNBOUNDED, POWER_UNBOUNDED);
    quantities[POINT_RATED_POWER] = 5000.9;
    ranges = allowed_for(DEVICE_INVERTER, quantities, &no_limits);
    assert_range(&ranges, 0, -5000, 0);
    ranges = allowed_for(DEVICE_HEAT_PUMP, quantities, &no_limits);
    assert_range(&ranges, 0, 0, 5000);
    quantities[POINT_MAX_CHARGE_POWER] = 4100;
    ranges = allowed_for(DEVICE_BATTERY, quantities, &no_limits);
    assert_range(&ranges, 0, -5000, 4100);
}

static void a_station_may_rest_or_charge_from_its_least_current_up(void **state) {
    (void)state;
    double quantities[POINT_NUMBER_COUNT];
    unknown(quantities);
    quantities[POINT_MAX_CURRENT] = 16;
    struct ranges ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &no_limits);
    assert_int_equal(ranges.count, 2);
    assert_range(&ranges, 0, 0, 0);
    assert_range(&ranges, 1, 4140, 11040); /* which phases a vehicle uses is not known: all */
    quantities[POINT_ACTIVE_PHASES] = 1;
    ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &no_limits);
    assert_range(&ranges, 1, 1380, 11040);
    quantities[POINT_ACTIVE_PHASES] = 3;
    ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &no_limits);
    assert_range(&ranges, 1, 4140, 11040);
    quantities[POINT_PHASES] = 1;
    ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &no_limits);
    assert_range(&ranges, 1, 1380, 3680);
    quantities[POINT_MAX_CURRENT] = 5;
    ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &no_limits);
    assert_int_equal(ranges.count, 1);
    assert_range(&ranges, 0, 0, 0);
}

/* Of the bench's own driver. */
static void assert_allowed(const struct bench *bench, const struct site_limits *site,
                           const int32_t *edges, size_t count) {
    struct control_context context = bench->context;
    context.site = site;
    struct ranges ranges = control_allowed(&context);
    assert_int_equal(ranges.count, count);
    for (size_t i = 0; i < count; i++)
        assert_range(&ranges, i, edges[2 * i], edges[2 * i + 1]);
}

#define ASSERT_ALLOWED(bench, site, ...)                                                           \
    do {                                                                                           \
        const int32_t edges[] = {__VA_ARGS__};                                                     \
        assert_allowed(bench, site, edges, sizeof edges / sizeof edges[0] / 2);                    \
    } while (0)

static void phase_switching_gives_a_range_for_one_phase_and_one_for_three(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1380, 3680, 4140, 11040);
    bench.quantities[POINT_MIN_CURRENT] = 8;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1840, 3680, 5520, 11040);
    bench.quantities[POINT_MIN_CURRENT] = NAN;
    bench.quantities[POINT_MAX_CURRENT] = 32;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1380, 22080);
    bench.quantities[POINT_MAX_CURRENT] = 5;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0);
    bench.quantities[POINT_MAX_CURRENT] = NAN;
    bench.quantities[POINT_RATED_POWER] = 11000;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1380, 3666, 4140, 11000);
    teardown(&bench);
}

static void the_sites_limits_narrow_both_ranges(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    const struct site_limits ten_amperes = {NAN, NAN, 10};
    ASSERT_ALLOWED(&bench, &ten_amperes, 0, 0, 1380, 2300, 4140, 6900);
    const struct site_limits five_kilowatts = {NAN, 5000, NAN};
    ASSERT_ALLOWED(&bench, &five_kilowatts, 0, 0, 1380, 3680, 4140, 5000);
    const struct site_limits four_kilowatts = {NAN, 4000, NAN};
    ASSERT_ALLOWED(&bench, &four_kilowatts, 0, 0, 1380, 3680);
    teardown(&bench);
}

static void only_wires_narrow_the_phases_that_can_be_switched_to(void **state) {
    (void)state;
    struct bench bench;
    setup_switching(&bench);
    bench.quantities[POINT_ACTIVE_PHASES] = 1;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1380, 3680, 4140, 11040);
    bench.quantities[POINT_ACTIVE_PHASES] = 3;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1380, 3680, 4140, 11040);
    bench.quantities[POINT_PHASES] = 1;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 0, 1380, 3680);
    teardown(&bench);
}

#define HEATER(extra)                                                                              \
    "type = 'heatPump', " extra ", points = { { name = '_power', address = 1, "                    \
    "encoding = 'uint16', unit = 'W', writable = { min = 0, max = 9000 } } }, "                    \
    "controls = { withoutSetPoint = 'off', charge = { { point = '_power', from = 'power' } }, "    \
    "hold = { { point = '_power', value = 0 } } }"

static void what_must_run_cannot_be_at_0(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, HEATER("mustRun = 500"), 500, 3000);
    bench.quantities[POINT_RATED_POWER] = 3000;
    ASSERT_ALLOWED(&bench, &no_limits, 500, 3000);
    const struct site_limits site = {NAN, 2000, NAN};
    ASSERT_ALLOWED(&bench, &site, 500, 2000);
    const struct site_limits too_little = {NAN, 300, NAN};
    ASSERT_ALLOWED(&bench, &too_little, 500, 500);
    bench.quantities[POINT_RATED_POWER] = 400;
    ASSERT_ALLOWED(&bench, &no_limits, 500, 500);
    teardown(&bench);
}

static void the_least_power_may_be_a_parameter_and_unknown_is_none(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench,
          HEATER("mustRun = '_least', "
                 "parameters = { _least = { unit = 'W', min = 0, max = 900 } }"),
          500, 3000);
    bench.quantities[POINT_RATED_POWER] = 3000;
    bench.parameters[0] = 700.4;
    ASSERT_ALLOWED(&bench, &no_limits, 701, 3000);
    bench.parameters[0] = NAN;
    ASSERT_ALLOWED(&bench, &no_limits, 0, 3000);
    teardown(&bench);
}

static void the_least_power_may_be_a_quantity(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, HEATER("mustRun = 'maxChargePower'"), 500, 3000);
    bench.quantities[POINT_MAX_CHARGE_POWER] = 800;
    ASSERT_ALLOWED(&bench, &no_limits, 800, POWER_UNBOUNDED);
    teardown(&bench);
}

static void off_is_as_near_to_0_as_the_bounds_allow(void **state) {
    (void)state;
    struct bench bench;
    setup(&bench, HEATER("mustRun = 500"), 500, 3000);
    decide_bounds(&bench, 500, 3000);
    assert_plan(&bench, CONTROL_CHARGE, 500);
    assert_int_equal(written(&bench, "_power")->words[0], 500);
    decide_bounds(&bench, 0, 3000);
    assert_plan(&bench, CONTROL_HOLD, 0);
    teardown(&bench);
}

static void the_sites_limits_narrow_what_is_allowed(void **state) {
    (void)state;
    double quantities[POINT_NUMBER_COUNT];
    unknown(quantities);
    quantities[POINT_RATED_POWER] = 8000;
    struct site_limits site = {
        .min_active_power = -5600.5, .max_active_power = NAN, .max_current = NAN};
    struct ranges ranges = allowed_for(DEVICE_INVERTER, quantities, &site);
    assert_range(&ranges, 0, -5600, 0);
    quantities[POINT_MAX_CURRENT] = 32;
    site =
        (struct site_limits){.min_active_power = NAN, .max_active_power = NAN, .max_current = 13.7};
    ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &site);
    assert_range(&ranges, 1, 4140, 9453);
    site =
        (struct site_limits){.min_active_power = NAN, .max_active_power = 1000, .max_current = NAN};
    ranges = allowed_for(DEVICE_CHARGING_STATION, quantities, &site);
    assert_int_equal(ranges.count, 1);
    assert_range(&ranges, 0, 0, 0);
    site =
        (struct site_limits){.min_active_power = NAN, .max_active_power = NAN, .max_current = 10};
    ranges = allowed_for(DEVICE_BATTERY, quantities, &site);
    assert_range(&ranges, 0, -6900, 6900);
}

/* ---- pace ---- */

static struct control slow(void) {
    return (struct control){
        .present = true, .min_interval_ms = 30000, .least_change_w = 200, .writes_per_day = 3};
}

static enum pace_verdict ask(const struct pace *pace, const struct control *control, int32_t target,
                             int64_t now_ms, int32_t *allowed_w, struct mono *again) {
    const struct decision decision = {.min = -11000, .max = 11000};
    const struct plan plan = {.has_target = true, .target_w = target};
    return pace_ask(pace, control, &decision, &plan, (struct mono){now_ms}, allowed_w, again);
}

static struct pace sent(int32_t target, int64_t at_ms) {
    struct pace pace = {0};
    const struct plan plan = {.has_target = true, .target_w = target};
    pace_sent(&pace, &plan, (struct mono){at_ms});
    return pace;
}

static void the_first_command_goes_at_once(void **state) {
    (void)state;
    const struct pace pace = {0};
    const struct control control = slow();
    int32_t allowed_w;
    struct mono again;
    assert_int_equal(ask(&pace, &control, 100, 0, &allowed_w, &again), PACE_NOW);
}

static void reductions_go_at_once(void **state) {
    (void)state;
    const struct control control = slow();
    struct pace pace = sent(3000, 1000);
    pace.sent_today = 99;
    int32_t allowed_w;
    struct mono again;
    assert_int_equal(ask(&pace, &control, 2999, 1001, &allowed_w, &again), PACE_NOW);
    assert_int_equal(ask(&pace, &control, 0, 1001, &allowed_w, &again), PACE_NOW);
    pace = sent(-3000, 1000);
    assert_int_equal(ask(&pace, &control, -10, 1001, &allowed_w, &again), PACE_NOW);
}

static void what_lies_outside_the_new_bounds_leaves_at_once(void **state) {
    (void)state;
    const struct control control = slow();
    const struct pace pace = sent(1000, 1000);
    const struct decision decision = {.min = 1050, .max = 5000};
    const struct plan plan = {.has_target = true, .target_w = 1050};
    int32_t allowed_w;
    struct mono again;
    assert_int_equal(
        pace_ask(&pace, &control, &decision, &plan, (struct mono){1001}, &allowed_w, &again),
        PACE_NOW);
}

static void a_raise_waits_for_the_interval(void **state) {
    (void)state;
    const struct control control = slow();
    const struct pace pace = sent(1000, 1000);
    int32_t allowed_w;
    struct mono again;
    assert_int_equal(ask(&pace, &control, 3000, 30999, &allowed_w, &again), PACE_LATER);
    assert_int_equal(again.ms, 31000);
    assert_int_equal(ask(&pace, &control, 3000, 31000, &allowed_w, &again), PACE_NOW);
    assert_int_equal(ask(&pace, &control, -3000, 30999, &allowed_w, &again), PACE_LATER);
}

static void a_small_raise_waits(void **state) {
    (void)state;
    const struct control control = slow();
    const struct pace pace = sent(1000, 1000);
    int32_t allowed_w;
    struct mono again;
    assert_int_equal(ask(&pace, &control, 1199, 60000, &allowed_w, &again), PACE_LATER);
    assert_true(again.ms > 60000);
    assert_int_equal(ask(&pace, &control, 1200, 60000, &allowed_w, &again), PACE_NOW);
}

static void raises_end_with_the_days_budget(void **state) {
    (void)state;
    const int64_t day_ms = 24LL * 3600 * 1000;
    const struct control control = slow();
    struct pace pace = {0};
    int32_t allowed_w;
    struct mono again;
    for (int i = 0; i < 3; i++) {
        const struct plan plan = {.has_target = true, .target_w = 1000 * (i + 1)};
        pace_sent(&pace, &plan, (struct mono){i * 60000});
    }
    assert_int_equal(ask(&pace, &control, 9000, 600000, &allowed_w, &again), PACE_LATER);
    assert_int_equal(again.ms, day_ms);
    assert_int_equal(ask(&pace, &control, 9000, day_ms, &allowed_w, &again), PACE_NOW);
    const struct plan plan = {.has_target = true, .target_w = 9000};
    pace_sent(&pace, &plan, (struct mono){day_ms});
    assert_int_equal(pace.sent_today, 1);
}

static void a_ramp_raises_in_steps_and_starts_at_0_on_the_other_side(void **state) {
    (void)state;
    const struct control control = {.present = true, .ramp_w_per_s = 500};
    struct pace pace = sent(1000, 0);
    int32_t allowed_w;
    struct mono again;
    assert_int_equal(ask(&pace, &control, 3000, 400, &allowed_w, &again), PACE_LATER);
    assert_int_equal(again.ms, 1000);
    assert_int_equal(ask(&pace, &control, 3000, 90000, &allowed_w, &again), PACE_PARTLY);
    assert_int_equal(allowed_w, 1500);
    assert_int_equal(again.ms, 91000);
    assert_int_equal(ask(&pace, &control, 1400, 90000, &allowed_w, &again), PACE_NOW);
    assert_int_equal(ask(&pace, &control, -3000, 90000, &allowed_w, &again), PACE_PARTLY);
    assert_int_equal(allowed_w, -500);
}

static void plans_without_a_target_go_at_once(void **state) {
    (void)state;
    const struct control control = slow();
    struct pace pace = sent(1000, 1000);
    const struct decision decision = {.min = -5000, .max = 5000};
    const struct plan release = {.control_case = CONTROL_RELEASE};
    int32_t allowed_w;
    struct mono again;
    const struct mono now = {1001};
    assert_int_equal(pace_ask(&pace, &control, &decision, &release, now, &allowed_w, &again),
                     PACE_NOW);
    pace_sent(&pace, &release, now);
    assert_int_equal(ask(&pace, &control, 3000, 1002, &allowed_w, &again), PACE_NOW);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_power_becomes_amperes_of_three_phases),
        cmocka_unit_test(amperes_are_rounded_toward_0),
        cmocka_unit_test(an_unknown_voltage_counts_as_253_volts),
        cmocka_unit_test(a_phase_without_voltage_does_not_lower_the_mean),
        cmocka_unit_test(a_set_power_counts_the_phases_in_use),
        cmocka_unit_test(phases_in_use_are_those_with_current_when_nothing_else_tells),
        cmocka_unit_test(an_upper_bound_counts_every_phase_that_may_be_used),
        cmocka_unit_test(below_6_amperes_a_station_is_told_to_hold),
        cmocka_unit_test(a_set_point_of_0_is_a_hold),
        cmocka_unit_test(a_station_follows_its_limit_without_a_set_point),
        cmocka_unit_test(a_station_with_nothing_in_force_charges_with_all_it_may),
        cmocka_unit_test(the_sites_amperes_hold_when_the_voltage_is_low),
        cmocka_unit_test(the_least_current_holds_in_any_unit_of_the_register),
        cmocka_unit_test(a_missing_parameter_is_told),
        cmocka_unit_test(one_phase_is_chosen_while_it_is_enough),
        cmocka_unit_test(phases_are_written_in_the_drivers_order),
        cmocka_unit_test(phases_in_use_before_the_switch_do_not_count),
        cmocka_unit_test(a_bound_alone_chooses_the_phases_too),
        cmocka_unit_test(a_set_power_below_its_bound_counts_the_bound_on_the_chosen_phases),
        cmocka_unit_test(too_little_for_three_phases_is_charged_on_one),
        cmocka_unit_test(the_sites_amperes_hold_on_one_phase),
        cmocka_unit_test(a_station_on_one_wire_is_never_switched_to_three),
        cmocka_unit_test(an_unknown_largest_current_leaves_one_phase_what_three_cannot_do),
        cmocka_unit_test(a_battery_is_told_magnitudes_and_signs_as_its_driver_says),
        cmocka_unit_test(bounds_alone_leave_a_battery_its_own_control_within_them),
        cmocka_unit_test(bounds_as_wide_as_the_battery_release_it),
        cmocka_unit_test(what_the_site_or_a_cluster_leaves_to_a_battery_is_written),
        cmocka_unit_test(a_limit_below_the_registers_least_value_is_a_hold),
        cmocka_unit_test(bounds_without_0_are_followed_at_their_edge),
        cmocka_unit_test(a_driver_without_the_case_says_so),
        cmocka_unit_test(off_without_a_set_point_is_a_hold),
        cmocka_unit_test(a_device_without_controls_cannot_be_told_anything),
        cmocka_unit_test(a_limit_in_percent_of_the_rating_is_rounded_toward_0),
        cmocka_unit_test(a_set_point_of_an_inverter_is_a_limit),
        cmocka_unit_test(a_percentage_of_an_unknown_rating_is_told),
        cmocka_unit_test(an_unknown_scale_factor_writes_nothing),
        cmocka_unit_test(plans_are_equal_when_they_write_the_same),
        cmocka_unit_test(what_is_written_never_leaves_the_decision),
        cmocka_unit_test(what_a_battery_is_told_never_leaves_the_decision),
        cmocka_unit_test(what_a_switching_station_is_told_never_leaves_the_decision),
        cmocka_unit_test(allowed_ranges_follow_the_type_and_the_rating),
        cmocka_unit_test(a_station_may_rest_or_charge_from_its_least_current_up),
        cmocka_unit_test(phase_switching_gives_a_range_for_one_phase_and_one_for_three),
        cmocka_unit_test(the_sites_limits_narrow_both_ranges),
        cmocka_unit_test(only_wires_narrow_the_phases_that_can_be_switched_to),
        cmocka_unit_test(what_must_run_cannot_be_at_0),
        cmocka_unit_test(the_least_power_may_be_a_parameter_and_unknown_is_none),
        cmocka_unit_test(the_least_power_may_be_a_quantity),
        cmocka_unit_test(off_is_as_near_to_0_as_the_bounds_allow),
        cmocka_unit_test(the_sites_limits_narrow_what_is_allowed),
        cmocka_unit_test(the_first_command_goes_at_once),
        cmocka_unit_test(reductions_go_at_once),
        cmocka_unit_test(what_lies_outside_the_new_bounds_leaves_at_once),
        cmocka_unit_test(a_raise_waits_for_the_interval),
        cmocka_unit_test(a_small_raise_waits),
        cmocka_unit_test(raises_end_with_the_days_budget),
        cmocka_unit_test(a_ramp_raises_in_steps_and_starts_at_0_on_the_other_side),
        cmocka_unit_test(plans_without_a_target_go_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
