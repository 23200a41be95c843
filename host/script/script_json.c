/* JSON for scripts, by jansson: whole numbers stay integers, null is a value of its own
 * (json.null), so that "there is none" and "it was not said" remain two things. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/luadata.h"
#include "script/script_device.h"

#define TEXT_MAXIMUM (256U << 10) /* what an answer may have */
#define PRECISION    15           /* 16.1 stays 16.1 */

static int free_tree(lua_State *L) {
    json_t **box = lua_touserdata(L, 1);
    json_decref(*box);
    *box = NULL;
    return 0;
}

/* [-0, +1] Holds a tree that is not there yet, so that an error on the way frees it. */
static json_t **push_box(lua_State *L) {
    json_t **box = lua_newuserdatauv(L, sizeof(json_t *), 0); // NOLINT(bugprone-sizeof-expression)
    *box = NULL;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, free_tree);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return box;
}

int script_load_json(lua_State *L, const char *text, size_t length) {
    json_error_t error;
    if (length > TEXT_MAXIMUM) {
        lua_pushnil(L);
        lua_pushfstring(L, "the text has more than %d bytes", (int)TEXT_MAXIMUM);
        return 2;
    }
    json_t **box = push_box(L);
    *box = json_read(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!*box) {
        lua_pushnil(L);
        lua_pushfstring(L, "this is no JSON: %s (line %d)", error.text, error.line);
        return 2;
    }
    luadata_push_nulls(L, *box);
    json_decref(*box);
    *box = NULL;
    return 1;
}

char *script_dump_json(lua_State *L, int index, char *why, size_t why_size) {
    struct report report;
    report_init(&report);
    json_t *tree = luadata_from_stack(L, index, false, &report);
    char *text =
        tree ? json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(PRECISION))
             : NULL;
    if (!text)
        snprintf(why, why_size, "%s%s%s", report.count ? report.items[0].where : "",
                 report.count && report.items[0].where[0] ? ": " : "",
                 report.count ? report.items[0].text : "it cannot be written as JSON");
    json_decref(tree);
    report_free(&report);
    return text;
}

static int decode(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    return script_load_json(L, text, length);
}

static int free_text(lua_State *L) {
    char **box = lua_touserdata(L, 1);
    free(*box);
    *box = NULL;
    return 0;
}

static int encode(lua_State *L) {
    char why[300];
    luaL_checkany(L, 1);
    char **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, free_text);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    *box = script_dump_json(L, 1, why, sizeof why);
    if (!*box)
        return luaL_error(L, "json.encode: %s", why);
    lua_pushstring(L, *box);
    free(*box);
    *box = NULL;
    return 1;
}

const luaL_Reg script_json[] = {{"decode", decode}, {"encode", encode}, {NULL, NULL}};
