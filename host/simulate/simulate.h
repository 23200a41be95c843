/* A simulated home in this process: reads the home file, serves its devices, advances its physics
 * in real time, takes control lines, until it is told to end. */
#ifndef DERD_SIMULATE_SIMULATE_H
#define DERD_SIMULATE_SIMULATE_H

#include <stdint.h>

struct simulate_options {
    const char *path; /* of the home file */
    int control;      /* descriptor for control lines, or -1 */
    int output;       /* descriptor for "listening", "ready" and answers */
    /* Called once when all listeners are open, before "ready" is printed; may be NULL. */
    void (*ready)(void *context, const char *listener, uint16_t port);
    void *context;
};

/* Runs until SIGTERM or SIGINT (both are blocked in the calling thread and those it starts, and
 * stay so; SIGPIPE is ignored). 0: ended as asked; 1: the home file or a listener was wrong, told
 * on standard error. To be called in a process of its own: `derd demo` forks before it starts any
 * thread. */
int simulate_run(const struct simulate_options *options);

#endif
