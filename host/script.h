/* A script: one lua_State of one generation of one driver or policy, in the sandbox. The sandbox is
 * made by leaving things out: see script_sandbox_names(). Engine thread only (script_open() also in
 * `derd check`).
 *
 * What holds for every script: text chunks only; a memory cap in the allocator; a budget of thread
 * CPU time per call that no pcall swallows; no coroutine, no load, no __gc; a global that was not
 * declared raises. A call that breaks a limit or raises leaves the script usable and its caller
 * unharmed; a script that ran out of memory is `spoiled` and is to be built anew. */
#ifndef DERD_SCRIPT_H
#define DERD_SCRIPT_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"

#define SCRIPT_ERROR_SIZE 512

struct script;

struct script_limits {
    size_t memory_bytes; /* default 16 MiB */
    int64_t load_cpu_us; /* default 100 ms, the chunk itself */
    int64_t call_cpu_us; /* default 20 ms */
};
struct script_limits script_limits_default(void);

enum script_outcome {
    SCRIPT_OK,
    SCRIPT_RAISED,   /* an error, with file:line */
    SCRIPT_OVERTIME, /* over its CPU budget */
    SCRIPT_MEMORY,   /* over its memory cap: spoiled */
    SCRIPT_NO_SUCH   /* there is no function of that name */
};

/* Loads and runs the chunk; it must return a table, which is kept. NULL with mistakes
 * ("sunspec.lua:12: ..."). */
struct script *script_open(const char *file_name, const char *text, size_t length,
                           const struct script_limits *limits, struct report *report);
void script_close(struct script *script);
/* The table as plain data, functions as json true. New reference, NULL with mistakes. */
json_t *script_tree(struct script *script, struct report *report);

/* Calls the function at `path` in the table ("run", "hooks.values"). `push` puts the arguments on
 * the stack and returns their number; `take` sees the results at stack indices first..last. Both
 * run protected and inside the budget and may raise. `error`: one sentence with file:line, the
 * limit and its value where one was broken. */
typedef int script_push(lua_State *L, void *context);
typedef void script_take(lua_State *L, int first, int last, void *context);
enum script_outcome script_call(struct script *script, const char *path, script_push *push,
                                script_take *take, void *context, char error[SCRIPT_ERROR_SIZE]);
/* For whom calls are made from here on ("home/battery"): messages about limits name it. Copied;
 * NULL: for nobody. */
void script_set_subject(struct script *script, const char *subject);
bool script_spoiled(const struct script *script);
size_t script_memory(const struct script *script);
/* Makes text of a script fit for messages and JSON: one line of valid UTF-8, cut at a whole
 * character. In place, never longer. */
void script_text_clean(char *text);
/* Every global name and library member of the sandbox ("string.format"), NULL-terminated, sorted:
 * the allow list (script_names.inc) that the host, the linter and the tests share. */
const char *const *script_sandbox_names(void);

#endif
