/* The simulated device of `derd test` for drivers that speak HTTP, UDP, lines of text or MQTT: on
 * 127.0.0.1 in a thread of its own, answering from a table, with faults on demand. Written from the
 * protocols, it shares no code with the host's clients (io/), so that the two check each other.
 *
 * The table maps what is asked to what is answered:
 *
 *   HTTP        "GET /status?x=1", "POST /rpc" or "POST /rpc {"a":1}" -> { status, body, type }
 *   UDP, lines  the text, or its start and "*" ("curr *")             -> a text; "": no answer
 *   MQTT        a topic                                               -> the payload, sent again
 *                                                                        and again
 *
 * What is not in the table is 404, or not answered. */
#ifndef DERD_KIT_TALK_H
#define DERD_KIT_TALK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "driver.h"

enum talk_fault {
    TALK_FINE,
    TALK_SILENT,    /* takes requests, answers none; MQTT: publishes nothing */
    TALK_EMPTY,     /* an empty body, text or payload */
    TALK_HTML,      /* a page in place of what was asked for */
    TALK_ERROR,     /* HTTP: status 500 */
    TALK_FORBIDDEN, /* HTTP: status 401 */
    TALK_TRUNCATED, /* half of the answer, then the end */
    TALK_HUGE,      /* more than any answer may have */
    TALK_GARBAGE    /* bytes that are none of the protocol */
};

struct talk;

/* Listens and starts the thread; NULL with errno set. `port`: chosen by the system. */
struct talk *talk_start(enum link_kind kind, uint16_t *port);
void talk_stop(struct talk *talk); /* NULL is fine */
void talk_serve(struct talk *talk, const json_t *answers);
void talk_fault(struct talk *talk, enum talk_fault fault);
/* Refuses connections (and closes those that are there), or takes them again at the same port. */
must_check enum err talk_listen(struct talk *talk, bool listen);
/* What was asked or sent since the `from`-th, as a list of { what, body or payload }; new
 * reference. */
json_t *talk_heard(struct talk *talk, size_t from);
uint64_t talk_requests(struct talk *talk);

#endif
