/* Who reads much steps back while the API is busy, whoever else asks stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/courtesy.h"

#define THREADS   64
#define WINDOW_US (COURTESY_WINDOW_MS * INT64_C(1000))

struct crew {
    struct courtesy all;
    struct courteous threads[THREADS];
    int64_t now_us;
    int nice[THREADS];
};

static struct crew *crew_new(void) {
    static struct crew crew;
    memset(&crew, 0, sizeof crew);
    crew.now_us = INT64_C(1000) * WINDOW_US;
    return &crew;
}

static void asks(struct crew *crew, int thread, int times, bool reads) {
    for (int i = 0; i < times; i++)
        crew->nice[thread] =
            courtesy_count(&crew->all, &crew->threads[thread], reads, crew->now_us);
}

static void next_window(struct crew *crew) {
    crew->now_us += WINDOW_US;
}

static void test_those_who_read_much_step_back(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 3; window++) {
        for (int i = 0; i < THREADS; i++)
            asks(crew, i, 20, true);
        next_window(crew);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(crew->nice[i], COURTESY_BUSY);
}

static void test_who_reads_little_among_them_stays(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 5; window++) {
        asks(crew, 0, 3, true);
        for (int i = 1; i < THREADS; i++)
            asks(crew, i, 20, true);
        asks(crew, 0, 1, true);
        assert_int_equal(crew->nice[0], COURTESY_QUIET);
        next_window(crew);
    }
    assert_int_equal(crew->nice[1], COURTESY_BUSY);
}

static void test_changes_are_not_counted(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 5; window++) {
        for (int i = 1; i < THREADS; i++)
            asks(crew, i, 20, true);
        asks(crew, 0, 1000, false);
        assert_int_equal(crew->nice[0], COURTESY_QUIET);
        next_window(crew);
    }
}

/* Also when each of them reads little: it is the sum that the devices would feel. */
static void test_many_who_read_the_same_all_step_back(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 3; window++) {
        for (int i = 0; i < THREADS; i++)
            asks(crew, i, 2, true);
        next_window(crew);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(crew->nice[i], COURTESY_BUSY);
}

static void test_while_the_api_has_time_nobody_steps_back(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 5; window++) {
        asks(crew, 0, COURTESY_READS - 1, true);
        assert_int_equal(crew->nice[0], COURTESY_QUIET);
        next_window(crew);
    }
}

static void test_who_reads_less_comes_forward_again(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 6; window++) {
        asks(crew, 0, window < 3 ? 20 : 1, true);
        assert_int_equal(crew->nice[0], window >= 1 && window < 4 ? COURTESY_BUSY : COURTESY_QUIET);
        for (int i = 1; i < THREADS; i++)
            asks(crew, i, 20, true);
        next_window(crew);
    }
}

static void test_after_a_pause_all_come_forward(void **state) {
    (void)state;
    struct crew *crew = crew_new();
    for (int window = 0; window < 3; window++) {
        for (int i = 0; i < THREADS; i++)
            asks(crew, i, 20, true);
        next_window(crew);
    }
    crew->now_us += 10 * WINDOW_US;
    for (int i = 0; i < THREADS; i++) {
        asks(crew, i, 1, true);
        assert_int_equal(crew->nice[i], COURTESY_QUIET);
    }
}

static void *begin_and_step_back(void *context) {
    int *seen = context;
    struct courteous self;
    courtesy_begin(&self);
    seen[0] = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    courtesy_take(&self, COURTESY_BUSY);
    seen[1] = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    return NULL;
}

static void test_it_is_the_thread_that_steps_back_not_the_program(void **state) {
    (void)state;
    pthread_t thread;
    int seen[2];
    int before = getpriority(PRIO_PROCESS, 0);
    assert_int_equal(pthread_create(&thread, NULL, begin_and_step_back, seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(seen[0], COURTESY_QUIET);
    assert_int_equal(seen[1], COURTESY_BUSY);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_those_who_read_much_step_back),
        cmocka_unit_test(test_who_reads_little_among_them_stays),
        cmocka_unit_test(test_changes_are_not_counted),
        cmocka_unit_test(test_many_who_read_the_same_all_step_back),
        cmocka_unit_test(test_while_the_api_has_time_nobody_steps_back),
        cmocka_unit_test(test_who_reads_less_comes_forward_again),
        cmocka_unit_test(test_after_a_pause_all_come_forward),
        cmocka_unit_test(test_it_is_the_thread_that_steps_back_not_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
