/* Frames against the byte examples of the Modbus Application Protocol Specification V1.1b3,
 * chapter 6 (the section stands beside each), and against every way in which an answer can lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "link/mbap.h"

#define ID   0x1501
#define UNIT 0x11

/* Header and PDU into `frame`; its length. */
static size_t frame_of(uint16_t id, uint8_t unit, const uint8_t *pdu, size_t pdu_length,
                       uint8_t *frame) {
    const uint8_t header[MBAP_HEADER] = {(uint8_t)(id >> 8),        (uint8_t)id, 0, 0, 0,
                                         (uint8_t)(pdu_length + 1), unit};
    memcpy(frame, header, sizeof header);
    memcpy(frame + sizeof header, pdu, pdu_length);
    return sizeof header + pdu_length;
}

/* Decodes from a heap copy of exact size, so that the address sanitizer sees every byte too far. */
static enum mbap_verdict decode(const uint8_t *data, size_t length,
                                const struct modbus_request *request, struct modbus_answer *answer,
                                size_t *consumed) {
    uint8_t *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    if (length)
        memcpy(copy, data, length);
    enum mbap_verdict verdict = mbap_decode(copy, length, ID, request, answer, consumed);
    free(copy);
    return verdict;
}

static enum mbap_verdict decode_pdu(const uint8_t *pdu, size_t pdu_length,
                                    const struct modbus_request *request,
                                    struct modbus_answer *answer) {
    uint8_t frame[MBAP_MAXIMUM];
    size_t length = frame_of(ID, UNIT, pdu, pdu_length, frame);
    size_t consumed = 0;
    enum mbap_verdict verdict = decode(frame, length, request, answer, &consumed);
    assert_int_equal(consumed, verdict == MBAP_ANSWER ? length : 0);
    return verdict;
}

struct example { /* a pair of request and answer as printed in the specification */
    struct modbus_request request;
    uint8_t request_pdu[16];
    size_t request_length;
    uint8_t answer_pdu[16];
    size_t answer_length;
    uint16_t words[24];
    uint16_t count;
};

static const struct example examples[] = {
    /* 6.1: read coils 20..38 */
    {{UNIT, 1, 0x13, 0x13, {0}, false},
     {0x01, 0x00, 0x13, 0x00, 0x13},
     5,
     {0x01, 0x03, 0xCD, 0x6B, 0x05},
     5,
     {1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1},
     19},
    /* 6.2: read discrete inputs 197..218 */
    {{UNIT, 2, 0xC4, 0x16, {0}, false},
     {0x02, 0x00, 0xC4, 0x00, 0x16},
     5,
     {0x02, 0x03, 0xAC, 0xDB, 0x35},
     5,
     {0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1},
     22},
    /* 6.3: read holding registers 108..110 */
    {{UNIT, 3, 0x6B, 3, {0}, false},
     {0x03, 0x00, 0x6B, 0x00, 0x03},
     5,
     {0x03, 0x06, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64},
     8,
     {0x022B, 0, 100},
     3},
    /* 6.4: read input register 9 */
    {{UNIT, 4, 8, 1, {0}, false},
     {0x04, 0x00, 0x08, 0x00, 0x01},
     5,
     {0x04, 0x02, 0x00, 0x0A},
     4,
     {10},
     1},
    /* 6.5: write coil 173 on */
    {{UNIT, 5, 0xAC, 1, {1}, false},
     {0x05, 0x00, 0xAC, 0xFF, 0x00},
     5,
     {0x05, 0x00, 0xAC, 0xFF, 0x00},
     5,
     {0},
     0},
    /* 6.6: write register 2 */
    {{UNIT, 6, 1, 1, {3}, false},
     {0x06, 0x00, 0x01, 0x00, 0x03},
     5,
     {0x06, 0x00, 0x01, 0x00, 0x03},
     5,
     {0},
     0},
    /* 6.11: write ten coils from 20 */
    {{UNIT, 15, 0x13, 10, {1, 0, 1, 1, 0, 0, 1, 1, 1, 0}, false},
     {0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0x01},
     8,
     {0x0F, 0x00, 0x13, 0x00, 0x0A},
     5,
     {0},
     0},
    /* 6.12: write two registers from 2 */
    {{UNIT, 16, 1, 2, {10, 0x0102}, false},
     {0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A, 0x01, 0x02},
     10,
     {0x10, 0x00, 0x01, 0x00, 0x02},
     5,
     {0},
     0},
};
#define EXAMPLES (sizeof examples / sizeof examples[0])

static void requests_have_the_bytes_of_the_specification(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        const struct example *example = &examples[i];
        uint8_t expected[MBAP_MAXIMUM], frame[MBAP_MAXIMUM];
        size_t length = 0;
        size_t expected_length =
            frame_of(ID, UNIT, example->request_pdu, example->request_length, expected);
        assert_int_equal(mbap_encode(ID, &example->request, frame, &length), ERR_OK);
        assert_int_equal(length, expected_length);
        assert_memory_equal(frame, expected, length);
    }
}

static void answers_of_the_specification_are_understood(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        const struct example *example = &examples[i];
        struct modbus_answer answer;
        assert_int_equal(
            decode_pdu(example->answer_pdu, example->answer_length, &example->request, &answer),
            MBAP_ANSWER);
        assert_int_equal(answer.exception, 0);
        assert_int_equal(answer.count, example->count);
        for (size_t word = 0; word < example->count; word++)
            assert_int_equal(answer.words[word], example->words[word]);
    }
}

static void an_exception_is_an_answer_with_its_code(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        const uint8_t pdu[2] = {examples[i].request.function | 0x80, 2};
        struct modbus_answer answer;
        assert_int_equal(decode_pdu(pdu, sizeof pdu, &examples[i].request, &answer), MBAP_ANSWER);
        assert_int_equal(answer.exception, 2);
        assert_int_equal(answer.count, 0);
    }
}

static void an_exception_of_zero_or_of_wrong_length_is_malformed(void **state) {
    (void)state;
    struct modbus_answer answer;
    const uint8_t zero[2] = {0x83, 0}, longer[3] = {0x83, 2, 0};
    assert_int_equal(decode_pdu(zero, 2, &examples[2].request, &answer), MBAP_MALFORMED);
    assert_int_equal(decode_pdu(longer, 3, &examples[2].request, &answer), MBAP_MALFORMED);
}

static void an_exception_to_another_function_is_malformed(void **state) {
    (void)state;
    struct modbus_answer answer;
    const uint8_t pdu[2] = {0x84, 2};
    assert_int_equal(decode_pdu(pdu, 2, &examples[2].request, &answer), MBAP_MALFORMED);
}

static void every_wrong_byte_of_a_write_echo_is_malformed(void **state) {
    (void)state;
    for (size_t i = 4; i < EXAMPLES; i++)
        for (size_t at = 0; at < 5; at++) {
            uint8_t pdu[5];
            memcpy(pdu, examples[i].answer_pdu, sizeof pdu);
            pdu[at] ^= 0x01;
            struct modbus_answer answer;
            assert_int_equal(decode_pdu(pdu, sizeof pdu, &examples[i].request, &answer),
                             MBAP_MALFORMED);
        }
}

static void a_read_answer_of_another_length_is_malformed(void **state) {
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct example *example = &examples[i];
        struct modbus_answer answer;
        uint8_t pdu[20] = {0};
        memcpy(pdu, example->answer_pdu, example->answer_length);
        assert_int_equal(decode_pdu(pdu, example->answer_length + 1, &example->request, &answer),
                         MBAP_MALFORMED);
        assert_int_equal(decode_pdu(pdu, example->answer_length - 1, &example->request, &answer),
                         MBAP_MALFORMED);
        pdu[1]++; /* the byte count lies, the frame length fits it */
        assert_int_equal(decode_pdu(pdu, example->answer_length + 1, &example->request, &answer),
                         MBAP_MALFORMED);
        pdu[1] = (uint8_t)(pdu[1] - 2);
        assert_int_equal(decode_pdu(pdu, example->answer_length - 1, &example->request, &answer),
                         MBAP_MALFORMED);
    }
}

static void an_answer_of_another_function_is_malformed(void **state) {
    (void)state;
    struct modbus_answer answer;
    const uint8_t pdu[] = {0x04, 0x06, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64};
    assert_int_equal(decode_pdu(pdu, sizeof pdu, &examples[2].request, &answer), MBAP_MALFORMED);
}

static void an_answer_of_another_unit_is_malformed(void **state) {
    (void)state;
    uint8_t frame[MBAP_MAXIMUM];
    struct modbus_answer answer;
    size_t consumed = 0;
    size_t length =
        frame_of(ID, UNIT + 1, examples[2].answer_pdu, examples[2].answer_length, frame);
    assert_int_equal(decode(frame, length, &examples[2].request, &answer, &consumed),
                     MBAP_MALFORMED);
}

static void a_frame_of_another_transaction_is_skipped_whole(void **state) {
    (void)state;
    uint8_t frame[2 * MBAP_MAXIMUM];
    struct modbus_answer answer;
    size_t consumed = 0;
    size_t first = frame_of(ID - 1, UNIT, examples[2].answer_pdu, examples[2].answer_length, frame);
    size_t second =
        frame_of(ID, UNIT, examples[2].answer_pdu, examples[2].answer_length, frame + first);
    assert_int_equal(decode(frame, first + second, &examples[2].request, &answer, &consumed),
                     MBAP_FOREIGN);
    assert_int_equal(consumed, first);
    assert_int_equal(decode(frame + first, second, &examples[2].request, &answer, &consumed),
                     MBAP_ANSWER);
    assert_int_equal(consumed, second);
}

static void everything_is_foreign_while_nothing_is_expected(void **state) {
    (void)state;
    uint8_t frame[MBAP_MAXIMUM];
    struct modbus_answer answer;
    size_t consumed = 0;
    size_t length = frame_of(ID, UNIT, examples[2].answer_pdu, examples[2].answer_length, frame);
    assert_int_equal(decode(frame, length, NULL, &answer, &consumed), MBAP_FOREIGN);
    assert_int_equal(consumed, length);
}

static void a_frame_cut_at_any_byte_is_incomplete(void **state) {
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        uint8_t frame[MBAP_MAXIMUM];
        size_t length =
            frame_of(ID, UNIT, examples[i].answer_pdu, examples[i].answer_length, frame);
        for (size_t cut = 0; cut < length; cut++) {
            struct modbus_answer answer;
            size_t consumed = 1;
            assert_int_equal(decode(frame, cut, &examples[i].request, &answer, &consumed),
                             MBAP_INCOMPLETE);
            assert_int_equal(consumed, 0);
        }
    }
}

static void another_protocol_is_malformed_at_its_first_bytes(void **state) {
    (void)state;
    const uint8_t http[] = "HTTP/1.1 400 Bad Request";
    struct modbus_answer answer;
    size_t consumed = 0;
    assert_int_equal(decode(http, 4, &examples[2].request, &answer, &consumed), MBAP_MALFORMED);
}

static void a_length_that_no_frame_has_is_malformed(void **state) {
    (void)state;
    static const uint16_t lengths[] = {0, 1, 2, 255, 256, 0xFFFF};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const uint8_t header[6] = {
            ID >> 8, ID & 0xFF, 0, 0, (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i]};
        struct modbus_answer answer;
        size_t consumed = 0;
        assert_int_equal(decode(header, 6, &examples[2].request, &answer, &consumed),
                         MBAP_MALFORMED);
    }
}

static void the_largest_read_answer_fits(void **state) {
    (void)state;
    const struct modbus_request request = {UNIT, 3, 0, MODBUS_MAX_READ_WORDS, {0}, false};
    uint8_t pdu[2 + 2 * MODBUS_MAX_READ_WORDS] = {3, 2 * MODBUS_MAX_READ_WORDS};
    for (size_t i = 2; i < sizeof pdu; i++)
        pdu[i] = (uint8_t)i;
    struct modbus_answer answer;
    assert_int_equal(decode_pdu(pdu, sizeof pdu, &request, &answer), MBAP_ANSWER);
    assert_int_equal(answer.words[124], 250 << 8 | 251);
}

static void the_largest_write_fits(void **state) {
    (void)state;
    struct modbus_request request = {UNIT, 16, 0, MODBUS_MAX_WRITE_WORDS, {0}, false};
    uint8_t frame[MBAP_MAXIMUM];
    size_t length = 0;
    assert_int_equal(mbap_encode(ID, &request, frame, &length), ERR_OK);
    assert_int_equal(length, MBAP_HEADER + 6 + 2 * MODBUS_MAX_WRITE_WORDS);
}

static void requests_outside_the_limits_are_refused(void **state) {
    (void)state;
    static const struct modbus_request wrong[] = {
        {UNIT, 3, 0, 0, {0}, false},       {UNIT, 3, 0, 126, {0}, false},
        {UNIT, 4, 0, 126, {0}, false},     {UNIT, 1, 0, 126, {0}, false},
        {UNIT, 2, 0, 126, {0}, false},     {UNIT, 5, 0, 2, {0}, false},
        {UNIT, 6, 0, 0, {0}, false},       {UNIT, 15, 0, 124, {0}, false},
        {UNIT, 16, 0, 124, {0}, false},    {UNIT, 0, 0, 1, {0}, false},
        {UNIT, 7, 0, 1, {0}, false},       {UNIT, 23, 0, 1, {0}, false},
        {UNIT, 0x83, 0, 1, {0}, false},    {UNIT, 3, 65535, 2, {0}, false},
        {UNIT, 16, 65500, 40, {0}, false},
    };
    uint8_t frame[MBAP_MAXIMUM];
    size_t length = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(mbap_encode(ID, &wrong[i], frame, &length), ERR_RANGE);
    const struct modbus_request last = {UNIT, 3, 65535, 1, {0}, false};
    assert_int_equal(mbap_encode(ID, &last, frame, &length), ERR_OK);
}

static void random_bytes_never_become_an_answer_that_contradicts_the_request(void **state) {
    (void)state;
    uint32_t seed = 12345;
    for (int round = 0; round < 20000; round++) {
        uint8_t frame[MBAP_MAXIMUM];
        size_t length =
            frame_of(ID, UNIT, examples[2].answer_pdu, examples[2].answer_length, frame);
        for (int change = 0; change < 2; change++) {
            seed = seed * 1664525U + 1013904223U;
            frame[(seed >> 16) % length] = (uint8_t)(seed >> 8);
        }
        struct modbus_answer answer;
        size_t consumed = 0;
        if (decode(frame, length, &examples[2].request, &answer, &consumed) != MBAP_ANSWER)
            continue;
        assert_int_equal(frame[0] << 8 | frame[1], ID);
        assert_int_equal(frame[6], UNIT);
        assert_true(answer.exception != 0 || answer.count == 3);
    }
}

static void exceptions_have_names(void **state) {
    (void)state;
    assert_string_equal(modbus_exception_name(2), "illegal data address");
    assert_string_equal(modbus_exception_name(11), "gateway target device failed to respond");
    assert_string_equal(modbus_exception_name(200), "unknown exception");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_the_bytes_of_the_specification),
        cmocka_unit_test(answers_of_the_specification_are_understood),
        cmocka_unit_test(an_exception_is_an_answer_with_its_code),
        cmocka_unit_test(an_exception_of_zero_or_of_wrong_length_is_malformed),
        cmocka_unit_test(an_exception_to_another_function_is_malformed),
        cmocka_unit_test(every_wrong_byte_of_a_write_echo_is_malformed),
        cmocka_unit_test(a_read_answer_of_another_length_is_malformed),
        cmocka_unit_test(an_answer_of_another_function_is_malformed),
        cmocka_unit_test(an_answer_of_another_unit_is_malformed),
        cmocka_unit_test(a_frame_of_another_transaction_is_skipped_whole),
        cmocka_unit_test(everything_is_foreign_while_nothing_is_expected),
        cmocka_unit_test(a_frame_cut_at_any_byte_is_incomplete),
        cmocka_unit_test(another_protocol_is_malformed_at_its_first_bytes),
        cmocka_unit_test(a_length_that_no_frame_has_is_malformed),
        cmocka_unit_test(the_largest_read_answer_fits),
        cmocka_unit_test(the_largest_write_fits),
        cmocka_unit_test(requests_outside_the_limits_are_refused),
        cmocka_unit_test(random_bytes_never_become_an_answer_that_contradicts_the_request),
        cmocka_unit_test(exceptions_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
