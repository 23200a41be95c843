/* A link: one wire. It lives long and carries transactions, which are short. Many machines may
 * share one (several units behind a gateway). Engine thread only; never blocks.
 *
 * One transaction is in flight at a time unless `in_flight` says more. Commands go before reads,
 * each class in order. A time-out fails its transaction and leaves the connection open (a late
 * answer carries an old transaction id and is dropped); a malformed frame, a reset, or
 * LINK_DEAF_AFTER time-outs in a row without any answer close it. A closed link fails everything
 * queued with ERR_CLOSED at once, connects again after a back-off with jitter, and tells its
 * listeners when it is up. It connects only while it has listeners.
 *
 * On a serial line the time-out does not count the time that the frames take on the line, a garbled
 * answer is a time-out, and no number of time-outs closes the port: dead units say nothing of it.
 *
 * What carries the requests stands behind link_wire.h; a program that opens links ignores SIGPIPE.
 */
#ifndef DERD_LINK_H
#define DERD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "link/mbap.h"

#define LINK_DEAF_AFTER    3
#define LINK_QUEUE_MAXIMUM 4096 /* transactions that may wait on one link */
#define LINK_MAX_IN_FLIGHT 16

enum link_class { LINK_COMMAND, LINK_READ };

struct link;
struct transaction;

/* Called once for each submitted transaction, from the loop, never from inside link_submit().
 * ERR_OK: `answer` is valid (its exception may say no); ERR_TIMEOUT; ERR_CLOSED: not connected, or
 * the connection went. */
typedef void transaction_done(struct transaction *transaction, enum err result,
                              const struct modbus_answer *answer);

/* Memory of the caller: zeroed before its first use, untouched by him between submit and done. */
struct transaction {
    struct modbus_request request;
    int64_t timeout_ms;
    transaction_done *done;
    void *owner;
    /* the link's */
    struct link *link;
    struct transaction *next;
    bool submitted;
};

/* Both are called from the loop, never from inside a function of this header. They may do anything,
 * also unlisten and close the link. */
struct link_listener { /* memory of the caller */
    /* Once per connection; also told to a listener that comes to a link which is up already. */
    void (*up)(struct link_listener *listener);
    /* The connection went, or an attempt to connect failed. What was submitted has failed before.
     */
    void (*down)(struct link_listener *listener, const char *reason);
    void *owner;
    /* the link's */
    struct link_listener *next;
    bool told;
};

struct link_settings {          /* 0: the default */
    int64_t connect_timeout_ms; /* default 3000 */
    int64_t pause_ms;           /* least time between an answer and the next request, default 0 */
    int in_flight;              /* default 1, at most LINK_MAX_IN_FLIGHT */
    int64_t backoff_min_ms;     /* default 500 */
    int64_t backoff_max_ms;     /* default 10000 */
};

struct link_figures {
    bool up;
    uint64_t connects, transactions, timeouts, malformed, foreign;
    char *last_error; /* NULL: it never went down */
};

/* `url`: "tcp://host:port" (host: name or IPv4/IPv6 literal, [..] around the latter), or a serial
 * line as rtu_settings.h says. NULL with a mistake text in `why` when it is none. `settings` may be
 * NULL. */
struct link *link_open(uv_loop_t *loop, const char *url, const struct link_settings *settings,
                       char *why, size_t why_size);
/* Fails what is queued with ERR_CLOSED and frees the link, both at a later loop turn. No listener
 * may be left. Also from inside a callback. */
void link_close(struct link *link);
void link_listen(struct link *link, struct link_listener *listener);
void link_unlisten(struct link *link, struct link_listener *listener);
bool link_is_up(const struct link *link);
const char *link_url(const struct link *link);
/* Narrows the settings to the most careful of all users of the link: the longest times, the fewest
 * in flight; a 0 has no opinion. */
void link_settle(struct link *link, const struct link_settings *settings);
/* ERR_CLOSED: not up; ERR_FULL: LINK_QUEUE_MAXIMUM wait; ERR_RANGE: no modbus_request_valid();
 * ERR_CONFLICT: submitted already. `done` is called only after ERR_OK. The time-out runs from when
 * the request goes out, not from here. */
must_check enum err link_submit(struct link *link, struct transaction *transaction,
                                enum link_class class);
/* Forgets a submitted transaction: `done` will not be called, its memory is the caller's again. One
 * already on the wire keeps its place there, its answer is dropped. Harmless when not submitted. */
void link_cancel(struct transaction *transaction);
const struct link_figures *link_figures(const struct link *link);
/* True when `url` has the form that link_open() takes. Pure. */
bool link_url_valid(const char *url, char *why, size_t why_size);
/* True for a serial line: its units are 1 to 247, and drivers must have the kind "serial". Pure. */
bool link_url_serial(const char *url);
/* True when two different URLs name one port, which cannot be set in two ways. Pure. */
bool link_url_clash(const char *a, const char *b);

#endif
