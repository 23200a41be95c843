#include "outlook.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_limits.h"

struct walker { /* memory of one look ahead, and the gates as they went on */
    const struct decided *decided;
    struct wish *wishes; /* room for count */
    struct verdict *verdicts;
    size_t *index;   /* of each wish: its item */
    bool *min_gates; /* of each item, as last decided on this walk */
    bool *max_gates;
};

static void walker_free(struct walker *walker) {
    free(walker->wishes);
    free(walker->verdicts);
    free(walker->index);
    free(walker->min_gates);
    free(walker->max_gates);
}

static bool walker_init(struct walker *walker, const struct decided *decided) {
    size_t room = decided->count ? decided->count : 1;
    *walker = (struct walker){.decided = decided,
                              .wishes = calloc(room, sizeof *walker->wishes),
                              .verdicts = calloc(room, sizeof *walker->verdicts),
                              .index = calloc(room, sizeof *walker->index),
                              .min_gates = calloc(room, sizeof *walker->min_gates),
                              .max_gates = calloc(room, sizeof *walker->max_gates)};
    if (!walker->wishes || !walker->verdicts || !walker->index || !walker->min_gates ||
        !walker->max_gates) {
        walker_free(walker);
        return false;
    }
    for (size_t i = 0; i < decided->count; i++) {
        walker->min_gates[i] = decided->items[i].min_gate_closed;
        walker->max_gates[i] = decided->items[i].max_gate_closed;
    }
    return true;
}

bool outlook_in_force(const struct decided *decided, size_t index, struct wall at, bool *with_set) {
    const struct decided_item *item = &decided->items[index];
    const struct constraint *constraint = item->constraint;
    *with_set = item->in_force ? item->set_in_force : true;
    if (!constraint) /* the fallback knows no time */
        return item->in_force;
    if (item->in_force)
        return at.ms < constraint->invalid_at.ms ||
               constraint->invalid_at.ms <= decided->at.wall.ms;
    return constraint->valid_at.ms <= at.ms && at.ms < constraint->invalid_at.ms;
}

static int item_of(const struct walker *walker, int by) {
    return by >= 0 ? (int)walker->index[by] : by;
}

/* Returns how many wishes were in force. */
static size_t walker_decide(struct walker *walker, struct wall at, struct decision *decision) {
    const struct decided *decided = walker->decided;
    size_t count = 0;
    for (size_t i = 0; i < decided->count && count < ARBITER_WISHES; i++) {
        bool with_set;
        if (!outlook_in_force(decided, i, at, &with_set))
            continue;
        const struct constraint *constraint = decided->items[i].constraint;
        struct wish *wish = &walker->wishes[count];
        *wish = constraint ? constraint->wish : decided->fallback;
        wish->has_set = wish->has_set && with_set;
        wish->min_gate_closed = walker->min_gates[i];
        wish->max_gate_closed = walker->max_gates[i];
        walker->index[count++] = i;
    }
    struct decide_input input = {.allowed = &decided->allowed,
                                 .wishes = walker->wishes,
                                 .wish_count = count,
                                 .soc = decided->soc};
    decide(&input, decision, walker->verdicts);
    for (size_t i = 0; i < count; i++) {
        walker->min_gates[walker->index[i]] = walker->wishes[i].min_gate_closed;
        walker->max_gates[walker->index[i]] = walker->wishes[i].max_gate_closed;
    }
    decision->set_by = item_of(walker, decision->set_by);
    decision->min_by = item_of(walker, decision->min_by);
    decision->max_by = item_of(walker, decision->max_by);
    return count;
}

enum err outlook_decide(const struct decided *decided, struct wall at, struct decision *decision) {
    struct walker walker;
    if (!decided->has_decision)
        return ERR_NOT_FOUND;
    if (!walker_init(&walker, decided))
        return ERR_MEMORY;
    walker_decide(&walker, at, decision);
    walker_free(&walker);
    return ERR_OK;
}

static bool same_powers(const struct decision *a, const struct decision *b) {
    if (a->has_set != b->has_set || (a->has_set && a->set != b->set) || a->min != b->min ||
        a->max != b->max || a->within.count != b->within.count)
        return false;
    for (size_t i = 0; i < a->within.count; i++)
        if (a->within.items[i].lo != b->within.items[i].lo ||
            a->within.items[i].hi != b->within.items[i].hi)
            return false;
    return true;
}

static bool same_decision(const struct decision *a, const struct decision *b) {
    return same_powers(a, b) && a->set_by == b->set_by && a->min_by == b->min_by &&
           a->max_by == b->max_by && a->limited == b->limited && a->unmet == b->unmet;
}

static int compare_ms(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

int64_t *outlook_moments(const struct decided *decided, int64_t after, int64_t before,
                         size_t *count) {
    int64_t *moments = calloc(2 * decided->count + 1, sizeof *moments);
    size_t found = 0;
    *count = 0;
    if (!moments)
        return NULL;
    for (size_t i = 0; i < decided->count; i++) {
        const struct constraint *constraint = decided->items[i].constraint;
        if (!constraint)
            continue;
        const int64_t both[] = {constraint->valid_at.ms, constraint->invalid_at.ms};
        for (size_t k = 0; k < 2; k++)
            if (both[k] > after && both[k] < before && both[k] < CONSTRAINT_ENDLESS_MS)
                moments[found++] = both[k];
    }
    qsort(moments, found, sizeof *moments, compare_ms);
    for (size_t i = 0; i < found; i++)
        if (*count == 0 || moments[*count - 1] != moments[i])
            moments[(*count)++] = moments[i];
    return moments;
}

enum err outlook_next_change(const struct decided *decided, struct wall *at) {
    struct walker walker;
    if (decided->cluster)
        return limits_next_change(decided, at);
    if (!decided->has_decision || !decided->at.trusted)
        return ERR_NOT_FOUND;
    if (!walker_init(&walker, decided))
        return ERR_MEMORY;
    size_t count;
    enum err result = ERR_NOT_FOUND;
    int64_t *moments = outlook_moments(decided, decided->at.wall.ms, INT64_MAX, &count);
    if (!moments) {
        walker_free(&walker);
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < count && result == ERR_NOT_FOUND; i++) {
        struct decision then;
        if (i == OUTLOOK_BOUNDARIES) {
            result = ERR_LIMIT;
            break;
        }
        at->ms = moments[i];
        walker_decide(&walker, *at, &then);
        if (!same_decision(&then, &decided->decision))
            result = ERR_OK;
    }
    free(moments);
    walker_free(&walker);
    return result;
}

/* Whether items[index] loses at `at`, and will lose whatever the state of charge. */
static bool loses(struct walker *walker, size_t index, struct wall at) {
    struct decision decision;
    size_t count = walker_decide(walker, at, &decision);
    for (size_t i = 0; i < count; i++) {
        if (walker->index[i] != index)
            continue;
        const struct verdict *verdict = &walker->verdicts[i];
        if (verdict->outcome == OUTCOME_EXCLUDED)
            return true;
        if (verdict->outcome != OUTCOME_DISCARDED || verdict->gate_min || verdict->gate_max)
            return false;
        if (verdict->against < 0)
            return true;
        const struct verdict *winner = &walker->verdicts[verdict->against];
        return !winner->gate_min && !winner->gate_max;
    }
    return false;
}

bool outlook_no_effect(const struct decided *decided, size_t index) {
    const struct constraint *constraint = decided->items[index].constraint;
    struct walker walker;
    if (decided->cluster)
        return limits_no_effect(decided, index);
    if (!decided->has_decision || !decided->at.trusted || !constraint)
        return false;
    if (constraint->wish.has_min_soc || constraint->wish.has_max_soc)
        return false; /* its gates are never discarded */
    if (!walker_init(&walker, decided))
        return false;
    int64_t start = constraint->valid_at.ms;
    if (start < decided->at.wall.ms)
        start = decided->at.wall.ms;
    size_t count;
    int64_t *moments = outlook_moments(decided, start, constraint->invalid_at.ms, &count);
    bool lost =
        moments && count <= OUTLOOK_BOUNDARIES && loses(&walker, index, (struct wall){start});
    for (size_t i = 0; i < count && lost; i++)
        lost = loses(&walker, index, (struct wall){moments[i]});
    free(moments);
    walker_free(&walker);
    return lost;
}
