/* Modbus RTU: what comes off a serial line, through libmodbus's framing and our comparing, as
 * link/rtu_port.c does both. The input begins with the request; the rest comes off the line, with
 * its checksum made right where the first byte says so. */
#include "fuzz.h"

#include <errno.h>
#include <modbus.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/rtu_frame.h"

static modbus_t *modbus;
static int line;

static void line_open(void) {
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    modbus = modbus_new_rtu("/dev/null", 9600, 'N', 8, 1);
    must(modbus && modbus_set_socket(modbus, ends[0]) == 0);
    modbus_set_response_timeout(modbus, 0, 1);
    modbus_set_byte_timeout(modbus, 0, 0);
    line = ends[1];
}

/* CRC-16 of Modbus over Serial Line V1.02, section 6.2.2. */
static void seal(uint8_t *frame, size_t length) {
    unsigned crc = 0xffff;
    for (size_t i = 0; i < length; i++) {
        crc ^= frame[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
    }
    frame[length] = (uint8_t)(crc & 0xff);
    frame[length + 1] = (uint8_t)(crc >> 8);
}

static void check_answer(const struct modbus_request *request, const uint8_t *frame, size_t length,
                         const struct modbus_answer *answer) {
    must(frame[0] == request->unit);
    must(answer->count <= MODBUS_MAX_READ_WORDS);
    if (answer->exception)
        must(frame[1] == (request->function | 0x80) && length == 5);
    else
        must(frame[1] == request->function && length == rtu_answer_length(request));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct modbus_request request = {0};
    struct modbus_answer answer = {0};
    uint8_t frame[RTU_FRAME_MAXIMUM];
    if (!modbus)
        line_open();
    bool sealed = feed_byte(&feed) & 1;
    request.unit = (uint8_t)(1 + feed_byte(&feed) % 247);
    request.function = feed_byte(&feed);
    request.address = feed_word(&feed);
    request.count = feed_word(&feed) % 126;
    if (!modbus_request_valid(&request) || feed.size > 1024)
        return -1;
    uint8_t *sent = malloc(feed.size + RTU_CHECKSUM_BYTES);
    must(sent);
    memcpy(sent, feed.data, feed.size);
    if (sealed)
        seal(sent, feed.size);
    size_t length = feed.size + (sealed ? RTU_CHECKSUM_BYTES : 0);
    must(length == 0 || send(line, sent, length, 0) == (ssize_t)length);
    free(sent);
    must(modbus_set_slave(modbus, request.unit) == 0);
    for (int frames = 0; frames < 8; frames++) {
        memset(frame, 0xee, sizeof frame);
        int got = modbus_receive_confirmation(modbus, frame);
        if (got < 0)
            break;
        must((size_t)got <= sizeof frame);
        uint8_t *copy = exact_copy(frame, (size_t)got);
        if (rtu_frame_answers(copy, (size_t)got, &request, &answer))
            check_answer(&request, copy, (size_t)got, &answer);
        free(copy);
    }
    while (recv(modbus_get_socket(modbus), frame, sizeof frame, 0) > 0)
        ;
    return 0;
}
