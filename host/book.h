/* Constraints of one device over time: the book. It knows which are in force (ARBITRATION section
 * 1), keeps their order, and says when that changes next. Pure: every call gets `now`. Engine
 * thread.
 *
 * What "the two clocks say" of a constraint given with invalidAt: the wall clock says invalid_at;
 * the monotonic one says what the wall clock would say without the steps (more than 2 s between two
 * calls) since the constraint started. So a small drift of the system's clock is followed by both,
 * and the ends are invalid_at, moved by the steps for the later (bounds) or the earlier (set
 * points). What has started is not taken back by a step; what the wall clock steps over whole never
 * runs.
 *
 * A constraint given with validFor ends on the monotonic clock alone. It starts at valid_at by the
 * wall clock and then runs for what is left until invalid_at (= valid_at + validFor): after a
 * restart its time is what the wall clock leaves of it. Its bounds wait for a successor that starts
 * at or before its invalid_at and is late because the wall clock stepped back, at most 25 h.
 *
 * While the clock is not trusted, now.wall is a lower bound of the true time: right to start by,
 * right to end set points by, but bounds stay, at most 25 h, until it is trusted. What runs on the
 * monotonic clock is not concerned. A validFor loaded at start is: its end is known by the wall
 * clock only, and is put on the monotonic one when trust comes.
 *
 * Limit: a drift is told from a step by the calls, so the clock must be shown to the book at least
 * every few minutes (each sample of the device does). */
#ifndef DERD_BOOK_H
#define DERD_BOOK_H

#include "constraint.h"
#include "sheet.h"

/* API constraints and proposals together; the rest is room for the fallback. */
#define BOOK_MAXIMUM (ARBITER_WISHES - 1)

struct book {
    const struct book_entry *entries; /* in the order of arbiter_order() */
    size_t count;
    /* Where they stand; the book's own while nobody else has it. `before`: the one that others have
     * while it is. */
    struct sheet *sheet, *before;
    bool shared;
    bool started;      /* advanced once; what was put before came from the store */
    bool touched;      /* put or removed since the last advance */
    bool any_held;     /* something goes on past its end */
    bool unsettled;    /* something may not be in the store as it is in force */
    int64_t offset_ms; /* wall - mono when last seen */
    int64_t steps_ms;  /* sum of the wall clock's steps */
    bool trusted;
    struct mono untrusted_since;
    struct wall next_wall; /* nothing is due before both of these */
    struct mono next_mono;
    bool ends_moved; /* an end on the monotonic clock began, of what is not a policy's: for whoever
                        keeps these, and clears it */
    struct storing { /* of the few whose times the store is to get anew */
        unsigned char id[16];
        int64_t invalid_at_ms[2]; /* that it was to get last and before; 0: none */
    } * storing;
    size_t storing_count;
};

void book_init(struct book *book);
void book_free(struct book *book);
/* All that it keeps goes on in `to`, which is initialised and empty, as if nothing had
 * happened: started, gates and clocks too. `from` is empty afterwards. The next advance of `to`
 * returns true. */
void book_move(struct book *to, struct book *from);
/* Puts a constraint in, or in place of the one with its id (which then gives its rank on: renewing
 * changes no winner; gates are given on too). wish.rank counts for a new one. It is copied. In
 * force at once when it is due (before the first advance: by that); the next advance returns true.
 * ERR_FULL at BOOK_MAXIMUM. */
must_check enum err book_put(struct book *book, const struct constraint *constraint,
                             struct now now);
/* In two steps, so that the second cannot fail: room and memory for `count` of them, as entries
 * that are each to be put. ERR_FULL, ERR_MEMORY: nothing has changed. */
must_check enum err book_ready(struct book *book, struct constraint *const *constraints,
                               size_t count, struct book_entry *ready);
void book_put_ready(struct book *book, const struct book_entry *ready, struct now now);
/* Many at once, each with an id of its own, in any order, into an empty book that was not advanced
 * yet, BOOK_MAXIMUM at most. Takes the sheet. */
void book_load(struct book *book, struct sheet *sheet);
/* ERR_NOT_FOUND. The next advance returns true. */
must_check enum err book_remove(struct book *book, const char *id);
/* It ran when its end was kept: it goes on until then, whatever the wall clock says by now. Before
 * the first advance. */
void book_resume(struct book *book, const char *id, struct mono end);
/* The same constraint with other times or marks (it is stored now): all else goes on. False without
 * memory: it stays as it was. */
bool book_restate(struct book *book, const char *id, const struct constraint *constraint);
/* Gates of the entry at `index`: as they were before a restart, or as they are decided. True when
 * they moved. */
bool book_set_gates(struct book *book, size_t index, bool min_closed, bool max_closed);
/* The store is to get this invalidAt for it, whose end runs on the monotonic clock. False without
 * memory, or when it was told so last. */
bool book_foretell(struct book *book, const struct book_entry *entry, int64_t invalid_at_ms);
/* What was foretold of it, last and before; zeros: nothing. */
void book_foretold(const struct book *book, const struct book_entry *entry,
                   int64_t invalid_at_ms[2]);
/* What stands in it, for readers on other threads: one reference, NULL when it is empty. It does
 * not change any more, but for want of memory. */
struct sheet *book_share(struct book *book);
/* Valid until the book changes. */
const struct book_entry *book_find(const struct book *book, const char *id);
const struct book_entry *book_find_key(const struct book *book, const struct id_key *key);
/* What stands there, read into `room`; NULL: nothing, or there is no book. */
const struct constraint *book_read(const struct book *book, const char *id,
                                   struct constraint *room);
/* Room for `count` more. ERR_FULL, ERR_MEMORY. */
must_check enum err book_make_room(struct book *book, size_t count);

#define BOOK_LEAVING_MAXIMUM CONSTRAINTS_PER_DEVICE

/* The door as far as it needs the book (ARBITRATION section 9), for API constraints that one
 * creator wants to put together. Proposals of policies do not count. */
struct book_admission {
    struct constraint *const
        *items; /* those whose ids are in the book replace, the others are new */
    size_t count;
    const char *created_by;
    int32_t max_priority; /* that he may touch; a creator's name may have been another's before */
    /* Accepted before and not in the book yet: new ones in all and of this creator, and ids of
     * those in the book that make way for them. */
    size_t coming, coming_own;
    const char *leaving[BOOK_LEAVING_MAXIMUM];
    size_t leaving_count;
    /* Out: scheduled ones of the same creator, lowest first, that must be removed. Room for `count`
     * of them. */
    char (*makes_way)[ID_SIZE];
    size_t makes_way_count;
};
/* ERR_LIMIT: their creator would hold more than CONSTRAINTS_PER_CREATOR. ERR_FULL: more than
 * CONSTRAINTS_PER_DEVICE, and nothing scheduled that the creator may touch could make way. */
must_check enum err book_admit(const struct book *book, struct book_admission *admission);
/* Starts and ends what is due. True when what is in force or in the book changed. A step of the
 * wall clock by more than 2 s and a change of trust are noticed here. Ended ones are removed and
 * given to `ended` (may be NULL), which must not call the book. Constant time when nothing is due.
 */
typedef void book_ended(void *context, const struct constraint *constraint);
bool book_advance(struct book *book, struct now now, book_ended *ended, void *context);
/* The next moment at which book_advance() may find something, now at the earliest; INT64_MAX: none.
 */
struct mono book_next(const struct book *book, struct now now);
/* Drops the set points of one creator's constraints until they are replaced (a stale meter). What
 * has nothing else to say is then not in force, exclusive or not. True when one was in force. */
bool book_drop_sets(struct book *book, const char *created_by);
/* The walk over all that is in force, in order; index: of the entry. Gates are kept. */
struct book_walk {
    struct walk walk; /* to be gone on with: the fallback is not in it */
    size_t in_force;
    bool gates_moved;
};
void book_walk(struct book *book, double soc, bool without_sets, struct book_walk *walked);
/* Wishes in force at the last advance into `wishes`, `index[i]` = entry. Both have room for
 * ARBITER_WISHES, so that the fallback always finds its place after them. */
size_t book_wishes(const struct book *book, struct wish *wishes, size_t *index);

#endif
