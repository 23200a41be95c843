/* The life of a device: made, connected, given values, renewed with its driver, closed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/log.h"
#include "base/text.h"
#include "device_internal.h"
#include "journal.h"
#include "machine.h"
#include "operator/operator_box.h"
#include "script/hooks.h"
#include "script/instance.h"
#include "stash.h"

const struct driver_part *device_part(const struct device *device) {
    return device->machine ? &machine_driver(device->machine)->parts[device->part] : NULL;
}

bool device_controllable(const struct device *device) {
    const struct driver_part *part = device_part(device);
    return part && part->control.present;
}

bool device_has_soc(const struct device *device) {
    if (!device->machine)
        return false;
    const struct driver *driver = machine_driver(device->machine);
    for (int i = 0; i < driver->point_count; i++)
        if (driver->points[i].id == POINT_STATE_OF_CHARGE &&
            point_is_of(&driver->points[i], device->part))
            return true;
    return false;
}

struct subject device_subject(const struct device *device) {
    return (struct subject){device->engine, device->cluster_id, device->cluster_key, device->id};
}

bool device_reachable(const struct device *device) {
    return device->connection == CONNECTION_ONLINE || device->connection == CONNECTION_QUARANTINED;
}

void device_connect(struct device *device, enum connection connection, const char *text) {
    bool news =
        device->connection != connection || strcmp(text_of(device->connection_text), text) != 0;
    /* In quarantine the same constraints are walked without their set points. */
    bool changed =
        (device->connection == CONNECTION_QUARANTINED) != (connection == CONNECTION_QUARANTINED);
    device->connection = connection;
    text_set(&device->connection_text, text);
    device_publish_texts(device);
    if (connection != CONNECTION_ONLINE)
        device->vehicle_phases = NAN; /* another one may be there when it comes back */
    if (device_reachable(device)) {
        device_forget_constants(device);
        device_take_values(device);
    }
    if (connection == CONNECTION_QUARANTINED)
        hooks_values(device); /* which are not called: what they would have corrected is unknown */
    device_decide_as(device, changed);
    device_publish(device);
    if (news) {
        announce_device(device, "connection");
        box_connected(device);
    }
}

void device_take(struct device *device) {
    device_take_values(device);
    hooks_values(device);
}

void device_sampled(struct device *device) {
    device->stale = !device_fresh(device, POINT_ACTIVE_POWER, clock_mono());
    device_watch_vehicle(device);
    device_decide(device);
    device_watch(device);
    struct flexibility published;
    device_publish_as(device, &published);
    journal_sample(device, &published);
    instance_sampled(device);
    box_sampled(device);
}

void device_renewed(struct device *device) {
    uint64_t told = device_may_tell(device);
    caller_forget(&device->caller);
    caller_forget(&device->write_caller);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        struct quantity *known = quantities_at(device->known, (enum point_id)i);
        if (known && !(told >> i & 1))
            *known = (struct quantity){.value = NAN};
    }
    device_renew_card(device);
}

/* Constraints that were waiting for this device, and the gates as they were. */
static void take_stash(struct device *device) {
    stash_take(device->engine, device->id, &device->book);
    char *text = recall_text(device->engine, "gates", device->id);
    json_t *gates = text ? json_read_text(text, 0, NULL) : NULL;
    for (size_t i = 0; gates && i < device->book.count; i++) {
        char id[ID_SIZE];
        entry_id(&device->book.entries[i], id);
        json_int_t bits = json_integer_value(json_object_get(gates, id));
        book_set_gates(&device->book, i, bits & 1, bits & 2);
    }
    json_decref(gates);
    free(text);
}

struct device *device_new(struct engine *engine, const struct site_device *site,
                          const struct site_cluster *cluster, const char *cluster_id,
                          const char *device_id) {
    struct device *device = calloc(1, sizeof *device);
    if (!device)
        return NULL;
    device->engine = engine;
    device->site = site_device_hold(site);
    snprintf(device->id, sizeof device->id, "%s", device_id);
    snprintf(device->cluster_id, sizeof device->cluster_id, "%s", cluster_id);
    snprintf(device->cluster_key, sizeof device->cluster_key, "%s", cluster->key);
    device->card = device_card_of(device);
    device->wheel = device->card ? wheel_hold(&engine->loop) : NULL;
    if (!device->wheel) {
        device_card_release(device->card);
        site_device_release(device->site);
        free(device);
        return NULL;
    }
    device->soc = device->vehicle_phases = NAN;
    device_forget_told(device);
    char *told = recall_text(engine, "told", device->id);
    device->told_before = told != NULL;
    free(told);
    char *seen = recall_text(engine, "identity", device->id);
    device->identity_seen = seen ? json_read_text(seen, 0, NULL) : NULL;
    free(seen);
    if (json_object_size(device->identity_seen) == 0) {
        json_decref(device->identity_seen);
        device->identity_seen = NULL;
    }
    share_load_nameplate(device);
    book_init(&device->book);
    take_stash(device);
    device->wake.owner = device;
    return device;
}

static void device_closed(struct wheel_timer *timer) {
    struct device *device = timer->owner;
    wheel_release(device->wheel);
    book_free(&device->book);
    device_card_release(device->card);
    site_device_release(device->site);
    json_decref(device->hook_state);
    carry_forget(device);
    json_decref(device->identity_seen);
    device_forget_identity(device);
    quantities_free(device->known);
    caller_forget(&device->caller);
    caller_forget(&device->write_caller);
    free(device->connection_text);
    free(device->share_why);
    free(device->hook_problem);
    free(device->read_problem);
    free(device->split_seen);
    free(device->last_ruling);
    free(device->command.text);
    free(device->command.plans);
    free(device);
}

void device_close(struct device *device) {
    journal_leave(device);
    if (device->machine)
        machine_detach(device->machine, device);
    announce_close(device);
    stash_keep(device->engine, device->id, &device->book);
    wheel_start(device->wheel, &device->wake, 0, device_closed);
}
