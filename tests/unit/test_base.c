#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/report.h"
#include "base/utf8.h"

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

/* In `length` bytes, whether or not that is its form. */
static void encode(uint32_t point, size_t length, unsigned char to[5]) {
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    memset(to, 0, 5);
    for (size_t i = length; i-- > 1; point >>= 6)
        to[i] = (unsigned char)(0x80 | (point & 0x3f));
    to[0] = (unsigned char)(heads[length] | point);
}

static void each_character_has_its_one_form_whole_and_no_other(void **state) {
    (void)state;
    static const uint32_t most[] = {0, 0x7f, 0x7ff, 0xffff, 0x1fffff};
    unsigned char text[5];
    for (size_t length = 1; length <= 4; length++)
        for (uint32_t point = 0; point <= most[length]; point++) {
            bool surrogate = point >= 0xd800 && point <= 0xdfff;
            bool is_one =
                point <= 0x10ffff && !surrogate && (length == 1 || point > most[length - 1]);
            encode(point, length, text);
            if (utf8_length(text, UTF8_TO_NUL) != (is_one ? length : 0))
                fail_msg("U+%04X in %zu bytes", (unsigned)point, length);
            if (length > 1 && utf8_length(text, length - 1) != 0)
                fail_msg("U+%04X in %zu bytes, of which one is not there", (unsigned)point, length);
        }
}

static void bytes_that_begin_no_character_and_begun_ones_are_none(void **state) {
    (void)state;
    for (unsigned byte = 0x80; byte <= 0xff; byte++) {
        const unsigned char text[] = {(unsigned char)byte, 'a', 'b', 'c', '\0'};
        assert_int_equal(utf8_length(text, UTF8_TO_NUL), 0);
        assert_int_equal(utf8_length(text, 1), 0);
    }
    const unsigned char cut[] = {0xf0, 0x9f, 0x98, '\0'};
    assert_int_equal(utf8_length(cut, UTF8_TO_NUL), 0);
    assert_int_equal(utf8_length(cut, 3), 0);
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
        cmocka_unit_test(each_character_has_its_one_form_whole_and_no_other),
        cmocka_unit_test(bytes_that_begin_no_character_and_begun_ones_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
