/* Links over real sockets: against libmodbus as an independent server, and against a server that
 * does everything wrong (hostile.h). The loop is driven until what is expected has happened; a
 * watchdog fails the test that waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <modbus.h>
#include <signal.h>

#include "base/log.h"
#include "link_world.h"

/* ---- libmodbus as the server ---- */

struct peer {
    modbus_t *modbus;
    modbus_mapping_t *mapping;
    int listener, port;
    pthread_t thread;
};

static void *peer_run(void *argument) {
    struct peer *peer = argument;
    int listener = peer->listener;
    while (modbus_tcp_accept(peer->modbus, &listener) >= 0) {
        uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
        for (int length; (length = modbus_receive(peer->modbus, query)) >= 0;)
            if (length > 0)
                modbus_reply(peer->modbus, query, length, peer->mapping);
        modbus_close(peer->modbus);
    }
    return NULL;
}

static void peer_start(struct peer *peer) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    peer->modbus = modbus_new_tcp("127.0.0.1", 0);
    peer->mapping = modbus_mapping_new(50, 50, 200, 200);
    assert_true(peer->modbus && peer->mapping);
    for (int i = 0; i < 200; i++) {
        peer->mapping->tab_registers[i] = (uint16_t)(1000 + i);
        peer->mapping->tab_input_registers[i] = (uint16_t)(2000 + i);
    }
    for (int i = 0; i < 50; i++)
        peer->mapping->tab_input_bits[i] = i % 3 == 0;
    peer->listener = modbus_tcp_listen(peer->modbus, 1);
    assert_true(peer->listener >= 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

static void peer_stop(struct peer *peer) {
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    modbus_mapping_free(peer->mapping);
    modbus_free(peer->modbus);
}

static void every_function_works_with_an_independent_server(void **state) {
    (void)state;
    struct peer peer;
    struct world world = {0};
    peer_start(&peer);
    world_open_port(&world, "127.0.0.1", peer.port, NULL);
    DRIVE_UNTIL(&world, link_is_up(world.link));
    static const struct modbus_request requests[] = {
        {1, MODBUS_READ_HOLDING, 7, 125 - 7, {0}, false},
        {1, MODBUS_READ_INPUT, 10, 2, {0}, false},
        {1, MODBUS_WRITE_REGISTER, 3, 1, {77}, false},
        {1, MODBUS_WRITE_REGISTERS, 4, 3, {78, 79, 65535}, false},
        {1, MODBUS_READ_HOLDING, 3, 4, {0}, false},
        {1, MODBUS_WRITE_COIL, 2, 1, {1}, false},
        {1, MODBUS_WRITE_COILS, 5, 11, {1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1}, false},
        {1, MODBUS_READ_COILS, 2, 14, {0}, false},
        {1, MODBUS_READ_DISCRETE, 0, 10, {0}, false},
        {1, MODBUS_READ_HOLDING, 199, 2, {0}, false}, /* beyond the mapping */
    };
    struct call calls[COUNT(requests)];
    for (int i = 0; i < COUNT(requests); i++) {
        calls[i] = call_to(&world, 1, 0, PATIENT_MS);
        calls[i].transaction.request = requests[i];
        submit(&calls[i]);
    }
    for (int i = 0; i < COUNT(requests); i++)
        finish(&calls[i], ERR_OK);
    assert_int_equal(calls[0].answer.count, 118);
    assert_int_equal(calls[0].answer.words[117], 1124);
    assert_int_equal(calls[1].answer.words[1], 2011);
    static const uint16_t written[] = {77, 78, 79, 65535};
    assert_memory_equal(calls[4].answer.words, written, sizeof written);
    static const uint16_t coils[] = {1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1};
    assert_memory_equal(calls[7].answer.words, coils, sizeof coils);
    static const uint16_t inputs[] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1};
    assert_memory_equal(calls[8].answer.words, inputs, sizeof inputs);
    assert_int_equal(calls[9].answer.exception, 2);
    for (int i = 0; i < 9; i++)
        assert_int_equal(calls[i].answer.exception, 0);
    assert_int_equal(link_figures(world.link)->transactions, COUNT(requests));
    world_close(&world);
    peer_stop(&peer);
}

/* ---- answers that come, but not as they should ---- */

static void an_answer_in_single_bytes_is_put_together(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_BYTES, HOSTILE_BYTES, HOSTILE_ANSWER};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    for (int i = 0; i < 3; i++) {
        struct call call = call_to(&world, 1, 100, PATIENT_MS);
        submit(&call);
        finish(&call, ERR_OK);
        assert_answer_to(&call, i);
    }
    assert_int_equal(link_figures(world.link)->connects, 1);
    world_close(&world);
}

static void an_answer_of_another_transaction_is_dropped(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_FOREIGN_FIRST};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_answer_to(&call, 0);
    assert_int_equal(link_figures(world.link)->foreign, 1);
    assert_int_equal(link_figures(world.link)->connects, 1);
    world_close(&world);
}

static void a_late_answer_is_never_taken_for_the_next_request(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_HOLD, HOSTILE_LATE};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call first = call_to(&world, 1, 100, BRIEF_MS);
    struct call second = call_to(&world, 1, 100, PATIENT_MS); /* alike in all but its id */
    submit(&first);
    finish(&first, ERR_TIMEOUT);
    submit(&second);
    finish(&second, ERR_OK);
    assert_answer_to(&second, 1);
    assert_int_equal(link_figures(world.link)->foreign, 1);
    assert_int_equal(link_figures(world.link)->timeouts, 1);
    assert_int_equal(link_figures(world.link)->connects, 1);
    world_close(&world);
}

static void an_exception_is_an_answer(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_EXCEPTION};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_int_equal(call.answer.exception, 2);
    assert_true(link_is_up(world.link));
    world_close(&world);
}

static void a_broken_answer_closes_the_link_and_it_comes_back(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {
        HOSTILE_WRONG_UNIT, HOSTILE_WRONG_FUNCTION, HOSTILE_WRONG_COUNT, HOSTILE_WRONG_PROTOCOL,
        HOSTILE_GARBAGE,    HOSTILE_HALF,           HOSTILE_CLOSE,       HOSTILE_RESET,
    };
    const int malformed = 5; /* the first of them; the others break the connection */
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    for (int i = 0; i < COUNT(actions); i++) {
        struct call call = call_to(&world, 1, 100, PATIENT_MS);
        struct call queued = call_to(&world, 1, 200, PATIENT_MS);
        submit(&call);
        submit(&queued);
        finish(&call, ERR_CLOSED);
        finish(&queued, ERR_CLOSED);
        assert_int_equal(try_submit(&call, LINK_READ), ERR_CLOSED);
        DRIVE_UNTIL(&world, world.downs == i + 1 && world.ups == i + 2);
        assert_int_equal(link_figures(world.link)->malformed, i < malformed ? i + 1 : malformed);
        assert_true(world.reason[0] != '\0');
        assert_string_equal(world.reason, link_figures(world.link)->last_error);
    }
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_answer_to(&call, COUNT(actions));
    world_close(&world);
}

static void answers_that_waited_while_the_loop_was_held_up_are_taken(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call call = call_to(&world, 1, 100, BRIEF_MS);
    submit(&call);
    uint64_t start = uv_hrtime();
    while (hostile_number(world.hostile, &world.hostile->answers) == 0 ||
           uv_hrtime() - start < (uint64_t)2 * BRIEF_MS * 1000000)
        continue; /* the engine is busy, the answer is in the socket, its time is up */
    finish(&call, ERR_OK);
    assert_answer_to(&call, 0);
    world_close(&world);
}

/* ---- no answer ---- */

static void one_timeout_leaves_the_connection_open(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call first = call_to(&world, 1, 100, BRIEF_MS);
    struct call second = call_to(&world, 1, 100, PATIENT_MS);
    submit(&first);
    submit(&second);
    finish(&first, ERR_TIMEOUT);
    finish(&second, ERR_OK);
    assert_answer_to(&second, 1);
    assert_int_equal(world.downs, 0);
    world_close(&world);
}

static void a_deaf_device_is_connected_anew(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT, HOSTILE_SILENT, HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call calls[LINK_DEAF_AFTER + 1];
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&world, 1, 100, BRIEF_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < LINK_DEAF_AFTER; i++)
        finish(&calls[i], ERR_TIMEOUT);
    finish(&calls[LINK_DEAF_AFTER], ERR_CLOSED);
    DRIVE_UNTIL(&world, world.ups == 2);
    assert_int_equal(world.downs, 1);
    assert_int_equal(link_figures(world.link)->timeouts, LINK_DEAF_AFTER);
    world_close(&world);
}

static void a_dead_unit_does_not_take_the_others_down(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    pthread_mutex_lock(&world.hostile->lock);
    world.hostile->dead_unit = 7;
    pthread_mutex_unlock(&world.hostile->lock);
    struct call dead[LINK_DEAF_AFTER + 2], alive[COUNT(dead)];
    for (int i = 0; i < COUNT(dead); i++) {
        dead[i] = call_to(&world, 7, 100, BRIEF_MS);
        alive[i] = call_to(&world, 8, 100, PATIENT_MS);
        submit(&dead[i]);
        submit(&alive[i]);
    }
    for (int i = 0; i < COUNT(dead); i++) {
        finish(&dead[i], ERR_TIMEOUT);
        finish(&alive[i], ERR_OK);
        assert_answer_to(&alive[i], 2 * i + 1);
    }
    assert_int_equal(link_figures(world.link)->connects, 1);
    assert_int_equal(world.downs, 0);
    world_close(&world);
}

/* ---- order ---- */

static void a_command_overtakes_queued_reads(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call calls[5];
    for (int i = 0; i < COUNT(calls); i++)
        calls[i] = call_to(&world, 1, (uint16_t)(100 * (i + 1)), PATIENT_MS);
    for (int i = 0; i < 3; i++)
        submit(&calls[i]); /* the first is on the wire at once */
    assert_int_equal(try_submit(&calls[3], LINK_COMMAND), ERR_OK);
    assert_int_equal(try_submit(&calls[4], LINK_COMMAND), ERR_OK);
    for (int i = 0; i < COUNT(calls); i++)
        finish(&calls[i], ERR_OK);
    static const uint16_t expected[] = {100, 400, 500, 200, 300};
    for (int i = 0; i < COUNT(calls); i++)
        assert_int_equal(hostile_request(world.hostile, i).address, expected[i]);
    world_close(&world);
}

static void only_one_request_is_on_the_wire_unless_more_are_allowed(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call first = call_to(&world, 1, 100, HOUR_MS), second = call_to(&world, 1, 200, HOUR_MS);
    submit(&first);
    submit(&second);
    SPIN_UNTIL(&world, seen_requests(&world) == 1);
    for (int i = 0; i < 1000; i++)
        uv_run(&world.loop, UV_RUN_NOWAIT);
    assert_int_equal(link_figures(world.link)->transactions, 1);
    assert_int_equal(seen_requests(&world), 1);
    world_close(&world);
    assert_int_equal(first.result, ERR_CLOSED);
    assert_int_equal(second.result, ERR_CLOSED);
}

static void several_in_flight_may_be_answered_in_any_order(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_HOLD, HOSTILE_HOLD, HOSTILE_HOLD,
                                                  HOSTILE_REVERSE};
    const struct link_settings settings = {.in_flight = 4};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), &settings);
    struct call calls[5];
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&world, 1, 100, PATIENT_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < COUNT(calls); i++) {
        finish(&calls[i], ERR_OK);
        assert_answer_to(&calls[i], i);
    }
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(world.finished[i], &calls[3 - i]);
    assert_int_equal(link_figures(world.link)->foreign, 0);
    world_close(&world);
}

static void settling_takes_the_most_careful_of_all_users(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT};
    const struct link_settings eager = {.in_flight = 4}, careful = {.in_flight = 1};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), &eager);
    link_settle(world.link, &careful);
    link_settle(world.link, &eager);
    struct call first = call_to(&world, 1, 100, HOUR_MS), second = call_to(&world, 1, 200, HOUR_MS);
    submit(&first);
    submit(&second);
    assert_int_equal(link_figures(world.link)->transactions, 1);
    world_close(&world);
}

static void a_pause_holds_the_next_request_back(void **state) {
    (void)state;
    const struct link_settings settings = {.pause_ms = HOUR_MS};
    struct world world = {0};
    world_open(&world, NULL, 0, &settings);
    struct call first = call_to(&world, 1, 100, PATIENT_MS);
    struct call second = call_to(&world, 1, 200, PATIENT_MS);
    submit(&first);
    submit(&second);
    finish(&first, ERR_OK);
    for (int i = 0; i < 1000; i++)
        uv_run(&world.loop, UV_RUN_NOWAIT);
    assert_int_equal(link_figures(world.link)->transactions, 1);
    world_close(&world);
    assert_int_equal(second.result, ERR_CLOSED);
}

static void a_short_pause_ends(void **state) {
    (void)state;
    const struct link_settings settings = {.pause_ms = 1};
    struct world world = {0};
    world_open(&world, NULL, 0, &settings);
    struct call calls[5];
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&world, 1, 100, PATIENT_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < COUNT(calls); i++)
        finish(&calls[i], ERR_OK);
    world_close(&world);
}

static void the_queue_is_bounded_and_fails_as_a_whole(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call *calls = calloc(LINK_QUEUE_MAXIMUM + 1, sizeof *calls);
    assert_non_null(calls);
    for (int i = 0; i <= LINK_QUEUE_MAXIMUM; i++) { /* one is on the wire, the others wait */
        calls[i] = call_to(&world, 1, 100, HOUR_MS);
        submit(&calls[i]);
    }
    struct call more = call_to(&world, 1, 100, HOUR_MS);
    assert_int_equal(try_submit(&more, LINK_READ), ERR_FULL);
    assert_int_equal(try_submit(&more, LINK_COMMAND), ERR_FULL);
    cancel(&calls[17]);
    assert_int_equal(try_submit(&more, LINK_COMMAND), ERR_OK);
    world_close(&world);
    assert_int_equal(more.result, ERR_CLOSED);
    for (int i = 0; i <= LINK_QUEUE_MAXIMUM; i++) {
        assert_int_equal(calls[i].finished, i != 17);
        assert_int_equal(calls[i].result, i != 17 ? ERR_CLOSED : ERR_OK);
    }
    free(calls);
}

static void what_cannot_be_sent_is_refused_at_once(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call call = call_to(&world, 1, 65535, PATIENT_MS); /* three registers from the last */
    assert_int_equal(try_submit(&call, LINK_READ), ERR_RANGE);
    call.transaction.request.address = 100;
    submit(&call);
    assert_int_equal(try_submit(&call, LINK_READ), ERR_CONFLICT);
    finish(&call, ERR_OK);
    world_close(&world);
}

static void transaction_ids_run_round_without_zero(void **state) {
    (void)state;
#ifdef DERD_SANITIZED
    enum { ROUNDS = 300 };
#else
    enum { ROUNDS = 4200 }; /* times 16: once around the 16-bit counter */
#endif
    const struct link_settings settings = {.in_flight = LINK_MAX_IN_FLIGHT};
    struct world world = {0};
    world_open(&world, NULL, 0, &settings);
    static struct call calls[LINK_MAX_IN_FLIGHT];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT(calls); i++) {
            calls[i] = call_to(&world, 1, 100, PATIENT_MS);
            submit(&calls[i]);
        }
        for (int i = 0; i < COUNT(calls); i++)
            finish(&calls[i], ERR_OK);
    }
    assert_false(world.hostile->saw_id_zero);
    assert_int_not_equal(hostile_request(world.hostile, 0).id,
                         hostile_request(world.hostile, 1).id);
    world_close(&world);
}

static void many_links_share_one_loop(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    enum { LINKS = 50 };
    static struct world others[LINKS];
    static struct call calls[LINKS];
    char why[200];
    for (int i = 0; i < LINKS; i++) {
        others[i] = (struct world){.driven = &world.loop};
        others[i].listener =
            (struct link_listener){.up = on_up, .down = on_down, .owner = &others[i]};
        others[i].link = link_open(&world.loop, link_url(world.link), NULL, why, sizeof why);
        link_listen(others[i].link, &others[i].listener);
    }
    for (int i = 0; i < LINKS; i++) {
        DRIVE_UNTIL(&world, others[i].ups == 1);
        calls[i] = call_to(&others[i], 1, (uint16_t)i, PATIENT_MS);
        submit(&calls[i]);
    }
    for (int i = 0; i < LINKS; i++) {
        DRIVE_UNTIL(&world, calls[i].finished);
        assert_int_equal(calls[i].result, ERR_OK);
        assert_int_equal(calls[i].answer.words[2], i + 2);
        link_unlisten(others[i].link, &others[i].listener);
        link_close(others[i].link);
    }
    world_close(&world);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_works_with_an_independent_server),
        cmocka_unit_test(an_answer_in_single_bytes_is_put_together),
        cmocka_unit_test(an_answer_of_another_transaction_is_dropped),
        cmocka_unit_test(a_late_answer_is_never_taken_for_the_next_request),
        cmocka_unit_test(an_exception_is_an_answer),
        cmocka_unit_test(a_broken_answer_closes_the_link_and_it_comes_back),
        cmocka_unit_test(answers_that_waited_while_the_loop_was_held_up_are_taken),
        cmocka_unit_test(one_timeout_leaves_the_connection_open),
        cmocka_unit_test(a_deaf_device_is_connected_anew),
        cmocka_unit_test(a_dead_unit_does_not_take_the_others_down),
        cmocka_unit_test(a_command_overtakes_queued_reads),
        cmocka_unit_test(only_one_request_is_on_the_wire_unless_more_are_allowed),
        cmocka_unit_test(several_in_flight_may_be_answered_in_any_order),
        cmocka_unit_test(settling_takes_the_most_careful_of_all_users),
        cmocka_unit_test(a_pause_holds_the_next_request_back),
        cmocka_unit_test(a_short_pause_ends),
        cmocka_unit_test(the_queue_is_bounded_and_fails_as_a_whole),
        cmocka_unit_test(what_cannot_be_sent_is_refused_at_once),
        cmocka_unit_test(transaction_ids_run_round_without_zero),
        cmocka_unit_test(many_links_share_one_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
