/* Constraints of one device over time: the book. It knows which are in force (ARBITRATION section
 * 1), keeps their order, and says when that changes next. Pure: every call gets `now`.
 *
 * A constraint is immutable and shared by reference (the API reads it while the engine has moved
 * on); the book holds the few things that change beside it. Engine thread owns the book; struct
 * constraint is for any thread. */
#ifndef DERD_CONSTRAINT_H
#define DERD_CONSTRAINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter.h"
#include "base/clock.h"
#include "base/err.h"

#define ID_SIZE                 37 /* a UUID as text, lower case, and its NUL */
#define REASON_SIZE             201
#define CREATOR_SIZE            81
#define CONSTRAINTS_PER_DEVICE  250
#define CONSTRAINTS_PER_CREATOR 50 /* on one device */

struct constraint {
    atomic_uint references;
    char id[ID_SIZE];
    struct wish wish;
    struct wall valid_at;
    struct wall invalid_at; /* with valid_for_ms: acceptance or valid_at plus that, for people */
    int64_t valid_for_ms;   /* 0: given with invalidAt; else runs on the monotonic clock */
    struct wall created_at;
    char created_by[CREATOR_SIZE]; /* "token:NAME" or "policy:CLUSTER/KEY" */
    char policy_key[CREATOR_SIZE]; /* of a proposal: its key; "" for the API's */
    char reason[REASON_SIZE];
    bool durable; /* on disk */
};

/* A copy on the heap with one reference; NULL without memory. */
struct constraint *constraint_new(const struct constraint *from);
struct constraint *constraint_hold(struct constraint *constraint);
void constraint_release(struct constraint *constraint); /* NULL is fine */

struct book_entry {
    struct constraint *constraint;   /* one reference */
    struct mono bounds_end, set_end; /* when running: the later and the earlier of the two clocks */
    bool running;
    bool set_dropped; /* its set point ended before its bounds (a step, or a stale measurement) */
    bool min_gate_closed, max_gate_closed;
};

struct book {
    struct book_entry *entries; /* in the order of arbiter_order() */
    size_t count, capacity;
    int64_t offset_ms; /* wall - mono when last advanced */
    bool started;
    struct mono untrusted_since;
    bool trusted;
};

void book_init(struct book *book);
void book_free(struct book *book);
/* Puts a constraint in, or in place of the one with its id (which then gives its rank on: renewing
 * changes no winner). The caller has set wish.rank for a new one. Takes a reference of its own. */
must_check enum err book_put(struct book *book, struct constraint *constraint, struct now now);
must_check enum err book_remove(struct book *book, const char *id);
struct book_entry *book_find(const struct book *book, const char *id);
/* Starts and ends what is due. True when the set in force changed. A step of the wall clock by more
 * than 2 s and a change of trust are noticed here (ARBITRATION section 1). Ended ones are removed
 * and their ids given to `ended` (may be NULL). */
typedef void book_ended(void *context, const struct constraint *constraint);
bool book_advance(struct book *book, struct now now, book_ended *ended, void *context);
/* The next moment at which book_advance() may find something, INT64_MAX: none. */
struct mono book_next(const struct book *book, struct now now);
/* Drops the set points of one creator's constraints until they are replaced (a stale meter). */
bool book_drop_sets(struct book *book, const char *created_by);
/* Wishes in force at the last advance into `wishes` (room for ARBITER_WISHES), `index[i]` = entry.
 */
size_t book_wishes(const struct book *book, struct wish *wishes, size_t *index);
/* Gate states after decide() back into the entries. */
void book_keep_gates(struct book *book, const struct wish *wishes, const size_t *index,
                     size_t count);

/* The door (ARBITRATION section 9), as far as it does not need the book: fields against each other,
 * the device type's sign, times, priority. `report` gets JSON pointers. */
struct report;
struct door {
    int device_type;    /* enum device_type */
    bool has_soc;       /* the device has a state of charge */
    bool controllable;  /* it can be controlled at all */
    int64_t horizon_ms; /* 25 h unless the site says otherwise */
};
bool constraint_check(const struct constraint *constraint, const struct door *door, struct now now,
                      struct report *report);

#endif
