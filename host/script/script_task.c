/* Tasks: calls of a script that wait for the host in between. Each is a coroutine that stands in
 * the registry under its task's address and runs only inside burst(), from the host's loop.
 * Everything that can raise (arguments, results, what `take` does) happens inside the coroutine, in
 * the body or in continuations, never between bursts.
 *
 * Lua's hooks belong to a coroutine, so the budget is set on the one that runs. A kill that comes
 * between the last instruction and a wait finds the task suspended: it ends there. */
#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/script_internal.h"

struct script_task {
    struct script *script; /* one reference */
    lua_State *L;          /* its coroutine, of the script's registry */
    const char *path;
    script_push *push;
    script_take *take;
    void *context;
    script_push *results; /* of the operation that it waits for */
    void *results_context;
    char subject[SUBJECT_SIZE];
    void *caller;
    int64_t used_us; /* in the bursts before */
    int prints;
    bool waits; /* in script_wait(), not in a yield that is none of ours */
    bool no_such;
};

/* ---- inside the coroutine ---- */

static int body_over(lua_State *L, int status, lua_KContext context) {
    struct script_task *task = (struct script_task *)context;
    (void)status;
    if (task->take) {
        int last = lua_gettop(L);
        luaL_checkstack(L, LUA_MINSTACK, NULL);
        task->take(L, 1, last, task->context);
    }
    return 0;
}

static int body(lua_State *L) {
    struct script_task *task = lua_touserdata(L, 1);
    lua_settop(L, 0);
    script_push_at_path(L, task->script, task->path);
    if (!lua_isfunction(L, -1)) {
        task->no_such = true;
        return 0;
    }
    int arguments = task->push ? task->push(L, task->context) : 0;
    lua_callk(L, arguments, LUA_MULTRET, (lua_KContext)task, body_over);
    return body_over(L, LUA_OK, (lua_KContext)task);
}

void *script_may_wait(lua_State *L, const char *function) {
    struct script_task *task = script_of(L)->task;
    if (!task) {
        luaL_error(L,
                   "%s waits, which only hooks.read and hooks.write may do: not a file while it is "
                   "loaded, not another hook, not a policy",
                   function);
        return NULL; /* which it never does */
    }
    if (!lua_isyieldable(L))
        luaL_error(L,
                   "%s cannot wait here, inside table.sort, string.gsub, tostring or another "
                   "function that calls back: do it before, and use what it returned",
                   function);
    return task->context;
}

static int wait_over(lua_State *L, int status, lua_KContext context) {
    struct script_task *task = (struct script_task *)context;
    (void)status;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    return task->results ? task->results(L, task->results_context) : 0;
}

int script_wait(lua_State *L, script_push *results, void *context) {
    struct script_task *task = script_of(L)->task;
    task->results = results;
    task->results_context = context;
    task->waits = true;
    return lua_yieldk(L, 0, (lua_KContext)task, wait_over);
}

/* ---- from the host ---- */

static void task_free(struct script_task *task) {
    struct script *script = task->script;
    if (task->L) { /* its key is there already: nothing is allocated, nothing raises */
        lua_pushnil(script->L);
        lua_rawsetp(script->L, LUA_REGISTRYINDEX, task);
    }
    script->task_count--;
    script_close(script);
    free(task);
}

/* An error value becomes "file:line: sentence". The coroutine still stands where it was raised;
 * nothing here allocates in Lua. */
static void say_error(struct script_task *task, char error[SCRIPT_ERROR_SIZE]) {
    lua_State *L = task->L;
    struct place place;
    char where[LUA_IDSIZE + 16];
    script_find_place(L, 0, &place);
    script_say_place(task->script, &place, where, sizeof where);
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        if (script_has_place(task->script, lua_tostring(L, -1)))
            snprintf(error, SCRIPT_ERROR_SIZE, "%s", lua_tostring(L, -1));
        else
            snprintf(error, SCRIPT_ERROR_SIZE, "%s: %s", where, lua_tostring(L, -1));
        break;
    case LUA_TNUMBER:
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: %.14g", where, lua_tonumber(L, -1));
        break;
    default:
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: error() was called with a %s; give it a sentence",
                 where, luaL_typename(L, -1));
    }
}

static enum script_outcome end_of(struct script_task *task, int status, int64_t used_us,
                                  char error[SCRIPT_ERROR_SIZE]) {
    struct script *script = task->script;
    char what[SCRIPT_ERROR_SIZE];
    snprintf(what, sizeof what, "%s%s%s", task->path, task->subject[0] ? " for " : "",
             task->subject);
    if (script->overtime || status == LUA_ERRMEM)
        return script_outcome_of(script, task->L, status, what, used_us, error);
    if (status == LUA_YIELD) {
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: %s waits for nothing", script->name, what);
        return SCRIPT_RAISED;
    }
    if (status != LUA_OK) {
        say_error(task, error);
        return SCRIPT_RAISED;
    }
    if (task->no_such) {
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: there is no function '%s'", script->name,
                 task->path);
        return SCRIPT_NO_SUCH;
    }
    script_warn_when_near(script, what, used_us);
    return SCRIPT_OK;
}

/* Runs it until it waits or ends. */
static enum script_outcome burst(struct script_task *task, int arguments,
                                 char error[SCRIPT_ERROR_SIZE]) {
    struct script *script = task->script;
    int64_t left_us = script->limits.task_cpu_us - task->used_us;
    int64_t budget_us = left_us < script->limits.call_cpu_us ? left_us : script->limits.call_cpu_us;
    int results;
    error[0] = '\0';
    task->waits = false;
    script_set_subject(script, task->subject, task->caller);
    script->prints = task->prints;
    script->memory_peak = script->memory;
    script->task = task;
    script_start_budget(script, task->L, budget_us > 0 ? budget_us : 1);
    int status = lua_resume(task->L, script->L, arguments, &results);
    int64_t used_us = script_end_budget(script);
    script->task = NULL;
    task->prints = script->prints;
    task->used_us += used_us / script_budget_scale();
    if (status == LUA_YIELD && task->waits && !script->overtime) {
        lua_pop(task->L, results);
        return SCRIPT_WAITS;
    }
    enum script_outcome outcome = end_of(task, status, used_us, error);
    if (outcome == SCRIPT_MEMORY)
        script->spoiled = true;
    script_text_clean(error);
    task_free(task);
    return outcome;
}

static int make_thread(lua_State *L) {
    struct script_task *task = lua_touserdata(L, 1);
    lua_State *thread = lua_newthread(L);
    lua_pushcfunction(thread, body); /* there is room: a fresh stack has LUA_MINSTACK */
    lua_pushlightuserdata(thread, task);
    lua_rawsetp(L, LUA_REGISTRYINDEX, task);
    task->L = thread;
    return 0;
}

enum script_outcome script_task_start(struct script *script, const char *path, script_push *push,
                                      script_take *take, void *context, struct script_task **task,
                                      char error[SCRIPT_ERROR_SIZE]) {
    *task = NULL;
    if (script->task_count >= SCRIPT_MAX_TASKS) {
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: %d calls of it wait already, the most that may",
                 script->name, SCRIPT_MAX_TASKS);
        return SCRIPT_RAISED;
    }
    struct script_task *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(error, SCRIPT_ERROR_SIZE, "%s: no memory for %s", script->name, path);
        return SCRIPT_RAISED;
    }
    made->script = script;
    made->path = path;
    made->push = push;
    made->take = take;
    made->context = context;
    made->caller = script->caller;
    snprintf(made->subject, sizeof made->subject, "%s", script->subject);
    script->references++;
    script->task_count++;
    enum script_outcome outcome = script_run(script, make_thread, made, path, error);
    if (outcome != SCRIPT_OK) {
        task_free(made);
        return outcome;
    }
    outcome = burst(made, 1, error);
    if (outcome == SCRIPT_WAITS)
        *task = made;
    return outcome;
}

enum script_outcome script_task_resume(struct script_task *task, char error[SCRIPT_ERROR_SIZE]) {
    return burst(task, 0, error);
}

bool script_tasks_full(const struct script *script) {
    return script->task_count >= SCRIPT_MAX_TASKS;
}

bool script_task_runs(lua_State *L) {
    return script_of(L)->task != NULL;
}

void script_task_cancel(struct script_task *task) {
    if (task)
        task_free(task);
}

bool script_task_spoiled(const struct script_task *task) {
    return task->script->spoiled;
}
