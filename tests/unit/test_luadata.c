#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/luadata.h"

static json_t *load(const char *text) {
    struct report report;
    report_init(&report);
    json_t *tree = luadata_load("home.lua", text, strlen(text), &report);
    if (!tree)
        fail_msg("%s: %s", report.items[0].where, report.items[0].text);
    assert_true(report_empty(&report));
    return tree;
}

static void assert_loads_as(const char *text, const char *json) {
    json_t *tree = load(text);
    json_t *expected = json_loads(json, 0, NULL);
    assert_non_null(expected);
    char *shown = json_dumps(tree, JSON_COMPACT);
    if (!json_equal(tree, expected))
        fail_msg("got %s", shown);
    free(shown);
    json_decref(expected);
    json_decref(tree);
}

/* Exactly one mistake, at `where` (NULL: anywhere), whose text holds `part`. */
static void assert_mistake(const char *text, const char *where, const char *part) {
    struct report report;
    report_init(&report);
    assert_null(luadata_load("home.lua", text, strlen(text), &report));
    assert_int_equal(report.total, 1);
    if (where)
        assert_string_equal(report.items[0].where, where);
    if (!strstr(report.items[0].text, part))
        fail_msg("\"%s\" does not say \"%s\"", report.items[0].text, part);
    report_free(&report);
}

static void tables_become_lists_and_named_fields(void **state) {
    (void)state;
    assert_loads_as("return { a = { 1, 'two', true }, b = { c = 0.5 }, d = {} }",
                    "{\"a\":[1,\"two\",true],\"b\":{\"c\":0.5},\"d\":{}}");
}

static void whole_numbers_stay_whole_and_reals_stay_real(void **state) {
    (void)state;
    json_t *tree = load("return { i = 9007199254740993, r = 3.0 }");
    assert_true(json_is_integer(json_object_get(tree, "i")));
    assert_true(json_integer_value(json_object_get(tree, "i")) == 9007199254740993);
    assert_true(json_is_real(json_object_get(tree, "r")));
    json_decref(tree);
}

static void keys_with_gaps_become_decimal_names_in_order(void **state) {
    (void)state;
    json_t *tree = load("return { [10] = 'c', [0] = 'a', [2] = 'b', [-1] = 'z' }");
    char *text = json_dumps(tree, JSON_COMPACT);
    assert_string_equal(text, "{\"-1\":\"z\",\"0\":\"a\",\"2\":\"b\",\"10\":\"c\"}");
    free(text);
    json_decref(tree);
}

static void names_come_in_alphabetical_order(void **state) {
    (void)state;
    json_t *tree = load("return { delta = 1, alpha = 2, charlie = 3, bravo = 4 }");
    char *text = json_dumps(tree, JSON_COMPACT);
    assert_string_equal(text, "{\"alpha\":2,\"bravo\":4,\"charlie\":3,\"delta\":1}");
    free(text);
    json_decref(tree);
}

static void local_values_and_arithmetic_may_build_the_data(void **state) {
    (void)state;
    assert_loads_as("local kw = 1000\nreturn { power = 11 * kw, name = 'a' .. 'b' }",
                    "{\"power\":11000,\"name\":\"ab\"}");
}

static void a_byte_order_mark_is_skipped(void **state) {
    (void)state;
    assert_loads_as("\xEF\xBB\xBFreturn { 1 }", "[1]");
}

static void a_syntax_error_says_its_line(void **state) {
    (void)state;
    assert_mistake("return {\n  a = 1\n  b = 2\n}", "home.lua:3", "'}' expected");
}

static void a_long_file_name_is_kept_whole(void **state) {
    (void)state;
    const char *name = "/a/very/long/path/that/lua/would/shorten/in/its/own/messages/home.lua";
    struct report report;
    report_init(&report);
    assert_null(luadata_load(name, "return {", 8, &report));
    assert_memory_equal(report.items[0].where, name, strlen(name));
    assert_string_equal(report.items[0].where + strlen(name), ":1");
    report_free(&report);
}

static void there_is_no_function_to_call(void **state) {
    (void)state;
    static const char *const calls[] = {
        "return { os.execute('true') }",  "return { print('x') }",  "return { require('x') }",
        "return { ('x'):rep(1000) }",     "return { load('x')() }", "return { pcall(f) }",
        "return { setmetatable({}, {}) }"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct report report;
        report_init(&report);
        assert_null(luadata_load("home.lua", calls[i], strlen(calls[i]), &report));
        assert_int_equal(report.total, 1);
        assert_string_equal(report.items[0].where, "home.lua:1");
        report_free(&report);
    }
}

static void bytecode_is_refused(void **state) {
    (void)state;
    assert_mistake("\x1bLua", "home.lua", "attempt to load a binary chunk");
}

static void an_endless_loop_ends(void **state) {
    (void)state;
    assert_mistake("while true do end", "home.lua:1", "ran for more than");
    assert_mistake("local function f() return f() end return f()", "home.lua:1",
                   "ran for more than");
}

static void a_greedy_file_meets_its_memory_cap(void **state) {
    (void)state;
    assert_mistake("local t = {} for i = 1, 1e7 do t[i] = {} end return t", "home.lua",
                   "at most 16 MiB");
    assert_mistake("local s = 'xxxxxxxxxxxxxxxx' while true do s = s .. s end", "home.lua",
                   "at most 16 MiB");
}

static void joining_long_texts_in_a_loop_ends(void **state) {
    (void)state;
    assert_mistake("local s = 'xxxxxxxxxxxxxxxx' for i = 1, 14 do s = s .. s end\n"
                   "while true do local t = s .. 'y' end",
                   "home.lua", "at most 16 MiB");
}

static void endless_recursion_ends(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    const char *text = "local function f() return 1 + f() end return { f() }";
    assert_null(luadata_load("home.lua", text, strlen(text), &report));
    assert_int_equal(report.total, 1);
    report_free(&report);
}

static void deeply_nested_source_ends(void **state) {
    (void)state;
    char text[20000];
    memset(text, '{', sizeof text);
    memcpy(text, "return ", 7);
    struct report report;
    report_init(&report);
    assert_null(luadata_load("home.lua", text, sizeof text, &report));
    assert_int_equal(report.total, 1);
    report_free(&report);
}

static void what_is_not_plain_data_is_named_with_its_path(void **state) {
    (void)state;
    assert_mistake("return { a = { 1, function() end } }", "a[2]", "got a function");
    assert_mistake("return { a = { b = 0/0 } }", "a.b", "finite number");
    assert_mistake("return { a = -1/0 }", "a", "finite number");
    assert_mistake("return { a = { 1, b = 2 } }", "a", "both in one table");
    assert_mistake("return { [1.5] = 2 }", "", "names or whole numbers");
    assert_mistake("return { [true] = 2 }", "", "names or whole numbers");
    assert_mistake("return { a = '\\xff' }", "a", "UTF-8");
    assert_mistake("return { ['\\xff'] = 1 }", "", "UTF-8");
    assert_mistake("return { ['a\\0b'] = 1 }", "", "UTF-8");
}

static void every_mistake_in_the_data_is_found(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    const char *text = "return { 0/0, function() end, { x = 1/0 } }";
    assert_null(luadata_load("home.lua", text, strlen(text), &report));
    assert_int_equal(report.total, 3);
    assert_string_equal(report.items[2].where, "[3].x");
    report_free(&report);
}

static void a_table_that_contains_itself_is_a_mistake(void **state) {
    (void)state;
    assert_mistake("local t = {} t.a = { t } return t", "a[1]", "contains itself");
}

static void one_table_used_twice_is_written_twice(void **state) {
    (void)state;
    assert_loads_as("local t = { 1 } return { a = t, b = t }", "{\"a\":[1],\"b\":[1]}");
}

static void shared_tables_cannot_grow_without_end(void **state) {
    (void)state;
    assert_mistake("local t = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }\n"
                   "for i = 1, 20 do t = { t, t, t, t } end return t",
                   NULL, "100000");
}

static void the_depth_is_limited(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    const char *text = "local t = {} for i = 1, 32 do t = { a = t } end return t";
    assert_null(luadata_load("home.lua", text, strlen(text), &report));
    assert_int_equal(report.total, 1);
    assert_non_null(strstr(report.items[0].text, "at most 32"));
    report_free(&report);
    json_decref(load("local t = {} for i = 1, 31 do t = { a = t } end return t"));
}

static void a_file_must_return_a_table(void **state) {
    (void)state;
    assert_mistake("", "home.lua", "got nothing; begin it with `return {`");
    assert_mistake("return 5", "home.lua", "got number");
}

static void functions_become_true_where_they_may_stand(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    lua_State *L = luaL_newstate();
    assert_int_equal(luaL_dostring(L, "return { hooks = { values = function() end } }"), 0);
    json_t *tree = luadata_from_stack(L, -1, true, &report);
    assert_non_null(tree);
    assert_true(json_is_true(json_object_get(json_object_get(tree, "hooks"), "values")));
    assert_int_equal(lua_gettop(L), 1);
    json_decref(tree);
    assert_null(luadata_from_stack(L, -1, false, &report));
    assert_int_equal(report.total, 1);
    assert_string_equal(report.items[0].where, "hooks.values");
    report_free(&report);
    lua_close(L);
}

static void metatables_are_not_asked(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    assert_int_equal(luaL_dostring(L, "return setmetatable({ a = 1 }, { __index = function() "
                                      "error('no') end, __pairs = function() error('no') end })"),
                     0);
    json_t *tree = luadata_from_stack(L, 1, false, &report);
    assert_int_equal(json_object_size(tree), 1);
    json_decref(tree);
    lua_close(L);
}

static void a_tree_survives_the_way_into_lua_and_back(void **state) {
    (void)state;
    const char *json = "{\"a\":[1,2.5,\"x\",true,false],\"b\":{\"c\":{\"d\":[[1],[2]]}},"
                       "\"big\":9007199254740993,\"e\":{}}";
    struct report report;
    report_init(&report);
    json_t *tree = json_loads(json, 0, NULL);
    lua_State *L = luaL_newstate();
    luadata_push(L, tree);
    assert_int_equal(lua_gettop(L), 1);
    json_t *back = luadata_from_stack(L, -1, false, &report);
    assert_true(json_equal(tree, back));
    json_decref(tree);
    json_decref(back);
    lua_close(L);
}

/* Whether the table that `text` returns refreshes `json`, and what the object is then. */
static void assert_refreshes(const char *json, const char *text, bool refreshes,
                             const char *after) {
    lua_State *L = luaL_newstate();
    json_t *object = json_loads(json, JSON_DECODE_ANY, NULL);
    json_t *expected = json_loads(after, JSON_DECODE_ANY, NULL);
    assert_int_equal(luaL_dostring(L, text), LUA_OK);
    assert_int_equal(luadata_refresh(L, -1, object), refreshes);
    assert_int_equal(lua_gettop(L), 1);
    if (!json_equal(object, expected))
        fail_msg("%s did not make %s of %s", text, after, json);
    json_decref(object);
    json_decref(expected);
    lua_close(L);
}

static void numbers_of_an_object_are_refreshed_in_place(void **state) {
    (void)state;
    const char *json = "{\"a\":1,\"b\":2.5,\"c\":\"x\",\"d\":true}";
    assert_refreshes(json, "return { a = 7, b = -0.5, c = 'x', d = true }", true,
                     "{\"a\":7,\"b\":-0.5,\"c\":\"x\",\"d\":true}");
    assert_refreshes("{}", "return {}", true, "{}");
}

static void anything_but_numbers_is_to_be_read_anew_and_nothing_changed(void **state) {
    (void)state;
    const char *json = "{\"a\":1,\"b\":2.5,\"c\":\"x\",\"d\":true}";
    static const char *const others[] = {
        "return { a = 7, b = 3.5, c = 'x' }",
        "return { a = 7, b = 3.5, c = 'x', d = true, e = 1 }",
        "return { a = 7, b = 3.5, c = 'y', d = true }",
        "return { a = 7, b = 3.5, c = 'x\\0', d = true }",
        "return { a = 7, b = 3.5, c = 'x', d = false }",
        "return { a = 7.0, b = 3.5, c = 'x', d = true }",
        "return { a = 7, b = 3, c = 'x', d = true }",
        "return { a = 7, b = 0/0, c = 'x', d = true }",
        "return { a = 7, b = 1/0, c = 'x', d = true }",
        "return { a = 7, b = {}, c = 'x', d = true }",
        "return { a = 7, b = print or nil, c = 'x', d = true }",
        "return { a = 7, b = 3.5, ['c\\0'] = 'x', d = true }",
        "return { 7, 3.5, 'x', true }",
        "return 7",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_refreshes(json, others[i], false, json);
    assert_refreshes("[1]", "return { 2 }", false, "[1]");
}

static void null_goes_into_lua_as_nil(void **state) {
    (void)state;
    lua_State *L = luaL_newstate();
    json_t *tree = json_loads("{\"a\":null,\"b\":1}", 0, NULL);
    luadata_push(L, tree);
    lua_getfield(L, -1, "a");
    assert_true(lua_isnil(L, -1));
    json_decref(tree);
    lua_close(L);
}

static void a_list_as_a_map_has_keys_from_1(void **state) {
    (void)state;
    json_t *list = json_loads("[\"off\",\"on\"]", 0, NULL);
    json_t *map = luadata_map(list);
    assert_string_equal(json_string_value(json_object_get(map, "1")), "off");
    assert_string_equal(json_string_value(json_object_get(map, "2")), "on");
    json_t *same = luadata_map(map);
    assert_ptr_equal(same, map);
    json_decref(same);
    json_decref(map);
    json_decref(list);
}

static void a_file_is_read_whole_up_to_its_maximum(void **state) {
    (void)state;
    char path[] = "/tmp/derd-test-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "hello", 5), 5);
    close(file);
    struct report report;
    report_init(&report);
    size_t length = 0;
    char *text = file_read(path, 5, &length, &report);
    assert_non_null(text);
    assert_int_equal(length, 5);
    assert_string_equal(text, "hello");
    free(text);
    assert_null(file_read(path, 4, &length, &report));
    assert_int_equal(report.total, 1);
    assert_non_null(strstr(report.items[0].text, "at most 4 bytes, got 5"));
    unlink(path);
    report_free(&report);
}

static void a_file_that_cannot_be_read_says_why(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    size_t length;
    assert_null(file_read("/nowhere/home.lua", 100, &length, &report));
    assert_non_null(strstr(report.items[0].text, "No such file"));
    assert_null(file_read("/tmp", 100, &length, &report));
    assert_non_null(strstr(report.items[1].text, "got a directory"));
    report_free(&report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_become_lists_and_named_fields),
        cmocka_unit_test(whole_numbers_stay_whole_and_reals_stay_real),
        cmocka_unit_test(keys_with_gaps_become_decimal_names_in_order),
        cmocka_unit_test(names_come_in_alphabetical_order),
        cmocka_unit_test(local_values_and_arithmetic_may_build_the_data),
        cmocka_unit_test(a_byte_order_mark_is_skipped),
        cmocka_unit_test(a_syntax_error_says_its_line),
        cmocka_unit_test(a_long_file_name_is_kept_whole),
        cmocka_unit_test(there_is_no_function_to_call),
        cmocka_unit_test(bytecode_is_refused),
        cmocka_unit_test(an_endless_loop_ends),
        cmocka_unit_test(a_greedy_file_meets_its_memory_cap),
        cmocka_unit_test(joining_long_texts_in_a_loop_ends),
        cmocka_unit_test(endless_recursion_ends),
        cmocka_unit_test(deeply_nested_source_ends),
        cmocka_unit_test(what_is_not_plain_data_is_named_with_its_path),
        cmocka_unit_test(every_mistake_in_the_data_is_found),
        cmocka_unit_test(a_table_that_contains_itself_is_a_mistake),
        cmocka_unit_test(one_table_used_twice_is_written_twice),
        cmocka_unit_test(shared_tables_cannot_grow_without_end),
        cmocka_unit_test(the_depth_is_limited),
        cmocka_unit_test(a_file_must_return_a_table),
        cmocka_unit_test(functions_become_true_where_they_may_stand),
        cmocka_unit_test(metatables_are_not_asked),
        cmocka_unit_test(a_tree_survives_the_way_into_lua_and_back),
        cmocka_unit_test(numbers_of_an_object_are_refreshed_in_place),
        cmocka_unit_test(anything_but_numbers_is_to_be_read_anew_and_nothing_changed),
        cmocka_unit_test(null_goes_into_lua_as_nil),
        cmocka_unit_test(a_list_as_a_map_has_keys_from_1),
        cmocka_unit_test(a_file_is_read_whole_up_to_its_maximum),
        cmocka_unit_test(a_file_that_cannot_be_read_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
