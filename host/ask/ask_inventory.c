/* Changes of the inventory. A change is tried on a copy of what there is and, when all of it is
 * right, goes to the store; when it is on disk, the copy takes the place of the original and the
 * site is applied, as after an edit of the site file. While one waits for the disk the next ones
 * wait in line, so that what was tried is what is taken. */
#include "ask/ask_inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/ask_audit.h"
#include "ask/errand.h"
#include "base/log.h"
#include "engine.h"
#include "stash.h"

#define WAITING_MAXIMUM 64

struct inventory_ask {
    struct errand errand; /* first */
    struct inventory_change change;
    bool dry;
    struct inventory candidate; /* as it will be */
    struct site *site;          /* and the site with it */
    unsigned file_number;       /* of the file that it was tried with */
    enum err stored;
    struct inventory_answer answer;
};

static void ask_free(struct errand *errand) {
    struct inventory_ask *ask = (struct inventory_ask *)errand;
    site_free(ask->site);
    json_decref(ask->change.body);
    inventory_free(&ask->candidate);
    report_free(&ask->answer.mistakes);
    free(ask);
}

static void begin(struct inventory_ask *ask);

/* The next in line, when there is one. */
static void begin_next(struct engine *engine) {
    struct errand *next = engine->changes;
    engine->changing = NULL;
    if (!next || engine->stopping)
        return;
    engine->changes = next->next;
    engine->changes_waiting--;
    begin((struct inventory_ask *)next);
}

static void finish(struct inventory_ask *ask, enum ask_result result, const char *detail) {
    struct engine *engine = ask->errand.engine;
    ask->answer.result = result;
    snprintf(ask->answer.detail, sizeof ask->answer.detail, "%s", detail);
    memcpy(ask->answer.id, ask->change.id, sizeof ask->answer.id);
    /* Here, not where the last owner leaves: they share values with what the engine keeps. */
    site_free(ask->site);
    ask->site = NULL;
    inventory_free(&ask->candidate);
    json_decref(ask->change.body);
    ask->change.body = NULL;
    errand_finish(&ask->errand);
    begin_next(engine);
}

static enum ask_result done_as(enum inventory_verb verb) {
    return verb == INVENTORY_CREATE  ? ASK_CREATED
           : verb == INVENTORY_PATCH ? ASK_REPLACED
                                     : ASK_REMOVED;
}

/* What belonged to one that is deleted for good: its id never comes again. */
static void forget(struct engine *engine, const char *id) {
    static const char *const kinds[] = {"identity", "told", "gates", "nameplate", "ends"};
    stash_forget(engine, id);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (store_put_text(engine->store, kinds[i], id, NULL, NULL, NULL) != ERR_OK)
            log_warning("store", "the %s of %s stays in the store for now", kinds[i], id);
}

/* It is on disk: from now on it is what there is. */
static void take(struct inventory_ask *ask) {
    struct engine *engine = ask->errand.engine;
    struct report report;
    report_init(&report);
    inventory_free(&engine->inventory);
    engine->inventory = ask->candidate;
    ask->candidate = (struct inventory){0};
    if (ask->file_number != engine->file_number) { /* the file is another one by now */
        site_free(ask->site);
        ask->site = NULL;
    }
    (void)engine_apply_inventory(engine, ask->site, &report);
    ask->site = NULL;
    for (size_t i = 0; i < report.count; i++)
        log_error("site", "%s: %s", report.items[i].where, report.items[i].text);
    report_free(&report);
    if (ask->change.verb == INVENTORY_REMOVE)
        forget(engine, ask->change.id);
}

static void stored_run(struct inbox_item *item) {
    struct inventory_ask *ask = (struct inventory_ask *)item;
    struct engine *engine = ask->errand.engine;
    if (engine->stopping) {
        finish(ask, ASK_BUSY, "The host is stopping; what is stored is applied at its start.");
    } else if (ask->stored == ERR_NOT_FOUND) {
        finish(ask, ASK_CONFLICT, "The account was deleted meanwhile.");
    } else if (ask->stored != ERR_OK) {
        finish(ask, ASK_STORE_FAILED, "It could not be stored and was not changed.");
    } else {
        take(ask);
        finish(ask, done_as(ask->change.verb), "");
    }
}

/* On the store's thread. */
static void stored_done(void *context, enum err result) {
    struct inventory_ask *ask = context;
    ask->stored = result;
    ask->errand.item.run = stored_run;
    if (inbox_post_end(&ask->errand.engine->inbox, &ask->errand.item) == ERR_OK)
        return;
    ask->answer.result = ASK_BUSY;
    snprintf(ask->answer.detail, sizeof ask->answer.detail,
             "The host is stopping; what is stored is applied at its start.");
    errand_finish(&ask->errand);
}

static void to_store(struct inventory_ask *ask) {
    struct store *store = ask->errand.engine->store;
    bool is_device = ask->change.is_device;
    enum err err;
    struct audit_record *record = NULL;
    const struct made *made = inventory_find(&ask->candidate, is_device, ask->change.id);
    if (!ask_audit_made(ask->errand.engine, &ask->change.origin, is_device,
                        inventory_find(&ask->errand.engine->inventory, is_device, ask->change.id),
                        made, &record)) {
        err = ERR_MEMORY;
    } else if (ask->change.verb == INVENTORY_REMOVE) {
        err = store_remove_thing(store, is_device, ask->change.id, record, stored_done, ask);
    } else {
        char *entry = json_dumps(made->entry, JSON_COMPACT | JSON_SORT_KEYS);
        const struct stored_thing thing = {.is_device = is_device,
                                           .id = made->id,
                                           .key = made->key,
                                           .owner = made->owner,
                                           .parent_id = made->parent_id,
                                           .entry = entry,
                                           .revision = made->revision,
                                           .created_at = made->created_at,
                                           .record = record};
        err = entry ? store_put_thing(store, &thing, stored_done, ask) : ERR_MEMORY;
        if (!entry)
            audit_records_free(record);
        free(entry);
    }
    if (err != ERR_OK)
        finish(ask, ASK_STORE_FAILED,
               err == ERR_LIMIT ? "It is too large to be stored."
                                : "The store has too much to do; nothing was changed.");
}

/* Whether who changes something is for this cluster: for one above it, too. */
static bool is_for(const struct inventory_change *change, const struct site *site,
                   const struct site_cluster *cluster) {
    for (size_t steps = 0; cluster && steps <= site->cluster_count; steps++) {
        for (size_t i = 0; i < change->cluster_count; i++)
            if (strcmp(cluster->id, change->clusters[i]) == 0)
                return true;
        cluster = cluster->parent[0] ? site_cluster_find(site, cluster->parent) : NULL;
    }
    return change->cluster_count == 0;
}

/* A machine belongs to one account: who joined it as a further part would read it, and would write
 * into its plans; and so would a token that is for other clusters only. Whose it is, is not told.
 */
static void machine_is_free(const struct inventory_change *change, const struct site *site,
                            const char *account, const struct site_device *device,
                            struct report *report) {
    for (size_t i = 0; i < site->cluster_count; i++)
        for (size_t j = 0; j < site->clusters[i].device_count; j++) {
            const struct site_device *other = site->clusters[i].devices[j];
            bool own = strcmp(site->clusters[i].account, account) == 0 &&
                       is_for(change, site, &site->clusters[i]);
            if (!own && other->unit == device->unit && strcmp(other->link, device->link) == 0) {
                report_add(report, ".link", "unit %d of this link is not free", device->unit);
                return;
            }
        }
}

/* What only the driver and its neighbours on the wire can say of a device. */
static bool fits(struct inventory_ask *ask, const struct site *site) {
    struct report report;
    report_init(&report);
    for (size_t i = 0; i < site->cluster_count; i++)
        for (size_t j = 0; j < site->clusters[i].device_count; j++) {
            const struct site_device *device = site->clusters[i].devices[j];
            if (strcmp(device->id, ask->change.id) != 0)
                continue;
            machine_is_free(&ask->change, site, site->clusters[i].account, device, &report);
            if (!report.count)
                engine_device_fits(ask->errand.engine, device, &report);
        }
    for (size_t i = 0; i < report.count; i++) {
        char pointer[160];
        inventory_pointer(report.items[i].where, 0, pointer, sizeof pointer);
        report_add(&ask->answer.mistakes, pointer, "%s", report.items[i].text);
    }
    report_free(&report);
    return report_empty(&ask->answer.mistakes);
}

static void tried(struct inventory_ask *ask, enum inventory_result result, const char *text) {
    switch (result) {
    case INVENTORY_CHANGED:
        if (ask->dry)
            finish(ask, done_as(ask->change.verb), "");
        else
            to_store(ask);
        return;
    case INVENTORY_SAME:
        finish(ask, ASK_REPLACED, "");
        return;
    case INVENTORY_INVALID:
        finish(ask, ASK_INVALID, "");
        return;
    case INVENTORY_NOT_FOUND:
        finish(ask, ASK_NOT_FOUND, text);
        return;
    case INVENTORY_STALE:
        ask->answer.stale = true;
        finish(ask, ASK_CONFLICT, text);
        return;
    case INVENTORY_CONFLICT:
    case INVENTORY_FULL:
        finish(ask, ASK_CONFLICT, text);
        return;
    }
}

static void begin(struct inventory_ask *ask) {
    struct engine *engine = ask->errand.engine;
    char text[INVENTORY_TEXT_SIZE] = "";
    ask->file_number = engine->file_number;
    engine->changing = &ask->errand;
    if (!inventory_copy(&engine->inventory, &ask->candidate)) {
        finish(ask, ASK_STORE_FAILED, "The host is short of memory.");
        return;
    }
    enum inventory_result result =
        inventory_apply(&ask->candidate, engine->file, &ask->change, clock_now(&engine->clock).wall,
                        &ask->site, &ask->answer.mistakes, text);
    if (result == INVENTORY_CHANGED && ask->change.is_device &&
        ask->change.verb != INVENTORY_REMOVE && !fits(ask, ask->site))
        result = INVENTORY_INVALID;
    tried(ask, result, text);
}

static void ask_run(struct errand *errand) {
    struct engine *engine = errand->engine;
    struct inventory_ask *ask = (struct inventory_ask *)errand;
    if (!engine->changing && !engine->stopping) {
        begin(ask);
        return;
    }
    if (engine->stopping || engine->changes_waiting >= WAITING_MAXIMUM) {
        ask->answer.result = ASK_BUSY;
        snprintf(ask->answer.detail, sizeof ask->answer.detail, "%s",
                 engine->stopping ? "The host is stopping; nothing was changed."
                                  : "Too many changes wait for the disk; nothing was changed.");
        errand_finish(errand);
        return;
    }
    struct errand **end = &engine->changes;
    while (*end)
        end = &(*end)->next;
    *end = errand;
    engine->changes_waiting++;
}

void ask_inventory_close(struct engine *engine) {
    while (engine->changes) {
        struct errand *errand = engine->changes;
        engine->changes = errand->next;
        ((struct inventory_ask *)errand)->answer.result = ASK_BUSY;
        errand_finish(errand);
    }
    engine->changes_waiting = 0;
}

void ask_inventory(struct engine *engine, const struct inventory_change *change,
                   struct report *mistakes, bool dry, int64_t patience_ms,
                   struct inventory_answer *answer) {
    struct inventory_ask *ask = calloc(1, sizeof *ask);
    *answer = (struct inventory_answer){.result = ASK_BUSY};
    if (!ask) {
        snprintf(answer->detail, sizeof answer->detail, "The host is short of memory.");
        json_decref(change->body);
        return;
    }
    errand_init(&ask->errand, engine, ask_run, ask_free);
    ask->change = *change;
    ask->dry = dry;
    report_init(&ask->answer.mistakes);
    report_move(&ask->answer.mistakes, mistakes, "");
    switch (errand_go(&ask->errand, patience_ms)) {
    case ERRAND_DONE:
        *answer = ask->answer;
        report_init(&ask->answer.mistakes);
        break;
    case ERRAND_LATE:
        snprintf(answer->detail, sizeof answer->detail,
                 "The host did not answer in time; it may still be done: look before you repeat.");
        break;
    case ERRAND_FULL:
        snprintf(answer->detail, sizeof answer->detail,
                 "The host is too busy; nothing was changed.");
        break;
    case ERRAND_CLOSED:
        snprintf(answer->detail, sizeof answer->detail, "The host is stopping.");
        break;
    }
    errand_release(&ask->errand);
}
