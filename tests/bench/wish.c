/* Both ends of a wish, in one thread with one clock: a client that asks the host for a limit over
 * REST, and the Modbus TCP device that must see it. So nothing stands between a time and another
 * but the host.
 *
 *   wish --latency MS --floor FILE
 *
 * It prints "ready PORT" when the device listens; each of its answers goes out MS after the request
 * came in. Then it takes lines on standard input and answers each with one line of JSON:
 *
 *   host PORT TOKEN PATH    of the host, and of the device's constraints there: {}
 *   wishes COUNT GAP        each a POST of a limit; the time until its write is here, and until the
 *                           answer is; a DELETE, which the device sees too; one fdatasync of FILE's
 *                           disk; GAP to twice GAP ms of rest. Times in microseconds.
 *   boundaries COUNT EVERY  COUNT limits ahead, one each EVERY ms, in force for half of that: how
 *                           late each beginning and each end was seen, in microseconds
 *
 * It ends with standard input. What does not come within 10 s is an error: exit status 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "bench.h"
#include "sync_floor.h"

#define CLIENTS        4
#define ANSWERS        16 /* of the device, held back; the host has one in flight */
#define FRAME_MAXIMUM  260
#define WORDS          64
#define LIMIT_REGISTER 20
#define COUNT_MAXIMUM  10000
#define WRITES_MAXIMUM 256
#define REPLY_SIZE     16384
#define PATIENCE_NS    INT64_C(10000000000)
#define MS             INT64_C(1000000)

struct client { /* of the device */
    int fd;     /* -1: none */
    size_t filled;
    uint8_t input[2 * FRAME_MAXIMUM];
};

struct held {
    int64_t due_ns;
    int client;
    size_t length;
    uint8_t frame[FRAME_MAXIMUM];
};

struct write_seen {
    int64_t at_ns;
    int64_t wall_ns;
    unsigned value;
};

struct bench {
    int64_t latency_ns;
    struct sync_floor sync;
    int listener;
    struct client clients[CLIENTS];
    struct held held[ANSWERS]; /* a ring, due in order */
    size_t held_first, held_count;
    uint16_t words[WORDS];
    struct write_seen writes[WRITES_MAXIMUM]; /* of the limit, since they were last forgotten */
    size_t write_count;

    int http; /* -1: not connected */
    int port;
    char token[200], path[300];
    char reply[REPLY_SIZE];
    size_t reply_length;
    bool replied;
    int64_t replied_ns;
    int status;
    char location[400];
    unsigned number; /* of wishes so far */
};

/* ---- the device ---- */

static void client_drop(struct client *client) {
    close(client->fd);
    client->fd = -1;
    client->filled = 0;
}

static void answer(struct bench *bench, int client, const uint8_t *frame, size_t length) {
    if (bench->latency_ns == 0) {
        if (send(bench->clients[client].fd, frame, length, MSG_NOSIGNAL) != (ssize_t)length)
            fail("the device could not answer");
        return;
    }
    if (bench->held_count == ANSWERS)
        fail("the host asks without waiting for answers");
    struct held *held = &bench->held[(bench->held_first + bench->held_count++) % ANSWERS];
    *held = (struct held){clock_ns(CLOCK_MONOTONIC) + bench->latency_ns, client, length, {0}};
    memcpy(held->frame, frame, length);
}

static void take_word(struct bench *bench, unsigned address, uint16_t word, int64_t at_ns) {
    bench->words[address] = word;
    if (address == LIMIT_REGISTER && bench->write_count < WRITES_MAXIMUM)
        bench->writes[bench->write_count++] = (struct write_seen){
            at_ns, clock_ns(CLOCK_REALTIME) - (clock_ns(CLOCK_MONOTONIC) - at_ns), word};
}

static void take_frame(struct bench *bench, int client, const uint8_t *frame, size_t length,
                       int64_t at_ns) {
    uint8_t out[FRAME_MAXIMUM];
    size_t out_length = 12;
    unsigned function = frame[7], address = get_u16(frame + 8), count = get_u16(frame + 10);
    memcpy(out, frame, 12); /* writes are echoed */
    if (function == 6 && address < WORDS) {
        take_word(bench, address, (uint16_t)count, at_ns);
    } else if (function == 16 && count <= WORDS && address + count <= WORDS &&
               length == 13 + 2 * (size_t)count) {
        for (unsigned i = 0; i < count; i++)
            take_word(bench, address + i, get_u16(frame + 13 + 2 * (size_t)i), at_ns);
    } else if ((function == 3 || function == 4) && count <= WORDS && address + count <= WORDS) {
        out[8] = (uint8_t)(2 * count);
        for (unsigned i = 0; i < count; i++)
            put_u16(out + 9 + 2 * (size_t)i, bench->words[address + i]);
        out_length = 9 + 2 * (size_t)count;
    } else {
        out[7] = (uint8_t)(function | 0x80);
        out[8] = 2;
        out_length = 9;
    }
    put_u16(out + 4, (unsigned)out_length - 6);
    answer(bench, client, out, out_length);
}

static void client_read(struct bench *bench, int index) {
    struct client *client = &bench->clients[index];
    ssize_t got = recv(client->fd, client->input + client->filled,
                       sizeof client->input - client->filled, MSG_DONTWAIT);
    int64_t at_ns = clock_ns(CLOCK_MONOTONIC);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            client_drop(client);
        return;
    }
    client->filled += (size_t)got;
    size_t at = 0;
    while (client->fd >= 0 && client->filled - at >= 12) {
        const uint8_t *frame = client->input + at;
        size_t length = 6U + get_u16(frame + 4);
        if (length < 12 || length > FRAME_MAXIMUM)
            fail("the host sent what is no request");
        if (client->filled - at < length)
            break;
        take_frame(bench, index, frame, length, at_ns);
        at += length;
    }
    memmove(client->input, client->input + at, client->filled - at);
    client->filled -= at;
}

static void client_accept(struct bench *bench) {
    int fd = accept4(bench->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int on = 1;
    for (int i = 0; i < CLIENTS && fd >= 0; i++)
        if (bench->clients[i].fd < 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            bench->clients[i].fd = fd;
            return;
        }
    if (fd >= 0)
        close(fd);
}

static void send_due(struct bench *bench) {
    while (bench->held_count > 0 &&
           bench->held[bench->held_first].due_ns <= clock_ns(CLOCK_MONOTONIC)) {
        const struct held *held = &bench->held[bench->held_first];
        int fd = bench->clients[held->client].fd;
        if (fd >= 0 && send(fd, held->frame, held->length, MSG_NOSIGNAL) != (ssize_t)held->length)
            fail("the device could not answer");
        bench->held_first = (bench->held_first + 1) % ANSWERS;
        bench->held_count--;
    }
}

/* ---- the client of the host ---- */

static bool header(const char *reply, const char *name, char *value, size_t size) {
    const char *at = strstr(reply, name);
    if (!at)
        return false;
    at += strlen(name);
    size_t length = strcspn(at, "\r\n");
    snprintf(value, size, "%.*s", (int)length, at);
    return true;
}

static void http_read(struct bench *bench) {
    ssize_t got = recv(bench->http, bench->reply + bench->reply_length,
                       sizeof bench->reply - 1 - bench->reply_length, MSG_DONTWAIT);
    int64_t at_ns = clock_ns(CLOCK_MONOTONIC);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close(bench->http);
        bench->http = -1;
        return;
    }
    bench->reply_length += (size_t)got;
    bench->reply[bench->reply_length] = '\0';
    const char *end = strstr(bench->reply, "\r\n\r\n");
    if (!end)
        return;
    char value[400];
    size_t body = header(bench->reply, "\r\nContent-Length: ", value, sizeof value)
                      ? (size_t)strtoul(value, NULL, 10)
                      : 0;
    if (bench->reply_length < (size_t)(end + 4 - bench->reply) + body)
        return;
    bench->replied = true;
    bench->replied_ns = at_ns;
    bench->status = (int)strtol(bench->reply + 9, NULL, 10);
    if (!header(bench->reply, "\r\nLocation: ", bench->location, sizeof bench->location))
        bench->location[0] = '\0';
    if (header(bench->reply, "\r\nConnection: ", value, sizeof value) &&
        strncmp(value, "close", 5) == 0) {
        close(bench->http);
        bench->http = -1;
    }
}

static void http_connect(struct bench *bench) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)bench->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    bench->http = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bench->http < 0 ||
        connect(bench->http, (const struct sockaddr *)&address, sizeof address) != 0)
        fail("the host cannot be connected to");
    setsockopt(bench->http, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Sends it; when that was. */
static int64_t http_send(struct bench *bench, const char *method, const char *path,
                         const char *body) {
    char request[2000];
    if (bench->http < 0)
        http_connect(bench);
    int length = snprintf(request, sizeof request,
                          "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          method, path, bench->token, strlen(body), body);
    bench->reply_length = 0;
    bench->replied = false;
    int64_t at_ns = clock_ns(CLOCK_MONOTONIC);
    if (length >= (int)sizeof request ||
        send(bench->http, request, (size_t)length, MSG_NOSIGNAL) != length)
        fail("the request could not be sent");
    return at_ns;
}

/* ---- the loop ---- */

/* Serves both ends until something happened, or `until_ns`. */
static void turn(struct bench *bench, int64_t until_ns) {
    struct pollfd polled[CLIENTS + 2];
    nfds_t count = 0;
    int of[CLIENTS + 2];
    for (int i = 0; i < CLIENTS; i++)
        if (bench->clients[i].fd >= 0) {
            of[count] = i;
            polled[count++] = (struct pollfd){.fd = bench->clients[i].fd, .events = POLLIN};
        }
    of[count] = CLIENTS;
    polled[count++] = (struct pollfd){.fd = bench->listener, .events = POLLIN};
    if (bench->http >= 0) {
        of[count] = CLIENTS + 1;
        polled[count++] = (struct pollfd){.fd = bench->http, .events = POLLIN};
    }
    int64_t wake_ns = until_ns;
    if (bench->held_count > 0 && bench->held[bench->held_first].due_ns < wake_ns)
        wake_ns = bench->held[bench->held_first].due_ns;
    int64_t wait_ns = wake_ns - clock_ns(CLOCK_MONOTONIC);
    if (wait_ns < 0)
        wait_ns = 0;
    const struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
    if (ppoll(polled, count, &wait, NULL) < 0)
        fail("ppoll");
    for (nfds_t i = 0; i < count; i++) {
        if (!polled[i].revents)
            continue;
        if (of[i] < CLIENTS)
            client_read(bench, of[i]);
        else if (of[i] == CLIENTS)
            client_accept(bench);
        else
            http_read(bench);
    }
    send_due(bench);
}

static void rest(struct bench *bench, int64_t ns) {
    for (int64_t end_ns = clock_ns(CLOCK_MONOTONIC) + ns; clock_ns(CLOCK_MONOTONIC) < end_ns;)
        turn(bench, end_ns);
}

static const struct write_seen *write_of(const struct bench *bench, unsigned value, size_t from) {
    for (size_t i = from; i < bench->write_count; i++)
        if (bench->writes[i].value == value)
            return &bench->writes[i];
    return NULL;
}

static void await_reply(struct bench *bench, int status) {
    int64_t end_ns = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
    while (!bench->replied && clock_ns(CLOCK_MONOTONIC) < end_ns && bench->http >= 0)
        turn(bench, end_ns);
    if (bench->replied && bench->status == status)
        return;
    fprintf(stderr, "wish: expected %d, got: %.900s\n", status,
            bench->replied ? bench->reply : "no answer");
    exit(1);
}

static const struct write_seen *await_write(struct bench *bench, unsigned value) {
    const struct write_seen *seen = NULL;
    int64_t end_ns = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
    while (!(seen = write_of(bench, value, 0)) && clock_ns(CLOCK_MONOTONIC) < end_ns)
        turn(bench, end_ns);
    if (!seen)
        fail("the device was not told");
    return seen;
}

/* ---- what is measured ---- */

static unsigned next_value(struct bench *bench) {
    return 1000 + bench->number++ % 9000;
}

static void print_list(const char *name, const int64_t *list_ns, size_t count, const char *end) {
    printf("\"%s\":[", name);
    for (size_t i = 0; i < count; i++)
        printf("%s%.1f", i ? "," : "", (double)list_ns[i] / 1000);
    printf("]%s", end);
}

static void wishes(struct bench *bench, size_t count, int64_t gap_ms) {
    static int64_t wire[COUNT_MAXIMUM], reply[COUNT_MAXIMUM], floor_ns[COUNT_MAXIMUM];
    char body[200];
    for (size_t i = 0; i < count; i++) {
        unsigned value = next_value(bench);
        snprintf(body, sizeof body,
                 "{\"priority\":1000,\"activePower\":%u,\"validFor\":60,\"reason\":\"bench\"}",
                 value);
        bench->write_count = 0;
        int64_t at_ns = http_send(bench, "POST", bench->path, body);
        wire[i] = await_write(bench, value)->at_ns - at_ns;
        await_reply(bench, 201);
        reply[i] = bench->replied_ns - at_ns;
        bench->write_count = 0;
        (void)http_send(bench, "DELETE", bench->location, "");
        await_reply(bench, 204);
        (void)await_write(bench, 0);
        rest(bench, gap_ms * MS + (int64_t)(random() % 1000) * gap_ms * MS / 1000);
        floor_ns[i] = sync_floor_once(&bench->sync);
        if (floor_ns[i] < 0)
            fail("the floor's file cannot be written");
        rest(bench, gap_ms * MS + (int64_t)(random() % 1000) * gap_ms * MS / 1000);
    }
    printf("{");
    print_list("wire", wire, count, ",");
    print_list("answer", reply, count, ",");
    print_list("floor", floor_ns, count, "}\n");
}

static void put_time(char *text, size_t size, int64_t at_ms) {
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm parts;
    char date[40];
    gmtime_r(&seconds, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, size, "%s.%03dZ", date, (int)(at_ms % 1000));
}

/* A creator has 50 constraints on a device at most. */
static void boundaries(struct bench *bench, size_t count, int64_t every_ms) {
    static int64_t begins[COUNT_MAXIMUM], ends[COUNT_MAXIMUM];
    unsigned first = 10000; /* no wish has these */
    char body[300], from[60], to[60];
    bench->write_count = 0;
    int64_t start_ms = clock_ns(CLOCK_REALTIME) / MS + 300 + (int64_t)count * 20;
    for (size_t i = 0; i < count; i++) {
        int64_t at_ms = start_ms + (int64_t)i * every_ms;
        put_time(from, sizeof from, at_ms);
        put_time(to, sizeof to, at_ms + every_ms / 2);
        snprintf(body, sizeof body,
                 "{\"priority\":1000,\"activePower\":%u,\"validAt\":\"%s\",\"invalidAt\":\"%s\"}",
                 first + (unsigned)i, from, to);
        (void)http_send(bench, "POST", bench->path, body);
        await_reply(bench, 201);
    }
    int64_t end_ms = start_ms + (int64_t)count * every_ms;
    if (clock_ns(CLOCK_REALTIME) / MS >= start_ms)
        fail("the limits ahead came too late");
    rest(bench, end_ms * MS - clock_ns(CLOCK_REALTIME));
    for (size_t i = 0; i < count; i++) {
        int64_t at_ms = start_ms + (int64_t)i * every_ms;
        const struct write_seen *begin = await_write(bench, first + (unsigned)i);
        const struct write_seen *end = write_of(bench, 0, (size_t)(begin - bench->writes));
        if (!end)
            fail("the end of a limit was not seen");
        begins[i] = begin->wall_ns - at_ms * MS;
        ends[i] = end->wall_ns - (at_ms + every_ms / 2) * MS;
    }
    printf("{");
    print_list("begin", begins, count, ",");
    print_list("end", ends, count, "}\n");
}

/* ---- what is asked for ---- */

static void take_line(struct bench *bench, char *line) {
    char *rest_of = NULL;
    const char *word = strtok_r(line, " \n", &rest_of);
    const char *one = strtok_r(NULL, " \n", &rest_of);
    const char *two = strtok_r(NULL, " \n", &rest_of);
    const char *three = strtok_r(NULL, " \n", &rest_of);
    if (!word || !one || !two)
        fail("expected host, wishes or boundaries and what belongs to it");
    size_t count = (size_t)strtoul(one, NULL, 10);
    int64_t ms = strtol(two, NULL, 10);
    if (strcmp(word, "host") == 0 && three) {
        bench->port = (int)strtol(one, NULL, 10);
        snprintf(bench->token, sizeof bench->token, "%s", two);
        snprintf(bench->path, sizeof bench->path, "%s", three);
        printf("{}\n");
    } else if (strcmp(word, "wishes") == 0 && count <= COUNT_MAXIMUM) {
        wishes(bench, count, ms);
    } else if (strcmp(word, "boundaries") == 0 && count <= 50) {
        boundaries(bench, count, ms);
    } else {
        fail("expected host, wishes or boundaries");
    }
    fflush(stdout);
}

static int listen_anywhere(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        fail("a port cannot be had");
    *port = ntohs(address.sin_port);
    return fd;
}

int main(int count, char **arguments) {
    static struct bench bench = {.http = -1};
    const char *file = NULL;
    int port;
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--latency") == 0)
            bench.latency_ns = strtol(arguments[i + 1], NULL, 10) * MS;
        else if (strcmp(arguments[i], "--floor") == 0)
            file = arguments[i + 1];
    }
    if (!file || !sync_floor_open(&bench.sync, file))
        fail("--floor: a file that can be made is needed");
    for (int i = 0; i < CLIENTS; i++)
        bench.clients[i].fd = -1;
    bench.listener = listen_anywhere(&port);
    printf("ready %d\n", port);
    fflush(stdout);
    for (;;) { /* the device answers while nothing is asked for, too */
        char line[1000];
        struct pollfd asked = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&asked, 1, 0) > 0) {
            if (!fgets(line, sizeof line, stdin))
                return 0;
            take_line(&bench, line);
        }
        turn(&bench, clock_ns(CLOCK_MONOTONIC) + 5 * MS);
    }
}
