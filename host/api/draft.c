#include "api/draft.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/schema.h"

#define POWER_LARGEST     1e9 /* W: beyond any site, well inside int32_t */
#define VALID_FOR_MAXIMUM (366.0 * 86400)
#define CURRENT_LARGEST   1e5 /* A */
#define TEXT_TIME         64

static const char *const on_conflict_words[] = {"discard", "clamp", NULL};

#define POWER_FIELD(name, text)                                                                    \
    {                                                                                              \
        .key = (name), .kind = SCHEMA_INTEGER, .nullable = true, .minimum = -POWER_LARGEST,        \
        .maximum = POWER_LARGEST, .help = (text)                                                   \
    }
#define PERCENT_FIELD(name, text)                                                                  \
    {                                                                                              \
        .key = (name), .kind = SCHEMA_NUMBER, .nullable = true, .minimum = 0, .maximum = 100,      \
        .help = (text)                                                                             \
    }
#define TIME_FIELD(name, text)                                                                     \
    {                                                                                              \
        .key = (name), .kind = SCHEMA_STRING, .nullable = true, .minimum = 1,                      \
        .maximum = TEXT_TIME, .help = (text)                                                       \
    }

/* clang-format off */
#define COMMON_FIELDS                                                                              \
    {.key = "priority", .kind = SCHEMA_INTEGER, .required = true, .minimum = 0,                    \
     .maximum = PRIORITY_MAXIMUM, .help = "the higher one wins"},                                  \
    POWER_FIELD("activePower", "W, the power to take; import is positive"),                        \
    POWER_FIELD("minActivePower", "W, import is positive"),                                        \
    POWER_FIELD("maxActivePower", "W, import is positive"),                                        \
    PERCENT_FIELD("minStateOfCharge", "%, no discharging at or below"),                            \
    PERCENT_FIELD("maxStateOfCharge", "%, no charging at or above"),                               \
    TIME_FIELD("validAt", "RFC 3339, \"2030-01-31T18:00:00Z\""),                                   \
    TIME_FIELD("invalidAt", "RFC 3339, \"2030-01-31T18:00:00Z\""),                                 \
    {.key = "validFor", .kind = SCHEMA_NUMBER, .nullable = true, .minimum = 0.001,                 \
     .maximum = VALID_FOR_MAXIMUM, .help = "s, instead of invalidAt"},                             \
    {.key = "onConflict", .kind = SCHEMA_ENUM, .nullable = true, .one_of = on_conflict_words},     \
    {.key = "exclusive", .kind = SCHEMA_BOOLEAN, .nullable = true},                                \
    {.key = "reason", .kind = SCHEMA_STRING, .nullable = true, .minimum = 0,                       \
     .maximum = REASON_SIZE - 1, .help = "a sentence for people"}
/* clang-format on */

static const struct schema fields[] = {COMMON_FIELDS, {.key = NULL}};
static const struct schema body = {.kind = SCHEMA_OBJECT, .fields = fields};

static const char *const scope_words[] = {"connection", "controllable", NULL};
static const struct schema current_item = {.kind = SCHEMA_NUMBER,
                                           .nullable = true,
                                           .minimum = 0,
                                           .maximum = CURRENT_LARGEST,
                                           .help = "A, either way"};
static const struct schema cluster_fields[] = {
    COMMON_FIELDS,
    {.key = "scope",
     .kind = SCHEMA_ENUM,
     .nullable = true,
     .one_of = scope_words,
     .help = "connection when left out: what the grid meter shows"},
    {.key = "maxCurrentPhases",
     .kind = SCHEMA_ARRAY,
     .nullable = true,
     .item = &current_item,
     .minimum = 3,
     .maximum = 3,
     .help = "A on L1, L2, L3"},
    {.key = NULL},
};
static const struct schema cluster_body = {.kind = SCHEMA_OBJECT, .fields = cluster_fields};

/* A number that can be used although the schema may have found mistakes elsewhere. */
static bool read_number(const json_t *tree, const char *key, double minimum, double maximum,
                        double *value) {
    const json_t *field = json_object_get(tree, key);
    if (!json_is_number(field))
        return false;
    *value = json_number_value(field);
    return isfinite(*value) && *value >= minimum && *value <= maximum;
}

static bool read_watts(const json_t *tree, const char *key, int32_t *watts) {
    double value;
    if (!read_number(tree, key, -POWER_LARGEST, POWER_LARGEST, &value) || value != floor(value))
        return false;
    *watts = (int32_t)value;
    return true;
}

static void read_wish(const json_t *tree, struct wish *wish) {
    double priority;
    if (read_number(tree, "priority", 0, PRIORITY_MAXIMUM, &priority))
        wish->priority = (int32_t)priority;
    wish->has_set = read_watts(tree, "activePower", &wish->set);
    wish->has_min = read_watts(tree, "minActivePower", &wish->min);
    wish->has_max = read_watts(tree, "maxActivePower", &wish->max);
    wish->has_min_soc = read_number(tree, "minStateOfCharge", 0, 100, &wish->min_soc);
    wish->has_max_soc = read_number(tree, "maxStateOfCharge", 0, 100, &wish->max_soc);
    wish->on_conflict = strcmp(tree_string(tree, "onConflict", "discard"), "clamp") == 0
                            ? ON_CONFLICT_CLAMP
                            : ON_CONFLICT_DISCARD;
    wish->exclusive = json_is_true(json_object_get(tree, "exclusive"));
}

static void read_cluster(const json_t *tree, struct constraint *draft) {
    const json_t *currents = json_object_get(tree, "maxCurrentPhases");
    draft->scope = SCOPE_CONNECTION;
    (void)scope_parse(tree_string(tree, "scope", ""), &draft->scope);
    for (size_t i = 0; i < 3; i++) {
        const json_t *current = json_array_get(currents, i);
        draft->max_current[i] = json_is_number(current) ? json_number_value(current) : (double)NAN;
        draft->has_current = draft->has_current || json_is_number(current);
    }
}

/* True when the field is there and a moment; a text that is none is a mistake. */
static bool read_time(const json_t *tree, const char *key, struct wall *at, struct report *report) {
    const json_t *field = json_object_get(tree, key);
    if (!json_is_string(field))
        return false;
    char where[32];
    snprintf(where, sizeof where, "/%s", key);
    if (wall_parse(json_string_value(field), json_string_length(field), at)) {
        /* What is beyond could not be shown as it was given: before 1970 stands for unknown. */
        if (at->ms > 0 && at->ms <= CONSTRAINT_ENDLESS_MS)
            return true;
        report_add(report, where, "expected a moment from 1970 to 9999, got \"%.60s\"",
                   json_string_value(field));
        return false;
    }
    report_add(report, where,
               "expected a moment like \"2030-01-31T18:00:00Z\", got \"%.60s\"; give date, time "
               "and Z or an offset",
               json_string_value(field));
    return false;
}

static bool is_given(const json_t *tree, const char *key) {
    const json_t *field = json_object_get(tree, key);
    return field && !json_is_null(field);
}

/* False when the times are not usable; why is in the report. */
static bool read_times(const json_t *tree, struct now now, struct constraint *draft,
                       struct report *report) {
    bool has_end = is_given(tree, "invalidAt");
    bool has_length = is_given(tree, "validFor");
    double seconds = 0;
    bool ok = true;
    draft->valid_at = now.wall;
    if (is_given(tree, "validAt"))
        ok = read_time(tree, "validAt", &draft->valid_at, report);
    if (has_end && has_length) {
        report_add(report, "/validFor",
                   "invalidAt and validFor both say when it ends; give one of them");
        return false;
    }
    if (!has_end && !has_length) {
        report_add(report, "/invalidAt",
                   "nothing says when it ends; give invalidAt (a moment) or validFor (seconds)");
        return false;
    }
    if (has_end)
        return read_time(tree, "invalidAt", &draft->invalid_at, report) && ok;
    if (!read_number(tree, "validFor", 0.001, VALID_FOR_MAXIMUM, &seconds))
        return false;
    draft->valid_for_ms = (int64_t)llround(seconds * 1000);
    draft->invalid_at.ms = draft->valid_at.ms + draft->valid_for_ms;
    return ok;
}

bool draft_read(const json_t *tree, const struct door *door, struct now now,
                struct constraint *draft, struct report *report) {
    size_t before = report->total;
    *draft = (struct constraint){0};
    bool form_ok =
        schema_check(door->cluster ? &cluster_body : &body, tree, "", PATH_POINTER, report);
    read_wish(tree, &draft->wish);
    if (door->cluster)
        read_cluster(tree, draft);
    const json_t *reason = json_object_get(tree, "reason");
    if (json_is_string(reason))
        snprintf(draft->reason, sizeof draft->reason, "%s", json_string_value(reason));
    if (!read_times(tree, now, draft, report)) {
        /* Times that pass, so that the check finds what else is wrong and nothing that is not. */
        draft->valid_at = now.wall;
        draft->valid_for_ms = 0;
        draft->invalid_at.ms = now.wall.ms + 1000;
    }
    struct report sense;
    report_init(&sense);
    (void)constraint_check(draft, door, now, &sense);
    /* "Says nothing" would be wrong of a body whose fields say something unreadable. */
    for (size_t i = 0; i < sense.count; i++)
        if (form_ok || sense.items[i].where[0] || !(door->controllable || door->cluster))
            report_add(report, sense.items[i].where, "%s", sense.items[i].text);
    report_free(&sense);
    return report->total == before;
}
