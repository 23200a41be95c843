#include "base/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define TEXT_MAXIMUM 1000

void report_init(struct report *report) {
    *report = (struct report){0};
}

void report_free(struct report *report) {
    for (size_t i = 0; i < report->count; i++) {
        free(report->items[i].where);
        free(report->items[i].text);
    }
    free(report->items);
    report_init(report);
}

/* Takes ownership of both texts. */
static void report_keep(struct report *report, char *where, char *text) {
    report->total++;
    if (report->count < REPORT_MAXIMUM && where && text) {
        struct mistake *items = realloc(report->items, (report->count + 1) * sizeof *report->items);
        if (items) {
            report->items = items;
            items[report->count++] = (struct mistake){where, text};
            return;
        }
    }
    free(where);
    free(text);
}

void report_add(struct report *report, const char *where, const char *format, ...) {
    struct buf text;
    buf_init(&text, TEXT_MAXIMUM);
    va_list arguments;
    va_start(arguments, format);
    buf_vformat(&text, format, arguments);
    va_end(arguments);
    if (text.failed) {
        buf_free(&text);
        buf_text(&text, "(a text too long to show)");
    }
    report_keep(report, strdup(where), buf_take(&text));
}

void report_move(struct report *to, struct report *from, const char *prefix) {
    for (size_t i = 0; i < from->count; i++) {
        struct buf where;
        buf_init(&where, TEXT_MAXIMUM);
        buf_text(&where, prefix);
        buf_text(&where, from->items[i].where);
        report_keep(to, buf_take(&where), from->items[i].text);
        free(from->items[i].where);
    }
    to->total += from->total - from->count;
    free(from->items);
    report_init(from);
}
