/* What stands in the history's file: bytes that were damaged are refused or taken as they are, and
 * what was taken, packed again, is the same. The first byte says as what they are read. */
#include "fuzz.h"

#include <math.h>

#include "telemetry/aggregate.h"
#include "telemetry/sample.h"

static void check_sample(const uint8_t *data, size_t size) {
    struct sample sample = {0}, again = {0};
    unsigned char packed[SAMPLE_BYTES_MAXIMUM], twice[SAMPLE_BYTES_MAXIMUM];
    if (!sample_unpack(data, size, &sample))
        return;
    size_t length = sample_pack(&sample, packed);
    must(length <= sizeof packed);
    must(sample_unpack(packed, length, &again));
    must(sample_mask(&again) == sample_mask(&sample));
    must(sample_pack(&again, twice) == length && memcmp(packed, twice, length) == 0);
}

static void check_aggregate(const uint8_t *data, size_t size) {
    struct aggregate aggregate, again;
    unsigned char packed[AGGREGATE_BYTES_MAXIMUM], twice[AGGREGATE_BYTES_MAXIMUM];
    aggregate_init(&aggregate);
    aggregate_init(&again);
    if (!aggregate_unpack(data, size, SHOW_ALL, &aggregate))
        return;
    size_t length = aggregate_pack(&aggregate, packed);
    must(length <= sizeof packed);
    must(aggregate_unpack(packed, length, SHOW_ALL, &again));
    must(aggregate_empty(&aggregate) == aggregate_empty(&again));
    must(aggregate_pack(&again, twice) == length && memcmp(packed, twice, length) == 0);
    struct aggregate sum;
    aggregate_init(&sum);
    aggregate_merge(&sum, &aggregate); /* to nothing: itself */
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        must(sum.spreads[i].count == aggregate.spreads[i].count);
    aggregate_merge(&sum, &again);
    must(aggregate_pack(&sum, packed) <= sizeof packed);
}

static void check_meter(const uint8_t *data, size_t size) {
    struct meter meter, again;
    unsigned char packed[METER_BYTES], twice[METER_BYTES];
    meter_unpack(data, size, &meter);
    size_t length = meter_pack(&meter, packed);
    must(length <= sizeof packed);
    meter_unpack(packed, length, &again);
    must(meter_pack(&again, twice) == length && memcmp(packed, twice, length) == 0);
}

/* Readings as a device may give them: what is counted is never less than nothing. */
static void check_counter(struct feed feed) {
    struct counter counter = {0};
    int64_t at_ms = 0;
    while (feed.size >= 6) {
        double delta_wh = 0;
        unsigned marks = 0;
        at_ms += feed_word(&feed);
        double value = (double)(feed_word(&feed) * 65536U + feed_word(&feed));
        bool taken = counter_take(&counter, value, at_ms, 1e6, &delta_wh, &marks);
        must(isfinite(delta_wh) && delta_wh >= 0 && (taken || delta_wh == 0));
        must(marks < 16);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    uint8_t kind = feed_byte(&feed);
    uint8_t *bytes = exact_copy(feed.data, feed.size);
    switch (kind % 4) {
    case 0:
        check_sample(bytes, feed.size);
        break;
    case 1:
        check_aggregate(bytes, feed.size);
        break;
    case 2:
        check_meter(bytes, feed.size);
        break;
    default:
        check_counter(feed);
        break;
    }
    free(bytes);
    return 0;
}
