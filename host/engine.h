/* The engine: one thread, one loop, that owns every link, machine, device, script and policy, and
 * never blocks. Written as shard 0 of N, though N is 1: a device belongs to one engine, a cluster's
 * devices to the same one, and nothing here is global.
 *
 *   link -> machine (polls, commands) -> device (flexibility, constraints, decision) -> directory
 *                                            ^                                             |
 *                          instance (policy) -+        ask (REST) -> inbox -> device      API reads
 */
#ifndef DERD_ENGINE_H
#define DERD_ENGINE_H

#include <stdbool.h>
#include <uv.h>

#include "ask/inbox.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/report.h"
#include "directory.h"
#include "engine_figures.h"
#include "events/announce.h"
#include "inventory.h"
#include "link/link.h"
#include "recall.h"
#include "roster.h"
#include "script/guard.h"
#include "script/library.h"
#include "site.h"
#include "stash.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

/* After this long without a first tick of the policies that name a device, its fallback is sent. */
#define ENGINE_GRACE_MS 15000

/* Where scripts are looked for, in this order. */
enum script_folder {
    FOLDER_SITE,    /* beside the site file */
    FOLDER_UPLOADS, /* what came through the API: ENGINE_UPLOADS in the store's folder */
    FOLDER_SHARED,  /* installed */
    FOLDER_COUNT
};
#define ENGINE_UPLOADS "scripts"

struct machine;
struct device;
struct instance;
struct ask;
struct cluster;

#define WIRE_BUCKETS 1024

struct wire { /* a link in use, by its URL */
    struct wire *next;
    enum link_kind kind;
    struct link *link; /* of Modbus; NULL: hooks talk to it by clients of each machine's own */
    unsigned users;
    struct machine *machines; /* that hang on it */
    char url[];               /* with its NUL */
};

struct engine_settings {
    const char *site_path;
    const char *shared_folder; /* where the installed drivers/, policies/ and web/ stand */
    int64_t clock_shift_ms;
    const char *clock_shift_file; /* holds seconds, read again and again; NULL: none */
    struct rehearsal rehearsal;
    bool any_local_port; /* of derd test: ports that devices answer to are not ours to take */
    bool no_history;     /* of derd test and derd probe: nobody will ever ask for it */
};

struct engine {
    uv_loop_t loop;
    struct clock clock;
    struct store *store;
    struct telemetry *telemetry; /* NULL: no history is kept */
    struct library *library;
    struct library_memory scripts_taken; /* the store's texts "script" */
    struct guard guard;
    struct directory_slot directory;
    struct inbox inbox;
    struct events *events;       /* what others may watch */
    struct device *news_waiting; /* whose flexibility was told less than a second ago */
    struct alarms alarms;
    struct site *file;          /* what the site file declares, its clusters with their ids */
    unsigned file_number;       /* how often it was taken anew */
    json_t *site_taken;         /* the file as it was taken last, for the audit log */
    struct inventory inventory; /* what the API made */
    struct site *site;          /* in force: both */
    struct errand *changing;    /* the change of the inventory that is under way, NULL: none */
    struct errand *changes;     /* those that wait for it */
    size_t changes_waiting;
    char site_path[512];
    struct report site_problems; /* of the newest site file, when it could not be taken */
    struct io *io;
    bool any_local_port;
    struct wire *wires[WIRE_BUCKETS]; /* lists, by the likeness of their URLs */
    struct machine *machines;
    struct cluster *clusters; /* in the site file's order */
    struct device *devices;   /* in the site file's order, cluster by cluster */
    struct instance *instances;
    struct roster device_roster, cluster_roster;
    bool lists_change;    /* those of clusters and devices: they are looked through */
    struct recall recall; /* while the site is first built */
    struct stash stash;
    uint64_t last_rank;
    struct ask *asks; /* on their way to the disk */
    size_t ask_count; /* these, and those that wait behind them */
    struct mono started;
    int64_t wall_offset_ms; /* wall - mono at the last second: a step shows */
    uv_timer_t second;
    unsigned seconds;
    const char *clock_shift_file; /* the settings' */
    uv_fs_event_t site_watch;
    uv_timer_t site_settle;
    bool stopping;
    struct engine_figures figures;
    struct engine_second figures_second;
};

/* Opens the store and library, loads constraints, applies the site. NULL with mistakes. */
struct engine *engine_open(const struct engine_settings *settings, struct report *report);
/* Runs until engine_stop(). */
void engine_run(struct engine *engine);
void engine_stop(struct engine *engine); /* from the loop's thread */
/* After engine_run() has returned and the API has stopped. */
void engine_close(struct engine *engine);

/* apply.c. Takes what the site file declares, together with what the API made: what is new starts,
 * what changed is built anew, what is gone stops, all else is left alone. Takes ownership. False
 * with mistakes. */
bool engine_apply(struct engine *engine, struct site *file, struct report *report);
/* The same after what the API made has changed. `site`: the two merged, taken over; NULL: to be
 * merged now. */
bool engine_apply_inventory(struct engine *engine, struct site *site, struct report *report);
/* Whether a device of the site that is to be in force fits its driver, if that is there, and those
 * who share its machine. Places of mistakes begin at the device: ".link". */
bool engine_device_fits(struct engine *engine, const struct site_device *site,
                        struct report *report);
/* Devices and policies whose scripts were missing until now. */
void engine_take_up(struct engine *engine);
void engine_take_policies(struct engine *engine);
/* Whether all devices of a machine can go on with this generation of their driver: fills in their
 * parameters and the places of their parts if so. */
bool engine_driver_fits(struct machine *machine, struct generation *generation,
                        int places[DRIVER_MAX_PARTS], struct report *report);
void engine_watch_site(struct engine *engine);
void engine_look_at_secrets(struct engine *engine); /* takes the site again when one changed */
void engine_unwatch_site(struct engine *engine);
/* Makes and publishes a new directory from what is. */
void engine_publish_directory(struct engine *engine);

struct device *engine_device(struct engine *engine, const char *cluster_key, const char *key);
struct device *engine_device_by_id(struct engine *engine, const char *id);
/* Before the lists of clusters and devices change, and when they have. */
void engine_lists_change(struct engine *engine, bool begins);
struct cluster *engine_cluster(struct engine *engine, const char *key); /* NULL: there is none */
struct cluster *engine_cluster_by_id(struct engine *engine, const char *id);
struct wire *engine_wire_find(struct engine *engine, const char *url); /* NULL: none */
struct wire *engine_wire(struct engine *engine,
                         const char *url); /* one more user, NULL: no memory */
void engine_wire_release(struct engine *engine, struct wire *wire);

#endif
