/* /metrics on the API's port: of the clusters that the token sees; of the host as a whole for those
 * who see all of it, as /ready does. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "service/metrics.h"
#include "service/metrics_text.h"

static bool sees(void *context, const struct cluster_card *cluster) {
    return exchange_sees(context, cluster);
}

static bool pour(struct exchange *x, struct stream *stream, void *context) {
    const struct buf *text = context;
    (void)x;
    for (size_t at = 0; at < text->length;) {
        size_t left = text->length - at;
        size_t piece = left < STREAM_PIECE_MAXIMUM ? left : STREAM_PIECE_MAXIMUM;
        if (!stream_write(stream, text->data + at, piece))
            return false;
        at += piece;
    }
    return true;
}

static void release(void *context) {
    buf_free(context);
    free(context);
}

void api_metrics(struct exchange *x) {
    struct buf *text = calloc(1, sizeof *text);
    bool all = exchange_sees_host(x);
    const struct metrics_sources sources = {.directory = x->directory,
                                            .now = x->now,
                                            .sees = all ? NULL : sees,
                                            .context = x,
                                            .host = all,
                                            .store = x->settings->store,
                                            .telemetry = x->settings->telemetry,
                                            .api = x->settings->figures,
                                            .engine = x->settings->engine_figures,
                                            .service = x->settings->service_figures};
    if (text) {
        buf_init(text, METRICS_MAXIMUM);
        metrics_write(&sources, text);
    }
    if (!text || text->failed) {
        if (text)
            release(text);
        exchange_unavailable(x, 5, "The host is short of memory.");
        return;
    }
    exchange_stream(x, METRICS_CONTENT_TYPE, pour, text, release);
}
