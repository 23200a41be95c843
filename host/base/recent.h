/* Who was seen lately: a fixed table of names, each with a slot. When there is no room the one that
 * was not seen for longest makes way, so memory is bounded whoever comes. Names are kept as keyed
 * hashes: they can have any length, and nobody can choose ones that collide. The caller keeps what
 * belongs to a slot in an array of its own. Not safe for threads by itself. */
#ifndef DERD_BASE_RECENT_H
#define DERD_BASE_RECENT_H

#include <stdbool.h>
#include <stddef.h>

#define RECENT_NONE ((size_t)-1)

struct recent;

/* Room for `size` names, 1 to 65536; NULL without memory. */
struct recent *recent_new(size_t size);
void recent_free(struct recent *recent); /* NULL is fine */

/* The slot of the name, 0 to size - 1, which is now the one seen last. *fresh: it was not there,
 * and the slot may have been another's: begin anew what belongs to it. */
size_t recent_see(struct recent *recent, const void *name, size_t length, bool *fresh);
/* The slot of the name, or RECENT_NONE; changes nothing. */
size_t recent_find(const struct recent *recent, const void *name, size_t length);

#endif
