/* Compiles `controls`: which registers are written in which case, from what, in which unit. Units
 * are settled here once: what is left for run time is one factor per write. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/schema.h"
#include "driver_compile.h"

#define LAG_DEFAULT_S       10.0
#define TOLERANCE_DEFAULT_W 50
#define MUST_RUN_MAXIMUM_W  1000000

static const char *const case_keys[CONTROL_CASE_COUNT] = {
    [CONTROL_CHARGE] = "charge", [CONTROL_DISCHARGE] = "discharge", [CONTROL_HOLD] = "hold",
    [CONTROL_LIMIT] = "limit",   [CONTROL_RELEASE] = "release",
};

/* In the order of enum control_source, from SOURCE_POWER. */
static const char *const source_names[] = {
    "power", "current", "maxChargePower", "maxDischargePower", "phases", NULL};

struct write_row {
    struct compile *compile;
    const json_t *tree;
    const char *place;
    int part;
};

static void complain(const struct write_row *row, const char *key, const char *text) {
    char place[PLACE_SIZE];
    place_key(place, row->place, key);
    report_add(row->compile->report, place, "%s", text);
}

static bool write_shape_check(const struct write_row *row) {
    static const struct schema fields[] = {
        {.key = "point",
         .kind = SCHEMA_STRING,
         .required = true,
         .minimum = 1,
         .maximum = POINT_NAME_SIZE - 1,
         .help = "name of a writable point"},
        {.key = "value", .kind = SCHEMA_NUMBER, .help = "a constant in the point's unit"},
        {.key = "from", .kind = SCHEMA_ENUM, .one_of = source_names},
        {.key = "parameter", .kind = SCHEMA_STRING, .minimum = 1, .maximum = POINT_NAME_SIZE - 1},
        {.key = "scale", .kind = SCHEMA_NUMBER},
        {.key = "percentOf", .kind = SCHEMA_STRING, .minimum = 1, .maximum = POINT_NAME_SIZE - 1},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    if (!schema_check(&shape, row->tree, row->place, PATH_LUA, row->compile->report))
        return false;
    int sources = (json_object_get(row->tree, "value") != NULL) +
                  (json_object_get(row->tree, "from") != NULL) +
                  (json_object_get(row->tree, "parameter") != NULL);
    if (sources != 1) {
        report_add(row->compile->report, row->place,
                   "expected one of `value`, `from` and `parameter`, got %d of them", sources);
        return false;
    }
    return true;
}

/* The point to be written; POINT_NONE with a mistake, or silently when its own row has one. */
static int write_point(const struct write_row *row) {
    const struct driver *driver = row->compile->driver;
    const char *name = tree_string(row->tree, "point", "");
    int index = compile_point_find(row->compile, name, row->part);
    if (index == POINT_NONE) {
        char place[PLACE_SIZE];
        place_key(place, row->place, "point");
        report_add(row->compile->report, place, "there is no point \"%s\"", name);
        return POINT_NONE;
    }
    if (!row->compile->sources[index].sound)
        return POINT_NONE;
    if (!driver->points[index].writable) {
        complain(row, "point", "this point is not writable: give it `writable = { min, max }`");
        return POINT_NONE;
    }
    for (int i = index + 1; i < driver->point_count; i++) {
        if (strcmp(driver->points[i].name, name) == 0 &&
            driver->points[i].part == driver->points[index].part) {
            complain(row, "point", "this name belongs to several points; write to one by its own");
            return POINT_NONE;
        }
    }
    return index;
}

static void write_percent(const struct write_row *row, struct control_write *write,
                          const char *unit) {
    const char *name = tree_string(row->tree, "percentOf", NULL);
    enum point_id id;
    const char *wanted = write->source == SOURCE_CURRENT ? "A" : "W";
    if (!point_word_parse(name, &id) || strcmp(quantity_unit((int)id), wanted) != 0) {
        char place[PLACE_SIZE];
        place_key(place, row->place, "percentOf");
        report_add(row->compile->report, place,
                   "expected a quantity of the vocabulary in %s, such as \"%s\", got \"%s\"",
                   wanted, wanted[0] == 'A' ? "maxCurrent" : "ratedPower", name);
        return;
    }
    if (write->source == SOURCE_VALUE || write->source == SOURCE_PARAMETER ||
        write->source == SOURCE_PHASES)
        complain(row, "percentOf",
                 "only a power or a current `from` the decision has a percentage");
    if (unit[0] && strcmp(unit, "%") != 0)
        complain(row, "percentOf", "the point's unit is not \"%\"");
    write->percent_of = (int)id;
}

static int parameter_find(const struct driver *driver, const char *name) {
    for (int i = 0; i < driver->parameter_count; i++)
        if (strcmp(driver->parameters[i].name, name) == 0)
            return i;
    return POINT_NONE;
}

/* Unit of what the source gives; NULL with a mistake. */
static const char *write_source(const struct write_row *row, struct control_write *write) {
    const char *from = tree_string(row->tree, "from", NULL);
    const char *parameter = tree_string(row->tree, "parameter", NULL);
    if (from) {
        write->source = (enum control_source)(SOURCE_POWER + name_find(source_names, from));
        if (write->source == SOURCE_PHASES)
            return "";
        return write->source == SOURCE_CURRENT ? "A" : "W";
    }
    if (!parameter) {
        write->source = SOURCE_VALUE;
        return "";
    }
    write->source = SOURCE_PARAMETER;
    write->parameter = parameter_find(row->compile->driver, parameter);
    if (write->parameter == POINT_NONE) {
        char place[PLACE_SIZE];
        place_key(place, row->place, "parameter");
        report_add(row->compile->report, place, "there is no parameter \"%s\"", parameter);
        return NULL;
    }
    return row->compile->driver->parameters[write->parameter].unit;
}

static void write_constant(const struct write_row *row, struct control_write *write,
                           const struct point *point) {
    uint16_t words[POINT_MAX_WORDS];
    write->value = tree_number(row->tree, "value", 0) * row->compile->sources[write->point].factor;
    if (write->value < point->write_minimum || write->value > point->write_maximum) {
        complain(row, "value", "outside the point's writable range");
    } else if (point->scale_point == POINT_NONE &&
               point_encode(point, write->value, 0, ROUND_NEAREST, words) != ERR_OK) {
        complain(row, "value", "does not fit into the point's encoding");
    }
}

static bool write_compile(const struct write_row *row, struct control_write *write) {
    *write = (struct control_write){.scale = 1, .percent_of = POINT_NONE, .parameter = POINT_NONE};
    if (!write_shape_check(row))
        return false;
    write->scale = tree_number(row->tree, "scale", 1);
    const char *given = write_source(row, write);
    write->point = write_point(row);
    if (!given || write->point == POINT_NONE)
        return false;
    const struct point *point = &row->compile->driver->points[write->point];
    const char *unit = point->id != POINT_NONE ? quantity_unit(point->id)
                                               : row->compile->sources[write->point].unit;
    double factor = 1;
    if (json_object_get(row->tree, "percentOf")) {
        write_percent(row, write, unit);
    } else if (given[0] && unit[0] && !unit_factor(given, unit, &factor)) {
        char place[PLACE_SIZE];
        place_key(place, row->place, "point");
        report_add(row->compile->report, place,
                   "the point is in \"%s\", which \"%s\" cannot become", unit, given);
        return false;
    }
    write->scale *= factor;
    if (write->scale == 0)
        complain(row, "scale", "0 would write 0 whatever was decided");
    if (write->source == SOURCE_VALUE)
        write_constant(row, write, point);
    return true;
}

/* Phases are chosen for charging, by a driver that says so. */
static void write_phases(const struct write_row *row, enum control_case which,
                         const struct control *control) {
    if (!control->phase_switching)
        complain(row, "from", "\"phases\" needs `phaseSwitching = true` in controls");
    else if (which != CONTROL_CHARGE && which != CONTROL_LIMIT)
        complain(row, "from", "phases are chosen in `charge` and `limit` only");
}

static void case_compile(struct compile *compile, const json_t *list, const char *where, int part,
                         enum control_case which, struct control *control) {
    static const struct schema any = {.kind = SCHEMA_ANY};
    static const struct schema shape = {
        .kind = SCHEMA_ARRAY, .minimum = 1, .maximum = CONTROL_MAX_WRITES, .item = &any};
    char list_place[PLACE_SIZE];
    place_key(list_place, where, case_keys[which]);
    if (!schema_check(&shape, list, list_place, PATH_LUA, compile->report))
        return;
    for (size_t i = 0; i < json_array_size(list); i++) {
        char place[PLACE_SIZE];
        place_index(place, list_place, i);
        const struct write_row row = {compile, json_array_get(list, i), place, part};
        struct control_write *write = &control->writes[which][control->write_count[which]];
        if (!write_compile(&row, write))
            continue;
        control->write_count[which]++;
        if (write->source == SOURCE_PHASES)
            write_phases(&row, which, control);
    }
}

static const char *const no_set_points[NO_SET_COUNT + 1] = {
    [NO_SET_OWN_CONTROL] = "ownControl", [NO_SET_FOLLOWS_MAX] = "followsMax", [NO_SET_OFF] = "off"};

const char *no_set_point_name(enum no_set_point no_set_point) {
    return no_set_points[no_set_point];
}

static bool controls_shape_check(struct compile *compile, const json_t *tree, const char *where) {
    static const struct schema fields[] = {
        {.key = "withoutSetPoint", .kind = SCHEMA_ENUM, .one_of = no_set_points},
        {.key = "charge", .kind = SCHEMA_ANY},
        {.key = "discharge", .kind = SCHEMA_ANY},
        {.key = "hold", .kind = SCHEMA_ANY},
        {.key = "limit", .kind = SCHEMA_ANY},
        {.key = "release", .kind = SCHEMA_ANY},
        {.key = "refresh", .kind = SCHEMA_NUMBER, .maximum = 86400, .help = "s"},
        {.key = "minInterval", .kind = SCHEMA_NUMBER, .maximum = 86400, .help = "s"},
        {.key = "leastChange", .kind = SCHEMA_INTEGER, .maximum = 1e6, .help = "W"},
        {.key = "ramp", .kind = SCHEMA_INTEGER, .maximum = 1e9, .help = "W per s"},
        {.key = "writesPerDay", .kind = SCHEMA_INTEGER, .maximum = 1e6},
        {.key = "lag", .kind = SCHEMA_NUMBER, .maximum = 3600, .help = "s"},
        {.key = "tolerance", .kind = SCHEMA_INTEGER, .maximum = 1e6, .help = "W"},
        {.key = "watchdog", .kind = SCHEMA_ANY},
        {.key = "phaseSwitching", .kind = SCHEMA_BOOLEAN},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, tree, where, PATH_LUA, compile->report);
}

static enum no_set_point without_set_point(const json_t *tree, enum device_type type) {
    const char *word = tree_string(tree, "withoutSetPoint", NULL);
    if (!word)
        return type == DEVICE_CHARGING_STATION ? NO_SET_FOLLOWS_MAX : NO_SET_OWN_CONTROL;
    if (strcmp(word, "followsMax") == 0)
        return NO_SET_FOLLOWS_MAX;
    return strcmp(word, "off") == 0 ? NO_SET_OFF : NO_SET_OWN_CONTROL;
}

static bool chooses_phases(const json_t *tree) {
    const json_t *charge = json_object_get(tree, "charge");
    for (size_t i = 0; i < json_array_size(charge); i++)
        if (strcmp(tree_string(json_array_get(charge, i), "from", ""), "phases") == 0)
            return true;
    return false;
}

static void phase_switching_check(struct compile *compile, const json_t *tree, const char *where,
                                  enum device_type type) {
    char place[PLACE_SIZE];
    place_key(place, where, "phaseSwitching");
    if (type != DEVICE_CHARGING_STATION)
        report_add(compile->report, place, "only a charging station switches phases");
    else if (!chooses_phases(tree))
        report_add(compile->report, place,
                   "needs a write with `from = \"phases\"` in the `charge` case");
}

/* What a device must be able to do for the words in its controls to mean something. */
static void controls_check(struct compile *compile, const json_t *tree, const char *where,
                           enum device_type type, const struct control *control) {
    bool any = false;
    char place[PLACE_SIZE];
    for (int i = 0; i < CONTROL_CASE_COUNT; i++)
        any = any || json_object_get(tree, case_keys[i]);
    if (!any)
        report_add(compile->report, where,
                   "nothing to write: give charge, discharge, hold, limit or release");
    if (control->no_set_point == NO_SET_FOLLOWS_MAX && !json_object_get(tree, "charge")) {
        place_key(place, where, "withoutSetPoint");
        report_add(compile->report, place, "\"followsMax\" needs a `charge` case to follow with");
    }
    if (control->no_set_point == NO_SET_OFF && !json_object_get(tree, "hold")) {
        place_key(place, where, "withoutSetPoint");
        report_add(compile->report, place, "\"off\" needs a `hold` case");
    }
    if (type == DEVICE_CHARGING_STATION && !json_object_get(tree, "hold")) {
        place_key(place, where, "hold");
        report_add(compile->report, place,
                   "missing: below its least current a charging station is told to pause");
    }
    if (type == DEVICE_CHARGING_STATION && control->ramp_w_per_s > 0) {
        place_key(place, where, "ramp");
        report_add(compile->report, place,
                   "a charging station cannot start in steps below its least current");
    }
    if (control->phase_switching)
        phase_switching_check(compile, tree, where, type);
    if (control->has_watchdog && control->refresh_ms == 0) {
        place_key(place, where, "refresh");
        report_add(compile->report, place,
                   "missing: a watchdog is kept quiet by writing again within its time");
    }
}

/* Unit of the quantity or parameter called `name`, "" when there is none; which in `run`. */
static const char *must_run_find(const struct driver *driver, const char *name,
                                 struct must_run *run) {
    enum point_id id;
    if (point_word_parse(name, &id) && id < POINT_TEXT_FIRST) {
        run->quantity = (int)id;
        return quantity_unit((int)id);
    }
    run->parameter = parameter_find(driver, name);
    return run->parameter == POINT_NONE ? "" : driver->parameters[run->parameter].unit;
}

void compile_must_run(struct compile *compile, const json_t *tree, const char *where, int part) {
    struct driver_part *owner = &compile->driver->parts[part];
    struct must_run *run = &owner->must_run;
    *run = (struct must_run){.parameter = POINT_NONE, .quantity = POINT_NONE};
    if (!tree)
        return;
    run->present = true;
    if (owner->type != DEVICE_HEAT_PUMP)
        report_add(compile->report, where, "only a heat pump must run; all others can be at 0 W");
    if (json_is_number(tree)) {
        run->watts = json_number_value(tree);
        if (run->watts <= 0 || run->watts > MUST_RUN_MAXIMUM_W)
            report_add(compile->report, where, "expected 1 to %d W, got %g", MUST_RUN_MAXIMUM_W,
                       run->watts);
    } else if (!json_is_string(tree)) {
        report_add(compile->report, where,
                   "expected W, or the name of a quantity or parameter in W");
    } else if (strcmp(must_run_find(compile->driver, json_string_value(tree), run), "W") != 0) {
        report_add(compile->report, where, "\"%s\" is neither a quantity nor a parameter in W",
                   json_string_value(tree));
    }
}

/* true, or what the device goes to: { current = PARAMETER } or { ownControlAfter = PARAMETER }. */
static void watchdog_compile(struct compile *compile, const json_t *tree, const char *where,
                             struct control *control) {
    static const struct schema fields[] = {{.key = "current", .kind = SCHEMA_STRING},
                                           {.key = "ownControlAfter", .kind = SCHEMA_STRING},
                                           {0}};
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    const json_t *watchdog = json_object_get(tree, "watchdog");
    char place[PLACE_SIZE];
    place_key(place, where, "watchdog");
    control->failsafe_parameter = control->revert_parameter = POINT_NONE;
    control->has_watchdog = watchdog && !json_is_false(watchdog);
    if (!watchdog || json_is_boolean(watchdog) ||
        !schema_check(&shape, watchdog, place, PATH_LUA, compile->report))
        return;
    const char *current = tree_string(watchdog, "current", NULL);
    const char *after = tree_string(watchdog, "ownControlAfter", NULL);
    if (current)
        control->failsafe_parameter = parameter_find(compile->driver, current);
    if (after)
        control->revert_parameter = parameter_find(compile->driver, after);
    if ((current && control->failsafe_parameter == POINT_NONE) ||
        (after && control->revert_parameter == POINT_NONE) || !current == !after)
        report_add(compile->report, place,
                   "expected true, or the parameter that tells what the device goes to: "
                   "{ current = \"_name\" } in A, or { ownControlAfter = \"_name\" } in s");
}

void compile_controls(struct compile *compile, const json_t *tree, const char *where, int part) {
    struct driver_part *owner = &compile->driver->parts[part];
    struct control *control = &owner->control;
    if (!tree)
        return;
    if (device_type_only_tells(owner->type)) {
        report_add(compile->report, where, "a %s cannot be controlled",
                   device_type_name(owner->type));
        return;
    }
    if (!controls_shape_check(compile, tree, where))
        return;
    control->present = true;
    control->no_set_point = without_set_point(tree, owner->type);
    control->refresh_ms = (int64_t)(tree_number(tree, "refresh", 0) * 1000);
    control->min_interval_ms = (int64_t)(tree_number(tree, "minInterval", 0) * 1000);
    control->least_change_w = (int32_t)tree_integer(tree, "leastChange", 0);
    control->ramp_w_per_s = (int32_t)tree_integer(tree, "ramp", 0);
    control->writes_per_day = (int32_t)tree_integer(tree, "writesPerDay", 0);
    control->lag_ms = (int64_t)(tree_number(tree, "lag", LAG_DEFAULT_S) * 1000);
    control->tolerance_w = (int32_t)tree_integer(tree, "tolerance", TOLERANCE_DEFAULT_W);
    watchdog_compile(compile, tree, where, control);
    control->phase_switching = tree_boolean(tree, "phaseSwitching", false);
    for (int i = 0; i < CONTROL_CASE_COUNT; i++) {
        const json_t *list = json_object_get(tree, case_keys[i]);
        if (list)
            case_compile(compile, list, where, part, (enum control_case)i, control);
    }
    controls_check(compile, tree, where, owner->type, control);
}
