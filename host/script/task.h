/* A task of a device: one call of hooks.read or hooks.write, which may wait for operations (a
 * register, a request, a nap) and reads like straight code. Each machine has room for one: it does
 * one thing at a time, and costs the others nothing while it waits. Engine thread.
 *
 *   IDLE --task_start--> RUNS <--> WAITS for one operation --> `over` --> IDLE
 *
 * Bounds: CPU time per burst and per call (script.h), TASK_OPERATIONS, and wall time: what is not
 * over after task_wall_ms() is given up, and the device counts as silent. A task holds the
 * generation that it was started on until it ends. Its script is told apart from the generation's:
 * when that was built anew meanwhile because it had run out of memory, the task is dropped and says
 * so.
 *
 * When its machine goes on to another generation meanwhile, it goes on with its own to its end: the
 * machine waits for that, takes its values and hands its `dev.state` on. */
#ifndef DERD_TASK_H
#define DERD_TASK_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "io/http.h"
#include "io/line.h"
#include "io/mqtt.h"
#include "io/udp.h"
#include "link/link.h"
#include "script/library.h"
#include "script/script.h"

#define TASK_OPERATIONS  64 /* of one call */
#define TASK_WALL_MIN_MS 10000
#define TASK_WALL_MAX_MS 30000
#define TASK_WHY_SIZE    320

struct device;
struct machine;
struct task;

enum task_end {
    TASK_DONE,    /* it returned what it must */
    TASK_REFUSED, /* nil and a reason */
    TASK_SILENT,  /* the same after its last operation had no answer, or its time was over */
    TASK_FAILED,  /* the script: it raised, broke a limit, or may not be called now */
    TASK_DROPPED  /* its script was built anew under it: call again */
};

/* Called once, from the loop or from inside task_start(); the slot is free then. `text`: why it is
 * not TASK_DONE. */
typedef void task_over(struct task *task, enum task_end end, const char *text);
/* Ends the operation that is under way, without its callback. */
typedef void task_cancel_operation(struct task *task);

struct task {
    struct machine *machine;
    struct device *device;         /* for whom; NULL: idle */
    struct device *whom;           /* the same, also while `over` is called */
    struct generation *generation; /* held while it runs */
    struct script_task *call;      /* NULL while it does not wait */
    const char *path;              /* "hooks.read" */
    task_over *over;
    int first, count; /* of hooks.write: which writes of the plan */
    bool orphan;      /* its machine has gone on to another generation: its end is told, no more */

    uv_timer_t timer; /* of a nap, else of the wall time */
    int64_t end_ms;   /* of the loop's clock */
    bool naps;
    int operations;
    bool silent;                   /* the last operation had no answer */
    char reason[TASK_WHY_SIZE];    /* `take` sets it: the call returned nil and this */
    task_cancel_operation *cancel; /* of the operation under way, NULL: none */
    enum err result;               /* of the operation that is over */
    char why[TASK_WHY_SIZE];
    union {
        struct transaction transaction;
        struct http_request http;
        struct udp_exchange udp;
        struct line_exchange line;
        struct mqtt_publication mqtt;
    } operation;
    struct point asked; /* dev.modbus: how the value stands in its registers */
    const void *answer; /* of the operation that is over, while it is taken */
};

/* The slot of a machine; freed by task_close() at a later loop turn. NULL: no memory. */
struct task *task_new(uv_loop_t *loop, struct machine *machine);
void task_close(struct task *task);
bool task_busy(const struct task *task); /* NULL: no */

/* Calls `path` for the device on its machine's generation; the task is the context of `push` and
 * `take`, which may set task->reason. */
void task_start(struct task *task, struct device *device, const char *path, script_push *push,
                script_take *take, task_over *over);
/* Gives it up; `over` is not called. */
void task_cancel(struct task *task);
/* The machine has another generation now: the task goes on with its own to its end. */
void task_orphan(struct task *task);
int64_t task_wall_ms(const struct driver *driver);

/* For functions of the host inside a call: */
/* The task that may wait now; raises where none may, or when it has made its last operation. */
struct task *task_may_wait(lua_State *L, const char *function);
/* `return task_wait(...)`: until task_resume(). `results` finds the task as its context. */
int task_wait(lua_State *L, struct task *task, script_push *results, task_cancel_operation *cancel);
/* The operation is over; `why` is for the script when it is not ERR_OK. From the loop. */
void task_resume(struct task *task, enum err result, const char *why, const void *answer);
/* [-0, +2] nil and the reason of an operation that had no answer. */
int task_push_failure(lua_State *L, struct task *task);
/* The same for one that could not even begin. */
int task_fail(lua_State *L, struct task *task, const char *why);
/* The seconds at `index`, or the driver's time-out, in ms. */
int64_t task_timeout(lua_State *L, const struct task *task, int index, const char *function);
int task_sleep(lua_State *L); /* the function sleep(seconds) of scripts */

#endif
