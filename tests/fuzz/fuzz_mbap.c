/* Modbus TCP: what a device sends, against a request of any kind. The input begins with the request
 * (unit, function, address, count, raw); the rest is the stream. */
#include "fuzz.h"

#include "link/mbap.h"

#define ID 0x1501

static struct modbus_request take_request(struct feed *feed) {
    struct modbus_request request = {0};
    uint8_t flags = feed_byte(feed);
    request.raw = flags & 1;
    request.unit = feed_byte(feed);
    request.function = feed_byte(feed);
    request.address = feed_word(feed);
    request.count = feed_word(feed) % 130;
    for (unsigned i = 0; i < MODBUS_MAX_WRITE_WORDS; i++)
        request.words[i] = (uint16_t)(request.raw ? i & 0xff : i * 257U + flags);
    return request;
}

/* What is whole stays what it is, however it arrives, and nothing shorter is anything yet. */
static void check_prefixes(const uint8_t *data, size_t whole, const struct modbus_request *request,
                           enum mbap_verdict verdict) {
    struct modbus_answer answer;
    size_t consumed;
    for (size_t length = 0; length < whole; length++) {
        uint8_t *copy = exact_copy(data, length);
        must(mbap_decode(copy, length, ID, request, &answer, &consumed) == MBAP_INCOMPLETE);
        must(consumed == 0);
        free(copy);
    }
    uint8_t *copy = exact_copy(data, whole);
    must(mbap_decode(copy, whole, ID, request, &answer, &consumed) == verdict);
    must(consumed == whole);
    free(copy);
}

static void check_stream(const uint8_t *data, size_t size, const struct modbus_request *request) {
    struct modbus_answer answer;
    for (int frames = 0; frames < 16; frames++) {
        size_t consumed = 0;
        enum mbap_verdict verdict = mbap_decode(data, size, ID, request, &answer, &consumed);
        must(consumed <= size && consumed <= MBAP_MAXIMUM);
        if (verdict == MBAP_INCOMPLETE || verdict == MBAP_MALFORMED)
            return;
        must(consumed >= MBAP_HEADER + 2);
        check_prefixes(data, consumed, request, verdict);
        if (verdict == MBAP_ANSWER) {
            must(answer.count <= MODBUS_MAX_READ_WORDS);
            must(data[MBAP_HEADER] == request->function || answer.exception != 0);
            must(!answer.exception || answer.count == 0);
            must(modbus_exception_name(answer.exception)[0]);
        }
        data += consumed;
        size -= consumed;
    }
}

/* A request that may be sent fits a frame, and writes of one value are their own answer. */
static void check_request(const struct modbus_request *request) {
    uint8_t frame[MBAP_MAXIMUM];
    struct modbus_answer answer;
    size_t length = 0, consumed;
    bool valid = modbus_request_valid(request);
    must((mbap_encode(ID, request, frame, &length) == ERR_OK) == valid);
    if (!valid)
        return;
    must(length >= MBAP_HEADER + 1 && length <= MBAP_MAXIMUM);
    must(frame[4] * 256U + frame[5] == length - 6 && frame[6] == request->unit);
    if (!request->raw &&
        (request->function == MODBUS_WRITE_COIL || request->function == MODBUS_WRITE_REGISTER))
        must(mbap_decode(frame, length, ID, request, &answer, &consumed) == MBAP_ANSWER &&
             consumed == length && answer.exception == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct modbus_request request = take_request(&feed);
    check_request(&request);
    uint8_t *stream = exact_copy(feed.data, feed.size);
    if (modbus_request_valid(&request))
        check_stream(stream, feed.size, &request);
    check_stream(stream, feed.size, NULL); /* nothing is expected: all is foreign */
    free(stream);
    return 0;
}
