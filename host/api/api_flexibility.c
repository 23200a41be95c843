/* Flexibility: the current state of devices, as last published. Stale data is no error: it comes
 * with an invalidAt in the past. */
#include <math.h>
#include <string.h>

#include "api/device_list.h"
#include "api/handlers.h"
#include "api/present.h"

static void put_state(struct json *json, const struct flexibility *flexibility) {
    double state = flexibility->values[POINT_STATE];
    bool known = state > STATE_UNKNOWN && state < STATE_COUNT;
    json_put_string(json, "state", known ? device_state_name((enum device_state)(int)state) : NULL);
}

static void put_value(struct json *json, const struct flexibility *flexibility, enum point_id id) {
    json_put_double(json, point_word(id)->name, flexibility->values[id]);
}

/* Everything else that the device measures; what it never told is left out. */
static void put_values(struct json *json, const struct flexibility *flexibility) {
    json_key(json, "values");
    json_object_open(json);
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        if (id != POINT_STATE &&
            (flexibility->updated_ms[id] > 0 || isfinite(flexibility->values[id])))
            put_value(json, flexibility, (enum point_id)id);
    json_object_close(json);
    json_key(json, "updated");
    json_object_open(json);
    for (int id = 0; id < POINT_NUMBER_COUNT; id++)
        if (flexibility->updated_ms[id] > 0)
            json_put_time(json, point_word((enum point_id)id)->name,
                          (struct wall){flexibility->updated_ms[id]});
    json_object_close(json);
}

static void put_abilities(struct json *json, const struct flexibility *flexibility) {
    int32_t lo = -POWER_UNBOUNDED;
    int32_t hi = POWER_UNBOUNDED;
    (void)ranges_hull(&flexibility->allowed, &lo, &hi);
    present_power(json, "minActivePower", lo);
    present_power(json, "maxActivePower", hi);
    present_ranges(json, "allowedRanges", &flexibility->allowed);
}

/* What is in force on it now. */
static void put_decision(struct json *json, const struct flexibility *flexibility) {
    json_key(json, "setPoint");
    if (flexibility->has_set_point)
        json_write_integer(json, flexibility->set_point);
    else
        json_write_null(json);
    present_power(json, "minBound", flexibility->bound_min);
    present_power(json, "maxBound", flexibility->bound_max);
}

static void write_flexibility(struct device_card *card, struct json *json) {
    struct flexibility flexibility;
    char connection_text[sizeof card->connection_text];
    live_read(&card->live, &flexibility);
    pthread_mutex_lock(&card->lock);
    memcpy(connection_text, card->connection_text, sizeof connection_text);
    pthread_mutex_unlock(&card->lock);
    struct decided *decided = device_card_decided(card);
    json_object_open(json);
    json_put_string(json, "deviceId", card->id);
    json_put_string(json, "key", card->key);
    json_put_known(json, "name", card->name);
    json_put_string(json, "type", device_type_name(card->type));
    json_put_string(json, "connection", connection_name(flexibility.connection));
    json_put_known(json, "connectionDetail", connection_text);
    json_put_boolean(json, "controllable", card->controllable);
    put_state(json, &flexibility);
    put_value(json, &flexibility, POINT_ACTIVE_POWER);
    json_key(json, "activePowerPhases");
    json_array_open(json);
    for (int id = POINT_ACTIVE_POWER_L1; id <= POINT_ACTIVE_POWER_L3; id++)
        json_write_double(json, flexibility.values[id]);
    json_array_close(json);
    put_abilities(json, &flexibility);
    put_value(json, &flexibility, POINT_STATE_OF_CHARGE);
    put_value(json, &flexibility, POINT_ENERGY_IMPORT);
    put_value(json, &flexibility, POINT_ENERGY_EXPORT);
    json_put_time(json, "updatedAt", flexibility.updated_at);
    json_put_time(json, "invalidAt", flexibility.invalid_at);
    put_decision(json, &flexibility);
    present_command(json, &flexibility, card);
    put_values(json, &flexibility);
    json_object_close(json);
    decided_release(decided);
}

static void flexibility_write(const void *context, size_t index, struct json *json) {
    const struct device_list *list = context;
    write_flexibility(list->devices[index], json);
}

/* All at once: one page holds as many as a page can. */
void api_flexibility_list(struct exchange *x) {
    device_list_answer(x, flexibility_write, LIST_LIMIT_MAXIMUM);
}

void api_flexibility_get(struct exchange *x) {
    const struct cluster_card *cluster;
    struct device_card *card = exchange_device(x, &cluster);
    if (card)
        write_flexibility(card, exchange_json(x, 200));
}
