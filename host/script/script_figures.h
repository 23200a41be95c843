/* What a script has used of its budgets since the host started, over all generations of its name.
 * The engine counts, readers of the directory's cards read. Counted by reference. */
#ifndef DERD_SCRIPT_FIGURES_H
#define DERD_SCRIPT_FIGURES_H

#include <stdbool.h>

#include "base/figure.h"
#include "script/script.h"

struct script_figures {
    atomic_uint references;
    figure_t calls;                  /* that have ended, well or not */
    figure_t failures[SCRIPT_WAITS]; /* by outcome; that of SCRIPT_OK stays 0 */
    figure_t cpu_us;                 /* of calls, as script_take_used_us(); loading is not one */
    figure_t cpu_most_us;            /* of the longest without a wait */
    figure_t memory_bytes;           /* after the last call */
    figure_t rebuilds;               /* from the same text, after failures */
};

struct script_figures *script_figures_new(void); /* NULL without memory */
struct script_figures *script_figures_hold(struct script_figures *figures); /* NULL is fine, here */
void script_figures_release(struct script_figures *figures);                /* and here */
/* "raised", "overtime", "memory", ... of a failure. */
const char *script_outcome_name(enum script_outcome outcome);

#endif
