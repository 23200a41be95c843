#include "site_changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_SIZE    600
#define DEPTH_MAXIMUM 16

struct changes {
    json_t *was, *is;
};

static void compare(struct changes *changes, const char *place, json_t *a, json_t *b, int depth);

static void name_place(char place[PLACE_SIZE], const char *above, const char *key) {
    snprintf(place, PLACE_SIZE, "%s%s%s", above, above[0] ? "." : "", key);
}

/* A list whose entries all have a key; an empty one too. */
static bool is_keyed(const json_t *list) {
    size_t index;
    json_t *item;
    json_array_foreach(list, index,
                       item) if (!json_is_string(json_object_get(item, "key"))) return false;
    return json_is_array(list);
}

static json_t *find_key(const json_t *list, const char *key) {
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) {
        const char *own = json_string_value(json_object_get(item, "key"));
        if (own && strcmp(own, key) == 0)
            return item;
    }
    return NULL;
}

static void compare_objects(struct changes *changes, const char *above, json_t *a, json_t *b,
                            int depth) {
    char place[PLACE_SIZE];
    const char *key;
    json_t *value;
    json_object_foreach(a, key, value) {
        name_place(place, above, key);
        compare(changes, place, value, json_object_get(b, key), depth);
    }
    json_object_foreach(b, key, value) {
        name_place(place, above, key);
        if (!json_object_get(a, key))
            compare(changes, place, NULL, value, depth);
    }
}

static void compare_lists(struct changes *changes, const char *above, const json_t *a,
                          const json_t *b, int depth) {
    char place[PLACE_SIZE];
    size_t index;
    json_t *item;
    json_array_foreach(a, index, item) {
        const char *key = json_string_value(json_object_get(item, "key"));
        name_place(place, above, key);
        compare(changes, place, item, find_key(b, key), depth);
    }
    json_array_foreach(b, index, item) {
        const char *key = json_string_value(json_object_get(item, "key"));
        name_place(place, above, key);
        if (!find_key(a, key))
            compare(changes, place, NULL, item, depth);
    }
}

static void compare(struct changes *changes, const char *place, json_t *a, json_t *b, int depth) {
    if (a && b && json_equal(a, b))
        return;
    if (depth < DEPTH_MAXIMUM && json_is_object(a) && json_is_object(b)) {
        compare_objects(changes, place, a, b, depth + 1);
        return;
    }
    if (depth < DEPTH_MAXIMUM && is_keyed(a) && is_keyed(b)) {
        compare_lists(changes, place, a, b, depth + 1);
        return;
    }
    if (a)
        json_object_set(changes->was, place, a);
    if (b)
        json_object_set(changes->is, place, b);
}

static bool fits(const json_t *tree, size_t most) {
    return json_dumpb(tree, NULL, 0, JSON_COMPACT) <= most;
}

/* {"places": [...], "count": n} */
static json_t *only_places(const json_t *tree, size_t most) {
    json_t *places = json_array();
    const char *key;
    json_t *value;
    size_t used = 64; /* what stands around them */
    json_object_foreach((json_t *)tree, key, value) {
        used += strlen(key) + 3;
        if (used <= most)
            json_array_append_new(places, json_string(key));
    }
    return json_pack("{s:o, s:I}", "places", places, "count", (json_int_t)json_object_size(tree));
}

bool site_changes(const json_t *before, const json_t *after, size_t most, json_t **was,
                  json_t **is) {
    struct changes changes = {json_object(), json_object()};
    json_t **const both[] = {&changes.was, &changes.is};
    bool whole = changes.was && changes.is;
    if (whole)
        compare(&changes, "", (json_t *)before, (json_t *)after, 0);
    for (int i = 0; i < 2 && whole; i++)
        if (!fits(*both[i], most)) {
            json_t *places = only_places(*both[i], most);
            json_decref(*both[i]);
            *both[i] = places;
            whole = places != NULL;
        }
    if (!whole) {
        json_decref(changes.was);
        json_decref(changes.is);
        changes = (struct changes){0};
    }
    *was = changes.was;
    *is = changes.is;
    return whole;
}
