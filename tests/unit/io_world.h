/* What tests of the clients for scripts share: a loop with a watchdog and the room, and a peer
 * program as a child. Include <cmocka.h> first. */
#ifndef DERD_TESTS_IO_WORLD_H
#define DERD_TESTS_IO_WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "io/io.h"

#define WATCHDOG_MS 60000
#define PATIENT_MS  30000 /* time-out of what is going to be answered */
#define BRIEF_MS    50    /* time-out of what is not */
#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

struct world {
    uv_loop_t loop;
    uv_timer_t watchdog;
    bool expired;
    struct io *io;
    bool inside; /* a function of the clients runs: nothing may call back */
};

/* Callbacks stop the loop, so that what they did is seen. */
#define DRIVE_UNTIL(world, condition)                                                              \
    do {                                                                                           \
        while (!(condition)) {                                                                     \
            assert_false((world)->expired);                                                        \
            uv_run(&(world)->loop, UV_RUN_ONCE);                                                   \
        }                                                                                          \
    } while (0)

static inline void on_watchdog(uv_timer_t *timer) {
    ((struct world *)timer->data)->expired = true;
}

static inline void world_open(struct world *world) {
    char why[IO_WHY_SIZE];
    *world = (struct world){0};
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->watchdog);
    world->watchdog.data = world;
    uv_timer_start(&world->watchdog, on_watchdog, WATCHDOG_MS, 0);
    world->io = io_open(&world->loop, why, sizeof why);
    assert_non_null(world->io);
}

/* All clients are closed before; the loop must run dry: no handle is left behind. */
static inline void world_close(struct world *world) {
    uv_close((uv_handle_t *)&world->watchdog, NULL);
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0)
        continue; /* a callback has stopped it */
    assert_true(io_idle(world->io));
    io_close(world->io);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}

/* Turns the loop `turns` times without resting in it. */
static inline void world_turn(struct world *world, int turns) {
    while (turns-- > 0)
        uv_run(&world->loop, UV_RUN_NOWAIT);
}

static inline void count_handle(uv_handle_t *handle, void *count) {
    (void)handle;
    ++*(int *)count;
}

static inline int count_handles(struct world *world) {
    int count = 0;
    uv_walk(&world->loop, count_handle, &count);
    return count;
}

static inline int count_descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* ---- sockets of the test ---- */

/* A listening socket on a free port of 127.0.0.1, which is never accepted from unless by the test.
 */
static inline int listen_tcp(int backlog, int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A port of 127.0.0.1 that nobody listens at: it was free a moment ago. */
static inline int dead_port(void) {
    int port = 0;
    close(listen_tcp(1, &port));
    return port;
}

/* A port at which a connection is neither made nor refused: the queue of the listener is full. */
struct black_hole {
    int listener, port, inside[8];
};

static inline void black_hole_open(struct black_hole *hole) {
    hole->listener = listen_tcp(0, &hole->port);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)hole->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < COUNT(hole->inside); i++) {
        hole->inside[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(hole->inside[i], (struct sockaddr *)&address, sizeof address);
    }
}

static inline void black_hole_close(struct black_hole *hole) {
    for (int i = 0; i < COUNT(hole->inside); i++)
        close(hole->inside[i]);
    close(hole->listener);
}

/* ---- a program as a peer ---- */

extern char **environ;

struct peer {
    pid_t pid;
    int input;
    FILE *output;
};

/* Starts `arguments`; peer->output is its standard output (`stream` 1) or error (2), and its
 * standard input ends when the peer is stopped or the test dies. */
static inline void peer_start(struct peer *peer, char *const arguments[], int stream) {
    int in[2], out[2];
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], stream);
    assert_int_equal(posix_spawnp(&peer->pid, arguments[0], &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    peer->input = in[1];
    peer->output = fdopen(out[0], "r");
    assert_non_null(peer->output);
}

/* One line of its output, without the line feed; false when it has ended. */
static inline bool peer_try_line(struct peer *peer, char *line, size_t size) {
    if (!fgets(line, (int)size, peer->output))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

static inline void peer_line(struct peer *peer, char *line, size_t size) {
    if (!peer_try_line(peer, line, size))
        fail_msg("the peer ended");
}

/* `number`: the signal that ends it, or 0 for one that ends with its input. */
static inline void peer_stop(struct peer *peer, int number) {
    close(peer->input);
    if (number)
        kill(peer->pid, number);
    waitpid(peer->pid, NULL, 0);
    fclose(peer->output);
}

#endif
