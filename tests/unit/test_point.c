/* Registers to values and back: every encoding, both word orders, markers, masks, scale factors,
 * texts, and what may never be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "point.h"

#define NO_FACTOR NAN

static struct point own_point(enum encoding encoding) {
    return (struct point){.name = "_own",
                          .id = POINT_NONE,
                          .part = POINT_NONE,
                          .kind = REGISTER_HOLDING,
                          .words = (uint16_t)encoding_words(encoding),
                          .encoding = encoding,
                          .scale = 1,
                          .scale_point = POINT_NONE,
                          .writable = true,
                          .write_minimum = -DBL_MAX,
                          .write_maximum = DBL_MAX};
}

static void assert_decodes(const struct point *point, const uint16_t *words, double expected) {
    double value = 0;
    assert_int_equal(point_decode(point, words, NO_FACTOR, &value), POINT_OK);
    assert_true(value == expected);
}

static void assert_no_value(const struct point *point, const uint16_t *words, double factor,
                            enum point_quality expected) {
    double value = 0;
    assert_int_equal(point_decode(point, words, factor, &value), expected);
    assert_true(isnan(value));
}

static void every_encoding_is_decoded_high_word_first(void **state) {
    (void)state;
    static const struct {
        enum encoding encoding;
        uint16_t words[4];
        double expected;
    } cases[] = {
        {ENCODING_BIT, {1}, 1},
        {ENCODING_BIT, {0}, 0},
        {ENCODING_UINT16, {0xFFFE}, 65534},
        {ENCODING_INT16, {0xFFFE}, -2},
        {ENCODING_INT16, {0x7FFF}, 32767},
        {ENCODING_UINT32, {0xFFFF, 0xFFFE}, 4294967294.0},
        {ENCODING_INT32, {0xFFFF, 0xFFFE}, -2},
        {ENCODING_INT32, {0x0001, 0x0002}, 65538},
        {ENCODING_UINT64, {0x8000, 0, 0, 0}, 9223372036854775808.0},
        {ENCODING_UINT64, {0, 0, 1, 0}, 65536},
        {ENCODING_INT64, {0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, -2},
        {ENCODING_FLOAT32, {0x4366, 0x8000}, 230.5},
        {ENCODING_FLOAT64, {0x406C, 0xD000, 0, 0}, 230.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct point point = own_point(cases[i].encoding);
        assert_decodes(&point, cases[i].words, cases[i].expected);
    }
}

static void low_word_first_swaps_the_registers(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT32);
    point.low_word_first = true;
    assert_decodes(&point, (const uint16_t[]){0x0002, 0x0001}, 65538);
    point = own_point(ENCODING_FLOAT64);
    point.low_word_first = true;
    assert_decodes(&point, (const uint16_t[]){0, 0, 0xD000, 0x406C}, 230.5);
}

static void a_marker_is_no_value_whatever_the_scale(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    point.markers[0] = 0x8000;
    point.markers[1] = 0x7FFF;
    point.marker_count = 2;
    point.scale = 0.1;
    assert_no_value(&point, (const uint16_t[]){0x8000}, NO_FACTOR, POINT_NOT_AVAILABLE);
    assert_no_value(&point, (const uint16_t[]){0x7FFF}, NO_FACTOR, POINT_NOT_AVAILABLE);
    assert_decodes(&point, (const uint16_t[]){0}, 0);
}

static void a_marker_is_compared_before_the_mask(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.markers[0] = 0xFFFF;
    point.marker_count = 1;
    point.mask = 0x00F0;
    point.shift = 4;
    assert_no_value(&point, (const uint16_t[]){0xFFFF}, NO_FACTOR, POINT_NOT_AVAILABLE);
    assert_decodes(&point, (const uint16_t[]){0x00F0}, 15);
}

static void a_marker_follows_the_word_order(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT32);
    point.low_word_first = true;
    point.markers[0] = 0x80000000;
    point.marker_count = 1;
    assert_no_value(&point, (const uint16_t[]){0, 0x8000}, NO_FACTOR, POINT_NOT_AVAILABLE);
    assert_decodes(&point, (const uint16_t[]){0x8000, 0}, 32768);
}

static void a_marker_may_be_given_with_its_sign(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT32);
    point.markers[0] = (uint64_t)INT64_C(-1);
    point.marker_count = 1;
    assert_no_value(&point, (const uint16_t[]){0xFFFF, 0xFFFF}, NO_FACTOR, POINT_NOT_AVAILABLE);
}

static void a_float_that_is_no_number_is_not_available(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_FLOAT32);
    assert_no_value(&point, (const uint16_t[]){0x7FC0, 0}, NO_FACTOR, POINT_NOT_AVAILABLE);
    assert_no_value(&point, (const uint16_t[]){0x7F80, 0}, NO_FACTOR, POINT_IMPOSSIBLE);
}

static void a_mask_cuts_an_unsigned_field(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    point.mask = 0xF000;
    point.shift = 12;
    assert_decodes(&point, (const uint16_t[]){0xA123}, 10);
    point = own_point(ENCODING_UINT64);
    point.mask = UINT64_C(1) << 60 | 1;
    assert_decodes(&point, (const uint16_t[]){0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF},
                   1152921504606846977.0);
}

static void a_shift_without_a_mask_keeps_the_sign(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    point.shift = 4;
    assert_decodes(&point, (const uint16_t[]){0xFFF0}, -1);
    assert_decodes(&point, (const uint16_t[]){0xFFEF}, -2);
    assert_decodes(&point, (const uint16_t[]){0x0120}, 18);
}

static void scale_and_offset_apply_in_that_order(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.scale = 0.5;
    point.offset = -100;
    assert_decodes(&point, (const uint16_t[]){300}, 50);
    point.scale = -1;
    point.offset = 0;
    assert_decodes(&point, (const uint16_t[]){300}, -300);
    double zero = NAN;
    assert_int_equal(point_decode(&point, (const uint16_t[]){0}, NO_FACTOR, &zero), POINT_OK);
    assert_false(signbit(zero));
}

static void a_scale_factor_is_a_power_of_ten(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.scale_point = 0;
    double value = 0;
    assert_int_equal(point_decode(&point, (const uint16_t[]){2305}, -1, &value), POINT_OK);
    assert_true(value == 230.5);
    assert_int_equal(point_decode(&point, (const uint16_t[]){2305}, 2, &value), POINT_OK);
    assert_true(value == 230500);
}

static void without_its_scale_factor_a_point_has_no_value(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.scale_point = 0;
    static const double unknown[] = {NAN, -32768, 11, 0.5, INFINITY};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_no_value(&point, (const uint16_t[]){1}, unknown[i], POINT_NOT_AVAILABLE);
}

static void a_published_value_stays_in_the_range_of_its_word(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    point.id = POINT_STATE_OF_CHARGE;
    assert_decodes(&point, (const uint16_t[]){100}, 100);
    assert_decodes(&point, (const uint16_t[]){0}, 0);
    assert_no_value(&point, (const uint16_t[]){101}, NO_FACTOR, POINT_IMPOSSIBLE);
    assert_no_value(&point, (const uint16_t[]){0xFFFF}, NO_FACTOR, POINT_IMPOSSIBLE);
    point.id = POINT_NONE; /* the driver's own need only be finite */
    assert_decodes(&point, (const uint16_t[]){0xFFFF}, -1);
}

static void a_state_is_looked_up_after_mask_and_shift(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.id = POINT_STATE;
    point.mask = 0x0F00;
    point.shift = 8;
    point.values[0] = (struct point_value_name){4, STATE_PRODUCING};
    point.values[1] = (struct point_value_name){7, STATE_ERROR};
    point.value_count = 2;
    assert_decodes(&point, (const uint16_t[]){0xF4FF}, STATE_PRODUCING);
    assert_decodes(&point, (const uint16_t[]){0x0700}, STATE_ERROR);
    assert_no_value(&point, (const uint16_t[]){0x0100}, NO_FACTOR, POINT_IMPOSSIBLE);
}

static void a_signed_state_may_be_negative(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    point.id = POINT_STATE;
    point.values[0] = (struct point_value_name){-1, STATE_ERROR};
    point.value_count = 1;
    assert_decodes(&point, (const uint16_t[]){0xFFFF}, STATE_ERROR);
}

static void a_state_without_a_name_for_its_number_is_impossible(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_FLOAT32);
    point.id = POINT_STATE;
    point.values[0] = (struct point_value_name){1, STATE_READY};
    point.value_count = 1;
    assert_decodes(&point, (const uint16_t[]){0x3F80, 0}, STATE_READY);
    assert_no_value(&point, (const uint16_t[]){0x3FC0, 0}, NO_FACTOR, POINT_IMPOSSIBLE);
    assert_no_value(&point, (const uint16_t[]){0x7FC0, 0}, NO_FACTOR, POINT_NOT_AVAILABLE);
}

static void assert_text(const struct point *point, const uint16_t *words, const char *expected) {
    char text[64] = "untouched";
    assert_int_equal(point_decode_text(point, words, text, sizeof text),
                     expected[0] ? POINT_OK : POINT_NOT_AVAILABLE);
    assert_string_equal(text, expected);
}

static void texts_end_at_nul_and_lose_what_cannot_be_shown(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_STRING);
    point.words = 4;
    assert_text(&point, (const uint16_t[]){0x4142, 0x4344, 0x4546, 0x4748}, "ABCDEFGH");
    assert_text(&point, (const uint16_t[]){0x4142, 0x4300, 0x4546, 0x4748}, "ABC");
    assert_text(&point, (const uint16_t[]){0x2041, 0x2042, 0x2020, 0x2020}, "A B");
    assert_text(&point, (const uint16_t[]){0x0A41, 0x1B42, 0xFFFF, 0x7F43}, "ABC");
    assert_text(&point, (const uint16_t[]){0, 0, 0, 0}, "");
    assert_text(&point, (const uint16_t[]){0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, "");
    assert_text(&point, (const uint16_t[]){0x2020, 0x2020, 0x2020, 0x2020}, "");
}

static void a_text_longer_than_its_room_is_cut(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_STRING);
    point.words = 4;
    char text[4];
    assert_int_equal(point_decode_text(&point, (const uint16_t[]){0x4142, 0x4344, 0x4546, 0x4748},
                                       text, sizeof text),
                     POINT_OK);
    assert_string_equal(text, "ABC");
}

static void a_numeric_serial_number_is_exact(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT64);
    point.id = POINT_SERIAL_NUMBER;
    assert_text(&point, (const uint16_t[]){0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, "18446744073709551614");
    assert_text(&point, (const uint16_t[]){0x0020, 0, 0, 1}, "9007199254740993"); /* 2^53 + 1 */
    point.encoding = ENCODING_INT32;
    assert_text(&point, (const uint16_t[]){0xFFFF, 0xFFFE}, "-2");
    point.markers[0] = 0;
    point.marker_count = 1;
    assert_text(&point, (const uint16_t[]){0, 0}, "");
}

static void a_text_has_no_number(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_STRING);
    point.words = 1;
    assert_no_value(&point, (const uint16_t[]){0x3132}, NO_FACTOR, POINT_NOT_AVAILABLE);
}

static void assert_encodes(const struct point *point, double value, enum point_rounding rounding,
                           uint16_t expected) {
    uint16_t word = 0;
    assert_int_equal(point_encode(point, value, NO_FACTOR, rounding, &word), ERR_OK);
    assert_int_equal(word, expected);
}

static void assert_refused(const struct point *point, double value, enum err expected) {
    uint16_t words[4] = {0};
    assert_int_equal(point_encode(point, value, NO_FACTOR, ROUND_TOWARD_ZERO, words), expected);
}

static void encoding_rounds_to_the_nearest_step(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    point.scale = 0.1;
    assert_encodes(&point, 6.26, ROUND_NEAREST, 63);
    assert_encodes(&point, -6.26, ROUND_NEAREST, (uint16_t)-63);
}

static void encoding_toward_zero_never_exceeds_the_magnitude(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_INT16);
    assert_encodes(&point, 15.99, ROUND_TOWARD_ZERO, 15);
    assert_encodes(&point, -15.99, ROUND_TOWARD_ZERO, (uint16_t)-15);
    point.scale = -10; /* the register runs the other way */
    assert_encodes(&point, 1999, ROUND_TOWARD_ZERO, (uint16_t)-199);
    assert_encodes(&point, -1999, ROUND_TOWARD_ZERO, 199);
    point.scale = 10;
    point.offset = -1005; /* raw 0 is -1005 W: the value counts, not the raw number */
    assert_encodes(&point, 14, ROUND_TOWARD_ZERO, 101);
    assert_encodes(&point, -14, ROUND_TOWARD_ZERO, 100);
}

static void encoding_does_not_lose_a_step_to_binary_fractions(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.scale = 0.1;
    assert_encodes(&point, 0.3, ROUND_TOWARD_ZERO, 3);
    point.scale = 0.01;
    assert_encodes(&point, 1.15, ROUND_TOWARD_ZERO, 115);
}

static void large_numbers_are_still_rounded_toward_zero(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT32);
    uint16_t words[2] = {0};
    assert_int_equal(point_encode(&point, 4000000000.75, NO_FACTOR, ROUND_TOWARD_ZERO, words),
                     ERR_OK);
    assert_int_equal((uint32_t)words[0] << 16 | words[1], 4000000000U);
}

static void what_does_not_fit_is_refused_not_clamped(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    assert_refused(&point, 65536, ERR_RANGE);
    assert_refused(&point, -1, ERR_RANGE);
    assert_refused(&point, NAN, ERR_RANGE);
    assert_refused(&point, INFINITY, ERR_RANGE);
    point.encoding = ENCODING_INT16;
    assert_refused(&point, 32768, ERR_RANGE);
    assert_refused(&point, -32769, ERR_RANGE);
    point.encoding = ENCODING_INT64;
    assert_refused(&point, 9223372036854775808.0, ERR_RANGE);
    point.encoding = ENCODING_UINT64;
    assert_refused(&point, 18446744073709551616.0, ERR_RANGE);
    point.encoding = ENCODING_FLOAT32;
    assert_refused(&point, 1e39, ERR_RANGE);
    point.encoding = ENCODING_BIT;
    assert_refused(&point, 2, ERR_RANGE);
    point.encoding = ENCODING_STRING;
    assert_refused(&point, 1, ERR_RANGE);
}

static void nothing_outside_the_writable_range_is_encoded(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.write_minimum = 6.5;
    point.write_maximum = 16;
    assert_refused(&point, 17, ERR_RANGE);
    assert_refused(&point, 6, ERR_RANGE);
    assert_refused(&point, 6.9, ERR_RANGE); /* 6 is what would reach the device */
    assert_encodes(&point, 16, ROUND_TOWARD_ZERO, 16);
    point.writable = false;
    assert_refused(&point, 10, ERR_RANGE);
}

static void a_marker_is_never_written_as_a_value(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.markers[0] = 0xFFFF;
    point.marker_count = 1;
    assert_refused(&point, 65535, ERR_RANGE);
    assert_encodes(&point, 65534, ROUND_NEAREST, 65534);
}

static void without_its_scale_factor_a_point_cannot_be_written(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.scale_point = 3;
    assert_refused(&point, 1, ERR_FORMAT);
    uint16_t word = 0;
    assert_int_equal(point_encode(&point, 55.55, -1, ROUND_TOWARD_ZERO, &word), ERR_OK);
    assert_int_equal(word, 555);
}

static void a_field_is_written_into_its_bits_and_no_others(void **state) {
    (void)state;
    struct point point = own_point(ENCODING_UINT16);
    point.mask = 0x0030;
    point.shift = 4;
    assert_encodes(&point, 3, ROUND_NEAREST, 0x0030);
    assert_refused(&point, 4, ERR_RANGE);
    point.mask = 0x0050; /* a field with a gap: 2 has no bit of its own */
    assert_refused(&point, 2, ERR_RANGE);
}

static uint64_t next_random(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void what_is_decoded_and_encoded_again_is_the_same_registers(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252U;
    int compared = 0;
    for (int round = 0; round < 100000; round++) {
        enum encoding encoding = (enum encoding)(next_random(&seed) % ENCODING_STRING);
        struct point point = own_point(encoding);
        point.low_word_first = next_random(&seed) & 1;
        static const double scales[] = {1, 0.1, 0.01, 10, -1, -0.1};
        if (encoding != ENCODING_FLOAT32 && encoding != ENCODING_FLOAT64)
            point.scale = scales[next_random(&seed) % 6];
        point.scale_point = next_random(&seed) & 1 ? 0 : POINT_NONE;
        double factor = encoding == ENCODING_FLOAT64 ? 0 : (double)(next_random(&seed) % 7) - 3;
        uint64_t bits = next_random(&seed);
        if (encoding == ENCODING_BIT)
            bits &= 1;
        if (encoding == ENCODING_UINT64 || encoding == ENCODING_INT64)
            bits >>= 20; /* what a double holds with room for the errors of the scale */
        uint16_t words[4] = {0}, again[4] = {0};
        for (int i = 0; i < encoding_words(encoding); i++)
            words[point.low_word_first ? i : encoding_words(encoding) - 1 - i] =
                (uint16_t)(bits >> 16 * i);
        double value = 0;
        if (point_decode(&point, words, factor, &value) != POINT_OK)
            continue; /* a float NaN or infinity */
        if (encoding == ENCODING_FLOAT32 && fabs(value) > 1e34)
            continue; /* the factor leads out of the float's range and back */
        enum point_rounding rounding = next_random(&seed) & 1 ? ROUND_NEAREST : ROUND_TOWARD_ZERO;
        assert_int_equal(point_encode(&point, value, factor, rounding, again), ERR_OK);
        assert_memory_equal(again, words, sizeof words);
        compared++;
    }
    assert_true(compared > 90000);
}

static void rounding_toward_zero_holds_for_random_values(void **state) {
    (void)state;
    uint64_t seed = 1234567;
    for (int round = 0; round < 100000; round++) {
        struct point point = own_point(ENCODING_INT32);
        static const double scales[] = {1, 0.1, 230, -1, -0.01, 692.8};
        point.scale = scales[next_random(&seed) % 6];
        double value = ((double)(next_random(&seed) % 2000001) - 1000000) / 97;
        uint16_t words[2] = {0};
        double decoded = 0;
        assert_int_equal(point_encode(&point, value, NO_FACTOR, ROUND_TOWARD_ZERO, words), ERR_OK);
        assert_int_equal(point_decode(&point, words, NO_FACTOR, &decoded), POINT_OK);
        assert_true(fabs(decoded) <= fabs(value) + 1e-6);
        assert_true(fabs(value - decoded) < fabs(point.scale) + 1e-6);
        assert_true(decoded == 0 || (decoded > 0) == (value > 0));
    }
}

static void names_and_sizes_agree_with_the_encodings(void **state) {
    (void)state;
    size_t count = 0;
    while (encoding_names()[count])
        count++;
    assert_int_equal(count, ENCODING_STRING + 1);
    assert_string_equal(encoding_names()[ENCODING_FLOAT32], "float32");
    assert_string_equal(register_kind_names()[REGISTER_INPUT], "input");
    assert_null(register_kind_names()[REGISTER_INPUT + 1]);
    assert_int_equal(encoding_words(ENCODING_BIT), 1);
    assert_int_equal(encoding_words(ENCODING_STRING), 0);
}

static bool agree(const struct point *written, uint16_t one, const struct point *shown,
                  uint16_t other) {
    return point_agrees(written, &one, NO_FACTOR, shown, &other, NO_FACTOR);
}

static void a_shown_value_agrees_within_the_coarser_step(void **state) {
    (void)state;
    struct point fine = own_point(ENCODING_UINT16);
    struct point coarse = own_point(ENCODING_UINT16);
    fine.scale = 0.01;
    assert_true(agree(&fine, 608, &coarse, 6));
    assert_true(agree(&fine, 608, &coarse, 7));
    assert_false(agree(&fine, 608, &coarse, 8));
    assert_true(agree(&coarse, 6, &fine, 508));
    assert_false(agree(&coarse, 6, &fine, 498));
    assert_true(agree(&fine, 600, &fine, 601));
    assert_false(agree(&fine, 600, &fine, 602));
    coarse.offset = 100; /* moves the value, not the step */
    assert_false(agree(&fine, 608, &coarse, 6));
    coarse.offset = 0;
    coarse.scale = -1;
    assert_true(agree(&fine, 50, &coarse, 0));
}

static void scale_factors_make_the_step_of_a_shown_value(void **state) {
    (void)state;
    struct point written = own_point(ENCODING_UINT16);
    struct point shown = own_point(ENCODING_UINT16);
    const uint16_t watts = 1234;
    const uint16_t hundreds = 13;
    shown.scale_point = 5;
    assert_true(point_agrees(&written, &watts, NO_FACTOR, &shown, &hundreds, 2));
    assert_false(point_agrees(&written, &watts, NO_FACTOR, &shown, &hundreds, 1));
    assert_false(point_agrees(&written, &watts, NO_FACTOR, &shown, &hundreds, NO_FACTOR));
}

static void a_float_agrees_within_its_arithmetic(void **state) {
    (void)state;
    struct point written = own_point(ENCODING_FLOAT64);
    struct point shown = own_point(ENCODING_FLOAT32);
    uint16_t written_words[4];
    uint16_t shown_words[4];
    assert_int_equal(point_encode(&written, 0.1, NO_FACTOR, ROUND_NEAREST, written_words), ERR_OK);
    assert_int_equal(point_encode(&shown, 0.1, NO_FACTOR, ROUND_NEAREST, shown_words), ERR_OK);
    assert_true(point_agrees(&written, written_words, NO_FACTOR, &shown, shown_words, NO_FACTOR));
    assert_int_equal(point_encode(&shown, 0.101, NO_FACTOR, ROUND_NEAREST, shown_words), ERR_OK);
    assert_false(point_agrees(&written, written_words, NO_FACTOR, &shown, shown_words, NO_FACTOR));
}

static void what_is_not_available_agrees_with_nothing(void **state) {
    (void)state;
    struct point written = own_point(ENCODING_UINT16);
    struct point shown = own_point(ENCODING_UINT16);
    shown.markers[0] = 0xFFFF;
    shown.marker_count = 1;
    assert_false(agree(&written, 0xFFFF, &shown, 0xFFFF));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_is_decoded_high_word_first),
        cmocka_unit_test(low_word_first_swaps_the_registers),
        cmocka_unit_test(a_marker_is_no_value_whatever_the_scale),
        cmocka_unit_test(a_marker_is_compared_before_the_mask),
        cmocka_unit_test(a_marker_follows_the_word_order),
        cmocka_unit_test(a_marker_may_be_given_with_its_sign),
        cmocka_unit_test(a_float_that_is_no_number_is_not_available),
        cmocka_unit_test(a_mask_cuts_an_unsigned_field),
        cmocka_unit_test(a_shift_without_a_mask_keeps_the_sign),
        cmocka_unit_test(scale_and_offset_apply_in_that_order),
        cmocka_unit_test(a_scale_factor_is_a_power_of_ten),
        cmocka_unit_test(without_its_scale_factor_a_point_has_no_value),
        cmocka_unit_test(a_published_value_stays_in_the_range_of_its_word),
        cmocka_unit_test(a_state_is_looked_up_after_mask_and_shift),
        cmocka_unit_test(a_signed_state_may_be_negative),
        cmocka_unit_test(a_state_without_a_name_for_its_number_is_impossible),
        cmocka_unit_test(texts_end_at_nul_and_lose_what_cannot_be_shown),
        cmocka_unit_test(a_text_longer_than_its_room_is_cut),
        cmocka_unit_test(a_numeric_serial_number_is_exact),
        cmocka_unit_test(a_text_has_no_number),
        cmocka_unit_test(encoding_rounds_to_the_nearest_step),
        cmocka_unit_test(encoding_toward_zero_never_exceeds_the_magnitude),
        cmocka_unit_test(encoding_does_not_lose_a_step_to_binary_fractions),
        cmocka_unit_test(large_numbers_are_still_rounded_toward_zero),
        cmocka_unit_test(what_does_not_fit_is_refused_not_clamped),
        cmocka_unit_test(nothing_outside_the_writable_range_is_encoded),
        cmocka_unit_test(a_marker_is_never_written_as_a_value),
        cmocka_unit_test(without_its_scale_factor_a_point_cannot_be_written),
        cmocka_unit_test(a_field_is_written_into_its_bits_and_no_others),
        cmocka_unit_test(what_is_decoded_and_encoded_again_is_the_same_registers),
        cmocka_unit_test(rounding_toward_zero_holds_for_random_values),
        cmocka_unit_test(names_and_sizes_agree_with_the_encodings),
        cmocka_unit_test(a_shown_value_agrees_within_the_coarser_step),
        cmocka_unit_test(scale_factors_make_the_step_of_a_shown_value),
        cmocka_unit_test(a_float_agrees_within_its_arithmetic),
        cmocka_unit_test(what_is_not_available_agrees_with_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
