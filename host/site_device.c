/* A device of the site file: devices = { ... } of a cluster. Its fields, what is read of them into
 * an entry that others hold, and what two of one cluster may not have in common. How it is got at
 * is site_access.c's business. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/likeness.h"
#include "base/luadata.h"
#include "link/link.h"
#include "link/rtu_settings.h"
#include "link/wire.h"
#include "site_access.h"
#include "site_internal.h"

#define DEFAULT_SHARE_RANK 500

static const struct schema limits_fields[] = {SITE_LIMITS_FIELDS, {0}};

static const struct schema failsafe_fields[] = {
    {.key = "minActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -SITE_POWER_SENSIBLE,
     .maximum = 0,
     .help = "W: it gives at most this much by itself (0 or negative)"},
    {.key = "maxActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = SITE_POWER_SENSIBLE,
     .help = "W: it takes at most this much by itself"},
    {0},
};

/* As OCPP names it: which phases of the site (R is L1, S is L2, T is L3) its L1, L2, L3 are. */
static const char *const rotations[] = {"RST", "RTS", "SRT", "STR", "TRS", "TSR", NULL};

static const struct schema fallback_fields[] = {
    {.key = "activePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -SITE_POWER_SENSIBLE,
     .maximum = SITE_POWER_SENSIBLE,
     .help = "W"},
    {.key = "minActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -SITE_POWER_SENSIBLE,
     .maximum = SITE_POWER_SENSIBLE,
     .help = "W"},
    {.key = "maxActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -SITE_POWER_SENSIBLE,
     .maximum = SITE_POWER_SENSIBLE,
     .help = "W"},
    {0},
};

static const struct schema reach_item = {.kind = SCHEMA_STRING, .minimum = 1, .maximum = 300};

static const struct schema device_fields[] = {
    {.key = "key",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = KEY_SIZE - 1,
     .help = "its name in URLs, unique in the cluster"},
    {.key = "name", .kind = SCHEMA_STRING, .minimum = 1, .maximum = KEY_SIZE - 1},
    {.key = "driver",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = DRIVER_NAME_SIZE - 1,
     .help = "the name of a file in drivers/, without .lua"},
    {.key = "link",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = 159,
     .help = "tcp://address:port, rtu:///dev/ttyUSB0, http://address, udp://address:port, "
             "line://address:port or mqtt://broker/topic"},
    {.key = "unit",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = 255,
     .help = "Modbus unit, 0..255; 1 when left out"},
    {.key = "as",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = POINT_NAME_SIZE - 1,
     .help = "which part of the machine"},
    {.key = "role", .kind = SCHEMA_STRING, .minimum = 1, .maximum = KEY_SIZE - 1},
    {.key = "serialNumber",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = IDENTITY_SIZE - 1,
     .help = "the one device that may answer here"},
    {.key = "username", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 63},
    {.key = "password", .kind = SCHEMA_ANY},
    {.key = "caFile", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 400},
    {.key = "pinnedKey", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 59},
    {.key = "reach",
     .kind = SCHEMA_ARRAY,
     .minimum = 1,
     .maximum = SITE_MAX_REACH,
     .item = &reach_item,
     .help = "what its hooks may talk to beside it"},
    {.key = "mode", .kind = SCHEMA_ENUM, .one_of = site_modes},
    {.key = "phases", .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = 3},
    {.key = "shareRank",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = 1000,
     .help = "who is served first of a cluster's limit: the lower one; 500 when left out"},
    {.key = "phaseRotation",
     .kind = SCHEMA_ENUM,
     .one_of = rotations,
     .help = "which phases of the site its own are, RST when left out"},
    {.key = "failsafe",
     .kind = SCHEMA_OBJECT,
     .fields = failsafe_fields,
     .help = "what it does by itself when nobody talks to it"},
    {.key = "limits", .kind = SCHEMA_OBJECT, .fields = limits_fields},
    {.key = "fallback", .kind = SCHEMA_OBJECT, .fields = fallback_fields},
    {.key = "parameters",
     .kind = SCHEMA_MAP,
     .item = &site_any_item,
     .help = "as its driver declares them"},
    {0},
};
const struct schema site_device_item = {.kind = SCHEMA_OBJECT, .fields = device_fields};

static void read_limits(const json_t *entry, struct site_limits *limits) {
    const json_t *given = json_object_get(entry, "limits");
    limits->min_active_power = tree_number(given, "minActivePower", NAN);
    limits->max_active_power = tree_number(given, "maxActivePower", NAN);
    limits->max_current = tree_number(given, "maxCurrent", NAN);
}

static void read_sharing(const json_t *entry, struct site_device *device) {
    const json_t *failsafe = json_object_get(entry, "failsafe");
    device->share_rank = (int)tree_integer(entry, "shareRank", DEFAULT_SHARE_RANK);
    device->has_failsafe = failsafe != NULL;
    device->failsafe.lo = (int32_t)tree_integer(failsafe, "minActivePower", 0);
    device->failsafe.hi = (int32_t)tree_integer(failsafe, "maxActivePower", 0);
    const char *rotation = tree_string(entry, "phaseRotation", "RST");
    for (size_t i = 0; i < 3 && rotation[i]; i++) /* a wrong one has been told */
        device->phases_of_site[i] = (rotation[i] - 'R') % 3;
}

static void read_fallback(const json_t *entry, struct site_device *device, struct report *report) {
    const json_t *given = json_object_get(entry, "fallback");
    struct wish_fallback *fallback = &device->fallback;
    device->has_fallback = given != NULL;
    fallback->has_set = json_object_get(given, "activePower") != NULL;
    fallback->has_min = json_object_get(given, "minActivePower") != NULL;
    fallback->has_max = json_object_get(given, "maxActivePower") != NULL;
    fallback->set = (int32_t)tree_integer(given, "activePower", 0);
    fallback->min = (int32_t)tree_integer(given, "minActivePower", 0);
    fallback->max = (int32_t)tree_integer(given, "maxActivePower", 0);
    if (fallback->has_min && fallback->has_max && fallback->min > fallback->max) {
        char place[96];
        snprintf(place, sizeof place, "%s.fallback", device->where);
        report_add(report, place, "minActivePower %d is above maxActivePower %d", fallback->min,
                   fallback->max);
    }
}

struct site_device *site_device_new(json_t *entry, const struct site_cluster *cluster,
                                    const char *where) {
    struct site_device *device = calloc(1, sizeof *device);
    const char *key = tree_string(entry, "key", "");
    size_t length = strlen(cluster->key) + 1 + strlen(key) + 1;
    char *path = device ? malloc(length + strlen(where) + 1) : NULL;
    if (!path) {
        free(device);
        return NULL;
    }
    atomic_init(&device->references, 1);
    device->entry = json_incref(entry);
    device->key = key;
    device->name = tree_string(entry, "name", key);
    device->path = path;
    device->where = path + length;
    snprintf(path, length, "%s/%s", cluster->key, key);
    memcpy(path + length, where, strlen(where) + 1);
    return device;
}

struct site_device *site_device_hold(const struct site_device *device) {
    struct site_device *held = (struct site_device *)device;
    atomic_fetch_add_explicit(&held->references, 1, memory_order_relaxed);
    return held;
}

void site_device_release(struct site_device *device) {
    if (!device || atomic_fetch_sub_explicit(&device->references, 1, memory_order_release) != 1)
        return;
    atomic_thread_fence(memory_order_acquire);
    site_access_free(device->access);
    json_decref(device->entry);
    free(device->path);
    free(device);
}

const struct site_device *site_device_find(const struct site_cluster *cluster, const char *key) {
    for (size_t i = 0; i < cluster->device_count; i++)
        if (strcmp(cluster->devices[i]->key, key) == 0)
            return cluster->devices[i];
    return NULL;
}

void site_read_device(const json_t *entry, const struct site_cluster *cluster,
                      struct site_device *device, struct report *report) {
    device->driver = tree_string(entry, "driver", "");
    device->link = tree_string(entry, "link", "");
    device->as = tree_string(entry, "as", "");
    device->role = tree_string(entry, "role", "");
    device->serial_number = tree_string(entry, "serialNumber", "");
    device->unit = (int)tree_integer(entry, "unit", 1);
    device->phases = (int)tree_integer(entry, "phases", 0);
    device->observe =
        cluster->observe || strcmp(tree_string(entry, "mode", "control"), "observe") == 0;
    device->parameters = json_object_get(entry, "parameters");
    site_check_key(device->key, device->where, report);
    char why[320], place[96];
    if (device->link[0] && !wire_url_valid(device->link, why, sizeof why)) {
        snprintf(place, sizeof place, "%s.link", device->where);
        report_add(report, place, "%s", why);
    }
    if (link_url_serial(device->link) &&
        (device->unit < RTU_UNIT_FIRST || device->unit > RTU_UNIT_LAST)) {
        snprintf(place, sizeof place, "%s.unit", device->where);
        report_add(report, place, "units of a serial line are %d to %d, got %d", RTU_UNIT_FIRST,
                   RTU_UNIT_LAST, device->unit);
    }
    read_limits(entry, &device->limits);
    read_sharing(entry, device);
    read_fallback(entry, device, report);
}

/* Each device is compared with each; what cannot be alike is told by these, not by its texts. */
struct likeness {
    uint32_t key, port; /* of the link, its options aside */
};

static void check_pair(const struct site_device *a, const struct site_device *b,
                       struct report *report) {
    if (link_url_clash(a->link, b->link))
        report_add(report, b->where,
                   "%s is on the same port with other options (%s): all devices of a port "
                   "name it in the same words",
                   a->key, a->link);
    if (b->key[0] && strcmp(a->key, b->key) == 0)
        report_add(report, b->where, "the key \"%s\" is taken by %s", b->key, a->where);
    else if (b->link[0] && strcmp(a->link, b->link) == 0 && a->unit == b->unit &&
             (strcmp(a->driver, b->driver) != 0 || strcmp(a->as, b->as) == 0))
        report_add(report, b->where,
                   "%s is already at %s unit %d: one machine has one driver, and each of "
                   "its parts (as = ...) is taken once",
                   a->key, a->link, a->unit);
}

void site_check_devices(const struct site_cluster *cluster, struct report *report) {
    struct site_device *const *devices = cluster->devices;
    struct likeness *like = calloc(cluster->device_count + 1, sizeof *like);
    for (size_t i = 0; like && i < cluster->device_count; i++)
        like[i] = (struct likeness){.key = likeness_of(devices[i]->key, '\0'),
                                    .port = likeness_of(devices[i]->link, '?')};
    for (size_t i = 0; i < cluster->device_count; i++)
        for (size_t j = 0; j < i; j++)
            if (!like || like[i].key == like[j].key || like[i].port == like[j].port)
                check_pair(devices[j], devices[i], report);
    free(like);
}
