/* /metrics as text: the format, what is absent, what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/metrics.h"
#include "service/metrics_text.h"

#define NOW_MS 1700000000000

static struct buf text;

static int set_up(void **state) {
    (void)state;
    buf_init(&text, METRICS_MAXIMUM);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    buf_free(&text);
    return 0;
}

static void values_read_back_and_unknown_ones_are_absent(void **state) {
    (void)state;
    metrics_family(&text, "a_watts", METRIC_GAUGE, "Power.");
    metrics_sample(&text, "a_watts", "", 0);
    metrics_sample(&text, "a_watts", "b=\"c\"", -0.1);
    metrics_sample(&text, "a_watts", "b=\"d\"", NAN);
    metrics_sample(&text, "a_watts", "b=\"e\"", INFINITY);
    metrics_count(&text, "n_total", "", UINT64_MAX);
    assert_string_equal(buf_string(&text), "# HELP a_watts Power.\n# TYPE a_watts gauge\n"
                                           "a_watts 0\na_watts{b=\"c\"} -0.1\n"
                                           "n_total 18446744073709551615\n");
}

static void labels_are_escaped_and_one_that_does_not_fit_is_left_out_whole(void **state) {
    (void)state;
    char labels[METRICS_LABELS_SIZE] = "";
    char longest[METRICS_LABELS_SIZE];
    metrics_label(labels, "a", "x\"\\\ny");
    metrics_label(labels, "b", "z");
    assert_string_equal(labels, "a=\"x\\\"\\\\\\ny\",b=\"z\"");
    memset(longest, 'q', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    metrics_label(labels, "c", longest);
    assert_string_equal(labels, "a=\"x\\\"\\\\\\ny\",b=\"z\"");
}

static void a_histogram_is_cumulative_and_bounds_belong_to_their_bucket(void **state) {
    (void)state;
    struct histogram histogram = {0};
    metrics_histogram(&text, "h", "", &histogram);
    assert_string_equal(buf_string(&text), "");
    histogram_add(&histogram, 0);
    histogram_add(&histogram, histogram_bound_us(0));
    histogram_add(&histogram, histogram_bound_us(0) + 1);
    histogram_add(&histogram, -5);
    histogram_add(&histogram, INT64_C(60000000));
    metrics_histogram(&text, "h", "a=\"b\"", &histogram);
    assert_non_null(strstr(buf_string(&text), "h_bucket{a=\"b\",le=\"0.001\"} 3\n"
                                              "h_bucket{a=\"b\",le=\"0.005\"} 4\n"));
    assert_non_null(strstr(buf_string(&text), "h_bucket{a=\"b\",le=\"10\"} 4\n"
                                              "h_bucket{a=\"b\",le=\"+Inf\"} 5\n"
                                              "h_sum{a=\"b\"} 60.002001\n"
                                              "h_count{a=\"b\"} 5\n"));
}

/* --- devices --------------------------------------------------------------------------------- */

static struct device_card *card(const char *key, int64_t revision) {
    const struct card_words words = {.key = key, .driver = "acme"};
    struct device_card *made = device_card_new(&words, QUANTITIES_ALL);
    assert_non_null(made);
    made->type = DEVICE_BATTERY;
    made->revision = revision;
    return made;
}

static void publish(struct device_card *of, double power_w, int64_t invalid_ms) {
    struct flexibility now;
    live_read(of->live, &now);
    now.connection = CONNECTION_ONLINE;
    now.values[POINT_ACTIVE_POWER] = power_w;
    now.values[POINT_STATE_OF_CHARGE] = 50;
    now.values[POINT_ENERGY_IMPORT] = 2;
    now.values[POINT_STATE] = STATE_CHARGING;
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        now.invalid_ms[i] = invalid_ms;
    now.invalid_ms[POINT_ENERGY_IMPORT] = INT64_MAX;
    now.updated_at = (struct wall){NOW_MS - 1500};
    now.invalid_at = (struct wall){invalid_ms};
    live_publish(of->live, &now);
}

static struct directory *directory_of(size_t clusters, size_t devices) {
    struct directory *made = calloc(1, sizeof *made);
    assert_non_null(made);
    atomic_init(&made->references, 1);
    made->cluster_count = clusters;
    made->device_count = devices;
    made->clusters = calloc(clusters, sizeof *made->clusters);
    made->devices = calloc(devices, sizeof(void *));
    assert_true(made->clusters && made->devices);
    return made;
}

static bool never(void *context, const struct cluster_card *cluster) {
    return strcmp(cluster->key, context) != 0;
}

static bool has(const char *line) {
    return strstr(buf_string(&text), line) != NULL;
}

static void stale_values_are_absent_and_their_age_is_there(void **state) {
    (void)state;
    struct directory *directory = directory_of(1, 3);
    struct metrics_sources sources = {.directory = directory, .now = {.wall = {NOW_MS}}};
    snprintf(directory->clusters[0].key, KEY_SIZE, "home");
    directory->clusters[0].device_count = 3;
    directory->devices[0] = card("fresh", 0);
    directory->devices[1] = card("stale", 0);
    directory->devices[2] = card("never", 0);
    publish(directory->devices[0], -5.5, NOW_MS + 1);
    publish(directory->devices[1], 7, NOW_MS);
    metrics_write(&sources, &text);
    assert_true(has("derd_device_active_power_watts{cluster=\"home\",device=\"fresh\"} -5.5\n"));
    assert_true(has("derd_device_state_of_charge_ratio{cluster=\"home\",device=\"fresh\"} 0.5\n"));
    assert_true(has("derd_device_state{cluster=\"home\",device=\"fresh\",state=\"charging\"} 1\n"));
    assert_false(has("derd_device_active_power_watts{cluster=\"home\",device=\"stale\"}"));
    assert_false(has("derd_device_state_of_charge_ratio{cluster=\"home\",device=\"stale\"}"));
    assert_false(has("derd_device_state{cluster=\"home\",device=\"stale\""));
    assert_true(has("derd_device_sample_age_seconds{cluster=\"home\",device=\"stale\"} 1.5\n"));
    assert_true(has("derd_device_sample_stale{cluster=\"home\",device=\"stale\"} 1\n"));
    assert_true(has("derd_device_sample_stale{cluster=\"home\",device=\"fresh\"} 0\n"));
    /* What is read once holds as long as the device is connected. */
    assert_true(
        has("derd_device_energy_import_joules_total{cluster=\"home\",device=\"stale\"} 7200\n"));
    assert_false(has("derd_device_sample_age_seconds{cluster=\"home\",device=\"never\"}"));
    assert_false(has("derd_device_active_power_watts{cluster=\"home\",device=\"never\"}"));
    assert_false(has("derd_device_bound_max_watts{"));
    assert_false(has("{cluster=\"home\",device=\"never\",state="));
    assert_false(has("derd_ready")); /* of the host: for those who see all of it */
    directory_release(directory);
}

static void clusters_that_one_may_not_see_and_clashing_keys_are_not_there(void **state) {
    (void)state;
    struct directory *directory = directory_of(2, 4);
    struct metrics_sources sources = {
        .directory = directory, .now = {.wall = {NOW_MS}}, .sees = never, .context = "theirs"};
    snprintf(directory->clusters[0].key, KEY_SIZE, "theirs");
    snprintf(directory->clusters[1].key, KEY_SIZE, "ours");
    directory->clusters[0].device_count = 1;
    directory->clusters[1].first_device = 1;
    directory->clusters[1].device_count = 3;
    directory->devices[0] = card("a", 0);
    directory->devices[1] = card("a", 0);
    directory->devices[2] = card("a", 1); /* of the API, stands against the file's */
    directory->devices[3] = card("b", 1);
    metrics_write(&sources, &text);
    assert_false(has("theirs"));
    const char *first = strstr(buf_string(&text), "derd_device_info{cluster=\"ours\",device=\"a\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "derd_device_info{cluster=\"ours\",device=\"a\""));
    assert_true(has("derd_device_info{cluster=\"ours\",device=\"b\""));
    assert_true(has("derd_metrics_devices_left_out 0\n"));
    directory_release(directory);
}

static void devices_beyond_the_room_are_left_out_whole_and_counted(void **state) {
    (void)state;
    enum { COUNT = 4200 };
    struct directory *directory = directory_of(1, COUNT);
    struct metrics_sources sources = {.directory = directory, .now = {.wall = {NOW_MS}}};
    snprintf(directory->clusters[0].key, KEY_SIZE, "home");
    directory->clusters[0].device_count = COUNT;
    for (int i = 0; i < COUNT; i++) {
        char key[KEY_SIZE];
        snprintf(key, sizeof key, "d%d", i);
        directory->devices[i] = card(key, 0);
        publish(directory->devices[i], i, NOW_MS + 1);
    }
    metrics_write(&sources, &text);
    assert_false(text.failed);
    size_t shown = 0;
    size_t series = 0;
    for (const char *at = buf_string(&text); (at = strstr(at, "\nderd_device_info{")); at++)
        shown++;
    for (const char *at = buf_string(&text); (at = strstr(at, "\nderd_device_")); at++)
        series++;
    assert_true(shown > 1000 && shown < COUNT);
    assert_true(series <= METRICS_SERIES);
    char line[80];
    snprintf(line, sizeof line, "derd_metrics_devices_left_out %zu\n", COUNT - shown);
    assert_true(has(line));
    directory_release(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_read_back_and_unknown_ones_are_absent, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            labels_are_escaped_and_one_that_does_not_fit_is_left_out_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_histogram_is_cumulative_and_bounds_belong_to_their_bucket,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(stale_values_are_absent_and_their_age_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            clusters_that_one_may_not_see_and_clashing_keys_are_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(devices_beyond_the_room_are_left_out_whole_and_counted,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
