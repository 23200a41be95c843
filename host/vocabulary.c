#include "vocabulary.h"

#include <string.h>

#include "constraint.h"
#include "driver.h"
#include "flexibility.h"

struct word {
    const char *name;
    const char *meaning;
};

static const struct word device_types[] = {
    [DEVICE_METER] = {"meter", "Measures a connection or a circuit; it cannot be controlled."},
    [DEVICE_INVERTER] = {"inverter", "Feeds in what solar modules produce."},
    [DEVICE_BATTERY] = {"battery", "Takes energy and gives it back."},
    [DEVICE_CHARGING_STATION] = {"chargingStation", "Charges a vehicle."},
    [DEVICE_HEAT_PUMP] = {"heatPump", "Turns electricity into heat."},
    [DEVICE_GRID_OPERATOR_BOX] = {"gridOperatorBox",
                                  "Tells the grid operator's limit by contacts or registers; it "
                                  "cannot be controlled."},
};

static const struct word device_states[] = {
    [STATE_UNKNOWN] = {"unknown", "The device does not say, or says something unheard of."},
    [STATE_OFF] = {"off", "Switched off."},
    [STATE_STARTING] = {"starting", "On its way to being ready."},
    [STATE_READY] = {"ready", "Able to work, not working now."},
    [STATE_UNPLUGGED] = {"unplugged", "A charging station without a vehicle."},
    [STATE_CHARGING] = {"charging", "A battery or a vehicle takes energy."},
    [STATE_DISCHARGING] = {"discharging", "A battery or a vehicle gives energy."},
    [STATE_PRODUCING] = {"producing", "An inverter feeds in."},
    [STATE_RUNNING] = {"running", "A heat pump heats, a meter measures."},
    [STATE_SUSPENDED] = {"suspended", "A vehicle is connected and takes nothing although it may."},
    [STATE_THROTTLED] = {"throttled", "Works below what it could, by command or by temperature."},
    [STATE_STANDBY] = {"standby", "Asleep; it wakes by itself or on command."},
    [STATE_ERROR] = {"error", "The device reports a fault."},
};

static const struct word connections[] = {
    [CONNECTION_CONNECTING] = {"connecting",
                               "Not reached yet since the host started or it was added."},
    [CONNECTION_ONLINE] = {"online", "Answers."},
    [CONNECTION_OFFLINE] = {"offline", "Does not answer."},
    [CONNECTION_WRONG_DEVICE] = {"wrongDevice",
                                 "Answers, but is not the device seen first: nothing is written."},
    [CONNECTION_NOT_CONFIGURED] = {"notConfigured", "Its driver is missing or broken."},
    [CONNECTION_QUARANTINED] = {"quarantined",
                                "Answers, but its driver's hooks failed too often and are not "
                                "called until the file changes: limits and the fallback hold, set "
                                "points do not."},
};

static const struct word token_scopes[] = {
    [TOKEN_READ] = {"read", "See what there is of the token's account and clusters; previews."},
    [TOKEN_CONTROL] = {"control", "Set and withdraw constraints, up to the token's priority."},
    [TOKEN_CONFIGURE] = {"configure", "Make, change and delete clusters, devices and webhooks."},
    [TOKEN_SCRIPTS] = {"scripts", "Upload and delete drivers and policies."},
    [TOKEN_ADMIN] = {"admin", "Accounts and tokens: change them, and list tokens."},
};

static const struct word command_states[] = {
    [COMMAND_NONE] = {0, "Nothing to tell yet, or the device cannot be told anything."},
    [COMMAND_OBSERVED] = {0, "Decided and never sent: the device is only observed."},
    [COMMAND_PENDING] = {0, "Decided; waits for its turn."},
    [COMMAND_SENT] = {0, "Written and not read back yet."},
    [COMMAND_CONFIRMED] = {0, "Written and read back."},
    [COMMAND_REJECTED] = {0, "The device refused it, or another value was read back."},
    [COMMAND_UNSUPPORTED] = {0, "The driver has no way to do it."},
    [COMMAND_UNREACHABLE] = {0, "The device does not answer; it is sent first on its return."},
    [COMMAND_DIVERGING] = {0, "The device is outside the bounds for longer than it may take."},
};

static const struct word followings[] = {
    [FOLLOWING_WITHIN] = {0, "Does what it was told."},
    [FOLLOWING_BELOW] = {0, "Takes or gives less than it may."},
    [FOLLOWING_ABOVE] = {0, "Takes or gives more than its set point."},
};

static const struct word watchdogs[] = {
    [WATCHDOG_NONE] = {0, "None: without the host it goes on with what it was told last."},
    [WATCHDOG_UNARMED] = {0, "It has one, and was told nothing that would have to end."},
    [WATCHDOG_ARMED] = {0, "Without the host it goes to its failsafe within its time-out."},
};

static const struct word outcomes[] = {
    [OUTCOME_APPLIED] = {0, "All of it took effect."},
    [OUTCOME_DISCARDED] = {0, "It conflicts with what stands above it and has no effect."},
    [OUTCOME_CLAMPED] = {0, "It took effect at the edge that what stands above it left."},
    [OUTCOME_OVERRIDDEN] = {0, "Its set point gave way to another; its bounds were applied."},
    [OUTCOME_EXCLUDED] = {0, "It stands below one that is exclusive."},
};

static const struct word constraint_statuses[] = {
    [CONSTRAINT_SCHEDULED] = {0, "It begins later."},
    [CONSTRAINT_IN_FORCE] = {0, "It is among those that are decided between now."},
    [CONSTRAINT_EXPIRED] = {0, "It has ended."},
};

static const struct word on_conflicts[] = {
    [ON_CONFLICT_DISCARD] = {0, "It has no effect when it conflicts with what stands above it."},
    [ON_CONFLICT_CLAMP] = {0, "It moves to the nearest edge of what stands above it."},
};

static const struct word scopes[] = {
    [SCOPE_CONNECTION] = {0, "What the grid meter shows: fuse, feed-in."},
    [SCOPE_CONTROLLABLE] = {0, "The sum of the controllable devices."},
};

static const struct word no_set_points[] = {
    [NO_SET_OWN_CONTROL] = {0, "The device decides by itself within the bounds."},
    [NO_SET_FOLLOWS_MAX] = {0, "The device takes what the upper bound allows."},
    [NO_SET_OFF] = {0, "The device stays off."},
};

/* Ranges are generous but finite: a value outside one is a wrong scale or a wrong register map. */
#define POWER_W   -1e9, 1e9
#define ENERGY_WH 0, 1e15
#define VOLTAGE_V 0, 100000
#define CURRENT_A -100000, 100000

#define NAME(text) text, sizeof(text) - 1

static const struct point_word points[] = {
    [POINT_ACTIVE_POWER] = {NAME("activePower"), "W", POWER_W,
                            "Active power; import is positive, export is negative."},
    [POINT_ACTIVE_POWER_L1] = {NAME("activePowerL1"), "W", POWER_W,
                               "Active power of phase 1; import is positive, export is negative."},
    [POINT_ACTIVE_POWER_L2] = {NAME("activePowerL2"), "W", POWER_W,
                               "Active power of phase 2; import is positive, export is negative."},
    [POINT_ACTIVE_POWER_L3] = {NAME("activePowerL3"), "W", POWER_W,
                               "Active power of phase 3; import is positive, export is negative."},
    [POINT_REACTIVE_POWER] = {NAME("reactivePower"), "var", POWER_W,
                              "Reactive power; inductive consumption is positive."},
    [POINT_APPARENT_POWER] = {NAME("apparentPower"), "VA", 0, 1e9,
                              "Apparent power, without a sign."},
    [POINT_VOLTAGE_L1] = {NAME("voltageL1"), "V", VOLTAGE_V, "Voltage of phase 1 to neutral."},
    [POINT_VOLTAGE_L2] = {NAME("voltageL2"), "V", VOLTAGE_V, "Voltage of phase 2 to neutral."},
    [POINT_VOLTAGE_L3] = {NAME("voltageL3"), "V", VOLTAGE_V, "Voltage of phase 3 to neutral."},
    [POINT_CURRENT_L1] = {NAME("currentL1"), "A", CURRENT_A,
                          "Current of phase 1; import is positive where the device gives a sign."},
    [POINT_CURRENT_L2] = {NAME("currentL2"), "A", CURRENT_A,
                          "Current of phase 2; import is positive where the device gives a sign."},
    [POINT_CURRENT_L3] = {NAME("currentL3"), "A", CURRENT_A,
                          "Current of phase 3; import is positive where the device gives a sign."},
    [POINT_FREQUENCY] = {NAME("frequency"), "Hz", 0, 1000, "Frequency of the grid."},
    [POINT_POWER_FACTOR] = {NAME("powerFactor"), "", -1, 1,
                            "Power factor; negative while exporting where the device says so."},
    [POINT_ENERGY_IMPORT] = {NAME("energyImport"), "Wh", ENERGY_WH,
                             "Energy imported so far, without a sign."},
    [POINT_ENERGY_EXPORT] = {NAME("energyExport"), "Wh", ENERGY_WH,
                             "Energy exported so far, without a sign."},
    [POINT_STATE_OF_CHARGE] = {NAME("stateOfCharge"), "%", 0, 100,
                               "Energy in a battery or vehicle, of what it can hold."},
    [POINT_STATE_OF_HEALTH] = {NAME("stateOfHealth"), "%", 0, 200,
                               "What a battery can hold today, of its rated capacity."},
    [POINT_CAPACITY] = {NAME("capacity"), "Wh", 0, 1e12, "Energy that a battery can hold."},
    [POINT_TEMPERATURE] = {NAME("temperature"), "degC", -273.15, 2000,
                           "Temperature of the device."},
    [POINT_DC_POWER] = {NAME("dcPower"), "W", POWER_W,
                        "Power on the DC side; import is positive, export is negative."},
    [POINT_DC_VOLTAGE] = {NAME("dcVoltage"), "V", VOLTAGE_V, "Voltage of the DC side."},
    [POINT_STATE] = {NAME("state"), "", 0, STATE_COUNT - 1, "What the device is doing."},
    [POINT_ACTIVE_PHASES] = {NAME("activePhases"), "", 0, 3, "Phases that carry current now."},
    [POINT_RATED_POWER] = {NAME("ratedPower"), "W", 0, 1e9,
                           "Most that the device may produce or take, without a sign."},
    [POINT_MAX_CHARGE_POWER] = {NAME("maxChargePower"), "W", 0, 1e9,
                                "Most that a battery may take now, without a sign."},
    [POINT_MAX_DISCHARGE_POWER] = {NAME("maxDischargePower"), "W", 0, 1e9,
                                   "Most that a battery may give now, without a sign."},
    [POINT_MIN_CURRENT] = {NAME("minCurrent"), "A", 0, 100000,
                           "Least current per phase with which a charging station can charge."},
    [POINT_MAX_CURRENT] = {NAME("maxCurrent"), "A", 0, 100000,
                           "Most current per phase that the device may take."},
    [POINT_PHASES] = {NAME("phases"), "", 0, 3, "Phases that the device may use."},
    [POINT_CURRENT_LIMIT] = {NAME("currentLimit"), "A", 0, 100000,
                             "Limit of the current per phase that the device applies now."},
    [POINT_CONTACT_1] = {NAME("contact1"), "", 0, 1,
                         "Contact 1 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_2] = {NAME("contact2"), "", 0, 1,
                         "Contact 2 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_3] = {NAME("contact3"), "", 0, 1,
                         "Contact 3 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_4] = {NAME("contact4"), "", 0, 1,
                         "Contact 4 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_5] = {NAME("contact5"), "", 0, 1,
                         "Contact 5 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_6] = {NAME("contact6"), "", 0, 1,
                         "Contact 6 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_7] = {NAME("contact7"), "", 0, 1,
                         "Contact 7 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONTACT_8] = {NAME("contact8"), "", 0, 1,
                         "Contact 8 of a grid operator's box; 1 is closed, 0 is open."},
    [POINT_CONSUMPTION_LIMIT] = {NAME("consumptionLimit"), "W", 0, 1e9,
                                 "Most consumption the grid operator allows, without a sign."},
    [POINT_CONSUMPTION_LIMIT_ACTIVE] = {NAME("consumptionLimitActive"), "", 0, 1,
                                        "Whether consumptionLimit holds; 0: there is no limit."},
    [POINT_PRODUCTION_LIMIT] = {NAME("productionLimit"), "W", 0, 1e9,
                                "Most production the grid operator allows, without a sign."},
    [POINT_PRODUCTION_LIMIT_ACTIVE] = {NAME("productionLimitActive"), "", 0, 1,
                                       "Whether productionLimit holds; 0: there is no limit."},
    [POINT_HEARTBEAT] = {NAME("heartbeat"), "", 0, 1e15,
                         "A number that changes while a grid operator's box is in order."},
    [POINT_MANUFACTURER] = {NAME("manufacturer"), "", 0, 0, "Who made the device."},
    [POINT_MODEL] = {NAME("model"), "", 0, 0, "What its maker calls it."},
    [POINT_SERIAL_NUMBER] = {NAME("serialNumber"), "", 0, 0, "Its serial number."},
    [POINT_FIRMWARE_VERSION] = {NAME("firmwareVersion"), "", 0, 0, "Version of its firmware."},
};

/* A value in a unit is value * numerator / denominator in the first unit of its kind. Two whole
 * numbers keep factors exact to the last bit. A share and a percentage are two kinds on purpose:
 * a device that reports 0.5 for 50 % needs a scale in its driver, where a reader sees it. */
static const struct unit {
    const char *name;
    const char *base;
    double numerator, denominator;
} units[] = {
    {"W", "W", 1, 1},      {"kW", "W", 1e3, 1},     {"MW", "W", 1e6, 1},     {"mW", "W", 1, 1e3},
    {"var", "var", 1, 1},  {"kvar", "var", 1e3, 1}, {"VA", "VA", 1, 1},      {"kVA", "VA", 1e3, 1},
    {"Wh", "Wh", 1, 1},    {"kWh", "Wh", 1e3, 1},   {"MWh", "Wh", 1e6, 1},   {"J", "Wh", 1, 3600},
    {"Ws", "Wh", 1, 3600}, {"kJ", "Wh", 1e3, 3600}, {"MJ", "Wh", 1e6, 3600}, {"V", "V", 1, 1},
    {"mV", "V", 1, 1e3},   {"kV", "V", 1e3, 1},     {"A", "A", 1, 1},        {"mA", "A", 1, 1e3},
    {"Hz", "Hz", 1, 1},    {"mHz", "Hz", 1, 1e3},   {"%", "%", 1, 1},        {"s", "s", 1, 1},
    {"ms", "s", 1, 1e3},   {"min", "s", 60, 1},     {"h", "s", 3600, 1},     {"degC", "degC", 1, 1},
    {"°C", "degC", 1, 1},  {"", "", 1, 1},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(COUNT_OF(device_types) == DEVICE_TYPE_COUNT, "each device type has a word");
_Static_assert(COUNT_OF(device_states) == STATE_COUNT, "each state has a word");
_Static_assert(COUNT_OF(connections) == CONNECTION_COUNT, "each connection has a word");
_Static_assert(COUNT_OF(token_scopes) == TOKEN_SCOPE_COUNT, "each scope of tokens has a word");
_Static_assert(COUNT_OF(command_states) == COMMAND_DIVERGING + 1, "each command state has a word");
_Static_assert(COUNT_OF(scopes) == SCOPE_COUNT, "each scope has a word");
_Static_assert(COUNT_OF(no_set_points) == NO_SET_COUNT, "each behaviour has a word");
_Static_assert(COUNT_OF(points) == POINT_COUNT, "each point has a word");

static bool word_find(const struct word *words, size_t count, const char *name, size_t *index) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i].name, name) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

const char *device_type_name(enum device_type type) {
    return device_types[type].name;
}

bool device_type_parse(const char *name, enum device_type *type) {
    size_t index;
    if (!word_find(device_types, DEVICE_TYPE_COUNT, name, &index))
        return false;
    *type = (enum device_type)index;
    return true;
}

bool device_type_only_tells(enum device_type type) {
    return type == DEVICE_METER || type == DEVICE_GRID_OPERATOR_BOX;
}

const char *device_state_name(enum device_state state) {
    return device_states[state].name;
}

bool device_state_parse(const char *name, enum device_state *state) {
    size_t index;
    if (!word_find(device_states, STATE_COUNT, name, &index))
        return false;
    *state = (enum device_state)index;
    return true;
}

const char *connection_name(enum connection connection) {
    return connections[connection].name;
}

const char *token_scope_name(enum token_scope scope) {
    return token_scopes[scope].name;
}

bool token_scope_parse(const char *name, enum token_scope *scope) {
    size_t index;
    if (!word_find(token_scopes, TOKEN_SCOPE_COUNT, name, &index))
        return false;
    *scope = (enum token_scope)index;
    return true;
}

const struct point_word *point_word(enum point_id id) {
    return &points[id];
}

bool point_word_parse(const char *name, enum point_id *id) {
    for (size_t i = 0; i < POINT_COUNT; i++) {
        if (strcmp(points[i].name, name) == 0) {
            *id = (enum point_id)i;
            return true;
        }
    }
    return false;
}

static const struct unit *unit_find(const char *name) {
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    return NULL;
}

bool unit_factor(const char *from, const char *to, double *factor) {
    const struct unit *a = unit_find(from);
    const struct unit *b = unit_find(to);
    if (!a || !b || strcmp(a->base, b->base) != 0)
        return false;
    *factor = (a->numerator * b->denominator) / (a->denominator * b->numerator);
    return true;
}

static void write_word(struct buf *json, const char *name, const char *meaning, bool first) {
    buf_format(json, "%s{\"name\":\"%s\",\"meaning\":\"%s\"}", first ? "" : ",", name, meaning);
}

static void write_words(struct buf *json, const char *list, const struct word *words,
                        size_t count) {
    buf_format(json, "\"%s\":[", list);
    for (size_t i = 0; i < count; i++)
        write_word(json, words[i].name, words[i].meaning, i == 0);
    buf_text(json, "],");
}

/* A list whose names stand with their enum: `name_of` gives them. What has no meaning here is never
 * shown and left out. */
#define WRITE_NAMED(json, list, words, type, name_of)                                              \
    do {                                                                                           \
        bool first = true;                                                                         \
        buf_format(json, "\"%s\":[", list);                                                        \
        for (size_t i = 0; i < COUNT_OF(words); i++) {                                             \
            if (!(words)[i].meaning)                                                               \
                continue;                                                                          \
            write_word(json, name_of((type)i), (words)[i].meaning, first);                         \
            first = false;                                                                         \
        }                                                                                          \
        buf_text(json, "],");                                                                      \
    } while (0)

static void write_named_words(struct buf *json) {
    WRITE_NAMED(json, "commandStates", command_states, enum command_state, command_state_name);
    WRITE_NAMED(json, "followings", followings, enum following, following_name);
    WRITE_NAMED(json, "watchdogs", watchdogs, enum watchdog_state, watchdog_state_name);
    WRITE_NAMED(json, "outcomes", outcomes, enum outcome, outcome_name);
    WRITE_NAMED(json, "constraintStatuses", constraint_statuses, enum constraint_status,
                constraint_status_name);
    WRITE_NAMED(json, "onConflicts", on_conflicts, enum on_conflict, on_conflict_name);
    WRITE_NAMED(json, "scopes", scopes, enum scope, scope_name);
    WRITE_NAMED(json, "withoutSetPoint", no_set_points, enum no_set_point, no_set_point_name);
}

static void write_point(struct buf *json, size_t id) {
    const struct point_word *word = &points[id];
    const char *type = id >= POINT_TEXT_FIRST ? "text" : id == POINT_STATE ? "state" : "number";
    buf_format(json, "{\"name\":\"%s\",\"unit\":\"%s\",\"type\":\"%s\",", word->name, word->unit,
               type);
    if (strcmp(type, "number") == 0)
        buf_format(json, "\"minimum\":%.17g,\"maximum\":%.17g,", word->minimum, word->maximum);
    else
        buf_text(json, "\"minimum\":null,\"maximum\":null,");
    buf_format(json, "\"meaning\":\"%s\"}", word->meaning);
}

/* No text of the tables above holds a character that JSON would escape. */
void vocabulary_write(struct buf *json) {
    buf_char(json, '{');
    write_words(json, "deviceTypes", device_types, DEVICE_TYPE_COUNT);
    write_words(json, "states", device_states, STATE_COUNT);
    write_words(json, "connections", connections, CONNECTION_COUNT);
    write_named_words(json);
    write_words(json, "tokenScopes", token_scopes, TOKEN_SCOPE_COUNT);
    buf_text(json, "\"points\":[");
    for (size_t i = 0; i < POINT_COUNT; i++) {
        if (i)
            buf_char(json, ',');
        write_point(json, i);
    }
    buf_text(json, "],\"units\":[");
    for (size_t i = 0; i < COUNT_OF(units); i++)
        buf_format(json, "%s{\"name\":\"%s\",\"base\":\"%s\",\"factor\":%.17g}", i ? "," : "",
                   units[i].name, units[i].base, units[i].numerator / units[i].denominator);
    buf_text(json, "],\"sign\":\"Import is positive, export is negative, for every device type. "
                   "Energy has no sign.\"}");
}

/* The lists are spelled out so that they are constant data; a test holds them against the tables.
 */
const char *const *device_type_names(void) {
    static const char *const names[] = {"meter",    "inverter",        "battery", "chargingStation",
                                        "heatPump", "gridOperatorBox", NULL};
    _Static_assert(COUNT_OF(names) == DEVICE_TYPE_COUNT + 1, "complete");
    return names;
}

const char *const *device_state_names(void) {
    static const char *const names[] = {
        "unknown",   "off",     "starting",  "ready",     "unplugged", "charging", "discharging",
        "producing", "running", "suspended", "throttled", "standby",   "error",    NULL};
    _Static_assert(COUNT_OF(names) == STATE_COUNT + 1, "complete");
    return names;
}

const char *const token_scope_words[TOKEN_SCOPE_COUNT + 1] = {"read",    "control", "configure",
                                                              "scripts", "admin",   NULL};

const char *const *point_names(void) {
    static const char *const names[] = {"activePower",
                                        "activePowerL1",
                                        "activePowerL2",
                                        "activePowerL3",
                                        "reactivePower",
                                        "apparentPower",
                                        "voltageL1",
                                        "voltageL2",
                                        "voltageL3",
                                        "currentL1",
                                        "currentL2",
                                        "currentL3",
                                        "frequency",
                                        "powerFactor",
                                        "energyImport",
                                        "energyExport",
                                        "stateOfCharge",
                                        "stateOfHealth",
                                        "capacity",
                                        "temperature",
                                        "dcPower",
                                        "dcVoltage",
                                        "state",
                                        "activePhases",
                                        "ratedPower",
                                        "maxChargePower",
                                        "maxDischargePower",
                                        "minCurrent",
                                        "maxCurrent",
                                        "phases",
                                        "currentLimit",
                                        "contact1",
                                        "contact2",
                                        "contact3",
                                        "contact4",
                                        "contact5",
                                        "contact6",
                                        "contact7",
                                        "contact8",
                                        "consumptionLimit",
                                        "consumptionLimitActive",
                                        "productionLimit",
                                        "productionLimitActive",
                                        "heartbeat",
                                        "manufacturer",
                                        "model",
                                        "serialNumber",
                                        "firmwareVersion",
                                        NULL};
    _Static_assert(COUNT_OF(names) == POINT_COUNT + 1, "complete");
    return names;
}
