/* A link is a small state machine around one timer. Events (submitted, answered, connected, lost)
 * change its fields and set the timer to the next moment at which something is due; link_turn()
 * then does all that is due. Callers' code runs only from there and from an answer, so no function
 * of link.h ever calls back into its caller.
 *
 *   IDLE --listener--> CONNECTING --> UP
 *                        ^   |        |
 *            back-off    |   v        v
 *                       WAITING <-----'
 *
 * What is on the wire stands in slots of the link, not in the transaction: a cancelled transaction
 * leaves its slot behind until its answer or time-out, so that a device which takes one request at
 * a time never gets two. */
#include "link/link.h"
#include "io/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/text.h"
#include "base/wheel.h"
#include "link/link_wire.h"

#define CONNECT_TIMEOUT_MS 3000
#define BACKOFF_MIN_MS     500
#define BACKOFF_MAX_MS     10000
#define TIMEOUT_MS         1000 /* of a transaction that says none */
#define NEVER              UINT64_MAX

enum link_state { LINK_IDLE, LINK_WAITING, LINK_CONNECTING, LINK_UP };

struct queue {
    struct transaction *first, *last;
};

struct slot { /* one request on the wire */
    bool used;
    bool overdue; /* its time is up; see link_expire() */
    uint16_t id;
    uint64_t deadline_ms;            /* of the loop's clock, as all such times here */
    struct transaction *transaction; /* NULL: cancelled */
};

/* What each request looks at stands in front. */
struct link {
    uv_loop_t *loop;
    const struct wire_kind *kind;
    struct wire *wire;
    enum link_state state;
    bool closing;
    bool dispatching;   /* callers' code runs: nothing is sent and no timer set until it is done */
    bool announce_down; /* listeners are still to be told */
    bool untold;        /* some listener does not know yet that the link is up */
    bool silent;        /* a failure was logged; until the next answer nothing more is */
    struct slot *slots;
    int slot_count; /* as many as may be in flight */
    int in_flight;  /* used slots */
    int unanswered; /* time-outs in a row */
    uint16_t last_id;
    struct link_listener *listeners;
    uint64_t send_ms;
    int64_t backoff_ms;     /* of the next failure */
    size_t waiting;         /* in both queues */
    struct queue queues[2]; /* by enum link_class */
    struct queue failed;    /* to be told ERR_CLOSED at the next turn */
    struct wheel *wheel;
    struct wheel_timer timer;
    struct link_settings settings;
    struct link_figures figures;
    char *url;
    struct link_listener *cursor; /* the next one to be told, while telling */
    uint64_t random;
    uint64_t connect_deadline_ms, retry_ms;
};

static const struct wire_kind *const wire_kinds[] = {&wire_tcp, &wire_rtu};

static void queue_append(struct queue *queue, struct transaction *transaction) {
    transaction->next = NULL;
    if (queue->last)
        queue->last->next = transaction;
    else
        queue->first = transaction;
    queue->last = transaction;
}

static struct transaction *queue_pop(struct queue *queue) {
    struct transaction *transaction = queue->first;
    if (!transaction)
        return NULL;
    queue->first = transaction->next;
    if (!queue->first)
        queue->last = NULL;
    return transaction;
}

static bool queue_remove(struct queue *queue, const struct transaction *transaction) {
    struct transaction *before = NULL;
    for (struct transaction *at = queue->first; at; before = at, at = at->next) {
        if (at != transaction)
            continue;
        if (before)
            before->next = at->next;
        else
            queue->first = at->next;
        if (queue->last == at)
            queue->last = before;
        return true;
    }
    return false;
}

static uint64_t random_next(struct link *link) { /* xorshift64: for ids and jitter only */
    link->random ^= link->random << 13;
    link->random ^= link->random >> 7;
    link->random ^= link->random << 17;
    return link->random;
}

static void transaction_finish(struct transaction *transaction, enum err result,
                               const struct modbus_answer *answer) {
    transaction->submitted = false;
    transaction->done(transaction, result, answer);
}

static struct slot *slot_find(struct link *link, uint16_t id) {
    for (int i = 0; i < link->slot_count; i++)
        if (link->slots[i].used && link->slots[i].id == id)
            return &link->slots[i];
    return NULL;
}

/* Empties the slot; the transaction that was in it, or NULL. */
static struct transaction *slot_release(struct link *link, struct slot *slot) {
    struct transaction *transaction = slot->transaction;
    *slot = (struct slot){0};
    link->in_flight--;
    return transaction;
}

/* ---- the timer ---- */

static uint64_t link_due(const struct link *link) {
    if (link->failed.first || link->announce_down || link->closing)
        return 0;
    switch (link->state) {
    case LINK_IDLE:
        return link->listeners ? 0 : NEVER;
    case LINK_WAITING:
        return link->retry_ms;
    case LINK_CONNECTING:
        return link->listeners ? link->connect_deadline_ms : 0;
    case LINK_UP:
        break;
    }
    if (!link->listeners || link->untold)
        return 0;
    uint64_t due = NEVER;
    for (int i = 0; i < link->slot_count; i++)
        if (link->slots[i].used && link->slots[i].deadline_ms < due)
            due = link->slots[i].deadline_ms;
    if (link->waiting && link->in_flight < link->settings.in_flight && link->send_ms < due)
        due = link->send_ms;
    return due;
}

static void link_turn(struct wheel_timer *timer);

static void link_arm(struct link *link) {
    if (link->dispatching)
        return;
    uint64_t due = link_due(link);
    if (due == NEVER)
        wheel_stop(link->wheel, &link->timer);
    else
        wheel_start(link->wheel, &link->timer, due, link_turn);
}

/* ---- going down ---- */

/* Ends the connection and moves every transaction to `failed`, those on the wire first. */
static void link_cut(struct link *link) {
    link->kind->disconnect(link->wire);
    link->figures.up = false;
    for (int i = 0; i < link->slot_count; i++) {
        if (!link->slots[i].used)
            continue;
        struct transaction *transaction = slot_release(link, &link->slots[i]);
        if (transaction)
            queue_append(&link->failed, transaction);
    }
    for (int class = 0; class < 2; class ++)
        for (struct transaction *at; (at = queue_pop(&link->queues[class]));)
            queue_append(&link->failed, at);
    link->waiting = 0;
}

/* The connection is lost or could not be made: wait, then try again. */
static void link_lose(struct link *link, const char *reason) {
    text_set(&link->figures.last_error, reason);
    if (!link->silent)
        log_warning(link->url, "%s; trying again", reason);
    link->silent = true;
    link_cut(link);
    double jitter = 0.75 + 0.5 * ((double)(random_next(link) >> 11) / 0x1p53);
    link->retry_ms = uv_now(link->loop) + (uint64_t)((double)link->backoff_ms * jitter);
    link->backoff_ms *= 2;
    if (link->backoff_ms > link->settings.backoff_max_ms)
        link->backoff_ms = link->settings.backoff_max_ms;
    link->state = LINK_WAITING;
    link->announce_down = true;
}

/* ---- sending ---- */

static uint16_t link_next_id(struct link *link) {
    do
        link->last_id++;
    while (link->last_id == 0 || slot_find(link, link->last_id));
    return link->last_id;
}

static void link_send(struct link *link, struct transaction *transaction) {
    struct slot *slot = link->slots;
    while (slot->used)
        slot++;
    int64_t timeout_ms = transaction->timeout_ms > 0 ? transaction->timeout_ms : TIMEOUT_MS;
    uv_update_time(link->loop); /* callers' code may have run long; the time-out starts now */
    uint64_t deadline_ms = link->kind->bus ? NEVER : uv_now(link->loop) + (uint64_t)timeout_ms;
    *slot = (struct slot){.used = true,
                          .id = link_next_id(link),
                          .deadline_ms = deadline_ms,
                          .transaction = transaction};
    link->in_flight++;
    link->figures.transactions++;
    link->kind->send(link->wire, slot->id, &transaction->request, timeout_ms);
}

/* Sends what may be sent now. */
static void link_pump(struct link *link) {
    if (link->dispatching)
        return;
    while (link->state == LINK_UP && link->in_flight < link->settings.in_flight &&
           link->send_ms <= uv_now(link->loop)) {
        struct transaction *transaction = queue_pop(&link->queues[LINK_COMMAND]);
        if (!transaction)
            transaction = queue_pop(&link->queues[LINK_READ]);
        if (!transaction)
            return;
        link->waiting--;
        link_send(link, transaction);
    }
}

/* A whole frame came: the device is not deaf, and the pause before the next request begins. */
static void link_heard(struct link *link) {
    link->unanswered = 0;
    link->send_ms = uv_now(link->loop) + (uint64_t)link->settings.pause_ms;
}

/* ---- the turn: callers' code runs in here ---- */

static void link_tell_failed(struct link *link) {
    for (struct transaction *at; (at = queue_pop(&link->failed));)
        transaction_finish(at, ERR_CLOSED, NULL);
}

static void link_tell_down(struct link *link) {
    link->announce_down = false;
    for (struct link_listener *at = link->listeners; at; at = link->cursor) {
        link->cursor = at->next;
        at->told = false;
        at->down(at, text_of(link->figures.last_error));
    }
}

static void link_tell_up(struct link *link) {
    link->untold = false;
    for (struct link_listener *at = link->listeners; at; at = link->cursor) {
        link->cursor = at->next;
        if (at->told)
            continue;
        at->told = true;
        at->up(at);
    }
}

/* A loop that was held up runs its timers before it looks at its sockets, where the answer may be
 * waiting. So a request whose time is up gets one more look at the socket before it fails. */
static void link_expire(struct link *link) {
    uint64_t now = uv_now(link->loop);
    for (int i = 0; i < link->slot_count && link->state == LINK_UP; i++) {
        struct slot *slot = &link->slots[i];
        if (!slot->used || slot->deadline_ms > now)
            continue;
        if (!slot->overdue) {
            slot->overdue = true;
            slot->deadline_ms = now + 1;
            continue;
        }
        link->unanswered++;
        link->figures.timeouts++;
        struct transaction *transaction = slot_release(link, slot);
        if (transaction)
            transaction_finish(transaction, ERR_TIMEOUT, NULL);
    }
    if (link->state == LINK_UP && link->unanswered >= LINK_DEAF_AFTER)
        link_lose(link, "no answer to several requests in a row");
}

static void link_connect(struct link *link) {
    link->state = LINK_CONNECTING;
    link->connect_deadline_ms = uv_now(link->loop) + (uint64_t)link->settings.connect_timeout_ms;
    link->kind->connect(link->wire);
}

/* Connects for the first listener, lets go after the last, and watches the times between. */
static void link_steer(struct link *link) {
    uint64_t now = uv_now(link->loop);
    switch (link->state) {
    case LINK_WAITING:
        if (now < link->retry_ms)
            return;
        link->state = LINK_IDLE;
        break;
    case LINK_CONNECTING:
    case LINK_UP:
        if (!link->listeners) {
            link_cut(link);
            link->state = LINK_IDLE;
        } else if (link->state == LINK_CONNECTING && now >= link->connect_deadline_ms) {
            link_lose(link, "no connection in time: is the device on, and the address right?");
        }
        return;
    case LINK_IDLE:
        break;
    }
    if (link->listeners)
        link_connect(link);
}

static void link_free(struct link *link) {
    if (link->wheel)
        wheel_release(link->wheel);
    free(link->url);
    free(link->figures.last_error);
    free(link->slots);
    free(link);
}

static void link_turn(struct wheel_timer *timer) {
    struct link *link = timer->owner;
    link->dispatching = true;
    link_tell_failed(link);
    if (link->announce_down)
        link_tell_down(link);
    link_expire(link);
    if (link->state == LINK_UP && link->untold)
        link_tell_up(link);
    if (link->closing) {
        link_tell_failed(link); /* of a close from inside one of these calls */
        link_free(link);
        return;
    }
    link_steer(link);
    link->dispatching = false;
    link_pump(link);
    link_arm(link);
}

/* ---- what the wire reports ---- */

void link_wire_up(struct link *link) {
    link->state = LINK_UP;
    link->figures.up = true;
    link->figures.connects++;
    link->unanswered = 0;
    link->untold = true;
    link->send_ms = 0;
    if (!link->silent)
        log_info(link->url, "connected");
    link_arm(link);
}

void link_wire_down(struct link *link, bool malformed, const char *reason) {
    if (malformed)
        link->figures.malformed++;
    link_lose(link, reason);
    link_arm(link);
}

const struct modbus_request *link_wire_expected(struct link *link, uint16_t id) {
    const struct slot *slot = slot_find(link, id);
    return slot && slot->transaction ? &slot->transaction->request : NULL;
}

void link_wire_answer(struct link *link, uint16_t id, const struct modbus_answer *answer) {
    struct transaction *transaction = slot_release(link, slot_find(link, id));
    link_heard(link);
    link->backoff_ms = link->settings.backoff_min_ms;
    if (link->silent)
        log_info(link->url, "answers again");
    link->silent = false;
    link->dispatching = true;
    transaction_finish(transaction, ERR_OK, answer);
    link->dispatching = false;
    link_pump(link);
    link_arm(link);
}

void link_wire_silent(struct link *link, uint16_t id, bool malformed) {
    struct transaction *transaction = slot_release(link, slot_find(link, id));
    link->figures.timeouts++;
    link->figures.malformed += malformed;
    link_heard(link); /* the pause is kept here too: the unit may be about to speak */
    link->dispatching = true;
    if (transaction)
        transaction_finish(transaction, ERR_TIMEOUT, NULL);
    link->dispatching = false;
    link_pump(link);
    link_arm(link);
}

void link_wire_foreign(struct link *link, uint16_t id) {
    struct slot *slot = slot_find(link, id);
    if (slot)
        slot_release(link, slot); /* the answer to a cancelled transaction */
    else
        link->figures.foreign++;
    link_heard(link);
    link_pump(link);
    link_arm(link);
}

/* ---- what callers ask ---- */

static const struct wire_kind *kind_of(const char *url) {
    for (size_t i = 0; i < sizeof wire_kinds / sizeof wire_kinds[0]; i++)
        if (strncmp(url, wire_kinds[i]->scheme, strlen(wire_kinds[i]->scheme)) == 0)
            return wire_kinds[i];
    return NULL;
}

bool link_url_valid(const char *url, char *why, size_t why_size) {
    const struct wire_kind *kind = kind_of(url);
    char shown[URL_SHOWN_SIZE];
    if (kind)
        return kind->url_valid(url, why, why_size);
    snprintf(why, why_size,
             "expected a link like tcp://192.168.1.20:502 or rtu:///dev/ttyUSB0, got \"%s\": the "
             "part before :// must be tcp or rtu",
             url_shown(url, shown));
    return false;
}

bool link_url_serial(const char *url) {
    const struct wire_kind *kind = kind_of(url);
    return kind && kind->bus;
}

bool link_url_clash(const char *a, const char *b) {
    size_t length = 0; /* sites compare each with each: what differs soon is told soon */
    while (a[length] && a[length] != '?' && a[length] == b[length])
        length++;
    bool same = (!a[length] || a[length] == '?') && (!b[length] || b[length] == '?');
    return same && strcmp(a, b) != 0 && link_url_serial(a);
}

static int64_t longer(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void link_settle(struct link *link, const struct link_settings *settings) {
    struct link_settings *own = &link->settings;
    own->connect_timeout_ms = longer(own->connect_timeout_ms, settings->connect_timeout_ms);
    own->pause_ms = longer(own->pause_ms, settings->pause_ms);
    own->backoff_min_ms = longer(own->backoff_min_ms, settings->backoff_min_ms);
    own->backoff_max_ms = longer(own->backoff_max_ms, settings->backoff_max_ms);
    own->backoff_max_ms = longer(own->backoff_max_ms, own->backoff_min_ms);
    link->backoff_ms = longer(link->backoff_ms, own->backoff_min_ms);
    if (settings->in_flight > 0 && settings->in_flight < own->in_flight)
        own->in_flight = settings->in_flight;
}

/* The settings of the first user, or the default where he says nothing. */
static struct link_settings settings_of(const struct link_settings *given) {
    struct link_settings own = given ? *given : (struct link_settings){0};
    if (own.connect_timeout_ms <= 0)
        own.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (own.pause_ms < 0)
        own.pause_ms = 0;
    if (own.in_flight <= 0)
        own.in_flight = 1;
    if (own.in_flight > LINK_MAX_IN_FLIGHT)
        own.in_flight = LINK_MAX_IN_FLIGHT;
    if (own.backoff_min_ms <= 0)
        own.backoff_min_ms = BACKOFF_MIN_MS;
    if (own.backoff_max_ms <= 0)
        own.backoff_max_ms = BACKOFF_MAX_MS;
    own.backoff_max_ms = longer(own.backoff_max_ms, own.backoff_min_ms);
    return own;
}

struct link *link_open(uv_loop_t *loop, const char *url, const struct link_settings *settings,
                       char *why, size_t why_size) {
    if (!link_url_valid(url, why, why_size))
        return NULL;
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        goto out;
    link->loop = loop;
    link->kind = kind_of(url);
    link->url = strdup(url);
    link->settings = settings_of(settings);
    if (link->kind->bus)
        link->settings.in_flight = 1;
    link->backoff_ms = link->settings.backoff_min_ms;
    if (getrandom(&link->random, sizeof link->random, GRND_NONBLOCK) != sizeof link->random)
        link->random = uv_hrtime();
    link->random |= 1; /* xorshift never leaves 0 */
    link->last_id = (uint16_t)(random_next(link) >> 32);
    link->slot_count = link->settings.in_flight; /* which is never raised */
    link->slots = calloc((size_t)link->slot_count, sizeof *link->slots);
    link->wheel = wheel_hold(loop);
    link->timer.owner = link;
    if (!link->url || !link->slots || !link->wheel)
        goto out;
    link->wire = link->kind->create(loop, url, link);
    if (!link->wire)
        goto out;
    return link;
out:
    snprintf(why, why_size, "out of memory");
    if (link)
        link_free(link);
    return NULL;
}

void link_close(struct link *link) {
    if (link->closing)
        return;
    link_cut(link);
    link->kind->free(link->wire);
    link->wire = NULL;
    link->state = LINK_IDLE;
    link->listeners = NULL;
    link->cursor = NULL;
    link->closing = true;
    link_arm(link);
}

void link_listen(struct link *link, struct link_listener *listener) {
    struct link_listener **end = &link->listeners;
    while (*end)
        end = &(*end)->next;
    *end = listener;
    listener->next = NULL;
    listener->told = false;
    link->untold = true;
    link_arm(link);
}

void link_unlisten(struct link *link, struct link_listener *listener) {
    if (link->cursor == listener)
        link->cursor = listener->next;
    for (struct link_listener **at = &link->listeners; *at; at = &(*at)->next)
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    link_arm(link);
}

bool link_is_up(const struct link *link) {
    return link->state == LINK_UP;
}

const char *link_url(const struct link *link) {
    return link->url;
}

enum err link_submit(struct link *link, struct transaction *transaction, enum link_class class) {
    if (transaction->submitted)
        return ERR_CONFLICT;
    if (link->state != LINK_UP)
        return ERR_CLOSED;
    if (!modbus_request_valid(&transaction->request) ||
        (transaction->request.raw && link->kind->bus))
        return ERR_RANGE;
    if (link->waiting >= LINK_QUEUE_MAXIMUM)
        return ERR_FULL;
    transaction->submitted = true;
    transaction->link = link;
    queue_append(&link->queues[class], transaction);
    link->waiting++;
    link_pump(link);
    link_arm(link);
    return ERR_OK;
}

void link_cancel(struct transaction *transaction) {
    if (!transaction->submitted)
        return;
    transaction->submitted = false;
    struct link *link = transaction->link;
    for (int i = 0; i < link->slot_count; i++)
        if (link->slots[i].transaction == transaction) {
            link->slots[i].transaction = NULL;
            return;
        }
    if (queue_remove(&link->queues[LINK_COMMAND], transaction) ||
        queue_remove(&link->queues[LINK_READ], transaction))
        link->waiting--;
    else
        queue_remove(&link->failed, transaction);
}

const struct link_figures *link_figures(const struct link *link) {
    return &link->figures;
}
