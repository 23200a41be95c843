/* What a driver file may say and how it is told what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "driver_text.h"

#define HEAD                                                                                       \
    "api = 1, name = 'thing', version = '1', manufacturer = 'Maker', models = {'M'}, "             \
    "link = { kinds = {'tcp'} }, "
#define METER HEAD "type = 'meter', "
#define POWER "{ name = 'activePower', kind = 'input', address = 10, encoding = 'float32' }"

struct compiled {
    lua_State *L;
    struct driver *driver;
    struct report report;
};

static struct compiled compile_as(const char *name, const char *fields) {
    struct compiled compiled = {.L = driver_text_state()};
    char text[8000];
    snprintf(text, sizeof text, "return { %s }", fields);
    report_init(&compiled.report);
    compiled.driver = driver_text_compile(compiled.L, name, text, &compiled.report);
    return compiled;
}

static void compiled_free(struct compiled *compiled) {
    driver_release(compiled->driver);
    report_free(&compiled->report);
    lua_close(compiled->L);
}

static struct compiled good(const char *fields) {
    struct compiled compiled = compile_as("thing", fields);
    if (!compiled.driver)
        driver_text_print(&compiled.report);
    assert_non_null(compiled.driver);
    assert_true(report_empty(&compiled.report));
    return compiled;
}

static bool has_mistake(const struct report *report, const char *where, const char *words) {
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->items[i].where, where) == 0 && strstr(report->items[i].text, words))
            return true;
    return false;
}

/* The fields are refused with exactly one mistake, at `where`, that contains `words`. */
static void refused(const char *fields, const char *where, const char *words) {
    struct compiled compiled = compile_as("thing", fields);
    assert_null(compiled.driver);
    if (compiled.report.total != 1 || !has_mistake(&compiled.report, where, words)) {
        driver_text_print(&compiled.report);
        fail_msg("expected only: %s: ...%s...", where, words);
    }
    compiled_free(&compiled);
}

static void refused_point(const char *fields, const char *where, const char *words) {
    char text[2000];
    snprintf(text, sizeof text, METER "points = { " POWER ", { %s } }", fields);
    refused(text, where, words);
}

static void the_smallest_meter_compiles(void **state) {
    (void)state;
    struct compiled compiled = good(METER "points = { " POWER " }");
    const struct driver *driver = compiled.driver;
    assert_string_equal(driver->name, "thing");
    assert_string_equal(driver->manufacturer, "Maker");
    assert_int_equal(driver->part_count, 1);
    assert_int_equal(driver->parts[0].type, DEVICE_METER);
    assert_false(driver->parts[0].control.present);
    assert_false(driver->hook_values);
    assert_int_equal(driver->point_count, 1);
    const struct point *point = &driver->points[0];
    assert_int_equal(point->id, POINT_ACTIVE_POWER);
    assert_int_equal(point->kind, REGISTER_INPUT);
    assert_int_equal(point->address, 10);
    assert_int_equal(point->words, 2);
    assert_int_equal(point->scale_point, POINT_NONE);
    assert_int_equal(point->period_ms, 1000);
    assert_true(point->scale == 1);
    compiled_free(&compiled);
}

static void the_link_has_careful_defaults(void **state) {
    (void)state;
    struct compiled compiled = good(METER "points = { " POWER " }");
    const struct driver *driver = compiled.driver;
    assert_int_equal(driver->links, 1U << LINK_TCP);
    assert_int_equal(driver->timeout_ms, 1000);
    assert_int_equal(driver->pause_ms, 0);
    assert_int_equal(driver->in_flight, 1);
    assert_int_equal(driver->limits.max_words, 100);
    assert_int_equal(driver->limits.max_gap, 8);
    assert_int_equal(driver->limits.hole_count, 0);
    assert_false(driver->sunspec);
    compiled_free(&compiled);
}

static void the_link_says_its_limits_and_holes(void **state) {
    (void)state;
    struct compiled compiled =
        good("api = 1, name = 'thing', version = '1', manufacturer = 'Maker', models = {'M'}, "
             "type = 'meter', points = { " POWER " }, "
             "link = { kinds = {'tcp', 'serial'}, timeout = 2.5, pause = 0.02, inFlight = 4, "
             "maxBlock = 60, maxGap = 0, holes = { { kind = 'input', first = 5, last = 9 } } }");
    const struct driver *driver = compiled.driver;
    assert_true(driver->links & 1U << LINK_SERIAL);
    assert_int_equal(driver->timeout_ms, 2500);
    assert_int_equal(driver->pause_ms, 20);
    assert_int_equal(driver->in_flight, 4);
    assert_int_equal(driver->limits.max_words, 60);
    assert_int_equal(driver->limits.max_gap, 0);
    assert_int_equal(driver->limits.hole_count, 1);
    assert_int_equal(driver->limits.holes[0].kind, REGISTER_INPUT);
    assert_int_equal(driver->limits.holes[0].last, 9);
    compiled_free(&compiled);
}

static void all_mistakes_are_told_at_once_with_their_places(void **state) {
    (void)state;
    struct compiled compiled = compile_as(
        "thing", "api = 1, name = 'other', version = 5, manufacturer = 'Maker', models = {'M'}, "
                 "colour = 'red', type = 'metre', link = { kinds = {'pigeon'}, maxBlock = 126 }, "
                 "points = { { name = 'activePower', address = 70000, encoding = 'float31' }, "
                 "{ name = 'aktivePower', address = 1, encoding = 'uint16' }, "
                 "{ name = 'frequency', address = 2, encoding = 'uint16', unit = 'kW' } }, "
                 "parameters = { ratedPower = { min = 5, max = 1 } }, "
                 "hooks = { valuse = function() end }");
    assert_null(compiled.driver);
    const struct report *report = &compiled.report;
    assert_true(has_mistake(report, "name", "other"));
    assert_true(has_mistake(report, "version", "expected"));
    assert_true(has_mistake(report, "colour", ""));
    assert_true(has_mistake(report, "type", "meter"));
    assert_true(has_mistake(report, "link.kinds[1]", "tcp"));
    assert_true(has_mistake(report, "link.maxBlock", "125"));
    assert_true(has_mistake(report, "points[1].address", "65535"));
    assert_true(has_mistake(report, "points[1].encoding", "float32"));
    assert_true(has_mistake(report, "points[2].name", "activePower"));
    assert_true(has_mistake(report, "points[3].unit", "Hz"));
    assert_true(has_mistake(report, "parameters.ratedPower", "above max"));
    assert_true(has_mistake(report, "hooks.valuse", "values"));
    assert_int_equal(report->total, 12);
    compiled_free(&compiled);
}

static void another_api_is_refused_and_nothing_else_is_said(void **state) {
    (void)state;
    refused("api = 2, name = 'thing', nonsense = true", "api", "api = 1");
    refused("name = 'thing'", "api", "api = 1");
}

static void a_unit_is_converted_into_that_of_the_vocabulary(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER "points = { { name = 'energyImport', address = 1, encoding = 'uint32', "
                   "unit = 'kWh', scale = 0.1, offset = 2 } }");
    const struct point *point = &compiled.driver->points[0];
    assert_true(fabs(point->scale - 100) < 1e-9);
    assert_true(fabs(point->offset - 2000) < 1e-9);
    compiled_free(&compiled);
}

static void markers_are_patterns_of_the_encoding(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER "points = { { name = 'frequency', address = 1, encoding = 'int16', "
                   "notAvailable = {-32768, 0x7FFF} }, "
                   "{ name = '_all', address = 9, encoding = 'uint64', notAvailable = {-1} } }");
    assert_int_equal(compiled.driver->points[0].marker_count, 2);
    assert_int_equal(compiled.driver->points[0].markers[0], 0x8000);
    assert_int_equal(compiled.driver->points[0].markers[1], 0x7FFF);
    assert_true(compiled.driver->points[1].markers[0] == UINT64_MAX);
    compiled_free(&compiled);
    refused_point("name = 'frequency', address = 1, encoding = 'uint16', notAvailable = {0x10000}",
                  "points[2].notAvailable[1]", "16 bits");
}

static void a_state_names_its_raw_values(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER "points = { { name = 'state', address = 1, encoding = 'uint16', "
                   "values = { 'off', 'running' } } }");
    assert_int_equal(compiled.driver->points[0].value_count, 2);
    assert_int_equal(compiled.driver->points[0].values[1].raw, 2);
    assert_int_equal(compiled.driver->points[0].values[1].state, STATE_RUNNING);
    compiled_free(&compiled);
    refused_point("name = 'state', address = 1, encoding = 'uint16'", "points[2].values",
                  "missing");
    refused_point("name = 'state', address = 1, encoding = 'uint16', values = { [7] = 'of' }",
                  "points[2].values[\"7\"]", "off");
}

static void what_cannot_be_read_is_refused(void **state) {
    (void)state;
    refused_point("name = 'model', address = 1, encoding = 'string'", "points[2].length",
                  "missing");
    refused_point("name = 'model', address = 65535, encoding = 'string', length = 2",
                  "points[2].address", "65535");
    refused_point("name = '_x', kind = 'coil', address = 1, encoding = 'uint16'",
                  "points[2].encoding", "bit");
    refused_point("name = '_x', address = 1, encoding = 'bit'", "points[2].encoding", "mask");
    refused_point("name = '_x', address = 1", "points[2].encoding", "missing");
    refused_point("name = 'frequency', address = 1, encoding = 'string', length = 2",
                  "points[2].encoding", "number");
    refused_point("name = 'frequency', address = 1, encoding = 'uint16', scale = 0",
                  "points[2].scale", "0");
    refused_point("name = 'frequency', address = 1, encoding = 'uint16', mask = 0x10000",
                  "points[2].mask", "wider");
    refused_point("name = '_x', address = 1, encoding = 'uint16', model = 103", "points[2].model",
                  "link.sunspec");
    refused_point("name = '_x', address = 1, encoding = 'uint16', period = 'often'",
                  "points[2].period", "once");
    refused_point("name = '_x', address = 1, encoding = 'uint16', period = 0.001",
                  "points[2].period", "0.1");
    refused_point("name = 'frequency', address = 1, encoding = 'uint16', period = 'never'",
                  "points[2].period", "read");
}

static void a_name_stands_for_one_point(void **state) {
    (void)state;
    refused_point("name = 'activePower', address = 1, encoding = 'uint16'", "points[2].name",
                  "points[1]");
}

static void what_cannot_be_written_is_refused(void **state) {
    (void)state;
    refused_point("name = '_x', kind = 'input', address = 1, encoding = 'uint16', "
                  "writable = { min = 0, max = 1 }",
                  "points[2].writable", "holding");
    refused_point("name = '_x', address = 1, encoding = 'uint16', writable = { min = 0 }",
                  "points[2].writable.max", "");
    refused_point("name = '_x', address = 1, encoding = 'uint16', writable = { min = 2, max = 1 }",
                  "points[2].writable", "above");
    refused_point("name = '_x', address = 1, encoding = 'uint16', scale = 0.1, "
                  "writable = { min = 0, max = 7000 }",
                  "points[2].writable.max", "fit");
    refused_point("name = '_x', address = 1, encoding = 'uint32', write = 'single', "
                  "writable = { min = 0, max = 1 }",
                  "points[2].write", "multiple");
    refused_point("name = '_x', address = 1, encoding = 'uint16', readBack = false",
                  "points[2].readBack", "writable");
}

#define WRITTEN                                                                                    \
    "name = '_set', address = 1, encoding = 'uint16', unit = 'A', "                                \
    "writable = { min = 0, max = 32 }, "
#define METER_WITH(point)                                                                          \
    METER "points = { " POWER ", { " WRITTEN " readBack = '_shown' }, { " point " } }"

static void another_point_may_show_what_was_written(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER_WITH("name = '_shown', address = 9, encoding = 'uint32', unit = 'A', "
                        "scale = 0.001, period = 'never'"));
    assert_true(compiled.driver->points[1].read_back);
    assert_int_equal(compiled.driver->points[1].read_back_point, 2);
    assert_int_equal(compiled.driver->points[0].read_back_point, POINT_NONE);
    compiled_free(&compiled);
    compiled = good(METER "points = { " POWER ", { " WRITTEN " readBack = true } }");
    assert_true(compiled.driver->points[1].read_back);
    assert_int_equal(compiled.driver->points[1].read_back_point, POINT_NONE);
    compiled_free(&compiled);
    compiled = good(METER "points = { " POWER ", { " WRITTEN " readBack = false } }");
    assert_false(compiled.driver->points[1].read_back);
    compiled_free(&compiled);
}

static void what_cannot_show_a_written_value_is_refused(void **state) {
    (void)state;
    refused_point(WRITTEN "readBack = '_nowhere'", "points[2].readBack", "_nowhere");
    refused_point(WRITTEN "readBack = 1", "points[2].readBack", "name of the point");
    refused(METER_WITH("name = '_shown', address = 9, encoding = 'uint16', unit = 'W'"),
            "points[2].readBack", "in \"W\"");
    refused(METER_WITH("name = '_shown', address = 9, encoding = 'string', length = 2"),
            "points[2].readBack", "not a number");
    refused_point("name = '_x', address = 1, encoding = 'uint16', readBack = 'activePower'",
                  "points[2].readBack", "writable");
}

static void one_register_is_written_by_function_6_and_more_by_16(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER "points = { " POWER ", "
                   "{ name = '_a', address = 1, encoding = 'int16', writable = {min=-5, max=5} }, "
                   "{ name = '_b', address = 2, encoding = 'uint32', writable = {min=0, max=5} }, "
                   "{ name = '_c', address = 4, encoding = 'uint16', writable = {min=0, max=5}, "
                   "write = 'multiple', readBack = false, period = 'never' }, "
                   "{ name = '_d', kind = 'coil', address = 4, writable = {min=0, max=1} } }");
    const struct point *points = compiled.driver->points;
    assert_int_equal(points[1].write_function, 6);
    assert_int_equal(points[2].write_function, 16);
    assert_int_equal(points[3].write_function, 16);
    assert_int_equal(points[4].write_function, 5);
    assert_true(points[1].read_back);
    assert_false(points[3].read_back);
    compiled_free(&compiled);
}

static void periods_by_default_follow_what_a_point_is(void **state) {
    (void)state;
    struct compiled compiled = good(
        METER "points = { " POWER ", "
              "{ name = 'energyImport', address = 1, encoding = 'uint32' }, "
              "{ name = 'serialNumber', address = 3, encoding = 'uint32' }, "
              "{ name = 'ratedPower', address = 5, encoding = 'uint32', period = 60 }, "
              "{ name = '_order', address = 7, encoding = 'uint16', writable = {min=0, max=1} }, "
              "{ name = '_seen', address = 8, encoding = 'uint16' } }");
    const struct point *points = compiled.driver->points;
    assert_int_equal(points[0].period_ms, 1000);
    assert_int_equal(points[1].period_ms, 10000);
    assert_int_equal(points[2].period_ms, 0);
    assert_int_equal(points[3].period_ms, 60000);
    assert_int_equal(points[4].period_ms, POINT_NEVER);
    assert_int_equal(points[5].period_ms, 1000);
    compiled_free(&compiled);
}

static void a_scale_factor_is_read_with_the_fastest_point_that_it_scales(void **state) {
    (void)state;
    struct compiled compiled = good(
        METER "points = { { name = '_sf', address = 1, encoding = 'int16' }, "
              "{ name = 'energyImport', address = 2, encoding = 'uint32', scaleFactor = '_sf' }, "
              "{ name = 'activePower', address = 4, encoding = 'int16', scaleFactor = '_sf', "
              "period = 2 } }");
    assert_int_equal(compiled.driver->points[0].period_ms, 2000);
    assert_int_equal(compiled.driver->points[1].scale_point, 0);
    assert_int_equal(compiled.driver->points[2].scale_point, 0);
    compiled_free(&compiled);
}

static void a_scale_factor_must_be_a_power_of_ten_that_exists(void **state) {
    (void)state;
    refused_point("name = 'frequency', address = 1, encoding = 'uint16', scaleFactor = '_sf'",
                  "points[2].scaleFactor", "_sf");
    refused(METER "points = { { name = 'frequency', address = 1, encoding = 'uint16', "
                  "scaleFactor = '_sf' }, { name = '_sf', address = 2, encoding = 'uint16' } }",
            "points[1].scaleFactor", "int16");
    refused(METER "points = { { name = '_sf', address = 2, encoding = 'int16', "
                  "scaleFactor = '_sf' } }",
            "points[1].scaleFactor", "power of ten");
}

#define SUNSPEC                                                                                    \
    "api = 1, name = 'thing', version = '1', manufacturer = 'Maker', models = {'M'}, "             \
    "link = { kinds = {'tcp'}, sunspec = { bases = {40000, 0} } }, type = 'meter', "

static void a_name_may_stand_in_several_models(void **state) {
    (void)state;
    struct compiled compiled = good(
        SUNSPEC "points = { { name = '_sf', model = {201, 203}, address = 9, encoding = 'int16' }, "
                "{ name = 'frequency', model = {201, 203}, address = 8, encoding = 'uint16', "
                "scaleFactor = '_sf' }, "
                "{ name = 'frequency', model = 211, address = 20, encoding = 'float32' } }");
    assert_true(compiled.driver->sunspec);
    assert_int_equal(compiled.driver->sunspec_base_count, 2);
    assert_int_equal(compiled.driver->sunspec_bases[0], 40000);
    assert_int_equal(compiled.driver->points[1].model_count, 2);
    assert_int_equal(compiled.driver->points[1].models[1], 203);
    assert_int_equal(compiled.driver->points[2].models[0], 211);
    compiled_free(&compiled);
    refused(SUNSPEC "points = { "
                    "{ name = 'frequency', model = {1, 2}, address = 8, encoding = 'uint16' }, "
                    "{ name = 'frequency', model = {2, 3}, address = 8, encoding = 'uint16' } }",
            "points[2].name", "different models");
    refused(SUNSPEC "points = { { name = '_sf', model = 201, address = 9, encoding = 'int16' }, "
                    "{ name = 'frequency', model = {201, 203}, address = 8, "
                    "encoding = 'uint16', scaleFactor = '_sf' } }",
            "points[2].scaleFactor", "models");
}

#define BATTERY                                                                                    \
    HEAD "type = 'battery', parameters = { _time = { unit = 's', min = 1, max = 9, default = 5 } " \
         "}, points = { " POWER ", "                                                               \
         "{ name = '_set', address = 1, encoding = 'int16', unit = 'kW', scale = 0.1, "            \
         "writable = { min = -10, max = 10 } }, "                                                  \
         "{ name = '_percent', address = 2, encoding = 'uint16', unit = '%', "                     \
         "writable = { min = 0, max = 100 } }, "                                                   \
         "{ name = '_mode', address = 3, encoding = 'uint16', writable = { min = 0, max = 2 } } "  \
         "}, "

static void controls_say_what_is_written_in_each_case(void **state) {
    (void)state;
    struct compiled compiled =
        good(BATTERY "controls = { charge = { { point = '_set', from = 'power' }, "
                     "{ point = '_mode', value = 2 } }, "
                     "limit = { { point = '_percent', from = 'maxChargePower', "
                     "percentOf = 'ratedPower', scale = -1 } }, "
                     "release = { { point = '_mode', parameter = '_time' } }, refresh = 30, "
                     "minInterval = 5, leastChange = 50, ramp = 100, writesPerDay = 500, lag = 4, "
                     "tolerance = 80, watchdog = true }, fallback = { activePower = 0 }");
    const struct driver_part *part = &compiled.driver->parts[0];
    const struct control *control = &part->control;
    assert_true(control->present);
    assert_int_equal(control->no_set_point, NO_SET_OWN_CONTROL);
    assert_int_equal(control->write_count[CONTROL_CHARGE], 2);
    assert_int_equal(control->write_count[CONTROL_DISCHARGE], 0);
    const struct control_write *set = &control->writes[CONTROL_CHARGE][0];
    assert_int_equal(set->source, SOURCE_POWER);
    assert_int_equal(set->point, 1);
    assert_true(fabs(set->scale - 0.001) < 1e-12); /* W into the register's kW */
    assert_int_equal(set->percent_of, POINT_NONE);
    assert_true(control->writes[CONTROL_CHARGE][1].value == 2);
    const struct control_write *limit = &control->writes[CONTROL_LIMIT][0];
    assert_int_equal(limit->percent_of, POINT_RATED_POWER);
    assert_true(limit->scale == -1);
    assert_int_equal(control->writes[CONTROL_RELEASE][0].parameter, 0);
    assert_int_equal(control->refresh_ms, 30000);
    assert_int_equal(control->min_interval_ms, 5000);
    assert_int_equal(control->least_change_w, 50);
    assert_int_equal(control->ramp_w_per_s, 100);
    assert_int_equal(control->writes_per_day, 500);
    assert_int_equal(control->lag_ms, 4000);
    assert_int_equal(control->tolerance_w, 80);
    assert_true(control->has_watchdog);
    assert_int_equal(control->failsafe_parameter, POINT_NONE);
    assert_true(part->has_fallback && part->fallback.has_set && !part->fallback.has_max);
    compiled_free(&compiled);
}

static void controls_that_mean_nothing_are_refused(void **state) {
    (void)state;
    refused(BATTERY "controls = {}", "controls", "nothing to write");
    refused(BATTERY "controls = { hold = { { point = '_sett', value = 0 } } }",
            "controls.hold[1].point", "_sett");
    refused(BATTERY "controls = { hold = { { point = 'activePower', value = 0 } } }",
            "controls.hold[1].point", "not writable");
    refused(BATTERY "controls = { hold = { { point = '_mode', value = 3 } } }",
            "controls.hold[1].value", "range");
    refused(BATTERY "controls = { hold = { { point = '_mode' } } }", "controls.hold[1]", "one of");
    refused(BATTERY "controls = { hold = { { point = '_mode', parameter = '_tim' } } }",
            "controls.hold[1].parameter", "_tim");
    refused(BATTERY "controls = { charge = { { point = '_set', from = 'current' } } }",
            "controls.charge[1].point", "\"A\"");
    refused(BATTERY "controls = { charge = { { point = '_percent', from = 'power', "
                    "percentOf = 'frequency' } } }",
            "controls.charge[1].percentOf", "ratedPower");
    refused(BATTERY "controls = { hold = { { point = '_mode', value = 0 } }, watchdog = true }",
            "controls.refresh", "watchdog");
    refused(BATTERY "controls = { hold = { { point = '_mode', value = 0 } }, refresh = 5, "
                    "watchdog = { current = '_tim' } }",
            "controls.watchdog", "parameter");
    refused(BATTERY "controls = { hold = { { point = '_mode', value = 0 } }, refresh = 5, "
                    "watchdog = { current = '_time', ownControlAfter = '_time' } }",
            "controls.watchdog", "parameter");
    refused(BATTERY "controls = { hold = { { point = '_mode', value = 0 } }, refresh = 5, "
                    "watchdog = 'yes' }",
            "controls.watchdog", "");
    refused(BATTERY "controls = { hold = { { point = '_mode', value = 0 } }, "
                    "withoutSetPoint = 'followsMax' }",
            "controls.withoutSetPoint", "charge");
    refused(METER "points = { " POWER " }, controls = { hold = {} }", "controls", "meter");
    refused(BATTERY "fallback = { minActivePower = 5, maxActivePower = 1 }", "fallback", "order");
}

#define STATION_POINTS                                                                             \
    HEAD "type = 'chargingStation', points = { " POWER ", "                                        \
         "{ name = '_current', address = 1, encoding = 'uint16', unit = 'A', "                     \
         "writable = { min = 0, max = 32 } }, "                                                    \
         "{ name = '_phases', address = 2, encoding = 'uint16', writable = { min = 1, max = 3 } "  \
         "} }, "
#define HOLD "hold = { { point = '_current', value = 0 } }"

static void a_station_may_let_the_host_choose_its_phases(void **state) {
    (void)state;
    struct compiled compiled =
        good(STATION_POINTS "controls = { phaseSwitching = true, "
                            "charge = { { point = '_phases', from = 'phases' }, "
                            "{ point = '_current', from = 'current' } }, " HOLD " }");
    const struct control *control = &compiled.driver->parts[0].control;
    assert_true(control->phase_switching);
    assert_int_equal(control->writes[CONTROL_CHARGE][0].source, SOURCE_PHASES);
    assert_true(control->writes[CONTROL_CHARGE][0].scale == 1);
    compiled_free(&compiled);
}

static void phases_are_chosen_by_stations_that_say_so(void **state) {
    (void)state;
    refused(STATION_POINTS "controls = { charge = { { point = '_phases', from = 'phases' } }, " HOLD
                           " }",
            "controls.charge[1].from", "phaseSwitching");
    refused(STATION_POINTS "controls = { phaseSwitching = true, "
                           "charge = { { point = '_current', from = 'current' } }, " HOLD " }",
            "controls.phaseSwitching", "\"phases\"");
    refused(STATION_POINTS "controls = { phaseSwitching = true, "
                           "charge = { { point = '_phases', from = 'phases' } }, "
                           "hold = { { point = '_phases', from = 'phases' } } }",
            "controls.hold[1].from", "charge");
    refused(STATION_POINTS "controls = { phaseSwitching = true, charge = { { point = '_phases', "
                           "from = 'phases', percentOf = 'ratedPower' } }, " HOLD " }",
            "controls.charge[1].percentOf", "percentage");
    refused(STATION_POINTS "controls = { phaseSwitching = 3, "
                           "charge = { { point = '_current', from = 'current' } }, " HOLD " }",
            "controls.phaseSwitching", "true");
    refused(BATTERY "controls = { phaseSwitching = true, "
                    "charge = { { point = '_mode', from = 'phases' } } }",
            "controls.phaseSwitching", "charging station");
}

#define PUMP HEAD "type = 'heatPump', points = { " POWER " }, "

static void a_heat_pump_may_say_what_it_cannot_go_below(void **state) {
    (void)state;
    struct compiled compiled = good(PUMP "mustRun = 500");
    const struct must_run *run = &compiled.driver->parts[0].must_run;
    assert_true(run->present && run->watts == 500);
    assert_int_equal(run->parameter, POINT_NONE);
    assert_int_equal(run->quantity, POINT_NONE);
    compiled_free(&compiled);
    compiled = good(PUMP "mustRun = '_least', "
                         "parameters = { _least = { unit = 'W', min = 0, max = 900 } }");
    assert_int_equal(compiled.driver->parts[0].must_run.parameter, 0);
    compiled_free(&compiled);
    compiled = good(PUMP "mustRun = 'ratedPower'");
    assert_int_equal(compiled.driver->parts[0].must_run.quantity, POINT_RATED_POWER);
    compiled_free(&compiled);
    compiled = good(PUMP "fallback = { activePower = 0 }");
    assert_false(compiled.driver->parts[0].must_run.present);
    compiled_free(&compiled);
}

static void what_cannot_be_a_least_power_is_refused(void **state) {
    (void)state;
    refused(PUMP "mustRun = 0", "mustRun", "1 to");
    refused(PUMP "mustRun = true", "mustRun", "expected W");
    refused(PUMP "mustRun = '_leest'", "mustRun", "_leest");
    refused(PUMP "mustRun = 'frequency'", "mustRun", "in W");
    refused(PUMP "mustRun = '_s', parameters = { _s = { unit = 's', min = 0, max = 9 } }",
            "mustRun", "in W");
    refused(METER "points = { " POWER " }, mustRun = 500", "mustRun", "heat pump");
}

#define PARTS                                                                                      \
    HEAD "points = { { name = 'serialNumber', address = 1, encoding = 'uint32' }, "                \
         "{ name = '_mode', address = 3, encoding = 'uint16', writable = { min = 0, max = 2 } } "  \
         "}, "

static void parts_have_their_own_points_and_share_those_of_the_machine(void **state) {
    (void)state;
    struct compiled compiled =
        good(PARTS "parts = { roof = { type = 'inverter', points = { " POWER " } }, "
                   "cells = { type = 'battery', points = { { name = 'activePower', address = 20, "
                   "encoding = 'int16' } }, "
                   "controls = { hold = { { point = '_mode', value = 0 } } } } }");
    const struct driver *driver = compiled.driver;
    assert_int_equal(driver->part_count, 2);
    int cells = driver_part_find(driver, "cells");
    int roof = driver_part_find(driver, "roof");
    assert_int_equal(driver->parts[cells].type, DEVICE_BATTERY);
    assert_int_equal(driver->parts[roof].type, DEVICE_INVERTER);
    assert_int_equal(driver_part_find(driver, "cellar"), POINT_NONE);
    assert_int_equal(driver_part_find(driver, ""), POINT_NONE);
    assert_int_equal(driver_text_point(driver, "cells", "activePower", 0)->address, 20);
    assert_int_equal(driver_text_point(driver, "roof", "activePower", 0)->address, 10);
    assert_int_equal(driver_text_point(driver, "roof", "serialNumber", 0)->part, POINT_NONE);
    assert_int_equal(driver->parts[cells].control.writes[CONTROL_HOLD][0].point, 1);
    assert_false(driver->parts[roof].control.present);
    compiled_free(&compiled);
}

static void mistakes_in_parts_name_the_part(void **state) {
    (void)state;
    refused(PARTS "type = 'meter', parts = { m = { type = 'meter', points = { " POWER " } } }",
            "type", "each part");
    refused(PARTS "parts = { m = { type = 'meter', points = { " POWER ", " POWER " } } }",
            "parts.m.points[2].name", "parts.m.points[1]");
    refused(PARTS "parts = { m = { type = 'meter', points = { { name = 'serialNumber', "
                  "address = 9, encoding = 'uint32' } } } }",
            "parts.m.points[1].name", "points[1]");
    refused(HEAD "points = { " POWER " }", "type", "parts");
}

static void a_fingerprint_is_an_integer_or_the_start_of_a_text(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER "points = { " POWER " }, fingerprints = { { kind = 'input', address = 4999, "
                   "encoding = 'uint16', equals = 0x0E03 }, { kind = 'holding', address = 7, "
                   "encoding = 'string', equals = 'SDM' } }");
    const struct driver_fingerprint *prints = compiled.driver->fingerprints;
    assert_int_equal(compiled.driver->fingerprint_count, 2);
    assert_int_equal(prints[0].raw, 0x0E03);
    assert_int_equal(prints[0].words, 1);
    assert_true(prints[1].is_text);
    assert_string_equal(prints[1].text, "SDM");
    assert_int_equal(prints[1].words, 2);
    compiled_free(&compiled);
    refused(METER "points = { " POWER " }, fingerprints = { { kind = 'input', address = 1, "
                  "encoding = 'uint16', equals = 'x' } }",
            "fingerprints[1].equals", "integer");
}

#define PARAMETERS                                                                                 \
    METER "points = { " POWER " }, parameters = { ratedPower = { min = 100, max = 9000 }, "        \
          "_time = { unit = 's', min = 1, max = 60, default = 10 } }"

static void parameters_of_the_site_file_are_checked_and_filled_in(void **state) {
    (void)state;
    struct compiled compiled = good(PARAMETERS);
    double values[DRIVER_MAX_PARAMETERS];
    json_t *given = json_pack("{s:i}", "ratedPower", 5000);
    assert_true(driver_parameters(compiled.driver, given, "devices[1].parameters", values,
                                  &compiled.report));
    for (int i = 0; i < compiled.driver->parameter_count; i++) {
        const struct driver_parameter *parameter = &compiled.driver->parameters[i];
        if (parameter->id == POINT_RATED_POWER)
            assert_true(values[i] == 5000 && strcmp(parameter->unit, "W") == 0);
        else
            assert_true(values[i] == 10);
    }
    json_decref(given);
    compiled_free(&compiled);
}

static void a_parameter_without_default_is_unknown_not_zero(void **state) {
    (void)state;
    struct compiled compiled = good(PARAMETERS);
    double values[DRIVER_MAX_PARAMETERS];
    assert_true(driver_parameters(compiled.driver, NULL, "parameters", values, &compiled.report));
    for (int i = 0; i < compiled.driver->parameter_count; i++)
        if (compiled.driver->parameters[i].id == POINT_RATED_POWER)
            assert_true(isnan(values[i]));
    compiled_free(&compiled);
}

static void wrong_parameters_are_told_with_their_place(void **state) {
    (void)state;
    struct compiled compiled = good(PARAMETERS);
    double values[DRIVER_MAX_PARAMETERS];
    json_t *given = json_pack("{s:i, s:i}", "ratedPowr", 5000, "_time", 61);
    assert_false(driver_parameters(compiled.driver, given, "devices[1].parameters", values,
                                   &compiled.report));
    assert_int_equal(compiled.report.total, 2);
    assert_true(has_mistake(&compiled.report, "devices[1].parameters.ratedPowr", "ratedPower"));
    assert_true(has_mistake(&compiled.report, "devices[1].parameters._time", "60"));
    json_decref(given);
    compiled_free(&compiled);
}

static void hooks_are_noted(void **state) {
    (void)state;
    struct compiled compiled =
        good(METER "points = { " POWER " }, hooks = { values = function() end }");
    assert_true(compiled.driver->hook_values);
    assert_false(compiled.driver->hook_command);
    compiled_free(&compiled);
}

static void what_is_not_a_table_is_no_driver(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    json_t *text = json_string("driver");
    assert_null(driver_compile(text, "thing", &report));
    assert_null(driver_compile(NULL, "thing", &report));
    assert_int_equal(report.total, 2);
    json_decref(text);
    report_free(&report);
}

/* Any value at any key: nothing may crash, everything must be refused or taken. */
static void nonsense_at_any_key_is_survived(void **state) {
    (void)state;
    static const char *const keys[] = {
        "name",       "version", "models",       "type",     "parts",    "link",        "points",
        "parameters", "hooks",   "fingerprints", "controls", "fallback", "manufacturer"};
    static const char *const values[] = {"1",
                                         "'x'",
                                         "true",
                                         "{}",
                                         "{1}",
                                         "{{}}",
                                         "{a={}}",
                                         "{a={points={{}}}}",
                                         "{'x', {name=3}}",
                                         "{sunspec=1}",
                                         "{kinds={1}}",
                                         "{holes={{}}}",
                                         "{charge={1}}",
                                         "{charge={{point=1}}}"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            char text[1000];
            snprintf(text, sizeof text, "%s %s = %s", BATTERY, keys[i], values[j]);
            struct compiled compiled = compile_as("thing", text);
            assert_true((compiled.driver != NULL) == report_empty(&compiled.report));
            compiled_free(&compiled);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_meter_compiles),
        cmocka_unit_test(the_link_has_careful_defaults),
        cmocka_unit_test(the_link_says_its_limits_and_holes),
        cmocka_unit_test(all_mistakes_are_told_at_once_with_their_places),
        cmocka_unit_test(another_api_is_refused_and_nothing_else_is_said),
        cmocka_unit_test(a_unit_is_converted_into_that_of_the_vocabulary),
        cmocka_unit_test(markers_are_patterns_of_the_encoding),
        cmocka_unit_test(a_state_names_its_raw_values),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(a_name_stands_for_one_point),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(another_point_may_show_what_was_written),
        cmocka_unit_test(what_cannot_show_a_written_value_is_refused),
        cmocka_unit_test(one_register_is_written_by_function_6_and_more_by_16),
        cmocka_unit_test(periods_by_default_follow_what_a_point_is),
        cmocka_unit_test(a_scale_factor_is_read_with_the_fastest_point_that_it_scales),
        cmocka_unit_test(a_scale_factor_must_be_a_power_of_ten_that_exists),
        cmocka_unit_test(a_name_may_stand_in_several_models),
        cmocka_unit_test(controls_say_what_is_written_in_each_case),
        cmocka_unit_test(controls_that_mean_nothing_are_refused),
        cmocka_unit_test(a_station_may_let_the_host_choose_its_phases),
        cmocka_unit_test(phases_are_chosen_by_stations_that_say_so),
        cmocka_unit_test(a_heat_pump_may_say_what_it_cannot_go_below),
        cmocka_unit_test(what_cannot_be_a_least_power_is_refused),
        cmocka_unit_test(parts_have_their_own_points_and_share_those_of_the_machine),
        cmocka_unit_test(mistakes_in_parts_name_the_part),
        cmocka_unit_test(a_fingerprint_is_an_integer_or_the_start_of_a_text),
        cmocka_unit_test(parameters_of_the_site_file_are_checked_and_filled_in),
        cmocka_unit_test(a_parameter_without_default_is_unknown_not_zero),
        cmocka_unit_test(wrong_parameters_are_told_with_their_place),
        cmocka_unit_test(hooks_are_noted),
        cmocka_unit_test(what_is_not_a_table_is_no_driver),
        cmocka_unit_test(nonsense_at_any_key_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
