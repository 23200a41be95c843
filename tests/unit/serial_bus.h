/* A serial line for tests: a pseudo-terminal with units on its far end. Their answers are made and
 * sent by libmodbus; what a broken unit sends is made here. Each request is answered by the next of
 * a list of actions; after the list, rightly: register 0 of the answer is the request's number, the
 * others are their address. Include <cmocka.h> and link_world.h first. */
#ifndef DERD_TESTS_SERIAL_BUS_H
#define DERD_TESTS_SERIAL_BUS_H

#include <errno.h>
#include <fcntl.h>
#include <modbus.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum bus_action {
    BUS_ANSWER,
    BUS_SILENT,
    BUS_BYTES, /* the answer in single bytes, slowly */
    BUS_EXCEPTION,
    BUS_OTHER_UNIT_FIRST, /* a frame of another unit, then the answer */
    BUS_BAD_CHECKSUM,
    BUS_HALF,
    BUS_WRONG_COUNT, /* a right frame with too few registers */
    BUS_WRONG_FUNCTION,
    BUS_GARBAGE,
    BUS_HOLD, /* the answer is kept back ... */
    BUS_LATE, /* ... and sent now, before the answer to this request */
    BUS_UNPLUG
};

struct bus {
    pthread_mutex_t lock;
    pthread_t thread;
    int master, slave, stop; /* slave: held open, so that the line lives while nobody uses it */
    char folder[32], port[48];
    modbus_t *modbus;
    modbus_mapping_t *mapping;
    const enum bus_action *actions;
    int action_count;
    /* under the lock */
    int dead_unit, requests;
    uint16_t addresses[64]; /* of the first requests */
    uint8_t late[16];
    int64_t answered_us, least_gap_us; /* between an answer and the next request */
};

static inline int64_t bus_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Modbus over Serial Line V1.02, section 6.2.2. */
static inline void bus_checksum(uint8_t *frame, size_t length) {
    unsigned sum = 0xFFFF;
    for (size_t i = 0; i < length; i++) {
        sum ^= frame[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? sum >> 1 ^ 0xA001 : sum >> 1;
    }
    frame[length] = (uint8_t)(sum & 0xFF);
    frame[length + 1] = (uint8_t)(sum >> 8);
}

static inline void bus_write(struct bus *bus, const uint8_t *data, size_t length) {
    (void)!write(bus->master, data, length); /* an unplugged line takes nothing */
}

/* Three registers: 11 bytes. */
static inline void bus_frame(uint8_t *frame, uint8_t unit, uint8_t function, int number,
                             int address) {
    const uint8_t made[] = {unit,
                            function,
                            6,
                            (uint8_t)(number >> 8),
                            (uint8_t)number,
                            (uint8_t)((address + 1) >> 8),
                            (uint8_t)(address + 1),
                            (uint8_t)((address + 2) >> 8),
                            (uint8_t)(address + 2)};
    memcpy(frame, made, sizeof made);
    bus_checksum(frame, sizeof made);
}

static inline void bus_act(struct bus *bus, enum bus_action action, const uint8_t *query,
                           int length, int number) {
    enum { FRAME = 11 };
    uint8_t frame[64];
    int address = query[2] << 8 | query[3];
    bus_frame(frame, query[0], query[1], number, address);
    switch (action) {
    case BUS_LATE:
        bus_write(bus, bus->late, FRAME);
        bus_write(bus, frame, FRAME);
        break;
    case BUS_OTHER_UNIT_FIRST: {
        uint8_t other[FRAME];
        bus_frame(other, (uint8_t)(query[0] + 1), query[1], 999, address);
        bus_write(bus, other, FRAME);
        bus_write(bus, frame, FRAME);
        break;
    }
    case BUS_ANSWER:
        if (query[1] == 3 && address < 400)
            bus->mapping->tab_registers[address] = (uint16_t)number;
        modbus_reply(bus->modbus, query, length, bus->mapping);
        if (query[1] == 3 && address < 400)
            bus->mapping->tab_registers[address] = (uint16_t)address;
        break;
    case BUS_BYTES:
        for (int i = 0; i < FRAME; i++) {
            bus_write(bus, frame + i, 1);
            nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        }
        break;
    case BUS_EXCEPTION:
        modbus_reply_exception(bus->modbus, query, 2);
        break;
    case BUS_BAD_CHECKSUM:
        frame[FRAME - 1] ^= 0x55;
        bus_write(bus, frame, FRAME);
        break;
    case BUS_HALF:
        bus_write(bus, frame, FRAME / 2);
        break;
    case BUS_WRONG_COUNT:
        frame[2] = 4;
        bus_checksum(frame, 7);
        bus_write(bus, frame, 9);
        break;
    case BUS_WRONG_FUNCTION:
        frame[1] ^= 7;
        bus_checksum(frame, 9);
        bus_write(bus, frame, FRAME);
        break;
    case BUS_GARBAGE:
        memset(frame, 0xA5, sizeof frame);
        for (int i = 0; i < 40; i++)
            bus_write(bus, frame, sizeof frame);
        break;
    case BUS_HOLD:
        memcpy(bus->late, frame, FRAME);
        break;
    case BUS_UNPLUG:
        close(bus->slave);
        close(bus->master);
        bus->slave = bus->master = -1;
        break;
    case BUS_SILENT:
        break;
    }
}

/* One request frame off the line; false: the test is over, or the line is. */
static inline bool bus_take(struct bus *bus, uint8_t *query, int *length) {
    *length = 0;
    for (;;) {
        struct pollfd fds[] = {{.fd = bus->master, .events = POLLIN},
                               {.fd = bus->stop, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue; /* EINTR */
        if (fds[1].revents || bus->master < 0)
            return false;
        int whole = *length < 7 ? 7 : query[1] >= 15 ? 9 + query[6] : 8;
        ssize_t got = read(bus->master, query + *length, (size_t)(whole - *length));
        if (got <= 0)
            return false;
        *length += (int)got;
        if (*length >= 8 && *length == (query[1] >= 15 ? 9 + query[6] : 8))
            return true;
    }
}

static inline void *bus_run(void *argument) {
    struct bus *bus = argument;
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    int length;
    while (bus_take(bus, query, &length)) {
        pthread_mutex_lock(&bus->lock);
        int64_t gap_us = bus_now_us() - bus->answered_us;
        if (bus->answered_us && gap_us < bus->least_gap_us)
            bus->least_gap_us = gap_us;
        int number = bus->requests++;
        if (number < COUNT(bus->addresses))
            bus->addresses[number] = (uint16_t)(query[2] << 8 | query[3]);
        enum bus_action action = number < bus->action_count ? bus->actions[number] : BUS_ANSWER;
        if (query[0] == bus->dead_unit)
            action = BUS_SILENT;
        bus->answered_us = action == BUS_ANSWER ? bus_now_us() : 0;
        bus_act(bus, action, query, length, number);
        pthread_mutex_unlock(&bus->lock);
    }
    return NULL;
}

/* Plugs a new line in behind the same name. */
static inline void bus_plug(struct bus *bus) {
    char name[64], link[64];
    struct termios raw;
    assert_int_equal(openpty(&bus->master, &bus->slave, name, NULL, NULL), 0);
    tcgetattr(bus->slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(bus->slave, TCSANOW, &raw);
    modbus_set_socket(bus->modbus, bus->master);
    snprintf(link, sizeof link, "%s/new", bus->folder);
    assert_int_equal(symlink(name, link), 0);
    assert_int_equal(rename(link, bus->port), 0);
    assert_int_equal(pthread_create(&bus->thread, NULL, bus_run, bus), 0);
}

static inline void bus_unplug(struct bus *bus) {
    (void)!write(bus->stop, &(uint64_t){1}, sizeof(uint64_t));
    pthread_join(bus->thread, NULL);
    uint64_t calls;
    (void)!read(bus->stop, &calls, sizeof calls);
    if (bus->master >= 0) {
        close(bus->slave);
        close(bus->master);
    }
    unlink(bus->port);
}

static inline void bus_new(struct bus *bus, const enum bus_action *actions, int count) {
    *bus = (struct bus){.actions = actions, .action_count = count, .dead_unit = -1};
    bus->least_gap_us = INT64_MAX;
    pthread_mutex_init(&bus->lock, NULL);
    strcpy(bus->folder, "/tmp/derd_bus_XXXXXX");
    assert_non_null(mkdtemp(bus->folder));
    snprintf(bus->port, sizeof bus->port, "%s/port", bus->folder);
    bus->stop = eventfd(0, EFD_CLOEXEC);
    bus->modbus = modbus_new_rtu("/dev/null", 9600, 'N', 8, 1);
    bus->mapping = modbus_mapping_new(50, 50, 400, 400);
    assert_true(bus->modbus && bus->mapping);
    for (int i = 0; i < 400; i++) {
        bus->mapping->tab_registers[i] = (uint16_t)i;
        bus->mapping->tab_input_registers[i] = (uint16_t)(2000 + i);
    }
    for (int i = 0; i < 50; i++)
        bus->mapping->tab_input_bits[i] = i % 3 == 0;
}

/* What was plugged in must have been unplugged. */
static inline void bus_free(struct bus *bus) {
    rmdir(bus->folder);
    close(bus->stop);
    modbus_mapping_free(bus->mapping);
    modbus_free(bus->modbus);
    pthread_mutex_destroy(&bus->lock);
}

static inline void bus_open(struct bus *bus, struct world *world, const char *options,
                            const struct link_settings *settings) {
    char url[128];
    snprintf(url, sizeof url, "rtu://%s%s", bus->port, options);
    world_open_url(world, url, settings);
}

static inline int bus_requests(struct bus *bus) {
    pthread_mutex_lock(&bus->lock);
    int requests = bus->requests;
    pthread_mutex_unlock(&bus->lock);
    return requests;
}

#endif
