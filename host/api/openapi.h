/* The OpenAPI 3.1 document, composed once at start from the parts in web/openapi/: one file for
 * each resource, so that a reader finds his resource in a file of readable size. What C knows is
 * not written there twice: the version, the words, units and ranges of the vocabulary, and the
 * answers that every route can give before its handler runs (see web/openapi/README.md for the
 * marks that stand for them). Pure but for reading the folder; for the thread that starts the API.
 */
#ifndef DERD_API_OPENAPI_H
#define DERD_API_OPENAPI_H

#include <jansson.h>

#include "base/report.h"

#define OPENAPI_PART_MAXIMUM ((size_t)256 * 1024) /* bytes of one part */
#define OPENAPI_PARTS        64

/* The whole document from every *.json of `folder`, in the order of their names. NULL, with every
 * mistake in `report` (file and place), when a part cannot be read or two of them clash. New
 * reference. */
json_t *openapi_compose(const char *folder, struct report *report);

#endif
