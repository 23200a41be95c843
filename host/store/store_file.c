/* The store's file: the directory, the lock, opening with every check, statements.
 *
 * Nothing here ever deletes or replaces a file. A file that is foreign or newer is left as it is,
 * and the mistake says what to do; so is one that is damaged, and the host that serves goes on with
 * what can be read of it. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/store_internal.h"

#define PATH_MAXIMUM 4096
#define RESTORE_ADVICE                                                                             \
    "stop derd, keep a copy of the whole folder, and put a backup in its place (`derd restore "    \
    "BACKUP`)"

/* --- the folder ------------------------------------------------------------------------------ */

/* "directory/name" on the heap, or NULL. */
char *store_path(const char *directory, const char *name) {
    struct buf path;
    buf_init(&path, PATH_MAXIMUM);
    buf_format(&path, "%s/%s", directory, name);
    return buf_take(&path);
}

static enum err directory_make(const char *directory, struct report *report) {
    struct stat status;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        report_add(report, directory,
                   "the folder of the store could not be made: %s; make it by hand for the user "
                   "that runs derd, or name another one as store.directory in the site file",
                   strerror(errno));
        return ERR_IO;
    }
    if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode)) {
        report_add(report, directory,
                   "a folder for the store was expected, but this is something else; name another "
                   "one as store.directory in the site file");
        return ERR_IO;
    }
    return ERR_OK;
}

static enum err path_refused(struct report *report, const char *path) {
    const char *advice = errno == EROFS ? "the disk is mounted for reading only: look at it (dmesg)"
                         : errno == ENOSPC || errno == EDQUOT
                             ? "the disk is full: make room"
                             : "the user that runs derd needs the right to write in this folder";
    report_add(report, path, "it could not be opened for writing: %s; %s", strerror(errno), advice);
    return ERR_IO;
}

/* For the one user that runs derd: tokens' hashes and what people asked for are in there. */
static void file_make_private(const char *path) {
    struct stat status;
    if (stat(path, &status) == 0 && (status.st_mode & 077) != 0 && chmod(path, 0600) != 0)
        log_warning("store", "%s can be read by other users, and its mode cannot be changed: %s",
                    path, strerror(errno));
}

/* The lock lasts as long as the descriptor (and its copies in forked children) is open. The file
 * stays: removing it would let a third process lock a file of the same name beside the second. */
static enum err lock_take(struct store *store, struct report *report) {
    enum err result = ERR_IO;
    char pid[24] = "";
    char *path = store_path(store->directory, "derd.lock");
    if (!path)
        return ERR_MEMORY;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) { /* on a disk that cannot be written it can be locked all the same */
        int error = errno;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        errno = error;
    }
    if (fd < 0) {
        path_refused(report, path);
        goto out;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            report_add(report, path, "it could not be locked: %s", strerror(errno));
            goto out;
        }
        ssize_t length = pread(fd, pid, sizeof pid - 1, 0);
        pid[length > 0 ? strspn(pid, "0123456789") : 0] = '\0';
        report_add(report, path,
                   "another derd (process %s) works on this store; end it first, or give this one "
                   "a store.directory of its own",
                   pid[0] ? pid : "unknown");
        result = ERR_CONFLICT;
        goto out;
    }
    int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)length, 0) != length)
        log_warning("store", "%s: the process id could not be written: %s", path, strerror(errno));
    file_make_private(path);
    store->lock_fd = fd;
    fd = -1;
    result = ERR_OK;
out:
    if (fd >= 0)
        close(fd);
    free(path);
    return result;
}

enum err store_folder_lock(const char *directory, int *lock_fd, struct report *report) {
    char *name = strdup(directory);
    struct store folder = {.directory = name, .lock_fd = -1};
    enum err result = name ? directory_make(directory, report) : ERR_MEMORY;
    if (result == ERR_OK)
        result = lock_take(&folder, report);
    *lock_fd = folder.lock_fd;
    free(name);
    return result;
}

static enum err restore_check(const struct store *store, struct report *report) {
    char *path = store_path(store->directory, STORE_RESTORE_MARK);
    enum err result = !path ? ERR_MEMORY : access(path, F_OK) == 0 ? ERR_REFUSED : ERR_OK;
    if (result == ERR_REFUSED)
        report_add(report, path,
                   "a restore was interrupted, so that the files here are of two times: do `derd "
                   "restore` again");
    free(path);
    return result;
}

/* Made before SQLite opens it, so that it never has another mode. */
static enum err file_make(const struct store *store, struct report *report) {
    int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return path_refused(report, store->path);
    close(fd);
    file_make_private(store->path);
    static const char *const companions[] = {"derd.db-wal", "derd.db-shm"};
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++) {
        char *path = store_path(store->directory, companions[i]);
        if (!path)
            return ERR_MEMORY;
        file_make_private(path);
        free(path);
    }
    return ERR_OK;
}

static bool folder_sync(const char *path, bool may_be_unreadable) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return may_be_unreadable && errno == EACCES;
    bool synced = fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    /* A file system that has no such thing says so; on one that is read-only nothing is new. */
    return synced || error == EINVAL || error == ENOTSUP || error == EROFS;
}

/* A new file is there after a power cut only when its folder is on disk too, and a new folder only
 * when the one above it is. Each time: whoever made them may have been killed before. */
static enum err directory_sync(const char *directory, struct report *report) {
    char *above = store_path(directory, "..");
    if (!above)
        return ERR_MEMORY;
    const char *failed = !folder_sync(directory, false) ? directory
                         : !folder_sync(above, true)    ? above
                                                        : NULL;
    if (failed)
        report_add(report, failed,
                   "this folder could not be brought to the disk: %s; look at the disk (dmesg)",
                   strerror(errno));
    free(above);
    return failed ? ERR_IO : ERR_OK;
}

/* --- faults and statements ------------------------------------------------------------------- */

enum err store_fault(struct store *store) {
    store->fault = store->db ? sqlite3_extended_errcode(store->db) : SQLITE_NOMEM;
    const char *detail = store->db ? sqlite3_errmsg(store->db) : "no memory";
    int system = store->db ? sqlite3_system_errno(store->db) : 0;
    const char *advice = "";
    switch (store->fault & 0xff) {
    case SQLITE_FULL:
        advice = "; the disk is full: make room";
        break;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        advice = "; look at the disk (dmesg), its free space and its mount";
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        advice = "; the user that runs derd needs the right to write it";
        break;
    case SQLITE_BUSY:
        advice = "; another program holds a lock on it: end that program";
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        advice = "; the file is damaged: " RESTORE_ADVICE;
        break;
    default:
        break;
    }
    bool of_system = system != 0 && ((store->fault & 0xff) == SQLITE_IOERR ||
                                     (store->fault & 0xff) == SQLITE_CANTOPEN);
    snprintf(store->fault_text, sizeof store->fault_text, "%s (SQLite result %d%s%s)%s", detail,
             store->fault, of_system ? ", " : "", of_system ? strerror(system) : "", advice);
    return ERR_IO;
}

sqlite3_stmt *store_statement(struct store *store, enum store_statement which, const char *sql) {
    sqlite3_stmt **kept = &store->statements[which];
    if (!store->db || (!*kept && sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                                    kept, NULL) != SQLITE_OK)) {
        (void)store_fault(store);
        return NULL;
    }
    sqlite3_reset(*kept);
    sqlite3_clear_bindings(*kept);
    return *kept;
}

enum err store_statement_run(struct store *store, sqlite3_stmt *statement, int bound) {
    if (bound == SQLITE_OK && sqlite3_step(statement) == SQLITE_DONE) {
        sqlite3_reset(statement);
        return ERR_OK;
    }
    (void)store_fault(store);
    sqlite3_reset(statement);
    return ERR_IO;
}

/* --- opening --------------------------------------------------------------------------------- */

/* What is wrong with the file itself, kept for store_file_open(). */
static void note_damage(struct store *store, const char *what) {
    if (!store->found[0])
        snprintf(store->found, sizeof store->found, "%s", what);
}

static enum err refuse_damaged(struct store *store, const char *what, struct report *report) {
    note_damage(store, what);
    report_add(report, store->path,
               "the file is damaged (%s); nothing was changed in it: " RESTORE_ADVICE, what);
    return ERR_FORMAT;
}

static enum err database_refused(struct store *store, struct report *report, const char *what) {
    (void)store_fault(store);
    int code = store->fault & 0xff;
    report_add(report, store->path, "%s: %s", what, store->fault_text);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || store->fault == SQLITE_IOERR_READ ||
        store->fault == SQLITE_IOERR_SHORT_READ || store->fault == SQLITE_IOERR_CORRUPTFS)
        note_damage(store, store->db ? sqlite3_errmsg(store->db) : "");
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_FORMAT : ERR_IO;
}

static enum err database_execute(struct store *store, const char *sql, struct report *report) {
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return database_refused(store, report, "it could not be set up");
    return ERR_OK;
}

/* First column of the first row. `text` holds "" and `number` 0 when there is no row. */
static enum err database_ask(struct store *store, const char *sql, char *text, size_t text_size,
                             int64_t *number, struct report *report) {
    sqlite3_stmt *statement = NULL;
    enum err result = ERR_OK;
    text[0] = '\0';
    *number = 0;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const unsigned char *value = sqlite3_column_text(statement, 0);
        snprintf(text, text_size, "%s", value ? (const char *)value : "");
        *number = sqlite3_column_int64(statement, 0);
    } else if (code != SQLITE_DONE) {
        result = database_refused(store, report, "it could not be read");
    }
    sqlite3_finalize(statement);
    return result;
}

/* `name`: a path, or a URI as `flags` say. `vfs`: to stand by, below; NULL else. */
enum err store_database_open(struct store *store, const char *name, int flags, const char *vfs,
                             struct report *report) {
    /* One thread at a time uses the connection; SQLite's own locks would guard nothing. */
    if (sqlite3_open_v2(name, &store->db, flags | SQLITE_OPEN_NOMUTEX, vfs) != SQLITE_OK)
        return database_refused(store, report, "it could not be opened");
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, STORE_ROW_MAXIMUM);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* Until it is known to be whole: closing would bring the journal into it. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (vfs && sqlite3_exec(store->db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) !=
                   SQLITE_OK) /* before it reads anything */
        return database_refused(store, report, "it could not be set up");
    /* Auto-vacuum: SQLite has read of the header what it would make a new file with, perhaps from a
     * page that a power cut has torn and that it is about to take back. */
    return database_execute(store,
                            "PRAGMA auto_vacuum = NONE;"
                            "PRAGMA trusted_schema = OFF;"
                            "PRAGMA cell_size_check = ON;"
                            "PRAGMA foreign_keys = ON;"
                            "PRAGMA synchronous = FULL;",
                            report);
}

/* Before anything is written: is it ours, do we know its layout, is it whole? */
static enum err database_check(struct store *store, int64_t *version, struct report *report) {
    char text[200];
    int64_t application;
    int64_t tables;
    int64_t ignored;
    enum err result =
        database_ask(store, "PRAGMA application_id", text, sizeof text, &application, report);
    if (result == ERR_OK)
        result = database_ask(store, "PRAGMA user_version", text, sizeof text, version, report);
    if (result == ERR_OK)
        result = database_ask(store, "SELECT count(*) FROM sqlite_schema", text, sizeof text,
                              &tables, report);
    if (result != ERR_OK && application != 0 && application != STORE_APPLICATION_ID)
        store->found[0] = '\0'; /* whatever it is, it is not ours */
    if (result != ERR_OK)
        return result;
    bool empty = application == 0 && *version == 0 && tables == 0;
    if (application != STORE_APPLICATION_ID && !empty) {
        report_add(report, store->path,
                   "this is a database of another program, nothing was changed in it; move it away "
                   "or name another folder as store.directory in the site file");
        return ERR_FORMAT;
    }
    if (*version > STORE_SCHEMA) {
        report_add(report, store->path,
                   "it was written by a newer derd (layout %lld, this program knows up to %d), "
                   "nothing was changed in it; install the newer program again, or put a backup "
                   "made with this one in its place",
                   (long long)*version, STORE_SCHEMA);
        return ERR_REFUSED;
    }
    result = database_ask(store, "PRAGMA quick_check(1)", text, sizeof text, &ignored, report);
    if (result != ERR_OK || strcmp(text, "ok") == 0)
        return result;
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ' ';
    return refuse_damaged(store, text, report);
}

enum err store_database_migrate(struct store *store, int64_t version, int64_t to,
                                struct report *report) {
    enum err result = ERR_OK;
    for (int64_t step = version; step < to && result == ERR_OK; step++) {
        struct buf sql;
        buf_init(&sql, 65536);
        buf_format(&sql, "BEGIN IMMEDIATE; %s PRAGMA user_version = %lld; COMMIT;",
                   store_layouts[step], (long long)step + 1);
        result = sql.failed ? ERR_MEMORY : database_execute(store, buf_string(&sql), report);
        buf_free(&sql);
    }
    if (result == ERR_OK && version > 0 && version < to && !store->damaged)
        log_info("store", "%s was brought from layout %lld to %d", store->path, (long long)version,
                 STORE_SCHEMA);
    return result;
}

static enum err database_use_wal(struct store *store, struct report *report) {
    char mode[16];
    int64_t ignored;
    enum err result =
        database_ask(store, "PRAGMA journal_mode = WAL", mode, sizeof mode, &ignored, report);
    if (result == ERR_OK && strcmp(mode, "wal") != 0) {
        report_add(report, store->path,
                   "this file system has no shared memory between processes, which the store "
                   "needs; name a folder on a local disk as store.directory in the site file");
        result = ERR_IO;
    }
    return result;
}

void store_database_close(struct store *store) {
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    if (store->db && sqlite3_close(store->db) != SQLITE_OK)
        log_error("store", "%s was not closed cleanly: %s", store->path, sqlite3_errmsg(store->db));
    store->db = NULL;
}

bool store_has_file(const struct store *store, const char *name) {
    char *path = store_path(store->directory, name);
    int there = 0;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    bool known = path && vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &there) == SQLITE_OK;
    free(path);
    return !known || there;
}

/* Before SQLite opens it: a journal that is wrong is cut off there without a word, and one beside
 * an empty file is removed. */
static enum err journal_check(struct store *store, bool for_writing, struct report *report) {
    char *path = store_path(store->directory, "derd.db-wal");
    struct store_journal journal;
    if (!path)
        return ERR_MEMORY;
    store_journal_look(store->path, path, &journal);
    if (journal.spent && for_writing)
        store_journal_empty(path);
    free(path);
    char lost[40] = "an unknown number of";
    if (!journal.unknown)
        snprintf(lost, sizeof lost, "up to %zu", journal.lost);
    char text[sizeof store->found] = "";
    if (journal.of_nothing)
        snprintf(text, sizeof text, "it is empty, and its journal derd.db-wal is not");
    else if (journal.damaged && !journal.alone)
        snprintf(text, sizeof text,
                 "its journal derd.db-wal is damaged: %s changes that were acknowledged last are "
                 "missing",
                 lost);
    if (!text[0])
        return ERR_OK;
    return refuse_damaged(store, text, report);
}

enum err store_examine(const char *directory, struct report *report) {
    struct store store = {
        .directory = strdup(directory), .path = store_path(directory, "derd.db"), .lock_fd = -1};
    enum err result =
        store.directory && store.path ? journal_check(&store, false, report) : ERR_MEMORY;
    free(store.directory);
    free(store.path);
    return result;
}

static enum err open_for_writing(struct store *store, struct report *report) {
    int64_t version = 0;
    enum err result = journal_check(store, true, report);
    if (result == ERR_OK)
        result = file_make(store, report);
    if (result == ERR_OK)
        result = store_database_open(store, store->path, SQLITE_OPEN_READWRITE, NULL, report);
    if (result == ERR_OK)
        result = database_check(store, &version, report);
    if (result == ERR_OK)
        result = database_use_wal(store, report);
    if (result == ERR_OK)
        result = store_database_migrate(store, version, STORE_SCHEMA, report);
    if (result == ERR_OK)
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return result == ERR_OK ? directory_sync(store->directory, report) : result;
}

/* --- standing by: a disk that can be read only -------------------------------------------------
 *
 * What was acknowledged must be in force also after a start on a disk that is full or read-only. So
 * the file is read as it is, and each write fails until it can be opened for writing. Nobody else
 * writes it meanwhile (the lock file), so SQLite needs no locks ("unix-none") and no shared memory
 * (exclusive); a journal is read where there is one, and where there is none the file is whole. */

#define STANDBY_PAUSE_MS 2000 /* between two attempts to leave it */

char *store_reading_name(const struct store *store, int *flags) {
    *flags = SQLITE_OPEN_READONLY;
    if (store_has_file(store, "derd.db-wal"))
        return strdup(store->path);
    *flags |= SQLITE_OPEN_URI;
    struct buf name;
    buf_init(&name, (size_t)PATH_MAXIMUM * 3);
    buf_text(&name, "file:");
    for (const char *path = store->path; *path; path++)
        if (strchr("%?#", *path)) /* which mean something in it */
            buf_format(&name, "%%%02x", (unsigned)(unsigned char)*path);
        else
            buf_char(&name, *path);
    buf_text(&name, "?immutable=1");
    return buf_take(&name);
}

static enum err open_for_reading(struct store *store, struct report *report) {
    int64_t version = 0;
    if (store_has_file(store, "derd.db-journal")) {
        report_add(report, store->path, "it was never made whole, which needs writing");
        return ERR_IO;
    }
    int flags = 0;
    char *name = store_reading_name(store, &flags);
    if (!name)
        return ERR_MEMORY;
    enum err result = store_database_open(store, name, flags, "unix-none", report);
    free(name);
    if (result == ERR_OK)
        result = database_check(store, &version, report);
    if (result == ERR_OK && version != STORE_SCHEMA) {
        report_add(report, store->path,
                   "it is of an older derd and has to be brought up to date, which needs writing");
        result = ERR_IO;
    }
    return result;
}

/* `trouble`: why it cannot be opened for writing. */
static enum err stand_by(struct store *store, const struct report *trouble) {
    struct report report;
    report_init(&report);
    store_database_close(store);
    enum err result = open_for_reading(store, &report);
    report_free(&report);
    store->standby = result == ERR_OK;
    store->standby_since = clock_mono();
    if (result != ERR_OK)
        store_database_close(store);
    else if (trouble->count)
        snprintf(store->fault_text, sizeof store->fault_text, "%s", trouble->items[0].text);
    return result;
}

void store_file_resume(struct store *store) {
    if (!store->standby || store->damaged ||
        clock_mono().ms - store->standby_since.ms < STANDBY_PAUSE_MS)
        return;
    struct report report;
    report_init(&report);
    store_database_close(store);
    if (open_for_writing(store, &report) == ERR_OK)
        store->standby = false;
    else if (stand_by(store, &report) != ERR_OK) {
        store->standby = true; /* it is tried again */
        log_error("store", "%s can be neither written nor read any more", store->path);
    }
    report_free(&report);
}

enum err store_file_open(struct store *store, const char *directory, bool damaged_too,
                         struct report *report) {
    store->directory = strdup(directory);
    store->path = store_path(directory, "derd.db");
    if (!store->directory || !store->path || sodium_init() < 0) {
        report_add(report, directory, "the name is too long, or there is no memory");
        return ERR_MEMORY;
    }
    struct report trouble;
    report_init(&trouble);
    enum err result = directory_make(directory, report);
    if (result == ERR_OK)
        result = lock_take(store, report);
    if (result == ERR_OK)
        result = restore_check(store, report);
    if (result == ERR_OK) {
        result = open_for_writing(store, &trouble);
        if (result == ERR_IO && stand_by(store, &trouble) == ERR_OK)
            result = ERR_OK;
        if (result != ERR_OK)
            store_database_close(store);
        if (damaged_too && store->found[0] && (result == ERR_IO || result == ERR_FORMAT) &&
            store_salvage_ours(store))
            result = store_salvage_open(store, &trouble);
        if (result != ERR_OK)
            report_move(report, &trouble, "");
    }
    report_free(&trouble);
    return result;
}

void store_file_close(struct store *store) {
    store_database_close(store);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store->path);
    free(store->directory);
}
