/* A world without real time for tests of the whole chain: the real engine with its book, arbiter,
 * split, pace, commands, drivers and polls on one side, the simulated home on the other, and
 * between them a wire that answers out of the home's registers in this process. Nothing waits: the
 * clock that everything reads stands still until the test moves it on to the next timer.
 *
 * clock_gettime() of the C library and the wire of Modbus TCP (host/link/link_wire.h) are replaced
 * by those here. One world in a program. Include <cmocka.h> first. */
#ifndef DERD_TESTS_BOUNDS_WORLD_H
#define DERD_TESTS_BOUNDS_WORLD_H

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "ask/ask.h"
#include "base/log.h"
#include "device.h"
#include "link/link_wire.h"
#include "machine.h"
#include "simulate/config.h"
#include "simulate/home.h"

#define STEP_MS   100 /* of the test, and of the home's physics */
#define LISTENERS 5

/* --- the clock -----------------------------------------------------------------------------------
 */

static atomic_int_fast64_t bounds_mono_ms;
static atomic_int_fast64_t bounds_wall_offset_ms;

/* CPU time stays real: budgets of scripts are counted in it. */
int clock_gettime(clockid_t id, struct timespec *at) {
    if (id == CLOCK_THREAD_CPUTIME_ID || id == CLOCK_PROCESS_CPUTIME_ID)
        return (int)syscall(SYS_clock_gettime, id, at);
    int64_t ms = atomic_load(&bounds_mono_ms);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        ms += atomic_load(&bounds_wall_offset_ms);
    *at = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    return 0;
}

/* What is random in the host (jitter, ids) is the same in each run with one seed. */
static _Atomic uint64_t bounds_random = 1;

ssize_t getrandom(void *room, size_t size, unsigned flags) {
    (void)flags;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)room)[i] = (uint8_t)((atomic_fetch_add(&bounds_random, 0x9e3779b97f4a7c15U) *
                                          0xbf58476d1ce4e5b9U) >>
                                         56);
    return (ssize_t)size;
}

/* Nothing of a test has to survive a power cut. */
int fsync(int file) {
    (void)file;
    return 0;
}
int fdatasync(int file) {
    (void)file;
    return 0;
}

/* Ahead of the real one: whoever waits for a moment of this clock by the system's own waits until
 * he is told. */
static inline void bounds_clock_start(void) {
    struct timespec at;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &at);
    atomic_store(&bounds_mono_ms, (int64_t)at.tv_sec * 1000 + 100LL * 86400 * 1000);
    atomic_store(&bounds_wall_offset_ms, 1780000000000LL - atomic_load(&bounds_mono_ms));
}

/* --- the wire ------------------------------------------------------------------------------------
 */

struct mishap {       /* of one listener */
    bool unplugged;   /* no connection comes about, and those that stand are gone */
    bool mute;        /* requests are taken and not answered */
    int refuses;      /* writes get this exception; 0: none */
    int breaks_after; /* the connection goes after so many writes more; 0: it stays */
    int drops_after;  /* one answer to a write is lost after so many; 0: none is */
    int latency_ms;
};

struct bounds_wires {
    struct sim_home *home;
    struct mishap mishaps[LISTENERS];
    int64_t hurt_ms[LISTENERS];    /* when something of the above was last in the way */
    int64_t refused_ms[LISTENERS]; /* when a write was last refused */
    uint64_t writes;
    void (*written)(struct sim_device *device, uint16_t address); /* or NULL */
};

static struct bounds_wires bounds_wires;

#define PIPE_ROOM LINK_MAX_IN_FLIGHT

struct pipe_request {
    uint16_t id;
    uint64_t due_ms;
    struct modbus_request request;
};

struct pipe_wire { /* what `struct wire` is of link_wire.h here */
    uv_timer_t timer;
    uv_loop_t *loop;
    struct link *link;
    int listener;
    bool up, gone;
    struct pipe_request waiting[PIPE_ROOM];
    int count;
};

static inline struct sim_device *bounds_unit(int listener, uint8_t unit) {
    struct sim_home *home = bounds_wires.home;
    for (size_t i = 0; i < home->device_count; i++)
        if (home->devices[i].listener == listener && home->devices[i].unit == unit)
            return &home->devices[i];
    return NULL;
}

static inline bool pipe_writes(const struct modbus_request *request) {
    return request->function == MODBUS_WRITE_REGISTER ||
           request->function == MODBUS_WRITE_REGISTERS;
}

/* What the home's device answers; false: nothing. */
static inline bool bounds_answer(int listener, const struct modbus_request *request,
                                 struct modbus_answer *answer) {
    struct sim_device *device = bounds_unit(listener, request->unit);
    *answer = (struct modbus_answer){.exception = device ? 0 : 11};
    if (!device)
        return true;
    if (device->silent)
        return false;
    bool writes = pipe_writes(request);
    enum sim_table table = request->function == MODBUS_READ_INPUT ? SIM_INPUT : SIM_HOLDING;
    answer->exception = (uint8_t)device->exception;
    if (!answer->exception && !sim_image_allows(&device->image, table, request->address,
                                                request->count, writes ? SIM_WRITE : SIM_READ))
        answer->exception = 2;
    if (!answer->exception && writes && bounds_wires.mishaps[listener].refuses) {
        answer->exception = (uint8_t)bounds_wires.mishaps[listener].refuses;
        bounds_wires.refused_ms[listener] = atomic_load(&bounds_mono_ms);
    }
    if (!answer->exception && writes && device->make->check)
        answer->exception =
            (uint8_t)device->make->check(device, request->address, request->count, request->words);
    if (answer->exception)
        return true;
    uint16_t *at = sim_image_at(&device->image, table, request->address, request->count);
    if (writes) {
        memcpy(at, request->words, request->count * sizeof *at);
        bounds_wires.writes++;
        sim_device_note(bounds_wires.home, device, request->address, request->count, at, false);
        if (bounds_wires.written)
            bounds_wires.written(device, request->address);
    } else {
        memcpy(answer->words, at, request->count * sizeof *at);
        answer->count = request->count;
        device->timers.unread_s = 0;
    }
    return true;
}

static inline void pipe_lose(struct pipe_wire *pipe, const char *reason) {
    pipe->up = false;
    pipe->count = 0;
    uv_timer_stop(&pipe->timer);
    bounds_wires.hurt_ms[pipe->listener] = atomic_load(&bounds_mono_ms);
    link_wire_down(pipe->link, false, reason);
}

static inline void pipe_arm(struct pipe_wire *pipe);

static inline void pipe_due(uv_timer_t *timer) {
    struct pipe_wire *pipe = timer->data;
    struct mishap *mishap = &bounds_wires.mishaps[pipe->listener];
    if (!pipe->count)
        return;
    struct pipe_request request = pipe->waiting[0];
    memmove(pipe->waiting, pipe->waiting + 1, (size_t)(--pipe->count) * sizeof pipe->waiting[0]);
    pipe_arm(pipe);
    struct modbus_answer answer;
    bool answers = !mishap->mute && bounds_answer(pipe->listener, &request.request, &answer);
    if (answers && pipe_writes(&request.request) && mishap->drops_after &&
        --mishap->drops_after == 0)
        answers = false;
    if (!answers)
        bounds_wires.hurt_ms[pipe->listener] = atomic_load(&bounds_mono_ms);
    if (answers && pipe_writes(&request.request) && mishap->breaks_after &&
        --mishap->breaks_after == 0) {
        pipe_lose(pipe, "reset in the middle of a plan");
        return;
    }
    if (!answers)
        return;
    if (link_wire_expected(pipe->link, request.id))
        link_wire_answer(pipe->link, request.id, &answer); /* the pipe may be gone after it */
    else
        link_wire_foreign(pipe->link, request.id);
}

static inline void pipe_arm(struct pipe_wire *pipe) {
    if (!pipe->count)
        return;
    uint64_t now_ms = uv_now(pipe->loop), due_ms = pipe->waiting[0].due_ms;
    uv_timer_start(&pipe->timer, pipe_due, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static inline struct pipe_wire *pipe_of(struct wire *wire) {
    return (struct pipe_wire *)(void *)wire;
}

/* "tcp://10.0.0.3:502" is listener 3. */
static inline struct wire *pipe_create(uv_loop_t *loop, const char *url, struct link *link) {
    struct pipe_wire *pipe = calloc(1, sizeof *pipe);
    pipe->loop = loop;
    pipe->link = link;
    pipe->listener = atoi(strrchr(url, '.') + 1);
    uv_timer_init(loop, &pipe->timer);
    pipe->timer.data = pipe;
    return (struct wire *)(void *)pipe;
}

static inline void pipe_connect(struct wire *wire) {
    struct pipe_wire *pipe = pipe_of(wire);
    if (bounds_wires.mishaps[pipe->listener].unplugged) {
        link_wire_down(pipe->link, false, "refused");
        return;
    }
    pipe->up = true;
    link_wire_up(pipe->link);
}

static inline void pipe_disconnect(struct wire *wire) {
    struct pipe_wire *pipe = pipe_of(wire);
    pipe->up = false;
    pipe->count = 0;
    uv_timer_stop(&pipe->timer);
}

static inline void pipe_send(struct wire *wire, uint16_t id, const struct modbus_request *request,
                             int64_t timeout_ms) {
    struct pipe_wire *pipe = pipe_of(wire);
    (void)timeout_ms;
    struct mishap *mishap = &bounds_wires.mishaps[pipe->listener];
    if (mishap->unplugged) {
        pipe_lose(pipe, "reset");
        return;
    }
    if (pipe->count == PIPE_ROOM) /* of a mute one: time-outs have given the slots up already */
        memmove(pipe->waiting, pipe->waiting + 1, (PIPE_ROOM - 1) * sizeof pipe->waiting[0]);
    else
        pipe->count++;
    pipe->waiting[pipe->count - 1] =
        (struct pipe_request){.id = id,
                              .due_ms = uv_now(pipe->loop) + 1 + (uint64_t)mishap->latency_ms,
                              .request = *request};
    if (pipe->count == 1)
        pipe_arm(pipe);
}

static inline void pipe_closed(uv_handle_t *handle) {
    free(handle->data);
}

static inline void pipe_free(struct wire *wire) {
    pipe_disconnect(wire);
    uv_close((uv_handle_t *)&pipe_of(wire)->timer, pipe_closed);
}

static inline bool pipe_url_valid(const char *url, char *why, size_t why_size) {
    (void)why_size;
    *why = '\0';
    return strncmp(url, "tcp://10.0.0.", 13) == 0;
}

const struct wire_kind wire_tcp = {.scheme = "tcp://",
                                   .url_valid = pipe_url_valid,
                                   .create = pipe_create,
                                   .connect = pipe_connect,
                                   .disconnect = pipe_disconnect,
                                   .send = pipe_send,
                                   .free = pipe_free};

/* --- the host ------------------------------------------------------------------------------------
 */

struct bounds_host {
    char folder[64]; /* of the site file and the store */
    struct engine *engine;
    /* One thread that asks, as those of the API do. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool busy, ends;
    atomic_bool answered;
    char target[ID_SIZE], removes[ID_SIZE]; /* removes "": puts `draft` */
    struct constraint draft;
    struct ask_answer answer;
};

static inline void bounds_write_file(const char *folder, const char *name, const char *text) {
    char path[160], aside[176];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(aside, sizeof aside, "%s.new", path);
    FILE *file = fopen(aside, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(aside, path), 0);
}

static inline void *bounds_ask_thread(void *context) {
    struct bounds_host *host = context;
    const struct asker asker = {.created_by = "token:test", .max_priority = PRIORITY_MAXIMUM};
    const struct ask_terms terms = {0};
    pthread_mutex_lock(&host->lock);
    while (!host->ends) {
        if (!host->busy) {
            pthread_cond_wait(&host->wake, &host->lock);
            continue;
        }
        if (host->removes[0])
            ask_remove_constraint(host->engine, host->target, host->removes, &asker, &terms,
                                  3600000, &host->answer);
        else
            ask_put_constraints(host->engine, host->target, &host->draft, 1, &asker, &terms,
                                3600000, &host->answer);
        host->busy = false;
        atomic_store(&host->answered, true);
    }
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

/* Asks, while the clock stands still, and gives the answer. */
static inline struct ask_answer *bounds_ask(struct bounds_host *host) {
    atomic_store(&host->answered, false);
    pthread_mutex_lock(&host->lock);
    host->busy = true;
    pthread_cond_signal(&host->wake);
    pthread_mutex_unlock(&host->lock);
    while (!atomic_load(&host->answered)) {
        uv_run(&host->engine->loop, UV_RUN_NOWAIT);
        sched_yield();
    }
    return &host->answer;
}

static inline void bounds_host_start(struct bounds_host *host) {
    char site[128];
    snprintf(site, sizeof site, "%s/site.lua", host->folder);
    struct report report;
    report_init(&report);
    const struct engine_settings settings = {
        .site_path = site, .shared_folder = DERD_SOURCE_DIR, .no_history = true};
    host->engine = engine_open(&settings, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "%s: %s\n", report.items[i].where, report.items[i].text);
    report_free(&report);
    assert_non_null(host->engine);
}

static inline void bounds_host_end(struct bounds_host *host) {
    if (host->engine)
        engine_close(host->engine);
    host->engine = NULL;
}

static inline void bounds_host_open(struct bounds_host *host) {
    snprintf(host->folder, sizeof host->folder, "/dev/shm/derd-bounds-XXXXXX");
    if (!mkdtemp(host->folder)) {
        snprintf(host->folder, sizeof host->folder, "/tmp/derd-bounds-XXXXXX");
        assert_non_null(mkdtemp(host->folder));
    }
    char path[96];
    snprintf(path, sizeof path, "%s/drivers", host->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/policies", host->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    pthread_mutex_init(&host->lock, NULL);
    pthread_cond_init(&host->wake, NULL);
    assert_int_equal(pthread_create(&host->thread, NULL, bounds_ask_thread, host), 0);
}

static inline void bounds_host_close(struct bounds_host *host) {
    bounds_host_end(host);
    pthread_mutex_lock(&host->lock);
    host->ends = true;
    pthread_cond_signal(&host->wake);
    pthread_mutex_unlock(&host->lock);
    pthread_join(host->thread, NULL);
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", host->folder);
    assert_int_equal(system(command), 0);
}

/* The loop runs until `until_ms` of the clock, which goes from timer to timer. */
static inline void bounds_run(struct bounds_host *host, int64_t until_ms) {
    for (int turns = 0; host->engine; turns++) {
        assert_true(turns < 20000); /* else it goes in circles */
        uv_run(&host->engine->loop, UV_RUN_NOWAIT);
        uv_update_time(&host->engine->loop);
        int wait_ms = uv_backend_timeout(&host->engine->loop);
        int64_t now_ms = atomic_load(&bounds_mono_ms);
        if (wait_ms == 0)
            continue;
        if (wait_ms < 0 || now_ms + wait_ms > until_ms)
            break;
        atomic_store(&bounds_mono_ms, now_ms + wait_ms);
    }
    atomic_store(&bounds_mono_ms, until_ms);
}

#endif
