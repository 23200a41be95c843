#include "api/page.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
};

static void tag_make(struct page_file *file) {
    unsigned char hash[TAG_BYTES];
    char text[2 * TAG_BYTES + 1];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)file->data, file->length, NULL, 0);
    sodium_bin2hex(text, sizeof text, hash, sizeof hash);
    snprintf(file->tag, sizeof file->tag, "\"%s\"", text);
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
}

void page_free(struct page *page) {
    for (size_t i = 0; i < PAGE_FILES; i++) {
        free(page->files[i].data);
        page->files[i].data = NULL;
    }
}

const struct page_file *page_find(const struct page *page, const char *step) {
    for (size_t i = 0; i < PAGE_FILES; i++)
        if (page->files[i].data && strcmp(page->files[i].path + 1, step) == 0)
            return &page->files[i];
    return NULL;
}
