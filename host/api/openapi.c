#include "api/openapi.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/luadata.h"
#include "vocabulary.h"

#define PLACE_SIZE         400
#define DESCRIPTION_SIZE   ((size_t)8 * 1024)
#define VOCABULARY_MAXIMUM ((size_t)64 * 1024)
#define ANSWERS            "x-answers" /* what every route can answer; not published */

/* --- parts ----------------------------------------------------------------------------------- */

static int is_part(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot && strcmp(dot, ".json") == 0;
}

static json_t *part_read(const char *folder, const char *name, struct report *report) {
    char path[1024];
    size_t length;
    json_error_t error;
    struct report trouble;
    int size = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (size < 0 || (size_t)size >= sizeof path) {
        report_add(report, name, "the path of the folder is too long: %.200s", folder);
        return NULL;
    }
    report_init(&trouble);
    char *text = file_read(path, OPENAPI_PART_MAXIMUM, &length, &trouble);
    report_move(report, &trouble, "");
    report_free(&trouble);
    if (!text)
        return NULL;
    json_t *part = json_read(text, length, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (json_is_object(part))
        return part;
    if (part)
        report_add(report, name, "expected a JSON object with paths and components");
    else
        report_add(report, name, "line %d, column %d: %s", error.line, error.column, error.text);
    json_decref(part);
    return NULL;
}

/* Adds what `from` has to `to`: objects member by member, lists at the end. The same place twice is
 * a clash of two parts. */
static void merge(json_t *to, json_t *from, const char *place, const char *name,
                  struct report *report) {
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value) {
        char here[PLACE_SIZE];
        json_t *there = json_object_get(to, key);
        snprintf(here, sizeof here, "%s/%s", place, key);
        if (!there)
            (void)json_object_set(to, key, value);
        else if (json_is_object(there) && json_is_object(value))
            merge(there, value, here, name, report);
        else if (json_is_array(there) && json_is_array(value))
            (void)json_array_extend(there, value);
        else
            report_add(report, name, "%s stands in another part already", here);
    }
}

/* --- what the vocabulary knows --------------------------------------------------------------- */

static json_t *vocabulary_tree(void) {
    struct buf text;
    buf_init(&text, VOCABULARY_MAXIMUM);
    vocabulary_write(&text);
    json_t *tree = text.failed ? NULL : json_read_text(buf_string(&text), 0, NULL);
    buf_free(&text);
    return tree;
}

static const char *member(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* {"$words": "connections", "description": "..."}: a closed list of words, each with its meaning.
 */
static void fill_words(json_t *schema, const json_t *words) {
    struct buf description;
    json_t *names = json_array();
    size_t index;
    json_t *word;
    buf_init(&description, DESCRIPTION_SIZE);
    buf_format(&description, "%s\n", member(schema, "description"));
    json_array_foreach(words, index, word) {
        (void)json_array_append(names, json_object_get(word, "name"));
        buf_format(&description, "\n- `%s`: %s", member(word, "name"), member(word, "meaning"));
    }
    (void)json_object_set_new(schema, "type", json_string("string"));
    (void)json_object_set_new(schema, "enum", names);
    (void)json_object_set_new(schema, "description", json_string(buf_string(&description)));
    buf_free(&description);
}

/* A measured number, null when it is unknown. What the schema says itself stands. */
static void fill_point(json_t *schema, const json_t *point) {
    char text[300];
    const char *unit = member(point, "unit");
    snprintf(text, sizeof text, "%s%s%s%s `null`: unknown.", member(point, "meaning"),
             unit[0] ? " Unit: " : "", unit, unit[0] ? "." : "");
    json_t *known = json_pack("{s:[s,s], s:s, s:O, s:O}", "type", "number", "null", "description",
                              text, "minimum", json_object_get(point, "minimum"), "maximum",
                              json_object_get(point, "maximum"));
    if (unit[0])
        (void)json_object_set_new(known, "x-unit", json_string(unit));
    (void)json_object_update_missing(schema, known);
    json_decref(known);
}

static const json_t *point_find(const json_t *vocabulary, const char *name) {
    size_t index;
    json_t *point;
    json_array_foreach(json_object_get(vocabulary, "points"), index, point) {
        if (strcmp(member(point, "name"), name) == 0)
            return point;
    }
    return NULL;
}

/* {"$points": "values"}: a property for each number; {"$points": "times"}: when each was read. */
static json_t *point_properties(const json_t *vocabulary, const char *what) {
    json_t *properties = json_object();
    bool times = strcmp(what, "times") == 0;
    size_t index;
    json_t *point;
    json_array_foreach(json_object_get(vocabulary, "points"), index, point) {
        const char *type = member(point, "type");
        json_t *schema = json_object();
        if (times && strcmp(type, "text") != 0)
            (void)json_object_set_new(schema, "$ref", json_string("#/components/schemas/Time"));
        else if (!times && strcmp(type, "number") == 0)
            fill_point(schema, point);
        if (json_object_size(schema) > 0)
            (void)json_object_set(properties, member(point, "name"), schema);
        json_decref(schema);
    }
    return properties;
}

static void fill(json_t *node, const json_t *vocabulary, const char *place, struct report *report);

/* One member of an object, with the marks that stand in it. */
static void fill_member(json_t *node, const char *key, json_t *value, const json_t *vocabulary,
                        const char *place, struct report *report) {
    char here[PLACE_SIZE];
    snprintf(here, sizeof here, "%s/%s", place, key);
    const char *words = json_string_value(json_object_get(value, "$words"));
    const char *name = json_string_value(json_object_get(value, "$point"));
    const char *points = json_string_value(json_object_get(value, "$points"));
    if (words) {
        const json_t *list = json_object_get(vocabulary, words);
        if (list)
            fill_words(value, list);
        else
            report_add(report, here, "the vocabulary has no list \"%s\"", words);
        (void)json_object_del(value, "$words");
    } else if (name) {
        const json_t *point = point_find(vocabulary, name);
        if (point)
            fill_point(value, point);
        else
            report_add(report, here, "the vocabulary has no point \"%s\"", name);
        (void)json_object_del(value, "$point");
    } else if (points) {
        (void)json_object_set_new(node, key, point_properties(vocabulary, points));
    } else {
        fill(value, vocabulary, here, report);
    }
}

static void fill(json_t *node, const json_t *vocabulary, const char *place, struct report *report) {
    if (json_is_array(node)) {
        size_t index;
        json_t *value;
        json_array_foreach(node, index, value) fill(value, vocabulary, place, report);
        return;
    }
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(node, next, key, value)
        fill_member(node, key, value, vocabulary, place, report);
}

/* --- what every route can answer ------------------------------------------------------------- */

/* Open operations say "security": []; an empty requirement among others means the same. */
static bool needs_token(const json_t *operation) {
    const json_t *security = json_object_get(operation, "security");
    return !security || json_array_size(security) > 0;
}

/* Each of `responses` carries these headers; one that is a reference has them where it is defined.
 * `status`: only that one, NULL: all. */
static void add_headers(json_t *responses, const char *status, json_t *headers) {
    const char *name;
    json_t *response;
    json_object_foreach(responses, name, response) {
        if (json_object_get(response, "$ref") || (status && strcmp(name, status) != 0))
            continue;
        if (!json_object_get(response, "headers"))
            (void)json_object_set_new(response, "headers", json_object());
        (void)json_object_update_missing(json_object_get(response, "headers"), headers);
    }
}

/* What holds for all operations of a kind: responses, parameters, headers of the answer 200. */
static void add_kind(json_t *operation, const json_t *kind) {
    json_t *responses = json_object_get(operation, "responses");
    json_t *parameters = json_object_get(kind, "parameters");
    (void)json_object_update_missing(responses, json_object_get(kind, "responses"));
    add_headers(responses, "200", json_object_get(kind, "headers"));
    if (!parameters)
        return;
    if (!json_object_get(operation, "parameters"))
        (void)json_object_set_new(operation, "parameters", json_array());
    (void)json_array_extend(json_object_get(operation, "parameters"), parameters);
}

/* The path's parameters, before those of the operation: Swagger UI does not follow references that
 * stand at the path. */
static void put_first(json_t *operation, json_t *parameters) {
    json_t *own = json_incref(json_object_get(operation, "parameters"));
    if (parameters) {
        (void)json_object_set_new(operation, "parameters", json_copy(parameters));
        (void)json_array_extend(json_object_get(operation, "parameters"), own);
    }
    json_decref(own);
}

/* Where a token may, a session may too, with the same scopes: said here once. */
static void add_session(json_t *operation) {
    json_t *security = json_object_get(operation, "security");
    size_t count = json_array_size(security);
    for (size_t i = 0; i < count; i++) {
        json_t *scopes = json_object_get(json_array_get(security, i), "token");
        if (scopes)
            (void)json_array_append_new(security, json_pack("{s:O}", "session", scopes));
    }
}

static void complete_operation(json_t *operation, const char *method, const json_t *answers) {
    if (!json_is_object(json_object_get(operation, "responses")))
        return; /* not an operation: the path's parameters */
    add_headers(json_object_get(operation, "responses"), NULL, json_object_get(answers, "headers"));
    add_session(operation);
    add_kind(operation, json_object_get(answers, "every"));
    if (json_object_get(operation, "requestBody"))
        add_kind(operation, json_object_get(answers, "body"));
    if (!needs_token(operation))
        return;
    add_kind(operation, json_object_get(answers, "secured"));
    if (strcmp(method, "get") == 0)
        add_kind(operation, json_object_get(answers, "read"));
}

static void complete(json_t *document) {
    const char *path;
    const char *method;
    json_t *item;
    json_t *operation;
    json_t *answers = json_object_get(document, ANSWERS);
    json_t *components = json_object_get(document, "components");
    add_session(document);
    add_headers(json_object_get(components, "responses"), NULL,
                json_object_get(answers, "headers"));
    json_object_foreach(json_object_get(document, "paths"), path, item) {
        json_t *shared = json_incref(json_object_get(item, "parameters"));
        (void)json_object_del(item, "parameters");
        json_object_foreach(item, method, operation) {
            put_first(operation, shared);
            complete_operation(operation, method, answers);
        }
        json_decref(shared);
    }
    (void)json_object_del(document, ANSWERS);
    (void)json_object_set_new(json_object_get(document, "info"), "version",
                              json_string(DERD_VERSION));
}

json_t *openapi_compose(const char *folder, struct report *report) {
    struct dirent **entries = NULL;
    size_t before = report->total;
    json_t *document = json_object();
    int count = scandir(folder, &entries, is_part, alphasort);
    if (count <= 0 || count > OPENAPI_PARTS)
        report_add(report, folder, "expected 1 to %d parts *.json, found %d", OPENAPI_PARTS,
                   count < 0 ? 0 : count);
    for (int i = 0; i < count; i++) {
        json_t *part =
            count <= OPENAPI_PARTS ? part_read(folder, entries[i]->d_name, report) : NULL;
        merge(document, part, "", entries[i]->d_name, report);
        json_decref(part);
        free(entries[i]);
    }
    free(entries);
    json_t *vocabulary = vocabulary_tree();
    if (vocabulary)
        fill(document, vocabulary, "", report);
    else
        report_add(report, "", "no memory");
    json_decref(vocabulary);
    complete(document);
    if (report->total == before)
        return document;
    json_decref(document);
    return NULL;
}
