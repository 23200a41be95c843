/* A new generation on probation, beside the one that it has replaced: kept until the new one has
 * proven itself (probation.h), and taken back when it has not. A second change in the meantime goes
 * on probation against the same old one, the last that has proven itself. Engine thread. */
#ifndef DERD_TRIAL_H
#define DERD_TRIAL_H

#include "base/clock.h"
#include "engine.h"
#include "script/library.h"
#include "script/probation.h"

struct trial {
    struct trial *next;
    struct generation *old, *fresh; /* one reference each */
    struct mono begun;
    struct tally before;           /* of the old one's machines */
    bool failed;                   /* of a policy: an instance had an error */
    char error[SCRIPT_ERROR_SIZE]; /* the first of the new one */
};

/* `fresh` is about to replace `old`: before any machine or instance has it. */
void trial_begin(struct engine *engine, struct generation *old, struct generation *fresh);
/* Something went wrong with this generation: the first text is kept for the roll-back. */
void trial_note(struct engine *engine, const struct generation *generation, const char *error);
/* The same of a policy: it goes back in the next turn. */
void trial_policy_failed(struct engine *engine, const struct generation *generation,
                         const char *error);
/* Judges all of them. Not from inside a script's call. */
void trials_look(struct engine *engine);
void trials_free(struct engine *engine);

#endif
