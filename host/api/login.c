#include "api/login.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#define NONCE_BYTES     16
#define CODE_BYTES      16
#define BROWSER_BYTES   (NONCE_BYTES + CODE_BYTES)
#define BROWSER_PURPOSE "derd browser"

_Static_assert(sodium_base64_ENCODED_LEN(BROWSER_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ==
                   BROWSER_TEXT_SIZE,
               "a browser's name fits");

bool cookie_find(const char *header, const char *name, char *value, size_t size) {
    size_t name_length = strlen(name);
    for (const char *at = header ? header : ""; *at;) {
        at += strspn(at, "; \t");
        size_t length = strcspn(at, ";");
        const char *start = at;
        at += length;
        while (length > 0 && (start[length - 1] == ' ' || start[length - 1] == '\t'))
            length--;
        if (length <= name_length || strncmp(start, name, name_length) != 0 ||
            start[name_length] != '=')
            continue;
        size_t value_length = length - name_length - 1;
        if (value_length >= size)
            return false;
        memcpy(value, start + name_length + 1, value_length);
        value[value_length] = '\0';
        return true;
    }
    return false;
}

bool origin_right(const char *origin, const char *host) {
    if (!origin)
        return true;
    const char *slashes = strstr(origin, "://");
    if (!slashes || !host)
        return false; /* "null": a page that hides where it comes from */
    size_t scheme = (size_t)(slashes - origin);
    if (!(scheme == 4 && strncasecmp(origin, "http", 4) == 0) &&
        !(scheme == 5 && strncasecmp(origin, "https", 5) == 0))
        return false;
    return strcasecmp(slashes + 3, host) == 0;
}

static void code_make(const struct password *password, const unsigned char nonce[NONCE_BYTES],
                      unsigned char code[CODE_BYTES]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, password->mark, sizeof password->mark, CODE_BYTES);
    crypto_generichash_update(&state, (const unsigned char *)BROWSER_PURPOSE,
                              sizeof BROWSER_PURPOSE - 1);
    crypto_generichash_update(&state, nonce, NONCE_BYTES);
    crypto_generichash_final(&state, code, CODE_BYTES);
}

void browser_make(const struct password *password, char text[BROWSER_TEXT_SIZE]) {
    unsigned char bytes[BROWSER_BYTES];
    randombytes_buf(bytes, NONCE_BYTES);
    code_make(password, bytes, bytes + NONCE_BYTES);
    sodium_bin2base64(text, BROWSER_TEXT_SIZE, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool browser_known(const struct password *password, const char *text) {
    unsigned char bytes[BROWSER_BYTES], code[CODE_BYTES];
    size_t length;
    const char *end;
    size_t given = strnlen(text, BROWSER_TEXT_SIZE);
    if (given != BROWSER_TEXT_SIZE - 1 ||
        sodium_base642bin(bytes, sizeof bytes, text, given, NULL, &length, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        length != sizeof bytes || end != text + given)
        return false;
    code_make(password, bytes, code);
    return sodium_memcmp(code, bytes + NONCE_BYTES, CODE_BYTES) == 0;
}
