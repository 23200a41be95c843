/* Constraints of one device or cluster: list, put in, look at, take out. Reading shows the
 * published snapshot; changing asks the engine and waits until it is on disk and decided. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/draft.h"
#include "api/handlers.h"
#include "api/list.h"
#include "api/present.h"
#include "ask.h"
#include "base/log.h"
#include "outlook.h"

#define PATIENCE_MS 5000

/* --- reading --------------------------------------------------------------------------------- */

struct constraint_list {
    const struct decided *decided;
    const char *target_id;
    struct wall now;
};

static const char *constraint_id(const void *context, size_t index) {
    const struct decided_item *item =
        &((const struct constraint_list *)context)->decided->items[index];
    return item->constraint ? item->constraint->id : "";
}

static bool constraint_shown(const void *context, size_t index) {
    return ((const struct constraint_list *)context)->decided->items[index].constraint != NULL;
}

static void constraint_write(const void *context, size_t index, struct json *json) {
    const struct constraint_list *list = context;
    json_object_open(json);
    present_constraint(json, list->target_id, list->decided, index, list->now);
    json_object_close(json);
}

void api_constraint_list(struct exchange *x) {
    struct target target;
    if (!exchange_target(x, &target))
        return;
    struct decided *decided = target_decided(&target);
    struct constraint_list list = {decided, target.id, x->now.wall};
    list_answer(x,
                &(struct list_source){.context = &list,
                                      .count = decided->count,
                                      .id = constraint_id,
                                      .shown = constraint_shown,
                                      .write = constraint_write},
                LIST_LIMIT_DEFAULT);
    decided_release(decided);
}

/* Index of the constraint with this id (any case), SIZE_MAX: not there. */
static size_t find_item(const struct decided *decided, const char *id) {
    for (size_t i = 0; i < decided->count; i++)
        if (decided->items[i].constraint && strcasecmp(decided->items[i].constraint->id, id) == 0)
            return i;
    return SIZE_MAX;
}

static void answer_missing(struct exchange *x, const char *id) {
    exchange_problem(x, 404,
                     "This %s has no constraint \"%.60s\"; it may have ended or been removed.",
                     x->step_device ? "device" : "cluster", id);
}

void api_constraint_get(struct exchange *x) {
    struct target target;
    if (!exchange_target(x, &target))
        return;
    struct decided *decided = target_decided(&target);
    size_t index = find_item(decided, x->step_name);
    if (index == SIZE_MAX) {
        answer_missing(x, x->step_name);
    } else {
        struct constraint_list list = {decided, target.id, x->now.wall};
        constraint_write(&list, index, exchange_json(x, 200));
    }
    decided_release(decided);
}

/* --- changing -------------------------------------------------------------------------------- */

/* Ids are kept in lower case; a UUID is taken in any. */
static void lower_id(const char *from, char id[ID_SIZE]) {
    size_t i = 0;
    for (; from[i] && i < ID_SIZE - 1; i++)
        id[i] = (char)(from[i] >= 'A' && from[i] <= 'F' ? from[i] - 'A' + 'a' : from[i]);
    id[i] = '\0';
}

static struct asker asker_of(const struct exchange *x) {
    struct asker asker = {.max_priority = x->token.max_priority};
    snprintf(asker.created_by, sizeof asker.created_by, "token:%s", x->token.name);
    return asker;
}

/* Answers for every result that is no success; true when it was one. */
static bool accepted(struct exchange *x, const struct ask_answer *answer, const char *id) {
    switch (answer->result) {
    case ASK_CREATED:
    case ASK_REPLACED:
    case ASK_REMOVED:
    case ASK_NOT_DURABLE:
        return true;
    case ASK_INVALID:
        exchange_problem_report(x, 422, &answer->mistakes,
                                answer->detail[0] ? answer->detail
                                                  : "The constraint cannot be accepted.");
        break;
    case ASK_FORBIDDEN:
        exchange_problem(x, 403, "%s",
                         answer->detail[0] ? answer->detail : "This token may not do that.");
        break;
    case ASK_NOT_FOUND:
        if (answer->detail[0])
            exchange_problem(x, 404, "%s", answer->detail);
        else
            answer_missing(x, id);
        break;
    case ASK_CONFLICT:
        exchange_problem(x, 409, "%s",
                         answer->detail[0] ? answer->detail : "Something stands against that.");
        break;
    case ASK_STORE_FAILED:
        exchange_unavailable(x, 5,
                             answer->detail[0] ? answer->detail
                                               : "The store cannot write; nothing was applied.");
        break;
    case ASK_BUSY:
        exchange_unavailable(x, 2,
                             "The host did not answer in time; the change may still be applied. "
                             "Look at the constraints before trying again.");
        break;
    }
    return false;
}

/* The constraint as accepted, with what was decided by it. */
static void answer_constraint(struct exchange *x, const struct target *target,
                              struct decided *decided, const struct ask_answer *answer) {
    const char *id = answer->constraint->id;
    size_t index = find_item(decided, id);
    int status = answer->result == ASK_CREATED ? 201 : answer->result == ASK_REPLACED ? 200 : 202;
    struct json *json = exchange_json(x, status);
    json_object_open(json);
    if (index == SIZE_MAX)
        present_constraint_alone(json, target->id, answer->constraint, x->now.wall);
    else
        present_constraint(json, target->id, decided, index, x->now.wall);
    json_put_boolean(json, "noEffect", index != SIZE_MAX && outlook_no_effect(decided, index));
    json_key(json, "decision");
    json_object_open(json);
    present_decision(json, decided);
    json_object_close(json);
    if (target->device) {
        struct flexibility flexibility;
        live_read(&target->device->live, &flexibility);
        present_command(json, &flexibility, target->device);
    }
    json_object_close(json);
}

static void put_location(struct exchange *x, const struct target *target, const char *id) {
    char location[200];
    snprintf(location, sizeof location, "/v1/clusters/%s%s%s/constraints/%s", target->cluster->id,
             target->device ? "/devices/" : "", target->device ? target->id : "", id);
    exchange_header(x, "Location", location);
}

static void ask_put(struct exchange *x, const struct target *target,
                    const struct constraint *draft) {
    struct ask_answer answer = {0};
    struct asker asker = asker_of(x);
    ask_put_constraint(x->settings->engine, target->id, draft, &asker, PATIENCE_MS, &answer);
    x->now = clock_now(x->settings->clock);
    if (accepted(x, &answer, draft->id)) {
        struct decided *decided = target_decided(target);
        log_info("api", "%s put constraint %s on %s %s (request %s)", asker.created_by,
                 answer.constraint->id, target->kind, target->key, x->request_id);
        answer_constraint(x, target, decided, &answer);
        if (answer.result != ASK_REPLACED)
            put_location(x, target, answer.constraint->id);
        decided_release(decided);
    }
    ask_answer_free(&answer);
}

static struct door target_door(const struct exchange *x, const struct target *target) {
    struct door door = {.horizon_ms = x->settings->horizon_ms};
    if (!target->device) {
        door.cluster = true;
        door.sees_grid = target->cluster->sees_grid;
        return door;
    }
    door.device_type = (int)target->device->type;
    door.has_soc = target->device->has_soc;
    door.controllable = target->device->controllable;
    return door;
}

static void put_constraint(struct exchange *x, const char *id) {
    struct target target;
    if (!exchange_target(x, &target))
        return;
    struct constraint draft;
    struct report report;
    struct door door = target_door(x, &target);
    report_init(&report);
    if (!draft_read(x->tree, &door, x->now, &draft, &report)) {
        exchange_problem_report(x, 422, &report,
                                "The constraint cannot be accepted; errors lists every mistake.");
    } else if (draft.wish.priority > x->token.max_priority) {
        exchange_problem(x, 403,
                         "Priority %d is above what this token may set; at most %d is granted to "
                         "it.",
                         (int)draft.wish.priority, (int)x->token.max_priority);
    } else {
        if (id)
            lower_id(id, draft.id);
        ask_put(x, &target, &draft);
    }
    report_free(&report);
}

void api_constraint_post(struct exchange *x) {
    put_constraint(x, NULL);
}

void api_constraint_put(struct exchange *x) {
    if (!uuid_valid(x->step_name)) {
        exchange_problem(x, 400,
                         "The id of a constraint must be a UUID like "
                         "\"6ba7b810-9dad-41d1-80b4-00c04fd430c8\", got \"%.60s\".",
                         x->step_name);
        return;
    }
    put_constraint(x, x->step_name);
}

void api_constraint_delete(struct exchange *x) {
    struct target target;
    if (!exchange_target(x, &target))
        return;
    if (!uuid_valid(x->step_name)) {
        answer_missing(x, x->step_name);
        return;
    }
    char id[ID_SIZE];
    lower_id(x->step_name, id);
    struct ask_answer answer = {0};
    struct asker asker = asker_of(x);
    ask_remove_constraint(x->settings->engine, target.id, id, &asker, PATIENCE_MS, &answer);
    if (accepted(x, &answer, id)) {
        log_info("api", "%s removed constraint %s from %s %s (request %s)", asker.created_by, id,
                 target.kind, target.key, x->request_id);
        if (answer.result == ASK_NOT_DURABLE) {
            struct json *json = exchange_json(x, 202);
            json_object_open(json);
            json_put_string(json, "id", id);
            json_put_boolean(json, "durable", false);
            json_object_close(json);
        } else {
            exchange_empty(x, 204);
        }
    }
    ask_answer_free(&answer);
}
