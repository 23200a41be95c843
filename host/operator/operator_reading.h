/* What a device that stands for the grid operator's box says: its contacts by the site file's
 * table, or its registers. Pure.
 *
 * A device is heard when everything that is asked of it is known: a value that is stale, refused or
 * unknown says nothing, and never that there is no limit. With a point `heartbeat` it is heard only
 * when that is another number than before: what a box that hangs leaves in its registers is no word
 * of it. All contacts that count limit together, the strictest in each direction. Where the table
 * has a contact without a limit (the 100 % of a ripple-control receiver), one of the table must
 * count: else a wire is broken, and nothing is heard. */
#ifndef DERD_OPERATOR_READING_H
#define DERD_OPERATOR_READING_H

#include "operator/operator_site.h"
#include "vocabulary.h"

struct operator_input {
    double values[POINT_NUMBER_COUNT]; /* fresh ones; NAN: unknown */
    bool has[POINT_NUMBER_COUNT];      /* its driver has such a point */
    double heartbeat_before;           /* NAN: none was seen yet */
};

struct operator_reading {
    bool heard;                  /* counts as a heartbeat */
    bool states;                 /* `limit` is known, though maybe not new */
    struct operator_limit limit; /* neither: none */
    char text[160];              /* what it says, in plain words */
    char silence[160];           /* why nothing is heard; "": it is */
};

struct operator_reading operator_read(const struct operator_site *site,
                                      const struct operator_input *input);

#endif
