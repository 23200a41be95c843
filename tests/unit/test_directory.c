#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"

#define ID_HOME "0f8fad5b-d9cb-469f-a165-70867728950e"
#define ID_CAR  "7c9e6679-7425-40de-944b-e07fc1f90ae7"

static struct device_card *card_named(const char *id, const char *key) {
    const struct card_words words = {.key = key};
    struct device_card *card = device_card_new(&words, QUANTITIES_ALL);
    assert_non_null(card);
    snprintf(card->id, sizeof card->id, "%s", id);
    return card;
}

/* Two clusters with one device each, both called "wallbox", and two scripts of one name. */
static struct directory *directory_of_two(void) {
    struct directory *directory = calloc(1, sizeof *directory);
    assert_non_null(directory);
    atomic_init(&directory->references, 1);
    directory->cluster_count = directory->device_count = directory->script_count = 2;
    directory->clusters = calloc(2, sizeof *directory->clusters);
    directory->devices = calloc(2, sizeof *directory->devices);
    directory->scripts = calloc(2, sizeof *directory->scripts);
    assert_true(directory->clusters && directory->devices && directory->scripts);
    directory->clusters[0] =
        (struct cluster_card){.id = ID_HOME, .key = "home", .first_device = 0, .device_count = 1};
    directory->clusters[1] =
        (struct cluster_card){.key = "farm", .first_device = 1, .device_count = 1};
    directory->devices[0] = card_named(ID_CAR, "wallbox");
    directory->devices[1] = card_named("", "wallbox");
    directory->scripts[0] = (struct script_card){
        .kind = SCRIPT_DRIVER, .name = "solar", .json = strdup("{\"kind\":\"driver\"}")};
    directory->scripts[1] = (struct script_card){
        .kind = SCRIPT_POLICY, .name = "solar", .json = strdup("{\"kind\":\"policy\"}")};
    directory->site_problems = strdup("[]");
    return directory;
}

static void a_cluster_is_found_by_key_and_by_id_in_any_case(void **state) {
    (void)state;
    struct directory *directory = directory_of_two();
    assert_ptr_equal(directory_cluster(directory, "farm"), &directory->clusters[1]);
    assert_ptr_equal(directory_cluster(directory, ID_HOME), &directory->clusters[0]);
    assert_ptr_equal(directory_cluster(directory, "0F8FAD5B-D9CB-469F-A165-70867728950E"),
                     &directory->clusters[0]);
    assert_null(directory_cluster(directory, "Home"));
    assert_null(directory_cluster(directory, ""));
    assert_null(directory_cluster(directory, ID_CAR));
    directory_release(directory);
}

static void a_cluster_is_within_those_that_it_stands_below(void **state) {
    (void)state;
    static const char home[][ID_SIZE] = {ID_CAR, ID_HOME};
    static const char other[][ID_SIZE] = {ID_CAR};
    static const char farm_id[] = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
    struct directory *directory = directory_of_two();
    struct cluster_card *farm = &directory->clusters[1];
    const struct cluster_card gone = {.id = ID_CAR};
    snprintf(farm->id, sizeof farm->id, "%s", farm_id);
    assert_true(directory_within(directory, farm, NULL, 0)); /* no choice was made */
    assert_true(directory_within(directory, &directory->clusters[0], home, 2));
    assert_false(directory_within(directory, farm, home, 2));
    snprintf(farm->parent_id, sizeof farm->parent_id, "%s", ID_HOME);
    assert_true(directory_within(directory, farm, home, 2));
    assert_false(directory_within(directory, farm, other, 1));
    assert_false(directory_within(directory, &directory->clusters[0], other, 1));
    assert_true(directory_within(directory, &gone, other, 1));          /* has left the site */
    snprintf(directory->clusters[0].parent_id, ID_SIZE, "%s", farm_id); /* never; but no loop */
    assert_false(directory_within(directory, farm, other, 1));
    directory_release(directory);
}

static void a_device_is_looked_for_in_its_own_cluster_only(void **state) {
    (void)state;
    struct directory *directory = directory_of_two();
    const struct cluster_card *home = &directory->clusters[0];
    const struct cluster_card *farm = &directory->clusters[1];
    assert_ptr_equal(directory_device(directory, home, "wallbox"), directory->devices[0]);
    assert_ptr_equal(directory_device(directory, farm, "wallbox"), directory->devices[1]);
    assert_ptr_equal(directory_device(directory, home, ID_CAR), directory->devices[0]);
    assert_null(directory_device(directory, farm, ID_CAR));
    directory_release(directory);
}

static void a_script_is_found_by_kind_and_name(void **state) {
    (void)state;
    struct directory *directory = directory_of_two();
    assert_string_equal(directory_script(directory, SCRIPT_POLICY, "solar")->json,
                        "{\"kind\":\"policy\"}");
    assert_null(directory_script(directory, SCRIPT_DRIVER, "lunar"));
    directory_release(directory);
}

static void a_new_card_knows_nothing_and_has_decided_nothing(void **state) {
    (void)state;
    struct device_card *card = device_card_new(NULL, QUANTITIES_ALL);
    struct decided *decided = device_card_decided(card);
    assert_false(decided->has_decision);
    assert_int_equal(decided->count, 0);
    decided_release(decided);
    struct flexibility now;
    live_read(card->live, &now);
    assert_int_equal(now.connection, CONNECTION_CONNECTING);
    assert_int_equal(now.allowed.count, 0);
    device_card_release(card);
}

static void before_the_first_publish_there_is_no_directory(void **state) {
    (void)state;
    struct directory_slot slot;
    directory_slot_init(&slot);
    assert_null(directory_hold(&slot));
    directory_slot_free(&slot);
}

static void a_held_directory_outlives_its_successor(void **state) {
    (void)state;
    struct directory_slot slot;
    directory_slot_init(&slot);
    directory_publish(&slot, directory_of_two());
    struct directory *held = directory_hold(&slot);
    directory_publish(&slot, directory_of_two());
    assert_non_null(directory_cluster(held, "home"));
    assert_int_equal(atomic_load(&held->references), 1);
    directory_release(held);
    directory_slot_free(&slot);
}

static void a_held_card_outlives_its_directory(void **state) {
    (void)state;
    struct directory *directory = directory_of_two();
    struct device_card *card = device_card_hold(directory->devices[0]);
    directory_release(directory);
    assert_string_equal(card->key, "wallbox");
    assert_int_equal(atomic_load(&card->references), 1);
    device_card_release(card);
}

static void what_was_decided_before_is_freed_with_its_constraints(void **state) {
    (void)state;
    struct constraint *constraint = constraint_new(&(struct constraint){.id = ID_HOME});
    struct device_card *card = device_card_new(NULL, QUANTITIES_ALL);
    struct decided *decided = decided_new(2); /* the second item: the fallback, no constraint */
    assert_non_null(decided);
    decided->items[0].constraint = constraint_hold(constraint);
    device_card_decide(card, decided);
    struct decided *held = device_card_decided(card);
    device_card_decide(card, decided_new(0));
    assert_int_equal(atomic_load(&constraint->references), 2);
    decided_release(held);
    assert_int_equal(atomic_load(&constraint->references), 1);
    device_card_release(card);
    constraint_release(constraint);
}

#define MANY_CLUSTERS 7
#define MANY_DEVICES  300 /* in each */

static void name_in_order(char *id, const char *form, size_t number) {
    snprintf(id, ID_SIZE, "%08zx-%s", number, form);
}

/* Each cluster has the same keys; a device without a key has its id for one. */
static struct directory *directory_of_many(void) {
    struct directory *directory = calloc(1, sizeof *directory);
    assert_non_null(directory);
    atomic_init(&directory->references, 1);
    directory->clusters = calloc(MANY_CLUSTERS, sizeof *directory->clusters);
    directory->devices = calloc((size_t)MANY_CLUSTERS * MANY_DEVICES, sizeof(struct device_card *));
    assert_true(directory->clusters && directory->devices);
    for (; directory->cluster_count < MANY_CLUSTERS; directory->cluster_count++) {
        struct cluster_card *cluster = &directory->clusters[directory->cluster_count];
        *cluster = (struct cluster_card){.first_device = directory->device_count,
                                         .device_count = MANY_DEVICES};
        name_in_order(cluster->id, "0000-4000-8000-00000000000c", directory->cluster_count);
        snprintf(cluster->key, sizeof cluster->key, "site%zu", directory->cluster_count);
        for (size_t i = 0; i < MANY_DEVICES; i++) {
            char id[ID_SIZE];
            char key[KEY_SIZE];
            name_in_order(id, "0000-4000-8000-00000000000d", directory->device_count);
            snprintf(key, sizeof key, "meter%zu", i);
            directory->devices[directory->device_count++] = card_named(id, i % 10 ? key : id);
        }
    }
    return directory;
}

/* What the index of a published directory finds is what a walk through an unpublished one finds. */
static void a_published_directory_finds_what_a_walk_finds(void **state) {
    (void)state;
    struct directory_slot slot;
    struct directory *walked = directory_of_many();
    directory_slot_init(&slot);
    directory_publish(&slot, directory_of_many());
    struct directory *indexed = directory_hold(&slot);
    assert_non_null(indexed->index);
    assert_null(walked->index);
    for (size_t i = 0; i < MANY_CLUSTERS; i++) {
        const struct cluster_card *cluster = &indexed->clusters[i];
        assert_ptr_equal(directory_cluster(indexed, cluster->id), cluster);
        assert_ptr_equal(directory_cluster(indexed, cluster->key), cluster);
        for (size_t j = 0; j < indexed->device_count; j++) {
            const struct device_card *card = indexed->devices[j];
            const char *const names[] = {card->id, card->key};
            for (size_t k = 0; k < 2; k++) {
                const struct device_card *found = directory_device(indexed, cluster, names[k]);
                const struct device_card *same =
                    directory_device(walked, &walked->clusters[i], names[k]);
                assert_true((found == NULL) == (same == NULL));
                if (found)
                    assert_string_equal(found->id, same->id);
            }
        }
        assert_null(directory_device(indexed, cluster, "meter"));
        assert_null(directory_device(indexed, cluster, "Meter1"));
        assert_null(directory_device(indexed, cluster, cluster->id));
        assert_null(directory_device(indexed, cluster, ""));
    }
    assert_ptr_equal(directory_cluster(indexed, "00000003-0000-4000-8000-00000000000C"),
                     &indexed->clusters[3]);
    assert_ptr_equal(
        directory_device(indexed, &indexed->clusters[0], "0000000B-0000-4000-8000-00000000000D"),
        indexed->devices[11]);
    assert_null(directory_cluster(indexed, "site7"));
    assert_null(directory_cluster(indexed, indexed->devices[0]->id));
    directory_release(indexed);
    directory_release(walked);
    directory_slot_free(&slot);
}

/* Readers and a publisher at once: thread and address sanitizer watch. */

#define ROUNDS 2000

struct traffic {
    struct directory_slot slot;
    struct device_card *card;
    atomic_bool done;
};

static void *read_on(void *context) {
    struct traffic *traffic = context;
    size_t found = 0;
    do {
        struct directory *directory = directory_hold(&traffic->slot);
        found += directory_cluster(directory, "home") != NULL;
        directory_release(directory);
        struct decided *decided = device_card_decided(traffic->card);
        found += decided->count == 3;
        decided_release(decided);
    } while (!atomic_load(&traffic->done));
    return found > 0 ? context : NULL;
}

static void readers_and_the_publisher_do_not_disturb_each_other(void **state) {
    (void)state;
    struct traffic traffic = {.card = device_card_new(NULL, QUANTITIES_ALL)};
    directory_slot_init(&traffic.slot);
    directory_publish(&traffic.slot, directory_of_two());
    pthread_t readers[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &traffic), 0);
    for (int i = 0; i < ROUNDS; i++) {
        directory_publish(&traffic.slot, directory_of_two());
        device_card_decide(traffic.card, decided_new(3));
    }
    atomic_store(&traffic.done, true);
    for (int i = 0; i < 2; i++) {
        void *found;
        pthread_join(readers[i], &found);
        assert_non_null(found);
    }
    device_card_release(traffic.card);
    directory_slot_free(&traffic.slot);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_found_by_key_and_by_id_in_any_case),
        cmocka_unit_test(a_cluster_is_within_those_that_it_stands_below),
        cmocka_unit_test(a_device_is_looked_for_in_its_own_cluster_only),
        cmocka_unit_test(a_script_is_found_by_kind_and_name),
        cmocka_unit_test(a_new_card_knows_nothing_and_has_decided_nothing),
        cmocka_unit_test(before_the_first_publish_there_is_no_directory),
        cmocka_unit_test(a_held_directory_outlives_its_successor),
        cmocka_unit_test(a_held_card_outlives_its_directory),
        cmocka_unit_test(what_was_decided_before_is_freed_with_its_constraints),
        cmocka_unit_test(a_published_directory_finds_what_a_walk_finds),
        cmocka_unit_test(readers_and_the_publisher_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
