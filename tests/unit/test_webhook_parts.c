/* The pure parts of webhooks: signatures, addresses, waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sodium.h>

#include "webhooks/reachable.h"
#include "webhooks/retry.h"
#include "webhooks/signature.h"

/* The example that Standard Webhooks publishes with its libraries. */
static void the_published_example_is_signed_as_published(void **state) {
    char signature[SIGNATURE_SIZE];
    (void)state;
    assert_true(signature_make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                               "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}",
                               signature));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void each_part_of_the_message_is_signed(void **state) {
    char first[SIGNATURE_SIZE], other[SIGNATURE_SIZE];
    static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    (void)state;
    assert_true(signature_make(secret, "a", 1, "body", first));
    assert_true(signature_make(secret, "b", 1, "body", other));
    assert_string_not_equal(first, other);
    assert_true(signature_make(secret, "a", 2, "body", other));
    assert_string_not_equal(first, other);
    assert_true(signature_make(secret, "a", 1, "bodY", other));
    assert_string_not_equal(first, other);
    assert_true(signature_make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", "a", 1, "body", other));
    assert_string_not_equal(first, other);
}

static void secrets_are_random_and_can_sign(void **state) {
    char one[SECRET_SIZE], two[SECRET_SIZE], signature[SIGNATURE_SIZE];
    (void)state;
    secret_make(one);
    secret_make(two);
    assert_string_not_equal(one, two);
    assert_int_equal(strlen(one), strlen(SECRET_PREFIX) + 44);
    assert_true(signature_make(one, "id", 1, "", signature));
}

static void what_is_no_secret_signs_nothing(void **state) {
    char signature[SIGNATURE_SIZE];
    static const char *const wrong[] = {"", "whsec_", "whsec_***",
                                        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(signature_make(wrong[i], "id", 1, "", signature));
}

/* --- addresses ------------------------------------------------------------------------------- */

static struct sockaddr_storage address_of(const char *text) {
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&storage;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(8443);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(8443);
    }
    return storage;
}

static bool special(const char *text) {
    struct sockaddr_storage storage = address_of(text);
    return address_special((const struct sockaddr *)&storage) != NULL;
}

static void addresses_that_nobody_has_on_the_internet_are_special(void **state) {
    static const char *const inside[] = {"0.0.0.0",
                                         "10.1.2.3",
                                         "100.64.0.1",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.9.9.9",
                                         "169.254.169.254",
                                         "172.16.0.1",
                                         "172.31.255.255",
                                         "192.0.0.8",
                                         "192.0.2.1",
                                         "192.88.99.1",
                                         "192.168.0.1",
                                         "198.18.0.1",
                                         "198.19.255.255",
                                         "198.51.100.7",
                                         "203.0.113.9",
                                         "224.0.0.1",
                                         "239.255.255.255",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:127.0.0.1",
                                         "::ffff:10.0.0.1",
                                         "::127.0.0.1",
                                         "64:ff9b::a00:1",
                                         "64:ff9b:1::1",
                                         "fe80::1",
                                         "febf::1",
                                         "fc00::1",
                                         "fdff::1",
                                         "ff02::1",
                                         "2001::1",
                                         "2001:1ff::1",
                                         "2001:db8::1",
                                         "2002:7f00:1::",
                                         "3fff::1",
                                         "100::1",
                                         "4000::1"};
    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (!special(inside[i]))
            fail_msg("%s is not public", inside[i]);
}

static void public_addresses_are_not(void **state) {
    static const char *const outside[] = {
        "1.1.1.1",         "9.255.255.255", "11.0.0.1",     "100.63.255.255",  "100.128.0.1",
        "126.0.0.1",       "128.0.0.1",     "169.253.1.1",  "172.15.1.1",      "172.32.1.1",
        "192.0.1.1",       "192.167.1.1",   "192.169.1.1",  "198.17.1.1",      "198.20.1.1",
        "223.255.255.1",   "2001:200::1",   "2a00:1450::1", "2606:4700::1111", "::ffff:1.1.1.1",
        "64:ff9b::101:101"};
    (void)state;
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (special(outside[i]))
            fail_msg("%s is public", outside[i]);
}

static bool reachable(const char *address, const char *url, const char *allowed) {
    struct sockaddr_storage storage = address_of(address);
    const char *const entries[] = {allowed};
    const struct reachable list = {entries, allowed ? 1 : 0};
    char why[320] = "";
    bool may = address_reachable((const struct sockaddr *)&storage, url, &list, why, sizeof why);
    assert_true(may || strstr(why, "allow"));
    return may;
}

/* The name was harmless when it was checked; what counts is where it leads now. */
static void a_name_that_leads_inside_is_refused_whatever_it_is(void **state) {
    (void)state;
    assert_false(reachable("127.0.0.1", "https://public.example.com/hook", NULL));
    assert_false(reachable("169.254.169.254", "https://public.example.com/hook", "10.0.0.0/8"));
    assert_true(reachable("1.1.1.1", "https://public.example.com/hook", NULL));
    /* an address in the URL allows itself only */
    assert_true(reachable("fd80::1", "http://[fd80::1]/", "fd00::/8"));
    assert_true(reachable("10.0.0.7", "http://[::ffff:10.0.0.7]/", "10.0.0.7"));
    assert_false(reachable("10.0.0.8", "http://[fd80::1]/", "fd00::/8"));
    assert_false(reachable("127.0.0.1", "http://10.0.0.7/", "10.0.0.7"));
}

static void what_the_site_allows_is_reached(void **state) {
    (void)state;
    assert_true(reachable("127.0.0.1", "http://127.0.0.1:8443/", "127.0.0.1"));
    assert_true(reachable("10.7.0.1", "https://box.example.com/", "10.0.0.0/8"));
    assert_true(reachable("11.7.0.1", "https://box.example.com/", NULL));
    assert_true(reachable("192.168.1.5", "http://box.lan/hook", "box.lan"));
    assert_false(reachable("192.168.1.5", "http://other.lan/hook", "box.lan"));
    assert_true(reachable("127.0.0.1", "http://x.example/", "127.0.0.1:8443"));
    assert_false(reachable("127.0.0.1", "http://x.example/", "127.0.0.1:8444"));
    assert_true(reachable("fd00::1", "http://x.example/", "fd00::/8"));
    assert_true(reachable("::ffff:10.0.0.1", "http://x.example/", "10.0.0.0/8"));
}

/* --- waits ----------------------------------------------------------------------------------- */

static void waits_double_and_are_spread_by_a_quarter(void **state) {
    (void)state;
    assert_int_equal(retry_wait_ms(5000, 1, 0, 0), 5000);
    assert_int_equal(retry_wait_ms(5000, 2, 0, 0), 10000);
    assert_int_equal(retry_wait_ms(5000, 5, 0, 0), 80000);
    for (uint32_t chance = 0; chance < 5000; chance += 37) {
        int64_t wait_ms = retry_wait_ms(5000, 1, chance, 0);
        assert_true(wait_ms > 3740 && wait_ms <= 5000);
    }
    assert_true(retry_wait_ms(5000, 1, 512, 0) < retry_wait_ms(5000, 1, 100, 0));
}

static void a_day_has_few_tries_and_waits_have_an_end(void **state) {
    int64_t day_ms = 0;
    unsigned tries = 1;
    (void)state;
    while ((day_ms += retry_wait_ms(5000, tries, 0, 0)) < INT64_C(86400000))
        tries++;
    assert_int_equal(tries, 17);
    assert_int_equal(retry_wait_ms(5000, 4000000000U, 0, 0), RETRY_MOST_MS);
}

static void the_receiver_may_ask_for_longer_but_not_for_ever(void **state) {
    (void)state;
    assert_int_equal(retry_wait_ms(5000, 1, 0, 60000), 60000);
    assert_int_equal(retry_wait_ms(5000, 1, 0, 1000), 5000);
    assert_int_equal(retry_wait_ms(5000, 1, 0, INT64_C(1000000000)), 3600000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_example_is_signed_as_published),
        cmocka_unit_test(each_part_of_the_message_is_signed),
        cmocka_unit_test(secrets_are_random_and_can_sign),
        cmocka_unit_test(what_is_no_secret_signs_nothing),
        cmocka_unit_test(addresses_that_nobody_has_on_the_internet_are_special),
        cmocka_unit_test(public_addresses_are_not),
        cmocka_unit_test(a_name_that_leads_inside_is_refused_whatever_it_is),
        cmocka_unit_test(what_the_site_allows_is_reached),
        cmocka_unit_test(waits_double_and_are_spread_by_a_quarter),
        cmocka_unit_test(a_day_has_few_tries_and_waits_have_an_end),
        cmocka_unit_test(the_receiver_may_ask_for_longer_but_not_for_ever),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
