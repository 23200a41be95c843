/* Limits in force on a cluster, worked by hand from ARBITRATION sections 2, 3 and 8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "cluster/cluster_limits.h"
#include "directory.h"

#define NO_CURRENT                                                                                 \
    { NAN, NAN, NAN }

static const struct permanent nothing = {SCOPE_CONNECTION, NAN, NAN, NAN, NAN};

struct walked {
    struct limit limits[SCOPE_COUNT];
    struct verdict verdicts[8];
};

static struct walked walk(const struct permanent *permanent, const struct limit_wish *wishes,
                          size_t count) {
    static struct limits_room room;
    struct walked walked;
    limits_walk(wishes, count, permanent, walked.limits, walked.verdicts, &room);
    return walked;
}

static struct limit_wish at_most(enum scope scope, int32_t priority, int32_t watts) {
    return (struct limit_wish){.wish = {.priority = priority, .has_max = true, .max = watts},
                               .scope = scope,
                               .current = NO_CURRENT};
}

static void without_anything_nothing_is_limited(void **state) {
    (void)state;
    const struct walked walked = walk(&nothing, NULL, 0);
    for (int scope = 0; scope < SCOPE_COUNT; scope++)
        assert_true(limit_open(&walked.limits[scope]));
    assert_int_equal(walked.limits[SCOPE_CONNECTION].max_by, BY_NOBODY);
}

/* 3000: at most 4200 W. 2000: at most 11000 W, which narrows nothing. 1000: at least 5000 W, which
 * conflicts and is discarded. */
static void the_walk_is_that_of_a_device(void **state) {
    (void)state;
    struct limit_wish wishes[] = {at_most(SCOPE_CONTROLLABLE, 3000, 4200),
                                  at_most(SCOPE_CONTROLLABLE, 2000, 11000),
                                  {.wish = {.priority = 1000, .has_min = true, .min = 5000},
                                   .scope = SCOPE_CONTROLLABLE,
                                   .current = NO_CURRENT}};
    const struct walked walked = walk(&nothing, wishes, 3);
    assert_int_equal(walked.limits[SCOPE_CONTROLLABLE].max, 4200);
    assert_int_equal(walked.limits[SCOPE_CONTROLLABLE].max_by, 0);
    assert_int_equal(walked.limits[SCOPE_CONTROLLABLE].min, -POWER_UNBOUNDED);
    assert_int_equal(walked.verdicts[1].outcome, OUTCOME_APPLIED);
    assert_int_equal(walked.verdicts[2].outcome, OUTCOME_DISCARDED);
    assert_int_equal(walked.verdicts[2].against, 0);
    assert_true(limit_open(&walked.limits[SCOPE_CONNECTION]));
}

/* At most 4200 W of the controllable devices and at least 6000 W at the connection are about two
 * things: both apply. */
static void limits_on_different_things_do_not_conflict(void **state) {
    (void)state;
    struct limit_wish wishes[] = {at_most(SCOPE_CONTROLLABLE, 3000, 4200),
                                  {.wish = {.priority = 2000, .has_min = true, .min = 6000},
                                   .scope = SCOPE_CONNECTION,
                                   .current = NO_CURRENT}};
    const struct walked walked = walk(&nothing, wishes, 2);
    assert_int_equal(walked.limits[SCOPE_CONTROLLABLE].max, 4200);
    assert_int_equal(walked.limits[SCOPE_CONNECTION].min, 6000);
    assert_int_equal(walked.limits[SCOPE_CONNECTION].min_by, 1);
}

/* The site allows 8 kW of feed-in and 20 A. A constraint of 9 kW and 25 A changes nothing, one of 5
 * kW does, and one of at least 30 kW leaves nothing of it: the site's edge stays, and it is said.
 */
static void the_site_file_stands_above_all(void **state) {
    (void)state;
    const struct permanent site = {SCOPE_CONNECTION, -8000, 20000, 20, NAN};
    struct limit_wish wide = {.wish = {.priority = 5, .has_min = true, .min = -9000},
                              .scope = SCOPE_CONNECTION,
                              .current = {25, 25, 25}};
    struct walked walked = walk(&site, &wide, 1);
    const struct limit *limit = &walked.limits[SCOPE_CONNECTION];
    assert_int_equal(limit->min, -8000);
    assert_int_equal(limit->min_by, BY_DEVICE);
    assert_true(limit->current[1] == 20);
    assert_int_equal(limit->current_by[1], BY_DEVICE);
    wide.wish.min = -5000;
    walked = walk(&site, &wide, 1);
    assert_int_equal(limit->min, -5000);
    assert_int_equal(limit->min_by, 0);
    wide.wish.min = 30000;
    walked = walk(&site, &wide, 1);
    assert_true(limit->unmet);
    assert_int_equal(limit->min, 20000);
    assert_int_equal(limit->max, 20000);
    assert_int_equal(limit->min_by, BY_DEVICE);
}

/* A phase without an opinion is open; of two the lesser holds; a discarded one has no effect at
 * all, also not by its currents. */
static void currents_go_with_their_constraint(void **state) {
    (void)state;
    struct limit_wish wishes[] = {
        {.wish = {.priority = 9, .has_max = true, .max = 4000},
         .scope = SCOPE_CONNECTION,
         .current = {NAN, 16, NAN}},
        {.wish = {.priority = 8}, .scope = SCOPE_CONNECTION, .current = {10, 20, NAN}},
        {.wish = {.priority = 7, .has_min = true, .min = 5000},
         .scope = SCOPE_CONNECTION,
         .current = {6, 6, 6}}};
    const struct walked walked = walk(&nothing, wishes, 3);
    const struct limit *limit = &walked.limits[SCOPE_CONNECTION];
    assert_true(limit->current[0] == 10 && limit->current[1] == 16 && isinf(limit->current[2]));
    assert_int_equal(limit->current_by[0], 1);
    assert_int_equal(limit->current_by[1], 0);
    assert_int_equal(limit->current_by[2], BY_NOBODY);
}

/* 5000, exclusive, on the sum: what stands below it at the connection is not considered either; the
 * site's fuse is no constraint and stays. */
static void an_exclusive_one_excludes_in_both_scopes(void **state) {
    (void)state;
    const struct permanent site = {SCOPE_CONNECTION, NAN, NAN, 35, NAN};
    struct limit_wish wishes[] = {at_most(SCOPE_CONNECTION, 6000, 9000),
                                  at_most(SCOPE_CONTROLLABLE, 5000, 4200),
                                  at_most(SCOPE_CONNECTION, 4000, 3000)};
    wishes[1].wish.exclusive = true;
    const struct walked walked = walk(&site, wishes, 3);
    assert_int_equal(walked.limits[SCOPE_CONNECTION].max, 9000);
    assert_true(walked.limits[SCOPE_CONNECTION].current[0] == 35);
    assert_int_equal(walked.limits[SCOPE_CONTROLLABLE].max, 4200);
    assert_int_equal(walked.verdicts[2].outcome, OUTCOME_EXCLUDED);
    assert_int_equal(walked.verdicts[2].against, 1);
}

/* Of two exclusive ones in different scopes the upper one holds. */
static void an_excluded_exclusive_one_excludes_nobody(void **state) {
    (void)state;
    struct limit_wish wishes[] = {at_most(SCOPE_CONTROLLABLE, 7, 4200),
                                  at_most(SCOPE_CONNECTION, 6, 9000),
                                  at_most(SCOPE_CONTROLLABLE, 5, 100)};
    wishes[0].wish.exclusive = wishes[1].wish.exclusive = true;
    const struct walked walked = walk(&nothing, wishes, 3);
    assert_int_equal(walked.limits[SCOPE_CONNECTION].max, POWER_UNBOUNDED);
    assert_int_equal(walked.verdicts[1].against, 0);
    assert_int_equal(walked.verdicts[2].against, 0);
}

/* --- looking ahead ---------------------------------------------------------------------------- */

#define NOON 1795000000000

static struct decided *cluster_with(const struct constraint *constraints, size_t count) {
    struct decided *decided = decided_new_cluster(count, 0);
    assert_non_null(decided);
    decided->at = (struct now){.wall = {NOON}, .trusted = true};
    decided->has_decision = true;
    for (size_t i = 0; i < count; i++) {
        decided->items[i].constraint = constraint_new(&constraints[i]);
        decided->items[i].in_force = constraints[i].valid_at.ms <= NOON;
        if (decided->items[i].in_force) {
            decided->cluster->limits[SCOPE_CONTROLLABLE].max = constraints[i].wish.max;
            decided->cluster->limits[SCOPE_CONTROLLABLE].max_by = (int)i;
        }
    }
    return decided;
}

/* 4200 W until 13:00; from 12:30 on 6000 W below it, which changes nothing before 13:00. */
static void the_next_change_is_that_of_a_limit(void **state) {
    (void)state;
    struct constraint constraints[] = {{.wish = {.priority = 3000, .has_max = true, .max = 4200},
                                        .scope = SCOPE_CONTROLLABLE,
                                        .valid_at = {NOON - 1},
                                        .invalid_at = {NOON + 3600000}},
                                       {.wish = {.priority = 2000, .has_max = true, .max = 6000},
                                        .scope = SCOPE_CONTROLLABLE,
                                        .valid_at = {NOON + 1800000},
                                        .invalid_at = {NOON + 7200000}},
                                       {.wish = {.priority = 1000, .has_min = true, .min = 5000},
                                        .scope = SCOPE_CONTROLLABLE,
                                        .valid_at = {NOON + 600000},
                                        .invalid_at = {NOON + 1800000}}};
    struct decided *decided = cluster_with(constraints, 3);
    struct wall at;
    assert_int_equal(limits_next_change(decided, &at), ERR_OK);
    assert_true(at.ms == NOON + 3600000);
    assert_true(limits_no_effect(decided, 2)); /* discarded by 4200 W all its life */
    assert_false(limits_no_effect(decided, 1));
    decided_release(decided);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_nothing_is_limited),
        cmocka_unit_test(the_walk_is_that_of_a_device),
        cmocka_unit_test(limits_on_different_things_do_not_conflict),
        cmocka_unit_test(the_site_file_stands_above_all),
        cmocka_unit_test(currents_go_with_their_constraint),
        cmocka_unit_test(an_exclusive_one_excludes_in_both_scopes),
        cmocka_unit_test(an_excluded_exclusive_one_excludes_nobody),
        cmocka_unit_test(the_next_change_is_that_of_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
