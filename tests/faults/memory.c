#include "memory.h"

#include <malloc.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"

static atomic_int_fast64_t requests, failures, fail_at, fail_count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);

static bool fails(void) {
    int_fast64_t number = atomic_fetch_add(&requests, 1) + 1;
    int_fast64_t first = atomic_load(&fail_at);
    if (!first || number < first || number - first >= atomic_load(&fail_count))
        return false;
    atomic_fetch_add(&failures, 1);
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text) {
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t most) {
    return fails() ? NULL : __real_strndup(text, most);
}

/* --- SQLite ---------------------------------------------------------------------------------- */

#define HEAD 16 /* its size stands before each block */

static void *sqlite_malloc(int size) {
    char *block = __wrap_malloc((size_t)size + HEAD);
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof size);
    return block + HEAD;
}

static void sqlite_free(void *memory) {
    if (memory)
        free((char *)memory - HEAD);
}

static void *sqlite_realloc(void *memory, int size) {
    char *block = __wrap_realloc((char *)memory - HEAD, (size_t)size + HEAD);
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof size);
    return block + HEAD;
}

static int sqlite_size(void *memory) {
    int size = 0;
    if (memory)
        memcpy(&size, (char *)memory - HEAD, sizeof size);
    return size;
}

static int sqlite_roundup(int size) {
    return (size + 7) & ~7;
}

static int sqlite_begin(void *context) {
    (void)context;
    return SQLITE_OK;
}

static void sqlite_end(void *context) {
    (void)context;
}

/* --------------------------------------------------------------------------------------------- */

void memory_insert(void) {
    static const sqlite3_mem_methods methods = {.xMalloc = sqlite_malloc,
                                                .xFree = sqlite_free,
                                                .xRealloc = sqlite_realloc,
                                                .xSize = sqlite_size,
                                                .xRoundup = sqlite_roundup,
                                                .xInit = sqlite_begin,
                                                .xShutdown = sqlite_end};
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
        sqlite3_initialize() != SQLITE_OK)
        abort();
    json_read_init();
}

void memory_fail(int64_t n, int64_t count) {
    atomic_store(&fail_at, 0);
    atomic_store(&failures, 0);
    atomic_store(&requests, 0);
    atomic_store(&fail_count, count);
    atomic_store(&fail_at, n);
}

int64_t memory_requests(void) {
    return atomic_load(&requests);
}

int64_t memory_failures(void) {
    return atomic_load(&failures);
}
