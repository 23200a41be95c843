/* A double in the everyday range is m x 2^-e, m of 53 bits. Times 10^d, d the decimals that its
 * digits take, that is m x 10^d / 2^e: the product fits 128 bits, so rounding it to a whole number
 * and asking how far off that is are exact. The number reads back as the same double when it is off
 * by less than half the distance to the next one, which is 10^d / 2 here. Everything else, and
 * machines without such integers, take printf's way: some 50 times slower, the same text.
 *
 * Most measured values have three decimals or fewer, and are found before all that: a quotient of
 * two integers that are doubles is rounded as the text of 15 digits would be read. */
#include "base/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_LEAST    15
#define DIGITS_MOST     17
#define MANTISSA_BITS   52
#define EXPONENT_BIAS   1075 /* of a double whose mantissa is read as an integer */
#define FIXED_LEAST     1e-9 /* no exponent from here ... */
#define FIXED_BELOW     1e15 /* ... to here */
#define EXACT_LEAST     1e-6 /* below, 10^d does not fit any more */
#define INTEGER_DECIMAL 20   /* digits of the largest */
#define EIGHT_DIGITS    UINT64_C(100000000)
#define FEW             3   /* decimals of most values */
#define FEW_SCALE       1e3 /* 10 to that power */
#define FEW_BELOW       1e12

/* --- by hand ---------------------------------------------------------------------------------- */

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

static inline void put_pair(char *to, uint32_t value) {
    memcpy(to, pairs + (size_t)2 * value, 2);
}

/* Eight digits, with leading zeros: no step waits for the one before it, as it would in a loop. */
static inline void put_eight(char *to, uint32_t value) {
    uint32_t high = value / 10000;
    uint32_t low = value % 10000;
    put_pair(to, high / 100);
    put_pair(to + 2, high % 100);
    put_pair(to + 4, low / 100);
    put_pair(to + 6, low % 100);
}

/* The digits of `value`, ending before `end`; gives their begin. At least one. */
static char *digits_before(uint64_t value, char *end) {
    while (value >= EIGHT_DIGITS) {
        end -= 8;
        put_eight(end, (uint32_t)(value % EIGHT_DIGITS));
        value /= EIGHT_DIGITS;
    }
    while (value >= 100) {
        end -= 2;
        put_pair(end, (uint32_t)(value % 100));
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        put_pair(end, (uint32_t)value);
    } else {
        *--end = (char)('0' + value);
    }
    return end;
}

size_t decimal_integer(int64_t value, char text[DECIMAL_SIZE]) {
    char digits[INTEGER_DECIMAL];
    char *end = digits + sizeof digits;
    size_t sign = value < 0;
    char *begin = digits_before(sign ? 0 - (uint64_t)value : (uint64_t)value, end);
    size_t length = (size_t)(end - begin);
    text[0] = '-';
    memcpy(text + sign, begin, length);
    text[sign + length] = '\0';
    return sign + length;
}

/* `whole` / 10^decimals, without trailing zeros. */
static size_t write_fixed(uint64_t whole, int decimals, char *text) {
    char digits[INTEGER_DECIMAL];
    char *end = digits + sizeof digits;
    const char *begin = digits_before(whole, end);
    char *to = text;
    while (decimals > 0 && end[-1] == '0' && end > begin + 1) {
        end--;
        decimals--;
    }
    int integer = (int)(end - begin) - decimals; /* digits before the point */
    if (integer <= 0) {
        *to++ = '0';
    } else {
        memcpy(to, begin, (size_t)integer);
        to += integer;
        begin += integer;
    }
    if (decimals > 0) {
        *to++ = '.';
        for (; integer < 0; integer++)
            *to++ = '0';
        memcpy(to, begin, (size_t)(end - begin));
        to += end - begin;
    }
    *to = '\0';
    return (size_t)(to - text);
}

/* False: it has more decimals than a few. */
static bool write_few(double magnitude, char *text, size_t *length) {
    int64_t whole = (int64_t)(magnitude * FEW_SCALE + 0.5);
    if ((double)whole / FEW_SCALE != magnitude)
        return false;
    *length = write_fixed((uint64_t)whole, FEW, text);
    return true;
}

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;

static const uint64_t powers[] = {UINT64_C(1),
                                  UINT64_C(10),
                                  UINT64_C(100),
                                  UINT64_C(1000),
                                  UINT64_C(10000),
                                  UINT64_C(100000),
                                  UINT64_C(1000000),
                                  UINT64_C(10000000),
                                  UINT64_C(100000000),
                                  UINT64_C(1000000000),
                                  UINT64_C(10000000000),
                                  UINT64_C(100000000000),
                                  UINT64_C(1000000000000),
                                  UINT64_C(10000000000000),
                                  UINT64_C(100000000000000),
                                  UINT64_C(1000000000000000),
                                  UINT64_C(10000000000000000),
                                  UINT64_C(100000000000000000),
                                  UINT64_C(1000000000000000000)};

static wide power_of_ten(int exponent) { /* 0 to 22 */
    const int last = (int)(sizeof powers / sizeof powers[0]) - 1;
    return exponent <= last ? powers[exponent] : (wide)powers[last] * powers[exponent - last];
}

/* Of the first digit: 0 for 1 to below 10, -1 for 0.1. */
static int decimal_exponent(double magnitude) {
    static const double bounds[] = {1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, EXACT_LEAST};
    int exponent = 0;
    if (magnitude < 1) {
        while (magnitude < bounds[-exponent])
            exponent--;
        return exponent;
    }
    for (uint64_t whole = (uint64_t)magnitude; whole >= powers[exponent + 1];) /* below 10^15 */
        exponent++;
    return exponent;
}

struct scaled { /* m x 2^-e times 10^d, for 17 digits: (whole + rest / 2^e), exactly */
    uint64_t whole;
    uint64_t near;  /* 10^d / 2^e / 2, rounded up: what is further off does not read back */
    wide rest, ten; /* 10^d */
    int e;
    bool even, least; /* m; it is the least of its power of two */
};

/* Rounds `step` more digits away (100, 10, 1). False: what is left does not read back. Below a
 * power of two the next double is only half as far away. */
static inline bool round_by(const struct scaled *scaled, uint64_t step, uint64_t *rounded) {
    uint64_t left = scaled->whole / step;
    uint64_t over = scaled->whole % step;
    if (over > scaled->near && step - over > scaled->near + 1)
        return false;
    wide part = ((wide)over << scaled->e) + scaled->rest;
    wide unit = (wide)step << scaled->e;
    wide half = unit >> 1;
    bool up = part > half || (part == half && (left & 1));
    wide off = 2 * (up ? unit - part : part);
    wide most = scaled->least && !up ? scaled->ten >> 1 : scaled->ten;
    *rounded = left + up;
    return off < most || (off == most && scaled->even);
}

static size_t write_exact(double magnitude, char *text) {
    uint64_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    const uint64_t hidden = (uint64_t)1 << MANTISSA_BITS;
    uint64_t m = (bits & (hidden - 1)) | hidden;
    int decimals = DIGITS_MOST - 1 - decimal_exponent(magnitude);
    struct scaled scaled = {.ten = power_of_ten(decimals),
                            .e = EXPONENT_BIAS - (int)(bits >> MANTISSA_BITS),
                            .even = (m & 1) == 0,
                            .least = m == hidden};
    scaled.near = (uint64_t)(scaled.ten >> (scaled.e + 1)) + 1;
    wide product = m * scaled.ten;
    scaled.whole = (uint64_t)(product >> scaled.e);
    scaled.rest = product & (((wide)1 << scaled.e) - 1);
    uint64_t whole;
    if (round_by(&scaled, 100, &whole))
        return write_fixed(whole, decimals - 2, text);
    if (round_by(&scaled, 10, &whole))
        return write_fixed(whole, decimals - 1, text);
    (void)round_by(&scaled, 1, &whole);
    return write_fixed(whole, decimals, text);
}
#endif

/* --- with printf ------------------------------------------------------------------------------ */

/* `value` with `digits` significant digits, without exponent, without trailing zeros. */
static void print_fixed(double value, int digits, char text[DECIMAL_SIZE]) {
    int decimals = digits - 1 - (int)floor(log10(fabs(value)));
    snprintf(text, DECIMAL_SIZE, "%.*f", decimals > 0 ? decimals : 0, value);
    char *point = strchr(text, '.');
    if (!point)
        return;
    char *end = text + strlen(text);
    while (end[-1] == '0')
        *--end = '\0';
    if (end[-1] == '.')
        end[-1] = '\0';
}

static size_t print_double(double value, char text[DECIMAL_SIZE]) {
    double magnitude = fabs(value);
    bool fixed = magnitude >= FIXED_LEAST && magnitude < FIXED_BELOW;
    for (int digits = DIGITS_LEAST; digits <= DIGITS_MOST; digits++) {
        if (fixed)
            print_fixed(value, digits, text);
        else
            snprintf(text, DECIMAL_SIZE, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return strlen(text);
}

size_t decimal_double(double value, char text[DECIMAL_SIZE]) {
    double magnitude = fabs(value);
    if (magnitude < FIXED_BELOW && (double)(int64_t)value == value)
        return decimal_integer((int64_t)value, text);
    if (magnitude >= EXACT_LEAST && magnitude < FEW_BELOW) {
        size_t sign = value < 0;
        size_t length;
        text[0] = '-';
        if (write_few(magnitude, text + sign, &length))
            return sign + length;
    }
#ifdef __SIZEOF_INT128__
    if (magnitude >= EXACT_LEAST && magnitude < FIXED_BELOW) {
        size_t sign = value < 0;
        text[0] = '-';
        return sign + write_exact(magnitude, text + sign);
    }
#endif
    return print_double(value, text);
}
