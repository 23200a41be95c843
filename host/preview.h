/* What would be decided: a published snapshot with constraints added and left out, and how it goes
 * on over time. By the same pure functions as live (decide(), limits_walk()); nothing is written.
 * Taken as if nothing but time went on: allowed ranges, state of charge and what a cluster measures
 * stay as they are; of a cluster, how its limits would be shared out is not looked at. Any thread.
 */
#ifndef DERD_PREVIEW_H
#define DERD_PREVIEW_H

#include "directory.h"

struct preview_change {
    struct constraint *const *add; /* with rank; one with the id of another replaces it */
    size_t add_count;
    const char (*leave_out)[ID_SIZE];
    size_t leave_out_count;
    bool without_sets; /* the device is quarantined: set points are not in force */
};

/* The snapshot as it would be at `now`; one reference. NULL with *err: ERR_MEMORY, or ERR_LIMIT
 * when more than ARBITER_WISHES would be walked. */
struct decided *preview_suppose(const struct decided *from, const struct preview_change *change,
                                struct now now, enum err *err);

/* One stretch of time, [from, until), in which one decision holds. False ends the walk. */
typedef bool preview_segment(void *context, struct wall from, struct wall until,
                             const struct decided *then);
/* From the moment of the snapshot to `until`, in order. At most OUTLOOK_BOUNDARIES segments.
 * *reached: where it ended. ERR_NOT_FOUND: the device cannot be controlled. */
must_check enum err preview_walk(const struct decided *decided, struct wall until,
                                 bool without_sets, preview_segment *visit, void *context,
                                 struct wall *reached);
/* The last moment at which something of it starts or ends; that of the snapshot when nothing does.
 */
struct wall preview_last(const struct decided *decided);

#endif
