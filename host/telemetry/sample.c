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

/* The nearest number with so many decimals, up to 14. Both sides of the division are exact as long
 * as the product is below 2^53: then this is the very double that its text would be read as. */
static double with_decimals(double exact, int decimals) {
    static const double scales[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
    static const double whole_from = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds */
    double rounded = exact * scales[decimals] + whole_from - whole_from;
    return rounded / scales[decimals];
}

/* What is next to nothing, by its text. */
static double with_text(double exact, float kept) {
    for (int digits = 6; digits < 9; digits++) {
        char text[32];
        snprintf(text, sizeof text, "%.*g", digits, exact);
        double decimal = strtod(text, NULL);
        if ((float)decimal == kept)
            return decimal;
    }
    return exact;
}

/* The fewest digits, from six on, that make it; nine always do. */
static double with_digits(double exact, float kept) {
    static const double limits[] = {1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1,  1e1,
                                    1e2,  1e3,  1e4,  1e5,  1e6,  1e7};
    double found = exact;
    int whole = 0; /* digits before the point, below 0: zeros after it */
    while (whole < (int)(sizeof limits / sizeof *limits) && fabs(exact) >= limits[whole])
        whole++;
    whole -= 5;
    for (int digits = 8; digits >= 6 && digits >= whole; digits--) {
        double decimal = with_decimals(exact, digits - whole);
        if ((float)decimal != kept)
            break;
        found = decimal;
    }
    return found;
}

double number_widen(float kept) {
    double exact = (double)kept;
    double magnitude = fabs(exact);
    if (!isfinite(exact) || magnitude >= 16777216 || exact == 0) /* has no decimals */
        return exact;
    if (magnitude < 1e-6)
        return with_text(exact, kept);
    if ((float)with_decimals(exact, 3) != kept) /* most have up to three decimals */
        return with_digits(exact, kept);
    int decimals = 0;
    while ((float)with_decimals(exact, decimals) != kept)
        decimals++;
    return with_decimals(exact, decimals);
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
    for (; mask; mask &= mask - 1) { /* from the least number on */
        unsigned char id = ids[__builtin_ctzll(mask)];
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

uint64_t sample_packed_mask(const unsigned char *packed) {
    struct byte_reader in = {packed + 5, packed + 13, false};
    return bytes_get(&in, 8);
}

int64_t sample_packed_hold_ms(const unsigned char *packed) {
    struct byte_reader in = {packed + 1, packed + 5, false};
    return (int64_t)bytes_get(&in, 4);
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
