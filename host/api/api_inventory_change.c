/* Making, changing and removing clusters and devices. The handlers settle who may do it and whom a
 * body names; the engine checks the rest against what is in force and takes it. */
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/precondition.h"
#include "api/witness.h"
#include "ask/ask_inventory.h"
#include "base/log.h"

#define PATIENCE_MS 5000

static void version_of(int64_t revision, char version[VERSION_SIZE]) {
    snprintf(version, VERSION_SIZE, "%lld", (long long)revision);
}

/* --- what stands against it ------------------------------------------------------------------- */

/* What the site file declares is not changed here. */
static bool may_change(struct exchange *x, int64_t revision, const char *what, const char *key) {
    char version[VERSION_SIZE];
    version_of(revision, version);
    if (revision)
        return precondition_check(x, version);
    exchange_problem(x, 409, "%s declares the %s \"%s\"; change it there.", inventory_file(x), what,
                     key);
    return false;
}

/* accountId and parentId, taken out of the body. */
static void take_account(struct exchange *x, struct inventory_change *change,
                         struct report *report) {
    struct account account;
    const json_t *given = json_object_get(x->tree, "accountId");
    if (given && !json_is_string(given))
        report_add(report, "/accountId", "must be a string: the id of an account");
    else if (given && !inventory_account(x, json_string_value(given), &account))
        report_add(report, "/accountId", "there is no account \"%.100s\"",
                   json_string_value(given));
    else if (given)
        memcpy(change->owner, account.key, sizeof change->owner);
    json_object_del(x->tree, "accountId");
}

static void take_parent(struct exchange *x, struct inventory_change *change,
                        struct report *report) {
    const json_t *given = json_object_get(x->tree, "parentId");
    const struct cluster_card *parent =
        json_is_string(given) ? directory_cluster(x->directory, json_string_value(given)) : NULL;
    change->sets_parent = given != NULL;
    if (json_is_string(given) && parent && exchange_sees(x, parent))
        memcpy(change->parent_id, parent->id, sizeof change->parent_id);
    else if (json_is_string(given))
        report_add(report, "/parentId", "there is no cluster \"%.100s\"", json_string_value(given));
    else if (given && !json_is_null(given))
        report_add(report, "/parentId", "must be a string (the id of a cluster) or null");
    json_object_del(x->tree, "parentId");
}

/* --- asking ----------------------------------------------------------------------------------- */

static void answer_stale(struct exchange *x) {
    const struct cluster_card *cluster = directory_cluster(x->directory, x->step_cluster);
    const struct device_card *device =
        cluster && x->step_device ? directory_device(x->directory, cluster, x->step_device) : NULL;
    int64_t revision = device                       ? device->revision
                       : cluster && !x->step_device ? cluster->revision
                                                    : 0;
    char version[VERSION_SIZE];
    version_of(revision, version);
    precondition_failed(x, revision ? version : NULL);
}

static void answer_refused(struct exchange *x, const struct inventory_answer *answer) {
    switch (answer->result) {
    case ASK_INVALID:
        exchange_problem_report(x, 422, &answer->mistakes,
                                answer->detail[0] ? answer->detail : "It cannot be accepted.");
        return;
    case ASK_NOT_FOUND:
        exchange_problem(x, 404, "%s",
                         answer->detail[0] ? answer->detail : "It was removed meanwhile.");
        return;
    case ASK_CONFLICT:
        if (answer->stale)
            answer_stale(x);
        else
            exchange_problem(x, 409, "%s", answer->detail);
        return;
    case ASK_STORE_FAILED:
        exchange_store_failed(
            x, answer->detail[0] ? answer->detail : "The store cannot write; nothing was changed.");
        return;
    default:
        exchange_unavailable(x, 2, answer->detail);
        return;
    }
}

/* Asks, and takes the newest directory. True on success; the id of what it was is in `change`. */
static bool ask(struct exchange *x, struct inventory_change *change, struct report *mistakes,
                bool dry) {
    struct inventory_answer answer;
    witness_origin(x,
                   change->verb == INVENTORY_CREATE  ? 201
                   : change->verb == INVENTORY_PATCH ? 200
                                                     : 204,
                   &change->origin);
    change->cluster_count = x->token.cluster_count;
    memcpy(change->clusters, x->token.clusters, sizeof change->clusters);
    change->body = x->tree;
    x->tree = NULL;
    ask_inventory(x->settings->engine, change, mistakes, dry, PATIENCE_MS, &answer);
    change->body = NULL;
    directory_release(x->directory);
    x->directory = directory_hold(x->settings->directory);
    bool done = answer.result == ASK_CREATED || answer.result == ASK_REPLACED ||
                answer.result == ASK_REMOVED;
    if (done)
        memcpy(change->id, answer.id, sizeof change->id);
    else
        answer_refused(x, &answer);
    report_free(&answer.mistakes);
    return done;
}

static const char *verb_word(enum inventory_verb verb) {
    return verb == INVENTORY_CREATE ? "made" : verb == INVENTORY_PATCH ? "changed" : "deleted";
}

static void log_change(const struct exchange *x, const struct inventory_change *change) {
    log_info("api", "token:%s %s the %s %s (request %s)", x->token.name, verb_word(change->verb),
             change->is_device ? "device" : "cluster", change->id, x->request_id);
}

static void tell_version(struct exchange *x, int64_t revision) {
    char version[VERSION_SIZE];
    version_of(revision, version);
    precondition_tell(x, version);
}

/* --- clusters --------------------------------------------------------------------------------- */

static void answer_cluster(struct exchange *x, const struct inventory_change *change) {
    char location[80];
    const struct cluster_card *cluster = directory_cluster(x->directory, change->id);
    if (!cluster) {
        exchange_problem(x, 404, "It was removed meanwhile.");
        return;
    }
    inventory_write_cluster(x, cluster,
                            exchange_json(x, change->verb == INVENTORY_CREATE ? 201 : 200));
    tell_version(x, cluster->revision);
    snprintf(location, sizeof location, "/v1/clusters/%s", cluster->id);
    if (change->verb == INVENTORY_CREATE)
        exchange_header(x, "Location", location);
}

/* The dry run of a change: what would be refused was told; else only that it would be done. */
static void answer_dry(struct exchange *x) {
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_put_boolean(json, "dryRun", true);
    json_object_close(json);
}

static void change_cluster(struct exchange *x, struct inventory_change *change) {
    struct report report;
    bool dry;
    report_init(&report);
    if (!exchange_dry_run(x, &dry))
        return;
    if (x->tree) {
        take_account(x, change, &report);
        take_parent(x, change, &report);
    }
    if (!ask(x, change, &report, dry))
        return;
    if (dry) {
        answer_dry(x);
        return;
    }
    log_change(x, change);
    if (change->verb == INVENTORY_REMOVE)
        exchange_empty(x, 204);
    else
        answer_cluster(x, change);
}

/* A token for some clusters makes clusters below those, and moves none out of their reach. None
 * moves a cluster from below one that it does not see, and so out of the limits of that one, which
 * may belong to another account. False with 403. `cluster` NULL: a new one. */
static bool stays_within(struct exchange *x, const struct cluster_card *cluster) {
    const json_t *given = json_object_get(x->tree, "parentId");
    bool restricted = x->token.cluster_count > 0;
    bool has_parent = cluster && cluster->parent_id[0];
    if (cluster ? !given || (!has_parent && !restricted) : !restricted)
        return true;
    const struct cluster_card *parent =
        has_parent ? directory_cluster(x->directory, cluster->parent_id) : NULL;
    bool sees_parent = parent && exchange_sees(x, parent);
    if (cluster ? sees_parent && (json_is_string(given) || !restricted) : json_is_string(given))
        return true; /* whether it sees the new parent is looked at with the body */
    if (cluster && restricted)
        exchange_problem(x, 403,
                         "This token is for some clusters only: it does not move the cluster "
                         "\"%s\" out of what it is for.",
                         cluster->key);
    else if (cluster)
        exchange_problem(x, 403,
                         "The cluster \"%s\" is part of one of another account, whose limits hold "
                         "for it; only who sees that one moves it.",
                         cluster->key);
    else
        exchange_problem(x, 403,
                         "This token is for some clusters only: name one of them as parentId to "
                         "make a cluster below it.");
    return false;
}

void api_cluster_post(struct exchange *x) {
    struct inventory_change change = {.verb = INVENTORY_CREATE};
    if (!x->directory) {
        exchange_unavailable(x, 2, "The host is starting and has not read its site file yet.");
        return;
    }
    memcpy(change.owner, x->token.account, sizeof change.owner);
    if (stays_within(x, NULL))
        change_cluster(x, &change);
}

static void change_old_cluster(struct exchange *x, enum inventory_verb verb) {
    const struct cluster_card *cluster = exchange_cluster(x);
    if (!cluster || !may_change(x, cluster->revision, "cluster", cluster->key) ||
        !stays_within(x, cluster))
        return;
    struct inventory_change change = {.verb = verb, .revision = cluster->revision};
    memcpy(change.id, cluster->id, sizeof change.id);
    change_cluster(x, &change);
}

void api_cluster_patch(struct exchange *x) {
    change_old_cluster(x, INVENTORY_PATCH);
}

void api_cluster_delete(struct exchange *x) {
    change_old_cluster(x, INVENTORY_REMOVE);
}

/* --- devices ---------------------------------------------------------------------------------- */

static void answer_device(struct exchange *x, const struct inventory_change *change,
                          const char *cluster_id) {
    char location[160];
    const struct cluster_card *cluster = directory_cluster(x->directory, cluster_id);
    struct device_card *card = cluster ? directory_device(x->directory, cluster, change->id) : NULL;
    if (!card) {
        exchange_problem(x, 404, "It was removed meanwhile.");
        return;
    }
    present_device(exchange_json(x, change->verb == INVENTORY_CREATE ? 201 : 200), card);
    tell_version(x, card->revision);
    snprintf(location, sizeof location, "/v1/clusters/%s/devices/%s", cluster->id, card->id);
    if (change->verb == INVENTORY_CREATE)
        exchange_header(x, "Location", location);
}

/* Files of the host and addresses beside the device's own are named by who sees the whole host
 * alone: else a device could carry any secret that the host can read to any address. Another
 * address gets no secret that was set for the one before. */
static void guard_secrets(struct exchange *x, const struct inventory_change *change,
                          struct report *report) {
    static const char *const guarded[] = {"password", "caFile", "reach"};
    if (!x->tree || exchange_sees_host(x))
        return;
    for (size_t i = 0; i < sizeof guarded / sizeof guarded[0]; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/%s", guarded[i]);
        const json_t *given = json_object_get(x->tree, guarded[i]);
        if (given && !json_is_null(given))
            report_add(report, pointer,
                       "is set by a token of the account \"%s\" for all clusters alone",
                       ACCOUNT_ROOT);
    }
    if (change->verb == INVENTORY_PATCH && json_object_get(x->tree, "link"))
        json_object_set_new(x->tree, "password", json_null());
}

static void change_device(struct exchange *x, struct inventory_change *change,
                          const char *cluster_id) {
    struct report report;
    char id[ID_SIZE]; /* the card goes with its directory */
    bool dry;
    report_init(&report);
    memcpy(id, cluster_id, sizeof id);
    guard_secrets(x, change, &report);
    if (!exchange_dry_run(x, &dry) || !ask(x, change, &report, dry))
        return;
    if (dry) {
        answer_dry(x);
        return;
    }
    log_change(x, change);
    if (change->verb == INVENTORY_REMOVE)
        exchange_empty(x, 204);
    else
        answer_device(x, change, id);
}

void api_device_post(struct exchange *x) {
    struct inventory_change change = {.verb = INVENTORY_CREATE, .is_device = true};
    const struct cluster_card *cluster = exchange_cluster(x);
    if (!cluster)
        return;
    memcpy(change.owner, cluster->id, sizeof cluster->id);
    change_device(x, &change, cluster->id);
}

static void change_old_device(struct exchange *x, enum inventory_verb verb) {
    const struct cluster_card *cluster;
    const struct device_card *card = exchange_device(x, &cluster);
    if (!card || !may_change(x, card->revision, "device", card->key))
        return;
    struct inventory_change change = {.verb = verb, .is_device = true, .revision = card->revision};
    memcpy(change.id, card->id, sizeof change.id);
    change_device(x, &change, cluster->id);
}

void api_device_patch(struct exchange *x) {
    change_old_device(x, INVENTORY_PATCH);
}

void api_device_delete(struct exchange *x) {
    change_old_device(x, INVENTORY_REMOVE);
}
