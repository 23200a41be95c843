/* Backups and what becomes of them: the same store again, no secret in clear, and nothing taken of
 * a file that is damaged, newer, or of somebody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>

#include "backup/backup.h"
#include "backup/sealed.h"
#include "backup/tar.h"
#include "store/store_passwords.h"
#include "store/store_webhooks.h"
#include "store_kit.h"
#include "webhooks/webhook.h"

#define HOOK   "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define SECRET "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define PHRASE "correct horse battery staple"

static char token[TOKEN_TEXT_SIZE];
static struct password password;

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

/* The bytes of a file, to be freed. */
static char *read_bytes(const char *path, size_t *length) {
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *length, file), *length);
    bytes[*length] = '\0';
    fclose(file);
    return bytes;
}

static void write_bytes(const char *path, const char *bytes, size_t length) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static bool holds(const char *bytes, size_t length, const char *text) {
    return memmem(bytes, length, text, strlen(text)) != NULL;
}

/* A store with some of everything; it stays open. */
static struct store *furnished(const struct folder *folder) {
    char path[128];
    struct store *store = store_opened(folder);
    struct webhook hook = {.url = "https://a.example/hook", .enabled = true, .secret = SECRET};
    struct token made_token = {.max_priority = 1999, .scopes = 1};
    char *document = webhook_write(&hook);
    assert_int_equal(store_put_webhook(store, HOOK, "owner", document, (struct wall){5}, NULL),
                     ERR_OK);
    free(document);
    assert_int_equal(store_token_create(store, "phone", NULL, &made_token, token, NULL), ERR_OK);
    password = (struct password){.hash = "$argon2id$some", .scopes = 1, .max_priority = 5};
    assert_int_equal(store_password_set(store, "owner", &password, NULL), ERR_OK);
    assert_true(store_password_find(store, "owner", &password));
    struct results *results = results_new();
    assert_int_equal(store_put_text(store, "gate", "a", "value", results_add, results), ERR_OK);
    struct receipt receipt = {.key = "k",
                              .status = 201,
                              .created_at = clock_wall(),
                              .body = (char *)"{\"secret\": \"" SECRET "\"}"};
    snprintf(receipt.owner, sizeof receipt.owner, "%.12s", token + 5); /* the token's id */
    assert_int_equal(store_put_receipt(store, &receipt, results_add, results), ERR_OK);
    results_wait(results, 2);
    assert_int_equal(results->items[0], ERR_OK);
    assert_int_equal(results->items[1], ERR_OK);
    results_free(results);
    folder_path(folder, "scripts", path);
    assert_int_equal(mkdir(path, 0700), 0);
    folder_path(folder, "scripts/drivers", path);
    assert_int_equal(mkdir(path, 0700), 0);
    folder_path(folder, "scripts/drivers/mine.lua", path);
    write_text(path, "return {}\n");
    folder_path(folder, "scripts/drivers/not a script", path);
    write_text(path, "x");
    return store;
}

static void fail_with(const struct report *report) {
    for (size_t i = 0; i < report->count; i++)
        print_error("%s: %s\n", report->items[i].where, report->items[i].text);
}

static struct backup_facts made(const struct folder *folder, const char *file, const char *phrase) {
    struct backup_facts facts;
    struct report report;
    report_init(&report);
    if (backup_make(folder->path, file, phrase, &facts, &report) != ERR_OK) {
        fail_with(&report);
        fail();
    }
    assert_true(report_empty(&report));
    report_free(&report);
    return facts;
}

static void sub_folder(const struct folder *folder, const char *name, struct folder *sub) {
    snprintf(sub->path, sizeof sub->path, "%.60s/%s", folder->path, name);
}

/* Restores into `to`; `words` must be in the first mistake, NULL: there is none. */
static enum err restored(const char *to, const char *file, const char *phrase, const char *words,
                         char kept[BACKUP_KEPT_SIZE]) {
    struct backup_facts facts;
    struct report report;
    report_init(&report);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    enum err result = backup_restore(to, fd, file, phrase, &facts, kept, &report);
    close(fd);
    if (words && !(report.count && strstr(report.items[0].text, words))) {
        fail_with(&report);
        fail_msg("no mistake says \"%s\"", words);
    }
    if (!words && report.count) {
        fail_with(&report);
        fail();
    }
    assert_int_equal(result == ERR_OK, words == NULL);
    report_free(&report);
    return result;
}

struct seen {
    struct webhook hook;
    int count;
};

static void see_hook(void *context, const char *id, const char *account, const char *text) {
    struct seen *seen = context;
    assert_true(webhook_read(id, account, text, &seen->hook));
    seen->count++;
}

static void expect_furnished(const struct folder *folder, bool secrets) {
    struct store *store = store_opened(folder);
    struct token known;
    struct seen seen = {0};
    struct receipt receipt;
    struct password set;
    assert_true(store_password_find(store, "owner", &set));
    assert_string_equal(set.hash, password.hash);
    assert_int_equal(memcmp(set.mark, password.mark, sizeof set.mark) == 0, secrets);
    char *text = store_get_text(store, "gate", "a");
    assert_string_equal(text, "value");
    free(text);
    assert_true(store_token_check(store, token, &known));
    assert_string_equal(known.name, "phone");
    assert_int_equal(store_load_webhooks(store, see_hook, &seen), ERR_OK);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.hook.url, "https://a.example/hook");
    assert_string_equal(seen.hook.secret, secrets ? SECRET : "");
    assert_int_equal(seen.hook.enabled, secrets);
    assert_true(secrets || strstr(seen.hook.reason, "rotateSecret"));
    assert_int_equal(store_get_receipt(store, known.id, "k", clock_wall(), &receipt), ERR_OK);
    assert_true((receipt.body != NULL) == secrets);
    free(receipt.body);
    store_close(store);
}

static void a_store_in_use_comes_back_as_it_was_without_secrets(void **state) {
    const struct folder *folder = *state;
    char file[128], kept[BACKUP_KEPT_SIZE], path[128];
    struct folder other;
    struct stat status;
    size_t length;
    folder_path(folder, "backup.tar", file);
    sub_folder(folder, "other", &other);
    struct store *store = furnished(folder);
    struct backup_facts facts = made(folder, file, NULL);
    assert_int_equal(facts.files, 2);
    assert_int_equal(facts.webhooks, 1);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    char *bytes = read_bytes(file, &length);
    assert_true(holds(bytes, length, "scripts/drivers/mine.lua"));
    assert_false(holds(bytes, length, "not a script"));
    assert_false(holds(bytes, length, "whsec_MDEy"));
    assert_null(memmem(bytes, length, password.mark, sizeof password.mark));
    assert_false(holds(bytes, length, token + 18)); /* its secret half */
    free(bytes);
    assert_int_equal(restored(other.path, file, NULL, NULL, kept), ERR_OK);
    assert_string_equal(kept, "");
    expect_furnished(&other, false);
    folder_path(&other, "scripts/drivers/mine.lua", path);
    bytes = read_bytes(path, &length);
    assert_string_equal(bytes, "return {}\n");
    free(bytes);
    store_close(store);
}

static void a_sealed_one_has_everything_and_shows_nothing(void **state) {
    const struct folder *folder = *state;
    char file[128], kept[BACKUP_KEPT_SIZE];
    struct folder other;
    size_t length;
    folder_path(folder, "backup", file);
    sub_folder(folder, "other", &other);
    store_close(furnished(folder));
    assert_true(made(folder, file, PHRASE).sealed);
    char *bytes = read_bytes(file, &length);
    assert_false(holds(bytes, length, "derd.db"));
    assert_false(holds(bytes, length, "whsec"));
    restored(other.path, file, NULL, "--passphrase-file", kept);
    restored(other.path, file, "another passphrase", "passphrase is another one", kept);
    assert_int_equal(restored(other.path, file, PHRASE, NULL, kept), ERR_OK);
    expect_furnished(&other, true);
    for (size_t cut = 1; cut < length; cut += length / 7) { /* also without its last piece */
        write_bytes(file, bytes, length - cut);
        assert_true(restored(other.path, file, PHRASE, "nothing was changed", kept) != ERR_OK);
    }
    bytes[length / 2] ^= 1;
    write_bytes(file, bytes, length);
    restored(other.path, file, PHRASE, "changed or cut", kept);
    expect_furnished(&other, true);
    free(bytes);
}

static void what_was_there_is_kept_and_comes_back(void **state) {
    const struct folder *folder = *state;
    char file[128], kept[BACKUP_KEPT_SIZE];
    folder_path(folder, "backup.tar", file);
    store_close(furnished(folder));
    made(folder, file, NULL);
    struct store *store = store_opened(folder);
    struct results *results = results_new();
    assert_int_equal(store_put_text(store, "gate", "a", "later", results_add, results), ERR_OK);
    results_wait(results, 1);
    results_free(results);
    restored(folder->path, file, NULL, "another derd", kept); /* it runs */
    store_close(store);
    assert_int_equal(restored(folder->path, file, NULL, NULL, kept), ERR_OK);
    expect_furnished(folder, false);
    struct folder before;
    sub_folder(folder, kept, &before);
    store = store_opened(&before);
    char *text = store_get_text(store, "gate", "a");
    assert_string_equal(text, "later");
    free(text);
    store_close(store);
}

static void nothing_is_taken_of_a_damaged_one(void **state) {
    const struct folder *folder = *state;
    char file[128], kept[BACKUP_KEPT_SIZE];
    size_t length;
    folder_path(folder, "backup.tar", file);
    store_close(furnished(folder));
    made(folder, file, NULL);
    char *bytes = read_bytes(file, &length);
    for (size_t at = 700; at < length; at += length / 23) { /* 700: within the manifest */
        if (bytes[at] == 0 && at % TAR_BLOCK > 300 && at < 4 * TAR_BLOCK)
            continue; /* padding, which says nothing */
        bytes[at] ^= 0x55;
        write_bytes(file, bytes, length);
        bytes[at] ^= 0x55;
        assert_int_equal(restored(folder->path, file, NULL, "nothing was changed", kept),
                         ERR_FORMAT);
    }
    for (size_t cut = 1; cut < length; cut += length / 11) {
        write_bytes(file, bytes, length - cut);
        assert_int_equal(restored(folder->path, file, NULL, "nothing was changed", kept),
                         ERR_FORMAT);
    }
    write_text(file, "return { clusters = {} }\n");
    assert_int_equal(restored(folder->path, file, NULL, "no backup of derd", kept), ERR_FORMAT);
    expect_furnished(folder, true); /* as it was */
    free(bytes);
}

/* Writes an archive with this manifest and one file. */
static void write_archive(const char *path, const char *manifest, const char *name) {
    unsigned char block[TAR_BLOCK];
    struct tar_entry entry = {.bytes = (int64_t)strlen(manifest)};
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    snprintf(entry.name, sizeof entry.name, "manifest.json");
    assert_true(tar_write_head(&entry, block));
    fwrite(block, sizeof block, 1, file);
    memset(block, 0, sizeof block);
    fwrite(manifest, 1, strlen(manifest), file);
    fwrite(block, 1, (size_t)tar_padding(entry.bytes), file);
    snprintf(entry.name, sizeof entry.name, "%s", name);
    entry.bytes = 0;
    assert_true(tar_write_head(&entry, block));
    fwrite(block, sizeof block, 1, file);
    memset(block, 0, sizeof block);
    fwrite(block, sizeof block, 1, file);
    fwrite(block, sizeof block, 1, file);
    fclose(file);
}

#define NO_BYTES "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MANIFEST(format, store, telemetry, name)                                                   \
    "{\"program\":\"derd\",\"format\":" format ",\"version\":\"9\",\"createdAt\":\"x\","           \
    "\"schema\":{\"store\":" store ",\"telemetry\":" telemetry "},\"secrets\":\"left out\","       \
    "\"files\":[{\"name\":\"" name "\",\"bytes\":0,\"sha256\":\"" NO_BYTES "\"}]}"

static void one_of_a_newer_derd_is_refused_cleanly(void **state) {
    const struct folder *folder = *state;
    char file[128], kept[BACKUP_KEPT_SIZE];
    folder_path(folder, "backup.tar", file);
    store_close(furnished(folder));
    write_archive(file, MANIFEST("2", "1", "1", "derd.db"), "derd.db");
    assert_int_equal(restored(folder->path, file, NULL, "newer derd", kept), ERR_REFUSED);
    write_archive(file, MANIFEST("1", "999", "1", "derd.db"), "derd.db");
    assert_int_equal(restored(folder->path, file, NULL, "layout of the store is 999", kept),
                     ERR_REFUSED);
    write_archive(file, MANIFEST("1", "1", "77", "derd.db"), "derd.db");
    assert_int_equal(restored(folder->path, file, NULL, "layout of history is 77", kept),
                     ERR_REFUSED);
    expect_furnished(folder, true);
}

static void a_file_never_leaves_its_folder(void **state) {
    const struct folder *folder = *state;
    char file[128], kept[BACKUP_KEPT_SIZE];
    folder_path(folder, "backup.tar", file);
    write_archive(file, MANIFEST("1", "1", "1", "../evil"), "../evil");
    assert_int_equal(restored(folder->path, file, NULL, "nothing was changed", kept), ERR_FORMAT);
    write_archive(file, MANIFEST("1", "1", "1", "derd.db"), "scripts/drivers/../../../x.lua");
    assert_int_equal(restored(folder->path, file, NULL, "nothing was changed", kept), ERR_FORMAT);
    static const char *const wrong[] = {"/derd.db",
                                        "scripts/drivers/../a.lua",
                                        "scripts/a.lua",
                                        "scripts/drivers/.lua",
                                        "scripts/drivers/a.lua/b.lua",
                                        "derd.lock",
                                        ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(backup_name_valid(wrong[i]));
    assert_true(backup_name_valid("scripts/policies/solar_2.lua"));
}

static void a_restore_that_stopped_half_way_keeps_hosts_away_until_it_is_done(void **state) {
    const struct folder *folder = *state;
    char file[128], mark[128], kept[BACKUP_KEPT_SIZE];
    folder_path(folder, "backup.tar", file);
    folder_path(folder, STORE_RESTORE_MARK, mark);
    store_close(furnished(folder));
    made(folder, file, NULL);
    write_text(mark, "");
    assert_int_equal(store_refused(folder->path, "a restore was interrupted"), ERR_REFUSED);
    assert_int_equal(restored(folder->path, file, NULL, NULL, kept), ERR_OK);
    expect_furnished(folder, false);
}

static void a_name_that_is_taken_is_not_written_over(void **state) {
    const struct folder *folder = *state;
    char file[128];
    struct backup_facts facts;
    struct report report;
    size_t length;
    folder_path(folder, "site.lua", file);
    store_close(furnished(folder));
    write_text(file, "mine");
    report_init(&report);
    assert_int_equal(backup_make(folder->path, file, NULL, &facts, &report), ERR_CONFLICT);
    assert_non_null(strstr(report.items[0].text, "already"));
    report_free(&report);
    char *bytes = read_bytes(file, &length);
    assert_string_equal(bytes, "mine");
    free(bytes);
    report_init(&report);
    assert_int_equal(backup_make("/nonexistent", "/tmp/x", NULL, &facts, &report), ERR_NOT_FOUND);
    report_free(&report);
}

static void heads_of_tar_keep_sizes_beyond_8_gib(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 511, 512, 077777777777, 077777777777 + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct tar_entry entry = {.name = "telemetry.db", .bytes = sizes[i], .time_s = 1795795200};
        struct tar_entry again;
        unsigned char head[TAR_BLOCK];
        assert_true(tar_write_head(&entry, head));
        assert_int_equal(tar_read_head(head, &again), TAR_FILE);
        assert_true(again.bytes == sizes[i] && again.time_s == entry.time_s);
        assert_string_equal(again.name, entry.name);
        head[5] ^= 1;
        assert_int_equal(tar_read_head(head, &again), TAR_WRONG);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_in_use_comes_back_as_it_was_without_secrets,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_sealed_one_has_everything_and_shows_nothing, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(what_was_there_is_kept_and_comes_back, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(nothing_is_taken_of_a_damaged_one, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(one_of_a_newer_derd_is_refused_cleanly, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(a_file_never_leaves_its_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(
            a_restore_that_stopped_half_way_keeps_hosts_away_until_it_is_done, folder_make,
            folder_remove),
        cmocka_unit_test_setup_teardown(a_name_that_is_taken_is_not_written_over, folder_make,
                                        folder_remove),
        cmocka_unit_test(heads_of_tar_keep_sizes_beyond_8_gib),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
