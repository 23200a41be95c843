#include "api/series.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/accept.h"

#define HOUR_MS       INT64_C(3600000)
#define DAY_MS        (24 * HOUR_MS)
#define RAW_RANGE_MS  HOUR_MS       /* up to this range samples are shown */
#define MINUTES_MS    DAY_MS        /* minutes */
#define QUARTERS_MS   (31 * DAY_MS) /* quarters, and days beyond */
#define CURSOR_SIZE   64
#define RETRY_AFTER_S 5

static const char *const media_types[SERIES_FORM_COUNT] = {"application/json",
                                                           "application/x-ndjson", "text/csv"};

/* --- what is asked --------------------------------------------------------------------------- */

static void read_time(const struct exchange *x, const char *name, int64_t *ms,
                      struct report *report) {
    const char *text = request_query(&x->request, name);
    struct wall wall;
    if (!text)
        return;
    if (wall_parse(text, strlen(text), &wall))
        *ms = wall.ms;
    else
        report_add(report, name, "a time like 2026-01-31T12:00:00Z was expected, got \"%.40s\"%s",
                   text, strchr(text, ' ') ? " (a + stands as %2B in a query)" : "");
}

static bool level_parse(const char *text, size_t length, enum level *level) {
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (strlen(level_name((enum level)i)) == length &&
            strncmp(level_name((enum level)i), text, length) == 0) {
            *level = (enum level)i;
            return true;
        }
    return false;
}

/* A cursor is "LEVEL.MILLISECONDS" in base64, or the time of the last row that arrived. */
static bool cursor_parse(const char *coded, struct series_query *query, enum level *level,
                         bool *has_level) {
    unsigned char text[CURSOR_SIZE];
    size_t length = 0;
    struct wall wall;
    char *end;
    *has_level = false;
    if (wall_parse(coded, strlen(coded), &wall)) {
        query->after_ms = wall.ms;
        return true;
    }
    if (sodium_base642bin(text, sizeof text - 1, coded, strlen(coded), NULL, &length, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    text[length] = '\0';
    const char *dot = strchr((const char *)text, '.');
    if (!dot)
        return false;
    *has_level = level_parse((const char *)text, (size_t)(dot - (const char *)text), level);
    query->after_ms = strtoll(dot + 1, &end, 10);
    return end != dot + 1 && *end == '\0' && (*has_level || dot == (const char *)text);
}

static void read_limit(const struct exchange *x, struct series_query *query,
                       struct report *report) {
    const char *text = request_query(&x->request, "limit");
    char *end;
    if (!text)
        return;
    long long value = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value < 1 || value > SERIES_LIMIT_MAXIMUM)
        report_add(report, "limit", "a whole number from 1 to %d was expected, got \"%.40s\"",
                   SERIES_LIMIT_MAXIMUM, text);
    else
        query->limit = value;
}

static void read_level(const struct exchange *x, struct series_query *query,
                       struct report *report) {
    const char *text = request_query(&x->request, "resolution");
    if (!text)
        return;
    query->level_given = level_parse(text, strlen(text), &query->level);
    if (!query->level_given)
        report_add(report, "resolution", "raw, 1m, 15m or 1d was expected, got \"%.40s\"", text);
}

static enum level level_of_range(int64_t range_ms) {
    if (range_ms <= RAW_RANGE_MS)
        return LEVEL_RAW;
    if (range_ms <= MINUTES_MS)
        return LEVEL_MINUTES;
    return range_ms <= QUARTERS_MS ? LEVEL_QUARTERS : LEVEL_DAYS;
}

static void read_cursor(const struct exchange *x, bool levels, struct series_query *query,
                        struct report *report) {
    const char *coded = request_query(&x->request, "cursor");
    enum level level = LEVEL_RAW;
    bool has_level;
    if (!coded)
        return;
    if (!cursor_parse(coded, query, &level, &has_level) || (has_level && !levels)) {
        report_add(report, "cursor",
                   "nextCursor of an earlier answer was expected, or the time of the last row "
                   "that arrived; got \"%.60s\"",
                   coded);
    } else if (has_level && query->level_given && level != query->level) {
        report_add(report, "cursor", "it is of resolution %s, but resolution is %s",
                   level_name(level), level_name(query->level));
    } else if (has_level) {
        query->level = level;
        query->level_given = true;
    }
}

void series_read(const struct exchange *x, bool levels, struct series_query *query,
                 struct report *report) {
    *query =
        (struct series_query){.from_ms = INT64_MIN, .to_ms = x->now.wall.ms, .after_ms = INT64_MIN};
    read_time(x, "to", &query->to_ms, report);
    query->from_ms = query->to_ms - DAY_MS;
    read_time(x, "from", &query->from_ms, report);
    read_limit(x, query, report);
    if (levels)
        read_level(x, query, report);
    read_cursor(x, levels, query, report);
    if (report_empty(report) && query->from_ms >= query->to_ms)
        report_add(report, "from", "it must be before `to`, which is now when it is left out");
    if (!query->level_given)
        query->level = level_of_range(query->to_ms - query->from_ms);
}

bool series_accept(struct exchange *x, struct series_query *query) {
    size_t chosen = accept_choose(x->request.accept, media_types, SERIES_FORM_COUNT);
    exchange_header(x, "Vary", "Accept");
    query->form = (enum series_form)chosen;
    if (chosen < SERIES_FORM_COUNT)
        return true;
    exchange_problem(x, 406,
                     "This comes as application/json, application/x-ndjson or text/csv; Accept "
                     "takes none of them.");
    return false;
}

const char *series_content_type(enum series_form form) {
    return form == SERIES_CSV ? "text/csv; charset=utf-8" : media_types[form];
}

/* --- whose ----------------------------------------------------------------------------------- */

static void answer_not_found(struct exchange *x, const struct cluster_card *cluster) {
    exchange_problem(x, 404,
                     "There is no device \"%.100s\" in cluster \"%s\", and none of that id was "
                     "ever there.",
                     x->step_device, cluster->key);
}

static void answer_closed(struct exchange *x, enum err result) {
    if (result == ERR_LIMIT)
        exchange_unavailable(x, RETRY_AFTER_S, "Too many read history now; try again.");
    else
        exchange_unavailable(x, RETRY_AFTER_S,
                             "History cannot be read now: its file is being opened, or cannot be; "
                             "GET /ready tells more. Control is not concerned.");
}

struct reader *series_device(struct exchange *x, struct recorded *recorded, char id[ID_SIZE]) {
    const struct cluster_card *cluster = exchange_cluster(x);
    struct reader *reader = NULL;
    if (!cluster)
        return NULL;
    const struct device_card *card = directory_device(x->directory, cluster, x->step_device);
    enum err result =
        x->settings->telemetry ? reader_open(&reader, x->settings->telemetry) : ERR_CLOSED;
    if (result != ERR_OK) {
        answer_closed(x, result);
        return NULL;
    }
    snprintf(id, ID_SIZE, "%s", card ? card->id : x->step_device);
    result = reader_device(reader, id, cluster->id, recorded);
    if (result == ERR_OK || (result == ERR_NOT_FOUND && card))
        return reader; /* one that was never heard of has an empty history */
    if (result == ERR_NOT_FOUND)
        answer_not_found(x, cluster);
    else
        answer_closed(x, result);
    reader_close(reader);
    return NULL;
}

/* --- the body -------------------------------------------------------------------------------- */

void series_start(struct series *series, struct stream *stream, const struct series_query *query) {
    memset(series, 0, sizeof *series);
    series->stream = stream;
    series->form = query->form;
    series->limit = query->limit;
    buf_init(&series->page, STREAM_PIECE_MAXIMUM);
    json_start(&series->json, &series->page);
    if (series->form == SERIES_JSON)
        json_object_open(&series->json);
}

void series_free(struct series *series) {
    buf_free(&series->page);
}

void series_items(struct series *series) {
    json_key(&series->json, "items");
    json_array_open(&series->json);
}

bool series_row(struct series *series, int64_t at_ms) {
    if (series->limit && series->written == series->limit) {
        series->more = true;
        return false;
    }
    series->written++;
    series->last_ms = at_ms;
    series->first_cell = true;
    if (series->form != SERIES_CSV)
        json_object_open(&series->json);
    return true;
}

void series_row_end(struct series *series) {
    if (series->form != SERIES_CSV)
        json_object_close(&series->json);
    if (series->form == SERIES_JSON)
        return;
    buf_text(&series->page, series->form == SERIES_CSV ? "\r\n" : "\n");
    series->json.comma = false;
}

bool series_flush(struct series *series) {
    if (series->page.failed)
        return false;
    bool sent = stream_write(series->stream, buf_string(&series->page), series->page.length);
    buf_clear(&series->page);
    return sent;
}

bool series_end(struct series *series, const char *prefix) {
    char text[CURSOR_SIZE], coded[2 * CURSOR_SIZE];
    if (series->form == SERIES_JSON) {
        json_array_close(&series->json);
        int length = snprintf(text, sizeof text, "%s.%lld", prefix, (long long)series->last_ms);
        sodium_bin2base64(coded, sizeof coded, (const unsigned char *)text, (size_t)length,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        json_put_string(&series->json, "nextCursor", series->more ? coded : NULL);
        json_object_close(&series->json);
    }
    return series_flush(series);
}

void series_cell(struct series *series, const char *text) {
    struct buf *page = &series->page;
    if (!series->first_cell)
        buf_char(page, ',');
    series->first_cell = false;
    if (!text)
        return;
    if (!strpbrk(text, ",\"\r\n")) {
        buf_text(page, text);
        return;
    }
    buf_char(page, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_char(page, '"');
        buf_char(page, *text);
    }
    buf_char(page, '"');
}

void series_cell_number(struct series *series, double value) {
    series_cell(series, NULL);
    if (!isfinite(value))
        return;
    struct json number;
    json_start(&number, &series->page);
    json_write_double(&number, value);
}

void series_cell_time(struct series *series, int64_t ms) {
    char text[WALL_TEXT_SIZE];
    wall_format((struct wall){ms}, text);
    series_cell(series, ms ? text : NULL);
}
