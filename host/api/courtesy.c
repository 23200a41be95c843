#include "api/courtesy.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* The first one of a window ends the last. Another one may count into either meanwhile: these are
 * estimates. */
static void turn_window(struct courtesy *all, int64_t window) {
    int_fast64_t last = atomic_load_explicit(&all->window, memory_order_relaxed);
    if (last == window || !atomic_compare_exchange_strong(&all->window, &last, window))
        return;
    uint_fast32_t reads = atomic_exchange(&all->reads, 0);
    uint_fast32_t readers = atomic_exchange(&all->readers, 0);
    bool busy = last + 1 == window && reads >= COURTESY_READS && readers > 0;
    atomic_store(&all->mean, busy ? (reads + readers - 1) / readers : 0);
}

int courtesy_count(struct courtesy *all, struct courteous *self, bool reads, int64_t now_us) {
    int64_t window = now_us / 1000 / COURTESY_WINDOW_MS;
    turn_window(all, window);
    if (self->window != window) {
        self->last_reads = self->window + 1 == window ? self->reads : 0;
        self->reads = 0;
        self->window = window;
    }
    if (reads) {
        atomic_fetch_add_explicit(&all->reads, 1, memory_order_relaxed);
        if (self->reads++ == 0)
            atomic_fetch_add_explicit(&all->readers, 1, memory_order_relaxed);
    }
    uint_fast32_t mean = atomic_load_explicit(&all->mean, memory_order_relaxed);
    uint32_t most = self->reads > self->last_reads ? self->reads : self->last_reads;
    return mean > 0 && 2 * (uint_fast32_t)most >= mean ? COURTESY_BUSY : COURTESY_QUIET;
}

static void set_nice(struct courteous *self, int nice) {
    if (setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice) == 0)
        self->nice = nice;
}

void courtesy_begin(struct courteous *self) {
    *self = (struct courteous){0};
    set_nice(self, COURTESY_QUIET);
    if (self->nice != COURTESY_QUIET)
        log_debug("api", "a thread stays at the priority of the host");
}

void courtesy_take(struct courteous *self, int nice) {
    if (self && nice != self->nice)
        set_nice(self, nice);
}
