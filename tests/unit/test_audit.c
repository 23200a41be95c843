/* The audit log in the store: with the change or not at all, append-only, bounded by class. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/store_internal.h"
#include "store_kit.h"

#define DEVICE "7c9e6679-7425-40de-944b-e07fc1f90ae7"
#define HOME   "0f8fad5b-d9cb-469f-a165-70867728950e"

static struct audit_origin origin_made(const char *name) {
    struct audit_origin origin = {.by = AUDIT_BY_TOKEN, .status = 201};
    snprintf(origin.id, sizeof origin.id, "abc");
    snprintf(origin.name, sizeof origin.name, "%s", name);
    snprintf(origin.account, sizeof origin.account, "owner");
    snprintf(origin.from, sizeof origin.from, "203.0.113.7");
    snprintf(origin.request_id, sizeof origin.request_id, "r-%s", name);
    snprintf(origin.action, sizeof origin.action, "POST /v1/%s", name);
    return origin;
}

static struct audit_record *record_made(const char *name, enum audit_class class,
                                        const char *before, const char *after) {
    struct audit_origin origin = origin_made(name);
    const struct audit_target target = {.kind = "constraint",
                                        .id = name,
                                        .name = "home/wallbox",
                                        .cluster_id = HOME,
                                        .device_id = DEVICE,
                                        .owner = "owner"};
    struct audit_record *record = audit_record_new(&origin, class, &target, before, after);
    assert_non_null(record);
    return record;
}

/* Queues one and waits until it is written. */
static void add(struct store *store, const char *name, enum audit_class class) {
    struct gate gate;
    gate_close(&gate, store);
    store_put_audit(store, record_made(name, class, NULL, "{\"a\":1}"));
    gate_open(&gate);
    free(store_get_text(store, "gate", "gate"));
}

static struct audit_page look(struct store *store, const struct audit_query *given) {
    struct audit_query query = given ? *given : (struct audit_query){0};
    struct audit_page page;
    query.limit = query.limit ? query.limit : AUDIT_PAGE;
    query.to.ms = query.to.ms ? query.to.ms : INT64_MAX;
    assert_int_equal(store_read_audit(store, &query, &page), ERR_OK);
    return page;
}

static size_t count(struct store *store) {
    struct audit_page page = look(store, NULL);
    size_t found = page.count;
    audit_page_free(&page);
    return found;
}

/* Whether this program's own connection is refused what `sql` wants, by the table itself. */
static bool refused(const struct folder *folder, const char *sql, const char *words) {
    char path[128];
    char *why = NULL;
    sqlite3 *db;
    folder_path(folder, "derd.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    bool failed = sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK;
    if (failed && !strstr(why, words))
        fail_msg("%s: %s", sql, why);
    sqlite3_free(why);
    sqlite3_close(db);
    return failed;
}

/* --- with the change ------------------------------------------------------------------------- */

static struct constraint *constraint_made(unsigned number) {
    struct constraint constraint = {.wish = {.priority = 1000, .has_max = true, .max = 5000}};
    snprintf(constraint.id, sizeof constraint.id, "00000000-0000-4000-8000-%012u", number);
    constraint.wish.rank = number;
    constraint.invalid_at.ms = INT64_C(4102444800000);
    return constraint_new(&constraint);
}

static enum err change(struct store *store, struct constraint *constraint,
                       struct audit_record *records) {
    struct results *results = results_new();
    const struct store_change what = {
        .target_id = DEVICE, .puts = &constraint, .put_count = 1, .records = records};
    assert_int_equal(store_change_constraints(store, &what, results_add, results), ERR_OK);
    results_wait(results, 1);
    enum err result = results->items[0];
    results_free(results);
    return result;
}

static void every_field_of_a_row_comes_back_after_a_restart(void **state) {
    struct store *store = store_opened(*state);
    struct constraint *constraint = constraint_made(1);
    assert_int_equal(change(store, constraint,
                            record_made("one", AUDIT_CONSTRAINT, "{\"max\":1}", "{\"max\":2}")),
                     ERR_OK);
    store_close(store);
    store = store_opened(*state);
    struct audit_page page = look(store, NULL);
    assert_int_equal(page.count, 1);
    assert_false(page.more);
    const struct audit_row *row = &page.rows[0];
    assert_int_equal(row->number, 1);
    assert_true(row->at.ms > INT64_C(1700000000000));
    assert_int_equal(row->origin.by, AUDIT_BY_TOKEN);
    assert_string_equal(row->origin.id, "abc");
    assert_string_equal(row->origin.name, "one");
    assert_string_equal(row->origin.account, "owner");
    assert_string_equal(row->origin.from, "203.0.113.7");
    assert_string_equal(row->origin.request_id, "r-one");
    assert_string_equal(row->origin.action, "POST /v1/one");
    assert_int_equal(row->origin.status, 201);
    assert_string_equal(row->target_kind, "constraint");
    assert_string_equal(row->target_id, "one");
    assert_string_equal(row->target_name, "home/wallbox");
    assert_string_equal(row->cluster_id, HOME);
    assert_string_equal(row->device_id, DEVICE);
    assert_string_equal(row->owner, "owner");
    assert_string_equal(row->before, "{\"max\":1}");
    assert_string_equal(row->after, "{\"max\":2}");
    assert_true(row->durable);
    audit_page_free(&page);
    store_close(store);
    constraint_release(constraint);
}

static void a_change_that_is_refused_leaves_no_row(void **state) {
    struct store *store = store_opened(*state);
    struct account account = {.name = "North", .key = "north", .parent = "nobody"};
    assert_int_equal(
        store_account_create(store, &account, record_made("north", AUDIT_REST, NULL, "{}")),
        ERR_NOT_FOUND);
    assert_int_equal(count(store), 0);
    account = (struct account){.name = "North", .key = "north", .parent = "owner"};
    assert_int_equal(
        store_account_create(store, &account, record_made("north", AUDIT_REST, NULL, "{}")),
        ERR_OK);
    struct audit_page page = look(store, NULL);
    assert_int_equal(page.count, 1);
    assert_string_equal(page.rows[0].target_id, account.id); /* which the store has given */
    audit_page_free(&page);
    store_close(store);
}

static bool constraint_kept;

static void see(void *context, const char *target_id, const struct constraint *constraint) {
    (void)context;
    (void)target_id;
    (void)constraint;
    constraint_kept = true;
}

static void a_row_that_cannot_be_written_takes_the_change_with_it(void **state) {
    struct store *store = store_opened(*state);
    struct constraint *constraint = constraint_made(1);
    assert_false(refused(*state,
                         "CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN"
                         " SELECT raise(ABORT, 'no'); END",
                         ""));
    assert_int_equal(change(store, constraint, record_made("one", AUDIT_CONSTRAINT, NULL, "{}")),
                     ERR_IO);
    constraint_kept = false;
    assert_int_equal(store_load_constraints(store, see, NULL), ERR_OK);
    assert_false(constraint_kept);
    assert_int_equal(count(store), 0);
    store_close(store);
    constraint_release(constraint);
}

static int count_commit(void *commits) {
    ++*(int *)commits;
    return 0;
}

static void changes_that_wait_together_are_one_commit_with_all_their_rows(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct gate gate;
    struct constraint *constraints[20];
    gate_close(&gate, store);
    int commits = 0;
    sqlite3_commit_hook(store->db, count_commit, &commits);
    for (unsigned i = 0; i < 20; i++) {
        constraints[i] = constraint_made(i + 1);
        const struct store_change what = {.target_id = DEVICE,
                                          .puts = &constraints[i],
                                          .put_count = 1,
                                          .records =
                                              record_made("x", AUDIT_CONSTRAINT, NULL, "{}")};
        assert_int_equal(store_change_constraints(store, &what, results_add, results), ERR_OK);
    }
    gate_open(&gate);
    results_wait(results, 20);
    assert_int_equal(commits, 1);
    assert_int_equal(count(store), 20);
    for (unsigned i = 0; i < 20; i++)
        constraint_release(constraints[i]);
    results_free(results);
    store_close(store);
}

/* --- append-only -------------------------------------------------------------------------------
 */

static void a_row_is_never_changed_replaced_or_deleted(void **state) {
    struct store *store = store_opened(*state);
    add(store, "one", AUDIT_REST);
    add(store, "two", AUDIT_REST);
    store_close(store);
    assert_true(refused(*state, "UPDATE audit SET who_name = 'other'", "append-only"));
    assert_true(refused(*state, "UPDATE audit SET at_ms = 1 WHERE number = 1", "append-only"));
    assert_true(refused(*state, "DELETE FROM audit WHERE number = 2", "only the oldest"));
    assert_true(refused(*state, "DELETE FROM audit WHERE number = 1", "only the oldest"));
    assert_true(refused(*state, "DELETE FROM audit", "only the oldest"));
    assert_true(refused(*state,
                        "INSERT OR REPLACE INTO audit SELECT number, class, 1, who, who_id,"
                        " who_name, account, origin, request_id, action, status, target_kind,"
                        " target_id, target_name, cluster_id, device_id, owner, durable, bytes,"
                        " value_before, value_after FROM audit WHERE number = 1",
                        "append-only"));
    store = store_opened(*state);
    assert_int_equal(count(store), 2);
    store_close(store);
}

/* --- bounds ------------------------------------------------------------------------------------
 */

static void the_oldest_of_a_class_goes_and_it_is_said_from_when_on_it_is_whole(void **state) {
    struct store *store = store_opened(*state);
    char name[16];
    assert_int_equal(store_bound_audit(store, 5, 1 << 20), ERR_OK);
    add(store, "admin", AUDIT_REST);
    struct audit_page page = look(store, NULL);
    struct wall rest = page.complete_from[AUDIT_REST];
    assert_true(page.complete_from[AUDIT_CONSTRAINT].ms <= page.rows[0].at.ms);
    audit_page_free(&page);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "c%d", i);
        add(store, name, AUDIT_CONSTRAINT);
    }
    page = look(store, NULL);
    assert_int_equal(page.count, 6); /* constraints push out their like only */
    assert_string_equal(page.rows[0].target_id, "c11");
    assert_string_equal(page.rows[4].target_id, "c7");
    assert_string_equal(page.rows[5].target_id, "admin");
    assert_true(page.complete_from[AUDIT_REST].ms == rest.ms);
    assert_true(page.complete_from[AUDIT_CONSTRAINT].ms <= page.rows[4].at.ms + 1);
    assert_true(page.complete_from[AUDIT_CONSTRAINT].ms > rest.ms);
    audit_page_free(&page);
    store_close(store);
}

/* The oldest row of a class is found again behind those of the other one, also after a restart. */
static void classes_that_alternate_are_each_bounded(void **state) {
    struct store *store = store_opened(*state);
    char name[16];
    assert_int_equal(store_bound_audit(store, 3, 1 << 20), ERR_OK);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "r%d", i);
        add(store, name, i % 7 < 5 ? AUDIT_CONSTRAINT : AUDIT_REST);
        if (i == 10) {
            store_close(store);
            store = store_opened(*state);
            assert_int_equal(store_bound_audit(store, 3, 1 << 20), ERR_OK);
        }
    }
    static const char *const stay[] = {"r19", "r18", "r17", "r16", "r13", "r12"};
    struct audit_page page = look(store, NULL);
    assert_int_equal(page.count, 6);
    for (size_t i = 0; i < page.count; i++)
        assert_string_equal(page.rows[i].target_id, stay[i]);
    audit_page_free(&page);
    store_close(store);
}

static void a_number_is_never_given_again(void **state) {
    struct store *store = store_opened(*state);
    add(store, "one", AUDIT_REST);
    add(store, "two", AUDIT_CONSTRAINT);
    assert_int_equal(store_bound_audit(store, 0, 0), ERR_OK);
    add(store, "three", AUDIT_CONSTRAINT);
    add(store, "four", AUDIT_REST);
    assert_int_equal(count(store), 0);
    store_close(store);
    store = store_opened(*state);
    add(store, "five", AUDIT_REST);
    struct audit_page page = look(store, NULL);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.rows[0].number, 5);
    audit_page_free(&page);
    store_close(store);
    assert_true(refused(*state,
                        "INSERT INTO audit SELECT 4, class, 1, who, who_id, who_name, account,"
                        " origin, request_id, action, status, target_kind, target_id, target_name,"
                        " cluster_id, device_id, owner, durable, bytes, value_before, value_after"
                        " FROM audit",
                        "append-only"));
}

static void rows_are_bounded_by_their_bytes_too(void **state) {
    struct store *store = store_opened(*state);
    char value[AUDIT_VALUE_MAX + 1];
    memset(value, '1', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_int_equal(store_bound_audit(store, 1000, 5 * AUDIT_VALUE_MAX), ERR_OK);
    for (int i = 0; i < 20; i++)
        store_put_audit(store, record_made("x", AUDIT_CONSTRAINT, NULL, value));
    assert_int_equal(count(store), 4);
    store_close(store);
}

static void a_value_that_is_too_long_leaves_its_size_and_hash(void **state) {
    struct store *store = store_opened(*state);
    char value[AUDIT_VALUE_MAX + 2];
    memset(value, '1', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    store_put_audit(store, record_made("x", AUDIT_REST, value, "{}"));
    struct audit_page page = look(store, NULL);
    assert_non_null(strstr(page.rows[0].before, "\"leftOut\":true,\"bytes\":4097,"));
    assert_true(strlen(page.rows[0].before) < 120);
    audit_page_free(&page);
    store_close(store);
}

/* --- a disk that fails --------------------------------------------------------------------------
 */

static void what_the_disk_refuses_is_written_when_it_works_again(void **state) {
    struct store *store = store_opened(*state);
    struct rlimit before, tiny;
    char why[STORE_DETAIL_SIZE];
    add(store, "one", AUDIT_REST);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tiny = before;
    tiny.rlim_cur = 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    struct audit_record *bound = record_made("bound", AUDIT_CONSTRAINT, NULL, "{}");
    audit_records_not_durable(bound);
    store_put_audit(store, bound);
    store_put_audit(store, record_made("script", AUDIT_REST, NULL, "{}"));
    free(store_get_text(store, "a", "b")); /* behind them */
    bool failing = store_failing(store, why, sizeof why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(failing);
    assert_int_equal(store_put_text(store, "a", "b", "c", NULL, NULL), ERR_OK);
    struct audit_page page = look(store, NULL);
    assert_int_equal(page.count, 3);
    for (size_t i = 0; i < page.count; i++) {
        bool lost = strcmp(page.rows[i].target_id, "bound") == 0;
        assert_true(page.rows[i].durable == !lost);
        assert_int_equal(page.rows[i].origin.status, lost ? 202 : 201);
    }
    audit_page_free(&page);
    assert_int_equal(store->owed_count, 0);
    store_close(store);
}

static void no_more_than_so_many_wait_for_the_disk(void **state) {
    struct store *store = store_opened(*state);
    struct rlimit before, tiny;
    add(store, "one", AUDIT_REST);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tiny = before;
    tiny.rlim_cur = 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    for (int i = 0; i < AUDIT_OWED + 10; i++)
        store_put_audit(store, record_made("x", AUDIT_REST, NULL, "{}"));
    free(store_get_text(store, "a", "b"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(store->owed_count, AUDIT_OWED);
    store_close(store);
}

/* --- looking -------------------------------------------------------------------------------------
 */

static void pages_follow_each_other_without_a_gap(void **state) {
    struct store *store = store_opened(*state);
    struct audit_query query = {.limit = 3};
    char name[16];
    int seen = 0;
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "c%d", i);
        store_put_audit(store,
                        record_made(name, i % 2 ? AUDIT_REST : AUDIT_CONSTRAINT, NULL, "{}"));
    }
    for (bool more = true; more;) {
        struct audit_page page = look(store, &query);
        for (size_t i = 0; i < page.count; i++, seen++) {
            snprintf(name, sizeof name, "c%d", 9 - seen);
            assert_string_equal(page.rows[i].target_id, name);
        }
        more = page.more;
        query.before_at = page.last_at;
        query.before_number = page.last_number;
        audit_page_free(&page);
    }
    assert_int_equal(seen, 10);
    store_close(store);
}

static void filters_take_target_account_time_and_who_may_look(void **state) {
    struct store *store = store_opened(*state);
    struct account north = {.name = "North", .key = "north", .parent = "owner"};
    struct account south = {.name = "South", .key = "south", .parent = "owner"};
    assert_int_equal(store_account_create(store, &north, NULL), ERR_OK);
    assert_int_equal(store_account_create(store, &south, NULL), ERR_OK);
    static const char *const owners[] = {"owner", "north", "south", "north"};
    for (size_t i = 0; i < 4; i++) {
        struct audit_origin origin = origin_made("x");
        const struct audit_target target = {
            .kind = "device", .id = owners[i], .name = "d", .owner = owners[i]};
        snprintf(origin.account, sizeof origin.account, "%s", i == 3 ? "owner" : owners[i]);
        store_put_audit(store, audit_record_new(&origin, AUDIT_REST, &target, NULL, "{}"));
    }
    const struct {
        struct audit_query query;
        size_t count;
    } cases[] = {{{.viewer = "owner"}, 4},
                 {{.viewer = "north"}, 2},
                 {{.viewer = "south"}, 1},
                 {{.viewer = "nobody"}, 0},
                 {{.viewer = "owner", .account = "owner"}, 2},
                 {{.viewer = "north", .account = "owner"}, 1},
                 {{.target = "north"}, 2},
                 {{.target = "d"}, 4},
                 {{.target = "nothing"}, 0},
                 {{.from = {INT64_C(4102444800000)}}, 0},
                 {{.to = {1}}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct audit_page page = look(store, &cases[i].query);
        if (page.count != cases[i].count)
            fail_msg("case %zu: %zu rows, not %zu", i, page.count, cases[i].count);
        audit_page_free(&page);
    }
    store_close(store);
}

static void nobody_is_not_recorded(void **state) {
    (void)state;
    const struct audit_origin nobody = {0};
    const struct audit_target target = {.kind = "constraint"};
    assert_null(audit_record_new(&nobody, AUDIT_REST, &target, NULL, NULL));
    assert_false(audit_wanted(&nobody));
    assert_false(audit_wanted(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_field_of_a_row_comes_back_after_a_restart),
        TEST(a_change_that_is_refused_leaves_no_row),
        TEST(a_row_that_cannot_be_written_takes_the_change_with_it),
        TEST(changes_that_wait_together_are_one_commit_with_all_their_rows),
        TEST(a_row_is_never_changed_replaced_or_deleted),
        TEST(the_oldest_of_a_class_goes_and_it_is_said_from_when_on_it_is_whole),
        TEST(classes_that_alternate_are_each_bounded),
        TEST(a_number_is_never_given_again),
        TEST(rows_are_bounded_by_their_bytes_too),
        TEST(a_value_that_is_too_long_leaves_its_size_and_hash),
        TEST(what_the_disk_refuses_is_written_when_it_works_again),
        TEST(no_more_than_so_many_wait_for_the_disk),
        TEST(pages_follow_each_other_without_a_gap),
        TEST(filters_take_target_account_time_and_who_may_look),
        TEST(nobody_is_not_recorded),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
