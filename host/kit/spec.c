#include "kit/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "base/schema.h"

static const struct schema any = {.kind = SCHEMA_ANY};
static const struct schema write_item = {
    .kind = SCHEMA_ARRAY, .item = &any, .minimum = 2, .maximum = 8};
static const struct schema order_fields[] = {
    {.key = "part", .kind = SCHEMA_STRING},
    {.key = "model", .kind = SCHEMA_INTEGER, .minimum = 1, .maximum = 65534},
    {.key = "activePower", .kind = SCHEMA_INTEGER, .help = "W"},
    {.key = "minActivePower", .kind = SCHEMA_INTEGER, .help = "W"},
    {.key = "maxActivePower", .kind = SCHEMA_INTEGER, .help = "W"},
    {.key = "writes",
     .kind = SCHEMA_ARRAY,
     .item = &write_item,
     .minimum = 1,
     .maximum = CONTROL_MAX_WRITES},
    {.key = "sent",
     .kind = SCHEMA_ARRAY,
     .item = &any,
     .minimum = 1,
     .maximum = 64,
     .help = "texts, or { what, body or payload }"},
    {0},
};
static const struct schema order_item = {.kind = SCHEMA_OBJECT, .fields = order_fields};

#define FIXTURE_FIELDS                                                                             \
    {.key = "name", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 120},                          \
        {.key = "source", .kind = SCHEMA_STRING, .minimum = 1, .maximum = 400},                    \
        {.key = "registers", .kind = SCHEMA_MAP, .item = &any},                                    \
        {.key = "http", .kind = SCHEMA_MAP, .item = &any},                                         \
        {.key = "udp", .kind = SCHEMA_MAP, .item = &any},                                          \
        {.key = "line", .kind = SCHEMA_MAP, .item = &any},                                         \
        {.key = "mqtt", .kind = SCHEMA_MAP, .item = &any}, {.key = "models", .kind = SCHEMA_ANY},  \
        {.key = "parameters", .kind = SCHEMA_MAP, .item = &any},                                   \
        {.key = "expect", .kind = SCHEMA_MAP, .item = &any}, {                                     \
        .key = "orders", .kind = SCHEMA_ARRAY, .item = &order_item                                 \
    }

static const struct schema fixture_fields[] = {FIXTURE_FIELDS, {0}};
static const struct schema fixture_item = {.kind = SCHEMA_OBJECT, .fields = fixture_fields};
static const struct schema spec_fields[] = {
    {.key = "driver", .kind = SCHEMA_STRING, .required = true, .help = "the driver's name"},
    {.key = "fixtures",
     .kind = SCHEMA_ARRAY,
     .required = true,
     .item = &fixture_item,
     .minimum = 1,
     .maximum = 64},
    {0},
};
static const struct schema recording_fields[] = {
    FIXTURE_FIELDS,
    {.key = "driver", .kind = SCHEMA_STRING, .required = true, .help = "the driver's name"},
    {.key = "recorded", .kind = SCHEMA_MAP, .item = &any},
    {0},
};

bool spec_load(struct spec *spec, const char *path, struct report *report) {
    static const struct schema spec_schema = {.kind = SCHEMA_OBJECT, .fields = spec_fields};
    static const struct schema recording = {.kind = SCHEMA_OBJECT, .fields = recording_fields};
    size_t length;
    *spec = (struct spec){0};
    char *text = file_read(path, SPEC_FILE_MAXIMUM, &length, report);
    spec->tree = text ? luadata_load(path, text, length, report) : NULL;
    free(text);
    if (!spec->tree)
        return false;
    json_t *fixtures = json_object_get(spec->tree, "fixtures");
    if (!schema_check(fixtures ? &spec_schema : &recording, spec->tree, "", PATH_LUA, report)) {
        spec_free(spec);
        return false;
    }
    if (fixtures) {
        spec->fixtures = json_incref(fixtures);
    } else {
        spec->fixtures = json_array();
        json_array_append(spec->fixtures, spec->tree);
    }
    return true;
}

void spec_free(struct spec *spec) {
    json_decref(spec->fixtures);
    json_decref(spec->tree);
    *spec = (struct spec){0};
}

/* A chain with exactly these models, each as long as the driver's points (or its words) need. */
static bool take_models(const json_t *models, const struct driver *driver,
                        struct mirror_chain *chain, struct registers *registers,
                        struct report *report) {
    struct mirror_chain all;
    json_t *map = luadata_map(models);
    const char *id;
    json_t *body;
    bool ok = true;
    mirror_chain_make(driver, NULL, 0, &all);
    *chain = (struct mirror_chain){.base = all.base};
    uint16_t at = (uint16_t)(chain->base + 2);
    for (size_t i = 0; i < all.count; i++) {
        char key[8];
        snprintf(key, sizeof key, "%u", all.models[i].id);
        if (!json_object_get(map, key))
            continue;
        struct sunspec_model *model = &chain->models[chain->count++];
        *model = all.models[i];
        model->address = at;
        at = (uint16_t)(at + 2 + model->length);
    }
    mirror_chain_put(chain, true, registers);
    json_object_foreach(map, id, body) {
        size_t i = 0;
        while (i < chain->count && chain->models[i].id != strtoul(id, NULL, 10))
            i++;
        if (i == chain->count) {
            report_add(report, "models", "the driver has no point in model %s", id);
            ok = false;
            continue;
        }
        json_t *runs = luadata_map(body), *moved = json_object();
        const char *offset;
        json_t *words;
        json_object_foreach(runs, offset, words) {
            char key[16];
            snprintf(key, sizeof key, "%lu", strtoul(offset, NULL, 10) + chain->models[i].address);
            json_object_set(moved, key, words);
        }
        json_t *tree = json_pack("{s:o}", "holding", moved);
        ok = registers_take(registers, tree, "models", report) && ok;
        json_decref(tree);
        json_decref(runs);
    }
    json_decref(map);
    return ok;
}

bool spec_registers(const json_t *fixture, const struct driver *driver, struct mirror_chain *chain,
                    struct registers *registers, struct report *report) {
    const json_t *models = json_object_get(fixture, "models");
    *chain = (struct mirror_chain){0};
    bool ok = !models || take_models(models, driver, chain, registers, report);
    const json_t *plain = json_object_get(fixture, "registers");
    return (!plain || registers_take(registers, plain, "registers", report)) && ok;
}

enum link_kind spec_kind(const struct driver *driver) {
    for (int kind = LINK_HTTP; kind < LINK_KIND_COUNT; kind++)
        if (driver->links & 1U << kind)
            return (enum link_kind)kind;
    return LINK_TCP;
}

/* A text as it is; a table as JSON. New reference. */
static json_t *text_of(const json_t *value) {
    if (json_is_string(value))
        return json_incref((json_t *)value);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_t *made = json_string(text ? text : "");
    free(text);
    return made;
}

static json_t *http_answer(const json_t *value) {
    const json_t *body = json_object_get(value, "body"), *status = json_object_get(value, "status");
    const json_t *type = json_object_get(value, "type");
    size_t known = (body ? 1U : 0U) + (json_is_integer(status) ? 1U : 0U) + (type ? 1U : 0U);
    bool whole = json_is_object(value) && (body || json_is_integer(status)) &&
                 known == json_object_size(value);
    json_t *answer = json_object();
    if (whole && status)
        json_object_set(answer, "status", (json_t *)status);
    if (whole && type)
        json_object_set(answer, "type", (json_t *)type);
    if (!whole || body)
        json_object_set_new(answer, "body", text_of(whole ? body : value));
    return answer;
}

json_t *spec_answers(const json_t *fixture, enum link_kind kind) {
    json_t *answers = json_object(), *value;
    const char *key;
    json_object_foreach(json_object_get(fixture, link_kind_names()[kind]), key, value) {
        json_object_set_new(answers, key, kind == LINK_HTTP ? http_answer(value) : text_of(value));
    }
    return answers;
}
