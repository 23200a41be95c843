/* Guessing slowed, at moments that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>

#include "api/guesses.h"

#define FREE 5

static const struct guess attacker = {GUESS_PASSWORD, "192.0.2.66", "owner", false, NULL};
static const struct guess elsewhere = {GUESS_PASSWORD, "192.0.2.7", "owner", false, NULL};

static struct mono at(int64_t seconds) {
    return (struct mono){1000000 + seconds * 1000};
}

/* How long the next try must wait, s; 0: it was counted. */
static int try_once(struct guesses *guesses, const struct guess *guess, struct mono now) {
    int wait_s;
    return guesses_try(guesses, guess, now, &wait_s) ? 0 : wait_s;
}

/* Wrong answers one after the other, each as soon as it may, until `end`: how many. */
static int hammer(struct guesses *guesses, const struct guess *guess, int64_t from, int64_t end) {
    int count = 0;
    for (int64_t now = from; now < end;) {
        int wait_s = try_once(guesses, guess, at(now));
        count += wait_s == 0;
        now += wait_s;
    }
    return count;
}

static void the_first_are_free_then_the_wait_doubles(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    int64_t now = 0;
    for (int i = 0; i < FREE; i++)
        assert_int_equal(try_once(guesses, &attacker, at(now)), 0);
    for (int expected = 1; expected < GUESSES_ADDRESS_S; expected *= 2) {
        assert_int_equal(try_once(guesses, &attacker, at(now)), expected);
        now += expected;
        assert_int_equal(try_once(guesses, &attacker, (struct mono){at(now).ms - 1}), 1);
        assert_int_equal(try_once(guesses, &attacker, at(now)), 0);
        if (expected == 256)
            break; /* ten minutes are nearly over: something is forgiven */
    }
    guesses_free(guesses);
}

static void what_must_wait_is_not_counted(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    for (int i = 0; i < FREE; i++)
        assert_int_equal(try_once(guesses, &attacker, at(0)), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(try_once(guesses, &attacker, at(0)), 1);
    assert_int_equal(try_once(guesses, &attacker, at(1)), 0);
    guesses_free(guesses);
}

static void an_address_gets_few_in_a_day(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    assert_in_range(hammer(guesses, &attacker, 0, 86400), 50, 170);
    guesses_free(guesses);
}

static void one_address_never_makes_others_wait_for_the_account(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    for (int64_t now = 0; now < 3 * 86400;) {
        int wait_s = try_once(guesses, &attacker, at(now));
        now += wait_s;
        /* The owner comes at just that moment, with the right password. */
        assert_int_equal(try_once(guesses, &elsewhere, at(now)), 0);
        guesses_pardon(guesses, &elsewhere, at(now));
    }
    guesses_free(guesses);
}

static void many_addresses_share_the_tries_of_an_account(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    char address[20];
    int count = 0;
    for (int64_t now = 0; now < 86400; now++) { /* a new address each second */
        snprintf(address, sizeof address, "10.%d.%d.%d", (int)(now >> 16), (int)(now >> 8) & 255,
                 (int)now & 255);
        struct guess guess = {GUESS_PASSWORD, address, "owner", false, NULL};
        count += try_once(guesses, &guess, at(now)) == 0;
    }
    assert_in_range(count, 86400 / GUESSES_ACCOUNT_S, 86400 / GUESSES_ACCOUNT_S + 40);
    guesses_free(guesses);
}

static void an_account_waits_for_a_minute_at_most(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    char address[20];
    for (int i = 0; i < 2000; i++) {
        snprintf(address, sizeof address, "10.0.%d.%d", i / 200, i % 200);
        struct guess guess = {GUESS_PASSWORD, address, "owner", false, NULL};
        (void)hammer(guesses, &guess, i, i + 1);
    }
    int wait_s = try_once(guesses, &elsewhere, at(2000));
    assert_in_range(wait_s, 1, GUESSES_ACCOUNT_S);
    assert_int_equal(try_once(guesses, &elsewhere, at(2000 + wait_s)), 0);
    guesses_free(guesses);
}

static void a_known_browser_counts_for_itself(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    struct guess known = attacker; /* the same address and account */
    known.browser = "phone";
    for (int i = 0; i < 400; i++) {
        char address[20];
        snprintf(address, sizeof address, "10.0.0.%d", i % 200);
        struct guess guess = {GUESS_PASSWORD, address, "owner", false, NULL};
        (void)try_once(guesses, &guess, at(0));
        (void)try_once(guesses, &attacker, at(0));
    }
    assert_int_not_equal(try_once(guesses, &attacker, at(0)), 0);
    for (int i = 0; i < FREE; i++)
        assert_int_equal(try_once(guesses, &known, at(0)), 0);
    assert_int_equal(try_once(guesses, &known, at(0)), 1);
    known.browser = "laptop";
    assert_int_equal(try_once(guesses, &known, at(0)), 0);
    guesses_free(guesses);
}

static void a_right_one_is_taken_back_but_forgives_nothing(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(try_once(guesses, &attacker, at(0)), 0);
        guesses_pardon(guesses, &attacker, at(0));
    }
    for (int i = 0; i < FREE - 1; i++)
        assert_int_equal(try_once(guesses, &attacker, at(0)), 0);
    assert_int_equal(try_once(guesses, &attacker, at(0)), 0); /* right, with four wrong before */
    guesses_pardon(guesses, &attacker, at(0));
    assert_int_equal(try_once(guesses, &attacker, at(0)), 0);
    assert_int_equal(try_once(guesses, &attacker, at(0)), 1);
    guesses_free(guesses);
}

static void many_at_once_get_no_more_than_one_after_the_other(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    int counted = 0;
    for (int i = 0; i < 50; i++) /* none has its answer yet */
        counted += try_once(guesses, &attacker, at(0)) == 0;
    assert_int_equal(counted, FREE);
    guesses_free(guesses);
}

static void it_is_forgiven_with_time(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    (void)hammer(guesses, &attacker, 0, 60);
    int64_t later = 60 + 20 * (GUESSES_FORGIVE_MS / 1000);
    for (int i = 0; i < FREE; i++)
        assert_int_equal(try_once(guesses, &attacker, at(later)), 0);
    assert_int_equal(try_once(guesses, &attacker, at(later)), 1);
    guesses_free(guesses);
}

static void tokens_and_passwords_are_counted_apart(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    struct guess token = attacker;
    token.kind = GUESS_TOKEN;
    for (int i = 0; i < FREE; i++)
        assert_int_equal(try_once(guesses, &token, at(0)), 0);
    assert_int_equal(try_once(guesses, &token, at(0)), 1);
    assert_int_equal(try_once(guesses, &attacker, at(0)), 0);
    guesses_free(guesses);
}

static void addresses_of_one_ipv6_network_count_as_one(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    char address[46];
    for (int i = 0; i < FREE; i++) {
        snprintf(address, sizeof address, "2001:db8:1:2::%x", i + 1);
        struct guess guess = {GUESS_PASSWORD, address, NULL, false, NULL};
        assert_int_equal(try_once(guesses, &guess, at(0)), 0);
    }
    struct guess same = {GUESS_PASSWORD, "2001:db8:1:2:ffff::1", NULL, false, NULL};
    struct guess other = {GUESS_PASSWORD, "2001:db8:1:3::1", NULL, false, NULL};
    assert_int_equal(try_once(guesses, &same, at(0)), 1);
    assert_int_equal(try_once(guesses, &other, at(0)), 0);
    guesses_free(guesses);
}

static void made_up_names_do_not_make_an_account_forgotten(void **state) {
    (void)state;
    struct guesses *guesses = guesses_new(FREE);
    char address[20], name[20];
    for (int i = 0; i < FREE * GUESSES_ACCOUNT_FACTOR; i++) {
        snprintf(address, sizeof address, "10.0.0.%d", i);
        struct guess guess = {GUESS_PASSWORD, address, "owner", false, NULL};
        assert_int_equal(try_once(guesses, &guess, at(0)), 0);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(address, sizeof address, "10.1.%d.%d", i / 250, i % 250);
        snprintf(name, sizeof name, "nobody%d", i);
        struct guess guess = {GUESS_PASSWORD, address, name, true, NULL};
        assert_int_equal(try_once(guesses, &guess, at(0)), 0);
    }
    assert_int_equal(try_once(guesses, &elsewhere, at(0)), 1);
    guesses_free(guesses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_are_free_then_the_wait_doubles),
        cmocka_unit_test(what_must_wait_is_not_counted),
        cmocka_unit_test(an_address_gets_few_in_a_day),
        cmocka_unit_test(one_address_never_makes_others_wait_for_the_account),
        cmocka_unit_test(many_addresses_share_the_tries_of_an_account),
        cmocka_unit_test(an_account_waits_for_a_minute_at_most),
        cmocka_unit_test(a_known_browser_counts_for_itself),
        cmocka_unit_test(a_right_one_is_taken_back_but_forgives_nothing),
        cmocka_unit_test(many_at_once_get_no_more_than_one_after_the_other),
        cmocka_unit_test(it_is_forgiven_with_time),
        cmocka_unit_test(tokens_and_passwords_are_counted_apart),
        cmocka_unit_test(addresses_of_one_ipv6_network_count_as_one),
        cmocka_unit_test(made_up_names_do_not_make_an_account_forgotten),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
