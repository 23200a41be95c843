/* What the store knows of each device from before (gates, ends, what it is), read in one go while
 * the site is first built: to ask it for each text of 10,000 devices takes seconds. Engine thread.
 */
#ifndef DERD_RECALL_H
#define DERD_RECALL_H

#include <stddef.h>

struct engine;

struct recall { /* all zero: nothing is recalled, the store is asked */
    struct recalled {
        const char *kind; /* of a list that lives */
        char *key, *value;
    } * texts; /* by kind, then key */
    size_t count, capacity;
    unsigned kinds; /* bit i: all texts of the i-th kind are here */
};

/* Before the devices are made, and when they are: until then nobody may change such a text. */
void recall_begin(struct engine *engine);
void recall_end(struct engine *engine);
/* As store_get_text(): to be freed; NULL when there is none. */
char *recall_text(struct engine *engine, const char *kind, const char *key);

#endif
