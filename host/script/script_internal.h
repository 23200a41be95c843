/* Inside of script.c, script_budget.c and script_task.c only: what a script is. */
#ifndef DERD_SCRIPT_INTERNAL_H
#define DERD_SCRIPT_INTERNAL_H

#include "script/script.h"

#define SUBJECT_SIZE  100
#define SPARE_SIZES   63
#define SPARE_LEAST   24
#define SPARE_STEP    16
#define SPARE_LARGEST (SPARE_LEAST + (SPARE_SIZES - 1) * SPARE_STEP)

struct spare;

struct place { /* where in the file something happened; line 0: not known */
    char source[LUA_IDSIZE];
    int line;
};

struct script {
    unsigned references; /* its generation's, and one of each task */
    lua_State *L;        /* the main thread of Lua: tasks are coroutines beside it */
    struct script_limits limits;
    char *name;                        /* of the file, as messages call it */
    char subject[SUBJECT_SIZE];        /* for whom it is called; "" when nobody said */
    size_t memory, memory_peak;        /* the peak since the last call began */
    struct spare *spares[SPARE_SIZES]; /* blocks that it gave back; not counted in `memory` */
    size_t spare_bytes;
    struct place refused_at; /* the last allocation over the cap */
    bool spoiled;
    bool warned_time, warned_memory,
        warned_steps;         /* that it came near this limit: once is enough */
    int table;                /* registry reference of what the chunk returned */
    int prints;               /* in this call */
    void *caller;             /* whose call runs, for functions of the host; NULL: nobody's */
    struct script_task *task; /* the one that runs, NULL: a call that may not wait */
    int task_count;           /* tasks that run or wait */

    /* Read by the signal handler, which runs on the thread that is inside a call. Hooks belong to
     * one thread of Lua: `running` is that one, the main one or a task's. */
    lua_State *volatile running;
    struct script *outer; /* in whose call this one was made, on the same thread; NULL: in none */
    int64_t budget_us, started_us; /* of the thread's CPU time */
    int64_t began_us;              /* monotonic */
    int64_t used_us, used_most_us; /* since script_take_used_us(): all, and at once */
    bool overtime;
    struct place overtime_at;
};

struct script *script_of(lua_State *L);
/* The innermost line of Lua that is running, from `level` outwards. Allocates nothing. */
void script_find_place(lua_State *L, int level, struct place *place);
/* "sunspec.lua:12" or "sunspec.lua". */
void script_say_place(const struct script *script, const struct place *place, char *text,
                      size_t size);
/* Whether a message already starts with its place: "sunspec.lua:12: ...". */
bool script_has_place(const struct script *script, const char *text);
/* [-0, +1] What stands at "a.b" in the script's table, without metamethods; nil: nothing. */
void script_push_at_path(lua_State *L, const struct script *script, const char *path);
/* What `status` of Lua means, with the sentence; its error value is on top of L. */
enum script_outcome script_outcome_of(struct script *script, lua_State *L, int status,
                                      const char *what, int64_t used_us,
                                      char error[SCRIPT_ERROR_SIZE]);
/* Runs `body` protected and inside the budget of a call; `context` is its light userdata. */
enum script_outcome script_run(struct script *script, lua_CFunction body, void *context,
                               const char *what, char error[SCRIPT_ERROR_SIZE]);
/* Whether it used much of its time or memory, of which nothing was said yet. */
bool script_is_near(const struct script *script, int64_t used_us);
void script_warn_when_near(struct script *script, const char *what, int64_t used_us);

/* script_budget.c */
void *script_allocate(void *script, void *block, size_t old_size, size_t size);
void script_free_spares(struct script *script);
/* From here on the thread `on` is stopped when the budget is used up. */
void script_start_budget(struct script *script, lua_State *on, int64_t budget_us);
/* Returns the CPU time used; of a call shorter than a millisecond, its time by the clock, which is
 * no less. */
int64_t script_end_budget(struct script *script);
int script_budget_scale(void); /* sanitizers slow everything down */

#endif
