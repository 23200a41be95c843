/* What contacts and registers of a grid operator's box mean, worked by hand; and the form in which
 * the site file says it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/schema.h"
#include "operator/operator_reading.h"

static const struct operator_limit none;

static struct operator_limit limit(int32_t min, int32_t max) { /* 1: not limited */
    return (struct operator_limit){.has_min = min <= 0,
                                   .has_max = max >= 0,
                                   .min = min <= 0 ? min : 0,
                                   .max = max >= 0 ? max : 0};
}
#define AT_MOST(max)  limit(1, max)
#define AT_LEAST(min) limit(min, -1)

static struct operator_input silent(void) {
    struct operator_input input = {.heartbeat_before = NAN};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        input.values[i] = NAN;
    return input;
}

static void set(struct operator_input *input, enum point_id id, double value) {
    input->has[id] = true;
    input->values[id] = value;
}

static struct operator_site contacts(const struct operator_contact *list, size_t count) {
    struct operator_site site = {.present = true, .device = "box", .contact_count = count};
    memcpy(site.contacts, list, count * sizeof *list);
    return site;
}

static void assert_limit(const struct operator_reading *reading, struct operator_limit expected) {
    assert_true(reading->heard);
    assert_true(reading->states);
    assert_string_equal(reading->silence, "");
    assert_true(operator_same_limit(reading->limit, expected));
}

static void assert_silent(const struct operator_reading *reading) {
    assert_false(reading->heard);
    assert_string_not_equal(reading->silence, "");
}

/* --- contacts ----------------------------------------------------------------------------------
 */

static void closed_contacts_limit_together_the_strictest_each_way(void **state) {
    (void)state;
    const struct operator_contact list[] = {{1, false, AT_MOST(4200)},
                                            {2, false, AT_LEAST(-6000)},
                                            {3, false, AT_LEAST(-3000)},
                                            {4, true, AT_MOST(1000)}};
    const struct operator_site site = contacts(list, 4);
    static const struct {
        double closed[4];
        int32_t min, max;
    } rows[] = {
        {{0, 0, 0, 1}, 1, -1},     {{1, 0, 0, 1}, 1, 4200},     {{0, 1, 0, 1}, -6000, -1},
        {{0, 1, 1, 1}, -3000, -1}, {{1, 0, 1, 1}, -3000, 4200}, {{1, 1, 1, 0}, -3000, 1000},
        {{0, 0, 0, 0}, 1, 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct operator_input input = silent();
        for (int k = 0; k < 4; k++)
            set(&input, (enum point_id)(POINT_CONTACT_1 + k), rows[i].closed[k]);
        struct operator_reading reading = operator_read(&site, &input);
        assert_limit(&reading, limit(rows[i].min, rows[i].max));
    }
}

static void an_unknown_contact_is_no_open_one(void **state) {
    (void)state;
    const struct operator_contact list[] = {{1, false, AT_MOST(4200)}, {2, false, AT_MOST(0)}};
    const struct operator_site site = contacts(list, 2);
    struct operator_input input = silent();
    set(&input, POINT_CONTACT_1, 0);
    struct operator_reading reading = operator_read(&site, &input);
    assert_silent(&reading);
    assert_true(operator_same_limit(reading.limit, none));
    assert_string_equal(reading.silence, "contact 2 is unknown");
    set(&input, POINT_CONTACT_1, 1); /* what is known does not stand for the rest */
    reading = operator_read(&site, &input);
    assert_silent(&reading);
}

static void where_a_contact_means_no_limit_one_must_count(void **state) {
    (void)state;
    const struct operator_contact list[] = {
        {1, false, {0}}, {2, false, AT_LEAST(-6000)}, {3, false, AT_LEAST(0)}};
    const struct operator_site site = contacts(list, 3);
    struct operator_input input = silent();
    for (int i = 0; i < 3; i++)
        set(&input, (enum point_id)(POINT_CONTACT_1 + i), 0);
    struct operator_reading reading = operator_read(&site, &input);
    assert_silent(&reading);
    set(&input, POINT_CONTACT_1, 1);
    reading = operator_read(&site, &input);
    assert_limit(&reading, none);
    set(&input, POINT_CONTACT_3, 1);
    reading = operator_read(&site, &input);
    assert_limit(&reading, AT_LEAST(0));
}

/* --- registers ---------------------------------------------------------------------------------
 */

static const struct operator_site by_registers = {.present = true, .device = "box"};

static void registers_tell_magnitudes_rounded_toward_0(void **state) {
    (void)state;
    struct operator_input input = silent();
    set(&input, POINT_CONSUMPTION_LIMIT, 4200.9);
    set(&input, POINT_PRODUCTION_LIMIT, 3000.9);
    struct operator_reading reading = operator_read(&by_registers, &input);
    assert_limit(&reading, limit(-3000, 4200));
    set(&input, POINT_CONSUMPTION_LIMIT, 0);
    set(&input, POINT_PRODUCTION_LIMIT, 0);
    reading = operator_read(&by_registers, &input);
    assert_limit(&reading, limit(0, 0));
}

static void only_a_flag_says_that_there_is_no_limit(void **state) {
    (void)state;
    struct operator_input input = silent();
    set(&input, POINT_CONSUMPTION_LIMIT, NAN);
    struct operator_reading reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
    set(&input, POINT_CONSUMPTION_LIMIT_ACTIVE, NAN);
    set(&input, POINT_CONSUMPTION_LIMIT, 500);
    reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
    set(&input, POINT_CONSUMPTION_LIMIT_ACTIVE, 0);
    set(&input, POINT_CONSUMPTION_LIMIT, NAN);
    reading = operator_read(&by_registers, &input);
    assert_limit(&reading, none);
    set(&input, POINT_CONSUMPTION_LIMIT_ACTIVE, 1);
    reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
    set(&input, POINT_CONSUMPTION_LIMIT, 500);
    reading = operator_read(&by_registers, &input);
    assert_limit(&reading, AT_MOST(500));
}

static void one_direction_unknown_leaves_the_box_unheard(void **state) {
    (void)state;
    struct operator_input input = silent();
    set(&input, POINT_CONSUMPTION_LIMIT, 500);
    set(&input, POINT_PRODUCTION_LIMIT, NAN);
    struct operator_reading reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
    assert_false(reading.states);
    assert_true(operator_same_limit(reading.limit, none));
}

static void a_device_without_such_points_is_never_heard(void **state) {
    (void)state;
    struct operator_input input = silent();
    set(&input, POINT_CONTACT_1, 0);
    struct operator_reading reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
}

static void a_heartbeat_that_stands_still_is_none(void **state) {
    (void)state;
    struct operator_input input = silent();
    set(&input, POINT_CONSUMPTION_LIMIT, 500);
    set(&input, POINT_HEARTBEAT, 7);
    struct operator_reading reading = operator_read(&by_registers, &input);
    assert_silent(&reading); /* the first that is seen may be of long ago */
    assert_true(reading.states);
    assert_int_equal(reading.limit.max, 500);
    input.heartbeat_before = 7;
    reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
    input.heartbeat_before = 6;
    reading = operator_read(&by_registers, &input);
    assert_limit(&reading, AT_MOST(500));
    input.heartbeat_before = 65535; /* it begins anew */
    reading = operator_read(&by_registers, &input);
    assert_true(reading.heard);
    set(&input, POINT_HEARTBEAT, NAN);
    reading = operator_read(&by_registers, &input);
    assert_silent(&reading);
}

/* --- the site file -----------------------------------------------------------------------------
 */

static struct operator_site read_site(const char *text, size_t mistakes) {
    static const struct schema whole = {.kind = SCHEMA_OBJECT, .fields = operator_site_fields};
    struct operator_site site;
    struct report report;
    json_t *tree = json_loads(text, 0, NULL);
    assert_non_null(tree);
    report_init(&report);
    (void)schema_check(&whole, tree, "box", PATH_LUA, &report);
    operator_site_read(tree, "box", &site, &report);
    for (size_t i = 0; i < report.count && report.total != mistakes; i++)
        print_message("%s: %s\n", report.items[i].where, report.items[i].text);
    assert_int_equal(report.total, mistakes);
    report_free(&report);
    json_decref(tree);
    return site;
}

static void what_is_left_out_is_as_lpc_has_it(void **state) {
    (void)state;
    struct operator_site site =
        read_site("{\"source\": \"api\", \"failsafe\": {\"maxActivePower\": 4200}}", 0);
    assert_true(site.present);
    assert_int_equal(site.scope, SCOPE_CONTROLLABLE);
    assert_int_equal(site.priority, 3000);
    assert_int_equal(site.terms.heartbeat_ms, 120000);
    assert_int_equal(site.terms.duration_ms, 7200000);
    assert_true(operator_same_limit(site.terms.failsafe, AT_MOST(4200)));
    assert_string_equal(site.device, "");
}

static void everything_is_read(void **state) {
    (void)state;
    struct operator_site site = read_site(
        "{\"scope\": \"connection\", \"priority\": 3999, \"heartbeat\": 2.5, \"failsafe\": "
        "{\"maxActivePower\": 0, \"minActivePower\": 0, \"duration\": \"24h\"}, \"source\": "
        "{\"device\": \"box\", \"contacts\": [{\"contact\": 8, \"when\": \"open\", "
        "\"minActivePower\": -1}, {\"contact\": 8}]}}",
        0);
    assert_int_equal(site.scope, SCOPE_CONNECTION);
    assert_int_equal(site.priority, 3999);
    assert_int_equal(site.terms.heartbeat_ms, 2500);
    assert_int_equal(site.terms.duration_ms, OPERATOR_DURATION_MOST);
    assert_true(operator_same_limit(site.terms.failsafe, limit(0, 0)));
    assert_string_equal(site.device, "box");
    assert_int_equal(site.contact_count, 2);
    assert_int_equal(site.contacts[0].contact, 8);
    assert_true(site.contacts[0].when_open);
    assert_true(operator_same_limit(site.contacts[0].limit, AT_LEAST(-1)));
    assert_true(operator_limits_nothing(site.contacts[1].limit));
}

static void each_mistake_is_told(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t mistakes;
    } rows[] = {
        {"{}", 2},
        {"{\"source\": \"relay\", \"failsafe\": {\"maxActivePower\": 1}}", 1},
        {"{\"source\": 7, \"failsafe\": {\"maxActivePower\": 1}}", 1},
        {"{\"source\": \"api\", \"failsafe\": {}}", 1},
        {"{\"source\": \"api\", \"failsafe\": {\"maxActivePower\": -1}}", 1},
        {"{\"source\": \"api\", \"failsafe\": {\"minActivePower\": 1}}", 1},
        {"{\"source\": \"api\", \"failsafe\": {\"maxActivePower\": 1, \"duration\": \"1h\"}}", 1},
        {"{\"source\": \"api\", \"failsafe\": {\"maxActivePower\": 1, \"duration\": \"25h\"}}", 1},
        {"{\"source\": \"api\", \"failsafe\": {\"maxActivePower\": 1, \"duration\": \"2 h\"}}", 1},
        {"{\"source\": \"api\", \"priority\": 2999, \"failsafe\": {\"maxActivePower\": 1}}", 1},
        {"{\"source\": \"api\", \"heartbeat\": 121, \"failsafe\": {\"maxActivePower\": 1}}", 1},
        {"{\"source\": {}, \"failsafe\": {\"maxActivePower\": 1}}", 1},
        {"{\"source\": {\"device\": \"b\", \"contacts\": []}, \"failsafe\": {\"maxActivePower\": "
         "1}}",
         1},
        {"{\"source\": {\"device\": \"b\", \"contacts\": [{\"contact\": 0}]}, \"failsafe\": "
         "{\"maxActivePower\": 1}}",
         1},
        {"{\"source\": {\"device\": \"b\", \"contacts\": [{\"contact\": 1}, {\"contact\": 1}]}, "
         "\"failsafe\": {\"maxActivePower\": 1}}",
         1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        (void)read_site(rows[i].text, rows[i].mistakes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_contacts_limit_together_the_strictest_each_way),
        cmocka_unit_test(an_unknown_contact_is_no_open_one),
        cmocka_unit_test(where_a_contact_means_no_limit_one_must_count),
        cmocka_unit_test(registers_tell_magnitudes_rounded_toward_0),
        cmocka_unit_test(only_a_flag_says_that_there_is_no_limit),
        cmocka_unit_test(one_direction_unknown_leaves_the_box_unheard),
        cmocka_unit_test(a_device_without_such_points_is_never_heard),
        cmocka_unit_test(a_heartbeat_that_stands_still_is_none),
        cmocka_unit_test(what_is_left_out_is_as_lpc_has_it),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(each_mistake_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
