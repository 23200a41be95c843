/* What the files of this room share among themselves; nobody else includes this. */
#ifndef DERD_IO_ROOM_H
#define DERD_IO_ROOM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "io/io.h"
#include "io/url.h"

struct udp_port;
struct mqtt_connection;

struct io {
    uv_loop_t *loop;
    size_t live;                         /* clients, lookups and so on that are not freed yet */
    struct udp_port *ports;              /* shared local ports, of udp_port.c */
    struct mqtt_connection *connections; /* to brokers, of mqtt_connection.c */
};

/* The loop's clock, read anew: deadlines do not shrink by what callers' code took before. */
static inline uint64_t room_now_ms(void) {
    return uv_hrtime() / 1000000;
}

/* Starts `timer` for the moment `due_ms` of that clock; UINT64_MAX stops it. A turn that arms its
 * own timer says `again`: it then waits at least 1 ms, since libuv runs a timer of 0 ms that was
 * set by a timer in the same pass, and sockets would get no turn. */
void room_arm(uv_timer_t *timer, uv_timer_cb turn, uint64_t due_ms, bool again);

/* `given` within 1..most, or `usual` when it is 0 or less. */
static inline int64_t room_time(int64_t given, int64_t usual, int64_t most) {
    return given <= 0 ? usual : given > most ? most : given;
}

#define OPERATION_TIMEOUT_MAXIMUM_MS 120000

/* ---- names ---- */

#define ADDRESSES_MAXIMUM 8

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

struct addresses {
    size_t count;
    union address list[ADDRESSES_MAXIMUM];
};

/* Pure. The second only of two of one family. */
bool address_same_host(const union address *a, const union address *b);
bool address_same_port(const union address *a, const union address *b);

struct lookup;
/* `status`: 0, or an error of libuv; then there are no addresses. From the loop. */
typedef void lookup_done(void *owner, int status, const struct addresses *addresses);

/* The address of a host that needs no lookup; false: it is a name. Pure. */
bool addresses_of(const struct url *url, struct addresses *addresses);
/* Looks the name up on a worker thread. `family`: AF_UNSPEC or AF_INET. NULL: memory is refused. */
struct lookup *lookup_start(struct io *io, const struct url *url, int family, lookup_done *done,
                            void *owner);
/* `done` will not be called. What is under way ends by itself; NULL is harmless. */
void lookup_cancel(struct lookup *lookup);

#endif
