/* What would be: the timeline of a device or cluster with constraints that nobody has put, and
 * without some that somebody has. By the same pure functions as live; writes nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/change.h"
#include "api/drafts.h"
#include "api/handlers.h"
#include "api/present.h"
#include "outlook.h"
#include "preview.h"

#define ADD_MAXIMUM       ASK_ITEMS_MAXIMUM
#define LEAVE_OUT_MAXIMUM CONSTRAINTS_PER_DEVICE
#define BODY_ENOUGH       (REPLY_MAXIMUM / 4 * 3) /* then the timeline is cut */

struct preview { /* one request */
    struct target target;
    struct drafts drafts;
    struct constraint *added[ADD_MAXIMUM];
    size_t added_count;
    char (*leave_out)[ID_SIZE];
    size_t leave_out_count;
    bool has_until;
    struct wall until;
};

/* --- the body -------------------------------------------------------------------------------- */

static void read_leave_out(const json_t *list, const struct decided *decided,
                           struct preview *preview, struct report *report) {
    size_t count = json_array_size(list);
    if (!list || json_is_null(list))
        return;
    if (!json_is_array(list) || count > LEAVE_OUT_MAXIMUM) {
        report_add(report, "/leaveOut", "expected a list of at most %d ids of constraints",
                   LEAVE_OUT_MAXIMUM);
        return;
    }
    preview->leave_out = calloc(count + 1, sizeof *preview->leave_out);
    for (size_t i = 0; i < count && preview->leave_out; i++) {
        const json_t *item = json_array_get(list, i);
        size_t index =
            json_is_string(item) ? change_find(decided, json_string_value(item)) : SIZE_MAX;
        char where[32];
        snprintf(where, sizeof where, "/leaveOut/%zu", i);
        if (index == SIZE_MAX)
            report_add(report, where, "expected the id of a constraint that is there");
        else
            memcpy(preview->leave_out[preview->leave_out_count++],
                   decided->items[index].constraint->id, ID_SIZE);
    }
}

static void read_until(const struct exchange *x, struct preview *preview, struct report *report) {
    const json_t *field = json_object_get(x->tree, "until");
    int64_t horizon_ms = x->directory->horizon_ms;
    if (!field || json_is_null(field))
        return;
    preview->has_until =
        json_is_string(field) &&
        wall_parse(json_string_value(field), json_string_length(field), &preview->until);
    if (!preview->has_until)
        report_add(report, "/until", "expected a moment like \"2030-01-31T18:00:00Z\"");
    else if (preview->until.ms <= x->now.wall.ms || preview->until.ms > x->now.wall.ms + horizon_ms)
        report_add(report, "/until", "expected a moment that is ahead, at most %g h",
                   (double)horizon_ms / 3600000.0);
}

static uint64_t highest_rank(const struct decided *decided) {
    uint64_t rank = 0;
    for (size_t i = 0; i < decided->count; i++) {
        const struct constraint *constraint = decided->items[i].constraint;
        if (constraint && constraint->wish.rank > rank)
            rank = constraint->wish.rank;
    }
    return rank;
}

/* As they would be accepted now: later than all that is there, or in the place of what they
 * replace. */
static bool make_constraints(const struct exchange *x, const struct decided *decided,
                             struct preview *preview) {
    uint64_t rank = highest_rank(decided);
    for (size_t i = 0; i < preview->drafts.count; i++) {
        struct constraint *draft = &preview->drafts.items[i];
        size_t there = draft->id[0] ? change_find(decided, draft->id) : SIZE_MAX;
        if (!draft->id[0])
            uuid_make(draft->id);
        draft->wish.rank = there == SIZE_MAX ? ++rank : decided->items[there].constraint->wish.rank;
        draft->created_at = x->now.wall;
        exchange_creator(x, draft->created_by);
        preview->added[i] = constraint_new(draft);
        if (!preview->added[i])
            return false;
        preview->added_count++;
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void put_losers(struct json *json, const struct decided *then) {
    json_key(json, "losers");
    json_array_open(json);
    for (size_t i = 0; i < then->count; i++) {
        const struct decided_item *item = &then->items[i];
        if (!item->constraint || !item->in_force || item->verdict.outcome == OUTCOME_APPLIED)
            continue;
        json_object_open(json);
        json_put_string(json, "id", item->constraint->id);
        json_put_integer(json, "priority", item->constraint->wish.priority);
        json_put_string(json, "createdBy", item->constraint->created_by);
        present_outcome(json, then, i);
        json_object_close(json);
    }
    json_array_close(json);
}

static bool put_segment(void *context, struct wall from, struct wall until,
                        const struct decided *then) {
    struct exchange *x = context;
    struct json *json = &x->json;
    json_object_open(json);
    json_put_time(json, "from", from);
    json_put_time(json, "until", until);
    present_decision(json, then);
    put_losers(json, then);
    json_object_close(json);
    return x->body.length < BODY_ENOUGH;
}

static void put_added(struct exchange *x, const struct preview *preview,
                      const struct decided *then) {
    json_key(&x->json, "constraints");
    json_array_open(&x->json);
    for (size_t i = 0; i < preview->added_count; i++) {
        json_object_open(&x->json);
        change_present(&x->json, &preview->target, then, preview->added[i], x->now.wall);
        json_object_close(&x->json);
    }
    json_array_close(&x->json);
}

static struct wall end_of(const struct exchange *x, const struct preview *preview,
                          const struct decided *then) {
    struct wall most = {x->now.wall.ms + x->directory->horizon_ms};
    struct wall last = preview_last(then);
    if (preview->has_until)
        return preview->until;
    if (last.ms <= x->now.wall.ms) /* nothing will change */
        return most;
    return last.ms < most.ms ? last : most;
}

static void answer_preview(struct exchange *x, const struct preview *preview,
                           const struct decided *then, bool without_sets) {
    struct wall end = end_of(x, preview, then);
    struct wall reached = then->at.wall;
    struct json *json = exchange_json(x, 200);
    json_object_open(json);
    json_put_string(json, preview->target.device ? "deviceId" : "clusterId", preview->target.id);
    json_put_time(json, "at", then->at.wall);
    json_put_boolean(json, "clockTrusted", then->at.trusted);
    json_put_boolean(json, "controllable", then->has_decision);
    if (preview->target.device) {
        /* What is taken to stay as it is. */
        json_put_double(json, "stateOfCharge",
                        preview->target.device->has_soc ? then->soc : (double)NAN);
        present_ranges(json, "allowedRanges", &then->allowed);
    }
    put_added(x, preview, then);
    json_key(json, "segments");
    json_array_open(json);
    enum err err = preview_walk(then, end, without_sets, put_segment, x, &reached);
    json_array_close(json);
    json_put_time(json, "until", err == ERR_NOT_FOUND ? end : reached);
    json_put_boolean(json, "truncated", err != ERR_NOT_FOUND && reached.ms < end.ms);
    json_object_close(json);
    if (err == ERR_MEMORY)
        exchange_unavailable(x, 5, "The host is short of memory.");
}

static void suppose(struct exchange *x, struct preview *preview, const struct decided *decided) {
    struct flexibility flexibility = {.connection = CONNECTION_ONLINE};
    enum err err = ERR_MEMORY;
    struct decided *then = NULL;
    if (preview->target.device)
        live_read(preview->target.device->live, &flexibility);
    if (make_constraints(x, decided, preview)) {
        const struct preview_change change = {
            .add = preview->added,
            .add_count = preview->added_count,
            .leave_out = (const char(*)[ID_SIZE])preview->leave_out,
            .leave_out_count = preview->leave_out_count,
            .without_sets = flexibility.connection == CONNECTION_QUARANTINED};
        then = preview_suppose(decided, &change, x->now, &err);
    }
    if (then) {
        answer_preview(x, preview, then, flexibility.connection == CONNECTION_QUARANTINED);
        decided_release(then);
    } else if (err == ERR_LIMIT) {
        exchange_problem(x, 409, "More would be in force than can be looked at.");
    } else {
        exchange_unavailable(x, 5, "The host is short of memory.");
    }
}

void api_effective_preview(struct exchange *x) {
    struct preview preview = {0};
    struct report report;
    if (!exchange_target(x, &preview.target))
        return;
    struct door door = change_door(x, &preview.target);
    struct decided *decided = exchange_decided(x, &preview.target);
    if (!decided)
        return;
    report_init(&report);
    drafts_check_members(x->tree, "constraints leaveOut until", &report);
    (void)!drafts_read(json_object_get(x->tree, "constraints"), 0, ADD_MAXIMUM, &door, x->now,
                       &preview.drafts, &report);
    read_leave_out(json_object_get(x->tree, "leaveOut"), decided, &preview, &report);
    read_until(x, &preview, &report);
    if (report_empty(&report))
        suppose(x, &preview, decided);
    else
        exchange_problem_report(x, 422, &report,
                                "The preview cannot be made; errors lists every mistake.");
    for (size_t i = 0; i < preview.added_count; i++)
        constraint_release(preview.added[i]);
    free(preview.leave_out);
    drafts_free(&preview.drafts);
    decided_release(decided);
    report_free(&report);
}
