/* The store: what was acknowledged is there after, in order, together, and failures are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/store_internal.h"
#include "store_kit.h"

#define DEVICE "11111111-2222-4333-8444-555555555555"

/* An id of the form of a UUID that holds a number. */
#define TEXT_OF(value) #value
#define TEXT(value)    TEXT_OF(value)
#define SCHEMA_TEXT    TEXT(STORE_SCHEMA)

static void id_numbered(unsigned number, char id[ID_SIZE]) {
    snprintf(id, ID_SIZE, "00000000-0000-4000-8000-%012u", number);
}

static struct constraint constraint_plain(unsigned number) {
    struct constraint constraint = {
        .wish = {.priority = 1000, .rank = number, .has_max = true, .max = 4200},
        .valid_at = {1000},
        .invalid_at = {2000},
        .created_at = {900},
        .created_by = "token:test",
    };
    id_numbered(number, constraint.id);
    return constraint;
}

struct loaded {
    size_t count;
    struct constraint items[64];
    char devices[64][ID_SIZE];
};

static void loaded_row(void *context, const char *device_id, const struct constraint *row) {
    struct loaded *loaded = context;
    if (loaded->count < 64) {
        memcpy(&loaded->items[loaded->count], row, sizeof *row);
        memcpy(loaded->devices[loaded->count], device_id, ID_SIZE);
    }
    loaded->count++;
}

static void load(struct store *store, struct loaded *loaded) {
    loaded->count = 0;
    assert_int_equal(store_load_constraints(store, loaded_row, loaded), ERR_OK);
}

static void put(struct store *store, const struct constraint *constraint, struct results *results) {
    assert_int_equal(
        store_put_constraint(store, DEVICE, constraint, results ? results_add : NULL, results),
        ERR_OK);
}

/* --- opening --------------------------------------------------------------------------------- */

static void a_missing_folder_is_made_for_one_user_only(void **state) {
    char path[128];
    struct stat status;
    const struct folder *outer = *state;
    struct folder folder;
    snprintf(folder.path, sizeof folder.path, "%.80s/new", outer->path);
    mode_t before = umask(0);
    struct store *store = store_opened(&folder);
    assert_int_equal(store_put_text(store, "k", "a", "b", NULL, NULL), ERR_OK);
    free(store_get_text(store, "k", "a"));
    assert_int_equal(stat(folder.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    static const char *const names[] = {"derd.db", "derd.db-wal", "derd.db-shm", "derd.lock"};
    for (size_t i = 0; i < 4; i++) {
        folder_path(&folder, names[i], path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
    store_close(store);
    umask(before);
}

static void a_file_that_others_could_read_is_made_private(void **state) {
    char path[128];
    struct stat status;
    store_close(store_opened(*state));
    folder_path(*state, "derd.db", path);
    assert_int_equal(chmod(path, 0644), 0);
    store_close(store_opened(*state));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_second_host_is_refused_with_the_first_ones_process_id(void **state) {
    const struct folder *folder = *state;
    struct store *store = store_opened(folder);
    char words[64];
    snprintf(words, sizeof words, "(process %ld)", (long)getpid());
    assert_int_equal(store_refused(folder->path, words), ERR_CONFLICT);
    store_close(store);
    store_close(store_opened(folder));
}

static void the_settings_that_durability_rests_on_are_in_force(void **state) {
    struct store *store = store_opened(*state);
    static const char *const expected[][2] = {
        {"PRAGMA journal_mode", "wal"},  {"PRAGMA synchronous", "2"},
        {"PRAGMA foreign_keys", "1"},    {"PRAGMA trusted_schema", "0"},
        {"PRAGMA busy_timeout", "2000"}, {"PRAGMA user_version", SCHEMA_TEXT},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        sqlite3_stmt *statement;
        assert_int_equal(sqlite3_prepare_v2(store->db, expected[i][0], -1, &statement, NULL), 0);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_string_equal(sqlite3_column_text(statement, 0), expected[i][1]);
        sqlite3_finalize(statement);
    }
    store_close(store);
}

static void a_folder_that_cannot_be_made_is_a_mistake_with_the_reason(void **state) {
    char file[128], inside[160];
    folder_path(*state, "file", file);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    snprintf(inside, sizeof inside, "%s/store", file);
    assert_int_equal(store_refused(inside, "Not a directory"), ERR_IO);
    assert_int_equal(store_refused(file, "something else"), ERR_IO);
}

static void a_read_only_folder_is_a_mistake_with_the_reason(void **state) {
    const struct folder *folder = *state;
    assert_int_equal(chmod(folder->path, 0555), 0);
    bool root = geteuid() == 0;
    if (root) /* rights do not bind the superuser */
        assert_int_equal(seteuid(65534), 0);
    enum err result = store_refused(folder->path, "Permission denied");
    if (root)
        assert_int_equal(seteuid(0), 0);
    chmod(folder->path, 0700);
    assert_int_equal(result, ERR_IO);
}

/* Calls sqlite3_exec() on the file while no store has it open. */
static void tamper(const struct folder *folder, const char *sql) {
    char path[128];
    sqlite3 *db;
    folder_path(folder, "derd.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void a_file_of_a_newer_program_is_refused_and_left_alone(void **state) {
    const struct folder *folder = *state;
    store_close(store_opened(folder));
    tamper(folder, "PRAGMA user_version = 999");
    assert_int_equal(store_refused(folder->path, "newer derd (layout 999"), ERR_REFUSED);
    tamper(folder, "PRAGMA user_version = " SCHEMA_TEXT);
    store_close(store_opened(folder));
}

static void a_database_of_another_program_is_refused(void **state) {
    const struct folder *folder = *state;
    tamper(folder, "CREATE TABLE songs (title)");
    assert_int_equal(store_refused(folder->path, "another program"), ERR_FORMAT);
    tamper(folder, "SELECT title FROM songs");
}

static void file_write_at(const struct folder *folder, off_t at, const void *data, size_t length) {
    char path[128];
    folder_path(folder, "derd.db", path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, length, at), (ssize_t)length);
    close(fd);
}

static void a_file_that_is_no_database_is_refused_and_left_alone(void **state) {
    const struct folder *folder = *state;
    static const char text[] = "this was never a database, and it is longer than a header of one: "
                               "one hundred bytes at least are looked at before anything else";
    char path[128], after[sizeof text];
    file_write_at(folder, 0, text, sizeof text);
    assert_int_equal(store_refused(folder->path, "put a backup in its place"), ERR_FORMAT);
    folder_path(folder, "derd.db", path);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, after, sizeof after), sizeof text);
    close(fd);
    assert_memory_equal(after, text, sizeof text);
}

static void a_damaged_page_is_found_at_open(void **state) {
    const struct folder *folder = *state;
    struct store *store = store_opened(folder);
    for (unsigned i = 1; i <= 200; i++) {
        struct constraint constraint = constraint_plain(i);
        put(store, &constraint, NULL);
    }
    store_close(store);
    char noise[4096];
    memset(noise, 0x5a, sizeof noise);
    file_write_at(folder, 4096, noise, sizeof noise); /* page 2: the first table's root */
    assert_int_equal(store_refused(folder->path, "put a backup in its place"), ERR_FORMAT);
}

/* --- what is kept ---------------------------------------------------------------------------- */

static void every_field_of_a_constraint_survives_a_restart(void **state) {
    struct store *store = store_opened(*state);
    struct constraint full = {
        .id = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        .wish = {.priority = PRIORITY_MAXIMUM,
                 .rank = INT64_MAX,
                 .has_set = true,
                 .has_min = true,
                 .has_max = true,
                 .has_min_soc = true,
                 .has_max_soc = true,
                 .set = -1,
                 .min = INT32_MIN,
                 .max = INT32_MAX,
                 .min_soc = 12.5,
                 .max_soc = 99.75,
                 .on_conflict = ON_CONFLICT_CLAMP,
                 .exclusive = true},
        .valid_at = {INT64_C(1795000000001)},
        .invalid_at = {INT64_C(1795000000002)},
        .valid_for_ms = 86400000,
        .created_at = {INT64_C(1794999999999)},
    };
    memset(full.created_by, 'c', sizeof full.created_by - 1);
    memset(full.reason, 'r', sizeof full.reason - 1);
    put(store, &full, NULL);
    store_close(store);

    struct loaded loaded;
    store = store_opened(*state);
    load(store, &loaded);
    assert_int_equal(loaded.count, 1);
    const struct constraint *got = &loaded.items[0];
    assert_string_equal(loaded.devices[0], DEVICE);
    assert_string_equal(got->id, full.id);
    assert_int_equal(got->wish.priority, full.wish.priority);
    assert_true(got->wish.rank == full.wish.rank);
    assert_true(got->wish.has_set && got->wish.has_min && got->wish.has_max);
    assert_true(got->wish.has_min_soc && got->wish.has_max_soc);
    assert_int_equal(got->wish.set, -1);
    assert_true(got->wish.min == INT32_MIN && got->wish.max == INT32_MAX);
    assert_true(got->wish.min_soc == 12.5 && got->wish.max_soc == 99.75);
    assert_int_equal(got->wish.on_conflict, ON_CONFLICT_CLAMP);
    assert_true(got->wish.exclusive);
    assert_true(got->valid_at.ms == full.valid_at.ms && got->invalid_at.ms == full.invalid_at.ms);
    assert_true(got->valid_for_ms == full.valid_for_ms);
    assert_true(got->created_at.ms == full.created_at.ms);
    assert_string_equal(got->created_by, full.created_by);
    assert_string_equal(got->reason, full.reason);
    assert_string_equal(got->policy_key, "");
    assert_true(got->durable);
    assert_true(store_last_rank(store) == INT64_MAX);
    store_close(store);
}

static void no_opinion_is_not_zero_after_a_restart(void **state) {
    struct store *store = store_opened(*state);
    struct constraint nothing = constraint_plain(1);
    nothing.wish = (struct wish){.rank = 1};
    struct constraint zero = constraint_plain(2);
    zero.wish = (struct wish){.rank = 2,
                              .has_set = true,
                              .has_min = true,
                              .has_max = true,
                              .has_min_soc = true,
                              .has_max_soc = true};
    put(store, &nothing, NULL);
    put(store, &zero, NULL);
    store_close(store);

    struct loaded loaded;
    store = store_opened(*state);
    load(store, &loaded);
    assert_int_equal(loaded.count, 2);
    const struct wish *a = &loaded.items[0].wish;
    const struct wish *b = &loaded.items[1].wish;
    assert_false(a->has_set || a->has_min || a->has_max || a->has_min_soc || a->has_max_soc);
    assert_true(isnan(a->min_soc) && isnan(a->max_soc));
    assert_true(b->has_set && b->has_min && b->has_max && b->has_min_soc && b->has_max_soc);
    assert_true(b->set == 0 && b->min == 0 && b->max == 0);
    assert_true(b->min_soc == 0.0 && b->max_soc == 0.0);
    assert_int_equal(b->on_conflict, ON_CONFLICT_DISCARD);
    assert_false(b->exclusive);
    store_close(store);
}

static void a_constraint_with_a_known_id_takes_the_place_of_the_old_one(void **state) {
    struct store *store = store_opened(*state);
    struct loaded loaded;
    struct constraint constraint = constraint_plain(1);
    put(store, &constraint, NULL);
    constraint.wish.has_max = false;
    constraint.wish.has_set = true;
    constraint.wish.set = -7;
    put(store, &constraint, NULL);
    load(store, &loaded);
    assert_int_equal(loaded.count, 1);
    assert_false(loaded.items[0].wish.has_max);
    assert_int_equal(loaded.items[0].wish.set, -7);
    store_close(store);
}

static void what_was_put_and_removed_is_gone_whatever_waits_together(void **state) {
    struct store *store = store_opened(*state);
    struct loaded loaded;
    struct gate gate;
    struct constraint constraint = constraint_plain(1);
    gate_close(&gate, store);
    put(store, &constraint, NULL);
    assert_int_equal(store_remove_constraint(store, constraint.id, NULL, NULL), ERR_OK);
    constraint = constraint_plain(2);
    assert_int_equal(store_remove_constraint(store, constraint.id, NULL, NULL), ERR_OK);
    put(store, &constraint, NULL);
    gate_open(&gate);
    load(store, &loaded);
    assert_int_equal(loaded.count, 1);
    assert_string_equal(loaded.items[0].id, constraint.id);
    store_close(store);
}

/* Beside a device's, whose row has no scope; a phase without an opinion stays one. */
static void a_constraint_of_a_cluster_keeps_its_scope_and_currents(void **state) {
    struct store *store = store_opened(*state);
    struct loaded loaded;
    struct constraint of_device = constraint_plain(1), of_cluster = constraint_plain(2);
    of_cluster.scope = SCOPE_CONTROLLABLE;
    of_cluster.has_current = true;
    of_cluster.max_current[0] = 16.5;
    of_cluster.max_current[1] = NAN;
    of_cluster.max_current[2] = 0;
    put(store, &of_device, NULL);
    put(store, &of_cluster, NULL);
    store_close(store);
    store = store_opened(*state);
    load(store, &loaded);
    assert_int_equal(loaded.count, 2);
    assert_string_equal(loaded.devices[1], DEVICE);
    assert_int_equal(loaded.items[0].scope, SCOPE_NONE);
    assert_false(loaded.items[0].has_current);
    assert_int_equal(loaded.items[1].scope, SCOPE_CONTROLLABLE);
    assert_true(loaded.items[1].has_current);
    assert_true(loaded.items[1].max_current[0] == 16.5);
    assert_true(isnan(loaded.items[1].max_current[1]));
    assert_true(loaded.items[1].max_current[2] == 0);
    store_close(store);
}

static void the_last_rank_outlives_its_constraint(void **state) {
    struct store *store = store_opened(*state);
    assert_true(store_last_rank(store) == 0);
    struct constraint high = constraint_plain(41), low = constraint_plain(7);
    put(store, &high, NULL);
    put(store, &low, NULL);
    assert_int_equal(store_remove_constraint(store, high.id, NULL, NULL), ERR_OK);
    assert_true(store_last_rank(store) == 41);
    store_close(store);
    store = store_opened(*state);
    assert_true(store_last_rank(store) == 41);
    store_close(store);
}

/* However the constraint that had it went: pruned, or written over by one of a lower rank. */
static void a_rank_is_not_given_twice(void **state) {
    const struct now now = {.wall = {INT64_C(1795000000000)}, .trusted = true};
    struct store *store = store_opened(*state);
    struct loaded loaded;
    struct constraint old = constraint_plain(41), over = constraint_plain(50);
    put(store, &old, NULL);
    put(store, &over, NULL);
    over.wish.rank = 7;
    over.invalid_at.ms = now.wall.ms;
    put(store, &over, NULL);
    store_close(store);
    store = store_opened(*state);
    load(store, &loaded);
    assert_int_equal(loaded.count, 2);
    assert_true(store_last_rank(store) == 50);
    store_close(store);
    store = store_opened(*state);
    old = constraint_plain(60);
    put(store, &old, NULL);
    store_close(store);
    store = store_opened(*state); /* it stands in its row only */
    load(store, &loaded);
    assert_true(store_last_rank(store) == 60);
    assert_int_equal(store_prune_constraints(store, now, "boot", NULL, NULL), ERR_OK);
    load(store, &loaded);
    assert_int_equal(loaded.count, 1);
    store_close(store);
    store = store_opened(*state);
    load(store, &loaded);
    assert_true(store_last_rank(store) == 60);
    store_close(store);
}

static void proposals_and_impossible_numbers_are_not_taken(void **state) {
    struct store *store = store_opened(*state);
    struct constraint constraint = constraint_plain(1);
    snprintf(constraint.policy_key, sizeof constraint.policy_key, "solar");
    assert_int_equal(store_put_constraint(store, DEVICE, &constraint, NULL, NULL), ERR_REFUSED);
    constraint = constraint_plain(1);
    constraint.wish.has_min_soc = true;
    constraint.wish.min_soc = NAN;
    assert_int_equal(store_put_constraint(store, DEVICE, &constraint, NULL, NULL), ERR_RANGE);
    constraint = constraint_plain(1);
    constraint.wish.rank = (uint64_t)INT64_MAX + 1;
    assert_int_equal(store_put_constraint(store, DEVICE, &constraint, NULL, NULL), ERR_RANGE);
    store_close(store);
}

static void only_what_ended_more_than_25_hours_ago_is_pruned(void **state) {
    struct store *store = store_opened(*state);
    struct loaded loaded;
    const int64_t hour_ms = 3600000;
    struct now now = {.wall = {INT64_C(1795000000000)}, .trusted = false};
    struct constraint old = constraint_plain(1), recent = constraint_plain(2);
    old.invalid_at.ms = now.wall.ms - 25 * hour_ms - 1;
    recent.invalid_at.ms = now.wall.ms - 25 * hour_ms;
    put(store, &old, NULL);
    put(store, &recent, NULL);
    assert_int_equal(store_prune_constraints(store, now, "boot", NULL, NULL), ERR_REFUSED);
    load(store, &loaded);
    assert_int_equal(loaded.count, 2);
    now.trusted = true;
    assert_int_equal(store_prune_constraints(store, now, "boot", NULL, NULL), ERR_OK);
    load(store, &loaded);
    assert_int_equal(loaded.count, 1);
    assert_string_equal(loaded.items[0].id, recent.id);
    store_close(store);
}

/* Over by a wall clock that has stepped, running by the monotonic clock: as engines keep it. */
static void what_runs_on_the_monotonic_clock_is_not_pruned(void **state) {
    static const struct {
        const char *what, *ends;
        bool stays;
    } cases[] = {
        {"runs", "{\"boot\":\"boot\",\"ends\":{\"%s\":[5001,9,0,0]}}", true},
        {"is over", "{\"boot\":\"boot\",\"ends\":{\"%s\":[5000,9,0,0]}}", false},
        {"ran when the system was started before",
         "{\"boot\":\"other\",\"ends\":{\"%s\":[5001,9]}}", false},
        {"is another one", "{\"boot\":\"boot\",\"ends\":{\"x%s\":[5001,9,0,0]}}", false},
        {"cannot be read", "{\"boot\":\"boot\",\"ends\":{\"%s\":", false},
    };
    struct store *store = store_opened(*state);
    const struct now now = {.wall = {INT64_C(1795000000000)}, .mono = {5000}, .trusted = true};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct constraint old = constraint_plain(1);
        struct loaded loaded;
        char text[128];
        old.invalid_at.ms = now.wall.ms - INT64_C(72) * 3600000;
        put(store, &old, NULL);
        snprintf(text, sizeof text, cases[i].ends, old.id);
        assert_int_equal(store_put_text(store, "ends", DEVICE, text, NULL, NULL), ERR_OK);
        assert_int_equal(store_prune_constraints(store, now, "boot", NULL, NULL), ERR_OK);
        load(store, &loaded);
        if (loaded.count != cases[i].stays)
            fail_msg("what %s %s", cases[i].what, loaded.count ? "stays" : "is pruned");
    }
    store_close(store);
}

static void a_text_is_kept_replaced_and_removed_by_kind_and_key(void **state) {
    struct store *store = store_opened(*state);
    assert_null(store_get_text(store, "policy", "home/solar"));
    assert_int_equal(store_put_text(store, "policy", "home/solar", "{}", NULL, NULL), ERR_OK);
    assert_int_equal(store_put_text(store, "gates", "home/solar", "", NULL, NULL), ERR_OK);
    assert_int_equal(store_put_text(store, "policy", "home/solar", "{\"n\":1}", NULL, NULL),
                     ERR_OK);
    store_close(store);
    store = store_opened(*state);
    char *policy = store_get_text(store, "policy", "home/solar");
    char *gates = store_get_text(store, "gates", "home/solar");
    assert_string_equal(policy, "{\"n\":1}");
    assert_string_equal(gates, "");
    free(policy);
    free(gates);
    assert_int_equal(store_put_text(store, "policy", "home/solar", NULL, NULL, NULL), ERR_OK);
    assert_null(store_get_text(store, "policy", "home/solar"));
    gates = store_get_text(store, "gates", "home/solar");
    assert_string_equal(gates, "");
    free(gates);
    store_close(store);
}

static void a_text_beyond_its_limit_is_not_taken(void **state) {
    struct store *store = store_opened(*state);
    char *value = malloc(STORE_TEXT_MAXIMUM + 2);
    memset(value, 'x', STORE_TEXT_MAXIMUM + 1);
    value[STORE_TEXT_MAXIMUM + 1] = '\0';
    assert_int_equal(store_put_text(store, "k", "a", value, NULL, NULL), ERR_LIMIT);
    value[STORE_TEXT_MAXIMUM] = '\0';
    assert_int_equal(store_put_text(store, "k", "a", value, NULL, NULL), ERR_OK);
    char *got = store_get_text(store, "k", "a");
    assert_int_equal(strlen(got), STORE_TEXT_MAXIMUM);
    free(got);
    free(value);
    store_close(store);
}

static void a_place_keeps_its_id_for_good(void **state) {
    char first[ID_SIZE], again[ID_SIZE], other[ID_SIZE], kind[ID_SIZE];
    struct store *store = store_opened(*state);
    assert_int_equal(store_id(store, "device", "home/wallbox", first), ERR_OK);
    assert_int_equal(store_id(store, "device", "home/roof", other), ERR_OK);
    assert_int_equal(store_id(store, "cluster", "home/wallbox", kind), ERR_OK);
    store_close(store);
    store = store_opened(*state);
    assert_int_equal(store_id(store, "device", "home/wallbox", again), ERR_OK);
    store_close(store);
    assert_true(uuid_valid(first));
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_string_not_equal(first, kind);
}

static void a_made_uuid_is_random_and_of_version_4(void **state) {
    (void)state;
    char a[ID_SIZE], b[ID_SIZE];
    uuid_make(a);
    uuid_make(b);
    assert_true(uuid_valid(a) && uuid_valid(b));
    assert_string_not_equal(a, b);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
}

static void only_the_form_of_a_uuid_is_taken_for_one(void **state) {
    (void)state;
    assert_true(uuid_valid("01234567-89ab-CDEF-0123-456789abcdef"));
    assert_false(uuid_valid(""));
    assert_false(uuid_valid("01234567-89ab-cdef-0123-456789abcde"));
    assert_false(uuid_valid("01234567-89ab-cdef-0123-456789abcdef0"));
    assert_false(uuid_valid("01234567x89ab-cdef-0123-456789abcdef"));
    assert_false(uuid_valid("0123456g-89ab-cdef-0123-456789abcdef"));
    assert_false(uuid_valid("{1234567-89ab-cdef-0123-456789abcdef"));
}

/* --- together, in order ---------------------------------------------------------------------- */

static int commit_count(void *context) {
    atomic_uint *commits = context;
    atomic_fetch_add(commits, 1);
    return 0;
}

static void what_waits_together_is_one_transaction(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct gate gate;
    atomic_uint commits = 0;
    gate_close(&gate, store);
    sqlite3_commit_hook(store->db, commit_count, &commits);
    for (unsigned i = 1; i <= 64; i++) {
        struct constraint constraint = constraint_plain(i);
        put(store, &constraint, results);
    }
    assert_int_equal(results->count, 0);
    gate_open(&gate);
    results_wait(results, 64);
    assert_int_equal(atomic_load(&commits), 1);
    store_close(store);
    results_free(results);
}

struct numbered {
    struct results *order; /* the number of each, as it came */
    int number;
};

static void numbered_done(void *context, enum err result) {
    struct numbered *numbered = context;
    (void)result;
    results_add(numbered->order, (enum err)numbered->number);
}

static void done_is_called_in_the_order_of_submission(void **state) {
    struct store *store = store_opened(*state);
    struct results *order = results_new();
    struct numbered numbered[500];
    for (int i = 0; i < 500; i++) {
        char key[16];
        numbered[i] = (struct numbered){order, i};
        snprintf(key, sizeof key, "%d", i % 7);
        assert_int_equal(store_put_text(store, "k", key, "v", numbered_done, &numbered[i]), ERR_OK);
        if (i % 50 == 0)
            free(store_get_text(store, "k", key)); /* reads cut batches */
    }
    store_close(store);
    assert_int_equal(order->count, 500);
    for (int i = 0; i < 500; i++)
        assert_int_equal(order->items[i], i);
    results_free(order);
}

static void one_bad_row_does_not_fail_its_neighbours(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct loaded loaded;
    struct gate gate;
    char why[64];
    gate_close(&gate, store);
    for (unsigned i = 1; i <= 5; i++) {
        struct constraint constraint = constraint_plain(i);
        if (i == 3)
            constraint.wish.priority = -1; /* the table refuses it */
        put(store, &constraint, results);
    }
    gate_open(&gate);
    results_wait(results, 5);
    static const enum err expected[] = {ERR_OK, ERR_OK, ERR_IO, ERR_OK, ERR_OK};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(results->items[i], expected[i]);
    assert_false(store_failing(store, why, sizeof why));
    load(store, &loaded);
    assert_int_equal(loaded.count, 4);
    store_close(store);
    results_free(results);
}

static void a_full_queue_refuses_and_forgets_nothing_it_took(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct gate gate;
    gate_close(&gate, store);
    for (unsigned i = 0; i < STORE_QUEUE_MAXIMUM; i++)
        assert_int_equal(store_put_text(store, "k", "a", "v", results_add, results), ERR_OK);
    assert_int_equal(store_put_text(store, "k", "b", "v", results_add, results), ERR_FULL);
    gate_open(&gate);
    store_close(store);
    assert_int_equal(results->count, STORE_QUEUE_MAXIMUM);
    for (size_t i = 0; i < results->count; i++)
        assert_int_equal(results->items[i], ERR_OK);
    store = store_opened(*state);
    assert_null(store_get_text(store, "k", "b"));
    store_close(store);
    results_free(results);
}

static void a_queue_is_full_by_its_bytes_too(void **state) {
    struct store *store = store_opened(*state);
    struct gate gate;
    char *value = calloc(1, STORE_TEXT_MAXIMUM + 1);
    memset(value, 'x', STORE_TEXT_MAXIMUM);
    gate_close(&gate, store);
    unsigned taken = 0;
    while (taken < 100 && store_put_text(store, "k", "a", value, NULL, NULL) == ERR_OK)
        taken++;
    gate_open(&gate);
    store_close(store);
    free(value);
    assert_int_equal(taken, 31);
}

static void closing_finishes_what_is_queued(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct loaded loaded;
    for (unsigned i = 1; i <= 60; i++) {
        struct constraint constraint = constraint_plain(i);
        put(store, &constraint, results);
    }
    store_close(store);
    assert_int_equal(results->count, 60);
    store = store_opened(*state);
    load(store, &loaded);
    assert_int_equal(loaded.count, 60);
    store_close(store);
    results_free(results);
}

struct submitter {
    struct store *store;
    unsigned first;
    struct results *results;
};

static void *submit_many(void *context) {
    const struct submitter *submitter = context;
    char id[ID_SIZE], path[24];
    for (unsigned i = 0; i < 50; i++) {
        struct constraint constraint = constraint_plain(submitter->first + i);
        if (store_put_constraint(submitter->store, DEVICE, &constraint, results_add,
                                 submitter->results) != ERR_OK)
            results_add(submitter->results, ERR_FULL);
        snprintf(path, sizeof path, "%u", i % 5);
        if (i % 10 == 0 && store_id(submitter->store, "device", path, id) != ERR_OK)
            results_add(submitter->results, ERR_FULL);
        store_failing(submitter->store, id, sizeof id);
    }
    return NULL;
}

static void several_threads_may_submit_at_once(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct submitter submitters[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        submitters[i] = (struct submitter){store, i * 100 + 1, results};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    results_wait(results, 200);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(results->items[i], ERR_OK);
    assert_true(store_last_rank(store) == 350);
    struct loaded loaded;
    load(store, &loaded);
    assert_int_equal(loaded.count, 200);
    store_close(store);
    results_free(results);
}

/* --- failures -------------------------------------------------------------------------------- */

static void a_full_disk_fails_what_waits_and_ends_when_there_is_room_again(void **state) {
    struct store *store = store_opened(*state);
    struct results *results = results_new();
    struct rlimit before, tiny;
    char why[STORE_DETAIL_SIZE];
    struct constraint constraint = constraint_plain(1);
    put(store, &constraint, results);
    results_wait(results, 1);
    assert_false(store_failing(store, why, sizeof why));

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tiny = before;
    tiny.rlim_cur = 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    for (unsigned i = 2; i <= 4; i++) {
        constraint = constraint_plain(i);
        put(store, &constraint, results);
    }
    results_wait(results, 4);
    bool failing = store_failing(store, why, sizeof why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(results->items[0], ERR_OK);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(results->items[i], ERR_IO);
    assert_true(failing);
    assert_true(strlen(why) > 0);

    constraint = constraint_plain(5);
    put(store, &constraint, results);
    results_wait(results, 5);
    assert_int_equal(results->items[4], ERR_OK);
    assert_false(store_failing(store, why, sizeof why));
    assert_string_equal(why, "");
    store_close(store);

    struct loaded loaded;
    store = store_opened(*state);
    load(store, &loaded);
    assert_int_equal(loaded.count, 2);
    store_close(store);
    results_free(results);
}

static void a_lock_that_another_program_holds_is_a_failure_until_it_lets_go(void **state) {
    struct store *store = store_opened(*state);
    char path[128], why[STORE_DETAIL_SIZE], id[ID_SIZE];
    sqlite3 *other;
    folder_path(*state, "derd.db", path);
    struct gate gate;
    gate_close(&gate, store);
    sqlite3_busy_timeout(store->db, 0); /* the test need not wait for it */
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    gate_open(&gate);
    assert_int_equal(store_id(store, "device", "a", id), ERR_IO);
    assert_true(store_failing(store, why, sizeof why));
    assert_non_null(strstr(why, "another program holds a lock"));
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(store_id(store, "device", "a", id), ERR_OK);
    assert_false(store_failing(store, why, sizeof why));
    store_close(store);
}

/* --- the end of a process -------------------------------------------------------------------- */

struct acknowledgement {
    unsigned number;
    int fd;
};

static void acknowledge(void *context, enum err result) {
    struct acknowledgement *acknowledgement = context;
    unsigned number = result == ERR_OK ? acknowledgement->number : 0;
    if (write(acknowledgement->fd, &number, sizeof number) != sizeof number)
        _exit(1);
    free(acknowledgement);
}

/* Puts constraints 1, 2, 3, ... without end and writes the number of each that is acknowledged. */
static void child_put_without_end(const struct folder *folder, int fd) {
    struct store *store;
    struct report report;
    report_init(&report);
    if (store_open(&store, folder->path, &report) != ERR_OK)
        _exit(1);
    for (unsigned number = 1;; number++) {
        struct acknowledgement *acknowledgement = malloc(sizeof *acknowledgement);
        struct constraint constraint = constraint_plain(number);
        *acknowledgement = (struct acknowledgement){number, fd};
        while (store_put_constraint(store, DEVICE, &constraint, acknowledge, acknowledgement) ==
               ERR_FULL)
            sched_yield();
    }
}

struct found {
    unsigned acknowledged, count;
    bool gap;
};

static void found_row(void *context, const char *device_id, const struct constraint *row) {
    struct found *found = context;
    (void)device_id;
    if (row->wish.rank != ++found->count) /* they come as they were put, which is by rank */
        found->gap = true;
}

static void everything_acknowledged_is_there_after_a_kill(void **state) {
    for (int round = 0; round < 3; round++) {
        struct folder *folder;
        int ends[2];
        folder_make((void **)&folder);
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(ends[0]);
            child_put_without_end(folder, ends[1]);
        }
        close(ends[1]);
        struct found found = {0};
        unsigned number;
        while (read(ends[0], &number, sizeof number) == sizeof number) {
            assert_int_equal(number, found.acknowledged + 1);
            found.acknowledged = number;
            if (number == 300U * ((unsigned)round + 1))
                kill(child, SIGKILL);
        }
        close(ends[0]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(found.acknowledged >= 300);

        struct store *store = store_opened(folder);
        assert_int_equal(store_load_constraints(store, found_row, &found), ERR_OK);
        assert_false(found.gap);
        assert_true(found.count >= found.acknowledged);
        assert_true(store_last_rank(store) == found.count);
        store_close(store);
        folder_remove((void **)&folder);
    }
    (void)state;
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(a_missing_folder_is_made_for_one_user_only),
        with_folder(a_file_that_others_could_read_is_made_private),
        with_folder(a_second_host_is_refused_with_the_first_ones_process_id),
        with_folder(the_settings_that_durability_rests_on_are_in_force),
        with_folder(a_folder_that_cannot_be_made_is_a_mistake_with_the_reason),
        with_folder(a_read_only_folder_is_a_mistake_with_the_reason),
        with_folder(a_file_of_a_newer_program_is_refused_and_left_alone),
        with_folder(a_database_of_another_program_is_refused),
        with_folder(a_file_that_is_no_database_is_refused_and_left_alone),
        with_folder(a_damaged_page_is_found_at_open),
        with_folder(every_field_of_a_constraint_survives_a_restart),
        with_folder(no_opinion_is_not_zero_after_a_restart),
        with_folder(a_constraint_with_a_known_id_takes_the_place_of_the_old_one),
        with_folder(what_was_put_and_removed_is_gone_whatever_waits_together),
        with_folder(a_constraint_of_a_cluster_keeps_its_scope_and_currents),
        with_folder(the_last_rank_outlives_its_constraint),
        with_folder(a_rank_is_not_given_twice),
        with_folder(proposals_and_impossible_numbers_are_not_taken),
        with_folder(only_what_ended_more_than_25_hours_ago_is_pruned),
        with_folder(what_runs_on_the_monotonic_clock_is_not_pruned),
        with_folder(a_text_is_kept_replaced_and_removed_by_kind_and_key),
        with_folder(a_text_beyond_its_limit_is_not_taken),
        with_folder(a_place_keeps_its_id_for_good),
        cmocka_unit_test(a_made_uuid_is_random_and_of_version_4),
        cmocka_unit_test(only_the_form_of_a_uuid_is_taken_for_one),
        with_folder(what_waits_together_is_one_transaction),
        with_folder(done_is_called_in_the_order_of_submission),
        with_folder(one_bad_row_does_not_fail_its_neighbours),
        with_folder(a_full_queue_refuses_and_forgets_nothing_it_took),
        with_folder(a_queue_is_full_by_its_bytes_too),
        with_folder(closing_finishes_what_is_queued),
        with_folder(several_threads_may_submit_at_once),
        with_folder(a_full_disk_fails_what_waits_and_ends_when_there_is_room_again),
        with_folder(a_lock_that_another_program_holds_is_a_failure_until_it_lets_go),
        cmocka_unit_test(everything_acknowledged_is_there_after_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
