#include "inventory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/merge_patch.h"
#include "base/schema.h"
#include "store/store.h"

/* --- records ---------------------------------------------------------------------------------- */

static void list_free(struct made_list *list) {
    for (size_t i = 0; i < list->count; i++)
        json_decref(list->items[i].entry);
    free(list->items);
    *list = (struct made_list){0};
}

void inventory_free(struct inventory *inventory) {
    list_free(&inventory->clusters);
    list_free(&inventory->devices);
}

static bool list_copy(const struct made_list *from, struct made_list *to) {
    *to = (struct made_list){0};
    to->items = calloc(from->count + 1, sizeof *to->items);
    if (!to->items)
        return false;
    to->count = from->count;
    to->capacity = from->count + 1;
    for (size_t i = 0; i < from->count; i++) {
        to->items[i] = from->items[i];
        json_incref(to->items[i].entry);
    }
    return true;
}

bool inventory_copy(const struct inventory *from, struct inventory *to) {
    *to = (struct inventory){0};
    if (list_copy(&from->clusters, &to->clusters) && list_copy(&from->devices, &to->devices))
        return true;
    inventory_free(to);
    return false;
}

static struct made_list *list_of(struct inventory *inventory, bool is_device) {
    return is_device ? &inventory->devices : &inventory->clusters;
}

bool inventory_add(struct inventory *inventory, bool is_device, struct made *made) {
    struct made_list *list = list_of(inventory, is_device);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct made *items = realloc(list->items, capacity * sizeof *items);
        if (!items) {
            json_decref(made->entry);
            return false;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *made;
    return true;
}

struct made *inventory_find(const struct inventory *inventory, bool is_device, const char *id) {
    const struct made_list *list = is_device ? &inventory->devices : &inventory->clusters;
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(list->items[i].id, id) == 0)
            return &list->items[i];
    return NULL;
}

static void list_remove(struct made_list *list, struct made *made) {
    json_decref(made->entry);
    size_t after = --list->count - (size_t)(made - list->items);
    memmove(made, made + 1, after * sizeof *made);
}

/* --- bodies ----------------------------------------------------------------------------------- */

/* What belongs to the resource but is not changed this way. */
static void check_fixed(const struct made *made, bool is_device, const json_t *body,
                        struct report *mistakes) {
    const json_t *key = json_object_get(body, "key");
    if (key && (!json_is_string(key) || strcmp(json_string_value(key), made->key) != 0))
        report_add(mistakes, "/key",
                   "a key is given once, since it stands in addresses that others hold; it stays "
                   "\"%s\"",
                   made->key);
    const json_t *cluster = json_object_get(body, "clusterId");
    if (is_device && cluster &&
        (!json_is_string(cluster) || strcasecmp(json_string_value(cluster), made->owner) != 0))
        report_add(mistakes, "/clusterId",
                   "a device is not moved between clusters, since its constraints and its history "
                   "belong to where it is: make it in the other one and delete it here");
}

/* Words of the site file that do not belong into a body: they have a field of their own, or are
 * made otherwise. */
static void check_foreign(bool is_device, const json_t *body, struct report *mistakes) {
    static const struct {
        const char *word, *help;
    } words[] = {{"account", "accountId names the account"},
                 {"parent", "parentId names the cluster that it is part of"},
                 {"devices", "POST .../devices makes them one by one"},
                 {"policies", "policies of a cluster are declared in the site file"},
                 {"gridOperator", "the grid operator's box is declared in the site file"}};
    for (size_t i = 0; i < sizeof words / sizeof *words && !is_device; i++)
        if (json_object_get(body, words[i].word)) {
            char pointer[32];
            snprintf(pointer, sizeof pointer, "/%s", words[i].word);
            report_add(mistakes, pointer, "is not known here: %s", words[i].help);
        }
}

static json_t *entry_of(const struct made *made, bool is_device, const json_t *body) {
    static const char *const own[] = {"account", "parent", "devices", "policies", "gridOperator"};
    json_t *entry = merge_patch(made->entry, body);
    json_object_del(entry, "key"); /* it has its own place, and is looked at there */
    if (is_device && made->revision)
        json_object_del(entry, "clusterId");
    for (size_t i = 0; i < sizeof own / sizeof *own && !is_device; i++)
        json_object_del(entry, own[i]);
    return entry;
}

/* --- changes ---------------------------------------------------------------------------------- */

struct work { /* one change under way */
    struct inventory *inventory;
    const struct site *file;
    struct inventory_change *change;
    struct wall now;
    struct report *mistakes;
    char *text;
};

static enum inventory_result say(const struct work *work, enum inventory_result result,
                                 const char *format, ...) printf_like(3, 4);

static enum inventory_result say(const struct work *work, enum inventory_result result,
                                 const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(work->text, INVENTORY_TEXT_SIZE, format, arguments);
    va_end(arguments);
    return result;
}

static bool file_has_cluster(const struct site *file, const char *id) {
    for (size_t i = 0; i < file->cluster_count; i++)
        if (strcasecmp(file->clusters[i].id, id) == 0)
            return true;
    return false;
}

static enum inventory_result check_new_key(const struct work *work, const char *key) {
    const struct inventory_change *change = work->change;
    if (uuid_valid(key)) {
        report_add(work->mistakes, "/key", "a key that looks like an id would hide what has it");
        return INVENTORY_CHANGED;
    }
    const struct made_list *list = list_of(work->inventory, change->is_device);
    bool taken = !change->is_device && site_cluster_find(work->file, key) != NULL;
    for (size_t i = 0; i < work->file->cluster_count && change->is_device; i++)
        taken = taken || (strcmp(work->file->clusters[i].id, change->owner) == 0 &&
                          site_device_find(&work->file->clusters[i], key));
    if (taken)
        return say(work, INVENTORY_CONFLICT, "The key \"%s\" is taken: the site file declares it.",
                   key);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0 &&
            (!change->is_device || strcmp(list->items[i].owner, change->owner) == 0))
            return say(work, INVENTORY_CONFLICT, "The key \"%s\" is taken%s.", key,
                       change->is_device ? " in this cluster" : " on this host");
    return INVENTORY_CHANGED;
}

static enum inventory_result create(const struct work *work) {
    struct inventory_change *change = work->change;
    const struct made_list *list = list_of(work->inventory, change->is_device);
    size_t most = change->is_device ? INVENTORY_DEVICES : INVENTORY_CLUSTERS;
    struct made made = {.created_at = work->now};
    const json_t *given = json_object_get(change->body, "key");
    const char *key = json_string_value(given);
    if (list->count >= most)
        return say(work, INVENTORY_FULL, "There are %zu of these, as many as there may be.", most);
    if (change->is_device && !inventory_find(work->inventory, false, change->owner) &&
        !file_has_cluster(work->file, change->owner))
        return INVENTORY_NOT_FOUND;
    if (given && !key && !json_is_null(given))
        report_add(work->mistakes, "/key", "must be a string: its name in addresses");
    uuid_make(made.id);
    memcpy(change->id, made.id, sizeof made.id);
    if (key && strlen(key) >= sizeof made.key)
        report_add(work->mistakes, "/key", "at most %zu bytes, got %zu", sizeof made.key - 1,
                   strlen(key));
    enum inventory_result result = key ? check_new_key(work, key) : INVENTORY_CHANGED;
    if (result != INVENTORY_CHANGED)
        return result;
    snprintf(made.key, sizeof made.key, "%s", key ? key : made.id);
    memcpy(made.owner, change->owner, sizeof made.owner);
    memcpy(made.parent_id, change->parent_id, sizeof made.parent_id);
    check_foreign(change->is_device, change->body, work->mistakes);
    made.entry = entry_of(&made, change->is_device, change->body);
    made.revision = 1;
    if (!made.entry || !inventory_add(work->inventory, change->is_device, &made))
        return say(work, INVENTORY_FULL, "The host is short of memory.");
    return INVENTORY_CHANGED;
}

static enum inventory_result patch(const struct work *work, struct made *made) {
    const struct inventory_change *change = work->change;
    check_fixed(made, change->is_device, change->body, work->mistakes);
    check_foreign(change->is_device, change->body, work->mistakes);
    json_t *entry = entry_of(made, change->is_device, change->body);
    if (!entry)
        return say(work, INVENTORY_FULL, "The host is short of memory.");
    struct made before = *made;
    made->entry = entry;
    if (change->owner[0] && !change->is_device)
        memcpy(made->owner, change->owner, sizeof made->owner);
    if (change->sets_parent)
        memcpy(made->parent_id, change->parent_id, sizeof made->parent_id);
    bool same = json_equal(before.entry, entry) && strcmp(before.owner, made->owner) == 0 &&
                strcmp(before.parent_id, made->parent_id) == 0;
    json_decref(before.entry);
    if (same)
        return INVENTORY_SAME;
    made->revision++;
    return INVENTORY_CHANGED;
}

/* What still hangs on a cluster, in words. */
static enum inventory_result check_empty(const struct work *work, const char *id) {
    char names[INVENTORY_TEXT_SIZE - 120] = "";
    size_t used = 0, count = 0;
    const struct inventory *inventory = work->inventory;
    const struct made_list *lists[] = {&inventory->devices, &inventory->clusters};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++) {
            const struct made *made = &lists[l]->items[i];
            if (strcmp(l == 0 ? made->owner : made->parent_id, id) != 0)
                continue;
            int length = snprintf(names + used, sizeof names - used, "%sthe %s %s",
                                  count ? ", " : "", l == 0 ? "device" : "cluster", made->key);
            if (length > 0 && (size_t)length < sizeof names - used)
                used += (size_t)length;
            names[used] = '\0'; /* no half name */
            count++;
        }
    if (!count)
        return INVENTORY_CHANGED;
    return say(work, INVENTORY_CONFLICT,
               "The cluster still has %zu that belong to it (%s); delete or move these first.",
               count, names);
}

static enum inventory_result take_away(const struct work *work, struct made *made) {
    const struct inventory_change *change = work->change;
    if (!change->is_device) {
        enum inventory_result result = check_empty(work, made->id);
        if (result != INVENTORY_CHANGED)
            return result;
    }
    list_remove(list_of(work->inventory, change->is_device), made);
    return INVENTORY_CHANGED;
}

/* Whether the merge left somebody else worse off than before. */
static const struct made *new_clash(const struct inventory *before, const struct inventory *after,
                                    bool is_device, const char *but) {
    const struct made_list *list = is_device ? &after->devices : &after->clusters;
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].clash[0] || strcmp(list->items[i].id, but) == 0)
            continue;
        const struct made *was = inventory_find(before, is_device, list->items[i].id);
        if (!was || !was->clash[0])
            return &list->items[i];
    }
    return NULL;
}

static enum inventory_result merge(const struct work *work, const struct inventory *before,
                                   struct site **site) {
    struct inventory_change *change = work->change;
    bool watched = change->verb != INVENTORY_REMOVE;
    *site =
        inventory_merge(work->inventory, work->file, watched ? change->id : NULL, work->mistakes);
    if (!*site)
        return say(work, INVENTORY_FULL, "The host is short of memory.");
    const struct made *self =
        watched ? inventory_find(work->inventory, change->is_device, change->id) : NULL;
    const struct made *hurt = new_clash(before, work->inventory, true, self ? self->id : "");
    if (!hurt)
        hurt = new_clash(before, work->inventory, false, self ? self->id : "");
    if (report_empty(work->mistakes) && self && self->clash[0] && change->verb == INVENTORY_CREATE)
        report_add(work->mistakes, "", "%s", self->clash);
    if (!report_empty(work->mistakes))
        return INVENTORY_INVALID;
    if (hurt)
        return say(work, INVENTORY_CONFLICT, "With this, %s could not stay as it is: %s.",
                   hurt->key, hurt->clash);
    return INVENTORY_CHANGED;
}

static enum inventory_result apply(const struct work *work) {
    const struct inventory_change *change = work->change;
    if (change->verb == INVENTORY_CREATE)
        return create(work);
    struct made *made = inventory_find(work->inventory, change->is_device, change->id);
    if (!made)
        return INVENTORY_NOT_FOUND;
    if (change->revision && change->revision != made->revision)
        return INVENTORY_STALE;
    return change->verb == INVENTORY_PATCH ? patch(work, made) : take_away(work, made);
}

enum inventory_result inventory_apply(struct inventory *inventory, const struct site *file,
                                      struct inventory_change *change, struct wall now,
                                      struct site **site, struct report *mistakes,
                                      char text[INVENTORY_TEXT_SIZE]) {
    struct work work = {inventory, file, change, now, mistakes, text};
    struct inventory before;
    text[0] = '\0';
    *site = NULL;
    if (!inventory_copy(inventory, &before))
        return say(&work, INVENTORY_FULL, "The host is short of memory.");
    enum inventory_result result = apply(&work);
    if (result == INVENTORY_CHANGED)
        result = merge(&work, &before, site);
    else if (result == INVENTORY_SAME && !report_empty(mistakes))
        result = INVENTORY_INVALID;
    inventory_free(&before);
    if (result != INVENTORY_CHANGED) {
        site_free(*site);
        *site = NULL;
    }
    return result;
}
