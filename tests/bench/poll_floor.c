/* The floor of polling: a bare epoll loop that moves the same frames as the host and does nothing
 * with them. One connection for each port, unit 1; polls start in slots of 5 ms that are spread
 * evenly over the period, answers are taken as they come, the next block of a poll follows at once.
 *
 *   poll_floor [--seconds S] [--period MS] [--blocks N] [--words N] PORT...
 *
 * It connects, says "ready", polls for a second, says "warm", then measures for S seconds and
 * prints its CPU time as one line of JSON, in microseconds. Period 0: each poll follows the one
 * before at once. */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "bench.h"

#define SLOT_US       5000L
#define WARM_UP_US    1000000
#define EVENTS        1024
#define FRAME_MAXIMUM 260
#define REQUEST       12

struct device {
    int fd, slot;
    bool busy;
    uint16_t id;
    int block;
    size_t filled;
    uint8_t input[FRAME_MAXIMUM];
};

struct floor {
    int epoll, timer, count, slots, seconds, period_ms, blocks, words;
    struct device *devices; /* in order of their slots */
    int *slot_first;        /* index of a slot's first device; one more than there are slots */
    int64_t started_us;
    int64_t slot_number; /* the next one that is due, since the start */
};

static void device_ask(const struct floor *floor, struct device *device) {
    uint8_t frame[REQUEST] = {0};
    put_u16(frame, ++device->id);
    put_u16(frame + 4, 6);
    frame[6] = 1;
    frame[7] = 4; /* read input registers */
    put_u16(frame + 8, (unsigned)(device->block * floor->words));
    put_u16(frame + 10, (unsigned)floor->words);
    if (send(device->fd, frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame)
        fail_errno("send");
}

static void device_poll(const struct floor *floor, struct device *device) {
    device->busy = true;
    device->block = 0;
    device_ask(floor, device);
}

static void device_read(struct floor *floor, struct device *device) {
    ssize_t got =
        recv(device->fd, device->input + device->filled, sizeof device->input - device->filled, 0);
    if (got <= 0)
        fail_errno("a device has closed its connection");
    device->filled += (size_t)got;
    if (device->filled < 6 || device->filled < 6U + get_u16(device->input + 4))
        return;
    device->filled = 0;
    if (++device->block < floor->blocks) {
        device_ask(floor, device);
        return;
    }
    device->busy = false;
    if (floor->period_ms == 0)
        device_poll(floor, device);
}

static void slots_due(struct floor *floor) {
    uint64_t expired;
    if (read(floor->timer, &expired, sizeof expired) != sizeof expired)
        return;
    int64_t now = clock_us(CLOCK_MONOTONIC) - floor->started_us;
    for (; floor->slot_number * SLOT_US <= now; floor->slot_number++) {
        int64_t slot = floor->slot_number % floor->slots;
        for (int i = floor->slot_first[slot]; i < floor->slot_first[slot + 1]; i++)
            if (!floor->devices[i].busy)
                device_poll(floor, &floor->devices[i]);
    }
}

static void run(struct floor *floor, int64_t end_us) {
    struct epoll_event events[EVENTS];
    while (clock_us(CLOCK_MONOTONIC) < end_us) {
        int ready = epoll_wait(floor->epoll, events, EVENTS, 1000);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr)
                device_read(floor, events[i].data.ptr);
            else
                slots_due(floor);
        }
    }
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail_errno("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int compare_slots(const void *left, const void *right) {
    return ((const struct device *)left)->slot - ((const struct device *)right)->slot;
}

/* Connects all, and finds each a slot: a golden-ratio step spreads any number evenly. */
static void make_devices(struct floor *floor, char **ports) {
    for (int i = 0; i < floor->count; i++) {
        double turn = fmod(i * 0.6180339887498949, 1.0);
        floor->devices[i].slot = (int)(turn * floor->slots);
        floor->devices[i].fd = connect_to((int)strtol(ports[i], NULL, 10));
    }
    qsort(floor->devices, (size_t)floor->count, sizeof *floor->devices, compare_slots);
    for (int i = 0; i < floor->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &floor->devices[i]};
        if (epoll_ctl(floor->epoll, EPOLL_CTL_ADD, floor->devices[i].fd, &event) < 0)
            fail_errno("epoll_ctl");
        floor->slot_first[floor->devices[i].slot + 1]++;
    }
    for (int i = 0; i < floor->slots; i++)
        floor->slot_first[i + 1] += floor->slot_first[i];
}

/* Slots by a timer; without a period all start now. */
static void begin(struct floor *floor) {
    floor->started_us = clock_us(CLOCK_MONOTONIC);
    if (floor->period_ms == 0) {
        for (int i = 0; i < floor->count; i++)
            device_poll(floor, &floor->devices[i]);
        return;
    }
    const struct itimerspec every = {.it_interval.tv_nsec = SLOT_US * 1000,
                                     .it_value.tv_nsec = SLOT_US * 1000};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    timerfd_settime(floor->timer, 0, &every, NULL);
    if (epoll_ctl(floor->epoll, EPOLL_CTL_ADD, floor->timer, &event) < 0)
        fail_errno("epoll_ctl");
}

static int take_options(struct floor *floor, int count, char **arguments) {
    const struct {
        const char *name;
        int *value;
    } options[] = {{"--seconds", &floor->seconds},
                   {"--period", &floor->period_ms},
                   {"--blocks", &floor->blocks},
                   {"--words", &floor->words}};
    int at = 1;
    for (; at + 1 < count && arguments[at][0] == '-'; at += 2)
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
            if (strcmp(arguments[at], options[i].name) == 0)
                *options[i].value = (int)strtol(arguments[at + 1], NULL, 10);
    return at;
}

int main(int count, char **arguments) {
    static struct floor floor = {.seconds = 5, .period_ms = 1000, .blocks = 1, .words = 40};
    int first_port = take_options(&floor, count, arguments);
    (void)raise_descriptors();
    floor.count = count - first_port;
    floor.slots = floor.period_ms > 0 ? (int)(1000L * floor.period_ms / SLOT_US) : 1;
    if (floor.count < 1 || floor.slots < 1 || floor.words < 1 || floor.words > 125) {
        fprintf(stderr, "poll_floor: it takes ports, a period of 5 ms or more, 1 to 125 words\n");
        return 2;
    }
    floor.epoll = epoll_create1(EPOLL_CLOEXEC);
    floor.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    floor.devices = calloc((size_t)floor.count, sizeof *floor.devices);
    floor.slot_first = calloc((size_t)floor.slots + 1, sizeof *floor.slot_first);
    if (floor.epoll < 0 || floor.timer < 0 || !floor.devices || !floor.slot_first)
        fail_errno("start");
    make_devices(&floor, arguments + first_port);
    printf("ready\n");
    fflush(stdout);

    begin(&floor);
    run(&floor, floor.started_us + WARM_UP_US);
    printf("warm\n");
    fflush(stdout);
    int64_t since_us = clock_us(CLOCK_MONOTONIC), cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    run(&floor, since_us + (int64_t)floor.seconds * 1000000);
    printf("{\"cpuUs\":%lld}\n", (long long)(clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us));
    return 0;
}
