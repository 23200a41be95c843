/* The client: a queue of jobs, the host's name, and one timer whose turn does all that is due.
 * Callers' code runs only from that turn, so nothing in here is ever called from inside libcurl.
 *
 * Names are looked up here and given to libcurl ready: its own threads would be waited for when a
 * transfer is cancelled while they run. */
#include "io/http.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/http_internal.h"

#define CONNECT_TIMEOUT_MS 3000
#define TIMEOUT_MS         10000
#define RESOLVED_FOR_MS    60000 /* then a name is looked up again beside the next request */
#define RESOLVE_PAUSE_MS   5000  /* after a lookup that failed, while the old address serves */
#define NEVER              UINT64_MAX

static void http_turn(uv_timer_t *timer);

/* ---- the timer ---- */

static bool has_address(const struct http_client *client) {
    return client->url.kind != URL_NAME || client->resolved;
}

static bool may_start(const struct http_client *client) {
    return !TAILQ_EMPTY(&client->waiting) && client->figures.in_flight < client->in_flight;
}

static uint64_t due_of(const struct http_client *client, const struct http_job *job) {
    bool before = !has_address(client) && job->resolve_by_ms < job->deadline_ms;
    return before ? job->resolve_by_ms : job->deadline_ms;
}

static void http_arm(struct http_client *client, bool again) {
    if (client->closing || client->turning)
        return;
    uint64_t due = NEVER;
    const struct http_job *job;
    TAILQ_FOREACH(job, &client->waiting, entry)
    if (due_of(client, job) < due)
        due = due_of(client, job);
    if (!TAILQ_EMPTY(&client->finished) ||
        (may_start(client) && (has_address(client) || !client->lookup)))
        due = 0;
    room_arm(&client->turn, http_turn, due, again);
}

/* ---- jobs on their way ---- */

static void finish(struct http_client *client, struct http_job *job) {
    TAILQ_INSERT_TAIL(&client->finished, job, entry);
}

static void fail_waiting(struct http_client *client, enum err result, const char *why) {
    for (struct http_job *job; (job = TAILQ_FIRST(&client->waiting));) {
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->figures.waiting--;
        job->result = result;
        snprintf(job->why, sizeof job->why, "%s", why);
        finish(client, job);
    }
}

static void expire(struct http_client *client) {
    uint64_t now = uv_now(client->io->loop);
    struct http_job *next;
    for (struct http_job *job = TAILQ_FIRST(&client->waiting); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        if (due_of(client, job) > now)
            continue;
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->figures.waiting--;
        job->result = ERR_TIMEOUT;
        if (!has_address(client))
            snprintf(job->why, sizeof job->why, "the name %.80s was not found in time",
                     client->url.host);
        else
            snprintf(job->why, sizeof job->why,
                     "%.80s port %u: requests before this one took all of its time",
                     client->url.host, client->url.port);
        finish(client, job);
    }
}

/* "host:port:address,address" for libcurl. Link-local addresses are left out: it takes no zone. */
static bool set_resolved(struct http_client *client, const struct addresses *addresses) {
    struct buf entry;
    size_t count = 0;
    buf_init(&entry, 1024);
    buf_format(&entry, "%s:%u:", client->url.host, client->url.port);
    for (size_t i = 0; i < addresses->count; i++) {
        const union address *address = &addresses->list[i];
        char text[64];
        bool ipv6 = address->any.sa_family == AF_INET6;
        if (ipv6 ? IN6_IS_ADDR_LINKLOCAL(&address->ipv6.sin6_addr) ||
                       uv_ip6_name(&address->ipv6, text, sizeof text) < 0
                 : uv_ip4_name(&address->ipv4, text, sizeof text) < 0)
            continue;
        buf_format(&entry, ipv6 ? "%s[%s]" : "%s%s", count++ ? "," : "", text);
    }
    char *taken = count ? buf_take(&entry) : NULL;
    buf_free(&entry);
    if (!taken)
        return false;
    free(client->resolved);
    client->resolved = taken;
    return true;
}

/* An address that is known serves on when the name is not found again: DNS may be down. */
static void on_looked_up(void *owner, int status, const struct addresses *addresses) {
    struct http_client *client = owner;
    char why[IO_WHY_SIZE];
    client->lookup = NULL;
    bool found = status == 0 && set_resolved(client, addresses);
    client->resolve_again_ms = room_now_ms() + (found ? RESOLVED_FOR_MS : RESOLVE_PAUSE_MS);
    if (!client->resolved) {
        snprintf(why, sizeof why, "the name %.80s is not known here: %s", client->url.host,
                 status < 0 ? uv_strerror(status) : "it has no usable address");
        fail_waiting(client, ERR_NOT_FOUND, why);
    }
    http_arm(client, false);
}

/* False: no address yet, and none is being looked up. */
static bool look_up(struct http_client *client) {
    bool due = !client->resolved || room_now_ms() >= client->resolve_again_ms;
    if (client->url.kind == URL_NAME && !client->lookup && due)
        client->lookup = lookup_start(client->io, &client->url, AF_UNSPEC, on_looked_up, client);
    return has_address(client) || client->lookup;
}

static void start(struct http_client *client) {
    if (may_start(client) && !look_up(client))
        fail_waiting(client, ERR_MEMORY, "out of memory");
    while (may_start(client) && has_address(client)) {
        struct http_job *job = TAILQ_FIRST(&client->waiting);
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->figures.waiting--;
        if (http_job_start(job) != ERR_OK) {
            finish(client, job);
            continue;
        }
        TAILQ_INSERT_TAIL(&client->running, job, entry);
        client->figures.in_flight++;
    }
}

void http_collect(struct http_client *client) {
    int left = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left));) {
        struct http_job *job = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message goes with the handle */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job);
        if (!http_job_finish(job, code))
            continue;
        TAILQ_REMOVE(&client->running, job, entry);
        client->figures.in_flight--;
        finish(client, job);
        if (code == CURLE_COULDNT_CONNECT)
            client->resolve_again_ms = 0; /* perhaps the name has another address by now */
    }
    http_arm(client, false);
}

/* ---- the turn ---- */

static void tell(struct http_client *client) {
    for (struct http_job *job; (job = TAILQ_FIRST(&client->finished));) {
        TAILQ_REMOVE(&client->finished, job, entry);
        struct http_request *request = job->request;
        request->job = NULL;
        if (job->result == ERR_OK)
            client->figures.answers++;
        else
            client->figures.failures++;
        request->done(request, job->result, job->result == ERR_OK ? &job->told : NULL, job->why);
        http_job_free(job);
    }
}

static void http_turn(uv_timer_t *timer) {
    struct http_client *client = timer->data;
    client->turning = true;
    expire(client);
    start(client);
    tell(client); /* may close the client: then nothing is left to tell, and nothing to arm */
    client->turning = false;
    http_arm(client, true);
}

enum err http_submit(struct http_client *client, struct http_request *request) {
    enum err err = ERR_OK;
    if (request->job) {
        snprintf(client->why, sizeof client->why, "the request is under way already");
        return ERR_CONFLICT;
    }
    if (client->closing || client->figures.waiting >= HTTP_QUEUE_MAXIMUM) {
        snprintf(client->why, sizeof client->why, "%.80s port %u: %d requests wait already",
                 client->url.host, client->url.port, HTTP_QUEUE_MAXIMUM);
        return client->closing ? ERR_CLOSED : ERR_FULL;
    }
    struct http_job *job = http_job_new(client, request, &err);
    if (!job)
        return err;
    uint64_t now = room_now_ms();
    job->deadline_ms =
        now + (uint64_t)room_time(request->timeout_ms, TIMEOUT_MS, OPERATION_TIMEOUT_MAXIMUM_MS);
    job->resolve_by_ms = now + (uint64_t)client->connect_timeout_ms;
    job->request = request;
    request->job = job;
    request->client = client;
    TAILQ_INSERT_TAIL(&client->waiting, job, entry);
    client->figures.waiting++;
    client->figures.requests++;
    http_arm(client, false);
    return ERR_OK;
}

static void drop(struct http_jobs *list, struct http_job *job) {
    TAILQ_REMOVE(list, job, entry);
    http_job_stop(job);
    job->request->job = NULL;
    http_job_free(job);
}

void http_cancel(struct http_request *request) {
    struct http_job *job = request->job;
    if (!job)
        return;
    struct http_client *client = job->client;
    const struct http_job *at;
    struct http_jobs *list = &client->finished;
    TAILQ_FOREACH(at, &client->waiting, entry)
    if (at == job)
        list = &client->waiting;
    if (job->easy) {
        list = &client->running;
        client->figures.in_flight--;
    } else if (list == &client->waiting) {
        client->figures.waiting--;
    }
    drop(list, job);
    http_arm(client, false);
}

/* ---- life ---- */

bool http_url_valid(const char *text, char *why, size_t why_size) {
    struct url url;
    char shown[URL_SHOWN_SIZE];
    const char *mistake = url_parse(text, &url);
    if (!mistake && strcmp(url.scheme, "http") != 0 && strcmp(url.scheme, "https") != 0)
        mistake = "the scheme is neither http nor https";
    if (!mistake && strpbrk(url.rest, "?#"))
        mistake = "a query or fragment belongs to a request, not to the base URL";
    if (mistake)
        snprintf(why, why_size, "expected http://host[:port][/base] or https://..., got \"%s\": %s",
                 url_shown(text, shown), mistake);
    return !mistake;
}

static bool settings_valid(const struct http_settings *settings, char *why, size_t why_size) {
    bool user = settings->auth == HTTP_AUTH_BASIC || settings->auth == HTTP_AUTH_DIGEST;
    const char *mistake = NULL;
    if (user && (!settings->user || !settings->password))
        mistake = "expected user and password for basic or digest authentication";
    else if (settings->auth == HTTP_AUTH_BASIC && strchr(settings->user, ':'))
        mistake = "expected a user without \":\" for basic authentication";
    else if (settings->auth == HTTP_AUTH_BEARER && !settings->password)
        mistake = "expected a token for bearer authentication";
    else if (settings->password && strpbrk(settings->password, "\r\n"))
        mistake = "expected a password or token without line breaks";
    if (mistake)
        snprintf(why, why_size, "%s", mistake);
    return !mistake && tls_settings_valid(&settings->tls, why, why_size);
}

static bool copy_text(const char *from, char **to) {
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static bool copy_settings(struct http_client *client, const char *url,
                          const struct http_settings *settings) {
    size_t most = settings->body_maximum;
    client->auth = settings->auth;
    client->connect_timeout_ms =
        room_time(settings->connect_timeout_ms, CONNECT_TIMEOUT_MS, OPERATION_TIMEOUT_MAXIMUM_MS);
    client->body_maximum = most == 0 || most > HTTP_BODY_MAXIMUM ? HTTP_BODY_MAXIMUM : most;
    client->in_flight = (unsigned)room_time(settings->in_flight, 1, HTTP_MAX_IN_FLIGHT);
    if (!copy_text(url, &client->text) || !copy_text(settings->user, &client->user) ||
        !copy_text(settings->password, &client->password) ||
        !copy_text(settings->tls.ca_file, &client->ca_file) ||
        !copy_text(settings->tls.pin, &client->pin) || url_parse(client->text, &client->url))
        return false;
    size_t rest = strlen(client->url.rest), size = strlen(client->url.host) + rest + 32;
    while (rest && client->url.rest[rest - 1] == '/')
        rest--;
    client->base = malloc(size);
    if (client->base)
        snprintf(client->base, size,
                 client->url.kind == URL_IPV6 ? "%s://[%s]:%u%.*s" : "%s://%s:%u%.*s",
                 client->url.scheme, client->url.host, client->url.port, (int)rest,
                 client->url.rest);
    return client->base != NULL;
}

static void client_free(struct http_client *client) {
    if (client->password)
        sodium_memzero(client->password, strlen(client->password));
    free(client->text);
    free(client->base);
    free(client->user);
    free(client->password);
    free(client->ca_file);
    free(client->pin);
    free(client->resolved);
    free(client);
}

void http_handle_closed(struct http_client *client) {
    if (--client->handles > 0 || !client->closing)
        return;
    client->io->live--;
    client_free(client);
}

struct http_client *http_open(struct io *io, const char *url, const struct http_settings *settings,
                              char *why, size_t why_size) {
    const struct http_settings usual = {0};
    settings = settings ? settings : &usual;
    if (!http_url_valid(url, why, why_size) || !settings_valid(settings, why, why_size))
        return NULL;
    struct http_client *client = calloc(1, sizeof *client);
    if (client) {
        client->io = io;
        TAILQ_INIT(&client->waiting);
        TAILQ_INIT(&client->running);
        TAILQ_INIT(&client->finished);
        if (copy_settings(client, url, settings) && http_sockets_open(client) == ERR_OK) {
            uv_timer_init(io->loop, &client->turn); /* never fails */
            uv_timer_init(io->loop, &client->clock);
            client->turn.data = client->clock.data = client;
            client->handles = 2;
            io->live++;
            return client;
        }
        client_free(client);
    }
    snprintf(why, why_size, "out of memory");
    return NULL;
}

static void on_timer_closed(uv_handle_t *handle) {
    http_handle_closed(handle->data);
}

void http_close(struct http_client *client) {
    if (!client || client->closing)
        return;
    client->closing = true;
    struct http_jobs *const lists[] = {&client->waiting, &client->running, &client->finished};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (struct http_job *job; (job = TAILQ_FIRST(lists[i]));)
            drop(lists[i], job);
    lookup_cancel(client->lookup);
    client->lookup = NULL;
    http_sockets_close(client);
    uv_close((uv_handle_t *)&client->turn, on_timer_closed);
    uv_close((uv_handle_t *)&client->clock, on_timer_closed);
}

const char *http_why(const struct http_client *client) {
    return client->why;
}

const char *http_url(const struct http_client *client) {
    return client->text;
}

const struct http_figures *http_figures(const struct http_client *client) {
    return &client->figures;
}
