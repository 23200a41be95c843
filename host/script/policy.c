#include "script/policy.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "base/schema.h"
#include "base/text.h"

#define LEASE_LEAST_MS  15000
#define EVERY_DEFAULT_S 5
#define STRING_MAXIMUM  255
#define PLACE_SIZE      200

static const char *const type_names[] = {"number", "string", "boolean", "device", "devices", NULL};

const char *policy_parameter_type_name(enum policy_parameter_type type) {
    return type_names[type];
}

/* `where` plus one step, in Lua's notation. */
static void place_of(char place[PLACE_SIZE], const char *where, const char *key) {
    struct buf path;
    buf_init(&path, PLACE_SIZE - 1);
    buf_text(&path, where);
    path_key(&path, key, PATH_LUA);
    text_copy(place, PLACE_SIZE, buf_string(&path));
    buf_free(&path);
}

static void place_of_item(char place[PLACE_SIZE], const char *where, size_t index) {
    struct buf path;
    buf_init(&path, PLACE_SIZE - 1);
    buf_text(&path, where);
    path_index(&path, index, PATH_LUA);
    text_copy(place, PLACE_SIZE, buf_string(&path));
    buf_free(&path);
}

/* ---- values of parameters ---- */

struct device_lookup {
    policy_device_type *type;
    void *context;
};

static void check_number(const struct policy_parameter *parameter, const json_t *value,
                         const char *where, struct report *report) {
    if (!json_is_number(value)) {
        report_add(report, where, "a number%s%s was expected", parameter->unit[0] ? " in " : "",
                   parameter->unit);
        return;
    }
    double number = json_number_value(value);
    if (number < parameter->minimum || number > parameter->maximum)
        report_add(report, where, "%g is outside %g..%g %s", number, parameter->minimum,
                   parameter->maximum, parameter->unit);
}

static void check_device(const struct policy_parameter *parameter, const json_t *value,
                         const struct device_lookup *lookup, const char *where,
                         struct report *report) {
    const char *wanted =
        parameter->has_device_type ? device_type_name(parameter->device_type) : "device";
    enum device_type type;
    if (!json_is_string(value) || strlen(json_string_value(value)) >= KEY_SIZE)
        report_add(report, where, "the key of a %s of this cluster was expected", wanted);
    else if (!lookup->type(lookup->context, json_string_value(value), &type))
        report_add(report, where, "there is no device '%s' in this cluster; a %s was expected",
                   json_string_value(value), wanted);
    else if (parameter->has_device_type && type != parameter->device_type)
        report_add(report, where, "'%s' is a %s; a %s was expected", json_string_value(value),
                   device_type_name(type), wanted);
}

static void check_devices(const struct policy_parameter *parameter, const json_t *value,
                          const struct device_lookup *lookup, const char *where,
                          struct report *report) {
    size_t count = json_array_size(value); /* 0 for anything else, {} too */
    if (count < 1 || count > POLICY_MAX_DEVICES) {
        report_add(report, where,
                   "a list of 1 to %d device keys was expected, like { \"wallbox\" }",
                   POLICY_MAX_DEVICES);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        char place[PLACE_SIZE];
        place_of_item(place, where, i);
        check_device(parameter, item, lookup, place, report);
        for (size_t j = 0; j < i; j++) {
            if (json_equal(item, json_array_get(value, j)))
                report_add(report, place, "'%s' is in the list twice",
                           json_is_string(item) ? json_string_value(item) : "?");
        }
    }
}

static void check_value(const struct policy_parameter *parameter, const json_t *value,
                        const struct device_lookup *lookup, const char *where,
                        struct report *report) {
    switch (parameter->type) {
    case POLICY_NUMBER:
        check_number(parameter, value, where, report);
        break;
    case POLICY_STRING:
        if (!json_is_string(value) || json_string_length(value) > STRING_MAXIMUM)
            report_add(report, where, "a text of at most %d characters was expected",
                       STRING_MAXIMUM);
        break;
    case POLICY_BOOLEAN:
        if (!json_is_boolean(value))
            report_add(report, where, "true or false was expected");
        break;
    case POLICY_DEVICE:
        check_device(parameter, value, lookup, where, report);
        break;
    case POLICY_DEVICES:
        check_devices(parameter, value, lookup, where, report);
        break;
    }
}

static const struct policy_parameter *find_parameter(const struct policy *policy,
                                                     const char *name) {
    for (int i = 0; i < policy->parameter_count; i++) {
        if (strcmp(policy->parameters[i].name, name) == 0)
            return &policy->parameters[i];
    }
    return NULL;
}

/* Keys of a policy's entry in the site file that are not its parameters. */
static bool is_reserved(const char *name) {
    return strcmp(name, "key") == 0 || strcmp(name, "policy") == 0 || strcmp(name, "priority") == 0;
}

static void report_unknown(const struct policy *policy, const char *where, struct report *report) {
    struct buf known;
    buf_init(&known, 1000);
    for (int i = 0; i < policy->parameter_count; i++)
        buf_format(&known, "%s%s", i ? ", " : "", policy->parameters[i].name);
    report_add(report, where, "the policy '%s' has no such parameter; it has %s", policy->name,
               known.length ? buf_string(&known) : "none");
    buf_free(&known);
}

json_t *policy_parameters(const struct policy *policy, const json_t *given, const char *where,
                          policy_device_type *device_type, void *context, struct report *report) {
    size_t before = report->total;
    struct device_lookup lookup = {device_type, context};
    json_t *result = json_object();
    char place[PLACE_SIZE];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)given, key, value) {
        place_of(place, where, key);
        const struct policy_parameter *parameter = find_parameter(policy, key);
        if (is_reserved(key))
            continue;
        if (!parameter) {
            report_unknown(policy, place, report);
            continue;
        }
        check_value(parameter, value, &lookup, place, report);
        if (json_object_set(result, key, value) != 0)
            report_add(report, place, "no memory");
    }
    for (int i = 0; i < policy->parameter_count; i++) {
        const struct policy_parameter *parameter = &policy->parameters[i];
        if (json_object_get(result, parameter->name))
            continue;
        place_of(place, where, parameter->name);
        if (parameter->fallback && json_object_set(result, parameter->name, parameter->fallback))
            report_add(report, place, "no memory");
        else if (parameter->required)
            report_add(report, place, "is missing: the policy '%s' needs it (%s)", policy->name,
                       type_names[parameter->type]);
    }
    if (report->total == before && result)
        return result;
    json_decref(result);
    return NULL;
}

/* ---- compiling ---- */

static bool is_name(const char *text) {
    if (!((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z')))
        return false;
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return text[length] == '\0' && length < POINT_NAME_SIZE;
}

/* Fills one parameter from a tree that has the right form. */
static void compile_parameter(const char *name, const json_t *tree, const char *where,
                              struct policy_parameter *parameter, struct report *report) {
    text_copy(parameter->name, sizeof parameter->name, name);
    if (!is_name(name) || is_reserved(name))
        report_add(report, where,
                   "a parameter's name has letters and digits, at most %d, and is not 'key', "
                   "'policy' or 'priority'",
                   POINT_NAME_SIZE - 1);
    const char *type = tree_string(tree, "type", "");
    for (int i = 0; type_names[i]; i++) {
        if (strcmp(type, type_names[i]) == 0)
            parameter->type = (enum policy_parameter_type)i;
    }
    bool is_device = parameter->type == POLICY_DEVICE || parameter->type == POLICY_DEVICES;
    const char *device = tree_string(tree, "device", NULL);
    if (device && !is_device)
        report_add(report, where, "'device' belongs to parameters of type device or devices");
    parameter->has_device_type = device && device_type_parse(device, &parameter->device_type);
    text_copy(parameter->unit, sizeof parameter->unit, tree_string(tree, "unit", ""));
    parameter->minimum = tree_number(tree, "min", -HUGE_VAL);
    parameter->maximum = tree_number(tree, "max", HUGE_VAL);
    if (parameter->minimum > parameter->maximum)
        report_add(report, where, "min %g is above max %g", parameter->minimum, parameter->maximum);
    json_t *fallback = json_object_get(tree, "default");
    if (fallback && is_device) {
        report_add(report, where, "a device has no default: the site file names it");
    } else if (fallback) {
        char place[PLACE_SIZE];
        place_of(place, where, "default");
        check_value(parameter, fallback, NULL, place, report);
        parameter->fallback = json_incref(fallback);
    }
    parameter->required = !fallback && tree_boolean(tree, "required", true);
}

/* False when there is no table of parameters to go on with. */
static bool compile_parameters(const json_t *tree, struct policy *policy, struct report *report) {
    size_t count = json_object_size(tree);
    if (count > POLICY_MAX_PARAMETERS) {
        report_add(report, "parameters", "has %zu entries; at most %d are possible", count,
                   POLICY_MAX_PARAMETERS);
        return false;
    }
    policy->parameters = calloc(count ? count : 1, sizeof *policy->parameters);
    if (!policy->parameters) {
        report_add(report, "parameters", "no memory");
        return false;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)tree, name, value) {
        char place[PLACE_SIZE];
        place_of(place, "parameters", name);
        compile_parameter(name, value, place, &policy->parameters[policy->parameter_count++],
                          report);
    }
    return true;
}

static bool check_tree(const json_t *tree, struct report *report) {
    const struct schema parameter_fields[] = {
        {.key = "type", .kind = SCHEMA_ENUM, .required = true, .one_of = type_names},
        {.key = "device", .kind = SCHEMA_ENUM, .one_of = device_type_names()},
        {.key = "unit", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 7},
        {.key = "min", .kind = SCHEMA_NUMBER},
        {.key = "max", .kind = SCHEMA_NUMBER},
        {.key = "default", .kind = SCHEMA_ANY},
        {.key = "required", .kind = SCHEMA_BOOLEAN},
        {.key = "help", .kind = SCHEMA_STRING},
        {.key = NULL}};
    const struct schema parameter = {.kind = SCHEMA_OBJECT, .fields = parameter_fields};
    const struct schema fields[] = {
        {.key = "api",
         .kind = SCHEMA_INTEGER,
         .required = true,
         .minimum = POLICY_API,
         .maximum = POLICY_API,
         .help = "version of the policy format"},
        {.key = "name", .kind = SCHEMA_STRING, .required = true, .maximum = DRIVER_NAME_SIZE - 1},
        {.key = "version", .kind = SCHEMA_STRING, .maximum = 31},
        {.key = "help", .kind = SCHEMA_STRING},
        {.key = "every", .kind = SCHEMA_NUMBER, .minimum = 1, .maximum = 3600, .help = "s"},
        {.key = "after",
         .kind = SCHEMA_STRING,
         .maximum = POINT_NAME_SIZE - 1,
         .help = "a parameter of type device: its fresh sample starts a run"},
        {.key = "parameters", .kind = SCHEMA_MAP, .item = &parameter},
        {.key = "run",
         .kind = SCHEMA_ANY,
         .required = true,
         .help = "function(snapshot, params, state)"},
        {.key = NULL}};
    const struct schema whole = {.kind = SCHEMA_OBJECT, .required = true, .fields = fields};
    return schema_check(&whole, tree, "", PATH_LUA, report);
}

struct policy *policy_compile(const json_t *tree, const char *name, struct report *report) {
    size_t before = report->total;
    if (!check_tree(tree, report))
        return NULL;
    struct policy *policy = calloc(1, sizeof *policy);
    if (!policy) {
        report_add(report, "", "no memory");
        return NULL;
    }
    if (strcmp(tree_string(tree, "name", ""), name) != 0)
        report_add(report, "name", "is '%s', but the file is called %s.lua: they must be the same",
                   tree_string(tree, "name", ""), name);
    if (!json_is_true(json_object_get(tree, "run")))
        report_add(report, "run", "a function(snapshot, params, state) was expected");
    text_copy(policy->name, sizeof policy->name, name);
    text_copy(policy->version, sizeof policy->version, tree_string(tree, "version", ""));
    policy->every_ms = llround(tree_number(tree, "every", EVERY_DEFAULT_S) * 1000);
    policy->lease_ms = 3 * policy->every_ms;
    if (policy->lease_ms < LEASE_LEAST_MS)
        policy->lease_ms = LEASE_LEAST_MS;
    policy->after = POINT_NONE;
    if (!compile_parameters(json_object_get(tree, "parameters"), policy, report))
        goto out;
    const char *after = tree_string(tree, "after", NULL);
    const struct policy_parameter *parameter = after ? find_parameter(policy, after) : NULL;
    if (after && (!parameter || parameter->type != POLICY_DEVICE))
        report_add(report, "after", "'%s' is not a parameter of type device", after);
    else if (after)
        policy->after = (int)(parameter - policy->parameters);
out:
    if (report->total == before)
        return policy;
    policy_free(policy);
    return NULL;
}

void policy_free(struct policy *policy) {
    if (!policy)
        return;
    for (int i = 0; i < policy->parameter_count; i++)
        json_decref(policy->parameters[i].fallback);
    free(policy->parameters);
    free(policy);
}
