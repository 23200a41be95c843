/* A damaged file at start: what can be read of it is there and true, what cannot is told, and the
 * file stays as it is. Real files, damaged page by page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "first_layout.h"
#include "store/store_internal.h"
#include "store/store_webhooks.h"
#include "store_kit.h"

#define CONSTRAINTS 300
#define TOKENS      60
#define IDS         120
#define DEVICE      "11111111-2222-4333-8444-555555555555"

#if defined(DERD_SANITIZED)
#define PAGE_STEP 5
#else
#define PAGE_STEP 1
#endif

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct {
    struct bytes whole; /* derd.db, closed as it should be */
    char tokens[TOKENS][TOKEN_TEXT_SIZE];
    char ids[IDS][ID_SIZE];
    int errors; /* lines of the log */
} test;

static void count_line(void *context, enum log_level level, const char *line) {
    (void)context;
    (void)line;
    test.errors += level == LOG_LEVEL_ERROR;
}

/* --- files ------------------------------------------------------------------------------------ */

static struct bytes file_read(const struct folder *folder, const char *name) {
    char path[128];
    struct stat status;
    struct bytes bytes = {0};
    folder_path(folder, name, path);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return bytes;
    assert_int_equal(fstat(fd, &status), 0);
    bytes.size = (size_t)status.st_size;
    bytes.data = malloc(bytes.size + 1);
    assert_non_null(bytes.data);
    assert_int_equal(read(fd, bytes.data, bytes.size), (ssize_t)bytes.size);
    close(fd);
    return bytes;
}

static void file_write(const struct folder *folder, const char *name, const struct bytes *bytes) {
    char path[128];
    folder_path(folder, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes->data, bytes->size), (ssize_t)bytes->size);
    close(fd);
}

static bool file_is(const struct folder *folder, const char *name, const struct bytes *bytes) {
    struct bytes now = file_read(folder, name);
    bool same = now.size == bytes->size && now.data && memcmp(now.data, bytes->data, now.size) == 0;
    free(now.data);
    return same;
}

static struct bytes copy_of(const struct bytes *bytes) {
    struct bytes copy = {malloc(bytes->size + 1), bytes->size};
    assert_non_null(copy.data);
    memcpy(copy.data, bytes->data, bytes->size);
    return copy;
}

static void remove_file(const struct folder *folder, const char *name) {
    char path[128];
    folder_path(folder, name, path);
    (void)remove(path);
}

/* Numbers of the pages that hold rows of a table or an index. */
static size_t pages_of(const struct folder *folder, const char *name, int pages[200]) {
    char path[128], sql[200];
    sqlite3 *db;
    sqlite3_stmt *statement;
    size_t count = 0;
    folder_path(folder, "derd.db", path);
    snprintf(sql, sizeof sql,
             "SELECT pageno FROM dbstat WHERE name = '%s' AND pagetype = 'leaf' ORDER BY path",
             name);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW && count < 200)
        pages[count++] = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_true(count > 0);
    return count;
}

static void page_fill(struct bytes *bytes, int page, int value) {
    assert_true((size_t)page * 4096 <= bytes->size);
    if (bytes->data)
        memset(bytes->data + ((size_t)page - 1) * 4096, value, 4096);
}

/* --- what is in it -----------------------------------------------------------------------------
 */

static void constraint_numbered(unsigned number, struct constraint *constraint) {
    *constraint = (struct constraint){
        .wish = {.priority = 1000, .rank = number, .has_max = true, .max = (int32_t)number * 10},
        .valid_at = {1000},
        .invalid_at = {2000},
        .created_at = {900},
        .created_by = "token:test",
        .reason = "so that a row is not too short for a page"};
    snprintf(constraint->id, ID_SIZE, "00000000-0000-4000-8000-%012u", number);
}

static void put(struct store *store, unsigned number) {
    struct constraint constraint;
    constraint_numbered(number, &constraint);
    assert_int_equal(store_put_constraint(store, DEVICE, &constraint, NULL, NULL), ERR_OK);
}

static void fill(struct store *store) {
    char name[40], path[40], value[121];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (unsigned i = 1; i <= CONSTRAINTS; i++)
        put(store, i);
    for (int i = 0; i < TOKENS; i++) {
        snprintf(name, sizeof name, "token %d", i);
        assert_int_equal(token_create(store, name, NULL, 1000, test.tokens[i]), ERR_OK);
    }
    for (int i = 0; i < IDS; i++) {
        snprintf(path, sizeof path, "home/device-%d", i);
        assert_int_equal(store_id(store, "device", path, test.ids[i]), ERR_OK);
        assert_int_equal(store_put_text(store, "gates", test.ids[i], value, NULL, NULL), ERR_OK);
    }
    free(store_get_text(store, "gates", "")); /* waits for all */
}

static int begin(void **state) {
    if (folder_make(state) != 0)
        return 1;
    log_set_sink(count_line, NULL);
    struct store *store = store_opened(*state);
    fill(store);
    store_close(store);
    test.whole = file_read(*state, "derd.db");
    return 0;
}

static int end(void **state) {
    free(test.whole.data);
    log_set_sink(NULL, NULL);
    return folder_remove(state);
}

static int fresh(void **state) {
    remove_file(*state, "derd.db-wal");
    remove_file(*state, "derd.db-shm");
    file_write(*state, "derd.db", &test.whole);
    test.errors = 0;
    return 0;
}

/* --- opening -----------------------------------------------------------------------------------
 */

struct seen {
    size_t constraints, wrong;
    bool has[CONSTRAINTS + 1];
};

static void see(void *context, const char *target_id, const struct constraint *row) {
    struct seen *seen = context;
    struct constraint expected;
    unsigned number = (unsigned)row->wish.rank;
    constraint_numbered(number, &expected);
    seen->constraints++;
    if (number == 0 || number > CONSTRAINTS || seen->has[number] ||
        strcmp(target_id, DEVICE) != 0 || strcmp(row->id, expected.id) != 0 ||
        row->wish.max != expected.wish.max || strcmp(row->reason, expected.reason) != 0)
        seen->wrong++;
    else
        seen->has[number] = true;
}

static struct store *try_open(const struct folder *folder, struct report *report) {
    struct store *store;
    report_init(report);
    enum err err = store_open_damaged_too(&store, folder->path, report);
    assert_true((err == ERR_OK) == (store != NULL));
    return store;
}

/* The file as it is now is refused by commands, and read for the host: `why` gets the words. */
static struct store *opened(const struct folder *folder, const char *damage, char *why) {
    struct report report;
    assert_int_equal(store_refused(folder->path, "damaged"), ERR_FORMAT);
    test.errors = 0;
    struct store *store = try_open(folder, &report);
    if (!store)
        fail_msg("it was not opened: %s", report.count ? report.items[0].text : "");
    report_free(&report);
    assert_true(store_damaged(store));
    assert_int_equal(test.errors, 1);
    assert_true(store_failing(store, why, STORE_DETAIL_SIZE));
    assert_non_null(strstr(why, "derd restore BACKUP"));
    if (!strstr(why, damage))
        fail_msg("\"%s\" is not in: %s", damage, why);
    return store;
}

static size_t look(struct store *store) {
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    assert_int_equal(store_load_constraints(store, see, &seen), ERR_OK);
    assert_int_equal(seen.wrong, 0);
    return seen.constraints;
}

static size_t tokens_good(struct store *store) {
    struct token token;
    size_t good = 0;
    for (int i = 0; i < TOKENS; i++)
        good += store_token_check(store, test.tokens[i], &token);
    return good;
}

/* All that a host may want of it is answered, nothing of it goes to the file. */
static void nothing_is_written(struct store *store) {
    struct results *results = results_new();
    struct constraint constraint;
    struct account account;
    char text[TOKEN_TEXT_SIZE], id[ID_SIZE], again[ID_SIZE];
    constraint_numbered(CONSTRAINTS + 1, &constraint);
    assert_int_equal(store_put_constraint(store, DEVICE, &constraint, results_add, results),
                     ERR_OK);
    assert_int_equal(store_put_text(store, "clock", "floor", "1", results_add, results), ERR_OK);
    assert_int_equal(token_create(store, "new", NULL, 1, text), ERR_IO);
    store->standby_since.ms = INT64_MIN / 2;
    assert_int_equal(store_put_text(store, "clock", "floor", "2", results_add, results), ERR_OK);
    results_wait(results, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results->items[i], ERR_IO);
    results_free(results);
    assert_int_equal(store_id(store, "device", "home/new", id), ERR_OK);
    assert_int_equal(store_id(store, "device", "home/new", again), ERR_OK);
    assert_string_equal(id, again);
    assert_int_equal(store_account_ensure(store, "site"), ERR_OK);
    assert_true(store_account_find(store, "site", &account));
    assert_true(store_account_find(store, ACCOUNT_ROOT, &account));
}

static size_t number_before(const char *why, const char *words) {
    const char *at = strstr(why, words);
    assert_non_null(at);
    while (at > why && (at[-1] == ' ' || (at[-1] >= '0' && at[-1] <= '9')))
        at--;
    return (size_t)strtoul(at, NULL, 10);
}

/* --- tests -------------------------------------------------------------------------------------
 */

static void a_page_of_constraints_that_is_zeros_costs_its_rows_only(void **state) {
    char why[STORE_DETAIL_SIZE];
    int pages[200];
    struct bytes broken = copy_of(&test.whole);
    size_t count = pages_of(*state, "constraints", pages);
    assert_true(count > 5);
    page_fill(&broken, pages[2], 0);
    page_fill(&broken, pages[4], 0); /* and what is between them is read */
    file_write(*state, "derd.db", &broken);
    struct store *store = opened(*state, "LIMITS THAT WERE ACCEPTED MAY BE MISSING", why);
    size_t read = look(store);
    assert_true(read < CONSTRAINTS && read > CONSTRAINTS * (count - 3) / count);
    assert_int_equal(number_before(why, "of 300 rows of constraints"), CONSTRAINTS - read);
    assert_null(strstr(why, "tokens ("));
    assert_int_equal(tokens_good(store), TOKENS);
    nothing_is_written(store);
    store_close(store);
    assert_true(file_is(*state, "derd.db", &broken));
    free(broken.data);
}

static void tokens_that_can_be_read_work(void **state) {
    char why[STORE_DETAIL_SIZE];
    int pages[200];
    struct bytes broken = copy_of(&test.whole);
    size_t count = pages_of(*state, "tokens", pages);
    assert_true(count > 1);
    page_fill(&broken, pages[0], 0);
    file_write(*state, "derd.db", &broken);
    struct store *store = opened(*state, "of 60 rows of tokens", why);
    size_t good = tokens_good(store);
    assert_true(good > 0 && good < TOKENS);
    assert_int_equal(number_before(why, "of 60 rows of tokens"), TOKENS - good);
    assert_null(strstr(why, "LIMITS"));
    assert_int_equal(look(store), CONSTRAINTS);
    store_close(store);
    assert_true(file_is(*state, "derd.db", &broken));
    free(broken.data);
}

static void an_index_that_is_damaged_costs_no_row(void **state) {
    char why[STORE_DETAIL_SIZE];
    int pages[200];
    struct bytes broken = copy_of(&test.whole);
    pages_of(*state, "sqlite_autoindex_constraints_1", pages);
    page_fill(&broken, pages[0], 0x5a);
    file_write(*state, "derd.db", &broken);
    struct store *store = opened(*state, "Every row of what counts could be read", why);
    assert_int_equal(look(store), CONSTRAINTS);
    /* What stays in the file is not shown as if there were none. */
    struct delivery *deliveries;
    struct audit_page page;
    size_t listed;
    assert_int_equal(store_list_deliveries(store, test.ids[0], 10, &deliveries, &listed), ERR_IO);
    assert_int_equal(store_read_audit(store, &(struct audit_query){.limit = 1}, &page), ERR_IO);
    store_close(store);
    free(broken.data);
}

static void what_no_index_counts_is_unknown(void **state) {
    char why[STORE_DETAIL_SIZE];
    int pages[200];
    struct bytes broken = copy_of(&test.whole);
    size_t count = pages_of(*state, "texts", pages);
    assert_true(count > 3);
    page_fill(&broken, pages[1], 0);
    page_fill(&broken, pages[count - 1], 0);
    file_write(*state, "derd.db", &broken);
    struct store *store = opened(*state, "an unknown number of rows of texts", why);
    size_t found = 0;
    for (int i = 0; i < IDS; i++) {
        char *text = store_get_text(store, "gates", test.ids[i]);
        found += text != NULL;
        free(text);
    }
    assert_true(found >= IDS * (count - 3) / count && found < IDS);
    store_close(store);
    free(broken.data);
}

static void without_its_first_page_nothing_is_read_and_all_is_said(void **state) {
    char why[STORE_DETAIL_SIZE], id[ID_SIZE];
    for (int header = 0; header < 2; header++) {
        struct bytes broken = copy_of(&test.whole);
        memset(broken.data + (header ? 100 : 0), 0, header ? 3996 : 4096);
        file_write(*state, "derd.db", &broken);
        struct store *store = opened(*state, "an unknown number of rows of constraints", why);
        assert_non_null(strstr(why, "LIMITS"));
        assert_int_equal(look(store), 0);
        assert_int_equal(tokens_good(store), 0);
        assert_int_equal(store_id(store, "device", "home/device-0", id), ERR_OK);
        assert_string_not_equal(id, test.ids[0]);
        nothing_is_written(store);
        store_close(store);
        assert_true(file_is(*state, "derd.db", &broken));
        free(broken.data);
    }
}

static void a_file_that_is_cut_off_is_read_as_far_as_it_goes(void **state) {
    char why[STORE_DETAIL_SIZE];
    size_t most = 0;
    for (size_t part = 1; part < 8; part++) {
        struct bytes broken = test.whole;
        broken.size = broken.size * part / 8 + 100;
        file_write(*state, "derd.db", &broken);
        struct store *store = opened(*state, "rows of", why);
        size_t read = look(store);
        most = read > most ? read : most;
        store_close(store);
        assert_true(file_is(*state, "derd.db", &broken));
    }
    assert_true(most > CONSTRAINTS / 2);
}

/* Each page in its turn, in two ways: never a crash, a wrong row, a row that is missing unsaid. */
static void whatever_page_is_damaged_what_is_read_is_true(void **state) {
    char why[STORE_DETAIL_SIZE];
    const int pages = (int)(test.whole.size / 4096);
    size_t whole = 0;
    for (int page = 1; page <= pages; page += PAGE_STEP)
        for (int way = 0; way < 2; way++) {
            struct report report;
            struct bytes broken = copy_of(&test.whole);
            if (page == 1 && way == 1)
                memset(broken.data + 100, 0x5a, 3996);
            else
                page_fill(&broken, page, way ? 0x5a : 0);
            file_write(*state, "derd.db", &broken);
            struct store *store = try_open(*state, &report);
            if (!store)
                fail_msg("page %d: %s", page, report.count ? report.items[0].text : "");
            report_free(&report);
            size_t read = look(store);
            bool damaged = store_failing(store, why, sizeof why);
            whole += read == CONSTRAINTS;
            if (read < CONSTRAINTS && (!damaged || !strstr(why, "rows of constraints")))
                fail_msg("page %d: %zu constraints are missing unsaid: %s", page,
                         CONSTRAINTS - read, why);
            if (damaged && tokens_good(store) < TOKENS && !strstr(why, "rows of tokens"))
                fail_msg("page %d: tokens are missing unsaid: %s", page, why);
            store_close(store);
            if (damaged)
                assert_true(file_is(*state, "derd.db", &broken));
            free(broken.data);
            remove_file(*state, "derd.db-wal");
            remove_file(*state, "derd.db-shm");
        }
    assert_true(whole > 0);
}

/* --- the journal -------------------------------------------------------------------------------
 */

/* As a kill leaves it: the last `more` constraints are in the journal, each in a transaction of its
 * own. */
static void killed(const struct folder *folder, unsigned more, struct bytes *db,
                   struct bytes *journal) {
    struct store *store = store_opened(folder);
    for (unsigned i = CONSTRAINTS - more + 1; i <= CONSTRAINTS; i++) {
        char id[ID_SIZE];
        snprintf(id, sizeof id, "00000000-0000-4000-8000-%012u", i);
        assert_int_equal(store_remove_constraint(store, id, NULL, NULL), ERR_OK);
    }
    free(store_get_text(store, "gates", ""));
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
        SQLITE_OK);
    for (unsigned i = CONSTRAINTS - more + 1; i <= CONSTRAINTS; i++) {
        put(store, i);
        free(store_get_text(store, "gates", ""));
    }
    *db = file_read(folder, "derd.db");
    *journal = file_read(folder, "derd.db-wal");
    store_close(store);
    assert_true(journal->size > 32 + 10 * 4120);
}

static void lay_out(const struct folder *folder, const struct bytes *db,
                    const struct bytes *journal) {
    remove_file(folder, "derd.db-shm");
    file_write(folder, "derd.db", db);
    file_write(folder, "derd.db-wal", journal);
}

static void a_journal_that_is_damaged_is_no_journal_that_ends_there(void **state) {
    char why[STORE_DETAIL_SIZE];
    struct bytes db, journal;
    killed(*state, 40, &db, &journal);
    /* in a page, over two headers, and the header of all */
    static const struct {
        size_t at, size;
        const char *words;
        int value;
    } places[] = {{32 + 8 * 4120 + 1000, 100, "up to ", 0x5a},
                  {32 + 8 * 4120 - 2000, 6000, "up to ", 0x5a},
                  {0, 32, "an unknown number of changes", 0x5a},
                  {0, 4096, "an unknown number of changes", 0}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct bytes broken = copy_of(&journal);
        memset(broken.data + places[i].at, places[i].value, places[i].size);
        lay_out(*state, &db, &broken);
        struct store *store = opened(*state, "derd.db-wal is damaged", why);
        assert_non_null(strstr(why, places[i].words));
        assert_non_null(strstr(why, "LIMITS"));
        size_t read = look(store);
        assert_true(read >= CONSTRAINTS - 40 && read < CONSTRAINTS);
        nothing_is_written(store);
        store_close(store);
        assert_true(file_is(*state, "derd.db", &db));
        assert_true(file_is(*state, "derd.db-wal", &broken));
        free(broken.data);
    }
    free(db.data);
    free(journal.data);
}

static void a_journal_that_a_power_cut_has_torn_is_none_that_is_damaged(void **state) {
    struct bytes db, journal;
    killed(*state, 40, &db, &journal);
    struct bytes torn = copy_of(&journal);
    size_t frames = (journal.size - 32) / 4120;
    memset(torn.data + 32 + (frames - 1) * 4120 + 500, 0x5a, 1000); /* the last frame */
    lay_out(*state, &db, &torn);
    struct store *store = store_opened(*state);
    assert_false(store_damaged(store));
    assert_int_equal(look(store), CONSTRAINTS - 1);
    store_close(store);
    torn.size = 32 + 7 * 4120 + 100;
    lay_out(*state, &db, &torn);
    store = store_opened(*state);
    assert_false(store_damaged(store));
    store_close(store);
    free(torn.data);
    /* whole */
    lay_out(*state, &db, &journal);
    store = store_opened(*state);
    assert_int_equal(look(store), CONSTRAINTS);
    store_close(store);
    free(db.data);
    free(journal.data);
}

/* The power goes while SQLite begins with the journal again, within the bytes of its header: the
 * new number of the round is there, the salts are still the old ones. SQLite takes these for its
 * next header, so that what is left of the round before looks as if it belonged to this one. */
static void what_a_torn_header_leaves_of_the_round_before_is_not_missing(void **state) {
    struct bytes db, journal;
    killed(*state, 40, &db, &journal);
    lay_out(*state, &db, &journal);
    free(db.data);
    free(journal.data);
    struct store *store = store_opened(*state);
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
        SQLITE_OK);
    db = file_read(*state, "derd.db"); /* has all that is in the journal */
    journal = file_read(*state, "derd.db-wal");
    store_close(store);
    journal.data[15]++;
    lay_out(*state, &db, &journal);
    store = store_opened(*state);
    assert_false(store_damaged(store));
    put(store, 1);
    free(store_get_text(store, "gates", ""));
    struct bytes after = file_read(*state, "derd.db-wal");
    store_close(store);
    lay_out(*state, &db, &after);
    store = store_opened(*state);
    assert_false(store_damaged(store));
    assert_int_equal(look(store), CONSTRAINTS);
    store_close(store);
    free(db.data);
    free(journal.data);
    free(after.data);
}

/* The power went while SQLite wrote the very first page. It reads the header of the file before it
 * takes the page back, and made the next first page with the flags that it had read. */
static void a_first_page_that_a_power_cut_has_torn_leaves_nothing_behind(void **state) {
    static unsigned char header[512] = {
        0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 0,    1, 2, 3,
        4,    0,    0,    0,    0,    0,    0,    2,    0, 0, 0, 0x10, 0}; /* of no record, for an
                                                                              empty file */
    struct bytes torn = copy_of(&test.whole), journal = {header, sizeof header};
    torn.size = 4096;
    memset(torn.data + 60, 0x5a, torn.size - 60);
    remove_file(*state, "derd.db-wal");
    remove_file(*state, "derd.db-shm");
    file_write(*state, "derd.db", &torn);
    file_write(*state, "derd.db-journal", &journal);
    free(torn.data);
    for (int start = 0; start < 2; start++) {
        struct store *store = store_opened(*state);
        assert_false(store_damaged(store));
        put(store, 1);
        store_close(store);
    }
}

static void an_empty_file_with_a_journal_is_not_a_new_one(void **state) {
    char why[STORE_DETAIL_SIZE];
    struct bytes db, journal, none = {NULL, 0};
    killed(*state, 40, &db, &journal);
    none.data = db.data;
    lay_out(*state, &none, &journal);
    struct store *store = opened(*state, "it is empty, and its journal derd.db-wal is not", why);
    assert_int_equal(look(store), 0);
    store_close(store);
    assert_true(file_is(*state, "derd.db", &none));
    assert_true(file_is(*state, "derd.db-wal", &journal));
    free(db.data);
    free(journal.data);
}

static void damage_in_the_file_below_a_journal_leaves_both_alone(void **state) {
    char why[STORE_DETAIL_SIZE];
    struct bytes db, journal;
    int pages[200];
    pages_of(*state, "constraints", pages);
    killed(*state, 40, &db, &journal);
    page_fill(&db, pages[0], 0);
    lay_out(*state, &db, &journal);
    struct store *store = opened(*state, "rows of constraints", why);
    size_t read = look(store);
    assert_true(read > CONSTRAINTS / 2 && read < CONSTRAINTS);
    store_close(store);
    assert_true(file_is(*state, "derd.db", &db));
    assert_true(file_is(*state, "derd.db-wal", &journal));
    free(db.data);
    free(journal.data);
}

/* --- what is no damage -------------------------------------------------------------------------
 */

static void refused_by_both(const struct folder *folder, const char *words, enum err as) {
    struct report report;
    assert_int_equal(store_refused(folder->path, words), as);
    assert_null(try_open(folder, &report));
    assert_int_equal(report.total, 1);
    assert_non_null(strstr(report.items[0].text, words));
    report_free(&report);
}

static void a_wrong_file_is_refused(void **state) {
    struct bytes wrong = copy_of(&test.whole);
    int pages[200];
    pages_of(*state, "constraints", pages);
    memset(wrong.data, 0x5a, wrong.size); /* nothing in it is ours */
    file_write(*state, "derd.db", &wrong);
    refused_by_both(*state, "not a database", ERR_FORMAT);
    memcpy(wrong.data, test.whole.data, wrong.size);
    memcpy(wrong.data + 68, "abcd", 4); /* another program's */
    file_write(*state, "derd.db", &wrong);
    refused_by_both(*state, "another program", ERR_FORMAT);
    page_fill(&wrong, pages[0], 0); /* and damaged */
    file_write(*state, "derd.db", &wrong);
    refused_by_both(*state, "another program", ERR_FORMAT);
    memcpy(wrong.data, test.whole.data, wrong.size);
    memcpy(wrong.data + 60, "\0\0\0\x63", 4); /* a newer layout */
    file_write(*state, "derd.db", &wrong);
    refused_by_both(*state, "newer derd", ERR_REFUSED);
    page_fill(&wrong, pages[0], 0);
    file_write(*state, "derd.db", &wrong);
    refused_by_both(*state, "newer derd", ERR_REFUSED);
    free(wrong.data);
}

static void a_file_that_is_whole_is_opened_as_ever(void **state) {
    struct report report;
    struct store *store = try_open(*state, &report);
    assert_non_null(store);
    report_free(&report);
    assert_false(store_damaged(store));
    assert_false(store_failing(store, NULL, 0));
    assert_int_equal(look(store), CONSTRAINTS);
    store_close(store);
    assert_int_equal(test.errors, 0);
}

static void an_old_layout_that_is_damaged_is_brought_up_in_memory(void **state) {
    char path[128], why[STORE_DETAIL_SIZE];
    sqlite3 *db;
    remove_file(*state, "derd.db");
    folder_path(*state, "derd.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, layout_1, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    int pages[200];
    struct bytes broken = file_read(*state, "derd.db");
    pages_of(*state, "constraints_by_end", pages);
    page_fill(&broken, pages[0], 0x5a);
    file_write(*state, "derd.db", &broken);
    struct store *store = opened(*state, "damaged", why);
    struct token *tokens = NULL;
    size_t count = 0;
    assert_int_equal(store_token_list(store, &tokens, &count), ERR_OK);
    assert_true(count > 0 && tokens[0].scopes != 0);
    free(tokens);
    store_close(store);
    assert_true(file_is(*state, "derd.db", &broken));
    free(broken.data);
}

#define ON(test) cmocka_unit_test_setup(test, fresh)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON(a_page_of_constraints_that_is_zeros_costs_its_rows_only),
        ON(tokens_that_can_be_read_work),
        ON(an_index_that_is_damaged_costs_no_row),
        ON(what_no_index_counts_is_unknown),
        ON(without_its_first_page_nothing_is_read_and_all_is_said),
        ON(a_file_that_is_cut_off_is_read_as_far_as_it_goes),
        ON(whatever_page_is_damaged_what_is_read_is_true),
        ON(a_journal_that_is_damaged_is_no_journal_that_ends_there),
        ON(a_journal_that_a_power_cut_has_torn_is_none_that_is_damaged),
        ON(what_a_torn_header_leaves_of_the_round_before_is_not_missing),
        ON(a_first_page_that_a_power_cut_has_torn_leaves_nothing_behind),
        ON(an_empty_file_with_a_journal_is_not_a_new_one),
        ON(damage_in_the_file_below_a_journal_leaves_both_alone),
        ON(a_wrong_file_is_refused),
        ON(a_file_that_is_whole_is_opened_as_ever),
        ON(an_old_layout_that_is_damaged_is_brought_up_in_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
