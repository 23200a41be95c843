#include "api/change.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/idempotency.h"
#include "api/precondition.h"
#include "api/present.h"
#include "api/witness.h"
#include "outlook.h"
#include "preview.h"

#define PATIENCE_MS 5000

size_t change_find(const struct decided *decided, const char *id) {
    for (size_t i = 0; i < decided->count; i++)
        if (decided->items[i].constraint && strcasecmp(decided->items[i].constraint->id, id) == 0)
            return i;
    return SIZE_MAX;
}

void change_lower_id(const char *from, char id[ID_SIZE]) {
    size_t i = 0;
    for (; from[i] && i < ID_SIZE - 1; i++)
        id[i] = (char)(from[i] >= 'A' && from[i] <= 'F' ? from[i] - 'A' + 'a' : from[i]);
    id[i] = '\0';
}

void change_answer_missing(struct exchange *x, const char *id) {
    exchange_problem(x, 404,
                     "This %s has no constraint \"%.60s\"; it may have ended or been removed.",
                     x->step_device ? "device" : "cluster", id);
}

/* --- before ---------------------------------------------------------------------------------- */

bool change_begin(struct exchange *x, struct change *change) {
    *change = (struct change){.asker.max_priority = x->token.max_priority};
    exchange_creator(x, change->asker.created_by);
    witness_origin(x, 0, &change->asker.origin);
    return exchange_target(x, &change->target) && exchange_dry_run(x, &change->terms.dry_run);
}

bool change_expect(struct exchange *x, struct change *change, const char *id) {
    if (!x->request.if_match && !x->request.if_none_match)
        return true;
    struct decided *decided = exchange_decided(x, &change->target);
    if (!decided)
        return false;
    size_t index = change_find(decided, id);
    char version[CONSTRAINT_VERSION_SIZE] = "";
    if (index != SIZE_MAX)
        constraint_version(decided->items[index].constraint, version);
    decided_release(decided);
    bool there = index != SIZE_MAX;
    if (!precondition_check(x, there ? version : NULL))
        return false;
    const char *must = x->request.if_match;
    if (!there)
        change->terms.expect = EXPECT_ABSENT;
    else if (must && must[strspn(must, " \t")] == '*')
        change->terms.expect = EXPECT_PRESENT;
    else
        change->terms.expect = EXPECT_VERSION;
    memcpy(change->terms.version, version, sizeof version);
    return true;
}

struct door change_door(const struct exchange *x, const struct target *target) {
    struct door door = {.horizon_ms = x->directory->horizon_ms};
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

/* --- asking ---------------------------------------------------------------------------------- */

void change_put(struct exchange *x, struct change *change, const struct constraint *drafts,
                size_t count, ask_describe *describe, struct ask_answer *answer) {
    if (x->keyed) {
        change->terms.receipt = &x->receipt;
        change->terms.describe = describe;
    }
    ask_put_constraints(x->settings->engine, change->target.id, drafts, count, &change->asker,
                        &change->terms, PATIENCE_MS, answer);
    x->now = clock_now(x->settings->clock);
}

void change_remove(struct exchange *x, struct change *change, const char *id,
                   struct ask_answer *answer) {
    ask_remove_constraint(x->settings->engine, change->target.id, id, &change->asker,
                          &change->terms, PATIENCE_MS, answer);
    x->now = clock_now(x->settings->clock);
}

/* The request with this key was done by one whose answer came too late for its client. */
static void answer_repeated(struct exchange *x) {
    if (idempotency_replay(x))
        return;
    exchange_problem(x, 409,
                     "A request with this Idempotency-Key is still under way; repeat it in a "
                     "moment to see its answer.");
    exchange_header(x, "Retry-After", "1");
}

static const char *detail_or(const struct ask_answer *answer, const char *otherwise) {
    return answer->detail[0] ? answer->detail : otherwise;
}

bool change_accepted(struct exchange *x, const struct ask_answer *answer, const char *id) {
    switch (answer->result) {
    case ASK_CREATED:
    case ASK_REPLACED:
    case ASK_REMOVED:
    case ASK_NOT_DURABLE:
        return true;
    case ASK_INVALID:
        exchange_problem_report(x, 422, &answer->mistakes,
                                detail_or(answer, "The constraint cannot be accepted."));
        break;
    case ASK_FORBIDDEN:
        exchange_problem(x, 403, "%s", detail_or(answer, "This token may not do that."));
        break;
    case ASK_NOT_FOUND:
        if (answer->detail[0])
            exchange_problem(x, 404, "%s", answer->detail);
        else
            change_answer_missing(x, id);
        break;
    case ASK_CONFLICT:
        exchange_problem(x, 409, "%s", detail_or(answer, "Something stands against that."));
        break;
    case ASK_CHANGED:
        precondition_failed(x, answer->version[0] ? answer->version : NULL);
        break;
    case ASK_REPEATED:
        answer_repeated(x);
        break;
    case ASK_STORE_FAILED:
        exchange_store_failed(x, detail_or(answer, "The store cannot write; nothing was applied."));
        break;
    case ASK_BUSY:
        exchange_unavailable(x, 2,
                             "The host did not answer in time; the change may still be applied. "
                             "Look at the constraints before trying again.");
        break;
    }
    return false;
}

/* --- after ----------------------------------------------------------------------------------- */

static bool is_quarantined(const struct target *target) {
    struct flexibility flexibility;
    if (!target->device)
        return false;
    live_read(target->device->live, &flexibility);
    return flexibility.connection == CONNECTION_QUARANTINED;
}

struct decided *change_decided(struct exchange *x, const struct change *change,
                               const struct ask_answer *answer, const char *removed) {
    struct decided *decided = target_decided(&change->target);
    if (!decided)
        exchange_unavailable(x, 5,
                             change->terms.dry_run
                                 ? "The host is short of memory."
                                 : "It is done, but the host is short of memory to say what it "
                                   "decided. Look at the constraints before trying again.");
    if (!decided || !change->terms.dry_run)
        return decided;
    char leave_out[ASK_ITEMS_MAXIMUM + 1][ID_SIZE];
    size_t count = answer->makes_way_count;
    memcpy(leave_out, answer->makes_way, count * ID_SIZE);
    if (removed)
        snprintf(leave_out[count++], ID_SIZE, "%s", removed);
    const struct preview_change what = {.add = answer->items,
                                        .add_count = answer->count,
                                        .leave_out = (const char(*)[ID_SIZE])leave_out,
                                        .leave_out_count = count,
                                        .without_sets = is_quarantined(&change->target)};
    enum err err;
    struct decided *then = preview_suppose(decided, &what, x->now, &err);
    decided_release(decided);
    if (!then)
        exchange_unavailable(x, 5,
                             err == ERR_LIMIT ? "More would be in force than can be looked at."
                                              : "The host is short of memory.");
    return then;
}

void change_present(struct json *json, const struct target *target, const struct decided *decided,
                    const struct constraint *alone, struct wall now) {
    size_t index = change_find(decided, alone->id);
    if (index == SIZE_MAX)
        present_constraint_alone(json, target->id, alone, now);
    else
        present_constraint(json, target->id, decided, index, now);
    json_put_boolean(json, "noEffect", index != SIZE_MAX && outlook_no_effect(decided, index));
}

void change_present_decision(struct json *json, const struct target *target,
                             const struct ask_answer *answer, const struct decided *decided) {
    json_key(json, "madeWay");
    json_array_open(json);
    for (size_t i = 0; i < answer->makes_way_count; i++)
        json_write_string(json, answer->makes_way[i]);
    json_array_close(json);
    json_key(json, "decision");
    json_object_open(json);
    present_decision(json, decided);
    json_object_close(json);
    if (target->device) {
        struct flexibility flexibility;
        live_read(target->device->live, &flexibility);
        present_command(json, &flexibility, target->device);
    }
}

void change_location(const struct target *target, const char *id, char *location, size_t size) {
    snprintf(location, size, "/v1/clusters/%s%s%s/constraints/%s", target->cluster->id,
             target->device ? "/devices/" : "", target->device ? target->id : "", id);
}
