/* The grid operator's box of a cluster as the site file declares it:
 *
 *   gridOperator = { scope = "controllable", priority = 3000, heartbeat = 120,
 *     failsafe = { maxActivePower = 4200, duration = "2h" },
 *     source = "api" }          -- or { device = "box", contacts = { { contact = 1, ... } } }
 *
 * Pure. Powers in W, import positive. */
#ifndef DERD_OPERATOR_SITE_H
#define DERD_OPERATOR_SITE_H

#include <jansson.h>

#include "base/report.h"
#include "base/schema.h"
#include "constraint.h"
#include "directory.h"
#include "operator/operator.h"

#define OPERATOR_CONTACTS ((size_t)2 * CONTACT_COUNT) /* each may count closed and open */

struct operator_contact {
    int contact;                 /* 1..CONTACT_COUNT */
    bool when_open;              /* counts when open, so that a broken wire limits */
    struct operator_limit limit; /* neither: it says that there is no limit, as 100 % does */
};

struct operator_site {
    bool present;
    enum scope scope;
    int32_t priority;
    struct operator_terms terms;
    char device[KEY_SIZE]; /* of the same cluster; "": the API */
    struct operator_contact contacts[OPERATOR_CONTACTS];
    size_t contact_count; /* 0: the device has registers for limits */
};

/* The field's form, for the schema of a cluster. */
extern const struct schema operator_site_fields[];

/* Reads `field` (of a cluster that has passed its schema, or not); NULL or not there: not present.
 * `where`: "clusters[1].gridOperator". Mistakes that the schema does not find go to `report`; what
 * depends on the rest of the cluster is the caller's to check. */
void operator_site_read(const json_t *field, const char *where, struct operator_site *site,
                        struct report *report);

#endif
