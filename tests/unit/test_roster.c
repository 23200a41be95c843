/* Devices and clusters by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "roster.h"

#define COUNT 1000

static const char *id_of(const void *it) {
    return it;
}

static void each_is_found_by_its_id_and_nothing_else_is(void **state) {
    (void)state;
    static char ids[COUNT][12];
    struct roster roster = {0};
    assert_null(roster_find(&roster, "a", id_of));
    for (int i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "id%d", i * 7919 % COUNT);
        assert_true(roster_add(&roster, ids[i], ids[i]));
    }
    roster_close(&roster);
    assert_true(roster.made);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(roster_find(&roster, ids[i], id_of), ids[i]);
    assert_null(roster_find(&roster, "id1000", id_of));
    assert_null(roster_find(&roster, "", id_of));
    roster_forget(&roster);
    assert_false(roster.made);
    assert_null(roster_find(&roster, "id1", id_of));
}

/* Another id may have the key of one that is there. */
static void one_that_only_has_the_key_of_another_is_not_it(void **state) {
    (void)state;
    char there[] = "there";
    struct roster roster = {0};
    assert_true(roster_add(&roster, "asked", there));
    roster_close(&roster);
    assert_null(roster_find(&roster, "asked", id_of));
    roster_forget(&roster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_by_its_id_and_nothing_else_is),
        cmocka_unit_test(one_that_only_has_the_key_of_another_is_not_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
