#include "store/store_gather.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEADER 24
#define ROOM         131072 /* bytes that wait at most */

struct journal {
    sqlite3_file file; /* what SQLite has */
    sqlite3_file *below;
    sqlite3_int64 end;   /* behind what was written last, or waits: where the next frame comes */
    unsigned char *room; /* what waits, up to `end` */
    int waiting;
    bool in_frame; /* the header waits, and its page is to come */
    bool ends;     /* the frame is the last one of its transaction */
};

/* Offset where the file behind SQLite's begins, in the same memory. */
static size_t below_offset(void) {
    return (sizeof(struct journal) + 15) / 16 * 16;
}

/* Brings what waits to the file. What could not be written does not wait any longer: SQLite has
 * been told, and begins its transaction anew. */
static int flush(struct journal *journal) {
    int waiting = journal->waiting;
    journal->waiting = 0;
    journal->in_frame = false;
    if (!waiting)
        return SQLITE_OK;
    return journal->below->pMethods->xWrite(journal->below, journal->room, waiting,
                                            journal->end - waiting);
}

static void wait_for_more(struct journal *journal, const void *data, int size) {
    memcpy(journal->room + journal->waiting, data, (size_t)size);
    journal->waiting += size;
    journal->end += size;
}

static int write_through(struct journal *journal, const void *data, int size, sqlite3_int64 at) {
    int code = flush(journal);
    if (code == SQLITE_OK)
        code = journal->below->pMethods->xWrite(journal->below, data, size, at);
    journal->end = at + size;
    return code;
}

static int journal_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at) {
    struct journal *journal = (struct journal *)file;
    bool follows = at == journal->end && size > 0 && size <= ROOM - journal->waiting;
    if (follows && journal->in_frame) {
        wait_for_more(journal, data, size);
        journal->in_frame = false;
        return journal->ends ? flush(journal) : SQLITE_OK;
    }
    if (follows && size == FRAME_HEADER) {
        static const unsigned char goes_on[4];
        wait_for_more(journal, data, size);
        journal->in_frame = true;
        journal->ends = memcmp((const unsigned char *)data + 4, goes_on, sizeof goes_on) != 0;
        return SQLITE_OK;
    }
    return write_through(journal, data, size, at);
}

static int journal_close(sqlite3_file *file) {
    struct journal *journal = (struct journal *)file;
    int flushed = flush(journal);
    int closed = journal->below->pMethods->xClose(journal->below);
    free(journal->room);
    journal->room = NULL;
    return flushed != SQLITE_OK ? flushed : closed;
}

static int journal_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at) {
    struct journal *journal = (struct journal *)file;
    int code = flush(journal);
    return code != SQLITE_OK ? code
                             : journal->below->pMethods->xRead(journal->below, data, size, at);
}

static int journal_truncate(sqlite3_file *file, sqlite3_int64 size) {
    struct journal *journal = (struct journal *)file;
    int code = flush(journal);
    return code != SQLITE_OK ? code : journal->below->pMethods->xTruncate(journal->below, size);
}

static int journal_sync(sqlite3_file *file, int flags) {
    struct journal *journal = (struct journal *)file;
    int code = flush(journal);
    return code != SQLITE_OK ? code : journal->below->pMethods->xSync(journal->below, flags);
}

static int journal_size(sqlite3_file *file, sqlite3_int64 *size) {
    struct journal *journal = (struct journal *)file;
    int code = flush(journal);
    return code != SQLITE_OK ? code : journal->below->pMethods->xFileSize(journal->below, size);
}

static int journal_lock(sqlite3_file *file, int level) {
    sqlite3_file *below = ((struct journal *)file)->below;
    return below->pMethods->xLock(below, level);
}

static int journal_unlock(sqlite3_file *file, int level) {
    sqlite3_file *below = ((struct journal *)file)->below;
    return below->pMethods->xUnlock(below, level);
}

static int journal_locked(sqlite3_file *file, int *locked) {
    sqlite3_file *below = ((struct journal *)file)->below;
    return below->pMethods->xCheckReservedLock(below, locked);
}

static int journal_control(sqlite3_file *file, int what, void *argument) {
    struct journal *journal = (struct journal *)file;
    int code = flush(journal);
    return code != SQLITE_OK
               ? code
               : journal->below->pMethods->xFileControl(journal->below, what, argument);
}

static int journal_sector(sqlite3_file *file) {
    sqlite3_file *below = ((struct journal *)file)->below;
    return below->pMethods->xSectorSize(below);
}

static int journal_device(sqlite3_file *file) {
    sqlite3_file *below = ((struct journal *)file)->below;
    return below->pMethods->xDeviceCharacteristics(below);
}

/* Of version 1: a journal has no shared memory and is not mapped. */
static const sqlite3_io_methods journal_methods = {
    .iVersion = 1,
    .xClose = journal_close,
    .xRead = journal_read,
    .xWrite = journal_write,
    .xTruncate = journal_truncate,
    .xSync = journal_sync,
    .xFileSize = journal_size,
    .xLock = journal_lock,
    .xUnlock = journal_unlock,
    .xCheckReservedLock = journal_locked,
    .xFileControl = journal_control,
    .xSectorSize = journal_sector,
    .xDeviceCharacteristics = journal_device,
};

static int gather_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                       int *flags_out) {
    sqlite3_vfs *below = ((struct gather *)vfs)->below;
    if (!(flags & SQLITE_OPEN_WAL))
        return below->xOpen(below, name, file, flags, flags_out);
    struct journal *journal = (struct journal *)file;
    memset(journal, 0, sizeof *journal);
    unsigned char *room = malloc(ROOM);
    if (!room)
        return SQLITE_NOMEM;
    journal->below = (sqlite3_file *)((unsigned char *)file + below_offset());
    memset(journal->below, 0, (size_t)below->szOsFile);
    int code = below->xOpen(below, name, journal->below, flags, flags_out);
    if (code != SQLITE_OK) {
        if (journal->below->pMethods)
            journal->below->pMethods->xClose(journal->below);
        free(room);
        return code;
    }
    journal->end = -1; /* not known */
    journal->room = room;
    journal->file.pMethods = &journal_methods;
    return SQLITE_OK;
}

const char *gather_open(struct gather *gather) {
    gather_close(gather);
    gather->below = sqlite3_vfs_find(NULL);
    if (!gather->below)
        return NULL;
    gather->vfs = *gather->below;
    snprintf(gather->name, sizeof gather->name, "derd-%" PRIxPTR, (uintptr_t)gather);
    gather->vfs.pNext = NULL;
    gather->vfs.zName = gather->name;
    gather->vfs.szOsFile += (int)below_offset();
    gather->vfs.xOpen = gather_file;
    if (sqlite3_vfs_register(&gather->vfs, 0) == SQLITE_OK)
        return gather->name;
    gather->below = NULL;
    return NULL;
}

void gather_close(struct gather *gather) {
    if (gather->below)
        sqlite3_vfs_unregister(&gather->vfs);
    gather->below = NULL;
}
