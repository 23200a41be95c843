/* From a parsed request to a finished answer, free of the HTTP library: what may pass (route,
 * token, body), the handler, the reply. The HTTP side (api.c) gives the head and the means to read
 * a body, and sends what comes out. Any thread. */
#ifndef DERD_API_GATE_H
#define DERD_API_GATE_H

#include "api/exchange.h"

/* Reads up to `length` bytes of the body into `to`; how many came. */
typedef size_t gate_read(void *context, char *to, size_t length);

/* Fills in the answer. True when the connection may carry a further request: the head was sound and
 * the body, if there was one, was read to its end. */
bool gate_pass(struct exchange *x, const struct request_head *head, gate_read *read, void *context);

/* Whether there is a token at all; else false with 503 that says how to make the first one. Before
 * that nothing but /health is to be answered. */
bool gate_opened(struct exchange *x);

enum gate_token {
    GATE_KNOWN,
    GATE_NONE, /* the request has none */
    GATE_UNKNOWN,
    GATE_EXPIRED,
    GATE_UNDECIDED, /* it has an end and the clock cannot be trusted (token.h) */
    GATE_LOGGED_OUT /* there is no token, and the session of the cookie has ended */
};

/* What the request's token is, or without one the session of its cookie, now, which x->now is from
 * here on: also for answers that last long. Fills in x->token unless it is not known; notes that it
 * was used when it is. */
enum gate_token gate_authenticate(struct exchange *x);

#endif
