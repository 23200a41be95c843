/* The login of the page, over the wire: what a browser sends and is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/sessions.h"
#include "api_kit.h"
#include "store/store_passwords.h"

#define PASSWORD "correct horse battery"
#define LOGIN    "{\"account\": \"owner\", \"password\": \"" PASSWORD "\"}"
#define CLUSTERS "/v1/clusters"
#define LIMITS   "/v1/clusters/home/devices/wallbox/constraints"
#define LIMIT    "{\"priority\": 1500, \"maxActivePower\": 5000, \"validFor\": 60}"

static struct kit kit;

static void set_password(const char *text, unsigned scopes) {
    struct password password = {.max_priority = 1999, .scopes = scopes};
    assert_int_equal(password_hash(text, password.hash), ERR_OK);
    assert_int_equal(store_password_set(kit.store, "owner", &password, NULL), ERR_OK);
}

static int start(void **state) {
    (void)state;
    kit_start(&kit, 8, true);
    set_password(PASSWORD, TOKEN_SCOPES_DEFAULT);
    return 0;
}

static int stop(void **state) {
    (void)state;
    kit_stop(&kit);
    return 0;
}

/* A request without a token, with these further header lines. */
static void ask(const char *method, const char *path, const char *headers, const char *body,
                struct answer *answer) {
    kit_request_with(&kit, NULL, method, path, headers, body, answer);
}

/* "name=value" of the cookie that the answer sets, as the browser sends it back. */
static void cookie_of(const struct answer *answer, const char *name, char cookie[128]) {
    char start_of[64];
    snprintf(start_of, sizeof start_of, "\r\nSet-Cookie: %s=", name);
    const char *found = strstr(answer->head, start_of);
    assert_non_null(found);
    found += strlen("\r\nSet-Cookie: ");
    snprintf(cookie, 128, "%.*s", (int)strcspn(found, ";"), found);
}

struct browser {
    char cookie[160]; /* the header line */
    char csrf[SESSION_CSRF_SIZE];
    char both[300]; /* with the CSRF token */
};

static void log_in(struct browser *browser) {
    struct answer answer;
    char cookie[128];
    ask("POST", "/v1/session", NULL, LOGIN, &answer);
    if (answer.status != 201)
        fail_msg("%d %s", answer.status, answer.body);
    cookie_of(&answer, "derd_session", cookie);
    json_t *tree = answer_tree(&answer);
    snprintf(browser->cookie, sizeof browser->cookie, "Cookie: %s", cookie);
    snprintf(browser->csrf, sizeof browser->csrf, "%s", text_at(tree, "csrfToken"));
    snprintf(browser->both, sizeof browser->both, "%s\r\nX-CSRF-Token: %s", browser->cookie,
             browser->csrf);
    json_decref(tree);
    answer_free(&answer);
}

static void expect(const char *method, const char *path, const char *headers, const char *body,
                   int status) {
    struct answer answer;
    ask(method, path, headers, body, &answer);
    if (status >= 400) {
        expect_problem(&answer, status);
        return;
    }
    if (answer.status != status)
        fail_msg("%d, not %d: %s", answer.status, status, answer.body);
    answer_free(&answer);
}

/* --- logging in ------------------------------------------------------------------------------- */

static void the_right_password_is_given_a_session(void **state) {
    (void)state;
    struct answer answer;
    char value[512];
    ask("POST", "/v1/session", NULL, LOGIN, &answer);
    assert_int_equal(answer.status, 201);
    assert_string_equal(answer_header(&answer, "Location", value), "/v1/session");
    assert_string_equal(answer_header(&answer, "Cache-Control", value), "no-store");
    json_t *tree = answer_tree(&answer);
    assert_string_equal(text_at(tree, "kind"), "session");
    assert_string_equal(text_at(tree, "account"), "owner");
    assert_true(null_at(tree, "name"));
    assert_int_equal(number_at(tree, "maxPriority"), 1999);
    assert_int_equal(json_array_size(json_object_get(tree, "scopes")), 2);
    assert_int_equal(number_at(tree, "idleTimeout"), SESSION_IDLE_S);
    assert_int_equal(strlen(text_at(tree, "csrfToken")), SESSION_CSRF_SIZE - 1);
    struct wall end;
    const char *at = text_at(tree, "expiresAt");
    assert_true(wall_parse(at, strlen(at), &end));
    int64_t left_ms = end.ms - clock_now(&kit.clock).wall.ms;
    assert_in_range(left_ms, (SESSION_LONGEST_S - 60) * 1000, SESSION_LONGEST_S * 1000);
    json_decref(tree);
    answer_free(&answer);
}

static void the_cookie_is_for_the_browser_alone(void **state) {
    (void)state;
    struct answer answer;
    char line[512], cookie[128];
    ask("POST", "/v1/session", NULL, LOGIN, &answer);
    answer_header(&answer, "Set-Cookie", line);
    assert_int_equal(strncmp(line, "derd_session=", 13), 0);
    assert_string_equal(line + 13 + SESSION_SECRET_SIZE - 1, "; Path=/; HttpOnly; SameSite=Strict");
    cookie_of(&answer, "derd_browser", cookie);
    assert_non_null(strstr(answer.head, "; Path=/v1/session; Max-Age=34560000; HttpOnly; "
                                        "SameSite=Strict"));
    assert_null(strstr(answer.head, "Secure"));
    assert_null(strstr(answer.body, cookie + strlen("derd_browser=")));
    answer_free(&answer);
}

static void what_is_wrong_is_401_and_says_no_more(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"account\": \"owner\", \"password\": \"correct horse batterz\"}",
        "{\"account\": \"nobody\", \"password\": \"" PASSWORD "\"}",
        "{\"account\": \"OWNER\", \"password\": \"" PASSWORD "\"}",
    };
    char first[400] = "";
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct answer answer;
        ask("POST", "/v1/session", NULL, bodies[i], &answer);
        assert_int_equal(answer.status, 401);
        assert_null(strstr(answer.head, "Set-Cookie"));
        json_t *tree = answer_tree(&answer);
        if (!first[0])
            snprintf(first, sizeof first, "%s", text_at(tree, "detail"));
        assert_string_equal(text_at(tree, "detail"), first);
        json_decref(tree);
        expect_problem(&answer, 401);
    }
}

static void an_account_without_a_password_has_no_login(void **state) {
    (void)state;
    assert_int_equal(store_password_remove(kit.store, "owner", NULL), ERR_OK);
    expect("POST", "/v1/session", NULL, LOGIN, 401);
    set_password(PASSWORD, TOKEN_SCOPES_DEFAULT);
    expect("POST", "/v1/session", NULL, LOGIN, 201);
}

static void a_body_that_is_none_is_told(void **state) {
    (void)state;
    expect("POST", "/v1/session", NULL, "{}", 422);
    expect("POST", "/v1/session", NULL, "{\"account\": \"owner\", \"password\": 5}", 422);
    expect("POST", "/v1/session", NULL, "{\"account\": \"owner\", \"pasword\": \"x\"}", 422);
    expect("POST", "/v1/session", NULL, "[]", 400);
    expect("POST", "/v1/session", "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx", NULL,
           415);
}

/* --- what a session may ----------------------------------------------------------------------- */

static void the_cookie_reads_what_a_token_reads(void **state) {
    (void)state;
    struct browser browser;
    log_in(&browser);
    expect("GET", CLUSTERS, NULL, NULL, 401);
    expect("GET", CLUSTERS, browser.cookie, NULL, 200);
    expect("HEAD", CLUSTERS, browser.cookie, NULL, 200);
    expect("GET", "/v1/nothing", browser.cookie, NULL, 404);
}

static void it_may_what_the_password_is_for(void **state) {
    (void)state;
    struct browser browser;
    struct answer answer;
    log_in(&browser);
    ask("POST", LIMITS, browser.both, LIMIT, &answer);
    assert_int_equal(answer.status, 201);
    json_t *tree = answer_tree(&answer);
    assert_string_equal(text_at(tree, "createdBy"), "account:owner");
    json_decref(tree);
    answer_free(&answer);
    expect("POST", LIMITS, browser.both,
           "{\"priority\": 2000, \"maxActivePower\": 5000, \"validFor\": 60}", 403);
    expect("POST", "/v1/accounts", browser.both, "{\"name\": \"x\"}", 403);
    set_password(PASSWORD, TOKEN_SCOPES_ALL);
    log_in(&browser);
    expect("POST", "/v1/accounts", browser.both, "{\"name\": \"x\"}", 201);
    set_password(PASSWORD, 1U << TOKEN_CONTROL);
    log_in(&browser);
    expect("GET", CLUSTERS, browser.cookie, NULL, 403);
    expect("GET", "/v1/session", browser.cookie, NULL, 200); /* needs no scope */
}

static void who_one_is_can_be_seen(void **state) {
    (void)state;
    struct browser browser;
    struct answer answer;
    log_in(&browser);
    expect("GET", "/v1/session", NULL, NULL, 401);
    ask("GET", "/v1/session", browser.cookie, NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_t *tree = answer_tree(&answer);
    assert_string_equal(text_at(tree, "csrfToken"), browser.csrf);
    assert_string_equal(text_at(tree, "account"), "owner");
    json_decref(tree);
    answer_free(&answer);
    tree = kit_get(&kit, "/v1/session"); /* with a token */
    assert_string_equal(text_at(tree, "kind"), "token");
    assert_string_equal(text_at(tree, "name"), "ems");
    assert_true(null_at(tree, "csrfToken"));
    assert_true(null_at(tree, "expiresAt"));
    json_decref(tree);
}

static void an_account_whose_password_may_more_is_not_deleted_by_who_may_less(void **state) {
    (void)state;
    struct account account = {.key = "net", .parent = ACCOUNT_ROOT};
    struct password password = {.max_priority = 3999, .scopes = TOKEN_SCOPES_DEFAULT};
    struct answer answer;
    assert_int_equal(store_account_create(kit.store, &account, NULL), ERR_OK);
    assert_int_equal(store_password_set(kit.store, "net", &password, NULL), ERR_OK);
    kit_request(&kit, "DELETE", "/v1/accounts/net", NULL, &answer); /* up to 2999 */
    expect_problem(&answer, 403);
    password.max_priority = 2999;
    assert_int_equal(store_password_set(kit.store, "net", &password, NULL), ERR_OK);
    kit_request(&kit, "DELETE", "/v1/accounts/net", NULL, &answer);
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
}

/* --- CSRF ------------------------------------------------------------------------------------- */

static void refused_with(const char *headers, const char *words) {
    struct answer answer;
    ask("POST", LIMITS, headers, LIMIT, &answer);
    if (!strstr(answer.body, words))
        fail_msg("\"%s\" is not in: %s", words, answer.body);
    expect_problem(&answer, 403);
}

static void a_change_needs_the_token_of_the_login(void **state) {
    (void)state;
    struct browser browser, other;
    char headers[400];
    log_in(&browser);
    log_in(&other);
    refused_with(browser.cookie, "there is none");
    snprintf(headers, sizeof headers, "%s\r\nX-CSRF-Token: %s", browser.cookie, other.csrf);
    refused_with(headers, "not that of this login");
    snprintf(headers, sizeof headers, "%s\r\nX-CSRF-Token: ", browser.cookie);
    refused_with(headers, "not that of this login");
    expect("PUT", LIMITS "/6ba7b810-9dad-41d1-80b4-00c04fd430c8", browser.cookie, LIMIT, 403);
    expect("DELETE", LIMITS "/6ba7b810-9dad-41d1-80b4-00c04fd430c8", browser.cookie, NULL, 403);
    expect("PATCH", "/v1/clusters/home", browser.cookie, "{}", 403);
    expect("DELETE", "/v1/session", browser.cookie, NULL, 403);
    expect("POST", LIMITS, browser.both, LIMIT, 201);
}

static void a_page_of_others_changes_nothing(void **state) {
    (void)state;
    struct browser browser;
    char headers[400];
    log_in(&browser);
    snprintf(headers, sizeof headers, "%s\r\nOrigin: http://evil.example", browser.both);
    refused_with(headers, "http://evil.example");
    snprintf(headers, sizeof headers, "%s\r\nOrigin: null", browser.both);
    refused_with(headers, "localhost");
    snprintf(headers, sizeof headers, "%s\r\nOrigin: http://localhost", browser.both);
    expect("POST", LIMITS, headers, LIMIT, 201);
    expect("POST", "/v1/session", "Origin: http://evil.example", LOGIN, 403);
    expect("POST", "/v1/session", "Origin: http://localhost", LOGIN, 201);
}

static void a_token_needs_none_of_it(void **state) {
    (void)state;
    struct browser browser;
    struct answer answer;
    char headers[400];
    log_in(&browser);
    snprintf(headers, sizeof headers, "%s\r\nOrigin: http://evil.example", browser.cookie);
    kit_request_with(&kit, kit.token, "POST", LIMITS, headers, LIMIT, &answer);
    assert_int_equal(answer.status, 201);
    json_t *tree = answer_tree(&answer);
    assert_string_equal(text_at(tree, "createdBy"), "token:ems"); /* the token counts, if sent */
    json_decref(tree);
    answer_free(&answer);
    kit_request_with(&kit, "derd_wrong", "GET", CLUSTERS, browser.cookie, NULL, &answer);
    expect_problem(&answer, 401);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void logging_out_ends_it(void **state) {
    (void)state;
    struct browser browser, other;
    struct answer answer;
    char value[512];
    log_in(&browser);
    log_in(&other);
    ask("DELETE", "/v1/session", browser.both, NULL, &answer);
    assert_int_equal(answer.status, 204);
    assert_string_equal(answer_header(&answer, "Set-Cookie", value),
                        "derd_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    answer_free(&answer);
    ask("GET", CLUSTERS, browser.cookie, NULL, &answer);
    assert_non_null(strstr(answer.body, "has ended"));
    assert_non_null(strstr(answer.head, "Set-Cookie: derd_session=; "));
    expect_problem(&answer, 401);
    expect("GET", CLUSTERS, other.cookie, NULL, 200);
    kit_request(&kit, "DELETE", "/v1/session", NULL, &answer); /* there is none: it is no session */
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
    kit_request(&kit, "GET", CLUSTERS, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

static void logging_in_again_ends_the_one_before(void **state) {
    (void)state;
    struct browser browser;
    log_in(&browser);
    expect("POST", "/v1/session", browser.cookie, LOGIN, 201);
    expect("GET", CLUSTERS, browser.cookie, NULL, 401);
}

static void a_new_password_ends_the_logins_of_the_old(void **state) {
    (void)state;
    struct browser browser;
    log_in(&browser);
    set_password(PASSWORD, TOKEN_SCOPES_DEFAULT); /* the same words, set anew */
    expect("GET", CLUSTERS, browser.cookie, NULL, 401);
    log_in(&browser);
    assert_int_equal(store_password_remove(kit.store, "owner", NULL), ERR_OK);
    expect("GET", CLUSTERS, browser.cookie, NULL, 401);
    set_password(PASSWORD, TOKEN_SCOPES_DEFAULT);
}

static void open_pages_need_no_session_that_lives(void **state) {
    (void)state;
    const char *gone = "Cookie: derd_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    expect("GET", "/", gone, NULL, 200);
    expect("GET", "/health", gone, NULL, 200);
    expect("POST", "/v1/session", gone, LOGIN, 201);
    expect("GET", CLUSTERS, gone, NULL, 401);
    expect("GET", CLUSTERS, "Cookie: other=1", NULL, 401);
}

/* --- guessing --------------------------------------------------------------------------------- */

static int guess(const char *headers) {
    struct answer answer;
    ask("POST", "/v1/session", headers,
        "{\"account\": \"owner\", \"password\": \"wrong horse battery\"}", &answer);
    int status = answer.status;
    if (status == 429) {
        char value[512];
        assert_true(atoi(answer_header(&answer, "Retry-After", value)) >= 1);
    }
    expect_problem(&answer, status);
    return status;
}

static void guessing_is_slowed_but_not_a_browser_that_was_let_in_before(void **state) {
    (void)state;
    struct answer answer;
    char cookie[128], header[160];
    int status = 0;
    ask("POST", "/v1/session", NULL, LOGIN, &answer);
    cookie_of(&answer, "derd_browser", cookie);
    answer_free(&answer);
    snprintf(header, sizeof header, "Cookie: %s", cookie);
    /* The right one waits as well: else a 429 would tell the wrong ones. */
    while (status != 429) {
        while (guess(NULL) != 429)
            continue;
        ask("POST", "/v1/session", NULL, LOGIN, &answer); /* 201: the wait was over just now */
        status = answer.status;
        answer_free(&answer);
    }
    expect("POST", "/v1/session", header, LOGIN, 201);
    while (guess(header) != 429) /* it is slowed for its own mistakes */
        continue;
    /* A token is not concerned, nor is who is logged in. */
    kit_request(&kit, "GET", CLUSTERS, NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

static void *ask_wrongly(void *context) {
    int *status = context;
    struct answer answer;
    ask("POST", "/v1/session", NULL,
        "{\"account\": \"nobody\", \"password\": \"wrong horse battery\"}", &answer);
    *status = answer.status;
    answer_free(&answer);
    return NULL;
}

/* Hashes are made one at a time and few wait; what is beyond is told so, not held. */
static void many_logins_at_once_do_not_hold_the_threads(void **state) {
    (void)state;
    enum { MANY = 12 };
    pthread_t threads[MANY];
    int statuses[MANY], looked_at = 0;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_wrongly, &statuses[i]), 0);
    for (int i = 0; i < MANY; i++) {
        pthread_join(threads[i], NULL);
        assert_true(statuses[i] == 401 || statuses[i] == 429 || statuses[i] == 503);
        looked_at += statuses[i] == 401;
    }
    assert_in_range(looked_at, 1, 6); /* five are free; one more if a second went by */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_right_password_is_given_a_session, start, stop),
        cmocka_unit_test_setup_teardown(the_cookie_is_for_the_browser_alone, start, stop),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_401_and_says_no_more, start, stop),
        cmocka_unit_test_setup_teardown(an_account_without_a_password_has_no_login, start, stop),
        cmocka_unit_test_setup_teardown(a_body_that_is_none_is_told, start, stop),
        cmocka_unit_test_setup_teardown(the_cookie_reads_what_a_token_reads, start, stop),
        cmocka_unit_test_setup_teardown(it_may_what_the_password_is_for, start, stop),
        cmocka_unit_test_setup_teardown(who_one_is_can_be_seen, start, stop),
        cmocka_unit_test_setup_teardown(
            an_account_whose_password_may_more_is_not_deleted_by_who_may_less, start, stop),
        cmocka_unit_test_setup_teardown(a_change_needs_the_token_of_the_login, start, stop),
        cmocka_unit_test_setup_teardown(a_page_of_others_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_token_needs_none_of_it, start, stop),
        cmocka_unit_test_setup_teardown(logging_out_ends_it, start, stop),
        cmocka_unit_test_setup_teardown(logging_in_again_ends_the_one_before, start, stop),
        cmocka_unit_test_setup_teardown(a_new_password_ends_the_logins_of_the_old, start, stop),
        cmocka_unit_test_setup_teardown(open_pages_need_no_session_that_lives, start, stop),
        cmocka_unit_test_setup_teardown(guessing_is_slowed_but_not_a_browser_that_was_let_in_before,
                                        start, stop),
        cmocka_unit_test_setup_teardown(many_logins_at_once_do_not_hold_the_threads, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
