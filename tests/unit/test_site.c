/* The site file: what is taken, and what is said when it cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/luadata.h"
#include "site.h"

static struct site *parse(const char *text, struct report *report) {
    report_init(report);
    json_t *tree = luadata_load("site.lua", text, strlen(text), report);
    return tree ? site_parse(tree, "/etc/derd", report) : NULL;
}

static bool says(const struct report *report, const char *where, const char *text) {
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->items[i].where, where) == 0 && strstr(report->items[i].text, text))
            return true;
    for (size_t i = 0; i < report->count; i++)
        print_message("%s: %s\n", report->items[i].where, report->items[i].text);
    return false;
}

static const char whole[] =
    "return { http = { listen = '127.0.0.1:9000' }, store = { directory = 'state' },\n"
    "  clusters = { { key = 'home', name = 'Wall Street 5', mode = 'observe', devices = {\n"
    "    { key = 'grid', driver = 'eastron_sdm', link = 'tcp://10.0.0.1:502', role = 'grid' },\n"
    "    { key = 'box', driver = 'abb', link = 'tcp://10.0.0.2:502', unit = 3, as = 'x',\n"
    "      limits = { maxActivePower = 4200, maxCurrent = 16 }, fallback = { activePower = 0 },\n"
    "      phases = 1, serialNumber = '4711', parameters = { ratedPower = 11000 } } },\n"
    "  policies = { { key = 'solar', policy = 'solar_charging', priority = 500, grid = 'grid' } }\n"
    "} } }";

static void a_whole_site_is_taken_as_written(void **state) {
    (void)state;
    struct report report;
    struct site *site = parse(whole, &report);
    assert_non_null(site);
    assert_string_equal(site->listen, "127.0.0.1:9000");
    assert_string_equal(site->store_directory, "/etc/derd/state");
    const struct site_cluster *home = &site->clusters[0];
    assert_int_equal(home->device_count, 2);
    const struct site_device *box = home->devices[1];
    assert_string_equal(box->path, "home/box");
    assert_int_equal(box->unit, 3);
    assert_true(box->observe);
    assert_true(box->limits.max_active_power == 4200);
    assert_true(isnan(box->limits.min_active_power));
    assert_true(box->has_fallback && box->fallback.has_set && box->fallback.set == 0);
    assert_false(box->fallback.has_min);
    assert_string_equal(box->serial_number, "4711");
    assert_int_equal(home->policies[0].priority, 500);
    site_free(site);
    report_free(&report);
}

static void an_address_that_cannot_be_listened_on_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "127.0.0.128080",  "localhost:8080", "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:8080s", "[::1]:80",       ":80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct report report;
        char text[200];
        snprintf(text, sizeof text,
                 "return { http = { listen = '%s' }, store = { directory = '/s' }, clusters = {} }",
                 wrong[i]);
        assert_null(parse(text, &report));
        assert_true(says(&report, "http.listen", "an IPv4 address and a port"));
        report_free(&report);
    }
}

static void history_is_kept_as_long_as_the_site_says(void **state) {
    (void)state;
    struct report report;
    struct site *site = parse("return { store = { directory = '/s', history = { raw = '12h',"
                              "quarters = 'forever' } }, clusters = {} }",
                              &report);
    assert_non_null(site);
    assert_int_equal(site->retention.levels_ms[LEVEL_RAW], INT64_C(43200000));
    assert_int_equal(site->retention.levels_ms[LEVEL_MINUTES],
                     retention_default().levels_ms[LEVEL_MINUTES]);
    assert_int_equal(site->retention.levels_ms[LEVEL_QUARTERS], 0);
    site_free(site);
    report_free(&report);
    assert_null(parse("return { store = { directory = '/s', history = { raw = '5m', minutes = 3,"
                      "weeks = '1y', days = '1h' } }, clusters = {} }",
                      &report));
    assert_true(says(&report, "store.history.raw", "48h"));
    assert_true(says(&report, "store.history.minutes", "a text"));
    assert_true(says(&report, "store.history.weeks", "unknown key"));
    assert_true(says(&report, "store.history.days", "too short"));
    report_free(&report);
}

static void a_limit_of_zero_is_a_limit(void **state) {
    (void)state;
    struct report report;
    struct site *site =
        parse("return { store = { directory = '/s' }, clusters = { { key = 'h', devices = {"
              "{ key = 'a', driver = 'd', link = 'tcp://h:1', limits = { maxActivePower = 0 } },"
              "} } } }",
              &report);
    assert_non_null(site);
    assert_true(site->clusters[0].devices[0]->limits.max_active_power == 0);
    site_free(site);
    report_free(&report);
}

static void all_mistakes_are_told_at_once_with_their_places(void **state) {
    (void)state;
    struct report report;
    assert_null(parse("return { stor = {}, clusters = { { key = 'h', devices = {"
                      "{ key = 'a', driver = 5, link = 'tcp://h:1', unit = 256 } } } } }",
                      &report));
    assert_true(says(&report, "stor", "store"));
    assert_true(says(&report, "clusters[1].devices[1].driver", "a text"));
    assert_true(says(&report, "clusters[1].devices[1].unit", "255"));
    report_free(&report);
}

static void what_only_shows_between_entries_is_told_too(void **state) {
    (void)state;
    struct report report;
    assert_null(parse("return { store = { directory = '/s' }, clusters = { { key = 'h/h', devices ="
                      "{ { key = 'a', driver = 'd', link = 'tcp://h:1' },"
                      "  { key = 'a', driver = 'd', link = 'tcp://h:2' },"
                      "  { key = 'b', driver = 'e', link = 'tcp://h:1' },"
                      "  { key = 'c', driver = 'e', link = 'rfc1149://pigeon' },"
                      "  { key = 'f', driver = 'e', link = 'tcp://h:9',"
                      "    fallback = { minActivePower = 5, maxActivePower = 1 } } },"
                      " policies = { { key = 'p', policy = 'x', priority = 1000 } } } } }",
                      &report));
    assert_true(says(&report, "clusters[1].key", "URL"));
    assert_true(says(&report, "clusters[1].devices[2]", "is taken by clusters[1].devices[1]"));
    assert_true(says(&report, "clusters[1].devices[3]", "one machine has one driver"));
    assert_true(says(&report, "clusters[1].devices[4].link", "tcp://"));
    assert_true(says(&report, "clusters[1].devices[5].fallback", "above"));
    assert_true(says(&report, "clusters[1].policies[1].priority", "999"));
    report_free(&report);
}

static void limits_of_a_cluster_are_taken_as_written(void **state) {
    (void)state;
    struct report report;
    struct site *site = parse(
        "return { store = { directory = '/s' }, clusters = { { key = 'h', maxUncontrolledPower = 0,"
        " limits = { maxActivePower = 0, maxCurrent = 35, scope = 'controllable' }, devices = {"
        "{ key = 'a', driver = 'd', link = 'tcp://h:1', shareRank = 3, phaseRotation = 'STR',"
        "  failsafe = { maxActivePower = 1380 } } } },"
        " { key = 'hall', parent = 'h' } } }",
        &report);
    assert_non_null(site);
    const struct site_cluster *home = &site->clusters[0];
    assert_true(home->permanent.max == 0 && isnan(home->permanent.min));
    assert_true(home->permanent.current == 35);
    assert_int_equal(home->permanent.scope, SCOPE_CONTROLLABLE);
    assert_true(home->permanent.uncontrolled_import == 0);
    assert_string_equal(site->clusters[1].parent, "h");
    assert_true(isnan(site->clusters[1].permanent.max));
    const struct site_device *a = home->devices[0];
    assert_int_equal(a->share_rank, 3);
    assert_true(a->has_failsafe && a->failsafe.hi == 1380 && a->failsafe.lo == 0);
    /* STR: its L1 hangs on L2, its L2 on L3, its L3 on L1. */
    assert_int_equal(a->phases_of_site[0], 1);
    assert_int_equal(a->phases_of_site[1], 2);
    assert_int_equal(a->phases_of_site[2], 0);
    site_free(site);
    report_free(&report);
}

static void a_limit_that_could_not_be_kept_is_refused(void **state) {
    (void)state;
    struct report report;
    assert_null(parse("return { store = { directory = '/s' }, clusters = { { key = 'h',"
                      " limits = { maxActivePower = 4200 }, devices = {"
                      "{ key = 'a', driver = 'd', link = 'tcp://h:1', phaseRotation = 'L1' } } },"
                      " { key = 'i', parent = 'j' }, { key = 'j', parent = 'i' },"
                      " { key = 'k', parent = 'nowhere' },"
                      " { key = 'l', devices = {"
                      "{ key = 'a', driver = 'd', link = 'tcp://h:2', role = 'grid' },"
                      "{ key = 'b', driver = 'd', link = 'tcp://h:3', role = 'grid' } } } } }",
                      &report));
    assert_true(says(&report, "clusters[1].limits", "maxUncontrolledPower"));
    assert_true(says(&report, "clusters[1].devices[1].phaseRotation", "STR"));
    assert_true(says(&report, "clusters[2].parent", "part of itself"));
    assert_true(says(&report, "clusters[3].parent", "part of itself"));
    assert_true(says(&report, "clusters[4].parent", "no cluster with the key"));
    assert_true(says(&report, "clusters[5].devices[2]", "one grid meter"));
    report_free(&report);
}

static void proxies_are_addresses_and_nobody_is_one_by_default(void **state) {
    (void)state;
    struct report report;
    struct site *site = parse("return { http = { proxies = { '127.0.0.1', '10.1.0.0/16' } },"
                              " store = { directory = '/s' }, clusters = {} }",
                              &report);
    assert_non_null(site);
    assert_int_equal(site->proxies.count, 2);
    site_free(site);
    report_free(&report);
    site = parse("return { store = { directory = '/s' }, clusters = {} }", &report);
    assert_non_null(site);
    assert_int_equal(site->proxies.count, 0);
    site_free(site);
    report_free(&report);
    assert_null(
        parse("return { http = { proxies = { '127.0.0.1', 'proxy.local', '0.0.0.0/0', 7 } },"
              " store = { directory = '/s' }, clusters = {} }",
              &report));
    assert_true(says(&report, "http.proxies[2]", "\"proxy.local\""));
    assert_true(says(&report, "http.proxies[3]", "forge"));
    assert_true(says(&report, "http.proxies[4]", "a text"));
    report_free(&report);
}

static void parts_of_one_machine_may_share_link_and_unit(void **state) {
    (void)state;
    struct report report;
    struct site *site =
        parse("return { store = { directory = '/s' }, clusters = { { key = 'h', devices = {"
              "{ key = 'pv', driver = 'd', link = 'tcp://h:1', as = 'inverter' },"
              "{ key = 'bat', driver = 'd', link = 'tcp://h:1', as = 'battery' } } } } }",
              &report);
    assert_non_null(site);
    site_free(site);
    report_free(&report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_site_is_taken_as_written),
        cmocka_unit_test(an_address_that_cannot_be_listened_on_is_refused),
        cmocka_unit_test(history_is_kept_as_long_as_the_site_says),
        cmocka_unit_test(a_limit_of_zero_is_a_limit),
        cmocka_unit_test(all_mistakes_are_told_at_once_with_their_places),
        cmocka_unit_test(what_only_shows_between_entries_is_told_too),
        cmocka_unit_test(limits_of_a_cluster_are_taken_as_written),
        cmocka_unit_test(a_limit_that_could_not_be_kept_is_refused),
        cmocka_unit_test(proxies_are_addresses_and_nobody_is_one_by_default),
        cmocka_unit_test(parts_of_one_machine_may_share_link_and_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
