#include "ask/ask_audit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "ask/ask_internal.h"
#include "base/json_read.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "device.h"
#include "engine.h"
#include "site_changes.h"

#define CONSTRAINT_TEXT_MAX 2000
#define NAME_SIZE           ((size_t)2 * KEY_SIZE)

static const char *account_of(const struct engine *engine, const char *cluster_key) {
    const struct site_cluster *cluster =
        engine->site ? site_cluster_find(engine->site, cluster_key) : NULL;
    return cluster ? cluster->account : ACCOUNT_ROOT;
}

/* --- constraints ----------------------------------------------------------------------------- */

static void put_percent(struct json *json, const char *key, bool has, double value) {
    if (has)
        json_put_double(json, key, value);
}

static void put_watts(struct json *json, const char *key, bool has, int32_t power) {
    if (has)
        json_put_integer(json, key, power);
}

/* What was asked for, in the words of the API; what has no opinion is left out. To be freed. */
static char *constraint_text(const struct constraint *constraint) {
    const struct wish *wish = &constraint->wish;
    struct buf text;
    struct json json;
    buf_init(&text, CONSTRAINT_TEXT_MAX);
    json_start(&json, &text);
    json_object_open(&json);
    json_put_integer(&json, "priority", wish->priority);
    if (constraint->scope != SCOPE_NONE)
        json_put_string(&json, "scope", scope_name(constraint->scope));
    put_watts(&json, "activePower", wish->has_set, wish->set);
    put_watts(&json, "minActivePower", wish->has_min, wish->min);
    put_watts(&json, "maxActivePower", wish->has_max, wish->max);
    put_percent(&json, "minStateOfCharge", wish->has_min_soc, wish->min_soc);
    put_percent(&json, "maxStateOfCharge", wish->has_max_soc, wish->max_soc);
    if (constraint->has_current) {
        json_key(&json, "maxCurrentPhases");
        json_array_open(&json);
        for (int i = 0; i < 3; i++)
            json_write_double(&json, constraint->max_current[i]);
        json_array_close(&json);
    }
    json_put_time(&json, "validAt", constraint->valid_at);
    json_put_time(&json, "invalidAt", constraint->invalid_at);
    put_percent(&json, "validFor", constraint->valid_for_ms > 0,
                (double)constraint->valid_for_ms / 1000.0);
    json_put_string(&json, "onConflict", on_conflict_name(wish->on_conflict));
    if (wish->exclusive)
        json_put_boolean(&json, "exclusive", true);
    if (constraint->reason[0])
        json_put_string(&json, "reason", constraint->reason);
    json_put_string(&json, "createdBy", constraint->created_by);
    json_object_close(&json);
    return buf_take(&text);
}

/* Where the constraint stands; a target that has left is only named by its id. */
static void fill_place(struct engine *engine, const char *target_id, char name[NAME_SIZE],
                       struct audit_target *target) {
    const struct device *device = engine_device_by_id(engine, target_id);
    const struct cluster *cluster = device ? NULL : engine_cluster_by_id(engine, target_id);
    target->name = name;
    target->owner = ACCOUNT_ROOT;
    snprintf(name, NAME_SIZE, "%s", device ? device->site->path : cluster ? cluster->key : "");
    if (device) {
        target->device_id = device->id;
        target->cluster_id = device->cluster_id;
        target->owner = account_of(engine, device->cluster_key);
    } else {
        target->cluster_id = target_id;
        if (cluster)
            target->owner = account_of(engine, cluster->key);
    }
}

bool ask_audit_change(const struct ask *ask, const struct constraint *before,
                      const struct constraint *after, struct audit_record **list) {
    struct audit_origin origin = ask->asker.origin;
    if (!audit_wanted(&origin) || (!before && !after))
        return true;
    char name[NAME_SIZE];
    struct audit_target target = {.kind = "constraint", .id = after ? after->id : before->id};
    char *text_before = before ? constraint_text(before) : NULL;
    char *text_after = after ? constraint_text(after) : NULL;
    struct audit_record *record = NULL;
    origin.status = !after ? 204 : ask->terms.batch || before ? 200 : 201;
    fill_place(ask->engine, ask->target_id, name, &target);
    if (!before == !text_before && !after == !text_after)
        record = audit_record_new(&origin, AUDIT_CONSTRAINT, &target, text_before, text_after);
    if (record)
        audit_record_add(list, record);
    free(text_before);
    free(text_after);
    return record != NULL;
}

bool ask_audit_changes(const struct ask *ask, const struct book *book, struct audit_record **list) {
    bool whole = true;
    struct constraint room;
    for (size_t i = 0; i < ask->count && whole; i++)
        whole =
            ask_audit_change(ask, book_read(book, ask->items[i]->id, &room), ask->items[i], list);
    for (size_t i = 0; i < ask->makes_way_count && whole; i++)
        whole = ask_audit_change(ask, book_read(book, ask->makes_way[i], &room), NULL, list);
    if (ask->constraint_id[0] && whole)
        whole = ask_audit_change(ask, book_read(book, ask->constraint_id, &room), NULL, list);
    if (!whole) {
        audit_records_free(*list);
        *list = NULL;
    }
    return whole;
}

/* --- clusters and devices ----------------------------------------------------------------------
 */

/* The site file's fields, and who it belongs to. A password in it is the name of a file. To be
 * freed. */
static char *made_text(bool is_device, const struct made *made) {
    json_t *tree = json_copy(made->entry);
    json_object_set_new(tree, "key", json_string(made->key));
    if (!is_device) {
        json_object_set_new(tree, "account", json_string(made->owner));
        json_object_set_new(tree, "parentId",
                            made->parent_id[0] ? json_string(made->parent_id) : json_null());
    }
    char *text = tree ? json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(tree);
    return text;
}

static void fill_cluster(const struct engine *engine, const char *cluster_id,
                         struct audit_target *target) {
    target->cluster_id = cluster_id;
    target->owner = ACCOUNT_ROOT;
    for (size_t i = 0; engine->site && i < engine->site->cluster_count; i++)
        if (strcmp(engine->site->clusters[i].id, cluster_id) == 0)
            target->owner = engine->site->clusters[i].account;
}

bool ask_audit_made(struct engine *engine, const struct audit_origin *origin, bool is_device,
                    const struct made *before, const struct made *after,
                    struct audit_record **list) {
    if (!audit_wanted(origin))
        return true;
    const struct made *made = after ? after : before;
    struct audit_target target = {
        .kind = is_device ? "device" : "cluster", .id = made->id, .name = made->key};
    if (is_device) {
        target.device_id = made->id;
        fill_cluster(engine, made->owner, &target);
    } else {
        target.cluster_id = made->id;
        target.owner = made->owner;
    }
    char *text_before = before ? made_text(is_device, before) : NULL;
    char *text_after = after ? made_text(is_device, after) : NULL;
    struct audit_record *record = NULL;
    if (!before == !text_before && !after == !text_after)
        record = audit_record_new(origin, AUDIT_REST, &target, text_before, text_after);
    if (record)
        audit_record_add(list, record);
    free(text_before);
    free(text_after);
    return record != NULL;
}

/* --- the site file ------------------------------------------------------------------------------
 */

static json_t *size_of_site(const struct site *file) {
    size_t devices = 0;
    for (size_t i = 0; i < file->cluster_count; i++)
        devices += file->clusters[i].device_count;
    return json_pack("{s:I, s:I}", "clusters", (json_int_t)file->cluster_count, "devices",
                     (json_int_t)devices);
}

/* As it is in force: what is under http and store stays as it was when the host started. */
static json_t *tree_in_force(const struct engine *engine, const struct site *file, json_t *before) {
    static const char *const at_start[] = {"http", "store"};
    json_t *tree = json_copy(file->tree);
    for (size_t i = 0; engine->file && before && i < 2; i++) {
        json_t *value = json_object_get(before, at_start[i]);
        if (value)
            json_object_set(tree, at_start[i], value);
        else
            json_object_del(tree, at_start[i]);
    }
    return tree;
}

static void tell_site(struct engine *engine, const json_t *was, const json_t *is) {
    struct audit_origin origin;
    const struct audit_target target = {
        .kind = "siteFile", .name = engine->site_path, .owner = ACCOUNT_ROOT};
    char *before = was ? json_dumps(was, JSON_COMPACT) : NULL;
    char *after = json_dumps(is, JSON_COMPACT);
    audit_origin_console(&origin, "the host took the site file up");
    origin.by = AUDIT_BY_SITE_FILE;
    struct audit_record *record =
        after ? audit_record_new(&origin, AUDIT_REST, &target, before, after) : NULL;
    if (record)
        store_put_audit(engine->store, record);
    else
        log_error("site", "no memory: the audit log lacks a change of the site file");
    free(before);
    free(after);
}

static json_t *taken_before(struct engine *engine) {
    if (engine->file)
        return json_incref(engine->site_taken);
    char *text = store_get_text(engine->store, "site", "taken");
    json_t *tree = text ? json_read_text(text, 0, NULL) : NULL;
    free(text);
    return tree;
}

void ask_audit_site(struct engine *engine, const struct site *file) {
    json_t *before = taken_before(engine);
    json_t *tree = tree_in_force(engine, file, before);
    json_t *was = NULL, *is = NULL;
    bool same = before && json_equal(before, tree);
    if (!before)
        is = size_of_site(file);
    else if (same && engine->file)
        is = json_pack("{s:s}", "passwords", "read again from their files");
    else if (!same)
        (void)site_changes(before, tree, AUDIT_VALUE_MAX, &was, &is);
    char *text = same ? NULL : json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
    /* One that is too long to be kept is told by its size at each start. */
    if (text && store_put_text(engine->store, "site", "taken",
                               strlen(text) <= STORE_TEXT_MAXIMUM ? text : NULL, NULL, NULL))
        log_warning("site", "what the site file says now could not be stored");
    if (is)
        tell_site(engine, was, is);
    free(text);
    json_decref(before);
    json_decref(engine->site_taken);
    engine->site_taken = tree;
    json_decref(was);
    json_decref(is);
}
