#include "cmd/admin_passwords.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/store_audit.h"
#include "store/store_passwords.h"
#include "token.h"

static json_t *no_account(const char *account) {
    return admin_refusal(ERR_NOT_FOUND,
                         "there is no account \"%s\"; accounts are made in the API, by the site "
                         "file's clusters, and with the first token for one",
                         account);
}

static json_t *password_tree(const struct password *password) {
    char at[WALL_TEXT_SIZE];
    wall_format(password->set_at, at);
    return json_pack("{s:s, s:o, s:i, s:s}", "account", password->account, "scopes",
                     admin_scopes_tree(password->scopes), "maxPriority",
                     (int)password->max_priority, "setAt", at);
}

/* For the audit log; `after` NULL: it is removed. Never the password. NULL without memory. */
static struct audit_record *record_make(struct store *store, const struct account *account,
                                        const struct password *after) {
    struct password before;
    struct audit_origin origin = {.by = AUDIT_BY_CONSOLE, .from = AUDIT_CONSOLE};
    const struct audit_target target = {
        .kind = "password", .id = account->id, .name = account->key, .owner = account->key};
    snprintf(origin.account, sizeof origin.account, "%s", ACCOUNT_ROOT);
    snprintf(origin.action, sizeof origin.action, "password %s", after ? "set" : "remove");
    json_t *trees[2] = {NULL, after ? password_tree(after) : NULL};
    char *texts[2] = {NULL, NULL};
    if (store_password_find(store, account->key, &before))
        trees[0] = password_tree(&before);
    for (size_t i = 0; i < 2; i++) {
        texts[i] = trees[i] ? json_dumps(trees[i], JSON_COMPACT) : NULL;
        json_decref(trees[i]);
    }
    struct audit_record *record =
        audit_record_new(&origin, AUDIT_REST, &target, texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
    sodium_memzero(&before, sizeof before);
    return record;
}

/* Sets what passed all checks. */
static json_t *set(const struct admin_host *host, const struct account *account, const char *text,
                   struct password *password) {
    if (password_hash(text, password->hash) != ERR_OK)
        return admin_refusal(ERR_MEMORY, "there are no %d MiB of memory for the hash",
                             PASSWORD_MEMORY >> 20);
    memcpy(password->account, account->key, sizeof password->account);
    password->set_at = clock_wall();
    enum err result = store_password_set(host->store, account->key, password,
                                         record_make(host->store, account, password));
    if (result == ERR_NOT_FOUND)
        return no_account(account->key);
    if (result == ERR_LIMIT)
        return admin_refusal(result, "%d accounts have a password, which is as many as may",
                             PASSWORDS_MAXIMUM);
    if (result != ERR_OK)
        return admin_store_refusal(host->store, result);
    log_info("store", "the password of account %s was set", password->account);
    json_t *answer = password_tree(password);
    json_object_set_new(answer, "ok", json_true());
    return answer;
}

json_t *admin_password_set(const struct admin_host *host, const json_t *request) {
    const char *which = tree_string(request, "account", ACCOUNT_ROOT);
    const char *text = tree_string(request, "password", "");
    struct account account;
    struct password password = {
        .max_priority = (int32_t)tree_integer(request, "maxPriority", ADMIN_DEFAULT_MAX_PRIORITY),
        .scopes = admin_scopes_read(request)};
    char why[240];
    if (!store_account_find(host->store, which, &account))
        return no_account(which);
    if (!password_fits(text, account.key, why, sizeof why))
        return admin_refusal(ERR_FORMAT, "%s", why);
    json_t *answer = set(host, &account, text, &password);
    sodium_memzero(&password, sizeof password);
    return answer;
}

json_t *admin_password_remove(const struct admin_host *host, const json_t *request) {
    const char *which = tree_string(request, "account", ACCOUNT_ROOT);
    struct account account;
    if (!store_account_find(host->store, which, &account))
        return no_account(which);
    enum err result =
        store_password_remove(host->store, account.key, record_make(host->store, &account, NULL));
    if (result == ERR_NOT_FOUND)
        return admin_refusal(result, "the account \"%s\" has no password", which);
    if (result != ERR_OK)
        return admin_store_refusal(host->store, result);
    log_info("store", "the password of account %s was removed", account.key);
    return json_pack("{s:b, s:s}", "ok", 1, "account", account.key);
}

json_t *admin_password_list(const struct admin_host *host, const json_t *request) {
    (void)request;
    struct password *passwords;
    size_t count;
    enum err result = store_password_list(host->store, &passwords, &count);
    if (result != ERR_OK)
        return admin_store_refusal(host->store, result);
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(items, password_tree(&passwords[i]));
    sodium_memzero(passwords, count * sizeof *passwords);
    free(passwords);
    return json_pack("{s:b, s:o}", "ok", 1, "passwords", items);
}

/* --- their fields ----------------------------------------------------------------------------- */

#define COMMAND_FIELD                                                                              \
    { .key = "command", .kind = SCHEMA_STRING, .required = true }
#define ACCOUNT_FIELD                                                                              \
    { .key = "account", .kind = SCHEMA_STRING, .nullable = true, .minimum = 1, .maximum = 64 }

const struct schema admin_password_set_fields[] = {
    COMMAND_FIELD,
    ACCOUNT_FIELD,
    {.key = "password",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 0,
     .maximum = ADMIN_REQUEST_MAXIMUM},
    {.key = "scopes",
     .kind = SCHEMA_ARRAY,
     .item = &admin_scope_item,
     .minimum = 1,
     .maximum = TOKEN_SCOPE_COUNT,
     .help = "what who logs in may do; read and control when left out"},
    {.key = "maxPriority", .kind = SCHEMA_INTEGER, .minimum = 0, .maximum = PRIORITY_MAXIMUM},
    {0},
};

const struct schema admin_password_remove_fields[] = {COMMAND_FIELD, ACCOUNT_FIELD, {0}};
