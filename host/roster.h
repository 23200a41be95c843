/* Devices, or clusters, by id: 10,000 of them are not looked through for each request and each
 * decision. Made anew when it is first asked after the list has changed. Loop's thread. */
#ifndef DERD_ROSTER_H
#define DERD_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roster { /* all zero: to be made */
    struct roster_place {
        uint64_t key; /* of the id */
        void *it;
    } * places; /* by key */
    size_t count, capacity;
    void *found; /* last: one is often asked for again at once; NULL: none yet */
    bool made;
};

/* The list has changed, or ends. */
void roster_forget(struct roster *roster);
/* One more of the list. False: no memory, and nothing of it is kept. */
bool roster_add(struct roster *roster, const char *id, void *it);
void roster_close(struct roster *roster); /* all were added */
/* The one with this id among all that were added; `id_of` tells theirs. NULL: none. */
typedef const char *roster_id(const void *it);
void *roster_find(struct roster *roster, const char *id, roster_id *id_of);

#endif
