#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script/ladder.h"

static const struct mono start = {1000000};

static struct mono later(struct mono from, int64_t ms) {
    return (struct mono){from.ms + ms};
}

static void a_failure_makes_only_its_caller_wait(void **state) {
    struct ladder ladder = {0};
    struct rung one = {0}, other = {0};
    (void)state;
    assert_int_equal(ladder_failed(&ladder, &one, false, start), LADDER_WAIT);
    assert_false(ladder_may_call(&one, start));
    assert_false(ladder_may_call(&one, later(start, LADDER_WAIT_FIRST_MS - 1)));
    assert_true(ladder_may_call(&one, later(start, LADDER_WAIT_FIRST_MS)));
    assert_true(ladder_may_call(&other, start));
}

static void waits_double_up_to_a_limit_and_end_with_a_success(void **state) {
    struct ladder ladder = {0};
    struct rung rung = {0};
    (void)state;
    ladder_failed(&ladder, &rung, false, start);
    ladder_failed(&ladder, &rung, false, start);
    assert_int_equal(rung.until.ms - start.ms, 2 * LADDER_WAIT_FIRST_MS);
    for (int i = 0; i < 20; i++)
        ladder_failed(&ladder, &rung, false, start);
    assert_int_equal(rung.until.ms - start.ms, LADDER_WAIT_LAST_MS);
    ladder_passed(&rung);
    assert_true(ladder_may_call(&rung, start));
    ladder_failed(&ladder, &rung, false, start);
    assert_int_equal(rung.until.ms - start.ms, LADDER_WAIT_FIRST_MS);
}

static void three_failures_in_a_row_rebuild(void **state) {
    struct ladder ladder = {0};
    struct rung rung = {0};
    (void)state;
    assert_int_equal(ladder_failed(&ladder, &rung, false, start), LADDER_WAIT);
    assert_int_equal(ladder_failed(&ladder, &rung, false, start), LADDER_WAIT);
    ladder_passed(&rung);
    assert_int_equal(ladder_failed(&ladder, &rung, false, start), LADDER_WAIT);
    assert_int_equal(ladder_failed(&ladder, &rung, false, start), LADDER_WAIT);
    assert_int_equal(ladder_failed(&ladder, &rung, false, start), LADDER_REBUILD);
    assert_int_equal(ladder.builds, 1);
}

static void a_spoiled_script_is_rebuilt_at_once(void **state) {
    struct ladder ladder = {0};
    struct rung rung = {0};
    (void)state;
    assert_int_equal(ladder_failed(&ladder, &rung, true, start), LADDER_REBUILD);
}

static void many_devices_that_fail_on_one_build_rebuild_it_once(void **state) {
    struct ladder ladder = {0};
    struct rung rungs[5] = {0};
    int rebuilds = 0;
    (void)state;
    for (int failure = 0; failure < LADDER_FAILURES; failure++)
        for (int i = 0; i < 5; i++)
            rebuilds += ladder_failed(&ladder, &rungs[i], false, start) == LADDER_REBUILD;
    assert_int_equal(rebuilds, 1);
}

static void the_third_rebuild_within_ten_minutes_quarantines(void **state) {
    struct ladder ladder = {0};
    struct rung rung = {0};
    (void)state;
    assert_int_equal(ladder_failed(&ladder, &rung, true, start), LADDER_REBUILD);
    assert_int_equal(ladder_failed(&ladder, &rung, true, later(start, 1000)), LADDER_REBUILD);
    assert_int_equal(ladder_failed(&ladder, &rung, true, later(start, LADDER_WINDOW_MS - 1)),
                     LADDER_QUARANTINE);
}

static void rebuilds_that_lie_further_apart_never_quarantine(void **state) {
    struct ladder ladder = {0};
    struct rung rung = {0};
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            ladder_failed(&ladder, &rung, true, later(start, i * (LADDER_WINDOW_MS / 2 + 1))),
            LADDER_REBUILD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_makes_only_its_caller_wait),
        cmocka_unit_test(waits_double_up_to_a_limit_and_end_with_a_success),
        cmocka_unit_test(three_failures_in_a_row_rebuild),
        cmocka_unit_test(a_spoiled_script_is_rebuilt_at_once),
        cmocka_unit_test(many_devices_that_fail_on_one_build_rebuild_it_once),
        cmocka_unit_test(the_third_rebuild_within_ten_minutes_quarantines),
        cmocka_unit_test(rebuilds_that_lie_further_apart_never_quarantine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
