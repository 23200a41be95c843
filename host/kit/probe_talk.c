#include "kit/probe_talk.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "device.h"
#include "kit/find.h"
#include "link/wire.h"
#include "machine.h"
#include "script/library.h"

#define MOST_DRIVERS 200
#define PATIENCE_MS  12000
#define TICK_MS      50

struct probing {
    char folder[64];
    struct generation *drivers[MOST_DRIVERS];
    size_t count;
    struct engine *engine;
    uv_timer_t tick;
};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void write_parameters(struct buf *lua, const struct driver *driver) {
    buf_text(lua, "parameters = {");
    for (int i = 0; i < driver->parameter_count; i++)
        if (!driver->parameters[i].has_default)
            buf_format(lua, " %s = %.17g,", driver->parameters[i].name,
                       driver->parameters[i].minimum);
    buf_text(lua, " } },\n");
}

/* One device for each part of each driver; units keep the machines apart. */
static bool write_site(struct probing *probing, const char *url) {
    struct buf lua;
    char path[160];
    buf_init(&lua, 1UL << 20);
    buf_format(&lua,
               "return { store = { directory = \"%s/store\" }, clusters = { { key = \"p\", "
               "mode = \"observe\", devices = {\n",
               probing->folder);
    for (size_t i = 0; i < probing->count; i++) {
        const struct driver *driver = probing->drivers[i]->driver;
        snprintf(path, sizeof path, "%s/drivers/%.60s.lua", probing->folder, driver->name);
        char *whole = realpath(probing->drivers[i]->path, NULL);
        if (!whole || symlink(whole, path) != 0) {
            free(whole);
            continue;
        }
        free(whole);
        for (int part = 0; part < driver->part_count; part++) {
            const char *name = driver->parts[part].name;
            buf_format(&lua, "{ key = \"d%zu.%d\", driver = \"%s\", link = \"%s\", unit = %zu, ", i,
                       part, driver->name, url, i);
            if (name[0])
                buf_format(&lua, "as = \"%s\", ", name);
            write_parameters(&lua, driver);
        }
    }
    buf_text(&lua, "} } } }\n");
    snprintf(path, sizeof path, "%s/site.lua", probing->folder);
    FILE *file = lua.failed ? NULL : fopen(path, "we");
    bool ok = file && fputs(buf_string(&lua), file) >= 0;
    ok = file && fclose(file) == 0 && ok;
    buf_free(&lua);
    return ok;
}

/* Those that speak over this kind of link; units go up to 255. */
static void choose_drivers(struct probing *probing, enum link_kind kind) {
    size_t all = find_all_drivers(probing->drivers, MOST_DRIVERS), kept = 0;
    for (size_t i = 0; i < all; i++)
        if (probing->drivers[i]->driver->links & 1U << kind)
            probing->drivers[kept++] = probing->drivers[i];
        else
            generation_release(probing->drivers[i]);
    probing->count = kept;
}

static void tick(uv_timer_t *timer) {
    (void)timer; /* that the loop wakes is all it is for */
}

static bool open_engine(struct probing *probing, const char *url, FILE *out) {
    struct report report;
    char path[160];
    snprintf(probing->folder, sizeof probing->folder, "/tmp/derd-probe-XXXXXX");
    if (!mkdtemp(probing->folder))
        return false;
    snprintf(path, sizeof path, "%s/drivers", probing->folder);
    if (mkdir(path, 0700) != 0 || !write_site(probing, url))
        return false;
    snprintf(path, sizeof path, "%s/site.lua", probing->folder);
    const struct engine_settings settings = {
        .site_path = path, .shared_folder = probing->folder, .no_history = true};
    report_init(&report);
    probing->engine = engine_open(&settings, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(out, "%s: %s\n", report.items[i].where, report.items[i].text);
    report_free(&report);
    if (!probing->engine)
        return false;
    uv_timer_init(&probing->engine->loop, &probing->tick);
    uv_timer_start(&probing->tick, tick, TICK_MS, TICK_MS);
    return true;
}

/* Until each has said what it is, or said nothing twice. */
static void wait_for_all(const struct probing *probing) {
    int64_t end_ms = clock_mono().ms + PATIENCE_MS;
    bool done = false;
    while (!done && clock_mono().ms < end_ms) {
        uv_run(&probing->engine->loop, UV_RUN_ONCE);
        done = true;
        for (const struct device *at = probing->engine->devices; at; at = at->next)
            done = done && at->connection != CONNECTION_CONNECTING;
    }
}

static void show(const struct device *device, FILE *out) {
    for (int i = 0; i < POINT_COUNT; i++) {
        const struct point_word *word = point_word((enum point_id)i);
        double value = i < POINT_NUMBER_COUNT ? device_known(device, (enum point_id)i)->value : NAN;
        if (i >= POINT_TEXT_FIRST && device->identity[i - POINT_TEXT_FIRST])
            fprintf(out, "  %-18s %s\n", word->name, device->identity[i - POINT_TEXT_FIRST]);
        else if (i == POINT_STATE && !isnan(value))
            fprintf(out, "  %-18s %s\n", word->name, device_state_name((enum device_state)value));
        else if (!isnan(value))
            fprintf(out, "  %-18s %.9g %s\n", word->name, value, word->unit);
    }
}

static int tell(const struct probing *probing, const char *url, FILE *out) {
    int fits = 0;
    for (const struct device *at = probing->engine->devices; at; at = at->next) {
        bool fit = at->connection == CONNECTION_ONLINE;
        fprintf(out, "%s%s%s%s: %s\n", fit ? "\n" : "", at->site->driver,
                at->site->as[0] ? "." : "", at->site->as,
                fit                   ? "fits"
                : at->connection_text ? at->connection_text
                                      : "silent");
        if (!fit)
            continue;
        show(at, out);
        fits++;
    }
    if (fits)
        fputs("\nFor `devices` in the site file:\n\n", out);
    for (const struct device *at = probing->engine->devices; at; at = at->next) {
        if (at->connection != CONNECTION_ONLINE)
            continue;
        fprintf(out, "  { key = \"%s%d\", driver = \"%s\"",
                at->site->as[0] ? at->site->as : device_type_name(at->type), fits,
                at->site->driver);
        if (at->site->as[0])
            fprintf(out, ", as = \"%s\"", at->site->as);
        fprintf(out, ", link = \"%s\" },\n", url);
    }
    if (!fits)
        fputs("No driver fits. With the device's document at hand: `derd new driver NAME --link "
              "http`.\n",
              out);
    return fits ? 0 : 1;
}

int probe_talk(const char *url, FILE *out) {
    struct probing probing = {.count = 0};
    int status = 1;
    choose_drivers(&probing, wire_kind(url));
    if (!probing.count) {
        fprintf(out, "there is no driver for such a link\n");
    } else if (open_engine(&probing, url, out)) {
        wait_for_all(&probing);
        status = tell(&probing, url, out);
    }
    if (probing.engine) {
        uv_close((uv_handle_t *)&probing.tick, NULL);
        engine_close(probing.engine);
    }
    if (probing.folder[0])
        nftw(probing.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    while (probing.count)
        generation_release(probing.drivers[--probing.count]);
    return status;
}
