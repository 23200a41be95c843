#include "cmd/token_print.h"

#include <stdio.h>

#include "base/buf.h"

#define LIST_TEXT_MAXIMUM 1024

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Words of a list, parted by commas; "-" for none. */
static void words_format(const json_t *list, struct buf *text) {
    size_t i;
    const json_t *word;
    json_array_foreach(list, i, word)
        buf_format(text, "%s%s", i ? "," : "", json_string_value(word));
    if (text->length == 0)
        buf_text(text, "-");
}

static void row_print(const json_t *token) {
    struct buf scopes;
    struct buf clusters;
    const char *expires = text_of(token, "expiresAt");
    const char *used = text_of(token, "lastUsedAt");
    buf_init(&scopes, LIST_TEXT_MAXIMUM);
    buf_init(&clusters, LIST_TEXT_MAXIMUM);
    words_format(json_object_get(token, "scopes"), &scopes);
    words_format(json_object_get(token, "clusters"), &clusters);
    printf("%-12s  %-24s  %-16s  %12" JSON_INTEGER_FORMAT "  %-38s  %-24s  %-24s  %-24s  %s\n",
           text_of(token, "id"), text_of(token, "name"), text_of(token, "account"),
           json_integer_value(json_object_get(token, "maxPriority")), buf_string(&scopes),
           text_of(token, "createdAt"), expires[0] ? expires : "never", used[0] ? used : "never",
           buf_string(&clusters));
    buf_free(&scopes);
    buf_free(&clusters);
}

void token_list_print(const json_t *tokens) {
    size_t i;
    const json_t *token;
    if (json_array_size(tokens) == 0)
        fputs("there are no tokens; `derd token create` makes one\n", stderr);
    else
        printf("%-12s  %-24s  %-16s  %12s  %-38s  %-24s  %-24s  %-24s  %s\n", "ID", "NAME",
               "ACCOUNT", "MAX PRIORITY", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "CLUSTERS");
    json_array_foreach(tokens, i, token) row_print(token);
}

void token_made_print(const json_t *answer) {
    struct buf scopes;
    const char *expires = text_of(answer, "expiresAt");
    buf_init(&scopes, LIST_TEXT_MAXIMUM);
    words_format(json_object_get(answer, "scopes"), &scopes);
    fprintf(stderr,
            "A token named %s (id %s) for account %s: %s, priorities up to %" JSON_INTEGER_FORMAT
            ", %s%s%s. It is shown this once:\n",
            text_of(answer, "name"), text_of(answer, "id"), text_of(answer, "account"),
            buf_string(&scopes), json_integer_value(json_object_get(answer, "maxPriority")),
            expires[0] ? "until " : "without an end", expires,
            json_array_size(json_object_get(answer, "clusters")) ? ", for some clusters" : "");
    buf_free(&scopes);
    puts(text_of(answer, "token"));
}
