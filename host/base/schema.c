#include "base/schema.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAXIMUM   900 /* of a place; what would go beyond is named by its parent */
#define PHRASE_MAXIMUM 950 /* of "expected ..." and "got ..." together with what to do */
#define LIST_MAXIMUM   450 /* of a list of names within it */
#define QUOTE_MAXIMUM  48  /* bytes shown of somebody's text */
#define NAME_MAXIMUM   63  /* longer names are not compared */
#define STRING_MAXIMUM 255 /* of a string whose field says nothing else */
#define EXACT_MAXIMUM  9007199254740992.0 /* 2^53: whole numbers that a double holds exactly */

struct check {
    enum path_style style;
    struct report *report;
    struct buf path;
    size_t found;
};

/* Paths. */

static bool is_identifier(const char *key) {
    if (!isalpha((unsigned char)*key) && *key != '_')
        return false;
    for (; *key; key++)
        if (!isalnum((unsigned char)*key) && *key != '_')
            return false;
    return true;
}

static void append_pointer_key(struct buf *path, const char *key) {
    buf_char(path, '/');
    for (; *key; key++) {
        if (*key == '~')
            buf_text(path, "~0");
        else if (*key == '/')
            buf_text(path, "~1");
        else
            buf_char(path, *key);
    }
}

static void append_lua_key(struct buf *path, const char *key) {
    if (is_identifier(key)) {
        buf_format(path, "%s%s", path->length ? "." : "", key);
        return;
    }
    buf_text(path, "[\"");
    for (; *key; key++) {
        unsigned char c = (unsigned char)*key;
        if (c < 0x20 || c == 0x7f) {
            buf_format(path, "\\%03d", c);
        } else {
            if (c == '"' || c == '\\')
                buf_char(path, '\\');
            buf_char(path, *key);
        }
    }
    buf_text(path, "\"]");
}

void path_key(struct buf *path, const char *key, enum path_style style) {
    if (style == PATH_POINTER)
        append_pointer_key(path, key);
    else
        append_lua_key(path, key);
}

void path_index(struct buf *path, size_t index_from_0, enum path_style style) {
    if (style == PATH_POINTER)
        buf_format(path, "/%zu", index_from_0);
    else
        buf_format(path, "[%zu]", index_from_0 + 1);
}

void path_back(struct buf *path, size_t length) {
    path->length = length;
    path->failed = false;
    if (path->data)
        path->data[length] = '\0';
}

/* Phrases. */

/* Somebody's text in quotes: shortened, without characters that would break a line or a screen. */
static void append_quoted(struct buf *text, const char *given, size_t length) {
    size_t shown = length;
    if (shown > QUOTE_MAXIMUM) {
        shown = QUOTE_MAXIMUM;
        while (shown > 0 && ((unsigned char)given[shown] & 0xC0) == 0x80)
            shown--;
    }
    buf_char(text, '"');
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)given[i];
        buf_char(text, c < 0x20 || c == 0x7f ? '?' : given[i]);
    }
    buf_text(text, shown < length ? "...\"" : "\"");
}

static void append_names(struct buf *text, size_t count, const char *(*name)(const void *, size_t),
                         const void *names) {
    size_t start = text->length;
    for (size_t i = 0; i < count; i++) {
        if (text->length - start > LIST_MAXIMUM) {
            buf_format(text, ", ... (%zu more)", count - i);
            return;
        }
        buf_format(text, "%s%s", i ? ", " : "", name(names, i));
    }
}

static const char *field_name(const void *fields, size_t index) {
    return ((const struct schema *)fields)[index].key;
}

static const char *enum_name(const void *names, size_t index) {
    return ((const char *const *)names)[index];
}

static size_t count_fields(const struct schema *fields) {
    size_t count = 0;
    while (fields && fields[count].key)
        count++;
    return count;
}

static size_t count_names(const char *const *names) {
    size_t count = 0;
    while (names && names[count])
        count++;
    return count;
}

/* A name without case, '_', '-' and spaces: how people misspell camelCase first. */
static size_t fold_name(const char *name, char folded[NAME_MAXIMUM + 1]) {
    size_t length = 0;
    for (; *name && length < NAME_MAXIMUM; name++)
        if (*name != '_' && *name != '-' && *name != ' ')
            folded[length++] = (char)tolower((unsigned char)*name);
    folded[length] = '\0';
    return length;
}

/* Number of letters to put in, take out or change to get from one folded name to the other. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t row[NAME_MAXIMUM + 1];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t above = row[j];
            size_t least = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < least)
                least = above + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            row[j] = least;
            diagonal = above;
        }
    }
    return row[b_length];
}

/* The name that `given` was probably meant to be, or NULL. */
static const char *nearest_name(const char *given, size_t count,
                                const char *(*name)(const void *, size_t), const void *names) {
    char a[NAME_MAXIMUM + 1];
    char b[NAME_MAXIMUM + 1];
    const char *nearest = NULL;
    size_t a_length = fold_name(given, a);
    size_t least = a_length / 3 + 2; /* a third of its letters may be wrong, but at least one */
    for (size_t i = 0; i < count; i++) {
        size_t b_length = fold_name(name(names, i), b);
        size_t distance = edit_distance(a, a_length, b, b_length);
        if (distance < least && distance < b_length) {
            least = distance;
            nearest = name(names, i);
        }
    }
    return nearest;
}

static void string_limits(const struct schema *schema, double *minimum, double *maximum) {
    bool given = schema->minimum != 0 || schema->maximum != 0;
    *minimum = given ? schema->minimum : 1;
    *maximum = given ? schema->maximum : STRING_MAXIMUM;
}

static void append_limits(struct buf *text, const struct schema *schema) {
    if (schema->minimum != 0 || schema->maximum != 0)
        buf_format(text, " from %.15g to %.15g", schema->minimum, schema->maximum);
}

static void append_expected(struct buf *text, const struct schema *schema) {
    double minimum;
    double maximum;
    buf_text(text, "expected ");
    switch (schema->kind) {
    case SCHEMA_STRING:
        string_limits(schema, &minimum, &maximum);
        buf_format(text, "a text of %.0f to %.0f bytes", minimum, maximum);
        break;
    case SCHEMA_INTEGER:
        buf_text(text, "a whole number");
        append_limits(text, schema);
        break;
    case SCHEMA_NUMBER:
        buf_text(text, "a number");
        append_limits(text, schema);
        break;
    case SCHEMA_BOOLEAN:
        buf_text(text, "true or false");
        break;
    case SCHEMA_ENUM:
        buf_text(text, "one of: ");
        append_names(text, count_names(schema->one_of), enum_name, schema->one_of);
        break;
    case SCHEMA_OBJECT:
        buf_text(text, "named fields");
        break;
    case SCHEMA_ARRAY:
        buf_text(text, "a list");
        if (schema->minimum != 0 || schema->maximum != 0)
            buf_format(text, " of %.0f to %.0f items", schema->minimum, schema->maximum);
        break;
    case SCHEMA_MAP:
        buf_text(text, "named entries");
        break;
    case SCHEMA_ANY:
        buf_text(text, "a value");
        break;
    }
    if (schema->help)
        buf_format(text, " (%s)", schema->help);
}

static void append_got(struct buf *text, const json_t *value) {
    buf_text(text, ", got ");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        buf_text(text, json_object_size(value) ? "named fields" : "an empty table");
        break;
    case JSON_ARRAY:
        buf_format(text, "a list of %zu", json_array_size(value));
        break;
    case JSON_STRING:
        buf_text(text, "the text ");
        append_quoted(text, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        buf_format(text, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        buf_format(text, "%.15g", json_real_value(value));
        break;
    case JSON_TRUE:
        buf_text(text, "true");
        break;
    case JSON_FALSE:
        buf_text(text, "false");
        break;
    case JSON_NULL:
        buf_text(text, "null");
        break;
    }
}

static bool looks_like_number(const json_t *value) {
    if (!json_is_string(value) || json_string_length(value) == 0)
        return false;
    char *end;
    double number = strtod(json_string_value(value), &end);
    return *end == '\0' && isfinite(number);
}

static void append_advice(struct buf *text, const struct schema *schema, const json_t *value,
                          enum path_style style) {
    const char *near;
    switch (schema->kind) {
    case SCHEMA_STRING:
        buf_text(text, json_is_string(value) ? "; make it fit" : "; put it in quotes");
        break;
    case SCHEMA_INTEGER:
    case SCHEMA_NUMBER:
        if (looks_like_number(value))
            buf_text(text, "; leave out the quotes");
        else if (json_is_number(value))
            buf_text(text, json_is_real(value) && schema->kind == SCHEMA_INTEGER
                               ? "; give a whole number in that range"
                               : "; give one in that range");
        else
            buf_text(text, "; write a number here");
        break;
    case SCHEMA_BOOLEAN:
        buf_text(text, "; write true or false, without quotes");
        break;
    case SCHEMA_ENUM:
        near = json_is_string(value)
                   ? nearest_name(json_string_value(value), count_names(schema->one_of), enum_name,
                                  schema->one_of)
                   : NULL;
        if (near)
            buf_format(text, "; did you mean \"%s\"?", near);
        else
            buf_text(text, "; use one of these, in quotes");
        break;
    case SCHEMA_OBJECT:
    case SCHEMA_MAP:
        buf_text(text,
                 style == PATH_LUA ? "; write { name = value }" : "; write { \"name\": value }");
        break;
    case SCHEMA_ARRAY:
        if (json_is_array(value))
            buf_text(text, "; add or remove items");
        else
            buf_text(text,
                     style == PATH_LUA ? "; write { first, second }" : "; write [ first, second ]");
        break;
    case SCHEMA_ANY:
        buf_text(text, "; give one");
        break;
    }
}

static void complain(struct check *check, const char *text) {
    check->found++;
    report_add(check->report, buf_string(&check->path), "%s", text);
}

static void complain_mismatch(struct check *check, const struct schema *schema,
                              const json_t *value) {
    struct buf text;
    buf_init(&text, PHRASE_MAXIMUM);
    append_expected(&text, schema);
    append_got(&text, value);
    append_advice(&text, schema, value, check->style);
    complain(check, buf_string(&text));
    buf_free(&text);
}

static void complain_missing(struct check *check, const struct schema *schema) {
    struct buf text;
    buf_init(&text, PHRASE_MAXIMUM);
    append_expected(&text, schema);
    buf_text(&text, ", got nothing; add it");
    complain(check, buf_string(&text));
    buf_free(&text);
}

static void complain_unknown(struct check *check, const struct schema *fields, const char *key) {
    size_t count = count_fields(fields);
    const char *near = nearest_name(key, count, field_name, fields);
    struct buf text;
    buf_init(&text, PHRASE_MAXIMUM);
    buf_text(&text, "unknown key ");
    append_quoted(&text, key, strlen(key));
    if (near)
        buf_format(&text, "; did you mean \"%s\"?", near);
    else
        buf_text(&text, "; remove it or correct its name.");
    buf_text(&text, " Known here: ");
    append_names(&text, count, field_name, fields);
    complain(check, buf_string(&text));
    buf_free(&text);
}

/* Values. jansson holds valid UTF-8 only, so only control characters are looked for: C0, DEL, and
 * C1 (U+0080 to U+009F, two bytes that start with C2). */
static bool has_control_character(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xC2 && i + 1 < length && (unsigned char)text[i + 1] < 0xA0)
            return true;
    }
    return false;
}

static bool in_limits(const struct schema *schema, double value) {
    return (schema->minimum == 0 && schema->maximum == 0) ||
           (value >= schema->minimum && value <= schema->maximum);
}

static bool is_whole(const json_t *value) {
    if (json_is_integer(value))
        return true;
    double number = json_real_value(value);
    return json_is_real(value) && number == trunc(number) && fabs(number) <= EXACT_MAXIMUM;
}

static bool is_one_of(const char *const *names, const json_t *value) {
    if (!json_is_string(value))
        return false;
    for (; names && *names; names++)
        if (strcmp(*names, json_string_value(value)) == 0 &&
            strlen(*names) == json_string_length(value))
            return true;
    return false;
}

static void check_value(struct check *check, const struct schema *schema, const json_t *value);

static void check_string(struct check *check, const struct schema *schema, const json_t *value) {
    double minimum;
    double maximum;
    string_limits(schema, &minimum, &maximum);
    double length = (double)json_string_length(value);
    if (!json_is_string(value) || length < minimum || length > maximum) {
        complain_mismatch(check, schema, value);
    } else if (has_control_character(json_string_value(value), json_string_length(value))) {
        struct buf text;
        buf_init(&text, PHRASE_MAXIMUM);
        append_expected(&text, schema);
        buf_text(&text, " without control characters");
        append_got(&text, value);
        buf_text(&text, " with some (shown as ?); take out line breaks, tabs and the like");
        complain(check, buf_string(&text));
        buf_free(&text);
    }
}

static void check_field(struct check *check, const struct schema *field, const json_t *value) {
    size_t length = check->path.length;
    path_key(&check->path, field->key, check->style);
    if (check->path.failed)
        path_back(&check->path, length);
    if (value)
        check_value(check, field, value);
    else if (field->required)
        complain_missing(check, field);
    path_back(&check->path, length);
}

static void check_unknown_keys(struct check *check, const struct schema *fields,
                               const json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        bool known = false;
        for (const struct schema *field = fields; field && field->key && !known; field++)
            known = strcmp(field->key, key) == 0;
        if (known)
            continue;
        size_t length = check->path.length;
        path_key(&check->path, key, check->style);
        if (check->path.failed)
            path_back(&check->path, length);
        complain_unknown(check, fields, key);
        path_back(&check->path, length);
    }
}

static void check_object(struct check *check, const struct schema *schema, const json_t *value) {
    if (!json_is_object(value)) {
        complain_mismatch(check, schema, value);
        return;
    }
    for (const struct schema *field = schema->fields; field && field->key; field++)
        check_field(check, field, json_object_get(value, field->key));
    check_unknown_keys(check, schema->fields, value);
}

static void check_items(struct check *check, const struct schema *item, const json_t *array) {
    for (size_t i = 0; i < json_array_size(array); i++) {
        size_t length = check->path.length;
        path_index(&check->path, i, check->style);
        if (check->path.failed)
            path_back(&check->path, length);
        if (item)
            check_value(check, item, json_array_get(array, i));
        path_back(&check->path, length);
    }
}

static void check_array(struct check *check, const struct schema *schema, const json_t *value) {
    /* Lua has one empty table for both. */
    bool empty = json_is_object(value) && json_object_size(value) == 0;
    if ((!json_is_array(value) && !empty) ||
        !in_limits(schema, empty ? 0 : (double)json_array_size(value))) {
        complain_mismatch(check, schema, value);
        return;
    }
    check_items(check, schema->item, value);
}

static void check_map(struct check *check, const struct schema *schema, const json_t *value) {
    if (json_is_array(value)) { /* { "off", "on" }: keys 1 to n in Lua */
        check_items(check, schema->item, value);
        return;
    }
    if (!json_is_object(value)) {
        complain_mismatch(check, schema, value);
        return;
    }
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)value, key, entry) {
        size_t length = check->path.length;
        path_key(&check->path, key, check->style);
        if (check->path.failed)
            path_back(&check->path, length);
        size_t key_length = strlen(key);
        if (key_length < 1 || key_length > STRING_MAXIMUM || has_control_character(key, key_length))
            complain(check, "expected a key of 1 to 255 bytes without control characters, got "
                            "another; rename it");
        else if (schema->item)
            check_value(check, schema->item, entry);
        path_back(&check->path, length);
    }
}

static void check_value(struct check *check, const struct schema *schema, const json_t *value) {
    if (json_is_null(value) && schema->nullable)
        return;
    bool fits = true;
    switch (schema->kind) {
    case SCHEMA_STRING:
        check_string(check, schema, value);
        break;
    case SCHEMA_INTEGER:
        fits = is_whole(value) && in_limits(schema, json_number_value(value));
        break;
    case SCHEMA_NUMBER:
        fits = json_is_number(value) && isfinite(json_number_value(value)) &&
               in_limits(schema, json_number_value(value));
        break;
    case SCHEMA_BOOLEAN:
        fits = json_is_boolean(value);
        break;
    case SCHEMA_ENUM:
        fits = is_one_of(schema->one_of, value);
        break;
    case SCHEMA_OBJECT:
        check_object(check, schema, value);
        break;
    case SCHEMA_ARRAY:
        check_array(check, schema, value);
        break;
    case SCHEMA_MAP:
        check_map(check, schema, value);
        break;
    case SCHEMA_ANY:
        break;
    }
    if (!fits)
        complain_mismatch(check, schema, value);
}

bool schema_check(const struct schema *schema, const json_t *value, const char *where,
                  enum path_style style, struct report *report) {
    struct check check = {.style = style, .report = report};
    buf_init(&check.path, PATH_MAXIMUM);
    buf_text(&check.path, where);
    if (check.path.failed)
        path_back(&check.path, 0);
    if (value)
        check_value(&check, schema, value);
    else if (schema->required)
        complain_missing(&check, schema);
    buf_free(&check.path);
    return check.found == 0;
}

/* Readers. */

const char *tree_string(const json_t *object, const char *key, const char *fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

double tree_number(const json_t *object, const char *key, double fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

long long tree_integer(const json_t *object, const char *key, long long fallback) {
    const json_t *value = json_object_get(object, key);
    if (json_is_integer(value))
        return json_integer_value(value);
    return json_is_real(value) && is_whole(value) ? (long long)json_real_value(value) : fallback;
}

bool tree_boolean(const json_t *object, const char *key, bool fallback) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}
