/* The OpenAPI document against the route table, in both directions, and against itself. What a
 * newcomer forgets when he adds a route is told here. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/handlers.h"
#include "api/openapi.h"
#include "api/route.h"
#include "constraint.h"
#include "driver.h"
#include "events/events.h"
#include "store/store_webhooks.h"
#include "telemetry/retention.h"
#include "telemetry/ruling.h"
#include "vocabulary.h"

#define PARTS     DERD_SOURCE_DIR "/web/openapi"
#define PATH_SIZE 256

static json_t *document;

static int compose(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    document = openapi_compose(PARTS, &report);
    for (size_t i = 0; i < report.count; i++)
        print_error("%s: %s\n", report.items[i].where, report.items[i].text);
    report_free(&report);
    return document ? 0 : -1;
}

static int release(void **state) {
    (void)state;
    json_decref(document);
    return 0;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* What "#/a/b" points to; NULL: nothing. */
static json_t *resolve(const char *pointer) {
    json_t *at = document;
    char step[PATH_SIZE];
    if (strncmp(pointer, "#/", 2) != 0)
        return NULL;
    for (pointer += 2; *pointer && at;) {
        size_t length = strcspn(pointer, "/");
        assert_true(length < sizeof step);
        memcpy(step, pointer, length);
        step[length] = '\0';
        at = json_object_get(at, step);
        pointer += length;
        if (*pointer == '/')
            pointer++;
    }
    return at;
}

static json_t *follow(json_t *object) {
    const char *pointer = json_string_value(json_object_get(object, "$ref"));
    return pointer ? resolve(pointer) : object;
}

/* --- routes ---------------------------------------------------------------------------------- */

/* The files of the pages are no part of the API. */
static bool is_page(const struct route *route) {
    return route->handler == api_page_file;
}

/* A path with every {name} as {}: the table and the document name their steps differently. */
static void shape_of(const char *path, char shape[PATH_SIZE]) {
    size_t used = 0;
    for (; *path && used < PATH_SIZE - 1; path++) {
        shape[used++] = *path;
        if (*path == '{')
            path += strcspn(path, "}") - 1;
    }
    shape[used] = '\0';
}

static const char *method_key(enum method method) {
    static const char *const keys[] = {
        [METHOD_GET] = "get",        [METHOD_HEAD] = "head",     [METHOD_POST] = "post",
        [METHOD_PUT] = "put",        [METHOD_DELETE] = "delete", [METHOD_PATCH] = "patch",
        [METHOD_OPTIONS] = "options"};
    return keys[method];
}

static json_t *find_operation(const struct route *route) {
    const char *path;
    char wanted[PATH_SIZE];
    char shape[PATH_SIZE];
    json_t *item;
    shape_of(route->path, wanted);
    json_object_foreach(json_object_get(document, "paths"), path, item) {
        shape_of(path, shape);
        if (strcmp(shape, wanted) == 0)
            return json_object_get(item, method_key(route->method));
    }
    return NULL;
}

static bool is_method(const char *key) {
    static const char *const methods[] = {"get", "head", "post", "put", "delete", "patch"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i], key) == 0)
            return true;
    return false;
}

static void every_route_is_in_the_document(void **state) {
    (void)state;
    size_t count;
    size_t missing = 0;
    const struct route *routes = route_table(&count);
    for (size_t i = 0; i < count; i++)
        if (!is_page(&routes[i]) && !find_operation(&routes[i])) {
            print_error("web/openapi/ does not describe %s %s\n", method_key(routes[i].method),
                        routes[i].path);
            missing++;
        }
    assert_int_equal(missing, 0);
}

static void everything_in_the_document_is_a_route(void **state) {
    (void)state;
    size_t count;
    size_t wrong = 0;
    const char *path;
    const char *method;
    json_t *item;
    json_t *operation;
    const struct route *routes = route_table(&count);
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation) {
        bool found = !is_method(method);
        for (size_t i = 0; i < count && !found; i++) {
            found = find_operation(&routes[i]) == operation;
        }
        if (!found) {
            print_error("the route table has no %s %s\n", method, path);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* The parameter of this name; NULL: the operation has none. */
static json_t *find_parameter(const json_t *operation, const char *in, const char *name) {
    size_t index;
    json_t *parameter;
    json_array_foreach(json_object_get(operation, "parameters"), index, parameter) {
        parameter = follow(parameter);
        if (strcmp(text_of(parameter, "in"), in) == 0 &&
            strcmp(text_of(parameter, "name"), name) == 0)
            return parameter;
    }
    return NULL;
}

static size_t count_parameters(const json_t *operation, const char *in) {
    size_t count = 0;
    size_t index;
    json_t *parameter;
    json_array_foreach(json_object_get(operation, "parameters"), index, parameter) {
        if (strcmp(text_of(follow(parameter), "in"), in) == 0)
            count++;
    }
    return count;
}

static void query_parameters_are_those_of_the_route(void **state) {
    (void)state;
    size_t count;
    size_t wrong = 0;
    const struct route *routes = route_table(&count);
    for (size_t i = 0; i < count; i++) {
        json_t *operation = is_page(&routes[i]) ? NULL : find_operation(&routes[i]);
        size_t known = 0;
        for (const char *at = routes[i].query; operation && *at; at += strspn(at, " ")) {
            char name[64];
            size_t length = strcspn(at, " ");
            snprintf(name, sizeof name, "%.*s", (int)length, at);
            if (!find_parameter(operation, "query", name)) {
                print_error("%s: ?%s= is not described\n", routes[i].path, name);
                wrong++;
            }
            known++;
            at += length;
        }
        if (operation && known != count_parameters(operation, "query")) {
            print_error("%s: a query parameter is described that the route does not take\n",
                        routes[i].path);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void idempotency_keys_are_described_where_they_are_kept(void **state) {
    (void)state;
    size_t count;
    const struct route *routes = route_table(&count);
    for (size_t i = 0; i < count; i++) {
        json_t *operation = is_page(&routes[i]) ? NULL : find_operation(&routes[i]);
        bool kept = routes[i].method == METHOD_POST && route_key(&routes[i]) == KEY_KEPT;
        bool described = find_parameter(operation, "header", "Idempotency-Key") != NULL;
        if (operation && kept != described)
            fail_msg("%s %s: the key is %s", method_key(routes[i].method), routes[i].path,
                     kept ? "kept: describe it" : "not kept");
    }
}

static void path_parameters_are_those_of_the_path(void **state) {
    (void)state;
    const char *path;
    const char *method;
    json_t *item;
    json_t *operation;
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation) {
        size_t steps = 0;
        for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "}"), at + 1);
            json_t *parameter = find_parameter(operation, "path", name);
            if (!parameter || !json_object_get(parameter, "example"))
                fail_msg("%s: {%s} is no parameter of the path, or has no example", path, name);
            steps++;
        }
        if (steps != count_parameters(operation, "path"))
            fail_msg("%s %s: a parameter is described that the path does not have", method, path);
    }
}

/* No requirement, or an empty one beside others. */
static bool described_as_open(const json_t *operation) {
    const json_t *security = json_object_get(operation, "security");
    size_t index;
    json_t *requirement;
    if (!security)
        return false;
    json_array_foreach(security, index, requirement) {
        if (json_object_size(requirement) == 0)
            return true;
    }
    return json_array_size(security) == 0;
}

static void open_routes_are_described_as_open(void **state) {
    (void)state;
    size_t count;
    const struct route *routes = route_table(&count);
    for (size_t i = 0; i < count; i++) {
        json_t *operation = is_page(&routes[i]) ? NULL : find_operation(&routes[i]);
        if (operation && described_as_open(operation) != routes[i].open)
            fail_msg("%s %s is %s", method_key(routes[i].method), routes[i].path,
                     routes[i].open ? "open: say \"security\": []" : "secured");
    }
}

static void every_operation_names_the_scope_of_its_route(void **state) {
    (void)state;
    size_t count;
    size_t wrong = 0;
    const struct route *routes = route_table(&count);
    for (size_t i = 0; i < count; i++) {
        const json_t *operation = is_page(&routes[i]) ? NULL : find_operation(&routes[i]);
        const json_t *security = json_object_get(operation, "security");
        const json_t *scopes = json_object_get(json_array_get(security, 0), "token");
        const json_t *session = json_object_get(json_array_get(security, 1), "session");
        const char *scope = json_string_value(json_array_get(scopes, 0));
        bool none = routes[i].scope == TOKEN_SCOPE_COUNT;
        if (!operation || routes[i].open ||
            (json_array_size(security) == 2 && json_equal(scopes, session) &&
             (none ? json_is_array(scopes) && !scope
                   : json_array_size(scopes) == 1 && scope &&
                         strcmp(scope, token_scope_name(routes[i].scope)) == 0)))
            continue;
        print_error("%s %s: say \"security\": [{\"token\": [\"%s\"]}]\n",
                    method_key(routes[i].method), routes[i].path,
                    none ? "" : token_scope_name(routes[i].scope));
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void every_body_has_named_examples(void **state) {
    (void)state;
    const char *path;
    const char *method;
    json_t *item;
    json_t *operation;
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation) {
        json_t *body = json_object_get(operation, "requestBody");
        const char *type;
        json_t *media;
        if (!is_method(method) || !body)
            continue;
        if (!json_is_true(json_object_get(body, "required")))
            fail_msg("%s %s: the body is not described as required", method, path);
        json_object_foreach(json_object_get(body, "content"), type, media) {
            if (json_object_size(json_object_get(media, "examples")) == 0)
                fail_msg("%s %s: the body has no examples", method, path);
        }
    }
}

/* --- the document itself --------------------------------------------------------------------- */

static void every_operation_says_what_it_is(void **state) {
    (void)state;
    const char *path;
    const char *method;
    json_t *item;
    json_t *operation;
    json_t *seen = json_object();
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation) {
        if (!is_method(method))
            continue;
        const char *id = text_of(operation, "operationId");
        if (!id[0] || !text_of(operation, "summary")[0] ||
            json_array_size(json_object_get(operation, "tags")) != 1)
            fail_msg("%s %s needs an operationId, a summary and one tag", method, path);
        if (json_object_get(seen, id))
            fail_msg("%s %s: the operationId \"%s\" is taken", method, path, id);
        (void)json_object_set_new(seen, id, json_true());
    }
    json_decref(seen);
}

static void every_schema_has_an_example_and_a_description(void **state) {
    (void)state;
    size_t wrong = 0;
    const char *name;
    json_t *schema;
    json_object_foreach(resolve("#/components/schemas"), name, schema) {
        if (json_array_size(json_object_get(schema, "examples")) > 0 &&
            text_of(schema, "description")[0])
            continue;
        print_error("the schema %s has no examples or no description\n", name);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void every_property_says_what_it_is(void **state) {
    (void)state;
    size_t wrong = 0;
    const char *name;
    const char *key;
    json_t *schema;
    json_t *property;
    json_object_foreach(resolve("#/components/schemas"), name, schema)
        json_object_foreach(json_object_get(schema, "properties"), key, property) {
        if (text_of(property, "description")[0] || json_object_get(property, "$ref") ||
            json_object_get(property, "const") || json_object_get(property, "items"))
            continue;
        print_error("%s.%s has no description\n", name, key);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void every_problem_is_a_problem_document(void **state) {
    (void)state;
    const char *path;
    const char *method;
    const char *status;
    json_t *item;
    json_t *operation;
    json_t *response;
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation)
            json_object_foreach(json_object_get(operation, "responses"), status, response) {
        json_t *content = json_object_get(follow(response), "content");
        if (status[0] >= '4' && !json_object_get(content, "application/problem+json"))
            fail_msg("%s %s: %s is no application/problem+json", method, path, status);
    }
}

/* "$ref" everywhere points to something; no mark of the composer is left. */
static void look_over(json_t *node, const char *key) {
    size_t index;
    const char *name;
    json_t *value;
    if (json_is_array(node))
        json_array_foreach(node, index, value) look_over(value, key);
    if (!json_is_object(node))
        return;
    json_object_foreach(node, name, value) {
        if (strcmp(name, "$ref") == 0 && json_is_string(value) &&
            !resolve(json_string_value(value)))
            fail_msg("%s: there is no %s", key, json_string_value(value));
        if (name[0] == '$' && strcmp(name, "$ref") != 0)
            fail_msg("%s: the mark %s is not known", key, name);
        look_over(value, name);
    }
}

static void every_reference_is_there_and_no_mark_is_left(void **state) {
    (void)state;
    look_over(document, "");
    assert_null(json_object_get(document, "x-answers"));
}

static void version_words_and_ranges_are_those_of_the_program(void **state) {
    (void)state;
    assert_string_equal(text_of(resolve("#/info"), "version"), DERD_VERSION);
    json_t *types = resolve("#/components/schemas/DeviceType/enum");
    assert_int_equal(json_array_size(types), DEVICE_TYPE_COUNT);
    for (size_t i = 0; i < DEVICE_TYPE_COUNT; i++)
        assert_string_equal(json_string_value(json_array_get(types, i)), device_type_names()[i]);
    json_t *charge = resolve("#/components/schemas/Flexibility/properties/stateOfCharge");
    assert_true(json_number_value(json_object_get(charge, "maximum")) == 100);
    assert_string_equal(text_of(charge, "x-unit"), "%");
    json_t *values = resolve("#/components/schemas/Values/properties");
    json_t *times = resolve("#/components/schemas/Updated/properties");
    assert_int_equal(json_object_size(values), POINT_NUMBER_COUNT - 1); /* all but the state */
    assert_int_equal(json_object_size(times), POINT_NUMBER_COUNT);
}

/* The closed list at `pointer` holds these `count` words (and perhaps null) in this order. */
static void expect_words(const char *pointer, const char *const *words, size_t count) {
    json_t *list = resolve(pointer);
    size_t listed = json_array_size(list);
    if (listed > 0 && json_is_null(json_array_get(list, listed - 1)))
        listed--;
    if (listed != count)
        fail_msg("%s has %zu words, the program %zu", pointer, listed, count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(json_string_value(json_array_get(list, i)), words[i]) != 0)
            fail_msg("%s: \"%s\" where the program says \"%s\"", pointer,
                     json_string_value(json_array_get(list, i)), words[i]);
}

#define SCHEMAS "#/components/schemas/"

static void closed_lists_outside_the_vocabulary_are_those_of_the_program(void **state) {
    (void)state;
    static const char *const with_types[] = {"WebhookRequest", "WebhookPatch", "Webhook",
                                             "WebhookWithSecret"};
    static const char *const with_scope[] = {"Cluster", "ClusterRequest", "ClusterPatch"};
    static const char *const delivery_states[] = {DELIVERY_STATE_WORDS};
    const char *words[EVENT_TYPE_COUNT];
    char pointer[PATH_SIZE];
    size_t used = 0;
    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        words[i] = event_type_name((enum event_type)i);
    expect_words(SCHEMAS "EventType/enum", words, EVENT_TYPE_COUNT);
    for (int i = 0; i < EVENT_TYPE_COUNT; i++) /* what comes unasked is not asked for */
        if (i != EVENT_RESET)
            words[used++] = event_type_name((enum event_type)i);
    for (size_t i = 0; i < sizeof with_types / sizeof with_types[0]; i++) {
        snprintf(pointer, sizeof pointer, SCHEMAS "%s/properties/types/items/enum", with_types[i]);
        expect_words(pointer, words, used);
    }
    expect_words(SCHEMAS "Delivery/properties/state/enum", delivery_states,
                 sizeof delivery_states / sizeof delivery_states[0]);
    for (int i = 0; i < LEVEL_COUNT; i++)
        words[i] = level_name((enum level)i);
    expect_words(SCHEMAS "History/properties/resolution/enum", words, LEVEL_COUNT);
    for (int i = RULING_REPLACED; i < RULING_END_COUNT; i++)
        words[i - RULING_REPLACED] = ruling_end_name((enum ruling_end)i);
    expect_words(SCHEMAS "LoggedDecision/properties/endedBy/enum", words,
                 RULING_END_COUNT - RULING_REPLACED);
    for (used = 0; link_kind_names()[used];)
        used++;
    expect_words(SCHEMAS "Driver/properties/links/items/enum", link_kind_names(), used);
    for (int i = SCOPE_CONNECTION; i < SCOPE_COUNT; i++)
        words[i - SCOPE_CONNECTION] = scope_name((enum scope)i);
    for (size_t i = 0; i < sizeof with_scope / sizeof with_scope[0]; i++) {
        snprintf(pointer, sizeof pointer, SCHEMAS "%s/properties/limits/properties/scope/enum",
                 with_scope[i]);
        expect_words(pointer, words, SCOPE_COUNT - SCOPE_CONNECTION);
    }
}

static void every_answer_tells_its_request_id(void **state) {
    (void)state;
    const char *path;
    const char *method;
    const char *status;
    json_t *item;
    json_t *operation;
    json_t *response;
    json_object_foreach(json_object_get(document, "paths"), path, item)
        json_object_foreach(item, method, operation)
            json_object_foreach(json_object_get(operation, "responses"), status, response) {
        if (!json_object_get(json_object_get(follow(response), "headers"), "X-Request-Id"))
            fail_msg("%s %s: %s has no X-Request-Id", method, path, status);
    }
}

/* --- parts that are wrong -------------------------------------------------------------------- */

static void write_part(const char *folder, const char *name, const char *text) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_part(const char *folder, const char *name) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static bool told(const struct report *report, const char *where, const char *text) {
    for (size_t i = 0; i < report->count; i++)
        if (strstr(report->items[i].where, where) && strstr(report->items[i].text, text))
            return true;
    return false;
}

static void every_mistake_in_the_parts_is_told_at_once(void **state) {
    (void)state;
    char folder[] = "/tmp/derd-openapi-XXXXXX";
    struct report report;
    assert_non_null(mkdtemp(folder));
    report_init(&report);
    write_part(folder, "a.json", "{\"info\": {\"title\": \"one\"}, \"paths\": {\"/a\": {}}}");
    write_part(folder, "b.json", "{\"info\": {\"title\": \"two\"}}");
    write_part(folder, "c.json", "{\n\"paths\": ");
    write_part(folder, "d.json", "[]");
    write_part(folder, "e.json",
               "{\"components\": {\"schemas\": {\"A\": {\"$words\": \"colours\"},"
               "\"B\": {\"properties\": {\"c\": {\"$point\": \"taste\"}}}}}}");
    assert_null(openapi_compose(folder, &report));
    assert_true(told(&report, "b.json", "/info/title stands in another part"));
    assert_true(told(&report, "c.json", "line 2"));
    assert_true(told(&report, "d.json", "expected a JSON object"));
    assert_true(told(&report, "/components/schemas/A", "no list \"colours\""));
    assert_true(told(&report, "/components/schemas/B/properties/c", "no point \"taste\""));
    assert_int_equal(report.total, 5);
    report_free(&report);
    for (char name[] = "a.json"; name[0] <= 'e'; name[0]++)
        remove_part(folder, name);
    report_init(&report);
    assert_null(openapi_compose(folder, &report));
    assert_true(told(&report, folder, "found 0"));
    report_free(&report);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_in_the_document),
        cmocka_unit_test(everything_in_the_document_is_a_route),
        cmocka_unit_test(query_parameters_are_those_of_the_route),
        cmocka_unit_test(idempotency_keys_are_described_where_they_are_kept),
        cmocka_unit_test(path_parameters_are_those_of_the_path),
        cmocka_unit_test(open_routes_are_described_as_open),
        cmocka_unit_test(every_operation_names_the_scope_of_its_route),
        cmocka_unit_test(every_body_has_named_examples),
        cmocka_unit_test(every_operation_says_what_it_is),
        cmocka_unit_test(every_schema_has_an_example_and_a_description),
        cmocka_unit_test(every_property_says_what_it_is),
        cmocka_unit_test(every_problem_is_a_problem_document),
        cmocka_unit_test(every_reference_is_there_and_no_mark_is_left),
        cmocka_unit_test(version_words_and_ranges_are_those_of_the_program),
        cmocka_unit_test(closed_lists_outside_the_vocabulary_are_those_of_the_program),
        cmocka_unit_test(every_answer_tells_its_request_id),
        cmocka_unit_test(every_mistake_in_the_parts_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, compose, release);
}
