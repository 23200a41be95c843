/* Checks a tree of plain data (jansson) against a table of fields: site files, drivers, policies,
 * their parameters and the bodies of API requests all use it. Every mistake is found in one go:
 * unknown keys (with the nearest known one), missing keys, wrong types, impossible ranges. */
#ifndef DERD_BASE_SCHEMA_H
#define DERD_BASE_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/report.h"

enum schema_kind {
    SCHEMA_STRING,  /* minimum, maximum: length in bytes (both 0: 1..255) */
    SCHEMA_INTEGER, /* minimum..maximum inclusive (both 0: any); a real without fraction passes */
    SCHEMA_NUMBER,  /* finite; minimum..maximum inclusive (both 0: any) */
    SCHEMA_BOOLEAN,
    SCHEMA_ENUM,   /* a string, one of `one_of` */
    SCHEMA_OBJECT, /* `fields` */
    SCHEMA_ARRAY,  /* each item by `item`; minimum, maximum: number of items (both 0: any) */
    SCHEMA_MAP,    /* an object with keys of the author's choice, each value by `item` */
    SCHEMA_ANY     /* checked by code of its owner */
};

struct schema {
    const char *key; /* NULL ends a list of fields; in `item` it is not used */
    enum schema_kind kind;
    bool required;
    bool nullable; /* a JSON null passes */
    double minimum, maximum;
    const char *const *one_of;
    const struct schema *fields; /* of an object, ended by a NULL key */
    const struct schema *item;   /* of an array or map */
    const char *help;            /* what it is, for messages: "W, what the device may take" */
};

enum path_style {
    PATH_LUA,    /* points[2].encoding: items count from 1 */
    PATH_POINTER /* /points/1/encoding: RFC 6901 */
};

/* True when nothing was found. `value` may be NULL (missing). `where` is the path of `value`, ""
 * for the whole. */
bool schema_check(const struct schema *schema, const json_t *value, const char *where,
                  enum path_style style, struct report *report);

/* Appends one step to a path, in its style. `path` must hold the start. */
void path_key(struct buf *path, const char *key, enum path_style style);
void path_index(struct buf *path, size_t index_from_0, enum path_style style);
/* Cuts a path to the `length` it had before a step; a step that did not fit is forgotten too. */
void path_back(struct buf *path, size_t length);

/* Readers for a tree that has passed its check: the value, or `fallback` when missing or null. */
const char *tree_string(const json_t *object, const char *key, const char *fallback);
double tree_number(const json_t *object, const char *key, double fallback);
long long tree_integer(const json_t *object, const char *key, long long fallback);
bool tree_boolean(const json_t *object, const char *key, bool fallback);

#endif
