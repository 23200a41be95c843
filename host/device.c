#include "device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "journal.h"
#include "machine.h"
#include "script/hooks.h"
#include "script/instance.h"
#include "stash.h"

#define CURRENT_FLOWS 1.0 /* A: above it a vehicle charges on that phase */
#define IDLE_W        50  /* standby draw and noise of a device whose driver does not say */
#define STALE_PERIODS 3   /* a value is trusted for this many of its periods and one time-out */

const struct driver_part *device_part(const struct device *device) {
    return device->machine ? &machine_driver(device->machine)->parts[device->part] : NULL;
}

bool device_controllable(const struct device *device) {
    const struct driver_part *part = device_part(device);
    return part && part->control.present;
}

bool device_has_soc(const struct device *device) {
    if (!device->machine)
        return false;
    const struct driver *driver = machine_driver(device->machine);
    for (int i = 0; i < driver->point_count; i++)
        if (driver->points[i].id == POINT_STATE_OF_CHARGE &&
            point_is_of(&driver->points[i], device->part))
            return true;
    return false;
}

int64_t device_trust_ms(int64_t period_ms, int64_t timeout_ms) {
    return period_ms * STALE_PERIODS + timeout_ms;
}

static void decide_device(struct device *device, bool changed);

/* --- what is known -------------------------------------------------------------------------------
 */

const struct quantity *device_known(const struct device *device, enum point_id id) {
    return quantities_get(device->known, id);
}

bool device_fresh(const struct device *device, enum point_id id, struct mono now) {
    const struct quantity *known = device_known(device, id);
    if (isnan(known->value))
        return false;
    return known->valid_ms == INT64_MAX || now.ms - known->mono.ms < known->valid_ms;
}

static double quantity_at(const struct device *device, enum point_id id, struct mono now) {
    if (device_fresh(device, id, now))
        return device_known(device, id)->value;
    if (id == POINT_PHASES && device->site->phases)
        return device->site->phases;
    const struct driver *driver = device->machine ? machine_driver(device->machine) : NULL;
    for (int i = 0; driver && i < driver->parameter_count; i++)
        if (driver->parameters[i].id == (int)id)
            return device->parameters[i];
    return NAN;
}

double device_quantity(const struct device *device, enum point_id id) {
    return quantity_at(device, id, clock_mono());
}

/* Phases that carry current now, as told or as the currents show; 0: none or unknown. */
static int phases_seen(const struct device *device, struct mono now) {
    double told = quantity_at(device, POINT_ACTIVE_PHASES, now);
    if (told >= 1)
        return (int)told;
    int seen = 0;
    for (int i = POINT_CURRENT_L1; i <= POINT_CURRENT_L3; i++)
        seen += fabs(quantity_at(device, (enum point_id)i, now)) >= CURRENT_FLOWS;
    return seen;
}

double device_phases(const struct device *device) {
    int seen = phases_seen(device, clock_mono());
    return seen ? seen : device->vehicle_phases;
}

/* A vehicle keeps the phases it was seen to use until it is unplugged, so that it can start again
 * on what it needs, and not on what another one might. A make that does not tell when a vehicle
 * leaves, and one that switches phases itself, gives nothing to remember. */
static void watch_vehicle(struct device *device) {
    if (device->type != DEVICE_CHARGING_STATION) {
        device->vehicle_phases = NAN;
        return;
    }
    const struct driver_part *part = device_part(device);
    struct mono now = clock_mono();
    double state = quantity_at(device, POINT_STATE, now);
    if (isnan(state) || state == STATE_UNKNOWN || state == STATE_UNPLUGGED ||
        part->control.phase_switching) {
        device->vehicle_phases = NAN;
        return;
    }
    int seen = phases_seen(device, now);
    if (seen > 0 && !(device->vehicle_phases >= seen))
        device->vehicle_phases = seen;
}

void device_quantities(const struct device *device, double quantities[POINT_NUMBER_COUNT]) {
    struct mono now = clock_mono();
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        quantities[i] = quantity_at(device, (enum point_id)i, now);
    if (device->type == DEVICE_CHARGING_STATION)
        quantities[POINT_ACTIVE_PHASES] = device_phases(device);
}

/* This device's values out of its machine's: of a part's own and the shared points. */
static void take_values(struct device *device) {
    const struct machine *machine = device->machine;
    const struct driver *driver = machine_driver(machine);
    bool seen[POINT_NUMBER_COUNT] = {false};
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (!point_is_of(point, device->part) || point->id == POINT_NONE ||
            point->id >= POINT_NUMBER_COUNT || machine->value_at[i].mono.ms == 0)
            continue;
        struct quantity *known = quantities_at(device->known, (enum point_id)point->id);
        if (!known)
            continue;
        /* What the hook has corrected is not overwritten with the raw value it was made from. */
        if (driver->hook_values && machine->value_at[i].mono.ms == known->mono.ms)
            continue;
        /* Of several points of one name only the one in the plan was ever read. */
        if (seen[point->id] && isnan(machine->values[i]))
            continue;
        seen[point->id] = true;
        *known = (struct quantity){
            .value = machine->values[i],
            .mono = machine->value_at[i].mono,
            .wall = machine->value_at[i].wall,
            .valid_ms = point->period_ms > 0 ? device_trust_ms(point->period_ms, driver->timeout_ms)
                                             : INT64_MAX,
        };
    }
}

/* Which value says how old the device's picture is. */
static enum point_id lead_point(const struct device *device) {
    enum point_id lead = POINT_ACTIVE_POWER;
    if (device_known(device, lead)->mono.ms == 0)
        for (int i = 0; i < POINT_NUMBER_COUNT; i++)
            if (device_known(device, (enum point_id)i)->mono.ms >
                device_known(device, lead)->mono.ms)
                lead = (enum point_id)i;
    return lead;
}

/* The state of a device whose make does not tell one, as its power shows it. */
static enum device_state state_of_power(const struct device *device, double power_w) {
    const struct driver_part *part = device_part(device);
    double idle_w = part && part->control.present ? part->control.tolerance_w : IDLE_W;
    bool takes = power_w > idle_w;
    bool gives = power_w < -idle_w;
    switch (device->type) {
    case DEVICE_METER:
        return STATE_RUNNING;
    case DEVICE_INVERTER:
        return gives ? STATE_PRODUCING : STATE_STANDBY;
    case DEVICE_HEAT_PUMP:
        return takes ? STATE_RUNNING : STATE_READY;
    case DEVICE_BATTERY:
    case DEVICE_CHARGING_STATION:
    case DEVICE_GRID_OPERATOR_BOX:
    case DEVICE_TYPE_COUNT:
        break;
    }
    if (takes)
        return STATE_CHARGING;
    return gives ? STATE_DISCHARGING : STATE_READY;
}

/* It cannot be told any more, does not end by itself what it was told, and must not go beyond. */
static void see_guard(struct device *device, enum watchdog_state watchdog) {
    bool away =
        device->connection == CONNECTION_OFFLINE || device->connection == CONNECTION_WRONG_DEVICE;
    bool unguarded = away && watchdog == WATCHDOG_NONE && device->told_before &&
                     device->anything_in_force && !device->only_fallback && !device->site->observe;
    if (unguarded == device->unguarded)
        return;
    device->unguarded = unguarded;
    static const char text[] = "it does not answer, has no watchdog of its own, and a bound is in "
                               "force: it goes on with what it was told last";
    if (unguarded)
        log_error(device->site->path, "%s", text);
    else
        log_info(device->site->path, "it is no longer out of reach with a bound in force");
    announce_unguarded(device, unguarded, text);
}

static void publish(struct device *device, struct flexibility *flexibility) {
    enum watchdog_state watchdog = device_watchdog(device);
    see_guard(device, watchdog);
    *flexibility = (struct flexibility){
        .connection = device->connection,
        .allowed = device->allowed,
        .command = device->command.state,
        .following = device->command.following,
        .watchdog = watchdog,
        .unguarded = device->unguarded,
        .command_since = device->command.since,
        .bound_min = device->has_decision ? device->decision.min : -POWER_UNBOUNDED,
        .bound_max = device->has_decision ? device->decision.max : POWER_UNBOUNDED,
        .has_set_point = device->has_decision && device->decision.has_set,
        .set_point = device->decision.set,
    };
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        const struct quantity *known = device_known(device, (enum point_id)i);
        flexibility->values[i] = known->value;
        flexibility->updated_ms[i] = known->mono.ms ? known->wall.ms : 0;
        flexibility->invalid_ms[i] =
            known->valid_ms == INT64_MAX ? INT64_MAX : flexibility->updated_ms[i] + known->valid_ms;
    }
    double power_w = device_known(device, POINT_ACTIVE_POWER)->value;
    if (device_known(device, POINT_STATE)->mono.ms == 0 && !isnan(power_w)) {
        flexibility->values[POINT_STATE] = state_of_power(device, power_w);
        flexibility->updated_ms[POINT_STATE] = flexibility->updated_ms[POINT_ACTIVE_POWER];
        flexibility->invalid_ms[POINT_STATE] = flexibility->invalid_ms[POINT_ACTIVE_POWER];
    }
    const struct quantity *lead = device_known(device, lead_point(device));
    if (lead->mono.ms) {
        flexibility->updated_at = lead->wall;
        flexibility->invalid_at = flexibility->updated_at;
        if (lead->valid_ms != INT64_MAX)
            flexibility->invalid_at.ms += lead->valid_ms;
    }
    live_publish(device->card->live, flexibility);
    announce_flexibility(device, flexibility);
}

void device_publish(struct device *device) {
    struct flexibility published;
    publish(device, &published);
}

/* What is read once per connection has no age that would tell that it is of an earlier one. */
static void forget_constants(struct device *device) {
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        struct quantity *known = quantities_at(device->known, (enum point_id)i);
        if (known && known->valid_ms == INT64_MAX)
            *known = (struct quantity){.value = NAN};
    }
}

void device_forget_identity(struct device *device) {
    for (size_t i = 0; i < sizeof device->identity / sizeof *device->identity; i++)
        text_set(&device->identity[i], "");
}

static void publish_texts(struct device *device) {
    pthread_mutex_lock(&device->card->lock);
    text_set(&device->card->command_text, text_of(device->command.text));
    for (size_t i = 0; i < sizeof device->identity / sizeof *device->identity; i++)
        text_set(&device->card->identity[i], text_of(device->identity[i]));
    text_set(&device->card->connection_text, text_of(device->connection_text));
    pthread_mutex_unlock(&device->card->lock);
}

struct subject device_subject(const struct device *device) {
    return (struct subject){device->engine, device->cluster_id, device->cluster_key, device->id};
}

bool device_reachable(const struct device *device) {
    return device->connection == CONNECTION_ONLINE || device->connection == CONNECTION_QUARANTINED;
}

void device_connect(struct device *device, enum connection connection, const char *text) {
    bool news =
        device->connection != connection || strcmp(text_of(device->connection_text), text) != 0;
    /* In quarantine the same constraints are walked without their set points. */
    bool changed =
        (device->connection == CONNECTION_QUARANTINED) != (connection == CONNECTION_QUARANTINED);
    device->connection = connection;
    text_set(&device->connection_text, text);
    publish_texts(device);
    if (connection != CONNECTION_ONLINE)
        device->vehicle_phases = NAN; /* another one may be there when it comes back */
    if (device_reachable(device)) {
        forget_constants(device);
        take_values(device);
    }
    if (connection == CONNECTION_QUARANTINED)
        hooks_values(device); /* which are not called: what they would have corrected is unknown */
    decide_device(device, changed);
    device_publish(device);
    if (news) {
        announce_device(device, "connection");
        box_connected(device);
    }
}

/* --- deciding ------------------------------------------------------------------------------------
 */

static void store_gates(struct device *device) {
    json_t *gates = json_object();
    for (size_t i = 0; i < device->book.count; i++) {
        const struct book_entry *entry = &device->book.entries[i];
        char id[ID_SIZE];
        if (!entry->min_gate_closed && !entry->max_gate_closed)
            continue;
        entry_id(entry, id);
        json_object_set_new(gates, id,
                            json_integer(entry->min_gate_closed + 2 * entry->max_gate_closed));
    }
    char *text = json_dumps(gates, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text || store_put_text(device->engine->store, "gates", device->id, text, NULL, NULL))
        log_warning(device->site->path, "the state of its charge gates could not be stored");
    free(text);
    json_decref(gates);
}

static struct wish fallback_wish(const struct device *device) {
    struct wish wish = {.priority = PRIORITY_FALLBACK, .on_conflict = ON_CONFLICT_CLAMP};
    const struct driver_part *part = device_part(device);
    const struct wish_fallback *fallback = NULL;
    if (device->site->has_fallback)
        fallback = &device->site->fallback;
    else if (part && part->has_fallback)
        fallback = &part->fallback;
    if (fallback) {
        wish.has_set = fallback->has_set;
        wish.has_min = fallback->has_min;
        wish.has_max = fallback->has_max;
        wish.set = fallback->set;
        wish.min = fallback->min;
        wish.max = fallback->max;
    }
    return wish;
}

/* `fallback`: its verdict. */
static void publish_decided(struct device *device, const struct verdict *fallback, struct now now) {
    struct book *book = &device->book;
    struct decided *decided = book->count ? decided_new_bare(book->count + 1) : decided_new(1);
    if (!decided)
        return;
    const struct driver_part *part = device_part(device);
    decided->at = now;
    decided->has_decision = device->has_decision;
    decided->decision = device->decision;
    decided->allowed = device->allowed;
    decided->own = device->own;
    decided->share = device->share;
    text_set(&decided->share_why, text_of(device->share_why));
    decided->soc = device->soc;
    decided->type = device->type;
    decided->no_set_point = part ? part->control.no_set_point : NO_SET_OWN_CONTROL;
    decided->fallback = fallback_wish(device);
    decided->without_sets = device->connection == CONNECTION_QUARANTINED;
    decided->sheet = book_share(book);
    if (decided->items) {
        decided->items[0].set_in_force = true; /* the fallback */
        decided->items[0].in_force = decided->has_decision;
        decided->items[0].verdict = *fallback;
    }
    struct decided *before = device_card_snapshot(device->card);
    decided_hold(decided);
    device_card_decide(device->card, decided);
    announce_decided(device_subject(device), &device->announced.decision, before, decided);
    decided_release(before);
    decided_release(decided);
}

static void say_ended(void *context, const struct constraint *constraint) {
    struct device *device = context;
    announce_gone(device_subject(device), "ended", constraint);
    if (!constraint->policy_key[0]) {
        log_info(device->site->path, "constraint %s by %s has ended", constraint->id,
                 constraint->created_by);
        if (store_remove_constraint(device->engine->store, constraint->id, NULL, NULL))
            log_warning(device->site->path, "an ended constraint stays in the store for now");
    }
}

static void wake_due(struct wheel_timer *timer);

/* The timer for whatever comes first: a boundary, the end of trust, a command's next turn. */
static void schedule_wake(struct device *device, struct now now) {
    int64_t due = book_next(&device->book, now).ms;
    int64_t tell = device_tell_next(device).ms;
    if (tell < due)
        due = tell;
    const struct quantity *power = device_known(device, POINT_ACTIVE_POWER);
    if (!device->stale && power->mono.ms && power->valid_ms != INT64_MAX) {
        int64_t end = power->mono.ms + power->valid_ms;
        if (end < due)
            due = end;
    }
    if (due == INT64_MAX) {
        wheel_stop(device->wheel, &device->wake);
        return;
    }
    wheel_start(device->wheel, &device->wake, due > 0 ? (uint64_t)due : 0, wake_due);
}

static bool same_ranges(const struct ranges *a, const struct ranges *b) {
    return a->count == b->count && memcmp(a->items, b->items, a->count * sizeof *a->items) == 0;
}

/* Anything that decide() depends on, beside the book. True when it is not as it was. */
static bool take_inputs(struct device *device) {
    struct ranges before = device->allowed;
    struct ranges own_before = device->own;
    device->physical = device->own = (struct ranges){0};
    if (device_controllable(device)) {
        double quantities[POINT_NUMBER_COUNT];
        device_quantities(device, quantities);
        struct control_context context = {
            .driver = machine_driver(device->machine),
            .part = device->part,
            .parameters = device->parameters,
            .quantities = quantities,
        };
        device->physical = control_allowed(&context);
        context.site = &device->site->limits;
        device->own = control_allowed(&context);
        share_see_nameplate(device);
    }
    device->allowed = share_within(device);
    double soc = device_has_soc(device) ? device_quantity(device, POINT_STATE_OF_CHARGE) : NAN;
    bool same = same_ranges(&before, &device->allowed) && same_ranges(&own_before, &device->own) &&
                (soc == device->soc || (isnan(soc) && isnan(device->soc)));
    device->soc = soc;
    return !same;
}

static const struct decision undecided = {.set_by = BY_NOBODY,
                                          .min_by = BY_NOBODY,
                                          .max_by = BY_NOBODY,
                                          .walked_min_by = BY_NOBODY,
                                          .walked_max_by = BY_NOBODY};

/* What it wants is what its share is made from; then within that. Winners are items of what is
 * published: the entries of the book, the fallback behind them. */
static void decide_walked(struct device *device, const struct walk *walk) {
    walk_end(walk, &device->own, &device->wanted);
    int set_by = device->wanted.set_by;
    device->wanted_set =
        device->wanted.has_set && set_by >= 0 && (size_t)set_by < device->book.count;
    device->decision = device->wanted;
    if (!same_ranges(&device->own, &device->allowed))
        walk_end(walk, &device->allowed, &device->decision);
}

static void walk_wishes(struct device *device, struct now now) {
    struct verdict verdict = {.against = BY_NOBODY};
    device->has_decision = device->allowed.count > 0;
    if (!device->has_decision)
        device->decision = device->wanted = undecided;
    if (device->has_decision) {
        struct book_walk walked;
        book_walk(&device->book, device->soc, device->connection == CONNECTION_QUARANTINED,
                  &walked);
        struct wish wish = fallback_wish(device);
        bool fallback = wish.has_set || wish.has_min || wish.has_max;
        bool bound = !same_ranges(&device->physical, &device->allowed);
        device->only_fallback = walked.in_force == 0 && !bound;
        device->anything_in_force = walked.in_force > 0 || fallback || bound;
        walk_step(&walked.walk, &wish, (int)device->book.count, device->soc, &verdict);
        decide_walked(device, &walked.walk);
        if (walked.gates_moved)
            store_gates(device);
    }
    publish_decided(device, &verdict, now);
}

static void decide_device(struct device *device, bool changed) {
    struct now now = clock_now(&device->engine->clock);
    changed = book_advance(&device->book, now, say_ended, device) || changed;
    bool moved = take_inputs(device);
    bool anew = changed || moved || !device->decided_once;
    if (anew) {
        walk_wishes(device, now);
        journal_ruling(device);
    }
    device->decided_once = true;
    cluster_arrive(device);
    device_tell(device);
    stash_keep_ends(device->engine, device->id, &device->book); /* the device first */
    if (anew)
        journal_told(device);
    schedule_wake(device, now);
    cluster_touch(device);
}

void device_take_share(struct device *device, const struct cluster_share *share) {
    bool changed = share->limited != device->share.limited || share->min != device->share.min ||
                   share->max != device->share.max ||
                   strcmp(share->why, text_of(device->share_why)) != 0;
    if (!changed)
        return;
    device->share = (struct share){share->limited, share->min, share->max};
    text_set(&device->share_why, share->why);
    decide_device(device, true);
    device_publish(device);
}

void device_decide(struct device *device) {
    decide_device(device, false);
}

void device_decide_changed(struct device *device) {
    decide_device(device, true);
    device_publish(device);
}

static void wake_due(struct wheel_timer *timer) {
    struct device *device = timer->owner;
    struct mono now = clock_mono();
    if (!device->stale && device_known(device, POINT_ACTIVE_POWER)->mono.ms &&
        !device_fresh(device, POINT_ACTIVE_POWER, now)) {
        device->stale = true;
        log_warning(device->site->path, "its measurement is stale");
        instance_stale(device);
    }
    device_decide(device);
    device_publish(device);
}

void device_take(struct device *device) {
    take_values(device);
    hooks_values(device);
}

void device_sampled(struct device *device) {
    device->stale = !device_fresh(device, POINT_ACTIVE_POWER, clock_mono());
    watch_vehicle(device);
    device_decide(device);
    device_watch(device);
    struct flexibility published;
    publish(device, &published);
    journal_sample(device, &published);
    instance_sampled(device);
    box_sampled(device);
}

/* --- life ----------------------------------------------------------------------------------------
 */

/* Those that may ever be known of it. */
static uint64_t quantities_of(const struct device *device) {
    const struct driver *driver = device->machine ? machine_driver(device->machine) : NULL;
    uint64_t quantities = UINT64_C(1) << POINT_STATE; /* which may be made of the power */
    if (!driver)
        return quantities;
    if (driver->hook_values) /* which may give any */
        return QUANTITIES_ALL;
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->id != POINT_NONE && point->id < POINT_NUMBER_COUNT &&
            point_is_of(point, device->part))
            quantities |= UINT64_C(1) << point->id;
    }
    return quantities;
}

/* NULL: no memory. */
static struct device_card *card_of(const struct device *device) {
    const struct site_device *site = device->site;
    char *entry = json_dumps(site->entry, JSON_COMPACT | JSON_SORT_KEYS);
    const struct card_words words = {
        .key = site->key,
        .name = site->name,
        .driver = site->driver,
        .link = site->link,
        .part = site->as,
        .role = site->role,
        .maker = device->machine ? machine_driver(device->machine)->manufacturer : NULL,
        .entry = entry,
    };
    struct device_card *card = device_card_new(&words, quantities_of(device));
    free(entry);
    if (!card)
        return NULL;
    snprintf(card->id, sizeof card->id, "%s", device->id);
    snprintf(card->cluster_id, sizeof card->cluster_id, "%s", device->cluster_id);
    card->unit = site->unit;
    card->observe = site->observe;
    card->type = device->type;
    card->controllable = device_controllable(device);
    card->has_soc = device_has_soc(device);
    card->revision = site->revision;
    card->created_at = site->created_at;
    return card;
}

/* Cards are read by other threads and do not change: what a device turns out to be, once its driver
 * is known, stands on a new one. */
void device_renew_card(struct device *device) {
    device->type = device_part(device)->type;
    device->decided_once = false; /* type and fallback are the driver's */
    struct device_card *card = card_of(device);
    struct quantities *known = quantities_new(quantities_of(device), device->known);
    if (known) { /* else it goes on with those that it had */
        quantities_free(device->known);
        device->known = known;
    } else {
        log_error(device->site->path, "no memory: what its driver knows beyond the last stays "
                                      "unknown");
    }
    if (!card) {
        log_error(device->site->path, "no memory: readers see it as it was");
        return;
    }
    struct device_card *old = device->card;
    device->card = card;
    figure_set(&card->polls, figure_get(&old->polls));
    figure_set(&card->polls_failed, figure_get(&old->polls_failed));
    device_card_decide(card, device_card_snapshot(old));
    device_card_release(old);
    publish_texts(device);
    device_publish(device);
}

void device_renewed(struct device *device) {
    const struct driver *driver = machine_driver(device->machine);
    bool known[POINT_COUNT] = {false};
    caller_forget(&device->caller);
    caller_forget(&device->write_caller);
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        if (point->id != POINT_NONE && point_is_of(point, device->part))
            known[point->id] = true;
    }
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        if (!known[i] && !driver->hook_values) {
            struct quantity *known_no_more = quantities_at(device->known, (enum point_id)i);
            if (known_no_more)
                *known_no_more = (struct quantity){.value = NAN};
        }
    device_renew_card(device);
}

/* Constraints that were waiting for this device, and the gates as they were. */
static void take_stash(struct device *device) {
    stash_take(device->engine, device->id, &device->book);
    char *text = recall_text(device->engine, "gates", device->id);
    json_t *gates = text ? json_read_text(text, 0, NULL) : NULL;
    for (size_t i = 0; gates && i < device->book.count; i++) {
        char id[ID_SIZE];
        entry_id(&device->book.entries[i], id);
        json_int_t bits = json_integer_value(json_object_get(gates, id));
        book_set_gates(&device->book, i, bits & 1, bits & 2);
    }
    json_decref(gates);
    free(text);
}

struct device *device_new(struct engine *engine, const struct site_device *site,
                          const struct site_cluster *cluster, const char *cluster_id,
                          const char *device_id) {
    struct device *device = calloc(1, sizeof *device);
    if (!device)
        return NULL;
    device->engine = engine;
    device->site = site_device_hold(site);
    snprintf(device->id, sizeof device->id, "%s", device_id);
    snprintf(device->cluster_id, sizeof device->cluster_id, "%s", cluster_id);
    snprintf(device->cluster_key, sizeof device->cluster_key, "%s", cluster->key);
    device->card = card_of(device);
    device->wheel = device->card ? wheel_hold(&engine->loop) : NULL;
    if (!device->wheel) {
        device_card_release(device->card);
        site_device_release(device->site);
        free(device);
        return NULL;
    }
    device->soc = device->vehicle_phases = NAN;
    device_forget_told(device);
    char *told = recall_text(engine, "told", device->id);
    device->told_before = told != NULL;
    free(told);
    char *seen = recall_text(engine, "identity", device->id);
    device->identity_seen = seen ? json_read_text(seen, 0, NULL) : NULL;
    free(seen);
    if (json_object_size(device->identity_seen) == 0) {
        json_decref(device->identity_seen);
        device->identity_seen = NULL;
    }
    share_load_nameplate(device);
    book_init(&device->book);
    take_stash(device);
    device->wake.owner = device;
    return device;
}

static void device_closed(struct wheel_timer *timer) {
    struct device *device = timer->owner;
    wheel_release(device->wheel);
    book_free(&device->book);
    device_card_release(device->card);
    site_device_release(device->site);
    json_decref(device->hook_state);
    carry_forget(device);
    json_decref(device->identity_seen);
    device_forget_identity(device);
    quantities_free(device->known);
    caller_forget(&device->caller);
    caller_forget(&device->write_caller);
    free(device->connection_text);
    free(device->share_why);
    free(device->hook_problem);
    free(device->read_problem);
    free(device->split_seen);
    free(device->last_ruling);
    free(device->command.text);
    free(device->command.plans);
    free(device);
}

void device_close(struct device *device) {
    journal_leave(device);
    if (device->machine)
        machine_detach(device->machine, device);
    announce_close(device);
    stash_keep(device->engine, device->id, &device->book);
    wheel_start(device->wheel, &device->wake, 0, device_closed);
}
