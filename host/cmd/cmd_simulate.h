/* `derd simulate FILE`: simulated devices over real Modbus TCP on loopback. */
#ifndef DERD_CMD_SIMULATE_H
#define DERD_CMD_SIMULATE_H

/* argv[0] is "simulate". Gives the exit status: 0 ok, 1 the file was wrong, 2 used wrongly. */
int cmd_simulate(int argc, char **argv);

#endif
