#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

#define NUMBERS 300000

static uint64_t state_of_random = 88172645463325252ULL; /* xorshift, the same in each run */

static uint64_t draw(uint64_t below) {
    state_of_random ^= state_of_random << 13;
    state_of_random ^= state_of_random >> 7;
    state_of_random ^= state_of_random << 17;
    return state_of_random % below;
}

static void expect(double value, const char *wanted) {
    char text[DECIMAL_SIZE];
    size_t length = decimal_double(value, text);
    assert_string_equal(text, wanted);
    assert_int_equal(length, strlen(wanted));
}

/* What the C library says with as few digits as read back, from 15 on. */
static void print(double value, char text[DECIMAL_SIZE]) {
    double magnitude = fabs(value);
    for (int digits = 15; digits <= 17; digits++) {
        if (magnitude >= 1e-9 && magnitude < 1e15) {
            int decimals = digits - 1 - (int)floor(log10(magnitude));
            snprintf(text, DECIMAL_SIZE, "%.*f", decimals > 0 ? decimals : 0, value);
            if (strchr(text, '.')) {
                char *end = text + strlen(text);
                while (end[-1] == '0')
                    *--end = '\0';
                if (end[-1] == '.')
                    end[-1] = '\0';
            }
        } else {
            snprintf(text, DECIMAL_SIZE, "%.*g", digits, value);
        }
        if (strtod(text, NULL) == value)
            return;
    }
}

static void assert_as_printed(double value) {
    char printed[DECIMAL_SIZE];
    if (value == floor(value) && fabs(value) < 1e15)
        snprintf(printed, sizeof printed, "%lld", (long long)value);
    else
        print(value, printed);
    expect(value, printed);
}

static void integers_are_written_whole(void **state) {
    (void)state;
    const int64_t numbers[] = {0, 1, -1, 9, 10, -10, 2147483647, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[DECIMAL_SIZE];
        char printed[DECIMAL_SIZE];
        snprintf(printed, sizeof printed, "%lld", (long long)numbers[i]);
        assert_int_equal(decimal_integer(numbers[i], text), strlen(printed));
        assert_string_equal(text, printed);
    }
}

static void doubles_are_as_short_as_read_back(void **state) {
    (void)state;
    expect(0, "0");
    expect(-0.0, "0");
    expect(230.4, "230.4");
    expect(-0.5, "-0.5");
    expect((double)50.4F, "50.400001525878906");
    expect(0.1 + 0.2, "0.30000000000000004");
    expect(1.0 / 3, "0.3333333333333333");
    expect(123456789012345.5, "123456789012345.5");
    expect(999999999999999.9, "999999999999999.9");
    expect(0.000001, "0.000001");
    expect(0.0000015, "0.0000015");
    expect(1.5e-9, "0.0000000015");
    expect(1e22, "1e+22");
    expect(DBL_MIN, "2.2250738585072014e-308");
}

static void measured_values_are_as_the_library_prints_them(void **state) {
    (void)state;
    for (int i = 0; i < NUMBERS; i++) {
        double sign = draw(2) ? 1 : -1;
        assert_as_printed(sign * (double)draw(100000000) / 100);
        assert_as_printed(sign * (double)draw(1000000007) / 1000);
        assert_as_printed(sign * (double)(float)((double)draw(20000000) / 1000));
    }
}

static void any_double_is_as_the_library_prints_it(void **state) {
    (void)state;
    for (int i = 0; i < NUMBERS; i++) {
        uint64_t bits = draw(UINT64_MAX);
        double any;
        memcpy(&any, &bits, sizeof any);
        if (isfinite(any))
            assert_as_printed(any);
        assert_as_printed(ldexp((double)draw((uint64_t)1 << 53), -(int)draw(80)));
    }
}

/* Where the distance to the next double changes, and where the number of digits does. */
static void powers_and_their_neighbours_are_as_the_library_prints_them(void **state) {
    (void)state;
    for (int exponent = -40; exponent <= 60; exponent++)
        for (int side = -1; side <= 1; side++) {
            double two = ldexp(1, exponent);
            const int tens = exponent / 4;
            double ten = pow(10, tens);
            assert_as_printed(side ? nextafter(two, side * DBL_MAX) : two);
            assert_as_printed(side ? nextafter(ten, side * DBL_MAX) : ten);
            assert_as_printed(side ? nextafter(3 * ten, side * DBL_MAX) : 3 * ten);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_written_whole),
        cmocka_unit_test(doubles_are_as_short_as_read_back),
        cmocka_unit_test(measured_values_are_as_the_library_prints_them),
        cmocka_unit_test(any_double_is_as_the_library_prints_it),
        cmocka_unit_test(powers_and_their_neighbours_are_as_the_library_prints_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
