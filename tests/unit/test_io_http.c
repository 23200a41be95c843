/* The HTTP client against two real servers: civetweb in this process, and tests/peer/http_peer.py
 * for TLS, digest and everything that servers do wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <civetweb.h>
#include <malloc.h>
#include <pthread.h>

#include "io/http.h"
#include "io_world.h"

static struct {
    struct peer process;
    int plain, tls, other;
    char ca[256], other_ca[256], pin[TLS_PIN_SIZE];
} peer;

static struct {
    struct mg_context *context;
    int port;
} server;

struct call {
    struct http_request request;
    struct world *world;
    struct http_client *client;
    int finished;
    enum err result;
    int status;
    char type[64], body[4096], why[IO_WHY_SIZE], header[64];
    size_t length;
    const char *wanted; /* a header */
    void (*then)(struct call *call);
};

static void on_done(struct http_request *request, enum err result, const struct http_answer *answer,
                    const char *why) {
    struct call *call = request->owner;
    assert_false(call->world->inside);
    assert_int_equal(call->finished, 0);
    assert_true((answer != NULL) == (result == ERR_OK));
    assert_true((why[0] == '\0') == (result == ERR_OK));
    call->finished = 1;
    call->result = result;
    snprintf(call->why, sizeof call->why, "%s", why);
    if (answer) {
        call->status = answer->status;
        call->length = answer->length;
        snprintf(call->type, sizeof call->type, "%s", answer->content_type);
        snprintf(call->body, sizeof call->body, "%s", answer->body);
        assert_int_equal(answer->body[answer->length], '\0');
        for (size_t i = 0; i < answer->header_count; i++)
            if (call->wanted && strcmp(answer->headers[i].name, call->wanted) == 0)
                snprintf(call->header, sizeof call->header, "%s", answer->headers[i].value);
    }
    uv_stop(&call->world->loop);
    if (call->then)
        call->then(call);
}

static struct http_client *client_to(struct world *world, const char *scheme, const char *host,
                                     int port, const struct http_settings *settings) {
    char url[128], why[IO_WHY_SIZE] = "";
    struct http_settings own = settings ? *settings : (struct http_settings){0};
    if (!own.connect_timeout_ms)
        own.connect_timeout_ms = PATIENT_MS;
    snprintf(url, sizeof url, "%s://%s:%d", scheme, host, port);
    struct http_client *client = http_open(world->io, url, &own, why, sizeof why);
    if (!client)
        fail_msg("%s: %s", url, why);
    return client;
}

static struct call call_to(struct world *world, struct http_client *client, const char *path) {
    return (struct call){.request = {.path = path, .timeout_ms = PATIENT_MS, .done = on_done},
                         .client = client,
                         .world = world};
}

static enum err try_submit(struct call *call) {
    call->request.owner = call;
    call->finished = 0;
    call->world->inside = true;
    enum err err = http_submit(call->client, &call->request);
    call->world->inside = false;
    return err;
}

static void submit(struct call *call) {
    assert_int_equal(try_submit(call), ERR_OK);
}

static void finish(struct call *call, enum err expected) {
    DRIVE_UNTIL(call->world, call->finished);
    if (call->result != expected)
        fail_msg("%s: %s instead of %s: %s", call->request.path, err_name(call->result),
                 err_name(expected), call->why);
}

static void cancel(struct call *call) {
    call->world->inside = true;
    http_cancel(&call->request);
    call->world->inside = false;
}

/* GET of `path` from the peer, which ends as `expected`. */
static struct call get(struct world *world, struct http_client *client, const char *path,
                       enum err expected) {
    struct call call = call_to(world, client, path);
    submit(&call);
    finish(&call, expected);
    return call;
}

/* ---- civetweb, in this process ---- */

static int on_echo(struct mg_connection *connection, void *context) {
    (void)context;
    const struct mg_request_info *info = mg_get_request_info(connection);
    char body[2048], answer[4096];
    int length = mg_read(connection, body, sizeof body - 1);
    body[length > 0 ? length : 0] = '\0';
    const char *type = mg_get_header(connection, "Content-Type");
    const char *own = mg_get_header(connection, "X-Own");
    int size =
        snprintf(answer, sizeof answer, "%s %s?%s type=%s own=%s body=%s", info->request_method,
                 info->local_uri, info->query_string ? info->query_string : "",
                 type ? type : "none", own ? own : "none", body);
    mg_printf(connection,
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size,
              answer);
    return 200;
}

static int start_servers(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nothing of this may be heeded */
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    const char *const options[] = {"listening_ports",
                                   "127.0.0.1:0",
                                   "enable_keep_alive",
                                   "yes",
                                   "keep_alive_timeout_ms",
                                   "60000",
                                   "num_threads",
                                   "4",
                                   "tcp_nodelay",
                                   "1",
                                   NULL};
    server.context = mg_start(NULL, NULL, (const char **)options);
    struct mg_server_port port;
    if (!server.context || mg_get_server_ports(server.context, 1, &port) != 1)
        return -1;
    server.port = port.port;
    mg_set_request_handler(server.context, "/echo", on_echo, NULL);

    char *arguments[] = {"/usr/bin/python3", DERD_SOURCE_DIR "/tests/peer/http_peer.py", NULL};
    peer_start(&peer.process, arguments, 1);
    for (char line[300]; strcmp(line, "ready") != 0;) {
        peer_line(&peer.process, line, sizeof line);
        sscanf(line, "plain %d", &peer.plain);
        sscanf(line, "tls %d", &peer.tls);
        sscanf(line, "other %d", &peer.other);
        sscanf(line, "ca %255s", peer.ca);
        sscanf(line, "other_ca %255s", peer.other_ca);
        sscanf(line, "pin %52s", peer.pin);
    }
    return 0;
}

static int stop_servers(void **state) {
    (void)state;
    mg_stop(server.context);
    peer_stop(&peer.process, 0);
    return 0;
}

/* ---- what is asked and answered ---- */

static void methods_headers_and_bodies_reach_an_independent_server(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", server.port, NULL);
    struct call call = get(&world, client, "/echo/a%20b?x=1&y=[2]", ERR_OK);
    assert_int_equal(call.status, 200);
    assert_string_equal(call.type, "text/plain");
    assert_string_equal(call.body, "GET /echo/a b?x=1&y=[2] type=none own=none body=");

    const struct http_header headers[] = {{"Content-Type", "application/json"}, {"X-Own", "a: b;"}};
    char body[] = "{\"power\": 5}";
    call = call_to(&world, client, "/echo");
    call.request.method = HTTP_POST;
    call.request.headers = headers;
    call.request.header_count = 2;
    call.request.body = body;
    call.request.body_length = strlen(body);
    submit(&call);
    memset(body, '!', sizeof body); /* it was copied */
    finish(&call, ERR_OK);
    assert_string_equal(call.body,
                        "POST /echo? type=application/json own=a: b; body={\"power\": 5}");

    call = call_to(&world, client, "/echo");
    call.request.method = HTTP_PUT;
    call.request.body = "on";
    call.request.body_length = 2;
    submit(&call);
    finish(&call, ERR_OK);
    assert_string_equal(call.body, "PUT /echo? type=none own=none body=on");

    call = call_to(&world, client, "/echo");
    call.request.method = HTTP_POST;
    submit(&call);
    finish(&call, ERR_OK);
    assert_string_equal(call.body, "POST /echo? type=none own=none body=");
    call = get(&world, client, "/echo", ERR_OK); /* GET again, after the others */
    assert_string_equal(call.body, "GET /echo? type=none own=none body=");
    call = get(&world, client, "/none", ERR_OK);
    assert_int_equal(call.status, 404);
    assert_int_equal(http_figures(client)->connects, 1);
    http_close(client);
    world_close(&world);
}

static void a_base_path_and_a_name_are_put_before(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    char url[100], why[IO_WHY_SIZE];
    snprintf(url, sizeof url, "HTTP://LocalHost:%d/echo/base/", server.port);
    struct http_client *client = http_open(world.io, url, NULL, why, sizeof why);
    struct call call = get(&world, client, "/x", ERR_OK);
    assert_string_equal(call.body, "GET /echo/base/x? type=none own=none body=");
    call = get(&world, client, "", ERR_OK);
    assert_string_equal(call.body, "GET /echo/base? type=none own=none body=");
    assert_string_equal(http_url(client), url);
    http_close(client);
    world_close(&world);
}

static void what_is_no_request_is_refused_with_a_reason(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", server.port, NULL);
    static const char *const paths[] = {"x",         "/a b",  "/a\r\nHost: evil", "/#f",
                                        "/\xc3\xbc", "/a\\b", "@evil.example/",   ":81/",
                                        "//\t"};
    for (int i = 0; i < COUNT(paths); i++) {
        struct call call = call_to(&world, client, paths[i]);
        assert_int_equal(try_submit(&call), ERR_FORMAT);
        assert_non_null(strstr(http_why(client), "expected a path"));
    }
    static const struct http_header headers[] = {
        {"Host", "evil"},
        {"content-length", "5"},
        {"Transfer-Encoding", "chunked"},
        {"Connection", "x"},
        {"Proxy-Thing", "x"},
        {"", "x"},
        {"A B", "x"},
        {"A:", "x"},
        {"A\r\nB", "x"},
        {"A", "x\r\nB: y"},
        {"A", "x\ny"},
        {"A", "\x7f"},
        {"Expect", "100"},
        {"Upgrade", "h2c"},
    };
    for (int i = 0; i < COUNT(headers); i++) {
        struct call call = call_to(&world, client, "/echo");
        call.request.headers = &headers[i];
        call.request.header_count = 1;
        assert_int_equal(try_submit(&call), ERR_FORMAT);
        assert_non_null(strstr(http_why(client), "header"));
    }
    struct call call = call_to(&world, client, "/echo");
    call.request.body = "x";
    call.request.body_length = 1;
    assert_int_equal(try_submit(&call), ERR_FORMAT);
    call.request.method = HTTP_POST;
    call.request.body_length = HTTP_BODY_MAXIMUM + 1;
    assert_int_equal(try_submit(&call), ERR_RANGE);
    call.request.body_length = 1;
    call.request.header_count = HTTP_HEADERS_MAXIMUM + 1;
    assert_int_equal(try_submit(&call), ERR_FORMAT);
    char path[HTTP_PATH_MAXIMUM + 2];
    memset(path, '/', sizeof path);
    path[HTTP_PATH_MAXIMUM + 1] = '\0';
    call = call_to(&world, client, path);
    assert_int_equal(try_submit(&call), ERR_FORMAT);
    call = call_to(&world, client, "/echo");
    submit(&call);
    assert_int_equal(try_submit(&call), ERR_CONFLICT);
    finish(&call, ERR_OK);
    assert_int_equal(http_figures(client)->requests, 1);
    http_close(client);
    world_close(&world);
}

static void settings_and_urls_that_cannot_be_are_refused_with_a_reason(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    char why[IO_WHY_SIZE];
    static const char *const urls[] = {"ftp://h",     "h",          "http://u@h",    "http://h?x",
                                       "http://h/#f", "http://h:0", "http://0x7f.1", "file:///etc"};
    for (int i = 0; i < COUNT(urls); i++) {
        why[0] = '\0';
        assert_null(http_open(world.io, urls[i], NULL, why, sizeof why));
        assert_non_null(strstr(why, "expected http://"));
    }
    const struct http_settings wrong[] = {
        {.auth = HTTP_AUTH_BASIC},
        {.auth = HTTP_AUTH_DIGEST, .user = "u"},
        {.auth = HTTP_AUTH_BEARER},
        {.auth = HTTP_AUTH_BASIC, .user = "u:v", .password = "p"},
        {.auth = HTTP_AUTH_BEARER, .password = "a\r\nHost: evil"},
        {.tls = {.pin = "sha256//short"}},
        {.tls = {.pin = "sha1//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
        {.tls = {.ca_file = "/nonexistent.pem"}},
        {.tls = {.ca_file = "/proc/self/status"}},
    };
    for (int i = 0; i < COUNT(wrong); i++) {
        why[0] = '\0';
        assert_null(http_open(world.io, "https://h", &wrong[i], why, sizeof why));
        assert_true(strlen(why) > 20);
    }
    world_close(&world);
}

/* ---- authentication ---- */

static void basic_bearer_and_digest_let_in(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_settings settings = {.auth = HTTP_AUTH_BASIC, .user = "a", .password = "b:c"};
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, &settings);
    struct call call = call_to(&world, client, "/echo");
    call.wanted = "x-authorization";
    submit(&call);
    finish(&call, ERR_OK);
    assert_string_equal(call.header, "Basic YTpiOmM=");
    http_close(client);

    settings = (struct http_settings){.auth = HTTP_AUTH_BEARER, .password = "token.of-mine"};
    client = client_to(&world, "http", "127.0.0.1", peer.plain, &settings);
    call.client = client;
    submit(&call);
    finish(&call, ERR_OK);
    assert_string_equal(call.header, "Bearer token.of-mine");
    http_close(client);

    client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    call.client = client;
    submit(&call);
    finish(&call, ERR_OK);
    assert_string_equal(call.header, "none");
    http_close(client);

    settings = (struct http_settings){
        .auth = HTTP_AUTH_DIGEST, .user = "admin", .password = "pass:w\xc3\xb6rd"};
    static const char *const paths[] = {"/md5", "/sha256"};
    for (int i = 0; i < COUNT(paths); i++) {
        client = client_to(&world, "http", "127.0.0.1", peer.plain, &settings);
        call = get(&world, client, paths[i], ERR_OK);
        assert_int_equal(call.status, 200);
        assert_string_equal(call.body, "in as admin nc 00000001");
        call = call_to(&world, client, paths[i]); /* the second needs no second challenge */
        call.request.method = HTTP_POST;
        call.request.body = "body";
        call.request.body_length = 4;
        submit(&call);
        finish(&call, ERR_OK);
        assert_string_equal(call.body, "in as admin nc 00000002");
        http_close(client);
    }
    settings.password = "wrong-secret";
    client = client_to(&world, "http", "127.0.0.1", peer.plain, &settings);
    call = get(&world, client, "/md5", ERR_OK);
    assert_int_equal(call.status, 401);
    http_close(client);
    world_close(&world);
}

/* ---- TLS ---- */

static void a_certificate_is_trusted_by_authority_or_by_pin_and_else_refused(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    /* not known: the sentence names the pin */
    struct http_settings settings = {.auth = HTTP_AUTH_BEARER, .password = "secret"};
    struct http_client *client = client_to(&world, "https", "127.0.0.1", peer.tls, &settings);
    struct call call = get(&world, client, "/echo", ERR_REFUSED);
    assert_non_null(strstr(call.why, peer.pin));
    assert_non_null(strstr(call.why, "self-signed"));
    http_close(client);
    /* its own certificate as the authority */
    settings = (struct http_settings){.tls = {.ca_file = peer.ca}};
    client = client_to(&world, "https", "127.0.0.1", peer.tls, &settings);
    call = get(&world, client, "/size?10", ERR_OK);
    assert_string_equal(call.body, "xxxxxxxxxx");
    call = get(&world, client, "/size?10", ERR_OK);
    assert_int_equal(http_figures(client)->connects, 1);
    http_close(client);
    client = client_to(&world, "https", "localhost", peer.tls, &settings);
    get(&world, client, "/size?10", ERR_OK);
    http_close(client);
    /* made out to another host */
    settings.tls.ca_file = peer.other_ca;
    client = client_to(&world, "https", "127.0.0.1", peer.other, &settings);
    call = get(&world, client, "/echo", ERR_REFUSED);
    assert_non_null(strstr(call.why, "another host"));
    http_close(client);
    /* pinned, whatever the host */
    settings = (struct http_settings){.tls = {.pin = peer.pin}};
    client = client_to(&world, "https", "127.0.0.1", peer.tls, &settings);
    call = get(&world, client, "/size?3", ERR_OK);
    assert_string_equal(call.body, "xxx");
    http_close(client);
    /* another key than the pinned one, though an authority is there that would do */
    settings.tls.ca_file = peer.other_ca;
    client = client_to(&world, "https", "127.0.0.1", peer.other, &settings);
    call = get(&world, client, "/size?3", ERR_REFUSED);
    assert_non_null(strstr(call.why, "another key"));
    assert_null(strstr(call.why, peer.pin));
    http_close(client);
    /* plain text at a TLS port, and TLS at a plain one */
    client = client_to(&world, "https", "127.0.0.1", peer.plain, NULL);
    get(&world, client, "/echo", ERR_FORMAT);
    http_close(client);
    client = client_to(&world, "http", "127.0.0.1", peer.tls, NULL);
    get(&world, client, "/echo", ERR_CLOSED);
    http_close(client);
    world_close(&world);
}

/* ---- limits, and what servers do wrong ---- */

static void answers_are_taken_up_to_their_limits(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_settings settings = {.body_maximum = 1000};
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, &settings);
    struct call call = get(&world, client, "/size?1000", ERR_OK);
    assert_int_equal(call.length, 1000);
    call = get(&world, client, "/size?1001", ERR_LIMIT);
    assert_non_null(strstr(call.why, "larger than allowed"));
    get(&world, client, "/endless", ERR_LIMIT);
    call = get(&world, client, "/size?0", ERR_OK);
    assert_int_equal(call.length, 0);
    http_close(client);

    client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    call = get(&world, client, "/size?262144", ERR_OK);
    assert_int_equal(call.length, HTTP_BODY_MAXIMUM);
    get(&world, client, "/size?262145", ERR_LIMIT);
    get(&world, client, "/endless", ERR_LIMIT);
    call = get(&world, client, "/heads?100", ERR_OK);
    get(&world, client, "/heads?90", ERR_OK);
    get(&world, client, "/heads?99", ERR_OK);
    get(&world, client, "/heads?160", ERR_LIMIT);
    get(&world, client, "/long?16300", ERR_OK);
    get(&world, client, "/long?17000", ERR_LIMIT);
    get(&world, client, "/long?2000000", ERR_LIMIT);
    call = get(&world, client, "/chunked", ERR_OK);
    assert_string_equal(call.body, "abcde");
    http_close(client);
    world_close(&world);
}

static void broken_answers_end_with_a_reason_and_the_next_one_works(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    get(&world, client, "/cut", ERR_CLOSED);
    get(&world, client, "/gone", ERR_CLOSED);
    struct call call = get(&world, client, "/garbage", ERR_FORMAT);
    assert_non_null(strstr(call.why, "not HTTP"));
    get(&world, client, "/status?abc", ERR_FORMAT);
    get(&world, client, "/status?999", ERR_FORMAT);
    get(&world, client, "/status?99999", ERR_FORMAT);
    call = get(&world, client, "/status?204", ERR_OK);
    assert_int_equal(call.status, 204);
    get(&world, client, "/size?1", ERR_OK);
    assert_int_equal(http_figures(client)->failures, 6);
    assert_int_equal(http_figures(client)->answers, 2);
    http_close(client);
    world_close(&world);
}

/* How many connections the peer has closed, asked over one that it keeps. */
static long closed_by_peer(struct world *world, struct http_client *watch) {
    struct call call = get(world, watch, "/closed", ERR_OK);
    return strtol(call.body, NULL, 10);
}

static void a_connection_that_was_closed_while_idle_is_made_again(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    struct http_client *watch = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    for (int i = 0; i < 50; i++) {
        long closed = closed_by_peer(&world, watch);
        struct call call = call_to(&world, client, "/closing");
        if (i % 2) {
            call.request.method = HTTP_POST;
            call.request.body = "hello";
            call.request.body_length = 5;
        }
        submit(&call);
        finish(&call, ERR_OK);
        assert_string_equal(call.body, i % 2 ? "hello" : "bye");
        while (closed_by_peer(&world, watch) == closed)
            continue; /* closed while the request was under way is another matter */
    }
    http_close(client);
    http_close(watch);
    world_close(&world);
}

static void redirects_are_followed_to_the_same_host_only(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    struct call call = get(&world, client, "/to?/size?3", ERR_OK);
    assert_int_equal(call.status, 200);
    assert_string_equal(call.body, "xxx");
    char path[100], other[100];
    snprintf(other, sizeof other, "http://127.0.0.1:%d/echo", server.port);
    const char *const elsewhere[] = {other, "http://localhost/", "https://127.0.0.1/",
                                     "//127.0.0.2/x", "file:///etc/passwd"};
    for (int i = 0; i < COUNT(elsewhere); i++) {
        snprintf(path, sizeof path, "/to?%s", elsewhere[i]);
        call = call_to(&world, client, path);
        call.wanted = "location";
        submit(&call);
        finish(&call, ERR_OK);
        assert_int_equal(call.status, 302);
        assert_string_equal(call.body, "elsewhere");
        assert_string_equal(call.header, elsewhere[i]);
    }
    call = get(&world, client, "/loop", ERR_OK);
    assert_int_equal(call.status, 302);
    call = call_to(&world, client, "/to?/size?3");
    call.request.method = HTTP_POST; /* is not said twice */
    submit(&call);
    finish(&call, ERR_OK);
    assert_int_equal(call.status, 302);
    http_close(client);
    world_close(&world);
}

static void each_time_limit_ends_its_request(void **state) {
    (void)state;
    struct world world;
    struct black_hole hole;
    world_open(&world);
    black_hole_open(&hole);
    struct http_settings settings = {.connect_timeout_ms = BRIEF_MS};
    struct http_client *client = client_to(&world, "http", "127.0.0.1", hole.port, &settings);
    struct call call = get(&world, client, "/", ERR_TIMEOUT);
    assert_non_null(strstr(call.why, "no connection"));
    http_close(client);
    client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    static const char *const paths[] = {"/silent", "/half"};
    for (int i = 0; i < COUNT(paths); i++) {
        call = call_to(&world, client, paths[i]);
        call.request.timeout_ms = BRIEF_MS;
        submit(&call);
        finish(&call, ERR_TIMEOUT);
        assert_non_null(strstr(call.why, "in time"));
    }
    struct call first = call_to(&world, client, "/silent"),
                second = call_to(&world, client, "/size?1");
    second.request.timeout_ms = BRIEF_MS;
    submit(&first);
    submit(&second);
    finish(&second, ERR_TIMEOUT);
    assert_non_null(strstr(second.why, "before this one"));
    cancel(&first);
    get(&world, client, "/size?1", ERR_OK);
    http_close(client);
    black_hole_close(&hole);
    world_close(&world);
}

static void who_does_not_listen_or_does_not_exist_is_told(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", dead_port(), NULL);
    struct call call = get(&world, client, "/?password=secret", ERR_CLOSED);
    assert_non_null(strstr(call.why, "connection refused"));
    assert_null(strstr(call.why, "secret"));
    http_close(client);
    client = client_to(&world, "http", "nobody.invalid", 80, NULL);
    struct call others[3];
    for (int i = 0; i < 3; i++) {
        others[i] = call_to(&world, client, "/");
        submit(&others[i]);
    }
    for (int i = 0; i < 3; i++) {
        finish(&others[i], ERR_NOT_FOUND);
        assert_non_null(strstr(others[i].why, "nobody.invalid"));
    }
    http_close(client);
    world_close(&world);
}

/* ---- cancel and close ---- */

/* libuv's worker threads, so that a lookup lasts as long as this is held. */
struct held_workers {
    uv_work_t work[4]; /* libuv's number, unless UV_THREADPOOL_SIZE says otherwise */
    uv_sem_t release;
};

static void wait_for_release(uv_work_t *work) {
    uv_sem_wait(&((struct held_workers *)work->data)->release);
}

static void hold_workers(struct world *world, struct held_workers *held) {
    assert_int_equal(uv_sem_init(&held->release, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        held->work[i].data = held;
        assert_int_equal(uv_queue_work(&world->loop, &held->work[i], wait_for_release, NULL), 0);
    }
}

static void release_workers(struct held_workers *held) {
    for (size_t i = 0; i < 4; i++)
        uv_sem_post(&held->release);
}

static void cancel_in_each_phase_is_never_told(void **state) {
    (void)state;
    struct world world;
    struct black_hole hole;
    world_open(&world);
    black_hole_open(&hole);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    struct http_client *deep = client_to(&world, "http", "127.0.0.1", hole.port, NULL);
    struct http_client *nameless = client_to(&world, "http", "nobody.invalid", 80, NULL);
    struct call call = call_to(&world, client, "/silent");
    cancel(&call); /* never submitted */
    submit(&call);
    cancel(&call); /* waiting */
    cancel(&call);
    submit(&call);
    world_turn(&world, 3); /* connecting */
    cancel(&call);
    submit(&call);
    struct call waiting = call_to(&world, client, "/size?2");
    submit(&waiting);
    struct call deep_call = call_to(&world, deep, "/"),
                nameless_call = call_to(&world, nameless, "/");
    struct held_workers held;
    hold_workers(&world, &held);
    submit(&deep_call);
    submit(&nameless_call);
    world_turn(&world, 3);
    cancel(&deep_call);
    cancel(&nameless_call); /* while its name is looked up */
    release_workers(&held);
    assert_int_equal(http_figures(client)->in_flight, 1);
    assert_int_equal(http_figures(client)->waiting, 1);
    cancel(&call); /* asked */
    finish(&waiting, ERR_OK);
    assert_string_equal(waiting.body, "xx");
    struct call half = call_to(&world, client, "/half");
    submit(&half);
    world_turn(&world, 20);
    cancel(&half); /* answered in part, perhaps */
    get(&world, client, "/size?1", ERR_OK);
    assert_false(call.finished || half.finished || deep_call.finished || nameless_call.finished);
    assert_int_equal(http_figures(client)->in_flight + http_figures(client)->waiting, 0);
    http_close(client);
    http_close(deep);
    http_close(nameless);
    black_hole_close(&hole);
    world_close(&world);
    uv_sem_destroy(&held.release);
}

static struct call *rival;

static void cancel_rival(struct call *call) {
    (void)call;
    cancel(rival);
}

static void close_client(struct call *call) {
    http_close(call->client);
}

static void submit_again(struct call *call) {
    call->then = NULL;
    submit(call);
}

static void done_may_submit_cancel_and_close(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_settings settings = {.in_flight = 4};
    struct http_client *client = client_to(&world, "http", "127.0.0.1", peer.plain, &settings);
    struct call call = call_to(&world, client, "/size?1");
    call.then = submit_again;
    submit(&call);
    DRIVE_UNTIL(&world, call.finished && !call.then);
    assert_int_equal(http_figures(client)->answers, 2);

    struct call other = call_to(&world, client, "/silent");
    rival = &other;
    submit(&other);
    call.then = cancel_rival;
    submit(&call);
    finish(&call, ERR_OK);
    assert_false(other.finished);

    struct call many[6];
    for (int i = 0; i < COUNT(many); i++) {
        many[i] = call_to(&world, client, i ? "/silent" : "/size?1");
        submit(&many[i]);
    }
    many[0].then = close_client; /* four under way, and one that waits */
    finish(&many[0], ERR_OK);
    for (int i = 1; i < COUNT(many); i++)
        assert_false(many[i].finished);
    world_close(&world);
    for (int i = 1; i < COUNT(many); i++)
        assert_false(many[i].finished);
}

static void close_in_each_phase_leaves_nothing_behind(void **state) {
    (void)state;
    struct black_hole hole;
    black_hole_open(&hole);
    for (int turns = 0; turns < 12; turns++) {
        struct world world;
        world_open(&world);
        struct http_settings settings = {.tls = {.pin = peer.pin}};
        struct http_client *clients[] = {
            client_to(&world, "http", "127.0.0.1", peer.plain, NULL),
            client_to(&world, "https", "127.0.0.1", peer.tls, &settings),
            client_to(&world, "http", "127.0.0.1", hole.port, NULL),
            client_to(&world, "http", "127.0.0.1", dead_port(), NULL),
            client_to(&world, "http", "localhost", peer.plain, NULL),
        };
        struct call calls[COUNT(clients)][2];
        for (int i = 0; i < COUNT(clients); i++)
            for (int j = 0; j < 2; j++) {
                calls[i][j] = call_to(&world, clients[i], "/half");
                submit(&calls[i][j]);
            }
        world_turn(&world, turns * turns);
        for (int i = 0; i < COUNT(clients); i++) {
            http_close(clients[i]);
            http_close(clients[i]);
        }
        int told = 0;
        for (int i = 0; i < COUNT(clients); i++)
            for (int j = 0; j < 2; j++)
                told += calls[i][j].finished;
        world_close(&world);
        for (int i = 0; i < COUNT(clients); i++)
            for (int j = 0; j < 2; j++)
                told -= calls[i][j].finished;
        assert_int_equal(told, 0); /* nobody was told after close */
    }
    black_hole_close(&hole);
}

/* ---- many ---- */

static void the_queue_has_a_maximum_and_only_so_many_are_in_flight(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_settings settings = {.in_flight = 3};
    struct http_client *client = client_to(&world, "http", "127.0.0.1", server.port, &settings);
    static struct call calls[HTTP_QUEUE_MAXIMUM + 1];
    for (int i = 0; i < HTTP_QUEUE_MAXIMUM; i++) {
        calls[i] = call_to(&world, client, "/echo");
        submit(&calls[i]);
    }
    calls[HTTP_QUEUE_MAXIMUM] = call_to(&world, client, "/echo");
    assert_int_equal(try_submit(&calls[HTTP_QUEUE_MAXIMUM]), ERR_FULL);
    assert_non_null(strstr(http_why(client), "64 requests wait"));
    world_turn(&world, 1);
    assert_int_equal(http_figures(client)->in_flight, 3);
    for (int i = 0; i < HTTP_QUEUE_MAXIMUM; i++)
        finish(&calls[i], ERR_OK);
    assert_true(http_figures(client)->connects <= 3);
    http_close(client);
    world_close(&world);
}

static void a_thousand_in_a_row_grow_nothing(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct http_client *client = client_to(&world, "http", "127.0.0.1", server.port, NULL);
    int handles = 0, descriptors = 0;
    size_t memory = 0;
    for (int i = 0; i < 1000; i++) {
        get(&world, client, "/echo", ERR_OK);
        if (i == 99) {
            handles = count_handles(&world);
            descriptors = count_descriptors();
            memory = mallinfo2().uordblks;
        }
    }
    assert_int_equal(http_figures(client)->connects, 1);
    assert_int_equal(count_handles(&world), handles);
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(mallinfo2().uordblks <= memory + 64 * 1024);
    http_close(client);
    /* and with failures, each of which ends its connection */
    client = client_to(&world, "http", "127.0.0.1", peer.plain, NULL);
    for (int i = 0; i < 200; i++) {
        get(&world, client, i % 2 ? "/cut" : "/garbage", i % 2 ? ERR_CLOSED : ERR_FORMAT);
        world_turn(&world, 2);
        if (i == 49)
            handles = count_handles(&world);
    }
    assert_true(count_handles(&world) <= handles + 2);
    http_close(client);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_headers_and_bodies_reach_an_independent_server),
        cmocka_unit_test(a_base_path_and_a_name_are_put_before),
        cmocka_unit_test(what_is_no_request_is_refused_with_a_reason),
        cmocka_unit_test(settings_and_urls_that_cannot_be_are_refused_with_a_reason),
        cmocka_unit_test(basic_bearer_and_digest_let_in),
        cmocka_unit_test(a_certificate_is_trusted_by_authority_or_by_pin_and_else_refused),
        cmocka_unit_test(answers_are_taken_up_to_their_limits),
        cmocka_unit_test(broken_answers_end_with_a_reason_and_the_next_one_works),
        cmocka_unit_test(a_connection_that_was_closed_while_idle_is_made_again),
        cmocka_unit_test(redirects_are_followed_to_the_same_host_only),
        cmocka_unit_test(each_time_limit_ends_its_request),
        cmocka_unit_test(who_does_not_listen_or_does_not_exist_is_told),
        cmocka_unit_test(cancel_in_each_phase_is_never_told),
        cmocka_unit_test(done_may_submit_cancel_and_close),
        cmocka_unit_test(close_in_each_phase_leaves_nothing_behind),
        cmocka_unit_test(the_queue_has_a_maximum_and_only_so_many_are_in_flight),
        cmocka_unit_test(a_thousand_in_a_row_grow_nothing),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
