/* A number of a text (FNV-1a): texts of different numbers differ, so lists of thousands that are
 * searched by a name compare numbers first. Not for what an attacker may choose. Pure. */
#ifndef DERD_BASE_LIKENESS_H
#define DERD_BASE_LIKENESS_H

#include <stdint.h>

/* Of `text` up to its first `end`, '\0' for all of it. */
static inline uint32_t likeness_of(const char *text, char end) {
    uint32_t likeness = 2166136261U;
    for (; *text && *text != end; text++)
        likeness = (likeness ^ (uint8_t)*text) * 16777619U;
    return likeness;
}

#endif
