#include "script/library_watch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "driver.h"

#define QUIET_MS        150
#define LONGEST_MS      600
#define LOOK_ANYWAY_MS  2000
#define START_TRIES     4
#define WATCH_PATH_SIZE 512

struct watched {
    struct library_watch *watch;
    uv_fs_event_t event;
    char path[WATCH_PATH_SIZE];  /* the folder that matters */
    char child[WATCH_PATH_SIZE]; /* while it is missing: the name to wait for above it; else "" */
};

struct library_watch {
    uv_timer_t timer;
    library_watch_changed *changed;
    void *context;
    uint64_t first_event_ms; /* of the burst that is waited out, 0: none */
    bool warned;
    size_t open_handles;
    size_t count;
    struct watched watched[];
};

bool library_is_script(const char *file_name) {
    if (file_name[0] < 'a' || file_name[0] > 'z')
        return false;
    size_t length = strspn(file_name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length < DRIVER_NAME_SIZE && strcmp(file_name + length, ".lua") == 0;
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void on_timer(uv_timer_t *timer) {
    struct library_watch *watch = timer->data;
    watch->first_event_ms = 0;
    watch->changed(watch->context);
}

/* inotify tells each file by its name, and the folder itself (moved, removed) by its own. */
static void on_event(uv_fs_event_t *event, const char *file_name, int events, int status) {
    (void)events;
    struct watched *watched = event->data;
    struct library_watch *watch = watched->watch;
    bool of_file = file_name && (watched->child[0] ? strcmp(file_name, watched->child) == 0
                                                   : library_is_script(file_name));
    bool of_folder = file_name && strcmp(file_name, last_part(watched->path)) == 0;
    if (status == 0 && file_name && !of_file && !of_folder)
        return;
    uint64_t now_ms = uv_now(event->loop);
    if (!watch->first_event_ms)
        watch->first_event_ms = now_ms ? now_ms : 1;
    uint64_t latest_ms = watch->first_event_ms + LONGEST_MS;
    uint64_t wait_ms = now_ms + QUIET_MS <= latest_ms ? QUIET_MS
                       : latest_ms > now_ms           ? latest_ms - now_ms
                                                      : 0;
    uv_timer_start(&watch->timer, on_timer, wait_ms, 0);
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The folder to watch for `path`: itself, or the nearest one above it that exists, and then the
 * name in it to wait for. */
static void find_target(const char *path, char target[WATCH_PATH_SIZE],
                        char child[WATCH_PATH_SIZE]) {
    snprintf(target, WATCH_PATH_SIZE, "%s", path);
    child[0] = '\0';
    while (!is_folder(target)) {
        char *slash = strrchr(target, '/');
        snprintf(child, WATCH_PATH_SIZE, "%s", slash ? slash + 1 : target);
        if (!slash)
            snprintf(target, WATCH_PATH_SIZE, ".");
        else if (slash == target)
            target[1] = '\0';
        else
            *slash = '\0';
        if (!slash || slash == target)
            return;
    }
}

/* Between looking for the folder and watching another one for it, it may have been made: then the
 * second look finds another target. */
static bool start(struct watched *watched) {
    char target[WATCH_PATH_SIZE];
    char again[WATCH_PATH_SIZE];
    find_target(watched->path, target, watched->child);
    int status = 0;
    for (int tries = 0; tries < START_TRIES; tries++) {
        uv_fs_event_stop(&watched->event);
        status = uv_fs_event_start(&watched->event, on_event, target, 0);
        find_target(watched->path, again, watched->child);
        if (strcmp(target, again) == 0)
            break;
        memcpy(target, again, sizeof target);
    }
    if (status != 0 && !watched->watch->warned) {
        watched->watch->warned = true;
        log_warning("library", "%s cannot be watched (%s): it is looked at every %d s instead",
                    target, uv_strerror(status), LOOK_ANYWAY_MS / 1000);
    }
    return status == 0;
}

void library_watch_renew(struct library_watch *watch) {
    bool whole = true;
    for (size_t i = 0; i < watch->count; i++)
        whole = start(&watch->watched[i]) && whole;
    if (!whole)
        uv_timer_start(&watch->timer, on_timer, LOOK_ANYWAY_MS, 0);
}

struct library_watch *library_watch_open(uv_loop_t *loop, const char *const *paths, size_t count,
                                         library_watch_changed *changed, void *context) {
    struct library_watch *watch = calloc(1, sizeof *watch + count * sizeof watch->watched[0]);
    if (!watch)
        return NULL;
    watch->changed = changed;
    watch->context = context;
    watch->count = count;
    watch->open_handles = count + 1;
    uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
    for (size_t i = 0; i < count; i++) {
        struct watched *watched = &watch->watched[i];
        watched->watch = watch;
        snprintf(watched->path, sizeof watched->path, "%s", paths[i]);
        uv_fs_event_init(loop, &watched->event);
        watched->event.data = watched;
    }
    return watch;
}

static void closed(struct library_watch *watch) {
    if (--watch->open_handles == 0)
        free(watch);
}

static void on_event_closed(uv_handle_t *handle) {
    closed(((struct watched *)handle->data)->watch);
}

static void on_timer_closed(uv_handle_t *handle) {
    closed(handle->data);
}

void library_watch_close(struct library_watch *watch) {
    if (!watch)
        return;
    for (size_t i = 0; i < watch->count; i++)
        uv_close((uv_handle_t *)&watch->watched[i].event, on_event_closed);
    uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
}
