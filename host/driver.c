/* Compiles identity, link, fingerprints, parameters and parts of a driver. `points` are compiled in
 * driver_points.c, `controls` in driver_controls.c.
 *
 * Each table is checked on its own and compiled when it is sound, so that a wrong point hides
 * neither the next one nor a mistake in `controls`. Parts and parameters keep the order of the
 * tree, which luadata makes alphabetical: two loads of a file are alike. */
#include "driver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"
#include "base/text.h"
#include "driver_compile.h"

/* A place too long to show ends in dots: it is for people. */
static void place_mark(char place[PLACE_SIZE], int length) {
    if (length >= PLACE_SIZE)
        memcpy(place + PLACE_SIZE - 4, "...", 4);
}

void place_key(char place[PLACE_SIZE], const char *where, const char *key) {
    place_mark(place,
               snprintf(place, PLACE_SIZE, "%s%s%s", where, where[0] && key[0] ? "." : "", key));
}

void place_index(char place[PLACE_SIZE], const char *where, size_t index) {
    place_mark(place, snprintf(place, PLACE_SIZE, "%s[%zu]", where, index + 1));
}

int name_find(const char *const *names, const char *name) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *quantity_unit(int id) {
    return id == POINT_NONE ? "" : point_word((enum point_id)id)->unit;
}

/* ---- identity and link ---- */

static const struct schema any_item = {.kind = SCHEMA_ANY};

static bool top_check(const json_t *tree, struct report *report) {
    static const struct schema model = {.kind = SCHEMA_STRING, .minimum = 1, .maximum = 63};
    const struct schema fields[] = {
        {.key = "api", .kind = SCHEMA_INTEGER, .required = true},
        {.key = "name", .kind = SCHEMA_STRING, .required = true, .help = "the file's name"},
        {.key = "version", .kind = SCHEMA_STRING, .required = true, .minimum = 1, .maximum = 31},
        {.key = "manufacturer",
         .kind = SCHEMA_STRING,
         .required = true,
         .minimum = 1,
         .maximum = 63},
        {.key = "models",
         .kind = SCHEMA_ARRAY,
         .required = true,
         .minimum = 1,
         .maximum = 200,
         .item = &model},
        {.key = "type", .kind = SCHEMA_ENUM, .one_of = device_type_names()},
        {.key = "parts", .kind = SCHEMA_MAP, .item = &any_item},
        {.key = "link", .kind = SCHEMA_ANY, .required = true},
        {.key = "fingerprints",
         .kind = SCHEMA_ARRAY,
         .minimum = 0,
         .maximum = 16,
         .item = &any_item},
        {.key = "parameters", .kind = SCHEMA_MAP, .item = &any_item},
        {.key = "points",
         .kind = SCHEMA_ARRAY,
         .minimum = 0,
         .maximum = DRIVER_MAX_POINTS,
         .item = &any_item},
        {.key = "controls", .kind = SCHEMA_ANY},
        {.key = "fallback", .kind = SCHEMA_ANY},
        {.key = "mustRun", .kind = SCHEMA_ANY},
        {.key = "hooks", .kind = SCHEMA_ANY},
        {.key = "stateVersion",
         .kind = SCHEMA_INTEGER,
         .minimum = 0,
         .maximum = 1000000,
         .help = "of what the hooks keep in dev.state"},
        {0},
    };
    const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, tree, "", PATH_LUA, report);
}

/* The text at `key`, "" for what the schema has complained about already. */
static const char *text_at(const json_t *tree, const char *key) {
    const char *text = json_string_value(json_object_get(tree, key));
    return text ? text : "";
}

static void identity_compile(struct compile *compile, const json_t *tree, const char *name) {
    struct driver *driver = compile->driver;
    const char *said = text_at(tree, "name");
    text_copy(driver->name, sizeof driver->name, name);
    if (said[0] && strcmp(said, name) != 0)
        report_add(compile->report, "name", "the file is called \"%s.lua\", the driver \"%s\"",
                   name, said);
    text_copy(driver->version, sizeof driver->version, text_at(tree, "version"));
    text_copy(driver->manufacturer, sizeof driver->manufacturer, text_at(tree, "manufacturer"));
    driver->models = json_deep_copy(json_object_get(tree, "models"));
}

static const char *const link_kinds[] = {"tcp", "serial", "http", "udp", "line", "mqtt", NULL};

const char *const *link_kind_names(void) {
    return link_kinds;
}

/* Keys that mean something over one kind of link only. */
static void link_io_compile(struct compile *compile, const json_t *link) {
    static const struct {
        const char *key;
        enum link_kind kind;
    } only[] = {{"auth", LINK_HTTP},
                {"localPort", LINK_UDP},
                {"lineEnd", LINK_LINE},
                {"subscribe", LINK_MQTT}};
    static const char *const auths[] = {"none", "basic", "digest", "bearer", NULL};
    struct driver_io *io = &compile->driver->io;
    for (size_t i = 0; i < sizeof only / sizeof only[0]; i++)
        if (json_object_get(link, only[i].key) && !(compile->driver->links & 1U << only[i].kind)) {
            char place[PLACE_SIZE];
            place_key(place, "link", only[i].key);
            report_add(compile->report, place, "only a driver with the kind \"%s\" has this",
                       link_kinds[only[i].kind]);
        }
    io->auth = (enum link_auth)name_find(auths, tree_string(link, "auth", "none"));
    io->local_port = (unsigned)tree_integer(link, "localPort", 0);
    const char *line_end = tree_string(link, "lineEnd", "crlf");
    text_copy(io->line_end, sizeof io->line_end,
              strcmp(line_end, "crlf") == 0 ? "\r\n"
              : strcmp(line_end, "cr") == 0 ? "\r"
                                            : "\n");
    const json_t *topics = json_object_get(link, "subscribe");
    for (size_t i = 0; i < json_array_size(topics) && i < DRIVER_MAX_TOPICS; i++)
        text_copy(io->topics[io->topic_count++], sizeof io->topics[0],
                  json_string_value(json_array_get(topics, i)));
}

static bool link_check(const json_t *link, struct report *report) {
    static const char *const auths[] = {"none", "basic", "digest", "bearer", NULL};
    static const char *const line_ends[] = {"crlf", "lf", "cr", NULL};
    static const struct schema topic = {.kind = SCHEMA_STRING, .minimum = 1, .maximum = 63};
    const struct schema kind = {.kind = SCHEMA_ENUM, .one_of = link_kinds};
    static const struct schema base = {.kind = SCHEMA_INTEGER, .minimum = 0, .maximum = 65533};
    static const struct schema sunspec_fields[] = {
        {.key = "bases",
         .kind = SCHEMA_ARRAY,
         .required = true,
         .minimum = 1,
         .maximum = 4,
         .item = &base},
        {0},
    };
    const struct schema hole_fields[] = {
        {.key = "kind", .kind = SCHEMA_ENUM, .required = true, .one_of = register_kind_names()},
        {.key = "first", .kind = SCHEMA_INTEGER, .required = true, .maximum = 65535},
        {.key = "last", .kind = SCHEMA_INTEGER, .required = true, .maximum = 65535},
        {0},
    };
    const struct schema hole = {.kind = SCHEMA_OBJECT, .fields = hole_fields};
    const struct schema fields[] = {
        {.key = "kinds",
         .kind = SCHEMA_ARRAY,
         .required = true,
         .minimum = 1,
         .maximum = LINK_KIND_COUNT,
         .item = &kind},
        {.key = "timeout", .kind = SCHEMA_NUMBER, .minimum = 0.05, .maximum = 60, .help = "s"},
        {.key = "pause", .kind = SCHEMA_NUMBER, .maximum = 10, .help = "s"},
        {.key = "inFlight", .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = 16},
        {.key = "maxBlock",
         .kind = SCHEMA_INTEGER,
         .minimum = 1,
         .maximum = 125,
         .help = "registers in one read"},
        {.key = "maxGap",
         .kind = SCHEMA_INTEGER,
         .minimum = 0,
         .maximum = 124,
         .help = "registers read only to join two points"},
        {.key = "holes", .kind = SCHEMA_ARRAY, .minimum = 0, .maximum = 64, .item = &hole},
        {.key = "sunspec", .kind = SCHEMA_OBJECT, .fields = sunspec_fields},
        {.key = "auth", .kind = SCHEMA_ENUM, .one_of = auths, .help = "over http"},
        {.key = "localPort",
         .kind = SCHEMA_INTEGER,
         .minimum = 1,
         .maximum = 65535,
         .help = "over udp: where the device answers to"},
        {.key = "lineEnd",
         .kind = SCHEMA_ENUM,
         .one_of = line_ends,
         .help = "over line: behind each line that is sent"},
        {.key = "subscribe",
         .kind = SCHEMA_ARRAY,
         .minimum = 1,
         .maximum = DRIVER_MAX_TOPICS,
         .item = &topic,
         .help = "over mqtt: topics behind the link's prefix"},
        {0},
    };
    const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, link, "link", PATH_LUA, report);
}

static void holes_compile(struct compile *compile, const json_t *holes) {
    struct driver *driver = compile->driver;
    size_t count = json_array_size(holes);
    if (count == 0)
        return;
    driver->holes = calloc(count, sizeof *driver->holes);
    if (!driver->holes) {
        report_add(compile->report, "link.holes", "out of memory");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(holes, i);
        struct block_hole *hole = &driver->holes[i];
        hole->kind =
            (enum register_kind)name_find(register_kind_names(), tree_string(row, "kind", ""));
        hole->first = (uint16_t)tree_integer(row, "first", 0);
        hole->last = (uint16_t)tree_integer(row, "last", 0);
        if (hole->first > hole->last) {
            char place[PLACE_SIZE];
            place_index(place, "link.holes", i);
            report_add(compile->report, place, "first (%d) is above last (%d)", hole->first,
                       hole->last);
        }
    }
    driver->limits.holes = driver->holes;
    driver->limits.hole_count = count;
}

static void link_compile(struct compile *compile, const json_t *link) {
    struct driver *driver = compile->driver;
    /* Points are checked against it even when something else in `link` is wrong. */
    driver->sunspec = json_object_get(link, "sunspec") != NULL;
    if (!link || !link_check(link, compile->report))
        return;
    const json_t *kinds = json_object_get(link, "kinds");
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        driver->links |= 1U << name_find(link_kinds, json_string_value(json_array_get(kinds, i)));
    }
    bool modbus = driver->links & (1U << LINK_TCP | 1U << LINK_SERIAL);
    link_io_compile(compile, link);
    driver->timeout_ms = (int64_t)(tree_number(link, "timeout", modbus ? 1 : 3) * 1000);
    driver->pause_ms = (int64_t)(tree_number(link, "pause", 0) * 1000);
    driver->in_flight = (int)tree_integer(link, "inFlight", 1);
    driver->limits.max_words = (int)tree_integer(link, "maxBlock", 100);
    driver->limits.max_gap = (int)tree_integer(link, "maxGap", 8);
    holes_compile(compile, json_object_get(link, "holes"));
    const json_t *bases = json_object_get(json_object_get(link, "sunspec"), "bases");
    for (size_t i = 0; i < json_array_size(bases); i++)
        driver->sunspec_bases[driver->sunspec_base_count++] =
            (uint16_t)json_number_value(json_array_get(bases, i));
}

/* ---- fingerprints ---- */

static bool fingerprint_check(const json_t *row, const char *place, struct report *report) {
    const struct schema fields[] = {
        {.key = "kind", .kind = SCHEMA_ENUM, .required = true, .one_of = register_kind_names()},
        {.key = "address", .kind = SCHEMA_INTEGER, .required = true, .maximum = 65535},
        {.key = "encoding", .kind = SCHEMA_ENUM, .required = true, .one_of = encoding_names()},
        {.key = "equals", .kind = SCHEMA_ANY, .required = true},
        {0},
    };
    const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, row, place, PATH_LUA, report);
}

static void fingerprint_compile(struct compile *compile, const json_t *row, const char *place,
                                struct driver_fingerprint *print) {
    if (!fingerprint_check(row, place, compile->report))
        return;
    const json_t *equals = json_object_get(row, "equals");
    char at[PLACE_SIZE];
    print->kind =
        (enum register_kind)name_find(register_kind_names(), tree_string(row, "kind", ""));
    print->encoding = (enum encoding)name_find(encoding_names(), tree_string(row, "encoding", ""));
    print->address = (uint16_t)tree_integer(row, "address", 0);
    print->is_text = print->encoding == ENCODING_STRING;
    if (print->encoding == ENCODING_FLOAT32 || print->encoding == ENCODING_FLOAT64) {
        place_key(at, place, "encoding");
        report_add(compile->report, at, "a fingerprint is an integer or a text");
        return;
    }
    place_key(at, place, "equals");
    if (print->is_text) {
        const char *text = json_string_value(equals);
        if (!text || !text[0] || strlen(text) >= sizeof print->text) {
            report_add(compile->report, at, "expected the start of the text, 1 to %zu characters",
                       sizeof print->text - 1);
            return;
        }
        text_copy(print->text, sizeof print->text, text);
        print->words = (uint16_t)((strlen(text) + 1) / 2);
        return;
    }
    print->words = (uint16_t)encoding_words(print->encoding);
    if (!json_is_integer(equals)) {
        report_add(compile->report, at, "expected an integer");
        return;
    }
    print->raw = json_integer_value(equals);
}

static void fingerprints_compile(struct compile *compile, const json_t *list) {
    struct driver *driver = compile->driver;
    size_t count = json_array_size(list);
    if (count == 0)
        return;
    driver->fingerprints = calloc(count, sizeof *driver->fingerprints);
    if (!driver->fingerprints) {
        report_add(compile->report, "fingerprints", "out of memory");
        return;
    }
    driver->fingerprint_count = count;
    for (size_t i = 0; i < count; i++) {
        char place[PLACE_SIZE];
        place_index(place, "fingerprints", i);
        fingerprint_compile(compile, json_array_get(list, i), place, &driver->fingerprints[i]);
    }
}

/* ---- parameters ---- */

static bool parameter_check(const json_t *row, const char *place, struct report *report) {
    static const struct schema fields[] = {
        {.key = "unit", .kind = SCHEMA_STRING, .minimum = 0, .maximum = 7},
        {.key = "min", .kind = SCHEMA_NUMBER, .required = true},
        {.key = "max", .kind = SCHEMA_NUMBER, .required = true},
        {.key = "default", .kind = SCHEMA_NUMBER},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, row, place, PATH_LUA, report);
}

/* Its name is kept in any case: controls refer to it. */
static void parameter_compile(struct compile *compile, const json_t *row, const char *name,
                              struct driver_parameter *parameter) {
    char place[PLACE_SIZE];
    place_key(place, "parameters", name);
    enum point_id id;
    text_copy(parameter->name, sizeof parameter->name, name);
    bool known = point_word_parse(name, &id);
    parameter->id = known ? (int)id : POINT_NONE;
    if (strlen(name) >= sizeof parameter->name || (!known && name[0] != '_') ||
        (known && id >= POINT_TEXT_FIRST)) {
        report_add(compile->report, place,
                   "expected a number of the vocabulary, or an own name with a leading underscore "
                   "of at most %d characters",
                   POINT_NAME_SIZE - 1);
        parameter->id = POINT_NONE;
    }
    if (!parameter_check(row, place, compile->report))
        return;
    const char *unit = tree_string(row, "unit", quantity_unit(parameter->id));
    text_copy(parameter->unit, sizeof parameter->unit, unit);
    if (parameter->id != POINT_NONE && strcmp(unit, quantity_unit(parameter->id)) != 0)
        report_add(compile->report, place, "%s is in \"%s\" everywhere, not in \"%s\"", name,
                   quantity_unit(parameter->id), unit);
    parameter->minimum = tree_number(row, "min", 0);
    parameter->maximum = tree_number(row, "max", 0);
    if (parameter->minimum > parameter->maximum)
        report_add(compile->report, place, "min (%g) is above max (%g)", parameter->minimum,
                   parameter->maximum);
    parameter->has_default = json_object_get(row, "default") != NULL;
    parameter->fallback = tree_number(row, "default", 0);
    if (parameter->has_default &&
        (parameter->fallback < parameter->minimum || parameter->fallback > parameter->maximum))
        report_add(compile->report, place, "the default (%g) is outside %g..%g",
                   parameter->fallback, parameter->minimum, parameter->maximum);
}

static void parameters_compile(struct compile *compile, const json_t *table) {
    struct driver *driver = compile->driver;
    if (!json_is_object(table))
        return;
    if (json_object_size(table) > DRIVER_MAX_PARAMETERS) {
        report_add(compile->report, "parameters", "expected at most %d, got %zu",
                   DRIVER_MAX_PARAMETERS, json_object_size(table));
        return;
    }
    const char *name;
    json_t *row;
    json_object_foreach((json_t *)table, name, row) {
        parameter_compile(compile, row, name, &driver->parameters[driver->parameter_count++]);
    }
}

bool driver_parameters(const struct driver *driver, const json_t *given, const char *where,
                       double *values, struct report *report) {
    struct schema fields[DRIVER_MAX_PARAMETERS + 1] = {0};
    for (int i = 0; i < driver->parameter_count; i++) {
        const struct driver_parameter *parameter = &driver->parameters[i];
        fields[i] = (struct schema){.key = parameter->name,
                                    .kind = SCHEMA_NUMBER,
                                    .minimum = parameter->minimum,
                                    .maximum = parameter->maximum,
                                    .help = parameter->unit[0] ? parameter->unit : NULL};
    }
    const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    bool good = !given || schema_check(&shape, given, where, PATH_LUA, report);
    for (int i = 0; i < driver->parameter_count; i++) {
        const struct driver_parameter *parameter = &driver->parameters[i];
        values[i] = parameter->has_default ? parameter->fallback : NAN;
        if (good)
            values[i] = tree_number(given, parameter->name, values[i]);
    }
    return good;
}

/* ---- parts ---- */

static void fallback_compile(struct compile *compile, const json_t *tree, const char *where,
                             struct driver_part *part) {
    static const struct schema fields[] = {
        {.key = "activePower", .kind = SCHEMA_INTEGER, .minimum = -1e9, .maximum = 1e9},
        {.key = "minActivePower", .kind = SCHEMA_INTEGER, .minimum = -1e9, .maximum = 1e9},
        {.key = "maxActivePower", .kind = SCHEMA_INTEGER, .minimum = -1e9, .maximum = 1e9},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    if (!tree || !schema_check(&shape, tree, where, PATH_LUA, compile->report))
        return;
    struct wish_fallback *wish = &part->fallback;
    wish->has_set = json_object_get(tree, "activePower") != NULL;
    wish->has_min = json_object_get(tree, "minActivePower") != NULL;
    wish->has_max = json_object_get(tree, "maxActivePower") != NULL;
    wish->set = (int32_t)tree_integer(tree, "activePower", 0);
    wish->min = (int32_t)tree_integer(tree, "minActivePower", 0);
    wish->max = (int32_t)tree_integer(tree, "maxActivePower", 0);
    part->has_fallback = wish->has_set || wish->has_min || wish->has_max;
    if (!part->has_fallback)
        report_add(compile->report, where,
                   "empty: say what the device falls back to, or leave "
                   "it out");
    if ((wish->has_min && wish->has_max && wish->min > wish->max) ||
        (wish->has_set &&
         ((wish->has_min && wish->set < wish->min) || (wish->has_max && wish->set > wish->max))))
        report_add(compile->report, where, "min, set point and max do not stand in this order");
}

static bool part_check(const json_t *tree, const char *place, struct report *report) {
    const struct schema fields[] = {
        {.key = "type", .kind = SCHEMA_ENUM, .required = true, .one_of = device_type_names()},
        {.key = "points", .kind = SCHEMA_ARRAY, .required = true, .item = &any_item},
        {.key = "controls", .kind = SCHEMA_ANY},
        {.key = "fallback", .kind = SCHEMA_ANY},
        {.key = "mustRun", .kind = SCHEMA_ANY},
        {0},
    };
    const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, tree, place, PATH_LUA, report);
}

static void part_points(struct compile *compile, const json_t *tree, const char *name, int part) {
    char where[PLACE_SIZE];
    char place[PLACE_SIZE];
    place_key(where, "parts", name);
    place_key(place, where, "points");
    (void)part_check(tree, where, compile->report);
    (void)device_type_parse(text_at(tree, "type"), &compile->driver->parts[part].type);
    compile_points(compile, json_object_get(tree, "points"), place, part);
}

static void part_controls(struct compile *compile, const json_t *tree, const char *where,
                          int part) {
    char place[PLACE_SIZE];
    place_key(place, where, "controls");
    compile_controls(compile, json_object_get(tree, "controls"), place, part);
    place_key(place, where, "mustRun");
    compile_must_run(compile, json_object_get(tree, "mustRun"), place, part);
    place_key(place, where, "fallback");
    fallback_compile(compile, json_object_get(tree, "fallback"), place,
                     &compile->driver->parts[part]);
}

static void part_name(struct compile *compile, const char *name, struct driver_part *part) {
    if (strlen(name) >= sizeof part->name)
        report_add(compile->report, "parts",
                   "expected names of at most %d characters, got \"%.60s\"", POINT_NAME_SIZE - 1,
                   name);
    text_copy(part->name, sizeof part->name, name);
}

static void with_parts(struct compile *compile, const json_t *tree, json_t *parts) {
    struct driver *driver = compile->driver;
    static const char *const elsewhere[] = {"type", "controls", "fallback", "mustRun", NULL};
    for (size_t i = 0; elsewhere[i]; i++)
        if (json_object_get(tree, elsewhere[i]))
            report_add(compile->report, elsewhere[i],
                       "a driver with `parts` has this in each part; move it there");
    if (json_object_size(parts) < 1 || json_object_size(parts) > DRIVER_MAX_PARTS) {
        report_add(compile->report, "parts", "expected 1 to %d parts, got %zu", DRIVER_MAX_PARTS,
                   json_object_size(parts));
        return;
    }
    compile_points(compile, json_object_get(tree, "points"), "points", POINT_NONE);
    const char *name;
    json_t *part;
    json_object_foreach(parts, name, part) {
        part_name(compile, name, &driver->parts[driver->part_count]);
        part_points(compile, part, name, driver->part_count++);
    }
    compile_points_finish(compile);
    int index = 0;
    json_object_foreach(parts, name, part) {
        char where[PLACE_SIZE];
        place_key(where, "parts", name);
        part_controls(compile, part, where, index++);
    }
}

static void without_parts(struct compile *compile, const json_t *tree) {
    struct driver *driver = compile->driver;
    driver->part_count = 1;
    const json_t *type = json_object_get(tree, "type");
    if (!type)
        report_add(compile->report, "type", "missing: say what the device is, or give `parts`");
    else if (json_is_string(type))
        (void)device_type_parse(json_string_value(type), &driver->parts[0].type);
    if (json_array_size(json_object_get(tree, "points")) == 0)
        report_add(compile->report, "points", "missing: say what can be read from the device");
    compile_points(compile, json_object_get(tree, "points"), "points", 0);
    compile_points_finish(compile);
    part_controls(compile, tree, "", 0);
}

static void hooks_compile(struct compile *compile, const json_t *hooks) {
    static const struct schema fields[] = {
        {.key = "values", .kind = SCHEMA_BOOLEAN, .help = "a function(dev, values)"},
        {.key = "command", .kind = SCHEMA_BOOLEAN, .help = "a function(dev, decision)"},
        {.key = "read", .kind = SCHEMA_BOOLEAN, .help = "a function(dev)"},
        {.key = "write", .kind = SCHEMA_BOOLEAN, .help = "a function(dev, writes)"},
        {.key = "migrate", .kind = SCHEMA_BOOLEAN, .help = "a function(state, fromVersion)"},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    if (!hooks || !schema_check(&shape, hooks, "hooks", PATH_LUA, compile->report))
        return;
    compile->driver->hook_values = tree_boolean(hooks, "values", false);
    compile->driver->hook_command = tree_boolean(hooks, "command", false);
    compile->driver->hook_migrate = tree_boolean(hooks, "migrate", false);
    compile->driver->hook_read = tree_boolean(hooks, "read", false);
    compile->driver->hook_write = tree_boolean(hooks, "write", false);
}

bool driver_has_hooks(const struct driver *driver) {
    return driver->hook_values || driver->hook_command || driver->hook_migrate ||
           driver->hook_read || driver->hook_write;
}

/* Points, hooks and links against each other. */
static void hooks_check(struct compile *compile) {
    const struct driver *driver = compile->driver;
    bool read = false, written = false;
    unsigned modbus = 1U << LINK_TCP | 1U << LINK_SERIAL;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        const char *place = compile->sources[i].place;
        if (!compile->sources[i].sound)
            continue;
        if (point->kind != REGISTER_VALUE) {
            if (driver->links & ~modbus)
                report_add(compile->report, place,
                           "registers are there over tcp and serial links only; over others a "
                           "point is of kind \"value\"");
            continue;
        }
        read = read || point->period_ms != POINT_NEVER;
        written = written || point->writable;
        if (point->period_ms != POINT_NEVER && !driver->hook_read)
            report_add(compile->report, place, "nothing gives it: hooks.read is missing");
        if (point->writable && !driver->hook_write)
            report_add(compile->report, place, "nothing writes it: hooks.write is missing");
    }
    if (driver->fingerprint_count > 0 && (driver->links & ~modbus))
        report_add(compile->report, "fingerprints",
                   "they are registers, which are there over tcp and serial links only");
    if (driver->hook_read && !read)
        report_add(compile->report, "hooks.read",
                   "it gives nothing: no point is of kind \"value\"");
    if (driver->hook_write && !written)
        report_add(compile->report, "hooks.write",
                   "it writes nothing: no point of kind \"value\" is writable");
}

/* ---- the whole ---- */

static size_t points_count(const json_t *tree) {
    size_t count = json_array_size(json_object_get(tree, "points"));
    const char *key;
    json_t *part;
    json_object_foreach(json_object_get(tree, "parts"), key, part) {
        count += json_array_size(json_object_get(part, "points"));
    }
    return count;
}

static void compile_all(struct compile *compile, const json_t *tree, const char *name) {
    (void)top_check(tree, compile->report);
    identity_compile(compile, tree, name);
    link_compile(compile, json_object_get(tree, "link"));
    fingerprints_compile(compile, json_object_get(tree, "fingerprints"));
    parameters_compile(compile, json_object_get(tree, "parameters"));
    json_t *parts = json_object_get(tree, "parts");
    if (json_is_object(parts))
        with_parts(compile, tree, parts);
    else if (!parts)
        without_parts(compile, tree);
    hooks_compile(compile, json_object_get(tree, "hooks"));
    hooks_check(compile);
    compile->driver->state_version = (int)tree_integer(tree, "stateVersion", 0);
}

static bool api_check(const json_t *tree, struct report *report) {
    const json_t *api = json_object_get(tree, "api");
    if (json_is_number(api) && json_number_value(api) == DRIVER_API)
        return true;
    report_add(report, "api", "expected api = %d, the only format that this host reads",
               DRIVER_API);
    return false;
}

struct driver *driver_compile(const json_t *tree, const char *name, struct report *report) {
    size_t before = report->total;
    if (!json_is_object(tree)) {
        report_add(report, "", "a driver file returns one table");
        return NULL;
    }
    if (!api_check(tree, report))
        return NULL;
    size_t count = points_count(tree);
    if (count > DRIVER_MAX_POINTS) {
        report_add(report, "points", "%zu points in all; %d are the most", count,
                   DRIVER_MAX_POINTS);
        return NULL;
    }
    struct driver *driver = calloc(1, sizeof *driver);
    struct compile compile = {.driver = driver, .report = report};
    if (driver) {
        driver->references = 1;
        driver->points = calloc(count + 1, sizeof *driver->points);
        compile.sources = calloc(count + 1, sizeof *compile.sources);
    }
    if (!driver || !driver->points || !compile.sources)
        report_add(report, "", "out of memory");
    else
        compile_all(&compile, tree, name);
    free(compile.sources);
    if (report->total != before) {
        driver_release(driver);
        return NULL;
    }
    return driver;
}

struct driver *driver_hold(struct driver *driver) {
    driver->references++;
    return driver;
}

void driver_release(struct driver *driver) {
    if (!driver || --driver->references > 0)
        return;
    json_decref(driver->models);
    free(driver->holes);
    free(driver->fingerprints);
    free(driver->points);
    free(driver);
}

int driver_part_find(const struct driver *driver, const char *name) {
    if (!name || !name[0])
        return driver->part_count == 1 ? 0 : POINT_NONE;
    for (int i = 0; i < driver->part_count; i++)
        if (strcmp(driver->parts[i].name, name) == 0)
            return i;
    return POINT_NONE;
}
