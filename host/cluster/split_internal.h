/* What the files of the split share; nobody else includes this.
 *
 *   split.c       what each device has of each side, in transit too; steps kept; results
 *   split_room.c  uncontrolled load, the room of each budget
 *   split_fill.c  who is served first, steps, equal parts
 *   split_rise.c  against export: who rises before PV is curtailed */
#ifndef DERD_SPLIT_INTERNAL_H
#define DERD_SPLIT_INTERNAL_H

#include "cluster/split.h"

#define IMPORT      0
#define EXPORT      1
#define SPLIT_EXACT 1e-6 /* W: what arithmetic leaves of a whole watt */

struct split_work { /* the arguments of split() */
    struct split_level *levels;
    size_t level_count;
    struct split_device *devices;
    size_t device_count;
    int64_t now_ms;
    int64_t again_ms;
    int side;
    bool quiet; /* offers and raises in transit: who gets a step, and why not, was decided before */
};

double split_positive(double value);
/* One edge of a range as the magnitude of a side; INFINITY: open. */
double split_edge(const struct range *range, int side);
double split_weight(const struct split_device *device, int quantity);
bool split_takes_part(const struct split_device *device);
/* Whether a level is the device's cluster or above it. */
bool split_below(const struct split_work *work, const struct split_device *device, int level);
void split_look_again(struct split_work *work, int64_t at_ms);

/* split_room.c */
void split_sample(struct split_work *work, int level); /* takes a new sample of its meter */
struct split_moment split_window(const struct split_level *level);
/* Rooms of this side before any device has counted; silent ones' `counted` is looked at. */
void split_rooms(struct split_work *work);
void split_charge(struct split_work *work, const struct split_device *device, double watts);
/* The first finite budget that the device draws on and `more` W do not fit into; -1: they fit. */
int split_lacks(struct split_work *work, const struct split_device *device, double more);
bool split_draws_on(const struct split_work *work, const struct split_device *device, int budget);
bool split_is_limited(struct split_work *work, const struct split_device *device);

/* split_fill.c: every device from `base`, already charged, towards `goal`. */
void split_fill(struct split_work *work);

/* split_rise.c: `rise` of every device. */
void split_rises(struct split_work *work);

#endif
