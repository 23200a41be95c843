#include "api/json.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"

#define KEY_MARKS   3              /* quotes, colon */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for bytes that are not UTF-8 */

void json_start(struct json *json, struct buf *out) {
    *json = (struct json){.out = out};
}

static void wrote(struct buf *out, const char *end) {
    buf_wrote(out, (size_t)(end - out->data) - out->length);
}

/* A value that is text already. */
static void put(struct json *json, const char *text, size_t length) {
    char *to = buf_room(json->out, length + json->comma);
    if (to) {
        if (json->comma)
            *to++ = ',';
        memcpy(to, text, length);
        wrote(json->out, to + length);
    }
    json->comma = true;
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

void json_key(struct json *json, const char *key) {
    size_t length = strlen(key);
    char *to = buf_room(json->out, length + KEY_MARKS + json->comma);
    if (to) {
        if (json->comma)
            *to++ = ',';
        *to++ = '"';
        memcpy(to, key, length + 1); /* its NUL makes way for the quote */
        to += length;
        *to++ = '"';
        *to++ = ':';
        wrote(json->out, to);
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

void json_write_integer(struct json *json, int64_t value) {
    char text[DECIMAL_SIZE];
    put(json, text, decimal_integer(value, text));
}

void json_write_double(struct json *json, double value) {
    char text[DECIMAL_SIZE];
    if (!isfinite(value)) {
        json_write_null(json);
        return;
    }
    put(json, text, decimal_double(value, text));
}

/* Length of the UTF-8 sequence at `at` (1..4), 0 when it is none. Overlong forms, surrogates and
 * what lies beyond U+10FFFF are none. The text ends with NUL, which is never a continuation. */
static size_t sequence_length(const unsigned char *at) {
    if (at[0] < 0x80)
        return 1;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
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
    char *to = buf_room(json->out, length + 2 + json->comma);
    if (!to)
        return;
    if (json->comma)
        *to++ = ',';
    json->comma = true;
    *to++ = '"';
    memcpy(to, text, length + 1);
    to += length;
    if (!*at) {
        *to++ = '"';
        wrote(json->out, to);
        return;
    }
    wrote(json->out, to);
    while (*at) {
        length = sequence_length(at);
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
        memcpy(json->time_text + strlen(json->time_text), "\"", 2);
    }
    json_write_raw(json, json->time_text);
}

void json_put_null(struct json *json, const char *key) {
    json_key(json, key);
    json_write_null(json);
}

void json_put_boolean(struct json *json, const char *key, bool value) {
    json_key(json, key);
    json_write_boolean(json, value);
}

void json_put_integer(struct json *json, const char *key, int64_t value) {
    json_key(json, key);
    json_write_integer(json, value);
}

void json_put_double(struct json *json, const char *key, double value) {
    json_key(json, key);
    json_write_double(json, value);
}

void json_put_string(struct json *json, const char *key, const char *text) {
    json_key(json, key);
    json_write_string(json, text);
}

void json_put_known(struct json *json, const char *key, const char *text) {
    json_put_string(json, key, text && text[0] ? text : NULL);
}

void json_put_time(struct json *json, const char *key, struct wall time) {
    json_key(json, key);
    if (time.ms > 0)
        json_write_time(json, time);
    else
        json_write_null(json);
}

void json_put_raw(struct json *json, const char *key, const char *value) {
    json_key(json, key);
    json_write_raw(json, value);
}
