/* The hooks that end at once, for quirks that no table can say. hooks.values(dev, values)
 * sees every decoded point of the machine after a poll and returns what it changes;
 * hooks.command(dev, decision) returns the writes in place of the planned ones. Both see dev = {
 * key, part, parameters, state }; `state` is plain data and lives on, also over a reload. A hook
 * that fails changes nothing: values it would have corrected are unknown, a command is not sent. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "base/log.h"
#include "base/luadata.h"
#include "base/text.h"
#include "device.h"
#include "machine.h"
#include "script/hooks.h"
#include "script/script_device.h"

struct hook_call {
    struct device *device;
    struct plan *plan; /* of hooks.command */
    struct now at;     /* of hooks.values: the oldest polled value that it has seen */
    int64_t valid_ms;  /* and how long that one can be trusted */
    char problem[160];
};

/* Addresses are keys in the registry: of what the call that runs sees of its device (one that waits
 * has the device's own), and of the names of the driver's points. */
static char current, names;

static bool is_waiting(const struct device *device, const struct script *script) {
    return device->state_holder == script;
}

void hooks_push_dev(lua_State *L, struct device *device, const struct script *script, bool waits) {
    const struct driver *driver = machine_driver(device->machine);
    if (is_waiting(device, script)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, device);
        return;
    }
    if (waits)
        device->state_holder = script;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, device->site->key);
    lua_setfield(L, -2, "key");
    lua_pushstring(L, driver->parts[device->part].name);
    lua_setfield(L, -2, "part");
    lua_createtable(L, 0, driver->parameter_count);
    for (int i = 0; i < driver->parameter_count; i++)
        if (!isnan(device->parameters[i])) {
            lua_pushnumber(L, device->parameters[i]);
            lua_setfield(L, -2, driver->parameters[i].name);
        }
    lua_setfield(L, -2, "parameters");
    if (device->hook_state)
        luadata_push(L, device->hook_state);
    else
        lua_newtable(L);
    lua_setfield(L, -2, "state");
    script_device_equip(L);
    lua_pushvalue(L, -1); /* to find `state` again after the call */
    lua_rawsetp(L, LUA_REGISTRYINDEX, waits ? (void *)device : &current);
}

void hooks_keep_state(lua_State *L, struct device *device) {
    bool task = script_task_runs(L);
    bool waiting = !task && is_waiting(device, device->machine->generation->script);
    const void *key = task || waiting ? (void *)device : &current;
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    lua_getfield(L, -1, "state");
    if (!luadata_refresh(L, -1, device->hook_state)) {
        struct report report;
        report_init(&report);
        json_t *state = luadata_from_stack(L, -1, false, &report);
        if (state) {
            json_decref(device->hook_state);
            device->hook_state = state;
        }
        report_free(&report);
    }
    lua_pop(L, 2);
    if (!waiting) {
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, key);
    }
}

static bool outlived(const struct driver *driver, const struct point *point,
                     const struct moment *at, struct mono now) {
    return point->period_ms > 0 &&
           now.ms - at->mono.ms >= device_trust_ms(point->period_ms, driver->timeout_ms);
}

/* Whether the device has a register for it that was read: that one says how old the value is. */
static bool has_register(const struct device *device, enum point_id id) {
    const struct machine *machine = device->machine;
    const struct driver *driver = machine_driver(machine);
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->id == (int)id && point_is_of(point, device->part) &&
            machine->value_at[i].mono.ms)
            return true;
    }
    return false;
}

/* [-0, +1] The names of the driver's points, made once: a value finds its place by them without
 * looking for its name among all texts of the script. */
static void push_names(lua_State *L, const struct driver *driver) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &names) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, driver->point_count, 0);
    for (int i = 0; i < driver->point_count; i++) {
        lua_pushstring(L, driver->points[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &names);
}

static int push_values(lua_State *L, void *context) {
    struct hook_call *call = context;
    const struct machine *machine = call->device->machine;
    const struct driver *driver = machine_driver(machine);
    struct mono now = clock_mono();
    hooks_push_dev(L, call->device, call->device->machine->generation->script, false);
    push_names(L, driver);
    lua_createtable(L, 0, driver->point_count);
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        bool ours = point_is_of(point, call->device->part) || point->id == POINT_NONE;
        if (!ours || isnan(machine->values[i]) ||
            outlived(driver, point, &machine->value_at[i], now))
            continue; /* what is made from it would look fresh */
        lua_rawgeti(L, -2, i + 1);
        if (point->id == POINT_STATE)
            lua_pushstring(L, device_state_name((enum device_state)machine->values[i]));
        else
            lua_pushnumber(L, machine->values[i]);
        lua_rawset(L, -3);
    }
    lua_remove(L, -2);
    return 2;
}

/* One change: a number, a state's name, or false for unknown. */
static void take_change(lua_State *L, struct hook_call *call, const char *name) {
    struct device *device = call->device;
    enum point_id id;
    if (!point_word_parse(name, &id) || id >= POINT_NUMBER_COUNT) {
        snprintf(call->problem, sizeof call->problem, "\"%.60s\" is no point that can be published",
                 name);
        return;
    }
    double value = NAN;
    enum device_state state;
    if (id == POINT_STATE && lua_type(L, -1) == LUA_TSTRING &&
        device_state_parse(lua_tostring(L, -1), &state))
        value = state;
    else if (lua_type(L, -1) == LUA_TNUMBER)
        value = lua_tonumber(L, -1);
    else if (lua_type(L, -1) != LUA_TBOOLEAN || lua_toboolean(L, -1))
        snprintf(call->problem, sizeof call->problem,
                 "%s must be a number, a state's name, or false for unknown", name);
    const struct point_word *word = point_word(id);
    if (!isnan(value) && (value < word->minimum || value > word->maximum)) {
        snprintf(call->problem, sizeof call->problem, "%s = %g is outside %g..%g %s", name, value,
                 word->minimum, word->maximum, word->unit);
        value = NAN;
    }
    struct quantity *known = quantities_at(device->known, id);
    if (!known) /* there was no memory for what this driver may give */
        return;
    if (!has_register(device, id)) {
        known->mono = call->at.mono;
        known->wall = call->at.wall;
        known->valid_ms = call->valid_ms;
    }
    known->value = value;
}

static void take_values(lua_State *L, int first, int last, void *context) {
    struct hook_call *call = context;
    hooks_keep_state(L, call->device);
    if (last < first || lua_isnil(L, first))
        return;
    if (!lua_istable(L, first)) {
        snprintf(call->problem, sizeof call->problem,
                 "hooks.values must return a table of changes, got a %s", luaL_typename(L, first));
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, first)) {
        if (lua_type(L, -2) == LUA_TSTRING)
            take_change(L, call, lua_tostring(L, -2));
        lua_pop(L, 1);
    }
}

/* What a hook computes is as old as the oldest of what it was computed from, as far as that is
 * polled at the shortest period. */
static void oldest_input(struct hook_call *call) {
    const struct machine *machine = call->device->machine;
    const struct driver *driver = machine_driver(machine);
    int64_t shortest_ms = INT64_MAX;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        const struct moment *at = &machine->value_at[i];
        if (point->period_ms <= 0 || at->mono.ms == 0 || point->period_ms > shortest_ms)
            continue;
        if (point->period_ms < shortest_ms || at->mono.ms < call->at.mono.ms)
            call->at = (struct now){.wall = at->wall, .mono = at->mono};
        shortest_ms = point->period_ms;
    }
    if (shortest_ms != INT64_MAX)
        call->valid_ms = device_trust_ms(shortest_ms, driver->timeout_ms);
}

/* Uncorrected values must not pass for true ones. */
static void forget_values(struct device *device) {
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        struct quantity *known = quantities_at(device->known, (enum point_id)i);
        if (known)
            known->value = NAN;
    }
}

void hooks_values(struct device *device) {
    struct generation *generation = device->machine->generation;
    if (!generation->driver->hook_values || !generation->script)
        return;
    struct engine *engine = device->engine;
    struct hook_call call = {.device = device};
    char error[SCRIPT_ERROR_SIZE];
    if (!guard_enter(engine, generation, &device->caller, "hooks.values", error)) {
        machine_fault(device->machine, FAULT_HOOK, error);
        forget_values(device);
        return;
    }
    oldest_input(&call);
    script_set_subject(generation->script, device->site->path, device);
    enum script_outcome outcome =
        script_call(generation->script, "hooks.values", push_values, take_values, &call, error);
    guard_leave(engine, generation, &device->caller, outcome, error);
    const char *problem = outcome == SCRIPT_OK ? call.problem : error;
    if (problem[0] && strcmp(text_of(device->hook_problem), problem) != 0)
        log_warning(device->site->path, "hooks.values of %s: %s", generation->name, problem);
    text_set(&device->hook_problem, problem);
    if (problem[0])
        machine_fault(device->machine, FAULT_HOOK, problem);
    if (outcome != SCRIPT_OK)
        forget_values(device);
}

static void set_watts(lua_State *L, const char *name, bool known, int32_t watts) {
    if (!known)
        return;
    lua_pushinteger(L, watts);
    lua_setfield(L, -2, name);
}

static int push_command(lua_State *L, void *context) {
    static const char *const cases[] = {"charge", "discharge", "hold", "limit", "release"};
    struct hook_call *call = context;
    const struct plan *plan = call->plan;
    const struct decision *decision = &call->device->decision;
    hooks_push_dev(L, call->device, call->device->machine->generation->script, false);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, cases[plan->control_case]);
    lua_setfield(L, -2, "case");
    set_watts(L, "setPoint", decision->has_set, decision->set);
    set_watts(L, "minActivePower", true, decision->min);
    set_watts(L, "maxActivePower", true, decision->max);
    lua_createtable(L, plan->write_count, 0);
    for (int i = 0; i < plan->write_count; i++) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L,
                       machine_driver(call->device->machine)->points[plan->writes[i].point].name);
        lua_setfield(L, -2, "point");
        lua_pushnumber(L, plan->writes[i].value);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "writes");
    return 2;
}

static int find_writable(const struct device *device, const char *name) {
    const struct driver *driver = machine_driver(device->machine);
    uint16_t address;
    for (int i = 0; name && i < driver->point_count; i++)
        if (driver->points[i].writable && strcmp(driver->points[i].name, name) == 0 &&
            poll_address(device->machine, i, &address))
            return i;
    return POINT_NONE;
}

/* One row of what hooks.command returned, at the top of the stack. */
static bool take_write(lua_State *L, struct hook_call *call, struct plan *plan) {
    const struct driver *driver = machine_driver(call->device->machine);
    if (!lua_istable(L, -1))
        return false;
    lua_getfield(L, -1, "point");
    lua_getfield(L, -2, "value");
    int index = lua_type(L, -2) == LUA_TSTRING ? find_writable(call->device, lua_tostring(L, -2))
                                               : POINT_NONE;
    bool ok = index != POINT_NONE && lua_type(L, -1) == LUA_TNUMBER &&
              plan->write_count < CONTROL_MAX_WRITES;
    if (ok) {
        const struct point *point = &driver->points[index];
        struct plan_write *write = &plan->writes[plan->write_count];
        write->point = index;
        write->value = lua_tonumber(L, -1);
        write->count = point->words;
        double factor = point->scale_point == POINT_NONE
                            ? 0
                            : call->device->machine->values[point->scale_point];
        ok = point->words <= 4 &&
             point_encode(point, write->value, factor, ROUND_TOWARD_ZERO, write->words) == ERR_OK;
        plan->write_count += ok;
    }
    lua_pop(L, 2);
    return ok;
}

static void take_command(lua_State *L, int first, int last, void *context) {
    struct hook_call *call = context;
    hooks_keep_state(L, call->device);
    if (last < first || lua_isnil(L, first))
        return; /* the planned writes are right */
    struct plan plan = *call->plan;
    plan.write_count = 0;
    if (!lua_istable(L, first)) {
        snprintf(call->problem, sizeof call->problem,
                 "hooks.command must return a list of {point, value}, got a %s",
                 luaL_typename(L, first));
        return;
    }
    for (int i = 1; !call->problem[0]; i++) {
        lua_rawgeti(L, first, i);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            break;
        }
        if (!take_write(L, call, &plan))
            snprintf(call->problem, sizeof call->problem,
                     "hooks.command: write %d is not {point = a writable point, value = a number "
                     "it can hold}",
                     i);
        lua_pop(L, 1);
    }
    if (!call->problem[0])
        *call->plan = plan;
}

void hooks_command(struct device *device, struct plan *plan) {
    struct engine *engine = device->engine;
    struct generation *generation = device->machine->generation;
    if (!generation->driver->hook_command || !generation->script)
        return;
    struct hook_call call = {.device = device, .plan = plan};
    char error[SCRIPT_ERROR_SIZE];
    if (!guard_enter(engine, generation, &device->caller, "hooks.command", error)) {
        machine_fault(device->machine, FAULT_HOOK, error);
        return;
    }
    script_set_subject(generation->script, device->site->path, device);
    enum script_outcome outcome =
        script_call(generation->script, "hooks.command", push_command, take_command, &call, error);
    guard_leave(engine, generation, &device->caller, outcome, error);
    const char *problem = outcome == SCRIPT_OK ? call.problem : error;
    if (!problem[0])
        return;
    machine_fault(device->machine, FAULT_HOOK, problem);
    log_warning(device->site->path, "hooks.command of %s: %s; it is told by the driver's controls",
                generation->name, problem);
}
