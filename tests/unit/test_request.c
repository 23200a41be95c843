#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"

static struct request request;
static struct problem problem;

/* Parses a GET of `path` with Host and the header lines given ("Name: value\n..."). */
static bool parse(const char *method, const char *path, const char *query, const char *lines) {
    static char text[20000];
    static struct request_header headers[200];
    size_t count = 0;
    snprintf(text, sizeof text, "%s", lines);
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        char *colon = strstr(line, ": ");
        assert_true(end && colon && colon < end && count < 200);
        *colon = *end = '\0';
        headers[count++] = (struct request_header){line, colon + 2};
        line = end + 1;
    }
    struct request_head head = {.method = method,
                                .version = "1.1",
                                .path = path,
                                .query = query,
                                .headers = headers,
                                .header_count = count};
    memset(&request, 0, sizeof request);
    memset(&problem, 0, sizeof problem);
    return request_parse(&request, &head, &problem);
}

static bool get(const char *path, const char *query) {
    return parse("GET", path, query, "Host: a\n");
}

static void expect_status(bool parsed, int status) {
    assert_false(parsed);
    if (problem.status != status)
        fail_msg("%d (%s), not %d", problem.status, problem.detail, status);
    assert_true(problem.detail[0]);
}

static void a_path_is_split_and_each_step_decoded(void **state) {
    (void)state;
    assert_true(get("/v1/clusters/a%20b%2Dc/x", NULL));
    assert_int_equal(request.segment_count, 4);
    assert_string_equal(request.segments[0], "v1");
    assert_string_equal(request.segments[2], "a b-c");
    assert_string_equal(request.segments[3], "x");
    assert_true(get("/", NULL));
    assert_int_equal(request.segment_count, 1);
    assert_string_equal(request.segments[0], "");
}

static void a_query_is_split_and_decoded(void **state) {
    (void)state;
    assert_true(get("/a", "limit=5&type=a+b%26c&flag"));
    assert_string_equal(request_query(&request, "limit"), "5");
    assert_string_equal(request_query(&request, "type"), "a b&c");
    assert_string_equal(request_query(&request, "flag"), "");
    assert_null(request_query(&request, "none"));
}

static void bad_percent_encodings_are_refused(void **state) {
    (void)state;
    expect_status(get("/a%", NULL), 400);
    expect_status(get("/a%2", NULL), 400);
    expect_status(get("/a%zz/b", NULL), 400);
    expect_status(get("/a%2/b", NULL), 400);
    expect_status(get("/a", "x=%f"), 400);
}

static void control_characters_are_refused_raw_and_encoded(void **state) {
    (void)state;
    expect_status(get("/a%00b", NULL), 400);
    expect_status(get("/a%0ab", NULL), 400);
    expect_status(get("/a%7f", NULL), 400);
    expect_status(get("/a\x01", NULL), 400);
    expect_status(get("/a\xff", NULL), 400);
    expect_status(get("/a", "x=%00"), 400);
}

static void dot_steps_are_refused_in_any_spelling(void **state) {
    (void)state;
    expect_status(get("/a/../b", NULL), 400);
    expect_status(get("/a/%2e%2E/b", NULL), 400);
    expect_status(get("/./a", NULL), 400);
    expect_status(get("/a/..", NULL), 400);
    expect_status(get("/a/..%2fb", NULL), 400);
    assert_true(get("/a/...", NULL));
}

static void a_target_of_more_than_2_kib_is_refused(void **state) {
    (void)state;
    static char path[REQUEST_TARGET_MAXIMUM + 2];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[REQUEST_TARGET_MAXIMUM] = '\0';
    assert_true(get(path, NULL));
    path[REQUEST_TARGET_MAXIMUM] = 'a';
    path[REQUEST_TARGET_MAXIMUM + 1] = '\0';
    expect_status(get(path, NULL), 414);
    path[REQUEST_TARGET_MAXIMUM - 3] = '\0';
    expect_status(get(path, "a=bc"), 414);
}

static void a_path_of_too_many_steps_leads_nowhere(void **state) {
    (void)state;
    expect_status(get("/1/2/3/4/5/6/7/8/9/10/11/12/13", NULL), 404);
}

static void too_many_or_repeated_query_parameters_are_refused(void **state) {
    (void)state;
    expect_status(get("/a", "a=1&b=2&a=3"), 400);
    expect_status(get("/a", "a&b&c&d&e&f&g&h&i&j&k&l&m"), 400);
}

static void the_worst_query_fits_the_decoded_text(void **state) {
    (void)state;
    static char query[REQUEST_TARGET_MAXIMUM];
    memset(query, 'x', sizeof query - 4);
    memcpy(query, "a&b&c&d&e&f&g&h&i&j&k&", 22);
    query[sizeof query - 4] = '\0';
    assert_true(get("/", query));
    assert_int_equal(request.query_count, 12);
    assert_int_equal(strlen(request.queries[11].name), sizeof query - 4 - 22);
}

static void a_large_head_is_refused(void **state) {
    (void)state;
    static char lines[REQUEST_HEADER_MAXIMUM + 100];
    snprintf(lines, sizeof lines, "Host: a\nX: %0*d\n", REQUEST_HEADER_MAXIMUM, 1);
    expect_status(parse("GET", "/a", NULL, lines), 431);
}

static void as_many_headers_as_civetweb_keeps_are_refused(void **state) {
    (void)state;
    static char lines[2000];
    size_t used = (size_t)snprintf(lines, sizeof lines, "Host: a\n");
    for (int i = 0; i < REQUEST_HEADER_COUNT - 2; i++)
        used += (size_t)snprintf(lines + used, sizeof lines - used, "X: 1\n");
    assert_true(parse("GET", "/a", NULL, lines));
    snprintf(lines + used, sizeof lines - used, "X: 1\n");
    expect_status(parse("GET", "/a", NULL, lines), 431);
}

static void host_must_be_there_exactly_once(void **state) {
    (void)state;
    expect_status(parse("GET", "/a", NULL, ""), 400);
    expect_status(parse("GET", "/a", NULL, "Host: a\nhost: a\n"), 400);
    expect_status(parse("GET", "/a", NULL, "Host: \n"), 400);
    expect_status(parse("GET", "/a", NULL, "Host: a, b\n"), 400);
    expect_status(parse("GET", "/a", NULL, "Host: user@a\n"), 400);
    assert_true(parse("GET", "/a", NULL, "HOST: 127.0.0.1:8080\n"));
}

static void a_length_beside_an_encoding_is_refused(void **state) {
    (void)state;
    expect_status(
        parse("POST", "/a", NULL, "Host: a\nContent-Length: 5\nTransfer-Encoding: chunked\n"), 400);
    expect_status(
        parse("POST", "/a", NULL, "Host: a\ntransfer-encoding: identity\ncontent-length: 5\n"),
        400);
}

static void chunked_bodies_need_a_length(void **state) {
    (void)state;
    expect_status(parse("POST", "/a", NULL, "Host: a\nTransfer-Encoding: chunked\n"), 411);
}

static void two_lengths_are_refused_also_when_equal(void **state) {
    (void)state;
    expect_status(parse("POST", "/a", NULL, "Host: a\nContent-Length: 5\nContent-Length: 6\n"),
                  400);
    expect_status(parse("POST", "/a", NULL, "Host: a\nContent-Length: 5\nContent-Length: 5\n"),
                  400);
}

static void a_length_must_be_digits(void **state) {
    (void)state;
    static const char *const bad[] = {"",     "+5",   "-1", "5 ",  "0x5",
                                      "5, 5", "five", "5;", "1e3", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char lines[100];
        snprintf(lines, sizeof lines, "Host: a\nContent-Length: %s\n", bad[i]);
        expect_status(parse("POST", "/a", NULL, lines), 400);
    }
}

static void a_body_is_taken_up_to_its_limit(void **state) {
    (void)state;
    assert_true(parse("POST", "/a", NULL, "Host: a\nContent-Length: 65536\n"));
    assert_int_equal(request.body_length, 65536);
    expect_status(parse("POST", "/a", NULL, "Host: a\nContent-Length: 65537\n"), 413);
}

static void methods_that_take_no_body_get_none(void **state) {
    (void)state;
    expect_status(parse("GET", "/a", NULL, "Host: a\nContent-Length: 5\n"), 400);
    expect_status(parse("DELETE", "/a", NULL, "Host: a\nContent-Length: 5\n"), 400);
    assert_true(parse("GET", "/a", NULL, "Host: a\nContent-Length: 0\n"));
}

static void only_application_json_is_json(void **state) {
    (void)state;
    assert_true(parse("POST", "/a", NULL, "Host: a\nContent-Type: Application/JSON\n"));
    assert_true(request.json_body);
    assert_true(
        parse("POST", "/a", NULL, "Host: a\nContent-Type: application/json; charset=utf-8\n"));
    assert_true(request.json_body);
    assert_true(parse("POST", "/a", NULL, "Host: a\nContent-Type: application/jsonx\n"));
    assert_false(request.json_body);
    assert_true(parse("POST", "/a", NULL, "Host: a\nContent-Type: text/plain\n"));
    assert_false(request.json_body);
    assert_true(parse("POST", "/a", NULL, "Host: a\n"));
    assert_false(request.json_body);
}

static void headers_that_decide_must_not_be_there_twice(void **state) {
    (void)state;
    expect_status(parse("GET", "/a", NULL, "Host: a\nAuthorization: x\nAuthorization: y\n"), 400);
    expect_status(parse("POST", "/a", NULL, "Host: a\nContent-Type: x\nContent-Type: y\n"), 400);
}

static void the_only_expectation_met_is_100_continue(void **state) {
    (void)state;
    assert_true(parse("POST", "/a", NULL, "Host: a\nExpect: 100-Continue\n"));
    assert_true(request.expect_continue);
    expect_status(parse("POST", "/a", NULL, "Host: a\nExpect: more\n"), 417);
}

static void a_connection_stays_unless_the_client_ends_it(void **state) {
    (void)state;
    assert_true(parse("GET", "/a", NULL, "Host: a\n"));
    assert_true(request.keep_alive);
    assert_true(parse("GET", "/a", NULL, "Host: a\nConnection: close\n"));
    assert_false(request.keep_alive);
    assert_true(parse("GET", "/a", NULL, "Host: a\nConnection: foo, Keep-Alive\n"));
    assert_true(request.keep_alive);
    assert_true(parse("GET", "/a", NULL, "Host: a\nConnection: keep-alive, Upgrade\n"));
    assert_false(request.keep_alive);
}

static void unknown_query_parameters_are_told_with_those_known(void **state) {
    (void)state;
    assert_true(get("/a", "limt=5"));
    assert_false(request_query_known(&request, "limit cursor", &problem));
    assert_int_equal(problem.status, 400);
    assert_non_null(strstr(problem.detail, "limt"));
    assert_non_null(strstr(problem.detail, "limit cursor"));
    assert_true(get("/a", "cursor=5&limit=3"));
    assert_true(request_query_known(&request, "limit cursor", &problem));
    assert_true(get("/a", "lim=5"));
    assert_false(request_query_known(&request, "limit cursor", &problem));
    assert_true(get("/a", NULL));
    assert_true(request_query_known(&request, "", &problem));
}

/* --- lines as civetweb leaves them -------------------------------------------------------------
 */

/* Splits the text of a head as civetweb 1.15 does: in place, with NUL for what ends a part. */
static bool lines_whole(const char *text) {
    static char buffer[2000];
    static struct request_header headers[REQUEST_HEADER_COUNT];
    size_t length = strlen(text);
    memset(buffer, 'B', sizeof buffer); /* a body follows */
    memcpy(buffer, text, length);
    buffer[length - 1] = '\0';
    struct request_head head = {.method = buffer, .headers = headers};
    char *at = strstr(buffer, "HTTP/1.1");
    head.version = at + 5;
    for (at += 8; *at == '\r' || *at == '\n' || *at == ' '; at++)
        *at = '\0';
    while (*at > ' ') {
        struct request_header *header = &headers[head.header_count++];
        header->name = at;
        at += strcspn(at, ": ");
        while (*at == ' ')
            *at++ = '\0';
        *at = '\0';
        do
            at++;
        while (*at == ' ');
        header->value = at;
        at += strcspn(at, "\r\n");
        if (*at == '\r')
            *at++ = '\0';
        if (!*at)
            break;
        *at++ = '\0';
    }
    return request_lines_whole(&head);
}

static void whole_header_lines_pass(void **state) {
    (void)state;
    assert_true(lines_whole("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\nZ:1\r\n\r\n"));
    assert_true(lines_whole("GET / HTTP/1.1\r\nHost:a\r\n\r\n"));
    assert_true(lines_whole("GET / HTTP/1.1\r\n\r\n"));
}

static void a_folded_line_is_noticed(void **state) {
    (void)state;
    assert_false(lines_whole("GET / HTTP/1.1\r\nHost: a\r\n b\r\nContent-Length: 5\r\n\r\n"));
    assert_false(lines_whole("GET / HTTP/1.1\r\n Host: a\r\nX: 1\r\n\r\n"));
}

static void lines_that_end_without_cr_are_noticed(void **state) {
    (void)state;
    assert_false(lines_whole("GET / HTTP/1.1\nHost: a\r\n\r\n"));
    assert_false(lines_whole("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"));
    assert_false(lines_whole("GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n\r\n"));
    assert_false(lines_whole("GET / HTTP/1.1\nHost: a\n\n"));
}

static void a_blank_before_the_colon_is_noticed(void **state) {
    (void)state;
    assert_false(lines_whole("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_split_and_each_step_decoded),
        cmocka_unit_test(a_query_is_split_and_decoded),
        cmocka_unit_test(bad_percent_encodings_are_refused),
        cmocka_unit_test(control_characters_are_refused_raw_and_encoded),
        cmocka_unit_test(dot_steps_are_refused_in_any_spelling),
        cmocka_unit_test(a_target_of_more_than_2_kib_is_refused),
        cmocka_unit_test(a_path_of_too_many_steps_leads_nowhere),
        cmocka_unit_test(too_many_or_repeated_query_parameters_are_refused),
        cmocka_unit_test(the_worst_query_fits_the_decoded_text),
        cmocka_unit_test(a_large_head_is_refused),
        cmocka_unit_test(as_many_headers_as_civetweb_keeps_are_refused),
        cmocka_unit_test(host_must_be_there_exactly_once),
        cmocka_unit_test(a_length_beside_an_encoding_is_refused),
        cmocka_unit_test(chunked_bodies_need_a_length),
        cmocka_unit_test(two_lengths_are_refused_also_when_equal),
        cmocka_unit_test(a_length_must_be_digits),
        cmocka_unit_test(a_body_is_taken_up_to_its_limit),
        cmocka_unit_test(methods_that_take_no_body_get_none),
        cmocka_unit_test(only_application_json_is_json),
        cmocka_unit_test(headers_that_decide_must_not_be_there_twice),
        cmocka_unit_test(the_only_expectation_met_is_100_continue),
        cmocka_unit_test(a_connection_stays_unless_the_client_ends_it),
        cmocka_unit_test(unknown_query_parameters_are_told_with_those_known),
        cmocka_unit_test(whole_header_lines_pass),
        cmocka_unit_test(a_folded_line_is_noticed),
        cmocka_unit_test(lines_that_end_without_cr_are_noticed),
        cmocka_unit_test(a_blank_before_the_colon_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
