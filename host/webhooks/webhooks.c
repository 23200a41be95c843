#include "webhooks/webhooks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "store/store_audit.h"
#include "webhooks/webhooks_internal.h"

#define RETRY_FIRST_MS 5000
#define GIVE_UP_MS     (INT64_C(24) * 3600 * 1000)
#define TEST_WAIT_S    15 /* a POST takes 5 s at most; the rest is for a slow store */

/* --- shared ---------------------------------------------------------------------------------- */

struct entry *webhooks_entry(struct webhooks *webhooks, const char *id) {
    for (size_t i = 0; i < webhooks->count; i++)
        if (strcmp(webhooks->entries[i].webhook.id, id) == 0)
            return &webhooks->entries[i];
    return NULL;
}

bool webhooks_stopping(struct webhooks *webhooks) {
    pthread_mutex_lock(&webhooks->lock);
    bool stopping = webhooks->stopping;
    pthread_mutex_unlock(&webhooks->lock);
    return stopping;
}

struct wall webhooks_now(const struct webhooks *webhooks) {
    return clock_now(webhooks->settings.clock).wall;
}

void webhooks_wake(struct webhooks *webhooks) {
    curl_multi_wakeup(webhooks->multi);
}

const struct reachable *webhooks_reachable(const struct webhooks *webhooks) {
    return &webhooks->settings.reachable;
}

/* To disk, then to memory. While `changing` is held. Takes the record over. */
static enum err keep(struct webhooks *webhooks, const struct webhook *webhook,
                     struct audit_record *record) {
    char *text = webhook_write(webhook);
    enum err result = ERR_MEMORY;
    if (text)
        result = store_put_webhook(webhooks->settings.store, webhook->id, webhook->account, text,
                                   webhook->created_at, record);
    else
        audit_records_free(record);
    free(text);
    if (result != ERR_OK)
        return result;
    pthread_mutex_lock(&webhooks->lock);
    struct entry *entry = webhooks_entry(webhooks, webhook->id);
    if (entry)
        entry->webhook = *webhook;
    pthread_mutex_unlock(&webhooks->lock);
    return ERR_OK;
}

void webhooks_state(struct webhooks *webhooks, const char *id, struct wall failing_since,
                    const char *why, bool disable) {
    struct webhook webhook;
    pthread_mutex_lock(&webhooks->changing);
    if (webhooks_find(webhooks, id, &webhook)) {
        webhook.failing_since = failing_since;
        snprintf(webhook.reason, sizeof webhook.reason, "%s", why);
        if (disable && webhook.enabled) {
            webhook.enabled = false;
            webhook.disabled_at = webhooks_now(webhooks);
            log_warning("webhooks", "%s is disabled: %s", webhook.id, why);
        }
        if (keep(webhooks, &webhook, NULL) != ERR_OK)
            log_warning("webhooks", "the state of %s could not be stored", webhook.id);
    }
    pthread_mutex_unlock(&webhooks->changing);
}

/* --- what clients do ------------------------------------------------------------------------- */

struct webhook *webhooks_list(struct webhooks *webhooks, size_t *count) {
    struct webhook *list = calloc(WEBHOOKS_MAXIMUM, sizeof *list);
    pthread_mutex_lock(&webhooks->lock);
    *count = list ? webhooks->count : 0;
    for (size_t i = 0; i < *count; i++)
        list[i] = webhooks->entries[i].webhook;
    pthread_mutex_unlock(&webhooks->lock);
    return list;
}

bool webhooks_find(struct webhooks *webhooks, const char *id, struct webhook *webhook) {
    pthread_mutex_lock(&webhooks->lock);
    const struct entry *entry = webhooks_entry(webhooks, id);
    if (entry)
        *webhook = entry->webhook;
    pthread_mutex_unlock(&webhooks->lock);
    return entry != NULL;
}

/* From now on events are recorded and read. Under the lock. */
static void read_events(struct webhooks *webhooks) {
    if (webhooks->reading)
        return;
    webhooks->reading =
        events_reader_open(webhooks->settings.events, &webhooks->reader, NULL, 0) == ERR_OK;
    pthread_cond_broadcast(&webhooks->changed);
}

static bool has_room(const struct webhooks *webhooks, const char *account) {
    size_t of_account = 0;
    for (size_t i = 0; i < webhooks->count; i++)
        of_account += strcmp(webhooks->entries[i].webhook.account, account) == 0;
    return of_account < WEBHOOKS_PER_ACCOUNT && webhooks->count < WEBHOOKS_MAXIMUM;
}

enum err webhooks_create(struct webhooks *webhooks, struct webhook *webhook,
                         struct audit_record *record) {
    uuid_make(webhook->id);
    audit_record_name(record, webhook->id);
    secret_make(webhook->secret);
    webhook->created_at = webhooks_now(webhooks);
    webhook->revision = 1;
    webhook->old_secret[0] = webhook->reason[0] = '\0';
    webhook->disabled_at.ms = webhook->enabled ? 0 : webhook->created_at.ms;
    pthread_mutex_lock(&webhooks->changing);
    pthread_mutex_lock(&webhooks->lock);
    bool room = has_room(webhooks, webhook->account);
    pthread_mutex_unlock(&webhooks->lock);
    enum err result = ERR_LIMIT;
    if (room)
        result = keep(webhooks, webhook, record);
    else
        audit_records_free(record);
    if (result == ERR_OK) {
        pthread_mutex_lock(&webhooks->lock);
        webhooks->entries[webhooks->count++] = (struct entry){.webhook = *webhook};
        read_events(webhooks);
        pthread_mutex_unlock(&webhooks->lock);
    }
    pthread_mutex_unlock(&webhooks->changing);
    return result;
}

static void change_secret(struct webhooks *webhooks, struct webhook *webhook) {
    memcpy(webhook->old_secret, webhook->secret, sizeof webhook->old_secret);
    webhook->old_until.ms = webhooks_now(webhooks).ms + WEBHOOK_OLD_FOR_MS;
    secret_make(webhook->secret);
}

/* What waits is due now; `missed`: after it is told that it was disabled. */
static void hasten(struct webhooks *webhooks, const char *id, bool missed) {
    if (store_hasten_deliveries(webhooks->settings.store, id) != ERR_OK ||
        (missed && !collect_reset(webhooks, id, "revived")))
        log_warning("webhooks", "a revived webhook could not be told that it was disabled");
    pthread_mutex_lock(&webhooks->lock);
    struct entry *entry = webhooks_entry(webhooks, id);
    if (entry) {
        entry->failures = 0;
        entry->next_at.ms = 0;
        entry->look = true;
    }
    pthread_mutex_unlock(&webhooks->lock);
    webhooks_wake(webhooks);
}

static enum err apply_change(struct webhooks *webhooks, struct webhook *webhook, bool rotate,
                             int64_t revision, struct audit_record *record, bool *revived,
                             bool *moved) {
    struct webhook after;
    enum err refused = !webhooks_find(webhooks, webhook->id, &after) ? ERR_NOT_FOUND
                       : revision && after.revision != revision      ? ERR_CONFLICT
                                                                     : ERR_OK;
    if (refused != ERR_OK) {
        audit_records_free(record);
        return refused;
    }
    *revived = webhook->enabled && !after.enabled;
    if (*revived || (!webhook->enabled && after.enabled)) {
        after.enabled = webhook->enabled;
        after.disabled_at.ms = after.enabled ? 0 : webhooks_now(webhooks).ms;
        after.failing_since.ms = 0;
        snprintf(after.reason, sizeof after.reason, "%s",
                 after.enabled ? "" : "a client of the API disabled it");
    }
    *moved = strcmp(after.url, webhook->url) != 0;
    memcpy(after.url, webhook->url, sizeof after.url);
    memcpy(after.description, webhook->description, sizeof after.description);
    after.filter = webhook->filter;
    after.revision++;
    if (rotate)
        change_secret(webhooks, &after);
    enum err result = keep(webhooks, &after, record);
    if (result == ERR_OK)
        *webhook = after;
    return result;
}

enum err webhooks_change(struct webhooks *webhooks, struct webhook *webhook, bool rotate,
                         int64_t revision, struct audit_record *record) {
    bool revived = false;
    bool moved = false;
    pthread_mutex_lock(&webhooks->changing);
    enum err result = apply_change(webhooks, webhook, rotate, revision, record, &revived, &moved);
    if (result == ERR_OK && (revived || moved))
        hasten(webhooks, webhook->id, revived);
    pthread_mutex_unlock(&webhooks->changing);
    return result;
}

enum err webhooks_remove(struct webhooks *webhooks, const char *id, struct audit_record *record) {
    pthread_mutex_lock(&webhooks->changing);
    enum err result = store_remove_webhook(webhooks->settings.store, id, record);
    if (result == ERR_OK) {
        pthread_mutex_lock(&webhooks->lock);
        struct entry *entry = webhooks_entry(webhooks, id);
        if (entry) {
            size_t after = (size_t)(webhooks->entries + --webhooks->count - entry);
            memmove(entry, entry + 1, after * sizeof *entry);
        } else {
            result = ERR_NOT_FOUND;
        }
        pthread_mutex_unlock(&webhooks->lock);
    }
    pthread_mutex_unlock(&webhooks->changing);
    return result;
}

/* --- tests ----------------------------------------------------------------------------------- */

void trial_release(struct webhooks *webhooks, struct trial *trial) {
    if (--trial->owners == 0) {
        webhooks->trial_count--;
        free(trial);
    }
}

enum err webhooks_test(struct webhooks *webhooks, const struct webhook *webhook,
                       struct post_outcome *outcome) {
    struct trial *trial = calloc(1, sizeof *trial);
    struct timespec until;
    if (!trial)
        return ERR_MEMORY;
    trial->owners = 2;
    trial->webhook = *webhook;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TEST_WAIT_S;
    pthread_mutex_lock(&webhooks->lock);
    if (webhooks->stopping || webhooks->trial_count >= TESTS_AT_ONCE) {
        enum err refused = webhooks->stopping ? ERR_CLOSED : ERR_FULL;
        pthread_mutex_unlock(&webhooks->lock);
        free(trial);
        return refused;
    }
    trial->next = webhooks->trials;
    webhooks->trials = trial;
    webhooks->trial_count++;
    webhooks_wake(webhooks);
    int waited = 0;
    while (!trial->done && waited == 0)
        waited = pthread_cond_timedwait(&webhooks->changed, &webhooks->lock, &until);
    enum err result = trial->done ? trial->result : ERR_TIMEOUT;
    *outcome = trial->outcome;
    trial_release(webhooks, trial);
    pthread_mutex_unlock(&webhooks->lock);
    return result;
}

/* --- life ------------------------------------------------------------------------------------ */

static void load_row(void *context, const char *id, const char *account, const char *document) {
    struct webhooks *webhooks = context;
    struct entry *entry = &webhooks->entries[webhooks->count];
    if (webhooks->count == WEBHOOKS_MAXIMUM)
        return;
    *entry = (struct entry){.look = true};
    if (id && account && document && webhook_read(id, account, document, &entry->webhook))
        webhooks->count++;
    else
        log_error("webhooks", "the webhook %s in the store cannot be read, it is left out",
                  id ? id : "?");
}

static enum err start_threads(struct webhooks *webhooks) {
    sigset_t all, before;
    sigfillset(&all); /* signals are for the threads that wait for them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    webhooks->collecting = pthread_create(&webhooks->collector, NULL, collect_work, webhooks) == 0;
    webhooks->sending = pthread_create(&webhooks->sender, NULL, send_work, webhooks) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return webhooks->collecting && webhooks->sending ? ERR_OK : ERR_MEMORY;
}

static void free_allow(struct webhooks *webhooks) {
    for (size_t i = 0; webhooks->allow && i < webhooks->settings.reachable.count; i++)
        free(webhooks->allow[i]);
    free(webhooks->allow);
}

static bool copy_allow(struct webhooks *webhooks) {
    struct reachable *reachable = &webhooks->settings.reachable;
    bool whole = true;
    webhooks->allow = calloc(reachable->count + 1, sizeof *webhooks->allow);
    for (size_t i = 0; webhooks->allow && i < reachable->count; i++) {
        webhooks->allow[i] = strdup(reachable->entries[i]);
        whole = whole && webhooks->allow[i];
    }
    if (!webhooks->allow || !whole) {
        free_allow(webhooks);
        return false;
    }
    reachable->entries = (const char *const *)webhooks->allow;
    return true;
}

enum err webhooks_open(struct webhooks **out, const struct webhooks_settings *settings) {
    pthread_condattr_t attributes;
    struct webhooks *webhooks = calloc(1, sizeof *webhooks);
    *out = NULL;
    if (!webhooks)
        return ERR_MEMORY;
    webhooks->settings = *settings;
    if (!copy_allow(webhooks)) {
        free(webhooks);
        return ERR_MEMORY;
    }
    if (!settings->retry_first_ms)
        webhooks->settings.retry_first_ms = RETRY_FIRST_MS;
    if (!settings->give_up_ms)
        webhooks->settings.give_up_ms = GIVE_UP_MS;
    pthread_mutex_init(&webhooks->changing, NULL);
    pthread_mutex_init(&webhooks->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&webhooks->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    webhooks->multi = curl_multi_init();
    enum err result =
        webhooks->multi ? store_load_webhooks(settings->store, load_row, webhooks) : ERR_MEMORY;
    if (result == ERR_OK && webhooks->count > 0)
        read_events(webhooks);
    if (result == ERR_OK)
        result = start_threads(webhooks);
    if (result == ERR_OK) {
        *out = webhooks;
    } else {
        log_error("webhooks", "they could not be started (%s)", err_name(result));
        webhooks_close(webhooks);
    }
    return result;
}

void webhooks_close(struct webhooks *webhooks) {
    if (!webhooks)
        return;
    if (webhooks->collecting)
        events_end(webhooks->settings.events);
    pthread_mutex_lock(&webhooks->lock);
    webhooks->stopping = true;
    pthread_cond_broadcast(&webhooks->changed);
    pthread_mutex_unlock(&webhooks->lock);
    if (webhooks->multi)
        webhooks_wake(webhooks);
    if (webhooks->collecting)
        pthread_join(webhooks->collector, NULL);
    if (webhooks->sending)
        pthread_join(webhooks->sender, NULL);
    if (webhooks->reading)
        events_reader_close(&webhooks->reader);
    curl_multi_cleanup(webhooks->multi);
    curl_global_cleanup();
    free_allow(webhooks);
    pthread_cond_destroy(&webhooks->changed);
    pthread_mutex_destroy(&webhooks->lock);
    pthread_mutex_destroy(&webhooks->changing);
    free(webhooks);
}
