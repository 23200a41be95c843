/* What comes from outside, read while memory runs out at the n-th request, for every n: site files,
 * drivers, policies, bodies, constraints, patches, webhooks. The answer is a mistake in words or
 * the right one, never half of it, and nothing crashes or leaks.
 *
 * Under the sanitizers the quick run leaves out most n of the long ones, others each time; --full
 * has every one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/body.h"
#include "api/draft.h"
#include "api/drafts.h"
#include "base/log.h"
#include "base/luadata.h"
#include "base/merge_patch.h"
#include "driver.h"
#include "memory.h"
#include "script/policy.h"
#include "script/script.h"
#include "site.h"
#include "webhooks/webhook.h"

#define FOREVER      INT64_MAX
#define SHORT        200 /* so many n are always tried */
#define DIGEST_SIZE  4000
#define N_MOST       1000000
#define TEXT_MAXIMUM 65536

#if defined(DERD_SANITIZED)
#define STEP_QUICK 17
#else
#define STEP_QUICK 1
#endif

static struct {
    int64_t step;
    int64_t n, count; /* what is to fail, from arm() to over() */
    int64_t failures; /* of the parse that is over */
} test;

/* Reads `text`. ERR_OK with a digest of what it found, ERR_FORMAT when it said why not, anything
 * else when it said nothing. Calls arm() before it begins and over() as soon as it has read. */
typedef enum err reader(const char *text, size_t length, char digest[DIGEST_SIZE]);

static void ignore_line(void *context, enum log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

static void arm(void) {
    memory_fail(test.n, test.count);
}

static void over(void) {
    test.failures = memory_failures();
    memory_fail(0, 0);
}

static enum err told(struct report *report) {
    bool words = report->total > 0;
    report_free(report);
    return words ? ERR_FORMAT : ERR_IO;
}

static void digest_tree(const json_t *tree, char digest[DIGEST_SIZE]) {
    char *text = json_dumps(tree, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    assert_non_null(text);
    snprintf(digest, DIGEST_SIZE, "%s", text);
    free(text);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static const struct now now = {{INT64_C(1795795200000)}, {1000000}, true};
static const struct door door = {
    .device_type = DEVICE_BATTERY, .has_soc = true, .controllable = true, .horizon_ms = 90000000};

static enum err read_body(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct problem problem = {0};
    arm();
    json_t *tree = body_parse(text, length, &problem);
    over();
    if (!tree)
        return problem.status >= 400 && problem.detail[0] ? ERR_FORMAT : ERR_IO;
    digest_tree(tree, digest);
    json_decref(tree);
    return ERR_OK;
}

static enum err read_draft(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct constraint draft;
    struct report report;
    (void)length;
    memset(&draft, 0, sizeof draft);
    report_init(&report);
    json_t *tree = json_loads(text, 0, NULL);
    assert_non_null(tree);
    arm();
    bool read = draft_read(tree, &door, now, &draft, &report);
    over();
    json_decref(tree);
    if (!read)
        return told(&report);
    constraint_version(&draft, digest);
    assert_int_equal(report.total, 0);
    report_free(&report);
    return ERR_OK;
}

static enum err read_drafts(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct drafts drafts;
    struct report report;
    (void)length;
    report_init(&report);
    json_t *tree = json_loads(text, 0, NULL);
    if (!tree) {
        over();
        return ERR_FORMAT;
    }
    bool read =
        drafts_read(json_object_get(tree, "constraints"), 1, 50, &door, now, &drafts, &report);
    over();
    json_decref(tree);
    for (size_t i = 0; read && i < drafts.count; i++)
        constraint_version(&drafts.items[i], digest + i * (CONSTRAINT_VERSION_SIZE - 1));
    drafts_free(&drafts);
    if (!read)
        return told(&report);
    report_free(&report);
    return ERR_OK;
}

static enum err read_patch(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    (void)length;
    json_t *tree = json_loads(text, 0, NULL);
    json_t *patched =
        tree ? merge_patch(json_object_get(tree, "target"), json_object_get(tree, "patch")) : NULL;
    over();
    if (patched)
        digest_tree(patched, digest);
    json_decref(tree);
    json_decref(patched);
    return patched ? ERR_OK : ERR_FORMAT;
}

static enum err read_webhook(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    static struct webhook webhook;
    (void)length;
    arm();
    bool read = webhook_read("0f8fad5b-d9cb-469f-a165-70867728950e", "owner", text, &webhook);
    over();
    if (!read)
        return ERR_FORMAT; /* its row is told to be unreadable */
    char *written = webhook_write(&webhook);
    assert_non_null(written);
    snprintf(digest, DIGEST_SIZE, "%s", written);
    free(written);
    return ERR_OK;
}

/* --- Lua -------------------------------------------------------------------------------------- */

static enum err read_data(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct report report;
    report_init(&report);
    arm();
    json_t *tree = luadata_load("site.lua", text, length, &report);
    over();
    if (!tree)
        return told(&report);
    digest_tree(tree, digest);
    json_decref(tree);
    report_free(&report);
    return ERR_OK;
}

static enum err read_site(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct report report;
    report_init(&report);
    arm();
    json_t *tree = luadata_load("site.lua", text, length, &report);
    struct site *site = tree ? site_parse(tree, "/nonexistent", &report) : NULL;
    over();
    if (!site)
        return told(&report);
    int at = snprintf(digest, DIGEST_SIZE, "%s %lld", site->listen, (long long)site->horizon_ms);
    for (size_t i = 0; i < site->cluster_count; i++) {
        const struct site_cluster *cluster = &site->clusters[i];
        at += snprintf(digest + at, DIGEST_SIZE - (size_t)at, " %s:%zu", cluster->key,
                       cluster->device_count);
        for (size_t j = 0; j < cluster->device_count; j++)
            at += snprintf(digest + at, DIGEST_SIZE - (size_t)at, " %s=%s",
                           cluster->devices[j]->key, cluster->devices[j]->driver);
    }
    site_free(site);
    report_free(&report);
    return ERR_OK;
}

/* The table that a script returned, or NULL with mistakes. */
static json_t *script_table(const char *name, const char *text, size_t length,
                            struct script **script, struct report *report) {
    struct script_limits limits = script_limits_default();
    limits.load_cpu_us = 60000000; /* a machine may be slow */
    report_init(report);
    *script = script_open(name, text, length, &limits, report);
    return *script ? script_tree(*script, report) : NULL;
}

static enum err read_driver(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct script *script;
    struct report report;
    arm();
    json_t *tree = script_table("driver.lua", text, length, &script, &report);
    const char *name = json_string_value(json_object_get(tree, "name"));
    struct driver *driver = tree ? driver_compile(tree, name ? name : "driver", &report) : NULL;
    over();
    if (driver) {
        int at = snprintf(digest, DIGEST_SIZE, "%s %d %d", driver->name, driver->part_count,
                          driver->parameter_count);
        for (int i = 0; i < driver->point_count; i++)
            at +=
                snprintf(digest + at, DIGEST_SIZE - (size_t)at, " %s@%u*%d", driver->points[i].name,
                         (unsigned)driver->points[i].address, (int)driver->points[i].words);
    }
    json_decref(tree);
    bool read = driver != NULL;
    driver_release(driver);
    if (script)
        script_close(script);
    if (!read)
        return told(&report);
    report_free(&report);
    return ERR_OK;
}

static enum err read_policy(const char *text, size_t length, char digest[DIGEST_SIZE]) {
    struct script *script;
    struct report report;
    arm();
    json_t *tree = script_table("policy.lua", text, length, &script, &report);
    const char *name = json_string_value(json_object_get(tree, "name"));
    struct policy *policy = tree ? policy_compile(tree, name ? name : "policy", &report) : NULL;
    over();
    if (policy)
        snprintf(digest, DIGEST_SIZE, "%d %lld %s", policy->parameter_count,
                 (long long)policy->every_ms,
                 policy->after == POINT_NONE ? "" : policy->parameters[policy->after].name);
    json_decref(tree);
    bool read = policy != NULL;
    policy_free(policy);
    if (script)
        script_close(script);
    if (!read)
        return told(&report);
    report_free(&report);
    return ERR_OK;
}

/* --- every n ---------------------------------------------------------------------------------- */

static void try_all(const char *what, reader *read, const char *text, int64_t count) {
    static char right[DIGEST_SIZE], digest[DIGEST_SIZE];
    size_t length = strlen(text);
    int64_t first = 1 + (int64_t)time(NULL) % test.step;
    memset(right, 0, sizeof right);
    test.n = 0;
    if (read(text, length, right) != ERR_OK)
        fail_msg("%s: it cannot be read at all", what);
    test.failures = 1;
    int64_t n = 1;
    for (; test.failures; n = n < SHORT ? n + 1 : n + (n == SHORT ? first : test.step)) {
        assert_true(n < N_MOST);
        memset(digest, 0, sizeof digest);
        test.n = n;
        test.count = count;
        enum err err = read(text, length, digest);
        if (err == ERR_OK && strcmp(digest, right) != 0)
            fail_msg("%s, at %lld: it was read wrongly without a word:\n%s\n%s", what, (long long)n,
                     digest, right);
        if (err != ERR_OK && err != ERR_FORMAT)
            fail_msg("%s, at %lld: it was refused without a word", what, (long long)n);
        if (err != ERR_OK && !test.failures)
            fail_msg("%s: it was refused without reason", what);
    }
    print_message("%s: n up to %lld\n", what, (long long)n);
}

/* In a process of its own each time: it may end with words. */
static void try_apart(const char *what, reader *read, const char *text) {
    static char right[DIGEST_SIZE], digest[DIGEST_SIZE];
    int64_t n = 1;
    int ended = 0, status = 0;
    test.n = 0;
    memset(right, 0, sizeof right);
    assert_int_equal(read(text, strlen(text), right), ERR_OK);
    for (bool any = true; any; n++) {
        assert_true(n < N_MOST);
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            memset(digest, 0, sizeof digest);
            test.n = n;
            test.count = FOREVER;
            enum err err = read(text, strlen(text), digest);
            bool good = err == ERR_OK ? strcmp(digest, right) == 0 : err == ERR_FORMAT;
            exit(!good ? 2 : test.failures ? 1 : 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        ended += WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) &&
            !(WIFEXITED(status) && WEXITSTATUS(status) < 2))
            fail_msg("%s, at %lld: it ended with %d", what, (long long)n, status);
        any = WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
    }
    assert_true(ended > 0);
    print_message("%s: n up to %lld, ended with words %d times\n", what, (long long)n, ended);
}

static void try_text(const char *what, reader *read, const char *text) {
    try_all(what, read, text, 1);
    try_all(what, read, text, FOREVER);
}

static void try_file(const char *name, reader *read) {
    char path[300];
    static char text[TEXT_MAXIMUM];
    snprintf(path, sizeof path, "%s/%s", DERD_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    try_text(name, read, text);
}

#define WISH                                                                                       \
    "{\"priority\": 3000, \"maxActivePower\": 5000, \"minActivePower\": -200, "                    \
    "\"minStateOfCharge\":"                                                                        \
    " 20.5, \"validFor\": 600, \"onConflict\": \"clamp\", \"reason\": \"gr\\u00e4d\"}"

static void bodies_and_constraints(void **state) {
    (void)state;
    try_apart("a body", read_body, "{\"list\": [1, 2.5, null, {\"a\": \"text\"}], \"b\": true}");
    try_text("a constraint", read_draft, WISH);
    try_text("constraints", read_drafts, "{\"constraints\": [" WISH ", " WISH ", " WISH "]}");
    try_text("a patch", read_patch,
             "{\"target\": {\"a\": {\"b\": 1, \"c\": [1]}, \"d\": 2}, \"patch\": {\"a\": {\"b\": "
             "null, \"e\": {\"f\": null, \"g\": 1}}, \"d\": 3, \"h\": [2]}}");
    try_apart("a webhook", read_webhook,
              "{\"url\": \"https://example.org/hook\", \"types\": [\"alarm\", \"constraint\"], "
              "\"secret\": \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"}");
}

static void data_and_site_files(void **state) {
    (void)state;
    try_text("plain data", read_data,
             "return { a = 1, b = { 'x', 2.5, { deep = { true } } }, c = 'text' }");
    try_file("scripts/demo/site.lua", read_site);
}

static void drivers(void **state) {
    (void)state;
    try_file("drivers/eastron_sdm.lua", read_driver);
    try_file("drivers/abb_terra_ac.lua", read_driver);
}

static void policies(void **state) {
    (void)state;
    try_file("policies/solar_charging.lua", read_policy);
}

int main(int argc, char **argv) {
    test.step = argc > 1 && strcmp(argv[1], "--full") == 0 ? 1 : STEP_QUICK;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_and_constraints),
        cmocka_unit_test(data_and_site_files),
        cmocka_unit_test(drivers),
        cmocka_unit_test(policies),
    };
    memory_insert();
    log_set_sink(ignore_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
