/* A cluster as the engine has it: its own book of constraints, the limits that are in force on it
 * (cluster_limits.h), and the split of these over the devices (split.h, cluster_split.c). Clusters
 * may stand inside each other; a limit of one is over all devices of it and of those below. Engine
 * thread; what others may see is published through its slot. */
#ifndef DERD_CLUSTER_H
#define DERD_CLUSTER_H

#include "book.h"
#include "cluster/cluster_limits.h"
#include "cluster/split.h"
#include "engine.h"
#include "operator/operator_box.h"

struct device;

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
    struct operator_box *box;              /* the grid operator's, NULL: none */
    struct limit limits[SCOPE_COUNT];      /* in force; *_by are indices into the book */
    struct verdict verdicts[BOOK_MAXIMUM]; /* of each of the book's entries */
    bool in_force[BOOK_MAXIMUM];
    struct decided_slot *slot;
    struct announced_decision announced;
    struct split_level level; /* of the last split; its state goes into the next one */
    char alarm[400];          /* what cannot be reached, "" when all is kept */
    struct wall alarm_since;
    uv_timer_t wake;
    /* Of a cluster without a parent, for all below it: */
    bool bound;       /* a limit is in force somewhere: shares are given */
    bool split_due;   /* something has changed since the last split */
    uv_timer_t split; /* when to split again */
    int handles;      /* that are being closed */
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
/* Shows readers what is decided, and how it was split. */
void cluster_publish(struct cluster *cluster, struct now now);

/* cluster_split.c */

/* Splits over all devices of the whole tree that the cluster stands in; each device whose share has
 * changed decides anew, those that are to go down first. */
void cluster_split(struct cluster *cluster);
/* A device has decided, was measured, told, lost or found: when its cluster's split depends on it
 * and it is not as it was, the split is made in the next turn of the loop. Costs next to nothing
 * while no limit of a cluster is in force. */
void cluster_touch(struct device *device);
/* A device that has come back has its share before it is told anything. */
void cluster_arrive(struct device *device);
/* Makes that split now. */
void cluster_settle(struct device *device);
/* Everything that stands in its way is told by the shares of `decided`. */
void cluster_fill_split(struct cluster *cluster, struct decided *decided);
size_t cluster_share_count(const struct cluster *cluster);

#endif
