/* The log of decisions on a device: what was in force when, who set it, how far the device was
 * told, and where the measured power lay. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/present.h"
#include "api/series.h"

#define PAGE 60 /* rows; each up to 3 kB */

struct decisions {
    struct series_query query;
    struct reader *reader;
    struct recorded recorded;
    char device_id[ID_SIZE];
    int64_t now_ms;
    struct series series;
};

static const char *const fields[RULED_COUNT] = {"activePower", "minActivePower", "maxActivePower"};

static double seconds(int64_t ms) {
    return (double)ms / 1000;
}

/* Of one that goes on, up to now. */
static int64_t duration_ms(const struct decisions *decisions, const struct ruling *ruling) {
    int64_t so_far = decisions->now_ms - ruling->at_ms;
    bool open = ruling->end == RULING_OPEN;
    return open && so_far > ruling->duration_ms ? so_far : ruling->duration_ms;
}

static bool power_of(const struct ruling *ruling, int field, int32_t *power) {
    *power = field == RULED_SET ? ruling->set : field == RULED_MIN ? ruling->min : ruling->max;
    return (field != RULED_SET || ruling->has_set) &&
           *power<POWER_UNBOUNDED && * power> - POWER_UNBOUNDED;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void put_cause(struct json *json, const struct cause *cause) {
    if (!cause->id[0]) {
        json_write_null(json);
        return;
    }
    bool constraint = cause->created_by[0] != '\0';
    json_object_open(json);
    json_put_string(json, "id", cause->id);
    json_key(json, "priority");
    if (constraint)
        json_write_integer(json, cause->priority);
    else
        json_write_null(json);
    json_put_known(json, "createdBy", cause->created_by);
    json_put_known(json, "reason", cause->reason);
    json_object_close(json);
}

static void put_ruling(struct json *json, const struct decisions *decisions,
                       const struct ruling *ruling) {
    json_put_time(json, "from", (struct wall){ruling->at_ms});
    json_put_time(json, "until", (struct wall){ruling->until_ms});
    json_put_double(json, "seconds", seconds(duration_ms(decisions, ruling)));
    json_put_string(json, "endedBy",
                    ruling->end == RULING_OPEN ? NULL : ruling_end_name(ruling->end));
    json_put_boolean(json, "clockTrusted", ruling->trusted);
    json_put_boolean(json, "controllable", ruling->controllable);
    json_put_boolean(json, "inForce", ruling->in_force);
    json_put_boolean(json, "unmet", ruling->unmet);
    for (int i = 0; i < RULED_COUNT; i++) {
        int32_t power;
        json_key(json, fields[i]);
        if (power_of(ruling, i, &power))
            json_write_integer(json, power);
        else
            json_write_null(json);
    }
    json_key(json, "setBy");
    json_object_open(json);
    for (int i = 0; i < RULED_COUNT; i++) {
        json_key(json, fields[i]);
        put_cause(json, &ruling->causes[i]);
    }
    json_object_close(json);
    json_key(json, "command");
    json_object_open(json);
    json_put_string(json, "state", command_state_name(ruling->command));
    json_put_time(json, "since", (struct wall){ruling->command_ms});
    json_put_time(json, "sentAt", (struct wall){ruling->sent_ms});
    json_put_time(json, "confirmedAt", (struct wall){ruling->confirmed_ms});
    json_object_close(json);
    json_key(json, "measured");
    json_object_open(json);
    json_put_double(json, "seconds", seconds(ruling->measured_ms));
    json_put_double(json, "atMinSeconds", seconds(ruling->at_min_ms));
    json_put_double(json, "atMaxSeconds", seconds(ruling->at_max_ms));
    json_put_double(json, "outsideSeconds", seconds(ruling->outside_ms));
    json_object_close(json);
}

/* --- CSV ------------------------------------------------------------------------------------- */

static void csv_head(struct series *series) {
    static const char *const titles[] = {"from",         "until",        "seconds", "endedBy",
                                         "clockTrusted", "controllable", "inForce", "unmet"};
    static const char *const rest[] = {"command.state",         "command.since",
                                       "command.sentAt",        "command.confirmedAt",
                                       "measured.seconds",      "measured.atMinSeconds",
                                       "measured.atMaxSeconds", "measured.outsideSeconds"};
    static const char *const parts[] = {"id", "priority", "createdBy", "reason"};
    series->first_cell = true;
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        series_cell(series, titles[i]);
    for (int i = 0; i < RULED_COUNT; i++)
        series_cell(series, fields[i]);
    for (int i = 0; i < RULED_COUNT; i++)
        for (size_t j = 0; j < sizeof parts / sizeof *parts; j++) {
            char title[64];
            snprintf(title, sizeof title, "setBy.%s.%s", fields[i], parts[j]);
            series_cell(series, title);
        }
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        series_cell(series, rest[i]);
    series_row_end(series);
}

static void cell_boolean(struct series *series, bool value) {
    series_cell(series, value ? "true" : "false");
}

static const char *known(const char *text) {
    return text[0] ? text : NULL;
}

static void csv_ruling(struct series *series, const struct decisions *decisions,
                       const struct ruling *ruling) {
    series_cell_time(series, ruling->at_ms);
    series_cell_time(series, ruling->until_ms);
    series_cell_number(series, seconds(duration_ms(decisions, ruling)));
    series_cell(series, ruling->end == RULING_OPEN ? NULL : ruling_end_name(ruling->end));
    cell_boolean(series, ruling->trusted);
    cell_boolean(series, ruling->controllable);
    cell_boolean(series, ruling->in_force);
    cell_boolean(series, ruling->unmet);
    for (int i = 0; i < RULED_COUNT; i++) {
        int32_t power;
        series_cell_number(series, power_of(ruling, i, &power) ? (double)power : (double)NAN);
    }
    for (int i = 0; i < RULED_COUNT; i++) {
        const struct cause *cause = &ruling->causes[i];
        series_cell(series, known(cause->id));
        series_cell_number(series, cause->created_by[0] ? (double)cause->priority : (double)NAN);
        series_cell(series, known(cause->created_by));
        series_cell(series, known(cause->reason));
    }
    series_cell(series, command_state_name(ruling->command));
    series_cell_time(series, ruling->command_ms);
    series_cell_time(series, ruling->sent_ms);
    series_cell_time(series, ruling->confirmed_ms);
    series_cell_number(series, seconds(ruling->measured_ms));
    series_cell_number(series, seconds(ruling->at_min_ms));
    series_cell_number(series, seconds(ruling->at_max_ms));
    series_cell_number(series, seconds(ruling->outside_ms));
}

/* --- answering ------------------------------------------------------------------------------- */

static void write_ruling(void *context, const struct ruling *ruling) {
    struct decisions *decisions = context;
    struct series *series = &decisions->series;
    if (!series_row(series, ruling->at_ms))
        return;
    if (series->form == SERIES_CSV)
        csv_ruling(series, decisions, ruling);
    else
        put_ruling(&series->json, decisions, ruling);
    series_row_end(series);
}

static void write_head(struct decisions *decisions) {
    struct series *series = &decisions->series;
    if (series->form == SERIES_CSV)
        csv_head(series);
    if (series->form != SERIES_JSON)
        return;
    json_put_string(&series->json, "deviceId", decisions->device_id);
    json_put_time(&series->json, "from", (struct wall){decisions->query.from_ms});
    json_put_time(&series->json, "to", (struct wall){decisions->query.to_ms});
    series_items(series);
}

static bool pour_rows(struct decisions *decisions, int64_t next_ms) {
    int count = PAGE;
    while (count == PAGE && !decisions->series.more) {
        if (reader_rulings(decisions->reader, decisions->recorded.number, next_ms,
                           decisions->query.to_ms, PAGE, write_ruling, decisions,
                           &count) != ERR_OK ||
            !series_flush(&decisions->series))
            return false;
        next_ms = decisions->series.last_ms + 1;
    }
    return true;
}

static bool pour_decisions(struct exchange *x, struct stream *stream, void *context) {
    struct decisions *decisions = context;
    (void)x;
    /* What began before `from` and was in force then belongs to the answer. */
    int64_t next_ms = decisions->query.from_ms;
    if (decisions->query.after_ms != INT64_MIN)
        next_ms = decisions->query.after_ms + 1;
    else if (reader_ruling_at(decisions->reader, decisions->recorded.number, next_ms, &next_ms) !=
             ERR_OK)
        return false;
    series_start(&decisions->series, stream, &decisions->query);
    write_head(decisions);
    bool whole = pour_rows(decisions, next_ms) && series_end(&decisions->series, "");
    series_free(&decisions->series);
    return whole;
}

static void decisions_free(void *context) {
    struct decisions *decisions = context;
    reader_close(decisions->reader);
    free(decisions);
}

void api_decisions_get(struct exchange *x) {
    struct report report;
    struct decisions *decisions = calloc(1, sizeof *decisions);
    if (!decisions) {
        exchange_unavailable(x, 5, "The host is short of memory.");
        return;
    }
    report_init(&report);
    series_read(x, false, &decisions->query, &report);
    decisions->now_ms = x->now.wall.ms;
    if (!report_empty(&report))
        exchange_problem_report(x, 400, &report, "The query has mistakes.");
    else if (series_accept(x, &decisions->query))
        decisions->reader = series_device(x, &decisions->recorded, decisions->device_id);
    report_free(&report);
    if (!decisions->reader) {
        free(decisions);
        return;
    }
    exchange_stream(x, series_content_type(decisions->query.form), pour_decisions, decisions,
                    decisions_free);
}
