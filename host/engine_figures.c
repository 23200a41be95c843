#include "engine_figures.h"

#include "engine.h"

#define SECOND_NS 1000000000

enum { CONNECTS, TRANSACTIONS, TIMEOUTS, MALFORMED, COUNTED };

static void add_link(uint64_t sums[COUNTED], const struct link *link) {
    const struct link_figures *figures = link_figures(link);
    sums[CONNECTS] += figures->connects;
    sums[TRANSACTIONS] += figures->transactions;
    sums[TIMEOUTS] += figures->timeouts;
    sums[MALFORMED] += figures->malformed;
}

void engine_figures_keep(struct engine *engine, enum link_kind kind, const struct link *link) {
    add_link(engine->figures_second.closed[kind], link);
}

void engine_figures_second(struct engine *engine) {
    struct engine_second *second = &engine->figures_second;
    uint64_t now_ns = uv_hrtime();
    if (second->last_ns)
        histogram_add(&engine->figures.delay,
                      ((int64_t)(now_ns - second->last_ns) - SECOND_NS) / 1000);
    second->last_ns = now_ns;
    for (int kind = 0; kind < LINK_KIND_COUNT; kind++) {
        struct link_totals *totals = &engine->figures.links[kind];
        uint64_t sums[COUNTED];
        uint64_t links = 0;
        uint64_t up = 0;
        for (int i = 0; i < COUNTED; i++)
            sums[i] = second->closed[kind][i];
        for (const struct wire *wire = engine->wires; wire; wire = wire->next) {
            if ((int)wire->kind != kind)
                continue;
            links++;
            if (wire->link) {
                up += link_is_up(wire->link);
                add_link(sums, wire->link);
            }
        }
        figure_set(&totals->links, links);
        figure_set(&totals->up, up);
        figure_set(&totals->connects, sums[CONNECTS]);
        figure_set(&totals->transactions, sums[TRANSACTIONS]);
        figure_set(&totals->timeouts, sums[TIMEOUTS]);
        figure_set(&totals->malformed, sums[MALFORMED]);
    }
}
