#include "api/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    separate(json);
    buf_char(json->out, '"');
    buf_text(json->out, key);
    buf_append(json->out, "\":", 2);
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
    separate(json);
    buf_format(json->out, "%" PRId64, value);
}

/* `value` with `digits` significant digits, without exponent, without trailing zeros. */
static void fixed_text(double value, int digits, char *text, size_t size) {
    int decimals = digits - 1 - (int)floor(log10(fabs(value)));
    snprintf(text, size, "%.*f", decimals > 0 ? decimals : 0, value);
    char *point = strchr(text, '.');
    if (!point)
        return;
    char *end = text + strlen(text);
    while (end[-1] == '0')
        *--end = '\0';
    if (end[-1] == '.')
        end[-1] = '\0';
}

void json_write_double(struct json *json, double value) {
    char text[48];
    double magnitude = fabs(value);
    if (!isfinite(value)) {
        json_write_null(json);
        return;
    }
    if (magnitude < 1e15 && value == floor(value)) {
        json_write_integer(json, (int64_t)value);
        return;
    }
    bool fixed = magnitude >= 1e-9 && magnitude < 1e15;
    for (int digits = 15; digits <= 17; digits++) {
        if (fixed)
            fixed_text(value, digits, text, sizeof text);
        else
            snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    json_write_raw(json, text);
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

void json_write_string(struct json *json, const char *text) {
    if (!text) {
        json_write_null(json);
        return;
    }
    separate(json);
    buf_char(json->out, '"');
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *plain = at; /* start of what can be copied as it is */
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
    char text[WALL_TEXT_SIZE];
    wall_format(time, text);
    json_write_string(json, text);
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
