/* Checks of trees: any JSON against fields of every kind. What passes keeps to each field; what
 * does not is told with places that are in the tree. */
#include "fuzz.h"

#include <math.h>

#include "base/schema.h"

static const char *const words[] = {"red", "green", NULL};
static const struct schema number = {.kind = SCHEMA_NUMBER, .minimum = -5, .maximum = 5};
static const struct schema inner[] = {
    {.key = "name", .kind = SCHEMA_STRING, .required = true, .minimum = 1, .maximum = 8},
    {.key = "on", .kind = SCHEMA_BOOLEAN},
    {0},
};
static const struct schema item = {.kind = SCHEMA_OBJECT, .fields = inner};
static const struct schema fields[] = {
    {.key = "text", .kind = SCHEMA_STRING, .required = true},
    {.key = "whole", .kind = SCHEMA_INTEGER, .minimum = 0, .maximum = 100},
    {.key = "number", .kind = SCHEMA_NUMBER, .nullable = true},
    {.key = "color", .kind = SCHEMA_ENUM, .one_of = words},
    {.key = "list", .kind = SCHEMA_ARRAY, .item = &item, .minimum = 1, .maximum = 4},
    {.key = "map", .kind = SCHEMA_MAP, .item = &number},
    {.key = "any", .kind = SCHEMA_ANY},
    {0},
};
static const struct schema whole = {.kind = SCHEMA_OBJECT, .fields = fields};

static void check_kept(const json_t *tree) {
    size_t i;
    const char *key;
    json_t *value;
    must(json_is_string(json_object_get(tree, "text")));
    long long count = tree_integer(tree, "whole", 0);
    must(count >= 0 && count <= 100);
    must(isfinite(tree_number(tree, "number", 0)));
    const char *color = tree_string(tree, "color", "red");
    must(strcmp(color, "red") == 0 || strcmp(color, "green") == 0);
    json_array_foreach(json_object_get(tree, "list"), i, value) {
        must(json_string_length(json_object_get(value, "name")) >= 1);
        must(json_string_length(json_object_get(value, "name")) <= 8);
        (void)tree_boolean(value, "on", false);
    }
    must(i <= 4);
    json_object_foreach(json_object_get(tree, "map"), key, value)
        must(fabs(json_number_value(value)) <= 5);
}

/* All but the last step of a pointer is there. */
static void check_pointer(const json_t *tree, const char *at) {
    must(at[0] == '\0' || at[0] == '/');
    while (*at == '/' && strchr(at + 1, '/')) {
        char step[1000];
        size_t length = 0;
        for (at++; *at && *at != '/'; at++) {
            char c = *at;
            if (c == '~' && (at[1] == '0' || at[1] == '1'))
                c = *++at == '0' ? '~' : '/';
            if (length + 1 == sizeof step)
                return;
            step[length++] = c;
        }
        step[length] = '\0';
        tree = json_is_array(tree) ? json_array_get(tree, strtoul(step, NULL, 10))
                                   : json_object_get(tree, step);
        must(tree);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct report pointers, places;
    json_t *tree = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    if (!tree)
        return -1;
    report_init(&pointers);
    report_init(&places);
    bool right = schema_check(&whole, tree, "", PATH_POINTER, &pointers);
    must(right == report_empty(&pointers));
    must(right == schema_check(&whole, tree, "", PATH_LUA, &places));
    must(pointers.total == places.total);
    if (right)
        check_kept(tree);
    for (size_t i = 0; i < pointers.count; i++) {
        must(pointers.items[i].text[0]);
        check_pointer(tree, pointers.items[i].where);
    }
    report_free(&pointers);
    report_free(&places);
    json_decref(tree);
    return 0;
}
