#include "book_desk.h"

/* --- windows ---------------------------------------------------------------------------------- */

static void an_empty_book_waits_for_nothing(void **state) {
    struct desk *desk = *state;
    assert_false(advance(desk));
    assert_int_equal(next_in(desk), INT64_MAX);
    assert_int_equal(book_wishes(&desk->book, desk->wishes, desk->index), 0);
    assert_int_equal(book_remove(&desk->book, "x"), ERR_NOT_FOUND);
    assert_null(book_find(&desk->book, "x"));
}

static void a_window_is_half_open(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft("a", WISH(SET(700)), 10 * HOUR, 11 * HOUR));
    advance(desk);
    assert_false(run_to(desk, 10 * HOUR - 1));
    assert_int_equal(set_now(desk), NOTHING);
    assert_true(run_to(desk, 10 * HOUR));
    assert_int_equal(set_now(desk), 700);
    assert_false(run_to(desk, 11 * HOUR - 1));
    assert_int_equal(set_now(desk), 700);
    assert_true(run_to(desk, 11 * HOUR));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(desk->ended, 1);
    assert_string_equal(desk->last_ended, "a");
    assert_int_equal(desk->book.count, 0);
}

static void adjacent_windows_change_over_in_one_advance(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(MAX(1000)), 9 * HOUR, 10 * HOUR));
    put(desk, draft("b", WISH(MAX(2000)), 10 * HOUR, 11 * HOUR));
    advance(desk);
    assert_int_equal(max_now(desk), 1000);
    run_to(desk, 10 * HOUR);
    assert_int_equal(max_now(desk), 2000);
    assert_int_equal(desk->count, 1);
}

static void row_11_of_equal_priorities_the_later_accepted_wins(void **state) {
    struct desk *desk = *state;
    put(desk, draft("first", WISH(.priority = 5, SET(1000)), 9 * HOUR, 12 * HOUR));
    put(desk, draft("later", WISH(.priority = 5, SET(2000)), 9 * HOUR, 12 * HOUR));
    advance(desk);
    assert_int_equal(set_now(desk), 2000);
    char first[ID_SIZE];
    entry_id(&desk->book.entries[0], first);
    assert_string_equal(first, "later");
}

static void row_12_a_loser_comes_back_when_its_winner_ends(void **state) {
    struct desk *desk = *state;
    put(desk, draft("high", WISH(.priority = 9, SET(1000)), 10 * HOUR, 11 * HOUR));
    put(desk, draft("low", WISH(.priority = 5, SET(500)), 9 * HOUR, 12 * HOUR));
    advance(desk);
    assert_int_equal(set_now(desk), 500);
    assert_int_equal(next_in(desk), HOUR);
    run_for(desk, next_in(desk));
    assert_int_equal(set_now(desk), 1000);
    assert_int_equal(next_in(desk), HOUR);
    run_for(desk, next_in(desk));
    assert_int_equal(set_now(desk), 500);
    run_for(desk, next_in(desk));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(next_in(desk), INT64_MAX);
}

static void row_22_a_proposal_replaces_its_predecessor(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft_for(desk, "k", WISH(.priority = 500, MAX(2000)), 15 * SECOND));
    assert_int_equal(max_now(desk), 2000);
    put(desk, draft_for(desk, "k", WISH(.priority = 500, MAX(4000)), 15 * SECOND));
    assert_int_equal(max_now(desk), 4000);
    assert_int_equal(desk->book.count, 1);
}

static void one_that_is_over_when_it_is_loaded_goes_at_once(void **state) {
    struct desk *desk = *state;
    put(desk, draft("old", WISH(SET(1)), 7 * HOUR, 8 * HOUR));
    assert_true(advance(desk));
    assert_int_equal(desk->book.count, 0);
    assert_string_equal(desk->last_ended, "old");
}

static void nothing_is_in_force_before_the_first_advance(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(SET(1)), 8 * HOUR, 10 * HOUR));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(next_in(desk), 0);
    assert_true(advance(desk));
    assert_int_equal(set_now(desk), 1);
}

static void one_that_is_put_later_is_in_force_at_once_and_the_next_advance_says_so(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft("a", WISH(SET(1)), 8 * HOUR, 10 * HOUR));
    assert_int_equal(set_now(desk), 1);
    assert_int_equal(next_in(desk), 0);
    assert_true(advance(desk));
    assert_false(advance(desk));
    assert_int_equal(next_in(desk), HOUR);
}

static void removing_one_ends_it_without_a_word(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(.priority = 2, SET(1)), 8 * HOUR, 10 * HOUR));
    put(desk, draft("b", WISH(.priority = 1, SET(2)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    assert_int_equal(book_remove(&desk->book, "a"), ERR_OK);
    assert_int_equal(set_now(desk), 2);
    assert_true(advance(desk));
    assert_int_equal(desk->ended, 0);
}

/* --- validFor --------------------------------------------------------------------------------- */

static void valid_for_runs_on_the_monotonic_clock(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft_for(desk, "a", WISH(SET(700), MAX(900)), HOUR));
    advance(desk);
    run_for(desk, 20 * MINUTE);
    step(desk, 5 * HOUR);
    assert_int_equal(set_now(desk), 700);
    step(desk, -9 * HOUR);
    assert_false(run_for(desk, 40 * MINUTE - 1));
    assert_int_equal(set_now(desk), 700);
    assert_true(run_for(desk, 1));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(desk->ended, 1);
}

/* As when its device is built anew: the wall clock has stepped beyond its end. */
static void valid_for_goes_on_in_another_book_and_a_proposal_does_not(void **state) {
    struct desk *desk = *state;
    struct constraint proposal = draft_for(desk, "k", WISH(MAX(100)), HOUR);
    snprintf(proposal.policy_key, sizeof proposal.policy_key, "k");
    advance(desk);
    put(desk, draft_for(desk, "a", WISH(SET(700), MAX(900)), HOUR));
    put(desk, proposal);
    advance(desk);
    run_for(desk, 20 * MINUTE);
    step(desk, 5 * HOUR);
    struct book before = desk->book;
    book_init(&desk->book);
    book_move(&desk->book, &before);
    assert_int_equal(before.count, 0);
    book_free(&before);
    assert_int_equal(desk->book.count, 1);
    assert_true(advance(desk));
    assert_int_equal(set_now(desk), 700);
    assert_int_equal(max_now(desk), 900);
    assert_false(run_for(desk, 40 * MINUTE - 1));
    assert_true(run_for(desk, 1));
    assert_int_equal(desk->book.count, 0);
}

static void
valid_for_in_the_future_starts_by_the_wall_and_then_runs_on_the_monotonic_clock(void **state) {
    struct desk *desk = *state;
    advance(desk);
    struct constraint later = draft("a", WISH(MAX(900)), 10 * HOUR, 11 * HOUR);
    later.valid_for_ms = HOUR;
    put(desk, later);
    advance(desk);
    run_for(desk, 10 * MINUTE);
    step(desk, 30 * MINUTE); /* 9:40 */
    assert_int_equal(next_in(desk), 20 * MINUTE);
    run_to(desk, 10 * HOUR);
    assert_int_equal(max_now(desk), 900);
    step(desk, 3 * HOUR);
    run_for(desk, HOUR - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void valid_for_that_was_stored_runs_on_to_its_wall_end(void **state) {
    struct desk *desk = *state;
    struct constraint stored = draft("a", WISH(MAX(900)), 8 * HOUR, 10 * HOUR);
    stored.valid_for_ms = 2 * HOUR;
    put(desk, stored);
    advance(desk);
    assert_int_equal(next_in(desk), HOUR);
    step(desk, 8 * HOUR);
    run_for(desk, HOUR - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void a_lapsed_lease_waits_for_a_successor_that_a_step_back_made_late(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft_for(desk, "a", WISH(SET(700), MAX(900)), HOUR));
    put(desk, draft("b", WISH(MAX(1000)), 10 * HOUR, 11 * HOUR));
    advance(desk);
    run_for(desk, 30 * MINUTE);
    step(desk, -20 * MINUTE); /* 9:10 */
    run_for(desk, 30 * MINUTE);
    assert_int_equal(set_now(desk), NOTHING); /* its set point does not wait */
    assert_int_equal(max_now(desk), 900);
    assert_int_equal(next_in(desk), 20 * MINUTE);
    run_for(desk, 20 * MINUTE - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 1000);
    assert_int_equal(desk->book.count, 1);
}

static void a_lapsed_lease_waits_at_most_25_hours(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft_for(desk, "a", WISH(MAX(900)), HOUR));
    put(desk, draft("b", WISH(MAX(1000)), 10 * HOUR, 11 * HOUR));
    advance(desk);
    step(desk, -1000 * HOUR);
    run_for(desk, HOUR);
    assert_int_equal(next_in(desk), 25 * HOUR);
    run_for(desk, 25 * HOUR - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void a_lapsed_lease_does_not_wait_when_its_successor_is_removed(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft_for(desk, "a", WISH(MAX(900)), HOUR));
    put(desk, draft("b", WISH(MAX(1000)), 10 * HOUR, 11 * HOUR));
    step(desk, -20 * MINUTE);
    run_for(desk, HOUR);
    assert_int_equal(max_now(desk), 900);
    assert_int_equal(book_remove(&desk->book, "b"), ERR_OK);
    advance(desk);
    assert_int_equal(max_now(desk), 5000);
}

/* --- renewing and order ----------------------------------------------------------------------- */

static void renewing_keeps_the_rank(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft("a", WISH(.priority = 5, SET(1)), 9 * HOUR, 10 * HOUR));
    put(desk, draft("b", WISH(.priority = 5, SET(2)), 9 * HOUR, 10 * HOUR));
    put(desk, draft("a", WISH(.priority = 5, SET(3)), 9 * HOUR, 11 * HOUR));
    assert_int_equal(set_now(desk), 2);
    assert_int_equal(book_find(&desk->book, "a")->packed->rank, 1);
    run_to(desk, 10 * HOUR);
    assert_int_equal(set_now(desk), 3);
}

static void renewing_with_another_priority_moves_it(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft("a", WISH(.priority = 5, SET(1)), 9 * HOUR, 10 * HOUR));
    put(desk, draft("b", WISH(.priority = 6, SET(2)), 9 * HOUR, 10 * HOUR));
    put(desk, draft("a", WISH(.priority = 7, SET(3)), 9 * HOUR, 10 * HOUR));
    assert_int_equal(set_now(desk), 3);
    put(desk, draft("a", WISH(.priority = 4, SET(4)), 9 * HOUR, 10 * HOUR));
    assert_int_equal(set_now(desk), 2);
    assert_int_equal(desk->book.count, 2);
}

static void renewing_leaves_no_gap_and_the_old_end_means_nothing(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft("a", WISH(MAX(1)), 9 * HOUR, 10 * HOUR));
    advance(desk);
    run_to(desk, 10 * HOUR - 1);
    put(desk, draft("a", WISH(MAX(2)), 9 * HOUR, 11 * HOUR));
    assert_int_equal(max_now(desk), 2);
    run_to(desk, 11 * HOUR - 1);
    assert_int_equal(max_now(desk), 2);
    assert_int_equal(desk->ended, 0);
}

static void renewing_with_a_later_start_ends_it_until_then(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(MAX(1)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    put(desk, draft("a", WISH(MAX(1)), 11 * HOUR, 12 * HOUR));
    assert_true(advance(desk));
    assert_int_equal(max_now(desk), 5000);
    assert_int_equal(next_in(desk), 2 * HOUR);
}

static void putting_the_same_object_again_keeps_it(void **state) {
    struct desk *desk = *state;
    advance(desk);
    struct constraint from = draft("a", WISH(SET(5)), 8 * HOUR, 10 * HOUR);
    struct constraint *constraint = constraint_new(&from);
    assert_int_equal(book_put(&desk->book, constraint, desk->now), ERR_OK);
    assert_int_equal(book_put(&desk->book, constraint, desk->now), ERR_OK);
    constraint_release(constraint);
    assert_int_equal(desk->book.count, 1);
    assert_int_equal(set_now(desk), 5);
}

static void entries_stand_in_the_order_of_the_arbiter(void **state) {
    struct desk *desk = *state;
    const int32_t priorities[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
    for (size_t i = 0; i < sizeof priorities / sizeof priorities[0]; i++) {
        char id[ID_SIZE];
        snprintf(id, sizeof id, "%zu", i);
        put(desk, draft(id, WISH(.priority = priorities[i], MAX(1)), 8 * HOUR, 10 * HOUR));
    }
    advance(desk);
    decide_now(desk);
    assert_int_equal(desk->count, 11);
    for (size_t i = 1; i < desk->count; i++)
        assert_true(entry_order(&desk->book.entries[desk->index[i - 1]],
                                &desk->book.entries[desk->index[i]]) < 0);
}

/* --- set points without their measurement, gates ---------------------------------------------- */

static void a_stale_meter_drops_set_points_of_its_creator_and_keeps_bounds(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(.priority = 2, SET(700), MAX(900)), 8 * HOUR, 10 * HOUR));
    struct constraint other = draft("b", WISH(.priority = 1, SET(400)), 8 * HOUR, 10 * HOUR);
    snprintf(other.created_by, sizeof other.created_by, "token:b");
    put(desk, other);
    advance(desk);
    assert_int_equal(set_now(desk), 700);
    assert_true(book_drop_sets(&desk->book, "token:a"));
    assert_int_equal(set_now(desk), 400);
    assert_int_equal(max_now(desk), 900);
    assert_false(book_drop_sets(&desk->book, "token:a"));
    assert_false(book_drop_sets(&desk->book, "token:c"));
}

static void one_with_nothing_but_a_dropped_set_point_is_not_in_force(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(.priority = 9, .exclusive = true, SET(700)), 8 * HOUR, 10 * HOUR));
    struct constraint other = draft("b", WISH(.priority = 1, SET(400)), 8 * HOUR, 10 * HOUR);
    snprintf(other.created_by, sizeof other.created_by, "token:b");
    put(desk, other);
    advance(desk);
    assert_true(book_drop_sets(&desk->book, "token:a"));
    assert_int_equal(set_now(desk), 400);
    assert_int_equal(desk->count, 1);
    assert_int_equal(desk->book.count, 2);
}

static void a_dropped_set_point_returns_with_the_replacement(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(SET(700), MAX(900)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    assert_true(book_drop_sets(&desk->book, "token:a"));
    put(desk, draft("a", WISH(SET(600), MAX(900)), 8 * HOUR, 10 * HOUR));
    assert_int_equal(set_now(desk), 600);
}

static void a_set_point_dropped_before_its_start_stays_dropped(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(SET(700), MAX(900)), 10 * HOUR, 11 * HOUR));
    advance(desk);
    assert_false(book_drop_sets(&desk->book, "token:a"));
    run_to(desk, 10 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
}

static void gates_are_kept_from_one_decision_to_the_next(void **state) {
    struct desk *desk = *state;
    put(desk, draft("other", WISH(.priority = 7, MAX(4000)), 10 * HOUR, 11 * HOUR));
    put(desk, draft("a", WISH(.priority = 5, MIN_SOC(20)), 8 * HOUR, 12 * HOUR));
    advance(desk);
    desk->soc = 20;
    decide_now(desk);
    assert_true(book_find(&desk->book, "a")->min_gate_closed);
    run_to(desk, 10 * HOUR); /* its index among the wishes is another one now */
    desk->soc = 20.5;
    decide_now(desk);
    assert_int_equal(desk->decision.min, 0);
    desk->soc = 21;
    decide_now(desk);
    assert_int_equal(desk->decision.min, -5000);
    assert_false(book_find(&desk->book, "a")->min_gate_closed);
}

static void gates_are_given_on_when_it_is_renewed(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(MIN_SOC(20), MAX_SOC(90)), 8 * HOUR, 12 * HOUR));
    advance(desk);
    desk->soc = 20;
    decide_now(desk);
    put(desk, draft("a", WISH(MIN_SOC(20)), 8 * HOUR, 13 * HOUR));
    desk->soc = 20.5;
    decide_now(desk);
    assert_int_equal(desk->decision.min, 0);
    put(desk, draft("a", WISH(MAX(100)), 8 * HOUR, 13 * HOUR));
    assert_false(book_find(&desk->book, "a")->min_gate_closed);
}

/* --- how many --------------------------------------------------------------------------------- */

static struct constraint numbered(int i, const char *creator, int64_t from) {
    char id[ID_SIZE];
    snprintf(id, sizeof id, "%s/%d", creator, i);
    struct constraint constraint =
        draft(id, WISH(.priority = i, MAX(i)), from, 10 * HOUR + i * MINUTE);
    snprintf(constraint.created_by, sizeof constraint.created_by, "token:%s", creator);
    return constraint;
}

static void put_many(struct desk *desk, const char *creator, int count, int64_t from) {
    for (int i = 0; i < count; i++)
        put(desk, numbered(i, creator, from));
}

static void two_hundred_and_fifty_start_and_end_one_by_one(void **state) {
    struct desk *desk = *state;
    put_many(desk, "a", 250, 8 * HOUR);
    advance(desk);
    decide_now(desk);
    assert_int_equal(desk->count, 250);
    for (int i = 0; i < 250; i++) {
        assert_int_equal(desk->decision.max, i);
        assert_int_equal(next_in(desk), i ? MINUTE : HOUR);
        assert_true(run_for(desk, next_in(desk)));
        decide_now(desk);
        assert_int_equal(desk->count, 249 - i);
    }
    assert_int_equal(desk->ended, 250);
    assert_int_equal(next_in(desk), INT64_MAX);
}

static void the_book_is_bounded_and_leaves_room_for_the_fallback(void **state) {
    struct desk *desk = *state;
    put_many(desk, "a", BOOK_MAXIMUM, 8 * HOUR);
    advance(desk);
    assert_int_equal(try_put(desk, draft("more", WISH(SET(1)), 8 * HOUR, 10 * HOUR)), ERR_FULL);
    assert_int_equal(try_put(desk, numbered(7, "a", 9 * HOUR)), ERR_OK); /* a replacement */
    assert_int_equal(book_wishes(&desk->book, desk->wishes, desk->index), ARBITER_WISHES - 1);
}

struct admitted {
    char makes_way[CONSTRAINTS_PER_CREATOR][ID_SIZE];
    size_t count;
};

static int32_t may_touch = INT32_MAX;

/* `count` new ones of one creator, together. */
static enum err admit_many(struct desk *desk, const char *creator, size_t count, size_t coming,
                           struct admitted *out) {
    struct constraint constraints[CONSTRAINTS_PER_CREATOR + 1];
    struct constraint *items[CONSTRAINTS_PER_CREATOR + 1];
    char owner[CREATOR_SIZE];
    snprintf(owner, sizeof owner, "token:%s", creator);
    for (size_t i = 0; i < count; i++) {
        constraints[i] = numbered((int)(900 + i), creator, 8 * HOUR);
        items[i] = &constraints[i];
    }
    struct book_admission admission = {.items = items,
                                       .count = count,
                                       .created_by = owner,
                                       .max_priority = may_touch,
                                       .coming = coming,
                                       .coming_own = coming,
                                       .makes_way = out->makes_way};
    enum err err = book_admit(&desk->book, &admission);
    out->count = admission.makes_way_count;
    return err;
}

static enum err admit(struct desk *desk, const char *creator, struct admitted *out) {
    return admit_many(desk, creator, 1, 0, out);
}

static void put_creators(struct desk *desk, const char *creators, int64_t from) {
    for (const char *at = creators; *at; at++) {
        const char creator[] = {*at, '\0'};
        put_many(desk, creator, 50, from);
    }
}

static void one_creator_holds_at_most_50(void **state) {
    struct desk *desk = *state;
    struct admitted way = {0};
    put_many(desk, "a", 49, 8 * HOUR);
    advance(desk);
    assert_int_equal(admit(desk, "a", &way), ERR_OK);
    put(desk, numbered(49, "a", 8 * HOUR));
    assert_int_equal(admit(desk, "a", &way), ERR_LIMIT);
    assert_int_equal(admit(desk, "b", &way), ERR_OK);
    struct constraint renewed = numbered(3, "a", 8 * HOUR);
    struct constraint *items[] = {&renewed};
    struct book_admission admission = {
        .items = items, .count = 1, .created_by = "token:a", .makes_way = way.makes_way};
    assert_int_equal(book_admit(&desk->book, &admission), ERR_OK);
    assert_int_equal(admission.makes_way_count, 0);
}

static void a_full_device_refuses_when_nothing_is_scheduled(void **state) {
    struct desk *desk = *state;
    struct admitted way = {0};
    put_creators(desk, "abcde", 8 * HOUR);
    advance(desk);
    assert_int_equal(admit(desk, "f", &way), ERR_FULL);
    assert_int_equal(way.count, 0);
}

static void on_a_full_device_the_lowest_scheduled_one_of_the_creator_makes_way(void **state) {
    struct desk *desk = *state;
    struct admitted way = {0};
    put_creators(desk, "abcd", 8 * HOUR);
    put_many(desk, "e", 20, 8 * HOUR);
    put_many(desk, "f", 29, 9 * HOUR + MINUTE);
    put(desk, numbered(40, "e", 9 * HOUR + MINUTE));
    advance(desk);
    assert_int_equal(admit(desk, "f", &way), ERR_OK);
    assert_int_equal(way.count, 1);
    assert_string_equal(way.makes_way[0], "f/0");
    assert_int_equal(admit(desk, "e", &way), ERR_OK);
    assert_string_equal(way.makes_way[0], "e/40");
    assert_int_equal(admit(desk, "a", &way), ERR_LIMIT);
    assert_int_equal(admit(desk, "g", &way), ERR_FULL);
    /* Together: each makes one more go, until none is scheduled. */
    assert_int_equal(admit_many(desk, "f", 29, 0, &way), ERR_OK);
    assert_int_equal(way.count, 29);
    assert_string_equal(way.makes_way[28], "f/28");
    assert_int_equal(admit_many(desk, "f", 30, 0, &way), ERR_FULL);
}

/* A token that has the name of one before it, or a login that may less by now. */
static void what_has_a_priority_beyond_the_creator_makes_no_way(void **state) {
    struct desk *desk = *state;
    struct admitted way = {0};
    put_creators(desk, "abcd", 8 * HOUR);
    put_many(desk, "e", 49, 8 * HOUR);
    struct constraint higher = numbered(1, "f", 9 * HOUR + MINUTE);
    put(desk, higher);
    advance(desk);
    may_touch = higher.wish.priority - 1;
    assert_int_equal(admit(desk, "f", &way), ERR_FULL);
    assert_int_equal(way.count, 0);
    may_touch = higher.wish.priority;
    assert_int_equal(admit(desk, "f", &way), ERR_OK);
    assert_string_equal(way.makes_way[0], "f/1");
    may_touch = INT32_MAX;
}

static void what_comes_together_counts_together(void **state) {
    struct desk *desk = *state;
    struct admitted way = {0};
    put_many(desk, "a", 20, 8 * HOUR);
    advance(desk);
    assert_int_equal(admit_many(desk, "a", 30, 0, &way), ERR_OK);
    assert_int_equal(admit_many(desk, "a", 31, 0, &way), ERR_LIMIT);
    assert_int_equal(admit_many(desk, "a", 20, 10, &way), ERR_OK); /* ten are on their way */
    assert_int_equal(admit_many(desk, "a", 21, 10, &way), ERR_LIMIT);
    assert_int_equal(book_make_room(&desk->book, BOOK_MAXIMUM - 20), ERR_OK);
    assert_int_equal(book_make_room(&desk->book, BOOK_MAXIMUM - 19), ERR_FULL);
}

static void proposals_do_not_count_at_the_door(void **state) {
    struct desk *desk = *state;
    struct admitted way = {0};
    for (int i = 0; i < 60; i++) {
        struct constraint proposal = numbered(i, "p", 8 * HOUR);
        snprintf(proposal.policy_key, sizeof proposal.policy_key, "k%d", i);
        put(desk, proposal);
    }
    put_creators(desk, "abcd", 8 * HOUR);
    put_many(desk, "e", 49, 8 * HOUR);
    advance(desk);
    assert_int_equal(admit(desk, "e", &way), ERR_OK);
    assert_int_equal(way.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_book_waits_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_window_is_half_open, setup, teardown),
        cmocka_unit_test_setup_teardown(adjacent_windows_change_over_in_one_advance, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_11_of_equal_priorities_the_later_accepted_wins, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_12_a_loser_comes_back_when_its_winner_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_22_a_proposal_replaces_its_predecessor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_that_is_over_when_it_is_loaded_goes_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_is_in_force_before_the_first_advance, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            one_that_is_put_later_is_in_force_at_once_and_the_next_advance_says_so, setup,
            teardown),
        cmocka_unit_test_setup_teardown(removing_one_ends_it_without_a_word, setup, teardown),
        cmocka_unit_test_setup_teardown(valid_for_runs_on_the_monotonic_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(valid_for_goes_on_in_another_book_and_a_proposal_does_not,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            valid_for_in_the_future_starts_by_the_wall_and_then_runs_on_the_monotonic_clock, setup,
            teardown),
        cmocka_unit_test_setup_teardown(valid_for_that_was_stored_runs_on_to_its_wall_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_lapsed_lease_waits_for_a_successor_that_a_step_back_made_late, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lapsed_lease_waits_at_most_25_hours, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lapsed_lease_does_not_wait_when_its_successor_is_removed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(renewing_keeps_the_rank, setup, teardown),
        cmocka_unit_test_setup_teardown(renewing_with_another_priority_moves_it, setup, teardown),
        cmocka_unit_test_setup_teardown(renewing_leaves_no_gap_and_the_old_end_means_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(renewing_with_a_later_start_ends_it_until_then, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(putting_the_same_object_again_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_stand_in_the_order_of_the_arbiter, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_stale_meter_drops_set_points_of_its_creator_and_keeps_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(one_with_nothing_but_a_dropped_set_point_is_not_in_force,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_dropped_set_point_returns_with_the_replacement, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_set_point_dropped_before_its_start_stays_dropped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gates_are_kept_from_one_decision_to_the_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gates_are_given_on_when_it_is_renewed, setup, teardown),
        cmocka_unit_test_setup_teardown(two_hundred_and_fifty_start_and_end_one_by_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_book_is_bounded_and_leaves_room_for_the_fallback, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_creator_holds_at_most_50, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_device_refuses_when_nothing_is_scheduled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            on_a_full_device_the_lowest_scheduled_one_of_the_creator_makes_way, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_a_priority_beyond_the_creator_makes_no_way, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_comes_together_counts_together, setup, teardown),
        cmocka_unit_test_setup_teardown(proposals_do_not_count_at_the_door, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
