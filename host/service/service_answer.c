/* What the service listener answers. /health and /ready are the API's own handlers on an exchange
 * without a token; /metrics is made by a worker from snapshots, and shared. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/gate.h"
#include "api/handlers.h"
#include "base/log.h"
#include "service/metrics.h"
#include "service/metrics_text.h"
#include "service/service_internal.h"

#define RETRY_AFTER_S 2

/* --- the text of /metrics -------------------------------------------------------------------- */

void service_text_release(struct service_text *text) {
    if (!text || --text->references > 0)
        return;
    buf_free(&text->body);
    free(text);
}

/* On a worker: it reads snapshots and counters, and writes to service->made. */
static void make_text(uv_work_t *work) {
    struct service *service = work->data;
    const struct api_settings *settings = &service->settings;
    struct metrics_sources sources = {.directory = directory_hold(settings->directory),
                                      .now = clock_now(settings->clock),
                                      .host = true,
                                      .store = settings->store,
                                      .telemetry = settings->telemetry,
                                      .api = settings->figures,
                                      .engine = settings->engine_figures,
                                      .service = service->figures};
    metrics_write(&sources, &service->made);
    directory_release(sources.directory);
}

/* All who wait for a text, with this one; NULL: there is none. */
static void serve_waiting(struct service *service, struct service_text *text) {
    for (struct guest *guest = service->oldest, *next; guest; guest = next) {
        next = guest->after;
        if (guest->state != GUEST_WAITS)
            continue;
        if (!text) {
            service_refuse(guest, 503, "The host is short of memory.");
            continue;
        }
        exchange_render_head(guest->x, true, text->body.length, &guest->answer);
        exchange_free(guest->x);
        guest->x = NULL;
        guest_send_text(guest, text);
    }
}

static void text_made(uv_work_t *work, int status) {
    struct service *service = work->data;
    struct service_text *text = calloc(1, sizeof *text);
    service->making = false;
    service_text_release(service->text);
    service->text = NULL;
    if (status || !text || service->made.failed) {
        log_warning("service", "/metrics cannot be made: memory is short");
        buf_free(&service->made);
        free(text);
        text = NULL;
    } else {
        text->references = 1;
        text->body = service->made;
        service->text = text;
        service->text_ms = (int64_t)uv_now(service->loop);
    }
    service->made = (struct buf){0};
    if (!service->closing)
        serve_waiting(service, text);
    service->open_handles--;
    service_free_when_idle(service);
}

static bool begin_text(struct service *service) {
    if (service->making)
        return true;
    buf_init(&service->made, METRICS_MAXIMUM);
    service->work.data = service;
    if (uv_queue_work(service->loop, &service->work, make_text, text_made))
        return false;
    service->making = true;
    service->open_handles++;
    return true;
}

/* Takes the exchange over. */
static void answer_metrics(struct guest *guest, struct exchange *x) {
    struct service *service = guest->service;
    int64_t age_ms = (int64_t)uv_now(service->loop) - service->text_ms;
    x->status = 200;
    x->content_type = METRICS_CONTENT_TYPE;
    guest->head_only = x->request.method == METHOD_HEAD;
    guest->x = x;
    buf_init(&guest->answer, REPLY_HEADERS + 4096);
    guest->state = GUEST_WAITS;
    guest->until_ms = (int64_t)uv_now(service->loop) + SERVICE_WRITE_MS;
    service->readers++;
    if (service->text && age_ms < SERVICE_METRICS_MS)
        serve_waiting(service, service->text);
    else if (!begin_text(service))
        serve_waiting(service, NULL);
}

/* --- answers --------------------------------------------------------------------------------- */

static struct exchange *begin(struct guest *guest) {
    struct service *service = guest->service;
    struct exchange *x = exchange_new(&service->settings);
    if (!x) {
        guest_close(guest, SERVICE_GONE);
        return NULL;
    }
    snprintf(x->request_id, sizeof x->request_id, "%08" PRIx32 "-s%07" PRIx64, service->mark,
             service->requests++ & 0xfffffff);
    return x;
}

static void send_and_free(struct guest *guest, struct exchange *x) {
    exchange_render(x, true);
    log_debug("service", "%s %d (request %s)", x->path, x->status, x->request_id);
    guest_answer(guest, &x->out, x->status >= 400);
    exchange_free(x);
}

void service_refuse(struct guest *guest, int status, const char *detail) {
    struct exchange *x = begin(guest);
    if (!x)
        return;
    exchange_problem(x, status, "%s", detail);
    if (status == 503)
        exchange_header(x, "Retry-After", "2");
    send_and_free(guest, x);
}

enum what { HEALTH, READY, METRICS, NOTHING };

static enum what what_is(const struct request *request) {
    static const char *const steps[] = {"health", "ready", "metrics"};
    for (int i = 0; i < NOTHING; i++)
        if (request->segment_count == 1 && strcmp(request->segments[0], steps[i]) == 0)
            return (enum what)i;
    return NOTHING;
}

/* False with an answer in `x`. */
static bool may_pass(struct exchange *x, const struct service_head *head, bool local) {
    struct problem problem = {0};
    if (local && !service_host_is_local(head)) {
        exchange_problem(x, 421,
                         "Host must be \"localhost\" or an address here: this port is for "
                         "programs on this machine.");
    } else if (what_is(&x->request) == NOTHING) {
        exchange_problem(x, 404,
                         "/health, /ready and /metrics are here; the API is on its own "
                         "port.");
    } else if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) {
        exchange_problem(x, 405, "This path takes GET, HEAD.");
        exchange_header(x, "Allow", "GET, HEAD");
    } else if (!request_query_known(&x->request, "", &problem)) {
        exchange_problem(x, problem.status, "%s", problem.detail);
    } else {
        return what_is(&x->request) == HEALTH || gate_opened(x);
    }
    return false;
}

void service_answer(struct guest *guest, size_t length) {
    struct service *service = guest->service;
    struct problem problem = {0};
    struct service_head head;
    struct exchange *x = begin(guest);
    if (!x)
        return;
    if (!service_request_parse(guest->head, length, &head, &x->request, &problem)) {
        exchange_problem(x, problem.status, "%s", problem.detail);
        send_and_free(guest, x);
        return;
    }
    snprintf(x->path, sizeof x->path, "%s", head.head.path);
    if (!may_pass(x, &head, service->local)) {
        send_and_free(guest, x);
        return;
    }
    if (what_is(&x->request) == METRICS) {
        if (service->readers < SERVICE_READERS) {
            answer_metrics(guest, x);
            return;
        }
        exchange_unavailable(x, RETRY_AFTER_S, "Others are being sent the metrics now.");
        send_and_free(guest, x);
        return;
    }
    x->directory = directory_hold(service->settings.directory);
    x->now = clock_now(service->settings.clock);
    if (what_is(&x->request) == HEALTH)
        api_health(x);
    else
        api_ready(x);
    send_and_free(guest, x);
}
