/* What tests of links share: a loop with a watchdog, a link with a listener that counts,
 * transactions that remember how they ended. Include <cmocka.h> first. */
#ifndef DERD_TESTS_LINK_WORLD_H
#define DERD_TESTS_LINK_WORLD_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostile.h"
#include "link/link.h"

#define WATCHDOG_MS 60000
#define PATIENT_MS  30000 /* time-out of what is going to be answered */
#define BRIEF_MS    20    /* time-out of what is not */
#define HOUR_MS     3600000
#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

struct world {
    uv_loop_t loop;
    uv_loop_t *driven; /* the loop that is to stop when something happens */
    uv_timer_t watchdog;
    bool expired;
    struct hostile *hostile; /* or NULL */
    struct link *link;
    struct link_listener listener;
    int ups, downs;
    char reason[128];
    bool inside; /* a function of link.h runs: nothing may call back */
    struct call *finished[32];
    int finished_count;
    struct call *rival; /* what some callbacks cancel */
};

struct call { /* a transaction that remembers how it ended */
    struct transaction transaction;
    struct world *world;
    int finished;
    enum err result;
    struct modbus_answer answer;
    void (*then)(struct call *call);
};

/* A turn runs its timers first and may then rest in the sockets: callbacks stop it, so that what
 * they did is seen. */
#define DRIVE_UNTIL(world, condition)                                                              \
    do {                                                                                           \
        while (!(condition)) {                                                                     \
            assert_false((world)->expired);                                                        \
            uv_run(&(world)->loop, UV_RUN_ONCE);                                                   \
        }                                                                                          \
    } while (0)

/* For what the server's thread sees: the loop has no event for it, so it never rests. */
#define SPIN_UNTIL(world, condition)                                                               \
    do {                                                                                           \
        while (!(condition)) {                                                                     \
            assert_false((world)->expired);                                                        \
            uv_run(&(world)->loop, UV_RUN_NOWAIT);                                                 \
            sched_yield();                                                                         \
        }                                                                                          \
    } while (0)

static inline void on_watchdog(uv_timer_t *timer) {
    struct world *world = timer->data;
    world->expired = true;
}

static inline void on_up(struct link_listener *listener) {
    struct world *world = listener->owner;
    assert_false(world->inside);
    world->ups++;
    uv_stop(world->driven);
}

static inline void on_down(struct link_listener *listener, const char *reason) {
    struct world *world = listener->owner;
    assert_false(world->inside);
    world->downs++;
    uv_stop(world->driven);
    snprintf(world->reason, sizeof world->reason, "%s", reason);
}

static inline void world_open_url(struct world *world, const char *url,
                                  const struct link_settings *settings) {
    *world = (struct world){.hostile = world->hostile, .driven = &world->loop};
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->watchdog);
    world->watchdog.data = world;
    uv_timer_start(&world->watchdog, on_watchdog, WATCHDOG_MS, 0);
    char why[200] = "";
    struct link_settings own = settings ? *settings : (struct link_settings){0};
    if (!own.connect_timeout_ms)
        own.connect_timeout_ms = PATIENT_MS;
    if (!own.backoff_min_ms) /* tests wait for the second attempt, not for the time between */
        own.backoff_min_ms = own.backoff_max_ms = 1;
    world->link = link_open(&world->loop, url, &own, why, sizeof why);
    assert_non_null(world->link);
    world->listener = (struct link_listener){.up = on_up, .down = on_down, .owner = world};
    world->inside = true;
    link_listen(world->link, &world->listener);
    world->inside = false;
}

static inline void world_open_port(struct world *world, const char *host, int port,
                                   const struct link_settings *settings) {
    char url[128];
    snprintf(url, sizeof url, "tcp://%s:%d", host, port);
    world_open_url(world, url, settings);
}

/* A link to a hostile server that does `actions`; up when it returns. */
static inline void world_open(struct world *world, const enum hostile_action *actions, int count,
                              const struct link_settings *settings) {
    world->hostile = hostile_new(actions, count);
    hostile_listen(world->hostile);
    world_open_port(world, "127.0.0.1", world->hostile->port, settings);
    DRIVE_UNTIL(world, world->ups == 1);
}

/* Ends everything; the loop must run dry: no handle is left behind. */
static inline void world_close(struct world *world) {
    if (world->link) {
        world->inside = true;
        link_unlisten(world->link, &world->listener);
        link_close(world->link);
        world->inside = false;
    }
    uv_close((uv_handle_t *)&world->watchdog, NULL);
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0)
        continue; /* a callback has stopped it */
    assert_int_equal(uv_loop_close(&world->loop), 0);
    if (world->hostile)
        hostile_free(world->hostile);
}

static inline void on_done(struct transaction *transaction, enum err result,
                           const struct modbus_answer *answer) {
    struct call *call = transaction->owner;
    struct world *world = call->world;
    assert_false(world->inside);
    assert_int_equal(call->finished, 0);
    assert_true((answer != NULL) == (result == ERR_OK));
    call->finished = 1;
    uv_stop(world->driven);
    call->result = result;
    if (answer)
        call->answer = *answer;
    if (world->finished_count < COUNT(world->finished))
        world->finished[world->finished_count++] = call;
    if (call->then)
        call->then(call);
}

static inline struct call call_to(struct world *world, uint8_t unit, uint16_t address,
                                  int64_t timeout_ms) {
    return (struct call){.transaction = {.request = {.unit = unit,
                                                     .function = MODBUS_READ_HOLDING,
                                                     .address = address,
                                                     .count = 3},
                                         .timeout_ms = timeout_ms,
                                         .done = on_done},
                         .world = world};
}

static inline enum err try_submit(struct call *call, enum link_class class) {
    call->transaction.owner = call;
    call->finished = 0;
    call->world->inside = true;
    enum err err = link_submit(call->world->link, &call->transaction, class);
    call->world->inside = false;
    return err;
}

static inline void submit(struct call *call) {
    assert_int_equal(try_submit(call, LINK_READ), ERR_OK);
}

static inline void cancel(struct call *call) {
    call->world->inside = true;
    link_cancel(&call->transaction);
    call->world->inside = false;
}

static inline void finish(struct call *call, enum err expected) {
    DRIVE_UNTIL(call->world, call->finished);
    assert_int_equal(call->result, expected);
}

/* The answer is the one to request number `number` of the hostile server. */
static inline void assert_answer_to(const struct call *call, int number) {
    assert_int_equal(call->result, ERR_OK);
    assert_int_equal(call->answer.exception, 0);
    assert_int_equal(call->answer.count, 3);
    assert_int_equal(call->answer.words[0], number);
    assert_int_equal(call->answer.words[1], call->transaction.request.address + 1);
    assert_int_equal(call->answer.words[2], call->transaction.request.address + 2);
}

static inline int seen_requests(struct world *world) {
    return hostile_number(world->hostile, &world->hostile->requests);
}

#endif
