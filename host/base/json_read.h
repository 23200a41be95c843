/* Reading JSON with jansson. Its reader (2.14) does not look whether its buffer for a string could
 * grow: without memory it would go on behind the end of the buffer. So what it asks for while it
 * reads is there, or the program ends with a line in the log; the supervising parent starts the
 * host again, and what was acknowledged is on disk. Elsewhere a NULL from jansson means no memory,
 * as it says. Any thread. */
#ifndef DERD_BASE_JSON_READ_H
#define DERD_BASE_JSON_READ_H

#include <jansson.h>
#include <stddef.h>

/* Once, before anything else uses jansson. */
void json_read_init(void);
/* As json_loadb() and json_loads(). */
json_t *json_read(const char *text, size_t length, size_t flags, json_error_t *error);
json_t *json_read_text(const char *text, size_t flags, json_error_t *error);

#endif
