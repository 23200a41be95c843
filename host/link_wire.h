/* The seam between a link (queue, time-outs, back-off, listeners: link.c) and what carries its
 * requests (link_tcp.c). Only those files include this one. Engine thread.
 *
 * A wire is connected at most once at a time and reports by the link_wire_ functions. All but
 * link_wire_answer() only note what happened, so they may be called from anywhere, also from inside
 * an operation. link_wire_answer() runs the caller's code and is called from the loop only; when it
 * returns, the wire may have been disconnected or freed. */
#ifndef DERD_LINK_WIRE_H
#define DERD_LINK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "mbap.h"

struct link;
struct wire;

struct wire_kind {
    const char *scheme;                                                          /* "tcp://" */
    bool (*url_valid)(const char *url, char *why, size_t why_size);              /* pure */
    struct wire *(*create)(uv_loop_t *loop, const char *url, struct link *link); /* NULL: memory */
    void (*connect)(struct wire *wire);    /* ends in link_wire_up() or link_wire_down() */
    void (*disconnect)(struct wire *wire); /* in every state; nothing is reported after it */
    void (*send)(struct wire *wire, uint16_t id, const struct modbus_request *request);
    void (*free)(struct wire *wire); /* disconnects first */
};

extern const struct wire_kind wire_tcp;

void link_wire_up(struct link *link);
/* `malformed`: what came was no answer to what was asked. */
void link_wire_down(struct link *link, bool malformed, const char *reason);
/* The request that `id` was sent with, NULL when nobody waits for it. */
const struct modbus_request *link_wire_expected(struct link *link, uint16_t id);
void link_wire_answer(struct link *link, uint16_t id, const struct modbus_answer *answer);
/* A whole frame that link_wire_expected() did not know. */
void link_wire_foreign(struct link *link, uint16_t id);

#endif
