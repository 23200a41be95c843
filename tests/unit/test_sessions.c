/* Sessions: how they begin and end, at moments that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "api/sessions.h"

static const struct password owner = {.account = "owner", .mark = {1, 2, 3}};

static struct mono at(int64_t seconds) {
    return (struct mono){77000 + seconds * 1000};
}

static bool lives(struct sessions *sessions, const char *secret, int64_t seconds) {
    struct session session;
    return sessions_find(sessions, secret, at(seconds), &session);
}

static void open_one(struct sessions *sessions, const char *account, int64_t seconds,
                     char secret[SESSION_SECRET_SIZE]) {
    struct password password = owner;
    struct session session;
    snprintf(password.account, sizeof password.account, "%s", account);
    sessions_open(sessions, &password, at(seconds), secret, &session);
}

static void one_that_was_opened_is_found_by_its_cookie(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    struct session opened, found;
    char secret[SESSION_SECRET_SIZE], other[SESSION_SECRET_SIZE];
    sessions_open(sessions, &owner, at(0), secret, &opened);
    open_one(sessions, "net", 0, other);
    assert_string_not_equal(secret, other);
    assert_int_equal(strlen(secret), 43);
    assert_int_equal(opened.id[0], '-');
    assert_true(sessions_find(sessions, secret, at(1), &found));
    assert_string_equal(found.id, opened.id);
    assert_string_equal(found.account, "owner");
    assert_memory_equal(found.mark, owner.mark, sizeof found.mark);
    sessions_free(sessions);
}

static void nothing_else_is_found(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    char secret[SESSION_SECRET_SIZE], longer[SESSION_SECRET_SIZE + 1];
    assert_false(lives(sessions, "", 0));
    assert_false(lives(sessions, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0));
    open_one(sessions, "owner", 0, secret);
    snprintf(longer, sizeof longer, "%sA", secret);
    assert_false(lives(sessions, longer, 0));
    secret[20] = secret[20] == 'A' ? 'B' : 'A';
    assert_false(lives(sessions, secret, 0));
    secret[20] = '\0';
    assert_false(lives(sessions, secret, 0));
    sessions_free(sessions);
}

static void it_ends_when_nobody_asks_for_long(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    char secret[SESSION_SECRET_SIZE];
    open_one(sessions, "owner", 0, secret);
    assert_true(lives(sessions, secret, SESSION_IDLE_S - 1));
    assert_true(lives(sessions, secret, 2 * SESSION_IDLE_S - 2)); /* was used in between */
    assert_false(lives(sessions, secret, 3 * SESSION_IDLE_S - 2));
    assert_false(lives(sessions, secret, 3 * SESSION_IDLE_S - 1));
    sessions_free(sessions);
}

static void it_ends_in_the_end_however_much_it_is_used(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    char secret[SESSION_SECRET_SIZE];
    open_one(sessions, "owner", 0, secret);
    for (int64_t now = 0; now < SESSION_LONGEST_S; now += 600)
        assert_true(lives(sessions, secret, now));
    assert_false(lives(sessions, secret, SESSION_LONGEST_S));
    sessions_free(sessions);
}

static void one_that_was_closed_is_gone_and_others_stay(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    struct session first, second;
    char secret[SESSION_SECRET_SIZE], other[SESSION_SECRET_SIZE];
    sessions_open(sessions, &owner, at(0), secret, &first);
    sessions_open(sessions, &owner, at(0), other, &second);
    sessions_close(sessions, first.id);
    sessions_close(sessions, "-nobody");
    assert_false(lives(sessions, secret, 1));
    assert_true(lives(sessions, other, 1));
    sessions_free(sessions);
}

static void an_account_has_so_many_and_its_oldest_makes_way(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    char secrets[SESSIONS_PER_ACCOUNT + 1][SESSION_SECRET_SIZE], other[SESSION_SECRET_SIZE];
    open_one(sessions, "net", 0, other); /* older than all */
    for (int i = 0; i < SESSIONS_PER_ACCOUNT; i++)
        open_one(sessions, "owner", 1 + i, secrets[i]);
    assert_true(lives(sessions, secrets[0], 100)); /* the second is the one unused for longest */
    open_one(sessions, "owner", 101, secrets[SESSIONS_PER_ACCOUNT]);
    for (int i = 0; i <= SESSIONS_PER_ACCOUNT; i++)
        assert_int_equal(lives(sessions, secrets[i], 102), i != 1);
    assert_true(lives(sessions, other, 102));
    sessions_free(sessions);
}

static void all_together_are_so_many(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    char secrets[SESSIONS_MAXIMUM + 1][SESSION_SECRET_SIZE], account[16];
    int alive = 0;
    for (int i = 0; i <= SESSIONS_MAXIMUM; i++) {
        snprintf(account, sizeof account, "a%d", i);
        open_one(sessions, account, i, secrets[i]);
    }
    for (int i = 0; i <= SESSIONS_MAXIMUM; i++)
        alive += lives(sessions, secrets[i], 100);
    assert_int_equal(alive, SESSIONS_MAXIMUM);
    assert_false(lives(sessions, secrets[0], 100));
    sessions_free(sessions);
}

static void the_csrf_token_belongs_to_the_cookie(void **state) {
    (void)state;
    struct sessions *sessions = sessions_new();
    char secret[SESSION_SECRET_SIZE], other[SESSION_SECRET_SIZE], csrf[SESSION_CSRF_SIZE];
    open_one(sessions, "owner", 0, secret);
    open_one(sessions, "owner", 0, other);
    session_csrf(secret, csrf);
    assert_int_equal(strlen(csrf), SESSION_CSRF_SIZE - 1);
    assert_true(session_csrf_right(secret, csrf));
    assert_false(session_csrf_right(other, csrf));
    assert_false(session_csrf_right(secret, ""));
    assert_false(session_csrf_right(secret, secret));
    csrf[3] = csrf[3] == 'A' ? 'B' : 'A';
    assert_false(session_csrf_right(secret, csrf));
    sessions_free(sessions);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_opened_is_found_by_its_cookie),
        cmocka_unit_test(nothing_else_is_found),
        cmocka_unit_test(it_ends_when_nobody_asks_for_long),
        cmocka_unit_test(it_ends_in_the_end_however_much_it_is_used),
        cmocka_unit_test(one_that_was_closed_is_gone_and_others_stay),
        cmocka_unit_test(an_account_has_so_many_and_its_oldest_makes_way),
        cmocka_unit_test(all_together_are_so_many),
        cmocka_unit_test(the_csrf_token_belongs_to_the_cookie),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
