/* The queue and its thread. Each round takes all that waits and writes it as one transaction, then
 * makes the buckets that have ended and removes what is too old. */
#include "telemetry/telemetry.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "telemetry/telemetry_internal.h"

#define QUEUE_PER_DEVICE 12 /* where that is more than TELEMETRY_QUEUE_LEAST */

/* --- the queue ------------------------------------------------------------------------------- */

/* What may wait: more where more devices bring it, so that rows of some seconds are written at once
 * however many there are. Samples get three quarters of it, the rest is for decisions. */
static size_t queue_maximum(struct telemetry *telemetry) {
    size_t maximum = QUEUE_PER_DEVICE * atomic_load(&telemetry->track_count);
    return maximum > TELEMETRY_QUEUE_LEAST ? maximum : TELEMETRY_QUEUE_LEAST;
}

static size_t wake_at(struct telemetry *telemetry) {
    return queue_maximum(telemetry) / 2;
}

static void drop_one(struct telemetry *telemetry, const struct entry *entry) {
    if (entry->kind == ENTRY_SAMPLE && !entry->trusted)
        telemetry->status.dropped_untimed++;
    else
        telemetry->status.dropped++;
}

/* `data`: entry->length bytes. Takes the entry's ruling over in any case. */
static void queue_put(struct telemetry *telemetry, const struct entry *entry,
                      const unsigned char *data) {
    pthread_mutex_lock(&telemetry->lock);
    bool sample = entry->kind == ENTRY_SAMPLE;
    struct entry_queue *queue = &telemetry->queue;
    size_t maximum = queue_maximum(telemetry);
    bool room = queue->count < (sample ? maximum / 4 * 3 : maximum);
    bool taken = room && !telemetry->closing && (!sample || entry->trusted);
    bool kept = taken && entry_queue_add(queue, entry, data);
    if (kept) {
        if (queue->count == wake_at(telemetry))
            pthread_cond_signal(&telemetry->wake);
    } else {
        drop_one(telemetry, entry);
    }
    pthread_mutex_unlock(&telemetry->lock);
    if (!kept && entry->kind == ENTRY_RULING)
        free(entry->ruling);
}

static struct entry entry_of(enum entry_kind kind, const struct origin *origin, struct now now) {
    return (struct entry){.kind = (unsigned char)kind,
                          .origin = *origin,
                          .mono_ms = now.mono.ms,
                          .wall_ms = now.wall.ms,
                          .trusted = now.trusted};
}

void telemetry_sample(struct telemetry *telemetry, const struct origin *origin, struct now now,
                      const struct sample *sample, double rated_w) {
    if (!telemetry)
        return;
    unsigned char data[SAMPLE_BYTES_MAXIMUM];
    struct entry entry = entry_of(ENTRY_SAMPLE, origin, now);
    entry.wall_ms = sample->at_ms;
    entry.reach = (unsigned char)sample->reach;
    entry.rated_w = rated_w;
    entry.length = (uint16_t)sample_pack(sample, data);
    queue_put(telemetry, &entry, data);
}

void telemetry_ruling(struct telemetry *telemetry, const struct origin *origin, struct now now,
                      const struct ruling *ruling) {
    struct ruling *copy = telemetry ? malloc(sizeof *copy) : NULL;
    if (!copy)
        return;
    *copy = *ruling;
    struct entry entry = entry_of(ENTRY_RULING, origin, now);
    entry.ruling = copy;
    queue_put(telemetry, &entry, NULL);
}

void telemetry_told(struct telemetry *telemetry, const struct origin *origin, struct now now,
                    enum command_state state, struct wall since) {
    if (!telemetry)
        return;
    struct entry entry = entry_of(ENTRY_TOLD, origin, now);
    entry.state = (unsigned char)state;
    entry.since_ms = since.ms;
    queue_put(telemetry, &entry, NULL);
}

void telemetry_leave(struct telemetry *telemetry, const struct origin *origin, struct now now) {
    if (!telemetry)
        return;
    struct entry entry = entry_of(ENTRY_LEAVE, origin, now);
    queue_put(telemetry, &entry, NULL);
}

void telemetry_retain(struct telemetry *telemetry, const struct retention *retention) {
    if (!telemetry)
        return;
    pthread_mutex_lock(&telemetry->lock);
    telemetry->retention = *retention;
    pthread_mutex_unlock(&telemetry->lock);
}

void telemetry_status(struct telemetry *telemetry, struct telemetry_status *status) {
    pthread_mutex_lock(&telemetry->lock);
    *status = telemetry->status;
    pthread_mutex_unlock(&telemetry->lock);
}

void telemetry_settle(struct telemetry *telemetry) {
    pthread_mutex_lock(&telemetry->lock);
    uint64_t asked = ++telemetry->settle_asked;
    pthread_cond_signal(&telemetry->wake);
    while (telemetry->settle_done < asked)
        pthread_cond_wait(&telemetry->settled, &telemetry->lock);
    pthread_mutex_unlock(&telemetry->lock);
}

/* --- the thread ------------------------------------------------------------------------------ */

struct batch { /* what one round works on */
    struct entry_queue entries;
    struct retention retention;
    uint64_t settle;
    bool closing;
};

static void wait_a_round(struct telemetry *telemetry, bool busy) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t wait_ms = busy ? 1 : telemetry->commit_ms;
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    int waited = 0;
    while (waited == 0 && !telemetry->closing && telemetry->queue.count < wake_at(telemetry) &&
           telemetry->settle_asked == telemetry->settle_done)
        waited = pthread_cond_timedwait(&telemetry->wake, &telemetry->lock, &until);
}

static void take_batch(struct telemetry *telemetry, struct batch *batch, bool busy) {
    pthread_mutex_lock(&telemetry->lock);
    wait_a_round(telemetry, busy);
    batch->entries = telemetry->queue;
    telemetry->queue = (struct entry_queue){0};
    batch->retention = telemetry->retention;
    batch->settle = telemetry->settle_asked;
    batch->closing = telemetry->closing;
    pthread_mutex_unlock(&telemetry->lock);
}

static void note_result(struct telemetry *telemetry, const struct batch *batch, bool written) {
    pthread_mutex_lock(&telemetry->lock);
    if (written)
        telemetry->status.failing = false;
    struct entry_chunk *chunk = NULL;
    struct entry *entry = NULL;
    while (!written && (entry = entry_queue_next(&batch->entries, &chunk, entry)))
        drop_one(telemetry, entry);
    uint64_t dropped = telemetry->status.dropped;
    pthread_mutex_unlock(&telemetry->lock);
    if (written && dropped && telemetry->told_dropped)
        log_info("history", "it is written again; %llu samples were dropped since the start",
                 (unsigned long long)dropped);
    telemetry->told_dropped = !written && (telemetry->told_dropped || batch->entries.count > 0);
}

/* One round on the file. True when there is more to do at once. */
static bool work_round(struct telemetry *telemetry, const struct batch *batch) {
    bool more = false;
    if (!telemetry->db && !telemetry_file_open(telemetry)) {
        note_result(telemetry, batch, false);
        return false;
    }
    if (atomic_exchange(&telemetry->doubted, false))
        telemetry_file_examine(telemetry);
    bool written = telemetry->db && telemetry_write(telemetry, &batch->entries);
    note_result(telemetry, batch, written);
    struct now now = clock_now(telemetry->clock);
    if (written && telemetry_roll(telemetry, now, &more) && !more && now.trusted)
        (void)telemetry_prune(telemetry, now, &batch->retention, batch->entries.count);
    return more && telemetry->db;
}

static void *work(void *context) {
    struct telemetry *telemetry = context;
    struct batch batch = {.closing = false};
    bool busy = true; /* opens the file at once */
    while (!batch.closing) {
        take_batch(telemetry, &batch, busy);
        busy = work_round(telemetry, &batch);
        entry_queue_free(&batch.entries);
        pthread_mutex_lock(&telemetry->lock);
        if (!busy && telemetry->settle_done < batch.settle) {
            telemetry->settle_done = batch.settle;
            pthread_cond_broadcast(&telemetry->settled);
        }
        pthread_mutex_unlock(&telemetry->lock);
    }
    if (telemetry->db)
        (void)telemetry_write_end(telemetry);
    telemetry_file_close(telemetry);
    tracks_free(telemetry);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static void telemetry_free(struct telemetry *telemetry) {
    pthread_cond_destroy(&telemetry->settled);
    pthread_cond_destroy(&telemetry->wake);
    pthread_mutex_destroy(&telemetry->lock);
    entry_queue_free(&telemetry->queue);
    free(telemetry->path);
    free(telemetry);
}

enum err telemetry_open(struct telemetry **out, const struct telemetry_settings *settings) {
    *out = NULL;
    struct telemetry *telemetry = calloc(1, sizeof *telemetry);
    if (!telemetry)
        return ERR_MEMORY;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&telemetry->lock, NULL);
    pthread_cond_init(&telemetry->wake, &monotonic);
    pthread_cond_init(&telemetry->settled, NULL);
    pthread_condattr_destroy(&monotonic);
    size_t length = strlen(settings->directory) + sizeof "/telemetry.db";
    telemetry->path = malloc(length);
    telemetry->clock = settings->clock;
    telemetry->commit_ms = settings->commit_ms ? settings->commit_ms : TELEMETRY_COMMIT_MS;
    telemetry->retention = settings->retention;
    bool ok = telemetry->path != NULL;
    if (ok) {
        snprintf(telemetry->path, length, "%s/telemetry.db", settings->directory);
        sigset_t all, before; /* signals are for the threads that wait for them */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        ok = pthread_create(&telemetry->thread, NULL, work, telemetry) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!ok) {
        telemetry_free(telemetry);
        return ERR_MEMORY;
    }
    *out = telemetry;
    return ERR_OK;
}

void telemetry_close(struct telemetry *telemetry) {
    if (!telemetry)
        return;
    pthread_mutex_lock(&telemetry->lock);
    telemetry->closing = true;
    pthread_cond_signal(&telemetry->wake);
    pthread_mutex_unlock(&telemetry->lock);
    pthread_join(telemetry->thread, NULL);
    telemetry_free(telemetry);
}
