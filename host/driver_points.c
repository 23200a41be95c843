/* Compiles `points`: each row on its own first, then what concerns several of them (scale factors,
 * names that occur twice, periods by default). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "base/schema.h"
#include "driver_compile.h"

#define PERIOD_FAST_MS  1000
#define PERIOD_SLOW_MS  10000
#define PERIOD_SHORTEST 0.1                /* s */
#define PERIOD_LONGEST  86400.0            /* s */
#define MASK_LARGEST    9007199254740992.0 /* 2^53 */

static bool point_shape_check(const json_t *tree, const char *where, struct report *report) {
    static const char *const orders[] = {"big", "little", NULL};
    static const char *const writes[] = {"single", "multiple", NULL};
    static const struct schema marker = {.kind = SCHEMA_INTEGER, .help = "a raw value"};
    const struct schema fields[] = {
        {.key = "name",
         .kind = SCHEMA_STRING,
         .required = true,
         .minimum = 1,
         .maximum = POINT_NAME_SIZE - 1,
         .help = "a name of the vocabulary, or an own one with a leading underscore"},
        {.key = "kind", .kind = SCHEMA_ENUM, .one_of = point_kind_names()},
        {.key = "address",
         .kind = SCHEMA_INTEGER,
         .maximum = 65535,
         .help = "the 0-based address on the wire; with `model`, counted from the model's ID"},
        {.key = "encoding", .kind = SCHEMA_ENUM, .one_of = encoding_names()},
        {.key = "wordOrder", .kind = SCHEMA_ENUM, .one_of = orders},
        {.key = "length",
         .kind = SCHEMA_INTEGER,
         .minimum = 1,
         .maximum = POINT_MAX_WORDS,
         .help = "registers of a string"},
        {.key = "scale", .kind = SCHEMA_NUMBER},
        {.key = "scaleFactor", .kind = SCHEMA_STRING, .minimum = 1, .maximum = POINT_NAME_SIZE - 1},
        {.key = "offset", .kind = SCHEMA_NUMBER},
        {.key = "unit", .kind = SCHEMA_STRING, .minimum = 0, .maximum = 7},
        {.key = "notAvailable",
         .kind = SCHEMA_ARRAY,
         .minimum = 0,
         .maximum = POINT_MAX_MARKERS,
         .item = &marker},
        {.key = "mask", .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = MASK_LARGEST},
        {.key = "shift", .kind = SCHEMA_INTEGER, .minimum = 0, .maximum = 63},
        {.key = "values", .kind = SCHEMA_ANY},
        {.key = "period", .kind = SCHEMA_ANY},
        {.key = "model", .kind = SCHEMA_ANY},
        {.key = "writable", .kind = SCHEMA_ANY},
        {.key = "write", .kind = SCHEMA_ENUM, .one_of = writes},
        {.key = "readBack", .kind = SCHEMA_ANY},
        {0},
    };
    const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    return schema_check(&shape, tree, where, PATH_LUA, report);
}

static void complain(struct compile *compile, const struct point_source *source, const char *key,
                     const char *text) {
    char place[PLACE_SIZE];
    place_key(place, source->place, key);
    report_add(compile->report, place, "%s", text);
}

static bool encoding_is_integer(enum encoding encoding) {
    return encoding >= ENCODING_UINT16 && encoding <= ENCODING_INT64;
}

static bool point_is_text(const struct point *point) {
    return point->id >= POINT_TEXT_FIRST;
}

/* ---- one row ---- */

static void point_name(struct compile *compile, struct point *point, struct point_source *source) {
    const char *name = tree_string(source->tree, "name", "");
    enum point_id id;
    (void)snprintf(point->name, sizeof point->name, "%s", name);
    point->id = POINT_NONE;
    if (point_word_parse(name, &id)) {
        point->id = (int)id;
        return;
    }
    if (name[0] == '_')
        return;
    /* The schema finds the nearest name of the vocabulary. */
    const struct schema known = {.kind = SCHEMA_ENUM,
                                 .one_of = point_names(),
                                 .help = "or an own name with a leading underscore"};
    char place[PLACE_SIZE];
    place_key(place, source->place, "name");
    (void)schema_check(&known, json_object_get(source->tree, "name"), place, PATH_LUA,
                       compile->report);
    source->sound = false;
}

static void point_models(struct compile *compile, struct point *point,
                         struct point_source *source) {
    const json_t *model = json_object_get(source->tree, "model");
    if (!model)
        return;
    static const struct schema number = {
        .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = 65534, .help = "a SunSpec model number"};
    static const struct schema list = {
        .kind = SCHEMA_ARRAY, .minimum = 1, .maximum = POINT_MAX_MODELS, .item = &number};
    char place[PLACE_SIZE];
    place_key(place, source->place, "model");
    if (!schema_check(json_is_array(model) ? &list : &number, model, place, PATH_LUA,
                      compile->report)) {
        source->sound = false;
        return;
    }
    if (!compile->driver->sunspec) {
        complain(compile, source, "model", "only a driver with link.sunspec has models");
        source->sound = false;
    }
    if (json_is_array(model)) {
        for (size_t i = 0; i < json_array_size(model); i++)
            point->models[point->model_count++] =
                (uint16_t)json_number_value(json_array_get(model, i));
    } else {
        point->models[point->model_count++] = (uint16_t)json_number_value(model);
    }
}

/* A point without a register: what hooks.read gives for it. Its raw value is a number (a whole one,
 * if an encoding of integers says so), a text, or the name of a state. */
static void point_value(struct compile *compile, struct point *point, struct point_source *source) {
    static const char *const registers[] = {"address",     "wordOrder", "length", "model", "mask",
                                            "scaleFactor", "shift",     "write",  NULL};
    for (size_t i = 0; registers[i]; i++)
        if (json_object_get(source->tree, registers[i])) {
            complain(compile, source, registers[i], "a point of kind \"value\" has no register");
            source->sound = false;
        }
    const char *usual = point->id == POINT_STATE ? "int64" : "float64";
    if (point_is_text(point))
        usual = "string";
    const char *encoding = tree_string(source->tree, "encoding", usual);
    point->encoding = (enum encoding)name_find(encoding_names(), encoding);
    if (point->encoding == ENCODING_BIT ||
        (point->encoding == ENCODING_STRING) != point_is_text(point)) {
        complain(
            compile, source, "encoding",
            "a text is a \"string\"; a number is a float, or an integer if it is always whole");
        source->sound = false;
    }
    point->words = (uint16_t)encoding_words(point->encoding);
}

static void point_register(struct compile *compile, struct point *point,
                           struct point_source *source) {
    const json_t *tree = source->tree;
    point->kind =
        (enum register_kind)name_find(point_kind_names(), tree_string(tree, "kind", "holding"));
    if (point->kind == REGISTER_VALUE) {
        point_value(compile, point, source);
        return;
    }
    if (!json_object_get(tree, "address")) {
        complain(compile, source, "address", "missing: the 0-based address on the wire");
        source->sound = false;
    }
    bool bit = point->kind == REGISTER_COIL || point->kind == REGISTER_DISCRETE;
    const char *encoding = tree_string(tree, "encoding", bit ? "bit" : NULL);
    if (!encoding) {
        complain(compile, source, "encoding",
                 "missing: how the value stands in its registers, such as \"uint16\"");
        source->sound = false;
        return;
    }
    point->encoding = (enum encoding)name_find(encoding_names(), encoding);
    if (bit != (point->encoding == ENCODING_BIT)) {
        complain(compile, source, "encoding",
                 bit ? "a coil or discrete input is a \"bit\""
                     : "\"bit\" is for coils and discrete inputs; use \"uint16\" with `mask`");
        source->sound = false;
    }
    point->address = (uint16_t)tree_integer(tree, "address", 0);
    point->low_word_first = strcmp(tree_string(tree, "wordOrder", "big"), "little") == 0;
    bool has_length = json_object_get(tree, "length") != NULL;
    bool string = point->encoding == ENCODING_STRING;
    if (string != has_length) {
        complain(compile, source, "length",
                 string ? "missing: a string says how many registers it takes"
                        : "only a string has a length; the encoding says it for all others");
        source->sound = false;
    }
    point->words =
        (uint16_t)(string ? tree_integer(tree, "length", 1) : encoding_words(point->encoding));
    if (point->address + point->words > 65536) {
        complain(compile, source, "address", "the value reaches beyond register 65535");
        source->sound = false;
    }
    point_models(compile, point, source);
}

static void point_markers(struct compile *compile, struct point *point,
                          struct point_source *source) {
    const json_t *markers = json_object_get(source->tree, "notAvailable");
    if (!markers || json_array_size(markers) == 0)
        return;
    if (!encoding_is_integer(point->encoding)) {
        complain(compile, source, "notAvailable",
                 "only integers have markers (a float NaN and an empty string are known)");
        return;
    }
    int bits = 16 * point->words;
    for (size_t i = 0; i < json_array_size(markers); i++) {
        long long raw = json_integer_value(json_array_get(markers, i));
        bool fits = bits == 64 || (raw >= -(1LL << (bits - 1)) && raw < (1LL << bits));
        if (!fits) {
            char place[PLACE_SIZE];
            char list[PLACE_SIZE];
            place_key(list, source->place, "notAvailable");
            place_index(place, list, i);
            report_add(compile->report, place, "%lld does not fit into %d bits", raw, bits);
            continue;
        }
        uint64_t pattern = (uint64_t)raw;
        point->markers[point->marker_count++] =
            bits == 64 ? pattern : pattern & ((1ULL << bits) - 1);
    }
}

static void point_state_names(struct compile *compile, struct point *point,
                              struct point_source *source) {
    const json_t *given = json_object_get(source->tree, "values");
    bool state = point->id == POINT_STATE;
    if (!given) {
        if (state && point->kind != REGISTER_VALUE) /* a hook can say the state's name */
            complain(compile, source, "values",
                     "missing: a state names its raw values, such as { [0] = \"off\" }");
        return;
    }
    if (!state || !encoding_is_integer(point->encoding)) {
        complain(compile, source, "values", "only the integer of a `state` has named values");
        return;
    }
    char place[PLACE_SIZE];
    place_key(place, source->place, "values");
    json_t *values = luadata_map(given);
    const struct schema name = {.kind = SCHEMA_ENUM, .one_of = device_state_names()};
    const struct schema map = {.kind = SCHEMA_MAP, .item = &name};
    if (!values || !schema_check(&map, values, place, PATH_LUA, compile->report)) {
        if (!values)
            report_add(compile->report, place, "expected a table of raw values and state names");
        json_decref(values);
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach(values, key, value) {
        char *end;
        long long raw = strtoll(key, &end, 10);
        if (*key == '\0' || *end != '\0') {
            report_add(compile->report, place, "\"%s\" is not a raw value; expected an integer",
                       key);
            continue;
        }
        if (point->value_count == POINT_MAX_VALUES) {
            report_add(compile->report, place, "more than %d values", POINT_MAX_VALUES);
            break;
        }
        struct point_value_name *row = &point->values[point->value_count++];
        row->raw = raw;
        (void)device_state_parse(json_string_value(value), &row->state);
    }
    json_decref(values);
}

/* Scale, offset and unit: into the unit of the vocabulary, or the driver's own. */
static void point_scale(struct compile *compile, struct point *point, struct point_source *source) {
    const json_t *tree = source->tree;
    static const char *const numeric[] = {"scale", "offset", "unit", "scaleFactor",
                                          "mask",  "shift",  NULL};
    point->scale = 1;
    point->scale_point = POINT_NONE;
    source->factor = 1;
    if (point_is_text(point) || point->encoding == ENCODING_STRING) {
        for (size_t i = 0; numeric[i]; i++)
            if (json_object_get(tree, numeric[i]))
                complain(compile, source, numeric[i], "a text has none");
        if (!point_is_text(point) && point->id != POINT_NONE)
            complain(compile, source, "encoding", "this point is a number, not a string");
        if (point_is_text(point) &&
            (point->encoding == ENCODING_FLOAT32 || point->encoding == ENCODING_FLOAT64))
            complain(compile, source, "encoding", "a text is a string or an integer");
        return;
    }
    const char *unit = tree_string(tree, "unit", point->id == POINT_NONE ? "" : NULL);
    const char *wanted = quantity_unit(point->id);
    if (point->id != POINT_NONE && unit && !unit_factor(unit, wanted, &source->factor)) {
        char place[PLACE_SIZE];
        place_key(place, source->place, "unit");
        report_add(compile->report, place, "%s is published in \"%s\", which \"%s\" cannot become",
                   point->name, wanted, unit);
        source->factor = 1;
    }
    (void)snprintf(source->unit, sizeof source->unit, "%s", unit ? unit : wanted);
    point->scale = tree_number(tree, "scale", 1) * source->factor;
    point->offset = tree_number(tree, "offset", 0) * source->factor;
    if (point->scale == 0)
        complain(compile, source, "scale", "0 would turn every value into 0");
    if (point->id == POINT_STATE && (point->scale != 1 || point->offset != 0))
        complain(compile, source, "scale", "a state is named by its raw values and has no scale");
    point->mask = (uint64_t)tree_integer(tree, "mask", 0);
    point->shift = (int)tree_integer(tree, "shift", 0);
    if ((point->mask || point->shift) && !encoding_is_integer(point->encoding))
        complain(compile, source, point->mask ? "mask" : "shift", "only integers have bits");
    if (encoding_is_integer(point->encoding) && point->words < 4 &&
        (point->mask >> (16 * point->words)) != 0)
        complain(compile, source, "mask", "wider than the encoding");
}

static int64_t period_default(const struct point *point) {
    switch (point->id) {
    case POINT_NONE:
        return point->writable ? POINT_NEVER : PERIOD_FAST_MS;
    case POINT_ENERGY_IMPORT:
    case POINT_ENERGY_EXPORT:
    case POINT_STATE_OF_CHARGE:
    case POINT_STATE_OF_HEALTH:
    case POINT_TEMPERATURE:
    case POINT_MAX_CHARGE_POWER:
    case POINT_MAX_DISCHARGE_POWER:
    case POINT_MAX_CURRENT:
        return PERIOD_SLOW_MS;
    case POINT_CAPACITY:
    case POINT_RATED_POWER:
    case POINT_MIN_CURRENT:
    case POINT_PHASES:
        return 0;
    default:
        return point_is_text(point) ? 0 : PERIOD_FAST_MS;
    }
}

static void point_period(struct compile *compile, struct point *point,
                         struct point_source *source) {
    const json_t *period = json_object_get(source->tree, "period");
    source->period_given = period != NULL;
    point->period_ms = period_default(point);
    if (point->kind == REGISTER_VALUE && point->writable &&
        json_is_true(json_object_get(source->tree, "readBack")))
        point->period_ms = PERIOD_FAST_MS; /* it is read, to be read back */
    if (!period)
        return;
    const char *word = json_string_value(period);
    double seconds = json_number_value(period);
    if (word && strcmp(word, "once") == 0)
        point->period_ms = 0;
    else if (word && strcmp(word, "never") == 0)
        point->period_ms = POINT_NEVER;
    else if (json_is_number(period) &&
             (seconds == 0 || (seconds >= PERIOD_SHORTEST && seconds <= PERIOD_LONGEST)))
        point->period_ms = (int64_t)(seconds * 1000);
    else
        complain(compile, source, "period",
                 "expected seconds from 0.1 to 86400, \"once\" or \"never\"");
    if (point->period_ms == POINT_NEVER && point->id != POINT_NONE && !point->writable)
        complain(compile, source, "period", "a published point is read at some time");
}

/* True, false, or the name of another point, which is looked for once all points are there. */
static void point_read_back(struct compile *compile, struct point *point,
                            struct point_source *source) {
    const json_t *given = json_object_get(source->tree, "readBack");
    point->read_back = given ? !json_is_false(given) : point->kind != REGISTER_VALUE;
    if (given && !json_is_boolean(given) && !json_is_string(given))
        complain(compile, source, "readBack",
                 "expected true, false, or the name of the point that shows what was set");
}

static void point_writing(struct compile *compile, struct point *point,
                          struct point_source *source) {
    const json_t *writable = json_object_get(source->tree, "writable");
    if (!writable) {
        static const char *const only[] = {"write", "readBack", NULL};
        for (size_t i = 0; only[i]; i++)
            if (json_object_get(source->tree, only[i]))
                complain(compile, source, only[i], "only a point with `writable` is written");
        return;
    }
    static const struct schema fields[] = {
        {.key = "min", .kind = SCHEMA_NUMBER, .required = true, .help = "in the point's unit"},
        {.key = "max", .kind = SCHEMA_NUMBER, .required = true, .help = "in the point's unit"},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    char place[PLACE_SIZE];
    place_key(place, source->place, "writable");
    if (!schema_check(&shape, writable, place, PATH_LUA, compile->report)) {
        source->sound = false;
        return;
    }
    point->writable = true;
    point->write_minimum = tree_number(writable, "min", 0) * source->factor;
    point->write_maximum = tree_number(writable, "max", 0) * source->factor;
    point_read_back(compile, point, source);
    bool coil = point->kind == REGISTER_COIL;
    bool single =
        strcmp(tree_string(source->tree, "write", point->words > 1 ? "multiple" : "single"),
               "single") == 0;
    if (coil)
        point->write_function = single ? 5 : 15;
    else
        point->write_function = single ? 6 : 16;
    if (!coil && point->kind != REGISTER_HOLDING && point->kind != REGISTER_VALUE)
        complain(compile, source, "writable", "only holding registers and coils are written");
    if (point_is_text(point) || point->encoding == ENCODING_STRING)
        complain(compile, source, "writable", "a text is not written");
    if (point->mask || point->shift)
        complain(compile, source, "writable", "some bits of a register cannot be written alone");
    if (single && point->words > 1)
        complain(compile, source, "write", "a value of several registers needs \"multiple\"");
    if (point->write_minimum > point->write_maximum)
        complain(compile, source, "writable", "min is above max");
}

/* The writable range must exist in the register; with a scale factor only the device knows. */
static void point_write_range(struct compile *compile, const struct point *point,
                              const struct point_source *source) {
    if (!point->writable || !source->sound || json_object_get(source->tree, "scaleFactor") ||
        point->write_minimum > point->write_maximum || point->scale == 0)
        return;
    uint16_t words[POINT_MAX_WORDS];
    if (point_encode(point, point->write_minimum, 0, ROUND_NEAREST, words) != ERR_OK)
        complain(compile, source, "writable.min", "does not fit into the encoding at this scale");
    if (point_encode(point, point->write_maximum, 0, ROUND_NEAREST, words) != ERR_OK)
        complain(compile, source, "writable.max", "does not fit into the encoding at this scale");
}

static void point_compile(struct compile *compile, struct point *point,
                          struct point_source *source) {
    source->sound = point_shape_check(source->tree, source->place, compile->report);
    if (!source->sound) {
        /* Its name is kept, so that those who refer to it are not told that it is missing. */
        const char *name = json_string_value(json_object_get(source->tree, "name"));
        (void)snprintf(point->name, sizeof point->name, "%s", name ? name : "");
        point->id = POINT_NONE;
        return;
    }
    size_t before = compile->report->total;
    point_name(compile, point, source);
    point_register(compile, point, source);
    if (!source->sound)
        return;
    point_scale(compile, point, source);
    point_markers(compile, point, source);
    point_state_names(compile, point, source);
    point_writing(compile, point, source);
    point_period(compile, point, source);
    point_write_range(compile, point, source);
    source->sound = compile->report->total == before;
}

void compile_points(struct compile *compile, const json_t *list, const char *where, int part) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        int index = compile->driver->point_count++;
        struct point *point = &compile->driver->points[index];
        struct point_source *source = &compile->sources[index];
        point->part = part;
        point->read_back_point = POINT_NONE;
        source->tree = json_array_get(list, i);
        place_index(source->place, where, i);
        point_compile(compile, point, source);
    }
}

/* ---- between rows ---- */

static bool parts_meet(const struct point *a, const struct point *b) {
    return a->part == b->part || a->part == POINT_NONE || b->part == POINT_NONE;
}

static bool has_model(const struct point *point, uint16_t model) {
    for (int i = 0; i < point->model_count; i++)
        if (point->models[i] == model)
            return true;
    return false;
}

static bool models_meet(const struct point *a, const struct point *b) {
    if (a->model_count == 0 || b->model_count == 0)
        return true;
    for (int i = 0; i < a->model_count; i++)
        if (has_model(b, a->models[i]))
            return true;
    return false;
}

static bool models_within(const struct point *inner, const struct point *outer) {
    if (outer->model_count == 0)
        return true;
    if (inner->model_count == 0)
        return false;
    for (int i = 0; i < inner->model_count; i++)
        if (!has_model(outer, inner->models[i]))
            return false;
    return true;
}

int compile_point_find(const struct compile *compile, const char *name, int part) {
    const struct driver *driver = compile->driver;
    int shared = POINT_NONE;
    for (int i = 0; i < driver->point_count; i++) {
        if (strcmp(driver->points[i].name, name) != 0)
            continue;
        if (driver->points[i].part == part)
            return i;
        if (driver->points[i].part == POINT_NONE && shared == POINT_NONE)
            shared = i;
    }
    return shared;
}

static void names_check(struct compile *compile) {
    const struct driver *driver = compile->driver;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        for (int j = 0; j < i && point->name[0]; j++) {
            const struct point *other = &driver->points[j];
            if (strcmp(point->name, other->name) != 0 || !parts_meet(point, other) ||
                !compile->sources[i].sound || !compile->sources[j].sound ||
                !models_meet(point, other))
                continue;
            char place[PLACE_SIZE];
            place_key(place, compile->sources[i].place, "name");
            report_add(compile->report, place,
                       "\"%s\" is taken by %s; a name occurs twice only for different models",
                       point->name, compile->sources[j].place);
            break;
        }
    }
}

static void scale_factor_resolve(struct compile *compile, int index) {
    struct driver *driver = compile->driver;
    struct point *point = &driver->points[index];
    const struct point_source *source = &compile->sources[index];
    const char *name = tree_string(source->tree, "scaleFactor", NULL);
    if (!name)
        return;
    if (compile_point_find(compile, name, point->part) == POINT_NONE) {
        char place[PLACE_SIZE];
        place_key(place, source->place, "scaleFactor");
        report_add(compile->report, place, "there is no point \"%s\"", name);
        return;
    }
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *factor = &driver->points[i];
        if (strcmp(factor->name, name) != 0 || !models_within(point, factor) ||
            !point_is_of(factor, point->part))
            continue;
        if (!compile->sources[i].sound)
            return;
        if (factor->id != POINT_NONE || factor->encoding != ENCODING_INT16 || factor->scale != 1 ||
            json_object_get(compile->sources[i].tree, "scaleFactor"))
            complain(compile, source, "scaleFactor",
                     "a scale factor is an own int16 point without a scale: a power of ten");
        point->scale_point = i;
        return;
    }
    for (int i = 0; i < driver->point_count; i++)
        if (strcmp(driver->points[i].name, name) == 0 && !compile->sources[i].sound)
            return;
    complain(compile, source, "scaleFactor", "that point is not in all models of this one");
}

static const char *point_unit(const struct compile *compile, int index) {
    int id = compile->driver->points[index].id;
    return id == POINT_NONE ? compile->sources[index].unit : quantity_unit(id);
}

static void read_back_resolve(struct compile *compile, int index) {
    struct driver *driver = compile->driver;
    struct point *point = &driver->points[index];
    const struct point_source *source = &compile->sources[index];
    const char *name = tree_string(source->tree, "readBack", NULL);
    if (!name)
        return;
    char place[PLACE_SIZE];
    place_key(place, source->place, "readBack");
    int other = compile_point_find(compile, name, point->part);
    if (other == POINT_NONE) {
        report_add(compile->report, place, "there is no point \"%s\"", name);
        return;
    }
    if (!compile->sources[other].sound)
        return;
    const struct point *shown = &driver->points[other];
    if ((shown->kind == REGISTER_VALUE) != (point->kind == REGISTER_VALUE))
        report_add(compile->report, place,
                   "\"%s\" must be of kind \"value\" if this point is, and "
                   "only then",
                   name);
    else if (shown->kind == REGISTER_VALUE && shown->period_ms <= 0)
        report_add(compile->report, place, "\"%s\" is not read again and again: give it a period",
                   name);
    else if (point_is_text(shown) || shown->encoding == ENCODING_STRING || shown->id == POINT_STATE)
        report_add(compile->report, place, "\"%s\" is not a number", name);
    else if (strcmp(point_unit(compile, index), point_unit(compile, other)) != 0)
        report_add(compile->report, place, "\"%s\" is in \"%s\", this point in \"%s\"", name,
                   point_unit(compile, other), point_unit(compile, index));
    else if (!models_within(point, shown))
        report_add(compile->report, place, "\"%s\" is not in all models of this point", name);
    point->read_back_point = other;
}

/* A scale factor is read with the values that it scales: some devices change it while running. */
static void scale_factor_periods(struct compile *compile) {
    struct driver *driver = compile->driver;
    for (int i = 0; i < driver->point_count; i++) {
        if (compile->sources[i].period_given)
            continue;
        bool used = false;
        int64_t shortest = 0;
        for (int j = 0; j < driver->point_count; j++) {
            const struct point *user = &driver->points[j];
            if (user->scale_point != i)
                continue;
            used = true;
            if (user->period_ms > 0 && (shortest == 0 || user->period_ms < shortest))
                shortest = user->period_ms;
        }
        if (used)
            driver->points[i].period_ms = shortest;
    }
}

void compile_points_finish(struct compile *compile) {
    names_check(compile);
    for (int i = 0; i < compile->driver->point_count; i++) {
        if (!compile->sources[i].sound) {
            compile->driver->points[i].scale_point = POINT_NONE;
            continue;
        }
        scale_factor_resolve(compile, i);
        read_back_resolve(compile, i);
    }
    scale_factor_periods(compile);
}
