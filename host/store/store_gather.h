/* A layer above SQLite's VFS that writes the frames of a transaction to the journal at once.
 *
 * SQLite writes each frame of its write-ahead log with two calls, 24 bytes and a page (SQLite file
 * format, 4). Here frames that follow one another wait until the frame comes that ends their
 * transaction, or until anything else is asked of the file: then they are one write. Nobody sees a
 * frame before the end of its transaction is written, and the order towards a sync is as before. So
 * what a kill or a power cut can leave is what it could leave: a part of a transaction that nobody
 * was told of. A write that fails is told by the call that ends the transaction.
 *
 * One user at a time, as the connection. */
#ifndef DERD_STORE_GATHER_H
#define DERD_STORE_GATHER_H

#include <sqlite3.h>

struct gather {
    sqlite3_vfs vfs; /* a copy of the one below, but for xOpen and its name */
    sqlite3_vfs *below;
    char name[32];
};

/* The name to open with, above the VFS that is SQLite's default now; until gather_close(), and
 * after the connection is closed. NULL without memory. */
const char *gather_open(struct gather *gather);
void gather_close(struct gather *gather); /* also of zeros */

#endif
