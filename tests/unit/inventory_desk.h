/* The part of the tests' fake engine that takes changes of the inventory: the real rules
 * (inventory.h) on a site of one cluster, "home", and cards in place of devices. */
#ifndef DERD_TESTS_INVENTORY_DESK_H
#define DERD_TESTS_INVENTORY_DESK_H

#include <math.h>

#include "ask/ask_inventory.h"
#include "base/schema.h"
#include "directory.h"

struct inventory_desk {
    struct inventory made;
    struct site *file;
    struct directory_slot *slot;
    bool store_fails;
    int asked;
};

static inline void desk_open(struct inventory_desk *desk, struct directory_slot *slot,
                             const char *home_id) {
    struct report report;
    report_init(&report);
    json_t *tree =
        json_pack("{s:{s:s}, s:[{s:s, s:[{s:s,s:s,s:s}, {s:s,s:s,s:s,s:i}, {s:s,s:s,s:s,s:i}]}]}",
                  "store", "directory", "/tmp/x", "clusters", "key", "home", "devices", "key",
                  "wallbox", "driver", "some_driver", "link", "tcp://127.0.0.1:502", "key",
                  "battery", "driver", "some_driver", "link", "tcp://127.0.0.1:502", "unit", 2,
                  "key", "grid", "driver", "some_driver", "link", "tcp://127.0.0.1:502", "unit", 3);
    assert_non_null(tree);
    desk->file = site_parse(tree, "/tmp", &report);
    assert_true(report_empty(&report));
    assert_non_null(desk->file);
    snprintf(desk->file->clusters[0].id, ID_SIZE, "%s", home_id);
    desk->slot = slot;
}

static inline void desk_close(struct inventory_desk *desk) {
    inventory_free(&desk->made);
    site_free(desk->file);
}

static inline struct device_card *desk_card(const struct site_device *site,
                                            const struct site_cluster *cluster) {
    char *entry = json_dumps(site->entry, JSON_COMPACT);
    const struct card_words words = {.key = site->key,
                                     .name = site->name,
                                     .driver = site->driver,
                                     .link = site->link,
                                     .entry = entry};
    struct device_card *card = device_card_new(&words, QUANTITIES_ALL);
    free(entry);
    struct flexibility unknown = {.connection = CONNECTION_CONNECTING};
    assert_non_null(card);
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        unknown.values[i] = NAN;
    live_publish(card->live, &unknown);
    snprintf(card->id, sizeof card->id, "%s", site->id);
    snprintf(card->cluster_id, sizeof card->cluster_id, "%s", cluster->id);
    card->unit = site->unit;
    card->observe = site->observe;
    card->revision = site->revision;
    card->created_at = site->created_at;
    return card;
}

/* What the file declares is taken over from the directory before. */
static inline void desk_publish(struct inventory_desk *desk, const struct site *site) {
    struct directory *before = directory_hold(desk->slot);
    struct directory *after = calloc(1, sizeof *after);
    assert_non_null(after);
    atomic_init(&after->references, 1);
    after->made_at = before->made_at;
    after->site_problems = strdup("[]");
    after->site_file = strdup("The site file /etc/derd/site.lua");
    after->clusters = calloc(site->cluster_count, sizeof *after->clusters);
    after->devices = calloc(before->device_count + desk->made.devices.count + 1, sizeof(void *));
    assert_true(after->clusters && after->devices);
    for (size_t i = 0; i < site->cluster_count; i++) {
        const struct site_cluster *cluster = &site->clusters[i];
        struct cluster_card *card = &after->clusters[after->cluster_count++];
        if (i == 0) {
            *card = before->clusters[0];
            card->slot = card->slot ? decided_slot_hold(card->slot) : NULL;
            card->limits = NULL;
        }
        snprintf(card->id, sizeof card->id, "%s", cluster->id);
        snprintf(card->key, sizeof card->key, "%s", cluster->key);
        snprintf(card->name, sizeof card->name, "%s", cluster->name);
        snprintf(card->account, sizeof card->account, "%s", cluster->account);
        const struct site_cluster *parent = site_cluster_find(site, cluster->parent);
        snprintf(card->parent_id, sizeof card->parent_id, "%s", parent ? parent->id : "");
        card->observe = cluster->observe;
        card->revision = cluster->revision;
        card->created_at = cluster->created_at;
        card->uncontrolled = cluster->permanent.uncontrolled_import;
        card->first_device = after->device_count;
        for (size_t j = 0; j < cluster->device_count; j++)
            after->devices[after->device_count++] = i == 0 && j < 3
                                                        ? device_card_hold(before->devices[j])
                                                        : desk_card(cluster->devices[j], cluster);
        card->device_count = cluster->device_count;
    }
    directory_release(before);
    directory_publish(desk->slot, after);
}

static inline void desk_ask(struct inventory_desk *desk, const struct inventory_change *asked,
                            struct report *mistakes, bool dry, struct inventory_answer *answer) {
    static const enum ask_result results[] = {
        [INVENTORY_SAME] = ASK_REPLACED,     [INVENTORY_INVALID] = ASK_INVALID,
        [INVENTORY_FULL] = ASK_CONFLICT,     [INVENTORY_NOT_FOUND] = ASK_NOT_FOUND,
        [INVENTORY_CONFLICT] = ASK_CONFLICT, [INVENTORY_STALE] = ASK_CONFLICT};
    struct inventory_change change = *asked;
    struct inventory candidate;
    struct site *site;
    *answer = (struct inventory_answer){0};
    report_init(&answer->mistakes);
    report_move(&answer->mistakes, mistakes, "");
    desk->asked++;
    assert_true(inventory_copy(&desk->made, &candidate));
    enum inventory_result result =
        inventory_apply(&candidate, desk->file, &change, (struct wall){1700000000000}, &site,
                        &answer->mistakes, answer->detail);
    memcpy(answer->id, change.id, sizeof answer->id);
    json_decref(change.body);
    answer->stale = result == INVENTORY_STALE;
    answer->result = result != INVENTORY_CHANGED       ? results[result]
                     : desk->store_fails               ? ASK_STORE_FAILED
                     : change.verb == INVENTORY_CREATE ? ASK_CREATED
                     : change.verb == INVENTORY_PATCH  ? ASK_REPLACED
                                                       : ASK_REMOVED;
    if (result == INVENTORY_CHANGED && !dry && !desk->store_fails) {
        inventory_free(&desk->made);
        desk->made = candidate;
        desk_publish(desk, site);
    } else {
        inventory_free(&candidate);
    }
    site_free(site);
}

#endif
