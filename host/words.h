/* Who asked for a constraint and why, as texts that constraints share: those of one program mostly
 * repeat, and there may be millions of them. One copy of each in the whole program, counted by
 * reference. Any thread. */
#ifndef DERD_WORDS_H
#define DERD_WORDS_H

#include <stddef.h>

struct words; /* immutable */

/* The one with these texts, made when there is none; one reference. NULL without memory. */
struct words *words_of(const char *created_by, const char *policy_key, const char *reason);
void words_release(struct words *words); /* NULL is fine */
const char *words_created_by(const struct words *words);
const char *words_policy_key(const struct words *words);
const char *words_reason(const struct words *words);
size_t words_count(void); /* that are in use */

#endif
