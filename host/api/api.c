/* The HTTP side, over civetweb 1.15. All requests are taken in the begin_request callback: it comes
 * before everything civetweb would do by itself (OPTIONS for CORS, WebSocket, files, CGI, password
 * files), so none of that can be reached, and before its handler table, so there is no look for a
 * password file per request. It decodes nothing; request.c checks the head as it was sent.
 *
 * A connection holds a thread also while idle. Keep-alive is therefore short, and ends after each
 * answer as soon as every thread has a connection; those that wait are then served in turn. */
#include "api/api.h"

#include <civetweb.h>
#include <poll.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/api_figures.h"
#include "api/courtesy.h"
#include "api/crowd.h"
#include "api/gate.h"
#include "api/idempotency.h"
#include "api/porter.h"
#include "api/socket_find.h"
#include "base/address.h"
#include "base/log.h"
#include "events/events.h"

#define THREADS_DEFAULT 64
#define THREADS_MAXIMUM 1024
#define STREAMS_LEAST   4
#define DRAIN_MAXIMUM   ((size_t)256 * 1024)
#define DRAIN_TIME_MS   2000
#define BODY_TIME_MS    10000
#define SENT_APART      ((size_t)64 * 1024) /* a body from here on is sent by itself */
/* civetweb waits for all that one mg_read() asks for, however slowly it comes, a byte each few
 * seconds: small steps are what a deadline can end. */
#define READ_STEP        16
#define OPTION_TEXT_SIZE 64
#define STREAM_SOCKET    65536  /* bytes that the kernel keeps for a stream's client, at least */
#define STREAM_PATIENCE  "5000" /* ms, also of any other answer */

_Static_assert(STREAM_PATIENCE_MS == 5000, "as the server is told");
_Static_assert(MG_MAX_HEADERS == REQUEST_HEADER_COUNT, "request.c refuses what civetweb drops");

struct worker { /* a thread that serves */
    struct courteous courteous;
    struct exchange *spare; /* of its last request, for the next one; NULL: none, or it is in use */
};

struct api {
    struct mg_context *context;
    struct api_settings settings; /* strings copied */
    struct page page;
    struct crowd *crowd;
    struct porter *porter;
    struct keys *keys;
    unsigned char tag_key[EXCHANGE_TAG_KEY];
    char *listen, *web_root;
    int threads;
    int port;
    struct api_figures *figures, own_figures; /* counted in; its own when nobody gave any */
    struct courtesy courtesy;
    struct worker *workers; /* as many as threads */
    atomic_int threads_begun;
    atomic_uint_fast64_t requests;
    uint32_t start_mark; /* random: request ids of two runs differ */
};

/* --- sending --------------------------------------------------------------------------------- */

static void put_hex(char text[8], uint32_t value) {
    for (int i = 7; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
}

static void make_request_id(struct api *api, char id[REQUEST_ID_SIZE]) {
    uint64_t number = atomic_fetch_add_explicit(&api->requests, 1, memory_order_relaxed);
    put_hex(id, api->start_mark);
    id[8] = '-';
    put_hex(id + 9, (uint32_t)number);
    id[17] = '\0';
}

/* `worker`: NULL when it is none of ours. */
static struct exchange *begin_exchange(struct api *api, struct worker *worker) {
    struct exchange *x = worker ? worker->spare : NULL;
    if (!x)
        x = exchange_new(&api->settings);
    if (!x)
        return NULL;
    if (worker) {
        worker->spare = NULL;
        x->courteous = &worker->courteous;
    }
    x->began_us = clock_mono_us();
    x->page = &api->page;
    x->porter = api->porter;
    x->keys = api->keys;
    x->tag_key = api->tag_key;
    make_request_id(api, x->request_id);
    log_set_request(x->request_id);
    return x;
}

static void end_exchange(struct exchange *x, struct worker *worker) {
    log_set_request(NULL);
    if (worker) {
        exchange_renew(x);
        worker->spare = x;
    } else {
        exchange_free(x);
    }
}

/* One write, but for a body that would cost more to copy than a second one; without memory for it
 * the connection just ends. */
static void send_answer(struct mg_connection *connection, struct exchange *x, bool close) {
    struct buf *out = &x->out;
    bool sound = !x->body.failed && !x->headers.failed && !x->pour;
    bool apart = sound && x->request.method != METHOD_HEAD && x->body.length >= SENT_APART;
    if (close)
        mg_disable_connection_keep_alive(connection);
    if (apart) {
        buf_clear(out);
        exchange_render_head(x, close, x->body.length, out);
    } else {
        exchange_render(x, close);
    }
    if (out->failed)
        mg_disable_connection_keep_alive(connection);
    else if (mg_write(connection, out->data, out->length) == (int)out->length && apart)
        (void)mg_write(connection, x->body.data, x->body.length);
}

/* --- streams ---------------------------------------------------------------------------------- */

/* civetweb does not give its sockets away, but a stream that waits must see that its client has
 * left. */
struct pouring {
    struct mg_connection *connection;
    int fd; /* -1: not known */
};

/* A client that does not read is found out soon, and the kernel keeps little for it. */
static void bound_socket(int fd) {
    const int bytes = STREAM_SOCKET;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0)
        log_debug("api", "a stream's socket keeps its size");
}

static bool stream_send(void *context, const void *data, size_t length) {
    const struct pouring *pouring = context;
    return mg_write(pouring->connection, data, length) == (int)length;
}

static bool stream_gone(void *context) {
    const struct pouring *pouring = context;
    struct pollfd look = {.fd = pouring->fd, .events = POLLRDHUP};
    return pouring->fd >= 0 && poll(&look, 1, 0) > 0;
}

/* After the head. False: it broke off, and the connection must end. */
static bool pour(struct api *api, struct mg_connection *connection, struct exchange *x) {
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct pouring pouring = {connection,
                              socket_find(api->port, info->remote_addr, info->remote_port)};
    struct stream stream = {.send = stream_send,
                            .gone = stream_gone,
                            .connection = &pouring,
                            .chunks = x->request.takes_chunks};
    bound_socket(pouring.fd);
    return x->pour(x, &stream, x->pour_context) && stream_end(&stream);
}

/* --- draining --------------------------------------------------------------------------------- */

/* Takes what the client still sends, within bounds: closing on unread bytes resets the connection,
 * and the client may lose the answer that tells it why. */
static void drain(struct mg_connection *connection, struct seat *seat) {
    char waste[READ_STEP];
    seat_reads(seat);
    struct mono start = clock_mono();
    size_t total = 0;
    while (total < DRAIN_MAXIMUM && clock_mono().ms - start.ms < DRAIN_TIME_MS) {
        int count = mg_read(connection, waste, sizeof waste);
        if (count <= 0)
            break;
        seat_received(seat, (size_t)count);
        total += (size_t)count;
    }
}

/* --- civetweb's callbacks -------------------------------------------------------------------- */

struct body_reader {
    struct mg_connection *connection;
    const struct exchange *x;
    struct seat *seat;
};

static size_t read_body(void *context, char *to, size_t length) {
    struct body_reader *reader = context;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (reader->x->request.expect_continue)
        (void)mg_write(reader->connection, go_on, sizeof go_on - 1);
    seat_reads(reader->seat);
    struct mono start = clock_mono();
    size_t total = 0;
    while (total < length && clock_mono().ms - start.ms < BODY_TIME_MS) {
        size_t step = length - total < READ_STEP ? length - total : READ_STEP;
        int count = mg_read(reader->connection, to + total, step);
        if (count <= 0)
            break;
        seat_received(reader->seat, (size_t)count);
        total += (size_t)count;
    }
    seat_works(reader->seat);
    return total;
}

static struct request_head head_of(const struct mg_request_info *info,
                                   struct request_header *headers) {
    for (int i = 0; i < info->num_headers; i++)
        headers[i] =
            (struct request_header){info->http_headers[i].name, info->http_headers[i].value};
    return (struct request_head){.peer = info->remote_addr,
                                 .method = info->request_method,
                                 .version = info->http_version,
                                 /* "http://a/b" instead of "/b": civetweb would leave it at "/b",
                                  * whatever Host says. */
                                 .path = info->request_uri[0] == '/' ? info->local_uri_raw
                                                                     : info->request_uri,
                                 .query = info->query_string,
                                 .headers = headers,
                                 .header_count = (size_t)info->num_headers};
}

static void give_way(struct api *api, struct courteous *self, bool reads, int64_t now_us) {
    if (self)
        courtesy_take(self, courtesy_count(&api->courtesy, self, reads, now_us));
}

static int on_request(struct mg_connection *connection) {
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct api *api = info->user_data;
    struct request_header headers[MG_MAX_HEADERS];
    struct request_head head = head_of(info, headers);
    struct worker *worker = mg_get_thread_pointer(connection);
    struct exchange *x = begin_exchange(api, worker);
    if (!x) {
        mg_disable_connection_keep_alive(connection);
        return 500;
    }
    struct seat *seat = seat_begin(api->crowd, worker ? (int)(worker - api->workers) : -1,
                                   info->remote_addr, info->remote_port);
    struct body_reader reader = {connection, x, seat};
    bool whole = gate_pass(x, &head, read_body, &reader);
    bool crowded =
        atomic_load_explicit(&api->figures->connections, memory_order_relaxed) >= api->threads;
    bool close = !whole || crowded || !x->request.keep_alive;
    int status = x->status;
    log_debug("api", "%s %s %d (request %s, from %s)", head.method, x->path, status, x->request_id,
              x->remote.address);
    send_answer(connection, x, close);
    int64_t now_us = clock_mono_us();
    api_figures_count(api->figures, x->route, status, now_us - x->began_us);
    bool pours = x->pour && x->request.method != METHOD_HEAD;
    bool drains = !whole && x->request.body_length > 0 && !x->request.expect_continue;
    if (pours && !pour(api, connection, x))
        mg_disable_connection_keep_alive(connection);
    if (drains)
        drain(connection, seat);
    if (pours || drains)
        now_us = clock_mono_us();
    bool reads = x->request.method == METHOD_GET || x->request.method == METHOD_HEAD;
    struct courteous *courteous = x->courteous;
    end_exchange(x, worker);
    seat_end(api->crowd, seat);
    give_way(api, courteous, reads, now_us);
    return status;
}

/* Answers that civetweb makes itself, before there is a request: a head it cannot read. */
static int on_error(struct mg_connection *connection, int status, const char *message) {
    struct api *api = mg_get_user_data(mg_get_context(connection));
    struct exchange *x = begin_exchange(api, NULL);
    if (!x) {
        mg_disable_connection_keep_alive(connection);
        return 0;
    }
    if (status == 413)
        exchange_problem(x, 431, "The request's head has more than %d bytes.",
                         REQUEST_HEADER_MAXIMUM);
    else if (status == 505)
        exchange_problem(x, 505, "HTTP 1.1 and 1.0 are spoken here.");
    else if (status == 411)
        exchange_problem(x, 400, "Content-Length must be a number of bytes.");
    else if (status == 400)
        exchange_problem(x, 400,
                         "The request cannot be read as HTTP: its method, target, version or a "
                         "header line is malformed, or its head is far too large.");
    else
        exchange_problem(x, status, "The request failed: %s", message);
    log_debug("api", "refused before routing: %d %s (request %s)", status, message, x->request_id);
    send_answer(connection, x, true);
    api_figures_count(api->figures, NULL, x->status, clock_mono_us() - x->began_us);
    end_exchange(x, NULL);
    return 0;
}

static int on_log(const struct mg_connection *connection, const char *message) {
    (void)connection;
    log_debug("api", "%s", message);
    return 1;
}

static void *on_thread(const struct mg_context *context, int type) {
    struct api *api = mg_get_user_data(context);
    if (type != 1) /* one that serves */
        return NULL;
    int number = atomic_fetch_add(&api->threads_begun, 1);
    if (number >= api->threads)
        return NULL;
    courtesy_begin(&api->workers[number].courteous);
    return &api->workers[number];
}

static int on_connect(const struct mg_connection *connection, void **data) {
    struct api *api = mg_get_user_data(mg_get_context(connection));
    (void)data;
    crowd_enter(api->crowd);
    atomic_fetch_add_explicit(&api->figures->connections, 1, memory_order_relaxed);
    return 0;
}

static void on_close(const struct mg_connection *connection) {
    struct api *api = mg_get_user_data(mg_get_context(connection));
    crowd_closing(api->crowd);
}

static void on_closed(const struct mg_connection *connection) {
    struct api *api = mg_get_user_data(mg_get_context(connection));
    crowd_closed(api->crowd);
    atomic_fetch_sub_explicit(&api->figures->connections, 1, memory_order_relaxed);
}

/* --- start and stop -------------------------------------------------------------------------- */

/* civetweb takes more than an address and a port here, among it TLS ports, on which 1.15 crashes.
 */
static bool listen_valid(const char *listen, char *why, size_t why_size) {
    struct sockaddr_in address;
    if (address_parse(listen, &address))
        return true;
    snprintf(why, why_size,
             "http.listen must be an IPv4 address and a port like \"127.0.0.1:8080\", got \"%s\". "
             "TLS is the work of a proxy in front.",
             listen);
    return false;
}

static struct mg_context *start_server(struct api *api, char *why, size_t why_size) {
    char threads[OPTION_TEXT_SIZE];
    snprintf(threads, sizeof threads, "%d", api->threads);
    /* Every option that opens something or waits is said, whatever its default. */
    const char *options[] = {"listening_ports",
                             api->listen,
                             "num_threads",
                             threads,
                             "tcp_nodelay",
                             "1",
                             "max_request_size",
                             "16384",
                             "connection_queue",
                             "1024",
                             "listen_backlog",
                             "1024",
                             "request_timeout_ms",
                             STREAM_PATIENCE,
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             "1500",
                             "linger_timeout_ms",
                             "-2",
                             "allow_sendfile_call",
                             "no",
                             "decode_url",
                             "no",
                             "decode_query_string",
                             "no",
                             "enable_directory_listing",
                             "no",
                             "index_files",
                             "",
                             "cgi_pattern",
                             "",
                             "ssi_pattern",
                             "",
                             "enable_auth_domain_check",
                             "no",
                             "access_control_allow_origin",
                             "",
                             "access_control_allow_methods",
                             "",
                             "access_control_allow_headers",
                             "",
                             NULL};
    const struct mg_callbacks callbacks = {.begin_request = on_request,
                                           .http_error = on_error,
                                           .log_message = on_log,
                                           .init_thread = on_thread,
                                           .init_connection = on_connect,
                                           .connection_close = on_close,
                                           .connection_closed = on_closed};
    struct mg_init_data init = {
        .callbacks = &callbacks, .user_data = api, .configuration_options = options};
    char text[200] = "";
    struct mg_error_data error = {.text = text, .text_buffer_size = sizeof text};
    struct mg_context *context = mg_start2(&init, &error);
    if (!context)
        snprintf(why, why_size, "cannot listen on %s: %s (is another program using the port?)",
                 api->listen, text[0] ? text : "the server did not start");
    return context;
}

static void api_free(struct api *api) {
    page_free(&api->page);
    crowd_close(api->crowd);
    porter_free(api->porter);
    api_figures_close(&api->own_figures);
    keys_free(api->keys);
    for (int i = 0; api->workers && i < api->threads; i++)
        exchange_free(api->workers[i].spare);
    free(api->workers);
    free(api->listen);
    free(api->web_root);
    free(api);
}

/* The store keeps it, so that what a client knows from before a restart is still known. */
static void take_tag_key(struct api *api) {
    char id[ID_SIZE];
    if (store_id(api->settings.store, "etag", "", id) != ERR_OK ||
        crypto_generichash(api->tag_key, sizeof api->tag_key, (const unsigned char *)id, strlen(id),
                           NULL, 0) != 0)
        randombytes_buf(api->tag_key, sizeof api->tag_key);
}

static enum err prepare(struct api *api, char *why, size_t why_size) {
    if (api->threads < 1 || api->threads > THREADS_MAXIMUM) {
        snprintf(why, why_size, "http.threads must be 1 to %d, got %d", THREADS_MAXIMUM,
                 api->threads);
        return ERR_RANGE;
    }
    if (!listen_valid(api->listen, why, why_size))
        return ERR_FORMAT;
    if (sodium_init() < 0) {
        snprintf(why, why_size, "the system gives no random numbers");
        return ERR_IO;
    }
    api->porter = porter_new(&api->settings);
    if (!api->porter) {
        snprintf(why, why_size, "no memory");
        return ERR_MEMORY;
    }
    api->start_mark = randombytes_random();
    take_tag_key(api);
    page_load(&api->page, api->web_root);
    return ERR_OK;
}

static int streams_of(int asked, int threads) {
    int streams = asked ? asked : threads / 4 > STREAMS_LEAST ? threads / 4 : STREAMS_LEAST;
    int most = threads > 1 ? threads / 2 : 1;
    return streams < most ? streams : most;
}

enum err api_new(struct api **out, const struct api_settings *settings, char *why,
                 size_t why_size) {
    enum err result = ERR_MEMORY;
    struct api *api = calloc(1, sizeof *api);
    *out = NULL;
    snprintf(why, why_size, "no memory");
    if (!api)
        return ERR_MEMORY;
    api->settings = *settings;
    api->listen = strdup(settings->listen);
    api->web_root = strdup(settings->web_root);
    api->threads = settings->threads ? settings->threads : THREADS_DEFAULT;
    api->settings.streams = streams_of(settings->streams, api->threads);
    api->keys = keys_new();
    api->figures = settings->figures ? settings->figures : &api->own_figures;
    if (!settings->figures && api_figures_open(&api->own_figures) != ERR_OK)
        goto out;
    atomic_store(&api->figures->threads, api->threads);
    if (!api->listen || !api->web_root || !api->keys)
        goto out;
    api->settings.listen = api->listen;
    api->settings.web_root = api->web_root;
    result = prepare(api, why, why_size);
    if (result != ERR_OK)
        goto out;
    api->workers = calloc((size_t)api->threads, sizeof *api->workers);
    if (!api->workers) {
        snprintf(why, why_size, "no memory");
        result = ERR_MEMORY;
        goto out;
    }
    if (crowd_open(&api->crowd, api->threads, &api->figures->hurried) != ERR_OK) {
        snprintf(why, why_size, "no memory, or no thread");
        result = ERR_MEMORY;
        goto out;
    }
    why[0] = '\0';
    *out = api;
    return ERR_OK;
out:
    api_free(api);
    return result;
}

bool api_is_local(const struct api *api) {
    return strncmp(api->listen, "127.", 4) == 0;
}

enum err api_listen(struct api *api, char *why, size_t why_size) {
    struct mg_server_port port = {0};
    mg_init_library(0);
    api->context = start_server(api, why, why_size);
    if (!api->context) {
        mg_exit_library();
        return ERR_IO;
    }
    if (mg_get_server_ports(api->context, 1, &port) == 1)
        api->port = port.port;
    crowd_port(api->crowd, api->port);
    return ERR_OK;
}

enum err api_start(struct api **out, const struct api_settings *settings, char *why,
                   size_t why_size) {
    enum err result = api_new(out, settings, why, why_size);
    if (result == ERR_OK)
        result = api_listen(*out, why, why_size);
    if (result != ERR_OK) {
        api_stop(*out);
        *out = NULL;
    }
    return result;
}

int api_port(const struct api *api) {
    return api->port;
}

void api_stop(struct api *api) {
    if (!api)
        return;
    if (api->settings.events)
        events_end(api->settings.events);
    if (api->context) {
        mg_stop(api->context);
        mg_exit_library();
    }
    api_free(api);
}
