/* Exchanges in order, one at a time; what comes in between goes into the ring. As in all clients,
 * one timer's turn does all that is due, and callers' code runs only from there. */
#include "io/udp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/udp_internal.h"

#define TIMEOUT_MS       1000
#define RING_DEFAULT     16
#define RESOLVED_FOR_MS  60000 /* then a name is looked up again beside the next exchange */
#define RESOLVE_PAUSE_MS 5000
#define FULL_PAUSE_MS    5 /* after the system took no datagram */
#define NEVER            UINT64_MAX

static void udp_turn(uv_timer_t *timer);

/* ---- the timer ---- */

/* The moment at which the first that waits may go. */
static uint64_t start_due(const struct udp_client *client) {
    const struct udp_job *job = TAILQ_FIRST(&client->waiting);
    if (!job || client->current)
        return NEVER;
    if (!job->sends && client->figures.kept)
        return 0;
    if (!client->addressed)
        return client->lookup ? NEVER : 0;
    return job->sends ? client->send_ms : 0;
}

static void udp_arm(struct udp_client *client, bool again) {
    if (client->closing || client->turning)
        return;
    uint64_t due = client->current ? client->current->deadline_ms : start_due(client);
    const struct udp_job *job;
    TAILQ_FOREACH(job, &client->waiting, entry)
    if (job->deadline_ms < due)
        due = job->deadline_ms;
    if (!TAILQ_EMPTY(&client->finished))
        due = 0;
    room_arm(&client->turn, udp_turn, due, again);
}

/* ---- the end of exchanges ---- */

static void finish(struct udp_client *client, struct udp_job *job, enum err result) {
    job->result = result;
    TAILQ_INSERT_TAIL(&client->finished, job, entry);
}

static struct udp_job *pop_waiting(struct udp_client *client) {
    struct udp_job *job = TAILQ_FIRST(&client->waiting);
    if (job) {
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->waiting_count--;
    }
    return job;
}

/* Nobody waits any more for the answer to what was sent: it must not be taken for the next one's.
 */
static void forsake_answer(struct udp_client *client, const struct udp_job *job) {
    if (job->sends && !client->local_port)
        udp_port_leave(client);
}

static void expire(struct udp_client *client) {
    uint64_t now = uv_now(client->io->loop);
    struct udp_job *job = client->current, *next;
    if (job && job->deadline_ms <= now) {
        client->current = NULL;
        snprintf(job->why, sizeof job->why, "no answer from %.80s port %u in time",
                 client->url.host, client->url.port);
        forsake_answer(client, job);
        client->look_again_ms = 0; /* perhaps the name has another address by now */
        finish(client, job, ERR_TIMEOUT);
    }
    for (job = TAILQ_FIRST(&client->waiting); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        if (job->deadline_ms > now)
            continue;
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->waiting_count--;
        snprintf(job->why, sizeof job->why,
                 client->addressed ? "%.80s port %u: its turn to be sent did not come in time"
                                   : "the name %.80s (port %u) was not found in time",
                 client->url.host, client->url.port);
        finish(client, job, ERR_TIMEOUT);
    }
}

static void fail_waiting(struct udp_client *client, enum err result, const char *why) {
    for (struct udp_job *job; (job = pop_waiting(client));) {
        snprintf(job->why, sizeof job->why, "%s", why);
        finish(client, job, result);
    }
}

/* ---- what arrives ---- */

static void datagram_set(struct udp_datagram *datagram, const uint8_t *data, size_t length) {
    datagram->at = clock_mono();
    datagram->length = length;
    memcpy(datagram->data, data, length);
    datagram->data[length] = '\0';
}

static void keep(struct udp_client *client, const uint8_t *data, size_t length) {
    if (client->figures.kept == client->ring_size) {
        client->ring_first = (client->ring_first + 1) % client->ring_size;
        client->figures.kept--;
        client->figures.dropped++;
    }
    size_t place = (client->ring_first + client->figures.kept++) % client->ring_size;
    datagram_set(&client->ring[place], data, length);
}

static const struct udp_datagram *pop_kept(struct udp_client *client) {
    const struct udp_datagram *oldest = &client->ring[client->ring_first];
    client->ring_first = (client->ring_first + 1) % client->ring_size;
    client->figures.kept--;
    return oldest;
}

void udp_receive(struct udp_client *client, const uint8_t *data, size_t length) {
    if (!data) {
        client->figures.oversize++;
        return;
    }
    client->figures.received++;
    struct udp_job *job = client->current;
    if (job) {
        client->current = NULL;
        datagram_set(&job->answer, data, length);
        finish(client, job, ERR_OK);
    } else {
        keep(client, data, length);
    }
    udp_arm(client, false);
}

void udp_refused(struct udp_client *client, int status) {
    struct udp_job *job = client->current;
    if (!job || !job->sends)
        return;
    client->current = NULL;
    snprintf(job->why, sizeof job->why, "nobody listens at %.80s port %u: %s", client->url.host,
             client->url.port, uv_strerror(status));
    finish(client, job, ERR_CLOSED);
    udp_arm(client, false);
}

/* ---- starting ---- */

/* The first IPv4 address, since devices that speak UDP listen there; else the first. */
static const union address *preferred(const struct addresses *addresses) {
    for (size_t i = 0; i < addresses->count; i++)
        if (addresses->list[i].any.sa_family == AF_INET)
            return &addresses->list[i];
    return &addresses->list[0];
}

/* A known address serves on when the name is not found again. */
static void on_looked_up(void *owner, int status, const struct addresses *addresses) {
    struct udp_client *client = owner;
    client->lookup = NULL;
    client->look_again_ms = room_now_ms() + (status == 0 ? RESOLVED_FOR_MS : RESOLVE_PAUSE_MS);
    if (status == 0) {
        const union address *address = preferred(addresses);
        bool moved = client->addressed && !address_same_host(&client->address, address);
        if (moved && !client->local_port && !client->current)
            udp_port_leave(client);
        client->address = *address;
        client->addressed = true;
    } else if (!client->addressed) {
        char why[IO_WHY_SIZE];
        snprintf(why, sizeof why, "the name %.80s is not known here: %s", client->url.host,
                 uv_strerror(status));
        fail_waiting(client, ERR_NOT_FOUND, why);
    }
    udp_arm(client, false);
}

static void look_up(struct udp_client *client) {
    if (client->url.kind != URL_NAME || client->lookup ||
        (client->addressed && room_now_ms() < client->look_again_ms))
        return;
    int family = client->local_port ? AF_INET : AF_UNSPEC; /* its socket is there already */
    client->lookup = lookup_start(client->io, &client->url, family, on_looked_up, client);
    if (!client->lookup && !client->addressed)
        fail_waiting(client, ERR_MEMORY, "out of memory");
}

/* Sends and/or begins to await. */
static void start(struct udp_client *client, struct udp_job *job) {
    int status = client->port ? 0 : udp_port_join(client, client->address.any.sa_family);
    if (status == 0 && job->sends) {
        status = udp_port_send(client, job->data, job->length);
        client->send_ms = room_now_ms() + (uint64_t)client->pause_ms;
    }
    if (status == UV_EAGAIN) {
        client->send_ms = room_now_ms() + FULL_PAUSE_MS;
        TAILQ_INSERT_HEAD(&client->waiting, job, entry);
        client->waiting_count++;
    } else if (status < 0) {
        snprintf(job->why, sizeof job->why, "cannot send to %.80s port %u: %s", client->url.host,
                 client->url.port, uv_strerror(status));
        finish(client, job, ERR_CLOSED);
    } else {
        client->figures.sent += job->sends;
        if (job->awaits)
            client->current = job;
        else
            finish(client, job, ERR_OK);
    }
}

static void start_due_ones(struct udp_client *client) {
    if (!TAILQ_EMPTY(&client->waiting))
        look_up(client);
    while (start_due(client) <= uv_now(client->io->loop)) {
        struct udp_job *job = TAILQ_FIRST(&client->waiting);
        if (!job->sends && client->figures.kept) {
            const struct udp_datagram *oldest = pop_kept(client);
            job->answer.at = oldest->at;
            job->answer.length = oldest->length;
            memcpy(job->answer.data, oldest->data, oldest->length + 1);
            finish(client, pop_waiting(client), ERR_OK);
        } else if (client->addressed) {
            start(client, pop_waiting(client));
        } else {
            return; /* a lookup could not be started; all have failed */
        }
    }
}

/* ---- the turn ---- */

static void tell(struct udp_client *client) {
    for (struct udp_job *job; (job = TAILQ_FIRST(&client->finished));) {
        TAILQ_REMOVE(&client->finished, job, entry);
        struct udp_exchange *exchange = job->exchange;
        exchange->job = NULL;
        bool answered = job->result == ERR_OK && job->awaits;
        exchange->done(exchange, job->result, answered ? &job->answer : NULL, job->why);
        free(job);
    }
}

static void udp_turn(uv_timer_t *timer) {
    struct udp_client *client = timer->data;
    client->turning = true;
    expire(client);
    start_due_ones(client);
    tell(client);
    client->turning = false;
    udp_arm(client, true);
}

/* What is wrong with the exchange, or NULL. */
static const char *mistake_of(const struct udp_client *client, const struct udp_exchange *exchange,
                              enum err *err) {
    *err = ERR_CONFLICT;
    if (exchange->job)
        return "the exchange is under way already";
    *err = ERR_CLOSED;
    if (client->closing)
        return "the client is closed";
    *err = ERR_FULL;
    if (client->waiting_count >= UDP_QUEUE_MAXIMUM)
        return "64 exchanges wait already";
    *err = ERR_RANGE;
    if (exchange->data && exchange->length > UDP_DATA_MAXIMUM)
        return "expected at most 2048 bytes for one datagram";
    if (!exchange->data && exchange->send_only)
        return "expected something to be sent";
    return NULL;
}

enum err udp_submit(struct udp_client *client, struct udp_exchange *exchange) {
    enum err err = ERR_OK;
    const char *mistake = mistake_of(client, exchange, &err);
    size_t length = exchange->data ? exchange->length : 0;
    struct udp_job *job = mistake ? NULL : calloc(1, sizeof *job + length);
    if (!job) {
        snprintf(client->why, sizeof client->why, "%s", mistake ? mistake : "out of memory");
        return mistake ? err : ERR_MEMORY;
    }
    job->exchange = exchange;
    job->sends = exchange->data != NULL;
    job->awaits = !exchange->send_only;
    job->length = length;
    if (length)
        memcpy(job->data, exchange->data, length);
    job->deadline_ms = room_now_ms() + (uint64_t)room_time(exchange->timeout_ms, TIMEOUT_MS,
                                                           OPERATION_TIMEOUT_MAXIMUM_MS);
    exchange->job = job;
    exchange->client = client;
    TAILQ_INSERT_TAIL(&client->waiting, job, entry);
    client->waiting_count++;
    udp_arm(client, false);
    return ERR_OK;
}

void udp_cancel(struct udp_exchange *exchange) {
    struct udp_job *job = exchange->job, *at;
    if (!job)
        return;
    struct udp_client *client = exchange->client;
    exchange->job = NULL;
    bool waits = false;
    TAILQ_FOREACH(at, &client->waiting, entry)
    waits = waits || at == job;
    if (job == client->current) {
        client->current = NULL;
        forsake_answer(client, job);
    } else if (waits) {
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->waiting_count--;
    } else {
        TAILQ_REMOVE(&client->finished, job, entry);
    }
    free(job);
    udp_arm(client, false);
}

const struct udp_datagram *udp_take(struct udp_client *client) {
    if (!client->figures.kept)
        return NULL;
    const struct udp_datagram *oldest = pop_kept(client);
    client->taken.at = oldest->at;
    client->taken.length = oldest->length;
    memcpy(client->taken.data, oldest->data, oldest->length + 1);
    return &client->taken;
}

/* ---- life ---- */

bool udp_url_valid(const char *text, char *why, size_t why_size) {
    struct url url;
    char shown[URL_SHOWN_SIZE];
    const char *mistake = url_parse(text, &url);
    if (!mistake && strcmp(url.scheme, "udp") != 0)
        mistake = "the scheme is not udp";
    if (!mistake && url.port == 0)
        mistake = "the port is missing";
    if (!mistake && *url.rest)
        mistake = "nothing stands behind the port";
    if (mistake)
        snprintf(why, why_size, "expected udp://host:port, got \"%s\": %s", url_shown(text, shown),
                 mistake);
    return !mistake;
}

static void client_free(struct udp_client *client) {
    free(client->text);
    free(client->ring);
    free(client);
}

static void on_timer_closed(uv_handle_t *handle) {
    struct udp_client *client = handle->data;
    client->io->live--;
    client_free(client);
}

static struct udp_client *client_new(struct io *io, const char *url,
                                     const struct udp_settings *settings) {
    struct udp_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->io = io;
    client->text = strdup(url);
    client->ring_size = settings->ring == 0 ? RING_DEFAULT : settings->ring;
    if (client->ring_size > UDP_RING_MAXIMUM)
        client->ring_size = UDP_RING_MAXIMUM;
    client->ring = calloc(client->ring_size, sizeof *client->ring);
    client->local_port = settings->local_port;
    client->pause_ms = room_time(settings->pause_ms, 0, OPERATION_TIMEOUT_MAXIMUM_MS);
    TAILQ_INIT(&client->waiting);
    TAILQ_INIT(&client->finished);
    if (client->text && client->ring && !url_parse(client->text, &client->url))
        return client;
    client_free(client);
    return NULL;
}

struct udp_client *udp_open(struct io *io, const char *url, const struct udp_settings *settings,
                            char *why, size_t why_size) {
    const struct udp_settings usual = {0};
    settings = settings ? settings : &usual;
    if (!udp_url_valid(url, why, why_size))
        return NULL;
    if (settings->local_port > 65535) {
        snprintf(why, why_size, "expected a local port up to 65535, got %u", settings->local_port);
        return NULL;
    }
    struct udp_client *client = client_new(io, url, settings);
    if (!client) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    struct addresses addresses;
    client->addressed = addresses_of(&client->url, &addresses);
    if (client->addressed)
        client->address = addresses.list[0];
    int status = 0;
    if (client->local_port)
        status = udp_port_join(client, client->url.kind == URL_IPV6 ? AF_INET6 : AF_INET);
    if (status < 0) {
        snprintf(why, why_size, "the local port %u cannot be had: %s%s", client->local_port,
                 uv_strerror(status), status == UV_EADDRINUSE ? "; another program uses it" : "");
        client_free(client);
        return NULL;
    }
    uv_timer_init(io->loop, &client->turn); /* never fails */
    client->turn.data = client;
    io->live++;
    return client;
}

void udp_close(struct udp_client *client) {
    if (!client || client->closing)
        return;
    client->closing = true;
    fail_waiting(client, ERR_CLOSED, "");
    if (client->current)
        finish(client, client->current, ERR_CLOSED);
    client->current = NULL;
    for (struct udp_job *job; (job = TAILQ_FIRST(&client->finished));) {
        TAILQ_REMOVE(&client->finished, job, entry);
        job->exchange->job = NULL;
        free(job);
    }
    lookup_cancel(client->lookup);
    client->lookup = NULL;
    udp_port_leave(client);
    uv_close((uv_handle_t *)&client->turn, on_timer_closed);
}

const char *udp_why(const struct udp_client *client) {
    return client->why;
}

const char *udp_url(const struct udp_client *client) {
    return client->text;
}

const struct udp_figures *udp_figures(const struct udp_client *client) {
    return &client->figures;
}
