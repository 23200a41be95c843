/* What the API has answered, for /metrics: by method, route and class of status, and how long each
 * route took. As many figures as there are routes, so bounded; counting is without a lock, from any
 * thread. */
#ifndef DERD_API_FIGURES_H
#define DERD_API_FIGURES_H

#include "api/route.h"
#include "base/figure.h"
#include "base/histogram.h"

#define STATUS_CLASSES 5 /* 1xx to 5xx */

struct api_figure {
    figure_t answers[STATUS_CLASSES];
    struct histogram took; /* until the answer's head was sent; a body that came in aside */
};

struct api_figures {
    atomic_int connections; /* that have a thread now */
    atomic_int threads;
    figure_t hurried; /* connections that were ended since threads ran out */
    size_t count;     /* the table's routes, and a last one for what was of no route */
    struct api_figure *routes;
};

must_check enum err api_figures_open(struct api_figures *figures);
void api_figures_close(struct api_figures *figures);
/* `route` NULL: refused before there was one. */
void api_figures_count(struct api_figures *figures, const struct route *route, int status,
                       int64_t took_us);

#endif
