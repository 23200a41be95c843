/* A farm of Modbus TCP devices for benchmarks: many listeners on 127.0.0.1 in one epoll thread,
 * with frames of its own, so that neither a library's limits nor the code under test stand in the
 * way.
 *
 *   modbus_farm --devices N [--units U] [--first-port P] [--latency MS] [--dead PERCENT]
 *
 * N devices, U of them (default 1) behind each port as units 1..U; port 0: any free ones. It prints
 * "ready PORT PORT ..." when it listens. What a device answers: farm_device.h. A dead one takes
 * requests and never answers. On SIGTERM or SIGINT it prints one line of JSON and ends; on SIGUSR1
 * it prints one too, and begins anew with its figures. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "farm_device.h"

#define PENDING_ANSWERS 65536 /* a power of two; answers held back by --latency */

enum source_kind { SOURCE_LISTENER, SOURCE_CLIENT, SOURCE_SIGNAL };

struct source { /* what an epoll event is about */
    enum source_kind kind;
    int fd;
    int group;       /* index of the port */
    unsigned serial; /* of a client: a held answer for one before it on the same fd is dropped */
    size_t filled;
    uint8_t input[4 * FRAME_MAXIMUM];
};

struct pending {
    int64_t due_ms;
    struct source *client;
    unsigned serial;
    size_t length;
    uint8_t frame[FRAME_MAXIMUM];
};

struct farm {
    int devices, units, first_port, dead_percent;
    int64_t latency_ms;
    int epoll;
    struct device *device; /* [group * units + unit - 1] */
    struct source *listeners;
    struct source **clients; /* by file descriptor, made once */
    int client_slots;
    struct pending *pending; /* a ring: one latency for all, so due in order of arrival */
    size_t pending_first, pending_count;
    uint64_t requests, dropped, bytes_in, bytes_out;
    int64_t started_ms;
    struct periods periods;
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fail(const char *what) {
    fprintf(stderr, "modbus_farm: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct device *farm_device(struct farm *farm, int group, int unit) {
    int index = group * farm->units + unit - 1;
    bool exists = unit >= 1 && unit <= farm->units && index < farm->devices;
    return exists ? &farm->device[index] : NULL;
}

/* ---- connections ---- */

static void watch(struct farm *farm, struct source *source) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(farm->epoll, EPOLL_CTL_ADD, source->fd, &event) < 0)
        fail("epoll_ctl");
}

static void client_drop(struct source *client) {
    close(client->fd);
    client->serial++;
    client->fd = -1;
}

static void client_send(struct farm *farm, struct source *client, const uint8_t *frame,
                        size_t length) {
    if (send(client->fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length)
        farm->bytes_out += length;
    else
        farm->dropped++; /* its buffer is full: who does not read gets no answer */
}

static void client_answer(struct farm *farm, struct source *client, const uint8_t *frame,
                          size_t length) {
    if (farm->latency_ms == 0) {
        client_send(farm, client, frame, length);
        return;
    }
    if (farm->pending_count == PENDING_ANSWERS) {
        farm->dropped++;
        return;
    }
    struct pending *pending =
        &farm->pending[(farm->pending_first + farm->pending_count++) % PENDING_ANSWERS];
    *pending = (struct pending){now_ms() + farm->latency_ms, client, client->serial, length, {0}};
    memcpy(pending->frame, frame, length);
}

static void client_read(struct farm *farm, struct source *client) {
    ssize_t got = recv(client->fd, client->input + client->filled,
                       sizeof client->input - client->filled, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            client_drop(client);
        return;
    }
    farm->bytes_in += (uint64_t)got;
    client->filled += (size_t)got;
    size_t at = 0;
    while (client->filled - at >= 6) {
        const uint8_t *frame = client->input + at;
        size_t length = 6U + get_u16(frame + 4);
        if (length < 12 || length > FRAME_MAXIMUM) {
            client_drop(client);
            return;
        }
        if (client->filled - at < length)
            break;
        uint8_t answer[FRAME_MAXIMUM];
        size_t answer_length = device_answer(farm_device(farm, client->group, frame[6]),
                                             &farm->periods, now_ms(), frame, length, answer);
        farm->requests++;
        if (answer_length)
            client_answer(farm, client, answer, answer_length);
        at += length;
    }
    memmove(client->input, client->input + at, client->filled - at);
    client->filled -= at;
}

static void client_accept(struct farm *farm, const struct source *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= farm->client_slots) {
        close(fd);
        return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!farm->clients[fd])
        farm->clients[fd] = calloc(1, sizeof *farm->clients[fd]);
    struct source *client = farm->clients[fd];
    if (!client)
        fail("memory");
    client->kind = SOURCE_CLIENT;
    client->fd = fd;
    client->group = listener->group;
    client->filled = 0;
    watch(farm, client);
}

/* Sends what is due; how long to wait for the next, -1: nothing is held. */
static int send_due(struct farm *farm) {
    int64_t now = now_ms();
    while (farm->pending_count > 0) {
        struct pending *pending = &farm->pending[farm->pending_first];
        if (pending->due_ms > now)
            return (int)(pending->due_ms - now);
        struct source *client = pending->client;
        if (client && client->fd >= 0 && client->serial == pending->serial)
            client_send(farm, client, pending->frame, pending->length);
        farm->pending_first = (farm->pending_first + 1) % PENDING_ANSWERS;
        farm->pending_count--;
    }
    return -1;
}

/* ---- start and end ---- */

static int listen_on(struct farm *farm, struct source *listener, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const int on = 1;
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        fail("socket");
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener->fd, (struct sockaddr *)&address, length) < 0 ||
        listen(listener->fd, 128) < 0 ||
        getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0)
        fail("a port cannot be had");
    watch(farm, listener);
    return ntohs(address.sin_port);
}

static void print_figures(const struct farm *farm) {
    double seconds = (double)(now_ms() - farm->started_ms + 1) / 1000; /* never 0 */
    printf("{\"devices\":%d,\"seconds\":%.1f,\"requests\":%" PRIu64
           ",\"requestsPerSecond\":%.1f,\"bytesIn\":%" PRIu64 ",\"bytesOut\":%" PRIu64
           ",\"dropped\":%" PRIu64
           ",\"periodMs\":{\"min\":%d,\"median\":%d,\"p99\":%d,\"max\":%d}}\n",
           farm->devices, seconds, farm->requests, (double)farm->requests / seconds, farm->bytes_in,
           farm->bytes_out, farm->dropped, periods_quantile(&farm->periods, 0),
           periods_quantile(&farm->periods, 0.5), periods_quantile(&farm->periods, 0.99),
           periods_quantile(&farm->periods, 1));
    fflush(stdout);
}

/* False: it is to end. */
static bool take_signal(struct farm *farm, const struct source *source) {
    struct signalfd_siginfo info;
    if (read(source->fd, &info, sizeof info) != sizeof info || info.ssi_signo != SIGUSR1)
        return false;
    print_figures(farm);
    memset(&farm->periods, 0, sizeof farm->periods);
    farm->requests = farm->dropped = farm->bytes_in = farm->bytes_out = 0;
    farm->started_ms = now_ms();
    return true;
}

static int option(int count, char **arguments, const char *name, int fallback, int maximum) {
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], name) != 0)
            continue;
        char *end = NULL;
        long value = strtol(arguments[i + 1], &end, 10);
        if (*end == '\0' && end != arguments[i + 1] && value >= 0 && value <= maximum)
            return (int)value;
        fprintf(stderr, "modbus_farm: %s takes a number from 0 to %d\n", name, maximum);
        exit(2);
    }
    return fallback;
}

int main(int count, char **arguments) {
    static struct farm farm;
    farm.devices = option(count, arguments, "--devices", 1, 100000);
    farm.units = option(count, arguments, "--units", 1, 247);
    farm.first_port = option(count, arguments, "--first-port", 0, 65535);
    farm.latency_ms = option(count, arguments, "--latency", 0, 60000);
    farm.dead_percent = option(count, arguments, "--dead", 0, 100);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    farm.client_slots = files.rlim_cur < 1000000 ? (int)files.rlim_cur : 1000000;

    if (farm.units == 0)
        farm.units = 1;
    int groups = (farm.devices + farm.units - 1) / farm.units;
    farm.epoll = epoll_create1(EPOLL_CLOEXEC);
    farm.device = calloc((size_t)farm.devices + 1, sizeof *farm.device);
    farm.clients = calloc((size_t)farm.client_slots, sizeof(struct source *));
    farm.pending = calloc(PENDING_ANSWERS, sizeof *farm.pending);
    farm.listeners = calloc((size_t)groups + 1, sizeof *farm.listeners);
    if (farm.epoll < 0 || !farm.device || !farm.clients || !farm.pending || !farm.listeners)
        fail("start");
    for (int i = 0; i < farm.devices; i++) /* spread evenly */
        farm.device[i].dead = (i + 1) * farm.dead_percent / 100 > i * farm.dead_percent / 100;

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    struct source end = {.kind = SOURCE_SIGNAL, .fd = signalfd(-1, &signals, SFD_CLOEXEC)};
    watch(&farm, &end);
    printf("ready");
    for (int i = 0; i < groups; i++) {
        farm.listeners[i].group = i;
        printf(" %d",
               listen_on(&farm, &farm.listeners[i], farm.first_port ? farm.first_port + i : 0));
    }
    printf("\n");
    fflush(stdout);

    farm.started_ms = now_ms();
    for (bool running = true; running;) {
        struct epoll_event events[256];
        int ready = epoll_wait(farm.epoll, events, 256, send_due(&farm));
        for (int i = 0; i < ready; i++) {
            struct source *source = events[i].data.ptr;
            if (source->kind == SOURCE_LISTENER)
                client_accept(&farm, source);
            else if (source->kind == SOURCE_CLIENT && source->fd >= 0)
                client_read(&farm, source);
            else if (source->kind == SOURCE_SIGNAL)
                running = take_signal(&farm, source);
        }
    }
    print_figures(&farm);
    return 0;
}
