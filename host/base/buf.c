#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t maximum) {
    *buf = (struct buf){.maximum = maximum};
}

void buf_free(struct buf *buf) {
    free(buf->data);
    *buf = (struct buf){.maximum = buf->maximum};
}

void buf_clear(struct buf *buf) {
    buf->length = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool buf_reserve(struct buf *buf, size_t more) {
    if (buf->failed || more > buf->maximum - buf->length) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->length + more + 1;
    if (need <= buf->capacity)
        return true;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void buf_append(struct buf *buf, const void *data, size_t length) {
    char *to = buf_room(buf, length);
    if (!to)
        return;
    if (length)
        memcpy(to, data, length);
    buf_wrote(buf, length);
}

void buf_char(struct buf *buf, char c) {
    buf_append(buf, &c, 1);
}

/* Into what room there is; only what does not fit is formatted twice. */
void buf_vformat(struct buf *buf, const char *format, va_list arguments) {
    va_list again;
    size_t room = buf->failed || !buf->data ? 0 : buf->capacity - buf->length;
    va_copy(again, arguments);
    int length = vsnprintf(room ? buf->data + buf->length : NULL, room, format, again);
    va_end(again);
    bool fits =
        length >= 0 && (size_t)length < room && (size_t)length <= buf->maximum - buf->length;
    if (fits) {
        buf->length += (size_t)length;
        return;
    }
    if (room)
        buf->data[buf->length] = '\0'; /* nothing of it */
    if (length < 0) {
        buf->failed = true;
        return;
    }
    if (!buf_reserve(buf, (size_t)length))
        return;
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, arguments);
    buf->length += (size_t)length;
}

void buf_format(struct buf *buf, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    buf_vformat(buf, format, arguments);
    va_end(arguments);
}

const char *buf_string(const struct buf *buf) {
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf) {
    char *data = NULL;
    if (!buf->failed && buf_reserve(buf, 0)) {
        buf->data[buf->length] = '\0';
        data = buf->data;
        buf->data = NULL;
    }
    buf_free(buf);
    return data;
}
