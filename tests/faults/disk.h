/* A disk that can lose its power and that can fail, as the VFS of SQLite ("disk", the default one
 * while it is there, and in the place of "unix-none").
 *
 * What is written is at first in memory only: each file has the bytes that programs see, the bytes
 * that are on the medium, and the writes between them in their order. A sync of the file brings
 * them over. A new name, a removal and a folder are on the medium when their folder was synced: by
 * the store, whose calls of mkdir, open, fsync come here (the linker's --wrap), or by a sync of a
 * journal that is new, as in SQLite's own VFS for Unix.
 *
 * At a cut of the power of each unsynced write every 512-byte sector is kept, lost or torn, by
 * chance; a file that has grown without a sync may hold noise. Bytes that nobody wrote stay as they
 * were: SQLite takes that for given on Unix (SQLITE_IOCAP_POWERSAFE_OVERWRITE).
 *
 * Operations that change something are counted, those that read are counted apart: a cut or a
 * failure is set for the n-th. One store at a time; any thread. */
#ifndef DERD_TESTS_DISK_H
#define DERD_TESTS_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum disk_failure {
    DISK_FULL,      /* no room: writing and making files */
    DISK_READ_ONLY, /* the same, and whatever else changes something */
    DISK_BROKEN,    /* whatever changes something fails as I/O; what a failed sync held is lost */
    DISK_UNREADABLE /* reading fails as I/O */
};

/* `folder`: of the store, whether it is there or not. */
void disk_insert(const char *folder, uint64_t seed);
/* Out of SQLite again; everything on it is gone. */
void disk_remove(void);
/* All files are gone, the folder is `there` on the medium or not at all. Power is on. */
void disk_format(bool there);

/* Power goes at the n-th change from now, before or within it; 0: never. From then on nothing
 * works. */
void disk_cut_after(int64_t changes);
bool disk_is_off(void);
/* On again: what is there is what the medium had. Nothing may be open. False: the folder is gone.
 */
bool disk_power_on(void);
/* Syncs do nothing, as with PRAGMA synchronous = OFF. */
void disk_ignore_syncs(bool ignore);

/* From the n-th operation of that kind on, `count` of them fail (INT64_MAX: all). n = 0: none. */
void disk_fail(enum disk_failure failure, int64_t n, int64_t count);
/* Changes, reads, failures so far. */
int64_t disk_changes(void);
int64_t disk_reads(void);
int64_t disk_failures(void);
/* Whether the power went while the database itself, not its journal, was written. */
bool disk_cut_in_database(void);

/* The bytes of a file as they are now, for a copy in a real folder or from one. */
void disk_load(const char *name, const void *bytes, int64_t size);
int64_t disk_size(const char *name); /* -1: there is none */
void disk_damage(const char *name, int64_t at, int64_t size);

#endif
