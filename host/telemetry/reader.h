/* Reading history: a connection of its own, read only, for one thread and a short time. Rows are
 * read in pages by key; no statement stays open between pages, so a slow client holds no snapshot
 * of the file (which would keep its WAL from being taken in). At most TELEMETRY_READERS at once. */
#ifndef DERD_TELEMETRY_READER_H
#define DERD_TELEMETRY_READER_H

#include "telemetry/aggregate.h"
#include "telemetry/telemetry.h"

struct reader;

struct recorded { /* a device as history knows it */
    int64_t number;
    uint64_t seen;                 /* quantities, by quantity_number() */
    int64_t marks_ms[LEVEL_COUNT]; /* buckets before it are made */
};

/* ERR_LIMIT: too many read now. ERR_CLOSED: the file is not open yet, or cannot be. */
must_check enum err reader_open(struct reader **reader, struct telemetry *telemetry);
void reader_close(struct reader *reader);

/* ERR_NOT_FOUND: nothing of it was ever kept in this cluster. ERR_IO. */
must_check enum err reader_device(struct reader *reader, const char *device_id,
                                  const char *cluster_id, struct recorded *recorded);

/* False: no more of this page. */
typedef bool reader_row(void *context, int64_t at_ms, const void *data, size_t length);
/* Up to `most` rows from `from_ms` on, before `until_ms`, in order. *count: how many there were. */
must_check enum err reader_rows(struct reader *reader, enum level level, int64_t device,
                                int64_t from_ms, int64_t until_ms, int most, reader_row *row,
                                void *context, int *count);
typedef void reader_ruling(void *context, const struct ruling *ruling);
/* The same of rulings by their begin. */
must_check enum err reader_rulings(struct reader *reader, int64_t device, int64_t from_ms,
                                   int64_t until_ms, int most, reader_ruling *row, void *context,
                                   int *count);
/* Begin of the ruling that was in force just before `at_ms` and ended after it; `at_ms` when there
 * is none. */
must_check enum err reader_ruling_at(struct reader *reader, int64_t device, int64_t at_ms,
                                     int64_t *begin_ms);

#endif
