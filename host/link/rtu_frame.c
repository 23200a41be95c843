#include "link/rtu_frame.h"

#include <string.h>

#define UNIT_AT 6 /* in an MBAP frame: from here on both framings are alike */

size_t rtu_answer_length(const struct modbus_request *request) {
    switch (request->function) {
    case MODBUS_READ_COILS:
    case MODBUS_READ_DISCRETE:
        return 3U + (request->count + 7U) / 8 + RTU_CHECKSUM_BYTES;
    case MODBUS_READ_HOLDING:
    case MODBUS_READ_INPUT:
        return 3U + 2U * request->count + RTU_CHECKSUM_BYTES;
    default:
        return 6 + RTU_CHECKSUM_BYTES;
    }
}

bool rtu_frame_answers(const uint8_t *frame, size_t length, const struct modbus_request *request,
                       struct modbus_answer *answer) {
    uint8_t framed[UNIT_AT + RTU_FRAME_MAXIMUM] = {0};
    size_t consumed = 0;
    if (length <= RTU_CHECKSUM_BYTES || length > RTU_FRAME_MAXIMUM)
        return false;
    length -= RTU_CHECKSUM_BYTES;
    framed[4] = (uint8_t)(length >> 8);
    framed[5] = (uint8_t)(length & 0xFF);
    memcpy(framed + UNIT_AT, frame, length);
    return mbap_decode(framed, UNIT_AT + length, 0, request, answer, &consumed) == MBAP_ANSWER;
}
