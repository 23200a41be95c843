/* Many constraints of one device or cluster at once: each with an id replaces or creates, each
 * without is new; all of them or none, on disk together and in force in one turn. */
#include <stdio.h>

#include "api/change.h"
#include "api/drafts.h"
#include "api/handlers.h"
#include "api/present.h"
#include "base/log.h"

#define ON_DEVICE  ASK_ITEMS_MAXIMUM
#define ON_CLUSTER 20

#define RECEIPT_MAXIMUM ((size_t)128 * 1024)

/* For the receipt: as accepted, before it is known what they decide. */
static char *describe_all(const char *target_id, struct constraint *const *items, size_t count,
                          struct wall now) {
    struct buf text;
    struct json json;
    buf_init(&text, RECEIPT_MAXIMUM);
    json_start(&json, &text);
    json_object_open(&json);
    json_key(&json, "items");
    json_array_open(&json);
    for (size_t i = 0; i < count; i++) {
        json_object_open(&json);
        present_constraint_alone(&json, target_id, items[i], now);
        json_object_close(&json);
    }
    json_array_close(&json);
    json_object_close(&json);
    return buf_take(&text);
}

/* False with 403 that names each one that is above what the token may set. */
static bool may_set(struct exchange *x, const struct drafts *drafts) {
    struct report report;
    report_init(&report);
    for (size_t i = 0; i < drafts->count; i++) {
        char where[48];
        snprintf(where, sizeof where, "/constraints/%zu/priority", i);
        if (drafts->items[i].wish.priority > x->token.max_priority)
            report_add(&report, where, "%d is above %d, the highest that this token may set",
                       (int)drafts->items[i].wish.priority, (int)x->token.max_priority);
    }
    bool ok = report_empty(&report);
    if (!ok)
        exchange_problem_report(x, 403, &report,
                                "Not all priorities are granted to this token; nothing was "
                                "changed.");
    report_free(&report);
    return ok;
}

static void answer_batch(struct exchange *x, const struct change *change,
                         const struct ask_answer *answer) {
    int status = answer->result == ASK_NOT_DURABLE ? 202 : 200;
    bool dry_run = change->terms.dry_run;
    struct decided *decided = change_decided(x, change, answer, NULL);
    size_t created = 0;
    if (!decided)
        return;
    struct json *json = exchange_json(x, dry_run ? 200 : status);
    json_object_open(json);
    json_key(json, "items");
    json_array_open(json);
    for (size_t i = 0; i < answer->count; i++) {
        json_object_open(json);
        change_present(json, &change->target, decided, answer->items[i], x->now.wall);
        json_put_boolean(json, "created", answer->created[i]);
        json_object_close(json);
        created += answer->created[i];
    }
    json_array_close(json);
    json_put_integer(json, "created", (int64_t)created);
    json_put_integer(json, "replaced", (int64_t)(answer->count - created));
    if (dry_run) {
        json_put_boolean(json, "dryRun", true);
        json_put_integer(json, "wouldAnswer", status);
    }
    change_present_decision(json, &change->target, answer, decided);
    json_object_close(json);
    decided_release(decided);
}

static void put_all(struct exchange *x, struct change *change, const struct drafts *drafts) {
    struct ask_answer answer;
    change->terms.batch = true;
    x->receipt.status = 200;
    change_put(x, change, drafts->items, drafts->count, describe_all, &answer);
    if (change_accepted(x, &answer, "")) {
        for (size_t i = 0; i < answer.count && !change->terms.dry_run; i++)
            log_info("api", "%s put constraint %s on %s %s (request %s)", change->asker.created_by,
                     answer.items[i]->id, change->target.kind, change->target.key, x->request_id);
        answer_batch(x, change, &answer);
    }
    ask_answer_free(&answer);
}

void api_constraint_batch(struct exchange *x) {
    struct change change;
    struct drafts drafts;
    struct report report;
    if (!change_begin(x, &change))
        return;
    struct door door = change_door(x, &change.target);
    report_init(&report);
    drafts_check_members(x->tree, "constraints", &report);
    bool ok =
        drafts_read(json_object_get(x->tree, "constraints"), 1,
                    change.target.device ? ON_DEVICE : ON_CLUSTER, &door, x->now, &drafts, &report);
    if (!ok || !report_empty(&report))
        exchange_problem_report(x, 422, &report,
                                "The constraints cannot be accepted, and none was; errors lists "
                                "every mistake of all of them.");
    else if (may_set(x, &drafts))
        put_all(x, &change, &drafts);
    drafts_free(&drafts);
    report_free(&report);
}
