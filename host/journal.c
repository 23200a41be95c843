#include "journal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "telemetry/telemetry.h"
#include "words.h"

#define NEAR_SHARE 0.05 /* of a bound: amperes and steps rarely meet it to the watt */

static struct origin origin_of(const struct device *device) {
    struct origin origin;
    memcpy(origin.device_id, device->id, sizeof origin.device_id);
    memcpy(origin.cluster_id, device->cluster_id, sizeof origin.cluster_id);
    return origin;
}

/* --- samples --------------------------------------------------------------------------------- */

static bool is_near(double power_w, int32_t bound, int32_t tolerance_w) {
    return fabs(power_w - bound) <= fmax(tolerance_w, NEAR_SHARE * fabs((double)bound));
}

static enum reach reach_of(const struct device *device, double power_w) {
    const struct driver_part *part = device_part(device);
    const struct decision *decision = &device->decision;
    if (!device->has_decision || !device->anything_in_force || !part || isnan(power_w))
        return REACH_UNKNOWN;
    int32_t tolerance_w = part->control.tolerance_w;
    if (power_w > (double)decision->max + tolerance_w)
        return REACH_ABOVE;
    if (power_w < (double)decision->min - tolerance_w)
        return REACH_BELOW;
    if (is_near(power_w, decision->max, tolerance_w))
        return REACH_AT_MAX;
    return is_near(power_w, decision->min, tolerance_w) ? REACH_AT_MIN : REACH_INSIDE;
}

static int64_t counter_age_ms(const struct device *device, enum point_id id, int64_t at_ms) {
    int64_t age_ms = at_ms - device_known(device, id)->wall.ms;
    return age_ms > 0 && age_ms < UINT32_MAX ? age_ms : 0;
}

void journal_sample(struct device *device, const struct flexibility *published) {
    if (!device->engine->telemetry)
        return;
    int64_t at_ms = published->updated_at.ms;
    if (at_ms <= 0 || at_ms == device->recorded_ms)
        return;
    struct now now = clock_now(&device->engine->clock);
    device->recorded_ms = at_ms;
    struct sample sample = {.at_ms = at_ms, .hold_ms = published->invalid_at.ms - at_ms};
    for (int id = 0; id < POINT_NUMBER_COUNT; id++) {
        const struct quantity *known = quantities_get(device->known, (enum point_id)id);
        sample.values[id] = quantity_fresh(known, now.mono) ? known->value : NAN;
    }
    if (published->updated_ms[POINT_STATE] == published->updated_ms[POINT_ACTIVE_POWER])
        sample.values[POINT_STATE] = published->values[POINT_STATE]; /* may be made of the power */
    sample.age_ms[ENERGY_IMPORT] = counter_age_ms(device, POINT_ENERGY_IMPORT, at_ms);
    sample.age_ms[ENERGY_EXPORT] = counter_age_ms(device, POINT_ENERGY_EXPORT, at_ms);
    sample.reach = reach_of(device, sample.values[POINT_ACTIVE_POWER]);
    struct origin origin = origin_of(device);
    telemetry_sample(device->engine->telemetry, &origin, now, &sample,
                     device_quantity(device, POINT_RATED_POWER));
}

/* --- rulings --------------------------------------------------------------------------------- */

/* Whether a bound of the device is tighter than what it can do: by its share of its cluster's
 * limits. */
static bool is_shared(const struct decided *decided, enum ruled_field field) {
    int32_t lo, hi;
    if (!decided->share.limited || !ranges_hull(&decided->own, &lo, &hi))
        return false;
    return field == RULED_MAX ? decided->decision.max < hi
                              : field == RULED_MIN && decided->decision.min > lo;
}

static void fill_cause(struct ruling *ruling, enum ruled_field field, const struct decided *decided,
                       int by) {
    struct cause *cause = &ruling->causes[field];
    if (by == BY_DEVICE && is_shared(decided, field)) {
        text_copy(cause->id, sizeof cause->id, "cluster");
        /* Its words change with every measure. */
        text_copy(cause->key, sizeof cause->key, "cluster");
        text_copy(cause->reason, sizeof cause->reason, text_of(decided->share_why));
    } else if (by == BY_DEVICE) {
        text_copy(cause->id, sizeof cause->id, "device");
    }
    if (by < 0 || (size_t)by >= decided->count)
        return;
    if (!decided->sheet || (size_t)by >= decided->sheet->count) {
        text_copy(cause->id, sizeof cause->id, "fallback");
        return;
    }
    const struct book_entry *entry = &decided->sheet->entries[by];
    const struct words *words = entry->packed->words;
    char id[ID_SIZE];
    entry_id(entry, id);
    text_copy(cause->id, sizeof cause->id, id);
    text_copy(cause->key, sizeof cause->key, words_policy_key(words));
    text_copy(cause->created_by, sizeof cause->created_by, words_created_by(words));
    text_copy(cause->reason, sizeof cause->reason, words_reason(words));
    cause->priority = entry->packed->priority;
}

/* As fill_cause() tells them, without a look at what each says: what is on one sheet and on the one
 * after it is the same constraint. */
static bool same_cause(enum ruled_field field, const struct decided *a, int a_by,
                       const struct decided *b, int b_by) {
    if (a_by < 0 || b_by < 0)
        return a_by == b_by && (a_by != BY_DEVICE || is_shared(a, field) == is_shared(b, field));
    bool a_stands = a->sheet && (size_t)a_by < a->sheet->count;
    bool b_stands = b->sheet && (size_t)b_by < b->sheet->count;
    if (!a_stands || !b_stands)
        return a_stands == b_stands;
    return a->sheet->entries[a_by].packed == b->sheet->entries[b_by].packed;
}

static bool same_ruling(const struct decided *a, const struct decided *b) {
    const struct decision *one = &a->decision;
    const struct decision *other = &b->decision;
    return a->has_decision && b->has_decision && one->unmet == other->unmet &&
           one->has_set == other->has_set && one->set == other->set && one->min == other->min &&
           one->max == other->max && same_cause(RULED_SET, a, one->set_by, b, other->set_by) &&
           same_cause(RULED_MIN, a, one->min_by, b, other->min_by) &&
           same_cause(RULED_MAX, a, one->max_by, b, other->max_by);
}

void journal_ruling(struct device *device, const struct decided *before,
                    const struct decided *decided) {
    if (!device->engine->telemetry ||
        (device->last_ruling && device->ruled_in_force == device->anything_in_force &&
         same_ruling(before, decided)))
        return;
    const struct decision *decision = &decided->decision;
    bool has = decided->has_decision;
    struct ruling ruling = {.controllable = has,
                            .in_force = has && device->anything_in_force,
                            .unmet = has && decision->unmet,
                            .has_set = has && decision->has_set,
                            .set = decision->set,
                            .min = has ? decision->min : -POWER_UNBOUNDED,
                            .max = has ? decision->max : POWER_UNBOUNDED};
    if (has) {
        fill_cause(&ruling, RULED_SET, decided, decision->set_by);
        fill_cause(&ruling, RULED_MIN, decided, decision->min_by);
        fill_cause(&ruling, RULED_MAX, decided, decision->max_by);
    }
    /* A device that cannot be controlled has no decisions; one that is not known yet may have. */
    bool first = !device->last_ruling;
    if ((first && !has) || (!first && ruling_same(&ruling, device->last_ruling)))
        return;
    if (first && !(device->last_ruling = malloc(sizeof *device->last_ruling)))
        return; /* no memory: the next decision begins it */
    *device->last_ruling = ruling;
    device->ruled_in_force = ruling.in_force;
    ruling.command = device->command.state;
    ruling.command_ms = device->command.since.ms;
    device->journal_since.ms = INT64_MIN; /* how far it is told within this one is still to come */
    struct origin origin = origin_of(device);
    telemetry_ruling(device->engine->telemetry, &origin, clock_now(&device->engine->clock),
                     &ruling);
}

void journal_told(struct device *device) {
    const struct command *command = &device->command;
    if (!device->last_ruling ||
        (device->journal_state == command->state && device->journal_since.ms == command->since.ms))
        return;
    device->journal_state = command->state;
    device->journal_since = command->since;
    struct origin origin = origin_of(device);
    telemetry_told(device->engine->telemetry, &origin, clock_now(&device->engine->clock),
                   command->state, command->since);
}

void journal_leave(struct device *device) {
    if (device->engine->stopping || !device->last_ruling)
        return;
    struct origin origin = origin_of(device);
    telemetry_leave(device->engine->telemetry, &origin, clock_now(&device->engine->clock));
}
