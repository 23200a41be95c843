/* A farm of Modbus TCP devices for benchmarks: many listeners on 127.0.0.1 in one epoll thread,
 * with frames of its own, so that neither a library's limits nor the code under test stand in the
 * way.
 *
 *   modbus_farm --devices N [--latency MS] [--period MS]
 *               [--dead PERCENT] [--slow PERCENT] [--pieces PERCENT] [--wrong PERCENT]
 *
 * N devices, each as unit 1 behind a port of its own, any that are free. It prints "ready PORT PORT
 * ..." when it listens. What a device answers: farm_device.h. Of them some are dead (take requests
 * and never answer), slow (SLOW_US later than the others), answer in pieces (three, PIECE_US
 * apart), or every fourth time wrongly.
 *
 * On SIGUSR1 it prints its figures since the last time as one line of JSON and begins anew; on
 * SIGTERM or SIGINT it prints them and ends. `period`: how often each is meant to be read, which
 * the errors of the periods are told against. Histograms are [upper end in microseconds, count]. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "bench.h"
#include "farm_device.h"

#define PENDING_ANSWERS 16384 /* that are held back, for each kind of delay */
#define FIRST_PORT      10000 /* that are tried: below those that clients get */
#define PORTS           22000
#define SLOW_US         300000
#define PIECE_US        3000

enum source_kind { SOURCE_LISTENER, SOURCE_CLIENT, SOURCE_SIGNAL };

struct source { /* what an epoll event is about */
    enum source_kind kind;
    int fd;
    int device;      /* index */
    unsigned serial; /* of a client: a held answer for one before it on the same fd is dropped */
    size_t filled;
    uint8_t input[4 * FRAME_MAXIMUM];
};

struct pending {
    int64_t due_us;
    struct source *client;
    unsigned serial;
    size_t length;
    uint8_t frame[FRAME_MAXIMUM];
};

enum delay { DELAY_ANSWER, DELAY_SLOW, DELAY_SECOND_PIECE, DELAY_THIRD_PIECE, DELAYS };

struct ring { /* one delay for all in it, so due in order of arrival */
    int64_t delay_us;
    struct pending *pending;
    size_t first, count;
};

struct farm {
    int devices, next_port;
    int epoll, signals;
    struct device *device;
    struct source *listeners;
    struct source **clients; /* by file descriptor, made once */
    int client_slots;
    struct ring rings[DELAYS];
    int64_t started_us;
    struct figures figures;
    struct histogram lateness; /* made when figures are printed */
};

/* ---- connections ---- */

static void watch(struct farm *farm, struct source *source) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(farm->epoll, EPOLL_CTL_ADD, source->fd, &event) < 0)
        fail_errno("epoll_ctl");
}

static void client_drop(struct source *client) {
    close(client->fd);
    client->serial++;
    client->fd = -1;
}

static void client_send(struct farm *farm, struct source *client, const uint8_t *frame,
                        size_t length) {
    if (send(client->fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length)
        farm->figures.bytes_out += length;
    else
        farm->figures.dropped++; /* its buffer is full: who does not read gets no answer */
}

static void client_send_later(struct farm *farm, struct source *client, enum delay delay,
                              const uint8_t *frame, size_t length) {
    struct ring *ring = &farm->rings[delay];
    if (ring->delay_us == 0) {
        client_send(farm, client, frame, length);
        return;
    }
    if (ring->count == PENDING_ANSWERS) {
        farm->figures.dropped++;
        return;
    }
    struct pending *pending = &ring->pending[(ring->first + ring->count++) % PENDING_ANSWERS];
    pending->due_us = clock_us(CLOCK_MONOTONIC) + ring->delay_us;
    pending->client = client;
    pending->serial = client->serial;
    pending->length = length;
    memcpy(pending->frame, frame, length);
}

static void client_answer(struct farm *farm, struct source *client, enum habit habit,
                          const uint8_t *frame, size_t length) {
    size_t third = length / 3;
    if (habit == HABIT_PIECES) {
        client_send_later(farm, client, DELAY_ANSWER, frame, third);
        client_send_later(farm, client, DELAY_SECOND_PIECE, frame + third, third);
        client_send_later(farm, client, DELAY_THIRD_PIECE, frame + 2 * third, length - 2 * third);
    } else {
        client_send_later(farm, client, habit == HABIT_SLOW ? DELAY_SLOW : DELAY_ANSWER, frame,
                          length);
    }
}

static void client_read(struct farm *farm, struct source *client) {
    ssize_t got = recv(client->fd, client->input + client->filled,
                       sizeof client->input - client->filled, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            client_drop(client);
        return;
    }
    farm->figures.bytes_in += (uint64_t)got;
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
        struct device *device = frame[6] == 1 ? &farm->device[client->device] : NULL;
        size_t answer_length =
            device_answer(device, &farm->figures, clock_us(CLOCK_MONOTONIC), frame, length, answer);
        farm->figures.requests++;
        if (answer_length)
            client_answer(farm, client, device ? device->habit : HABIT_WELL, answer, answer_length);
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
        fail_errno("memory");
    client->kind = SOURCE_CLIENT;
    client->fd = fd;
    client->device = listener->device;
    client->filled = 0;
    watch(farm, client);
}

/* Sends what is due; how long to wait for the next in microseconds, -1: nothing is held. */
static int64_t send_due(struct farm *farm) {
    int64_t wait_us = -1;
    for (int i = 0; i < DELAYS; i++) {
        struct ring *ring = &farm->rings[i];
        int64_t now = ring->count > 0 ? clock_us(CLOCK_MONOTONIC) : 0;
        while (ring->count > 0) {
            struct pending *pending = &ring->pending[ring->first];
            if (pending->due_us > now) {
                if (wait_us < 0 || pending->due_us - now < wait_us)
                    wait_us = pending->due_us - now;
                break;
            }
            struct source *client = pending->client;
            if (client->fd >= 0 && client->serial == pending->serial)
                client_send(farm, client, pending->frame, pending->length);
            ring->first = (ring->first + 1) % PENDING_ANSWERS;
            ring->count--;
        }
    }
    return wait_us;
}

/* ---- start and end ---- */

/* The kernel takes minutes to find thousands of free ports by itself. */
static int listen_on(struct farm *farm, struct source *listener) {
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        fail_errno("socket");
    for (int tries = 0; tries < PORTS; tries++) {
        int port = farm->next_port++;
        if (farm->next_port == FIRST_PORT + PORTS)
            farm->next_port = FIRST_PORT;
        const struct sockaddr_in address = {.sin_family = AF_INET,
                                            .sin_port = htons((uint16_t)port),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(listener->fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
            listen(listener->fd, 128) == 0) {
            watch(farm, listener);
            return port;
        }
        if (errno != EADDRINUSE)
            break;
    }
    fail_errno("a port cannot be had");
    return 0;
}

/* How late each read was beside the earliest of its device. */
static void measure_lateness(struct farm *farm) {
    memset(&farm->lateness, 0, sizeof farm->lateness);
    for (int i = 0; i < farm->devices; i++) {
        const struct device *device = &farm->device[i];
        int32_t earliest = 0;
        for (uint32_t j = 0; j < device->offset_count; j++)
            if (device->offset_us[j] < earliest)
                earliest = device->offset_us[j];
        for (uint32_t j = 0; j < device->offset_count; j++)
            histogram_add(&farm->lateness, device->offset_us[j] - earliest);
    }
}

static void print_histogram(const char *name, const struct histogram *histogram) {
    printf(",\"%s\":[", name);
    const char *comma = "";
    for (int bin = 0; bin < BINS; bin++) {
        if (!histogram->count[bin])
            continue;
        printf("%s[%d,%" PRIu32 "]", comma, (bin + 1) * BIN_US, histogram->count[bin]);
        comma = ",";
    }
    printf("]");
}

static void print_figures(struct farm *farm) {
    const struct figures *figures = &farm->figures;
    double seconds = (double)(clock_us(CLOCK_MONOTONIC) - farm->started_us + 1) / 1e6; /* never 0 */
    printf("{\"seconds\":%.3f,\"requests\":%" PRIu64 ",\"bytesIn\":%" PRIu64
           ",\"bytesOut\":%" PRIu64 ",\"dropped\":%" PRIu64,
           seconds, figures->requests, figures->bytes_in, figures->bytes_out, figures->dropped);
    measure_lateness(farm);
    print_histogram("period", &figures->period);
    print_histogram("error", &figures->error);
    print_histogram("gap", &figures->gap);
    print_histogram("lateness", &farm->lateness);
    printf("}\n");
    fflush(stdout);
}

static void begin_anew(struct farm *farm) {
    int64_t period_us = farm->figures.period_us;
    memset(&farm->figures, 0, sizeof farm->figures);
    farm->figures.period_us = period_us;
    for (int i = 0; i < farm->devices; i++)
        farm->device[i].offset_count = 0;
    farm->started_us = clock_us(CLOCK_MONOTONIC);
}

/* False: it is over. */
static bool take_signal(struct farm *farm) {
    struct signalfd_siginfo signal;
    if (read(farm->signals, &signal, sizeof signal) != sizeof signal)
        return true;
    print_figures(farm);
    if (signal.ssi_signo != SIGUSR1)
        return false;
    begin_anew(farm);
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

/* A share of the devices for each habit, spread over all of them. */
static void give_habits(struct farm *farm, int count, char **arguments) {
    const struct {
        const char *name;
        enum habit habit;
    } shares[] = {{"--dead", HABIT_DEAD},
                  {"--slow", HABIT_SLOW},
                  {"--pieces", HABIT_PIECES},
                  {"--wrong", HABIT_WRONG}};
    int from = 0;
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        int to = from + option(count, arguments, shares[i].name, 0, 100);
        for (int j = 0; j < farm->devices; j++)
            if (j * 37 % 100 >= from && j * 37 % 100 < to)
                farm->device[j].habit = shares[i].habit;
        from = to;
    }
}

static void make_rings(struct farm *farm, int64_t latency_us) {
    farm->rings[DELAY_ANSWER].delay_us = latency_us;
    farm->rings[DELAY_SLOW].delay_us = latency_us + SLOW_US;
    farm->rings[DELAY_SECOND_PIECE].delay_us = latency_us + PIECE_US;
    farm->rings[DELAY_THIRD_PIECE].delay_us = latency_us + (int64_t)2 * PIECE_US;
    for (int i = 0; i < DELAYS; i++) {
        farm->rings[i].pending = calloc(PENDING_ANSWERS, sizeof *farm->rings[i].pending);
        if (!farm->rings[i].pending)
            fail_errno("memory");
    }
}

static void serve(struct farm *farm) {
    for (;;) {
        struct epoll_event events[256];
        int64_t wait_us = send_due(farm);
        const struct timespec wait = {.tv_sec = wait_us / 1000000,
                                      .tv_nsec = wait_us % 1000000 * 1000};
        int ready = epoll_pwait2(farm->epoll, events, 256, wait_us < 0 ? NULL : &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct source *source = events[i].data.ptr;
            if (source->kind == SOURCE_LISTENER)
                client_accept(farm, source);
            else if (source->kind == SOURCE_CLIENT && source->fd >= 0)
                client_read(farm, source);
            else if (source->kind == SOURCE_SIGNAL && !take_signal(farm))
                return;
        }
    }
}

int main(int count, char **arguments) {
    static struct farm farm;
    farm.devices = option(count, arguments, "--devices", 1, 100000);
    farm.figures.period_us = 1000 * (int64_t)option(count, arguments, "--period", 1000, 60000);
    int latency_ms = option(count, arguments, "--latency", 0, 60000);
    rlim_t files = raise_descriptors();
    farm.client_slots = files < 1000000 ? (int)files : 1000000;

    farm.next_port =
        FIRST_PORT + (int)(clock_us(CLOCK_MONOTONIC) / 7 % PORTS); /* farms of one time differ */
    if (farm.figures.period_us == 0)
        farm.figures.period_us = 1000000;
    farm.epoll = epoll_create1(EPOLL_CLOEXEC);
    farm.device = calloc((size_t)farm.devices + 1, sizeof *farm.device);
    farm.clients = calloc((size_t)farm.client_slots, sizeof(struct source *));
    farm.listeners = calloc((size_t)farm.devices + 1, sizeof *farm.listeners);
    if (farm.epoll < 0 || !farm.device || !farm.clients || !farm.listeners)
        fail_errno("start");
    give_habits(&farm, count, arguments);
    make_rings(&farm, 1000 * (int64_t)latency_ms);

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    farm.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    struct source signal_source = {.kind = SOURCE_SIGNAL, .fd = farm.signals};
    watch(&farm, &signal_source);
    printf("ready");
    for (int i = 0; i < farm.devices; i++) {
        farm.listeners[i].device = i;
        printf(" %d", listen_on(&farm, &farm.listeners[i]));
    }
    printf("\n");
    fflush(stdout);
    farm.started_us = clock_us(CLOCK_MONOTONIC);
    serve(&farm);
    return 0;
}
