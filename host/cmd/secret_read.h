/* A secret from whoever types it, or from a program that writes it: never from the command line,
 * which everyone on the machine can read. */
#ifndef DERD_CMD_SECRET_READ_H
#define DERD_CMD_SECRET_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* From standard input: one line. On a terminal it is asked for twice, by `prompt` and once more,
 * and not shown as it is typed; a signal that ends the program gives the terminal back as it was.
 * Elsewhere it is the only line there. ERR_LIMIT: longer than `size` - 1 bytes. ERR_FORMAT: there
 * are more lines, or a NUL. ERR_CONFLICT: it was not typed alike. ERR_IO: it cannot be read. */
must_check enum err secret_read(const char *prompt, char *secret, size_t size);

#endif
