/* The results of functions that can fail. Beside them stands a text for people (struct report, a
 * problem document or a log line) wherever a person will read it. */
#ifndef DERD_BASE_ERR_H
#define DERD_BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_MEMORY,    /* an allocation failed or a memory cap was reached */
    ERR_FULL,      /* a bounded buffer, queue or table has no room left */
    ERR_RANGE,     /* a number is outside what is allowed */
    ERR_FORMAT,    /* bytes or text do not have the form they must have */
    ERR_IO,        /* the operating system refused; errno was logged */
    ERR_NOT_FOUND, /* there is no such thing */
    ERR_CONFLICT,  /* it exists, or something stands against it */
    ERR_TIMEOUT,   /* no answer in time */
    ERR_CLOSED,    /* the other side, or the host, is going away */
    ERR_LIMIT,     /* a stated limit was reached (budget, count, size) */
    ERR_REFUSED    /* the other side answered no */
};

#define must_check                       __attribute__((warn_unused_result))
#define printf_like(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

/* A short constant name, "timeout". Any thread. */
const char *err_name(enum err err);

#endif
