/* The site file: what stands where, as data. Lua that may only return data; this module checks it
 * and gives it as a struct. Pure; what becomes of it is apply.c's business.
 *
 * Everything that can be checked without drivers and policies is checked here, all mistakes at
 * once; parameters, parts and policies are checked where they meet their scripts. */
#ifndef DERD_SITE_H
#define DERD_SITE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/remote.h"
#include "base/report.h"
#include "control.h"
#include "directory.h"
#include "driver.h"
#include "operator/operator_site.h"
#include "telemetry/retention.h"

#define SITE_PATH_SIZE    (2 * KEY_SIZE)
#define SITE_FILE_MAXIMUM (4U << 20)
#define SITE_SECRET_SIZE  512
#define SITE_MAX_REACH    8

/* How a device is got at: what few devices have. */
struct site_access {
    char username[64];
    char password_file[512];           /* whole path, "": none */
    char secret[SITE_SECRET_SIZE];     /* what stands in it; never shown */
    char secret_problem[160];          /* why it could not be read, "": it was */
    char ca_file[512], pinned_key[60]; /* of TLS, "": none */
    const char *reach[SITE_MAX_REACH]; /* what its hooks may talk to beside it; borrowed */
    size_t reach_count;
};

/* One entry. Immutable once its site is made, and counted by reference: a device in force holds its
 * own, and sites that hold the same entry share it. Any thread may hold and release one. */
struct site_device {
    atomic_uint references;
    json_t
        *entry; /* the whole entry, to see whether it changed; held: texts are borrowed from it */
    const char *key; /* "" where the entry does not say; the same for all texts */
    const char *name;
    const char *driver;
    const char *link;
    const char *as;
    const char *role;
    const char *serial_number; /* "": whichever is seen first */
    char *path;                /* "home/wallbox" */
    const char *where;         /* "clusters[1].devices[4]", for mistakes; behind `path` */
    char id[ID_SIZE];          /* "" in the file: it belongs to the path */
    int64_t revision;          /* of what the API made; 0: the file declares it */
    struct wall created_at;    /* ms 0: not known */
    int unit;
    bool observe;
    int phases; /* 0: what the device or its parameters say */
    struct site_limits limits;
    int share_rank;        /* who is served first of a cluster's limit: the lower one */
    struct range failsafe; /* W, what it may do by itself when nobody talks to it */
    bool has_failsafe;
    int phases_of_site[3]; /* its L1, L2, L3 hang on these of the site: 0, 1, 2 */
    bool has_fallback;
    struct wish_fallback fallback;
    struct site_access *access; /* owned; NULL: nothing of it is said */
    const json_t *parameters;   /* borrowed from the entry, or NULL */
};

struct site_device *site_device_hold(const struct site_device *device);
void site_device_release(struct site_device *device); /* NULL is fine */
/* How it is got at; never NULL. */
const struct site_access *site_device_access(const struct site_device *device);

struct site_policy {
    char key[KEY_SIZE];
    char path[SITE_PATH_SIZE];
    char where[64];
    char policy[DRIVER_NAME_SIZE];
    int priority;
    const json_t *entry;
};

struct site_cluster {
    char key[KEY_SIZE];
    char id[ID_SIZE];       /* "" until the engine gives it one */
    int64_t revision;       /* of what the API made; 0: the file declares it */
    struct wall created_at; /* ms 0: not known */
    char clash[240];        /* with the file, in words; "": none */
    const json_t *entry;    /* the whole entry, borrowed from the tree */
    char name[129];
    char account[KEY_SIZE];
    char parent[KEY_SIZE];      /* key of the cluster that this one is part of, "": none */
    struct permanent permanent; /* limits, over all devices of it and of those below */
    struct operator_site grid_operator;
    bool observe;
    struct site_device **devices; /* one reference each */
    size_t device_count;
    struct site_policy *policies;
    size_t policy_count;
};

struct site {
    json_t *tree;
    char listen[80];
    char service[80]; /* where the service listener listens; "": nowhere */
    int threads;
    struct proxies proxies; /* in front, that are trusted */
    struct {
        const char **allow; /* of special addresses; the tree's texts, in a list of its own */
        size_t allow_count;
        int64_t retry_ms, give_up_ms;
    } webhooks;
    int streams;        /* most event streams at a time; 0: as api.h says */
    double rate, burst; /* of one token: requests a second, and at once */
    int guesses;        /* wrong tokens or passwords of an address without a wait */
    char store_directory[512];
    struct retention retention; /* of history */
    char folder[512];           /* where the file stands; scripts are looked for here first */
    int64_t horizon_ms;
    struct site_cluster *clusters;
    size_t cluster_count;
};

/* Reads and checks the file; NULL with every mistake. */
struct site *site_load(const char *path, struct report *report);
/* The same from a tree (stolen). `folder`: where relative paths start. */
struct site *site_parse(json_t *tree, const char *folder, struct report *report);
void site_free(struct site *site);
/* Whether it can stand in URLs and in paths of the store. */
bool site_key_valid(const char *key);
/* By key, or NULL. */
const struct site_cluster *site_cluster_find(const struct site *site, const char *key);
const struct site_device *site_device_find(const struct site_cluster *cluster, const char *key);
/* The device that measures the cluster's connection, or NULL. */
const struct site_device *site_grid_meter(const struct site_cluster *cluster);
/* Whether anything tells what the connection carries. */
bool site_sees_grid(const struct site_cluster *cluster);

#endif
