/* A cluster as the engine has it: its own book of constraints, the limits that are in force on it
 * (cluster_limits.h), and the split of these over the devices (split.h, cluster_split.c). Clusters
 * may stand inside each other; a limit of one is over all devices of it and of those below. Engine
 * thread; what others may see is published through its slot. */
#ifndef DERD_CLUSTER_H
#define DERD_CLUSTER_H

#include "book.h"
#include "cluster_limits.h"
#include "engine.h"

struct cluster {
    struct cluster *next;
    struct engine *engine;
    struct cluster *parent; /* NULL: none */
    char id[ID_SIZE];
    char key[KEY_SIZE];
    struct permanent permanent;
    bool observe;
    bool sees_grid;
    struct book book;
    struct limit limits[SCOPE_COUNT];      /* in force; *_by are indices into the book */
    struct verdict verdicts[BOOK_MAXIMUM]; /* of each of the book's entries */
    bool in_force[BOOK_MAXIMUM];
    struct decided_slot *slot;
    struct announced_decision announced;
    uv_timer_t wake;
};

/* Its constraints are taken out of the engine's stash. NULL: no memory. */
struct cluster *cluster_new(struct engine *engine, const struct site_cluster *site);
/* What the site file says of it has changed, or is said for the first time. */
void cluster_take(struct cluster *cluster, const struct site_cluster *site);
struct subject cluster_subject(const struct cluster *cluster); /* of its events */
void cluster_close(struct cluster *cluster);
/* Its constraints changed: decides anew and splits. */
void cluster_decide_changed(struct cluster *cluster);
/* The same when only time may have passed. */
void cluster_decide(struct cluster *cluster);

#endif
