/* How connections to the service listener ended, for /metrics. Zeroed at first. */
#ifndef DERD_SERVICE_FIGURES_H
#define DERD_SERVICE_FIGURES_H

#include "base/figure.h"

enum service_end {
    SERVICE_ANSWERED,
    SERVICE_TIMED_OUT,  /* its request did not come, or it did not take the answer */
    SERVICE_PUSHED_OUT, /* by newer ones, before its request was there */
    SERVICE_GONE,       /* it closed or broke before it had its answer */
    SERVICE_END_COUNT
};

struct service_figures {
    figure_t ends[SERVICE_END_COUNT];
    figure_t connections; /* now */
};

static inline const char *service_end_name(enum service_end end) {
    static const char *const names[] = {"answered", "timed_out", "pushed_out", "gone"};
    return names[end];
}

#endif
