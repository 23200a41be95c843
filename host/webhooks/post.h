/* One POST to a receiver, by libcurl: 5 s, no redirects, no proxies, TLS verified, the address
 * looked at before it is connected to, at most 64 KiB of the answer read and none kept. Used by one
 * thread, which runs it in its multi handle. */
#ifndef DERD_WEBHOOKS_POST_H
#define DERD_WEBHOOKS_POST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "store/store_webhooks.h"
#include "webhooks/reachable.h"
#include "webhooks/signature.h"

#define POST_TIMEOUT_MS 5000
#define POST_URL_SIZE   1025

struct post_order {
    const char *url;
    const char *message_id;
    const char *body;
    const char *secret, *old_secret; /* old_secret "": none */
    struct wall now;                 /* signed */
    const struct reachable *reachable;
};

struct post_outcome {
    bool delivered; /* 2xx */
    bool gone;      /* 410 */
    int status;     /* 0: no answer */
    int64_t duration_ms;
    int64_t retry_after_ms; /* 0: not asked for */
    char error[DELIVERY_ERROR_SIZE];
};

struct post;

/* Copies what it needs but `reachable`. NULL: no memory, or libcurl refused. */
struct post *post_new(const struct post_order *order);
CURL *post_handle(const struct post *post); /* its private pointer is the post */
/* After the transfer has ended with `code`. */
void post_outcome(const struct post *post, CURLcode code, struct post_outcome *outcome);
/* Not while its handle is in a multi handle. NULL is fine. */
void post_free(struct post *post);

#endif
