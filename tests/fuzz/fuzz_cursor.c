/* Cursors of lists: those that the host made lead through the whole list, once each; any other text
 * is refused or a place in it. The first byte is the number of items, the second the page's size.
 */
#include "fuzz.h"

#include <sodium.h>

#include "api/list.h"
#include "api/series.h"

struct items {
    size_t count;
    char (*ids)[40];
};

static const char *item_id(const void *context, size_t index) {
    const struct items *items = context;
    must(index < items->count);
    return items->ids[index];
}

static void item_write(const void *context, size_t index, struct json *json) {
    json_write_string(json, item_id(context, index));
}

/* The answer's body as a tree; NULL for a problem. */
static json_t *ask(const struct items *items, const char *cursor, const char *limit) {
    const struct list_source source = {items, items->count, item_id, NULL, item_write};
    struct exchange *x = calloc(1, sizeof *x);
    must(x);
    buf_init(&x->headers, REPLY_HEADERS);
    buf_init(&x->body, REPLY_MAXIMUM);
    x->request.queries[0].name = "limit";
    x->request.queries[0].value = limit;
    x->request.query_count = 1;
    if (cursor) {
        x->request.queries[1].name = "cursor";
        x->request.queries[1].value = cursor;
        x->request.query_count = 2;
    }
    list_answer(x, &source, LIST_LIMIT_DEFAULT);
    must(x->status == 200 || x->status == 400);
    json_t *body = json_loadb(x->body.data, x->body.length, 0, NULL);
    must(body);
    if (x->status != 200) {
        must(json_object_get(body, "detail"));
        json_decref(body);
        body = NULL;
    }
    exchange_free(x);
    return body;
}

static size_t walk(const struct items *items, const char *limit) {
    size_t seen = 0;
    json_t *body = ask(items, NULL, limit);
    while (body) {
        const json_t *page = json_object_get(body, "items");
        for (size_t i = 0; i < json_array_size(page); i++)
            must(strcmp(json_string_value(json_array_get(page, i)), items->ids[seen++]) == 0);
        const char *next = json_string_value(json_object_get(body, "nextCursor"));
        json_t *further = next ? ask(items, next, limit) : NULL;
        must(!next || further);
        must(!next || json_array_size(json_object_get(further, "items")) > 0);
        json_decref(body);
        body = further;
    }
    return seen;
}

/* Cursors of rows over time: "LEVEL.MILLISECONDS" in base64 as series_end() writes them. */
static void check_series(const char *level, int64_t at_ms) {
    static struct exchange x;
    char plain[64], coded[128];
    struct series_query query;
    struct report report;
    int length = snprintf(plain, sizeof plain, "%s.%lld", level, (long long)at_ms);
    sodium_bin2base64(coded, sizeof coded, (const unsigned char *)plain, (size_t)length,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    memset(&x, 0, sizeof x);
    report_init(&report);
    x.now.wall.ms = INT64_C(1795795200000);
    x.request.queries[0].name = "cursor";
    x.request.queries[0].value = coded;
    x.request.query_count = 1;
    series_read(&x, true, &query, &report);
    must(report_empty(&report) && query.after_ms == at_ms);
    must(strcmp(level_name(query.level), level) == 0);
    report_free(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct items items = {.count = feed_byte(&feed) % 20};
    char limit[8];
    snprintf(limit, sizeof limit, "%d", 1 + feed_byte(&feed) % 8);
    must(sodium_init() >= 0);
    items.ids = calloc(items.count + 1, sizeof *items.ids);
    must(items.ids);
    for (size_t i = 0; i < items.count; i++)
        snprintf(items.ids[i], sizeof items.ids[i], "%08zx.%02x", i * 2654435761U,
                 feed_byte(&feed));
    must(walk(&items, limit) == items.count);
    int64_t at_ms = (int64_t)feed_long(&feed);
    check_series(level_name((enum level)(feed_byte(&feed) % LEVEL_COUNT)), at_ms);
    char *cursor = text_copy(feed.data, feed.size);
    json_decref(ask(&items, cursor, limit));
    json_decref(ask(&items, NULL, cursor));
    free(cursor);
    free(items.ids);
    return 0;
}
