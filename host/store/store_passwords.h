/* Passwords of accounts in the store, at most one each. All are in memory; what asks takes a read
 * lock for a moment, what changes blocks until it is on disk. A password goes with its account.
 * `record`: of the audit log, NULL: none; taken over. */
#ifndef DERD_STORE_PASSWORDS_H
#define DERD_STORE_PASSWORDS_H

#include "store/password.h"
#include "store/store.h"

#define PASSWORDS_MAXIMUM   256
#define PASSWORD_MARK_BYTES 32

struct password {
    char account[ACCOUNT_KEY_SIZE]; /* key */
    char hash[PASSWORD_HASH_SIZE];
    /* Random, another one whenever one is set: what was let in by it is let in no longer. Secret,
     * since known browsers are known by it (api/login.h). */
    unsigned char mark[PASSWORD_MARK_BYTES];
    unsigned scopes;      /* of who logs in with it: 1 << enum token_scope, or-ed together */
    int32_t max_priority; /* of the same */
    struct wall set_at;
};

/* Sets the account's (a key or an id), in place of the one before. Of `password` the hash and what
 * it is good for count; the rest is filled in. ERR_NOT_FOUND: no such account. ERR_LIMIT:
 * PASSWORDS_MAXIMUM accounts have one. ERR_RANGE: a negative priority, no
 * scope. */
must_check enum err store_password_set(struct store *store, const char *account,
                                       struct password *password, struct audit_record *record);
/* ERR_NOT_FOUND: the account (a key) has none. */
must_check enum err store_password_remove(struct store *store, const char *account,
                                          struct audit_record *record);
/* That of an account, by its key. Any thread. */
bool store_password_find(struct store *store, const char *account, struct password *password);
/* All, by the names of their accounts, to be freed. Any thread. */
must_check enum err store_password_list(struct store *store, struct password **passwords,
                                        size_t *count);

#endif
