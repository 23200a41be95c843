#include "script/script_device.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/luadata.h"
#include "device.h"
#include "engine.h"
#include "script/script.h"
#include "script/script_sandbox.h"
#include "script/task.h"

/* Rooms of `dev`, found through its metatable, whose key in the registry is their address. */
static const struct room {
    const char *name;
    const luaL_Reg *functions;
} rooms[] = {{"modbus", script_modbus},
             {"http", script_http},
             {"udp", script_udp},
             {"line", script_line},
             {"mqtt", script_mqtt}};
#define ROOM_COUNT (sizeof rooms / sizeof rooms[0])

/* now(): seconds since 1970, by the host's clock. */
static int now(lua_State *L) {
    const struct device *device = script_caller(L);
    if (!device)
        return luaL_error(L, "now() is for hooks of drivers; a policy has snapshot.now, and a file "
                             "that is being loaded has no time");
    lua_pushnumber(L, (lua_Number)clock_now(&device->engine->clock).wall.ms / 1000);
    return 1;
}

static int write_log(lua_State *L) {
    char line[400];
    snprintf(line, sizeof line, "%s", luaL_checkstring(L, 1));
    script_text_clean(line);
    script_log(L, line);
    return 0;
}

static int refuse_write(lua_State *L) {
    return luaL_error(L, "this table is the host's and cannot be changed");
}

/* [-1, +1] An empty table through which the one on top can be read. */
static void protect(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_rotate(L, -3, -1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* [-0, +1] */
static void make_room(lua_State *L, const luaL_Reg *functions) {
    lua_newtable(L);
    for (const luaL_Reg *at = functions; at->name; at++) {
        lua_pushcfunction(L, at->func);
        script_sandbox_guard(L);
        lua_setfield(L, -2, at->name);
    }
    protect(L);
}

void script_device_open(lua_State *L) {
    static const luaL_Reg globals[] = {
        {"sleep", task_sleep}, {"now", now}, {"log", write_log}, {NULL, NULL}};
    luaL_setfuncs(L, globals, 0);
    lua_newtable(L);
    luaL_setfuncs(L, script_json, 0);
    luadata_push_null(L);
    lua_setfield(L, -2, "null");
    lua_setfield(L, -2, "json");
    lua_createtable(L, 0, 2); /* the metatable of all `dev` */
    lua_newtable(L);
    for (size_t i = 0; i < ROOM_COUNT; i++) {
        make_room(L, rooms[i].functions);
        lua_setfield(L, -2, rooms[i].name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, rooms);
}

void script_device_equip(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, rooms);
    lua_setmetatable(L, -2);
}
