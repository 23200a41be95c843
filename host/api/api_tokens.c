/* The tokens of an account. The text of one is shown when it is made and never again: only its hash
 * is kept. Nobody makes or takes away a token that may do more than his own, and one that is for
 * some clusters knows nothing of tokens for others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/list.h"
#include "api/witness.h"
#include "base/log.h"
#include "base/schema.h"

static void write_members(const struct account *account, const struct token *token,
                          struct json *json) {
    json_put_string(json, "id", token->id);
    json_put_string(json, "name", token->name);
    json_put_string(json, "accountId", account->id);
    json_key(json, "scopes");
    json_array_open(json);
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++)
        if (token_has(token, (enum token_scope)i))
            json_write_string(json, token_scope_name((enum token_scope)i));
    json_array_close(json);
    json_put_integer(json, "maxPriority", token->max_priority);
    json_key(json, "clusters");
    json_array_open(json);
    for (size_t i = 0; i < token->cluster_count; i++)
        json_write_string(json, token->clusters[i]);
    json_array_close(json);
    json_put_time(json, "createdAt", token->created_at);
    json_put_time(json, "expiresAt", token->expires_at);
    json_put_time(json, "lastUsedAt", token->last_used_at);
}

struct token_list {
    const struct exchange *x;
    struct account account;
    struct token *tokens;
};

static const char *token_id(const void *context, size_t index) {
    return ((const struct token_list *)context)->tokens[index].id;
}

static bool token_shown(const void *context, size_t index) {
    const struct token_list *list = context;
    return strcmp(list->tokens[index].account, list->account.key) == 0 &&
           exchange_sees_all(list->x, list->tokens[index].clusters,
                             list->tokens[index].cluster_count);
}

static void token_write(const void *context, size_t index, struct json *json) {
    const struct token_list *list = context;
    json_object_open(json);
    write_members(&list->account, &list->tokens[index], json);
    json_object_close(json);
}

/* The account of the path, or 404. */
static bool find_account(struct exchange *x, struct account *account) {
    if (inventory_account(x, x->step_account, account))
        return true;
    exchange_problem(x, 404,
                     "There is no account \"%.100s\"; GET /v1/accounts lists those there are.",
                     x->step_account);
    return false;
}

/* All tokens of the host, to be freed. */
static bool get_tokens(struct exchange *x, struct token **tokens, size_t *count) {
    if (store_token_list(x->settings->store, tokens, count) == ERR_OK)
        return true;
    exchange_unavailable(x, 5, "The host is short of memory.");
    return false;
}

void api_token_list(struct exchange *x) {
    struct token_list list = {.x = x};
    size_t count;
    if (!find_account(x, &list.account) || !get_tokens(x, &list.tokens, &count))
        return;
    list_answer(x,
                &(struct list_source){.context = &list,
                                      .count = count,
                                      .id = token_id,
                                      .shown = token_shown,
                                      .write = token_write},
                LIST_LIMIT_DEFAULT);
    free(list.tokens);
}

/* The token of the path, or 404. */
static bool find_token(struct exchange *x, struct account *account, struct token *token) {
    struct token *tokens;
    size_t count;
    if (!find_account(x, account) || !get_tokens(x, &tokens, &count))
        return false;
    bool found = false;
    for (size_t i = 0; i < count && !found; i++)
        if (strcmp(tokens[i].account, account->key) == 0 &&
            strcmp(tokens[i].id, x->step_name) == 0 &&
            exchange_sees_all(x, tokens[i].clusters, tokens[i].cluster_count)) {
            *token = tokens[i];
            found = true;
        }
    free(tokens);
    if (!found)
        exchange_problem(x, 404, "This account has no token \"%.60s\"; it may have been revoked.",
                         x->step_name);
    return found;
}

void api_token_get(struct exchange *x) {
    struct account account;
    struct token token;
    if (!find_token(x, &account, &token))
        return;
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    write_members(&account, &token, json);
    json_object_close(json);
}

static const struct schema scope_item = {.kind = SCHEMA_ENUM, .one_of = token_scope_words};
static const struct schema cluster_item = {
    .kind = SCHEMA_STRING, .minimum = 1, .maximum = KEY_SIZE - 1, .help = "an id or a key"};
static const struct schema token_fields[] = {
    {.key = "name",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = TOKEN_NAME_SIZE - 1,
     .help = "what it is for; stands in createdBy of its constraints"},
    {.key = "maxPriority",
     .kind = SCHEMA_INTEGER,
     .required = true,
     .minimum = 0,
     .maximum = 2147483647,
     .help = "the highest priority that it may set"},
    {.key = "scopes",
     .kind = SCHEMA_ARRAY,
     .item = &scope_item,
     .minimum = 1,
     .maximum = TOKEN_SCOPE_COUNT,
     .help = "what it may do; read and control when left out"},
    {.key = "clusters",
     .kind = SCHEMA_ARRAY,
     .item = &cluster_item,
     .minimum = 0,
     .maximum = TOKEN_CLUSTERS_MAXIMUM,
     .help = "those it is for; as the token that asks when left out"},
    {.key = "expiresAt",
     .kind = SCHEMA_STRING,
     .nullable = true,
     .minimum = 1,
     .maximum = 64,
     .help = "RFC 3339, or null for never; as the token that asks when left out"},
    {0},
};
static const struct schema token_body = {.kind = SCHEMA_OBJECT, .fields = token_fields};

static void read_scopes(const struct exchange *x, struct token *token) {
    size_t index;
    json_t *item;
    const json_t *given = json_object_get(x->tree, "scopes");
    token->scopes = given ? 0 : TOKEN_SCOPES_DEFAULT;
    json_array_foreach(given, index, item) {
        enum token_scope scope;
        if (token_scope_parse(json_string_value(item), &scope)) /* as the schema has seen to */
            token->scopes |= 1U << scope;
    }
}

static void read_clusters(const struct exchange *x, struct token *token, struct report *report) {
    size_t index;
    json_t *item;
    const json_t *given = json_object_get(x->tree, "clusters");
    if (!given) {
        token->cluster_count = x->token.cluster_count;
        memcpy(token->clusters, x->token.clusters, sizeof token->clusters);
        return;
    }
    json_array_foreach(given, index, item) {
        char where[32];
        const char *which = json_string_value(item);
        const struct cluster_card *cluster =
            x->directory && which ? directory_cluster(x->directory, which) : NULL;
        snprintf(where, sizeof where, "/clusters/%zu", index);
        if (cluster && exchange_sees(x, cluster))
            memcpy(token->clusters[token->cluster_count++], cluster->id, ID_SIZE);
        else
            report_add(report, where, "there is no cluster \"%.64s\"", which ? which : "");
    }
}

static void read_end(const struct exchange *x, struct token *token, struct report *report) {
    const json_t *given = json_object_get(x->tree, "expiresAt");
    const char *text = json_string_value(given);
    if (!given)
        token->expires_at = x->token.expires_at;
    else if (text && !wall_parse(text, strlen(text), &token->expires_at))
        report_add(report, "/expiresAt",
                   "must be a moment like \"2030-01-31T18:00:00Z\" (RFC 3339), got \"%.60s\"",
                   text);
    else if (text && token->expires_at.ms <= x->now.wall.ms)
        report_add(report, "/expiresAt", "lies in the past: the token would never be good");
}

static bool read_token(struct exchange *x, struct token *token) {
    struct report report;
    char why[160] = "";
    report_init(&report);
    bool right = schema_check(&token_body, x->tree, "", PATH_POINTER, &report);
    if (right) {
        token->max_priority = (int32_t)tree_integer(x->tree, "maxPriority", 0);
        read_scopes(x, token);
        read_clusters(x, token, &report);
        read_end(x, token, &report);
        right = report_empty(&report);
    }
    if (!right)
        exchange_problem_report(x, 422, &report, "The token cannot be made.");
    report_free(&report);
    if (right && !token_covers(&x->token, token, why, sizeof why)) {
        exchange_problem(x, 403, "A token makes none that may do more than itself: %s.", why);
        return false;
    }
    if (right && !token_outlives(&x->token, token)) {
        wall_format(x->token.expires_at, why);
        exchange_problem(x, 403, "A token makes none that lasts longer than itself: it ends at %s.",
                         why);
        return false;
    }
    return right;
}

/* NULL with an answer. */
static struct audit_record *witness_token(struct exchange *x, int status,
                                          const struct token *before, const struct token *after,
                                          const char *name) {
    struct audit_origin origin;
    witness_origin(x, status, &origin);
    struct audit_record *record = audit_record_token(&origin, before, after, name);
    if (!record)
        exchange_unavailable(x, 5, "The host is short of memory; nothing was changed.");
    return record;
}

void api_token_post(struct exchange *x) {
    struct account account;
    struct token token = {0};
    char text[TOKEN_TEXT_SIZE];
    char location[120];
    if (!find_account(x, &account) || !read_token(x, &token))
        return;
    const char *name = tree_string(x->tree, "name", "");
    memcpy(token.account, account.key, sizeof token.account);
    struct audit_record *record = witness_token(x, 201, NULL, &token, name);
    if (!record)
        return;
    enum err err = store_token_create_for(x->settings->store, name, &account, &token, text, record);
    switch (err) {
    case ERR_OK:
        break;
    case ERR_CONFLICT:
        exchange_problem(x, 409,
                         "The account has a token named \"%s\"; revoke that one first, or "
                         "choose another name.",
                         name);
        return;
    case ERR_FORMAT:
        exchange_problem(x, 422, "A name has 1 to %d bytes and no control characters.",
                         TOKEN_NAME_SIZE - 1);
        return;
    case ERR_LIMIT:
        exchange_problem(x, 409, "There are as many tokens as there may be; revoke one first.");
        return;
    case ERR_NOT_FOUND:
        exchange_problem(x, 409, "The account was removed while the token was made.");
        return;
    default:
        exchange_store_failed(x, "The store cannot write; nothing was changed.");
        return;
    }
    log_info("api", "token:%s made the token %s (%s) of account %s (request %s)", x->token.name,
             token.id, token.name, account.key, x->request_id);
    struct json *json = exchange_json(x, 201);
    json_object_open(json);
    write_members(&account, &token, json);
    json_put_string(json, "token", text);
    json_object_close(json);
    snprintf(location, sizeof location, "/v1/accounts/%s/tokens/%s", account.id, token.id);
    exchange_header(x, "Location", location);
}

void api_token_delete(struct exchange *x) {
    struct account account;
    struct token token;
    char why[160];
    if (!find_token(x, &account, &token))
        return;
    if (!token_covers(&x->token, &token, why, sizeof why)) {
        exchange_problem(x, 403, "A token revokes none that may do more than itself: %s.", why);
        return;
    }
    struct audit_record *record = witness_token(x, 204, &token, NULL, NULL);
    if (!record)
        return;
    enum err err = store_token_revoke(x->settings->store, token.id, record);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        exchange_store_failed(x, "The store cannot write; the token is still good.");
        return;
    }
    log_info("api", "token:%s revoked the token %s (%s) of account %s (request %s)", x->token.name,
             token.id, token.name, account.key, x->request_id);
    exchange_empty(x, 204);
}
