#include "base/err.h"

const char *err_name(enum err err) {
    static const char *const names[] = {
        [ERR_OK] = "ok",
        [ERR_MEMORY] = "memory",
        [ERR_FULL] = "full",
        [ERR_RANGE] = "range",
        [ERR_FORMAT] = "format",
        [ERR_IO] = "io",
        [ERR_NOT_FOUND] = "not found",
        [ERR_CONFLICT] = "conflict",
        [ERR_TIMEOUT] = "timeout",
        [ERR_CLOSED] = "closed",
        [ERR_LIMIT] = "limit",
        [ERR_REFUSED] = "refused",
    };
    return names[err];
}
