#include "api/crowd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOOK_EVERY_MS  50
#define SOCKETS        4096 /* that are looked at */
#define LINE_SIZE      256
#define TARGET_SIZE    48
#define FIELDS_BETWEEN 6 /* the remote end and the inode, in /proc/net/tcp; proc(5) */

enum seat_state { SEAT_FREE, SEAT_WORKS, SEAT_READS };

struct seat {
    atomic_int state;
    atomic_llong since_us, received; /* of the body */
    struct in_addr address;          /* these two change only while the seat is free */
    int port;
};

struct seen { /* a connection at our port */
    unsigned long inode;
    struct in_addr address;
    int port;
    int64_t since_us; /* seen first */
    bool told, goes;
};

struct crowd {
    pthread_rwlock_t closing; /* read: by who closes a connection; written: by the usher */
    pthread_mutex_t lock;     /* of what follows, up to the seats */
    pthread_cond_t wake;
    bool ending;
    int port; /* 0: not known yet */
    int taken;
    int threads;
    struct seat *seats; /* one of each thread */
    figure_t *hurried;
    bool threaded;
    pthread_t usher;
    struct seen *now, *before; /* the usher's; by inode */
    size_t now_count, before_count;
};

/* --- seats ----------------------------------------------------------------------------------- */

struct seat *seat_begin(struct crowd *crowd, int thread, const char *remote_address,
                        int remote_port) {
    struct in_addr address;
    if (thread < 0 || thread >= crowd->threads || inet_pton(AF_INET, remote_address, &address) != 1)
        return NULL;
    struct seat *seat = &crowd->seats[thread];
    pthread_mutex_lock(&crowd->lock);
    seat->address = address;
    seat->port = remote_port;
    atomic_store_explicit(&seat->state, SEAT_WORKS, memory_order_relaxed);
    pthread_mutex_unlock(&crowd->lock);
    return seat;
}

void seat_reads(struct seat *seat) {
    if (!seat)
        return;
    atomic_store_explicit(&seat->since_us, clock_mono_us(), memory_order_relaxed);
    atomic_store_explicit(&seat->received, 0, memory_order_relaxed);
    atomic_store_explicit(&seat->state, SEAT_READS, memory_order_release);
}

void seat_received(struct seat *seat, size_t bytes) {
    if (seat)
        atomic_fetch_add_explicit(&seat->received, (long long)bytes, memory_order_relaxed);
}

void seat_works(struct seat *seat) {
    if (seat)
        atomic_store_explicit(&seat->state, SEAT_WORKS, memory_order_relaxed);
}

void seat_end(struct crowd *crowd, struct seat *seat) {
    if (!seat)
        return;
    pthread_mutex_lock(&crowd->lock);
    atomic_store_explicit(&seat->state, SEAT_FREE, memory_order_relaxed);
    pthread_mutex_unlock(&crowd->lock);
}

/* --- connections ----------------------------------------------------------------------------- */

void crowd_enter(struct crowd *crowd) {
    pthread_mutex_lock(&crowd->lock);
    if (++crowd->taken >= crowd->threads)
        pthread_cond_signal(&crowd->wake);
    pthread_mutex_unlock(&crowd->lock);
}

void crowd_closing(struct crowd *crowd) {
    pthread_rwlock_rdlock(&crowd->closing);
}

void crowd_closed(struct crowd *crowd) {
    pthread_rwlock_unlock(&crowd->closing);
    pthread_mutex_lock(&crowd->lock);
    crowd->taken--;
    pthread_mutex_unlock(&crowd->lock);
}

/* --- what is there --------------------------------------------------------------------------- */

/* "0100007F:1F90 ": the address as it is in memory, the port as a number. Gives what follows. */
static const char *read_end(const char *at, struct in_addr *address, int *port) {
    char *end;
    address->s_addr = (in_addr_t)strtoul(at, &end, 16);
    if (*end != ':')
        return NULL;
    *port = (int)strtoul(end + 1, &end, 16);
    return *end == ' ' ? end + 1 : NULL;
}

/* One line of the kernel's table. False: no connection at our port. */
static bool read_line(const char *line, int port, struct seen *seen) {
    struct in_addr local;
    int local_port;
    const char *at = strchr(line, ':');
    at = at && at[1] == ' ' ? read_end(at + 2, &local, &local_port) : NULL;
    at = at && local_port == port ? read_end(at, &seen->address, &seen->port) : NULL;
    if (!at || seen->port == 0)
        return false;
    for (int field = 0; field < FIELDS_BETWEEN; field++) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    seen->inode = strtoul(at, NULL, 10);
    return seen->inode != 0;
}

static int by_inode(const void *a, const void *b) {
    const struct seen *left = a;
    const struct seen *right = b;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

static void look(struct crowd *crowd, int port, int64_t now_us) {
    char line[LINE_SIZE];
    struct seen *before = crowd->now;
    crowd->now = crowd->before;
    crowd->before = before;
    crowd->before_count = crowd->now_count;
    crowd->now_count = 0;
    FILE *table = fopen("/proc/self/net/tcp", "re");
    while (table && crowd->now_count < SOCKETS && fgets(line, sizeof line, table)) {
        struct seen *seen = &crowd->now[crowd->now_count];
        *seen = (struct seen){.since_us = now_us};
        if (!read_line(line, port, seen))
            continue;
        const struct seen *known =
            bsearch(seen, crowd->before, crowd->before_count, sizeof *crowd->before, by_inode);
        if (known) {
            seen->since_us = known->since_us;
            seen->told = known->told;
        }
        crowd->now_count++;
    }
    if (table)
        fclose(table);
    qsort(crowd->now, crowd->now_count, sizeof *crowd->now, by_inode);
}

/* --- the usher ------------------------------------------------------------------------------- */

static bool dawdles(const struct crowd *crowd, const struct seen *seen, int64_t now_us) {
    for (int i = 0; i < crowd->threads; i++) {
        const struct seat *seat = &crowd->seats[i];
        int state = atomic_load_explicit(&seat->state, memory_order_acquire);
        if (state == SEAT_FREE || seat->port != seen->port ||
            seat->address.s_addr != seen->address.s_addr)
            continue;
        int64_t ms = (now_us - atomic_load_explicit(&seat->since_us, memory_order_relaxed)) / 1000;
        return state == SEAT_READS &&
               ms > CROWD_BODY_MS + atomic_load_explicit(&seat->received, memory_order_relaxed) /
                                        CROWD_BODY_RATE;
    }
    return (now_us - seen->since_us) / 1000 > CROWD_HEAD_MS;
}

/* Shuts those that are to go. */
static void shut(struct crowd *crowd) {
    static const char prefix[] = "socket:[";
    int listing = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = listing >= 0 ? fdopendir(listing) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char target[TARGET_SIZE];
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strncmp(target, prefix, sizeof prefix - 1) != 0)
            continue;
        struct seen key = {.inode = strtoul(target + sizeof prefix - 1, NULL, 10)};
        struct seen *seen =
            bsearch(&key, crowd->now, crowd->now_count, sizeof *crowd->now, by_inode);
        if (seen && seen->goes && !seen->told &&
            shutdown((int)strtol(entry->d_name, NULL, 10), SHUT_RD) == 0) {
            seen->told = true;
            figure_add(crowd->hurried, 1);
        }
    }
    if (folder)
        closedir(folder);
    else if (listing >= 0)
        close(listing);
}

/* No connection is closed meanwhile; no seat is taken or left either while it is decided. */
static void hurry(struct crowd *crowd, int port) {
    int64_t now_us = clock_mono_us();
    bool any = false;
    pthread_rwlock_wrlock(&crowd->closing);
    look(crowd, port, now_us);
    pthread_mutex_lock(&crowd->lock);
    for (size_t i = 0; i < crowd->now_count; i++) {
        struct seen *seen = &crowd->now[i];
        seen->goes = !seen->told && dawdles(crowd, seen, now_us);
        any = any || seen->goes;
    }
    pthread_mutex_unlock(&crowd->lock);
    if (any)
        shut(crowd);
    pthread_rwlock_unlock(&crowd->closing);
}

static void *usher_work(void *context) {
    struct crowd *crowd = context;
    pthread_mutex_lock(&crowd->lock);
    while (!crowd->ending) {
        int port = crowd->port;
        if (crowd->taken < crowd->threads || port == 0) {
            crowd->now_count = 0; /* what was seen before is not seen any more */
            pthread_cond_wait(&crowd->wake, &crowd->lock);
            continue;
        }
        pthread_mutex_unlock(&crowd->lock);
        hurry(crowd, port);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_EVERY_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&crowd->lock);
        while (!crowd->ending &&
               pthread_cond_timedwait(&crowd->wake, &crowd->lock, &until) != ETIMEDOUT)
            ;
    }
    pthread_mutex_unlock(&crowd->lock);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static void open_locks(struct crowd *crowd) {
    pthread_condattr_t monotonic;
    pthread_rwlockattr_t usher_first;
    pthread_mutex_init(&crowd->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&crowd->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_rwlockattr_init(&usher_first);
    pthread_rwlockattr_setkind_np(&usher_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&crowd->closing, &usher_first);
    pthread_rwlockattr_destroy(&usher_first);
}

enum err crowd_open(struct crowd **out, int threads, figure_t *hurried) {
    struct crowd *crowd = calloc(1, sizeof *crowd);
    *out = NULL;
    if (!crowd)
        return ERR_MEMORY;
    crowd->threads = threads;
    crowd->hurried = hurried;
    crowd->seats = calloc((size_t)threads, sizeof *crowd->seats);
    crowd->now = calloc(SOCKETS, sizeof *crowd->now);
    crowd->before = calloc(SOCKETS, sizeof *crowd->before);
    open_locks(crowd);
    crowd->threaded = crowd->seats && crowd->now && crowd->before &&
                      pthread_create(&crowd->usher, NULL, usher_work, crowd) == 0;
    if (!crowd->threaded) {
        crowd_close(crowd);
        return ERR_MEMORY;
    }
    *out = crowd;
    return ERR_OK;
}

void crowd_port(struct crowd *crowd, int port) {
    pthread_mutex_lock(&crowd->lock);
    crowd->port = port;
    pthread_cond_signal(&crowd->wake);
    pthread_mutex_unlock(&crowd->lock);
}

void crowd_close(struct crowd *crowd) {
    if (!crowd)
        return;
    if (crowd->threaded) {
        pthread_mutex_lock(&crowd->lock);
        crowd->ending = true;
        pthread_cond_signal(&crowd->wake);
        pthread_mutex_unlock(&crowd->lock);
        pthread_join(crowd->usher, NULL);
    }
    pthread_rwlock_destroy(&crowd->closing);
    pthread_cond_destroy(&crowd->wake);
    pthread_mutex_destroy(&crowd->lock);
    free(crowd->seats);
    free(crowd->now);
    free(crowd->before);
    free(crowd);
}
