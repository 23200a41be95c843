#include "engine_figures.h"

#include <string.h>

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
    uint64_t sums[LINK_KIND_COUNT][COUNTED];
    uint64_t links[LINK_KIND_COUNT] = {0};
    uint64_t up[LINK_KIND_COUNT] = {0};
    memcpy(sums, second->closed, sizeof sums);
    for (int i = 0; i < WIRE_BUCKETS; i++)
        for (const struct wire *wire = engine->wires[i]; wire; wire = wire->next) {
            links[wire->kind]++;
            if (wire->link) {
                up[wire->kind] += link_is_up(wire->link);
                add_link(sums[wire->kind], wire->link);
            }
        }
    for (int kind = 0; kind < LINK_KIND_COUNT; kind++) {
        struct link_totals *totals = &engine->figures.links[kind];
        figure_set(&totals->links, links[kind]);
        figure_set(&totals->up, up[kind]);
        figure_set(&totals->connects, sums[kind][CONNECTS]);
        figure_set(&totals->transactions, sums[kind][TRANSACTIONS]);
        figure_set(&totals->timeouts, sums[kind][TIMEOUTS]);
        figure_set(&totals->malformed, sums[kind][MALFORMED]);
    }
}
