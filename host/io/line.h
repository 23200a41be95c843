/* A client for lines of text over TCP. The contract of all clients stands in io/io.h.
 *
 * It connects when there is something to do and closes after a time without it. One exchange is
 * under way at a time; others wait in order. It sends its text and the end mark, then the next
 * lines are its answer. An exchange that has sent and ends without all its lines (time-out, cancel,
 * a line that is too long) ends the connection, so that a late answer is never taken for that of
 * the next. An attempt to connect that fails ends all that wait, with its reason; what is submitted
 * during the back-off after it waits for the next attempt.
 *
 * Lines that arrive while no exchange waits are kept in a ring, the oldest given up when it is
 * full; they go when the connection goes. */
#ifndef DERD_IO_LINE_H
#define DERD_IO_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "io/io.h"

#define LINE_LENGTH_MAXIMUM 16384
#define LINE_COUNT_MAXIMUM  64 /* lines that one exchange may await */
#define LINE_RING_MAXIMUM   64
#define LINE_QUEUE_MAXIMUM  64 /* exchanges that wait */
#define LINE_END_SIZE       9

struct line_settings {  /* 0 or NULL: the default */
    const char *end;    /* of each line sent; default "\r\n"; 1 to 8 bytes */
    const char *end_in; /* of each line received; default: LF, with or without CR before it */
    size_t length;      /* most bytes of a line without its end, default 1024 */
    size_t ring;        /* lines kept, default 16, at most LINE_RING_MAXIMUM */
    int64_t idle_ms;    /* closes after that long with nothing to do, default 30000; -1: never, and
                           stays connected also when nobody has asked anything */
    int64_t connect_timeout_ms; /* default 3000 */
    int64_t backoff_min_ms;     /* default 500 */
    int64_t backoff_max_ms;     /* default 10000 */
};

struct line_text {
    struct mono at; /* when its end arrived */
    size_t length;
    const char *text; /* without the end mark; a NUL stands behind it */
};

struct line_client;
struct line_exchange;

/* `lines`: `count` of them, as many as were awaited, when ERR_OK. */
typedef void line_done(struct line_exchange *exchange, enum err result,
                       const struct line_text *lines, size_t count, const char *why);

struct line_exchange {  /* memory of the caller; see io/io.h */
    const char *text;   /* to be sent, without end mark, none within it; NULL: only await */
    size_t length;      /* at most LINE_LENGTH_MAXIMUM */
    size_t lines;       /* to be awaited, 0 (done when sent) to LINE_COUNT_MAXIMUM */
    int64_t timeout_ms; /* default 3000, at most 120000 */
    line_done *done;
    void *owner;
    /* the client's */
    struct line_client *client;
    struct line_job *job;
};

struct line_figures {
    bool up;
    uint64_t connects, sent, received, dropped; /* dropped: pushed out of the ring */
    size_t kept;                                /* in the ring, now */
};

/* `url`: "tcp://host:port"; see io/url.h. `settings` may be NULL. */
struct line_client *line_open(struct io *io, const char *url, const struct line_settings *settings,
                              char *why, size_t why_size);
void line_close(struct line_client *client);
must_check enum err line_submit(struct line_client *client, struct line_exchange *exchange);
void line_cancel(struct line_exchange *exchange);
/* The oldest that came unasked, off the ring; NULL: none. Valid until the next turn of the loop or
 * call for this client. */
const struct line_text *line_take(struct line_client *client);
const char *line_why(const struct line_client *client);
const char *line_url(const struct line_client *client);
const struct line_figures *line_figures(const struct line_client *client);
bool line_url_valid(const char *url, char *why, size_t why_size); /* pure */

#endif
