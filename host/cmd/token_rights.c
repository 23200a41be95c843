#include "cmd/token_rights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/admin.h"
#include "token.h"

#define EXPIRES_DAYS 36500LL

/* The whole text as a number in 0..PRIORITY_MAXIMUM. */
static bool priority_read(const char *text, json_int_t *priority) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *priority = value;
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && value <= PRIORITY_MAXIMUM;
}

/* "30d", "12h" from now on, or a moment. */
static bool end_read(const char *text, char at[WALL_TEXT_SIZE]) {
    char *unit;
    struct wall end;
    errno = 0;
    long long count = strtoll(text, &unit, 10);
    bool counted = *text >= '0' && *text <= '9' && errno == 0 && count > 0 &&
                   count <= EXPIRES_DAYS * 24 && (strcmp(unit, "d") == 0 || strcmp(unit, "h") == 0);
    if (counted)
        end.ms = clock_wall().ms + count * (*unit == 'd' ? 24 : 1) * 3600000LL;
    else if (!wall_parse(text, strlen(text), &end))
        return false;
    wall_format(end, at);
    return true;
}

static json_t *scopes_list(unsigned scopes) {
    json_t *list = json_array();
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++)
        if (scopes >> i & 1)
            json_array_append_new(list, json_string(token_scope_name((enum token_scope)i)));
    return list;
}

static json_t *words_list(const char *text) {
    json_t *list = json_array();
    for (text += strspn(text, ","); *text; text += strspn(text, ",")) {
        size_t length = strcspn(text, ",");
        json_array_append_new(list, json_stringn(text, length));
        text += length;
    }
    return list;
}

bool token_rights_given(const struct token_rights *rights) {
    return rights->priority || rights->scopes || rights->expires || rights->clusters;
}

bool token_rights_add(const struct token_rights *rights, json_t *request, char *wrong,
                      size_t wrong_size) {
    json_int_t priority = ADMIN_DEFAULT_MAX_PRIORITY;
    char at[WALL_TEXT_SIZE];
    char word[TOKEN_SCOPES_TEXT_SIZE] = "";
    unsigned scopes = TOKEN_SCOPES_DEFAULT;
    json_t *clusters = rights->clusters ? words_list(rights->clusters) : NULL;
    size_t count = json_array_size(clusters);
    wrong[0] = '\0';
    if (rights->priority && !priority_read(rights->priority, &priority))
        snprintf(wrong, wrong_size, "--max-priority is a whole number from 0 to 2147483647, not %s",
                 rights->priority);
    else if (rights->scopes && !token_scopes_parse(rights->scopes, &scopes, word, sizeof word))
        snprintf(wrong, wrong_size,
                 "--scopes takes read, control, configure, scripts, admin, or all; not %s",
                 word[0] ? word : "nothing");
    else if (rights->expires && !end_read(rights->expires, at))
        snprintf(wrong, wrong_size,
                 "--expires is a time from now on like 30d or 12h, or a moment like "
                 "2030-01-31T18:00:00Z, not %s",
                 rights->expires);
    else if (rights->clusters && (count == 0 || count > TOKEN_CLUSTERS_MAXIMUM))
        snprintf(wrong, wrong_size, "--clusters takes 1 to %d keys or ids, parted by commas",
                 TOKEN_CLUSTERS_MAXIMUM);
    json_object_set_new(request, "maxPriority", json_integer(priority));
    json_object_set_new(request, "scopes", scopes_list(scopes));
    if (rights->expires && !wrong[0])
        json_object_set_new(request, "expiresAt", json_string(at));
    if (clusters)
        json_object_set_new(request, "clusters", clusters);
    return !wrong[0];
}
