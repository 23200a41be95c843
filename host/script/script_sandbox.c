#include "script/script_sandbox.h"

#include <lauxlib.h>
#include <lualib.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "script/script.h"
#include "script/script_device.h"

static const char *const names[] = {
#include "script/script_names.inc"
    NULL};

const char *const *script_sandbox_names(void) {
    return names;
}

/* Every function of the list runs behind this: a C function can call another one a million times
 * without one instruction of Lua between them (table.move() of a table whose __index is
 * table.concat), so each looks itself whether the budget is used up. The guards below check their
 * arguments first. Lua's own function, upvalue 1, runs in the same frame: its messages keep the
 * name and the line of the caller. */
static int original(lua_State *L) {
    lua_Hook budget = lua_gethook(L);
    if (budget)
        budget(L, NULL);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* A finalizer would run at any moment, outside of every budget. The test is raw, as Lua's own is;
 * a __gc that is put into the metatable later is never seen by Lua. */
static int guard_setmetatable(lua_State *L) {
    if (lua_type(L, 2) == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "a metatable in a script cannot have __gc: take it out");
        lua_pop(L, 1);
    }
    return original(L);
}

static int guard_rep(lua_State *L) {
    if (luaL_checkinteger(L, 2) > SANDBOX_MAX_ITEMS)
        return luaL_error(L, "string.rep takes at most %d repetitions", SANDBOX_MAX_ITEMS);
    return original(L);
}

/* A list that a C function may walk from 1 to #list: the length is true and not beyond the limit
 * (that of a table with holes can be any power of two). */
static void check_list(lua_State *L) {
    if (lua_type(L, 1) != LUA_TTABLE)
        return; /* the function itself has the better message */
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
        luaL_error(L, "this function takes plain lists only, not a table with __len");
    if (lua_rawlen(L, 1) > SANDBOX_MAX_ITEMS)
        luaL_error(L, "a list of at most %d items was expected", SANDBOX_MAX_ITEMS);
}

static void check_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (last >= first && (lua_Unsigned)last - (lua_Unsigned)first >= SANDBOX_MAX_ITEMS)
        luaL_error(L, "a range of at most %d items was expected", SANDBOX_MAX_ITEMS);
}

static int guard_list(lua_State *L) {
    check_list(L);
    return original(L);
}

static int guard_concat(lua_State *L) {
    check_list(L);
    if (!lua_isnoneornil(L, 4))
        check_range(L, luaL_optinteger(L, 3, 1), luaL_checkinteger(L, 4));
    return original(L);
}

static int guard_unpack(lua_State *L) {
    check_list(L);
    if (!lua_isnoneornil(L, 3))
        check_range(L, luaL_optinteger(L, 2, 1), luaL_checkinteger(L, 3));
    return original(L);
}

static int guard_move(lua_State *L) {
    check_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return original(L);
}

/* pairs() hands out Lua's own next(), which walks over empty places: upvalue 2 is the guarded one.
 */
static int guard_pairs(lua_State *L) {
    lua_CFunction next = lua_tocfunction(L, lua_upvalueindex(2));
    int results = original(L);
    if (lua_tocfunction(L, -3) == next) {
        lua_pushvalue(L, lua_upvalueindex(3));
        lua_replace(L, -4);
    }
    return results;
}

/* Without a comparator sort() would compare in C, where nothing interrupts it: a million long
 * strings take hours. Upvalue 2 is the same comparison in Lua. */
static int guard_sort(lua_State *L) {
    check_list(L);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_pushvalue(L, lua_upvalueindex(2));
    }
    return original(L);
}

void script_sandbox_guard(lua_State *L) {
    lua_pushcclosure(L, original, 1);
}

static int refuse_read(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L,
                      "there is no global named '%s': declare names of your own with 'local'; "
                      "scripts have no files, no sockets and no require; hooks talk to their "
                      "device by dev",
                      name);
}

static int refuse_write(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "the global '%s' cannot be set: write 'local %s' where it starts", name,
                      name);
}

static const luaL_Reg guards[] = {
    {"pairs", guard_pairs},         {"setmetatable", guard_setmetatable},
    {"string.rep", guard_rep},      {"table.concat", guard_concat},
    {"table.insert", guard_list},   {"table.move", guard_move},
    {"table.remove", guard_list},   {"table.sort", guard_sort},
    {"table.unpack", guard_unpack}, {NULL, NULL}};

/* [-1, +1] Puts its guard around the function `name` on top. Functions with upvalues of their own
 * cannot be called in another frame: math.random() is quick, the pattern functions look at the
 * budget themselves. `whole` and `copy` are the tables of copy_names(). */
static void guard(lua_State *L, const char *name, int whole, int copy) {
    lua_CFunction guarded = original;
    for (const luaL_Reg *at = guards; at->name; at++)
        if (strcmp(at->name, name) == 0)
            guarded = at->func;
    if (!lua_iscfunction(L, -1))
        return; /* a number such as math.pi */
    if (lua_getupvalue(L, -1, 1)) {
        lua_pop(L, 1);
        return;
    }
    int upvalues = 1;
    if (guarded == guard_sort) {
        if (luaL_loadstring(L, "local a, b = ... return a < b") != LUA_OK)
            lua_error(L);
        upvalues = 2;
    } else if (guarded == guard_pairs) {
        lua_getfield(L, whole, "next");
        lua_getfield(L, copy, "next");
        upvalues = 3;
    }
    lua_pushcclosure(L, guarded, upvalues);
}

/* [-0, +1] A library as Lua makes it, with everything in it. */
static void open_library(lua_State *L, lua_CFunction open, const char *name) {
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}

static void seed_random(lua_State *L, int math) {
    int64_t seed[2];
    randombytes_buf(seed, sizeof seed);
    lua_getfield(L, math, "randomseed");
    lua_pushinteger(L, seed[0]);
    lua_pushinteger(L, seed[1]);
    lua_call(L, 2, 0);
}

/* [-0, +1] The table of all names of the list, copied from the table at index `whole`, which holds
 * Lua's base functions and the libraries by name. */
static void copy_names(lua_State *L, int whole, const struct sandbox_host *host) {
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (const char *const *name = names; *name; name++) {
        const char *dot = strchr(*name, '.');
        if (dot) {
            lua_pushlstring(L, *name, (size_t)(dot - *name));
            lua_pushvalue(L, -1);
            lua_rawget(L, whole); /* library, as Lua has it */
            lua_insert(L, -2);
            lua_rawget(L, copy); /* library, as scripts see it */
            lua_getfield(L, -2, dot + 1);
            guard(L, *name, whole, copy);
            lua_setfield(L, -2, dot + 1);
            lua_pop(L, 2);
            continue;
        }
        if (lua_getfield(L, whole, *name) == LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
        } else if (strcmp(*name, "print") == 0) {
            lua_pop(L, 1);
            lua_pushcfunction(L, host->print);
            guard(L, *name, whole, copy);
        } else {
            guard(L, *name, whole, copy);
        }
        lua_setfield(L, copy, *name);
    }
}

void script_sandbox_open(lua_State *L, const struct sandbox_host *host) {
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1); /* the first table of globals; nobody sees it */
    int whole = lua_gettop(L);
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    seed_random(L, lua_gettop(L));
    lua_setfield(L, whole, LUA_MATHLIBNAME);
    open_library(L, luaopen_string, LUA_STRLIBNAME);
    script_pattern_open(L, lua_gettop(L), &host->watch);
    lua_setfield(L, whole, LUA_STRLIBNAME);
    open_library(L, luaopen_table, LUA_TABLIBNAME);
    lua_setfield(L, whole, LUA_TABLIBNAME);
    open_library(L, luaopen_utf8, LUA_UTF8LIBNAME);
    lua_setfield(L, whole, LUA_UTF8LIBNAME);
    lua_pushvalue(L, whole);
    script_device_open(L);
    lua_pop(L, 1);
    copy_names(L, whole, host);
    int copy = lua_gettop(L);

    /* Methods of strings, ("x"):rep(3), come from the copy too; nobody can reach the metatable. */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_getfield(L, copy, LUA_STRLIBNAME);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);

    /* A name that is not there raises. */
    lua_newtable(L);
    lua_pushcfunction(L, refuse_read);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, copy);

    /* What scripts have as _ENV is empty, so that every write is to a new name and raises. */
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, copy);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_settop(L, whole - 1);
}
