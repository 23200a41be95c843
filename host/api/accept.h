/* Which of several forms of an answer a client takes (RFC 9110, section 12.5.1). Pure. */
#ifndef DERD_API_ACCEPT_H
#define DERD_API_ACCEPT_H

#include <stddef.h>

/* Index of the form in `offers` (media types without parameters) that `accept` likes most; among
 * equals the first. `accept` NULL or "": the first. `count` when none will do. */
size_t accept_choose(const char *accept, const char *const *offers, size_t count);

#endif
