#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ask/ask.h"
#include "ask/ask_inventory.h"
#include "base/json_read.h"
#include "base/likeness.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "device.h"
#include "io/io.h"
#include "link/wire.h"
#include "machine.h"
#include "script/instance.h"
#include "script/trial.h"
#include "stash.h"

#define CLOCK_STEP_MS   2000 /* ARBITRATION section 1 */
#define SECRETS_EVERY_S 5
#define FLOOR_EVERY_S   60
#define STORE_EVERY_S   3 /* that fails: whether it can write again */

/* --- wires ---------------------------------------------------------------------------------------
 */

static struct wire **wires_alike(struct engine *engine, const char *url) {
    return &engine->wires[likeness_of(url, '\0') % WIRE_BUCKETS];
}

struct wire *engine_wire_find(struct engine *engine, const char *url) {
    for (struct wire *wire = *wires_alike(engine, url); wire; wire = wire->next)
        if (strcmp(wire->url, url) == 0)
            return wire;
    return NULL;
}

struct wire *engine_wire(struct engine *engine, const char *url) {
    struct wire *wire = engine_wire_find(engine, url);
    if (wire) {
        wire->users++;
        return wire;
    }
    size_t size = strlen(url) + 1;
    wire = calloc(1, sizeof *wire + size);
    char why[160];
    if (!wire)
        return NULL;
    struct link_settings settings = {.in_flight = 0};
    wire->kind = wire_kind(url);
    if (wire_is_modbus(wire->kind))
        wire->link = link_open(&engine->loop, url, &settings, why, sizeof why);
    if (wire_is_modbus(wire->kind) && !wire->link) {
        log_error(url, "%s", why);
        free(wire);
        return NULL;
    }
    memcpy(wire->url, url, size);
    wire->users = 1;
    struct wire **bucket = wires_alike(engine, wire->url);
    wire->next = *bucket;
    *bucket = wire;
    return wire;
}

void engine_wire_release(struct engine *engine, struct wire *wire) {
    if (--wire->users)
        return;
    struct wire **at = wires_alike(engine, wire->url);
    while (*at != wire)
        at = &(*at)->next;
    *at = wire->next;
    if (wire->link) {
        engine_figures_keep(engine, wire->kind, wire->link);
        link_close(wire->link);
    }
    free(wire);
}

/* --- devices -------------------------------------------------------------------------------------
 */

struct device *engine_device(struct engine *engine, const char *cluster_key, const char *key) {
    for (struct device *device = engine->devices; device; device = device->next)
        if (strcmp(device->site->key, key) == 0 && strcmp(device->cluster_key, cluster_key) == 0)
            return device;
    return NULL;
}

static const char *id_of_device(const void *device) {
    return ((const struct device *)device)->id;
}

static const char *id_of_cluster(const void *cluster) {
    return ((const struct cluster *)cluster)->id;
}

void engine_lists_change(struct engine *engine, bool begins) {
    engine->lists_change = begins;
    roster_forget(&engine->device_roster);
    roster_forget(&engine->cluster_roster);
}

static bool list_devices(struct engine *engine) {
    struct roster *roster = &engine->device_roster;
    if (roster->made || engine->lists_change)
        return roster->made;
    for (struct device *device = engine->devices; device; device = device->next)
        if (!roster_add(roster, device->id, device))
            return false;
    roster_close(roster);
    return true;
}

static bool list_clusters(struct engine *engine) {
    struct roster *roster = &engine->cluster_roster;
    if (roster->made || engine->lists_change)
        return roster->made;
    for (struct cluster *cluster = engine->clusters; cluster; cluster = cluster->next)
        if (!roster_add(roster, cluster->id, cluster))
            return false;
    roster_close(roster);
    return true;
}

struct device *engine_device_by_id(struct engine *engine, const char *id) {
    if (list_devices(engine))
        return roster_find(&engine->device_roster, id, id_of_device);
    for (struct device *device = engine->devices; device; device = device->next)
        if (strcmp(device->id, id) == 0)
            return device;
    return NULL;
}

struct cluster *engine_cluster(struct engine *engine, const char *key) {
    for (struct cluster *cluster = engine->clusters; cluster; cluster = cluster->next)
        if (strcmp(cluster->key, key) == 0)
            return cluster;
    return NULL;
}

struct cluster *engine_cluster_by_id(struct engine *engine, const char *id) {
    if (list_clusters(engine))
        return roster_find(&engine->cluster_roster, id, id_of_cluster);
    for (struct cluster *cluster = engine->clusters; cluster; cluster = cluster->next)
        if (strcmp(cluster->id, id) == 0)
            return cluster;
    return NULL;
}

/* --- every second --------------------------------------------------------------------------------
 */

/* A wall time is stored as the floor only while the clock is ahead of the last floor. */
static void store_floor(struct engine *engine, struct now now) {
    if (!now.trusted)
        return;
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)now.wall.ms);
    if (store_put_text(engine->store, "clock", "floor", text, NULL, NULL))
        log_warning("clock", "the time could not be stored");
}

/* A store that fails is asked to write something again and again, so that it is known when it can;
 * then what is in force without being stored comes to the disk. */
static void look_at_store(struct engine *engine, struct now now) {
    if (!store_failing(engine->store, NULL, 0)) {
        ask_keep_all(engine);
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)now.wall.ms);
    if (store_put_text(engine->store, "store", "probe", text, NULL, NULL) != ERR_OK)
        log_debug("store", "it has too much to do to be asked whether it can write");
}

/* A rehearsal: the file's seconds are added to the wall clock from now on. */
static void shift_clock(struct engine *engine) {
    FILE *file = engine->clock_shift_file ? fopen(engine->clock_shift_file, "re") : NULL;
    char text[32];
    if (!file)
        return;
    if (fgets(text, sizeof text, file))
        atomic_store(&engine->clock.shift_ms, strtoll(text, NULL, 10) * 1000);
    fclose(file);
}

static void second_due(uv_timer_t *timer) {
    struct engine *engine = timer->data;
    shift_clock(engine);
    struct now now = clock_now(&engine->clock);
    int64_t offset_ms = now.wall.ms - now.mono.ms;
    int64_t step_ms = offset_ms - engine->wall_offset_ms;
    engine->wall_offset_ms = offset_ms;
    if (step_ms > CLOCK_STEP_MS || step_ms < -CLOCK_STEP_MS) {
        log_warning("clock", "the wall clock stepped by %lld ms: everything is decided again",
                    (long long)step_ms);
        for (struct cluster *cluster = engine->clusters; cluster; cluster = cluster->next)
            cluster_decide_changed(cluster);
        for (struct device *device = engine->devices; device; device = device->next)
            device_decide_changed(device);
    }
    engine_figures_second(engine);
    announce_second(engine, now);
    log_settle(false);
    if (engine->seconds % STORE_EVERY_S == 0)
        look_at_store(engine, now);
    if (engine->seconds % SECRETS_EVERY_S == 0)
        engine_look_at_secrets(engine);
    if (engine->guard.trials)
        guard_turn_soon(engine); /* a probation may end by time alone */
    if (engine->seconds++ % FLOOR_EVERY_S == 0) {
        store_floor(engine, now);
        for (struct instance *instance = engine->instances; instance; instance = instance->next)
            instance_save(instance);
    }
}

/* --- scripts -------------------------------------------------------------------------------------
 */

static void driver_changed(struct engine *engine, struct generation *generation) {
    /* Devices that had no working driver until now are taken up with the whole site. */
    bool missing = false;
    bool begun = false;
    for (struct device *device = engine->devices; device; device = device->next)
        missing =
            missing || (!device->machine && strcmp(device->site->driver, generation->name) == 0);
    for (struct machine *machine = engine->machines; machine; machine = machine->next) {
        if (strcmp(machine->generation->name, generation->name) != 0 ||
            machine->generation == generation)
            continue;
        struct report report;
        int places[DRIVER_MAX_PARTS];
        report_init(&report);
        if (engine_driver_fits(machine, generation, places, &report)) {
            if (!begun)
                trial_begin(engine, machine->generation, generation);
            begun = true;
            machine_renew(machine, generation, places);
        }
        for (size_t i = 0; i < report.count; i++)
            log_error(generation->name, "%s: %s; the devices stay with the generation before",
                      report.items[i].where, report.items[i].text);
        report_free(&report);
    }
    if (missing)
        engine_take_up(engine);
}

static void policy_changed(struct engine *engine, struct generation *generation) {
    bool begun = false;
    for (struct instance *instance = engine->instances; instance; instance = instance->next) {
        if (strcmp(instance->site.policy, generation->name) != 0 ||
            instance->generation == generation)
            continue;
        struct generation *old = instance->generation;
        struct report report;
        report_init(&report);
        if (old && !begun)
            trial_begin(engine, old, generation); /* keeps the old one */
        begun = begun || old;
        if (!instance_take(instance, generation, &report))
            for (size_t i = 0; i < report.count; i++)
                log_error(instance->site.path, "%s: %s", report.items[i].where,
                          report.items[i].text);
        report_free(&report);
    }
}

static void script_changed(void *context, enum script_kind kind, const char *name,
                           struct generation *generation) {
    struct engine *engine = context;
    (void)name;
    if (generation && kind == SCRIPT_DRIVER)
        driver_changed(engine, generation);
    else if (generation)
        policy_changed(engine, generation);
    guard_judge(engine);
    engine_publish_directory(engine);
}

/* --- life ----------------------------------------------------------------------------------------
 */

/* The number of this start, above all before: one more than the last, or the time in seconds where
 * that is more, since a store that cannot write keeps no count. */
static uint64_t next_boot(struct store *store, struct now now) {
    char *last = store_get_text(store, "events", "boot");
    int64_t boot = (last ? strtoll(last, NULL, 10) : 0) + 1;
    if (now.trusted && now.wall.ms / 1000 > boot)
        boot = now.wall.ms / 1000;
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)boot);
    if (store_put_text(store, "events", "boot", text, NULL, NULL))
        log_warning("store", "the number of this start could not be stored");
    free(last);
    return (uint64_t)boot;
}

/* The latest moment that is known to be over: when the time was stored last, or, while no clock was
 * trusted, when the newest of what is stored was made or began. */
static struct wall known_past(struct engine *engine) {
    char *text = store_get_text(engine->store, "clock", "floor");
    int64_t past_ms = text ? strtoll(text, NULL, 10) : 0;
    free(text);
    if (past_ms < CLOCK_OLDEST_MS)
        past_ms = CLOCK_OLDEST_MS;
    if (engine->stash.made_ms > past_ms)
        past_ms = engine->stash.made_ms;
    return (struct wall){past_ms};
}

static bool load_store(struct engine *engine, const struct engine_settings *settings,
                       struct report *report) {
    if (store_open_damaged_too(&engine->store, engine->site->store_directory, report) != ERR_OK)
        return false;
    if (stash_load(engine) != ERR_OK) {
        report_add(report, engine->site->store_directory, "the constraints cannot be read");
        return false;
    }
    clock_init(&engine->clock, known_past(engine), settings->clock_shift_ms);
    engine->clock_shift_file = settings->clock_shift_file;
    if (!engine->clock.boot[0])
        log_warning("clock",
                    "/proc/sys/kernel/random/boot_id cannot be read: after a restart of "
                    "the host limits by duration end by the wall clock, however it was set");
    shift_clock(engine);
    const struct telemetry_settings history = {.directory = engine->site->store_directory,
                                               .clock = &engine->clock,
                                               .retention = engine->site->retention};
    if (!settings->no_history && telemetry_open(&engine->telemetry, &history) != ERR_OK)
        log_error("history", "no memory: no history is kept");
    struct now now = clock_now(&engine->clock);
    engine->wall_offset_ms = now.wall.ms - now.mono.ms;
    if (!now.trusted)
        log_warning("clock", "the clock is behind the last time known to be true: what was in "
                             "force stays in force until it is right");
    engine->events = events_open(next_boot(engine->store, now));
    if (!engine->events) {
        report_add(report, "", "no memory for events");
        return false;
    }
    engine->last_rank = store_last_rank(engine->store);
    if (now.trusted && store_prune_constraints(engine->store, now, engine->clock.boot, NULL, NULL))
        log_warning("store", "old constraints could not be pruned");
    return true;
}

static void take_thing(void *context, const struct stored_thing *thing) {
    struct engine *engine = context;
    struct made made = {.revision = thing->revision, .created_at = thing->created_at};
    snprintf(made.id, sizeof made.id, "%s", thing->id);
    snprintf(made.key, sizeof made.key, "%s", thing->key);
    snprintf(made.owner, sizeof made.owner, "%s", thing->owner);
    snprintf(made.parent_id, sizeof made.parent_id, "%s", thing->parent_id);
    made.entry = json_read_text(thing->entry, JSON_REJECT_DUPLICATES, NULL);
    if (!made.entry || !inventory_add(&engine->inventory, thing->is_device, &made))
        log_error("store", "%s %s cannot be read: it is NOT in force",
                  thing->is_device ? "device" : "cluster", thing->key);
}

static bool load_inventory(struct engine *engine, struct report *report) {
    if (store_load_things(engine->store, take_thing, engine) == ERR_OK)
        return true;
    report_add(report, engine->site->store_directory,
               "the clusters and devices of the API cannot be read");
    return false;
}

static char *recall_script(void *context, const char *file) {
    const struct engine *engine = context;
    return store_get_text(engine->store, "script", file);
}

static void keep_script(void *context, const char *file, const char *text) {
    const struct engine *engine = context;
    if (store_put_text(engine->store, "script", file, text, NULL, NULL))
        log_warning(file, "it could not be stored: broken at the next start, it would be missing");
}

static bool open_library(struct engine *engine, const struct engine_settings *settings) {
    char uploads[sizeof engine->site->store_directory + sizeof ENGINE_UPLOADS + 1];
    snprintf(uploads, sizeof uploads, "%s/%s", engine->site->store_directory, ENGINE_UPLOADS);
    const char *folders[FOLDER_COUNT] = {[FOLDER_SITE] = engine->site->folder,
                                         [FOLDER_UPLOADS] = uploads,
                                         [FOLDER_SHARED] = settings->shared_folder};
    /* A folder that is not there is waited for by watching the one above it: that is where the
     * store writes, and each page of each commit would wake the loop. */
    if (mkdir(uploads, 0700) != 0 && errno != EEXIST)
        log_debug("library", "%s cannot be made: %s", uploads, strerror(errno));
    guard_open(engine, &settings->rehearsal);
    engine->scripts_taken = (struct library_memory){recall_script, keep_script, engine};
    engine->library =
        library_open_watched(&engine->loop, folders, FOLDER_COUNT, engine->guard.watchdog,
                             &engine->guard.stalls, &engine->scripts_taken, script_changed, engine);
    if (engine->library)
        guard_judge(engine);
    return engine->library != NULL;
}

struct engine *engine_open(const struct engine_settings *settings, struct report *report) {
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    report_init(&engine->site_problems);
    directory_slot_init(&engine->directory);
    snprintf(engine->site_path, sizeof engine->site_path, "%s", settings->site_path);
    struct site *site = site_load(settings->site_path, report);
    engine->site = site;
    if (!site || uv_loop_init(&engine->loop)) {
        site_free(site);
        directory_slot_free(&engine->directory);
        free(engine);
        return NULL;
    }
    engine->started = clock_mono();
    uv_timer_init(&engine->loop, &engine->second);
    engine->second.data = engine;
    char why[IO_WHY_SIZE];
    bool ok = inbox_open(&engine->inbox, &engine->loop) == ERR_OK;
    engine->any_local_port = settings->any_local_port;
    engine->io = io_open(&engine->loop, why, sizeof why);
    if (!engine->io)
        report_add(report, "", "%s", why);
    ok = ok && engine->io;
    ok = ok && load_store(engine, settings, report) && load_inventory(engine, report) &&
         open_library(engine, settings);
    engine->site = NULL;
    if (ok) {
        engine_publish_directory(engine);
        recall_begin(engine);
        ok = engine_apply(engine, site, report); /* takes the site in any case */
        recall_end(engine);
    } else {
        site_free(site);
    }
    if (!ok) {
        engine->stopping = true;
        engine_close(engine);
        return NULL;
    }
    uv_timer_start(&engine->second, second_due, 1000, 1000);
    engine_watch_site(engine);
    return engine;
}

void engine_run(struct engine *engine) {
    uv_run(&engine->loop, UV_RUN_DEFAULT);
}

void engine_stop(struct engine *engine) {
    uv_stop(&engine->loop);
}

static void close_parts(struct engine *engine) {
    engine_lists_change(engine, true);
    while (engine->instances) {
        struct instance *instance = engine->instances;
        engine->instances = instance->next;
        instance_close(instance);
    }
    while (engine->devices) {
        struct device *device = engine->devices;
        engine->devices = device->next;
        device_close(device);
    }
    while (engine->clusters) {
        struct cluster *cluster = engine->clusters;
        engine->clusters = cluster->next;
        cluster_close(cluster);
    }
}

void engine_close(struct engine *engine) {
    engine->stopping = true;
    close_parts(engine);
    guard_close(engine);
    if (engine->library)
        library_close(engine->library);
    inbox_close(&engine->inbox);
    ask_inventory_close(engine);
    engine_unwatch_site(engine);
    uv_close((uv_handle_t *)&engine->second, NULL);
    uv_run(&engine->loop, UV_RUN_DEFAULT); /* close callbacks */
    telemetry_close(engine->telemetry);
    if (engine->io)
        io_close(engine->io);
    if (engine->store) {
        store_floor(engine, clock_now(&engine->clock));
        store_close(engine->store);
    }
    guard_free(engine);
    if (uv_loop_close(&engine->loop))
        log_error("engine", "a handle was left open");
    stash_free(engine);
    directory_slot_free(&engine->directory);
    events_close(engine->events);
    site_free(engine->site);
    site_free(engine->file);
    json_decref(engine->site_taken);
    inventory_free(&engine->inventory);
    report_free(&engine->site_problems);
    free(engine);
}
