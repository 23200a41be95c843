/* The life of a link: connecting, listeners that come and go, cancelling and closing in every
 * state, and which addresses it takes. Real sockets, as in test_link.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "base/log.h"
#include "link_world.h"

/* ---- connecting ---- */

static void a_refused_connection_is_tried_again_until_the_server_is_there(void **state) {
    (void)state;
    struct world world = {.hostile = hostile_new(NULL, 0)};
    world_open_port(&world, "127.0.0.1", world.hostile->port, NULL);
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    assert_int_equal(try_submit(&call, LINK_READ), ERR_CLOSED);
    DRIVE_UNTIL(&world, world.downs == 4);
    assert_int_equal(world.ups, 0);
    assert_non_null(strstr(world.reason, "refused"));
    hostile_listen(world.hostile);
    DRIVE_UNTIL(&world, world.ups == 1);
    submit(&call);
    finish(&call, ERR_OK);
    assert_answer_to(&call, 0);
    assert_int_equal(link_figures(world.link)->connects, 1);
    world_close(&world);
}

static void a_connection_that_does_not_come_about_is_given_up(void **state) {
    (void)state;
    struct world world = {.hostile = hostile_new(NULL, 0)};
    int sockets[8];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)world.hostile->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(listen(world.hostile->listener, 0), 0); /* nobody accepts, its queue is full */
    for (int i = 0; i < COUNT(sockets); i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(sockets[i], (struct sockaddr *)&address, sizeof address);
    }
    const struct link_settings settings = {.connect_timeout_ms = BRIEF_MS};
    world_open_port(&world, "127.0.0.1", world.hostile->port, &settings);
    DRIVE_UNTIL(&world, world.downs == 2);
    assert_int_equal(world.ups, 0);
    assert_non_null(strstr(world.reason, "in time"));
    for (int i = 0; i < COUNT(sockets); i++)
        close(sockets[i]);
    world_close(&world);
}

static void a_host_may_be_given_by_name(void **state) {
    (void)state;
    struct world world = {.hostile = hostile_new(NULL, 0)};
    hostile_listen(world.hostile);
    world_open_port(&world, "localhost", world.hostile->port, NULL);
    DRIVE_UNTIL(&world, world.ups == 1);
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    submit(&call);
    finish(&call, ERR_OK);
    assert_answer_to(&call, 0);
    world_close(&world);
}

static void a_name_that_nobody_knows_is_told(void **state) {
    (void)state;
    struct world world = {0};
    char name[71]; /* a label has at most 63 letters: no name server is asked */
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world_open_port(&world, name, 502, NULL);
    DRIVE_UNTIL(&world, world.downs == 2);
    assert_non_null(strstr(world.reason, "name is not known"));
    world_close(&world);
}

static void a_link_may_be_closed_while_its_name_is_looked_up(void **state) {
    (void)state;
    struct world world = {0};
    world_open_port(&world, "localhost", 502, NULL);
    uv_run(&world.loop, UV_RUN_NOWAIT); /* the look-up is on its way */
    world_close(&world);
}

static void a_link_may_be_closed_before_its_first_turn(void **state) {
    (void)state;
    struct world world = {0};
    world_open_port(&world, "127.0.0.1", 502, NULL);
    world_close(&world);
    assert_int_equal(world.ups + world.downs, 0);
}

static void a_link_connects_only_while_somebody_listens(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    const int *open = &world.hostile->open;
    SPIN_UNTIL(&world, hostile_number(world.hostile, open) == 1);
    link_unlisten(world.link, &world.listener);
    SPIN_UNTIL(&world, hostile_number(world.hostile, open) == 0);
    assert_false(link_is_up(world.link));
    assert_int_equal(try_submit(&call, LINK_READ), ERR_CLOSED);
    link_listen(world.link, &world.listener);
    DRIVE_UNTIL(&world, world.ups == 2);
    assert_int_equal(world.downs, 0); /* who has left is not told */
    submit(&call);
    finish(&call, ERR_OK);
    world_close(&world);
}

static void changing_listeners_within_a_turn_keeps_the_connection(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    link_unlisten(world.link, &world.listener);
    link_listen(world.link, &world.listener);
    DRIVE_UNTIL(&world, world.ups == 2); /* told again: it may be another user */
    assert_int_equal(link_figures(world.link)->connects, 1);
    world_close(&world);
}

static void a_listener_that_comes_later_is_told_too(void **state) {
    (void)state;
    struct world world = {0}, other = {.driven = &world.loop};
    world_open(&world, NULL, 0, NULL);
    struct link_listener listener = {.up = on_up, .down = on_down, .owner = &other};
    other.inside = true;
    link_listen(world.link, &listener);
    other.inside = false;
    DRIVE_UNTIL(&world, other.ups == 1);
    assert_int_equal(world.ups, 1);
    link_unlisten(world.link, &listener);
    world_close(&world);
}

/* ---- cancelling and closing, in every state ---- */

static void a_queued_transaction_can_be_cancelled(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call calls[4];
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&world, 1, (uint16_t)(100 * i), PATIENT_MS);
        assert_int_equal(try_submit(&calls[i], i == 2 ? LINK_COMMAND : LINK_READ), ERR_OK);
    }
    cancel(&calls[1]);
    cancel(&calls[2]);
    cancel(&calls[2]); /* harmless */
    finish(&calls[0], ERR_OK);
    finish(&calls[3], ERR_OK);
    assert_int_equal(calls[1].finished + calls[2].finished, 0);
    assert_int_equal(seen_requests(&world), 2);
    cancel(&calls[0]); /* harmless */
    world_close(&world);
}

static void a_cancelled_transaction_keeps_its_place_on_the_wire(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_ANSWER, HOSTILE_ANSWER};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call *gone = calloc(1, sizeof *gone);
    assert_non_null(gone);
    *gone = call_to(&world, 1, 100, PATIENT_MS);
    struct call next = call_to(&world, 1, 100, PATIENT_MS);
    submit(gone);
    submit(&next);
    cancel(gone);
    free(gone); /* its memory is ours again, and its answer finds nobody */
    assert_int_equal(link_figures(world.link)->transactions, 1);
    finish(&next, ERR_OK);
    assert_answer_to(&next, 1);
    assert_int_equal(link_figures(world.link)->foreign, 0);
    world_close(&world);
}

static void a_cancelled_transaction_without_answer_frees_its_place_in_time(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call gone = call_to(&world, 1, 100, BRIEF_MS);
    struct call next = call_to(&world, 1, 100, PATIENT_MS);
    submit(&gone);
    submit(&next);
    cancel(&gone);
    finish(&next, ERR_OK);
    assert_answer_to(&next, 1);
    assert_int_equal(gone.finished, 0);
    world_close(&world);
}

static void what_has_failed_but_was_not_told_can_be_cancelled(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call first = call_to(&world, 1, 100, PATIENT_MS);
    struct call second = call_to(&world, 1, 100, PATIENT_MS);
    submit(&first);
    submit(&second);
    link_unlisten(world.link, &world.listener);
    link_close(world.link);
    world.link = NULL;
    cancel(&first);
    world_close(&world);
    assert_int_equal(first.finished, 0);
    assert_int_equal(second.finished, 1);
    assert_int_equal(second.result, ERR_CLOSED);
}

static void then_cancel_rival(struct call *call) {
    link_cancel(&call->world->rival->transaction);
}

static void a_callback_may_cancel_others(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_ANSWER, HOSTILE_SILENT, HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    /* from an answer */
    struct call first = call_to(&world, 1, 100, PATIENT_MS);
    struct call rival = call_to(&world, 1, 100, PATIENT_MS);
    world.rival = &rival;
    first.then = then_cancel_rival;
    submit(&first);
    submit(&rival);
    finish(&first, ERR_OK);
    /* from a time-out, another that is due in the same moment */
    struct call late = call_to(&world, 1, 100, BRIEF_MS);
    late.then = then_cancel_rival;
    submit(&late);
    submit(&rival);
    finish(&late, ERR_TIMEOUT);
    /* while a link fails all that it had */
    struct call last = call_to(&world, 1, 100, PATIENT_MS);
    last.then = then_cancel_rival;
    submit(&last);
    submit(&rival);
    world_close(&world);
    assert_int_equal(last.result, ERR_CLOSED);
    assert_int_equal(rival.finished, 0);
}

static void then_submit_again(struct call *call) {
    if (call->answer.words[0] < 9)
        submit(call);
}

static void a_callback_may_submit_its_transaction_again(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct call call = call_to(&world, 1, 100, PATIENT_MS);
    call.then = then_submit_again;
    submit(&call);
    DRIVE_UNTIL(&world, call.finished && call.answer.words[0] == 9);
    world_close(&world);
}

static void then_close(struct call *call) {
    struct world *world = call->world;
    link_unlisten(world->link, &world->listener);
    link_close(world->link);
    world->link = NULL;
}

static void a_link_may_be_closed_from_an_answer(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_HOLD, HOSTILE_REVERSE};
    const struct link_settings settings = {.in_flight = 2};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), &settings);
    struct call calls[3]; /* two answers arrive together; the first closes */
    for (int i = 0; i < COUNT(calls); i++) {
        calls[i] = call_to(&world, 1, 100, PATIENT_MS);
        submit(&calls[i]);
    }
    calls[1].then = then_close;
    finish(&calls[1], ERR_OK);
    finish(&calls[0], ERR_CLOSED);
    finish(&calls[2], ERR_CLOSED);
    world_close(&world);
}

static void a_link_may_be_closed_from_a_timeout(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_SILENT};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call first = call_to(&world, 1, 100, BRIEF_MS);
    struct call second = call_to(&world, 1, 100, PATIENT_MS);
    first.then = then_close;
    submit(&first);
    submit(&second);
    finish(&first, ERR_TIMEOUT);
    finish(&second, ERR_CLOSED);
    world_close(&world);
}

static void a_link_may_be_closed_from_a_failure(void **state) {
    (void)state;
    static const enum hostile_action actions[] = {HOSTILE_RESET};
    struct world world = {0};
    world_open(&world, actions, COUNT(actions), NULL);
    struct call first = call_to(&world, 1, 100, PATIENT_MS);
    struct call second = call_to(&world, 1, 100, PATIENT_MS);
    first.then = then_close;
    submit(&first);
    submit(&second);
    finish(&second, ERR_CLOSED);
    assert_int_equal(first.result, ERR_CLOSED);
    world_close(&world);
}

static void close_when_up(struct link_listener *listener) {
    struct world *world = listener->owner;
    world->ups++;
    uv_stop(world->driven);
    link_unlisten(world->link, listener);
    link_close(world->link);
    world->link = NULL;
}

static void close_when_down(struct link_listener *listener, const char *reason) {
    (void)reason;
    struct world *world = listener->owner;
    world->downs++;
    uv_stop(world->driven);
    link_unlisten(world->link, listener);
    link_close(world->link);
    world->link = NULL;
}

static void a_link_may_be_closed_when_it_comes_up(void **state) {
    (void)state;
    struct world world = {.hostile = hostile_new(NULL, 0)};
    hostile_listen(world.hostile);
    world_open_port(&world, "127.0.0.1", world.hostile->port, NULL);
    world.listener.up = close_when_up;
    DRIVE_UNTIL(&world, world.ups == 1);
    world_close(&world);
}

static void a_link_may_be_closed_when_it_goes_down(void **state) {
    (void)state;
    struct world world = {.hostile = hostile_new(NULL, 0)};
    world_open_port(&world, "127.0.0.1", world.hostile->port, NULL);
    world.listener.down = close_when_down;
    DRIVE_UNTIL(&world, world.downs == 1);
    world_close(&world);
}

struct leaver { /* a listener that sends others away when it is told */
    struct link_listener listener;
    uv_loop_t *loop;
    struct link *link;
    struct link_listener *victim;
    int ups;
};

static void leave_when_up(struct link_listener *listener) {
    struct leaver *leaver = listener->owner;
    leaver->ups++;
    uv_stop(leaver->loop);
    if (leaver->victim)
        link_unlisten(leaver->link, leaver->victim);
    link_unlisten(leaver->link, listener);
}

static void listeners_may_leave_while_they_are_told(void **state) {
    (void)state;
    struct world world = {0};
    world_open(&world, NULL, 0, NULL);
    struct leaver leavers[3];
    for (int i = 0; i < 3; i++) {
        leavers[i] = (struct leaver){.listener = {.up = leave_when_up, .down = on_down},
                                     .loop = &world.loop,
                                     .link = world.link};
        leavers[i].listener.owner = &leavers[i];
        link_listen(world.link, &leavers[i].listener);
    }
    leavers[0].victim = &leavers[1].listener;
    DRIVE_UNTIL(&world, leavers[2].ups == 1);
    assert_int_equal(leavers[0].ups, 1);
    assert_int_equal(leavers[1].ups, 0);
    world_close(&world);
}

/* ---- addresses ---- */

static void addresses_of_links_are_checked(void **state) {
    (void)state;
    static const char *const good[] = {
        "tcp://192.168.1.20:502", "tcp://inverter.local:1502",
        "tcp://meter-1_a:65535",  "tcp://[fe80::1]:502",
        "tcp://[::1]:1",
    };
    static const char *const bad[] = {
        "",
        "192.168.1.20:502",
        "http://192.168.1.20:502",
        "tcp://",
        "tcp://:502",
        "tcp://192.168.1.20",
        "tcp://192.168.1.20:",
        "tcp://192.168.1.20:0",
        "tcp://192.168.1.20:65536",
        "tcp://192.168.1.20:502/",
        "tcp://192.168.1.20:502 ",
        "tcp://192.168.1.300:502",
        "tcp://192.168.1:502",
        "tcp://a b:502",
        "tcp://user@host:502",
        "tcp://[fe80::1:502",
        "tcp://[fe80::1]502",
        "tcp://[192.168.1.20]:502",
        "tcp://fe80::1:502",
        "tcp://[]:502",
        "tcp://a:999999999999999999999",
    };
    char why[200];
    for (int i = 0; i < COUNT(good); i++)
        assert_true(link_url_valid(good[i], why, sizeof why));
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (int i = 0; i < COUNT(bad); i++) {
        why[0] = '\0';
        assert_false(link_url_valid(bad[i], why, sizeof why));
        assert_non_null(strstr(why, "expected"));
        assert_null(link_open(&loop, bad[i], NULL, why, sizeof why));
    }
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_host_longer_than_a_name_may_be_is_refused(void **state) {
    (void)state;
    char url[400] = "tcp://", why[200];
    memset(url + 6, 'a', 254);
    snprintf(url + 6 + 254, 16, ":502");
    assert_false(link_url_valid(url, why, sizeof why));
    snprintf(url + 6 + 253, 16, ":502");
    assert_true(link_url_valid(url, why, sizeof why));
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_connection_is_tried_again_until_the_server_is_there),
        cmocka_unit_test(a_connection_that_does_not_come_about_is_given_up),
        cmocka_unit_test(a_host_may_be_given_by_name),
        cmocka_unit_test(a_name_that_nobody_knows_is_told),
        cmocka_unit_test(a_link_may_be_closed_while_its_name_is_looked_up),
        cmocka_unit_test(a_link_may_be_closed_before_its_first_turn),
        cmocka_unit_test(a_link_connects_only_while_somebody_listens),
        cmocka_unit_test(changing_listeners_within_a_turn_keeps_the_connection),
        cmocka_unit_test(a_listener_that_comes_later_is_told_too),
        cmocka_unit_test(a_queued_transaction_can_be_cancelled),
        cmocka_unit_test(a_cancelled_transaction_keeps_its_place_on_the_wire),
        cmocka_unit_test(a_cancelled_transaction_without_answer_frees_its_place_in_time),
        cmocka_unit_test(what_has_failed_but_was_not_told_can_be_cancelled),
        cmocka_unit_test(a_callback_may_cancel_others),
        cmocka_unit_test(a_callback_may_submit_its_transaction_again),
        cmocka_unit_test(a_link_may_be_closed_from_an_answer),
        cmocka_unit_test(a_link_may_be_closed_from_a_timeout),
        cmocka_unit_test(a_link_may_be_closed_from_a_failure),
        cmocka_unit_test(a_link_may_be_closed_when_it_comes_up),
        cmocka_unit_test(a_link_may_be_closed_when_it_goes_down),
        cmocka_unit_test(listeners_may_leave_while_they_are_told),
        cmocka_unit_test(addresses_of_links_are_checked),
        cmocka_unit_test(a_host_longer_than_a_name_may_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
