/* What the audit log is told of changes that come through the API: on whose behalf, from where, by
 * which request (store/store_audit.h says what becomes of it). */
#ifndef DERD_API_WITNESS_H
#define DERD_API_WITNESS_H

#include "api/exchange.h"
#include "store/store_audit.h"

/* `status`: of the answer when all goes well. */
void witness_origin(const struct exchange *x, int status, struct audit_origin *origin);
/* The record of a change of something that is not a constraint. `before`, `after`: taken over; NULL
 * where there is nothing, without secrets. False with an answer without memory. */
must_check bool witness(struct exchange *x, int status, const struct audit_target *target,
                        json_t *before, json_t *after, struct audit_record **record);

#endif
