/* Constraints of one device or cluster: list, put in, look at, take out. Reading shows the
 * published snapshot; changing asks the engine and waits until it is on disk and decided. Many at
 * once: api_batch.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/change.h"
#include "api/draft.h"
#include "api/handlers.h"
#include "api/list.h"
#include "api/precondition.h"
#include "api/present.h"
#include "base/log.h"

#define RECEIPT_MAXIMUM 4096

/* --- reading --------------------------------------------------------------------------------- */

struct constraint_list {
    const struct decided *decided;
    const char *target_id;
    struct wall now;
    const char *created_by; /* filters; NULL: any */
    bool by_status;
    enum constraint_status status;
    int32_t min_priority, max_priority;
};

static const char *constraint_id(const void *context, size_t index) {
    const struct decided_item *item =
        &((const struct constraint_list *)context)->decided->items[index];
    return item->constraint ? item->constraint->id : "";
}

static bool constraint_shown(const void *context, size_t index) {
    const struct constraint_list *list = context;
    const struct decided_item *item = &list->decided->items[index];
    const struct constraint *constraint = item->constraint;
    return constraint && constraint->wish.priority >= list->min_priority &&
           constraint->wish.priority <= list->max_priority &&
           (!list->created_by || strcmp(constraint->created_by, list->created_by) == 0) &&
           (!list->by_status || present_status(item, list->now) == list->status);
}

static void constraint_write(const void *context, size_t index, struct json *json) {
    const struct constraint_list *list = context;
    json_object_open(json);
    present_constraint(json, list->target_id, list->decided, index, list->now);
    json_object_close(json);
}

static bool read_priority(struct exchange *x, const char *name, int32_t *priority) {
    const char *text = request_query(&x->request, name);
    if (!text)
        return true;
    char *end;
    long long value = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || strlen(text) > 10 || value > PRIORITY_MAXIMUM) {
        exchange_problem(x, 400, "%s must be a whole number from 0 to %d, got \"%.40s\".", name,
                         PRIORITY_MAXIMUM, text);
        return false;
    }
    *priority = (int32_t)value;
    return true;
}

static bool read_status(struct exchange *x, struct constraint_list *list) {
    const char *text = request_query(&x->request, "status");
    if (!text)
        return true;
    list->by_status = true;
    for (int i = CONSTRAINT_SCHEDULED; i <= CONSTRAINT_EXPIRED; i++)
        if (strcmp(constraint_status_name((enum constraint_status)i), text) == 0) {
            list->status = (enum constraint_status)i;
            return true;
        }
    exchange_problem(x, 400, "status must be scheduled, inForce or expired, got \"%.40s\".", text);
    return false;
}

void api_constraint_list(struct exchange *x) {
    struct target target;
    struct constraint_list list = {.now = x->now.wall,
                                   .created_by = request_query(&x->request, "createdBy"),
                                   .max_priority = PRIORITY_MAXIMUM};
    if (!exchange_target(x, &target) || !read_status(x, &list) ||
        !read_priority(x, "minPriority", &list.min_priority) ||
        !read_priority(x, "maxPriority", &list.max_priority))
        return;
    struct decided *decided = exchange_decided(x, &target);
    if (!decided)
        return;
    list.decided = decided;
    list.target_id = target.id;
    list_answer(x,
                &(struct list_source){.context = &list,
                                      .count = decided->count,
                                      .id = constraint_id,
                                      .shown = constraint_shown,
                                      .write = constraint_write},
                LIST_LIMIT_DEFAULT);
    decided_release(decided);
}

void api_constraint_get(struct exchange *x) {
    struct target target;
    if (!exchange_target(x, &target))
        return;
    struct decided *decided = exchange_decided(x, &target);
    if (!decided)
        return;
    size_t index = change_find(decided, x->step_name);
    if (index == SIZE_MAX) {
        change_answer_missing(x, x->step_name);
    } else {
        struct constraint_list list = {
            .decided = decided, .target_id = target.id, .now = x->now.wall};
        constraint_version(decided->items[index].constraint, x->version);
        constraint_write(&list, index, exchange_json(x, 200));
    }
    decided_release(decided);
}

/* --- changing -------------------------------------------------------------------------------- */

/* For the receipt: as accepted, before it is known what it decides. */
static char *describe_one(const char *target_id, struct constraint *const *items, size_t count,
                          struct wall now) {
    struct buf text;
    struct json json;
    buf_init(&text, RECEIPT_MAXIMUM);
    json_start(&json, &text);
    json_object_open(&json);
    for (size_t i = 0; i < count; i++)
        present_constraint_alone(&json, target_id, items[i], now);
    json_object_close(&json);
    return buf_take(&text);
}

static int status_of(const struct ask_answer *answer) {
    return answer->result == ASK_CREATED ? 201 : answer->result == ASK_REPLACED ? 200 : 202;
}

/* The constraint as accepted, with what was decided by it. */
static void answer_constraint(struct exchange *x, const struct change *change,
                              const struct ask_answer *answer) {
    const struct constraint *constraint = answer->items[0];
    bool dry_run = change->terms.dry_run;
    struct decided *decided = change_decided(x, change, answer, NULL);
    if (!decided)
        return;
    struct json *json = exchange_json(x, dry_run ? 200 : status_of(answer));
    json_object_open(json);
    change_present(json, &change->target, decided, constraint, x->now.wall);
    if (dry_run) {
        json_put_boolean(json, "dryRun", true);
        json_put_integer(json, "wouldAnswer", status_of(answer));
    }
    change_present_decision(json, &change->target, answer, decided);
    json_object_close(json);
    decided_release(decided);
    if (dry_run)
        return;
    char version[CONSTRAINT_VERSION_SIZE];
    char location[200];
    constraint_version(constraint, version);
    precondition_tell(x, version);
    change_location(&change->target, constraint->id, location, sizeof location);
    if (answer->result != ASK_REPLACED)
        exchange_header(x, "Location", location);
}

static void ask_put(struct exchange *x, struct change *change, struct constraint *draft) {
    struct ask_answer answer;
    if (x->keyed) { /* the receipt names it before the engine has it */
        uuid_make(draft->id);
        change_location(&change->target, draft->id, x->receipt.location,
                        sizeof x->receipt.location);
        x->receipt.status = 201;
    }
    change_put(x, change, draft, 1, describe_one, &answer);
    if (change_accepted(x, &answer, draft->id)) {
        if (!change->terms.dry_run)
            log_info("api", "%s put constraint %s on %s %s (request %s)", change->asker.created_by,
                     answer.items[0]->id, change->target.kind, change->target.key, x->request_id);
        answer_constraint(x, change, &answer);
    }
    ask_answer_free(&answer);
}

static void put_constraint(struct exchange *x, const char *id) {
    struct change change;
    struct constraint draft;
    struct report report;
    if (!change_begin(x, &change) || (id && !change_expect(x, &change, id)))
        return;
    struct door door = change_door(x, &change.target);
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
            change_lower_id(id, draft.id);
        ask_put(x, &change, &draft);
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

static void answer_removed(struct exchange *x, const struct change *change, const char *id,
                           const struct ask_answer *answer) {
    if (answer->result == ASK_NOT_DURABLE) {
        struct json *json = exchange_json(x, 202);
        json_object_open(json);
        json_put_string(json, "id", id);
        json_put_boolean(json, "durable", false);
        json_object_close(json);
        return;
    }
    exchange_empty(x, 204);
    if (!change->terms.dry_run)
        return;
    struct decided *decided = change_decided(x, change, answer, id);
    if (!decided)
        return;
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_put_string(json, "id", id);
    json_put_boolean(json, "dryRun", true);
    json_put_integer(json, "wouldAnswer", 204);
    change_present_decision(json, &change->target, answer, decided);
    json_object_close(json);
    decided_release(decided);
}

void api_constraint_delete(struct exchange *x) {
    struct change change;
    if (!change_begin(x, &change))
        return;
    if (!uuid_valid(x->step_name)) {
        change_answer_missing(x, x->step_name);
        return;
    }
    if (!change_expect(x, &change, x->step_name))
        return;
    char id[ID_SIZE];
    struct ask_answer answer;
    change_lower_id(x->step_name, id);
    change_remove(x, &change, id, &answer);
    if (change_accepted(x, &answer, id)) {
        if (!change.terms.dry_run)
            log_info("api", "%s removed constraint %s from %s %s (request %s)",
                     change.asker.created_by, id, change.target.kind, change.target.key,
                     x->request_id);
        answer_removed(x, &change, id, &answer);
    }
    ask_answer_free(&answer);
}
