/* The parts of an HTTP client among themselves: http.c (queue, names, who is told when), http_job.c
 * (one request as libcurl sees it), http_sockets.c (libcurl's sockets and clock on the loop). */
#ifndef DERD_IO_HTTP_INTERNAL_H
#define DERD_IO_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "io/http.h"
#include "io/room.h"

#define HTTP_REDIRECTS_MAXIMUM 3

/* A request under way. It owns copies of all that the caller gave. In one list at a time:
 * waiting -> running -> finished. */
struct http_job {
    TAILQ_ENTRY(http_job) entry;
    struct http_request *request;
    struct http_client *client;
    uint64_t deadline_ms, resolve_by_ms;
    enum http_method method;
    char *url;
    struct curl_slist *headers, *resolve;
    char *body;
    size_t body_length;
    CURL *easy; /* while running */
    int redirects;
    size_t head; /* bytes of headers that came */
    struct buf answer;
    bool too_large;
    /* the end */
    enum err result;
    char why[IO_WHY_SIZE];
    struct http_answer told;
    struct http_header kept[HTTP_HEADERS_MAXIMUM];
    struct buf texts; /* of the headers, each with its NUL */
};

TAILQ_HEAD(http_jobs, http_job);

struct http_client {
    struct io *io;
    struct url url;
    char *text; /* the URL as given; url.rest points into it */
    char *base; /* in its one form, without a / at the end */
    char *user, *password, *ca_file, *pin;
    enum http_auth auth;
    int64_t connect_timeout_ms;
    size_t body_maximum;
    unsigned in_flight;
    CURLM *multi;
    CURL *idle[HTTP_MAX_IN_FLIGHT]; /* not in use; they remember what digest agreed on */
    unsigned idle_count;
    uv_timer_t turn, clock; /* ours, and libcurl's */
    unsigned handles;       /* of libuv that are not closed */
    struct http_jobs waiting, running, finished;
    char *resolved; /* "host:port:address,address" of a name, as libcurl takes it; NULL: not yet */
    uint64_t resolve_again_ms;
    struct lookup *lookup;
    struct tls_seen seen;
    struct http_figures figures;
    char why[IO_WHY_SIZE];
    bool closing;
    bool turning; /* http_turn() runs and will arm the timer */
};

/* ---- http_job.c ---- */

/* Copies the request. NULL: the mistake is in client->why, `err` says which. */
struct http_job *http_job_new(struct http_client *client, const struct http_request *request,
                              enum err *err);
void http_job_free(struct http_job *job);
/* Hands it to libcurl; a failure ends in job->result and job->why. */
must_check enum err http_job_start(struct http_job *job);
/* libcurl is done with it. False: it goes on, by a redirect that is followed. */
bool http_job_finish(struct http_job *job, CURLcode code);
/* Takes it from libcurl, finished or not; its connection is closed unless it had finished. */
void http_job_stop(struct http_job *job);

/* ---- http_sockets.c ---- */

/* ERR_MEMORY, or the multi handle with the timer and callbacks set. */
must_check enum err http_sockets_open(struct http_client *client);
void http_sockets_close(struct http_client *client);

/* ---- http.c ---- */

/* libcurl has finished some transfers, perhaps. */
void http_collect(struct http_client *client);
/* One handle of libuv is closed; frees the client with the last one. */
void http_handle_closed(struct http_client *client);

#endif
