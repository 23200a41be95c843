/* Log lines on standard error: time, level, subject, text. One line per event, written with one
 * write(2), so lines of several threads never mix. The level is the one process-wide setting. */
#ifndef DERD_BASE_LOG_H
#define DERD_BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
bool log_level_parse(const char *name, enum log_level *level);
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
