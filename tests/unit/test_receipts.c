/* Receipts in the store, and constraints that change together: all of it, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store_internal.h"
#include "store_kit.h"

#define DEVICE "11111111-2222-4333-8444-555555555555"
#define DAY    (INT64_C(24) * 3600 * 1000)

static struct receipt receipt_made(const char *key, int64_t at_ms) {
    struct receipt receipt = {
        .owner = "abc", .created_at = {at_ms}, .status = 201, .location = "/v1/here"};
    snprintf(receipt.key, sizeof receipt.key, "%s", key);
    memset(receipt.fingerprint, 7, sizeof receipt.fingerprint);
    return receipt;
}

static void put(struct store *store, const char *key, int64_t at_ms, const char *body) {
    struct receipt receipt = receipt_made(key, at_ms);
    receipt.body = (char *)body;
    assert_int_equal(store_put_receipt(store, &receipt, NULL, NULL), ERR_OK);
}

static bool has(struct store *store, const char *owner, const char *key, int64_t now_ms) {
    struct receipt receipt;
    enum err err = store_get_receipt(store, owner, key, (struct wall){now_ms}, &receipt);
    assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
    free(receipt.body);
    return err == ERR_OK;
}

static struct constraint *constraint_made(unsigned number) {
    struct constraint constraint = {
        .wish = {.priority = 1000, .rank = number, .has_max = true, .max = 4200},
        .valid_at = {1000},
        .invalid_at = {2000},
        .created_by = "token:test",
    };
    snprintf(constraint.id, sizeof constraint.id, "00000000-0000-4000-8000-%012u", number);
    return constraint_new(&constraint);
}

static void count_row(void *context, const char *device_id, const struct constraint *row) {
    (void)device_id;
    (void)row;
    (*(size_t *)context)++;
}

static size_t count_constraints(struct store *store) {
    size_t count = 0;
    assert_int_equal(store_load_constraints(store, count_row, &count), ERR_OK);
    return count;
}

static enum err change(struct store *store, const struct store_change *what) {
    struct results *results = results_new();
    enum err err = store_change_constraints(store, what, results_add, results);
    if (err == ERR_OK) {
        results_wait(results, 1);
        err = results->items[0];
    }
    results_free(results);
    return err;
}

static void a_receipt_is_there_after_a_restart_and_whole(void **state) {
    struct store *store = store_opened(*state);
    struct receipt receipt = receipt_made("k1", 5000);
    struct token token;
    char text[TOKEN_TEXT_SIZE];
    assert_int_equal(token_create(store, "phone", NULL, 999, text), ERR_OK);
    assert_true(store_token_check(store, text, &token));
    memcpy(receipt.owner, token.id, sizeof token.id);
    receipt.body = "{\"a\":1}";
    assert_int_equal(store_put_receipt(store, &receipt, NULL, NULL), ERR_OK);
    put(store, "k1", 5000, "{}"); /* of a token that is gone */
    store_close(store);
    store = store_opened(*state);
    assert_false(has(store, "abc", "k1", 6000));
    assert_int_equal(store_get_receipt(store, token.id, "k1", (struct wall){6000}, &receipt),
                     ERR_OK);
    assert_string_equal(receipt.body, "{\"a\":1}");
    assert_string_equal(receipt.location, "/v1/here");
    assert_int_equal(receipt.status, 201);
    assert_int_equal(receipt.fingerprint[31], 7);
    free(receipt.body);
    assert_false(has(store, token.id, "k2", 6000));
    assert_false(has(store, "abd", "k1", 6000)); /* another token's */
    store_close(store);
}

static void a_receipt_is_kept_for_a_day(void **state) {
    struct store *store = store_opened(*state);
    put(store, "k1", DAY, "{}");
    assert_true(has(store, "abc", "k1", 2 * DAY));
    assert_false(has(store, "abc", "k1", 2 * DAY + 1));
    put(store, "k2", 2 * DAY + 1, "{}");
    assert_false(has(store, "abc", "k1", DAY)); /* gone from the file too */
    store_close(store);
}

static void the_oldest_receipts_of_a_token_go_first(void **state) {
    struct store *store = store_opened(*state);
    char key[20];
    put(store, "before", 1, NULL);
    for (int i = 0; i < RECEIPTS_MAXIMUM; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, 100 + i, NULL);
        if (i % 1000 == 0) /* the queue is bounded */
            assert_true(has(store, "abc", key, 100));
    }
    assert_false(has(store, "abc", "before", 100));
    assert_true(has(store, "abc", "k1", 100));
    assert_true(has(store, "abc", key, 100));
    store_close(store);
}

static void bodies_are_bounded(void **state) {
    struct store *store = store_opened(*state);
    size_t length = RECEIPT_BODY_MAXIMUM;
    char *body = malloc(length + 2);
    struct receipt receipt;
    assert_non_null(body);
    memset(body, 'x', length + 1);
    body[length + 1] = '\0';
    put(store, "long", 100, body);
    assert_int_equal(store_get_receipt(store, "abc", "long", (struct wall){100}, &receipt), ERR_OK);
    assert_null(receipt.body);
    body[length] = '\0';
    char key[20];
    for (int i = 0; i < RECEIPTS_BYTES / RECEIPT_BODY_MAXIMUM + 2; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, 200 + i, body);
    }
    assert_false(has(store, "abc", "k0", 200));
    assert_true(has(store, "abc", "k2", 200));
    free(body);
    store_close(store);
}

static void a_change_is_kept_whole_with_its_receipt(void **state) {
    struct store *store = store_opened(*state);
    struct constraint *items[] = {constraint_made(1), constraint_made(2), constraint_made(3)};
    struct receipt receipt = receipt_made("k1", 100);
    receipt.body = (char *)"{\"first\":true}";
    char removed[1][ID_SIZE];
    memcpy(removed[0], items[0]->id, ID_SIZE);
    assert_int_equal(
        change(store, &(struct store_change){DEVICE, items, 1, NULL, 0, NULL, NULL, NULL}), ERR_OK);
    assert_int_equal(
        change(store, &(struct store_change){DEVICE, items + 1, 2, (const char(*)[ID_SIZE])removed,
                                             1, &receipt, NULL, NULL}),
        ERR_OK);
    assert_int_equal(count_constraints(store), 2);
    assert_int_equal(store_last_rank(store), 3);
    struct receipt kept;
    assert_int_equal(store_get_receipt(store, "abc", "k1", (struct wall){100}, &kept), ERR_OK);
    assert_string_equal(kept.body, "{\"first\":true}");
    free(kept.body);
    /* The whole answer takes its place; one that is too long leaves it. */
    char *longer = calloc(1, RECEIPT_BODY_MAXIMUM + 2);
    assert_non_null(longer);
    memset(longer, 'x', RECEIPT_BODY_MAXIMUM + 1);
    put(store, "k1", 100, longer);
    free(longer);
    assert_int_equal(store_get_receipt(store, "abc", "k1", (struct wall){100}, &kept), ERR_OK);
    assert_string_equal(kept.body, "{\"first\":true}");
    free(kept.body);
    put(store, "k1", 100, "{\"whole\":true}");
    assert_int_equal(store_get_receipt(store, "abc", "k1", (struct wall){100}, &kept), ERR_OK);
    assert_string_equal(kept.body, "{\"whole\":true}");
    free(kept.body);
    for (size_t i = 0; i < 3; i++)
        constraint_release(items[i]);
    store_close(store);
}

static void a_change_whose_receipt_is_there_writes_nothing(void **state) {
    struct store *store = store_opened(*state);
    struct constraint *item = constraint_made(1);
    struct constraint *other = constraint_made(2);
    struct receipt receipt = receipt_made("k1", 100);
    const struct store_change first = {DEVICE, &item, 1, NULL, 0, &receipt, NULL, NULL};
    const struct store_change second = {DEVICE, &other, 1, NULL, 0, &receipt, NULL, NULL};
    assert_int_equal(change(store, &first), ERR_OK);
    assert_int_equal(change(store, &second), ERR_CONFLICT);
    assert_int_equal(count_constraints(store), 1);
    receipt.created_at.ms += DAY + 1; /* its time is over: the key is free again */
    assert_int_equal(change(store, &second), ERR_OK);
    assert_int_equal(count_constraints(store), 2);
    constraint_release(item);
    constraint_release(other);
    store_close(store);
}

static void one_bad_row_fails_the_change_whole_and_no_other(void **state) {
    struct store *store = store_opened(*state);
    struct constraint *items[] = {constraint_made(1), constraint_made(2)};
    struct constraint *other = constraint_made(3);
    struct results *results = results_new();
    struct gate gate;
    struct receipt receipt = receipt_made("k1", 100);
    items[1]->id[0] = '\0'; /* the file refuses an id that is none */
    gate_close(&gate, store);
    assert_int_equal(store_change_constraints(
                         store,
                         &(struct store_change){DEVICE, items, 2, NULL, 0, &receipt, NULL, NULL},
                         results_add, results),
                     ERR_OK);
    assert_int_equal(store_change_constraints(
                         store,
                         &(struct store_change){DEVICE, &other, 1, NULL, 0, NULL, NULL, NULL},
                         results_add, results),
                     ERR_OK);
    gate_open(&gate);
    results_wait(results, 2);
    assert_int_equal(results->items[0], ERR_IO);
    assert_int_equal(results->items[1], ERR_OK);
    assert_int_equal(count_constraints(store), 1);
    assert_false(has(store, "abc", "k1", 100));
    results_free(results);
    constraint_release(items[0]);
    constraint_release(items[1]);
    constraint_release(other);
    store_close(store);
}

static void a_change_that_is_taken_back_takes_its_receipt_along(void **state) {
    struct store *store = store_opened(*state);
    struct constraint *item = constraint_made(1);
    struct receipt receipt = receipt_made("k1", 100), other = receipt_made("k2", 100);
    assert_int_equal(
        change(store, &(struct store_change){DEVICE, &item, 1, NULL, 0, &receipt, NULL, NULL}),
        ERR_OK);
    assert_int_equal(store_put_receipt(store, &other, NULL, NULL), ERR_OK);
    const struct store_change back = {.target_id = DEVICE,
                                      .removals = (const char(*)[ID_SIZE])item->id,
                                      .removal_count = 1,
                                      .forget = &receipt};
    assert_int_equal(change(store, &back), ERR_OK);
    assert_int_equal(change(store, &back), ERR_OK); /* also when there is none */
    assert_int_equal(count_constraints(store), 0);
    assert_false(has(store, "abc", "k1", 100));
    assert_true(has(store, "abc", "k2", 100));
    constraint_release(item);
    store_close(store);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        T(a_receipt_is_there_after_a_restart_and_whole),
        T(a_receipt_is_kept_for_a_day),
        T(the_oldest_receipts_of_a_token_go_first),
        T(bodies_are_bounded),
        T(a_change_is_kept_whole_with_its_receipt),
        T(a_change_whose_receipt_is_there_writes_nothing),
        T(one_bad_row_fails_the_change_whole_and_no_other),
        T(a_change_that_is_taken_back_takes_its_receipt_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
