/* The floor of all that is durable: 4 KiB written over in a file that has its blocks already, and
 * fdatasync. Nothing on this disk is on disk sooner. */
#ifndef DERD_BENCH_SYNC_FLOOR_H
#define DERD_BENCH_SYNC_FLOOR_H

#include <fcntl.h>
#include <stdbool.h>

#include "bench.h"

#define FLOOR_BLOCK  4096
#define FLOOR_BLOCKS 256

struct sync_floor {
    int fd;
    unsigned next;
};

/* A file of 1 MiB that is removed at once; `path`: on the disk that is meant. */
static bool sync_floor_open(struct sync_floor *sync, const char *path) {
    static const char block[FLOOR_BLOCK];
    *sync = (struct sync_floor){.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    bool done = sync->fd >= 0;
    for (int i = 0; i < FLOOR_BLOCKS && done; i++)
        done = pwrite(sync->fd, block, sizeof block, (off_t)i * FLOOR_BLOCK) == FLOOR_BLOCK;
    return done && fsync(sync->fd) == 0 && unlink(path) == 0;
}

/* How long one takes, ns; -1: it failed. */
static int64_t sync_floor_once(struct sync_floor *sync) {
    char block[FLOOR_BLOCK];
    memset(block, (int)(sync->next & 0xff), sizeof block);
    off_t at = (off_t)(sync->next++ % FLOOR_BLOCKS) * FLOOR_BLOCK;
    int64_t begun_ns = clock_ns(CLOCK_MONOTONIC);
    if (pwrite(sync->fd, block, sizeof block, at) != FLOOR_BLOCK || fdatasync(sync->fd) != 0)
        return -1;
    return clock_ns(CLOCK_MONOTONIC) - begun_ns;
}

#endif
