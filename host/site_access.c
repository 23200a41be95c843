#include "site_access.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"
#include "base/schema.h"
#include "base/text.h"
#include "io/reach.h"
#include "io/tls.h"

static void whole_path(char *path, size_t size, const char *folder, const char *name) {
    if (name[0] == '/')
        snprintf(path, size, "%s", name);
    else
        snprintf(path, size, "%s/%s", folder, name);
}

/* A secret stands in a file of its own, which only the host's user can read; never in the site
 * file, which is shown around. */
static void read_secret(const json_t *entry, const char *folder, const struct site_device *device,
                        struct site_access *access, struct report *report) {
    static const struct schema fields[] = {
        {.key = "file",
         .kind = SCHEMA_STRING,
         .required = true,
         .minimum = 1,
         .maximum = 400,
         .help = "its name, from the site file's folder on"},
        {0},
    };
    static const struct schema shape = {.kind = SCHEMA_OBJECT, .fields = fields};
    const json_t *given = json_object_get(entry, "password");
    char where[96];
    size_t length;
    snprintf(where, sizeof where, "%s.password", device->where);
    if (json_is_string(given)) {
        report_add(report, where,
                   "a password does not stand in the site file: put it into a file of its own and "
                   "write password = { file = \"NAME\" }");
        return;
    }
    if (!given || !schema_check(&shape, given, where, PATH_LUA, report))
        return;
    whole_path(access->password_file, sizeof access->password_file, folder,
               tree_string(given, "file", ""));
    /* What cannot be read is the site file's mistake (site_load()), not that of a change elsewhere.
     */
    struct report problems;
    report_init(&problems);
    char *text = file_read(access->password_file, SITE_SECRET_SIZE - 1, &length, &problems);
    if (!text)
        text_copy(access->secret_problem, sizeof access->secret_problem,
                  problems.count ? problems.items[0].text : "this file cannot be read");
    report_free(&problems);
    if (!text)
        return;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        text[--length] = '\0';
    if (length == 0 || strlen(text) != length || strpbrk(text, "\r\n"))
        text_copy(access->secret_problem, sizeof access->secret_problem,
                  "it must hold the password in one line");
    else
        text_copy(access->secret, sizeof access->secret, text);
    sodium_memzero(text, length);
    free(text);
}

static bool says_anything(const json_t *entry) {
    static const char *const keys[] = {"username", "password", "caFile", "pinnedKey", "reach"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(entry, keys[i]))
            return true;
    return false;
}

void site_access_free(struct site_access *access) {
    if (access)
        sodium_memzero(access->secret, sizeof access->secret);
    free(access);
}

const struct site_access *site_device_access(const struct site_device *device) {
    static const struct site_access nothing;
    return device->access ? device->access : &nothing;
}

void site_read_access(const json_t *entry, const char *folder, struct site_device *device,
                      struct report *report) {
    char where[96], why[320];
    if (!says_anything(entry))
        return;
    struct site_access *access = device->access = calloc(1, sizeof *access);
    if (!access) {
        report_add(report, device->where, "there is no memory for it");
        return;
    }
    const char *ca_file = tree_string(entry, "caFile", NULL);
    text_copy(access->username, sizeof access->username, tree_string(entry, "username", ""));
    read_secret(entry, folder, device, access, report);
    if (ca_file)
        whole_path(access->ca_file, sizeof access->ca_file, folder, ca_file);
    text_copy(access->pinned_key, sizeof access->pinned_key, tree_string(entry, "pinnedKey", ""));
    if (access->pinned_key[0] && !tls_pin_valid(access->pinned_key)) {
        snprintf(where, sizeof where, "%s.pinnedKey", device->where);
        report_add(report, where, "expected sha256// and 44 characters of base64");
    }
    const json_t *reach = json_object_get(entry, "reach");
    for (size_t i = 0; i < json_array_size(reach) && i < SITE_MAX_REACH; i++) {
        const char *item = json_string_value(json_array_get(reach, i));
        snprintf(where, sizeof where, "%s.reach[%zu]", device->where, i + 1);
        if (!reach_entry_valid(item, why, sizeof why))
            report_add(report, where, "%s", why);
        access->reach[access->reach_count++] = item;
    }
}

bool site_secrets_right(const struct site *site, struct report *report) {
    bool right = true;
    for (size_t i = 0; i < site->cluster_count; i++)
        for (size_t j = 0; j < site->clusters[i].device_count; j++) {
            const struct site_device *device = site->clusters[i].devices[j];
            const struct site_access *access = site_device_access(device);
            char where[96];
            if (!access->secret_problem[0])
                continue;
            snprintf(where, sizeof where, "%s.password", device->where);
            report_add(report, where, "%s: %s", access->password_file, access->secret_problem);
            right = false;
        }
    return right;
}

bool site_secrets_changed(const struct site *site) {
    bool changed = false;
    for (size_t i = 0; i < site->cluster_count; i++)
        for (size_t j = 0; j < site->clusters[i].device_count && !changed; j++) {
            const struct site_device *device = site->clusters[i].devices[j];
            const struct site_access *access = site_device_access(device);
            struct report report;
            size_t length;
            if (!access->password_file[0])
                continue;
            report_init(&report);
            char *text = file_read(access->password_file, SITE_SECRET_SIZE - 1, &length, &report);
            changed = text && (strncmp(text, access->secret, strlen(access->secret)) != 0 ||
                               strcspn(text, "\r\n") != strlen(access->secret));
            if (text)
                sodium_memzero(text, length);
            free(text);
            report_free(&report);
        }
    return changed;
}
