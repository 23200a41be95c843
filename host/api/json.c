#include "api/json.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "base/utf8.h"

#define KEY_MARKS   3 /* quotes, colon */
#define TIME_LENGTH (WALL_TEXT_LENGTH + 2)
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for bytes that are not UTF-8 */

void json_start(struct json *json, struct buf *out) {
    *json = (struct json){.out = out};
}

static void wrote(struct buf *out, const char *end) {
    buf_wrote(out, (size_t)(end - out->data) - out->length);
}

/* Where the next key or value begins, behind its comma: room for `length` bytes, or NULL. */
static inline char *place(struct json *json, size_t length) {
    char *to = buf_room(json->out, length + json->comma);
    if (to && json->comma)
        *to++ = ',';
    json->comma = true;
    return to;
}

/* As memcpy(), for texts that are mostly short: a call for each costs more than they do. */
static inline char *copy(char *to, const char *text, size_t length) {
    if (length >= 16 && length <= 32) {
        memcpy(to, text, 16);
        memcpy(to + length - 16, text + length - 16, 16);
    } else if (length >= 8 && length < 16) {
        memcpy(to, text, 8);
        memcpy(to + length - 8, text + length - 8, 8);
    } else if (length > 32) {
        memcpy(to, text, length);
    } else {
        for (size_t i = 0; i < length; i++)
            to[i] = text[i];
    }
    return to + length;
}

/* A value that is text already. */
static inline void put(struct json *json, const char *text, size_t length) {
    char *to = place(json, length);
    if (to)
        wrote(json->out, copy(to, text, length));
}

static void open_with(struct json *json, const char *bracket) {
    put(json, bracket, 1);
    json->comma = false;
}

static void close_with(struct json *json, const char *bracket) {
    json->comma = false;
    put(json, bracket, 1);
}

void json_object_open(struct json *json) {
    open_with(json, "{");
}

void json_object_close(struct json *json) {
    close_with(json, "}");
}

void json_array_open(struct json *json) {
    open_with(json, "[");
}

void json_array_close(struct json *json) {
    close_with(json, "]");
}

void json_key_of(struct json *json, const char *key, size_t length) {
    char *to = place(json, length + KEY_MARKS);
    if (to) {
        *to = '"';
        to = copy(to + 1, key, length);
        to[0] = '"';
        to[1] = ':';
        wrote(json->out, to + 2);
    }
    json->comma = false;
}

void json_write_raw(struct json *json, const char *value) {
    put(json, value, strlen(value));
}

void json_write_null(struct json *json) {
    put(json, "null", 4);
}

void json_write_boolean(struct json *json, bool value) {
    json_write_raw(json, value ? "true" : "false");
}

/* Numbers are written where they belong, as long as there is room for the longest. */
static bool in_place(const struct json *json) {
    return buf_has(json->out, DECIMAL_SIZE);
}

void json_write_integer(struct json *json, int64_t value) {
    char text[DECIMAL_SIZE];
    if (in_place(json)) {
        char *to = place(json, 0);
        wrote(json->out, to + decimal_integer(value, to));
    } else {
        put(json, text, decimal_integer(value, text));
    }
}

void json_write_double(struct json *json, double value) {
    char text[DECIMAL_SIZE];
    if (!isfinite(value)) {
        json_write_null(json);
    } else if (in_place(json)) {
        char *to = place(json, 0);
        wrote(json->out, to + decimal_double(value, to));
    } else {
        put(json, text, decimal_double(value, text));
    }
}

static void escape_char(struct buf *out, unsigned char c) {
    static const char named[] = "\b\f\n\r\t";
    const char *found = c ? strchr(named, c) : NULL;
    if (c == '"' || c == '\\') {
        buf_char(out, '\\');
        buf_char(out, (char)c);
    } else if (found) {
        buf_char(out, '\\');
        buf_char(out, "bfnrt"[found - named]);
    } else {
        buf_format(out, "\\u%04x", (unsigned)c);
    }
}

/* Stands in a string as it is, and is a character by itself. */
static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte)) /* in each byte of a word */
#define HIGH       EACH(0x80)

/* Whether all eight bytes are plain. One that is not may borrow from the next and make that look so
 * too, but never the other way round. */
static bool all_plain(const char *text) {
    uint64_t word;
    memcpy(&word, text, sizeof word);
    uint64_t quote = word ^ EACH('"');
    uint64_t backslash = word ^ EACH('\\');
    uint64_t delete = word ^ EACH(0x7f);
    uint64_t other =
        word | (word - EACH(0x20)) | (quote - EACH(1)) | (backslash - EACH(1)) | (delete - EACH(1));
    return (other & HIGH) == 0;
}

/* How many bytes from the first on are plain. */
static size_t plain_length(const char *text, size_t length) {
    size_t plain = 0;
    while (length - plain >= sizeof(uint64_t) && all_plain(text + plain))
        plain += sizeof(uint64_t);
    while (plain < length && is_plain((unsigned char)text[plain]))
        plain++;
    return plain;
}

void json_write_string(struct json *json, const char *text) {
    if (!text) {
        json_write_null(json);
        return;
    }
    size_t length = plain_length(text, strlen(text));
    const unsigned char *at = (const unsigned char *)text + length;
    const unsigned char *plain = at; /* start of what can be copied as it is */
    char *to = place(json, length + 2);
    if (!to)
        return;
    *to++ = '"';
    to = copy(to, text, length);
    if (!*at) {
        *to++ = '"';
        wrote(json->out, to);
        return;
    }
    wrote(json->out, to);
    while (*at) {
        length = utf8_length(at, UTF8_TO_NUL);
        bool as_is = length > 0 && *at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f;
        if (as_is) {
            at += length;
            continue;
        }
        buf_append(json->out, plain, (size_t)(at - plain));
        if (length == 0)
            buf_text(json->out, REPLACEMENT);
        else
            escape_char(json->out, *at);
        plain = ++at;
    }
    buf_append(json->out, plain, (size_t)(at - plain));
    buf_char(json->out, '"');
}

void json_write_time(struct json *json, struct wall time) {
    if (time.ms == 0 || time.ms != json->time.ms) {
        json->time = time;
        json->time_text[0] = '"';
        wall_format(time, json->time_text + 1);
        json->time_text[TIME_LENGTH - 1] = '"';
    }
    put(json, json->time_text, TIME_LENGTH);
}
