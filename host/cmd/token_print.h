/* Tokens as `derd token` shows them. */
#ifndef DERD_CMD_TOKEN_PRINT_H
#define DERD_CMD_TOKEN_PRINT_H

#include <jansson.h>

/* The tokens of an answer, as a table on standard output. */
void token_list_print(const json_t *tokens);
/* One that was just made: what it may do on standard error, its text on standard output. */
void token_made_print(const json_t *answer);

#endif
