/* Looking ahead on one device: who is in force at a later moment, what is decided then, when the
 * decision changes next, and whether one constraint can have any effect. All of it
 * follows from the published snapshot (struct decided), taken as if nothing but time went on: no
 * constraint comes or goes, state of charge and allowed ranges stay. Pure, any thread; the memory
 * is freed before return.
 *
 * A constraint that is in force in the snapshot although its end has passed was held there on
 * purpose (a clock that cannot be trusted): its end is not known, so it stays. */
#ifndef DERD_OUTLOOK_H
#define DERD_OUTLOOK_H

#include "directory.h"

#define OUTLOOK_BOUNDARIES 500 /* moments looked at, at most */

/* Whether items[index] is in force at `at`; its set point too in *with_set. */
bool outlook_in_force(const struct decided *decided, size_t index, struct wall at, bool *with_set);
/* What is decided at one moment; *_by are indices into items. ERR_MEMORY, ERR_NOT_FOUND (the device
 * cannot be controlled). */
must_check enum err outlook_decide(const struct decided *decided, struct wall at,
                                   struct decision *decision);
/* The next moment after decided->at at which the decision becomes another one, or its winners
 * others. ERR_NOT_FOUND: none is known (also while the clock is not trusted); ERR_LIMIT: none
 * within OUTLOOK_BOUNDARIES. */
must_check enum err outlook_next_change(const struct decided *decided, struct wall *at);
/* True when items[index] is discarded or excluded at every moment of its life, and not by a gate of
 * the state of charge, which may open. Unsure (memory, clock, too many boundaries): false. */
bool outlook_no_effect(const struct decided *decided, size_t index);
/* Starts and ends after `after` and before `before`, in order, each once. To be freed; NULL without
 * memory, with *count 0. */
int64_t *outlook_moments(const struct decided *decided, int64_t after, int64_t before,
                         size_t *count);

#endif
