/* The timing wheel against the loop's own clock: each timer is called once, never early, in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/wheel.h"

#define MANY 2000

struct alarm {
    struct wheel_timer timer;
    struct world *world;
    uint64_t due_ms;
    int number, calls;
    int again; /* so many times more, at once */
};

struct world {
    uv_loop_t loop;
    struct wheel *wheel;
    int calls, last;
    bool in_order;
    struct alarm alarms[MANY];
};

static int world_setup(void **state) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    world->wheel = wheel_hold(&world->loop);
    assert_non_null(world->wheel);
    world->in_order = true;
    world->last = -1;
    for (int i = 0; i < MANY; i++) {
        world->alarms[i].timer.owner = &world->alarms[i];
        world->alarms[i].world = world;
        world->alarms[i].number = i;
    }
    *state = world;
    return 0;
}

static int world_teardown(void **state) {
    struct world *world = *state;
    if (world->wheel)
        wheel_release(world->wheel);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_null(world->loop.data);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    free(world);
    return 0;
}

static void rings(struct wheel_timer *timer) {
    struct alarm *alarm = timer->owner;
    struct world *world = alarm->world;
    assert_true(uv_now(&world->loop) >= alarm->due_ms);
    world->in_order = world->in_order && alarm->number > world->last;
    world->last = alarm->number;
    world->calls++;
    alarm->calls++;
}

static void set(struct alarm *alarm, uint64_t in_ms, wheel_due *due) {
    alarm->due_ms = uv_now(&alarm->world->loop) + in_ms;
    wheel_start(alarm->world->wheel, &alarm->timer, alarm->due_ms, due);
}

static void each_is_called_once_and_never_early(void **state) {
    struct world *world = *state;
    for (int i = 0; i < MANY; i++)
        set(&world->alarms[i], (uint64_t)(i * 7919 % 300), rings);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(world->alarms[i].calls, 1);
}

static void those_of_one_moment_are_called_in_the_order_they_were_set(void **state) {
    struct world *world = *state;
    for (int i = 0; i < MANY; i++)
        set(&world->alarms[i], 20, rings);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(world->calls, MANY);
    assert_true(world->in_order);
}

static void one_that_is_stopped_is_not_called(void **state) {
    struct world *world = *state;
    for (int i = 0; i < 100; i++)
        set(&world->alarms[i], (uint64_t)(i % 3) * 5, rings);
    for (int i = 0; i < 100; i += 2) {
        wheel_stop(world->wheel, &world->alarms[i].timer);
        wheel_stop(world->wheel, &world->alarms[i].timer);
    }
    uv_run(&world->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 100; i++)
        assert_int_equal(world->alarms[i].calls, i % 2);
}

static void one_that_is_set_anew_counts_from_then(void **state) {
    struct world *world = *state;
    set(&world->alarms[0], 5000, rings);
    set(&world->alarms[1], 1, rings);
    set(&world->alarms[0], 2, rings);
    set(&world->alarms[1], 3, rings);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(world->alarms[0].calls, 1);
    assert_int_equal(world->alarms[1].calls, 1);
    assert_true(world->in_order);
}

static void rings_again(struct wheel_timer *timer) {
    struct alarm *alarm = timer->owner;
    rings(timer);
    alarm->world->last = -1;
    if (alarm->again-- > 0)
        set(alarm, 0, rings_again);
}

static void a_moment_that_is_over_is_the_next_turn(void **state) {
    struct world *world = *state;
    world->alarms[0].again = 5;
    wheel_start(world->wheel, &world->alarms[0].timer, 0, rings_again);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(world->alarms[0].calls, 6);
}

static void stops_its_neighbours(struct wheel_timer *timer) {
    struct alarm *alarm = timer->owner;
    rings(timer);
    wheel_stop(alarm->world->wheel, &alarm[1].timer);
    wheel_stop(alarm->world->wheel, &alarm[2].timer);
}

static void a_call_may_stop_others_of_its_moment(void **state) {
    struct world *world = *state;
    for (uint64_t in_ms = 0; in_ms < 10; in_ms += 5) {
        set(&world->alarms[0], in_ms, stops_its_neighbours);
        set(&world->alarms[1], in_ms, rings);
        set(&world->alarms[2], in_ms, rings);
        set(&world->alarms[3], in_ms, rings);
        uv_run(&world->loop, UV_RUN_DEFAULT);
        world->last = -1;
    }
    assert_int_equal(world->alarms[0].calls, 2);
    assert_int_equal(world->alarms[1].calls, 0);
    assert_int_equal(world->alarms[2].calls, 0);
    assert_int_equal(world->alarms[3].calls, 2);
}

static void lets_go(struct wheel_timer *timer) {
    struct alarm *alarm = timer->owner;
    rings(timer);
    wheel_release(alarm->world->wheel);
    alarm->world->wheel = NULL;
}

static void the_last_to_let_go_may_do_it_in_a_call(void **state) {
    struct world *world = *state;
    set(&world->alarms[0], 1, lets_go);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(world->calls, 1);
}

/* What is farther away than the wheel reaches, beside one that comes each 100 ms. */
static void beats(struct wheel_timer *timer) {
    struct alarm *alarm = timer->owner;
    alarm->calls++;
    if (alarm->world->alarms[1].calls == 0)
        set(alarm, 100, beats);
}

static void one_beyond_the_wheel_comes_on_time(void **state) {
    struct world *world = *state;
    uint64_t began_ms = uv_now(&world->loop);
    set(&world->alarms[0], 100, beats);
    set(&world->alarms[1], 4200, rings);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(world->alarms[1].calls, 1);
    assert_true(uv_now(&world->loop) - began_ms >= 4200);
}

static void a_wheel_that_stood_for_long_goes_on(void **state) {
    struct world *world = *state;
    set(&world->alarms[0], 0, rings);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    for (int i = 1; i < 4; i++) {
        uv_sleep(3);
        uv_update_time(&world->loop);
        set(&world->alarms[i], 1, rings);
        uv_run(&world->loop, UV_RUN_DEFAULT);
        assert_int_equal(world->alarms[i].calls, 1);
    }
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_is_called_once_and_never_early),
        TEST(those_of_one_moment_are_called_in_the_order_they_were_set),
        TEST(one_that_is_stopped_is_not_called),
        TEST(one_that_is_set_anew_counts_from_then),
        TEST(a_moment_that_is_over_is_the_next_turn),
        TEST(a_call_may_stop_others_of_its_moment),
        TEST(the_last_to_let_go_may_do_it_in_a_call),
        TEST(one_beyond_the_wheel_comes_on_time),
        TEST(a_wheel_that_stood_for_long_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
