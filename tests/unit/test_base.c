#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/report.h"

static void a_buffer_holds_exactly_its_maximum(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 5);
    buf_text(&buf, "abc");
    buf_text(&buf, "de");
    assert_false(buf.failed);
    assert_string_equal(buf_string(&buf), "abcde");
    buf_char(&buf, 'f');
    assert_true(buf.failed);
    assert_string_equal(buf_string(&buf), "abcde");
    buf_free(&buf);
}

static void what_does_not_fit_is_left_out_whole_with_all_that_follows(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 5);
    buf_text(&buf, "abc");
    buf_format(&buf, "%d", 12345);
    buf_char(&buf, 'x');
    assert_true(buf.failed);
    assert_string_equal(buf_string(&buf), "abc");
    assert_null(buf_take(&buf));
    buf_free(&buf);
}

static void a_cleared_buffer_starts_anew(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 3);
    buf_text(&buf, "abcd");
    assert_true(buf.failed);
    buf_clear(&buf);
    assert_false(buf.failed);
    assert_string_equal(buf_string(&buf), "");
    buf_text(&buf, "abc");
    assert_string_equal(buf_string(&buf), "abc");
    buf_free(&buf);
}

static void an_empty_buffer_is_the_empty_text(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    assert_string_equal(buf_string(&buf), "");
    buf_append(&buf, "", 0);
    assert_false(buf.failed);
    char *taken = buf_take(&buf);
    assert_string_equal(taken, "");
    free(taken);
}

static void a_taken_text_leaves_an_empty_buffer(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    buf_format(&buf, "%s=%d", "a", 1);
    char *taken = buf_take(&buf);
    assert_string_equal(taken, "a=1");
    assert_string_equal(buf_string(&buf), "");
    buf_text(&buf, "b");
    assert_string_equal(buf_string(&buf), "b");
    assert_string_equal(taken, "a=1");
    free(taken);
    buf_free(&buf);
}

static void a_buffer_may_hold_any_bytes(void **state) {
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 200; i++)
        buf_append(&buf, "\0\1\2", 3);
    assert_int_equal(buf.length, 600);
    assert_memory_equal(buf.data + 597, "\0\1\2", 4); /* and the NUL behind */
    buf_free(&buf);
}

static void a_report_keeps_the_first_hundred_and_counts_all(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    assert_true(report_empty(&report));
    for (int i = 0; i < REPORT_MAXIMUM + 5; i++)
        report_add(&report, "where", "mistake %d", i);
    assert_false(report_empty(&report));
    assert_int_equal(report.count, REPORT_MAXIMUM);
    assert_int_equal(report.total, REPORT_MAXIMUM + 5);
    assert_string_equal(report.items[REPORT_MAXIMUM - 1].text, "mistake 99");
    report_free(&report);
    assert_true(report_empty(&report));
}

static void a_mistake_too_long_to_show_is_kept_all_the_same(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    report_add(&report, "a", "%s", text);
    assert_int_equal(report.count, 1);
    assert_string_equal(report.items[0].text, "(a text too long to show)");
    report_free(&report);
}

static void moved_mistakes_get_a_prefix_and_leave_nothing_behind(void **state) {
    (void)state;
    struct report to;
    struct report from;
    report_init(&to);
    report_init(&from);
    report_add(&to, "first", "one");
    for (int i = 0; i < REPORT_MAXIMUM + 1; i++)
        report_add(&from, ".name", "two");
    report_move(&to, &from, "points[1]");
    assert_true(report_empty(&from));
    assert_int_equal(to.count, REPORT_MAXIMUM);
    assert_int_equal(to.total, REPORT_MAXIMUM + 2);
    assert_string_equal(to.items[0].where, "first");
    assert_string_equal(to.items[1].where, "points[1].name");
    assert_string_equal(to.items[1].text, "two");
    report_free(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_holds_exactly_its_maximum),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole_with_all_that_follows),
        cmocka_unit_test(a_cleared_buffer_starts_anew),
        cmocka_unit_test(an_empty_buffer_is_the_empty_text),
        cmocka_unit_test(a_taken_text_leaves_an_empty_buffer),
        cmocka_unit_test(a_buffer_may_hold_any_bytes),
        cmocka_unit_test(a_report_keeps_the_first_hundred_and_counts_all),
        cmocka_unit_test(a_mistake_too_long_to_show_is_kept_all_the_same),
        cmocka_unit_test(moved_mistakes_get_a_prefix_and_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
