/* The connection of a line client: name, addresses one after another, bytes in and out. The socket
 * stands in memory of its own with a pointer back; a close clears that pointer, and what arrives
 * afterwards is nobody's. */
#include <stdlib.h>
#include <string.h>

#include "io/line_internal.h"

struct line_socket {
    uv_tcp_t handle;
    uv_connect_t connect;
    struct io *io;
    struct line_client *client; /* NULL: given up */
    char input[4096];
};

struct output {
    uv_write_t request;
    char data[];
};

static void on_closed(uv_handle_t *handle) {
    struct line_socket *socket = handle->data;
    socket->io->live--;
    free(socket);
}

static void socket_drop(struct line_client *client) {
    if (!client->socket)
        return;
    client->socket->client = NULL;
    uv_close((uv_handle_t *)&client->socket->handle, on_closed);
    client->socket = NULL;
}

void line_socket_close(struct line_client *client) {
    socket_drop(client);
    lookup_cancel(client->lookup);
    client->lookup = NULL;
}

/* ---- bytes ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    (void)suggested;
    struct line_socket *socket = handle->data;
    *room = uv_buf_init(socket->input, sizeof socket->input);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *room) {
    (void)room;
    struct line_socket *socket = stream->data;
    if (!socket->client || length == 0)
        return;
    if (length < 0)
        line_lost(socket->client, ERR_CLOSED, "the connection is lost", (int)length);
    else
        line_bytes(socket->client, socket->input, (size_t)length);
}

static void on_written(uv_write_t *request, int status) {
    (void)status; /* a broken connection is reported by its reading side */
    free(request->data);
}

int line_socket_send(struct line_client *client, const char *data, size_t length) {
    uv_stream_t *stream = (uv_stream_t *)&client->socket->handle;
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)data, (unsigned)length); /* is only read */
    int written = uv_try_write(stream, &bytes, 1);
    if (written == UV_EAGAIN)
        written = 0;
    if (written < 0 || (size_t)written == length)
        return written < 0 ? written : 0;
    struct output *output = malloc(sizeof *output + length - (size_t)written);
    if (!output)
        return UV_ENOMEM;
    output->request.data = output;
    memcpy(output->data, data + written, length - (size_t)written);
    bytes = uv_buf_init(output->data, (unsigned)(length - (size_t)written));
    int status = uv_write(&output->request, stream, &bytes, 1, on_written);
    if (status < 0)
        free(output);
    return status;
}

/* ---- connecting ---- */

static int socket_connect(struct line_client *client, const union address *address);

/* Tries one address after another; reports when none is left. */
static void try_addresses(struct line_client *client, int status) {
    while (client->next_address < client->addresses.count) {
        status = socket_connect(client, &client->addresses.list[client->next_address++]);
        if (status == 0)
            return;
    }
    line_lost(client, ERR_CLOSED, "cannot connect", status);
}

static void on_connected(uv_connect_t *request, int status) {
    struct line_socket *socket = request->handle->data;
    struct line_client *client = socket->client;
    if (!client)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&socket->handle, on_room, on_read);
    if (status < 0) {
        socket_drop(client);
        try_addresses(client, status);
        return;
    }
    uv_tcp_nodelay(&socket->handle, 1); /* a failure costs latency only */
    line_connected(client);
}

static int socket_connect(struct line_client *client, const union address *address) {
    struct line_socket *socket = calloc(1, sizeof *socket);
    if (!socket)
        return UV_ENOMEM;
    int status = uv_tcp_init(client->io->loop, &socket->handle);
    if (status < 0) {
        free(socket);
        return status;
    }
    socket->handle.data = socket;
    socket->io = client->io;
    socket->io->live++;
    socket->client = client;
    client->socket = socket;
    status = uv_tcp_connect(&socket->connect, &socket->handle, &address->any, on_connected);
    if (status < 0)
        socket_drop(client);
    return status;
}

static void on_looked_up(void *owner, int status, const struct addresses *addresses) {
    struct line_client *client = owner;
    client->lookup = NULL;
    if (status < 0) {
        line_lost(client, ERR_NOT_FOUND, "the name is not known here", status);
        return;
    }
    client->addresses = *addresses;
    try_addresses(client, UV_EADDRNOTAVAIL);
}

void line_socket_connect(struct line_client *client) {
    client->next_address = 0;
    if (addresses_of(&client->url, &client->addresses)) {
        try_addresses(client, UV_EADDRNOTAVAIL);
        return;
    }
    client->lookup = lookup_start(client->io, &client->url, AF_UNSPEC, on_looked_up, client);
    if (!client->lookup)
        line_lost(client, ERR_MEMORY, "cannot connect", UV_ENOMEM);
}
