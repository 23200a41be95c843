/* What is known of a device: its values out of its machine's, how long they can be trusted, and
 * what control and ranges count with. */
#include <math.h>

#include "base/text.h"
#include "base/warm.h"
#include "device_internal.h"
#include "machine.h"

#define CURRENT_FLOWS 1.0 /* A: above it a vehicle charges on that phase */
#define STALE_PERIODS 3   /* a value is trusted for this many of its periods and one time-out */

int64_t device_trust_ms(int64_t period_ms, int64_t timeout_ms) {
    return period_ms * STALE_PERIODS + timeout_ms;
}

const struct quantity *device_known(const struct device *device, enum point_id id) {
    return quantities_get(device->known, id);
}

bool device_fresh(const struct device *device, enum point_id id, struct mono now) {
    return quantity_fresh(device_known(device, id), now);
}

static double quantity_at(const struct device *device, enum point_id id, struct mono now) {
    const struct quantity *known = device_known(device, id);
    if (quantity_fresh(known, now))
        return known->value;
    if (id == POINT_PHASES && device->site->phases)
        return device->site->phases;
    const struct driver *driver = device->machine ? machine_driver(device->machine) : NULL;
    for (int i = 0; driver && i < driver->parameter_count; i++)
        if (driver->parameters[i].id == (int)id)
            return device->parameters[i];
    return NAN;
}

double device_quantity(const struct device *device, enum point_id id) {
    return quantity_at(device, id, clock_mono());
}

/* Phases that carry current now, as told or as the currents show; 0: none or unknown. */
static int phases_seen(const struct device *device, struct mono now) {
    double told = quantity_at(device, POINT_ACTIVE_PHASES, now);
    if (told >= 1)
        return (int)told;
    int seen = 0;
    for (int i = POINT_CURRENT_L1; i <= POINT_CURRENT_L3; i++)
        seen += fabs(quantity_at(device, (enum point_id)i, now)) >= CURRENT_FLOWS;
    return seen;
}

double device_phases(const struct device *device) {
    int seen = phases_seen(device, clock_mono());
    return seen ? seen : device->vehicle_phases;
}

/* A vehicle keeps the phases it was seen to use until it is unplugged, so that it can start again
 * on what it needs, and not on what another one might. A make that does not tell when a vehicle
 * leaves, and one that switches phases itself, gives nothing to remember. */
void device_watch_vehicle(struct device *device) {
    if (device->type != DEVICE_CHARGING_STATION) {
        device->vehicle_phases = NAN;
        return;
    }
    const struct driver_part *part = device_part(device);
    struct mono now = clock_mono();
    double state = quantity_at(device, POINT_STATE, now);
    if (isnan(state) || state == STATE_UNKNOWN || state == STATE_UNPLUGGED ||
        part->control.phase_switching) {
        device->vehicle_phases = NAN;
        return;
    }
    int seen = phases_seen(device, now);
    if (seen > 0 && !(device->vehicle_phases >= seen))
        device->vehicle_phases = seen;
}

void device_quantities(const struct device *device, double quantities[POINT_NUMBER_COUNT]) {
    struct mono now = clock_mono();
    const struct driver *driver = device->machine ? machine_driver(device->machine) : NULL;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        quantities[i] = device_fresh(device, (enum point_id)i, now)
                            ? device_known(device, (enum point_id)i)->value
                            : NAN;
    /* In place of what is not known, as quantity_at() does. */
    if (isnan(quantities[POINT_PHASES]) && device->site->phases)
        quantities[POINT_PHASES] = device->site->phases;
    for (int i = 0; driver && i < driver->parameter_count; i++) {
        int id = driver->parameters[i].id;
        if (id >= 0 && id < POINT_NUMBER_COUNT && isnan(quantities[id]))
            quantities[id] = device->parameters[i];
    }
    if (device->type == DEVICE_CHARGING_STATION)
        quantities[POINT_ACTIVE_PHASES] = device_phases(device);
}

uint64_t device_may_tell(const struct device *device) {
    const struct driver *driver = device->machine ? machine_driver(device->machine) : NULL;
    uint64_t quantities = 0;
    if (driver && driver->hook_values) /* which may give any */
        return QUANTITIES_ALL;
    for (int i = 0; driver && i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->id != POINT_NONE && point->id < POINT_NUMBER_COUNT &&
            point_is_of(point, device->part))
            quantities |= UINT64_C(1) << point->id;
    }
    return quantities;
}

uint64_t device_may_know(const struct device *device) {
    return device_may_tell(device) | UINT64_C(1) << POINT_STATE;
}

/* This device's values out of its machine's: of a part's own and the shared points. */
void device_take_values(struct device *device) {
    const struct machine *machine = device->machine;
    const struct driver *driver = machine_driver(machine);
    bool seen[POINT_NUMBER_COUNT] = {false};
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->id == POINT_NONE || point->id >= POINT_NUMBER_COUNT ||
            !point_is_of(point, device->part) || machine->value_at[i].mono.ms == 0)
            continue;
        struct quantity *known = quantities_at(device->known, (enum point_id)point->id);
        if (!known)
            continue;
        /* What the hook has corrected is not overwritten with the raw value it was made from. */
        if (driver->hook_values && machine->value_at[i].mono.ms == known->mono.ms)
            continue;
        /* Of several points of one name only the one in the plan was ever read. */
        if (seen[point->id] && isnan(machine->values[i]))
            continue;
        seen[point->id] = true;
        *known = (struct quantity){
            .value = machine->values[i],
            .mono = machine->value_at[i].mono,
            .wall = machine->value_at[i].wall,
            .valid_ms = point->period_ms > 0 ? device_trust_ms(point->period_ms, driver->timeout_ms)
                                             : INT64_MAX,
        };
    }
}

void device_warm(const struct device *device) {
    quantities_warm(device->known);
    warm(&device->card->live, sizeof *device->card - offsetof(struct device_card, live));
}

/* What is read once per connection has no age that would tell that it is of an earlier one. */
void device_forget_constants(struct device *device) {
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        struct quantity *known = quantities_at(device->known, (enum point_id)i);
        if (known && known->valid_ms == INT64_MAX)
            *known = (struct quantity){.value = NAN};
    }
}

void device_forget_identity(struct device *device) {
    for (size_t i = 0; i < sizeof device->identity / sizeof *device->identity; i++)
        text_set(&device->identity[i], "");
}
