/* The service listener: /health, /ready and /metrics on a port of their own, for watchdogs and
 * Prometheus on this machine. It is part of the engine's loop and holds no thread, so nothing that
 * clients do to the API's port keeps it from answering; and since it answers from the loop, /health
 * says that the engine turns. While a script or the watchdog stops the loop it does not answer,
 * which is right.
 *
 * It costs the engine next to nothing, whatever comes: at most SERVICE_TURN_US of a loop turn;
 * requests of at most SERVICE_HEAD_MAXIMUM bytes without a body; one answer to a connection; at
 * most SERVICE_GUESTS connections, of which the oldest that has not sent its request makes way; a
 * deadline for each. /health and /ready are made by the API's handlers; /metrics by a worker, at
 * most once a second, for all who ask meanwhile.
 *
 * There are no tokens here: who reaches the port reads all clusters' figures. So it belongs on
 * loopback; there, Host must be an address or "localhost". Engine thread. */
#ifndef DERD_SERVICE_SERVICE_H
#define DERD_SERVICE_SERVICE_H

#include <uv.h>

#include "api/api.h"
#include "service/service_figures.h"

#define SERVICE_GUESTS     512 /* at most an eighth of the descriptors that there may be */
#define SERVICE_READERS    8   /* of /metrics at a time; others are answered 503 */
#define SERVICE_TURN_US    2000
#define SERVICE_HEAD_MS    2000 /* until the request is there */
#define SERVICE_WRITE_MS   10000
#define SERVICE_LINGER_MS  1000 /* for what a refused client still sends */
#define SERVICE_METRICS_MS 1000 /* how old the text of /metrics may be */

struct service;

/* Listens on "127.0.0.1:8079"; port 0: any free one. `settings`: what the API has; copied, without
 * its strings. `figures` is counted in and must outlive it. ERR_FORMAT, ERR_IO, ERR_MEMORY with a
 * text in `why`. */
must_check enum err service_open(struct service **service, uv_loop_t *loop, const char *listen,
                                 const struct api_settings *settings,
                                 struct service_figures *figures, char *why, size_t why_size);
int service_port(const struct service *service);
/* Handles close and memory is freed at later loop turns; what the settings name must be there until
 * then. NULL is fine. */
void service_close(struct service *service);

#endif
