/* What differs between two site files, for the audit log. Pure. */
#ifndef DERD_SITE_CHANGES_H
#define DERD_SITE_CHANGES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Two objects with the values that differ, by their place: "clusters.home.devices.wallbox.unit",
 * where entries of a list go by their keys, if all have one. `*was` has what is not as it was,
 * `*is` what it is now; what came or went is in one of them. Too much for `most` bytes of JSON:
 * only the places, as many as fit. False without memory, and both NULL. */
bool site_changes(const json_t *before, const json_t *after, size_t most, json_t **was,
                  json_t **is);

#endif
