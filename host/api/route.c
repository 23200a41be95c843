#include "api/route.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"

#define A "/v1/accounts"
#define C "/v1/clusters"
#define D "/v1/clusters/{c}/devices"
#define W "/v1/webhooks"

#define OPEN         true, 0
#define ANY          false, TOKEN_SCOPE_COUNT
#define NEEDS(scope) false, TOKEN_##scope

static const struct route routes[] = {
    {"/", "", api_page_file, METHOD_GET, OPEN},
    {"/app.js", "", api_page_file, METHOD_GET, OPEN},
    {"/style.css", "", api_page_file, METHOD_GET, OPEN},
    {"/icon.svg", "", api_page_file, METHOD_GET, OPEN},
    {"/docs", "", api_page_file, METHOD_GET, OPEN},
    {"/docs.js", "", api_page_file, METHOD_GET, OPEN},
    {"/docs.css", "", api_page_file, METHOD_GET, OPEN},
    {"/swagger-ui.js", "", api_page_file, METHOD_GET, OPEN},
    {"/swagger-ui.css", "", api_page_file, METHOD_GET, OPEN},
    {"/health", "", api_health, METHOD_GET, OPEN},
    {"/ready", "", api_ready, METHOD_GET, OPEN},
    {"/metrics", "", api_metrics, METHOD_GET, NEEDS(READ)},
    {"/v1/openapi.json", "", api_openapi, METHOD_GET, OPEN},
    {"/v1/vocabulary", "", api_vocabulary, METHOD_GET, NEEDS(READ)},
    {"/v1/session", "", api_session_get, METHOD_GET, ANY},
    {"/v1/session", "", api_session_post, METHOD_POST, OPEN},
    {"/v1/session", "", api_session_delete, METHOD_DELETE, ANY},
    {A, "limit cursor parentId", api_account_list, METHOD_GET, NEEDS(READ)},
    {A, "", api_account_post, METHOD_POST, NEEDS(ADMIN)},
    {A "/{a}", "", api_account_get, METHOD_GET, NEEDS(READ)},
    {A "/{a}", "", api_account_patch, METHOD_PATCH, NEEDS(ADMIN)},
    {A "/{a}", "", api_account_delete, METHOD_DELETE, NEEDS(ADMIN)},
    {A "/{a}/tokens", "limit cursor", api_token_list, METHOD_GET, NEEDS(ADMIN)},
    {A "/{a}/tokens", "", api_token_post, METHOD_POST, NEEDS(ADMIN)},
    {A "/{a}/tokens/{name}", "", api_token_get, METHOD_GET, NEEDS(ADMIN)},
    {A "/{a}/tokens/{name}", "", api_token_delete, METHOD_DELETE, NEEDS(ADMIN)},
    {C, "limit cursor accountId parentId", api_cluster_list, METHOD_GET, NEEDS(READ)},
    {C, "dryRun", api_cluster_post, METHOD_POST, NEEDS(CONFIGURE)},
    {C "/{c}", "", api_cluster_get, METHOD_GET, NEEDS(READ)},
    {C "/{c}", "dryRun", api_cluster_patch, METHOD_PATCH, NEEDS(CONFIGURE)},
    {C "/{c}", "dryRun", api_cluster_delete, METHOD_DELETE, NEEDS(CONFIGURE)},
    {C "/{c}/flexibility", "limit cursor type connection state", api_flexibility_list, METHOD_GET,
     NEEDS(READ)},
    {C "/{c}/effective", "", api_effective_get, METHOD_GET, NEEDS(READ)},
    {C "/{c}/constraints", "limit cursor createdBy status minPriority maxPriority",
     api_constraint_list, METHOD_GET, NEEDS(READ)},
    {C "/{c}/constraints", "dryRun", api_constraint_post, METHOD_POST, NEEDS(CONTROL)},
    {C "/{c}/constraints:batch", "dryRun", api_constraint_batch, METHOD_POST, NEEDS(CONTROL)},
    {C "/{c}/effective:preview", "", api_effective_preview, METHOD_POST, NEEDS(READ)},
    {C "/{c}/constraints/{name}", "", api_constraint_get, METHOD_GET, NEEDS(READ)},
    {C "/{c}/constraints/{name}", "dryRun", api_constraint_put, METHOD_PUT, NEEDS(CONTROL)},
    {C "/{c}/constraints/{name}", "dryRun", api_constraint_delete, METHOD_DELETE, NEEDS(CONTROL)},
    {C "/{c}/gridOperator", "", api_operator_get, METHOD_GET, NEEDS(READ)},
    {C "/{c}/gridOperator", "", api_operator_put, METHOD_PUT, NEEDS(CONTROL)},
    {C "/{c}/gridOperator:heartbeat", "", api_operator_heartbeat, METHOD_POST, NEEDS(CONTROL)},
    {D, "limit cursor type connection state", api_device_list, METHOD_GET, NEEDS(READ)},
    {D, "dryRun", api_device_post, METHOD_POST, NEEDS(CONFIGURE)},
    {D "/{d}", "", api_device_get, METHOD_GET, NEEDS(READ)},
    {D "/{d}", "dryRun", api_device_patch, METHOD_PATCH, NEEDS(CONFIGURE)},
    {D "/{d}", "dryRun", api_device_delete, METHOD_DELETE, NEEDS(CONFIGURE)},
    {D "/{d}/flexibility", "", api_flexibility_get, METHOD_GET, NEEDS(READ)},
    {D "/{d}/effective", "", api_effective_get, METHOD_GET, NEEDS(READ)},
    {D "/{d}/history", "from to resolution fields limit cursor", api_history_get, METHOD_GET,
     NEEDS(READ)},
    {D "/{d}/decisions", "from to limit cursor", api_decisions_get, METHOD_GET, NEEDS(READ)},
    {D "/{d}/constraints", "limit cursor createdBy status minPriority maxPriority",
     api_constraint_list, METHOD_GET, NEEDS(READ)},
    {D "/{d}/constraints", "dryRun", api_constraint_post, METHOD_POST, NEEDS(CONTROL)},
    {D "/{d}/constraints:batch", "dryRun", api_constraint_batch, METHOD_POST, NEEDS(CONTROL)},
    {D "/{d}/effective:preview", "", api_effective_preview, METHOD_POST, NEEDS(READ)},
    {D "/{d}/constraints/{name}", "", api_constraint_get, METHOD_GET, NEEDS(READ)},
    {D "/{d}/constraints/{name}", "dryRun", api_constraint_put, METHOD_PUT, NEEDS(CONTROL)},
    {D "/{d}/constraints/{name}", "dryRun", api_constraint_delete, METHOD_DELETE, NEEDS(CONTROL)},
    {"/v1/audit", "from to limit cursor target account", api_audit_list, METHOD_GET, NEEDS(ADMIN)},
    {"/v1/events", "types clusterId deviceId heartbeat lastEventId", api_events_get, METHOD_GET,
     NEEDS(READ)},
    {W, "limit cursor", api_webhook_list, METHOD_GET, NEEDS(READ)},
    {W, "", api_webhook_post, METHOD_POST, NEEDS(CONFIGURE)},
    {W "/{name}:test", "", api_webhook_test, METHOD_POST, NEEDS(CONFIGURE)},
    {W "/{name}", "", api_webhook_get, METHOD_GET, NEEDS(READ)},
    {W "/{name}", "", api_webhook_patch, METHOD_PATCH, NEEDS(CONFIGURE)},
    {W "/{name}", "", api_webhook_delete, METHOD_DELETE, NEEDS(CONFIGURE)},
    {W "/{name}/deliveries", "limit cursor", api_webhook_deliveries, METHOD_GET, NEEDS(READ)},
    {"/v1/drivers", "limit cursor", api_driver_list, METHOD_GET, NEEDS(READ)},
    {"/v1/drivers/{name}", "", api_driver_get, METHOD_GET, NEEDS(READ)},
    {"/v1/drivers/{name}", "", api_driver_put, METHOD_PUT, NEEDS(SCRIPTS)},
    {"/v1/drivers/{name}", "", api_driver_delete, METHOD_DELETE, NEEDS(SCRIPTS)},
    {"/v1/policies", "limit cursor", api_policy_list, METHOD_GET, NEEDS(READ)},
    {"/v1/policies/{name}", "", api_policy_get, METHOD_GET, NEEDS(READ)},
    {"/v1/policies/{name}", "", api_policy_put, METHOD_PUT, NEEDS(SCRIPTS)},
    {"/v1/policies/{name}", "", api_policy_delete, METHOD_DELETE, NEEDS(SCRIPTS)},
};
#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

#undef OPEN
#undef NEEDS
#undef A
#undef C
#undef D
#undef W

const struct route *route_table(size_t *count) {
    *count = ROUTE_COUNT;
    return routes;
}

/* POSTs that keep keys, and those that change nothing; all others refuse one. */
static const struct {
    route_handler *handler;
    enum key_use use;
} keyed[] = {
    {api_constraint_post, KEY_KEPT},       {api_constraint_batch, KEY_KEPT},
    {api_effective_preview, KEY_NEEDLESS}, {api_account_post, KEY_KEPT},
    {api_cluster_post, KEY_KEPT},          {api_device_post, KEY_KEPT},
    {api_webhook_post, KEY_KEPT},          {api_webhook_test, KEY_NEEDLESS},
};

bool route_takes_lua(const struct route *route) {
    return route->handler == api_driver_put || route->handler == api_policy_put;
}

enum key_use route_key(const struct route *route) {
    for (size_t i = 0; i < sizeof keyed / sizeof keyed[0]; i++)
        if (keyed[i].handler == route->handler)
            return keyed[i].use;
    return KEY_REFUSED;
}

static void keep_step(struct exchange *x, const char *pattern, size_t length, const char *step) {
    if (length == 3 && pattern[1] == 'c')
        x->step_cluster = step;
    else if (length == 3 && pattern[1] == 'd')
        x->step_device = step;
    else if (length == 3 && pattern[1] == 'a')
        x->step_account = step;
    else
        x->step_name = step;
}

/* "{name}:verb" takes a step that ends so, without its end. False: it does not, or is too long. */
static bool cut_step(struct exchange *x, const char *pattern, size_t length, const char **step) {
    const char *verb = memchr(pattern, '}', length);
    size_t verb_length = length - (size_t)(verb + 1 - pattern);
    size_t step_length = strlen(*step);
    if (verb_length == 0)
        return true;
    if (step_length <= verb_length || step_length - verb_length >= sizeof x->step_text ||
        strncmp(*step + step_length - verb_length, verb + 1, verb_length) != 0)
        return false;
    snprintf(x->step_text, sizeof x->step_text, "%.*s", (int)(step_length - verb_length), *step);
    *step = x->step_text;
    return true;
}

static bool matches(const char *pattern, struct exchange *x) {
    size_t i = 0;
    for (; *pattern == '/'; i++) {
        pattern++;
        size_t length = strcspn(pattern, "/");
        if (i == x->request.segment_count)
            return false;
        const char *step = x->request.segments[i];
        if (pattern[0] == '{') {
            if (!step[0] || !cut_step(x, pattern, length, &step))
                return false;
            keep_step(x, pattern, length, step);
        } else if (strlen(step) != length || strncmp(step, pattern, length) != 0) {
            return false;
        }
        pattern += length;
    }
    return i == x->request.segment_count;
}

static const char *method_words(enum method method) {
    static const char *const words[] = {
        [METHOD_GET] = "GET, HEAD",   [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
        [METHOD_PUT] = "PUT",         [METHOD_DELETE] = "DELETE", [METHOD_PATCH] = "PATCH",
        [METHOD_OPTIONS] = "OPTIONS", [METHOD_OTHER] = ""};
    return words[method];
}

enum route_result route_find(struct exchange *x, const struct route **route,
                             char allow[ROUTE_ALLOW_SIZE]) {
    enum method asked = x->request.method == METHOD_HEAD ? METHOD_GET : x->request.method;
    size_t used = 0;
    allow[0] = '\0';
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!matches(routes[i].path, x))
            continue;
        if (routes[i].method == asked) {
            *route = &routes[i];
            return ROUTE_FOUND;
        }
        int added = snprintf(allow + used, ROUTE_ALLOW_SIZE - used, "%s%s", used ? ", " : "",
                             method_words(routes[i].method));
        if (added > 0 && (size_t)added < ROUTE_ALLOW_SIZE - used)
            used += (size_t)added;
    }
    return used ? ROUTE_METHOD : ROUTE_NOT_FOUND;
}
