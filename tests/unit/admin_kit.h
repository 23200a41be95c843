/* A host for the tests of administration: a store, and the socket on a loop in a thread. */
#ifndef DERD_TESTS_ADMIN_KIT_H
#define DERD_TESTS_ADMIN_KIT_H

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "cmd/admin.h"
#include "store_kit.h"

struct small_host {
    struct folder *folder;
    struct store *store;
    struct admin *admin;
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
};

static inline void small_host_status(void *context, json_t *status) {
    (void)context;
    json_object_set_new(status, "devices", json_integer(3));
}

static inline void small_host_on_stop(uv_async_t *stop) {
    struct small_host *host = stop->data;
    admin_close(host->admin);
    uv_close((uv_handle_t *)stop, NULL);
}

static inline void *small_host_run(void *context) {
    struct small_host *host = context;
    uv_run(&host->loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline struct small_host *small_host_start(struct folder *folder) {
    struct small_host *host = calloc(1, sizeof *host);
    struct report report;
    report_init(&report);
    signal(SIGPIPE, SIG_IGN);
    host->folder = folder;
    host->store = store_opened(folder);
    assert_int_equal(uv_loop_init(&host->loop), 0);
    assert_int_equal(uv_async_init(&host->loop, &host->stop, small_host_on_stop), 0);
    host->stop.data = host;
    assert_int_equal(admin_open(&host->admin, &host->loop, folder->path, host->store,
                                small_host_status, NULL, &report),
                     ERR_OK);
    assert_int_equal(pthread_create(&host->thread, NULL, small_host_run, host), 0);
    return host;
}

/* The loop must have run out: nothing of the socket is left on it. */
static inline void small_host_end(struct small_host *host) {
    uv_async_send(&host->stop);
    pthread_join(host->thread, NULL);
    assert_int_equal(uv_loop_close(&host->loop), 0);
    store_close(host->store);
    free(host);
}

#endif
