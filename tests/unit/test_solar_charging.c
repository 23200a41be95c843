/* policies/solar_charging.lua in the real sandbox, in a home whose cars do as they are told: grid =
 * house + battery + cars at every tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "script/policy.h"

#define FILE_NAME "solar_charging.lua"
#define TICK_S    5
#define NO_WISH   (-1)

enum { GRID, FIRST, SECOND, BATTERY, DEVICES };

struct home {
    struct policy *policy;
    struct script *script;
    json_t *parameters;
    json_t *state;
    struct policy_device devices[DEVICES];
    struct now now;
    double house_w; /* load less production: what the grid would give without cars and battery */
    double wish_w[DEVICES]; /* proposed to this device at the last tick, or NO_WISH */
    char reason[REASON_SIZE];
};

static bool type_of(void *context, const char *key, enum device_type *type) {
    const struct home *home = context;
    for (int i = 0; i < DEVICES; i++) {
        if (strcmp(home->devices[i].key, key) != 0)
            continue;
        *type = home->devices[i].type;
        return true;
    }
    return false;
}

static void add_device(struct home *home, int index, const char *key, enum device_type type) {
    struct policy_device *device = &home->devices[index];
    device->type = type;
    snprintf(device->key, sizeof device->key, "%s", key);
    device->flexibility.connection = CONNECTION_ONLINE;
    device->flexibility.invalid_at.ms = INT64_MAX;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        device->flexibility.values[i] = NAN;
    device->flexibility.values[POINT_ACTIVE_POWER] = 0;
    if (type != DEVICE_CHARGING_STATION)
        return;
    device->flexibility.values[POINT_STATE] = STATE_READY;
    device->flexibility.values[POINT_VOLTAGE_L1] = 227; /* the ranges hold as they are */
    device->flexibility.allowed = (struct ranges){.count = 2, .items = {{0, 0}, {1380, 3680}}};
}

static void open_home(struct home *home, const char *parameters) {
    struct report report;
    report_init(&report);
    *home = (struct home){.now = {.wall = {INT64_C(1790000000000)}, .trusted = true}};
    add_device(home, GRID, "grid", DEVICE_METER);
    add_device(home, FIRST, "first", DEVICE_CHARGING_STATION);
    add_device(home, SECOND, "second", DEVICE_CHARGING_STATION);
    add_device(home, BATTERY, "battery", DEVICE_BATTERY);
    size_t length;
    char *text = file_read(DERD_SOURCE_DIR "/policies/" FILE_NAME, 65536, &length, &report);
    assert_non_null(text);
    home->script = script_open(FILE_NAME, text, length, NULL, &report);
    free(text);
    assert_non_null(home->script);
    json_t *tree = script_tree(home->script, &report);
    home->policy = policy_compile(tree, "solar_charging", &report);
    assert_non_null(home->policy);
    json_decref(tree);
    json_t *given = json_loads(parameters, 0, NULL);
    home->parameters = policy_parameters(home->policy, given, "policy", type_of, home, &report);
    json_decref(given);
    if (!home->parameters)
        fail_msg("%s: %s", report.items[0].where, report.items[0].text);
    report_free(&report);
}

static void open_one(struct home *home) {
    open_home(home, "{\"grid\":\"grid\",\"chargers\":[\"first\"]}");
}

static void close_home(struct home *home) {
    json_decref(home->state);
    json_decref(home->parameters);
    script_close(home->script);
    policy_free(home->policy);
}

static double *power_of(struct home *home, int index) {
    return &home->devices[index].flexibility.values[POINT_ACTIVE_POWER];
}

/* One tick: the meter is read, the policy runs, its state is kept as JSON as the host does it, the
 * cars follow. */
static void tick(struct home *home) {
    *power_of(home, GRID) =
        home->house_w + *power_of(home, FIRST) + *power_of(home, SECOND) + *power_of(home, BATTERY);
    struct policy_result result;
    char error[SCRIPT_ERROR_SIZE];
    home->now.wall.ms += TICK_S * INT64_C(1000);
    enum script_outcome outcome =
        policy_run(home->policy, home->script, home->parameters, home->state, home->now, TICK_S,
                   home->devices, DEVICES, &result, error);
    if (outcome != SCRIPT_OK)
        fail_msg("%s", error);
    json_decref(home->state);
    home->state = json_incref(result.state);
    for (int i = 0; i < DEVICES; i++)
        home->wish_w[i] = NO_WISH;
    for (size_t i = 0; i < result.count; i++) {
        int index = strcmp(result.proposals[i].device, "second") == 0 ? SECOND : FIRST;
        assert_true(result.proposals[i].wish.has_set);
        home->wish_w[index] = result.proposals[i].wish.set;
        memcpy(home->reason, result.proposals[i].reason, REASON_SIZE);
        *power_of(home, index) = result.proposals[i].wish.set;
    }
    policy_result_free(&result);
}

/* Seconds until the wish for `index` becomes on or off, counted from the first tick; at most an
 * hour. */
static int seconds_until(struct home *home, int index, bool on) {
    for (int s = 0; s <= 3600; s += TICK_S) {
        tick(home);
        if ((home->wish_w[index] > 0) == on)
            return s;
    }
    fail_msg("it never happened");
    return 0;
}

/* Lets the cars start and settle under a surplus. */
static void shine(struct home *home, double surplus_w) {
    home->house_w = -surplus_w;
    for (int i = 0; i < 60; i++)
        tick(home);
}

static void surplus_above_the_minimum_starts_after_the_start_delay_and_not_before(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    home.house_w = 500;
    tick(&home);
    assert_true(home.wish_w[FIRST] == 0);
    home.house_w = -2000;
    assert_int_equal(seconds_until(&home, FIRST, true), 60);
    assert_true(home.wish_w[FIRST] == 2000);
    close_home(&home);
}

static void the_least_power_is_six_amperes_at_the_voltage_there_is(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    home.devices[FIRST].flexibility.values[POINT_VOLTAGE_L1] = 240;
    shine(&home, 1380);
    assert_true(home.wish_w[FIRST] == 0);
    assert_string_equal(home.reason, "1380 W to spare, at least 1455 W needed");
    close_home(&home);
}

static void surplus_below_the_minimum_starts_nothing(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    shine(&home, 1379);
    assert_true(home.wish_w[FIRST] == 0);
    assert_string_equal(home.reason, "1379 W to spare, at least 1380 W needed");
    close_home(&home);
}

static void a_break_in_the_surplus_starts_the_delay_anew(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    home.house_w = -2000;
    for (int i = 0; i < 10; i++)
        tick(&home);
    home.house_w = 0;
    tick(&home);
    home.house_w = -2000;
    assert_int_equal(seconds_until(&home, FIRST, true), 60);
    close_home(&home);
}

static void the_car_takes_the_surplus_and_the_grid_nothing(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    shine(&home, 2345);
    assert_true(home.wish_w[FIRST] == 2345);
    home.house_w = -3100;
    tick(&home);
    tick(&home);
    assert_true(home.wish_w[FIRST] == 3100);
    assert_true(*power_of(&home, GRID) == 0);
    home.house_w = -9000;
    tick(&home);
    assert_true(home.wish_w[FIRST] == 3680);
    close_home(&home);
}

static void clouds_shorter_than_the_stop_delay_do_not_stop_the_car(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    shine(&home, 3000);
    for (int cloud = 0; cloud < 5; cloud++) {
        home.house_w = 300;
        for (int s = 0; s < 175; s += TICK_S) {
            tick(&home);
            assert_true(home.wish_w[FIRST] == 1380);
        }
        home.house_w = -3000;
        tick(&home);
        assert_true(home.wish_w[FIRST] == 3000);
    }
    close_home(&home);
}

static void a_long_lack_of_surplus_stops_the_car_after_the_stop_delay(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    shine(&home, 3000);
    home.house_w = 300;
    assert_int_equal(seconds_until(&home, FIRST, false), 180);
    assert_true(home.wish_w[FIRST] == 0);
    close_home(&home);
}

static void without_steps_the_minimum_is_6_a_on_each_phase(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    home.devices[FIRST].flexibility.allowed = (struct ranges){.count = 1, .items = {{0, 11040}}};
    home.devices[FIRST].flexibility.values[POINT_PHASES] = 3;
    shine(&home, 4139);
    assert_true(home.wish_w[FIRST] == 0);
    shine(&home, 4140);
    assert_true(home.wish_w[FIRST] == 4140);
    close_home(&home);
}

static void a_reserve_stays_with_the_grid(void **state) {
    (void)state;
    struct home home;
    open_home(&home, "{\"grid\":\"grid\",\"chargers\":[\"first\"],\"reserve\":200}");
    shine(&home, 2000);
    assert_true(home.wish_w[FIRST] == 1800);
    close_home(&home);
}

static void two_stations_share_the_first_first(void **state) {
    (void)state;
    struct home home;
    open_home(&home, "{\"grid\":\"grid\",\"chargers\":[\"first\",\"second\"]}");
    shine(&home, 2700); /* not enough for two */
    assert_true(home.wish_w[FIRST] == 2700 && home.wish_w[SECOND] == 0);
    shine(&home, 3000);
    assert_true(home.wish_w[FIRST] == 1620 && home.wish_w[SECOND] == 1380);
    shine(&home, 6000);
    assert_true(home.wish_w[FIRST] == 3680 && home.wish_w[SECOND] == 2320);
    close_home(&home);
}

static void an_unplugged_car_is_left_out_and_begins_anew(void **state) {
    (void)state;
    struct home home;
    open_home(&home, "{\"grid\":\"grid\",\"chargers\":[\"first\",\"second\"]}");
    shine(&home, 2700);
    home.devices[FIRST].flexibility.values[POINT_STATE] = STATE_UNPLUGGED;
    *power_of(&home, FIRST) = 0;
    shine(&home, 2700);
    assert_true(home.wish_w[FIRST] == NO_WISH && home.wish_w[SECOND] == 2700);
    home.devices[FIRST].flexibility.values[POINT_STATE] = STATE_READY;
    tick(&home);
    assert_true(home.wish_w[FIRST] == 0);
    assert_int_equal(seconds_until(&home, FIRST, true), 55);
    close_home(&home);
}

static void a_silent_station_is_left_out(void **state) {
    (void)state;
    struct home home;
    open_home(&home, "{\"grid\":\"grid\",\"chargers\":[\"first\",\"second\"]}");
    home.devices[FIRST].flexibility.invalid_at.ms = 0;
    shine(&home, 2700);
    assert_true(home.wish_w[FIRST] == NO_WISH && home.wish_w[SECOND] == 2700);
    close_home(&home);
}

static void a_silent_meter_means_no_proposals(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    shine(&home, 2700);
    home.devices[GRID].flexibility.invalid_at.ms = 0;
    tick(&home);
    assert_true(home.wish_w[FIRST] == NO_WISH);
    home.devices[GRID].flexibility.invalid_at.ms = INT64_MAX;
    tick(&home);
    assert_true(home.wish_w[FIRST] == 2700);
    close_home(&home);
}

static void charging_of_a_named_battery_counts_as_surplus(void **state) {
    (void)state;
    struct home home;
    open_home(&home, "{\"grid\":\"grid\",\"chargers\":[\"first\"],\"battery\":\"battery\"}");
    *power_of(&home, BATTERY) = 2500;
    shine(&home, 2500); /* all of it goes into the battery */
    assert_true(home.wish_w[FIRST] == 2500);
    close_home(&home);
}

static void a_battery_that_is_not_named_keeps_what_it_charges(void **state) {
    (void)state;
    struct home home;
    open_one(&home);
    *power_of(&home, BATTERY) = 2500;
    shine(&home, 2500);
    assert_true(home.wish_w[FIRST] == 0);
    close_home(&home);
}

static void a_named_battery_does_not_feed_the_car(void **state) {
    (void)state;
    struct home home;
    open_home(&home, "{\"grid\":\"grid\",\"chargers\":[\"first\"],\"battery\":\"battery\"}");
    shine(&home, 2000);
    *power_of(&home, BATTERY) = -2000; /* gives what the clouds took */
    home.house_w = 0;
    assert_int_equal(seconds_until(&home, FIRST, false), 180);
    close_home(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(surplus_above_the_minimum_starts_after_the_start_delay_and_not_before),
        cmocka_unit_test(surplus_below_the_minimum_starts_nothing),
        cmocka_unit_test(the_least_power_is_six_amperes_at_the_voltage_there_is),
        cmocka_unit_test(a_break_in_the_surplus_starts_the_delay_anew),
        cmocka_unit_test(the_car_takes_the_surplus_and_the_grid_nothing),
        cmocka_unit_test(clouds_shorter_than_the_stop_delay_do_not_stop_the_car),
        cmocka_unit_test(a_long_lack_of_surplus_stops_the_car_after_the_stop_delay),
        cmocka_unit_test(without_steps_the_minimum_is_6_a_on_each_phase),
        cmocka_unit_test(a_reserve_stays_with_the_grid),
        cmocka_unit_test(two_stations_share_the_first_first),
        cmocka_unit_test(an_unplugged_car_is_left_out_and_begins_anew),
        cmocka_unit_test(a_silent_station_is_left_out),
        cmocka_unit_test(a_silent_meter_means_no_proposals),
        cmocka_unit_test(charging_of_a_named_battery_counts_as_surplus),
        cmocka_unit_test(a_battery_that_is_not_named_keeps_what_it_charges),
        cmocka_unit_test(a_named_battery_does_not_feed_the_car)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
