#include "telemetry/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "telemetry/bytes.h"

#define FORMAT 1

/* On disk: never reuse a number, never change one. Ratings (what the device is) have none. */
#define QUANTITIES(X)                                                                              \
    X(1, POINT_ACTIVE_POWER)                                                                       \
    X(2, POINT_ACTIVE_POWER_L1)                                                                    \
    X(3, POINT_ACTIVE_POWER_L2)                                                                    \
    X(4, POINT_ACTIVE_POWER_L3)                                                                    \
    X(5, POINT_REACTIVE_POWER)                                                                     \
    X(6, POINT_APPARENT_POWER)                                                                     \
    X(7, POINT_VOLTAGE_L1)                                                                         \
    X(8, POINT_VOLTAGE_L2)                                                                         \
    X(9, POINT_VOLTAGE_L3)                                                                         \
    X(10, POINT_CURRENT_L1)                                                                        \
    X(11, POINT_CURRENT_L2)                                                                        \
    X(12, POINT_CURRENT_L3)                                                                        \
    X(13, POINT_FREQUENCY)                                                                         \
    X(14, POINT_POWER_FACTOR)                                                                      \
    X(15, POINT_ENERGY_IMPORT)                                                                     \
    X(16, POINT_ENERGY_EXPORT)                                                                     \
    X(17, POINT_STATE_OF_CHARGE)                                                                   \
    X(18, POINT_STATE_OF_HEALTH)                                                                   \
    X(19, POINT_TEMPERATURE)                                                                       \
    X(20, POINT_DC_POWER)                                                                          \
    X(21, POINT_DC_VOLTAGE)                                                                        \
    X(22, POINT_STATE)                                                                             \
    X(23, POINT_ACTIVE_PHASES)                                                                     \
    X(24, POINT_MAX_CHARGE_POWER)                                                                  \
    X(25, POINT_MAX_DISCHARGE_POWER)                                                               \
    X(26, POINT_CURRENT_LIMIT)

static const unsigned char numbers[POINT_NUMBER_COUNT] = {
#define NUMBER_OF(number, id) [id] = (number),
    QUANTITIES(NUMBER_OF)};

static const unsigned char ids[] = {
#define ID_OF(number, id) [number] = (id),
    QUANTITIES(ID_OF)};

int quantity_number(enum point_id id) {
    return id < POINT_NUMBER_COUNT ? numbers[id] : 0;
}

enum point_id quantity_id(int number) {
    bool known = number > 0 && (size_t)number < sizeof ids && numbers[ids[number]] == number;
    return known ? (enum point_id)ids[number] : POINT_COUNT;
}

enum point_id energy_point(enum energy energy) {
    return energy == ENERGY_IMPORT ? POINT_ENERGY_IMPORT : POINT_ENERGY_EXPORT;
}

double number_widen(float kept) {
    double exact = (double)kept;
    char text[32];
    if (!isfinite(exact))
        return exact;
    static const double scales[] = {1, 10, 100, 1000}; /* most have up to three decimals */
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        double decimal = nearbyint(exact * scales[i]) / scales[i];
        if ((float)decimal == kept)
            return decimal;
    }
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, exact);
        double decimal = strtod(text, NULL);
        if ((float)decimal == kept)
            return decimal;
    }
    return exact;
}

uint64_t sample_mask(const struct sample *sample) {
    uint64_t mask = 0;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        if (numbers[id] && isfinite(sample->values[id]))
            mask |= UINT64_C(1) << numbers[id];
    return mask;
}

size_t sample_pack(const struct sample *sample, unsigned char *to) {
    struct byte_writer out = {to};
    uint64_t mask = sample_mask(sample);
    bytes_put(&out, FORMAT, 1);
    bytes_put(&out, (uint64_t)sample->hold_ms, 4);
    bytes_put(&out, mask, 8);
    for (int number = 1; number < 64; number++) {
        if (!(mask >> number & 1))
            continue;
        enum point_id id = quantity_id(number);
        if (id == POINT_STATE) {
            bytes_put(&out, (uint64_t)sample->values[id], 1);
        } else if (id == POINT_ENERGY_IMPORT || id == POINT_ENERGY_EXPORT) {
            bytes_put_double(&out, sample->values[id]);
            bytes_put(&out, (uint64_t)sample->age_ms[id == POINT_ENERGY_EXPORT], 4);
        } else {
            bytes_put_float(&out, sample->values[id]);
        }
    }
    return (size_t)(out.at - to);
}

bool sample_unpack(const void *from, size_t length, struct sample *sample) {
    const unsigned char *bytes = from;
    struct byte_reader in = {bytes, bytes + length, false};
    sample->reach = REACH_UNKNOWN;
    sample->age_ms[ENERGY_IMPORT] = sample->age_ms[ENERGY_EXPORT] = 0;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        sample->values[id] = NAN;
    if (bytes_get(&in, 1) != FORMAT)
        return false;
    sample->hold_ms = (int64_t)bytes_get(&in, 4);
    uint64_t mask = bytes_get(&in, 8);
    for (int number = 1; number < 64; number++) {
        if (!(mask >> number & 1))
            continue;
        enum point_id id = quantity_id(number);
        if (id == POINT_COUNT)
            return false;
        if (id == POINT_STATE) {
            sample->values[id] = (double)bytes_get(&in, 1);
        } else if (id == POINT_ENERGY_IMPORT || id == POINT_ENERGY_EXPORT) {
            sample->values[id] = bytes_get_double(&in);
            sample->age_ms[id == POINT_ENERGY_EXPORT] = (int64_t)bytes_get(&in, 4);
        } else {
            sample->values[id] = number_widen(bytes_get_float(&in));
        }
    }
    return !in.short_of && in.at == in.end;
}
