/* What the options of `derd token create` give to a token, into the request for it. Pure, but for
 * the clock from which "30d" counts. */
#ifndef DERD_CMD_TOKEN_RIGHTS_H
#define DERD_CMD_TOKEN_RIGHTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct token_rights { /* as typed; NULL: not given */
    const char *priority, *scopes, *expires, *clusters;
};

bool token_rights_given(const struct token_rights *rights);
/* False: the first mistake, in words, in `wrong`. */
bool token_rights_add(const struct token_rights *rights, json_t *request, char *wrong,
                      size_t wrong_size);

#endif
