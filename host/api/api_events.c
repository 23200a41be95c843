/* GET /v1/events: what changes, as server-sent events (the HTML standard, 9.2). A stream holds its
 * thread, so there are only so many; it sleeps until something happened, looks each second whether
 * its client and its token are still there, and sends a comment when it was silent for long.
 *
 * A client that does not take what it is sent is given up by the wire's time-out; one that falls
 * behind what is kept is closed. Both may come back with the last id that they saw. */
#include <stdlib.h>
#include <string.h>

#include "api/gate.h"
#include "api/handlers.h"
#include "api/present_event.h"
#include "base/log.h"
#include "events/event_filter.h"

#define HEARTBEAT_S         15
#define HEARTBEAT_MAXIMUM_S 60
#define LOOK_MS             1000 /* for a client or token that has gone */
#define GATHER_MS           50   /* what happens within is sent together */
#define RETRY_MS            3000 /* how long a client waits before it comes back */
#define RETRY_FULL_S        10
#define PIECE_MAXIMUM       ((size_t)64 << 10)

struct watch { /* one stream */
    struct event_reader reader;
    struct event_filter filter;
    int64_t heartbeat_ms;
    struct mono spoke_at;
};

static void watch_free(void *context) {
    struct watch *watch = context;
    events_reader_close(&watch->reader);
    free(watch);
}

/* --- what is wanted -------------------------------------------------------------------------- */

/* The next part of a list parted by commas; false at its end. */
static bool next_part(const char **list, const char **part, size_t *length) {
    *list += strspn(*list, ",");
    *part = *list;
    *length = strcspn(*list, ",");
    *list += *length;
    return *length > 0;
}

static bool read_types(struct exchange *x, struct event_filter *filter) {
    const char *list = request_query(&x->request, "types");
    const char *part;
    size_t length;
    filter->types = list ? 0 : EVENT_TYPES_ALL;
    while (list && next_part(&list, &part, &length)) {
        enum event_type type;
        if (!event_type_parse(part, length, &type)) {
            exchange_problem(x, 400,
                             "types=%.*s is none of flexibility, constraint, decision, command, "
                             "device, script, site, alarm; several are parted by commas.",
                             (int)(length < 40 ? length : 40), part);
            return false;
        }
        filter->types |= 1U << type;
    }
    return true;
}

static bool too_many(struct exchange *x, const char *what) {
    exchange_problem(x, 400, "%s takes at most %d.", what, EVENT_FILTER_IDS);
    return false;
}

static bool read_clusters(struct exchange *x, struct event_filter *filter) {
    const char *list = request_query(&x->request, "clusterId");
    const char *part;
    size_t length;
    while (list && next_part(&list, &part, &length)) {
        char which[KEY_SIZE + 1] = "";
        memcpy(which, part, length < sizeof which ? length : sizeof which - 1);
        const struct cluster_card *cluster = directory_cluster(x->directory, which);
        if (!cluster || !exchange_sees(x, cluster)) {
            exchange_problem(x, 404, "There is no cluster \"%s\".", which);
            return false;
        }
        if (filter->cluster_count == EVENT_FILTER_IDS)
            return too_many(x, "clusterId");
        memcpy(filter->clusters[filter->cluster_count++], cluster->id, ID_SIZE);
    }
    return true;
}

/* An id, or a key: then of each cluster that has such a device. */
static bool read_device(struct exchange *x, struct event_filter *filter, const char *which) {
    bool found = false;
    for (size_t i = 0; i < x->directory->cluster_count; i++) {
        const struct cluster_card *cluster = &x->directory->clusters[i];
        const struct device_card *device =
            exchange_sees(x, cluster) ? directory_device(x->directory, cluster, which) : NULL;
        if (!device)
            continue;
        if (filter->device_count == EVENT_FILTER_IDS)
            return too_many(x, "deviceId");
        memcpy(filter->devices[filter->device_count++], device->id, ID_SIZE);
        found = true;
    }
    if (!found)
        exchange_problem(x, 404, "There is no device \"%s\".", which);
    return found;
}

static bool read_devices(struct exchange *x, struct event_filter *filter) {
    const char *list = request_query(&x->request, "deviceId");
    const char *part;
    size_t length;
    while (list && next_part(&list, &part, &length)) {
        char which[KEY_SIZE + 1] = "";
        memcpy(which, part, length < sizeof which ? length : sizeof which - 1);
        if (!read_device(x, filter, which))
            return false;
    }
    return true;
}

static bool read_heartbeat(struct exchange *x, struct watch *watch) {
    const char *text = request_query(&x->request, "heartbeat");
    char *end = NULL;
    long seconds = text ? strtol(text, &end, 10) : HEARTBEAT_S;
    if (text &&
        (text[0] < '0' || text[0] > '9' || *end || seconds < 1 || seconds > HEARTBEAT_MAXIMUM_S)) {
        exchange_problem(x, 400, "heartbeat must be 1 to %d seconds, got \"%.40s\".",
                         HEARTBEAT_MAXIMUM_S, text);
        return false;
    }
    watch->heartbeat_ms = seconds * 1000;
    return true;
}

/* The last id that the client saw; *given false: it comes for the first time. */
static bool read_last_id(struct exchange *x, struct event_id *id, bool *given) {
    const char *text = x->request.last_event_id;
    if (!text || !text[0])
        text = request_query(&x->request, "lastEventId");
    *given = text && text[0];
    if (!*given || event_id_parse(text, id))
        return true;
    exchange_problem(x, 400, "Last-Event-ID must be an id as an event had it, got \"%.60s\".",
                     text);
    return false;
}

/* --- sending --------------------------------------------------------------------------------- */

static bool visible(const struct exchange *x, const struct event *event) {
    if (!event->cluster_id[0])
        return !event_of_host(event) || exchange_sees_host(x);
    const struct cluster_card *cluster = directory_cluster(x->directory, event->cluster_id);
    if (cluster)
        return exchange_sees(x, cluster);
    struct cluster_card gone = {0}; /* it has left the site: whose it was */
    memcpy(gone.id, event->cluster_id, sizeof gone.id);
    memcpy(gone.account, event->account, sizeof gone.account);
    return exchange_sees(x, &gone);
}

static void put_frame(struct buf *out, struct event_id id, const char *type) {
    char text[EVENT_ID_SIZE];
    event_id_format(id, text);
    buf_format(out, "id: %s\nevent: %s\ndata: ", text, type);
}

static bool flush(struct watch *watch, struct stream *stream, struct buf *out) {
    if (out->length == 0)
        return !out->failed;
    watch->spoke_at = clock_mono();
    bool ok = !out->failed && stream_write(stream, out->data, out->length);
    buf_clear(out);
    return ok;
}

static bool send_batch(struct exchange *x, struct watch *watch, struct stream *stream,
                       struct event *const *batch, size_t count) {
    struct buf out;
    bool ok = true;
    buf_init(&out, STREAM_PIECE_MAXIMUM);
    x->directory = directory_hold(x->settings->directory);
    for (size_t i = 0; i < count && ok; i++) {
        if (!event_filter_passes(&watch->filter, batch[i]) || !visible(x, batch[i]))
            continue;
        struct json json;
        put_frame(&out, batch[i]->id, event_type_name(batch[i]->type));
        json_start(&json, &out);
        present_event(&json, batch[i]);
        buf_text(&out, "\n\n");
        if (out.length > PIECE_MAXIMUM)
            ok = flush(watch, stream, &out);
    }
    directory_release(x->directory);
    x->directory = NULL;
    ok = ok && flush(watch, stream, &out);
    buf_free(&out);
    return ok;
}

static bool send_reset(struct exchange *x, struct watch *watch, struct stream *stream,
                       const char *why) {
    struct buf out;
    struct json json;
    buf_init(&out, PIECE_MAXIMUM);
    put_frame(&out, watch->reader.place, event_type_name(EVENT_RESET));
    json_start(&json, &out);
    present_reset(&json, watch->reader.place, why, clock_now(x->settings->clock).wall);
    buf_text(&out, "\n\n");
    bool ok = flush(watch, stream, &out);
    buf_free(&out);
    return ok;
}

/* An id alone moves the client's place on without an event, so that one who filters much, and hears
 * little, does not fall behind. */
static bool send_place(struct watch *watch, struct stream *stream, const char *before) {
    char id[EVENT_ID_SIZE];
    char text[EVENT_ID_SIZE + 64];
    event_id_format(watch->reader.place, id);
    int length = snprintf(text, sizeof text, "%sid: %s\n\n", before, id);
    watch->spoke_at = clock_mono();
    return stream_write(stream, text, (size_t)length);
}

static void gather(void) {
    const struct timespec span = {.tv_nsec = GATHER_MS * 1000000L};
    nanosleep(&span, NULL);
}

static bool watch_pour(struct exchange *x, struct stream *stream, void *context) {
    struct watch *watch = context;
    struct event *batch[EVENTS_BATCH];
    const char *lost = NULL;
    char start[32];
    size_t count;
    directory_release(x->directory); /* a stream lasts long */
    x->directory = NULL;
    if (watch->reader.lost && events_next(&watch->reader, 0, batch, &count, &lost) != EVENTS_LOST) {
        return false;
    }
    snprintf(start, sizeof start, "retry: %d\n", RETRY_MS);
    bool ok = send_place(watch, stream, start) && (!lost || send_reset(x, watch, stream, lost));
    while (ok && stream_alive(stream)) {
        enum events_result result = events_next(&watch->reader, LOOK_MS, batch, &count, &lost);
        bool known = gate_authenticate(x) == GATE_KNOWN;
        if (result == EVENTS_SOME) {
            ok = known && send_batch(x, watch, stream, batch, count);
            for (size_t i = 0; i < count; i++)
                event_release(batch[i]);
            if (count < EVENTS_BATCH)
                gather();
        }
        if (!known || result == EVENTS_ENDED)
            return true; /* the token was revoked or has expired, or the host stops */
        ok = ok && result != EVENTS_LOST; /* too slow: more happened than is kept */
        if (ok && clock_mono().ms - watch->spoke_at.ms >= watch->heartbeat_ms)
            ok = send_place(watch, stream, ": still here\n");
    }
    log_debug("api", "the client of a stream %s (request %s)", ok ? "has left" : "does not read",
              x->request_id);
    return false;
}

/* --- the resource ---------------------------------------------------------------------------- */

static bool open_watch(struct exchange *x, struct watch *watch, const struct event_id *after) {
    unsigned maximum = (unsigned)x->settings->streams;
    switch (events_reader_open(x->settings->events, &watch->reader, after, maximum)) {
    case ERR_OK:
        return true;
    case ERR_FULL:
        exchange_unavailable(x, RETRY_FULL_S,
                             "As many event streams as there may be are open; http.streams in the "
                             "site file says how many.");
        return false;
    default:
        exchange_unavailable(x, 2, "The host is stopping.");
        return false;
    }
}

void api_events_get(struct exchange *x) {
    struct watch *watch = calloc(1, sizeof *watch);
    struct event_id after;
    bool given = false;
    if (!watch || !x->directory || !x->settings->events) {
        exchange_unavailable(x, 2, "The host is starting, or short of memory.");
    } else if (read_types(x, &watch->filter) && read_clusters(x, &watch->filter) &&
               read_devices(x, &watch->filter) && read_heartbeat(x, watch) &&
               read_last_id(x, &after, &given) && open_watch(x, watch, given ? &after : NULL)) {
        exchange_header(x, "X-Accel-Buffering", "no"); /* a proxy in front must not collect */
        exchange_stream(x, "text/event-stream; charset=utf-8", watch_pour, watch, watch_free);
        return;
    }
    free(watch);
}
