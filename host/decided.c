/* What the engine publishes of a device is little, since it does so with every change: the
 * decision, and the sheet that the book goes on from. Whoever reads wants each constraint with its
 * outcome; that is made here, by the same walk. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "directory.h"
#include "sheet.h"

struct room { /* of one walk; too much for the stacks of the API's threads */
    struct wish wishes[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    size_t items[ARBITER_WISHES];
};

static bool fill_item(struct decided_item *item, const struct book_entry *entry,
                      const struct decided *decided) {
    item->constraint = entry_constraint(entry);
    item->origin = entry->packed;
    item->in_force = decided->has_decision && entry_in_force(entry);
    item->set_in_force = entry->running && !entry->set_dropped && !decided->without_sets;
    item->min_gate_closed = entry->min_gate_closed;
    item->max_gate_closed = entry->max_gate_closed;
    return item->constraint != NULL;
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

/* Copies all but what belongs to the one or the other. */
static void copy_head(struct decided *to, const struct decided *from) {
    struct decided_item *items = to->items;
    *to = (struct decided){.at = from->at,
                           .has_decision = from->has_decision,
                           .decision = from->decision,
                           .allowed = from->allowed,
                           .soc = from->soc,
                           .type = from->type,
                           .no_set_point = from->no_set_point,
                           .fallback = from->fallback,
                           .own = from->own,
                           .share = from->share,
                           .without_sets = from->without_sets,
                           .sheet = sheet_hold(from->sheet),
                           .count = from->count,
                           .items = items};
    text_set(&to->share_why, text_of(from->share_why));
    atomic_init(&to->references, 1);
}

struct decided *decided_read(struct decided *published) {
    if (published->items || !published->sheet)
        return decided_hold(published);
    struct decided *decided = decided_new(published->count);
    struct room *room = malloc(sizeof *room);
    if (!decided || !room)
        abort(); /* there is not even memory to say so: the host starts anew */
    copy_head(decided, published);
    for (size_t i = 0; i < decided->sheet->count; i++)
        if (!fill_item(&decided->items[i], &decided->sheet->entries[i], decided))
            abort();
    decided->items[decided->sheet->count].set_in_force = true; /* the fallback */
    if (decided->has_decision)
        walk(decided, room);
    free(room);
    return decided;
}
