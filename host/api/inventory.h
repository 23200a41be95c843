/* What the handlers of accounts, clusters and devices share. */
#ifndef DERD_API_INVENTORY_H
#define DERD_API_INVENTORY_H

#include "api/exchange.h"
#include "api/present.h"
#include "base/report.h"

#define SCRIPT_UPLOAD_MAXIMUM 60000 /* bytes of a script that comes through the API */

/* False with 403 when the token is for some clusters only, and so has nothing to do with `what`
 * ("accounts"), which is not of one cluster. */
must_check bool inventory_unrestricted(struct exchange *x, const char *what);
/* The account with this id or key, when the token's account controls it. No answer is made. */
must_check bool inventory_account(const struct exchange *x, const char *which,
                                  struct account *account);
/* Whether the site file names the account of this key. */
bool inventory_account_named(const struct exchange *x, const char *key);
/* "The site file /etc/derd/site.lua", to begin a sentence with. The exchange holds it. */
const char *inventory_file(const struct exchange *x);
/* Mistakes of a key that a client chooses, at /key. */
void inventory_check_key(const char *key, struct report *report);

/* Resources as objects. */
void inventory_write_cluster(const struct exchange *x, const struct cluster_card *cluster,
                             struct json *json);
/* Begins the ETag of a GET with the revision; what the site file declares (0) has none. */
void inventory_version(struct exchange *x, int64_t revision);

#endif
