/* Several draft constraints in one body, {"constraints": [{"id": ..., ...}, ...]}: all mistakes of
 * all of them at once, by pointers like /constraints/3/maxActivePower. */
#ifndef DERD_API_DRAFTS_H
#define DERD_API_DRAFTS_H

#include <jansson.h>

#include "base/report.h"
#include "constraint.h"

struct drafts {
    size_t count;
    struct constraint *items; /* owned; id "" where none was given */
};

/* `list`: the array, or NULL when the body has none. `least` and `most`: how many there may be.
 * False with mistakes; `drafts` is for drafts_free() in any case. */
must_check bool drafts_read(const json_t *list, size_t least, size_t most, const struct door *door,
                            struct now now, struct drafts *drafts, struct report *report);
void drafts_free(struct drafts *drafts);
/* Members of `tree` that are not in `known`, a list parted by blanks, are mistakes. */
void drafts_check_members(const json_t *tree, const char *known, struct report *report);

#endif
