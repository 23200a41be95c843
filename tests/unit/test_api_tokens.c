/* What a token opens and what it does not: scopes, its end, its clusters, the first one of a host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_kit.h"

#include "api/route.h"
#include "base/log.h"

#define HOME      "/v1/clusters/home"
#define TOKENS    "/v1/accounts/owner/tokens"
#define ELSEWHERE "400f12a7-60ce-4337-b7f5-02a422d62cf3"
#define DAY_MS    86400000

static struct kit kit;

static int start(void **state) {
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    kit_start(&kit, 4, true);
    return 0;
}

static int stop(void **state) {
    (void)state;
    kit_stop(&kit);
    return 0;
}

static void put_clock(int64_t shift_ms, int64_t floor_ms) {
    clock_init(&kit.clock, (struct wall){floor_ms}, shift_ms);
}

static void make(struct token token, char text[TOKEN_TEXT_SIZE]) {
    assert_int_equal(store_token_create(kit.store, NULL, NULL, &token, text, NULL), ERR_OK);
}

static void ask(const char *token, const char *method, const char *path, const char *body,
                int status, struct answer *answer) {
    kit_request_as(&kit, token, method, path, body, answer);
    if (answer->status != status)
        fail_msg("%s %s %s: %d, not %d: %s", method, path, body ? body : "", answer->status, status,
                 answer->body);
}

static void expect(const char *token, const char *method, const char *path, const char *body,
                   int status) {
    struct answer answer;
    ask(token, method, path, body, status, &answer);
    if (status >= 400)
        expect_problem(&answer, status);
    else
        answer_free(&answer);
}

/* A problem whose detail holds the words. */
static void expect_words(const char *token, const char *method, const char *path, const char *body,
                         int status, const char *words) {
    struct answer answer;
    ask(token, method, path, body, status, &answer);
    if (!strstr(answer.body, words))
        fail_msg("\"%s\" is not in: %s", words, answer.body);
    expect_problem(&answer, status);
}

static void a_missing_scope_is_named_beside_those_there_are(void **state) {
    (void)state;
    char text[TOKEN_TEXT_SIZE], value[512];
    struct answer answer;
    make((struct token){.scopes = 1U << TOKEN_READ | 1U << TOKEN_ADMIN}, text);
    ask(text, "POST", HOME "/constraints", "{}", 403, &answer);
    assert_non_null(strstr(answer.body, "\\\"control\\\"; this one has: read, admin."));
    answer_header(&answer, "WWW-Authenticate", value);
    assert_string_equal(value,
                        "Bearer realm=\"derd\", error=\"insufficient_scope\", scope=\"control\"");
    expect_problem(&answer, 403);
}

/* Before its body is looked at, and before it is told whether there is such a thing. */
static void every_route_asks_for_its_scope_first(void **state) {
    (void)state;
    char texts[TOKEN_SCOPE_COUNT][TOKEN_TEXT_SIZE];
    size_t count;
    const struct route *routes = route_table(&count);
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++)
        make((struct token){.scopes = TOKEN_SCOPES_ALL & ~(1U << i)}, texts[i]);
    for (size_t i = 0; i < count; i++) {
        static const char *const methods[] = {[METHOD_GET] = "GET",
                                              [METHOD_POST] = "POST",
                                              [METHOD_PUT] = "PUT",
                                              [METHOD_PATCH] = "PATCH",
                                              [METHOD_DELETE] = "DELETE"};
        char path[200];
        size_t used = 0;
        if (routes[i].open || routes[i].scope == TOKEN_SCOPE_COUNT) /* it needs none */
            continue;
        for (const char *at = routes[i].path; *at; at++) /* {c}: nothing that is there */
            if (*at != '{' && *at != '}')
                path[used++] = *at;
        path[used] = '\0';
        expect_words(texts[routes[i].scope], methods[routes[i].method], path, NULL, 403,
                     token_scope_name(routes[i].scope));
    }
}

static void a_token_is_refused_from_its_end_on(void **state) {
    (void)state;
    char text[TOKEN_TEXT_SIZE];
    struct wall end = {clock_wall().ms + DAY_MS};
    make((struct token){.scopes = TOKEN_SCOPES_ALL, .expires_at = end}, text);
    expect(text, "GET", HOME, NULL, 200);
    put_clock(DAY_MS + 1000, 0);
    expect_words(text, "GET", HOME, NULL, 401, "has expired");
    expect(kit.token, "GET", HOME, NULL, 200);
    put_clock(0, 0);
    expect(text, "GET", HOME, NULL, 200);
}

static void a_clock_that_is_not_trusted_refuses_tokens_with_an_end(void **state) {
    (void)state;
    char text[TOKEN_TEXT_SIZE];
    int64_t now_ms = clock_wall().ms;
    make((struct token){.scopes = TOKEN_SCOPES_ALL, .expires_at = {now_ms + 10LL * DAY_MS}}, text);
    put_clock(0, now_ms + DAY_MS); /* it was later already */
    expect_words(text, "GET", HOME, NULL, 401, "nobody can tell whether it has passed");
    expect(kit.token, "GET", HOME, NULL, 200);
    put_clock(0, now_ms + 10LL * DAY_MS); /* it was past the end already */
    expect_words(text, "GET", HOME, NULL, 401, "has expired");
    put_clock(0, 0);
}

static void a_token_for_other_clusters_finds_none_here(void **state) {
    (void)state;
    static const char *const paths[] = {
        HOME,
        HOME "/devices",
        HOME "/flexibility",
        HOME "/constraints",
        HOME "/effective",
        HOME "/devices/wallbox",
        HOME "/devices/wallbox/effective",
        HOME "/devices/wallbox/history",
        HOME "/devices/wallbox/decisions",
    };
    char other[TOKEN_TEXT_SIZE], here[TOKEN_TEXT_SIZE];
    struct answer answer;
    make((struct token){.scopes = TOKEN_SCOPES_ALL, .cluster_count = 1, .clusters = {ELSEWHERE}},
         other);
    make((struct token){.scopes = TOKEN_SCOPES_ALL,
                        .cluster_count = 2,
                        .clusters = {ELSEWHERE, ID_HOME}},
         here);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        expect(other, "GET", paths[i], NULL, 404);
    expect(here, "GET", HOME, NULL, 200);
    ask(other, "GET", "/v1/clusters", NULL, 200, &answer);
    assert_null(strstr(answer.body, ID_HOME));
    answer_free(&answer);
    ask(here, "GET", "/v1/clusters", NULL, 200, &answer);
    assert_non_null(strstr(answer.body, ID_HOME));
    answer_free(&answer);
    expect(other, "POST", "/v1/accounts", "{\"name\":\"x\"}", 403);
    expect(other, "PUT", "/v1/drivers/x", "{\"text\":\"x\"}", 403);
    expect_words(other, "POST", "/v1/clusters", "{\"name\":\"x\"}", 403, "parentId");
    ask(other, "GET", "/ready", NULL, 200, &answer);
    assert_null(strstr(answer.body, "siteProblems"));
    answer_free(&answer);
}

/* Else its device could carry the secrets of all others to an address of its own. */
static void a_token_for_some_clusters_names_no_file_of_the_host(void **state) {
    (void)state;
    static const char body[] = "{\"key\":\"d\",\"link\":\"http://10.0.0.9\",\"driver\":\"x\","
                               "\"password\":{\"file\":\"/etc/hostname\"},"
                               "\"reach\":[\"10.0.0.0/8\"]}";
    char text[TOKEN_TEXT_SIZE];
    struct answer answer;
    make((struct token){.scopes = TOKEN_SCOPES_ALL, .cluster_count = 1, .clusters = {ID_HOME}},
         text);
    expect_words(text, "POST", HOME "/devices", body, 422, "\"/password\"");
    expect_words(text, "POST", HOME "/devices", body, 422, "\"/reach\"");
    kit_request_as(&kit, kit.token, "POST", HOME "/devices?dryRun=true", body, &answer);
    assert_null(strstr(answer.body, "for all clusters alone"));
    answer_free(&answer);
}

static void a_token_passes_on_no_more_than_it_has(void **state) {
    (void)state;
    char text[TOKEN_TEXT_SIZE], end[WALL_TEXT_SIZE], body[300];
    struct wall at = {clock_wall().ms + DAY_MS};
    struct answer answer;
    make((struct token){.scopes = 1U << TOKEN_READ | 1U << TOKEN_ADMIN,
                        .max_priority = 1000,
                        .expires_at = at,
                        .cluster_count = 1,
                        .clusters = {ID_HOME}},
         text);
    expect_words(text, "POST", TOKENS, "{\"name\":\"a\",\"maxPriority\":1}", 403, "(control)");
    expect_words(text, "POST", TOKENS,
                 "{\"name\":\"a\",\"maxPriority\":1001,\"scopes\":[\"read\"]}", 403, "1001");
    expect_words(text, "POST", TOKENS,
                 "{\"name\":\"a\",\"maxPriority\":1,\"scopes\":[\"read\"],\"clusters\":[]}", 403,
                 "every cluster");
    expect_words(text, "POST", TOKENS,
                 "{\"name\":\"a\",\"maxPriority\":1,\"scopes\":[\"read\"],\"expiresAt\":null}", 403,
                 "longer than itself");
    wall_format((struct wall){at.ms + 1}, end);
    snprintf(body, sizeof body,
             "{\"name\":\"a\",\"maxPriority\":1,\"scopes\":[\"read\"],\"expiresAt\":\"%s\"}", end);
    expect(text, "POST", TOKENS, body, 403);
    /* What is left out is as it has it. */
    ask(text, "POST", TOKENS, "{\"name\":\"a\",\"maxPriority\":1,\"scopes\":[\"read\"]}", 201,
        &answer);
    json_t *made = answer_tree(&answer);
    wall_format(at, end);
    assert_string_equal(text_at(made, "expiresAt"), end);
    assert_string_equal(json_string_value(json_array_get(json_object_get(made, "clusters"), 0)),
                        ID_HOME);
    assert_int_equal(json_array_size(json_object_get(made, "scopes")), 1);
    assert_true(null_at(made, "lastUsedAt"));
    json_decref(made);
    answer_free(&answer);
}

static void a_token_for_some_clusters_knows_no_token_for_others(void **state) {
    (void)state;
    char here[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE], path[120];
    struct answer answer;
    make((struct token){.scopes = TOKEN_SCOPES_ALL, .cluster_count = 1, .clusters = {ID_HOME}},
         here);
    make((struct token){.scopes = 1, .cluster_count = 1, .clusters = {ELSEWHERE}}, other);
    ask(here, "GET", TOKENS, NULL, 200, &answer);
    snprintf(path, sizeof path, "%.12s", other + 5);
    assert_null(strstr(answer.body, path));
    snprintf(path, sizeof path, "%.12s", here + 5);
    assert_non_null(strstr(answer.body, path));
    answer_free(&answer);
    snprintf(path, sizeof path, TOKENS "/%.12s", other + 5);
    expect(here, "GET", path, NULL, 404);
    expect(here, "DELETE", path, NULL, 404);
    expect(kit.token, "GET", path, NULL, 200);
    snprintf(path, sizeof path, TOKENS "/%.12s", kit.token + 5); /* for all clusters */
    expect(here, "DELETE", path, NULL, 404);
}

static void all_mistakes_of_what_a_token_may_do_come_at_once(void **state) {
    (void)state;
    struct answer answer;
    ask(kit.token, "POST", TOKENS,
        "{\"name\":\"a\",\"maxPriority\":1,\"clusters\":[\"home\",\"nowhere\"],"
        "\"expiresAt\":\"2001-01-01T00:00:00Z\"}",
        422, &answer);
    assert_non_null(strstr(answer.body, "\"/clusters/1\""));
    assert_non_null(strstr(answer.body, "lies in the past"));
    assert_null(strstr(answer.body, "\"/clusters/0\""));
    expect_problem(&answer, 422);
    expect_words(kit.token, "POST", TOKENS,
                 "{\"name\":\"a\",\"maxPriority\":1,\"scopes\":[\"write\"]}", 422, "/scopes/0");
    expect(kit.token, "POST", TOKENS, "{\"name\":\"a\",\"maxPriority\":1,\"scopes\":[]}", 422);
    expect_words(kit.token, "POST", TOKENS,
                 "{\"name\":\"a\",\"maxPriority\":1,\"expiresAt\":\"tomorrow\"}", 422, "RFC 3339");
}

static void
an_account_with_a_token_that_may_more_is_not_deleted_by_one_that_may_less(void **state) {
    (void)state;
    char weak[TOKEN_TEXT_SIZE], strong[TOKEN_TEXT_SIZE];
    make((struct token){.scopes = 1U << TOKEN_ADMIN, .max_priority = 10}, weak);
    struct token token = {.scopes = 1U << TOKEN_ADMIN, .max_priority = 11};
    assert_int_equal(store_token_create(kit.store, NULL, "shop", &token, strong, NULL), ERR_OK);
    expect_words(weak, "DELETE", "/v1/accounts/shop", NULL, 403, "may do more");
    expect(kit.token, "DELETE", "/v1/accounts/shop", NULL, 204);
}

static void the_use_of_a_token_is_shown(void **state) {
    (void)state;
    char text[TOKEN_TEXT_SIZE], path[120];
    struct answer answer;
    make((struct token){.scopes = 1}, text);
    snprintf(path, sizeof path, TOKENS "/%.12s", text + 5);
    json_t *before = kit_get(&kit, path);
    assert_true(null_at(before, "lastUsedAt"));
    json_decref(before);
    ask(text, "POST", HOME "/constraints", "{}", 403, &answer); /* refused, but it was it */
    answer_free(&answer);
    json_t *after = kit_get(&kit, path);
    assert_int_equal(strlen(text_at(after, "lastUsedAt")), 24);
    json_decref(after);
}

/* The last test: it takes the kit's tokens away. */
static void without_any_token_nothing_answers_but_health(void **state) {
    (void)state;
    static const char *const paths[] = {"/",           "/app.js",          "/docs",
                                        "/ready",      "/v1/openapi.json", "/v1/clusters",
                                        "/v1/nothing", "/nothing"};
    struct token *tokens;
    size_t count;
    char text[TOKEN_TEXT_SIZE];
    assert_int_equal(store_token_list(kit.store, &tokens, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(store_token_revoke(kit.store, tokens[i].id, NULL), ERR_OK);
    free(tokens);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        expect_words(kit.token, "GET", paths[i], NULL, 503, "derd token create");
        expect_words(kit.token, "POST", paths[i], "{}", 503, "derd token create");
    }
    expect(kit.token, "GET", "/health", NULL, 200);
    make((struct token){.scopes = TOKEN_SCOPES_ALL}, text);
    expect(text, "GET", HOME, NULL, 200);
    expect(kit.token, "GET", HOME, NULL, 401);
    expect(text, "GET", "/v1/openapi.json", NULL, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_scope_is_named_beside_those_there_are),
        cmocka_unit_test(every_route_asks_for_its_scope_first),
        cmocka_unit_test(a_token_is_refused_from_its_end_on),
        cmocka_unit_test(a_clock_that_is_not_trusted_refuses_tokens_with_an_end),
        cmocka_unit_test(a_token_for_other_clusters_finds_none_here),
        cmocka_unit_test(a_token_for_some_clusters_names_no_file_of_the_host),
        cmocka_unit_test(a_token_passes_on_no_more_than_it_has),
        cmocka_unit_test(a_token_for_some_clusters_knows_no_token_for_others),
        cmocka_unit_test(all_mistakes_of_what_a_token_may_do_come_at_once),
        cmocka_unit_test(an_account_with_a_token_that_may_more_is_not_deleted_by_one_that_may_less),
        cmocka_unit_test(the_use_of_a_token_is_shown),
        cmocka_unit_test(without_any_token_nothing_answers_but_health),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
