/* Log lines on standard error: time, level, subject, text. One line per event, written with one
 * write(2), so lines of several threads never mix. Level and form are the process-wide settings.
 *
 * Errors, warnings and infos of one place in the program about one subject are shown 20 times a
 * minute at most; how many more there were is told once, at the end of that minute. Secrets are
 * never given to these functions: of a URL that a client chose only scheme, host and port. */
#ifndef DERD_BASE_LOG_H
#define DERD_BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
    LOG_FORMAT_JOURNAL /* text for journald: chosen by itself where standard error goes there */
};

void log_set_level(enum log_level level);
bool log_level_parse(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);
enum log_level log_level_now(void);
/* "text" (LOG_FORMAT_JOURNAL where standard error is the journal) or "json". */
void log_set_format(enum log_format format);
bool log_format_parse(const char *name, enum log_format *format);
const char *log_format_name(void);
/* The request that this thread works on: lines say it. The text is lent until the next call; NULL:
 * none. */
void log_set_request(const char *request_id);
/* Tells what was left out and whose minute is over; all of it when `end`. To be called now and
 * then, and at the end. */
void log_settle(bool end);

/* Whole lines go to `sink` instead of standard error; NULL: back to it. Called on the thread that
 * logs, so it must take a lock of its own. Set it while no other thread logs. */
typedef void log_sink(void *context, enum log_level level, const char *line);
void log_set_sink(log_sink *sink, void *context);

/* `subject` says what the line is about: "home/wallbox", "drivers/sunspec.lua", "store". A line
 * break in the text becomes a space. Any thread. */
void log_error(const char *subject, const char *format, ...) printf_like(2, 3);
void log_warning(const char *subject, const char *format, ...) printf_like(2, 3);
void log_info(const char *subject, const char *format, ...) printf_like(2, 3);
void log_debug(const char *subject, const char *format, ...) printf_like(2, 3);

#endif
