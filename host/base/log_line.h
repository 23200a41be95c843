/* One line of the log as bytes. Pure: whatever the text holds, the line is one line, of valid
 * UTF-8, without control characters; as JSON it is one object. */
#ifndef DERD_BASE_LOG_LINE_H
#define DERD_BASE_LOG_LINE_H

#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"

#define LOG_LINE_SIZE 4096 /* with the line's end */
#define LOG_TEXT_SIZE 2048

struct log_entry {
    struct wall at;
    enum log_level level;
    const char *subject;
    const char *text;
    const char *request_id; /* NULL: of no request */
    unsigned repeated;      /* so many more were left out since the first; 0: none */
    int repeated_s;         /* within so many seconds */
};

/* Length of the line, with "\n" at its end and a NUL behind; what does not fit is cut at a whole
 * character and ends in "...".
 *   text     2026-11-27T16:00:00.000Z warning home/wallbox: the text (request 1a-2)
 *   journal  <4>home/wallbox: the text (request 1a-2)     as sd-daemon(3) says; journald has the
 * time json     {"time": ..., "level": ..., "subject": ..., "text": ..., "requestId": ...,
 *             "repeated": ..., "repeatedSeconds": ...}    the last three where there are some */
size_t log_line_render(enum log_format format, const struct log_entry *entry,
                       char line[LOG_LINE_SIZE]);

#endif
