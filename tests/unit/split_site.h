/* A site for tests of the split: levels and devices by name, asked at moments of the test's choice.
 */
#ifndef DERD_TESTS_SPLIT_SITE_H
#define DERD_TESTS_SPLIT_SITE_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "cluster/split.h"

#define SITE_LEVELS  4
#define SITE_DEVICES 12

struct split_site {
    struct split_level levels[SITE_LEVELS];
    size_t level_count;
    struct split_device devices[SITE_DEVICES];
    size_t device_count;
    int64_t now_ms, again_ms;
};

static inline struct split_level *site_level(struct split_site *site, int parent) {
    struct split_level *level = &site->levels[site->level_count++];
    *level = (struct split_level){
        .parent = parent, .declared = NAN, .metered = {NAN, NAN, NAN, NAN}, .window_ms = 8000};
    for (int scope = 0; scope < SCOPE_COUNT; scope++)
        level->limits[scope] = limit_none();
    return level;
}

static inline struct split_site site_new(void) {
    struct split_site site = {.now_ms = 1000};
    site_level(&site, -1);
    return site;
}

/* A device that is reached, at rest, told nothing but 0, on all three phases. */
static inline struct split_device *site_device(struct split_site *site, const char *id,
                                               enum device_type type, int32_t lo, int32_t hi) {
    struct split_device *device = &site->devices[site->device_count++];
    *device = (struct split_device){.id = id,
                                    .type = type,
                                    .rank = 500,
                                    .own = ranges_of(lo, hi),
                                    .wants = {lo, hi},
                                    .may = {lo, hi},
                                    .power = 0,
                                    .phases = {NAN, NAN, NAN},
                                    .weight = {1 / 3.0, 1 / 3.0, 1 / 3.0},
                                    .has_held = true,
                                    .nameplate = {lo, hi}};
    return device;
}

/* A car that takes 6 to 16 A on one phase (0, 1, 2) or on all (-1). */
static inline struct split_device *site_car(struct split_site *site, const char *id, int phase) {
    int32_t phases = phase < 0 ? 3 : 1;
    struct split_device *car = site_device(site, id, DEVICE_CHARGING_STATION, 0, phases * 3680);
    car->own = ranges_of(0, 0);
    (void)ranges_add(&car->own, phases * 1380, phases * 3680);
    car->least = phases * 1380;
    for (int i = 0; i < 3 && phase >= 0; i++)
        car->weight[i] = i == phase;
    return car;
}

static inline void site_split(struct split_site *site) {
    split(site->levels, site->level_count, site->devices, site->device_count, site->now_ms,
          &site->again_ms);
}

/* Every device takes up what it was given and confirms it. */
static inline void site_confirm(struct split_site *site) {
    for (size_t i = 0; i < site->device_count; i++) {
        struct split_device *device = &site->devices[i];
        if (device->reach != SPLIT_REACHED)
            continue;
        device->held = device->share;
        if (device->held.hi > device->nameplate.hi)
            device->held.hi = device->nameplate.hi;
        if (device->held.lo < device->nameplate.lo)
            device->held.lo = device->nameplate.lo;
        if (device->held.lo > 0)
            device->held.lo = 0;
    }
}

static inline void site_wait(struct split_site *site, int64_t ms) {
    site->now_ms += ms;
}

/* The meter shows this, all of it on phase 1 to 3 alike. */
static inline void site_meter(struct split_site *site, double watts) {
    struct split_level *level = &site->levels[0];
    level->meter = SPLIT_METER_FRESH;
    level->sampled_ms = site->now_ms;
    level->metered[0] = watts;
    for (int i = 1; i < SPLIT_QUANTITIES; i++)
        level->metered[i] = watts / 3;
}

static inline struct limit *site_limit(struct split_site *site, enum scope scope) {
    return &site->levels[0].limits[scope];
}

#endif
