/* A policy: `run(snapshot, params, state) -> proposals`, on a clock. This module compiles a policy
 * file's table, checks an instance's parameters, calls run() and reads its proposals. What becomes
 * of proposals is the engine's business. Engine thread.
 *
 *   return { api = 1, name = "solar_charging", every = 5, after = "grid",
 *            parameters = { grid = { type = "device", device = "meter" },
 *                           chargers = { type = "devices", device = "chargingStation" },
 *                           startDelay = { type = "number", unit = "s", min = 0, max = 3600,
 *                                          default = 60 } },
 *            run = function(snapshot, params, state) ... return { [key] = proposal } end }
 */
#ifndef DERD_POLICY_H
#define DERD_POLICY_H

#include <jansson.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/report.h"
#include "constraint.h"
#include "directory.h"
#include "script/script.h"

#define POLICY_API              1
#define POLICY_PRIORITY_MAXIMUM 999
#define POLICY_MAX_PROPOSALS    64
#define POLICY_STATE_MAXIMUM    16384 /* bytes of JSON */
#define POLICY_MAX_PARAMETERS   32
#define POLICY_MAX_DEVICES      64 /* in one list */

enum policy_parameter_type {
    POLICY_NUMBER,
    POLICY_STRING,
    POLICY_BOOLEAN,
    POLICY_DEVICE, /* key of a device of the same cluster */
    POLICY_DEVICES /* a list of such keys */
};

struct policy_parameter {
    char name[POINT_NAME_SIZE];
    enum policy_parameter_type type;
    bool has_device_type;
    enum device_type device_type;
    char unit[8];
    double minimum, maximum; /* of a POLICY_NUMBER */
    bool required;
    json_t *fallback; /* default, or NULL */
};
/* "number", "string", "boolean", "device", "devices": as policy files say it. */
const char *policy_parameter_type_name(enum policy_parameter_type type);

struct policy {
    char name[DRIVER_NAME_SIZE];
    char version[32];
    int64_t every_ms; /* 1 s .. 1 h */
    int after;        /* index of the POLICY_DEVICE parameter whose fresh sample starts
                         a tick, or POINT_NONE: on the clock alone */
    int64_t lease_ms; /* default of proposals: 3 x every, at least 15 s */
    struct policy_parameter *parameters;
    int parameter_count;
};

/* NULL with every mistake. */
struct policy *policy_compile(const json_t *tree, const char *name, struct report *report);
void policy_free(struct policy *policy);
/* An instance's parameters from the site file (its keys `key`, `policy`, `priority` left out):
 * defaults filled in, types checked. `device_type` answers for a key of the cluster: true and its
 * type, or false. New reference, NULL with mistakes. */
typedef bool policy_device_type(void *context, const char *key, enum device_type *type);
json_t *policy_parameters(const struct policy *policy, const json_t *given, const char *where,
                          policy_device_type *device_type, void *context, struct report *report);

struct policy_device { /* what a snapshot shows of one device named in the parameters */
    char key[KEY_SIZE];
    enum device_type type;
    struct flexibility flexibility;
};

struct proposal {
    char key[CREATOR_SIZE];
    char device[KEY_SIZE];
    struct wish wish; /* priority and rank not set; on_conflict defaults to clamp */
    int64_t lease_ms;
    char reason[REASON_SIZE];
};

struct policy_result {
    struct proposal proposals[POLICY_MAX_PROPOSALS];
    size_t count;
    json_t *state; /* what `state` holds after the call: plain data; new reference */
};

/* Calls run(). In the snapshot: `now` (s since 1970), `elapsed` (s since the last tick of this
 * instance, 0 at the first), `devices[key]` with `type`, `connection`, `state`, each number of the
 * vocabulary by its name (nil when unknown or past its trust), `at[name]` and `age[name]` in s,
 * `allowedRanges` ({{0, 0}, {1380, 11040}}: what the device can do, W), their ends as
 * `minActivePower` and `maxActivePower` and the lowest step above 0 as `leastActivePower` (nil when
 * there is none; of a charging station what that step takes at the voltage there is), and `stale`.
 * A device that is not listed in `devices` does not exist for the policy; proposals for one are
 * mistakes. Powers are rounded toward 0 to whole watts; proposals come out sorted by key. `state`
 * may be NULL (empty). SCRIPT_RAISED also when what it returned is not a table of proposals;
 * nothing is half taken. */
enum script_outcome policy_run(const struct policy *policy, struct script *script,
                               const json_t *parameters, const json_t *state, struct now now,
                               double elapsed_s, const struct policy_device *devices,
                               size_t device_count, struct policy_result *result,
                               char error[SCRIPT_ERROR_SIZE]);
void policy_result_free(struct policy_result *result);

#endif
