/* Why: what applies on a device now, who won, every loser with its reason, when it changes next. */
#include <math.h>

#include "api/handlers.h"
#include "api/present.h"
#include "outlook.h"

static const char *no_set_point_name(enum no_set_point what) {
    static const char *const names[] = {[NO_SET_OWN_CONTROL] = "ownControl",
                                        [NO_SET_FOLLOWS_MAX] = "followsMax",
                                        [NO_SET_OFF] = "off"};
    return names[what];
}

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

static void put_constraints(struct json *json, const char *device_id, const struct decided *decided,
                            struct wall now) {
    json_key(json, "constraints");
    json_array_open(json);
    for (size_t i = 0; i < decided->count; i++) {
        if (!decided->items[i].constraint)
            continue;
        json_object_open(json);
        present_constraint(json, device_id, decided, i, now);
        json_object_close(json);
    }
    json_array_close(json);
}

void api_effective_get(struct exchange *x) {
    const struct cluster_card *cluster;
    struct device_card *card = exchange_device(x, &cluster);
    if (!card)
        return;
    struct flexibility flexibility;
    struct decided *decided = device_card_decided(card);
    live_read(&card->live, &flexibility);
    struct wall next;
    bool changes = outlook_next_change(decided, &next) == ERR_OK;
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_put_string(json, "deviceId", card->id);
    json_put_time(json, "at", decided->at.wall);
    json_put_boolean(json, "clockTrusted", decided->at.trusted);
    json_put_boolean(json, "controllable", decided->has_decision);
    present_decision(json, decided);
    present_ranges(json, "allowedRanges", &decided->allowed);
    json_put_double(json, "stateOfCharge", card->has_soc ? decided->soc : NAN);
    json_put_string(json, "withoutSetPoint",
                    decided->has_decision ? no_set_point_name(decided->no_set_point) : NULL);
    put_fallback(json, decided);
    put_constraints(json, card->id, decided, x->now.wall);
    json_put_time(json, "nextChangeAt", changes ? next : (struct wall){0});
    present_command(json, &flexibility, card);
    json_object_close(json);
    decided_release(decided);
}
