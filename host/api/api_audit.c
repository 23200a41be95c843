/* The audit log as a resource: who changed what, newest first. An account sees what became of its
 * own things and of those of the accounts below it. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/list.h"
#include "store/store_audit.h"

#define LIMIT_DEFAULT 100
#define CURSOR_SIZE   64 /* "1764270000000.123" */
#define CURSOR_CODED  96 /* the same in base64, and its NUL */

/* --- the query ------------------------------------------------------------------------------- */

static bool read_time(struct exchange *x, const char *name, struct wall *time) {
    const char *text = request_query(&x->request, name);
    if (!text || wall_parse(text, strlen(text), time))
        return true;
    exchange_problem(x, 400,
                     "%s must be a time like 2026-11-27T12:00:00Z (a + of an offset is written "
                     "%%2B), got \"%.40s\".",
                     name, text);
    return false;
}

static bool read_cursor(struct exchange *x, struct audit_query *query) {
    const char *coded = request_query(&x->request, "cursor");
    unsigned char text[CURSOR_SIZE];
    size_t length = 0;
    if (!coded)
        return true;
    bool right = sodium_base642bin(text, sizeof text - 1, coded, strlen(coded), NULL, &length, NULL,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
    text[right ? length : 0] = '\0';
    char *end = NULL, *last = NULL;
    query->before_at.ms = strtoll((const char *)text, &end, 10);
    if (right && *end == '.')
        query->before_number = strtoll(end + 1, &last, 10);
    if (!last || *last || query->before_number <= 0) {
        exchange_problem(x, 400, "cursor must be a nextCursor as an earlier answer gave it.");
        return false;
    }
    return true;
}

static bool read_account(struct exchange *x, struct account *account, struct audit_query *query) {
    const char *which = request_query(&x->request, "account");
    if (!which)
        return true;
    if (!inventory_account(x, which, account)) {
        exchange_problem(x, 404,
                         "There is no account \"%.100s\"; GET /v1/accounts lists those there are.",
                         which);
        return false;
    }
    query->account = account->key;
    return true;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void put_who(struct json *json, const struct audit_origin *origin) {
    json_key(json, "who");
    json_object_open(json);
    json_put_string(json, "kind", audit_by_name(origin->by));
    json_put_known(json, "id", origin->id);
    json_put_known(json, "name", origin->name);
    json_put_known(json, "account", origin->account);
    json_object_close(json);
}

static void put_target(struct json *json, const struct audit_row *row) {
    json_key(json, "target");
    json_object_open(json);
    json_put_string(json, "kind", row->target_kind);
    json_put_known(json, "id", row->target_id);
    json_put_known(json, "name", row->target_name);
    json_put_known(json, "clusterId", row->cluster_id);
    json_put_known(json, "deviceId", row->device_id);
    json_put_known(json, "account", row->owner);
    json_object_close(json);
}

static void put_value(struct json *json, const char *key, const char *value) {
    if (value)
        json_put_raw(json, key, value);
    else
        json_put_null(json, key);
}

/* Of a change that was made from above, where that sits is not told. */
static void put_row(const struct exchange *x, struct json *json, const struct audit_row *row) {
    const struct audit_origin *origin = &row->origin;
    bool from_above =
        !store_account_controls(x->settings->store, x->token.account, origin->account);
    json_object_open(json);
    json_put_integer(json, "number", row->number);
    json_put_time(json, "at", row->at);
    put_who(json, origin);
    json_put_known(json, "from", from_above ? "" : origin->from);
    json_put_known(json, "requestId", origin->request_id);
    json_put_string(json, "action", origin->action);
    json_key(json, "status");
    origin->status ? json_write_integer(json, origin->status) : json_write_null(json);
    put_target(json, row);
    put_value(json, "before", row->before);
    put_value(json, "after", row->after);
    json_put_boolean(json, "durable", row->durable);
    json_object_close(json);
}

static void put_cursor(struct json *json, const struct audit_page *page) {
    char text[CURSOR_SIZE];
    char coded[CURSOR_CODED];
    if (!page->more) {
        json_put_null(json, "nextCursor");
        return;
    }
    int length =
        snprintf(text, sizeof text, "%" PRId64 ".%" PRId64, page->last_at.ms, page->last_number);
    sodium_bin2base64(coded, sizeof coded, (const unsigned char *)text, (size_t)length,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    json_put_string(json, "nextCursor", coded);
}

static void answer_page(struct exchange *x, const struct audit_page *page) {
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_key(json, "items");
    json_array_open(json);
    for (size_t i = 0; i < page->count; i++)
        put_row(x, json, &page->rows[i]);
    json_array_close(json);
    put_cursor(json, page);
    json_key(json, "completeFrom");
    json_object_open(json);
    json_put_time(json, "constraints", page->complete_from[AUDIT_CONSTRAINT]);
    json_put_time(json, "rest", page->complete_from[AUDIT_REST]);
    json_object_close(json);
    json_object_close(json);
}

void api_audit_list(struct exchange *x) {
    struct account account;
    struct audit_page page;
    struct audit_query query = {.viewer = x->token.account,
                                .target = request_query(&x->request, "target"),
                                .to = {INT64_MAX},
                                .limit = LIMIT_DEFAULT};
    if (!inventory_unrestricted(x, "the audit log") || !read_time(x, "from", &query.from) ||
        !read_time(x, "to", &query.to) || !list_limit(x, AUDIT_PAGE, &query.limit) ||
        !read_cursor(x, &query) || !read_account(x, &account, &query))
        return;
    if (store_read_audit(x->settings->store, &query, &page) == ERR_OK)
        answer_page(x, &page);
    else
        exchange_store_failed(x, "The store cannot be read.");
    audit_page_free(&page);
}
