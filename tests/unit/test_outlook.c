#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outlook.h"

#define HOUR  ((int64_t)3600000)
#define START ((int64_t)20000 * 24 * HOUR) /* some midnight */

/* A device -5000..5000 at START with room for `count` items. */
static struct decided *device_of(size_t count) {
    struct decided *decided = decided_new(count);
    assert_non_null(decided);
    decided->at = (struct now){.wall = {START}, .trusted = true};
    decided->has_decision = true;
    decided->allowed = ranges_of(-5000, 5000);
    decided->soc = NAN;
    return decided;
}

/* Item `index` in force from hour `from` to hour `to`. Fill in order of priority. */
static struct constraint *put(struct decided *decided, size_t index, int priority, double from,
                              double to) {
    struct constraint draft = {.wish = {.priority = priority, .rank = 10000 - index},
                               .valid_at = {START + (int64_t)(from * HOUR)},
                               .invalid_at = {START + (int64_t)(to * HOUR)}};
    struct constraint *constraint = constraint_new(&draft);
    assert_non_null(constraint);
    decided->items[index].constraint = constraint;
    decided->items[index].in_force = from <= 0 && to > 0;
    decided->items[index].set_in_force = decided->items[index].in_force;
    return constraint;
}

static void put_set(struct decided *decided, size_t index, int priority, double from, double to,
                    int32_t set) {
    struct constraint *constraint = put(decided, index, priority, from, to);
    constraint->wish.has_set = true;
    constraint->wish.set = set;
}

static void put_max(struct decided *decided, size_t index, int priority, double from, double to,
                    int32_t max) {
    struct constraint *constraint = put(decided, index, priority, from, to);
    constraint->wish.has_max = true;
    constraint->wish.max = max;
}

/* As the engine would publish it. */
static void decide_now(struct decided *decided) {
    assert_int_equal(outlook_decide(decided, decided->at.wall, &decided->decision), ERR_OK);
}

static void expect_set_at(const struct decided *decided, double hour, int32_t set) {
    struct decision decision;
    struct wall at = {START + (int64_t)(hour * HOUR)};
    assert_int_equal(outlook_decide(decided, at, &decision), ERR_OK);
    assert_true(decision.has_set);
    assert_int_equal(decision.set, set);
}

static void expect_next(const struct decided *decided, double hour) {
    struct wall at;
    assert_int_equal(outlook_next_change(decided, &at), ERR_OK);
    assert_int_equal(at.ms, START + (int64_t)(hour * HOUR));
}

static void expect_no_next(const struct decided *decided) {
    struct wall at;
    assert_int_equal(outlook_next_change(decided, &at), ERR_NOT_FOUND);
}

static void windows_are_half_open(void **state) {
    (void)state;
    struct decided *decided = device_of(1);
    bool with_set;
    put_set(decided, 0, 5, 1, 2, 500);
    assert_false(outlook_in_force(decided, 0, (struct wall){START + HOUR - 1}, &with_set));
    assert_true(outlook_in_force(decided, 0, (struct wall){START + HOUR}, &with_set));
    assert_true(with_set);
    assert_true(outlook_in_force(decided, 0, (struct wall){START + 2 * HOUR - 1}, &with_set));
    assert_false(outlook_in_force(decided, 0, (struct wall){START + 2 * HOUR}, &with_set));
    decided_release(decided);
}

static void a_loser_comes_back_when_its_winner_ends(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_set(decided, 0, 9, 1, 2, 1000);
    put_set(decided, 1, 5, 0, 3, 500);
    decide_now(decided);
    expect_set_at(decided, 0, 500);
    expect_set_at(decided, 1, 1000);
    expect_set_at(decided, 2, 500);
    expect_next(decided, 1);
    decided_release(decided);
}

static void winners_are_told_as_items_not_as_those_in_force(void **state) {
    (void)state;
    struct decided *decided = device_of(3);
    struct decision decision;
    put_set(decided, 0, 9, 1, 2, 1000);
    put_max(decided, 1, 8, 0, 3, 700);
    put_set(decided, 2, 5, 0, 3, 500);
    assert_int_equal(outlook_decide(decided, (struct wall){START}, &decision), ERR_OK);
    assert_int_equal(decision.set_by, 2);
    assert_int_equal(decision.max_by, 1);
    assert_int_equal(decision.min_by, BY_DEVICE);
    decided_release(decided);
}

static void a_boundary_that_changes_nothing_is_passed_over(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_set(decided, 0, 9, 0, 5, 1000);
    put_set(decided, 1, 5, 1, 2, 500); /* discarded from start to end */
    decide_now(decided);
    expect_next(decided, 5);
    decided_release(decided);
}

static void a_change_of_the_winner_alone_is_a_change(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_set(decided, 0, 9, 2, 5, 1000);
    put_set(decided, 1, 5, 0, 5, 1000);
    decide_now(decided);
    expect_next(decided, 2);
    decided_release(decided);
}

static void nothing_scheduled_means_no_next_change(void **state) {
    (void)state;
    struct decided *decided = device_of(1);
    decided->fallback = (struct wish){.priority = PRIORITY_FALLBACK, .has_set = true, .set = 0};
    decided->items[0].in_force = decided->items[0].set_in_force = true;
    decide_now(decided);
    assert_true(decided->decision.has_set);
    expect_no_next(decided);
    decided_release(decided);
}

static void the_fallback_takes_over_when_the_last_constraint_ends(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_set(decided, 0, 9, 0, 1, 1000);
    decided->fallback = (struct wish){.priority = PRIORITY_FALLBACK,
                                      .has_set = true,
                                      .set = -50,
                                      .on_conflict = ON_CONFLICT_CLAMP};
    decided->items[1].in_force = decided->items[1].set_in_force = true;
    decide_now(decided);
    expect_next(decided, 1);
    expect_set_at(decided, 1, -50);
    decided_release(decided);
}

static void a_dropped_set_point_does_not_come_back(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    struct decision decision;
    put_set(decided, 0, 9, 0, 4, 1000);
    decided->items[0].set_in_force = false;
    put_max(decided, 1, 5, 1, 2, 700);
    decide_now(decided);
    assert_int_equal(outlook_decide(decided, (struct wall){START + HOUR}, &decision), ERR_OK);
    assert_false(decision.has_set);
    decided_release(decided);
}

static void what_is_held_past_its_end_stays(void **state) {
    (void)state;
    struct decided *decided = device_of(1);
    put_set(decided, 0, 9, -2, -1, 1000);
    decided->items[0].in_force = decided->items[0].set_in_force = true;
    expect_set_at(decided, 0, 1000);
    expect_set_at(decided, 9, 1000);
    decided_release(decided);
}

static void an_untrusted_clock_knows_no_next_change(void **state) {
    (void)state;
    struct decided *decided = device_of(1);
    put_set(decided, 0, 9, 1, 2, 1000);
    decide_now(decided);
    decided->at.trusted = false;
    expect_no_next(decided);
    decided_release(decided);
}

static void a_device_that_cannot_be_controlled_has_no_outlook(void **state) {
    (void)state;
    struct decided *decided = device_of(0);
    struct decision decision;
    decided->has_decision = false;
    assert_int_equal(outlook_decide(decided, (struct wall){START}, &decision), ERR_NOT_FOUND);
    expect_no_next(decided);
    decided_release(decided);
}

static void a_gate_stays_closed_over_later_moments(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    struct constraint *constraint = put(decided, 0, 9, 0, 9);
    constraint->wish.has_min_soc = true;
    constraint->wish.min_soc = 20;
    decided->items[0].min_gate_closed = true;
    decided->soc = 20.5; /* inside the hysteresis: only the kept state says closed */
    put_set(decided, 1, 5, 1, 2, -1000);
    decide_now(decided);
    struct decision decision;
    assert_int_equal(outlook_decide(decided, (struct wall){START + HOUR}, &decision), ERR_OK);
    assert_int_equal(decision.min, 0);
    decided_release(decided);
}

static void more_than_500_moments_are_not_looked_at(void **state) {
    (void)state;
    size_t count = 600;
    struct decided *decided = device_of(count);
    struct wall at;
    put_set(decided, 0, 999, 0, 2000, 1000);
    for (size_t i = 1; i < count; i++)
        put_set(decided, i, 5, (double)i, (double)i + 0.5, 500);
    /* Only moments count here; the winner at the top never changes before its end. */
    decide_now(decided);
    assert_int_equal(outlook_next_change(decided, &at), ERR_LIMIT);
    decided_release(decided);
}

static void one_that_loses_all_its_life_has_no_effect(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_max(decided, 0, 9, 0, 5, 700);
    put_set(decided, 1, 5, 1, 5, 1000);
    decide_now(decided);
    assert_true(outlook_no_effect(decided, 1));
    assert_false(outlook_no_effect(decided, 0));
    decided_release(decided);
}

static void one_that_outlives_its_winner_has_an_effect(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_max(decided, 0, 9, 0, 5, 700);
    put_set(decided, 1, 5, 1, 6, 1000);
    decide_now(decided);
    assert_false(outlook_no_effect(decided, 1));
    decided_release(decided);
}

static void one_that_is_excluded_all_its_life_has_no_effect(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    put_max(decided, 0, 9, 0, 5, 700);
    decided->items[0].constraint->wish.exclusive = true;
    put_set(decided, 1, 5, 0, 5, 100);
    decide_now(decided);
    assert_true(outlook_no_effect(decided, 1));
    decided_release(decided);
}

static void losing_against_a_gate_is_not_for_ever(void **state) {
    (void)state;
    struct decided *decided = device_of(2);
    struct constraint *reserve = put(decided, 0, 9, 0, 9);
    reserve->wish.has_min_soc = true;
    reserve->wish.min_soc = 20;
    decided->soc = 10;
    put_set(decided, 1, 5, 0, 9, -1000);
    decide_now(decided);
    assert_false(decided->decision.has_set);
    assert_false(outlook_no_effect(decided, 1));
    assert_false(outlook_no_effect(decided, 0));
    decided_release(decided);
}

static void the_fallback_is_never_without_effect(void **state) {
    (void)state;
    struct decided *decided = device_of(1);
    decided->items[0].in_force = true;
    assert_false(outlook_no_effect(decided, 0));
    decided_release(decided);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_half_open),
        cmocka_unit_test(a_loser_comes_back_when_its_winner_ends),
        cmocka_unit_test(winners_are_told_as_items_not_as_those_in_force),
        cmocka_unit_test(a_boundary_that_changes_nothing_is_passed_over),
        cmocka_unit_test(a_change_of_the_winner_alone_is_a_change),
        cmocka_unit_test(nothing_scheduled_means_no_next_change),
        cmocka_unit_test(the_fallback_takes_over_when_the_last_constraint_ends),
        cmocka_unit_test(a_dropped_set_point_does_not_come_back),
        cmocka_unit_test(what_is_held_past_its_end_stays),
        cmocka_unit_test(an_untrusted_clock_knows_no_next_change),
        cmocka_unit_test(a_device_that_cannot_be_controlled_has_no_outlook),
        cmocka_unit_test(a_gate_stays_closed_over_later_moments),
        cmocka_unit_test(more_than_500_moments_are_not_looked_at),
        cmocka_unit_test(one_that_loses_all_its_life_has_no_effect),
        cmocka_unit_test(one_that_outlives_its_winner_has_an_effect),
        cmocka_unit_test(one_that_is_excluded_all_its_life_has_no_effect),
        cmocka_unit_test(losing_against_a_gate_is_not_for_ever),
        cmocka_unit_test(the_fallback_is_never_without_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
