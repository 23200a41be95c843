#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "flexibility.h"

static void before_anything_is_known_everything_is_unknown(void **state) {
    (void)state;
    struct live *live = live_new(QUANTITIES_ALL);
    assert_non_null(live);
    struct flexibility got;
    live_read(live, &got);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        assert_true(isnan(got.values[i]));
        assert_true(got.updated_ms[i] == 0);
    }
    assert_int_equal(got.connection, CONNECTION_CONNECTING);
    assert_int_equal(got.command, COMMAND_NONE);
    assert_int_equal(got.bound_min, -POWER_UNBOUNDED);
    assert_int_equal(got.bound_max, POWER_UNBOUNDED);
    assert_false(got.has_set_point);
    assert_true(got.updated_at.ms == 0 && got.invalid_at.ms == 0);
    live_free(live);
}

/* A state whose every part says `number`. */
static struct flexibility state_of(int32_t number) {
    struct flexibility made;
    memset(&made, 0, sizeof made);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        made.values[i] = number;
        made.updated_ms[i] = number;
    }
    made.connection = CONNECTION_ONLINE;
    made.updated_at.ms = made.invalid_at.ms = made.command_since.ms = number;
    made.allowed = (struct ranges){.count = 1, .items = {{number, number}}};
    made.bound_min = made.bound_max = made.set_point = number;
    made.has_set_point = true;
    return made;
}

static void what_is_published_is_what_is_read(void **state) {
    (void)state;
    struct live *live = live_new(QUANTITIES_ALL);
    assert_non_null(live);
    struct flexibility given = state_of(-4200);
    given.values[POINT_TEMPERATURE] = NAN;
    live_publish(live, &given);
    struct flexibility got;
    live_read(live, &got);
    assert_memory_equal(&got, &given, sizeof given);
    live_free(live);
}

static void a_decision_leaves_what_was_measured_and_when(void **state) {
    (void)state;
    struct live *live = live_new(QUANTITIES_ALL);
    assert_non_null(live);
    struct flexibility measured = state_of(-4200), decided = state_of(11), got;
    live_publish(live, &measured);
    live_publish_head(live, &decided);
    live_read(live, &got);
    struct flexibility wanted = measured;
    memcpy(&wanted, &decided, offsetof(struct flexibility, values));
    wanted.updated_at = measured.updated_at;
    wanted.invalid_at = measured.invalid_at;
    assert_memory_equal(&got, &wanted, sizeof wanted);
    live_free(live);
}

static void what_a_device_cannot_have_stays_unknown(void **state) {
    (void)state;
    struct live *live =
        live_new(UINT64_C(1) << POINT_ACTIVE_POWER | UINT64_C(1) << (POINT_NUMBER_COUNT - 1));
    assert_non_null(live);
    struct flexibility given = state_of(-4200), got;
    live_publish(live, &given);
    live_read(live, &got);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        if (i == POINT_ACTIVE_POWER || i == POINT_NUMBER_COUNT - 1) {
            assert_true(got.values[i] == -4200 && got.updated_ms[i] == -4200);
        } else {
            assert_true(isnan(got.values[i]) && got.updated_ms[i] == 0 && got.invalid_ms[i] == 0);
        }
    assert_int_equal(got.connection, CONNECTION_ONLINE);
    assert_int_equal(got.set_point, -4200);
    live_free(live);
}

static void every_command_state_and_following_has_a_name(void **state) {
    (void)state;
    static const char *const commands[] = {"none",        "observed",    "pending",
                                           "sent",        "confirmed",   "rejected",
                                           "unsupported", "unreachable", "diverging"};
    for (int i = COMMAND_NONE; i <= COMMAND_DIVERGING; i++)
        assert_string_equal(command_state_name((enum command_state)i), commands[i]);
    assert_string_equal(following_name(FOLLOWING_BELOW), "below");
    assert_string_equal(following_name(FOLLOWING_ABOVE), "above");
}

#define PUBLICATIONS 100000

struct race {
    struct live *live;
    atomic_bool done;
};

/* NULL: every state read was whole and none was older than the one before. */
static void *watch(void *context) {
    struct race *race = context;
    int32_t last = 0;
    bool finished;
    do {
        finished = atomic_load(&race->done);
        struct flexibility got;
        live_read(race->live, &got);
        struct flexibility whole = state_of(got.set_point);
        if (memcmp(&got, &whole, sizeof got) != 0 || got.set_point < last)
            return context;
        last = got.set_point;
    } while (!finished);
    return last == PUBLICATIONS ? NULL : context;
}

static void readers_never_see_half_of_a_publication(void **state) {
    (void)state;
    static struct race race;
    race.live = live_new(QUANTITIES_ALL);
    assert_non_null(race.live);
    struct flexibility next = state_of(0);
    live_publish(race.live, &next);
    pthread_t readers[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, watch, &race), 0);
    for (int32_t i = 1; i <= PUBLICATIONS; i++) {
        next = state_of(i);
        live_publish(race.live, &next);
    }
    atomic_store(&race.done, true);
    for (int i = 0; i < 2; i++) {
        void *torn;
        pthread_join(readers[i], &torn);
        assert_null(torn);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_anything_is_known_everything_is_unknown),
        cmocka_unit_test(what_is_published_is_what_is_read),
        cmocka_unit_test(a_decision_leaves_what_was_measured_and_when),
        cmocka_unit_test(what_a_device_cannot_have_stays_unknown),
        cmocka_unit_test(every_command_state_and_following_has_a_name),
        cmocka_unit_test(readers_never_see_half_of_a_publication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
