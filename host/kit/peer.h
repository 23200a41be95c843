/* The simulated device of `derd test`: Modbus TCP on 127.0.0.1 in a thread of its own, answering
 * from a set of registers, with faults on demand. It is written from the protocol and shares no
 * code with the host's side (mbap.c), so that the two check each other.
 *
 * Source: Modbus Application Protocol V1.1b3; Modbus Messaging on TCP/IP V1.0b. */
#ifndef DERD_KIT_PEER_H
#define DERD_KIT_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kit/registers.h"

#define PEER_CONNECTIONS 16

enum peer_fault {
    PEER_FINE,
    PEER_SILENT,        /* takes requests, answers none */
    PEER_HANGS_UP,      /* closes the connection at each request */
    PEER_REFUSES_BLOCK, /* exception 2 for what touches one register */
    PEER_FAILS,         /* exception 4 for everything */
    PEER_UNREACHABLE,   /* exception 0x0B: a gateway without this unit */
    PEER_GARBAGE,       /* bytes that are no frame */
    PEER_SHORT,         /* a frame with fewer registers than asked for */
    PEER_FOREIGN        /* answers under another transaction id */
};

struct peer;

/* Listens and starts the thread; NULL with errno set. `port`: chosen by the system. */
struct peer *peer_start(uint16_t *port);
void peer_stop(struct peer *peer);
/* What the device does by itself once something was written: `written` sees its registers, on the
 * peer's thread. Before the first connection. */
typedef void peer_written(const void *context, struct registers *registers);
void peer_react(struct peer *peer, peer_written *written, const void *context);
/* Replaces the registers (copied). Any thread but the peer's. */
void peer_serve(struct peer *peer, const struct registers *registers);
/* `kind`, `address`: of PEER_REFUSES_BLOCK. */
void peer_fault(struct peer *peer, enum peer_fault fault, enum register_kind kind,
                uint16_t address);
void peer_hang_up(struct peer *peer); /* closes all connections once */
/* Refuses connections (and closes those that are there), or takes them again at the same port. */
must_check enum err peer_listen(struct peer *peer, bool listen);
/* What stands in the registers now, with what was written. */
void peer_read(struct peer *peer, enum register_kind kind, uint16_t address, uint16_t count,
               uint16_t *words);
uint64_t peer_requests(struct peer *peer);

#endif
