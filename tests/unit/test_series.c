/* What a query for rows over time means, the forms it comes in, and how long levels are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/accept.h"
#include "api/series.h"
#include "telemetry/retention.h"

#define NOW INT64_C(1795795200000) /* 2026-11-27T16:00:00Z */
#define DAY INT64_C(86400000)

/* --- Accept ----------------------------------------------------------------------------------- */

static void accept_takes_what_is_liked_most(void **state) {
    (void)state;
    static const char *const offers[] = {"application/json", "application/x-ndjson", "text/csv"};
    static const struct {
        const char *accept;
        size_t chosen;
    } cases[] = {
        {NULL, 0},
        {"", 0},
        {"*/*", 0},
        {"application/json", 0},
        {"text/csv", 2},
        {"TEXT/CSV", 2},
        {"text/*", 2},
        {"application/x-ndjson, application/json", 0},
        {"application/x-ndjson, application/json;q=0.9", 1},
        {"text/html, text/csv;q=0.8, */*;q=0.1", 2},
        {"application/json;q=0, */*", 1},
        {"application/json ; charset=utf-8 ; q=0.5 , text/csv;q=0.6", 2},
        {"text/html", 3},
        {"image/*, text/plain;q=1", 3},
        {"text/csv;q=0", 3},
        {"application", 3},
        {";q=1,,", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t chosen = accept_choose(cases[i].accept, offers, 3);
        if (chosen != cases[i].chosen)
            fail_msg("%s: %zu, not %zu", cases[i].accept, chosen, cases[i].chosen);
    }
}

/* --- queries ---------------------------------------------------------------------------------- */

/* The query of "name=value&name=value"; how many mistakes it has. */
static size_t ask(const char *text, bool levels, struct series_query *query) {
    static char copy[500];
    struct exchange *x = calloc(1, sizeof *x);
    struct report report;
    assert_non_null(x);
    report_init(&report);
    snprintf(copy, sizeof copy, "%s", text);
    x->now.wall.ms = NOW;
    char *rest = copy;
    for (char *pair; (pair = strtok_r(rest, "&", &rest));) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        x->request.queries[x->request.query_count].name = pair;
        x->request.queries[x->request.query_count++].value = value;
    }
    series_read(x, levels, query, &report);
    size_t mistakes = report.total;
    report_free(&report);
    free(x);
    return mistakes;
}

static void without_a_word_it_is_the_last_day_in_minutes(void **state) {
    (void)state;
    struct series_query query;
    assert_int_equal(ask("", true, &query), 0);
    assert_int_equal(query.to_ms, NOW);
    assert_int_equal(query.from_ms, NOW - DAY);
    assert_int_equal(query.level, LEVEL_MINUTES);
    assert_int_equal(query.limit, 0);
    assert_int_equal(query.after_ms, INT64_MIN);
    assert_int_equal(ask("to=2026-01-02T00:00:00Z", true, &query), 0);
    assert_int_equal(query.from_ms, query.to_ms - DAY);
}

static void the_range_chooses_the_resolution(void **state) {
    (void)state;
    struct series_query query;
    assert_int_equal(ask("from=2026-11-27T15:00:00Z", true, &query), 0);
    assert_int_equal(query.level, LEVEL_RAW);
    assert_int_equal(ask("from=2026-11-27T14:59:59Z", true, &query), 0);
    assert_int_equal(query.level, LEVEL_MINUTES);
    assert_int_equal(ask("from=2026-10-28T16:00:00Z", true, &query), 0);
    assert_int_equal(query.level, LEVEL_QUARTERS);
    assert_int_equal(ask("from=2026-10-27T15:59:59Z", true, &query), 0);
    assert_int_equal(query.level, LEVEL_DAYS);
    assert_int_equal(ask("from=2020-01-01T00:00:00Z&resolution=raw", true, &query), 0);
    assert_int_equal(query.level, LEVEL_RAW);
}

static void a_cursor_is_of_its_resolution(void **state) {
    (void)state;
    struct series_query query;
    /* "15m.1795795200000" */
    assert_int_equal(ask("cursor=MTVtLjE3OTU3OTUyMDAwMDA", true, &query), 0);
    assert_int_equal(query.level, LEVEL_QUARTERS);
    assert_int_equal(query.after_ms, NOW);
    assert_int_equal(ask("cursor=MTVtLjE3OTU3OTUyMDAwMDA&resolution=15m", true, &query), 0);
    assert_int_equal(ask("cursor=MTVtLjE3OTU3OTUyMDAwMDA&resolution=raw", true, &query), 1);
    assert_int_equal(ask("cursor=MTVtLjE3OTU3OTUyMDAwMDA", false, &query), 1);
    /* ".1795795200000" */
    assert_int_equal(ask("cursor=LjE3OTU3OTUyMDAwMDA", false, &query), 0);
    assert_int_equal(query.after_ms, NOW);
    assert_int_equal(ask("cursor=2026-11-27T16:00:00.000Z", true, &query), 0);
    assert_int_equal(query.after_ms, NOW);
    static const char *const wrong[] = {"cursor=", "cursor=x", "cursor=MTVt", "cursor=Lg",
                                        "cursor=MTVtLjE3OTU3OTUyMDAwMDAg"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(ask(wrong[i], true, &query), 1);
}

static void all_mistakes_come_at_once(void **state) {
    (void)state;
    struct series_query query;
    assert_int_equal(
        ask("from=now&to=2026-02-30T00:00:00Z&limit=1000001&resolution=5m&cursor=?", true, &query),
        5);
    assert_int_equal(ask("limit=-1", true, &query), 1);
    assert_int_equal(ask("limit=1e3", true, &query), 1);
    assert_int_equal(ask("limit=1000000", true, &query), 0);
    assert_int_equal(query.limit, 1000000);
    assert_int_equal(ask("from=2026-11-27T16:00:00Z", true, &query), 1); /* nothing before now */
    assert_int_equal(ask("from=2026-11-27T17:00:00%2B02:00", true, &query), 1); /* not decoded */
    assert_int_equal(ask("from=2026-11-27T17:00:00+02:00", true, &query), 0);
    assert_int_equal(query.from_ms, NOW - 3600000);
}

/* --- cells ------------------------------------------------------------------------------------ */

static void cells_are_quoted_where_they_must(void **state) {
    (void)state;
    struct series series;
    const struct series_query query = {.form = SERIES_CSV};
    series_start(&series, NULL, &query);
    assert_true(series_row(&series, 5));
    series_cell(&series, "plain");
    series_cell(&series, NULL);
    series_cell(&series, "a, \"b\"\nc");
    series_cell_number(&series, -1.5);
    series_cell_number(&series, __builtin_nan(""));
    series_cell_time(&series, NOW);
    series_cell_time(&series, 0);
    series_row_end(&series);
    assert_string_equal(buf_string(&series.page),
                        "plain,,\"a, \"\"b\"\"\nc\",-1.5,,2026-11-27T16:00:00.000Z,\r\n");
    series_free(&series);
}

/* --- retention -------------------------------------------------------------------------------- */

static size_t keep(const char *json, struct retention *retention, char first[200]) {
    struct report report;
    report_init(&report);
    json_t *tree = json ? json_loads(json, 0, NULL) : NULL;
    retention_read(tree, "store.history", retention, &report);
    size_t mistakes = report.total;
    snprintf(first, 200, "%s: %s", report.count ? report.items[0].where : "",
             report.count ? report.items[0].text : "");
    report_free(&report);
    json_decref(tree);
    return mistakes;
}

static void levels_are_kept_as_the_site_says(void **state) {
    (void)state;
    struct retention retention;
    char first[200];
    assert_int_equal(keep(NULL, &retention, first), 0);
    assert_int_equal(retention.levels_ms[LEVEL_RAW], 2 * DAY);
    assert_int_equal(retention.levels_ms[LEVEL_MINUTES], 30 * DAY);
    assert_int_equal(retention.levels_ms[LEVEL_QUARTERS], 730 * DAY);
    assert_int_equal(retention.levels_ms[LEVEL_DAYS], 0);
    assert_int_equal(retention.decisions_ms, 90 * DAY);
    assert_int_equal(keep("{\"raw\": \"12h\", \"quarters\": \"forever\", \"decisions\": \"1y\"}",
                          &retention, first),
                     0);
    assert_int_equal(retention.levels_ms[LEVEL_RAW], DAY / 2);
    assert_int_equal(retention.levels_ms[LEVEL_MINUTES], 30 * DAY);
    assert_int_equal(retention.levels_ms[LEVEL_QUARTERS], 0);
    assert_int_equal(retention.decisions_ms, 365 * DAY);
}

static void what_cannot_be_kept_is_told(void **state) {
    (void)state;
    struct retention retention;
    char first[200];
    static const char *const wrong[] = {"48", "h",   "0h",       "-1d", "1.5d",
                                        "2w", "2 d", "1000000h", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[80];
        snprintf(json, sizeof json, "{\"raw\": \"%s\"}", wrong[i]);
        assert_int_equal(keep(json, &retention, first), 1);
        assert_non_null(strstr(first, "store.history.raw: a number and h, d or y"));
        assert_int_equal(retention.levels_ms[LEVEL_RAW], 2 * DAY);
    }
    assert_int_equal(keep("{\"quarters\": \"24h\", \"minutes\": \"23h\"}", &retention, first), 2);
    assert_string_equal(first, "store.history.minutes: \"23h\" is too short: at least \"1d\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_takes_what_is_liked_most),
        cmocka_unit_test(without_a_word_it_is_the_last_day_in_minutes),
        cmocka_unit_test(the_range_chooses_the_resolution),
        cmocka_unit_test(a_cursor_is_of_its_resolution),
        cmocka_unit_test(all_mistakes_come_at_once),
        cmocka_unit_test(cells_are_quoted_where_they_must),
        cmocka_unit_test(levels_are_kept_as_the_site_says),
        cmocka_unit_test(what_cannot_be_kept_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
