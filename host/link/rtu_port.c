#include "link/rtu_port.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <modbus.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "link/rtu_frame.h"

#define US_PER_MS 1000
#define UNIT_AT   6 /* in an MBAP frame: from here on both framings are alike */

_Static_assert(RTU_FRAME_MAXIMUM == MODBUS_RTU_MAX_ADU_LENGTH, "what libmodbus may write");

/* A request that was not answered, while its answer may still come. */
struct unanswered {
    uint8_t function;
    uint16_t address, count;
    int64_t until_us;
};

struct rtu_port {
    struct rtu_settings settings;
    int wake;
    int place; /* a descriptor below FD_SETSIZE: the port, or nothing of use; -1: none was free */
    int lock;  /* the port once more, to keep other programs out */
    modbus_t *modbus; /* NULL: closed */
    int64_t silence_us, character_us;
    int64_t quiet_us; /* when the line will have been silent for long enough */
    struct unanswered unanswered[RTU_UNIT_LAST + 1];
};

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- opening and closing ---- */

static void place_hold(struct rtu_port *port) {
    if (port->place >= 0)
        return;
    port->place = eventfd(0, EFD_CLOEXEC);
    if (port->place >= FD_SETSIZE) {
        close(port->place);
        port->place = -1;
    }
}

struct rtu_port *rtu_port_new(const struct rtu_settings *settings, int wake) {
    struct rtu_port *port = calloc(1, sizeof *port);
    if (!port)
        return NULL;
    port->settings = *settings;
    port->wake = wake;
    port->place = port->lock = -1;
    port->silence_us = rtu_silence_us(settings);
    port->character_us = rtu_character_us(settings);
    place_hold(port);
    return port;
}

void rtu_port_close(struct rtu_port *port) {
    if (port->lock >= 0)
        close(port->lock);
    port->lock = -1;
    if (!port->modbus)
        return;
    dup3(port->wake, port->place, O_CLOEXEC); /* closes the port and keeps its number */
    modbus_set_socket(port->modbus, -1);
    modbus_free(port->modbus);
    port->modbus = NULL;
}

void rtu_port_free(struct rtu_port *port) {
    rtu_port_close(port);
    if (port->place >= 0)
        close(port->place);
    free(port);
}

bool rtu_port_is_open(const struct rtu_port *port) {
    return port->modbus != NULL;
}

/* The group that may use the port, "dialout" on Debian. */
static void group_name(const char *device, char *name, size_t size) {
    struct stat about;
    struct group entry, *found = NULL;
    char room[4096];
    if (stat(device, &about) == 0)
        getgrgid_r(about.st_gid, &entry, room, sizeof room, &found);
    snprintf(name, size, "%.31s", found && about.st_gid != 0 ? entry.gr_name : "dialout");
}

static void explain(const struct rtu_port *port, int error, char *why, size_t why_size) {
    char group[32];
    switch (error) {
    case EACCES:
    case EPERM:
        group_name(port->settings.device, group, sizeof group);
        snprintf(why, why_size,
                 "no permission: add derd's user to the group %s (usermod -aG %s USER) and start "
                 "derd again",
                 group, group);
        break;
    case ENOENT:
    case ENODEV:
    case ENXIO:
        snprintf(why, why_size,
                 "the port is not there: is the adapter plugged in, is it named so "
                 "in /dev?");
        break;
    case EBUSY:
    case EWOULDBLOCK:
        snprintf(why, why_size,
                 "the port is in use: by another program, or twice in the site file "
                 "with different options");
        break;
    case ENOTTY:
        snprintf(why, why_size, "this is not a serial port");
        break;
    default:
        snprintf(why, why_size, "the port does not work: %s", modbus_strerror(error));
        break;
    }
}

/* Keeps other programs out before anything is changed at the port. */
static int port_lock(const char *device) {
    int lock = open(device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (lock < 0)
        return -1;
    int error = !isatty(lock) ? ENOTTY : flock(lock, LOCK_EX | LOCK_NB) != 0 ? errno : 0;
    if (error) {
        close(lock);
        errno = error;
        return -1;
    }
    return lock;
}

/* Moves the port's descriptor to the place that was held for it. */
static bool port_move(struct rtu_port *port, modbus_t *modbus) {
    int opened = modbus_get_socket(modbus);
    if (dup3(opened, port->place, O_CLOEXEC) < 0)
        return false;
    close(opened);
    modbus_set_socket(modbus, port->place);
    return true;
}

bool rtu_port_open(struct rtu_port *port, char *why, size_t why_size) {
    const struct rtu_settings *settings = &port->settings;
    rtu_port_close(port);
    place_hold(port);
    if (port->place < 0) {
        snprintf(why, why_size, "more than %d files and connections are open: start derd again",
                 FD_SETSIZE);
        return false;
    }
    port->lock = port_lock(settings->device);
    if (port->lock < 0) {
        explain(port, errno, why, why_size);
        return false;
    }
    modbus_t *modbus =
        modbus_new_rtu(settings->device, settings->baud, settings->parity, 8, settings->stop_bits);
    if (!modbus || modbus_connect(modbus) < 0) {
        explain(port, errno, why, why_size);
        modbus_free(modbus);
        rtu_port_close(port);
        return false;
    }
    if (!port_move(port, modbus)) {
        explain(port, errno, why, why_size);
        modbus_close(modbus);
        modbus_free(modbus);
        rtu_port_close(port);
        return false;
    }
    port->modbus = modbus;
    if (settings->rs485 && modbus_rtu_set_serial_mode(modbus, MODBUS_RTU_RS485) < 0) {
        snprintf(why, why_size,
                 "the port cannot switch its direction: leave mode=rs485 out (USB "
                 "adapters do it by themselves)");
        rtu_port_close(port);
        return false;
    }
    modbus_set_byte_timeout(modbus, 0, 0); /* one time for a whole answer, however slow its bytes */
    port->quiet_us = now_us() + port->silence_us;
    return true;
}

/* ---- waiting ---- */

enum waited { WAITED_BYTES, WAITED_TIME, WAITED_WAKE, WAITED_GONE };

/* `end_us` INT64_MAX: for ever; in the past: one look. `bytes` false: what arrives is no reason to
 * return. */
static enum waited port_wait(struct rtu_port *port, bool bytes, int64_t end_us) {
    struct pollfd fds[] = {{.fd = port->place, .events = bytes ? POLLIN : 0},
                           {.fd = port->wake, .events = POLLIN}};
    for (;;) {
        int64_t left_us = end_us == INT64_MAX ? INT64_MAX : end_us - now_us();
        if (left_us < 0)
            left_us = 0;
        struct timespec left = {.tv_sec = (time_t)(left_us / 1000000),
                                .tv_nsec = (long)(left_us % 1000000) * 1000};
        int ready = ppoll(fds, 2, end_us == INT64_MAX ? NULL : &left, NULL);
        if (ready < 0)
            continue; /* EINTR */
        if (ready == 0)
            return WAITED_TIME;
        if (fds[1].revents)
            return WAITED_WAKE;
        if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL))
            return WAITED_GONE;
        if (fds[0].revents)
            return WAITED_BYTES;
    }
}

static void explain_gone(const struct rtu_port *port, char *why, size_t why_size) {
    if (access(port->settings.device, F_OK) != 0)
        explain(port, ENODEV, why, why_size);
    else
        snprintf(why, why_size, "the port was lost: was the adapter unplugged?");
}

bool rtu_port_rest(struct rtu_port *port, char *why, size_t why_size) {
    if (port_wait(port, false, INT64_MAX) != WAITED_GONE)
        return true;
    explain_gone(port, why, why_size);
    return false;
}

/* Throws away what comes until the line is silent, but not for longer than the longest frame. */
static void port_hear_out(struct rtu_port *port) {
    int64_t end_us = now_us() + port->silence_us + MODBUS_RTU_MAX_ADU_LENGTH * port->character_us;
    for (;;) {
        int64_t now = now_us();
        int64_t quiet_us = now + port->silence_us;
        if (now >= end_us || port_wait(port, true, quiet_us) != WAITED_BYTES)
            break;
        modbus_flush(port->modbus);
    }
    port->quiet_us = now_us();
}

/* ---- asking ---- */

/* True while an answer of this unit may belong to an earlier request than this one. One of another
 * function shows that itself, and the late answer to the same request is an answer to it. */
static bool doubtful(const struct unanswered *earlier, const struct modbus_request *request) {
    return earlier->function == request->function &&
           (earlier->address != request->address || earlier->count != request->count) &&
           now_us() < earlier->until_us;
}

static bool is_garbled(int error) {
    return error == ETIMEDOUT || error == EMBBADCRC || error == EMBBADDATA || error == EMBBADEXC ||
           error == EMBMDATA;
}

/* Takes frames until one is the answer or the time is up. A thread that was held up finds its
 * answer in the port when the time is up, so it gets one more look. */
static enum rtu_result port_listen(struct rtu_port *port, const struct modbus_request *request,
                                   int64_t end_us, struct modbus_answer *answer,
                                   unsigned *foreign) {
    const struct unanswered *earlier = &port->unanswered[request->unit];
    uint8_t frame[RTU_FRAME_MAXIMUM];
    for (bool over = false; !over;) {
        switch (port_wait(port, true, end_us)) {
        case WAITED_TIME:
            return RTU_SILENT;
        case WAITED_WAKE:
            return RTU_INTERRUPTED;
        case WAITED_GONE:
            return RTU_GONE;
        case WAITED_BYTES:
            break;
        }
        int64_t left_us = end_us - now_us();
        over = left_us < 1;
        if (over)
            left_us = 1; /* 0 is none for libmodbus */
        modbus_set_response_timeout(port->modbus, (uint32_t)(left_us / 1000000),
                                    (uint32_t)(left_us % 1000000));
        int length = modbus_receive_confirmation(port->modbus, frame);
        if (length < 0)
            return is_garbled(errno) ? RTU_GARBLED : RTU_GONE;
        if (!doubtful(earlier, request) &&
            rtu_frame_answers(frame, (size_t)length, request, answer))
            return RTU_ANSWER;
        ++*foreign; /* another unit's (length 0), or not to this request */
    }
    return RTU_SILENT;
}

enum rtu_result rtu_port_ask(struct rtu_port *port, const struct modbus_request *request,
                             int64_t timeout_ms, struct modbus_answer *answer, unsigned *foreign,
                             char *why, size_t why_size) {
    uint8_t frame[MBAP_MAXIMUM];
    size_t length = 0;
    if (request->unit < RTU_UNIT_FIRST || request->unit > RTU_UNIT_LAST ||
        mbap_encode(0, request, frame, &length) != ERR_OK)
        return RTU_SILENT; /* nobody has that number */
    length -= UNIT_AT;
    if (!port->modbus) { /* lost between two requests */
        explain_gone(port, why, why_size);
        return RTU_GONE;
    }
    enum waited waited = port_wait(port, false, port->quiet_us);
    if (waited == WAITED_WAKE)
        return RTU_INTERRUPTED;
    modbus_flush(port->modbus); /* what nobody asked for */
    modbus_set_slave(port->modbus, request->unit);
    enum rtu_result result = RTU_GONE;
    int64_t end_us = 0;
    if (waited != WAITED_GONE &&
        modbus_send_raw_request(port->modbus, frame + UNIT_AT, (int)length) >= 0) {
        size_t characters = length + RTU_CHECKSUM_BYTES + rtu_answer_length(request);
        end_us = now_us() + timeout_ms * US_PER_MS + (int64_t)characters * port->character_us;
        result = port_listen(port, request, end_us, answer, foreign);
    }
    port->quiet_us = now_us() + port->silence_us;
    if (result == RTU_GONE)
        explain_gone(port, why, why_size);
    else if (result != RTU_ANSWER)
        port->unanswered[request->unit] = (struct unanswered){
            .function = request->function,
            .address = request->address,
            .count = request->count,
            .until_us = end_us + timeout_ms * US_PER_MS,
        };
    if (result == RTU_SILENT || result == RTU_GARBLED)
        port_hear_out(port);
    return result;
}
