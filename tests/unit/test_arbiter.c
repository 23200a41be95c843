#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arbiter.h"
#include "base/buf.h"

#define SET(w)     .has_set = true, .set = (w)
#define MIN(w)     .has_min = true, .min = (w)
#define MAX(w)     .has_max = true, .max = (w)
#define MIN_SOC(p) .has_min_soc = true, .min_soc = (p)
#define MAX_SOC(p) .has_max_soc = true, .max_soc = (p)
#define CLAMP      .on_conflict = ON_CONFLICT_CLAMP
#define EXCLUSIVE  .exclusive = true
#define FALLBACK   .priority = PRIORITY_FALLBACK, CLAMP

struct run {
    struct ranges allowed;
    double soc;
    struct wish wishes[8];
    size_t count;
    struct decision decision;
    struct verdict verdicts[8];
};

static struct run battery(void) {
    return (struct run){.allowed = ranges_of(-5000, 5000), .soc = 50};
}

static struct run charger(void) {
    return (struct run){.allowed = ranges_of(0, 11000), .soc = NAN};
}

static struct run car_on_three_phases(void) {
    struct run run = {.allowed = ranges_of(0, 0), .soc = NAN};
    assert_true(ranges_add(&run.allowed, 4140, 11040));
    return run;
}

static void run_again(struct run *run) {
    struct decide_input input = {
        .allowed = &run->allowed, .wishes = run->wishes, .wish_count = run->count, .soc = run->soc};
    for (size_t i = 1; i < run->count; i++)
        assert_true(arbiter_order(&run->wishes[i - 1], &run->wishes[i]) <= 0);
    memset(&run->decision, 0x5a, sizeof run->decision);
    memset(run->verdicts, 0x5a, sizeof run->verdicts);
    decide(&input, &run->decision, run->verdicts);
}

static void run_wishes(struct run *run, const struct wish *wishes, size_t count) {
    memcpy(run->wishes, wishes, count * sizeof *wishes);
    run->count = count;
    run_again(run);
}

/* In the order of priorities; the test says so itself. */
#define RUN(run, ...)                                                                              \
    do {                                                                                           \
        const struct wish wishes_[] = {__VA_ARGS__};                                               \
        run_wishes(&(run), wishes_, sizeof wishes_ / sizeof wishes_[0]);                           \
    } while (0)

static void assert_range(const struct run *run, int32_t min, int32_t max) {
    assert_int_equal(run->decision.min, min);
    assert_int_equal(run->decision.max, max);
}

static void assert_set(const struct run *run, int32_t set) {
    assert_true(run->decision.has_set);
    assert_int_equal(run->decision.set, set);
}

static void assert_no_set(const struct run *run) {
    assert_false(run->decision.has_set);
    assert_int_equal(run->decision.set_by, BY_NOBODY);
}

static void assert_verdict(const struct run *run, int index, enum outcome outcome, int against) {
    assert_int_equal(run->verdicts[index].outcome, outcome);
    assert_int_equal(run->verdicts[index].against, against);
}

/* --- ARBITRATION section 10, the rows without time -------------------------------------------- */

static void row_1_a_range_of_higher_priority_discards_the_set_point(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 1, MIN(-2000), MAX(0)}, {.priority = 0, SET(2000)});
    assert_range(&run, -2000, 0);
    assert_no_set(&run);
    assert_verdict(&run, 0, OUTCOME_APPLIED, BY_NOBODY);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
}

static void row_2_of_two_set_points_the_higher_priority_wins(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 3001, SET(-2000), MIN(-2000), MAX(0)},
        {.priority = 3000, SET(-1500), MIN(-2000), MAX(0)});
    assert_set(&run, -2000);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
}

static void row_3_a_range_without_set_point(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 10, MAX(0), MIN(-2000)});
    assert_range(&run, -2000, 0);
    assert_no_set(&run);
    assert_int_equal(run.decision.min_by, 0);
    assert_int_equal(run.decision.max_by, 0);
}

static void row_4_production_limited(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(-10000, 0), .soc = NAN};
    RUN(run, {.priority = 10, MIN(-7000)});
    assert_range(&run, -7000, 0);
    assert_int_equal(run.decision.min_by, 0);
    assert_int_equal(run.decision.max_by, BY_DEVICE);
}

static void row_5_a_set_point_alone(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 2000, SET(2000)});
    assert_set(&run, 2000);
    assert_range(&run, 0, 11000);
    assert_int_equal(run.decision.set_by, 0);
    assert_false(run.decision.limited);
}

static void row_6_a_set_point_above_the_limit_is_discarded(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {.priority = 2000, SET(11000)});
    assert_range(&run, 0, 4200);
    assert_no_set(&run);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
}

static void row_7_a_set_point_above_the_limit_is_clamped(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {.priority = 2000, SET(11000), CLAMP});
    assert_set(&run, 4200);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
    assert_true(run.verdicts[1].has_set);
    assert_int_equal(run.verdicts[1].set, 4200);
    assert_int_equal(run.decision.set_by, 1);
    assert_int_equal(run.decision.max_by, 0);
    assert_false(run.decision.limited);
}

static void row_8_a_set_point_inside_the_limit_is_applied(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {.priority = 2000, SET(3000)});
    assert_set(&run, 3000);
    assert_verdict(&run, 0, OUTCOME_APPLIED, BY_NOBODY);
    assert_verdict(&run, 1, OUTCOME_APPLIED, BY_NOBODY);
}

static void row_9_the_device_limits_a_set_point(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(0, 3700), .soc = NAN};
    RUN(run, {.priority = 5, SET(11000)});
    assert_set(&run, 3700);
    assert_true(run.decision.limited);
    assert_int_equal(run.decision.walked_set, 11000);
    assert_verdict(&run, 0, OUTCOME_APPLIED, BY_NOBODY);
}

static void row_10_zero_is_a_value(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 7, SET(0)});
    assert_set(&run, 0);
    assert_int_equal(run.decision.set_by, 0);
}

static void row_11_of_equal_priorities_the_later_accepted_wins(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 5, .rank = 2, SET(2000)}, {.priority = 5, .rank = 1, SET(1000)});
    assert_set(&run, 2000);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
}

static void row_13_the_reserve_holds_a_discharging_set_point_at_zero(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 10;
    RUN(run, {.priority = 5, MIN_SOC(10), SET(-1000)});
    assert_set(&run, 0);
    assert_range(&run, 0, 5000);
    assert_verdict(&run, 0, OUTCOME_APPLIED, BY_NOBODY);
    assert_true(run.verdicts[0].gate_min);
    assert_int_equal(run.decision.min_by, 0);
}

static void row_14_a_limit_of_zero_never_gives_the_least_step(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(0, 0), .soc = NAN};
    assert_true(ranges_add(&run.allowed, 1380, 11000));
    RUN(run, {.priority = 3000, MAX(0)});
    assert_range(&run, 0, 0);
    assert_false(run.decision.unmet);
}

static void row_15_a_limit_below_the_least_step_switches_off(void **state) {
    (void)state;
    struct run run = car_on_three_phases();
    RUN(run, {.priority = 3000, MAX(4000)}, {.priority = 500, SET(6000), CLAMP});
    assert_set(&run, 0);
    assert_range(&run, 0, 0);
    assert_true(run.decision.limited);
    assert_int_equal(run.decision.walked_set, 4000);
    assert_int_equal(run.decision.max_by, 0);
}

static void row_16_a_set_point_in_a_gap_goes_below_it(void **state) {
    (void)state;
    struct run run = car_on_three_phases();
    assert_true(ranges_add(&run.allowed, 1380, 3680));
    RUN(run, {.priority = 5, SET(4000)});
    assert_set(&run, 3680);
    assert_true(run.decision.limited);
}

static void row_17_a_limit_lifts_nothing_above_the_fallback(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {FALLBACK, SET(0)});
    assert_set(&run, 0);
    assert_int_equal(run.decision.set_by, 1);
}

static void row_18_a_device_that_derates_is_followed_without_flapping(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(-5000, 4300), .soc = 50};
    RUN(run, {.priority = 3000, MAX(4200)}, {.priority = 2000, SET(5000), CLAMP});
    assert_set(&run, 4200);
    run.allowed = ranges_of(-5000, 4100);
    run_again(&run);
    assert_set(&run, 4100);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
    assert_true(run.decision.limited);
    assert_int_equal(run.decision.max_by, BY_DEVICE);
}

static void row_19_the_reserve_stays_though_its_set_point_is_discarded(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 15;
    RUN(run, {.priority = 3000, MAX(2500)}, {.priority = 2000, SET(3000), MIN_SOC(20)});
    assert_range(&run, 0, 2500);
    assert_no_set(&run);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
    assert_true(run.verdicts[1].gate_min);
    assert_int_equal(run.decision.min_by, 1);
}

static void row_20_below_an_exclusive_one_nothing_is_considered(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 5000, EXCLUSIVE, MAX(11000)}, {.priority = 500, SET(1400)});
    assert_range(&run, 0, 11000);
    assert_no_set(&run);
    assert_verdict(&run, 1, OUTCOME_EXCLUDED, 0);
}

static void row_21_a_device_that_must_run_leaves_a_limit_unmet(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(500, 3000), .soc = NAN};
    RUN(run, {.priority = 3000, MAX(0)});
    assert_true(run.decision.unmet);
    assert_set(&run, 500);
    assert_range(&run, 500, 500);
    assert_int_equal(run.decision.within.count, 1);
    assert_int_equal(run.decision.within.items[0].lo, 500);
    assert_int_equal(run.decision.within.items[0].hi, 500);
    assert_int_equal(run.decision.set_by, BY_DEVICE);
    assert_int_equal(run.decision.walked_max, 0);
    assert_int_equal(run.decision.walked_max_by, 0);
    assert_int_equal(run.decision.walked_min_by, BY_NOBODY);
    assert_false(run.decision.limited);
}

/* --- order ------------------------------------------------------------------------------------ */

static void priority_goes_before_rank(void **state) {
    (void)state;
    struct wish high = {.priority = 2, .rank = 1};
    struct wish low = {.priority = 1, .rank = UINT64_MAX};
    struct wish late = {.priority = 2, .rank = 2};
    assert_true(arbiter_order(&high, &low) < 0);
    assert_true(arbiter_order(&low, &high) > 0);
    assert_true(arbiter_order(&late, &high) < 0);
    assert_int_equal(arbiter_order(&high, &high), 0);
}

static void the_extreme_priorities_do_not_overflow(void **state) {
    (void)state;
    struct wish most = {.priority = PRIORITY_MAXIMUM};
    struct wish fallback = {.priority = PRIORITY_FALLBACK};
    assert_true(arbiter_order(&most, &fallback) < 0);
    assert_true(arbiter_order(&fallback, &most) > 0);
}

/* --- the walk --------------------------------------------------------------------------------- */

static void without_wishes_the_device_is_free(void **state) {
    (void)state;
    struct run run = battery();
    run.count = 0;
    run_again(&run);
    assert_range(&run, -5000, 5000);
    assert_no_set(&run);
    assert_int_equal(run.decision.min_by, BY_DEVICE);
    assert_int_equal(run.decision.max_by, BY_DEVICE);
    assert_int_equal(run.decision.walked_min, -POWER_UNBOUNDED);
    assert_int_equal(run.decision.walked_max, POWER_UNBOUNDED);
    assert_false(run.decision.unmet);
}

static void a_fallback_without_opinion_changes_nothing(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {FALLBACK});
    assert_range(&run, -5000, 5000);
    assert_no_set(&run);
    assert_verdict(&run, 0, OUTCOME_APPLIED, BY_NOBODY);
}

static void ranges_narrow_each_other_and_each_side_has_its_owner(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 3, MAX(3000)}, {.priority = 2, MIN(-1000), MAX(4000)},
        {.priority = 1, MIN(-2000), MAX(2000)});
    assert_range(&run, -1000, 2000);
    assert_int_equal(run.decision.min_by, 1);
    assert_int_equal(run.decision.max_by, 2);
    for (int i = 0; i < 3; i++)
        assert_verdict(&run, i, OUTCOME_APPLIED, BY_NOBODY);
    assert_int_equal(run.verdicts[0].hi, 3000);
    assert_int_equal(run.verdicts[1].hi, 3000);
    assert_int_equal(run.verdicts[1].lo, -1000);
    assert_int_equal(run.verdicts[2].hi, 2000);
}

static void who_asks_for_the_same_bound_does_not_become_its_owner(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(1000)}, {.priority = 1, MAX(1000)});
    assert_int_equal(run.decision.max_by, 0);
}

static void a_bound_at_the_edge_of_the_device_is_the_wishes(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MIN(-5000), MAX(5001)});
    assert_int_equal(run.decision.min_by, 0);
    assert_int_equal(run.decision.max_by, BY_DEVICE);
    RUN(run, {.priority = 2, MIN(-5001), MAX(5000)});
    assert_int_equal(run.decision.min_by, BY_DEVICE);
    assert_int_equal(run.decision.max_by, 0);
}

static void touching_ranges_leave_one_value_and_no_conflict(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(1000)}, {.priority = 1, MIN(1000)});
    assert_range(&run, 1000, 1000);
    assert_verdict(&run, 1, OUTCOME_APPLIED, BY_NOBODY);
}

static void ranges_one_watt_apart_conflict(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(1000)}, {.priority = 1, MIN(1001)});
    assert_range(&run, -5000, 1000);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
}

static void a_range_that_excludes_the_taken_set_point_conflicts_with_its_owner(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 3, MAX(4000)}, {.priority = 2, SET(2000)}, {.priority = 1, MAX(1999)});
    assert_set(&run, 2000);
    assert_range(&run, -5000, 4000);
    assert_verdict(&run, 2, OUTCOME_DISCARDED, 1);
}

static void a_range_that_just_contains_the_taken_set_point_is_applied(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, SET(2000)}, {.priority = 1, MIN(2000), MAX(2000)});
    assert_set(&run, 2000);
    assert_range(&run, 2000, 2000);
    assert_verdict(&run, 1, OUTCOME_APPLIED, BY_NOBODY);
}

static void a_discarded_one_has_no_effect_at_all(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(1000)}, {.priority = 1, SET(3000), MIN(-100)});
    assert_range(&run, -5000, 1000);
    assert_no_set(&run);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
    assert_false(run.verdicts[1].has_set);
}

static void below_a_discarded_one_the_next_has_its_turn(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 3, MAX(1000)}, {.priority = 2, SET(3000)}, {.priority = 1, SET(500)});
    assert_set(&run, 500);
    assert_int_equal(run.decision.set_by, 2);
}

static void repeating_the_taken_set_point_is_no_conflict(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, SET(500)}, {.priority = 1, SET(500), MAX(900)});
    assert_set(&run, 500);
    assert_range(&run, -5000, 900);
    assert_int_equal(run.decision.set_by, 0);
    assert_verdict(&run, 1, OUTCOME_APPLIED, BY_NOBODY);
    assert_true(run.verdicts[1].has_set);
}

static void of_set_point_and_bound_the_set_point_is_named(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 3, MAX(1000)}, {.priority = 2, SET(500)}, {.priority = 1, SET(2000)});
    assert_verdict(&run, 2, OUTCOME_DISCARDED, 1);
}

static void the_owner_of_the_bound_that_is_hit_is_named(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 4, MAX(1000)}, {.priority = 3, MIN(-1000)}, {.priority = 2, SET(-2000)},
        {.priority = 1, SET(2000)});
    assert_verdict(&run, 2, OUTCOME_DISCARDED, 1);
    assert_verdict(&run, 3, OUTCOME_DISCARDED, 0);
}

static void a_range_the_wrong_way_round_is_discarded_even_with_clamp(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 1, MIN(100), MAX(-100), CLAMP});
    assert_range(&run, -5000, 5000);
    assert_verdict(&run, 0, OUTCOME_DISCARDED, 0);
}

/* --- clamp ------------------------------------------------------------------------------------ */

static void a_range_wholly_above_is_moved_to_the_upper_edge(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MIN(-1000), MAX(1000)}, {.priority = 1, MIN(2000), MAX(3000), CLAMP});
    assert_range(&run, 1000, 1000);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
    assert_int_equal(run.decision.min_by, 1);
    assert_int_equal(run.decision.max_by, 0);
}

static void a_range_wholly_below_is_moved_to_the_lower_edge(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MIN(-1000), MAX(1000)},
        {.priority = 1, MIN(-3000), MAX(-2000), CLAMP});
    assert_range(&run, -1000, -1000);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
}

static void a_one_sided_range_is_clamped_on_its_side(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(-500)}, {.priority = 1, MIN(0), CLAMP});
    assert_range(&run, -500, -500);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
}

static void an_overlapping_range_with_clamp_is_applied_as_given(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(1000)}, {.priority = 1, MIN(500), MAX(3000), CLAMP});
    assert_range(&run, 500, 1000);
    assert_verdict(&run, 1, OUTCOME_APPLIED, BY_NOBODY);
}

static void a_clamped_range_widens_to_the_taken_set_point(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, SET(500)}, {.priority = 1, MIN(2000), CLAMP});
    assert_set(&run, 500);
    assert_range(&run, 500, 5000);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
    RUN(run, {.priority = 2, SET(500)}, {.priority = 1, MAX(-2000), CLAMP});
    assert_set(&run, 500);
    assert_range(&run, -5000, 500);
}

static void a_set_point_below_the_interval_is_clamped_up(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MIN(-300)}, {.priority = 1, SET(-2000), CLAMP});
    assert_set(&run, -300);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
}

static void a_clamped_set_point_stays_inside_its_own_moved_range(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, MAX(1000)}, {.priority = 1, SET(2000), MIN(500), MAX(2500), CLAMP});
    assert_set(&run, 1000);
    assert_range(&run, 500, 1000);
}

static void another_set_point_overrides_and_the_range_still_narrows(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, SET(500)}, {.priority = 1, SET(800), MIN(-100), MAX(900), CLAMP});
    assert_set(&run, 500);
    assert_range(&run, -100, 900);
    assert_verdict(&run, 1, OUTCOME_OVERRIDDEN, 0);
    assert_false(run.verdicts[1].has_set);
}

static void overridden_wins_over_clamped(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 2, SET(500)}, {.priority = 1, SET(2000), MIN(1000), MAX(3000), CLAMP});
    assert_set(&run, 500);
    assert_range(&run, 500, 3000);
    assert_verdict(&run, 1, OUTCOME_OVERRIDDEN, 0);
}

static void a_clamped_range_that_repeats_the_taken_set_point_is_clamped(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 10;
    /* its gate moves -1000 to 0, which the taken set point is; its range excludes it */
    RUN(run, {.priority = 2, SET(0)},
        {.priority = 1, SET(-1000), MIN(-2000), MAX(-500), MIN_SOC(20), CLAMP});
    assert_set(&run, 0);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
    assert_true(run.verdicts[1].has_set);
    assert_int_equal(run.verdicts[1].set, 0);
}

static void the_fallback_is_overridden_by_any_set_point(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 0, SET(6000)}, {FALLBACK, SET(0), MAX(1000)});
    assert_set(&run, 6000);
    assert_range(&run, 0, 6000);
    assert_verdict(&run, 1, OUTCOME_OVERRIDDEN, 0);
}

static void a_fallback_above_the_limit_is_clamped_to_it(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {FALLBACK, SET(6000)});
    assert_set(&run, 4200);
    assert_verdict(&run, 1, OUTCOME_CLAMPED, 0);
}

/* --- exclusive -------------------------------------------------------------------------------- */

static void the_fallback_is_walked_below_an_exclusive_one(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 5000, EXCLUSIVE, MAX(6000)}, {.priority = 500, SET(1400)},
        {FALLBACK, SET(0)});
    assert_set(&run, 0);
    assert_verdict(&run, 1, OUTCOME_EXCLUDED, 0);
    assert_verdict(&run, 2, OUTCOME_APPLIED, BY_NOBODY);
}

static void an_exclusive_one_that_was_discarded_excludes_nobody(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 5000, MAX(4200)}, {.priority = 4000, EXCLUSIVE, SET(6000)},
        {.priority = 500, SET(1400)});
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
    assert_set(&run, 1400);
}

static void an_exclusive_one_that_was_clamped_excludes(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 5000, MAX(4200)}, {.priority = 4000, EXCLUSIVE, SET(6000), CLAMP},
        {.priority = 500, MAX(1000)});
    assert_set(&run, 4200);
    assert_verdict(&run, 2, OUTCOME_EXCLUDED, 1);
}

static void what_stands_above_an_exclusive_one_still_holds(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 6000, MAX(4200)}, {.priority = 5000, EXCLUSIVE, SET(3000)});
    assert_set(&run, 3000);
    assert_range(&run, 0, 4200);
}

static void of_two_exclusive_ones_the_first_excludes_the_second(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 2, EXCLUSIVE, MAX(4200)}, {.priority = 1, EXCLUSIVE, SET(3000)},
        {.priority = 0, SET(1)});
    assert_no_set(&run);
    assert_verdict(&run, 1, OUTCOME_EXCLUDED, 0);
    assert_verdict(&run, 2, OUTCOME_EXCLUDED, 0);
}

static void gates_below_an_exclusive_one_are_not_considered(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 5;
    RUN(run, {.priority = 2, EXCLUSIVE, MAX(4200)}, {.priority = 1, MIN_SOC(20)});
    assert_range(&run, -5000, 4200);
    assert_false(run.verdicts[1].gate_min);
    assert_false(run.wishes[1].min_gate_closed);
}

/* --- state of charge -------------------------------------------------------------------------- */

static bool min_gate_at(struct run *run, double soc) {
    run->soc = soc;
    run_again(run);
    assert_int_equal(run->wishes[0].min_gate_closed, run->verdicts[0].gate_min);
    assert_int_equal(run->decision.min, run->verdicts[0].gate_min ? 0 : -5000);
    return run->verdicts[0].gate_min;
}

static bool max_gate_at(struct run *run, double soc) {
    run->soc = soc;
    run_again(run);
    assert_int_equal(run->wishes[0].max_gate_closed, run->verdicts[0].gate_max);
    assert_int_equal(run->decision.max, run->verdicts[0].gate_max ? 0 : 5000);
    return run->verdicts[0].gate_max;
}

static void the_min_gate_closes_at_the_bound_and_opens_a_point_above(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 1, MIN_SOC(20)});
    assert_false(min_gate_at(&run, 20.9));
    assert_false(min_gate_at(&run, 20.01));
    assert_true(min_gate_at(&run, 20));
    assert_true(min_gate_at(&run, 3));
    assert_true(min_gate_at(&run, 20.99));
    assert_false(min_gate_at(&run, 21));
    assert_false(min_gate_at(&run, 20.5));
}

static void the_max_gate_closes_at_the_bound_and_opens_a_point_below(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 1, MAX_SOC(90)});
    assert_false(max_gate_at(&run, 89.99));
    assert_true(max_gate_at(&run, 90));
    assert_true(max_gate_at(&run, 100));
    assert_true(max_gate_at(&run, 89.01));
    assert_false(max_gate_at(&run, 89));
    assert_false(max_gate_at(&run, 89.5));
}

static void an_unknown_state_of_charge_closes_both_gates(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = NAN;
    RUN(run, {.priority = 1, MIN_SOC(20), MAX_SOC(90)});
    assert_range(&run, 0, 0);
    assert_true(run.wishes[0].min_gate_closed);
    assert_true(run.wishes[0].max_gate_closed);
    run.soc = 50;
    run_again(&run);
    assert_range(&run, -5000, 5000);
}

static void without_gates_an_unknown_state_of_charge_does_not_matter(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = NAN;
    RUN(run, {.priority = 1, SET(-3000)});
    assert_set(&run, -3000);
}

static void a_reserve_lets_the_battery_charge(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 10;
    RUN(run, {.priority = 5, MIN_SOC(10), SET(1000)});
    assert_set(&run, 1000);
    assert_range(&run, 0, 5000);
}

static void a_full_battery_may_discharge(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 95;
    RUN(run, {.priority = 5, MAX_SOC(90), SET(-1000)});
    assert_set(&run, -1000);
    assert_range(&run, -5000, 0);
}

static void a_charging_set_point_beyond_the_closed_max_gate_becomes_zero(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 95;
    RUN(run, {.priority = 5, MAX_SOC(90), SET(4000)});
    assert_set(&run, 0);
    assert_verdict(&run, 0, OUTCOME_APPLIED, BY_NOBODY);
    assert_int_equal(run.verdicts[0].set, 0);
}

static void a_gate_conflicts_with_its_carriers_own_range(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 5;
    RUN(run, {.priority = 5, MIN_SOC(10), SET(-1000), MIN(-2000), MAX(-500)});
    assert_range(&run, 0, 5000);
    assert_no_set(&run);
    assert_verdict(&run, 0, OUTCOME_DISCARDED, 0);
}

static void a_gate_never_excludes_a_set_point_of_higher_priority(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 5;
    RUN(run, {.priority = 6, SET(-1500)}, {.priority = 5, MIN_SOC(10)});
    assert_set(&run, -1500);
    assert_range(&run, -1500, 5000);
}

static void a_gate_never_empties_an_interval_of_higher_priority(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 5;
    RUN(run, {.priority = 6, MIN(-3000), MAX(-1000)}, {.priority = 5, MIN_SOC(10)});
    assert_range(&run, -1000, -1000);
    assert_false(run.decision.unmet);
}

static void a_gate_of_higher_priority_discards_a_discharging_set_point(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 5;
    RUN(run, {.priority = 6, MIN_SOC(10)}, {.priority = 5, SET(-1000)});
    assert_range(&run, 0, 5000);
    assert_no_set(&run);
    assert_verdict(&run, 1, OUTCOME_DISCARDED, 0);
}

static void both_gates_of_one_carrier_hold_it_at_zero(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 50;
    RUN(run, {.priority = 6, MIN_SOC(50), MAX_SOC(50)});
    assert_range(&run, 0, 0);
    assert_true(run.verdicts[0].gate_min && run.verdicts[0].gate_max);
}

static void the_gate_of_a_discarded_exclusive_one_stays(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 5;
    RUN(run, {.priority = 6, MAX(1000)}, {.priority = 5, EXCLUSIVE, SET(2000), MIN_SOC(10)},
        {.priority = 4, SET(700)});
    assert_range(&run, 0, 1000);
    assert_set(&run, 700);
}

/* --- what the device can do ------------------------------------------------------------------- */

static void within_keeps_the_gaps_and_the_range_is_its_hull(void **state) {
    (void)state;
    struct run run = car_on_three_phases();
    assert_true(ranges_add(&run.allowed, 1380, 3680));
    RUN(run, {.priority = 5, MAX(5000)});
    assert_int_equal(run.decision.within.count, 3);
    assert_int_equal(run.decision.within.items[2].hi, 5000);
    assert_range(&run, 0, 5000);
    assert_int_equal(run.decision.max_by, 0);
}

static void a_bound_in_a_gap_is_still_the_wishes(void **state) {
    (void)state;
    struct run run = car_on_three_phases();
    RUN(run, {.priority = 5, MAX(1000)});
    assert_range(&run, 0, 0);
    assert_int_equal(run.decision.max_by, 0);
    assert_int_equal(run.decision.min_by, BY_DEVICE);
}

static void an_interval_inside_a_gap_is_unmet_and_gives_zero(void **state) {
    (void)state;
    struct run run = car_on_three_phases();
    RUN(run, {.priority = 5, MIN(1000), MAX(2000), SET(1500)});
    assert_true(run.decision.unmet);
    assert_set(&run, 0);
    assert_range(&run, 0, 0);
    assert_false(run.decision.limited);
    assert_int_equal(run.decision.walked_set, 1500);
    assert_int_equal(run.decision.walked_min, 1000);
    assert_int_equal(run.decision.walked_min_by, 0);
}

static void an_unmet_demand_for_production_gives_zero(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 5, MAX(-100)});
    assert_true(run.decision.unmet);
    assert_set(&run, 0);
}

static void a_set_point_below_the_least_power_of_a_must_run_is_the_least(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(500, 3000), .soc = NAN};
    RUN(run, {.priority = 5, SET(0)});
    assert_set(&run, 500);
    assert_true(run.decision.limited);
    assert_false(run.decision.unmet);
}

static void zero_outside_the_walked_range_is_not_taken(void **state) {
    (void)state;
    struct run run = {.allowed = ranges_of(0, 0), .soc = NAN};
    assert_true(ranges_add(&run.allowed, 4140, 11040));
    RUN(run, {.priority = 5, MIN(1000)}, {.priority = 4, SET(2000)});
    assert_set(&run, 4140); /* the nearest of what is left */
    assert_true(run.decision.limited);
}

static void clipping_never_raises_a_set_point_of_a_device_that_can_do_zero(void **state) {
    (void)state;
    struct run run = car_on_three_phases();
    for (int32_t set = 0; set < 12000; set += 37) {
        RUN(run, {.priority = 5, SET(set)});
        assert_true(run.decision.set <= set);
    }
}

/* --- any wishes at all ------------------------------------------------------------------------ */

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static int32_t random_power(uint32_t *seed) {
    return (int32_t)(next_random(seed) % 13) - 6;
}

static struct wish random_wish(uint32_t *seed) {
    int32_t a = random_power(seed);
    int32_t b = random_power(seed);
    uint32_t flags = next_random(seed);
    struct wish wish = {.priority = (int32_t)(next_random(seed) % 4),
                        .rank = next_random(seed),
                        .has_set = flags & 1,
                        .has_min = flags & 2,
                        .has_max = flags & 4,
                        .has_min_soc = (flags & 0x18) == 0x18,
                        .has_max_soc = (flags & 0x60) == 0x60,
                        .exclusive = (flags & 0x780) == 0x780,
                        .on_conflict = flags & 0x800 ? ON_CONFLICT_CLAMP : ON_CONFLICT_DISCARD,
                        .min_gate_closed = flags & 0x1000,
                        .max_gate_closed = flags & 0x2000,
                        .min_soc = 20,
                        .max_soc = 80};
    wish.min = a < b ? a : b;
    wish.max = a < b ? b : a;
    wish.set = random_power(seed);
    if (wish.has_min && wish.set < wish.min)
        wish.set = wish.min;
    if (wish.has_max && wish.set > wish.max)
        wish.set = wish.max;
    return wish;
}

static int by_order(const void *a, const void *b) {
    return arbiter_order(a, b);
}

static struct run random_run(uint32_t *seed) {
    static const double socs[] = {10, 20, 20.5, 50, 79.5, 80, 90, NAN};
    struct run run = {.soc = socs[next_random(seed) % 8], .count = 1 + next_random(seed) % 8};
    for (size_t i = 0; i < run.count; i++)
        run.wishes[i] = random_wish(seed);
    if (next_random(seed) % 2)
        run.wishes[0].priority = PRIORITY_FALLBACK;
    qsort(run.wishes, run.count, sizeof run.wishes[0], by_order);
    do {
        int32_t lo = random_power(seed);
        (void)ranges_add(&run.allowed, lo, lo + (int32_t)(next_random(seed) % 3));
    } while (next_random(seed) % 3);
    return run;
}

static void check_walk(const struct run *run) {
    int32_t lo = -POWER_UNBOUNDED;
    int32_t hi = POWER_UNBOUNDED;
    for (size_t i = 0; i < run->count; i++) {
        const struct verdict *verdict = &run->verdicts[i];
        assert_true(verdict->lo >= lo && verdict->hi <= hi && verdict->lo <= verdict->hi);
        lo = verdict->lo;
        hi = verdict->hi;
        assert_true((verdict->outcome == OUTCOME_APPLIED) == (verdict->against == BY_NOBODY));
        assert_true(verdict->against <= (int)i);
    }
    assert_int_equal(run->decision.walked_min, lo);
    assert_int_equal(run->decision.walked_max, hi);
    if (run->decision.set_by >= 0)
        assert_true(lo <= run->decision.walked_set && run->decision.walked_set <= hi);
}

static void check_decision(const struct run *run) {
    const struct decision *decision = &run->decision;
    for (size_t i = 0; i < decision->within.count; i++) {
        assert_true(ranges_contain(&run->allowed, decision->within.items[i].lo));
        assert_true(ranges_contain(&run->allowed, decision->within.items[i].hi));
    }
    assert_true(ranges_contain(&decision->within, decision->min));
    assert_true(ranges_contain(&decision->within, decision->max));
    if (decision->has_set)
        assert_true(ranges_contain(&decision->within, decision->set));
    if (!decision->unmet) {
        assert_true(decision->min >= decision->walked_min);
        assert_true(decision->max <= decision->walked_max);
        assert_int_equal(decision->has_set, decision->set_by >= 0);
        assert_int_equal(decision->limited,
                         decision->has_set && decision->set != decision->walked_set);
    }
}

static void whatever_is_asked_the_decision_is_inside_device_and_walk(void **state) {
    (void)state;
    uint32_t seed = 20260101;
    for (int i = 0; i < 20000; i++) {
        struct run run = random_run(&seed);
        run_again(&run);
        check_walk(&run);
        check_decision(&run);
        struct run again = run;
        run_again(&again); /* gates settle in one turn: deciding anew changes nothing */
        assert_memory_equal(&again.decision.within, &run.decision.within,
                            sizeof again.decision.within);
        assert_int_equal(again.decision.set, run.decision.set);
        assert_memory_equal(again.wishes, run.wishes, sizeof run.wishes);
    }
}

static void nothing_below_changes_what_those_above_got(void **state) {
    (void)state;
    uint32_t seed = 7;
    for (int i = 0; i < 5000; i++) {
        struct run run = random_run(&seed);
        struct run fewer = run;
        run_again(&run);
        fewer.count--;
        run_again(&fewer);
        for (size_t k = 0; k < fewer.count; k++) {
            assert_int_equal(run.verdicts[k].outcome, fewer.verdicts[k].outcome);
            assert_int_equal(run.verdicts[k].against, fewer.verdicts[k].against);
            assert_int_equal(run.verdicts[k].hi, fewer.verdicts[k].hi);
        }
    }
}

/* --- in plain words --------------------------------------------------------------------------- */

static void explain(const struct run *run, int index, const char *const *names, struct buf *text) {
    const struct verdict *verdict = &run->verdicts[index];
    int against = verdict->against;
    bool other = against >= 0 && against != index;
    verdict_explain(&run->wishes[index], verdict, other ? &run->verdicts[against] : NULL,
                    other ? names[against] : NULL, text);
}

static void assert_explained(const struct run *run, int index, const char *expected) {
    static const char *const labels[] = {"grid operator, priority 3000, until 18:00", "B", "C"};
    struct buf text;
    buf_init(&text, 500);
    explain(run, index, labels, &text);
    assert_false(text.failed);
    assert_string_equal(buf_string(&text), expected);
    buf_free(&text);
}

static void a_discarded_one_is_explained_by_bound_and_owner(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {.priority = 2000, SET(11000)});
    assert_explained(&run, 0, "applied: at most 4200 W");
    assert_explained(&run, 1,
                     "discarded: 11000 W against at most 4200 W by grid operator, priority 3000, "
                     "until 18:00");
}

static void a_clamped_one_is_explained_with_what_it_got(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, MAX(4200)}, {.priority = 2000, SET(11000), CLAMP});
    assert_explained(&run, 1,
                     "clamped to 4200 W: 11000 W against at most 4200 W by grid operator, priority "
                     "3000, until 18:00");
    RUN(run, {.priority = 3000, MIN(1000), MAX(4200)}, {.priority = 2000, MAX(500), CLAMP});
    assert_explained(&run, 1,
                     "clamped to exactly 1000 W: at most 500 W against at least 1000 W by grid "
                     "operator, priority 3000, until 18:00");
}

static void an_overridden_one_names_the_set_point_it_gave_way_to(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, SET(4200)}, {.priority = 2000, SET(9000), MIN(0), MAX(9500), CLAMP},
        {.priority = 1, SET(1), CLAMP});
    assert_explained(&run, 1,
                     "overridden: 9000 W within 0 W to 9500 W against 4200 W by grid operator, "
                     "priority 3000, until 18:00; its range was applied");
    assert_explained(&run, 2,
                     "overridden: 1 W against 4200 W by grid operator, priority 3000, until 18:00");
}

static void an_excluded_one_names_the_exclusive_one(void **state) {
    (void)state;
    struct run run = charger();
    RUN(run, {.priority = 3000, EXCLUSIVE, MAX(4200)}, {.priority = 2000, SET(9000)});
    assert_explained(&run, 1,
                     "not considered: exclusive is grid operator, priority 3000, until 18:00");
}

static void a_closed_gate_is_explained(void **state) {
    (void)state;
    struct run run = battery();
    run.soc = 10;
    RUN(run, {.priority = 5, MIN_SOC(10.5), SET(-1000)});
    assert_explained(&run, 0,
                     "applied: 0 W instead of -1000 W; no discharging: minStateOfCharge is 10.5 %");
    RUN(run, {.priority = 5, MIN_SOC(10.5), SET(-1000), MAX(-500)});
    assert_explained(&run, 0,
                     "discarded: -1000 W within at most -500 W against its own state-of-charge "
                     "limit; no discharging: minStateOfCharge is 10.5 %");
    run.soc = 99;
    RUN(run, {.priority = 5, MAX_SOC(90)});
    assert_explained(&run, 0,
                     "applied: a state of charge to keep; no charging: maxStateOfCharge is 90 %");
}

static void a_wish_without_opinion_and_an_open_side_have_words(void **state) {
    (void)state;
    struct run run = battery();
    RUN(run, {.priority = 3, MIN(-7), MAX(7)}, {.priority = 2, MIN(-3)}, {FALLBACK});
    assert_explained(&run, 0, "applied: -7 W to 7 W");
    assert_explained(&run, 1, "applied: at least -3 W");
    assert_explained(&run, 2, "applied: no wish of its own");
}

static void every_random_verdict_has_an_explanation(void **state) {
    (void)state;
    uint32_t seed = 99;
    for (int i = 0; i < 2000; i++) {
        struct run run = random_run(&seed);
        run_again(&run);
        static const char *const labels[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
        for (size_t k = 0; k < run.count; k++) {
            struct buf text;
            buf_init(&text, 500);
            explain(&run, (int)k, labels, &text);
            assert_false(text.failed);
            assert_true(text.length > 10);
            assert_null(strstr(buf_string(&text), "2147483647"));
            buf_free(&text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_1_a_range_of_higher_priority_discards_the_set_point),
        cmocka_unit_test(row_2_of_two_set_points_the_higher_priority_wins),
        cmocka_unit_test(row_3_a_range_without_set_point),
        cmocka_unit_test(row_4_production_limited),
        cmocka_unit_test(row_5_a_set_point_alone),
        cmocka_unit_test(row_6_a_set_point_above_the_limit_is_discarded),
        cmocka_unit_test(row_7_a_set_point_above_the_limit_is_clamped),
        cmocka_unit_test(row_8_a_set_point_inside_the_limit_is_applied),
        cmocka_unit_test(row_9_the_device_limits_a_set_point),
        cmocka_unit_test(row_10_zero_is_a_value),
        cmocka_unit_test(row_11_of_equal_priorities_the_later_accepted_wins),
        cmocka_unit_test(row_13_the_reserve_holds_a_discharging_set_point_at_zero),
        cmocka_unit_test(row_14_a_limit_of_zero_never_gives_the_least_step),
        cmocka_unit_test(row_15_a_limit_below_the_least_step_switches_off),
        cmocka_unit_test(row_16_a_set_point_in_a_gap_goes_below_it),
        cmocka_unit_test(row_17_a_limit_lifts_nothing_above_the_fallback),
        cmocka_unit_test(row_18_a_device_that_derates_is_followed_without_flapping),
        cmocka_unit_test(row_19_the_reserve_stays_though_its_set_point_is_discarded),
        cmocka_unit_test(row_20_below_an_exclusive_one_nothing_is_considered),
        cmocka_unit_test(row_21_a_device_that_must_run_leaves_a_limit_unmet),
        cmocka_unit_test(priority_goes_before_rank),
        cmocka_unit_test(the_extreme_priorities_do_not_overflow),
        cmocka_unit_test(without_wishes_the_device_is_free),
        cmocka_unit_test(a_fallback_without_opinion_changes_nothing),
        cmocka_unit_test(ranges_narrow_each_other_and_each_side_has_its_owner),
        cmocka_unit_test(who_asks_for_the_same_bound_does_not_become_its_owner),
        cmocka_unit_test(a_bound_at_the_edge_of_the_device_is_the_wishes),
        cmocka_unit_test(touching_ranges_leave_one_value_and_no_conflict),
        cmocka_unit_test(ranges_one_watt_apart_conflict),
        cmocka_unit_test(a_range_that_excludes_the_taken_set_point_conflicts_with_its_owner),
        cmocka_unit_test(a_range_that_just_contains_the_taken_set_point_is_applied),
        cmocka_unit_test(a_discarded_one_has_no_effect_at_all),
        cmocka_unit_test(below_a_discarded_one_the_next_has_its_turn),
        cmocka_unit_test(repeating_the_taken_set_point_is_no_conflict),
        cmocka_unit_test(of_set_point_and_bound_the_set_point_is_named),
        cmocka_unit_test(the_owner_of_the_bound_that_is_hit_is_named),
        cmocka_unit_test(a_range_the_wrong_way_round_is_discarded_even_with_clamp),
        cmocka_unit_test(a_range_wholly_above_is_moved_to_the_upper_edge),
        cmocka_unit_test(a_range_wholly_below_is_moved_to_the_lower_edge),
        cmocka_unit_test(a_one_sided_range_is_clamped_on_its_side),
        cmocka_unit_test(an_overlapping_range_with_clamp_is_applied_as_given),
        cmocka_unit_test(a_clamped_range_widens_to_the_taken_set_point),
        cmocka_unit_test(a_set_point_below_the_interval_is_clamped_up),
        cmocka_unit_test(a_clamped_set_point_stays_inside_its_own_moved_range),
        cmocka_unit_test(another_set_point_overrides_and_the_range_still_narrows),
        cmocka_unit_test(overridden_wins_over_clamped),
        cmocka_unit_test(a_clamped_range_that_repeats_the_taken_set_point_is_clamped),
        cmocka_unit_test(the_fallback_is_overridden_by_any_set_point),
        cmocka_unit_test(a_fallback_above_the_limit_is_clamped_to_it),
        cmocka_unit_test(the_fallback_is_walked_below_an_exclusive_one),
        cmocka_unit_test(an_exclusive_one_that_was_discarded_excludes_nobody),
        cmocka_unit_test(an_exclusive_one_that_was_clamped_excludes),
        cmocka_unit_test(what_stands_above_an_exclusive_one_still_holds),
        cmocka_unit_test(of_two_exclusive_ones_the_first_excludes_the_second),
        cmocka_unit_test(gates_below_an_exclusive_one_are_not_considered),
        cmocka_unit_test(the_min_gate_closes_at_the_bound_and_opens_a_point_above),
        cmocka_unit_test(the_max_gate_closes_at_the_bound_and_opens_a_point_below),
        cmocka_unit_test(an_unknown_state_of_charge_closes_both_gates),
        cmocka_unit_test(without_gates_an_unknown_state_of_charge_does_not_matter),
        cmocka_unit_test(a_reserve_lets_the_battery_charge),
        cmocka_unit_test(a_full_battery_may_discharge),
        cmocka_unit_test(a_charging_set_point_beyond_the_closed_max_gate_becomes_zero),
        cmocka_unit_test(a_gate_conflicts_with_its_carriers_own_range),
        cmocka_unit_test(a_gate_never_excludes_a_set_point_of_higher_priority),
        cmocka_unit_test(a_gate_never_empties_an_interval_of_higher_priority),
        cmocka_unit_test(a_gate_of_higher_priority_discards_a_discharging_set_point),
        cmocka_unit_test(both_gates_of_one_carrier_hold_it_at_zero),
        cmocka_unit_test(the_gate_of_a_discarded_exclusive_one_stays),
        cmocka_unit_test(within_keeps_the_gaps_and_the_range_is_its_hull),
        cmocka_unit_test(a_bound_in_a_gap_is_still_the_wishes),
        cmocka_unit_test(an_interval_inside_a_gap_is_unmet_and_gives_zero),
        cmocka_unit_test(an_unmet_demand_for_production_gives_zero),
        cmocka_unit_test(a_set_point_below_the_least_power_of_a_must_run_is_the_least),
        cmocka_unit_test(zero_outside_the_walked_range_is_not_taken),
        cmocka_unit_test(clipping_never_raises_a_set_point_of_a_device_that_can_do_zero),
        cmocka_unit_test(whatever_is_asked_the_decision_is_inside_device_and_walk),
        cmocka_unit_test(nothing_below_changes_what_those_above_got),
        cmocka_unit_test(a_discarded_one_is_explained_by_bound_and_owner),
        cmocka_unit_test(a_clamped_one_is_explained_with_what_it_got),
        cmocka_unit_test(an_overridden_one_names_the_set_point_it_gave_way_to),
        cmocka_unit_test(an_excluded_one_names_the_exclusive_one),
        cmocka_unit_test(a_closed_gate_is_explained),
        cmocka_unit_test(a_wish_without_opinion_and_an_open_side_have_words),
        cmocka_unit_test(every_random_verdict_has_an_explanation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
