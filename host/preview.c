#include "preview.h"

#include <stdlib.h>
#include <string.h>

#include "outlook.h"

/* --- one moment ------------------------------------------------------------------------------ */

struct room { /* memory of one walk */
    struct wish wishes[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    size_t index[ARBITER_WISHES]; /* of each wish: its item */
    struct limit_wish limits[ARBITER_WISHES];
    struct limits_room limits_room;
};

static int item_of(const struct room *room, int by) {
    return by >= 0 ? (int)room->index[by] : by;
}

static size_t gather(const struct decided *decided, struct room *room) {
    size_t count = 0;
    for (size_t i = 0; i < decided->count && count < ARBITER_WISHES; i++) {
        const struct decided_item *item = &decided->items[i];
        if (!item->in_force)
            continue;
        struct wish *wish = &room->wishes[count];
        *wish = item->constraint ? item->constraint->wish : decided->fallback;
        wish->has_set = wish->has_set && item->set_in_force;
        wish->min_gate_closed = item->min_gate_closed;
        wish->max_gate_closed = item->max_gate_closed;
        if (decided->cluster)
            room->limits[count] = limit_wish_of(wish, item->constraint);
        room->index[count++] = i;
    }
    return count;
}

static void decide_device(struct decided *decided, struct room *room, size_t count) {
    struct decision *decision = &decided->decision;
    struct decide_input input = {.allowed = &decided->allowed,
                                 .wishes = room->wishes,
                                 .wish_count = count,
                                 .soc = decided->soc};
    decide(&input, decision, room->verdicts);
    decision->set_by = item_of(room, decision->set_by);
    decision->min_by = item_of(room, decision->min_by);
    decision->max_by = item_of(room, decision->max_by);
    decision->walked_min_by = item_of(room, decision->walked_min_by);
    decision->walked_max_by = item_of(room, decision->walked_max_by);
    for (size_t i = 0; i < count; i++) {
        decided->items[room->index[i]].min_gate_closed = room->wishes[i].min_gate_closed;
        decided->items[room->index[i]].max_gate_closed = room->wishes[i].max_gate_closed;
    }
}

static void decide_cluster(struct decided *decided, struct room *room, size_t count) {
    struct limit *limits = decided->cluster->limits;
    limits_walk(room->limits, count, &decided->cluster->permanent, limits, room->verdicts,
                &room->limits_room);
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        limits[scope].min_by = item_of(room, limits[scope].min_by);
        limits[scope].max_by = item_of(room, limits[scope].max_by);
        for (int i = 0; i < 3; i++)
            limits[scope].current_by[i] = item_of(room, limits[scope].current_by[i]);
    }
}

/* What is in force by the items' flags, decided. */
static bool settle(struct decided *decided) {
    if (!decided->has_decision)
        return true;
    struct room *room = malloc(sizeof *room);
    if (!room)
        return false;
    size_t count = gather(decided, room);
    if (decided->cluster)
        decide_cluster(decided, room, count);
    else
        decide_device(decided, room, count);
    for (size_t i = 0; i < count; i++) {
        struct verdict *verdict = &decided->items[room->index[i]].verdict;
        *verdict = room->verdicts[i];
        verdict->against = item_of(room, verdict->against);
    }
    free(room);
    return true;
}

static struct decided *frame_at(const struct decided *from, size_t count, struct now at) {
    struct decided *frame = decided_frame(from, count);
    if (!frame)
        return NULL;
    frame->at = at;
    if (frame->cluster)
        frame->cluster->supposed = true;
    return frame;
}

/* The same items at another moment. */
static struct decided *at_moment(const struct decided *from, struct wall at, bool without_sets) {
    struct decided *then =
        frame_at(from, from->count, (struct now){.wall = at, .trusted = from->at.trusted});
    if (!then)
        return NULL;
    for (size_t i = 0; i < from->count; i++) {
        struct decided_item *item = &then->items[i];
        bool with_set;
        *item = from->items[i];
        if (item->constraint)
            constraint_hold(item->constraint);
        item->in_force = outlook_in_force(from, i, at, &with_set);
        item->set_in_force = with_set && !(without_sets && item->constraint);
        item->verdict = (struct verdict){.against = BY_NOBODY};
    }
    if (settle(then))
        return then;
    decided_release(then);
    return NULL;
}

/* --- a change -------------------------------------------------------------------------------- */

static bool is_added(const struct preview_change *change, const char *id) {
    for (size_t i = 0; i < change->add_count; i++)
        if (strcmp(change->add[i]->id, id) == 0)
            return true;
    return false;
}

static bool is_left_out(const struct preview_change *change, const char *id) {
    for (size_t i = 0; i < change->leave_out_count; i++)
        if (strcmp(change->leave_out[i], id) == 0)
            return true;
    return false;
}

static struct decided_item item_added(const struct decided *from, struct constraint *constraint,
                                      const struct preview_change *change, struct now now) {
    const struct wish *wish = &constraint->wish;
    struct decided_item item = {.constraint = constraint_hold(constraint),
                                .in_force = constraint->valid_at.ms <= now.wall.ms &&
                                            now.wall.ms < constraint->invalid_at.ms,
                                .set_in_force = !change->without_sets};
    for (size_t i = 0; i < from->count; i++) {
        const struct decided_item *before = &from->items[i];
        if (!before->constraint || strcmp(before->constraint->id, constraint->id) != 0)
            continue;
        item.min_gate_closed = before->min_gate_closed && wish->has_min_soc;
        item.max_gate_closed = before->max_gate_closed && wish->has_max_soc;
    }
    return item;
}

/* The order of the book; the fallback last. */
static int compare_items(const void *a, const void *b) {
    const struct decided_item *left = a;
    const struct decided_item *right = b;
    if (!left->constraint || !right->constraint)
        return (left->constraint == NULL) - (right->constraint == NULL);
    return arbiter_order(&left->constraint->wish, &right->constraint->wish);
}

static void copy_kept(const struct decided *from, const struct preview_change *change,
                      struct decided *then) {
    for (size_t i = 0; i < from->count; i++) {
        const struct decided_item *item = &from->items[i];
        if (item->constraint &&
            (is_added(change, item->constraint->id) || is_left_out(change, item->constraint->id)))
            continue;
        struct decided_item *kept = &then->items[then->count++];
        *kept = *item;
        kept->verdict = (struct verdict){.against = BY_NOBODY};
        if (kept->constraint)
            constraint_hold(kept->constraint);
    }
}

struct decided *preview_suppose(const struct decided *from, const struct preview_change *change,
                                struct now now, enum err *err) {
    *err = ERR_LIMIT;
    if (from->count + change->add_count > ARBITER_WISHES)
        return NULL;
    *err = ERR_MEMORY;
    struct decided *then = frame_at(from, from->count + change->add_count, now);
    if (!then)
        return NULL;
    then->count = 0;
    copy_kept(from, change, then);
    for (size_t i = 0; i < change->add_count; i++)
        then->items[then->count++] = item_added(from, change->add[i], change, now);
    if (then->count)
        qsort(then->items, then->count, sizeof *then->items, compare_items);
    if (settle(then)) {
        *err = ERR_OK;
        return then;
    }
    decided_release(then);
    return NULL;
}

/* --- over time ------------------------------------------------------------------------------- */

struct wall preview_last(const struct decided *decided) {
    struct wall last = decided->at.wall;
    for (size_t i = 0; i < decided->count; i++) {
        const struct constraint *constraint = decided->items[i].constraint;
        if (constraint && constraint->invalid_at.ms > last.ms)
            last = constraint->invalid_at;
    }
    return last;
}

enum err preview_walk(const struct decided *decided, struct wall until, bool without_sets,
                      preview_segment *visit, void *context, struct wall *reached) {
    enum err result = ERR_OK;
    size_t count;
    *reached = decided->at.wall;
    if (!decided->has_decision)
        return ERR_NOT_FOUND;
    int64_t *moments = outlook_moments(decided, decided->at.wall.ms, until.ms, &count);
    struct decided *then = at_moment(decided, decided->at.wall, without_sets);
    if (!moments || !then)
        result = ERR_MEMORY;
    for (size_t i = 0; result == ERR_OK && i <= count && i < OUTLOOK_BOUNDARIES; i++) {
        struct wall end = i < count ? (struct wall){moments[i]} : until;
        bool go_on = visit(context, *reached, end, then);
        *reached = end;
        if (!go_on || i == count)
            break;
        struct decided *next = at_moment(then, end, without_sets);
        result = next ? ERR_OK : ERR_MEMORY;
        decided_release(then);
        then = next;
    }
    free(moments);
    decided_release(then);
    return result;
}
