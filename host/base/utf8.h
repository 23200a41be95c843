/* UTF-8 as RFC 3629 has it: overlong forms, surrogates and what lies beyond U+10FFFF are none.
 * Pure.
 */
#ifndef DERD_BASE_UTF8_H
#define DERD_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_TO_NUL SIZE_MAX /* a NUL ends the text, and is never in the middle of a character */

/* Bytes of the character at `at` (1..4), of which `room` are there (one at least); 0: it is none,
 * or not whole. NUL is one of one byte. */
size_t utf8_length(const unsigned char *at, size_t room);

#endif
