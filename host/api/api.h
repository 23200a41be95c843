/* The REST API and the page, over civetweb. Its threads authenticate, parse, read published
 * snapshots without waiting for the engine, and ask the engine for changes. */
#ifndef DERD_API_API_H
#define DERD_API_API_H

#include <stdbool.h>

#include "api/remote.h"
#include "ask/ask.h"
#include "base/clock.h"
#include "base/err.h"
#include "directory.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

struct api;
struct api_figures;
struct engine_figures;
struct service_figures;

struct api_settings {
    const char *listen;     /* "127.0.0.1:8080"; port 0: any free one */
    const char *web_root;   /* folder of the page */
    struct proxies proxies; /* whose word about the client's address is taken */
    int threads;            /* default 64 */
    struct engine *engine;
    struct directory_slot *directory;
    struct store *store;
    struct telemetry *telemetry; /* NULL: no history is kept */
    const struct clock *clock;
    struct events *events; /* NULL: there are no event streams */
    /* What /metrics shows, and where answers are counted; NULL: nothing. */
    struct api_figures *figures;
    const struct engine_figures *engine_figures;
    const struct service_figures *service_figures;
    struct webhooks *webhooks; /* NULL: there are none */
    int streams;               /* most at a time; 0: a quarter of the threads, at least 4, but never
                                  more than half of them, so that the rest of the API stays there */
    double rate, burst; /* of one token: requests a second, and at once; 0: as rates.h says */
    int guesses;        /* wrong answers without a wait; 0: as guesses.h says */
};

/* ERR_FORMAT, ERR_RANGE with a text in `why`: a setting is wrong. Strings of the settings are
 * copied; what the pointers name must outlive the API. Nobody can connect yet. */
must_check enum err api_new(struct api **api, const struct api_settings *settings, char *why,
                            size_t why_size);
/* Whether only this machine can reach the address that it is to listen on. */
bool api_is_local(const struct api *api);
/* Once. ERR_IO with a text in `why` when it cannot listen; it may be tried again. */
must_check enum err api_listen(struct api *api, char *why, size_t why_size);
/* Both. */
must_check enum err api_start(struct api **api, const struct api_settings *settings, char *why,
                              size_t why_size);
int api_port(const struct api *api); /* 0: it does not listen */
/* Ends after the requests that run; one that waits for the engine does so at most 5 s, and idle
 * connections cost up to 2 s. So: from a thread that is not the engine's, before the engine, the
 * directory and the store go. NULL is fine. */
void api_stop(struct api *api);

#endif
