/* The JSON body of a request as a tree, or the problem that says why not. Nesting is counted before
 * the parser runs: jansson recurses, and civetweb's threads have 100 KiB of stack. Pure. */
#ifndef DERD_API_BODY_H
#define DERD_API_BODY_H

#include <jansson.h>
#include <stddef.h>

#include "api/problem.h"

#define BODY_DEPTH 16

/* An object, new reference. NULL with status 400 and the line and column in `problem` for what is
 * not JSON, too deep, has a key twice, or is no object. */
json_t *body_parse(const char *text, size_t length, struct problem *problem);

#endif
