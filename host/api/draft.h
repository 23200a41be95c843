/* The body of POST and PUT as a draft constraint: every mistake at once, those of form (types,
 * unknown fields) beside those of sense (ARBITRATION section 9). Pure. */
#ifndef DERD_API_DRAFT_H
#define DERD_API_DRAFT_H

#include <jansson.h>

#include "base/report.h"
#include "constraint.h"

/* Fills `draft` from `tree`: times absolute, id and creator empty. False with mistakes by JSON
 * pointer. Defaults: onConflict discard, exclusive false, validAt now; on a cluster scope
 * connection. */
must_check bool draft_read(const json_t *tree, const struct door *door, struct now now,
                           struct constraint *draft, struct report *report);

#endif
