/* How often one may ask, at moments that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>

#include "api/rates.h"

#define START 5000

static int served(struct rates *rates, const char *who, int asked, int64_t at_ms) {
    int count = 0, wait_s;
    for (int i = 0; i < asked; i++)
        count += rates_take(rates, who, (struct mono){at_ms}, &wait_s);
    return count;
}

static void a_burst_is_served_and_no_more(void **state) {
    (void)state;
    struct rates *rates = rates_new(10, 20);
    int wait_s;
    assert_int_equal(served(rates, "a", 25, START), 20);
    assert_false(rates_take(rates, "a", (struct mono){START}, &wait_s));
    assert_int_equal(wait_s, 1);
    rates_free(rates);
}

static void it_fills_with_the_rate_up_to_the_burst(void **state) {
    (void)state;
    struct rates *rates = rates_new(10, 20);
    assert_int_equal(served(rates, "a", 20, START), 20);
    assert_int_equal(served(rates, "a", 25, START + 99), 0);
    assert_int_equal(served(rates, "a", 25, START + 100), 1);
    assert_int_equal(served(rates, "a", 25, START + 1100), 10);
    assert_int_equal(served(rates, "a", 99, START + 86400000), 20);
    rates_free(rates);
}

static void who_waits_as_told_is_served(void **state) {
    (void)state;
    struct rates *rates = rates_new(0.3, 1);
    int wait_s;
    assert_int_equal(served(rates, "a", 1, START), 1);
    assert_false(rates_take(rates, "a", (struct mono){START + 500}, &wait_s));
    assert_int_equal(wait_s, 3); /* 3.33 s less the half second, in whole seconds */
    assert_true(rates_take(rates, "a", (struct mono){START + 500 + wait_s * 1000}, &wait_s));
    assert_int_equal(wait_s, 0);
    rates_free(rates);
}

static void what_is_refused_costs_nothing(void **state) {
    (void)state;
    struct rates *rates = rates_new(1, 5);
    assert_int_equal(served(rates, "a", 5, START), 5);
    assert_int_equal(served(rates, "a", 1000, START + 500), 0);
    assert_int_equal(served(rates, "a", 1000, START + 1000), 1);
    rates_free(rates);
}

static void each_has_a_bucket_of_its_own(void **state) {
    (void)state;
    struct rates *rates = rates_new(1, 5);
    char name[16];
    assert_int_equal(served(rates, "a", 9, START), 5);
    for (int i = 0; i < 1500; i++) { /* more than there can be tokens */
        snprintf(name, sizeof name, "b%d", i);
        assert_int_equal(served(rates, name, 9, START), 5);
    }
    assert_int_equal(served(rates, "a", 9, START), 0);
    rates_free(rates);
}

static void a_clock_read_by_another_thread_before_changes_nothing(void **state) {
    (void)state;
    struct rates *rates = rates_new(1000, 2);
    assert_int_equal(served(rates, "a", 2, START), 2);
    assert_int_equal(served(rates, "a", 1, START - 10), 0);
    assert_int_equal(served(rates, "a", 2, START + 1), 1);
    rates_free(rates);
}

static void the_sustained_rate_is_kept_over_an_hour(void **state) {
    (void)state;
    struct rates *rates = rates_new(100, 200);
    int count = 0;
    for (int64_t ms = 0; ms < 3600000; ms += 7) /* 143 in a second */
        count += served(rates, "a", 1, START + ms);
    assert_in_range(count, 100 * 3600 + 190, 100 * 3600 + 200);
    rates_free(rates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_served_and_no_more),
        cmocka_unit_test(it_fills_with_the_rate_up_to_the_burst),
        cmocka_unit_test(who_waits_as_told_is_served),
        cmocka_unit_test(what_is_refused_costs_nothing),
        cmocka_unit_test(each_has_a_bucket_of_its_own),
        cmocka_unit_test(a_clock_read_by_another_thread_before_changes_nothing),
        cmocka_unit_test(the_sustained_rate_is_kept_over_an_hour),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
