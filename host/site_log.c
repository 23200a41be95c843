#include "site_log.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/luadata.h"
#include "site.h"

static const char *const levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const formats[] = {"text", "json", NULL};

const struct schema site_log_fields[] = {
    {.key = "level",
     .kind = SCHEMA_ENUM,
     .one_of = levels,
     .help = "what is shown in the log, \"info\" when left out"},
    {.key = "format",
     .kind = SCHEMA_ENUM,
     .one_of = formats,
     .help = "its form, \"text\" when left out"},
    {0},
};

void site_log_apply(const json_t *tree) {
    const json_t *log = json_object_get(tree, "log");
    enum log_level level;
    enum log_format format;
    if (log_level_parse(tree_string(log, "level", ""), &level))
        log_set_level(level);
    if (log_format_parse(tree_string(log, "format", ""), &format))
        log_set_format(format);
}

void site_log_peek(const char *path) {
    struct report report;
    size_t length;
    report_init(&report);
    char *text = file_read(path, SITE_FILE_MAXIMUM, &length, &report);
    json_t *tree = text ? luadata_load(path, text, length, &report) : NULL;
    site_log_apply(tree);
    json_decref(tree);
    free(text);
    report_free(&report);
}
