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
    int64_t call_cpu_us; /* default 20 ms; of a task: between two waits */
    int64_t task_cpu_us; /* default 200 ms, a task in all */
};
struct script_limits script_limits_default(void);

enum script_outcome {
    SCRIPT_OK,
    SCRIPT_RAISED,   /* an error, with file:line */
    SCRIPT_OVERTIME, /* over its CPU budget */
    SCRIPT_MEMORY,   /* over its memory cap: spoiled */
    SCRIPT_NO_SUCH,  /* there is no function of that name */
    SCRIPT_WAITS     /* a task: for an operation of the host */
};

/* Loads and runs the chunk; it must return a table, which is kept. NULL with mistakes
 * ("sunspec.lua:12: ..."). */
struct script *script_open(const char *file_name, const char *text, size_t length,
                           const struct script_limits *limits, struct report *report);
/* One reference less; tasks keep the script until they end. */
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
 * NULL: for nobody. `caller` is what functions of the host find by script_caller(), or NULL. */
void script_set_subject(struct script *script, const char *subject, void *caller);
/* Whose call runs on this state. */
void *script_caller(lua_State *L);
/* One line of the log by the script, for its subject; of each call only the first ones count. */
void script_log(lua_State *L, const char *line);
bool script_spoiled(const struct script *script);
size_t script_memory(const struct script *script);
/* CPU time that its calls have used since this was asked last, and the longest of them without a
 * wait. Of a call below a millisecond it is its time by the clock, which is no less. */
int64_t script_take_used_us(struct script *script, int64_t *longest_us);
/* Makes text of a script fit for messages and JSON: one line of valid UTF-8, cut at a whole
 * character. In place, never longer. */
void script_text_clean(char *text);
/* Every global name and library member of the sandbox ("string.format"), NULL-terminated, sorted:
 * the allow list (script_names.inc) that the host, the linter and the tests share. */
const char *const *script_sandbox_names(void);

/* --- tasks ---------------------------------------------------------------------------------------
 *
 * A task is a call that may wait for operations of the host: a coroutine of its own, which runs
 * like a straight call and is suspended inside a function of the host. Whoever starts it gets
 * SCRIPT_WAITS, and resumes it when the operation is over; any other outcome is the end, and the
 * task is gone. `push`, `take` and budgets are as those of script_call(), and hold for each burst
 * between two waits; what a task has used in all is bounded too. A killed task is killed also
 * through pcall and across its waits. */
#define SCRIPT_MAX_TASKS 2000 /* of one script, that run or wait */

struct script_task;

enum script_outcome script_task_start(struct script *script, const char *path, script_push *push,
                                      script_take *take, void *context, struct script_task **task,
                                      char error[SCRIPT_ERROR_SIZE]);
enum script_outcome script_task_resume(struct script_task *task, char error[SCRIPT_ERROR_SIZE]);
bool script_task_runs(lua_State *L);                 /* this state is inside one */
bool script_tasks_full(const struct script *script); /* SCRIPT_MAX_TASKS of it wait */
/* Forgets a task that waits: nothing of it runs any more, neither pcall nor <close>. */
void script_task_cancel(struct script_task *task);
/* Whether its script ran out of memory since: it should not go on. */
bool script_task_spoiled(const struct script_task *task);

/* For functions of the host that wait. Begin with script_may_wait(), which raises where waiting is
 * impossible and gives the context of the task; when the operation is under way, end with
 * `return script_wait(...)`. `results` runs inside the task once it is resumed: it pushes what the
 * function returns. */
void *script_may_wait(lua_State *L, const char *function);
int script_wait(lua_State *L, script_push *results, void *context);

#endif
