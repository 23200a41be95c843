/* The watchdog: a thread that looks whether a script has held the engine for more than two seconds.
 * Budgets of CPU time stop a script inside Lua; what they cannot stop (a C function that does not
 * come back, a call that blocks) is stopped here: the culprit is written to a small file in the
 * store's directory and the process aborts. The supervisor starts the host again, which reads the
 * file: a culprit that is still the same text starts quarantined, and after three aborts within ten
 * minutes no script is called at all.
 *
 * The engine tells what runs by two atomics. A stall is counted in the watchdog's own wakings, so
 * that a process that was stopped or a machine that slept is not taken for one. The thread takes no
 * lock that a script's call may hold and writes no log line. */
#ifndef DERD_WATCHDOG_H
#define DERD_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "directory.h"

#define WATCHDOG_LIMIT_MS  2000
#define WATCHDOG_WINDOW_MS 600000
#define WATCHDOG_ABORTS    3 /* within the window: no script is called any more */
#define WATCHDOG_STALLS    64
#define WATCHDOG_NO_SCRIPT 0
#define SCRIPT_HASH_SIZE   33 /* 16 bytes as hexadecimal digits, NUL */
#define SCRIPT_PATH_SIZE   32 /* "hooks.values" */
#define SCRIPT_LOADING     "loading"

struct stall { /* one abort, as the file tells it */
    struct wall at;
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    char hash[SCRIPT_HASH_SIZE]; /* of the text that ran */
    char call[SCRIPT_PATH_SIZE]; /* "hooks.values", "run", SCRIPT_LOADING */
};

struct stalls {
    size_t count;
    struct stall items[WATCHDOG_STALLS]; /* oldest first; when there are more, the newest */
};

/* Reads `directory`/stalls. A missing file is none; lines that are none of ours are left out. */
void stalls_read(struct stalls *stalls, const char *directory);
/* The newest stall of this very text, or NULL. */
const struct stall *stalls_find(const struct stalls *stalls, enum script_kind kind,
                                const char *name, const char *hash);
/* Whether it belongs to the last ten minutes before `now`; a time in the future does too. */
bool stall_recent(const struct stall *stall, struct wall now);
/* One line of the file; false when it does not fit. */
bool stall_line(const struct stall *stall, char *text, size_t size);

struct watchdog;

/* Starts the thread. ERR_MEMORY; ERR_IO: there can be no thread. */
must_check enum err watchdog_open(struct watchdog **watchdog, const char *directory);
void watchdog_close(struct watchdog *watchdog); /* NULL is fine, as below */
/* A number for this text of this script, until it is given back; WATCHDOG_NO_SCRIPT without room:
 * it is not watched then. */
int watchdog_script(struct watchdog *watchdog, enum script_kind kind, const char *name,
                    const char *hash);
void watchdog_forget(struct watchdog *watchdog, int script);
/* Around each call into a script. `call` is a constant text. Engine thread. */
void watchdog_enter(struct watchdog *watchdog, int script, const char *call);
void watchdog_leave(struct watchdog *watchdog);

#endif
