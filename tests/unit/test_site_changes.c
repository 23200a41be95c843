/* What differs between two site files, by place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "site_changes.h"

static void expect_within(const char *before, const char *after, size_t most, const char *was,
                          const char *is) {
    json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL), *got[2];
    assert_true(a && b);
    assert_true(site_changes(a, b, most, &got[0], &got[1]));
    const char *const expected[] = {was, is};
    for (int i = 0; i < 2; i++) {
        char *text = json_dumps(got[i], JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, expected[i]);
        free(text);
        json_decref(got[i]);
    }
    json_decref(a);
    json_decref(b);
}

static void expect(const char *before, const char *after, const char *was, const char *is) {
    expect_within(before, after, 4096, was, is);
}

static void values_are_named_by_their_place(void **state) {
    (void)state;
    expect("{\"http\":{\"listen\":\"a\"}}", "{\"http\":{\"listen\":\"b\"}}",
           "{\"http.listen\":\"a\"}", "{\"http.listen\":\"b\"}");
    expect("{\"a\":1}", "{\"b\":null}", "{\"a\":1}", "{\"b\":null}");
    expect("{\"a\":1,\"b\":[1,2]}", "{\"a\":1,\"b\":[1,3]}", "{\"b\":[1,2]}", "{\"b\":[1,3]}");
    expect("{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}", "{}", "{}");
    expect("{\"a\":0}", "{\"a\":false}", "{\"a\":0}", "{\"a\":false}");
}

static void entries_of_lists_go_by_their_keys(void **state) {
    (void)state;
    expect("{\"clusters\":[{\"key\":\"home\",\"devices\":[{\"key\":\"a\",\"unit\":1},"
           "{\"key\":\"b\",\"unit\":2}]}]}",
           "{\"clusters\":[{\"key\":\"home\",\"devices\":[{\"key\":\"c\",\"unit\":3},"
           "{\"key\":\"b\",\"unit\":7}]}]}",
           "{\"clusters.home.devices.a\":{\"key\":\"a\",\"unit\":1},"
           "\"clusters.home.devices.b.unit\":2}",
           "{\"clusters.home.devices.b.unit\":7,"
           "\"clusters.home.devices.c\":{\"key\":\"c\",\"unit\":3}}");
    expect("{\"clusters\":[]}", "{\"clusters\":[{\"key\":\"home\"}]}", "{}",
           "{\"clusters.home\":{\"key\":\"home\"}}");
    /* another order is no change of any entry */
    expect("{\"c\":[{\"key\":\"a\"},{\"key\":\"b\"}]}", "{\"c\":[{\"key\":\"b\"},{\"key\":\"a\"}]}",
           "{}", "{}");
}

static void what_is_too_much_is_told_by_its_places(void **state) {
    (void)state;
    expect_within("{\"aaaaaaaaaa\":1,\"bbbbbbbbbb\":2}", "{}", 20, "{\"count\":2,\"places\":[]}",
                  "{}");
    expect_within("{\"aaaaaaaaaa\":\"0123456789012345678901234567890123456789012345678901234567890"
                  "123456789\",\"bbbbbbbbbb\":2}",
                  "{}", 80, "{\"count\":2,\"places\":[\"aaaaaaaaaa\"]}", "{}");
}

static void deep_trees_end(void **state) {
    (void)state;
    char before[2000] = "", after[2000] = "";
    json_t *was, *is;
    for (int i = 0; i < 100; i++) {
        strcat(before, "{\"a\":");
        strcat(after, "{\"a\":");
    }
    strcat(before, "1");
    strcat(after, "2");
    for (int i = 0; i < 100; i++) {
        strcat(before, "}");
        strcat(after, "}");
    }
    json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL);
    assert_true(site_changes(a, b, 4096, &was, &is));
    assert_int_equal(json_object_size(was), 1);
    json_decref(a);
    json_decref(b);
    json_decref(was);
    json_decref(is);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_named_by_their_place),
        cmocka_unit_test(entries_of_lists_go_by_their_keys),
        cmocka_unit_test(what_is_too_much_is_told_by_its_places),
        cmocka_unit_test(deep_trees_end),
    };
    return cmocka_run_group_tests_name("site_changes", tests, NULL, NULL);
}
