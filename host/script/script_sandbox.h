/* The sandbox of a script: its globals, made by copying the names of one allow list out of Lua's
 * own libraries. What is not in the list does not exist for a script: no io, os, debug, package,
 * coroutine, load, require, collectgarbage, rawset. No xpcall either: a message handler called for
 * an error that a hook raised runs with hooks switched off, so a loop in it would never end. The
 * pattern functions of strings are our own (script_pattern.h).
 *
 * A count hook never fires inside a C function, so every C function in the list ends by itself in
 * bounded time: lists and ranges that `table` walks have at most SANDBOX_MAX_ITEMS items, and
 * table.sort() compares through a Lua function. C functions that call each other without Lua
 * between them look at the budget themselves, each at its start. Lengths of strings are bounded by
 * the memory cap. What remains: garbage collection of hostile chains of weak keys is not bounded by
 * any budget. */
#ifndef DERD_SCRIPT_SANDBOX_H
#define DERD_SCRIPT_SANDBOX_H

#include <lua.h>

#include "script/script_pattern.h"

#define SANDBOX_MAX_ITEMS 1000000

struct sandbox_host {
    lua_CFunction print;
    struct pattern_watch watch;
};

/* [-0, +0] Replaces the globals of a fresh state by the sandbox; `host` lives longer than the
 * state. May raise: call it protected. Reading a global that does not exist and writing any global
 * raise from then on, also in the chunk itself. */
void script_sandbox_open(lua_State *L, const struct sandbox_host *host);
/* [-1, +1] Puts around the C function on top what looks at the budget first. */
void script_sandbox_guard(lua_State *L);

#endif
