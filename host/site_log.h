/* What the site file says of the log: log = { level = "info", format = "json" }. */
#ifndef DERD_SITE_LOG_H
#define DERD_SITE_LOG_H

#include <jansson.h>
#include <stdbool.h>

#include "base/schema.h"

extern const struct schema site_log_fields[]; /* of "log" */

/* Takes level and format, as far as they are given: what `tree` (a site's) says. */
void site_log_apply(const json_t *tree);
/* The same from the file, before it is read as a site; mistakes are told then. */
void site_log_peek(const char *path);

#endif
