#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "flexibility.h"
#include "vocabulary.h"

static void every_device_type_is_found_by_its_own_name(void **state) {
    (void)state;
    for (int i = 0; i < DEVICE_TYPE_COUNT; i++) {
        enum device_type type;
        assert_true(device_type_parse(device_type_name((enum device_type)i), &type));
        assert_int_equal(type, i);
        assert_string_equal(device_type_names()[i], device_type_name((enum device_type)i));
    }
    assert_null(device_type_names()[DEVICE_TYPE_COUNT]);
}

static void every_state_is_found_by_its_own_name(void **state) {
    (void)state;
    for (int i = 0; i < STATE_COUNT; i++) {
        enum device_state found;
        assert_true(device_state_parse(device_state_name((enum device_state)i), &found));
        assert_int_equal(found, i);
        assert_string_equal(device_state_names()[i], device_state_name((enum device_state)i));
    }
    assert_null(device_state_names()[STATE_COUNT]);
}

static void every_point_is_found_by_its_own_name(void **state) {
    (void)state;
    for (int i = 0; i < POINT_COUNT; i++) {
        enum point_id id;
        assert_true(point_word_parse(point_word((enum point_id)i)->name, &id));
        assert_int_equal(id, i);
        assert_string_equal(point_names()[i], point_word((enum point_id)i)->name);
    }
    assert_null(point_names()[POINT_COUNT]);
}

static void words_in_another_case_are_not_words(void **state) {
    (void)state;
    enum device_type type;
    enum device_state found;
    enum point_id id;
    assert_false(device_type_parse("Battery", &type));
    assert_false(device_state_parse("", &found));
    assert_false(point_word_parse("active_power", &id));
}

static void every_number_has_a_finite_range_and_a_known_unit(void **state) {
    (void)state;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        const struct point_word *word = point_word((enum point_id)i);
        double factor;
        assert_true(isfinite(word->minimum) && isfinite(word->maximum));
        assert_true(word->minimum < word->maximum);
        assert_true(unit_factor(word->unit, word->unit, &factor));
        assert_true(factor == 1);
        assert_true(strlen(word->meaning) > 10);
    }
}

static void units_of_one_kind_convert_exactly(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
        double factor;
    } cases[] = {
        {"kW", "W", 1000},           {"mW", "W", 0.001},  {"W", "kW", 0.001},   {"kWh", "Wh", 1000},
        {"kJ", "Wh", 1000.0 / 3600}, {"J", "Ws", 1},      {"MWh", "kWh", 1000}, {"mV", "V", 0.001},
        {"mHz", "Hz", 0.001},        {"h", "min", 60},    {"ms", "s", 0.001},   {"°C", "degC", 1},
        {"kvar", "var", 1000},       {"kVA", "VA", 1000}, {"mA", "A", 0.001},   {"", "", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double factor = 0;
        assert_true(unit_factor(cases[i].from, cases[i].to, &factor));
        assert_true(factor == cases[i].factor);
    }
}

static void units_of_two_kinds_do_not_convert(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"W", "Wh"},  {"W", "VA"},   {"var", "W"}, {"", "%"},
                                           {"%", ""},    {"KW", "W"},   {"A", "V"},   {"s", "Wh"},
                                           {"degC", ""}, {"foo", "foo"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        double factor;
        assert_false(unit_factor(pairs[i][0], pairs[i][1], &factor));
    }
}

static json_t *written_vocabulary(void) {
    struct buf json;
    buf_init(&json, 65536);
    vocabulary_write(&json);
    assert_false(json.failed);
    json_t *tree = json_loads(buf_string(&json), 0, NULL);
    buf_free(&json);
    assert_non_null(tree);
    return tree;
}

static void the_json_lists_every_word_with_its_meaning(void **state) {
    (void)state;
    static const struct {
        const char *list;
        size_t count;
    } lists[] = {{"deviceTypes", DEVICE_TYPE_COUNT},
                 {"states", STATE_COUNT},
                 {"connections", CONNECTION_COUNT},
                 {"commandStates", COMMAND_DIVERGING + 1},
                 {"followings", 3},
                 {"outcomes", 5},
                 {"constraintStatuses", 3},
                 {"onConflicts", 2},
                 {"scopes", 2},
                 {"tokenScopes", TOKEN_SCOPE_COUNT},
                 {"withoutSetPoint", 3},
                 {"points", POINT_COUNT}};
    json_t *tree = written_vocabulary();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        json_t *list = json_object_get(tree, lists[i].list);
        assert_int_equal(json_array_size(list), lists[i].count);
        for (size_t j = 0; j < lists[i].count; j++) {
            json_t *word = json_array_get(list, j);
            assert_true(json_string_length(json_object_get(word, "name")) > 0);
            assert_true(json_string_length(json_object_get(word, "meaning")) > 3);
        }
    }
    assert_true(json_string_length(json_object_get(tree, "sign")) > 0);
    json_decref(tree);
}

static void the_json_says_which_points_are_texts_and_which_is_the_state(void **state) {
    (void)state;
    json_t *tree = written_vocabulary();
    json_t *points = json_object_get(tree, "points");
    const char *power =
        json_string_value(json_object_get(json_array_get(points, POINT_ACTIVE_POWER), "type"));
    const char *what =
        json_string_value(json_object_get(json_array_get(points, POINT_STATE), "type"));
    const char *model =
        json_string_value(json_object_get(json_array_get(points, POINT_MODEL), "type"));
    assert_string_equal(power, "number");
    assert_string_equal(what, "state");
    assert_string_equal(model, "text");
    json_decref(tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_device_type_is_found_by_its_own_name),
        cmocka_unit_test(every_state_is_found_by_its_own_name),
        cmocka_unit_test(every_point_is_found_by_its_own_name),
        cmocka_unit_test(words_in_another_case_are_not_words),
        cmocka_unit_test(every_number_has_a_finite_range_and_a_known_unit),
        cmocka_unit_test(units_of_one_kind_convert_exactly),
        cmocka_unit_test(units_of_two_kinds_do_not_convert),
        cmocka_unit_test(the_json_lists_every_word_with_its_meaning),
        cmocka_unit_test(the_json_says_which_points_are_texts_and_which_is_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
