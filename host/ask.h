/* Asking the engine from another thread: the request goes into the engine's inbox, the asking
 * thread sleeps until it is done or its patience ends. Reads never come this way; they use
 * directory.h. */
#ifndef DERD_ASK_H
#define DERD_ASK_H

#include <stdbool.h>

#include "base/err.h"
#include "base/report.h"
#include "constraint.h"

struct engine;

struct asker { /* on whose behalf */
    char created_by[CREATOR_SIZE];
    int32_t max_priority;
};

enum ask_result {
    ASK_CREATED,
    ASK_REPLACED,
    ASK_REMOVED,
    ASK_NOT_DURABLE,  /* bounds applied, but the store failed: 202 with durable: false */
    ASK_INVALID,      /* 422, the report says why */
    ASK_FORBIDDEN,    /* 403: priority, or someone else's */
    ASK_NOT_FOUND,    /* 404: device or constraint gone */
    ASK_CONFLICT,     /* 409: count reached, or it belongs to a policy */
    ASK_STORE_FAILED, /* 503: not applied */
    ASK_BUSY          /* 503: the engine did not answer in time; it may still be applied */
};

struct ask_answer {
    enum ask_result result;
    char detail[240];              /* a sentence for people, "" on success */
    struct report mistakes;        /* of ASK_INVALID: JSON pointers */
    struct constraint *constraint; /* as stored; one reference for the caller, or NULL */
};

void ask_answer_free(struct ask_answer *answer);

/* `target_id`: UUID text, of a device or of a cluster. `draft`: id "" for a new one of the host's
 * choice, else the client's; created_*, rank and durable are filled in by the engine. Times are
 * already absolute. On success the constraint is on disk and decided: its `decided` snapshot shows
 * it. Blocks up to `patience_ms`. Any thread but the engine's. */
void ask_put_constraint(struct engine *engine, const char *target_id,
                        const struct constraint *draft, const struct asker *asker,
                        int64_t patience_ms, struct ask_answer *answer);
void ask_remove_constraint(struct engine *engine, const char *target_id, const char *constraint_id,
                           const struct asker *asker, int64_t patience_ms,
                           struct ask_answer *answer);

#endif
