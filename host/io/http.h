/* An HTTP client: one device, or one base URL. It lives long, keeps connections open and uses them
 * again; requests are short. The contract of all clients stands in io/io.h.
 *
 * HTTP/1.1 over http and https. Nothing is taken from the environment (no proxy, no .netrc), no
 * cookies are kept. A redirect is followed at most 3 times, for GET only, and only within the same
 * scheme, host and port; any other is an answer like all others, with its `location`. Compressed
 * answers are asked for by nobody.
 *
 * Devices close idle connections without a word: a request to which not a single byte was answered
 * over a used connection is sent once more over a new one. */
#ifndef DERD_IO_HTTP_H
#define DERD_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/io.h"
#include "io/tls.h"

#define HTTP_QUEUE_MAXIMUM   64 /* requests that may wait at one client */
#define HTTP_MAX_IN_FLIGHT   8
#define HTTP_HEADERS_MAXIMUM 32 /* of a request; of an answer that are kept */
#define HTTP_BODY_MAXIMUM                                                                          \
    ((size_t)256 * 1024) /* of a request; of an answer unless settings say less */
#define HTTP_HEAD_MAXIMUM ((size_t)16 * 1024) /* all headers of an answer */
#define HTTP_PATH_MAXIMUM 1900

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT };
enum http_auth { HTTP_AUTH_NONE, HTTP_AUTH_BASIC, HTTP_AUTH_DIGEST, HTTP_AUTH_BEARER };

struct http_settings {          /* 0 or NULL: the default; texts are copied at open */
    int64_t connect_timeout_ms; /* name, TCP and TLS; default 3000, never more than the request's */
    size_t body_maximum;        /* of an answer, default and most HTTP_BODY_MAXIMUM */
    int in_flight;              /* requests at a time, default 1, at most HTTP_MAX_IN_FLIGHT */
    enum http_auth auth;
    const char *user;     /* basic, digest */
    const char *password; /* basic, digest; the token of bearer */
    struct tls_settings tls;
};

struct http_header {
    const char *name, *value;
};

struct http_answer {
    int status;                        /* 200..599 */
    const char *content_type;          /* "" when there is none */
    const struct http_header *headers; /* names in lower case; the first HTTP_HEADERS_MAXIMUM */
    size_t header_count;
    const char *body; /* `length` bytes, any; a NUL stands behind them */
    size_t length;
};

struct http_client;
struct http_request;

/* `answer` is NULL unless ERR_OK. */
typedef void http_done(struct http_request *request, enum err result,
                       const struct http_answer *answer, const char *why);

struct http_request { /* memory of the caller; see io/io.h */
    enum http_method method;
    const char *path; /* behind the base URL: "" or begins with '/'; may hold a query; no fragment,
                         no white space; what needs percent-encoding is encoded already */
    const struct http_header *headers; /* beside those of HTTP itself; no Host, no Content-Length,
                                          no Transfer-Encoding, no Connection */
    size_t header_count;
    const char *body; /* POST and PUT; NULL: empty */
    size_t body_length;
    int64_t timeout_ms; /* of the whole, default 10000, at most 120000 */
    http_done *done;
    void *owner;
    /* the client's */
    struct http_client *client;
    struct http_job *job;
};

struct http_figures {
    uint64_t requests, answers, failures, connects; /* connects: connections that were made anew */
    size_t waiting, in_flight;                      /* now */
};

/* `url`: "http://host[:port][/base]" or "https://...", without user, query and fragment; see
 * io/url.h. `settings` may be NULL. NULL with a sentence in `why` when something is wrong with
 * them. */
struct http_client *http_open(struct io *io, const char *url, const struct http_settings *settings,
                              char *why, size_t why_size);
void http_close(struct http_client *client);
must_check enum err http_submit(struct http_client *client, struct http_request *request);
void http_cancel(struct http_request *request);
/* Why the last submit was not ERR_OK. */
const char *http_why(const struct http_client *client);
const char *http_url(const struct http_client *client);
const struct http_figures *http_figures(const struct http_client *client);
/* True when `url` has the form that http_open() takes. Pure. */
bool http_url_valid(const char *url, char *why, size_t why_size);

#endif
