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
    assert_int_equal(token_create(store, "phone", "family", 1999, text), ERR_OK);
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
    assert_int_equal(token_create(store, "phone", NULL, PRIORITY_MAXIMUM, text), ERR_OK);
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
    assert_int_equal(token_create(store, "phone", NULL, 0, text), ERR_OK);
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
    assert_int_equal(token_create(store, "lost", NULL, 0, text), ERR_OK);
    assert_int_equal(token_create(store, "kept", NULL, 0, kept), ERR_OK);
    assert_true(store_token_check(store, text, &token));
    assert_int_equal(store_token_revoke(store, token.id, NULL), ERR_OK);
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
    assert_int_equal(store_token_revoke(store, "aaaaaaaaaaaa", NULL), ERR_NOT_FOUND);
    assert_int_equal(store_token_revoke(store, "an id that is longer than any id", NULL),
                     ERR_NOT_FOUND);
    store_close(store);
}

static void a_name_is_given_once(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token *tokens;
    size_t count;
    assert_int_equal(token_create(store, "phone", NULL, 0, text), ERR_OK);
    assert_int_equal(token_create(store, "phone", NULL, 0, text), ERR_CONFLICT);
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
    assert_int_equal(token_create(store, NULL, NULL, 0, text), ERR_OK);
    assert_true(store_token_check(store, text, &token));
    assert_string_equal(token.name, token.id);
    store_close(store);
}

static void names_accounts_and_priorities_outside_their_limits_are_refused(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], name[TOKEN_NAME_SIZE + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(token_create(store, name, NULL, 0, text), ERR_FORMAT);
    assert_int_equal(token_create(store, "", NULL, 0, text), ERR_FORMAT);
    assert_int_equal(token_create(store, "a\nb", NULL, 0, text), ERR_FORMAT);
    assert_int_equal(token_create(store, "a", "", 0, text), ERR_FORMAT);
    assert_int_equal(token_create(store, "a", name, 0, text), ERR_FORMAT);
    assert_int_equal(token_create(store, "a", NULL, -1, text), ERR_RANGE);
    name[TOKEN_NAME_SIZE - 1] = '\0';
    assert_int_equal(token_create(store, name, NULL, 0, text), ERR_OK);
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
    assert_int_equal(token_create(store, "z", NULL, 1, text), ERR_OK);
    assert_int_equal(token_create(store, "a", NULL, 2, text), ERR_OK);
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
        assert_int_equal(token_create(store, NULL, NULL, 0, text), ERR_OK);
    snprintf(id, sizeof id, "%.12s", text + 5);
    assert_int_equal(token_create(store, NULL, NULL, 0, text), ERR_LIMIT);
    assert_int_equal(store_token_revoke(store, id, NULL), ERR_OK);
    assert_int_equal(token_create(store, NULL, NULL, 0, text), ERR_OK);
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
    assert_int_equal(token_create(store, "phone", NULL, 0, text), ERR_OK);
    snprintf(id, sizeof id, "%.12s", text + 5);
    assert_true(file_contains(*state, "derd.db-wal", id)); /* the search finds what is there */
    assert_false(file_contains(*state, "derd.db-wal", text + 18));
    store_close(store);
    assert_true(file_contains(*state, "derd.db", id));
    assert_false(file_contains(*state, "derd.db", text + 18));
}

#define HOME_ID "400f12a7-60ce-4337-b7f5-02a422d62cf3"
#define SHOP_ID "b8e3a7e2-c7d9-4cbf-9b3c-045a91d96ad7"

static void what_a_token_may_do_survives_a_restart(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token token = {.scopes = 1U << TOKEN_READ | 1U << TOKEN_SCRIPTS,
                          .max_priority = 7,
                          .expires_at = {4000000000000},
                          .cluster_count = 2,
                          .clusters = {HOME_ID, SHOP_ID}};
    assert_int_equal(store_token_create(store, "wall", NULL, &token, text, NULL), ERR_OK);
    assert_string_equal(token.name, "wall");
    assert_int_equal(strncmp(token.id, text + 5, 12), 0);
    for (int i = 0; i < 2; i++) {
        struct token seen;
        assert_true(store_token_check(store, text, &seen));
        assert_int_equal(seen.scopes, token.scopes);
        assert_int_equal(seen.max_priority, 7);
        assert_int_equal(seen.expires_at.ms, 4000000000000);
        assert_int_equal(seen.cluster_count, 2);
        assert_string_equal(seen.clusters[0], HOME_ID);
        assert_string_equal(seen.clusters[1], SHOP_ID);
        store_close(store);
        store = store_opened(*state);
    }
    store_close(store);
}

static void a_token_that_may_nothing_is_not_made(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct token none = {0};
    struct token unknown = {.scopes = TOKEN_SCOPES_ALL + 1};
    struct token many = {.scopes = 1, .cluster_count = TOKEN_CLUSTERS_MAXIMUM + 1};
    assert_int_equal(store_token_create(store, NULL, NULL, &none, text, NULL), ERR_RANGE);
    assert_int_equal(store_token_create(store, NULL, NULL, &unknown, text, NULL), ERR_RANGE);
    assert_int_equal(store_token_create(store, NULL, NULL, &many, text, NULL), ERR_RANGE);
    assert_false(store_has_tokens(store));
    store_close(store);
}

static int64_t last_use(struct store *store, const char *text) {
    struct token token;
    assert_true(store_token_check(store, text, &token));
    return token.last_used_at.ms;
}

/* What is on disk, as another program sees it once all that was submitted is done. */
static int64_t kept_use(struct store *store, const struct folder *folder) {
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *statement;
    free(store_get_text(store, "none", "none")); /* after all of before */
    folder_path(folder, "derd.db", path);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT max(last_used_at_ms) FROM tokens", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t used = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return used;
}

static void the_last_use_is_seen_at_once_and_written_once_a_minute(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE];
    assert_int_equal(token_create(store, "phone", NULL, 0, text), ERR_OK);
    snprintf(id, sizeof id, "%.12s", text + 5);
    assert_int_equal(last_use(store, text), 0);
    store_token_used(store, id, (struct wall){1000000});
    assert_int_equal(last_use(store, text), 1000000);
    assert_int_equal(kept_use(store, *state), 1000000);
    store_token_used(store, id, (struct wall){1000000 + TOKEN_USE_MS - 1});
    assert_int_equal(last_use(store, text), 1000000 + TOKEN_USE_MS - 1);
    assert_int_equal(kept_use(store, *state), 1000000);
    store_token_used(store, id, (struct wall){1000000 + TOKEN_USE_MS});
    assert_int_equal(kept_use(store, *state), 1000000 + TOKEN_USE_MS);
    store_token_used(store, id, (struct wall){500}); /* the clock was set back */
    assert_int_equal(kept_use(store, *state), 500);
    store_token_used(store, "aaaaaaaaaaaa", (struct wall){9000000}); /* nobody's */
    store_token_used(store, id, (struct wall){600});
    store_close(store); /* what was not written is written now */
    store = store_opened(*state);
    assert_int_equal(last_use(store, text), 600);
    store_close(store);
}

static void the_last_use_stays_with_its_token_when_another_goes(void **state) {
    struct store *store = store_opened(*state);
    char first[TOKEN_TEXT_SIZE], second[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE];
    assert_int_equal(token_create(store, "a", NULL, 0, first), ERR_OK);
    assert_int_equal(token_create(store, "b", "shop", 0, second), ERR_OK);
    snprintf(id, sizeof id, "%.12s", second + 5);
    store_token_used(store, id, (struct wall){77});
    snprintf(id, sizeof id, "%.12s", first + 5);
    assert_int_equal(store_token_revoke(store, id, NULL), ERR_OK);
    assert_int_equal(last_use(store, second), 77);
    assert_int_equal(token_create(store, "c", NULL, 0, first), ERR_OK);
    assert_int_equal(last_use(store, first), 0);
    store_close(store);
}

/* The layout of before: what was added since is taken away again. */
static void make_old(const struct folder *folder) {
    static const char sql[] = "ALTER TABLE tokens DROP COLUMN scopes;"
                              "ALTER TABLE tokens DROP COLUMN expires_at_ms;"
                              "ALTER TABLE tokens DROP COLUMN last_used_at_ms;"
                              "ALTER TABLE tokens DROP COLUMN clusters;"
                              "DROP TABLE audit; DROP TABLE audit_state; DROP TABLE passwords;"
                              "DROP TRIGGER constraint_leaves_its_rank;"
                              "DROP TRIGGER constraint_leaves_a_higher_rank;"
                              "CREATE INDEX constraints_by_end ON constraints (invalid_at_ms);"
                              "PRAGMA user_version = 5;";
    char path[128];
    char *error = NULL;
    sqlite3 *db;
    folder_path(folder, "derd.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    sqlite3_close(db);
}

static void tokens_of_the_layout_before_may_what_they_could(void **state) {
    struct store *store = store_opened(*state);
    char strong[TOKEN_TEXT_SIZE], weak[TOKEN_TEXT_SIZE];
    struct token token;
    assert_int_equal(token_create(store, "ems", NULL, 1000, strong), ERR_OK);
    assert_int_equal(token_create(store, "guest", "shop", 999, weak), ERR_OK);
    store_close(store);
    make_old(*state);
    store = store_opened(*state);
    assert_true(store_token_check(store, strong, &token));
    assert_int_equal(token.scopes, TOKEN_SCOPES_ALL);
    assert_int_equal(token.expires_at.ms, 0);
    assert_int_equal(token.cluster_count, 0);
    assert_int_equal(token.last_used_at.ms, 0);
    assert_true(store_token_check(store, weak, &token));
    assert_int_equal(token.scopes, 1U << TOKEN_READ | 1U << TOKEN_CONTROL);
    assert_string_equal(token.account, "shop");
    assert_int_equal(token.max_priority, 999);
    store_close(store);
}

static void a_cluster_is_found_by_id_and_key_of_file_and_api(void **state) {
    struct store *store = store_opened(*state);
    char home[ID_SIZE], id[ID_SIZE], upper[ID_SIZE];
    const struct stored_thing made = {.id = SHOP_ID,
                                      .key = "shop",
                                      .owner = ACCOUNT_ROOT,
                                      .parent_id = "",
                                      .entry = "{}",
                                      .revision = 1};
    struct stored_thing clash = made;
    assert_int_equal(store_id(store, "cluster", "home", home), ERR_OK);
    assert_int_equal(store_id(store, "device", "home/x", id), ERR_OK);
    assert_int_equal(store_put_thing(store, &made, NULL, NULL), ERR_OK);
    assert_int_equal(store_cluster_find(store, "home", id), ERR_OK);
    assert_string_equal(id, home);
    assert_int_equal(store_cluster_find(store, home, id), ERR_OK);
    assert_string_equal(id, home);
    assert_int_equal(store_cluster_find(store, "shop", id), ERR_OK);
    assert_string_equal(id, SHOP_ID);
    for (size_t i = 0; i < sizeof upper; i++)
        upper[i] = (char)(SHOP_ID[i] >= 'a' ? SHOP_ID[i] - 32 : SHOP_ID[i]);
    assert_int_equal(store_cluster_find(store, upper, id), ERR_OK);
    assert_string_equal(id, SHOP_ID);
    assert_int_equal(store_cluster_find(store, "home/x", id), ERR_NOT_FOUND);
    clash.id = HOME_ID;
    clash.key = "home";
    assert_int_equal(store_put_thing(store, &clash, NULL, NULL), ERR_OK);
    assert_int_equal(store_cluster_find(store, "home", id), ERR_CONFLICT);
    store_close(store);
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
        if (token_create(churn->store, NULL, NULL, 0, text) != ERR_OK ||
            !store_token_check(churn->store, text, &token) ||
            store_token_revoke(churn->store, token.id, NULL) != ERR_OK ||
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
        with_folder(what_a_token_may_do_survives_a_restart),
        with_folder(a_token_that_may_nothing_is_not_made),
        with_folder(the_last_use_is_seen_at_once_and_written_once_a_minute),
        with_folder(the_last_use_stays_with_its_token_when_another_goes),
        with_folder(tokens_of_the_layout_before_may_what_they_could),
        with_folder(a_cluster_is_found_by_id_and_key_of_file_and_api),
        with_folder(tokens_may_be_made_revoked_and_checked_by_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
