/* What the files that read the site file share: site.c (the whole, clusters, policies), site_http.c
 * and site_device.c. For these alone. */
#ifndef DERD_SITE_INTERNAL_H
#define DERD_SITE_INTERNAL_H

#include "base/schema.h"
#include "site.h"

#define SITE_NO_MEMORY      "there is no memory to read it"
#define SITE_POWER_SENSIBLE 1e9 /* W: what is beyond it is a mistake */

/* Rows of `limits`: of a device, and of a cluster, which has one more. */
#define SITE_LIMITS_FIELDS                                                                         \
    {.key = "minActivePower",                                                                      \
     .kind = SCHEMA_INTEGER,                                                                       \
     .minimum = -SITE_POWER_SENSIBLE,                                                              \
     .maximum = 0,                                                                                 \
     .help = "W: at most this much may be given (0 or negative)"},                                 \
        {.key = "maxActivePower",                                                                  \
         .kind = SCHEMA_INTEGER,                                                                   \
         .minimum = 0,                                                                             \
         .maximum = SITE_POWER_SENSIBLE,                                                           \
         .help = "W: at most this much may be taken"},                                             \
    {                                                                                              \
        .key = "maxCurrent", .kind = SCHEMA_NUMBER, .minimum = 0, .maximum = 10000,                \
        .help = "A per phase: the fuse"                                                            \
    }

extern const char *const site_modes[]; /* "control", "observe", NULL */
extern const struct schema site_any_item;
extern const struct schema site_http_fields[]; /* of "http" */
extern const struct schema site_device_item;

/* Tells of a key that cannot stand in URLs; `where`: of what has it. */
void site_check_key(const char *key, const char *where, struct report *report);

/* Each reads its part of site->tree, whatever its form, and tells what is wrong with what it says:
 * the listener and what one client may ask for, then the rest of "http". */
void site_read_http(struct site *site, struct report *report);
void site_read_webhooks(struct site *site, struct report *report);
void site_read_service(struct site *site, struct report *report);
void site_read_proxies(struct site *site, struct report *report);

/* An entry with its names, one reference; NULL without memory. */
struct site_device *site_device_new(json_t *entry, const struct site_cluster *cluster,
                                    const char *where);
/* The rest of it, but for how it is got at. */
void site_read_device(const json_t *entry, const struct site_cluster *cluster,
                      struct site_device *device, struct report *report);
/* Two parts of one machine, or two devices of one name, in one cluster. */
void site_check_devices(const struct site_cluster *cluster, struct report *report);

#endif
