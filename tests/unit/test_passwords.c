/* Passwords: what may be one, its hash, and how the store keeps them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "store/store_passwords.h"
#include "store_kit.h"

#define GOOD "correct horse battery"

/* --- what may be one -------------------------------------------------------------------------- */

static void refused_for(const char *text, const char *words) {
    char why[200];
    assert_false(password_fits(text, "owner", why, sizeof why));
    if (!strstr(why, words))
        fail_msg("\"%s\" is not in: %s", words, why);
}

static void what_is_short_or_simple_is_refused_with_the_reason(void **state) {
    (void)state;
    char why[200], text[PASSWORD_MAXIMUM + 2];
    refused_for("", "at least 10 characters, this one has 0");
    refused_for("abcdefghi", "has 9");
    refused_for("äöüäöüäöü", "has 9"); /* characters, not bytes */
    refused_for("1111111111111", "different characters");
    refused_for("abcd\tefghijk", "control characters");
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = (char)('a' + i % 26);
    text[sizeof text - 1] = '\0';
    refused_for(text, "at most 256 bytes");
    text[PASSWORD_MAXIMUM] = '\0';
    assert_true(password_fits(text, "owner", why, sizeof why));
    assert_true(password_fits("abcdefghij", "owner", why, sizeof why));
    assert_true(password_fits("äöüßäöüßäö", "owner", why, sizeof why));
    assert_false(password_fits("The-Bakery", "the-bakery", why, sizeof why));
}

/* --- the hash --------------------------------------------------------------------------------- */

static void the_right_one_is_known_by_its_hash(void **state) {
    (void)state;
    char hash[PASSWORD_HASH_SIZE], again[PASSWORD_HASH_SIZE];
    assert_int_equal(password_hash(GOOD, hash), ERR_OK);
    assert_int_equal(password_hash(GOOD, again), ERR_OK);
    assert_string_not_equal(hash, again); /* a salt of its own */
    assert_int_equal(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    assert_int_equal(password_check(hash, GOOD), ERR_OK);
    assert_int_equal(password_check(again, GOOD), ERR_OK);
    assert_int_equal(password_check(hash, "correct horse batterz"), ERR_REFUSED);
    assert_int_equal(password_check(hash, ""), ERR_REFUSED);
    assert_int_equal(password_check("nonsense", GOOD), ERR_REFUSED);
    assert_int_equal(password_check(NULL, GOOD), ERR_REFUSED);
}

static void *check_on_a_small_stack(void *context) {
    bool *right = context;
    char hash[PASSWORD_HASH_SIZE];
    *right = password_hash(GOOD, hash) == ERR_OK && password_check(hash, GOOD) == ERR_OK &&
             password_check(NULL, GOOD) == ERR_REFUSED;
    return NULL;
}

/* As the threads of the API have it. */
static void a_stack_of_100_kib_is_enough(void **state) {
    (void)state;
    pthread_attr_t attributes;
    pthread_t thread;
    bool right = false;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 102400), 0);
    assert_int_equal(pthread_create(&thread, &attributes, check_on_a_small_stack, &right), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_true(right);
}

/* --- in the store ----------------------------------------------------------------------------- */

static enum err set(struct store *store, const char *account, const char *hash) {
    struct password password = {.max_priority = 1999, .scopes = TOKEN_SCOPES_DEFAULT};
    snprintf(password.hash, sizeof password.hash, "%s", hash);
    return store_password_set(store, account, &password, NULL);
}

static void make_account(struct store *store, const char *key) {
    struct account account = {.parent = ACCOUNT_ROOT};
    snprintf(account.key, sizeof account.key, "%s", key);
    assert_int_equal(store_account_create(store, &account, NULL), ERR_OK);
}

static void nobody_has_one_at_first(void **state) {
    struct store *store = store_opened(*state);
    struct password password, *list;
    size_t count;
    assert_false(store_has_tokens(store)); /* nobody could be let in */
    assert_false(store_password_find(store, "owner", &password));
    assert_int_equal(store_password_list(store, &list, &count), ERR_OK);
    assert_int_equal(count, 0);
    free(list);
    assert_int_equal(store_password_remove(store, "owner", NULL), ERR_NOT_FOUND);
    store_close(store);
}

static void what_was_set_is_there_after_a_restart(void **state) {
    struct store *store = store_opened(*state);
    struct password before, after;
    make_account(store, "net");
    assert_int_equal(set(store, "owner", "hash of owner"), ERR_OK);
    assert_int_equal(set(store, "net", "hash of net"), ERR_OK);
    assert_true(store_password_find(store, "owner", &before));
    store_close(store);
    store = store_opened(*state);
    assert_true(store_password_find(store, "owner", &after));
    assert_string_equal(after.hash, "hash of owner");
    assert_int_equal(after.max_priority, 1999);
    assert_int_equal(after.scopes, TOKEN_SCOPES_DEFAULT);
    assert_memory_equal(after.mark, before.mark, sizeof after.mark);
    assert_true(store_has_tokens(store));
    assert_int_equal(after.set_at.ms, before.set_at.ms);
    assert_true(store_password_find(store, "net", &after));
    assert_string_equal(after.hash, "hash of net");
    store_close(store);
}

static void each_new_one_has_a_mark_of_its_own(void **state) {
    struct store *store = store_opened(*state);
    struct password first, second;
    assert_int_equal(set(store, "owner", "the same"), ERR_OK);
    assert_true(store_password_find(store, "owner", &first));
    assert_int_equal(set(store, "owner", "the same"), ERR_OK);
    assert_true(store_password_find(store, "owner", &second));
    assert_memory_not_equal(first.mark, second.mark, sizeof first.mark);
    assert_int_equal(store_password_remove(store, "owner", NULL), ERR_OK);
    assert_false(store_password_find(store, "owner", &first));
    store_close(store);
    store = store_opened(*state);
    assert_false(store_password_find(store, "owner", &first));
    store_close(store);
}

static void it_needs_an_account_and_goes_with_it(void **state) {
    struct store *store = store_opened(*state);
    struct password password;
    struct account account;
    assert_int_equal(set(store, "nobody", "hash"), ERR_NOT_FOUND);
    make_account(store, "net");
    assert_true(store_account_find(store, "net", &account));
    assert_int_equal(set(store, account.id, "hash"), ERR_OK); /* by its id as well */
    assert_true(store_password_find(store, "net", &password));
    assert_int_equal(store_account_remove(store, account.id, 0, NULL), ERR_OK);
    assert_false(store_password_find(store, "net", &password));
    make_account(store, "net"); /* another one of this name */
    assert_false(store_password_find(store, "net", &password));
    store_close(store);
    store = store_opened(*state);
    assert_false(store_password_find(store, "net", &password));
    store_close(store);
}

static void so_many_accounts_have_one(void **state) {
    struct store *store = store_opened(*state);
    struct password *list;
    size_t count;
    char key[16];
    for (int i = 0; i <= PASSWORDS_MAXIMUM; i++) {
        snprintf(key, sizeof key, "a%03d", i);
        make_account(store, key);
        assert_int_equal(set(store, key, "hash"), i < PASSWORDS_MAXIMUM ? ERR_OK : ERR_LIMIT);
    }
    assert_int_equal(set(store, "a007", "another"), ERR_OK);
    assert_int_equal(store_password_list(store, &list, &count), ERR_OK);
    assert_int_equal(count, PASSWORDS_MAXIMUM);
    assert_string_equal(list[7].account, "a007");
    assert_string_equal(list[7].hash, "another");
    free(list);
    store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_short_or_simple_is_refused_with_the_reason),
        cmocka_unit_test(the_right_one_is_known_by_its_hash),
        cmocka_unit_test(a_stack_of_100_kib_is_enough),
        cmocka_unit_test_setup_teardown(nobody_has_one_at_first, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_was_set_is_there_after_a_restart, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(each_new_one_has_a_mark_of_its_own, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(it_needs_an_account_and_goes_with_it, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(so_many_accounts_have_one, folder_make, folder_remove),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
