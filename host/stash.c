#include "stash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine.h"

static void stash_add(struct engine *engine, const char *target_id, struct constraint *constraint) {
    struct stashed *stashed = constraint ? calloc(1, sizeof *stashed) : NULL;
    if (!stashed) {
        log_error("store", "no memory for a constraint of %s: it is NOT in force", target_id);
        constraint_release(constraint);
        return;
    }
    snprintf(stashed->target_id, sizeof stashed->target_id, "%s", target_id);
    stashed->constraint = constraint;
    stashed->next = engine->stash;
    engine->stash = stashed;
}

void stash_row(void *context, const char *target_id, const struct constraint *constraint) {
    stash_add(context, target_id, constraint_new(constraint));
}

static void stash_drop(struct stashed **at) {
    struct stashed *stashed = *at;
    *at = stashed->next;
    constraint_release(stashed->constraint);
    free(stashed);
}

void stash_take(struct engine *engine, const char *target_id, struct book *book, const char *path) {
    struct now now = clock_now(&engine->clock);
    for (struct stashed **at = &engine->stash; *at;) {
        struct stashed *stashed = *at;
        if (strcmp(stashed->target_id, target_id) != 0) {
            at = &stashed->next;
            continue;
        }
        if (book_put(book, stashed->constraint, now) != ERR_OK)
            log_error(path, "no memory for constraint %s: it is NOT in force",
                      stashed->constraint->id);
        stash_drop(at);
    }
}

void stash_keep(struct engine *engine, const char *target_id, const struct book *book) {
    for (size_t i = 0; i < book->count; i++) {
        struct constraint *constraint = book->entries[i].constraint;
        if (!constraint->policy_key[0] && !constraint->by_host)
            stash_add(engine, target_id, constraint_hold(constraint));
    }
}

void stash_remove(struct engine *engine, const char *constraint_id) {
    for (struct stashed **at = &engine->stash; *at; at = &(*at)->next)
        if (strcmp((*at)->constraint->id, constraint_id) == 0) {
            stash_drop(at);
            return;
        }
}

void stash_forget(struct engine *engine, const char *target_id) {
    for (struct stashed **at = &engine->stash; *at;) {
        if (strcmp((*at)->target_id, target_id) != 0) {
            at = &(*at)->next;
            continue;
        }
        if (store_remove_constraint(engine->store, (*at)->constraint->id, NULL, NULL) != ERR_OK)
            log_warning("store", "constraint %s of what was deleted stays for now",
                        (*at)->constraint->id);
        stash_drop(at);
    }
}

void stash_free(struct engine *engine) {
    while (engine->stash)
        stash_drop(&engine->stash);
}
