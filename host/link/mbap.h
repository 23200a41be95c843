/* Modbus TCP frames (Modbus Messaging on TCP/IP Implementation Guide V1.0b: MBAP header of 7 bytes,
 * then the PDU of Modbus Application Protocol V1.1b3). Pure: bytes in, bytes out. */
#ifndef DERD_MBAP_H
#define DERD_MBAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MBAP_HEADER            7
#define MBAP_MAXIMUM           260 /* header + 253 bytes of PDU */
#define MODBUS_MAX_READ_WORDS  125
#define MODBUS_MAX_WRITE_WORDS 123

enum modbus_function {
    MODBUS_READ_COILS = 1,
    MODBUS_READ_DISCRETE = 2,
    MODBUS_READ_HOLDING = 3,
    MODBUS_READ_INPUT = 4,
    MODBUS_WRITE_COIL = 5,
    MODBUS_WRITE_REGISTER = 6,
    MODBUS_WRITE_COILS = 15,
    MODBUS_WRITE_REGISTERS = 16
};

struct modbus_request {
    uint8_t unit;
    uint8_t function;                       /* enum modbus_function */
    uint16_t address;                       /* 0-based, as on the wire */
    uint16_t count;                         /* registers or coils; 1 for functions 5 and 6 */
    uint16_t words[MODBUS_MAX_WRITE_WORDS]; /* of writes; coils: one 0/1 each */
    bool raw; /* any other function, over TCP only: `count` bytes, one in each word, follow it */
};

struct modbus_answer {
    uint8_t exception;                     /* 0, or the exception code (1..11 have names) */
    uint16_t count;                        /* words that follow */
    uint16_t words[MODBUS_MAX_READ_WORDS]; /* of reads; coils and discrete inputs: one 0/1 each; of
                                              a raw request: `count` bytes, one in each */
};

/* True when the function is one of the above, the count within what it allows (bits: at most 125
 * to read, 123 to write here) and the last register at most 65535. */
bool modbus_request_valid(const struct modbus_request *request);

/* The frame into `frame` (MBAP_MAXIMUM bytes); its length into *length. ERR_RANGE: not
 * modbus_request_valid(). */
must_check enum err mbap_encode(uint16_t transaction_id, const struct modbus_request *request,
                                uint8_t *frame, size_t *length);

enum mbap_verdict {
    MBAP_INCOMPLETE, /* more bytes are needed */
    MBAP_ANSWER,     /* the answer to `request`; *consumed bytes are done with */
    MBAP_FOREIGN,    /* a whole frame for another transaction: skip *consumed bytes, wait on */
    MBAP_MALFORMED   /* not a frame, or an answer that contradicts its request: close the link */
};

/* Looks at the first frame in `data`. Transaction id, protocol id, length, unit, function, byte
 * count and (for writes) the echoed address and value are all checked. A frame of another
 * transaction id is FOREIGN, and so is every one while `request` is NULL (nothing is expected); one
 * of ours with anything else wrong is MALFORMED. */
enum mbap_verdict mbap_decode(const uint8_t *data, size_t length, uint16_t transaction_id,
                              const struct modbus_request *request, struct modbus_answer *answer,
                              size_t *consumed);

/* The transaction id at the start of `data`, or false while its two bytes are not there yet. */
bool mbap_transaction_id(const uint8_t *data, size_t length, uint16_t *transaction_id);

const char *modbus_exception_name(uint8_t exception); /* "illegal data address" */

#endif
