/* The pattern functions for scripts against those of Lua, which are the same in everything but the
 * limits. First line: the function and its further arguments by letters; second: the pattern; the
 * rest: the subject. */
#include "fuzz.h"

#include <lauxlib.h>
#include <lualib.h>

#include "script/script_pattern.h"

static const char compare[] =
    "local real, ours = ...\n"
    "local function show(r)\n"
    "  local t = {}\n"
    "  for i = 1, r.n do\n"
    "    local v = r[i]\n"
    "    if type(v) == 'string' then v = real.gsub(v, \"to '[%w_.?]+'\", \"to '?'\") end\n"
    "    if type(v) == 'function' or type(v) == 'table' then v = type(v) end\n"
    "    t[i] = real.format('%q', v)\n"
    "  end\n"
    "  return table.concat(t, ', ')\n"
    "end\n"
    "local function each(f)\n"
    "  return function(s, p, n)\n"
    "    local t = {}\n"
    "    for a, b, c in f(s, p, n) do\n"
    "      t[#t + 1] = tostring(a) .. '|' .. tostring(b) .. '|' .. tostring(c)\n"
    "      if #t == 200 then break end\n"
    "    end\n"
    "    return table.concat(t, ';')\n"
    "  end\n"
    "end\n"
    "return function(name, ...)\n"
    "  local f, g = ours[name], real[name]\n"
    "  if name == 'gmatch' then f, g = each(f), each(g) end\n"
    "  local a = table.pack(pcall(f, ...))\n"
    "  if not a[1] and real.find(tostring(a[2]), 'too ', 1, true) then return true end\n"
    "  if not a[1] and real.find(tostring(a[2]), 'was stopped', 1, true) then return true end\n"
    "  local b = table.pack(pcall(g, ...))\n"
    "  local x, y = show(a), show(b)\n"
    "  if x ~= y then error(real.format('%s: ours %s, real %s', name, x, y), 0) end\n"
    "  return true\n"
    "end\n";

static lua_State *L;

static void open_both(void) {
    L = luaL_newstate();
    must(L);
    luaL_openlibs(L);
    must(luaL_loadstring(L, compare) == LUA_OK);
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_newtable(L);
    script_pattern_open(L, lua_gettop(L), NULL);
    must(lua_pcall(L, 2, 1, 0) == LUA_OK);
}

static void push_replacement(uint8_t kind, const char *pattern) {
    switch (kind % 4) {
    case 0:
        lua_pushliteral(L, "<%0%1>");
        break;
    case 1:
        lua_newtable(L);
        break;
    case 2:
        lua_pushstring(L, pattern);
        break;
    default:
        lua_pushinteger(L, 7);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"find", "match", "gmatch", "gsub"};
    struct feed feed = {data, size};
    if (size > 600)
        return -1;
    if (!L)
        open_both();
    uint8_t which = feed_byte(&feed), further = feed_byte(&feed);
    char *pattern = feed_line(&feed);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushstring(L, names[which % 4]);
    lua_pushlstring(L, (const char *)feed.data, feed.size);
    lua_pushstring(L, pattern);
    int count = 3;
    if (which % 4 == 3) {
        push_replacement(further, pattern);
        count++;
    } else if (further & 1) {
        lua_pushinteger(L, (int8_t)further);
        count++;
        if (which % 4 == 0 && further & 2) {
            lua_pushboolean(L, 1);
            count++;
        }
    }
    if (lua_pcall(L, count, 1, 0) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    free(pattern);
    return 0;
}
