/* What a device's hooks keep in `dev.state` goes over to a new generation of its driver by value.
 * When the driver says another `stateVersion`, its hooks.migrate(state, fromVersion) makes the new
 * state out of the old one; without it, or when it fails, the device starts with an empty one. The
 * state before is kept until the new generation has proven itself. Engine thread. */
#ifndef DERD_CARRY_H
#define DERD_CARRY_H

#include <jansson.h>

struct device;
struct generation;

struct carried {    /* of a device, beside its state; zeroed at first */
    int version;    /* of the state, as its driver says */
    json_t *before; /* the state before the last migration, or NULL */
    int before_version;
};

/* The device is given its first driver: its state is of this version. */
void carry_start(struct device *device, const struct generation *generation);
/* Before the device goes over to `generation`. */
void carry_over(struct device *device, struct generation *generation);
void carry_forget(struct device *device); /* the state before */

#endif
