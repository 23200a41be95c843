/* The tokens of an account. The text of one is shown when it is made and never again: only its hash
 * is kept. Nobody makes or takes away a token that may do more than his own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/list.h"
#include "base/log.h"
#include "base/schema.h"

static void write_members(const struct account *account, const struct token *token,
                          struct json *json) {
    json_put_string(json, "id", token->id);
    json_put_string(json, "name", token->name);
    json_put_string(json, "accountId", account->id);
    json_put_integer(json, "maxPriority", token->max_priority);
    json_put_time(json, "createdAt", token->created_at);
}

struct token_list {
    struct account account;
    struct token *tokens;
};

static const char *token_id(const void *context, size_t index) {
    return ((const struct token_list *)context)->tokens[index].id;
}

static bool token_shown(const void *context, size_t index) {
    const struct token_list *list = context;
    return strcmp(list->tokens[index].account, list->account.key) == 0;
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
    struct token_list list;
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
            strcmp(tokens[i].id, x->step_name) == 0) {
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
    {0},
};
static const struct schema token_body = {.kind = SCHEMA_OBJECT, .fields = token_fields};

static bool read_token(struct exchange *x, struct token *token) {
    struct report report;
    report_init(&report);
    bool right = schema_check(&token_body, x->tree, "", PATH_POINTER, &report);
    if (right) {
        snprintf(token->name, sizeof token->name, "%s", tree_string(x->tree, "name", ""));
        token->max_priority = (int32_t)tree_integer(x->tree, "maxPriority", 0);
    } else {
        exchange_problem_report(x, 422, &report, "The token cannot be made.");
    }
    report_free(&report);
    if (right && token->max_priority > x->token.max_priority) {
        exchange_problem(x, 403, "maxPriority %d is above %d, the highest of the token that asks.",
                         (int)token->max_priority, (int)x->token.max_priority);
        return false;
    }
    return right;
}

void api_token_post(struct exchange *x) {
    struct account account;
    struct token token = {0};
    char text[TOKEN_TEXT_SIZE];
    char location[120];
    if (!find_account(x, &account) || !inventory_may_manage(x) || !read_token(x, &token))
        return;
    enum err err =
        store_token_create_for(x->settings->store, token.name, &account, token.max_priority, text);
    if (err == ERR_OK && !store_token_check(x->settings->store, text, &token))
        err = ERR_NOT_FOUND;
    switch (err) {
    case ERR_OK:
        break;
    case ERR_CONFLICT:
        exchange_problem(x, 409,
                         "The account has a token named \"%s\"; revoke that one first, or "
                         "choose another name.",
                         token.name);
        return;
    case ERR_FORMAT:
        exchange_problem(x, 422, "A name has 1 to %d bytes and no control characters.",
                         TOKEN_NAME_SIZE - 1);
        return;
    case ERR_LIMIT:
        exchange_problem(x, 409, "There are as many tokens as there may be; revoke one first.");
        return;
    case ERR_NOT_FOUND:
        exchange_problem(x, 409, "The token or its account was removed while it was made.");
        return;
    default:
        exchange_unavailable(x, 5, "The store cannot write; nothing was changed.");
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
    if (!find_token(x, &account, &token) || !inventory_may_manage(x))
        return;
    if (token.max_priority > x->token.max_priority) {
        exchange_problem(x, 403,
                         "That token may set priorities up to %d, the one that asks only up to %d.",
                         (int)token.max_priority, (int)x->token.max_priority);
        return;
    }
    enum err err = store_token_revoke(x->settings->store, token.id);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        exchange_unavailable(x, 5, "The store cannot write; the token is still good.");
        return;
    }
    log_info("api", "token:%s revoked the token %s (%s) of account %s (request %s)", x->token.name,
             token.id, token.name, account.key, x->request_id);
    exchange_empty(x, 204);
}
