/* What the files of telemetry share; nobody else includes this (its tests do).
 *
 *   telemetry.c        thread, status             telemetry_file.c   opening, setting aside, SQL
 *   telemetry_queue.c  what waits for the thread
 *   telemetry_write.c  entries into rows          telemetry_roll.c   buckets, retention
 *
 * A track is what the thread knows of one device. What a track says of the file (number, marks,
 * meter) always equals what is in it: after a rollback all tracks are read again. */
#ifndef DERD_TELEMETRY_INTERNAL_H
#define DERD_TELEMETRY_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "telemetry/aggregate.h"
#include "telemetry/telemetry.h"

#define TRACK_BUCKETS     4096 /* of many thousands a few share one */
#define ENTRY_CHUNK_BYTES ((size_t)16000)
#define TELEMETRY_READERS 16
#define RULINGS_MAXIMUM   50000 /* of a device: some 15 MB */

/* Bits of decisions.flags. */
enum ruling_flags { FLAG_TRUSTED = 1, FLAG_CONTROLLABLE = 2, FLAG_IN_FORCE = 4, FLAG_UNMET = 8 };

enum entry_kind { ENTRY_SAMPLE, ENTRY_RULING, ENTRY_TOLD, ENTRY_LEAVE };

/* Several of each device wait at a time: they are kept small. */
struct entry {
    int64_t mono_ms;
    int64_t wall_ms; /* of a sample: its instant */
    union {
        double rated_w;        /* of ENTRY_SAMPLE */
        struct ruling *ruling; /* of ENTRY_RULING, owned; NULL: taken */
        int64_t since_ms;      /* of ENTRY_TOLD */
    };
    uint16_t length;    /* of `data` */
    unsigned char kind; /* enum entry_kind */
    union {
        unsigned char reach; /* of ENTRY_SAMPLE: enum reach */
        unsigned char state; /* of ENTRY_TOLD: enum command_state */
    };
    bool trusted; /* the clock was */
    struct origin origin;
    unsigned char data[]; /* of ENTRY_SAMPLE: packed as it is kept */
};

/* Entries in the order they came, in chunks that are there for as long as something waits. */
struct entry_chunk {
    struct entry_chunk *next;
    size_t used; /* of `bytes` */
    _Alignas(struct entry) unsigned char bytes[ENTRY_CHUNK_BYTES];
};

struct entry_queue {
    struct entry_chunk *first, *last;
    size_t count;
};

/* Copies the entry and its data, and takes its ruling over. False without memory. */
bool entry_queue_add(struct entry_queue *queue, const struct entry *entry,
                     const unsigned char *data);
/* The first (`entry` NULL) or the one behind; NULL: there is none. *chunk is where it stands. */
struct entry *entry_queue_next(const struct entry_queue *queue, struct entry_chunk **chunk,
                               struct entry *entry);
/* With the rulings that the entries own. */
void entry_queue_free(struct entry_queue *queue);

struct track {
    struct track *next;
    struct origin origin;
    int64_t number; /* in the file; 0: not there yet */
    uint64_t seen;  /* quantities, by number */
    double rated_w;
    int64_t marks_ms[LEVEL_COUNT]; /* buckets before it are made; 0: none, and of LEVEL_RAW */
    struct meter meter;
    /* The ruling in force (NULL: none), and the last sample within it. */
    struct ruling *ruling;
    bool ruling_dirty;
    int64_t ruling_mono_ms, flushed_mono_ms;
    int64_t last_ruling_ms;
    int64_t ruling_count; /* in the file, about */
    enum reach reach;
    int64_t reach_mono_ms, reach_hold_ms;
};

enum telemetry_statement {
    TELEMETRY_BEGIN,
    TELEMETRY_COMMIT,
    TELEMETRY_ROLLBACK,
    TELEMETRY_TRACK_PUT,
    TELEMETRY_TRACK_ALL,
    TELEMETRY_RAW_PUT,
    TELEMETRY_RAW_BEFORE,
    TELEMETRY_RULING_PUT,
    TELEMETRY_RULING_COUNTS,
    TELEMETRY_ALIVE_PUT,
    TELEMETRY_ROWS_FIRST, /* and one for each level that follows, in the next two */
    TELEMETRY_ROWS_NEXT = TELEMETRY_ROWS_FIRST + LEVEL_COUNT,
    TELEMETRY_BUCKET_PUT = TELEMETRY_ROWS_NEXT + LEVEL_COUNT,
    TELEMETRY_PRUNE = TELEMETRY_BUCKET_PUT + LEVEL_COUNT,
    TELEMETRY_PRUNE_DECISIONS = TELEMETRY_PRUNE + LEVEL_COUNT,
    TELEMETRY_STATEMENT_COUNT
};

struct telemetry {
    char *path; /* of telemetry.db */
    const struct clock *clock;
    int64_t commit_ms;

    /* The thread's only. */
    sqlite3 *db; /* NULL: not open */
    sqlite3_stmt *statements[TELEMETRY_STATEMENT_COUNT];
    int64_t open_again_ms; /* mono */
    struct track *tracks[TRACK_BUCKETS];
    size_t prune_turn;
    int64_t alive_mono_ms;
    bool told_dropped;

    atomic_size_t track_count; /* the thread's, read by all */

    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake, settled;
    struct entry_queue queue; /* bounded by queue_maximum(); the thread takes it whole */
    bool closing;
    uint64_t settle_asked, settle_done;
    struct retention retention;
    struct telemetry_status status;

    atomic_int readers;
    atomic_bool doubted; /* a reader met damage: look at the whole file */
};

/* The tables of levels, by name: "raw", "minutes", "quarters", "days". */
const char *level_table(enum level level);

/* --- telemetry_file.c: the thread's */

/* Opens or makes the file; what cannot be used is set aside first. False: not now (noted). */
bool telemetry_file_open(struct telemetry *telemetry);
void telemetry_file_close(struct telemetry *telemetry);
/* After an error: notes it; where the file is damaged, closes it and sets it aside. */
void telemetry_file_fault(struct telemetry *telemetry);
/* Checks all of it, when a reader had doubts. */
void telemetry_file_examine(struct telemetry *telemetry);
/* The kept statement, ready to bind; NULL on an error. */
sqlite3_stmt *telemetry_statement(struct telemetry *telemetry, int which, const char *sql);
/* The same for statements by level; "%s" in `sql` is its table, as often as it is there. */
sqlite3_stmt *telemetry_level_statement(struct telemetry *telemetry, int which, enum level level,
                                        const char *sql);
/* Runs one that gives no rows. */
bool telemetry_run(struct telemetry *telemetry, sqlite3_stmt *statement);
bool telemetry_run_simple(struct telemetry *telemetry, enum telemetry_statement which);

/* --- telemetry_write.c */

struct track *track_find(struct telemetry *telemetry, const struct origin *origin);
bool tracks_load(struct telemetry *telemetry); /* as the file has them; also after a rollback */
void tracks_free(struct telemetry *telemetry);
bool track_put(struct telemetry *telemetry, struct track *track);
/* One transaction with everything; false: nothing of it is in the file. */
bool telemetry_write(struct telemetry *telemetry, const struct entry_queue *entries);
/* Commits; or gives all of it up, notes why and reads the tracks again. */
bool telemetry_finish(struct telemetry *telemetry, bool ok);
/* Ends what is open, as the host stops. */
bool telemetry_write_end(struct telemetry *telemetry);

/* --- telemetry_roll.c */

/* Makes buckets that have ended, some at a time. *more: there are others. */
bool telemetry_roll(struct telemetry *telemetry, struct now now, bool *more);
/* Removes what is older than it should be, of some devices at a time: the more, the more entries
 * (`written`) the round had. */
bool telemetry_prune(struct telemetry *telemetry, struct now now, const struct retention *retention,
                     size_t written);

#endif
