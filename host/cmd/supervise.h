/* The small parent of `derd serve`: it runs the host as its child and starts it again within a
 * second when it dies, because start-up is recovery. It holds no state, opens nothing and runs no
 * script. */
#ifndef DERD_SUPERVISE_H
#define DERD_SUPERVISE_H

/* `run` is the child's whole life; its result is the exit status. Returns the status to exit with:
 * that of a child that ended by itself with 0, or with anything else before it was ever up (a
 * broken site file at the first start). `ready_fd`: the child writes one byte there once it is up.
 */
int supervise(int (*run)(void *context, int ready_fd), void *context);

#endif
