/* How a device of the site is got at: its secret, which stands in a file of its own and is never
 * shown, what its TLS trusts, and what else its hooks may talk to. */
#ifndef DERD_SITE_ACCESS_H
#define DERD_SITE_ACCESS_H

#include "site.h"

/* Reads them from its entry; names of files count from `folder` on. An entry that says nothing of
 * it has none. */
void site_read_access(const json_t *entry, const char *folder, struct site_device *device,
                      struct report *report);
void site_access_free(struct site_access *access); /* NULL is fine */
/* Whether all of them could be read; else a mistake for each that could not. */
bool site_secrets_right(const struct site *site, struct report *report);
/* Whether a file with a secret has changed since it was read. */
bool site_secrets_changed(const struct site *site);

#endif
