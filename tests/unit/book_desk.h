/* A book, and clocks that only the test moves, for the tests of the book. */
#ifndef DERD_TESTS_BOOK_DESK_H
#define DERD_TESTS_BOOK_DESK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "book.h"

#define SECOND  1000LL
#define MINUTE  (60 * SECOND)
#define HOUR    (60 * MINUTE)
#define DAY     1767225600000LL /* 2026-01-01T00:00Z */
#define NOTHING INT32_MIN

#define SET(w)     .has_set = true, .set = (w)
#define MIN(w)     .has_min = true, .min = (w)
#define MAX(w)     .has_max = true, .max = (w)
#define MIN_SOC(p) .has_min_soc = true, .min_soc = (p)
#define MAX_SOC(p) .has_max_soc = true, .max_soc = (p)

/* It is 9:00. */
struct desk {
    struct book book;
    struct now now;
    uint64_t rank;
    double soc;
    unsigned ended;
    char last_ended[ID_SIZE];
    struct wish wishes[ARBITER_WISHES];
    size_t index[ARBITER_WISHES];
    size_t count;
    struct decision decision;
};

static inline void desk_open(struct desk *desk) {
    memset(desk, 0, sizeof *desk);
    book_init(&desk->book);
    desk->now = (struct now){.wall = {DAY + 9 * HOUR}, .mono = {500 * SECOND}, .trusted = true};
    desk->soc = 50;
}

static inline void keep_ended(void *context, const struct constraint *constraint) {
    struct desk *desk = context;
    desk->ended++;
    snprintf(desk->last_ended, sizeof desk->last_ended, "%s", constraint->id);
}

/* Gate states after decide() back into the entries. True when one moved. */
static inline bool keep_gates(struct book *book, const struct wish *wishes, const size_t *index,
                              size_t count) {
    bool moved = false;
    for (size_t i = 0; i < count; i++)
        if (book->entries[index[i]].has_soc)
            moved = book_set_gates(book, index[i], wishes[i].min_gate_closed,
                                   wishes[i].max_gate_closed) ||
                    moved;
    return moved;
}

static inline bool advance(struct desk *desk) {
    return book_advance(&desk->book, desk->now, keep_ended, desk);
}

static inline bool run_for(struct desk *desk, int64_t ms) {
    desk->now.wall.ms += ms;
    desk->now.mono.ms += ms;
    return advance(desk);
}

/* To a time of day without a step. */
static inline bool run_to(struct desk *desk, int64_t time_of_day) {
    return run_for(desk, DAY + time_of_day - desk->now.wall.ms);
}

static inline bool step(struct desk *desk, int64_t ms) {
    desk->now.wall.ms += ms;
    return advance(desk);
}

static inline struct constraint draft(const char *id, struct wish wish, int64_t from, int64_t to) {
    struct constraint constraint = {
        .wish = wish, .valid_at = {DAY + from}, .invalid_at = {DAY + to}, .created_by = "token:a"};
    snprintf(constraint.id, sizeof constraint.id, "%s", id);
    return constraint;
}

/* From now, on the monotonic clock. */
static inline struct constraint draft_for(const struct desk *desk, const char *id, struct wish wish,
                                          int64_t ms) {
    int64_t from = desk->now.wall.ms - DAY;
    struct constraint constraint = draft(id, wish, from, from + ms);
    constraint.valid_for_ms = ms;
    return constraint;
}

static inline enum err try_put(struct desk *desk, struct constraint from) {
    struct constraint *constraint = constraint_new(&from);
    assert_non_null(constraint);
    if (constraint->wish.rank == 0)
        constraint->wish.rank = ++desk->rank;
    enum err err = book_put(&desk->book, constraint, desk->now);
    constraint_release(constraint);
    return err;
}

static inline void put(struct desk *desk, struct constraint from) {
    assert_int_equal(try_put(desk, from), ERR_OK);
}

#define WISH(...) ((struct wish){__VA_ARGS__})

static inline void decide_now(struct desk *desk) {
    desk->count = book_wishes(&desk->book, desk->wishes, desk->index);
    struct ranges allowed = ranges_of(-5000, 5000);
    struct verdict verdicts[ARBITER_WISHES];
    struct decide_input input = {
        .allowed = &allowed, .wishes = desk->wishes, .wish_count = desk->count, .soc = desk->soc};
    decide(&input, &desk->decision, verdicts);
    keep_gates(&desk->book, desk->wishes, desk->index, desk->count);
}

static inline int32_t set_now(struct desk *desk) {
    decide_now(desk);
    return desk->decision.has_set ? desk->decision.set : NOTHING;
}

static inline int32_t max_now(struct desk *desk) {
    decide_now(desk);
    return desk->decision.max;
}

static inline int64_t next_in(const struct desk *desk) {
    int64_t next = book_next(&desk->book, desk->now).ms;
    return next == INT64_MAX ? INT64_MAX : next - desk->now.mono.ms;
}

static inline int setup(void **state) {
    static struct desk desk;
    desk_open(&desk);
    *state = &desk;
    return 0;
}

static inline int teardown(void **state) {
    struct desk *desk = *state;
    book_free(&desk->book);
    return 0;
}

#endif
