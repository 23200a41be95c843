#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "api_kit.h"

#include "api/route.h"
#include "base/log.h"

#define DEVICES     "/v1/clusters/home/devices"
#define WALLBOX     DEVICES "/wallbox"
#define CONSTRAINTS WALLBOX "/constraints"
#define OWN_ID      "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

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

static void expect(const char *method, const char *path, const char *body, int status) {
    struct answer answer;
    kit_request(&kit, method, path, body, &answer);
    expect_problem(&answer, status);
}

static void expect_raw(const char *text, int status) {
    struct answer answer;
    kit_text(&kit, text, &answer);
    assert_true(answer.closed); /* what follows on the connection cannot be trusted */
    expect_problem(&answer, status);
}

/* --- service and page ------------------------------------------------------------------------ */

static void health_and_ready_need_no_token(void **state) {
    (void)state;
    struct answer answer;
    kit_request_as(&kit, NULL, "GET", "/health", NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    kit_request_as(&kit, NULL, "GET", "/ready", NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_t *tree = answer_tree(&answer);
    assert_true(json_is_true(json_object_get(tree, "ready")));
    assert_true(json_is_true(json_object_get(tree, "siteFine")));
    assert_int_equal(number_at(json_object_get(tree, "devices"), "online"), 1);
    assert_int_equal(number_at(json_object_get(tree, "devices"), "connecting"), 2);
    assert_null(json_object_get(tree, "siteProblems")); /* paths and names are for those inside */
    json_decref(tree);
    answer_free(&answer);
    tree = kit_get(&kit, "/ready");
    assert_int_equal(json_array_size(json_object_get(tree, "siteProblems")), 0);
    json_decref(tree);
}

static void a_host_that_is_starting_is_healthy_but_not_ready(void **state) {
    (void)state;
    struct kit young;
    struct answer answer;
    kit_start(&young, 2, false);
    kit_request(&young, "GET", "/health", NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    char value[512];
    kit_request(&young, "GET", "/ready", NULL, &answer);
    assert_true(answer_header(&answer, "Retry-After", value)[0]);
    json_t *tree = answer_tree(&answer);
    assert_true(json_is_false(json_object_get(tree, "ready")));
    json_decref(tree);
    expect_problem(&answer, 503);
    kit_request(&young, "GET", "/v1/clusters", NULL, &answer);
    expect_problem(&answer, 503);
    kit_stop(&young);
}

/* As the disk might: the first page of a table is gone. */
static void damage(const struct kit *of, const char *table) {
    char path[100];
    sqlite3 *file;
    sqlite3_stmt *statement;
    const char page[4096] = {0};
    snprintf(path, sizeof path, "%s/derd.db", of->folder);
    assert_int_equal(sqlite3_open(path, &file), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(file, "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    long root = (long)sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(file), SQLITE_OK);
    FILE *raw = fopen(path, "r+b");
    assert_non_null(raw);
    assert_int_equal(fseek(raw, (root - 1) * (long)sizeof page, SEEK_SET), 0);
    assert_int_equal(fwrite(page, sizeof page, 1, raw), 1);
    assert_int_equal(fclose(raw), 0);
}

static void a_host_that_starts_on_a_damaged_store_promises_no_bounds_yet(void **state) {
    (void)state;
    struct kit young;
    struct answer answer;
    struct report report;
    kit_start(&young, 2, false);
    api_stop(young.api);
    store_close(young.store);
    damage(&young, "receipts");
    report_init(&report);
    assert_int_equal(store_open_damaged_too(&young.store, young.folder, &report), ERR_OK);
    report_free(&report);
    kit_listen(&young, 2);
    kit_request(&young, "GET", "/ready", NULL, &answer);
    json_t *tree = answer_tree(&answer);
    assert_true(json_is_true(json_object_get(tree, "storeDamaged")));
    assert_non_null(strstr(text_at(tree, "detail"), "no bounds are applied"));
    assert_non_null(strstr(text_at(tree, "detail"), "derd restore BACKUP"));
    json_decref(tree);
    answer_free(&answer);
    directory_publish(&young.slot, kit_directory(&young));
    kit_request(&young, "GET", "/ready", NULL, &answer);
    tree = answer_tree(&answer);
    assert_non_null(strstr(text_at(tree, "detail"), "bounds are applied, but nothing is kept"));
    json_decref(tree);
    answer_free(&answer);
    kit_stop(&young);
}

static void the_page_is_served_with_its_type_and_a_strict_policy(void **state) {
    (void)state;
    static const char *const files[][2] = {{"/", "text/html; charset=utf-8"},
                                           {"/app.js", "text/javascript; charset=utf-8"},
                                           {"/style.css", "text/css; charset=utf-8"},
                                           {"/icon.svg", "image/svg+xml"}};
    for (size_t i = 0; i < 4; i++) {
        struct answer answer;
        char value[512];
        kit_request_as(&kit, NULL, "GET", files[i][0], NULL, &answer);
        assert_int_equal(answer.status, 200);
        assert_true(answer.length > 0);
        assert_string_equal(answer_header(&answer, "Content-Type", value), files[i][1]);
        answer_header(&answer, "Content-Security-Policy", value);
        assert_non_null(strstr(value, "default-src 'self'"));
        assert_null(strstr(value, "unsafe"));
        assert_string_equal(answer_header(&answer, "X-Content-Type-Options", value), "nosniff");
        assert_string_equal(answer_header(&answer, "Access-Control-Allow-Origin", value), "");
        answer_free(&answer);
    }
}

static void a_page_file_that_the_browser_has_is_not_sent_again(void **state) {
    (void)state;
    struct answer answer;
    char tag[512];
    char text[1000];
    kit_request_as(&kit, NULL, "GET", "/app.js", NULL, &answer);
    answer_header(&answer, "ETag", tag);
    assert_int_equal(strlen(tag), 34);
    answer_free(&answer);
    snprintf(text, sizeof text,
             "GET /app.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-None-Match: %s\r\n\r\n",
             tag);
    kit_text(&kit, text, &answer);
    assert_int_equal(answer.status, 304);
    assert_int_equal(answer.length, 0);
    answer_free(&answer);
}

static void no_other_file_is_served(void **state) {
    (void)state;
    expect("GET", "/index.html", NULL, 404);
    expect("GET", "/derd.db", NULL, 404);
    expect("GET", "/web/app.js", NULL, 404);
    expect("GET", "/.htpasswd", NULL, 404);
    expect("GET", "/app.js/", NULL, 404);
    expect("PUT", "/x.txt", "{}", 404);
}

static void head_gives_the_head_alone(void **state) {
    (void)state;
    struct answer answer;
    char value[512];
    kit_request(&kit, "HEAD", "/v1/clusters", NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_false(answer.more);
    assert_true(strtol(answer_header(&answer, "Content-Length", value), NULL, 10) > 10);
    answer_free(&answer);
}

/* --- authentication -------------------------------------------------------------------------- */

static void every_other_route_refuses_without_a_token(void **state) {
    (void)state;
    size_t count;
    const struct route *routes = route_table(&count);
    size_t tried = 0;
    for (size_t i = 0; i < count; i++) {
        if (routes[i].open)
            continue;
        static const char *const methods[] = {[METHOD_GET] = "GET",
                                              [METHOD_POST] = "POST",
                                              [METHOD_PUT] = "PUT",
                                              [METHOD_DELETE] = "DELETE",
                                              [METHOD_PATCH] = "PATCH"};
        struct answer answer;
        char value[512];
        bool body = routes[i].method == METHOD_POST || routes[i].method == METHOD_PUT ||
                    routes[i].method == METHOD_PATCH;
        kit_request_as(&kit, NULL, methods[routes[i].method], routes[i].path, body ? "{}" : NULL,
                       &answer);
        /* The braces of the pattern are as good a step as any. */
        assert_string_equal(answer_header(&answer, "WWW-Authenticate", value),
                            "Bearer realm=\"derd\"");
        expect_problem(&answer, 401);
        tried++;
    }
    assert_true(tried >= 17);
    assert_int_equal(kit.engine.asked, 0);
}

static void a_wrong_token_is_refused_as_invalid(void **state) {
    (void)state;
    static const char *const wrong[] = {"derd_abc",
                                        "derd_aaaaaaaaaaaa_"
                                        "0123456789012345678901234567890123456789012",
                                        "x", "%00"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct answer answer;
        char value[512];
        kit_request_as(&kit, wrong[i], "GET", "/v1/clusters", NULL, &answer);
        assert_non_null(strstr(answer_header(&answer, "WWW-Authenticate", value), "invalid_token"));
        expect_problem(&answer, 401);
    }
    expect_raw("GET /v1/clusters HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
               "Authorization: Basic YTpi\r\n\r\n",
               401);
}

static void without_a_token_nobody_learns_what_exists(void **state) {
    (void)state;
    struct answer answer;
    kit_request_as(&kit, NULL, "GET", "/v1/nothing", NULL, &answer);
    expect_problem(&answer, 401);
    kit_request_as(&kit, NULL, "PATCH", "/v1/clusters", "{}", &answer);
    expect_problem(&answer, 401);
    kit_request_as(&kit, NULL, "GET", "/nothing", NULL, &answer);
    expect_problem(&answer, 404);
}

/* --- inventory ------------------------------------------------------------------------------- */

static void clusters_are_listed_and_found_by_key_and_id(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, "/v1/clusters");
    json_t *items = json_object_get(tree, "items");
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(text_at(json_array_get(items, 0), "name"), "Wall Street 5");
    assert_true(null_at(tree, "nextCursor"));
    json_decref(tree);
    tree = kit_get(&kit, "/v1/clusters/" ID_HOME);
    assert_string_equal(text_at(tree, "key"), "home");
    assert_int_equal(number_at(tree, "deviceCount"), 3);
    json_decref(tree);
    expect("GET", "/v1/clusters/elsewhere", NULL, 404);
}

static void devices_are_shown_with_what_they_say_of_themselves(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, WALLBOX);
    assert_string_equal(text_at(tree, "id"), ID_WALLBOX);
    assert_string_equal(text_at(tree, "type"), "chargingStation");
    assert_string_equal(text_at(tree, "manufacturer"), "Maker & \"Sons\"");
    assert_true(null_at(tree, "serialNumber"));
    assert_true(null_at(tree, "part"));
    assert_string_equal(text_at(tree, "connection"), "online");
    json_decref(tree);
    expect("GET", DEVICES "/toaster", NULL, 404);
}

static void devices_are_filtered_by_type_and_connection(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, DEVICES "?type=battery");
    json_t *items = json_object_get(tree, "items");
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(text_at(json_array_get(items, 0), "key"), "battery");
    json_decref(tree);
    tree = kit_get(&kit, DEVICES "?connection=connecting");
    assert_int_equal(json_array_size(json_object_get(tree, "items")), 2);
    json_decref(tree);
    expect("GET", DEVICES "?type=toaster", NULL, 400);
    expect("GET", DEVICES "?connection=fine", NULL, 400);
    expect("GET", DEVICES "?tpye=battery", NULL, 400);
}

static void a_list_goes_on_behind_its_cursor(void **state) {
    (void)state;
    char path[400] = DEVICES "?limit=1";
    static const char *const keys[] = {"wallbox", "battery", "grid"};
    for (int i = 0; i < 3; i++) {
        json_t *tree = kit_get(&kit, path);
        json_t *items = json_object_get(tree, "items");
        assert_int_equal(json_array_size(items), 1);
        assert_string_equal(text_at(json_array_get(items, 0), "key"), keys[i]);
        assert_int_equal(null_at(tree, "nextCursor"), i == 2);
        snprintf(path, sizeof path, DEVICES "?limit=1&cursor=%s", text_at(tree, "nextCursor"));
        json_decref(tree);
    }
}

static void limits_and_cursors_are_checked(void **state) {
    (void)state;
    expect("GET", DEVICES "?limit=0", NULL, 400);
    expect("GET", DEVICES "?limit=501", NULL, 400);
    expect("GET", DEVICES "?limit=-1", NULL, 400);
    expect("GET", DEVICES "?limit=ten", NULL, 400);
    expect("GET", DEVICES "?cursor=!!", NULL, 400);
    expect("GET", DEVICES "?cursor=AAAA", NULL, 400);
    expect("GET", DEVICES "?cursor=", NULL, 400);
}

static void scripts_are_listed_and_shown_as_their_cards_say(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, "/v1/drivers");
    assert_int_equal(json_array_size(json_object_get(tree, "items")), 1);
    json_decref(tree);
    tree = kit_get(&kit, "/v1/drivers/some_driver");
    assert_string_equal(text_at(tree, "status"), "active");
    json_decref(tree);
    tree = kit_get(&kit, "/v1/policies");
    assert_string_equal(text_at(json_array_get(json_object_get(tree, "items"), 0), "name"),
                        "solar_charging");
    json_decref(tree);
    tree = kit_get(&kit, "/v1/policies/solar_charging");
    json_decref(tree);
    expect("GET", "/v1/drivers/solar_charging", NULL, 404);
    expect("GET", "/v1/policies/none", NULL, 404);
}

static void the_vocabulary_is_published(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, "/v1/vocabulary");
    assert_true(json_array_size(json_object_get(tree, "deviceTypes")) == DEVICE_TYPE_COUNT);
    json_decref(tree);
}

/* --- flexibility ----------------------------------------------------------------------------- */

static void flexibility_shows_values_with_their_times(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, WALLBOX "/flexibility");
    assert_string_equal(text_at(tree, "deviceId"), ID_WALLBOX);
    assert_string_equal(text_at(tree, "state"), "charging");
    assert_int_equal(number_at(tree, "activePower"), 4140);
    assert_int_equal(number_at(tree, "minActivePower"), 0);
    assert_int_equal(number_at(tree, "maxActivePower"), 11000);
    assert_int_equal(json_array_size(json_object_get(tree, "allowedRanges")), 2);
    assert_true(json_is_null(json_array_get(json_object_get(tree, "activePowerPhases"), 0)));
    assert_true(null_at(tree, "stateOfCharge"));
    assert_true(null_at(tree, "energyImport"));
    assert_true(null_at(tree, "setPoint"));
    assert_true(null_at(tree, "minBound"));
    assert_int_equal(number_at(tree, "maxBound"), 4200);
    json_t *command = json_object_get(tree, "command");
    assert_string_equal(text_at(command, "state"), "confirmed");
    assert_string_equal(text_at(command, "following"), "below");
    assert_true(json_real_value(json_object_get(json_object_get(tree, "values"), "voltageL1")) ==
                230.4);
    assert_null(json_object_get(json_object_get(tree, "values"), "voltageL2"));
    assert_string_equal(text_at(json_object_get(tree, "updated"), "activePower"),
                        text_at(tree, "updatedAt"));
    json_decref(tree);
}

static void stale_values_come_with_an_end_in_the_past(void **state) {
    (void)state;
    char now[WALL_TEXT_SIZE];
    kit_measure(&kit, 4140, 60000);
    wall_format(clock_now(&kit.clock).wall, now);
    json_t *tree = kit_get(&kit, WALLBOX "/flexibility");
    assert_string_equal(text_at(tree, "connection"), "offline");
    assert_int_equal(number_at(tree, "activePower"), 4140);
    assert_true(strcmp(text_at(tree, "invalidAt"), now) < 0);
    json_decref(tree);
}

static void what_was_never_measured_is_null(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, DEVICES "/grid/flexibility");
    assert_true(null_at(tree, "activePower"));
    assert_true(null_at(tree, "state"));
    assert_true(null_at(tree, "updatedAt"));
    assert_true(null_at(tree, "invalidAt"));
    assert_true(null_at(tree, "maxActivePower"));
    assert_int_equal(json_array_size(json_object_get(tree, "allowedRanges")), 0);
    assert_true(json_is_false(json_object_get(tree, "controllable")));
    json_decref(tree);
}

static void a_clusters_flexibility_shows_all_devices(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, "/v1/clusters/home/flexibility");
    json_t *items = json_object_get(tree, "items");
    assert_int_equal(json_array_size(items), 3);
    assert_string_equal(text_at(json_array_get(items, 2), "key"), "grid");
    json_decref(tree);
}

static json_t *put(const char *method, const char *path, const char *body, int status) {
    struct answer answer;
    kit_request(&kit, method, path, body, &answer);
    if (answer.status != status)
        fail_msg("%d, not %d: %s", answer.status, status, answer.body);
    json_t *tree = answer_tree(&answer);
    answer_free(&answer);
    return tree;
}

/* --- bodies and methods ---------------------------------------------------------------------- */

static void bodies_that_are_not_json_are_refused_with_their_place(void **state) {
    (void)state;
    struct answer answer;
    kit_request(&kit, "POST", CONSTRAINTS, "{\"priority\": 5,\n\"priority\": 6}", &answer);
    assert_non_null(strstr(answer.body, "line 2"));
    expect_problem(&answer, 400);
    expect("POST", CONSTRAINTS, "{\"priority\": 5,", 400);
    expect("POST", CONSTRAINTS, "[]", 400);
    expect("POST", CONSTRAINTS, "{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", 400);
    expect("POST", CONSTRAINTS, NULL, 400);
}

static void a_body_of_another_type_is_refused(void **state) {
    (void)state;
    char text[500];
    snprintf(text, sizeof text,
             "POST " CONSTRAINTS " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
             kit.token);
    expect_raw(text, 415);
}

static void a_large_body_is_refused_and_the_answer_arrives(void **state) {
    (void)state;
    size_t length = 200000;
    char *text = calloc(1, length + 1000);
    struct answer answer;
    assert_non_null(text);
    int head = snprintf(text, 1000,
                        "POST " CONSTRAINTS " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                        kit.token, length);
    memset(text + head, ' ', length);
    kit_raw(&kit, text, (size_t)head + length, &answer);
    expect_problem(&answer, 413);
    free(text);
}

static void a_body_is_asked_for_when_the_client_waits(void **state) {
    (void)state;
    char text[500];
    const char *body = "{\"priority\": 5, \"activePower\": 0, \"validFor\": 60}";
    snprintf(text, sizeof text,
             "POST " CONSTRAINTS " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n"
             "Expect: 100-continue\r\nConnection: close\r\n\r\n",
             kit.token, strlen(body));
    int fd = client_connect(&kit);
    char first[100] = "";
    struct answer answer;
    client_send(fd, text, strlen(text));
    assert_true(recv(fd, first, 25, MSG_WAITALL) == 25);
    assert_string_equal(first, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(fd, body, strlen(body));
    client_read(fd, false, &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
    close(fd);
}

static void a_method_that_a_path_does_not_take_is_told_with_those_it_takes(void **state) {
    (void)state;
    struct answer answer;
    char value[512];
    kit_request(&kit, "DELETE", CONSTRAINTS, NULL, &answer);
    assert_string_equal(answer_header(&answer, "Allow", value), "GET, HEAD, POST");
    expect_problem(&answer, 405);
    kit_request(&kit, "PATCH", CONSTRAINTS "/" OWN_ID, "{}", &answer);
    assert_string_equal(answer_header(&answer, "Allow", value), "GET, HEAD, PUT, DELETE");
    expect_problem(&answer, 405);
    kit_request(&kit, "OPTIONS", "/health", NULL, &answer);
    assert_string_equal(answer_header(&answer, "Allow", value), "GET, HEAD");
    expect_problem(&answer, 405);
    expect("PROPFIND", "/health", NULL, 405);
    expect("OPTIONS", "/nothing", NULL, 404);
}

/* --- requests that must not reach a handler --------------------------------------------------- */

static void malformed_requests_are_refused_as_problems(void **state) {
    (void)state;
    expect_raw("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_raw("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    expect_raw("GET /\r\nHost: a\r\n\r\n", 400);
    expect_raw("nonsense\r\n\r\n", 400);
    expect_raw("GET / HTTP/1.1\r\n\r\n", 400);
    expect_raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    expect_raw("GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_raw("GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_raw("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_raw("GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_raw("GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_raw("GET nopath HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

static void requests_that_a_proxy_may_read_otherwise_are_refused(void **state) {
    (void)state;
    expect_raw("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
               400);
    expect_raw("POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
               411);
    expect_raw("POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400);
    expect_raw("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
               "Content-Length: 3\r\n\r\n{}",
               400);
    expect_raw("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n{}", 400);
    expect_raw("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2x\r\n\r\n{}", 400);
    expect_raw("GET / HTTP/1.1\r\nHost: a\r\n b\r\nContent-Length: 5\r\n\r\n", 400);
    expect_raw("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400);
    expect_raw("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n", 400);
}

static void a_request_hidden_behind_a_refused_one_is_not_read(void **state) {
    (void)state;
    struct answer answer;
    kit_text(&kit, "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
             &answer);
    assert_false(answer.more);
    assert_true(answer.closed);
    expect_problem(&answer, 400);
}

static void heads_and_targets_that_are_too_large_are_refused(void **state) {
    (void)state;
    static char text[40000];
    snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", 3000, 1);
    expect_raw(text, 414);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n", 9000, 1);
    expect_raw(text, 431);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n", 16384, 1);
    expect_raw(text, 400); /* civetweb does not say that it was the size */
    size_t used = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 70; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "X%d: 1\r\n", i);
    snprintf(text + used, sizeof text - used, "\r\n");
    expect_raw(text, 431);
}

/* --- connections ----------------------------------------------------------------------------- */

static void a_connection_carries_many_requests(void **state) {
    (void)state;
    int fd = client_connect(&kit);
    for (int i = 0; i < 20; i++) {
        struct answer answer;
        const char *text = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
        client_send(fd, text, strlen(text));
        client_read(fd, false, &answer);
        assert_int_equal(answer.status, 200);
        assert_false(answer.closed);
        answer_free(&answer);
    }
    close(fd);
}

static void a_problem_of_a_sound_request_keeps_the_connection(void **state) {
    (void)state;
    int fd = client_connect(&kit);
    for (int i = 0; i < 2; i++) {
        struct answer answer;
        char text[600];
        snprintf(text, sizeof text,
                 "POST " CONSTRAINTS " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
                 "Content-Type: application/json\r\nContent-Length: 4\r\n\r\noops",
                 kit.token);
        client_send(fd, text, strlen(text));
        client_read(fd, false, &answer);
        assert_false(answer.closed);
        expect_problem(&answer, 400);
    }
    close(fd);
}

static void when_all_threads_have_a_connection_each_answer_ends_one(void **state) {
    (void)state;
    struct kit small;
    kit_start(&small, 1, true);
    for (int i = 0; i < 3; i++) {
        struct answer answer;
        kit_text(&small, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", &answer);
        assert_int_equal(answer.status, 200);
        assert_true(answer.closed);
        answer_free(&answer);
    }
    kit_stop(&small);
}

/* Silent ones, one in the middle of its head, one in the middle of its body: all of the threads.
 * Who asks is answered all the same, and they are ended; whose body was short is told. */
static void when_threads_run_out_those_that_dawdle_make_way(void **state) {
    (void)state;
    enum { THREADS = 4 };
    struct kit small;
    struct answer answer;
    int fds[THREADS];
    char text[400];
    kit_start(&small, THREADS, true);
    for (int i = 0; i < THREADS; i++)
        fds[i] = client_connect(&small);
    int length = snprintf(text, sizeof text,
                          "POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
                          "Content-Type: application/json\r\nContent-Length: 50000\r\n\r\n{",
                          CONSTRAINTS, small.token);
    assert_int_equal(write(fds[0], "GET /hea", 8), 8);
    assert_int_equal(write(fds[1], text, (size_t)length), length);
    for (int i = 0; i < 3; i++) {
        kit_text(&small, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &answer);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
    }
    for (int i = 0; i < THREADS; i++) {
        ssize_t got = read(fds[i], text, sizeof text - 1);
        text[got > 0 ? got : 0] = '\0';
        if (i == 1)
            assert_non_null(strstr(text, "HTTP/1.1 408 "));
        if (i > 1)
            assert_int_equal(got, 0);
        close(fds[i]);
    }
    kit_stop(&small);
}

#define READERS 4
#define READS   60

static void *read_along(void *context) {
    static const char *const paths[] = {WALLBOX "/effective", WALLBOX "/flexibility", CONSTRAINTS,
                                        "/ready", DEVICES};
    const char *token = context;
    size_t wrong = 0;
    for (size_t i = 0; i < READS; i++) {
        char text[400];
        struct answer answer;
        int length = snprintf(text, sizeof text,
                              "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                              "Authorization: Bearer %s\r\n\r\n",
                              paths[i % (sizeof paths / sizeof paths[0])], token);
        kit_raw(&kit, text, (size_t)length, &answer);
        json_t *tree = json_loadb(answer.body, answer.length, 0, NULL);
        wrong += answer.status != 200 || !tree;
        json_decref(tree);
        answer_free(&answer);
    }
    return (void *)(uintptr_t)wrong;
}

static void readers_see_whole_answers_while_everything_changes(void **state) {
    (void)state;
    pthread_t readers[READERS];
    json_decref(put("POST", CONSTRAINTS,
                    "{\"priority\": 2000, \"maxActivePower\": 4200, \"validFor\": 600}", 201));
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_along, kit.token), 0);
    for (int i = 0; i < 300; i++) {
        kit_measure(&kit, i, 0);
        engine_publish(&kit.engine);
    }
    for (size_t i = 0; i < READERS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(readers[i], &wrong), 0);
        assert_null(wrong);
    }
}

static void what_cannot_be_listened_on_is_refused_in_words(void **state) {
    (void)state;
    static const char *const bad[] = {"8080",
                                      "127.0.0.1",
                                      "127.0.0.1:8443s",
                                      "localhost:80",
                                      "127.0.0.1:80,+81",
                                      "[::1]:80",
                                      "127.0.0.1:99999",
                                      ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct api *api;
        char why[300];
        struct api_settings settings = {
            .listen = bad[i], .web_root = "/nonexistent", .store = kit.store};
        assert_int_equal(api_start(&api, &settings, why, sizeof why), ERR_FORMAT);
        assert_non_null(strstr(why, "http.listen"));
    }
    char taken[64];
    char why[300];
    struct api *api;
    snprintf(taken, sizeof taken, "127.0.0.1:%d", api_port(kit.api));
    struct api_settings settings = {
        .listen = taken, .web_root = "/nonexistent", .store = kit.store};
    assert_int_equal(api_start(&api, &settings, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, taken));
}

/* --- keys ------------------------------------------------------------------------------------ */

static void a_device_without_a_key_has_none_wherever_it_is_shown(void **state) {
    (void)state;
    static const char *const paths[] = {"/v1/clusters/home/devices/" ID_WALLBOX,
                                        "/v1/clusters/home/devices/" ID_WALLBOX "/flexibility"};
    struct device_card *card = kit.engine.device;
    const char *key = card->key;
    card->key = card->id;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        json_t *tree = kit_get(&kit, paths[i]);
        assert_true(null_at(tree, "key"));
        json_decref(tree);
    }
    card->key = key;
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(health_and_ready_need_no_token),
        T(a_host_that_is_starting_is_healthy_but_not_ready),
        T(a_host_that_starts_on_a_damaged_store_promises_no_bounds_yet),
        T(the_page_is_served_with_its_type_and_a_strict_policy),
        T(a_page_file_that_the_browser_has_is_not_sent_again),
        T(no_other_file_is_served),
        T(head_gives_the_head_alone),
        T(every_other_route_refuses_without_a_token),
        T(a_wrong_token_is_refused_as_invalid),
        T(without_a_token_nobody_learns_what_exists),
        T(clusters_are_listed_and_found_by_key_and_id),
        T(devices_are_shown_with_what_they_say_of_themselves),
        T(a_device_without_a_key_has_none_wherever_it_is_shown),
        T(devices_are_filtered_by_type_and_connection),
        T(a_list_goes_on_behind_its_cursor),
        T(limits_and_cursors_are_checked),
        T(scripts_are_listed_and_shown_as_their_cards_say),
        T(the_vocabulary_is_published),
        T(flexibility_shows_values_with_their_times),
        T(stale_values_come_with_an_end_in_the_past),
        T(what_was_never_measured_is_null),
        T(a_clusters_flexibility_shows_all_devices),
        T(bodies_that_are_not_json_are_refused_with_their_place),
        T(a_body_of_another_type_is_refused),
        T(a_large_body_is_refused_and_the_answer_arrives),
        T(a_body_is_asked_for_when_the_client_waits),
        T(a_method_that_a_path_does_not_take_is_told_with_those_it_takes),
        T(malformed_requests_are_refused_as_problems),
        T(requests_that_a_proxy_may_read_otherwise_are_refused),
        T(a_request_hidden_behind_a_refused_one_is_not_read),
        T(heads_and_targets_that_are_too_large_are_refused),
        T(a_connection_carries_many_requests),
        T(a_problem_of_a_sound_request_keeps_the_connection),
        T(when_all_threads_have_a_connection_each_answer_ends_one),
        T(when_threads_run_out_those_that_dawdle_make_way),
        T(readers_see_whole_answers_while_everything_changes),
        T(what_cannot_be_listened_on_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
