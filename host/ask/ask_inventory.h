/* Asking the engine to make, change or remove a cluster or a device. On success it is on disk, part
 * of the site in force, and in the newest directory. One change at a time; further ones wait. */
#ifndef DERD_ASK_INVENTORY_H
#define DERD_ASK_INVENTORY_H

#include "ask/ask.h"
#include "inventory.h"

struct engine;

struct inventory_answer {
    /* ASK_CREATED, ASK_REPLACED (changed, or as it was), ASK_REMOVED, ASK_INVALID, ASK_NOT_FOUND,
     * ASK_CONFLICT, ASK_STORE_FAILED, ASK_BUSY, or with `stale` set ASK_CONFLICT. */
    enum ask_result result;
    bool stale; /* it has another revision than the one asked for */
    char id[ID_SIZE];
    char detail[INVENTORY_TEXT_SIZE]; /* "" on success */
    struct report mistakes;
};

/* `change`: copied, its body taken over. `mistakes`: found before, taken over (emptied). `dry`:
 * only say what would be. Blocks up to `patience_ms`. Any thread but the engine's. */
void ask_inventory(struct engine *engine, const struct inventory_change *change,
                   struct report *mistakes, bool dry, int64_t patience_ms,
                   struct inventory_answer *answer);

/* Engine thread: gives up what still waits when the host stops. */
void ask_inventory_close(struct engine *engine);

#endif
