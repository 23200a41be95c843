/* Modbus RTU behind a link: a worker thread per port, which knows nothing of loops, links and Lua.
 *
 * Loop and worker share a mailbox. What the loop wants of the line stands in it as a state, not as
 * a queue of orders: is the port to be open, for which connection (`epoch`), and the one request
 * that is to be made. So the worker may be busy or late, and disconnecting never waits for it. What
 * it reports carries the epoch and is dropped when that is over. Per epoch there are at most three
 * reports that nobody has taken (up, the end of the one request, down), so the box is never full.
 *
 * An eventfd wakes the worker, also while it waits for an answer: a port that is closed is free
 * again at once. Only while an answer trickles in does it stay, at most for the request's time.
 * The worker is detached and owns one of the two references to the mailbox. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "link/link_wire.h"
#include "link/rtu_port.h"

#define REPORTS 4

enum report_kind { REPORT_UP, REPORT_DOWN, REPORT_ANSWER, REPORT_SILENT, REPORT_GARBLED };

struct report {
    enum report_kind kind;
    uint16_t id;
    unsigned foreign; /* frames that were no answer to it */
    struct modbus_answer answer;
    char reason[128];
};

struct job {
    uint16_t id;
    struct modbus_request request;
    int64_t timeout_ms;
};

struct mailbox {
    pthread_mutex_t mutex;
    int references;    /* the wire, the worker */
    int wake;          /* eventfd; written and drained with the mutex held */
    uv_async_t *async; /* NULL: the wire is gone */
    bool wanted;       /* the port is to be open */
    unsigned epoch;    /* of the connection that is wanted; each is another */
    bool has_job;
    struct job job;
    struct report reports[REPORTS];
    size_t report_count;
    struct rtu_port *port; /* the worker's */
};

struct wire {
    struct link *link;
    struct mailbox *box;
    uv_async_t *async; /* freed by its close */
    bool running;
};

/* ---- the mailbox ---- */

static void box_lock(struct mailbox *box) {
    pthread_mutex_lock(&box->mutex);
}

static void box_unlock(struct mailbox *box) {
    pthread_mutex_unlock(&box->mutex);
}

/* With the mutex held, so that the worker never finds the call before or after what it is for. */
static void box_wake(struct mailbox *box) {
    (void)!write(box->wake, &(uint64_t){1}, sizeof(uint64_t)); /* cannot fail: it counts to 2^64 */
}

static void box_release(struct mailbox *box) {
    box_lock(box);
    bool last = --box->references == 0;
    box_unlock(box);
    if (!last)
        return;
    rtu_port_free(box->port);
    close(box->wake);
    pthread_mutex_destroy(&box->mutex);
    free(box);
}

static struct mailbox *box_new(const struct rtu_settings *settings) {
    struct mailbox *box = calloc(1, sizeof *box);
    if (!box)
        return NULL;
    box->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    box->port = box->wake >= 0 ? rtu_port_new(settings, box->wake) : NULL;
    if (!box->port) {
        if (box->wake >= 0)
            close(box->wake);
        free(box);
        return NULL;
    }
    box->references = 1;
    pthread_mutex_init(&box->mutex, NULL); /* never fails on Linux */
    return box;
}

/* ---- the worker ---- */

/* With the mutex held. What belongs to an older connection is nobody's. */
static void worker_report(struct mailbox *box, unsigned epoch, const struct report *report) {
    if (!box->async || epoch != box->epoch || box->report_count >= REPORTS)
        return;
    box->reports[box->report_count++] = *report;
    uv_async_send(box->async);
}

static bool worker_ask(struct rtu_port *port, const struct job *job, struct report *report) {
    switch (rtu_port_ask(port, &job->request, job->timeout_ms, &report->answer, &report->foreign,
                         report->reason, sizeof report->reason)) {
    case RTU_ANSWER:
        report->kind = REPORT_ANSWER;
        return true;
    case RTU_SILENT:
        report->kind = REPORT_SILENT;
        return true;
    case RTU_GARBLED:
        report->kind = REPORT_GARBLED;
        return true;
    case RTU_GONE:
        report->kind = REPORT_DOWN;
        return true;
    case RTU_INTERRUPTED:
        break;
    }
    return false;
}

/* Opens the port, makes the request, or rests, without the mutex; true: there is a report. */
static bool worker_act(struct rtu_port *port, bool open, const struct job *job,
                       struct report *report) {
    *report = (struct report){.kind = REPORT_DOWN, .id = job ? job->id : 0};
    if (open) {
        if (rtu_port_open(port, report->reason, sizeof report->reason))
            report->kind = REPORT_UP;
        return true;
    }
    if (job)
        return worker_ask(port, job, report);
    return !rtu_port_rest(port, report->reason, sizeof report->reason);
}

static void *worker_run(void *argument) {
    struct mailbox *box = argument;
    unsigned tried = 0; /* the connection that was opened, or could not be */
    box_lock(box);
    while (box->async) {
        uint64_t calls;
        (void)!read(box->wake, &calls, sizeof calls);
        unsigned epoch = box->epoch;
        bool wanted = box->wanted, open = wanted && tried != epoch;
        struct job job = box->job;
        bool has_job = box->has_job && !open;
        if (has_job)
            box->has_job = false;
        box_unlock(box);
        if (!wanted)
            rtu_port_close(box->port);
        tried = epoch;
        struct report report;
        bool told = worker_act(box->port, open, has_job ? &job : NULL, &report);
        if (told && report.kind == REPORT_DOWN)
            rtu_port_close(box->port);
        box_lock(box);
        if (told)
            worker_report(box, epoch, &report);
    }
    box_unlock(box);
    rtu_port_close(box->port);
    box_release(box);
    return NULL;
}

/* Signals are for the engine's thread. */
static bool worker_start(struct mailbox *box) {
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t detached;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    box->references = 2;
    bool started = pthread_create(&thread, &detached, worker_run, box) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    if (!started)
        box->references = 1;
    return started;
}

/* ---- the wire, on the loop ---- */

static bool wire_next_report(struct wire *wire, struct report *report) {
    struct mailbox *box = wire->box;
    box_lock(box);
    bool any = box->report_count > 0;
    if (any) {
        *report = box->reports[0];
        box->report_count--;
        memmove(box->reports, box->reports + 1, box->report_count * sizeof *report);
    }
    box_unlock(box);
    return any;
}

static void wire_take(struct link *link, const struct report *report) {
    for (unsigned i = 0; i < report->foreign; i++)
        link_wire_foreign(link, 0);
    switch (report->kind) {
    case REPORT_UP:
        link_wire_up(link);
        break;
    case REPORT_DOWN:
        link_wire_down(link, false, report->reason);
        break;
    case REPORT_ANSWER:
        if (link_wire_expected(link, report->id))
            link_wire_answer(link, report->id, &report->answer);
        else
            link_wire_foreign(link, report->id); /* it was cancelled */
        break;
    case REPORT_SILENT:
    case REPORT_GARBLED:
        link_wire_silent(link, report->id, report->kind == REPORT_GARBLED);
        break;
    }
}

static void on_reports(uv_async_t *async) {
    struct report report;
    /* Each may lead to a disconnect, which empties the box, or free the wire. */
    while (async->data && wire_next_report(async->data, &report))
        wire_take(((struct wire *)async->data)->link, &report);
}

static void on_async_closed(uv_handle_t *handle) {
    free(handle);
}

static bool rtu_url_valid(const char *url, char *why, size_t why_size) {
    struct rtu_settings settings;
    return rtu_settings_parse(url, &settings, why, why_size);
}

static struct wire *rtu_create(uv_loop_t *loop, const char *url, struct link *link) {
    struct rtu_settings settings;
    char why[8];
    struct wire *wire = calloc(1, sizeof *wire);
    uv_async_t *async = calloc(1, sizeof *async);
    struct mailbox *box =
        rtu_settings_parse(url, &settings, why, sizeof why) ? box_new(&settings) : NULL;
    if (!wire || !async || !box || uv_async_init(loop, async, on_reports) < 0) {
        if (box)
            box_release(box);
        free(async);
        free(wire);
        return NULL;
    }
    *wire = (struct wire){.link = link, .box = box, .async = async};
    async->data = wire;
    box->async = async;
    return wire;
}

/* Another connection: what was asked or reported for the last one is over. */
static void wire_want(struct wire *wire, bool wanted) {
    struct mailbox *box = wire->box;
    box_lock(box);
    box->epoch++;
    box->wanted = wanted;
    box->has_job = false;
    box->report_count = 0;
    box_wake(box);
    box_unlock(box);
}

static void rtu_connect(struct wire *wire) {
    wire_want(wire, true);
    if (!wire->running && !(wire->running = worker_start(wire->box)))
        link_wire_down(wire->link, false, "the system gives no thread for the port");
}

static void rtu_disconnect(struct wire *wire) {
    wire_want(wire, false);
}

static void rtu_send(struct wire *wire, uint16_t id, const struct modbus_request *request,
                     int64_t timeout_ms) {
    struct mailbox *box = wire->box;
    box_lock(box);
    box->job = (struct job){.id = id, .request = *request, .timeout_ms = timeout_ms};
    box->has_job = true;
    box_wake(box);
    box_unlock(box);
}

static void rtu_free(struct wire *wire) {
    struct mailbox *box = wire->box;
    box_lock(box);
    box->async = NULL; /* the worker leaves, and reports no more */
    box_wake(box);
    box_unlock(box);
    wire->async->data = NULL;
    uv_close((uv_handle_t *)wire->async, on_async_closed);
    box_release(box);
    free(wire);
}

const struct wire_kind wire_rtu = {
    .scheme = RTU_SCHEME,
    .bus = true,
    .url_valid = rtu_url_valid,
    .create = rtu_create,
    .connect = rtu_connect,
    .disconnect = rtu_disconnect,
    .send = rtu_send,
    .free = rtu_free,
};
