#include "api/page.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/openapi.h"
#include "base/log.h"
#include "base/luadata.h"

#define TAG_BYTES 16

static const struct {
    const char *path, *file, *content_type;
} known[PAGE_FILES] = {
    {"/", "index.html", "text/html; charset=utf-8"},
    {"/app.js", "app.js", "text/javascript; charset=utf-8"},
    {"/style.css", "style.css", "text/css; charset=utf-8"},
    {"/icon.svg", "icon.svg", "image/svg+xml"},
    {"/docs", "docs.html", "text/html; charset=utf-8"},
    {"/docs.js", "docs.js", "text/javascript; charset=utf-8"},
    {"/docs.css", "docs.css", "text/css; charset=utf-8"},
    {"/swagger-ui.js", "swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"},
    {"/swagger-ui.css", "swagger-ui/swagger-ui.css", "text/css; charset=utf-8"},
};

static void tag_make(struct page_file *file) {
    unsigned char hash[TAG_BYTES];
    char text[2 * TAG_BYTES + 1];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)file->data, file->length, NULL, 0);
    sodium_bin2hex(text, sizeof text, hash, sizeof hash);
    snprintf(file->tag, sizeof file->tag, "\"%s\"", text);
}

static void load_openapi(struct page_file *file, const char *root) {
    char folder[1024];
    struct report report;
    json_t *document = NULL;
    *file = (struct page_file){.path = "/v1/openapi.json", .content_type = "application/json"};
    report_init(&report);
    int length = snprintf(folder, sizeof folder, "%s/openapi", root);
    if (length > 0 && (size_t)length < sizeof folder)
        document = openapi_compose(folder, &report);
    for (size_t i = 0; i < report.count; i++)
        log_warning("openapi", "%s: %s", report.items[i].where, report.items[i].text);
    report_free(&report);
    file->data = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (file->data) {
        file->length = strlen(file->data);
        tag_make(file);
    } else {
        log_warning("openapi", "%s cannot be composed from %s, it will answer 404", file->path,
                    folder);
    }
}

void page_load(struct page *page, const char *root) {
    for (size_t i = 0; i < PAGE_FILES; i++) {
        struct page_file *file = &page->files[i];
        char path[1024];
        *file = (struct page_file){.path = known[i].path, .content_type = known[i].content_type};
        struct report report;
        report_init(&report);
        int length = snprintf(path, sizeof path, "%s/%s", root, known[i].file);
        if (length > 0 && (size_t)length < sizeof path)
            file->data = file_read(path, PAGE_FILE_MAXIMUM, &file->length, &report);
        if (file->data)
            tag_make(file);
        else
            log_warning("web page", "%s/%s cannot be read, %s will answer 404: %s", root,
                        known[i].file, known[i].path,
                        report.count ? report.items[0].text : "its path is too long");
        report_free(&report);
    }
    load_openapi(&page->openapi, root);
}

void page_free(struct page *page) {
    for (size_t i = 0; i < PAGE_FILES; i++) {
        free(page->files[i].data);
        page->files[i].data = NULL;
    }
    free(page->openapi.data);
    page->openapi.data = NULL;
}

const struct page_file *page_find(const struct page *page, const char *step) {
    for (size_t i = 0; i < PAGE_FILES; i++)
        if (page->files[i].data && strcmp(page->files[i].path + 1, step) == 0)
            return &page->files[i];
    return NULL;
}
