/* The site file as a whole, its clusters and their policies. What stands in "http" is site_http.c's
 * business, a device site_device.c's. */
#include "site.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "base/schema.h"
#include "base/text.h"
#include "site_access.h"
#include "site_internal.h"
#include "site_log.h"

#define DEFAULT_HORIZON_HOURS 25

const char *const site_modes[] = {"control", "observe", NULL};

static const char *const scopes[] = {"connection", "controllable", NULL};

static const struct schema cluster_limits_fields[] = {
    SITE_LIMITS_FIELDS,
    {.key = "scope",
     .kind = SCHEMA_ENUM,
     .one_of = scopes,
     .help = "connection (what the grid meter shows) when left out, or controllable"},
    {0},
};

const struct schema site_any_item = {.kind = SCHEMA_ANY};
static const struct schema policy_item = {.kind = SCHEMA_MAP, .item = &site_any_item};

static const struct schema cluster_fields[] = {
    {.key = "key", .kind = SCHEMA_STRING, .required = true, .minimum = 1, .maximum = KEY_SIZE - 1},
    {.key = "name", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 128},
    {.key = "account", .kind = SCHEMA_STRING, .minimum = 1, .maximum = KEY_SIZE - 1},
    {.key = "mode", .kind = SCHEMA_ENUM, .one_of = site_modes},
    {.key = "parent",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = KEY_SIZE - 1,
     .help = "key of the cluster that this one is part of"},
    {.key = "limits", .kind = SCHEMA_OBJECT, .fields = cluster_limits_fields},
    {.key = "maxUncontrolledPower",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = SITE_POWER_SENSIBLE,
     .help = "W: what everything that is not controlled here draws at most"},
    {.key = "gridOperator",
     .kind = SCHEMA_OBJECT,
     .fields = operator_site_fields,
     .help = "limits of the grid operator's box"},
    {.key = "devices", .kind = SCHEMA_ARRAY, .item = &site_device_item},
    {.key = "policies", .kind = SCHEMA_ARRAY, .item = &policy_item},
    {0},
};
static const struct schema cluster_item = {.kind = SCHEMA_OBJECT, .fields = cluster_fields};

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
    {.key = "http", .kind = SCHEMA_OBJECT, .fields = site_http_fields},
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

void site_check_key(const char *key, const char *where, struct report *report) {
    if (key[0] && !site_key_valid(key)) { /* a missing one has been told */
        char place[96];
        snprintf(place, sizeof place, "%s.key", where);
        report_add(report, place,
                   "\"%s\" cannot stand in a URL: use letters, digits, \"_\", \"-\" and \".\"",
                   key);
    }
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
        site_check_key(policy->key, policy->where, report);
    }
    snprintf(policy->path, sizeof policy->path, "%s/%s", cluster->key, policy->key);
    policy->entry = entry;
    json_decref(own);
}

static void check_policies(const struct site_cluster *cluster, struct report *report) {
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
    site_check_key(cluster->key, where, report);
    text_copy(cluster->parent, sizeof cluster->parent, tree_string(entry, "parent", ""));
    read_permanent(entry, &cluster->permanent);
    const json_t *devices = json_object_get(entry, "devices");
    const json_t *policies = json_object_get(entry, "policies");
    cluster->devices = calloc(json_array_size(devices) + 1, sizeof(struct site_device *));
    cluster->policies = calloc(json_array_size(policies) + 1, sizeof *cluster->policies);
    if (!cluster->devices || !cluster->policies) {
        report_add(report, where, SITE_NO_MEMORY);
        return;
    }
    cluster->device_count = json_array_size(devices);
    cluster->policy_count = json_array_size(policies);
    for (size_t i = 0; i < cluster->device_count; i++) {
        json_t *device = json_array_get(devices, i);
        snprintf(place, sizeof place, "%s.devices[%zu]", where, i + 1);
        cluster->devices[i] = site_device_new(device, cluster, place);
        if (!cluster->devices[i]) {
            report_add(report, place, SITE_NO_MEMORY);
            cluster->device_count = i;
            break;
        }
        site_read_device(device, cluster, cluster->devices[i], report);
        site_read_access(device, folder, cluster->devices[i], report);
    }
    for (size_t i = 0; i < cluster->policy_count; i++) {
        snprintf(cluster->policies[i].where, sizeof cluster->policies[i].where, "%s.policies[%zu]",
                 where, i + 1);
        read_policy(json_array_get(policies, i), cluster, &cluster->policies[i], report);
    }
    site_check_devices(cluster, report);
    check_policies(cluster, report);
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

static void read_head(struct site *site, const char *folder) {
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
        report_add(report, "", SITE_NO_MEMORY);
        json_decref(tree);
        return NULL;
    }
    /* Where the form is wrong the rest is still read, so that all mistakes come at once. */
    (void)schema_check(&site_schema, tree, "", PATH_LUA, report);
    site->tree = tree;
    read_head(site, folder);
    site_read_http(site, report);
    retention_read(json_object_get(json_object_get(tree, "store"), "history"), "store.history",
                   &site->retention, report);
    site_read_webhooks(site, report);
    site_read_service(site, report);
    site_read_proxies(site, report);
    const json_t *clusters = json_object_get(tree, "clusters");
    site->clusters = calloc(json_array_size(clusters) + 1, sizeof *site->clusters);
    site->cluster_count = site->clusters ? json_array_size(clusters) : 0;
    if (!site->clusters)
        report_add(report, "clusters", SITE_NO_MEMORY);
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
