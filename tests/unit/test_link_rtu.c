/* Serial links over real pseudo-terminals: what link.h promises holds for them as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "base/log.h"
#include "link/rtu_settings.h"
#include "link_world.h"
#include "serial_bus.h"

#define FAST "?baud=115200"

struct scene { /* a bus with a link on it */
    struct bus bus;
    struct world world;
};

static void scene_open(struct scene *scene, const enum bus_action *actions, int count,
                       const struct link_settings *settings) {
    scene->world = (struct world){0};
    bus_new(&scene->bus, actions, count);
    bus_plug(&scene->bus);
    bus_open(&scene->bus, &scene->world, FAST, settings);
    DRIVE_UNTIL(&scene->world, scene->world.ups == 1);
}

static void scene_close(struct scene *scene) {
    world_close(&scene->world);
    bus_unplug(&scene->bus);
    bus_free(&scene->bus);
}

static void assert_healthy(struct scene *scene) {
    assert_int_equal(link_figures(scene->world.link)->connects, 1);
    assert_int_equal(scene->world.downs, 0);
}

/* ---- answers ---- */

static void every_function_works_with_libmodbus_as_the_server(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    static const struct modbus_request requests[] = {
        {1, MODBUS_READ_HOLDING, 7, 125, {0}, false},
        {1, MODBUS_READ_INPUT, 10, 2, {0}, false},
        {1, MODBUS_WRITE_REGISTER, 3, 1, {77}, false},
        {1, MODBUS_WRITE_REGISTERS, 4, 3, {78, 79, 65535}, false},
        {1, MODBUS_READ_HOLDING, 2, 5, {0}, false},
        {1, MODBUS_WRITE_COIL, 2, 1, {1}, false},
        {1, MODBUS_WRITE_COILS, 5, 11, {1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1}, false},
        {1, MODBUS_READ_COILS, 2, 14, {0}, false},
        {1, MODBUS_READ_DISCRETE, 0, 10, {0}, false},
        {1, MODBUS_READ_HOLDING, 399, 2, {0}, false}, /* beyond the mapping */
    };
    struct call calls[COUNT(requests)];
    for (int i = 0; i < COUNT(requests); i++) {
        calls[i] = call_to(&scene.world, 1, 0, PATIENT_MS);
        calls[i].transaction.request = requests[i];
        submit(&calls[i]);
    }
    for (int i = 0; i < COUNT(requests); i++)
        finish(&calls[i], ERR_OK);
    assert_int_equal(calls[0].answer.count, 125);
    assert_int_equal(calls[0].answer.words[124], 131);
    assert_int_equal(calls[1].answer.words[1], 2011);
    static const uint16_t written[] = {77, 78, 79, 65535};
    assert_memory_equal(calls[4].answer.words + 1, written, sizeof written);
    static const uint16_t coils[] = {1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1};
    assert_memory_equal(calls[7].answer.words, coils, sizeof coils);
    static const uint16_t inputs[] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1};
    assert_memory_equal(calls[8].answer.words, inputs, sizeof inputs);
    assert_int_equal(calls[9].answer.exception, 2);
    for (int i = 0; i < 9; i++)
        assert_int_equal(calls[i].answer.exception, 0);
    scene_close(&scene);
}

static void an_answer_in_slow_single_bytes_is_put_together(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_BYTES, BUS_BYTES};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    for (int i = 0; i < 3; i++) {
        struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
        submit(&call);
        finish(&call, ERR_OK);
        assert_answer_to(&call, i);
    }
    assert_healthy(&scene);
    scene_close(&scene);
}

static void a_frame_of_another_unit_is_dropped(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_OTHER_UNIT_FIRST};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_answer_to(&call, 0);
    assert_int_equal(link_figures(scene.world.link)->foreign, 1);
    scene_close(&scene);
}

static void a_late_answer_is_never_taken_for_another_request(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_HOLD, BUS_LATE};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    struct call first = call_to(&scene.world, 1, 100, 1500);
    struct call second = call_to(&scene.world, 1, 200, 100); /* its answer would look the same */
    struct call third = call_to(&scene.world, 1, 200, PATIENT_MS);
    submit(&first);
    submit(&second);
    submit(&third);
    finish(&first, ERR_TIMEOUT);
    finish(&second, ERR_TIMEOUT); /* neither of the two frames can be trusted */
    finish(&third, ERR_OK);
    assert_answer_to(&third, 2);
    assert_int_equal(link_figures(scene.world.link)->foreign, 2);
    assert_healthy(&scene);
    scene_close(&scene);
}

static void an_exception_is_an_answer(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_EXCEPTION};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_int_equal(call.answer.exception, 2);
    scene_close(&scene);
}

static void a_garbled_answer_costs_its_request_and_nothing_else(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_BAD_CHECKSUM,   BUS_ANSWER,      BUS_HALF,
                                              BUS_ANSWER,         BUS_WRONG_COUNT, BUS_ANSWER,
                                              BUS_WRONG_FUNCTION, BUS_ANSWER,      BUS_GARBAGE};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    for (int i = 0; i <= COUNT(actions); i++) {
        struct call call = call_to(&scene.world, 1, 100, i % 2 ? PATIENT_MS : 100);
        submit(&call);
        finish(&call, i % 2 ? ERR_OK : ERR_TIMEOUT);
        if (i % 2)
            assert_answer_to(&call, i);
        if (i == 2)
            assert_int_equal(link_figures(scene.world.link)->malformed, 2);
    }
    assert_healthy(&scene);
    scene_close(&scene);
}

/* ---- no answer ---- */

static void no_number_of_timeouts_closes_the_port(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_SILENT, BUS_SILENT, BUS_SILENT, BUS_SILENT,
                                              BUS_SILENT};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    struct call calls[COUNT(actions) + 1];
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&scene.world, 1, 100, i < COUNT(actions) ? BRIEF_MS : PATIENT_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < COUNT(actions); i++)
        finish(&calls[i], ERR_TIMEOUT);
    finish(&calls[COUNT(actions)], ERR_OK);
    assert_answer_to(&calls[COUNT(actions)], COUNT(actions));
    assert_int_equal(link_figures(scene.world.link)->timeouts, COUNT(actions));
    assert_healthy(&scene);
    scene_close(&scene);
}

static void a_dead_unit_costs_its_own_timeouts_only(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    pthread_mutex_lock(&scene.bus.lock);
    scene.bus.dead_unit = 7;
    pthread_mutex_unlock(&scene.bus.lock);
    struct call dead[LINK_DEAF_AFTER + 2], alive[COUNT(dead)];
    for (int i = 0; i < COUNT(dead); i++) {
        dead[i] = call_to(&scene.world, 7, 100, BRIEF_MS);
        alive[i] = call_to(&scene.world, 8, 100, PATIENT_MS);
        submit(&dead[i]);
        submit(&alive[i]);
    }
    for (int i = 0; i < COUNT(dead); i++) {
        finish(&dead[i], ERR_TIMEOUT);
        finish(&alive[i], ERR_OK);
        assert_answer_to(&alive[i], 2 * i + 1);
    }
    assert_healthy(&scene);
    scene_close(&scene);
}

static void a_unit_that_cannot_be_does_not_answer(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    static const uint8_t units[] = {0, 248, 255};
    for (int i = 0; i < COUNT(units); i++) {
        struct call call = call_to(&scene.world, units[i], 100, PATIENT_MS);
        submit(&call);
        finish(&call, ERR_TIMEOUT);
    }
    assert_int_equal(bus_requests(&scene.bus), 0);
    scene_close(&scene);
}

/* ---- order and pace ---- */

static void a_command_overtakes_queued_reads(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    struct call calls[5];
    for (int i = 0; i < COUNT(calls); i++)
        calls[i] = call_to(&scene.world, 1, (uint16_t)(10 * (i + 1)), PATIENT_MS);
    for (int i = 0; i < 3; i++)
        submit(&calls[i]);
    assert_int_equal(try_submit(&calls[3], LINK_COMMAND), ERR_OK);
    assert_int_equal(try_submit(&calls[4], LINK_COMMAND), ERR_OK);
    for (int i = 0; i < COUNT(calls); i++)
        finish(&calls[i], ERR_OK);
    static const uint16_t expected[] = {10, 40, 50, 20, 30};
    pthread_mutex_lock(&scene.bus.lock);
    assert_memory_equal(scene.bus.addresses, expected, sizeof expected);
    pthread_mutex_unlock(&scene.bus.lock);
    scene_close(&scene);
}

static void one_request_is_on_the_line_whatever_the_settings_say(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_SILENT};
    const struct link_settings settings = {.in_flight = 4};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), &settings);
    struct call first = call_to(&scene.world, 1, 100, HOUR_MS);
    struct call second = call_to(&scene.world, 1, 200, HOUR_MS);
    submit(&first);
    submit(&second);
    SPIN_UNTIL(&scene.world, bus_requests(&scene.bus) == 1);
    for (int i = 0; i < 1000; i++)
        uv_run(&scene.world.loop, UV_RUN_NOWAIT);
    assert_int_equal(link_figures(scene.world.link)->transactions, 1);
    scene_close(&scene);
    assert_int_equal(first.result, ERR_CLOSED);
    assert_int_equal(second.result, ERR_CLOSED);
}

static void the_line_is_silent_between_two_frames(void **state) {
    (void)state;
    struct scene scene = {0};
    struct rtu_settings settings;
    char why[200];
    assert_true(rtu_settings_parse("rtu:///dev/x?baud=1200", &settings, why, sizeof why));
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    bus_open(&scene.bus, &scene.world, "?baud=1200", NULL);
    DRIVE_UNTIL(&scene.world, scene.world.ups == 1);
    struct call calls[5];
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&scene.world, 1, 100, PATIENT_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < COUNT(calls); i++)
        finish(&calls[i], ERR_OK);
    pthread_mutex_lock(&scene.bus.lock);
    assert_true(scene.bus.least_gap_us >= rtu_silence_us(&settings));
    pthread_mutex_unlock(&scene.bus.lock);
    scene_close(&scene);
}

static void a_pause_holds_the_next_request_back(void **state) {
    (void)state;
    const struct link_settings settings = {.pause_ms = HOUR_MS};
    struct scene scene;
    scene_open(&scene, NULL, 0, &settings);
    struct call first = call_to(&scene.world, 1, 100, PATIENT_MS);
    struct call second = call_to(&scene.world, 1, 200, PATIENT_MS);
    submit(&first);
    submit(&second);
    finish(&first, ERR_OK);
    for (int i = 0; i < 1000; i++)
        uv_run(&scene.world.loop, UV_RUN_NOWAIT);
    assert_int_equal(link_figures(scene.world.link)->transactions, 1);
    scene_close(&scene);
    assert_int_equal(second.result, ERR_CLOSED);
}

/* ---- cancelling ---- */

static void a_cancelled_transaction_keeps_its_place_on_the_line(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    struct call *gone = calloc(1, sizeof *gone);
    assert_non_null(gone);
    *gone = call_to(&scene.world, 1, 100, PATIENT_MS);
    struct call next = call_to(&scene.world, 1, 100, PATIENT_MS);
    submit(gone);
    submit(&next);
    cancel(gone);
    free(gone);
    assert_int_equal(link_figures(scene.world.link)->transactions, 1);
    finish(&next, ERR_OK);
    assert_answer_to(&next, 1);
    assert_int_equal(link_figures(scene.world.link)->foreign, 0);
    scene_close(&scene);
}

static void a_cancelled_transaction_without_answer_frees_its_place_in_time(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_SILENT};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    struct call gone = call_to(&scene.world, 1, 100, BRIEF_MS);
    struct call queued = call_to(&scene.world, 1, 100, BRIEF_MS);
    struct call next = call_to(&scene.world, 1, 100, PATIENT_MS);
    submit(&gone);
    submit(&queued);
    submit(&next);
    cancel(&gone);
    cancel(&queued);
    finish(&next, ERR_OK);
    assert_answer_to(&next, 1);
    assert_int_equal(gone.finished + queued.finished, 0);
    scene_close(&scene);
}

static void then_submit_again(struct call *call) {
    if (call->answer.words[0] < 9)
        submit(call);
}

static void a_callback_may_submit_its_transaction_again(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
    call.then = then_submit_again;
    submit(&call);
    DRIVE_UNTIL(&scene.world, call.finished && call.answer.words[0] == 9);
    scene_close(&scene);
}

/* ---- closing ---- */

static void a_link_may_be_closed_before_its_first_turn(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    bus_open(&scene.bus, &scene.world, FAST, NULL);
    scene_close(&scene);
    assert_int_equal(scene.world.ups + scene.world.downs, 0);
}

static void a_link_may_be_closed_while_its_port_is_opened(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    bus_open(&scene.bus, &scene.world, FAST, NULL);
    uv_run(&scene.world.loop, UV_RUN_NOWAIT);
    scene_close(&scene);
}

static void a_port_is_free_as_soon_as_its_link_is_closed(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_SILENT};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    assert_int_not_equal(flock(scene.bus.slave, LOCK_EX | LOCK_NB), 0);
    struct call call = call_to(&scene.world, 1, 100, HOUR_MS);
    submit(&call);
    SPIN_UNTIL(&scene.world, bus_requests(&scene.bus) == 1);
    link_unlisten(scene.world.link, &scene.world.listener);
    link_close(scene.world.link);
    scene.world.link = NULL;
    finish(&call, ERR_CLOSED);
    SPIN_UNTIL(&scene.world, flock(scene.bus.slave, LOCK_EX | LOCK_NB) == 0);
    scene_close(&scene);
}

static void then_close(struct call *call) {
    struct world *world = call->world;
    link_unlisten(world->link, &world->listener);
    link_close(world->link);
    world->link = NULL;
}

static void a_link_may_be_closed_from_an_answer_and_from_a_timeout(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_SILENT};
    for (int silent = 0; silent < 2; silent++) {
        struct scene scene;
        scene_open(&scene, actions, silent, NULL);
        struct call first = call_to(&scene.world, 1, 100, silent ? BRIEF_MS : PATIENT_MS);
        struct call second = call_to(&scene.world, 1, 100, PATIENT_MS);
        first.then = then_close;
        submit(&first);
        submit(&second);
        finish(&first, silent ? ERR_TIMEOUT : ERR_OK);
        finish(&second, ERR_CLOSED);
        scene_close(&scene);
    }
}

static void a_port_is_open_only_while_somebody_listens(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    link_unlisten(scene.world.link, &scene.world.listener);
    SPIN_UNTIL(&scene.world, flock(scene.bus.slave, LOCK_EX | LOCK_NB) == 0);
    assert_false(link_is_up(scene.world.link));
    flock(scene.bus.slave, LOCK_UN);
    link_listen(scene.world.link, &scene.world.listener);
    DRIVE_UNTIL(&scene.world, scene.world.ups == 2);
    struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_int_equal(scene.world.downs, 0);
    scene_close(&scene);
}

/* ---- the port ---- */

static void a_port_that_is_not_there_is_tried_until_it_is(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_open(&scene.bus, &scene.world, FAST, NULL);
    DRIVE_UNTIL(&scene.world, scene.world.downs == 3);
    assert_non_null(strstr(scene.world.reason, "plugged in"));
    assert_int_equal(scene.world.ups, 0);
    bus_plug(&scene.bus);
    DRIVE_UNTIL(&scene.world, scene.world.ups == 1);
    struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    scene_close(&scene);
}

static void an_adapter_that_is_pulled_out_and_put_back_works_again(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    for (int i = 0; i < 3; i++) {
        int downs = scene.world.downs;
        bus_unplug(&scene.bus); /* nothing is asked: it is noticed all the same */
        DRIVE_UNTIL(&scene.world, scene.world.downs > downs);
        assert_non_null(strstr(scene.world.reason, "plugged"));
        bus_plug(&scene.bus);
        DRIVE_UNTIL(&scene.world, link_is_up(scene.world.link));
        struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
        submit(&call);
        finish(&call, ERR_OK);
        assert_answer_to(&call, i);
    }
    scene_close(&scene);
}

static void a_request_on_an_adapter_that_is_pulled_out_fails_at_once(void **state) {
    (void)state;
    static const enum bus_action actions[] = {BUS_UNPLUG};
    struct scene scene;
    scene_open(&scene, actions, COUNT(actions), NULL);
    struct call first = call_to(&scene.world, 1, 100, HOUR_MS);
    struct call queued = call_to(&scene.world, 1, 200, HOUR_MS);
    submit(&first);
    submit(&queued);
    finish(&first, ERR_CLOSED);
    finish(&queued, ERR_CLOSED);
    DRIVE_UNTIL(&scene.world, scene.world.downs > 0);
    bus_unplug(&scene.bus);
    bus_plug(&scene.bus);
    DRIVE_UNTIL(&scene.world, link_is_up(scene.world.link));
    submit(&first);
    finish(&first, ERR_OK);
    scene_close(&scene);
}

static void a_port_that_is_forbidden_says_which_group_may_use_it(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    assert_int_equal(chmod(scene.bus.port, 0), 0);
    assert_int_equal(chmod(scene.bus.folder, 0755), 0);
    uid_t root = geteuid();
    if (root == 0)
        assert_int_equal(seteuid(65534), 0); /* root may do everything */
    bus_open(&scene.bus, &scene.world, FAST, NULL);
    DRIVE_UNTIL(&scene.world, scene.world.downs == 1);
    assert_int_equal(seteuid(root), 0);
    assert_non_null(strstr(scene.world.reason, "no permission: add derd's user to the group "));
    assert_non_null(strstr(scene.world.reason, "start derd again"));
    scene_close(&scene);
}

static void a_port_that_another_program_uses_is_left_alone(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    assert_int_equal(flock(scene.bus.slave, LOCK_EX), 0);
    bus_open(&scene.bus, &scene.world, FAST, NULL);
    DRIVE_UNTIL(&scene.world, scene.world.downs == 2);
    assert_non_null(strstr(scene.world.reason, "in use"));
    flock(scene.bus.slave, LOCK_UN);
    DRIVE_UNTIL(&scene.world, scene.world.ups == 1);
    scene_close(&scene);
}

static void what_is_no_serial_port_is_told(void **state) {
    (void)state;
    struct world world = {0};
    world_open_url(&world, "rtu:///dev/null", NULL);
    DRIVE_UNTIL(&world, world.downs == 1);
    assert_non_null(strstr(world.reason, "not a serial port"));
    world_close(&world);
}

static void a_port_that_cannot_switch_direction_is_told(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    bus_open(&scene.bus, &scene.world, "?mode=rs485", NULL);
    DRIVE_UNTIL(&scene.world, scene.world.downs == 1);
    assert_non_null(strstr(scene.world.reason, "leave mode=rs485 out"));
    scene_close(&scene);
}

enum { CROWD = 1100 };

static int crowd_come(int *crowd) { /* all descriptors below 1024 are taken after it */
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < CROWD + 100) {
        limit.rlim_cur = CROWD + 100;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    int count = 0;
    while (count < CROWD) {
        crowd[count] = open("/dev/null", O_RDONLY);
        assert_true(crowd[count] >= 0);
        if (crowd[count++] >= FD_SETSIZE)
            break;
    }
    return count;
}

static void crowd_go(const int *crowd, int count) {
    for (int i = 0; i < count; i++)
        close(crowd[i]);
}

static void a_port_has_its_place_however_many_connections_come_after_it(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    bus_open(&scene.bus, &scene.world, FAST, NULL); /* not opened yet: that is done in the loop */
    static int crowd[CROWD];
    int count = crowd_come(crowd);
    DRIVE_UNTIL(&scene.world, scene.world.ups == 1);
    for (int i = 0; i < 2; i++) {
        struct call call = call_to(&scene.world, 1, 100, PATIENT_MS);
        submit(&call);
        finish(&call, ERR_OK);
        link_unlisten(scene.world.link, &scene.world.listener);
        SPIN_UNTIL(&scene.world, flock(scene.bus.slave, LOCK_EX | LOCK_NB) == 0);
        flock(scene.bus.slave, LOCK_UN);
        link_listen(scene.world.link, &scene.world.listener);
        DRIVE_UNTIL(&scene.world, scene.world.ups == i + 2);
    }
    crowd_go(crowd, count);
    scene_close(&scene);
}

static void a_port_that_finds_no_place_below_1024_is_refused_until_there_is_one(void **state) {
    (void)state;
    struct scene scene = {0};
    bus_new(&scene.bus, NULL, 0);
    bus_plug(&scene.bus);
    static int crowd[CROWD];
    world_open_url(&scene.world, "tcp://127.0.0.1:1", NULL); /* the loop has its own descriptors */
    struct world crowded = {.driven = &scene.world.loop};
    int count = crowd_come(crowd);
    char url[128], why[200];
    snprintf(url, sizeof url, "rtu://%s", scene.bus.port);
    const struct link_settings settings = {.backoff_min_ms = 1, .backoff_max_ms = 1};
    crowded.link = link_open(&scene.world.loop, url, &settings, why, sizeof why);
    assert_non_null(crowded.link);
    crowded.listener = (struct link_listener){.up = on_up, .down = on_down, .owner = &crowded};
    link_listen(crowded.link, &crowded.listener);
    DRIVE_UNTIL(&scene.world, crowded.downs == 1);
    assert_non_null(strstr(crowded.reason, "more than 1024"));
    crowd_go(crowd, count);
    DRIVE_UNTIL(&scene.world, crowded.ups == 1);
    link_unlisten(crowded.link, &crowded.listener);
    link_close(crowded.link);
    scene_close(&scene);
}

static void several_ports_share_one_loop(void **state) {
    (void)state;
    enum { PORTS = 6 };
    struct scene scene;
    scene_open(&scene, NULL, 0, NULL);
    static struct bus buses[PORTS];
    static struct world others[PORTS];
    static struct call calls[PORTS];
    for (int i = 0; i < PORTS; i++) {
        char url[128], why[200];
        bus_new(&buses[i], NULL, 0);
        bus_plug(&buses[i]);
        snprintf(url, sizeof url, "rtu://%s" FAST, buses[i].port);
        others[i] = (struct world){.driven = &scene.world.loop};
        others[i].listener =
            (struct link_listener){.up = on_up, .down = on_down, .owner = &others[i]};
        others[i].link = link_open(&scene.world.loop, url, NULL, why, sizeof why);
        link_listen(others[i].link, &others[i].listener);
    }
    for (int i = 0; i < PORTS; i++) {
        DRIVE_UNTIL(&scene.world, others[i].ups == 1);
        calls[i] = call_to(&others[i], 1, (uint16_t)i, PATIENT_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < PORTS; i++) {
        DRIVE_UNTIL(&scene.world, calls[i].finished);
        assert_int_equal(calls[i].answer.words[2], i + 2);
        link_unlisten(others[i].link, &others[i].listener);
        link_close(others[i].link);
        bus_unplug(&buses[i]);
        bus_free(&buses[i]);
    }
    scene_close(&scene);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_works_with_libmodbus_as_the_server),
        cmocka_unit_test(an_answer_in_slow_single_bytes_is_put_together),
        cmocka_unit_test(a_frame_of_another_unit_is_dropped),
        cmocka_unit_test(a_late_answer_is_never_taken_for_another_request),
        cmocka_unit_test(an_exception_is_an_answer),
        cmocka_unit_test(a_garbled_answer_costs_its_request_and_nothing_else),
        cmocka_unit_test(no_number_of_timeouts_closes_the_port),
        cmocka_unit_test(a_dead_unit_costs_its_own_timeouts_only),
        cmocka_unit_test(a_unit_that_cannot_be_does_not_answer),
        cmocka_unit_test(a_command_overtakes_queued_reads),
        cmocka_unit_test(one_request_is_on_the_line_whatever_the_settings_say),
        cmocka_unit_test(the_line_is_silent_between_two_frames),
        cmocka_unit_test(a_pause_holds_the_next_request_back),
        cmocka_unit_test(a_cancelled_transaction_keeps_its_place_on_the_line),
        cmocka_unit_test(a_cancelled_transaction_without_answer_frees_its_place_in_time),
        cmocka_unit_test(a_callback_may_submit_its_transaction_again),
        cmocka_unit_test(a_link_may_be_closed_before_its_first_turn),
        cmocka_unit_test(a_link_may_be_closed_while_its_port_is_opened),
        cmocka_unit_test(a_port_is_free_as_soon_as_its_link_is_closed),
        cmocka_unit_test(a_link_may_be_closed_from_an_answer_and_from_a_timeout),
        cmocka_unit_test(a_port_is_open_only_while_somebody_listens),
        cmocka_unit_test(a_port_that_is_not_there_is_tried_until_it_is),
        cmocka_unit_test(an_adapter_that_is_pulled_out_and_put_back_works_again),
        cmocka_unit_test(a_request_on_an_adapter_that_is_pulled_out_fails_at_once),
        cmocka_unit_test(a_port_that_is_forbidden_says_which_group_may_use_it),
        cmocka_unit_test(a_port_that_another_program_uses_is_left_alone),
        cmocka_unit_test(what_is_no_serial_port_is_told),
        cmocka_unit_test(a_port_that_cannot_switch_direction_is_told),
        cmocka_unit_test(a_port_has_its_place_however_many_connections_come_after_it),
        cmocka_unit_test(a_port_that_finds_no_place_below_1024_is_refused_until_there_is_one),
        cmocka_unit_test(several_ports_share_one_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
