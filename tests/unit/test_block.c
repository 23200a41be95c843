/* How points are merged into reads, and how a refused read is split down to the point to blame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "block.h"

#define MAX_POINTS 60

struct fixture {
    struct point points[MAX_POINTS];
    struct block_item items[MAX_POINTS];
    size_t count;
    struct block_limits limits;
    struct block_plan plan;
};

static void add(struct fixture *fixture, enum register_kind kind, int address, int words,
                int64_t period_ms) {
    size_t i = fixture->count++;
    assert_true(i < MAX_POINTS);
    fixture->points[i] = (struct point){.kind = kind,
                                        .address = (uint16_t)address,
                                        .words = (uint16_t)words,
                                        .period_ms = period_ms};
    fixture->items[i] = (struct block_item){(int)i, (uint16_t)address};
}

static void hold(struct fixture *fixture, int address, int words) {
    add(fixture, REGISTER_HOLDING, address, words, 1000);
}

static enum err make(struct fixture *fixture) {
    return block_plan_make(&fixture->plan, fixture->points, fixture->items, fixture->count,
                           &fixture->limits);
}

static struct fixture new_fixture(int max_words, int max_gap) {
    return (struct fixture){.limits = {.max_words = max_words, .max_gap = max_gap}};
}

static void assert_block(const struct fixture *fixture, size_t index, int address, int words,
                         size_t count) {
    assert_true(index < fixture->plan.block_count);
    assert_int_equal(fixture->plan.blocks[index].address, address);
    assert_int_equal(fixture->plan.blocks[index].words, words);
    assert_int_equal(fixture->plan.blocks[index].count, count);
}

/* What must hold for every plan: each item stands in exactly one block that reads all of it, no
 * limit is broken, no hole is read, and blocks are in order. After a split between two points that
 * overlap, registers of the first may stand in a gap of the second half: `max_gap` is for new
 * plans.
 */
static void assert_sound(const struct fixture *fixture, int max_gap) {
    const struct block_plan *plan = &fixture->plan;
    size_t covered = 0;
    int seen[MAX_POINTS] = {0};
    assert_int_equal(plan->item_count, fixture->count);
    for (size_t b = 0; b < plan->block_count; b++) {
        const struct block *block = &plan->blocks[b];
        assert_int_equal(block->first, covered);
        assert_true(block->count > 0 && block->words <= fixture->limits.max_words);
        covered += block->count;
        unsigned end = block->address;
        for (size_t i = block->first; i < covered; i++) {
            const struct block_item *item = &plan->items[i];
            const struct point *point = &fixture->points[item->point];
            seen[item->point]++;
            assert_int_equal(point->kind, block->kind);
            assert_int_equal(point->period_ms, block->period_ms);
            assert_true(item->address >= block->address);
            assert_true(item->address + point->words <= block->address + block->words);
            assert_true((int)item->address - (int)end <= max_gap);
            if (item->address + point->words > end)
                end = item->address + point->words;
        }
        assert_int_equal(end, block->address + block->words);
        for (size_t h = 0; h < fixture->limits.hole_count; h++) {
            const struct block_hole *hole = &fixture->limits.holes[h];
            assert_false(hole->kind == block->kind && hole->first < end &&
                         hole->last >= block->address);
        }
        if (b > 0) {
            const struct block *before = block - 1;
            assert_true(before->period_ms < block->period_ms ||
                        (before->period_ms == block->period_ms &&
                         (before->kind < block->kind ||
                          (before->kind == block->kind && before->address <= block->address))));
        }
    }
    assert_int_equal(covered, fixture->count);
    for (size_t i = 0; i < fixture->count; i++)
        assert_int_equal(seen[i], 1);
}

static void neighbours_become_one_read(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 0);
    hold(&fixture, 12, 2);
    hold(&fixture, 10, 2);
    hold(&fixture, 14, 1);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 1);
    assert_block(&fixture, 0, 10, 5, 3);
    block_plan_free(&fixture.plan);
}

static void a_gap_is_read_up_to_its_limit(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 4);
    hold(&fixture, 0, 1);
    hold(&fixture, 5, 1);
    hold(&fixture, 11, 1);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 2);
    assert_block(&fixture, 0, 0, 6, 2);
    assert_block(&fixture, 1, 11, 1, 1);
    block_plan_free(&fixture.plan);
}

static void a_block_never_exceeds_the_largest_read(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(10, 124);
    hold(&fixture, 0, 4);
    hold(&fixture, 4, 4);
    hold(&fixture, 8, 2);
    hold(&fixture, 10, 1);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 2);
    assert_block(&fixture, 0, 0, 10, 3);
    assert_block(&fixture, 1, 10, 1, 1);
    block_plan_free(&fixture.plan);
}

static void a_hole_is_never_read(void **state) {
    (void)state;
    static const struct block_hole holes[] = {{REGISTER_HOLDING, 5, 5}};
    struct fixture fixture = new_fixture(125, 10);
    fixture.limits.holes = holes;
    fixture.limits.hole_count = 1;
    hold(&fixture, 4, 1);
    hold(&fixture, 6, 1);
    add(&fixture, REGISTER_INPUT, 4, 1, 1000); /* a hole is of one kind of register */
    add(&fixture, REGISTER_INPUT, 6, 1, 1000);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 3);
    assert_block(&fixture, 0, 4, 1, 1);
    assert_block(&fixture, 1, 6, 1, 1);
    assert_block(&fixture, 2, 4, 3, 2);
    block_plan_free(&fixture.plan);
}

static void kinds_and_periods_do_not_mix(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 10);
    add(&fixture, REGISTER_INPUT, 0, 1, 1000);
    add(&fixture, REGISTER_HOLDING, 1, 1, 1000);
    add(&fixture, REGISTER_HOLDING, 2, 1, 60000);
    add(&fixture, REGISTER_HOLDING, 3, 1, 0);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 4);
    assert_int_equal(fixture.plan.blocks[0].period_ms, 0);
    assert_int_equal(fixture.plan.blocks[1].kind, REGISTER_HOLDING);
    assert_int_equal(fixture.plan.blocks[2].kind, REGISTER_INPUT);
    assert_int_equal(fixture.plan.blocks[3].period_ms, 60000);
    assert_sound(&fixture, fixture.limits.max_gap);
    block_plan_free(&fixture.plan);
}

static void two_points_may_share_registers(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 0);
    hold(&fixture, 10, 4);
    hold(&fixture, 10, 1);
    hold(&fixture, 12, 1);
    hold(&fixture, 14, 1);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 1);
    assert_block(&fixture, 0, 10, 5, 4);
    block_plan_free(&fixture.plan);
}

static void the_last_register_can_be_read(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 10);
    hold(&fixture, 65530, 2);
    hold(&fixture, 65534, 2);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_block(&fixture, 0, 65530, 6, 2);
    block_plan_free(&fixture.plan);
}

static void a_point_that_cannot_be_read_is_told(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(10, 0);
    hold(&fixture, 0, 11);
    assert_int_equal(make(&fixture), ERR_RANGE);
    assert_null(fixture.plan.blocks);
    fixture.points[0].words = 2;
    fixture.items[0].address = 65535;
    assert_int_equal(make(&fixture), ERR_RANGE);
    static const struct block_hole holes[] = {{REGISTER_HOLDING, 7, 9}};
    fixture.limits.holes = holes;
    fixture.limits.hole_count = 1;
    fixture.items[0].address = 6;
    assert_int_equal(make(&fixture), ERR_CONFLICT);
    fixture.items[0].address = 5;
    assert_int_equal(make(&fixture), ERR_OK);
    block_plan_free(&fixture.plan);
}

static void no_points_make_an_empty_plan(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 0);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 0);
    assert_int_equal(block_plan_split(&fixture.plan, 0, fixture.points), ERR_RANGE);
    block_plan_free(&fixture.plan);
}

static void items_take_the_address_where_the_model_was_found(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 0);
    hold(&fixture, 14, 1);
    hold(&fixture, 15, 1);
    fixture.items[0].address = 40084;
    fixture.items[1].address = 40085;
    assert_int_equal(make(&fixture), ERR_OK);
    assert_block(&fixture, 0, 40084, 2, 2);
    block_plan_free(&fixture.plan);
}

static void a_refused_block_is_cut_at_its_widest_gap(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 10);
    hold(&fixture, 0, 2);
    hold(&fixture, 2, 2);
    hold(&fixture, 4, 2);
    hold(&fixture, 8, 2); /* two registers between */
    hold(&fixture, 20, 2);
    fixture.limits.max_gap = 124;
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 1);
    assert_int_equal(block_plan_split(&fixture.plan, 0, fixture.points), ERR_OK);
    assert_block(&fixture, 0, 0, 10, 4);
    assert_block(&fixture, 1, 20, 2, 1);
    assert_int_equal(block_plan_split(&fixture.plan, 0, fixture.points), ERR_OK);
    assert_block(&fixture, 0, 0, 6, 3);
    assert_block(&fixture, 1, 8, 2, 1);
    assert_block(&fixture, 2, 20, 2, 1);
    assert_sound(&fixture, fixture.limits.max_gap);
    block_plan_free(&fixture.plan);
}

static void without_gaps_it_is_cut_in_the_middle(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 0);
    for (int i = 0; i < 8; i++)
        hold(&fixture, i, 1);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(block_plan_split(&fixture.plan, 0, fixture.points), ERR_OK);
    assert_block(&fixture, 0, 0, 4, 4);
    assert_block(&fixture, 1, 4, 4, 4);
    block_plan_free(&fixture.plan);
}

static void a_single_refused_point_is_marked_and_stays(void **state) {
    (void)state;
    struct fixture fixture = new_fixture(125, 0);
    hold(&fixture, 0, 1);
    hold(&fixture, 1, 1);
    assert_int_equal(make(&fixture), ERR_OK);
    assert_int_equal(block_plan_split(&fixture.plan, 0, fixture.points), ERR_OK);
    assert_int_equal(block_plan_split(&fixture.plan, 1, fixture.points), ERR_OK);
    assert_int_equal(fixture.plan.block_count, 2);
    assert_false(fixture.plan.blocks[0].refused);
    assert_true(fixture.plan.blocks[1].refused);
    block_plan_free(&fixture.plan);
}

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void every_random_plan_is_sound_down_to_single_points(void **state) {
    (void)state;
    uint32_t seed = 42;
    for (int round = 0; round < 3000; round++) {
        struct block_hole holes[3];
        struct fixture fixture =
            new_fixture(4 + (int)(next_random(&seed) % 122), (int)(next_random(&seed) % 125));
        fixture.limits.holes = holes;
        fixture.limits.hole_count = next_random(&seed) % 4;
        for (size_t i = 0; i < fixture.limits.hole_count; i++) {
            uint16_t first = (uint16_t)(next_random(&seed) % 300);
            holes[i] = (struct block_hole){REGISTER_HOLDING, first,
                                           (uint16_t)(first + next_random(&seed) % 5)};
        }
        int wanted = (int)(next_random(&seed) % MAX_POINTS);
        for (int i = 0; i < wanted; i++) {
            add(&fixture, next_random(&seed) % 3 ? REGISTER_HOLDING : REGISTER_INPUT,
                (int)(next_random(&seed) % 300), 1 + (int)(next_random(&seed) % 4),
                (int64_t)(next_random(&seed) % 3) * 1000);
            const struct point *point = &fixture.points[fixture.count - 1];
            for (size_t h = 0; h < fixture.limits.hole_count; h++)
                if (point->kind == holes[h].kind && point->address <= holes[h].last &&
                    point->address + point->words > holes[h].first) {
                    fixture.count--; /* a point in a hole is a mistake of the driver */
                    break;
                }
        }
        assert_int_equal(make(&fixture), ERR_OK);
        assert_sound(&fixture, fixture.limits.max_gap);
        while (fixture.plan.block_count < fixture.count) {
            size_t index = next_random(&seed) % fixture.plan.block_count;
            if (fixture.plan.blocks[index].count == 1)
                continue;
            assert_int_equal(block_plan_split(&fixture.plan, index, fixture.points), ERR_OK);
            assert_sound(&fixture, fixture.limits.max_words);
        }
        block_plan_free(&fixture.plan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_become_one_read),
        cmocka_unit_test(a_gap_is_read_up_to_its_limit),
        cmocka_unit_test(a_block_never_exceeds_the_largest_read),
        cmocka_unit_test(a_hole_is_never_read),
        cmocka_unit_test(kinds_and_periods_do_not_mix),
        cmocka_unit_test(two_points_may_share_registers),
        cmocka_unit_test(the_last_register_can_be_read),
        cmocka_unit_test(a_point_that_cannot_be_read_is_told),
        cmocka_unit_test(no_points_make_an_empty_plan),
        cmocka_unit_test(items_take_the_address_where_the_model_was_found),
        cmocka_unit_test(a_refused_block_is_cut_at_its_widest_gap),
        cmocka_unit_test(without_gaps_it_is_cut_in_the_middle),
        cmocka_unit_test(a_single_refused_point_is_marked_and_stays),
        cmocka_unit_test(every_random_plan_is_sound_down_to_single_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
