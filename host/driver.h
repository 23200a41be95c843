/* A driver: how one make of device speaks. One Lua file that returns data; this module turns that
 * data, once checked, into compiled tables that C polls and writes by. A driver without hooks needs
 * no Lua after that. Format version: DRIVER_API. drivers/README.md tells authors the same.
 *
 * Compiled drivers are immutable and counted by reference; engine thread. */
#ifndef DERD_DRIVER_H
#define DERD_DRIVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/report.h"
#include "block.h"
#include "point.h"
#include "vocabulary.h"

#define DRIVER_API            1
#define DRIVER_NAME_SIZE      64
#define DRIVER_MAX_POINTS     400
#define DRIVER_MAX_PARTS      4
#define DRIVER_MAX_PARAMETERS 16
#define CONTROL_MAX_WRITES    12

/* How a decision reaches the device. Which case holds follows from the decision (control.h). */
enum control_case {
    CONTROL_CHARGE,    /* a set point above 0: consume */
    CONTROL_DISCHARGE, /* a set point below 0: produce */
    CONTROL_HOLD,      /* a set point of 0 */
    CONTROL_LIMIT,     /* no set point, but bounds narrower than what the device can do */
    CONTROL_RELEASE,   /* nothing is in force: the device's own control */
    CONTROL_CASE_COUNT
};

enum control_source {
    SOURCE_VALUE,               /* the constant `value` */
    SOURCE_POWER,               /* magnitude of the set point, W */
    SOURCE_CURRENT,             /* A per phase for a consuming set point within the upper bound */
    SOURCE_MAX_CHARGE_POWER,    /* upper bound, at least 0, W */
    SOURCE_MAX_DISCHARGE_POWER, /* magnitude of the lower bound, at least 0, W */
    SOURCE_PHASES,              /* 1 or 3: the phases to charge on */
    SOURCE_PARAMETER            /* a parameter of the driver as set in the site file */
};

struct control_write {
    int point; /* index into points, writable */
    enum control_source source;
    double value;   /* SOURCE_VALUE: in the point's unit */
    double scale;   /* factor on a source, default 1 */
    int percent_of; /* enum point_id whose quantity is 100 %, or POINT_NONE */
    int parameter;  /* SOURCE_PARAMETER */
};

enum no_set_point { NO_SET_OWN_CONTROL, NO_SET_FOLLOWS_MAX, NO_SET_OFF };
#define NO_SET_COUNT 3
const char *no_set_point_name(enum no_set_point no_set_point); /* "ownControl" */

struct control {
    bool present; /* false: cannot be controlled */
    enum no_set_point no_set_point;
    struct control_write writes[CONTROL_CASE_COUNT][CONTROL_MAX_WRITES];
    int write_count[CONTROL_CASE_COUNT]; /* 0: the device has no way to do that */
    int64_t refresh_ms;      /* rewrite at least this often while in force (watchdogs), 0: never */
    int64_t min_interval_ms; /* between raises, default 0 */
    int32_t least_change_w;  /* smaller raises wait, default 0 */
    int32_t ramp_w_per_s;    /* of raises, 0: none */
    int32_t writes_per_day;  /* budget, 0: none; reductions are never refused */
    int64_t lag_ms;          /* until the measured power follows, default 10 s */
    int32_t tolerance_w;     /* standby draw and meter noise, default 50 */
    bool phase_switching;    /* the host chooses on how many phases the station charges */
    bool has_watchdog;       /* the device returns to a safe state by itself when the host dies */
    int failsafe_parameter;  /* which holds that state, A on each phase; POINT_NONE: see the next */
    int revert_parameter;    /* s until it is its own control, which permanent limits of the site
                                rule out; POINT_NONE: not that */
};

struct driver_parameter {
    char name[POINT_NAME_SIZE];
    int id; /* enum point_id when it is a vocabulary quantity (ratedPower), else POINT_NONE */
    char unit[8];
    double minimum, maximum;
    bool has_default;
    double fallback;
};

struct driver_part {
    char name[POINT_NAME_SIZE]; /* "" for a driver without parts */
    enum device_type type;
    struct control control;
    struct must_run { /* the least power of a device that cannot be at 0 W */
        bool present;
        double watts;  /* a constant, or */
        int parameter; /* what holds it: index of a parameter, or POINT_NONE */
        int quantity;  /* enum point_id, or POINT_NONE */
    } must_run;
    bool has_fallback;
    struct wish_fallback {
        bool has_set, has_min, has_max;
        int32_t set, min, max;
    } fallback;
};

struct driver_fingerprint { /* all rows must match: derd probe, and the check at connect */
    enum register_kind kind;
    uint16_t address;
    uint16_t words;
    enum encoding encoding;
    bool is_text;
    char text[64]; /* expected start of the text */
    int64_t raw;
};

/* What carries a device: the part of its link's URL before "://". */
enum link_kind {
    LINK_TCP,    /* Modbus TCP */
    LINK_SERIAL, /* Modbus RTU */
    LINK_HTTP,   /* http:// and https:// */
    LINK_UDP,
    LINK_LINE, /* lines of text over TCP */
    LINK_MQTT, /* mqtt:// and mqtts:// */
    LINK_KIND_COUNT
};

enum link_auth { LINK_AUTH_NONE, LINK_AUTH_BASIC, LINK_AUTH_DIGEST, LINK_AUTH_BEARER };

#define DRIVER_MAX_TOPICS 8

struct driver_io { /* of links that hooks talk over */
    enum link_auth auth;
    unsigned local_port;                /* UDP: ours, 0: any */
    char line_end[3];                   /* of a line that is sent */
    char topics[DRIVER_MAX_TOPICS][64]; /* MQTT: subscribed at once, behind the link's prefix */
    int topic_count;
};

struct driver {
    unsigned references;
    char name[DRIVER_NAME_SIZE];
    char version[32];
    char manufacturer[64];
    json_t *models; /* array of strings, for listings */
    unsigned links; /* bits of enum link_kind: what it speaks over */
    struct driver_io io;
    bool sunspec; /* points are placed by model: walk the chain at each connect */
    uint16_t sunspec_bases[4];
    int sunspec_base_count;
    int64_t timeout_ms; /* per transaction, default 1000 */
    int64_t pause_ms;
    int in_flight;
    struct block_limits limits; /* holes owned */
    struct block_hole *holes;
    struct driver_fingerprint *fingerprints;
    size_t fingerprint_count;
    struct driver_parameter parameters[DRIVER_MAX_PARAMETERS];
    int parameter_count;
    struct driver_part parts[DRIVER_MAX_PARTS];
    int part_count; /* at least 1 */
    struct point *points;
    int point_count;
    bool hook_values;  /* hooks.values(dev, values) -> changes */
    bool hook_command; /* hooks.command(dev, decision) -> list of writes */
    bool hook_migrate; /* hooks.migrate(state, fromVersion) -> state */
    bool hook_read;    /* hooks.read(dev) -> values of points of kind "value" */
    bool hook_write;   /* hooks.write(dev, writes) -> true */
    int state_version; /* of what its hooks keep in dev.state, default 0 */
    char path[256];    /* file it came from */
};

/* The checked and compiled form of what a driver file returned; NULL with every mistake found.
 * `name` is the file's name without ".lua": driver.name must say the same. */
struct driver *driver_compile(const json_t *tree, const char *name, struct report *report);
struct driver *driver_hold(struct driver *driver);
void driver_release(struct driver *driver);
bool driver_has_hooks(const struct driver *driver);
/* "tcp", "serial", "http", "udp", "line", "mqtt", NULL. */
const char *const *link_kind_names(void);
/* Index of the part called `name` ("" or NULL: the only one), POINT_NONE if there is none. */
int driver_part_find(const struct driver *driver, const char *name);
/* Checks a site file's parameters against the driver's and fills values[parameter_count]. */
bool driver_parameters(const struct driver *driver, const json_t *given, const char *where,
                       double *values, struct report *report);

#endif
