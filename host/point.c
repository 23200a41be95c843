/* Registers to values and back.
 *
 * Every integer passes through one unsigned 64-bit pattern: registers are put in order, joined, and
 * compared with the markers before anything else happens to them. Masks, states and texts stay in
 * integer arithmetic; only numbers become doubles, where a 64-bit counter beyond 2^53 loses its
 * last digits. */
#include "point.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Range of a scale factor: SunSpec Information Model Specification, type sunssf. */
#define SCALE_FACTOR_MAXIMUM 10

#define FLOAT_STEP 1e-6 /* of a value: coarser than the 24 bits of a float32 */

static const char *const encodings[] = {
    [ENCODING_BIT] = "bit",
    [ENCODING_UINT16] = "uint16",
    [ENCODING_INT16] = "int16",
    [ENCODING_UINT32] = "uint32",
    [ENCODING_INT32] = "int32",
    [ENCODING_UINT64] = "uint64",
    [ENCODING_INT64] = "int64",
    [ENCODING_FLOAT32] = "float32",
    [ENCODING_FLOAT64] = "float64",
    [ENCODING_STRING] = "string",
    NULL,
};

static const char *const register_kinds[] = {
    [REGISTER_COIL] = "coil",
    [REGISTER_DISCRETE] = "discrete",
    [REGISTER_HOLDING] = "holding",
    [REGISTER_INPUT] = "input",
    NULL,
};

static const char *const point_kinds[] = {
    [REGISTER_COIL] = "coil",   [REGISTER_DISCRETE] = "discrete", [REGISTER_HOLDING] = "holding",
    [REGISTER_INPUT] = "input", [REGISTER_VALUE] = "value",       NULL,
};

const char *const *encoding_names(void) {
    return encodings;
}

const char *const *register_kind_names(void) {
    return register_kinds;
}

const char *const *point_kind_names(void) {
    return point_kinds;
}

static const unsigned char encoding_widths[] = {
    [ENCODING_BIT] = 1,     [ENCODING_UINT16] = 1, [ENCODING_INT16] = 1, [ENCODING_UINT32] = 2,
    [ENCODING_INT32] = 2,   [ENCODING_UINT64] = 4, [ENCODING_INT64] = 4, [ENCODING_FLOAT32] = 2,
    [ENCODING_FLOAT64] = 4, [ENCODING_STRING] = 0,
};

int encoding_words(enum encoding encoding) {
    return encoding_widths[encoding];
}

static bool is_float(enum encoding encoding) {
    return encoding == ENCODING_FLOAT32 || encoding == ENCODING_FLOAT64;
}

static bool is_signed(enum encoding encoding) {
    return encoding == ENCODING_INT16 || encoding == ENCODING_INT32 || encoding == ENCODING_INT64;
}

/* All bits that an encoding has. */
static uint64_t pattern_of_ones(enum encoding encoding) {
    int words = encoding_widths[encoding];
    if (encoding == ENCODING_BIT)
        return 1;
    return words == 4 ? UINT64_MAX : (UINT64_C(1) << 16 * words) - 1;
}

static uint64_t join_words(const struct point *point, const uint16_t *words) {
    int count = encoding_widths[point->encoding];
    uint64_t pattern = 0;
    if (count == 2) /* most are */
        return (uint64_t)words[point->low_word_first] << 16 | words[!point->low_word_first];
    for (int i = 0; i < count; i++)
        pattern = pattern << 16 | words[point->low_word_first ? count - 1 - i : i];
    return point->encoding == ENCODING_BIT ? pattern != 0 : pattern;
}

static void split_words(const struct point *point, uint64_t pattern, uint16_t *words) {
    int count = encoding_words(point->encoding);
    for (int i = 0; i < count; i++)
        words[point->low_word_first ? i : count - 1 - i] = (uint16_t)(pattern >> 16 * i);
}

static bool is_marker(const struct point *point, uint64_t pattern) {
    uint64_t ones = point->marker_count ? pattern_of_ones(point->encoding) : 0;
    for (int i = 0; i < point->marker_count; i++)
        if ((point->markers[i] & ones) == pattern)
            return true;
    return false;
}

/* The integer behind a pattern: a bit field (with a mask) is unsigned, otherwise the encoding says.
 * An unsigned one above INT64_MAX sets *huge and stands in the same 64 bits. */
static int64_t integer_of(const struct point *point, uint64_t pattern, bool *huge) {
    *huge = false;
    if (point->mask) {
        pattern = (pattern & point->mask) >> point->shift;
    } else if (is_signed(point->encoding)) {
        uint64_t ones = pattern_of_ones(point->encoding);
        bool negative = pattern & (ones ^ ones >> 1);
        if (negative) /* the bits shifted in are ones, in arithmetic that C defines */
            return (int64_t) ~(~(pattern | ~ones) >> point->shift);
        pattern >>= point->shift;
    } else {
        pattern >>= point->shift;
    }
    *huge = pattern > INT64_MAX;
    return (int64_t)pattern;
}

static double float_of(enum encoding encoding, uint64_t pattern) {
    if (encoding == ENCODING_FLOAT32) {
        uint32_t bits = (uint32_t)pattern;
        float value = 0;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    double value = 0;
    memcpy(&value, &pattern, sizeof value);
    return value;
}

static double power_of_ten(int exponent) { /* 0..10: exact in a double */
    double power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

static bool scale_factor_known(const struct point *point, double scale_factor) {
    return point->scale_point == POINT_NONE ||
           (fabs(scale_factor) <= SCALE_FACTOR_MAXIMUM && scale_factor == trunc(scale_factor));
}

/* Dividing by an exact power keeps 2305 * 10^-1 at 230.5, which a factor of 0.1 does not. */
static double scaled(const struct point *point, double raw, double scale_factor) {
    int exponent = point->scale_point == POINT_NONE ? 0 : (int)scale_factor;
    double value = raw * point->scale;
    value = exponent < 0 ? value / power_of_ten(-exponent) : value * power_of_ten(exponent);
    return value + point->offset;
}

static double unscaled(const struct point *point, double value, double scale_factor) {
    int exponent = point->scale_point == POINT_NONE ? 0 : (int)scale_factor;
    value -= point->offset;
    value = exponent < 0 ? value * power_of_ten(-exponent) : value / power_of_ten(exponent);
    return value / point->scale;
}

static enum point_quality decode_state(const struct point *point, uint64_t pattern, double *value) {
    bool huge = false;
    int64_t raw = 0;
    if (is_float(point->encoding)) {
        double number = float_of(point->encoding, pattern);
        if (isnan(number))
            return POINT_NOT_AVAILABLE;
        if (fabs(number) > INT32_MAX || number != trunc(number))
            return POINT_IMPOSSIBLE;
        raw = (int64_t)number;
    } else {
        raw = integer_of(point, pattern, &huge);
    }
    for (int i = 0; i < point->value_count && !huge; i++)
        if (point->values[i].raw == raw) {
            *value = (double)point->values[i].state;
            return POINT_OK;
        }
    return POINT_IMPOSSIBLE;
}

enum point_quality point_decode(const struct point *point, const uint16_t *words,
                                double scale_factor, double *value) {
    *value = NAN;
    if (point->encoding == ENCODING_STRING)
        return POINT_NOT_AVAILABLE; /* a text has no number */
    uint64_t pattern = join_words(point, words);
    if (is_marker(point, pattern))
        return POINT_NOT_AVAILABLE;
    if (point->id == POINT_STATE || point->value_count > 0)
        return decode_state(point, pattern, value);

    double raw = 0;
    if (is_float(point->encoding)) {
        raw = float_of(point->encoding, pattern);
    } else {
        bool huge = false;
        int64_t integer = integer_of(point, pattern, &huge);
        raw = huge ? (double)(uint64_t)integer : (double)integer;
    }
    if (isnan(raw) || !scale_factor_known(point, scale_factor))
        return POINT_NOT_AVAILABLE;
    double number = scaled(point, raw, scale_factor);
    if (!isfinite(number))
        return POINT_IMPOSSIBLE;
    if (point->id >= 0 && point->id < POINT_NUMBER_COUNT) {
        const struct point_word *word = point_word((enum point_id)point->id);
        if (number < word->minimum || number > word->maximum)
            return POINT_IMPOSSIBLE;
    }
    *value = number;
    return POINT_OK;
}

/* Only printable ASCII is kept: devices fill unused characters with NUL, 0xFF or noise, and what is
 * published must be valid text everywhere. */
static void string_of(const struct point *point, const uint16_t *words, char *text, size_t size) {
    size_t length = 0;
    for (size_t i = 0; i < 2 * (size_t)point->words && length + 1 < size; i++) {
        int c = i % 2 ? words[i / 2] & 0xFF : words[i / 2] >> 8;
        if (c == '\0')
            break;
        if (c > 0x7E || c < 0x20 || (c == ' ' && length == 0))
            continue;
        text[length++] = (char)c;
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
}

enum point_quality point_decode_text(const struct point *point, const uint16_t *words, char *text,
                                     size_t size) {
    if (size == 0)
        return POINT_NOT_AVAILABLE;
    text[0] = '\0';
    if (point->encoding == ENCODING_STRING) {
        string_of(point, words, text, size);
        return text[0] ? POINT_OK : POINT_NOT_AVAILABLE;
    }
    uint64_t pattern = join_words(point, words);
    if (is_marker(point, pattern))
        return POINT_NOT_AVAILABLE;
    if (is_float(point->encoding)) {
        double number = float_of(point->encoding, pattern);
        if (!isfinite(number))
            return POINT_NOT_AVAILABLE;
        snprintf(text, size, "%.10g", number);
        return POINT_OK;
    }
    bool huge = false;
    int64_t integer = integer_of(point, pattern, &huge);
    if (huge)
        snprintf(text, size, "%" PRIu64, (uint64_t)integer);
    else
        snprintf(text, size, "%" PRId64, integer);
    return POINT_OK;
}

/* A quotient like 0.3 / 0.1 = 2.9999999999999996 means 3: what is nearer to a whole number than the
 * arithmetic is exact is taken as that. Rounding toward zero is of the value, not of the raw
 * number, which may run the other way or start elsewhere (negative scale, offset). */
static double rounded(double raw, double value, bool falling, enum point_rounding rounding) {
    double nearest = round(raw);
    double noise = fmax(1e-9, fabs(raw) * 1e-12);
    if (rounding == ROUND_NEAREST || value == 0 || fabs(raw - nearest) <= noise)
        return nearest;
    return (value > 0) == falling ? ceil(raw) : floor(raw);
}

/* The pattern of a whole number, false when the encoding has no room for it. */
static bool pattern_of(const struct point *point, double raw, uint64_t *pattern) {
    uint64_t ones = pattern_of_ones(point->encoding);
    if (point->mask) { /* the largest number that the field holds */
        double largest = (double)(point->mask >> point->shift);
        if (raw < 0 || raw > largest || raw >= 0x1p63)
            return false;
        *pattern = (uint64_t)raw << point->shift;
        return (*pattern & point->mask & ones) == *pattern;
    }
    if (point->shift)
        return false; /* a shift without a mask cannot be undone: the low bits are unknown */
    if (is_signed(point->encoding)) {
        double limit = ldexp(1, 16 * encoding_words(point->encoding) - 1);
        if (raw < -limit || raw >= limit)
            return false;
        *pattern = (uint64_t)(int64_t)raw & ones;
        return true;
    }
    double limit =
        point->encoding == ENCODING_BIT ? 2 : ldexp(1, 16 * encoding_words(point->encoding));
    if (raw < 0 || raw >= limit)
        return false;
    *pattern = (uint64_t)raw;
    return true;
}

static bool float_pattern_of(enum encoding encoding, double raw, uint64_t *pattern) {
    if (encoding == ENCODING_FLOAT64) {
        memcpy(pattern, &raw, sizeof raw);
        return isfinite(raw);
    }
    float value = (float)raw;
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    *pattern = bits;
    return isfinite(value);
}

static bool within_write_range(const struct point *point, double value) {
    double slack = 1e-9 * fmax(1, fabs(value));
    return value >= point->write_minimum - slack && value <= point->write_maximum + slack;
}

enum err point_encode(const struct point *point, double value, double scale_factor,
                      enum point_rounding rounding, uint16_t *words) {
    if (!point->writable || point->encoding == ENCODING_STRING || point->scale == 0)
        return ERR_RANGE;
    if (!scale_factor_known(point, scale_factor))
        return ERR_FORMAT;
    if (!isfinite(value) || !within_write_range(point, value))
        return ERR_RANGE;
    double raw = unscaled(point, value, scale_factor);
    uint64_t pattern = 0;
    if (is_float(point->encoding)) {
        if (!float_pattern_of(point->encoding, raw, &pattern))
            return ERR_RANGE;
    } else {
        raw = rounded(raw, value, point->scale < 0, rounding);
        /* Rounding may leave what the device may be told: a minimum between two steps. */
        if (!within_write_range(point, scaled(point, raw, scale_factor)))
            return ERR_RANGE;
        if (!pattern_of(point, raw, &pattern))
            return ERR_RANGE;
    }
    if (is_marker(point, pattern))
        return ERR_RANGE; /* the device would read "no value" */
    split_words(point, pattern, words);
    return ERR_OK;
}

/* What one step of the raw number is worth; of a float, what its arithmetic leaves unsure. */
static double step_of(const struct point *point, double value, double scale_factor) {
    if (is_float(point->encoding))
        return fabs(value) * FLOAT_STEP;
    return fabs(scaled(point, 1, scale_factor) - scaled(point, 0, scale_factor));
}

bool point_agrees(const struct point *written, const uint16_t *written_words,
                  double written_scale_factor, const struct point *shown,
                  const uint16_t *shown_words, double shown_scale_factor) {
    double one = NAN;
    double other = NAN;
    if (point_decode(written, written_words, written_scale_factor, &one) != POINT_OK ||
        point_decode(shown, shown_words, shown_scale_factor, &other) != POINT_OK)
        return false;
    double step = fmax(step_of(written, one, written_scale_factor),
                       step_of(shown, other, shown_scale_factor));
    return fabs(one - other) <= step * (1 + 1e-6);
}

bool point_values_agree(const struct point *written, double one, const struct point *shown,
                        double other) {
    double step = fmax(step_of(written, one, 0), step_of(shown, other, 0));
    return fabs(one - other) <= step * (1 + 1e-6);
}

enum point_quality point_decode_number(const struct point *point, double raw, double *value) {
    uint16_t words[4] = {0};
    uint64_t pattern = 0;
    *value = NAN;
    if (point->encoding == ENCODING_STRING || !isfinite(raw))
        return POINT_IMPOSSIBLE;
    if (is_float(point->encoding)) {
        if (!float_pattern_of(point->encoding, raw, &pattern))
            return POINT_IMPOSSIBLE;
    } else if (raw != trunc(raw) || !pattern_of(point, raw, &pattern)) {
        return POINT_IMPOSSIBLE;
    }
    split_words(point, pattern, words);
    return point_decode(point, words, 0, value);
}

double point_raw(const struct point *point, const uint16_t *words) {
    uint64_t pattern = join_words(point, words);
    bool huge = false;
    if (is_float(point->encoding))
        return float_of(point->encoding, pattern);
    int64_t integer = integer_of(point, pattern, &huge);
    return huge ? (double)(uint64_t)integer : (double)integer;
}
