#include "ask/inbox.h"

#include <stdint.h>

static void inbox_run(uv_async_t *async) {
    struct inbox *inbox = async->data;
    pthread_mutex_lock(&inbox->lock);
    struct inbox_item *item = inbox->first;
    inbox->first = inbox->last = NULL;
    inbox->count = 0;
    pthread_mutex_unlock(&inbox->lock);
    while (item) {
        struct inbox_item *next = item->next;
        item->run(item);
        item = next;
    }
}

enum err inbox_open(struct inbox *inbox, uv_loop_t *loop) {
    *inbox = (struct inbox){0};
    if (pthread_mutex_init(&inbox->lock, NULL))
        return ERR_MEMORY;
    inbox->async.data = inbox;
    return uv_async_init(loop, &inbox->async, inbox_run) ? ERR_IO : ERR_OK;
}

static enum err post(struct inbox *inbox, struct inbox_item *item, size_t maximum) {
    enum err err = ERR_OK;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->closed)
        err = ERR_CLOSED;
    else if (inbox->count >= maximum)
        err = ERR_FULL;
    else {
        item->next = NULL;
        if (inbox->last)
            inbox->last->next = item;
        else
            inbox->first = item;
        inbox->last = item;
        inbox->count++;
        uv_async_send(&inbox->async);
    }
    pthread_mutex_unlock(&inbox->lock);
    return err;
}

enum err inbox_post(struct inbox *inbox, struct inbox_item *item) {
    return post(inbox, item, INBOX_MAXIMUM);
}

enum err inbox_post_end(struct inbox *inbox, struct inbox_item *item) {
    return post(inbox, item, SIZE_MAX);
}

void inbox_close(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->closed = true;
    pthread_mutex_unlock(&inbox->lock);
    inbox_run(&inbox->async);
    uv_close((uv_handle_t *)&inbox->async, NULL);
}
