/* Why: what applies on a device or cluster now, who won, every loser with its reason, when it
 * changes next. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/present.h"
#include "base/text.h"
#include "outlook.h"

static void put_fallback(struct json *json, const struct decided *decided) {
    const struct wish *fallback = &decided->fallback;
    json_key(json, "fallback");
    if (!fallback->has_set && !fallback->has_min && !fallback->has_max) {
        json_write_null(json);
        return;
    }
    json_object_open(json);
    present_power(json, "activePower", fallback->has_set ? fallback->set : POWER_UNBOUNDED);
    present_power(json, "minActivePower", fallback->has_min ? fallback->min : POWER_UNBOUNDED);
    present_power(json, "maxActivePower", fallback->has_max ? fallback->max : POWER_UNBOUNDED);
    for (size_t i = 0; i < decided->count && decided->has_decision; i++)
        if (!decided->items[i].constraint && decided->items[i].in_force)
            present_outcome(json, decided, i);
    json_object_close(json);
}

static void put_constraints(struct json *json, const char *target_id, const struct decided *decided,
                            struct wall now) {
    json_key(json, "constraints");
    json_array_open(json);
    for (size_t i = 0; i < decided->count; i++) {
        if (!decided->items[i].constraint)
            continue;
        json_object_open(json);
        present_constraint(json, target_id, decided, i, now);
        json_object_close(json);
    }
    json_array_close(json);
}

/* What its cluster's limits leave it, within its allowed ranges. */
static void put_share(struct json *json, const struct decided *decided) {
    const struct share *share = &decided->share;
    json_key(json, "share");
    if (!share->limited) {
        json_write_null(json);
        return;
    }
    json_object_open(json);
    present_power(json, "minActivePower", share->min);
    present_power(json, "maxActivePower", share->max);
    json_put_known(json, "explanation", text_of(decided->share_why));
    json_object_close(json);
}

static void put_device(struct json *json, struct device_card *card, const struct decided *decided) {
    json_put_boolean(json, "controllable", decided->has_decision);
    present_decision(json, decided);
    present_ranges(json, "allowedRanges", &decided->allowed);
    json_put_double(json, "stateOfCharge", card->has_soc ? decided->soc : NAN);
    json_put_string(json, "withoutSetPoint",
                    decided->has_decision ? no_set_point_name(decided->no_set_point) : NULL);
    put_share(json, decided);
    put_fallback(json, decided);
    struct flexibility flexibility;
    live_read(card->live, &flexibility);
    present_command(json, &flexibility, card);
}

/* The meter as it is now: a split is made only while a limit is in force. */
static void read_meter(const struct exchange *x, const struct cluster_card *cluster,
                       struct cluster_measure *measure) {
    for (size_t i = 0; i < cluster->device_count; i++) {
        struct device_card *card = x->directory->devices[cluster->first_device + i];
        struct flexibility flexibility;
        if (strcmp(card->role, GRID_ROLE) != 0)
            continue;
        live_read(card->live, &flexibility);
        bool fresh = flexibility.connection == CONNECTION_ONLINE &&
                     x->now.wall.ms < flexibility.invalid_at.ms;
        const double *values = flexibility.values;
        snprintf(measure->meter, sizeof measure->meter, "%s", card->key);
        measure->power = fresh ? values[POINT_ACTIVE_POWER] : (double)NAN;
        for (int phase = 0; phase < 3; phase++)
            measure->power_phases[phase] =
                fresh ? values[POINT_ACTIVE_POWER_L1 + phase] : (double)NAN;
        return;
    }
}

static void put_cluster(struct exchange *x, struct json *json, const struct cluster_card *cluster,
                        const struct decided *decided) {
    struct cluster_measure measure = decided->cluster->measure;
    read_meter(x, cluster, &measure);
    present_split(json, decided, &measure);
}

void api_effective_get(struct exchange *x) {
    struct target target;
    if (!exchange_target(x, &target))
        return;
    struct decided *decided = exchange_decided(x, &target);
    if (!decided)
        return;
    struct wall next;
    bool changes = outlook_next_change(decided, &next) == ERR_OK;
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_put_string(json, target.device ? "deviceId" : "clusterId", target.id);
    json_put_time(json, "at", decided->at.wall);
    json_put_boolean(json, "clockTrusted", decided->at.trusted);
    if (target.device)
        put_device(json, target.device, decided);
    else
        put_cluster(x, json, target.cluster, decided);
    put_constraints(json, target.id, decided, x->now.wall);
    json_put_time(json, "nextChangeAt", changes ? next : (struct wall){0});
    json_object_close(json);
    decided_release(decided);
}
