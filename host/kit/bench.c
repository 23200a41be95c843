#include "kit/bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/luadata.h"
#include "base/text.h"
#include "kit/mirror.h"
#include "kit/spec.h"
#include "machine.h"

#define TICK_MS        2
#define DRIVER_MAXIMUM (1U << 20)
#define CONSTRAINT_ID  "00000000-0000-4000-8000-000000000001"

static bool write_file(const char *path, const char *text, size_t length) {
    FILE *file = fopen(path, "we");
    if (!file)
        return false;
    bool ok = fwrite(text, 1, length, file) == length;
    return fclose(file) == 0 && ok;
}

static void write_parameters(struct buf *lua, const json_t *parameters) {
    const char *name;
    json_t *value;
    buf_text(lua, ", parameters = {");
    json_object_foreach((json_t *)parameters, name, value)
        buf_format(lua, " %s = %.17g,", name, json_number_value(value));
    buf_text(lua, " }");
}

/* One device for each part: the machine is polled whole. */
static bool write_site(const struct bench *bench, const struct driver *driver,
                       const json_t *parameters) {
    struct buf lua;
    char path[128];
    char link[64];
    switch (bench->kind) {
    case LINK_HTTP:
        snprintf(link, sizeof link, "http://127.0.0.1:%u", bench->port);
        break;
    case LINK_UDP:
        snprintf(link, sizeof link, "udp://127.0.0.1:%u", bench->port);
        break;
    case LINK_LINE:
        snprintf(link, sizeof link, "line://127.0.0.1:%u", bench->port);
        break;
    case LINK_MQTT:
        snprintf(link, sizeof link, "mqtt://127.0.0.1:%u/kit", bench->port);
        break;
    case LINK_TCP:
    case LINK_SERIAL:
    case LINK_KIND_COUNT:
        snprintf(link, sizeof link, "tcp://127.0.0.1:%u", bench->port);
    }
    buf_init(&lua, 16384);
    buf_format(&lua,
               "return { store = { directory = \"%s/store\" }, clusters = { { key = \"bench\", "
               "devices = {\n",
               bench->folder);
    for (int i = 0; i < driver->part_count; i++) {
        const char *part = driver->parts[i].name;
        buf_format(&lua, "{ key = \"%s\", driver = \"%s\", link = \"%s\", unit = 1",
                   part[0] ? part : "device", driver->name, link);
        if (part[0])
            buf_format(&lua, ", as = \"%s\"", part);
        if (parameters)
            write_parameters(&lua, parameters);
        buf_text(&lua, " },\n");
    }
    buf_text(&lua, "} } } }\n");
    snprintf(path, sizeof path, "%s/site.lua", bench->folder);
    bool ok = !lua.failed && write_file(path, buf_string(&lua), lua.length);
    buf_free(&lua);
    return ok;
}

static bool make_folder(struct bench *bench, const char *path, const struct driver *driver,
                        const json_t *parameters, struct report *report) {
    char drivers[96];
    size_t length;
    const char *temporary = getenv("TMPDIR");
    snprintf(bench->folder, sizeof bench->folder, "%.40s/derd-test-XXXXXX",
             temporary ? temporary : "/tmp");
    if (!mkdtemp(bench->folder)) {
        report_add(report, bench->folder, "a temporary folder cannot be made: %s", strerror(errno));
        bench->folder[0] = '\0';
        return false;
    }
    snprintf(drivers, sizeof drivers, "%s/drivers", bench->folder);
    snprintf(bench->driver_path, sizeof bench->driver_path, "%s/%s.lua", drivers, driver->name);
    char *text = file_read(path, DRIVER_MAXIMUM, &length, report);
    bool ok = text && mkdir(drivers, 0700) == 0 && write_file(bench->driver_path, text, length) &&
              write_site(bench, driver, parameters);
    free(text);
    if (!ok && report_empty(report))
        report_add(report, bench->folder, "it cannot be written: %s", strerror(errno));
    return ok;
}

static void tick(uv_timer_t *timer) {
    (void)timer; /* that the loop wakes is all it is for */
}

bool bench_open(struct bench *bench, const char *path, const struct driver *driver,
                const json_t *parameters, const struct registers *registers, const json_t *answers,
                struct report *report) {
    *bench = (struct bench){.kind = spec_kind(driver)};
    if (bench->kind == LINK_TCP)
        bench->peer = peer_start(&bench->port);
    else
        bench->talk = talk_start(bench->kind, &bench->port);
    if (!bench->peer && !bench->talk) {
        report_add(report, "127.0.0.1", "the simulated device cannot listen: %s", strerror(errno));
        return false;
    }
    if (bench->talk) {
        talk_serve(bench->talk, answers);
    } else {
        peer_serve(bench->peer, registers);
        peer_react(bench->peer, mirror_follow, driver);
    }
    if (!make_folder(bench, path, driver, parameters, report))
        return false;
    char site[96];
    snprintf(site, sizeof site, "%s/site.lua", bench->folder);
    const struct engine_settings settings = {
        .site_path = site,
        .shared_folder = bench->folder,
        .any_local_port = true,
        .no_history = true, /* what waits to be written would look like growth */
    };
    bench->engine = engine_open(&settings, report);
    if (!bench->engine)
        return false;
    uv_timer_init(&bench->engine->loop, &bench->tick);
    uv_timer_start(&bench->tick, tick, TICK_MS, TICK_MS);
    bench->ticking = true;
    if (bench_machine(bench))
        return true;
    report_add(report, driver->name, "the engine did not take it: %s",
               bench->engine->devices ? text_of(bench->engine->devices->connection_text)
                                      : "no device");
    return false;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void bench_close(struct bench *bench) {
    if (bench->ticking)
        uv_close((uv_handle_t *)&bench->tick, NULL);
    if (bench->engine)
        engine_close(bench->engine);
    if (bench->peer)
        peer_stop(bench->peer);
    talk_stop(bench->talk);
    if (bench->folder[0])
        nftw(bench->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    *bench = (struct bench){0};
}

uint64_t bench_requests(const struct bench *bench) {
    return bench->talk ? talk_requests(bench->talk) : peer_requests(bench->peer);
}

struct machine *bench_machine(const struct bench *bench) {
    return bench->engine->machines;
}

bool bench_until(struct bench *bench, bench_look *look, void *context, int64_t patience_ms) {
    int64_t end = clock_mono().ms + patience_ms;
    while (!look(bench, context)) {
        if (clock_mono().ms >= end)
            return false;
        uv_run(&bench->engine->loop, UV_RUN_ONCE);
    }
    return true;
}

bool bench_online(struct bench *bench) {
    const struct machine *machine = bench_machine(bench);
    if (machine->state != MACHINE_UP)
        return false;
    for (size_t i = 0; i < machine->group_count; i++)
        if (machine->groups[i]->polls == 0)
            return false;
    return true;
}

bool bench_offline(struct bench *bench) {
    return bench->engine->devices->connection == CONNECTION_OFFLINE;
}

static bool polled(struct bench *bench, void *context) {
    const struct machine *machine = bench_machine(bench);
    (void)context;
    if (machine->state != MACHINE_UP)
        return true;
    for (size_t i = 0; i < machine->group_count; i++)
        if (machine->groups[i]->busy)
            return false;
    return machine->runner.device == NULL && !task_busy(machine->task);
}

bool bench_poll(struct bench *bench) {
    struct machine *machine = bench_machine(bench);
    if (!bench_until(bench, polled, NULL, BENCH_PATIENCE_MS) || machine->state != MACHINE_UP)
        return false;
    poll_start(machine);
    return bench_until(bench, polled, NULL, BENCH_PATIENCE_MS) && machine->state == MACHINE_UP;
}

void bench_free_constraint(struct bench *bench, struct device *device) {
    (void)bench;
    if (book_remove(&device->book, CONSTRAINT_ID) == ERR_OK)
        device_decide_changed(device);
}

bool bench_constrain(struct bench *bench, struct device *device, const struct wish *wish) {
    struct now now = clock_now(&bench->engine->clock);
    struct constraint draft = {.wish = *wish,
                               .valid_at = now.wall,
                               .invalid_at = {now.wall.ms + 3600000},
                               .valid_for_ms = 3600000,
                               .created_at = now.wall,
                               .created_by = "token:derd test",
                               .durable = true};
    draft.wish.priority = PRIORITY_MAXIMUM;
    draft.wish.rank = ++bench->engine->last_rank;
    snprintf(draft.id, sizeof draft.id, "%s", CONSTRAINT_ID);
    bool ok = book_put(&device->book, &draft, now) == ERR_OK;
    device_decide_changed(device);
    return ok;
}

bool bench_touch_driver(struct bench *bench) {
    struct report report;
    report_init(&report);
    size_t length;
    char *text = file_read(bench->driver_path, DRIVER_MAXIMUM, &length, &report);
    char path[180];
    snprintf(path, sizeof path, "%s.new", bench->driver_path);
    struct buf whole;
    buf_init(&whole, DRIVER_MAXIMUM + 64);
    if (text)
        buf_append(&whole, text, length);
    buf_text(&whole, "\n-- edited while in use\n");
    bool ok = text && !whole.failed && write_file(path, buf_string(&whole), whole.length) &&
              rename(path, bench->driver_path) == 0;
    buf_free(&whole);
    free(text);
    report_free(&report);
    return ok;
}
