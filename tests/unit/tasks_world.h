/* A whole engine over real sockets for tests of hooks that wait: a temporary site with devices that
 * the test names, each driver a text of the test. */
#ifndef DERD_TESTS_TASKS_WORLD_H
#define DERD_TESTS_TASKS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "device.h"
#include "kit/peer.h"
#include "machine.h"

#define WORLD_PATIENCE_MS 60000

struct world {
    struct engine *engine;
    char folder[64];
    char log[4096]; /* the newest lines */
    uv_timer_t tick;
};

static inline void world_log(void *context, enum log_level level, const char *line) {
    struct world *world = context;
    (void)level;
    size_t length = strlen(line), held = strlen(world->log);
    if (getenv("WORLD_LOG"))
        fprintf(stderr, "%s\n", line);
    if (held + length + 2 > sizeof world->log)
        held = 0;
    snprintf(world->log + held, sizeof world->log - held, "%s\n", line);
}

static inline void world_file(const struct world *world, const char *name, const char *text) {
    char path[160], fresh[180];
    snprintf(path, sizeof path, "%s/%s", world->folder, name);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static inline struct world *world_new(void) {
    struct world *world = calloc(1, sizeof *world);
    char path[160];
    assert_non_null(world);
    signal(SIGPIPE, SIG_IGN);
    snprintf(world->folder, sizeof world->folder, "/tmp/derd-tasks-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(path, sizeof path, "%s/drivers", world->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    log_set_sink(world_log, world);
    return world;
}

static inline void world_driver(const struct world *world, const char *name, const char *text) {
    char file[100];
    snprintf(file, sizeof file, "drivers/%s.lua", name);
    world_file(world, file, text);
}

static inline void world_tick(uv_timer_t *timer) {
    (void)timer;
}

/* `devices`: rows of the site file's list. */
static inline void world_start(struct world *world, const char *devices) {
    char text[4096], path[160];
    struct report report;
    snprintf(text, sizeof text,
             "return { store = { directory = \"%s/store\" }, clusters = { { key = \"home\", "
             "devices = { %s } } } }",
             world->folder, devices);
    world_file(world, "site.lua", text);
    snprintf(path, sizeof path, "%s/site.lua", world->folder);
    const struct engine_settings settings = {.site_path = path, .shared_folder = world->folder};
    report_init(&report);
    world->engine = engine_open(&settings, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "%s: %s\n", report.items[i].where, report.items[i].text);
    assert_non_null(world->engine);
    report_free(&report);
    uv_timer_init(&world->engine->loop, &world->tick);
    uv_timer_start(&world->tick, world_tick, 2, 2);
}

static inline int world_remove(const char *path, const struct stat *status, int type,
                               struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void world_free(struct world *world) {
    if (world->engine) {
        uv_close((uv_handle_t *)&world->tick, NULL);
        engine_close(world->engine);
    }
    log_set_sink(NULL, NULL);
    nftw(world->folder, world_remove, 8, FTW_DEPTH | FTW_PHYS);
    free(world);
}

static inline struct device *world_device(const struct world *world, const char *key) {
    struct device *device = engine_device(world->engine, "home", key);
    assert_non_null(device);
    return device;
}

typedef bool world_look(struct world *world, void *context);

/* Lets the loop run until `look` says true. */
static inline bool world_until(struct world *world, world_look *look, void *context) {
    int64_t end = clock_mono().ms + WORLD_PATIENCE_MS;
    while (!look(world, context)) {
        if (clock_mono().ms >= end)
            return false;
        uv_run(&world->engine->loop, UV_RUN_ONCE);
    }
    return true;
}

static inline bool world_logged(struct world *world, void *text) {
    return strstr(world->log, text) != NULL;
}

#define assert_logged(world, text)                                                                 \
    do {                                                                                           \
        if (!world_until(world, world_logged, (void *)(text)))                                     \
            fail_msg("never said \"%s\", but:\n%s", text, (world)->log);                           \
    } while (0)

static inline bool world_online(struct world *world, void *key) {
    const struct device *device = world_device(world, key);
    return device->connection == CONNECTION_ONLINE &&
           !isnan(device_known(device, POINT_ACTIVE_POWER)->value);
}

static inline bool world_offline(struct world *world, void *key) {
    return world_device(world, key)->connection == CONNECTION_OFFLINE;
}

static inline void world_constrain(struct world *world, const char *key, int32_t max) {
    struct device *device = world_device(world, key);
    struct now now = clock_now(&world->engine->clock);
    struct constraint draft = {
        .wish = {.has_max = true, .max = max, .priority = 3000, .on_conflict = ON_CONFLICT_CLAMP},
        .valid_at = now.wall,
        .invalid_at = {now.wall.ms + 3600000},
        .valid_for_ms = 3600000,
        .created_at = now.wall,
        .durable = true};
    draft.wish.rank = ++world->engine->last_rank;
    snprintf(draft.id, sizeof draft.id, "00000000-0000-4000-8000-000000000001");
    struct constraint *constraint = constraint_new(&draft);
    assert_non_null(constraint);
    assert_int_equal(book_put(&device->book, constraint, now), ERR_OK);
    constraint_release(constraint);
    device_decide_changed(device);
}

#endif
