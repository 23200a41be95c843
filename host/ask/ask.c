/* Requests to the engine. One is counted by two owners, the asking thread and the engine, so that
 * either may leave first: the asker when his patience ends, the engine when the host stops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask_internal.h"
#include "engine.h"

void ask_answer_free(struct ask_answer *answer) {
    report_free(&answer->mistakes);
    for (size_t i = 0; i < answer->count; i++)
        constraint_release(answer->items[i]);
    answer->count = 0;
}

static void ask_release(struct ask *ask) {
    if (atomic_fetch_sub(&ask->owners, 1) != 1)
        return;
    ask_answer_free(&ask->answer);
    for (size_t i = 0; i < ask->count; i++)
        constraint_release(ask->items[i]);
    free(ask->receipt.body);
    pthread_mutex_destroy(&ask->lock);
    pthread_cond_destroy(&ask->done);
    free(ask);
}

/* Takes it out of the engine's list. Gives those that waited behind it. */
static struct ask *leave_flight(struct ask *ask) {
    struct ask *behind = ask->behind_first;
    ask->behind_first = ask->behind_last = NULL;
    if (ask->in_flight) {
        struct ask **at = &ask->engine->asks;
        while (*at != ask)
            at = &(*at)->next;
        *at = ask->next;
        ask->in_flight = false;
        ask->engine->ask_count--;
    }
    return behind;
}

void ask_finish(struct ask *ask, enum ask_result result, const char *detail) {
    struct ask *behind = leave_flight(ask);
    pthread_mutex_lock(&ask->lock);
    ask->answer.result = result;
    snprintf(ask->answer.detail, sizeof ask->answer.detail, "%s", detail);
    ask->is_done = true;
    pthread_cond_signal(&ask->done);
    pthread_mutex_unlock(&ask->lock);
    ask_release(ask);
    while (behind) {
        struct ask *next = behind->next;
        behind->engine->ask_count--;
        behind->item.run(&behind->item);
        behind = next;
    }
}

/* --- on the asking thread ------------------------------------------------------------------------
 */

static struct ask *ask_new(struct engine *engine, enum ask_kind kind, const char *target_id,
                           const struct asker *asker, const struct ask_terms *terms) {
    struct ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return NULL;
    atomic_init(&ask->owners, 2);
    ask->engine = engine;
    ask->kind = kind;
    ask->asker = *asker;
    ask->terms = *terms;
    if (terms->receipt) {
        ask->receipt = *terms->receipt;
        ask->receipt.body = NULL;
        ask->terms.receipt = &ask->receipt;
    }
    snprintf(ask->target_id, sizeof ask->target_id, "%s", target_id);
    report_init(&ask->answer.mistakes);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ask->done, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&ask->lock, NULL);
    return ask;
}

struct ask *ask_new_own(struct engine *engine, enum ask_kind kind, const char *target_id) {
    static const struct asker nobody;
    static const struct ask_terms plain;
    struct ask *ask = ask_new(engine, kind, target_id, &nobody, &plain);
    if (ask)
        atomic_store(&ask->owners, 1);
    return ask;
}

/* Sleeps until done or out of patience, and moves the answer to the caller. */
static void ask_wait(struct ask *ask, int64_t patience_ms, struct ask_answer *answer) {
    int64_t until_ms = clock_mono().ms + patience_ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&ask->lock);
    int late = 0;
    while (!ask->is_done && !late)
        late = pthread_cond_timedwait(&ask->done, &ask->lock, &until);
    if (ask->is_done) {
        *answer = ask->answer;
        ask->answer = (struct ask_answer){0};
    } else {
        *answer = (struct ask_answer){.result = ASK_BUSY};
        snprintf(
            answer->detail, sizeof answer->detail,
            "the host did not answer in time; it may still be applied: look before you repeat");
    }
    pthread_mutex_unlock(&ask->lock);
}

static void ask_go(struct ask *ask, int64_t patience_ms, struct ask_answer *answer) {
    enum err err = ask ? inbox_post(&ask->engine->inbox, &ask->item) : ERR_MEMORY;
    if (err == ERR_OK) {
        ask_wait(ask, patience_ms, answer);
        ask_release(ask);
        return;
    }
    *answer = (struct ask_answer){.result = ASK_BUSY};
    snprintf(answer->detail, sizeof answer->detail, "the host is %s",
             err == ERR_CLOSED ? "stopping" : "too busy; nothing was changed");
    if (ask) {
        atomic_store(&ask->owners, 1);
        ask_release(ask);
    }
}

void ask_put_constraints(struct engine *engine, const char *target_id,
                         const struct constraint *drafts, size_t count, const struct asker *asker,
                         const struct ask_terms *terms, int64_t patience_ms,
                         struct ask_answer *answer) {
    struct ask *ask = ask_new(engine, ASK_PUT, target_id, asker, terms);
    bool whole = ask != NULL;
    for (size_t i = 0; i < count && whole; i++) {
        ask->items[i] = constraint_new(&drafts[i]);
        whole = ask->items[i] != NULL;
        ask->count += whole;
    }
    if (ask && !whole) {
        atomic_store(&ask->owners, 1);
        ask_release(ask);
        ask = NULL;
    }
    if (ask)
        ask->item.run = ask_put_run;
    ask_go(ask, patience_ms, answer);
}

void ask_remove_constraint(struct engine *engine, const char *target_id, const char *constraint_id,
                           const struct asker *asker, const struct ask_terms *terms,
                           int64_t patience_ms, struct ask_answer *answer) {
    struct ask *ask = ask_new(engine, ASK_REMOVE, target_id, asker, terms);
    if (ask) {
        ask->item.run = ask_remove_run;
        snprintf(ask->constraint_id, sizeof ask->constraint_id, "%s", constraint_id);
    }
    ask_go(ask, patience_ms, answer);
}
