#include "api/exchange.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "store/store.h"

#define STORE_RETRY_S 5
#define BODY_FIRST    2000 /* bytes of most answers, so that they need not grow */
#define HEAD_FIRST    1000
#define KEPT_MAXIMUM  ((size_t)16 * 1024)

struct exchange *exchange_new(const struct api_settings *settings) {
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->settings = settings;
    buf_init(&x->headers, REPLY_HEADERS);
    buf_init(&x->body, REPLY_MAXIMUM);
    buf_init(&x->out, REPLY_MAXIMUM);
    return x;
}

struct json *exchange_json(struct exchange *x, int status) {
    x->status = status;
    x->content_type = "application/json";
    buf_clear(&x->body);
    (void)buf_room(&x->body, BODY_FIRST);
    json_start(&x->json, &x->body);
    return &x->json;
}

static void write_problem(struct exchange *x, struct problem *problem) {
    x->pour = NULL;
    problem->instance = x->path[0] ? x->path : NULL;
    problem->request_id = x->request_id;
    x->status = problem->status;
    x->content_type = PROBLEM_CONTENT_TYPE;
    x->page_file = false;
    buf_clear(&x->body);
    problem_write(problem, &x->body);
}

void exchange_problem(struct exchange *x, int status, const char *detail, ...) {
    struct problem problem = {.status = status};
    va_list arguments;
    va_start(arguments, detail);
    vsnprintf(problem.detail, sizeof problem.detail, detail, arguments);
    va_end(arguments);
    write_problem(x, &problem);
}

void exchange_problem_report(struct exchange *x, int status, const struct report *report,
                             const char *detail) {
    struct problem problem = {.status = status, .report = report};
    snprintf(problem.detail, sizeof problem.detail, "%s", detail);
    write_problem(x, &problem);
}

void exchange_unavailable(struct exchange *x, int retry_after_s, const char *detail) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    exchange_problem(x, 503, "%s", detail);
    exchange_header(x, "Retry-After", seconds);
}

void exchange_store_failed(struct exchange *x, const char *detail) {
    char text[PROBLEM_DETAIL_SIZE];
    bool damaged = store_damaged(x->settings->store);
    snprintf(text, sizeof text, "%s%s%s", detail,
             damaged ? " The store is damaged: " STORE_DAMAGED_ADVICE : "", damaged ? "." : "");
    exchange_unavailable(x, STORE_RETRY_S, text);
}

void exchange_too_many(struct exchange *x, int retry_after_s, const char *detail, ...) {
    struct problem problem = {.status = 429};
    char seconds[16];
    va_list arguments;
    va_start(arguments, detail);
    vsnprintf(problem.detail, sizeof problem.detail, detail, arguments);
    va_end(arguments);
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    write_problem(x, &problem);
    exchange_header(x, "Retry-After", seconds);
}

void exchange_empty(struct exchange *x, int status) {
    x->status = status;
    x->content_type = NULL;
    buf_clear(&x->body);
}

void exchange_header(struct exchange *x, const char *name, const char *value) {
    size_t name_length = strlen(name);
    size_t value_length = strlen(value);
    if (!buf_room(&x->headers, name_length + value_length + 4)) /* the whole line, or nothing */
        return;
    buf_append(&x->headers, name, name_length);
    buf_append(&x->headers, ": ", 2);
    buf_append(&x->headers, value, value_length);
    buf_append(&x->headers, "\r\n", 2);
}

void exchange_stream(struct exchange *x, const char *content_type, stream_pour *pour, void *context,
                     void (*release)(void *context)) {
    x->status = 200;
    x->content_type = content_type;
    buf_clear(&x->body);
    x->pour = pour;
    x->pour_context = context;
    x->pour_free = release;
}

void exchange_creator(const struct exchange *x, char creator[CREATOR_SIZE]) {
    bool root = strcmp(x->token.account, ACCOUNT_ROOT) == 0;
    if (x->by_session) {
        snprintf(creator, CREATOR_SIZE, "account:%s", x->token.account);
        return;
    }
    snprintf(creator, CREATOR_SIZE, root ? "token:%.74s%s%s" : "token:%.60s%s%s", x->token.name,
             root ? "" : "#", root ? "" : x->token.id);
}

bool exchange_sees(const struct exchange *x, const struct cluster_card *cluster) {
    const struct token *token = &x->token;
    return x->authenticated &&
           store_account_controls(x->settings->store, token->account, cluster->account) &&
           directory_within(x->directory, cluster, token->clusters, token->cluster_count);
}

bool exchange_sees_host(const struct exchange *x) {
    return x->authenticated && strcmp(x->token.account, ACCOUNT_ROOT) == 0 &&
           x->token.cluster_count == 0;
}

bool exchange_sees_all(const struct exchange *x, const char ids[][ID_SIZE], size_t count) {
    if (x->token.cluster_count == 0)
        return true;
    bool sees = count > 0 && x->directory;
    for (size_t i = 0; i < count && sees; i++) {
        const struct cluster_card *cluster = directory_cluster(x->directory, ids[i]);
        sees = cluster && exchange_sees(x, cluster);
    }
    return sees;
}

void exchange_header_set(const struct exchange *x, const char *name, char *value, size_t size) {
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *line = buf_string(&x->headers); *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            const char *from = line + length + 2;
            snprintf(value, size, "%.*s", (int)strcspn(from, "\r"), from);
        }
}

bool exchange_dry_run(struct exchange *x, bool *dry_run) {
    const char *text = request_query(&x->request, "dryRun");
    *dry_run = text && strcmp(text, "true") == 0;
    if (!text || *dry_run || strcmp(text, "false") == 0)
        return true;
    exchange_problem(x, 400, "dryRun must be true or false, got \"%.40s\".", text);
    return false;
}

const struct cluster_card *exchange_cluster(struct exchange *x) {
    if (!x->directory) {
        exchange_unavailable(x, 2, "The host is starting and has not read its site file yet.");
        return NULL;
    }
    const struct cluster_card *cluster = directory_cluster(x->directory, x->step_cluster);
    if (cluster && exchange_sees(x, cluster))
        return cluster;
    exchange_problem(x, 404,
                     "There is no cluster \"%.100s\"; GET /v1/clusters lists those there are.",
                     x->step_cluster);
    return NULL;
}

struct device_card *exchange_device(struct exchange *x, const struct cluster_card **cluster) {
    *cluster = exchange_cluster(x);
    if (!*cluster)
        return NULL;
    struct device_card *device = directory_device(x->directory, *cluster, x->step_device);
    if (!device)
        exchange_problem(x, 404,
                         "There is no device \"%.100s\" in cluster \"%s\"; GET "
                         "/v1/clusters/%s/devices lists those there are.",
                         x->step_device, (*cluster)->key, (*cluster)->key);
    return device;
}

bool exchange_target(struct exchange *x, struct target *target) {
    *target = (struct target){0};
    if (x->step_device) {
        target->device = exchange_device(x, &target->cluster);
        if (!target->device)
            return false;
        target->id = target->device->id;
        target->key = target->device->key;
        target->kind = "device";
        return true;
    }
    target->cluster = exchange_cluster(x);
    if (!target->cluster)
        return false;
    if (!target->cluster->slot) {
        exchange_unavailable(x, 5, "Memory is short: this cluster cannot be shown.");
        return false;
    }
    target->id = target->cluster->id;
    target->key = target->cluster->key;
    target->kind = "cluster";
    return true;
}

struct decided *target_decided(const struct target *target) {
    return target->device ? device_card_decided(target->device)
                          : decided_slot_get(target->cluster->slot);
}

struct decided *exchange_decided(struct exchange *x, const struct target *target) {
    struct decided *decided = target_decided(target);
    if (!decided)
        exchange_unavailable(x, 5, "The host is short of memory.");
    return decided;
}

/* The API's answers may be shown by a browser but never run anything; the page's files may load
 * what comes from here and nothing else. */
#define POLICY_API "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#define POLICY_PAGE                                                                                \
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "            \
    "object-src 'none'"
#define GUARDS(cache, policy)                                                                      \
    "\r\n"                                                                                         \
    "Cache-Control: " cache "\r\n"                                                                 \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "X-Frame-Options: DENY\r\n"                                                                    \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Content-Security-Policy: " policy "\r\n"

static void put_length(struct buf *out, size_t length) {
    char text[DECIMAL_SIZE];
    buf_text(out, "Content-Length: ");
    buf_append(out, text, decimal_integer((int64_t)length, text));
    buf_append(out, "\r\n", 2);
}

void exchange_render_head(const struct exchange *x, bool close, size_t length, struct buf *out) {
    bool no_body = x->status == 204 || x->status == 304;
    bool stays = x->request.keep_alive && !close && (!x->pour || x->request.takes_chunks);
    char status[DECIMAL_SIZE];
    buf_text(out, "HTTP/1.1 ");
    buf_append(out, status, decimal_integer(x->status, status));
    buf_char(out, ' ');
    buf_text(out, problem_title(x->status));
    buf_append(out, "\r\n", 2);
    if (x->content_type && !no_body) {
        buf_text(out, "Content-Type: ");
        buf_text(out, x->content_type);
        buf_append(out, "\r\n", 2);
    }
    if (x->pour && x->request.takes_chunks)
        buf_text(out, "Transfer-Encoding: chunked\r\n");
    else if (!no_body && !x->pour)
        put_length(out, length);
    buf_text(out, "X-Request-Id: ");
    buf_text(out, x->request_id);
    buf_text(out, x->page_file ? GUARDS("no-cache", POLICY_PAGE) : GUARDS("no-store", POLICY_API));
    buf_text(out, stays ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    buf_append(out, buf_string(&x->headers), x->headers.length);
    buf_append(out, "\r\n", 2);
}

void exchange_render(struct exchange *x, bool close) {
    struct buf *out = &x->out;
    if (x->body.failed || x->headers.failed) {
        buf_clear(&x->headers);
        exchange_problem(x, 500,
                         "The answer is larger than %zu bytes, or memory is short; ask for "
                         "less with limit=.",
                         REPLY_MAXIMUM);
    }
    bool body = x->request.method != METHOD_HEAD && !x->pour;
    buf_clear(out);
    out->maximum = REPLY_MAXIMUM + 4096;
    (void)buf_room(out, HEAD_FIRST + (body ? x->body.length : 0));
    exchange_render_head(x, close, x->body.length, out);
    if (body)
        buf_append(out, buf_string(&x->body), x->body.length);
}

static void let_go(struct exchange *x) {
    if (x->directory)
        directory_release(x->directory);
    if (x->pour_free)
        x->pour_free(x->pour_context);
    json_decref(x->tree);
    free(x->receipt.body);
}

/* An answer that was large is seldom followed by another one. */
static struct buf kept(struct buf *buf, size_t maximum) {
    if (buf->capacity > KEPT_MAXIMUM)
        buf_free(buf);
    buf_clear(buf);
    buf->maximum = maximum;
    return *buf;
}

_Static_assert(offsetof(struct exchange, path) >=
                   offsetof(struct exchange, request) + sizeof(struct request),
               "the two texts that need not be cleared stand one behind the other");
_Static_assert(offsetof(struct exchange, request_id) >=
                   offsetof(struct exchange, path) + sizeof((struct exchange *)0)->path,
               "and the rest behind them");

/* All is cleared but for the room of two texts, which are most of it and end where they begin. */
void exchange_renew(struct exchange *x) {
    const struct api_settings *settings = x->settings;
    struct buf headers = kept(&x->headers, REPLY_HEADERS);
    struct buf body = kept(&x->body, REPLY_MAXIMUM);
    struct buf out = kept(&x->out, REPLY_MAXIMUM);
    let_go(x);
    memset(x, 0, offsetof(struct exchange, request) + offsetof(struct request, text));
    x->request.text[0] = x->path[0] = '\0';
    memset((char *)x + offsetof(struct exchange, request_id), 0,
           sizeof *x - offsetof(struct exchange, request_id));
    x->settings = settings;
    x->headers = headers;
    x->body = body;
    x->out = out;
}

void exchange_free(struct exchange *x) {
    if (!x)
        return;
    let_go(x);
    buf_free(&x->headers);
    buf_free(&x->body);
    buf_free(&x->out);
    free(x);
}
