/* Accounts and their tokens. An account sees itself and those below it and manages those below it;
 * its tokens are managed by it and by those above. Nobody learns of others: they answer 404. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/list.h"
#include "api/precondition.h"
#include "api/witness.h"
#include "base/log.h"
#include "base/schema.h"
#include "store/store_passwords.h"
#include "webhooks/webhooks.h"

#define ACCOUNT "/v1/accounts/"

static void answer_store(struct exchange *x, enum err err, const char *what) {
    if (err == ERR_LIMIT)
        exchange_problem(x, 409, "There are as many %s as there may be; delete one first.", what);
    else
        exchange_store_failed(x, "The store cannot write; nothing was changed.");
}

/* --- accounts --------------------------------------------------------------------------------- */

static void write_account(const struct exchange *x, const struct account *account,
                          struct json *json) {
    struct account parent;
    bool sees_parent =
        store_account_controls(x->settings->store, x->token.account, account->parent) &&
        store_account_find(x->settings->store, account->parent, &parent);
    json_object_open(json);
    json_put_string(json, "id", account->id);
    present_key(json, account->key, account->id);
    json_put_known(json, "name", account->name);
    json_put_string(json, "parentId", sees_parent ? parent.id : NULL);
    json_put_string(json, "origin",
                    inventory_account_named(x, account->key) ? ORIGIN_FILE : ORIGIN_API);
    json_put_time(json, "createdAt", account->created_at);
    json_object_close(json);
}

struct account_list {
    const struct exchange *x;
    struct account *accounts;
    const struct account *below; /* with parentId=: only those right below it; else NULL */
};

static const char *account_id(const void *context, size_t index) {
    return ((const struct account_list *)context)->accounts[index].id;
}

static bool account_shown(const void *context, size_t index) {
    const struct account_list *list = context;
    const struct account *account = &list->accounts[index];
    return (!list->below || strcmp(account->parent, list->below->key) == 0) &&
           store_account_controls(list->x->settings->store, list->x->token.account, account->key);
}

static void account_write(const void *context, size_t index, struct json *json) {
    const struct account_list *list = context;
    write_account(list->x, &list->accounts[index], json);
}

/* One that the token's account sees, or 404. */
static bool find_account(struct exchange *x, const char *which, struct account *account) {
    if (inventory_account(x, which, account))
        return true;
    exchange_problem(
        x, 404, "There is no account \"%.100s\"; GET /v1/accounts lists those there are.", which);
    return false;
}

void api_account_list(struct exchange *x) {
    struct account_list list = {.x = x};
    struct account below;
    size_t count;
    const char *parent = request_query(&x->request, "parentId");
    if (parent && !find_account(x, parent, &below))
        return;
    list.below = parent ? &below : NULL;
    if (store_account_list(x->settings->store, &list.accounts, &count) != ERR_OK) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return;
    }
    list_answer(x,
                &(struct list_source){.context = &list,
                                      .count = count,
                                      .id = account_id,
                                      .shown = account_shown,
                                      .write = account_write},
                LIST_LIMIT_DEFAULT);
    free(list.accounts);
}

/* For the audit log. An account belongs to the one above it, which may see what became of it. */
static bool witness_account(struct exchange *x, int status, const struct account *before,
                            const struct account *after, struct audit_record **record) {
    const struct account *account = after ? after : before;
    const struct audit_target target = {
        .kind = "account", .id = account->id, .name = account->key, .owner = account->parent};
    json_t *trees[2] = {NULL, NULL};
    const struct account *const both[2] = {before, after};
    for (int i = 0; i < 2; i++)
        if (both[i])
            trees[i] = json_pack("{s:s, s:s}", "name", both[i]->name, "parent", both[i]->parent);
    return witness(x, status, &target, trees[0], trees[1], record);
}

static void version_of(const struct account *account, char version[VERSION_SIZE]) {
    snprintf(version, VERSION_SIZE, "%lld", (long long)account->revision);
}

void api_account_get(struct exchange *x) {
    struct account account;
    if (!find_account(x, x->step_account, &account))
        return;
    version_of(&account, x->version);
    write_account(x, &account, exchange_json(x, 200));
}

/* --- changing accounts ------------------------------------------------------------------------ */

static const struct schema account_fields[] = {
    {.key = "name",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = ACCOUNT_NAME_SIZE - 1,
     .help = "for people"},
    {.key = "key",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = ACCOUNT_KEY_SIZE - 1,
     .help = "its name in addresses and in site files, given once"},
    {.key = "parentId",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = ACCOUNT_KEY_SIZE - 1,
     .help = "the account above it"},
    {0},
};
static const struct schema account_body = {.kind = SCHEMA_OBJECT, .fields = account_fields};

/* The parent that a body names. */
static void read_parent(struct exchange *x, struct account *account, struct report *report) {
    struct account parent;
    const char *which = json_string_value(json_object_get(x->tree, "parentId"));
    if (!which)
        return;
    if (inventory_account(x, which, &parent))
        memcpy(account->parent, parent.key, sizeof account->parent);
    else
        report_add(report, "/parentId", "there is no account \"%.100s\"", which);
}

static bool read_account(struct exchange *x, struct account *account) {
    struct report report;
    report_init(&report);
    bool is_new = !account->id[0];
    const char *key = json_string_value(json_object_get(x->tree, "key"));
    const char *name = json_string_value(json_object_get(x->tree, "name"));
    (void)schema_check(&account_body, x->tree, "", PATH_POINTER, &report);
    if (is_new && !json_object_get(x->tree, "name"))
        report_add(&report, "/name", "is missing: how people call it");
    if (key && is_new)
        inventory_check_key(key, &report);
    else if (key && strcmp(key, account->key) != 0)
        report_add(&report, "/key",
                   "a key is given once, since tokens and site files name it; it stays \"%s\"",
                   account->key);
    read_parent(x, account, &report);
    if (key && is_new && strlen(key) < sizeof account->key)
        snprintf(account->key, sizeof account->key, "%s", key);
    if (name)
        snprintf(account->name, sizeof account->name, "%s", name);
    bool right = report_empty(&report);
    if (!right)
        exchange_problem_report(x, 422, &report, "The account cannot be accepted.");
    report_free(&report);
    return right;
}

void api_account_post(struct exchange *x) {
    struct account account = {0};
    struct audit_record *record;
    char location[80];
    memcpy(account.parent, x->token.account, sizeof account.parent);
    if (!inventory_unrestricted(x, "accounts") || !read_account(x, &account))
        return;
    if (!witness_account(x, 201, NULL, &account, &record))
        return;
    enum err err = store_account_create(x->settings->store, &account, record);
    if (err == ERR_CONFLICT) {
        exchange_problem(x, 409, "The key \"%s\" is taken on this host.", account.key);
    } else if (err == ERR_NOT_FOUND) {
        exchange_problem(x, 409, "The account above it was deleted meanwhile.");
    } else if (err != ERR_OK) {
        answer_store(x, err, "accounts");
    } else {
        snprintf(location, sizeof location, ACCOUNT "%s", account.id);
        log_info("api", "token:%s made the account %s (request %s)", x->token.name, account.key,
                 x->request_id);
        write_account(x, &account, exchange_json(x, 201));
        version_of(&account, x->version);
        precondition_tell(x, x->version);
        exchange_header(x, "Location", location);
    }
}

/* One that may be changed by this token and request, or the answer why not. */
static bool find_changeable(struct exchange *x, struct account *account) {
    char version[VERSION_SIZE];
    if (!find_account(x, x->step_account, account))
        return false;
    version_of(account, version);
    if (!precondition_check(x, version) || !inventory_unrestricted(x, "accounts"))
        return false;
    if (strcmp(account->key, x->token.account) == 0) {
        exchange_problem(x, 403, "An account does not change itself; the one above it may.");
        return false;
    }
    if (inventory_account_named(x, account->key)) {
        exchange_problem(x, 409, "%s names the account \"%s\", so it is not changed here.",
                         inventory_file(x), account->key);
        return false;
    }
    return true;
}

static void answer_changed(struct exchange *x, enum err err, struct account *now) {
    char version[VERSION_SIZE];
    switch (err) {
    case ERR_NOT_FOUND:
        exchange_problem(x, 404, "The account, or the one above it, was deleted meanwhile.");
        return;
    case ERR_CONFLICT:
        if (!find_account(x, now->id, now))
            return;
        version_of(now, version);
        precondition_failed(x, version);
        return;
    default:
        answer_store(x, err, "accounts");
        return;
    }
}

void api_account_patch(struct exchange *x) {
    struct account account;
    struct audit_record *record;
    if (!find_changeable(x, &account))
        return;
    const struct account before = account;
    if (!read_account(x, &account) || !witness_account(x, 200, &before, &account, &record))
        return;
    enum err err = store_account_change(x->settings->store, &account, record);
    if (err == ERR_REFUSED) {
        exchange_problem(x, 409, "The account \"%s\" would be below itself.", account.key);
        return;
    }
    if (err != ERR_OK) {
        answer_changed(x, err, &account);
        return;
    }
    log_info("api", "token:%s changed the account %s (request %s)", x->token.name, account.key,
             x->request_id);
    write_account(x, &account, exchange_json(x, 200));
    version_of(&account, x->version);
    precondition_tell(x, x->version);
}

static void add_name(struct buf *names, const char *what, const char *key) {
    buf_format(names, "%sthe %s %s", names->length ? ", " : "", what, key);
}

static void list_webhooks(const struct exchange *x, const struct account *account,
                          struct buf *names) {
    size_t count = 0;
    struct webhook *webhooks =
        x->settings->webhooks ? webhooks_list(x->settings->webhooks, &count) : NULL;
    for (size_t i = 0; webhooks && i < count; i++)
        if (strcmp(webhooks[i].account, account->key) == 0)
            add_name(names, "webhook", webhooks[i].id);
    free(webhooks);
}

/* What hangs on it, in words; "" when nothing does. */
static void list_belongings(struct exchange *x, const struct account *account, struct buf *names) {
    struct account *accounts;
    size_t count;
    for (size_t i = 0; x->directory && i < x->directory->cluster_count; i++)
        if (strcmp(x->directory->clusters[i].account, account->key) == 0)
            add_name(names, "cluster", x->directory->clusters[i].key);
    list_webhooks(x, account, names);
    if (store_account_list(x->settings->store, &accounts, &count) != ERR_OK)
        return; /* the store looks again */
    for (size_t i = 0; i < count; i++)
        if (strcmp(accounts[i].parent, account->key) == 0)
            add_name(names, "account", accounts[i].key);
    free(accounts);
}

/* Its tokens and its password go with it: false with 403 when one of them may do more than the one
 * that asks. */
static bool may_revoke_all(struct exchange *x, const struct account *account) {
    struct token *tokens;
    size_t count;
    char why[160] = "";
    bool may = true;
    if (store_token_list(x->settings->store, &tokens, &count) != ERR_OK) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return false;
    }
    for (size_t i = 0; i < count && may; i++)
        may = strcmp(tokens[i].account, account->key) != 0 ||
              token_covers(&x->token, &tokens[i], why, sizeof why);
    free(tokens);
    struct password password;
    if (may && store_password_find(x->settings->store, account->key, &password)) {
        const struct token login = {.scopes = password.scopes,
                                    .max_priority = password.max_priority};
        may = token_covers(&x->token, &login, why, sizeof why);
    }
    if (!may)
        exchange_problem(x, 403,
                         "The account has a token or a password that goes with it and may do more "
                         "than the one that asks: %s.",
                         why);
    return may;
}

void api_account_delete(struct exchange *x) {
    struct account account;
    struct buf names;
    if (!find_changeable(x, &account) || !may_revoke_all(x, &account))
        return;
    buf_init(&names, 256);
    list_belongings(x, &account, &names);
    enum err err = ERR_REFUSED;
    struct audit_record *record;
    if (!names.length && !names.failed) {
        if (!witness_account(x, 204, &account, NULL, &record)) {
            buf_free(&names);
            return;
        }
        err = store_account_remove(x->settings->store, account.id, account.revision, record);
    }
    if (err == ERR_REFUSED)
        exchange_problem(x, 409,
                         "The account still has what belongs to it (%s); delete or move it first.",
                         names.failed   ? "more than can be listed here"
                         : names.length ? buf_string(&names)
                                        : "clusters, webhooks or accounts");
    else if (err != ERR_OK)
        answer_changed(x, err, &account);
    else {
        log_info("api", "token:%s deleted the account %s with its tokens (request %s)",
                 x->token.name, account.key, x->request_id);
        exchange_empty(x, 204);
    }
    buf_free(&names);
}
