#include "cluster/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "stash.h"

/* --- limits in force ----------------------------------------------------------------------------
 */

static void say_ended(void *context, const struct constraint *constraint) {
    struct cluster *cluster = context;
    announce_gone(cluster_subject(cluster), "ended", constraint);
    log_info(cluster->key, "constraint %s by %s has ended", constraint->id, constraint->created_by);
    if (constraint->by_host)
        return;
    if (store_remove_constraint(cluster->engine->store, constraint->id, NULL, NULL))
        log_warning(cluster->key, "an ended constraint stays in the store for now");
}

struct cluster_walk { /* on the stack of the engine's thread, which is large */
    struct wish wishes[ARBITER_WISHES];
    size_t index[ARBITER_WISHES];
    struct limit_wish limits[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    struct limits_room room;
};

static int entry_of(const struct cluster_walk *walk, int by) {
    return by >= 0 ? (int)walk->index[by] : by;
}

struct subject cluster_subject(const struct cluster *cluster) {
    return (struct subject){cluster->engine, cluster->id, cluster->key, ""};
}

static void walk_limits(struct cluster *cluster, struct cluster_walk *walk) {
    const struct book *book = &cluster->book;
    size_t count = book_wishes(book, walk->wishes, walk->index);
    for (size_t i = 0; i < count; i++) {
        struct constraint constraint;
        entry_read(&book->entries[walk->index[i]], &constraint);
        walk->limits[i] = limit_wish_of(&walk->wishes[i], &constraint);
    }
    limits_walk(walk->limits, count, &cluster->permanent, cluster->limits, walk->verdicts,
                &walk->room);
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        struct limit *limit = &cluster->limits[scope];
        limit->min_by = entry_of(walk, limit->min_by);
        limit->max_by = entry_of(walk, limit->max_by);
        for (int i = 0; i < 3; i++)
            limit->current_by[i] = entry_of(walk, limit->current_by[i]);
    }
    memset(cluster->in_force, 0, sizeof cluster->in_force);
    for (size_t i = 0; i < count; i++) {
        cluster->in_force[walk->index[i]] = true;
        cluster->verdicts[walk->index[i]] = walk->verdicts[i];
        cluster->verdicts[walk->index[i]].against = entry_of(walk, walk->verdicts[i].against);
    }
}

void cluster_publish(struct cluster *cluster, struct now now) {
    struct book *book = &cluster->book;
    struct decided *decided = decided_new_cluster(book->count, cluster_share_count(cluster));
    if (!decided) {
        log_error(cluster->key, "no memory: readers see it as it was");
        return;
    }
    decided->at = now;
    decided->has_decision = true;
    decided->cluster->permanent = cluster->permanent;
    memcpy(decided->cluster->limits, cluster->limits, sizeof cluster->limits);
    for (size_t i = 0; i < book->count; i++) {
        struct decided_item *item = &decided->items[i];
        item->constraint = entry_constraint(&book->entries[i]);
        if (!item->constraint) {
            log_error(cluster->key, "no memory: readers see it as it was");
            decided_release(decided);
            return;
        }
        item->in_force = cluster->in_force[i];
        item->verdict = cluster->verdicts[i];
    }
    decided->sheet = book_share(book);
    cluster_fill_split(cluster, decided);
    struct decided *before = decided_slot_get(cluster->slot);
    decided_hold(decided);
    decided_slot_put(cluster->slot, decided);
    announce_decided(cluster_subject(cluster), &cluster->announced, before, decided);
    decided_release(before);
    decided_release(decided);
}

static void wake_due(uv_timer_t *timer);

static void schedule_wake(struct cluster *cluster, struct now now) {
    int64_t due = book_next(&cluster->book, now).ms;
    if (due == INT64_MAX) {
        uv_timer_stop(&cluster->wake);
        return;
    }
    uv_update_time(&cluster->engine->loop);
    int64_t wait = due - now.mono.ms;
    uv_timer_start(&cluster->wake, wake_due, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void decide_cluster(struct cluster *cluster, bool changed) {
    box_advance(cluster);
    struct now now = clock_now(&cluster->engine->clock);
    changed = book_advance(&cluster->book, now, say_ended, cluster) || changed;
    stash_keep_ends(cluster->engine, cluster->id, &cluster->book);
    if (changed) {
        struct cluster_walk walk;
        walk_limits(cluster, &walk);
        cluster_publish(cluster, now);
        cluster_split(cluster);
    }
    schedule_wake(cluster, now);
}

void cluster_decide(struct cluster *cluster) {
    decide_cluster(cluster, false);
}

void cluster_decide_changed(struct cluster *cluster) {
    decide_cluster(cluster, true);
}

static void wake_due(uv_timer_t *timer) {
    cluster_decide(timer->data);
}

/* --- life ---------------------------------------------------------------------------------------
 */

void cluster_take(struct cluster *cluster, const struct site_cluster *site) {
    cluster->permanent = site->permanent;
    cluster->observe = site->observe;
    cluster->sees_grid = site_sees_grid(site);
    box_take(cluster, site);
}

struct cluster *cluster_new(struct engine *engine, const struct site_cluster *site) {
    struct cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster || !(cluster->slot = decided_slot_new())) {
        free(cluster);
        return NULL;
    }
    cluster->engine = engine;
    snprintf(cluster->id, sizeof cluster->id, "%s", site->id);
    snprintf(cluster->key, sizeof cluster->key, "%s", site->key);
    book_init(&cluster->book);
    stash_take(engine, cluster->id, &cluster->book);
    cluster_take(cluster, site);
    uv_timer_init(&engine->loop, &cluster->wake);
    uv_timer_init(&engine->loop, &cluster->split);
    cluster->wake.data = cluster->split.data = cluster;
    return cluster;
}

static void cluster_closed(uv_handle_t *handle) {
    struct cluster *cluster = handle->data;
    if (--cluster->handles) /* libuv gives no order */
        return;
    book_free(&cluster->book);
    decided_slot_release(cluster->slot);
    free(cluster->announced.text);
    free(cluster);
}

void cluster_close(struct cluster *cluster) {
    stash_keep(cluster->engine, cluster->id, &cluster->book);
    box_close(cluster);
    cluster->handles = 2;
    uv_close((uv_handle_t *)&cluster->split, cluster_closed);
    uv_close((uv_handle_t *)&cluster->wake, cluster_closed);
}
