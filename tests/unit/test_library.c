#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "script/library.h"
#include "script/library_watch.h"

#define GUARD_MS 60000 /* a test that waits longer has failed */
#define EVENTS   64

struct event {
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    unsigned number; /* 0: no generation */
};

struct fixture {
    char folder[64];
    char site[96], installed[96]; /* the search path */
    uv_loop_t loop;
    uv_timer_t guard;
    struct library *library;
    struct event events[EVENTS];
    size_t count;
    unsigned twin_number; /* of the policy "twin" at the moment of the first event */
};

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("what was waited for did not happen");
}

static unsigned number_of(struct fixture *fixture, enum script_kind kind, const char *name) {
    struct generation *generation = library_get(fixture->library, kind, name);
    unsigned number = generation ? generation->number : 0;
    generation_release(generation);
    return number;
}

static void on_changed(void *context, enum script_kind kind, const char *name,
                       struct generation *generation) {
    struct fixture *fixture = context;
    assert_true(fixture->count < EVENTS);
    if (fixture->count == 0)
        fixture->twin_number = number_of(fixture, SCRIPT_POLICY, "twin");
    struct event *event = &fixture->events[fixture->count++];
    event->kind = kind;
    event->number = generation ? generation->number : 0;
    snprintf(event->name, sizeof event->name, "%s", name);
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/derd-library-XXXXXX");
    if (!mkdtemp(fixture->folder))
        return -1;
    snprintf(fixture->site, sizeof fixture->site, "%s/site", fixture->folder);
    snprintf(fixture->installed, sizeof fixture->installed, "%s/installed", fixture->folder);
    uv_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop, &fixture->guard);
    uv_timer_start(&fixture->guard, on_guard, GUARD_MS, 0);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    library_close(fixture->library);
    uv_close((uv_handle_t *)&fixture->guard, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    int status = uv_loop_close(&fixture->loop);
    nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return status;
}

static void make_folder(const char *root, const char *kind) {
    char path[200];
    mkdir(root, 0700);
    snprintf(path, sizeof path, "%s/%s", root, kind);
    mkdir(path, 0700);
}

static void path_of(char path[300], const char *root, const char *file) {
    snprintf(path, 300, "%s/%s", root, file);
}

static void write_file(const char *root, const char *file, const char *text) {
    char path[300];
    path_of(path, root, file);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

static void write_policy(const char *root, const char *name, const char *version) {
    char file[100];
    char text[300];
    snprintf(file, sizeof file, "policies/%s.lua", name);
    snprintf(text, sizeof text,
             "return { api = 1, name = '%s', version = '%s', run = function() return {} end }",
             name, version);
    write_file(root, file, text);
}

static void write_driver(const char *root, const char *name, const char *more) {
    char file[100];
    char text[1000];
    snprintf(file, sizeof file, "drivers/%s.lua", name);
    snprintf(text, sizeof text,
             "return { api = 1, name = '%s', version = '7', manufacturer = 'Maker',\n"
             "models = { 'M1' }, type = 'meter', link = { kinds = { 'tcp' } },\n"
             "points = { { name = 'activePower', kind = 'input', address = 0,\n"
             "encoding = 'int16', unit = 'W', period = 1 } } %s }",
             name, more);
    write_file(root, file, text);
}

static void open_library(struct fixture *fixture) {
    const char *folders[] = {fixture->site, fixture->installed};
    fixture->library = library_open(&fixture->loop, folders, 2, on_changed, fixture);
    assert_non_null(fixture->library);
}

static const struct event *find_event(const struct fixture *fixture, const char *name) {
    for (size_t i = fixture->count; i-- > 0;) {
        if (strcmp(fixture->events[i].name, name) == 0)
            return &fixture->events[i];
    }
    return NULL;
}

/* Runs the loop until something was told about `name`, and gives it. */
static const struct event *wait_for(struct fixture *fixture, const char *name) {
    while (!find_event(fixture, name))
        uv_run(&fixture->loop, UV_RUN_ONCE);
    return find_event(fixture, name);
}

static void forget_events(struct fixture *fixture) {
    fixture->count = 0;
}

static void free_cards(struct script_card *cards, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(cards[i].json);
        script_figures_release(cards[i].figures);
    }
    free(cards);
}

/* The listing of one name, or NULL. New reference. */
static json_t *listing(struct fixture *fixture, const char *name) {
    struct script_card *cards;
    size_t count;
    json_t *found = NULL;
    assert_int_equal(library_cards(fixture->library, &cards, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        if (strcmp(cards[i].name, name) == 0)
            found = json_loads(cards[i].json, 0, NULL);
    free_cards(cards, count);
    return found;
}

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

static void assert_status(struct fixture *fixture, const char *name, const char *status,
                          size_t errors) {
    json_t *json = listing(fixture, name);
    assert_non_null(json);
    assert_string_equal(text_at(json, "status"), status);
    assert_int_equal(json_array_size(json_object_get(json, "errors")), errors);
    json_decref(json);
}

/* ---- at the start ---- */

static void everything_is_loaded_at_once_and_nothing_is_told(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    make_folder(fixture->installed, "drivers");
    write_policy(fixture->site, "calm", "1");
    write_driver(fixture->installed, "meter", "");
    open_library(fixture);
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "calm"), 1);
    assert_int_equal(number_of(fixture, SCRIPT_DRIVER, "meter"), 1);
    assert_int_equal(number_of(fixture, SCRIPT_DRIVER, "calm"), 0);
    assert_int_equal(fixture->count, 0);
    struct generation *meter = library_get(fixture->library, SCRIPT_DRIVER, "meter");
    assert_non_null(meter->driver);
    assert_null(meter->script); /* no hooks: no Lua at run time */
    assert_null(meter->policy);
    struct generation *calm = library_get(fixture->library, SCRIPT_POLICY, "calm");
    assert_non_null(calm->policy);
    assert_non_null(calm->script);
    generation_release(meter);
    generation_release(calm);
}

static void a_driver_with_hooks_keeps_its_script(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "drivers");
    write_driver(fixture->site, "meter", ", hooks = { values = function() return {} end }");
    open_library(fixture);
    struct generation *meter = library_get(fixture->library, SCRIPT_DRIVER, "meter");
    assert_non_null(meter);
    assert_non_null(meter->script);
    generation_release(meter);
}

static void earlier_folders_hide_later_ones_and_say_so(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    make_folder(fixture->installed, "policies");
    write_policy(fixture->site, "calm", "mine");
    write_policy(fixture->installed, "calm", "theirs");
    open_library(fixture);
    json_t *json = listing(fixture, "calm");
    char path[300];
    path_of(path, fixture->installed, "policies/calm.lua");
    assert_string_equal(text_at(json, "version"), "mine");
    const json_t *shadows = json_object_get(json, "shadows");
    assert_int_equal(json_array_size(shadows), 1);
    assert_string_equal(json_string_value(json_array_get(shadows, 0)), path);
    json_decref(json);
}

static void a_listing_says_what_a_driver_offers(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "drivers");
    write_driver(fixture->site, "meter", "");
    open_library(fixture);
    json_t *json = listing(fixture, "meter");
    assert_string_equal(text_at(json, "kind"), "driver");
    assert_string_equal(text_at(json, "status"), "active");
    assert_string_equal(text_at(json, "version"), "7");
    assert_string_equal(text_at(json, "manufacturer"), "Maker");
    assert_string_equal(text_at(json, "type"), "meter");
    assert_int_equal(json_integer_value(json_object_get(json, "generation")), 1);
    assert_int_equal(json_array_size(json_object_get(json, "models")), 1);
    assert_int_equal(json_array_size(json_object_get(json, "hooks")), 0);
    assert_int_equal(json_array_size(json_object_get(json, "parameters")), 0);
    assert_int_equal(strlen(text_at(json, "loadedAt")), strlen("2026-11-23T12:00:00.000Z"));
    json_decref(json);
}

static void listings_are_sorted_by_kind_and_name(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "drivers");
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "b", "1");
    write_policy(fixture->site, "a", "1");
    write_driver(fixture->site, "z", "");
    write_driver(fixture->site, "y", "");
    open_library(fixture);
    struct script_card *cards;
    size_t count;
    assert_int_equal(library_cards(fixture->library, &cards, &count), ERR_OK);
    assert_int_equal(count, 4);
    static const char *const expected[] = {"y", "z", "a", "b"};
    for (size_t i = 0; i < count; i++)
        assert_string_equal(cards[i].name, expected[i]);
    free_cards(cards, count);
}

static void a_broken_file_is_listed_with_its_line(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_file(fixture->site, "policies/torn.lua", "local a = 1\nreturn {{");
    open_library(fixture);
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "torn"), 0);
    json_t *json = listing(fixture, "torn");
    assert_string_equal(text_at(json, "status"), "broken");
    const json_t *error = json_array_get(json_object_get(json, "errors"), 0);
    assert_string_equal(text_at(error, "where"), "torn.lua:2");
    assert_true(json_is_null(json_object_get(json, "generation")));
    json_decref(json);
}

static void a_name_that_differs_from_the_file_is_a_mistake(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_file(fixture->site, "policies/calm.lua",
               "return { api = 1, name = 'wild', run = function() end }");
    open_library(fixture);
    assert_status(fixture, "calm", "broken", 1);
}

static void a_file_over_256_kib_is_refused(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    char *text = malloc((256 << 10) + 2);
    memset(text, ' ', (256 << 10) + 1);
    text[(256 << 10) + 1] = '\0';
    write_file(fixture->site, "policies/fat.lua", text);
    free(text);
    open_library(fixture);
    assert_status(fixture, "fat", "broken", 1);
}

static void only_script_names_count(void **state) {
    (void)state;
    static const char *const good[] = {"a.lua", "eastron_sdm.lua", "keba_p30.lua"};
    static const char *const bad[] = {".a.lua",  "a.lua~",  "a.lua.swp", "A.lua", "_a.lua",
                                      "a",       "a-b.lua", ".lua",      "4.lua", "a.luac",
                                      "a.b.lua", ".#a.lua", "#a.lua#"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(library_is_script(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(library_is_script(bad[i]));
}

/* ---- while it runs ---- */

static void a_changed_file_becomes_a_new_generation(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    struct generation *old = library_get(fixture->library, SCRIPT_POLICY, "calm");
    write_policy(fixture->site, "calm", "2");
    const struct event *event = wait_for(fixture, "calm");
    assert_int_equal(event->number, 2);
    assert_int_equal(event->kind, SCRIPT_POLICY);
    /* Who holds the old one goes on with it. */
    assert_string_equal(old->policy->version, "1");
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(script_call(old->script, "run", NULL, NULL, NULL, error), SCRIPT_OK);
    generation_release(old);
    json_t *json = listing(fixture, "calm");
    assert_string_equal(text_at(json, "version"), "2");
    json_decref(json);
}

static void a_file_that_is_moved_over_the_old_one_counts_too(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    char from[300];
    char to[300];
    write_file(fixture->site, "policies/.calm.tmp",
               "return { api = 1, name = 'calm', version = '2', run = function() end }");
    path_of(from, fixture->site, "policies/.calm.tmp");
    path_of(to, fixture->site, "policies/calm.lua");
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(wait_for(fixture, "calm")->number, 2);
}

static void a_broken_change_keeps_the_old_generation_and_tells_its_mistakes(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    write_file(fixture->site, "policies/calm.lua", "return { nonsense");
    assert_int_equal(wait_for(fixture, "calm")->number, 1);
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "calm"), 1);
    assert_status(fixture, "calm", "active", 1);
    forget_events(fixture);
    write_policy(fixture->site, "calm", "3");
    assert_int_equal(wait_for(fixture, "calm")->number, 2);
    assert_status(fixture, "calm", "active", 0);
}

static void a_removed_file_is_told_and_its_users_keep_it(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    struct generation *used = library_get(fixture->library, SCRIPT_POLICY, "calm");
    char path[300];
    path_of(path, fixture->site, "policies/calm.lua");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(wait_for(fixture, "calm")->number, 0);
    assert_status(fixture, "calm", "removed", 0);
    assert_string_equal(used->policy->version, "1");
    generation_release(used);
    forget_events(fixture);
    write_policy(fixture->site, "calm", "1");
    assert_int_equal(wait_for(fixture, "calm")->number, 2);
    assert_status(fixture, "calm", "active", 0);
}

static void a_hidden_file_comes_forward_when_the_hiding_one_goes(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    make_folder(fixture->installed, "policies");
    write_policy(fixture->site, "calm", "same");
    write_policy(fixture->installed, "calm", "same");
    open_library(fixture);
    char path[300];
    path_of(path, fixture->site, "policies/calm.lua");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(wait_for(fixture, "calm")->number, 2);
    path_of(path, fixture->installed, "policies/calm.lua");
    json_t *json = listing(fixture, "calm");
    assert_string_equal(text_at(json, "path"), path);
    json_decref(json);
}

static void the_same_text_again_is_no_change(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    write_policy(fixture->site, "calm", "1");
    write_file(fixture->site, "policies/.calm.lua.swp", "return {");
    write_file(fixture->site, "policies/calm.lua~", "return {");
    write_policy(fixture->site, "other", "1"); /* its event comes after all of these */
    wait_for(fixture, "other");
    assert_null(find_event(fixture, "calm"));
    assert_int_equal(fixture->count, 1);
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "calm"), 1);
}

static void files_that_change_together_are_swapped_together(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    write_policy(fixture->site, "twin", "1");
    open_library(fixture);
    write_policy(fixture->site, "calm", "2");
    write_policy(fixture->site, "twin", "2");
    wait_for(fixture, "twin");
    assert_string_equal(fixture->events[0].name, "calm");
    assert_int_equal(fixture->twin_number, 2); /* when calm was told, twin was in place */
}

static void folders_that_appear_later_are_found(void **state) {
    struct fixture *fixture = *state;
    open_library(fixture); /* neither folder exists, nor what is in them */
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    assert_int_equal(wait_for(fixture, "calm")->number, 1);
    forget_events(fixture);
    make_folder(fixture->site, "drivers");
    write_driver(fixture->site, "meter", "");
    assert_int_equal(wait_for(fixture, "meter")->number, 1);
}

static void a_folder_that_goes_and_comes_back_is_watched_again(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    char folder[300];
    char away[300];
    path_of(folder, fixture->site, "policies");
    path_of(away, fixture->site, "elsewhere");
    assert_int_equal(rename(folder, away), 0);
    assert_int_equal(wait_for(fixture, "calm")->number, 0);
    forget_events(fixture);
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "2");
    assert_int_equal(wait_for(fixture, "calm")->number, 2);
    forget_events(fixture);
    write_policy(fixture->site, "calm", "3");
    assert_int_equal(wait_for(fixture, "calm")->number, 3);
}

static void a_generation_outlives_its_library(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    struct generation *used = library_get(fixture->library, SCRIPT_POLICY, "calm");
    library_close(fixture->library);
    fixture->library = NULL;
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(script_call(used->script, "run", NULL, NULL, NULL, error), SCRIPT_OK);
    generation_release(used);
}

/* ---- one file ---- */

static void a_file_is_loaded_outside_any_library(void **state) {
    struct fixture *fixture = *state;
    struct report report;
    report_init(&report);
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    char path[300];
    path_of(path, fixture->site, "policies/calm.lua");
    struct generation *generation = generation_load(SCRIPT_POLICY, path, 5, &report);
    assert_non_null(generation);
    assert_int_equal(generation->number, 5);
    assert_string_equal(generation->name, "calm");
    assert_string_equal(generation->path, path);
    generation_release(generation);
    assert_null(generation_load(SCRIPT_POLICY, "/nonexistent/calm.lua", 1, &report));
    assert_null(generation_load(SCRIPT_POLICY, "/tmp/Calm.lua", 1, &report));
    assert_int_equal(report.count, 2);
    report_free(&report);
}

static void the_shipped_policies_load(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    struct generation *generation =
        generation_load(SCRIPT_POLICY, DERD_SOURCE_DIR "/policies/solar_charging.lua", 1, &report);
    if (!generation)
        fail_msg("%s: %s", report.items[0].where, report.items[0].text);
    generation_release(generation);
    report_free(&report);
}

/* ---- failing scripts ---- */

static void a_script_is_built_anew_from_the_text_it_was_made_from(void **state) {
    struct fixture *fixture = *state;
    struct report report;
    report_init(&report);
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    struct generation *calm = library_get(fixture->library, SCRIPT_POLICY, "calm");
    write_file(fixture->site, "policies/calm.lua", "this is no Lua");
    const struct script *before = calm->script;
    assert_true(generation_rebuild(calm, &report));
    assert_ptr_not_equal(calm->script, before);
    char error[SCRIPT_ERROR_SIZE];
    assert_int_equal(script_call(calm->script, "run", NULL, NULL, NULL, error), SCRIPT_OK);
    generation_release(calm);
    report_free(&report);
}

static void what_was_rolled_back_is_not_tried_again_until_its_file_changes(void **state) {
    struct fixture *fixture = *state;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "calm", "1");
    open_library(fixture);
    struct generation *old = library_get(fixture->library, SCRIPT_POLICY, "calm");
    write_policy(fixture->site, "calm", "2");
    wait_for(fixture, "calm");
    struct generation *fresh = library_get(fixture->library, SCRIPT_POLICY, "calm");
    library_roll_back(fixture->library, fresh, old, "it was worse");
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "calm"), 1);
    json_t *json = listing(fixture, "calm");
    const json_t *rolled_back = json_object_get(json, "rolledBack");
    assert_string_equal(text_at(json, "version"), "1");
    assert_string_equal(text_at(rolled_back, "version"), "2");
    assert_string_equal(text_at(rolled_back, "why"), "it was worse");
    json_decref(json);
    forget_events(fixture);
    write_policy(fixture->site, "other", "1"); /* has the folder read again */
    wait_for(fixture, "other");
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "calm"), 1);
    write_policy(fixture->site, "calm", "3");
    wait_for(fixture, "calm");
    assert_int_equal(number_of(fixture, SCRIPT_POLICY, "calm"), 3);
    json = listing(fixture, "calm");
    assert_true(json_is_null(json_object_get(json, "rolledBack")));
    json_decref(json);
    generation_release(old);
    generation_release(fresh);
}

/* One text, as the store would keep it. */
struct kept {
    char file[64];
    char *text;
    int puts;
};

static char *recall(void *context, const char *file) {
    const struct kept *kept = context;
    return kept->text && strcmp(kept->file, file) == 0 ? strdup(kept->text) : NULL;
}

static void keep(void *context, const char *file, const char *text) {
    struct kept *kept = context;
    snprintf(kept->file, sizeof kept->file, "%s", file);
    free(kept->text);
    kept->text = text ? strdup(text) : NULL;
    kept->puts++;
}

static void open_again(struct fixture *fixture, const struct library_memory *memory) {
    const char *folders[] = {fixture->site};
    library_close(fixture->library);
    fixture->library =
        library_open_watched(&fixture->loop, folders, 1, NULL, NULL, memory, on_changed, fixture);
    assert_non_null(fixture->library);
}

static void a_file_that_is_broken_at_the_start_leaves_the_text_that_was_taken(void **state) {
    struct fixture *fixture = *state;
    struct kept kept = {{0}, NULL, 0};
    const struct library_memory memory = {recall, keep, &kept};
    make_folder(fixture->site, "drivers");
    write_driver(fixture->site, "meter", "");
    open_again(fixture, &memory);
    assert_int_equal(kept.puts, 1);
    open_again(fixture, &memory); /* nothing new: nothing is stored */
    assert_int_equal(kept.puts, 1);

    write_file(fixture->site, "drivers/meter.lua", "return {\n  nonsense\n");
    open_again(fixture, &memory);
    assert_status(fixture, "meter", "active", 1);
    struct generation *generation = library_get(fixture->library, SCRIPT_DRIVER, "meter");
    assert_string_equal(generation->text, kept.text);
    generation_release(generation);
    assert_int_equal(kept.puts, 1);

    /* Mended, it is taken as any change is. */
    forget_events(fixture);
    write_driver(fixture->site, "meter", "--[[mended]]");
    wait_for(fixture, "meter");
    assert_status(fixture, "meter", "active", 0);
    assert_int_equal(kept.puts, 2);
    assert_non_null(strstr(kept.text, "mended"));

    /* Removed, it is forgotten: who puts a broken one there later gets its mistakes. */
    char path[300];
    path_of(path, fixture->site, "drivers/meter.lua");
    forget_events(fixture);
    assert_int_equal(remove(path), 0);
    wait_for(fixture, "meter");
    assert_null(kept.text);
    write_file(fixture->site, "drivers/meter.lua", "return {\n  nonsense\n");
    open_again(fixture, &memory);
    assert_status(fixture, "meter", "broken", 1);
    free(kept.text);
}

/* The hash of a file's text, as a library sees it. */
static void hash_of(const struct fixture *fixture, const char *file, char hash[SCRIPT_HASH_SIZE]) {
    char path[300];
    struct report report;
    report_init(&report);
    path_of(path, fixture->site, file);
    struct generation *generation = generation_load(SCRIPT_POLICY, path, 1, &report);
    assert_non_null(generation);
    memcpy(hash, generation->hash, SCRIPT_HASH_SIZE);
    generation_release(generation);
    report_free(&report);
}

static void culprits_of_a_stall_start_quarantined_or_are_not_loaded(void **state) {
    struct fixture *fixture = *state;
    const char *folders[] = {fixture->site};
    static struct stalls stalls;
    make_folder(fixture->site, "policies");
    write_policy(fixture->site, "caller", "1");
    write_policy(fixture->site, "loader", "1");
    write_policy(fixture->site, "changed", "1");
    stalls.count = 3;
    snprintf(stalls.items[0].name, DRIVER_NAME_SIZE, "caller");
    snprintf(stalls.items[0].call, SCRIPT_PATH_SIZE, "run");
    hash_of(fixture, "policies/caller.lua", stalls.items[0].hash);
    snprintf(stalls.items[1].name, DRIVER_NAME_SIZE, "loader");
    snprintf(stalls.items[1].call, SCRIPT_PATH_SIZE, SCRIPT_LOADING);
    hash_of(fixture, "policies/loader.lua", stalls.items[1].hash);
    stalls.items[2] = stalls.items[0];
    snprintf(stalls.items[2].name, DRIVER_NAME_SIZE, "changed"); /* another text's hash */
    for (size_t i = 0; i < stalls.count; i++)
        stalls.items[i].kind = SCRIPT_POLICY;
    fixture->library =
        library_open_watched(&fixture->loop, folders, 1, NULL, &stalls, NULL, on_changed, fixture);
    assert_non_null(fixture->library);
    assert_status(fixture, "caller", "quarantined", 0);
    assert_status(fixture, "loader", "broken", 1);
    assert_status(fixture, "changed", "active", 0);
    assert_true(library_has_text(fixture->library, SCRIPT_POLICY, "loader", stalls.items[1].hash));
    assert_false(
        library_has_text(fixture->library, SCRIPT_POLICY, "changed", stalls.items[2].hash));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(everything_is_loaded_at_once_and_nothing_is_told),
        TEST(a_driver_with_hooks_keeps_its_script),
        TEST(earlier_folders_hide_later_ones_and_say_so),
        TEST(a_listing_says_what_a_driver_offers),
        TEST(listings_are_sorted_by_kind_and_name),
        TEST(a_broken_file_is_listed_with_its_line),
        TEST(a_name_that_differs_from_the_file_is_a_mistake),
        TEST(a_file_over_256_kib_is_refused),
        TEST(only_script_names_count),
        TEST(a_changed_file_becomes_a_new_generation),
        TEST(a_file_that_is_moved_over_the_old_one_counts_too),
        TEST(a_broken_change_keeps_the_old_generation_and_tells_its_mistakes),
        TEST(a_removed_file_is_told_and_its_users_keep_it),
        TEST(a_hidden_file_comes_forward_when_the_hiding_one_goes),
        TEST(the_same_text_again_is_no_change),
        TEST(files_that_change_together_are_swapped_together),
        TEST(folders_that_appear_later_are_found),
        TEST(a_folder_that_goes_and_comes_back_is_watched_again),
        TEST(a_generation_outlives_its_library),
        TEST(a_file_is_loaded_outside_any_library),
        TEST(the_shipped_policies_load),
        TEST(a_script_is_built_anew_from_the_text_it_was_made_from),
        TEST(what_was_rolled_back_is_not_tried_again_until_its_file_changes),
        TEST(a_file_that_is_broken_at_the_start_leaves_the_text_that_was_taken),
        TEST(culprits_of_a_stall_start_quarantined_or_are_not_loaded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
