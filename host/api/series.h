/* Answers over time: which rows are asked for, and their form (JSON, NDJSON or CSV, by Accept).
 * Rows are made page by page and leave as a stream, so memory is bounded whatever the range. */
#ifndef DERD_API_SERIES_H
#define DERD_API_SERIES_H

#include "api/exchange.h"
#include "telemetry/reader.h"

#define SERIES_LIMIT_MAXIMUM 1000000

enum series_form { SERIES_JSON, SERIES_NDJSON, SERIES_CSV, SERIES_FORM_COUNT };

struct series_query {
    int64_t from_ms, to_ms; /* from inclusive, to exclusive */
    int64_t after_ms;       /* rows at or before it were read already; INT64_MIN: none */
    enum level level;
    bool level_given;
    int64_t limit; /* 0: none */
    enum series_form form;
};

/* Reads from=, to=, limit=, cursor= and, with `levels`, resolution=; all mistakes go to `report`.
 * Defaults: the last 24 h, no limit, the resolution that suits the range. */
void series_read(const struct exchange *x, bool levels, struct series_query *query,
                 struct report *report);
/* The form that Accept asks for; false with 406. */
bool series_accept(struct exchange *x, struct series_query *query);
const char *series_content_type(enum series_form form);

/* A connection to what is kept of the device of the route, also when it has left the site. NULL
 * with an answer. `id` gets the device's. */
struct reader *series_device(struct exchange *x, struct recorded *recorded, char id[ID_SIZE]);

struct series { /* the body being made */
    struct stream *stream;
    enum series_form form;
    struct buf page;
    struct json json; /* writes to `page` */
    int64_t limit;    /* 0: none */
    int64_t written;
    int64_t last_ms; /* of the last row */
    bool more;       /* there are rows beyond the limit */
    bool first_cell;
};

/* `prefix`: the level's name for cursors. */
void series_start(struct series *series, struct stream *stream, const struct series_query *query);
void series_free(struct series *series);
/* JSON's head: the object is open, members may follow before series_items(). */
void series_items(struct series *series);
/* Before each row: false when the limit is reached. */
bool series_row(struct series *series, int64_t at_ms);
void series_row_end(struct series *series);
/* Sends what is there. False when the reader is gone, or memory is short. */
bool series_flush(struct series *series);
/* Ends the body; `prefix` is the level's name for the cursor. */
bool series_end(struct series *series, const char *prefix);

/* Cells of CSV (RFC 4180). */
void series_cell(struct series *series, const char *text); /* NULL: empty */
void series_cell_number(struct series *series, double value);
void series_cell_time(struct series *series, int64_t ms); /* 0: empty */

#endif
