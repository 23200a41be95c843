/* hooks.read and hooks.write: a device that is spoken to by Lua. What read gives passes through the
 * same decoding as registers, by the point's row: encoding, named values, scale, offset, range. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "base/luadata.h"
#include "device.h"
#include "machine.h"
#include "script/hooks.h"

#define AGE_MOST_S 86400.0

enum err reading_begin(struct reading *reading, const struct driver *driver) {
    size_t count = (size_t)driver->point_count;
    if (count > reading->room) {
        double *values = realloc(reading->values, count * sizeof *values);
        if (values)
            reading->values = values;
        bool *given = realloc(reading->given, count * sizeof *given);
        if (given)
            reading->given = given;
        bool *due = realloc(reading->due, count * sizeof *due);
        if (due)
            reading->due = due;
        if (!values || !given || !due)
            return ERR_MEMORY;
        reading->room = count;
    }
    reading->driver = driver;
    reading->problem[0] = '\0';
    reading->impossible = false;
    reading->age_ms = 0;
    memset(reading->texts, 0, sizeof reading->texts);
    for (size_t i = 0; i < count; i++) {
        reading->values[i] = NAN;
        reading->given[i] = reading->due[i] = false;
    }
    return ERR_OK;
}

struct now reading_at(const struct reading *reading, struct now now) {
    now.mono.ms -= now.mono.ms > reading->age_ms ? reading->age_ms : now.mono.ms - 1;
    now.wall.ms -= reading->age_ms;
    return now;
}

void reading_free(struct reading *reading) {
    free(reading->values);
    free(reading->given);
    free(reading->due);
    *reading = (struct reading){0};
}

bool reading_has(const struct point *point, int part) {
    return point->kind == REGISTER_VALUE && point->period_ms != POINT_NEVER &&
           point_is_of(point, part);
}

/* --- read ----------------------------------------------------------------------------------------
 */

static int push_read(lua_State *L, void *context) {
    struct task *task = context;
    const struct reading *reading = task->machine->reading;
    hooks_push_dev(L, task->device, task->generation->script, true);
    lua_createtable(L, 0, 8);
    for (int i = 0; i < reading->driver->point_count; i++)
        if (reading->due[i]) {
            lua_pushboolean(L, true);
            lua_setfield(L, -2, reading->driver->points[i].name);
        }
    lua_setfield(L, -2, "due");
    return 1;
}

/* `nil, reason`: the reason; anything else that is no table is the author's mistake. */
static bool take_reason(lua_State *L, struct task *task, int first, int last, const char *due) {
    if (last > first && lua_isnil(L, first) && lua_type(L, first + 1) == LUA_TSTRING) {
        snprintf(task->reason, sizeof task->reason, "%s", lua_tostring(L, first + 1));
        script_text_clean(task->reason);
        if (!task->reason[0])
            snprintf(task->reason, sizeof task->reason, "%s gives no reason", task->path);
        return true;
    }
    luaL_error(L, "%s must return %s, or nil and a reason; it returned %s", task->path, due,
               last < first ? "nothing: is a return missing?" : luaL_typename(L, first));
    return false;
}

static void complain(struct reading *reading, const char *name, const char *text) {
    if (!reading->problem[0])
        snprintf(reading->problem, sizeof reading->problem, "hooks.read: %.60s %s", name, text);
}

static void take_text(lua_State *L, struct reading *reading, const struct point *point) {
    char *text = reading->texts[point->id - POINT_TEXT_FIRST];
    if (lua_isinteger(L, -1))
        snprintf(text, IDENTITY_SIZE, "%lld", (long long)lua_tointeger(L, -1));
    else if (lua_type(L, -1) == LUA_TSTRING)
        snprintf(text, IDENTITY_SIZE, "%s", lua_tostring(L, -1));
    else if (lua_type(L, -1) != LUA_TBOOLEAN || lua_toboolean(L, -1))
        complain(reading, point->name, "must be a text");
    script_text_clean(text);
}

/* The value on top of the stack by its point's row. */
static double decode(lua_State *L, struct reading *reading, const struct point *point) {
    enum device_state state;
    double value = NAN;
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1))
        return NAN; /* false: unknown */
    if (point->id == POINT_STATE && type == LUA_TSTRING) {
        if (device_state_parse(lua_tostring(L, -1), &state))
            return state;
        complain(reading, point->name, "is no state of the vocabulary");
        reading->impossible = true;
        return NAN;
    }
    if (type != LUA_TNUMBER) {
        complain(reading, point->name, "must be a number, or false for unknown");
        return NAN;
    }
    if (point_decode_number(point, lua_tonumber(L, -1), &value) == POINT_IMPOSSIBLE) {
        char text[100];
        snprintf(text, sizeof text, "= %g is impossible: its row or the hook is wrong",
                 lua_tonumber(L, -1));
        complain(reading, point->name, text);
        reading->impossible = true;
    }
    return value;
}

static void take_point(lua_State *L, struct reading *reading, int index) {
    const struct point *point = &reading->driver->points[index];
    if (lua_isnil(L, -1) || luadata_is_null(L, -1)) /* not given, or known to be unknown */
        return;
    reading->given[index] = true;
    if (point->id >= POINT_TEXT_FIRST)
        take_text(L, reading, point);
    else
        reading->values[index] = decode(L, reading, point);
}

/* A name in the table that is none of its points: a typing mistake, which would pass unseen. */
static void look_for_strangers(lua_State *L, struct reading *reading, int table, int part) {
    lua_pushnil(L);
    while (lua_next(L, table)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        bool known = false;
        for (int i = 0; name && !known && i < reading->driver->point_count; i++) {
            const struct point *point = &reading->driver->points[i];
            known = reading_has(point, part) && strcmp(point->name, name) == 0;
        }
        lua_pop(L, 1);
        if (known)
            continue;
        complain(reading, name ? name : "?", "is no point of kind \"value\" that is read");
        lua_pop(L, 1);
        return;
    }
}

static void take_read(lua_State *L, int first, int last, void *context) {
    struct task *task = context;
    struct reading *reading = task->machine->reading;
    int part = task->device->part;
    if (last < first || !lua_istable(L, first)) {
        (void)take_reason(L, task, first, last, "a table of values by the names of points");
        hooks_keep_state(L, task->device);
        return;
    }
    for (int i = 0; i < reading->driver->point_count; i++) {
        if (!reading_has(&reading->driver->points[i], part))
            continue;
        lua_pushstring(L, reading->driver->points[i].name);
        lua_rawget(L, first);
        take_point(L, reading, i);
        lua_pop(L, 1);
    }
    look_for_strangers(L, reading, first, part);
    double age_s =
        last > first && lua_type(L, first + 1) == LUA_TNUMBER ? lua_tonumber(L, first + 1) : 0;
    if (age_s > 0)
        reading->age_ms = (int64_t)(fmin(age_s, AGE_MOST_S) * 1000);
    hooks_keep_state(L, task->device);
}

void hooks_read(struct device *device, task_over *over) {
    task_start(device->machine->task, device, "hooks.read", push_read, take_read, over);
}

/* --- write ---------------------------------------------------------------------------------------
 */

static int push_write(lua_State *L, void *context) {
    struct task *task = context;
    const struct plan *plan = &task->device->command.plans->wanted;
    const struct driver *driver = task->generation->driver;
    hooks_push_dev(L, task->device, task->generation->script, true);
    lua_createtable(L, task->count, 0);
    for (int i = 0; i < task->count; i++) {
        const struct plan_write *write = &plan->writes[task->first + i];
        const struct point *point = &driver->points[write->point];
        double raw = point_raw(point, write->words);
        lua_createtable(L, 0, 3);
        lua_pushstring(L, point->name);
        lua_setfield(L, -2, "point");
        lua_pushnumber(L, write->value);
        lua_setfield(L, -2, "value");
        if (raw == trunc(raw) && fabs(raw) < 9e15)
            lua_pushinteger(L, (lua_Integer)raw);
        else
            lua_pushnumber(L, raw);
        lua_setfield(L, -2, "raw");
        lua_rawseti(L, -2, i + 1);
    }
    return 2;
}

static void take_write(lua_State *L, int first, int last, void *context) {
    struct task *task = context;
    if (last < first || lua_type(L, first) != LUA_TBOOLEAN || !lua_toboolean(L, first))
        (void)take_reason(L, task, first, last, "true");
    hooks_keep_state(L, task->device);
}

void hooks_write(struct device *device, int first, int count, task_over *over) {
    struct task *task = device->machine->task;
    task->first = first;
    task->count = count;
    task_start(task, device, "hooks.write", push_write, take_write, over);
}
