/* What the script engine costs beside bare Lua, and how soon it stops a script that does not come
 * back:
 *
 *   build/scripts call [CALLS]       one call of a hook, beside lua_pcall() of the same function
 *   build/scripts loop [ROUNDS]      a call that computes for long, beside the same in bare Lua
 *   build/scripts runaway [TIMES]    over its budget of CPU time: by how much
 *   build/scripts garbage [DEVICES]  the longest call while each device makes its tables anew
 *
 * One JSON object a run. No figure decides anything. */
#include <lauxlib.h>
#include <lualib.h>

#include "base/luadata.h"
#include "bench.h"
#include "script/script.h"

#define QUANTITIES 15

static const char chunk[] =
    "local function values(dev, values)\n"
    "  dev.state.calls = (dev.state.calls or 0) + 1\n"
    "  return { activePower = (values.p1 or 0) + (values.p2 or 0) }\n"
    "end\n"
    "local function loop(rounds)\n"
    "  local sum = 0\n"
    "  for i = 1, rounds do sum = sum + i % 7 end\n"
    "  return sum\n"
    "end\n"
    "local function runaway(dev) while true do end end\n"
    "local function stubborn(dev) while true do pcall(function() while true do end end) end end\n"
    "local function churn(dev, values)\n"
    "  local past = dev.state.past or {}\n"
    "  past[#past + 1] = values.p1\n"
    "  if #past > 8 then table.remove(past, 1) end\n"
    "  dev.state.past = past\n"
    "  local made = {}\n"
    "  for name, value in pairs(values) do made[name] = { value = value, text = name .. value } "
    "end\n"
    "  return { activePower = values.p1 }\n"
    "end\n"
    "return { values = values, loop = loop, runaway = runaway, stubborn = stubborn, churn = churn "
    "}\n";

static double cpu_us(void) {
    return clock_s(CLOCK_THREAD_CPUTIME_ID) * 1e6;
}

struct device {
    json_t *state;
    long rounds;
    double power;
};

static void push_numbers(lua_State *L) {
    lua_createtable(L, 0, QUANTITIES);
    for (int i = 1; i <= QUANTITIES; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        lua_pushnumber(L, 230.5 + i);
        lua_setfield(L, -2, name);
    }
}

static int push_values(lua_State *L, void *context) {
    struct device *device = context;
    lua_createtable(L, 0, 1);
    if (device->state)
        luadata_push(L, device->state);
    else
        lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "benchState");
    lua_setfield(L, -2, "state");
    push_numbers(L);
    return 2;
}

static void take_values(lua_State *L, int first, int last, void *context) {
    struct device *device = context;
    if (last >= first && lua_istable(L, first)) {
        lua_getfield(L, first, "activePower");
        device->power = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, "benchState");
    json_decref(device->state);
    struct report report;
    report_init(&report);
    device->state = luadata_from_stack(L, -1, false, &report);
    report_free(&report);
    lua_pop(L, 1);
}

/* As little as a call can be given: for what the engine itself adds. */
static int push_table(lua_State *L, void *context) {
    (void)context;
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 1);
    lua_setfield(L, -2, "state");
    push_numbers(L);
    return 2;
}

static int push_rounds(lua_State *L, void *context) {
    const struct device *device = context;
    lua_pushinteger(L, device->rounds);
    return 1;
}

static void take_nothing(lua_State *L, int first, int last, void *context) {
    (void)L;
    (void)first;
    (void)last;
    (void)context;
}

static struct script *opened(const struct script_limits *limits) {
    struct report report;
    report_init(&report);
    struct script *script = script_open("bench.lua", chunk, sizeof chunk - 1, limits, &report);
    report_free(&report);
    if (!script)
        exit(1);
    return script;
}

/* A state of the standard library's alone, the table of functions at index 1. */
static lua_State *bare(void) {
    lua_State *L = luaL_newstate();
    if (!L)
        exit(1);
    luaL_openlibs(L);
    if (luaL_loadbuffer(L, chunk, sizeof chunk - 1, "bench") != LUA_OK ||
        lua_pcall(L, 0, 1, 0) != LUA_OK)
        exit(1);
    return L;
}

static void bare_call(lua_State *L, const char *name, script_push *push, void *context) {
    lua_getfield(L, 1, name);
    if (lua_pcall(L, push(L, context), 1, 0) != LUA_OK)
        exit(1);
    lua_settop(L, 1);
}

static double engine_us(struct script *script, const char *name, script_push *push,
                        script_take *take, struct device *device, long calls) {
    char error[SCRIPT_ERROR_SIZE];
    double start = cpu_us();
    for (long i = 0; i < calls; i++)
        if (script_call(script, name, push, take, device, error) != SCRIPT_OK)
            exit(1);
    return (cpu_us() - start) / (double)calls;
}

static double bare_us(lua_State *L, const char *name, script_push *push, struct device *device,
                      long calls) {
    double start = cpu_us();
    for (long i = 0; i < calls; i++)
        bare_call(L, name, push, device);
    return (cpu_us() - start) / (double)calls;
}

static void call(long calls) {
    struct device device = {.state = NULL};
    struct script *script = opened(NULL);
    lua_State *L = bare();
    double floor_us = bare_us(L, "values", push_table, &device, calls);
    double engine = engine_us(script, "values", push_table, take_nothing, &device, calls);
    double hook = engine_us(script, "values", push_values, take_values, &device, calls);
    printf("{\"floorUs\": %.4f, \"callUs\": %.4f, \"hookUs\": %.4f}\n", floor_us, engine, hook);
    json_decref(device.state);
    lua_close(L);
    script_close(script);
}

static void loop(long rounds) {
    struct device device = {.rounds = rounds};
    struct script *script = opened(NULL);
    lua_State *L = bare();
    double floor_us = bare_us(L, "loop", push_rounds, &device, 100);
    double engine = engine_us(script, "loop", push_rounds, take_nothing, &device, 100);
    printf("{\"floorUs\": %.3f, \"callUs\": %.3f}\n", floor_us, engine);
    lua_close(L);
    script_close(script);
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double at(const double *sorted, long count, double share) {
    long place = (long)(share * (double)count);
    return sorted[place < count ? place : count - 1];
}

static void runaway(long times) {
    struct script_limits limits = script_limits_default();
    struct script *script = opened(&limits);
    double *cpu = calloc((size_t)times + 1, sizeof *cpu);
    char error[SCRIPT_ERROR_SIZE];
    struct device device = {.state = NULL};
    if (!cpu)
        exit(1);
    for (long i = 0; i < times; i++) {
        double start = cpu_us();
        if (script_call(script, i % 2 ? "stubborn" : "runaway", push_table, take_nothing, &device,
                        error) != SCRIPT_OVERTIME)
            exit(1);
        cpu[i] = cpu_us() - start - (double)limits.call_cpu_us;
    }
    qsort(cpu, (size_t)times, sizeof *cpu, compare);
    printf("{\"budgetUs\": %lld, \"overUs\": [%.0f, %.0f, %.0f]}\n", (long long)limits.call_cpu_us,
           at(cpu, times, 0.5), at(cpu, times, 0.99), at(cpu, times, 1));
    free(cpu);
    script_close(script);
}

static void garbage(long count) {
    struct script *script = opened(NULL);
    struct device *devices = calloc((size_t)count + 1, sizeof *devices);
    double *took = calloc((size_t)count * 10 + 1, sizeof *took);
    char error[SCRIPT_ERROR_SIZE];
    if (!devices || !took)
        exit(1);
    for (long i = 0; i < count * 12; i++) {
        double start = cpu_us();
        if (script_call(script, "churn", push_values, take_values, &devices[i % count], error) !=
            SCRIPT_OK)
            exit(1);
        if (i >= count * 2) /* the states have grown to their size */
            took[i - count * 2] = cpu_us() - start;
    }
    qsort(took, (size_t)count * 10, sizeof *took, compare);
    printf("{\"medianUs\": %.2f, \"mostUs\": %.2f}\n", at(took, count * 10, 0.5),
           at(took, count * 10, 1));
    for (long i = 0; i < count; i++)
        json_decref(devices[i].state);
    free(devices);
    free(took);
    script_close(script);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(long count);
        long count;
    } cases[] = {{"call", call, 100000},
                 {"loop", loop, 100000},
                 {"runaway", runaway, 200},
                 {"garbage", garbage, 10000}};
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
            cases[i].run(count > 0 ? count : cases[i].count);
            return 0;
        }
    fprintf(stderr, "usage: scripts call|loop|runaway|garbage [COUNT]\n");
    return 2;
}
