/* One HTTP request, checked and taken apart, free of the HTTP library: civetweb is lenient where a
 * proxy in front may read the same bytes otherwise (two lengths, a length beside chunks, folded or
 * surplus header lines), and decodes paths before anyone can refuse them. So it is told to decode
 * nothing, and this module refuses what is ambiguous before any routing. Pure. */
#ifndef DERD_API_REQUEST_H
#define DERD_API_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/problem.h"

#define REQUEST_TARGET_MAXIMUM 2048 /* bytes of path and query, as sent */
#define REQUEST_HEADER_MAXIMUM 8192 /* bytes of the request line and all header lines */
#define REQUEST_HEADER_COUNT   64   /* as many are refused: civetweb drops what is beyond */
#define REQUEST_BODY_MAXIMUM   65536
#define REQUEST_SEGMENTS       12
#define REQUEST_QUERIES        12

enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_OTHER /* known to HTTP, to no route */
};

struct request_header {
    const char *name, *value;
};

struct request_head { /* as read from the wire; texts are the HTTP library's */
    const char *peer; /* the address that is connected; NULL: not known */
    const char *method, *version;
    const char *path;  /* still percent-encoded, without the query */
    const char *query; /* NULL: none */
    const struct request_header *headers;
    size_t header_count;
};

struct request {
    enum method method;
    size_t segment_count;
    const char *segments[REQUEST_SEGMENTS]; /* decoded; into `text` */
    size_t query_count;
    struct {
        const char *name, *value; /* decoded */
    } queries[REQUEST_QUERIES];
    int64_t body_length; /* 0: none */
    bool json_body;      /* Content-Type says JSON */
    bool lua_body;       /* Content-Type says Lua text */
    bool expect_continue;
    bool keep_alive;           /* what the client wants */
    bool takes_chunks;         /* HTTP/1.1: a body may be sent in chunks */
    const char *authorization; /* NULL: none; the HTTP library's text */
    /* Further headers, NULL: none. */
    const char *if_match, *if_none_match, *idempotency_key, *last_event_id, *request_id;
    const char *cookie, *origin, *csrf_token; /* X-CSRF-Token */
    const char *host;
    const char *accept; /* NULL: anything */
    char text[2 * REQUEST_TARGET_MAXIMUM];
};

/* False, with status and detail of `problem` filled in, when the request must be refused. The
 * connection is then closed: what follows on it cannot be trusted. */
must_check bool request_parse(struct request *request, const struct request_head *head,
                              struct problem *problem);
/* True when the header lines, as civetweb leaves them in its buffer (terminated in place), were
 * each ended by CR LF, had no blank before the colon, and nothing was dropped after the last one
 * (a folded line). `head`: names and values must point into that buffer. */
bool request_lines_whole(const struct request_head *head);

/* The value of a query parameter, or NULL. */
const char *request_query(const struct request *request, const char *name);
/* False with a problem when there is a parameter that is not in `known`, a list parted by blanks.
 */
must_check bool request_query_known(const struct request *request, const char *known,
                                    struct problem *problem);

#endif
