/* What the audit log is told of changes that the engine makes on behalf of others. Loop's thread.
 */
#ifndef DERD_ASK_AUDIT_H
#define DERD_ASK_AUDIT_H

#include <jansson.h>

#include "constraint.h"
#include "store/store_audit.h"

struct ask;
struct book;
struct engine;
struct made;
struct site;

/* Adds the record of one change of a constraint on the target of `ask`; `before` or `after` is NULL
 * where there is nothing. False without memory. Nothing is added when the origin is nobody. */
must_check bool ask_audit_change(const struct ask *ask, const struct constraint *before,
                                 const struct constraint *after, struct audit_record **list);
/* All that the request changes, against what is in the book of its target (NULL: it has left).
 * False, and an empty list, without memory. */
must_check bool ask_audit_changes(const struct ask *ask, const struct book *book,
                                  struct audit_record **list);
/* The same of a cluster or device that the API made: as it was, as it will be. */
must_check bool ask_audit_made(struct engine *engine, const struct audit_origin *origin,
                               bool is_device, const struct made *before, const struct made *after,
                               struct audit_record **list);

/* The site file as it was taken up last, by this host or one before, against the one that is taken
 * now; remembers it. Waits for the store at start only: a slow disk holds up no change. */
void ask_audit_site(struct engine *engine, const struct site *file);

#endif
