/* The site file: what stands where, as data. Lua that may only return data; this module checks it
 * and gives it as a struct. Pure; what becomes of it is apply.c's business.
 *
 * Everything that can be checked without drivers and policies is checked here, all mistakes at
 * once; parameters, parts and policies are checked where they meet their scripts. */
#ifndef DERD_SITE_H
#define DERD_SITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/report.h"
#include "control.h"
#include "directory.h"
#include "driver.h"

#define SITE_PATH_SIZE    (2 * KEY_SIZE)
#define SITE_FILE_MAXIMUM (4U << 20)

struct site_device {
    char key[KEY_SIZE];
    char path[SITE_PATH_SIZE]; /* "home/wallbox" */
    char where[64];            /* "clusters[1].devices[4]", for mistakes */
    char name[KEY_SIZE];
    char driver[DRIVER_NAME_SIZE];
    char link[160];
    int unit;
    char as[POINT_NAME_SIZE];
    char role[KEY_SIZE];
    char serial_number[IDENTITY_SIZE]; /* "": whichever is seen first */
    bool observe;
    int phases; /* 0: what the device or its parameters say */
    struct site_limits limits;
    bool has_fallback;
    struct wish_fallback fallback;
    const json_t *parameters; /* borrowed from the tree, or NULL */
    const json_t *entry;      /* the whole entry, to see whether it changed */
};

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
    char id[ID_SIZE]; /* "" until the engine gives it one */
    char name[129];
    char account[KEY_SIZE];
    bool observe;
    struct site_device *devices;
    size_t device_count;
    struct site_policy *policies;
    size_t policy_count;
};

struct site {
    json_t *tree;
    char listen[80];
    int threads;
    char store_directory[512];
    char folder[512]; /* where the file stands; scripts are looked for here first */
    int64_t horizon_ms;
    struct site_cluster *clusters;
    size_t cluster_count;
};

/* Reads and checks the file; NULL with every mistake. */
struct site *site_load(const char *path, struct report *report);
/* The same from a tree (stolen). `folder`: where relative paths start. */
struct site *site_parse(json_t *tree, const char *folder, struct report *report);
void site_free(struct site *site);

#endif
