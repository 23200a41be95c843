#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"

static void expect_number(double value, const char *expected) {
    struct buf out;
    struct json json;
    buf_init(&out, 200);
    json_start(&json, &out);
    json_write_double(&json, value);
    assert_string_equal(buf_string(&out), expected);
    buf_free(&out);
}

static void expect_text(const char *text, const char *expected) {
    struct buf out;
    struct json json;
    buf_init(&out, 200);
    json_start(&json, &out);
    json_write_string(&json, text);
    assert_string_equal(buf_string(&out), expected);
    buf_free(&out);
}

static void commas_stand_between_members_and_items_only(void **state) {
    (void)state;
    struct buf out;
    struct json json;
    buf_init(&out, 200);
    json_start(&json, &out);
    json_object_open(&json);
    json_put_integer(&json, "a", -3);
    json_key(&json, "b");
    json_array_open(&json);
    json_array_open(&json);
    json_array_close(&json);
    json_write_null(&json);
    json_object_open(&json);
    json_object_close(&json);
    json_write_boolean(&json, false);
    json_array_close(&json);
    json_put_raw(&json, "c", "{\"d\":1}");
    json_put_boolean(&json, "e", true);
    json_object_close(&json);
    assert_string_equal(buf_string(&out),
                        "{\"a\":-3,\"b\":[[],null,{},false],\"c\":{\"d\":1},\"e\":true}");
    buf_free(&out);
}

static void numbers_are_as_short_as_they_can_be(void **state) {
    (void)state;
    expect_number(0, "0");
    expect_number(-0.0, "0");
    expect_number(1500, "1500");
    expect_number(-2300, "-2300");
    expect_number(0.1, "0.1");
    expect_number(230.4, "230.4");
    expect_number(49.98, "49.98");
    expect_number(0.1 + 0.2, "0.30000000000000004");
    expect_number(1.0 / 3, "0.3333333333333333");
}

static void everyday_numbers_have_no_exponent(void **state) {
    (void)state;
    expect_number(0.00001, "0.00001");
    expect_number(1.5e-9, "0.0000000015");
    expect_number(123456789012345.5, "123456789012345.5");
    expect_number(999999999999999, "999999999999999");
    expect_number(1e22, "1e+22");
}

static void every_number_reads_back_as_it_was(void **state) {
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 20000; i++) {
        double value;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(&value, &seed, sizeof value);
        if (i % 2)
            value = ldexp((double)(int64_t)seed, -40 - i % 50);
        if (!isfinite(value))
            continue;
        struct buf out;
        struct json json;
        buf_init(&out, 200);
        json_start(&json, &out);
        json_write_double(&json, value);
        assert_true(strtod(buf_string(&out), NULL) == value);
        buf_free(&out);
    }
}

static void unknown_numbers_are_null(void **state) {
    (void)state;
    expect_number(NAN, "null");
    expect_number(INFINITY, "null");
    expect_number(-INFINITY, "null");
}

/* A byte of each value at each place among plain ones, which are looked at eight at a time. */
static void a_byte_is_escaped_wherever_it_stands(void **state) {
    (void)state;
    for (int byte = 1; byte < 256; byte++)
        for (size_t at = 0; at < 20; at++) {
            char text[32] = "abcdefghijklmnopqrst";
            char expected[80];
            char middle[16];
            const char *named = strchr("b\bf\fn\nr\rt\t", byte);
            text[at] = (char)byte;
            if (byte >= 0x80)
                snprintf(middle, sizeof middle, "\xef\xbf\xbd");
            else if (byte < 0x20 && named)
                snprintf(middle, sizeof middle, "\\%c", named[-1]);
            else if (byte < 0x20 || byte == 0x7f)
                snprintf(middle, sizeof middle, "\\u%04x", (unsigned)byte);
            else
                snprintf(middle, sizeof middle, "%s%c", byte == '"' || byte == '\\' ? "\\" : "",
                         byte);
            snprintf(expected, sizeof expected, "\"%.*s%s%s\"", (int)at, text, middle,
                     text + at + 1);
            expect_text(text, expected);
        }
}

static void strings_are_escaped(void **state) {
    (void)state;
    expect_text("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    expect_text("line\nend\ttab\r\b\f", "\"line\\nend\\ttab\\r\\b\\f\"");
    expect_text("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
    expect_text("W\xc3\xa4rme \xe2\x82\xac \xf0\x9f\x98\x80",
                "\"W\xc3\xa4rme \xe2\x82\xac \xf0\x9f\x98\x80\"");
    expect_text("", "\"\"");
    expect_text(NULL, "null");
}

static void bytes_that_are_no_utf_8_are_replaced_one_by_one(void **state) {
    (void)state;
    expect_text("a\xff"
                "b",
                "\"a\xef\xbf\xbd"
                "b\"");
    expect_text("\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
    expect_text("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
    expect_text("\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* cut off */
    expect_text("\xf5\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void times_are_utc_with_milliseconds_and_unknown_ones_null(void **state) {
    (void)state;
    struct buf out;
    struct json json;
    buf_init(&out, 200);
    json_start(&json, &out);
    json_object_open(&json);
    json_put_time(&json, "a", (struct wall){86400000});
    json_put_time(&json, "b", (struct wall){0});
    json_put_known(&json, "c", "");
    json_object_close(&json);
    assert_string_equal(buf_string(&out),
                        "{\"a\":\"1970-01-02T00:00:00.000Z\",\"b\":null,\"c\":null}");
    buf_free(&out);
}

static void what_does_not_fit_fails_the_buffer(void **state) {
    (void)state;
    struct buf out;
    struct json json;
    buf_init(&out, 8);
    json_start(&json, &out);
    json_write_string(&json, "123456789");
    assert_true(out.failed);
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_members_and_items_only),
        cmocka_unit_test(numbers_are_as_short_as_they_can_be),
        cmocka_unit_test(everyday_numbers_have_no_exponent),
        cmocka_unit_test(every_number_reads_back_as_it_was),
        cmocka_unit_test(unknown_numbers_are_null),
        cmocka_unit_test(a_byte_is_escaped_wherever_it_stands),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bytes_that_are_no_utf_8_are_replaced_one_by_one),
        cmocka_unit_test(times_are_utc_with_milliseconds_and_unknown_ones_null),
        cmocka_unit_test(what_does_not_fit_fails_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
