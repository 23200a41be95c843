/* What GET /v1/drivers/{name} and /v1/policies/{name} say about one script: its file, its
 * generation, what it offers, and every mistake of the file as it is now. */
#ifndef DERD_LIBRARY_LISTING_H
#define DERD_LIBRARY_LISTING_H

#include "base/clock.h"
#include "base/report.h"
#include "script/library.h"

struct rolled_back {     /* the generation that the file makes, and why it is not in use */
    unsigned generation; /* 0: none was */
    char version[32];
    char why[SCRIPT_ERROR_SIZE];
    struct wall at;
};

struct listing {
    enum script_kind kind;
    const char *name;
    const char *path;                 /* "" when the file was removed */
    const struct generation *current; /* NULL: none is whole, or the file was removed */
    struct wall loaded_at;
    const char *shadows[LIBRARY_FOLDERS]; /* paths that this file hides */
    size_t shadow_count;
    const struct report *errors;
    const struct rolled_back *rolled_back;
};

/* The JSON text, which the caller frees; NULL without memory. */
char *listing_json(const struct listing *listing);

#endif
