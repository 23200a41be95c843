/* Numbers of up to eight bytes to and from disk, low byte first whatever the machine. A reader
 * never goes beyond its end: it notes that and gives zeros. */
#ifndef DERD_TELEMETRY_BYTES_H
#define DERD_TELEMETRY_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct byte_writer {
    unsigned char *at; /* the caller's array has room for all it may write */
};

struct byte_reader {
    const unsigned char *at, *end;
    bool short_of; /* there was less than was asked for */
};

static inline void bytes_put(struct byte_writer *to, uint64_t value, int count) {
    value = htole64(value);
    memcpy(to->at, &value, (size_t)count);
    to->at += count;
}

static inline void bytes_put_float(struct byte_writer *to, double value) {
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    bytes_put(to, bits, 4);
}

static inline void bytes_put_double(struct byte_writer *to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bytes_put(to, bits, 8);
}

static inline uint64_t bytes_get(struct byte_reader *from, int count) {
    uint64_t value = 0;
    if (from->end - from->at < count) {
        from->short_of = true;
        from->at = from->end;
        return 0;
    }
    memcpy(&value, from->at, (size_t)count);
    from->at += count;
    return le64toh(value);
}

static inline float bytes_get_float(struct byte_reader *from) {
    uint32_t bits = (uint32_t)bytes_get(from, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double bytes_get_double(struct byte_reader *from) {
    uint64_t bits = bytes_get(from, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
