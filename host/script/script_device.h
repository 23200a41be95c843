/* What scripts have of the host beside plain Lua: sleep(), now(), log(), json, and on `dev` of
 * hooks the ways to talk to the device (dev.modbus, dev.http, ...). All are there in every script,
 * since there is one sandbox; where one makes no sense, it raises a sentence that says so.
 * Functions that wait are for tasks (task.h). */
#ifndef DERD_SCRIPT_DEVICE_H
#define DERD_SCRIPT_DEVICE_H

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>

/* [-0, +0] Adds its globals to the table on top and keeps the rest for script_device_equip(). May
 * raise. */
void script_device_open(lua_State *L);
/* [-0, +0] Through the table on top modbus, http, udp, line and mqtt are found. */
void script_device_equip(lua_State *L);

extern const luaL_Reg script_json[];   /* script_json.c */
extern const luaL_Reg script_modbus[]; /* script_modbus.c */
extern const luaL_Reg script_http[];   /* script_http.c */
extern const luaL_Reg script_udp[];    /* script_udp.c */
extern const luaL_Reg script_line[];   /* script_line.c */
extern const luaL_Reg script_mqtt[];   /* script_mqtt.c */

/* The text of the value at `index`, to be freed; NULL with a sentence in `why`. Never raises. */
char *script_dump_json(lua_State *L, int index, char *why, size_t why_size);
/* [-0, +1 or 2] What a text says, or nil and what is wrong with it. */
int script_load_json(lua_State *L, const char *text, size_t length);

#endif
