#include "kit/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER   7 /* transaction, protocol, length (2 each), unit */
#define FRAME    260
#define MOST     125 /* registers of a read */
#define MOST_SET 123

struct client {
    int fd;
    uint8_t data[FRAME];
    size_t length;
};

struct peer {
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    int wake;
    int listener; /* -1: refuses */
    uint16_t port;
    bool stopping;
    bool hang_up;
    enum peer_fault fault;
    enum register_kind fault_kind;
    uint16_t fault_address;
    uint64_t requests;
    peer_written *written; /* or NULL */
    const void *context;
    struct registers registers;
    struct client connections[PEER_CONNECTIONS];
};

static uint16_t word_at(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void put_word(uint8_t *bytes, uint16_t word) {
    bytes[0] = (uint8_t)(word >> 8);
    bytes[1] = (uint8_t)word;
}

/* --- the protocol --------------------------------------------------------------------------------
 */

static size_t refuse(uint8_t *pdu, uint8_t function, uint8_t exception) {
    pdu[0] = function | 0x80;
    pdu[1] = exception;
    return 2;
}

static size_t answer_read(const struct peer *peer, enum register_kind kind, const uint8_t *asked,
                          uint8_t *pdu) {
    uint16_t address = word_at(asked + 1), count = word_at(asked + 3);
    bool bits = kind == REGISTER_COIL || kind == REGISTER_DISCRETE;
    if (count < 1 || count > (bits ? 2000 : MOST))
        return refuse(pdu, asked[0], 3);
    if (!registers_have(&peer->registers, kind, address, count))
        return refuse(pdu, asked[0], 2);
    const uint16_t *words = peer->registers.words[kind] + address;
    size_t bytes = bits ? (count + 7U) / 8 : 2U * count;
    memset(pdu, 0, bytes + 2);
    pdu[0] = asked[0];
    pdu[1] = (uint8_t)bytes;
    for (uint16_t i = 0; i < count; i++) {
        if (bits)
            pdu[2 + i / 8] |= (uint8_t)((words[i] & 1) << (i % 8));
        else
            put_word(pdu + 2 + 2UL * i, words[i]);
    }
    return bytes + 2;
}

static size_t answer_single(struct peer *peer, enum register_kind kind, const uint8_t *asked,
                            uint8_t *pdu) {
    uint16_t address = word_at(asked + 1), value = word_at(asked + 3);
    if (!registers_have(&peer->registers, kind, address, 1))
        return refuse(pdu, asked[0], 2);
    if (kind == REGISTER_COIL)
        value = value == 0xFF00;
    registers_put(&peer->registers, kind, address, &value, 1);
    memcpy(pdu, asked, 5);
    return 5;
}

static size_t answer_multiple(struct peer *peer, enum register_kind kind, const uint8_t *asked,
                              size_t length, uint8_t *pdu) {
    uint16_t address = word_at(asked + 1), count = word_at(asked + 3);
    bool bits = kind == REGISTER_COIL;
    size_t bytes = bits ? (count + 7U) / 8 : 2U * count;
    if (count < 1 || count > MOST_SET || length < 6 + bytes || asked[5] != bytes)
        return refuse(pdu, asked[0], 3);
    if (!registers_have(&peer->registers, kind, address, count))
        return refuse(pdu, asked[0], 2);
    for (uint16_t i = 0; i < count; i++) {
        uint16_t value = word_at(asked + 6 + (bits ? 0 : 2UL * i));
        if (bits)
            value = (uint16_t)(asked[6 + i / 8] >> (i % 8) & 1);
        registers_put(&peer->registers, kind, (uint16_t)(address + i), &value, 1);
    }
    memcpy(pdu, asked, 5);
    return 5;
}

static size_t answer(struct peer *peer, const uint8_t *asked, size_t length, uint8_t *pdu) {
    static const int kind_of[] = {
        [1] = REGISTER_COIL,  [2] = REGISTER_DISCRETE, [3] = REGISTER_HOLDING,
        [4] = REGISTER_INPUT, [5] = REGISTER_COIL,     [6] = REGISTER_HOLDING,
        [15] = REGISTER_COIL, [16] = REGISTER_HOLDING};
    uint8_t function = asked[0];
    if (length < 5 || function < 1 || function > 16 || (function > 6 && function < 15))
        return refuse(pdu, function, 1);
    enum register_kind kind = (enum register_kind)kind_of[function];
    if (peer->fault == PEER_FAILS)
        return refuse(pdu, function, 4);
    if (peer->fault == PEER_UNREACHABLE)
        return refuse(pdu, function, 0x0B);
    uint32_t first = word_at(asked + 1),
             count = function == 5 || function == 6 ? 1 : word_at(asked + 3);
    if (peer->fault == PEER_REFUSES_BLOCK && kind == peer->fault_kind &&
        first <= peer->fault_address && first + count > peer->fault_address)
        return refuse(pdu, function, 2);
    if (function <= 4)
        return answer_read(peer, kind, asked, pdu);
    size_t size = function <= 6 ? answer_single(peer, kind, asked, pdu)
                                : answer_multiple(peer, kind, asked, length, pdu);
    if (peer->written)
        peer->written(peer->context, &peer->registers);
    return size;
}

/* One whole frame in `frame`. False: the connection is to be closed. */
static bool serve_frame(struct peer *peer, int fd, const uint8_t *frame, size_t length) {
    uint8_t out[FRAME];
    peer->requests++;
    if (peer->fault == PEER_SILENT)
        return true;
    if (peer->fault == PEER_HANGS_UP)
        return false;
    memcpy(out, frame, HEADER);
    size_t size = answer(peer, frame + HEADER, length - HEADER, out + HEADER);
    if (peer->fault == PEER_SHORT && size > 4 && frame[HEADER] <= 4) {
        size -= 2; /* the byte count says the same as the frame, but not what was asked for */
        out[HEADER + 1] = (uint8_t)(size - 2);
    } else if (peer->fault == PEER_SHORT) {
        size = 1;
    }
    put_word(out + 4, (uint16_t)(size + 1));
    if (peer->fault == PEER_FOREIGN)
        put_word(out, (uint16_t)(word_at(frame) + 0x4000));
    if (peer->fault == PEER_GARBAGE)
        memset(out, 0xA5, size + HEADER);
    return send(fd, out, size + HEADER, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

/* --- sockets -------------------------------------------------------------------------------------
 */

static void connection_close(struct client *connection) {
    /* A reset: nothing lingers, and the port is free to be taken again. */
    struct linger now = {.l_onoff = 1};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(connection->fd);
    *connection = (struct client){.fd = -1};
}

static void connection_serve(struct peer *peer, struct client *connection) {
    ssize_t got = recv(connection->fd, connection->data + connection->length,
                       FRAME - connection->length, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            connection_close(connection);
        return;
    }
    connection->length += (size_t)got;
    while (connection->length >= HEADER) {
        size_t frame = 6U + word_at(connection->data + 4);
        if (frame <= HEADER || frame > FRAME) {
            connection_close(connection);
            return;
        }
        if (connection->length < frame)
            return;
        if (!serve_frame(peer, connection->fd, connection->data, frame)) {
            connection_close(connection);
            return;
        }
        connection->length -= frame;
        memmove(connection->data, connection->data + frame, connection->length);
    }
}

static void take_connection(struct peer *peer) {
    int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < PEER_CONNECTIONS; i++)
        if (peer->connections[i].fd < 0) {
            peer->connections[i] = (struct client){.fd = fd};
            return;
        }
    if (fd >= 0)
        close(fd);
}

static void close_all(struct peer *peer) {
    for (int i = 0; i < PEER_CONNECTIONS; i++)
        if (peer->connections[i].fd >= 0)
            connection_close(&peer->connections[i]);
}

static void *peer_run(void *argument) {
    struct peer *peer = argument;
    struct pollfd waits[PEER_CONNECTIONS + 2];
    pthread_mutex_lock(&peer->lock);
    while (!peer->stopping) {
        waits[0] = (struct pollfd){.fd = peer->wake, .events = POLLIN};
        waits[1] = (struct pollfd){.fd = peer->listener, .events = POLLIN};
        for (int i = 0; i < PEER_CONNECTIONS; i++)
            waits[i + 2] = (struct pollfd){.fd = peer->connections[i].fd, .events = POLLIN};
        pthread_mutex_unlock(&peer->lock);
        int ready = poll(waits, PEER_CONNECTIONS + 2, -1);
        pthread_mutex_lock(&peer->lock);
        eventfd_t count;
        if (ready > 0 && waits[0].revents && eventfd_read(peer->wake, &count) == 0 &&
            peer->hang_up) {
            close_all(peer);
            peer->hang_up = false;
            continue;
        }
        for (int i = 0; ready > 0 && i < PEER_CONNECTIONS; i++)
            if (waits[i + 2].revents && peer->connections[i].fd == waits[i + 2].fd)
                connection_serve(peer, &peer->connections[i]);
        if (ready > 0 && waits[1].revents && peer->listener == waits[1].fd)
            take_connection(peer);
    }
    close_all(peer);
    pthread_mutex_unlock(&peer->lock);
    return NULL;
}

static int open_listener(uint16_t *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, PEER_CONNECTIONS) ||
        getsockname(fd, (struct sockaddr *)&address, &size)) {
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* --- from outside --------------------------------------------------------------------------------
 */

static void wake(struct peer *peer) {
    int ignored = eventfd_write(peer->wake, 1);
    (void)ignored;
}

struct peer *peer_start(uint16_t *port) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    for (int i = 0; i < PEER_CONNECTIONS; i++)
        peer->connections[i].fd = -1;
    pthread_mutex_init(&peer->lock, NULL);
    *port = 0;
    peer->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    peer->listener = open_listener(port);
    peer->port = *port;
    if (peer->wake >= 0 && peer->listener >= 0 &&
        pthread_create(&peer->thread, NULL, peer_run, peer) == 0)
        return peer;
    if (peer->wake >= 0)
        close(peer->wake);
    if (peer->listener >= 0)
        close(peer->listener);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
    return NULL;
}

void peer_stop(struct peer *peer) {
    if (!peer)
        return;
    pthread_mutex_lock(&peer->lock);
    peer->stopping = true;
    pthread_mutex_unlock(&peer->lock);
    wake(peer);
    pthread_join(peer->thread, NULL);
    if (peer->listener >= 0)
        close(peer->listener);
    close(peer->wake);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

void peer_react(struct peer *peer, peer_written *written, const void *context) {
    pthread_mutex_lock(&peer->lock);
    peer->written = written;
    peer->context = context;
    pthread_mutex_unlock(&peer->lock);
}

void peer_serve(struct peer *peer, const struct registers *registers) {
    pthread_mutex_lock(&peer->lock);
    peer->registers = *registers;
    pthread_mutex_unlock(&peer->lock);
}

void peer_fault(struct peer *peer, enum peer_fault fault, enum register_kind kind,
                uint16_t address) {
    pthread_mutex_lock(&peer->lock);
    peer->fault = fault;
    peer->fault_kind = kind;
    peer->fault_address = address;
    pthread_mutex_unlock(&peer->lock);
}

void peer_hang_up(struct peer *peer) {
    pthread_mutex_lock(&peer->lock);
    peer->hang_up = true;
    pthread_mutex_unlock(&peer->lock);
    wake(peer);
}

enum err peer_listen(struct peer *peer, bool listening) {
    pthread_mutex_lock(&peer->lock);
    if (!listening && peer->listener >= 0) {
        shutdown(peer->listener, SHUT_RDWR); /* the thread may be waiting for it */
        close(peer->listener);
        peer->listener = -1;
        peer->hang_up = true;
    } else if (listening && peer->listener < 0) {
        peer->listener = open_listener(&peer->port);
    }
    bool ok = (peer->listener >= 0) == listening;
    pthread_mutex_unlock(&peer->lock);
    wake(peer);
    return ok ? ERR_OK : ERR_IO;
}

void peer_read(struct peer *peer, enum register_kind kind, uint16_t address, uint16_t count,
               uint16_t *words) {
    pthread_mutex_lock(&peer->lock);
    for (uint32_t i = 0; i < count && address + i < REGISTER_SPAN; i++)
        words[i] = peer->registers.words[kind][address + i];
    pthread_mutex_unlock(&peer->lock);
}

uint64_t peer_requests(struct peer *peer) {
    pthread_mutex_lock(&peer->lock);
    uint64_t requests = peer->requests;
    pthread_mutex_unlock(&peer->lock);
    return requests;
}
