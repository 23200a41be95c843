/* Modbus TCP frames. The numbers of this file are from the Modbus Application Protocol
 * Specification V1.1b3 (chapter 6: functions and their limits, chapter 7: exceptions) and from the
 * Modbus Messaging on TCP/IP Implementation Guide V1.0b (chapter 3.1.3: the header).
 *
 * Decoding is strict: whatever contradicts the request is not repaired or half used, since a value
 * taken from the wrong answer is worse than none. */
#include "link/mbap.h"

#include <string.h>

#define PDU_MAXIMUM    253
#define EXCEPTION_FLAG 0x80
#define COIL_ON        0xFF00
#define REGISTER_SPACE 0x10000

static void put_u16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)(value & 0xFF);
}

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static bool is_bit_read(uint8_t function) {
    return function == MODBUS_READ_COILS || function == MODBUS_READ_DISCRETE;
}

static bool is_word_read(uint8_t function) {
    return function == MODBUS_READ_HOLDING || function == MODBUS_READ_INPUT;
}

static unsigned largest_count(uint8_t function) {
    switch (function) {
    case MODBUS_READ_COILS:
    case MODBUS_READ_DISCRETE:
    case MODBUS_READ_HOLDING:
    case MODBUS_READ_INPUT:
        return MODBUS_MAX_READ_WORDS;
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_REGISTER:
        return 1;
    case MODBUS_WRITE_COILS: /* the specification has room for more, struct modbus_request not */
    case MODBUS_WRITE_REGISTERS:
        return MODBUS_MAX_WRITE_WORDS;
    default:
        return 0;
    }
}

bool modbus_request_valid(const struct modbus_request *request) {
    if (request->raw)
        return request->function >= 1 && request->function < EXCEPTION_FLAG &&
               request->count <= MODBUS_MAX_WRITE_WORDS;
    return request->count >= 1 && request->count <= largest_count(request->function) &&
           (unsigned)request->address + request->count <= REGISTER_SPACE;
}

/* The value field of functions 5 and 6, which the answer repeats. */
static uint16_t single_value(const struct modbus_request *request) {
    if (request->function == MODBUS_WRITE_COIL)
        return request->words[0] ? COIL_ON : 0;
    return request->words[0];
}

static size_t put_bits(uint8_t *at, const uint16_t *words, unsigned count) {
    size_t bytes = (count + 7) / 8;
    memset(at, 0, bytes);
    for (unsigned i = 0; i < count; i++)
        if (words[i])
            at[i / 8] = (uint8_t)(at[i / 8] | 1U << i % 8);
    return bytes;
}

enum err mbap_encode(uint16_t transaction_id, const struct modbus_request *request, uint8_t *frame,
                     size_t *length) {
    if (!modbus_request_valid(request))
        return ERR_RANGE;
    uint8_t *pdu = frame + MBAP_HEADER;
    size_t pdu_length = 5;
    pdu[0] = request->function;
    if (request->raw) {
        for (unsigned i = 0; i < request->count; i++)
            pdu[1 + i] = (uint8_t)request->words[i];
        pdu_length = 1U + request->count;
    } else {
        put_u16(pdu + 1, request->address);
    }
    switch (request->raw ? 0 : request->function) {
    case 0:
        break;
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_REGISTER:
        put_u16(pdu + 3, single_value(request));
        break;
    case MODBUS_WRITE_COILS:
        put_u16(pdu + 3, request->count);
        pdu[5] = (uint8_t)put_bits(pdu + 6, request->words, request->count);
        pdu_length = 6U + pdu[5];
        break;
    case MODBUS_WRITE_REGISTERS:
        put_u16(pdu + 3, request->count);
        pdu[5] = (uint8_t)(2 * request->count);
        for (unsigned i = 0; i < request->count; i++)
            put_u16(pdu + 6 + 2 * (size_t)i, request->words[i]);
        pdu_length = 6U + pdu[5];
        break;
    default:
        put_u16(pdu + 3, request->count);
        break;
    }
    put_u16(frame, transaction_id);
    put_u16(frame + 2, 0); /* protocol: Modbus */
    put_u16(frame + 4, (unsigned)pdu_length + 1);
    frame[6] = request->unit;
    *length = MBAP_HEADER + pdu_length;
    return ERR_OK;
}

bool mbap_transaction_id(const uint8_t *data, size_t length, uint16_t *transaction_id) {
    if (length < 2)
        return false;
    *transaction_id = get_u16(data);
    return true;
}

/* The answer's PDU against its request. */
static bool take_pdu(const uint8_t *pdu, size_t length, const struct modbus_request *request,
                     struct modbus_answer *answer) {
    answer->exception = 0;
    answer->count = 0;
    if (pdu[0] == (request->function | EXCEPTION_FLAG)) {
        answer->exception = length == 2 ? pdu[1] : 0;
        return answer->exception != 0;
    }
    if (pdu[0] != request->function)
        return false;
    if (request->raw) {
        if (length - 1 > MODBUS_MAX_READ_WORDS)
            return false;
        for (size_t i = 1; i < length; i++)
            answer->words[i - 1] = pdu[i];
        answer->count = (uint16_t)(length - 1);
        return true;
    }
    if (is_word_read(request->function)) {
        if (length < 2 || pdu[1] != 2 * request->count || length != 2U + pdu[1])
            return false;
        for (unsigned i = 0; i < request->count; i++)
            answer->words[i] = get_u16(pdu + 2 + 2 * (size_t)i);
        answer->count = request->count;
        return true;
    }
    if (is_bit_read(request->function)) {
        if (length < 2 || pdu[1] != (request->count + 7) / 8 || length != 2U + pdu[1])
            return false;
        for (unsigned i = 0; i < request->count; i++)
            answer->words[i] = pdu[2 + i / 8] >> i % 8 & 1;
        answer->count = request->count;
        return true;
    }
    bool single =
        request->function == MODBUS_WRITE_COIL || request->function == MODBUS_WRITE_REGISTER;
    return length == 5 && get_u16(pdu + 1) == request->address &&
           get_u16(pdu + 3) == (single ? single_value(request) : request->count);
}

enum mbap_verdict mbap_decode(const uint8_t *data, size_t length, uint16_t transaction_id,
                              const struct modbus_request *request, struct modbus_answer *answer,
                              size_t *consumed) {
    *consumed = 0;
    /* What is wrong is told at its first byte: garbage may never grow to a whole frame. */
    if (length >= 4 && get_u16(data + 2) != 0)
        return MBAP_MALFORMED;
    if (length < 6)
        return MBAP_INCOMPLETE;
    size_t following = get_u16(data + 4); /* unit and PDU; the shortest PDU has two bytes */
    if (following < 3 || following > 1 + PDU_MAXIMUM)
        return MBAP_MALFORMED;
    if (length < 6 + following)
        return MBAP_INCOMPLETE;
    if (!request || get_u16(data) != transaction_id) {
        *consumed = 6 + following;
        return MBAP_FOREIGN;
    }
    if (data[6] != request->unit || !take_pdu(data + MBAP_HEADER, following - 1, request, answer))
        return MBAP_MALFORMED;
    *consumed = 6 + following;
    return MBAP_ANSWER;
}

const char *modbus_exception_name(uint8_t exception) {
    switch (exception) {
    case 1:
        return "illegal function";
    case 2:
        return "illegal data address";
    case 3:
        return "illegal data value";
    case 4:
        return "server device failure";
    case 5:
        return "acknowledge";
    case 6:
        return "server device busy";
    case 8:
        return "memory parity error";
    case 10:
        return "gateway path unavailable";
    case 11:
        return "gateway target device failed to respond";
    default:
        return "unknown exception";
    }
}
