#include "api/route.h"

#include <pthread.h>
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

/* --- patterns taken apart, once --------------------------------------------------------------- */

struct step {
    const char *text; /* into the path; of "{name}:verb" its ":verb" */
    size_t length;
    char takes; /* what is between the braces begins with: 'a', 'c', 'd', 'n'; '\0': the text itself
                 */
};

struct pattern {
    size_t count;
    struct step steps[REQUEST_SEGMENTS];
};

static struct pattern patterns[ROUTE_COUNT];
static pthread_once_t patterns_made = PTHREAD_ONCE_INIT;

static void make_pattern(const char *path, struct pattern *pattern) {
    while (*path == '/' && pattern->count < REQUEST_SEGMENTS) {
        path++;
        struct step *step = &pattern->steps[pattern->count++];
        size_t length = strcspn(path, "/");
        *step = (struct step){.text = path, .length = length};
        if (path[0] == '{') {
            size_t braces = strcspn(path, "}") + 1;
            *step = (struct step){path + braces, length - braces, path[1]};
        }
        path += length;
    }
}

static void make_patterns(void) {
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        make_pattern(routes[i].path, &patterns[i]);
}

/* "{name}:verb" takes a step that ends so, and is not too long for its copy without that end. */
static bool step_fits(const struct exchange *x, const struct step *step, const char *given) {
    size_t length = strlen(given);
    if (!step->takes)
        return length == step->length && memcmp(given, step->text, length) == 0;
    if (step->length == 0)
        return length > 0;
    return length > step->length && length - step->length < sizeof x->step_text &&
           memcmp(given + length - step->length, step->text, step->length) == 0;
}

static void keep_step(struct exchange *x, const struct step *step, const char *given) {
    if (step->length > 0) {
        snprintf(x->step_text, sizeof x->step_text, "%.*s", (int)(strlen(given) - step->length),
                 given);
        given = x->step_text;
    }
    if (step->takes == 'c')
        x->step_cluster = given;
    else if (step->takes == 'd')
        x->step_device = given;
    else if (step->takes == 'a')
        x->step_account = given;
    else
        x->step_name = given;
}

/* From the last step, in which paths differ most. */
static bool matches(const struct pattern *pattern, struct exchange *x) {
    if (pattern->count != x->request.segment_count)
        return false;
    for (size_t i = pattern->count; i-- > 0;)
        if (!step_fits(x, &pattern->steps[i], x->request.segments[i]))
            return false;
    for (size_t i = 0; i < pattern->count; i++)
        if (pattern->steps[i].takes)
            keep_step(x, &pattern->steps[i], x->request.segments[i]);
    return true;
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
    pthread_once(&patterns_made, make_patterns);
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!matches(&patterns[i], x))
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
