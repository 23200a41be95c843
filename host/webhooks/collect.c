/* From events to rows: the collector reads events as any other reader does, asks of each webhook
 * whether it wants them and may know of them, and queues them in the store. It goes on only when
 * they are on disk; what is lost meanwhile is told by a reset. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/present_event.h"
#include "base/log.h"
#include "webhooks/webhooks_internal.h"

#define LOOK_MS      1000
#define STORE_WAIT_S 1
#define BODY_MAXIMUM ((size_t)256 << 10)
#define DRAFTS       128

struct drafts { /* that are queued together */
    struct delivery items[DRAFTS];
    size_t count;
    char *bodies[EVENTS_BATCH]; /* owned; shared by items */
    size_t body_count;
};

static char *event_body(const struct event *event) {
    struct buf out;
    struct json json;
    buf_init(&out, BODY_MAXIMUM);
    json_start(&json, &out);
    present_event(&json, event);
    char *text = buf_take(&out);
    buf_free(&out);
    return text;
}

static char *reset_body(struct event_id place, const char *why, struct wall now) {
    struct buf out;
    struct json json;
    buf_init(&out, BODY_MAXIMUM);
    json_start(&json, &out);
    present_reset(&json, place, why, now);
    char *text = buf_take(&out);
    buf_free(&out);
    return text;
}

static void make_reset(const struct webhooks *webhooks, const char *why, struct delivery *reset) {
    char id[EVENT_ID_SIZE];
    struct event_id place = events_newest(webhooks->settings.events);
    event_id_format(place, id);
    *reset = (struct delivery){.queued_at = webhooks_now(webhooks)};
    snprintf(reset->message_id, sizeof reset->message_id, "reset-%s", id);
    snprintf(reset->type, sizeof reset->type, "%s", event_type_name(EVENT_RESET));
    reset->body = reset_body(place, why, reset->queued_at);
}

/* One whose account was removed is sent nothing more; the root's tokens see it and may delete it.
 */
static bool is_owned(const struct webhooks *webhooks, const struct webhook *webhook) {
    struct account account;
    return store_account_find(webhooks->settings.store, webhook->account, &account);
}

/* Whose cluster an event is of now; of one that is gone, whose it was. */
static bool visible(const struct webhooks *webhooks, const struct directory *directory,
                    const struct webhook *webhook, const struct event *event) {
    if (!event->cluster_id[0])
        return !event_of_host(event) ||
               (strcmp(webhook->account, ACCOUNT_ROOT) == 0 && webhook->cluster_count == 0);
    const struct cluster_card *cluster = directory_cluster(directory, event->cluster_id);
    struct cluster_card gone = {0};
    memcpy(gone.id, event->cluster_id, sizeof gone.id);
    return store_account_controls(webhooks->settings.store, webhook->account,
                                  cluster ? cluster->account : event->account) &&
           directory_within(directory, cluster ? cluster : &gone, webhook->clusters,
                            webhook->cluster_count);
}

static void wait_a_little(struct webhooks *webhooks) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STORE_WAIT_S;
    pthread_mutex_lock(&webhooks->lock);
    if (!webhooks->stopping)
        pthread_cond_timedwait(&webhooks->changed, &webhooks->lock, &until);
    pthread_mutex_unlock(&webhooks->lock);
}

static void tell_sender(struct webhooks *webhooks, const struct delivery *items, size_t count) {
    pthread_mutex_lock(&webhooks->lock);
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = webhooks_entry(webhooks, items[i].webhook_id);
        if (entry)
            entry->look = true;
    }
    pthread_mutex_unlock(&webhooks->lock);
    webhooks_wake(webhooks);
}

/* Onto disk, as often as it takes. */
static void flush(struct webhooks *webhooks, struct drafts *drafts) {
    struct delivery notice;
    if (drafts->count > 0) {
        make_reset(webhooks, "dropped", &notice);
        while (store_queue_deliveries(webhooks->settings.store, drafts->items, drafts->count,
                                      notice.body ? &notice : NULL) != ERR_OK &&
               !webhooks_stopping(webhooks))
            wait_a_little(webhooks);
        free(notice.body);
        tell_sender(webhooks, drafts->items, drafts->count);
    }
    for (size_t i = 0; i < drafts->body_count; i++)
        free(drafts->bodies[i]);
    drafts->count = drafts->body_count = 0;
}

static void draft(struct drafts *drafts, const char *webhook_id, const struct event *event,
                  char *body) {
    struct delivery *delivery = &drafts->items[drafts->count++];
    *delivery = (struct delivery){.body = body, .queued_at = event->at};
    memcpy(delivery->webhook_id, webhook_id, sizeof delivery->webhook_id);
    event_id_format(event->id, delivery->message_id);
    snprintf(delivery->type, sizeof delivery->type, "%s", event_type_name(event->type));
}

/* Who wants it: ids into `ids`. */
static size_t find_takers(struct webhooks *webhooks, const struct directory *directory,
                          const struct event *event, char ids[WEBHOOKS_MAXIMUM][ID_SIZE]) {
    size_t count = 0;
    pthread_mutex_lock(&webhooks->lock);
    for (size_t i = 0; i < webhooks->count; i++) {
        const struct webhook *webhook = &webhooks->entries[i].webhook;
        if (webhook->enabled && event_filter_passes(&webhook->filter, event) &&
            is_owned(webhooks, webhook) && visible(webhooks, directory, webhook, event))
            memcpy(ids[count++], webhook->id, ID_SIZE);
    }
    pthread_mutex_unlock(&webhooks->lock);
    return count;
}

static void queue_batch(struct webhooks *webhooks, struct event *const *batch, size_t count,
                        struct drafts *drafts) {
    char ids[WEBHOOKS_MAXIMUM][ID_SIZE];
    struct directory *directory = directory_hold(webhooks->settings.directory);
    for (size_t i = 0; i < count; i++) {
        size_t takers = find_takers(webhooks, directory, batch[i], ids);
        char *body = takers ? event_body(batch[i]) : NULL;
        if (!body)
            continue;
        if (drafts->count + takers > DRAFTS)
            flush(webhooks, drafts);
        drafts->bodies[drafts->body_count++] = body;
        for (size_t j = 0; j < takers; j++)
            draft(drafts, ids[j], batch[i], body);
    }
    directory_release(directory);
    flush(webhooks, drafts);
}

bool collect_reset(struct webhooks *webhooks, const char *only, const char *why) {
    struct delivery *resets = calloc(WEBHOOKS_MAXIMUM, sizeof *resets);
    struct delivery reset;
    size_t count = 0;
    make_reset(webhooks, why, &reset);
    if (!resets || !reset.body) {
        free(resets);
        free(reset.body);
        return false;
    }
    pthread_mutex_lock(&webhooks->lock);
    for (size_t i = 0; i < webhooks->count; i++) {
        const struct webhook *webhook = &webhooks->entries[i].webhook;
        if (!is_owned(webhooks, webhook) ||
            (only ? strcmp(webhook->id, only) != 0 : !webhook->enabled))
            continue;
        resets[count] = reset;
        memcpy(resets[count++].webhook_id, webhook->id, ID_SIZE);
    }
    pthread_mutex_unlock(&webhooks->lock);
    bool queued = store_queue_deliveries(webhooks->settings.store, resets, count, NULL) == ERR_OK;
    if (queued)
        tell_sender(webhooks, resets, count);
    free(resets);
    free(reset.body);
    return queued;
}

static void reset_all(struct webhooks *webhooks, const char *why) {
    while (!collect_reset(webhooks, NULL, why) && !webhooks_stopping(webhooks))
        wait_a_little(webhooks);
}

/* False: the host stops before there was a webhook. */
static bool await_first(struct webhooks *webhooks) {
    pthread_mutex_lock(&webhooks->lock);
    while (!webhooks->reading && !webhooks->stopping)
        pthread_cond_wait(&webhooks->changed, &webhooks->lock);
    bool reading = webhooks->reading;
    pthread_mutex_unlock(&webhooks->lock);
    return reading;
}

void *collect_work(void *context) {
    struct webhooks *webhooks = context;
    struct drafts *drafts = calloc(1, sizeof *drafts);
    struct event *batch[EVENTS_BATCH];
    const char *lost = NULL;
    size_t count;
    if (!drafts) {
        log_error("webhooks", "no memory: nothing is sent");
        return NULL;
    }
    pthread_mutex_lock(&webhooks->lock);
    bool restarted = webhooks->count > 0;
    pthread_mutex_unlock(&webhooks->lock);
    if (restarted)
        reset_all(webhooks, "restart");
    for (bool goes_on = await_first(webhooks); goes_on;) {
        enum events_result result = events_next(&webhooks->reader, LOOK_MS, batch, &count, &lost);
        if (result == EVENTS_SOME)
            queue_batch(webhooks, batch, count, drafts);
        for (size_t i = 0; i < count; i++)
            event_release(batch[i]);
        if (result == EVENTS_LOST)
            reset_all(webhooks, lost);
        goes_on = result != EVENTS_ENDED;
    }
    free(drafts);
    return NULL;
}
