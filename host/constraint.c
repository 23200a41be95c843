#include "constraint.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/report.h"
#include "vocabulary.h"

#define SECOND_MS 1000.0
#define HOUR_MS   (3600 * SECOND_MS)

struct constraint *constraint_new(const struct constraint *from) {
    struct constraint *constraint = malloc(sizeof *constraint);
    if (!constraint)
        return NULL;
    memcpy(constraint, from, sizeof *constraint);
    atomic_init(&constraint->references, 1);
    return constraint;
}

struct constraint *constraint_hold(struct constraint *constraint) {
    atomic_fetch_add_explicit(&constraint->references, 1, memory_order_relaxed);
    return constraint;
}

void constraint_release(struct constraint *constraint) {
    if (constraint &&
        atomic_fetch_sub_explicit(&constraint->references, 1, memory_order_acq_rel) == 1)
        free(constraint);
}

static const char *const scope_names[SCOPE_COUNT] = {
    [SCOPE_NONE] = "", [SCOPE_CONNECTION] = "connection", [SCOPE_CONTROLLABLE] = "controllable"};

const char *scope_name(enum scope scope) {
    return scope_names[scope];
}

bool scope_parse(const char *name, enum scope *scope) {
    for (int i = SCOPE_CONNECTION; i < SCOPE_COUNT; i++)
        if (strcmp(name, scope_names[i]) == 0) {
            *scope = (enum scope)i;
            return true;
        }
    return false;
}

void constraint_label(const struct constraint *constraint, char label[CONSTRAINT_LABEL_SIZE]) {
    const char *colon = strchr(constraint->created_by, ':');
    const char *by = colon ? colon + 1 : constraint->created_by;
    char until[WALL_TEXT_SIZE];
    wall_format(constraint->invalid_at, until);
    bool endless = constraint->invalid_at.ms >= CONSTRAINT_ENDLESS_MS;
    snprintf(label, CONSTRAINT_LABEL_SIZE, "%s, priority %d%s%s", by,
             (int)constraint->wish.priority, endless ? "" : ", until ", endless ? "" : until);
}

bool constraint_bounds(const struct constraint *constraint) {
    const struct wish *wish = &constraint->wish;
    return wish->has_min || wish->has_max || wish->has_min_soc || wish->has_max_soc ||
           constraint->has_current;
}

void constraint_version(const struct constraint *constraint,
                        char version[CONSTRAINT_VERSION_SIZE]) {
    const struct wish *wish = &constraint->wish;
    unsigned char hash[crypto_generichash_BYTES_MIN];
    char text[1200];
    /* Each field with its own mark, so that no two constraints give one text. */
    int length = snprintf(
        text, sizeof text,
        "%s %d s%d:%d a%d:%d b%d:%d m%d:%.17g x%d:%.17g c%d e%d v%" PRId64 " i%" PRId64 " f%" PRId64
        " r%s\n%s\n%" PRId64 " %d %d:%.17g:%.17g:%.17g",
        constraint->id, wish->priority, wish->has_set, wish->has_set ? wish->set : 0, wish->has_min,
        wish->has_min ? wish->min : 0, wish->has_max, wish->has_max ? wish->max : 0,
        wish->has_min_soc, wish->has_min_soc ? wish->min_soc : 0, wish->has_max_soc,
        wish->has_max_soc ? wish->max_soc : 0, (int)wish->on_conflict, wish->exclusive,
        constraint->valid_at.ms, constraint->invalid_at.ms, constraint->valid_for_ms,
        constraint->created_by, constraint->reason, constraint->created_at.ms,
        (int)constraint->scope, constraint->has_current,
        constraint->has_current ? constraint->max_current[0] : 0,
        constraint->has_current ? constraint->max_current[1] : 0,
        constraint->has_current ? constraint->max_current[2] : 0);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, (unsigned long long)length,
                       NULL, 0);
    sodium_bin2hex(version, CONSTRAINT_VERSION_SIZE, hash, (CONSTRAINT_VERSION_SIZE - 1) / 2);
}

/* --- the door --------------------------------------------------------------------------------- */

static const char *const power_keys[] = {"/activePower", "/minActivePower", "/maxActivePower"};

static void check_powers(const struct wish *wish, struct report *report) {
    const bool has[] = {wish->has_set, wish->has_min, wish->has_max};
    const int32_t values[] = {wish->set, wish->min, wish->max};
    for (size_t i = 0; i < 3; i++)
        if (has[i] && (values[i] >= POWER_UNBOUNDED || values[i] <= -POWER_UNBOUNDED))
            report_add(report, power_keys[i],
                       "%d W is more than any device can do; null means: no opinion", values[i]);
    if (wish->has_min && wish->has_max && wish->min > wish->max) {
        report_add(report, "/minActivePower",
                   "minActivePower %d W is above maxActivePower %d W; expected the lower bound to "
                   "be at most the upper one (import is positive, export is negative)",
                   wish->min, wish->max);
        return;
    }
    if (wish->has_set && wish->has_min && wish->set < wish->min)
        report_add(report, "/activePower",
                   "activePower %d W is below its own minActivePower %d W; expected a value inside "
                   "its own range",
                   wish->set, wish->min);
    if (wish->has_set && wish->has_max && wish->set > wish->max)
        report_add(report, "/activePower",
                   "activePower %d W is above its own maxActivePower %d W; expected a value inside "
                   "its own range",
                   wish->set, wish->max);
}

/* Only a value whose whole meaning lies on the wrong side: an upper bound of 5000 W on an inverter
 * is true of it at all times and merely without effect. */
static void check_sign(const struct wish *wish, int device_type, struct report *report) {
    if (device_type == DEVICE_INVERTER) {
        if (wish->has_set && wish->set > 0)
            report_add(report, "/activePower",
                       "production is negative: an inverter takes 0 W or less, got %d W (did you "
                       "mean -%d?)",
                       wish->set, wish->set);
        if (wish->has_min && wish->min > 0)
            report_add(report, "/minActivePower",
                       "production is negative: an inverter cannot be kept at or above %d W; to "
                       "limit production to %d W give minActivePower -%d",
                       wish->min, wish->min, wish->min);
        return;
    }
    const char *which = device_type == DEVICE_CHARGING_STATION ? "a charging station"
                        : device_type == DEVICE_HEAT_PUMP      ? "a heat pump"
                                                               : NULL;
    if (!which)
        return;
    if (wish->has_set && wish->set < 0)
        report_add(report, "/activePower",
                   "consumption is positive: %s takes 0 W or more, got %d W", which, wish->set);
    if (wish->has_max && wish->max < 0)
        report_add(report, "/maxActivePower",
                   "consumption is positive: %s cannot be kept at or below %d W; 0 switches it off",
                   which, wish->max);
}

static void check_soc(const struct wish *wish, bool has_soc, struct report *report) {
    const char *const keys[] = {"/minStateOfCharge", "/maxStateOfCharge"};
    const bool has[] = {wish->has_min_soc, wish->has_max_soc};
    const double values[] = {wish->min_soc, wish->max_soc};
    for (size_t i = 0; i < 2; i++) {
        if (!has[i])
            continue;
        if (!has_soc)
            report_add(report, keys[i],
                       "this device has no state of charge; leave %s out, or set it on a battery",
                       keys[i] + 1);
        if (!(values[i] >= 0 && values[i] <= 100))
            report_add(report, keys[i], "expected 0 to 100 %%, got %g", values[i]);
    }
    if (wish->has_min_soc && wish->has_max_soc && wish->min_soc > wish->max_soc)
        report_add(report, "/minStateOfCharge",
                   "minStateOfCharge %g %% is above maxStateOfCharge %g %%", wish->min_soc,
                   wish->max_soc);
}

static void check_times(const struct constraint *constraint, int64_t horizon_ms, struct now now,
                        struct report *report) {
    bool valid_for = constraint->valid_for_ms != 0;
    const char *end = valid_for ? "/validFor" : "/invalidAt";
    char valid_at[WALL_TEXT_SIZE];
    char invalid_at[WALL_TEXT_SIZE];
    char at[WALL_TEXT_SIZE];
    wall_format(constraint->valid_at, valid_at);
    wall_format(constraint->invalid_at, invalid_at);
    wall_format(now.wall, at);
    if (constraint->valid_for_ms < 0) {
        report_add(report, end, "expected more than 0 s, got %g s",
                   (double)constraint->valid_for_ms / SECOND_MS);
        return;
    }
    if (constraint->invalid_at.ms <= now.wall.ms)
        report_add(report, end, "it would end at %s, which is past: it is %s here", invalid_at, at);
    if (!valid_for && constraint->valid_at.ms >= constraint->invalid_at.ms)
        report_add(report, "/validAt", "validAt %s is not before invalidAt %s", valid_at,
                   invalid_at);
    bool too_long = constraint->valid_for_ms > horizon_ms;
    bool too_far = now.trusted && constraint->invalid_at.ms - now.wall.ms > horizon_ms;
    if (too_long || too_far)
        report_add(
            report, end,
            "it would end at %s; at most %g h ahead is accepted, and it is %s here: renew it "
            "in time instead",
            invalid_at, (double)horizon_ms / HOUR_MS, at);
}

static void check_device(const struct constraint *constraint, const struct door *door,
                         struct report *report) {
    const struct wish *wish = &constraint->wish;
    if (!door->controllable)
        report_add(report, "",
                   "this device cannot be controlled; put the constraint on its cluster");
    if (!wish->has_set && !constraint_bounds(constraint))
        report_add(report, "",
                   "the constraint says nothing; give at least one of activePower, minActivePower, "
                   "maxActivePower, minStateOfCharge, maxStateOfCharge");
}

static void check_cluster(const struct constraint *constraint, const struct door *door,
                          struct report *report) {
    const struct wish *wish = &constraint->wish;
    if (wish->has_set)
        report_add(report, "/activePower",
                   "a cluster takes limits only, which are split over its devices: give "
                   "minActivePower or maxActivePower, or put the set point on a device");
    if (wish->has_min_soc || wish->has_max_soc)
        report_add(report, wish->has_min_soc ? "/minStateOfCharge" : "/maxStateOfCharge",
                   "a cluster has no state of charge; put this on its batteries");
    if (!wish->has_set && !constraint_bounds(constraint))
        report_add(report, "",
                   "the constraint says nothing; give at least one of minActivePower, "
                   "maxActivePower, maxCurrentPhases");
    if (constraint->scope == SCOPE_CONNECTION && !door->sees_grid)
        report_add(report, "/scope",
                   "nothing tells what the connection of this cluster carries: give a device "
                   "role = \"grid\" or the cluster maxUncontrolledPower in the site file, or "
                   "limit the sum of its controllable devices with \"scope\": \"controllable\"");
}

bool constraint_check(const struct constraint *constraint, const struct door *door, struct now now,
                      struct report *report) {
    const struct wish *wish = &constraint->wish;
    size_t before = report->total;
    if (door->cluster)
        check_cluster(constraint, door, report);
    else
        check_device(constraint, door, report);
    if (wish->priority < 0)
        report_add(report, "/priority", "expected 0 to %d, got %d", PRIORITY_MAXIMUM,
                   wish->priority);
    check_powers(wish, report);
    if (!door->cluster) {
        check_sign(wish, door->device_type, report);
        check_soc(wish, door->has_soc, report);
    }
    check_times(constraint, door->horizon_ms, now, report);
    return report->total == before;
}

const char *constraint_status_name(enum constraint_status status) {
    static const char *const names[] = {[CONSTRAINT_SCHEDULED] = "scheduled",
                                        [CONSTRAINT_IN_FORCE] = "inForce",
                                        [CONSTRAINT_EXPIRED] = "expired"};
    return names[status];
}
