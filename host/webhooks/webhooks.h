/* Webhooks: events to receivers by HTTP (Standard Webhooks). Two threads of their own:
 *
 *   events --collector--> store (deliveries) --sender--> receivers, up to POSTS_AT_ONCE at a time,
 *                                                        one of each webhook
 *
 * What was queued is delivered at least once, over restarts too. What happened between an event and
 * its row (a host that dies, a store that cannot write for long, a queue that is full) is told by a
 * "reset" event, never left out silently: one is queued for each webhook at each start. */
#ifndef DERD_WEBHOOKS_WEBHOOKS_H
#define DERD_WEBHOOKS_WEBHOOKS_H

#include "directory.h"
#include "webhooks/webhook.h"

#define WEBHOOKS_MAXIMUM     64
#define WEBHOOKS_PER_ACCOUNT 16
#define POSTS_AT_ONCE        16
#define TESTS_AT_ONCE        4

struct webhooks;

struct webhooks_settings { /* what they point to must outlive the webhooks, but for reachable */
    struct store *store;
    struct events *events;
    struct directory_slot *directory;
    const struct clock *clock;
    struct reachable reachable;
    int64_t retry_first_ms; /* 0: 5 s */
    int64_t give_up_ms;     /* a delivery, and a webhook that only fails; 0: a day */
};

/* ERR_IO, ERR_MEMORY: logged. */
must_check enum err webhooks_open(struct webhooks **webhooks,
                                  const struct webhooks_settings *settings);
/* Ends the events' readers too. Waits for the threads, at most for what the store is doing. NULL is
 * fine. Not on the engine's thread. */
void webhooks_close(struct webhooks *webhooks);

/* All of these may wait for the store: any thread but its and the engine's. */

/* All, by age, to be freed; NULL without memory. */
struct webhook *webhooks_list(struct webhooks *webhooks, size_t *count);
bool webhooks_find(struct webhooks *webhooks, const char *id, struct webhook *webhook);
/* `record` of the audit log goes with the change and is taken over; NULL: none. */

/* Id, secret and times are filled in. ERR_LIMIT: the account has WEBHOOKS_PER_ACCOUNT, or there are
 * WEBHOOKS_MAXIMUM. */
must_check enum err webhooks_create(struct webhooks *webhooks, struct webhook *webhook,
                                    struct audit_record *record);
/* URL, description, filter and `enabled` as given; `rotate`: another secret, the old one signs for
 * a day beside it. The whole comes back in `webhook`. ERR_CONFLICT: it does not have `revision` any
 * more (0: any). ERR_NOT_FOUND. */
must_check enum err webhooks_change(struct webhooks *webhooks, struct webhook *webhook, bool rotate,
                                    int64_t revision, struct audit_record *record);
must_check enum err webhooks_remove(struct webhooks *webhooks, const char *id,
                                    struct audit_record *record);
/* A POST outside of the queue, now. ERR_FULL: TESTS_AT_ONCE are under way. ERR_CLOSED, ERR_TIMEOUT,
 * ERR_MEMORY: it did not take place, or nobody knows. */
must_check enum err webhooks_test(struct webhooks *webhooks, const struct webhook *webhook,
                                  struct post_outcome *outcome);
const struct reachable *webhooks_reachable(const struct webhooks *webhooks);

#endif
