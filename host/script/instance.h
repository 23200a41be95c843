/* An instance of a policy on a cluster: its parameters, its state, its clock. Its proposals become
 * constraints in memory with a lease; each tick replaces them in one turn. Engine thread. */
#ifndef DERD_INSTANCE_H
#define DERD_INSTANCE_H

#include "engine.h"
#include "script/policy.h"

struct instance {
    struct instance *next;
    struct engine *engine;
    struct site_policy site;
    json_t *entry; /* one reference: `site` borrows from it */
    char cluster_key[KEY_SIZE];
    char created_by[CREATOR_SIZE]; /* "policy:home/solar" */
    struct generation *generation; /* NULL while its policy is missing or does not fit */
    json_t *parameters;
    json_t *state;
    bool state_changed;
    bool ticked;
    struct mono last_tick;
    struct caller caller;
    unsigned ticks;       /* without an error, of this generation */
    json_t *state_before; /* of the generation before, while this one is on probation; or NULL */
    char error[SCRIPT_ERROR_SIZE]; /* of the last tick, "" when it went well */
    uint64_t failures;
    uv_timer_t timer;
};

struct instance *instance_new(struct engine *engine, const struct site_policy *site,
                              const char *cluster_key);
void instance_close(struct instance *instance); /* withdraws its proposals */
/* Takes a generation whose parameters fit; false with mistakes (the old one goes on). */
bool instance_take(struct instance *instance, struct generation *generation, struct report *report);
/* The site has changed: one whose parameters do not fit any longer (a device has left) rests until
 * a generation can be taken again. Its last proposals hold until their lease ends. */
void instance_rest_unless_fit(struct instance *instance);
/* Takes the generation before this one again, with the state as it was then. */
void instance_back(struct instance *instance, struct generation *old, struct report *report);
/* Its generation has proven itself. */
void instance_proven(struct instance *instance);
/* A device of the cluster has a fresh sample: instances that follow it tick when it is time. */
void instance_sampled(struct device *device);
/* A device's measurement went stale: set points that rest on it are dropped, bounds stay. */
void instance_stale(struct device *device);
/* True when an instance that has not ticked yet may still have an opinion on this device. */
bool instance_awaited(const struct device *device);
void instance_save(struct instance *instance);

#endif
