/* The table of those seen lately: bounded, and the one not seen for longest makes way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/recent.h"

static size_t see(struct recent *recent, const char *name, bool *fresh) {
    return recent_see(recent, name, strlen(name), fresh);
}

static size_t find(const struct recent *recent, const char *name) {
    return recent_find(recent, name, strlen(name));
}

static void a_name_keeps_its_slot(void **state) {
    (void)state;
    struct recent *recent = recent_new(4);
    bool fresh;
    size_t slot = see(recent, "a", &fresh);
    assert_true(fresh);
    assert_int_not_equal(see(recent, "b", &fresh), slot);
    assert_int_equal(see(recent, "a", &fresh), slot);
    assert_false(fresh);
    assert_int_equal(find(recent, "a"), slot);
    assert_int_equal(find(recent, "c"), RECENT_NONE);
    recent_free(recent);
}

static void the_one_not_seen_for_longest_makes_way(void **state) {
    (void)state;
    struct recent *recent = recent_new(3);
    bool fresh;
    size_t a = see(recent, "a", &fresh);
    size_t b = see(recent, "b", &fresh);
    see(recent, "c", &fresh);
    see(recent, "a", &fresh);
    assert_int_equal(see(recent, "d", &fresh), b);
    assert_true(fresh);
    assert_int_equal(find(recent, "b"), RECENT_NONE);
    assert_int_equal(find(recent, "a"), a);
    recent_free(recent);
}

static void looking_is_not_seeing(void **state) {
    (void)state;
    struct recent *recent = recent_new(2);
    bool fresh;
    see(recent, "a", &fresh);
    see(recent, "b", &fresh);
    (void)find(recent, "a");
    see(recent, "c", &fresh);
    assert_int_equal(find(recent, "a"), RECENT_NONE);
    recent_free(recent);
}

static void one_place_is_enough_for_one(void **state) {
    (void)state;
    struct recent *recent = recent_new(1);
    bool fresh;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(see(recent, i % 2 ? "a" : "b", &fresh), 0);
        assert_true(fresh);
    }
    recent_free(recent);
}

/* Against a plain list of what was seen, newest first. */
static void it_agrees_with_a_plain_list(void **state) {
    (void)state;
    enum { SIZE = 50, NAMES = 80 };
    struct recent *recent = recent_new(SIZE);
    int list[SIZE + 1];
    size_t count = 0, slots[NAMES] = {0};
    for (int step = 0; step < 20000; step++) {
        int who = (int)randombytes_uniform(NAMES);
        size_t at = 0;
        bool fresh;
        while (at < count && list[at] != who)
            at++;
        bool known = at < count;
        size_t slot = recent_see(recent, &who, sizeof who, &fresh);
        assert_int_equal(fresh, !known);
        assert_true(slot < SIZE);
        if (known)
            assert_int_equal(slot, slots[who]);
        else if (count == SIZE) /* the last of the list gave up its slot */
            assert_int_equal(slot, slots[list[SIZE - 1]]);
        if (!known && count < SIZE)
            count++;
        at = known ? at : count - 1;
        memmove(list + 1, list, at * sizeof *list);
        list[0] = who;
        slots[who] = slot;
    }
    recent_free(recent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_keeps_its_slot),
        cmocka_unit_test(the_one_not_seen_for_longest_makes_way),
        cmocka_unit_test(looking_is_not_seeing),
        cmocka_unit_test(one_place_is_enough_for_one),
        cmocka_unit_test(it_agrees_with_a_plain_list),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
