/* How the things of the host look in JSON, where more than one resource shows them. */
#ifndef DERD_API_PRESENT_H
#define DERD_API_PRESENT_H

#include "api/json.h"
#include "directory.h"

/* Who said that there is such a thing. */
#define ORIGIN_FILE "siteFile"
#define ORIGIN_API  "api"

/* "key": null when none was given; inside, the id stands for it then. */
void present_key(struct json *json, const char *key, const char *id);
/* A device as its resource, an object. */
void present_device(struct json *json, struct device_card *card);
/* Its flexibility as last published, an object. */
void present_flexibility(struct json *json, struct device_card *card);
/* A power of a decision: null when it is open. */
void present_power(struct json *json, const char *key, int32_t power);
/* [[lo, hi], ...] */
void present_ranges(struct json *json, const char *key, const struct ranges *ranges);
/* {state, following, since, detail} */
void present_command_alone(struct json *json, const struct flexibility *flexibility,
                           struct device_card *card);
/* "command": {state, following, since, detail} */
void present_command(struct json *json, const struct flexibility *flexibility,
                     struct device_card *card);
/* One constraint as its resource; with outcome and explanation when it is in force. `index` into
 * decided->items. Members only, into an object that is open. */
void present_constraint(struct json *json, const char *target_id, const struct decided *decided,
                        size_t index, struct wall now);
enum constraint_status present_status(const struct decided_item *item, struct wall now);
/* The same of a constraint that the snapshot does not show. */
void present_constraint_alone(struct json *json, const char *target_id,
                              const struct constraint *constraint, struct wall now);
/* [l1, l2, l3]; what is not finite is null. */
void present_currents(struct json *json, const char *key, const double currents[3]);
/* What is decided on a cluster: limits, winners, the connection, shares, what cannot be reached.
 * Members only. */
void present_split(struct json *json, const struct decided *decided,
                   const struct cluster_measure *measure);
/* The same of one that is gone: status "expired" or "removed". */
void present_constraint_gone(struct json *json, const char *device_id,
                             const struct constraint *constraint, const char *status);
/* What is decided: powers, winners, limited, unmet; of a cluster its split. Members only. */
void present_decision(struct json *json, const struct decided *decided);
/* Who: a constraint's id, "fallback", "device", or null. `by`: index into items, or BY_*. */
void present_winner(struct json *json, const char *key, const struct decided *decided, int by);
/* Outcome, against, explanation of items[index], which is in force. Members only. */
void present_outcome(struct json *json, const struct decided *decided, size_t index);

#endif
