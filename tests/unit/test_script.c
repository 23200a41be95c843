#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/script.h"

#define NAME "test.lua"

/* Memory and time of these tests: small enough to be reached soon. */
static struct script_limits small(void) {
    return (struct script_limits){.memory_bytes = (size_t)2 << 20,
                                  .load_cpu_us = 100000,
                                  .call_cpu_us = 20000,
                                  .task_cpu_us = 200000};
}

static struct script *open_or_fail(const char *text) {
    struct script_limits limits = small();
    struct report report;
    report_init(&report);
    struct script *script = script_open(NAME, text, strlen(text), &limits, &report);
    for (size_t i = 0; i < report.count; i++)
        print_message("%s: %s\n", report.items[i].where, report.items[i].text);
    assert_non_null(script);
    report_free(&report);
    return script;
}

/* The first mistake of a text that must not load, as "where: text". */
static void refused(const char *text, size_t length, char mistake[SCRIPT_ERROR_SIZE]) {
    struct script_limits limits = small();
    struct report report;
    report_init(&report);
    assert_null(script_open(NAME, text, length, &limits, &report));
    assert_true(report.count >= 1);
    snprintf(mistake, SCRIPT_ERROR_SIZE, "%s: %s", report.items[0].where, report.items[0].text);
    report_free(&report);
}

static void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("'%s' does not contain '%s'", text, part);
}

static void take_number(lua_State *L, int first, int last, void *context) {
    *(double *)context = last >= first ? lua_tonumber(L, first) : NAN;
}

/* Whether the script still does what it should after a call went wrong. */
static void assert_usable(struct script *script) {
    char error[SCRIPT_ERROR_SIZE];
    double result = 0;
    assert_int_equal(script_call(script, "fine", NULL, take_number, &result, error), SCRIPT_OK);
    assert_true(result == 42);
    assert_false(script_spoiled(script));
}

#define FINE "fine = function() return 42 end "

static enum script_outcome call(struct script *script, const char *path,
                                char error[SCRIPT_ERROR_SIZE]) {
    return script_call(script, path, NULL, NULL, NULL, error);
}

/* Runs `body` as the function bad(), expects the outcome, and that the script goes on. */
static void expect(const char *body, enum script_outcome outcome, const char *part) {
    char text[2000];
    char error[SCRIPT_ERROR_SIZE];
    snprintf(text, sizeof text, "return { " FINE ",\nbad = function(...)\n%s\nend }", body);
    struct script *script = open_or_fail(text);
    assert_int_equal(call(script, "bad", error), outcome);
    if (part)
        assert_contains(error, part);
    assert_usable(script);
    script_close(script);
}

/* ---- calls ---- */

static int push_sum(lua_State *L, void *context) {
    (void)context;
    lua_pushinteger(L, 20);
    lua_pushinteger(L, 22);
    return 2;
}

static void a_function_gets_its_arguments_and_gives_its_results(void **state) {
    (void)state;
    struct script *script =
        open_or_fail("return { hooks = { sum = function(a, b) return a + b end } }");
    char error[SCRIPT_ERROR_SIZE];
    double result = 0;
    assert_int_equal(script_call(script, "hooks.sum", push_sum, take_number, &result, error),
                     SCRIPT_OK);
    assert_true(result == 42);
    assert_string_equal(error, "");
    script_close(script);
}

static void a_function_that_is_not_there_is_told_by_its_path(void **state) {
    (void)state;
    struct script *script = open_or_fail("return { hooks = { x = 1 } }");
    static const char *const paths[] = {"run", "hooks.y", "hooks.x", "hooks.x.y", "run.x"};
    char error[SCRIPT_ERROR_SIZE];
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(call(script, paths[i], error), SCRIPT_NO_SUCH);
        assert_contains(error, paths[i]);
    }
    script_close(script);
}

static void state_of_a_script_lasts_from_call_to_call(void **state) {
    (void)state;
    struct script *script =
        open_or_fail("local n = 0 return { count = function() n = n + 1 return n end }");
    char error[SCRIPT_ERROR_SIZE];
    double result = 0;
    for (int i = 0; i < 3; i++)
        script_call(script, "count", NULL, take_number, &result, error);
    assert_true(result == 3);
    script_close(script);
}

static void a_nan_result_arrives_as_nan(void **state) {
    (void)state;
    struct script *script = open_or_fail("return { f = function() return 0/0 end, " FINE "}");
    char error[SCRIPT_ERROR_SIZE];
    double result = 0;
    assert_int_equal(script_call(script, "f", NULL, take_number, &result, error), SCRIPT_OK);
    assert_true(isnan(result));
    assert_usable(script);
    script_close(script);
}

static int push_raises(lua_State *L, void *context) {
    (void)context;
    return luaL_error(L, "no such device");
}

static void an_error_of_the_host_inside_a_call_is_an_error_of_the_call(void **state) {
    (void)state;
    struct script *script = open_or_fail("return { " FINE "}");
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(script_call(script, "fine", push_raises, NULL, NULL, error), SCRIPT_RAISED);
    assert_contains(error, "no such device");
    assert_usable(script);
    script_close(script);
}

static void the_table_becomes_a_tree_with_functions_as_true(void **state) {
    (void)state;
    struct script *script =
        open_or_fail("return { api = 1, list = { 'a', 'b' }, run = function() end }");
    struct report report;
    report_init(&report);
    json_t *tree = script_tree(script, &report);
    assert_non_null(tree);
    assert_int_equal(json_integer_value(json_object_get(tree, "api")), 1);
    assert_int_equal(json_array_size(json_object_get(tree, "list")), 2);
    assert_true(json_is_true(json_object_get(tree, "run")));
    json_decref(tree);
    report_free(&report);
    script_close(script);
}

/* ---- errors ---- */

static void an_error_names_file_and_line(void **state) {
    (void)state;
    expect("local x = nil\nreturn x.y", SCRIPT_RAISED, "test.lua:4: attempt to index a nil value");
    expect("error('the sky is green')", SCRIPT_RAISED, "test.lua:3: the sky is green");
    expect("error('no place given', 0)", SCRIPT_RAISED, "test.lua:3: no place given");
    expect("string.rep('x')", SCRIPT_RAISED, "test.lua:3: bad argument #2 to 'rep'");
}

static void an_error_that_is_not_a_sentence_is_told_with_its_line(void **state) {
    (void)state;
    expect("error({})", SCRIPT_RAISED, "test.lua:3: error() was called with a table");
    expect("error()", SCRIPT_RAISED, "test.lua:3: error() was called with a nil");
    expect("error(12)", SCRIPT_RAISED, "test.lua:3: 12");
    expect("error(setmetatable({}, { __tostring = function() error({}) end }))", SCRIPT_RAISED,
           "test.lua:3: ");
}

static void an_error_text_becomes_one_line_of_utf_8(void **state) {
    (void)state;
    expect("error('a\\nb\\0c')", SCRIPT_RAISED, "test.lua:3: a b");
    expect("error('\\xff\\xc3\\xa4\\xed\\xa0\\x80')", SCRIPT_RAISED, "test.lua:3: ?\xc3\xa4???");
    char text[] = "ab\xe2\x82"; /* cut inside a character */
    script_text_clean(text);
    assert_string_equal(text, "ab");
}

static void a_long_error_is_cut_and_stays_valid(void **state) {
    (void)state;
    char error[SCRIPT_ERROR_SIZE];
    struct script *script =
        open_or_fail("return { bad = function() error(string.rep('\\u{20ac}', 1000)) end }");
    assert_int_equal(call(script, "bad", error), SCRIPT_RAISED);
    assert_true(strlen(error) > SCRIPT_ERROR_SIZE - 5 && strlen(error) < SCRIPT_ERROR_SIZE);
    json_t *json = json_string(error);
    assert_non_null(json);
    json_decref(json);
    script_close(script);
}

/* ---- what does not load ---- */

static void a_text_that_is_not_lua_is_refused_with_its_line(void **state) {
    (void)state;
    static const char text[] = "local a = 1\nlocal b = = 2\nreturn {}";
    char mistake[SCRIPT_ERROR_SIZE];
    refused(text, strlen(text), mistake);
    assert_contains(mistake, "test.lua:2: unexpected symbol");
}

static int write_chunk(lua_State *L, const void *data, size_t size, void *context) {
    (void)L;
    luaL_addlstring(context, data, size);
    return 0;
}

static void compiled_lua_is_refused(void **state) {
    (void)state;
    lua_State *L = luaL_newstate();
    assert_int_equal(luaL_loadstring(L, "return { api = 1 }"), LUA_OK);
    luaL_Buffer buffer;
    lua_State *other = luaL_newstate();
    luaL_buffinit(other, &buffer);
    lua_dump(L, write_chunk, &buffer, 0);
    luaL_pushresult(&buffer);
    size_t length;
    const char *code = lua_tolstring(other, -1, &length);
    char mistake[SCRIPT_ERROR_SIZE];
    refused(code, length, mistake);
    assert_contains(mistake, "compiled Lua");
    lua_close(other);
    lua_close(L);
}

static void a_chunk_that_returns_no_table_is_refused(void **state) {
    (void)state;
    char mistake[SCRIPT_ERROR_SIZE];
    refused("return 5", 8, mistake);
    assert_contains(mistake, "must end with 'return { ... }'");
    refused("", 0, mistake);
    assert_contains(mistake, "returned a nil");
}

static void a_chunk_that_never_ends_is_refused(void **state) {
    (void)state;
    static const char text[] = "local n = 0\nwhile true do n = n + 1 end";
    char mistake[SCRIPT_ERROR_SIZE];
    refused(text, strlen(text), mistake);
    assert_contains(mistake, "test.lua:2: loading was stopped");
}

static void a_byte_order_mark_does_no_harm(void **state) {
    (void)state;
    script_close(open_or_fail("\xEF\xBB\xBFreturn { " FINE "}"));
}

/* ---- the sandbox ---- */

struct walk {
    size_t found;
    const char *unknown;
    char text[64];
};

static bool is_listed(const char *name) {
    for (const char *const *at = script_sandbox_names(); *at; at++) {
        if (strcmp(*at, name) == 0)
            return true;
    }
    return false;
}

static void check_name(struct walk *walk, const char *library, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "%s%s%s", library, library[0] ? "." : "", name);
    walk->found++;
    if (is_listed(full))
        return;
    memcpy(walk->text, full, sizeof full);
    walk->unknown = walk->text;
}

/* Walks what scripts can reach: _ENV is empty, and its __index holds the names. */
static int walk_globals(lua_State *L, void *context) {
    struct walk *walk = context;
    lua_pushglobaltable(L);
    lua_pushnil(L);
    if (lua_next(L, -2))
        walk->unknown = "something in _ENV itself";
    lua_pushglobaltable(L);
    lua_getmetatable(L, -1);
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        char name[64];
        snprintf(name, sizeof name, "%s", lua_tostring(L, -2));
        check_name(walk, "", name);
        if (lua_istable(L, -1)) {
            lua_pushnil(L);
            while (lua_next(L, -2)) {
                check_name(walk, name, lua_tostring(L, -2));
                lua_pop(L, 1);
            }
        }
        lua_pop(L, 1);
    }
    lua_settop(L, 1);
    return 0;
}

static void the_globals_are_exactly_the_allow_list(void **state) {
    (void)state;
    struct script *script = open_or_fail("return { " FINE "}");
    struct walk walk = {0};
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(script_call(script, "fine", walk_globals, NULL, &walk, error), SCRIPT_OK);
    if (walk.unknown)
        fail_msg("scripts see %s", walk.unknown);
    size_t listed = 0;
    for (const char *const *at = script_sandbox_names(); *at; at++, listed++)
        assert_true(listed == 0 || strcmp(at[-1], *at) < 0);
    assert_int_equal(walk.found, listed);
    script_close(script);
}

/* The linter reads the file line by line, as here. */
static void the_list_is_what_its_file_says(void **state) {
    (void)state;
    FILE *file = fopen(DERD_SOURCE_DIR "/host/script/script_names.inc", "r");
    assert_non_null(file);
    char line[200], name[64], end;
    size_t listed = 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "//", 2) == 0)
            continue;
        assert_int_equal(sscanf(line, "\"%63[a-z0-9.]\",%c", name, &end), 2);
        assert_int_equal(end, '\n');
        assert_non_null(script_sandbox_names()[listed]);
        assert_string_equal(script_sandbox_names()[listed++], name);
    }
    fclose(file);
    assert_true(listed > 0);
    assert_null(script_sandbox_names()[listed]);
}

static void what_reaches_outside_does_not_exist(void **state) {
    (void)state;
    static const char *const names[] = {
        "io",     "os",     "debug",    "package",        "require",
        "load",   "dofile", "loadfile", "collectgarbage", "coroutine",
        "rawset", "_G",     "xpcall"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char body[100];
        char part[100];
        snprintf(body, sizeof body, "return %s", names[i]);
        snprintf(part, sizeof part, "test.lua:3: there is no global named '%s'", names[i]);
        expect(body, SCRIPT_RAISED, part);
    }
    expect("return ('x').dump.y", SCRIPT_RAISED, "test.lua:3: ");
    expect("return string.dump(function() end)", SCRIPT_RAISED, "test.lua:3: ");
}

static void a_global_cannot_be_written(void **state) {
    (void)state;
    expect("counter = 1", SCRIPT_RAISED, "test.lua:3: the global 'counter' cannot be set");
    expect("print = nil", SCRIPT_RAISED, "test.lua:3: the global 'print' cannot be set");
    expect("_ENV.x = 1", SCRIPT_RAISED, "write 'local x' where it starts");
    expect("setmetatable(_ENV, {})", SCRIPT_RAISED, "cannot change a protected metatable");
    expect("table.insert(_ENV, 1)", SCRIPT_RAISED, "test.lua:3: ");
    expect("assert(getmetatable(_ENV) == false)", SCRIPT_OK, NULL);
}

static void a_chunk_cannot_write_globals_either(void **state) {
    (void)state;
    static const char text[] = "function decode() end\nreturn {}";
    char mistake[SCRIPT_ERROR_SIZE];
    refused(text, strlen(text), mistake);
    assert_contains(mistake, "test.lua:1: the global 'decode' cannot be set: write 'local decode'");
}

static void finalizers_are_refused(void **state) {
    (void)state;
    expect("setmetatable({}, { __gc = function() end })", SCRIPT_RAISED,
           "test.lua:3: a metatable in a script cannot have __gc");
    /* Through a metatable's own metatable, and with a protected one. */
    expect("setmetatable({}, setmetatable({ __metatable = 1, __gc = 1 }, { __index = {} }))",
           SCRIPT_RAISED, "__gc");
}

static void a_finalizer_that_is_added_later_never_runs(void **state) {
    (void)state;
    struct script *script = open_or_fail("local ran = 0\n"
                                         "return { f = function()\n"
                                         "  local meta = {}\n"
                                         "  setmetatable({}, meta)\n"
                                         "  meta.__gc = function() ran = ran + 1 end\n"
                                         "  for i = 1, 1000 do local garbage = { i } end\n"
                                         "end, ran = function() return ran end }");
    char error[SCRIPT_ERROR_SIZE];
    double ran = -1;
    for (int i = 0; i < 20; i++)
        assert_int_equal(call(script, "f", error), SCRIPT_OK);
    script_call(script, "ran", NULL, take_number, &ran, error);
    script_close(script);
    assert_true(ran == 0);
}

static void metatables_work_otherwise(void **state) {
    (void)state;
    expect("local t = setmetatable({}, { __index = function(_, k) return k .. '!' end })\n"
           "assert(t.x == 'x!')",
           SCRIPT_OK, NULL);
}

static void the_metatable_of_strings_is_out_of_reach(void **state) {
    (void)state;
    expect("assert(getmetatable('') == false)", SCRIPT_OK, NULL);
    expect("getmetatable('').__index = {}", SCRIPT_RAISED, "test.lua:3: ");
    expect("assert(('ab'):rep(2) == 'abab' and ('ab'):len() == 2 and '10' + 1 == 11)", SCRIPT_OK,
           NULL);
}

static void lists_sort_with_and_without_a_comparison(void **state) {
    (void)state;
    expect("local t = { 3, 1, 2 } table.sort(t) assert(table.concat(t) == '123')\n"
           "table.sort(t, function(a, b) return a > b end) assert(table.concat(t) == '321')",
           SCRIPT_OK, NULL);
}

/* ---- limits ---- */

static void an_endless_loop_is_stopped_with_limit_and_line(void **state) {
    (void)state;
    expect("local n = 0\nwhile true do n = n + 1 end", SCRIPT_OVERTIME,
           "test.lua:4: bad was stopped: it may use ");
    expect("while true do end", SCRIPT_OVERTIME, "ms of CPU time and had used ");
    expect("goto a ::a:: goto a", SCRIPT_OVERTIME, NULL);
    expect("for i = 1, math.huge do end", SCRIPT_OVERTIME, NULL);
}

static void no_pcall_swallows_the_end_of_the_budget(void **state) {
    (void)state;
    expect("while true do pcall(function() while true do end end) end", SCRIPT_OVERTIME,
           "test.lua");
    expect("local function f() while true do pcall(f) end end f()", SCRIPT_OVERTIME, NULL);
    expect("while true do local x <close> = setmetatable({}, { __close = function()\n"
           "while true do end end }) pcall(error) end",
           SCRIPT_OVERTIME, NULL);
}

static void c_functions_do_not_hide_from_the_budget(void **state) {
    (void)state;
    expect("while true do string.rep('x', 1000) end", SCRIPT_OVERTIME, NULL);
    expect("table.sort({ 3, 2, 1 }, function() while true do end end)", SCRIPT_OVERTIME, NULL);
    expect("string.rep('', 1 << 60)", SCRIPT_RAISED, "at most 1000000 repetitions");
    expect("table.concat({}, '', 1, 1 << 60)", SCRIPT_RAISED, "at most 1000000 items");
    expect("table.concat({}, '', math.mininteger, math.maxinteger)", SCRIPT_RAISED,
           "at most 1000000 items");
    expect("table.unpack({}, 1, 1 << 30)", SCRIPT_RAISED, "at most 1000000 items");
    expect("table.move({}, 1, 1 << 60, 2)", SCRIPT_RAISED, "at most 1000000 items");
    expect("table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 1)",
           SCRIPT_RAISED, "__len");
    /* The length of a table with holes at every power of two is one of them. */
    expect("local t = {} for i = 0, 40 do t[1 << i] = 1 t[(1 << i) + 1] = 1 end\n"
           "table.insert(t, 1, 1)",
           SCRIPT_RAISED, "at most 1000000 items");
    expect("local t, s = {}, string.rep('x', 100000)\n"
           "for i = 1, 1000 do t[i] = s end while true do table.sort(t) end",
           SCRIPT_OVERTIME, NULL);
}

/* Ends in SCRIPT_MEMORY with the script spoiled; nothing else happens to the process. */
static void bomb(const char *body, const char *part) {
    char text[1000];
    char error[SCRIPT_ERROR_SIZE];
    snprintf(text, sizeof text, "return { " FINE ",\nbad = function()\n%s\nend }", body);
    struct script *script = open_or_fail(text);
    assert_int_equal(call(script, "bad", error), SCRIPT_MEMORY);
    assert_contains(error, part);
    assert_true(script_spoiled(script));
    assert_true(script_memory(script) <= small().memory_bytes);
    script_close(script);
}

static void a_memory_bomb_spoils_the_script_only(void **state) {
    (void)state;
    bomb("local s = 'x'\nwhile true do s = s .. s end",
         "test.lua:4: bad ran out of memory: a script may use 2048 KiB");
    bomb("local t = {}\nfor i = 1, 1e9 do t[i] = { i } end", "test.lua:4: ");
    bomb("return string.rep('x', 1000000, 'yyyyyyyyyy')", "test.lua:3: ");
    bomb("return string.format('%s', string.rep('x', 1000000)):rep(3)", "test.lua:3: ");
}

static void a_spoiled_script_can_be_opened_again(void **state) {
    (void)state;
    static const char text[] = "local held = {} return { " FINE ", bad = function()\n"
                               "for i = 1, math.huge do held[i] = { i } end end }";
    char error[SCRIPT_ERROR_SIZE];
    for (int i = 0; i < 5; i++) {
        struct script *script = open_or_fail(text);
        assert_usable(script);
        assert_int_equal(call(script, "bad", error), SCRIPT_MEMORY);
        assert_true(script_spoiled(script));
        assert_contains(error, "test.lua:2: bad ran out of memory: a script may use 2048 KiB");
        script_close(script);
    }
}

static void a_limit_names_whom_the_call_was_for(void **state) {
    (void)state;
    struct script *script = open_or_fail("return { " FINE ", bad = function()\n"
                                         "while true do end end }");
    char error[SCRIPT_ERROR_SIZE];
    script_set_subject(script, "home/battery", NULL);
    assert_int_equal(call(script, "bad", error), SCRIPT_OVERTIME);
    assert_contains(error, "test.lua:2: bad for home/battery was stopped: it may use ");
    script_set_subject(script, NULL, NULL);
    assert_int_equal(call(script, "bad", error), SCRIPT_OVERTIME);
    assert_contains(error, "test.lua:2: bad was stopped");
    script_close(script);
}

/* The log, written to a file while `act` runs. */
static void log_of(const char *body, const char *subject, char *text, size_t size) {
    char path[] = "/tmp/test_script.XXXXXX";
    int file = mkstemp(path), standard = dup(STDERR_FILENO);
    assert_true(file >= 0 && standard >= 0);
    char code[1000], error[SCRIPT_ERROR_SIZE];
    snprintf(code, sizeof code, "return { " FINE ", f = function()\n%s\nend }", body);
    struct script *script = open_or_fail(code);
    script_set_subject(script, subject, NULL);
    dup2(file, STDERR_FILENO);
    for (int i = 0; i < 3; i++)
        call(script, "f", error);
    dup2(standard, STDERR_FILENO);
    script_close(script);
    close(standard);
    ssize_t length = pread(file, text, size - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    close(file);
    unlink(path);
}

static void the_half_of_a_limit_is_warned_of_once(void **state) {
    (void)state;
    char text[4000];
    log_of("return ('x'):rep(600 * 1024)", "home/a", text, sizeof text);
    assert_contains(text, "f for home/a took the script's memory to 1");
    assert_contains(text, "it may have 2048 KiB");
    assert_null(strstr(strstr(text, "memory to") + 1, "memory to"));
    log_of("return ('a'):rep(290):find('a*b')", "home/a", text, sizeof text);
    assert_contains(text, "test.lua:2: string.find for home/a took 100");
    assert_contains(text, "it is stopped at 200000");
    assert_null(strstr(strstr(text, "goes on") + 1, "goes on"));
    log_of("return ('a'):rep(100):find('a*b')", "home/a", text, sizeof text);
    assert_string_equal(text, "");
}

static void patterns_work_as_functions_and_methods(void **state) {
    (void)state;
    expect("assert(('a=1'):match('(%w)=(%d)') == 'a' and string.find('abc', 'c') == 3)\n"
           "assert(('a b'):gsub('%w', '%0%0') == 'aa bb')\n"
           "for word in ('x y'):gmatch('%a') do assert(word == 'x' or word == 'y') end",
           SCRIPT_OK, NULL);
    expect("return (('a?'):rep(30) .. ('a'):rep(30)):rep(9):find(('a?'):rep(30) .. 'b')",
           SCRIPT_RAISED, "test.lua:3: string.find was stopped: matching may take 200000 steps");
    expect("return ('x'):find('[')", SCRIPT_RAISED, "test.lua:3: malformed pattern (missing ']')");
}

/* C functions that call each other: no instruction of Lua runs between them. */
static void c_functions_that_call_c_functions_end_too(void **state) {
    (void)state;
    expect(
        "local t = setmetatable(table.pack((''):rep(10):byte(1, -1)), { __index = table.concat })\n"
        "for i = 1, 20000 do t[i] = '' end\n"
        "table.move(t, 30001, 900000, 1, setmetatable({}, { __newindex = type }))",
        SCRIPT_OVERTIME, "test.lua:5: bad was stopped");
    expect("local text = ('9'):rep(6):rep(9000)\n"
           "return text:gsub('(a?)(%d%d%d%d%d%d)', string.rep)",
           SCRIPT_OVERTIME, "test.lua:4: bad was stopped");
    expect("local t = {} for i = 1, 30000 do t[i] = i * 7919 % 30000 end\n"
           "while true do table.sort(t, math.ult) end",
           SCRIPT_OVERTIME, "test.lua:4: bad was stopped");
    expect("local t = {} for i = 1, 30000 do t[i] = i end for i = 1, 30000 do t[i] = nil end\n"
           "local step = pairs({})\n"
           "table.move(setmetatable(t, { __index = step }), 1, 30000, 1, {}) return #t, 'it ended'",
           SCRIPT_OVERTIME, "test.lua:5: bad was stopped");
}

static void a_table_that_is_its_own_call_ends_too(void **state) {
    (void)state;
    expect("local t = setmetatable({}, {}) getmetatable(t).__call = t\nreturn t()", SCRIPT_OVERTIME,
           "test.lua:4: bad was stopped");
    expect("local t = setmetatable({}, {}) getmetatable(t).__call = t\n"
           "while true do pcall(t) end",
           SCRIPT_OVERTIME, "test.lua:4: bad was stopped");
}

static void compiling_ends_too(void **state) {
    (void)state;
    size_t size = 256 * 1024;
    char *text = malloc(size + 4000);
    assert_non_null(text);
    size_t length = 0;
    for (int level = 0; level < 100; level++) {
        length += (size_t)snprintf(text + length, size + 4000 - length,
                                   "local function f%d() local ", level);
        for (int i = 0; i < 190; i++)
            length +=
                (size_t)snprintf(text + length, size + 4000 - length, "%sa%d", i ? "," : "", i);
        length += (size_t)snprintf(text + length, size + 4000 - length, " ");
    }
    while (length < size)
        length += (size_t)snprintf(text + length, size + 4000 - length, "x=x ");
    char mistake[SCRIPT_ERROR_SIZE];
    refused(text, length, mistake);
    assert_contains(mistake, "loading was stopped");
    free(text);
}

static void endless_recursion_ends_in_an_error(void **state) {
    (void)state;
    struct script *script =
        open_or_fail("local function f() return 1 + f() end return { f = f, " FINE "}");
    char error[SCRIPT_ERROR_SIZE];
    enum script_outcome outcome = call(script, "f", error);
    assert_true(outcome == SCRIPT_MEMORY || outcome == SCRIPT_RAISED);
    assert_contains(error, "test.lua:1: ");
    script_close(script);
    expect(
        "local function f() return pcall(f) end f()\n"
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end\n"
        "return t.x",
        SCRIPT_RAISED, "test.lua");
}

static void memory_caught_by_the_script_does_no_harm(void **state) {
    (void)state;
    expect("local ok, why = pcall(function() local s = 'x' while true do s = s .. s end end)\n"
           "assert(not ok and why == 'not enough memory')",
           SCRIPT_OK, NULL);
}

/* Opens and calls under every cap from nothing upwards: each allocation fails once. */
static void an_allocation_that_fails_anywhere_never_aborts(void **state) {
    (void)state;
    static const char text[] =
        "local t = {} for i = 1, 50 do t[i] = { i .. 'x' } end\n"
        "return { f = function(a) return string.format('%s', a), { a } end }";
    bool opened = false;
    bool called = false;
    for (size_t cap = 0; cap < 64 << 10; cap += 96) {
        struct script_limits limits = small();
        limits.memory_bytes = cap;
        struct report report;
        report_init(&report);
        struct script *script = script_open(NAME, text, strlen(text), &limits, &report);
        if (!script) {
            assert_true(report.count > 0);
            report_free(&report);
            continue;
        }
        opened = true;
        char error[SCRIPT_ERROR_SIZE];
        enum script_outcome outcome = script_call(script, "f", push_sum, NULL, NULL, error);
        assert_true(outcome == SCRIPT_OK || outcome == SCRIPT_MEMORY);
        called = called || outcome == SCRIPT_OK;
        struct script_task *task; /* the same as a coroutine */
        outcome = script_task_start(script, "f", push_sum, NULL, NULL, &task, error);
        assert_true(outcome == SCRIPT_OK || outcome == SCRIPT_MEMORY);
        assert_null(task);
        script_close(script);
        report_free(&report);
    }
    assert_true(opened && called);
}

/* Blocks of all sizes, made, grown and dropped in changing order, those around the largest that is
 * kept for the next call most of all. */
static void memory_that_was_given_back_is_as_good_as_new(void **state) {
    (void)state;
    struct script *script =
        open_or_fail("local kept, round = {}, 0\n"
                     "local function text(n) return string.rep(string.char(97 + n % 26), n) end\n"
                     "return { " FINE ", churn = function()\n"
                     "  round = round + 1\n"
                     "  for n = round % 8, 2100, 17 do kept[n] = { n, text(n), { of = n } } end\n"
                     "  for n = 980, 1060, 3 do kept[n] = { n, text(n), { of = n } } end\n"
                     "  local list = {} for i = 1, 200 do list[i] = i end\n"
                     "  for n, item in pairs(kept) do\n"
                     "    assert(item[1] == n and item[2] == text(n) and item[3].of == n)\n"
                     "    if (n + round) % 2 == 0 then kept[n] = nil end\n"
                     "  end\n"
                     "  for i = 1, 200 do assert(list[i] == i) end\n"
                     "end }");
    char error[SCRIPT_ERROR_SIZE];
    for (int i = 0; i < 200; i++)
        if (call(script, "churn", error) != SCRIPT_OK)
            fail_msg("%s", error);
    assert_usable(script);
    script_close(script);
}

static void printing_is_bounded(void **state) {
    (void)state;
    expect("local y = string.rep('y', 10000)\nfor i = 1, 100 do print(i, nil, true, y, {}) end",
           SCRIPT_OK, NULL);
    expect("print(setmetatable({}, { __tostring = function() return {} end }))", SCRIPT_RAISED,
           "test.lua:3: ");
}

static struct script *open_with_budget(int64_t call_cpu_us) {
    static const char text[] = "return { " FINE ", bad = function() while true do end end }";
    struct script_limits limits = small();
    limits.call_cpu_us = call_cpu_us;
    struct report report;
    report_init(&report);
    struct script *script = script_open(NAME, text, sizeof text - 1, &limits, &report);
    assert_non_null(script);
    report_free(&report);
    return script;
}

static long number_after(const char *text, const char *words) {
    const char *at = strstr(text, words);
    assert_non_null(at);
    return strtol(at + strlen(words), NULL, 10);
}

/* It runs until its budget is used up, and not much longer; in CPU time. */
static void assert_bounded(struct script *script) {
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(call(script, "bad", error), SCRIPT_OVERTIME);
    long budget_ms = number_after(error, "it may use ");
    long used_ms = number_after(error, "had used ");
    if (used_ms < budget_ms || used_ms > budget_ms + budget_ms / 2 + 20)
        fail_msg("%s", error);
}

/* A timer is left set from one call to the next, of whatever script. */
static void each_call_has_its_own_budget_whoever_was_called_before(void **state) {
    (void)state;
    struct script *scripts[3] = {open_with_budget(5000), open_with_budget(200000),
                                 open_with_budget(40000)};
    static const int before[] = {1, 1, 0, 2, 0, 0, 2, 1}, then[] = {0, 2, 1, 2, 2, 0, 0, 1};
    for (size_t i = 0; i < sizeof then / sizeof *then; i++) {
        assert_usable(scripts[before[i]]);
        assert_bounded(scripts[then[i]]);
    }
    for (size_t i = 0; i < 3; i++)
        script_close(scripts[i]);
}

/* Many short calls, until the timer of the first of them must have gone off more than once. */
static void a_budget_holds_after_many_calls(void **state) {
    (void)state;
    struct script *script = open_with_budget(20000);
    for (int i = 0; i < 20000; i++)
        assert_usable(script);
    assert_bounded(script);
    script_close(script);
}

static int push_call(lua_State *L, void *context) {
    char error[SCRIPT_ERROR_SIZE];
    (void)L;
    call(context, "fine", error);
    assert_string_equal(error, "");
    return 0;
}

static int push_overrun(lua_State *L, void *context) {
    char error[SCRIPT_ERROR_SIZE];
    (void)L;
    assert_int_equal(call(context, "bad", error), SCRIPT_OVERTIME);
    return 0;
}

static void a_call_within_a_call_leaves_both_their_budgets(void **state) {
    (void)state;
    struct script *outer = open_with_budget(40000), *inner = open_with_budget(5000);
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(script_call(outer, "bad", push_call, NULL, inner, error), SCRIPT_OVERTIME);
    assert_contains(error, "bad was stopped");
    assert_int_equal(script_call(outer, "bad", push_overrun, NULL, inner, error), SCRIPT_OVERTIME);
    assert_int_equal(script_call(outer, "fine", push_overrun, NULL, inner, error), SCRIPT_OK);
    assert_int_equal(script_call(inner, "bad", push_overrun, NULL, outer, error), SCRIPT_OVERTIME);
    assert_usable(outer);
    assert_usable(inner);
    script_close(outer);
    script_close(inner);
}

static void *call_in_thread(void *context) {
    char error[SCRIPT_ERROR_SIZE];
    return (void *)(intptr_t)call(context, "bad", error);
}

static void budgets_follow_the_calling_thread(void **state) {
    (void)state;
    struct script *script =
        open_or_fail("return { " FINE ", bad = function() while true do end end }");
    pthread_t thread;
    void *outcome;
    assert_int_equal(pthread_create(&thread, NULL, call_in_thread, script), 0);
    assert_int_equal(pthread_join(thread, &outcome), 0);
    assert_int_equal((intptr_t)outcome, SCRIPT_OVERTIME);
    assert_usable(script);
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(call(script, "bad", error), SCRIPT_OVERTIME);
    script_close(script);
}

static void many_scripts_have_budgets_of_their_own(void **state) {
    (void)state;
    struct script *scripts[50];
    char error[SCRIPT_ERROR_SIZE];
    for (int i = 0; i < 50; i++)
        scripts[i] = open_or_fail("return { " FINE ", bad = function() while true do end end }");
    assert_int_equal(call(scripts[7], "bad", error), SCRIPT_OVERTIME);
    for (int i = 0; i < 50; i++) {
        assert_usable(scripts[i]);
        script_close(scripts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_gets_its_arguments_and_gives_its_results),
        cmocka_unit_test(a_function_that_is_not_there_is_told_by_its_path),
        cmocka_unit_test(state_of_a_script_lasts_from_call_to_call),
        cmocka_unit_test(a_nan_result_arrives_as_nan),
        cmocka_unit_test(an_error_of_the_host_inside_a_call_is_an_error_of_the_call),
        cmocka_unit_test(the_table_becomes_a_tree_with_functions_as_true),
        cmocka_unit_test(an_error_names_file_and_line),
        cmocka_unit_test(an_error_that_is_not_a_sentence_is_told_with_its_line),
        cmocka_unit_test(an_error_text_becomes_one_line_of_utf_8),
        cmocka_unit_test(a_long_error_is_cut_and_stays_valid),
        cmocka_unit_test(a_text_that_is_not_lua_is_refused_with_its_line),
        cmocka_unit_test(compiled_lua_is_refused),
        cmocka_unit_test(a_chunk_that_returns_no_table_is_refused),
        cmocka_unit_test(a_chunk_that_never_ends_is_refused),
        cmocka_unit_test(a_byte_order_mark_does_no_harm),
        cmocka_unit_test(the_globals_are_exactly_the_allow_list),
        cmocka_unit_test(the_list_is_what_its_file_says),
        cmocka_unit_test(what_reaches_outside_does_not_exist),
        cmocka_unit_test(a_global_cannot_be_written),
        cmocka_unit_test(a_chunk_cannot_write_globals_either),
        cmocka_unit_test(finalizers_are_refused),
        cmocka_unit_test(a_finalizer_that_is_added_later_never_runs),
        cmocka_unit_test(metatables_work_otherwise),
        cmocka_unit_test(the_metatable_of_strings_is_out_of_reach),
        cmocka_unit_test(lists_sort_with_and_without_a_comparison),
        cmocka_unit_test(an_endless_loop_is_stopped_with_limit_and_line),
        cmocka_unit_test(no_pcall_swallows_the_end_of_the_budget),
        cmocka_unit_test(c_functions_do_not_hide_from_the_budget),
        cmocka_unit_test(a_memory_bomb_spoils_the_script_only),
        cmocka_unit_test(a_spoiled_script_can_be_opened_again),
        cmocka_unit_test(a_limit_names_whom_the_call_was_for),
        cmocka_unit_test(the_half_of_a_limit_is_warned_of_once),
        cmocka_unit_test(patterns_work_as_functions_and_methods),
        cmocka_unit_test(c_functions_that_call_c_functions_end_too),
        cmocka_unit_test(a_table_that_is_its_own_call_ends_too),
        cmocka_unit_test(compiling_ends_too),
        cmocka_unit_test(endless_recursion_ends_in_an_error),
        cmocka_unit_test(memory_caught_by_the_script_does_no_harm),
        cmocka_unit_test(an_allocation_that_fails_anywhere_never_aborts),
        cmocka_unit_test(memory_that_was_given_back_is_as_good_as_new),
        cmocka_unit_test(printing_is_bounded),
        cmocka_unit_test(each_call_has_its_own_budget_whoever_was_called_before),
        cmocka_unit_test(a_budget_holds_after_many_calls),
        cmocka_unit_test(a_call_within_a_call_leaves_both_their_budgets),
        cmocka_unit_test(budgets_follow_the_calling_thread),
        cmocka_unit_test(many_scripts_have_budgets_of_their_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
