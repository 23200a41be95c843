/* derd: the host for distributed energy resources. This file only knows the commands. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/json_read.h"
#include "cmd/commands.h"
#include "driver.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", cmd_serve, "run the host on a site:            derd serve --site FILE"},
    {"demo", cmd_demo, "a simulated home and the host on it"},
    {"simulate", cmd_simulate, "simulated devices over Modbus TCP: derd simulate FILE"},
    {"check", cmd_check, "validate drivers, policies, sites:  derd check PATH..."},
    {"new", cmd_new, "begin a driver or a policy:          derd new driver NAME"},
    {"probe", cmd_probe, "find the driver that fits a device:  derd probe URL"},
    {"record", cmd_record, "make a fixture from a live device:   derd record URL ..."},
    {"test", cmd_test, "test a driver, simulated device:     derd test DRIVER"},
    {"proxy", cmd_proxy, "TLS in front, by nginx:             derd proxy --site FILE --name HOST"},
    {"log", cmd_log, "what the running host logs:          derd log --level debug"},
    {"backup", cmd_backup, "all that it remembers, as one file:  derd backup FILE"},
    {"restore", cmd_restore, "and back, while no host runs:        derd restore FILE"},
    {"token", cmd_token, "make, list, revoke access tokens:  derd token create"},
    {"password", cmd_password, "set, remove passwords of people:    derd password set"},
};

static void print_help(FILE *to) {
    fputs("derd " DERD_VERSION ", the host for distributed energy resources\n\n"
          "usage: derd COMMAND [OPTIONS]\n\n",
          to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
    fputs("\n`derd COMMAND --help` tells more. Exit status: 0 ok, 1 found something wrong, "
          "2 used wrongly.\n",
          to);
}

int main(int argc, char **argv) {
    json_read_init();
    if (sodium_init() < 0) {
        fputs("derd: the system gives no random numbers\n", stderr);
        return 1;
    }
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("derd %s (drivers: api = %d)\n", DERD_VERSION, DRIVER_API);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "derd: there is no command \"%s\"; `derd --help` lists them\n", argv[1]);
    return 2;
}
