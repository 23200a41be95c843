/* What the parts of device.h share: device.c (its life), device_known.c (its values),
 * device_decide.c and device_card.c (what others see). Nobody else includes this. */
#ifndef DERD_DEVICE_INTERNAL_H
#define DERD_DEVICE_INTERNAL_H

#include "device.h"

/* This device's values out of its machine's: of a part's own and the shared points. */
void device_take_values(struct device *device);
/* What is read once per connection has no age that would tell that it is of an earlier one. */
void device_forget_constants(struct device *device);
/* Bits by enum point_id: what its driver may tell; and what may ever be known of it, which is the
 * state also where it is made of the power. */
uint64_t device_may_tell(const struct device *device);
uint64_t device_may_know(const struct device *device);
/* Keeps the phases that a vehicle was seen to use, until it is unplugged. */
void device_watch_vehicle(struct device *device);

/* `changed`: in any case, also when what it depends on beside its book is as it was. */
void device_decide_as(struct device *device, bool changed);

/* What a decision changes of it; what is known of the device is as it was published last. */
void device_publish_decision(struct device *device);
/* device_publish, and what was published. */
void device_publish_as(struct device *device, struct flexibility *published);
void device_publish_texts(struct device *device); /* identity, connection and command */
/* A card as the device is now, one reference; NULL: no memory. */
struct device_card *device_card_of(const struct device *device);

#endif
