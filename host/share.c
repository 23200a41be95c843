/* A device's share of its cluster's limits, on the device's side: what it leaves of what the device
 * can do, and what the device counts with when nothing else is known of it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "device.h"

static void store_nameplate(struct device *device) {
    char text[40];
    snprintf(text, sizeof text, "%d %d", device->nameplate.lo, device->nameplate.hi);
    if (store_put_text(device->engine->store, "nameplate", device->id, text, NULL, NULL))
        log_warning(device->site->path, "what it can do could not be stored");
}

/* "lo hi", as stored; NULL: never. */
static bool read_nameplate(const char *text, struct range *nameplate) {
    char *end = NULL;
    if (!text)
        return false;
    long lo = strtol(text, &end, 10);
    long hi = strtol(end, &end, 10);
    *nameplate = (struct range){(int32_t)lo, (int32_t)hi};
    return *end == '\0' && lo <= hi && lo > -POWER_UNBOUNDED && hi < POWER_UNBOUNDED;
}

/* What it can do now; where that is open, what its site leaves of it. */
static bool hull_now(const struct device *device, struct range *hull) {
    struct range own = {-POWER_UNBOUNDED, POWER_UNBOUNDED};
    if (!ranges_hull(&device->physical, &hull->lo, &hull->hi))
        return false;
    (void)ranges_hull(&device->own, &own.lo, &own.hi);
    if (hull->lo == -POWER_UNBOUNDED)
        hull->lo = own.lo;
    if (hull->hi == POWER_UNBOUNDED)
        hull->hi = own.hi;
    return hull->lo > -POWER_UNBOUNDED && hull->hi < POWER_UNBOUNDED;
}

/* What it counts with in its cluster when nothing else is known of it; kept for the time when it is
 * away and after a restart. What it can do at this moment (phases in use, a full battery) may be
 * less than what it was seen to be able to do, so it only grows. */
void share_see_nameplate(struct device *device) {
    struct range hull;
    if (!device_reachable(device) || !hull_now(device, &hull))
        return;
    if (device->has_nameplate && device->nameplate.lo < hull.lo)
        hull.lo = device->nameplate.lo;
    if (device->has_nameplate && device->nameplate.hi > hull.hi)
        hull.hi = device->nameplate.hi;
    if (device->has_nameplate && hull.lo == device->nameplate.lo && hull.hi == device->nameplate.hi)
        return;
    device->nameplate = hull;
    device->has_nameplate = true;
    store_nameplate(device);
}

/* Within the share; when that leaves nothing, at rest or at what it cannot go below. */
struct ranges share_within(const struct device *device) {
    if (!device->share.limited || !device->own.count)
        return device->own;
    struct ranges ranges = {0};
    if (device->share.min <= device->share.max)
        ranges = ranges_clip(&device->own, device->share.min, device->share.max);
    if (ranges.count)
        return ranges;
    int32_t least = ranges_least(&device->own);
    return ranges_of(least, least);
}

void share_load_nameplate(struct device *device) {
    char *text = recall_text(device->engine, "nameplate", device->id);
    device->has_nameplate = read_nameplate(text, &device->nameplate);
    free(text);
}
