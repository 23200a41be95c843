/* Constraints through the API: one, many at once, those that are supposed, and what applies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>

#include "api_kit.h"

#include "api/courtesy.h"
#include "base/log.h"

#define DEVICES     "/v1/clusters/home/devices"
#define WALLBOX     DEVICES "/wallbox"
#define CONSTRAINTS WALLBOX "/constraints"
#define OWN_ID      "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

static struct kit kit;

/* A decision that cannot be read for want of memory (the linker's --wrap). */
static atomic_bool short_of_memory;
struct decided *__real_decided_read(struct decided *published);
struct decided *__wrap_decided_read(struct decided *published);

struct decided *__wrap_decided_read(struct decided *published) {
    return atomic_load(&short_of_memory) ? NULL : __real_decided_read(published);
}

static int start(void **state) {
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    kit_start(&kit, 4, true);
    return 0;
}

static int stop(void **state) {
    (void)state;
    kit_stop(&kit);
    return 0;
}

static int begin(void **state) {
    (void)state;
    engine_clear(&kit.engine);
    kit_measure(&kit, 4140, 0);
    return 0;
}

static void expect(const char *method, const char *path, const char *body, int status) {
    struct answer answer;
    kit_request(&kit, method, path, body, &answer);
    expect_problem(&answer, status);
}

/* --- constraints ----------------------------------------------------------------------------- */

static json_t *put(const char *method, const char *path, const char *body, int status) {
    struct answer answer;
    kit_request(&kit, method, path, body, &answer);
    if (answer.status != status)
        fail_msg("%d, not %d: %s", answer.status, status, answer.body);
    json_t *tree = answer_tree(&answer);
    answer_free(&answer);
    return tree;
}

static void a_posted_constraint_is_answered_with_what_it_decided(void **state) {
    (void)state;
    struct answer answer;
    char location[512];
    kit_request(&kit, "POST", CONSTRAINTS,
                "{\"priority\": 2000, \"maxActivePower\": 4200, \"validFor\": 600, "
                "\"reason\": \"peak\"}",
                &answer);
    assert_int_equal(answer.status, 201);
    json_t *tree = answer_tree(&answer);
    answer_header(&answer, "Location", location);
    answer_free(&answer);
    assert_string_equal(text_at(tree, "status"), "inForce");
    assert_string_equal(text_at(tree, "outcome"), "applied");
    assert_string_equal(text_at(tree, "createdBy"), "token:ems");
    assert_string_equal(text_at(tree, "reason"), "peak");
    assert_string_equal(text_at(tree, "onConflict"), "discard");
    assert_int_equal(number_at(tree, "validFor"), 600);
    assert_true(null_at(tree, "activePower"));
    assert_true(json_is_true(json_object_get(tree, "durable")));
    assert_true(json_is_false(json_object_get(tree, "noEffect")));
    json_t *decision = json_object_get(tree, "decision");
    assert_int_equal(number_at(decision, "maxActivePower"), 4200);
    assert_string_equal(text_at(json_object_get(decision, "winners"), "maxActivePower"),
                        text_at(tree, "id"));
    assert_string_equal(text_at(json_object_get(tree, "command"), "state"), "confirmed");
    json_t *again = kit_get(&kit, location);
    assert_string_equal(text_at(again, "id"), text_at(tree, "id"));
    json_decref(again);
    json_decref(tree);
}

static void *come_forward(void *context) {
    id_t self = (id_t)syscall(SYS_gettid);
    *(bool *)context = setpriority(PRIO_PROCESS, self, COURTESY_QUIET) == 0 &&
                       setpriority(PRIO_PROCESS, self, COURTESY_FRONT) == 0;
    return NULL;
}

/* How many threads of this program have it. */
static int threads_with(int nice) {
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            count += getpriority(PRIO_PROCESS, (id_t)strtol(entry->d_name, NULL, 10)) == nice;
    closedir(folder);
    return count;
}

/* Only for a token that may set limits. Where no thread may come forward, it stays where it is. */
static void who_sets_a_limit_is_let_to_the_front_and_steps_back(void **state) {
    (void)state;
    pthread_t thread;
    bool may;
    assert_int_equal(pthread_create(&thread, NULL, come_forward, &may), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    json_decref(put("POST", CONSTRAINTS,
                    "{\"priority\":10,\"maxActivePower\":3000,\"validFor\":600}", 201));
    assert_int_equal(kit.engine.nice, may ? COURTESY_FRONT : COURTESY_QUIET);
    while (threads_with(COURTESY_QUIET) < 4) /* behind its answer */
        sched_yield();
}

static void put_creates_then_replaces(void **state) {
    (void)state;
    json_t *tree = put("PUT", CONSTRAINTS "/" OWN_ID,
                       "{\"priority\": 5, \"activePower\": 0, \"validFor\": 60}", 201);
    assert_string_equal(text_at(tree, "id"), OWN_ID);
    assert_int_equal(number_at(tree, "activePower"), 0); /* zero is a value */
    json_decref(tree);
    tree = put("PUT", CONSTRAINTS "/6BA7B810-9DAD-41D1-80B4-00C04FD430C8",
               "{\"priority\": 5, \"activePower\": 2000, \"validFor\": 60}", 200);
    assert_string_equal(text_at(tree, "id"), OWN_ID);
    json_decref(tree);
    tree = kit_get(&kit, CONSTRAINTS);
    assert_int_equal(json_array_size(json_object_get(tree, "items")), 1);
    json_decref(tree);
}

static void an_id_that_is_no_uuid_is_refused(void **state) {
    (void)state;
    expect("PUT", CONSTRAINTS "/mine", "{\"priority\": 5, \"activePower\": 0, \"validFor\": 60}",
           400);
    assert_int_equal(kit.engine.asked, 0);
}

static void a_deleted_constraint_is_gone(void **state) {
    (void)state;
    struct answer answer;
    json_decref(put("PUT", CONSTRAINTS "/" OWN_ID,
                    "{\"priority\": 5, \"activePower\": 0, \"validFor\": 60}", 201));
    kit_request(&kit, "DELETE", CONSTRAINTS "/" OWN_ID, NULL, &answer);
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
    expect("GET", CONSTRAINTS "/" OWN_ID, NULL, 404);
    expect("DELETE", CONSTRAINTS "/" OWN_ID, NULL, 404);
    expect("DELETE", CONSTRAINTS "/mine", NULL, 404);
}

static bool has_error(const json_t *errors, const char *pointer) {
    for (size_t i = 0; i < json_array_size(errors); i++)
        if (strcmp(text_at(json_array_get(errors, i), "pointer"), pointer) == 0)
            return true;
    return false;
}

static void all_mistakes_of_a_body_come_at_once(void **state) {
    (void)state;
    json_t *tree =
        put("POST", CONSTRAINTS,
            "{\"priority\": \"high\", \"activePower\": 1.5, \"minActivePower\": 3000, "
            "\"maxActivePower\": 2000, \"validAt\": \"tomorrow\", \"onConflict\": \"win\", "
            "\"colour\": 1, \"minStateOfCharge\": 20}",
            422);
    json_t *errors = json_object_get(tree, "errors");
    static const char *const expected[] = {"/priority",        "/activePower", "/validAt",
                                           "/invalidAt",       "/onConflict",  "/colour",
                                           "/minStateOfCharge"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (!has_error(errors, expected[i]))
            fail_msg("no error at %s", expected[i]);
    assert_true(has_error(errors, "/minActivePower") || has_error(errors, "/maxActivePower"));
    json_decref(tree);
    assert_int_equal(kit.engine.asked, 0);
}

static void when_it_ends_must_be_said_once(void **state) {
    (void)state;
    json_t *tree = put("POST", CONSTRAINTS,
                       "{\"priority\": 5, \"activePower\": 0, \"validFor\": 60, \"invalidAt\": "
                       "\"2030-01-01T00:00:00Z\"}",
                       422);
    assert_int_equal(json_array_size(json_object_get(tree, "errors")), 1);
    assert_true(has_error(json_object_get(tree, "errors"), "/validFor"));
    json_decref(tree);
    tree = put("POST", CONSTRAINTS,
               "{\"priority\": 5, \"activePower\": 0, \"validAt\": \"1969-12-31T23:59:59Z\", "
               "\"invalidAt\": \"9999-12-31T23:59:59-23:59\"}",
               422);
    assert_true(has_error(json_object_get(tree, "errors"), "/validAt"));
    assert_true(has_error(json_object_get(tree, "errors"), "/invalidAt"));
    json_decref(tree);
    tree = put("POST", CONSTRAINTS, "{\"priority\": 5, \"activePower\": 0}", 422);
    assert_int_equal(json_array_size(json_object_get(tree, "errors")), 1);
    assert_true(has_error(json_object_get(tree, "errors"), "/invalidAt"));
    json_decref(tree);
}

static void an_end_beyond_the_horizon_or_past_is_refused(void **state) {
    (void)state;
    json_decref(put("POST", CONSTRAINTS,
                    "{\"priority\": 5, \"activePower\": 0, \"validFor\": 93600}", 422));
    json_decref(put("POST", CONSTRAINTS,
                    "{\"priority\": 5, \"activePower\": 0, \"invalidAt\": "
                    "\"2020-01-01T00:00:00Z\"}",
                    422));
}

static void a_constraint_that_says_nothing_is_refused(void **state) {
    (void)state;
    json_decref(put("POST", CONSTRAINTS, "{\"priority\": 5, \"validFor\": 60}", 422));
}

static void a_device_that_cannot_be_controlled_takes_none(void **state) {
    (void)state;
    json_decref(put("POST", DEVICES "/grid/constraints",
                    "{\"priority\": 5, \"maxActivePower\": 0, \"validFor\": 60}", 422));
}

static void a_priority_above_the_tokens_is_forbidden(void **state) {
    (void)state;
    struct answer answer;
    kit_request_as(&kit, kit.weak_token, "POST", CONSTRAINTS,
                   "{\"priority\": 1000, \"activePower\": 0, \"validFor\": 60}", &answer);
    expect_problem(&answer, 403);
    kit_request_as(&kit, kit.weak_token, "POST", CONSTRAINTS,
                   "{\"priority\": 999, \"activePower\": 0, \"validFor\": 60}", &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
}

static void what_the_engine_refuses_is_told_with_its_status(void **state) {
    (void)state;
    static const struct {
        enum ask_result result;
        int status;
    } cases[] = {{ASK_INVALID, 422},  {ASK_FORBIDDEN, 403},    {ASK_NOT_FOUND, 404},
                 {ASK_CONFLICT, 409}, {ASK_STORE_FAILED, 503}, {ASK_BUSY, 503}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer;
        char value[512];
        kit.engine.force = true;
        kit.engine.forced = cases[i].result;
        kit_request(&kit, "POST", CONSTRAINTS,
                    "{\"priority\": 5, \"activePower\": 0, \"validFor\": 60}", &answer);
        answer_header(&answer, "Retry-After", value);
        assert_int_equal(value[0] != '\0', cases[i].status == 503);
        expect_problem(&answer, cases[i].status);
        kit_request(&kit, "DELETE", CONSTRAINTS "/" OWN_ID, NULL, &answer);
        expect_problem(&answer, cases[i].status);
    }
}

static void a_bound_that_is_not_on_disk_is_accepted_as_not_durable(void **state) {
    (void)state;
    kit.engine.force = true;
    kit.engine.forced = ASK_NOT_DURABLE;
    json_t *tree =
        put("POST", CONSTRAINTS, "{\"priority\": 5, \"maxActivePower\": 0, \"validFor\": 60}", 202);
    assert_true(json_is_false(json_object_get(tree, "durable")));
    json_decref(tree);
}

static void one_that_can_have_no_effect_is_told_so(void **state) {
    (void)state;
    json_decref(put("POST", CONSTRAINTS,
                    "{\"priority\": 2900, \"maxActivePower\": 4200, \"validFor\": 600}", 201));
    json_t *tree = put("POST", CONSTRAINTS,
                       "{\"priority\": 2000, \"activePower\": 11000, \"validFor\": 300}", 201);
    assert_true(json_is_true(json_object_get(tree, "noEffect")));
    assert_string_equal(text_at(tree, "outcome"), "discarded");
    json_decref(tree);
}

/* --- effective ------------------------------------------------------------------------------- */

static void effective_names_the_winner_and_each_loser_with_its_reason(void **state) {
    (void)state;
    json_t *high = put("POST", CONSTRAINTS,
                       "{\"priority\": 2900, \"maxActivePower\": 4200, \"validFor\": 600}", 201);
    json_t *low = put("POST", CONSTRAINTS,
                      "{\"priority\": 2000, \"activePower\": 11000, \"validFor\": 300}", 201);
    json_t *tree = kit_get(&kit, WALLBOX "/effective");
    assert_true(null_at(tree, "activePower"));
    assert_int_equal(number_at(tree, "maxActivePower"), 4200);
    assert_int_equal(number_at(tree, "minActivePower"), 0);
    json_t *winners = json_object_get(tree, "winners");
    assert_string_equal(text_at(winners, "maxActivePower"), text_at(high, "id"));
    assert_string_equal(text_at(winners, "minActivePower"), "device");
    assert_true(null_at(winners, "activePower"));
    json_t *loser = json_array_get(json_object_get(tree, "constraints"), 1);
    assert_string_equal(text_at(loser, "id"), text_at(low, "id"));
    assert_string_equal(text_at(loser, "outcome"), "discarded");
    assert_string_equal(text_at(loser, "against"), text_at(high, "id"));
    const char *why = text_at(loser, "explanation");
    if (!strstr(why, "11000 W") || !strstr(why, "4200 W") || !strstr(why, "ems") ||
        !strstr(why, "2900"))
        fail_msg("explanation: %s", why);
    assert_string_equal(text_at(tree, "nextChangeAt"), text_at(high, "invalidAt"));
    assert_string_equal(text_at(tree, "withoutSetPoint"), "followsMax");
    assert_true(json_is_true(json_object_get(tree, "clockTrusted")));
    json_decref(tree);
    json_decref(low);
    json_decref(high);
}

static void a_scheduled_constraint_has_no_outcome_yet(void **state) {
    (void)state;
    char at[WALL_TEXT_SIZE];
    char body[200];
    wall_format((struct wall){clock_now(&kit.clock).wall.ms + 3600000}, at);
    snprintf(body, sizeof body,
             "{\"priority\": 5, \"activePower\": 2000, \"validAt\": \"%s\", \"validFor\": 60}", at);
    json_t *tree = put("POST", CONSTRAINTS, body, 201);
    assert_string_equal(text_at(tree, "status"), "scheduled");
    assert_true(null_at(tree, "outcome"));
    json_decref(tree);
    tree = kit_get(&kit, WALLBOX "/effective");
    assert_string_equal(text_at(tree, "nextChangeAt"), at);
    json_decref(tree);
}

static void a_device_without_decision_has_nothing_in_effect(void **state) {
    (void)state;
    json_t *tree = kit_get(&kit, DEVICES "/grid/effective");
    assert_true(json_is_false(json_object_get(tree, "controllable")));
    assert_true(null_at(tree, "maxActivePower"));
    assert_true(null_at(tree, "nextChangeAt"));
    assert_true(null_at(tree, "fallback"));
    json_decref(tree);
}

/* --- conditions and rehearsals -----------------------------------------------------------------
 */

#define LIMIT "{\"priority\": 2000, \"maxActivePower\": 4200, \"validFor\": 600}"

static void with_header(const char *method, const char *path, const char *header, const char *body,
                        struct answer *answer) {
    kit_request_with(&kit, kit.token, method, path, header, body, answer);
}

static void a_change_tells_the_engine_what_it_expects(void **state) {
    (void)state;
    struct answer answer;
    char tag[512];
    char header[600];
    with_header("PUT", CONSTRAINTS "/" OWN_ID, "If-None-Match: *", LIMIT, &answer);
    assert_int_equal(answer.status, 201);
    assert_int_equal(kit.engine.terms.expect, EXPECT_ABSENT);
    answer_header(&answer, "ETag", tag);
    assert_int_equal(strlen(tag), 18);
    answer_free(&answer);
    snprintf(header, sizeof header, "If-Match: \"x\", %s", tag);
    with_header("PUT", CONSTRAINTS "/" OWN_ID, header, LIMIT, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(kit.engine.terms.expect, EXPECT_VERSION);
    assert_memory_equal(kit.engine.terms.version, tag + 1, 16);
    answer_free(&answer);
    with_header("DELETE", CONSTRAINTS "/" OWN_ID, "If-Match: *", NULL, &answer);
    assert_int_equal(answer.status, 204);
    assert_int_equal(kit.engine.terms.expect, EXPECT_PRESENT);
    answer_free(&answer);
    with_header("PUT", CONSTRAINTS "/" OWN_ID, "", LIMIT, &answer);
    assert_int_equal(kit.engine.terms.expect, EXPECT_ANY);
    answer_free(&answer);
}

static void what_is_not_as_expected_is_told_with_its_tag(void **state) {
    (void)state;
    struct answer answer;
    char tag[512];
    char now[512];
    with_header("PUT", CONSTRAINTS "/" OWN_ID, "If-Match: *", LIMIT, &answer);
    assert_string_equal(answer_header(&answer, "ETag", tag), "");
    expect_problem(&answer, 412);
    with_header("PUT", CONSTRAINTS "/" OWN_ID, "", LIMIT, &answer);
    answer_header(&answer, "ETag", tag);
    answer_free(&answer);
    static const char *const wrong[] = {"If-Match: \"0000000000000000\"", "If-None-Match: *"};
    for (size_t i = 0; i < 2; i++) {
        with_header("PUT", CONSTRAINTS "/" OWN_ID, wrong[i], LIMIT, &answer);
        assert_string_equal(answer_header(&answer, "ETag", now), tag);
        assert_non_null(strstr(answer.body, "ETag is now"));
        expect_problem(&answer, 412);
    }
    with_header("DELETE", CONSTRAINTS "/" OWN_ID, "If-Match: W/\"a\"", NULL, &answer);
    expect_problem(&answer, 412); /* a weak tag is none to change by */
    with_header("DELETE", CONSTRAINTS "/" OWN_ID, "If-Match: a", NULL, &answer);
    expect_problem(&answer, 400);
    kit.engine.force = true; /* it came in between: the engine says so */
    kit.engine.forced = ASK_CHANGED;
    with_header("PUT", CONSTRAINTS "/" OWN_ID, "If-Match: *", LIMIT, &answer);
    expect_problem(&answer, 412);
}

static void a_rehearsal_shows_what_would_be_and_changes_nothing(void **state) {
    (void)state;
    json_t *tree = put("POST", CONSTRAINTS "?dryRun=true", LIMIT, 200);
    assert_int_equal(number_at(tree, "wouldAnswer"), 201);
    assert_true(json_is_true(json_object_get(tree, "dryRun")));
    assert_string_equal(text_at(tree, "outcome"), "applied");
    assert_int_equal(number_at(json_object_get(tree, "decision"), "maxActivePower"), 4200);
    json_decref(tree);
    tree = kit_get(&kit, CONSTRAINTS);
    assert_int_equal(json_array_size(json_object_get(tree, "items")), 0);
    json_decref(tree);
    json_decref(put("PUT", CONSTRAINTS "/" OWN_ID "?dryRun=false", LIMIT, 201));
    tree = put("DELETE", CONSTRAINTS "/" OWN_ID "?dryRun=true", NULL, 200);
    assert_int_equal(number_at(tree, "wouldAnswer"), 204);
    assert_int_equal(number_at(json_object_get(tree, "decision"), "maxActivePower"), 11000);
    json_decref(tree);
    tree = put("PUT", CONSTRAINTS "/" OWN_ID "?dryRun=true",
               "{\"priority\": 2000, \"maxActivePower\": 1000, \"validFor\": 600}", 200);
    assert_int_equal(number_at(tree, "wouldAnswer"), 200);
    assert_int_equal(number_at(json_object_get(tree, "decision"), "maxActivePower"), 1000);
    json_decref(tree);
    tree = kit_get(&kit, WALLBOX "/effective");
    assert_int_equal(number_at(tree, "maxActivePower"), 4200);
    json_decref(tree);
    expect("POST", CONSTRAINTS "?dryRun=yes", LIMIT, 400);
}

static void lists_are_filtered(void **state) {
    (void)state;
    struct answer answer;
    char body[300];
    char later[WALL_TEXT_SIZE];
    char end[WALL_TEXT_SIZE];
    wall_format((struct wall){clock_now(&kit.clock).wall.ms + 60000}, later);
    wall_format((struct wall){clock_now(&kit.clock).wall.ms + 120000}, end);
    json_decref(put("POST", CONSTRAINTS, LIMIT, 201));
    snprintf(body, sizeof body,
             "{\"priority\": 100, \"maxActivePower\": 1, \"validAt\": \"%s\", \"invalidAt\": "
             "\"%s\"}",
             later, end);
    kit_request_as(&kit, kit.weak_token, "POST", CONSTRAINTS, body, &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
    static const struct {
        const char *query;
        size_t count;
    } cases[] = {{"", 2},
                 {"?createdBy=token:guest", 1},
                 {"?createdBy=guest", 0},
                 {"?status=inForce", 1},
                 {"?status=scheduled", 1},
                 {"?status=expired", 0},
                 {"?minPriority=100", 2},
                 {"?minPriority=101", 1},
                 {"?maxPriority=2000", 2},
                 {"?maxPriority=1999&status=scheduled&createdBy=token:guest", 1},
                 {"?maxPriority=1999&status=inForce", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[200];
        snprintf(path, sizeof path, CONSTRAINTS "%s", cases[i].query);
        json_t *tree = kit_get(&kit, path);
        if (json_array_size(json_object_get(tree, "items")) != cases[i].count)
            fail_msg("%s", path);
        json_decref(tree);
    }
    expect("GET", CONSTRAINTS "?status=done", NULL, 400);
    expect("GET", CONSTRAINTS "?minPriority=-1", NULL, 400);
    expect("GET", CONSTRAINTS "?maxPriority=2147483648", NULL, 400);
    expect("GET", CONSTRAINTS "?maxPriority=", NULL, 400);
    expect("GET", CONSTRAINTS "?creator=me", NULL, 400);
}

/* --- batches -----------------------------------------------------------------------------------
 */

#define BATCH CONSTRAINTS ":batch"

static void a_batch_replaces_and_creates_and_is_decided_once(void **state) {
    (void)state;
    json_decref(put("PUT", CONSTRAINTS "/" OWN_ID, LIMIT, 201));
    json_t *tree =
        put("POST", BATCH,
            "{\"constraints\": [{\"id\": \"6BA7B810-9DAD-41D1-80B4-00C04FD430C8\", \"priority\": "
            "2000, \"maxActivePower\": 3000, \"validFor\": 600}, {\"id\": null, \"priority\": 5, "
            "\"activePower\": 9000, \"validFor\": 600}]}",
            200);
    json_t *items = json_object_get(tree, "items");
    assert_int_equal(json_array_size(items), 2);
    assert_string_equal(text_at(json_array_get(items, 0), "id"), OWN_ID);
    assert_true(json_is_false(json_object_get(json_array_get(items, 0), "created")));
    assert_true(json_is_true(json_object_get(json_array_get(items, 1), "created")));
    assert_true(json_is_true(json_object_get(json_array_get(items, 1), "noEffect")));
    assert_int_equal(number_at(tree, "created"), 1);
    assert_int_equal(number_at(tree, "replaced"), 1);
    assert_int_equal(number_at(json_object_get(tree, "decision"), "maxActivePower"), 3000);
    json_decref(tree);
    assert_int_equal(kit.engine.asked, 2);
    assert_true(kit.engine.terms.batch);
    assert_true(kit.engine.terms.receipt == NULL);
}

static void all_mistakes_of_all_items_come_at_once(void **state) {
    (void)state;
    json_t *tree = put(
        "POST", BATCH,
        "{\"constraints\": [{\"priority\": 5, \"maxActivePower\": 1, \"validFor\": 60}, 7, "
        "{\"priority\": 5, \"activePower\": -5, \"colour\": 1}, {\"id\": \"x\", \"priority\": 5, "
        "\"maxActivePower\": 1, \"validFor\": 60}, {\"id\": \"" OWN_ID
        "\", \"priority\": 5, \"maxActivePower\": 1, \"validFor\": 60}, {\"id\": \"" OWN_ID
        "\", \"priority\": 5, \"maxActivePower\": 1, \"validFor\": 60}], \"more\": 1}",
        422);
    json_t *errors = json_object_get(tree, "errors");
    static const char *const expected[] = {"/constraints/1",
                                           "/constraints/2/activePower",
                                           "/constraints/2/colour",
                                           "/constraints/2/invalidAt",
                                           "/constraints/3/id",
                                           "/constraints/5/id",
                                           "/more"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (!has_error(errors, expected[i]))
            fail_msg("no error at %s", expected[i]);
    assert_int_equal(json_array_size(errors), 7);
    json_decref(tree);
    assert_int_equal(kit.engine.asked, 0);
}

static void a_batch_has_its_bounds(void **state) {
    (void)state;
    static char body[8000];
    size_t used = (size_t)snprintf(body, sizeof body, "{\"constraints\": [");
    for (int i = 0; i < 51; i++)
        used += (size_t)snprintf(body + used, sizeof body - used, "%s" LIMIT, i ? ", " : "");
    snprintf(body + used, sizeof body - used, "]}");
    expect("POST", BATCH, body, 422);
    expect("POST", BATCH, "{\"constraints\": []}", 422);
    expect("POST", BATCH, "{\"constraints\": {}}", 422);
    expect("POST", BATCH, "{}", 422);
    expect("GET", BATCH, NULL, 405);
    expect("POST", CONSTRAINTS ":other", "{}", 404);
    assert_int_equal(kit.engine.asked, 0);
}

static void a_batch_above_the_token_names_each_item(void **state) {
    (void)state;
    struct answer answer;
    kit_request_as(&kit, kit.weak_token, "POST", BATCH,
                   "{\"constraints\": [{\"priority\": 999, \"maxActivePower\": 1, \"validFor\": "
                   "60}, " LIMIT ", " LIMIT "]}",
                   &answer);
    json_t *tree = answer_tree(&answer);
    json_t *errors = json_object_get(tree, "errors");
    assert_int_equal(json_array_size(errors), 2);
    assert_true(has_error(errors, "/constraints/1/priority"));
    assert_true(has_error(errors, "/constraints/2/priority"));
    json_decref(tree);
    expect_problem(&answer, 403);
    assert_int_equal(kit.engine.asked, 0);
}

static void a_batch_that_is_not_on_disk_is_told_so(void **state) {
    (void)state;
    kit.engine.force = true;
    kit.engine.forced = ASK_NOT_DURABLE;
    json_t *tree = put("POST", BATCH, "{\"constraints\": [" LIMIT "]}", 202);
    json_t *item = json_array_get(json_object_get(tree, "items"), 0);
    assert_true(json_is_false(json_object_get(item, "durable")));
    json_decref(tree);
}

static void a_request_with_a_key_carries_its_receipt_to_the_engine(void **state) {
    (void)state;
    struct answer answer;
    char location[512];
    with_header("POST", CONSTRAINTS, "Idempotency-Key: of-one", LIMIT, &answer);
    assert_int_equal(answer.status, 201);
    answer_header(&answer, "Location", location);
    answer_free(&answer);
    assert_non_null(kit.engine.terms.describe);
    assert_string_equal(kit.engine.receipt.key, "of-one");
    assert_string_equal(kit.engine.receipt.location, location);
    assert_int_equal(kit.engine.receipt.status, 201);
    with_header("POST", BATCH, "Idempotency-Key: of-many", "{\"constraints\": [" LIMIT "]}",
                &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    assert_string_equal(kit.engine.receipt.key, "of-many");
    assert_int_equal(kit.engine.receipt.status, 200);
    /* Somebody else's answer to the same came too late for its client, and is kept meanwhile. */
    kit.engine.force = true;
    kit.engine.forced = ASK_REPEATED;
    with_header("POST", CONSTRAINTS, "Idempotency-Key: too-late", LIMIT, &answer);
    assert_string_equal(answer_header(&answer, "Retry-After", location), "1");
    expect_problem(&answer, 409);
}

/* --- previews ----------------------------------------------------------------------------------
 */

#define PREVIEW WALLBOX "/effective:preview"

static void a_preview_shows_the_timeline_and_writes_nothing(void **state) {
    (void)state;
    char body[600];
    char later[WALL_TEXT_SIZE];
    char end[WALL_TEXT_SIZE];
    wall_format((struct wall){clock_now(&kit.clock).wall.ms + 60000}, later);
    wall_format((struct wall){clock_now(&kit.clock).wall.ms + 120000}, end);
    json_decref(put("PUT", CONSTRAINTS "/" OWN_ID, LIMIT, 201));
    snprintf(body, sizeof body,
             "{\"constraints\": [{\"priority\": 2147483647, \"activePower\": 2000, \"validAt\": "
             "\"%s\", \"invalidAt\": \"%s\"}, {\"priority\": 5, \"activePower\": 9000, "
             "\"validFor\": 60}]}",
             later, end);
    json_t *tree = put("POST", PREVIEW, body, 200);
    json_t *segments = json_object_get(tree, "segments");
    json_t *added = json_object_get(tree, "constraints");
    /* Up to later, (the end of the validFor, a moment after,) the end, that of the limit. */
    assert_true(json_array_size(segments) == 3 || json_array_size(segments) == 4);
    assert_true(null_at(json_array_get(segments, 0), "activePower"));
    assert_int_equal(number_at(json_array_get(segments, 0), "maxActivePower"), 4200);
    const json_t *loser = json_array_get(json_object_get(json_array_get(segments, 0), "losers"), 0);
    assert_string_equal(text_at(loser, "outcome"), "discarded");
    assert_string_equal(text_at(loser, "against"), OWN_ID);
    assert_non_null(strstr(text_at(loser, "explanation"), "4200 W"));
    /* The one with a validFor ends where the one that is scheduled begins, or a moment later. */
    const json_t *second = json_array_get(segments, json_array_size(segments) - 2);
    assert_int_equal(number_at(second, "activePower"), 2000);
    assert_string_equal(text_at(json_object_get(second, "winners"), "activePower"),
                        text_at(json_array_get(added, 0), "id"));
    assert_true(json_is_false(json_object_get(json_array_get(added, 0), "noEffect")));
    assert_true(json_is_true(json_object_get(json_array_get(added, 1), "noEffect")));
    assert_true(json_is_false(json_object_get(tree, "truncated")));
    json_decref(tree);
    assert_int_equal(kit.engine.asked, 1);
    tree = put("POST", PREVIEW, "{\"leaveOut\": [\"" OWN_ID "\"], \"constraints\": null}", 200);
    segments = json_object_get(tree, "segments");
    assert_int_equal(json_array_size(segments), 1);
    assert_int_equal(number_at(json_array_get(segments, 0), "maxActivePower"), 11000);
    json_decref(tree);
}

static void a_previews_mistakes_come_at_once(void **state) {
    (void)state;
    json_t *tree = put("POST", PREVIEW,
                       "{\"constraints\": [{\"priority\": 5}], \"leaveOut\": [\"" OWN_ID
                       "\", 3], \"until\": \"2020-01-01T00:00:00Z\", \"more\": 1}",
                       422);
    json_t *errors = json_object_get(tree, "errors");
    static const char *const expected[] = {"/constraints/0", "/constraints/0/invalidAt",
                                           "/leaveOut/0",    "/leaveOut/1",
                                           "/until",         "/more"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (!has_error(errors, expected[i]))
            fail_msg("no error at %s", expected[i]);
    json_decref(tree);
    expect("POST", PREVIEW, "{\"leaveOut\": 5}", 422);
    expect("POST", PREVIEW, "{\"until\": \"soon\"}", 422);
    expect("POST", PREVIEW "?dryRun=true", "{}", 400);
}

static void a_preview_of_what_cannot_be_controlled_has_no_segments(void **state) {
    (void)state;
    json_t *tree = put("POST", DEVICES "/grid/effective:preview", "{}", 200);
    assert_true(json_is_false(json_object_get(tree, "controllable")));
    assert_int_equal(json_array_size(json_object_get(tree, "segments")), 0);
    json_decref(tree);
    expect("POST", DEVICES "/grid/effective:preview", "{\"constraints\": [" LIMIT "]}", 422);
}

static void expect_short(const char *method, const char *path, const char *header,
                         const char *body) {
    struct answer answer;
    char value[512];
    atomic_store(&short_of_memory, true);
    kit_request_with(&kit, kit.token, method, path, header, body, &answer);
    atomic_store(&short_of_memory, false);
    assert_string_equal(answer_header(&answer, "Retry-After", value), "5");
    assert_non_null(strstr(answer.body, "short of memory"));
    expect_problem(&answer, 503);
}

static void what_finds_no_memory_is_answered_503(void **state) {
    (void)state;
    static const char limit[] = "{\"priority\": 10, \"maxActivePower\": 3000, \"validFor\": 600}";
    json_decref(put("PUT", CONSTRAINTS "/" OWN_ID, limit, 201));
    expect_short("GET", CONSTRAINTS, NULL, NULL);
    expect_short("GET", CONSTRAINTS "/" OWN_ID, NULL, NULL);
    expect_short("GET", WALLBOX "/effective", NULL, NULL);
    expect_short("POST", WALLBOX "/effective:preview", NULL, "{\"constraints\": []}");
    expect_short("DELETE", CONSTRAINTS "/" OWN_ID, "If-Match: *", NULL);
    assert_int_equal(kit.engine.count, 1);
    expect_short("DELETE", CONSTRAINTS "/" OWN_ID "?dryRun=true", NULL, NULL);
    assert_int_equal(kit.engine.count, 1);
    expect_short("PUT", CONSTRAINTS "/" OWN_ID, NULL, limit); /* it is done, and says so */
    expect_short("POST", CONSTRAINTS ":batch", NULL,
                 "{\"constraints\": [{\"priority\": 11, \"maxActivePower\": 2000, "
                 "\"validFor\": 600}]}");
    assert_int_equal(kit.engine.count, 2);
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(a_posted_constraint_is_answered_with_what_it_decided),
        T(who_sets_a_limit_is_let_to_the_front_and_steps_back),
        T(put_creates_then_replaces),
        T(an_id_that_is_no_uuid_is_refused),
        T(a_deleted_constraint_is_gone),
        T(all_mistakes_of_a_body_come_at_once),
        T(when_it_ends_must_be_said_once),
        T(an_end_beyond_the_horizon_or_past_is_refused),
        T(a_constraint_that_says_nothing_is_refused),
        T(a_device_that_cannot_be_controlled_takes_none),
        T(a_priority_above_the_tokens_is_forbidden),
        T(what_the_engine_refuses_is_told_with_its_status),
        T(a_bound_that_is_not_on_disk_is_accepted_as_not_durable),
        T(one_that_can_have_no_effect_is_told_so),
        T(effective_names_the_winner_and_each_loser_with_its_reason),
        T(a_scheduled_constraint_has_no_outcome_yet),
        T(a_device_without_decision_has_nothing_in_effect),
        T(a_change_tells_the_engine_what_it_expects),
        T(what_is_not_as_expected_is_told_with_its_tag),
        T(a_rehearsal_shows_what_would_be_and_changes_nothing),
        T(lists_are_filtered),
        T(a_batch_replaces_and_creates_and_is_decided_once),
        T(all_mistakes_of_all_items_come_at_once),
        T(a_batch_has_its_bounds),
        T(a_batch_above_the_token_names_each_item),
        T(a_batch_that_is_not_on_disk_is_told_so),
        T(a_request_with_a_key_carries_its_receipt_to_the_engine),
        T(a_preview_shows_the_timeline_and_writes_nothing),
        T(a_previews_mistakes_come_at_once),
        T(a_preview_of_what_cannot_be_controlled_has_no_segments),
        T(what_finds_no_memory_is_answered_503),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
