/* What systemd is told about the host (sd_notify(3), Type=notify): that it is ready, that its loop
 * still turns (WatchdogSec), that it is stopping. Without systemd all of this does nothing.
 *
 * The host is a child of the supervising parent, so the unit needs NotifyAccess=all. The loop's
 * thread. */
#ifndef DERD_CMD_NOTIFY_H
#define DERD_CMD_NOTIFY_H

#include <uv.h>

struct notify;

/* The host is ready. While the loop turns, the watchdog is told so at half of its time. NULL when
 * memory is short: systemd then ends the host. */
struct notify *notify_ready(uv_loop_t *loop);
/* The host was asked to end. NULL is fine, as below. */
void notify_stopping(const struct notify *notify);
/* Frees it after its handle has closed, in the loop's next turn. */
void notify_close(struct notify *notify);

#endif
