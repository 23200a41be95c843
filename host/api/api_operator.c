/* The grid operator's box of a cluster: what holds by its word, or for want of it; and, where it
 * speaks through the API, its heartbeat and its limit. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/precondition.h"
#include "api/present.h"
#include "api/witness.h"
#include "ask/ask_operator.h"
#include "base/log.h"
#include "base/schema.h"

#define PATIENCE_MS       5000
#define POWER_LARGEST     1e9             /* W */
#define VALID_FOR_MAXIMUM (366.0 * 86400) /* s */

/* --- showing it ------------------------------------------------------------------------------- */

static void put_limit(struct json *json, struct operator_limit limit) {
    present_power(json, "maxActivePower", limit.has_max ? limit.max : POWER_UNBOUNDED);
    present_power(json, "minActivePower", limit.has_min ? limit.min : -POWER_UNBOUNDED);
}

static void put_site(struct json *json, const struct operator_site *site) {
    json_put_string(json, "scope", scope_name(site->scope));
    json_put_integer(json, "priority", site->priority);
    json_put_string(json, "source", site->device[0] ? "device" : "api");
    json_put_known(json, "device", site->device);
    json_put_double(json, "heartbeat", (double)site->terms.heartbeat_ms / 1000);
    json_key(json, "failsafe");
    json_object_open(json);
    put_limit(json, site->terms.failsafe);
    json_put_double(json, "duration", (double)site->terms.duration_ms / 1000);
    json_object_close(json);
}

static void write_view(struct json *json, const char *cluster_id,
                       const struct operator_view *view) {
    json_object_open(json);
    json_put_string(json, "clusterId", cluster_id);
    json_put_string(json, "state", operator_state_name(view->state));
    json_put_time(json, "since", view->since);
    put_limit(json, view->limit);
    json_put_time(json, "invalidAt", view->until);
    json_put_known(json, "constraintId", view->constraint_id);
    json_put_string(json, "explanation", view->text);
    json_put_known(json, "reason", view->reason);
    json_put_known(json, "statedBy", view->stated_by);
    json_put_time(json, "statedAt", view->stated_at);
    json_put_time(json, "heartbeatAt", view->heartbeat_at);
    json_put_time(json, "heartbeatMissingAt", view->missing_at);
    json_put_known(json, "silence", view->missing_at.ms ? "" : view->silence);
    json_put_time(json, "nextChangeAt", view->next_change_at);
    json_put_boolean(json, "alarm", view->alarm);
    json_put_boolean(json, "durable", view->durable);
    put_site(json, &view->site);
    json_object_close(json);
}

static void version_of(const struct operator_view *view, char version[VERSION_SIZE]) {
    snprintf(version, VERSION_SIZE, "%" PRId64, view->version);
}

static const struct cluster_card *find_box(struct exchange *x, struct operator_view *view) {
    const struct cluster_card *cluster = exchange_cluster(x);
    if (!cluster)
        return NULL;
    if (cluster->box) {
        operator_slot_get(cluster->box, view);
        return cluster;
    }
    exchange_problem(x, 404,
                     "The cluster \"%.64s\" has no grid operator's box; gridOperator in the site "
                     "file declares one.",
                     cluster->key);
    return NULL;
}

void api_operator_get(struct exchange *x) {
    struct operator_view view;
    const struct cluster_card *cluster = find_box(x, &view);
    if (!cluster)
        return;
    version_of(&view, x->version);
    write_view(exchange_json(x, 200), cluster->id, &view);
}

/* --- the box speaks --------------------------------------------------------------------------- */

static void answer(struct exchange *x, const struct cluster_card *cluster,
                   const struct operator_answer *told) {
    char version[VERSION_SIZE];
    const struct operator_view *view = &told->view;
    version_of(view, version);
    switch (told->result) {
    case ASK_REPLACED:
    case ASK_NOT_DURABLE:
        write_view(exchange_json(x, told->result == ASK_REPLACED ? 200 : 202), cluster->id, view);
        precondition_tell(x, version);
        return;
    case ASK_FORBIDDEN:
        exchange_problem(x, 403,
                         "The box has priority %d; this token speaks for priorities up to %d.",
                         (int)view->site.priority, (int)x->token.max_priority);
        return;
    case ASK_CONFLICT:
        exchange_problem(x, 409,
                         "The box of this cluster is its device \"%.64s\", by gridOperator.source "
                         "in the site file; its limit does not come through the API.",
                         view->site.device);
        return;
    case ASK_CHANGED:
        precondition_failed(x, version);
        return;
    case ASK_NOT_FOUND:
        exchange_problem(x, 404, "The box has left the site meanwhile.");
        return;
    default:
        exchange_unavailable(x, 2,
                             "The host did not answer in time, or is stopping; what was stated may "
                             "still be applied: state it again.");
        return;
    }
}

static void record_change(struct exchange *x, const struct cluster_card *cluster,
                          const struct operator_view *before, const struct operator_view *after);

/* `before`: as it was published when the request came. */
static void ask(struct exchange *x, const struct cluster_card *cluster,
                const struct operator_view *before, const struct operator_statement *statement,
                int64_t version) {
    struct asker asker = {.max_priority = x->token.max_priority};
    struct operator_answer *told = calloc(1, sizeof *told); /* the threads' stacks are small */
    if (!told) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return;
    }
    exchange_creator(x, asker.created_by);
    ask_operator(x->settings->engine, cluster->id, &asker, statement, version, PATIENCE_MS, told);
    answer(x, cluster, told);
    if (statement && (told->result == ASK_REPLACED || told->result == ASK_NOT_DURABLE))
        record_change(x, cluster, before, &told->view);
    free(told);
}

/* --- the audit log -----------------------------------------------------------------------------
 */

static char *limit_text(const struct operator_view *view) {
    struct buf text;
    struct json json;
    buf_init(&text, AUDIT_VALUE_MAX);
    json_start(&json, &text);
    json_object_open(&json);
    json_put_string(&json, "state", operator_state_name(view->state));
    put_limit(&json, view->limit);
    json_put_time(&json, "invalidAt", view->until);
    json_put_known(&json, "statedBy", view->stated_by);
    json_put_known(&json, "reason", view->reason);
    json_object_close(&json);
    return buf_take(&text);
}

/* A limit that is stated again is no change. */
static void record_change(struct exchange *x, const struct cluster_card *cluster,
                          const struct operator_view *before, const struct operator_view *after) {
    struct audit_origin origin;
    const struct audit_target target = {.kind = "gridOperator",
                                        .id = cluster->id,
                                        .name = cluster->key,
                                        .cluster_id = cluster->id,
                                        .owner = cluster->account};
    if (after->version == before->version)
        return;
    char *text_before = limit_text(before);
    char *text_after = limit_text(after);
    struct audit_record *record = NULL;
    witness_origin(x, x->status, &origin);
    if (text_before && text_after)
        record = audit_record_new(&origin, AUDIT_CONSTRAINT, &target, text_before, text_after);
    if (record)
        store_put_audit(x->settings->store, record);
    else
        log_error("api", "no memory: the audit log does not know of the limit of %s", cluster->key);
    free(text_before);
    free(text_after);
}

/* --- bodies ------------------------------------------------------------------------------------
 */

static const struct schema no_fields[] = {{0}};
static const struct schema heartbeat_body = {.kind = SCHEMA_OBJECT, .fields = no_fields};

void api_operator_heartbeat(struct exchange *x) {
    struct operator_view view;
    struct report report;
    const struct cluster_card *cluster = find_box(x, &view);
    if (!cluster)
        return;
    report_init(&report);
    if (schema_check(&heartbeat_body, x->tree, "", PATH_POINTER, &report))
        ask(x, cluster, &view, NULL, OPERATOR_ANY_VERSION);
    else
        exchange_problem_report(x, 422, &report, "A heartbeat says nothing else: send {}.");
    report_free(&report);
}

static const struct schema limit_fields[] = {
    {.key = "maxActivePower",
     .kind = SCHEMA_INTEGER,
     .nullable = true,
     .minimum = 0,
     .maximum = POWER_LARGEST,
     .help = "W, the most that may be taken; null: no limit"},
    {.key = "minActivePower",
     .kind = SCHEMA_INTEGER,
     .nullable = true,
     .minimum = -POWER_LARGEST,
     .maximum = 0,
     .help = "W, 0 or negative: the most that may be given; null: no limit"},
    {.key = "validFor",
     .kind = SCHEMA_NUMBER,
     .nullable = true,
     .minimum = 0.001,
     .maximum = VALID_FOR_MAXIMUM,
     .help = "s; left out: until the box says otherwise"},
    {.key = "reason",
     .kind = SCHEMA_STRING,
     .nullable = true,
     .minimum = 0,
     .maximum = REASON_SIZE - 1,
     .help = "a sentence for people"},
    {0},
};
static const struct schema limit_body = {.kind = SCHEMA_OBJECT, .fields = limit_fields};

static bool read_statement(const json_t *tree, struct operator_statement *statement,
                           struct report *report) {
    const json_t *max = json_object_get(tree, "maxActivePower");
    const json_t *min = json_object_get(tree, "minActivePower");
    *statement = (struct operator_statement){0};
    bool right = schema_check(&limit_body, tree, "", PATH_POINTER, report);
    if (!max && !min) {
        report_add(
            report, "",
            "it states no limit; give maxActivePower, minActivePower or both: a number of W, "
            "or null where there is no limit");
        right = false;
    }
    if (!right)
        return false;
    statement->limit = (struct operator_limit){.has_max = json_is_number(max),
                                               .has_min = json_is_number(min),
                                               .max = (int32_t)json_number_value(max),
                                               .min = (int32_t)json_number_value(min)};
    statement->valid_for_ms = llround(tree_number(tree, "validFor", 0) * 1000);
    snprintf(statement->reason, sizeof statement->reason, "%s", tree_string(tree, "reason", ""));
    return true;
}

void api_operator_put(struct exchange *x) {
    struct operator_view view;
    struct operator_statement statement;
    struct report report;
    char version[VERSION_SIZE];
    const struct cluster_card *cluster = find_box(x, &view);
    if (!cluster)
        return;
    version_of(&view, version);
    if (!precondition_check(x, version))
        return;
    report_init(&report);
    if (read_statement(x->tree, &statement, &report)) {
        exchange_creator(x, statement.by);
        bool conditional = x->request.if_match != NULL;
        ask(x, cluster, &view, &statement, conditional ? view.version : OPERATOR_ANY_VERSION);
        log_info("api", "%s stated the grid operator's limit of %s: %d (request %s)", statement.by,
                 cluster->key, x->status, x->request_id);
    } else {
        exchange_problem_report(x, 422, &report,
                                "The limit cannot be taken; errors lists every mistake.");
    }
    report_free(&report);
}
