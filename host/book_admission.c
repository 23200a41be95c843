/* The door as far as it needs the book (ARBITRATION section 9): how many constraints a device, and
 * one creator on it, may hold. What is on its way to the disk counts as if it were there, what
 * makes way as if it had gone; proposals of policies and what the host itself made do not count.
 * Looks, and changes nothing. */
#include "book.h"

#include <string.h>

static bool is_leaving(const struct book_admission *admission, const char *id) {
    for (size_t i = 0; i < admission->leaving_count; i++)
        if (strcmp(admission->leaving[i], id) == 0)
            return true;
    for (size_t i = 0; i < admission->makes_way_count; i++)
        if (strcmp(admission->makes_way[i], id) == 0)
            return true;
    return false;
}

static bool is_replaced(const struct book_admission *admission, const char *id) {
    for (size_t i = 0; i < admission->count; i++)
        if (strcmp(admission->items[i]->id, id) == 0)
            return true;
    return false;
}

/* The lowest scheduled one of the same creator that may make way; false: none. */
static bool lowest_scheduled(const struct book *book, const struct book_admission *admission,
                             char id[ID_SIZE]) {
    for (size_t i = book->count; i-- > 0;) {
        const struct book_entry *other = &book->entries[i];
        if (other->running || !entry_keeps(other) || !entry_is_of(other, admission->created_by) ||
            other->packed->priority > admission->max_priority)
            continue;
        entry_id(other, id);
        if (!is_leaving(admission, id) && !is_replaced(admission, id))
            return true;
    }
    return false;
}

enum err book_admit(const struct book *book, struct book_admission *admission) {
    size_t on_device = admission->coming;
    size_t of_creator = admission->coming_own;
    char id[ID_SIZE];
    admission->makes_way_count = 0;
    for (size_t i = 0; i < book->count; i++) {
        const struct book_entry *other = &book->entries[i];
        if (!entry_keeps(other))
            continue;
        entry_id(other, id);
        if (is_leaving(admission, id))
            continue;
        on_device++;
        of_creator += entry_is_of(other, admission->created_by);
    }
    for (size_t i = 0; i < admission->count; i++) {
        if (book_find(book, admission->items[i]->id))
            continue;
        if (on_device >= CONSTRAINTS_PER_DEVICE && lowest_scheduled(book, admission, id)) {
            memcpy(admission->makes_way[admission->makes_way_count++], id, ID_SIZE);
            continue; /* one comes, one goes */
        }
        if (of_creator >= CONSTRAINTS_PER_CREATOR)
            return ERR_LIMIT;
        if (on_device >= CONSTRAINTS_PER_DEVICE)
            return ERR_FULL;
        on_device++;
        of_creator++;
    }
    return ERR_OK;
}
