#include "kit/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "cmd/paths.h"
#include "script/library.h"

bool find_driver_path(const char *which, char *path, size_t size) {
    char shared[400];
    if (strchr(which, '/') || strstr(which, ".lua")) {
        snprintf(path, size, "%s", which);
        return access(path, R_OK) == 0;
    }
    snprintf(path, size, "drivers/%s.lua", which);
    if (access(path, R_OK) == 0)
        return true;
    if (paths_shared(shared, sizeof shared) != ERR_OK)
        return false;
    snprintf(path, size, "%s/drivers/%s.lua", shared, which);
    return access(path, R_OK) == 0;
}

struct generation *find_driver(const char *which, const char *command) {
    char path[512];
    struct report report;
    if (!find_driver_path(which, path, sizeof path)) {
        fprintf(stderr, "%s: there is no driver %s, neither as a file nor in drivers/\n", command,
                which);
        return NULL;
    }
    report_init(&report);
    struct generation *generation = generation_load(SCRIPT_DRIVER, path, 1, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "%s: %s: %s: %s\n", command, path, report.items[i].where,
                report.items[i].text);
    report_free(&report);
    return generation;
}

static void add_folder(const char *folder, struct generation **drivers, size_t maximum,
                       size_t *count) {
    uv_fs_t scan;
    uv_dirent_t entry;
    if (uv_fs_scandir(NULL, &scan, folder, 0, NULL) < 0)
        return;
    while (*count < maximum && uv_fs_scandir_next(&scan, &entry) == 0) {
        size_t length = strlen(entry.name);
        char path[512];
        struct report report;
        bool known = false;
        if (length < 5 || strcmp(entry.name + length - 4, ".lua") != 0)
            continue;
        for (size_t i = 0; i < *count; i++)
            known = known || (strlen(drivers[i]->name) == length - 4 &&
                              strncmp(drivers[i]->name, entry.name, length - 4) == 0);
        if (known)
            continue;
        report_init(&report);
        snprintf(path, sizeof path, "%s/%s", folder, entry.name);
        drivers[*count] = generation_load(SCRIPT_DRIVER, path, 1, &report);
        if (drivers[*count])
            (*count)++;
        else
            fprintf(stderr, "%s is left out: `derd check` tells why\n", path);
        report_free(&report);
    }
    uv_fs_req_cleanup(&scan);
}

size_t find_all_drivers(struct generation **drivers, size_t maximum) {
    char shared[400], folder[420];
    size_t count = 0;
    add_folder("./drivers", drivers, maximum, &count);
    if (paths_shared(shared, sizeof shared) == ERR_OK) {
        snprintf(folder, sizeof folder, "%s/drivers", shared);
        add_folder(folder, drivers, maximum, &count);
    }
    return count;
}

bool find_unit(const char *text, int *unit) {
    char *end;
    long value = strtol(text, &end, 10);
    *unit = (int)value;
    return end != text && *end == '\0' && value >= 0 && value <= 255;
}
