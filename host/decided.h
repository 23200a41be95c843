/* What was decided on a device or a cluster, as an immutable snapshot counted by reference: the
 * constraints there were, which were in force, and what became of each. The engine makes one with
 * each change; any thread holds, reads and releases them. */
#ifndef DERD_DECIDED_H
#define DERD_DECIDED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/cluster_limits.h"
#include "constraint.h"
#include "driver.h"

#define KEY_SIZE 65

struct sheet;

struct decided_item {
    struct constraint *constraint; /* one reference; NULL: the device's fallback */
    bool in_force;
    bool set_in_force;      /* its set point too (false after a step or a stale meter) */
    struct verdict verdict; /* of in_force ones; `against` is an index into items */
    bool min_gate_closed, max_gate_closed;
};

struct cluster_share { /* what one device has of its cluster's limits */
    char device_id[ID_SIZE];
    char key[KEY_SIZE];
    bool limited;     /* else its share is all that it can do */
    int32_t min, max; /* W; +-POWER_UNBOUNDED: open */
    char why[240];    /* in plain words */
};

struct share { /* the same, without the words */
    bool limited;
    int32_t min, max;
};

struct cluster_measure {    /* of the connection, as the split took it; NAN: unknown */
    bool metered;           /* by a trusted meter; else by maxUncontrolledPower */
    char meter[KEY_SIZE];   /* key of the device, "": none */
    double power;           /* W */
    double power_phases[3]; /* W */
    double uncontrolled;    /* W */
    double controllable;    /* W: sum of the devices' measured powers */
};

struct cluster_decided { /* of a cluster, beside its constraints */
    struct permanent permanent;
    struct limit limits[SCOPE_COUNT]; /* *_by are indices into the items */
    struct cluster_measure measure;
    char alarm[400]; /* what cannot be reached, in plain words; "" when all is kept */
    struct wall alarm_since;
    bool
        supposed; /* of a preview: how it would be shared out, and whether it could, is not known */
    size_t share_count;
    struct cluster_share *shares;
};

struct decided { /* immutable once published */
    atomic_uint references;
    struct now at;
    bool has_decision;        /* false: the device cannot be controlled */
    struct decision decision; /* *_by are indices into items */
    struct ranges allowed;
    double soc;
    enum device_type type;
    enum no_set_point no_set_point; /* what the device does without a set point */
    struct wish fallback;           /* as walked; has_* all false when there is none */
    struct ranges own;  /* what the device can do without its share of its cluster's limits */
    struct share share; /* that share */
    char *share_why;    /* in plain words, owned; NULL: none */
    struct cluster_decided *cluster; /* owned; NULL: a device's, else only this and items count */
    bool without_sets;               /* set points are not in force: the device is quarantined */
    struct sheet *sheet; /* the constraints as the book has them, in the order of the items; one
                            reference, NULL: none, or it was not the engine that made it */
    size_t count;
    /* Every unexpired constraint in arbiter_order(), fallback last. NULL in what the engine
     * publishes of a device, unless there is the fallback alone: decided_read() makes them. */
    struct decided_item *items;
};

/* With one reference, or NULL without memory. Items are zeroed. */
struct decided *decided_new(size_t count);
struct decided *decided_new_bare(size_t count); /* without items */
struct decided *decided_new_cluster(size_t count, size_t share_count);
/* Room for `count` items, and all else as in `from` but the items, the sheet, and of a cluster its
 * limits and shares. */
struct decided *decided_frame(const struct decided *from, size_t count);
/* A published one with its items: the verdicts are those of another walk of the same input. Held.
 */
struct decided *decided_read(struct decided *published);
struct decided *decided_hold(struct decided *decided);
void decided_release(struct decided *decided); /* NULL is fine */

/* Constraints that are in force, and those that have yet to begin. */
void decided_count(const struct decided *decided, struct wall now, size_t *in_force,
                   size_t *scheduled);
/* Who it is that a *_by names: the id of a constraint (in `id`), "fallback", "device", "site"; NULL
 * for nobody. Needs no items. */
const char *decided_name(const struct decided *decided, int by, char id[ID_SIZE]);

#endif
