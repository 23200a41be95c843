/* History of a device: samples, minutes, quarters of an hour, days. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/series.h"

#define RAW_PAGE    200 /* rows; each some hundred bytes */
#define BUCKET_PAGE 50  /* each up to 3 kB */

struct history {
    struct series_query query;
    struct reader *reader;
    struct recorded recorded;
    char device_id[ID_SIZE];
    int64_t now_ms;
    int64_t next_ms; /* what comes before it was read */
    enum point_id fields[POINT_NUMBER_COUNT];
    size_t field_count;
    uint64_t shown;       /* the same, as bits by number */
    struct series series; /* while it is poured */
};

static bool is_energy(enum point_id id) {
    return id == POINT_ENERGY_IMPORT || id == POINT_ENERGY_EXPORT;
}

/* --- which fields ---------------------------------------------------------------------------- */

/* What is shown when nobody says: all that the device ever told; a state has no mean. */
static void take_all_fields(struct history *history) {
    for (int number = 1; number < 64; number++) {
        enum point_id id = quantity_id(number);
        if (id == POINT_COUNT || !(history->recorded.seen >> number & 1))
            continue;
        if (id != POINT_STATE || history->query.level == LEVEL_RAW)
            history->fields[history->field_count++] = id;
    }
    /* Without a counter there is energy all the same, integrated. */
    for (int i = 0; i < ENERGY_COUNT && history->query.level != LEVEL_RAW; i++) {
        int number = quantity_number(energy_point((enum energy)i));
        if (!(history->recorded.seen >> number & 1))
            history->fields[history->field_count++] = energy_point((enum energy)i);
    }
}

static void read_field(struct history *history, const char *name, struct report *report) {
    enum point_id id;
    if (!point_word_parse(name, &id) || !quantity_number(id)) {
        report_add(report, "fields",
                   "\"%.40s\" is no quantity that history keeps; GET /v1/vocabulary lists points",
                   name);
        return;
    }
    if (id == POINT_STATE && history->query.level != LEVEL_RAW) {
        report_add(report, "fields", "state is kept in samples only: resolution=raw");
        return;
    }
    for (size_t i = 0; i < history->field_count; i++)
        if (history->fields[i] == id)
            return;
    history->fields[history->field_count++] = id;
}

static void read_fields(const struct exchange *x, struct history *history, struct report *report) {
    const char *text = request_query(&x->request, "fields");
    while (text) {
        char name[41];
        size_t length = strcspn(text, ",");
        size_t kept = length < sizeof name ? length : sizeof name - 1;
        memcpy(name, text, kept);
        name[kept] = '\0';
        read_field(history, name, report);
        text = text[length] ? text + length + 1 : NULL;
    }
}

/* --- rows ------------------------------------------------------------------------------------ */

static void write_head(struct history *history) {
    static const char *const spread[] = {"mean", "min", "max", "seconds", "count"};
    static const char *const energy[] = {"delta", "last", "source", "marks"};
    struct series *series = &history->series;
    bool raw = history->query.level == LEVEL_RAW;
    if (series->form == SERIES_JSON) {
        json_put_string(&series->json, "deviceId", history->device_id);
        json_put_string(&series->json, "resolution", level_name(history->query.level));
        json_put_time(&series->json, "from", (struct wall){history->query.from_ms});
        json_put_time(&series->json, "to", (struct wall){history->query.to_ms});
        series_items(series);
    }
    if (series->form != SERIES_CSV)
        return;
    series->first_cell = true;
    series_cell(series, "at");
    if (!raw)
        series_cell(series, "complete");
    for (size_t i = 0; i < history->field_count; i++) {
        const char *name = point_word(history->fields[i])->name;
        bool counted = is_energy(history->fields[i]);
        size_t columns = raw ? 1 : counted ? 4 : 5;
        for (size_t j = 0; j < columns; j++) {
            char title[64];
            snprintf(title, sizeof title, "%s%s%s", name, raw ? "" : ".",
                     raw ? "" : (counted ? energy : spread)[j]);
            series_cell(series, title);
        }
    }
    series_row_end(series);
}

static const char *state_text(double state) {
    bool known = state > STATE_UNKNOWN && state < STATE_COUNT;
    return known ? device_state_name((enum device_state)(int)state) : NULL;
}

static bool write_sample(void *context, int64_t at_ms, const void *data, size_t length) {
    struct history *history = context;
    struct series *series = &history->series;
    struct sample sample;
    bool sound = sample_unpack(data, length, &sample);
    if (sound && !series_row(series, at_ms))
        return false;
    history->next_ms = at_ms + 1;
    if (!sound)
        return true;
    if (series->form == SERIES_CSV)
        series_cell_time(series, at_ms);
    else
        json_put_time(&series->json, "at", (struct wall){at_ms});
    for (size_t i = 0; i < history->field_count; i++) {
        enum point_id id = history->fields[i];
        const char *name = point_word(id)->name;
        if (series->form == SERIES_CSV && id == POINT_STATE)
            series_cell(series, state_text(sample.values[id]));
        else if (series->form == SERIES_CSV)
            series_cell_number(series, sample.values[id]);
        else if (id == POINT_STATE)
            json_put_string(&series->json, name, state_text(sample.values[id]));
        else
            json_put_double(&series->json, name, sample.values[id]);
    }
    series_row_end(series);
    return true;
}

static const struct {
    enum counter_mark mark;
    const char *name;
} mark_names[] = {{COUNTER_GLITCH, "glitch"},
                  {COUNTER_RESET, "reset"},
                  {COUNTER_LEAP, "leap"},
                  {COUNTER_GAP, "gap"}};
#define MARK_COUNT (sizeof mark_names / sizeof mark_names[0])

static const char *source_name(enum energy_source source) {
    if (source == SOURCE_NONE)
        return NULL;
    return source == SOURCE_COUNTER ? "counter" : "integrated";
}

static void write_counted(struct series *series, const char *name, const struct counted *counted) {
    if (series->form == SERIES_CSV) {
        char marks[64] = "";
        for (size_t i = 0; i < MARK_COUNT; i++)
            if (counted->marks & mark_names[i].mark) {
                size_t used = strlen(marks);
                snprintf(marks + used, sizeof marks - used, "%s%s", used ? " " : "",
                         mark_names[i].name);
            }
        series_cell_number(series, counted->delta_wh);
        series_cell_number(series, counted->last_wh);
        series_cell(series, source_name(counted->source));
        series_cell(series, marks);
        return;
    }
    struct json *json = &series->json;
    json_key(json, name);
    if (counted->source == SOURCE_NONE) {
        json_write_null(json);
        return;
    }
    json_object_open(json);
    json_put_double(json, "delta", counted->delta_wh);
    json_put_double(json, "last", counted->last_wh);
    json_put_string(json, "source", source_name(counted->source));
    json_key(json, "marks");
    json_array_open(json);
    for (size_t i = 0; i < MARK_COUNT; i++)
        if (counted->marks & mark_names[i].mark)
            json_write_string(json, mark_names[i].name);
    json_array_close(json);
    json_object_close(json);
}

static void write_spread(struct series *series, const char *name, const struct spread *spread) {
    bool known = spread->ms || spread->count;
    double seconds = (double)spread->ms / 1000;
    if (series->form == SERIES_CSV) {
        series_cell_number(series, known ? spread->mean : NAN);
        series_cell_number(series, known ? spread->min : NAN);
        series_cell_number(series, known ? spread->max : NAN);
        series_cell_number(series, known ? seconds : NAN);
        series_cell_number(series, known ? (double)spread->count : (double)NAN);
        return;
    }
    struct json *json = &series->json;
    json_key(json, name);
    if (!known) {
        json_write_null(json);
        return;
    }
    json_object_open(json);
    json_put_double(json, "mean", spread->mean);
    json_put_double(json, "min", spread->min);
    json_put_double(json, "max", spread->max);
    json_put_double(json, "seconds", seconds);
    json_put_integer(json, "count", spread->count);
    json_object_close(json);
}

static bool write_bucket(struct history *history, int64_t at_ms, bool complete,
                         const struct aggregate *aggregate) {
    struct series *series = &history->series;
    if (!series_row(series, at_ms))
        return false;
    if (series->form == SERIES_CSV) {
        series_cell_time(series, at_ms);
        series_cell(series, complete ? "true" : "false");
    } else {
        json_put_time(&series->json, "at", (struct wall){at_ms});
        json_put_boolean(&series->json, "complete", complete);
    }
    for (size_t i = 0; i < history->field_count; i++) {
        enum point_id id = history->fields[i];
        if (is_energy(id))
            write_counted(series, point_word(id)->name,
                          &aggregate->energies[id == POINT_ENERGY_EXPORT]);
        else
            write_spread(series, point_word(id)->name, &aggregate->spreads[id]);
    }
    series_row_end(series);
    return true;
}

static bool write_packed(void *context, int64_t at_ms, const void *data, size_t length) {
    struct history *history = context;
    struct aggregate aggregate;
    if (aggregate_unpack(data, length, history->shown, &aggregate) &&
        !write_bucket(history, at_ms, true, &aggregate))
        return false;
    history->next_ms = at_ms + 1;
    return true;
}

/* --- the bucket that has not ended ----------------------------------------------------------- */

static bool merge_packed(void *context, int64_t at_ms, const void *data, size_t length) {
    struct aggregate part;
    (void)at_ms;
    if (aggregate_unpack(data, length, SHOW_ALL, &part))
        aggregate_merge(context, &part);
    return true;
}

/* What is known of it so far, from the levels below: today, above all. */
static bool pour_open_bucket(struct history *history) {
    enum level level = history->query.level;
    const int64_t *marks = history->recorded.marks_ms;
    int64_t at = history->now_ms - history->now_ms % level_ms(level);
    struct aggregate made;
    if (level < LEVEL_QUARTERS || at < history->next_ms || at >= history->query.to_ms ||
        at < marks[level])
        return true;
    aggregate_init(&made);
    int64_t from = at;
    for (int below = (int)level - 1; below >= LEVEL_MINUTES; below--) {
        int count;
        if (reader_rows(history->reader, (enum level)below, history->recorded.number, from,
                        at + level_ms(level), 1000, merge_packed, &made, &count) != ERR_OK)
            return false;
        if (marks[below] > from)
            from = marks[below];
    }
    if (!aggregate_empty(&made))
        (void)write_bucket(history, at, false, &made);
    return true;
}

/* --- answering ------------------------------------------------------------------------------- */

static bool pour_rows(struct history *history) {
    bool raw = history->query.level == LEVEL_RAW;
    int page = raw ? RAW_PAGE : BUCKET_PAGE;
    int count = page;
    while (count == page && !history->series.more) {
        if (reader_rows(history->reader, history->query.level, history->recorded.number,
                        history->next_ms, history->query.to_ms, page,
                        raw ? write_sample : write_packed, history, &count) != ERR_OK ||
            !series_flush(&history->series))
            return false;
    }
    return true;
}

static bool pour_history(struct exchange *x, struct stream *stream, void *context) {
    struct history *history = context;
    (void)x;
    history->next_ms = history->query.from_ms;
    if (history->query.after_ms != INT64_MIN && history->query.after_ms >= history->next_ms)
        history->next_ms = history->query.after_ms + 1;
    series_start(&history->series, stream, &history->query);
    write_head(history);
    bool whole = pour_rows(history) && (history->series.more || pour_open_bucket(history)) &&
                 series_end(&history->series, level_name(history->query.level));
    series_free(&history->series);
    return whole;
}

static void history_free(void *context) {
    struct history *history = context;
    reader_close(history->reader);
    free(history);
}

void api_history_get(struct exchange *x) {
    struct report report;
    struct history *history = calloc(1, sizeof *history);
    if (!history) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return;
    }
    report_init(&report);
    series_read(x, true, &history->query, &report);
    read_fields(x, history, &report);
    history->now_ms = x->now.wall.ms;
    if (!report_empty(&report))
        exchange_problem_report(x, 400, &report, "The query has mistakes.");
    else if (series_accept(x, &history->query))
        history->reader = series_device(x, &history->recorded, history->device_id);
    report_free(&report);
    if (!history->reader) {
        free(history);
        return;
    }
    if (!history->field_count)
        take_all_fields(history);
    for (size_t i = 0; i < history->field_count; i++)
        history->shown |= UINT64_C(1) << quantity_number(history->fields[i]);
    exchange_stream(x, series_content_type(history->query.form), pour_history, history,
                    history_free);
}
