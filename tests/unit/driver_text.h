/* For tests: a driver out of Lua text or out of a file in drivers/, compiled. The text runs in a
 * plain state with the libraries that the sandbox has; the sandbox itself has tests of its own. */
#ifndef DERD_TESTS_DRIVER_TEXT_H
#define DERD_TESTS_DRIVER_TEXT_H

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "driver.h"

static inline lua_State *driver_text_state(void) {
    lua_State *L = luaL_newstate();
    luaL_requiref(L, "_G", luaopen_base, 1);
    luaL_requiref(L, "math", luaopen_math, 1);
    luaL_requiref(L, "string", luaopen_string, 1);
    lua_settop(L, 0);
    return L;
}

/* Leaves the driver's table on the stack of `L`. NULL with the mistakes in `report`. */
static inline struct driver *driver_text_compile(lua_State *L, const char *name, const char *text,
                                                 struct report *report) {
    if (luaL_loadbufferx(L, text, strlen(text), name, "t") != LUA_OK ||
        lua_pcall(L, 0, 1, 0) != LUA_OK) {
        report_add(report, name, "%s", lua_tostring(L, -1));
        return NULL;
    }
    json_t *tree = luadata_from_stack(L, -1, true, report);
    struct driver *driver = tree ? driver_compile(tree, name, report) : NULL;
    json_decref(tree);
    return driver;
}

static inline void driver_text_print(const struct report *report) {
    for (size_t i = 0; i < report->count; i++)
        fprintf(stderr, "  %s: %s\n", report->items[i].where, report->items[i].text);
}

/* The point called `name` as the part sees it, with a given model (0: whichever comes first). */
static inline const struct point *driver_text_point(const struct driver *driver, const char *part,
                                                    const char *name, uint16_t model) {
    int owner = driver_part_find(driver, part);
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (strcmp(point->name, name) != 0 || (point->part != owner && point->part != POINT_NONE))
            continue;
        for (int j = 0; j < point->model_count; j++)
            if (point->models[j] == model)
                return point;
        if (model == 0 || point->model_count == 0)
            return point;
    }
    fprintf(stderr, "%s has no point %s in part \"%s\"\n", driver->name, name, part ? part : "");
    abort();
}

#endif
