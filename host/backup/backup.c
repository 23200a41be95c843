/* Making one: each database is copied by SQLite's own backup within one read transaction, so that
 * it is a moment of its own whatever the host writes meanwhile. The copies stand in a folder beside
 * the target, which goes in every case. */
#include "backup/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <libgen.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/sealed.h"
#include "backup/tar.h"
#include "base/buf.h"
#include "base/clock.h"
#include "store/store.h"
#include "telemetry/telemetry.h"

#define PATH_SIZE     4096
#define BUSY_MS       10000
#define NAME_SIZE     TAR_NAME_SIZE
#define FILES_MAXIMUM 4096

static const char *const script_folders[] = {"scripts/drivers", "scripts/policies"};
#define SCRIPT_FOLDERS (sizeof script_folders / sizeof *script_folders)

struct backup {
    const char *directory, *file, *passphrase;
    char work[PATH_SIZE]; /* the folder of copies */
    json_t *files;        /* for the manifest, in order */
    int64_t schema, telemetry_schema;
    struct backup_facts *facts;
    struct report *report;
};

/* --- of both ---------------------------------------------------------------------------------- */

bool backup_name_valid(const char *name) {
    if (strcmp(name, "derd.db") == 0 || strcmp(name, "telemetry.db") == 0 ||
        strcmp(name, BACKUP_MANIFEST) == 0)
        return true;
    for (size_t i = 0; i < SCRIPT_FOLDERS; i++) {
        size_t folder = strlen(script_folders[i]);
        if (strncmp(name, script_folders[i], folder) != 0 || name[folder] != '/')
            continue;
        const char *base = name + folder + 1;
        size_t word = strspn(base, "abcdefghijklmnopqrstuvwxyz0123456789_");
        return word > 0 && strcmp(base + word, ".lua") == 0 && strlen(name) < NAME_SIZE;
    }
    return false;
}

bool backup_sum(int fd, int64_t *bytes, char sum[BACKUP_SUM_SIZE]) {
    static const size_t room = 65536;
    unsigned char *data = malloc(room), hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    ssize_t got = -1;
    *bytes = 0;
    crypto_hash_sha256_init(&state);
    while (data && ((got = pread(fd, data, room, *bytes)) > 0 || (got < 0 && errno == EINTR))) {
        if (got < 0)
            continue;
        crypto_hash_sha256_update(&state, data, (unsigned long long)got);
        *bytes += got;
    }
    free(data);
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(sum, BACKUP_SUM_SIZE, hash, sizeof hash);
    return got == 0;
}

/* --- copies ----------------------------------------------------------------------------------- */

static enum err refuse(struct backup *backup, enum err result, const char *where, const char *what,
                       const char *why) {
    report_add(backup->report, where, "%s%s%s", what, why[0] ? ": " : "", why);
    return result;
}

static void work_path(const struct backup *backup, const char *name, char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, "%.3000s/%.200s", backup->work, name);
}

static bool ask_number(sqlite3 *db, const char *sql, int64_t *number) {
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        *number = sqlite3_column_int64(statement, 0);
    return sqlite3_finalize(statement) == SQLITE_OK && ok;
}

/* The whole of `from` into the file `to`. In a text what SQLite says, "" when it went well. */
static void copy_database(const char *from, const char *to, char *why, size_t why_size) {
    sqlite3 *source = NULL, *target = NULL;
    int code = sqlite3_open_v2(from, &source, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    why[0] = '\0';
    if (code == SQLITE_OK)
        code = sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite3_db_config(source, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* only read */
        sqlite3_busy_timeout(source, BUSY_MS);
        sqlite3_backup *copy = sqlite3_backup_init(target, "main", source, "main");
        while (copy && sqlite3_backup_step(copy, -1) == SQLITE_BUSY)
            ; /* waits for BUSY_MS each time; a checkpoint is short */
        code = copy ? sqlite3_backup_finish(copy) : sqlite3_errcode(target);
    }
    if (code == SQLITE_OK && /* one file, that needs no other one beside it */
        sqlite3_exec(target, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) != SQLITE_OK)
        code = sqlite3_errcode(target);
    if (code != SQLITE_OK)
        snprintf(why, why_size, "%s", sqlite3_errstr(code));
    sqlite3_close(source);
    sqlite3_close(target);
}

/* Secrets of webhooks, and the answers that showed one, kept for a repetition of the request; what
 * browsers are known by (of passwords only Argon2's hashes stay). */
static bool leave_out(struct backup *backup, sqlite3 *db) {
    int64_t count = 0;
    char *sql = sqlite3_mprintf(
        "PRAGMA secure_delete = ON;"
        "UPDATE webhooks SET document = json_set(document, '$.secret', '', '$.oldSecret', '',"
        " '$.oldUntil', 0, '$.enabled', json('false'), '$.disabledAt', %lld, '$.reason', %Q)"
        " WHERE json_valid(document);"
        "DELETE FROM webhooks WHERE NOT json_valid(document);"
        "UPDATE passwords SET mark = randomblob(32);"
        "UPDATE receipts SET body = NULL WHERE body LIKE '%%whsec_%%';"
        "VACUUM",
        (long long)clock_wall().ms, BACKUP_REASON);
    bool ok = sql && ask_number(db, "SELECT count(*) FROM webhooks", &count) &&
              sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_free(sql);
    backup->facts->webhooks = (int)count;
    return ok;
}

/* The copy of derd.db: of a layout that is known, whole, and without secrets in clear. */
static enum err look_at_store(struct backup *backup, const char *path) {
    sqlite3 *db = NULL;
    enum err result = ERR_OK;
    const char *source = backup->directory;
    sqlite3_stmt *check = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
            SQLITE_OK ||
        !ask_number(db, "PRAGMA user_version", &backup->schema))
        result = refuse(backup, ERR_IO, source, "the copy cannot be read", sqlite3_errmsg(db));
    else if (backup->schema > STORE_SCHEMA)
        result = refuse(backup, ERR_REFUSED, source,
                        "the store was written by a newer derd: make the backup with that one", "");
    else if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &check, NULL) != SQLITE_OK ||
             sqlite3_step(check) != SQLITE_ROW ||
             strcmp((const char *)sqlite3_column_text(check, 0), "ok") != 0)
        result = refuse(backup, ERR_FORMAT, source,
                        "the store is damaged, so no backup was made of it: keep a copy of the "
                        "whole folder, and the backups that there are",
                        "");
    sqlite3_finalize(check);
    if (result == ERR_OK && !backup->passphrase && backup->schema == STORE_SCHEMA &&
        !leave_out(backup, db))
        result =
            refuse(backup, ERR_IO, path, "its secrets cannot be taken out", sqlite3_errmsg(db));
    else if (result == ERR_OK && !backup->passphrase && backup->schema < STORE_SCHEMA)
        result = refuse(backup, ERR_REFUSED, source,
                        "the store is of an older layout: start the host on it once, or seal the "
                        "backup with --passphrase-file",
                        "");
    sqlite3_close(db);
    return result;
}

static int make_file(const char *path) {
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/* Writes what is known of a file of the copies into the list. */
static enum err list_file(struct backup *backup, const char *name) {
    char path[PATH_SIZE], sum[BACKUP_SUM_SIZE];
    int64_t bytes;
    work_path(backup, name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && backup_sum(fd, &bytes, sum);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!ok)
        return refuse(backup, ERR_IO, path, "it cannot be read", strerror(error));
    backup->facts->files++;
    backup->facts->bytes += bytes;
    json_array_append_new(backup->files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                                   (json_int_t)bytes, "sha256", sum));
    return ERR_OK;
}

static enum err take_database(struct backup *backup, const char *name, bool store) {
    char from[PATH_SIZE], to[PATH_SIZE], why[160];
    snprintf(from, sizeof from, "%.3000s/%s", backup->directory, name);
    work_path(backup, name, to);
    if (access(from, F_OK) != 0 && errno == ENOENT && !store)
        return ERR_OK; /* no history */
    int fd = make_file(to);
    if (fd < 0)
        return refuse(backup, ERR_IO, to, "it cannot be made", strerror(errno));
    close(fd);
    copy_database(from, to, why, sizeof why);
    if (why[0])
        return refuse(backup, ERR_IO, from, "it cannot be copied", why);
    enum err result = store ? look_at_store(backup, to) : ERR_OK;
    if (!store) {
        sqlite3 *db = NULL;
        if (sqlite3_open_v2(to, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
            !ask_number(db, "PRAGMA user_version", &backup->telemetry_schema))
            result = refuse(backup, ERR_IO, from, "the copy cannot be read", sqlite3_errmsg(db));
        sqlite3_close(db);
    }
    return result == ERR_OK ? list_file(backup, name) : result;
}

/* One script: what stands there at this moment, since files are replaced by renaming. */
static enum err take_script(struct backup *backup, const char *name) {
    char from[PATH_SIZE], to[PATH_SIZE];
    size_t length;
    snprintf(from, sizeof from, "%.3000s/%.200s", backup->directory, name);
    work_path(backup, name, to);
    FILE *source = fopen(from, "rbe");
    if (!source && errno == ENOENT)
        return ERR_OK; /* removed meanwhile */
    int fd = source ? make_file(to) : -1;
    char data[8192];
    bool ok = fd >= 0;
    while (ok && (length = fread(data, 1, sizeof data, source)) > 0)
        ok = write(fd, data, length) == (ssize_t)length;
    ok = ok && !ferror(source);
    if (source)
        fclose(source);
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    return ok ? list_file(backup, name)
              : refuse(backup, ERR_IO, from, "it cannot be copied", strerror(errno));
}

static enum err take_scripts(struct backup *backup, const char *folder) {
    char path[PATH_SIZE], name[NAME_SIZE + 300];
    enum err result = ERR_OK;
    work_path(backup, "scripts", path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return refuse(backup, ERR_IO, path, "it cannot be made", strerror(errno));
    work_path(backup, folder, path);
    if (mkdir(path, 0700) != 0)
        return refuse(backup, ERR_IO, path, "it cannot be made", strerror(errno));
    snprintf(path, sizeof path, "%.3000s/%s", backup->directory, folder);
    DIR *list = opendir(path);
    if (!list)
        return errno == ENOENT ? ERR_OK
                               : refuse(backup, ERR_IO, path, "it cannot be read", strerror(errno));
    for (const struct dirent *entry; result == ERR_OK && (entry = readdir(list));) {
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        if (backup_name_valid(name) && backup->facts->files < FILES_MAXIMUM)
            result = take_script(backup, name);
    }
    closedir(list);
    return result;
}

/* --- the archive ------------------------------------------------------------------------------ */

static bool put_content(struct sealed *out, const char *name, const void *data, int64_t bytes) {
    struct tar_entry entry = {.bytes = bytes, .time_s = clock_wall().ms / 1000};
    unsigned char head[TAR_BLOCK];
    snprintf(entry.name, sizeof entry.name, "%s", name);
    return tar_write_head(&entry, head) && sealed_write(out, head, sizeof head) &&
           (!data || sealed_write(out, data, (size_t)bytes));
}

static bool put_padding(struct sealed *out, int64_t bytes) {
    static const unsigned char zeros[TAR_BLOCK];
    return sealed_write(out, zeros, (size_t)tar_padding(bytes));
}

static bool put_file(struct backup *backup, struct sealed *out, const json_t *file) {
    char path[PATH_SIZE];
    const char *name = json_string_value(json_object_get(file, "name"));
    int64_t bytes = json_integer_value(json_object_get(file, "bytes")), left = bytes;
    work_path(backup, name, path);
    FILE *source = fopen(path, "rbe");
    bool ok = source && put_content(out, name, NULL, bytes);
    char data[8192];
    while (ok && left > 0) {
        size_t got = fread(data, 1, sizeof data, source);
        ok = got > 0 && (int64_t)got <= left && sealed_write(out, data, got);
        left -= (int64_t)got;
    }
    if (source)
        fclose(source);
    return ok && put_padding(out, bytes);
}

static char *manifest_text(const struct backup *backup) {
    char at[WALL_TEXT_SIZE];
    wall_format(clock_wall(), at);
    json_t *tree =
        json_pack("{s:s, s:i, s:s, s:s, s:{s:I, s:I}, s:s, s:O}", "program", "derd", "format",
                  BACKUP_FORMAT, "version", DERD_VERSION, "createdAt", at, "schema", "store",
                  (json_int_t)backup->schema, "telemetry", (json_int_t)backup->telemetry_schema,
                  "secrets", backup->passphrase ? "sealed" : "left out", "files", backup->files);
    char *text = tree ? json_dumps(tree, JSON_INDENT(2)) : NULL;
    json_decref(tree);
    return text;
}

static bool put_all(struct backup *backup, struct sealed *out) {
    static const unsigned char end[2 * TAR_BLOCK];
    char *text = manifest_text(backup);
    size_t i;
    json_t *file;
    bool ok = text && put_content(out, BACKUP_MANIFEST, text, (int64_t)strlen(text)) &&
              put_padding(out, (int64_t)strlen(text));
    free(text);
    json_array_foreach(backup->files, i, file) ok = ok && put_file(backup, out, file);
    return ok && sealed_write(out, end, sizeof end) && sealed_finish(out);
}

static enum err write_archive(struct backup *backup, const char *path) {
    char why[SEALED_WHY_SIZE] = "";
    int fd = make_file(path);
    struct sealed *out = fd >= 0 ? sealed_create(fd, backup->passphrase, why, sizeof why) : NULL;
    bool ok = out && put_all(backup, out) && fsync(fd) == 0;
    if (!ok && !why[0])
        snprintf(why, sizeof why, "%s",
                 out && sealed_why(out)[0] ? sealed_why(out) : strerror(errno));
    sealed_free(out);
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    return ok ? ERR_OK : refuse(backup, ERR_IO, backup->file, "it cannot be written", why);
}

/* Nothing of the same name is replaced: link() refuses where rename() would not. */
static enum err give_name(struct backup *backup, const char *path) {
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%s", backup->file);
    if (link(path, backup->file) != 0 &&
        (errno == EEXIST || access(backup->file, F_OK) == 0 || rename(path, backup->file) != 0))
        return refuse(backup, errno == EEXIST ? ERR_CONFLICT : ERR_IO, backup->file,
                      "it cannot be given its name", strerror(errno));
    int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        report_add(backup->report, backup->file, "its folder could not be synced: %s",
                   strerror(errno));
    if (fd >= 0)
        close(fd);
    return ERR_OK;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *at) {
    (void)status;
    (void)flag;
    (void)at;
    return remove(path);
}

enum err backup_make(const char *directory, const char *file, const char *passphrase,
                     struct backup_facts *facts, struct report *report) {
    struct backup backup = {.directory = directory,
                            .file = file,
                            .passphrase = passphrase,
                            .facts = facts,
                            .report = report};
    char path[PATH_SIZE];
    *facts = (struct backup_facts){.sealed = passphrase != NULL};
    snprintf(path, sizeof path, "%.3000s/derd.db", directory);
    if (access(path, F_OK) != 0)
        return refuse(&backup, ERR_NOT_FOUND, path, "there is no store", strerror(errno));
    if (store_examine(directory, report) != ERR_OK)
        return ERR_FORMAT;
    if (access(file, F_OK) == 0)
        return refuse(&backup, ERR_CONFLICT, file,
                      "it is there already: choose another name, as one with the date in it", "");
    snprintf(backup.work, sizeof backup.work, "%.3000s.part-XXXXXX", file);
    if (!mkdtemp(backup.work))
        return refuse(&backup, ERR_IO, file, "a folder for copies cannot be made beside it",
                      strerror(errno));
    backup.files = json_array();
    enum err result = backup.files ? take_database(&backup, "derd.db", true) : ERR_MEMORY;
    if (result == ERR_OK)
        result = take_database(&backup, "telemetry.db", false);
    for (size_t i = 0; i < SCRIPT_FOLDERS && result == ERR_OK; i++)
        result = take_scripts(&backup, script_folders[i]);
    work_path(&backup, "archive", path);
    if (result == ERR_OK)
        result = write_archive(&backup, path);
    if (result == ERR_OK)
        result = give_name(&backup, path);
    nftw(backup.work, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    json_decref(backup.files);
    return result;
}
