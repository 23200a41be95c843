/* The body of a webhook's POST and PATCH: every mistake at once. */
#ifndef DERD_API_WEBHOOK_DRAFT_H
#define DERD_API_WEBHOOK_DRAFT_H

#include "api/exchange.h"
#include "base/report.h"
#include "webhooks/webhook.h"

/* Fills in what x->tree says; what it does not mention stays as it is in `webhook`. `patch`: url
 * may be left out, and `rotateSecret` is known. Clusters and devices are given by id or key and
 * must be those that the token sees. An address that stands in the URL must be reachable. False
 * with mistakes. */
must_check bool webhook_draft_read(const struct exchange *x, bool patch, struct webhook *webhook,
                                   bool *rotate, struct report *report);

#endif
