/* What administration can ask about passwords: rows of the table in admin_commands.c. */
#ifndef DERD_ADMIN_PASSWORDS_H
#define DERD_ADMIN_PASSWORDS_H

#include "base/schema.h"
#include "cmd/admin.h"

/* What commands of admin_commands.c have in common with these. */
json_t *admin_store_refusal(struct store *store, enum err code);
json_t *admin_scopes_tree(unsigned scopes);
/* Of a request that passed its schema: "scopes", or the default. */
unsigned admin_scopes_read(const json_t *request);
extern const struct schema admin_scope_item;

extern const struct schema admin_password_set_fields[];
extern const struct schema admin_password_remove_fields[];

json_t *admin_password_set(const struct admin_host *host, const json_t *request);
json_t *admin_password_remove(const struct admin_host *host, const json_t *request);
json_t *admin_password_list(const struct admin_host *host, const json_t *request);

#endif
