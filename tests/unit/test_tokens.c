/* Tokens: shown once, kept as a hash, found again by it and by nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "store/store_internal.h"
#include "store_kit.h"

static void a_new_token_has_its_form_and_is_accepted(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token token;
    assert_int_equal(store_token_create(store, "phone", "family", 1999, text), ERR_OK);
    assert_int_equal(strlen(text), 5 + 12 + 1 + 43);
    assert_int_equal(strncmp(text, "derd_", 5), 0);
    assert_int_equal(strspn(text + 5, "abcdefghijklmnopqrstuvwxyz234567"), 12);
    assert_int_equal(text[17], '_');
    assert_int_equal(strspn(text + 18, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_"),
                     43);
    assert_true(store_token_check(store, text, &token));
    assert_int_equal(strncmp(token.id, text + 5, 12), 0);
    assert_string_equal(token.name, "phone");
    assert_string_equal(token.account, "family");
    assert_int_equal(token.max_priority, 1999);
    store_close(store);
}

static void a_token_is_accepted_after_a_restart(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token token;
    assert_int_equal(store_token_create(store, "phone", NULL, PRIORITY_MAXIMUM, text), ERR_OK);
    store_close(store);
    store = store_opened(*state);
    assert_true(store_token_check(store, text, &token));
    assert_string_equal(token.name, "phone");
    assert_string_equal(token.account, "owner");
    assert_int_equal(token.max_priority, PRIORITY_MAXIMUM);
    assert_true(token.created_at.ms > 0);
    store_close(store);
}

static void no_other_text_is_accepted(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE + 1];
    struct token token;
    assert_int_equal(store_token_create(store, "phone", NULL, 0, text), ERR_OK);
    for (size_t i = 0; i < strlen(text); i++) {
        memcpy(other, text, sizeof text);
        other[i] = other[i] == 'x' ? 'y' : 'x';
        assert_false(store_token_check(store, other, &token));
    }
    snprintf(other, sizeof other, "%sx", text);
    assert_false(store_token_check(store, other, &token));
    memcpy(other, text, sizeof text);
    other[strlen(text) - 1] = '\0';
    assert_false(store_token_check(store, other, &token));
    assert_false(store_token_check(store, "", &token));
    store_close(store);
}

static void a_revoked_token_is_refused_at_once_and_after_a_restart(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], kept[TOKEN_TEXT_SIZE];
    struct token token;
    assert_int_equal(store_token_create(store, "lost", NULL, 0, text), ERR_OK);
    assert_int_equal(store_token_create(store, "kept", NULL, 0, kept), ERR_OK);
    assert_true(store_token_check(store, text, &token));
    assert_int_equal(store_token_revoke(store, token.id), ERR_OK);
    for (int round = 0; round < 2; round++) {
        assert_false(store_token_check(store, text, &token));
        assert_true(store_token_check(store, kept, &token));
        store_close(store);
        store = store_opened(*state);
    }
    store_close(store);
}

static void a_token_that_does_not_exist_cannot_be_revoked(void **state) {
    struct store *store = store_opened(*state);
    assert_int_equal(store_token_revoke(store, "aaaaaaaaaaaa"), ERR_NOT_FOUND);
    assert_int_equal(store_token_revoke(store, "an id that is longer than any id"), ERR_NOT_FOUND);
    store_close(store);
}

static void a_name_is_given_once(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token *tokens;
    size_t count;
    assert_int_equal(store_token_create(store, "phone", NULL, 0, text), ERR_OK);
    assert_int_equal(store_token_create(store, "phone", NULL, 0, text), ERR_CONFLICT);
    assert_string_equal(text, "");
    assert_int_equal(store_token_list(store, &tokens, &count), ERR_OK);
    assert_int_equal(count, 1);
    free(tokens);
    store_close(store);
}

static void a_token_without_a_name_is_named_by_its_id(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token token;
    assert_int_equal(store_token_create(store, NULL, NULL, 0, text), ERR_OK);
    assert_true(store_token_check(store, text, &token));
    assert_string_equal(token.name, token.id);
    store_close(store);
}

static void names_accounts_and_priorities_outside_their_limits_are_refused(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], name[TOKEN_NAME_SIZE + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(store_token_create(store, name, NULL, 0, text), ERR_FORMAT);
    assert_int_equal(store_token_create(store, "", NULL, 0, text), ERR_FORMAT);
    assert_int_equal(store_token_create(store, "a\nb", NULL, 0, text), ERR_FORMAT);
    assert_int_equal(store_token_create(store, "a", "", 0, text), ERR_FORMAT);
    assert_int_equal(store_token_create(store, "a", name, 0, text), ERR_FORMAT);
    assert_int_equal(store_token_create(store, "a", NULL, -1, text), ERR_RANGE);
    name[TOKEN_NAME_SIZE - 1] = '\0';
    assert_int_equal(store_token_create(store, name, NULL, 0, text), ERR_OK);
    store_close(store);
}

static void the_list_is_in_the_order_of_creation(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token *tokens;
    size_t count;
    assert_int_equal(store_token_list(store, &tokens, &count), ERR_OK);
    assert_int_equal(count, 0);
    free(tokens);
    assert_int_equal(store_token_create(store, "z", NULL, 1, text), ERR_OK);
    assert_int_equal(store_token_create(store, "a", NULL, 2, text), ERR_OK);
    assert_int_equal(store_token_list(store, &tokens, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_string_equal(tokens[0].name, "z");
    assert_string_equal(tokens[1].name, "a");
    free(tokens);
    store_close(store);
}

static void there_are_only_so_many_tokens(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], id[16];
    for (int i = 0; i < TOKENS_PER_ACCOUNT; i++)
        assert_int_equal(store_token_create(store, NULL, NULL, 0, text), ERR_OK);
    snprintf(id, sizeof id, "%.12s", text + 5);
    assert_int_equal(store_token_create(store, NULL, NULL, 0, text), ERR_LIMIT);
    assert_int_equal(store_token_revoke(store, id), ERR_OK);
    assert_int_equal(store_token_create(store, NULL, NULL, 0, text), ERR_OK);
    store_close(store);
}

static bool file_contains(const struct folder *folder, const char *name, const char *text) {
    char path[128];
    struct stat status;
    folder_path(folder, name, path);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    assert_int_equal(fstat(fd, &status), 0);
    char *data = malloc((size_t)status.st_size + 1);
    assert_int_equal(read(fd, data, (size_t)status.st_size), status.st_size);
    close(fd);
    bool found = memmem(data, (size_t)status.st_size, text, strlen(text)) != NULL;
    free(data);
    return found;
}

static void the_secret_is_in_no_file(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], id[16];
    assert_int_equal(store_token_create(store, "phone", NULL, 0, text), ERR_OK);
    snprintf(id, sizeof id, "%.12s", text + 5);
    assert_true(file_contains(*state, "derd.db-wal", id)); /* the search finds what is there */
    assert_false(file_contains(*state, "derd.db-wal", text + 18));
    store_close(store);
    assert_true(file_contains(*state, "derd.db", id));
    assert_false(file_contains(*state, "derd.db", text + 18));
}

struct churn {
    struct store *store;
    atomic_int failures;
};

static void *create_and_revoke(void *context) {
    struct churn *churn = context;
    for (int i = 0; i < 30; i++) {
        char text[TOKEN_TEXT_SIZE];
        struct token token;
        if (store_token_create(churn->store, NULL, NULL, 0, text) != ERR_OK ||
            !store_token_check(churn->store, text, &token) ||
            store_token_revoke(churn->store, token.id) != ERR_OK ||
            store_token_check(churn->store, text, &token))
            atomic_fetch_add(&churn->failures, 1);
    }
    return NULL;
}

static void tokens_may_be_made_revoked_and_checked_by_several_threads(void **state) {
    struct churn churn = {.store = store_opened(*state)};
    pthread_t threads[3];
    struct token *tokens;
    size_t count;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_and_revoke, &churn), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&churn.failures), 0);
    assert_int_equal(store_token_list(churn.store, &tokens, &count), ERR_OK);
    assert_int_equal(count, 0);
    free(tokens);
    store_close(churn.store);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(a_new_token_has_its_form_and_is_accepted),
        with_folder(a_token_is_accepted_after_a_restart),
        with_folder(no_other_text_is_accepted),
        with_folder(a_revoked_token_is_refused_at_once_and_after_a_restart),
        with_folder(a_token_that_does_not_exist_cannot_be_revoked),
        with_folder(a_name_is_given_once),
        with_folder(a_token_without_a_name_is_named_by_its_id),
        with_folder(names_accounts_and_priorities_outside_their_limits_are_refused),
        with_folder(the_list_is_in_the_order_of_creation),
        with_folder(there_are_only_so_many_tokens),
        with_folder(the_secret_is_in_no_file),
        with_folder(tokens_may_be_made_revoked_and_checked_by_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
