/* An answer that is sent while it is made: event streams, long histories. A handler says so with
 * exchange_stream(); once the head is sent, its function is called on the request's thread and
 * writes piece by piece. HTTP/1.1 clients get chunks, so that they can tell a whole body from one
 * that broke off; others get bytes until the connection ends.
 *
 * A client that does not take what was written within STREAM_PATIENCE_MS is given up. Used by one
 * thread. */
#ifndef DERD_API_STREAM_H
#define DERD_API_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#define STREAM_PATIENCE_MS   5000
#define STREAM_PIECE_MAXIMUM ((size_t)256 * 1024)

struct exchange;

struct stream {                                                      /* the HTTP side fills it in */
    bool (*send)(void *connection, const void *data, size_t length); /* all of it, or false */
    bool (*gone)(void *connection); /* the client has closed its end */
    void *connection;
    bool chunks;
    bool failed;
};

/* Makes the body. True when it is whole; false when it had to break off. */
typedef bool stream_pour(struct exchange *x, struct stream *stream, void *context);

/* Sends up to STREAM_PIECE_MAXIMUM bytes; nothing of 0. False when the client is gone or too slow:
 * nothing reaches it any more, and every further call is false. */
bool stream_write(struct stream *stream, const void *data, size_t length);
/* Whether the client is still there; one system call. For who waits before he writes again. */
bool stream_alive(struct stream *stream);
/* The HTTP side's: the mark that the body is whole. */
bool stream_end(struct stream *stream);

#endif
