/* Webhooks and their deliveries in the store. What a webhook is stands as JSON in its row (its
 * fields are webhooks/webhooks.h's business); a delivery is on disk before anybody tries it, and
 * until its receiver has taken it. Of each webhook at most WEBHOOK_WAITING wait, the oldest make
 * way and are counted; the last WEBHOOK_FINISHED that ended are kept to be looked at.
 *
 * All of these block until it is done: any thread but the store's and the engine's. */
#ifndef DERD_STORE_WEBHOOKS_H
#define DERD_STORE_WEBHOOKS_H

#include "store/store.h"

#define WEBHOOK_WAITING      1000
#define WEBHOOK_FINISHED     100
#define DELIVERY_ID_SIZE     64
#define DELIVERY_TYPE_SIZE   16
#define DELIVERY_ERROR_SIZE  240
#define DELIVERY_STATE_WORDS "waiting", "delivered", "failed"

enum delivery_state { DELIVERY_WAITING, DELIVERY_DELIVERED, DELIVERY_FAILED };

struct delivery {
    int64_t number; /* in the order of queueing */
    char webhook_id[ID_SIZE];
    char message_id[DELIVERY_ID_SIZE]; /* the same at each attempt */
    char type[DELIVERY_TYPE_SIZE];     /* of the event */
    char *body;                        /* owned; NULL where it is not asked for */
    enum delivery_state state;
    struct wall queued_at, next_at, last_at; /* last_at 0: never tried */
    int attempts;
    int status; /* HTTP status of the last attempt; 0: there was no answer */
    int64_t duration_ms;
    char error[DELIVERY_ERROR_SIZE]; /* of the last attempt; "": none */
};

/* Creates or replaces, by id. ERR_NOT_FOUND: the account is not there. */
must_check enum err store_put_webhook(struct store *store, const char *id, const char *account,
                                      const char *document, struct wall created_at,
                                      struct audit_record *record);
/* With its deliveries. */
must_check enum err store_remove_webhook(struct store *store, const char *id,
                                         struct audit_record *record);
typedef void store_webhook_row(void *context, const char *id, const char *account,
                               const char *document);
/* All, by age, on the store's thread while the caller waits. */
must_check enum err store_load_webhooks(struct store *store, store_webhook_row *row, void *context);

/* Queues all or none, in one transaction. Of each, webhook_id, message_id, type, body and queued_at
 * count. `notice`: queued in addition, once, for a webhook of which some had to make way; its
 * webhook_id does not count. A webhook that is gone is left out. */
must_check enum err store_queue_deliveries(struct store *store, const struct delivery *deliveries,
                                           size_t count, const struct delivery *notice);
/* The oldest that is due, with its body. ERR_NOT_FOUND: none is; `next_at` says when one will be,
 * INT64_MAX: none waits. */
must_check enum err store_next_delivery(struct store *store, const char *webhook_id,
                                        struct wall now, struct delivery *delivery,
                                        struct wall *next_at);
/* What became of an attempt: state, attempts, next_at, last_at, status, duration, error. */
must_check enum err store_end_attempt(struct store *store, const struct delivery *delivery);
/* All that wait are due at once. */
must_check enum err store_hasten_deliveries(struct store *store, const char *webhook_id);

struct delivery_counts {
    int64_t waiting, dropped;
};
must_check enum err store_count_deliveries(struct store *store, const char *webhook_id,
                                           struct delivery_counts *counts);
/* The newest `most`, without bodies; to be freed. */
must_check enum err store_list_deliveries(struct store *store, const char *webhook_id, size_t most,
                                          struct delivery **deliveries, size_t *count);

#endif
