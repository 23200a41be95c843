#include "script/watchdog.h"
#include "base/json_read.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME    "stalls"
#define FILE_MAXIMUM 65536
#define LINE_SIZE    256
#define SCRIPTS      1024
#define LOOK_MS      250

#ifdef DERD_SANITIZED
#define LIMIT_SCALE 3 /* sanitizers slow everything down */
#else
#define LIMIT_SCALE 1
#endif

struct watched {
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    char hash[SCRIPT_HASH_SIZE];
};

struct watchdog {
    atomic_int script;          /* which one runs: its number, or 0 */
    _Atomic(const char *) call; /* of it */
    atomic_int_fast64_t since;  /* mono ms; with the two before: which call */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows; never held while a script runs */
    pthread_cond_t stop;
    bool stopping;
    struct watched scripts[SCRIPTS]; /* number - 1; without a name: free */
    char path[512];
};

/* ---- the file ---- */

bool stall_line(const struct stall *stall, char *text, size_t size) {
    int length = snprintf(text, size,
                          "{\"at\":%" PRId64
                          ",\"kind\":\"%s\",\"name\":\"%s\",\"hash\":\"%s\",\"call\":\"%s\"}\n",
                          stall->at.ms, stall->kind == SCRIPT_DRIVER ? "driver" : "policy",
                          stall->name, stall->hash, stall->call);
    return length > 0 && (size_t)length < size;
}

static bool parse_line(const char *line, size_t length, struct stall *stall) {
    json_t *tree = json_read(line, length, 0, NULL);
    const char *kind = json_string_value(json_object_get(tree, "kind"));
    const char *name = json_string_value(json_object_get(tree, "name"));
    const char *hash = json_string_value(json_object_get(tree, "hash"));
    const char *call = json_string_value(json_object_get(tree, "call"));
    bool ours = kind && name && hash && call;
    if (ours) {
        *stall =
            (struct stall){.at.ms = json_integer_value(json_object_get(tree, "at")),
                           .kind = strcmp(kind, "policy") == 0 ? SCRIPT_POLICY : SCRIPT_DRIVER};
        snprintf(stall->name, sizeof stall->name, "%s", name);
        snprintf(stall->hash, sizeof stall->hash, "%s", hash);
        snprintf(stall->call, sizeof stall->call, "%s", call);
    }
    json_decref(tree);
    return ours;
}

static void add_stall(struct stalls *stalls, const struct stall *stall) {
    if (stalls->count == WATCHDOG_STALLS) {
        memmove(stalls->items, stalls->items + 1, (WATCHDOG_STALLS - 1) * sizeof stalls->items[0]);
        stalls->count--;
    }
    stalls->items[stalls->count++] = *stall;
}

void stalls_read(struct stalls *stalls, const char *directory) {
    char path[512];
    char line[LINE_SIZE];
    struct stall stall;
    stalls->count = 0;
    snprintf(path, sizeof path, "%s/" FILE_NAME, directory);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        if (parse_line(line, strlen(line), &stall))
            add_stall(stalls, &stall);
    fclose(file);
}

const struct stall *stalls_find(const struct stalls *stalls, enum script_kind kind,
                                const char *name, const char *hash) {
    for (size_t i = stalls->count; i-- > 0;) {
        const struct stall *stall = &stalls->items[i];
        if (stall->kind == kind && strcmp(stall->name, name) == 0 && strcmp(stall->hash, hash) == 0)
            return stall;
    }
    return NULL;
}

bool stall_recent(const struct stall *stall, struct wall now) {
    return stall->at.ms > now.ms - WATCHDOG_WINDOW_MS;
}

/* ---- the thread ---- */

/* Everything on the stack and by system calls: whatever the engine's thread holds, it holds. */
static _Noreturn void stop_host(const struct watchdog *watchdog, const struct watched *watched,
                                const char *call) {
    char line[LINE_SIZE];
    struct stall stall = {.at = clock_wall(), .kind = watched->kind};
    memcpy(stall.name, watched->name, sizeof stall.name);
    memcpy(stall.hash, watched->hash, sizeof stall.hash);
    snprintf(stall.call, sizeof stall.call, "%s", call);
    int file = open(watchdog->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    if (file >= 0 && lseek(file, 0, SEEK_END) > FILE_MAXIMUM && ftruncate(file, 0))
        abort();
    if (file >= 0 && stall_line(&stall, line, sizeof line) &&
        write(file, line, strlen(line)) == (ssize_t)strlen(line))
        (void)fsync(file);
    abort();
}

static void wait_look(struct watchdog *watchdog) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += LOOK_MS * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&watchdog->stop, &watchdog->lock, &at);
}

static void *watch(void *context) {
    struct watchdog *watchdog = context;
    int seen_script = WATCHDOG_NO_SCRIPT;
    int64_t seen_since = 0;
    int looks = 0; /* that saw the same call */
    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->stopping) {
        wait_look(watchdog);
        int script = atomic_load(&watchdog->script);
        int64_t since = atomic_load(&watchdog->since);
        const char *call = atomic_load(&watchdog->call);
        bool same = script != WATCHDOG_NO_SCRIPT && script == seen_script && since == seen_since;
        looks = same ? looks + 1 : 0;
        seen_script = script;
        seen_since = since;
        if (looks * LOOK_MS >= WATCHDOG_LIMIT_MS * LIMIT_SCALE && !watchdog->stopping)
            stop_host(watchdog, &watchdog->scripts[script - 1], call);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

enum err watchdog_open(struct watchdog **made, const char *directory) {
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    pthread_condattr_t attributes;
    if (!watchdog)
        return ERR_MEMORY;
    atomic_init(&watchdog->script, WATCHDOG_NO_SCRIPT);
    atomic_init(&watchdog->since, 0);
    atomic_init(&watchdog->call, "");
    snprintf(watchdog->path, sizeof watchdog->path, "%s/" FILE_NAME, directory);
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->stop, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&watchdog->thread, NULL, watch, watchdog)) {
        pthread_cond_destroy(&watchdog->stop);
        pthread_mutex_destroy(&watchdog->lock);
        free(watchdog);
        return ERR_IO;
    }
    *made = watchdog;
    return ERR_OK;
}

void watchdog_close(struct watchdog *watchdog) {
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->stopping = true;
    pthread_cond_signal(&watchdog->stop);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    pthread_cond_destroy(&watchdog->stop);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
}

int watchdog_script(struct watchdog *watchdog, enum script_kind kind, const char *name,
                    const char *hash) {
    int number = WATCHDOG_NO_SCRIPT;
    if (!watchdog)
        return number;
    pthread_mutex_lock(&watchdog->lock);
    for (int i = 0; i < SCRIPTS && number == WATCHDOG_NO_SCRIPT; i++)
        if (!watchdog->scripts[i].name[0])
            number = i + 1;
    if (number != WATCHDOG_NO_SCRIPT) {
        struct watched *watched = &watchdog->scripts[number - 1];
        watched->kind = kind;
        snprintf(watched->name, sizeof watched->name, "%s", name);
        snprintf(watched->hash, sizeof watched->hash, "%s", hash);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return number;
}

void watchdog_forget(struct watchdog *watchdog, int script) {
    if (!watchdog || script == WATCHDOG_NO_SCRIPT)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->scripts[script - 1].name[0] = '\0';
    pthread_mutex_unlock(&watchdog->lock);
}

void watchdog_enter(struct watchdog *watchdog, int script, const char *call) {
    if (!watchdog)
        return;
    atomic_store(&watchdog->since, clock_mono().ms);
    atomic_store(&watchdog->call, call);
    atomic_store(&watchdog->script, script);
}

void watchdog_leave(struct watchdog *watchdog) {
    if (watchdog)
        atomic_store(&watchdog->script, WATCHDOG_NO_SCRIPT);
}
