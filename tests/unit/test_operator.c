/* The states of the grid operator's box: every input in every state, the boundaries of each time,
 * and random histories against the rules put another way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "operator/operator.h"

#define HOUR 3600000LL
#define BEAT OPERATOR_HEARTBEAT_MS

static const struct operator_terms terms = {
    .heartbeat_ms = BEAT, .duration_ms = 2 * HOUR, .failsafe = {.has_max = true, .max = 4200}};
static const struct operator_limit none;
static const struct operator_limit dimmed = {.has_max = true, .max = 1000};

static struct mono at(int64_t ms) {
    return (struct mono){ms};
}

#define START 1000000LL

static struct operator begun(void) {
    struct operator operator;
    operator_start(&operator, at(START), NULL, 0);
    return operator;
}

/* The box, its heartbeat there, has just stated a limit, at `now_ms`. */
static void state_limit(struct operator* operator, struct operator_limit limit, int64_t now_ms) {
    operator_heartbeat(operator, & terms, at(now_ms));
    assert_true(operator_state_limit(operator, & terms, &limit, OPERATOR_NEVER, at(now_ms)));
}

/* In that state at START + 10 h, which it has just entered. */
#define THEN (START + 10 * HOUR)
static struct operator brought(enum operator_state state) {
    struct operator operator;
    switch (state) {
    case OPERATOR_INIT:
        operator_start(&operator, at(THEN), NULL, 0);
        return operator;
    case OPERATOR_LIMITED:
        operator_start(&operator, at(START), NULL, 0);
        state_limit(&operator, dimmed, THEN);
        break;
    case OPERATOR_UNLIMITED_CONTROLLED:
        operator_start(&operator, at(START), NULL, 0);
        state_limit(&operator, none, THEN);
        break;
    case OPERATOR_FAILSAFE:
        operator_start(&operator, at(START), NULL, 0);
        state_limit(&operator, dimmed, THEN - BEAT);
        operator_advance(&operator, & terms, at(THEN));
        break;
    default:
        operator_start(&operator, at(THEN - BEAT - 2 * HOUR), NULL, 0);
        operator_advance(&operator, & terms, at(THEN));
        break;
    }
    assert_int_equal(operator.state, state);
    assert_int_equal(operator.since_ms, THEN);
    return operator;
}

static void assert_holds(const struct operator* operator, struct operator_limit limit) {
    assert_true(operator_same_limit(operator_in_force(operator, & terms), limit));
}

/* --- the table ---------------------------------------------------------------------------------
 */

enum input {
    HEARTBEAT,
    LIMIT, /* without a heartbeat before it, beyond those that the state itself has had */
    HEARTBEAT_THEN_LIMIT,
    HEARTBEAT_THEN_NONE,
    BEAT_PASSES,    /* without any word */
    DURATION_PASSES /* after it, without any word */
};

struct row {
    enum operator_state from;
    enum input input;
    enum operator_state to;
};

#define I OPERATOR_INIT
#define C OPERATOR_UNLIMITED_CONTROLLED
#define L OPERATOR_LIMITED
#define F OPERATOR_FAILSAFE
#define A OPERATOR_UNLIMITED_AUTONOMOUS

static const struct row rows[] = {
    {I, HEARTBEAT, I},           {I, LIMIT, I},       {I, HEARTBEAT_THEN_LIMIT, L},
    {I, HEARTBEAT_THEN_NONE, C}, {I, BEAT_PASSES, F}, {I, DURATION_PASSES, A},
    {C, HEARTBEAT, C},           {C, LIMIT, L},       {C, HEARTBEAT_THEN_LIMIT, L},
    {C, HEARTBEAT_THEN_NONE, C}, {C, BEAT_PASSES, F}, {C, DURATION_PASSES, A},
    {L, HEARTBEAT, L},           {L, LIMIT, L},       {L, HEARTBEAT_THEN_LIMIT, L},
    {L, HEARTBEAT_THEN_NONE, C}, {L, BEAT_PASSES, F}, {L, DURATION_PASSES, A},
    {F, HEARTBEAT, F},           {F, LIMIT, F},       {F, HEARTBEAT_THEN_LIMIT, L},
    {F, HEARTBEAT_THEN_NONE, C}, {F, BEAT_PASSES, F}, {F, DURATION_PASSES, A},
    {A, HEARTBEAT, A},           {A, LIMIT, A},       {A, HEARTBEAT_THEN_LIMIT, L},
    {A, HEARTBEAT_THEN_NONE, C}, {A, BEAT_PASSES, A}, {A, DURATION_PASSES, A},
};

#undef I
#undef C
#undef L
#undef F
#undef A

static const struct operator_limit other = {
    .has_min = true, .min = -600, .has_max = true, .max = 0};

static void feed(struct operator* operator, enum input input) {
    struct mono now = at(THEN + 1);
    switch (input) {
    case HEARTBEAT:
        operator_heartbeat(operator, & terms, now);
        break;
    case LIMIT:
        assert_int_equal(operator_state_limit(operator, & terms, &other, OPERATOR_NEVER, now),
                         operator_controlled(operator->state));
        break;
    case HEARTBEAT_THEN_LIMIT:
        operator_heartbeat(operator, & terms, now);
        assert_true(operator_state_limit(operator, & terms, &other, OPERATOR_NEVER, now));
        break;
    case HEARTBEAT_THEN_NONE:
        operator_heartbeat(operator, & terms, now);
        assert_true(operator_state_limit(operator, & terms, &none, OPERATOR_NEVER, now));
        break;
    case BEAT_PASSES:
        operator_advance(operator, & terms, at(THEN + BEAT));
        break;
    case DURATION_PASSES:
        operator_advance(operator, & terms, at(THEN + BEAT + 2 * HOUR));
        break;
    }
}

static void every_input_in_every_state(void **state) {
    (void)state;
    assert_int_equal(sizeof rows / sizeof *rows, OPERATOR_STATE_COUNT * (DURATION_PASSES + 1));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct operator operator= brought(rows[i].from);
        feed(&operator, rows[i].input);
        if (operator.state != rows[i].to)
            fail_msg("%s, input %d: %s, expected %s", operator_state_name(rows[i].from),
                     (int)rows[i].input, operator_state_name(operator.state),
                     operator_state_name(rows[i].to));
        bool told = rows[i].input == LIMIT || rows[i].input == HEARTBEAT_THEN_LIMIT;
        assert_holds(&operator, operator.state == OPERATOR_UNLIMITED_CONTROLLED ? none :
                                operator.state != OPERATOR_LIMITED              ? terms.failsafe
                                : told                                          ? other
                                                                                : dimmed);
    }
}

/* --- times -------------------------------------------------------------------------------------
 */

static void boot_is_failsafe_until_a_heartbeat_with_a_limit(void **state) {
    (void)state;
    struct operator operator= begun();
    assert_int_equal(operator.state, OPERATOR_INIT);
    assert_holds(&operator, terms.failsafe);
    assert_false(operator_state_limit(&operator, & terms, &none, OPERATOR_NEVER, at(START + 1)));
    operator_heartbeat(&operator, & terms, at(START + 2));
    assert_holds(&operator, terms.failsafe);
    assert_true(operator_state_limit(&operator, & terms, &none, OPERATOR_NEVER, at(START + 3)));
    assert_holds(&operator, none);
}

static void a_heartbeat_is_missed_after_120_s_and_not_before(void **state) {
    (void)state;
    struct operator operator= begun();
    state_limit(&operator, dimmed, START);
    assert_int_equal(operator_next(&operator, & terms), START + 120000);
    assert_int_equal(operator_missing_at(&operator, & terms), START + 120000);
    assert_false(operator_advance(&operator, & terms, at(START + 119999)));
    assert_holds(&operator, dimmed);
    assert_true(operator_advance(&operator, & terms, at(START + 120000)));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    assert_holds(&operator, terms.failsafe);
    assert_int_equal(operator_missing_at(&operator, & terms), 0);
}

static void heartbeats_keep_a_limit_for_as_long_as_they_come(void **state) {
    (void)state;
    struct operator operator= begun();
    state_limit(&operator, dimmed, START);
    for (int64_t now_ms = START; now_ms < START + 100 * HOUR; now_ms += 119999)
        assert_false(operator_heartbeat(&operator, & terms, at(now_ms)));
    assert_holds(&operator, dimmed);
}

static void a_limit_with_a_duration_ends_and_one_without_does_not(void **state) {
    (void)state;
    struct operator operator= begun();
    operator_heartbeat(&operator, & terms, at(START));
    assert_true(operator_state_limit(&operator, & terms, &dimmed, START + 60000, at(START)));
    assert_int_equal(operator_next(&operator, & terms), START + 60000);
    operator_advance(&operator, & terms, at(START + 59999));
    assert_holds(&operator, dimmed);
    operator_advance(&operator, & terms, at(START + 60000));
    assert_int_equal(operator.state, OPERATOR_UNLIMITED_CONTROLLED);
    assert_holds(&operator, none);
}

static void a_limit_whose_end_has_passed_is_none(void **state) {
    (void)state;
    struct operator operator= begun();
    operator_heartbeat(&operator, & terms, at(START));
    assert_true(operator_state_limit(&operator, & terms, &dimmed, START, at(START)));
    assert_int_equal(operator.state, OPERATOR_UNLIMITED_CONTROLLED);
}

static void failsafe_ends_with_its_duration_in_a_state_that_keeps_its_limit(void **state) {
    (void)state;
    struct operator operator= brought(OPERATOR_FAILSAFE);
    assert_int_equal(operator_next(&operator, & terms), THEN + 2 * HOUR);
    operator_advance(&operator, & terms, at(THEN + 2 * HOUR - 1));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    operator_advance(&operator, & terms, at(THEN + 2 * HOUR));
    assert_int_equal(operator.state, OPERATOR_UNLIMITED_AUTONOMOUS);
    assert_holds(&operator, terms.failsafe);
    assert_int_equal(operator_next(&operator, & terms), OPERATOR_NEVER);
}

static void a_box_that_is_back_has_120_s_to_state_its_limit(void **state) {
    (void)state;
    struct operator operator= brought(OPERATOR_FAILSAFE);
    operator_heartbeat(&operator, & terms, at(THEN + 1000));
    operator_heartbeat(&operator, & terms, at(THEN + 61000));
    assert_int_equal(operator_next(&operator, & terms), THEN + 1000 + BEAT);
    operator_advance(&operator, & terms, at(THEN + 1000 + BEAT - 1));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    operator_advance(&operator, & terms, at(THEN + 1000 + BEAT));
    assert_int_equal(operator.state, OPERATOR_UNLIMITED_AUTONOMOUS);
    assert_holds(&operator, terms.failsafe);
}

static void one_stray_heartbeat_changes_nothing(void **state) {
    (void)state;
    struct operator operator= brought(OPERATOR_FAILSAFE);
    operator_heartbeat(&operator, & terms, at(THEN + 1000));
    operator_advance(&operator, & terms, at(THEN + 1000 + BEAT));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    assert_int_equal(operator.since_ms, THEN);
    assert_int_equal(operator_next(&operator, & terms), THEN + 2 * HOUR);
    assert_false(
        operator_state_limit(&operator, & terms, &none, OPERATOR_NEVER, at(THEN + 1000 + BEAT)));
}

static void a_box_that_is_back_as_the_duration_ends_still_has_its_120_s(void **state) {
    (void)state;
    struct operator operator= brought(OPERATOR_FAILSAFE);
    int64_t back_ms = THEN + 2 * HOUR - 1000;
    operator_heartbeat(&operator, & terms, at(back_ms));
    operator_advance(&operator, & terms, at(THEN + 2 * HOUR));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    operator_advance(&operator, & terms, at(back_ms + BEAT)); /* lost again, and the time is over */
    assert_int_equal(operator.state, OPERATOR_UNLIMITED_AUTONOMOUS);
    assert_int_equal(operator.since_ms, back_ms + BEAT);
}

static void lost_again_failsafe_begins_anew(void **state) {
    (void)state;
    struct operator operator= brought(OPERATOR_FAILSAFE);
    state_limit(&operator, none, THEN + HOUR);
    operator_advance(&operator, & terms, at(THEN + HOUR + BEAT));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    assert_int_equal(operator.since_ms, THEN + HOUR + BEAT);
    assert_int_equal(operator_next(&operator, & terms), THEN + HOUR + BEAT + 2 * HOUR);
}

static void time_that_comes_late_gives_what_it_would_have_given_in_time(void **state) {
    (void)state;
    struct operator operator= begun();
    operator_heartbeat(&operator, & terms, at(START));
    assert_true(operator_state_limit(&operator, & terms, &dimmed, START + 1000, at(START)));
    operator_advance(&operator, & terms, at(START + 100 * HOUR));
    assert_int_equal(operator.state, OPERATOR_UNLIMITED_AUTONOMOUS);
    assert_int_equal(operator.since_ms, START + BEAT + 2 * HOUR);
}

static void shortened_terms_take_effect_at_once(void **state) {
    (void)state;
    struct operator operator= begun();
    state_limit(&operator, dimmed, START);
    operator_advance(&operator, & terms, at(START + 50000));
    const struct operator_terms shorter = {
        .heartbeat_ms = 10000, .duration_ms = 2 * HOUR, .failsafe = terms.failsafe};
    operator_advance(&operator, & shorter, at(START + 50001));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    assert_int_equal(operator.since_ms, START + 50000);
}

/* --- a restart ---------------------------------------------------------------------------------
 */

static void the_limit_before_a_restart_counts_beside_failsafe(void **state) {
    (void)state;
    struct operator operator;
    const struct operator_limit strict = {
        .has_min = true, .min = -500, .has_max = true, .max = 900};
    operator_start(&operator, at(START), &strict, OPERATOR_NEVER);
    assert_holds(&operator, strict);
    operator_heartbeat(&operator, & terms, at(START + 1));
    assert_holds(&operator, strict);
    operator_start(&operator, at(START), &strict, OPERATOR_NEVER);
    operator_advance(&operator, & terms, at(START + BEAT));
    assert_int_equal(operator.state, OPERATOR_FAILSAFE);
    assert_holds(&operator, strict);
    operator_advance(&operator, & terms, at(START + BEAT + 2 * HOUR));
    assert_holds(&operator, terms.failsafe);
}

static void the_looser_limit_before_a_restart_loosens_nothing(void **state) {
    (void)state;
    struct operator operator;
    const struct operator_limit loose = {.has_max = true, .max = 9000};
    operator_start(&operator, at(START), &loose, OPERATOR_NEVER);
    assert_holds(&operator, terms.failsafe);
}

static void the_limit_before_a_restart_ends_with_its_own_duration(void **state) {
    (void)state;
    struct operator operator;
    operator_start(&operator, at(START), &dimmed, START + 5000);
    assert_int_equal(operator_next(&operator, & terms), START + 5000);
    assert_holds(&operator, dimmed);
    assert_true(operator_advance(&operator, & terms, at(START + 5000)));
    assert_int_equal(operator.state, OPERATOR_INIT);
    assert_holds(&operator, terms.failsafe);
    operator_start(&operator, at(START), &dimmed, START);
    assert_holds(&operator, terms.failsafe);
}

static void a_fresh_limit_takes_the_place_of_the_one_before_the_restart(void **state) {
    (void)state;
    struct operator operator;
    operator_start(&operator, at(START), &dimmed, OPERATOR_NEVER);
    const struct operator_limit wider = {.has_max = true, .max = 8000};
    state_limit(&operator, wider, START + 10);
    assert_holds(&operator, wider);
    operator_advance(&operator, & terms, at(START + 10 + BEAT));
    assert_holds(&operator, terms.failsafe); /* and not the one before the restart again */
}

/* --- limits ------------------------------------------------------------------------------------
 */

static void the_stricter_counts_in_each_direction(void **state) {
    (void)state;
    const struct operator_limit a = {.has_max = true, .max = 10, .has_min = true, .min = -5};
    const struct operator_limit b = {.has_max = true, .max = 0, .has_min = true, .min = -50};
    struct operator_limit both = operator_stricter(a, b);
    assert_int_equal(both.max, 0);
    assert_int_equal(both.min, -5);
    assert_true(operator_same_limit(operator_stricter(a, none), a));
    assert_true(operator_same_limit(operator_stricter(none, b), b));
    assert_true(operator_limits_nothing(operator_stricter(none, none)));
    assert_false(operator_same_limit(a, b));
}

/* --- random histories --------------------------------------------------------------------------
 */

/* Events stand at 4 n + 1, what time brings falls on 4 n + 2 and 4 n + 3, and it is looked at 4 n:
 * so nothing depends on which of two things at one moment comes first. */
#define STEPS  100
#define LENGTH (4L * STEPS)
#define R_BEAT 14
#define R_LAST 40

static const struct operator_terms quick = {
    .heartbeat_ms = R_BEAT, .duration_ms = R_LAST, .failsafe = {.has_max = true, .max = 4200}};

struct history {
    bool beat[LENGTH + 1];
    bool written[LENGTH + 1];
    struct operator_limit limit[LENGTH + 1];
    int64_t end[LENGTH + 1];
    struct operator_limit kept;
    int64_t kept_end;
};

/* No heartbeat for too long; before the first one the start stands for it. */
static bool missing(const struct history *history, int64_t t) {
    for (int64_t u = t; u > t - R_BEAT && u >= 0; u--)
        if (u == 0 || history->beat[u])
            return false;
    return true;
}

static bool heard_within(const struct history *history, int64_t t) {
    for (int64_t u = t; u > t - R_BEAT && u > 0; u--)
        if (history->beat[u])
            return true;
    return false;
}

static bool missing_between(const struct history *history, int64_t from, int64_t to) {
    for (int64_t u = from; u <= to; u++)
        if (missing(history, u))
            return true;
    return false;
}

/* The last limit that was written while the heartbeat was there, up to t; -1: none. */
static int64_t last_taken(const struct history *history, int64_t t) {
    for (int64_t w = t; w > 0; w--)
        if (history->written[w] && heard_within(history, w))
            return w;
    return -1;
}

/* Nobody has had control since `from` (the start, or the loss of the heartbeat): whether that has
 * become our own by t. */
static bool autonomous(const struct history *history, int64_t from, bool from_start, int64_t t) {
    /* A heartbeat that came and stayed for its time without a limit. */
    for (int64_t b = from; b + R_BEAT <= t; b++) {
        bool first = history->beat[b];
        for (int64_t u = b - 1; first && u > b - R_BEAT && u >= from; u--)
            first = !history->beat[u];
        if (first && heard_within(history, b + R_BEAT) && !missing_between(history, b, b + R_BEAT))
            return true;
    }
    /* The failsafe state has lasted, and the heartbeat is not there. */
    int64_t failsafe = from;
    while (from_start && failsafe <= t && !missing(history, failsafe))
        failsafe++;
    for (int64_t u = failsafe + R_LAST; u <= t; u++)
        if (missing(history, u))
            return true;
    return false;
}

static struct operator_limit expected(const struct history *history, int64_t t,
                                      enum operator_state *state) {
    int64_t taken = last_taken(history, t);
    int64_t lost = taken; /* when control was lost */
    while (taken >= 0 && lost <= t && !missing(history, lost))
        lost++;
    if (taken >= 0 && lost > t) {
        bool limits = !operator_limits_nothing(history->limit[taken]) && t < history->end[taken];
        *state = limits ? OPERATOR_LIMITED : OPERATOR_UNLIMITED_CONTROLLED;
        return limits ? history->limit[taken] : none;
    }
    if (autonomous(history, taken < 0 ? 0 : lost, taken < 0, t)) {
        *state = OPERATOR_UNLIMITED_AUTONOMOUS;
        return quick.failsafe;
    }
    *state = taken >= 0 || missing_between(history, 0, t) ? OPERATOR_FAILSAFE : OPERATOR_INIT;
    bool kept = taken < 0 && t < history->kept_end;
    return kept ? operator_stricter(quick.failsafe, history->kept) : quick.failsafe;
}

static unsigned long seed = 20261127;

static int draw(int count) {
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (int)(seed >> 33) % count;
}

static struct operator_limit draw_limit(void) {
    struct operator_limit limit = {.has_max = draw(3) > 0, .has_min = draw(3) == 0};
    limit.max = limit.has_max ? draw(12) * 1000 : 0;
    limit.min = limit.has_min ? -draw(12) * 1000 : 0;
    return limit;
}

static void draw_history(struct history *history) {
    int beats = 1 + draw(6), writes = 1 + draw(12);
    bool there = draw(2);
    memset(history, 0, sizeof *history);
    history->kept = draw_limit();
    history->kept_end = draw(2) ? OPERATOR_NEVER : 4L * draw(STEPS) + 2;
    for (int64_t t = 1; t <= LENGTH; t += 4) {
        there = draw(15) == 0 ? !there : there;
        history->beat[t] = there && draw(beats) == 0;
        history->written[t] = draw(writes) == 0;
        history->limit[t] = draw_limit();
        history->end[t] = draw(2) ? OPERATOR_NEVER : t + 4L * draw(8) + 2;
    }
}

static void random_histories_hold_what_the_rules_say(void **state) {
    (void)state;
    size_t seen[OPERATOR_STATE_COUNT] = {0};
    static struct history history;
    for (int run = 0; run < 2000; run++) {
        struct operator operator;
        int lateness = 1 + draw(4); /* how often anybody looks at it */
        draw_history(&history);
        operator_start(&operator, at(0), &history.kept, history.kept_end);
        for (int64_t t = 0; t <= LENGTH; t++) {
            if (history.beat[t])
                operator_heartbeat(&operator, & quick, at(t));
            if (history.written[t])
                (void)operator_state_limit(&operator, & quick, &history.limit[t], history.end[t],
                                           at(t));
            if (t % 4 || draw(lateness))
                continue;
            enum operator_state should;
            operator_advance(&operator, & quick, at(t));
            struct operator_limit limit = expected(&history, t, &should);
            seen[should]++;
            if (operator.state !=
                should || !operator_same_limit(operator_in_force(&operator, & quick), limit))
                fail_msg("run %d at %d: %s, expected %s", run, (int)t,
                         operator_state_name(operator.state), operator_state_name(should));
            assert_true(operator_next(&operator, & quick) > t);
        }
    }
    for (int i = 0; i < OPERATOR_STATE_COUNT; i++)
        assert_true(seen[i] > 1000); /* each was there to be looked at */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_in_every_state),
        cmocka_unit_test(boot_is_failsafe_until_a_heartbeat_with_a_limit),
        cmocka_unit_test(a_heartbeat_is_missed_after_120_s_and_not_before),
        cmocka_unit_test(heartbeats_keep_a_limit_for_as_long_as_they_come),
        cmocka_unit_test(a_limit_with_a_duration_ends_and_one_without_does_not),
        cmocka_unit_test(a_limit_whose_end_has_passed_is_none),
        cmocka_unit_test(failsafe_ends_with_its_duration_in_a_state_that_keeps_its_limit),
        cmocka_unit_test(a_box_that_is_back_has_120_s_to_state_its_limit),
        cmocka_unit_test(one_stray_heartbeat_changes_nothing),
        cmocka_unit_test(a_box_that_is_back_as_the_duration_ends_still_has_its_120_s),
        cmocka_unit_test(lost_again_failsafe_begins_anew),
        cmocka_unit_test(time_that_comes_late_gives_what_it_would_have_given_in_time),
        cmocka_unit_test(shortened_terms_take_effect_at_once),
        cmocka_unit_test(the_limit_before_a_restart_counts_beside_failsafe),
        cmocka_unit_test(the_looser_limit_before_a_restart_loosens_nothing),
        cmocka_unit_test(the_limit_before_a_restart_ends_with_its_own_duration),
        cmocka_unit_test(a_fresh_limit_takes_the_place_of_the_one_before_the_restart),
        cmocka_unit_test(the_stricter_counts_in_each_direction),
        cmocka_unit_test(random_histories_hold_what_the_rules_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
