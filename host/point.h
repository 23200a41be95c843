/* A point: one quantity of a device, and how it stands in registers. Decoding and encoding are pure
 * (no clock, no I/O); a marker for "not available" becomes NAN before any scaling. */
#ifndef DERD_POINT_H
#define DERD_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vocabulary.h"

enum register_kind {
    REGISTER_COIL,     /* FC 1, 5, 15 */
    REGISTER_DISCRETE, /* FC 2 */
    REGISTER_HOLDING,  /* FC 3, 6, 16 */
    REGISTER_INPUT,    /* FC 4 */
    REGISTER_VALUE     /* no register: hooks.read gives it, hooks.write takes it */
};

enum encoding {
    ENCODING_BIT, /* coil or discrete input */
    ENCODING_UINT16,
    ENCODING_INT16,
    ENCODING_UINT32,
    ENCODING_INT32,
    ENCODING_UINT64,
    ENCODING_INT64,
    ENCODING_FLOAT32,
    ENCODING_FLOAT64,
    ENCODING_STRING /* two characters a register, high byte first, ended by NUL or spaces */
};

#define POINT_NAME_SIZE   40
#define POINT_MAX_WORDS   64 /* of a string: 128 characters */
#define POINT_MAX_MODELS  6
#define POINT_MAX_MARKERS 4
#define POINT_MAX_VALUES  32
#define POINT_NONE        (-1)
#define POINT_NEVER       (-1) /* as a period: a register that is only written, or read back */

struct point_value_name { /* raw -> state */
    int64_t raw;
    enum device_state state;
};

/* What each poll looks at stands in front, in 64 bytes. */
struct point {
    int id;   /* enum point_id, or POINT_NONE for the driver's own */
    int part; /* index of the part it belongs to, or POINT_NONE: of all */
    enum encoding encoding;
    int shift;
    int scale_point; /* index of the point that holds the power of ten, or POINT_NONE */
    int value_count;
    int16_t marker_count;
    bool low_word_first;
    bool writable;
    uint16_t address;
    uint16_t words; /* registers, or 1 for a bit */
    double scale;   /* value = raw * scale * 10^scale_factor + offset, in the vocabulary's unit */
    double offset;  /* in it as well */
    uint64_t mask;  /* 0: none; applied to the raw integer, then shifted right */
    int64_t period_ms; /* 0: once per connection; POINT_NEVER: not polled */

    enum register_kind kind;
    int model_count; /* 0: `address` is the wire address (0-based, as in the PDU) */
    uint16_t models[POINT_MAX_MODELS]; /* SunSpec: `address` counts from the first of these found */
    char name[POINT_NAME_SIZE];        /* vocabulary name, or "_own" for the driver's own */
    uint64_t
        markers[POINT_MAX_MARKERS]; /* raw patterns (as unsigned of that width): not available */
    struct point_value_name values[POINT_MAX_VALUES]; /* for `state` */
    double write_minimum, write_maximum;              /* in the point's unit */
    uint8_t write_function;                           /* 5, 6, 15 or 16 */
    bool read_back;                                   /* may be read after a write to confirm it */
    int read_back_point; /* index of another point that shows what was written */
};

/* Whether it says something of that part of the machine: its own points and those of all. */
static inline bool point_is_of(const struct point *point, int part) {
    return point->part == POINT_NONE || point->part == part;
}

enum point_quality {
    POINT_OK,
    POINT_NOT_AVAILABLE, /* a marker, a float NaN, an unknown scale factor */
    POINT_IMPOSSIBLE /* outside the vocabulary's range or not in `values`: a wrong scale or map */
};

/* `words`: point->words registers as received (host order), or one 0/1 for a bit.
 * `scale_factor`: value of the scale_point, ignored without one. *value is NAN unless POINT_OK. */
enum point_quality point_decode(const struct point *point, const uint16_t *words,
                                double scale_factor, double *value);
/* Text of a string point into `text` (trimmed, control characters dropped), "" if not available;
 * integers of a text point (a numeric serial number) are written in decimal. */
enum point_quality point_decode_text(const struct point *point, const uint16_t *words, char *text,
                                     size_t size);

enum point_rounding {
    ROUND_NEAREST,
    ROUND_TOWARD_ZERO /* the magnitude that reaches the device is never above what was decided */
};

/* ERR_RANGE: `value` cannot be represented or is outside the writable range; ERR_FORMAT: the scale
 * factor is unknown. A float is rounded by the encoding alone. */
must_check enum err point_encode(const struct point *point, double value, double scale_factor,
                                 enum point_rounding rounding, uint16_t *words);

/* Whether `shown`, as read from another register, is what was written: the same value within the
 * coarser step of the two. False when either is not available. */
bool point_agrees(const struct point *written, const uint16_t *written_words,
                  double written_scale_factor, const struct point *shown,
                  const uint16_t *shown_words, double shown_scale_factor);

/* Registers an encoding takes (1 for a bit; strings say theirs). */
int encoding_words(enum encoding encoding);
const char *const *encoding_names(void);      /* "bit", "uint16" ... NULL */
const char *const *register_kind_names(void); /* "coil", "discrete", "holding", "input", NULL */
const char *const *point_kind_names(void);    /* the same and "value" */

/* What a script gives for a point: the raw number, decoded as if it stood in registers. One that
 * its encoding cannot hold is POINT_IMPOSSIBLE. */
enum point_quality point_decode_number(const struct point *point, double raw, double *value);
/* The raw number of registers that point_encode() has made. */
double point_raw(const struct point *point, const uint16_t *words);
/* point_agrees() of two values that are known already. */
bool point_values_agree(const struct point *written, double one, const struct point *shown,
                        double other);

#endif
