/* Many HTTP clients in one thread that all ask for the same thing as fast as they are answered,
 * each counted for itself: whether one starves is not to be seen in a total.
 *
 *   rest_clients --port P --clients N --seconds S --path PATH [--token TOKEN]
 *
 * Keep-alive, one request at a time; who is told to close, or is closed, comes again at once. It
 * prints one line of JSON: answers of the slowest and the fastest client, how many clients got
 * none, answers that were not 200, and the longest time that one client waited for an answer. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench.h"

#define HEAD_MAXIMUM    8192
#define REQUEST_MAXIMUM 2048
#define CLIENTS_MAXIMUM 10000

struct client {
    int fd; /* -1: none; it comes at the next turn */
    bool asked;
    size_t filled; /* of the head */
    size_t left;   /* bytes of the body still to come; only once the head is there */
    bool in_body, closes;
    int status;
    int64_t since_us; /* it wants an answer since */
    uint64_t answers;
    char head[HEAD_MAXIMUM];
};

struct crowd {
    int epoll;
    struct sockaddr_in address;
    char request[REQUEST_MAXIMUM];
    size_t request_length;
    int count;
    struct client *clients;
    uint64_t others;
    int64_t longest_us;
};

static void client_go(struct client *client) {
    close(client->fd);
    client->fd = -1;
}

static void client_ask(struct crowd *crowd, struct client *client) {
    client->filled = 0;
    client->in_body = client->closes = false;
    client->asked = send(client->fd, crowd->request, crowd->request_length, MSG_NOSIGNAL) ==
                    (ssize_t)crowd->request_length;
}

static void client_come(struct crowd *crowd, struct client *client) {
    const int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        fail_errno("socket");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client->asked = false;
    if (connect(client->fd, (struct sockaddr *)&crowd->address, sizeof crowd->address) < 0 &&
        errno != EINPROGRESS) {
        client_go(client);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
        fail_errno("epoll_ctl");
}

/* The value of a header line of a whole head, or NULL. */
static const char *header(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " ");
    }
    return NULL;
}

/* Once the head is whole: what it says, and how much of the body came with it. */
static void read_head(struct client *client, const char *end) {
    size_t head_length = (size_t)(end - client->head) + 4;
    size_t extra = client->filled - head_length;
    client->head[head_length - 2] = '\0'; /* the last line keeps its end */
    const char *length = header(client->head, "Content-Length");
    const char *connection = header(client->head, "Connection");
    client->status = (int)strtol(client->head + strcspn(client->head, " "), NULL, 10);
    size_t body = length ? (size_t)strtoull(length, NULL, 10) : 0;
    client->closes = !connection || strncasecmp(connection, "keep-alive", 10) != 0;
    client->left = body > extra ? body - extra : 0;
    client->in_body = true;
}

static void client_answered(struct crowd *crowd, struct client *client) {
    int64_t now = clock_us(CLOCK_MONOTONIC);
    if (client->status == 200)
        client->answers++;
    else
        crowd->others++;
    if (now - client->since_us > crowd->longest_us)
        crowd->longest_us = now - client->since_us;
    client->since_us = now;
    if (client->closes)
        client_go(client);
    else
        client_ask(crowd, client);
}

/* Takes what is there. */
static void client_read(struct crowd *crowd, struct client *client) {
    while (client->fd >= 0) {
        char waste[65536];
        char *to = client->in_body ? waste : client->head + client->filled;
        size_t room = client->in_body ? sizeof waste : sizeof client->head - 1 - client->filled;
        ssize_t got = recv(client->fd, to, room, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            client_go(client);
            return;
        }
        if (client->in_body) {
            client->left -= (size_t)got < client->left ? (size_t)got : client->left;
        } else {
            client->filled += (size_t)got;
            client->head[client->filled] = '\0';
            const char *end = strstr(client->head, "\r\n\r\n");
            if (end)
                read_head(client, end);
            else if (client->filled == sizeof client->head - 1)
                fail_errno("a head is too long");
        }
        if (client->in_body && client->left == 0)
            client_answered(crowd, client);
    }
}

static void run(struct crowd *crowd, int64_t until_us) {
    struct epoll_event events[256];
    for (int64_t now = clock_us(CLOCK_MONOTONIC); now < until_us; now = clock_us(CLOCK_MONOTONIC)) {
        for (int i = 0; i < crowd->count; i++)
            if (crowd->clients[i].fd < 0)
                client_come(crowd, &crowd->clients[i]);
        int ready = epoll_wait(crowd->epoll, events, 256, 10);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (client->fd >= 0 && !client->asked && events[i].events & EPOLLOUT)
                client_ask(crowd, client);
            if (client->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                client_read(crowd, client);
        }
    }
}

static void print_figures(const struct crowd *crowd) {
    uint64_t slowest = UINT64_MAX, fastest = 0;
    int starved = 0;
    for (int i = 0; i < crowd->count; i++) {
        uint64_t answers = crowd->clients[i].answers;
        slowest = answers < slowest ? answers : slowest;
        fastest = answers > fastest ? answers : fastest;
        starved += answers == 0;
    }
    printf("{\"slowest\":%" PRIu64 ",\"fastest\":%" PRIu64 ",\"starved\":%d,\"not200\":%" PRIu64
           ",\"longestMs\":%.3f}\n",
           slowest, fastest, starved, crowd->others, (double)crowd->longest_us / 1000);
}

static const char *option(int count, char **arguments, const char *name, const char *fallback) {
    for (int i = 1; i + 1 < count; i += 2)
        if (strcmp(arguments[i], name) == 0)
            return arguments[i + 1];
    if (!fallback) {
        fprintf(stderr, "rest_clients: %s is missing\n", name);
        exit(2);
    }
    return fallback;
}

int main(int count, char **arguments) {
    static struct crowd crowd;
    int port = (int)strtol(option(count, arguments, "--port", NULL), NULL, 10);
    double seconds = strtod(option(count, arguments, "--seconds", NULL), NULL);
    const char *path = option(count, arguments, "--path", NULL);
    const char *token = option(count, arguments, "--token", "");
    crowd.count = (int)strtol(option(count, arguments, "--clients", NULL), NULL, 10);
    if (port < 1 || port > 65535 || crowd.count < 1 || crowd.count > CLIENTS_MAXIMUM) {
        fprintf(stderr, "rest_clients: a port, and 1 to %d clients\n", CLIENTS_MAXIMUM);
        return 2;
    }
    int length = snprintf(crowd.request, sizeof crowd.request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s\r\n", path, port,
                          token[0] ? "Authorization: Bearer " : "", token, token[0] ? "\r\n" : "");
    if (length < 0 || (size_t)length >= sizeof crowd.request)
        fail_errno("the request is too long");
    crowd.request_length = (size_t)length;
    crowd.address = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)raise_descriptors();
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd.clients = calloc((size_t)crowd.count, sizeof *crowd.clients);
    if (crowd.epoll < 0 || !crowd.clients)
        fail_errno("start");
    int64_t start_us = clock_us(CLOCK_MONOTONIC);
    for (int i = 0; i < crowd.count; i++) {
        crowd.clients[i].fd = -1;
        crowd.clients[i].since_us = start_us;
    }
    run(&crowd, start_us + (int64_t)(seconds * 1e6));
    int64_t end_us = clock_us(CLOCK_MONOTONIC);
    for (int i = 0; i < crowd.count; i++) /* who waits still has waited at least so long */
        if (end_us - crowd.clients[i].since_us > crowd.longest_us)
            crowd.longest_us = end_us - crowd.clients[i].since_us;
    print_figures(&crowd);
    return 0;
}
