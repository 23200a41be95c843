/* Plain data out of Lua. A site file, a home for the simulator and a driver's tables become a tree
 * of jansson values; what is not plain data (functions, userdata, NaN, mixed tables, cycles) is a
 * mistake with its path.
 *
 * Tables with keys 1..n become arrays, tables with string keys objects, {} an empty object (the
 * schema takes it for an empty array where one is due). Integer keys of a SCHEMA_MAP, as in
 * `values = { [0] = "off" }`, become decimal strings when they do not run from 1 to n without a
 * gap; luadata_map() gives such a table the same form when they do. */
#ifndef DERD_BASE_LUADATA_H
#define DERD_BASE_LUADATA_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/report.h"

/* Runs `text` in a bare state (no library at all, 16 MiB, bounded instructions) and gives the tree
 * that it returns. NULL with at least one mistake ("home.lua:3: ...") otherwise. `name` is what
 * messages call it. Any thread. */
json_t *luadata_load(const char *name, const char *text, size_t length, struct report *report);

/* [-0, +0] The value at `index` as a tree; functions become json true when `functions` says so
 * (a driver's hooks, a policy's run), else they are mistakes. NULL with mistakes. Never raises. */
json_t *luadata_from_stack(lua_State *L, int index, bool functions, struct report *report);

/* [-0, +0] Brings an object that was read before up to date with the table at `index`. True when
 * all that differs is the values of numbers; else nothing is changed, and it is to be read anew.
 * The object must be the caller's alone. Never raises. */
bool luadata_refresh(lua_State *L, int index, json_t *object);

/* [-0, +1] Pushes a tree as Lua values: objects and arrays as tables, null as nil. May raise on
 * memory: call it protected. */
void luadata_push(lua_State *L, const json_t *tree);

/* The same, but null as a value of its own that luadata_from_stack() gives back as null. */
void luadata_push_nulls(lua_State *L, const json_t *tree);
void luadata_push_null(lua_State *L); /* [-0, +1] that value */
bool luadata_is_null(lua_State *L, int index);

/* A tree that may be an array or an object, as an object with decimal keys ("1".."n"). New
 * reference. */
json_t *luadata_map(const json_t *tree);

/* Reads a whole file of at most `maximum` bytes, NUL-terminated; NULL with a mistake. Caller frees.
 */
char *file_read(const char *path, size_t maximum, size_t *length, struct report *report);

#endif
