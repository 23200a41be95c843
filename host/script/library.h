/* The library: drivers and policies as files, and their generations in memory. It finds them in the
 * search path (first folder wins; what shadows what is told), loads, checks, and watches the
 * folders: a changed or new file becomes a new generation within a second; a broken file changes
 * nothing and is told with file and line, also over a restart: the text that was taken last is
 * remembered. Engine thread.
 *
 * A generation is counted by reference: who uses the old one keeps it until he has moved on. */
#ifndef DERD_LIBRARY_H
#define DERD_LIBRARY_H

#include <jansson.h>
#include <uv.h>

#include "base/report.h"
#include "directory.h"
#include "driver.h"
#include "script/ladder.h"
#include "script/policy.h"
#include "script/script.h"
#include "script/script_figures.h"
#include "script/watchdog.h"

#define LIBRARY_FOLDERS 4

struct generation {
    unsigned references;
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    char path[512];
    unsigned number;       /* 1, 2, ... of this name since the host started */
    struct driver *driver; /* of a driver */
    struct policy *policy; /* of a policy */
    struct script *script; /* NULL for a driver without hooks */
    char *text;            /* what it was made from, with a NUL behind it */
    size_t length;
    char hash[SCRIPT_HASH_SIZE]; /* of the text */
    struct ladder ladder;
    char quarantine[SCRIPT_ERROR_SIZE]; /* why its script is not called; "": it is */
    struct wall quarantined_at;
    struct script_figures *figures; /* one reference; NULL: nothing is counted */
    struct watchdog *watchdog;      /* or NULL */
    int watched;                    /* its number there */
};

struct generation *generation_hold(struct generation *generation);
void generation_release(struct generation *generation); /* NULL is fine */
/* Builds its script's state anew from the same text. False with mistakes: the old one stays. Never
 * from inside a call of that script. */
bool generation_rebuild(struct generation *generation, struct report *report);

struct library;

/* Called from the loop when `name` has a new current generation, or its file went away (NULL then:
 * those who use the old one keep it), or only its listing changed. */
typedef void library_changed(void *context, enum script_kind kind, const char *name,
                             struct generation *generation);

/* Where texts that were taken outlive the host, by file ("drivers/eastron_sdm.lua"). */
struct library_memory {
    /* The text, to be freed, or NULL. While the library is opened; it may wait. */
    char *(*recall)(void *context, const char *file);
    /* text NULL: forget it. Does not wait. */
    void (*keep)(void *context, const char *file, const char *text);
    void *context;
};

/* `folders`: each may hold drivers/ and policies/; earlier ones win. Missing folders are fine and
 * are watched for. Loads everything at once; broken files are logged and listed. */
struct library *library_open(uv_loop_t *loop, const char *const *folders, size_t folder_count,
                             library_changed *changed, void *context);
/* The same under a watchdog; culprits among `stalls` start quarantined, or are not loaded when they
 * stalled the host while loading. In the place of a file that is broken at the start stands the
 * text that `memory` has. All three may be NULL and must outlive the library. */
struct library *library_open_watched(uv_loop_t *loop, const char *const *folders,
                                     size_t folder_count, struct watchdog *watchdog,
                                     const struct stalls *stalls,
                                     const struct library_memory *memory, library_changed *changed,
                                     void *context);
void library_close(struct library *library); /* handles close at a later loop turn */
/* The current generation, held for the caller; NULL when there is none that is whole. */
struct generation *library_get(struct library *library, enum script_kind kind, const char *name);
/* Whether the name's file, good or bad, has the text of this hash now. */
bool library_has_text(struct library *library, enum script_kind kind, const char *name,
                      const char *hash);
/* Makes `old` current again in place of `failed`, which is not tried again until its file changes;
 * `why` is told in the listing. Nothing happens when `failed` is not current any more. */
void library_roll_back(struct library *library, const struct generation *failed,
                       struct generation *old, const char *why);
/* One listing per known name, also of those that never were whole: fills `cards` (to be freed, with
 * their json, and their figures released) by kind, then name. JSON: {name, kind, path, status:
 * "active"|"broken"|"removed", generation, loadedAt, version, manufacturer, models, type or parts,
 * parameters, links, api, hooks, shadows: [paths], rebuilds, quarantine: null or {why, since},
 * rolledBack: null or {generation, version, why, at}, errors: [{where, text}]}; while a broken file
 * stands beside a working generation, status is "active" and `errors` tells of the file; while its
 * script is not called, "quarantined".
 */
enum err library_cards(struct library *library, struct script_card **cards, size_t *count);
/* Whether a text would become a generation of this name; every mistake when not. Nothing changes.
 */
bool library_check(struct library *library, enum script_kind kind, const char *name,
                   const char *text, size_t length, struct report *report);
/* Reads the folders now, without waiting for the watch. */
void library_look(struct library *library);
/* Whether the folder of this number (as given to library_open()) has a file of this name. */
bool library_has_file(struct library *library, enum script_kind kind, const char *name, int folder);
/* The path that a file of this name has in that folder. */
void library_path(struct library *library, enum script_kind kind, const char *name, int folder,
                  char *path, size_t size);
/* Loads one file outside any library, for `derd check`: a generation with one reference, or NULL.
 */
struct generation *generation_load(enum script_kind kind, const char *path, unsigned number,
                                   struct report *report);

#endif
