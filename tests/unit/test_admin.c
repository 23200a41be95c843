/* The administration socket, spoken to over the real thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "admin_kit.h"
#include "base/log.h"

static int setup(void **state) {
    struct folder *folder;
    folder_make((void **)&folder);
    *state = small_host_start(folder);
    return 0;
}

static int teardown(void **state) {
    struct small_host *host = *state;
    struct folder *folder = host->folder;
    small_host_end(host);
    return folder_remove((void **)&folder);
}

static int client_connect(const struct small_host *host) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/derd.sock", host->folder->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void client_send(int fd, const char *text) {
    size_t length = strlen(text);
    assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* The one line of answer, after which the host hangs up. */
static json_t *client_receive(int fd) {
    static char line[ADMIN_ANSWER_MAXIMUM];
    size_t length = 0;
    ssize_t count;
    while ((count = recv(fd, line + length, sizeof line - length, 0)) > 0)
        length += (size_t)count;
    close(fd);
    assert_true(length > 0);
    assert_ptr_equal(memchr(line, '\n', length), line + length - 1);
    json_t *answer = json_loadb(line, length, 0, NULL);
    assert_non_null(answer);
    return answer;
}

static json_t *ask(const struct small_host *host, const char *request) {
    int fd = client_connect(host);
    client_send(fd, request);
    client_send(fd, "\n");
    return client_receive(fd);
}

static const char *text_of(const json_t *answer, const char *key) {
    const char *text = json_string_value(json_object_get(answer, key));
    return text ? text : "(none)";
}

static void must_be_refused(const struct small_host *host, const char *request, const char *code,
                            const char *words) {
    json_t *answer = ask(host, request);
    assert_true(json_is_false(json_object_get(answer, "ok")));
    assert_string_equal(text_of(answer, "code"), code);
    if (!strstr(text_of(answer, "error"), words))
        fail_msg("\"%s\" is not in: %s", words, text_of(answer, "error"));
    json_decref(answer);
}

/* --- commands -------------------------------------------------------------------------------- */

static void a_token_made_over_the_socket_is_accepted_at_once(void **state) {
    const struct small_host *host = *state;
    struct token token;
    json_t *answer = ask(host, "{\"command\":\"token create\",\"name\":\"phone\","
                               "\"account\":\"family\",\"maxPriority\":2999}");
    assert_true(json_is_true(json_object_get(answer, "ok")));
    assert_true(store_token_check(host->store, text_of(answer, "token"), &token));
    assert_string_equal(token.name, "phone");
    assert_string_equal(token.account, "family");
    assert_int_equal(token.max_priority, 2999);
    assert_string_equal(text_of(answer, "id"), token.id);
    json_decref(answer);
}

static void a_token_is_for_people_at_the_site_unless_said_otherwise(void **state) {
    const struct small_host *host = *state;
    struct token token;
    json_t *answer = ask(host, "{\"command\":\"token create\"}");
    assert_true(store_token_check(host->store, text_of(answer, "token"), &token));
    assert_int_equal(token.max_priority, 1999);
    assert_string_equal(token.account, "owner");
    json_decref(answer);
}

static void the_list_has_every_token_and_no_secret(void **state) {
    const struct small_host *host = *state;
    json_decref(ask(host, "{\"command\":\"token create\",\"name\":\"a\"}"));
    json_decref(ask(host, "{\"command\":\"token create\",\"name\":\"b\",\"maxPriority\":0}"));
    json_t *answer = ask(host, "{\"command\":\"token list\"}");
    const json_t *tokens = json_object_get(answer, "tokens");
    assert_int_equal(json_array_size(tokens), 2);
    const json_t *second = json_array_get(tokens, 1);
    assert_string_equal(text_of(second, "name"), "b");
    assert_string_equal(text_of(second, "account"), "owner");
    assert_int_equal(json_integer_value(json_object_get(second, "maxPriority")), 0);
    assert_int_equal(strlen(text_of(second, "id")), 12);
    assert_int_equal(strlen(text_of(second, "createdAt")), 24);
    assert_int_equal(json_array_size(json_object_get(second, "scopes")), 2);
    assert_int_equal(json_object_size(second), 9);
    json_decref(answer);
}

static void a_token_revoked_over_the_socket_is_refused_at_once(void **state) {
    const struct small_host *host = *state;
    struct token token;
    char request[100], text[TOKEN_TEXT_SIZE];
    assert_int_equal(token_create(host->store, "phone", NULL, 0, text), ERR_OK);
    assert_true(store_token_check(host->store, text, &token));
    snprintf(request, sizeof request, "{\"command\":\"token revoke\",\"id\":\"%s\"}", token.id);
    json_decref(ask(host, request));
    assert_false(store_token_check(host->store, text, &token));
    must_be_refused(host, request, "not found", "derd token list");
}

static void a_name_that_is_taken_is_a_conflict(void **state) {
    json_decref(ask(*state, "{\"command\":\"token create\",\"name\":\"phone\"}"));
    must_be_refused(*state, "{\"command\":\"token create\",\"name\":\"phone\"}", "conflict",
                    "\"phone\" exists");
}

static void the_status_has_the_stores_state_and_what_the_host_adds(void **state) {
    json_t *answer = ask(*state, "{\"command\":\"status\"}");
    assert_true(json_is_true(json_object_get(answer, "ok")));
    assert_string_equal(text_of(answer, "version"), DERD_VERSION);
    assert_int_equal(json_integer_value(json_object_get(answer, "processId")), getpid());
    assert_true(json_is_false(json_object_get(answer, "storeFailing")));
    assert_true(json_is_null(json_object_get(answer, "storeProblem")));
    assert_int_equal(json_integer_value(json_object_get(answer, "devices")), 3);
    json_decref(answer);
}

static void the_log_level_can_be_changed(void **state) {
    json_t *answer = ask(*state, "{\"command\":\"log level\",\"level\":\"warning\"}");
    assert_true(json_is_true(json_object_get(answer, "ok")));
    json_decref(answer);
    log_set_level(LOG_LEVEL_INFO);
    must_be_refused(*state, "{\"command\":\"log level\",\"level\":\"loud\"}", "format", "level");
}

/* --- what is not understood ------------------------------------------------------------------ */

static void what_is_no_request_is_refused_with_what_was_expected(void **state) {
    must_be_refused(*state, "create a token please", "format", "not JSON");
    must_be_refused(*state, "", "format", "not JSON");
    must_be_refused(*state, "[]", "not found", "token create");
    must_be_refused(*state, "{\"command\":7}", "not found", "token create");
    must_be_refused(*state, "{\"command\":\"reboot\"}", "not found", "token create");
}

static void a_field_that_is_wrong_is_refused_with_its_place(void **state) {
    must_be_refused(*state, "{\"command\":\"token create\",\"maxPriority\":-1}", "format",
                    "/maxPriority");
    must_be_refused(*state, "{\"command\":\"token create\",\"maxPriority\":2147483648}", "format",
                    "/maxPriority");
    must_be_refused(*state, "{\"command\":\"token create\",\"nmae\":\"x\"}", "format", "nmae");
    must_be_refused(*state, "{\"command\":\"token revoke\"}", "format", "id");
}

static void a_request_that_is_too_long_is_refused(void **state) {
    const struct small_host *host = *state;
    char *text = malloc(ADMIN_REQUEST_MAXIMUM + 2);
    memset(text, ' ', ADMIN_REQUEST_MAXIMUM + 1);
    text[ADMIN_REQUEST_MAXIMUM + 1] = '\0';
    int fd = client_connect(host);
    client_send(fd, text);
    json_t *answer = client_receive(fd);
    assert_string_equal(text_of(answer, "code"), "limit");
    json_decref(answer);
    free(text);
}

/* --- clients --------------------------------------------------------------------------------- */

static void a_request_may_come_in_pieces(void **state) {
    const struct small_host *host = *state;
    int fd = client_connect(host);
    const char *text = "{\"command\":\"status\"}\n";
    for (size_t i = 0; text[i]; i++)
        client_send(fd, (char[]){text[i], '\0'});
    json_t *answer = client_receive(fd);
    assert_true(json_is_true(json_object_get(answer, "ok")));
    json_decref(answer);
}

static void a_client_beyond_the_last_place_waits_for_one(void **state) {
    const struct small_host *host = *state;
    int silent[ADMIN_CLIENTS_MAXIMUM];
    for (size_t i = 0; i < ADMIN_CLIENTS_MAXIMUM; i++)
        silent[i] = client_connect(host);
    int first = client_connect(host), second = client_connect(host);
    client_send(first, "{\"command\":\"status\"}\n");
    client_send(second, "{\"command\":\"status\"}\n");
    close(silent[0]);
    json_decref(client_receive(first));
    json_decref(client_receive(second));
    for (size_t i = 1; i < ADMIN_CLIENTS_MAXIMUM; i++)
        close(silent[i]);
}

static void clients_that_leave_early_harm_nobody(void **state) {
    const struct small_host *host = *state;
    for (int i = 0; i < 20; i++) {
        int fd = client_connect(host);
        if (i % 2)
            client_send(fd, "{\"command\":\"token create\"}\n");
        close(fd);
    }
    json_decref(ask(host, "{\"command\":\"status\"}"));
}

static void ending_the_host_hangs_up_and_removes_the_socket(void **state) {
    struct folder *folder = *state;
    struct small_host *host = small_host_start(folder);
    char path[128], byte;
    struct stat status;
    folder_path(folder, "derd.sock", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    int idle = client_connect(host), busy = client_connect(host);
    client_send(busy, "{\"command\":\"token create\"}\n");
    small_host_end(host);
    assert_true(recv(idle, &byte, 1, 0) <= 0);
    close(idle);
    close(busy);
    assert_int_equal(stat(path, &status), -1);
}

/* --- opening --------------------------------------------------------------------------------- */

static void a_socket_left_by_a_dead_host_is_replaced(void **state) {
    struct folder *folder = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/derd.sock", folder->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    struct small_host *host = small_host_start(folder);
    json_decref(ask(host, "{\"command\":\"status\"}"));
    small_host_end(host);
}

static void must_not_open(const char *directory, enum err expected, const char *words) {
    struct admin *admin;
    struct report report;
    uv_loop_t loop;
    report_init(&report);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(admin_open(&admin, &loop, directory, NULL, NULL, NULL, &report), expected);
    assert_null(admin);
    assert_int_equal(report.total, 1);
    assert_non_null(strstr(report.items[0].text, words));
    report_free(&report);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_file_in_the_sockets_place_is_not_removed(void **state) {
    const struct folder *folder = *state;
    char path[128];
    struct stat status;
    folder_path(folder, "derd.sock", path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    must_not_open(folder->path, ERR_CONFLICT, "something else");
    assert_int_equal(stat(path, &status), 0);
}

static void a_folder_that_is_missing_or_too_long_is_a_mistake(void **state) {
    (void)state;
    char name[200];
    memset(name, 'x', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    must_not_open(name, ERR_LIMIT, "too long");
    must_not_open("/nonexistent/derd", ERR_IO, "could not be made");
}

#define with_host(test)   cmocka_unit_test_setup_teardown(test, setup, teardown)
#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_host(a_token_made_over_the_socket_is_accepted_at_once),
        with_host(a_token_is_for_people_at_the_site_unless_said_otherwise),
        with_host(the_list_has_every_token_and_no_secret),
        with_host(a_token_revoked_over_the_socket_is_refused_at_once),
        with_host(a_name_that_is_taken_is_a_conflict),
        with_host(the_status_has_the_stores_state_and_what_the_host_adds),
        with_host(the_log_level_can_be_changed),
        with_host(what_is_no_request_is_refused_with_what_was_expected),
        with_host(a_field_that_is_wrong_is_refused_with_its_place),
        with_host(a_request_that_is_too_long_is_refused),
        with_host(a_request_may_come_in_pieces),
        with_host(a_client_beyond_the_last_place_waits_for_one),
        with_host(clients_that_leave_early_harm_nobody),
        with_folder(ending_the_host_hangs_up_and_removes_the_socket),
        with_folder(a_socket_left_by_a_dead_host_is_replaced),
        with_folder(a_file_in_the_sockets_place_is_not_removed),
        cmocka_unit_test(a_folder_that_is_missing_or_too_long_is_a_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
