/* Site files: data in Lua. What is accepted, written as a tree and read again, is the same site. */
#include "fuzz.h"

#include <lauxlib.h>

#include "base/luadata.h"
#include "site.h"

static void check_report(const struct report *report) {
    must(report->count > 0);
    for (size_t i = 0; i < report->count; i++)
        must(report->items[i].text[0] && report->items[i].where);
}

static int push_tree(lua_State *L) {
    luadata_push(L, lua_touserdata(L, 1));
    return 1;
}

/* Lua -> tree -> Lua -> tree. */
static void check_round(const json_t *tree) {
    lua_State *L = luaL_newstate();
    struct report report;
    report_init(&report);
    must(L);
    lua_pushcfunction(L, push_tree);
    lua_pushlightuserdata(L, (void *)(uintptr_t)tree);
    must(lua_pcall(L, 1, 1, 0) == LUA_OK);
    json_t *again = luadata_from_stack(L, -1, false, &report);
    must(again && json_equal(tree, again));
    json_decref(again);
    report_free(&report);
    lua_close(L);
}

static void check_site(const struct site *site) {
    must(site->cluster_count == json_array_size(json_object_get(site->tree, "clusters")));
    must(site->listen[0] && strrchr(site->listen, ':') && site->horizon_ms > 0);
    for (size_t i = 0; i < site->cluster_count; i++) {
        const struct site_cluster *cluster = &site->clusters[i];
        must(site_key_valid(cluster->key));
        must(site_cluster_find(site, cluster->key) == cluster);
        for (size_t j = 0; j < cluster->device_count; j++) {
            const struct site_device *device = cluster->devices[j];
            must(site_key_valid(device->key));
            must(!device->access || device->access->reach_count <= SITE_MAX_REACH);
        }
        (void)site_grid_meter(cluster);
        (void)site_sees_grid(cluster);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct report report;
    if (size > 32768)
        return -1;
    report_init(&report);
    char *text = exact_copy(data, size);
    json_t *tree = luadata_load("site.lua", text, size, &report);
    must((tree == NULL) == !report_empty(&report));
    if (tree) {
        check_round(tree);
        char *first = json_dumps(tree, JSON_SORT_KEYS | JSON_ENCODE_ANY);
        struct site *site = site_parse(tree, "/nonexistent", &report); /* takes the tree */
        if (site) {
            must(report_empty(&report));
            check_site(site);
            json_t *copy = json_loads(first, JSON_DECODE_ANY, NULL);
            struct site *again = site_parse(copy, "/nonexistent", &report);
            must(again && again->cluster_count == site->cluster_count);
            site_free(again);
            site_free(site);
        } else {
            check_report(&report);
        }
        free(first);
    }
    free(text);
    report_free(&report);
    return 0;
}
