/* Accounts, tokens, clusters and devices over REST: who may what, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_kit.h"

#include "base/log.h"

#define LINK "\"link\":\"tcp://10.0.0.1:502\""

/* owner -> north -> shop; south stands beside */
enum actor { NOBODY, OTHER, PARENT, OWN, ACTORS };
static const char *const actors[] = {"no token", "another account", "the account above",
                                     "its own account"};

static struct kit kit;
static char tokens[ACTORS][TOKEN_TEXT_SIZE];
static struct account north, shop, south;

static struct account account_made(const char *key, const char *parent) {
    struct account account = {0};
    snprintf(account.key, sizeof account.key, "%s", key);
    snprintf(account.parent, sizeof account.parent, "%s", parent);
    assert_int_equal(store_account_create(kit.store, &account, NULL), ERR_OK);
    return account;
}

static int start(void **state) {
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    kit_start(&kit, 4, true);
    north = account_made("north", "owner");
    shop = account_made("shop", "north");
    south = account_made("south", "owner");
    assert_int_equal(token_create(kit.store, "t", "south", 3999, tokens[OTHER]), ERR_OK);
    assert_int_equal(token_create(kit.store, "t", "north", 3999, tokens[PARENT]), ERR_OK);
    assert_int_equal(token_create(kit.store, "t", "shop", 3999, tokens[OWN]), ERR_OK);
    return 0;
}

static int stop(void **state) {
    (void)state;
    kit_stop(&kit);
    return 0;
}

/* The answer's body, which must have this status; new reference. */
static json_t *ask_as(const char *token, const char *method, const char *path, const char *body,
                      int status) {
    struct answer answer;
    kit_request_as(&kit, token, method, path, body, &answer);
    if (answer.status != status)
        fail_msg("%s %s %s: %d, not %d: %s", method, path, body ? body : "", answer.status, status,
                 answer.body);
    json_t *tree = answer.length ? answer_tree(&answer) : NULL;
    if (status >= 400)
        expect_problem(&answer, status);
    else
        answer_free(&answer);
    return tree;
}

static void expect_as(const char *token, const char *method, const char *path, const char *body,
                      int status) {
    json_decref(ask_as(token, method, path, body, status));
}

/* Makes something as the shop and keeps its id. */
static void make(const char *path, const char *body, char id[64]) {
    json_t *made = ask_as(tokens[OWN], "POST", path, body, 201);
    snprintf(id, 64, "%s", text_at(made, "id"));
    json_decref(made);
}

static bool has_mistake(const json_t *problem, const char *pointer) {
    size_t index;
    json_t *error;
    json_array_foreach(json_object_get(problem, "errors"), index,
                       error) if (strcmp(text_at(error, "pointer"), pointer) == 0) return true;
    return false;
}

/* The pointers of a body's mistakes are these, parted by blanks, and no others. */
static void expect_mistakes(const char *token, const char *method, const char *path,
                            const char *body, const char *pointers) {
    json_t *problem = ask_as(token, method, path, body, 422);
    char words[200];
    size_t count = 0;
    snprintf(words, sizeof words, "%s", pointers);
    for (char *at = words, *word; (word = strsep(&at, " "));) {
        if (!has_mistake(problem, word))
            fail_msg("%s %s: nothing at %s", method, path, word);
        count++;
    }
    assert_int_equal(json_array_size(json_object_get(problem, "errors")), count);
    json_decref(problem);
}

/* --- who may what ------------------------------------------------------------------------------
 */

/* @C a cluster of the shop, @D a device in it, @A an account below it, @T a token of that one; made
 * anew for each request. */
static const struct {
    const char *method, *path, *body;
    int status; /* for who may */
} operations[] = {
    {"GET", "/v1/clusters/@C", NULL, 200},
    {"PATCH", "/v1/clusters/@C", "{\"name\":\"x\"}", 200},
    {"DELETE", "/v1/clusters/@E", NULL, 204},
    {"GET", "/v1/clusters/@C/devices", NULL, 200},
    {"POST", "/v1/clusters/@C/devices", "{\"driver\":\"d\"," LINK ",\"unit\":99}", 201},
    {"GET", "/v1/clusters/@C/flexibility", NULL, 200},
    {"GET", "/v1/clusters/@C/devices/@D", NULL, 200},
    {"PATCH", "/v1/clusters/@C/devices/@D", "{\"name\":\"x\"}", 200},
    {"DELETE", "/v1/clusters/@C/devices/@D", NULL, 204},
    {"GET", "/v1/clusters/@C/devices/@D/flexibility", NULL, 200},
    {"GET", "/v1/clusters/@C/devices/@D/effective", NULL, 200},
    {"GET", "/v1/clusters/@C/devices/@D/constraints", NULL, 200},
    {"GET", "/v1/accounts/@A", NULL, 200},
    {"PATCH", "/v1/accounts/@A", "{\"name\":\"x\"}", 200},
    {"DELETE", "/v1/accounts/@A", NULL, 204},
    {"GET", "/v1/accounts/@A/tokens", NULL, 200},
    {"POST", "/v1/accounts/@A/tokens", "{\"name\":\"x\",\"maxPriority\":1}", 201},
    {"GET", "/v1/accounts/@A/tokens/@T", NULL, 200},
    {"DELETE", "/v1/accounts/@A/tokens/@T", NULL, 204},
};

struct things {
    char cluster[64], empty[64], device[64], account[64], token[64];
};

static void make_things(struct things *things) {
    char path[120];
    make("/v1/clusters", "{}", things->cluster);
    make("/v1/clusters", "{}", things->empty);
    make("/v1/accounts", "{\"name\":\"Stall\"}", things->account);
    snprintf(path, sizeof path, "/v1/clusters/%s/devices", things->cluster);
    make(path, "{\"driver\":\"d\"," LINK "}", things->device);
    snprintf(path, sizeof path, "/v1/accounts/%s/tokens", things->account);
    make(path, "{\"name\":\"t\",\"maxPriority\":5}", things->token);
}

static void fill_path(const char *pattern, const struct things *things, char path[300]) {
    size_t used = 0;
    for (; *pattern && used < 299; pattern++) {
        const char *word = *pattern != '@'     ? NULL
                           : pattern[1] == 'C' ? things->cluster
                           : pattern[1] == 'E' ? things->empty
                           : pattern[1] == 'D' ? things->device
                           : pattern[1] == 'A' ? things->account
                                               : things->token;
        if (!word) {
            path[used++] = *pattern;
            continue;
        }
        used += (size_t)snprintf(path + used, 300 - used, "%s", word);
        pattern++;
    }
    path[used] = '\0';
}

static void each_operation_is_for_its_account_and_those_above(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        for (int actor = 0; actor < ACTORS; actor++) {
            struct things things;
            struct answer answer;
            char path[300];
            int status = actor == NOBODY ? 401 : actor == OTHER ? 404 : operations[i].status;
            make_things(&things);
            fill_path(operations[i].path, &things, path);
            kit_request_as(&kit, actor == NOBODY ? NULL : tokens[actor], operations[i].method, path,
                           operations[i].body, &answer);
            if (answer.status != status)
                fail_msg("%s as %s: %d, not %d: %s", operations[i].path, actors[actor],
                         answer.status, status, answer.body);
            if (status >= 400)
                expect_problem(&answer, status);
            else
                answer_free(&answer);
        }
}

static void lists_show_what_is_below(void **state) {
    (void)state;
    struct things things;
    make_things(&things);
    for (int actor = OTHER; actor < ACTORS; actor++) {
        json_t *accounts = ask_as(tokens[actor], "GET", "/v1/accounts?limit=500", NULL, 200);
        json_t *clusters = ask_as(tokens[actor], "GET", "/v1/clusters?limit=500", NULL, 200);
        char *text = json_dumps(accounts, 0);
        char *sites = json_dumps(clusters, 0);
        assert_true((strstr(text, things.account) != NULL) == (actor != OTHER));
        assert_true((strstr(text, north.id) != NULL) == (actor == PARENT));
        assert_true((strstr(text, south.id) != NULL) == (actor == OTHER));
        assert_true((strstr(sites, things.cluster) != NULL) == (actor != OTHER));
        assert_null(strstr(sites, ID_HOME));
        free(text);
        free(sites);
        json_decref(accounts);
        json_decref(clusters);
    }
}

static void an_account_does_not_learn_who_is_above_it(void **state) {
    (void)state;
    char path[100];
    snprintf(path, sizeof path, "/v1/accounts/%s", shop.id);
    json_t *own = ask_as(tokens[OWN], "GET", path, NULL, 200);
    assert_true(null_at(own, "parentId"));
    json_decref(own);
    json_t *above = ask_as(tokens[PARENT], "GET", path, NULL, 200);
    assert_string_equal(text_at(above, "parentId"), north.id);
    json_decref(above);
    expect_as(tokens[OWN], "GET", "/v1/accounts/owner", NULL, 404);
}

static void a_body_cannot_name_what_its_token_does_not_see(void **state) {
    (void)state;
    expect_mistakes(tokens[OWN], "POST", "/v1/clusters",
                    "{\"accountId\":\"south\",\"parentId\":\"home\",\"mode\":\"x\"}",
                    "/accountId /parentId /mode");
    expect_mistakes(tokens[OWN], "POST", "/v1/clusters", "{\"accountId\":7,\"parentId\":[]}",
                    "/accountId /parentId");
    expect_mistakes(tokens[OWN], "POST", "/v1/accounts",
                    "{\"name\":\"\",\"parentId\":\"owner\",\"colour\":1}",
                    "/name /parentId /colour");
    struct answer answer;
    kit_request_as(&kit, tokens[OWN], "GET", "/v1/clusters?accountId=south", NULL, &answer);
    expect_problem(&answer, 400);
    kit_request_as(&kit, tokens[OWN], "GET", "/v1/clusters?parentId=home", NULL, &answer);
    expect_problem(&answer, 400);
    kit_request_as(&kit, tokens[OWN], "GET", "/v1/accounts?parentId=owner", NULL, &answer);
    expect_problem(&answer, 404);
}

static void a_weak_token_changes_nothing(void **state) {
    (void)state;
    expect_as(kit.weak_token, "GET", "/v1/accounts", NULL, 200);
    expect_as(kit.weak_token, "POST", "/v1/accounts", "{\"name\":\"x\"}", 403);
    expect_as(kit.weak_token, "PATCH", "/v1/accounts/shop", "{\"name\":\"x\"}", 403);
    expect_as(kit.weak_token, "DELETE", "/v1/accounts/shop", NULL, 403);
    expect_as(kit.weak_token, "POST", "/v1/clusters", "{}", 403);
    expect_as(kit.weak_token, "DELETE", "/v1/clusters/home", NULL, 403);
    expect_as(kit.weak_token, "POST", "/v1/clusters/home/devices", "{}", 403);
    expect_as(kit.weak_token, "PATCH", "/v1/clusters/home/devices/grid", "{}", 403);
}

/* --- accounts ----------------------------------------------------------------------------------
 */

static void an_account_is_made_changed_and_deleted(void **state) {
    (void)state;
    struct answer answer;
    char path[100], value[512];
    kit_request(&kit, "POST", "/v1/accounts", "{\"name\":\"The bakery\",\"key\":\"bakery\"}",
                &answer);
    assert_int_equal(answer.status, 201);
    json_t *made = answer_tree(&answer);
    snprintf(path, sizeof path, "/v1/accounts/%s", text_at(made, "id"));
    assert_string_equal(answer_header(&answer, "Location", value), path);
    assert_string_equal(answer_header(&answer, "ETag", value), "\"1\"");
    assert_string_equal(text_at(made, "key"), "bakery");
    assert_string_equal(text_at(made, "origin"), "api");
    assert_true(text_at(made, "createdAt")[0]);
    json_decref(made);
    answer_free(&answer);
    expect_as(kit.token, "POST", "/v1/accounts", "{\"name\":\"x\",\"key\":\"bakery\"}", 409);
    expect_mistakes(kit.token, "POST", "/v1/accounts", "{\"key\":\"a b\"}", "/name /key");
    expect_mistakes(kit.token, "POST", "/v1/accounts", "{\"name\":\"x\",\"key\":\"" ID_HOME "\"}",
                    "/key");
    expect_mistakes(kit.token, "PATCH", path, "{\"key\":\"other\",\"createdAt\":1}",
                    "/key /createdAt");
    json_t *changed =
        ask_as(kit.token, "PATCH", path, "{\"name\":\"Baker\",\"key\":\"bakery\"}", 200);
    assert_string_equal(text_at(changed, "name"), "Baker");
    json_decref(changed);
    expect_as(kit.token, "DELETE", "/v1/accounts/bakery", NULL, 204);
    expect_as(kit.token, "GET", path, NULL, 404);
}

static void the_tree_of_accounts_gets_no_cycle(void **state) {
    (void)state;
    char path[100], body[100];
    snprintf(path, sizeof path, "/v1/accounts/%s", north.id);
    snprintf(body, sizeof body, "{\"parentId\":\"%s\"}", shop.id);
    expect_as(kit.token, "PATCH", path, body, 409);
    expect_as(tokens[PARENT], "PATCH", path, "{\"name\":\"x\"}", 403); /* itself */
    expect_as(tokens[PARENT], "DELETE", path, NULL, 403);
    expect_as(kit.token, "DELETE", "/v1/accounts/owner", NULL, 403);
}

static void an_account_that_has_something_stays_and_says_what(void **state) {
    (void)state;
    char account[64], cluster[64], path[100];
    make("/v1/accounts", "{\"name\":\"x\",\"key\":\"full\"}", account);
    make("/v1/clusters", "{\"accountId\":\"full\",\"key\":\"kiosk\"}", cluster);
    json_decref(ask_as(tokens[OWN], "POST", "/v1/accounts",
                       "{\"name\":\"y\",\"key\":\"below\",\"parentId\":\"full\"}", 201));
    json_t *problem = ask_as(tokens[OWN], "DELETE", "/v1/accounts/full", NULL, 409);
    assert_non_null(strstr(text_at(problem, "detail"), "the cluster kiosk"));
    assert_non_null(strstr(text_at(problem, "detail"), "the account below"));
    json_decref(problem);
    snprintf(path, sizeof path, "/v1/clusters/%s", cluster);
    expect_as(tokens[OWN], "DELETE", path, NULL, 204);
    expect_as(tokens[OWN], "DELETE", "/v1/accounts/below", NULL, 204);
    /* The kit's engine has no store: what the store itself would see is looked at there. */
    expect_as(tokens[OWN], "DELETE", "/v1/accounts/full", NULL, 204);
}

static void what_the_file_names_is_not_changed(void **state) {
    (void)state;
    json_t *owner = ask_as(kit.token, "GET", "/v1/accounts/owner", NULL, 200);
    assert_string_equal(text_at(owner, "origin"), "siteFile");
    json_decref(owner);
    static const char *const requests[][3] = {{"PATCH", "/v1/clusters/home", "{\"name\":\"x\"}"},
                                              {"DELETE", "/v1/clusters/home", NULL},
                                              {"PATCH", "/v1/clusters/home/devices/grid", "{}"},
                                              {"DELETE", "/v1/clusters/home/devices/grid", NULL}};
    for (size_t i = 0; i < 4; i++) {
        json_t *problem = ask_as(kit.token, requests[i][0], requests[i][1], requests[i][2], 409);
        assert_non_null(strstr(text_at(problem, "detail"), "/etc/derd/site.lua"));
        json_decref(problem);
    }
}

/* --- tokens ------------------------------------------------------------------------------------
 */

static void the_text_of_a_token_is_shown_once(void **state) {
    (void)state;
    char path[200], id[64], text[TOKEN_TEXT_SIZE];
    snprintf(path, sizeof path, "/v1/accounts/%s/tokens", shop.id);
    json_t *made =
        ask_as(tokens[OWN], "POST", path, "{\"name\":\"till\",\"maxPriority\":1500}", 201);
    snprintf(id, sizeof id, "%s", text_at(made, "id"));
    snprintf(text, sizeof text, "%s", text_at(made, "token"));
    json_decref(made);
    struct answer answer;
    kit_request_as(&kit, tokens[OWN], "GET", path, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, id));
    assert_null(strstr(answer.body, text + 18)); /* its secret */
    assert_null(strstr(answer.body, tokens[PARENT] + 5));
    answer_free(&answer);
    expect_as(text, "GET", "/v1/clusters", NULL, 200);
    expect_as(tokens[OWN], "POST", path, "{\"name\":\"till\",\"maxPriority\":1}", 409);
    snprintf(path, sizeof path, "/v1/accounts/%s/tokens/%s", shop.id, id);
    expect_as(tokens[OWN], "DELETE", path, NULL, 204);
    expect_as(text, "GET", "/v1/clusters", NULL, 401); /* at once */
    expect_as(tokens[OWN], "DELETE", path, NULL, 404);
}

static void a_token_does_not_raise_its_own_rights(void **state) {
    (void)state;
    char path[200], text[TOKEN_TEXT_SIZE], strong[20];
    snprintf(path, sizeof path, "/v1/accounts/%s/tokens", shop.id);
    json_t *made = ask_as(
        tokens[OWN], "POST", path,
        "{\"name\":\"low\",\"maxPriority\":1000,\"scopes\":[\"read\",\"control\",\"admin\"]}", 201);
    snprintf(text, sizeof text, "%s", text_at(made, "token"));
    json_decref(made);
    expect_as(text, "POST", path, "{\"name\":\"higher\",\"maxPriority\":1001}", 403);
    expect_as(text, "POST", path, "{\"name\":\"same\",\"maxPriority\":1000}", 201);
    snprintf(strong, sizeof strong, "%.12s", tokens[OWN] + 5);
    snprintf(path, sizeof path, "/v1/accounts/%s/tokens/%s", shop.id, strong);
    expect_as(text, "DELETE", path, NULL, 403);
    expect_as(text, "POST", "/v1/accounts/north/tokens", "{\"name\":\"x\",\"maxPriority\":1}", 404);
    /* A token of one account is not found by way of another. */
    snprintf(path, sizeof path, "/v1/accounts/%s/tokens/%s", north.id, strong);
    expect_as(tokens[PARENT], "GET", path, NULL, 404);
}

static void all_mistakes_of_a_token_come_at_once(void **state) {
    (void)state;
    expect_mistakes(kit.token, "POST", "/v1/accounts/shop/tokens",
                    "{\"maxPriority\":-1,\"secret\":\"x\"}", "/name /maxPriority /secret");
    expect_as(kit.token, "POST", "/v1/accounts/shop/tokens",
              "{\"name\":\"a\\u0007b\",\"maxPriority\":1}", 422);
}

/* --- clusters and devices ----------------------------------------------------------------------
 */

/* A request with further header lines. */
static void ask_with(const char *token, const char *method, const char *path, const char *lines,
                     const char *body, struct answer *answer) {
    char text[4000];
    snprintf(text, sizeof text,
             "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer %s\r\n%s"
             "Content-Length: %zu\r\n\r\n%s",
             method, path, token, lines, body ? strlen(body) : 0, body ? body : "");
    kit_text(&kit, text, answer);
}

static void a_change_holds_to_the_tag_that_was_read(void **state) {
    (void)state;
    struct things things;
    struct answer answer;
    char paths[3][200], tag[512], first[512], line[700], value[512];
    make_things(&things);
    snprintf(paths[0], 200, "/v1/clusters/%s", things.cluster);
    snprintf(paths[1], 200, "/v1/clusters/%s/devices/%s", things.cluster, things.device);
    snprintf(paths[2], 200, "/v1/accounts/%s", things.account);
    for (size_t i = 0; i < 3; i++) {
        kit_request_as(&kit, tokens[OWN], "GET", paths[i], NULL, &answer);
        snprintf(first, sizeof first, "%s", answer_header(&answer, "ETag", tag));
        assert_memory_equal(first, "\"1.", 3);
        answer_free(&answer);
        snprintf(line, sizeof line,
                 "If-Match: %.200s\r\nContent-Type: application/merge-patch+json\r\n", first);
        ask_with(tokens[OWN], "PATCH", paths[i], line, "{\"name\":\"new\"}", &answer);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer_header(&answer, "ETag", tag), "\"2\"");
        answer_free(&answer);
        ask_with(tokens[OWN], "PATCH", paths[i], line, "{\"name\":\"newer\"}", &answer);
        assert_string_equal(answer_header(&answer, "ETag", value), "\"2\"");
        expect_problem(&answer, 412);
        snprintf(line, sizeof line, "If-Match: %.200s\r\n", first);
        ask_with(tokens[OWN], "DELETE", paths[i], line, NULL, &answer);
        expect_problem(&answer, 412);
        snprintf(line, sizeof line, "If-None-Match: %.200s\r\n", first);
        ask_with(tokens[OWN], "GET", paths[i], line, NULL, &answer);
        assert_int_equal(answer.status, 200); /* it has changed */
        answer_free(&answer);
        ask_with(tokens[OWN], "PATCH", paths[i], "Content-Type: text/plain\r\n", "{}", &answer);
        expect_problem(&answer, 415);
    }
    snprintf(line, sizeof line, "If-Match: \"2\"\r\n");
    ask_with(tokens[OWN], "DELETE", paths[1], line, NULL, &answer);
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
}

static void a_device_is_shown_as_it_was_made(void **state) {
    (void)state;
    char cluster[64], path[200];
    make("/v1/clusters", "{\"name\":\"Shop\",\"mode\":\"observe\"}", cluster);
    snprintf(path, sizeof path, "/v1/clusters/%s/devices", cluster);
    json_t *made = ask_as(tokens[OWN], "POST", path,
                          "{\"key\":\"car\",\"name\":\"Car\",\"driver\":\"d\"," LINK ",\"unit\":7,"
                          "\"as\":null,\"role\":\"r\",\"serialNumber\":\"S1\",\"phases\":1,"
                          "\"shareRank\":3,\"limits\":{\"maxCurrent\":16},"
                          "\"fallback\":{\"activePower\":0},\"parameters\":{\"a\":1}}",
                          201);
    assert_string_equal(text_at(made, "clusterId"), cluster);
    assert_string_equal(text_at(made, "expectedSerialNumber"), "S1");
    assert_true(null_at(made, "serialNumber"));
    assert_int_equal(number_at(made, "phases"), 1);
    assert_int_equal(number_at(made, "shareRank"), 3);
    assert_int_equal(number_at(json_object_get(made, "limits"), "maxCurrent"), 16);
    assert_int_equal(number_at(json_object_get(made, "fallback"), "activePower"), 0);
    assert_int_equal(number_at(json_object_get(made, "parameters"), "a"), 1);
    assert_true(null_at(made, "failsafe"));
    assert_string_equal(text_at(made, "mode"), "observe");
    assert_string_equal(text_at(made, "origin"), "api");
    json_decref(made);
    expect_as(tokens[OWN], "POST", path, "{\"key\":\"car\",\"driver\":\"d\"," LINK ",\"unit\":8}",
              409);
    expect_mistakes(tokens[OWN], "POST", path, "{\"unit\":-1,\"limits\":{\"maxCurrent\":-1}}",
                    "/unit /limits/maxCurrent /driver /link");
    json_t *problem = ask_as(tokens[OWN], "DELETE", "/v1/clusters/nowhere", NULL, 404);
    json_decref(problem);
    snprintf(path, sizeof path, "/v1/clusters/%s", cluster);
    problem = ask_as(tokens[OWN], "DELETE", path, NULL, 409);
    assert_non_null(strstr(text_at(problem, "detail"), "the device car"));
    json_decref(problem);
}

static void a_dry_run_tells_and_changes_nothing(void **state) {
    (void)state;
    struct things things;
    char path[200];
    make_things(&things);
    size_t clusters = kit.engine.desk.made.clusters.count;
    json_t *would = ask_as(tokens[OWN], "POST", "/v1/clusters?dryRun=true", "{}", 200);
    assert_true(json_is_true(json_object_get(would, "dryRun")));
    json_decref(would);
    expect_mistakes(tokens[OWN], "POST", "/v1/clusters?dryRun=true", "{\"mode\":7}", "/mode");
    snprintf(path, sizeof path, "/v1/clusters/%s/devices/%s?dryRun=true", things.cluster,
             things.device);
    expect_as(tokens[OWN], "DELETE", path, NULL, 200);
    path[strlen(path) - strlen("?dryRun=true")] = '\0';
    expect_as(tokens[OWN], "GET", path, NULL, 200);
    assert_int_equal(kit.engine.desk.made.clusters.count, clusters);
}

static void clusters_are_filtered_by_account_and_parent(void **state) {
    (void)state;
    char outer[64], inner[64], path[200], body[200];
    make("/v1/clusters", "{}", outer);
    snprintf(body, sizeof body, "{\"parentId\":\"%s\"}", outer);
    make("/v1/clusters", body, inner);
    snprintf(path, sizeof path, "/v1/clusters?parentId=%s", outer);
    json_t *list = ask_as(tokens[PARENT], "GET", path, NULL, 200);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
    const json_t *item = json_array_get(json_object_get(list, "items"), 0);
    assert_string_equal(text_at(item, "id"), inner);
    assert_string_equal(text_at(item, "parentId"), outer);
    assert_string_equal(text_at(item, "accountId"), shop.id);
    json_decref(list);
    list = ask_as(tokens[PARENT], "GET", "/v1/clusters?accountId=north", NULL, 200);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 0);
    json_decref(list);
    snprintf(path, sizeof path, "/v1/clusters/%s", outer);
    snprintf(body, sizeof body, "{\"parentId\":\"%s\"}", inner);
    expect_mistakes(tokens[OWN], "PATCH", path, body, "/parentId");
}

/* Its limits would not hold any more. */
static void a_cluster_is_not_moved_from_below_one_that_its_account_does_not_see(void **state) {
    (void)state;
    char outer[64], inner[64], own[64], path[200], dry[240], body[200];
    json_t *made = ask_as(tokens[PARENT], "POST", "/v1/clusters", "{}", 201);
    snprintf(outer, sizeof outer, "%s", text_at(made, "id"));
    json_decref(made);
    snprintf(body, sizeof body, "{\"accountId\":\"shop\",\"parentId\":\"%s\"}", outer);
    made = ask_as(tokens[PARENT], "POST", "/v1/clusters", body, 201);
    snprintf(inner, sizeof inner, "%s", text_at(made, "id"));
    json_decref(made);
    make("/v1/clusters", "{}", own);
    snprintf(path, sizeof path, "/v1/clusters/%s", inner);
    snprintf(dry, sizeof dry, "%s?dryRun=true", path);
    json_t *seen = ask_as(tokens[OWN], "GET", path, NULL, 200);
    assert_true(null_at(seen, "parentId"));
    json_decref(seen);
    snprintf(body, sizeof body, "{\"parentId\":\"%s\"}", own);
    expect_as(tokens[OWN], "PATCH", path, body, 403);
    expect_as(tokens[OWN], "PATCH", path, "{\"parentId\":null}", 403);
    expect_as(tokens[OWN], "PATCH", dry, "{\"parentId\":null}", 403);
    expect_as(tokens[OWN], "PATCH", path, "{\"name\":\"x\"}", 200);
    seen = ask_as(tokens[PARENT], "GET", path, NULL, 200);
    assert_string_equal(text_at(seen, "parentId"), outer);
    json_decref(seen);
    expect_as(tokens[PARENT], "PATCH", path, "{\"parentId\":null}", 200);
    expect_as(tokens[OWN], "PATCH", path, body, 200);
    expect_as(tokens[OWN], "PATCH", path, "{\"parentId\":null}", 200);
}

static void devices_are_filtered_by_their_state(void **state) {
    (void)state;
    static const struct {
        const char *query;
        size_t count;
    } filters[] = {{"state=charging", 1}, {"state=ready", 0}, {"state=charging&type=meter", 0}};
    kit_measure(&kit, 4140, 0);
    for (size_t i = 0; i < 3; i++) {
        char path[100];
        snprintf(path, sizeof path, "/v1/clusters/home/devices?%s", filters[i].query);
        json_t *list = ask_as(kit.token, "GET", path, NULL, 200);
        assert_int_equal(json_array_size(json_object_get(list, "items")), filters[i].count);
        json_decref(list);
        snprintf(path, sizeof path, "/v1/clusters/home/flexibility?%s", filters[i].query);
        list = ask_as(kit.token, "GET", path, NULL, 200);
        assert_int_equal(json_array_size(json_object_get(list, "items")), filters[i].count);
        json_decref(list);
    }
    expect_as(kit.token, "GET", "/v1/clusters/home/devices?state=happy", NULL, 400);
}

static void a_store_that_fails_changes_nothing(void **state) {
    (void)state;
    struct answer answer;
    kit.engine.desk.store_fails = true;
    kit_request_as(&kit, tokens[OWN], "POST", "/v1/clusters", "{}", &answer);
    kit.engine.desk.store_fails = false;
    char value[512];
    assert_true(answer_header(&answer, "Retry-After", value)[0]);
    expect_problem(&answer, 503);
}

static void what_is_posted_again_with_its_key_is_made_once(void **state) {
    (void)state;
    struct answer answer;
    char line[] = "Content-Type: application/json\r\nIdempotency-Key: one-and-only\r\n";
    size_t before = kit.engine.desk.made.clusters.count;
    for (int i = 0; i < 2; i++) {
        ask_with(tokens[OWN], "POST", "/v1/clusters", line, "{\"key\":\"once\"}", &answer);
        assert_int_equal(answer.status, 201);
        answer_free(&answer);
    }
    assert_int_equal(kit.engine.desk.made.clusters.count, before + 1);
    ask_with(tokens[OWN], "POST", "/v1/clusters?dryRun=true",
             "Content-Type: application/json\r\nIdempotency-Key: a b\r\n", "{}", &answer);
    expect_problem(&answer, 400); /* a key that would not be kept is one in a rehearsal too */
    ask_with(tokens[OWN], "POST", "/v1/accounts/shop/tokens", line,
             "{\"name\":\"kept\",\"maxPriority\":1}", &answer);
    expect_problem(&answer, 400); /* the answer would have to be kept, with the secret */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_is_for_its_account_and_those_above),
        cmocka_unit_test(lists_show_what_is_below),
        cmocka_unit_test(an_account_does_not_learn_who_is_above_it),
        cmocka_unit_test(a_body_cannot_name_what_its_token_does_not_see),
        cmocka_unit_test(a_weak_token_changes_nothing),
        cmocka_unit_test(an_account_is_made_changed_and_deleted),
        cmocka_unit_test(the_tree_of_accounts_gets_no_cycle),
        cmocka_unit_test(an_account_that_has_something_stays_and_says_what),
        cmocka_unit_test(what_the_file_names_is_not_changed),
        cmocka_unit_test(the_text_of_a_token_is_shown_once),
        cmocka_unit_test(a_token_does_not_raise_its_own_rights),
        cmocka_unit_test(all_mistakes_of_a_token_come_at_once),
        cmocka_unit_test(a_change_holds_to_the_tag_that_was_read),
        cmocka_unit_test(a_device_is_shown_as_it_was_made),
        cmocka_unit_test(a_dry_run_tells_and_changes_nothing),
        cmocka_unit_test(clusters_are_filtered_by_account_and_parent),
        cmocka_unit_test(a_cluster_is_not_moved_from_below_one_that_its_account_does_not_see),
        cmocka_unit_test(devices_are_filtered_by_their_state),
        cmocka_unit_test(a_store_that_fails_changes_nothing),
        cmocka_unit_test(what_is_posted_again_with_its_key_is_made_once),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
