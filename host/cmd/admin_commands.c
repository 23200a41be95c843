/* What administration can ask, one function each, in a table. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/schema.h"
#include "cmd/admin.h"
#include "cmd/admin_passwords.h"
#include "store/store.h"
#include "store/store_audit.h"

#define TEXT_MAXIMUM 2000

/* --- answers --------------------------------------------------------------------------------- */

json_t *admin_refusal(enum err code, const char *format, ...) {
    struct buf text;
    buf_init(&text, TEXT_MAXIMUM);
    va_list arguments;
    va_start(arguments, format);
    buf_vformat(&text, format, arguments);
    va_end(arguments);
    json_t *answer = json_pack("{s:b, s:s, s:s}", "ok", 0, "code", err_name(code), "error",
                               text.failed ? "(a text too long to show)" : buf_string(&text));
    buf_free(&text);
    return answer;
}

json_t *admin_store_refusal(struct store *store, enum err code) {
    char why[STORE_DETAIL_SIZE];
    if (code == ERR_CLOSED)
        return admin_refusal(code, "the host is ending; try again when it runs again");
    if (code == ERR_IO && store_failing(store, why, sizeof why))
        return admin_refusal(code, "the store could not be written: %s", why);
    return admin_refusal(code, "the store could not do it (%s); its log says why", err_name(code));
}

/* All mistakes in one sentence each, for one line of an answer. */
static json_t *mistakes_refusal(const struct report *report) {
    struct buf text;
    buf_init(&text, TEXT_MAXIMUM);
    for (size_t i = 0; i < report->count; i++)
        buf_format(&text, "%s%s: %s", i ? "; " : "", report->items[i].where, report->items[i].text);
    json_t *answer = admin_refusal(
        ERR_FORMAT, "%s", text.failed ? "there are too many mistakes to show" : buf_string(&text));
    buf_free(&text);
    return answer;
}

/* --- tokens ---------------------------------------------------------------------------------- */

json_t *admin_scopes_tree(unsigned scopes) {
    json_t *list = json_array();
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++)
        if (scopes >> i & 1)
            json_array_append_new(list, json_string(token_scope_name((enum token_scope)i)));
    return list;
}

unsigned admin_scopes_read(const json_t *request) {
    const json_t *list = json_object_get(request, "scopes");
    unsigned scopes = json_is_array(list) ? 0 : TOKEN_SCOPES_DEFAULT;
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) {
        enum token_scope scope;
        if (token_scope_parse(json_string_value(item), &scope)) /* as the schema has seen to */
            scopes |= 1U << scope;
    }
    return scopes;
}

static json_t *moment_tree(struct wall at) {
    char text[WALL_TEXT_SIZE];
    wall_format(at, text);
    return at.ms ? json_string(text) : json_null();
}

static json_t *token_tree(const struct token *token) {
    json_t *clusters = json_array();
    for (size_t i = 0; i < token->cluster_count; i++)
        json_array_append_new(clusters, json_string(token->clusters[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o}", "id", token->id, "name",
                     token->name, "account", token->account, "scopes",
                     admin_scopes_tree(token->scopes), "maxPriority", (int)token->max_priority,
                     "clusters", clusters, "createdAt", moment_tree(token->created_at), "expiresAt",
                     moment_tree(token->expires_at), "lastUsedAt",
                     moment_tree(token->last_used_at));
}

static bool list_has(const json_t *list, const char *word) {
    size_t index;
    json_t *item;
    json_array_foreach(list, index,
                       item) if (strcmp(json_string_value(item), word) == 0) return true;
    return false;
}

/* What the request wants of a token, as far as the schema has not looked. NULL when it is right. */
static json_t *token_read(struct store *store, const json_t *request, struct token *token) {
    const char *end = tree_string(request, "expiresAt", NULL);
    size_t index;
    json_t *item;
    token->max_priority = (int32_t)tree_integer(request, "maxPriority", ADMIN_DEFAULT_MAX_PRIORITY);
    token->scopes = admin_scopes_read(request);
    if (end && !wall_parse(end, strlen(end), &token->expires_at))
        return admin_refusal(ERR_FORMAT,
                             "expiresAt is a moment like 2030-01-31T18:00:00Z, not \"%s\"", end);
    if (end && token->expires_at.ms <= clock_wall().ms)
        return admin_refusal(ERR_RANGE, "%s lies in the past: the token would never be good", end);
    json_array_foreach(json_object_get(request, "clusters"), index, item) {
        const char *which = json_string_value(item);
        char id[ID_SIZE];
        if (list_has(json_object_get(request, "siteClusters"), which) &&
            store_id(store, "cluster", which, id) != ERR_OK)
            return admin_store_refusal(store, ERR_IO);
        enum err result = store_cluster_find(store, which, token->clusters[token->cluster_count++]);
        if (result == ERR_NOT_FOUND)
            return admin_refusal(result,
                                 "the store knows no cluster \"%s\"; one of the site file is known "
                                 "once a host has read it, or with --site",
                                 which);
        if (result == ERR_CONFLICT)
            return admin_refusal(result, "two clusters had the key \"%s\"; name one by its id",
                                 which);
        if (result != ERR_OK)
            return admin_store_refusal(store, result);
    }
    return NULL;
}

static json_t *token_create(const struct admin_host *host, const json_t *request) {
    const char *name = tree_string(request, "name", NULL);
    const char *account = tree_string(request, "account", NULL);
    char text[TOKEN_TEXT_SIZE];
    char scopes[TOKEN_SCOPES_TEXT_SIZE];
    struct token token = {0};
    json_t *refusal = token_read(host->store, request, &token);
    if (refusal)
        return refusal;
    struct audit_origin origin;
    audit_origin_console(&origin, "derd token create");
    snprintf(token.account, sizeof token.account, "%s", account ? account : ACCOUNT_ROOT);
    struct audit_record *record = audit_record_token(&origin, NULL, &token, name);
    if (!record)
        return admin_refusal(ERR_MEMORY, "the host is short of memory; nothing was changed");
    enum err result = store_token_create(host->store, name, account, &token, text, record);
    switch (result) {
    case ERR_OK:
        break;
    case ERR_CONFLICT:
        return admin_refusal(result,
                             "a token named \"%s\" exists; choose another name, or revoke that "
                             "one first",
                             name ? name : "");
    case ERR_FORMAT:
        return admin_refusal(result, "a name or an account has 1 to 64 bytes and no control "
                                     "characters");
    case ERR_LIMIT:
        return admin_refusal(result, "there are as many tokens as there may be; revoke one that is "
                                     "not used any more");
    default:
        return admin_store_refusal(host->store, result);
    }
    json_t *answer = token_tree(&token);
    json_object_set_new(answer, "ok", json_true());
    json_object_set_new(answer, "token", json_string(text));
    token_scopes_format(token.scopes, ", ", scopes);
    log_info("store", "token %s (%s) was made for account %s: %s, priorities up to %d", token.id,
             token.name, token.account, scopes, (int)token.max_priority);
    return answer;
}

static json_t *token_list(const struct admin_host *host, const json_t *request) {
    (void)request;
    struct token *tokens;
    size_t count;
    enum err result = store_token_list(host->store, &tokens, &count);
    if (result != ERR_OK)
        return admin_store_refusal(host->store, result);
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(items, token_tree(&tokens[i]));
    free(tokens);
    if (json_array_size(items) != count) {
        json_decref(items);
        return admin_refusal(ERR_MEMORY, "there is no memory for the list");
    }
    return json_pack("{s:b, s:o}", "ok", 1, "tokens", items);
}

static bool token_find(struct store *store, const char *id, struct token *token) {
    struct token *tokens;
    size_t count;
    bool found = false;
    if (store_token_list(store, &tokens, &count) != ERR_OK)
        return false;
    for (size_t i = 0; i < count && !found; i++)
        if (strcmp(tokens[i].id, id) == 0) {
            *token = tokens[i];
            found = true;
        }
    free(tokens);
    return found;
}

static json_t *token_revoke(const struct admin_host *host, const json_t *request) {
    const char *id = tree_string(request, "id", "");
    struct audit_origin origin;
    struct token token;
    struct audit_record *record = NULL;
    audit_origin_console(&origin, "derd token revoke");
    if (token_find(host->store, id, &token)) {
        record = audit_record_token(&origin, &token, NULL, NULL);
        if (!record)
            return admin_refusal(ERR_MEMORY, "the host is short of memory; nothing was changed");
    }
    enum err result = store_token_revoke(host->store, id, record);
    if (result == ERR_NOT_FOUND)
        return admin_refusal(result,
                             "there is no token with the id \"%s\"; `derd token list` "
                             "shows those that there are",
                             id);
    if (result != ERR_OK)
        return admin_store_refusal(host->store, result);
    log_info("store", "token %s was revoked", id);
    return json_pack("{s:b, s:s}", "ok", 1, "id", id);
}

/* --- the host -------------------------------------------------------------------------------- */

static json_t *status(const struct admin_host *host, const json_t *request) {
    (void)request;
    char why[STORE_DETAIL_SIZE];
    bool failing = store_failing(host->store, why, sizeof why);
    json_t *answer = json_pack("{s:b, s:s, s:I, s:b, s:s?}", "ok", 1, "version", DERD_VERSION,
                               "processId", (json_int_t)getpid(), "storeFailing", failing,
                               "storeProblem", failing ? why : NULL);
    if (answer && host->status)
        host->status(host->context, answer);
    return answer;
}

static json_t *log_level(const struct admin_host *host, const json_t *request) {
    (void)host;
    enum log_level level;
    enum log_format format;
    bool given = log_level_parse(tree_string(request, "level", ""), &level);
    if (log_format_parse(tree_string(request, "format", ""), &format))
        log_set_format(format);
    if (given) {
        log_set_level(level);
        log_info("host", "the log level is %s now", log_level_name(level));
    }
    return json_pack("{s:b, s:s, s:s}", "ok", 1, "level", log_level_name(log_level_now()), "format",
                     log_format_name());
}

/* --- the table ------------------------------------------------------------------------------- */

#define COMMAND_FIELD                                                                              \
    { .key = "command", .kind = SCHEMA_STRING, .required = true }

static const struct schema no_fields[] = {COMMAND_FIELD, {0}};

const struct schema admin_scope_item = {.kind = SCHEMA_ENUM, .one_of = token_scope_words};
static const struct schema cluster_item = {.kind = SCHEMA_STRING, .minimum = 1, .maximum = 64};

static const struct schema create_fields[] = {
    COMMAND_FIELD,
    {.key = "name", .kind = SCHEMA_STRING, .nullable = true, .minimum = 1, .maximum = 64},
    {.key = "account", .kind = SCHEMA_STRING, .nullable = true, .minimum = 1, .maximum = 64},
    {.key = "maxPriority",
     .kind = SCHEMA_INTEGER,
     .minimum = 0,
     .maximum = PRIORITY_MAXIMUM,
     .help = "the highest priority that it may give to a constraint"},
    {.key = "scopes",
     .kind = SCHEMA_ARRAY,
     .item = &admin_scope_item,
     .minimum = 1,
     .maximum = TOKEN_SCOPE_COUNT,
     .help = "what it may do; read and control when left out"},
    {.key = "expiresAt", .kind = SCHEMA_STRING, .nullable = true, .minimum = 1, .maximum = 64},
    {.key = "clusters",
     .kind = SCHEMA_ARRAY,
     .item = &cluster_item,
     .minimum = 0,
     .maximum = TOKEN_CLUSTERS_MAXIMUM,
     .help = "ids or keys; all that the account controls when left out"},
    {.key = "siteClusters",
     .kind = SCHEMA_ARRAY,
     .item = &cluster_item,
     .help = "keys that the site file declares, which may have no id yet"},
    {0},
};

static const struct schema revoke_fields[] = {
    COMMAND_FIELD,
    {.key = "id", .kind = SCHEMA_STRING, .required = true, .help = "the token's id"},
    {0},
};

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

static const char *const log_formats[] = {"text", "json", NULL};

static const struct schema level_fields[] = {
    COMMAND_FIELD,
    {.key = "level", .kind = SCHEMA_ENUM, .one_of = log_levels},
    {.key = "format", .kind = SCHEMA_ENUM, .one_of = log_formats},
    {0},
};

static const struct admin_command commands[] = {
    {"token create", create_fields, true, token_create},
    {"token list", no_fields, true, token_list},
    {"token revoke", revoke_fields, true, token_revoke},
    {"password set", admin_password_set_fields, true, admin_password_set},
    {"password remove", admin_password_remove_fields, true, admin_password_remove},
    {"password list", no_fields, true, admin_password_list},
    {"status", no_fields, false, status},
    {"log level", level_fields, false, log_level},
};

const struct admin_command *admin_command_find(const json_t *request, json_t **answer) {
    const size_t count = sizeof commands / sizeof *commands;
    const char *name = json_string_value(json_object_get(request, "command"));
    size_t i = 0;
    while (i < count && !(name && strcmp(commands[i].name, name) == 0))
        i++;
    if (i == count) {
        *answer = admin_refusal(ERR_NOT_FOUND,
                                "a JSON object was expected whose \"command\" is one of: token "
                                "create, token list, token revoke, password set, password remove, "
                                "password list, status, log level");
        return NULL;
    }
    const struct schema object = {.kind = SCHEMA_OBJECT, .fields = commands[i].fields};
    struct report report;
    report_init(&report);
    bool fine = schema_check(&object, request, "", PATH_POINTER, &report);
    *answer = fine ? NULL : mistakes_refusal(&report);
    report_free(&report);
    return fine ? &commands[i] : NULL;
}
