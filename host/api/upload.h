/* Files that come through the API: written whole and durable, or not at all. Any thread. */
#ifndef DERD_API_UPLOAD_H
#define DERD_API_UPLOAD_H

#include <stddef.h>

#include "base/err.h"

/* Replaces the file at `path`, whose folder and the one above it are made when they are missing,
 * for the owner alone. On disk when it returns; readers see the old text or the new one. ERR_IO
 * with the reason in `why`. */
must_check enum err upload_write(const char *path, const char *text, size_t length, char *why,
                                 size_t why_size);
/* Removes it, durably. ERR_NOT_FOUND when it is not there. */
must_check enum err upload_remove(const char *path, char *why, size_t why_size);

#endif
