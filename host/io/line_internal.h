/* The parts of a line client among themselves: line.c (exchanges, lines, ring, when to connect) and
 * line_socket.c (name, connection, bytes). */
#ifndef DERD_IO_LINE_INTERNAL_H
#define DERD_IO_LINE_INTERNAL_H

#include <sys/queue.h>

#include "io/line.h"
#include "io/room.h"

struct line_kept { /* one line, in memory of its own */
    struct mono at;
    size_t length;
    char text[];
};

struct line_job { /* one exchange under way; waiting -> current -> finished */
    TAILQ_ENTRY(line_job) entry;
    struct line_exchange *exchange;
    uint64_t deadline_ms;
    bool sends;
    size_t wanted, got;
    struct line_kept *lines[LINE_COUNT_MAXIMUM];
    enum err result;
    char why[IO_WHY_SIZE];
    size_t length;
    char data[]; /* what is sent, with its end mark */
};

TAILQ_HEAD(line_jobs, line_job);

enum line_state { LINE_IDLE, LINE_CONNECTING, LINE_UP, LINE_WAITING };

struct line_socket;

struct line_client {
    struct io *io;
    struct url url;
    char *text;
    char end[LINE_END_SIZE], end_in[LINE_END_SIZE]; /* end_in "": LF, with or without CR */
    size_t length;                                  /* most bytes of a line */
    int64_t idle_ms, connect_timeout_ms, backoff_min_ms, backoff_max_ms;
    enum line_state state;
    uint64_t connect_by_ms, retry_ms, idle_at_ms; /* each in its state */
    int64_t backoff_ms;
    struct lookup *lookup;
    struct addresses addresses; /* while connecting */
    size_t next_address;
    struct line_socket *socket;
    uv_timer_t turn;
    struct line_jobs waiting, finished;
    struct line_job *current; /* begun, awaits lines */
    size_t waiting_count;
    struct line_kept *ring[LINE_RING_MAXIMUM], *taken_line;
    struct line_text taken;
    size_t ring_size, ring_first;
    char *input; /* of a line that is not whole yet; `length` and an end mark fit */
    size_t filled;
    struct line_figures figures;
    char why[IO_WHY_SIZE];
    bool heard;  /* a line came over this connection */
    bool silent; /* a failure was logged, until the next success */
    bool closing, turning;
};

/* ---- line_socket.c ---- */

/* Ends in line_connected() or line_lost(), also from within. */
void line_socket_connect(struct line_client *client);
/* In every state; nothing is reported after it. */
void line_socket_close(struct line_client *client);
/* The bytes are copied. 0, or an error of libuv. */
int line_socket_send(struct line_client *client, const char *data, size_t length);

/* ---- line.c: what happened; all of them only note it ---- */

void line_connected(struct line_client *client);
/* The connection went, or could not be made. */
void line_lost(struct line_client *client, enum err result, const char *what, int status);
void line_bytes(struct line_client *client, const char *data, size_t length);

#endif
