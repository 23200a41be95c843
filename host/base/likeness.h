/* Numbers of texts: texts of different numbers differ, so lists of thousands that are searched by a
 * name compare numbers first, and tables find their bucket. Pure. */
#ifndef DERD_BASE_LIKENESS_H
#define DERD_BASE_LIKENESS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* FNV-1a of `text` up to its first `end`, '\0' for all of it. Not for what an attacker may choose.
 */
static inline uint32_t likeness_of(const char *text, char end) {
    uint32_t likeness = 2166136261U;
    for (; *text && *text != end; text++)
        likeness = (likeness ^ (uint8_t)*text) * 16777619U;
    return likeness;
}

/* Eight bytes at a time, for millions of texts. Goes on from `seed`, another hash or any number but
 * 0; where others choose the texts, a random one that they do not know. */
static inline uint64_t hash_bytes(uint64_t seed, const void *data, size_t size) {
    const char *at = (const char *)data;
    while (size) {
        uint64_t part = 0;
        size_t bytes = size < sizeof part ? size : sizeof part;
        memcpy(&part, at, bytes);
        seed = (seed ^ part) * UINT64_C(0x9E3779B97F4A7C15);
        seed ^= seed >> 29;
        at += bytes;
        size -= bytes;
    }
    return seed;
}

#endif
