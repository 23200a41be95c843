/* The seam between a link (queue, time-outs, back-off, listeners: link.c) and what carries its
 * requests (link_tcp.c, link_rtu.c). Only those files include this one. Engine thread.
 *
 * A wire is connected at most once at a time and reports by the link_wire_ functions. All but
 * link_wire_answer() and link_wire_silent() only note what happened, so they may be called from
 * anywhere, also from inside an operation. Those two run the caller's code and are called from the
 * loop only; when they return, the wire may have been disconnected or freed. */
#ifndef DERD_LINK_WIRE_H
#define DERD_LINK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "link/mbap.h"

struct link;
struct wire;

struct wire_kind {
    const char *scheme; /* "tcp://" */
    /* A bus of many units: one request at a time, whose time the wire itself keeps, since only it
     * knows when the line is free (link_wire_silent()). Silence says nothing about the wire. */
    bool bus;
    bool (*url_valid)(const char *url, char *why, size_t why_size);              /* pure */
    struct wire *(*create)(uv_loop_t *loop, const char *url, struct link *link); /* NULL: memory */
    void (*connect)(struct wire *wire);    /* ends in link_wire_up() or link_wire_down() */
    void (*disconnect)(struct wire *wire); /* in every state; nothing is reported after it */
    void (*send)(struct wire *wire, uint16_t id, const struct modbus_request *request,
                 int64_t timeout_ms);
    void (*free)(struct wire *wire); /* disconnects first */
};

extern const struct wire_kind wire_tcp;
extern const struct wire_kind wire_rtu;

void link_wire_up(struct link *link);
/* `malformed`: what came was no answer to what was asked. */
void link_wire_down(struct link *link, bool malformed, const char *reason);
/* The request that `id` was sent with, NULL when nobody waits for it. */
const struct modbus_request *link_wire_expected(struct link *link, uint16_t id);
void link_wire_answer(struct link *link, uint16_t id, const struct modbus_answer *answer);
/* Of a bus: the time of the request is over. `malformed`: something came, but no frame. */
void link_wire_silent(struct link *link, uint16_t id, bool malformed);
/* A whole frame that link_wire_expected() did not know. */
void link_wire_foreign(struct link *link, uint16_t id);

#endif
