/* Lists of entity tags, as If-Match and If-None-Match send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/precondition.h"

static void a_tag_is_found_wherever_it_stands_in_the_list(void **state) {
    (void)state;
    assert_int_equal(tags_look("\"a\"", "a", false, false), TAGS_MATCH);
    assert_int_equal(tags_look("\"b\", \"a\"", "a", false, false), TAGS_MATCH);
    assert_int_equal(tags_look(" ,, \"a\"  , \"b\",", "a", false, false), TAGS_MATCH);
    assert_int_equal(tags_look("\"b,a\"", "a", false, false), TAGS_NONE);
    assert_int_equal(tags_look("\"a, b\"", "a, b", false, false), TAGS_MALFORMED); /* a blank */
    assert_int_equal(tags_look("\"a,b\"", "a,b", false, false), TAGS_MATCH);
    assert_int_equal(tags_look("\"\"", "", false, false), TAGS_MATCH);
    assert_int_equal(tags_look("\"A\"", "a", false, false), TAGS_NONE);
    assert_int_equal(tags_look("\"ab\"", "a", false, false), TAGS_NONE);
    assert_int_equal(tags_look("\"a\"", "ab", false, false), TAGS_NONE);
}

static void a_weak_tag_matches_only_where_it_may(void **state) {
    (void)state;
    assert_int_equal(tags_look("W/\"a\"", "a", true, false), TAGS_MATCH);
    assert_int_equal(tags_look("W/\"a\"", "a", false, false), TAGS_NONE);
    assert_int_equal(tags_look("W/\"b\",\"a\"", "a", false, false), TAGS_MATCH);
    assert_int_equal(tags_look("w/\"a\"", "a", true, false), TAGS_MALFORMED);
}

static void the_star_stands_alone(void **state) {
    (void)state;
    assert_int_equal(tags_look(" * ", NULL, false, false), TAGS_ANY);
    assert_int_equal(tags_look("*, \"a\"", "a", false, false), TAGS_MALFORMED);
    assert_int_equal(tags_look("\"a\", *", "a", false, false), TAGS_MALFORMED);
    assert_int_equal(tags_look("\"*\"", "a", false, false), TAGS_NONE);
}

static void what_is_no_list_of_tags_is_told(void **state) {
    (void)state;
    static const char *const bad[] = {"",         " ",       ",",          "a",        "\"a",
                                      "a\"",      "\"a\" b", "\"a\"\"b\"", "W/ \"a\"", "W/",
                                      "\"a\", b", "'a'",     "\"a\x7f\"",  "\"\t\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (tags_look(bad[i], "a", true, true) != TAGS_MALFORMED)
            fail_msg("taken: %s", bad[i]);
}

static void a_version_is_enough_before_the_dot(void **state) {
    (void)state;
    assert_int_equal(tags_look("\"v1.aa\"", "v1", false, true), TAGS_MATCH);
    assert_int_equal(tags_look("\"v1\"", "v1", false, true), TAGS_MATCH);
    assert_int_equal(tags_look("\"v12\"", "v1", false, true), TAGS_NONE);
    assert_int_equal(tags_look("\"v2.v1\"", "v1", false, true), TAGS_NONE);
    assert_int_equal(tags_look("\"v1.aa\"", "v1", false, false), TAGS_NONE);
    assert_int_equal(tags_look("\"v1.aa\"", NULL, false, true), TAGS_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_found_wherever_it_stands_in_the_list),
        cmocka_unit_test(a_weak_tag_matches_only_where_it_may),
        cmocka_unit_test(the_star_stands_alone),
        cmocka_unit_test(what_is_no_list_of_tags_is_told),
        cmocka_unit_test(a_version_is_enough_before_the_dot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
