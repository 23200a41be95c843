#include "simulate/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/log.h"

#define MOST_DESCRIPTOR (FD_SETSIZE - 1)
#define SEND_WAIT_US    200000 /* a client that does not take its answer loses the connection */
#define FRAME_WAIT_US   500000 /* a frame that has begun ends within this */
#define PDU_AT          7      /* after the MBAP header */

struct sim_request { /* read from a frame */
    int function;
    uint16_t address, count;
    uint16_t words[MODBUS_MAX_WRITE_REGISTERS];
};

static uint16_t word_at(const uint8_t *frame, int at) {
    return (uint16_t)(frame[at] << 8 | frame[at + 1]);
}

/* 0, or the exception with which the frame is refused. */
static int request_parse(const uint8_t *frame, int length, struct sim_request *request) {
    memset(request, 0, sizeof *request);
    request->function = frame[PDU_AT];
    if (length < PDU_AT + 5)
        return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
    request->address = word_at(frame, PDU_AT + 1);
    request->count = word_at(frame, PDU_AT + 3);
    switch (request->function) {
    case MODBUS_FC_READ_HOLDING_REGISTERS:
    case MODBUS_FC_READ_INPUT_REGISTERS:
        if (request->count < 1 || request->count > MODBUS_MAX_READ_REGISTERS)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
        return 0;
    case MODBUS_FC_WRITE_SINGLE_REGISTER:
        request->words[0] = request->count;
        request->count = 1;
        return 0;
    case MODBUS_FC_WRITE_MULTIPLE_REGISTERS:
        if (request->count < 1 || request->count > MODBUS_MAX_WRITE_REGISTERS ||
            length < PDU_AT + 6 + 2 * request->count || frame[PDU_AT + 5] != 2 * request->count)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
        for (int i = 0; i < request->count; i++)
            request->words[i] = word_at(frame, PDU_AT + 6 + 2 * i);
        return 0;
    default:
        return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
    }
}

static bool request_writes(const struct sim_request *request) {
    return request->function == MODBUS_FC_WRITE_SINGLE_REGISTER ||
           request->function == MODBUS_FC_WRITE_MULTIPLE_REGISTERS;
}

/* What the device answers: 0 for yes, else the exception. */
static int device_judge(const struct sim_device *device, const struct sim_request *request) {
    if (device->exception)
        return device->exception;
    bool writes = request_writes(request);
    enum sim_table table =
        request->function == MODBUS_FC_READ_INPUT_REGISTERS ? SIM_INPUT : SIM_HOLDING;
    if (!sim_image_allows(&device->image, table, request->address, request->count,
                          writes ? SIM_WRITE : SIM_READ))
        return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
    if (writes && device->make->check)
        return device->make->check(device, request->address, request->count, request->words);
    return 0;
}

static struct sim_device *find_unit(const struct sim_server *server, uint8_t unit) {
    for (size_t i = 0; i < server->home->device_count; i++) {
        struct sim_device *device = &server->home->devices[i];
        if (device->listener == server->index && device->unit == unit)
            return device;
    }
    return NULL;
}

/* With the lock. False: the connection is lost. */
static bool server_answer(struct sim_server *server, const uint8_t *frame, int length) {
    modbus_t *modbus = server->modbus;
    struct sim_device *device = find_unit(server, frame[PDU_AT - 1]);
    if (!device)
        return modbus_reply_exception(modbus, frame, MODBUS_EXCEPTION_GATEWAY_TARGET) > 0;
    if (device->silent)
        return true;
    struct sim_request request;
    int exception = request_parse(frame, length, &request);
    bool parsed = exception == 0;
    if (parsed)
        exception = device_judge(device, &request);
    bool sent;
    if (exception)
        sent = modbus_reply_exception(modbus, frame, (unsigned)exception) > 0;
    else
        sent = modbus_reply(modbus, frame, length, device->image.mapping) > 0;
    if (parsed && request_writes(&request))
        sim_device_note(server->home, device, request.address, request.count, request.words,
                        exception != 0);
    else if (!exception)
        device->timers.unread_s = 0;
    return sent;
}

/* False when the connection is to be closed. */
static bool server_serve(struct sim_server *server, int connection) {
    uint8_t frame[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(server->modbus, connection);
    int length = modbus_receive(server->modbus, frame);
    if (length < 0)
        return false;
    if (length <= PDU_AT)
        return true;
    pthread_mutex_lock(&server->home->lock);
    int latency_ms = server->home->latency_ms;
    pthread_mutex_unlock(&server->home->lock);
    struct pollfd stop = {.fd = server->stop, .events = POLLIN};
    if (latency_ms > 0 && poll(&stop, 1, latency_ms) > 0)
        return false;
    pthread_mutex_lock(&server->home->lock);
    bool open = server_answer(server, frame, length);
    pthread_mutex_unlock(&server->home->lock);
    return open;
}

static void server_accept(struct sim_server *server) {
    int connection = accept4(server->socket, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return;
    if (connection > MOST_DESCRIPTOR || server->connection_count == SIM_MAX_CONNECTIONS) {
        log_warning("simulate", "too many connections: one is refused");
        close(connection);
        return;
    }
    int yes = 1;
    struct timeval wait = {.tv_usec = SEND_WAIT_US};
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    server->connections[server->connection_count++] = connection;
}

static void *server_run(void *argument) {
    struct sim_server *server = argument;
    struct pollfd waits[SIM_MAX_CONNECTIONS + 2];
    for (;;) {
        waits[0] = (struct pollfd){.fd = server->stop, .events = POLLIN};
        waits[1] = (struct pollfd){.fd = server->socket, .events = POLLIN};
        int count = server->connection_count;
        for (int i = 0; i < count; i++)
            waits[i + 2] = (struct pollfd){.fd = server->connections[i], .events = POLLIN};
        if (poll(waits, (nfds_t)count + 2, -1) < 0 && errno != EINTR)
            break;
        if (waits[0].revents)
            break;
        int kept = 0;
        for (int i = 0; i < count; i++) {
            int connection = server->connections[i];
            if (!waits[i + 2].revents || server_serve(server, connection))
                server->connections[kept++] = connection;
            else
                close(connection);
        }
        server->connection_count = kept;
        if (waits[1].revents)
            server_accept(server);
    }
    for (int i = 0; i < server->connection_count; i++)
        close(server->connections[i]);
    return NULL;
}

static bool server_fail(struct sim_server *server, struct report *report, const char *what) {
    const struct sim_listener *listener = &server->home->listeners[server->index];
    report_add(report, "listeners",
               "%s (127.0.0.1:%d) cannot %s: %s. Is the port taken? Port 0 "
               "takes any free one",
               listener->name, listener->port, what, strerror(errno));
    if (server->socket >= 0)
        close(server->socket);
    if (server->modbus)
        modbus_free(server->modbus);
    server->socket = -1;
    server->modbus = NULL;
    return false;
}

bool sim_server_start(struct sim_server *server, struct sim_home *home, int index, int stop,
                      struct report *report) {
    memset(server, 0, sizeof *server);
    server->home = home;
    server->index = index;
    server->stop = stop;
    server->socket = -1;
    server->modbus = modbus_new_tcp("127.0.0.1", home->listeners[index].port);
    if (!server->modbus)
        return server_fail(server, report, "be made");
    server->socket = modbus_tcp_listen(server->modbus, SIM_MAX_CONNECTIONS);
    if (server->socket < 0)
        return server_fail(server, report, "listen");
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    if (getsockname(server->socket, (struct sockaddr *)&address, &size))
        return server_fail(server, report, "tell its port");
    server->port = ntohs(address.sin_port);
    modbus_set_byte_timeout(server->modbus, 0, FRAME_WAIT_US);
    modbus_set_indication_timeout(server->modbus, 0, FRAME_WAIT_US);
    int failure = pthread_create(&server->thread, NULL, server_run, server);
    if (failure) {
        errno = failure;
        return server_fail(server, report, "start its thread");
    }
    server->running = true;
    return true;
}

void sim_server_finish(struct sim_server *server) {
    if (!server->running)
        return;
    pthread_join(server->thread, NULL);
    server->running = false;
    close(server->socket);
    /* The descriptor in it is a connection that is closed already. */
    modbus_set_socket(server->modbus, -1);
    modbus_free(server->modbus);
}
