#include "script/carry.h"

#include <lauxlib.h>

#include "base/log.h"
#include "base/luadata.h"
#include "device.h"
#include "script/guard.h"

struct migration {
    const struct device *device;
    json_t *made;
};

static int push_state(lua_State *L, void *context) {
    const struct migration *migration = context;
    luadata_push(L, migration->device->hook_state);
    lua_pushinteger(L, migration->device->carried.version);
    return 2;
}

static void take_state(lua_State *L, int first, int last, void *context) {
    struct migration *migration = context;
    struct report report;
    if (last < first || !lua_istable(L, first))
        luaL_error(L, "hooks.migrate must return the new state, a table; got a %s",
                   last < first ? "nothing" : luaL_typename(L, first));
    report_init(&report);
    migration->made = luadata_from_stack(L, first, false, &report);
    report_free(&report);
    if (!migration->made)
        luaL_error(L, "hooks.migrate must return plain data: numbers, texts, booleans and tables "
                      "of them");
}

static json_t *migrate(struct device *device, struct generation *generation) {
    struct migration migration = {.device = device};
    struct caller caller = {0};
    char error[SCRIPT_ERROR_SIZE] = "";
    if (!guard_enter(device->engine, generation, &caller, "hooks.migrate", error)) {
        log_warning(device->site->path, "its state starts empty: %s", error);
        return NULL;
    }
    script_set_subject(generation->script, device->site->path, device);
    enum script_outcome outcome =
        script_call(generation->script, "hooks.migrate", push_state, take_state, &migration, error);
    guard_leave(device->engine, generation, &caller, outcome, error);
    caller_forget(&caller);
    if (outcome == SCRIPT_OK)
        return migration.made;
    log_warning(device->site->path, "its state starts empty: %s", error);
    json_decref(migration.made);
    return NULL;
}

void carry_start(struct device *device, const struct generation *generation) {
    device->carried.version = generation->driver->state_version;
}

void carry_over(struct device *device, struct generation *generation) {
    struct carried *carried = &device->carried;
    int version = generation->driver->state_version;
    json_t *state;
    if (version == carried->version)
        return;
    if (!device->hook_state)
        device->hook_state = json_object();
    if (carried->before && carried->before_version == version) {
        state = json_incref(carried->before); /* back to the generation before */
    } else if (json_object_size(device->hook_state) == 0) {
        state = json_object();
    } else if (generation->driver->hook_migrate) {
        state = migrate(device, generation);
    } else {
        log_warning(device->site->path,
                    "its state starts empty: %s has stateVersion %d, it was %d, and there is no "
                    "hooks.migrate",
                    generation->name, version, carried->version);
        state = NULL;
    }
    json_decref(carried->before);
    carried->before = device->hook_state;
    carried->before_version = carried->version;
    device->hook_state = state ? state : json_object();
    carried->version = version;
}

void carry_forget(struct device *device) {
    json_decref(device->carried.before);
    device->carried.before = NULL;
}
