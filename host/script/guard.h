/* The guard stands before every call into a script: it lets the watchdog see the call, makes who
 * failed wait, builds a failing script anew and quarantines it (ladder.h). What follows from a
 * quarantine or a failed probation is done in a turn of its own, never inside the call. Engine
 * thread. */
#ifndef DERD_GUARD_H
#define DERD_GUARD_H

#include <stdbool.h>
#include <uv.h>

#include "script/library.h"
#include "script/watchdog.h"

struct engine;
struct trial;

struct caller { /* who calls a script: a device, a policy's instance; zeroed for each other script
                 */
    struct rung rung;
    char *error; /* of its last failure; NULL: none */
};

void caller_forget(struct caller *caller); /* as at first */

struct rehearsal {    /* of a stall: the first call of this script lasts so long */
    const char *name; /* NULL: none; "*": each script */
    int64_t ms;
};

struct guard {
    struct watchdog *watchdog;
    struct stalls stalls; /* as they were when the host started */
    struct wall started;
    char off[240]; /* why no script is called; "": they are */
    struct rehearsal rehearsal;
    struct trial *trials;
    uv_timer_t turn;
};

/* Reads the stalls and starts the watchdog; without one it goes on and says so. */
void guard_open(struct engine *engine, const struct rehearsal *rehearsal);
/* After the loop has been told to end; the watchdog itself ends with guard_free(). */
void guard_close(struct engine *engine);
void guard_free(struct engine *engine); /* when no generation is left */
/* After files have changed: whether scripts are called at all. */
void guard_judge(struct engine *engine);
/* Whether this generation's script is not called any more, by quarantine or altogether: the text
 * why, or NULL. A generation without a script never is. */
const char *guard_stopped(const struct engine *engine, const struct generation *generation);
/* Called once the engine is back in its loop: takes the consequences. */
void guard_turn_soon(struct engine *engine);

/* Around each call. False: it may not be called now, `why` says why. `call` is a constant text. */
bool guard_enter(struct engine *engine, const struct generation *generation,
                 const struct caller *caller, const char *call, char why[SCRIPT_ERROR_SIZE]);
/* The same for a task that goes on after a wait: it may in any case. */
void guard_resume(struct engine *engine, const struct generation *generation, const char *call);
/* With SCRIPT_WAITS nothing is judged. */
void guard_leave(struct engine *engine, struct generation *generation, struct caller *caller,
                 enum script_outcome outcome, const char *error);

#endif
