/* What a device has been told and still has, through the whole chain on a clock that only the test
 * moves: each of these was once found by test_bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bounds_oracle.h"

#include "bounds_site.h"
#include "cluster/cluster.h"

#define SECOND 1000LL
#define STEP   (3600 * SECOND) /* of the wall clock */

struct desk {
    struct bounds_host host;
    struct sim_home home;
    struct plan_of_site site;
    struct sim_device *sims[BEINGS];
};

static void no_log(void *context, enum log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

/* A home with a host that has found everything, its driver QUIRK of this make. */
static struct desk *desk_open(void **state, int quirk) {
    struct desk *desk = calloc(1, sizeof *desk);
    struct report report;
    report_init(&report);
    bounds_wires = (struct bounds_wires){.home = &desk->home};
    assert_int_equal(sim_home_init(&desk->home), ERR_OK);
    assert_true(sim_config_load(&desk->home, "home", home_text, strlen(home_text), &report));
    for (int i = 0; i < BEINGS; i++) {
        desk->sims[i] = sim_home_find(&desk->home, traits[i].key);
        desk->site.least[i] = -OPEN;
        desk->site.most[i] = OPEN;
    }
    desk->site.controllable_most = OPEN;
    sim_home_step(&desk->home);
    bounds_clock_start();
    bounds_host_open(&desk->host);
    quirk_write(&desk->host, quirk, 1);
    site_write(&desk->host, &desk->site);
    bounds_host_start(&desk->host);
    *state = desk;
    return desk;
}

static int setup(void **state) {
    log_set_sink(no_log, NULL);
    *state = NULL;
    return 0;
}

static int teardown(void **state) {
    struct desk *desk = *state;
    bounds_host_close(&desk->host);
    sim_home_free(&desk->home);
    free(desk);
    return 0;
}

static int64_t now_ms(void) {
    return atomic_load(&bounds_mono_ms);
}

static void run(struct desk *desk, int64_t ms) {
    for (int64_t end_ms = now_ms() + ms; now_ms() < end_ms;) {
        bounds_run(&desk->host, now_ms() + STEP_MS);
        sim_home_step(&desk->home);
    }
}

static struct device *device_of(struct desk *desk, enum being being) {
    return engine_device(desk->host.engine, "home", traits[being].key);
}

/* On a device, or on the cluster (BEINGS); from now on. Gives its id. */
static const char *put(struct desk *desk, int being, struct wish wish, int64_t valid_for_ms) {
    static char id[ID_SIZE];
    int64_t wall_ms = now_ms() + atomic_load(&bounds_wall_offset_ms);
    desk->host.draft =
        (struct constraint){.wish = wish,
                            .scope = being == BEINGS ? SCOPE_CONTROLLABLE : SCOPE_NONE,
                            .valid_at.ms = wall_ms,
                            .invalid_at.ms = wall_ms + valid_for_ms,
                            .valid_for_ms = valid_for_ms};
    snprintf(desk->host.target, sizeof desk->host.target, "%s",
             being == BEINGS ? engine_cluster(desk->host.engine, "home")->id
                             : device_of(desk, (enum being)being)->id);
    desk->host.removes[0] = '\0';
    struct ask_answer *answer = bounds_ask(&desk->host);
    assert_int_equal(answer->result, ASK_CREATED);
    memcpy(id, answer->items[0]->id, sizeof id);
    ask_answer_free(answer);
    return id;
}

static void take_back(struct desk *desk, const char *id) {
    memcpy(desk->host.removes, id, ID_SIZE);
    struct ask_answer *answer = bounds_ask(&desk->host);
    assert_int_equal(answer->result, ASK_REMOVED);
    ask_answer_free(answer);
}

static struct bounds told(const struct desk *desk, enum being being) {
    return registers_allow(desk->sims[being], being);
}

#define FEED_IN(watts) ((struct wish){.priority = 2000, .has_min = true, .min = -(watts)})

static void valid_for_goes_on_over_a_restart_of_the_host(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    put(desk, ROOF, FEED_IN(2000), 600 * SECOND);
    run(desk, 2 * SECOND);
    assert_in_range(-told(desk, ROOF).lo, 1999, 2000);
    atomic_fetch_add(&bounds_wall_offset_ms, STEP); /* the time is set, an hour ahead */
    run(desk, 2 * SECOND);
    bounds_host_end(&desk->host);
    bounds_host_start(&desk->host);
    run(desk, 5 * SECOND);
    assert_in_range(-told(desk, ROOF).lo, 1999, 2000);
    run(desk, 595 * SECOND);
    assert_int_equal(told(desk, ROOF).lo, -8000);
}

static void valid_for_goes_on_while_its_device_is_not_in_the_site(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    put(desk, ROOF, FEED_IN(2000), 600 * SECOND);
    run(desk, 2 * SECOND);
    desk->site.left[ROOF] = true;
    site_write(&desk->host, &desk->site);
    run(desk, 2 * SECOND);
    assert_null(device_of(desk, ROOF));
    atomic_fetch_add(&bounds_wall_offset_ms, STEP);
    run(desk, 200 * SECOND);
    assert_int_equal(told(desk, ROOF).lo, -8000); /* by its own watchdog */
    desk->site.left[ROOF] = false;
    site_write(&desk->host, &desk->site);
    run(desk, 5 * SECOND);
    assert_in_range(-told(desk, ROOF).lo, 1999, 2000);
}

static void a_limit_does_not_wait_for_a_script_that_fails(void **state) {
    struct desk *desk = desk_open(state, 3); /* its hooks.command only fails */
    run(desk, 5 * SECOND);
    put(desk, QUIRK, (struct wish){.priority = 2000, .has_set = true, .set = 6000}, 600 * SECOND);
    run(desk, 5 * SECOND);
    put(desk, QUIRK, (struct wish){.priority = 3000, .has_max = true, .max = 5000}, 600 * SECOND);
    run(desk, 2 * SECOND);
    assert_true(told(desk, QUIRK).hi <= 5000);
    put(desk, QUIRK, (struct wish){.priority = 3001, .has_max = true, .max = 0}, 600 * SECOND);
    run(desk, 60 * SECOND);
    assert_int_equal(told(desk, QUIRK).hi, 0);
}

/* Its cluster's share moves whenever the device is, or is not, one that does not follow. */
static void a_device_that_has_forgotten_is_told_again_whatever_its_share_does(void **state) {
    struct desk *desk = desk_open(state, 0);
    desk->home.load.constant_w = 5000;
    desk->home.sun.constant_w = 0;
    run(desk, 5 * SECOND);
    put(desk, BATTERY,
        (struct wish){.priority = 2501, .has_min = true, .has_set = true, .set = 444},
        600 * SECOND);
    put(desk, BEINGS, (struct wish){.priority = 3337, .has_min = true, .min = -4218}, 600 * SECOND);
    run(desk, 20 * SECOND);
    assert_int_equal(told(desk, BATTERY).hi, 444);
    bounds_wires.mishaps[0].latency_ms = 120;
    struct modbus_request forget = {
        .unit = 2, .function = MODBUS_WRITE_REGISTERS, .address = 13049, .count = 1};
    struct modbus_answer answer;
    assert_true(bounds_answer(0, &forget, &answer));
    assert_int_equal(told(desk, BATTERY).lo, -5000);
    /* It leaves its bounds within seconds, is given its lag, and told again. */
    run(desk, (15 + 10) * SECOND);
    assert_int_equal(told(desk, BATTERY).lo, 0);
    assert_int_equal(told(desk, BATTERY).hi, 444);
}

static void a_refresh_that_was_overtaken_twice_is_made_up_for(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    put(desk, ROOF, FEED_IN(2000), 600 * SECOND);
    bounds_wires.mishaps[1].latency_ms = 50;
    run(desk, 2 * SECOND);
    assert_true(desk->sims[ROOF]->timers.limit_s > 110);
    const struct command *command = &device_of(desk, ROOF)->command;
    int64_t late_ms = now_ms() + 30 * SECOND;
    while (!command->due && now_ms() < late_ms) /* until the refresh has begun */
        bounds_run(&desk->host, now_ms() + 1);
    assert_true(command->due);
    take_back(desk, put(desk, ROOF, FEED_IN(1000), 600 * SECOND));
    run(desk, 5 * SECOND);
    assert_true(desk->sims[ROOF]->timers.limit_s > 110);
    run(desk, 300 * SECOND);
    assert_in_range(-told(desk, ROOF).lo, 1999, 2000);
}

static int32_t least_seen, most_seen;

static void see_battery(struct sim_device *device, uint16_t address) {
    (void)address;
    if (!device->has_battery)
        return;
    struct bounds may = registers_allow(device, BATTERY);
    least_seen = may.lo < least_seen ? may.lo : least_seen;
    most_seen = may.hi > most_seen ? may.hi : most_seen;
}

static void a_battery_turns_around_by_way_of_rest(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    put(desk, BATTERY, (struct wish){.priority = 1000, .has_set = true, .set = -1000},
        600 * SECOND);
    run(desk, 5 * SECOND);
    assert_int_equal(told(desk, BATTERY).lo, -1000);
    bounds_wires.written = see_battery;
    put(desk, BATTERY, (struct wish){.priority = 2000, .has_set = true, .set = 4700}, 600 * SECOND);
    run(desk, 5 * SECOND);
    assert_int_equal(told(desk, BATTERY).hi, 4700);
    put(desk, BATTERY, (struct wish){.priority = 3000, .has_set = true, .set = -500}, 600 * SECOND);
    run(desk, 5 * SECOND);
    assert_int_equal(told(desk, BATTERY).lo, -500);
    assert_true(least_seen >= -1000); /* never -4700, and never 4700 of what was to be 500 */
    assert_int_equal(most_seen, 4700);
}

static bool forgets;

/* A restart between the write and its read-back. */
static void forget_limit(struct sim_device *device, uint16_t address) {
    if (!forgets || !device->has_pv || address < 40150 || device->pv.limit_w >= device->pv.rated_w)
        return;
    forgets = false;
    device->pv.limit_w = device->pv.rated_w;
    *sim_image_at(&device->image, SIM_HOLDING, address, 1) = 0;
}

static void what_reads_back_otherwise_once_is_written_again_within_seconds(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    bounds_wires.written = forget_limit;
    forgets = true;
    put(desk, ROOF, FEED_IN(2000), 600 * SECOND);
    run(desk, SECOND);
    assert_false(forgets);
    assert_int_equal(told(desk, ROOF).lo, -8000);
    assert_int_equal(device_of(desk, ROOF)->command.state, COMMAND_REJECTED);
    run(desk, 4 * SECOND);
    assert_in_range(-told(desk, ROOF).lo, 1999, 2000);
    assert_int_equal(device_of(desk, ROOF)->command.state, COMMAND_CONFIRMED);
}

#define CHARGE(watts) ((struct wish){.priority = 2000, .has_set = true, .set = (watts)})

static enum watchdog_state watchdog_of(struct desk *desk, enum being being) {
    struct flexibility flexibility;
    live_read(device_of(desk, being)->card->live, &flexibility);
    return flexibility.watchdog;
}

static void a_killed_host_and_a_dead_link_leave_devices_to_their_watchdogs(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    assert_int_equal(watchdog_of(desk, ROOF), WATCHDOG_UNARMED);
    put(desk, ROOF, FEED_IN(2000), 3600 * SECOND);
    put(desk, BOX, CHARGE(11000), 3600 * SECOND);
    put(desk, QUIRK, CHARGE(11000), 3600 * SECOND);
    run(desk, 5 * SECOND);
    assert_int_equal(watchdog_of(desk, ROOF), WATCHDOG_ARMED);
    assert_int_equal(watchdog_of(desk, BOX), WATCHDOG_ARMED);
    assert_true(told(desk, QUIRK).hi > 10000);
    bounds_wires.mishaps[3].unplugged = true; /* the link of QUIRK */
    run(desk, 62 * SECOND);
    assert_int_equal(told(desk, QUIRK).hi, 4140); /* 6 A on three phases */
    assert_true(told(desk, BOX).hi > 10000);
    bounds_host_end(&desk->host);
    run(desk, 62 * SECOND);
    assert_int_equal(told(desk, BOX).hi, 4140);
    run(desk, 62 * SECOND);
    assert_int_equal(told(desk, ROOF).lo, -8000); /* its own control */
}

static void a_watchdog_leads_to_nothing_beyond_the_permanent_limits(void **state) {
    struct desk *desk = desk_open(state, 0);
    desk->site.most[BOX] = 3000;   /* below 6 A on three phases */
    desk->site.current[QUIRK] = 5; /* below the least current */
    desk->site.least[ROOF] = -3000;
    site_write(&desk->host, &desk->site);
    run(desk, 5 * SECOND);
    put(desk, ROOF, FEED_IN(2000), 3600 * SECOND);
    run(desk, 5 * SECOND);
    assert_int_equal(watchdog_of(desk, ROOF), WATCHDOG_NONE);
    assert_int_equal(watchdog_of(desk, BOX), WATCHDOG_ARMED);
    bounds_host_end(&desk->host);
    run(desk, 300 * SECOND);
    assert_in_range(-told(desk, ROOF).lo, 1999, 2000); /* kept: its own control would be more */
    assert_int_equal(told(desk, BOX).hi, 0);
    assert_int_equal(told(desk, QUIRK).hi, 0);
}

static void a_device_without_a_watchdog_that_is_out_of_reach_is_an_alarm(void **state) {
    struct desk *desk = desk_open(state, 0);
    run(desk, 5 * SECOND);
    assert_int_equal(watchdog_of(desk, BATTERY), WATCHDOG_NONE);
    assert_int_equal(watchdog_of(desk, GRID), WATCHDOG_UNKNOWN);
    bounds_wires.mishaps[0].unplugged = true;
    run(desk, 5 * SECOND);
    assert_false(device_of(desk, BATTERY)->unguarded); /* nothing is in force */
    bounds_wires.mishaps[0].unplugged = false;
    run(desk, 10 * SECOND);
    put(desk, BATTERY, (struct wish){.priority = 2000, .has_max = true, .max = 1000},
        3600 * SECOND);
    put(desk, ROOF, FEED_IN(2000), 3600 * SECOND);
    run(desk, 5 * SECOND);
    bounds_wires.mishaps[0].unplugged = bounds_wires.mishaps[1].unplugged = true;
    run(desk, 5 * SECOND);
    assert_true(device_of(desk, BATTERY)->unguarded);
    assert_false(device_of(desk, ROOF)->unguarded); /* it has one */
    bounds_wires.mishaps[0].unplugged = false;
    run(desk, 20 * SECOND);
    assert_false(device_of(desk, BATTERY)->unguarded);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(valid_for_goes_on_over_a_restart_of_the_host),
        TEST(valid_for_goes_on_while_its_device_is_not_in_the_site),
        TEST(a_limit_does_not_wait_for_a_script_that_fails),
        TEST(a_device_that_has_forgotten_is_told_again_whatever_its_share_does),
        TEST(a_refresh_that_was_overtaken_twice_is_made_up_for),
        TEST(a_battery_turns_around_by_way_of_rest),
        TEST(a_killed_host_and_a_dead_link_leave_devices_to_their_watchdogs),
        TEST(a_watchdog_leads_to_nothing_beyond_the_permanent_limits),
        TEST(a_device_without_a_watchdog_that_is_out_of_reach_is_an_alarm),
        TEST(what_reads_back_otherwise_once_is_written_again_within_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
