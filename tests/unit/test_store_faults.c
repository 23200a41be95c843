/* The store while the disk or the memory fails at the n-th time of asking, for every n: what it
 * says is an error or the truth, nothing crashes or leaks, nothing is kept by half, what it has in
 * memory is what it has on disk, and it works again when the trouble is over.
 *
 * Memory is asked for so often that the quick run leaves most n out, others each time, and under
 * the sanitizers many of the disk's too; --full has every one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <time.h>

#include "base/log.h"
#include "disk.h"
#include "first_layout.h"
#include "memory.h"
#include "store/store_internal.h"
#include "store/store_webhooks.h"
#include "store_kit.h"
#include "witness.h"

#define FOREVER INT64_MAX
#define SEED    7
/* Beyond this something goes round in circles. */
#define N_MOST 100000

#if defined(DERD_SANITIZED)
#define STEP_QUICK    997
#define STEP_OF_DISKS 13
#else
#define STEP_QUICK    67
#define STEP_OF_DISKS 1
#endif

static struct {
    char root[64], folder[80];
    unsigned char *old; /* a file of layout 1 */
    int64_t old_size;
    int64_t step; /* of n, for memory */
} test;

static void ignore_line(void *context, enum log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

/* What fails: a disk of some kind, or memory. */
struct trouble {
    const char *name;
    bool of_memory;
    enum disk_failure failure;
    int64_t count;
};

static const struct trouble troubles[] = {
    {"a disk that is full for a moment", false, DISK_FULL, 1},
    {"a disk that is full", false, DISK_FULL, FOREVER},
    {"a disk that is read-only for a moment", false, DISK_READ_ONLY, 1},
    {"a disk that is read-only", false, DISK_READ_ONLY, FOREVER},
    {"a disk that breaks for a moment", false, DISK_BROKEN, 1},
    {"a disk that breaks", false, DISK_BROKEN, FOREVER},
    {"a disk that cannot be read for a moment", false, DISK_UNREADABLE, 1},
    {"a disk that cannot be read", false, DISK_UNREADABLE, FOREVER},
    {"memory that is short for a moment", true, DISK_FULL, 1},
    {"memory that is short", true, DISK_FULL, FOREVER},
};
#define TROUBLES (sizeof troubles / sizeof *troubles)

static void trouble_begin(const struct trouble *trouble, int64_t n) {
    if (trouble->of_memory)
        memory_fail(n, trouble->count);
    else
        disk_fail(trouble->failure, n, trouble->count);
}

static int64_t step_of(const struct trouble *trouble) {
    return trouble->of_memory ? test.step : test.step > 1 ? STEP_OF_DISKS : 1;
}

static int64_t first_of(const struct trouble *trouble) {
    return 1 + (int64_t)time(NULL) % step_of(trouble);
}

/* Whether there was any. */
static bool trouble_end(const struct trouble *trouble) {
    bool any = trouble->of_memory ? memory_failures() > 0 : disk_failures() > 0;
    memory_fail(0, 0);
    disk_fail(DISK_FULL, 0, 0);
    return any;
}

static void print_when_over(const struct trouble *trouble, bool any, int64_t n) {
    if (!any)
        print_message("%s: n up to %lld\n", trouble->name, (long long)n);
}

/* --- opening ---------------------------------------------------------------------------------- */

static struct store *open_here(struct report *report) {
    struct store *store;
    report_init(report);
    enum err err = store_open(&store, test.folder, report);
    assert_true((err == ERR_OK) == (store != NULL));
    return store;
}

static struct store *open_well(const char *when, int64_t n) {
    struct report report;
    struct store *store = open_here(&report);
    if (!store)
        fail_msg("%s (%lld): it cannot be opened afterwards: %s", when, (long long)n,
                 report.count ? report.items[0].text : "");
    report_free(&report);
    return store;
}

static void see_old(void *context, const char *target_id, const struct constraint *row) {
    (void)target_id;
    *(int *)context += strcmp(row->id, ID_ONE) == 0 && row->wish.max == 4200;
}

static void nothing_before(struct witness *witness) {
    (void)witness;
    disk_format(false);
}

static void an_old_file(struct witness *witness) {
    (void)witness;
    disk_format(true);
    disk_load("derd.db", test.old, test.old_size);
}

/* With a journal that is not in the database yet, as a power cut leaves it. */
static void a_full_journal(struct witness *witness) {
    disk_format(true);
    struct store *store = open_well("before", 0);
    for (int i = 0; i < 4; i++)
        assert_true(witness_change(witness, store) > 0);
    disk_cut_after(1);
    store_close(store);
    assert_true(disk_power_on());
}

static void open_in(const struct trouble *trouble, void (*prepare)(struct witness *), bool old) {
    bool any = true;
    for (int64_t n = first_of(trouble); any; n += step_of(trouble)) {
        struct witness *witness = witness_new(SEED);
        struct report report;
        char text[300];
        int constraints = 0;
        assert_true(n < N_MOST);
        prepare(witness);
        trouble_begin(trouble, n);
        struct store *store = open_here(&report);
        any = trouble_end(trouble);
        if (!store && report.total == 0)
            fail_msg("%s, at %lld: it was not opened, and nothing was said", trouble->name,
                     (long long)n);
        if (!any && !store)
            fail_msg("%s: it was not opened without reason", trouble->name);
        report_free(&report);
        store_close(store);
        store = open_well(trouble->name, n);
        if (witness_look(witness, store, text, sizeof text))
            fail_msg("%s, at %lld: %s", trouble->name, (long long)n, text);
        assert_int_equal(store_load_constraints(store, see_old, &constraints), ERR_OK);
        assert_int_equal(constraints, old);
        store_close(store);
        witness_free(witness);
        print_when_over(trouble, any, n);
    }
}

static void opening_fails_with_words_and_harms_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < TROUBLES; i++) {
        open_in(&troubles[i], nothing_before, false);
        open_in(&troubles[i], an_old_file, true);
        open_in(&troubles[i], a_full_journal, false);
    }
}

/* --- working ---------------------------------------------------------------------------------- */

static void ignore_constraint(void *context, const char *target_id, const struct constraint *row) {
    (void)context;
    (void)target_id;
    (void)row;
}

static void ignore_thing(void *context, const struct stored_thing *thing) {
    (void)context;
    (void)thing;
}

static void ignore_webhook(void *context, const char *id, const char *account,
                           const char *document) {
    (void)context;
    assert_non_null(id);
    assert_non_null(account);
    assert_non_null(document);
}

/* Whatever can be asked; what it says in trouble is an error or the truth. */
static void read_all(struct store *store) {
    struct token *tokens;
    struct account *accounts;
    struct receipt receipt;
    struct delivery *deliveries, delivery = {0};
    struct delivery_counts counts;
    struct wall next;
    size_t count;
    char id[ID_SIZE];
    const char *webhook = "00000000-0000-4000-8008-000000000000";
    if (store_load_constraints(store, ignore_constraint, NULL) == ERR_OK &&
        store_load_things(store, ignore_thing, NULL) == ERR_OK &&
        store_load_webhooks(store, ignore_webhook, NULL) == ERR_OK)
        free(store_get_text(store, "witness", "text-1"));
    if (store_token_list(store, &tokens, &count) == ERR_OK)
        free(tokens);
    if (store_account_list(store, &accounts, &count) == ERR_OK)
        free(accounts);
    if (store_get_receipt(store, "owner", "kept", (struct wall){1000}, &receipt) == ERR_OK)
        assert_string_equal(receipt.body, "{\"whole\":true}");
    free(receipt.body);
    if (store_list_deliveries(store, webhook, 10, &deliveries, &count) == ERR_OK)
        free(deliveries);
    if (store_count_deliveries(store, webhook, &counts) != ERR_OK ||
        store_next_delivery(store, webhook, (struct wall){INT64_MAX}, &delivery, &next) != ERR_OK)
        delivery.body = NULL;
    free(delivery.body);
    if (store_id(store, "read", "all", id) == ERR_OK)
        assert_true(uuid_valid(id));
}

/* A round may find nothing to do. */
static bool works(struct witness *witness, struct store *store) {
    int acknowledged = 0;
    for (int i = 0; i < 10 && acknowledged < 2; i++)
        acknowledged += witness_change(witness, store);
    return acknowledged > 0;
}

static void work_in(const struct trouble *trouble) {
    bool any = true;
    for (int64_t n = first_of(trouble); any; n += step_of(trouble)) {
        struct witness *witness = witness_new(SEED);
        const struct receipt kept = {.owner = "owner",
                                     .key = "kept",
                                     .created_at = {1000},
                                     .body = (char *)"{\"whole\":true}"};
        char text[300], why[200];
        assert_true(n < N_MOST);
        disk_format(true);
        struct store *store = open_well("before", 0);
        sqlite3_wal_autocheckpoint(store->db, 8);
        for (int i = 0; i < 3; i++)
            witness_change(witness, store);
        assert_int_equal(store_put_receipt(store, &kept, NULL, NULL), ERR_OK);
        free(store_get_text(store, "a", "b"));

        trouble_begin(trouble, n);
        witness_change(witness, store);
        read_all(store);
        witness_change(witness, store);
        any = trouble_end(trouble);

        /* What it has is what was said, and it goes on. */
        if (witness_look(witness, store, text, sizeof text))
            fail_msg("%s, at %lld: %s", trouble->name, (long long)n, text);
        if (!works(witness, store))
            fail_msg("%s, at %lld: it does not work again", trouble->name, (long long)n);
        if (store_failing(store, why, sizeof why))
            fail_msg("%s, at %lld: it still says that it fails: %s", trouble->name, (long long)n,
                     why);
        store_close(store);
        store = open_well(trouble->name, n);
        if (witness_look(witness, store, text, sizeof text))
            fail_msg("%s, at %lld, opened again: %s", trouble->name, (long long)n, text);
        store_close(store);
        witness_free(witness);
        print_when_over(trouble, any, n);
    }
}

static void working_fails_with_an_error_and_keeps_nothing_by_half(void **state) {
    (void)state;
    for (size_t i = 0; i < TROUBLES; i++)
        work_in(&troubles[i]);
}

static void what_fails_is_told_in_words(void **state) {
    static const struct {
        enum disk_failure failure;
        const char *words;
    } said[] = {{DISK_FULL, "the disk is full: make room"},
                {DISK_READ_ONLY, "needs the right to write"},
                {DISK_BROKEN, "look at the disk (dmesg)"}};
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct witness *witness = witness_new(SEED);
        char why[200];
        disk_format(true);
        struct store *store = open_well("before", 0);
        disk_fail(said[i].failure, 1, FOREVER);
        assert_int_equal(witness_change(witness, store), 0);
        assert_true(store_failing(store, why, sizeof why));
        if (!strstr(why, said[i].words))
            fail_msg("\"%s\" is not in: %s", said[i].words, why);
        disk_fail(said[i].failure, 0, 0);
        assert_true(witness_change(witness, store) > 0);
        assert_false(store_failing(store, why, sizeof why));
        store_close(store);
        witness_free(witness);
    }
}

/* --- starting on a disk that can be read only ------------------------------------------------- */

/* Closed as it should be: there is no journal any more. */
static void a_closed_file(struct witness *witness) {
    disk_format(true);
    struct store *store = open_well("before", 0);
    for (int i = 0; i < 4; i++)
        assert_true(witness_change(witness, store) > 0);
    store_close(store);
    assert_int_equal(disk_size("derd.db-wal"), -1);
}

static void start_in(enum disk_failure failure, void (*prepare)(struct witness *)) {
    struct witness *witness = witness_new(SEED);
    char text[300] = "", why[200], id[ID_SIZE];
    prepare(witness);
    int count = witness_count(witness);
    assert_true(count > 0);
    disk_fail(failure, 1, FOREVER);
    struct store *store = open_well("read-only", 0);
    assert_true(store_failing(store, why, sizeof why));
    assert_true(strlen(why) > 20);
    if (witness_look(witness, store, text, sizeof text))
        fail_msg("%s", text);
    assert_int_equal(witness_count(witness), count);
    /* Nothing is taken, and all is said, also when it is tried again. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(witness_change(witness, store), 0);
        store->standby_since.ms = INT64_MIN / 2;
    }
    assert_int_equal(store_id(store, "device", "new", id), ERR_IO);
    if (witness_look(witness, store, text, sizeof text))
        fail_msg("%s", text);
    assert_true(store_failing(store, why, sizeof why));
    /* The disk is back. */
    disk_fail(failure, 0, 0);
    store->standby_since.ms = INT64_MIN / 2;
    assert_true(works(witness, store));
    assert_false(store_failing(store, why, sizeof why));
    store_close(store);
    store = open_well("written again", 0);
    if (witness_look(witness, store, text, sizeof text))
        fail_msg("%s", text);
    store_close(store);
    witness_free(witness);
}

static void what_is_there_is_in_force_on_a_disk_that_can_only_be_read(void **state) {
    (void)state;
    start_in(DISK_READ_ONLY, a_full_journal);
    start_in(DISK_READ_ONLY, a_closed_file);
    start_in(DISK_FULL, a_full_journal);
    start_in(DISK_FULL, a_closed_file);
    start_in(DISK_BROKEN, a_full_journal);
    start_in(DISK_BROKEN, a_closed_file);
}

static void an_old_file_on_a_read_only_disk_is_refused_with_the_reason(void **state) {
    struct report report;
    (void)state;
    an_old_file(NULL);
    disk_fail(DISK_READ_ONLY, 1, FOREVER);
    assert_null(open_here(&report));
    assert_int_equal(report.total, 1);
    assert_non_null(strstr(report.items[0].text, "read"));
    report_free(&report);
    disk_fail(DISK_READ_ONLY, 0, 0);
}

/* --- the folder ------------------------------------------------------------------------------- */

static void old_file_make(void) {
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/old.db", test.root);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, layout_1, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    test.old = malloc(1 << 20);
    assert_non_null(test.old);
    test.old_size = (int64_t)fread(test.old, 1, 1 << 20, file);
    fclose(file);
}

static int begin(void **state) {
    (void)state;
    snprintf(test.root, sizeof test.root, "/tmp/derd-faults-XXXXXX");
    assert_non_null(mkdtemp(test.root));
    snprintf(test.folder, sizeof test.folder, "%s/state", test.root);
    log_set_sink(ignore_line, NULL);
    old_file_make();
    disk_insert(test.folder, SEED);
    return 0;
}

static int end(void **state) {
    (void)state;
    disk_remove();
    free(test.old);
    log_set_sink(NULL, NULL);
    return nftw(test.root, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv) {
    test.step = argc > 1 && strcmp(argv[1], "--full") == 0 ? 1 : STEP_QUICK;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fails_is_told_in_words),
        cmocka_unit_test(what_is_there_is_in_force_on_a_disk_that_can_only_be_read),
        cmocka_unit_test(an_old_file_on_a_read_only_disk_is_refused_with_the_reason),
        cmocka_unit_test(opening_fails_with_words_and_harms_nothing),
        cmocka_unit_test(working_fails_with_an_error_and_keeps_nothing_by_half),
    };
    memory_insert();
    return cmocka_run_group_tests(tests, begin, end);
}
