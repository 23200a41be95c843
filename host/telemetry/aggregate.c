#include "telemetry/aggregate.h"

#include <math.h>
#include <string.h>

#include "telemetry/bytes.h"

#define FORMAT 1
#define MOST_UNKNOWN_W                                                                             \
    1e6                  /* more than a device behind a gateway has, when nothing is known of it */
#define MOST_LEAST_W 2e4 /* a device seen idle so far may still take this */
#define HOUR_MS      3600e3

/* An energy is counted, and a state has no mean. */
static bool has_spread(int id) {
    return id != POINT_ENERGY_IMPORT && id != POINT_ENERGY_EXPORT && id != POINT_STATE &&
           quantity_number((enum point_id)id) != 0;
}

void aggregate_init(struct aggregate *aggregate) {
    memset(aggregate, 0, sizeof *aggregate);
    for (int i = 0; i < ENERGY_COUNT; i++)
        aggregate->energies[i] = (struct counted){.delta_wh = NAN, .last_wh = NAN};
}

bool aggregate_empty(const struct aggregate *aggregate) {
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        if (aggregate->spreads[id].ms || aggregate->spreads[id].count)
            return false;
    return aggregate->energies[0].source == SOURCE_NONE &&
           aggregate->energies[1].source == SOURCE_NONE;
}

/* --- a bucket of samples --------------------------------------------------------------------- */

static void see(struct spread *spread, double value) {
    bool first = spread->ms == 0 && spread->count == 0;
    if (first || value < spread->min)
        spread->min = value;
    if (first || value > spread->max)
        spread->max = value;
}

/* The sample before holds until `end_ms`, as far as it can be trusted. */
static void hold_until(struct aggregator *aggregator, int64_t end_ms) {
    const struct sample *before = &aggregator->before;
    if (!aggregator->has_before)
        return;
    int64_t from = before->at_ms > aggregator->start_ms ? before->at_ms : aggregator->start_ms;
    int64_t until = before->at_ms + before->hold_ms;
    if (until > end_ms)
        until = end_ms;
    if (until <= from)
        return;
    double ms = (double)(until - from);
    for (int id = 0; id < POINT_NUMBER_COUNT; id++) {
        double value = before->values[id];
        struct spread *spread = &aggregator->made.spreads[id];
        if (!has_spread(id) || !isfinite(value))
            continue;
        see(spread, value);
        spread->mean += value * ms;
        spread->ms += until - from;
    }
    double power_w = before->values[POINT_ACTIVE_POWER];
    if (isfinite(power_w))
        aggregator->integrated_wh[power_w < 0 ? ENERGY_EXPORT : ENERGY_IMPORT] +=
            fabs(power_w) * ms / HOUR_MS;
}

static void count(struct aggregator *aggregator, const struct sample *sample, enum energy energy) {
    struct counter *counter = &aggregator->meter->counters[energy];
    struct counted *counted = &aggregator->made.energies[energy];
    double value = sample->values[energy_point(energy)];
    int64_t read_ms = sample->at_ms - sample->age_ms[energy];
    if (!isfinite(value))
        return;
    aggregator->has_counter[energy] = true;
    bool base = counter->known;
    int64_t last_ms = counter->last_ms;
    double delta = 0;
    if (!counter_take(counter, value, read_ms, aggregator->most_w, &delta, &counted->marks))
        return;
    counted->last_wh = counter->last;
    if (!base)
        return; /* from here on */
    if (last_ms < aggregator->start_ms - (aggregator->end_ms - aggregator->start_ms))
        counted->marks |= COUNTER_GAP;
    counted->delta_wh = (aggregator->read[energy] ? counted->delta_wh : 0) + delta;
    aggregator->read[energy] = true;
}

void aggregator_start(struct aggregator *aggregator, int64_t start_ms, int64_t end_ms,
                      struct meter *meter, double rated_w, const struct sample *before) {
    memset(aggregator, 0, sizeof *aggregator);
    aggregator->start_ms = start_ms;
    aggregator->end_ms = end_ms;
    aggregator->meter = meter;
    aggregate_init(&aggregator->made);
    aggregator->most_w = MOST_UNKNOWN_W;
    if (rated_w > 0)
        aggregator->most_w = fmax(2 * rated_w, MOST_LEAST_W);
    else if (meter->peak_w > 0)
        aggregator->most_w = fmax(4 * meter->peak_w, MOST_LEAST_W);
    aggregator->has_before = before != NULL;
    if (before)
        aggregator->before = *before;
}

void aggregator_add(struct aggregator *aggregator, const struct sample *sample) {
    hold_until(aggregator, sample->at_ms);
    for (int id = 0; id < POINT_NUMBER_COUNT; id++) {
        struct spread *spread = &aggregator->made.spreads[id];
        if (!has_spread(id) || !isfinite(sample->values[id]))
            continue;
        see(spread, sample->values[id]);
        spread->count++;
    }
    double power_w = fabs(sample->values[POINT_ACTIVE_POWER]);
    if (power_w > aggregator->meter->peak_w)
        aggregator->meter->peak_w = power_w;
    count(aggregator, sample, ENERGY_IMPORT);
    count(aggregator, sample, ENERGY_EXPORT);
    aggregator->before = *sample;
    aggregator->has_before = true;
}

void aggregator_finish(struct aggregator *aggregator, struct aggregate *made) {
    hold_until(aggregator, aggregator->end_ms);
    struct aggregate *result = &aggregator->made;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++) {
        struct spread *spread = &result->spreads[id];
        if (spread->ms)
            spread->mean /= (double)spread->ms;
        else /* its only sample came with the end of its trust */
            spread->mean = (spread->min + spread->max) / 2;
    }
    for (int i = 0; i < ENERGY_COUNT; i++) {
        const struct counter *counter = &aggregator->meter->counters[i];
        struct counted *counted = &result->energies[i];
        bool counts = aggregator->has_counter[i] ||
                      (counter->read_ms && aggregator->end_ms - counter->read_ms < COUNTER_GONE_MS);
        if (counts && (aggregator->read[i] || isfinite(counted->last_wh) || counted->marks)) {
            counted->source = SOURCE_COUNTER;
        } else if (!counts && result->spreads[POINT_ACTIVE_POWER].ms) {
            counted->source = SOURCE_INTEGRATED;
            counted->delta_wh = aggregator->integrated_wh[i];
        }
    }
    *made = *result;
}

/* --- a bucket of buckets --------------------------------------------------------------------- */

static void merge_spread(struct spread *into, const struct spread *part) {
    if (!part->ms && !part->count)
        return;
    double ms = (double)into->ms + (double)part->ms;
    if (!into->ms && !into->count) {
        *into = *part;
        return;
    }
    if (ms > 0)
        into->mean = (into->mean * (double)into->ms + part->mean * (double)part->ms) / ms;
    into->min = fmin(into->min, part->min);
    into->max = fmax(into->max, part->max);
    into->ms += part->ms;
    into->count = part->count > INT32_MAX - into->count ? INT32_MAX : into->count + part->count;
}

static void merge_counted(struct counted *into, const struct counted *part) {
    if (part->source == SOURCE_NONE)
        return;
    if (isfinite(part->delta_wh))
        into->delta_wh = (isfinite(into->delta_wh) ? into->delta_wh : 0) + part->delta_wh;
    if (isfinite(part->last_wh))
        into->last_wh = part->last_wh;
    if (part->source > into->source) /* one part that is integrated makes the sum so */
        into->source = part->source;
    into->marks |= part->marks;
}

void aggregate_merge(struct aggregate *into, const struct aggregate *part) {
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        merge_spread(&into->spreads[id], &part->spreads[id]);
    for (int i = 0; i < ENERGY_COUNT; i++)
        merge_counted(&into->energies[i], &part->energies[i]);
}

/* --- on disk --------------------------------------------------------------------------------- */

size_t aggregate_pack(const struct aggregate *aggregate, unsigned char *to) {
    struct byte_writer out = {to};
    uint64_t mask = 0;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        if (aggregate->spreads[id].ms || aggregate->spreads[id].count)
            mask |= UINT64_C(1) << quantity_number((enum point_id)id);
    for (int i = 0; i < ENERGY_COUNT; i++)
        if (aggregate->energies[i].source != SOURCE_NONE)
            mask |= UINT64_C(1) << quantity_number(energy_point((enum energy)i));
    bytes_put(&out, FORMAT, 1);
    bytes_put(&out, mask, 8);
    for (int number = 1; number < 64; number++) {
        if (!(mask >> number & 1))
            continue;
        enum point_id id = quantity_id(number);
        if (has_spread((int)id)) {
            const struct spread *spread = &aggregate->spreads[id];
            bytes_put_float(&out, spread->min);
            bytes_put_float(&out, spread->max);
            bytes_put_float(&out, spread->mean);
            bytes_put(&out, (uint64_t)spread->ms, 4);
            bytes_put(&out, (uint64_t)spread->count, 4);
            continue;
        }
        const struct counted *counted = &aggregate->energies[id == POINT_ENERGY_EXPORT];
        bytes_put_double(&out, counted->delta_wh);
        bytes_put_double(&out, counted->last_wh);
        bytes_put(&out, counted->source, 1);
        bytes_put(&out, counted->marks, 1);
    }
    return (size_t)(out.at - to);
}

static double kept_number(struct byte_reader *in, bool shown) {
    float kept = bytes_get_float(in);
    return shown ? number_widen(kept) : (double)kept;
}

bool aggregate_unpack(const void *from, size_t length, uint64_t shown,
                      struct aggregate *aggregate) {
    const unsigned char *bytes = from;
    struct byte_reader in = {bytes, bytes + length, false};
    aggregate_init(aggregate);
    if (bytes_get(&in, 1) != FORMAT)
        return false;
    uint64_t mask = bytes_get(&in, 8);
    for (int number = 1; number < 64; number++) {
        if (!(mask >> number & 1))
            continue;
        enum point_id id = quantity_id(number);
        if (id == POINT_ENERGY_IMPORT || id == POINT_ENERGY_EXPORT) {
            struct counted *counted = &aggregate->energies[id == POINT_ENERGY_EXPORT];
            counted->delta_wh = bytes_get_double(&in);
            counted->last_wh = bytes_get_double(&in);
            counted->source =
                bytes_get(&in, 1) == SOURCE_COUNTER ? SOURCE_COUNTER : SOURCE_INTEGRATED;
            counted->marks = (unsigned)bytes_get(&in, 1);
        } else if (id != POINT_COUNT && has_spread((int)id)) {
            struct spread *spread = &aggregate->spreads[id];
            bool as_decimal = shown >> number & 1;
            spread->min = kept_number(&in, as_decimal);
            spread->max = kept_number(&in, as_decimal);
            spread->mean = kept_number(&in, as_decimal);
            spread->ms = (int64_t)bytes_get(&in, 4);
            spread->count = (int32_t)bytes_get(&in, 4);
            if (spread->count < 0) /* damaged */
                return false;
        } else {
            return false;
        }
    }
    return !in.short_of && in.at == in.end;
}

size_t meter_pack(const struct meter *meter, unsigned char *to) {
    struct byte_writer out = {to};
    bytes_put(&out, FORMAT, 1);
    bytes_put_double(&out, meter->peak_w);
    for (int i = 0; i < ENERGY_COUNT; i++) {
        const struct counter *counter = &meter->counters[i];
        bytes_put(&out, counter->known, 1);
        bytes_put_double(&out, counter->last);
        bytes_put(&out, (uint64_t)counter->read_ms, 8);
        bytes_put(&out, (uint64_t)counter->last_ms, 8);
        bytes_put(&out, (uint64_t)counter->candidates, 1);
        bytes_put_double(&out, counter->first_candidate);
        bytes_put_double(&out, counter->candidate);
        bytes_put(&out, (uint64_t)counter->candidate_ms, 8);
    }
    return (size_t)(out.at - to);
}

void meter_unpack(const void *from, size_t length, struct meter *meter) {
    const unsigned char *bytes = from;
    struct byte_reader in = {bytes, bytes ? bytes + length : bytes, false};
    memset(meter, 0, sizeof *meter);
    if (bytes_get(&in, 1) != FORMAT)
        return;
    meter->peak_w = bytes_get_double(&in);
    for (int i = 0; i < ENERGY_COUNT; i++) {
        struct counter *counter = &meter->counters[i];
        counter->known = bytes_get(&in, 1) != 0;
        counter->last = bytes_get_double(&in);
        counter->read_ms = (int64_t)bytes_get(&in, 8);
        counter->last_ms = (int64_t)bytes_get(&in, 8);
        counter->candidates = (int)bytes_get(&in, 1);
        counter->first_candidate = bytes_get_double(&in);
        counter->candidate = bytes_get_double(&in);
        counter->candidate_ms = (int64_t)bytes_get(&in, 8);
    }
    if (in.short_of)
        memset(meter, 0, sizeof *meter);
}
