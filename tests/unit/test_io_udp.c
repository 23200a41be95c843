/* The UDP client against peers of the test on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "io/udp.h"
#include "io_world.h"

/* A peer that answers "re:" and what was asked; nothing to "silent", twice to "twice", 2 KiB and
 * one byte to "big". */
struct station {
    uv_udp_t handle;
    int port, heard;
    char input[4096], last[64];
    struct sockaddr_in asker;
};

struct call {
    struct udp_exchange exchange;
    struct world *world;
    struct udp_client *client;
    int finished;
    enum err result;
    size_t length;
    char answer[UDP_DATA_MAXIMUM + 1], why[IO_WHY_SIZE];
    bool answered;
    void (*then)(struct call *call);
};

static void station_send(struct station *station, const struct sockaddr *to, const char *data,
                         size_t length) {
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)data, (unsigned)length);
    assert_int_equal(uv_udp_try_send(&station->handle, &bytes, 1, to), (int)length);
}

static void on_station_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    (void)suggested;
    struct station *station = handle->data;
    *room = uv_buf_init(station->input, sizeof station->input);
}

static void on_asked(uv_udp_t *handle, ssize_t length, const uv_buf_t *room,
                     const struct sockaddr *from, unsigned flags) {
    (void)room;
    (void)flags;
    struct station *station = handle->data;
    if (!from || length < 0)
        return;
    station->heard++;
    memcpy(&station->asker, from, sizeof station->asker);
    uv_stop(handle->loop);
    snprintf(station->last, sizeof station->last, "%.*s", (int)length, station->input);
    static char big[UDP_DATA_MAXIMUM + 1];
    char answer[UDP_DATA_MAXIMUM + 8];
    int size = snprintf(answer, sizeof answer, "re:%.*s", (int)length, station->input);
    if (strcmp(station->last, "silent") == 0)
        return;
    if (strcmp(station->last, "big") == 0)
        station_send(station, from, big, sizeof big);
    if (strcmp(station->last, "empty") == 0)
        size = 0;
    station_send(station, from, answer, (size_t)size);
    if (strcmp(station->last, "twice") == 0)
        station_send(station, from, answer, (size_t)size);
}

static void station_open(struct world *world, struct station *station, int port) {
    struct sockaddr_in address;
    int length = sizeof address;
    *station = (struct station){0};
    uv_udp_init(&world->loop, &station->handle);
    station->handle.data = station;
    uv_ip4_addr("127.0.0.1", port, &address);
    assert_int_equal(uv_udp_bind(&station->handle, (struct sockaddr *)&address, 0), 0);
    uv_udp_getsockname(&station->handle, (struct sockaddr *)&address, &length);
    station->port = ntohs(address.sin_port);
    uv_udp_recv_start(&station->handle, on_station_room, on_asked);
}

static void station_close(struct station *station) {
    uv_close((uv_handle_t *)&station->handle, NULL);
}

static struct udp_client *client_to(struct world *world, const char *host, int port,
                                    const struct udp_settings *settings) {
    char url[100], why[IO_WHY_SIZE] = "";
    snprintf(url, sizeof url, "udp://%s:%d", host, port);
    struct udp_client *client = udp_open(world->io, url, settings, why, sizeof why);
    if (!client)
        fail_msg("%s", why);
    return client;
}

static void on_done(struct udp_exchange *exchange, enum err result,
                    const struct udp_datagram *answer, const char *why) {
    struct call *call = exchange->owner;
    assert_false(call->world->inside);
    assert_int_equal(call->finished, 0);
    assert_true((why[0] == '\0') == (result == ERR_OK));
    call->finished = 1;
    call->result = result;
    call->answered = answer != NULL;
    snprintf(call->why, sizeof call->why, "%s", why);
    if (answer) {
        assert_int_equal(answer->data[answer->length], '\0');
        assert_true(answer->at.ms > 0 && answer->at.ms <= clock_mono().ms);
        call->length = answer->length;
        memcpy(call->answer, answer->data, answer->length + 1);
    }
    uv_stop(&call->world->loop);
    if (call->then)
        call->then(call);
}

static struct call call_to(struct world *world, struct udp_client *client, const char *text) {
    return (struct call){.exchange = {.data = text,
                                      .length = text ? strlen(text) : 0,
                                      .timeout_ms = PATIENT_MS,
                                      .done = on_done},
                         .client = client,
                         .world = world};
}

static enum err try_submit(struct call *call) {
    call->exchange.owner = call;
    call->finished = 0;
    call->world->inside = true;
    enum err err = udp_submit(call->client, &call->exchange);
    call->world->inside = false;
    return err;
}

static void submit(struct call *call) {
    assert_int_equal(try_submit(call), ERR_OK);
}

static void finish(struct call *call, enum err expected) {
    DRIVE_UNTIL(call->world, call->finished);
    if (call->result != expected)
        fail_msg("%s instead of %s: %s", err_name(call->result), err_name(expected), call->why);
}

static void cancel(struct call *call) {
    call->world->inside = true;
    udp_cancel(&call->exchange);
    call->world->inside = false;
}

static struct call ask(struct world *world, struct udp_client *client, const char *text,
                       enum err expected) {
    struct call call = call_to(world, client, text);
    submit(&call);
    finish(&call, expected);
    return call;
}

static int any_local_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    getsockname(fd, (struct sockaddr *)&address, &length);
    close(fd);
    return ntohs(address.sin_port);
}

/* ---- */

static void exchanges_are_answered_in_order(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    const char *const hosts[] = {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"};
    for (int h = 0; h < COUNT(hosts); h++) {
        struct udp_client *client = client_to(&world, hosts[h], station.port, NULL);
        char text[8] = "one";
        struct call one = call_to(&world, client, text), two = call_to(&world, client, "two");
        struct call three = call_to(&world, client, "three");
        three.exchange.send_only = true;
        submit(&one);
        memcpy(text, "XXX", 3); /* it was copied */
        submit(&two);
        submit(&three);
        assert_int_equal(try_submit(&two), ERR_CONFLICT);
        finish(&three, ERR_OK);
        assert_false(three.answered);
        assert_true(one.finished && two.finished);
        assert_string_equal(one.answer, "re:one");
        assert_string_equal(two.answer, "re:two");
        one = ask(&world, client, "empty", ERR_OK); /* or what three was answered */
        assert_true(one.answered);
        udp_close(client);
    }
    station_close(&station);
    world_close(&world);
}

static void what_comes_unasked_is_kept_in_a_ring(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_settings settings = {.ring = 3};
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, &settings);
    assert_null(udp_take(client));
    ask(&world, client, "hello", ERR_OK);
    const struct sockaddr *to = (const struct sockaddr *)&station.asker;
    for (int i = 0; i < 5; i++)
        station_send(&station, to, &"abcde"[i], 1);
    DRIVE_UNTIL(&world, udp_figures(client)->received == 6);
    assert_int_equal(udp_figures(client)->kept, 3);
    assert_int_equal(udp_figures(client)->dropped, 2);
    assert_string_equal((const char *)udp_take(client)->data, "c");
    /* who only awaits gets the oldest */
    struct call call = ask(&world, client, NULL, ERR_OK);
    assert_string_equal(call.answer, "d");
    /* a question does not */
    call = ask(&world, client, "x", ERR_OK);
    assert_string_equal(call.answer, "re:x");
    assert_string_equal((const char *)udp_take(client)->data, "e");
    assert_null(udp_take(client));
    /* who only awaits waits when there is none */
    call = call_to(&world, client, NULL);
    submit(&call);
    world_turn(&world, 5);
    assert_false(call.finished);
    station_send(&station, to, "f", 1);
    finish(&call, ERR_OK);
    assert_string_equal(call.answer, "f");
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

static void datagrams_have_a_maximum(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    struct call call = ask(&world, client, "big", ERR_OK);
    assert_string_equal(call.answer, "re:big"); /* the one too long is as if it had not come */
    assert_int_equal(udp_figures(client)->oversize, 1);
    char data[UDP_DATA_MAXIMUM + 2] = "";
    memset(data, 'x', UDP_DATA_MAXIMUM + 1);
    call = call_to(&world, client, data);
    assert_int_equal(try_submit(&call), ERR_RANGE);
    assert_non_null(strstr(udp_why(client), "2048"));
    call.exchange.length = UDP_DATA_MAXIMUM - 3; /* "re:" is put before */
    submit(&call);
    finish(&call, ERR_OK);
    assert_int_equal(call.length, UDP_DATA_MAXIMUM);
    call = call_to(&world, client, NULL);
    call.exchange.send_only = true;
    assert_int_equal(try_submit(&call), ERR_RANGE);
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

static void a_late_answer_is_never_taken_for_the_next(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    for (int way = 0; way < 2; way++) {
        struct call call = call_to(&world, client, "silent");
        if (way == 0)
            call.exchange.timeout_ms = BRIEF_MS;
        int heard = station.heard;
        do { /* on a busy machine its time may be over before it is sent */
            submit(&call);
            DRIVE_UNTIL(&world, station.heard > heard || call.finished);
        } while (station.heard == heard);
        struct sockaddr_in asker = station.asker;
        if (way == 0)
            finish(&call, ERR_TIMEOUT);
        else
            cancel(&call);
        struct call next = call_to(&world, client, "next");
        submit(&next);
        station_send(&station, (struct sockaddr *)&asker, "late", 4);
        finish(&next, ERR_OK);
        assert_string_equal(next.answer, "re:next");
        world_turn(&world, 5);
        assert_null(udp_take(client));
    }
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

static void a_local_port_is_shared_and_senders_are_told_apart(void **state) {
    (void)state;
    struct world world;
    struct station stations[3];
    struct udp_client *clients[2];
    world_open(&world);
    for (int i = 0; i < 3; i++)
        station_open(&world, &stations[i], 0);
    struct udp_settings settings = {.local_port = (unsigned)any_local_port()};
    for (int i = 0; i < 2; i++)
        clients[i] = client_to(&world, "127.0.0.1", stations[i].port, &settings);
    struct call a = call_to(&world, clients[0], "silent"), b = call_to(&world, clients[1], "b");
    submit(&a);
    submit(&b);
    finish(&b, ERR_OK);
    assert_string_equal(b.answer, "re:b");
    DRIVE_UNTIL(&world, stations[0].heard);
    assert_int_equal(ntohs(stations[0].asker.sin_port), settings.local_port);
    const struct sockaddr *to = (const struct sockaddr *)&stations[0].asker;
    station_send(&stations[1], to, "report of 1", 11);
    station_send(&stations[2], to, "of a stranger", 13); /* the address of two: nobody's */
    station_send(&stations[0], to, "late", 4);
    finish(&a, ERR_OK);
    assert_string_equal(a.answer, "late");
    DRIVE_UNTIL(&world,
                udp_figures(clients[1])->kept == 1 && udp_figures(clients[0])->foreign == 1);
    assert_string_equal((const char *)udp_take(clients[1])->data, "report of 1");
    assert_null(udp_take(clients[0]));
    /* one goes: the other stays; then its address alone is enough */
    udp_close(clients[0]);
    ask(&world, clients[1], "still", ERR_OK);
    station_send(&stations[2], to, "from another port", 17);
    DRIVE_UNTIL(&world, udp_figures(clients[1])->kept == 1);
    /* another program has the port */
    char why[IO_WHY_SIZE] = "";
    struct io *other = io_open(&world.loop, why, sizeof why);
    assert_null(udp_open(other, "udp://127.0.0.1:7090", &settings, why, sizeof why));
    assert_non_null(strstr(why, "another program"));
    udp_close(clients[1]);
    while (!io_idle(other) || !io_idle(world.io))
        uv_run(&world.loop, UV_RUN_NOWAIT);
    io_close(other);
    /* and is free again */
    clients[0] = client_to(&world, "127.0.0.1", stations[0].port, &settings);
    ask(&world, clients[0], "again", ERR_OK);
    udp_close(clients[0]);
    for (int i = 0; i < 3; i++)
        station_close(&stations[i]);
    world_close(&world);
}

static void foreign_datagrams_reach_nobody(void **state) {
    (void)state;
    struct world world;
    struct station station, stranger;
    world_open(&world);
    station_open(&world, &station, 0);
    station_open(&world, &stranger, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    struct call call = call_to(&world, client, "silent");
    submit(&call);
    DRIVE_UNTIL(&world, station.heard);
    station_send(&stranger, (struct sockaddr *)&station.asker, "evil", 4);
    world_turn(&world, 5);
    assert_false(call.finished);
    station_send(&station, (struct sockaddr *)&station.asker, "good", 4);
    finish(&call, ERR_OK);
    assert_string_equal(call.answer, "good");
    udp_close(client);
    station_close(&station);
    station_close(&stranger);
    world_close(&world);
}

static void silence_absence_and_unknown_names_are_told(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    struct call silent = call_to(&world, client, "silent"), queued = call_to(&world, client, "q");
    silent.exchange.timeout_ms = BRIEF_MS;
    queued.exchange.timeout_ms = BRIEF_MS / 2;
    submit(&silent);
    submit(&queued);
    finish(&queued, ERR_TIMEOUT);
    finish(&silent, ERR_TIMEOUT);
    assert_non_null(strstr(silent.why, "in time"));
    assert_true(station.heard <= 1); /* one at a time */
    /* it goes while a question is under way; then it is back */
    int port = station.port;
    station_close(&station);
    world_turn(&world, 2);
    struct call call = ask(&world, client, "gone?", ERR_CLOSED);
    assert_non_null(strstr(call.why, "nobody listens"));
    station_open(&world, &station, port);
    call = ask(&world, client, "back?", ERR_OK);
    assert_string_equal(call.answer, "re:back?");
    udp_close(client);
    client = client_to(&world, "nobody.invalid", 7090, NULL);
    call = ask(&world, client, "x", ERR_NOT_FOUND);
    assert_non_null(strstr(call.why, "nobody.invalid"));
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

static void a_pause_is_kept_between_two_that_are_sent(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_settings settings = {.pause_ms = 20};
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, &settings);
    uint64_t start = uv_hrtime();
    for (int i = 0; i < 4; i++)
        ask(&world, client, "x", ERR_OK);
    assert_true(uv_hrtime() - start >= 57 * 1000000u); /* three pauses, whole ms */
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

static void urls_that_are_none_are_refused(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    static const char *const urls[] = {"udp://h", "tcp://h:1", "udp://h:1/x", "udp://u@h:1", "h:1"};
    for (int i = 0; i < COUNT(urls); i++) {
        char why[IO_WHY_SIZE] = "";
        assert_null(udp_open(world.io, urls[i], NULL, why, sizeof why));
        assert_non_null(strstr(why, "expected udp://host:port"));
    }
    struct udp_settings settings = {.local_port = 65536};
    char why[IO_WHY_SIZE] = "";
    assert_null(udp_open(world.io, "udp://h:1", &settings, why, sizeof why));
    assert_non_null(strstr(why, "65535"));
    world_close(&world);
}

static struct call *rival;

static void cancel_rival(struct call *call) {
    (void)call;
    cancel(rival);
}

static void close_client(struct call *call) {
    udp_close(call->client);
}

static void submit_again(struct call *call) {
    call->then = NULL;
    submit(call);
}

static void cancel_and_close_work_in_each_phase_and_from_done(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    struct call call = call_to(&world, client, "silent"), other = call_to(&world, client, "x");
    cancel(&call);
    submit(&call);
    cancel(&call);
    cancel(&call);
    submit(&call);
    submit(&other);
    cancel(&other); /* waits */
    DRIVE_UNTIL(&world, station.heard == 1);
    cancel(&call); /* sent */
    other.then = submit_again;
    submit(&other);
    DRIVE_UNTIL(&world, other.finished && !other.then);
    struct call twin = call_to(&world, client, "y");
    rival = &twin;
    other.then = cancel_rival;
    submit(&other);
    submit(&twin);
    finish(&other, ERR_OK);
    world_turn(&world, 5);
    assert_false(twin.finished || call.finished);
    /* finished, but not told yet */
    static char question[] = "z";
    struct call last = call_to(&world, client, question);
    submit(&last);
    DRIVE_UNTIL(&world, udp_figures(client)->received == 4);
    cancel(&last);
    struct call rest[4];
    for (int i = 0; i < 4; i++) {
        rest[i] = call_to(&world, client, i == 0 ? "ok" : "silent");
        submit(&rest[i]);
    }
    rest[0].then = close_client;
    finish(&rest[0], ERR_OK);
    struct udp_client *nameless = client_to(&world, "nobody.invalid", 1, NULL);
    struct call lost = call_to(&world, nameless, "x");
    submit(&lost);
    world_turn(&world, 2);
    udp_close(nameless);
    udp_close(nameless);
    station_close(&station);
    world_close(&world);
    assert_false(rest[1].finished || rest[2].finished || rest[3].finished || lost.finished);
}

static void the_queue_has_a_maximum(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    static struct call calls[UDP_QUEUE_MAXIMUM + 1];
    for (int i = 0; i <= UDP_QUEUE_MAXIMUM; i++) {
        calls[i] = call_to(&world, client, "x");
        assert_int_equal(try_submit(&calls[i]), i < UDP_QUEUE_MAXIMUM ? ERR_OK : ERR_FULL);
    }
    for (int i = 0; i < UDP_QUEUE_MAXIMUM; i++)
        finish(&calls[i], ERR_OK);
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

static void a_thousand_in_a_row_grow_nothing(void **state) {
    (void)state;
    struct world world;
    struct station station;
    world_open(&world);
    station_open(&world, &station, 0);
    struct udp_client *client = client_to(&world, "127.0.0.1", station.port, NULL);
    int handles = 0, descriptors = 0;
    size_t memory = 0;
    for (int i = 0; i < 1000; i++) {
        if (i % 100 == 50) { /* each of which costs the socket */
            struct call call = call_to(&world, client, "silent");
            call.exchange.timeout_ms = 1;
            submit(&call);
            finish(&call, ERR_TIMEOUT);
        } else {
            ask(&world, client, "x", ERR_OK);
        }
        if (i == 99) {
            handles = count_handles(&world);
            descriptors = count_descriptors();
            memory = mallinfo2().uordblks;
        }
    }
    assert_int_equal(count_handles(&world), handles);
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(mallinfo2().uordblks <= memory + 16 * 1024);
    udp_close(client);
    station_close(&station);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_are_answered_in_order),
        cmocka_unit_test(what_comes_unasked_is_kept_in_a_ring),
        cmocka_unit_test(datagrams_have_a_maximum),
        cmocka_unit_test(a_late_answer_is_never_taken_for_the_next),
        cmocka_unit_test(a_local_port_is_shared_and_senders_are_told_apart),
        cmocka_unit_test(foreign_datagrams_reach_nobody),
        cmocka_unit_test(silence_absence_and_unknown_names_are_told),
        cmocka_unit_test(a_pause_is_kept_between_two_that_are_sent),
        cmocka_unit_test(urls_that_are_none_are_refused),
        cmocka_unit_test(cancel_and_close_work_in_each_phase_and_from_done),
        cmocka_unit_test(the_queue_has_a_maximum),
        cmocka_unit_test(a_thousand_in_a_row_grow_nothing),
    };
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
