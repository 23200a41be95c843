/* Tokens for tests that are not about what tokens may do. */
#ifndef DERD_TESTS_TOKEN_KIT_H
#define DERD_TESTS_TOKEN_KIT_H

#include "store/store.h"

static inline enum err token_create_with(struct store *store, const char *name, const char *account,
                                         int32_t max_priority, unsigned scopes,
                                         char text[TOKEN_TEXT_SIZE]) {
    struct token token = {.max_priority = max_priority, .scopes = scopes};
    return store_token_create(store, name, account, &token, text, NULL);
}

static inline enum err token_create(struct store *store, const char *name, const char *account,
                                    int32_t max_priority, char text[TOKEN_TEXT_SIZE]) {
    return token_create_with(store, name, account, max_priority, TOKEN_SCOPES_ALL, text);
}

#endif
