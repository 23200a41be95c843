#include "api/present.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define EXPLANATION_MAXIMUM 1000

void present_power(struct json *json, const char *key, int32_t power) {
    json_key(json, key);
    if (power >= POWER_UNBOUNDED || power <= -POWER_UNBOUNDED)
        json_write_null(json);
    else
        json_write_integer(json, power);
}

/* An edge that is not known (a rating that was not read) is null, not a number of 2 GW. */
static void write_edge(struct json *json, int32_t watts) {
    if (watts <= -POWER_UNBOUNDED || watts >= POWER_UNBOUNDED)
        json_write_null(json);
    else
        json_write_integer(json, watts);
}

void present_ranges(struct json *json, const char *key, const struct ranges *ranges) {
    json_key(json, key);
    json_array_open(json);
    for (size_t i = 0; i < ranges->count; i++) {
        json_array_open(json);
        write_edge(json, ranges->items[i].lo);
        write_edge(json, ranges->items[i].hi);
        json_array_close(json);
    }
    json_array_close(json);
}

void present_command_alone(struct json *json, const struct flexibility *flexibility,
                           struct device_card *card) {
    char detail[CARD_TEXT_SIZE];
    device_card_text(card, CARD_COMMAND, detail);
    json_object_open(json);
    json_put_string(json, "state", command_state_name(flexibility->command));
    json_put_string(json, "following",
                    flexibility->following == FOLLOWING_UNKNOWN
                        ? NULL
                        : following_name(flexibility->following));
    json_put_time(json, "since", flexibility->command_since);
    json_put_known(json, "detail", detail);
    json_object_close(json);
}

void present_command(struct json *json, const struct flexibility *flexibility,
                     struct device_card *card) {
    json_key(json, "command");
    present_command_alone(json, flexibility, card);
}

/* --- explanations ---------------------------------------------------------------------------- */

/* What it is called in such texts; `room` is for the name. */
static const char *name_of(const struct decided_item *item, char room[CONSTRAINT_LABEL_SIZE]) {
    if (!item->constraint)
        return "the device's fallback";
    constraint_label(item->constraint, room);
    return room;
}

static struct wish wish_as_walked(const struct decided *decided, size_t index) {
    const struct decided_item *item = &decided->items[index];
    struct wish wish = item->constraint ? item->constraint->wish : decided->fallback;
    if (item->in_force && !item->set_in_force)
        wish.has_set = false;
    return wish;
}

static void put_explanation(struct json *json, const struct decided *decided, size_t index) {
    char room[CONSTRAINT_LABEL_SIZE];
    const struct decided_item *item = &decided->items[index];
    int against = item->verdict.against;
    bool other = against >= 0 && (size_t)against < decided->count && (size_t)against != index;
    const struct decided_item *winner = other ? &decided->items[against] : NULL;
    const struct wish wish = wish_as_walked(decided, index);
    struct buf explanation;
    buf_init(&explanation, EXPLANATION_MAXIMUM);
    const struct constraint *constraint = item->constraint;
    if (constraint && constraint->has_current && !constraint->wish.has_min &&
        !constraint->wish.has_max && item->verdict.outcome == OUTCOME_APPLIED)
        buf_format(&explanation, "applied: at most %g A, %g A, %g A on L1, L2, L3",
                   constraint->max_current[0], constraint->max_current[1],
                   constraint->max_current[2]);
    else
        verdict_explain(&wish, &item->verdict, winner ? &winner->verdict : NULL,
                        winner ? name_of(winner, room) : NULL, &explanation);
    json_put_known(json, "explanation", buf_string(&explanation));
    buf_free(&explanation);
}

void present_winner(struct json *json, const char *key, const struct decided *decided, int by) {
    char id[ID_SIZE];
    json_put_string(json, key, decided_name(decided, by, id));
}

void present_outcome(struct json *json, const struct decided *decided, size_t index) {
    const struct verdict *verdict = &decided->items[index].verdict;
    json_put_string(json, "outcome", outcome_name(verdict->outcome));
    present_winner(json, "against", decided, verdict->against);
    put_explanation(json, decided, index);
}

/* --- constraints ----------------------------------------------------------------------------- */

static void put_watts(struct json *json, const char *key, bool has, int32_t power) {
    json_key(json, key);
    if (has)
        json_write_integer(json, power);
    else
        json_write_null(json);
}

static void put_percent(struct json *json, const char *key, bool has, double soc) {
    json_key(json, key);
    if (has)
        json_write_double(json, soc);
    else
        json_write_null(json);
}

void present_currents(struct json *json, const char *key, const double currents[3]) {
    json_key(json, key);
    json_array_open(json);
    for (int i = 0; i < 3; i++)
        json_write_double(json, currents[i]);
    json_array_close(json);
}

static void put_fields(struct json *json, const char *target_id,
                       const struct constraint *constraint) {
    const struct wish *wish = &constraint->wish;
    bool of_cluster = constraint->scope != SCOPE_NONE;
    json_put_string(json, "id", constraint->id);
    json_put_string(json, of_cluster ? "clusterId" : "deviceId", target_id);
    json_put_integer(json, "priority", wish->priority);
    if (of_cluster)
        json_put_string(json, "scope", scope_name(constraint->scope));
    else
        put_watts(json, "activePower", wish->has_set, wish->set);
    put_watts(json, "minActivePower", wish->has_min, wish->min);
    put_watts(json, "maxActivePower", wish->has_max, wish->max);
    if (of_cluster && constraint->has_current) {
        present_currents(json, "maxCurrentPhases", constraint->max_current);
    } else if (of_cluster) {
        json_put_null(json, "maxCurrentPhases");
    } else {
        put_percent(json, "minStateOfCharge", wish->has_min_soc, wish->min_soc);
        put_percent(json, "maxStateOfCharge", wish->has_max_soc, wish->max_soc);
    }
    json_put_time(json, "validAt", constraint->valid_at);
    json_put_time(json, "invalidAt", constraint->invalid_at);
    put_percent(json, "validFor", constraint->valid_for_ms > 0,
                (double)constraint->valid_for_ms / 1000.0);
    json_put_string(json, "onConflict", on_conflict_name(wish->on_conflict));
    json_put_boolean(json, "exclusive", wish->exclusive);
    json_put_known(json, "reason", constraint->reason);
    json_put_string(json, "createdBy", constraint->created_by);
    json_put_time(json, "createdAt", constraint->created_at);
    json_put_boolean(json, "durable", constraint->durable);
}

enum constraint_status present_status(const struct decided_item *item, struct wall now) {
    return item->in_force                              ? CONSTRAINT_IN_FORCE
           : now.ms >= item->constraint->invalid_at.ms ? CONSTRAINT_EXPIRED
                                                       : CONSTRAINT_SCHEDULED;
}

static void put_no_outcome(struct json *json) {
    json_put_null(json, "outcome");
    json_put_null(json, "against");
    json_put_null(json, "explanation");
}

void present_constraint(struct json *json, const char *target_id, const struct decided *decided,
                        size_t index, struct wall now) {
    const struct decided_item *item = &decided->items[index];
    put_fields(json, target_id, item->constraint);
    json_put_string(json, "status", constraint_status_name(present_status(item, now)));
    if (item->in_force && decided->has_decision) {
        if (!decided->cluster)
            json_put_boolean(json, "setPointInForce",
                             item->constraint->wish.has_set && item->set_in_force);
        present_outcome(json, decided, index);
    } else {
        put_no_outcome(json);
    }
}

void present_constraint_alone(struct json *json, const char *target_id,
                              const struct constraint *constraint, struct wall now) {
    put_fields(json, target_id, constraint);
    const struct decided_item item = {.constraint = (struct constraint *)constraint};
    json_put_string(json, "status", constraint_status_name(present_status(&item, now)));
    put_no_outcome(json);
}

void present_constraint_gone(struct json *json, const char *device_id,
                             const struct constraint *constraint, const char *status) {
    put_fields(json, device_id, constraint);
    json_put_string(json, "status", status);
    put_no_outcome(json);
}

/* --- decision -------------------------------------------------------------------------------- */

static void put_limit(struct json *json, const struct decided *decided, enum scope scope) {
    const struct limit *limit = &decided->cluster->limits[scope];
    json_key(json, scope_name(scope));
    json_object_open(json);
    present_power(json, "minActivePower", limit->min);
    present_power(json, "maxActivePower", limit->max);
    present_currents(json, "maxCurrentPhases", limit->current);
    json_key(json, "winners");
    json_object_open(json);
    present_winner(json, "minActivePower", decided, limit->min_by);
    present_winner(json, "maxActivePower", decided, limit->max_by);
    json_key(json, "maxCurrentPhases");
    json_array_open(json);
    for (int i = 0; i < 3; i++) {
        char id[ID_SIZE];
        json_write_string(json, decided_name(decided, limit->current_by[i], id));
    }
    json_array_close(json);
    json_object_close(json);
    json_put_boolean(json, "unmet", limit->unmet);
    json_object_close(json);
}

static void put_measure(struct json *json, const struct cluster_measure *measure) {
    json_key(json, "connection");
    json_object_open(json);
    json_put_known(json, "meter", measure->meter);
    json_put_double(json, "activePower", measure->power);
    present_currents(json, "activePowerPhases", measure->power_phases);
    json_put_double(json, "uncontrolledPower", measure->uncontrolled);
    json_put_string(json, "uncontrolledBy",
                    measure->metered                ? "meter"
                    : !isnan(measure->uncontrolled) ? "maxUncontrolledPower"
                                                    : NULL);
    json_put_double(json, "controllablePower", measure->controllable);
    json_object_close(json);
}

void present_split(struct json *json, const struct decided *decided,
                   const struct cluster_measure *measure) {
    const struct cluster_decided *cluster = decided->cluster;
    json_key(json, "limits");
    json_object_open(json);
    put_limit(json, decided, SCOPE_CONNECTION);
    put_limit(json, decided, SCOPE_CONTROLLABLE);
    json_object_close(json);
    put_measure(json, measure);
    if (cluster->supposed) {
        json_put_null(json, "shares");
        json_put_null(json, "unmet");
        json_put_null(json, "alarm");
        json_put_null(json, "alarmSince");
        return;
    }
    json_key(json, "shares");
    json_array_open(json);
    for (size_t i = 0; i < cluster->share_count; i++) {
        const struct cluster_share *share = &cluster->shares[i];
        json_object_open(json);
        json_put_string(json, "deviceId", share->device_id);
        present_key(json, share->key, share->device_id);
        present_power(json, "minActivePower", share->min);
        present_power(json, "maxActivePower", share->max);
        json_put_known(json, "explanation", share->why);
        json_object_close(json);
    }
    json_array_close(json);
    json_put_boolean(json, "unmet", cluster->alarm[0] != '\0');
    json_put_known(json, "alarm", cluster->alarm);
    json_put_time(json, "alarmSince", cluster->alarm[0] ? cluster->alarm_since : (struct wall){0});
}

void present_decision(struct json *json, const struct decided *decided) {
    if (decided->cluster) {
        present_split(json, decided, &decided->cluster->measure);
        return;
    }
    const struct decision *decision = &decided->decision;
    bool has = decided->has_decision;
    const struct ranges none = {0};
    put_watts(json, "activePower", has && decision->has_set, decision->set);
    present_power(json, "minActivePower", has ? decision->min : -POWER_UNBOUNDED);
    present_power(json, "maxActivePower", has ? decision->max : POWER_UNBOUNDED);
    present_ranges(json, "withinRanges", has ? &decision->within : &none);
    json_key(json, "winners");
    json_object_open(json);
    present_winner(json, "activePower", decided, has ? decision->set_by : BY_NOBODY);
    present_winner(json, "minActivePower", decided, has ? decision->min_by : BY_NOBODY);
    present_winner(json, "maxActivePower", decided, has ? decision->max_by : BY_NOBODY);
    json_object_close(json);
    json_put_boolean(json, "limited", has && decision->limited);
    json_put_boolean(json, "unmet", has && decision->unmet);
    /* What the constraints left before the device's own limits cut it. */
    put_watts(json, "wantedActivePower", has && decision->limited, decision->walked_set);
    present_power(json, "wantedMinActivePower",
                  has && decision->unmet ? decision->walked_min : -POWER_UNBOUNDED);
    present_power(json, "wantedMaxActivePower",
                  has && decision->unmet ? decision->walked_max : POWER_UNBOUNDED);
    /* The winners of an unmet decision are the device; these are the other side. */
    bool unmet = has && decision->unmet;
    json_key(json, "unmetBy");
    json_object_open(json);
    present_winner(json, "minActivePower", decided, unmet ? decision->walked_min_by : BY_NOBODY);
    present_winner(json, "maxActivePower", decided, unmet ? decision->walked_max_by : BY_NOBODY);
    json_object_close(json);
}
