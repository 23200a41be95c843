/* Records of the audit log while they are on their way: one block on the heap each, with copies of
 * all that they say. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

#define HASH_BYTES    16
#define LEFT_OUT_SIZE 120

const char *audit_by_name(enum audit_by by) {
    static const char *const names[] = {[AUDIT_BY_NOBODY] = "",
                                        [AUDIT_BY_TOKEN] = "token",
                                        [AUDIT_BY_SESSION] = "session",
                                        [AUDIT_BY_CONSOLE] = "console",
                                        [AUDIT_BY_SITE_FILE] = "siteFile"};
    return names[by];
}

bool audit_wanted(const struct audit_origin *origin) {
    return origin && origin->by != AUDIT_BY_NOBODY;
}

void audit_origin_console(struct audit_origin *origin, const char *command) {
    *origin = (struct audit_origin){
        .by = AUDIT_BY_CONSOLE, .account = ACCOUNT_ROOT, .from = AUDIT_CONSOLE};
    snprintf(origin->action, sizeof origin->action, "%s", command);
}

/* What stands for a value that is too long: enough to tell two of them apart. */
static void leave_out(const char *value, size_t length, char text[LEFT_OUT_SIZE]) {
    unsigned char hash[HASH_BYTES];
    char hex[2 * HASH_BYTES + 1];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)value, length, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    snprintf(text, LEFT_OUT_SIZE, "{\"leftOut\":true,\"bytes\":%zu,\"blake2b128\":\"%s\"}", length,
             hex);
}

/* The value as it will be kept: itself, or what stands for it, in `text`. */
static const char *bounded(const char *value, char text[LEFT_OUT_SIZE]) {
    size_t length = value ? strlen(value) : 0;
    if (length <= AUDIT_VALUE_MAX)
        return value;
    leave_out(value, length, text);
    return text;
}

static const char *or_nothing(const char *text) {
    return text ? text : "";
}

static char *take(char **at, const char *text) {
    size_t size = strlen(text) + 1;
    char *taken = memcpy(*at, text, size);
    *at += size;
    return taken;
}

struct audit_record *audit_record_new(const struct audit_origin *origin, enum audit_class class,
                                      const struct audit_target *target, const char *before,
                                      const char *after) {
    char before_text[LEFT_OUT_SIZE], after_text[LEFT_OUT_SIZE];
    const char *texts[] = {or_nothing(target->kind),       or_nothing(target->name),
                           or_nothing(target->cluster_id), or_nothing(target->device_id),
                           or_nothing(target->owner),      bounded(before, before_text),
                           bounded(after, after_text)};
    const size_t count = sizeof texts / sizeof *texts;
    size_t size = sizeof(struct audit_record);
    if (!audit_wanted(origin))
        return NULL;
    for (size_t i = 0; i < count; i++)
        size += texts[i] ? strlen(texts[i]) + 1 : 0;
    struct audit_record *record = calloc(1, size);
    if (!record)
        return NULL;
    char *at = record->texts;
    char **const fields[] = {&record->target_kind, &record->target_name, &record->cluster_id,
                             &record->device_id,   &record->owner,       &record->before,
                             &record->after};
    for (size_t i = 0; i < count; i++)
        *fields[i] = texts[i] ? take(&at, texts[i]) : NULL;
    record->class = class;
    record->at = clock_wall();
    record->origin = *origin;
    record->durable = true;
    record->size = size;
    audit_record_name(record, or_nothing(target->id));
    return record;
}

/* What a token may do, never its text or hash. To be freed. */
static char *token_text(const struct token *token) {
    char until[WALL_TEXT_SIZE];
    json_t *scopes = json_array(), *clusters = json_array();
    for (int i = 0; i < TOKEN_SCOPE_COUNT; i++)
        if (token_has(token, (enum token_scope)i))
            json_array_append_new(scopes, json_string(token_scope_name((enum token_scope)i)));
    for (size_t i = 0; i < token->cluster_count; i++)
        json_array_append_new(clusters, json_string(token->clusters[i]));
    wall_format(token->expires_at, until);
    json_t *tree = json_pack("{s:o, s:i, s:o, s:s?}", "scopes", scopes, "maxPriority",
                             (int)token->max_priority, "clusters", clusters, "expiresAt",
                             token->expires_at.ms ? until : NULL);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    return text;
}

struct audit_record *audit_record_token(const struct audit_origin *origin,
                                        const struct token *before, const struct token *after,
                                        const char *name) {
    const struct token *token = after ? after : before;
    if (!token)
        return NULL;
    const struct audit_target target = {.kind = "token",
                                        .id = token->id,
                                        .name = before ? before->name : name,
                                        .owner = token->account[0] ? token->account : ACCOUNT_ROOT};
    char *text_before = before ? token_text(before) : NULL;
    char *text_after = after ? token_text(after) : NULL;
    struct audit_record *record = NULL;
    if (!before == !text_before && !after == !text_after)
        record = audit_record_new(origin, AUDIT_REST, &target, text_before, text_after);
    free(text_before);
    free(text_after);
    return record;
}

void audit_record_name(struct audit_record *record, const char *target_id) {
    if (record)
        snprintf(record->target_id, sizeof record->target_id, "%s", target_id);
}

void audit_record_add(struct audit_record **list, struct audit_record *record) {
    while (*list)
        list = &(*list)->next;
    *list = record;
}

void audit_records_free(struct audit_record *list) {
    while (list) {
        struct audit_record *next = list->next;
        free(list);
        list = next;
    }
}

void audit_records_not_durable(struct audit_record *list) {
    for (; list; list = list->next) {
        list->durable = false;
        list->origin.status = 202;
    }
}
