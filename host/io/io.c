#include "io/io.h"

#include <curl/curl.h>
#include <mosquitto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/room.h"

/* Both libraries count how often they were started, but libmosquitto does so without a lock. */
static pthread_mutex_t libraries = PTHREAD_MUTEX_INITIALIZER;

static bool libraries_start(void) {
    pthread_mutex_lock(&libraries);
    bool curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    bool mosquitto = curl && mosquitto_lib_init() == MOSQ_ERR_SUCCESS;
    if (curl && !mosquitto)
        curl_global_cleanup();
    pthread_mutex_unlock(&libraries);
    return mosquitto;
}

static void libraries_stop(void) {
    pthread_mutex_lock(&libraries);
    mosquitto_lib_cleanup();
    curl_global_cleanup();
    pthread_mutex_unlock(&libraries);
}

struct io *io_open(uv_loop_t *loop, char *why, size_t why_size) {
    struct io *io = calloc(1, sizeof *io);
    if (io && libraries_start()) {
        io->loop = loop;
        return io;
    }
    snprintf(why, why_size, "%s", io ? "libcurl or libmosquitto does not start" : "out of memory");
    free(io);
    return NULL;
}

bool io_idle(const struct io *io) {
    return io->live == 0;
}

void io_close(struct io *io) {
    if (!io)
        return;
    libraries_stop();
    free(io);
}

void room_arm(uv_timer_t *timer, uv_timer_cb turn, uint64_t due_ms, bool again) {
    if (due_ms == UINT64_MAX) {
        uv_timer_stop(timer);
        return;
    }
    uint64_t now = uv_now(timer->loop), delay = due_ms > now ? due_ms - now : 0;
    uv_timer_start(timer, turn, delay == 0 && again ? 1 : delay, 0);
}
