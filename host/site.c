#include "site.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/guesses.h"
#include "api/rates.h"
#include "base/address.h"
#include "base/likeness.h"
#include "base/luadata.h"
#include "base/schema.h"
#include "base/text.h"
#include "io/reach.h"
#include "link/link.h"
#include "link/rtu_settings.h"
#include "link/wire.h"
#include "site_access.h"
#include "site_log.h"

#define NO_MEMORY             "there is no memory to read it"
#define DEFAULT_LISTEN        "127.0.0.1:8080"
#define DEFAULT_SERVICE       "127.0.0.1:8079"
#define DEFAULT_HORIZON_HOURS 25
#define DEFAULT_SHARE_RANK    500
#define POWER_SENSIBLE        1e9

static const char *const modes[] = {"control", "observe", NULL};

#define LIMITS_FIELDS                                                                              \
    {.key = "minActivePower",                                                                      \
     .kind = SCHEMA_INTEGER,                                                                       \
     .minimum = -POWER_SENSIBLE,                                                                   \
     .maximum = 0,                                                                                 \
     .help = "W: at most this much may be given (0 or negative)"},                                 \
        {.key = "maxActivePower",                                                                  \
         .kind = SCHEMA_INTEGER,                                                                   \
         .minimum = 0,                                                                             \
         .maximum = POWER_SENSIBLE,                                                                \
         .help = "W: at most this much may be taken"},                                             \
    {                                                                                              \
        .key = "maxCurrent", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 10000,                \
        .help = "A per phase: the fuse"                                                            \
    }

static const struct schema limits_fields[] = {LIMITS_FIELDS, {0}};

static const char *const scopes[] = {"connection", "controllable", NULL};

static const struct schema cluster_limits_fields[] = {
    LIMITS_FIELDS,
    {.key = "scope",
     .kind = SCHEMA_ENUM,
     .one_of = scopes,
     .help = "connection (what the grid meter shows) when left out, or controllable"},
    {0},
};

static const struct schema failsafe_fields[] = {
    {.key = "minActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -POWER_SENSIBLE,
     .maximum = 0,
     .help = "W: it gives at most this much by itself (0 or negative)"},
    {.key = "maxActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = POWER_SENSIBLE,
     .help = "W: it takes at most this much by itself"},
    {0},
};

/* As OCPP names it: which phases of the site (R is L1, S is L2, T is L3) its L1, L2, L3 are. */
static const char *const rotations[] = {"RST", "RTS", "SRT", "STR", "TRS", "TSR", NULL};

static const struct schema fallback_fields[] = {
    {.key = "activePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -POWER_SENSIBLE,
     .maximum = POWER_SENSIBLE,
     .help = "W"},
    {.key = "minActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -POWER_SENSIBLE,
     .maximum = POWER_SENSIBLE,
     .help = "W"},
    {.key = "maxActivePower",
     .kind = SCHEMA_INTEGER,
     .minimum = -POWER_SENSIBLE,
     .maximum = POWER_SENSIBLE,
     .help = "W"},
    {0},
};

static const struct schema any_item = {.kind = SCHEMA_ANY};

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
    {.key = "mode", .kind = SCHEMA_ENUM, .one_of = modes},
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
     .item = &any_item,
     .help = "as its driver declares them"},
    {0},
};
static const struct schema device_item = {.kind = SCHEMA_OBJECT, .fields = device_fields};
static const struct schema policy_item = {.kind = SCHEMA_MAP, .item = &any_item};

static const struct schema cluster_fields[] = {
    {.key = "key", .kind = SCHEMA_STRING, .required = true, .minimum = 1, .maximum = KEY_SIZE - 1},
    {.key = "name", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 128},
    {.key = "account", .kind = SCHEMA_STRING, .minimum = 1, .maximum = KEY_SIZE - 1},
    {.key = "mode", .kind = SCHEMA_ENUM, .one_of = modes},
    {.key = "parent",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = KEY_SIZE - 1,
     .help = "key of the cluster that this one is part of"},
    {.key = "limits", .kind = SCHEMA_OBJECT, .fields = cluster_limits_fields},
    {.key = "maxUncontrolledPower",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = POWER_SENSIBLE,
     .help = "W: what everything that is not controlled here draws at most"},
    {.key = "gridOperator",
     .kind = SCHEMA_OBJECT,
     .fields = operator_site_fields,
     .help = "limits of the grid operator's box"},
    {.key = "devices", .kind = SCHEMA_ARRAY, .item = &device_item},
    {.key = "policies", .kind = SCHEMA_ARRAY, .item = &policy_item},
    {0},
};
static const struct schema cluster_item = {.kind = SCHEMA_OBJECT, .fields = cluster_fields};

static const struct schema allow_item = {.kind = SCHEMA_STRING, .minimum = 1, .maximum = 255};
static const struct schema webhooks_fields[] = {
    {.key = "allow",
     .kind = SCHEMA_ARRAY,
     .item = &allow_item,
     .maximum = 64,
     .help = "addresses, ranges and hosts inside that webhooks may be sent to: \"10.0.0.0/8\""},
    {.key = "retryAfter",
     .kind = SCHEMA_NUMBER,
     .minimum = 0.05,
     .maximum = 3600,
     .help = "s until the first retry, doubled each time; 5 when left out"},
    {.key = "giveUpAfter",
     .kind = SCHEMA_NUMBER,
     .minimum = 0.1,
     .maximum = 7 * 86400,
     .help = "s until a webhook that only fails is disabled; a day when left out"},
    {0},
};

static const struct schema http_fields[] = {
    {.key = "listen",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = 79,
     .help = "address:port, 127.0.0.1:8080 when left out"},
    {.key = "service",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = 79,
     .help = "address:port of /health, /ready and /metrics without a token, " DEFAULT_SERVICE
             " when left out; \"off\": none"},
    {.key = "threads", .kind = SCHEMA_INTEGER, .minimum = 4, .maximum = 1024},
    {.key = "streams",
     .kind = SCHEMA_INTEGER,
     .minimum = 1,
     .maximum = 512,
     .help = "most event streams at a time; at most half of the threads"},
    {.key = "proxies",
     .kind = SCHEMA_ARRAY,
     .item = &allow_item,
     .maximum = PROXIES_MAXIMUM,
     .help = "addresses and ranges of the proxies in front, whose X-Forwarded-For is believed: "
             "\"127.0.0.1\""},
    {.key = "rate",
     .kind = SCHEMA_NUMBER,
     .minimum = 0.1,
     .maximum = RATE_MAXIMUM,
     .help = "requests a second that one token may make, 100 when left out"},
    {.key = "burst",
     .kind = SCHEMA_INTEGER,
     .minimum = 1,
     .maximum = RATE_MAXIMUM,
     .help = "requests that it may make at once, 200 when left out"},
    {.key = "guesses",
     .kind = SCHEMA_INTEGER,
     .minimum = 1,
     .maximum = GUESSES_FREE_MAXIMUM,
     .help = "wrong tokens or passwords from one address before it must wait, 5 when left out"},
    {.key = "webhooks", .kind = SCHEMA_OBJECT, .fields = webhooks_fields},
    {0},
};
static const struct schema history_fields[] = {
    {.key = "raw", .kind = SCHEMA_STRING, .help = "samples as they came, \"48h\" when left out"},
    {.key = "minutes", .kind = SCHEMA_STRING, .help = "\"30d\" when left out"},
    {.key = "quarters", .kind = SCHEMA_STRING, .help = "of an hour, \"2y\" when left out"},
    {.key = "days", .kind = SCHEMA_STRING, .help = "\"forever\" when left out"},
    {.key = "decisions", .kind = SCHEMA_STRING, .help = "\"90d\" when left out"},
    {0},
};
static const struct schema store_fields[] = {
    {.key = "directory",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = 400,
     .help = "folder of the database"},
    {.key = "history",
     .kind = SCHEMA_OBJECT,
     .fields = history_fields,
     .help = "how long each level of history is kept"},
    {0},
};
static const struct schema constraints_fields[] = {
    {.key = "maxAhead",
     .kind = SCHEMA_NUMBER,
     .minimum = 1,
     .maximum = 8784,
     .help = "h: how far ahead a constraint may end, 25 when left out"},
    {0},
};
static const struct schema site_fields[] = {
    {.key = "http", .kind = SCHEMA_OBJECT, .fields = http_fields},
    {.key = "store", .kind = SCHEMA_OBJECT, .required = true, .fields = store_fields},
    {.key = "constraints", .kind = SCHEMA_OBJECT, .fields = constraints_fields},
    {.key = "log", .kind = SCHEMA_OBJECT, .fields = site_log_fields},
    {.key = "clusters", .kind = SCHEMA_ARRAY, .required = true, .item = &cluster_item},
    {0},
};
static const struct schema site_schema = {.kind = SCHEMA_OBJECT, .fields = site_fields};

bool site_key_valid(const char *key) {
    for (const char *at = key; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '_' || *at == '-' || *at == '.'))
            return false;
    return key[0] && key[0] != '.';
}

static void check_key(const char *key, const char *where, struct report *report) {
    if (key[0] && !site_key_valid(key)) { /* a missing one has been told */
        char place[96];
        snprintf(place, sizeof place, "%s.key", where);
        report_add(report, place,
                   "\"%s\" cannot stand in a URL: use letters, digits, \"_\", \"-\" and \".\"",
                   key);
    }
}

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

/* An entry with its names; NULL without memory. */
static struct site_device *device_of(json_t *entry, const struct site_cluster *cluster,
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

static void read_device(const json_t *entry, const struct site_cluster *cluster,
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
    check_key(device->key, device->where, report);
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

static void read_policy(const json_t *entry, const struct site_cluster *cluster,
                        struct site_policy *policy, struct report *report) {
    static const struct schema fields[] = {
        {.key = "key",
         .kind = SCHEMA_STRING,
         .required = true,
         .minimum = 1,
         .maximum = KEY_SIZE - 1},
        {.key = "policy",
         .kind = SCHEMA_STRING,
         .required = true,
         .minimum = 1,
         .maximum = DRIVER_NAME_SIZE - 1,
         .help = "the name of a file in policies/, without .lua"},
        {.key = "priority",
         .kind = SCHEMA_INTEGER,
         .required = true,
         .minimum = 0,
         .maximum = 999,
         .help = "policies have 0..999"},
        {0},
    };
    static const struct schema known = {.kind = SCHEMA_OBJECT, .fields = fields};
    json_t *own = json_object();
    for (const struct schema *field = fields; own && field->key; field++)
        if (json_object_get(entry, field->key))
            json_object_set(own, field->key, json_object_get(entry, field->key));
    if (schema_check(&known, own, policy->where, PATH_LUA, report)) {
        text_copy(policy->key, sizeof policy->key, tree_string(own, "key", ""));
        text_copy(policy->policy, sizeof policy->policy, tree_string(own, "policy", ""));
        policy->priority = (int)tree_integer(own, "priority", 0);
        check_key(policy->key, policy->where, report);
    }
    snprintf(policy->path, sizeof policy->path, "%s/%s", cluster->key, policy->key);
    policy->entry = entry;
    json_decref(own);
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

/* Two parts of one machine, or two devices of one name, in one cluster. */
static void check_twins(const struct site_cluster *cluster, struct report *report) {
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
    for (size_t i = 0; i < cluster->policy_count; i++)
        for (size_t j = 0; j < i; j++)
            if (cluster->policies[i].key[0] &&
                strcmp(cluster->policies[i].key, cluster->policies[j].key) == 0)
                report_add(report, cluster->policies[i].where, "the key \"%s\" is taken by %s",
                           cluster->policies[i].key, cluster->policies[j].where);
}

static void read_permanent(const json_t *entry, struct permanent *permanent) {
    const json_t *limits = json_object_get(entry, "limits");
    permanent->scope = SCOPE_CONNECTION;
    (void)scope_parse(tree_string(limits, "scope", ""), &permanent->scope);
    permanent->min = tree_number(limits, "minActivePower", NAN);
    permanent->max = tree_number(limits, "maxActivePower", NAN);
    permanent->current = tree_number(limits, "maxCurrent", NAN);
    permanent->uncontrolled_import = tree_number(entry, "maxUncontrolledPower", NAN);
}

bool site_sees_grid(const struct site_cluster *cluster) {
    return !isnan(cluster->permanent.uncontrolled_import) || site_grid_meter(cluster) != NULL;
}

const struct site_device *site_grid_meter(const struct site_cluster *cluster) {
    for (size_t i = 0; i < cluster->device_count; i++)
        if (strcmp(cluster->devices[i]->role, GRID_ROLE) == 0)
            return cluster->devices[i];
    return NULL;
}

/* A limit of what cannot be known would be a limit that is not kept. */
static void check_permanent(const struct site_cluster *cluster, const char *where,
                            struct report *report) {
    const struct permanent *permanent = &cluster->permanent;
    bool limited = !isnan(permanent->min) || !isnan(permanent->max) || !isnan(permanent->current);
    char place[96];
    snprintf(place, sizeof place, "%s.limits", where);
    if (limited && permanent->scope == SCOPE_CONNECTION && !site_sees_grid(cluster))
        report_add(report, place,
                   "nothing tells what this connection carries: give its meter role = \"grid\", or "
                   "the cluster maxUncontrolledPower, or limit the sum of its controllable devices "
                   "with scope = \"controllable\"");
    const struct site_device *first = site_grid_meter(cluster);
    for (size_t i = 0; i < cluster->device_count; i++)
        if (strcmp(cluster->devices[i]->role, GRID_ROLE) == 0 && cluster->devices[i] != first)
            report_add(report, cluster->devices[i]->where,
                       "role = \"grid\" is taken by %s: a cluster has one grid meter",
                       first->where);
}

/* The box's device is there, and its limit can be known to be kept. */
static void check_grid_operator(const struct site_cluster *cluster, const char *where,
                                struct report *report) {
    const struct operator_site *box = &cluster->grid_operator;
    char place[96];
    if (!box->present)
        return;
    snprintf(place, sizeof place, "%s.gridOperator.scope", where);
    if (box->scope == SCOPE_CONNECTION && !site_sees_grid(cluster))
        report_add(report, place,
                   "nothing tells what this connection carries: give its meter role = \"grid\", or "
                   "the cluster maxUncontrolledPower, or take scope = \"controllable\"");
    snprintf(place, sizeof place, "%s.gridOperator.source.device", where);
    if (box->device[0] && !site_device_find(cluster, box->device))
        report_add(report, place, "there is no device with the key \"%s\" in this cluster",
                   box->device);
}

static void read_cluster(const json_t *entry, struct site_cluster *cluster, size_t index,
                         const char *folder, struct report *report) {
    char where[64], place[96];
    snprintf(where, sizeof where, "clusters[%zu]", index + 1);
    cluster->entry = entry;
    text_copy(cluster->key, sizeof cluster->key, tree_string(entry, "key", ""));
    text_copy(cluster->name, sizeof cluster->name, tree_string(entry, "name", cluster->key));
    text_copy(cluster->account, sizeof cluster->account, tree_string(entry, "account", "owner"));
    cluster->observe = strcmp(tree_string(entry, "mode", "control"), "observe") == 0;
    check_key(cluster->key, where, report);
    text_copy(cluster->parent, sizeof cluster->parent, tree_string(entry, "parent", ""));
    read_permanent(entry, &cluster->permanent);
    const json_t *devices = json_object_get(entry, "devices");
    const json_t *policies = json_object_get(entry, "policies");
    cluster->devices = calloc(json_array_size(devices) + 1, sizeof(struct site_device *));
    cluster->policies = calloc(json_array_size(policies) + 1, sizeof *cluster->policies);
    if (!cluster->devices || !cluster->policies) {
        report_add(report, where, NO_MEMORY);
        return;
    }
    cluster->device_count = json_array_size(devices);
    cluster->policy_count = json_array_size(policies);
    for (size_t i = 0; i < cluster->device_count; i++) {
        json_t *device = json_array_get(devices, i);
        snprintf(place, sizeof place, "%s.devices[%zu]", where, i + 1);
        cluster->devices[i] = device_of(device, cluster, place);
        if (!cluster->devices[i]) {
            report_add(report, place, NO_MEMORY);
            cluster->device_count = i;
            break;
        }
        read_device(device, cluster, cluster->devices[i], report);
        site_read_access(device, folder, cluster->devices[i], report);
    }
    for (size_t i = 0; i < cluster->policy_count; i++) {
        snprintf(cluster->policies[i].where, sizeof cluster->policies[i].where, "%s.policies[%zu]",
                 where, i + 1);
        read_policy(json_array_get(policies, i), cluster, &cluster->policies[i], report);
    }
    check_twins(cluster, report);
    check_permanent(cluster, where, report);
    snprintf(place, sizeof place, "%s.gridOperator", where);
    operator_site_read(json_object_get(entry, "gridOperator"), place, &cluster->grid_operator,
                       report);
    check_grid_operator(cluster, where, report);
}

const struct site_cluster *site_cluster_find(const struct site *site, const char *key) {
    for (size_t i = 0; i < site->cluster_count; i++)
        if (strcmp(site->clusters[i].key, key) == 0)
            return &site->clusters[i];
    return NULL;
}

/* A parent that is there, and no cluster above itself. */
static void check_parent(const struct site *site, size_t index, struct report *report) {
    const struct site_cluster *cluster = &site->clusters[index];
    char where[64];
    snprintf(where, sizeof where, "clusters[%zu].parent", index + 1);
    const struct site_cluster *above = cluster;
    for (size_t steps = 0; above && above->parent[0]; steps++) {
        const struct site_cluster *next = site_cluster_find(site, above->parent);
        if (!next && above == cluster)
            report_add(report, where, "there is no cluster with the key \"%s\"", cluster->parent);
        if (next == cluster || steps > site->cluster_count) {
            report_add(report, where, "the cluster would be part of itself");
            return;
        }
        above = next;
    }
}

static void read_webhooks(struct site *site, struct report *report) {
    const json_t *webhooks = json_object_get(json_object_get(site->tree, "http"), "webhooks");
    const json_t *allow = json_object_get(webhooks, "allow");
    site->webhooks.retry_ms = (int64_t)(tree_number(webhooks, "retryAfter", 0) * 1e3);
    site->webhooks.give_up_ms = (int64_t)(tree_number(webhooks, "giveUpAfter", 0) * 1e3);
    site->webhooks.allow = calloc(json_array_size(allow) + 1, sizeof *site->webhooks.allow);
    if (!site->webhooks.allow)
        report_add(report, "http.webhooks.allow", NO_MEMORY);
    for (size_t i = 0; site->webhooks.allow && i < json_array_size(allow); i++) {
        const char *entry = json_string_value(json_array_get(allow, i));
        char why[240];
        char where[64];
        snprintf(where, sizeof where, "http.webhooks.allow[%zu]", i + 1);
        if (entry && !reach_entry_valid(entry, why, sizeof why))
            report_add(report, where, "%s", why);
        else if (entry)
            site->webhooks.allow[site->webhooks.allow_count++] = entry;
    }
}

static void read_proxies(struct site *site, struct report *report) {
    const json_t *proxies = json_object_get(json_object_get(site->tree, "http"), "proxies");
    for (size_t i = 0; i < json_array_size(proxies) && i < PROXIES_MAXIMUM; i++) {
        const char *entry = json_string_value(json_array_get(proxies, i));
        const char *mistake = entry ? proxies_add(&site->proxies, entry) : NULL;
        char where[64];
        snprintf(where, sizeof where, "http.proxies[%zu]", i + 1);
        if (mistake)
            report_add(report, where,
                       "expected the address of a proxy like \"127.0.0.1\", or a range like "
                       "\"10.1.0.0/16\", got \"%.60s\": %s",
                       entry, mistake);
    }
}

static void check_listen(const struct site *site, struct report *report) {
    struct sockaddr_in address;
    if (!address_parse(site->listen, &address))
        report_add(report, "http.listen",
                   "expected an IPv4 address and a port like \"127.0.0.1:8080\", got \"%s\"",
                   site->listen);
}

static void read_service(struct site *site, struct report *report) {
    const json_t *http = json_object_get(site->tree, "http");
    struct sockaddr_in address;
    text_copy(site->service, sizeof site->service, tree_string(http, "service", DEFAULT_SERVICE));
    if (strcmp(site->service, "off") == 0)
        site->service[0] = '\0';
    else if (!address_parse(site->service, &address))
        report_add(report, "http.service",
                   "expected an IPv4 address and a port like \"127.0.0.1:8079\", or \"off\", got "
                   "\"%s\"",
                   site->service);
}

static void read_head(struct site *site, const char *folder) {
    const json_t *http = json_object_get(site->tree, "http");
    text_copy(site->listen, sizeof site->listen, tree_string(http, "listen", DEFAULT_LISTEN));
    site->threads = (int)tree_integer(http, "threads", 64);
    site->streams = (int)tree_integer(http, "streams", 0);
    site->rate = tree_number(http, "rate", RATE_DEFAULT);
    site->burst = tree_number(http, "burst", BURST_DEFAULT);
    site->guesses = (int)tree_integer(http, "guesses", GUESSES_FREE_DEFAULT);
    text_copy(site->folder, sizeof site->folder, folder);
    const char *directory = tree_string(json_object_get(site->tree, "store"), "directory", "");
    if (directory[0] == '/')
        text_copy(site->store_directory, sizeof site->store_directory, directory);
    else
        snprintf(site->store_directory, sizeof site->store_directory, "%.100s/%.400s", folder,
                 directory);
    double hours =
        tree_number(json_object_get(site->tree, "constraints"), "maxAhead", DEFAULT_HORIZON_HOURS);
    site->horizon_ms = (int64_t)(hours * 3600e3);
}

struct site *site_parse(json_t *tree, const char *folder, struct report *report) {
    struct site *site = calloc(1, sizeof *site);
    size_t before = report->total;
    if (!site) {
        report_add(report, "", NO_MEMORY);
        json_decref(tree);
        return NULL;
    }
    /* Where the form is wrong the rest is still read, so that all mistakes come at once. */
    (void)schema_check(&site_schema, tree, "", PATH_LUA, report);
    site->tree = tree;
    read_head(site, folder);
    check_listen(site, report);
    retention_read(json_object_get(json_object_get(tree, "store"), "history"), "store.history",
                   &site->retention, report);
    read_webhooks(site, report);
    read_service(site, report);
    read_proxies(site, report);
    const json_t *clusters = json_object_get(tree, "clusters");
    site->clusters = calloc(json_array_size(clusters) + 1, sizeof *site->clusters);
    site->cluster_count = site->clusters ? json_array_size(clusters) : 0;
    if (!site->clusters)
        report_add(report, "clusters", NO_MEMORY);
    for (size_t i = 0; i < site->cluster_count; i++) {
        read_cluster(json_array_get(clusters, i), &site->clusters[i], i, folder, report);
        for (size_t j = 0; j < i; j++)
            if (site->clusters[i].key[0] &&
                strcmp(site->clusters[i].key, site->clusters[j].key) == 0) {
                char where[64];
                snprintf(where, sizeof where, "clusters[%zu].key", i + 1);
                report_add(report, where, "the key \"%s\" is taken by clusters[%zu]",
                           site->clusters[i].key, j + 1);
            }
    }
    for (size_t i = 0; i < site->cluster_count; i++)
        check_parent(site, i, report);
    if (report->total != before) {
        site_free(site);
        return NULL;
    }
    return site;
}

struct site *site_load(const char *path, struct report *report) {
    size_t length = 0;
    char *text = file_read(path, SITE_FILE_MAXIMUM, &length, report);
    if (!text)
        return NULL;
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    const char *slash = strrchr(path, '/');
    json_t *tree = luadata_load(slash ? slash + 1 : path, text, length, report);
    free(text);
    struct site *site = tree ? site_parse(tree, dirname(copy), report) : NULL;
    if (!site || site_secrets_right(site, report))
        return site;
    site_free(site);
    return NULL;
}

void site_free(struct site *site) {
    if (!site)
        return;
    for (size_t i = 0; i < site->cluster_count; i++) {
        for (size_t j = 0; j < site->clusters[i].device_count; j++)
            site_device_release(site->clusters[i].devices[j]);
        free(site->clusters[i].devices);
        free(site->clusters[i].policies);
    }
    free(site->clusters);
    free(site->webhooks.allow);
    json_decref(site->tree);
    free(site);
}
