/* Who holds a thread of the HTTP server. A connection holds one also while nothing comes from it,
 * so when all are taken, those that only wait make way: connections whose request is not there
 * after CROWD_HEAD_MS, and bodies that come slower than CROWD_BODY_RATE. What is being answered,
 * and event streams (which are counted apart), stays. While threads are free nobody is hurried.
 *
 * To be hurried is to have the receiving half of its socket shut: what has come is still read and
 * answered, and what has not come is its end. So who sends his request at once is served, whatever
 * thousands of silent connections stand before him.
 *
 * civetweb does not give its sockets away: they are found by the kernel's table and /proc/self/fd,
 * while no connection may be closed (else a descriptor could be another's by then). Any thread; one
 * of its own. */
#ifndef DERD_API_CROWD_H
#define DERD_API_CROWD_H

#include <stddef.h>

#include "base/err.h"
#include "base/figure.h"

#define CROWD_HEAD_MS   100 /* of a request, while threads are short */
#define CROWD_BODY_MS   250 /* before a body's rate counts */
#define CROWD_BODY_RATE 16  /* bytes in a millisecond */

struct crowd;
struct seat; /* of a request that is being served */

/* `hurried` counts connections that were ended so, and must outlive the crowd. */
must_check enum err crowd_open(struct crowd **crowd, int threads, figure_t *hurried);
/* After the server has stopped. NULL is fine. */
void crowd_close(struct crowd *crowd);
/* Where the server listens: before that nobody is hurried. */
void crowd_port(struct crowd *crowd, int port);

/* A connection gets a thread; is about to be closed; is closed. The last two by one thread, in
 * turn: others may wait in between. */
void crowd_enter(struct crowd *crowd);
void crowd_closing(struct crowd *crowd);
void crowd_closed(struct crowd *crowd);

/* A request of this client is there, and is answered until seat_end() by the thread of this number,
 * 0 to threads - 1. NULL: there is no such thread, which is harmless. NULL is fine below. */
struct seat *seat_begin(struct crowd *crowd, int thread, const char *remote_address,
                        int remote_port);
void seat_reads(struct seat *seat);                  /* its body */
void seat_received(struct seat *seat, size_t bytes); /* of it */
void seat_works(struct seat *seat);                  /* it is there */
void seat_end(struct crowd *crowd, struct seat *seat);

#endif
