/* Entity tags and the conditions that requests put on them (RFC 9110, sections 8.8.3 and 13).
 *
 * Every answer 200 to a GET that needs a token carries a strong ETag of its bytes, so what is read
 * again unchanged is 304, also after a restart: their key is the store's.
 * The tag of a resource that can be changed begins with its version, parted by a dot:
 * "version.bytes". A change with If-Match looks at the version alone, since time and others move
 * what is shown of a resource (status, outcome) without anyone having changed it. */
#ifndef DERD_API_PRECONDITION_H
#define DERD_API_PRECONDITION_H

#include <stdbool.h>
#include <stddef.h>

#include "api/exchange.h"

#define TAG_SIZE 80 /* quotes, version, dot, 32 hexadecimal digits, NUL */

enum tags { TAGS_NONE, TAGS_MATCH, TAGS_ANY /* "*" */, TAGS_MALFORMED };

/* Whether one of the entity tags in `list` (the value of If-Match or If-None-Match) is `tag`, given
 * without quotes. `weak`: a W/ tag may match too. `version`: `tag` is a version, and it is enough
 * that a listed one is it or begins with it and a dot. Pure. */
enum tags tags_look(const char *list, const char *tag, bool weak, bool version);

/* After the handler of a GET: adds the ETag to an answer 200, or makes 304 of it when the client
 * has it. `x->version` (set by the handler, "" for none) comes first in the tag. */
void precondition_answer(struct exchange *x);

/* Before a change of one resource. `version`: of what is there, NULL: nothing is. True when the
 * request has no condition or it holds; else the answer is made: 412 with the current tag, 400. The
 * engine must look again at the version that was met here when it comes to the change. */
bool precondition_check(struct exchange *x, const char *version);
/* 412 as precondition_check() makes it; for a change that came in between. */
void precondition_failed(struct exchange *x, const char *version);
/* The ETag header of a resource that was just changed: its version alone, good for If-Match. */
void precondition_tell(struct exchange *x, const char *version);
/* A version for resources that have no better one: 16 hexadecimal digits of a hash. */
#define VERSION_SIZE 17
void precondition_version(const void *content, size_t length, char version[VERSION_SIZE]);

#endif
