#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script/probation.h"

#define BIT(fault) (1U << (fault))

static void fill(struct history *history, unsigned polls, unsigned bad, unsigned faults) {
    for (unsigned i = 0; i < polls; i++)
        history_add(history, i < bad ? faults : 0);
}

static struct tally tally_of(unsigned polls, unsigned bad, enum fault fault) {
    struct history history = {0};
    struct tally tally = {0};
    fill(&history, polls, bad, BIT(fault));
    tally_add(&tally, &history, 32);
    return tally;
}

static void a_history_forgets_what_is_older_than_its_newest_polls(void **state) {
    struct history history = {0};
    struct tally tally = {0};
    (void)state;
    fill(&history, 10, 10, BIT(FAULT_HOOK));
    fill(&history, 20, 0, 0);
    tally_add(&tally, &history, 20);
    assert_int_equal(tally.polls, 20);
    assert_int_equal(tally.faults[FAULT_HOOK], 0);
    tally = (struct tally){0};
    tally_add(&tally, &history, 32);
    assert_int_equal(tally.polls, 30);
    assert_int_equal(tally.faults[FAULT_HOOK], 10);
}

static void ten_good_polls_pass(void **state) {
    struct tally before = tally_of(32, 0, FAULT_HOOK), since = tally_of(10, 0, FAULT_HOOK);
    (void)state;
    assert_int_equal(probation_judge(&before, &since, 1, 0, 2000), PROBATION_PASSED);
}

static void more_than_a_fifth_worse_fails_and_a_fifth_does_not(void **state) {
    struct tally before = tally_of(32, 0, FAULT_REFUSED);
    struct tally fifth = tally_of(10, 2, FAULT_REFUSED), more = tally_of(10, 3, FAULT_REFUSED);
    (void)state;
    assert_int_equal(probation_judge(&before, &fifth, 1, 0, 2000), PROBATION_PASSED);
    assert_int_equal(probation_judge(&before, &more, 1, 0, 2000), PROBATION_FAILED);
}

static void what_was_as_bad_before_is_no_fault_of_the_new_one(void **state) {
    struct tally before = tally_of(32, 32, FAULT_OFFLINE), since = tally_of(10, 10, FAULT_OFFLINE);
    (void)state;
    assert_int_equal(probation_judge(&before, &since, 1, 0, 2000), PROBATION_PASSED);
}

static void another_kind_of_fault_does_not_hide_behind_an_old_one(void **state) {
    struct tally before = tally_of(32, 32, FAULT_REFUSED);
    struct history history = {0};
    struct tally since = {0};
    (void)state;
    fill(&history, 10, 10, BIT(FAULT_REFUSED) | BIT(FAULT_HOOK));
    tally_add(&since, &history, 32);
    assert_int_equal(probation_judge(&before, &since, 1, 0, 2000), PROBATION_FAILED);
}

static void it_fails_early_once_no_further_poll_can_save_it(void **state) {
    struct tally before = tally_of(32, 0, FAULT_HOOK);
    struct tally two = tally_of(2, 2, FAULT_HOOK), three = tally_of(3, 3, FAULT_HOOK);
    (void)state;
    assert_int_equal(probation_judge(&before, &two, 1, 1, 500), PROBATION_GOES_ON);
    assert_int_equal(probation_judge(&before, &three, 1, 1, 500), PROBATION_FAILED);
}

static void a_minute_ends_it_also_without_ten_polls(void **state) {
    struct tally before = tally_of(32, 0, FAULT_OFFLINE);
    struct tally none = {0}, silent = tally_of(4, 4, FAULT_OFFLINE);
    (void)state;
    assert_int_equal(probation_judge(&before, &none, 1, 1, PROBATION_MS), PROBATION_PASSED);
    assert_int_equal(probation_judge(&before, &silent, 2, 2, PROBATION_MS), PROBATION_FAILED);
}

static void one_lost_answer_is_no_evidence(void **state) {
    struct tally before = tally_of(32, 0, FAULT_OFFLINE), since = tally_of(2, 1, FAULT_OFFLINE);
    (void)state;
    assert_int_equal(probation_judge(&before, &since, 1, 1, PROBATION_MS), PROBATION_PASSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_forgets_what_is_older_than_its_newest_polls),
        cmocka_unit_test(ten_good_polls_pass),
        cmocka_unit_test(more_than_a_fifth_worse_fails_and_a_fifth_does_not),
        cmocka_unit_test(what_was_as_bad_before_is_no_fault_of_the_new_one),
        cmocka_unit_test(another_kind_of_fault_does_not_hide_behind_an_old_one),
        cmocka_unit_test(it_fails_early_once_no_further_poll_can_save_it),
        cmocka_unit_test(a_minute_ends_it_also_without_ten_polls),
        cmocka_unit_test(one_lost_answer_is_no_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
