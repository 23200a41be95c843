/* The text of /metrics, made from what is published: the directory's snapshots, counters that need
 * no lock. It waits for nobody (the store's and history's short locks aside), so any thread that
 * may take the time: some 10 ms for 1,000 devices, never the engine's.
 *
 * Labels are keys of clusters and devices, names of scripts, routes of the table, words of the
 * vocabulary: nothing that a request or a device can invent. A value that is unknown is absent, one
 * that is stale as well, and the age of the sample is shown. */
#ifndef DERD_SERVICE_METRICS_H
#define DERD_SERVICE_METRICS_H

#include "api/api_figures.h"
#include "base/buf.h"
#include "directory.h"
#include "engine_figures.h"
#include "service/service_figures.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

#define METRICS_MAXIMUM     ((size_t)16 << 20) /* bytes of the whole text */
#define METRICS_DEVICE_ROOM ((size_t)12 << 20) /* of that for devices */
#define METRICS_SERIES      100000             /* of devices; those of further ones are left out */

typedef bool metrics_sees(void *context, const struct cluster_card *cluster);

struct metrics_sources {
    struct directory *directory; /* NULL: the host is starting */
    struct now now;
    metrics_sees *sees; /* which clusters; NULL: all */
    void *context;
    /* Figures of the whole host, for those who see all of it; NULL: left out. */
    struct store *store;
    struct telemetry *telemetry;
    const struct api_figures *api;
    const struct engine_figures *engine;
    const struct service_figures *service;
    bool host; /* and the rest */
};

/* Into a buffer of METRICS_MAXIMUM. */
void metrics_write(const struct metrics_sources *sources, struct buf *out);

/* metrics_devices.c */
void metrics_write_devices(const struct metrics_sources *sources, struct buf *out);
/* metrics_host.c */
void metrics_write_host(const struct metrics_sources *sources, struct buf *out);

#endif
