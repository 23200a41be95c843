/* GET /v1/audit: who sees what, what is shown, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_kit.h"

#include "base/log.h"
#include "store/store_audit.h"

static struct kit kit;
static char north[TOKEN_TEXT_SIZE];

static int start(void **state) {
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    kit_start(&kit, 4, true);
    return token_create(kit.store, "north", "north", 2999, north) != ERR_OK;
}

static int stop(void **state) {
    (void)state;
    kit_stop(&kit);
    return 0;
}

static json_t *get_as(const char *token, const char *path) {
    struct answer answer;
    kit_request_as(&kit, token, "GET", path, NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_t *tree = answer_tree(&answer);
    answer_free(&answer);
    return tree;
}

static json_t *first(json_t *page) {
    json_t *item = json_array_get(json_object_get(page, "items"), 0);
    assert_non_null(item);
    return item;
}

static void ask(const char *method, const char *path, const char *body, int status) {
    struct answer answer;
    kit_request(&kit, method, path, body, &answer);
    if (answer.status != status)
        fail_msg("%s %s: %d %s", method, path, answer.status, answer.body);
    answer_free(&answer);
}

static void a_change_is_told_with_who_where_from_and_both_values(void **state) {
    (void)state;
    ask("POST", "/v1/accounts", "{\"name\": \"Shop\", \"key\": \"shop\"}", 201);
    ask("PATCH", "/v1/accounts/shop", "{\"name\": \"Shop 2\"}", 200);
    json_t *page = get_as(kit.token, "/v1/audit?target=shop");
    assert_int_equal(json_array_size(json_object_get(page, "items")), 2);
    json_t *row = first(page);
    const json_t *who = json_object_get(row, "who"), *target = json_object_get(row, "target");
    assert_string_equal(text_at(who, "kind"), "token");
    assert_string_equal(text_at(who, "name"), "ems");
    assert_string_equal(text_at(who, "account"), "owner");
    assert_string_equal(text_at(row, "from"), "127.0.0.1");
    assert_string_equal(text_at(row, "action"), "PATCH /v1/accounts/shop");
    assert_int_equal(number_at(row, "status"), 200);
    assert_string_equal(text_at(target, "kind"), "account");
    assert_true(uuid_valid(text_at(target, "id")));
    assert_string_equal(text_at(json_object_get(row, "before"), "name"), "Shop");
    assert_string_equal(text_at(json_object_get(row, "after"), "name"), "Shop 2");
    assert_true(json_is_true(json_object_get(row, "durable")));
    json_decref(page);
    ask("DELETE", "/v1/accounts/shop", NULL, 204);
    page = get_as(kit.token, "/v1/audit?target=shop&limit=1");
    assert_true(null_at(first(page), "after"));
    assert_non_null(text_at(page, "nextCursor"));
    json_decref(page);
}

static void what_is_refused_or_changes_nothing_is_not_in_it(void **state) {
    (void)state;
    json_t *page = get_as(kit.token, "/v1/audit");
    long long number = number_at(first(page), "number");
    json_decref(page);
    ask("POST", "/v1/accounts", "{\"name\": 5}", 422);
    ask("POST", "/v1/accounts", "{\"name\": \"x\", \"key\": \"north\"}", 409);
    ask("PATCH", "/v1/accounts/nobody", "{\"name\": \"x\"}", 404);
    ask("POST", "/v1/clusters?dryRun=true", "{\"name\": \"x\"}", 200);
    page = get_as(kit.token, "/v1/audit");
    assert_int_equal(number_at(first(page), "number"), number);
    json_decref(page);
}

static void a_header_of_a_client_does_not_say_where_it_is(void **state) {
    (void)state;
    struct answer answer;
    char request[600];
    static const char body[] = "{\"name\": \"Forged\", \"key\": \"forged\"}";
    snprintf(request, sizeof request,
             "POST /v1/accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
             "X-Forwarded-For: 203.0.113.7\r\nX-Request-Id: mine-1\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             kit.token, sizeof body - 1, body);
    kit_text(&kit, request, &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
    json_t *page = get_as(kit.token, "/v1/audit?target=forged");
    assert_string_equal(text_at(first(page), "from"), "127.0.0.1");
    assert_string_equal(text_at(first(page), "requestId"), "mine-1");
    json_decref(page);
}

static void an_account_sees_its_own_and_not_where_those_above_are(void **state) {
    (void)state;
    ask("POST", "/v1/accounts",
        "{\"name\": \"Below\", \"key\": \"below\", \"parentId\": \"north\"}", 201);
    ask("POST", "/v1/accounts", "{\"name\": \"Aside\", \"key\": \"aside\"}", 201);
    json_t *page = get_as(north, "/v1/audit");
    assert_int_equal(json_array_size(json_object_get(page, "items")), 1);
    json_t *row = first(page);
    assert_string_equal(text_at(json_object_get(row, "target"), "name"), "below");
    assert_string_equal(text_at(json_object_get(row, "who"), "account"), "owner");
    assert_true(null_at(row, "from"));
    json_decref(page);
    struct answer answer;
    kit_request_as(&kit, north, "GET", "/v1/audit?account=owner", NULL, &answer);
    expect_problem(&answer, 404);
    kit_request_as(&kit, NULL, "GET", "/v1/audit", NULL, &answer);
    expect_problem(&answer, 401);
    kit_request_as(&kit, kit.weak_token, "GET", "/v1/audit", NULL, &answer);
    expect_problem(&answer, 403);
}

static void pages_go_on_by_their_cursor(void **state) {
    (void)state;
    char path[200];
    size_t seen = 0;
    long long last = INT64_MAX;
    json_t *page = get_as(kit.token, "/v1/audit?limit=2");
    for (;;) {
        size_t index;
        json_t *row;
        json_array_foreach(json_object_get(page, "items"), index, row) {
            assert_true(number_at(row, "number") < last);
            last = number_at(row, "number");
            seen++;
        }
        if (null_at(page, "nextCursor"))
            break;
        snprintf(path, sizeof path, "/v1/audit?limit=2&cursor=%s", text_at(page, "nextCursor"));
        json_decref(page);
        page = get_as(kit.token, path);
    }
    json_decref(page);
    page = get_as(kit.token, "/v1/audit?limit=200");
    assert_int_equal(seen, json_array_size(json_object_get(page, "items")));
    assert_int_equal(last, 1);
    json_decref(page);
}

static void a_time_or_cursor_that_is_none_is_refused(void **state) {
    (void)state;
    static const char *const queries[] = {"from=yesterday", "to=1",        "limit=0",  "limit=201",
                                          "cursor=x",       "cursor=MS4w", "color=red"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        char path[80];
        struct answer answer;
        snprintf(path, sizeof path, "/v1/audit?%s", queries[i]);
        kit_request(&kit, "GET", path, NULL, &answer);
        expect_problem(&answer, 400);
    }
    json_t *page = get_as(kit.token, "/v1/audit?from=2099-01-01T00:00:00Z");
    assert_int_equal(json_array_size(json_object_get(page, "items")), 0);
    json_decref(page);
    page = get_as(kit.token, "/v1/audit?to=2001-01-01T00:00:00Z");
    assert_int_equal(json_array_size(json_object_get(page, "items")), 0);
    assert_non_null(text_at(json_object_get(page, "completeFrom"), "constraints"));
    json_decref(page);
}

static void tokens_made_and_revoked_are_told_without_their_text(void **state) {
    (void)state;
    struct answer answer;
    char path[200];
    kit_request(&kit, "POST", "/v1/accounts/owner/tokens",
                "{\"name\": \"till\", \"maxPriority\": 7, \"scopes\": [\"read\"]}", &answer);
    assert_int_equal(answer.status, 201);
    json_t *made = answer_tree(&answer);
    answer_free(&answer);
    snprintf(path, sizeof path, "/v1/audit?target=%s", text_at(made, "id"));
    json_t *page = get_as(kit.token, path);
    json_t *row = first(page);
    assert_string_equal(text_at(json_object_get(row, "target"), "kind"), "token");
    assert_string_equal(text_at(json_object_get(row, "target"), "name"), "till");
    assert_string_equal(text_at(json_object_get(row, "target"), "account"), "owner");
    assert_int_equal(number_at(json_object_get(row, "after"), "maxPriority"), 7);
    char *text = json_dumps(page, 0);
    assert_null(strstr(text, text_at(made, "token")));
    assert_null(strstr(text, text_at(made, "token") + strlen("derd_") + 13)); /* its secret */
    free(text);
    json_decref(page);
    char token_path[200];
    snprintf(token_path, sizeof token_path, "/v1/accounts/owner/tokens/%s", text_at(made, "id"));
    ask("DELETE", token_path, NULL, 204);
    page = get_as(kit.token, path);
    assert_int_equal(json_array_size(json_object_get(page, "items")), 2);
    assert_true(null_at(first(page), "after"));
    assert_int_equal(number_at(json_object_get(first(page), "before"), "maxPriority"), 7);
    json_decref(page);
    json_decref(made);
}

static void of_a_script_hash_and_size_are_kept(void **state) {
    (void)state;
    struct script_answer *script = &kit.engine.script;
    *script = (struct script_answer){.state = SCRIPT_ABSENT};
    snprintf(script->path, sizeof script->path, "%s/scripts/drivers/mine.lua", kit.folder);
    ask("PUT", "/v1/drivers/mine", "{\"text\": \"return { secret = 'planted' }\"}", 503);
    script->uploaded = true;
    script->state = SCRIPT_UPLOADED;
    ask("PUT", "/v1/drivers/mine", "{\"text\": \"return {}\"}", 503);
    json_t *page = get_as(kit.token, "/v1/audit?target=mine");
    assert_int_equal(json_array_size(json_object_get(page, "items")), 2);
    const json_t *before = json_object_get(first(page), "before");
    const json_t *after = json_object_get(first(page), "after");
    assert_int_equal(number_at(before, "bytes"), 29);
    assert_int_equal(number_at(after, "bytes"), 9);
    assert_int_equal(strlen(text_at(after, "blake2b256")), 64);
    char *text = json_dumps(page, 0);
    assert_null(strstr(text, "planted"));
    free(text);
    json_decref(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_told_with_who_where_from_and_both_values),
        cmocka_unit_test(what_is_refused_or_changes_nothing_is_not_in_it),
        cmocka_unit_test(a_header_of_a_client_does_not_say_where_it_is),
        cmocka_unit_test(an_account_sees_its_own_and_not_where_those_above_are),
        cmocka_unit_test(pages_go_on_by_their_cursor),
        cmocka_unit_test(a_time_or_cursor_that_is_none_is_refused),
        cmocka_unit_test(tokens_made_and_revoked_are_told_without_their_text),
        cmocka_unit_test(of_a_script_hash_and_size_are_kept),
    };
    return cmocka_run_group_tests_name("api_audit", tests, start, stop);
}
