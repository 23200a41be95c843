/* Lines of the log: one line whatever is in it, JSON that a parser takes, and an end to repetition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log_limit.h"
#include "base/log_line.h"

#define AT INT64_C(1795795200000) /* 2026-11-27T16:00:00Z */

static char line[LOG_LINE_SIZE];

static const char *rendered(enum log_format format, const char *subject, const char *text,
                            const char *request_id) {
    const struct log_entry entry = {.at = {AT},
                                    .level = LOG_LEVEL_WARNING,
                                    .subject = subject,
                                    .text = text,
                                    .request_id = request_id};
    size_t length = log_line_render(format, &entry, line);
    assert_int_equal(length, strlen(line));
    assert_ptr_equal(strchr(line, '\n'), line + length - 1);
    return line;
}

/* A member of the line as JSON. */
static void expect_member(const char *key, const char *wanted) {
    json_t *tree = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    if (!tree)
        fail_msg("no JSON: %s", line);
    assert_string_equal(json_string_value(json_object_get(tree, key)), wanted);
    json_decref(tree);
}

static void text_has_time_level_subject_and_request(void **state) {
    (void)state;
    assert_string_equal(rendered(LOG_FORMAT_TEXT, "home/box", "offline: it is", NULL),
                        "2026-11-27T16:00:00.000Z warning home/box: offline: it is\n");
    assert_string_equal(rendered(LOG_FORMAT_TEXT, "api", "no", "1a-2"),
                        "2026-11-27T16:00:00.000Z warning api: no (request 1a-2)\n");
    assert_string_equal(rendered(LOG_FORMAT_TEXT, "api", "no (request 1a-2)", "1a-2"),
                        "2026-11-27T16:00:00.000Z warning api: no (request 1a-2)\n");
    assert_string_equal(rendered(LOG_FORMAT_JOURNAL, "home/box", "offline", NULL),
                        "<4>home/box: offline\n");
}

static void json_is_an_object_with_the_same(void **state) {
    (void)state;
    rendered(LOG_FORMAT_JSON, "home/\"box\\", "say \"no\"\n\tto C:\\ \x01\x7f", "1a-2");
    expect_member("time", "2026-11-27T16:00:00.000Z");
    expect_member("level", "warning");
    expect_member("subject", "home/\"box\\");
    expect_member("text", "say \"no\"  to C:\\   ");
    expect_member("requestId", "1a-2");
}

static void text_that_is_no_utf_8_is_made_so(void **state) {
    (void)state;
    static const char *const wrong[] = {"\xff",
                                        "\xc3",
                                        "\xc0\xaf",
                                        "\xed\xa0\x80",
                                        "\xe2\x82",
                                        "\xf0\x80\x80\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xc2\x85",
                                        "\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rendered(LOG_FORMAT_JSON, wrong[i], wrong[i], NULL);
        json_t *tree = json_loads(line, 0, NULL);
        if (!tree || !strstr(line, "\xef\xbf\xbd"))
            fail_msg("%zu: %s", i, line);
        json_decref(tree);
    }
    rendered(LOG_FORMAT_JSON, "x", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", NULL);
    expect_member("text", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void what_is_too_long_is_cut_and_stays_json(void **state) {
    (void)state;
    char *text = malloc(20000);
    assert_non_null(text);
    for (size_t length = 5000; length < 19000; length += 1601)
        for (int kind = 0; kind < 3; kind++) {
            static const char *const parts[] = {"a", "\"", "\xe2\x82\xac"};
            text[0] = '\0';
            size_t used = 0;
            while (used < length) {
                memcpy(text + used, parts[kind], strlen(parts[kind]));
                used += strlen(parts[kind]);
            }
            text[used] = '\0';
            rendered(LOG_FORMAT_JSON, text, text, "some-request");
            expect_member("requestId", "some-request");
            json_t *tree = json_loads(line, 0, NULL);
            const char *cut = json_string_value(json_object_get(tree, "text"));
            assert_string_equal(cut + strlen(cut) - 3, "...");
            json_decref(tree);
            rendered(LOG_FORMAT_TEXT, text, text, "some-request");
            assert_non_null(strstr(line, "... (request some-request)\n"));
        }
    free(text);
}

static struct log_limit limit;

static bool take(const char *format, const char *subject, int64_t ms) {
    return log_limit_take(&limit, format, subject, LOG_LEVEL_INFO, "the last", (struct mono){ms});
}

static void repetition_is_shown_some_times_and_then_counted(void **state) {
    (void)state;
    static const char one[] = "one %d", other[] = "other";
    struct log_place place;
    memset(&limit, 0, sizeof limit);
    for (int i = 0; i < LOG_LIMIT_BURST; i++)
        assert_true(take(one, "box", 1000));
    for (int i = 0; i < 37; i++)
        assert_false(take(one, "box", 30000));
    assert_true(take(one, "another box", 30000)); /* each subject */
    assert_true(take(other, "box", 30000));       /* and each place for itself */
    assert_false(log_limit_over(&limit, (struct mono){60999}, false, &place));
    assert_true(log_limit_over(&limit, (struct mono){61000}, false, &place));
    assert_int_equal(place.left_out, 37);
    assert_string_equal(place.subject, "box");
    assert_string_equal(place.text, "the last");
    assert_false(log_limit_over(&limit, (struct mono){61000}, false, &place));
    assert_true(take(one, "box", 61001)); /* it begins anew */
}

static void at_the_end_all_is_told_at_once(void **state) {
    (void)state;
    static const char one[] = "one";
    struct log_place place;
    memset(&limit, 0, sizeof limit);
    for (int i = 0; i <= LOG_LIMIT_BURST; i++)
        (void)take(one, "box", 1);
    assert_false(log_limit_over(&limit, (struct mono){2}, false, &place));
    assert_true(log_limit_over(&limit, (struct mono){2}, true, &place));
    assert_int_equal(place.left_out, 1);
}

static void what_is_rare_is_always_shown(void **state) {
    (void)state;
    static const char one[] = "one";
    memset(&limit, 0, sizeof limit);
    for (int i = 0; i < 1000; i++)
        assert_true(take(one, "box", i * INT64_C(4000)));
}

static void more_places_than_there_is_room_for_are_shown(void **state) {
    (void)state;
    static const char one[] = "one";
    char subject[40];
    memset(&limit, 0, sizeof limit);
    for (int i = 0; i < 3 * LOG_LIMIT_PLACES; i++) {
        snprintf(subject, sizeof subject, "home/box%d", i);
        assert_true(take(one, subject, 5));
    }
    assert_true(take(one, "later", 70000)); /* idle ones make way */
}

/* What the process writes to standard error while `say` runs. */
static char *heard(void (*say)(void)) {
    char path[] = "/tmp/derd-log-XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(file >= 0 && before >= 0);
    dup2(file, STDERR_FILENO);
    say();
    dup2(before, STDERR_FILENO);
    char *text = calloc(1, 100000);
    assert_non_null(text);
    assert_true(pread(file, text, 99999, 0) >= 0);
    close(file);
    close(before);
    unlink(path);
    return text;
}

static void say_often(void) {
    for (int i = 0; i < 50; i++)
        log_warning("box", "it fails for the %dth time", i);
    char longer[3 * LOG_TEXT_SIZE];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    log_info("box", "%s", longer);
    for (int i = 0; i < 50; i++)
        log_debug("box", "detail %d", i);
    log_settle(true);
}

static void the_log_itself_keeps_to_it(void **state) {
    (void)state;
    log_set_format(LOG_FORMAT_JSON);
    log_set_level(LOG_LEVEL_DEBUG);
    log_set_request("r-1");
    char *text = heard(say_often);
    log_set_request(NULL);
    int lines = 0;
    long long repeated = 0;
    char *rest = text;
    for (char *one; (one = strtok_r(rest, "\n", &rest)); lines++) {
        json_t *tree = json_loads(one, 0, NULL);
        assert_non_null(tree);
        const char *said = json_string_value(json_object_get(tree, "text"));
        if (said[0] == 'x')
            assert_string_equal(said + strlen(said) - 4, "x...");
        repeated += json_integer_value(json_object_get(tree, "repeated"));
        json_decref(tree);
    }
    assert_int_equal(lines, LOG_LIMIT_BURST + 1 + 50 + 1); /* debug is shown whole */
    assert_int_equal(repeated, 50 - LOG_LIMIT_BURST);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_time_level_subject_and_request),
        cmocka_unit_test(json_is_an_object_with_the_same),
        cmocka_unit_test(text_that_is_no_utf_8_is_made_so),
        cmocka_unit_test(what_is_too_long_is_cut_and_stays_json),
        cmocka_unit_test(repetition_is_shown_some_times_and_then_counted),
        cmocka_unit_test(at_the_end_all_is_told_at_once),
        cmocka_unit_test(what_is_rare_is_always_shown),
        cmocka_unit_test(more_places_than_there_is_room_for_are_shown),
        cmocka_unit_test(the_log_itself_keeps_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
