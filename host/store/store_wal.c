/* The journal that a kill leaves behind (SQLite file format, 4: the write-ahead log), looked at
 * before SQLite does: SQLite takes it up to the first frame whose checksum is wrong and forgets the
 * rest without a word.
 *
 * A power cut leaves such an end too, within the last transaction, which nobody has been told of:
 * each transaction is synced before the next one begins. So what was acknowledged is missing when a
 * wrong frame has a whole transaction behind it and something behind that, all of this journal (its
 * salts). Damage in the very last transaction looks like a power cut and is not found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_internal.h"

#define HEADER_SIZE       32
#define FRAME_HEADER_SIZE 24
#define PAGE_MAXIMUM      65536
#define MAGIC             0x377f0682U /* the lowest bit: checksums of big-endian words */
#define VERSION           3007000U
#define PAGES_MOST        (1U << 24)

struct sums {
    uint32_t one, two;
};

struct reading {
    sqlite3_file *file;
    sqlite3_int64 size;
    bool big_endian;
    uint32_t page_size;
    unsigned char salts[8];
    unsigned char *frame; /* header and page */
};

static uint32_t word(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t word_little(const unsigned char *at) {
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

/* `size`: a multiple of 8. */
static void sum(bool big_endian, const unsigned char *data, size_t size, struct sums *sums) {
    for (size_t i = 0; i < size; i += 8) {
        sums->one += (big_endian ? word(data + i) : word_little(data + i)) + sums->two;
        sums->two += (big_endian ? word(data + i + 4) : word_little(data + i + 4)) + sums->one;
    }
}

static bool sums_are(const struct sums *sums, const unsigned char *stored) {
    return sums->one == word(stored) && sums->two == word(stored + 4);
}

static bool read_at(const struct reading *reading, void *to, size_t size, sqlite3_int64 at) {
    return reading->file->pMethods->xRead(reading->file, to, (int)size, at) == SQLITE_OK;
}

/* True: it can be followed; `sums` are those that the first frame goes on with. */
static bool read_header(struct reading *reading, struct sums *sums) {
    unsigned char header[HEADER_SIZE];
    if (!read_at(reading, header, sizeof header, 0) || (word(header) & ~1U) != MAGIC ||
        word(header + 4) != VERSION)
        return false;
    reading->big_endian = word(header) & 1;
    reading->page_size = word(header + 8);
    memcpy(reading->salts, header + 16, sizeof reading->salts);
    *sums = (struct sums){0};
    sum(reading->big_endian, header, 24, sums);
    return reading->page_size >= 512 && reading->page_size <= PAGE_MAXIMUM &&
           (reading->page_size & (reading->page_size - 1)) == 0 && sums_are(sums, header + 24);
}

static bool frame_is_right(const struct reading *reading, struct sums *sums) {
    sum(reading->big_endian, reading->frame, 8, sums);
    sum(reading->big_endian, reading->frame + FRAME_HEADER_SIZE, reading->page_size, sums);
    return sums_are(sums, reading->frame + 16);
}

/* Frames of attempts that failed may stand behind the end too: what shows that more was there is
 * one frame that goes on from the end of a transaction, behind one that is wrong. Where SQLite
 * writes an end several times over, to fill a sector, those are of one page. */
static size_t lost_transactions(const struct reading *reading, struct sums sums) {
    const size_t size = FRAME_HEADER_SIZE + reading->page_size;
    bool wrong = false;    /* a frame was wrong already */
    uint32_t end_page = 0; /* of the end that the next frame is to go on from; 0: it was none */
    size_t ended = 0;
    bool lost = false;
    for (sqlite3_int64 at = HEADER_SIZE; at + (sqlite3_int64)size <= reading->size;
         at += (sqlite3_int64)size) {
        bool ours = read_at(reading, reading->frame, size, at) &&
                    memcmp(reading->frame + 8, reading->salts, sizeof reading->salts) == 0;
        bool right = ours && word(reading->frame) != 0 && frame_is_right(reading, &sums);
        uint32_t page = ours && word(reading->frame + 4) != 0 ? word(reading->frame) : 0;
        bool repeated = right && page && page == end_page;
        lost = lost || (wrong && right && end_page && !repeated);
        wrong = wrong || !right;
        ended += wrong && page && !repeated;
        end_page = wrong ? page : 0;
        if (ours) /* the next one goes on from what this one says of itself */
            sums = (struct sums){word(reading->frame + 16), word(reading->frame + 20)};
    }
    return lost ? ended : 0;
}

/* Frames that go on from one another, without a header to begin with. */
struct run {
    uint32_t *pages; /* of each frame of the journal */
    size_t begin, end;
    size_t proven; /* up to here what is in it was acknowledged: more goes on from it */
    uint32_t page_most;
};

static sqlite3_int64 frame_at(const struct reading *reading, size_t i) {
    return HEADER_SIZE + (sqlite3_int64)i * (FRAME_HEADER_SIZE + reading->page_size);
}

static bool find_run(struct reading *reading, size_t count, struct run *run) {
    const size_t size = FRAME_HEADER_SIZE + reading->page_size;
    struct sums sums = {0};
    size_t transaction_end = 0; /* in the run; 0: none yet */
    bool zeros = false;         /* where the first frame was */
    for (size_t i = 0; i < count; i++) {
        if (!read_at(reading, reading->frame, size, frame_at(reading, i)))
            return false;
        uint32_t page =
            word(reading->frame); /* 0, of the first of a run: it is not known to be true */
        bool right = i > 0 && page != 0 &&
                     memcmp(reading->salts, reading->frame + 8, sizeof reading->salts) == 0 &&
                     frame_is_right(reading, &sums);
        /* Behind what was written last there are frames that are older: they tell nothing. */
        if (!right && i > 0 && !(i == 1 && zeros))
            break;
        if (i == 0)
            zeros = page == 0 && word(reading->frame + 4) == 0 && word(reading->frame + 8) == 0;
        if (!right) {
            run->begin = i;
            transaction_end = run->page_most = 0;
            page = 0;
        }
        bool end = word(reading->frame + 4) != 0;
        bool repeated = right && end && transaction_end == i && run->pages[i - 1] == page;
        if (transaction_end && !repeated)
            run->proven = transaction_end;
        if (end)
            transaction_end = i + 1;
        run->pages[i] = page;
        run->end = i + 1;
        run->page_most = page > run->page_most ? page : run->page_most;
        memcpy(reading->salts, reading->frame + 8, sizeof reading->salts);
        sums = (struct sums){word(reading->frame + 16), word(reading->frame + 20)};
    }
    return run->proven > run->begin;
}

/* Each page is in the database as its last frame says. */
static bool run_is_in(struct reading *reading, sqlite3_file *database, const struct run *run,
                      unsigned char *page, bool *seen) {
    for (size_t i = run->end; i-- > run->begin;) {
        uint32_t number = run->pages[i];
        if (!number || seen[number])
            continue;
        seen[number] = true;
        const sqlite3_int64 place = ((sqlite3_int64)number - 1) * reading->page_size;
        if (i >= run->proven)
            continue; /* perhaps it is, perhaps it never was */
        if (!read_at(reading, page, reading->page_size, frame_at(reading, i) + FRAME_HEADER_SIZE))
            return false;
        if (database->pMethods->xRead(database, reading->frame, (int)reading->page_size, place) !=
                SQLITE_OK ||
            memcmp(page, reading->frame, reading->page_size) != 0)
            return false;
    }
    return true;
}

/* The header is wrong. When SQLite begins with the journal again, all that was in it is in the
 * database, and a power cut in that moment may spoil the header: that is no damage, the journal is
 * spent. Otherwise what was acknowledged is in the journal and not in the database. */
static void look_without_header(struct reading *reading, sqlite3_file *database,
                                struct store_journal *journal) {
    unsigned char head[18];
    if (!database || database->pMethods->xRead(database, head, sizeof head, 0) != SQLITE_OK)
        return; /* which SQLite finds */
    reading->page_size = (uint32_t)head[16] << 8 | head[17];
    if (reading->page_size == 1)
        reading->page_size = PAGE_MAXIMUM;
    if (reading->page_size < 512)
        return;
    reading->big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__; /* as this machine has written */
    const size_t size = FRAME_HEADER_SIZE + reading->page_size;
    const size_t count = (size_t)(reading->size - HEADER_SIZE) / size;
    struct run run = {.pages = calloc(count + 1, sizeof *run.pages)};
    unsigned char *page = malloc(size);
    bool *seen = NULL;
    reading->frame = malloc(size);
    if (run.pages && page && reading->frame && find_run(reading, count, &run) &&
        run.page_most < PAGES_MOST && (seen = calloc((size_t)run.page_most + 1, sizeof *seen))) {
        journal->spent = run_is_in(reading, database, &run, page, seen);
        journal->damaged = !journal->spent;
    }
    free(seen);
    free(page);
    free(run.pages);
    free(reading->frame);
}

static void look(struct reading *reading, sqlite3_file *database, struct store_journal *journal) {
    struct sums sums;
    journal->bytes = reading->size;
    if (reading->size < HEADER_SIZE + FRAME_HEADER_SIZE + 512)
        return;
    if (!read_header(reading, &sums)) {
        look_without_header(reading, database, journal);
        journal->unknown = true;
        return;
    }
    reading->frame = malloc((size_t)FRAME_HEADER_SIZE + reading->page_size);
    if (!reading->frame)
        return;
    journal->lost = lost_transactions(reading, sums);
    journal->damaged = journal->lost > 0;
    free(reading->frame);
}

/* Through SQLite's VFS, as all that it reads and writes. NULL: it is not there, or cannot be
 * opened. `flags`: what it is, and what for. */
static sqlite3_file *file_open(const char *path, int flags) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const char *name = sqlite3_create_filename(path, "", "", 0, NULL);
    sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    bool open = name && file && vfs->xOpen(vfs, name, file, flags, NULL) == SQLITE_OK;
    if (!open && file && file->pMethods)
        file->pMethods->xClose(file);
    sqlite3_free_filename((char *)name);
    if (open)
        return file;
    free(file);
    return NULL;
}

static void file_close(sqlite3_file *file) {
    if (file)
        file->pMethods->xClose(file);
    free(file);
}

void store_journal_look(const char *database, const char *path, struct store_journal *journal) {
    struct reading reading = {.file = file_open(path, SQLITE_OPEN_READONLY | SQLITE_OPEN_WAL)};
    sqlite3_file *file = file_open(database, SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB);
    sqlite3_int64 size = 0;
    *journal = (struct store_journal){0};
    if (reading.file && reading.file->pMethods->xFileSize(reading.file, &reading.size) == SQLITE_OK)
        look(&reading, file, journal);
    journal->alone = !file || (file->pMethods->xFileSize(file, &size) == SQLITE_OK && size == 0);
    journal->of_nothing = file && journal->alone && journal->bytes > 0;
    file_close(reading.file);
    file_close(file);
}

void store_journal_empty(const char *path) {
    sqlite3_file *file = file_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_WAL);
    if (file)
        (void)file->pMethods->xTruncate(file, 0);
    file_close(file);
}
