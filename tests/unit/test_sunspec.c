/* The walk along a model chain, against register images that are right, wrong and endless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sunspec.h"

struct image { /* a device: all registers, and those that it refuses to read */
    uint16_t words[0x10000];
    bool refused[0x10000];
    unsigned end; /* where the chain is continued */
};

static struct image *image_new(void) {
    struct image *image = calloc(1, sizeof *image);
    assert_non_null(image);
    return image;
}

static void put_marker(struct image *image, unsigned base) {
    image->words[base] = 0x5375;
    image->words[base + 1] = 0x6E53;
    image->end = base + 2;
}

static void put_model(struct image *image, uint16_t id, uint16_t length) {
    assert_true(image->end + 1 < 0x10000);
    image->words[image->end] = id;
    image->words[image->end + 1] = length;
    image->end += 2U + length;
}

/* Walks to the end; the number of reads, which is bounded whatever the device says. */
static int walk_through(struct sunspec_walk *walk, const struct image *image, const uint16_t *bases,
                        size_t count) {
    int reads = 0;
    struct sunspec_read read;
    sunspec_start(walk, bases, count);
    while (sunspec_next(walk, &read)) {
        assert_true(++reads <= SUNSPEC_MAX_BASES * (SUNSPEC_MAX_MODELS + 2));
        assert_true(read.address + read.count <= 0x10000);
        bool refused = image->refused[read.address] || image->refused[read.address + 1];
        sunspec_take(walk, refused ? NULL : &image->words[read.address]);
    }
    return reads;
}

static void assert_at(const struct sunspec_walk *walk, uint16_t model, int expected) {
    uint16_t address = 0;
    assert_true(sunspec_find(walk, model, &address));
    assert_int_equal(address, expected);
}

static void a_chain_is_walked_to_its_end_model(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 40000);
    put_model(image, 1, 66);
    put_model(image, 103, 50);
    put_model(image, 120, 26);
    put_model(image, 123, 24);
    put_model(image, 0xFFFF, 0);
    assert_int_equal(walk_through(&walk, image, NULL, 0), 6);
    assert_int_equal(walk.model_count, 4);
    assert_at(&walk, 1, 40002);
    assert_at(&walk, 103, 40070);
    assert_at(&walk, 120, 40122);
    assert_at(&walk, 123, 40150);
    assert_int_equal(walk.models[1].length, 50);
    assert_string_equal(walk.trouble, "");
    uint16_t address = 0;
    assert_false(sunspec_find(&walk, 124, &address));
    free(image);
}

static void the_other_bases_are_tried_in_order(void **state) {
    (void)state;
    static const unsigned bases[] = {40000, 50000, 0};
    for (size_t i = 0; i < 3; i++) {
        struct image *image = image_new();
        struct sunspec_walk walk;
        image->refused[40000] = i != 0;
        put_marker(image, bases[i]);
        put_model(image, 1, 65); /* without the pad */
        put_model(image, 101, 50);
        put_model(image, 0xFFFF, 0);
        walk_through(&walk, image, NULL, 0);
        assert_at(&walk, 101, (int)bases[i] + 2 + 67);
        assert_string_equal(walk.trouble, "");
        free(image);
    }
}

static void bases_of_the_driver_replace_the_usual_ones(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 1000);
    put_model(image, 1, 66);
    put_model(image, 0xFFFF, 0);
    walk_through(&walk, image, (const uint16_t[]){40000, 1000}, 2);
    assert_at(&walk, 1, 1002);
    free(image);
}

static void without_a_marker_there_is_no_model_and_a_reason(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    image->words[40000] = 0x5375; /* half a marker */
    assert_int_equal(walk_through(&walk, image, NULL, 0), 3);
    assert_int_equal(walk.model_count, 0);
    assert_non_null(strstr(walk.trouble, "40000"));
    free(image);
}

static void the_first_of_two_equal_models_counts(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 40000);
    put_model(image, 1, 66);
    put_model(image, 203, 105);
    put_model(image, 203, 105);
    put_model(image, 0xFFFF, 0);
    walk_through(&walk, image, NULL, 0);
    assert_int_equal(walk.model_count, 2);
    assert_at(&walk, 203, 40070);
    free(image);
}

static void a_refused_header_ends_the_chain_but_keeps_what_was_found(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 40000);
    put_model(image, 1, 66);
    image->refused[image->end] = true;
    walk_through(&walk, image, NULL, 0);
    assert_at(&walk, 1, 40002);
    assert_non_null(strstr(walk.trouble, "40070"));
    free(image);
}

static void a_marker_without_models_is_not_the_right_base(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 40000);
    put_model(image, 0xFFFF, 0);
    put_marker(image, 50000);
    put_model(image, 1, 66);
    put_model(image, 0xFFFF, 0);
    walk_through(&walk, image, NULL, 0);
    assert_at(&walk, 1, 50002);
    assert_string_equal(walk.trouble, "");
    free(image);
}

static void a_length_of_zero_ends_the_chain(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 40000);
    put_model(image, 1, 66);
    put_model(image, 103, 0);
    put_model(image, 120, 26);
    walk_through(&walk, image, NULL, 0);
    assert_int_equal(walk.model_count, 1);
    assert_non_null(strstr(walk.trouble, "length 0"));
    free(image);
}

static void a_chain_never_runs_past_the_last_register(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 0);
    put_model(image, 1, 66);
    put_model(image, 103, 65400);
    image->words[65472] = 104;
    image->words[65473] = 100; /* would end at 65573 */
    walk_through(&walk, image, (const uint16_t[]){0}, 1);
    assert_int_equal(walk.model_count, 2);
    assert_non_null(strstr(walk.trouble, "65535"));
    image->words[65473] = 62; /* ends at 65535: no room for an end model */
    walk_through(&walk, image, (const uint16_t[]){0}, 1);
    assert_int_equal(walk.model_count, 3);
    assert_string_not_equal(walk.trouble, "");
    free(image);
}

static void a_marker_at_the_last_registers_is_no_chain(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 65534);
    assert_int_equal(walk_through(&walk, image, (const uint16_t[]){65534}, 1), 1);
    assert_int_equal(walk.model_count, 0);
    free(image);
}

static void an_endless_chain_ends_after_64_models(void **state) {
    (void)state;
    struct image *image = image_new();
    struct sunspec_walk walk;
    put_marker(image, 0);
    for (uint16_t id = 1; id <= 100; id++)
        put_model(image, id, 3);
    assert_int_equal(walk_through(&walk, image, (const uint16_t[]){0}, 1), 65);
    assert_int_equal(walk.model_count, SUNSPEC_MAX_MODELS);
    assert_at(&walk, 64, 2 + 63 * 5);
    for (size_t i = 2; i < 0x10000; i++)
        image->words[i] = 7; /* always the same model */
    assert_int_equal(walk_through(&walk, image, (const uint16_t[]){0}, 1), 65);
    assert_int_equal(walk.model_count, 1);
    free(image);
}

static void random_images_never_lead_out_of_bounds(void **state) {
    (void)state;
    struct image *image = image_new();
    uint32_t seed = 7;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 0x10000; i++) {
            seed = seed * 1664525U + 1013904223U;
            image->words[i] = (uint16_t)(seed >> 16 & (round % 2 ? 0xFFFF : 0x3FF));
            image->refused[i] = seed >> 20 == 0;
        }
        put_marker(image, 40000);
        struct sunspec_walk walk;
        walk_through(&walk, image, NULL, 0); /* asserts on each read */
    }
    free(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_walked_to_its_end_model),
        cmocka_unit_test(the_other_bases_are_tried_in_order),
        cmocka_unit_test(bases_of_the_driver_replace_the_usual_ones),
        cmocka_unit_test(without_a_marker_there_is_no_model_and_a_reason),
        cmocka_unit_test(the_first_of_two_equal_models_counts),
        cmocka_unit_test(a_refused_header_ends_the_chain_but_keeps_what_was_found),
        cmocka_unit_test(a_marker_without_models_is_not_the_right_base),
        cmocka_unit_test(a_length_of_zero_ends_the_chain),
        cmocka_unit_test(a_chain_never_runs_past_the_last_register),
        cmocka_unit_test(a_marker_at_the_last_registers_is_no_chain),
        cmocka_unit_test(an_endless_chain_ends_after_64_models),
        cmocka_unit_test(random_images_never_lead_out_of_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
