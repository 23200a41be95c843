/* Modbus RTU frames off a serial line, checksum included (Modbus over Serial Line V1.02, section
 * 2.5.1). Pure. What is in them is compared by the same decoder as Modbus TCP. */
#ifndef DERD_RTU_FRAME_H
#define DERD_RTU_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/mbap.h"

#define RTU_FRAME_MAXIMUM  256
#define RTU_CHECKSUM_BYTES 2

/* Bytes of the answer to expect, its checksum too. */
size_t rtu_answer_length(const struct modbus_request *request);
/* Whether the frame, whose checksum was found right, is the answer to `request`. */
bool rtu_frame_answers(const uint8_t *frame, size_t length, const struct modbus_request *request,
                       struct modbus_answer *answer);

#endif
