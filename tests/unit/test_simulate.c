/* The simulated home without its sockets: physics, and what the registers make of it. */
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
#include "simulate/config.h"
#include "simulate/control.h"
#include "simulate/home.h"

static void home_of(struct sim_home *home, const char *text) {
    struct report report;
    report_init(&report);
    assert_int_equal(sim_home_init(home), ERR_OK);
    if (!sim_config_load(home, "test", text, strlen(text), &report)) {
        for (size_t i = 0; i < report.count; i++)
            print_message("%s: %s\n", report.items[i].where, report.items[i].text);
        fail();
    }
    report_free(&report);
}

static struct sim_device *device_of(struct sim_home *home, const char *name) {
    struct sim_device *device = sim_home_find(home, name);
    assert_non_null(device);
    return device;
}

static void run_for(struct sim_home *home, double seconds) {
    for (long i = lround(seconds / home->step_s); i > 0; i--)
        sim_home_step(home);
}

/* As the server does it: 0 or the exception. */
static int write_words(struct sim_home *home, struct sim_device *device, int address, int count,
                       const uint16_t *words) {
    uint16_t at = (uint16_t)address;
    uint16_t number = (uint16_t)count;
    if (!sim_image_allows(&device->image, SIM_HOLDING, at, number, SIM_WRITE))
        return 2;
    int refused = device->make->check(device, at, number, words);
    if (!refused)
        memcpy(sim_image_at(&device->image, SIM_HOLDING, at, number), words,
               number * sizeof *words);
    sim_device_note(home, device, at, number, words, refused != 0);
    return refused;
}

static int write_word(struct sim_home *home, struct sim_device *device, int address, int value) {
    uint16_t word = (uint16_t)value;
    return write_words(home, device, address, 1, &word);
}

static void tell_limit(struct sim_home *home, struct sim_device *station, uint32_t milliamps) {
    uint16_t words[] = {(uint16_t)(milliamps >> 16), (uint16_t)milliamps};
    assert_int_equal(write_words(home, station, 16640, 2, words), 0);
}

static int input(const struct sim_device *device, int address) {
    return sim_get_16(&device->image, SIM_INPUT, (uint16_t)address);
}

static int holding(const struct sim_device *device, int address) {
    return sim_get_16(&device->image, SIM_HOLDING, (uint16_t)address);
}

static double input_float(const struct sim_device *device, int address) {
    uint32_t raw = sim_get_32(&device->image, SIM_INPUT, (uint16_t)address);
    float value;
    memcpy(&value, &raw, sizeof value);
    return (double)value;
}

#define STATION                                                                                    \
    "{ make='abb_terra_ac', name='box', unit=4, timeout=60000, standby=0, lag=0, currentLimit=0,"  \
    "  car={phases=3, capacity=60000, stateOfCharge=40, startDelay=0, currentStep=0} }"

static const char whole_home[] =
    "return { speed=60, start='04:30', seed=3, sun={peak=9000, clouds=0.8},"
    "load={base=350, peaks=3000}, devices={"
    "{make='eastron_sdm630', name='grid', unit=1, noise=20},"
    "{make='sunspec_inverter', name='roof', unit=2, ratedPower=8000},"
    "{make='sungrow_sh', name='hybrid', unit=3, ratedPower=10000, peakPower=3000, capacity=100,"
    " stateOfCharge=10, maxChargePower=5000, maxDischargePower=5000}," STATION "} }";

static void powers_balance_in_watts_on_each_phase_at_every_step(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, whole_home);
    struct sim_device *box = device_of(&home, "box");
    struct sim_device *grid = device_of(&home, "grid");
    int32_t least_battery = 0, most_battery = 0, least_pv = 0;
    for (int i = 0; i < 8000; i++) {
        if (i % 700 == 350)
            tell_limit(&home, box, (uint32_t)(i * 7 % 16000));
        sim_home_step(&home);
        struct sim_power sum = {0};
        for (int j = SIM_LOAD; j < SIM_MEASURED_COUNT; j++)
            sum = sim_power_add(sum, home.now[j]);
        assert_memory_equal(&sum, &home.now[SIM_GRID], sizeof sum);
        for (int j = 0; j < SIM_MEASURED_COUNT; j++) {
            const struct sim_power *power = &home.now[j];
            assert_int_equal(power->total, power->phase[0] + power->phase[1] + power->phase[2]);
        }
        assert_true(home.now[SIM_PV].total <= 0 && home.now[SIM_CHARGING].total >= 0);
        assert_true(fabs(input_float(grid, 52) - home.now[SIM_GRID].total) <= 60);
        least_battery = (int32_t)fmin(least_battery, home.now[SIM_BATTERY].total);
        most_battery = (int32_t)fmax(most_battery, home.now[SIM_BATTERY].total);
        least_pv = (int32_t)fmin(least_pv, home.now[SIM_PV].total);
    }
    /* The day was worth the test. */
    assert_true(least_battery < -300 && most_battery > 300 && least_pv < -5000);
    sim_home_free(&home);
}

static void state_of_charge_integrates_the_battery_power_and_keeps_its_bounds(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, whole_home);
    struct sim_battery *battery = &device_of(&home, "hybrid")->battery;
    double before = battery->soc_pct;
    double least = 100, most = 0;
    for (int i = 0; i < 8000; i++) {
        sim_home_step(&home);
        double moved_wh = battery->power_w * home.step_s / 3600;
        double stored_wh =
            moved_wh * (moved_wh > 0 ? battery->efficiency : 1 / battery->efficiency);
        double expected = before + stored_wh / battery->capacity_wh * 100;
        assert_true(fabs(battery->soc_pct - expected) < 1e-9);
        assert_true(battery->soc_pct >= 5 - 1e-9 && battery->soc_pct <= 100);
        before = battery->soc_pct;
        least = fmin(least, before);
        most = fmax(most, before);
    }
    assert_true(least < 6 && most > 99);
    sim_home_free(&home);
}

static void the_same_seed_gives_the_same_day_and_another_seed_another(void **state) {
    (void)state;
    struct sim_home one, two, three;
    home_of(&one, whole_home);
    home_of(&two, whole_home);
    home_of(&three, whole_home);
    three.seed = 4;
    int differ = 0;
    for (int i = 0; i < 4000; i++) {
        sim_home_step(&one);
        sim_home_step(&two);
        sim_home_step(&three);
        assert_memory_equal(one.now, two.now, sizeof one.now);
        differ += one.now[SIM_GRID].total != three.now[SIM_GRID].total;
    }
    assert_true(differ > 1000);
    sim_home_free(&one);
    sim_home_free(&two);
    sim_home_free(&three);
}

static const char box_home[] =
    "return { load={constant=400}, sun={constant=0}, devices={" STATION "} }";

static void below_six_amperes_the_car_pauses_and_never_draws_less(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, box_home);
    struct sim_device *box = device_of(&home, "box");
    for (uint32_t milliamps = 0; milliamps <= 16000; milliamps += 100) {
        tell_limit(&home, box, milliamps);
        run_for(&home, 1);
        int32_t expected = milliamps < 6000 ? 0 : (int32_t)lround(milliamps * 0.230) * 3;
        assert_int_equal(home.now[SIM_CHARGING].total, expected);
        assert_int_equal(holding(box, 16397) >> 8 & 0x7f, milliamps < 6000 ? 3 : 4);
    }
    sim_home_free(&home);
}

static void a_car_of_one_phase_loads_one_phase_only(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { load={constant=0}, sun={constant=0}, devices={"
                   "{make='abb_terra_ac', name='box', unit=1, standby=0, lag=0,"
                   " car={phases=1, capacity=50000, startDelay=0}} } }");
    run_for(&home, 2);
    assert_int_equal(home.now[SIM_GRID].phase[0], 3680);
    assert_int_equal(home.now[SIM_GRID].phase[1], 0);
    assert_int_equal(home.now[SIM_GRID].total, 3680);
    sim_home_free(&home);
}

static void a_car_takes_no_more_than_it_can_and_less_when_nearly_full(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { load={constant=0}, sun={constant=0}, devices={"
                   "{make='abb_terra_ac', name='box', unit=1, standby=0, lag=0, maxCurrent=32,"
                   " timeout=60000, car={phases=3, maxCurrent=20, capacity=1000, stateOfCharge=70,"
                   " startDelay=0, currentStep=0}} } }");
    struct sim_device *box = device_of(&home, "box");
    run_for(&home, 1);
    assert_int_equal(home.now[SIM_CHARGING].total, 13800);
    assert_true(holding(box, 16397) & 0x8000); /* below what it was told */
    double last = 20;
    bool tapered = false;
    for (int i = 0; i < 20000 && box->station.car.soc_pct < 100; i++) {
        sim_home_step(&home);
        double drawn = box->station.drawn_a;
        assert_true(drawn <= last + 1e-9 && drawn >= 6 - 1e-9);
        tapered |= drawn < 19 && drawn > 7;
        last = drawn;
    }
    assert_true(tapered);
    run_for(&home, 1);
    assert_int_equal(home.now[SIM_CHARGING].total, 0);
    assert_int_equal(holding(box, 16397) >> 8 & 0x7f, 2);
    sim_home_free(&home);
}

static void a_car_draws_in_its_own_steps(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { load={constant=0}, sun={constant=0}, devices={"
                   "{make='abb_terra_ac', name='box', unit=1, standby=0, lag=0, currentLimit=9.7,"
                   " car={phases=3, capacity=50000, startDelay=0, currentStep=1}} } }");
    run_for(&home, 1);
    assert_int_equal(home.now[SIM_CHARGING].total, 9 * 230 * 3);
    sim_home_free(&home);
}

static void a_car_begins_after_its_delay_and_follows_with_its_lag(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { load={constant=0}, sun={constant=0}, devices={"
                   "{make='abb_terra_ac', name='box', unit=1, standby=5, lag=2,"
                   " car={phases=3, capacity=50000, startDelay=3, currentStep=0}} } }");
    struct sim_device *box = device_of(&home, "box");
    run_for(&home, 3);
    assert_int_equal(home.now[SIM_CHARGING].total, 5); /* standby */
    run_for(&home, 2.1);
    double share = box->station.drawn_a / 16;
    assert_true(share > 0.58 && share < 0.68); /* 63 % after one time constant */
    run_for(&home, 20);
    assert_int_equal(home.now[SIM_CHARGING].total, 16 * 230 * 3 + 5);
    sim_home_free(&home);
}

static void a_silent_master_ends_in_the_fallback_current_or_in_error(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { load={constant=0}, sun={constant=0}, devices={"
                   "{make='abb_terra_ac', name='falls', unit=1, standby=0, lag=0, timeout=20,"
                   " fallbackCurrent=6, car={phases=3, capacity=50000, startDelay=0}},"
                   "{make='abb_terra_ac', name='fails', unit=2, standby=0, lag=0, timeout=20,"
                   " car={phases=3, capacity=50000, startDelay=0}} } }");
    struct sim_device *falls = device_of(&home, "falls");
    struct sim_device *fails = device_of(&home, "fails");
    run_for(&home, 19);
    assert_int_equal(home.now[SIM_CHARGING].total, 2 * 16 * 690);
    run_for(&home, 2);
    assert_int_equal(falls->station.power.total, 6 * 690);
    assert_int_equal(fails->station.power.total, 0);
    assert_int_equal(holding(fails, 16397) >> 8 & 0x7f, 5);
    fails->timers.unread_s = 0;
    run_for(&home, 1);
    assert_int_equal(fails->station.power.total, 16 * 690);
    sim_home_free(&home);
}

static void half_of_a_limit_is_refused_and_stop_stops(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, box_home);
    struct sim_device *box = device_of(&home, "box");
    assert_int_equal(write_word(&home, box, 16640, 1), 2);
    assert_int_equal(write_word(&home, box, 16644, 1), 2);
    assert_int_equal(write_word(&home, box, 16646, 5), 3);
    tell_limit(&home, box, 10000);
    run_for(&home, 1);
    assert_int_equal(write_word(&home, box, 16645, 1), 0);
    run_for(&home, 1);
    assert_int_equal(home.now[SIM_CHARGING].total, 0);
    assert_int_equal(holding(box, 16397) >> 8 & 0x7f, 1);
    assert_false(sim_image_allows(&box->image, SIM_HOLDING, 16640, 2, SIM_READ));
    assert_true(sim_image_allows(&box->image, SIM_INPUT, 16384, 33, SIM_READ));
    sim_home_free(&home);
}

static const char roof_home[] =
    "return { load={constant=400}, sun={constant=5000}, devices={"
    "{make='sunspec_inverter', name='roof', unit=1, ratedPower=8000, lag=1, serial='S1'} } }";

enum { CONTROLS = 40150 }; /* 40000 + 2 + 68 + 52 + 28 */

static void sunspec_models_follow_each_other_from_40000(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { devices={"
                   "{make='sunspec_inverter', name='a', unit=1, ratedPower=8000},"
                   "{make='sunspec_inverter', name='b', unit=2, ratedPower=60000, float=true,"
                   " storage={capacity=9000, maxChargePower=4000, maxDischargePower=5000}} } }");
    static const int expected[2][7] = {{1, 103, 120, 123, 0xffff}, {1, 113, 120, 123, 124, 0xffff}};
    for (int i = 0; i < 2; i++) {
        struct sim_device *device = device_of(&home, i ? "b" : "a");
        assert_int_equal(holding(device, 40000), 0x5375);
        assert_int_equal(holding(device, 40001), 0x6e53);
        int at = 40002;
        for (int j = 0; expected[i][j]; j++) {
            assert_int_equal(holding(device, at), expected[i][j]);
            at += 2 + holding(device, at + 1);
        }
    }
    sim_home_free(&home);
}

static void a_pv_limit_holds_with_lag_and_reverts_by_itself(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, roof_home);
    struct sim_device *roof = device_of(&home, "roof");
    run_for(&home, 1);
    assert_int_equal(home.now[SIM_PV].total, -5000);
    assert_int_equal(holding(roof, 40070 + 14), 5000);
    assert_int_equal(holding(roof, 40070 + 38), 4);
    const uint16_t words[] = {2500, 0, 10, 0, 1}; /* 25 % for 10 s */
    assert_int_equal(write_words(&home, roof, CONTROLS + 5, 5, words), 0);
    run_for(&home, 0.2);
    assert_true(home.now[SIM_PV].total < -2000); /* not at once */
    run_for(&home, 9);
    assert_int_equal(home.now[SIM_PV].total, -2000);
    assert_int_equal(home.now[SIM_GRID].total, -1600);
    assert_int_equal(holding(roof, 40070 + 38), 5);
    run_for(&home, 1);
    assert_int_equal(holding(roof, CONTROLS + 9), 0);
    run_for(&home, 10);
    assert_int_equal(home.now[SIM_PV].total, -5000);
    assert_int_equal(write_word(&home, roof, CONTROLS + 5, 10001), 3);
    sim_home_free(&home);
}

static void a_limit_of_zero_is_a_limit_and_rewriting_keeps_it(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, roof_home);
    struct sim_device *roof = device_of(&home, "roof");
    const uint16_t words[] = {0, 0, 10, 0, 1};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(write_words(&home, roof, CONTROLS + 5, 5, words), 0);
        run_for(&home, 9);
        if (i)
            assert_int_equal(home.now[SIM_PV].total, 0);
    }
    assert_int_equal(write_word(&home, roof, CONTROLS + 9, 0), 0);
    run_for(&home, 10);
    assert_int_equal(home.now[SIM_PV].total, -5000);
    sim_home_free(&home);
}

static void a_disconnected_inverter_comes_back_after_its_revert_time(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, roof_home);
    struct sim_device *roof = device_of(&home, "roof");
    const uint16_t words[] = {20, 0};
    assert_int_equal(write_words(&home, roof, CONTROLS + 3, 2, words), 0);
    run_for(&home, 19);
    assert_int_equal(home.now[SIM_PV].total, 0);
    run_for(&home, 20);
    assert_int_equal(home.now[SIM_PV].total, -5000);
    sim_home_free(&home);
}

static void storage_control_of_model_124_narrows_forces_and_reverts(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, "return { load={constant=400}, sun={constant=5000}, devices={"
                   "{make='sunspec_inverter', name='s', unit=1, ratedPower=8000, lag=0.5,"
                   " storage={capacity=9000, maxChargePower=4000, maxDischargePower=4000}} } }");
    struct sim_device *device = device_of(&home, "s");
    struct sim_battery *battery = &device->battery;
    int model = CONTROLS + 26;
    run_for(&home, 10);
    assert_int_equal(battery->power_w, 4000); /* own control: all of the surplus that fits */
    assert_int_equal(holding(device, 40070 + 14), 1000);
    const uint16_t limit[] = {10000, 2500, 0, 10}; /* out 100 %, in 25 %, revert 10 s */
    assert_int_equal(write_words(&home, device, model + 12, 4, limit), 0);
    assert_int_equal(write_word(&home, device, model + 5, 1), 0);
    run_for(&home, 9);
    assert_int_equal(battery->power_w, 1000);
    run_for(&home, 10);
    assert_int_equal(holding(device, model + 5), 0);
    assert_int_equal(battery->power_w, 4000);
    const uint16_t force[] = {(uint16_t)-5000, 10000, 0, 0}; /* charge with half at least */
    home.sun.overridden = true;
    home.sun.override_w = 0;
    assert_int_equal(write_words(&home, device, model + 12, 4, force), 0);
    assert_int_equal(write_word(&home, device, model + 5, 2), 0);
    run_for(&home, 10);
    assert_int_equal(battery->power_w, 2000);
    assert_int_equal((int16_t)holding(device, 40070 + 14), -2000);
    assert_int_equal(write_word(&home, device, model + 12, 10001), 3);
    sim_home_free(&home);
}

static const char hybrid_home[] =
    "return { load={constant=1000}, sun={constant=0}, devices={"
    "{make='sungrow_sh', name='h', unit=1, ratedPower=10000, peakPower=8000, capacity=10000,"
    " stateOfCharge=50, maxChargePower=4000, maxDischargePower=3000, lag=1} } }";

static void a_hybrid_regulates_the_grid_to_zero_within_its_limits(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, hybrid_home);
    struct sim_device *h = device_of(&home, "h");
    run_for(&home, 15);
    assert_in_range(home.now[SIM_GRID].total + 2, 0, 4);
    assert_int_equal((int16_t)input(h, 13021), home.now[SIM_BATTERY].total);
    assert_int_equal(input(h, 13000) & 0x06, 0x04);
    home.load.constant_w = 5000;
    run_for(&home, 15);
    assert_int_equal(home.now[SIM_BATTERY].total, -3000);
    assert_int_equal(home.now[SIM_GRID].total, 2000);
    assert_int_equal((int32_t)((uint32_t)input(h, 13009) | (uint32_t)input(h, 13010) << 16), -2000);
    home.sun.constant_w = 12000; /* more than the inverter and the battery take */
    run_for(&home, 15);
    assert_int_equal(home.now[SIM_PV].total, -10000);
    assert_int_equal(home.now[SIM_BATTERY].total, 4000);
    assert_int_equal(input(h, 13000) & 0x02, 0x02);
    sim_home_free(&home);
}

static void a_hybrid_in_forced_mode_follows_the_command_with_lag(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, hybrid_home);
    struct sim_device *h = device_of(&home, "h");
    run_for(&home, 10);
    const uint16_t charge[] = {2, 0xaa, 2500};
    assert_int_equal(write_words(&home, h, 13049, 3, charge), 0);
    run_for(&home, 0.5);
    assert_true(home.now[SIM_BATTERY].total < 2000);
    run_for(&home, 10);
    assert_int_equal(home.now[SIM_BATTERY].total, 2500);
    assert_int_equal(home.now[SIM_GRID].total, 3500);
    assert_int_equal(write_word(&home, h, 13050, 0xbb), 0);
    run_for(&home, 10);
    assert_int_equal(home.now[SIM_BATTERY].total, -2500);
    assert_int_equal(write_word(&home, h, 33047, 100), 0); /* 1000 W at most */
    run_for(&home, 10);
    assert_int_equal(home.now[SIM_BATTERY].total, -1000);
    assert_int_equal(write_word(&home, h, 13050, 0xcc), 0);
    run_for(&home, 10);
    assert_int_equal(home.now[SIM_BATTERY].total, 0);
    assert_int_equal(write_word(&home, h, 13050, 0xdd), 3);
    assert_int_equal(write_word(&home, h, 13049, 0), 0);
    run_for(&home, 10);
    assert_in_range(-home.now[SIM_BATTERY].total, 999, 1000);
    sim_home_free(&home);
}

static void a_delay_passes_before_a_command_shows(void **state) {
    (void)state;
    struct sim_lag lag;
    sim_lag_init(&lag, 0, 2, 0, 100);
    for (int i = 0; i < 20; i++)
        assert_true(sim_lag_step(&lag, 500, 0.1) == 100);
    assert_true(sim_lag_step(&lag, 500, 0.1) == 500);
    for (int i = 0; i < 20; i++)
        assert_true(sim_lag_step(&lag, 7, 0.1) == 500);
    assert_true(sim_lag_step(&lag, 7, 0.1) == 7);
}

static void every_mistake_of_a_home_file_is_found_at_once(void **state) {
    (void)state;
    static const char text[] =
        "return { start='25:00', sun={constant=1, peak=2}, listeners={{name='a'}}, devices={"
        "{make='nonesuch', unit=1}, {make='eastron_sdm630', unit=1, serial='abc'},"
        "{make='sungrow_sh', unit=2}, {make='abb_terra_ac', unit=1, listener='b', phases=2},"
        "{make='eastron_sdm630', unit=1, name='twice'} } }";
    static const char *const places[] = {
        "start",      "sun",       "devices[1]", "devices[2]", "devices[3].capacity",
        "devices[4]", "devices[5]"};
    struct sim_home home;
    struct report report;
    report_init(&report);
    assert_int_equal(sim_home_init(&home), ERR_OK);
    assert_false(sim_config_load(&home, "test", text, strlen(text), &report));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bool found = false;
        for (size_t j = 0; j < report.count; j++)
            found |= strcmp(report.items[j].where, places[i]) == 0;
        if (!found)
            fail_msg("nothing said about %s", places[i]);
    }
    report_free(&report);
    sim_home_free(&home);
}

static void devices_are_checked_though_the_rest_is_wrong(void **state) {
    (void)state;
    static const char text[] = "return { sped=3, devices={ {make='sungrow_sh', unit=300} } }";
    struct sim_home home;
    struct report report;
    report_init(&report);
    assert_int_equal(sim_home_init(&home), ERR_OK);
    assert_false(sim_config_load(&home, "test", text, strlen(text), &report));
    assert_true(report.count > 3);
    assert_string_equal(report.items[0].where, "sped");
    assert_string_equal(report.items[1].where, "devices[1].unit");
    report_free(&report);
    sim_home_free(&home);
}

static void order(struct sim_home *home, const char *line, struct buf *answer) {
    char text[SIM_CONTROL_LINE];
    snprintf(text, sizeof text, "%s", line);
    buf_clear(answer);
    sim_control_line(home, text, answer);
}

static void control_lines_change_the_home_and_say_so(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, whole_home);
    struct buf answer;
    buf_init(&answer, 100000);
    order(&home, "sun 4000", &answer);
    assert_string_equal(buf_string(&answer), "ok\n");
    order(&home, "load 700", &answer);
    order(&home, "plug box off", &answer);
    run_for(&home, 10);
    assert_in_range(-home.now[SIM_PV].total, 3998, 4000);
    assert_int_equal(home.now[SIM_LOAD].total, 700);
    assert_int_equal(holding(device_of(&home, "box"), 16397) >> 8, 0);
    order(&home, "identity grid 4294967295", &answer);
    order(&home, "read grid holding 64512 2", &answer);
    assert_string_equal(buf_string(&answer), "ok 65535 65535\n");
    order(&home, "identity grid 4294967296", &answer);
    assert_int_equal(strncmp(buf_string(&answer), "error", 5), 0);
    order(&home, "silence 9 on", &answer);
    assert_int_equal(strncmp(buf_string(&answer), "error", 5), 0);
    tell_limit(&home, device_of(&home, "box"), 70000);
    order(&home, "writes box", &answer);
    assert_string_equal(buf_string(&answer),
                        "write 1 holding 16640 1 4464\nok 1 writes, 0 forgotten\n");
    order(&home, "state", &answer);
    char *end = strchr(answer.data, '\n');
    assert_non_null(end);
    json_t *tree = json_loadb(answer.data, (size_t)(end - answer.data), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(tree, "load")), 700);
    assert_int_equal(json_array_size(json_object_get(tree, "devices")), 4);
    json_decref(tree);
    buf_free(&answer);
    sim_home_free(&home);
}

static void a_frozen_device_keeps_its_registers_while_the_home_moves_on(void **state) {
    (void)state;
    struct sim_home home;
    home_of(&home, whole_home);
    struct sim_device *grid = device_of(&home, "grid");
    run_for(&home, 1);
    grid->frozen = true;
    double before = input_float(grid, 52);
    home.load.overridden = true;
    home.load.override_w = 50000;
    run_for(&home, 5);
    assert_true(input_float(grid, 52) == before);
    assert_true(home.now[SIM_GRID].total > 20000);
    sim_home_free(&home);
}

static void the_home_of_the_demo_lets_a_follower_keep_the_grid_near_zero(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    size_t length;
    char *text = file_read(DERD_SOURCE_DIR "/scripts/demo/home.lua", 100000, &length, &report);
    assert_non_null(text);
    struct sim_home home;
    home_of(&home, text);
    free(text);
    struct sim_device *box = device_of(&home, "wallbox");
    struct sim_device *grid = device_of(&home, "grid");
    int near = 0, looked = 0;
    double told_w = 0;
    for (int i = 0; i < 2400; i++) { /* four minutes */
        sim_home_step(&home);
        box->timers.unread_s = 0;
        if (i % 50 == 0) { /* a plain follower every 5 s: the car takes what was fed in */
            told_w = fmax(told_w - input_float(grid, 52), 0);
            tell_limit(&home, box, told_w < 4140 ? 0 : (uint32_t)fmin(told_w / 0.69, 16000));
            told_w = fmin(told_w, 11040);
        }
        if (i >= 600) {
            looked++;
            near += abs(home.now[SIM_GRID].total) < 200;
            assert_true(home.now[SIM_CHARGING].total > 4000);
        }
    }
    assert_true(near * 2 > looked);
    report_free(&report);
    sim_home_free(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers_balance_in_watts_on_each_phase_at_every_step),
        cmocka_unit_test(state_of_charge_integrates_the_battery_power_and_keeps_its_bounds),
        cmocka_unit_test(the_same_seed_gives_the_same_day_and_another_seed_another),
        cmocka_unit_test(below_six_amperes_the_car_pauses_and_never_draws_less),
        cmocka_unit_test(a_car_of_one_phase_loads_one_phase_only),
        cmocka_unit_test(a_car_takes_no_more_than_it_can_and_less_when_nearly_full),
        cmocka_unit_test(a_car_draws_in_its_own_steps),
        cmocka_unit_test(a_car_begins_after_its_delay_and_follows_with_its_lag),
        cmocka_unit_test(a_silent_master_ends_in_the_fallback_current_or_in_error),
        cmocka_unit_test(half_of_a_limit_is_refused_and_stop_stops),
        cmocka_unit_test(sunspec_models_follow_each_other_from_40000),
        cmocka_unit_test(a_pv_limit_holds_with_lag_and_reverts_by_itself),
        cmocka_unit_test(a_limit_of_zero_is_a_limit_and_rewriting_keeps_it),
        cmocka_unit_test(a_disconnected_inverter_comes_back_after_its_revert_time),
        cmocka_unit_test(storage_control_of_model_124_narrows_forces_and_reverts),
        cmocka_unit_test(a_hybrid_regulates_the_grid_to_zero_within_its_limits),
        cmocka_unit_test(a_hybrid_in_forced_mode_follows_the_command_with_lag),
        cmocka_unit_test(a_delay_passes_before_a_command_shows),
        cmocka_unit_test(every_mistake_of_a_home_file_is_found_at_once),
        cmocka_unit_test(devices_are_checked_though_the_rest_is_wrong),
        cmocka_unit_test(control_lines_change_the_home_and_say_so),
        cmocka_unit_test(a_frozen_device_keeps_its_registers_while_the_home_moves_on),
        cmocka_unit_test(the_home_of_the_demo_lets_a_follower_keep_the_grid_near_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
