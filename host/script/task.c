#include "script/task.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "engine.h"
#include "machine.h"
#include "script/guard.h"
#include "script/hooks.h"

#define NAP_LONGEST_S 30.0

int64_t task_wall_ms(const struct driver *driver) {
    int64_t wall_ms = 10 * driver->timeout_ms;
    if (wall_ms < TASK_WALL_MIN_MS)
        return TASK_WALL_MIN_MS;
    return wall_ms > TASK_WALL_MAX_MS ? TASK_WALL_MAX_MS : wall_ms;
}

/* --- life ----------------------------------------------------------------------------------------
 */

struct task *task_new(uv_loop_t *loop, struct machine *machine) {
    struct task *task = calloc(1, sizeof *task);
    if (!task)
        return NULL;
    task->machine = machine;
    uv_timer_init(loop, &task->timer);
    task->timer.data = task;
    return task;
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

void task_close(struct task *task) {
    if (!task)
        return;
    task_cancel(task);
    uv_close((uv_handle_t *)&task->timer, on_closed);
}

bool task_busy(const struct task *task) {
    return task && task->device;
}

/* Nothing of it runs or waits from here on. */
static void release(struct task *task) {
    uv_timer_stop(&task->timer);
    if (task->cancel)
        task->cancel(task);
    task->cancel = NULL;
    script_task_cancel(task->call);
    task->call = NULL;
    generation_release(task->generation);
    task->generation = NULL;
    task->device->state_holder = NULL;
    task->device = NULL;
    task->naps = task->orphan = false;
}

void task_cancel(struct task *task) {
    if (!task_busy(task))
        return;
    release(task);
}

void task_orphan(struct task *task) {
    if (task_busy(task))
        task->orphan = true;
}

/* --- time ----------------------------------------------------------------------------------------
 */

static void end(struct task *task, enum task_end how, const char *text);

static void timer_due(uv_timer_t *timer) {
    struct task *task = timer->data;
    if (task->naps && (int64_t)uv_now(timer->loop) < task->end_ms) {
        task->naps = false;
        task_resume(task, ERR_OK, "", NULL);
        return;
    }
    char text[TASK_WHY_SIZE];
    snprintf(text, sizeof text, "%s was not over after %lld s", task->path,
             (long long)(task_wall_ms(task->generation->driver) / 1000));
    end(task, TASK_SILENT, text);
}

/* Until the nap is over, or the time of the whole call. */
static void set_timer(struct task *task, int64_t nap_ms) {
    int64_t left_ms = task->end_ms - (int64_t)uv_now(task->timer.loop);
    if (nap_ms >= 0 && nap_ms < left_ms)
        left_ms = nap_ms;
    uv_timer_start(&task->timer, timer_due, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

/* --- bursts --------------------------------------------------------------------------------------
 */

static void end(struct task *task, enum task_end how, const char *text) {
    char copy[SCRIPT_ERROR_SIZE];
    snprintf(copy, sizeof copy, "%s", text);
    bool orphan = task->orphan;
    if (orphan && how == TASK_DONE)
        machine_take_late(task->machine, task->device);
    release(task);
    if (orphan)
        machine_moved_on(task->machine);
    else
        task->over(task, how, copy);
}

/* A hook that fails to read must not keep its neighbour from writing. */
static struct caller *caller_of(struct task *task) {
    bool writes = strcmp(task->path, "hooks.write") == 0;
    return writes ? &task->device->write_caller : &task->device->caller;
}

static void burst_over(struct task *task, enum script_outcome outcome, const char *error) {
    struct engine *engine = task->device->engine;
    /* A script that stumbles over an answer that did not come is not to blame for the silence. */
    bool stumbled = outcome == SCRIPT_RAISED && task->silent;
    guard_leave(engine, task->generation, caller_of(task), stumbled ? SCRIPT_WAITS : outcome,
                error);
    if (outcome == SCRIPT_WAITS)
        return;
    task->call = NULL; /* it has ended, and freed itself */
    if (stumbled)
        end(task, TASK_SILENT, error);
    else if (outcome != SCRIPT_OK)
        end(task, TASK_FAILED, error);
    else if (task->reason[0])
        end(task, task->silent ? TASK_SILENT : TASK_REFUSED, task->reason);
    else
        end(task, TASK_DONE, "");
}

void task_start(struct task *task, struct device *device, const char *path, script_push *push,
                script_take *take, task_over *over) {
    struct generation *generation = device->machine->generation;
    struct engine *engine = device->engine;
    char error[SCRIPT_ERROR_SIZE];
    task->device = task->whom = device;
    task->generation = generation_hold(generation);
    task->path = path;
    task->over = over;
    task->operations = 0;
    task->silent = false;
    task->reason[0] = task->why[0] = '\0';
    task->call = NULL;
    if (generation->script && script_tasks_full(generation->script)) { /* nobody's fault */
        end(task, TASK_FAILED, "too many calls of its driver wait already");
        return;
    }
    if (!generation->script || !guard_enter(engine, generation, caller_of(task), path, error)) {
        end(task, TASK_FAILED, generation->script ? error : "it has no hooks");
        return;
    }
    uv_update_time(&engine->loop);
    task->end_ms = (int64_t)uv_now(&engine->loop) + task_wall_ms(generation->driver);
    script_set_subject(generation->script, device->site->path, device);
    enum script_outcome outcome =
        script_task_start(generation->script, path, push, take, task, &task->call, error);
    burst_over(task, outcome, error);
    if (task->call && !task->naps)
        set_timer(task, -1);
}

void task_resume(struct task *task, enum err result, const char *why, const void *answer) {
    char error[SCRIPT_ERROR_SIZE];
    struct script_task *call = task->call;
    task->cancel = NULL;
    task->result = result;
    task->silent = result != ERR_OK;
    task->answer = answer;
    snprintf(task->why, sizeof task->why, "%s", why);
    if (script_task_spoiled(call)) {
        end(task, TASK_DROPPED, "its script was built anew");
        return;
    }
    guard_resume(task->device->engine, task->generation, task->path);
    enum script_outcome outcome = script_task_resume(call, error);
    task->answer = NULL;
    burst_over(task, outcome, error);
    if (task->call && !task->naps)
        set_timer(task, -1);
}

/* --- what functions of the host use --------------------------------------------------------------
 */

struct task *task_may_wait(lua_State *L, const char *function) {
    struct task *task = script_may_wait(L, function);
    if (task->operations >= TASK_OPERATIONS)
        luaL_error(L,
                   "%s: a call may wait %d times, and this one has; ask for more at once, or for "
                   "less in one call",
                   function, TASK_OPERATIONS);
    task->operations++;
    return task;
}

int task_wait(lua_State *L, struct task *task, script_push *results,
              task_cancel_operation *cancel) {
    task->cancel = cancel;
    return script_wait(L, results, task);
}

int task_push_failure(lua_State *L, struct task *task) {
    lua_pushnil(L);
    lua_pushstring(L, task->why);
    return 2;
}

int task_fail(lua_State *L, struct task *task, const char *why) {
    task->silent = true;
    snprintf(task->why, sizeof task->why, "%s", why);
    return task_push_failure(L, task);
}

int64_t task_timeout(lua_State *L, const struct task *task, int index, const char *function) {
    if (lua_isnoneornil(L, index))
        return task->generation->driver->timeout_ms;
    double seconds = luaL_checknumber(L, index);
    if (!(seconds >= 0.001 && seconds * 1000 <= TASK_WALL_MAX_MS))
        luaL_error(L, "%s: a time-out is within 0.001 and %d s", function, TASK_WALL_MAX_MS / 1000);
    return (int64_t)(seconds * 1000);
}

/* --- sleep ---------------------------------------------------------------------------------------
 */

static int woken(lua_State *L, void *context) {
    (void)L;
    (void)context;
    return 0;
}

static void stop_nap(struct task *task) {
    task->naps = false;
}

int task_sleep(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    if (!(seconds >= 0 && seconds <= NAP_LONGEST_S))
        return luaL_error(L, "sleep takes 0 to %d seconds, got %f", (int)NAP_LONGEST_S, seconds);
    struct task *task = task_may_wait(L, "sleep");
    bool silent = task->silent;
    uv_update_time(task->timer.loop);
    task->naps = true;
    set_timer(task, (int64_t)ceil(seconds * 1000));
    task->silent = silent;
    return task_wait(L, task, woken, stop_nap);
}
