/* What the engine publishes of a device is little, since it does so with every change: the
 * decision, and the sheet that the book goes on from. Whoever reads wants each constraint with its
 * outcome; that is made here, by the same walk. */
#include "decided.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sheet.h"

/* --- life ------------------------------------------------------------------------------------ */

struct decided *decided_new_bare(size_t count) {
    struct decided *decided = calloc(1, sizeof *decided);
    if (!decided)
        return NULL;
    atomic_init(&decided->references, 1);
    decided->count = count;
    return decided;
}

struct decided *decided_new(size_t count) {
    struct decided *decided = decided_new_bare(count);
    if (!decided || !count)
        return decided;
    decided->items = calloc(count, sizeof *decided->items);
    if (decided->items)
        return decided;
    decided_release(decided);
    return NULL;
}

struct decided *decided_new_cluster(size_t count, size_t share_count) {
    struct decided *decided = decided_new(count);
    if (!decided)
        return NULL;
    struct cluster_decided *cluster = calloc(1, sizeof *cluster);
    decided->cluster = cluster;
    if (cluster)
        cluster->shares = calloc(share_count + 1, sizeof *cluster->shares);
    if (!cluster || !cluster->shares) {
        decided_release(decided);
        return NULL;
    }
    cluster->share_count = share_count;
    cluster->permanent.min = cluster->permanent.max = cluster->permanent.current =
        cluster->permanent.uncontrolled_import = NAN;
    cluster->measure.power = cluster->measure.uncontrolled = cluster->measure.controllable = NAN;
    for (int i = 0; i < 3; i++)
        cluster->measure.power_phases[i] = NAN;
    for (int scope = 0; scope < SCOPE_COUNT; scope++)
        cluster->limits[scope] = limit_none();
    return decided;
}

struct decided *decided_frame(const struct decided *from, size_t count) {
    struct decided *to = from->cluster ? decided_new_cluster(count, 0) : decided_new(count);
    if (!to)
        return NULL;
    to->at = from->at;
    to->has_decision = from->has_decision;
    to->decision = from->decision;
    to->allowed = from->allowed;
    to->soc = from->soc;
    to->type = from->type;
    to->no_set_point = from->no_set_point;
    to->fallback = from->fallback;
    to->own = from->own;
    to->share = from->share;
    to->without_sets = from->without_sets;
    text_set(&to->share_why, text_of(from->share_why));
    if (from->share_why && !to->share_why) {
        decided_release(to);
        return NULL;
    }
    if (from->cluster) {
        to->cluster->permanent = from->cluster->permanent;
        to->cluster->measure = from->cluster->measure;
    }
    return to;
}

struct decided *decided_hold(struct decided *decided) {
    atomic_fetch_add_explicit(&decided->references, 1, memory_order_relaxed);
    return decided;
}

void decided_release(struct decided *decided) {
    if (!decided || atomic_fetch_sub_explicit(&decided->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; decided->items && i < decided->count; i++)
        constraint_release(decided->items[i].constraint);
    sheet_release(decided->sheet);
    free(decided->share_why);
    if (decided->cluster)
        free(decided->cluster->shares);
    free(decided->cluster);
    free(decided->items);
    free(decided);
}

/* --- with its items -------------------------------------------------------------------------- */

struct room { /* of one walk; too much for the stacks of the API's threads */
    struct wish wishes[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    size_t items[ARBITER_WISHES];
};

static bool fill_item(struct decided_item *item, const struct book_entry *entry,
                      const struct decided *decided) {
    item->constraint = entry_constraint(entry);
    item->in_force = decided->has_decision && entry_in_force(entry);
    item->set_in_force = entry->running && !entry->set_dropped && !decided->without_sets;
    item->min_gate_closed = entry->min_gate_closed;
    item->max_gate_closed = entry->max_gate_closed;
    return item->constraint != NULL;
}

static bool fill_items(struct decided *decided) {
    for (size_t i = 0; i < decided->sheet->count; i++)
        if (!fill_item(&decided->items[i], &decided->sheet->entries[i], decided))
            return false;
    decided->items[decided->sheet->count].set_in_force = true; /* the fallback */
    return true;
}

/* The gates stand as they were decided, and at the same state of charge they stay so. */
static void walk(struct decided *decided, struct room *room) {
    size_t count = 0;
    for (size_t i = 0; i < decided->sheet->count; i++) {
        if (!decided->items[i].in_force)
            continue;
        struct wish *wish = &room->wishes[count];
        entry_wish(&decided->sheet->entries[i], wish);
        wish->has_set = wish->has_set && decided->items[i].set_in_force;
        room->items[count++] = i;
    }
    room->wishes[count] = decided->fallback;
    room->items[count++] = decided->sheet->count;
    struct decide_input input = {.allowed = &decided->allowed,
                                 .wishes = room->wishes,
                                 .wish_count = count,
                                 .soc = decided->soc};
    struct decision again;
    decide(&input, &again, room->verdicts);
    for (size_t i = 0; i < count; i++) {
        struct decided_item *item = &decided->items[room->items[i]];
        item->in_force = true;
        item->verdict = room->verdicts[i];
        if (item->verdict.against >= 0)
            item->verdict.against = (int)room->items[item->verdict.against];
    }
}

struct decided *decided_read(struct decided *published) {
    if (published->items || !published->sheet)
        return decided_hold(published);
    struct decided *decided = decided_frame(published, published->count);
    struct room *room = malloc(sizeof *room);
    if (decided)
        decided->sheet = sheet_hold(published->sheet);
    if (!decided || !room || !fill_items(decided)) {
        free(room);
        decided_release(decided);
        return NULL;
    }
    if (decided->has_decision)
        walk(decided, room);
    free(room);
    return decided;
}

/* --- what is in it --------------------------------------------------------------------------- */

void decided_count(const struct decided *decided, struct wall now, size_t *in_force,
                   size_t *scheduled) {
    *in_force = *scheduled = 0;
    for (size_t i = 0; decided->sheet && i < decided->sheet->count; i++) {
        const struct book_entry *entry = &decided->sheet->entries[i];
        if (decided->has_decision && entry_in_force(entry))
            ++*in_force;
        else if (entry->packed->valid_at.ms > now.ms)
            ++*scheduled;
    }
    for (size_t i = 0; !decided->sheet && i < decided->count && decided->items; i++) {
        const struct decided_item *item = &decided->items[i];
        if (item->constraint && item->in_force)
            ++*in_force;
        else if (item->constraint && item->constraint->valid_at.ms > now.ms)
            ++*scheduled;
    }
}

const char *decided_name(const struct decided *decided, int by, char id[ID_SIZE]) {
    if (by == BY_DEVICE)
        return decided->cluster ? "site" : "device";
    if (by < 0 || (size_t)by >= decided->count)
        return NULL;
    if (decided->items && decided->items[by].constraint)
        return memcpy(id, decided->items[by].constraint->id, ID_SIZE);
    if (decided->items || !decided->sheet || (size_t)by >= decided->sheet->count)
        return "fallback";
    entry_id(&decided->sheet->entries[by], id);
    return id;
}
