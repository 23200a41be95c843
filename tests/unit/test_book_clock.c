#include "book_desk.h"

/* --- steps of the wall clock ------------------------------------------------------------------ */

static void put_stepped(struct desk *desk) {
    put(desk, draft("a", WISH(SET(700), MAX(900)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    run_for(desk, 10 * MINUTE); /* 9:10, 50 minutes are left */
}

static void
after_a_step_forward_the_set_point_ends_by_the_wall_and_the_bound_runs_on(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    assert_false(step(desk, 30 * MINUTE)); /* 9:40 */
    assert_int_equal(set_now(desk), 700);
    assert_int_equal(next_in(desk), 20 * MINUTE);
    assert_true(run_for(desk, 20 * MINUTE));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    assert_true(book_find(&desk->book, "a")->set_dropped);
    assert_int_equal(next_in(desk), 30 * MINUTE);
    assert_false(run_for(desk, 30 * MINUTE - 1));
    assert_true(run_for(desk, 1));
    assert_int_equal(max_now(desk), 5000);
    assert_int_equal(desk->ended, 1);
}

static void after_a_step_over_the_end_the_set_point_ends_at_once(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    assert_true(step(desk, 3 * HOUR));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 50 * MINUTE);
    assert_int_equal(max_now(desk), 5000);
}

static void after_a_step_back_the_set_point_ends_by_the_monotonic_clock(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    assert_false(step(desk, -30 * MINUTE)); /* 8:40 */
    assert_int_equal(next_in(desk), 50 * MINUTE);
    assert_true(run_for(desk, 50 * MINUTE)); /* 9:30 */
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    assert_int_equal(next_in(desk), 30 * MINUTE);
    assert_false(run_for(desk, 30 * MINUTE - 1));
    assert_true(run_for(desk, 1));
    assert_int_equal(max_now(desk), 5000);
}

static void a_step_back_before_its_start_does_not_stop_what_runs(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    step(desk, -5 * HOUR);
    assert_int_equal(set_now(desk), 700);
    assert_int_equal(max_now(desk), 900);
}

static void a_step_that_is_taken_back_leaves_the_ends_as_they_were(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    step(desk, 30 * MINUTE);
    run_for(desk, MINUTE);
    step(desk, -30 * MINUTE);
    assert_int_equal(next_in(desk), 49 * MINUTE);
    run_to(desk, 10 * HOUR - 1);
    assert_int_equal(set_now(desk), 700);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
    assert_int_equal(desk->book.count, 0);
}

static void steps_add_up(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    step(desk, 10 * MINUTE);
    step(desk, 20 * MINUTE); /* 9:40, still 50 minutes by the monotonic clock */
    run_for(desk, 50 * MINUTE - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void a_set_point_that_has_ended_does_not_come_back(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    step(desk, 3 * HOUR);
    step(desk, -3 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
}

static void up_to_two_seconds_are_a_drift_that_both_clocks_follow(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    for (int i = 0; i < 600; i++)
        step(desk, 2 * SECOND); /* 20 minutes in all */
    assert_int_equal(next_in(desk), 30 * MINUTE);
    run_to(desk, 10 * HOUR - 1);
    assert_int_equal(set_now(desk), 700);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void more_than_two_seconds_are_a_step(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    step(desk, 2 * SECOND + 1);
    run_to(desk, 10 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 2 * SECOND + 1);
    assert_int_equal(max_now(desk), 5000);
}

static void one_with_a_set_point_alone_ends_with_it(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(SET(700)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    assert_true(step(desk, 3 * HOUR));
    assert_int_equal(desk->book.count, 0);
    assert_int_equal(desk->ended, 1);
}

static void a_state_of_charge_bound_stays_like_a_bound(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(SET(700), MIN_SOC(20)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    step(desk, 3 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(desk->book.count, 1);
}

static void after_a_step_of_either_kind_no_bound_ends_before_its_successor_starts(void **state) {
    struct desk *desk = *state;
    const int64_t steps[] = {-3 * HOUR,  -20 * MINUTE, -3 * SECOND,
                             3 * SECOND, 20 * MINUTE,  59 * MINUTE};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        desk_open(desk);
        put(desk, draft("a", WISH(MAX(1000)), 9 * HOUR, 10 * HOUR));
        put(desk, draft("b", WISH(MAX(2000)), 10 * HOUR, 11 * HOUR));
        advance(desk);
        step(desk, steps[i]);
        while (desk->now.wall.ms < DAY + 11 * HOUR) {
            assert_in_range(max_now(desk), 1000, 2000);
            if (desk->now.wall.ms >= DAY + 10 * HOUR)
                assert_non_null(book_find(&desk->book, "b"));
            run_for(desk, next_in(desk));
        }
        book_free(&desk->book);
    }
}

static void a_step_that_is_first_seen_by_a_put_still_counts_for_the_others(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    desk->now.wall.ms += 30 * MINUTE;
    put(desk, draft("b", WISH(MIN(-100)), 9 * HOUR, 12 * HOUR));
    advance(desk);
    run_to(desk, 10 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    run_to(desk, 12 * HOUR); /* b started after the step: not moved by it */
    assert_int_equal(desk->book.count, 0);
}

static void what_the_wall_clock_steps_over_never_runs(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(SET(1)), 10 * HOUR, 11 * HOUR));
    advance(desk);
    assert_true(step(desk, 2 * HOUR));
    assert_int_equal(desk->ended, 1);
    assert_int_equal(set_now(desk), NOTHING);
}

/* --- a clock that is not trusted -------------------------------------------------------------- */

static void trust(struct desk *desk, int64_t time_of_day) {
    desk->now.wall.ms = DAY + time_of_day;
    desk->now.trusted = true;
    advance(desk);
}

/* Loaded after a restart in 1970: the floor is 9:00, which is what now.wall starts from. */
static void load_untrusted(struct desk *desk) {
    desk->now.trusted = false;
    put(desk, draft("a", WISH(SET(700), MAX(900)), 8 * HOUR, 10 * HOUR));
    advance(desk);
}

static void what_was_in_force_at_the_floor_is_in_force(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    assert_int_equal(set_now(desk), 700);
    assert_int_equal(max_now(desk), 900);
}

static void without_trust_set_points_end_by_the_lower_bound_and_bounds_stay_25_hours(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    assert_int_equal(next_in(desk), HOUR);
    assert_true(run_for(desk, HOUR));
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    assert_int_equal(next_in(desk), 24 * HOUR);
    assert_false(run_for(desk, 24 * HOUR - 1));
    assert_int_equal(max_now(desk), 900);
    assert_true(run_for(desk, 1));
    assert_int_equal(max_now(desk), 5000);
}

static void a_bound_longer_than_the_hold_stays_to_its_end(void **state) {
    struct desk *desk = *state;
    desk->now.trusted = false;
    put(desk, draft("a", WISH(MAX(900)), 8 * HOUR, 40 * HOUR));
    advance(desk);
    run_for(desk, 26 * HOUR);
    assert_int_equal(max_now(desk), 900);
    run_to(desk, 40 * HOUR);
    assert_int_equal(max_now(desk), 5000);
}

/* Readers have the sheet, and the change is the first that sees the clock: others move first. */
static void what_is_renewed_when_trust_comes_takes_the_place_of_the_old(void **state) {
    struct desk *desk = *state;
    put(desk, draft("b", WISH(MAX(950)), 8 * HOUR, 10 * HOUR));
    load_untrusted(desk);
    struct sheet *seen = book_share(&desk->book);
    run_for(desk, MINUTE);
    sheet_release(seen);
    seen = book_share(&desk->book);
    desk->now.trusted = true;
    put(desk, draft("a", WISH(SET(600), MAX(800)), 8 * HOUR, 11 * HOUR));
    advance(desk);
    assert_int_equal(desk->book.count, 2);
    assert_int_equal(set_now(desk), 600);
    assert_int_equal(max_now(desk), 800);
    run_to(desk, 10 * HOUR);
    assert_int_equal(max_now(desk), 800);
    run_to(desk, 11 * HOUR);
    assert_int_equal(max_now(desk), 5000);
    assert_int_equal(seen->count, 2);
    sheet_release(seen);
}

static void when_trust_comes_what_is_over_ends(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    run_for(desk, MINUTE);
    trust(desk, 15 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 5000);
    assert_int_equal(desk->ended, 1);
}

static void when_trust_comes_what_still_holds_ends_by_the_wall(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    run_for(desk, MINUTE);
    trust(desk, 9 * HOUR + 50 * MINUTE);
    assert_int_equal(set_now(desk), 700);
    assert_int_equal(next_in(desk), 10 * MINUTE);
    run_to(desk, 10 * HOUR);
    assert_int_equal(max_now(desk), 5000);
}

static void without_trust_starting_by_the_lower_bound_is_right(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    put(desk, draft("b", WISH(MAX(400)), 9 * HOUR + 5 * MINUTE, 9 * HOUR + 10 * MINUTE));
    advance(desk);
    run_for(desk, 5 * MINUTE);
    assert_int_equal(max_now(desk), 400);
    run_for(desk, 10 * MINUTE);
    assert_int_equal(max_now(desk), 400); /* its end is not known */
    trust(desk, 9 * HOUR + 30 * MINUTE);
    assert_int_equal(max_now(desk), 900);
}

static void without_trust_what_is_over_by_the_lower_bound_never_starts(void **state) {
    struct desk *desk = *state;
    desk->now.trusted = false;
    put(desk, draft("a", WISH(MAX(900)), 7 * HOUR, 9 * HOUR));
    advance(desk);
    assert_int_equal(desk->book.count, 0);
}

static void without_trust_a_new_lease_lapses_on_the_monotonic_clock(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    put(desk, draft_for(desk, "lease", WISH(.priority = 9, MAX(300)), 15 * SECOND));
    advance(desk);
    run_for(desk, 15 * SECOND - 1);
    assert_int_equal(max_now(desk), 300);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 900);
}

static void a_new_lease_is_not_cut_short_when_trust_comes(void **state) {
    struct desk *desk = *state;
    load_untrusted(desk);
    put(desk, draft_for(desk, "lease", WISH(.priority = 9, MAX(300)), 15 * MINUTE));
    advance(desk);
    run_for(desk, 5 * MINUTE);
    trust(desk, 20 * HOUR);
    assert_int_equal(max_now(desk), 300);
    run_for(desk, 10 * MINUTE);
    assert_int_equal(max_now(desk), 5000);
}

static void a_stored_lease_stays_until_trust_and_ends_by_its_wall_end(void **state) {
    struct desk *desk = *state;
    desk->now.trusted = false;
    struct constraint stored = draft("a", WISH(SET(700), MAX(900)), 8 * HOUR, 10 * HOUR);
    stored.valid_for_ms = 2 * HOUR;
    put(desk, stored);
    advance(desk);
    run_for(desk, 2 * HOUR);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    trust(desk, 11 * HOUR + 30 * MINUTE);
    assert_int_equal(max_now(desk), 5000);
}

static void a_stored_lease_that_still_holds_at_trust_runs_on_the_monotonic_clock(void **state) {
    struct desk *desk = *state;
    desk->now.trusted = false;
    struct constraint stored = draft("a", WISH(MAX(900)), 8 * HOUR, 10 * HOUR);
    stored.valid_for_ms = 2 * HOUR;
    put(desk, stored);
    advance(desk);
    run_for(desk, MINUTE);
    trust(desk, 9 * HOUR + 30 * MINUTE);
    step(desk, -HOUR);
    run_for(desk, 30 * MINUTE - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void when_trust_is_lost_bounds_stay_and_set_points_end_by_the_earlier_clock(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    desk->now.trusted = false;
    assert_false(step(desk, -4 * HOUR)); /* the floor is an old one */
    run_for(desk, 50 * MINUTE);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 10 * HOUR);
    assert_int_equal(max_now(desk), 900);
    trust(desk, 20 * HOUR + 10 * MINUTE);
    assert_int_equal(max_now(desk), 5000);
}

static void the_hold_counts_from_the_loss_of_trust(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    desk->now.trusted = false;
    advance(desk);
    run_for(desk, 25 * HOUR - 1);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 1);
    assert_int_equal(max_now(desk), 5000);
}

static void a_bound_known_before_trust_was_lost_ends_at_the_later_clock_after(void **state) {
    struct desk *desk = *state;
    put_stepped(desk);
    desk->now.trusted = false;
    advance(desk);
    run_for(desk, 10 * MINUTE);
    trust(desk, 9 * HOUR + 55 * MINUTE); /* the monotonic clock says 9:20 */
    run_for(desk, 5 * MINUTE);
    assert_int_equal(set_now(desk), NOTHING);
    assert_int_equal(max_now(desk), 900);
    run_for(desk, 35 * MINUTE);
    assert_int_equal(max_now(desk), 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            after_a_step_forward_the_set_point_ends_by_the_wall_and_the_bound_runs_on, setup,
            teardown),
        cmocka_unit_test_setup_teardown(after_a_step_over_the_end_the_set_point_ends_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(after_a_step_back_the_set_point_ends_by_the_monotonic_clock,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_step_back_before_its_start_does_not_stop_what_runs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_step_that_is_taken_back_leaves_the_ends_as_they_were,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(steps_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_set_point_that_has_ended_does_not_come_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(up_to_two_seconds_are_a_drift_that_both_clocks_follow,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_two_seconds_are_a_step, setup, teardown),
        cmocka_unit_test_setup_teardown(one_with_a_set_point_alone_ends_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_of_charge_bound_stays_like_a_bound, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            after_a_step_of_either_kind_no_bound_ends_before_its_successor_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_step_that_is_first_seen_by_a_put_still_counts_for_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_wall_clock_steps_over_never_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_in_force_at_the_floor_is_in_force, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            without_trust_set_points_end_by_the_lower_bound_and_bounds_stay_25_hours, setup,
            teardown),
        cmocka_unit_test_setup_teardown(a_bound_longer_than_the_hold_stays_to_its_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_renewed_when_trust_comes_takes_the_place_of_the_old,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(when_trust_comes_what_is_over_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(when_trust_comes_what_still_holds_ends_by_the_wall, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_trust_starting_by_the_lower_bound_is_right, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_trust_what_is_over_by_the_lower_bound_never_starts,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(without_trust_a_new_lease_lapses_on_the_monotonic_clock,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_lease_is_not_cut_short_when_trust_comes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stored_lease_stays_until_trust_and_ends_by_its_wall_end,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_stored_lease_that_still_holds_at_trust_runs_on_the_monotonic_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(
            when_trust_is_lost_bounds_stay_and_set_points_end_by_the_earlier_clock, setup,
            teardown),
        cmocka_unit_test_setup_teardown(the_hold_counts_from_the_loss_of_trust, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_bound_known_before_trust_was_lost_ends_at_the_later_clock_after, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
