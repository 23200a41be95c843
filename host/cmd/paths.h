/* Where the things that ship with derd stand. */
#ifndef DERD_PATHS_H
#define DERD_PATHS_H

#include <stddef.h>

#include "base/err.h"

/* The folder with drivers/, policies/, web/ and scripts/: $DERD_SHARE, else the source tree that
 * the program was built in, else ../share/derd beside its bin folder. ERR_NOT_FOUND: none of them.
 */
must_check enum err paths_shared(char *folder, size_t size);
/* The program itself, to start it again as another command. */
must_check enum err paths_program(char *path, size_t size);

#endif
