/* A Modbus TCP server in a thread that misbehaves on order: it takes the next action from a list
 * for each request it gets, and answers properly when the list is at its end. It knows the protocol
 * by itself, without the code under test. Word 0 of an answer to a read is the number of the
 * request (from 0), so that no two answers are alike; the others are their register's address. */
#ifndef DERD_TESTS_HOSTILE_H
#define DERD_TESTS_HOSTILE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOSTILE_CONNECTIONS 64
#define HOSTILE_SEEN        8192 /* requests that are remembered */
#define HOSTILE_HELD        8

enum hostile_action {
    HOSTILE_ANSWER,
    HOSTILE_BYTES,         /* the answer in single bytes */
    HOSTILE_SILENT,        /* nothing */
    HOSTILE_HOLD,          /* keeps the answer back for LATE or REVERSE */
    HOSTILE_LATE,          /* what was held, then the answer */
    HOSTILE_REVERSE,       /* the answer, then what was held, the newest first */
    HOSTILE_FOREIGN_FIRST, /* the answer under another transaction id, then the answer */
    HOSTILE_WRONG_UNIT,
    HOSTILE_WRONG_FUNCTION,
    HOSTILE_WRONG_COUNT,
    HOSTILE_WRONG_PROTOCOL,
    HOSTILE_GARBAGE,
    HOSTILE_HALF, /* half an answer, then the end of the connection */
    HOSTILE_CLOSE,
    HOSTILE_RESET,
    HOSTILE_EXCEPTION /* code 2 */
};

struct hostile_frame {
    uint8_t bytes[300];
    size_t length;
};

struct hostile_client {
    int socket; /* -1: free */
    struct hostile_frame input;
    struct hostile_frame held[HOSTILE_HELD];
    int held_count;
};

struct hostile_seen {
    uint16_t id;
    uint8_t unit, function;
    uint16_t address;
};

struct hostile {
    int listener, port;
    int stop[2];
    bool running;
    pthread_t thread;
    struct hostile_client clients[HOSTILE_CONNECTIONS]; /* of the thread */
    pthread_mutex_t lock;                               /* of all below */
    const enum hostile_action *actions;
    int action_count, next_action;
    int dead_unit; /* never answers; -1: none */
    struct hostile_seen seen[HOSTILE_SEEN];
    int requests, answers, open;
    bool saw_id_zero;
};

static inline void hostile_send(struct hostile_client *client, const struct hostile_frame *frame) {
    (void)!send(client->socket, frame->bytes, frame->length, MSG_NOSIGNAL);
}

static inline void hostile_drop(struct hostile *hostile, struct hostile_client *client,
                                bool reset) {
    if (reset) {
        const struct linger linger = {1, 0};
        setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(client->socket);
    client->socket = -1;
    pthread_mutex_lock(&hostile->lock);
    hostile->open--;
    pthread_mutex_unlock(&hostile->lock);
}

/* The right answer to a request. */
static inline struct hostile_frame hostile_reply(const uint8_t *request, size_t length,
                                                 int number) {
    struct hostile_frame reply = {.length = 12};
    memcpy(reply.bytes, request, length < 12 ? length : 12); /* writes are echoed */
    if (request[7] <= 4) {
        int count = request[10] << 8 | request[11], address = request[8] << 8 | request[9];
        reply.bytes[8] = (uint8_t)(2 * count);
        for (int i = 0; i < count; i++) {
            int word = i == 0 ? number : address + i;
            reply.bytes[9 + 2 * i] = (uint8_t)(word >> 8);
            reply.bytes[10 + 2 * i] = (uint8_t)word;
        }
        reply.length = (size_t)(9 + 2 * count);
    }
    reply.bytes[4] = 0;
    reply.bytes[5] = (uint8_t)(reply.length - 6);
    return reply;
}

static inline void hostile_act(struct hostile *hostile, struct hostile_client *client,
                               enum hostile_action action, struct hostile_frame reply) {
    struct hostile_frame other = reply;
    switch (action) {
    case HOSTILE_ANSWER:
        hostile_send(client, &reply);
        return;
    case HOSTILE_BYTES:
        for (size_t i = 0; i < reply.length; i++) {
            (void)!send(client->socket, &reply.bytes[i], 1, MSG_NOSIGNAL);
            sched_yield();
        }
        return;
    case HOSTILE_SILENT:
        return;
    case HOSTILE_HOLD:
        if (client->held_count < HOSTILE_HELD)
            client->held[client->held_count++] = reply;
        return;
    case HOSTILE_LATE:
        for (int i = 0; i < client->held_count; i++)
            hostile_send(client, &client->held[i]);
        client->held_count = 0;
        hostile_send(client, &reply);
        return;
    case HOSTILE_REVERSE:
        hostile_send(client, &reply);
        while (client->held_count > 0)
            hostile_send(client, &client->held[--client->held_count]);
        return;
    case HOSTILE_FOREIGN_FIRST:
        other.bytes[0] ^= 0x80;
        hostile_send(client, &other);
        hostile_send(client, &reply);
        return;
    case HOSTILE_WRONG_UNIT:
        other.bytes[6] ^= 1;
        break;
    case HOSTILE_WRONG_FUNCTION:
        other.bytes[7] ^= 7;
        break;
    case HOSTILE_WRONG_COUNT:
        other.bytes[8] ^= 2;
        break;
    case HOSTILE_WRONG_PROTOCOL:
        other.bytes[3] = 1;
        break;
    case HOSTILE_GARBAGE:
        memset(other.bytes, 0xA5, other.length);
        break;
    case HOSTILE_HALF:
        other.length /= 2;
        hostile_send(client, &other);
        hostile_drop(hostile, client, false);
        return;
    case HOSTILE_CLOSE:
    case HOSTILE_RESET:
        hostile_drop(hostile, client, action == HOSTILE_RESET);
        return;
    case HOSTILE_EXCEPTION:
        other.bytes[7] |= 0x80;
        other.bytes[8] = 2;
        other.bytes[5] = 3;
        other.length = 9;
        break;
    }
    hostile_send(client, &other);
}

static inline void hostile_take(struct hostile *hostile, struct hostile_client *client,
                                const uint8_t *request, size_t length) {
    pthread_mutex_lock(&hostile->lock);
    int number = hostile->requests++;
    struct hostile_seen *seen = &hostile->seen[number % HOSTILE_SEEN];
    *seen = (struct hostile_seen){(uint16_t)(request[0] << 8 | request[1]), request[6], request[7],
                                  (uint16_t)(request[8] << 8 | request[9])};
    hostile->saw_id_zero |= seen->id == 0;
    bool dead = request[6] == hostile->dead_unit;
    enum hostile_action action = HOSTILE_ANSWER;
    if (dead)
        action = HOSTILE_SILENT;
    else if (hostile->next_action < hostile->action_count)
        action = hostile->actions[hostile->next_action++];
    pthread_mutex_unlock(&hostile->lock);
    hostile_act(hostile, client, action, hostile_reply(request, length, number));
    pthread_mutex_lock(&hostile->lock);
    hostile->answers++;
    pthread_mutex_unlock(&hostile->lock);
}

static inline void hostile_read(struct hostile *hostile, struct hostile_client *client) {
    struct hostile_frame *input = &client->input;
    ssize_t got =
        recv(client->socket, input->bytes + input->length, sizeof input->bytes - input->length, 0);
    if (got <= 0) {
        hostile_drop(hostile, client, false);
        return;
    }
    input->length += (size_t)got;
    while (client->socket >= 0 && input->length >= 6) {
        size_t whole = 6U + (size_t)(input->bytes[4] << 8 | input->bytes[5]);
        if (whole < 12 || whole > sizeof input->bytes || input->length < whole)
            return;
        uint8_t request[sizeof input->bytes];
        memcpy(request, input->bytes, whole);
        memmove(input->bytes, input->bytes + whole, input->length - whole);
        input->length -= whole;
        hostile_take(hostile, client, request, whole);
    }
}

static inline void hostile_accept(struct hostile *hostile) {
    int accepted = accept(hostile->listener, NULL, NULL);
    for (int i = 0; accepted >= 0 && i < HOSTILE_CONNECTIONS; i++) {
        struct hostile_client *client = &hostile->clients[i];
        if (client->socket >= 0)
            continue;
        const int on = 1;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        client->socket = accepted;
        client->input.length = 0;
        client->held_count = 0;
        pthread_mutex_lock(&hostile->lock);
        hostile->open++;
        pthread_mutex_unlock(&hostile->lock);
        return;
    }
    abort(); /* more clients than the tests have, or none */
}

static inline void *hostile_run(void *argument) {
    struct hostile *hostile = argument;
    for (;;) {
        struct pollfd watched[HOSTILE_CONNECTIONS + 2] = {{hostile->stop[0], POLLIN, 0},
                                                          {hostile->listener, POLLIN, 0}};
        for (int i = 0; i < HOSTILE_CONNECTIONS; i++)
            watched[i + 2] = (struct pollfd){hostile->clients[i].socket, POLLIN, 0};
        poll(watched, HOSTILE_CONNECTIONS + 2, -1);
        if (watched[0].revents)
            return NULL;
        for (int i = 0; i < HOSTILE_CONNECTIONS; i++)
            if (watched[i + 2].revents)
                hostile_read(hostile, &hostile->clients[i]);
        if (watched[1].revents)
            hostile_accept(hostile);
    }
}

/* Binds a free port on 127.0.0.1; connections are refused until hostile_listen(). */
static inline struct hostile *hostile_new(const enum hostile_action *actions, int count) {
    struct hostile *hostile = calloc(1, sizeof *hostile);
    assert_non_null(hostile);
    hostile->actions = actions;
    hostile->action_count = count;
    hostile->dead_unit = -1;
    pthread_mutex_init(&hostile->lock, NULL);
    for (int i = 0; i < HOSTILE_CONNECTIONS; i++)
        hostile->clients[i].socket = -1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    hostile->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(hostile->listener >= 0);
    assert_int_equal(bind(hostile->listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(hostile->listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(pipe(hostile->stop), 0);
    hostile->port = ntohs(address.sin_port);
    return hostile;
}

static inline void hostile_listen(struct hostile *hostile) {
    assert_int_equal(listen(hostile->listener, HOSTILE_CONNECTIONS), 0);
    hostile->running = true;
    assert_int_equal(pthread_create(&hostile->thread, NULL, hostile_run, hostile), 0);
}

static inline void hostile_free(struct hostile *hostile) {
    if (hostile->running) {
        assert_int_equal(write(hostile->stop[1], "", 1), 1);
        pthread_join(hostile->thread, NULL);
    }
    for (int i = 0; i < HOSTILE_CONNECTIONS; i++)
        if (hostile->clients[i].socket >= 0)
            close(hostile->clients[i].socket);
    close(hostile->listener);
    close(hostile->stop[0]);
    close(hostile->stop[1]);
    pthread_mutex_destroy(&hostile->lock);
    free(hostile);
}

/* One of the numbers under the lock. */
static inline int hostile_number(struct hostile *hostile, const int *number) {
    pthread_mutex_lock(&hostile->lock);
    int value = *number;
    pthread_mutex_unlock(&hostile->lock);
    return value;
}

static inline struct hostile_seen hostile_request(struct hostile *hostile, int index) {
    pthread_mutex_lock(&hostile->lock);
    struct hostile_seen seen = hostile->seen[index % HOSTILE_SEEN];
    pthread_mutex_unlock(&hostile->lock);
    return seen;
}

#endif
