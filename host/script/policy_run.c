/* One call of a policy's run(): the snapshot goes in, proposals and state come out. What comes out
 * is read raw and without allocating in Lua, so a hostile table cannot run code here. */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "script/policy.h"

#define LEASE_MAXIMUM_S 90000.0 /* 25 h, as for every constraint */
#define POWER_MAXIMUM_W 1e9

struct tick {
    const struct policy *policy;
    const json_t *parameters;
    const json_t *state;
    struct now now;
    double elapsed_s;
    const struct policy_device *devices;
    size_t device_count;
    struct policy_result *result;
    char refusal[SCRIPT_ERROR_SIZE]; /* why the result was not taken; "" = taken */
};

/* Registry key under which the state table waits for the end of the call. */
static const char state_key;

#define VOLTAGE_NOMINAL 230.0
#define VOLTAGE_HIGHEST 253.0 /* 230 V + 10 %, EN 50160 */
#define VOLTAGE_PRESENT 100.0
#define VOLTAGE_NOISE   1.01

/* ---- in ---- */

static void set_number(lua_State *L, const char *key, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static void set_watts(lua_State *L, const char *key, int32_t watts) {
    lua_pushinteger(L, watts);
    lua_setfield(L, -2, key);
}

static double seconds(int64_t ms) {
    return (double)ms / 1000;
}

/* The power that surely is the lowest step. Ranges of a charging station are at nominal voltage,
 * what it is told is rounded toward 0 at the measured one: at 235 V a wish for 6 A x 230 V is a
 * wish for less than 6 A, and that is nothing. 253 V (EN 50160) where the voltage is not known, 1 %
 * for its noise where it is. */
static int32_t least_power(const struct policy_device *device, int32_t lowest) {
    if (device->type != DEVICE_CHARGING_STATION)
        return lowest;
    double highest = 0;
    for (int i = POINT_VOLTAGE_L1; i <= POINT_VOLTAGE_L3; i++)
        if (device->flexibility.values[i] > VOLTAGE_PRESENT)
            highest = fmax(highest, device->flexibility.values[i] * VOLTAGE_NOISE);
    if (highest == 0)
        highest = VOLTAGE_HIGHEST;
    return (int32_t)ceil(lowest * fmax(1, highest / VOLTAGE_NOMINAL));
}

/* [-0, +0] What the device on top can do: the list of ranges, its ends, and the lowest step. */
static void set_ranges(lua_State *L, const struct policy_device *device) {
    const struct ranges *ranges = &device->flexibility.allowed;
    lua_createtable(L, (int)ranges->count, 0);
    for (size_t i = 0; i < ranges->count; i++) {
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, ranges->items[i].lo);
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, ranges->items[i].hi);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "allowedRanges");
    if (ranges->count) {
        set_watts(L, "minActivePower", ranges->items[0].lo);
        set_watts(L, "maxActivePower", ranges->items[ranges->count - 1].hi);
    }
    for (size_t i = 0; i < ranges->count; i++) {
        if (ranges->items[i].lo <= 0)
            continue;
        set_watts(L, "leastActivePower", least_power(device, ranges->items[i].lo));
        break;
    }
}

/* [-0, +0] Fields of the device's table on top: the numbers that are known, and `at` and `age`. */
static void set_values(lua_State *L, const struct flexibility *flexibility, bool stale,
                       struct wall now) {
    lua_createtable(L, 0, POINT_NUMBER_COUNT);
    int at = lua_gettop(L);
    lua_createtable(L, 0, POINT_NUMBER_COUNT);
    int age = at + 1;
    for (int id = 0; id < POINT_NUMBER_COUNT; id++) {
        const char *name = point_word((enum point_id)id)->name;
        double value = flexibility->values[id];
        int64_t updated_ms = flexibility->updated_ms[id];
        if (updated_ms) {
            lua_pushnumber(L, seconds(updated_ms));
            lua_setfield(L, at, name);
            lua_pushnumber(L, fmax(0, seconds(now.ms - updated_ms)));
            lua_setfield(L, age, name);
        }
        if (id == POINT_STATE || stale || !isfinite(value))
            continue;
        lua_pushnumber(L, value);
        lua_setfield(L, at - 1, name);
    }
    lua_setfield(L, at - 1, "age");
    lua_setfield(L, at - 1, "at");
}

static enum device_state state_of(const struct flexibility *flexibility, bool stale) {
    double value = flexibility->values[POINT_STATE];
    if (stale || !(value >= 0 && value < STATE_COUNT))
        return STATE_UNKNOWN;
    return (enum device_state)value;
}

static void push_device(lua_State *L, const struct policy_device *device, struct wall now) {
    const struct flexibility *flexibility = &device->flexibility;
    bool stale = flexibility->invalid_at.ms <= now.ms;
    lua_createtable(L, 0, 24);
    set_values(L, flexibility, stale, now);
    lua_pushstring(L, device_type_name(device->type));
    lua_setfield(L, -2, "type");
    lua_pushstring(L, connection_name(flexibility->connection));
    lua_setfield(L, -2, "connection");
    lua_pushstring(L, device_state_name(state_of(flexibility, stale)));
    lua_setfield(L, -2, "state");
    lua_pushboolean(L, stale);
    lua_setfield(L, -2, "stale");
    set_ranges(L, device);
}

static int push_arguments(lua_State *L, void *context) {
    const struct tick *tick = context;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_createtable(L, 0, 3);
    set_number(L, "now", seconds(tick->now.wall.ms));
    set_number(L, "elapsed", tick->elapsed_s);
    lua_createtable(L, 0, (int)tick->device_count);
    for (size_t i = 0; i < tick->device_count; i++) {
        push_device(L, &tick->devices[i], tick->now.wall);
        lua_setfield(L, -2, tick->devices[i].key);
    }
    lua_setfield(L, -2, "devices");
    luadata_push(L, tick->parameters);
    if (tick->state && json_object_size(tick->state))
        luadata_push(L, tick->state);
    else
        lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    return 3;
}

/* ---- out ---- */

printf_like(3, 4) static void refuse(struct tick *tick, const char *where, const char *format,
                                     ...) {
    if (tick->refusal[0])
        return; /* the first mistake is told */
    struct buf text;
    buf_init(&text, SCRIPT_ERROR_SIZE - 1);
    buf_format(&text, "%s.lua: ", tick->policy->name);
    buf_format(&text, "%.160s: ", where);
    va_list arguments;
    va_start(arguments, format);
    buf_vformat(&text, format, arguments);
    va_end(arguments);
    snprintf(tick->refusal, sizeof tick->refusal, "%s", buf_string(&text));
    script_text_clean(tick->refusal);
    buf_free(&text);
}

/* One field of one proposal, on top of the stack. */
struct field {
    struct tick *tick;
    struct proposal *proposal;
    const char *name;
    char where[CREATOR_SIZE + 64]; /* proposal 'wallbox', field activePower */
};

static bool take_number(lua_State *L, const struct field *field, double minimum, double maximum,
                        const char *unit, double *value) {
    if (lua_type(L, -1) != LUA_TNUMBER) {
        refuse(field->tick, field->where, "a number in %s was expected, not a %s", unit,
               luaL_typename(L, -1));
        return false;
    }
    *value = lua_tonumber(L, -1);
    if (*value >= minimum && *value <= maximum)
        return true;
    refuse(field->tick, field->where, "is %g; a number from %g to %g %s was expected", *value,
           minimum, maximum, unit);
    return false;
}

static void take_power(lua_State *L, const struct field *field, bool *has, int32_t *power_w) {
    double value;
    if (!take_number(L, field, -POWER_MAXIMUM_W, POWER_MAXIMUM_W, "W", &value))
        return;
    *power_w = (int32_t)value; /* toward 0: never more than was meant */
    *has = true;
}

static void take_charge(lua_State *L, const struct field *field, bool *has, double *percent) {
    *has = take_number(L, field, 0, 100, "%", percent);
}

/* NULL unless the value is a text without NUL bytes. */
static const char *take_text(lua_State *L, const struct field *field) {
    size_t length = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
    if (text && strlen(text) == length)
        return text;
    refuse(field->tick, field->where, "a text was expected, not a %s", luaL_typename(L, -1));
    return NULL;
}

static void take_device(lua_State *L, const struct field *field) {
    const char *key = take_text(L, field);
    if (!key)
        return;
    for (size_t i = 0; i < field->tick->device_count; i++) {
        if (strcmp(field->tick->devices[i].key, key) != 0)
            continue;
        snprintf(field->proposal->device, sizeof field->proposal->device, "%s", key);
        return;
    }
    refuse(field->tick, field->where,
           "'%.64s' is not one of the devices that the policy's parameters name", key);
}

static void take_conflict(lua_State *L, const struct field *field) {
    const char *word = take_text(L, field);
    if (!word)
        return;
    if (strcmp(word, "clamp") == 0)
        field->proposal->wish.on_conflict = ON_CONFLICT_CLAMP;
    else if (strcmp(word, "discard") == 0)
        field->proposal->wish.on_conflict = ON_CONFLICT_DISCARD;
    else
        refuse(field->tick, field->where, "is '%.40s'; \"clamp\" or \"discard\" was expected",
               word);
}

static void take_field(lua_State *L, const struct field *field) {
    struct proposal *proposal = field->proposal;
    struct wish *wish = &proposal->wish;
    const char *name = field->name;
    if (strcmp(name, "device") == 0) {
        take_device(L, field);
    } else if (strcmp(name, "activePower") == 0) {
        take_power(L, field, &wish->has_set, &wish->set);
    } else if (strcmp(name, "minActivePower") == 0) {
        take_power(L, field, &wish->has_min, &wish->min);
    } else if (strcmp(name, "maxActivePower") == 0) {
        take_power(L, field, &wish->has_max, &wish->max);
    } else if (strcmp(name, "minStateOfCharge") == 0) {
        take_charge(L, field, &wish->has_min_soc, &wish->min_soc);
    } else if (strcmp(name, "maxStateOfCharge") == 0) {
        take_charge(L, field, &wish->has_max_soc, &wish->max_soc);
    } else if (strcmp(name, "lease") == 0) {
        double lease_s;
        if (take_number(L, field, 1, LEASE_MAXIMUM_S, "s", &lease_s))
            proposal->lease_ms = (int64_t)(lease_s * 1000);
    } else if (strcmp(name, "onConflict") == 0) {
        take_conflict(L, field);
    } else if (strcmp(name, "reason") == 0) {
        const char *text = take_text(L, field);
        snprintf(proposal->reason, sizeof proposal->reason, "%s", text ? text : "");
        script_text_clean(proposal->reason);
    } else if (strcmp(name, "exclusive") == 0) {
        refuse(field->tick, field->where, "policies cannot be exclusive: leave it out");
    } else {
        refuse(field->tick, field->where,
               "there is no such field; a proposal has device, activePower, minActivePower, "
               "maxActivePower, minStateOfCharge, maxStateOfCharge, lease, onConflict and reason");
    }
}

/* What only shows when all fields are read. */
static void check_proposal(struct tick *tick, const struct proposal *proposal) {
    const struct wish *wish = &proposal->wish;
    char where[CREATOR_SIZE + 16];
    snprintf(where, sizeof where, "proposal '%s'", proposal->key);
    if (!proposal->device[0])
        refuse(tick, where, "'device' is missing");
    else if (!wish->has_set && !wish->has_min && !wish->has_max && !wish->has_min_soc &&
             !wish->has_max_soc)
        refuse(tick, where, "asks for nothing: it needs activePower or a minimum or maximum");
    else if (wish->has_min && wish->has_max && wish->min > wish->max)
        refuse(tick, where, "minActivePower %d W is above maxActivePower %d W", wish->min,
               wish->max);
    else if (wish->has_set &&
             ((wish->has_min && wish->set < wish->min) || (wish->has_max && wish->set > wish->max)))
        refuse(tick, where, "activePower %d W is outside its own minimum and maximum", wish->set);
    else if (wish->has_min_soc && wish->has_max_soc && wish->min_soc > wish->max_soc)
        refuse(tick, where, "minStateOfCharge %g %% is above maxStateOfCharge %g %%", wish->min_soc,
               wish->max_soc);
}

/* The proposal on top of the stack, whose key is below it. */
static void take_proposal(lua_State *L, struct tick *tick) {
    struct policy_result *result = tick->result;
    size_t length = 0;
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
    if (!key || length == 0 || length >= CREATOR_SIZE || strlen(key) != length) {
        refuse(tick, "proposals",
               "each needs a key of your own, a text of 1 to %d bytes, as in "
               "{ wallbox = { device = \"wallbox\", activePower = 3000 } }",
               CREATOR_SIZE - 1);
        return;
    }
    if (result->count == POLICY_MAX_PROPOSALS) {
        refuse(tick, "proposals", "there are more than %d", POLICY_MAX_PROPOSALS);
        return;
    }
    struct proposal *proposal = &result->proposals[result->count++];
    *proposal = (struct proposal){.lease_ms = tick->policy->lease_ms};
    proposal->wish.on_conflict = ON_CONFLICT_CLAMP;
    memcpy(proposal->key, key, length + 1);
    script_text_clean(proposal->key);
    struct field field = {.tick = tick, .proposal = proposal};
    snprintf(field.where, sizeof field.where, "proposal '%s'", proposal->key);
    if (!lua_istable(L, -1)) {
        refuse(tick, field.where, "a table was expected, not a %s", luaL_typename(L, -1));
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, -2) && !tick->refusal[0]) {
        field.name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        snprintf(field.where, sizeof field.where, "proposal '%s', field %.40s", proposal->key,
                 field.name);
        take_field(L, &field);
        lua_pop(L, 1);
    }
    check_proposal(tick, proposal);
}

static void take_state(lua_State *L, struct tick *tick) {
    struct report report;
    report_init(&report);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    json_t *state = luadata_from_stack(L, -1, false, &report);
    if (!state && report.count)
        refuse(tick, "state", "%s: %s; it may hold plain data only", report.items[0].where,
               report.items[0].text);
    else if (!state)
        refuse(tick, "state", "it may hold plain data only");
    else if (json_dumpb(state, NULL, 0, JSON_COMPACT) > POLICY_STATE_MAXIMUM)
        refuse(tick, "state", "is larger than %d bytes; keep less in it", POLICY_STATE_MAXIMUM);
    report_free(&report);
    tick->result->state = state;
}

static void take_results(lua_State *L, int first, int last, void *context) {
    struct tick *tick = context;
    if (last < first || !lua_istable(L, first)) {
        refuse(tick, "run", "it must return a table of proposals, {} for none; it returned %s",
               last < first ? "nothing" : luaL_typename(L, first));
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, first) && !tick->refusal[0]) {
        int top = lua_gettop(L);
        take_proposal(L, tick);
        lua_settop(L, top - 1);
    }
    if (!tick->refusal[0])
        take_state(L, tick);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct proposal *)a)->key, ((const struct proposal *)b)->key);
}

enum script_outcome policy_run(const struct policy *policy, struct script *script,
                               const json_t *parameters, const json_t *state, struct now now,
                               double elapsed_s, const struct policy_device *devices,
                               size_t device_count, struct policy_result *result,
                               char error[SCRIPT_ERROR_SIZE]) {
    struct tick tick = {.policy = policy,
                        .parameters = parameters,
                        .state = state,
                        .now = now,
                        .elapsed_s = elapsed_s,
                        .devices = devices,
                        .device_count = device_count,
                        .result = result};
    result->count = 0;
    result->state = NULL;
    enum script_outcome outcome =
        script_call(script, "run", push_arguments, take_results, &tick, error);
    if (outcome == SCRIPT_OK && tick.refusal[0]) {
        memcpy(error, tick.refusal, SCRIPT_ERROR_SIZE);
        outcome = SCRIPT_RAISED;
    }
    if (outcome == SCRIPT_OK)
        qsort(result->proposals, result->count, sizeof result->proposals[0], by_key);
    else
        policy_result_free(result);
    return outcome;
}

void policy_result_free(struct policy_result *result) {
    json_decref(result->state);
    result->state = NULL;
    result->count = 0;
}
