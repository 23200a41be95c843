/* A UDP client: datagrams to and from one host and port. The contract of all clients stands in
 * io/io.h.
 *
 * One exchange is under way at a time; others wait in order. It sends, then the next datagram of
 * that host is its answer. UDP carries no request id, so a late answer looks like an early one.
 * Without a fixed local port the socket is exchanged for one of another port when an exchange that
 * has sent ends without an answer (time-out, cancel): late answers then reach nobody. With one they
 * cannot be told from others: the caller looks at what the answer says.
 *
 * What arrives while no exchange waits is kept in a ring, the oldest given up when it is full; an
 * exchange that sends nothing is answered from there first.
 * Datagrams of other hosts are dropped. Some devices answer to, and report by themselves to, one
 * fixed port of ours (KEBA: 7090): clients of one struct io may share a `local_port`; senders are
 * told apart by address and port, or by address alone where only one client has it. */
#ifndef DERD_IO_UDP_H
#define DERD_IO_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "io/io.h"

#define UDP_DATA_MAXIMUM  2048 /* a longer datagram is dropped and counted */
#define UDP_RING_MAXIMUM  64
#define UDP_QUEUE_MAXIMUM 64 /* exchanges that wait */

struct udp_settings {    /* 0: the default */
    unsigned local_port; /* default: any free one, of this client alone */
    size_t ring;         /* datagrams kept, default 16, at most UDP_RING_MAXIMUM */
    int64_t pause_ms;    /* least time between two that are sent, default 0 */
};

struct udp_datagram {
    struct mono at; /* when it arrived */
    size_t length;
    uint8_t data[UDP_DATA_MAXIMUM + 1]; /* a NUL stands behind the data */
};

struct udp_client;
struct udp_exchange;

/* `answer` is NULL unless ERR_OK, and also then when none was awaited. */
typedef void udp_done(struct udp_exchange *exchange, enum err result,
                      const struct udp_datagram *answer, const char *why);

struct udp_exchange { /* memory of the caller; see io/io.h */
    const void *data; /* to be sent, at most UDP_DATA_MAXIMUM bytes; NULL: only await */
    size_t length;
    bool send_only;     /* done when sent; nothing is awaited */
    int64_t timeout_ms; /* default 1000, at most 120000 */
    udp_done *done;
    void *owner;
    /* the client's */
    struct udp_client *client;
    struct udp_job *job;
};

struct udp_figures {
    uint64_t sent, received, foreign, oversize, dropped; /* dropped: pushed out of the ring */
    size_t kept;                                         /* in the ring, now */
};

/* `url`: "udp://host:port"; see io/url.h. NULL with a sentence in `why` when something is wrong,
 * also when the local port is in use by another program. `settings` may be NULL. */
struct udp_client *udp_open(struct io *io, const char *url, const struct udp_settings *settings,
                            char *why, size_t why_size);
void udp_close(struct udp_client *client);
must_check enum err udp_submit(struct udp_client *client, struct udp_exchange *exchange);
void udp_cancel(struct udp_exchange *exchange);
/* The oldest that came unasked, off the ring; NULL: none. Valid until the next turn of the loop or
 * call for this client. */
const struct udp_datagram *udp_take(struct udp_client *client);
const char *udp_why(const struct udp_client *client);
const char *udp_url(const struct udp_client *client);
const struct udp_figures *udp_figures(const struct udp_client *client);
bool udp_url_valid(const char *url, char *why, size_t why_size); /* pure */

#endif
