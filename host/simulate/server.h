/* The simulated devices on the wire: Modbus TCP on 127.0.0.1 through libmodbus. One thread for each
 * listener serves all of its connections in turn, and tells the devices behind it apart by unit id,
 * as a gateway does: an unknown unit answers exception 0Bh. libmodbus waits with select(), so a
 * connection whose descriptor would be too large is closed at once. */
#ifndef DERD_SIMULATE_SERVER_H
#define DERD_SIMULATE_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <modbus/modbus.h>

#include "base/report.h"
#include "simulate/home.h"

#define SIM_MAX_CONNECTIONS 256 /* of one listener */

struct sim_server {
    struct sim_home *home;
    int index; /* of the listener */
    uint16_t port;
    modbus_t *modbus;
    int socket;
    int stop; /* readable: end. Owned by whoever started the server */
    bool running;
    pthread_t thread;
    int connections[SIM_MAX_CONNECTIONS];
    int connection_count;
};

/* Listens and starts the thread; false with a mistake when that is not possible. `stop`: a
 * descriptor that becomes readable when all servers shall end. */
bool sim_server_start(struct sim_server *server, struct sim_home *home, int index, int stop,
                      struct report *report);
/* Waits for the thread, which ends once `stop` is readable. */
void sim_server_finish(struct sim_server *server);

#endif
