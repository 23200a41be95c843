/* One connection to one broker:
 *
 *   WAITING --somebody has it open--> RESOLVING --> CONNECTING --CONNACK--> UP
 *      ^                                  |             |                    |
 *      '------------- back-off -----------+-------------+--------------------'
 *
 * libmosquitto would block while it looks up a name, so it is given addresses, and then connects
 * without waiting. Each attempt has a new handle of it: what an old one had not sent is gone.
 * During a TLS handshake libmosquitto does not tell what it waits for; tls_context() tells when it
 * is over.
 *
 * libmosquitto calls back while it holds a lock, from inside its reads and writes: what has to
 * destroy the handle is noted in `broken` and `ended` and done when it has returned. */
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "io/mqtt_internal.h"

#define CONNECT_TIMEOUT_MS 5000
#define BACKOFF_MIN_MS     1000
#define BACKOFF_MAX_MS     30000
#define KEEPALIVE_S        30
#define MISC_MS            1000 /* libmosquitto looks whether a ping is due */
#define NEVER              UINT64_MAX

struct mqtt_poll { /* of one socket; outlives it by a loop turn */
    uv_poll_t handle;
    struct mqtt_connection *connection;
};

static void mqtt_turn(uv_timer_t *timer);
static void connection_free(struct mqtt_connection *connection);
static void attempt_next(struct mqtt_connection *connection, const char *reason);

/* ---- handles ---- */

static void handle_closed(struct mqtt_connection *connection) {
    if (--connection->handles > 0 || !connection->ended)
        return;
    connection->io->live--;
    connection_free(connection);
}

static void on_poll_closed(uv_handle_t *handle) {
    struct mqtt_poll *poll = handle->data;
    struct mqtt_connection *connection = poll->connection;
    free(poll);
    handle_closed(connection);
}

static void on_timer_closed(uv_handle_t *handle) {
    handle_closed(handle->data);
}

/* Before the socket is closed, so that its number may be used again. */
static void poll_end(struct mqtt_connection *connection) {
    if (!connection->poll)
        return;
    uv_close((uv_handle_t *)&connection->poll->handle, on_poll_closed);
    connection->poll = NULL;
}

static void library_end(struct mqtt_connection *connection) {
    poll_end(connection);
    if (connection->state == MQTT_UP && !connection->broken)
        mosquitto_disconnect(connection->mosquitto);
    mosquitto_destroy(connection->mosquitto);
    connection->mosquitto = NULL;
    tls_context_free(connection->tls);
    connection->tls = NULL;
    lookup_cancel(connection->lookup);
    connection->lookup = NULL;
}

/* ---- the timer ---- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

void mqtt_connection_arm(struct mqtt_connection *connection, bool again) {
    if (connection->turning || connection->ended)
        return;
    uint64_t due = connection->state == MQTT_WAITING ? connection->retry_ms : NEVER;
    if (connection->state == MQTT_RESOLVING || connection->state == MQTT_CONNECTING)
        due = connection->connect_by_ms;
    if (connection->mosquitto)
        due = earlier(due, connection->misc_ms);
    const struct mqtt_job *job;
    TAILQ_FOREACH(job, &connection->flying, entry)
    due = earlier(due, job->deadline_ms);
    if (!TAILQ_EMPTY(&connection->finished) || connection->broken)
        due = 0;
    room_arm(&connection->turn, mqtt_turn, due, again);
}

/* ---- going down ---- */

static double jitter(void) { /* 0.75..1.25: brokers are not asked by all at once */
    return 0.75 + 0.5 * ((double)randombytes_random() / (double)UINT32_MAX);
}

static void lose(struct mqtt_connection *connection, const char *reason) {
    uint64_t now = room_now_ms();
    bool lasted = connection->state == MQTT_UP &&
                  now - connection->up_ms > (uint64_t)connection->backoff_max_ms;
    snprintf(connection->figures.last_error, sizeof connection->figures.last_error, "%s", reason);
    if (!connection->silent || connection->state == MQTT_UP)
        log_warning(connection->text, "%s; trying again", reason);
    connection->silent = true;
    connection->broken = true; /* no farewell */
    library_end(connection);
    connection->broken = false;
    connection->state = MQTT_WAITING;
    connection->figures.up = false;
    mqtt_jobs_fail(connection, reason);
    if (lasted)
        connection->backoff_ms = connection->backoff_min_ms;
    connection->retry_ms = now + (uint64_t)((double)connection->backoff_ms * jitter());
    connection->backoff_ms = room_time(connection->backoff_ms * 2, 0, connection->backoff_max_ms);
    mqtt_connection_arm(connection, false);
}

static void explain_library(const struct mqtt_connection *connection, int result, int number,
                            char *why, size_t why_size) {
    static const char *const answers[] = {
        [1] = "does not speak MQTT 3.1.1",
        [2] = "does not take this client id: is it in use elsewhere?",
        [3] = "is not ready",
        [4] = "refuses user or password",
        [5] = "does not let this user in",
    };
    const struct url *url = &connection->url;
    if (result == MOSQ_ERR_CONN_REFUSED && connection->connack >= 1 && connection->connack <= 5)
        snprintf(why, why_size, "the broker %.80s port %u %s", url->host, url->port,
                 answers[connection->connack]);
    else if (result == MOSQ_ERR_TLS && connection->seen.refused)
        tls_explain(&connection->seen, url, connection->pin != NULL, why, why_size);
    else if (result == MOSQ_ERR_TLS)
        snprintf(why, why_size, "%.80s port %u does not speak TLS 1.2 or later", url->host,
                 url->port);
    else if (result == MOSQ_ERR_KEEPALIVE)
        snprintf(why, why_size, "the broker %.80s port %u has fallen silent", url->host, url->port);
    else if (result == MOSQ_ERR_CONN_LOST)
        snprintf(why, why_size, "the broker %.80s port %u ended the connection", url->host,
                 url->port);
    else if (result == MOSQ_ERR_ERRNO && number)
        snprintf(why, why_size, "%.80s port %u: %s", url->host, url->port, uv_strerror(-number));
    else
        snprintf(why, why_size, "%.80s port %u: %s", url->host, url->port,
                 mosquitto_strerror(result));
}

/* ---- libmosquitto's callbacks: they only note ---- */

static void on_connack(struct mosquitto *mosquitto, void *context, int code) {
    (void)mosquitto;
    struct mqtt_connection *connection = context;
    connection->connack = code;
}

static void on_message(struct mosquitto *mosquitto, void *context,
                       const struct mosquitto_message *message) {
    (void)mosquitto;
    mqtt_arrived(context, message);
}

static void on_subscribed(struct mosquitto *mosquitto, void *context, int mid, int count,
                          const int *granted) {
    (void)mosquitto;
    mqtt_answered(context, mid, count > 0 && granted[0] <= 2);
}

static void on_published(struct mosquitto *mosquitto, void *context, int mid) {
    (void)mosquitto;
    mqtt_job_sent(context, mid);
}

/* ---- the socket ---- */

static void on_ready(uv_poll_t *handle, int status, int events);

void mqtt_connection_watch(struct mqtt_connection *connection) {
    if (!connection->poll)
        return;
    int events = UV_READABLE;
    bool handshake = connection->tls && !connection->seen.done;
    if (!connection->wired)
        events = UV_WRITABLE;
    else if (!handshake && mosquitto_want_write(connection->mosquitto))
        events |= UV_WRITABLE;
    if (uv_poll_start(&connection->poll->handle, events, on_ready) < 0)
        connection->broken = true;
}

static void go_up(struct mqtt_connection *connection) {
    connection->state = MQTT_UP;
    connection->up_ms = room_now_ms();
    connection->figures.up = true;
    connection->figures.connects++;
    connection->figures.up_since = clock_mono();
    connection->figures.last_error[0] = '\0';
    if (connection->silent)
        log_info(connection->text, "connected");
    connection->silent = false;
    mqtt_subscribe_all(connection);
}

/* After each call of libmosquitto that may have called back: what was noted meanwhile. */
static void settle(struct mqtt_connection *connection, int result, int number) {
    char why[IO_WHY_SIZE];
    if (mosquitto_socket(connection->mosquitto) < 0) {
        poll_end(connection); /* its number may be used again */
        result = result == MOSQ_ERR_SUCCESS ? MOSQ_ERR_CONN_LOST : result;
    }
    mqtt_hear_all(connection);
    if (connection->ended)
        return;
    if (result != MOSQ_ERR_SUCCESS) {
        explain_library(connection, result, number, why, sizeof why);
        lose(connection, why);
        return;
    }
    if (connection->state == MQTT_CONNECTING && connection->connack == 0)
        go_up(connection);
    mqtt_connection_watch(connection);
    mqtt_connection_arm(connection, false);
}

/* The error that connecting ended in, 0 when the connection is there, ENOTCONN when it is not and
 * the system has told the reason to OpenSSL, which does not pass it on. */
static int connect_error(int fd) {
    int number = 0;
    socklen_t length = sizeof number;
    union address peer;
    socklen_t peer_length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &length) < 0)
        return errno;
    return number == 0 && getpeername(fd, &peer.any, &peer_length) < 0 ? errno : number;
}

static void on_ready(uv_poll_t *handle, int status, int events) {
    struct mqtt_poll *poll = handle->data;
    struct mqtt_connection *connection = poll->connection;
    struct mosquitto *mosquitto = connection->mosquitto;
    if (connection->poll != poll)
        return;
    if (!connection->wired) {
        int number = status < 0 ? -status : connect_error(mosquitto_socket(mosquitto));
        if (number) {
            char why[IO_WHY_SIZE];
            snprintf(why, sizeof why, "cannot connect to %.80s port %u: %s%s", connection->url.host,
                     connection->url.port,
                     number == ENOTCONN ? "connection refused" : uv_strerror(-number),
                     connection->tls ? ", or does not speak TLS" : "");
            attempt_next(connection, why);
            return;
        }
        connection->wired = true;
    }
    bool handshake = connection->tls && !connection->seen.done;
    errno = 0;
    int result = MOSQ_ERR_SUCCESS;
    if (!handshake && (events & UV_WRITABLE))
        result = mosquitto_loop_write(mosquitto, 1);
    if (result == MOSQ_ERR_SUCCESS && (handshake || (events & UV_READABLE) || status < 0))
        result = mosquitto_loop_read(mosquitto, 1);
    settle(connection, result, errno);
}

static bool poll_begin(struct mqtt_connection *connection) {
    struct mqtt_poll *poll = calloc(1, sizeof *poll);
    if (!poll)
        return false;
    int fd = mosquitto_socket(connection->mosquitto);
    if (fd < 0 || uv_poll_init_socket(connection->io->loop, &poll->handle, fd) < 0) {
        free(poll);
        return false;
    }
    poll->handle.data = poll;
    poll->connection = connection;
    connection->poll = poll;
    connection->handles++;
    return true;
}

/* ---- connecting ---- */

/* A handle of libmosquitto with everything set; false: memory. */
static bool library_begin(struct mqtt_connection *connection) {
    connection->seen = (struct tls_seen){0};
    connection->wired = false;
    connection->connack = -1;
    connection->mosquitto = mosquitto_new(connection->client_id, true, connection);
    if (!connection->mosquitto)
        return false;
    struct mosquitto *mosquitto = connection->mosquitto;
    mosquitto_connect_callback_set(mosquitto, on_connack);
    mosquitto_message_callback_set(mosquitto, on_message);
    mosquitto_subscribe_callback_set(mosquitto, on_subscribed);
    mosquitto_publish_callback_set(mosquitto, on_published);
    mosquitto_int_option(mosquitto, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_int_option(mosquitto, MOSQ_OPT_SEND_MAXIMUM, MQTT_FLIGHT_MAXIMUM);
    if (connection->url.user[0] &&
        mosquitto_username_pw_set(mosquitto, connection->url.user, connection->password) !=
            MOSQ_ERR_SUCCESS)
        return false;
    if (strcmp(connection->url.scheme, "mqtts") != 0)
        return true;
    const struct tls_settings settings = {connection->ca_file, connection->pin};
    connection->tls = tls_context(&settings, &connection->url, &connection->seen);
    return connection->tls &&
           mosquitto_void_option(mosquitto, MOSQ_OPT_SSL_CTX, connection->tls) ==
               MOSQ_ERR_SUCCESS &&
           mosquitto_int_option(mosquitto, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) == MOSQ_ERR_SUCCESS;
}

/* Tries the next address; when none is left, `reason` is why the last one failed. */
static void attempt_next(struct mqtt_connection *connection, const char *reason) {
    char why[IO_WHY_SIZE];
    snprintf(why, sizeof why, "%s", reason);
    connection->state = MQTT_CONNECTING;
    while (connection->next_address < connection->addresses.count) {
        const union address *address = &connection->addresses.list[connection->next_address++];
        char host[NI_MAXHOST];
        library_end(connection);
        if (!library_begin(connection)) {
            snprintf(why, sizeof why, "out of memory, or the CA file cannot be read any more");
            break;
        }
        if (getnameinfo(&address->any,
                        address->any.sa_family == AF_INET6 ? sizeof address->ipv6
                                                           : sizeof address->ipv4,
                        host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        errno = 0;
        int result = mosquitto_connect_async(connection->mosquitto, host, (int)connection->url.port,
                                             connection->keepalive_s);
        int number = errno;
        if ((result == MOSQ_ERR_SUCCESS || result == MOSQ_ERR_CONN_PENDING) &&
            poll_begin(connection)) {
            connection->misc_ms = room_now_ms() + MISC_MS;
            mqtt_connection_watch(connection);
            mqtt_connection_arm(connection, false);
            return;
        }
        explain_library(connection, result, number, why, sizeof why);
    }
    lose(connection, why);
}

static void on_looked_up(void *owner, int status, const struct addresses *addresses) {
    struct mqtt_connection *connection = owner;
    char why[IO_WHY_SIZE];
    connection->lookup = NULL;
    if (status < 0) {
        snprintf(why, sizeof why, "the name %.80s is not known here: %s", connection->url.host,
                 uv_strerror(status));
        lose(connection, why);
        return;
    }
    connection->addresses = *addresses;
    attempt_next(connection, "");
}

static void attempt(struct mqtt_connection *connection) {
    connection->connect_by_ms = room_now_ms() + (uint64_t)connection->connect_timeout_ms;
    connection->next_address = 0;
    connection->state = MQTT_RESOLVING;
    if (addresses_of(&connection->url, &connection->addresses)) {
        attempt_next(connection, "");
        return;
    }
    connection->lookup =
        lookup_start(connection->io, &connection->url, AF_UNSPEC, on_looked_up, connection);
    if (!connection->lookup)
        lose(connection, "out of memory");
}

/* ---- the turn ---- */

static void misc(struct mqtt_connection *connection) {
    connection->misc_ms = room_now_ms() + MISC_MS;
    errno = 0;
    int result = mosquitto_loop_misc(connection->mosquitto);
    settle(connection, result, errno);
}

static void act(struct mqtt_connection *connection) {
    uint64_t now = uv_now(connection->io->loop);
    char why[IO_WHY_SIZE];
    bool connecting = connection->state == MQTT_RESOLVING || connection->state == MQTT_CONNECTING;
    if (connection->broken) {
        snprintf(why, sizeof why, "the connection to the broker %.80s port %u is given up",
                 connection->url.host, connection->url.port);
        lose(connection, why);
    } else if (connecting && connection->connect_by_ms <= now) {
        snprintf(why, sizeof why, "no connection to the broker %.80s port %u in time",
                 connection->url.host, connection->url.port);
        lose(connection, why);
    } else if (connection->state == MQTT_WAITING && connection->retry_ms <= now) {
        attempt(connection);
    } else if (connection->mosquitto && connection->misc_ms <= now) {
        misc(connection);
    }
}

static void mqtt_turn(uv_timer_t *timer) {
    struct mqtt_connection *connection = timer->data;
    connection->turning = true;
    mqtt_jobs_expire(connection);
    act(connection);
    mqtt_jobs_tell(connection);
    connection->turning = false;
    mqtt_connection_arm(connection, true);
}

/* ---- life ---- */

static void connection_free(struct mqtt_connection *connection) {
    if (connection->password)
        sodium_memzero(connection->password, strlen(connection->password));
    free(connection->text);
    free(connection->password);
    free(connection->ca_file);
    free(connection->pin);
    free(connection->client_id_given);
    free(connection);
}

void mqtt_connection_end(struct mqtt_connection *connection) {
    connection->ended = true;
    for (struct mqtt_connection **at = &connection->io->connections; *at; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    struct mqtt_jobs *const lists[] = {&connection->flying, &connection->finished};
    for (size_t i = 0; i < 2; i++)
        for (struct mqtt_job *job; (job = TAILQ_FIRST(lists[i]));) {
            TAILQ_REMOVE(lists[i], job, entry);
            free(job);
        }
    uv_close((uv_handle_t *)&connection->turn, on_timer_closed);
    mqtt_arrivals_free(connection);
    library_end(connection);
}

static bool copy_text(const char *from, char **to) {
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool settings_valid(const struct mqtt_settings *settings, const struct url *url, char *why,
                           size_t why_size) {
    size_t id = settings->client_id ? strlen(settings->client_id) : 1;
    const char *mistake = NULL;
    if (settings->password && !url->user[0])
        mistake = "expected a user in the URL where there is a password: mqtt://user@host";
    else if (settings->password && strlen(settings->password) > 1024)
        mistake = "expected a password of at most 1024 bytes";
    else if (id < 1 || id > 64 ||
             (settings->client_id &&
              mosquitto_validate_utf8(settings->client_id, (int)id) != MOSQ_ERR_SUCCESS))
        mistake = "expected a client id of 1 to 64 bytes of UTF-8";
    else if (settings->keepalive_s && (settings->keepalive_s < 5 || settings->keepalive_s > 600))
        mistake = "expected a keep-alive time of 5 to 600 s";
    if (mistake)
        snprintf(why, why_size, "%s", mistake);
    return !mistake && tls_settings_valid(&settings->tls, why, why_size);
}

static bool take_settings(struct mqtt_connection *connection, const char *text,
                          const struct mqtt_settings *settings) {
    int64_t most = OPERATION_TIMEOUT_MAXIMUM_MS;
    connection->keepalive_s = settings->keepalive_s ? settings->keepalive_s : KEEPALIVE_S;
    connection->connect_timeout_ms =
        room_time(settings->connect_timeout_ms, CONNECT_TIMEOUT_MS, most);
    connection->backoff_min_ms = room_time(settings->backoff_min_ms, BACKOFF_MIN_MS, most);
    connection->backoff_max_ms = room_time(settings->backoff_max_ms, BACKOFF_MAX_MS, most);
    if (connection->backoff_max_ms < connection->backoff_min_ms)
        connection->backoff_max_ms = connection->backoff_min_ms;
    connection->backoff_ms = connection->backoff_min_ms;
    uint64_t random = 0;
    randombytes_buf(&random, sizeof random);
    snprintf(connection->client_id, sizeof connection->client_id, "derd-%016llx",
             (unsigned long long)random);
    if (settings->client_id)
        snprintf(connection->client_id, sizeof connection->client_id, "%s", settings->client_id);
    return copy_text(text, &connection->text) &&
           copy_text(settings->password, &connection->password) &&
           copy_text(settings->client_id, &connection->client_id_given) &&
           copy_text(settings->tls.ca_file, &connection->ca_file) &&
           copy_text(settings->tls.pin, &connection->pin) &&
           !url_parse(connection->text, &connection->url);
}

static struct mqtt_connection *connection_new(struct io *io, const char *text,
                                              const struct mqtt_settings *settings) {
    struct mqtt_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->io = io;
    LIST_INIT(&connection->clients);
    TAILQ_INIT(&connection->subscriptions);
    TAILQ_INIT(&connection->gone);
    STAILQ_INIT(&connection->arrivals);
    TAILQ_INIT(&connection->flying);
    TAILQ_INIT(&connection->finished);
    if (!take_settings(connection, text, settings)) {
        connection_free(connection);
        return NULL;
    }
    uv_timer_init(io->loop, &connection->turn); /* never fails */
    connection->turn.data = connection;
    connection->handles = 1;
    connection->next = io->connections;
    io->connections = connection;
    io->live++;
    return connection;
}

static bool same_settings(const struct mqtt_connection *connection,
                          const struct mqtt_settings *settings) {
    return same_text(connection->password, settings->password) &&
           same_text(connection->client_id_given, settings->client_id) &&
           same_text(connection->ca_file, settings->tls.ca_file) &&
           same_text(connection->pin, settings->tls.pin);
}

static bool same_broker(const struct url *a, const struct url *b) {
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->user, b->user) == 0 &&
           strcmp(a->host, b->host) == 0 && a->port == b->port;
}

struct mqtt_connection *mqtt_connection_get(struct io *io, const char *text,
                                            const struct mqtt_settings *settings, char *why,
                                            size_t why_size) {
    struct url url;
    if (url_parse(text, &url) || !settings_valid(settings, &url, why, why_size))
        return NULL;
    struct mqtt_connection *connection = io->connections;
    while (connection && !same_broker(&connection->url, &url))
        connection = connection->next;
    if (connection && !same_settings(connection, settings)) {
        snprintf(
            why, why_size,
            "%.100s is in use with another password, client id, CA file or pin: all devices of a "
            "broker and user have the same",
            connection->text);
        return NULL;
    }
    if (!connection)
        connection = connection_new(io, text, settings);
    if (!connection)
        snprintf(why, why_size, "out of memory");
    return connection;
}
