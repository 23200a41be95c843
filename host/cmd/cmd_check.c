/* `derd check`: every mistake of drivers, policies and site files in one go. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "cmd/commands.h"
#include "script/library.h"
#include "site.h"

static const char help[] = "usage: derd check PATH...\n\n"
                           "Validates Lua files: those in a folder named drivers/ or policies/ (or "
                           "given as such a folder)\n"
                           "as drivers and policies, all others as site files. Prints every "
                           "mistake as FILE: PLACE: TEXT.\n";

enum file_kind { FILE_DRIVER, FILE_POLICY, FILE_SITE };

static enum file_kind kind_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return FILE_SITE;
    const char *start = slash;
    while (start > path && start[-1] != '/')
        start--;
    size_t length = (size_t)(slash - start);
    if (length == 7 && strncmp(start, "drivers", length) == 0)
        return FILE_DRIVER;
    if (length == 8 && strncmp(start, "policies", length) == 0)
        return FILE_POLICY;
    return FILE_SITE;
}

/* True when the file is right. */
static bool check_file(const char *path) {
    struct report report;
    report_init(&report);
    char real[512];
    snprintf(real, sizeof real, "%s%s", path[0] == '/' || path[0] == '.' ? "" : "./", path);
    enum file_kind kind = kind_of(real);
    if (kind == FILE_SITE)
        site_free(site_load(real, &report));
    else
        generation_release(
            generation_load(kind == FILE_DRIVER ? SCRIPT_DRIVER : SCRIPT_POLICY, real, 1, &report));
    for (size_t i = 0; i < report.count; i++)
        printf("%s: %s%s%s\n", path, report.items[i].where, report.items[i].where[0] ? ": " : "",
               report.items[i].text);
    if (report.total > report.count)
        printf("%s: and %zu more\n", path, report.total - report.count);
    bool right = report_empty(&report);
    if (right)
        printf("%s: ok\n", path);
    report_free(&report);
    return right;
}

static bool check_folder(const char *path) {
    uv_fs_t scan;
    uv_dirent_t entry;
    bool right = true;
    if (uv_fs_scandir(NULL, &scan, path, 0, NULL) < 0) {
        printf("%s: the folder cannot be read\n", path);
        return false;
    }
    while (uv_fs_scandir_next(&scan, &entry) == 0) {
        size_t length = strlen(entry.name);
        char file[600];
        snprintf(file, sizeof file, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/",
                 entry.name);
        if (length > 4 && strcmp(entry.name + length - 4, ".lua") == 0)
            right = check_file(file) && right;
    }
    uv_fs_req_cleanup(&scan);
    return right;
}

int cmd_check(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    bool right = true;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) != 0) {
            printf("%s: there is no such file or folder\n", argv[i]);
            right = false;
        } else {
            right =
                (S_ISDIR(status.st_mode) ? check_folder(argv[i]) : check_file(argv[i])) && right;
        }
    }
    return right ? 0 : 1;
}
