/* What a device decides: from its book, its ranges and its share of its cluster's limits; when it
 * decides next; and what is published of it. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "device_internal.h"
#include "journal.h"
#include "machine.h"
#include "script/instance.h"
#include "stash.h"

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

/* `fallback`, and its verdict. */
static void publish_decided(struct device *device, const struct wish *fallback,
                            const struct verdict *verdict, struct now now) {
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
    decided->fallback = *fallback;
    decided->without_sets = device->connection == CONNECTION_QUARANTINED;
    decided->sheet = book_share(book);
    if (decided->items) {
        decided->items[0].set_in_force = true; /* the fallback */
        decided->items[0].in_force = decided->has_decision;
        decided->items[0].verdict = *verdict;
    }
    /* Nobody else publishes: it is the card's until the next one. */
    struct decided *before = device_card_swap(device->card, decided);
    announce_decided(device_subject(device), &device->announced.decision, before, decided);
    journal_ruling(device, before, decided);
    decided_release(before);
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
    uint64_t due_ms = due > 0 ? (uint64_t)due : 0;
    /* The two clocks are read one after the other: the same moment may be a millisecond later. */
    if (!wheel_set_by(&device->wake, due_ms) || due_ms - device->wake.due_ms > 1)
        wheel_start(device->wheel, &device->wake, due_ms, wake_due);
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
    struct wish wish = fallback_wish(device);
    device->has_decision = device->allowed.count > 0;
    if (!device->has_decision)
        device->decision = device->wanted = undecided;
    if (device->has_decision) {
        struct book_walk walked;
        book_walk(&device->book, device->soc, device->connection == CONNECTION_QUARANTINED,
                  &walked);
        bool fallback = wish.has_set || wish.has_min || wish.has_max;
        bool bound = !same_ranges(&device->physical, &device->allowed);
        device->only_fallback = walked.in_force == 0 && !bound;
        device->anything_in_force = walked.in_force > 0 || fallback || bound;
        walk_step(&walked.walk, &wish, (int)device->book.count, device->soc, &verdict);
        decide_walked(device, &walked.walk);
        if (walked.gates_moved)
            store_gates(device);
    }
    publish_decided(device, &wish, &verdict, now);
}

void device_decide_as(struct device *device, bool changed) {
    struct now now = clock_now(&device->engine->clock);
    changed = book_advance(&device->book, now, say_ended, device) || changed;
    bool moved = take_inputs(device);
    bool anew = changed || moved || !device->decided_once;
    if (anew)
        walk_wishes(device, now);
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
    device_decide_as(device, true);
    device_publish_decision(device);
}

void device_decide(struct device *device) {
    device_decide_as(device, false);
}

void device_decide_changed(struct device *device) {
    device_decide_as(device, true);
    device_publish_decision(device);
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
