/* What would be: held against a book that lives through it. */
#include "book_desk.h"

#include <stdlib.h>

#include "outlook.h"
#include "preview.h"

#define LO (-5000)
#define HI 5000

static unsigned seed = 20261127;

static int any(int below) {
    seed = seed * 1103515245u + 12345u;
    return (int)((seed >> 16) % (unsigned)below);
}

static struct constraint *made(struct desk *desk, int number) {
    int64_t from = desk->now.wall.ms + (any(9) - 4) * HOUR;
    struct constraint draft = {
        .wish = {.priority = any(6),
                 .rank = ++desk->rank,
                 .on_conflict = any(2) ? ON_CONFLICT_CLAMP : ON_CONFLICT_DISCARD,
                 .exclusive = any(12) == 0},
        .valid_at = {from},
        .invalid_at = {from + (1 + any(8)) * HOUR}};
    struct wish *wish = &draft.wish;
    int32_t a = any(8001) - 4000;
    int32_t b = a + any(3000);
    wish->has_min = any(2);
    wish->has_max = any(2);
    wish->has_set = any(2) || (!wish->has_min && !wish->has_max);
    wish->min = wish->has_min ? a : 0;
    wish->max = wish->has_max ? b : 0;
    wish->set = wish->has_set ? a + any(b - a + 1) : 0;
    wish->has_min_soc = any(6) == 0;
    wish->min_soc = wish->has_min_soc ? 45 + any(10) : 0;
    snprintf(draft.id, sizeof draft.id, "00000000-0000-4000-8000-%012d", number);
    snprintf(draft.created_by, sizeof draft.created_by, "token:a");
    if (draft.invalid_at.ms <= desk->now.wall.ms)
        draft.invalid_at.ms = desk->now.wall.ms + HOUR;
    return constraint_new(&draft);
}

static const struct wish fallback = {
    .priority = PRIORITY_FALLBACK, .on_conflict = ON_CONFLICT_CLAMP, .has_set = true, .set = 150};

/* What the book decides now; `by`: ids of the winners, "" for none of the book's. */
static void decide_by_book(struct desk *desk, struct decision *decision, char by[3][ID_SIZE]) {
    struct wish wishes[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    size_t index[ARBITER_WISHES];
    struct ranges allowed = ranges_of(LO, HI);
    (void)advance(desk);
    size_t count = book_wishes(&desk->book, wishes, index);
    wishes[count] = fallback;
    decide(
        &(struct decide_input){
            .allowed = &allowed, .wishes = wishes, .wish_count = count + 1, .soc = desk->soc},
        decision, verdicts);
    keep_gates(&desk->book, wishes, index, count);
    const int winners[3] = {decision->set_by, decision->min_by, decision->max_by};
    for (int i = 0; i < 3; i++)
        if (winners[i] >= 0 && (size_t)winners[i] < count)
            entry_id(&desk->book.entries[index[winners[i]]], by[i]);
        else
            by[i][0] = '\0';
}

static struct decided *published(const struct desk *desk) {
    struct decided *decided = decided_new(desk->book.count + 1);
    assert_non_null(decided);
    decided->at = desk->now;
    decided->has_decision = true;
    decided->allowed = ranges_of(LO, HI);
    decided->soc = desk->soc;
    decided->fallback = fallback;
    for (size_t i = 0; i < desk->book.count; i++) {
        const struct book_entry *entry = &desk->book.entries[i];
        decided->items[i] = (struct decided_item){.constraint = entry_constraint(entry),
                                                  .in_force = entry->running,
                                                  .set_in_force = entry->running,
                                                  .min_gate_closed = entry->min_gate_closed,
                                                  .max_gate_closed = entry->max_gate_closed};
    }
    decided->items[desk->book.count].in_force = true;
    decided->items[desk->book.count].set_in_force = true;
    return decided;
}

static const char *id_of(const struct decided *decided, int by) {
    return by >= 0 && decided->items[by].constraint ? decided->items[by].constraint->id : "";
}

/* Goes to the start of the segment and compares. */
static bool same_as_book(void *context, struct wall from, struct wall until,
                         const struct decided *then) {
    struct desk *desk = context;
    struct decision decision;
    char by[3][ID_SIZE];
    assert_true(from.ms < until.ms);
    int64_t wait_ms = from.ms - desk->now.wall.ms;
    assert_true(wait_ms >= 0);
    desk->now.wall.ms += wait_ms;
    desk->now.mono.ms += wait_ms;
    decide_by_book(desk, &decision, by);
    assert_int_equal(then->decision.has_set, decision.has_set);
    if (decision.has_set)
        assert_int_equal(then->decision.set, decision.set);
    assert_int_equal(then->decision.min, decision.min);
    assert_int_equal(then->decision.max, decision.max);
    assert_int_equal(then->decision.limited, decision.limited);
    assert_string_equal(id_of(then, then->decision.set_by), by[0]);
    assert_string_equal(id_of(then, then->decision.min_by), by[1]);
    assert_string_equal(id_of(then, then->decision.max_by), by[2]);
    return true;
}

static void a_preview_is_what_the_book_then_does(void **state) {
    (void)state;
    size_t segments_seen = 0;
    for (int round = 0; round < 400; round++) {
        struct desk desk;
        struct constraint *added[8];
        char left_out[2][ID_SIZE];
        struct decision decision;
        char by[3][ID_SIZE];
        desk_open(&desk);
        int count = 1 + any(8);
        for (int i = 0; i < count; i++) {
            struct constraint *constraint = made(&desk, i);
            assert_int_equal(book_put(&desk.book, constraint, desk.now), ERR_OK);
            constraint_release(constraint);
        }
        decide_by_book(&desk, &decision, by);
        struct decided *now = published(&desk);
        size_t add = 1 + (size_t)any(6);
        for (size_t i = 0; i < add; i++) {
            int number = any(3) == 0 ? any(count) : 100 + (int)i;
            for (size_t k = 0; k < i; k++)
                if (atoi(added[k]->id + 24) == number)
                    number = 100 + (int)i;
            added[i] = made(&desk, number);
            const struct book_entry *there = book_find(&desk.book, added[i]->id);
            if (there)
                added[i]->wish.rank = there->packed->rank;
        }
        for (int i = 0; i < 2; i++)
            snprintf(left_out[i], ID_SIZE, "00000000-0000-4000-8000-%012d", any(count + 2));
        const struct preview_change change = {.add = added,
                                              .add_count = add,
                                              .leave_out = (const char(*)[ID_SIZE])left_out,
                                              .leave_out_count = 2};
        enum err err;
        struct decided *then = preview_suppose(now, &change, desk.now, &err);
        assert_non_null(then);
        /* And now for real: what is added wins over what is left out, as in one change. */
        for (int i = 0; i < 2; i++)
            (void)!book_remove(&desk.book, left_out[i]);
        for (size_t i = 0; i < add; i++) {
            assert_int_equal(book_put(&desk.book, added[i], desk.now), ERR_OK);
            constraint_release(added[i]);
        }
        struct wall reached;
        struct wall last = preview_last(then);
        last.ms += HOUR;
        assert_int_equal(preview_walk(then, last, false, same_as_book, &desk, &reached), ERR_OK);
        assert_int_equal(reached.ms, last.ms);
        segments_seen += desk.book.count == 0;
        decided_release(then);
        decided_release(now);
        book_free(&desk.book);
    }
    assert_true(segments_seen == 400); /* each was followed to its end */
}

static void more_than_can_be_walked_is_refused(void **state) {
    (void)state;
    struct desk desk;
    struct constraint *added[2];
    enum err err;
    desk_open(&desk);
    for (int i = 0; i < BOOK_MAXIMUM - 1; i++) {
        struct constraint *constraint = made(&desk, i);
        assert_int_equal(book_put(&desk.book, constraint, desk.now), ERR_OK);
        constraint_release(constraint);
    }
    struct decided *now = published(&desk); /* 510 and the fallback */
    added[0] = made(&desk, 1000);
    added[1] = made(&desk, 1001);
    const struct preview_change one = {.add = added, .add_count = 1};
    const struct preview_change two = {.add = added, .add_count = 2};
    struct decided *then = preview_suppose(now, &one, desk.now, &err);
    assert_non_null(then);
    assert_int_equal(err, ERR_OK);
    decided_release(then);
    assert_null(preview_suppose(now, &two, desk.now, &err));
    assert_int_equal(err, ERR_LIMIT);
    constraint_release(added[0]);
    constraint_release(added[1]);
    decided_release(now);
    book_free(&desk.book);
}

static bool count_segments(void *context, struct wall from, struct wall until,
                           const struct decided *then) {
    (void)from;
    (void)until;
    (void)then;
    return ++*(int *)context < 3;
}

static void the_walk_ends_where_it_is_told_to(void **state) {
    (void)state;
    struct desk desk;
    struct wall reached;
    int count = 0;
    desk_open(&desk);
    for (int i = 0; i < 4; i++) {
        struct constraint draft = {.wish = {.priority = i, .rank = (uint64_t)i, MAX(i)},
                                   .valid_at = {desk.now.wall.ms + i * HOUR},
                                   .invalid_at = {desk.now.wall.ms + (i + 1) * HOUR}};
        struct constraint *constraint = constraint_new(&draft);
        snprintf(constraint->id, sizeof constraint->id, "%d", i);
        assert_int_equal(book_put(&desk.book, constraint, desk.now), ERR_OK);
        constraint_release(constraint);
    }
    (void)advance(&desk);
    struct decided *now = published(&desk);
    assert_int_equal(preview_walk(now, preview_last(now), false, count_segments, &count, &reached),
                     ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(reached.ms, desk.now.wall.ms + 3 * HOUR);
    now->has_decision = false;
    assert_int_equal(preview_walk(now, preview_last(now), false, count_segments, &count, &reached),
                     ERR_NOT_FOUND);
    decided_release(now);
    book_free(&desk.book);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preview_is_what_the_book_then_does),
        cmocka_unit_test(more_than_can_be_walked_is_refused),
        cmocka_unit_test(the_walk_ends_where_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
