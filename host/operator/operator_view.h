/* The grid operator's box of one cluster as readers see it: a copy under a short lock, renewed with
 * every heartbeat. Shared by reference; any thread. */
#ifndef DERD_OPERATOR_VIEW_H
#define DERD_OPERATOR_VIEW_H

#include "operator/operator_site.h"

struct operator_view {
    struct operator_site site;
    enum operator_state state;
    struct wall since;            /* in this state */
    struct operator_limit limit;  /* in force */
    struct wall until;            /* its end; 0: it has none */
    char stated_by[CREATOR_SIZE]; /* the limit, when it is the box's; "" */
    struct wall stated_at;        /* when first; 0 */
    char reason[REASON_SIZE];     /* as stated; "" */
    struct wall heartbeat_at;     /* the last; 0: none since the host started */
    struct wall missing_at;       /* when it will be missing if none comes; 0: it is */
    struct wall next_change_at;   /* by time alone; 0: none */
    char constraint_id[ID_SIZE];  /* "": none is in force */
    char text[REASON_SIZE];       /* in plain words */
    char silence[160];            /* why nothing is heard of its device; "": it is, or the API's */
    bool alarm;                   /* it is not there, or does not state its limit */
    bool durable;                 /* the limit is on disk */
    int64_t version;              /* another one with each limit and state */
};

struct operator_slot;

struct operator_slot *operator_slot_new(void); /* NULL: no memory */
struct operator_slot *operator_slot_hold(struct operator_slot *slot);
void operator_slot_release(struct operator_slot *slot); /* NULL is fine */
void operator_slot_put(struct operator_slot *slot, const struct operator_view *view);
void operator_slot_get(struct operator_slot *slot, struct operator_view *view);

#endif
