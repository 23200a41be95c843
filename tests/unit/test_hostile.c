/* Every class of tests/hostile/classes.txt, and texts that are hostile as a whole, in every place
 * where Lua of others runs: the file of a driver and of a policy, a hook, a policy's run(), a site
 * file, the file of a simulated home. Each ends in one of the ways that its class allows, is named
 * with its file, and leaves the next call and the next script unharmed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/luadata.h"
#include "script/library.h"
#include "script/policy.h"
#include "simulate/config.h"
#include "simulate/home.h"
#include "site.h"

/* Of one class in a row. A call that runs into its budget takes ten times as long in sanitizer
 * builds; there once is enough, a harmless call follows in any case. */
#ifdef DERD_SANITIZED
#define CALLS 1
#else
#define CALLS 2
#endif
/* The thread sanitizer makes the budget ten times as long, and races are the same in every class:
 * there each place takes each third class, by turn. */
#ifdef __SANITIZE_THREAD__
#define EACH 3
#else
#define EACH 1
#endif
#define CLASSES_MAXIMUM 200
#define PIECE_SIZE      4000
#define TEXT_SIZE       ((size_t)256 << 10) /* the largest file of a script */

#define POLICY_HEAD "api = 1, name = \"hostile\", every = 1"
#define DRIVER_HEAD                                                                                \
    "api = 1, name = \"hostile\", version = \"1\", manufacturer = \"Test\", models = { \"x\" }, "  \
    "type = \"meter\", link = { kinds = { \"tcp\" } }, points = { { name = \"activePower\", "      \
    "address = 0, encoding = \"int16\" } }"

struct class {
    char name[64];
    bool may_end[SCRIPT_NO_SUCH]; /* by enum script_outcome */
    char piece[PIECE_SIZE];
};

struct fixture {
    struct class *classes;
    size_t count;
    char folder[64];
    char path[128]; /* hostile.lua, in it */
    char *text;     /* room for one file */
};

static void read_endings(struct class *class, char *endings) {
    static const char *const names[] = {"ok", "raised", "overtime", "memory"};
    for (char *rest, *word = strtok_r(endings, " \n", &rest); word;
         word = strtok_r(NULL, " \n", &rest)) {
        size_t i = 0;
        while (i < sizeof names / sizeof names[0] && strcmp(names[i], word) != 0)
            i++;
        assert_true(i < sizeof names / sizeof names[0]);
        class->may_end[i] = true;
    }
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->classes = calloc(CLASSES_MAXIMUM, sizeof *fixture->classes);
    fixture->text = malloc(TEXT_SIZE + PIECE_SIZE);
    FILE *file = fopen(DERD_SOURCE_DIR "/tests/hostile/classes.txt", "r");
    assert_true(file && fixture->text && fixture->classes);
    struct class *class = NULL;
    char line[400], endings[100];
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "--- ", 4) == 0) {
            assert_true(fixture->count < CLASSES_MAXIMUM);
            class = &fixture->classes[fixture->count++];
            assert_int_equal(sscanf(line, "--- %63[a-z0-9_]: %99[a-z ]", class->name, endings), 2);
            read_endings(class, endings);
        } else if (class) {
            assert_true(strlen(class->piece) + strlen(line) < PIECE_SIZE);
            memcpy(class->piece + strlen(class->piece), line, strlen(line) + 1);
        }
    }
    fclose(file);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/derd-hostile-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/hostile.lua", fixture->folder);
    log_set_level(LOG_LEVEL_ERROR);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture->classes);
    free(fixture->text);
    free(fixture);
    return 0;
}

static void write_file(const struct fixture *fixture, const char *text, size_t length) {
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const struct fixture *fixture, const char *head, const char *piece,
                       const char *tail) {
    int length = snprintf(fixture->text, TEXT_SIZE, "%s%s%s", head, piece, tail);
    write_file(fixture, fixture->text, (size_t)length);
}

/* The first mistake names the file. */
static void assert_named(const char *name, const struct report *report) {
    if (report->total == 0)
        fail_msg("%s: refused without a mistake", name);
    char text[1000];
    snprintf(text, sizeof text, "%s: %s", report->items[0].where, report->items[0].text);
    if (!strstr(text, "hostile.lua"))
        fail_msg("%s: nothing names the file in '%s'", name, text);
}

/* ---- files that are run: the mistake must be the class's own, a refusal never a crash ---- */

/* What the file at fixture->path is in one place. True when it was taken. */
typedef bool load_file(const struct fixture *fixture, struct report *report);

static bool load_driver(const struct fixture *fixture, struct report *report) {
    struct generation *generation = generation_load(SCRIPT_DRIVER, fixture->path, 1, report);
    generation_release(generation);
    return generation != NULL;
}

static bool load_policy(const struct fixture *fixture, struct report *report) {
    struct generation *generation = generation_load(SCRIPT_POLICY, fixture->path, 1, report);
    generation_release(generation);
    return generation != NULL;
}

static bool load_site(const struct fixture *fixture, struct report *report) {
    struct site *site = site_load(fixture->path, report);
    site_free(site);
    return site != NULL;
}

static bool load_home(const struct fixture *fixture, struct report *report) {
    struct sim_home home;
    size_t length;
    char *text = file_read(fixture->path, TEXT_SIZE, &length, report);
    assert_non_null(text);
    assert_int_equal(sim_home_init(&home), ERR_OK);
    bool loaded = sim_config_load(&home, "hostile.lua", text, length, report);
    sim_home_free(&home);
    free(text);
    return loaded;
}

static const struct place {
    const char *name;
    load_file *load;
    const char *whole; /* a file that is fine here */
} places[] = {
    {"driver", load_driver, "return { " DRIVER_HEAD " }\n"},
    {"policy", load_policy, "return { " POLICY_HEAD ", run = function() return {} end }\n"},
    {"site", load_site,
     "return { store = { directory = \"x\" }, clusters = { { key = \"a\", devices = {} } } }\n"},
    {"home", load_home,
     "return { listeners = { { name = \"a\", port = 0 } }, devices = { { make = "
     "\"eastron_sdm630\", name = \"grid\", listener = \"a\", unit = 1, measures = \"grid\" } } "
     "}\n"}};

/* A good file is taken, before and after: so a refusal in between is the class's. */
static void assert_unharmed(const struct fixture *fixture, const struct place *place) {
    struct report report;
    report_init(&report);
    write_text(fixture, place->whole, "", "");
    if (!place->load(fixture, &report))
        fail_msg("a good %s is refused: %s: %s", place->name, report.items[0].where,
                 report.items[0].text);
    report_free(&report);
}

static void load_hostile(const struct fixture *fixture, const struct place *place, const char *name,
                         bool may_pass) {
    struct report report;
    report_init(&report);
    bool taken = place->load(fixture, &report);
    if (taken && !may_pass)
        fail_msg("%s was taken as a %s", name, place->name);
    if (!taken && !may_pass && strcmp(place->name, "site") != 0 && strcmp(place->name, "home") != 0)
        assert_named(name, &report);
    if (!taken && report.total == 0)
        fail_msg("%s: refused as a %s without a mistake", name, place->name);
    report_free(&report);
}

static void classes_in_a_file(const struct fixture *fixture, const struct place *place) {
    assert_unharmed(fixture, place);
    for (size_t i = (size_t)(place - places) % EACH; i < fixture->count; i += EACH) {
        const struct class *class = &fixture->classes[i];
        write_text(fixture, "do\n", class->piece, "end\n");
        FILE *file = fopen(fixture->path, "a");
        assert_non_null(file);
        fputs(place->whole, file);
        fclose(file);
        load_hostile(fixture, place, class->name, class->may_end[SCRIPT_OK]);
        assert_unharmed(fixture, place);
    }
}

static void hostile_driver_files_are_refused(void **state) {
    classes_in_a_file(*state, &places[0]);
}

static void hostile_policy_files_are_refused(void **state) {
    classes_in_a_file(*state, &places[1]);
}

static void hostile_site_files_are_refused(void **state) {
    classes_in_a_file(*state, &places[2]);
}

static void hostile_home_files_are_refused(void **state) {
    classes_in_a_file(*state, &places[3]);
}

/* ---- calls ---- */

static int push_dev(lua_State *L, void *context) {
    (void)context;
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "dut");
    lua_setfield(L, -2, "key");
    lua_newtable(L);
    lua_setfield(L, -2, "state");
    lua_newtable(L);
    return 2;
}

/* Reads what was returned as the host reads state: plain data or nothing. */
static void take_tree(lua_State *L, int first, int last, void *context) {
    (void)context;
    struct report report;
    report_init(&report);
    if (last >= first)
        json_decref(luadata_from_stack(L, first, false, &report));
    report_free(&report);
}

static void assert_ending(const struct class *class, enum script_outcome outcome,
                          const char *error) {
    static const char *const names[] = {"ok", "raised", "overtime", "memory", "no such"};
    if (outcome >= SCRIPT_NO_SUCH || !class->may_end[outcome])
        fail_msg("%s ended as '%s': %s", class->name, names[outcome], error);
    if (outcome != SCRIPT_OK && strncmp(error, "hostile.lua:", 12) != 0)
        fail_msg("%s: the error names no file and line: %s", class->name, error);
}

static struct generation *generation_of(const struct fixture *fixture, enum script_kind kind) {
    struct report report;
    report_init(&report);
    struct generation *generation = generation_load(kind, fixture->path, 1, &report);
    if (!generation)
        fail_msg("%s: %s", report.items[0].where, report.items[0].text);
    report_free(&report);
    return generation;
}

static void hostile_hooks_end_and_the_next_call_works(void **state) {
    const struct fixture *fixture = *state;
    char error[SCRIPT_ERROR_SIZE];
    for (size_t i = 1 % EACH; i < fixture->count; i += EACH) {
        const struct class *class = &fixture->classes[i];
        write_text(fixture,
                   "return { " DRIVER_HEAD ", hooks = { command = function() return {} end,\n"
                   "values = function(dev, values)\n",
                   class->piece, "end } }\n");
        struct generation *generation = generation_of(fixture, SCRIPT_DRIVER);
        for (int call = 0; call < CALLS && !script_spoiled(generation->script); call++) {
            enum script_outcome outcome =
                script_call(generation->script, "hooks.values", push_dev, take_tree, NULL, error);
            assert_ending(class, outcome, error);
        }
        if (!script_spoiled(generation->script) &&
            script_call(generation->script, "hooks.command", push_dev, take_tree, NULL, error) !=
                SCRIPT_OK)
            fail_msg("%s: the next call fails: %s", class->name, error);
        generation_release(generation);
        /* A spoiled one can be built anew. */
        generation_release(generation_of(fixture, SCRIPT_DRIVER));
    }
}

static void hostile_runs_of_policies_end_without_a_proposal(void **state) {
    const struct fixture *fixture = *state;
    json_t *parameters = json_object();
    struct now now = {.wall = {1790000000000}, .mono = {1000}, .trusted = true};
    for (size_t i = 2 % EACH; i < fixture->count; i += EACH) {
        const struct class *class = &fixture->classes[i];
        write_text(fixture, "return { " POLICY_HEAD ", run = function(snapshot, params, state)\n",
                   class->piece, "end }\n");
        struct generation *generation = generation_of(fixture, SCRIPT_POLICY);
        for (int call = 0; call < CALLS && !script_spoiled(generation->script); call++) {
            struct policy_result result = {0};
            char error[SCRIPT_ERROR_SIZE];
            enum script_outcome outcome =
                policy_run(generation->policy, generation->script, parameters, NULL, now, 1, NULL,
                           0, &result, error);
            assert_ending(class, outcome, error);
            /* No device has been shown: every proposal would be for a stranger. */
            assert_int_equal(result.count, 0);
            policy_result_free(&result);
        }
        generation_release(generation);
    }
    json_decref(parameters);
}

/* ---- texts that are hostile as a whole ---- */

struct text {
    char *at;
    size_t length;
};

static void add(struct text *text, const char *part, size_t times) {
    size_t length = strlen(part);
    for (size_t i = 0; i < times && text->length + length < TEXT_SIZE; i++) {
        memcpy(text->at + text->length, part, length + 1);
        text->length += length;
    }
}

static void deep_parentheses(struct text *text) {
    add(text, "return ", 1);
    add(text, "(", 100000);
    add(text, "1", 1);
    add(text, ")", 100000);
}

static void deep_tables(struct text *text) {
    add(text, "return ", 1);
    add(text, "{", 100000);
    add(text, "}", 100000);
}

static void deep_functions(struct text *text) {
    add(text, "return ", 1);
    add(text, "function() return ", 10000);
}

static void deep_blocks(struct text *text) {
    add(text, "do ", 30000);
    add(text, "end ", 30000);
}

static void deep_calls(struct text *text) {
    add(text, "return f", 1);
    add(text, "{f", 100000);
}

static void deep_operators(struct text *text) {
    add(text, "return ", 1);
    add(text, "not - ~ # ", 20000);
    add(text, "1", 1);
}

static void long_concatenation(struct text *text) {
    add(text, "return 'x'", 1);
    add(text, "..'x'", 40000);
}

static void long_power(struct text *text) {
    add(text, "return 2", 1);
    add(text, "^2", 100000);
}

static void long_line(struct text *text) {
    add(text, "return '", 1);
    add(text, "x", TEXT_SIZE);
}

static void long_name(struct text *text) {
    add(text, "return ", 1);
    add(text, "x", TEXT_SIZE);
}

static void long_number(struct text *text) {
    add(text, "return 1", 1);
    add(text, "0", TEXT_SIZE);
}

static void many_locals(struct text *text) {
    add(text, "local x ", 30000);
}

static void many_labels(struct text *text) {
    for (int i = 0; text->length < TEXT_SIZE - 20; i++) {
        char label[20];
        snprintf(label, sizeof label, "::a%d:: ", i);
        add(text, label, 1);
    }
}

static void many_gotos(struct text *text) {
    for (int i = 0; text->length < TEXT_SIZE - 20; i++) {
        char label[20];
        snprintf(label, sizeof label, "goto a%d ", i);
        add(text, label, 1);
    }
}

static void many_elses(struct text *text) {
    add(text, "if x then ", 1);
    add(text, "elseif x then ", 15000);
}

static void many_constants(struct text *text) {
    add(text, "local t = {", 1);
    for (int i = 0; text->length < TEXT_SIZE - 20; i++) {
        char constant[20];
        snprintf(constant, sizeof constant, "%d.5,", i);
        add(text, constant, 1);
    }
}

static void only_comment(struct text *text) {
    add(text, "--[==[", 1);
    add(text, "]=", TEXT_SIZE);
}

static void only_spaces(struct text *text) {
    add(text, " \n", TEXT_SIZE);
}

static void bad_escape(struct text *text) {
    add(text, "return '\\u{FFFFFFFFFFFFFFFF}'", 1);
}

static void not_text(struct text *text) {
    for (size_t i = 0; i < 4096; i++)
        text->at[text->length++] = (char)(i * 7919 % 255);
}

static void zeroes(struct text *text) {
    memset(text->at, 0, 4096);
    text->length = 4096;
}

static int keep_code(lua_State *L, const void *data, size_t size, void *context) {
    (void)L;
    struct text *text = context;
    memcpy(text->at + text->length, data, size);
    text->length += size;
    return 0;
}

static void bytecode(struct text *text) {
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    assert_int_equal(luaL_loadstring(L, "return { api = 1 }"), LUA_OK);
    lua_dump(L, keep_code, text, 0);
    lua_close(L);
}

static void broken_bytecode(struct text *text) {
    bytecode(text);
    for (size_t i = 30; i < text->length; i += 3)
        text->at[i] = (char)(text->at[i] ^ 0x5a);
}

static const struct {
    const char *name;
    void (*make)(struct text *text);
} texts[] = {{"deep parentheses", deep_parentheses},
             {"deep tables", deep_tables},
             {"deep functions", deep_functions},
             {"deep blocks", deep_blocks},
             {"deep calls", deep_calls},
             {"deep operators", deep_operators},
             {"a long concatenation", long_concatenation},
             {"a long power", long_power},
             {"a long line", long_line},
             {"a long name", long_name},
             {"a long number", long_number},
             {"many locals", many_locals},
             {"many labels", many_labels},
             {"many gotos", many_gotos},
             {"many elses", many_elses},
             {"many constants", many_constants},
             {"a comment without an end", only_comment},
             {"nothing but spaces", only_spaces},
             {"a bad escape", bad_escape},
             {"bytes that are no text", not_text},
             {"zeroes", zeroes},
             {"bytecode", bytecode},
             {"broken bytecode", broken_bytecode}};

static void hostile_texts_are_refused_everywhere(void **state) {
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            struct text text = {fixture->text, 0};
            texts[i].make(&text);
            write_file(fixture, text.at, text.length);
            load_hostile(fixture, &places[j], texts[i].name, false);
            assert_unharmed(fixture, &places[j]);
        }
    }
}

static void a_file_that_is_too_large_is_refused(void **state) {
    const struct fixture *fixture = *state;
    memset(fixture->text, ' ', TEXT_SIZE + 1);
    write_file(fixture, fixture->text, TEXT_SIZE + 1);
    load_hostile(fixture, &places[0], "a file that is too large", false);
    load_hostile(fixture, &places[1], "a file that is too large", false);
}

static void there_are_enough_classes(void **state) {
    const struct fixture *fixture = *state;
    assert_true(fixture->count >= 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_enough_classes),
        cmocka_unit_test(hostile_hooks_end_and_the_next_call_works),
        cmocka_unit_test(hostile_runs_of_policies_end_without_a_proposal),
        cmocka_unit_test(hostile_driver_files_are_refused),
        cmocka_unit_test(hostile_policy_files_are_refused),
        cmocka_unit_test(hostile_site_files_are_refused),
        cmocka_unit_test(hostile_home_files_are_refused),
        cmocka_unit_test(hostile_texts_are_refused_everywhere),
        cmocka_unit_test(a_file_that_is_too_large_is_refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
