#include "ask/errand.h"

#include <time.h>

#include "base/clock.h"
#include "engine.h"

void errand_init(struct errand *errand, struct engine *engine, errand_run *run, errand_run *free) {
    pthread_condattr_t attributes;
    atomic_init(&errand->owners, 2);
    errand->engine = engine;
    errand->run = run;
    errand->free = free;
    errand->is_done = false;
    errand->next = NULL;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&errand->done, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&errand->lock, NULL);
}

void errand_release(struct errand *errand) {
    if (atomic_fetch_sub(&errand->owners, 1) != 1)
        return;
    pthread_mutex_destroy(&errand->lock);
    pthread_cond_destroy(&errand->done);
    errand->free(errand);
}

void errand_finish(struct errand *errand) {
    pthread_mutex_lock(&errand->lock);
    errand->is_done = true;
    pthread_cond_signal(&errand->done);
    pthread_mutex_unlock(&errand->lock);
    errand_release(errand);
}

static void run_item(struct inbox_item *item) {
    struct errand *errand = (struct errand *)item;
    errand->run(errand);
}

enum errand_end errand_go(struct errand *errand, int64_t patience_ms) {
    errand->item.run = run_item;
    enum err err = inbox_post(&errand->engine->inbox, &errand->item);
    if (err != ERR_OK) {
        atomic_store(&errand->owners, 1);
        return err == ERR_FULL ? ERRAND_FULL : ERRAND_CLOSED;
    }
    int64_t until_ms = clock_mono().ms + patience_ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&errand->lock);
    int late = 0;
    while (!errand->is_done && !late)
        late = pthread_cond_timedwait(&errand->done, &errand->lock, &until);
    bool is_done = errand->is_done;
    pthread_mutex_unlock(&errand->lock);
    return is_done ? ERRAND_DONE : ERRAND_LATE;
}
