/* Applying a site: what is new starts, what changed is built anew, what is gone stops, and all else
 * is left alone, so that an edit of one device costs no other a poll. Constraints belong to a
 * device's id and outlive its entry. Drivers and policies are checked first, all of them; a driver
 * that is missing or broken does not stop the rest: its devices are `notConfigured` and say so. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask_audit.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "device.h"
#include "engine.h"
#include "link/wire.h"
#include "machine.h"
#include "script/instance.h"
#include "site_access.h"
#include "site_log.h"

#define SITE_SETTLE_MS 200

/* --- drivers and devices -------------------------------------------------------------------------
 */

/* The kind of wire that a device hangs on against those that its driver knows. */
static bool link_fits(const struct site_device *site, const struct driver *driver,
                      struct report *report) {
    enum link_kind kind = wire_kind(site->link);
    if (driver->links & 1U << kind)
        return true;
    char kinds[80] = "";
    for (int i = 0; i < LINK_KIND_COUNT; i++)
        if (driver->links & 1U << i) {
            size_t used = strlen(kinds);
            snprintf(kinds + used, sizeof kinds - used, "%s%s", used ? ", " : "",
                     link_kind_names()[i]);
        }
    char where[96];
    snprintf(where, sizeof where, "%s.link", site->where);
    if (kind == LINK_SERIAL)
        report_add(report, where,
                   "%s does not speak over serial lines: its link.kinds lacks \"serial\"",
                   driver->name);
    else if (driver->links == 1U << LINK_SERIAL)
        report_add(report, where,
                   "%s speaks over serial lines only: the link must be like rtu:///dev/ttyUSB0",
                   driver->name);
    else
        report_add(report, where, "%s speaks over %s: its link.kinds lacks \"%s\"", driver->name,
                   kinds, kind < LINK_KIND_COUNT ? link_kind_names()[kind] : "?");
    return false;
}

/* The part and parameters of one device against a driver; fills them when they fit. */
static bool device_fits(const struct site_device *site, const struct driver *driver, int *part,
                        double *parameters, struct report *report) {
    char where[96];
    *part = driver_part_find(driver, site->as);
    if (*part == POINT_NONE) {
        char names[160] = "";
        for (int i = 0; i < driver->part_count; i++) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s\"%s\"", i ? ", " : "",
                     driver->parts[i].name);
        }
        snprintf(where, sizeof where, "%s.as", site->where);
        if (driver->parts[0].name[0])
            report_add(report, where, "%s has the parts %s: say which one this device is",
                       driver->name, names);
        else
            report_add(report, where, "%s has no parts: leave `as` out", driver->name);
        return false;
    }
    if (!link_fits(site, driver, report))
        return false;
    snprintf(where, sizeof where, "%s.parameters", site->where);
    return driver_parameters(driver, site->parameters, where, parameters, report);
}

bool engine_driver_fits(struct machine *machine, struct generation *generation,
                        int places[DRIVER_MAX_PARTS], struct report *report) {
    double parameters[DRIVER_MAX_PARTS][DRIVER_MAX_PARAMETERS];
    for (int i = 0; i < DRIVER_MAX_PARTS; i++) {
        const struct device *device = machine->parts[i];
        if (device &&
            !device_fits(device->site, generation->driver, &places[i], parameters[i], report))
            return false;
    }
    for (int i = 0; i < DRIVER_MAX_PARTS; i++)
        if (machine->parts[i])
            memcpy(machine->parts[i]->parameters, parameters[i], sizeof parameters[i]);
    return true;
}

bool engine_device_fits(struct engine *engine, const struct site_device *site,
                        struct report *report) {
    struct generation *generation = library_get(engine->library, SCRIPT_DRIVER, site->driver);
    if (!generation) /* it is made all the same, and waits for its driver */
        return true;
    struct site_device nameless = *site;
    double parameters[DRIVER_MAX_PARAMETERS];
    int part;
    nameless.where = "";
    bool fits = device_fits(&nameless, generation->driver, &part, parameters, report);
    generation_release(generation);
    for (const struct device *device = engine->devices; device && fits; device = device->next) {
        if (strcmp(device->id, site->id) == 0 || strcmp(device->site->link, site->link) != 0 ||
            device->site->unit != site->unit)
            continue;
        fits = false;
        if (strcmp(device->site->driver, site->driver) != 0)
            report_add(report, ".driver",
                       "unit %d of this link is already spoken to by the driver %s: one machine "
                       "has one driver",
                       site->unit, device->site->driver);
        else if (strcmp(device->site->as, site->as) == 0)
            report_add(report, site->as[0] ? ".as" : ".unit",
                       "this is already a device of another cluster");
        else
            fits = true;
    }
    return fits;
}

static void not_configured(struct device *device, struct report *report, const char *text) {
    char why[160];
    snprintf(why, sizeof why, "%.150s", report->count ? report->items[0].text : text);
    for (size_t i = 0; i < report->count; i++)
        log_error(device->site->path, "%s: %s", report->items[i].where, report->items[i].text);
    if (!report->count)
        log_error(device->site->path, "%s", text);
    report_free(report);
    device_connect(device, CONNECTION_NOT_CONFIGURED, why);
}

/* Gives a device its machine, if its driver is there and fits. */
static void take_up(struct device *device) {
    struct engine *engine = device->engine;
    const struct site_device *site = device->site;
    struct report report;
    report_init(&report);
    struct machine *machine = machine_find(engine, site->link, site->unit);
    struct generation *generation =
        machine && strcmp(machine->generation->name, site->driver) == 0
            ? generation_hold(machine->generation) /* all its parts speak through one */
            : library_get(engine->library, SCRIPT_DRIVER, site->driver);
    if (!generation) {
        char text[160];
        snprintf(text, sizeof text, "there is no working driver \"%.60s\" in drivers/",
                 site->driver);
        not_configured(device, &report, text);
        return;
    }
    if (!device_fits(site, generation->driver, &device->part, device->parameters, &report)) {
        not_configured(device, &report, "");
        generation_release(generation);
        return;
    }
    if (machine && machine->generation != generation)
        report_add(&report, site->where, "%s unit %d is already spoken to by the driver %s",
                   site->link, site->unit, machine->generation->name);
    else if (machine && machine->parts[device->part])
        report_add(&report, site->where, "%s unit %d is already the device %s", site->link,
                   site->unit, machine->parts[device->part]->site->path);
    if (report.count)
        machine = NULL;
    else if (!machine)
        machine = machine_open(engine, site->link, site->unit, generation);
    generation_release(generation);
    if (!machine) {
        not_configured(device, &report, "no memory for its machine");
        return;
    }
    machine_attach(machine, device);
    report_free(&report);
}

void engine_take_up(struct engine *engine) {
    for (struct device *device = engine->devices; device; device = device->next)
        if (!device->machine)
            take_up(device);
    engine_take_policies(engine);
}

void engine_take_policies(struct engine *engine) {
    for (struct instance *instance = engine->instances; instance; instance = instance->next) {
        instance_rest_unless_fit(instance);
        if (instance->generation)
            continue;
        struct report report;
        report_init(&report);
        struct generation *generation =
            library_get(engine->library, SCRIPT_POLICY, instance->site.policy);
        if (!generation)
            report_add(&report, instance->site.where,
                       "there is no working policy \"%s\": put %s.lua into policies/",
                       instance->site.policy, instance->site.policy);
        else
            instance_take(instance, generation, &report);
        generation_release(generation);
        for (size_t i = 0; i < report.count; i++)
            log_error(instance->site.path, "%s: %s", report.items[i].where, report.items[i].text);
        report_free(&report);
    }
}

/* --- the difference ------------------------------------------------------------------------------
 */

static bool same_device(const struct device *device, const struct site_device *site) {
    return strcmp(device->site->path, site->path) == 0 &&
           json_equal(device->site->entry, site->entry) && device->site->observe == site->observe &&
           strcmp(site_device_access(device->site)->secret, site_device_access(site)->secret) == 0;
}

static const struct site_policy *find_site_policy(const struct site *site,
                                                  const struct instance *instance) {
    for (size_t i = 0; i < site->cluster_count; i++)
        for (size_t j = 0; j < site->clusters[i].policy_count; j++) {
            const struct site_policy *policy = &site->clusters[i].policies[j];
            if (strcmp(instance->site.path, policy->path) == 0 &&
                json_equal(instance->entry, policy->entry))
                return policy;
        }
    return NULL;
}

static void drop_policies(struct engine *engine, const struct site *site) {
    for (struct instance **at = &engine->instances; *at;) {
        struct instance *instance = *at;
        if (find_site_policy(site, instance)) {
            at = &instance->next;
            continue;
        }
        *at = instance->next;
        instance_close(instance);
    }
}

/* An unchanged entry may have moved within the file: its place and the tree it borrows from did. */
static void keep_device(struct device *device, const struct site_device *site) {
    struct site_device *before = device->site;
    device->site = site_device_hold(site);
    site_device_release(before);
}

/* What the file declares is known by its path, what the API made by its id. */
static bool is_of_entry(const struct device *device, const struct site_device *entry) {
    if (entry->id[0] || device->site->id[0])
        return strcmp(device->site->id, entry->id) == 0;
    return strcmp(device->site->path, entry->path) == 0;
}

/* Takes the device of that entry out of the list; NULL when there is none. While the order stays as
 * it is, that is the first one. */
static struct device *take_device(struct engine *engine, const struct site_device *entry) {
    for (struct device **at = &engine->devices; *at; at = &(*at)->next)
        if (is_of_entry(*at, entry)) {
            struct device *device = *at;
            *at = device->next;
            return device;
        }
    return NULL;
}

static struct instance *find_instance(struct engine *engine, const char *path) {
    for (struct instance *instance = engine->instances; instance; instance = instance->next)
        if (strcmp(instance->site.path, path) == 0)
            return instance;
    return NULL;
}

/* The device of an entry: `before` where the entry is as it was, else one built anew. */
static struct device *make_device(struct engine *engine, const struct site_cluster *cluster,
                                  const struct site_device *site, struct device *before,
                                  struct report *report) {
    if (before && same_device(before, site)) {
        keep_device(before, site);
        return before;
    }
    char id[ID_SIZE];
    if (before) { /* the store may fail: the device goes on all the same */
        snprintf(id, sizeof id, "%s", before->id);
        log_info(site->path, "its entry has changed");
        device_close(before);
    } else if (site->id[0]) {
        snprintf(id, sizeof id, "%s", site->id);
    } else if (store_id(engine->store, "device", site->path, id) != ERR_OK) {
        report_add(report, site->where, "the store cannot give %s an id", site->path);
        return NULL;
    }
    struct device *device = device_new(engine, site, cluster, cluster->id, id);
    if (!device)
        report_add(report, site->where, "no memory for %s", site->path);
    else if (!before && engine->site) /* what is there from the start is no news */
        announce_device(device, "added");
    return device;
}

static void name_cluster(struct engine *engine, struct site_cluster *cluster,
                         struct report *report) {
    for (size_t i = 0; engine->file && i < engine->file->cluster_count; i++)
        if (strcmp(engine->file->clusters[i].key, cluster->key) == 0)
            memcpy(cluster->id, engine->file->clusters[i].id, sizeof cluster->id);
    if (!cluster->id[0] && store_id(engine->store, "cluster", cluster->key, cluster->id) != ERR_OK)
        report_add(report, cluster->key, "the store cannot give the cluster an id");
}

static struct cluster *take_cluster(struct engine *engine, const struct site_cluster *entry) {
    for (struct cluster **at = &engine->clusters; *at; at = &(*at)->next)
        if (strcmp((*at)->key, entry->key) == 0 && strcmp((*at)->id, entry->id) == 0) {
            struct cluster *cluster = *at;
            *at = cluster->next;
            return cluster;
        }
    return NULL;
}

/* Clusters in the order of the file; those that are left have gone. */
static void change_clusters(struct engine *engine, const struct site *site, struct report *report) {
    struct cluster *ordered = NULL, **end = &ordered;
    for (size_t i = 0; i < site->cluster_count; i++) {
        const struct site_cluster *entry = &site->clusters[i];
        struct cluster *cluster = take_cluster(engine, entry);
        if (cluster)
            cluster_take(cluster, entry);
        else
            cluster = cluster_new(engine, entry);
        if (!cluster) {
            report_add(report, entry->key, "no memory for the cluster");
            continue;
        }
        cluster->next = NULL;
        *end = cluster;
        end = &cluster->next;
    }
    while (engine->clusters) {
        struct cluster *cluster = engine->clusters;
        engine->clusters = cluster->next;
        log_info(cluster->key, "left the site");
        cluster_close(cluster);
    }
    engine->clusters = ordered;
    for (struct cluster *cluster = ordered; cluster; cluster = cluster->next) {
        const struct site_cluster *entry = site_cluster_find(site, cluster->key);
        struct cluster *parent = entry ? engine_cluster(engine, entry->parent) : NULL;
        if (parent != cluster->parent) /* shares that the former one gave are to be taken back */
            cluster->bound = true;
        cluster->parent = parent;
    }
    for (struct cluster *cluster = ordered; cluster; cluster = cluster->next)
        for (struct cluster *at = cluster->parent; at && cluster->bound; at = at->parent)
            at->bound = true; /* which the root does */
}

/* Devices in the order of the file: kept, built anew, or new; those that are left have gone. */
static void change_devices(struct engine *engine, const struct site *site, struct report *report) {
    struct device *ordered = NULL, **end = &ordered;
    for (size_t i = 0; i < site->cluster_count; i++) {
        struct site_cluster *cluster = &site->clusters[i];
        for (size_t j = 0; j < cluster->device_count; j++) {
            const struct site_device *entry = cluster->devices[j];
            struct device *before = take_device(engine, entry);
            struct device *device = make_device(engine, cluster, entry, before, report);
            if (!device)
                continue;
            device->next = NULL;
            *end = device;
            end = &device->next;
        }
    }
    while (engine->devices) {
        struct device *device = engine->devices;
        engine->devices = device->next;
        log_info(device->site->path, "left the site");
        announce_device(device, "removed");
        device_close(device);
    }
    engine->devices = ordered;
}

static void add_policies(struct engine *engine, const struct site *site) {
    for (size_t i = 0; i < site->cluster_count; i++)
        for (size_t j = 0; j < site->clusters[i].policy_count; j++) {
            const struct site_policy *policy = &site->clusters[i].policies[j];
            struct instance *instance = find_instance(engine, policy->path);
            if (instance) {
                json_incref((json_t *)policy->entry);
                json_decref(instance->entry);
                instance->entry = (json_t *)policy->entry;
                instance->site = *policy;
                continue;
            }
            instance = instance_new(engine, policy, site->clusters[i].key);
            if (!instance)
                continue;
            instance->next = engine->instances;
            engine->instances = instance;
        }
}

bool engine_apply_inventory(struct engine *engine, struct site *site, struct report *report) {
    if (!site)
        site = inventory_merge(&engine->inventory, engine->file, NULL, NULL);
    if (!site) {
        report_add(report, "", "no memory: the site stays as it was");
        return false;
    }
    drop_policies(engine, site);
    engine_lists_change(engine, true);
    change_clusters(engine, site, report);
    change_devices(engine, site, report);
    engine_lists_change(engine, false);
    add_policies(engine, site);
    site_free(engine->site);
    engine->site = site;
    engine_take_up(engine);
    for (struct cluster *cluster = engine->clusters; cluster; cluster = cluster->next)
        cluster_decide_changed(cluster);
    engine_publish_directory(engine);
    return report_empty(report);
}

static void log_clashes(const struct made_list *list, const char *what) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].clash[0])
            log_warning("site", "the %s %s of the API: %s", what, list->items[i].key,
                        list->items[i].clash);
}

/* Whether the new file has another value there, or only one of both has any. */
static bool says_otherwise(const struct site *before, const struct site *now, const char *field) {
    const json_t *was = json_object_get(before->tree, field);
    const json_t *is = json_object_get(now->tree, field);
    return was && is ? !json_equal(was, is) : was != is;
}

bool engine_apply(struct engine *engine, struct site *file, struct report *report) {
    if (engine->file && (says_otherwise(engine->file, file, "http") ||
                         strcmp(engine->file->store_directory, file->store_directory) != 0))
        log_warning("site", "http and store are taken at the next start of the host");
    if (engine->file && says_otherwise(engine->file, file, "log"))
        site_log_apply(file->tree);
    for (size_t i = 0; i < file->cluster_count; i++) {
        name_cluster(engine, &file->clusters[i], report);
        if (store_account_ensure(engine->store, file->clusters[i].account) != ERR_OK)
            report_add(report, file->clusters[i].key, "the store cannot make the account %s",
                       file->clusters[i].account);
    }
    telemetry_retain(engine->telemetry, &file->retention);
    ask_audit_site(engine, file);
    site_free(engine->file);
    engine->file = file;
    engine->file_number++;
    bool applied = engine_apply_inventory(engine, NULL, report);
    log_clashes(&engine->inventory.clusters, "cluster");
    log_clashes(&engine->inventory.devices, "device");
    return applied;
}

/* --- the site file changes -----------------------------------------------------------------------
 */

static void site_settled(uv_timer_t *timer) {
    struct engine *engine = timer->data;
    struct report report;
    report_init(&report);
    struct site *site = site_load(engine->site_path, &report);
    bool news = !report_empty(&engine->site_problems);
    const char *so = site ? "" : "; the site stays as it was";
    if (site && engine->file && json_equal(site->tree, engine->file->tree) &&
        !site_secrets_changed(engine->file)) {
        site_free(site);
    } else if (site) {
        news = true;
        log_info("site", "the site file has changed: taking it");
        engine_apply(engine, site, &report);
    }
    for (size_t i = 0; i < report.count; i++)
        log_error("site", "%s: %s%s", report.items[i].where, report.items[i].text, so);
    report_free(&engine->site_problems);
    engine->site_problems = report;
    engine_publish_directory(engine);
    if (!report_empty(&report))
        announce_site(engine, "mistakes");
    else if (news)
        announce_site(engine, "applied");
}

static void site_touched(uv_fs_event_t *watch, const char *name, int events, int status) {
    struct engine *engine = watch->data;
    const char *slash = strrchr(engine->site_path, '/');
    (void)events;
    if (status == 0 && (!name || strcmp(name, slash ? slash + 1 : engine->site_path) == 0))
        uv_timer_start(&engine->site_settle, site_settled, SITE_SETTLE_MS, 0);
}

void engine_look_at_secrets(struct engine *engine) {
    if (engine->site_settle.data && site_secrets_changed(engine->file))
        uv_timer_start(&engine->site_settle, site_settled, SITE_SETTLE_MS, 0);
}

void engine_watch_site(struct engine *engine) {
    uv_timer_init(&engine->loop, &engine->site_settle);
    uv_fs_event_init(&engine->loop, &engine->site_watch);
    engine->site_settle.data = engine->site_watch.data = engine;
    /* The folder, not the file: editors write a new file and rename it over the old one. */
    if (uv_fs_event_start(&engine->site_watch, site_touched, engine->site->folder, 0))
        log_warning("site", "changes of the site file are not noticed: it cannot be watched");
}

void engine_unwatch_site(struct engine *engine) {
    if (!engine->site_settle.data)
        return;
    uv_close((uv_handle_t *)&engine->site_settle, NULL);
    uv_close((uv_handle_t *)&engine->site_watch, NULL);
}

/* --- the directory -------------------------------------------------------------------------------
 */

/* What the API made and the file stands against, as a mistake of the site. */
static void add_clashes(json_t *list, const struct made_list *made, const char *what) {
    for (size_t i = 0; i < made->count; i++)
        if (made->items[i].clash[0]) {
            char where[KEY_SIZE + 40];
            snprintf(where, sizeof where, "%s %s of the API", what, made->items[i].key);
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "where", where, "text", made->items[i].clash));
        }
}

static char *problems_json(const struct report *report, const struct inventory *inventory) {
    json_t *list = json_array();
    add_clashes(list, &inventory->clusters, "cluster");
    add_clashes(list, &inventory->devices, "device");
    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "where", report->items[i].where, "text",
                                              report->items[i].text));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

/* A device of the API that is not in force is shown with the reason. */
static struct device_card *clash_card(const struct made *made) {
    char *entry = json_dumps(made->entry, JSON_COMPACT | JSON_SORT_KEYS);
    const struct card_words words = {.key = made->key,
                                     .name = tree_string(made->entry, "name", made->key),
                                     .driver = tree_string(made->entry, "driver", ""),
                                     .link = tree_string(made->entry, "link", ""),
                                     .entry = entry};
    struct device_card *card = device_card_new(&words, 0);
    free(entry);
    struct flexibility unknown = {.connection = CONNECTION_NOT_CONFIGURED,
                                  .bound_min = -POWER_UNBOUNDED,
                                  .bound_max = POWER_UNBOUNDED};
    if (!card)
        return NULL;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        unknown.values[i] = NAN;
    memcpy(card->id, made->id, sizeof card->id);
    memcpy(card->cluster_id, made->owner, sizeof card->cluster_id);
    card->revision = made->revision;
    card->created_at = made->created_at;
    card->unit = (int)tree_integer(made->entry, "unit", 1);
    device_card_tell(card, CARD_CONNECTION, made->clash);
    live_publish(card->live, &unknown);
    return card;
}

static void add_clash_cards(const struct engine *engine, struct cluster_card *cluster,
                            struct directory *directory) {
    const struct made_list *list = &engine->inventory.devices;
    for (size_t i = 0; i < list->count; i++) {
        struct device_card *card =
            list->items[i].clash[0] && strcmp(list->items[i].owner, cluster->id) == 0
                ? clash_card(&list->items[i])
                : NULL;
        if (!card)
            continue;
        directory->devices[directory->device_count++] = card;
        cluster->device_count++;
    }
}

/* `next`: the first device that is not of an earlier cluster; they stand in the site's order. */
static void fill_cluster(struct engine *engine, const struct site_cluster *cluster,
                         struct device **next, struct directory *directory) {
    struct cluster_card *card = &directory->clusters[directory->cluster_count++];
    snprintf(card->id, sizeof card->id, "%s", cluster->id);
    snprintf(card->key, sizeof card->key, "%s", cluster->key);
    snprintf(card->name, sizeof card->name, "%s", cluster->name);
    snprintf(card->account, sizeof card->account, "%s", cluster->account);
    card->observe = cluster->observe;
    const struct cluster *made = engine_cluster(engine, cluster->key);
    card->slot = made ? decided_slot_hold(made->slot) : NULL;
    card->sees_grid = made && made->sees_grid;
    card->box = made && made->box ? operator_slot_hold(box_slot(made->box)) : NULL;
    if (made && made->parent)
        memcpy(card->parent_id, made->parent->id, sizeof card->parent_id);
    card->first_device = directory->device_count;
    for (; *next && strcmp((*next)->cluster_key, cluster->key) == 0; *next = (*next)->next) {
        directory->devices[directory->device_count++] = device_card_hold((*next)->card);
        card->device_count++;
    }
    card->revision = cluster->revision;
    card->created_at = cluster->created_at;
    snprintf(card->clash, sizeof card->clash, "%s", cluster->clash);
    const json_t *limits = json_object_get(cluster->entry, "limits");
    card->limits = limits ? json_dumps(limits, JSON_COMPACT) : NULL;
    card->uncontrolled = cluster->permanent.uncontrolled_import;
    add_clash_cards(engine, card, directory);
}

static char *file_words(const struct engine *engine) {
    char text[sizeof engine->site_path + 20];
    snprintf(text, sizeof text, "The site file %s", engine->site_path);
    return strdup(text);
}

void engine_publish_directory(struct engine *engine) {
    size_t devices = 0;
    for (struct device *device = engine->devices; device; device = device->next)
        devices++;
    size_t clusters = engine->site ? engine->site->cluster_count : 0;
    struct directory *directory = calloc(1, sizeof *directory);
    if (!directory)
        return;
    atomic_init(&directory->references, 1);
    directory->made_at = clock_now(&engine->clock).wall;
    directory->horizon_ms = engine->site ? engine->site->horizon_ms : 0;
    directory->clusters = calloc(clusters + 1, sizeof *directory->clusters);
    directory->devices = calloc(devices + engine->inventory.devices.count + 1, sizeof(void *));
    directory->site_problems = problems_json(&engine->site_problems, &engine->inventory);
    directory->scripts_off = strdup(engine->guard.off);
    directory->site_file = file_words(engine);
    if (!directory->clusters || !directory->devices || !directory->site_problems ||
        !directory->scripts_off || !directory->site_file) {
        directory_release(directory);
        log_error("engine", "no memory for a new directory: readers see the old one");
        return;
    }
    struct device *next = engine->devices;
    for (size_t i = 0; i < clusters; i++)
        fill_cluster(engine, &engine->site->clusters[i], &next, directory);
    if (engine->library &&
        library_cards(engine->library, &directory->scripts, &directory->script_count) != ERR_OK)
        log_warning("engine", "the listing of scripts is incomplete: no memory");
    struct directory *before = directory_hold(&engine->directory);
    directory_publish(&engine->directory, directory);
    announce_scripts(engine, before, directory); /* nobody else publishes: it stays the newest */
    directory_release(before);
}
