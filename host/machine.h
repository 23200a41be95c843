/* A machine: what answers at one unit of one link, through one driver. It may be several devices
 * (parts) that share its reads and the order of its commands.
 *
 *   WAITING --link up--> ARRIVING --identity ok--> UP --no answer twice--> AWAY --back-off-->
 * ARRIVING ^                    |                                                |
 *      +---- link down -----+---- another make or serial number --> WRONG ---+
 *
 * Arriving is: walk the SunSpec chain (where the driver asks), read what is read once, compare the
 * identity, then send what is wanted, then poll. Nothing is written before the identity is known to
 * be right. Engine thread. */
#ifndef DERD_MACHINE_H
#define DERD_MACHINE_H

#include "block.h"
#include "engine.h"
#include "probation.h"
#include "sunspec.h"

enum machine_state { MACHINE_WAITING, MACHINE_ARRIVING, MACHINE_UP, MACHINE_AWAY, MACHINE_WRONG };

#define MACHINE_AWAY_AFTER     2 /* failures in a row */
#define MACHINE_BACKOFF_MIN_MS 1000
#define MACHINE_BACKOFF_MAX_MS 30000

struct poll_group { /* blocks of one period; freed by the close of its timer */
    struct machine *machine;
    int64_t period_ms;
    int64_t phase_ms; /* offset of its deadlines within the period: spreads the load */
    size_t block;     /* the one being read */
    bool busy;
    unsigned faults; /* bits of enum fault, of its last poll */
    uint64_t polls, late;
    uv_timer_t timer;
    struct transaction transaction;
};

struct machine {
    struct machine *next;
    struct engine *engine;
    struct wire *wire;
    struct link_listener listener;
    int unit;
    unsigned number;               /* of its kind: spreads the polls */
    struct generation *generation; /* of its driver */
    struct device *parts[DRIVER_MAX_PARTS];
    enum machine_state state;
    int failures;
    bool heard;   /* it has answered since it began to arrive */
    bool settled; /* and is up: said once, and the back-off starts anew */
    int64_t backoff_ms;
    char why[240]; /* it is away, as logged last; "" while it is up */

    struct history history; /* of its polls by this generation */
    unsigned faults;        /* bits of enum fault, since the last poll ended */
    unsigned faults_once;   /* of what was read when it arrived */

    struct sunspec_walk walk;
    struct block_plan plan;
    bool planned;
    double *values; /* one per point of the driver, NAN unknown */
    struct now *value_at;
    struct poll_group **groups;
    size_t group_count;
    size_t arrival_block;
    struct transaction arrival;

    struct {                   /* the one command that is on its way */
        struct device *device; /* NULL: none */
        unsigned version;      /* of its wanted plan */
        int step;
        bool reading_back;
        bool busy;
        struct transaction transaction;
    } runner;

    uv_timer_t retry;
};

/* Finds the machine at (url, unit) or makes one. NULL: no memory. */
struct machine *machine_find(struct engine *engine, const char *url, int unit);
struct machine *machine_open(struct engine *engine, const char *url, int unit,
                             struct generation *generation);
/* Nobody may have the device's part yet. */
void machine_attach(struct machine *machine, struct device *device);
/* Closes the machine when it was the last device. */
void machine_detach(struct machine *machine, struct device *device);
/* A new generation of its driver, already checked against its devices' parameters; `places[i]` is
 * the index of part i in it. What is wanted of each device stays and is sent again. */
void machine_renew(struct machine *machine, struct generation *generation,
                   const int places[DRIVER_MAX_PARTS]);
const struct driver *machine_driver(const struct machine *machine);
/* Whether its driver's script is called may have changed: its devices show it. */
void machine_reconsider(struct machine *machine);
/* Something went wrong that a generation on probation is judged by. */
void machine_fault(struct machine *machine, enum fault fault, const char *text);
/* A poll has ended, well or with the faults since the last one. */
void machine_polled(struct machine *machine, unsigned faults);

/* For poll.c and command.c: an answer came, or did not. */
void machine_answered(struct machine *machine);
void machine_failed(struct machine *machine, enum err result);
/* True when the exception means that the unit is not there at all (gateway codes 10 and 11). */
bool modbus_unit_absent(uint8_t exception);

/* poll.c */
must_check enum err poll_plan(struct machine *machine); /* blocks and groups from parts and chain */
void poll_forget(struct machine *machine);              /* the opposite */
void poll_start(struct machine *machine);               /* first reads now, then by deadline */
void poll_stop(struct machine *machine);
/* Decodes one block's words into values and texts. */
void poll_take(struct machine *machine, const struct block *block, const uint16_t *words);
enum modbus_function poll_function(enum register_kind kind);
/* Wire address of a point, SunSpec models resolved; false when the device does not have it. */
bool poll_address(const struct machine *machine, int point, uint16_t *address);

/* command.c: starts the next wanted command if none is on its way. */
void command_run(struct machine *machine);
void command_stop(struct machine *machine);

#endif
