/* Counters and aggregates, worked by hand: resets, glitches, gaps, stale values, bucket edges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "telemetry/aggregate.h"

#define T0     INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define MINUTE INT64_C(60000)

static void assert_near(double got, double wanted, double off) {
    if (!(fabs(got - wanted) <= off))
        fail_msg("%.9g, not %.9g", got, wanted);
}

/* --- counters: 10 kW at most, a reading every 10 s -------------------------------------------- */

struct tape {
    struct counter counter;
    int64_t at_ms;
    double sum;
    unsigned marks;
};

static bool read_in(struct tape *tape, double value, int64_t after_ms) {
    tape->at_ms += after_ms;
    return counter_take(&tape->counter, value, tape->at_ms, 10000, &tape->sum, &tape->marks);
}

static void read_all(struct tape *tape, const double *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        (void)read_in(tape, values[i], 10000);
}

static struct tape tape_new(void) {
    return (struct tape){.at_ms = T0};
}

static void a_counter_counts_from_its_first_reading(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){50000, 50010, 50010, 50035}, 4);
    assert_near(tape.sum, 35, 1e-9);
    assert_int_equal(tape.marks, 0);
}

static void a_reading_that_is_shown_again_counts_once(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){100, 120}, 2);
    assert_false(read_in(&tape, 120, 0));
    assert_false(read_in(&tape, 500, -5000)); /* older than what was read */
    assert_near(tape.sum, 20, 1e-9);
}

static void a_jump_down_and_back_is_a_glitch(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){50000, 50010, 0, 50030, 50040}, 5);
    assert_near(tape.sum, 40, 1e-9);
    assert_int_equal(tape.marks, COUNTER_GLITCH);
}

static void a_leap_and_back_is_a_glitch(void **state) {
    (void)state;
    struct tape tape = tape_new();
    /* Two in a row are not enough to be believed. */
    read_all(&tape, (double[]){50000, 50010, 115546, 115546, 50040}, 5);
    assert_near(tape.sum, 40, 1e-9);
    assert_int_equal(tape.marks, COUNTER_GLITCH);
}

static void a_reset_goes_on_counting(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){50000, 50010, 0, 20}, 4);
    assert_near(tape.sum, 10, 1e-9); /* not sure yet */
    read_all(&tape, (double[]){30, 45}, 2);
    assert_int_equal(tape.marks, COUNTER_RESET);
    assert_near(tape.sum, 10 + 45, 1e-9);
    assert_near(tape.counter.last, 45, 1e-9);
}

static void a_leap_that_stays_is_not_counted(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){1000, 1010, 901010, 901020, 901030, 901040}, 6);
    assert_int_equal(tape.marks, COUNTER_LEAP);
    assert_near(tape.sum, 10 + 20 + 10, 1e-9);
}

static void random_garbage_is_never_believed(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){50000, 3, 900000, 77, 500000, 12345, 50060}, 7);
    assert_near(tape.sum, 60, 1e-9);
    assert_int_equal(tape.marks, COUNTER_GLITCH);
}

static void a_long_gap_makes_much_energy_possible(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){1000}, 1);
    assert_true(read_in(&tape, 30000, INT64_C(10800000))); /* 29 kWh in 3 h at 10 kW */
    assert_near(tape.sum, 29000, 1e-9);
    assert_false(
        read_in(&tape, 63001, INT64_C(10800000))); /* 33 kWh are too many, with the slack */
    assert_near(tape.sum, 29000, 1e-9);
}

static void a_coarse_counter_steps_by_whole_kilowatt_hours(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){1000, 1000, 2000, 2000, 3000}, 5);
    assert_near(tape.sum, 2000, 1e-9);
    assert_int_equal(tape.marks, 0);
}

static void a_last_digit_that_flickers_is_no_reset(void **state) {
    (void)state;
    struct tape tape = tape_new();
    read_all(&tape, (double[]){1000, 1010, 1009, 1010, 1009, 1020}, 6);
    assert_near(tape.sum, 20, 1e-9);
    assert_int_equal(tape.marks, 0);
}

/* --- minutes ---------------------------------------------------------------------------------- */

static struct sample sample_at(int64_t at_ms, double power_w) {
    struct sample sample = {.at_ms = at_ms, .hold_ms = 4000};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample.values[i] = NAN;
    sample.values[POINT_ACTIVE_POWER] = power_w;
    return sample;
}

static struct aggregate minute_of(struct meter *meter, int64_t start_ms, double rated_w,
                                  const struct sample *before, const struct sample *samples,
                                  size_t count) {
    struct aggregator aggregator;
    struct aggregate made;
    aggregator_start(&aggregator, start_ms, start_ms + MINUTE, meter, rated_w, before);
    for (size_t i = 0; i < count; i++)
        aggregator_add(&aggregator, &samples[i]);
    aggregator_finish(&aggregator, &made);
    return made;
}

static void a_mean_is_weighted_by_time(void **state) {
    (void)state;
    struct meter meter = {0};
    /* 1000 W for 1 s, 2000 W for 3 s, then 4 s of trust: 4000 W. */
    const struct sample samples[] = {sample_at(T0 + 10000, 1000), sample_at(T0 + 11000, 2000),
                                     sample_at(T0 + 14000, 4000)};
    struct aggregate made = minute_of(&meter, T0, NAN, NULL, samples, 3);
    const struct spread *power = &made.spreads[POINT_ACTIVE_POWER];
    assert_int_equal(power->ms, 8000);
    assert_near(power->mean, (1000 * 1 + 2000 * 3 + 4000 * 4) / 8.0, 1e-9);
    assert_near(power->min, 1000, 0);
    assert_near(power->max, 4000, 0);
    assert_int_equal(power->count, 3);
}

static void a_gap_is_a_gap(void **state) {
    (void)state;
    struct meter meter = {0};
    /* 30 s of silence between two samples: 4 s each are known. */
    const struct sample samples[] = {sample_at(T0, 1000), sample_at(T0 + 30000, 3000)};
    struct aggregate made = minute_of(&meter, T0, NAN, NULL, samples, 2);
    assert_int_equal(made.spreads[POINT_ACTIVE_POWER].ms, 8000);
    assert_near(made.spreads[POINT_ACTIVE_POWER].mean, 2000, 1e-9);
}

static void an_unknown_value_is_not_zero(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample samples[] = {sample_at(T0, 1000), sample_at(T0 + 1000, NAN),
                               sample_at(T0 + 2000, 1000)};
    samples[1].values[POINT_VOLTAGE_L1] = 230;
    struct aggregate made = minute_of(&meter, T0, NAN, NULL, samples, 3);
    const struct spread *power = &made.spreads[POINT_ACTIVE_POWER];
    assert_near(power->mean, 1000, 1e-9);
    assert_near(power->min, 1000, 0);
    assert_int_equal(power->ms, 1000 + 4000);
    assert_int_equal(power->count, 2);
    assert_int_equal(made.spreads[POINT_VOLTAGE_L1].ms, 1000);
    assert_int_equal(made.spreads[POINT_VOLTAGE_L2].ms, 0);
}

static void a_value_reaches_over_the_edge_of_its_minute(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample before = sample_at(T0 - 1000, 500);
    const struct sample samples[] = {sample_at(T0 + 1000, 1000), sample_at(T0 + 59000, 1000)};
    struct aggregate made = minute_of(&meter, T0, NAN, &before, samples, 2);
    /* 1 s of the one before, 4 s, and 1 s up to the edge. */
    assert_int_equal(made.spreads[POINT_ACTIVE_POWER].ms, 1000 + 4000 + 1000);
    assert_near(made.spreads[POINT_ACTIVE_POWER].mean, (500 + 4000 + 1000) / 6.0, 1e-9);
    assert_int_equal(made.spreads[POINT_ACTIVE_POWER].count, 2);
    /* And the rest of the last one stands in the next minute. */
    struct aggregate next = minute_of(&meter, T0 + MINUTE, NAN, &samples[1], NULL, 0);
    assert_int_equal(next.spreads[POINT_ACTIVE_POWER].ms, 3000);
    assert_int_equal(next.spreads[POINT_ACTIVE_POWER].count, 0);
    assert_near(next.spreads[POINT_ACTIVE_POWER].max, 1000, 0);
}

static void a_minute_of_which_nothing_is_known_is_empty(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample before = sample_at(T0 - 10000, 500);
    struct aggregate made = minute_of(&meter, T0, NAN, &before, NULL, 0);
    assert_true(aggregate_empty(&made));
}

static void energy_is_what_the_counter_counted(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample samples[60];
    for (int i = 0; i < 60; i++) {
        samples[i] = sample_at(T0 + i * INT64_C(1000), 3600);
        samples[i].values[POINT_ENERGY_IMPORT] = 1000 + floor(i / 10.0); /* read every 10 s */
        samples[i].age_ms[ENERGY_IMPORT] = i % 10 * INT64_C(1000);
    }
    struct aggregate first = minute_of(&meter, T0, NAN, NULL, samples, 60);
    const struct counted *import = &first.energies[ENERGY_IMPORT];
    assert_int_equal(import->source, SOURCE_COUNTER);
    assert_near(import->delta_wh, 5, 1e-9); /* the power says 60 Wh: it is not asked */
    assert_near(import->last_wh, 1005, 0);
    assert_int_equal(import->marks, 0);
    /* No counter for export: integrated, and it says so. */
    assert_int_equal(first.energies[ENERGY_EXPORT].source, SOURCE_INTEGRATED);
    assert_near(first.energies[ENERGY_EXPORT].delta_wh, 0, 0);
    /* The next minute begins where the last reading was. */
    for (int i = 0; i < 60; i++) {
        samples[i].at_ms += MINUTE;
        samples[i].values[POINT_ENERGY_IMPORT] += 6;
    }
    struct sample before = samples[59];
    before.at_ms = T0 + 59000;
    struct aggregate second = minute_of(&meter, T0 + MINUTE, NAN, &before, samples, 60);
    assert_near(second.energies[ENERGY_IMPORT].delta_wh, 1011 - 1005, 1e-9);
}

static void without_a_counter_energy_is_integrated(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample samples[60];
    for (int i = 0; i < 60; i++)
        samples[i] = sample_at(T0 + i * INT64_C(1000), i < 30 ? 3600 : -7200);
    struct aggregate made = minute_of(&meter, T0, NAN, NULL, samples, 60);
    assert_int_equal(made.energies[ENERGY_IMPORT].source, SOURCE_INTEGRATED);
    assert_near(made.energies[ENERGY_IMPORT].delta_wh, 30, 1e-9);
    assert_near(made.energies[ENERGY_EXPORT].delta_wh, 60, 1e-9);
    assert_true(isnan(made.energies[ENERGY_IMPORT].last_wh));
}

static void a_counter_that_was_not_read_is_not_integrated(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample one = sample_at(T0, 3600);
    one.values[POINT_ENERGY_IMPORT] = 1000;
    (void)minute_of(&meter, T0, NAN, NULL, &one, 1);
    struct sample two = sample_at(T0 + MINUTE, 3600); /* its registers were refused */
    struct aggregate made = minute_of(&meter, T0 + MINUTE, NAN, NULL, &two, 1);
    assert_int_equal(made.energies[ENERGY_IMPORT].source, SOURCE_NONE);
    assert_true(isnan(made.energies[ENERGY_IMPORT].delta_wh));
    /* A day later it is taken to be gone. */
    struct sample three = sample_at(T0 + COUNTER_GONE_MS + MINUTE, 3600);
    made = minute_of(&meter, three.at_ms, NAN, NULL, &three, 1);
    assert_int_equal(made.energies[ENERGY_IMPORT].source, SOURCE_INTEGRATED);
}

static void what_was_counted_in_a_gap_is_marked(void **state) {
    (void)state;
    struct meter meter = {0};
    struct sample one = sample_at(T0, 3600);
    one.values[POINT_ENERGY_IMPORT] = 1000;
    (void)minute_of(&meter, T0, 10000, NULL, &one, 1);
    struct sample two = sample_at(T0 + 60 * MINUTE, 3600);
    two.values[POINT_ENERGY_IMPORT] = 4600;
    struct aggregate made = minute_of(&meter, two.at_ms, 10000, NULL, &two, 1);
    assert_near(made.energies[ENERGY_IMPORT].delta_wh, 3600, 1e-9);
    assert_int_equal(made.energies[ENERGY_IMPORT].marks, COUNTER_GAP);
}

static void the_rating_says_what_is_impossible(void **state) {
    (void)state;
    for (int rated = 0; rated < 2; rated++) {
        struct meter meter = {0};
        struct sample samples[4];
        for (int i = 0; i < 4; i++)
            samples[i] = sample_at(T0 + i * INT64_C(1000), 100);
        samples[0].values[POINT_ENERGY_IMPORT] = 1000;
        samples[1].values[POINT_ENERGY_IMPORT] = 3150; /* 2.15 kWh in a second: slack and 540 kW */
        samples[2].values[POINT_ENERGY_IMPORT] = 1001;
        struct aggregate made = minute_of(&meter, T0, rated ? 5000 : NAN, NULL, samples, 4);
        if (rated) {
            assert_near(made.energies[ENERGY_IMPORT].delta_wh, 1, 1e-9);
            assert_int_equal(made.energies[ENERGY_IMPORT].marks, COUNTER_GLITCH);
        } else { /* of a device of which nothing is known yet */
            assert_near(made.energies[ENERGY_IMPORT].delta_wh, 2150, 1e-9);
        }
    }
}

/* --- levels, and bytes ------------------------------------------------------------------------ */

/* Whatever the order of cutting, the sum over minutes is what the counter moved. */
static void minutes_add_up_to_what_the_counter_moved(void **state) {
    (void)state;
    struct meter meter = {0};
    struct aggregate sum;
    struct sample before;
    double counter = 7000;
    bool has_before = false;
    aggregate_init(&sum);
    for (int m = 0; m < 1440; m++) {
        struct sample samples[6];
        for (int i = 0; i < 6; i++) {
            samples[i] = sample_at(T0 + m * MINUTE + i * INT64_C(10000) + 7, 500 + i);
            counter += 1.25;
            samples[i].values[POINT_ENERGY_IMPORT] = counter;
        }
        struct aggregate minute =
            minute_of(&meter, T0 + m * MINUTE, 10000, has_before ? &before : NULL, samples, 6);
        unsigned char bytes[AGGREGATE_BYTES_MAXIMUM];
        struct aggregate again;
        assert_true(aggregate_unpack(bytes, aggregate_pack(&minute, bytes), SHOW_ALL, &again));
        aggregate_merge(&sum, &again);
        before = samples[5];
        has_before = true;
        /* Restarted every minute: what goes on comes from disk. */
        unsigned char kept[METER_BYTES];
        size_t length = meter_pack(&meter, kept);
        assert_true(length <= sizeof kept);
        meter_unpack(kept, length, &meter);
    }
    assert_near(sum.energies[ENERGY_IMPORT].delta_wh, counter - 7001.25, 1e-6);
    assert_near(sum.energies[ENERGY_IMPORT].last_wh, counter, 1e-9);
    assert_int_equal(sum.spreads[POINT_ACTIVE_POWER].count, 8640);
    assert_int_equal(sum.spreads[POINT_ACTIVE_POWER].ms, INT64_C(8640) * 4000);
    assert_near(sum.spreads[POINT_ACTIVE_POWER].mean, 502.5, 1e-3);
}

static void merging_weighs_by_the_time_that_is_known(void **state) {
    (void)state;
    struct aggregate sum, part;
    aggregate_init(&sum);
    aggregate_init(&part);
    part.spreads[POINT_ACTIVE_POWER] = (struct spread){100, 300, 200, 60000, 60};
    part.energies[ENERGY_IMPORT] = (struct counted){5, 105, SOURCE_COUNTER, 0};
    aggregate_merge(&sum, &part);
    part.spreads[POINT_ACTIVE_POWER] = (struct spread){-50, 900, 800, 20000, 20};
    part.energies[ENERGY_IMPORT] = (struct counted){7, NAN, SOURCE_INTEGRATED, COUNTER_RESET};
    aggregate_merge(&sum, &part);
    const struct spread *power = &sum.spreads[POINT_ACTIVE_POWER];
    assert_near(power->mean, 350, 1e-9);
    assert_near(power->min, -50, 0);
    assert_near(power->max, 900, 0);
    assert_int_equal(power->ms, 80000);
    assert_int_equal(power->count, 80);
    assert_near(sum.energies[ENERGY_IMPORT].delta_wh, 12, 0);
    assert_near(sum.energies[ENERGY_IMPORT].last_wh, 105, 0);
    assert_int_equal(sum.energies[ENERGY_IMPORT].source, SOURCE_INTEGRATED);
    assert_int_equal(sum.energies[ENERGY_IMPORT].marks, COUNTER_RESET);
}

static void a_sample_comes_back_as_it_was(void **state) {
    (void)state;
    unsigned char bytes[SAMPLE_BYTES_MAXIMUM];
    struct sample sample = sample_at(T0, -4140), again = {.at_ms = T0};
    sample.values[POINT_VOLTAGE_L1] = 230.4;
    sample.values[POINT_FREQUENCY] = 49.987;
    sample.values[POINT_STATE] = STATE_SUSPENDED;
    sample.values[POINT_ENERGY_EXPORT] = 123456789012.5;
    sample.age_ms[ENERGY_EXPORT] = 9000;
    size_t length = sample_pack(&sample, bytes);
    assert_true(sample_unpack(bytes, length, &again));
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        assert_true(again.values[i] == sample.values[i] ||
                    (isnan(again.values[i]) && isnan(sample.values[i])));
    assert_int_equal(again.hold_ms, 4000);
    assert_int_equal(again.age_ms[ENERGY_EXPORT], 9000);
    for (size_t cut = 0; cut < length; cut++)
        assert_false(sample_unpack(bytes, cut, &again));
    bytes[0] = 99;
    assert_false(sample_unpack(bytes, length, &again));
}

static void all_that_can_be_known_fits(void **state) {
    (void)state;
    unsigned char bytes[SAMPLE_BYTES_MAXIMUM], buckets[AGGREGATE_BYTES_MAXIMUM];
    struct meter meter = {0};
    struct sample sample = sample_at(T0, 1);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        sample.values[i] = 1;
    assert_true(sample_pack(&sample, bytes) <= sizeof bytes);
    struct aggregate made = minute_of(&meter, T0, NAN, NULL, &sample, 1), again;
    size_t length = aggregate_pack(&made, buckets);
    assert_true(length <= sizeof buckets);
    assert_true(aggregate_unpack(buckets, length, SHOW_ALL, &again));
    for (size_t cut = 0; cut < length; cut++)
        assert_false(aggregate_unpack(buckets, cut, SHOW_ALL, &again));
}

static void numbers_on_disk_are_given_once(void **state) {
    (void)state;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++) {
        int number = quantity_number((enum point_id)id);
        assert_in_range(number, 0, 63);
        if (number)
            assert_int_equal(quantity_id(number), id);
    }
    assert_int_equal(quantity_number(POINT_ACTIVE_POWER), 1);
    assert_int_equal(quantity_number(POINT_ENERGY_IMPORT), 15);
    assert_int_equal(quantity_number(POINT_CURRENT_LIMIT), 26);
    assert_int_equal(quantity_number(POINT_SERIAL_NUMBER), 0);
    assert_int_equal(quantity_id(63), POINT_COUNT);
}

static void kept_numbers_read_as_they_were_written(void **state) {
    (void)state;
    static const double values[] = {230.4, 0.1, -0.001, 49.987, 123456.7, 1e-5, -6706, 0, 1e9};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_true(number_widen((float)values[i]) == values[i]);
}

/* What a person would write for it: up to three decimals, otherwise six to nine digits. */
static double shortest_text(float kept) {
    char text[64];
    for (int decimals = 0; decimals < 4; decimals++) {
        snprintf(text, sizeof text, "%.*f", decimals, (double)kept);
        if ((float)strtod(text, NULL) == kept)
            return strtod(text, NULL);
    }
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)kept);
        if ((float)strtod(text, NULL) == kept)
            return strtod(text, NULL);
    }
    return (double)kept;
}

static void any_kept_number_reads_as_its_shortest_text(void **state) {
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < 200000; i++) {
        float kept;
        random = random * 1664525U + 1013904223U;
        if (i % 2) /* any at all */
            memcpy(&kept, &random, sizeof kept);
        else /* the ones that are measured */
            kept = (float)((double)(int32_t)random / pow(10, i / 2 % 12));
        if (isfinite(kept))
            assert_true(number_widen(kept) == shortest_text(kept));
    }
}

static void numbers_that_are_not_shown_come_as_they_are_kept(void **state) {
    (void)state;
    struct aggregate aggregate, again;
    unsigned char bytes[AGGREGATE_BYTES_MAXIMUM];
    aggregate_init(&aggregate);
    aggregate.spreads[POINT_VOLTAGE_L1] = aggregate.spreads[POINT_VOLTAGE_L2] =
        (struct spread){.min = 229.1, .max = 231.3, .mean = 230.4, .ms = 60000, .count = 60};
    uint64_t shown = UINT64_C(1) << quantity_number(POINT_VOLTAGE_L2);
    assert_true(aggregate_unpack(bytes, aggregate_pack(&aggregate, bytes), shown, &again));
    assert_true(again.spreads[POINT_VOLTAGE_L1].mean == (double)230.4F);
    assert_true(again.spreads[POINT_VOLTAGE_L2].min == 229.1);
    assert_true(again.spreads[POINT_VOLTAGE_L2].max == 231.3);
    assert_true(again.spreads[POINT_VOLTAGE_L2].mean == 230.4);
    assert_int_equal(again.spreads[POINT_VOLTAGE_L1].count, 60);
}

static void a_damaged_number_of_samples_is_refused_and_none_overflows(void **state) {
    (void)state;
    struct aggregate aggregate, part;
    unsigned char bytes[AGGREGATE_BYTES_MAXIMUM];
    aggregate_init(&aggregate);
    aggregate.spreads[POINT_ACTIVE_POWER] =
        (struct spread){.min = 1, .max = 1, .mean = 1, .ms = 1000, .count = 2000000000};
    size_t length = aggregate_pack(&aggregate, bytes);
    assert_true(aggregate_unpack(bytes, length, SHOW_ALL, &part));
    aggregate_merge(&aggregate, &part);
    assert_int_equal(aggregate.spreads[POINT_ACTIVE_POWER].count, INT32_MAX);
    bytes[length - 1] |= 0x80; /* the high byte of the count */
    assert_false(aggregate_unpack(bytes, length, SHOW_ALL, &part));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_counts_from_its_first_reading),
        cmocka_unit_test(a_reading_that_is_shown_again_counts_once),
        cmocka_unit_test(a_jump_down_and_back_is_a_glitch),
        cmocka_unit_test(a_leap_and_back_is_a_glitch),
        cmocka_unit_test(a_reset_goes_on_counting),
        cmocka_unit_test(a_leap_that_stays_is_not_counted),
        cmocka_unit_test(random_garbage_is_never_believed),
        cmocka_unit_test(a_long_gap_makes_much_energy_possible),
        cmocka_unit_test(a_coarse_counter_steps_by_whole_kilowatt_hours),
        cmocka_unit_test(a_last_digit_that_flickers_is_no_reset),
        cmocka_unit_test(a_mean_is_weighted_by_time),
        cmocka_unit_test(a_gap_is_a_gap),
        cmocka_unit_test(an_unknown_value_is_not_zero),
        cmocka_unit_test(a_value_reaches_over_the_edge_of_its_minute),
        cmocka_unit_test(a_minute_of_which_nothing_is_known_is_empty),
        cmocka_unit_test(energy_is_what_the_counter_counted),
        cmocka_unit_test(without_a_counter_energy_is_integrated),
        cmocka_unit_test(a_counter_that_was_not_read_is_not_integrated),
        cmocka_unit_test(what_was_counted_in_a_gap_is_marked),
        cmocka_unit_test(the_rating_says_what_is_impossible),
        cmocka_unit_test(minutes_add_up_to_what_the_counter_moved),
        cmocka_unit_test(merging_weighs_by_the_time_that_is_known),
        cmocka_unit_test(a_sample_comes_back_as_it_was),
        cmocka_unit_test(a_damaged_number_of_samples_is_refused_and_none_overflows),
        cmocka_unit_test(all_that_can_be_known_fits),
        cmocka_unit_test(numbers_on_disk_are_given_once),
        cmocka_unit_test(kept_numbers_read_as_they_were_written),
        cmocka_unit_test(any_kept_number_reads_as_its_shortest_text),
        cmocka_unit_test(numbers_that_are_not_shown_come_as_they_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
