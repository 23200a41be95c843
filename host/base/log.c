#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_SIZE 2048

static _Atomic int current_level = LOG_LEVEL_INFO;
static log_sink *_Atomic current_sink;
static void *_Atomic current_context;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_set_level(enum log_level level) {
    atomic_store(&current_level, (int)level);
}

void log_set_sink(log_sink *sink, void *context) {
    atomic_store(&current_context, context);
    atomic_store(&current_sink, sink);
}

bool log_level_parse(const char *name, enum log_level *level) {
    for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

static void log_line(enum log_level level, const char *subject, const char *format,
                     va_list arguments) {
    if ((int)level > atomic_load(&current_level))
        return;
    char line[LINE_SIZE];
    char at[WALL_TEXT_SIZE];
    wall_format(clock_wall(), at);
    int head = snprintf(line, sizeof line, "%s %-7s %s: ", at, level_names[level], subject);
    size_t length = head < 0 ? 0 : (size_t)head;
    if (length >= sizeof line - 1)
        length = sizeof line - 2;
    int body = vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    if (body > 0)
        length += (size_t)body;
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    log_sink *sink = atomic_load(&current_sink);
    if (sink) {
        line[length] = '\0';
        sink(atomic_load(&current_context), level, line);
        return;
    }
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const char *subject, const char *format, ...) {                                      \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        log_line(level, subject, format, arguments);                                               \
        va_end(arguments);                                                                         \
    }

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
