/* Modbus TCP on the loop: name, address, socket, frames.
 *
 * Handles outlive what they serve by a loop turn or, for a name that is being looked up, by longer.
 * So each stands in memory of its own with a pointer back to the wire; a disconnect clears that
 * pointer, and what arrives afterwards is nobody's. What comes in is read into one room for all
 * connections of a thread: whole frames leave it at once, and the beginning of one, which is all
 * that ever stays, is kept beside its socket until the rest is there. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/warm.h"
#include "io/url.h"
#include "link/link_wire.h"

#define HOST_SIZE  254 /* RFC 1035: a name has at most 253 characters */
#define INPUT_SIZE ((size_t)4 * MBAP_MAXIMUM)

struct socket {
    uv_tcp_t handle;
    struct wire *wire; /* NULL: given up */
    uv_os_fd_t fd;     /* once it is connected */
    unsigned waiting;  /* frames that it did not take at once */
    uint8_t *kept;     /* the beginning of a frame, MBAP_MAXIMUM; NULL: none came in parts yet */
    size_t kept_length;
};

/* Between the two calls that libuv makes for one read, on_room() and on_read(), nothing else runs
 * on the thread. */
static _Thread_local uint8_t input[INPUT_SIZE];

struct lookup {
    uv_getaddrinfo_t request;
    struct wire *wire; /* NULL: given up */
};

struct output { /* of a frame that the socket did not take at once */
    uv_write_t request;
    uint8_t frame[MBAP_MAXIMUM];
};

struct wire {
    uv_loop_t *loop;
    struct link *link;
    unsigned port;
    struct lookup *lookup;
    struct addrinfo *addresses; /* while connecting by name */
    struct addrinfo *next_address;
    struct socket *socket;
    char host[]; /* with its NUL */
};

/* ---- the address ---- */

static bool is_address(const char *host, unsigned port, struct sockaddr_storage *address) {
    return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)address) == 0;
}

static bool port_parse(const char *text, unsigned *port) {
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 5 || text[length])
        return false;
    *port = (unsigned)strtoul(text, NULL, 10);
    return *port >= 1 && *port <= 65535;
}

static bool host_valid(const char *host, bool bracketed) {
    struct sockaddr_storage address;
    if (bracketed)
        return uv_ip6_addr(host, 0, (struct sockaddr_in6 *)&address) == 0;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    size_t digits = strspn(host, "0123456789.");
    if (host[digits] == '\0') /* 192.168.1.300 is a typing mistake, not a name */
        return uv_ip4_addr(host, 0, (struct sockaddr_in *)&address) == 0;
    for (const char *at = host; *at; at++)
        if (!strchr(letters, *at) && !strchr("0123456789.", *at))
            return false;
    return true;
}

/* Host (HOST_SIZE) and port of "tcp://host:port"; what is wrong as a constant text, or NULL. */
static const char *url_split(const char *url, char *host, unsigned *port) {
    const char *start = url + strlen(wire_tcp.scheme), *end = NULL;
    bool bracketed = *start == '[';
    if (bracketed) {
        start++;
        end = strchr(start, ']');
        if (!end)
            return "the ] after the IPv6 address is missing";
    } else {
        end = start + strcspn(start, ":/");
    }
    size_t length = (size_t)(end - start);
    if (length == 0)
        return "the host is missing";
    if (length >= HOST_SIZE)
        return "the host is longer than a name may be";
    memcpy(host, start, length);
    host[length] = '\0';
    if (!host_valid(host, bracketed))
        return "the host is neither a name nor an address (IPv6 stands in brackets: [fe80::1])";
    end += bracketed;
    if (*end != ':')
        return "the port is missing: most Modbus TCP devices use 502";
    if (!port_parse(end + 1, port))
        return "the port is not a number from 1 to 65535, with nothing after it";
    return NULL;
}

static bool tcp_url_valid(const char *url, char *why, size_t why_size) {
    char host[HOST_SIZE];
    unsigned port = 0;
    char shown[URL_SHOWN_SIZE];
    const char *mistake = url_split(url, host, &port);
    if (mistake)
        snprintf(why, why_size, "expected tcp://host:port, got \"%s\": %s", url_shown(url, shown),
                 mistake);
    return !mistake;
}

static struct wire *tcp_create(uv_loop_t *loop, const char *url, struct link *link) {
    char host[HOST_SIZE];
    unsigned port = 0;
    if (url_split(url, host, &port))
        return NULL;
    size_t size = strlen(host) + 1;
    struct wire *wire = calloc(1, sizeof *wire + size);
    if (!wire)
        return NULL;
    wire->loop = loop;
    wire->link = link;
    wire->port = port;
    memcpy(wire->host, host, size);
    return wire;
}

/* ---- going down ---- */

static void on_socket_closed(uv_handle_t *handle) {
    struct socket *socket = handle->data;
    free(socket->kept);
    free(socket);
}

static void socket_drop(struct wire *wire) {
    if (!wire->socket)
        return;
    wire->socket->wire = NULL;
    uv_close((uv_handle_t *)&wire->socket->handle, on_socket_closed);
    wire->socket = NULL;
}

static void addresses_drop(struct wire *wire) {
    uv_freeaddrinfo(wire->addresses);
    wire->addresses = wire->next_address = NULL;
}

static void tcp_disconnect(struct wire *wire) {
    socket_drop(wire);
    addresses_drop(wire);
    if (wire->lookup) {
        wire->lookup->wire = NULL;
        uv_cancel((uv_req_t *)&wire->lookup->request); /* one under way ends by itself */
        wire->lookup = NULL;
    }
}

static void tcp_free(struct wire *wire) {
    tcp_disconnect(wire);
    free(wire);
}

static void wire_fail(struct wire *wire, const char *what, int status) {
    char reason[160];
    snprintf(reason, sizeof reason, "%s: %s", what, uv_strerror(status));
    link_wire_down(wire->link, false, reason);
}

/* ---- frames in ---- */

/* What is left of the input, less than a frame, until more comes. */
static void socket_keep(struct socket *socket, const uint8_t *data, size_t length) {
    socket->kept_length = 0;
    if (length == 0)
        return;
    if (!socket->kept)
        socket->kept = malloc(MBAP_MAXIMUM);
    if (!socket->kept || length > MBAP_MAXIMUM) {
        wire_fail(socket->wire, "the connection is given up", UV_ENOMEM);
        return;
    }
    memcpy(socket->kept, data, length);
    socket->kept_length = length;
}

/* Takes whole frames off the input. Each may lead to a disconnect, or free the wire. */
static void socket_take_frames(struct socket *socket, size_t filled) {
    size_t at = 0;
    while (socket->wire && at < filled) {
        struct link *link = socket->wire->link;
        const uint8_t *data = input + at;
        size_t length = filled - at, consumed = 0;
        uint16_t id = 0;
        struct modbus_answer answer;
        if (!mbap_transaction_id(data, length, &id))
            break;
        enum mbap_verdict verdict =
            mbap_decode(data, length, id, link_wire_expected(link, id), &answer, &consumed);
        at += consumed;
        switch (verdict) {
        case MBAP_INCOMPLETE:
            socket_keep(socket, data, length);
            return;
        case MBAP_ANSWER:
            link_wire_answer(link, id, &answer);
            break;
        case MBAP_FOREIGN:
            link_wire_foreign(link, id);
            break;
        case MBAP_MALFORMED:
            link_wire_down(link, true, "the device sent what is no answer to the request");
            break;
        }
    }
    if (socket->wire)
        socket_keep(socket, input + at, filled - at);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    (void)suggested;
    struct socket *socket = handle->data;
    if (socket->kept_length)
        memcpy(input, socket->kept, socket->kept_length);
    *room = uv_buf_init((char *)input + socket->kept_length,
                        (unsigned)(sizeof input - socket->kept_length));
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *room) {
    (void)room;
    struct socket *socket = stream->data;
    if (!socket->wire)
        return;
    if (length < 0) {
        wire_fail(socket->wire, "the connection is lost", (int)length);
        return;
    }
    if (length > 0)
        socket_take_frames(socket, socket->kept_length + (size_t)length);
}

/* ---- connecting ---- */

static int socket_connect(struct wire *wire, const struct sockaddr *address);

/* Tries the addresses of a name one after another; reports when none is left. */
static void try_addresses(struct wire *wire, int status) {
    while (wire->next_address) {
        const struct addrinfo *address = wire->next_address;
        wire->next_address = address->ai_next;
        status = socket_connect(wire, address->ai_addr);
        if (status == 0)
            return;
    }
    wire_fail(wire, "cannot connect", status);
}

static void on_connected(uv_connect_t *request, int status) {
    struct socket *socket = request->handle->data;
    struct wire *wire = socket->wire;
    free(request);
    if (!wire)
        return;
    if (status == 0)
        status = uv_fileno((uv_handle_t *)&socket->handle, &socket->fd);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&socket->handle, on_room, on_read);
    if (status < 0) {
        socket_drop(wire);
        try_addresses(wire, status);
        return;
    }
    uv_tcp_nodelay(&socket->handle, 1); /* a failure costs latency only */
    addresses_drop(wire);
    link_wire_up(wire->link);
}

static int socket_connect(struct wire *wire, const struct sockaddr *address) {
    struct socket *socket = calloc(1, sizeof *socket);
    if (!socket)
        return UV_ENOMEM;
    int status = uv_tcp_init(wire->loop, &socket->handle);
    if (status < 0) {
        free(socket);
        return status;
    }
    socket->handle.data = socket;
    socket->wire = wire;
    wire->socket = socket;
    uv_connect_t *request = malloc(sizeof *request); /* for as long as it takes */
    status = request ? uv_tcp_connect(request, &socket->handle, address, on_connected) : UV_ENOMEM;
    if (status < 0) {
        free(request);
        socket_drop(wire);
    }
    return status;
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses) {
    struct lookup *lookup = request->data;
    struct wire *wire = lookup->wire;
    free(lookup);
    if (!wire) {
        uv_freeaddrinfo(addresses);
        return;
    }
    wire->lookup = NULL;
    if (status < 0) {
        wire_fail(wire, "the host's name is not known", status);
        return;
    }
    wire->addresses = wire->next_address = addresses;
    try_addresses(wire, UV_EADDRNOTAVAIL);
}

static int lookup_start(struct wire *wire) {
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return UV_ENOMEM;
    lookup->wire = wire;
    lookup->request.data = lookup;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char service[6];
    snprintf(service, sizeof service, "%u", wire->port & 0xFFFF);
    int status =
        uv_getaddrinfo(wire->loop, &lookup->request, on_looked_up, wire->host, service, &hints);
    if (status < 0)
        free(lookup);
    else
        wire->lookup = lookup;
    return status;
}

static void tcp_connect(struct wire *wire) {
    struct sockaddr_storage address;
    int status = is_address(wire->host, wire->port, &address)
                     ? socket_connect(wire, (const struct sockaddr *)&address)
                     : lookup_start(wire);
    if (status < 0)
        wire_fail(wire, "cannot connect", status);
}

/* ---- frames out ---- */

static void on_written(uv_write_t *request, int status) {
    (void)status; /* a broken connection is reported by its reading side */
    struct socket *socket = request->handle->data;
    socket->waiting--;
    free(request->data);
}

/* The rest of a frame, in order behind what waits already. Their number is bounded by the link: it
 * gives up on a device after a few requests without an answer. */
static int write_later(struct socket *socket, const uint8_t *frame, size_t length) {
    struct output *output = malloc(sizeof *output);
    if (!output)
        return UV_ENOMEM;
    output->request.data = output;
    memcpy(output->frame, frame, length);
    uv_buf_t bytes = uv_buf_init((char *)output->frame, (unsigned)length);
    int status = uv_write(&output->request, (uv_stream_t *)&socket->handle, &bytes, 1, on_written);
    if (status < 0)
        free(output);
    else
        socket->waiting++;
    return status;
}

static void tcp_send(struct wire *wire, uint16_t id, const struct modbus_request *request,
                     int64_t timeout_ms) {
    (void)timeout_ms; /* the link keeps it */
    uint8_t frame[MBAP_MAXIMUM];
    size_t length = 0;
    if (mbap_encode(id, request, frame, &length) != ERR_OK)
        return; /* link_submit() lets none in */
    ssize_t written = 0;
    /* Straight to the socket, if nothing waits before it. */
    if (wire->socket->waiting == 0) {
        written = send(wire->socket->fd, frame, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written < 0)
            written = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR
                          ? 0
                          : uv_translate_sys_error(errno);
    }
    warm(wire->socket, sizeof *wire->socket); /* for the answer */
    if (written >= 0 && (size_t)written < length)
        written = write_later(wire->socket, frame + written, length - (size_t)written);
    if (written < 0)
        wire_fail(wire, "the connection is lost", (int)written);
}

const struct wire_kind wire_tcp = {
    .scheme = "tcp://",
    .url_valid = tcp_url_valid,
    .create = tcp_create,
    .connect = tcp_connect,
    .disconnect = tcp_disconnect,
    .send = tcp_send,
    .free = tcp_free,
};
