#include "cluster/cluster_limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "outlook.h"

struct limit_wish limit_wish_of(const struct wish *wish, const struct constraint *constraint) {
    struct limit_wish made = {.wish = *wish, .scope = constraint->scope};
    made.wish.has_set = made.wish.has_min_soc = made.wish.has_max_soc = false;
    for (int i = 0; i < 3; i++)
        made.current[i] = constraint->has_current ? constraint->max_current[i] : (double)NAN;
    return made;
}

struct limit limit_none(void) {
    return (struct limit){.min = -POWER_UNBOUNDED,
                          .max = POWER_UNBOUNDED,
                          .current = {INFINITY, INFINITY, INFINITY},
                          .min_by = BY_NOBODY,
                          .max_by = BY_NOBODY,
                          .current_by = {BY_NOBODY, BY_NOBODY, BY_NOBODY}};
}

static int32_t permanent_watts(double watts, int32_t open) {
    return isfinite(watts) ? (int32_t)watts : open;
}

static void limit_start(struct limit *limit, enum scope scope, const struct permanent *permanent) {
    bool bound = permanent->scope == scope;
    *limit = (struct limit){
        .min = permanent_watts(bound ? permanent->min : (double)NAN, -POWER_UNBOUNDED),
        .max = permanent_watts(bound ? permanent->max : (double)NAN, POWER_UNBOUNDED)};
    limit->min_by = limit->min > -POWER_UNBOUNDED ? BY_DEVICE : BY_NOBODY;
    limit->max_by = limit->max < POWER_UNBOUNDED ? BY_DEVICE : BY_NOBODY;
    for (int i = 0; i < 3; i++) {
        bool fuse = bound && isfinite(permanent->current);
        limit->current[i] = fuse ? permanent->current : INFINITY;
        limit->current_by[i] = fuse ? BY_DEVICE : BY_NOBODY;
    }
}

/* The walk of one scope over the first `count`; indices are those of `wishes`. */
static void walk_scope(const struct limit_wish *wishes, size_t count, enum scope scope,
                       const struct permanent *permanent, struct limit *limit,
                       struct verdict *verdicts, struct limits_room *room) {
    struct wish *walked = room->wishes;
    struct verdict *outcomes = room->verdicts;
    size_t *index = room->index;
    size_t walked_count = 0;
    for (size_t i = 0; i < count; i++)
        if (wishes[i].scope == scope) {
            walked[walked_count] = wishes[i].wish;
            index[walked_count++] = i;
        }
    limit_start(limit, scope, permanent);
    const struct ranges open = ranges_of(-POWER_UNBOUNDED, POWER_UNBOUNDED);
    struct decision decision;
    decide(
        &(struct decide_input){
            .allowed = &open, .wishes = walked, .wish_count = walked_count, .soc = NAN},
        &decision, outcomes);
    for (size_t i = 0; i < walked_count; i++) {
        struct verdict *verdict = &verdicts[index[i]];
        *verdict = outcomes[i];
        if (verdict->against >= 0)
            verdict->against = (int)index[verdict->against];
        bool holds = verdict->outcome != OUTCOME_DISCARDED && verdict->outcome != OUTCOME_EXCLUDED;
        for (int phase = 0; phase < 3 && holds; phase++)
            if (wishes[index[i]].current[phase] < limit->current[phase]) {
                limit->current[phase] = wishes[index[i]].current[phase];
                limit->current_by[phase] = (int)index[i];
            }
    }
    int32_t lo = decision.walked_min;
    int32_t hi = decision.walked_max;
    limit->unmet = lo > limit->max || hi < limit->min;
    int32_t least = limit->min, most = limit->max;
    if (lo > least) {
        limit->min = lo < most ? lo : most;
        limit->min_by = lo <= most ? (int)index[decision.walked_min_by] : BY_DEVICE;
    }
    if (hi < most) {
        limit->max = hi > least ? hi : least;
        limit->max_by = hi >= least ? (int)index[decision.walked_max_by] : BY_DEVICE;
    }
}

void limits_walk(const struct limit_wish *wishes, size_t count, const struct permanent *permanent,
                 struct limit limits[SCOPE_COUNT], struct verdict *verdicts,
                 struct limits_room *room) {
    limits[SCOPE_NONE] = limit_none();
    for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++)
        walk_scope(wishes, count, (enum scope)scope, permanent, &limits[scope], verdicts, room);
    size_t top = 0; /* the first exclusive one that holds */
    while (top < count &&
           !(wishes[top].wish.exclusive && verdicts[top].outcome != OUTCOME_DISCARDED &&
             verdicts[top].outcome != OUTCOME_EXCLUDED))
        top++;
    if (top == count)
        return;
    for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++)
        walk_scope(wishes, top + 1, (enum scope)scope, permanent, &limits[scope], verdicts, room);
    for (size_t i = top + 1; i < count; i++)
        verdicts[i] = (struct verdict){.outcome = OUTCOME_EXCLUDED, .against = (int)top};
}

bool limit_open(const struct limit *limit) {
    return limit->min == -POWER_UNBOUNDED && limit->max == POWER_UNBOUNDED &&
           isinf(limit->current[0]) && isinf(limit->current[1]) && isinf(limit->current[2]);
}

static bool limit_equal(const struct limit *a, const struct limit *b) {
    for (int i = 0; i < 3; i++)
        if (a->current[i] != b->current[i] || a->current_by[i] != b->current_by[i])
            return false;
    return a->min == b->min && a->max == b->max && a->min_by == b->min_by &&
           a->max_by == b->max_by && a->unmet == b->unmet;
}

bool limits_equal(const struct limit a[SCOPE_COUNT], const struct limit b[SCOPE_COUNT]) {
    for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++)
        if (!limit_equal(&a[scope], &b[scope]))
            return false;
    return true;
}

/* --- looking ahead ------------------------------------------------------------------------------
 */

struct look { /* memory of one look ahead; on the heap, for the API's threads have small stacks */
    const struct decided *decided;
    struct limit_wish wishes[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    size_t index[ARBITER_WISHES]; /* of each wish: its item */
    struct limit limits[SCOPE_COUNT];
    struct limits_room room;
    size_t count;
};

static int item_of(const struct look *look, int by) {
    return by >= 0 ? (int)look->index[by] : by;
}

static void look_at(struct look *look, struct wall at) {
    const struct decided *decided = look->decided;
    look->count = 0;
    for (size_t i = 0; i < decided->count && look->count < ARBITER_WISHES; i++) {
        bool with_set;
        const struct constraint *constraint = decided->items[i].constraint;
        if (!constraint || !outlook_in_force(decided, i, at, &with_set))
            continue;
        look->wishes[look->count] = limit_wish_of(&constraint->wish, constraint);
        look->index[look->count++] = i;
    }
    limits_walk(look->wishes, look->count, &decided->cluster->permanent, look->limits,
                look->verdicts, &look->room);
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        struct limit *limit = &look->limits[scope];
        limit->min_by = item_of(look, limit->min_by);
        limit->max_by = item_of(look, limit->max_by);
        for (int i = 0; i < 3; i++)
            limit->current_by[i] = item_of(look, limit->current_by[i]);
    }
}

enum err limits_next_change(const struct decided *decided, struct wall *at) {
    if (!decided->at.trusted)
        return ERR_NOT_FOUND;
    struct look *look = calloc(1, sizeof *look);
    size_t count = 0;
    int64_t *moments = outlook_moments(decided, decided->at.wall.ms, INT64_MAX, &count);
    enum err result = look && moments ? ERR_NOT_FOUND : ERR_MEMORY;
    if (look)
        look->decided = decided;
    for (size_t i = 0; i < count && result == ERR_NOT_FOUND; i++) {
        if (i == OUTLOOK_BOUNDARIES) {
            result = ERR_LIMIT;
            break;
        }
        at->ms = moments[i];
        look_at(look, *at);
        if (!limits_equal(look->limits, decided->cluster->limits))
            result = ERR_OK;
    }
    free(moments);
    free(look);
    return result;
}

static bool loses(struct look *look, size_t index, struct wall at) {
    look_at(look, at);
    for (size_t i = 0; i < look->count; i++)
        if (look->index[i] == index)
            return look->verdicts[i].outcome == OUTCOME_EXCLUDED ||
                   look->verdicts[i].outcome == OUTCOME_DISCARDED;
    return false;
}

bool limits_no_effect(const struct decided *decided, size_t index) {
    const struct constraint *constraint = decided->items[index].constraint;
    if (!decided->at.trusted || !constraint)
        return false;
    int64_t start = constraint->valid_at.ms;
    if (start < decided->at.wall.ms)
        start = decided->at.wall.ms;
    struct look *look = calloc(1, sizeof *look);
    size_t count = 0;
    int64_t *moments = outlook_moments(decided, start, constraint->invalid_at.ms, &count);
    if (look)
        look->decided = decided;
    bool lost =
        look && moments && count <= OUTLOOK_BOUNDARIES && loses(look, index, (struct wall){start});
    for (size_t i = 0; i < count && lost; i++)
        lost = loses(look, index, (struct wall){moments[i]});
    free(moments);
    free(look);
    return lost;
}
