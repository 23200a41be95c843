/* The split of a cluster's limits, worked by hand from ARBITRATION section 8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "split_site.h"

#define assert_share(device, low, high)                                                            \
    do {                                                                                           \
        assert_int_equal((device)->share.hi, high);                                                \
        assert_int_equal((device)->share.lo, low);                                                 \
    } while (0)
#define OPEN POWER_UNBOUNDED

static void without_a_limit_nobody_has_a_share(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", -1);
    site_split(&site);
    assert_false(car->limited);
    assert_share(car, -OPEN, OPEN);
    assert_int_equal(car->sides[0].why, SPLIT_FREE);
    assert_true(site.again_ms == INT64_MAX);
}

/* 8000 W for two cars that could use 11040 W each: 4000 W each would be below 4140 W, so one has
 * its step and all the rest, the other nothing. 9000 W: 4500 W each. */
static void equals_have_equal_parts_when_the_steps_allow(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", -1);
    struct split_device *b = site_car(&site, "b", -1);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 9000;
    site_split(&site);
    assert_share(a, -OPEN, 4500);
    assert_share(b, -OPEN, 4500);
    assert_int_equal(a->sides[0].why, SPLIT_PART);
    site_confirm(&site);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 8000;
    site_split(&site);
    /* b lets go of 4500 W first; a stays within what is free beside that: 3500 W are not a step
     * more than it holds, so it keeps 4500 W until b has confirmed. */
    assert_share(b, -OPEN, 0);
    assert_int_equal(b->sides[0].why, SPLIT_NO_STEP);
    site_confirm(&site);
    site_split(&site);
    assert_share(a, -OPEN, 8000);
}

/* 10000 W for one car that can use 3680 W and one that can use 11040 W: parts of 14720 W, so 67.93
 * % each: 2500 W and 7500 W. */
static void parts_are_in_proportion_to_what_each_can_use(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", -1);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 10000;
    site_split(&site);
    assert_share(a, -OPEN, 2500);
    assert_share(b, -OPEN, 7500);
}

/* Whoever would have less than its step in proportion keeps its step: 6000 W, 1380 W at least for a
 * (its part would be 1500 W) and 4140 W at least for b (its part would be 4500 W). 5600 W: a's part
 * would be 1400 W, b's 4200 W. 5530 W: 1382 and 4147. 5521 W: 1380.25 W and 4140.75 W. 5519 W: b's
 * step does not fit beside a's. */
static void a_step_is_the_least_part(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", -1);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 5521;
    site_split(&site);
    assert_share(a, -OPEN, 1380);
    assert_share(b, -OPEN, 4140);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 5519;
    site_split(&site);
    assert_share(a, -OPEN, 3680); /* all that it can use */
    assert_share(b, -OPEN, 0);
}

static void the_lower_share_rank_is_served_first(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    b->rank = 100;
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 5000;
    site_split(&site);
    assert_share(b, -OPEN, 3680);
    assert_share(a, -OPEN, 0); /* 1320 W are left, 1380 W needed */
    assert_int_equal(a->sides[0].why, SPLIT_NO_STEP);
}

/* 3000 W of a heat pump that cannot be below 500 W, and a battery that wants to charge 5000 W. At
 * 2000 W: 500 W are fixed, the heat pump wants 3000 W and has 2000 W, the battery 0. */
static void fixed_minima_come_first_and_battery_charging_yields_first(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *battery = site_device(&site, "a", DEVICE_BATTERY, -5000, 5000);
    struct split_device *pump = site_device(&site, "b", DEVICE_HEAT_PUMP, 500, 3000);
    battery->rank = 0; /* which would put it first, were it a load */
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 2000;
    site_split(&site);
    assert_share(pump, -OPEN, 2000);
    assert_share(battery, -OPEN, 0);
    site_confirm(&site);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4200;
    site_split(&site);
    assert_share(pump, -OPEN, 3000);
    assert_share(battery, -OPEN, 1200);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 300;
    site_split(&site);
    assert_share(pump, -OPEN, 500);
    assert_true(site.levels[0].over[0][SCOPE_CONTROLLABLE][0] == 200);
}

/* A set point of 2000 W needs 2000 W; what is left over is offered, so that a policy sees it. */
static void what_is_left_over_is_offered(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    a->wants = (struct range){2000, 2000};
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 6000;
    site_split(&site);
    assert_share(b, -OPEN, 3680);
    assert_share(a, -OPEN, 2320);
    assert_int_equal(a->sides[0].why, SPLIT_ALL);
}

/* --- devices that do not answer --------------------------------------------------------------- */

/* 11000 W; b is silent. It was last confirmed to hold 4140 W: a has 6860 W. Its own failsafe is
 * 6000 W: a has 5000 W. Neither is known: it counts with its 11040 W, nothing is left and 40 W too
 * many are told. */
static void a_silent_car_counts_once_with_the_largest(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", -1);
    struct split_device *b = site_car(&site, "b", -1);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 11000;
    b->reach = SPLIT_SILENT;
    b->held.hi = 4140;
    site_split(&site);
    assert_share(a, -OPEN, 6860);
    assert_int_equal(b->sides[0].why, SPLIT_COUNTED);
    assert_share(b, -OPEN, 4140); /* what it is told first when it comes back */
    site_confirm(&site);
    b->has_failsafe = true;
    b->failsafe = (struct range){0, 6000};
    site_split(&site);
    assert_share(a, -OPEN, 5000);
    site_confirm(&site);
    b->has_failsafe = b->has_held = false;
    site_split(&site);
    assert_share(a, -OPEN, 0);
    assert_true(site.levels[0].over[0][SCOPE_CONTROLLABLE][0] == 40);
}

/* At the connection its draw stands in the meter's reading too: 5140 W shown are 1000 W of house
 * and 4140 W of the silent b. It is not counted twice: 11000 - 1000 - 4140 = 5860 W for a. When b
 * is off, the meter shows 1000 W, and b might come back at any moment: 11000 - 0 - 4140 = 6860 W.
 */
static void at_the_connection_a_silent_car_is_not_counted_twice(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", -1);
    struct split_device *b = site_car(&site, "b", -1);
    site_limit(&site, SCOPE_CONNECTION)->max = 11000;
    b->reach = SPLIT_SILENT;
    b->held.hi = 4140;
    site_meter(&site, 5140);
    site_split(&site);
    assert_share(a, -OPEN, 5860);
    assert_true(site.levels[0].uncontrolled[0][0] == 1000);
    site_wait(&site, 20000);
    site_meter(&site, 1000);
    site_split(&site);
    assert_share(a, -OPEN, 6860);
}

/* 4000 W, 2000 W for each if both obeyed. b does 2500 W whatever it is told: a has 1500 W, and b is
 * told the 2000 W that are its due. */
static void a_stubborn_car_counts_as_measured_and_is_told_what_is_its_due(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4000;
    b->reach = SPLIT_STUBBORN;
    b->power = 2500;
    site_split(&site);
    assert_share(a, -OPEN, 1500);
    assert_int_equal(a->sides[0].why, SPLIT_PART); /* not for a while: it is all that there is */
    assert_share(b, -OPEN, 2000);
}

/* It refuses what it is told and does nothing now, but nothing is known to keep it from its 3680 W:
 * a is not raised beside them. When it is known to hold 0 W, a is. */
static void a_stubborn_one_that_never_confirmed_anything_may_still_do_its_nameplate(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4000;
    b->reach = SPLIT_STUBBORN;
    b->power = 0;
    b->has_held = false;
    site_split(&site);
    assert_share(a, -OPEN, 0);
    assert_int_equal(a->sides[0].why, SPLIT_WAITS);
    b->has_held = true;
    b->held.hi = 0;
    site_split(&site);
    assert_true(a->share.hi >= 2000);
}

/* --- the meter -------------------------------------------------------------------------------- */

/* A limit of 10000 W at the connection. The meter shows 3000 W: 7000 W for the car. It falls
 * silent: 4000 W are declared, 6000 W for the car. Nothing is declared: nothing can be given. */
static void a_silent_meter_leaves_what_was_declared(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", -1);
    site_limit(&site, SCOPE_CONNECTION)->max = 10000;
    site.levels[0].declared = 4000;
    site_meter(&site, 3000);
    site_split(&site);
    assert_share(car, -OPEN, 7000);
    assert_true(site.levels[0].by_meter[0]);
    site_confirm(&site);
    site.levels[0].meter = SPLIT_METER_STALE;
    site_split(&site);
    assert_share(car, -OPEN, 6000);
    assert_false(site.levels[0].by_meter[0]);
    site.levels[0].declared = NAN;
    site_split(&site);
    assert_share(car, -OPEN, 0);
    assert_true(site.levels[0].blind[0]);
    assert_true(isinf(site.levels[0].over[0][SCOPE_CONNECTION][0]));
}

/* The car draws 5000 W of the 8000 W that the meter shows: 3000 W are the house's. */
static void the_uncontrolled_load_is_what_is_left_of_the_reading(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", -1);
    site_limit(&site, SCOPE_CONNECTION)->max = 10000;
    car->power = 5000;
    car->held.hi = 5000;
    site_meter(&site, 8000);
    site_split(&site);
    assert_share(car, -OPEN, 7000);
}

/* House 1000 W, car 0 W. Then the car is seen to take 6000 W before the meter shows it: 1000 - 6000
 * would be -5000 W of load and make room for 15000 W. The fall is believed after the window only. A
 * rise of the load is believed at once. */
static void a_fall_of_the_load_is_believed_later_than_a_rise(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", -1);
    site_limit(&site, SCOPE_CONNECTION)->max = 10000;
    site_meter(&site, 1000);
    site_split(&site);
    assert_share(car, -OPEN, 9000);
    site_confirm(&site);
    car->power = 6000;
    site_wait(&site, 1000);
    site_meter(&site, 1000); /* of an earlier moment */
    site_split(&site);
    assert_share(car, -OPEN, 9000);
    site_wait(&site, 1000);
    site_meter(&site, 9500); /* the house has switched on a stove: 3500 W */
    site_split(&site);
    assert_share(car, -OPEN, 6500);
    site_confirm(&site);
    int seconds = 0;
    do { /* off again; it is believed when the window is over */
        site_wait(&site, 1000);
        site_meter(&site, 7000);
        site_split(&site);
        seconds++;
    } while (car->share.hi == 6500);
    assert_int_equal(car->share.hi, 9000);
    assert_in_range(seconds, 8, 12);
}

/* Section 14a: 4200 W for the controllable devices, whatever the house draws and the roof gives. */
static void a_limit_of_the_controllable_devices_does_not_see_the_house(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", -1);
    struct split_device *roof = site_device(&site, "b", DEVICE_INVERTER, -8000, 0);
    roof->power = -8000;
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4200;
    site_meter(&site, 7000);
    site_split(&site);
    assert_share(car, -OPEN, 4200);
    assert_int_equal(roof->share.lo, -OPEN);
    site_meter(&site, -7000);
    site_split(&site);
    assert_share(car, -OPEN, 4200);
}

/* At the connection the sun makes room, as far as it is measured: 4200 + 8000 - 1000 W of house. */
static void at_the_connection_measured_production_makes_room(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", -1);
    struct split_device *roof = site_device(&site, "b", DEVICE_INVERTER, -8000, 0);
    roof->power = -8000;
    site_limit(&site, SCOPE_CONNECTION)->max = 4200;
    site_meter(&site, -7000);
    site_split(&site);
    assert_share(car, -OPEN, 11040);
    site_confirm(&site);
    site_wait(&site, 1000);
    car->power = 11000;
    roof->power = -1000; /* a cloud: 11000 + 1000 - 1000 */
    site_meter(&site, 11000);
    site_split(&site);
    assert_share(car, -OPEN, 4200); /* 4200 - (11000 - 11000) */
}

/* --- steps ------------------------------------------------------------------------------------ */

/* 2700 W for two cars that need 1380 W each (2760 W): one charges, the other waits. */
static void of_two_cars_one_charges_and_the_longest_waiting_goes_first(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 2700;
    a->wants = (struct range){0, 0};
    site_split(&site);
    assert_share(b, -OPEN, 2700);
    site_confirm(&site);
    site_wait(&site, 1000);
    a->wants = (struct range){0, 3680}; /* plugged in later: by id it would be the first */
    site_split(&site);
    assert_share(b, -OPEN, 2700);
    assert_share(a, -OPEN, 0);
    assert_int_equal(a->sides[0].why, SPLIT_NO_STEP);
    assert_true(a->state.waiting_ms == site.now_ms);
    site_wait(&site, 3600000); /* who charges goes on: no turns are taken */
    site_split(&site);
    assert_share(b, -OPEN, 2700);
    b->wants = (struct range){0, 0}; /* full: 0 W first, then a */
    site_split(&site);
    assert_share(a, -OPEN, 0);
    assert_int_equal(a->sides[0].why, SPLIT_WAITS);
    site_confirm(&site);
    site_split(&site);
    assert_share(a, -OPEN, 2700);
}

/* Both have lost their step; b has waited longer. */
static void the_longest_waiting_goes_before_the_lesser_id(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 1000;
    a->wants = (struct range){0, 0};
    site_split(&site);
    site_wait(&site, 1000);
    a->wants = (struct range){0, 3680};
    site_split(&site);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 2700;
    site_split(&site);
    assert_share(b, -OPEN, 2700);
    assert_share(a, -OPEN, 0);
}

/* The house's load goes up and down around what leaves 1380 W. The car is switched off once, rests
 * for a minute, and then waits for 200 W beyond its step until five minutes are over. */
static void a_load_that_goes_up_and_down_does_not_switch_the_car(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", 0);
    site_limit(&site, SCOPE_CONNECTION)->max = 5000;
    site.levels[0].window_ms = 0;
    int switched = 0;
    bool on = false;
    for (int second = 0; second < 300; second++) {
        site_wait(&site, 1000);
        site_meter(&site, second % 2 ? 3630 : 3610); /* 1370 W and 1390 W are left */
        site_split(&site);
        site_confirm(&site);
        switched += on != (car->share.hi > 0);
        on = car->share.hi > 0;
    }
    assert_int_equal(switched, 2); /* on with the first 1390 W, off with the first 1370 W */
    assert_int_equal(car->sides[0].why, SPLIT_NO_STEP);
    site_meter(&site, 3419); /* 1581 W */
    site_wait(&site, 1);
    site.levels[0].sampled_ms++;
    site_split(&site);
    assert_share(car, -OPEN, 1581);
}

static void after_its_rest_a_car_needs_some_more_than_its_step(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", 0);
    site_limit(&site, SCOPE_CONNECTION)->max = 5000;
    site.levels[0].window_ms = 0;
    site_meter(&site, 0);
    site_split(&site);
    site_confirm(&site);
    site_wait(&site, 1000);
    site_meter(&site, 4000); /* 1000 W: off */
    site_split(&site);
    site_confirm(&site);
    int64_t shed_ms = site.now_ms;
    site_wait(&site, 30000);
    site_meter(&site, 0); /* 5000 W, but it rests */
    site_split(&site);
    assert_share(car, -OPEN, 0);
    assert_int_equal(car->sides[0].why, SPLIT_RESTS);
    assert_true(site.again_ms == shed_ms + SPLIT_REST_MS);
    site.now_ms = site.again_ms;
    site_meter(&site, 3500); /* 1500 W: more than 1380 W, less than 1580 W */
    site_split(&site);
    assert_share(car, -OPEN, 0);
    assert_true(site.again_ms == shed_ms + SPLIT_WARY_MS);
    site.now_ms = site.again_ms;
    site_split(&site);
    assert_share(car, -OPEN, 1500);
}

/* A limit that is changed on purpose is no flapping: 1000 W, then 4200 W. */
static void a_changed_limit_lets_nobody_rest(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", 0);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4200;
    site_split(&site);
    site_confirm(&site);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 1000;
    site_split(&site);
    assert_share(car, -OPEN, 0);
    site_confirm(&site);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4200;
    site_split(&site);
    assert_share(car, -OPEN, 3680);
}

/* --- in transit ------------------------------------------------------------------------------- */

/* a holds 3680 W of 3680 W. b, of a lower rank, comes: a must go to 0 first. While a has not
 * confirmed, b has nothing; if a never does, it goes on counting with 3680 W. */
static void a_raise_waits_for_the_reduction_to_be_confirmed(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    b->rank = 100;
    b->wants = (struct range){0, 0};
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 3680;
    site_split(&site);
    site_confirm(&site);
    assert_share(a, -OPEN, 3680);
    b->wants = (struct range){0, 3680};
    site_split(&site);
    assert_share(a, -OPEN, 0);
    assert_share(b, -OPEN, 0);
    assert_int_equal(b->sides[0].why, SPLIT_WAITS);
    site_wait(&site, 600000); /* its time is over: the old value still counts */
    a->reach = SPLIT_STUBBORN;
    a->power = 3680;
    site_split(&site);
    assert_share(b, -OPEN, 0);
    a->reach = SPLIT_REACHED;
    a->power = 0;
    a->held.hi = 0;
    site_split(&site);
    assert_share(b, -OPEN, 3680);
}

/* 6000 W: b may have what is free beside the 3680 W that a holds, 2320 W, at once; the rest
 * follows. */
static void a_raise_takes_at_once_what_is_free(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    b->rank = 100;
    a->held.hi = 3680;
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 6000;
    site_split(&site);
    assert_share(b, -OPEN, 2320);
    assert_share(a, -OPEN, 2320);
    site_confirm(&site);
    site_split(&site);
    assert_share(b, -OPEN, 3680);
    assert_share(a, -OPEN, 2320);
}

/* What b was told and what is on its way to it both count: the more of them. */
static void one_that_was_never_told_anything_counts_with_its_nameplate(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    b->has_held = false;
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 4000;
    site_split(&site);
    assert_share(a, -OPEN, 0); /* 2000 W when b has confirmed its 2000 W */
    assert_share(b, -OPEN, 2000);
    b->has_held = true;
    site_confirm(&site);
    site_split(&site);
    assert_share(a, -OPEN, 2000);
}

/* --- phases ----------------------------------------------------------------------------------- */

/* A fuse of 16 A: 3680 W on each phase. The house draws 1000 W on L1. One car on L1, one on L2, one
 * on all three: L1 has 2680 W, of which the third car takes a third of its power. In proportion to
 * what each can use, L1: 3680 x + 3680 x = 2680, x = 36.4 %: 1340 W for a, but that is less than
 * its step, so 1380 W, and 1300 W of L1 for c: 3900 W, less than its step of 4140 W (1380 W on L1).
 * So a has its step, c does not: a gets 2680 W, b all of its 3680 W. */
static void a_fuse_holds_on_each_phase(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 1);
    struct split_device *c = site_car(&site, "c", -1);
    struct limit *limit = site_limit(&site, SCOPE_CONNECTION);
    limit->current[0] = limit->current[1] = limit->current[2] = 16;
    site_meter(&site, 1000);
    site.levels[0].metered[1] = 1000;
    site.levels[0].metered[2] = site.levels[0].metered[3] = 0;
    site_split(&site);
    assert_int_equal(a->share.hi, 2680);
    assert_int_equal(b->share.hi, 3680);
    assert_int_equal(c->share.hi, 0);
    assert_int_equal(c->sides[0].why, SPLIT_NO_STEP);
}

/* 20 A, nothing else: two cars on L1 (2300 W each), one on L2 (3680 W, all it can use). */
static void cars_on_different_phases_do_not_take_from_each_other(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    struct split_device *c = site_car(&site, "c", 1);
    struct limit *limit = site_limit(&site, SCOPE_CONTROLLABLE);
    limit->current[0] = limit->current[1] = limit->current[2] = 20;
    site_split(&site);
    assert_int_equal(a->share.hi, 2300);
    assert_int_equal(b->share.hi, 2300);
    assert_int_equal(c->share.hi, 3680);
}

/* Without the phases of the meter the whole of what is declared may be on each phase. */
static void a_meter_without_phases_leaves_what_was_declared_on_each(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *car = site_car(&site, "a", 2);
    struct limit *limit = site_limit(&site, SCOPE_CONNECTION);
    limit->current[0] = limit->current[1] = limit->current[2] = 20; /* 4600 W */
    site.levels[0].declared = 2000;
    site_meter(&site, 600);
    site.levels[0].metered[1] = site.levels[0].metered[2] = site.levels[0].metered[3] = NAN;
    site_split(&site);
    assert_int_equal(car->share.hi, 2600);
}

/* --- nested ----------------------------------------------------------------------------------- */

/* The site has 12000 W, the garage in it 6000 W. Two cars in the garage and one outside, 3680 W
 * each (11040 W): the garage's have 3000 W each, the third all. At 9000 W for the site: a common
 * part of 9000 / 11040 would be 3000 W each: all three have 3000 W. At 6000 W: 2000 W each. */
static void every_level_holds(void **state) {
    (void)state;
    struct split_site site = site_new();
    site_level(&site, 0)->limits[SCOPE_CONTROLLABLE].max = 6000;
    struct split_device *a = site_car(&site, "a", 0);
    struct split_device *b = site_car(&site, "b", 0);
    struct split_device *c = site_car(&site, "c", 0);
    a->level = b->level = 1;
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 12000;
    site_split(&site);
    assert_int_equal(a->share.hi, 3000);
    assert_int_equal(b->share.hi, 3000);
    assert_int_equal(c->share.hi, 3680);
    site_confirm(&site);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 9000;
    site_split(&site);
    assert_int_equal(a->share.hi, 3000);
    assert_int_equal(c->share.hi, 3000);
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 6000;
    site_split(&site);
    assert_int_equal(a->share.hi, 2000);
    assert_int_equal(b->share.hi, 2000);
    assert_int_equal(c->share.hi, 2000);
}

/* Each level has a meter of its own; a device below counts in both readings. */
static void each_level_has_its_own_uncontrolled_load(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_level *garage = site_level(&site, 0);
    struct split_device *car = site_car(&site, "a", 0);
    car->level = 1;
    car->power = 2000;
    car->held.hi = 2000;
    garage->limits[SCOPE_CONNECTION].max = 4000;
    garage->meter = SPLIT_METER_FRESH;
    garage->metered[0] = 2500; /* 500 W of light: 3500 W */
    garage->sampled_ms = site.now_ms;
    site_limit(&site, SCOPE_CONNECTION)->max = 6000;
    site_meter(&site, 5000); /* 3000 W of house and light: 3000 W */
    site_split(&site);
    assert_int_equal(car->share.hi, 3000);
}

/* --- export ----------------------------------------------------------------------------------- */

/* At most 3000 W out. The roof makes 9000 W, the house takes 1000 W, the battery gives 500 W: 8500
 * W go out. 4000 W may be made beside the house. First: the battery stops giving and the roof is
 * held to 4000 W, at once. Of the 5000 W that are too many the battery may take 2000 W and the car
 * 3000 W (its step is 1380 W): both are raised. As they are seen to take it, the roof is released.
 */
static void against_export_battery_then_car_then_roof(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *roof = site_device(&site, "a", DEVICE_INVERTER, -9000, 0);
    struct split_device *battery = site_device(&site, "b", DEVICE_BATTERY, -2000, 2000);
    struct split_device *car = site_car(&site, "c", 0);
    site.levels[0].window_ms = 0;
    site_limit(&site, SCOPE_CONNECTION)->min = -3000;
    car->wants = (struct range){0, 0}; /* nobody wants it to charge; it may */
    roof->power = -9000;
    roof->held.lo = -9000;
    battery->power = -500;
    battery->held = (struct range){-2000, 2000};
    site_meter(&site, -8500);
    site_split(&site);
    assert_int_equal(roof->share.lo, -4000);
    assert_int_equal(battery->share.lo, 2000);
    assert_int_equal(car->share.lo, 3000);
    assert_int_equal(car->sides[1].why, SPLIT_RAISED);

    roof->held.lo = -4000; /* all have heard; the loads have not followed yet */
    battery->held = (struct range){0, 2000};
    car->held = (struct range){0, 3680};
    roof->power = -4000;
    battery->power = 0;
    site_wait(&site, 1000);
    site_meter(&site, -3000);
    site_split(&site);
    assert_int_equal(roof->share.lo, -4000);
    assert_int_equal(battery->share.lo, 2000); /* what it made before is remembered */
    assert_int_equal(car->share.lo, 3000);

    battery->power = 2000;
    car->power = 3000;
    site_wait(&site, 1000);
    site_meter(&site, 2000); /* 1000 + 2000 + 3000 - 4000 */
    site_split(&site);
    assert_int_equal(roof->share.lo, -9000);
    assert_int_equal(battery->share.lo, 2000);
}

/* The battery is enough for 1500 W: the car is left alone, for less than its step is not begun. */
static void only_who_is_needed_rises(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *roof = site_device(&site, "a", DEVICE_INVERTER, -9000, 0);
    struct split_device *battery = site_device(&site, "b", DEVICE_BATTERY, -2000, 2000);
    struct split_device *car = site_car(&site, "c", 0);
    site_limit(&site, SCOPE_CONNECTION)->min = -3000;
    car->wants = (struct range){0, 0};
    roof->power = -5500;
    site_meter(&site, -4500);
    site_split(&site);
    assert_int_equal(battery->share.lo, 1500);
    assert_true(car->rise == 0);
}

/* What a set point or a maximum forbids does not rise, and what the import limit leaves is the
 * most. */
static void loads_rise_only_where_they_may(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *roof = site_device(&site, "a", DEVICE_INVERTER, -9000, 0);
    struct split_device *battery = site_device(&site, "b", DEVICE_BATTERY, -2000, 2000);
    struct split_device *car = site_car(&site, "c", 0);
    site_limit(&site, SCOPE_CONTROLLABLE)->min = -3000;
    site_limit(&site, SCOPE_CONTROLLABLE)->max = 1200;
    battery->may = (struct range){-2000, 700};
    battery->wants = (struct range){-2000, 700};
    car->may = car->wants = (struct range){0, 0};
    roof->power = -9000;
    site_split(&site);
    assert_int_equal(battery->share.lo, 700);
    assert_true(car->rise == 0);
    assert_int_equal(roof->share.lo, -3000);
}

/* At night: a feed-in limit of 0 W, the roof makes nothing, the house takes 2000 W: the battery may
 * give what the house takes, less what is kept for the roof (a tenth of its rating). */
static void a_roof_that_makes_nothing_does_not_keep_the_battery_from_giving(void **state) {
    (void)state;
    struct split_site site = site_new();
    struct split_device *roof = site_device(&site, "a", DEVICE_INVERTER, -9000, 0);
    struct split_device *battery = site_device(&site, "b", DEVICE_BATTERY, -5000, 5000);
    site_limit(&site, SCOPE_CONNECTION)->min = 0;
    roof->held.lo = -9000;
    site_meter(&site, 2000);
    site_split(&site);
    assert_int_equal(battery->share.lo, 0); /* until the roof has confirmed its 900 W */
    site_confirm(&site);
    site_split(&site);
    assert_int_equal(battery->share.lo, -1100);
    assert_int_equal(roof->share.lo, -900);
    assert_true(battery->rise == 0);
}

/* --- many ------------------------------------------------------------------------------------- */

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_nobody_has_a_share),
        cmocka_unit_test(equals_have_equal_parts_when_the_steps_allow),
        cmocka_unit_test(parts_are_in_proportion_to_what_each_can_use),
        cmocka_unit_test(a_step_is_the_least_part),
        cmocka_unit_test(the_lower_share_rank_is_served_first),
        cmocka_unit_test(fixed_minima_come_first_and_battery_charging_yields_first),
        cmocka_unit_test(what_is_left_over_is_offered),
        cmocka_unit_test(a_silent_car_counts_once_with_the_largest),
        cmocka_unit_test(at_the_connection_a_silent_car_is_not_counted_twice),
        cmocka_unit_test(a_stubborn_car_counts_as_measured_and_is_told_what_is_its_due),
        cmocka_unit_test(a_stubborn_one_that_never_confirmed_anything_may_still_do_its_nameplate),
        cmocka_unit_test(a_silent_meter_leaves_what_was_declared),
        cmocka_unit_test(the_uncontrolled_load_is_what_is_left_of_the_reading),
        cmocka_unit_test(a_fall_of_the_load_is_believed_later_than_a_rise),
        cmocka_unit_test(a_limit_of_the_controllable_devices_does_not_see_the_house),
        cmocka_unit_test(at_the_connection_measured_production_makes_room),
        cmocka_unit_test(of_two_cars_one_charges_and_the_longest_waiting_goes_first),
        cmocka_unit_test(the_longest_waiting_goes_before_the_lesser_id),
        cmocka_unit_test(a_load_that_goes_up_and_down_does_not_switch_the_car),
        cmocka_unit_test(after_its_rest_a_car_needs_some_more_than_its_step),
        cmocka_unit_test(a_changed_limit_lets_nobody_rest),
        cmocka_unit_test(a_raise_waits_for_the_reduction_to_be_confirmed),
        cmocka_unit_test(a_raise_takes_at_once_what_is_free),
        cmocka_unit_test(one_that_was_never_told_anything_counts_with_its_nameplate),
        cmocka_unit_test(a_fuse_holds_on_each_phase),
        cmocka_unit_test(cars_on_different_phases_do_not_take_from_each_other),
        cmocka_unit_test(a_meter_without_phases_leaves_what_was_declared_on_each),
        cmocka_unit_test(every_level_holds),
        cmocka_unit_test(each_level_has_its_own_uncontrolled_load),
        cmocka_unit_test(against_export_battery_then_car_then_roof),
        cmocka_unit_test(only_who_is_needed_rises),
        cmocka_unit_test(loads_rise_only_where_they_may),
        cmocka_unit_test(a_roof_that_makes_nothing_does_not_keep_the_battery_from_giving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
