/* What a browser shows: cookies, where a page comes from, and that it was let in before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "api/login.h"

static void cookie_is(const char *header, const char *expected) {
    char value[8] = "before";
    bool found = cookie_find(header, "sid", value, sizeof value);
    assert_int_equal(found, expected != NULL);
    if (expected)
        assert_string_equal(value, expected);
}

static void a_cookie_is_found_wherever_it_stands(void **state) {
    (void)state;
    cookie_is("sid=abc", "abc");
    cookie_is("a=1; sid=abc; b=2", "abc");
    cookie_is("a=1;sid=abc", "abc");
    cookie_is("a=1;  sid=abc ;b=2", "abc");
    cookie_is("sid=", "");
    cookie_is("sid=a=b", "a=b");
    cookie_is("sid=1; sid=2", "1");
    cookie_is("sid=1234567", "1234567");
}

static void what_is_no_such_cookie_is_not_found(void **state) {
    (void)state;
    cookie_is(NULL, NULL);
    cookie_is("", NULL);
    cookie_is(" ; ;", NULL);
    cookie_is("xsid=abc", NULL);
    cookie_is("sidx=abc", NULL);
    cookie_is("SID=abc", NULL); /* names are told apart */
    cookie_is("sid", NULL);
    cookie_is("a=sid=abc", NULL);
    cookie_is("sid=12345678", NULL); /* longer than any of ours */
}

static void a_page_of_ours_has_our_origin(void **state) {
    (void)state;
    assert_true(origin_right(NULL, "host:8080"));
    assert_true(origin_right("http://host:8080", "host:8080"));
    assert_true(origin_right("https://derd.example", "derd.example"));
    assert_true(origin_right("HTTP://Host:8080", "host:8080"));
    assert_true(origin_right("http://[fd00::1]:8080", "[fd00::1]:8080"));
}

static void a_page_of_others_has_not(void **state) {
    (void)state;
    assert_false(origin_right("null", "host"));
    assert_false(origin_right("", "host"));
    assert_false(origin_right("http://host", "host:8080"));
    assert_false(origin_right("http://host:80801", "host:8080"));
    assert_false(origin_right("http://evil.example", "host"));
    assert_false(origin_right("http://host.evil.example", "host"));
    assert_false(origin_right("http://evil-host", "host"));
    assert_false(origin_right("http://host@evil", "host"));
    assert_false(origin_right("http://host/", "host"));
    assert_false(origin_right("file://host", "host"));
    assert_false(origin_right("chrome-extension://host", "host"));
    assert_false(origin_right("http://host", NULL));
}

static void a_browser_is_known_as_long_as_the_password_stands(void **state) {
    (void)state;
    struct password password = {.account = "owner"}, next = {.account = "owner"};
    char text[BROWSER_TEXT_SIZE], other[BROWSER_TEXT_SIZE], changed[BROWSER_TEXT_SIZE + 1];
    randombytes_buf(password.mark, sizeof password.mark);
    randombytes_buf(next.mark, sizeof next.mark);
    browser_make(&password, text);
    browser_make(&password, other);
    assert_string_not_equal(text, other);
    assert_true(browser_known(&password, text));
    assert_true(browser_known(&password, other));
    assert_false(browser_known(&next, text));
    assert_false(browser_known(&password, ""));
    for (size_t i = 0; i < BROWSER_TEXT_SIZE - 1; i++) {
        memcpy(changed, text, sizeof text);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(browser_known(&password, changed));
    }
    snprintf(changed, sizeof changed, "%sA", text);
    assert_false(browser_known(&password, changed));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_is_found_wherever_it_stands),
        cmocka_unit_test(what_is_no_such_cookie_is_not_found),
        cmocka_unit_test(a_page_of_ours_has_our_origin),
        cmocka_unit_test(a_page_of_others_has_not),
        cmocka_unit_test(a_browser_is_known_as_long_as_the_password_stands),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
