/* Who sees what: an account sees its own clusters and those of the accounts below it; to everyone
 * else they do not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_kit.h"

#include "base/log.h"

#define HOME    "/v1/clusters/home"
#define WALLBOX HOME "/devices/wallbox"
#define OWN_ID  "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

static struct kit kit;
static char stranger[TOKEN_TEXT_SIZE]; /* a token of an account without clusters */

static int start(void **state) {
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    kit_start(&kit, 4, true);
    return token_create(kit.store, "other", "neighbour", 3999, stranger) != ERR_OK;
}

static int stop(void **state) {
    (void)state;
    kit_stop(&kit);
    return 0;
}

static void what_belongs_to_others_does_not_exist(void **state) {
    (void)state;
    static const char wish[] = "{\"priority\": 1, \"activePower\": 1, \"validFor\": 60}";
    static const struct {
        const char *method, *path, *body;
    } requests[] = {
        {"GET", HOME, NULL},
        {"GET", "/v1/clusters/" ID_HOME, NULL},
        {"GET", HOME "/flexibility", NULL},
        {"GET", HOME "/devices", NULL},
        {"GET", WALLBOX, NULL},
        {"GET", "/v1/clusters/" ID_HOME "/devices/" ID_WALLBOX, NULL},
        {"GET", WALLBOX "/flexibility", NULL},
        {"GET", WALLBOX "/effective", NULL},
        {"GET", WALLBOX "/constraints", NULL},
        {"POST", WALLBOX "/constraints", wish},
        {"GET", WALLBOX "/constraints/" OWN_ID, NULL},
        {"PUT", WALLBOX "/constraints/" OWN_ID, wish},
        {"DELETE", WALLBOX "/constraints/" OWN_ID, NULL},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct answer answer;
        kit_request_as(&kit, stranger, requests[i].method, requests[i].path, requests[i].body,
                       &answer);
        if (answer.status != 404)
            fail_msg("%s %s: %d", requests[i].method, requests[i].path, answer.status);
        assert_null(strstr(answer.body, "Wall Street"));
        expect_problem(&answer, 404);
    }
    assert_int_equal(kit.engine.asked, 0);
}

static void a_list_shows_only_what_the_account_controls(void **state) {
    (void)state;
    struct answer answer;
    kit_request_as(&kit, stranger, "GET", "/v1/clusters", NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_t *tree = answer_tree(&answer);
    assert_int_equal(json_array_size(json_object_get(tree, "items")), 0);
    json_decref(tree);
    answer_free(&answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_belongs_to_others_does_not_exist),
        cmocka_unit_test(a_list_shows_only_what_the_account_controls),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
