#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ranges.h"

/* A car on one or three phases. */
static struct ranges car(void) {
    struct ranges ranges = ranges_of(0, 0);
    assert_true(ranges_add(&ranges, 4140, 11040));
    assert_true(ranges_add(&ranges, 1380, 3680));
    return ranges;
}

static void assert_ranges(const struct ranges *ranges, const struct range *expected, size_t count) {
    assert_int_equal(ranges->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ranges->items[i].lo, expected[i].lo);
        assert_int_equal(ranges->items[i].hi, expected[i].hi);
    }
}

#define assert_is(ranges, ...)                                                                     \
    do {                                                                                           \
        const struct range expected_[] = {__VA_ARGS__};                                            \
        assert_ranges(&(ranges), expected_, sizeof expected_ / sizeof expected_[0]);               \
    } while (0)

static void one_interval_holds_both_its_ends(void **state) {
    (void)state;
    struct ranges ranges = ranges_of(-5000, 4000);
    assert_is(ranges, {-5000, 4000});
    assert_true(ranges_contain(&ranges, -5000));
    assert_true(ranges_contain(&ranges, 4000));
    assert_false(ranges_contain(&ranges, -5001));
    assert_false(ranges_contain(&ranges, 4001));
}

static void an_interval_the_wrong_way_round_is_the_empty_set(void **state) {
    (void)state;
    struct ranges ranges = ranges_of(1, 0);
    assert_int_equal(ranges.count, 0);
    assert_true(ranges_add(&ranges, 5, 4));
    assert_int_equal(ranges.count, 0);
    int32_t lo = 7;
    int32_t hi = 8;
    assert_false(ranges_hull(&ranges, &lo, &hi));
    assert_false(ranges_contain(&ranges, 0));
}

static void adding_keeps_the_order(void **state) {
    (void)state;
    struct ranges ranges = car();
    assert_is(ranges, {0, 0}, {1380, 3680}, {4140, 11040});
}

static void touching_whole_watts_are_joined(void **state) {
    (void)state;
    struct ranges ranges = ranges_of(0, 5);
    assert_true(ranges_add(&ranges, 6, 9));
    assert_is(ranges, {0, 9});
    assert_true(ranges_add(&ranges, 11, 12));
    assert_is(ranges, {0, 9}, {11, 12});
    assert_true(ranges_add(&ranges, 10, 10));
    assert_is(ranges, {0, 12});
}

static void one_that_spans_several_swallows_them(void **state) {
    (void)state;
    struct ranges ranges = car();
    assert_true(ranges_add(&ranges, -10, 4000));
    assert_is(ranges, {-10, 4000}, {4140, 11040});
}

static void a_full_set_refuses_a_gap_and_is_unchanged(void **state) {
    (void)state;
    struct ranges ranges = {0};
    for (int32_t i = 0; i < RANGES_MAXIMUM; i++)
        assert_true(ranges_add(&ranges, i * 10, i * 10 + 1));
    struct ranges before = ranges;
    assert_false(ranges_add(&ranges, 5, 6));
    assert_memory_equal(&ranges, &before, sizeof ranges);
    assert_true(ranges_add(&ranges, 2, 9)); /* joins two: needs no room */
    assert_int_equal(ranges.count, RANGES_MAXIMUM - 1);
    assert_int_equal(ranges.items[0].hi, 11);
}

static void the_whole_number_line_does_not_overflow(void **state) {
    (void)state;
    struct ranges ranges = ranges_of(INT32_MIN, INT32_MAX);
    assert_true(ranges_add(&ranges, INT32_MAX, INT32_MAX));
    assert_is(ranges, {INT32_MIN, INT32_MAX});
    assert_int_equal(ranges_least(&ranges), 0);
    struct ranges edge = ranges_of(INT32_MIN, INT32_MIN);
    assert_true(ranges_add(&edge, INT32_MAX, INT32_MAX));
    assert_int_equal(ranges_least(&edge), INT32_MAX);
    assert_int_equal(ranges_settle(&edge, 5), INT32_MAX);
}

static void clipping_cuts_and_drops(void **state) {
    (void)state;
    struct ranges ranges = car();
    struct ranges clipped = ranges_clip(&ranges, 100, 4140);
    assert_is(clipped, {1380, 3680}, {4140, 4140});
    clipped = ranges_clip(&ranges, 3681, 4139);
    assert_int_equal(clipped.count, 0);
    clipped = ranges_clip(&ranges, 10, 5);
    assert_int_equal(clipped.count, 0);
}

static void the_hull_is_the_least_and_the_greatest(void **state) {
    (void)state;
    struct ranges ranges = car();
    int32_t lo = 1;
    int32_t hi = 1;
    assert_true(ranges_hull(&ranges, &lo, &hi));
    assert_int_equal(lo, 0);
    assert_int_equal(hi, 11040);
}

static void the_least_of_two_equals_is_the_positive_one(void **state) {
    (void)state;
    struct ranges ranges = ranges_of(-900, -500);
    assert_int_equal(ranges_least(&ranges), -500);
    assert_true(ranges_add(&ranges, 500, 800));
    assert_int_equal(ranges_least(&ranges), 500);
}

static void settling_stays_with_the_sign_and_below_the_magnitude(void **state) {
    (void)state;
    struct ranges ranges = car();
    assert_int_equal(ranges_settle(&ranges, 4000), 3680);
    assert_int_equal(ranges_settle(&ranges, 12000), 11040);
    assert_int_equal(ranges_settle(&ranges, 1380), 1380);
    struct ranges producing = ranges_of(-8000, -300);
    assert_true(ranges_add(&producing, 0, 0));
    assert_int_equal(ranges_settle(&producing, -9000), -8000);
    assert_int_equal(ranges_settle(&producing, -500), -500);
}

static void settling_below_the_least_step_gives_zero(void **state) {
    (void)state;
    struct ranges ranges = car();
    assert_int_equal(ranges_settle(&ranges, 1379), 0);
    assert_int_equal(ranges_settle(&ranges, -5), 0);
}

static void settling_without_zero_gives_the_nearest(void **state) {
    (void)state;
    struct ranges must_run = ranges_of(500, 3000);
    assert_int_equal(ranges_settle(&must_run, 300), 500);
    assert_int_equal(ranges_settle(&must_run, 0), 500);
    assert_int_equal(ranges_settle(&must_run, -4000), 500);
}

static void of_two_equally_near_the_smaller_wins(void **state) {
    (void)state;
    struct ranges ranges = ranges_of(-10, -10);
    assert_true(ranges_add(&ranges, 30, 40));
    assert_int_equal(ranges_settle(&ranges, 10), -10);
    struct ranges even = ranges_of(-20, -10);
    assert_true(ranges_add(&even, 10, 20));
    assert_int_equal(ranges_settle(&even, 0), 10);
}

/* --- against sets of bits: every set of three intervals over 0..SPAN -------------------------- */

#define SPAN   7
#define OFFSET 3 /* bit i stands for the value i - OFFSET */

static unsigned bits_between(int32_t lo, int32_t hi) {
    unsigned bits = 0;
    for (int32_t value = lo; value <= hi; value++)
        if (value >= -OFFSET && value < SPAN - OFFSET)
            bits |= 1U << (unsigned)(value + OFFSET);
    return bits;
}

static unsigned bits_of(const struct ranges *ranges) {
    unsigned bits = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        assert_true(ranges->items[i].lo <= ranges->items[i].hi);
        if (i > 0)
            assert_true(ranges->items[i - 1].hi + 1 < ranges->items[i].lo);
        bits |= bits_between(ranges->items[i].lo, ranges->items[i].hi);
    }
    return bits;
}

static bool has(unsigned bits, int32_t value) {
    return (bits & bits_between(value, value)) != 0;
}

static int32_t settled(unsigned bits, int32_t value) {
    for (int32_t v = value; v != 0; v += value > 0 ? -1 : 1)
        if (has(bits, v))
            return v;
    if (has(bits, 0))
        return 0;
    for (int32_t distance = 0;; distance++) {
        int32_t inner = value > 0 ? value - distance : value + distance;
        int32_t outer = value > 0 ? value + distance : value - distance;
        int32_t first = inner * inner < outer * outer ? inner : outer;
        int32_t second = first == inner ? outer : inner;
        if (inner == -outer) {
            first = inner > outer ? inner : outer;
            second = -first;
        }
        if (has(bits, first))
            return first;
        if (has(bits, second))
            return second;
    }
}

static void check_set(const struct ranges *ranges, unsigned bits) {
    assert_int_equal(bits_of(ranges), bits);
    if (bits == 0)
        return;
    assert_int_equal(ranges_least(ranges), settled(bits, 0));
    for (int32_t value = -OFFSET - 2; value < SPAN - OFFSET + 2; value++) {
        assert_int_equal(ranges_contain(ranges, value), has(bits, value));
        assert_int_equal(ranges_settle(ranges, value), settled(bits, value));
        for (int32_t hi = value - 1; hi < SPAN - OFFSET + 2; hi++) {
            struct ranges clipped = ranges_clip(ranges, value, hi);
            assert_int_equal(bits_of(&clipped), bits & bits_between(value, hi));
        }
    }
}

static void every_small_set_agrees_with_a_set_of_bits(void **state) {
    (void)state;
    for (unsigned wanted = 0; wanted < 1U << SPAN; wanted++) {
        struct ranges up = {0};
        struct ranges down = {0};
        for (int32_t i = 0; i < SPAN; i++) {
            if (has(wanted, i - OFFSET))
                assert_true(ranges_add(&up, i - OFFSET, i - OFFSET));
            if (has(wanted, SPAN - 1 - i - OFFSET))
                assert_true(ranges_add(&down, SPAN - 1 - i - OFFSET, SPAN - 1 - i - OFFSET));
        }
        check_set(&up, wanted);
        check_set(&down, wanted);
    }
}

static void adding_any_interval_to_any_small_set_is_their_union(void **state) {
    (void)state;
    for (unsigned start = 0; start < 1U << SPAN; start++)
        for (int32_t lo = -OFFSET; lo < SPAN - OFFSET; lo++)
            for (int32_t hi = lo; hi < SPAN - OFFSET; hi++) {
                struct ranges ranges = {0};
                for (int32_t i = -OFFSET; i < SPAN - OFFSET; i++)
                    if (has(start, i))
                        assert_true(ranges_add(&ranges, i, i));
                assert_true(ranges_add(&ranges, lo, hi));
                assert_int_equal(bits_of(&ranges), start | bits_between(lo, hi));
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_interval_holds_both_its_ends),
        cmocka_unit_test(an_interval_the_wrong_way_round_is_the_empty_set),
        cmocka_unit_test(adding_keeps_the_order),
        cmocka_unit_test(touching_whole_watts_are_joined),
        cmocka_unit_test(one_that_spans_several_swallows_them),
        cmocka_unit_test(a_full_set_refuses_a_gap_and_is_unchanged),
        cmocka_unit_test(the_whole_number_line_does_not_overflow),
        cmocka_unit_test(clipping_cuts_and_drops),
        cmocka_unit_test(the_hull_is_the_least_and_the_greatest),
        cmocka_unit_test(the_least_of_two_equals_is_the_positive_one),
        cmocka_unit_test(settling_stays_with_the_sign_and_below_the_magnitude),
        cmocka_unit_test(settling_below_the_least_step_gives_zero),
        cmocka_unit_test(settling_without_zero_gives_the_nearest),
        cmocka_unit_test(of_two_equally_near_the_smaller_wins),
        cmocka_unit_test(every_small_set_agrees_with_a_set_of_bits),
        cmocka_unit_test(adding_any_interval_to_any_small_set_is_their_union),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
