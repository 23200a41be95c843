/* The grid operator's box of a cluster, on the engine's thread: what the API or a device tells goes
 * into the states of operator.h, and what holds by them stands in the cluster's book as a
 * constraint made by the host ("gridOperator", with the box's priority, `clamp`, first of its
 * priority): it is walked, split, shown and told like any other, and nobody changes it there.
 *
 * The limit that holds by the box's word is in the store, so that a restart does not release it
 * (operator.h); it is applied first and stored then. */
#ifndef DERD_OPERATOR_BOX_H
#define DERD_OPERATOR_BOX_H

#include "operator/operator_view.h"
#include "store/store.h"

#define OPERATOR_CREATOR "gridOperator"

struct cluster;
struct device;
struct operator_box;
struct site_cluster;

/* What the site file says of it has changed, or is said for the first time; it may be no box. What
 * holds is in the book at once, the caller decides. */
void box_take(struct cluster *cluster, const struct site_cluster *site);
void box_close(struct cluster *cluster); /* keeps what is stored */
/* Before the cluster decides: what time alone has changed is in the book. */
void box_advance(struct cluster *cluster);
/* New values of a device: is it a box, and what does it say? */
void box_sampled(struct device *device);
void box_connected(struct device *device); /* or is not any more: readers are told */

/* From the API; `box` is the cluster's and takes its limits from there. */
struct operator_statement {
    struct operator_limit limit; /* neither: there is none */
    int64_t valid_for_ms;        /* 0: until the box says otherwise */
    char by[CREATOR_SIZE];
    char reason[REASON_SIZE];
};
const struct operator_site *box_site(const struct operator_box *box);
struct operator_slot *box_slot(const struct operator_box *box); /* held by it */
int64_t box_version(const struct operator_box *box);
void box_heartbeat(struct operator_box *box);
/* Counts as a heartbeat. In force when it returns. True: `done` will be called, when the view says
 * whether it is stored; false: it will not, for it is stored already, or cannot be (`*err`). Any
 * thread may call it: the store's does once the engine ends. */
bool box_state_limit(struct operator_box *box, const struct operator_statement *statement,
                     store_done *done, void *context, enum err *err);
/* Now and then: what the store has refused is given to it again. */
void box_keep(struct operator_box *box);

#endif
