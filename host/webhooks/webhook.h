/* A webhook: where events are sent, which ones, and how it fares. As data, and as the JSON that
 * stands in the store. Pure. */
#ifndef DERD_WEBHOOKS_WEBHOOK_H
#define DERD_WEBHOOKS_WEBHOOK_H

#include "events/event_filter.h"
#include "store/store_webhooks.h"
#include "webhooks/post.h"

#define WEBHOOK_TEXT_SIZE   201
#define WEBHOOK_DEFAULT     (EVENT_TYPES_ALL & ~(1U << EVENT_FLEXIBILITY))
#define WEBHOOK_OLD_FOR_MS  (INT64_C(24) * 3600 * 1000) /* a rotated secret signs so long */
#define WEBHOOK_REASON_SIZE DELIVERY_ERROR_SIZE

struct webhook {
    char id[ID_SIZE];
    char account[ACCOUNT_KEY_SIZE];
    char url[POST_URL_SIZE];
    char description[WEBHOOK_TEXT_SIZE];
    struct event_filter filter;
    size_t cluster_count; /* those of the token that made it: it is told of no others; 0: of all */
    char clusters[TOKEN_CLUSTERS_MAXIMUM][ID_SIZE];
    char secret[SECRET_SIZE];
    char old_secret[SECRET_SIZE]; /* "": none */
    struct wall old_until;
    bool enabled;
    char reason[WEBHOOK_REASON_SIZE];       /* why it was disabled, or fails; "" else */
    struct wall disabled_at, failing_since; /* 0: not */
    struct wall created_at;
    int64_t revision; /* 1, and one more with each change by a client */
};

/* The text of its row, to be freed; NULL without memory. */
char *webhook_write(const struct webhook *webhook);
/* False when the text is none. */
bool webhook_read(const char *id, const char *account, const char *text, struct webhook *webhook);
/* The secret that was replaced, while it still signs; else "". */
const char *webhook_old_secret(const struct webhook *webhook, struct wall now);

#endif
