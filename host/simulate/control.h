/* Faults and questions as lines of text: how tests and people steer a running simulation. Every
 * line is answered by lines of which the last begins with "ok" or "error". */
#ifndef DERD_SIMULATE_CONTROL_H
#define DERD_SIMULATE_CONTROL_H

#include "base/buf.h"
#include "simulate/home.h"

#define SIM_CONTROL_LINE 256 /* bytes of a line at most */

/* What the lines are, for --help. */
const char *sim_control_help(void);
/* Does what `line` says (it is cut into words) and appends the answer. With the home's lock. */
void sim_control_line(struct sim_home *home, char *line, struct buf *answer);

#endif
