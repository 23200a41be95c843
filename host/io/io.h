/* The room of the clients that driver scripts talk to devices with: HTTP, UDP, lines of text, MQTT.
 * One struct io belongs to one loop and holds what its clients share: the libraries' life, local
 * UDP ports, connections to brokers. Free of Lua; engine thread (the loop's) only; never blocks:
 * names are looked up on libuv's worker threads. A program that uses them ignores SIGPIPE.
 *
 * The same contract in every client:
 *
 *   - An operation (http_request, udp_exchange, line_exchange, mqtt_publication) is memory of the
 *     caller: zeroed before its first use, untouched by him between submit and done. Texts and
 * bytes that it points to are copied by submit and may go at once.
 *   - submit says ERR_OK: `done` will be called once, from the loop, never from inside a function
 * of these headers. Everything else: `done` will not be called, `why` of the client tells
 *     (*_why()). ERR_FULL: its queue is full; ERR_CONFLICT: it is submitted already; ERR_RANGE,
 *     ERR_FORMAT: what it asks for is not possible; ERR_CLOSED: not connected (MQTT only).
 *   - cancel is harmless at any time, also for what was never submitted, and from inside any
 *     callback: `done` will not be called, the memory is the caller's again. What is on the wire
 *     already may still reach the device; its answer goes to nobody.
 *   - `done` may do anything: submit the same operation again, cancel others, close the client.
 *     What it is given is valid until it returns.
 *   - close ends what is under way without calling `done` for any of it: it is all cancelled. It
 *     frees the client at a later loop turn, and may be called from inside any callback.
 *   - Every operation has a time limit, which counts from submit, waiting in the queue included.
 *
 * How an operation ends, with one sentence for people in `why` ("" when ok): what happened, and
 * what to do where that is known. No password, token or body is ever in it.
 *
 *   ERR_OK         an answer; whether it says yes (status 200) is for the caller to see
 *   ERR_TIMEOUT    not done within its time
 *   ERR_NOT_FOUND  the host's name is not known
 *   ERR_CLOSED     cannot connect, or the connection went before the answer was whole
 *   ERR_REFUSED    the other side's certificate is not trusted; or a broker that does not let us in
 *   ERR_FORMAT     what came is not the protocol
 *   ERR_LIMIT      the answer is larger than allowed
 *   ERR_MEMORY     memory was refused
 */
#ifndef DERD_IO_IO_H
#define DERD_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/err.h"

#define IO_WHY_SIZE 320 /* room for every sentence of this room */

struct io;

/* Starts the libraries (once per process; several loops may each have their struct io). NULL with a
 * sentence in `why` when they do not start. Any thread; the loop need not run yet. */
struct io *io_open(uv_loop_t *loop, char *why, size_t why_size);
/* Frees it and what the libraries hold. All its clients are closed before, and the loop has run
 * since until they are gone (uv_run() returned 0, or io_idle()). */
void io_close(struct io *io);
/* True when no client is left, also none that is still on its way out. */
bool io_idle(const struct io *io);

#endif
