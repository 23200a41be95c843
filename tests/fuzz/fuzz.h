/* What the harnesses share. Each tests/fuzz/fuzz_NAME.c is one libFuzzer program: it is given bytes
 * as they may come from outside, lets the host's own code take them, and checks what must be true
 * of every input, beside what the sanitizers check. tests/fuzz/run.sh starts them. */
#ifndef DERD_TESTS_FUZZ_H
#define DERD_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true; the fuzzer keeps the input for which it is not. */
#define must(condition)                                                                            \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition), abort()))

/* Takes numbers and rests off the front of an input; what is not there is 0. */
struct feed {
    const uint8_t *data;
    size_t size;
};

static inline uint8_t feed_byte(struct feed *feed) {
    if (feed->size == 0)
        return 0;
    feed->size--;
    return *feed->data++;
}

static inline uint16_t feed_word(struct feed *feed) {
    unsigned high = feed_byte(feed);
    return (uint16_t)(high << 8 | feed_byte(feed));
}

static inline uint64_t feed_long(struct feed *feed) {
    uint64_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 16 | feed_word(feed);
    return value;
}

static inline double feed_double(struct feed *feed) {
    uint64_t bits = feed_long(feed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Heap copies of exact size, so that the sanitizer sees every byte too far. */
static inline void *exact_copy(const void *data, size_t size) {
    void *copy = malloc(size ? size : 1);
    must(copy);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* The same as a text, which ends at the first NUL. */
static inline char *text_copy(const void *data, size_t size) {
    const void *end = size ? memchr(data, 0, size) : NULL;
    size_t length = end ? (size_t)((const uint8_t *)end - (const uint8_t *)data) : size;
    char *text = malloc(length + 1);
    must(text);
    if (length)
        memcpy(text, data, length);
    text[length] = '\0';
    return text;
}

/* The next line of the feed, without its end. */
static inline char *feed_line(struct feed *feed) {
    const void *end = feed->size ? memchr(feed->data, '\n', feed->size) : NULL;
    size_t length = end ? (size_t)((const uint8_t *)end - feed->data) : feed->size;
    char *line = text_copy(feed->data, length);
    feed->data += length + (end != NULL);
    feed->size -= length + (end != NULL);
    return line;
}

#endif
