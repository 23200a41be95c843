/* Webhooks and deliveries in the store: order, bounds, what is told of what was dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store_webhooks.h"
#include "store_kit.h"
#include "webhooks/webhook.h"

#define HOOK  "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define OTHER "7c9e6679-7425-40de-944b-e07fc1f90ae7"

static struct store *opened(void **state) {
    struct store *store = store_opened(*state);
    assert_int_equal(store_put_webhook(store, HOOK, "owner", "{}", (struct wall){1}, NULL), ERR_OK);
    assert_int_equal(store_put_webhook(store, OTHER, "owner", "{}", (struct wall){2}, NULL),
                     ERR_OK);
    return store;
}

static struct delivery delivery_of(const char *webhook, int number) {
    struct delivery delivery = {.body = (char *)"{\"a\": 1}", .queued_at = {1000 + number}};
    snprintf(delivery.webhook_id, sizeof delivery.webhook_id, "%s", webhook);
    snprintf(delivery.message_id, sizeof delivery.message_id, "m-%d", number);
    snprintf(delivery.type, sizeof delivery.type, "decision");
    return delivery;
}

static void queue(struct store *store, const char *webhook, int first, int count) {
    struct delivery *deliveries = calloc((size_t)count, sizeof *deliveries);
    struct delivery notice = delivery_of("", 0);
    assert_non_null(deliveries);
    snprintf(notice.message_id, sizeof notice.message_id, "notice");
    snprintf(notice.type, sizeof notice.type, "reset");
    for (int i = 0; i < count; i++)
        deliveries[i] = delivery_of(webhook, first + i);
    assert_int_equal(store_queue_deliveries(store, deliveries, (size_t)count, &notice), ERR_OK);
    free(deliveries);
}

/* The one that is due at `now_ms`, "" when none is. */
static const char *next(struct store *store, int64_t now_ms, struct delivery *delivery,
                        struct wall *next_at) {
    enum err result = store_next_delivery(store, HOOK, (struct wall){now_ms}, delivery, next_at);
    if (result == ERR_NOT_FOUND)
        return "";
    assert_int_equal(result, ERR_OK);
    assert_string_equal(delivery->body, "{\"a\": 1}");
    free(delivery->body);
    delivery->body = NULL;
    return delivery->message_id;
}

static void end(struct store *store, struct delivery *delivery, enum delivery_state how,
                int64_t next_ms) {
    delivery->state = how;
    delivery->attempts++;
    delivery->next_at.ms = next_ms;
    delivery->last_at.ms = 5000;
    delivery->status = how == DELIVERY_DELIVERED ? 200 : 500;
    snprintf(delivery->error, sizeof delivery->error, "it says");
    assert_int_equal(store_end_attempt(store, delivery), ERR_OK);
}

static struct delivery_counts counts(struct store *store, const char *webhook) {
    struct delivery_counts found;
    assert_int_equal(store_count_deliveries(store, webhook, &found), ERR_OK);
    return found;
}

static void deliveries_come_in_order_and_over_restarts(void **state) {
    struct store *store = opened(state);
    struct delivery delivery;
    struct wall next_at;
    assert_string_equal(next(store, 9000, &delivery, &next_at), "");
    assert_true(next_at.ms == INT64_MAX);
    queue(store, HOOK, 1, 3);
    queue(store, OTHER, 7, 1);
    assert_string_equal(next(store, 9000, &delivery, &next_at), "m-1");
    end(store, &delivery, DELIVERY_DELIVERED, 0);
    store_close(store);
    store = store_opened(*state);
    assert_string_equal(next(store, 9000, &delivery, &next_at), "m-2");
    assert_int_equal(delivery.queued_at.ms, 1002);
    assert_int_equal(counts(store, HOOK).waiting, 2);
    store_close(store);
}

static void one_that_failed_waits_while_others_go_on(void **state) {
    struct store *store = opened(state);
    struct delivery delivery;
    struct wall next_at;
    queue(store, HOOK, 1, 2);
    next(store, 9000, &delivery, &next_at);
    end(store, &delivery, DELIVERY_WAITING, 20000);
    assert_string_equal(next(store, 9000, &delivery, &next_at), "m-2");
    end(store, &delivery, DELIVERY_DELIVERED, 0);
    assert_string_equal(next(store, 9000, &delivery, &next_at), "");
    assert_int_equal(next_at.ms, 20000);
    assert_string_equal(next(store, 20000, &delivery, &next_at), "m-1");
    assert_int_equal(delivery.attempts, 1);
    assert_int_equal(delivery.status, 500);
    assert_string_equal(delivery.error, "it says");
    assert_int_equal(store_hasten_deliveries(store, HOOK), ERR_OK);
    assert_string_equal(next(store, 9000, &delivery, &next_at), "m-1");
    store_close(store);
}

static void the_oldest_make_way_are_counted_and_told_once(void **state) {
    struct store *store = opened(state);
    struct delivery delivery;
    struct wall next_at;
    queue(store, OTHER, 1, 3);
    queue(store, HOOK, 1, WEBHOOK_WAITING);
    assert_int_equal(counts(store, HOOK).dropped, 0);
    queue(store, HOOK, 5001, 2);
    assert_int_equal(counts(store, HOOK).dropped, 2);
    assert_int_equal(counts(store, HOOK).waiting, WEBHOOK_WAITING + 1); /* the notice */
    assert_string_equal(next(store, 9000, &delivery, &next_at), "m-3");
    queue(store, HOOK, 6001, 2);
    assert_int_equal(counts(store, HOOK).dropped, 5); /* and it is still told by the one notice */
    assert_int_equal(counts(store, HOOK).waiting, WEBHOOK_WAITING);
    assert_int_equal(counts(store, OTHER).dropped, 0);
    assert_int_equal(counts(store, OTHER).waiting, 3);
    struct delivery *list;
    size_t count, notices = 0;
    assert_int_equal(store_list_deliveries(store, HOOK, WEBHOOK_WAITING, &list, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        notices += strcmp(list[i].message_id, "notice") == 0;
    assert_int_equal(notices, 1);
    free(list);
    store_close(store);
}

static void only_the_last_that_ended_are_kept(void **state) {
    struct store *store = opened(state);
    struct delivery delivery;
    struct wall next_at;
    int total = WEBHOOK_FINISHED + 5;
    queue(store, HOOK, 1, total + 1);
    for (int i = 0; i < total; i++) {
        next(store, 9000, &delivery, &next_at);
        end(store, &delivery, i % 2 ? DELIVERY_FAILED : DELIVERY_DELIVERED, 0);
    }
    struct delivery *list;
    size_t count;
    assert_int_equal(store_list_deliveries(store, HOOK, 500, &list, &count), ERR_OK);
    assert_int_equal(count, WEBHOOK_FINISHED + 1);
    assert_int_equal(list[0].state, DELIVERY_WAITING); /* the newest first */
    assert_string_equal(list[count - 1].message_id, "m-6");
    free(list);
    assert_int_equal(store_list_deliveries(store, HOOK, 3, &list, &count), ERR_OK);
    assert_int_equal(count, 3);
    free(list);
    store_close(store);
}

static void a_webhook_that_goes_takes_its_deliveries_with_it(void **state) {
    struct store *store = opened(state);
    struct delivery *list;
    size_t count;
    queue(store, HOOK, 1, 3);
    assert_int_equal(store_remove_webhook(store, HOOK, NULL), ERR_OK);
    assert_int_equal(store_list_deliveries(store, HOOK, 500, &list, &count), ERR_OK);
    assert_int_equal(count, 0);
    free(list);
    queue(store, HOOK, 4, 1); /* was under way when it went: left out, and no mistake */
    assert_int_equal(counts(store, HOOK).waiting, 0);
    store_close(store);
}

static void load_row(void *context, const char *id, const char *account, const char *document) {
    struct webhook *webhook = context;
    assert_true(webhook_read(id, account, document, webhook));
}

static void a_webhook_is_read_back_as_it_was_written(void **state) {
    struct store *store = store_opened(*state);
    struct webhook read = {0};
    struct webhook webhook = {.id = HOOK,
                              .account = "north",
                              .url = "https://example.com/hook?a=\"b\"",
                              .description = "Größe",
                              .filter = {.types = WEBHOOK_DEFAULT,
                                         .cluster_count = 1,
                                         .device_count = 2,
                                         .clusters = {OTHER},
                                         .devices = {HOOK, OTHER}},
                              .cluster_count = 2,
                              .clusters = {HOOK, OTHER},
                              .secret = "whsec_abcd",
                              .old_secret = "whsec_efgh",
                              .old_until = {5000},
                              .enabled = true,
                              .reason = "the receiver answered 500",
                              .disabled_at = {1},
                              .failing_since = {2},
                              .created_at = {3},
                              .revision = 4};
    char *text = webhook_write(&webhook);
    assert_non_null(text);
    assert_int_equal(store_account_ensure(store, "north"), ERR_OK);
    assert_int_equal(store_put_webhook(store, HOOK, "north", text, webhook.created_at, NULL),
                     ERR_OK);
    assert_int_equal(store_put_webhook(store, HOOK, "north", text, webhook.created_at, NULL),
                     ERR_OK);
    assert_int_equal(store_load_webhooks(store, load_row, &read), ERR_OK);
    char *again = webhook_write(&read);
    assert_string_equal(again, text);
    assert_non_null(strstr(again, "Größe"));
    assert_string_equal(read.id, HOOK);
    assert_string_equal(read.account, "north");
    assert_int_equal(read.cluster_count, 2);
    assert_string_equal(read.clusters[1], OTHER);
    free(again);
    free(text);
    assert_string_equal(webhook_old_secret(&read, (struct wall){4999}), "whsec_efgh");
    assert_string_equal(webhook_old_secret(&read, (struct wall){5000}), "");
    assert_false(webhook_read(HOOK, "north", "nonsense", &read));
    store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)
        TEST(deliveries_come_in_order_and_over_restarts),
        TEST(one_that_failed_waits_while_others_go_on),
        TEST(the_oldest_make_way_are_counted_and_told_once),
        TEST(only_the_last_that_ended_are_kept),
        TEST(a_webhook_that_goes_takes_its_deliveries_with_it),
        TEST(a_webhook_is_read_back_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
