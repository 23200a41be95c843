/* Figures of the engine for /metrics: it counts, or publishes once a second, and any thread reads
 * them without waiting for it. Zeroed at first. */
#ifndef DERD_ENGINE_FIGURES_H
#define DERD_ENGINE_FIGURES_H

#include "base/figure.h"
#include "base/histogram.h"
#include "driver.h"

struct engine;

struct link_totals { /* of all links of one kind, those that were closed too */
    figure_t links;  /* in use now */
    figure_t up;     /* of these; Modbus only, as the rest */
    figure_t connects, transactions, timeouts, malformed;
};

struct engine_figures {
    struct histogram delay; /* of the timer of every second: how late the loop came to it */
    figure_t polls_late;    /* polls that were left out since the one before was under way */
    struct link_totals links[LINK_KIND_COUNT];
};

/* engine_figures.c, on the engine's thread */
struct link;
struct engine_second { /* its own */
    uint64_t last_ns;  /* 0: the timer did not come yet */
    uint64_t closed[LINK_KIND_COUNT][4];
};
void engine_figures_second(struct engine *engine);
/* A link is closed: what it counted stays. */
void engine_figures_keep(struct engine *engine, enum link_kind kind, const struct link *link);

#endif
