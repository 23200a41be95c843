/* `derd test`: the conformance suite and the author's spec, for one driver. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "kit/conform.h"
#include "kit/find.h"

static const char help[] =
    "usage: derd test DRIVER [OPTIONS]\n\n"
    "Tests a driver in the host's own engine against a simulated device that is made from the\n"
    "driver's points, and against its spec. DRIVER is a file, or a name looked for in ./drivers\n"
    "and among those that ship. The spec is spec/NAME.lua beside the driver.\n\n"
    "  --fixture FILE   also serve what `derd record` has written; may be a spec too\n"
    "  --spec FILE      another spec than the one beside the driver\n"
    "  --polls N        polls of the memory check, 10 to 100000 (1000)\n"
    "  --quiet          print failures and the sum only\n"
    "  --help\n\n"
    "Exit status: 0 all passed, 1 something failed, 2 used wrongly.\n";

/* spec/NAME.lua in the driver's folder; false when there is none. */
static bool find_spec(const char *driver_path, char *path, size_t size) {
    const char *slash = strrchr(driver_path, '/');
    int folder = slash ? (int)(slash + 1 - driver_path) : 0;
    snprintf(path, size, "%.*sspec/%s", folder, driver_path, driver_path + folder);
    return access(path, R_OK) == 0;
}

int cmd_test(int argc, char **argv) {
    static const struct option options[] = {
        {"fixture", required_argument, NULL, 'f'}, {"spec", required_argument, NULL, 's'},
        {"polls", required_argument, NULL, 'p'},   {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct conform_settings settings = {.out = stdout};
    char path[512], spec[560];
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'f':
            settings.fixture_path = optarg;
            break;
        case 's':
            settings.spec_path = optarg;
            break;
        case 'p':
            settings.polls = (int)strtol(optarg, NULL, 10);
            if (settings.polls < 10 || settings.polls > 100000) {
                fputs("derd test: --polls takes 10 to 100000\n", stderr);
                return 2;
            }
            break;
        case 'q':
            settings.quiet = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 2;
        }
    if (optind + 1 != argc) {
        fputs(help, stderr);
        return 2;
    }
    if (!find_driver_path(argv[optind], path, sizeof path)) {
        fprintf(stderr, "derd test: there is no driver %s, neither as a file nor in drivers/\n",
                argv[optind]);
        return 1;
    }
    settings.driver_path = path;
    if (!settings.spec_path && find_spec(path, spec, sizeof spec))
        settings.spec_path = spec;
    return conform_run(&settings);
}
