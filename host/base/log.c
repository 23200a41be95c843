#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_limit.h"
#include "base/log_line.h"

static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;
static log_sink *_Atomic current_sink;
static void *_Atomic current_context;
static _Thread_local const char *current_request;

static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_limit limit;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* --- settings --------------------------------------------------------------------------------- */

void log_set_level(enum log_level level) {
    atomic_store(&current_level, (int)level);
}

enum log_level log_level_now(void) {
    return (enum log_level)atomic_load(&current_level);
}

const char *log_level_name(enum log_level level) {
    return level_names[level];
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

void log_set_format(enum log_format format) {
    atomic_store(&current_format, (int)format);
}

/* JOURNAL_STREAM names the journal's device and inode (systemd.exec(5)). */
static bool is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char own[64];
    if (!stream || fstat(STDERR_FILENO, &status) != 0)
        return false;
    snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(own, stream) == 0;
}

bool log_format_parse(const char *name, enum log_format *format) {
    bool json = strcmp(name, "json") == 0;
    if (!json && strcmp(name, "text") != 0)
        return false;
    *format = json ? LOG_FORMAT_JSON : is_journal() ? LOG_FORMAT_JOURNAL : LOG_FORMAT_TEXT;
    return true;
}

const char *log_format_name(void) {
    return atomic_load(&current_format) == LOG_FORMAT_JSON ? "json" : "text";
}

void log_set_request(const char *request_id) {
    current_request = request_id;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void show(const struct log_entry *entry) {
    char line[LOG_LINE_SIZE];
    log_sink *sink = atomic_load(&current_sink);
    enum log_format format = (enum log_format)atomic_load(&current_format);
    size_t length = log_line_render(sink ? LOG_FORMAT_TEXT : format, entry, line);
    if (sink) {
        line[length - 1] = '\0';
        sink(atomic_load(&current_context), entry->level, line);
        return;
    }
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

void log_settle(bool end) {
    struct log_place place;
    for (;;) {
        struct mono now = clock_mono();
        pthread_mutex_lock(&limit_lock);
        bool over = log_limit_over(&limit, now, end, &place);
        pthread_mutex_unlock(&limit_lock);
        if (!over)
            return;
        const struct log_entry entry = {.at = clock_wall(),
                                        .level = place.level,
                                        .subject = place.subject,
                                        .text = place.text,
                                        .repeated = place.left_out,
                                        .repeated_s = LOG_LIMIT_WINDOW_MS / 1000};
        show(&entry);
    }
}

/* Debugging wants all. */
static bool may_show(enum log_level level, const char *subject, const char *format,
                     const char *text) {
    if (level == LOG_LEVEL_DEBUG || atomic_load(&current_sink))
        return true;
    struct mono now = clock_mono();
    pthread_mutex_lock(&limit_lock);
    bool shown = log_limit_take(&limit, format, subject, level, text, now);
    pthread_mutex_unlock(&limit_lock);
    return shown;
}

static void log_line(enum log_level level, const char *subject, const char *format,
                     va_list arguments) {
    if ((int)level > atomic_load(&current_level))
        return;
    char text[LOG_TEXT_SIZE];
    int length = vsnprintf(text, sizeof text, format, arguments);
    if (length >= (int)sizeof text)
        snprintf(text + sizeof text - 4, 4, "...");
    if (!may_show(level, subject, format, text))
        return;
    const struct log_entry entry = {.at = clock_wall(),
                                    .level = level,
                                    .subject = subject,
                                    .text = text,
                                    .request_id = current_request};
    show(&entry);
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
