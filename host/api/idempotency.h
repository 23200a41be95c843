/* Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a POST that is repeated with the key
 * of its first time is done once and answered alike. A key belongs to the token that sent it; with
 * another body or path it is refused (422); while the first is under way a second is told to wait
 * (409). What succeeded is kept for a day (store.h, receipts); what was refused changed nothing and
 * may be tried again with the same key.
 *
 * What comes with constraints is kept in their transaction, so that neither a host that dies nor an
 * answer that came too late lets a repetition through. Other resources keep it after the change. */
#ifndef DERD_API_IDEMPOTENCY_H
#define DERD_API_IDEMPOTENCY_H

#include "api/exchange.h"

/* What a route makes of a key. */
enum key_use {
    KEY_REFUSED, /* 400: it would not be kept */
    KEY_KEPT,
    KEY_NEEDLESS, /* nothing is changed, so it may be repeated anyway */
};

/* The keys that are under way. Any thread. */
struct keys *keys_new(void); /* NULL without memory */
void keys_free(struct keys *keys);

/* Before the handler. True: go on; x->keyed says whether there is a key. False: the answer is
 * made. */
must_check bool idempotency_begin(struct exchange *x, enum key_use use);
/* After the handler: keeps a success. */
void idempotency_end(struct exchange *x);
/* The answer kept for x->receipt's key, or the refusal of another body, or 503 when there is no
 * memory to tell. False: nothing is kept, or it cannot be read. */
bool idempotency_replay(struct exchange *x);

#endif
