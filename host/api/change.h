/* Asking the engine to change constraints, as all of their routes do it: on whose behalf, under
 * which conditions, and the answers. */
#ifndef DERD_API_CHANGE_H
#define DERD_API_CHANGE_H

#include "api/exchange.h"
#include "ask/ask.h"

struct change {
    struct target target;
    struct asker asker;
    struct ask_terms terms;
};

/* Looks up the target and ?dryRun. False with an answer. */
must_check bool change_begin(struct exchange *x, struct change *change);
/* If-Match and If-None-Match, against what is published now, and what the engine is to hold them
 * against when it comes to it. False with an answer. */
must_check bool change_expect(struct exchange *x, struct change *change, const char *id);
/* What a body must be true of. */
struct door change_door(const struct exchange *x, const struct target *target);

/* Puts the drafts, all or none; `describe` makes the receipt of a request with a key. */
void change_put(struct exchange *x, struct change *change, const struct constraint *drafts,
                size_t count, ask_describe *describe, struct ask_answer *answer);
void change_remove(struct exchange *x, struct change *change, const char *id,
                   struct ask_answer *answer);
/* True for a success; else the answer is made. `id`: of the one asked for, or "". */
bool change_accepted(struct exchange *x, const struct ask_answer *answer, const char *id);
/* What is decided now, or of a dry run would be (`removed`: id of the one taken out, NULL: none).
 * Held. NULL with an answer. */
struct decided *change_decided(struct exchange *x, const struct change *change,
                               const struct ask_answer *answer, const char *removed);

/* Members of the constraint `id` as it came out, with noEffect; `alone` when `decided` does not
 * show it. */
void change_present(struct json *json, const struct target *target, const struct decided *decided,
                    const struct constraint *alone, struct wall now);
/* Members "madeWay", "decision" and "command". */
void change_present_decision(struct json *json, const struct target *target,
                             const struct ask_answer *answer, const struct decided *decided);
void change_location(const struct target *target, const char *id, char *location, size_t size);

/* Index of the constraint with this id (any case), SIZE_MAX: not there. */
size_t change_find(const struct decided *decided, const char *id);
/* Ids are kept in lower case; a UUID is taken in any. */
void change_lower_id(const char *from, char id[ID_SIZE]);
void change_answer_missing(struct exchange *x, const char *id);

#endif
