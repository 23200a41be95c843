/* Frames off a serial line against their requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "link/rtu_frame.h"

static const struct modbus_request two_words = {
    .unit = 17, .function = MODBUS_READ_HOLDING, .address = 0x6b, .count = 2};

static void the_answer_is_known_from_others(void **state) {
    (void)state;
    const uint8_t ours[] = {17, 3, 4, 2, 0x2b, 0, 0x64, 0xaa, 0xbb};
    const uint8_t other_unit[] = {18, 3, 4, 2, 0x2b, 0, 0x64, 0xaa, 0xbb};
    const uint8_t one_word[] = {17, 3, 2, 2, 0x2b, 0xaa, 0xbb};
    const uint8_t refused[] = {17, 0x83, 2, 0xaa, 0xbb};
    struct modbus_answer answer;
    assert_true(rtu_frame_answers(ours, sizeof ours, &two_words, &answer));
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.words[0], 0x22b);
    assert_int_equal(answer.words[1], 0x64);
    assert_int_equal(rtu_answer_length(&two_words), sizeof ours);
    assert_false(rtu_frame_answers(other_unit, sizeof other_unit, &two_words, &answer));
    assert_false(rtu_frame_answers(one_word, sizeof one_word, &two_words, &answer));
    assert_true(rtu_frame_answers(refused, sizeof refused, &two_words, &answer));
    assert_int_equal(answer.exception, 2);
}

static void what_is_too_short_or_too_long_is_none(void **state) {
    (void)state;
    const uint8_t ours[] = {17, 3, 4, 2, 0x2b, 0, 0x64, 0xaa, 0xbb};
    struct modbus_answer answer;
    for (size_t length = 0; length < sizeof ours; length++) {
        uint8_t *cut = malloc(length ? length : 1); /* of exact size */
        assert_non_null(cut);
        memcpy(cut, ours, length);
        assert_false(rtu_frame_answers(cut, length, &two_words, &answer));
        free(cut);
    }
    uint8_t *large = calloc(1, RTU_FRAME_MAXIMUM + 1);
    assert_non_null(large);
    assert_false(rtu_frame_answers(large, RTU_FRAME_MAXIMUM + 1, &two_words, &answer));
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_known_from_others),
        cmocka_unit_test(what_is_too_short_or_too_long_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
