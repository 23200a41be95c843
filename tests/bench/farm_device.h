/* One device of the farm: its registers, its answers, and how often it is read. No I/O, no clock.
 *
 * Each pair of registers is a float32 that ticks once a second (50.0 to 50.9) until functions 6 or
 * 16 write it. Addresses wrap at IMAGE_WORDS. Periods are measured on the read that a device gets
 * most often; those with another period (identity, slow blocks) stay out of the figures. */
#ifndef DERD_BENCH_FARM_DEVICE_H
#define DERD_BENCH_FARM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IMAGE_WORDS   1024
#define FRAME_MAXIMUM 260
#define WATCHED_READS 8     /* different reads of one device whose periods are told apart */
#define LONGEST_MS    60000 /* longer periods count as this */

struct periods { /* a histogram, of all devices */
    uint32_t count[LONGEST_MS + 1];
};

struct read_watch {
    uint16_t address;
    uint8_t function;
    uint32_t count;
    int64_t last_ms;
};

struct device {
    bool dead;
    uint16_t words[IMAGE_WORDS];
    bool written[IMAGE_WORDS];
    struct read_watch reads[WATCHED_READS];
};

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_u16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint16_t word_at(const struct device *device, unsigned address, int64_t seconds) {
    if (device->written[address % IMAGE_WORDS])
        return device->words[address % IMAGE_WORDS];
    float value = 50.0F + (float)(seconds % 10) / 10;
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return address % 2 ? (uint16_t)bits : (uint16_t)(bits >> 16);
}

static void write_word(struct device *device, unsigned address, uint16_t word) {
    device->words[address % IMAGE_WORDS] = word;
    device->written[address % IMAGE_WORDS] = true;
}

static void note_read(struct periods *periods, struct device *device, uint8_t function,
                      uint16_t address, int64_t now_ms) {
    struct read_watch *watch = NULL;
    uint32_t most = 0;
    for (int i = 0; i < WATCHED_READS; i++) {
        struct read_watch *at = &device->reads[i];
        if (!watch && (at->count == 0 || (at->function == function && at->address == address)))
            watch = at;
        if (at->count > most)
            most = at->count;
    }
    if (!watch)
        return;
    int64_t interval = now_ms - watch->last_ms;
    if (watch->count == 0)
        *watch = (struct read_watch){.address = address, .function = function};
    else if (watch->count == most)
        periods->count[interval < LONGEST_MS ? interval : LONGEST_MS]++;
    watch->count++;
    watch->last_ms = now_ms;
}

/* The answer to a whole frame of 12 bytes or more into `answer`; its length, 0 when there is none.
 * `device`: NULL when there is none with this unit. */
static size_t device_answer(struct device *device, struct periods *periods, int64_t now_ms,
                            const uint8_t *frame, size_t length, uint8_t *answer) {
    memcpy(answer, frame, length < 12 ? length : 12); /* writes are echoed */
    size_t answer_length = 12;
    uint8_t function = frame[7], exception = 0;
    unsigned address = get_u16(frame + 8), count = get_u16(frame + 10);
    if (!device) {
        exception = 11; /* the gateway's target does not respond */
    } else if (device->dead) {
        return 0;
    } else if (function == 3 || function == 4) {
        if (count < 1 || count > 125 || address + count > 0x10000) {
            exception = 3;
        } else {
            note_read(periods, device, function, (uint16_t)address, now_ms);
            answer[8] = (uint8_t)(2 * count);
            for (unsigned i = 0; i < count; i++)
                put_u16(answer + 9 + 2 * (size_t)i, word_at(device, address + i, now_ms / 1000));
            answer_length = 9 + 2 * (size_t)count;
        }
    } else if (function == 6) {
        write_word(device, address, (uint16_t)count);
    } else if (function == 16 && length == 13 + 2 * (size_t)count && frame[12] == 2 * count) {
        for (unsigned i = 0; i < count; i++)
            write_word(device, address + i, get_u16(frame + 13 + 2 * (size_t)i));
    } else {
        exception = function == 16 ? 3 : 1;
    }
    if (exception) {
        answer[7] = function | 0x80;
        answer[8] = exception;
        answer_length = 9;
    }
    put_u16(answer + 4, (unsigned)answer_length - 6);
    return answer_length;
}

/* The value that `share` of all stand at or below. */
static int periods_quantile(const struct periods *periods, double share) {
    uint64_t total = 0, seen = 0;
    for (int ms = 0; ms <= LONGEST_MS; ms++)
        total += periods->count[ms];
    for (int ms = 0; ms <= LONGEST_MS; ms++) {
        seen += periods->count[ms];
        if (seen > 0 && (double)seen >= share * (double)total)
            return ms;
    }
    return 0;
}

#endif
