/* The files of the web page and of the API reference: a closed list, read once at start into
 * memory, so that no request ever touches the file system and nothing beside the list can be asked
 * for. Immutable, any thread. */
#ifndef DERD_API_PAGE_H
#define DERD_API_PAGE_H

#include <stddef.h>

#define PAGE_FILES        9
#define PAGE_FILE_MAXIMUM ((size_t)2 * 1024 * 1024)
#define PAGE_TAG_SIZE     36 /* quotes, 32 hexadecimal digits, NUL */

struct page_file {
    const char *path; /* of the URL, "/app.js" */
    const char *content_type;
    char *data; /* NULL: the file is missing */
    size_t length;
    char tag[PAGE_TAG_SIZE]; /* strong ETag, of the content */
};

struct page {
    struct page_file files[PAGE_FILES];
    struct page_file openapi; /* composed from the parts in openapi/ */
};

/* Missing files are logged; their paths answer 404. */
void page_load(struct page *page, const char *root);
void page_free(struct page *page);
/* The file at a URL's first step ("" is the page itself), or NULL. */
const struct page_file *page_find(const struct page *page, const char *step);

#endif
