/* One device of the farm: its registers, its answers, and when it is read. No I/O, no clock.
 *
 * Each pair of registers is a float32 that ticks once a second (50.0 to 50.9) until functions 6 or
 * 16 write it. Addresses wrap at IMAGE_WORDS. Periods are measured on the read that a device gets
 * most often; those with another period (identity, slow blocks) stay out of the figures, and so do
 * devices that are meant to misbehave. */
#ifndef DERD_BENCH_FARM_DEVICE_H
#define DERD_BENCH_FARM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "bench.h"

#define IMAGE_WORDS   1024
#define FRAME_MAXIMUM 260
#define WATCHED_READS 8     /* different reads of one device whose periods are told apart */
#define BIN_US        50    /* width of a bin of a histogram */
#define BINS          60000 /* 3 s; what is longer counts in the last */
#define OFFSETS       64    /* reads of one device since the figures began that are remembered */

enum habit { HABIT_WELL, HABIT_DEAD, HABIT_SLOW, HABIT_PIECES, HABIT_WRONG };

struct histogram {
    uint32_t count[BINS];
};

struct figures {             /* of all devices, since they began */
    struct histogram period; /* between two reads */
    struct histogram error;  /* of that: its distance from the period that is due */
    struct histogram gap;    /* between a request and the next on its connection, in one poll */
    uint64_t requests, dropped, bytes_in, bytes_out;
    int64_t period_us; /* that is due */
};

struct read_watch {
    uint16_t address;
    uint8_t function;
    uint32_t count;
    int64_t last_us;
};

struct device {
    enum habit habit;
    uint16_t words[IMAGE_WORDS];
    bool written[IMAGE_WORDS];
    uint32_t requests;
    int64_t asked_us; /* last */
    struct read_watch reads[WATCHED_READS];
    uint32_t offset_count;
    int64_t first_us;           /* of the reads remembered */
    int32_t offset_us[OFFSETS]; /* of each, from the first one's schedule */
};

static void histogram_add(struct histogram *histogram, int64_t us) {
    int64_t bin = us / BIN_US;
    histogram->count[bin < BINS ? bin : BINS - 1]++;
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

/* Where a read stands beside the schedule that the first one began. */
static void note_offset(struct device *device, int64_t period_us, int64_t now_us) {
    if (device->offset_count == 0)
        device->first_us = now_us;
    if (device->offset_count == OFFSETS)
        return;
    int64_t since = now_us - device->first_us;
    int64_t turns = (since + period_us / 2) / period_us;
    device->offset_us[device->offset_count++] = (int32_t)(since - turns * period_us);
}

static void note_read(struct figures *figures, struct device *device, uint8_t function,
                      uint16_t address, int64_t now_us) {
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
    int64_t interval = now_us - watch->last_us;
    if (watch->count == 0)
        *watch = (struct read_watch){.address = address, .function = function};
    else if (watch->count == most) {
        histogram_add(&figures->period, interval);
        histogram_add(&figures->error, llabs(interval - figures->period_us));
        note_offset(device, figures->period_us, now_us);
    }
    watch->count++;
    watch->last_us = now_us;
}

/* Every fourth answer of a device that answers wrongly: of another request, an exception, one
 * that is shorter than it says, noise. */
static size_t spoil(struct device *device, uint8_t *answer, size_t length) {
    if (device->requests % 4 != 3)
        return length;
    switch (device->requests / 4 % 4) {
    case 0:
        answer[0] ^= 0x55;
        return length;
    case 1:
        answer[7] |= 0x80;
        answer[8] = 4;
        put_u16(answer + 4, 3);
        return 9;
    case 2:
        answer[8]--;
        return length;
    default:
        memset(answer, 0xA5, length);
        return length;
    }
}

/* The answer to a whole frame of 12 bytes or more into `answer`; its length, 0 when there is none.
 * `device`: NULL when another unit is asked. */
static size_t device_answer(struct device *device, struct figures *figures, int64_t now_us,
                            const uint8_t *frame, size_t length, uint8_t *answer) {
    memcpy(answer, frame, length < 12 ? length : 12); /* writes are echoed */
    size_t answer_length = 12;
    uint8_t function = frame[7], exception = 0;
    unsigned address = get_u16(frame + 8), count = get_u16(frame + 10);
    if (!device) {
        exception = 11; /* the gateway's target does not respond */
    } else if (device->habit == HABIT_DEAD) {
        return 0;
    } else if (function == 3 || function == 4) {
        if (count < 1 || count > 125 || address + count > 0x10000) {
            exception = 3;
        } else {
            if (device->habit == HABIT_WELL)
                note_read(figures, device, function, (uint16_t)address, now_us);
            answer[8] = (uint8_t)(2 * count);
            for (unsigned i = 0; i < count; i++)
                put_u16(answer + 9 + 2 * (size_t)i, word_at(device, address + i, now_us / 1000000));
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
    if (!device)
        return answer_length;
    if (device->habit == HABIT_WELL && address != 0 && device->asked_us)
        histogram_add(&figures->gap, now_us - device->asked_us);
    device->asked_us = now_us;
    if (device->habit == HABIT_WRONG)
        answer_length = spoil(device, answer, answer_length);
    device->requests++;
    return answer_length;
}

#endif
