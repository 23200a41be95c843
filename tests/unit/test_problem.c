#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/problem.h"

static json_t *written(const struct problem *problem) {
    struct buf out;
    buf_init(&out, 100000);
    problem_write(problem, &out);
    assert_false(out.failed);
    json_t *tree = json_loads(buf_string(&out), 0, NULL);
    assert_non_null(tree);
    buf_free(&out);
    return tree;
}

static const char *text_of(const json_t *tree, const char *key) {
    return json_string_value(json_object_get(tree, key));
}

static void a_problem_has_type_title_status_detail_instance_and_request_id(void **state) {
    (void)state;
    struct problem problem = {
        .status = 404, .detail = "No \"x\".", .instance = "/v1/x", .request_id = "r-1"};
    json_t *tree = written(&problem);
    assert_string_equal(text_of(tree, "type"), "urn:derd:problem:not-found");
    assert_string_equal(text_of(tree, "title"), "Not Found");
    assert_int_equal(json_integer_value(json_object_get(tree, "status")), 404);
    assert_string_equal(text_of(tree, "detail"), "No \"x\".");
    assert_string_equal(text_of(tree, "instance"), "/v1/x");
    assert_string_equal(text_of(tree, "requestId"), "r-1");
    assert_null(json_object_get(tree, "errors"));
    json_decref(tree);
}

static void each_mistake_is_listed_with_its_pointer(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    report_add(&report, "/priority", "expected %d", 1);
    report_add(&report, "", "second");
    struct problem problem = {.status = 422, .detail = "d", .report = &report};
    json_t *tree = written(&problem);
    json_t *errors = json_object_get(tree, "errors");
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(text_of(json_array_get(errors, 0), "pointer"), "/priority");
    assert_string_equal(text_of(json_array_get(errors, 0), "detail"), "expected 1");
    assert_string_equal(text_of(json_array_get(errors, 1), "pointer"), "");
    json_decref(tree);
    report_free(&report);
}

static void mistakes_beyond_those_kept_are_counted(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    for (int i = 0; i < REPORT_MAXIMUM + 7; i++)
        report_add(&report, "/a", "x");
    struct problem problem = {.status = 422, .report = &report};
    json_t *tree = written(&problem);
    assert_int_equal(json_array_size(json_object_get(tree, "errors")), REPORT_MAXIMUM);
    assert_int_equal(json_integer_value(json_object_get(tree, "furtherErrors")), 7);
    json_decref(tree);
    report_free(&report);
}

static void a_status_that_is_not_listed_still_makes_a_document(void **state) {
    (void)state;
    struct problem problem = {.status = 418, .detail = "d"};
    json_t *tree = written(&problem);
    assert_string_equal(text_of(tree, "type"), "urn:derd:problem:error");
    assert_string_equal(text_of(tree, "title"), "Error");
    json_decref(tree);
}

/* --- bodies, whose mistakes are problems -------------------------------------------------------
 */

static void expect_refused(const char *text, const char *words) {
    struct problem problem = {0};
    assert_null(body_parse(text, strlen(text), &problem));
    assert_int_equal(problem.status, 400);
    if (!strstr(problem.detail, words))
        fail_msg("\"%s\" does not hold \"%s\"", problem.detail, words);
}

static void a_json_object_is_taken(void **state) {
    (void)state;
    struct problem problem = {0};
    const char *text = "{\"a\": [1, {\"b\": null}]}";
    json_t *tree = body_parse(text, strlen(text), &problem);
    assert_non_null(tree);
    json_decref(tree);
}

static void invalid_json_is_refused_with_line_and_column(void **state) {
    (void)state;
    expect_refused("{\n  \"a\": 1,\n  oops\n}", "line 3");
    expect_refused("", "line 1");
    expect_refused("{\"a\": 1} x", "column");
    expect_refused("{\"a\": \"\xff\"}", "line 1");
    expect_refused("{\"a\": NaN}", "line 1");
    expect_refused("{\"a\": 99999999999999999999}", "line 1");
}

static void a_key_that_is_there_twice_is_refused(void **state) {
    (void)state;
    expect_refused("{\"a\": 1,\n\"a\": 2}", "line 2");
}

static void what_is_no_object_is_refused(void **state) {
    (void)state;
    expect_refused("[1]", "object");
    expect_refused("3", "object");
}

/* `depth` arrays in an object, so depth + 1 levels. */
static void nested(size_t depth, char *text) {
    static const char start[] = "{\"a\":";
    size_t at = sizeof start - 1;
    memcpy(text, start, at);
    memset(text + at, '[', depth);
    memset(text + at + depth, ']', depth);
    text[at + 2 * depth] = '}';
    text[at + 2 * depth + 1] = '\0';
}

static void nesting_is_taken_to_the_limit_and_refused_beyond(void **state) {
    (void)state;
    static char text[200000];
    struct problem problem = {0};
    nested(BODY_DEPTH - 1, text);
    json_t *tree = body_parse(text, strlen(text), &problem);
    assert_non_null(tree);
    json_decref(tree);
    nested(BODY_DEPTH, text);
    expect_refused(text, "column 21");
    nested(60000, text);
    expect_refused(text, "nests");
}

static void brackets_inside_strings_do_not_nest(void **state) {
    (void)state;
    struct problem problem = {0};
    const char *text = "{\"a\": \"[[[[[[[[[[\\\"[[[[[[[[[[{{{{{{{{\"}";
    json_t *tree = body_parse(text, strlen(text), &problem);
    assert_non_null(tree);
    json_decref(tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_has_type_title_status_detail_instance_and_request_id),
        cmocka_unit_test(each_mistake_is_listed_with_its_pointer),
        cmocka_unit_test(mistakes_beyond_those_kept_are_counted),
        cmocka_unit_test(a_status_that_is_not_listed_still_makes_a_document),
        cmocka_unit_test(a_json_object_is_taken),
        cmocka_unit_test(invalid_json_is_refused_with_line_and_column),
        cmocka_unit_test(a_key_that_is_there_twice_is_refused),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(nesting_is_taken_to_the_limit_and_refused_beyond),
        cmocka_unit_test(brackets_inside_strings_do_not_nest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
