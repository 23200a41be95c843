/* What needs no token: health, readiness, the page, the API's description; and the vocabulary,
 * which does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/precondition.h"
#include "operator/operator_view.h"

#define RETRY_AFTER "5" /* s */

static void answer_file(struct exchange *x, const struct page_file *file) {
    if (!file || !file->data) {
        exchange_problem(x, 404, "This file of the web page is not installed.");
        return;
    }
    x->page_file = true;
    exchange_header(x, "ETag", file->tag);
    const char *held = x->request.if_none_match;
    char opaque[PAGE_TAG_SIZE];
    snprintf(opaque, sizeof opaque, "%.*s", (int)strcspn(file->tag + 1, "\""), file->tag + 1);
    enum tags has = held ? tags_look(held, opaque, true, false) : TAGS_NONE;
    if (has == TAGS_MATCH || has == TAGS_ANY) {
        exchange_empty(x, 304);
        return;
    }
    exchange_empty(x, 200);
    x->content_type = file->content_type;
    buf_append(&x->body, file->data, file->length);
}

void api_page_file(struct exchange *x) {
    answer_file(x, page_find(x->page, x->request.segments[0]));
}

void api_openapi(struct exchange *x) {
    answer_file(x, &x->page->openapi);
}

void api_health(struct exchange *x) {
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_put_string(json, "status", "ok");
    json_put_string(json, "version", DERD_VERSION);
    json_object_close(json);
}

static void put_connections(struct json *json, const struct directory *directory) {
    size_t counts[CONNECTION_COUNT] = {0};
    for (size_t i = 0; i < directory->device_count; i++) {
        struct flexibility flexibility;
        live_read(directory->devices[i]->live, &flexibility);
        counts[flexibility.connection]++;
    }
    json_key(json, "devices");
    json_object_open(json);
    for (size_t i = 0; i < CONNECTION_COUNT; i++)
        json_put_integer(json, connection_name((enum connection)i), (int64_t)counts[i]);
    json_object_close(json);
}

/* That history is not kept is no reason not to be ready: control goes on. */
static void put_history(struct exchange *x, struct json *json) {
    struct telemetry_status status = {.why = "no memory for it"};
    if (x->settings->telemetry)
        telemetry_status(x->settings->telemetry, &status);
    json_key(json, "history");
    json_object_open(json);
    json_put_boolean(json, "ready", status.ready);
    json_put_boolean(json, "failing", status.failing);
    json_put_known(json, "detail", status.failing || !status.ready ? status.why : "");
    json_put_integer(json, "droppedSamples", (int64_t)status.dropped);
    json_put_integer(json, "untimedSamples", (int64_t)status.dropped_untimed);
    json_put_integer(json, "filesSetAside", (int64_t)status.set_aside);
    json_object_close(json);
}

static bool all_limits_kept(const struct directory *directory) {
    bool kept = true;
    for (size_t i = 0; i < directory->cluster_count && kept; i++) {
        struct decided *decided =
            directory->clusters[i].slot ? decided_slot_get(directory->clusters[i].slot) : NULL;
        kept = !decided || !decided->cluster->alarm[0];
        decided_release(decided);
    }
    return kept;
}

/* The limits of clusters that cannot be kept, of those that the token sees. */
static void put_unmet(struct exchange *x, struct json *json) {
    json_key(json, "limitsUnmet");
    json_array_open(json);
    for (size_t i = 0; x->directory && i < x->directory->cluster_count; i++) {
        const struct cluster_card *cluster = &x->directory->clusters[i];
        struct decided *decided =
            cluster->slot && exchange_sees(x, cluster) ? decided_slot_get(cluster->slot) : NULL;
        if (decided && decided->cluster->alarm[0]) {
            json_object_open(json);
            json_put_string(json, "cluster", cluster->key);
            json_put_string(json, "text", decided->cluster->alarm);
            json_put_time(json, "since", decided->cluster->alarm_since);
            json_object_close(json);
        }
        decided_release(decided);
    }
    json_array_close(json);
}

/* Whether an open route may tell what needs a token elsewhere. */
static bool reads(const struct exchange *x) {
    return x->authenticated && token_has(&x->token, TOKEN_READ);
}

/* False while a grid operator's box is missing, or does not state its limit. */
static bool all_boxes_heard(const struct directory *directory) {
    bool heard = true;
    struct operator_view *view = malloc(sizeof *view);
    for (size_t i = 0; i < directory->cluster_count && heard && view; i++)
        if (directory->clusters[i].box) {
            operator_slot_get(directory->clusters[i].box, view);
            heard = !view->alarm;
        }
    free(view);
    return heard;
}

static void put_boxes(struct exchange *x, struct json *json) {
    struct operator_view *view = malloc(sizeof *view);
    json_key(json, "gridOperatorsMissing");
    json_array_open(json);
    for (size_t i = 0; x->directory && i < x->directory->cluster_count && view; i++) {
        const struct cluster_card *cluster = &x->directory->clusters[i];
        if (!cluster->box || !exchange_sees(x, cluster))
            continue;
        operator_slot_get(cluster->box, view);
        if (!view->alarm)
            continue;
        json_object_open(json);
        json_put_string(json, "cluster", cluster->key);
        json_put_string(json, "state", operator_state_name(view->state));
        json_put_string(json, "text", view->text);
        json_put_time(json, "since", view->since);
        json_object_close(json);
    }
    json_array_close(json);
    free(view);
}

/* Those that a dead host, or a dead link, leaves with what they were told last. */
static void put_unguarded(struct exchange *x, struct json *json) {
    json_key(json, "withoutWatchdog");
    json_array_open(json);
    for (size_t i = 0; x->directory && i < x->directory->cluster_count; i++) {
        const struct cluster_card *cluster = &x->directory->clusters[i];
        for (size_t j = 0; j < cluster->device_count && exchange_sees(x, cluster); j++) {
            const struct device_card *card = x->directory->devices[cluster->first_device + j];
            struct flexibility flexibility;
            live_read(card->live, &flexibility);
            if (flexibility.watchdog != WATCHDOG_NONE)
                continue;
            json_object_open(json);
            json_put_string(json, "cluster", cluster->key);
            json_put_string(json, "device", card->key);
            json_put_boolean(json, "alarm", flexibility.unguarded);
            json_object_close(json);
        }
    }
    json_array_close(json);
}

/* What is wrong on this installation in words that hold paths and names of whatever account: for
 * those who see all of it. */
static void put_details(struct exchange *x, struct json *json, const char *store_why) {
    if (!reads(x) || !exchange_sees_host(x))
        return;
    json_put_known(json, "storeDetail", store_why);
    put_history(x, json);
    json_put_known(json, "scriptsOffDetail",
                   x->directory && x->directory->scripts_off ? x->directory->scripts_off : "");
    json_put_raw(json, "siteProblems",
                 x->directory && x->directory->site_problems ? x->directory->site_problems : "[]");
}

void api_ready(struct exchange *x) {
    char why[STORE_DETAIL_SIZE] = "";
    bool damaged = store_damaged(x->settings->store);
    bool store_fails = store_failing(x->settings->store, why, sizeof why);
    bool ready = x->directory && !store_fails;
    struct json *json = exchange_json(x, ready ? 200 : 503);
    json_object_open(json);
    if (!ready) {
        struct problem problem = {.status = 503, .instance = x->path, .request_id = x->request_id};
        snprintf(problem.detail, sizeof problem.detail, "%s",
                 damaged && x->directory
                     ? "The store is damaged: bounds are applied, but nothing is kept. "
                       "What to do: " STORE_DAMAGED_ADVICE "."
                 : damaged
                     ? "The host is starting and has not read its site file yet, so no bounds are "
                       "applied; the store is damaged. What to do: " STORE_DAMAGED_ADVICE "."
                 : x->directory ? "The store cannot write: bounds are applied, but nothing is kept."
                                : "The host is starting and has not read its site file yet.");
        x->content_type = PROBLEM_CONTENT_TYPE;
        exchange_header(x, "Retry-After", RETRY_AFTER);
        problem_put(&problem, json);
    }
    json_put_boolean(json, "ready", ready);
    json_put_string(json, "version", DERD_VERSION);
    json_put_time(json, "at", x->now.wall);
    json_put_boolean(json, "clockTrusted", x->now.trusted);
    json_put_boolean(json, "storeFailing", store_fails);
    json_put_boolean(json, "storeDamaged", damaged);
    if (x->directory) {
        const char *problems = x->directory->site_problems;
        json_put_boolean(json, "siteFine", !problems || strcmp(problems, "[]") == 0);
        json_put_boolean(json, "scriptsOff",
                         x->directory->scripts_off && x->directory->scripts_off[0]);
        json_put_boolean(json, "limitsKept", all_limits_kept(x->directory));
        json_put_boolean(json, "gridOperatorsHeard", all_boxes_heard(x->directory));
        json_put_time(json, "siteReadAt", x->directory->made_at);
        put_connections(json, x->directory);
    }
    if (reads(x)) {
        put_unmet(x, json);
        put_boxes(x, json);
        put_unguarded(x, json);
    }
    put_details(x, json, why);
    json_object_close(json);
}

void api_vocabulary(struct exchange *x) {
    exchange_json(x, 200);
    vocabulary_write(&x->body);
}
