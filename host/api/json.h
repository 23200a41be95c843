/* A small JSON writer on a bounded text buffer, for the API's answers (0.1 microseconds where a
 * tree of values would cost many). It places commas by itself; the caller keeps the nesting right:
 * a key before each value inside an object, none inside an array. Unknown numbers (NAN, infinite)
 * become null; text from devices that is not UTF-8 is made so. What does not fit fails the buffer.
 */
#ifndef DERD_API_JSON_H
#define DERD_API_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

struct json {
    struct buf *out;
    bool comma;       /* the next key or value needs one before it */
    struct wall time; /* the last one written, since many values are of one moment; ms 0: none */
    char time_text[WALL_TEXT_SIZE + 1]; /* with its quotes */
};

void json_start(struct json *json, struct buf *out);
void json_object_open(struct json *json);
void json_object_close(struct json *json);
void json_array_open(struct json *json);
void json_array_close(struct json *json);
void json_key_of(struct json *json, const char *key, size_t length);
/* Plain ASCII, not escaped. Inline, since the length of most is known when it is compiled. */
static inline void json_key(struct json *json, const char *key) {
    json_key_of(json, key, strlen(key));
}

void json_write_null(struct json *json);
void json_write_boolean(struct json *json, bool value);
void json_write_integer(struct json *json, int64_t value);
/* The shortest decimal that reads back as the same double; no exponent between 1e-9 and 1e15. */
void json_write_double(struct json *json, double value);
void json_write_string(struct json *json, const char *text); /* NULL: null */
void json_write_time(struct json *json, struct wall time);
void json_write_raw(struct json *json, const char *value); /* text that is JSON already */

/* A member of an object: key and value in one call. */
static inline void json_put_null(struct json *json, const char *key) {
    json_key(json, key);
    json_write_null(json);
}
static inline void json_put_boolean(struct json *json, const char *key, bool value) {
    json_key(json, key);
    json_write_boolean(json, value);
}
static inline void json_put_integer(struct json *json, const char *key, int64_t value) {
    json_key(json, key);
    json_write_integer(json, value);
}
static inline void json_put_double(struct json *json, const char *key, double value) {
    json_key(json, key);
    json_write_double(json, value);
}
static inline void json_put_string(struct json *json, const char *key, const char *text) {
    json_key(json, key);
    json_write_string(json, text);
}
/* "" is unknown: null. */
static inline void json_put_known(struct json *json, const char *key, const char *text) {
    json_put_string(json, key, text && text[0] ? text : NULL);
}
/* A moment at or before 1970 is unknown: null. */
static inline void json_put_time(struct json *json, const char *key, struct wall time) {
    json_key(json, key);
    if (time.ms > 0)
        json_write_time(json, time);
    else
        json_write_null(json);
}
static inline void json_put_raw(struct json *json, const char *key, const char *value) {
    json_key(json, key);
    json_write_raw(json, value);
}

#endif
