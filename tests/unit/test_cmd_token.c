/* `derd token`, with and without a host: what it prints where, and its exit status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "admin_kit.h"
#include "cmd/cmd_token.h"

struct printed {
    int status;
    char out[8192], err[8192];
};

static void capture_begin(int fd, FILE *file, int *kept) {
    fflush(NULL);
    *kept = dup(fd);
    assert_true(*kept >= 0);
    assert_true(dup2(fileno(file), fd) >= 0);
}

static void capture_end(int fd, FILE *file, int kept, char text[8192]) {
    fflush(NULL);
    dup2(kept, fd);
    close(kept);
    rewind(file);
    text[fread(text, 1, 8191, file)] = '\0';
    fclose(file);
}

/* `words`: the arguments after "token", ended by NULL. */
static void run(struct printed *printed, const char *const *words) {
    char copies[16][256];
    char *argv[18] = {(char[]){"token"}};
    int argc = 1;
    for (; words[argc - 1] && argc < 17; argc++) {
        snprintf(copies[argc - 1], sizeof copies[0], "%s", words[argc - 1]);
        argv[argc] = copies[argc - 1];
    }
    FILE *out = tmpfile(), *err = tmpfile();
    int kept_out, kept_err;
    capture_begin(STDOUT_FILENO, out, &kept_out);
    capture_begin(STDERR_FILENO, err, &kept_err);
    printed->status = cmd_token(argc, argv);
    capture_end(STDERR_FILENO, err, kept_err, printed->err);
    capture_end(STDOUT_FILENO, out, kept_out, printed->out);
}

#define RUN(printed, ...) run(printed, (const char *const[]){__VA_ARGS__, NULL})

/* The one line on standard output. */
static void token_printed(const struct printed *printed, char text[TOKEN_TEXT_SIZE]) {
    assert_int_equal(printed->status, 0);
    snprintf(text, TOKEN_TEXT_SIZE, "%.*s", TOKEN_TEXT_SIZE - 1, printed->out);
    size_t length = strlen(text);
    assert_true(length > 0 && text[length - 1] == '\n');
    text[length - 1] = '\0';
    assert_null(strchr(text, '\n'));
}

static void must_be_in(const char *text, const char *words) {
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in: %s", words, text);
}

static void create_without_a_store_makes_it_and_prints_the_token_alone(void **state) {
    const struct folder *outer = *state;
    struct folder folder;
    struct printed printed;
    struct token token;
    char text[TOKEN_TEXT_SIZE];
    snprintf(folder.path, sizeof folder.path, "%.80s/new", outer->path);
    RUN(&printed, "create", "--store", folder.path);
    token_printed(&printed, text);
    must_be_in(printed.err, "priorities up to 1999");
    struct store *store = store_opened(&folder);
    assert_true(store_token_check(store, text, &token));
    assert_int_equal(token.max_priority, 1999);
    assert_string_equal(token.account, "owner");
    store_close(store);
}

static void what_was_asked_for_is_in_the_token(void **state) {
    const struct folder *folder = *state;
    struct printed printed;
    struct token token;
    char text[TOKEN_TEXT_SIZE];
    RUN(&printed, "create", "--name", "grid box", "--max-priority", "3999", "--account=net",
        "--store", folder->path);
    token_printed(&printed, text);
    struct store *store = store_opened(folder);
    assert_true(store_token_check(store, text, &token));
    assert_string_equal(token.name, "grid box");
    assert_string_equal(token.account, "net");
    assert_int_equal(token.max_priority, 3999);
    store_close(store);
}

static void a_running_host_takes_the_token_at_once(void **state) {
    struct small_host *host = small_host_start(*state);
    struct printed printed;
    struct token token;
    char text[TOKEN_TEXT_SIZE];
    RUN(&printed, "create", "--name", "phone", "--store", host->folder->path);
    token_printed(&printed, text);
    assert_true(store_token_check(host->store, text, &token));
    RUN(&printed, "revoke", token.id, "--store", host->folder->path);
    assert_int_equal(printed.status, 0);
    assert_false(store_token_check(host->store, text, &token));
    small_host_end(host);
}

static void the_list_shows_what_there_is(void **state) {
    const struct folder *folder = *state;
    struct printed printed;
    RUN(&printed, "create", "--name", "phone", "--max-priority", "0", "--store", folder->path);
    RUN(&printed, "list", "--store", folder->path);
    assert_int_equal(printed.status, 0);
    must_be_in(printed.out, "phone");
    must_be_in(printed.out, "owner");
    assert_null(strstr(printed.out, "derd_"));
}

static void a_name_that_is_taken_is_told_and_prints_no_token(void **state) {
    const struct folder *folder = *state;
    struct printed printed;
    RUN(&printed, "create", "--name", "phone", "--store", folder->path);
    RUN(&printed, "create", "--name", "phone", "--store", folder->path);
    assert_int_equal(printed.status, 1);
    assert_string_equal(printed.out, "");
    must_be_in(printed.err, "\"phone\" exists");
}

static void list_and_revoke_make_no_store(void **state) {
    const struct folder *folder = *state;
    struct printed printed;
    struct stat status;
    char path[128];
    RUN(&printed, "list", "--store", folder->path);
    assert_int_equal(printed.status, 1);
    must_be_in(printed.err, "there is no store");
    RUN(&printed, "revoke", "aaaaaaaaaaaa", "--store", folder->path);
    assert_int_equal(printed.status, 1);
    folder_path(folder, "derd.db", path);
    assert_int_equal(stat(path, &status), -1);
}

static void a_host_that_holds_the_store_without_a_socket_is_told(void **state) {
    const struct folder *folder = *state;
    struct printed printed;
    struct store *store = store_opened(folder);
    RUN(&printed, "list", "--store", folder->path);
    store_close(store);
    assert_int_equal(printed.status, 1);
    must_be_in(printed.err, "another derd (process ");
}

static void site_write(const struct folder *folder, const char *text, char path[128]) {
    folder_path(folder, "site.lua", path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_store_is_found_by_the_site_file_relative_to_it(void **state) {
    const struct folder *folder = *state;
    struct folder inner;
    struct printed printed;
    struct token token;
    char site[128], text[TOKEN_TEXT_SIZE];
    site_write(folder, "return { store = { directory = 'state' }, clusters = {} }", site);
    RUN(&printed, "create", "--site", site);
    token_printed(&printed, text);
    snprintf(inner.path, sizeof inner.path, "%.80s/state", folder->path);
    struct store *store = store_opened(&inner);
    assert_true(store_token_check(store, text, &token));
    store_close(store);
}

static void a_site_file_without_a_store_or_with_a_mistake_is_told(void **state) {
    struct printed printed;
    char site[128];
    site_write(*state, "return { clusters = {} }", site);
    RUN(&printed, "create", "--site", site);
    assert_int_equal(printed.status, 1);
    must_be_in(printed.err, "no store.directory");
    site_write(*state, "return {", site);
    RUN(&printed, "create", "--site", site);
    assert_int_equal(printed.status, 1);
    must_be_in(printed.err, "site.lua");
    RUN(&printed, "create", "--site", "/nonexistent/site.lua");
    assert_int_equal(printed.status, 1);
    must_be_in(printed.err, "/nonexistent/site.lua");
}

static void wrong_use_has_a_status_of_its_own(void **state) {
    static const char *const uses[][6] = {
        {NULL},
        {"make", "--store", "/tmp/x", NULL},
        {"create", NULL},
        {"create", "--store", "/tmp/x", "--site", "y", NULL},
        {"create", "extra", "--store", "/tmp/x", NULL},
        {"create", "--store", "/tmp/x", "--max-priority", "high", NULL},
        {"create", "--store", "/tmp/x", "--max-priority", "2147483648", NULL},
        {"create", "--store", "/tmp/x", "--max-priority", "-1", NULL},
        {"create", "--store", "/tmp/x", "--colour", NULL},
        {"list", "--store", "/tmp/x", "--name", "x", NULL},
        {"revoke", "--store", "/tmp/x", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        struct printed printed;
        run(&printed, uses[i]);
        assert_int_equal(printed.status, 2);
        assert_string_equal(printed.out, "");
        assert_true(strlen(printed.err) > 0);
    }
}

static void help_explains_the_bands(void **state) {
    struct printed printed;
    (void)state;
    RUN(&printed, "--help");
    assert_int_equal(printed.status, 0);
    must_be_in(printed.out, "1000 to 1999   people at the site");
    must_be_in(printed.out, "3000 to 3999   grid operator");
    RUN(&printed, "create", "--help");
    assert_int_equal(printed.status, 0);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(create_without_a_store_makes_it_and_prints_the_token_alone),
        with_folder(what_was_asked_for_is_in_the_token),
        with_folder(a_running_host_takes_the_token_at_once),
        with_folder(the_list_shows_what_there_is),
        with_folder(a_name_that_is_taken_is_told_and_prints_no_token),
        with_folder(list_and_revoke_make_no_store),
        with_folder(a_host_that_holds_the_store_without_a_socket_is_told),
        with_folder(the_store_is_found_by_the_site_file_relative_to_it),
        with_folder(a_site_file_without_a_store_or_with_a_mistake_is_told),
        cmocka_unit_test(wrong_use_has_a_status_of_its_own),
        cmocka_unit_test(help_explains_the_bands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
