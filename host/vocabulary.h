/* The one table of words: device types, states, connections and the points a driver may publish,
 * with unit, range and sign. C, Lua, JSON, SQL and GET /v1/vocabulary all read it; nothing outside
 * it is ever published. Constant data, any thread.
 *
 * Sign: import is positive, export is negative, for every device type. Energy has no sign.
 * Unknown is NAN in a double and null in JSON; 0 means zero. */
#ifndef DERD_VOCABULARY_H
#define DERD_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum device_type {
    DEVICE_METER,
    DEVICE_INVERTER,
    DEVICE_BATTERY,
    DEVICE_CHARGING_STATION,
    DEVICE_HEAT_PUMP,
    DEVICE_GRID_OPERATOR_BOX,
    DEVICE_TYPE_COUNT
};

enum device_state {
    STATE_UNKNOWN,
    STATE_OFF,
    STATE_STARTING,
    STATE_READY,       /* able to work, not working now */
    STATE_UNPLUGGED,   /* a charging station without a vehicle */
    STATE_CHARGING,    /* battery or vehicle takes energy */
    STATE_DISCHARGING, /* battery or vehicle gives energy */
    STATE_PRODUCING,   /* an inverter feeds in */
    STATE_RUNNING,     /* a heat pump heats, a meter measures */
    STATE_SUSPENDED,   /* vehicle connected, does not take energy although it may */
    STATE_THROTTLED,   /* works below what it could, by command or temperature */
    STATE_STANDBY,
    STATE_ERROR,
    STATE_COUNT
};

enum connection {
    CONNECTION_CONNECTING, /* since the host started, or since it was added */
    CONNECTION_ONLINE,
    CONNECTION_OFFLINE,        /* does not answer */
    CONNECTION_WRONG_DEVICE,   /* answers, but is not the one seen first: no writes */
    CONNECTION_NOT_CONFIGURED, /* its driver is missing or broken */
    CONNECTION_QUARANTINED,    /* answers, but its driver's hooks are not called any more */
    CONNECTION_COUNT
};

/* What a token may do (token.h). No scope implies another. */
enum token_scope {
    TOKEN_READ,      /* see what there is, and previews */
    TOKEN_CONTROL,   /* constraints */
    TOKEN_CONFIGURE, /* clusters, devices, webhooks */
    TOKEN_SCRIPTS,   /* drivers and policies */
    TOKEN_ADMIN,     /* accounts and tokens */
    TOKEN_SCOPE_COUNT
};
#define TOKEN_SCOPES_ALL ((1U << TOKEN_SCOPE_COUNT) - 1)

/* Points. Powers and energies of the device as a whole come first; POINT_TEXT_FIRST and after are
 * texts (identity), all before are numbers (POINT_STATE holds an enum device_state). */
enum point_id {
    POINT_ACTIVE_POWER,
    POINT_ACTIVE_POWER_L1,
    POINT_ACTIVE_POWER_L2,
    POINT_ACTIVE_POWER_L3,
    POINT_REACTIVE_POWER,
    POINT_APPARENT_POWER,
    POINT_VOLTAGE_L1,
    POINT_VOLTAGE_L2,
    POINT_VOLTAGE_L3,
    POINT_CURRENT_L1,
    POINT_CURRENT_L2,
    POINT_CURRENT_L3,
    POINT_FREQUENCY,
    POINT_POWER_FACTOR,
    POINT_ENERGY_IMPORT,
    POINT_ENERGY_EXPORT,
    POINT_STATE_OF_CHARGE,
    POINT_STATE_OF_HEALTH,
    POINT_CAPACITY,
    POINT_TEMPERATURE,
    POINT_DC_POWER,
    POINT_DC_VOLTAGE,
    POINT_STATE,
    POINT_ACTIVE_PHASES,       /* phases that carry current now: 0..3 */
    POINT_RATED_POWER,         /* W, magnitude: what it may produce or take at most */
    POINT_MAX_CHARGE_POWER,    /* W, magnitude */
    POINT_MAX_DISCHARGE_POWER, /* W, magnitude */
    POINT_MIN_CURRENT,         /* A per phase: least step of a charging station, 6 by IEC 61851-1 */
    POINT_MAX_CURRENT,         /* A per phase */
    POINT_PHASES,              /* phases that the device may use: 1..3 */
    POINT_CURRENT_LIMIT,       /* A per phase: what the device applies now */
    POINT_CONTACT_1,           /* of a grid operator's box: 1 closed, 0 open */
    POINT_CONTACT_2,
    POINT_CONTACT_3,
    POINT_CONTACT_4,
    POINT_CONTACT_5,
    POINT_CONTACT_6,
    POINT_CONTACT_7,
    POINT_CONTACT_8,
    POINT_CONSUMPTION_LIMIT,        /* W, magnitude */
    POINT_CONSUMPTION_LIMIT_ACTIVE, /* 1: it is to be kept, 0: there is none */
    POINT_PRODUCTION_LIMIT,         /* W, magnitude */
    POINT_PRODUCTION_LIMIT_ACTIVE,
    POINT_HEARTBEAT, /* a number that changes while the box is in order */
    POINT_MANUFACTURER,
    POINT_MODEL,
    POINT_SERIAL_NUMBER,
    POINT_FIRMWARE_VERSION,
    POINT_COUNT
};
#define POINT_TEXT_FIRST   POINT_MANUFACTURER
#define POINT_NUMBER_COUNT POINT_TEXT_FIRST
#define CONTACT_COUNT      8 /* POINT_CONTACT_1 and after */

struct point_word {
    const char *name; /* "activePower" */
    size_t name_length;
    const char *unit; /* "W", "" when it has none */
    double minimum;   /* of a published value, inclusive */
    double maximum;
    const char *meaning; /* a sentence, with the sign where there is one */
};

const char *device_type_name(enum device_type type);
bool device_type_parse(const char *name, enum device_type *type);
/* What only tells something, and takes no part in what is decided: a meter, the operator's box. */
bool device_type_only_tells(enum device_type type);
const char *device_state_name(enum device_state state);
bool device_state_parse(const char *name, enum device_state *state);
const char *connection_name(enum connection connection);
const char *token_scope_name(enum token_scope scope);
bool token_scope_parse(const char *name, enum token_scope *scope);
const struct point_word *point_word(enum point_id id);
/* The id of a published point's name, or false. */
bool point_word_parse(const char *name, enum point_id *id);
/* Factor that turns a value in `from` into `to` ("kW" -> "W": 1000), or false: not the same kind.
 */
bool unit_factor(const char *from, const char *to, double *factor);
/* The whole vocabulary as the JSON of GET /v1/vocabulary. */
void vocabulary_write(struct buf *json);
/* NULL-terminated name lists, for schemas and messages. */
const char *const *device_type_names(void);
const char *const *device_state_names(void);
const char *const *point_names(void);
extern const char *const token_scope_words[TOKEN_SCOPE_COUNT + 1];

#endif
