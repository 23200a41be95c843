/* The head of a request to the service listener, from bytes: stricter than HTTP asks. Lines end
 * with CR LF, nothing is folded, the target is a path, there are no bytes that are not text. What
 * is ambiguous beyond that is refused by the same rules as on the API's port (api/request.h). Pure,
 * without memory of its own. */
#ifndef DERD_SERVICE_REQUEST_H
#define DERD_SERVICE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "api/request.h"

#define SERVICE_HEAD_MAXIMUM 4096 /* bytes of the request line and all header lines */
#define SERVICE_HEADERS      32

struct service_head {
    struct request_head head;
    struct request_header headers[SERVICE_HEADERS];
};

/* Where the head ends, the empty line included; 0: not yet, or never. *scanned: how far was looked
 * before, 0 at first. */
size_t service_head_end(const char *data, size_t length, size_t *scanned);
/* Takes the head apart in place: `data` is changed, and `out` points into it. False with status and
 * detail of `problem` when it must be refused. */
must_check bool service_request_parse(char *data, size_t length, struct service_head *out,
                                      struct request *request, struct problem *problem);
/* Whether Host names this machine by an address or as "localhost": else a web page that had its
 * name resolved to 127.0.0.1 could read what is meant for this machine's programs. */
bool service_host_is_local(const struct service_head *head);

#endif
