#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/schema.h"

static const char *const encodings[] = {"uint16", "int16", "float32", NULL};

static const struct schema point_fields[] = {
    {.key = "name", .kind = SCHEMA_STRING, .required = true},
    {.key = "address", .kind = SCHEMA_INTEGER, .required = true, .maximum = 65535},
    {.key = "encoding", .kind = SCHEMA_ENUM, .one_of = encodings},
    {.key = "lowWordFirst", .kind = SCHEMA_BOOLEAN},
    {.key = "scale", .kind = SCHEMA_NUMBER, .nullable = true},
    {.key = "values", .kind = SCHEMA_MAP, .item = &(struct schema){.kind = SCHEMA_STRING}},
    {.key = NULL}};
static const struct schema point = {.kind = SCHEMA_OBJECT, .fields = point_fields};
static const struct schema root_fields[] = {
    {.key = "points", .kind = SCHEMA_ARRAY, .maximum = 3, .item = &point},
    {.key = "hooks", .kind = SCHEMA_ANY},
    {.key = NULL}};
static const struct schema root = {.kind = SCHEMA_OBJECT, .required = true, .fields = root_fields};

static struct report check(const struct schema *schema, const char *json, enum path_style style) {
    struct report report;
    report_init(&report);
    json_t *tree = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(tree);
    bool passed = schema_check(schema, tree, "", style, &report);
    assert_int_equal(passed, report_empty(&report));
    json_decref(tree);
    return report;
}

static void assert_passes(const struct schema *schema, const char *json) {
    struct report report = check(schema, json, PATH_LUA);
    assert_int_equal(report.total, 0);
    report_free(&report);
}

/* Exactly one mistake, at `where`, whose text holds `part`. */
static void assert_mistake(const struct schema *schema, const char *json, const char *where,
                           const char *part) {
    struct report report = check(schema, json, PATH_LUA);
    assert_int_equal(report.total, 1);
    assert_string_equal(report.items[0].where, where);
    if (!strstr(report.items[0].text, part))
        fail_msg("\"%s\" does not say \"%s\"", report.items[0].text, part);
    report_free(&report);
}

static void a_tree_that_fits_passes(void **state) {
    (void)state;
    assert_passes(&root, "{\"points\":[{\"name\":\"activePower\",\"address\":0,\"encoding\":"
                         "\"int16\",\"lowWordFirst\":false,\"scale\":0.1,\"values\":{\"0\":"
                         "\"off\"}}],\"hooks\":{\"anything\":[1]}}");
}

static void an_unknown_key_names_the_nearest_and_all_known_ones(void **state) {
    (void)state;
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"encodng\":\"int16\"}", "encodng",
                   "did you mean \"encoding\"?");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"low_word_first\":true}",
                   "low_word_first", "did you mean \"lowWordFirst\"?");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"zzz\":true}", "zzz",
                   "Known here: name, address, encoding, lowWordFirst, scale, values");
}

static void a_key_that_resembles_nothing_gets_no_guess(void **state) {
    (void)state;
    struct report report = check(&point, "{\"name\":\"a\",\"address\":1,\"qq\":1}", PATH_LUA);
    assert_int_equal(report.total, 1);
    assert_null(strstr(report.items[0].text, "did you mean"));
    report_free(&report);
}

static void a_missing_required_key_is_named_with_what_it_must_be(void **state) {
    (void)state;
    assert_mistake(&point, "{\"name\":\"a\"}", "address",
                   "expected a whole number from 0 to 65535, got nothing; add it");
}

static void a_missing_whole_is_a_mistake_only_when_required(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    assert_false(schema_check(&root, NULL, "", PATH_LUA, &report));
    assert_int_equal(report.total, 1);
    assert_true(schema_check(&point, NULL, "", PATH_LUA, &report));
    assert_int_equal(report.total, 1);
    report_free(&report);
}

static void all_mistakes_are_found_at_once_each_with_its_path(void **state) {
    (void)state;
    struct report report =
        check(&root,
              "{\"points\":[{\"name\":\"a\",\"address\":-1},{\"address\":1.5,\"name\":\"\"}],"
              "\"x\":1}",
              PATH_LUA);
    assert_int_equal(report.total, 4);
    assert_string_equal(report.items[0].where, "points[1].address");
    assert_string_equal(report.items[1].where, "points[2].name");
    assert_string_equal(report.items[2].where, "points[2].address");
    assert_string_equal(report.items[3].where, "x");
    report_free(&report);
}

static void pointers_count_from_0_and_escape_their_signs(void **state) {
    (void)state;
    struct report report =
        check(&root, "{\"points\":[{\"name\":\"a\",\"address\":1,\"values\":{\"a/b~c\":7}}]}",
              PATH_POINTER);
    assert_int_equal(report.total, 1);
    assert_string_equal(report.items[0].where, "/points/0/values/a~1b~0c");
    report_free(&report);
}

static void keys_that_are_no_identifiers_are_quoted_in_lua_paths(void **state) {
    (void)state;
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"values\":{\"0\":1}}", "values[\"0\"]",
                   "put it in quotes");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"values\":{\"a\\\"\\\\b\":1}}",
                   "values[\"a\\\"\\\\b\"]", "got 1");
}

static void a_map_takes_a_list_for_keys_1_to_n(void **state) {
    (void)state;
    assert_passes(&point, "{\"name\":\"a\",\"address\":1,\"values\":[\"off\",\"on\"]}");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"values\":[\"off\",2]}", "values[2]",
                   "expected a text");
}

static void a_map_key_with_a_line_break_is_refused(void **state) {
    (void)state;
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"values\":{\"a\\n\":\"b\"}}",
                   "values[\"a\\010\"]", "control characters");
}

static void an_empty_table_is_an_empty_list(void **state) {
    (void)state;
    assert_passes(&root, "{\"points\":{}}");
    static const struct schema two = {.kind = SCHEMA_ARRAY, .minimum = 2, .maximum = 3};
    assert_mistake(&two, "{}", "", "a list of 2 to 3 items, got an empty table");
}

static void a_list_has_its_number_of_items(void **state) {
    (void)state;
    assert_mistake(&root, "{\"points\":[{},{},{},{}]}", "points", "0 to 3 items, got a list of 4");
}

static void a_whole_number_may_be_written_as_a_real(void **state) {
    (void)state;
    assert_passes(&point, "{\"name\":\"a\",\"address\":40000.0}");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1e300}", "address", "got 1e+300");
}

static void a_number_in_quotes_is_told_to_leave_them_out(void **state) {
    (void)state;
    assert_mistake(&point, "{\"name\":\"a\",\"address\":\"5\"}", "address",
                   "got the text \"5\"; leave out the quotes");
}

static void a_limit_belongs_to_the_range(void **state) {
    (void)state;
    assert_passes(&point, "{\"name\":\"a\",\"address\":65535}");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":65536}", "address",
                   "from 0 to 65535, got 65536; give one in that range");
}

static void only_a_nullable_field_takes_null(void **state) {
    (void)state;
    assert_passes(&point, "{\"name\":\"a\",\"address\":1,\"scale\":null}");
    assert_mistake(&point, "{\"name\":\"a\",\"address\":null}", "address", "got null");
}

static void an_enum_lists_its_words_and_guesses(void **state) {
    (void)state;
    assert_mistake(&point, "{\"name\":\"a\",\"address\":1,\"encoding\":\"UInt16\"}", "encoding",
                   "one of: uint16, int16, float32, got the text \"UInt16\"; did you mean "
                   "\"uint16\"?");
}

static void a_text_has_1_to_255_bytes_unless_its_field_says_otherwise(void **state) {
    (void)state;
    static const struct schema usual = {.kind = SCHEMA_STRING};
    static const struct schema longer = {.kind = SCHEMA_STRING, .maximum = 300};
    char json[400];
    json[0] = '"';
    memset(json + 1, 'a', 256);
    json[257] = '"';
    json[258] = '\0';
    assert_mistake(&usual, json, "", "1 to 255 bytes");
    assert_passes(&longer, json);
    assert_mistake(&usual, "\"\"", "", "1 to 255 bytes");
    assert_passes(&longer, "\"\"");
}

static void a_text_with_a_control_character_is_refused_and_shown_safely(void **state) {
    (void)state;
    static const struct schema text = {.kind = SCHEMA_STRING};
    assert_mistake(&text, "\"a\\u001b[2J\"", "", "the text \"a?[2J\"");
    assert_mistake(&text, "\"a\\u0085\"", "", "control characters");
    assert_passes(&text, "\"K\\u00fcche \\u20ac\"");
}

static void a_long_text_is_shortened_between_characters(void **state) {
    (void)state;
    static const struct schema number = {.kind = SCHEMA_NUMBER};
    /* 47 letters and then one of two bytes: a cut at 48 bytes would halve it */
    struct report report =
        check(&number, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\u00fcbbbb\"", PATH_LUA);
    assert_non_null(strstr(report.items[0].text, "aaa...\""));
    report_free(&report);
}

static void a_path_longer_than_a_message_names_a_parent(void **state) {
    (void)state;
    char key[2000];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    json_t *tree = json_pack("{s:s, s:i, s:i}", "name", "a", "address", 1, key, 5);
    struct report report;
    report_init(&report);
    assert_false(schema_check(&point, tree, "points[1]", PATH_LUA, &report));
    assert_int_equal(report.total, 1);
    assert_string_equal(report.items[0].where, "points[1]");
    assert_non_null(strstr(report.items[0].text, "unknown key"));
    report_free(&report);
    json_decref(tree);
}

static void readers_fall_back_when_a_key_is_missing_or_null(void **state) {
    (void)state;
    json_t *tree =
        json_loads("{\"s\":\"x\",\"n\":1.5,\"i\":3,\"w\":4.0,\"b\":true,\"z\":null}", 0, NULL);
    assert_string_equal(tree_string(tree, "s", "f"), "x");
    assert_string_equal(tree_string(tree, "z", "f"), "f");
    assert_true(tree_number(tree, "n", 9) == 1.5);
    assert_true(tree_number(tree, "i", 9) == 3);
    assert_true(tree_number(tree, "missing", 9) == 9);
    assert_int_equal(tree_integer(tree, "i", 9), 3);
    assert_int_equal(tree_integer(tree, "w", 9), 4);
    assert_int_equal(tree_integer(tree, "z", 9), 9);
    assert_true(tree_boolean(tree, "b", false));
    assert_true(tree_boolean(tree, "missing", true));
    json_decref(tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_that_fits_passes),
        cmocka_unit_test(an_unknown_key_names_the_nearest_and_all_known_ones),
        cmocka_unit_test(a_key_that_resembles_nothing_gets_no_guess),
        cmocka_unit_test(a_missing_required_key_is_named_with_what_it_must_be),
        cmocka_unit_test(a_missing_whole_is_a_mistake_only_when_required),
        cmocka_unit_test(all_mistakes_are_found_at_once_each_with_its_path),
        cmocka_unit_test(pointers_count_from_0_and_escape_their_signs),
        cmocka_unit_test(keys_that_are_no_identifiers_are_quoted_in_lua_paths),
        cmocka_unit_test(a_map_takes_a_list_for_keys_1_to_n),
        cmocka_unit_test(a_map_key_with_a_line_break_is_refused),
        cmocka_unit_test(an_empty_table_is_an_empty_list),
        cmocka_unit_test(a_list_has_its_number_of_items),
        cmocka_unit_test(a_whole_number_may_be_written_as_a_real),
        cmocka_unit_test(a_number_in_quotes_is_told_to_leave_them_out),
        cmocka_unit_test(a_limit_belongs_to_the_range),
        cmocka_unit_test(only_a_nullable_field_takes_null),
        cmocka_unit_test(an_enum_lists_its_words_and_guesses),
        cmocka_unit_test(a_text_has_1_to_255_bytes_unless_its_field_says_otherwise),
        cmocka_unit_test(a_text_with_a_control_character_is_refused_and_shown_safely),
        cmocka_unit_test(a_long_text_is_shortened_between_characters),
        cmocka_unit_test(a_path_longer_than_a_message_names_a_parent),
        cmocka_unit_test(readers_fall_back_when_a_key_is_missing_or_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
