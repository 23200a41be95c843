/* Asking the engine on behalf of a grid operator's box that speaks through the API: a heartbeat, or
 * a limit, which is a heartbeat too. What was stated is in force, and on disk, when the answer
 * comes. */
#ifndef DERD_ASK_OPERATOR_H
#define DERD_ASK_OPERATOR_H

#include "ask/ask.h"
#include "operator/operator_box.h"

struct engine;

struct operator_answer {
    /* ASK_REPLACED: done. ASK_NOT_DURABLE: in force, but the store failed. ASK_NOT_FOUND: no such
     * cluster, or no box. ASK_CONFLICT: the box is a device. ASK_FORBIDDEN, ASK_CHANGED, ASK_BUSY.
     */
    enum ask_result result;
    struct operator_view view; /* as it is then; of ASK_CHANGED, ASK_FORBIDDEN, ASK_CONFLICT too */
};

#define OPERATOR_ANY_VERSION (-1)

/* `statement` NULL: a heartbeat only. `version`: the state must have this one (operator_view), or
 * OPERATOR_ANY_VERSION. Blocks up to `patience_ms`. Any thread but the engine's. */
void ask_operator(struct engine *engine, const char *cluster_id, const struct asker *asker,
                  const struct operator_statement *statement, int64_t version, int64_t patience_ms,
                  struct operator_answer *answer);

#endif
