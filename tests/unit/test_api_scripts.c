/* Scripts that come through the API: who may, what is refused, and what is written where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "api_kit.h"

#include "base/log.h"

#define PATH "/v1/drivers/some_driver"
#define BODY "{\"text\":\"return 1\"}"

static struct kit kit;

static int start(void **state) {
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
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
    report_free(&kit.engine.script.mistakes);
    kit.engine.script = (struct script_answer){.state = SCRIPT_ABSENT};
    report_init(&kit.engine.script.mistakes);
    snprintf(kit.engine.script.path, sizeof kit.engine.script.path,
             "%s/scripts/drivers/some_driver.lua", kit.folder);
    unlink(kit.engine.script.path);
    kit.engine.looked = 0;
    return 0;
}

static void read_upload(char *text, size_t size) {
    FILE *file = fopen(kit.engine.script.path, "r");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    text[length] = '\0';
    if (file)
        fclose(file);
}

static void an_upload_is_written_and_taken(void **state) {
    (void)state;
    struct answer answer;
    struct stat status;
    char text[100], value[512];
    kit_request(&kit, "PUT", PATH, BODY, &answer);
    assert_int_equal(answer.status, 201);
    assert_string_equal(answer_header(&answer, "Location", value), PATH);
    assert_true(answer_header(&answer, "ETag", value)[0]);
    answer_free(&answer);
    read_upload(text, sizeof text);
    assert_string_equal(text, "return 1");
    assert_string_equal(kit.engine.script_text, "return 1");
    assert_int_equal(stat(kit.engine.script.path, &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
    assert_int_equal(kit.engine.looked, 1);
    kit.engine.script.state = SCRIPT_UPLOADED;
    kit.engine.script.uploaded = true;
    kit_request(&kit, "PUT", PATH, "{\"text\":\"return 2\"}", &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
    read_upload(text, sizeof text);
    assert_string_equal(text, "return 2");
    kit_request(&kit, "DELETE", PATH, NULL, &answer);
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
    assert_int_not_equal(stat(kit.engine.script.path, &status), 0);
    assert_int_equal(kit.engine.looked, 3);
}

static void put_lua(const char *text, size_t length, struct answer *answer) {
    char request[1000];
    int head = snprintf(request, sizeof request,
                        "PUT " PATH " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                        "Authorization: Bearer %s\r\nContent-Type: text/x-lua; charset=utf-8\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        kit.token, length);
    memcpy(request + head, text, length);
    kit_raw(&kit, request, (size_t)head + length, answer);
}

static void lua_text_is_taken_as_it_is(void **state) {
    (void)state;
    static const char lua[] = "-- \"quoted\" \\ caf\xc3\xa9\nreturn 1\n";
    struct answer answer;
    char text[100];
    put_lua(lua, sizeof lua - 1, &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
    read_upload(text, sizeof text);
    assert_string_equal(text, lua);
    put_lua("a\0b", 3, &answer);
    expect_problem(&answer, 400);
    put_lua("caf\xe9", 4, &answer);
    expect_problem(&answer, 400);
    kit_request(&kit, "GET", "/v1/drivers", NULL, &answer);
    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

static void mistakes_come_with_file_and_line_and_nothing_is_written(void **state) {
    (void)state;
    struct answer answer;
    struct stat status;
    report_add(&kit.engine.script.mistakes, "some_driver.lua:3", "unexpected symbol");
    report_add(&kit.engine.script.mistakes, "points[2].encoding", "is none of these");
    kit_request(&kit, "PUT", PATH, BODY, &answer);
    json_t *tree = answer_tree(&answer);
    const json_t *errors = json_object_get(tree, "errors");
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(text_at(json_array_get(errors, 0), "pointer"), "/text");
    assert_string_equal(text_at(json_array_get(errors, 0), "detail"),
                        "some_driver.lua:3: unexpected symbol");
    json_decref(tree);
    expect_problem(&answer, 422);
    assert_int_not_equal(stat(kit.engine.script.path, &status), 0);
    assert_int_equal(kit.engine.looked, 0);
}

static void what_did_not_come_through_the_api_stays(void **state) {
    (void)state;
    struct answer answer;
    kit.engine.script.state = SCRIPT_OF_SITE;
    snprintf(kit.engine.script.beside, sizeof kit.engine.script.beside, "/etc/derd/drivers/x.lua");
    static const char *const methods[] = {"PUT", "DELETE"};
    for (size_t i = 0; i < 2; i++) {
        kit_request(&kit, methods[i], PATH, i == 0 ? BODY : NULL, &answer);
        assert_non_null(strstr(answer.body, "/etc/derd/drivers/x.lua"));
        expect_problem(&answer, 409);
    }
    kit.engine.script.state = SCRIPT_INSTALLED; /* an upload may hide it, but it is not removed */
    kit_request(&kit, "DELETE", PATH, NULL, &answer);
    expect_problem(&answer, 409);
    kit_request(&kit, "PUT", PATH, BODY, &answer);
    assert_int_equal(answer.status, 201);
    answer_free(&answer);
    kit.engine.script.state = SCRIPT_ABSENT;
    kit.engine.script.beside[0] = '\0';
    kit_request(&kit, "DELETE", PATH, NULL, &answer);
    expect_problem(&answer, 404);
    kit.engine.script.state = SCRIPT_UNKNOWN;
    kit_request(&kit, "PUT", PATH, BODY, &answer);
    expect_problem(&answer, 503);
}

static void only_the_root_account_changes_scripts(void **state) {
    (void)state;
    struct answer answer;
    char other[TOKEN_TEXT_SIZE];
    assert_int_equal(token_create(kit.store, "o", "other", 3999, other), ERR_OK);
    kit_request_as(&kit, other, "PUT", PATH, BODY, &answer);
    expect_problem(&answer, 403);
    kit_request_as(&kit, other, "DELETE", PATH, NULL, &answer);
    expect_problem(&answer, 403);
    kit_request_as(&kit, kit.weak_token, "PUT", PATH, BODY, &answer);
    expect_problem(&answer, 403);
    kit_request_as(&kit, NULL, "PUT", PATH, BODY, &answer);
    expect_problem(&answer, 401);
}

static void names_and_bodies_are_checked(void **state) {
    (void)state;
    struct answer answer;
    static const char *const wrong[] = {"Upper", "a.b", "..", "a%2Fb", "a b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[100];
        snprintf(path, sizeof path, "/v1/policies/%s", wrong[i]);
        kit_request(&kit, "PUT", path, BODY, &answer);
        if (answer.status < 400 || answer.status >= 500)
            fail_msg("%s: %d", path, answer.status);
        answer_free(&answer);
    }
    kit_request(&kit, "PUT", PATH, "{\"text\":7,\"name\":\"x\"}", &answer);
    expect_problem(&answer, 422);
    kit_request(&kit, "PUT", PATH, "{\"text\":\"\"}", &answer);
    expect_problem(&answer, 422);
    char *large = calloc(1, 62000);
    assert_non_null(large);
    snprintf(large, 62000, "{\"text\":\"");
    memset(large + 9, 'x', 60001);
    strcpy(large + 9 + 60001, "\"}"); // NOLINT: it fits
    kit_request(&kit, "PUT", PATH, large, &answer);
    expect_problem(&answer, 422);
    free(large);
    assert_int_equal(kit.engine.looked, 0);
}

static void what_cannot_be_written_changes_nothing(void **state) {
    (void)state;
    struct answer answer;
    snprintf(kit.engine.script.path, sizeof kit.engine.script.path,
             "/proc/none/drivers/some_driver.lua");
    kit_request(&kit, "PUT", PATH, BODY, &answer);
    assert_null(strstr(answer.body, "/proc")); /* the log has it */
    expect_problem(&answer, 503);
    assert_int_equal(kit.engine.looked, 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        T(an_upload_is_written_and_taken),
        T(lua_text_is_taken_as_it_is),
        T(mistakes_come_with_file_and_line_and_nothing_is_written),
        T(what_did_not_come_through_the_api_stays),
        T(only_the_root_account_changes_scripts),
        T(names_and_bodies_are_checked),
        T(what_cannot_be_written_changes_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
