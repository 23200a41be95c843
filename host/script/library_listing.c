#include "script/library_listing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A JSON string of text that may hold anything; null without memory. */
static json_t *text_json(const char *text) {
    json_t *json = json_string(text);
    if (json)
        return json;
    char *clean = strdup(text);
    if (!clean)
        return json_null();
    script_text_clean(clean);
    json = json_string(clean);
    free(clean);
    return json ? json : json_null();
}

/* null for "none", and for the infinities that stand for "no limit". */
static json_t *number_json(double value) {
    if (!isfinite(value))
        return json_null();
    return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value)
                                                       : json_real(value);
}

static json_t *or_null(const char *text) {
    return text[0] ? text_json(text) : json_null();
}

static json_t *driver_parameters_json(const struct driver *driver) {
    json_t *list = json_array();
    for (int i = 0; i < driver->parameter_count; i++) {
        const struct driver_parameter *parameter = &driver->parameters[i];
        json_t *item = json_object();
        json_object_set_new(item, "name", text_json(parameter->name));
        json_object_set_new(item, "unit", or_null(parameter->unit));
        json_object_set_new(item, "min", number_json(parameter->minimum));
        json_object_set_new(item, "max", number_json(parameter->maximum));
        json_object_set_new(item, "required", json_boolean(!parameter->has_default));
        json_object_set_new(item, "default",
                            parameter->has_default ? number_json(parameter->fallback)
                                                   : json_null());
        json_array_append_new(list, item);
    }
    return list;
}

static void set_driver(json_t *body, const struct driver *driver) {
    json_object_set_new(body, "version", or_null(driver->version));
    json_object_set_new(body, "manufacturer", or_null(driver->manufacturer));
    json_object_set_new(body, "models",
                        driver->models ? json_deep_copy(driver->models) : json_array());
    if (driver->part_count == 1 && !driver->parts[0].name[0]) {
        json_object_set_new(body, "type", text_json(device_type_name(driver->parts[0].type)));
    } else {
        json_t *parts = json_array();
        for (int i = 0; i < driver->part_count; i++) {
            json_t *part = json_object();
            json_object_set_new(part, "name", text_json(driver->parts[i].name));
            json_object_set_new(part, "type", text_json(device_type_name(driver->parts[i].type)));
            json_array_append_new(parts, part);
        }
        json_object_set_new(body, "parts", parts);
    }
    json_object_set_new(body, "parameters", driver_parameters_json(driver));
    json_t *kinds = json_array();
    for (int i = 0; i < LINK_KIND_COUNT; i++)
        if (driver->links & 1U << i)
            json_array_append_new(kinds, json_string(link_kind_names()[i]));
    json_object_set_new(body, "links", kinds);
    json_object_set_new(body, "api", json_integer(DRIVER_API));
    json_t *hooks = json_array();
    if (driver->hook_read)
        json_array_append_new(hooks, json_string("read"));
    if (driver->hook_write)
        json_array_append_new(hooks, json_string("write"));
    if (driver->hook_values)
        json_array_append_new(hooks, json_string("values"));
    if (driver->hook_command)
        json_array_append_new(hooks, json_string("command"));
    if (driver->hook_migrate)
        json_array_append_new(hooks, json_string("migrate"));
    json_object_set_new(body, "hooks", hooks);
}

static json_t *policy_parameters_json(const struct policy *policy) {
    json_t *list = json_array();
    for (int i = 0; i < policy->parameter_count; i++) {
        const struct policy_parameter *parameter = &policy->parameters[i];
        json_t *item = json_object();
        json_object_set_new(item, "name", text_json(parameter->name));
        json_object_set_new(item, "type", text_json(policy_parameter_type_name(parameter->type)));
        if (parameter->has_device_type)
            json_object_set_new(item, "device",
                                text_json(device_type_name(parameter->device_type)));
        if (parameter->type == POLICY_NUMBER) {
            json_object_set_new(item, "unit", or_null(parameter->unit));
            json_object_set_new(item, "min", number_json(parameter->minimum));
            json_object_set_new(item, "max", number_json(parameter->maximum));
        }
        json_object_set_new(item, "required", json_boolean(parameter->required));
        json_object_set_new(item, "default",
                            parameter->fallback ? json_deep_copy(parameter->fallback)
                                                : json_null());
        json_array_append_new(list, item);
    }
    return list;
}

static void set_policy(json_t *body, const struct policy *policy) {
    json_object_set_new(body, "version", or_null(policy->version));
    json_object_set_new(body, "every", number_json((double)policy->every_ms / 1000));
    json_object_set_new(body, "parameters", policy_parameters_json(policy));
    json_object_set_new(body, "hooks", json_pack("[s]", "run"));
}

static void set_generation(json_t *body, const struct listing *listing) {
    char loaded_at[WALL_TEXT_SIZE];
    if (!listing->current) {
        json_object_set_new(body, "generation", json_null());
        json_object_set_new(body, "loadedAt", json_null());
        return;
    }
    wall_format(listing->loaded_at, loaded_at);
    json_object_set_new(body, "generation", json_integer(listing->current->number));
    json_object_set_new(body, "loadedAt", text_json(loaded_at));
    if (listing->current->driver)
        set_driver(body, listing->current->driver);
    if (listing->current->policy)
        set_policy(body, listing->current->policy);
}

static void set_trouble(json_t *body, const struct listing *listing) {
    const struct generation *current = listing->current;
    const struct rolled_back *rolled_back = listing->rolled_back;
    char at[WALL_TEXT_SIZE];
    json_t *quarantine = json_null();
    json_t *rolled = json_null();
    if (current && current->quarantine[0]) {
        wall_format(current->quarantined_at, at);
        quarantine = json_object();
        json_object_set_new(quarantine, "why", text_json(current->quarantine));
        json_object_set_new(quarantine, "since", text_json(at));
    }
    if (rolled_back && rolled_back->generation) {
        wall_format(rolled_back->at, at);
        rolled = json_object();
        json_object_set_new(rolled, "generation", json_integer(rolled_back->generation));
        json_object_set_new(rolled, "version", or_null(rolled_back->version));
        json_object_set_new(rolled, "why", text_json(rolled_back->why));
        json_object_set_new(rolled, "at", text_json(at));
    }
    json_object_set_new(body, "rebuilds", json_integer(current ? current->ladder.builds : 0));
    json_object_set_new(body, "quarantine", quarantine);
    json_object_set_new(body, "rolledBack", rolled);
}

/* jansson's *_new() functions take NULL for "no memory" and refuse it: a body that lost a member is
 * told from a whole one only by its end, so the last member is looked for. */
char *listing_json(const struct listing *listing) {
    const char *status = !listing->current                 ? listing->path[0] ? "broken" : "removed"
                         : listing->current->quarantine[0] ? "quarantined"
                                                           : "active";
    json_t *body = json_object();
    json_object_set_new(body, "kind",
                        text_json(listing->kind == SCRIPT_DRIVER ? "driver" : "policy"));
    json_object_set_new(body, "name", text_json(listing->name));
    json_object_set_new(body, "path", or_null(listing->path));
    json_object_set_new(body, "status", text_json(status));
    set_generation(body, listing);
    json_t *shadows = json_array();
    for (size_t i = 0; i < listing->shadow_count; i++)
        json_array_append_new(shadows, text_json(listing->shadows[i]));
    json_object_set_new(body, "shadows", shadows);
    set_trouble(body, listing);
    json_t *errors = json_array();
    for (size_t i = 0; i < listing->errors->count; i++) {
        json_t *item = json_object();
        json_object_set_new(item, "where", text_json(listing->errors->items[i].where));
        json_object_set_new(item, "text", text_json(listing->errors->items[i].text));
        json_array_append_new(errors, item);
    }
    json_object_set_new(body, "errors", errors);
    char *text = json_object_get(body, "errors") ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}
