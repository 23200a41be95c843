/* The parts of a UDP client among themselves: udp.c (exchanges, ring, name) and udp_port.c
 * (sockets, of one client alone or shared). */
#ifndef DERD_IO_UDP_INTERNAL_H
#define DERD_IO_UDP_INTERNAL_H

#include <sys/queue.h>

#include "io/room.h"
#include "io/udp.h"

struct udp_job { /* one exchange under way; waiting -> current -> finished */
    TAILQ_ENTRY(udp_job) entry;
    struct udp_exchange *exchange;
    uint64_t deadline_ms;
    bool sends, awaits;
    size_t length; /* of what is sent */
    enum err result;
    char why[IO_WHY_SIZE];
    struct udp_datagram answer;
    uint8_t data[]; /* what is sent */
};

TAILQ_HEAD(udp_jobs, udp_job);

struct udp_client {
    LIST_ENTRY(udp_client) entry; /* in port->users */
    struct io *io;
    struct url url;
    char *text;
    unsigned local_port; /* 0: any */
    int64_t pause_ms;
    union address address; /* of the other side */
    bool addressed;
    uint64_t look_again_ms; /* of a name */
    struct lookup *lookup;
    struct udp_port *port; /* NULL: no socket now */
    uv_timer_t turn;
    struct udp_jobs waiting, finished;
    struct udp_job *current; /* sent, awaits its answer */
    size_t waiting_count;
    uint64_t send_ms; /* not before */
    struct udp_datagram *ring, taken;
    size_t ring_size, ring_first;
    struct udp_figures figures;
    char why[IO_WHY_SIZE];
    bool closing, turning;
};

LIST_HEAD(udp_users, udp_client);

struct udp_port {
    struct udp_port *next; /* in io->ports */
    struct io *io;
    uv_udp_t handle;
    int family;
    unsigned number; /* 0: of one client alone, connected to its other side */
    struct udp_users users;
    uint8_t input[UDP_DATA_MAXIMUM + 1];
};

/* ---- udp_port.c ---- */

/* Gives the client a socket: its own, connected to its address, or the shared one of its local port
 * and that family. 0, or an error of libuv. */
int udp_port_join(struct udp_client *client, int family);
/* Closes the socket when nobody else uses it. */
void udp_port_leave(struct udp_client *client);
/* 0, or an error of libuv. */
int udp_port_send(struct udp_client *client, const void *data, size_t length);

/* ---- udp.c: what arrives; `data` is NULL for a datagram that is too long ---- */

void udp_receive(struct udp_client *client, const uint8_t *data, size_t length);
/* The system says that what was sent reached nobody. */
void udp_refused(struct udp_client *client, int status);

#endif
