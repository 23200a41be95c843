/* The inbox: other threads hand work to the engine's loop. A bounded queue and one uv_async. */
#ifndef DERD_INBOX_H
#define DERD_INBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/err.h"

#define INBOX_MAXIMUM 4096

struct inbox_item {                       /* embedded in what the sender allocated */
    void (*run)(struct inbox_item *item); /* on the loop's thread; owns the item from then on */
    struct inbox_item *next;
};

struct inbox {
    uv_async_t async;
    pthread_mutex_t lock;
    struct inbox_item *first, *last;
    size_t count;
    bool closed;
};

must_check enum err inbox_open(struct inbox *inbox, uv_loop_t *loop);
/* Any thread. ERR_FULL, or ERR_CLOSED once the host is stopping: the item stays the sender's. */
must_check enum err inbox_post(struct inbox *inbox, struct inbox_item *item);
/* The same for the end of what the loop has begun itself: never ERR_FULL, since each is the end of
 * one that was let in. */
must_check enum err inbox_post_end(struct inbox *inbox, struct inbox_item *item);
/* Accepts nothing more and runs what is there. Loop's thread. */
void inbox_close(struct inbox *inbox);

#endif
