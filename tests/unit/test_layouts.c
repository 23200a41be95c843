/* Every layout that the store ever had, with rows in it, is brought to the one of today: nothing is
 * lost, and the file is the same as a new one. tests/layouts has them as SQL; make.py there adds
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <sys/stat.h>

#include "store/store_webhooks.h"
#include "store_kit.h"
#include "telemetry/reader.h"
#include "telemetry/telemetry.h"
#include "webhooks/webhook.h"

#define TEXT_MAXIMUM 1048576

/* A fixture as text, to be freed. */
static char *layout_text(const char *name, int version) {
    char path[300];
    snprintf(path, sizeof path, DERD_SOURCE_DIR "/tests/layouts/%s_%d.sql", name, version);
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s is missing: build, and `python3 tests/layouts/make.py` writes it for a new "
                 "layout of the store; add rows for what is new in it",
                 path);
    char *text = calloc(1, TEXT_MAXIMUM);
    assert_non_null(text);
    assert_in_range(fread(text, 1, TEXT_MAXIMUM - 1, file), 1, TEXT_MAXIMUM - 2);
    fclose(file);
    return text;
}

static sqlite3 *database_opened(const char *path) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void database_make(const char *path, const char *name, int version) {
    char *text = layout_text(name, version);
    char *error = NULL;
    sqlite3 *db = database_opened(path);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s_%d.sql: %s", name, version, error);
    sqlite3_close(db);
    free(text);
}

/* Rows of a query, a line each, to be freed by sqlite3_free(). */
static char *rows_of(const char *path, const char *sql) {
    sqlite3 *db = database_opened(path);
    sqlite3_stmt *statement = NULL;
    sqlite3_str *out = sqlite3_str_new(NULL);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++)
            sqlite3_str_appendf(out, "%s%s", (const char *)sqlite3_column_text(statement, i),
                                i + 1 < sqlite3_column_count(statement) ? "|" : "\n");
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return sqlite3_str_finish(out);
}

static void expect_rows(const char *path, const char *sql, const char *wanted) {
    char *rows = rows_of(path, sql);
    if (strcmp(rows ? rows : "", wanted) != 0)
        fail_msg("%s:\n%s, not\n%s", sql, rows ? rows : "", wanted);
    sqlite3_free(rows);
}

/* What a reader of the file would see of its layout. */
static char *layout_of(const char *path) {
    return rows_of(path, "SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema"
                         " ORDER BY type, name");
}

static void count_row(void *context, const char *target_id, const struct constraint *constraint) {
    int *count = context;
    (void)target_id;
    assert_true(constraint->durable);
    ++*count;
}

static void expect_constraints(const char *path, int version) {
    expect_rows(path,
                "SELECT id, device_id, priority, rank, active_power, min_active_power,"
                " max_active_power, min_state_of_charge, on_conflict, exclusive, valid_at_ms,"
                " invalid_at_ms, valid_for_ms, created_by, reason FROM constraints"
                " WHERE device_id IS NOT NULL ORDER BY rank",
                "0f8fad5b-d9cb-469f-a165-70867728950e|7c9e6679-7425-40de-944b-e07fc1f90ae7|3000|7|"
                "|-4200|5000||discard|0|1795795200000|1795881600000|0|token:ems|"
                "grid operator\n"
                "16fd2706-8baf-433b-82eb-8c7fada847da|7c9e6679-7425-40de-944b-e07fc1f90ae7|500|8|0|"
                "||20.5|clamp|1|1795795200000|1795881600000|86400000|token:phone|"
                "Zeit: 'über' Nacht\n");
    expect_rows(path,
                "SELECT id, cluster_id, priority, max_active_power, scope, max_current_l1,"
                " max_current_l2, max_current_l3 FROM constraints WHERE cluster_id IS NOT NULL",
                version < 2 ? ""
                            : "6ba7b810-9dad-41d1-80b4-00c04fd430c8|"
                              "9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa|3999|4200|connection|16.0|16.5|"
                              "\n");
}

static void expect_rest(const char *path, int version) {
    expect_rows(path, "SELECT kind, path, id FROM ids ORDER BY path",
                "cluster|home|9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa\n"
                "device|home/wallbox|7c9e6679-7425-40de-944b-e07fc1f90ae7\n");
    expect_rows(path, "SELECT kind, key, value FROM texts WHERE kind IN ('gate', 'identity')",
                "gate|home/wallbox|{\"sent\": 5000}\nidentity|home/grid|{}\n");
    expect_rows(path,
                "SELECT id, name, account, max_priority, created_at_ms, hex(hash) FROM tokens"
                " ORDER BY id",
                "abcdefghijkl|ems|owner|2999|1795795100000|"
                "1111111111111111111111111111111111111111111111111111111111111111\n"
                "mnopqrstuvwx|guest|tenant|999|1795795100001|"
                "2222222222222222222222222222222222222222222222222222222222222222\n");
    expect_rows(path,
                "SELECT id, scopes, expires_at_ms, last_used_at_ms, clusters FROM tokens"
                " ORDER BY id",
                version < 6 ? "abcdefghijkl|read,control,configure,scripts,admin|0|0|\n"
                              "mnopqrstuvwx|read,control|0|0|\n"
                            : "abcdefghijkl|read,control,configure,scripts,admin|0|0|\n"
                              "mnopqrstuvwx|read|1895795100000|1795795100005|"
                              "9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa\n");
    expect_rows(path, "SELECT number, who_name, action, target_name, value_after FROM audit",
                version < 7 ? "" : "1|ems|created|tenant|{}\n");
    expect_rows(path, "SELECT account, scopes, max_priority, set_at_ms, hex(mark) FROM passwords",
                version < 8 ? ""
                            : "tenant|read,control|1999|1795795000004|"
                              "4444444444444444444444444444444444444444444444444444444444444444\n");
    expect_rows(path, "SELECT key, parent FROM accounts WHERE key = 'tenant'", "tenant|owner\n");
    expect_rows(path, "SELECT id, key, account, entry, revision FROM clusters",
                version < 3 ? ""
                            : "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|flat|tenant|"
                              "{\"name\": \"Flat\"}|3\n");
    expect_rows(path, "SELECT id, key, cluster_id, revision FROM devices",
                version < 3 ? ""
                            : "f47ac10b-58cc-4372-a567-0e02b2c3d479|box|"
                              "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|1\n");
    expect_rows(path, "SELECT owner, key, status, location, body FROM receipts",
                version < 4 ? "" : "abcdefghijkl|order-1|201|/v1/x|{\"a\": true}\n");
    expect_rows(path, "SELECT id, account, document FROM webhooks",
                version < 5 ? ""
                            : "550e8400-e29b-41d4-a716-446655440000|owner|{\"url\": "
                              "\"https://a.example/hook\", \"enabled\": true, \"secret\": "
                              "\"whsec_AAAA\"}\n");
    expect_rows(path, "SELECT webhook_id, message_id, state FROM deliveries",
                version < 5 ? "" : "550e8400-e29b-41d4-a716-446655440000|msg_1|0\n");
}

static void every_layout_becomes_the_one_of_today_with_all_its_rows(void **state) {
    const struct folder *folder = *state;
    char path[128], fresh[128];
    struct folder today;
    snprintf(today.path, sizeof today.path, "%.80s/today", folder->path);
    store_close(store_opened(&today));
    snprintf(fresh, sizeof fresh, "%.100s/derd.db", today.path);
    char *wanted = layout_of(fresh);
    for (int version = 1; version <= STORE_SCHEMA; version++) {
        struct folder old;
        char number[40];
        snprintf(old.path, sizeof old.path, "%.80s/%d", folder->path, version);
        assert_int_equal(mkdir(old.path, 0700), 0);
        snprintf(path, sizeof path, "%.100s/derd.db", old.path);
        database_make(path, "store", version);
        struct store *store = store_opened(&old);
        int count = 0;
        struct account tenant;
        assert_int_equal(store_load_constraints(store, count_row, &count), ERR_OK);
        assert_int_equal(count, version < 2 ? 2 : 3);
        assert_int_equal(store_last_rank(store), version < 2 ? 8 : 9);
        assert_true(
            store_account_find(store, "tenant", &tenant)); /* made for its token, if need be */
        store_close(store);
        snprintf(number, sizeof number, "%d\n", STORE_SCHEMA);
        expect_rows(path, "PRAGMA user_version", number);
        expect_rows(path, "PRAGMA integrity_check", "ok\n");
        expect_rows(path, "PRAGMA foreign_key_check", "");
        char *got = layout_of(path);
        if (strcmp(got, wanted) != 0)
            fail_msg("layout %d became\n%s, but a new store is\n%s", version, got, wanted);
        sqlite3_free(got);
        expect_constraints(path, version);
        expect_rest(path, version);
        store_close(store_opened(&old)); /* and that again, with nothing to do */
    }
    sqlite3_free(wanted);
}

/* Up to layout 8 the audit log's numbers were SQLite's to remember, and its oldest rows were found
 * by an index. */
static void the_audit_log_of_layout_8_goes_on(void **state) {
    const struct folder *folder = *state;
    char path[128];
    folder_path(folder, "derd.db", path);
    database_make(path, "store", 8);
    sqlite3 *db = database_opened(path);
    static const char rows[] =
        "UPDATE audit_state SET max_rows = 2, max_bytes = 1000;"
        "INSERT INTO audit SELECT value, value % 2, value, 'token', 'x', 'ems', 'owner', '', '',"
        " 'a' || value, 200, 'account', '', '', '', '', 'owner', 1, 10, '{}', NULL"
        " FROM json_each('[2, 3, 4, 5]');"
        "INSERT INTO audit SELECT 9, class, at_ms, who, who_id, who_name, account, origin,"
        " request_id, 'gone', status, target_kind, target_id, target_name, cluster_id, device_id,"
        " owner, durable, bytes, value_before, value_after FROM audit WHERE number = 3;"
        "DELETE FROM audit WHERE number = 3";
    assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct store *store = store_opened(folder);
    store_close(store);
    expect_rows(path, "SELECT number, class, at_ms, action, bytes FROM audit",
                "1|0|1795795200000|created|20\n2|0|2|a2|10\n4|0|4|a4|10\n5|1|5|a5|10\n"
                "9|1|3|gone|10\n");
    expect_rows(path, "SELECT class, rows, bytes, first_number, last_number FROM audit_state",
                "0|3|40|1|9\n1|2|20|5|9\n");
    db = database_opened(path);
    static const char more[] =
        "UPDATE audit_state SET max_rows = 2, max_bytes = 1000;"
        "INSERT INTO audit SELECT 10, class, 7, who, who_id, who_name, account, origin,"
        " request_id, 'new', status, target_kind, target_id, target_name, cluster_id, device_id,"
        " owner, durable, bytes, value_before, value_after FROM audit WHERE number = 9;"
        "DELETE FROM audit WHERE number = 5; DELETE FROM audit WHERE number = 1";
    char *error = NULL;
    if (sqlite3_exec(db, more, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM audit WHERE number = 2", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    sqlite3_close(db);
    expect_rows(path, "SELECT class, rows, bytes, first_number, last_number FROM audit_state",
                "0|2|20|2|9\n1|2|20|9|10\n");
}

static void the_next_layout_is_refused_and_not_touched(void **state) {
    const struct folder *folder = *state;
    char path[128], sql[60];
    folder_path(folder, "derd.db", path);
    database_make(path, "store", STORE_SCHEMA);
    sqlite3 *db = database_opened(path);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", STORE_SCHEMA + 1);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    char *before = rows_of(path, "SELECT * FROM texts");
    assert_int_equal(store_refused(folder->path, "nothing was changed in it; install the newer"),
                     ERR_REFUSED);
    expect_rows(path, "SELECT * FROM texts", before);
    snprintf(sql, sizeof sql, "%d\n", STORE_SCHEMA + 1);
    expect_rows(path, "PRAGMA user_version", sql);
    sqlite3_free(before);
}

static void every_layout_of_history_is_read(void **state) {
    const struct folder *folder = *state;
    char path[128], number[40];
    folder_path(folder, "telemetry.db", path);
    for (int version = 1; version <= TELEMETRY_SCHEMA; version++) {
        struct telemetry *telemetry;
        struct telemetry_status status;
        struct clock clock;
        unlink(path);
        database_make(path, "telemetry", version);
        clock_init(&clock, (struct wall){0}, 0);
        const struct telemetry_settings settings = {
            .directory = folder->path, .clock = &clock, .retention = {.levels_ms = {0}}};
        assert_int_equal(telemetry_open(&telemetry, &settings), ERR_OK);
        telemetry_settle(telemetry);
        telemetry_status(telemetry, &status);
        assert_true(status.ready && !status.failing && status.set_aside == 0);
        struct reader *reader;
        struct recorded recorded;
        assert_int_equal(reader_open(&reader, telemetry), ERR_OK);
        assert_int_equal(reader_device(reader, "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                                       "9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa", &recorded),
                         ERR_OK);
        assert_int_equal(recorded.number, 1);
        reader_close(reader);
        telemetry_close(telemetry);
        snprintf(number, sizeof number, "%d\n", TELEMETRY_SCHEMA);
        expect_rows(path, "PRAGMA user_version", number);
    }
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(every_layout_becomes_the_one_of_today_with_all_its_rows),
        with_folder(the_audit_log_of_layout_8_goes_on),
        with_folder(the_next_layout_is_refused_and_not_touched),
        with_folder(every_layout_of_history_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
