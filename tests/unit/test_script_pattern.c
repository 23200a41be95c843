/* The host's pattern functions against those of Lua itself, which are the same in everything but
 * the limits: the same calls on both, the same results and the same error texts. */
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

#include "script/script_pattern.h"

/* The thread sanitizer keeps the frames that an error of Lua jumps over: it has room for 65536 and
 * becomes slower with each. There are no threads in here to be found out. */
#ifdef __SANITIZE_THREAD__
#define CALLS  300
#define STRIDE "51"
#else
#define CALLS  40000
#define STRIDE "1"
#endif
#define SEED       20260101u
#define BOTH_START "local real, ours = ...\n"

/* A plain state; `ours` is a table with the functions of the host. Both are given to `code`. */
static void run_on_both(const char *code, const struct pattern_watch *watch) {
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    if (luaL_loadstring(L, code) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_newtable(L);
    script_pattern_open(L, lua_gettop(L), watch);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    lua_close(L);
}

/* Compares one call. Lua finds the name "string.find" for its messages among the loaded modules. */
#define SAME                                                                                       \
    "local function show(r)\n"                                                                     \
    "  local t = {}\n"                                                                             \
    "  for i = 1, r.n do\n"                                                                        \
    "    local value = r[i]\n"                                                                     \
    "    if type(value) == 'string' then value = value:gsub(\"to 'string%.%a+'\", \"to '?'\") "    \
    "end\n"                                                                                        \
    "    if type(value) == 'function' or type(value) == 'table' then value = type(value) end\n"    \
    "    t[i] = string.format('%q', value)\n"                                                      \
    "  end\n"                                                                                      \
    "  return table.concat(t, ', ')\n"                                                             \
    "end\n"                                                                                        \
    "local function same(name, ...)\n"                                                             \
    "  local a, b = table.pack(pcall(real[name], ...)), table.pack(pcall(ours[name], ...))\n"      \
    "  a, b = show(a), show(b)\n"                                                                  \
    "  if a ~= b then error(name .. '(' .. show(table.pack(...)) .. '):\\nreal ' .. a ..\n"        \
    "    '\\nours ' .. b) end\n"                                                                   \
    "  return b\n"                                                                                 \
    "end\n"

static const char random_calls[] = BOTH_START SAME "\n\
local calls, seed = CALLS, SEED\n\
math.randomseed(seed)\n\
local random = math.random\n\
local function pick(list) return list[random(#list)] end\n\
local pieces = { 'a', 'b', 'c', '.', '%a', '%d', '%s', '%w', '%x', '%p', '%l', '%u', '%c', '%g',\n\
  '%A', '%D', '%W', '%S', '%z', '%.', '%%', '[abc]', '[^ab]', '[a-c]', '[%a_]', '[^%s]', '[]]',\n\
  '[^]]', '[a-]', '[-a]', '[%-a]', '[a%]b]', '[]-a]', '[%a-z]', '[c-a]', '[^-b]', '[%]]', '[\\0-a]',\n\
  '(', ')', '(', ')', '()', '(a)', '(.)', '(.-)', '(a*)', '(b?)', '%1', '%2', '%9', '%0', '%bab',\n\
  '%b()', '%baa', '%f[a]', '%f[^a]', '%f[%z]', '%f[%w]', '*', '+', '-', '?', '*', '+', '-', '?',\n\
  '^', '$', '\\0', '\\xff', '[\\x80-\\xff]', ' ' }\n\
local broken = { '%', '[', '[a', '[^', '[]', '[%', '[%]', '%b', '%ba', '%f', '%fa', '%f[', '[a-' }\n\
local letters = { 'a', 'b', 'c', 'a', 'b', 'A', '1', '(', ')', ' ', '.', '%', '-', ']', '\\0', '\\xff' }\n\
local function text(list, most)\n\
  local t = {}\n\
  for i = 1, random(0, most) do t[i] = pick(list) end\n\
  return table.concat(t)\n\
end\n\
local fills = { '', 'x', '%0', '%1', '%2', '<%0>', '%%', '%', '%a', '%1%1', 'ab%', 17, 1.5,\n\
  { a = 'A', b = 2, c = false, [1] = 'one' }, { a = {} }, function(...) return select('#', ...) end,\n\
  function(a, b) return b end, function() end, function() return {} end,\n\
  function() error('stop', 0) end, false, nil, true }\n\
local raised, found = 0, 0\n\
for i = 1, calls do\n\
  local subject, pattern = text(letters, 12), text(pieces, 6)\n\
  if random(8) == 1 then pattern = pattern .. pick(broken) end\n\
  if random(8) == 1 then pattern = '^' .. pattern end\n\
  local start = random(4) == 1 and random(-15, 15) or nil\n\
  local result = same('find', subject, pattern, start, random(20) == 1)\n\
  if result:sub(1, 5) == 'false' then raised = raised + 1\n\
  elseif result ~= 'true, nil' then found = found + 1 end\n\
  same('match', subject, pattern, start)\n\
  same('gsub', subject, pattern, fills[random(#fills + 3)], random(3) == 1 and random(-1, 4) or nil)\n\
  local function all(library)\n\
    local t = {}\n\
    for a, b, c in library.gmatch(subject, pattern, start) do t[#t + 1] = show({ n = 3, a, b, c }) end\n\
    return table.concat(t, '; ')\n\
  end\n\
  local a, b = table.pack(pcall(all, real)), table.pack(pcall(all, ours))\n\
  if show(a) ~= show(b) then error('gmatch: ' .. show({ n = 2, subject, pattern }) .. '\\nreal ' ..\n\
    show(a) .. '\\nours ' .. show(b)) end\n\
end\n\
assert(raised > calls / 20 and found > calls / 20, 'the random calls say nothing')\n";

/* CALLS and SEED stand in the script as names; what they mean is given in front. */
static void random_calls_give_what_lua_gives(void **state) {
    (void)state;
    static char code[sizeof random_calls + 200];
    const char *names = strstr(random_calls, "CALLS, SEED");
    int before = (int)(names - random_calls);
    snprintf(code, sizeof code, "%.*s%d, %u%s", before, random_calls, CALLS, SEED,
             names + strlen("CALLS, SEED"));
    run_on_both(code, NULL);
}

static void every_class_agrees_on_every_character(void **state) {
    (void)state;
    run_on_both(BOTH_START SAME "\
for letter = 0, 255, " STRIDE " do\n\
  local class = '%' .. string.char(letter)\n\
  for _, pattern in ipairs({ class .. '+', '[' .. class .. ']', '[^' .. class .. 'x]' }) do\n\
    for c = 0, 255 do same('find', string.char(c), pattern) end\n\
  end\n\
end",
                NULL);
}

static void known_uses_give_what_lua_gives(void **state) {
    (void)state;
    run_on_both(BOTH_START SAME "\
same('match', 'key = value', '^(%w+)%s*=%s*(%w+)$')\n\
same('gsub', 'hello world', '%w+', '<%0>')\n\
same('gsub', 'abc', '', '-')\n\
same('gsub', 'hello world from Lua', '(%w+)%s*(%w+)', '%2 %1')\n\
same('find', 'THE (quick) fox', '%((%a+)%)')\n\
same('find', 'a+b', 'a+b', 1, true)\n\
same('find', '', '')\n\
same('find', '', '', 2)\n\
same('find', 'abc', 'b', -1)\n\
same('find', 'abc', '', 10)\n\
same('find', 'abc', 'b', math.mininteger)\n\
same('find', 'abc', 'b', math.maxinteger)\n\
same('match', 12345, '%d%d')\n\
same('gsub', 'abc', 'b', '%1', 1.0)\n\
same('gsub', 'abc', 'b')\n\
same('gsub', 'abc', 'b', 'x', 'y')\n\
same('find')\n\
same('find', 'a')\n\
same('find', {}, 'a')\n\
same('gmatch', 'a')\n\
same('match', ('a'):rep(40), ('(a)'):rep(32))\n\
same('match', ('a'):rep(40), ('(a)'):rep(33))\n\
same('match', ('a'):rep(300), ('a?'):rep(199))\n\
same('match', ('a'):rep(300), ('a?'):rep(200))\n\
same('match', ('a'):rep(300), ('a*'):rep(200))\n\
same('match', ('a'):rep(300), ('a'):rep(250))\n\
same('match', '[[]]x', '%b[]')\n\
same('match', 'THE END', '%f[%a]%a+%f[%A]')",
                NULL);
}

/* ---- limits ---- */

#define STOPPED                                                                                    \
    BOTH_START "local function stopped(part, name, ...)\n"                                         \
               "  local ok, text = pcall(ours[name], ...)\n"                                       \
               "  assert(not ok and text:find(part, 1, true), tostring(text))\n"                   \
               "end\n"

static void a_pattern_that_backtracks_without_end_is_stopped(void **state) {
    (void)state;
    run_on_both(STOPPED "\
local many = ('a'):rep(1000)\n\
stopped('string.find was stopped: matching may take 200000 steps', 'find', many, ('a*'):rep(20) .. 'b')\n\
stopped('string.match was stopped', 'match', many, ('.-'):rep(20) .. 'b')\n\
stopped('string.match was stopped', 'match', ('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(41))\n\
stopped('string.gsub was stopped', 'gsub', many, ('a*'):rep(20) .. 'b', '')\n\
stopped('string.match was stopped', 'match', ('('):rep(2000), '%b()')\n\
stopped('string.find was stopped', 'find', ('a'):rep(100), '[' .. ('b'):rep(100000) .. ']')\n\
stopped('string.find was stopped', 'find', many, '(.*)%1%1%1b')\n\
local next = ours.gmatch(many, ('a*'):rep(20) .. 'b')\n\
local ok, text = pcall(next)\n\
assert(not ok and text:find('string.gmatch was stopped', 1, true), text)",
                NULL);
}

static void what_gsub_makes_is_bounded(void **state) {
    (void)state;
    run_on_both(STOPPED "\
local long = ('x'):rep(100000)\n\
stopped('may have 1048576 bytes', 'gsub', ('a'):rep(100), 'a', long)\n\
stopped('may have 1048576 bytes', 'gsub', ('a'):rep(100), 'a', function() return long end)\n\
stopped('may have 1048576 bytes', 'gsub', ('a'):rep(100), 'a', { a = long })\n\
stopped('string.gsub was stopped: matching', 'gsub', 'a', 'a', ('%1'):rep(200001):gsub('%%1', '%%%%'))\n\
assert(#ours.gsub(('a'):rep(1000), 'a', ('x'):rep(1000)) == 1000000)",
                NULL);
}

static void a_long_text_is_searched_whole(void **state) {
    (void)state;
    run_on_both(BOTH_START "\
local text = ('key=value;'):rep(2000) .. 'last=1'\n\
assert(ours.match(text, 'last=(%d)') == '1')\n\
assert(ours.find(('x'):rep(5000000) .. 'needle', 'needle') == 5000001)\n\
local n = 0\n\
for key, value in ours.gmatch(text, '(%w+)=(%w+)') do n = n + 1 end\n\
assert(n == 2001)",
                NULL);
}

static int warnings;
static int warned_at;

static void count_warning(lua_State *L, const char *function, int steps, int maximum) {
    (void)L;
    assert_string_equal(function, "find");
    assert_int_equal(maximum, PATTERN_STEPS);
    warned_at = steps;
    warnings++;
}

static void half_of_the_steps_is_told_once_per_call(void **state) {
    (void)state;
    static const struct pattern_watch watch = {count_warning};
    run_on_both(BOTH_START "ours.find(('a'):rep(290), 'a*b')", &watch);
    assert_int_equal(warnings, 1);
    assert_true(warned_at > PATTERN_STEPS / 2);
    run_on_both(BOTH_START "ours.find(('a'):rep(100), 'a*b')", &watch);
    assert_int_equal(warnings, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_give_what_lua_gives),
        cmocka_unit_test(every_class_agrees_on_every_character),
        cmocka_unit_test(known_uses_give_what_lua_gives),
        cmocka_unit_test(a_pattern_that_backtracks_without_end_is_stopped),
        cmocka_unit_test(what_gsub_makes_is_bounded),
        cmocka_unit_test(a_long_text_is_searched_whole),
        cmocka_unit_test(half_of_the_steps_is_told_once_per_call)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
