#include "base/json_read.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static _Thread_local bool reading;

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory && reading) {
        log_error("host", "there is no memory to read JSON: it ends here, to be started again");
        abort();
    }
    return memory;
}

void json_read_init(void) {
    json_set_alloc_funcs(allocate, free);
}

json_t *json_read(const char *text, size_t length, size_t flags, json_error_t *error) {
    reading = true;
    json_t *tree = json_loadb(text, length, flags, error);
    reading = false;
    return tree;
}

json_t *json_read_text(const char *text, size_t flags, json_error_t *error) {
    return json_read(text, strlen(text), flags, error);
}
