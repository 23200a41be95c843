#include "base/log_line.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define TAIL 200 /* bytes that are kept for what follows the text */

struct line {
    char *to;
    size_t length, room;
    bool cut;
};

static void put(struct line *line, const char *text) {
    size_t length = strlen(text);
    if (length > line->room - line->length) {
        line->cut = true;
        return;
    }
    memcpy(line->to + line->length, text, length);
    line->length += length;
}

static void put_format(struct line *line, const char *format, ...) printf_like(2, 3);
static void put_format(struct line *line, const char *format, ...) {
    char text[TAIL];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(line, text);
}

/* Bytes of the character at `at` when it is one that is no control character, neither of ASCII nor
 * of C1; else 0. */
static size_t character(const unsigned char *at) {
    if (at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
        return 0;
    return utf8_length(at, UTF8_TO_NUL);
}

/* Up to `most` bytes of it. */
static void put_clean(struct line *line, const char *text, bool json, size_t most) {
    size_t end = line->length + most < line->room ? line->length + most : line->room;
    struct line part = {line->to, line->length, end - 3, false}; /* "..." fits in any case */
    const unsigned char *at = (const unsigned char *)text;
    while (*at && !part.cut) {
        char one[8] = "";
        size_t length = character(at);
        if (length == 0)
            snprintf(one, sizeof one, "%s", *at < 0x20 || *at == 0x7f ? " " : "\xef\xbf\xbd");
        else if (json && (*at == '"' || *at == '\\'))
            snprintf(one, sizeof one, "\\%c", *at);
        else
            memcpy(one, at, length);
        put(&part, one);
        at += length ? length : 1;
    }
    line->length = part.length;
    if (part.cut)
        put(line, "...");
}

static void render_plain(struct line *line, enum log_format format, const struct log_entry *entry) {
    static const int priorities[] = {3, 4, 6, 7}; /* syslog's */
    char at[WALL_TEXT_SIZE];
    wall_format(entry->at, at);
    if (format == LOG_FORMAT_JOURNAL)
        put_format(line, "<%d>", priorities[entry->level]);
    else
        put_format(line, "%s %-7s ", at, log_level_name(entry->level));
    put_clean(line, entry->subject, false, 600);
    put(line, ": ");
    if (entry->repeated)
        put_format(line, "repeated %u more times in %d s: ", entry->repeated, entry->repeated_s);
    put_clean(line, entry->text, false, line->room - line->length - TAIL);
    if (entry->request_id && !strstr(entry->text, entry->request_id)) {
        put(line, " (request ");
        put_clean(line, entry->request_id, false, 100);
        put(line, ")");
    }
}

static void render_json(struct line *line, const struct log_entry *entry) {
    char at[WALL_TEXT_SIZE];
    wall_format(entry->at, at);
    put_format(line, "{\"time\": \"%s\", \"level\": \"%s\", \"subject\": \"", at,
               log_level_name(entry->level));
    put_clean(line, entry->subject, true, 600);
    put(line, "\", \"text\": \"");
    put_clean(line, entry->text, true, line->room - line->length - TAIL);
    put(line, "\"");
    if (entry->request_id) {
        put(line, ", \"requestId\": \"");
        put_clean(line, entry->request_id, true, 100);
        put(line, "\"");
    }
    if (entry->repeated)
        put_format(line, ", \"repeated\": %u, \"repeatedSeconds\": %d", entry->repeated,
                   entry->repeated_s);
    put(line, "}");
}

size_t log_line_render(enum log_format format, const struct log_entry *entry,
                       char to[LOG_LINE_SIZE]) {
    struct line line = {to, 0, LOG_LINE_SIZE - 3, false};
    if (format == LOG_FORMAT_JSON)
        render_json(&line, entry);
    else
        render_plain(&line, format, entry);
    to[line.length++] = '\n';
    to[line.length] = '\0';
    return line.length;
}
