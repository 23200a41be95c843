/* The kit's pure parts: register images in Lua, simulated devices made from a driver's points,
 * specs, and the stubs that editors read, against what the host itself says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <unistd.h>

#include "driver_text.h"
#include "kit/mirror.h"
#include "kit/registers.h"
#include "kit/spec.h"
#include "script/script.h"

static json_t *tree_of(const char *lua) {
    struct report report;
    report_init(&report);
    json_t *tree = luadata_load("test", lua, strlen(lua), &report);
    driver_text_print(&report);
    assert_non_null(tree);
    report_free(&report);
    return tree;
}

static bool take(struct registers *registers, const char *lua, struct report *report) {
    json_t *tree = tree_of(lua);
    bool ok = registers_take(registers, tree, "registers", report);
    json_decref(tree);
    return ok;
}

static void registers_come_back_from_the_lua_that_they_were_written_as(void **state) {
    (void)state;
    struct registers *before = registers_new(), *after = registers_new();
    struct report report;
    struct buf lua;
    report_init(&report);
    buf_init(&lua, 65536);
    for (uint16_t i = 0; i < 300; i++) {
        const uint16_t word = (uint16_t)(i * 331);
        registers_put(before, REGISTER_HOLDING, (uint16_t)(40000 + i), &word, 1);
        registers_put(before, REGISTER_INPUT, (uint16_t)(i * 3), &word, 1);
    }
    const uint16_t on = 1, last = 0xFFFF;
    registers_put(before, REGISTER_COIL, 7, &on, 1);
    registers_put(before, REGISTER_HOLDING, 65535, &last, 1);
    buf_text(&lua, "return {");
    registers_write(before, &lua, 2);
    buf_text(&lua, "}");
    assert_true(take(after, buf_string(&lua), &report));
    assert_memory_equal(before, after, sizeof *before);
    buf_free(&lua);
    registers_free(before);
    registers_free(after);
    report_free(&report);
}

static void a_list_of_words_and_single_words_stand_at_their_addresses(void **state) {
    (void)state;
    struct registers *registers = registers_new();
    struct report report;
    report_init(&report);
    assert_true(take(registers, "return { input = { [1] = 5, [2] = { -2, 0xFFFF } } }", &report));
    assert_int_equal(registers->words[REGISTER_INPUT][1], 5);
    assert_int_equal(registers->words[REGISTER_INPUT][2], 0xFFFE);
    assert_true(registers_have(registers, REGISTER_INPUT, 1, 3));
    assert_false(registers_have(registers, REGISTER_INPUT, 1, 4));
    assert_false(registers_have(registers, REGISTER_HOLDING, 1, 1));
    registers_free(registers);
    report_free(&report);
}

static void what_is_no_register_is_a_mistake_with_its_place(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "return { inputs = { [1] = 5 } }",  "return { input = { [1] = 65536 } }",
        "return { input = { [1] = 1.5 } }", "return { input = { [65535] = { 1, 2 } } }",
        "return { input = { [-1] = 1 } }",  "return { coil = { [1] = 2 } }",
        "return { holding = { x = 1 } }",   "return { holding = { [1] = \"1\" } }",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct registers *registers = registers_new();
        struct report report;
        report_init(&report);
        assert_false(take(registers, wrong[i], &report));
        assert_int_equal(report.count, 1);
        assert_non_null(strstr(report.items[0].where, "registers."));
        registers_free(registers);
        report_free(&report);
    }
}

static struct driver *shipped(lua_State *L, const char *name) {
    struct report report;
    char path[512];
    size_t length;
    report_init(&report);
    snprintf(path, sizeof path, "%s/drivers/%s.lua", DERD_SOURCE_DIR, name);
    char *text = file_read(path, 1 << 20, &length, &report);
    assert_non_null(text);
    struct driver *driver = driver_text_compile(L, name, text, &report);
    driver_text_print(&report);
    assert_non_null(driver);
    free(text);
    report_free(&report);
    return driver;
}

static void a_simulated_sunspec_device_has_a_chain_that_the_walk_finds(void **state) {
    (void)state;
    lua_State *L = driver_text_state();
    struct driver *driver = shipped(L, "sunspec");
    struct registers *registers = registers_new();
    struct mirror_chain chain;
    struct sunspec_walk walk;
    struct sunspec_read read;
    mirror_chain_make(driver, NULL, 0, &chain);
    mirror_chain_put(&chain, true, registers);
    mirror_fill(driver, &chain, MIRROR_ONES, 0, registers);
    sunspec_start(&walk, driver->sunspec_bases, (size_t)driver->sunspec_base_count);
    while (sunspec_next(&walk, &read)) {
        bool has = registers_have(registers, REGISTER_HOLDING, read.address, read.count);
        sunspec_take(&walk, has ? &registers->words[REGISTER_HOLDING][read.address] : NULL);
    }
    assert_string_equal(walk.trouble, "");
    assert_int_equal(walk.model_count, chain.count);
    for (size_t i = 0; i < chain.count; i++)
        assert_memory_equal(&walk.models[i], &chain.models[i], sizeof chain.models[i]);
    registers_free(registers);
    driver_release(driver);
    lua_close(L);
}

/* Decodes each number of the driver from an image; a point of no model is at its own address. */
static void each_number(const char *name, enum mirror_fill fill, bool expect_known) {
    lua_State *L = driver_text_state();
    struct driver *driver = shipped(L, name);
    struct registers *registers = registers_new();
    struct mirror_chain chain = {.count = 0};
    int seen = 0;
    mirror_fill(driver, &chain, fill, 0, registers);
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        double value;
        if (point->model_count || point->id == POINT_NONE || point->id >= POINT_TEXT_FIRST ||
            (fill == MIRROR_MARKERS && !mirror_has_marker(point, 0)))
            continue;
        enum point_quality quality =
            point_decode(point, &registers->words[point->kind][point->address], 0, &value);
        if (expect_known && (quality != POINT_OK || isnan(value)))
            fail_msg("%s: %s is not plausible", name, point->name);
        if (!expect_known && quality != POINT_NOT_AVAILABLE)
            fail_msg("%s: the marker of %s is read as %g", name, point->name, value);
        seen++;
    }
    assert_true(seen > 0);
    registers_free(registers);
    driver_release(driver);
    lua_close(L);
}

static void plausible_images_are_plausible_and_markers_are_not_available(void **state) {
    (void)state;
    each_number("eastron_sdm", MIRROR_PLAUSIBLE, true);
    each_number("abb_terra_ac", MIRROR_PLAUSIBLE, true);
    each_number("sungrow_hybrid", MIRROR_PLAUSIBLE, true);
    each_number("eastron_sdm", MIRROR_MARKERS, false);
    each_number("sungrow_hybrid", MIRROR_MARKERS, false);
}

static bool load_text(const char *text, struct report *report) {
    char path[] = "/tmp/derd-spec-XXXXXX";
    struct spec spec;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    bool ok = spec_load(&spec, path, report);
    if (ok)
        spec_free(&spec);
    unlink(path);
    return ok;
}

static void a_misspelt_field_of_a_spec_is_a_mistake(void **state) {
    (void)state;
    struct report report;
    report_init(&report);
    assert_true(load_text("return { driver = 'x', fixtures = { { expect = {} } } }", &report));
    assert_true(load_text("return { driver = 'x', registers = {}, recorded = {} }", &report));
    assert_false(load_text("return { driver = 'x', fixtures = { { expects = {} } } }", &report));
    assert_string_equal(report.items[0].where, "fixtures[1].expects");
    assert_false(load_text("return { fixtures = { {} } }", &report));
    report_free(&report);
}

static char *stub(const char *name) {
    struct report report;
    char path[512];
    size_t length;
    report_init(&report);
    snprintf(path, sizeof path, "%s/scripts/meta/%s.lua", DERD_SOURCE_DIR, name);
    char *text = file_read(path, 1 << 20, &length, &report);
    assert_non_null(text);
    report_free(&report);
    return text;
}

/* How many times `"name"` stands in the text. */
static int quoted(const char *text, const char *name) {
    char word[80];
    int count = 0;
    snprintf(word, sizeof word, "\"%s\"", name);
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

static void the_stubs_have_the_names_of_the_sandbox_and_no_others(void **state) {
    (void)state;
    char *text = stub("sandbox");
    const char *list = strstr(text, "---@alias derd.sandbox");
    assert_non_null(list);
    int names = 0, quotes = 0;
    for (const char *const *name = script_sandbox_names(); *name; name++, names++)
        if (quoted(list, *name) != 1)
            fail_msg("%s stands %d times in scripts/meta/sandbox.lua", *name, quoted(list, *name));
    for (const char *at = list; *at; at++)
        quotes += *at == '"';
    assert_int_equal(quotes, 2 * names);
    free(text);
}

static void the_stubs_have_the_words_of_the_vocabulary(void **state) {
    (void)state;
    char *text = stub("vocabulary");
    for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
        char field[80];
        if (i == POINT_STATE)
            continue;
        snprintf(field, sizeof field, "---@field %s? number", point_word((enum point_id)i)->name);
        if (!strstr(text, field))
            fail_msg("%s is not in scripts/meta/vocabulary.lua", field);
    }
    for (const char *const *name = device_state_names(); *name; name++)
        assert_int_equal(quoted(text, *name), 1);
    for (const char *const *name = device_type_names(); *name; name++)
        assert_int_equal(quoted(text, *name), 1);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_come_back_from_the_lua_that_they_were_written_as),
        cmocka_unit_test(a_list_of_words_and_single_words_stand_at_their_addresses),
        cmocka_unit_test(what_is_no_register_is_a_mistake_with_its_place),
        cmocka_unit_test(a_simulated_sunspec_device_has_a_chain_that_the_walk_finds),
        cmocka_unit_test(plausible_images_are_plausible_and_markers_are_not_available),
        cmocka_unit_test(a_misspelt_field_of_a_spec_is_a_mistake),
        cmocka_unit_test(the_stubs_have_the_names_of_the_sandbox_and_no_others),
        cmocka_unit_test(the_stubs_have_the_words_of_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
