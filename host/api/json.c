#include "api/json.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"

#define KEY_MARKS   4              /* comma, quotes, colon */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for bytes that are not UTF-8 */

void json_start(struct json *json, struct buf *out) {
    *json = (struct json){.out = out};
}

static void separate(struct json *json) {
    if (json->comma)
        buf_char(json->out, ',');
    json->comma = true;
}

static void open_with(struct json *json, char bracket) {
    separate(json);
    buf_char(json->out, bracket);
    json->comma = false;
}

static void close_with(struct json *json, char bracket) {
    buf_char(json->out, bracket);
    json->comma = true;
}

void json_object_open(struct json *json) {
    open_with(json, '{');
}

void json_object_close(struct json *json) {
    close_with(json, '}');
}

void json_array_open(struct json *json) {
    open_with(json, '[');
}

void json_array_close(struct json *json) {
    close_with(json, ']');
}

void json_key(struct json *json, const char *key) {
    size_t length = strlen(key);
    char *to = buf_room(json->out, length + KEY_MARKS + json->comma);
    char *at = to;
    if (to) {
        if (json->comma)
            *at++ = ',';
        *at++ = '"';
        memcpy(at, key, length + 1); /* its NUL makes way for the quote */
        at += length;
        *at++ = '"';
        *at++ = ':';
        buf_wrote(json->out, (size_t)(at - to));
    }
    json->comma = false;
}

void json_write_raw(struct json *json, const char *value) {
    separate(json);
    buf_text(json->out, value);
}

void json_write_null(struct json *json) {
    json_write_raw(json, "null");
}

void json_write_boolean(struct json *json, bool value) {
    json_write_raw(json, value ? "true" : "false");
}

void json_write_integer(struct json *json, int64_t value) {
    char text[DECIMAL_SIZE];
    separate(json);
    buf_append(json->out, text, decimal_integer(value, text));
}

void json_write_double(struct json *json, double value) {
    if (!isfinite(value)) {
        json_write_null(json);
        return;
    }
    char text[DECIMAL_SIZE];
    separate(json);
    buf_append(json->out, text, decimal_double(value, text));
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

static void write_quoted(struct buf *out, const char *text, size_t length) {
    char *to = buf_room(out, length + 2);
    if (!to)
        return;
    to[0] = '"';
    memcpy(to + 1, text, length);
    to[length + 1] = '"';
    buf_wrote(out, length + 2);
}

void json_write_string(struct json *json, const char *text) {
    if (!text) {
        json_write_null(json);
        return;
    }
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *plain = at; /* start of what can be copied as it is */
    while (is_plain(*at))
        at++;
    separate(json);
    if (!*at) {
        write_quoted(json->out, text, (size_t)(at - plain));
        return;
    }
    buf_char(json->out, '"');
    while (*at) {
        size_t length = sequence_length(at);
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
    separate(json);
    buf_text(json->out, json->time_text);
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
