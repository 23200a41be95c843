/* Administration on the machine itself: a unix socket beside the store through which `derd token`
 * and its like reach the running host. Whoever may open it (mode 0600: the user that runs the host,
 * and root) may do everything, so there is no other check.
 *
 * A client sends one line of JSON and gets one line of JSON:
 *   {"command": "token create", "name": "phone", "account": "owner", "maxPriority": 1999,
 *    "scopes": ["read", "control"], "expiresAt": null, "clusters": ["home"]}
 *   {"command": "token list"}
 *   {"command": "token revoke", "id": "..."}
 *   {"command": "password set", "account": "owner", "password": "...", "scopes": ["read"],
 *    "maxPriority": 1999}
 *   {"command": "password list"}
 *   {"command": "password remove", "account": "owner"}
 *   {"command": "status"}
 *   {"command": "log level", "level": "debug", "format": "json"} (each may be left out)
 * The answer is {"ok": true, ...} or {"ok": false, "code": "conflict", "error": "a sentence"}.
 *
 * All of it runs on the loop that it is given and never blocks it: what waits for the store is done
 * by a worker. Bounds: a request of 64 KiB, 8 clients at a time (more wait), 10 s for a request to
 * arrive and 10 s for its answer to be taken. */
#ifndef DERD_ADMIN_H
#define DERD_ADMIN_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "base/report.h"

#define ADMIN_SOCKET_NAME     "derd.sock"
#define ADMIN_REQUEST_MAXIMUM 65536
#define ADMIN_ANSWER_MAXIMUM  2097152 /* a list of all tokens that there may be */
#define ADMIN_CLIENTS_MAXIMUM 8
#define ADMIN_PATIENCE_MS     10000
/* What a new token may ask for unless it is said otherwise: people at the site. */
#define ADMIN_DEFAULT_MAX_PRIORITY 1999

struct admin;
struct schema;
struct store;

/* Adds what the host knows of itself to the answer of "status". On the loop; must not block. */
typedef void admin_status(void *context, json_t *status);

/* Listens on `directory`/derd.sock. The caller holds the store's lock there, so a socket that is
 * left is stale and replaced. `store` is lent until the loop has run out. `status` may be NULL.
 * The process must ignore SIGPIPE. After an error too the loop may have a handle to close. */
must_check enum err admin_open(struct admin **admin, uv_loop_t *loop, const char *directory,
                               struct store *store, admin_status *status, void *context,
                               struct report *report);
/* Stops listening and hangs up on all clients. What a worker has begun ends first: the loop must be
 * run until nothing is left on it, and the store closed after that. NULL is fine. */
void admin_close(struct admin *admin);

/* --- the commands themselves (admin_commands.c), also for a command line without a host ---------
 */

struct admin_host { /* what commands work on */
    struct store *store;
    admin_status *status; /* may be NULL */
    void *context;
};

struct admin_command {
    const char *name;
    const struct schema *fields; /* of the request */
    bool blocks;                 /* waits for the store: not on a loop */
    json_t *(*answer)(const struct admin_host *host, const json_t *request);
};

/* The command that a request names, its fields checked; or NULL and an answer that says what is
 * wrong. Answers are new references; NULL only without memory. */
const struct admin_command *admin_command_find(const json_t *request, json_t **answer);
/* {"ok": false, ...} */
json_t *admin_refusal(enum err code, const char *format, ...) printf_like(2, 3);

#endif
