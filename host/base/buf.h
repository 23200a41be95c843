/* A text buffer with a mandatory maximum. No unbounded growth exists in derd: each buffer says at
 * init how large it may become; what does not fit sets `failed` and is left out whole, so that a
 * writer may append without looking and ask once at the end. Not shared between threads. */
#ifndef DERD_BASE_BUF_H
#define DERD_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"

struct buf {
    char *data; /* NUL-terminated when not NULL */
    size_t length;
    size_t capacity;
    size_t maximum; /* most bytes of text, without the NUL */
    bool failed;    /* something did not fit, or memory was refused */
};

void buf_init(struct buf *buf, size_t maximum);
void buf_free(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory; forgets `failed` */
void buf_append(struct buf *buf, const void *data, size_t length);
/* Inline: most texts have a length that is known when they are compiled. */
static inline void buf_text(struct buf *buf, const char *text) {
    buf_append(buf, text, strlen(text));
}
void buf_char(struct buf *buf, char c);
void buf_format(struct buf *buf, const char *format, ...) printf_like(2, 3);
void buf_vformat(struct buf *buf, const char *format, va_list arguments);
/* Room for `more` bytes and the NUL, or false with `failed` set. */
bool buf_reserve(struct buf *buf, size_t more);
/* Whether there is room for `length` bytes and the NUL already. */
static inline bool buf_has(const struct buf *buf, size_t length) {
    return !buf->failed && buf->capacity - buf->length > length &&
           buf->maximum - buf->length >= length;
}
/* Room for `length` bytes to be written in place, or NULL with `failed` set; buf_wrote() says how
 * many became text, at most that. Mostly there is room already. */
static inline char *buf_room(struct buf *buf, size_t length) {
    return buf_has(buf, length) || buf_reserve(buf, length) ? buf->data + buf->length : NULL;
}
static inline void buf_wrote(struct buf *buf, size_t length) {
    buf->length += length;
    buf->data[buf->length] = '\0';
}
/* The text, "" when empty. Valid until the next change. */
const char *buf_string(const struct buf *buf);
/* Hands the text to the caller, who frees it; NULL when `failed`. The buffer is empty after. */
char *buf_take(struct buf *buf);

#endif
