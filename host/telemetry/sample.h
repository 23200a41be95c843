/* A sample: what was known of one device at one instant, as it is kept on disk. Pure.
 *
 * The number of a quantity on disk is not its place in the vocabulary's enum, which may move: it
 * stands in a table of its own (quantity_number), is never given twice and never changed. */
#ifndef DERD_TELEMETRY_SAMPLE_H
#define DERD_TELEMETRY_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vocabulary.h"

enum energy { ENERGY_IMPORT, ENERGY_EXPORT, ENERGY_COUNT };

/* Where the measured power lay within what was decided, within the driver's tolerance. */
enum reach { REACH_UNKNOWN, REACH_INSIDE, REACH_AT_MIN, REACH_AT_MAX, REACH_BELOW, REACH_ABOVE };

struct sample {
    int64_t at_ms;   /* wall */
    int64_t hold_ms; /* for how long it counts where no further one follows: its trust */
    enum reach reach;
    double values[POINT_NUMBER_COUNT]; /* NAN: unknown, or stale at that instant */
    int64_t age_ms[ENERGY_COUNT];      /* of the counter's reading: several samples may show one */
};

#define SAMPLE_BYTES_MAXIMUM 512

/* 1 to 63; 0: not kept (what a device is, not what it does). */
int quantity_number(enum point_id id);
/* POINT_COUNT when there is none. */
enum point_id quantity_id(int number);
enum point_id energy_point(enum energy energy);
/* Which quantities are known, as bits by number. */
uint64_t sample_mask(const struct sample *sample);

/* Bytes written into `to`, which has SAMPLE_BYTES_MAXIMUM. The instant and the reach are not in it.
 */
size_t sample_pack(const struct sample *sample, unsigned char *to);
/* Of a packed one. */
uint64_t sample_packed_mask(const unsigned char *packed);
int64_t sample_packed_hold_ms(const unsigned char *packed);
/* False when it is no sample. Leaves at_ms as it is. */
bool sample_unpack(const void *from, size_t length, struct sample *sample);

/* A number that was kept with 24 bits, as the decimal it was made from: 230.4, not 230.39999. */
double number_widen(float kept);

#endif
