/* The real thing on a bench: an engine with a temporary site and store that polls, decides and
 * writes as the host does, over real Modbus TCP on loopback to a simulated device (peer.h). The
 * driver is a copy of the author's file in a folder of its own, so that it can be reloaded. */
#ifndef DERD_KIT_BENCH_H
#define DERD_KIT_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "kit/peer.h"
#include "kit/registers.h"
#include "kit/talk.h"

#define BENCH_PATIENCE_MS 30000 /* the end of hope, never a measure */

struct bench {
    struct engine *engine;
    struct peer *peer; /* of Modbus, or */
    struct talk *talk;
    enum link_kind kind;
    uint16_t port;
    char folder[64];
    char driver_path[160]; /* the copy */
    uv_timer_t tick;
    bool ticking;
};

/* Opens an engine on the driver file at `path` against `registers`, or, of a driver that speaks
 * otherwise, `answers`. `parameters`: what the site sets of it, or NULL. False with mistakes; close
 * it in any case. */
bool bench_open(struct bench *bench, const char *path, const struct driver *driver,
                const json_t *parameters, const struct registers *registers, const json_t *answers,
                struct report *report);
uint64_t bench_requests(const struct bench *bench);
void bench_close(struct bench *bench);

/* Lets the loop run until `look` says true; false when patience ends. */
typedef bool bench_look(struct bench *bench, void *context);
bool bench_until(struct bench *bench, bench_look *look, void *context, int64_t patience_ms);
/* Its one machine; NULL when the driver was not taken. */
struct machine *bench_machine(const struct bench *bench);
/* Whether it is online and every point that is polled has been asked for once. */
bool bench_online(struct bench *bench);
bool bench_offline(struct bench *bench);
/* Polls everything once, now, and waits for the end of it. False: it went away, or never ended. */
bool bench_poll(struct bench *bench);
/* Puts a constraint of the highest priority in the place of the last one and decides. */
bool bench_constrain(struct bench *bench, struct device *device, const struct wish *wish);
void bench_free_constraint(struct bench *bench, struct device *device);
/* Writes the driver's file anew with a comment behind it, as an editor does. */
bool bench_touch_driver(struct bench *bench);

#endif
