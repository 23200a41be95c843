/* The hooks of a driver: how the host calls them. hooks.c: values and command, which end at once;
 * hooks_io.c: read and write, which may wait (task.h). Engine thread.
 *
 * A hook works on a copy of the device's `state`, which is taken over when the hook has ended well.
 * While a call waits, all hooks of the device share its copy. */
#ifndef DERD_HOOKS_H
#define DERD_HOOKS_H

#include <lua.h>

#include "control.h"
#include "directory.h"
#include "script/task.h"

struct device;

/* [-0, +1] What a hook sees of its device. `waits`: it may wait, and others then share its state.
 */
void hooks_push_dev(lua_State *L, struct device *device, const struct script *script, bool waits);
/* [-0, +0] Takes over what it has left in dev.state. */
void hooks_keep_state(lua_State *L, struct device *device);
void hooks_values(struct device *device); /* after a poll */
/* The plan as the hook makes it. Where it fails, or may not be called, the plan stays as the
 * driver's data say: a bound does not wait for a script. */
void hooks_command(struct device *device, struct plan *plan);

/* What hooks.read gives for one part of a machine. */
struct reading {
    const struct driver *driver; /* of the generation that is called */
    size_t room;                 /* points that there is memory for */
    double *values;              /* one for each point, NAN: unknown */
    bool *given;                 /* the hook has named it */
    bool *due;                   /* it was asked for */
    char texts[POINT_COUNT - POINT_TEXT_FIRST][IDENTITY_SIZE];
    char problem[160]; /* with the values; "": none */
    bool impossible;   /* a value was */
    int64_t age_ms;    /* of all its values, as the hook says */
};
must_check enum err reading_begin(struct reading *reading, const struct driver *driver);
/* What a device has said before is as old as when it said it: `now` less the age of its values. */
struct now reading_at(const struct reading *reading, struct now now);
void reading_free(struct reading *reading);
/* Whether a point is one that hooks.read gives for this part. */
bool reading_has(const struct point *point, int part);

/* Calls hooks.read for what is due in machine->reading; the values are there when it is DONE. */
void hooks_read(struct device *device, task_over *over);
/* Calls hooks.write with `count` writes of the device's wanted plan, from `first` on. */
void hooks_write(struct device *device, int first, int count, task_over *over);

#endif
