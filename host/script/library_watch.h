/* The folders of a library under watch: "something may have changed", 150 ms after the last event
 * and at most 600 ms after the first. A folder that does not exist is waited for in the nearest one
 * above it that does. Where the system cannot watch, it is looked at every 2 s. Engine thread. */
#ifndef DERD_LIBRARY_WATCH_H
#define DERD_LIBRARY_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct library_watch;

typedef void library_watch_changed(void *context);

/* Watches nothing yet. `paths` are copied. NULL without memory. */
struct library_watch *library_watch_open(uv_loop_t *loop, const char *const *paths, size_t count,
                                         library_watch_changed *changed, void *context);
/* Looks anew which folders exist and watches them. To be called before each reading of the folders,
 * so that no change falls between watching and reading. */
void library_watch_renew(struct library_watch *watch);
void library_watch_close(struct library_watch *watch); /* NULL is fine; freed at a later turn */

/* Whether a file of this name is a script: "eastron_sdm.lua", not ".x.lua", "x.lua~", "X.lua". */
bool library_is_script(const char *file_name);

#endif
