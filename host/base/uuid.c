#include "base/uuid.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>

void uuid_make(char id[ID_SIZE]) {
    unsigned char bytes[16];
    randombytes_buf(bytes, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4: RFC 9562, 5.4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    size_t at = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            id[at++] = '-';
        snprintf(id + at, ID_SIZE - at, "%02x", bytes[i]);
        at += 2;
    }
}

bool uuid_valid(const char *text) {
    for (size_t i = 0; i < ID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return text[ID_SIZE - 1] == '\0';
}
