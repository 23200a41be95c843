/* JSON Merge Patch (RFC 7396). Pure. */
#ifndef DERD_BASE_MERGE_PATCH_H
#define DERD_BASE_MERGE_PATCH_H

#include <jansson.h>

/* `patch` onto a copy of `target` (NULL: nothing), which stays as it is; parts of both are shared
 * with the result. Recurses as deep as `patch` nests: bound that where it is parsed. NULL without
 * memory. New reference. */
json_t *merge_patch(const json_t *target, const json_t *patch);

#endif
