/* libcurl says which sockets and which moment it waits for; the loop says when they have come. All
 * callers' code runs from http_turn(), never from in here. */
#include <stdlib.h>

#include "io/http_internal.h"

struct http_socket {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t socket;
};

static void act(struct http_client *client, curl_socket_t socket, int events) {
    int running = 0;
    curl_multi_socket_action(client->multi, socket, events, &running);
    http_collect(client);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
    struct http_socket *socket = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(socket->client, socket->socket, flags);
}

static void on_socket_closed(uv_handle_t *handle) {
    struct http_socket *socket = handle->data;
    struct http_client *client = socket->client;
    free(socket);
    http_handle_closed(client);
}

static struct http_socket *socket_new(struct http_client *client, curl_socket_t fd) {
    struct http_socket *socket = calloc(1, sizeof *socket);
    if (!socket)
        return NULL;
    if (uv_poll_init_socket(client->io->loop, &socket->poll, fd) < 0) {
        free(socket);
        return NULL;
    }
    socket->poll.data = socket;
    socket->client = client;
    socket->socket = fd;
    client->handles++;
    curl_multi_assign(client->multi, fd, socket);
    return socket;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned) {
    (void)easy;
    struct http_client *client = context;
    struct http_socket *socket = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (socket) { /* closing stops it at once, so that its number may be used again */
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
            curl_multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    if (!socket)
        socket = socket_new(client, fd);
    if (!socket)
        return -1;
    int events =
        (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    return uv_poll_start(&socket->poll, events, on_ready) < 0 ? -1 : 0;
}

static void on_clock(uv_timer_t *timer) {
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_wait(CURLM *multi, long timeout_ms, void *context) {
    (void)multi;
    struct http_client *client = context;
    if (timeout_ms < 0)
        uv_timer_stop(&client->clock);
    else /* 1 rather than 0: see room_arm() */
        uv_timer_start(&client->clock, on_clock, timeout_ms > 0 ? (uint64_t)timeout_ms : 1, 0);
    return 0;
}

enum err http_sockets_open(struct http_client *client) {
    client->multi = curl_multi_init();
    if (!client->multi)
        return ERR_MEMORY;
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_wait);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)client->in_flight);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)client->in_flight);
    return ERR_OK;
}

/* The multi handle closes its connections through on_socket(). */
void http_sockets_close(struct http_client *client) {
    for (unsigned i = 0; i < client->idle_count; i++)
        curl_easy_cleanup(client->idle[i]);
    client->idle_count = 0;
    curl_multi_cleanup(client->multi);
    client->multi = NULL;
}
