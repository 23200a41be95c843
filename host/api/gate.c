#include "api/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/body.h"
#include "api/courtesy.h"
#include "api/handlers.h"
#include "api/porter.h"
#include "api/precondition.h"
#include "api/route.h"

#define TOKEN_PREFIX        "Bearer "
#define FIRST_TOKEN_RETRY_S 5

static void answer_refusal(struct exchange *x, const struct problem *problem) {
    exchange_problem(x, problem->status, "%s", problem->detail);
}

bool gate_opened(struct exchange *x) {
    if (store_has_tokens(x->settings->store))
        return true;
    exchange_unavailable(x, FIRST_TOKEN_RETRY_S,
                         "This host has no token and no password yet, and nothing but /health "
                         "answers before the first one is made, on its console: `derd token create "
                         "--site FILE --name NAME --scopes all`. It needs no restart.");
    return false;
}

enum gate_token gate_authenticate(struct exchange *x) {
    const char *given = x->request.authorization;
    size_t prefix = strlen(TOKEN_PREFIX);
    x->now = clock_now(x->settings->clock);
    if (!given)
        return porter_session(x);
    if (strncasecmp(given, TOKEN_PREFIX, prefix) != 0)
        return GATE_UNKNOWN;
    given += prefix;
    given += strspn(given, " ");
    size_t length = strlen(given);
    if (length == 0 || length >= TOKEN_TEXT_SIZE ||
        !store_token_check(x->settings->store, given, &x->token))
        return GATE_UNKNOWN;
    switch (token_end_at(&x->token, x->now)) {
    case TOKEN_LIVES:
        store_token_used(x->settings->store, x->token.id, x->now.wall);
        return GATE_KNOWN;
    case TOKEN_EXPIRED:
        return GATE_EXPIRED;
    default:
        return GATE_UNDECIDED;
    }
}

static void answer_unauthorized(struct exchange *x, enum gate_token token, int wait_s) {
    char at[WALL_TEXT_SIZE];
    if (wait_s) {
        exchange_too_many(x, wait_s,
                          "Too many wrong tokens came from this address, or for this account, and "
                          "this one is not good either; try another one in %d s.",
                          wait_s);
        return;
    }
    if (token == GATE_NONE) {
        exchange_problem(x, 401,
                         "This needs a token: send the header \"Authorization: Bearer TOKEN\" "
                         "(`derd token` makes one), or log in: POST /v1/session.");
        exchange_header(x, "WWW-Authenticate", "Bearer realm=\"derd\"");
        return;
    }
    if (token == GATE_LOGGED_OUT) {
        exchange_problem(x, 401, "This login has ended; log in again.");
        exchange_header(x, "WWW-Authenticate", "Bearer realm=\"derd\"");
        porter_forget_cookie(x);
        return;
    }
    wall_format(x->token.expires_at, at);
    if (token == GATE_EXPIRED)
        exchange_problem(x, 401,
                         "This token has expired, at %s. `derd token create` makes a new one.", at);
    else if (token == GATE_UNDECIDED)
        exchange_problem(x, 401,
                         "This token has an end (%s), and nobody can tell whether it has passed: "
                         "the host's clock is behind a time that it knew already. Set the clock; "
                         "tokens without an end are good meanwhile.",
                         at);
    else
        exchange_problem(x, 401,
                         "This token is not known here, or was revoked. `derd token` lists and "
                         "makes tokens.");
    exchange_header(x, "WWW-Authenticate", "Bearer realm=\"derd\", error=\"invalid_token\"");
}

/* Whether the token may what the route does, else 403. */
static bool has_scope(struct exchange *x, const struct route *route) {
    char scopes[TOKEN_SCOPES_TEXT_SIZE];
    char challenge[100];
    if (route->open || route->scope == TOKEN_SCOPE_COUNT || token_has(&x->token, route->scope))
        return true;
    token_scopes_format(x->token.scopes, ", ", scopes);
    exchange_problem(x, 403, "This needs a token with the scope \"%s\"; this one has: %s.",
                     token_scope_name(route->scope), scopes);
    snprintf(challenge, sizeof challenge,
             "Bearer realm=\"derd\", error=\"insufficient_scope\", scope=\"%s\"",
             token_scope_name(route->scope));
    exchange_header(x, "WWW-Authenticate", challenge);
    return false;
}

/* The route, or an answer that says why not. A path below /v1 tells nobody without a token whether
 * it exists. */
static const struct route *find_route(struct exchange *x) {
    const struct route *route = NULL;
    char allow[ROUTE_ALLOW_SIZE];
    enum route_result found = route_find(x, &route, allow);
    x->route = found == ROUTE_FOUND ? route : NULL;
    bool open = found == ROUTE_FOUND ? route->open : strcmp(x->request.segments[0], "v1") != 0;
    bool health = found == ROUTE_FOUND && route->handler == api_health;
    if (!health && !gate_opened(x))
        return NULL;
    enum gate_token token = gate_authenticate(x);
    int wait_s = token == GATE_UNKNOWN ? porter_wrong_token(x) : 0;
    x->authenticated = token == GATE_KNOWN;
    if (!open && !x->authenticated) {
        answer_unauthorized(x, token, wait_s);
        return NULL;
    }
    /* A watchdog that asks for /health with a token must not learn that the host is dead. */
    if (x->authenticated && !health && !porter_rate(x))
        return NULL;
    if (found == ROUTE_METHOD) {
        exchange_problem(x, 405, "This path takes %s.", allow);
        exchange_header(x, "Allow", allow);
        return NULL;
    }
    if (found == ROUTE_NOT_FOUND) {
        exchange_problem(x, 404, "There is nothing at this path.");
        return NULL;
    }
    struct problem problem = {0};
    if (!has_scope(x, route) || (!route->open && !porter_from_page(x)))
        return NULL;
    if (!request_query_known(&x->request, route->query, &problem)) {
        answer_refusal(x, &problem);
        return NULL;
    }
    return route;
}

/* Lua text as the body {"text": ...}. */
static json_t *wrap_lua(const char *text, size_t length, struct problem *problem) {
    json_t *value = memchr(text, '\0', length) ? NULL : json_stringn(text, length);
    if (value)
        return json_pack("{s:o}", "text", value);
    problem->status = 400;
    snprintf(problem->detail, sizeof problem->detail,
             "The body is not UTF-8 text, or has a character NUL in it.");
    return NULL;
}

/* Reads and parses the body of POST, PUT and PATCH. False with an answer; *whole says whether the
 * body was read to its end. */
static bool read_body(struct exchange *x, const struct route *route, gate_read *read, void *context,
                      bool *whole) {
    size_t length = (size_t)x->request.body_length;
    struct problem problem = {0};
    if (length == 0) {
        exchange_problem(x, 400, "This needs a body: a JSON object.");
        return false;
    }
    *whole = false;
    bool lua = route_takes_lua(route) && x->request.lua_body;
    if (!x->request.json_body && !lua) {
        exchange_problem(x, 415, "The body must be sent with Content-Type: application/json%s.",
                         route_takes_lua(route)          ? ", or text/x-lua"
                         : route->method == METHOD_PATCH ? ", or application/merge-patch+json"
                                                         : "");
        return false;
    }
    char *text = malloc(length);
    if (!text) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return false;
    }
    *whole = read(context, text, length) == length;
    x->began_us = clock_mono_us(); /* how slowly it came is the client's */
    if (!*whole) {
        exchange_problem(x, 408, "The body did not come to its end in time.");
    } else {
        x->tree = lua ? wrap_lua(text, length, &problem) : body_parse(text, length, &problem);
        if (!x->tree)
            answer_refusal(x, &problem);
    }
    free(text);
    x->now = clock_now(x->settings->clock); /* it may have taken its time */
    return x->tree != NULL;
}

/* A client's own request id is taken when it can stand in a log line and a header. */
static void take_request_id(struct exchange *x) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.:/+=~";
    const char *given = x->request.request_id;
    size_t length = given ? strlen(given) : 0;
    if (length > 0 && length < sizeof x->request_id && strspn(given, allowed) == length)
        memcpy(x->request_id, given, length + 1);
}

static void handle(struct exchange *x, const struct route *route) {
    if (x->settings->directory)
        x->directory = directory_hold(x->settings->directory);
    if (route->method == METHOD_POST && !idempotency_begin(x, route_key(route)))
        return;
    route->handler(x);
    idempotency_end(x);
    if (route->method == METHOD_GET && !route->open)
        precondition_answer(x);
}

bool gate_pass(struct exchange *x, const struct request_head *head, gate_read *read,
               void *context) {
    struct problem problem = {0};
    size_t path = strlen(head->path);
    if (path < sizeof x->path)
        memcpy(x->path, head->path, path + 1);
    remote_find(&x->remote, head->peer, &x->settings->proxies, head);
    bool sound = request_parse(&x->request, head, &problem);
    take_request_id(x);
    if (!sound) {
        answer_refusal(x, &problem);
        return false;
    }
    if (!request_lines_whole(head)) {
        exchange_problem(x, 400,
                         "Each header line must be one line that ends with CR LF, with no blank "
                         "before the colon.");
        return false;
    }
    bool whole = x->request.body_length == 0;
    const struct route *route = find_route(x);
    if (!route)
        return whole;
    if (!route->open && route->scope == TOKEN_CONTROL)
        courtesy_take(x->courteous, COURTESY_FRONT);
    bool takes_body = route->method == METHOD_POST || route->method == METHOD_PUT ||
                      route->method == METHOD_PATCH;
    if (takes_body && !read_body(x, route, read, context, &whole))
        return whole;
    handle(x, route);
    return whole;
}
