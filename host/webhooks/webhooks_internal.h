/* What the files of webhooks share; nobody else includes this.
 *
 *   webhooks.c  the list of webhooks, and what clients change in it
 *   collect.c   its thread: from events to rows
 *   send.c      its thread: from rows to receivers
 *
 * `changing` is held over a change and its row; `lock` for moments only, and never while the store
 * works. */
#ifndef DERD_WEBHOOKS_INTERNAL_H
#define DERD_WEBHOOKS_INTERNAL_H

#include <pthread.h>

#include "webhooks/webhooks.h"

struct entry { /* a webhook, and how it goes now */
    struct webhook webhook;
    bool busy;           /* the sender's: one of its deliveries is under way */
    bool look;           /* something may wait for it */
    unsigned failures;   /* in a row */
    struct wall next_at; /* not before */
    struct wall due_at;  /* when the next one that waits is due, INT64_MAX: look says it */
};

struct trial { /* a test delivery; of the one who waits and the sender */
    struct trial *next;
    unsigned owners; /* under the lock, as all of it */
    struct webhook webhook;
    bool done;
    enum err result;
    struct post_outcome outcome;
};

struct webhooks {
    struct webhooks_settings settings;
    char **allow; /* settings.reachable's entries */
    pthread_mutex_t changing;
    pthread_mutex_t lock; /* of all that follows, but what is one thread's */
    pthread_cond_t changed;
    bool stopping;
    bool reading;               /* `reader` is open */
    struct event_reader reader; /* the collector's, once it is open */
    struct entry entries[WEBHOOKS_MAXIMUM];
    size_t count;
    struct trial *trials; /* not taken up yet */
    size_t trial_count;   /* with those under way */
    CURLM *multi;         /* the sender's, but for waking it */
    pthread_t collector, sender;
    bool collecting, sending; /* the threads run */
};

/* Under the lock; NULL: it is gone. */
struct entry *webhooks_entry(struct webhooks *webhooks, const char *id);
/* The sender's word on a webhook: fails since (0: not), and with `reason` that it is disabled. */
void webhooks_state(struct webhooks *webhooks, const char *id, struct wall failing_since,
                    const char *why, bool disable);
bool webhooks_stopping(struct webhooks *webhooks);
struct wall webhooks_now(const struct webhooks *webhooks);
void webhooks_wake(struct webhooks *webhooks);                      /* the sender */
void trial_release(struct webhooks *webhooks, struct trial *trial); /* under the lock */

/* collect.c. A "reset" for one webhook, or with NULL for all that are enabled. False: not queued.
 */
bool collect_reset(struct webhooks *webhooks, const char *only, const char *why);
void *collect_work(void *webhooks);
/* send.c */
void *send_work(void *webhooks);

#endif
