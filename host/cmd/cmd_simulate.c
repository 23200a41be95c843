#include "cmd/cmd_simulate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "simulate/control.h"
#include "simulate/simulate.h"

static void print_usage(FILE *stream) {
    fputs("Usage: derd simulate FILE\n"
          "Serves the devices of a simulated home over Modbus TCP on 127.0.0.1.\n"
          "FILE is Lua that returns data; scripts/demo/home.lua is an example.\n"
          "Prints \"listening 127.0.0.1:PORT NAME\" for each listener, then \"ready\".\n\n",
          stream);
    fputs(sim_control_help(), stream);
}

int cmd_simulate(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (argc != 2 || argv[1][0] == '-') {
        print_usage(stderr);
        return 2;
    }
    const struct simulate_options options = {
        .path = argv[1], .control = STDIN_FILENO, .output = STDOUT_FILENO};
    return simulate_run(&options);
}
