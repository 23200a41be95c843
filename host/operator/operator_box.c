#include "operator/operator_box.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/log.h"
#include "base/schema.h"
#include "cluster/cluster.h"
#include "device.h"
#include "engine.h"
#include "events/announce.h"
#include "machine.h"
#include "operator/operator_reading.h"
#include "site.h"

#define STORE_KIND "gridOperator"
#define KEPT_SIZE  160

struct operator_box {
    struct cluster *cluster;
    struct operator_site site;
    struct operator operator;
    char id[ID_SIZE]; /* of its constraint, always the same */
    struct operator_slot *slot;
    char stated_by[CREATOR_SIZE];
    char reason[REASON_SIZE];
    struct wall stated_at;
    char stored[KEPT_SIZE]; /* as given to the store last; "": nothing is kept */
    bool durable;           /* and it has it */
    bool told;              /* that it has not */
    int pending;            /* on their way there */
    atomic_int owners;      /* of this memory: the cluster, and each that is on its way */
    bool closed;
    int64_t version;
    double heartbeat;  /* of its device, as seen last; NAN: not yet */
    int64_t sample_ms; /* when the newest value of that was read */
    char silence[160];
    bool alarmed;
    uv_timer_t wake;
};

const struct operator_site *box_site(const struct operator_box *box) {
    return &box->site;
}

struct operator_slot *box_slot(const struct operator_box *box) {
    return box->slot;
}

int64_t box_version(const struct operator_box *box) {
    return box->version;
}

static struct now now_of(const struct operator_box *box) {
    return clock_now(&box->cluster->engine->clock);
}

static struct wall wall_of(int64_t mono_ms, struct now now) {
    return (struct wall){now.wall.ms + (mono_ms - now.mono.ms)};
}

/* The end of what holds; OPERATOR_NEVER: none. */
static int64_t end_of(const struct operator_box *box) {
    return box->operator.state == OPERATOR_LIMITED ? box->operator.limit_end_ms : OPERATOR_NEVER;
}

/* --- in plain words ----------------------------------------------------------------------------
 */

static void say(const struct operator_box *box, char text[REASON_SIZE]) {
    const struct operator* operator= & box->operator;
    const struct operator_terms *terms = &box->site.terms;
    double heartbeat_s = (double)terms->heartbeat_ms / 1000;
    bool kept = !operator_same_limit(operator_in_force(operator, terms), terms->failsafe);
    const char *besides = kept ? ", and the stricter limit from before the restart beside it" : "";
    switch (operator->state) {
    case OPERATOR_INIT:
        snprintf(text, REASON_SIZE, "failsafe limit at start%s, until the box states a limit",
                 besides);
        break;
    case OPERATOR_FAILSAFE:
        snprintf(text, REASON_SIZE, "failsafe limit%s: no heartbeat of the box for %g s%s", besides,
                 heartbeat_s, operator->back ? "; it is back and has to state a limit" : "");
        break;
    case OPERATOR_UNLIMITED_AUTONOMOUS:
        snprintf(text, REASON_SIZE,
                 "failsafe limit, kept since the box is not there or states no limit");
        break;
    case OPERATOR_LIMITED:
    case OPERATOR_UNLIMITED_CONTROLLED:
    case OPERATOR_STATE_COUNT:
        snprintf(text, REASON_SIZE, "stated by %.80s%s%.100s", box->stated_by,
                 box->reason[0] ? ": " : "", box->reason);
        break;
    }
}

static void log_state(const struct operator_box *box) {
    char text[REASON_SIZE];
    struct operator_limit limit = operator_in_force(&box->operator, & box->site.terms);
    char watts[80] = "no limit";
    say(box, text);
    if (limit.has_max && limit.has_min)
        snprintf(watts, sizeof watts, "%d W to %d W", (int)limit.min, (int)limit.max);
    else if (limit.has_max)
        snprintf(watts, sizeof watts, "at most %d W", (int)limit.max);
    else if (limit.has_min)
        snprintf(watts, sizeof watts, "at least %d W", (int)limit.min);
    const char *state = operator_state_name(box->operator.state);
    if (operator_controlled(box->operator.state) || box->operator.state == OPERATOR_INIT)
        log_info(box->cluster->key, "grid operator's box: %s, %s (%s)", state, watts, text);
    else
        log_warning(box->cluster->key, "grid operator's box: %s, %s (%s)", state, watts, text);
}

/* --- readers -----------------------------------------------------------------------------------
 */

/* Why nothing is heard of its device, where that is known before its values are. */
static void say_silence(const struct operator_box *box, char text[160]) {
    const char *key = box->site.device;
    const struct device *device =
        key[0] ? engine_device(box->cluster->engine, box->cluster->key, key) : NULL;
    text[0] = '\0';
    if (!device) /* the API's, or it comes with the site that is being applied */
        return;
    if (device->machine && device->type != DEVICE_GRID_OPERATOR_BOX)
        snprintf(text, 160, "%.64s is a %s, not a %s", key, device_type_name(device->type),
                 device_type_name(DEVICE_GRID_OPERATOR_BOX));
    else if (device->connection != CONNECTION_ONLINE)
        snprintf(text, 160, "%.64s is %s", key, connection_name(device->connection));
    else
        snprintf(text, 160, "%s", box->silence);
}

static void publish(struct operator_box *box, struct now now) {
    const struct operator* operator= & box->operator;
    const struct operator_terms *terms = &box->site.terms;
    bool controlled = operator_controlled(operator->state);
    struct operator_view view = {.site = box->site,
                                 .state = operator->state,
                                 .since = wall_of(operator->since_ms, now),
                                 .limit = operator_in_force(operator, terms),
                                 .durable = box->durable,
                                 .version = box->version};
    view.alarm = operator->state == OPERATOR_FAILSAFE || operator->state ==
                 OPERATOR_UNLIMITED_AUTONOMOUS;
    if (end_of(box) != OPERATOR_NEVER)
        view.until = wall_of(end_of(box), now);
    if (operator->heard)
        view.heartbeat_at = wall_of(operator->heartbeat_ms, now);
    if (operator_missing_at(operator, terms))
        view.missing_at = wall_of(operator_missing_at(operator, terms), now);
    if (operator_next(operator, terms) != OPERATOR_NEVER)
        view.next_change_at = wall_of(operator_next(operator, terms), now);
    if (controlled) {
        memcpy(view.stated_by, box->stated_by, sizeof view.stated_by);
        memcpy(view.reason, box->reason, sizeof view.reason);
        view.stated_at = box->stated_at;
    }
    if (!operator_limits_nothing(view.limit))
        memcpy(view.constraint_id, box->id, sizeof view.constraint_id);
    say_silence(box, view.silence);
    say(box, view.text);
    operator_slot_put(box->slot, &view);
    if (view.alarm != box->alarmed)
        announce_operator(cluster_subject(box->cluster), view.alarm, view.text);
    box->alarmed = view.alarm;
}

/* --- the store ---------------------------------------------------------------------------------
 */

/* Rounded up: between the clocks a millisecond comes and goes. */
static int64_t whole_seconds(struct wall wall) {
    return (wall.ms + 999) / 1000 * 1000;
}

static size_t put_member(char text[KEPT_SIZE], size_t used, const char *key, int64_t value) {
    return used + (size_t)snprintf(text + used, KEPT_SIZE - used, "%c\"%s\":%" PRId64,
                                   used ? ',' : '{', key, value);
}

/* What is to be known after a restart: a limit that holds by the box's word, or did before; "" for
 * none. */
static void text_to_keep(const struct operator_box *box, struct now now, char text[KEPT_SIZE]) {
    const struct operator* operator= & box->operator;
    bool limited = operator->state == OPERATOR_LIMITED;
    const struct operator_limit *limit = limited ? &operator->limit : & operator->kept;
    int64_t end_ms = limited                     ? operator->limit_end_ms : operator->kept_end_ms;
    size_t used = 0;
    text[0] = '\0';
    if (operator_limits_nothing(*limit))
        return;
    if (limit->has_max)
        used = put_member(text, used, "maxActivePower", limit->max);
    if (limit->has_min)
        used = put_member(text, used, "minActivePower", limit->min);
    if (end_ms != OPERATOR_NEVER)
        used = put_member(text, used, "until", whole_seconds(wall_of(end_ms, now)));
    snprintf(text + used, KEPT_SIZE - used, "}");
}

static void box_release(struct operator_box *box) {
    if (atomic_fetch_sub(&box->owners, 1) == 1)
        free(box);
}

struct keeping {            /* a text on its way to the disk */
    struct inbox_item item; /* first */
    struct engine *engine;
    struct operator_box *box; /* one owner of its memory */
    store_done *done;         /* who waits for it, or NULL */
    void *context;
    enum err err; /* what the store said */
};

static void keeping_end(struct keeping *keeping) {
    if (keeping->done)
        keeping->done(keeping->context, keeping->err);
    box_release(keeping->box);
    free(keeping);
}

/* The last one that was given to the store says what it has. */
static void kept_run(struct inbox_item *item) {
    struct keeping *keeping = (struct keeping *)item;
    struct operator_box *box = keeping->box;
    box->pending--;
    if (!box->closed && box->pending == 0) {
        box->durable = keeping->err == ERR_OK;
        if (!box->durable && !box->told)
            log_error(box->cluster->key, "the grid operator's limit is applied but NOT stored: a "
                                         "restart before the store can write again loses it");
        else if (box->durable && box->told)
            log_info(box->cluster->key, "the grid operator's limit is stored now");
        box->told = !box->durable;
        publish(box, now_of(box));
    }
    keeping_end(keeping);
}

/* On the store's thread. */
static void kept(void *context, enum err err) {
    struct keeping *keeping = context;
    keeping->err = err;
    keeping->item.run = kept_run;
    if (inbox_post_end(&keeping->engine->inbox, &keeping->item) != ERR_OK)
        keeping_end(keeping); /* the host is stopping; what is stored counts at its start */
}

static enum err give_to_store(struct operator_box *box, store_done *done, void *context) {
    struct engine *engine = box->cluster->engine;
    struct keeping *keeping = calloc(1, sizeof *keeping);
    if (!keeping)
        return ERR_MEMORY;
    *keeping = (struct keeping){.engine = engine, .box = box, .done = done, .context = context};
    enum err err = store_put_text(engine->store, STORE_KIND, box->cluster->id,
                                  box->stored[0] ? box->stored : NULL, kept, keeping);
    if (err != ERR_OK) {
        free(keeping);
        return err;
    }
    atomic_fetch_add(&box->owners, 1);
    box->pending++;
    return ERR_OK;
}

/* True when `done` will be called. What the store has, or is getting while nobody waits for it, it
 * is not given again. */
static bool keep(struct operator_box *box, struct now now, store_done *done, void *context,
                 enum err *err) {
    char text[KEPT_SIZE];
    text_to_keep(box, now, text);
    *err = ERR_OK;
    if (strcmp(text, box->stored) == 0 && (box->durable || (box->pending && !done)))
        return false;
    memcpy(box->stored, text, sizeof text);
    box->durable = false; /* until it is said to be on disk */
    *err = give_to_store(box, done, context);
    if (*err != ERR_OK)
        log_error(box->cluster->key, "the grid operator's limit is applied but NOT stored");
    return *err == ERR_OK && done;
}

void box_keep(struct operator_box *box) {
    enum err err;
    if (!box->durable && !box->pending)
        (void)keep(box, now_of(box), NULL, NULL, &err);
}

/* False: nothing is kept, or it has ended. */
static bool kept_before(const struct operator_box *box, struct now now,
                        struct operator_limit *limit, int64_t *end_ms) {
    char *text = store_get_text(box->cluster->engine->store, STORE_KIND, box->cluster->id);
    json_t *kept = text ? json_read_text(text, 0, NULL) : NULL;
    const json_t *max = json_object_get(kept, "maxActivePower");
    const json_t *min = json_object_get(kept, "minActivePower");
    const json_t *until = json_object_get(kept, "until");
    *limit = (struct operator_limit){.has_max = json_is_integer(max),
                                     .has_min = json_is_integer(min),
                                     .max = (int32_t)json_integer_value(max),
                                     .min = (int32_t)json_integer_value(min)};
    *end_ms = OPERATOR_NEVER;
    if (json_is_integer(until)) /* behind the true time the clock only makes it longer */
        *end_ms = now.mono.ms + (json_integer_value(until) - now.wall.ms);
    json_decref(kept);
    free(text);
    return !operator_limits_nothing(*limit);
}

/* --- the book ----------------------------------------------------------------------------------
 */

static void fill(const struct operator_box *box, struct now now, struct constraint *constraint) {
    struct operator_limit limit = operator_in_force(&box->operator, & box->site.terms);
    int64_t end_ms = end_of(box);
    *constraint = (struct constraint){.wish = {.priority = box->site.priority,
                                               .rank = INT64_MAX, /* first of its priority */
                                               .has_min = limit.has_min,
                                               .has_max = limit.has_max,
                                               .min = limit.min,
                                               .max = limit.max,
                                               .on_conflict = ON_CONFLICT_CLAMP},
                                      .valid_at = now.wall,
                                      .invalid_at = {CONSTRAINT_ENDLESS_MS},
                                      .created_at = wall_of(box->operator.since_ms, now),
                                      .scope = box->site.scope,
                                      .by_host = true,
                                      .durable = true};
    if (end_ms != OPERATOR_NEVER) {
        constraint->invalid_at = wall_of(end_ms, now);
        constraint->valid_for_ms = end_ms - now.mono.ms;
    }
    memcpy(constraint->id, box->id, sizeof constraint->id);
    snprintf(constraint->created_by, sizeof constraint->created_by, "%s", OPERATOR_CREATOR);
    say(box, constraint->reason);
}

static bool same_constraint(const struct constraint *a, const struct constraint *b) {
    const struct wish *x = &a->wish, *y = &b->wish;
    bool endless_a = a->valid_for_ms == 0, endless_b = b->valid_for_ms == 0;
    int64_t apart_ms = a->invalid_at.ms - b->invalid_at.ms;
    return x->priority == y->priority && x->has_min == y->has_min && x->has_max == y->has_max &&
           x->min == y->min && x->max == y->max && a->scope == b->scope &&
           strcmp(a->reason, b->reason) == 0 && endless_a == endless_b &&
           (endless_a || (apart_ms < 1000 && apart_ms > -1000));
}

/* The box's constraint as it is to stand in the book. True when it was not so. */
static bool enter_book(struct operator_box *box, struct now now) {
    struct book *book = &box->cluster->book;
    struct constraint room, wanted;
    const struct constraint *there = book_read(book, box->id, &room);
    fill(box, now, &wanted);
    if (!wanted.wish.has_min && !wanted.wish.has_max) {
        if (!there)
            return false;
        announce_gone(cluster_subject(box->cluster), "removed", there);
        return book_remove(book, box->id) == ERR_OK;
    }
    if (there && same_constraint(there, &wanted))
        return false;
    if (book_put(book, &wanted, now) != ERR_OK)
        log_error(box->cluster->key, "no memory: the grid operator's limit is NOT in force");
    return true;
}

static void wake_due(uv_timer_t *timer);

static void schedule(struct operator_box *box, struct now now) {
    int64_t due_ms = operator_next(&box->operator, & box->site.terms);
    if (due_ms == OPERATOR_NEVER) {
        uv_timer_stop(&box->wake);
        return;
    }
    uv_update_time(&box->cluster->engine->loop);
    int64_t wait_ms = due_ms - now.mono.ms;
    uv_timer_start(&box->wake, wake_due, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

/* After anything that may have changed what holds: book, store, readers, timer. `was`: the state
 * before. True when the cluster is to decide. */
static bool settle(struct operator_box *box, enum operator_state was, bool stated, store_done *done,
                   void *context, enum err *err, bool *pending) {
    struct now now = now_of(box);
    enum err mine;
    bool changed = enter_book(box, now);
    if (changed || was != box->operator.state || stated)
        box->version++;
    if (changed || was != box->operator.state)
        log_state(box);
    bool waits = keep(box, now, done, context, err ? err : &mine);
    if (pending)
        *pending = waits;
    publish(box, now);
    schedule(box, now);
    return changed;
}

static bool settle_quietly(struct operator_box *box, enum operator_state was) {
    return settle(box, was, false, NULL, NULL, NULL, NULL);
}

void box_advance(struct cluster *cluster) {
    struct operator_box *box = cluster->box;
    if (!box)
        return;
    enum operator_state was = box->operator.state;
    struct now now = now_of(box);
    if (operator_next(&box->operator, & box->site.terms) > now.mono.ms)
        return;
    (void)operator_advance(&box->operator, & box->site.terms, now.mono);
    (void)settle_quietly(box, was);
}

static void wake_due(uv_timer_t *timer) {
    struct operator_box *box = timer->data;
    cluster_decide(box->cluster); /* which advances the box first */
}

/* --- the box speaks ----------------------------------------------------------------------------
 */

/* `statement` NULL: none. True as settle()'s `pending`. */
static bool hear(struct operator_box *box, bool heartbeat,
                 const struct operator_statement *statement, store_done *done, void *context,
                 enum err *err) {
    struct now now = now_of(box);
    enum operator_state was = box->operator.state;
    struct operator_limit before = box->operator.limit;
    bool pending = false;
    bool news = false;
    if (heartbeat)
        (void)operator_heartbeat(&box->operator, & box->site.terms, now.mono);
    int64_t end_ms = statement && statement->valid_for_ms ? now.mono.ms + statement->valid_for_ms
                                                          : OPERATOR_NEVER;
    if (statement && operator_state_limit(&box->operator, & box->site.terms, &statement->limit,
                                          end_ms, now.mono)) {
        news = was != box->operator.state || !operator_same_limit(before, statement->limit) ||
               strcmp(box->stated_by, statement->by) != 0 || statement->valid_for_ms;
        if (news)
            box->stated_at = now.wall;
        memcpy(box->stated_by, statement->by, sizeof box->stated_by);
        memcpy(box->reason, statement->reason, sizeof box->reason);
    }
    if (settle(box, was, news, done, context, err, &pending))
        cluster_decide(box->cluster);
    return pending;
}

void box_heartbeat(struct operator_box *box) {
    enum err err;
    (void)hear(box, true, NULL, NULL, NULL, &err);
}

bool box_state_limit(struct operator_box *box, const struct operator_statement *statement,
                     store_done *done, void *context, enum err *err) {
    return hear(box, true, statement, done, context, err);
}

/* --- a device that stands for it ---------------------------------------------------------------
 */

static void take_input(const struct device *device, struct mono now, struct operator_input *input,
                       int64_t *newest_ms) {
    const struct driver *driver = machine_driver(device->machine);
    memset(input->has, 0, sizeof input->has);
    *newest_ms = 0;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->id >= 0 && point->id < POINT_NUMBER_COUNT && point_is_of(point, device->part))
            input->has[point->id] = true;
    }
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        bool fresh = device_fresh(device, (enum point_id)i, now);
        input->values[i] = fresh ? device_known(device, (enum point_id)i)->value : (double)NAN;
        int64_t at_ms = device_known(device, (enum point_id)i)->mono.ms;
        if (fresh && i >= POINT_CONTACT_1 && at_ms > *newest_ms)
            *newest_ms = at_ms;
    }
}

void box_sampled(struct device *device) {
    if (device->type != DEVICE_GRID_OPERATOR_BOX || device->connection != CONNECTION_ONLINE)
        return;
    struct cluster *cluster = engine_cluster_by_id(device->engine, device->cluster_id);
    struct operator_box *box = cluster ? cluster->box : NULL;
    if (!box || strcmp(box->site.device, device->site->key) != 0)
        return;
    struct now now = now_of(box);
    struct operator_input input = {.heartbeat_before = box->heartbeat};
    int64_t newest_ms;
    take_input(device, now.mono, &input, &newest_ms);
    struct operator_reading reading = operator_read(&box->site, &input);
    bool fresh = newest_ms > box->sample_ms; /* else nothing of it was read in this poll */
    if (fresh || !reading.states)
        memcpy(box->silence, reading.silence, sizeof box->silence);
    if (!fresh || !reading.states) {
        publish(box, now);
        return;
    }
    box->sample_ms = newest_ms;
    if (!isnan(input.values[POINT_HEARTBEAT]))
        box->heartbeat = input.values[POINT_HEARTBEAT];
    struct operator_statement statement = {.limit = reading.limit};
    snprintf(statement.by, sizeof statement.by, "device:%.70s", device->site->key);
    memcpy(statement.reason, reading.text, sizeof reading.text);
    enum err err;
    (void)hear(box, reading.heard, &statement, NULL, NULL, &err);
}

void box_connected(struct device *device) {
    struct cluster *cluster = engine_cluster_by_id(device->engine, device->cluster_id);
    struct operator_box *box = cluster ? cluster->box : NULL;
    if (box && strcmp(box->site.device, device->site->key) == 0)
        publish(box, now_of(box));
}

/* --- life --------------------------------------------------------------------------------------
 */

static void wake_closed(uv_handle_t *handle) {
    struct operator_box *box = handle->data;
    operator_slot_release(box->slot);
    box_release(box);
}

void box_close(struct cluster *cluster) {
    struct operator_box *box = cluster->box;
    cluster->box = NULL;
    if (!box)
        return;
    box->closed = true;
    uv_close((uv_handle_t *)&box->wake, wake_closed);
}

static void remove_box(struct cluster *cluster) {
    log_info(cluster->key, "has no grid operator's box any more");
    const struct book_entry *entry = book_find(&cluster->book, cluster->box->id);
    struct constraint constraint;
    if (entry) {
        entry_read(entry, &constraint);
        announce_gone(cluster_subject(cluster), "removed", &constraint);
    }
    if (book_remove(&cluster->book, cluster->box->id) != ERR_OK)
        log_debug(cluster->key, "its box had no limit in force");
    if (store_put_text(cluster->engine->store, STORE_KIND, cluster->id, NULL, NULL, NULL) != ERR_OK)
        log_warning(cluster->key, "the limit of a box that is gone stays in the store");
    if (cluster->box->alarmed)
        announce_operator(cluster_subject(cluster), false, "");
    box_close(cluster);
}

static struct operator_box *new_box(struct cluster *cluster) {
    struct operator_box *box = calloc(1, sizeof *box);
    if (!box || !(box->slot = operator_slot_new())) {
        free(box);
        return NULL;
    }
    atomic_init(&box->owners, 1);
    box->cluster = cluster;
    box->heartbeat = NAN;
    uv_timer_init(&cluster->engine->loop, &box->wake);
    box->wake.data = box;
    if (store_id(cluster->engine->store, STORE_KIND, cluster->id, box->id) != ERR_OK)
        uuid_make(box->id);
    struct now now = now_of(box);
    struct operator_limit kept;
    int64_t kept_end_ms;
    bool has = kept_before(box, now, &kept, &kept_end_ms);
    operator_start(&box->operator, now.mono, has ? &kept : NULL, kept_end_ms);
    text_to_keep(box, now, box->stored);
    box->durable = true;
    return box;
}

void box_take(struct cluster *cluster, const struct site_cluster *site) {
    if (!site->grid_operator.present) {
        if (cluster->box)
            remove_box(cluster);
        return;
    }
    bool is_new = !cluster->box;
    if (is_new && !(cluster->box = new_box(cluster))) {
        log_error(cluster->key, "no memory for the grid operator's box: its limit is NOT in force");
        return;
    }
    struct operator_box *box = cluster->box;
    if (strcmp(box->site.device, site->grid_operator.device) != 0) {
        box->heartbeat = NAN; /* another one counts from where it stands */
        box->silence[0] = '\0';
    }
    box->site = site->grid_operator;
    (void)settle_quietly(box, is_new ? OPERATOR_STATE_COUNT : box->operator.state);
}
