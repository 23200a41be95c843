/* Webhooks as resources. One belongs to the account of the token that made it; an account sees its
 * own and those of the accounts below it. One made by a token for some clusters is for those too.
 * The secret is shown once, when it is made. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/list.h"
#include "api/precondition.h"
#include "api/webhook_draft.h"
#include "api/witness.h"
#include "base/log.h"
#include "io/url.h"
#include "webhooks/webhooks.h"

#define DELIVERIES_SHOWN 500
#define URL_HASH_BYTES   16

/* --- showing --------------------------------------------------------------------------------- */

static void put_ids(struct json *json, const char *key, const char ids[][ID_SIZE], size_t count) {
    json_key(json, key);
    json_array_open(json);
    for (size_t i = 0; i < count; i++)
        json_write_string(json, ids[i]);
    json_array_close(json);
}

static void put_types(struct json *json, unsigned types) {
    json_key(json, "types");
    json_array_open(json);
    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        if (i != EVENT_RESET && types >> i & 1)
            json_write_string(json, event_type_name((enum event_type)i));
    json_array_close(json);
}

static void put_counts(struct json *json, const struct exchange *x, const char *id) {
    struct delivery_counts counts;
    bool known = store_count_deliveries(x->settings->store, id, &counts) == ERR_OK;
    json_key(json, "waiting");
    known ? json_write_integer(json, counts.waiting) : json_write_null(json);
    json_key(json, "dropped");
    known ? json_write_integer(json, counts.dropped) : json_write_null(json);
}

static void write_webhook(const struct exchange *x, const struct webhook *webhook, bool secret,
                          struct json *json) {
    struct account account;
    bool known = store_account_find(x->settings->store, webhook->account, &account);
    const char *state = !webhook->enabled           ? "disabled"
                        : webhook->failing_since.ms ? "failing"
                                                    : "active";
    json_object_open(json);
    json_put_string(json, "id", webhook->id);
    json_put_string(json, "accountId", known ? account.id : NULL);
    json_put_string(json, "url", webhook->url);
    json_put_known(json, "description", webhook->description);
    put_types(json, webhook->filter.types);
    put_ids(json, "clusterIds", webhook->filter.clusters, webhook->filter.cluster_count);
    put_ids(json, "deviceIds", webhook->filter.devices, webhook->filter.device_count);
    put_ids(json, "clusters", webhook->clusters, webhook->cluster_count);
    json_put_boolean(json, "enabled", webhook->enabled);
    json_put_string(json, "state", state);
    json_put_known(json, "stateDetail", webhook->reason);
    json_put_time(json, "failingSince", webhook->failing_since);
    json_put_time(json, "disabledAt", webhook->disabled_at);
    put_counts(json, x, webhook->id);
    json_put_time(json, "createdAt", webhook->created_at);
    json_put_time(json, "oldSecretUntil",
                  webhook_old_secret(webhook, x->now.wall)[0] ? webhook->old_until
                                                              : (struct wall){0});
    if (secret)
        json_put_string(json, "secret", webhook->secret);
    json_object_close(json);
}

static void set_version(struct exchange *x, const struct webhook *webhook) {
    snprintf(x->version, sizeof x->version, "%lld", (long long)webhook->revision);
}

/* --- finding --------------------------------------------------------------------------------- */

static bool present(struct exchange *x) {
    if (x->settings->webhooks && x->directory)
        return true;
    exchange_unavailable(x, 5,
                         "Webhooks are not there: the host is starting, or could not start "
                         "them; its log says why.");
    return false;
}

static bool sees(const struct exchange *x, const struct webhook *webhook) {
    return store_account_controls(x->settings->store, x->token.account, webhook->account) &&
           exchange_sees_all(x, webhook->clusters, webhook->cluster_count);
}

static bool find_webhook(struct exchange *x, struct webhook *webhook) {
    if (!present(x))
        return false;
    if (webhooks_find(x->settings->webhooks, x->step_name, webhook) && sees(x, webhook))
        return true;
    exchange_problem(x, 404,
                     "There is no webhook \"%.60s\"; GET /v1/webhooks lists those there are.",
                     x->step_name);
    return false;
}

/* The same for who may change it, and only if it is as the request expects. */
static bool find_changeable(struct exchange *x, struct webhook *webhook) {
    if (!find_webhook(x, webhook))
        return false;
    set_version(x, webhook);
    return precondition_check(x, x->version);
}

/* --- list, get ------------------------------------------------------------------------------- */

struct webhook_list {
    const struct exchange *x;
    struct webhook *webhooks;
};

static const char *webhook_id(const void *context, size_t index) {
    return ((const struct webhook_list *)context)->webhooks[index].id;
}

static bool webhook_shown(const void *context, size_t index) {
    const struct webhook_list *list = context;
    return sees(list->x, &list->webhooks[index]);
}

static void webhook_put(const void *context, size_t index, struct json *json) {
    const struct webhook_list *list = context;
    write_webhook(list->x, &list->webhooks[index], false, json);
}

void api_webhook_list(struct exchange *x) {
    size_t count;
    if (!present(x))
        return;
    struct webhook_list list = {.x = x, .webhooks = webhooks_list(x->settings->webhooks, &count)};
    list_answer(x,
                &(struct list_source){.context = &list,
                                      .count = count,
                                      .id = webhook_id,
                                      .shown = webhook_shown,
                                      .write = webhook_put},
                LIST_LIMIT_DEFAULT);
    free(list.webhooks);
}

void api_webhook_get(struct exchange *x) {
    struct webhook webhook;
    if (!find_webhook(x, &webhook))
        return;
    set_version(x, &webhook);
    write_webhook(x, &webhook, false, exchange_json(x, 200));
}

/* --- changing -------------------------------------------------------------------------------- */

/* A URL of a receiver often has a secret in its path, so that logs show where it leads to only. */
static void show_address(const char *text, char address[URL_HOST_SIZE + 24]) {
    struct url url;
    if (url_parse(text, &url))
        snprintf(address, URL_HOST_SIZE + 24, "(no URL)");
    else
        snprintf(address, URL_HOST_SIZE + 24, url.kind == URL_IPV6 ? "%s://[%s]:%u" : "%s://%s:%u",
                 url.scheme, url.host, url.port);
}

static json_t *audit_ids(const char ids[][ID_SIZE], size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(ids[i]));
    return list;
}

/* Without its secret and the rest of its URL, of which a hash tells whether it is another one. */
static json_t *audit_tree(const struct webhook *webhook) {
    char address[URL_HOST_SIZE + 24];
    char hash[2 * URL_HASH_BYTES + 1];
    unsigned char bytes[URL_HASH_BYTES];
    json_t *types = json_array();
    show_address(webhook->url, address);
    crypto_generichash(bytes, sizeof bytes, (const unsigned char *)webhook->url,
                       strlen(webhook->url), NULL, 0);
    sodium_bin2hex(hash, sizeof hash, bytes, sizeof bytes);
    for (int i = 0; i < EVENT_TYPE_COUNT; i++)
        if (i != EVENT_RESET && webhook->filter.types >> i & 1)
            json_array_append_new(types, json_string(event_type_name((enum event_type)i)));
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "address", address, "urlHash", hash,
                     "description", webhook->description, "enabled", webhook->enabled, "types",
                     types, "clusterIds",
                     audit_ids(webhook->filter.clusters, webhook->filter.cluster_count),
                     "deviceIds", audit_ids(webhook->filter.devices, webhook->filter.device_count));
}

/* `rotates`: with another secret. */
static bool witness_webhook(struct exchange *x, int status, const struct webhook *before,
                            const struct webhook *after, bool rotates,
                            struct audit_record **record) {
    const struct webhook *webhook = after ? after : before;
    const struct audit_target target = {
        .kind = "webhook", .id = webhook->id, .owner = webhook->account};
    json_t *now = after ? audit_tree(after) : NULL;
    if (now && rotates)
        json_object_set_new(now, "secretRotated", json_true());
    return witness(x, status, &target, before ? audit_tree(before) : NULL, now, record);
}

static bool read_body(struct exchange *x, bool patch, struct webhook *webhook, bool *rotate) {
    struct report report;
    report_init(&report);
    bool ok = webhook_draft_read(x, patch, webhook, rotate, &report);
    if (!ok)
        exchange_problem_report(x, 422, &report,
                                "The webhook cannot be accepted; errors lists every mistake.");
    report_free(&report);
    return ok;
}

static void answer_refused(struct exchange *x, enum err err) {
    if (err == ERR_LIMIT)
        exchange_problem(x, 409,
                         "There are %d webhooks of this account, or %d in all; delete one "
                         "first.",
                         WEBHOOKS_PER_ACCOUNT, WEBHOOKS_MAXIMUM);
    else if (err == ERR_NOT_FOUND)
        exchange_problem(x, 404, "The webhook was deleted meanwhile.");
    else
        exchange_store_failed(x, "The store cannot write; nothing was changed.");
}

void api_webhook_post(struct exchange *x) {
    struct webhook webhook = {0};
    struct audit_record *record;
    char location[80], address[URL_HOST_SIZE + 24];
    bool rotate;
    if (!present(x) || !read_body(x, false, &webhook, &rotate))
        return;
    memcpy(webhook.account, x->token.account, sizeof webhook.account);
    webhook.cluster_count = x->token.cluster_count;
    memcpy(webhook.clusters, x->token.clusters, sizeof webhook.clusters);
    if (!witness_webhook(x, 201, NULL, &webhook, false, &record))
        return;
    enum err err = webhooks_create(x->settings->webhooks, &webhook, record);
    if (err != ERR_OK) {
        answer_refused(x, err);
        return;
    }
    show_address(webhook.url, address);
    log_info("api", "token:%s made the webhook %s to %s (request %s)", x->token.name, webhook.id,
             address, x->request_id);
    snprintf(location, sizeof location, "/v1/webhooks/%s", webhook.id);
    set_version(x, &webhook);
    write_webhook(x, &webhook, true, exchange_json(x, 201));
    precondition_tell(x, x->version);
    exchange_header(x, "Location", location);
}

void api_webhook_patch(struct exchange *x) {
    struct webhook webhook;
    struct audit_record *record;
    bool rotate;
    if (!find_changeable(x, &webhook))
        return;
    const struct webhook before = webhook;
    if (!read_body(x, true, &webhook, &rotate) ||
        !witness_webhook(x, 200, &before, &webhook, rotate, &record))
        return;
    enum err err =
        webhooks_change(x->settings->webhooks, &webhook, rotate, before.revision, record);
    if (err == ERR_CONFLICT) {
        exchange_problem(x, 409, "Somebody else has changed it meanwhile; read it and try again.");
        return;
    }
    if (err != ERR_OK) {
        answer_refused(x, err);
        return;
    }
    log_info("api", "token:%s changed the webhook %s (request %s)", x->token.name, webhook.id,
             x->request_id);
    set_version(x, &webhook);
    write_webhook(x, &webhook, rotate, exchange_json(x, 200));
    precondition_tell(x, x->version);
}

void api_webhook_delete(struct exchange *x) {
    struct webhook webhook;
    struct audit_record *record;
    if (!find_changeable(x, &webhook) || !witness_webhook(x, 204, &webhook, NULL, false, &record))
        return;
    enum err err = webhooks_remove(x->settings->webhooks, webhook.id, record);
    if (err != ERR_OK) {
        answer_refused(x, err);
        return;
    }
    log_info("api", "token:%s deleted the webhook %s (request %s)", x->token.name, webhook.id,
             x->request_id);
    exchange_empty(x, 204);
}

/* --- deliveries ------------------------------------------------------------------------------ */

/* What happened is the answer, also when the receiver refused: the test itself took place. */
void api_webhook_test(struct exchange *x) {
    struct webhook webhook;
    struct post_outcome outcome;
    if (!find_webhook(x, &webhook))
        return;
    enum err err = webhooks_test(x->settings->webhooks, &webhook, &outcome);
    if (err == ERR_FULL) {
        exchange_unavailable(x, 5, "As many tests as there may be are under way.");
    } else if (err != ERR_OK) {
        exchange_unavailable(x, 5, "The test did not take place, or did not end in time.");
    } else {
        struct json *json = exchange_json(x, 200);
        json_object_open(json);
        json_put_boolean(json, "delivered", outcome.delivered);
        json_key(json, "status");
        outcome.status ? json_write_integer(json, outcome.status) : json_write_null(json);
        json_put_known(json, "error", outcome.error);
        json_put_double(json, "duration", (double)outcome.duration_ms / 1000);
        json_object_close(json);
    }
}

static const char *delivery_id(const void *context, size_t index) {
    return ((const struct delivery *)context)[index].message_id;
}

static void delivery_put(const void *context, size_t index, struct json *json) {
    static const char *const states[] = {DELIVERY_STATE_WORDS};
    const struct delivery *delivery = &((const struct delivery *)context)[index];
    json_object_open(json);
    json_put_string(json, "id", delivery->message_id);
    json_put_string(json, "type", delivery->type);
    json_put_string(json, "state", states[delivery->state]);
    json_put_time(json, "queuedAt", delivery->queued_at);
    json_put_integer(json, "attempts", delivery->attempts);
    json_put_time(json, "lastAttemptAt", delivery->last_at);
    json_key(json, "status");
    delivery->status ? json_write_integer(json, delivery->status) : json_write_null(json);
    json_put_known(json, "error", delivery->error);
    json_key(json, "duration");
    if (delivery->last_at.ms)
        json_write_double(json, (double)delivery->duration_ms / 1000);
    else
        json_write_null(json);
    json_put_time(json, "nextAttemptAt",
                  delivery->state == DELIVERY_WAITING ? delivery->next_at : (struct wall){0});
    json_object_close(json);
}

void api_webhook_deliveries(struct exchange *x) {
    struct webhook webhook;
    struct delivery *deliveries;
    size_t count;
    if (!find_webhook(x, &webhook))
        return;
    if (store_list_deliveries(x->settings->store, webhook.id, DELIVERIES_SHOWN, &deliveries,
                              &count) != ERR_OK) {
        exchange_store_failed(x, "The store cannot be read.");
        return;
    }
    list_answer(
        x,
        &(struct list_source){
            .context = deliveries, .count = count, .id = delivery_id, .write = delivery_put},
        LIST_LIMIT_DEFAULT);
    free(deliveries);
}
