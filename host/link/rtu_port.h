/* A serial port with Modbus RTU on it, through libmodbus. Blocking, for a thread of its own; knows
 * no loop and no link.
 *
 * Frames are libmodbus's (its raw interface), what is in them is compared by the same decoder as
 * Modbus TCP. RTU has no transaction id. So what a unit sends too late could be taken for the
 * answer to the next, different request; for as long as that may be, answers of this unit are not
 * taken: as one more time-out. A device that is always slower than its time-out needs a longer one.
 *
 * libmodbus waits with select(), which takes only descriptors below 1024. The port holds such a
 * number from the beginning, before hundreds of sockets are open, and puts the port's own there. */
#ifndef DERD_RTU_PORT_H
#define DERD_RTU_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/mbap.h"
#include "link/rtu_settings.h"

enum rtu_result {
    RTU_ANSWER,
    RTU_SILENT,     /* nothing that could be the answer came in time */
    RTU_GARBLED,    /* what came is no frame */
    RTU_GONE,       /* the port does not work any more */
    RTU_INTERRUPTED /* something is in `wake` */
};

struct rtu_port;

/* `wake`: a descriptor (eventfd) that ends each wait as soon as it can be read; stays the caller's
 * and outlives the port. NULL: no memory. */
struct rtu_port *rtu_port_new(const struct rtu_settings *settings, int wake);
void rtu_port_free(struct rtu_port *port); /* closes it too */
/* False: what is wrong and what to do about it stands in `why`. */
bool rtu_port_open(struct rtu_port *port, char *why, size_t why_size);
void rtu_port_close(struct rtu_port *port);
bool rtu_port_is_open(const struct rtu_port *port);
/* Waits until `wake` can be read (true) or the port is gone (false, `why`). */
bool rtu_port_rest(struct rtu_port *port, char *why, size_t why_size);
/* One request and its answer. Keeps the silence between frames; leaves a silent line behind. Ends
 * after `timeout_ms` and the time that both frames take on the line, and the silence around them.
 * `foreign` grows by the frames that were not the answer. `why` is for RTU_GONE. */
enum rtu_result rtu_port_ask(struct rtu_port *port, const struct modbus_request *request,
                             int64_t timeout_ms, struct modbus_answer *answer, unsigned *foreign,
                             char *why, size_t why_size);

#endif
