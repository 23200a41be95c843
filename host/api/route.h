/* The one table of routes: method, path, who may, what is done. Everything that the API answers is
 * a row here; what is not is 404, or 405 with Allow when another method is. Constant, any thread.
 */
#ifndef DERD_API_ROUTE_H
#define DERD_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/exchange.h"
#include "api/idempotency.h"

typedef void route_handler(struct exchange *x);

struct route {
    const char *path;  /* "{x}" takes one step that is not empty, "{x}:verb" one that ends so */
    const char *query; /* known query parameters, parted by blanks */
    route_handler *handler;
    enum method method;     /* a GET row answers HEAD too */
    bool open;              /* needs no token */
    enum token_scope scope; /* that the token of a request must have, unless open; _COUNT: none */
};

enum route_result { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_METHOD };

#define ROUTE_ALLOW_SIZE 64

/* ROUTE_FOUND: *route, and the steps that {c}, {d} and {name} took in `x`. ROUTE_METHOD: `allow`
 * lists the methods of the path. */
enum route_result route_find(struct exchange *x, const struct route **route,
                             char allow[ROUTE_ALLOW_SIZE]);
/* Whether a body may also be Lua text, which the handler sees as {"text": ...}. */
bool route_takes_lua(const struct route *route);
/* What becomes of the Idempotency-Key of a POST. */
enum key_use route_key(const struct route *route);
/* All rows, for tests and listings. */
const struct route *route_table(size_t *count);

#endif
