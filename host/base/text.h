/* A text as long as it is: what most of its owners do not have costs them a pointer; and a copy
 * into an array that is given. Pure. */
#ifndef DERD_BASE_TEXT_H
#define DERD_BASE_TEXT_H

#include <stddef.h>

/* `*text` (owned, NULL at first) says `value` from here on, which may not be part of it; "" is kept
 * as NULL. Without memory it says nothing. */
void text_set(char **text, const char *value);
/* "" for NULL. */
const char *text_of(const char *text);
/* Into an array of `size` bytes, one at least; what does not fit is left out. */
void text_copy(char *to, size_t size, const char *from);

#endif
