/* Sockets of UDP clients. A shared one is bound once for all clients of its local port; who sent a
 * datagram says whose it is. */
#include <stdlib.h>
#include <string.h>

#include "io/udp_internal.h"

/* Whose datagram it is: address and port, or the address alone where only one client has it. */
static struct udp_client *user_of(struct udp_port *port, const union address *sender) {
    struct udp_client *at, *only = NULL;
    int same = 0;
    LIST_FOREACH(at, &port->users, entry) {
        if (!at->addressed || !address_same_host(&at->address, sender))
            continue;
        if (address_same_port(&at->address, sender))
            return at;
        only = at;
        same++;
    }
    return same == 1 ? only : NULL;
}

static void count_foreign(struct udp_port *port) {
    struct udp_client *at;
    LIST_FOREACH(at, &port->users, entry)
    at->figures.foreign++;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    (void)suggested;
    struct udp_port *port = handle->data;
    *room = uv_buf_init((char *)port->input, UDP_DATA_MAXIMUM);
}

static void on_receive(uv_udp_t *handle, ssize_t length, const uv_buf_t *room,
                       const struct sockaddr *from, unsigned flags) {
    (void)room;
    struct udp_port *port = handle->data;
    struct udp_client *user = port->number ? NULL : LIST_FIRST(&port->users);
    if (length < 0) {
        if (user)
            udp_refused(user, (int)length);
        return;
    }
    if (!from) /* nothing more to be read */
        return;
    union address sender = {0};
    memcpy(&sender, from, from->sa_family == AF_INET6 ? sizeof sender.ipv6 : sizeof sender.ipv4);
    user = user_of(port, &sender);
    if (!user)
        count_foreign(port);
    else
        udp_receive(user, flags & UV_UDP_PARTIAL ? NULL : port->input, (size_t)length);
}

static void on_port_closed(uv_handle_t *handle) {
    struct udp_port *port = handle->data;
    port->io->live--;
    free(port);
}

static int port_bind(struct udp_port *port) {
    union address any = {0};
    if (port->family == AF_INET6) {
        any.ipv6.sin6_family = AF_INET6;
        any.ipv6.sin6_port = htons((uint16_t)port->number);
    } else {
        any.ipv4.sin_family = AF_INET;
        any.ipv4.sin_port = htons((uint16_t)port->number);
    }
    return uv_udp_bind(&port->handle, &any.any, port->family == AF_INET6 ? UV_UDP_IPV6ONLY : 0);
}

static struct udp_port *port_new(struct io *io, unsigned number, int family,
                                 const union address *other, int *status) {
    struct udp_port *port = calloc(1, sizeof *port);
    *status = UV_ENOMEM;
    if (!port)
        return NULL;
    *status = uv_udp_init(io->loop, &port->handle);
    if (*status < 0) {
        free(port);
        return NULL;
    }
    port->handle.data = port;
    port->io = io;
    port->number = number;
    port->family = family;
    LIST_INIT(&port->users);
    io->live++;
    *status = number ? port_bind(port) : uv_udp_connect(&port->handle, &other->any);
    if (*status == 0)
        *status = uv_udp_recv_start(&port->handle, on_room, on_receive);
    if (*status == 0)
        return port;
    uv_close((uv_handle_t *)&port->handle, on_port_closed);
    return NULL;
}

int udp_port_join(struct udp_client *client, int family) {
    struct io *io = client->io;
    struct udp_port *port = client->local_port ? io->ports : NULL;
    int status = 0;
    while (port && (port->number != client->local_port || port->family != family))
        port = port->next;
    if (!port) {
        port = port_new(io, client->local_port, family, &client->address, &status);
        if (port && port->number) {
            port->next = io->ports;
            io->ports = port;
        }
    }
    if (port) {
        LIST_INSERT_HEAD(&port->users, client, entry);
        client->port = port;
    }
    return status;
}

void udp_port_leave(struct udp_client *client) {
    struct udp_port *port = client->port;
    if (!port)
        return;
    LIST_REMOVE(client, entry);
    client->port = NULL;
    if (!LIST_EMPTY(&port->users))
        return;
    for (struct udp_port **at = &port->io->ports; *at; at = &(*at)->next)
        if (*at == port) {
            *at = port->next;
            break;
        }
    uv_close((uv_handle_t *)&port->handle, on_port_closed);
}

int udp_port_send(struct udp_client *client, const void *data, size_t length) {
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)data, (unsigned)length); /* is only read */
    const struct sockaddr *to = client->port->number ? &client->address.any : NULL;
    int status = uv_udp_try_send(&client->port->handle, &bytes, 1, to);
    if (status == UV_ECONNREFUSED) /* of one that was sent before, told only now */
        status = uv_udp_try_send(&client->port->handle, &bytes, 1, to);
    return status < 0 ? status : 0;
}
