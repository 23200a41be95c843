/* Passwords of people: what may be one, and its hash (argon2id by libsodium, whose text carries its
 * own settings). A hash takes PASSWORD_MEMORY for a moment and some 50 ms of a fast core: what
 * makes guessing at a stolen file costly. The host may be a gateway with little memory, so it is
 * the least that OWASP's Password Storage Cheat Sheet names for argon2id (19 MiB, 2 passes), and
 * whoever hashes for the network does one at a time. Blocks that long: never on the engine's
 * thread. */
#ifndef DERD_STORE_PASSWORD_H
#define DERD_STORE_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PASSWORD_LEAST     10  /* characters */
#define PASSWORD_MAXIMUM   256 /* bytes */
#define PASSWORD_HASH_SIZE 128
#define PASSWORD_MEMORY    19922944 /* bytes: 19 MiB */
#define PASSWORD_PASSES    2

/* Whether it may be the password of this account; else `why`, a sentence that says what to do. */
must_check bool password_fits(const char *text, const char *account, char *why, size_t why_size);
/* ERR_MEMORY: there is not enough of it now. */
must_check enum err password_hash(const char *text, char hash[PASSWORD_HASH_SIZE]);
/* ERR_OK: it is the one; ERR_REFUSED: it is not; ERR_MEMORY: nobody can tell now. `hash` NULL:
 * there is none; that takes as long as if there were, so that time tells nobody who has a password.
 */
must_check enum err password_check(const char *hash, const char *text);

#endif
