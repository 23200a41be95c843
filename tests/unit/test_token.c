/* What a token may do: scopes, its end on clocks good and bad, and what it may pass on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "token.h"

static struct now at(int64_t ms, bool trusted) {
    return (struct now){.wall = {ms}, .trusted = trusted};
}

static void a_token_lives_until_its_end(void **state) {
    (void)state;
    const struct token token = {.expires_at = {1000}};
    assert_int_equal(token_end_at(&token, at(999, true)), TOKEN_LIVES);
    assert_int_equal(token_end_at(&token, at(1000, true)), TOKEN_EXPIRED);
    assert_int_equal(token_end_at(&token, at(5000, true)), TOKEN_EXPIRED);
}

static void a_token_without_an_end_lives_on_any_clock(void **state) {
    (void)state;
    const struct token token = {0};
    assert_int_equal(token_end_at(&token, at(INT64_MAX, true)), TOKEN_LIVES);
    assert_int_equal(token_end_at(&token, at(0, false)), TOKEN_LIVES);
}

static void a_clock_that_is_not_trusted_lets_no_end_pass_unseen(void **state) {
    (void)state;
    const struct token token = {.expires_at = {1000}};
    assert_int_equal(token_end_at(&token, at(1, false)), TOKEN_UNDECIDED);
    assert_int_equal(token_end_at(&token, at(1000, false)), TOKEN_EXPIRED); /* at least so late */
}

static void no_scope_implies_another(void **state) {
    (void)state;
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++) {
        const struct token token = {.scopes = 1U << i};
        for (int j = 0; j < TOKEN_SCOPE_COUNT; j++)
            assert_int_equal(token_has(&token, (enum token_scope)j), i == j);
    }
}

static void scopes_are_written_as_they_are_read(void **state) {
    (void)state;
    char text[TOKEN_SCOPES_TEXT_SIZE], wrong[32];
    unsigned scopes;
    for (unsigned all = 1; all <= TOKEN_SCOPES_ALL; all++) {
        token_scopes_format(all, all % 2 ? "," : ", ", text);
        assert_true(token_scopes_parse(text, &scopes, wrong, sizeof wrong));
        assert_int_equal(scopes, all);
    }
    token_scopes_format(TOKEN_SCOPES_ALL, ", ", text);
    assert_string_equal(text, "read, control, configure, scripts, admin");
    token_scopes_format(0, ", ", text);
    assert_string_equal(text, "none");
    assert_true(token_scopes_parse("all", &scopes, wrong, sizeof wrong));
    assert_int_equal(scopes, TOKEN_SCOPES_ALL);
}

static void a_word_that_is_no_scope_is_named(void **state) {
    (void)state;
    char wrong[32];
    unsigned scopes;
    assert_false(token_scopes_parse("read,write", &scopes, wrong, sizeof wrong));
    assert_string_equal(wrong, "write");
    assert_false(token_scopes_parse("READ", &scopes, wrong, sizeof wrong));
    assert_string_equal(wrong, "READ");
    assert_false(token_scopes_parse("", &scopes, wrong, sizeof wrong));
    assert_string_equal(wrong, "");
    assert_false(token_scopes_parse(", ,", &scopes, wrong, sizeof wrong));
    assert_false(token_scopes_parse("readreadreadreadreadreadreadreadreadreadread", &scopes, wrong,
                                    sizeof wrong));
    assert_int_equal(strlen(wrong), 31);
}

static bool covers(struct token own, struct token other, const char *why) {
    char text[160] = "";
    bool does = token_covers(&own, &other, text, sizeof text);
    if (!does && !strstr(text, why))
        fail_msg("\"%s\" is not in: %s", why, text);
    return does;
}

static void a_token_covers_what_may_do_no_more(void **state) {
    (void)state;
    const unsigned some = 1U << TOKEN_READ | 1U << TOKEN_ADMIN;
    const struct token own = {.scopes = some, .max_priority = 1000};
    const struct token one = {.scopes = some, .max_priority = 1000, .cluster_count = 1};
    assert_true(covers(own, own, ""));
    assert_true(covers(own, (struct token){.scopes = 1U << TOKEN_READ}, ""));
    assert_true(covers(own, one, ""));
    assert_true(covers(one, one, ""));
    assert_false(
        covers(own, (struct token){.scopes = TOKEN_SCOPES_ALL}, "(control, configure, scripts)"));
    assert_false(covers(own, (struct token){.scopes = some, .max_priority = 1001}, "up to 1001"));
    assert_false(covers(one, own, "every cluster"));
}

static void a_token_outlives_what_ends_no_later(void **state) {
    (void)state;
    const struct token for_good = {0}, short_lived = {.expires_at = {5}},
                       shorter = {.expires_at = {4}};
    assert_true(token_outlives(&for_good, &for_good));
    assert_true(token_outlives(&for_good, &short_lived));
    assert_true(token_outlives(&short_lived, &short_lived));
    assert_true(token_outlives(&short_lived, &shorter));
    assert_false(token_outlives(&shorter, &short_lived));
    assert_false(token_outlives(&short_lived, &for_good));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_lives_until_its_end),
        cmocka_unit_test(a_token_without_an_end_lives_on_any_clock),
        cmocka_unit_test(a_clock_that_is_not_trusted_lets_no_end_pass_unseen),
        cmocka_unit_test(no_scope_implies_another),
        cmocka_unit_test(scopes_are_written_as_they_are_read),
        cmocka_unit_test(a_word_that_is_no_scope_is_named),
        cmocka_unit_test(a_token_covers_what_may_do_no_more),
        cmocka_unit_test(a_token_outlives_what_ends_no_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
