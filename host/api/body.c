#include "api/body.h"
#include "base/json_read.h"

#include <stdbool.h>
#include <stdio.h>

/* True when arrays and objects nest at most BODY_DEPTH deep; else where it is too much. Text that
 * is not JSON is the parser's business: it stops at the first thing that is wrong, and up to there
 * this count is right. */
static bool depth_ok(const char *text, size_t length, int *line, int *column) {
    int depth = 0;
    bool in_string = false;
    *line = 1;
    *column = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        (*column)++;
        if (c == '\n') {
            (*line)++;
            *column = 0;
        }
        if (in_string) {
            if (c == '\\') {
                i++;
                (*column)++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > BODY_DEPTH)
                return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

json_t *body_parse(const char *text, size_t length, struct problem *problem) {
    int line;
    int column;
    problem->status = 400;
    if (!depth_ok(text, length, &line, &column)) {
        snprintf(problem->detail, sizeof problem->detail,
                 "The body nests more than %d deep at line %d, column %d.", BODY_DEPTH, line,
                 column);
        return NULL;
    }
    json_error_t error;
    json_t *tree = json_read(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!tree) {
        snprintf(problem->detail, sizeof problem->detail,
                 "The body is not JSON as it must be: %s (line %d, column %d).", error.text,
                 error.line, error.column);
        return NULL;
    }
    if (!json_is_object(tree)) {
        json_decref(tree);
        snprintf(problem->detail, sizeof problem->detail,
                 "The body must be a JSON object, like {\"priority\": 1000, ...} (line 1, column "
                 "1).");
        return NULL;
    }
    return tree;
}
