#include "cmd/opening.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define LOOK_MS  200  /* for the first token */
#define AGAIN_MS 5000 /* after the port was not to be had */

static void say_ready(const struct opening *opening) {
    log_info("host", "ready: http://%.*s:%d",
             (int)(strrchr(opening->listen, ':') - opening->listen), opening->listen,
             api_port(opening->api));
}

static void open_run(uv_work_t *work) { /* on a worker */
    struct opening *opening = work->data;
    if (api_listen(opening->api, opening->why, sizeof opening->why) == ERR_OK)
        opening->why[0] = '\0';
}

static void on_look(uv_timer_t *timer);

static void on_opened(uv_work_t *work, int status) {
    struct opening *opening = work->data;
    (void)status;
    opening->working = false;
    if (opening->closed) {
        opening->closed(opening->context);
    } else if (opening->why[0]) {
        log_error("api", "%s", opening->why);
        uv_timer_start(&opening->look, on_look, AGAIN_MS, AGAIN_MS);
    } else {
        opening->watching = false;
        uv_close((uv_handle_t *)&opening->look, NULL);
        say_ready(opening);
    }
}

static void on_look(uv_timer_t *timer) {
    struct opening *opening = timer->data;
    if (!store_has_tokens(opening->store))
        return;
    uv_timer_stop(timer);
    opening->open.data = opening;
    opening->working = uv_queue_work(timer->loop, &opening->open, open_run, on_opened) == 0;
    if (!opening->working)
        uv_timer_start(timer, on_look, AGAIN_MS, AGAIN_MS);
}

bool opening_begin(struct opening *opening, uv_loop_t *loop, struct api *api, struct store *store,
                   const char *listen, const char *site) {
    *opening = (struct opening){.api = api, .store = store, .site = site};
    snprintf(opening->listen, sizeof opening->listen, "%s", listen);
    if (api_is_local(api) || store_has_tokens(store)) {
        if (api_listen(api, opening->why, sizeof opening->why) != ERR_OK) {
            log_error("api", "%s", opening->why);
            return false;
        }
        say_ready(opening);
        if (!store_has_tokens(store))
            log_warning("api",
                        "there is no token yet: nothing but /health answers until the first one is "
                        "made: derd token create --site %s --name NAME --scopes all",
                        site);
        return true;
    }
    log_warning("api",
                "%s is not opened before there is a token, since others can reach it; the host "
                "controls meanwhile. Make the first one: derd token create --site %s --name NAME "
                "--scopes all",
                listen, site);
    opening->watching = true;
    uv_timer_init(loop, &opening->look);
    opening->look.data = opening;
    uv_timer_start(&opening->look, on_look, LOOK_MS, LOOK_MS);
    return true;
}

void opening_end(struct opening *opening, opening_ended *closed, void *context) {
    if (opening->watching)
        uv_close((uv_handle_t *)&opening->look, NULL);
    opening->watching = false;
    opening->closed = closed;
    opening->context = context;
    if (!opening->working)
        closed(context);
}
