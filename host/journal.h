/* From the engine into history: what a device measured, what was decided on it, how far it was
 * told. Copies into telemetry's queue and returns. Engine thread. */
#ifndef DERD_JOURNAL_H
#define DERD_JOURNAL_H

#include "device.h"

/* After its flexibility was published: a sample, when its leading value is a new one. */
void journal_sample(struct device *device, const struct flexibility *published);
/* After `decided` was published in place of `before`: a ruling, when it is another one. */
void journal_ruling(struct device *device, const struct decided *before,
                    const struct decided *decided);
/* How far it has been told has changed, or a ruling has begun. */
void journal_told(struct device *device);
/* It leaves the site, or is built anew. Not when the host stops: that ends rulings otherwise. */
void journal_leave(struct device *device);

#endif
