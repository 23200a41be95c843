/* Signatures of Standard Webhooks (standardwebhooks.com, "Signature scheme", symmetric): the
 * receiver takes HMAC-SHA256 over "ID.TIMESTAMP.BODY" with a secret that only he and this host
 * know. Pure but for making a secret. */
#ifndef DERD_WEBHOOKS_SIGNATURE_H
#define DERD_WEBHOOKS_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_PREFIX  "whsec_"
#define SECRET_SIZE    64 /* prefix, 32 bytes in base64, NUL; room for 40 bytes */
#define SIGNATURE_SIZE 56 /* "v1," and 32 bytes in base64, NUL */

void secret_make(char secret[SECRET_SIZE]); /* 32 random bytes */
/* "v1,BASE64". False when the secret is not one. `seconds`: since 1970 UTC. */
bool signature_make(const char *secret, const char *id, int64_t seconds, const char *body,
                    char signature[SIGNATURE_SIZE]);

#endif
