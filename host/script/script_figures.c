#include "script/script_figures.h"

#include <stdlib.h>

/* Here since readers of figures need it, and nothing else of a script. */
struct script_limits script_limits_default(void) {
    return (struct script_limits){.memory_bytes = (size_t)16 << 20,
                                  .load_cpu_us = 100000,
                                  .call_cpu_us = 20000,
                                  .task_cpu_us = 200000};
}

struct script_figures *script_figures_new(void) {
    struct script_figures *figures = calloc(1, sizeof *figures);
    if (figures)
        atomic_init(&figures->references, 1);
    return figures;
}

struct script_figures *script_figures_hold(struct script_figures *figures) {
    if (figures)
        atomic_fetch_add_explicit(&figures->references, 1, memory_order_relaxed);
    return figures;
}

void script_figures_release(struct script_figures *figures) {
    if (figures && atomic_fetch_sub_explicit(&figures->references, 1, memory_order_acq_rel) == 1)
        free(figures);
}

const char *script_outcome_name(enum script_outcome outcome) {
    static const char *const names[] = {
        [SCRIPT_OK] = "ok",         [SCRIPT_RAISED] = "raised",   [SCRIPT_OVERTIME] = "overtime",
        [SCRIPT_MEMORY] = "memory", [SCRIPT_NO_SUCH] = "no_such", [SCRIPT_WAITS] = "waits",
    };
    return names[outcome];
}
