/* What readers make of a published decision while memory runs out at the n-th request, for every n:
 * all of it, or nothing. */
#include "book_desk.h"

#include <stdlib.h>

#include "decided.h"
#include "memory.h"

#define CONSTRAINTS 3

static struct desk desk;

static void put_one(const char *id, struct wish wish, int64_t from) {
    struct constraint constraint = draft(id, wish, from, 12 * HOUR);
    constraint.wish.rank = ++desk.rank;
    assert_int_equal(book_put(&desk.book, &constraint, desk.now), ERR_OK);
}

/* Two in force, the second of which is discarded, one that is scheduled; and the share of a
 * cluster's limit in words. */
static struct decided *published(void) {
    desk_open(&desk);
    (void)advance(&desk);
    put_one("a", (struct wish){.priority = 9, MAX(4200)}, 9 * HOUR);
    put_one("b", (struct wish){.priority = 5, SET(6000)}, 9 * HOUR);
    put_one("c", (struct wish){.priority = 7, MAX(1000)}, 10 * HOUR);
    (void)advance(&desk);
    struct decided *decided = decided_new_bare(CONSTRAINTS + 1);
    assert_non_null(decided);
    decided->at = desk.now;
    decided->allowed = decided->own = ranges_of(0, 11000);
    decided->has_decision = true;
    decided->soc = 50;
    decided->share_why = strdup("what the connection leaves");
    decided->sheet = book_share(&desk.book);
    return decided;
}

static void expect_whole(const struct decided *decided) {
    static const char *const ids[] = {"a", "c", "b"};
    assert_int_equal(decided->count, CONSTRAINTS + 1);
    for (size_t i = 0; i < CONSTRAINTS; i++)
        assert_string_equal(decided->items[i].constraint->id, ids[i]);
    assert_null(decided->items[CONSTRAINTS].constraint);
    assert_true(decided->items[0].in_force && !decided->items[1].in_force);
    assert_int_equal(decided->items[2].verdict.outcome, OUTCOME_DISCARDED);
    assert_int_equal(decided->items[2].verdict.against, 0);
    assert_string_equal(decided->share_why, "what the connection leaves");
}

static void without_memory_a_decision_is_read_whole_or_not_at_all(void **state) {
    (void)state;
    struct decided *from = published();
    int64_t n = 1;
    for (bool failed = true; failed; n++) {
        memory_fail(n, 1);
        struct decided *decided = decided_read(from);
        failed = memory_failures() > 0;
        memory_fail(0, 0);
        if (decided)
            expect_whole(decided);
        assert_true(failed == (decided == NULL));
        decided_release(decided);
    }
    assert_in_range(n, CONSTRAINTS + 4, 100);
    decided_release(from);
    book_free(&desk.book);
}

static void one_without_constraints_needs_no_memory(void **state) {
    (void)state;
    struct decided *from = decided_new(1);
    memory_fail(1, INT64_MAX);
    struct decided *decided = decided_read(from);
    memory_fail(0, 0);
    assert_ptr_equal(decided, from);
    decided_release(decided);
    decided_release(from);
}

static void winners_and_numbers_are_told_without_items(void **state) {
    (void)state;
    struct decided *from = published();
    struct decided *read = decided_read(from);
    const struct decided *const both[] = {from, read};
    for (size_t i = 0; i < 2; i++) {
        char id[ID_SIZE];
        size_t in_force, scheduled;
        decided_count(both[i], desk.now.wall, &in_force, &scheduled);
        assert_int_equal(in_force, 2);
        assert_int_equal(scheduled, 1);
        assert_string_equal(decided_name(both[i], 1, id), "c");
        assert_string_equal(decided_name(both[i], CONSTRAINTS, id), "fallback");
        assert_string_equal(decided_name(both[i], BY_DEVICE, id), "device");
        assert_null(decided_name(both[i], BY_NOBODY, id));
        assert_null(decided_name(both[i], CONSTRAINTS + 1, id));
    }
    decided_release(read);
    decided_release(from);
    book_free(&desk.book);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_a_decision_is_read_whole_or_not_at_all),
        cmocka_unit_test(one_without_constraints_needs_no_memory),
        cmocka_unit_test(winners_and_numbers_are_told_without_items),
    };
    memory_insert();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
