#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "script/watchdog.h"

#define STALL_S 60 /* the watchdog ends the child long before */

struct fixture {
    char folder[64];
    char path[96];
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/derd-watchdog-XXXXXX");
    if (!mkdtemp(fixture->folder))
        return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/stalls", fixture->folder);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void sleep_ms(long ms) {
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&span, NULL);
}

/* The life of a host whose script does not come back. */
static _Noreturn void stalled_child(const char *folder) {
    struct watchdog *watchdog = NULL;
    struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    if (watchdog_open(&watchdog, folder) != ERR_OK)
        _exit(2);
    int other = watchdog_script(watchdog, SCRIPT_POLICY, "innocent", "00");
    int script = watchdog_script(watchdog, SCRIPT_DRIVER, "culprit", "c0ffee");
    watchdog_enter(watchdog, other, "run");
    watchdog_leave(watchdog);
    watchdog_enter(watchdog, script, "hooks.values");
    sleep_ms(STALL_S * 1000L);
    _exit(3);
}

static void a_stall_is_written_down_and_ends_the_process(void **state) {
    struct fixture *fixture = *state;
    int status;
    pid_t child = fork();
    if (child == 0)
        stalled_child(fixture->folder);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    struct stalls stalls;
    stalls_read(&stalls, fixture->folder);
    assert_int_equal(stalls.count, 1);
    const struct stall *stall = stalls_find(&stalls, SCRIPT_DRIVER, "culprit", "c0ffee");
    assert_non_null(stall);
    assert_string_equal(stall->call, "hooks.values");
    assert_true(stall_recent(stall, clock_wall()));
}

static void short_calls_one_after_another_are_no_stall(void **state) {
    struct fixture *fixture = *state;
    struct watchdog *watchdog = NULL;
    assert_int_equal(watchdog_open(&watchdog, fixture->folder), ERR_OK);
    int script = watchdog_script(watchdog, SCRIPT_DRIVER, "busy", "c0ffee");
    for (int i = 0; i < 300; i++) {
        watchdog_enter(watchdog, script, "hooks.values");
        sleep_ms(10);
        watchdog_leave(watchdog);
    }
    watchdog_close(watchdog);
    struct stalls stalls;
    stalls_read(&stalls, fixture->folder);
    assert_int_equal(stalls.count, 0);
}

static void another_text_of_the_same_name_is_no_culprit(void **state) {
    struct stalls stalls = {.count = 1,
                            .items = {{.kind = SCRIPT_POLICY, .name = "calm", .hash = "aa"}}};
    (void)state;
    assert_non_null(stalls_find(&stalls, SCRIPT_POLICY, "calm", "aa"));
    assert_null(stalls_find(&stalls, SCRIPT_POLICY, "calm", "bb"));
    assert_null(stalls_find(&stalls, SCRIPT_DRIVER, "calm", "aa"));
}

static void a_stall_is_recent_for_ten_minutes(void **state) {
    struct stall stall = {.at = {5000000}};
    (void)state;
    assert_true(stall_recent(&stall, (struct wall){5000000 + WATCHDOG_WINDOW_MS - 1}));
    assert_false(stall_recent(&stall, (struct wall){5000000 + WATCHDOG_WINDOW_MS}));
    assert_true(stall_recent(&stall, (struct wall){1000}));
}

static void damaged_lines_are_left_out_and_the_newest_are_kept(void **state) {
    struct fixture *fixture = *state;
    FILE *file = fopen(fixture->path, "w");
    char line[256];
    assert_non_null(file);
    fputs("{\"at\":1,\"kind\":\"dri", file);
    fputs("\n\n[]\n", file);
    for (int i = 0; i < WATCHDOG_STALLS + 5; i++) {
        struct stall stall = {.at = {i}, .name = "x", .hash = "aa", .call = "run"};
        assert_true(stall_line(&stall, line, sizeof line));
        fputs(line, file);
    }
    fclose(file);
    static struct stalls stalls;
    stalls_read(&stalls, fixture->folder);
    assert_int_equal(stalls.count, WATCHDOG_STALLS);
    assert_int_equal(stalls.items[0].at.ms, 5);
    assert_int_equal(stalls.items[WATCHDOG_STALLS - 1].at.ms, WATCHDOG_STALLS + 4);
}

static void numbers_that_are_given_back_are_given_out_again(void **state) {
    struct fixture *fixture = *state;
    struct watchdog *watchdog = NULL;
    assert_int_equal(watchdog_open(&watchdog, fixture->folder), ERR_OK);
    for (int i = 0; i < 5000; i++) {
        int script = watchdog_script(watchdog, SCRIPT_DRIVER, "again", "aa");
        assert_int_not_equal(script, WATCHDOG_NO_SCRIPT);
        watchdog_forget(watchdog, script);
    }
    watchdog_close(watchdog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stall_is_written_down_and_ends_the_process, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(short_calls_one_after_another_are_no_stall, set_up,
                                        tear_down),
        cmocka_unit_test(another_text_of_the_same_name_is_no_culprit),
        cmocka_unit_test(a_stall_is_recent_for_ten_minutes),
        cmocka_unit_test_setup_teardown(damaged_lines_are_left_out_and_the_newest_are_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_are_given_back_are_given_out_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
