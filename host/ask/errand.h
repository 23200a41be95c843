/* An errand: work that another thread asks the engine for and waits for. It is counted by two
 * owners, the asking thread and the engine, so that either may leave first: the asker when his
 * patience ends, the engine when the host stops. Embedded as the first member in what it carries.
 */
#ifndef DERD_ERRAND_H
#define DERD_ERRAND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ask/inbox.h"

struct engine;
struct errand;

typedef void errand_run(struct errand *errand);

struct errand {
    struct inbox_item item; /* first */
    atomic_int owners;
    struct engine *engine;
    errand_run *run;  /* on the loop; comes to errand_finish(), at once or later */
    errand_run *free; /* what it carries, and itself */
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
    struct errand *next; /* the engine's, while it waits */
};

enum errand_end {
    ERRAND_DONE,
    ERRAND_LATE,   /* the patience ended; it may still be done */
    ERRAND_FULL,   /* the engine has too much to do; nothing was done */
    ERRAND_CLOSED, /* the host is stopping; nothing was done */
};

void errand_init(struct errand *errand, struct engine *engine, errand_run *run, errand_run *free);
/* Posts it and waits. After ERRAND_DONE what it carries is the caller's to read; in any case he
 * releases it once. Any thread but the engine's. */
enum errand_end errand_go(struct errand *errand, int64_t patience_ms);
void errand_release(struct errand *errand);
/* Tells the asker, and gives up the engine's part. Once, by the engine or what it asked. */
void errand_finish(struct errand *errand);

#endif
