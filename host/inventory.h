/* What the API made: clusters and devices as records, beside what the site file declares. The site
 * in force is both, merged: the records are put into a copy of the file's tree, in its own words,
 * and the whole is read by site.h, so that the same checks by the same code hold for both.
 *
 * Where both say something the file wins. A cluster whose key the file has taken stays in force and
 * goes by its id; a device that does not fit beside the file's is not in force until one of them
 * changes; both say so in `clash`. Nothing is ever dropped from the store because of it.
 *
 * Pure; one thread at a time (the engine's). */
#ifndef DERD_INVENTORY_H
#define DERD_INVENTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/report.h"
#include "site.h"
#include "store/store_audit.h"
#include "token.h"

#define INVENTORY_CLUSTERS 1000
#define INVENTORY_DEVICES  2000 /* a change looks at all of them on the engine's thread */
#define CLASH_SIZE         240

struct made { /* a cluster or a device that the API made */
    char id[ID_SIZE];
    char key[KEY_SIZE];      /* for good; the same as the id when nobody chose one */
    char owner[KEY_SIZE];    /* a cluster's account (key), a device's cluster (id) */
    char parent_id[ID_SIZE]; /* of a cluster; "": none */
    json_t *entry;           /* one reference: the site file's fields but for the key */
    int64_t revision;        /* 1, and one more with each change */
    struct wall created_at;
    char clash[CLASH_SIZE]; /* set by inventory_merge(): "" when it is in force as it was made */
};

struct made_list {
    struct made *items;
    size_t count, capacity;
};

struct inventory {
    struct made_list clusters, devices;
};

void inventory_free(struct inventory *inventory);
must_check bool inventory_copy(const struct inventory *from, struct inventory *to);
/* Adds a record, whose entry is taken over in any case; false without memory. */
must_check bool inventory_add(struct inventory *inventory, bool is_device, struct made *made);
struct made *inventory_find(const struct inventory *inventory, bool is_device, const char *id);

/* The site in force: `file` (its clusters have their ids) and the records. Sets each record's
 * clash. `watched` NULL, or the id of a record: what is wrong with it comes as `mistakes`, by the
 * JSON pointers of its resource. NULL without memory. */
struct site *inventory_merge(struct inventory *inventory, const struct site *file,
                             const char *watched, struct report *mistakes);

/* --- changes ------------------------------------------------------------------------------------
 */

enum inventory_verb { INVENTORY_CREATE, INVENTORY_PATCH, INVENTORY_REMOVE };

struct inventory_change {
    enum inventory_verb verb;
    bool is_device;
    char id[ID_SIZE];           /* of what is changed or removed; of a new one: filled in */
    char owner[KEY_SIZE];       /* as in struct made; "" in a patch: as it is */
    bool sets_parent;           /* of a cluster */
    char parent_id[ID_SIZE];    /* "": none */
    json_t *body;               /* borrowed: an object; without accountId and parentId */
    int64_t revision;           /* that it must still have; 0: any */
    struct audit_origin origin; /* for the audit log; of nobody: it is told nothing */
    size_t cluster_count;       /* what its token is for, and what is below; 0: all */
    char clusters[TOKEN_CLUSTERS_MAXIMUM][ID_SIZE];
};

enum inventory_result {
    INVENTORY_CHANGED,
    INVENTORY_SAME,      /* a patch that says what is there already */
    INVENTORY_INVALID,   /* with mistakes */
    INVENTORY_NOT_FOUND, /* it, or the cluster that it should be in */
    INVENTORY_CONFLICT,  /* with a text: the file declares it, it has children, the key is taken */
    INVENTORY_STALE,     /* another revision */
    INVENTORY_FULL,      /* with a text: as many as there may be, or no memory */
};

#define INVENTORY_TEXT_SIZE 400

/* Applies a change to `inventory`, which is the caller's own copy, against the file as it is. On
 * CHANGED `*site` is the site as it would be in force then. `mistakes` may hold some already, which
 * make it INVALID. `now`: when it is made. `text`: for people, "" when there is none. */
enum inventory_result inventory_apply(struct inventory *inventory, const struct site *file,
                                      struct inventory_change *change, struct wall now,
                                      struct site **site, struct report *mistakes,
                                      char text[INVENTORY_TEXT_SIZE]);

/* "clusters[2].devices[1].limits.maxCurrent", behind `skip` characters, as "/limits/maxCurrent". */
void inventory_pointer(const char *where, size_t skip, char *pointer, size_t size);

#endif
