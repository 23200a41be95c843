/* The layer that gathers the frames of a commit: what is in the file at which moment, and SQLite
 * itself on it, beside a connection that reads without it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/store_gather.h"
#include "store_kit.h"

#define HEADER 24
#define PAGE   512
#define FRAME  (HEADER + PAGE)
#define MOST   262144

/* A journal as SQLite has it, and what is to be in it. */
struct world {
    struct folder *folder;
    struct gather gather;
    char path[128];
    sqlite3_filename name;
    sqlite3_file *file;
    sqlite3_int64 at; /* of the next frame */
};

static void world_open(struct world *world, void **state) {
    *world = (struct world){.folder = *state};
    folder_path(world->folder, "x", world->path); /* whose mode its journal has */
    FILE *database = fopen(world->path, "we");
    assert_non_null(database);
    fclose(database);
    folder_path(world->folder, "x-wal", world->path);
    assert_non_null(gather_open(&world->gather));
    world->name = sqlite3_create_filename(world->path, "", world->path, 0, NULL);
    world->file = calloc(1, (size_t)world->gather.vfs.szOsFile);
    assert_non_null(world->file);
    assert_int_equal(
        world->gather.vfs.xOpen(&world->gather.vfs, world->name, world->file,
                                SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
        SQLITE_OK);
}

static void world_close(struct world *world) {
    world->file->pMethods->xClose(world->file);
    free(world->file);
    sqlite3_free_filename((char *)world->name);
    gather_close(&world->gather);
}

static sqlite3_int64 size_of(const struct world *world) {
    struct stat status;
    assert_int_equal(stat(world->path, &status), 0);
    return status.st_size;
}

static int write_at(struct world *world, int value, int size, sqlite3_int64 at) {
    unsigned char data[PAGE];
    memset(data, value, sizeof data);
    return world->file->pMethods->xWrite(world->file, data, size, at);
}

static int byte_at(const struct world *world, sqlite3_int64 at) {
    unsigned char byte;
    FILE *file = fopen(world->path, "rbe");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fread(&byte, 1, 1, file), 1);
    fclose(file);
    return byte;
}

/* One frame; `ends`: the last of its transaction. */
static int frame(struct world *world, bool ends) {
    unsigned char header[HEADER] = {0, 0, 0, 1, 0, 0, 0, ends ? 9 : 0, 1};
    int code = world->file->pMethods->xWrite(world->file, header, HEADER, world->at);
    if (code == SQLITE_OK)
        code = write_at(world, 0x77, PAGE, world->at + HEADER);
    world->at += FRAME;
    return code;
}

/* As SQLite begins: 32 bytes that say what it is, and where frames go on from. */
static void begin(struct world *world) {
    assert_int_equal(write_at(world, 1, 32, 0), SQLITE_OK);
    assert_int_equal(size_of(world), 32);
    world->at = 32;
}

static void frames_wait_for_the_end_of_their_transaction(void **state) {
    struct world world;
    world_open(&world, state);
    begin(&world);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(size_of(&world), 32);
    assert_int_equal(frame(&world, true), SQLITE_OK);
    assert_int_equal(size_of(&world), 32 + 3 * FRAME);
    assert_int_equal(frame(&world, true), SQLITE_OK);
    assert_int_equal(size_of(&world), 32 + 4 * FRAME);
    world_close(&world);
}

static void whatever_else_is_asked_comes_after_what_waits(void **state) {
    struct world world;
    const sqlite3_io_methods *methods;
    unsigned char byte;
    sqlite3_int64 size;
    world_open(&world, state);
    methods = world.file->pMethods;
    begin(&world);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(methods->xSync(world.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
    assert_int_equal(size_of(&world), world.at);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(methods->xRead(world.file, &byte, 1, world.at - 1), SQLITE_OK);
    assert_int_equal(byte, 0x77);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(methods->xFileSize(world.file, &size), SQLITE_OK);
    assert_int_equal(size, world.at);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(write_at(&world, 5, HEADER, 32), SQLITE_OK); /* back to an earlier one */
    assert_int_equal(size_of(&world), world.at);
    assert_int_equal(byte_at(&world, 32), 5);
    assert_int_equal(frame(&world, false), SQLITE_OK); /* not behind what was written last */
    assert_int_equal(size_of(&world), world.at);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_int_equal(methods->xTruncate(world.file, 32), SQLITE_OK);
    assert_int_equal(size_of(&world), 32);
    world_close(&world);
    world_open(&world, state);
    begin(&world);
    assert_int_equal(frame(&world, false), SQLITE_OK);
    sqlite3_int64 end = world.at;
    world_close(&world);
    assert_int_equal(size_of(&world), end);
}

static void a_transaction_larger_than_what_may_wait_is_whole(void **state) {
    struct world world;
    world_open(&world, state);
    begin(&world);
    for (int i = 0; i < MOST / FRAME; i++)
        assert_int_equal(frame(&world, false), SQLITE_OK);
    assert_true(size_of(&world) > MOST / 4);
    assert_int_equal(frame(&world, true), SQLITE_OK);
    assert_int_equal(size_of(&world), world.at);
    for (sqlite3_int64 at = 32; at < world.at; at += FRAME) {
        assert_int_equal(byte_at(&world, at + 3), 1);
        assert_int_equal(byte_at(&world, at + HEADER), 0x77);
    }
    world_close(&world);
}

static void what_cannot_be_written_is_told_at_the_end_and_gone(void **state) {
    struct world world;
    struct rlimit before, tiny;
    world_open(&world, state);
    begin(&world);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tiny = before;
    tiny.rlim_cur = 32 + FRAME;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    int first = frame(&world, false), second = frame(&world, true);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(first, SQLITE_OK);
    assert_int_not_equal(second, SQLITE_OK);
    world.at = 32; /* as SQLite does after it */
    assert_int_equal(frame(&world, true), SQLITE_OK);
    assert_int_equal(size_of(&world), 32 + FRAME);
    world_close(&world);
}

/* --- SQLite on it ------------------------------------------------------------------------------
 */

static void sql(sqlite3 *db, const char *format, int64_t number) {
    char text[300], *why = NULL;
    snprintf(text, sizeof text, format, (long long)number);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", text, why);
}

static void expect_one(sqlite3 *db, const char *text, const char *wanted) {
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *got = (const char *)sqlite3_column_text(statement, 0);
    if (strcmp(got, wanted) != 0)
        fail_msg("%s: %s, not %s", text, got, wanted);
    sqlite3_finalize(statement);
}

/* A cache of a few pages: pages are written before the end of their transaction, and again in it.
 */
static void a_reader_without_it_sees_each_commit_whole(void **state) {
    const struct folder *folder = *state;
    static const char *const modes[] = {"FULL", "NORMAL", "OFF"};
    for (size_t mode = 0; mode < 3; mode++) {
        struct gather gather = {0};
        sqlite3 *writer, *reader;
        char path[128], text[64];
        uint32_t random = 7;
        int64_t rows = 0;
        folder_path(folder, modes[mode], path);
        assert_int_equal(sqlite3_open_v2(path, &writer, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                         gather_open(&gather)),
                         SQLITE_OK);
        snprintf(text, sizeof text, "PRAGMA synchronous = %s", modes[mode]);
        sql(writer, text, 0);
        sql(writer,
            "PRAGMA journal_mode = WAL; PRAGMA cache_size = 4;"
            "PRAGMA wal_autocheckpoint = 60; CREATE TABLE t (v INTEGER, w BLOB)",
            0);
        assert_int_equal(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        for (int i = 0; i < 80; i++) {
            random = random * 1664525U + 1013904223U;
            int64_t count = 1 + (random >> 8) % 20;
            bool taken_back = (random >> 16) % 5 == 0;
            sql(writer, "BEGIN", 0);
            for (int64_t j = 0; j < count; j++)
                sql(writer, "INSERT INTO t VALUES (%lld, zeroblob(900))", i);
            sql(writer, "UPDATE t SET v = v + 1 WHERE rowid %% 7 = %lld", i % 7);
            sql(writer, "UPDATE t SET w = zeroblob(700) WHERE rowid %% 11 = %lld", i % 11);
            sql(writer, taken_back ? "ROLLBACK" : "COMMIT", 0);
            rows += taken_back ? 0 : count;
            snprintf(text, sizeof text, "%lld", (long long)rows);
            expect_one(reader, "SELECT count(*) FROM t", text);
            expect_one(writer, "SELECT count(*) FROM t", text);
            if (i % 20 == 19)
                expect_one(reader, "PRAGMA integrity_check", "ok");
        }
        sqlite3_close(reader);
        sqlite3_close(writer);
        gather_close(&gather);
        assert_int_equal(sqlite3_open(path, &reader), SQLITE_OK);
        expect_one(reader, "PRAGMA integrity_check", "ok");
        expect_one(reader, "SELECT count(*) FROM t", text);
        sqlite3_close(reader);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(frames_wait_for_the_end_of_their_transaction),
        TEST(whatever_else_is_asked_comes_after_what_waits),
        TEST(a_transaction_larger_than_what_may_wait_is_whole),
        TEST(what_cannot_be_written_is_told_at_the_end_and_gone),
        TEST(a_reader_without_it_sees_each_commit_whole),
    };
    return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
