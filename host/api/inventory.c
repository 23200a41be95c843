#include "api/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"
#include "site.h"

bool inventory_unrestricted(struct exchange *x, const char *what) {
    if (x->token.cluster_count == 0)
        return true;
    exchange_problem(x, 403, "A token for some clusters only has nothing to do with %s.", what);
    return false;
}

bool inventory_account(const struct exchange *x, const char *which, struct account *account) {
    return store_account_find(x->settings->store, which, account) &&
           store_account_controls(x->settings->store, x->token.account, account->key);
}

bool inventory_account_named(const struct exchange *x, const char *key) {
    for (size_t i = 0; x->directory && i < x->directory->cluster_count; i++)
        if (x->directory->clusters[i].revision == 0 &&
            strcmp(x->directory->clusters[i].account, key) == 0)
            return true;
    return false;
}

const char *inventory_file(const struct exchange *x) {
    return x->directory && x->directory->site_file ? x->directory->site_file : "The site file";
}

void inventory_check_key(const char *key, struct report *report) {
    if (!site_key_valid(key))
        report_add(report, "/key",
                   "\"%.64s\" cannot stand in a URL: use letters, digits, \"_\", \"-\" and \".\"",
                   key);
    else if (uuid_valid(key))
        report_add(report, "/key", "a key that looks like an id would hide what has it");
}

void inventory_write_cluster(const struct exchange *x, const struct cluster_card *cluster,
                             struct json *json) {
    struct account account;
    bool known = store_account_find(x->settings->store, cluster->account, &account);
    const struct cluster_card *parent =
        cluster->parent_id[0] ? directory_cluster(x->directory, cluster->parent_id) : NULL;
    json_object_open(json);
    json_put_string(json, "id", cluster->id);
    present_key(json, cluster->key, cluster->id);
    json_put_known(json, "name", cluster->name);
    json_put_string(json, "accountId", known ? account.id : NULL);
    json_put_known(json, "account", cluster->account);
    json_put_string(json, "parentId", parent && exchange_sees(x, parent) ? parent->id : NULL);
    json_put_string(json, "mode", cluster->observe ? "observe" : "control");
    json_put_raw(json, "limits", cluster->limits ? cluster->limits : "null");
    json_put_double(json, "maxUncontrolledPower", cluster->uncontrolled);
    json_put_integer(json, "deviceCount", (int64_t)cluster->device_count);
    json_put_string(json, "origin", cluster->revision ? ORIGIN_API : ORIGIN_FILE);
    json_put_known(json, "clash", cluster->clash);
    json_put_time(json, "createdAt", cluster->created_at);
    json_object_close(json);
}

void inventory_version(struct exchange *x, int64_t revision) {
    if (revision)
        snprintf(x->version, sizeof x->version, "%lld", (long long)revision);
}
