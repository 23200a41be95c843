/* A device in JSON: what it is, and its flexibility. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/present.h"
#include "base/json_read.h"
#include "base/text.h"

struct identity { /* a copy of what stands under the card's lock */
    char words[POINT_COUNT - POINT_TEXT_FIRST][IDENTITY_SIZE];
};

static void copy_identity(struct device_card *card, struct identity *identity) {
    pthread_mutex_lock(&card->lock);
    for (size_t i = 0; i < sizeof identity->words / sizeof *identity->words; i++)
        text_copy(identity->words[i], sizeof identity->words[i], text_of(card->identity[i]));
    pthread_mutex_unlock(&card->lock);
}

static void put_tree(struct json *json, const char *key, const json_t *entry, const char *field) {
    const json_t *value = json_object_get(entry, field);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_put_raw(json, key, text ? text : "null");
    free(text);
}

/* What stands in its declaration alone. */
static void put_declared(const struct device_card *card, struct json *json) {
    static const char *const fields[] = {"phases",   "phaseRotation", "shareRank", "limits",
                                         "fallback", "failsafe",      "parameters"};
    json_t *entry = card->entry ? json_read_text(card->entry, 0, NULL) : NULL;
    put_tree(json, "expectedSerialNumber", entry, "serialNumber");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        put_tree(json, fields[i], entry, fields[i]);
    json_put_string(json, "origin", card->revision ? ORIGIN_API : ORIGIN_FILE);
    json_put_time(json, "createdAt", card->created_at);
    json_decref(entry);
}

void present_key(struct json *json, const char *key, const char *id) {
    json_put_string(json, "key", strcmp(key, id) == 0 ? NULL : key);
}

void present_device(struct json *json, struct device_card *card) {
    struct identity identity;
    struct flexibility flexibility;
    char connection_text[CARD_TEXT_SIZE];
    copy_identity(card, &identity);
    device_card_text(card, CARD_CONNECTION, connection_text);
    live_read(card->live, &flexibility);
    json_object_open(json);
    json_put_string(json, "id", card->id);
    present_key(json, card->key, card->id);
    json_put_known(json, "name", card->name);
    json_put_string(json, "clusterId", card->cluster_id);
    json_put_string(json, "type", device_type_name(card->type));
    for (int id = POINT_TEXT_FIRST; id < POINT_COUNT; id++)
        json_put_known(json, point_word((enum point_id)id)->name,
                       id == POINT_MANUFACTURER && !identity.words[id - POINT_TEXT_FIRST][0]
                           ? card->maker
                           : identity.words[id - POINT_TEXT_FIRST]);
    json_put_known(json, "driver", card->driver);
    json_put_known(json, "link", card->link);
    json_put_integer(json, "unit", card->unit);
    json_put_known(json, "part", card->part);
    json_put_known(json, "role", card->role);
    json_put_string(json, "mode", card->observe ? "observe" : "control");
    json_put_boolean(json, "controllable", card->controllable);
    json_put_boolean(json, "hasStateOfCharge", card->has_soc);
    json_put_string(json, "connection", connection_name(flexibility.connection));
    json_put_known(json, "connectionDetail", connection_text);
    put_declared(card, json);
    json_object_close(json);
}

/* --- flexibility ------------------------------------------------------------------------------ */

static void put_state(struct json *json, const struct flexibility *flexibility) {
    double state = flexibility->values[POINT_STATE];
    bool known = state > STATE_UNKNOWN && state < STATE_COUNT;
    json_put_string(json, "state", known ? device_state_name((enum device_state)(int)state) : NULL);
}

static void put_name(struct json *json, enum point_id id) {
    json_key_of(json, point_word(id)->name, point_word(id)->name_length);
}

static void put_value(struct json *json, const struct flexibility *flexibility, enum point_id id) {
    put_name(json, id);
    json_write_double(json, flexibility->values[id]);
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
        if (flexibility->updated_ms[id] > 0) {
            put_name(json, (enum point_id)id);
            json_write_time(json, (struct wall){flexibility->updated_ms[id]});
        }
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

void present_flexibility(struct json *json, struct device_card *card) {
    struct flexibility flexibility;
    char connection_text[CARD_TEXT_SIZE];
    live_read(card->live, &flexibility);
    device_card_text(card, CARD_CONNECTION, connection_text);
    json_object_open(json);
    json_put_string(json, "deviceId", card->id);
    present_key(json, card->key, card->id);
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
    json_put_string(json, "watchdog",
                    flexibility.watchdog == WATCHDOG_UNKNOWN
                        ? NULL
                        : watchdog_state_name(flexibility.watchdog));
    put_values(json, &flexibility);
    json_object_close(json);
}
