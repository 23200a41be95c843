/* Lists: {"items": [...], "nextCursor"}. A page is a run of items in a stable order; the cursor
 * holds the place and the id of the last one, so that the next page goes on behind it, also when
 * items before it came or went meanwhile. Clients take the cursor as it is. */
#ifndef DERD_API_LIST_H
#define DERD_API_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "api/exchange.h"

#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAXIMUM 500

/* Item `index` of what is listed. */
struct list_source {
    const void *context;
    size_t count;
    const char *(*id)(const void *context, size_t index);
    bool (*shown)(const void *context, size_t index); /* a filter; NULL: all */
    void (*write)(const void *context, size_t index, struct json *json);
};

/* Answers with the page that limit= and cursor= ask for, or 400. `limit`: where none is given. */
void list_answer(struct exchange *x, const struct list_source *source, size_t limit);
/* limit= of the query into `limit`, which stays where none is given; false: answered with 400. */
bool list_limit(struct exchange *x, size_t most, size_t *limit);

#endif
