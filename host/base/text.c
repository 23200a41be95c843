#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void text_set(char **text, const char *value) {
    if (strcmp(text_of(*text), value) == 0)
        return;
    free(*text);
    *text = value[0] ? strdup(value) : NULL;
}

const char *text_of(const char *text) {
    return text ? text : "";
}

void text_copy(char *to, size_t size, const char *from) {
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}
