/* Constraints packed on sheets that readers share with the book. */
#include <pthread.h>
#include <stdlib.h>

#include "book_desk.h"
#include "words.h"

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"

static struct constraint whole(void) {
    struct constraint constraint = draft(
        UUID, WISH(.priority = 2147483647, .rank = INT64_MAX, SET(-5), MIN(-7000), MAX(INT32_MAX)),
        9 * HOUR, 10 * HOUR);
    constraint.created_at.ms = DAY;
    constraint.durable = true;
    snprintf(constraint.reason, sizeof constraint.reason, "a reason");
    return constraint;
}

static void assert_same(const struct constraint *a, const struct constraint *b) {
    char one[CONSTRAINT_VERSION_SIZE];
    char other[CONSTRAINT_VERSION_SIZE];
    constraint_version(a, one);
    constraint_version(b, other);
    assert_string_equal(one, other); /* all that was asked for */
    assert_true(a->wish.rank == b->wish.rank);
    assert_string_equal(a->policy_key, b->policy_key);
    assert_int_equal(a->durable, b->durable);
    assert_int_equal(a->by_host, b->by_host);
}

static void comes_back(const struct constraint *constraint) {
    struct book_entry entry;
    struct constraint back;
    assert_true(entry_fill(&entry, constraint));
    entry_read(&entry, &back);
    assert_same(constraint, &back);
    packed_free(entry.packed);
}

static void a_constraint_comes_back_as_it_was_packed(void **state) {
    (void)state;
    struct constraint constraint = whole();
    comes_back(&constraint);
    constraint.wish.has_set = constraint.wish.has_min = constraint.wish.has_max = false;
    constraint.durable = false;
    constraint.by_host = true;
    comes_back(&constraint);
    constraint = whole();
    constraint.wish.min = constraint.wish.max = constraint.wish.set = 0;
    constraint.wish.exclusive = true;
    constraint.wish.on_conflict = ON_CONFLICT_CLAMP;
    snprintf(constraint.policy_key, sizeof constraint.policy_key, "key");
    comes_back(&constraint);
}

static void what_few_have_comes_back_too(void **state) {
    (void)state;
    struct constraint constraint = whole();
    constraint.wish.has_min_soc = true;
    constraint.wish.min_soc = 33.3;
    comes_back(&constraint);
    constraint.wish.has_max_soc = true;
    constraint.wish.max_soc = 0.1 + 0.2;
    comes_back(&constraint);
    constraint = whole();
    constraint.scope = SCOPE_CONTROLLABLE;
    constraint.has_current = true;
    constraint.max_current[0] = 16.5;
    constraint.max_current[1] = 0;
    constraint.max_current[2] = 63;
    comes_back(&constraint);
    constraint = whole();
    constraint.valid_for_ms = HOUR; /* the span */
    comes_back(&constraint);
    constraint.valid_for_ms = HOUR + 1; /* its times were set by the wall clock since */
    comes_back(&constraint);
}

static void an_id_that_is_no_uuid_comes_back_and_is_told_from_others(void **state) {
    struct desk *desk = *state;
    const char *const ids[] = {"", "a", "b", "0F8FAD5B-D9CB-469F-A165-70867728950E", UUID};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct constraint constraint = whole();
        snprintf(constraint.id, sizeof constraint.id, "%s", ids[i]);
        comes_back(&constraint);
        constraint.wish.rank = i + 1;
        put(desk, constraint);
    }
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char id[ID_SIZE];
        entry_id(book_find(&desk->book, ids[i]), id);
        assert_string_equal(id, ids[i]);
    }
    assert_null(book_find(&desk->book, "c"));
}

static void the_clock_of_an_entry_holds_four_thousand_years_either_way(void **state) {
    (void)state;
    const int64_t times[] = {
        0, 1, -1, 65535, 65536, -65536, -65537, 100000000000000, -100000000000000};
    struct book_entry entry = {0};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        entry_set_clock(&entry, times[i]);
        assert_true(entry_clock(&entry) == times[i]);
    }
    entry_set_clock(&entry, INT64_MAX);
    assert_true(entry_clock(&entry) == (INT64_C(1) << 47) - 1);
    entry_set_clock(&entry, INT64_MIN);
    assert_true(entry_clock(&entry) == -(INT64_C(1) << 47) + 1);
}

static void texts_are_kept_once_and_go_with_the_last(void **state) {
    struct desk *desk = *state;
    size_t before = words_count();
    for (unsigned i = 0; i < 250; i++) {
        struct constraint constraint = whole();
        snprintf(constraint.id, sizeof constraint.id, "%u", i);
        snprintf(constraint.reason, sizeof constraint.reason, "reason %u", i % 3);
        constraint.wish.rank = i + 1;
        put(desk, constraint);
    }
    assert_int_equal(words_count(), before + 3);
    book_free(&desk->book);
    assert_int_equal(words_count(), before);
    struct words *a = words_of("token:a", "", "why");
    struct words *b = words_of("token:a", "why", "");
    assert_ptr_not_equal(a, b);
    assert_string_equal(words_reason(a), "why");
    assert_string_equal(words_policy_key(b), "why");
    assert_string_equal(words_created_by(b), "token:a");
    words_release(a);
    words_release(b);
}

static void what_was_shared_stays_as_it_was_while_the_book_goes_on(void **state) {
    struct desk *desk = *state;
    advance(desk);
    put(desk, draft("a", WISH(MAX(1)), 8 * HOUR, 10 * HOUR));
    put(desk, draft("b", WISH(MAX(2)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    struct sheet *sheet = book_share(&desk->book);
    put(desk, draft("a", WISH(MAX(3)), 8 * HOUR, 10 * HOUR)); /* replaced */
    assert_int_equal(book_remove(&desk->book, "b"), ERR_OK);
    advance(desk);
    struct sheet *later = book_share(&desk->book);
    assert_int_equal(sheet->count, 2);
    assert_int_equal(later->count, 1);
    struct constraint constraint;
    entry_read(&sheet->entries[0], &constraint);
    assert_string_equal(constraint.id, "b");
    entry_read(&sheet->entries[1], &constraint);
    assert_string_equal(constraint.id, "a");
    assert_int_equal(constraint.wish.max, 1);
    entry_read(&later->entries[0], &constraint);
    assert_int_equal(constraint.wish.max, 3);
    run_to(desk, 10 * HOUR); /* it ends */
    assert_null(book_share(&desk->book));
    book_free(&desk->book);
    entry_read(&sheet->entries[0], &constraint); /* also when the book is gone */
    assert_string_equal(constraint.id, "b");
    sheet_release(sheet);
    sheet_release(later);
}

static void a_book_that_only_looked_shares_what_it_shared_before(void **state) {
    struct desk *desk = *state;
    put(desk, draft("a", WISH(MAX(1)), 8 * HOUR, 10 * HOUR));
    advance(desk);
    struct sheet *first = book_share(&desk->book);
    decide_now(desk);
    run_for(desk, HOUR / 2);
    struct sheet *second = book_share(&desk->book);
    assert_ptr_equal(first, second);
    sheet_release(first);
    sheet_release(second);
}

/* --- readers beside the engine ---------------------------------------------------------------- */

#define READERS 2
#define CHANGES 2000

struct traffic {
    pthread_mutex_t lock; /* of `sheet` */
    struct sheet *sheet;
    atomic_bool ends;
};

static void *look(void *context) {
    struct traffic *traffic = context;
    while (!atomic_load(&traffic->ends)) {
        pthread_mutex_lock(&traffic->lock);
        struct sheet *sheet = sheet_hold(traffic->sheet);
        pthread_mutex_unlock(&traffic->lock);
        for (size_t i = 0; sheet && i < sheet->count; i++) {
            struct constraint constraint;
            entry_read(&sheet->entries[i], &constraint);
            if (constraint.wish.max != (int32_t)strtol(constraint.reason, NULL, 10))
                abort();
        }
        sheet_release(sheet);
    }
    return NULL;
}

static void readers_see_whole_constraints_while_they_are_replaced_and_removed(void **state) {
    struct desk *desk = *state;
    struct traffic traffic = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[READERS];
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look, &traffic), 0);
    for (int i = 0; i < CHANGES; i++) {
        char id[ID_SIZE];
        snprintf(id, sizeof id, "%d", i * 7 % 40);
        struct constraint constraint =
            draft(id, WISH(.priority = i % 5, MAX(i)), 8 * HOUR, 10 * HOUR);
        snprintf(constraint.reason, sizeof constraint.reason, "%d", i);
        if (i % 3 || book_remove(&desk->book, id) != ERR_OK)
            put(desk, constraint);
        advance(desk);
        struct sheet *sheet = book_share(&desk->book);
        pthread_mutex_lock(&traffic.lock);
        struct sheet *before = traffic.sheet;
        traffic.sheet = sheet;
        pthread_mutex_unlock(&traffic.lock);
        sheet_release(before);
    }
    atomic_store(&traffic.ends, true);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sheet_release(traffic.sheet);
    book_free(&desk->book);
    assert_int_equal(words_count(), 0);
}

/* --- the walk --------------------------------------------------------------------------------- */

static unsigned turn(unsigned *random, unsigned below) {
    *random = *random * 1664525U + 1013904223U;
    return (*random >> 8) % below;
}

/* Few values, so that they meet, touch and conflict. */
static struct wish some_wish(unsigned *random) {
    int32_t lo = (int32_t)turn(random, 9) * 500 - 2500;
    struct wish wish = {.priority = (int32_t)turn(random, 20),
                        .on_conflict = turn(random, 2) ? ON_CONFLICT_CLAMP : ON_CONFLICT_DISCARD,
                        .has_set = turn(random, 3) == 0,
                        .has_min = turn(random, 2),
                        .has_max = turn(random, 2),
                        .has_min_soc = turn(random, 12) == 0,
                        .has_max_soc = turn(random, 12) == 0,
                        .exclusive = turn(random, 15) == 0,
                        .min_soc = 10 + turn(random, 40),
                        .max_soc = 50 + turn(random, 40)};
    wish.min = lo;
    wish.max = lo + (int32_t)turn(random, 6) * 500;
    wish.set =
        lo + (int32_t)turn(random, 8) * 500 - 500; /* the door would not let all of them in */
    return wish;
}

static void the_walk_over_the_book_decides_what_decide_does(void **state) {
    (void)state;
    static struct desk desk;
    static struct verdict verdicts[ARBITER_WISHES];
    unsigned random = 20261127;
    for (int round = 0; round < 3000; round++) {
        desk_open(&desk);
        unsigned count = 1 + turn(&random, 30);
        for (unsigned i = 0; i < count; i++) {
            char id[ID_SIZE];
            snprintf(id, sizeof id, "%u", i);
            int64_t from = 8 * HOUR + turn(&random, 2) * 2 * HOUR;
            put(&desk, draft(id, some_wish(&random), from, 12 * HOUR));
        }
        advance(&desk);
        if (turn(&random, 4) == 0)
            book_drop_sets(&desk.book, "token:a");
        double soc = turn(&random, 10) == 0 ? (double)NAN : turn(&random, 100);
        bool without_sets = turn(&random, 5) == 0;
        const struct wish fallback = {
            .priority = PRIORITY_FALLBACK, .on_conflict = ON_CONFLICT_CLAMP, SET(150)};
        struct ranges allowed = ranges_of(-2000, 2000);
        desk.count = book_wishes(&desk.book, desk.wishes, desk.index);
        for (size_t i = 0; without_sets && i < desk.count; i++)
            desk.wishes[i].has_set = false;
        desk.wishes[desk.count] = fallback;
        desk.index[desk.count] = desk.book.count;
        struct decide_input input = {
            .allowed = &allowed, .wishes = desk.wishes, .wish_count = desk.count + 1, .soc = soc};
        decide(&input, &desk.decision, verdicts);
        struct book_walk walked;
        struct wish last = fallback;
        struct verdict verdict;
        struct decision decision;
        book_walk(&desk.book, soc, without_sets, &walked);
        walk_step(&walked.walk, &last, (int)desk.book.count, soc, &verdict);
        walk_end(&walked.walk, &allowed, &decision);
        assert_int_equal(walked.in_force, desk.count);
        assert_int_equal(decision.has_set, desk.decision.has_set);
        assert_int_equal(decision.set, desk.decision.set);
        assert_int_equal(decision.min, desk.decision.min);
        assert_int_equal(decision.max, desk.decision.max);
        assert_int_equal(decision.limited, desk.decision.limited);
        assert_int_equal(decision.walked_min, desk.decision.walked_min);
        assert_int_equal(decision.walked_max, desk.decision.walked_max);
        const int by[][2] = {{decision.set_by, desk.decision.set_by},
                             {decision.min_by, desk.decision.min_by},
                             {decision.max_by, desk.decision.max_by},
                             {decision.walked_min_by, desk.decision.walked_min_by},
                             {decision.walked_max_by, desk.decision.walked_max_by}};
        for (size_t i = 0; i < sizeof by / sizeof by[0]; i++)
            assert_int_equal(by[i][0], by[i][1] < 0 ? by[i][1] : (int)desk.index[by[i][1]]);
        assert_int_equal(verdict.outcome, verdicts[desk.count].outcome);
        assert_false(keep_gates(&desk.book, desk.wishes, desk.index, desk.count));
        book_free(&desk.book);
    }
}

/* --- many at once ----------------------------------------------------------------------------- */

static void what_is_loaded_at_once_stands_as_if_put_one_by_one(void **state) {
    struct desk *desk = *state;
    struct book loaded;
    struct sheet *sheet = sheet_new(250);
    assert_non_null(sheet);
    book_init(&loaded);
    for (unsigned i = 0; i < 250; i++) {
        char id[ID_SIZE];
        snprintf(id, sizeof id, "%u", i * 73 % 250);
        struct constraint constraint = draft(
            id, WISH(.priority = (int32_t)(i * 31 % 7), .rank = i * 37 % 250 + 1, MAX((int)i)),
            8 * HOUR, 10 * HOUR);
        put(desk, constraint);
        assert_true(entry_fill(&sheet->entries[sheet->count++], &constraint));
    }
    book_load(&loaded, sheet);
    assert_int_equal(loaded.count, desk->book.count);
    for (size_t i = 0; i < loaded.count; i++) {
        struct constraint one;
        struct constraint other;
        entry_read(&loaded.entries[i], &one);
        entry_read(&desk->book.entries[i], &other);
        assert_same(&one, &other);
    }
    book_free(&loaded);
}

#define with_desk(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_desk(a_constraint_comes_back_as_it_was_packed),
        with_desk(what_few_have_comes_back_too),
        with_desk(an_id_that_is_no_uuid_comes_back_and_is_told_from_others),
        with_desk(the_clock_of_an_entry_holds_four_thousand_years_either_way),
        with_desk(texts_are_kept_once_and_go_with_the_last),
        with_desk(what_was_shared_stays_as_it_was_while_the_book_goes_on),
        with_desk(a_book_that_only_looked_shares_what_it_shared_before),
        with_desk(readers_see_whole_constraints_while_they_are_replaced_and_removed),
        with_desk(the_walk_over_the_book_decides_what_decide_does),
        with_desk(what_is_loaded_at_once_stands_as_if_put_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
