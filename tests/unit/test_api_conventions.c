/* What all resources of the API have in common: entity tags and their conditions, keys that make a
 * POST safe to repeat, request ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_kit.h"

#include "base/log.h"

#define DEVICES     "/v1/clusters/home/devices"
#define WALLBOX     DEVICES "/wallbox"
#define CONSTRAINTS WALLBOX "/constraints"
#define OWN_ID      "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define BODY        "{\"priority\": 2000, \"maxActivePower\": 4200, \"validFor\": 600}"

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

static int begin(void **state) {
    (void)state;
    engine_clear(&kit.engine);
    kit_measure(&kit, 4140, 0);
    return 0;
}

/* With one further header line, or none ("" or NULL). */
static void ask(const char *method, const char *path, const char *header, const char *body,
                struct answer *answer) {
    kit_request_with(&kit, kit.token, method, path, header, body, answer);
}

static void expect_status(const char *method, const char *path, const char *header,
                          const char *body, int status) {
    struct answer answer;
    ask(method, path, header, body, &answer);
    if (answer.status != status)
        fail_msg("%s %s with %s: %d, not %d: %s", method, path, header, answer.status, status,
                 answer.body);
    if (status >= 400)
        expect_problem(&answer, status);
    answer_free(&answer);
}

/* --- entity tags of what is read -------------------------------------------------------------- */

static void what_is_read_again_unchanged_is_not_sent_again(void **state) {
    (void)state;
    static const char *const paths[] = {
        "/v1/clusters",  "/v1/clusters/home",    DEVICES "?limit=2",
        WALLBOX,         WALLBOX "/flexibility", WALLBOX "/effective",
        CONSTRAINTS,     "/v1/drivers",          "/v1/drivers/some_driver",
        "/v1/vocabulary"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct answer answer;
        char tag[512];
        char again[512];
        char header[600];
        ask("GET", paths[i], NULL, NULL, &answer);
        assert_int_equal(answer.status, 200);
        answer_header(&answer, "ETag", tag);
        assert_true(strlen(tag) > 2 && tag[0] == '"' && tag[strlen(tag) - 1] == '"'); /* strong */
        answer_free(&answer);
        snprintf(header, sizeof header, "If-None-Match: \"other\", W/%s", tag);
        ask("GET", paths[i], header, NULL, &answer);
        assert_int_equal(answer.status, 304);
        assert_int_equal(answer.length, 0);
        assert_string_equal(answer_header(&answer, "ETag", again), tag);
        answer_free(&answer);
        expect_status("GET", paths[i], "If-None-Match: \"other\"", NULL, 200);
        expect_status("GET", paths[i], "If-None-Match: other", NULL, 400);
    }
}

static void what_has_changed_has_another_tag(void **state) {
    (void)state;
    struct answer answer;
    char tag[512];
    char header[600];
    ask("GET", WALLBOX "/flexibility", NULL, NULL, &answer);
    snprintf(header, sizeof header, "If-None-Match: %s", answer_header(&answer, "ETag", tag));
    answer_free(&answer);
    kit_measure(&kit, 4141, 0);
    expect_status("GET", WALLBOX "/flexibility", header, NULL, 200);
}

static void answers_that_are_no_success_have_no_tag(void **state) {
    (void)state;
    struct answer answer;
    char value[512];
    ask("GET", DEVICES "/nothing", "If-None-Match: *", NULL, &answer);
    assert_string_equal(answer_header(&answer, "ETag", value), "");
    expect_problem(&answer, 404);
}

/* --- keys of repetitions -----------------------------------------------------------------------
 */

static size_t listed(void) {
    json_t *tree = kit_get(&kit, CONSTRAINTS);
    size_t count = json_array_size(json_object_get(tree, "items"));
    json_decref(tree);
    return count;
}

static void a_post_that_is_repeated_with_its_key_is_done_once_and_answered_alike(void **state) {
    (void)state;
    struct answer first;
    struct answer second;
    char location[512];
    char again[512];
    ask("POST", CONSTRAINTS, "Idempotency-Key: \"once-1\"", BODY, &first);
    assert_int_equal(first.status, 201);
    assert_string_equal(answer_header(&first, "Idempotency-Replayed", again), "");
    answer_header(&first, "Location", location);
    /* The order of members and the blanks between them are not what is asked for. */
    ask("POST", CONSTRAINTS, "Idempotency-Key: once-1",
        "{\"validFor\":600,\"maxActivePower\":4200,\"priority\":2000}", &second);
    assert_int_equal(second.status, 201);
    assert_string_equal(second.body, first.body);
    assert_string_equal(answer_header(&second, "Location", again), location);
    assert_string_equal(answer_header(&second, "Idempotency-Replayed", again), "true");
    assert_int_equal(listed(), 1);
    answer_free(&first);
    answer_free(&second);
}

static void a_key_belongs_to_one_request_of_one_token(void **state) {
    (void)state;
    struct answer answer;
    expect_status("POST", CONSTRAINTS, "Idempotency-Key: once-2", BODY, 201);
    expect_status("POST", CONSTRAINTS, "Idempotency-Key: once-2",
                  "{\"priority\": 2000, \"maxActivePower\": 4201, \"validFor\": 600}", 422);
    expect_status("POST", "/v1/clusters/" ID_HOME "/devices/" ID_BATTERY "/constraints",
                  "Idempotency-Key: once-2", BODY, 422);
    assert_int_equal(listed(), 1);
    kit_request_with(&kit, kit.weak_token, "POST", CONSTRAINTS, "Idempotency-Key: once-2",
                     "{\"priority\": 5, \"maxActivePower\": 4200, \"validFor\": 600}", &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
    assert_int_equal(listed(), 2);
}

static void what_was_refused_may_be_tried_again_with_its_key(void **state) {
    (void)state;
    expect_status("POST", CONSTRAINTS, "Idempotency-Key: once-3", "{\"priority\": 5}", 422);
    kit.engine.force = true;
    kit.engine.forced = ASK_STORE_FAILED;
    expect_status("POST", CONSTRAINTS, "Idempotency-Key: once-3", BODY, 503);
    kit.engine.force = false;
    expect_status("POST", CONSTRAINTS, "Idempotency-Key: once-3", BODY, 201);
    assert_int_equal(listed(), 1);
}

static void keys_that_are_none_are_refused(void **state) {
    (void)state;
    char header[400];
    static const char *const bad[] = {"Idempotency-Key:", "Idempotency-Key: \"\"",
                                      "Idempotency-Key: a b", "Idempotency-Key: a\"b",
                                      "Idempotency-Key: a\r\nIdempotency-Key: a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_status("POST", CONSTRAINTS, bad[i], BODY, 400);
    snprintf(header, sizeof header, "Idempotency-Key: %0201d", 1);
    expect_status("POST", CONSTRAINTS, header, BODY, 400);
    expect_status("POST", CONSTRAINTS "?dryRun=true", header, BODY, 400);
    assert_int_equal(listed(), 0);
    snprintf(header, sizeof header, "Idempotency-Key: %0200d", 1);
    expect_status("POST", CONSTRAINTS, header, BODY, 201);
    expect_status("POST", CONSTRAINTS "?dryRun=perhaps", header, BODY, 400); /* not its answer */
}

static void *post_once(void *context) {
    struct answer answer;
    char text[600];
    int length = snprintf(text, sizeof text,
                          "POST " CONSTRAINTS " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                          "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                          "Idempotency-Key: at-once\r\nContent-Length: %zu\r\n\r\n" BODY,
                          kit.token, strlen(BODY));
    (void)context;
    kit_raw(&kit, text, (size_t)length, &answer);
    int status = answer.status;
    answer_free(&answer);
    return (void *)(intptr_t)status;
}

/* The first is held inside the engine until the second has its answer. */
static void while_the_first_is_under_way_a_second_is_told_to_wait(void **state) {
    (void)state;
    pthread_t first;
    void *status;
    atomic_store(&kit.engine.waiting, 0);
    pthread_mutex_lock(&kit.engine.hold);
    assert_int_equal(pthread_create(&first, NULL, post_once, NULL), 0);
    while (atomic_load(&kit.engine.waiting) == 0)
        sched_yield();
    struct answer answer;
    char value[512];
    ask("POST", CONSTRAINTS, "Idempotency-Key: at-once", BODY, &answer);
    assert_string_equal(answer_header(&answer, "Retry-After", value), "1");
    expect_problem(&answer, 409);
    pthread_mutex_unlock(&kit.engine.hold);
    assert_int_equal(pthread_join(first, &status), 0);
    assert_int_equal((int)(intptr_t)status, 201);
    expect_status("POST", CONSTRAINTS, "Idempotency-Key: at-once", BODY, 201);
    assert_int_equal(listed(), 1);
}

/* --- request ids -------------------------------------------------------------------------------
 */

static void request_ids_differ(void **state) {
    (void)state;
    struct answer answer;
    char first[512];
    char second[512];
    ask("GET", "/health", NULL, NULL, &answer);
    answer_header(&answer, "X-Request-Id", first);
    answer_free(&answer);
    ask("GET", "/health", NULL, NULL, &answer);
    answer_header(&answer, "X-Request-Id", second);
    answer_free(&answer);
    assert_true(first[0]);
    assert_string_not_equal(first, second);
}

static void a_clients_own_request_id_is_taken_when_it_is_well_formed(void **state) {
    (void)state;
    struct answer answer;
    char value[512];
    char header[200];
    ask("GET", "/v1/clusters", "X-Request-Id: my-id.7:a/b+c=_~Z", NULL, &answer);
    assert_string_equal(answer_header(&answer, "X-Request-Id", value), "my-id.7:a/b+c=_~Z");
    answer_free(&answer);
    ask("GET", "/v1/nothing", "X-Request-Id: my-id", NULL, &answer);
    assert_string_equal(answer_header(&answer, "X-Request-Id", value), "my-id");
    expect_problem(&answer, 404); /* which compares it with requestId */
    snprintf(header, sizeof header, "X-Request-Id: %065d", 1);
    const char *const bad[] = {"X-Request-Id: a b", "X-Request-Id: a\"b", "X-Request-Id: \xc3\xa4",
                               header};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask("GET", "/v1/clusters", bad[i], NULL, &answer);
        assert_int_equal(answer.status, 200);
        assert_int_equal(strlen(answer_header(&answer, "X-Request-Id", value)), 17);
        answer_free(&answer);
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(what_is_read_again_unchanged_is_not_sent_again),
        T(what_has_changed_has_another_tag),
        T(answers_that_are_no_success_have_no_tag),
        T(a_post_that_is_repeated_with_its_key_is_done_once_and_answered_alike),
        T(a_key_belongs_to_one_request_of_one_token),
        T(what_was_refused_may_be_tried_again_with_its_key),
        T(keys_that_are_none_are_refused),
        T(while_the_first_is_under_way_a_second_is_told_to_wait),
        T(request_ids_differ),
        T(a_clients_own_request_id_is_taken_when_it_is_well_formed),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
