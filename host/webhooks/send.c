/* From rows to receivers: the sender runs all transfers in one multi handle, at most POSTS_AT_ONCE,
 * one of each webhook, so that a slow receiver holds up itself alone. A receiver that fails is left
 * alone for a while, longer each time; a delivery that fails while others pass waits by itself and
 * does not hold them up. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "webhooks/retry.h"
#include "webhooks/webhooks_internal.h"

#define SLEEP_MOST_MS 60000
#define STORE_WAIT_MS 1000

struct flight { /* one transfer */
    struct flight *next;
    struct post *post;
    struct delivery delivery; /* body not kept */
    struct trial *trial;      /* instead of a delivery, or NULL */
};

struct sender {
    struct webhooks *webhooks;
    struct flight *flights;
    size_t count;
};

/* --- taking off ------------------------------------------------------------------------------ */

static bool take_off(struct sender *sender, const struct webhook *webhook, const char *message_id,
                     const char *body, const struct delivery *delivery, struct trial *trial) {
    struct webhooks *webhooks = sender->webhooks;
    struct wall now = webhooks_now(webhooks);
    struct flight *flight = calloc(1, sizeof *flight);
    const struct post_order order = {.url = webhook->url,
                                     .message_id = message_id,
                                     .body = body,
                                     .secret = webhook->secret,
                                     .old_secret = webhook_old_secret(webhook, now),
                                     .now = now,
                                     .reachable = &webhooks->settings.reachable};
    if (!flight || !(flight->post = post_new(&order))) {
        free(flight);
        return false;
    }
    if (delivery)
        flight->delivery = *delivery;
    flight->delivery.body = NULL;
    flight->trial = trial;
    if (curl_multi_add_handle(webhooks->multi, post_handle(flight->post)) != CURLM_OK) {
        post_free(flight->post);
        free(flight);
        return false;
    }
    flight->next = sender->flights;
    sender->flights = flight;
    sender->count++;
    return true;
}

/* The next webhook that something may wait for; it is marked busy. False: none. */
static bool pick(struct webhooks *webhooks, struct wall now, struct webhook *webhook) {
    bool found = false;
    pthread_mutex_lock(&webhooks->lock);
    for (size_t i = 0; i < webhooks->count && !found; i++) {
        struct entry *entry = &webhooks->entries[i];
        bool due = entry->look || entry->due_at.ms <= now.ms;
        found = entry->webhook.enabled && !entry->busy && due && entry->next_at.ms <= now.ms;
        if (found) {
            *webhook = entry->webhook;
            entry->busy = true;
            entry->look = false; /* before the store is asked: what comes meanwhile sets it */
            entry->due_at.ms = INT64_MAX;
        }
    }
    pthread_mutex_unlock(&webhooks->lock);
    return found;
}

/* Not busy any more; to be looked at again at `due_at`. */
static void put_back(struct webhooks *webhooks, const char *id, struct wall due_at) {
    pthread_mutex_lock(&webhooks->lock);
    struct entry *entry = webhooks_entry(webhooks, id);
    if (entry) {
        entry->busy = false;
        entry->due_at = due_at;
    }
    pthread_mutex_unlock(&webhooks->lock);
}

static void start_due(struct sender *sender) {
    struct webhooks *webhooks = sender->webhooks;
    struct wall now = webhooks_now(webhooks);
    struct webhook webhook;
    while (sender->count < POSTS_AT_ONCE && pick(webhooks, now, &webhook)) {
        struct delivery delivery = {0};
        struct wall due_at;
        enum err result =
            store_next_delivery(webhooks->settings.store, webhook.id, now, &delivery, &due_at);
        if (result == ERR_OK &&
            !take_off(sender, &webhook, delivery.message_id, delivery.body, &delivery, NULL))
            result = ERR_MEMORY;
        free(delivery.body);
        if (result == ERR_NOT_FOUND)
            put_back(webhooks, webhook.id, due_at);
        else if (result != ERR_OK)
            put_back(webhooks, webhook.id, (struct wall){now.ms + STORE_WAIT_MS});
    }
}

/* Under the lock. */
static void trial_done(struct webhooks *webhooks, struct trial *trial, enum err result,
                       const struct post_outcome *outcome) {
    trial->done = true;
    trial->result = result;
    if (outcome)
        trial->outcome = *outcome;
    pthread_cond_broadcast(&webhooks->changed);
    trial_release(webhooks, trial);
}

static void start_trials(struct sender *sender) {
    struct webhooks *webhooks = sender->webhooks;
    for (;;) {
        pthread_mutex_lock(&webhooks->lock);
        struct trial *trial = webhooks->trials;
        if (trial)
            webhooks->trials = trial->next;
        pthread_mutex_unlock(&webhooks->lock);
        if (!trial)
            return;
        char id[ID_SIZE];
        char message_id[DELIVERY_ID_SIZE];
        char body[400];
        char at[WALL_TEXT_SIZE];
        uuid_make(id);
        wall_format(webhooks_now(webhooks), at);
        snprintf(message_id, sizeof message_id, "test-%s", id);
        snprintf(body, sizeof body,
                 "{\"id\":\"%s\",\"type\":\"test\",\"action\":\"test\",\"at\":\"%s\","
                 "\"clusterId\":null,\"deviceId\":null,\"data\":{\"webhookId\":\"%s\"}}",
                 message_id, at, trial->webhook.id);
        if (take_off(sender, &trial->webhook, message_id, body, NULL, trial))
            continue;
        pthread_mutex_lock(&webhooks->lock);
        trial_done(webhooks, trial, ERR_MEMORY, NULL);
        pthread_mutex_unlock(&webhooks->lock);
    }
}

/* --- landing --------------------------------------------------------------------------------- */

struct judgement { /* what an attempt says of its webhook */
    bool changed;  /* its state is another one */
    bool disable;
    struct wall failing_since;
    char why[WEBHOOK_REASON_SIZE];
};

/* Counts failures in a row, and how long they go on. */
static void judge(struct webhooks *webhooks, const struct delivery *delivery,
                  const struct post_outcome *outcome, struct wall now,
                  struct judgement *judgement) {
    const struct webhooks_settings *settings = &webhooks->settings;
    pthread_mutex_lock(&webhooks->lock);
    struct entry *entry = webhooks_entry(webhooks, delivery->webhook_id);
    *judgement = (struct judgement){0};
    if (entry && outcome->delivered) {
        entry->failures = 0;
        judgement->changed = entry->webhook.failing_since.ms != 0;
    } else if (entry) {
        struct wall since = entry->webhook.failing_since;
        bool too_long = since.ms && now.ms - since.ms >= settings->give_up_ms;
        entry->next_at.ms = now.ms + retry_wait_ms(settings->retry_first_ms, ++entry->failures,
                                                   randombytes_random(), outcome->retry_after_ms);
        judgement->changed = since.ms == 0 || outcome->gone || too_long;
        judgement->disable = outcome->gone || too_long;
        judgement->failing_since = since.ms ? since : now;
        snprintf(judgement->why, sizeof judgement->why, "%s%s",
                 outcome->gone ? "410 Gone: "
                 : too_long    ? "it failed for too long, at last: "
                               : "",
                 outcome->error);
    }
    pthread_mutex_unlock(&webhooks->lock);
}

static void note_attempt(const struct webhooks_settings *settings, struct delivery *delivery,
                         const struct post_outcome *outcome, struct wall now) {
    bool too_old = now.ms - delivery->queued_at.ms >= settings->give_up_ms;
    delivery->attempts++;
    delivery->last_at = now;
    delivery->status = outcome->status;
    delivery->duration_ms = outcome->duration_ms;
    snprintf(delivery->error, sizeof delivery->error, "%s", outcome->error);
    delivery->state = outcome->delivered         ? DELIVERY_DELIVERED
                      : outcome->gone || too_old ? DELIVERY_FAILED
                                                 : DELIVERY_WAITING;
    delivery->next_at.ms =
        now.ms + retry_wait_ms(settings->retry_first_ms, (unsigned)delivery->attempts,
                               randombytes_random(), outcome->retry_after_ms);
}

static void land(struct webhooks *webhooks, struct flight *flight, CURLcode code) {
    struct post_outcome outcome;
    struct judgement judgement;
    struct wall now = webhooks_now(webhooks);
    post_outcome(flight->post, code, &outcome);
    if (flight->trial) {
        pthread_mutex_lock(&webhooks->lock);
        trial_done(webhooks, flight->trial, ERR_OK, &outcome);
        pthread_mutex_unlock(&webhooks->lock);
        return;
    }
    note_attempt(&webhooks->settings, &flight->delivery, &outcome, now);
    log_debug("webhooks", "%s to %s: %s", flight->delivery.message_id, flight->delivery.webhook_id,
              outcome.delivered ? "delivered" : outcome.error);
    if (store_end_attempt(webhooks->settings.store, &flight->delivery) != ERR_OK)
        log_warning("webhooks", "an attempt could not be noted: it may be made again");
    judge(webhooks, &flight->delivery, &outcome, now, &judgement);
    if (judgement.changed)
        webhooks_state(webhooks, flight->delivery.webhook_id, judgement.failing_since,
                       judgement.why, judgement.disable);
    put_back(webhooks, flight->delivery.webhook_id, (struct wall){0}); /* look for the next */
}

static struct flight *take_flight(struct sender *sender, const CURL *easy) {
    struct flight **at = &sender->flights;
    while (*at && post_handle((*at)->post) != easy)
        at = &(*at)->next;
    struct flight *flight = *at;
    if (flight) {
        *at = flight->next;
        sender->count--;
    }
    return flight;
}

static void flight_free(struct webhooks *webhooks, struct flight *flight) {
    curl_multi_remove_handle(webhooks->multi, post_handle(flight->post));
    post_free(flight->post);
    free(flight);
}

static void land_all(struct sender *sender) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(sender->webhooks->multi, &left));) {
        struct flight *flight =
            message->msg == CURLMSG_DONE ? take_flight(sender, message->easy_handle) : NULL;
        if (!flight)
            continue;
        land(sender->webhooks, flight, message->data.result);
        flight_free(sender->webhooks, flight);
    }
}

/* What was under way is tried again after the next start; who tests is told. */
static void abandon(struct sender *sender) {
    struct webhooks *webhooks = sender->webhooks;
    while (sender->flights) {
        struct flight *flight = sender->flights;
        sender->flights = flight->next;
        pthread_mutex_lock(&webhooks->lock);
        if (flight->trial)
            trial_done(webhooks, flight->trial, ERR_CLOSED, NULL);
        pthread_mutex_unlock(&webhooks->lock);
        flight_free(webhooks, flight);
    }
    pthread_mutex_lock(&webhooks->lock);
    while (webhooks->trials) {
        struct trial *trial = webhooks->trials;
        webhooks->trials = trial->next;
        trial_done(webhooks, trial, ERR_CLOSED, NULL);
    }
    pthread_mutex_unlock(&webhooks->lock);
}

/* How long nothing can be due. */
static int sleep_ms(struct sender *sender) {
    struct webhooks *webhooks = sender->webhooks;
    int64_t now_ms = webhooks_now(webhooks).ms;
    int64_t wait_ms = SLEEP_MOST_MS;
    pthread_mutex_lock(&webhooks->lock);
    for (size_t i = 0; i < webhooks->count && sender->count < POSTS_AT_ONCE; i++) {
        const struct entry *entry = &webhooks->entries[i];
        if (!entry->webhook.enabled || entry->busy)
            continue;
        int64_t due_ms = entry->look ? now_ms : entry->due_at.ms;
        if (due_ms < entry->next_at.ms)
            due_ms = entry->next_at.ms;
        if (due_ms != INT64_MAX && due_ms - now_ms < wait_ms)
            wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    }
    if (webhooks->trials)
        wait_ms = 0;
    pthread_mutex_unlock(&webhooks->lock);
    return (int)wait_ms;
}

void *send_work(void *context) {
    struct sender sender = {.webhooks = context};
    CURLM *multi = sender.webhooks->multi;
    while (!webhooks_stopping(sender.webhooks)) {
        int running;
        start_due(&sender);
        start_trials(&sender);
        curl_multi_perform(multi, &running);
        land_all(&sender);
        curl_multi_poll(multi, NULL, 0, sleep_ms(&sender), NULL);
    }
    abandon(&sender);
    return NULL;
}
