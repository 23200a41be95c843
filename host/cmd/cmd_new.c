/* `derd new`: a commented starting point for a driver or a policy, from a template. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/luadata.h"
#include "cmd/commands.h"
#include "cmd/paths.h"

static const char help[] =
    "usage: derd new driver NAME [--link http] [--to FOLDER]\n"
    "       derd new policy NAME [--to FOLDER]\n\n"
    "Writes a commented starting point that passes `derd check`: ./drivers/NAME.lua with its spec\n"
    "./drivers/spec/NAME.lua, or ./policies/NAME.lua. NAME: small letters, digits and _. A file\n"
    "that is there already is left alone.\n\n"
    "  --link http  a device that speaks HTTP, not Modbus\n"
    "  --to FOLDER  instead of ./drivers or ./policies\n"
    "  --help\n";

#define TEMPLATE_MAXIMUM 65536

/* The template with NAME in place of each "@NAME@". */
static bool fill_template(const char *template, const char *name, struct buf *text) {
    char shared[400], path[480];
    struct report report;
    size_t length;
    if (paths_shared(shared, sizeof shared) != ERR_OK) {
        fputs("derd new: scripts/templates is not where this program stands; set DERD_SHARE to the "
              "folder that holds scripts/ and drivers/\n",
              stderr);
        return false;
    }
    snprintf(path, sizeof path, "%s/scripts/templates/%s.lua", shared, template);
    report_init(&report);
    char *whole = file_read(path, TEMPLATE_MAXIMUM, &length, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "derd new: %s: %s\n", report.items[i].where, report.items[i].text);
    report_free(&report);
    if (!whole)
        return false;
    const char *at = whole, *mark;
    while ((mark = strstr(at, "@NAME@"))) {
        buf_append(text, at, (size_t)(mark - at));
        buf_text(text, name);
        at = mark + strlen("@NAME@");
    }
    buf_text(text, at);
    free(whole);
    return !text->failed;
}

static bool write_new(const char *template, const char *name, const char *folder) {
    char path[600];
    struct buf text;
    buf_init(&text, 2UL * TEMPLATE_MAXIMUM);
    bool ok = fill_template(template, name, &text);
    if (ok && mkdir(folder, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "derd new: the folder %s cannot be made: %s\n", folder, strerror(errno));
        ok = false;
    }
    snprintf(path, sizeof path, "%s/%s.lua", folder, name);
    FILE *file = ok ? fopen(path, "wxe") : NULL;
    if (ok && !file) {
        fprintf(stderr, "derd new: %s: %s\n", path,
                errno == EEXIST ? "it is there already and is left alone" : strerror(errno));
        ok = false;
    }
    if (file) {
        ok = fputs(buf_string(&text), file) >= 0;
        ok = fclose(file) == 0 && ok;
        if (ok)
            printf("%s\n", path);
        else
            fprintf(stderr, "derd new: %s cannot be written: %s\n", path, strerror(errno));
    }
    buf_free(&text);
    return ok;
}

static bool name_right(const char *name) {
    size_t length = strlen(name);
    return length > 0 && length < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

int cmd_new(int argc, char **argv) {
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"link", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *folder = NULL;
    bool http = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 't':
            folder = optarg;
            break;
        case 'l':
            http = strcmp(optarg, "http") == 0;
            if (!http && strcmp(optarg, "tcp") != 0) {
                fputs("derd new: --link takes tcp (Modbus) or http\n", stderr);
                return 2;
            }
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 2;
        }
    bool driver = optind + 2 == argc && strcmp(argv[optind], "driver") == 0;
    bool policy = optind + 2 == argc && strcmp(argv[optind], "policy") == 0;
    if (!driver && !policy) {
        fputs(help, stderr);
        return 2;
    }
    const char *name = argv[optind + 1];
    if (!name_right(name)) {
        fprintf(stderr,
                "derd new: a name has small letters, digits and _, at most 63: got \"%s\"\n", name);
        return 2;
    }
    if (policy)
        return write_new("policy", name, folder ? folder : "./policies") ? 0 : 1;
    char spec[560];
    if (!folder)
        folder = "./drivers";
    snprintf(spec, sizeof spec, "%s/spec", folder);
    if (!write_new(http ? "driver_http" : "driver", name, folder) ||
        !write_new(http ? "driver_http_spec" : "driver_spec", name, spec))
        return 1;
    fprintf(stderr,
            "Now: put your %s in, then `derd check %s/%s.lua` and `derd test "
            "%s/%s.lua`.\n",
            http ? "fields" : "registers", folder, name, folder, name);
    return 0;
}
