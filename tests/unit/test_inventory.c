/* The merge of the site file with what the API made, and every change of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inventory.h"
#include "store/store.h"

#define ID_HOME "0f8fad5b-d9cb-469f-a165-70867728950e"
#define LINK    "\"link\":\"tcp://10.0.0.1:502\""

static struct inventory inventory;
static struct site *file;
static struct report mistakes;
static char text[INVENTORY_TEXT_SIZE];
static char id[ID_SIZE]; /* of what was made last */

static struct site *file_of(const char *json) {
    struct report report;
    json_error_t error;
    json_t *tree = json_loads(json, 0, &error);
    if (!tree)
        fail_msg("%s in %s", error.text, json);
    report_init(&report);
    struct site *site = site_parse(tree, "/etc/derd", &report);
    for (size_t i = 0; i < report.count; i++)
        print_error("%s: %s\n", report.items[i].where, report.items[i].text);
    assert_non_null(site);
    snprintf(site->clusters[0].id, ID_SIZE, "%s", ID_HOME);
    return site;
}

#define FILE_OF(devices, more)                                                                     \
    file_of("{\"store\":{\"directory\":\"x\"},\"clusters\":[{\"key\":\"home\",\"devices\":["       \
            "{\"key\":\"meter\",\"driver\":\"d\"," LINK "}" devices "]}" more "]}")

static int begin(void **state) {
    (void)state;
    file = FILE_OF("", "");
    report_init(&mistakes);
    return 0;
}

static int end(void **state) {
    (void)state;
    inventory_free(&inventory);
    site_free(file);
    report_free(&mistakes);
    return 0;
}

static enum inventory_result change(struct inventory_change *change, const char *body) {
    struct site *site = NULL;
    struct inventory candidate;
    report_free(&mistakes);
    report_init(&mistakes);
    assert_true(inventory_copy(&inventory, &candidate));
    change->body = body ? json_loads(body, 0, NULL) : NULL;
    assert_true(!body || change->body);
    enum inventory_result result = inventory_apply(
        &candidate, file, change, (struct wall){1700000000000}, &site, &mistakes, text);
    json_decref(change->body);
    assert_int_equal(site != NULL, result == INVENTORY_CHANGED);
    site_free(site);
    if (result == INVENTORY_CHANGED) {
        memcpy(id, change->id, sizeof id);
        inventory_free(&inventory);
        inventory = candidate;
    } else {
        inventory_free(&candidate);
    }
    return result;
}

static enum inventory_result make_device(const char *cluster, const char *body) {
    struct inventory_change create = {.verb = INVENTORY_CREATE, .is_device = true};
    snprintf(create.owner, sizeof create.owner, "%s", cluster);
    return change(&create, body);
}

static enum inventory_result make_cluster(const char *parent, const char *body) {
    struct inventory_change create = {.verb = INVENTORY_CREATE, .owner = "owner"};
    snprintf(create.parent_id, sizeof create.parent_id, "%s", parent);
    return change(&create, body);
}

static enum inventory_result patch(bool is_device, const char *which, const char *body) {
    struct inventory_change to = {.verb = INVENTORY_PATCH, .is_device = is_device};
    snprintf(to.id, sizeof to.id, "%s", which);
    return change(&to, body);
}

static enum inventory_result take_away(bool is_device, const char *which) {
    struct inventory_change removal = {.verb = INVENTORY_REMOVE, .is_device = is_device};
    snprintf(removal.id, sizeof removal.id, "%s", which);
    return change(&removal, NULL);
}

static struct site *merged(void) {
    struct site *site = inventory_merge(&inventory, file, NULL, NULL);
    assert_non_null(site);
    return site;
}

static const char *text_at(const char *pointer) {
    for (size_t i = 0; i < mistakes.count; i++)
        if (strcmp(mistakes.items[i].where, pointer) == 0)
            return mistakes.items[i].text;
    for (size_t i = 0; i < mistakes.count; i++)
        print_error("%s: %s\n", mistakes.items[i].where, mistakes.items[i].text);
    fail_msg("nothing is told at %s", pointer);
    return "";
}

/* --- the merge ---------------------------------------------------------------------------------
 */

static void with_nothing_made_the_site_is_the_file(void **state) {
    (void)state;
    struct site *site = merged();
    assert_true(json_equal(site->tree, file->tree));
    assert_string_equal(site->clusters[0].id, ID_HOME);
    assert_int_equal(site->clusters[0].revision, 0);
    assert_string_equal(site->clusters[0].devices[0]->id, "");
    site_free(site);
}

static void what_the_api_made_stands_behind_what_the_file_declares(void **state) {
    (void)state;
    assert_int_equal(
        make_cluster("", "{\"key\":\"annex\",\"name\":\"Annex\",\"mode\":\"observe\"}"),
        INVENTORY_CHANGED);
    char annex[ID_SIZE];
    memcpy(annex, id, sizeof annex);
    assert_int_equal(make_device(annex, "{\"driver\":\"d\"," LINK ",\"unit\":2,\"as\":null}"),
                     INVENTORY_CHANGED);
    char nameless[ID_SIZE];
    memcpy(nameless, id, sizeof nameless);
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    struct site *site = merged();
    assert_int_equal(site->cluster_count, 2);
    assert_string_equal(site->clusters[0].devices[1]->path, "home/b");
    assert_string_equal(site->clusters[0].devices[1]->id, id);
    assert_int_equal(site->clusters[0].devices[1]->revision, 1);
    assert_int_equal(site->clusters[0].devices[1]->created_at.ms, 1700000000000);
    assert_string_equal(site->clusters[1].key, "annex");
    assert_string_equal(site->clusters[1].id, annex);
    assert_string_equal(site->clusters[1].account, "owner");
    assert_true(site->clusters[1].devices[0]->observe);
    assert_string_equal(site->clusters[1].devices[0]->key, nameless);
    assert_int_equal(json_array_size(json_object_get(
                         json_array_get(json_object_get(file->tree, "clusters"), 0), "devices")),
                     1); /* the file's own tree is as it was */
    site_free(site);
}

static void a_device_whose_key_the_file_takes_is_not_in_force(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    site_free(file);
    file = FILE_OF(",{\"key\":\"b\",\"driver\":\"e\",\"link\":\"tcp://10.0.0.2:502\"}", "");
    struct site *site = merged();
    assert_int_equal(site->clusters[0].device_count, 2);
    assert_string_equal(site->clusters[0].devices[1]->id, "");
    assert_non_null(strstr(inventory.devices.items[0].clash, "\"b\""));
    site_free(site);
    site_free(file);
    file = FILE_OF("", "");
    site = merged();
    assert_string_equal(site->clusters[0].devices[1]->id, id);
    assert_string_equal(inventory.devices.items[0].clash, "");
    site_free(site);
}

static void a_device_at_an_address_that_the_file_takes_is_not_in_force(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"c\",\"driver\":\"d\"," LINK ",\"unit\":4}"),
                     INVENTORY_CHANGED);
    site_free(file);
    file = FILE_OF(",{\"key\":\"x\",\"driver\":\"e\"," LINK ",\"unit\":3}", "");
    struct site *site = merged();
    assert_int_equal(site->clusters[0].device_count, 3);
    assert_string_equal(site->clusters[0].devices[2]->key, "c");
    assert_string_equal(site->clusters[0].devices[2]->id, id);
    assert_non_null(strstr(inventory.devices.items[0].clash, "unit 3"));
    assert_string_equal(inventory.devices.items[1].clash, "");
    site_free(site);
}

static void a_cluster_whose_key_the_file_takes_goes_by_its_id(void **state) {
    (void)state;
    assert_int_equal(make_cluster("", "{\"key\":\"annex\"}"), INVENTORY_CHANGED);
    char annex[ID_SIZE];
    memcpy(annex, id, sizeof annex);
    assert_int_equal(make_device(annex, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    site_free(file);
    file = FILE_OF("", ",{\"key\":\"annex\"}");
    snprintf(file->clusters[1].id, ID_SIZE, "11111111-2222-4333-8444-555555555555");
    struct site *site = merged();
    assert_int_equal(site->cluster_count, 3);
    assert_string_equal(site->clusters[2].key, annex);
    assert_int_equal(site->clusters[2].device_count, 1);
    assert_non_null(strstr(site->clusters[2].clash, "annex"));
    site_free(site);
}

static void a_device_whose_cluster_left_the_file_waits_for_it(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    snprintf(file->clusters[0].id, ID_SIZE, "11111111-2222-4333-8444-555555555555");
    struct site *site = merged();
    assert_int_equal(site->clusters[0].device_count, 1);
    assert_non_null(strstr(inventory.devices.items[0].clash, ID_HOME));
    site_free(site);
}

/* --- making ------------------------------------------------------------------------------------
 */

static void every_mistake_of_a_device_is_told_by_its_pointer(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME,
                                 "{\"key\":\"a/b\",\"driver\":7,\"link\":\"nowhere\",\"unit\":300,"
                                 "\"limits\":{\"maxCurrent\":-1,\"maxActivePower\":\"much\"},"
                                 "\"fallback\":{\"minActivePower\":5,\"maxActivePower\":1},"
                                 "\"phasses\":3}"),
                     INVENTORY_INVALID);
    text_at("/key");
    text_at("/driver");
    text_at("/link");
    text_at("/unit");
    text_at("/limits/maxCurrent");
    text_at("/limits/maxActivePower");
    assert_non_null(strstr(text_at("/phasses"), "phases"));
    text_at("/fallback");
    assert_int_equal(inventory.devices.count, 0);
}

static void a_device_needs_driver_and_link_but_no_key(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{}"), INVENTORY_INVALID);
    text_at("/driver");
    text_at("/link");
    assert_int_equal(mistakes.count, 2);
}

static void keys_are_taken_once_and_do_not_look_like_ids(void **state) {
    (void)state;
    assert_int_equal(
        make_device(ID_HOME, "{\"key\":\"meter\",\"driver\":\"d\"," LINK ",\"unit\":9}"),
        INVENTORY_CONFLICT);
    assert_non_null(strstr(text, "site file"));
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":9}"),
                     INVENTORY_CHANGED);
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":8}"),
                     INVENTORY_CONFLICT);
    assert_int_equal(
        make_device(ID_HOME, "{\"key\":\"" ID_HOME "\",\"driver\":\"d\"," LINK ",\"unit\":8}"),
        INVENTORY_INVALID);
    text_at("/key");
    assert_int_equal(make_cluster("", "{\"key\":\"home\"}"), INVENTORY_CONFLICT);
    assert_int_equal(make_cluster("", "{\"key\":\"annex\"}"), INVENTORY_CHANGED);
    assert_int_equal(make_cluster("", "{\"key\":\"annex\"}"), INVENTORY_CONFLICT);
    assert_int_equal(make_device(id, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":10}"),
                     INVENTORY_CHANGED); /* in another cluster it is free */
    assert_int_equal(make_cluster("", "{\"key\":7}"), INVENTORY_INVALID);
    text_at("/key");
    assert_int_equal(make_device(ID_HOME, "{\"key\":[],\"driver\":\"d\"," LINK ",\"unit\":8}"),
                     INVENTORY_INVALID);
    text_at("/key");
    assert_int_equal(make_cluster("", "{\"key\":null}"), INVENTORY_CHANGED);
    char key[200];
    snprintf(key, sizeof key, "{\"key\":\"%0100d\"}", 1);
    assert_int_equal(make_cluster("", key), INVENTORY_INVALID);
    text_at("/key");
}

static void an_address_is_one_device(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK "}"),
                     INVENTORY_INVALID);
    assert_non_null(strstr(text_at(""), "unit 1"));
}

static void a_device_needs_a_cluster_that_is_there(void **state) {
    (void)state;
    assert_int_equal(make_device("11111111-2222-4333-8444-555555555555",
                                 "{\"driver\":\"d\"," LINK ",\"unit\":9}"),
                     INVENTORY_NOT_FOUND);
}

static void words_of_the_file_have_fields_of_their_own(void **state) {
    (void)state;
    assert_int_equal(make_cluster("", "{\"account\":\"x\",\"parent\":\"y\",\"devices\":[],"
                                      "\"policies\":[],\"mode\":\"off\",\"colour\":1}"),
                     INVENTORY_INVALID);
    assert_non_null(strstr(text_at("/account"), "accountId"));
    assert_non_null(strstr(text_at("/parent"), "parentId"));
    text_at("/devices");
    text_at("/policies");
    text_at("/mode");
    text_at("/colour");
}

/* --- changing ----------------------------------------------------------------------------------
 */

static void a_patch_changes_what_it_names_and_null_takes_away(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3,"
                                          "\"role\":\"heater\",\"limits\":{\"maxActivePower\":5,"
                                          "\"maxCurrent\":16}}"),
                     INVENTORY_CHANGED);
    assert_int_equal(patch(true, id,
                           "{\"role\":null,\"limits\":{\"maxCurrent\":null},\"unit\":4,"
                           "\"key\":\"b\",\"clusterId\":\"" ID_HOME "\"}"),
                     INVENTORY_CHANGED);
    const struct made *made = inventory_find(&inventory, true, id);
    assert_int_equal(made->revision, 2);
    json_t *expected = json_loads("{\"driver\":\"d\"," LINK ",\"unit\":4,"
                                  "\"limits\":{\"maxActivePower\":5}}",
                                  0, NULL);
    assert_true(json_equal(made->entry, expected));
    json_decref(expected);
    assert_int_equal(patch(true, id, "{\"unit\":4}"), INVENTORY_SAME);
    assert_int_equal(inventory_find(&inventory, true, id)->revision, 2);
}

static void a_key_stays_and_a_device_stays_in_its_cluster(void **state) {
    (void)state;
    assert_int_equal(make_device(ID_HOME, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    assert_int_equal(patch(true, id, "{\"key\":\"c\",\"clusterId\":\"elsewhere\",\"unit\":-1}"),
                     INVENTORY_INVALID);
    text_at("/key");
    assert_non_null(strstr(text_at("/clusterId"), "not moved"));
    text_at("/unit");
    assert_int_equal(patch(true, id, "{\"driver\":null}"), INVENTORY_INVALID);
    text_at("/driver");
    assert_int_equal(inventory_find(&inventory, true, id)->revision, 1);
}

static void a_revision_that_is_past_is_stale(void **state) {
    (void)state;
    assert_int_equal(make_cluster("", "{\"key\":\"annex\"}"), INVENTORY_CHANGED);
    assert_int_equal(patch(false, id, "{\"name\":\"A\"}"), INVENTORY_CHANGED);
    struct inventory_change late = {.verb = INVENTORY_PATCH, .revision = 1};
    memcpy(late.id, id, sizeof late.id);
    assert_int_equal(change(&late, "{\"name\":\"B\"}"), INVENTORY_STALE);
    late.verb = INVENTORY_REMOVE;
    assert_int_equal(change(&late, NULL), INVENTORY_STALE);
    late.revision = 2;
    assert_int_equal(change(&late, NULL), INVENTORY_CHANGED);
    assert_int_equal(change(&late, NULL), INVENTORY_NOT_FOUND);
}

static void clusters_do_not_stand_in_themselves(void **state) {
    (void)state;
    char outer[ID_SIZE];
    assert_int_equal(make_cluster(ID_HOME, "{\"key\":\"outer\"}"), INVENTORY_CHANGED);
    memcpy(outer, id, sizeof outer);
    assert_int_equal(make_cluster(outer, "{\"key\":\"inner\"}"), INVENTORY_CHANGED);
    struct inventory_change into = {.verb = INVENTORY_PATCH, .sets_parent = true};
    memcpy(into.id, outer, sizeof outer);
    memcpy(into.parent_id, id, sizeof id);
    char inner[ID_SIZE];
    memcpy(inner, id, sizeof inner);
    assert_int_equal(change(&into, "{}"), INVENTORY_INVALID);
    text_at("/parentId");
    memcpy(into.parent_id, outer, sizeof outer);
    assert_int_equal(change(&into, "{}"), INVENTORY_INVALID);
    text_at("/parentId");
    into.parent_id[0] = '\0';
    assert_int_equal(change(&into, "{}"), INVENTORY_CHANGED);
    struct site *site = merged();
    assert_string_equal(site_cluster_find(site, "inner")->parent, "outer");
    assert_string_equal(site_cluster_find(site, "outer")->parent, "");
    site_free(site);
}

static void a_cluster_that_has_something_stays_and_says_what(void **state) {
    (void)state;
    char annex[ID_SIZE], inner[ID_SIZE], device[ID_SIZE];
    assert_int_equal(make_cluster("", "{\"key\":\"annex\"}"), INVENTORY_CHANGED);
    memcpy(annex, id, sizeof annex);
    assert_int_equal(make_cluster(annex, "{\"key\":\"inner\"}"), INVENTORY_CHANGED);
    memcpy(inner, id, sizeof inner);
    assert_int_equal(make_device(annex, "{\"key\":\"b\",\"driver\":\"d\"," LINK ",\"unit\":3}"),
                     INVENTORY_CHANGED);
    memcpy(device, id, sizeof device);
    assert_int_equal(take_away(false, annex), INVENTORY_CONFLICT);
    assert_non_null(strstr(text, "the device b, the cluster inner"));
    assert_int_equal(take_away(true, device), INVENTORY_CHANGED);
    assert_int_equal(take_away(false, inner), INVENTORY_CHANGED);
    assert_int_equal(take_away(false, annex), INVENTORY_CHANGED);
    assert_int_equal(inventory.clusters.count + inventory.devices.count, 0);
}

static void what_a_limit_rests_on_is_not_taken_away(void **state) {
    (void)state;
    char annex[ID_SIZE];
    assert_int_equal(make_cluster("", "{\"key\":\"annex\",\"limits\":{\"maxActivePower\":9000}}"),
                     INVENTORY_INVALID); /* nothing tells what the connection carries */
    text_at("/limits");
    assert_int_equal(make_cluster("", "{\"key\":\"annex\"}"), INVENTORY_CHANGED);
    memcpy(annex, id, sizeof annex);
    assert_int_equal(make_device(annex, "{\"key\":\"grid\",\"driver\":\"d\"," LINK
                                        ",\"unit\":3,\"role\":\"grid\"}"),
                     INVENTORY_CHANGED);
    assert_int_equal(patch(false, annex, "{\"limits\":{\"maxActivePower\":9000}}"),
                     INVENTORY_CHANGED);
    const char *grid = inventory.devices.items[0].id;
    char grid_id[ID_SIZE];
    memcpy(grid_id, grid, sizeof grid_id);
    assert_int_equal(take_away(true, grid_id), INVENTORY_CONFLICT);
    assert_non_null(strstr(text, "annex"));
    assert_int_equal(patch(true, grid_id, "{\"role\":null}"), INVENTORY_CONFLICT);
    struct site *site = merged();
    assert_true(site_cluster_find(site, "annex")->permanent.max == 9000);
    site_free(site);
}

static void places_become_pointers(void **state) {
    (void)state;
    char pointer[40];
    inventory_pointer("clusters[2].devices[1].limits.maxCurrent", 22, pointer, sizeof pointer);
    assert_string_equal(pointer, "/limits/maxCurrent");
    inventory_pointer(".parameters.list[3]", 0, pointer, sizeof pointer);
    assert_string_equal(pointer, "/parameters/list/2");
    inventory_pointer("clusters[2]", 11, pointer, sizeof pointer);
    assert_string_equal(pointer, "");
    char small[8];
    inventory_pointer(".parameters.list[333333333]", 0, small, sizeof small);
    assert_true(strlen(small) < sizeof small);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(with_nothing_made_the_site_is_the_file),
        T(what_the_api_made_stands_behind_what_the_file_declares),
        T(a_device_whose_key_the_file_takes_is_not_in_force),
        T(a_device_at_an_address_that_the_file_takes_is_not_in_force),
        T(a_cluster_whose_key_the_file_takes_goes_by_its_id),
        T(a_device_whose_cluster_left_the_file_waits_for_it),
        T(every_mistake_of_a_device_is_told_by_its_pointer),
        T(a_device_needs_driver_and_link_but_no_key),
        T(keys_are_taken_once_and_do_not_look_like_ids),
        T(an_address_is_one_device),
        T(a_device_needs_a_cluster_that_is_there),
        T(words_of_the_file_have_fields_of_their_own),
        T(a_patch_changes_what_it_names_and_null_takes_away),
        T(a_key_stays_and_a_device_stays_in_its_cluster),
        T(a_revision_that_is_past_is_stale),
        T(clusters_do_not_stand_in_themselves),
        T(a_cluster_that_has_something_stays_and_says_what),
        T(what_a_limit_rests_on_is_not_taken_away),
        T(places_become_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
