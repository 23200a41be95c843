/* Images for the simulated device, made from a driver's own points: plausible values everywhere,
 * all zeros, all ones, or each point's marker for "not available". A mirror of the table proves
 * that the table is consistent and harmless, never that it is true: that is what specs are for. */
#ifndef DERD_KIT_MIRROR_H
#define DERD_KIT_MIRROR_H

#include <stdbool.h>

#include "driver.h"
#include "kit/registers.h"
#include "sunspec.h"

enum mirror_fill { MIRROR_PLAUSIBLE, MIRROR_ZEROS, MIRROR_ONES, MIRROR_MARKERS };

/* A SunSpec chain with the models of the driver's points; no models for other drivers. */
struct mirror_chain {
    struct sunspec_model models[SUNSPEC_MAX_MODELS];
    size_t count;
    uint16_t base;
};

/* All models that the points name, by id, without those in `left_out`. */
void mirror_chain_make(const struct driver *driver, const uint16_t *left_out, size_t left_out_count,
                       struct mirror_chain *chain);
/* Marker, headers and end model; with `bodies` also the registers behind them, as zeros. */
void mirror_chain_put(const struct mirror_chain *chain, bool bodies, struct registers *registers);
/* Fills in each point wherever the chain (or its wire address) puts it. `marker`: which one of each
 * point's markers (and NaN for floats); points that have fewer keep a plausible value. */
void mirror_fill(const struct driver *driver, const struct mirror_chain *chain,
                 enum mirror_fill fill, int marker, struct registers *registers);
/* Points that show what was written elsewhere take it over, as the device would do by itself. Not
 * those of SunSpec models. `driver`: a struct driver. */
void mirror_follow(const void *driver, struct registers *registers);
/* Whether `marker` of this point exists. */
bool mirror_has_marker(const struct point *point, int marker);
int mirror_marker_count(const struct driver *driver); /* the most of any point */

#endif
