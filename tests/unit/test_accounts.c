/* Accounts in the store, what the API made, and a store of the layout before there were any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "first_layout.h"
#include "store/store_webhooks.h"
#include "store_kit.h"

static struct account made(struct store *store, const char *key, const char *parent) {
    struct account account = {0};
    snprintf(account.key, sizeof account.key, "%s", key);
    snprintf(account.parent, sizeof account.parent, "%s", parent);
    snprintf(account.name, sizeof account.name, "Account %s", key);
    assert_int_equal(store_account_create(store, &account, NULL), ERR_OK);
    assert_true(uuid_valid(account.id));
    assert_int_equal(account.revision, 1);
    assert_true(account.created_at.ms > 0);
    return account;
}

static void a_new_store_has_the_root_alone(void **state) {
    struct store *store = store_opened(*state);
    struct account *accounts;
    size_t count;
    assert_int_equal(store_account_list(store, &accounts, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_string_equal(accounts[0].key, "owner");
    assert_string_equal(accounts[0].parent, "");
    assert_true(uuid_valid(accounts[0].id));
    free(accounts);
    store_close(store);
}

static void an_account_controls_itself_and_all_below_it(void **state) {
    struct store *store = store_opened(*state);
    made(store, "north", "owner");
    made(store, "shop", "north");
    made(store, "till", "shop");
    made(store, "south", "owner");
    assert_true(store_account_controls(store, "north", "north"));
    assert_true(store_account_controls(store, "north", "till"));
    assert_true(store_account_controls(store, "owner", "till"));
    assert_true(store_account_controls(store, "owner", "nobody"));
    assert_false(store_account_controls(store, "till", "shop"));
    assert_false(store_account_controls(store, "south", "till"));
    assert_false(store_account_controls(store, "north", "south"));
    assert_false(store_account_controls(store, "north", "owner"));
    assert_false(store_account_controls(store, "north", "nobody"));
    store_close(store);
}

static void accounts_are_found_by_id_and_key_and_after_a_restart(void **state) {
    struct store *store = store_opened(*state);
    struct account account = made(store, "north", "owner");
    struct account nameless = made(store, "", "north");
    assert_string_equal(nameless.key, nameless.id);
    store_close(store);
    store = store_opened(*state);
    struct account found;
    assert_true(store_account_find(store, "north", &found));
    assert_string_equal(found.id, account.id);
    assert_string_equal(found.name, "Account north");
    assert_true(store_account_find(store, account.id, &found));
    assert_true(store_account_find(store, nameless.id, &found));
    assert_string_equal(found.parent, "north");
    assert_true(store_account_controls(store, "north", nameless.key));
    assert_false(store_account_find(store, "nowhere", &found));
    store_close(store);
}

static void a_key_is_given_once_and_a_parent_must_exist(void **state) {
    struct store *store = store_opened(*state);
    struct account again = {.key = "north", .parent = "owner"};
    struct account orphan = {.key = "orphan", .parent = "nobody"};
    made(store, "north", "owner");
    assert_int_equal(store_account_create(store, &again, NULL), ERR_CONFLICT);
    assert_int_equal(store_account_create(store, &orphan, NULL), ERR_NOT_FOUND);
    store_close(store);
}

static void a_change_needs_the_revision_that_it_names(void **state) {
    struct store *store = store_opened(*state);
    struct account account = made(store, "north", "owner");
    snprintf(account.name, sizeof account.name, "The north");
    assert_int_equal(store_account_change(store, &account, NULL), ERR_OK);
    assert_int_equal(account.revision, 2);
    account.revision = 1;
    assert_int_equal(store_account_change(store, &account, NULL), ERR_CONFLICT);
    assert_int_equal(store_account_remove(store, account.id, 1, NULL), ERR_CONFLICT);
    struct account found;
    assert_true(store_account_find(store, "north", &found));
    assert_string_equal(found.name, "The north");
    assert_int_equal(store_account_remove(store, account.id, 2, NULL), ERR_OK);
    assert_false(store_account_find(store, "north", &found));
    store_close(store);
}

static void the_tree_gets_no_cycle(void **state) {
    struct store *store = store_opened(*state);
    struct account north = made(store, "north", "owner");
    struct account shop = made(store, "shop", "north");
    struct account root;
    north.revision = 0;
    snprintf(north.parent, sizeof north.parent, "%s", shop.key);
    assert_int_equal(store_account_change(store, &north, NULL), ERR_REFUSED);
    snprintf(north.parent, sizeof north.parent, "north");
    assert_int_equal(store_account_change(store, &north, NULL), ERR_REFUSED);
    assert_true(store_account_find(store, "owner", &root));
    snprintf(root.parent, sizeof root.parent, "shop");
    assert_int_equal(store_account_change(store, &root, NULL), ERR_REFUSED);
    assert_int_equal(store_account_remove(store, root.id, 0, NULL), ERR_REFUSED);
    snprintf(shop.parent, sizeof shop.parent, "owner");
    assert_int_equal(store_account_change(store, &shop, NULL), ERR_OK);
    assert_false(store_account_controls(store, "north", "shop"));
    store_close(store);
}

static struct stored_thing cluster_of(const char *id, const char *key, const char *account) {
    return (struct stored_thing){.id = id,
                                 .key = key,
                                 .owner = account,
                                 .parent_id = "",
                                 .entry = "{\"name\":\"A shop\"}",
                                 .revision = 1,
                                 .created_at = {1700000000000}};
}

static void keep_result(void *context, enum err result) {
    *(enum err *)context = result;
}

/* What is submitted first is done first, so a read that has come back tells that it is done. */
static enum err put(struct store *store, const struct stored_thing *thing) {
    enum err result = ERR_CLOSED;
    assert_int_equal(store_put_thing(store, thing, keep_result, &result), ERR_OK);
    free(store_get_text(store, "nothing", "nothing"));
    return result;
}

static void one_that_has_something_stays_and_tokens_go_with_theirs(void **state) {
    struct store *store = store_opened(*state);
    struct account north = made(store, "north", "owner");
    struct account shop = made(store, "shop", "north");
    char text[TOKEN_TEXT_SIZE];
    struct token token;
    assert_int_equal(token_create(store, "till", "shop", 1000, text), ERR_OK);
    assert_int_equal(store_account_remove(store, north.id, 0, NULL), ERR_REFUSED);
    struct stored_thing cluster = cluster_of(ID_ONE, "site", "shop");
    assert_int_equal(put(store, &cluster), ERR_OK);
    assert_int_equal(store_account_remove(store, shop.id, 0, NULL), ERR_REFUSED);
    assert_true(store_token_check(store, text, &token));
    assert_int_equal(store_remove_thing(store, false, ID_ONE, NULL, NULL, NULL), ERR_OK);
    struct wall at = {1700000000000};
    assert_int_equal(store_put_webhook(store, ID_TWO, "nobody", "{}", at, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_put_webhook(store, ID_TWO, "shop", "{}", at, NULL), ERR_OK);
    assert_int_equal(store_account_remove(store, shop.id, 0, NULL), ERR_REFUSED);
    assert_int_equal(store_remove_webhook(store, ID_TWO, NULL), ERR_OK);
    assert_int_equal(store_account_remove(store, shop.id, 0, NULL), ERR_OK);
    assert_false(store_token_check(store, text, &token));
    assert_int_equal(store_account_remove(store, shop.id, 0, NULL), ERR_NOT_FOUND);
    store_close(store);
    store = store_opened(*state);
    assert_false(store_token_check(store, text, &token));
    store_close(store);
}

struct seen {
    char text[600];
};

static void see_thing(void *context, const struct stored_thing *thing) {
    struct seen *seen = context;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%s %s of %s below '%s' r%d %s\n",
             thing->is_device ? "device" : "cluster", thing->key, thing->owner, thing->parent_id,
             (int)thing->revision, thing->entry);
}

static void clusters_and_devices_are_kept_by_id(void **state) {
    struct store *store = store_opened(*state);
    struct stored_thing cluster = cluster_of(ID_ONE, "site", "owner");
    struct stored_thing device = cluster_of(ID_TWO, "meter", ID_ONE);
    device.is_device = true;
    assert_int_equal(put(store, &device), ERR_OK);
    assert_int_equal(put(store, &cluster), ERR_OK);
    cluster.entry = "{}";
    cluster.revision = 2;
    cluster.parent_id = ID_TWO;
    assert_int_equal(put(store, &cluster), ERR_OK);
    struct stored_thing nobody = cluster_of(ID_TWO, "other", "nobody");
    assert_int_equal(put(store, &nobody), ERR_NOT_FOUND);
    store_close(store);
    store = store_opened(*state);
    struct seen seen = {""};
    assert_int_equal(store_load_things(store, see_thing, &seen), ERR_OK);
    assert_string_equal(seen.text,
                        "cluster site of owner below '" ID_TWO "' r2 {}\n"
                        "device meter of " ID_ONE " below '' r1 {\"name\":\"A shop\"}\n");
    assert_int_equal(store_remove_thing(store, true, ID_TWO, NULL, NULL, NULL), ERR_OK);
    seen.text[0] = '\0';
    assert_int_equal(store_load_things(store, see_thing, &seen), ERR_OK);
    assert_null(strstr(seen.text, "device"));
    store_close(store);
}

/* --- layout 1 ----------------------------------------------------------------------------------
 */

static void see_constraint(void *context, const char *device_id,
                           const struct constraint *constraint) {
    assert_string_equal(device_id, ID_TWO);
    assert_string_equal(constraint->id, ID_ONE);
    assert_int_equal(constraint->wish.max, 4200);
    (*(int *)context)++;
}

static void a_store_of_the_first_layout_keeps_all_it_had(void **state) {
    char path[128];
    sqlite3 *db;
    folder_path(*state, "derd.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, layout_1, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    sqlite3_close(db);
    for (int opened = 0; opened < 2; opened++) { /* the second time nothing is left to do */
        struct store *store = store_opened(*state);
        struct token *tokens;
        struct account account;
        char id[ID_SIZE];
        size_t count;
        int constraints = 0;
        assert_int_equal(store_token_list(store, &tokens, &count), ERR_OK);
        assert_int_equal(count, 2);
        assert_string_equal(tokens[0].name, "phone");
        assert_int_equal(tokens[0].max_priority, 1999);
        assert_int_equal(tokens[0].scopes, TOKEN_SCOPES_ALL);
        assert_string_equal(tokens[1].account, "Next door");
        free(tokens);
        assert_true(store_account_find(store, "owner", &account));
        assert_string_equal(account.parent, "");
        assert_true(store_account_find(store, "Next door", &account));
        assert_string_equal(account.parent, "owner");
        assert_int_equal(store_load_constraints(store, see_constraint, &constraints), ERR_OK);
        assert_int_equal(constraints, 1);
        assert_int_equal(store_last_rank(store), 9);
        assert_int_equal(store_id(store, "device", "home/wallbox", id), ERR_OK);
        assert_string_equal(id, ID_TWO);
        char *text = store_get_text(store, "clock", "floor");
        assert_string_equal(text, "1700000000000");
        free(text);
        store_close(store);
    }
}

static void a_token_makes_its_account(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct account account;
    assert_int_equal(token_create(store, "phone", "north", 1, text), ERR_OK);
    assert_true(store_account_find(store, "north", &account));
    assert_string_equal(account.parent, "owner");
    assert_int_equal(token_create(store, "phone", "north", 1, text), ERR_CONFLICT);
    assert_int_equal(token_create(store, "phone", "south", 1, text), ERR_OK);
    assert_int_equal(store_account_ensure(store, "north"), ERR_OK);
    assert_int_equal(store_account_ensure(store, "east"), ERR_OK);
    struct account *accounts;
    size_t count;
    assert_int_equal(store_account_list(store, &accounts, &count), ERR_OK);
    assert_int_equal(count, 4);
    free(accounts);
    store_close(store);
}

static void a_token_for_an_account_that_was_found_does_not_revive_it(void **state) {
    struct store *store = store_opened(*state);
    char text[TOKEN_TEXT_SIZE];
    struct account found = made(store, "shop", "owner"), again;
    struct token token = {.scopes = TOKEN_SCOPES_DEFAULT};
    assert_int_equal(store_token_create_for(store, "till", &found, &token, text, NULL), ERR_OK);
    assert_int_equal(store_account_remove(store, found.id, 0, NULL), ERR_OK);
    assert_int_equal(store_token_create_for(store, "door", &found, &token, text, NULL),
                     ERR_NOT_FOUND);
    assert_string_equal(text, "");
    assert_false(store_account_find(store, "shop", &again));
    made(store, "shop", "owner"); /* another one of the same key */
    assert_int_equal(store_token_create_for(store, "door", &found, &token, text, NULL),
                     ERR_NOT_FOUND);
    store_close(store);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        T(a_new_store_has_the_root_alone),
        T(an_account_controls_itself_and_all_below_it),
        T(accounts_are_found_by_id_and_key_and_after_a_restart),
        T(a_key_is_given_once_and_a_parent_must_exist),
        T(a_change_needs_the_revision_that_it_names),
        T(the_tree_gets_no_cycle),
        T(one_that_has_something_stays_and_tokens_go_with_theirs),
        T(clusters_and_devices_are_kept_by_id),
        T(a_store_of_the_first_layout_keeps_all_it_had),
        T(a_token_makes_its_account),
        T(a_token_for_an_account_that_was_found_does_not_revive_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
