/* Aggregates: what a quantity was over a minute, a quarter of an hour, a day. Pure.
 *
 * Between two samples a value holds, but no longer than it could be trusted: beyond that is a gap,
 * which is not counted. So `mean` is weighted by time, and `ms` says over how much of the bucket it
 * was known. Energy is what the device's counter counted; from power and time it is made only where
 * no counter exists, and then says so.
 *
 * A minute is made from samples, all above from the level below: a bucket can be made again from
 * what is on disk at any time and comes out the same. */
#ifndef DERD_TELEMETRY_AGGREGATE_H
#define DERD_TELEMETRY_AGGREGATE_H

#include "telemetry/counter.h"
#include "telemetry/sample.h"

#define AGGREGATE_BYTES_MAXIMUM 1024
#define COUNTER_GONE_MS         INT64_C(86400000) /* a counter not read for so long is no more */

enum energy_source { SOURCE_NONE, SOURCE_COUNTER, SOURCE_INTEGRATED };

struct spread {
    double min, max, mean;
    int64_t ms;    /* known for so long */
    int32_t count; /* samples */
};

struct counted {
    double delta_wh; /* NAN: unknown */
    double last_wh;  /* the counter, NAN: not read in this bucket */
    enum energy_source source;
    unsigned marks; /* of enum counter_mark */
};

struct aggregate {
    struct spread spreads[POINT_NUMBER_COUNT]; /* ms and count 0: not known at all */
    struct counted energies[ENERGY_COUNT];
};

/* What goes on from bucket to bucket of one device. */
struct meter {
    struct counter counters[ENERGY_COUNT];
    double peak_w; /* greatest power seen, 0: none */
};

struct aggregator { /* of one bucket of samples */
    int64_t start_ms, end_ms;
    struct meter *meter;
    double most_w;
    bool has_before;
    struct sample before;
    bool has_counter[ENERGY_COUNT], read[ENERGY_COUNT];
    double integrated_wh[ENERGY_COUNT];
    struct aggregate made; /* means hold value times milliseconds until the end */
};

/* `meter` is moved on. `rated_w`: NAN unknown. `before`: the last sample before the bucket, or
 * NULL.
 */
void aggregator_start(struct aggregator *aggregator, int64_t start_ms, int64_t end_ms,
                      struct meter *meter, double rated_w, const struct sample *before);
/* In the order of time, inside the bucket. */
void aggregator_add(struct aggregator *aggregator, const struct sample *sample);
void aggregator_finish(struct aggregator *aggregator, struct aggregate *made);

void aggregate_init(struct aggregate *aggregate);
/* Adds a bucket that follows (or any other one: only last_wh goes by order). */
void aggregate_merge(struct aggregate *into, const struct aggregate *part);
bool aggregate_empty(const struct aggregate *aggregate);

size_t aggregate_pack(const struct aggregate *aggregate, unsigned char *to);
/* `shown`: quantities, as bits by number, whose numbers come as the decimals they were made from
 * (number_widen); the others' as they are kept. False when it is none. */
bool aggregate_unpack(const void *from, size_t length, uint64_t shown, struct aggregate *aggregate);
#define SHOW_ALL    UINT64_MAX
#define METER_BYTES 128
size_t meter_pack(const struct meter *meter, unsigned char *to);
/* A new one when it is none. */
void meter_unpack(const void *from, size_t length, struct meter *meter);

#endif
