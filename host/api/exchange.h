/* One request and its answer, as handlers see it: who asks, what the directory shows, and the reply
 * that is being made. The answer's head and body leave in one write (civetweb's own helpers make
 * ten). An exchange lives on the heap: the threads' stacks are small. Used by one thread. */
#ifndef DERD_API_EXCHANGE_H
#define DERD_API_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "api/api.h"
#include "api/json.h"
#include "api/page.h"
#include "api/problem.h"
#include "api/remote.h"
#include "api/request.h"
#include "api/sessions.h"
#include "api/stream.h"
#include "base/buf.h"
#include "directory.h"
#include "store/store.h"

#define REPLY_MAXIMUM                                                                              \
    ((size_t)4 * 1024 * 1024) /* a cluster's flexibility of 500 devices is 1 MiB */
#define REPLY_HEADERS   512
#define REQUEST_ID_SIZE 65

#define EXCHANGE_TAG_KEY 48

struct porter;
struct keys;
struct route;

struct exchange {
    const struct api_settings *settings;
    struct porter *porter;       /* porter.h */
    struct keys *keys;           /* idempotency.h */
    struct courteous *courteous; /* courtesy.h: the thread that answers; NULL: of no server */
    const struct page *page;
    const unsigned char *tag_key; /* of ETags: EXCHANGE_TAG_KEY bytes of this store's own */
    struct request request;
    char path[REQUEST_TARGET_MAXIMUM + 1]; /* as sent, for `instance` */
    char request_id[REQUEST_ID_SIZE];
    struct remote remote;      /* where it comes from */
    const struct route *route; /* NULL: none, or not found yet */
    int64_t began_us;          /* of clock_mono_us(): when it was there as a whole */
    const char *step_account, *step_cluster, *step_device,
        *step_name;     /* what {a}, {c}, {d}, {name} of the route took */
    char step_text[64]; /* a step without its verb, where one was cut */
    bool authenticated;
    bool by_session;             /* `token` stands for a login, and the cookie for its secret */
    struct session session;      /* when by_session */
    struct token token;          /* when authenticated */
    struct directory *directory; /* one reference; NULL before the first publish */
    struct now now;
    json_t *tree; /* body of POST and PUT, an object */
    bool keyed;   /* `receipt` is that of this request */
    struct receipt receipt;
    char version[40]; /* of the resource that a GET shows: begins its ETag; "" for none */

    int status;
    const char *content_type;
    bool page_file;     /* a file of the page: may be kept by ETag, and load its neighbours */
    struct buf headers; /* further header lines, each with CR LF */
    struct buf body;
    struct buf out;    /* what is sent, for who renders it */
    struct json json;  /* writes to `body` */
    stream_pour *pour; /* makes the body once the head is sent, instead of `body`; NULL: none */
    void *pour_context;
    void (*pour_free)(void *context); /* may be NULL */
};

/* --- what handlers answer with. Each sets the status; the last one called counts. ---------------
 */

/* Begins a JSON body: write with x->json. */
struct json *exchange_json(struct exchange *x, int status);
void exchange_problem(struct exchange *x, int status, const char *detail, ...) printf_like(3, 4);
/* With errors from `report`; its texts are copied. */
void exchange_problem_report(struct exchange *x, int status, const struct report *report,
                             const char *detail);
/* 503 with Retry-After. */
void exchange_unavailable(struct exchange *x, int retry_after_s, const char *detail);
/* The same, of the store: when its file is damaged, also what to do. */
void exchange_store_failed(struct exchange *x, const char *detail);
/* 429 with Retry-After. */
void exchange_too_many(struct exchange *x, int retry_after_s, const char *detail, ...)
    printf_like(3, 4);
void exchange_empty(struct exchange *x, int status);
void exchange_header(struct exchange *x, const char *name, const char *value);
/* The body is made by `pour` after the head was sent (api/stream.h). `context` belongs to the
 * exchange from here on, and is given to `release` at its end, also when `pour` never ran. An
 * exchange has one such body at most. */
void exchange_stream(struct exchange *x, const char *content_type, stream_pour *pour, void *context,
                     void (*release)(void *context));
/* Value of a header that was set, into `value`; "" when there is none. */
void exchange_header_set(const struct exchange *x, const char *name, char *value, size_t size);
/* Whether ?dryRun=true asks for all checks and the answer, but no change. False with 400 when it
 * says something else. For routes that list dryRun among their query parameters. */
must_check bool exchange_dry_run(struct exchange *x, bool *dry_run);

/* --- what handlers look up. Each answers 404 itself and gives NULL when there is no such thing,
 * and when it belongs to an account that the token's account does not control: nobody learns what
 * others have. ---------------------------------------------------------------------------------
 */

/* Whether the token may know of this cluster of the directory, and so of its devices, constraints,
 * history and events: an account controls its own clusters and those of the accounts below it; a
 * token that names clusters is for those and what stands below them. Needs x->directory. */
bool exchange_sees(const struct exchange *x, const struct cluster_card *cluster);
/* Whether the token may know of the host as a whole: of paths, of what is of no cluster. */
bool exchange_sees_host(const struct exchange *x);
/* Whether the token may know of what is for these clusters, or with a count of 0 for all: another
 * token, a webhook. */
bool exchange_sees_all(const struct exchange *x, const char ids[][ID_SIZE], size_t count);
/* The name of who asks as a constraint's creator: "token:NAME" of the root account; of another one
 * with its id, "token:NAME#ID", since a name is one account's only; "account:KEY" of a person who
 * has logged in. */
void exchange_creator(const struct exchange *x, char creator[CREATOR_SIZE]);

const struct cluster_card *exchange_cluster(struct exchange *x);
/* Belongs to the directory, which the exchange holds. */
struct device_card *exchange_device(struct exchange *x, const struct cluster_card **cluster);

/* What constraints stand on: the device of the path, or without one in it the whole cluster. */
struct target {
    const struct cluster_card *cluster;
    struct device_card *device; /* NULL: the cluster */
    const char *id, *key;       /* of either */
    const char *kind;           /* "device", "cluster" */
};
bool exchange_target(struct exchange *x, struct target *target);
struct decided *target_decided(const struct target *target); /* held; NULL without memory */
/* The same; without memory it is answered with 503. */
struct decided *exchange_decided(struct exchange *x, const struct target *target);

/* NULL without memory. What else is known of it its maker fills in. */
struct exchange *exchange_new(const struct api_settings *settings);
/* The head alone, of a body of `length` bytes. */
void exchange_render_head(const struct exchange *x, bool close, size_t length, struct buf *out);
/* The whole answer, head and body, as all that is in x->out. `close`: the connection ends after it.
 * Only the head when the request's method is HEAD, or when the body is poured. */
void exchange_render(struct exchange *x, bool close);
/* Lets go what the request held and makes it as exchange_new() gives it, with its memory: a thread
 * that serves one request after the other need not have it made and cleared each time. */
void exchange_renew(struct exchange *x);
void exchange_free(struct exchange *x);

#endif
