/* The line client against a server of the test on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "base/log.h"
#include "io/line.h"
#include "io_world.h"

/* Answers each line "re:" and what was asked. "silent": nothing; "two": two lines; "slow": byte by
 * byte; "long N": a line of N bytes; "cut": half a line, then the end; "bye": the end; "endless":
 * bytes without an end. */
struct server {
    struct world *world;
    uv_tcp_t listener;
    int port, accepted, asked, open;
    const char *end;
    char last[LINE_LENGTH_MAXIMUM];
    struct session *newest;
};

struct session {
    uv_tcp_t handle;
    struct server *server;
    size_t filled;
    char input[LINE_LENGTH_MAXIMUM + 16];
};

static void on_session_closed(uv_handle_t *handle) {
    struct session *session = handle->data;
    session->server->open--;
    if (session->server->newest == session)
        session->server->newest = NULL;
    free(session);
}

static void session_end(struct session *session) {
    if (!uv_is_closing((uv_handle_t *)&session->handle))
        uv_close((uv_handle_t *)&session->handle, on_session_closed);
}

static void say(struct session *session, const char *data, size_t length) {
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)data, (unsigned)length);
    assert_int_equal(uv_try_write((uv_stream_t *)&session->handle, &bytes, 1), (int)length);
}

static void say_text(struct session *session, const char *text) {
    say(session, text, strlen(text));
}

static void on_line(struct session *session, const char *line) {
    struct server *server = session->server;
    static char answer[LINE_LENGTH_MAXIMUM + 64];
    size_t size = 0;
    server->asked++;
    snprintf(server->last, sizeof server->last, "%s", line);
    uv_stop(session->handle.loop);
    if (strcmp(line, "silent") == 0)
        return;
    if (strcmp(line, "bye") == 0 || strcmp(line, "cut") == 0 || strcmp(line, "endless") == 0) {
        memset(answer, 'x', sizeof answer);
        if (*line != 'b')
            say(session, answer, *line == 'c' ? 3 : sizeof answer);
        if (*line != 'e')
            session_end(session);
        return;
    }
    if (sscanf(line, "long %zu", &size) == 1) {
        memset(answer, 'x', size);
        snprintf(answer + size, sizeof answer - size, "%s", server->end);
    } else {
        snprintf(answer, sizeof answer, "re:%s%s%s%s", line, server->end,
                 strcmp(line, "two") == 0 ? "second" : "",
                 strcmp(line, "two") == 0 ? server->end : "");
    }
    if (strcmp(line, "slow") != 0) {
        say_text(session, answer);
        return;
    }
    uv_tcp_nodelay(&session->handle, 1);
    for (const char *at = answer; *at; at++)
        say(session, at, 1);
}

static void on_session_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    (void)suggested;
    struct session *session = handle->data;
    *room = uv_buf_init(session->input + session->filled,
                        (unsigned)(sizeof session->input - session->filled - 1));
}

static void on_session_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *room) {
    (void)room;
    struct session *session = stream->data;
    if (length < 0) {
        session_end(session);
        return;
    }
    session->filled += (size_t)length;
    session->input[session->filled] = '\0';
    const char *mark = session->server->end;
    for (char *end;
         !uv_is_closing((uv_handle_t *)stream) && (end = strstr(session->input, mark));) {
        *end = '\0';
        on_line(session, session->input);
        session->filled -= (size_t)(end - session->input) + strlen(mark);
        memmove(session->input, end + strlen(mark), session->filled + 1);
    }
}

static void on_accept(uv_stream_t *listener, int status) {
    struct server *server = listener->data;
    assert_int_equal(status, 0);
    struct session *session = calloc(1, sizeof *session);
    assert_non_null(session);
    session->server = server;
    uv_tcp_init(listener->loop, &session->handle);
    session->handle.data = session;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&session->handle), 0);
    uv_read_start((uv_stream_t *)&session->handle, on_session_room, on_session_read);
    server->newest = session;
    server->accepted++;
    server->open++;
    uv_stop(listener->loop);
}

static void server_open(struct world *world, struct server *server, int port, const char *end) {
    struct sockaddr_in address;
    int length = sizeof address;
    *server = (struct server){.world = world, .end = end};
    uv_tcp_init(&world->loop, &server->listener);
    server->listener.data = server;
    uv_ip4_addr("127.0.0.1", port, &address);
    assert_int_equal(uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 16, on_accept), 0);
    uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &length);
    server->port = ntohs(address.sin_port);
}

static void server_close(struct server *server) {
    uv_close((uv_handle_t *)&server->listener, NULL);
    if (server->newest)
        session_end(server->newest);
}

/* ---- */

struct call {
    struct line_exchange exchange;
    struct world *world;
    struct line_client *client;
    int finished;
    enum err result;
    size_t count;
    char lines[4][LINE_LENGTH_MAXIMUM + 1], why[IO_WHY_SIZE];
    void (*then)(struct call *call);
};

static void on_done(struct line_exchange *exchange, enum err result, const struct line_text *lines,
                    size_t count, const char *why) {
    struct call *call = exchange->owner;
    assert_false(call->world->inside);
    assert_int_equal(call->finished, 0);
    assert_true((why[0] == '\0') == (result == ERR_OK));
    assert_int_equal(count, result == ERR_OK ? exchange->lines : 0);
    call->finished = 1;
    call->result = result;
    call->count = count;
    snprintf(call->why, sizeof call->why, "%s", why);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(strlen(lines[i].text), lines[i].length);
        assert_true(lines[i].at.ms > 0 && lines[i].at.ms <= clock_mono().ms);
        snprintf(call->lines[i % 4], sizeof call->lines[0], "%s", lines[i].text);
    }
    uv_stop(&call->world->loop);
    if (call->then)
        call->then(call);
}

static struct line_client *client_to(struct world *world, const char *host, int port,
                                     const struct line_settings *settings) {
    char url[100], why[IO_WHY_SIZE] = "";
    struct line_settings own = settings ? *settings : (struct line_settings){0};
    if (!own.connect_timeout_ms)
        own.connect_timeout_ms = PATIENT_MS;
    if (!own.backoff_min_ms)
        own.backoff_min_ms = own.backoff_max_ms = 1;
    snprintf(url, sizeof url, "tcp://%s:%d", host, port);
    struct line_client *client = line_open(world->io, url, &own, why, sizeof why);
    if (!client)
        fail_msg("%s", why);
    return client;
}

static void call_set(struct call *call, struct world *world, struct line_client *client,
                     const char *text, size_t lines) {
    memset(call, 0, sizeof *call);
    call->exchange.text = text;
    call->exchange.length = text ? strlen(text) : 0;
    call->exchange.lines = lines;
    call->exchange.timeout_ms = PATIENT_MS;
    call->exchange.done = on_done;
    call->world = world;
    call->client = client;
}

static enum err try_submit(struct call *call) {
    call->exchange.owner = call;
    call->finished = 0;
    call->world->inside = true;
    enum err err = line_submit(call->client, &call->exchange);
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
    line_cancel(&call->exchange);
    call->world->inside = false;
}

static struct call asked; /* of ask(): large */

static struct call *ask(struct world *world, struct line_client *client, const char *text,
                        size_t lines, enum err expected) {
    call_set(&asked, world, client, text, lines);
    submit(&asked);
    finish(&asked, expected);
    return &asked;
}

static struct call one, two, three;

static void lines_are_answered_in_order_over_one_connection(void **state) {
    (void)state;
    static const struct {
        const char *server, *end, *end_in, *host;
    } ways[] = {{"\r\n", NULL, NULL, "127.0.0.1"},
                {"\n", "\n", NULL, "localhost"},
                {"\n", "\n", "\n", "127.0.0.1"},
                {"<end>", "<end>", "<end>", "127.0.0.1"},
                {"\r", "\r", "\r", "127.0.0.1"}};
    for (int w = 0; w < COUNT(ways); w++) {
        struct world world;
        struct server server;
        world_open(&world);
        server_open(&world, &server, 0, ways[w].server);
        struct line_settings settings = {.end = ways[w].end, .end_in = ways[w].end_in};
        struct line_client *client = client_to(&world, ways[w].host, server.port, &settings);
        char text[8] = "one";
        call_set(&one, &world, client, text, 1);
        call_set(&two, &world, client, "two", 2);
        call_set(&three, &world, client, "three", 0);
        submit(&one);
        memcpy(text, "XXX", 3); /* it was copied */
        submit(&two);
        submit(&three);
        assert_int_equal(try_submit(&two), ERR_CONFLICT);
        finish(&three, ERR_OK);
        assert_string_equal(one.lines[0], "re:one");
        assert_string_equal(two.lines[0], "re:two");
        assert_string_equal(two.lines[1], "second");
        assert_int_equal(three.count, 0);
        DRIVE_UNTIL(&world, line_figures(client)->kept == 1); /* what three was answered */
        assert_string_equal(line_take(client)->text, "re:three");
        assert_string_equal(ask(&world, client, "slow", 1, ERR_OK)->lines[0], "re:slow");
        assert_string_equal(ask(&world, client, "", 1, ERR_OK)->lines[0], "re:");
        assert_int_equal(server.accepted, 1);
        assert_int_equal(line_figures(client)->connects, 1);
        line_close(client);
        server_close(&server);
        world_close(&world);
    }
}

static void lines_have_a_maximum(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_settings settings = {.length = 100};
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, &settings);
    assert_int_equal(strlen(ask(&world, client, "long 100", 1, ERR_OK)->lines[0]), 100);
    for (size_t over = 101; over < 112; over++) {
        char text[16];
        snprintf(text, sizeof text, "long %zu", over);
        ask(&world, client, text, 1, ERR_LIMIT);
        assert_non_null(strstr(asked.why, "longer than allowed"));
    }
    ask(&world, client, "endless", 1, ERR_LIMIT);
    assert_string_equal(ask(&world, client, "x", 1, ERR_OK)->lines[0], "re:x");
    line_close(client);
    settings.length = LINE_LENGTH_MAXIMUM;
    client = client_to(&world, "127.0.0.1", server.port, &settings);
    assert_int_equal(strlen(ask(&world, client, "long 16384", 1, ERR_OK)->lines[0]), 16384);
    ask(&world, client, "long 16385", 1, ERR_LIMIT);
    static char text[LINE_LENGTH_MAXIMUM + 2];
    memset(text, 'y', LINE_LENGTH_MAXIMUM + 1);
    call_set(&one, &world, client, text, 0);
    assert_int_equal(try_submit(&one), ERR_RANGE);
    one.exchange.length = LINE_LENGTH_MAXIMUM;
    submit(&one);
    finish(&one, ERR_OK);
    DRIVE_UNTIL(&world, strlen(server.last) == LINE_LENGTH_MAXIMUM - 1); /* cut by `last` */
    line_close(client);
    server_close(&server);
    world_close(&world);
}

static void what_is_no_exchange_and_no_client_is_refused(void **state) {
    (void)state;
    struct world world;
    char why[IO_WHY_SIZE];
    world_open(&world);
    struct line_client *client = client_to(&world, "127.0.0.1", dead_port(), NULL);
    call_set(&one, &world, client, "a\r\nb", 1);
    assert_int_equal(try_submit(&one), ERR_FORMAT);
    call_set(&one, &world, client, NULL, 0);
    assert_int_equal(try_submit(&one), ERR_RANGE);
    call_set(&one, &world, client, "a", LINE_COUNT_MAXIMUM + 1);
    assert_int_equal(try_submit(&one), ERR_RANGE);
    assert_true(strlen(line_why(client)) > 20);
    static struct call many[LINE_QUEUE_MAXIMUM + 1];
    for (int i = 0; i <= LINE_QUEUE_MAXIMUM; i++) {
        call_set(&many[i], &world, client, "x", 1);
        assert_int_equal(try_submit(&many[i]), i < LINE_QUEUE_MAXIMUM ? ERR_OK : ERR_FULL);
    }
    line_close(client);
    static const char *const urls[] = {"tcp://h", "udp://h:1", "tcp://h:1/", "tcp://u@h:1"};
    for (int i = 0; i < COUNT(urls); i++) {
        assert_null(line_open(world.io, urls[i], NULL, why, sizeof why));
        assert_non_null(strstr(why, "expected tcp://host:port"));
    }
    const struct line_settings wrong[] = {
        {.end = ""}, {.end_in = "123456789"}, {.length = LINE_LENGTH_MAXIMUM + 1}};
    for (int i = 0; i < COUNT(wrong); i++)
        assert_null(line_open(world.io, "tcp://h:1", &wrong[i], why, sizeof why));
    world_close(&world);
}

static void what_comes_unasked_is_kept_in_a_ring(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_settings settings = {.ring = 3, .idle_ms = -1}; /* connects by itself */
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, &settings);
    DRIVE_UNTIL(&world, server.newest);
    say_text(server.newest, "a\nb\r\nc\nd\ne\n");
    DRIVE_UNTIL(&world, line_figures(client)->received == 5);
    assert_int_equal(line_figures(client)->dropped, 2);
    assert_string_equal(line_take(client)->text, "c");
    assert_string_equal(ask(&world, client, NULL, 1, ERR_OK)->lines[0], "d");
    assert_string_equal(ask(&world, client, "x", 1, ERR_OK)->lines[0], "re:x");
    /* two are awaited, one is there */
    call_set(&one, &world, client, NULL, 2);
    submit(&one);
    world_turn(&world, 5);
    assert_false(one.finished);
    cancel(&one); /* which loses nothing, and does not cost the connection */
    assert_int_equal(line_figures(client)->kept, 1);
    one.exchange.timeout_ms = 1;
    submit(&one);
    finish(&one, ERR_TIMEOUT);
    one.exchange.timeout_ms = PATIENT_MS;
    submit(&one);
    world_turn(&world, 5);
    say_text(server.newest, "f\n");
    finish(&one, ERR_OK);
    assert_string_equal(one.lines[0], "e");
    assert_string_equal(one.lines[1], "f");
    assert_null(line_take(client));
    /* the connection goes, and what it has brought with it: it comes back by itself */
    say_text(server.newest, "g\n");
    DRIVE_UNTIL(&world, line_figures(client)->kept == 1);
    session_end(server.newest);
    DRIVE_UNTIL(&world, server.accepted == 2 && line_figures(client)->up);
    assert_null(line_take(client));
    /* also what an exchange had of it already that awaited more */
    say_text(server.newest, "h\n");
    DRIVE_UNTIL(&world, line_figures(client)->kept == 1);
    submit(&one);
    world_turn(&world, 5);
    assert_int_equal(line_figures(client)->kept, 0);
    session_end(server.newest);
    finish(&one, ERR_CLOSED);
    DRIVE_UNTIL(&world, server.accepted == 3 && line_figures(client)->up);
    assert_null(line_take(client));
    line_close(client);
    server_close(&server);
    world_close(&world);
}

static void a_late_answer_is_never_taken_for_the_next(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, NULL);
    for (int way = 0; way < 2; way++) {
        int before = server.asked;
        call_set(&one, &world, client, "silent", 1);
        if (way == 0)
            one.exchange.timeout_ms = BRIEF_MS;
        do { /* on a busy machine its time may be over before it is sent */
            submit(&one);
            DRIVE_UNTIL(&world, server.asked > before || one.finished);
        } while (server.asked == before);
        if (server.newest) /* perhaps before, perhaps after its end */
            say_text(server.newest, "late\r\n");
        if (way == 0)
            DRIVE_UNTIL(&world, one.finished);
        else
            cancel(&one);
        ask(&world, client, "next", 1, ERR_OK);
        assert_string_equal(asked.lines[0], "re:next");
    }
    line_close(client);
    server_close(&server);
    world_close(&world);
}

static void a_connection_that_goes_fails_what_was_asked_and_serves_the_next(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, NULL);
    static const char *const ends[] = {"bye", "cut"};
    for (int i = 0; i < COUNT(ends); i++) {
        call_set(&one, &world, client, ends[i], 1);
        call_set(&two, &world, client, "after", 1);
        submit(&one);
        submit(&two);
        finish(&one, ERR_CLOSED);
        assert_non_null(strstr(one.why, "lost"));
        finish(&two, ERR_OK); /* over the next connection */
        assert_string_equal(two.lines[0], "re:after");
    }
    assert_int_equal(server.accepted, 3);
    line_close(client);
    server_close(&server);
    world_close(&world);
}

static void who_is_not_there_is_told_and_found_when_back(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    int port = dead_port();
    struct line_client *client = client_to(&world, "127.0.0.1", port, NULL);
    call_set(&one, &world, client, "x", 1);
    call_set(&two, &world, client, "y", 1);
    submit(&one);
    submit(&two);
    finish(&one, ERR_CLOSED);
    finish(&two, ERR_CLOSED);
    assert_non_null(strstr(one.why, "connection refused"));
    server_open(&world, &server, port, "\r\n");
    assert_string_equal(ask(&world, client, "z", 1, ERR_OK)->lines[0], "re:z");
    line_close(client);
    client = client_to(&world, "nobody.invalid", 23, NULL);
    ask(&world, client, "x", 1, ERR_NOT_FOUND);
    assert_non_null(strstr(asked.why, "nobody.invalid"));
    line_close(client);
    server_close(&server);
    world_close(&world);
}

static void each_time_limit_ends_its_exchange(void **state) {
    (void)state;
    struct world world;
    struct server server;
    struct black_hole hole;
    world_open(&world);
    black_hole_open(&hole);
    server_open(&world, &server, 0, "\r\n");
    struct line_settings settings = {.connect_timeout_ms = BRIEF_MS};
    struct line_client *client = client_to(&world, "127.0.0.1", hole.port, &settings);
    ask(&world, client, "x", 1, ERR_TIMEOUT);
    assert_non_null(strstr(asked.why, "no connection in time"));
    line_close(client);
    client = client_to(&world, "127.0.0.1", hole.port, NULL);
    call_set(&one, &world, client, "x", 1);
    one.exchange.timeout_ms = BRIEF_MS;
    submit(&one);
    finish(&one, ERR_TIMEOUT);
    line_close(client);
    client = client_to(&world, "127.0.0.1", server.port, NULL);
    call_set(&one, &world, client, "two", 3);
    call_set(&two, &world, client, "y", 1);
    one.exchange.timeout_ms = 2 * BRIEF_MS;
    two.exchange.timeout_ms = BRIEF_MS;
    submit(&one);
    submit(&two);
    finish(&two, ERR_TIMEOUT);
    finish(&one, ERR_TIMEOUT);
    assert_non_null(strstr(one.why, "in time"));
    line_close(client);
    server_close(&server);
    black_hole_close(&hole);
    world_close(&world);
}

static void an_idle_connection_is_closed_and_made_again(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_settings settings = {.idle_ms = 20};
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, &settings);
    world_turn(&world, 10);
    assert_int_equal(server.accepted, 0); /* nothing to do: nothing is opened */
    for (int i = 1; i <= 3; i++) {
        ask(&world, client, "x", 1, ERR_OK);
        assert_int_equal(server.accepted, i);
        DRIVE_UNTIL(&world, server.open == 0);
        assert_false(line_figures(client)->up);
    }
    line_close(client);
    server_close(&server);
    world_close(&world);
}

static struct call *rival;

static void cancel_rival(struct call *call) {
    (void)call;
    cancel(rival);
}

static void close_client(struct call *call) {
    line_close(call->client);
}

static void submit_again(struct call *call) {
    call->then = NULL;
    submit(call);
}

static void cancel_and_close_work_in_each_phase_and_from_done(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, NULL);
    call_set(&one, &world, client, "silent", 1);
    call_set(&two, &world, client, "x", 1);
    cancel(&one);
    submit(&one);
    cancel(&one);
    cancel(&one);
    submit(&one);
    world_turn(&world, 1); /* connecting */
    cancel(&one);
    submit(&one);
    submit(&two);
    DRIVE_UNTIL(&world, server.asked == 1);
    cancel(&one); /* asked: costs the connection */
    two.then = submit_again;
    DRIVE_UNTIL(&world, two.finished && !two.then);
    call_set(&three, &world, client, "y", 1);
    rival = &three;
    two.then = cancel_rival;
    submit(&two);
    submit(&three);
    finish(&two, ERR_OK);
    world_turn(&world, 5);
    assert_false(one.finished || three.finished);
    two.then = close_client;
    submit(&two);
    submit(&three);
    finish(&two, ERR_OK);
    line_close(client);
    server_close(&server);
    world_close(&world);
    assert_false(three.finished);
    for (int turns = 0; turns < 8; turns++) {
        struct black_hole hole;
        world_open(&world);
        black_hole_open(&hole);
        server_open(&world, &server, 0, "\r\n");
        struct line_client *clients[] = {client_to(&world, "127.0.0.1", server.port, NULL),
                                         client_to(&world, "localhost", server.port, NULL),
                                         client_to(&world, "127.0.0.1", hole.port, NULL),
                                         client_to(&world, "nobody.invalid", 1, NULL)};
        struct call *calls[] = {&one, &two, &three, &asked};
        for (int i = 0; i < 4; i++) {
            call_set(calls[i], &world, clients[i], "silent", 1);
            submit(calls[i]);
        }
        world_turn(&world, turns * turns);
        int told = 0;
        for (int i = 0; i < 4; i++) {
            line_close(clients[i]);
            told += calls[i]->finished;
        }
        server_close(&server);
        black_hole_close(&hole);
        world_close(&world);
        for (int i = 0; i < 4; i++)
            told -= calls[i]->finished;
        assert_int_equal(told, 0);
    }
}

static void a_thousand_in_a_row_grow_nothing(void **state) {
    (void)state;
    struct world world;
    struct server server;
    world_open(&world);
    server_open(&world, &server, 0, "\r\n");
    struct line_client *client = client_to(&world, "127.0.0.1", server.port, NULL);
    int handles = 0, descriptors = 0;
    size_t memory = 0;
    for (int i = 0; i < 1000; i++) {
        ask(&world, client, i % 100 == 50 ? "bye" : "x", 1, i % 100 == 50 ? ERR_CLOSED : ERR_OK);
        if (i == 99) {
            handles = count_handles(&world);
            descriptors = count_descriptors();
            memory = mallinfo2().uordblks;
        }
    }
    assert_int_equal(count_handles(&world), handles);
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(mallinfo2().uordblks <= memory + 16 * 1024);
    line_close(client);
    server_close(&server);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_answered_in_order_over_one_connection),
        cmocka_unit_test(lines_have_a_maximum),
        cmocka_unit_test(what_is_no_exchange_and_no_client_is_refused),
        cmocka_unit_test(what_comes_unasked_is_kept_in_a_ring),
        cmocka_unit_test(a_late_answer_is_never_taken_for_the_next),
        cmocka_unit_test(a_connection_that_goes_fails_what_was_asked_and_serves_the_next),
        cmocka_unit_test(who_is_not_there_is_told_and_found_when_back),
        cmocka_unit_test(each_time_limit_ends_its_exchange),
        cmocka_unit_test(an_idle_connection_is_closed_and_made_again),
        cmocka_unit_test(cancel_and_close_work_in_each_phase_and_from_done),
        cmocka_unit_test(a_thousand_in_a_row_grow_nothing),
    };
    signal(SIGPIPE, SIG_IGN);
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
