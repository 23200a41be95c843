#include "cmd/notify.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>

struct notify {
    uv_timer_t timer;
};

/* sd_watchdog_enabled() asks whether this very process is the unit's main one; the host is its
 * child. */
static uint64_t watchdog_ms(void) {
    const char *text = getenv("WATCHDOG_USEC");
    return text ? strtoull(text, NULL, 10) / 1000 : 0;
}

static void tell_alive(uv_timer_t *timer) {
    (void)timer;
    sd_notify(0, "WATCHDOG=1");
}

struct notify *notify_ready(uv_loop_t *loop) {
    struct notify *notify = calloc(1, sizeof *notify);
    if (!notify)
        return NULL;
    uv_timer_init(loop, &notify->timer);
    uv_unref((uv_handle_t *)&notify->timer);
    notify->timer.data = notify;
    uint64_t half = watchdog_ms() / 2;
    if (half > 0)
        uv_timer_start(&notify->timer, tell_alive, half, half);
    sd_notify(0, "READY=1");
    return notify;
}

void notify_stopping(const struct notify *notify) {
    if (notify)
        sd_notify(0, "STOPPING=1");
}

static void free_notify(uv_handle_t *handle) {
    free(handle->data);
}

void notify_close(struct notify *notify) {
    if (notify)
        uv_close((uv_handle_t *)&notify->timer, free_notify);
}
