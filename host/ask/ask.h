/* Asking the engine from another thread: the request goes into the engine's inbox, the asking
 * thread sleeps until it is done or its patience ends. Reads never come this way; they use
 * directory.h. */
#ifndef DERD_ASK_H
#define DERD_ASK_H

#include <stdbool.h>

#include "base/err.h"
#include "base/report.h"
#include "constraint.h"
#include "store/store_audit.h"

struct engine;
struct receipt;

struct asker { /* on whose behalf */
    char created_by[CREATOR_SIZE];
    int32_t max_priority;
    struct audit_origin origin; /* for the audit log; of nobody: it is told nothing */
};

#define ASK_ITEMS_MAXIMUM 50 /* constraints put together */

/* What must be true of the one constraint that is to be changed, when the change is made. */
enum ask_expect { EXPECT_ANY, EXPECT_ABSENT, EXPECT_PRESENT, EXPECT_VERSION };

/* Makes the body of a receipt from the constraints as they will be stored; to be freed, NULL
 * without memory. On the engine's thread. */
typedef char *ask_describe(const char *target_id, struct constraint *const *items, size_t count,
                           struct wall now);

struct ask_terms { /* how a change is to be made; all zero: plainly */
    enum ask_expect expect;
    char version[CONSTRAINT_VERSION_SIZE]; /* of EXPECT_VERSION */
    bool batch;   /* mistakes and details name the place, "/constraints/3/..." */
    bool dry_run; /* all checks and the answer, but nothing is written */
    /* Kept in the transaction of the constraints, so that a repetition is noticed; NULL: none. */
    const struct receipt *receipt;
    ask_describe *describe; /* with a receipt */
};

enum ask_result {
    ASK_CREATED, /* at least one */
    ASK_REPLACED,
    ASK_REMOVED,
    ASK_NOT_DURABLE,  /* bounds applied, but the store failed: 202 with durable: false */
    ASK_INVALID,      /* 422, the report says why */
    ASK_FORBIDDEN,    /* 403: priority, or someone else's */
    ASK_NOT_FOUND,    /* 404: device or constraint gone */
    ASK_CONFLICT,     /* 409: count reached, or it belongs to a policy */
    ASK_CHANGED,      /* 412: it is not as the terms expect */
    ASK_REPEATED,     /* there is a receipt with this owner and key already */
    ASK_STORE_FAILED, /* 503: not applied */
    ASK_BUSY          /* 503: the engine did not answer in time; it may still be applied */
};

struct ask_answer {
    enum ask_result result;
    char detail[240];       /* a sentence for people, "" on success */
    struct report mistakes; /* of ASK_INVALID: JSON pointers */
    size_t count;
    struct constraint *items[ASK_ITEMS_MAXIMUM]; /* as stored; one reference each for the caller */
    bool created[ASK_ITEMS_MAXIMUM];
    size_t makes_way_count; /* scheduled ones of the same creator that had to go */
    char makes_way[ASK_ITEMS_MAXIMUM][ID_SIZE];
    char version[CONSTRAINT_VERSION_SIZE]; /* of ASK_CHANGED: of what is there, "" for nothing */
};

void ask_answer_free(struct ask_answer *answer);

/* `target_id`: UUID text, of a device or of a cluster. `drafts`, 1 to ASK_ITEMS_MAXIMUM: id "" for
 * a new one of the host's choice, else the client's, each id once; created_*, rank and durable are
 * filled in by the engine. Times are already absolute. All of them or none is put. On success they
 * are on disk and decided, in one turn: the target's `decided` snapshot shows them. Blocks up to
 * `patience_ms`. Any thread but the engine's. `answer` is for ask_answer_free(). */
void ask_put_constraints(struct engine *engine, const char *target_id,
                         const struct constraint *drafts, size_t count, const struct asker *asker,
                         const struct ask_terms *terms, int64_t patience_ms,
                         struct ask_answer *answer);
void ask_remove_constraint(struct engine *engine, const char *target_id, const char *constraint_id,
                           const struct asker *asker, const struct ask_terms *terms,
                           int64_t patience_ms, struct ask_answer *answer);

/* What is in force without being on disk as it is, since the store failed when it came or the clock
 * has stepped since, is put to the store again, a few at a time. Engine thread; every few seconds.
 */
void ask_keep_all(struct engine *engine);

#endif
