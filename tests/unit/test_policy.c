#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/policy.h"

#define NOW_MS INT64_C(1790000000000)

static void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("'%s' does not contain '%s'", text, part);
}

static json_t *tree(const char *json) {
    json_error_t error;
    json_t *value = json_loads(json, 0, &error);
    if (!value)
        fail_msg("%s in %s", error.text, json);
    return value;
}

/* All mistakes in one text, "where: text\n" each. */
static void mistakes(struct report *report, char text[2000]) {
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < report->count && length < 2000; i++)
        length += (size_t)snprintf(text + length, 2000 - length, "%s: %s\n", report->items[i].where,
                                   report->items[i].text);
    report_free(report);
}

/* ---- compiling ---- */

static const char whole[] =
    "{\"api\":1,\"name\":\"solar\",\"version\":\"2\",\"every\":10,\"after\":\"grid\",\"run\":true,"
    "\"parameters\":{\"grid\":{\"type\":\"device\",\"device\":\"meter\"},"
    "\"chargers\":{\"type\":\"devices\",\"device\":\"chargingStation\"},"
    "\"battery\":{\"type\":\"device\",\"device\":\"battery\",\"required\":false},"
    "\"delay\":{\"type\":\"number\",\"unit\":\"s\",\"min\":0,\"max\":3600,\"default\":60},"
    "\"label\":{\"type\":\"string\",\"default\":\"x\"},"
    "\"eager\":{\"type\":\"boolean\",\"default\":false}}}";

static struct policy *compile_whole(void) {
    struct report report;
    report_init(&report);
    json_t *json = tree(whole);
    struct policy *policy = policy_compile(json, "solar", &report);
    json_decref(json);
    char text[2000];
    mistakes(&report, text);
    if (!policy)
        fail_msg("%s", text);
    return policy;
}

static void a_whole_policy_compiles(void **state) {
    (void)state;
    struct policy *policy = compile_whole();
    assert_string_equal(policy->name, "solar");
    assert_string_equal(policy->version, "2");
    assert_int_equal(policy->every_ms, 10000);
    assert_int_equal(policy->lease_ms, 30000);
    assert_int_equal(policy->parameter_count, 6);
    assert_true(policy->after >= 0);
    assert_string_equal(policy->parameters[policy->after].name, "grid");
    policy_free(policy);
}

/* Compiles a tree that must fail and gives its mistakes. */
static void compile_bad(const char *json_text, char text[2000]) {
    struct report report;
    report_init(&report);
    json_t *json = tree(json_text);
    assert_null(policy_compile(json, "solar", &report));
    json_decref(json);
    mistakes(&report, text);
}

static void a_policy_without_a_clock_of_its_own_runs_each_5_s_with_a_lease_of_15_s(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    json_t *json = tree("{\"api\":1,\"name\":\"solar\",\"run\":true}");
    struct policy *policy = policy_compile(json, "solar", &report);
    assert_non_null(policy);
    assert_int_equal(policy->every_ms, 5000);
    assert_int_equal(policy->lease_ms, 15000);
    assert_int_equal(policy->after, POINT_NONE);
    policy_free(policy);
    json_decref(json);
    report_free(&report);
}

static void every_mistake_of_a_policy_is_found_at_once(void **state) {
    (void)state;
    char text[2000];
    compile_bad("{\"api\":2,\"name\":\"solar\",\"evry\":5,\"run\":true}", text);
    assert_contains(text, "api: ");
    assert_contains(text, "evry: ");
    compile_bad("{\"api\":1,\"name\":\"lunar\",\"after\":\"grid\",\"run\":5,\"parameters\":{"
                "\"policy\":{\"type\":\"string\"},\"a\":{\"type\":\"device\",\"default\":\"x\"},"
                "\"b\":{\"type\":\"number\",\"min\":5,\"max\":1},"
                "\"c\":{\"type\":\"number\",\"max\":1,\"default\":2},"
                "\"d\":{\"type\":\"string\",\"device\":\"meter\"}}}",
                text);
    assert_contains(text, "name: is 'lunar', but the file is called solar.lua");
    assert_contains(text, "run: a function(snapshot, params, state) was expected");
    assert_contains(text, "after: 'grid' is not a parameter of type device");
    assert_contains(text, "parameters.policy: ");
    assert_contains(text, "parameters.a: a device has no default");
    assert_contains(text, "parameters.b: min 5 is above max 1");
    assert_contains(text, "parameters.c.default: 2 is outside");
    assert_contains(text, "parameters.d: 'device' belongs to");
    compile_bad("{\"api\":1,\"name\":\"solar\",\"run\":true,\"parameters\":{"
                "\"a\":{\"type\":\"devise\"}}}",
                text);
    assert_contains(text, "parameters.a.type: ");
}

/* ---- parameters of an instance ---- */

static bool type_of(void *context, const char *key, enum device_type *type) {
    (void)context;
    if (strcmp(key, "grid") == 0)
        *type = DEVICE_METER;
    else if (strncmp(key, "wallbox", 7) == 0)
        *type = DEVICE_CHARGING_STATION;
    else
        return false;
    return true;
}

static json_t *parameters_of(const char *given, char text[2000]) {
    struct policy *policy = compile_whole();
    struct report report;
    report_init(&report);
    json_t *json = tree(given);
    json_t *result = policy_parameters(policy, json, "policies[1]", type_of, NULL, &report);
    json_decref(json);
    mistakes(&report, text);
    policy_free(policy);
    return result;
}

static void parameters_are_checked_and_defaults_filled_in(void **state) {
    (void)state;
    char text[2000];
    json_t *result = parameters_of("{\"key\":\"s\",\"policy\":\"solar\",\"priority\":500,"
                                   "\"grid\":\"grid\",\"chargers\":[\"wallbox\"],\"delay\":5}",
                                   text);
    json_t *expected = tree("{\"grid\":\"grid\",\"chargers\":[\"wallbox\"],\"delay\":5,"
                            "\"label\":\"x\",\"eager\":false}");
    assert_non_null(result);
    assert_true(json_equal(result, expected));
    json_decref(result);
    json_decref(expected);
}

static void every_mistake_of_the_parameters_is_found_at_once(void **state) {
    (void)state;
    char text[2000];
    assert_null(parameters_of("{\"grid\":\"wallbox\",\"chargers\":[\"wallbox\",\"cellar\","
                              "\"wallbox\"],\"delay\":-1,\"label\":5,\"eager\":1,\"reserv\":3}",
                              text));
    assert_contains(text, "policies[1].grid: 'wallbox' is a chargingStation; a meter was expected");
    assert_contains(text, "policies[1].chargers[2]: there is no device 'cellar'");
    assert_contains(text, "policies[1].chargers[3]: 'wallbox' is in the list twice");
    assert_contains(text, "policies[1].delay: -1 is outside 0..3600 s");
    assert_contains(text, "policies[1].label: ");
    assert_contains(text, "policies[1].eager: ");
    assert_contains(text, "policies[1].reserv: the policy 'solar' has no such parameter; it has ");
    assert_null(parameters_of("{\"chargers\":{}}", text));
    assert_contains(text, "policies[1].grid: is missing");
    assert_contains(text, "policies[1].chargers: a list of 1 to 64 device keys was expected");
}

/* ---- running ---- */

struct fixture {
    struct policy *policy;
    struct script *script;
    struct policy_device devices[2];
    struct policy_result result;
    char error[SCRIPT_ERROR_SIZE];
};

static struct policy_device device(const char *key, enum device_type type) {
    struct policy_device made = {.type = type};
    snprintf(made.key, sizeof made.key, "%s", key);
    made.flexibility.connection = CONNECTION_ONLINE;
    made.flexibility.invalid_at.ms = NOW_MS + 10000;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        made.flexibility.values[i] = NAN;
    return made;
}

/* A policy whose run() has this body; two devices, grid and wallbox. */
static void set_up(struct fixture *fixture, const char *body) {
    char text[4000];
    struct report report;
    *fixture = (struct fixture){0};
    report_init(&report);
    json_t *json = tree("{\"api\":1,\"name\":\"solar\",\"run\":true}");
    fixture->policy = policy_compile(json, "solar", &report);
    json_decref(json);
    snprintf(text, sizeof text, "return { run = function(snapshot, params, state)\n%s\nend }",
             body);
    fixture->script = script_open("solar.lua", text, strlen(text), NULL, &report);
    if (!fixture->script)
        fail_msg("%s", report.items[0].text);
    report_free(&report);
    fixture->devices[0] = device("grid", DEVICE_METER);
    fixture->devices[0].flexibility.values[POINT_ACTIVE_POWER] = -3000.5;
    fixture->devices[0].flexibility.updated_ms[POINT_ACTIVE_POWER] = NOW_MS - 1500;
    fixture->devices[1] = device("wallbox", DEVICE_CHARGING_STATION);
    fixture->devices[1].flexibility.values[POINT_STATE] = STATE_CHARGING;
    fixture->devices[1].flexibility.values[POINT_VOLTAGE_L1] =
        227; /* the ranges hold as they are */
    fixture->devices[1].flexibility.allowed =
        (struct ranges){.count = 2, .items = {{0, 0}, {1380, 11040}}};
}

static void tear_down(struct fixture *fixture) {
    policy_result_free(&fixture->result);
    script_close(fixture->script);
    policy_free(fixture->policy);
}

static enum script_outcome run(struct fixture *fixture, const json_t *state) {
    json_t *parameters = tree("{\"grid\":\"grid\",\"delay\":60}");
    struct now now = {.wall = {NOW_MS}, .mono = {1000}, .trusted = true};
    enum script_outcome outcome =
        policy_run(fixture->policy, fixture->script, parameters, state, now, 5, fixture->devices, 2,
                   &fixture->result, fixture->error);
    json_decref(parameters);
    return outcome;
}

/* The body must run and its assertions hold. */
static void expect_ok(const char *body) {
    struct fixture fixture;
    set_up(&fixture, body);
    if (run(&fixture, NULL) != SCRIPT_OK)
        fail_msg("%s", fixture.error);
    tear_down(&fixture);
}

static void expect_refused(const char *body, const char *part) {
    struct fixture fixture;
    set_up(&fixture, body);
    assert_int_equal(run(&fixture, NULL), SCRIPT_RAISED);
    assert_contains(fixture.error, "solar.lua");
    assert_contains(fixture.error, part);
    assert_int_equal(fixture.result.count, 0);
    assert_null(fixture.result.state);
    tear_down(&fixture);
}

static void the_snapshot_shows_what_is_known(void **state) {
    (void)state;
    expect_ok("assert(snapshot.now == 1790000000 and snapshot.elapsed == 5)\n"
              "local grid = snapshot.devices.grid\n"
              "assert(grid.type == 'meter' and grid.connection == 'online' and not grid.stale)\n"
              "assert(grid.activePower == -3000.5 and grid.voltageL1 == nil)\n"
              "assert(grid.at.activePower == 1789999998.5 and grid.age.activePower == 1.5)\n"
              "assert(grid.at.voltageL1 == nil and grid.age.voltageL1 == nil)\n"
              "assert(grid.state == 'unknown' and #grid.allowedRanges == 0)\n"
              "assert(grid.minActivePower == nil and grid.leastActivePower == nil)\n"
              "assert(snapshot.devices.roof == nil)\n"
              "assert(params.grid == 'grid' and params.delay == 60)\n"
              "return {}");
}

static void the_snapshot_shows_what_a_device_can_do(void **state) {
    (void)state;
    expect_ok(
        "local wallbox = snapshot.devices.wallbox\n"
        "assert(wallbox.type == 'chargingStation' and wallbox.state == 'charging')\n"
        "assert(wallbox.minActivePower == 0 and wallbox.maxActivePower == 11040)\n"
        "assert(wallbox.leastActivePower == 1380 and #wallbox.allowedRanges == 2)\n"
        "assert(wallbox.allowedRanges[2][1] == 1380 and wallbox.allowedRanges[2][2] == 11040)\n"
        "return {}");
}

static void values_past_their_trust_are_nil(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, "local grid = snapshot.devices.grid\n"
                     "assert(grid.stale and grid.activePower == nil and grid.state == 'unknown')\n"
                     "assert(grid.age.activePower == 1.5)\n"
                     "return {}");
    fixture.devices[0].flexibility.invalid_at.ms = NOW_MS;
    fixture.devices[0].flexibility.values[POINT_STATE] = STATE_RUNNING;
    if (run(&fixture, NULL) != SCRIPT_OK)
        fail_msg("%s", fixture.error);
    tear_down(&fixture);
}

static void proposals_are_taken_in_whole_watts_toward_zero(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture,
           "return { b = { device = 'wallbox', activePower = 2999.9, maxActivePower = 4000,\n"
           "  minActivePower = -1.9, minStateOfCharge = 10, maxStateOfCharge = 80.5, lease = 20,\n"
           "  onConflict = 'discard', reason = 'sun' },\n"
           "  a = { device = 'wallbox', maxActivePower = 0 } }");
    if (run(&fixture, NULL) != SCRIPT_OK)
        fail_msg("%s", fixture.error);
    assert_int_equal(fixture.result.count, 2);
    const struct proposal *a = &fixture.result.proposals[0];
    const struct proposal *b = &fixture.result.proposals[1];
    assert_string_equal(a->key, "a");
    assert_true(a->wish.has_max && a->wish.max == 0 && !a->wish.has_set && !a->wish.has_min);
    assert_int_equal(a->wish.on_conflict, ON_CONFLICT_CLAMP);
    assert_int_equal(a->lease_ms, 15000);
    assert_string_equal(a->reason, "");
    assert_string_equal(b->device, "wallbox");
    assert_true(b->wish.has_set && b->wish.set == 2999);
    assert_true(b->wish.has_min && b->wish.min == -1);
    assert_true(b->wish.has_max && b->wish.max == 4000);
    assert_true(b->wish.has_min_soc && b->wish.min_soc == 10);
    assert_true(b->wish.has_max_soc && b->wish.max_soc == 80.5);
    assert_int_equal(b->wish.on_conflict, ON_CONFLICT_DISCARD);
    assert_int_equal(b->lease_ms, 20000);
    assert_string_equal(b->reason, "sun");
    assert_false(b->wish.exclusive);
    tear_down(&fixture);
}

static void a_long_reason_is_cut(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, "return { a = { device = 'grid', activePower = 0,\n"
                     "  reason = string.rep('\\u{20ac}', 100) } }");
    assert_int_equal(run(&fixture, NULL), SCRIPT_OK);
    assert_int_equal(strlen(fixture.result.proposals[0].reason), 198);
    tear_down(&fixture);
}

static void a_wrong_proposal_is_told_by_key_and_field_and_nothing_is_taken(void **state) {
    (void)state;
#define WITH(fields) "return { car = { device = 'wallbox', " fields " } }"
    expect_refused(WITH("activePower = 0/0"), "proposal 'car', field activePower: is ");
    expect_refused(WITH("activePower = math.huge"), "proposal 'car', field activePower: is inf");
    expect_refused(WITH("activePower = '5'"), "field activePower: a number in W was expected");
    expect_refused(WITH("activePower = 1e12"), "field activePower: ");
    expect_refused(WITH("maxStateOfCharge = 101"),
                   "field maxStateOfCharge: is 101; a number from 0");
    expect_refused(WITH("activePower = 1, lease = 0"), "field lease: ");
    expect_refused(WITH("activePower = 1, exclusive = true"), "policies cannot be exclusive");
    expect_refused(WITH("activePower = 1, onConflict = 'merge'"), "is 'merge'; \"clamp\" or");
    expect_refused(WITH("activePwer = 1"), "field activePwer: there is no such field");
    expect_refused(WITH("activePower = 1, [1] = 2"), "there is no such field");
    expect_refused(WITH("activePower = 1, reason = {}"), "field reason: a text was expected");
    expect_refused(WITH("minActivePower = 2, maxActivePower = 1"),
                   "proposal 'car': minActivePower");
    expect_refused(WITH("activePower = 5, maxActivePower = 1"), "outside its own minimum");
    expect_refused(WITH("reason = 'x'"), "proposal 'car': asks for nothing");
    expect_refused("return { car = { activePower = 5 } }", "proposal 'car': 'device' is missing");
    expect_refused("return { car = { device = 'roof', activePower = 5 } }",
                   "field device: 'roof' is not one of the devices");
    expect_refused("return { car = 5 }", "proposal 'car': a table was expected, not a number");
    expect_refused("return { { device = 'wallbox', activePower = 5 } }",
                   "proposals: each needs a key of your own");
    expect_refused("return { [''] = { device = 'wallbox', activePower = 5 } }", "key of your own");
    expect_refused("return { good = { device = 'wallbox', activePower = 5 },\n"
                   "bad = { device = 'wallbox' } }",
                   "proposal 'bad'");
}

static void more_proposals_than_the_limit_are_refused(void **state) {
    (void)state;
    expect_refused("local p = {}\n"
                   "for i = 1, 65 do p['k' .. i] = { device = 'wallbox', activePower = i } end\n"
                   "return p",
                   "there are more than 64");
    expect_ok("local p = {}\n"
              "for i = 1, 64 do p['k' .. i] = { device = 'wallbox', activePower = i } end\n"
              "return p");
}

static void a_result_that_is_not_a_table_is_refused(void **state) {
    (void)state;
    expect_refused("return 5",
                   "it must return a table of proposals, {} for none; it returned number");
    expect_refused("", "it returned nothing");
    expect_refused("return nil", "it returned nil");
}

static void metatables_of_proposals_run_no_code(void **state) {
    (void)state;
    expect_ok(
        "local evil = { __index = function() error('ran') end,\n"
        "  __pairs = function() error('ran') end, __len = function() error('ran') end }\n"
        "return setmetatable({ car = setmetatable({ device = 'wallbox', activePower = 1 }, evil) },"
        " evil)");
}

static void state_goes_out_after_a_clean_run_and_comes_in_at_the_next(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, "state.count = (state.count or 0) + 1\nstate.last = { on = true }\nreturn {}");
    assert_int_equal(run(&fixture, NULL), SCRIPT_OK);
    json_t *kept = json_incref(fixture.result.state);
    policy_result_free(&fixture.result);
    assert_int_equal(run(&fixture, kept), SCRIPT_OK);
    json_t *expected = tree("{\"count\":2,\"last\":{\"on\":true}}");
    assert_true(json_equal(fixture.result.state, expected));
    json_decref(expected);
    json_decref(kept);
    tear_down(&fixture);
}

static void an_error_keeps_nothing_of_the_state(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, "state.count = state.count + 1\nerror('no sun')");
    json_t *before = tree("{\"count\":1}");
    assert_int_equal(run(&fixture, before), SCRIPT_RAISED);
    assert_contains(fixture.error, "solar.lua:3: no sun");
    assert_null(fixture.result.state);
    assert_int_equal(json_integer_value(json_object_get(before, "count")), 1);
    json_decref(before);
    tear_down(&fixture);
}

static void state_that_is_not_plain_or_too_large_is_refused(void **state) {
    (void)state;
    expect_refused("state.f = print return {}", "state: ");
    expect_refused("state.f = 0/0 return {}", "state: ");
    expect_refused("state.f = state return {}", "state: ");
    expect_refused("state.f = string.rep('x', 16384) return {}",
                   "state: is larger than 16384 bytes");
}

static void a_policy_that_never_ends_is_stopped_and_the_next_run_works(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, "if not state.calm then while true do end end\nreturn {}");
    assert_int_equal(run(&fixture, NULL), SCRIPT_OVERTIME);
    assert_contains(fixture.error, "solar.lua:2: run was stopped");
    json_t *calm = tree("{\"calm\":true}");
    assert_int_equal(run(&fixture, calm), SCRIPT_OK);
    json_decref(calm);
    tear_down(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_policy_compiles),
        cmocka_unit_test(a_policy_without_a_clock_of_its_own_runs_each_5_s_with_a_lease_of_15_s),
        cmocka_unit_test(every_mistake_of_a_policy_is_found_at_once),
        cmocka_unit_test(parameters_are_checked_and_defaults_filled_in),
        cmocka_unit_test(every_mistake_of_the_parameters_is_found_at_once),
        cmocka_unit_test(the_snapshot_shows_what_is_known),
        cmocka_unit_test(the_snapshot_shows_what_a_device_can_do),
        cmocka_unit_test(values_past_their_trust_are_nil),
        cmocka_unit_test(proposals_are_taken_in_whole_watts_toward_zero),
        cmocka_unit_test(a_long_reason_is_cut),
        cmocka_unit_test(a_wrong_proposal_is_told_by_key_and_field_and_nothing_is_taken),
        cmocka_unit_test(more_proposals_than_the_limit_are_refused),
        cmocka_unit_test(a_result_that_is_not_a_table_is_refused),
        cmocka_unit_test(metatables_of_proposals_run_no_code),
        cmocka_unit_test(state_goes_out_after_a_clean_run_and_comes_in_at_the_next),
        cmocka_unit_test(an_error_keeps_nothing_of_the_state),
        cmocka_unit_test(state_that_is_not_plain_or_too_large_is_refused),
        cmocka_unit_test(a_policy_that_never_ends_is_stopped_and_the_next_run_works)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
