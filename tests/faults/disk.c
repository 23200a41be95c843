#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR        512
#define FILES_MAXIMUM 8
#define NAME_SIZE     64
#define SHM_REGIONS   64

struct bytes {
    unsigned char *data;
    int64_t size, capacity;
};

struct write { /* not synced; data NULL: a truncation to `at` */
    struct write *next;
    int64_t at, size;
    unsigned char data[];
};

struct entry { /* a name in the folder */
    char name[NAME_SIZE];
    bool seen, kept; /* by programs; on the medium */
    struct bytes now, medium;
    struct write *first, **last;
    void *shm[SHM_REGIONS];
};

static struct {
    pthread_mutex_t lock;
    char folder[200];
    bool folder_seen, folder_kept;
    struct entry entries[FILES_MAXIMUM];
    uint64_t random;
    bool off, ignore_syncs, cut_in_database;
    int64_t changes, reads, failures, cut_at;
    enum disk_failure failure;
    int64_t fail_at, fail_count;
    sqlite3_vfs vfs, plain, *system;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- bytes ----------------------------------------------------------------------------------- */

/* The disk's own memory does not run out. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);

static void *need(void *memory) {
    if (!memory)
        abort();
    return memory;
}

static uint64_t chance(uint64_t below) { /* xorshift64*, Vigna 2014 */
    disk.random ^= disk.random >> 12;
    disk.random ^= disk.random << 25;
    disk.random ^= disk.random >> 27;
    return disk.random * UINT64_C(2685821657736338717) >> 11 & UINT32_MAX
               ? (disk.random * UINT64_C(2685821657736338717) >> 11) % below
               : 0;
}

static void bytes_resize(struct bytes *bytes, int64_t size, bool noise) {
    if (size > bytes->capacity) {
        bytes->capacity = size * 2;
        bytes->data = need(__real_realloc(bytes->data, (size_t)bytes->capacity));
    }
    for (int64_t i = bytes->size; i < size; i++)
        bytes->data[i] = noise ? (unsigned char)chance(256) : 0;
    bytes->size = size;
}

static void bytes_copy(struct bytes *to, const struct bytes *from) {
    bytes_resize(to, from->size, false);
    if (from->size)
        memcpy(to->data, from->data, (size_t)from->size);
}

static void bytes_free(struct bytes *bytes) {
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* --- names ----------------------------------------------------------------------------------- */

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static struct entry *find(const char *name, bool make) {
    struct entry *free_one = NULL;
    for (int i = 0; i < FILES_MAXIMUM; i++) {
        struct entry *entry = &disk.entries[i];
        if (strcmp(entry->name, name) == 0)
            return entry;
        if (!free_one && !entry->name[0])
            free_one = entry;
    }
    if (!make || !free_one)
        return NULL;
    snprintf(free_one->name, sizeof free_one->name, "%s", name);
    free_one->last = &free_one->first;
    return free_one;
}

static void forget_writes(struct entry *entry) {
    while (entry->first) {
        struct write *write = entry->first;
        entry->first = write->next;
        free(write);
    }
    entry->last = &entry->first;
}

static void shm_free(struct entry *entry) {
    for (int i = 0; i < SHM_REGIONS; i++) {
        free(entry->shm[i]);
        entry->shm[i] = NULL;
    }
}

static void entry_free(struct entry *entry) {
    forget_writes(entry);
    shm_free(entry);
    bytes_free(&entry->now);
    bytes_free(&entry->medium);
    *entry = (struct entry){.last = NULL};
}

/* A sync of the folder: which names there are. A removed file is gone with its bytes. */
static void folder_sync(void) {
    for (int i = 0; i < FILES_MAXIMUM; i++)
        disk.entries[i].kept = disk.entries[i].seen;
}

/* --- the medium ------------------------------------------------------------------------------ */

static void journal_write(struct entry *entry, const void *data, int64_t at, int64_t size) {
    struct write *write = need(__real_malloc(sizeof *write + (size_t)size));
    *write = (struct write){.at = at, .size = data ? size : -1};
    if (data)
        memcpy(write->data, data, (size_t)size);
    *entry->last = write;
    entry->last = &write->next;
}

static void file_sync(struct entry *entry) {
    bytes_copy(&entry->medium, &entry->now);
    forget_writes(entry);
}

/* Which part of an unsynced write reached the medium. */
static void write_partly(struct bytes *medium, const struct write *write) {
    if (write->size < 0) {
        if (chance(2))
            bytes_resize(medium, write->at, false);
        return;
    }
    for (int64_t done = 0; done < write->size;) {
        int64_t part = SECTOR - (write->at + done) % SECTOR;
        if (part > write->size - done)
            part = write->size - done;
        uint64_t fate = chance(5); /* lost twice as often as torn */
        int64_t kept = fate < 2 ? 0 : fate == 2 ? (int64_t)chance((uint64_t)part) : part;
        if (kept && medium->size < write->at + done + kept)
            bytes_resize(medium, write->at + done + kept, chance(2));
        if (kept)
            memcpy(medium->data + write->at + done, write->data + done, (size_t)kept);
        done += part;
    }
}

static void cut(void) {
    disk.off = true;
    for (int i = 0; i < FILES_MAXIMUM; i++) {
        struct entry *entry = &disk.entries[i];
        if (entry->seen != entry->kept)
            entry->kept = chance(2);
        for (const struct write *write = entry->first; write; write = write->next)
            write_partly(&entry->medium, write);
        forget_writes(entry);
    }
    if (disk.folder_seen && !disk.folder_kept)
        disk.folder_kept = chance(2);
}

/* --- what comes before each operation: locked ------------------------------------------------- */

static bool fails(int64_t number) {
    bool does = disk.fail_at && number >= disk.fail_at && number - disk.fail_at < disk.fail_count;
    disk.failures += does;
    return does;
}

enum change { CHANGE_MAKE, CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_SYNC, CHANGE_DELETE };

static int result_of(enum change change) {
    static const int results[] = {SQLITE_CANTOPEN, SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE,
                                  SQLITE_IOERR_FSYNC, SQLITE_IOERR_DELETE};
    return results[change];
}

static int before_change(enum change change) {
    if (disk.off)
        return result_of(change);
    disk.changes++;
    if (disk.failure == DISK_UNREADABLE || !fails(disk.changes))
        return SQLITE_OK;
    bool needs_room = change == CHANGE_WRITE || change == CHANGE_MAKE;
    if (disk.failure == DISK_FULL)
        return !needs_room ? SQLITE_OK : change == CHANGE_WRITE ? SQLITE_FULL : SQLITE_CANTOPEN;
    if (disk.failure == DISK_READ_ONLY && change == CHANGE_SYNC)
        return SQLITE_OK;
    if (disk.failure == DISK_READ_ONLY && change == CHANGE_WRITE)
        return SQLITE_READONLY;
    return result_of(change);
}

/* The change stands in its journal already, so that a part of it may be on the medium. */
static bool power_goes(void) {
    if (disk.off || !disk.cut_at || disk.changes < disk.cut_at)
        return disk.off;
    cut();
    return true;
}

static int before_read(void) {
    if (disk.off)
        return SQLITE_IOERR_READ;
    disk.reads++;
    return disk.failure == DISK_UNREADABLE && fails(disk.reads) ? SQLITE_IOERR_READ : SQLITE_OK;
}

/* --- a file as SQLite sees it ----------------------------------------------------------------- */

struct file {
    sqlite3_file base;
    struct entry *entry;
    bool is_new; /* a journal whose name is not known to be on the medium */
    bool delete_at_close;
};

#define LOCKED(...)                                                                                \
    pthread_mutex_lock(&disk.lock);                                                                \
    int result = SQLITE_OK;                                                                        \
    __VA_ARGS__                                                                                    \
    pthread_mutex_unlock(&disk.lock);                                                              \
    return result

static int file_close(sqlite3_file *base) {
    struct file *file = (struct file *)base;
    LOCKED(if (file->delete_at_close) { file->entry->seen = false; });
}

static int file_read(sqlite3_file *base, void *to, int amount, sqlite3_int64 at) {
    const struct bytes *now = &((struct file *)base)->entry->now;
    LOCKED({
        result = before_read();
        int64_t there = now->size - at < amount ? now->size - at : amount;
        if (there < 0)
            there = 0;
        if (result == SQLITE_OK && there)
            memcpy(to, now->data + at, (size_t)there);
        if (result == SQLITE_OK && there < amount) {
            memset((char *)to + there, 0, (size_t)(amount - there));
            result = SQLITE_IOERR_SHORT_READ;
        }
    });
}

static int file_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 at) {
    struct entry *entry = ((struct file *)base)->entry;
    LOCKED({
        result = before_change(CHANGE_WRITE);
        if (result == SQLITE_OK) {
            journal_write(entry, data, at, amount);
            disk.cut_in_database =
                disk.cut_in_database || (disk.cut_at == disk.changes && !strchr(entry->name, '-'));
            if (power_goes())
                result = SQLITE_IOERR_WRITE;
        }
        if (result == SQLITE_OK) {
            if (entry->now.size < at + amount)
                bytes_resize(&entry->now, at + amount, false);
            memcpy(entry->now.data + at, data, (size_t)amount);
        }
    });
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
    struct entry *entry = ((struct file *)base)->entry;
    LOCKED({
        result = before_change(CHANGE_TRUNCATE);
        if (result == SQLITE_OK) {
            journal_write(entry, NULL, size, 0);
            if (power_goes())
                result = SQLITE_IOERR_TRUNCATE;
            else
                bytes_resize(&entry->now, size, false);
        }
    });
}

static int file_sync_now(sqlite3_file *base, int flags) {
    struct file *file = (struct file *)base;
    (void)flags;
    LOCKED({
        result = before_change(CHANGE_SYNC);
        if (result == SQLITE_OK && power_goes())
            result = SQLITE_IOERR_FSYNC;
        /* The kernel takes what it could not write for written, and says so once. */
        if (result != SQLITE_OK && !disk.off)
            forget_writes(file->entry);
        if (result == SQLITE_OK && !disk.ignore_syncs) {
            file_sync(file->entry);
            if (file->is_new)
                folder_sync();
            file->is_new = false;
        }
    });
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    const struct entry *entry = ((struct file *)base)->entry;
    LOCKED(*size = entry->now.size;);
}

static int file_lock(sqlite3_file *base, int lock) {
    (void)base;
    (void)lock;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *base, int *is) {
    (void)base;
    *is = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument) {
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base) {
    (void)base;
    return SECTOR;
}

static int file_abilities(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* The index of the WAL is memory and never on the medium; making it needs room all the same. */
static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **memory) {
    struct entry *entry = ((struct file *)base)->entry;
    LOCKED({
        *memory = NULL;
        if (region >= SHM_REGIONS) {
            result = SQLITE_FULL;
        } else if (!entry->shm[region] && extend) {
            result = before_change(CHANGE_MAKE);
            if (result == SQLITE_OK && power_goes())
                result = SQLITE_IOERR_SHMMAP;
            if (result == SQLITE_OK)
                entry->shm[region] = need(__real_calloc(1, (size_t)size));
        }
        if (result == SQLITE_OK)
            *memory = entry->shm[region];
    });
}

static int shm_lock(sqlite3_file *base, int offset, int count, int flags) {
    (void)base;
    (void)offset;
    (void)count;
    (void)flags;
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base) {
    (void)base;
    __sync_synchronize();
}

static int shm_unmap(sqlite3_file *base, int remove) {
    struct entry *entry = ((struct file *)base)->entry;
    (void)remove;
    LOCKED(shm_free(entry););
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync_now,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_abilities,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* --- the folder as SQLite sees it ------------------------------------------------------------- */

/* A name that is taken by what was removed and may come back after a cut: its bytes are another
 * file's. */
static void begin_anew(struct entry *entry) {
    forget_writes(entry);
    bytes_resize(&entry->now, 0, false);
    if (!entry->kept)
        bytes_resize(&entry->medium, 0, false);
    else
        journal_write(entry, NULL, 0, 0);
    entry->seen = true;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *given) {
    static int temporary;
    struct file *file = (struct file *)base;
    char name[NAME_SIZE];
    (void)vfs;
    base->pMethods = NULL;
    LOCKED({
        if (path)
            snprintf(name, sizeof name, "%s", base_of(path));
        else
            snprintf(name, sizeof name, "temporary-%d", temporary++ % 2);
        struct entry *entry = find(name, (flags & SQLITE_OPEN_CREATE) != 0);
        bool makes = entry && !entry->seen;
        if (disk.off || !entry || (makes && !(flags & SQLITE_OPEN_CREATE)))
            result = SQLITE_CANTOPEN;
        if (result == SQLITE_OK && makes)
            result = before_change(CHANGE_MAKE);
        if (result == SQLITE_OK && makes) {
            begin_anew(entry);
            if (power_goes())
                result = SQLITE_CANTOPEN;
        }
        if (result == SQLITE_OK) {
            *file = (struct file){.base = {.pMethods = &file_methods},
                                  .entry = entry,
                                  .is_new = makes,
                                  .delete_at_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0};
            if (given)
                *given = flags;
        }
    });
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder) {
    (void)vfs;
    LOCKED({
        struct entry *entry = find(base_of(path), false);
        result = before_change(CHANGE_DELETE);
        if (result == SQLITE_OK && (!entry || !entry->seen))
            result = SQLITE_IOERR_DELETE_NOENT;
        if (result == SQLITE_OK) {
            entry->seen = false;
            if (power_goes())
                result = SQLITE_IOERR_DELETE;
            else if (sync_folder && !disk.ignore_syncs)
                folder_sync();
        }
    });
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *is) {
    (void)vfs;
    (void)flags;
    LOCKED({
        const struct entry *entry = find(base_of(path), false);
        *is = entry && entry->seen;
        if (disk.off)
            result = SQLITE_IOERR_ACCESS;
    });
}

static int vfs_path(sqlite3_vfs *vfs, const char *path, int size, char *to) {
    (void)vfs;
    snprintf(to, (size_t)size, "%s", path);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *to) {
    (void)vfs;
    return disk.system->xRandomness(disk.system, size, to);
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, double *at) {
    (void)vfs;
    return disk.system->xCurrentTime(disk.system, at);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *to) {
    (void)vfs;
    (void)size;
    (void)to;
    return 0;
}

/* --- the folder as the store sees it ---------------------------------------------------------- */

int __real_open(const char *path, int flags, ...);
int __real_fsync(int fd);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fsync(int fd);
int __wrap_mkdir(const char *path, mode_t mode);

static bool in_folder(const char *path) {
    size_t length = strlen(disk.folder);
    return length && strncmp(path, disk.folder, length) == 0 && path[length] == '/';
}

int __wrap_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    int error = 0;
    pthread_mutex_lock(&disk.lock);
    if (in_folder(path) && strcmp(base_of(path), "derd.db") == 0) {
        struct entry *entry = find("derd.db", (flags & O_CREAT) != 0);
        if (entry && !entry->seen && (flags & O_CREAT)) {
            error = before_change(CHANGE_MAKE);
            if (!error)
                begin_anew(entry);
            if (!error && power_goes())
                error = 1;
        }
        error = error ? ENOSPC : !entry || !entry->seen ? ENOENT : 0;
        if (!error && disk.fail_at && disk.failure == DISK_READ_ONLY && (flags & O_ACCMODE) &&
            disk.changes >= disk.fail_at)
            error = EROFS;
    }
    pthread_mutex_unlock(&disk.lock);
    if (error) {
        errno = error;
        return -1;
    }
    return __real_open(path, flags, mode);
}

int __wrap_fsync(int fd) {
    char link[40];
    char path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    size_t size = strlen(path);
    int result = 0;
    pthread_mutex_lock(&disk.lock);
    bool own = disk.folder[0] && strcmp(path, disk.folder) == 0;
    bool parent = disk.folder[0] && !own && strncmp(path, disk.folder, size) == 0 &&
                  strchr(disk.folder + size + 1, '/') == NULL;
    if (own || parent) {
        result = before_change(CHANGE_SYNC);
        if (!result && power_goes())
            result = 1;
        if (!result && own)
            folder_sync();
        if (!result && parent)
            disk.folder_kept = disk.folder_seen;
    }
    pthread_mutex_unlock(&disk.lock);
    if (result) {
        errno = EIO;
        return -1;
    }
    return own || parent ? 0 : __real_fsync(fd);
}

int __wrap_mkdir(const char *path, mode_t mode) {
    int result = 0;
    pthread_mutex_lock(&disk.lock);
    bool made = disk.folder[0] && strcmp(path, disk.folder) == 0 && !disk.folder_seen;
    if (made) {
        result = before_change(CHANGE_MAKE);
        disk.folder_seen = !result;
        if (!result && power_goes())
            result = 1;
    }
    pthread_mutex_unlock(&disk.lock);
    if (result) {
        errno = ENOSPC;
        return -1;
    }
    int real = __real_mkdir(path, mode);
    return made ? 0 : real; /* the real folder stays when this one is lost */
}

/* --- what tests do ---------------------------------------------------------------------------- */

void disk_insert(const char *folder, uint64_t seed) {
    snprintf(disk.folder, sizeof disk.folder, "%s", folder);
    disk.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    disk.system = sqlite3_vfs_find("unix");
    disk.vfs = (sqlite3_vfs){.iVersion = 1,
                             .szOsFile = sizeof(struct file),
                             .mxPathname = 512,
                             .zName = "disk",
                             .xOpen = vfs_open,
                             .xDelete = vfs_delete,
                             .xAccess = vfs_access,
                             .xFullPathname = vfs_path,
                             .xRandomness = vfs_randomness,
                             .xSleep = vfs_sleep,
                             .xCurrentTime = vfs_time,
                             .xGetLastError = vfs_last_error};
    disk.plain = disk.vfs;
    disk.plain.zName = "unix-none";
    sqlite3_vfs_register(&disk.vfs, 1);
    sqlite3_vfs_register(&disk.plain, 0); /* found before the one that was there */
    disk_format(false);
}

void disk_remove(void) {
    disk_format(false);
    sqlite3_vfs_unregister(&disk.vfs);
    sqlite3_vfs_unregister(&disk.plain);
    sqlite3_vfs_register(disk.system, 1);
    disk.folder[0] = '\0';
}

void disk_format(bool there) {
    pthread_mutex_lock(&disk.lock);
    for (int i = 0; i < FILES_MAXIMUM; i++)
        entry_free(&disk.entries[i]);
    disk.folder_seen = disk.folder_kept = there;
    disk.off = disk.cut_in_database = false;
    disk.changes = disk.reads = disk.failures = disk.cut_at = disk.fail_at = 0;
    pthread_mutex_unlock(&disk.lock);
    if (there)
        __real_mkdir(disk.folder, 0700);
}

void disk_cut_after(int64_t changes) {
    pthread_mutex_lock(&disk.lock);
    disk.cut_at = changes ? disk.changes + changes : 0;
    disk.cut_in_database = false;
    pthread_mutex_unlock(&disk.lock);
}

bool disk_is_off(void) {
    pthread_mutex_lock(&disk.lock);
    bool off = disk.off;
    pthread_mutex_unlock(&disk.lock);
    return off;
}

bool disk_power_on(void) {
    pthread_mutex_lock(&disk.lock);
    for (int i = 0; i < FILES_MAXIMUM; i++) {
        struct entry *entry = &disk.entries[i];
        if (!entry->kept || !disk.folder_kept) {
            entry_free(entry);
            continue;
        }
        entry->seen = true;
        shm_free(entry);
        bytes_copy(&entry->now, &entry->medium);
    }
    bool there = disk.folder_seen = disk.folder_kept;
    disk.off = false;
    disk.cut_at = 0;
    pthread_mutex_unlock(&disk.lock);
    return there;
}

void disk_ignore_syncs(bool ignore) {
    pthread_mutex_lock(&disk.lock);
    disk.ignore_syncs = ignore;
    pthread_mutex_unlock(&disk.lock);
}

void disk_fail(enum disk_failure failure, int64_t n, int64_t count) {
    pthread_mutex_lock(&disk.lock);
    disk.failure = failure;
    disk.fail_at = n ? n + (failure == DISK_UNREADABLE ? disk.reads : disk.changes) : 0;
    disk.fail_count = count;
    disk.failures = 0;
    pthread_mutex_unlock(&disk.lock);
}

static int64_t look(const int64_t *number) {
    pthread_mutex_lock(&disk.lock);
    int64_t value = *number;
    pthread_mutex_unlock(&disk.lock);
    return value;
}

int64_t disk_changes(void) {
    return look(&disk.changes);
}

int64_t disk_reads(void) {
    return look(&disk.reads);
}

int64_t disk_failures(void) {
    return look(&disk.failures);
}

bool disk_cut_in_database(void) {
    pthread_mutex_lock(&disk.lock);
    bool is = disk.cut_in_database;
    pthread_mutex_unlock(&disk.lock);
    return is;
}

void disk_load(const char *name, const void *bytes, int64_t size) {
    pthread_mutex_lock(&disk.lock);
    struct entry *entry = need(find(name, true));
    bytes_resize(&entry->now, size, false);
    memcpy(entry->now.data, bytes, (size_t)size);
    entry->seen = entry->kept = true;
    file_sync(entry);
    pthread_mutex_unlock(&disk.lock);
}

int64_t disk_size(const char *name) {
    pthread_mutex_lock(&disk.lock);
    const struct entry *entry = find(name, false);
    int64_t size = entry && entry->seen ? entry->now.size : -1;
    pthread_mutex_unlock(&disk.lock);
    return size;
}

void disk_damage(const char *name, int64_t at, int64_t size) {
    pthread_mutex_lock(&disk.lock);
    struct entry *entry = need(find(name, false));
    for (int64_t i = at; i < at + size && i < entry->now.size; i++)
        entry->now.data[i] = 0x5a;
    file_sync(entry);
    pthread_mutex_unlock(&disk.lock);
}
