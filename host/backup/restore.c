/* Putting a backup back. Everything is read into a folder of its own first and checked there; then
 * a mark is set, what was there moves aside, what came moves in, and the mark goes. While the mark
 * is there no host starts (store_file.c), so that a half of both is never taken for a store. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backup/backup.h"
#include "backup/sealed.h"
#include "backup/tar.h"
#include "base/clock.h"
#include "base/json_read.h"
#include "base/schema.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

#define PATH_SIZE        4096
#define MANIFEST_MAXIMUM 4194304

struct restore {
    const char *directory, *name;
    char work[PATH_SIZE]; /* what was read */
    struct sealed *in;
    json_t *manifest;
    struct backup_facts *facts;
    struct report *report;
};

static enum err refuse(const struct restore *restore, enum err result, const char *what,
                       const char *why) {
    report_add(restore->report, restore->name, "%s%s%s; nothing was changed", what,
               why[0] ? ": " : "", why);
    return result;
}

/* --- the manifest ----------------------------------------------------------------------------- */

static const struct schema file_fields[] = {
    {.key = "name", .kind = SCHEMA_STRING, .required = true},
    {.key = "bytes", .kind = SCHEMA_INTEGER, .required = true, .minimum = 0, .maximum = 1e15},
    {.key = "sha256", .kind = SCHEMA_STRING, .required = true, .minimum = 64, .maximum = 64},
    {0}};
static const struct schema file_item = {.kind = SCHEMA_OBJECT, .fields = file_fields};
static const struct schema layout_fields[] = {
    {.key = "store", .kind = SCHEMA_INTEGER, .required = true, .minimum = 0, .maximum = 1e6},
    {.key = "telemetry", .kind = SCHEMA_INTEGER, .required = true, .minimum = 0, .maximum = 1e6},
    {0}};
static const struct schema manifest_fields[] = {
    {.key = "program", .kind = SCHEMA_STRING, .required = true},
    {.key = "format", .kind = SCHEMA_INTEGER, .required = true, .minimum = 1, .maximum = 1e6},
    {.key = "version", .kind = SCHEMA_STRING, .required = true},
    {.key = "createdAt", .kind = SCHEMA_STRING, .required = true},
    {.key = "schema", .kind = SCHEMA_OBJECT, .required = true, .fields = layout_fields},
    {.key = "secrets", .kind = SCHEMA_STRING, .required = true},
    {.key = "files",
     .kind = SCHEMA_ARRAY,
     .required = true,
     .item = &file_item,
     .minimum = 1,
     .maximum = 10000},
    {0}};
static const struct schema manifest_schema = {.kind = SCHEMA_OBJECT, .fields = manifest_fields};

static enum err newer(const struct restore *restore, const char *what, long long its, int ours) {
    char why[160];
    snprintf(why, sizeof why, "its %s is %lld, this program knows up to %d: install the newer derd",
             what, its, ours);
    return refuse(restore, ERR_REFUSED, "it was made by a newer derd", why);
}

static enum err check_manifest(const struct restore *restore) {
    const json_t *manifest = restore->manifest;
    struct report found;
    /* A newer one may say more: its numbers first. */
    const json_t *schema = json_object_get(manifest, "schema");
    long long format = tree_integer(manifest, "format", 0);
    long long store = tree_integer(schema, "store", 0);
    long long telemetry = tree_integer(schema, "telemetry", 0);
    if (format > BACKUP_FORMAT)
        return newer(restore, "format", format, BACKUP_FORMAT);
    if (store > STORE_SCHEMA)
        return newer(restore, "layout of the store", store, STORE_SCHEMA);
    if (telemetry > TELEMETRY_SCHEMA)
        return newer(restore, "layout of history", telemetry, TELEMETRY_SCHEMA);
    report_init(&found);
    bool right = schema_check(&manifest_schema, manifest, "", PATH_POINTER, &found);
    enum err result = right ? ERR_OK
                            : refuse(restore, ERR_FORMAT, "its manifest is not as it must be",
                                     found.count ? found.items[0].text : "");
    report_free(&found);
    return result;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err damaged(const struct restore *restore, const char *what) {
    const char *why = sealed_why(restore->in);
    return refuse(restore, ERR_FORMAT, what, why);
}

static enum tar_head next_head(const struct restore *restore, struct tar_entry *entry) {
    unsigned char head[TAR_BLOCK];
    return sealed_read(restore->in, head, sizeof head) ? tar_read_head(head, entry) : TAR_WRONG;
}

static bool skip_padding(const struct restore *restore, int64_t bytes) {
    unsigned char rest[TAR_BLOCK];
    return sealed_read(restore->in, rest, (size_t)tar_padding(bytes));
}

static enum err read_manifest(struct restore *restore) {
    struct tar_entry entry;
    if (next_head(restore, &entry) != TAR_FILE || strcmp(entry.name, BACKUP_MANIFEST) != 0)
        return damaged(restore, "this is no backup of derd, or its beginning is damaged");
    if (entry.bytes > MANIFEST_MAXIMUM)
        return damaged(restore, "its manifest is too long");
    char *text = malloc((size_t)entry.bytes + 1);
    if (!text)
        return refuse(restore, ERR_MEMORY, "there is no memory for it", "");
    bool ok =
        sealed_read(restore->in, text, (size_t)entry.bytes) && skip_padding(restore, entry.bytes);
    restore->manifest =
        ok ? json_read(text, (size_t)entry.bytes, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    return restore->manifest ? check_manifest(restore)
                             : damaged(restore, "its manifest is damaged");
}

static bool make_folders(const struct restore *restore, const char *name) {
    char path[PATH_SIZE];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%.3000s/%.*s", restore->work, (int)(slash - name), name);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static bool copy_content(const struct restore *restore, int fd, int64_t bytes) {
    char data[8192];
    while (bytes > 0) {
        size_t some = bytes < (int64_t)sizeof data ? (size_t)bytes : sizeof data;
        if (!sealed_read(restore->in, data, some) || write(fd, data, some) != (ssize_t)some)
            return false;
        bytes -= (int64_t)some;
    }
    return true;
}

static enum err read_file(struct restore *restore, const json_t *file) {
    const char *name = json_string_value(json_object_get(file, "name"));
    int64_t bytes = json_integer_value(json_object_get(file, "bytes")), counted = 0;
    char path[PATH_SIZE], sum[BACKUP_SUM_SIZE] = "", what[200];
    struct tar_entry entry;
    snprintf(what, sizeof what, "its file %.100s is damaged or missing", name);
    if (!backup_name_valid(name) || strcmp(name, BACKUP_MANIFEST) == 0 ||
        next_head(restore, &entry) != TAR_FILE || strcmp(entry.name, name) != 0 ||
        entry.bytes != bytes)
        return damaged(restore, what);
    snprintf(path, sizeof path, "%.3000s/%.200s", restore->work, name);
    int fd =
        make_folders(restore, name) ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return refuse(restore, ERR_IO, "it cannot be unpacked", strerror(errno));
    bool ok = copy_content(restore, fd, bytes) && skip_padding(restore, bytes) &&
              backup_sum(fd, &counted, sum) && fsync(fd) == 0;
    close(fd);
    if (!ok && !sealed_why(restore->in)[0])
        return refuse(restore, ERR_IO, "it cannot be unpacked", strerror(errno));
    if (!ok || counted != bytes ||
        strcmp(sum, json_string_value(json_object_get(file, "sha256"))) != 0)
        return damaged(restore, what);
    restore->facts->files++;
    restore->facts->bytes += bytes;
    return ERR_OK;
}

static enum err read_all(struct restore *restore) {
    size_t i;
    json_t *file;
    struct tar_entry entry;
    unsigned char second[TAR_BLOCK];
    enum err result = read_manifest(restore);
    json_array_foreach(json_object_get(restore->manifest, "files"), i, file) {
        if (result == ERR_OK)
            result = read_file(restore, file);
    }
    if (result == ERR_OK &&
        (next_head(restore, &entry) != TAR_END || !sealed_read(restore->in, second, sizeof second)))
        return damaged(restore, "its end is damaged");
    if (result == ERR_OK && !sealed_at_end(restore->in))
        return damaged(restore, "its end is damaged");
    return result;
}

/* --- what was read -----------------------------------------------------------------------------
 */

static bool ask(sqlite3 *db, const char *sql, char *text, size_t size, int64_t *number) {
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok) {
        *number = sqlite3_column_int64(statement, 0);
        snprintf(text, size, "%s", (const char *)sqlite3_column_text(statement, 0));
    }
    return sqlite3_finalize(statement) == SQLITE_OK && ok;
}

/* Of the layout that the manifest says, and whole. */
static enum err check_database(const struct restore *restore, const char *name,
                               const char *layout) {
    char path[PATH_SIZE], text[200] = "";
    sqlite3 *db = NULL;
    int64_t version = -1, ignored;
    long long said = tree_integer(json_object_get(restore->manifest, "schema"), layout, -1);
    snprintf(path, sizeof path, "%.3000s/%s", restore->work, name);
    if (access(path, F_OK) != 0)
        return strcmp(name, "derd.db") == 0
                   ? refuse(restore, ERR_FORMAT, "there is no derd.db in it", "")
                   : ERR_OK;
    bool ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
              ask(db, "PRAGMA user_version", text, sizeof text, &version) &&
              ask(db, "PRAGMA quick_check(1)", text, sizeof text, &ignored) &&
              strcmp(text, "ok") == 0;
    if (ok && strcmp(name, "derd.db") == 0 && version >= 5 &&
        strcmp(tree_string(restore->manifest, "secrets", ""), "sealed") != 0 &&
        ask(db, "SELECT count(*) FROM webhooks", text, sizeof text, &ignored))
        restore->facts->webhooks = (int)ignored;
    sqlite3_close(db);
    snprintf(text, sizeof text, "its file %s is damaged", name);
    return ok && version == said ? ERR_OK : refuse(restore, ERR_FORMAT, text, "");
}

/* --- the change ------------------------------------------------------------------------------- */

static bool sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool set_mark(const char *mark) {
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* True also when there is nothing of that name. */
static bool move(const char *from_folder, const char *to_folder, const char *name, bool *moved) {
    char from[PATH_SIZE], to[PATH_SIZE];
    snprintf(from, sizeof from, "%.3000s/%s", from_folder, name);
    snprintf(to, sizeof to, "%.3000s/%s", to_folder, name);
    if (rename(from, to) == 0) {
        *moved = true;
        return true;
    }
    return errno == ENOENT;
}

static enum err swap(const struct restore *restore, char kept[BACKUP_KEPT_SIZE]) {
    static const char *const names[] = {"derd.db",      "derd.db-wal",      "derd.db-shm",
                                        "telemetry.db", "telemetry.db-wal", "telemetry.db-shm",
                                        "scripts"};
    static const char *const come[] = {"derd.db", "telemetry.db", "scripts"};
    char mark[PATH_SIZE], aside[PATH_SIZE];
    struct tm date;
    bool ok, moved = false, came = false;
    int error;
    time_t now = (time_t)(clock_wall().ms / 1000);
    gmtime_r(&now, &date);
    snprintf(mark, sizeof mark, "%.3000s/" STORE_RESTORE_MARK, restore->directory);
    snprintf(kept, BACKUP_KEPT_SIZE, "before-restore-%04u-%02u-%02uT%02u-%02u-%02uZ-%04x",
             (unsigned)date.tm_year % 8100 + 1900, (unsigned)date.tm_mon + 1,
             (unsigned)date.tm_mday, (unsigned)date.tm_hour, (unsigned)date.tm_min,
             (unsigned)date.tm_sec, randombytes_uniform(65536));
    snprintf(aside, sizeof aside, "%.3000s/%s", restore->directory, kept);
    bool half_before = access(mark, F_OK) == 0; /* an earlier one has stopped half way */
    ok = set_mark(mark) && sync_folder(restore->directory) && mkdir(aside, 0700) == 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && ok; i++)
        ok = move(restore->directory, aside, names[i], &moved);
    for (size_t i = 0; i < sizeof come / sizeof *come && ok; i++)
        ok = move(restore->work, restore->directory, come[i], &came);
    ok = ok && sync_folder(aside) && sync_folder(restore->directory);
    if (ok && unlink(mark) == 0 && sync_folder(restore->directory)) {
        if (!moved && rmdir(aside) == 0)
            kept[0] = '\0';
        return ERR_OK;
    }
    error = errno;
    if (!moved && !came && !half_before) {
        (void)rmdir(aside);
        kept[0] = '\0';
        if (unlink(mark) == 0 || errno == ENOENT)
            return refuse(restore, ERR_IO, "it cannot be put in place", strerror(error));
    }
    report_add(restore->report, restore->directory,
               "the change stopped half way: %s; what was there is in %s. No host starts on this "
               "folder until `derd restore` has ended well",
               strerror(error), kept);
    return ERR_IO;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *at) {
    (void)status;
    (void)flag;
    (void)at;
    return remove(path);
}

enum err backup_restore(const char *directory, int fd, const char *name, const char *passphrase,
                        struct backup_facts *facts, char kept[BACKUP_KEPT_SIZE],
                        struct report *report) {
    struct restore restore = {
        .directory = directory, .name = name, .facts = facts, .report = report};
    char why[SEALED_WHY_SIZE];
    int lock = -1;
    kept[0] = '\0';
    *facts = (struct backup_facts){.sealed = passphrase != NULL};
    restore.in = sealed_open(fd, passphrase, why, sizeof why);
    if (!restore.in)
        return refuse(&restore, ERR_FORMAT, "it cannot be read", why);
    enum err result = store_folder_lock(directory, &lock, report);
    snprintf(restore.work, sizeof restore.work, "%.3000s/restore.part-XXXXXX", directory);
    if (result == ERR_OK && !mkdtemp(restore.work))
        result = refuse(&restore, ERR_IO, "it cannot be unpacked", strerror(errno));
    bool made = result == ERR_OK;
    if (result == ERR_OK)
        result = read_all(&restore);
    if (result == ERR_OK)
        result = check_database(&restore, "derd.db", "store");
    if (result == ERR_OK)
        result = check_database(&restore, "telemetry.db", "telemetry");
    if (result == ERR_OK)
        result = swap(&restore, kept);
    if (made)
        nftw(restore.work, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    if (lock >= 0)
        close(lock);
    json_decref(restore.manifest);
    sealed_free(restore.in);
    return result;
}
