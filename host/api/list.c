#include "api/list.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURSOR_SIZE  128 /* "123456.id" */
#define CURSOR_CODED 192 /* the same in base64, and its NUL */

bool list_limit(struct exchange *x, size_t most, size_t *limit) {
    const char *text = request_query(&x->request, "limit");
    if (!text)
        return true;
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value < 1 || value > most) {
        exchange_problem(x, 400, "limit must be a whole number from 1 to %zu, got \"%.40s\".", most,
                         text);
        return false;
    }
    *limit = value;
    return true;
}

/* Where the page begins: behind the item that the cursor names; if that is gone, where it was. */
static bool read_cursor(struct exchange *x, const struct list_source *source, size_t *start) {
    const char *coded = request_query(&x->request, "cursor");
    unsigned char text[CURSOR_SIZE];
    size_t length = 0;
    *start = 0;
    if (!coded)
        return true;
    bool ok = sodium_base642bin(text, sizeof text - 1, coded, strlen(coded), NULL, &length, NULL,
                                sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
    text[ok ? length : 0] = '\0';
    char *end = NULL;
    unsigned long long place = strtoull((const char *)text, &end, 10);
    if (!ok || text[0] < '0' || text[0] > '9' || *end != '.') {
        exchange_problem(x, 400, "cursor must be a nextCursor as an earlier answer gave it.");
        return false;
    }
    const char *id = end + 1;
    *start = place < source->count ? (size_t)place : source->count;
    for (size_t i = 0; i < source->count; i++)
        if (strcmp(source->id(source->context, i), id) == 0) {
            *start = i + 1;
            break;
        }
    return true;
}

static void write_cursor(struct json *json, size_t place, const char *id) {
    char text[CURSOR_SIZE];
    char coded[CURSOR_CODED];
    int length = snprintf(text, sizeof text, "%zu.%s", place, id);
    sodium_bin2base64(coded, sizeof coded, (const unsigned char *)text, (size_t)length,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    json_put_string(json, "nextCursor", coded);
}

void list_answer(struct exchange *x, const struct list_source *source, size_t limit) {
    size_t at;
    if (!list_limit(x, LIST_LIMIT_MAXIMUM, &limit) || !read_cursor(x, source, &at))
        return;
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_key(json, "items");
    json_array_open(json);
    size_t written = 0;
    size_t last = 0;
    bool more = false;
    for (; at < source->count; at++) {
        if (source->shown && !source->shown(source->context, at))
            continue;
        if (written == limit) {
            more = true;
            break;
        }
        source->write(source->context, at, json);
        last = at;
        written++;
    }
    json_array_close(json);
    if (more)
        write_cursor(json, last, source->id(source->context, last));
    else
        json_put_null(json, "nextCursor");
    json_object_close(json);
}
