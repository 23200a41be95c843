/* The merge of the site file with what the API made. Records that do not fit are taken out one
 * after the other until the rest is a right site; in the end the file alone is always one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inventory.h"

struct place { /* where a record stands in the merged tree */
    struct made *made;
    size_t cluster, device; /* from 0; device: NONE for a cluster */
};
#define NONE SIZE_MAX

struct merge {
    struct inventory *inventory;
    const struct site *file;
    json_t *tree;
    json_t *clusters;
    struct place *places;
    size_t place_count;
};

void inventory_pointer(const char *where, size_t skip, char *pointer, size_t size) {
    size_t used = 0;
    for (const char *at = where + skip; *at && used + 2 < size; at++) {
        if (*at == '.') {
            pointer[used++] = '/';
        } else if (*at == '[') { /* items count from 1 there */
            long index = strtol(at + 1, NULL, 10);
            int length = snprintf(pointer + used, size - used, "/%ld", index > 0 ? index - 1 : 0);
            used += length > 0 ? (size_t)length : 0;
            used = used < size ? used : size - 1;
            at += strcspn(at, "]");
            if (!*at)
                break;
        } else {
            pointer[used++] = *at;
        }
    }
    pointer[used] = '\0';
    if (strcmp(pointer, "/parent") == 0)
        snprintf(pointer, size, "/parentId");
}

/* --- the tree --------------------------------------------------------------------------------- */

/* A copy in which the lists of clusters and devices are its own and all else is shared. */
static json_t *copy_cluster(const json_t *entry) {
    json_t *cluster = json_copy((json_t *)entry);
    json_t *devices = json_object_get(entry, "devices");
    json_t *list = devices ? json_copy(devices) : json_array();
    if (cluster && json_object_set_new(cluster, "devices", list) == 0)
        return cluster;
    json_decref(cluster);
    return NULL;
}

static bool copy_file(struct merge *merge) {
    const json_t *clusters = json_object_get(merge->file->tree, "clusters");
    merge->tree = json_copy(merge->file->tree);
    merge->clusters = json_array();
    if (!merge->tree || json_object_set_new(merge->tree, "clusters", merge->clusters) != 0)
        return false;
    for (size_t i = 0; i < json_array_size(clusters); i++)
        if (json_array_append_new(merge->clusters, copy_cluster(json_array_get(clusters, i))) != 0)
            return false;
    return true;
}

static const struct made *find_made(const struct made_list *list, const char *id) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    return NULL;
}

static bool file_has_key(const struct site *file, const char *key) {
    return site_cluster_find(file, key) != NULL;
}

/* Where the cluster with this id stands in the merged tree, or NONE. */
static size_t cluster_index(const struct merge *merge, const char *id) {
    for (size_t i = 0; i < merge->file->cluster_count; i++)
        if (strcmp(merge->file->clusters[i].id, id) == 0)
            return i;
    for (size_t i = 0; i < merge->place_count; i++)
        if (merge->places[i].device == NONE && strcmp(merge->places[i].made->id, id) == 0)
            return merge->places[i].cluster;
    return NONE;
}

/* The key by which a cluster goes in the merged tree; NULL: there is none. */
static const char *key_in_force(const struct merge *merge, const char *id) {
    for (size_t i = 0; i < merge->file->cluster_count; i++)
        if (strcmp(merge->file->clusters[i].id, id) == 0)
            return merge->file->clusters[i].key;
    const struct made *made = find_made(&merge->inventory->clusters, id);
    if (!made)
        return NULL;
    return file_has_key(merge->file, made->key) ? made->id : made->key;
}

static bool add_cluster(struct merge *merge, struct made *made) {
    bool taken = file_has_key(merge->file, made->key);
    json_t *entry = json_copy(made->entry);
    bool ok =
        entry && json_object_set_new(entry, "key", json_string(taken ? made->id : made->key)) == 0;
    ok = ok && json_object_set_new(entry, "account", json_string(made->owner)) == 0;
    ok = ok && json_object_set_new(entry, "devices", json_array()) == 0;
    const char *parent = made->parent_id[0] ? key_in_force(merge, made->parent_id) : NULL;
    if (parent)
        ok = ok && json_object_set_new(entry, "parent", json_string(parent)) == 0;
    if (taken)
        snprintf(made->clash, sizeof made->clash,
                 "the site file declares a cluster with the key \"%s\" too, which counts; this one "
                 "goes by its id",
                 made->key);
    else if (made->parent_id[0] && !parent)
        snprintf(made->clash, sizeof made->clash,
                 "the cluster %s that it is part of is not there any more", made->parent_id);
    if (!ok || json_array_append(merge->clusters, entry) != 0) {
        json_decref(entry);
        return false;
    }
    json_decref(entry);
    merge->places[merge->place_count++] =
        (struct place){made, json_array_size(merge->clusters) - 1, NONE};
    return true;
}

/* Whether the file has a device of that key there; those of the API differ among themselves. */
static bool file_has_device(const struct merge *merge, size_t cluster, const char *key) {
    return cluster < merge->file->cluster_count &&
           site_device_find(&merge->file->clusters[cluster], key) != NULL;
}

static bool add_device(struct merge *merge, struct made *made) {
    size_t index = cluster_index(merge, made->owner);
    if (index == NONE) {
        snprintf(made->clash, sizeof made->clash, "its cluster %s is not there, or not in force",
                 made->owner);
        return true;
    }
    json_t *devices = json_object_get(json_array_get(merge->clusters, index), "devices");
    if (file_has_device(merge, index, made->key)) {
        snprintf(made->clash, sizeof made->clash,
                 "the site file declares a device with the key \"%s\" in this cluster too, which "
                 "counts; this one is not in force",
                 made->key);
        return true;
    }
    json_t *entry = json_copy(made->entry);
    if (!entry || json_object_set_new(entry, "key", json_string(made->key)) != 0 ||
        json_array_append(devices, entry) != 0) {
        json_decref(entry);
        return false;
    }
    json_decref(entry);
    merge->places[merge->place_count++] = (struct place){made, index, json_array_size(devices) - 1};
    return true;
}

/* False without memory. `out`: of each record, whether it was found not to fit. */
static bool build(struct merge *merge, const bool *out) {
    struct made_list *clusters = &merge->inventory->clusters;
    struct made_list *devices = &merge->inventory->devices;
    merge->place_count = 0;
    bool ok = copy_file(merge);
    for (size_t i = 0; i < clusters->count && ok; i++)
        ok = out[i] || add_cluster(merge, &clusters->items[i]);
    for (size_t i = 0; i < devices->count && ok; i++)
        ok = out[clusters->count + i] || add_device(merge, &devices->items[i]);
    if (!ok)
        json_decref(merge->tree);
    return ok;
}

/* --- what does not fit ------------------------------------------------------------------------ */

static size_t place_name(const struct place *place, char *name, size_t size) {
    int length = place->device == NONE ? snprintf(name, size, "clusters[%zu]", place->cluster + 1)
                                       : snprintf(name, size, "clusters[%zu].devices[%zu]",
                                                  place->cluster + 1, place->device + 1);
    return (size_t)length;
}

/* The record that a place of a mistake is in; the deepest one. */
static struct place *blame(const struct merge *merge, const char *where, size_t *skip) {
    struct place *blamed = NULL;
    for (size_t i = 0; i < merge->place_count; i++) {
        char name[64];
        size_t length = place_name(&merge->places[i], name, sizeof name);
        if (strncmp(where, name, length) == 0 &&
            (where[length] == '\0' || where[length] == '.' || where[length] == '[') &&
            (!blamed || merge->places[i].device != NONE)) {
            blamed = &merge->places[i];
            *skip = length;
        }
    }
    return blamed;
}

/* Takes each record out that a mistake is in. True when there was one. */
static bool take_out(struct merge *merge, const struct report *report, bool *out,
                     const char *watched, struct report *mistakes) {
    const struct made_list *clusters = &merge->inventory->clusters;
    bool any = false;
    for (size_t i = 0; i < report->count; i++) {
        size_t skip = 0;
        char pointer[160];
        const struct place *place = blame(merge, report->items[i].where, &skip);
        if (!place)
            continue;
        struct made *made = place->made;
        inventory_pointer(report->items[i].where, skip, pointer, sizeof pointer);
        if (watched && strcmp(made->id, watched) == 0)
            report_add(mistakes, pointer, "%s", report->items[i].text);
        snprintf(made->clash, sizeof made->clash, "%.60s%s%.160s", pointer, pointer[0] ? ": " : "",
                 report->items[i].text);
        size_t at = place->device == NONE
                        ? (size_t)(made - clusters->items)
                        : clusters->count + (size_t)(made - merge->inventory->devices.items);
        any = any || !out[at];
        out[at] = true;
    }
    return any;
}

static void take_out_all(struct merge *merge, bool *out) {
    struct made_list *lists[] = {&merge->inventory->clusters, &merge->inventory->devices};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++) {
            *out++ = true;
            if (!lists[l]->items[i].clash[0])
                snprintf(lists[l]->items[i].clash, CLASH_SIZE, "it does not fit the site file");
        }
}

/* Devices that the file declares are the same in both sites. */
static void share_devices(const struct site *file, struct site *site) {
    for (size_t i = 0; i < file->cluster_count; i++)
        for (size_t j = 0; j < file->clusters[i].device_count; j++) {
            struct site_device **device = &site->clusters[i].devices[j];
            site_device_release(*device);
            *device = site_device_hold(file->clusters[i].devices[j]);
        }
}

/* Ids, and what else the file does not know. */
static void fill_ids(const struct merge *merge, struct site *site) {
    for (size_t i = 0; i < merge->file->cluster_count; i++)
        memcpy(site->clusters[i].id, merge->file->clusters[i].id, ID_SIZE);
    for (size_t i = 0; i < merge->place_count; i++) {
        const struct place *place = &merge->places[i];
        struct site_cluster *cluster = &site->clusters[place->cluster];
        if (place->device == NONE) {
            memcpy(cluster->id, place->made->id, ID_SIZE);
            cluster->revision = place->made->revision;
            cluster->created_at = place->made->created_at;
            snprintf(cluster->clash, sizeof cluster->clash, "%s", place->made->clash);
        } else {
            struct site_device *device = cluster->devices[place->device];
            memcpy(device->id, place->made->id, ID_SIZE);
            device->revision = place->made->revision;
            device->created_at = place->made->created_at;
            device->where = "device";
        }
    }
}

static struct site *parse(struct merge *merge, struct report *report) {
    report_init(report);
    return site_parse(merge->tree, merge->file->folder, report); /* takes the tree */
}

struct site *inventory_merge(struct inventory *inventory, const struct site *file,
                             const char *watched, struct report *mistakes) {
    size_t total = inventory->clusters.count + inventory->devices.count;
    struct merge merge = {.inventory = inventory, .file = file};
    struct site *site = NULL;
    bool *out = calloc(total + 1, sizeof *out);
    merge.places = calloc(total + 1, sizeof *merge.places);
    for (size_t i = 0; i < inventory->clusters.count; i++)
        inventory->clusters.items[i].clash[0] = '\0';
    for (size_t i = 0; i < inventory->devices.count; i++)
        inventory->devices.items[i].clash[0] = '\0';
    /* Each round takes at least one record out, the last but one all: it comes to an end. */
    for (size_t round = 0; out && merge.places && !site && round <= total + 1; round++) {
        struct report report;
        if (!build(&merge, out))
            break;
        site = parse(&merge, &report);
        if (!site && !take_out(&merge, &report, out, watched, mistakes))
            take_out_all(&merge, out);
        report_free(&report);
    }
    if (site) {
        fill_ids(&merge, site);
        share_devices(file, site);
    }
    free(out);
    free(merge.places);
    return site;
}
