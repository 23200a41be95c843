/* `derd simulate FILE` as a program of its own. */
#include "cmd/cmd_simulate.h"

int main(int argc, char **argv) {
    return cmd_simulate(argc, argv);
}
