#include "webhooks/signature.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define KEY_BYTES      32
#define KEY_BYTES_MOST 40
#define HEAD_SIZE      160 /* "ID.TIMESTAMP." */

void secret_make(char secret[SECRET_SIZE]) {
    unsigned char key[KEY_BYTES];
    size_t prefix = strlen(SECRET_PREFIX);
    randombytes_buf(key, sizeof key);
    snprintf(secret, SECRET_SIZE, "%s", SECRET_PREFIX);
    sodium_bin2base64(secret + prefix, SECRET_SIZE - prefix, key, sizeof key,
                      sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(key, sizeof key);
}

bool signature_make(const char *secret, const char *id, int64_t seconds, const char *body,
                    char signature[SIGNATURE_SIZE]) {
    unsigned char key[KEY_BYTES_MOST];
    unsigned char code[crypto_auth_hmacsha256_BYTES];
    char head[HEAD_SIZE];
    size_t length = 0;
    size_t prefix = strlen(SECRET_PREFIX);
    crypto_auth_hmacsha256_state state;
    if (strncmp(secret, SECRET_PREFIX, prefix) != 0 ||
        sodium_base642bin(key, sizeof key, secret + prefix, strlen(secret) - prefix, NULL, &length,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
        length == 0)
        return false;
    int head_length = snprintf(head, sizeof head, "%s.%" PRId64 ".", id, seconds);
    if (head_length < 0 || (size_t)head_length >= sizeof head)
        return false;
    crypto_auth_hmacsha256_init(&state, key, length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)head,
                                  (unsigned long long)head_length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)body, strlen(body));
    crypto_auth_hmacsha256_final(&state, code);
    snprintf(signature, SIGNATURE_SIZE, "v1,");
    sodium_bin2base64(signature + 3, SIGNATURE_SIZE - 3, code, sizeof code,
                      sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(key, sizeof key);
    sodium_memzero(&state, sizeof state);
    return true;
}
