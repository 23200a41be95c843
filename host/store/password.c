#include "store/password.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DIFFERENT_LEAST 4 /* characters: "1111111111" is none */

_Static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_argon2id_STRBYTES, "as libsodium has it");

/* Characters of the text, how many of its bytes differ, and whether one is a control character. The
 * text is UTF-8, as whoever read it has checked. */
struct look {
    size_t characters, different;
    bool control;
};

static struct look look_at(const char *text) {
    struct look look = {0};
    bool seen[256] = {false};
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        look.characters += (*at & 0xc0) != 0x80;
        look.different += !seen[*at];
        look.control = look.control || *at < 0x20 || *at == 0x7f;
        seen[*at] = true;
    }
    return look;
}

bool password_fits(const char *text, const char *account, char *why, size_t why_size) {
    struct look look = look_at(text);
    size_t length = strlen(text);
    why[0] = '\0';
    if (look.characters < PASSWORD_LEAST)
        snprintf(why, why_size,
                 "a password has at least %d characters, this one has %zu; a few words in a row "
                 "are long and easy to keep in mind",
                 PASSWORD_LEAST, look.characters);
    else if (length > PASSWORD_MAXIMUM)
        snprintf(why, why_size, "a password has at most %d bytes, this one has %zu",
                 PASSWORD_MAXIMUM, length);
    else if (look.control)
        snprintf(why, why_size, "a password has no control characters (tabs, escapes) in it");
    else if (look.different < DIFFERENT_LEAST)
        snprintf(why, why_size, "a password has at least %d different characters", DIFFERENT_LEAST);
    else if (strcasecmp(text, account) == 0)
        snprintf(why, why_size, "the name of the account is the first password that is tried");
    return !why[0];
}

enum err password_hash(const char *text, char hash[PASSWORD_HASH_SIZE]) {
    return crypto_pwhash_argon2id_str(hash, text, strlen(text), PASSWORD_PASSES, PASSWORD_MEMORY) ==
                   0
               ? ERR_OK
               : ERR_MEMORY;
}

enum err password_check(const char *hash, const char *text) {
    static const unsigned char salt[crypto_pwhash_argon2id_SALTBYTES] = {0};
    unsigned char waste[crypto_pwhash_argon2id_BYTES_MIN];
    if (!hash)
        return crypto_pwhash_argon2id(waste, sizeof waste, text, strlen(text), salt,
                                      PASSWORD_PASSES, PASSWORD_MEMORY,
                                      crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0
                   ? ERR_REFUSED
                   : ERR_MEMORY;
    errno = 0;
    if (crypto_pwhash_argon2id_str_verify(hash, text, strlen(text)) == 0)
        return ERR_OK;
    return errno == ENOMEM ? ERR_MEMORY : ERR_REFUSED;
}
