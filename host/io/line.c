/* Exchanges in order, one at a time, over a connection that is made when it is needed:
 *
 *   IDLE --something to do--> CONNECTING --> UP --nothing to do for long--> IDLE
 *                               ^   |        |
 *                     back-off  |   v        v
 *                              WAITING <-----'
 *
 * As in all clients, one timer's turn does all that is due, and callers' code runs only from there.
 */
#include "io/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/line_internal.h"

#define TIMEOUT_MS         3000
#define CONNECT_TIMEOUT_MS 3000
#define IDLE_MS            30000
#define BACKOFF_MIN_MS     500
#define BACKOFF_MAX_MS     10000
#define LENGTH_DEFAULT     1024
#define RING_DEFAULT       16
#define NEVER              UINT64_MAX

static void line_turn(uv_timer_t *timer);

/* ---- the timer ---- */

static bool stays(const struct line_client *client) {
    return client->idle_ms < 0;
}

/* The first that waits can be answered from the ring alone. */
static bool served_by_ring(const struct line_client *client) {
    const struct line_job *job = TAILQ_FIRST(&client->waiting);
    return job && !client->current && !job->sends && job->wanted - job->got <= client->figures.kept;
}

static uint64_t state_due(const struct line_client *client) {
    bool wanted = !TAILQ_EMPTY(&client->waiting) || stays(client);
    switch (client->state) {
    case LINE_IDLE:
        return wanted ? 0 : NEVER;
    case LINE_WAITING:
        return wanted ? client->retry_ms : NEVER;
    case LINE_CONNECTING:
        return client->connect_by_ms;
    case LINE_UP:
        break;
    }
    if (client->current)
        return NEVER;
    if (!TAILQ_EMPTY(&client->waiting))
        return 0;
    return stays(client) ? NEVER : client->idle_at_ms;
}

static void line_arm(struct line_client *client, bool again) {
    if (client->closing || client->turning)
        return;
    uint64_t due = state_due(client);
    const struct line_job *job = client->current;
    if (job && job->deadline_ms < due)
        due = job->deadline_ms;
    TAILQ_FOREACH(job, &client->waiting, entry)
    if (job->deadline_ms < due)
        due = job->deadline_ms;
    if (!TAILQ_EMPTY(&client->finished) || served_by_ring(client))
        due = 0;
    room_arm(&client->turn, line_turn, due, again);
}

static void rest_begins(struct line_client *client) {
    client->idle_at_ms = room_now_ms() + (uint64_t)(stays(client) ? 0 : client->idle_ms);
}

/* ---- the end of exchanges ---- */

static void finish(struct line_client *client, struct line_job *job, enum err result) {
    job->result = result;
    TAILQ_INSERT_TAIL(&client->finished, job, entry);
}

static struct line_job *pop_waiting(struct line_client *client) {
    struct line_job *job = TAILQ_FIRST(&client->waiting);
    if (job) {
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->waiting_count--;
    }
    return job;
}

static void ring_put(struct line_client *client, struct line_kept *line) {
    if (client->figures.kept == client->ring_size) {
        free(client->ring[client->ring_first]);
        client->ring_first = (client->ring_first + 1) % client->ring_size;
        client->figures.kept--;
        client->figures.dropped++;
    }
    client->ring[(client->ring_first + client->figures.kept++) % client->ring_size] = line;
}

static struct line_kept *ring_pop(struct line_client *client) {
    struct line_kept *line = client->ring[client->ring_first];
    client->ring_first = (client->ring_first + 1) % client->ring_size;
    client->figures.kept--;
    return line;
}

/* Lines that came for nobody's question are not lost with an exchange that awaited more of
 * them, as long as their connection stays. */
static void give_back(struct line_client *client, struct line_job *job) {
    if (job->sends || client->state != LINE_UP)
        return;
    for (size_t i = 0; i < job->got; i++)
        ring_put(client, job->lines[i]);
    job->got = 0;
}

static void finish_current(struct line_client *client, enum err result) {
    struct line_job *job = client->current;
    client->current = NULL;
    rest_begins(client);
    if (result != ERR_OK)
        give_back(client, job);
    finish(client, job, result);
}

/* The lines are freed; for the exchange they are lost. */
static void job_free(struct line_job *job) {
    for (size_t i = 0; i < job->got; i++)
        free(job->lines[i]);
    free(job);
}

/* ---- the connection ---- */

static void connection_end(struct line_client *client, enum line_state state) {
    line_socket_close(client);
    client->state = state;
    client->figures.up = false;
    client->filled = 0;
    while (client->figures.kept)
        free(ring_pop(client));
}

void line_connected(struct line_client *client) {
    client->state = LINE_UP;
    client->figures.up = true;
    client->figures.connects++;
    client->filled = 0;
    client->heard = false;
    client->silent = false;
    rest_begins(client);
    line_arm(client, false);
}

/* Fails what is under way; when connecting has failed, also all that waits for it. */
void line_lost(struct line_client *client, enum err result, const char *what, int status) {
    char why[IO_WHY_SIZE];
    bool connecting = client->state == LINE_CONNECTING;
    snprintf(why, sizeof why, "%.80s port %u: %s: %s", client->url.host, client->url.port, what,
             uv_strerror(status));
    connection_end(client, LINE_WAITING);
    if (connecting && !client->silent) {
        log_warning(client->text, "%s: %s; trying again when it is asked for", what,
                    uv_strerror(status));
        client->silent = true;
    }
    bool failed = connecting || !client->heard; /* also one that only ever takes connections */
    if (!failed)
        client->backoff_ms = client->backoff_min_ms;
    bool at_once = !failed && !TAILQ_EMPTY(&client->waiting);
    client->retry_ms = uv_now(client->io->loop) + (uint64_t)(at_once ? 0 : client->backoff_ms);
    if (failed)
        client->backoff_ms = room_time(client->backoff_ms * 2, 0, client->backoff_max_ms);
    if (client->current) {
        snprintf(client->current->why, sizeof client->current->why, "%s", why);
        finish_current(client, result);
    }
    for (struct line_job *job; connecting && (job = pop_waiting(client));) {
        snprintf(job->why, sizeof job->why, "%s", why);
        finish(client, job, result);
    }
    line_arm(client, false);
}

/* Nobody waits any more for what was asked: the answer must not be taken for that of the next. */
static void forsake_answer(struct line_client *client, const struct line_job *job) {
    if (!job->sends || client->state != LINE_UP)
        return;
    connection_end(client, LINE_IDLE);
    client->backoff_ms = client->backoff_min_ms;
}

/* ---- lines ---- */

static void take_line(struct line_client *client, const char *text, size_t length) {
    struct line_kept *line = malloc(sizeof *line + length + 1);
    struct line_job *job = client->current;
    if (!line) {
        line_lost(client, ERR_MEMORY, "no memory for a line", UV_ENOMEM);
        return;
    }
    line->at = clock_mono();
    line->length = length;
    memcpy(line->text, text, length);
    line->text[length] = '\0';
    client->figures.received++;
    client->heard = true;
    if (!job) {
        ring_put(client, line);
        rest_begins(client);
        return;
    }
    job->lines[job->got++] = line;
    if (job->got == job->wanted)
        finish_current(client, ERR_OK);
}

/* The line that is at the beginning of the input: its length without the end mark, and with it in
 * `whole`. False: it is not whole yet. */
static bool find_line(const struct line_client *client, size_t *length, size_t *whole) {
    const char *mark = client->end_in[0] ? client->end_in : "\n";
    size_t mark_length = strlen(mark);
    const char *end = memmem(client->input, client->filled, mark, mark_length);
    if (!end)
        return false;
    *length = (size_t)(end - client->input);
    *whole = *length + mark_length;
    if (!client->end_in[0] && *length && end[-1] == '\r')
        (*length)--;
    return true;
}

void line_bytes(struct line_client *client, const char *data, size_t length) {
    size_t room = client->length + LINE_END_SIZE;
    while (length > 0 && client->state == LINE_UP) {
        size_t some = room - client->filled < length ? room - client->filled : length;
        size_t line = 0, whole = 0;
        memcpy(client->input + client->filled, data, some);
        client->filled += some;
        data += some;
        length -= some;
        while (client->state == LINE_UP && find_line(client, &line, &whole) &&
               line <= client->length) {
            take_line(client, client->input, line);
            if (client->state != LINE_UP)
                return;
            client->filled -= whole;
            memmove(client->input, client->input + whole, client->filled);
        }
        if (line > client->length || client->filled == room) {
            line_lost(client, ERR_LIMIT, "sent a line that is longer than allowed", UV_EMSGSIZE);
            return;
        }
    }
    line_arm(client, false);
}

/* ---- the turn: what is due ---- */

static void expire(struct line_client *client) {
    uint64_t now = uv_now(client->io->loop);
    struct line_job *job = client->current, *next;
    if (job && job->deadline_ms <= now) {
        snprintf(job->why, sizeof job->why, "%.80s port %u: %zu of %zu lines came in time",
                 client->url.host, client->url.port, job->got, job->wanted);
        finish_current(client, ERR_TIMEOUT);
        forsake_answer(client, job);
    }
    for (job = TAILQ_FIRST(&client->waiting); job; job = next) {
        next = TAILQ_NEXT(job, entry);
        if (job->deadline_ms > now)
            continue;
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->waiting_count--;
        snprintf(job->why, sizeof job->why,
                 client->state == LINE_UP
                     ? "%.80s port %u: its turn to be sent did not come in time"
                     : "no connection to %.80s port %u in time",
                 client->url.host, client->url.port);
        finish(client, job, ERR_TIMEOUT);
    }
}

/* Moves what the ring has to the job; true when it has all it wants. */
static bool fill_from_ring(struct line_client *client, struct line_job *job) {
    while (job->got < job->wanted && client->figures.kept)
        job->lines[job->got++] = ring_pop(client);
    return job->got == job->wanted;
}

static void begin(struct line_client *client, struct line_job *job) {
    int status = job->sends ? line_socket_send(client, job->data, job->length) : 0;
    client->current = job;
    if (status < 0) {
        line_lost(client, ERR_CLOSED, "the connection is lost", status);
        return;
    }
    client->figures.sent += job->sends;
    if (job->sends ? job->wanted == 0 : fill_from_ring(client, job))
        finish_current(client, ERR_OK);
}

static void act(struct line_client *client) {
    uint64_t now = uv_now(client->io->loop);
    while (served_by_ring(client)) {
        struct line_job *job = pop_waiting(client);
        fill_from_ring(client, job);
        finish(client, job, ERR_OK);
    }
    while (client->state == LINE_UP && !client->current && !TAILQ_EMPTY(&client->waiting))
        begin(client, pop_waiting(client));
    if (state_due(client) > now)
        return;
    if (client->state == LINE_CONNECTING) {
        line_lost(client, ERR_TIMEOUT, "no connection in time (is it switched on?)", UV_ETIMEDOUT);
    } else if (client->state == LINE_UP) {
        connection_end(client, LINE_IDLE);
    } else {
        client->state = LINE_CONNECTING;
        client->connect_by_ms = room_now_ms() + (uint64_t)client->connect_timeout_ms;
        line_socket_connect(client);
    }
}

static void tell(struct line_client *client) {
    struct line_text lines[LINE_COUNT_MAXIMUM];
    for (struct line_job *job; (job = TAILQ_FIRST(&client->finished));) {
        TAILQ_REMOVE(&client->finished, job, entry);
        struct line_exchange *exchange = job->exchange;
        size_t count = job->result == ERR_OK ? job->got : 0;
        exchange->job = NULL;
        for (size_t i = 0; i < count; i++)
            lines[i] =
                (struct line_text){job->lines[i]->at, job->lines[i]->length, job->lines[i]->text};
        exchange->done(exchange, job->result, count ? lines : NULL, count, job->why);
        job_free(job);
    }
}

static void line_turn(uv_timer_t *timer) {
    struct line_client *client = timer->data;
    client->turning = true;
    expire(client);
    act(client);
    tell(client);
    client->turning = false;
    line_arm(client, true);
}

/* ---- for callers ---- */

/* What is wrong with the exchange, or NULL. */
static const char *mistake_of(const struct line_client *client,
                              const struct line_exchange *exchange, enum err *err) {
    *err = ERR_CONFLICT;
    if (exchange->job)
        return "the exchange is under way already";
    *err = ERR_CLOSED;
    if (client->closing)
        return "the client is closed";
    *err = ERR_FULL;
    if (client->waiting_count >= LINE_QUEUE_MAXIMUM)
        return "64 exchanges wait already";
    *err = ERR_RANGE;
    if (exchange->text && exchange->length > LINE_LENGTH_MAXIMUM)
        return "expected a line of at most 16384 bytes";
    if (exchange->lines > LINE_COUNT_MAXIMUM)
        return "expected at most 64 lines to be awaited";
    if (!exchange->text && exchange->lines == 0)
        return "expected something to be sent, or lines to be awaited";
    *err = ERR_FORMAT;
    if (exchange->text &&
        memmem(exchange->text, exchange->length, client->end, strlen(client->end)))
        return "expected one line, without an end mark within it";
    return NULL;
}

static struct line_job *job_new(const struct line_client *client,
                                const struct line_exchange *exchange) {
    size_t end = exchange->text ? strlen(client->end) : 0;
    size_t length = exchange->text ? exchange->length : 0;
    struct line_job *job = calloc(1, sizeof *job + length + end);
    if (!job)
        return NULL;
    job->wanted = exchange->lines;
    job->sends = exchange->text != NULL;
    job->length = length + end;
    if (length)
        memcpy(job->data, exchange->text, length);
    memcpy(job->data + length, client->end, end);
    return job;
}

enum err line_submit(struct line_client *client, struct line_exchange *exchange) {
    enum err err = ERR_OK;
    const char *mistake = mistake_of(client, exchange, &err);
    struct line_job *job = mistake ? NULL : job_new(client, exchange);
    if (!job) {
        snprintf(client->why, sizeof client->why, "%s", mistake ? mistake : "out of memory");
        return mistake ? err : ERR_MEMORY;
    }
    job->deadline_ms = room_now_ms() + (uint64_t)room_time(exchange->timeout_ms, TIMEOUT_MS,
                                                           OPERATION_TIMEOUT_MAXIMUM_MS);
    job->exchange = exchange;
    exchange->job = job;
    exchange->client = client;
    TAILQ_INSERT_TAIL(&client->waiting, job, entry);
    client->waiting_count++;
    line_arm(client, false);
    return ERR_OK;
}

void line_cancel(struct line_exchange *exchange) {
    struct line_job *job = exchange->job, *at;
    if (!job)
        return;
    struct line_client *client = exchange->client;
    exchange->job = NULL;
    bool waits = false;
    TAILQ_FOREACH(at, &client->waiting, entry)
    waits = waits || at == job;
    if (job == client->current) {
        client->current = NULL;
        rest_begins(client);
        give_back(client, job);
        forsake_answer(client, job);
    } else if (waits) {
        TAILQ_REMOVE(&client->waiting, job, entry);
        client->waiting_count--;
    } else {
        TAILQ_REMOVE(&client->finished, job, entry);
    }
    job_free(job);
    line_arm(client, false);
}

const struct line_text *line_take(struct line_client *client) {
    if (!client->figures.kept)
        return NULL;
    free(client->taken_line);
    client->taken_line = ring_pop(client);
    client->taken = (struct line_text){client->taken_line->at, client->taken_line->length,
                                       client->taken_line->text};
    return &client->taken;
}

/* ---- life ---- */

bool line_url_valid(const char *text, char *why, size_t why_size) {
    struct url url;
    char shown[URL_SHOWN_SIZE];
    const char *mistake = url_parse(text, &url);
    if (!mistake && strcmp(url.scheme, "tcp") != 0)
        mistake = "the scheme is not tcp";
    if (!mistake && url.port == 0)
        mistake = "the port is missing";
    if (!mistake && *url.rest)
        mistake = "nothing stands behind the port";
    if (mistake)
        snprintf(why, why_size, "expected tcp://host:port, got \"%s\": %s", url_shown(text, shown),
                 mistake);
    return !mistake;
}

static bool settings_valid(const struct line_settings *settings, char *why, size_t why_size) {
    const char *const marks[] = {settings->end, settings->end_in};
    for (size_t i = 0; i < 2; i++)
        if (marks[i] && (!*marks[i] || strlen(marks[i]) >= LINE_END_SIZE)) {
            snprintf(why, why_size, "expected an end mark of 1 to 8 bytes");
            return false;
        }
    if (settings->length > LINE_LENGTH_MAXIMUM) {
        snprintf(why, why_size, "expected lines of at most %d bytes", LINE_LENGTH_MAXIMUM);
        return false;
    }
    return true;
}

static void client_free(struct line_client *client) {
    while (client->figures.kept)
        free(ring_pop(client));
    free(client->taken_line);
    free(client->input);
    free(client->text);
    free(client);
}

static void on_timer_closed(uv_handle_t *handle) {
    struct line_client *client = handle->data;
    client->io->live--;
    client_free(client);
}

static void take_settings(struct line_client *client, const struct line_settings *settings) {
    int64_t most = OPERATION_TIMEOUT_MAXIMUM_MS;
    snprintf(client->end, sizeof client->end, "%s", settings->end ? settings->end : "\r\n");
    snprintf(client->end_in, sizeof client->end_in, "%s", settings->end_in ? settings->end_in : "");
    client->length = settings->length ? settings->length : LENGTH_DEFAULT;
    client->ring_size = settings->ring == 0 ? RING_DEFAULT : settings->ring;
    if (client->ring_size > LINE_RING_MAXIMUM)
        client->ring_size = LINE_RING_MAXIMUM;
    client->idle_ms = settings->idle_ms == 0 ? IDLE_MS : settings->idle_ms;
    client->connect_timeout_ms = room_time(settings->connect_timeout_ms, CONNECT_TIMEOUT_MS, most);
    client->backoff_min_ms = room_time(settings->backoff_min_ms, BACKOFF_MIN_MS, most);
    client->backoff_max_ms = room_time(settings->backoff_max_ms, BACKOFF_MAX_MS, most);
    if (client->backoff_max_ms < client->backoff_min_ms)
        client->backoff_max_ms = client->backoff_min_ms;
    client->backoff_ms = client->backoff_min_ms;
}

struct line_client *line_open(struct io *io, const char *url, const struct line_settings *settings,
                              char *why, size_t why_size) {
    const struct line_settings usual = {0};
    settings = settings ? settings : &usual;
    if (!line_url_valid(url, why, why_size) || !settings_valid(settings, why, why_size))
        return NULL;
    struct line_client *client = calloc(1, sizeof *client);
    if (client) {
        client->io = io;
        TAILQ_INIT(&client->waiting);
        TAILQ_INIT(&client->finished);
        take_settings(client, settings);
        client->text = strdup(url);
        client->input = malloc(client->length + LINE_END_SIZE);
        if (client->text && client->input && !url_parse(client->text, &client->url)) {
            uv_timer_init(io->loop, &client->turn); /* never fails */
            client->turn.data = client;
            io->live++;
            line_arm(client, false);
            return client;
        }
        client_free(client);
    }
    snprintf(why, why_size, "out of memory");
    return NULL;
}

void line_close(struct line_client *client) {
    if (!client || client->closing)
        return;
    client->closing = true;
    connection_end(client, LINE_IDLE);
    if (client->current)
        finish_current(client, ERR_CLOSED);
    for (struct line_job *job; (job = pop_waiting(client));)
        finish(client, job, ERR_CLOSED);
    for (struct line_job *job; (job = TAILQ_FIRST(&client->finished));) {
        TAILQ_REMOVE(&client->finished, job, entry);
        job->exchange->job = NULL;
        job_free(job);
    }
    uv_close((uv_handle_t *)&client->turn, on_timer_closed);
}

const char *line_why(const struct line_client *client) {
    return client->why;
}

const char *line_url(const struct line_client *client) {
    return client->text;
}

const struct line_figures *line_figures(const struct line_client *client) {
    return &client->figures;
}
